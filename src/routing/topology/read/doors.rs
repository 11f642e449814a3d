//! Reads what trunks and agents say of who may do what.

use crate::routing::file::{Report, Section};
use crate::sip::InDialog;

/// `in_dialog`: who may speak inside a dialog.
pub(super) fn in_dialog(section: &mut Section<'_>, report: &mut Report<'_>) -> InDialog {
    let words = [("known", InDialog::Known), ("tags", InDialog::Tags)];
    section.choice(report, "in_dialog", &words).unwrap_or_default()
}

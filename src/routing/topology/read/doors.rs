//! Reads what trunks and agents say of who may do what.

use crate::routing::file::{At, Report, Section};
use crate::routing::net::IpNet;
use crate::routing::topology::Redirects;
use crate::sip::InDialog;

/// `in_dialog`: who may speak inside a dialog.
pub(super) fn in_dialog(section: &mut Section<'_>, report: &mut Report<'_>) -> InDialog {
    let words = [("known", InDialog::Known), ("tags", InDialog::Tags)];
    section.choice(report, "in_dialog", &words).unwrap_or_default()
}

/// `realm` of a login: the one that it is for.
pub(super) fn realm(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Box<str>> {
    let found =
        section.string(report, "realm", "the realm of its challenges, as it stands between their quotes")?;
    if found.value.is_empty() || found.value.chars().any(char::is_control) {
        report.error(found.span, "`realm` is empty or holds control characters");
        return None;
    }
    Some(found.value.into())
}

/// `redirects`: whom a 3xx may name.
pub(super) fn redirects(section: &mut Section<'_>, report: &mut Report<'_>) -> Redirects {
    let words = [("table", Redirects::Table), ("host", Redirects::Host), ("none", Redirects::None)];
    section.choice(report, "redirects", &words).unwrap_or_default()
}

/// The private networks (RFC 1918, RFC 4193, RFC 6598), as far as one is somebody's whole house.
const PRIVATE: [&str; 6] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fd00::/8"];

/// The shortest prefixes that are somebody's network and no part of the internet.
const SHORTEST: (u8, u8) = (8, 16);

/// Warns of a trunk that is a whole private network, or a good part of the internet.
pub(super) fn lint_networks(nets: &[At<IpNet>], report: &mut Report<'_>) {
    let private: Vec<IpNet> = PRIVATE.iter().filter_map(|net| net.parse().ok()).collect();
    for net in nets {
        let shortest = if net.value.is_ipv4() { SHORTEST.0 } else { SHORTEST.1 };
        if net.value.prefix() < shortest && !private.contains(&net.value) {
            report.warn(net.span.clone(), format!("`{}` is open to strangers", net.value)).help(
                "whoever reaches this port calls as this trunk, at your cost: name the networks of the PBX or carrier",
            );
        } else if private.iter().any(|private| net.value.covers(private)) {
            report.warn(net.span.clone(), format!("`{}` is a whole private network", net.value)).help(
                "whoever is on it calls as this trunk and speaks in its calls: name the PBX's own address",
            );
        }
    }
}

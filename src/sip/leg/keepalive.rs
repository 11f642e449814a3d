//! Is the peer still there? OPTIONS inside the dialog.

use super::{LegId, SentId};
use crate::sip::stack::{Gone, Stack};
use crate::sip::timing::Now;
use std::time::Duration;

#[allow(unused_variables)]
impl Stack {
    /// One OPTIONS inside the dialog: is it still there? Answered by one [`super::Event::Response`].
    pub fn probe(&mut self, now: Now, leg: LegId) -> Result<SentId, Gone> {
        unimplemented!()
    }

    /// OPTIONS inside the dialog at each interval; two unanswered ones or one 481/408 = [`super::Event::Lost`].
    /// None: off.
    pub fn keep_alive(&mut self, now: Now, leg: LegId, interval: Option<Duration>) {
        unimplemented!()
    }
}

//! A leg of ours before it is answered (RFC 3261 §13.2).

use super::{Connect, Content, LegId};
use crate::sip::stack::{Gone, Stack};
use crate::sip::timing::Now;

#[allow(unused_variables)]
impl Stack {
    /// INVITE to a new leg. What comes of it: [`super::Event::Progress`], then `Answered` or `Refused`.
    pub fn connect(&mut self, now: Now, connect: Connect<'_>) -> LegId {
        unimplemented!()
    }

    /// ACK for a 2xx that carried an offer: with the answer.
    pub fn acknowledge(&mut self, now: Now, leg: LegId, content: Content<'_>) -> Result<(), Gone> {
        unimplemented!()
    }
}

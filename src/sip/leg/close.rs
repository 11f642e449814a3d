//! How a leg ends (RFC 3261 §15).

use super::{Content, LegId};
use crate::sip::stack::Stack;
use crate::sip::timing::Now;

#[allow(unused_variables)]
impl Stack {
    /// Ends the leg whatever its state: CANCEL (and ACK+BYE if a 2xx crosses), BYE, deferred BYE while our 2xx is
    /// unacknowledged (RFC 3261 §15), final `reject_status` while the peer's INVITE is unanswered. An unanswered offer
    /// in a 2xx: ACK with all ports 0, then BYE. Then [`super::Event::Closed`].
    pub fn close(&mut self, now: Now, leg: LegId, reject_status: u16, content: Content<'_>) {
        unimplemented!()
    }

    /// The call has no more interest: what is still to be done (closing, answering) is done quietly, no event comes
    /// any more. A leg that is not over is closed with 480.
    pub fn release(&mut self, now: Now, leg: LegId) {
        unimplemented!()
    }
}

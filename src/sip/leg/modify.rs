//! Requests that pass inside a leg: re-INVITE, UPDATE, INFO (RFC 3261 §14, RFC 3311, RFC 6086).

use super::{Content, LegId, RequestId, SentId};
use crate::sip::stack::{Gone, NotSent, Stack};
use crate::sip::timing::Now;
use crate::wire::Message;

#[allow(unused_variables)]
impl Stack {
    /// The peer's re-INVITE, UPDATE or INFO (of another leg), sent in this one. Answered by one
    /// [`super::Event::Response`].
    pub fn pass(
        &mut self,
        now: Now,
        leg: LegId,
        message: &Message<'_>,
        identity: bool,
    ) -> Result<SentId, NotSent> {
        unimplemented!()
    }

    /// Answers an [`super::Event::Request`]. 1xx allowed for a re-INVITE.
    pub fn respond(
        &mut self,
        now: Now,
        request: RequestId,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        unimplemented!()
    }
}

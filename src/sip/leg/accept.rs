//! The caller's leg before it is answered (RFC 3261 §13.3).

use super::{Content, LegId};
use crate::sip::stack::{Gone, Stack};
use crate::sip::timing::Now;

#[allow(unused_variables)]
impl Stack {
    /// 101-199. `party` numbers whom the caller hears: each party has its own To-tag (early dialog) of ours; the
    /// final answer uses its party's tag.
    pub fn provisional(
        &mut self,
        now: Now,
        leg: LegId,
        party: u8,
        status: u16,
        content: Content<'_>,
    ) -> Result<(), Gone> {
        unimplemented!()
    }

    /// 200 with the answer (or our offer, if the INVITE had none); retransmitted until ACK.
    pub fn answer(&mut self, now: Now, leg: LegId, party: u8, content: Content<'_>) -> Result<(), Gone> {
        unimplemented!()
    }

    /// 300-699. The leg is over. Retry-After, or Contact for a 3xx, go in `content.fields`.
    pub fn reject(&mut self, now: Now, leg: LegId, status: u16, content: Content<'_>) -> Result<(), Gone> {
        unimplemented!()
    }
}

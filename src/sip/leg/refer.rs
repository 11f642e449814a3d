//! REFER inside a leg, both ways (RFC 3515, RFC 4488).

use super::{Field, LegId, RequestId, SentId};
use crate::sip::stack::{Gone, NotSent, Stack};
use crate::sip::timing::Now;

pub use crate::sip::subscription::NotifyId;

pub use super::decision::Decision as Referral;

/// A REFER to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Refer<'a> {
    /// The whole value of Refer-To, in `<>`.
    pub refer_to: &'a [u8],
    /// The whole value of Referred-By.
    pub referred_by: Option<&'a [u8]>,
    /// Added headers.
    pub fields: &'a [Field],
    /// Max-Forwards as it is to stand on the wire.
    pub max_forwards: u8,
}

#[allow(unused_variables)]
impl Stack {
    /// REFER in the dialog. Its answer is an [`super::Event::Response`] (a timeout is a local 408 and never ends the
    /// leg), its progress [`super::Event::Notified`], which may come first.
    pub fn refer(&mut self, now: Now, leg: LegId, refer: Refer<'_>) -> Result<SentId, NotSent> {
        unimplemented!()
    }

    /// 202 to the peer's REFER; with `Refer-Sub: false` echoed if it asked so (then there is no subscription, and None
    /// comes back). Else a subscription is made and its NOTIFY 100 is sent at once.
    pub fn accept_referral(&mut self, now: Now, request: RequestId) -> Result<Option<NotifyId>, Gone> {
        unimplemented!()
    }

    /// A NOTIFY with sipfrag `status`; `last` terminates the subscription. Its answer is an
    /// [`super::Event::Response`] with the id returned here.
    pub fn notify(
        &mut self,
        now: Now,
        leg: LegId,
        subscription: NotifyId,
        status: u16,
        last: bool,
    ) -> Result<SentId, Gone> {
        unimplemented!()
    }
}

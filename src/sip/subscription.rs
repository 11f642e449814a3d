//! The implicit subscription of a REFER (RFC 3515 §2.4.4, RFC 6665), both sides.
//!
//! A machine of its own: it outlives the INVITE usage of its dialog (RFC 5057 §4.2). Called by `leg/refer`.

use super::leg::SentId;
use super::leg::remark::Remark;
use super::timing::Time;
use crate::wire::grammar::{self, Params};
use crate::wire::headers::{EVENT_REFER, TERMINATED};
use crate::wire::{Message, Name, sipfrag};
use std::collections::VecDeque;

/// What a NOTIFY told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// The status in the sipfrag; None: no or no readable sipfrag.
    pub status: Option<u16>,
    /// What the sipfrag says besides.
    pub remark: Remark,
    /// Subscription-State: terminated.
    pub terminated: bool,
}

/// A subscription that the peer's REFER made: where we send NOTIFYs. Valid with its leg only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotifyId(pub(crate) u32);

impl News {
    /// Whether it tells a final 2xx.
    pub(crate) fn is_success(self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether it tells a final failure.
    pub(crate) fn is_failure(self) -> bool {
        self.status.is_some_and(|status| status >= 300)
    }

    /// Reads a NOTIFY.
    pub(crate) fn of(message: &Message<'_>) -> News {
        let is_sipfrag = message.content_type().is_none_or(sipfrag::is_sipfrag);
        let status = sipfrag::parse(message.body()).filter(|_| is_sipfrag).map(|sipfrag| sipfrag.status);
        let state = message.header(Name::SubscriptionState).unwrap_or(b"");
        let remark = status.map(|_| Remark::of_sipfrag(message.body())).unwrap_or_default();
        News { status, remark, terminated: head(state).eq_ignore_ascii_case(TERMINATED.as_bytes()) }
    }
}

/// What stands before the parameters of a value.
fn head(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    grammar::trim(&value[..end])
}

/// The Event of a NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    /// `refer`, with its id if it has a readable one.
    Refer(Option<u32>),
    /// Any other, or none: 489 (RFC 6665 §7.4.1).
    Unknown,
}

impl Package {
    /// Reads a NOTIFY.
    pub(crate) fn of(message: &Message<'_>) -> Package {
        let value = message.header(Name::Event).unwrap_or(b"");
        if !head(value).eq_ignore_ascii_case(EVENT_REFER.as_bytes()) {
            return Package::Unknown;
        }
        let params = memchr::memchr(b';', value).map_or(&b""[..], |start| &value[start..]);
        match Params::new(params).find(b"id") {
            None => Package::Refer(None),
            // An id that is no CSeq belongs to no REFER of ours; 0 is no CSeq that we send.
            Some(id) => Package::Refer(Some(id.and_then(grammar::decimal).unwrap_or(0))),
        }
    }
}

/// A subscription that our REFER made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The REFER.
    pub(crate) refer: SentId,
    /// Its CSeq, which is the id (RFC 3515 §2.4.6); that of the last try if it was challenged.
    pub(crate) cseq: u32,
    /// CSeq of its last NOTIFY.
    pub(crate) heard: Option<u32>,
}

/// The subscription that a NOTIFY belongs to: by id, or without one the first, for only that may go without (RFC 3515
/// §2.4.6).
pub(crate) fn find(subscriptions: &[Subscription], package: Package) -> Option<usize> {
    match package {
        Package::Unknown => None,
        Package::Refer(Some(id)) => subscriptions.iter().position(|one| one.cseq == id),
        Package::Refer(None) => (!subscriptions.is_empty()).then_some(0),
    }
}

/// One NOTIFY of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Its name above; None: the first one, which the stack sends by itself.
    pub(crate) sent: Option<SentId>,
    /// What it reports.
    pub(crate) status: u16,
    /// Whether it ends the subscription.
    pub(crate) last: bool,
}

/// A subscription that the peer's REFER made. One NOTIFY is under way at a time, so that they cannot overtake each
/// other.
#[derive(Debug)]
pub(crate) struct Referral {
    /// The CSeq of the REFER.
    pub(crate) id: NotifyId,
    /// The NOTIFY under way.
    pub(crate) current: Option<Notice>,
    /// Those that wait for it.
    pub(crate) waiting: VecDeque<Notice>,
    /// When the current one is sent again after a 491.
    pub(crate) again_at: Option<Time>,
    /// Whether its last NOTIFY was handed in.
    pub(crate) ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [Subscription; 2] = [
        Subscription { refer: SentId(1), cseq: 7, heard: None },
        Subscription { refer: SentId(2), cseq: 9, heard: None },
    ];

    #[test]
    fn a_notify_without_id_belongs_to_the_first_refer() {
        assert_eq!(find(&TWO[..1], Package::Refer(None)), Some(0));
        assert_eq!(find(&TWO, Package::Refer(None)), Some(0));
        assert_eq!(find(&TWO, Package::Refer(Some(9))), Some(1));
        assert_eq!(find(&TWO, Package::Refer(Some(8))), None);
        assert_eq!(find(&[], Package::Refer(None)), None);
    }
}

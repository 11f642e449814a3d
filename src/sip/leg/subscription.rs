//! The implicit subscription of a REFER (RFC 3515 §2.4.4, RFC 6665), both sides.
//!
//! A machine of its own: it outlives the INVITE usage of its dialog (RFC 5057 §4.2). Called by `refer`.

use super::reason_info::ReasonInfo;
use super::sent_id::SentId;
use crate::sip::timing::Time;
use crate::wire::grammar::{self, Params};
use crate::wire::headers::{EVENT_REFER, TERMINATED};
use crate::wire::{Message, Name, sipfrag};
use std::collections::VecDeque;

/// How far a REFER has come, as one NOTIFY tells: the status in its sipfrag (RFC 3515 §2.4.5), and whether it is the last
/// one (§2.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferProgress {
    /// The status in the sipfrag; None: no or no readable sipfrag.
    pub status: Option<u16>,
    /// What the sipfrag says besides.
    pub reason_info: ReasonInfo,
    /// Subscription-State: terminated.
    pub terminated: bool,
}

/// A subscription that the peer's REFER made: where we send NOTIFYs. Valid with its leg only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotifyId(pub(crate) u32);

impl ReferProgress {
    /// Whether it tells a final 2xx.
    pub(crate) fn is_success(self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether it tells a final failure.
    pub(crate) fn is_failure(self) -> bool {
        self.status.is_some_and(|status| status >= 300)
    }

    /// Reads a NOTIFY.
    pub(crate) fn of(message: &Message<'_>) -> ReferProgress {
        let is_sipfrag = message.content_type().is_none_or(sipfrag::is_sipfrag);
        let status = sipfrag::parse(message.body()).filter(|_| is_sipfrag).map(|sipfrag| sipfrag.status);
        let state = message.header(Name::SubscriptionState).unwrap_or(b"");
        let reason_info = status.map(|_| ReasonInfo::of_sipfrag(message.body())).unwrap_or_default();
        ReferProgress {
            status,
            reason_info,
            terminated: head(state).eq_ignore_ascii_case(TERMINATED.as_bytes()),
        }
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
    pub(super) refer: SentId,
    /// Its CSeq, which is the id (RFC 3515 §2.4.6); that of the last try if it was challenged.
    pub(super) cseq: u32,
    /// CSeq of its last NOTIFY.
    pub(super) heard: Option<u32>,
    /// The REFER had its final response from the peer.
    pub(super) answered: bool,
    /// Its NOTIFYs carry its id.
    named: bool,
    standing: Standing,
}

/// Whether a NOTIFY without an id may be about a REFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It waits for its result.
    Open,
    /// So does it, though nobody else does any more.
    GivenUp,
    /// It was given up, and a later one was taken on: what comes without an id is about that.
    Superseded,
    /// It has its result. What still comes can only say it again.
    Settled,
}

impl Subscription {
    /// The REFER was just sent.
    pub(crate) fn new(refer: SentId, cseq: u32) -> Subscription {
        Subscription { refer, cseq, heard: None, answered: false, named: false, standing: Standing::Open }
    }

    /// Nobody waits for its result any more.
    pub(crate) fn give_up(&mut self) {
        if self.standing == Standing::Open {
            self.standing = Standing::GivenUp;
        }
    }

    /// A NOTIFY with that CSeq.
    pub(crate) fn hear(&mut self, number: u32, package: Package, progress: ReferProgress) {
        self.heard = Some(number);
        self.named |= package == Package::Refer(Some(self.cseq));
        if progress.is_success() || progress.is_failure() {
            self.standing = Standing::Settled;
        }
    }
}

/// That REFER was taken on. What was given up before it speaks by its id only, from now on.
pub(crate) fn accepted(subscriptions: &mut [Subscription], refer: SentId) {
    for before in subscriptions.iter_mut().take_while(|one| one.refer != refer) {
        if before.standing == Standing::GivenUp {
            before.standing = Standing::Superseded;
        }
    }
}

/// The subscription that a NOTIFY belongs to; the newest is the last. RFC 3515 §2.4.6 wants an id from the second REFER of
/// a dialog on, and pjsip and Asterisk never write one: without it a NOTIFY is about the newest REFER that has no result
/// yet, or says a result again. Where there are several, it is about none whose NOTIFYs have carried an id.
pub(crate) fn find(subscriptions: &[Subscription], package: Package) -> Option<usize> {
    let alone = subscriptions.len() == 1;
    let newest = |fits: fn(Standing) -> bool| {
        subscriptions.iter().rposition(|one| fits(one.standing) && (alone || !one.named))
    };
    match package {
        Package::Unknown => None,
        Package::Refer(Some(id)) => subscriptions.iter().position(|one| one.cseq == id),
        Package::Refer(None) => newest(|one| matches!(one, Standing::Open | Standing::GivenUp))
            .or_else(|| newest(|one| one == Standing::Settled)),
    }
}

/// One NOTIFY of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Its name above; None: the first one, which the stack sends by itself.
    pub(super) sent: Option<SentId>,
    /// What it reports.
    pub(super) status: u16,
    /// Whether it ends the subscription.
    pub(super) last: bool,
}

/// A subscription that the peer's REFER made. One NOTIFY is under way at a time, so that they cannot overtake each
/// other.
#[derive(Debug)]
pub(crate) struct Referral {
    /// The CSeq of the REFER.
    pub(super) id: NotifyId,
    /// The NOTIFY under way.
    pub(super) current: Option<Notice>,
    /// Those that wait for it.
    pub(super) waiting: VecDeque<Notice>,
    /// When the current one is sent again after a 491.
    pub(super) again_at: Option<Time>,
    /// Whether its last NOTIFY was handed in.
    pub(super) ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNNAMED: Package = Package::Refer(None);

    fn two() -> [Subscription; 2] {
        [Subscription::new(SentId(1), 7), Subscription::new(SentId(2), 9)]
    }

    fn progress(status: u16) -> ReferProgress {
        ReferProgress { status: Some(status), reason_info: ReasonInfo::default(), terminated: false }
    }

    #[test]
    fn an_id_names_its_refer() {
        let mut two = two();
        two[1].hear(1, Package::Refer(Some(9)), progress(200));
        assert_eq!(find(&two, Package::Refer(Some(9))), Some(1));
        assert_eq!(find(&two, Package::Refer(Some(7))), Some(0));
        assert_eq!(find(&two, Package::Refer(Some(8))), None);
        assert_eq!(find(&two, Package::Unknown), None);
    }

    #[test]
    fn a_notify_without_id_belongs_to_the_newest_refer_without_a_result() {
        let mut two = two();
        let unnamed = |all: &[Subscription]| find(all, UNNAMED);
        assert_eq!((unnamed(&two[..1]), unnamed(&two), unnamed(&[])), (Some(0), Some(1), None));
        two[1].hear(1, UNNAMED, progress(180));
        assert_eq!(unnamed(&two), Some(1));
        two[1].hear(2, UNNAMED, progress(486));
        assert_eq!(unnamed(&two), Some(0), "the second has its result, and the first is waited for");
        two[0].hear(3, UNNAMED, progress(200));
        assert_eq!(unnamed(&two), Some(1), "the last result is said again");
    }

    #[test]
    fn a_notify_without_id_is_not_about_a_refer_that_was_given_up_before_another() {
        let mut two = two();
        two[0].give_up();
        assert_eq!(find(&two[..1], UNNAMED), Some(0), "it may come late");
        accepted(&mut two, SentId(2));
        two[1].hear(1, UNNAMED, progress(486));
        assert_eq!(find(&two, UNNAMED), Some(1), "the result is said again");
        assert_eq!(find(&two[..1], UNNAMED), None, "the second has ended");
        assert_eq!(find(&two, Package::Refer(Some(7))), Some(0), "by its id it is heard");
    }
    #[test]
    fn a_notify_without_id_is_not_about_a_refer_that_was_named_by_its_id() {
        let mut two = two();
        two[0].give_up();
        accepted(&mut two, SentId(2));
        two[1].hear(1, Package::Refer(Some(9)), progress(100));
        assert_eq!(find(&two, UNNAMED), None, "it is about the first, which speaks by its id only");
        assert_eq!(find(&two[1..], UNNAMED), Some(0), "there is no other");
    }
}

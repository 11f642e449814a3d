//! What a leg is called, and what it says.
//!
//! Words only, which every part of `sip` may import; not here: who says them, and when.

use super::reach::Advice;
pub use super::sent_id::SentId;
use super::subscription::ReferProgress;
use crate::sip::flow::Flow;
use crate::sip::slab::SlabId;
use crate::sip::transaction::ServerId;
use crate::wire::Method;
use std::time::Duration;

/// A leg's place in its stack. Never reused while a stale copy could be mistaken for another leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    /// Slab index: dense, for tables beside the stack.
    pub index: u32,
    /// Which use of that index.
    pub generation: u32,
}

impl From<LegId> for SlabId {
    fn from(leg: LegId) -> SlabId {
        SlabId { index: leg.index, generation: leg.generation }
    }
}

impl From<SlabId> for LegId {
    fn from(id: SlabId) -> LegId {
        LegId { index: id.index, generation: id.generation }
    }
}

/// A request that a peer sent inside a leg and that waits for our final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) ServerId);

/// Who made a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It came in a message.
    Remote,
    /// Baton made it: 408 for a timeout, 503 for a transport fault (RFC 3261 §8.1.3.1).
    Local,
}

/// The kind of an in-dialog request of the peer's that the layer above has to answer; BYE, OPTIONS, PRACK and NOTIFY are
/// answered below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDialogRequest {
    /// re-INVITE: a new offer, or the wish for one.
    Modify,
    /// UPDATE (RFC 3311).
    Update,
    /// INFO (RFC 6086).
    Info,
    /// REFER (RFC 3515); Refer-To and the rest are read with [`Referral`](super::refer::Referral).
    Refer,
}

/// Where a leg stands, for those who look at it from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegState {
    /// INVITE sent or received, no 101-199 yet.
    Trying,
    /// A 101-199 was sent or received.
    Ringing,
    /// A 2xx was sent or received, its ACK not yet.
    Answered,
    /// ACKed.
    Confirmed,
    /// CANCEL or BYE is on its way.
    Closing,
    /// Nothing can be sent any more.
    Over,
}

/// The leg is over or unknown: nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leg is over")]
pub struct Gone;

/// Why a request cannot be sent inside a leg now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Nothing can be sent in it any more.
    #[error("the leg is over")]
    Gone,
    /// An offer is outstanding (RFC 3261 §14.1, RFC 3311 §5.1): the peer who asked gets 491.
    #[error("an offer is outstanding")]
    Pending,
}

/// Why a challenge is left without an answer, though there is a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It comes from elsewhere than the places that the password is for.
    Elsewhere,
    /// None of its challenges has a digest that is known here, and the realm that the password is for.
    Form,
    /// The password was given, and asked for again.
    Refused,
}

/// How long a new call of ours waits for a first word, from when its INVITE has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After that the next address of the same name is tried beside it.
    pub failover_after: Duration,
    /// After that, where there is no other address, the call has failed: [`Fault::Silent`].
    pub first_response: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { failover_after: Duration::from_secs(2), first_response: Duration::from_secs(4) }
    }
}

/// Why a new call of ours has failed without a word from anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing came in time, not even a 100.
    Silent,
    /// The host says that nobody listens there (ICMP port unreachable).
    PortUnreachable,
    /// There is no way there, or no connection: it was refused, was not opened in time, or closed without an answer.
    NotSent,
}

impl Fault {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Silent => "no response",
            Fault::PortUnreachable => "port unreachable",
            Fault::NotSent => "no connection",
        }
    }
}

/// What a leg says. Where a message caused it, [`crate::sip::Stack::handle_message`] returns it and the message is
/// at hand; else it comes from [`crate::sip::Stack::poll_event`] and stands for a timeout or a transport fault.
#[expect(missing_docs, reason = "a field that is named like its type needs no words")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new INVITE made this leg; 100 is sent. The message is the INVITE.
    Incoming { leg: LegId },
    /// The caller cancelled before a final response, or the time is over that its INVITE gave: 200 and 487 are sent, or 487
    /// alone. The leg is over.
    Cancelled { leg: LegId },
    /// 101-199 to our INVITE.
    Progress { leg: LegId, status: u16 },
    /// The first 2xx to our INVITE. With `needs_answer` its SDP is an offer, and [`crate::sip::Stack::acknowledge`] must follow;
    /// else it is ACKed.
    Answered {
        leg: LegId,
        status: u16,
        /// Whether its SDP is an offer that [`crate::sip::Stack::acknowledge`] answers.
        needs_answer: bool,
    },
    /// Our INVITE failed for good (all flows tried, challenge answered). The leg is over. Where nobody has said a word,
    /// [`crate::sip::Stack::fault`] tells why.
    Refused {
        leg: LegId,
        status: u16,
        /// Who made the status.
        origin: Origin,
    },
    /// ACK for our 2xx (initial or re-INVITE). The message may carry the answer to our offer.
    Confirmed { leg: LegId },
    /// No ACK for our 2xx within 64·T1: BYE is sent, the leg is closing (RFC 3261 §13.3.1.4).
    Unconfirmed { leg: LegId },
    /// A request inside the leg that waits for [`crate::sip::Stack::respond`] (or `accept_referral`).
    Request {
        leg: LegId,
        /// Its name.
        request: RequestId,
        /// What it wants.
        kind: InDialogRequest,
    },
    /// The peer cancelled its re-INVITE; 200 and 487 are sent, and the request takes no answer any more. What was passed
    /// on of it is to be taken back by [`crate::sip::Stack::withdraw`].
    Withdrawn {
        leg: LegId,
        /// The re-INVITE.
        request: RequestId,
    },
    /// The final response to a request of ours inside the leg. For a re-INVITE with `needs_answer` see `Answered`.
    Response {
        leg: LegId,
        /// The request of ours.
        sent: SentId,
        status: u16,
        /// Who made the status.
        origin: Origin,
        /// Whether its SDP is an offer that [`crate::sip::Stack::acknowledge`] answers.
        needs_answer: bool,
    },
    /// A NOTIFY of the subscription that our REFER made, already answered 200. `refer` is that REFER.
    Notified {
        leg: LegId,
        refer: SentId,
        /// What it told.
        progress: ReferProgress,
    },
    /// The peer's BYE, already answered 200. The leg is over; its subscriptions live on until `release`.
    Bye { leg: LegId },
    /// Our BYE, CANCEL or refusal is done: the final status to the BYE (200 for the ACK of a refusal), or a local 408.
    /// The leg is over.
    Closed {
        leg: LegId,
        status: u16,
        /// Who made the status.
        origin: Origin,
    },
    /// A request that was given up ([`crate::sip::Stack::give_up`]) had left just then, or the ACK of an INVITE of ours has,
    /// which had to wait for its connection.
    Left {
        leg: LegId,
        /// The request of ours.
        sent: SentId,
    },
    /// A request of ours inside the leg could not be sent: there is no connection to its peer, or no way.
    Undelivered {
        leg: LegId,
        /// Of the request.
        method: Method,
        /// Where it was to go.
        to: Flow,
        /// It is sent again, by the flow that the peer itself has used.
        again: bool,
    },
    /// The peer is gone: a 481, a silence or missed keepalives that were confirmed (see `leg/presence` and `leg/keepalive`),
    /// or the end of its session. The layer above closes the leg.
    Lost {
        leg: LegId,
        status: u16,
        /// Who made the status.
        origin: Origin,
    },
    /// A request inside the leg and the OPTIONS that checked it were left without an answer, and that is no proof: the leg
    /// stays. Told once.
    Silent { leg: LegId },
    /// How its peer is reached may be set otherwise; nothing has happened to it.
    Advice {
        leg: LegId,
        /// What.
        advice: Advice,
    },
    /// The peer has answered none of the OPTIONS of [`crate::sip::Stack::keep_alive`], which so cannot tell whether it is
    /// there. Told once.
    KeepaliveIgnored { leg: LegId },
}

impl Event {
    /// The leg that says it.
    pub fn leg(self) -> LegId {
        match self {
            Event::Incoming { leg }
            | Event::Cancelled { leg }
            | Event::Progress { leg, .. }
            | Event::Answered { leg, .. }
            | Event::Refused { leg, .. }
            | Event::Confirmed { leg }
            | Event::Unconfirmed { leg }
            | Event::Request { leg, .. }
            | Event::Withdrawn { leg, .. }
            | Event::Response { leg, .. }
            | Event::Notified { leg, .. }
            | Event::Left { leg, .. }
            | Event::Undelivered { leg, .. }
            | Event::Bye { leg }
            | Event::Closed { leg, .. }
            | Event::Lost { leg, .. }
            | Event::Silent { leg }
            | Event::Advice { leg, .. }
            | Event::KeepaliveIgnored { leg } => leg,
        }
    }
}

//! One INVITE usage of one dialog: the caller's leg, the agent's or a target's. Cut by verb.
//!
//! A leg knows SIP and nothing of calls. It is driven by the verbs of [`crate::sip::Stack`] and speaks by [`Event`].

pub mod accept;
mod belated;
pub mod carry;
mod catch_up;
pub mod challenge;
pub mod close;
pub mod connect;
pub mod decision;
mod delivery;
pub mod inquire;
pub mod keepalive;
pub mod modify;
mod outcome;
pub(crate) mod presence;
pub mod reach;
pub mod reason_info;
pub mod refer;
pub(crate) mod reliable;
mod replaces;
pub(crate) mod send;
pub mod session_timer;
pub mod subscription;
pub mod tries;
pub(crate) mod usage;

use super::flow::Flow;
use crate::wire::Message;

/// A leg's place in its stack. Never reused while a stale copy could be mistaken for another leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    /// Slab index: dense, for tables beside the stack.
    pub index: u32,
    /// Which use of that index.
    pub generation: u32,
}

/// A request that a peer sent inside a leg and that waits for our final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) super::transaction::ServerId);

/// A request that we sent inside a leg. Answered by exactly one [`Event::Response`], unless the leg is over before, or lost
/// by the answer; by a second one if a REFER that had a local 408 is taken after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SentId(pub(crate) u64);

/// Who made a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It came in a message.
    Remote,
    /// Baton made it: 408 for a timeout, 503 for a transport fault (RFC 3261 §8.1.3.1).
    Local,
}

/// A header that a handoff or the product adds: already validated and expanded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Field {
    /// As it is to be written.
    pub name: Box<str>,
    /// Without control characters.
    pub value: Box<str>,
}

/// The body of a message that we make.
#[derive(Clone, Copy, Debug, Default)]
pub enum Body<'a> {
    /// Content-Length: 0.
    #[default]
    None,
    /// The body (and Content-Type) of [`Content::copy`]; SDP gets this dialog's continuous `o=`.
    Copied,
    /// An SDP body; gets this dialog's continuous `o=` (RFC 3264 §8).
    Sdp(&'a [u8]),
    /// Anything else, as it is: Content-Type, body.
    Other(&'a [u8], &'a [u8]),
}

/// What a message that we make carries beside what its dialog gives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// End-to-end headers are copied from here: `X-*`, User-to-User, Diversion, History-Info, Reason, Warning,
    /// Alert-Info, Call-Info, Subject, Session-ID … (the list stands in `leg/carry`). Never dialog, routing,
    /// authentication or content headers.
    pub copy: Option<&'a Message<'a>>,
    /// Whether P-Asserted-Identity and Privacy are copied too: both sides are trusted.
    pub identity: bool,
    /// Added; a name that stands here is not copied from `copy`.
    pub fields: &'a [Field],
    /// The body.
    pub body: Body<'a>,
}

/// A new leg of ours.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// Where the INVITE goes; of several the next is tried on silence, a transport fault or 503 (RFC 3263 §4.3). Those
    /// where nobody was just now come last.
    pub flows: &'a [Flow],
    /// How long silence lasts.
    pub patience: tries::Patience,
    /// How the peer is reached.
    pub reach: reach::Reach,
    /// Request-URI.
    pub uri: &'a [u8],
    /// The To URI (without tag).
    pub to: &'a [u8],
    /// User part of the From URI, at our advertised host; percent-encoded as needed here. None: anonymous.
    pub from_user: Option<&'a [u8]>,
    /// Display name of From.
    pub from_display: Option<&'a [u8]>,
    /// Max-Forwards as it is to stand on the wire.
    pub max_forwards: u8,
    /// Slot of the call: the Call-ID that is minted carries it.
    pub slot: u16,
    /// Whose leg it is: an index into [`super::Settings::parties`].
    pub party: Option<u16>,
    /// Whether the flows are places that the party's password is for: challenges in the leg are answered.
    pub digest: bool,
    /// Headers and offer.
    pub content: Content<'a>,
}

/// What an in-dialog request from the peer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDialogRequest {
    /// re-INVITE: a new offer, or the wish for one.
    Modify,
    /// UPDATE (RFC 3311).
    Update,
    /// INFO (RFC 6086).
    Info,
    /// REFER (RFC 3515); Refer-To and the rest are read with [`refer::Referral`].
    Refer,
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
        progress: subscription::ReferProgress,
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
        method: crate::wire::Method,
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
        advice: reach::Advice,
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

//! Requests that are under way in a leg: ours and the peer's, and what is kept of them while something may still come.
//!
//! Data only; not here: what is made of it, which stands with what the requests are for.

use super::Field;
use super::event::{InDialogRequest, SentId};
use super::session_timer::Demand;
use super::subscription::NotifyId;
use crate::sip::flow::Flow;
use crate::sip::timing::Time;
use crate::sip::transaction::{ClientId, ServerId};
use crate::wire::{Method, Name};
use std::time::Duration;

/// A request of ours.
#[derive(Debug)]
pub(crate) struct PendingUac {
    /// Its name above; for the stack's own requests a name that nobody knows.
    pub(crate) id: SentId,
    /// Its transaction.
    pub(crate) client: ClientId,
    pub(crate) cseq: u32,
    /// What it is.
    pub(crate) kind: Kind,
    /// What it is sent for.
    pub(crate) purpose: Purpose,
    /// The peer was heard since it went out.
    pub(crate) heard: bool,
    /// Whether it carries an offer.
    pub(crate) offered: bool,
    /// The early dialog that it was sent in (see [`Leg::session_in`]).
    pub(crate) branch: Option<Box<[u8]>>,
    /// The realms whose challenges to it were answered.
    pub(crate) challenged: Vec<Answered>,
    /// It was sent again with a longer session expiry, which a 422 had asked for.
    pub(crate) widened: bool,
    /// How often it was sent again because another request had overtaken it.
    pub(crate) overtaken: u8,
    /// It was sent again by [`Aside::source`].
    pub(crate) by_source: bool,
    /// Nothing of it is sent any more.
    pub(crate) given_up: bool,
    /// Its text, where it may have to be sent again in another transaction.
    pub(crate) request: Option<Box<[u8]>>,
    /// Where it goes if this flow fails: a request that went by TCP only because of its size (RFC 3261 §18.1.1).
    pub(crate) fallback: Option<Flow>,
    /// What the branches of an INVITE with an offer have said of their sessions in provisional responses.
    pub(crate) said: Vec<Said>,
    /// Timer C (RFC 3261 §16.6) of an INVITE that is provisionally answered.
    pub(crate) expires: Option<Time>,
    /// Of an INVITE that makes a leg: where it went, and what came of it.
    pub(crate) attempt: Try,
    /// A 2xx to this INVITE came.
    pub(crate) accepted: Option<Box<Accepted>>,
}

/// What a request of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The INVITE that made the leg.
    Invite,
    /// re-INVITE.
    Modify,
    /// UPDATE.
    Update,
    /// INFO.
    Info,
    /// REFER.
    Refer,
    /// NOTIFY.
    Notify(NotifyId),
    /// OPTIONS that the layer above asked for.
    Probe,
    /// OPTIONS of the stack's own, at an interval.
    KeepAlive,
    /// OPTIONS of the stack's own, because something was left without an answer.
    Check,
    /// PRACK of the stack's own.
    Prack,
    /// BYE.
    Bye,
}

impl Kind {
    /// Its method.
    pub(crate) fn method(self) -> Method {
        match self {
            Kind::Invite | Kind::Modify => Method::Invite,
            Kind::Update => Method::Update,
            Kind::Info => Method::Info,
            Kind::Refer => Method::Refer,
            Kind::Notify(_) => Method::Notify,
            Kind::Probe | Kind::KeepAlive | Kind::Check => Method::Options,
            Kind::Prack => Method::Prack,
            Kind::Bye => Method::Bye,
        }
    }
}

/// What a request of ours inside a dialog is sent for, where its failure means another thing for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For what it says.
    #[default]
    Itself,
    /// The layer above asks whether the peer is there, and has a 481 confirmed itself.
    Question,
    /// Missed keepalives, or a 481 that something else contradicts, are to be confirmed: silence ends the leg.
    Confirmation,
    /// It checks a 481.
    Disowned,
}

/// One try: an INVITE on its way to one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    /// What it went by.
    pub(crate) flow: Flow,
    /// When it was handed over.
    pub(crate) begun: Time,
    /// When it has left; None: it waits for its connection.
    pub(crate) left: Option<Time>,
    /// It is asked back, for it has waited too long.
    pub(crate) recalled: bool,
    pub(crate) heard: Heard,
}

/// What has come of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing.
    Nothing,
    /// A response.
    Response,
    /// It is left behind, whatever comes.
    Unwanted,
}

impl Try {
    /// It is handed over now.
    pub(crate) fn begin(now: Time, flow: Flow) -> Try {
        let left = (!flow.transport.is_reliable()).then_some(now);
        Try { flow, begun: now, left, recalled: false, heard: Heard::Nothing }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.heard == Heard::Response
    }

    pub(crate) fn is_unwanted(&self) -> bool {
        self.heard == Heard::Unwanted
    }
}

/// A realm whose challenge to a request was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(super) realm: Box<[u8]>,
    /// Twice: the nonce was stale.
    pub(super) again: bool,
}

/// What a branch of an INVITE of ours has said of its session in a provisional response.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) tag: Box<[u8]>,
    pub(crate) sdp: Box<[u8]>,
}

impl PendingUac {
    /// When an INVITE is cancelled that has no end (Timer C), or is forgotten that was accepted and acknowledged.
    pub(super) fn expires_at(&self) -> Option<Time> {
        match &self.accepted {
            Some(accepted) => accepted.ack.as_ref().map(|_| accepted.until),
            None => self.expires,
        }
    }

    /// A provisional response carried an SDP, the last one of its branch counts.
    pub(crate) fn note_said(&mut self, tag: &[u8], sdp: &[u8]) {
        if let Some(said) = self.said.iter_mut().find(|said| &*said.tag == tag) {
            said.sdp = sdp.into();
        } else if self.said.len() < BRANCHES {
            self.said.push(Said { tag: tag.into(), sdp: sdp.into() });
        }
    }

    /// What the branch with that To-tag has said in a provisional response.
    pub(crate) fn said(&self, tag: &[u8]) -> Option<&[u8]> {
        self.said.iter().find(|said| &*said.tag == tag).map(|said| &*said.sdp)
    }
}

/// Branches of one INVITE that are listened to.
pub(crate) const BRANCHES: usize = 8;

/// What is kept of an accepted INVITE of ours, for as long as a 2xx may come again.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The To-tag of the 2xx that counted.
    pub(crate) tag: Box<[u8]>,
    /// Its ACK, once it is made.
    pub(crate) ack: Option<(Flow, Box<[u8]>)>,
    /// What became of that ACK.
    pub(crate) acknowledged: Acknowledged,
    /// The ACK went by [`Aside::source`].
    pub(crate) by_source: bool,
    /// What the INVITE answered its challenges with, which an ACK repeats (RFC 3261 §22.1).
    pub(crate) credentials: Vec<(Name, Box<[u8]>)>,
    /// Other branches of its fork.
    pub(crate) others: Vec<ForkBranch>,
    /// Until when: Timer M.
    pub(crate) until: Time,
}

/// What became of an ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// It waits for its connection.
    Waiting,
    /// It has left.
    Sent,
    /// It could not be sent.
    Failed,
}

impl Acknowledged {
    /// Of an ACK that was just handed over to be sent by that flow.
    pub(crate) fn on(flow: Flow) -> Acknowledged {
        if flow.transport.is_reliable() { Acknowledged::Waiting } else { Acknowledged::Sent }
    }
}

/// A branch of a fork whose 2xx does not count.
#[derive(Debug)]
pub(crate) struct ForkBranch {
    pub(crate) tag: Box<[u8]>,
    /// CSeq of our last request to it.
    pub(crate) cseq: u32,
    /// The ACK of its 2xx, after which its BYE was sent.
    pub(crate) ack: Option<(Flow, Box<[u8]>)>,
}

/// A request of the peer's.
#[derive(Debug)]
pub(crate) struct PendingUas {
    /// Its transaction.
    pub(crate) server: ServerId,
    /// What it wants.
    pub(crate) kind: InDialogRequest,
    pub(crate) cseq: u32,
    /// Whether it carries an offer.
    pub(crate) offered: bool,
    /// The early dialog that it came in (see [`Leg::session_in`]).
    pub(crate) branch: Option<Box<[u8]>>,
    /// `Refer-Sub: false` stands on it.
    pub(crate) no_subscription: bool,
    /// What our 2xx says of the session's expiry.
    pub(crate) demand: Option<Demand>,
}

/// Our 2xx to an INVITE, retransmitted until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(crate) struct Unacked {
    /// The transaction, which keeps the response.
    pub(crate) server: ServerId,
    /// CSeq of the INVITE.
    pub(crate) cseq: u32,
    /// When it is sent again.
    pub(crate) at: Time,
    /// The interval that ends then.
    pub(crate) interval: Duration,
    /// When it is given up.
    pub(crate) until: Time,
    /// Whether our 2xx carried an offer, which the ACK answers.
    pub(crate) offered: bool,
    /// The headers of a BYE that waits for the ACK.
    pub(crate) bye: Option<Box<[Field]>>,
}

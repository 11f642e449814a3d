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

/// A request of ours that is not over: we are its UAC, and it has or had a client transaction.
#[derive(Debug)]
pub(crate) struct PendingUac {
    /// Its name above; for the stack's own requests a name that nobody knows.
    pub(super) id: SentId,
    /// Its transaction.
    pub(super) client: ClientId,
    pub(super) cseq: u32,
    /// What it is, and what only such a request has.
    pub(super) kind: Kind,
    /// The peer was heard since it went out.
    pub(super) heard: bool,
    /// The early dialog that it was sent in (see `Leg::session_in`).
    pub(super) branch: Option<Box<[u8]>>,
    /// The realms whose challenges to it were answered.
    pub(super) challenged: Vec<Answered>,
    /// It was sent again with a longer session expiry, which a 422 had asked for.
    pub(super) widened: bool,
    /// It was sent again by `Aside::source`.
    pub(super) by_source: bool,
    /// Nothing of it is sent any more.
    pub(super) given_up: bool,
    /// Its text, where it may have to be sent again in another transaction.
    pub(super) request: Option<Box<[u8]>>,
    /// Where it goes if this flow fails: a request that went by TCP only because of its size (RFC 3261 §18.1.1).
    pub(super) fallback: Option<Flow>,
    /// Where it went.
    pub(super) transit: Transit,
}

/// What a request of ours is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The INVITE that made the leg; each of the addresses that are tried has its own.
    Invite {
        invite: Invite,
        /// What has come of the try.
        heard: Heard,
    },
    /// re-INVITE.
    Modify {
        invite: Invite,
        purpose: Purpose,
        /// How often it was sent again because another request had overtaken it.
        overtaken: u8,
    },
    /// UPDATE.
    Update {
        /// Whether it carries an offer.
        offered: bool,
    },
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
    Check {
        /// It was a 481, and not silence.
        disowned: bool,
    },
    /// PRACK of the stack's own.
    Prack,
    /// BYE.
    Bye,
}

/// What is kept of an INVITE or re-INVITE of ours.
#[derive(Debug, Default)]
pub(crate) struct Invite {
    /// Whether it carries an offer.
    pub(super) offered: bool,
    /// What the branches of one with an offer have said of their sessions in provisional responses.
    pub(super) said: Vec<Said>,
    /// Timer C (RFC 3261 §16.6), once it is provisionally answered.
    pub(super) expires: Option<Time>,
    /// A 2xx to it came.
    pub(super) accepted: Option<Box<Accepted>>,
}

/// What a re-INVITE is sent for, where its failure means another thing for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For what it says.
    Itself,
    /// The layer above asks whether the peer is there, and has a 481 confirmed itself.
    Question,
    /// Missed keepalives, or a 481 that something else contradicts, are to be confirmed: silence ends the leg.
    Confirmation,
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

impl Kind {
    /// The INVITE that makes a leg.
    pub(crate) fn invite(offered: bool) -> Kind {
        Kind::Invite { invite: Invite { offered, ..Invite::default() }, heard: Heard::Nothing }
    }

    /// A re-INVITE for what it says.
    pub(crate) fn modify(offered: bool) -> Kind {
        let invite = Invite { offered, ..Invite::default() };
        Kind::Modify { invite, purpose: Purpose::Itself, overtaken: 0 }
    }

    /// A re-INVITE that offers.
    pub(super) fn reoffer(purpose: Purpose) -> Kind {
        let invite = Invite { offered: true, ..Invite::default() };
        Kind::Modify { invite, purpose, overtaken: 0 }
    }

    /// Its method.
    pub(crate) fn method(&self) -> Method {
        match self {
            Kind::Invite { .. } | Kind::Modify { .. } => Method::Invite,
            Kind::Update { .. } => Method::Update,
            Kind::Info => Method::Info,
            Kind::Refer => Method::Refer,
            Kind::Notify(_) => Method::Notify,
            Kind::Probe | Kind::KeepAlive | Kind::Check { .. } => Method::Options,
            Kind::Prack => Method::Prack,
            Kind::Bye => Method::Bye,
        }
    }

    /// Whether it carries an offer.
    pub(crate) fn offers(&self) -> bool {
        match self {
            Kind::Invite { invite, .. } | Kind::Modify { invite, .. } => invite.offered,
            Kind::Update { offered } => *offered,
            Kind::Info
            | Kind::Refer
            | Kind::Notify(_)
            | Kind::Probe
            | Kind::KeepAlive
            | Kind::Check { .. }
            | Kind::Prack
            | Kind::Bye => false,
        }
    }

    /// Whether it is the INVITE that made the leg.
    pub(super) fn is_invite(&self) -> bool {
        matches!(self, Kind::Invite { .. })
    }

    /// Whether it is a re-INVITE.
    pub(super) fn is_modify(&self) -> bool {
        matches!(self, Kind::Modify { .. })
    }
}

impl PendingUac {
    /// What is kept of an INVITE; None: it is none.
    pub(crate) fn invite(&self) -> Option<&Invite> {
        match &self.kind {
            Kind::Invite { invite, .. } | Kind::Modify { invite, .. } => Some(invite),
            _ => None,
        }
    }

    pub(super) fn invite_mut(&mut self) -> Option<&mut Invite> {
        match &mut self.kind {
            Kind::Invite { invite, .. } | Kind::Modify { invite, .. } => Some(invite),
            _ => None,
        }
    }

    /// What is kept of an INVITE that was accepted.
    pub(crate) fn accepted(&self) -> Option<&Accepted> {
        self.invite()?.accepted.as_deref()
    }

    pub(super) fn accepted_mut(&mut self) -> Option<&mut Accepted> {
        self.invite_mut()?.accepted.as_deref_mut()
    }

    /// Whether it is a try that was left behind.
    pub(super) fn is_unwanted(&self) -> bool {
        matches!(self.kind, Kind::Invite { heard: Heard::Unwanted, .. })
    }

    /// It was accepted: what is needed to send it again is needed no more.
    pub(crate) fn accept(mut self, accepted: Accepted) -> PendingUac {
        self.request = None;
        if let Some(invite) = self.invite_mut() {
            *invite =
                Invite { accepted: Some(Box::new(accepted)), offered: invite.offered, ..Invite::default() };
        }
        self
    }

    /// It goes out once more, by another transaction.
    pub(super) fn begin_again(&mut self, client: ClientId, cseq: u32, transit: Transit) {
        (self.client, self.cseq, self.transit) = (client, cseq, transit);
        self.heard = false;
        if let Some(invite) = self.invite_mut() {
            invite.said = Vec::new();
        }
        if let Kind::Invite { heard, .. } = &mut self.kind {
            *heard = Heard::Nothing;
        }
    }

    /// When an INVITE is cancelled that has no end (Timer C), or is forgotten that was accepted and acknowledged.
    pub(super) fn expires_at(&self) -> Option<Time> {
        let invite = self.invite()?;
        match &invite.accepted {
            Some(accepted) => accepted.ack.as_ref().map(|_| accepted.until),
            None => invite.expires,
        }
    }
}

/// A request on its way to one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transit {
    /// What it went by.
    pub(super) flow: Flow,
    /// When it was handed over.
    pub(super) begun: Time,
    /// When it has left; None: it waits for its connection.
    pub(super) left: Option<Time>,
    /// It is asked back, for it has waited too long.
    pub(super) recalled: bool,
}

impl Transit {
    /// It is handed over now.
    pub(crate) fn begin(now: Time, flow: Flow) -> Transit {
        let left = (!flow.transport.is_reliable()).then_some(now);
        Transit { flow, begun: now, left, recalled: false }
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
    pub(super) tag: Box<[u8]>,
    pub(super) sdp: Box<[u8]>,
}

impl Invite {
    /// A provisional response carried an SDP, the last one of its branch counts.
    pub(super) fn note_said(&mut self, tag: &[u8], sdp: &[u8]) {
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
pub(super) const BRANCHES: usize = 8;

/// What is kept of an accepted INVITE of ours, for as long as a 2xx may come again.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The To-tag of the 2xx that counted.
    pub(super) tag: Box<[u8]>,
    /// Its ACK, once it is made.
    pub(super) ack: Option<(Flow, Box<[u8]>)>,
    /// What became of that ACK.
    pub(super) acknowledged: Acknowledged,
    /// The ACK went by `Aside::source`.
    pub(super) by_source: bool,
    /// What the INVITE answered its challenges with, which an ACK repeats (RFC 3261 §22.1).
    pub(super) credentials: Vec<(Name, Box<[u8]>)>,
    /// Other branches of its fork.
    pub(super) others: Vec<ForkBranch>,
    /// Until when: Timer M.
    pub(super) until: Time,
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
    pub(super) tag: Box<[u8]>,
    /// CSeq of our last request to it.
    pub(super) cseq: u32,
    /// The ACK of its 2xx, after which its BYE was sent.
    pub(super) ack: Option<(Flow, Box<[u8]>)>,
}

/// An in-dialog request of the peer's to which no final response was sent yet: we are its UAS. The layer above knows it by its
/// `RequestId`, and hears as [`InDialogRequest`] what kind it is.
#[derive(Debug)]
pub(crate) struct PendingUas {
    /// Its transaction.
    pub(super) server: ServerId,
    /// What it wants.
    pub(super) kind: InDialogRequest,
    pub(super) cseq: u32,
    /// Whether it carries an offer.
    pub(super) offered: bool,
    /// The early dialog that it came in (see `Leg::session_in`).
    pub(super) branch: Option<Box<[u8]>>,
    /// `Refer-Sub: false` stands on it.
    pub(super) no_subscription: bool,
    /// What our 2xx says of the session's expiry.
    pub(super) demand: Option<Demand>,
}

/// Our 2xx to an INVITE, retransmitted until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(crate) struct Unacked {
    /// The transaction, which keeps the response.
    pub(super) server: ServerId,
    /// CSeq of the INVITE.
    pub(super) cseq: u32,
    /// When it is sent again.
    pub(super) at: Time,
    /// The interval that ends then.
    pub(super) interval: Duration,
    /// When it is given up.
    pub(super) until: Time,
    /// Whether our 2xx carried an offer, which the ACK answers.
    pub(super) offered: bool,
    /// The headers of a BYE that waits for the ACK.
    pub(super) bye: Option<Box<[Field]>>,
}

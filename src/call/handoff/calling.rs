//! A target is called, from the look-up of its address to its answer. The caller stays where it is meanwhile.
//!
//! What the answer is good for is the business of others: `join`, `attended`, the phase before the answer.

use super::Handoff;
use super::facts::Unheard;
use crate::call::context::Context;
use crate::call::conversation::let_go;
use crate::call::decision::is_ours;
use crate::call::facts::Facts;
use crate::call::ids::SipCallId;
use crate::call::record::HandoffState;
use crate::call::target_address::{self, Offer, TargetAddress};
use crate::call::ticket::Ticket;
use crate::routing::explain::Cause;
use crate::routing::select;
use crate::sip::leg::reason_info::ReasonInfo;
use crate::sip::leg::tries::Fault;
use crate::sip::leg::{Body, InDialogRequest};
use crate::sip::{Answer, Content, Event, LegId, Origin, Time, identity};
use crate::wire::sdp::{as_answer, has_stream};
use crate::wire::{Host, Message, Uri, reason_phrase};
use std::borrow::Cow;

/// Redirections that are followed (3xx), all together.
const REDIRECTS: u8 = 5;

/// Calls a target: looks its address up, sends the INVITE, waits for the answer.
#[derive(Debug)]
pub(crate) struct Calling {
    state: State,
    place: TargetAddress,
    /// When the target has rung long enough.
    until: Time,
    redirects: u8,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Its address is looked up.
    Finding { ticket: Ticket },
    /// The INVITE is out.
    Ringing { leg: LegId },
    /// It has answered, and its ACK waits for a connection: it has nothing yet.
    Answered { leg: LegId },
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not about this target.
    NotMine,
    /// It goes on.
    Wait,
    /// It has answered; with `needs_answer` its SDP is an offer, which waits for the caller's answer.
    Answered { leg: LegId, needs_answer: bool },
    /// It will not. With its own final status, if it gave one.
    Failed { cause: Cause, status: Option<u16> },
}

impl Calling {
    /// Opens the attempt and looks up the target's address. `most`: it may ring no longer than that.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        most: Option<Time>,
    ) -> Result<Calling, Cause> {
        handoff.attempt(cx, handoff.attempt_plan.method, HandoffState::Pending, None);
        let place = TargetAddress::of(cx, facts, &handoff.attempt_plan).ok_or(Cause::Unreachable)?;
        Ok(Self::find(cx, handoff, place, most))
    }

    fn find(cx: &mut Context<'_>, handoff: &Handoff, place: TargetAddress, most: Option<Time>) -> Calling {
        let ticket = cx.locate(&place.address);
        let until = (cx.now.mono + handoff.attempt_plan.destination.timeouts.ring).min(handoff.total);
        let until = most.map_or(until, |most| most.min(until));
        Calling { state: State::Finding { ticket }, place, until, redirects: 0 }
    }

    /// The target's leg, if there is one.
    pub(crate) fn leg(&self) -> Option<LegId> {
        match self.state {
            State::Finding { .. } => None,
            State::Ringing { leg } | State::Answered { leg } => Some(leg),
        }
    }

    /// It has answered, and [`Verdict::Answered`] is to be said again once its ACK has left.
    pub(crate) fn wait_for_ack(&mut self) {
        if let State::Ringing { leg } = self.state {
            self.state = State::Answered { leg };
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        self.until
    }

    /// Whether it waits for the answer to that question for an address.
    pub(crate) fn has_asked(&self, question: Ticket) -> bool {
        matches!(self.state, State::Finding { ticket } if ticket == question)
    }

    /// The address: the INVITE goes out.
    pub(crate) fn answered(
        &mut self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        handoff: &mut Handoff,
        (ticket, Answer::Located(flows)): (Ticket, Answer<'_>),
        offer: Offer<'_>,
    ) -> Verdict {
        if !self.has_asked(ticket) {
            return Verdict::NotMine;
        }
        if flows.is_empty() {
            handoff.unanswered(Unheard::NoAddress);
            return UNREACHABLE;
        }
        let to = (&self.place, &*handoff.attempt_plan, handoff.plan.basis.given.referred_by.as_deref());
        let Some(leg) = target_address::call_target(cx, facts, flows, to, offer) else {
            return Verdict::Failed { cause: Cause::Failed, status: None };
        };
        // Beside somebody else's number the caller's own is not shown, now or later.
        let trusted = self.place.trusted && handoff.attempt_plan.caller_id.is_none();
        facts.own_target(cx, leg, trusted);
        cx.stack.keep_alive(cx.now, leg, self.place.keepalive);
        let sip_call_id = cx.stack.sip_call_id(leg).map(SipCallId::of);
        handoff.peer = cx.stack.peer(leg);
        if let Some(attempt) = handoff.last_mut() {
            attempt.sip_call_id = sip_call_id;
        }
        handoff.progress(cx, HandoffState::Ringing, None);
        self.state = State::Ringing { leg };
        Verdict::Wait
    }

    /// One event of a leg.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Verdict {
        let (ours, answered) = match self.state {
            State::Finding { .. } => return Verdict::NotMine,
            State::Ringing { leg } => (leg, false),
            State::Answered { leg } => (leg, true),
        };
        match event {
            Event::Left { leg, .. } if leg == ours && answered => {
                Verdict::Answered { leg, needs_answer: false }
            }
            Event::Lost { leg, status, origin } if leg == ours && answered => {
                cx.release(leg);
                handoff.because(NOT_ACKNOWLEDGED);
                handoff.answered(status, reason_phrase(status), origin);
                Verdict::Failed { cause: Cause::Unreachable, status: None }
            }
            Event::Progress { leg, status } if leg == ours => {
                handoff.progress(cx, HandoffState::Ringing, Some(status));
                Verdict::Wait
            }
            Event::Answered { leg, status, needs_answer } if leg == ours => {
                handoff.answered_by(status, message, Origin::Remote);
                if message.is_some_and(Message::is_multipart) && !is_joinable(cx, leg) {
                    handoff.because(MULTIPART);
                }
                Verdict::Answered { leg, needs_answer }
            }
            Event::Refused { leg, status, origin } if leg == ours => {
                let fault = cx.stack.fault(leg);
                cx.release(leg);
                if let Some(fault) = fault {
                    handoff.unanswered(Unheard::Network(fault));
                    return UNREACHABLE;
                }
                if self.follow(cx, facts, handoff, status, message) {
                    return Verdict::Wait;
                }
                handoff.answered_by(status, message, origin);
                let cause = self.place.cause(status, message).unwrap_or(Cause::Failed);
                Verdict::Failed { cause, status: Some(status) }
            }
            Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. } if leg == ours => {
                cx.release(leg);
                handoff.answered(480, reason_phrase(480), Origin::Remote);
                Verdict::Failed { cause: Cause::NoAnswer, status: None }
            }
            Event::Request { leg, request, kind } if leg == ours => {
                // Nobody is joined with it yet, so what it was offered is all that there is to say (RFC 3311 §5.2).
                let offer = cx.stack.proposed_sdp(leg).filter(|_| kind == InDialogRequest::Update);
                let answer = offer.zip(cx.stack.local_sdp(leg)).map(|(offer, ours)| as_answer(ours, offer));
                match &answer {
                    Some(answer) => {
                        let content = Content { body: Body::Sdp(answer), ..Content::default() };
                        let _ = cx.stack.respond(cx.now, request, 200, content);
                    }
                    None => cx.refuse(request, 491, NOT_JOINED),
                }
                Verdict::Wait
            }
            _ => Verdict::NotMine,
        }
    }

    /// 3xx: the next target, if `redirects` of the target's trunk allows it (RFC 3261 §8.1.3.4).
    fn follow(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        status: u16,
        message: Option<&Message<'_>>,
    ) -> bool {
        let redirects = (300..400).contains(&status) && self.redirects < REDIRECTS;
        let Some(message) = message.filter(|_| redirects) else { return false };
        let (table, may_route) = (&handoff.plan.table, handoff.plan.basis.by.may_route(facts));
        let trunk =
            self.place.trunk.as_deref().and_then(|id| cx.tables.topology.trunk(id)).map(|trunk| &**trunk);
        let ours = |host: &Host<'_>| is_ours(cx.listeners, &facts.trunk, host);
        let allowed = |uri: &Uri<'_>| {
            select::by_redirection(table, trunk, may_route, uri, &ours)
                .map(|route| TargetAddress::at(cx, facts, &handoff.attempt_plan, &route))
                .filter(|place| *place != self.place)
        };
        let Some(place) = identity::best_contact(message, allowed) else { return false };
        let (redirects, until) = (self.redirects + 1, self.until);
        *self = Self::find(cx, handoff, place, Some(until));
        self.redirects = redirects;
        true
    }

    /// A deadline may have come.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>, handoff: &mut Handoff) -> Verdict {
        if self.until > cx.now.mono {
            return Verdict::Wait;
        }
        match self.state {
            State::Finding { .. } => {
                handoff.unanswered(Unheard::Dns);
                UNREACHABLE
            }
            State::Ringing { leg } => {
                let answering = cx.stack.is_answering(leg);
                let refused = cx.stack.refused_beside(leg);
                let_go(cx, leg, identity::reason(480, "No answer"));
                if let Some(status) = refused {
                    // What somebody has said counts, and not the silence of another address.
                    handoff.answered(status, reason_phrase(status), Origin::Remote);
                    let cause = self.place.cause(status, None).unwrap_or(Cause::Failed);
                    return Verdict::Failed { cause, status: Some(status) };
                }
                if !answering {
                    handoff.unanswered(Unheard::Network(Fault::Silent));
                    return UNREACHABLE;
                }
                handoff.answered(408, reason_phrase(408), Origin::Local);
                Verdict::Failed { cause: Cause::NoAnswer, status: None }
            }
            State::Answered { leg } => {
                let_go(cx, leg, identity::reason(503, "No way back"));
                handoff.because(NOT_ACKNOWLEDGED);
                handoff.answered(503, reason_phrase(503), Origin::Local);
                Verdict::Failed { cause: Cause::Unreachable, status: None }
            }
        }
    }

    /// It is not wanted any more: CANCEL.
    pub(crate) fn give_up(&self, cx: &mut Context<'_>, why: &str) {
        if let State::Ringing { leg } | State::Answered { leg } = self.state {
            let_go(cx, leg, identity::reason(487, why));
        }
    }
}

/// Whether a side that has answered can be joined with somebody: its answer has a stream, unless none was wanted.
pub(crate) fn is_joinable(cx: &Context<'_>, leg: LegId) -> bool {
    let wanted = cx.stack.local_sdp(leg).is_some_and(has_stream);
    cx.stack.remote_sdp(leg).is_some_and(|answer| !wanted || has_stream(answer))
}

/// Nobody has answered, nor could.
const UNREACHABLE: Verdict = Verdict::Failed { cause: Cause::Unreachable, status: None };

/// Why a target that has answered is not there all the same.
const NOT_ACKNOWLEDGED: &str = "The target has answered, and the ACK could not be delivered to it: its Contact leads where nothing listens (see `sip.undelivered` and `net.connect_failed`).";

/// Why a target gets no answer to a request of its own.
const NOT_JOINED: &str = "nobody is joined with this call yet";

/// The word for a 2xx that cannot be joined with anybody.
pub(crate) const NO_SESSION: &str = "No session description";

/// The same for one whose session stands in a part of its body.
const MULTIPART: &str = "The target's 2xx has a multipart body, of which Baton reads no part: have it send its SDP alone, as `application/sdp`.";

/// The same for whoever is on call.
pub(crate) const NOTHING_TO_JOIN: &str = "The target's 2xx has no session that anybody could be joined with: no SDP, or every stream refused. Compare its codecs with the caller's.";

/// The phrase of a response, or the usual one; and what the telephone network said, which may be why it was understood
/// otherwise than its status.
pub(crate) fn phrase(message: Option<&Message<'_>>, status: u16) -> Cow<'static, str> {
    let Some(message) = message else { return reason_phrase(status).into() };
    let phrase = String::from_utf8_lossy(message.reason());
    match ReasonInfo::of(message).q850 {
        Some(cause) => format!("{phrase} (Q.850 cause {cause})").into(),
        None => phrase.into_owned().into(),
    }
}

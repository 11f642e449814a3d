//! The caller leg is not answered yet: the agent is called, or, once a handoff was decided, its destination.
//!
//! Each party that is tried has its own early dialog (To-tag) towards the caller.

mod divert;

use super::ending::Ending;
use super::moving::Moving;
use super::talking::{self, Talking};
use super::{Phase, Stimulus};
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Partner};
use crate::call::decision::{By, Given};
use crate::call::event::What;
use crate::call::facts::Facts;
use crate::call::handoff::Handoff;
use crate::call::handoff::ladder::Next;
use crate::call::record::{HandoffState, Role};
use crate::routing::explain::{self, Cause, Where};
use crate::routing::headers::user_part;
use crate::sip::leg::Body;
use crate::sip::leg::decision::Decision;
use crate::sip::{Connect, Content, Event, Field, Flow, LegId, Origin, Time, identity};
use crate::wire::{Framing, Index, Message, identify, reason_phrase};
use smallvec::SmallVec;

/// See the module.
#[derive(Debug)]
pub(crate) struct Setup {
    caller: LegId,
    /// The INVITE as received: what goes to whoever is called next.
    invite: Box<[u8]>,
    /// Counts who was tried: the agent is 0.
    party: u8,
    trying: Trying,
}

/// Who is called.
#[derive(Debug)]
enum Trying {
    /// Between two parties, or at the end of all.
    Nobody,
    /// The agent's address is looked up.
    FindingAgent { query: u64 },
    /// The agent is called.
    Agent { leg: LegId, until: Time },
    /// The destination's address is looked up.
    FindingTarget { query: u64, handoff: Box<Handoff>, request_uri: Box<str>, credentials: Option<u16> },
    /// The destination is called.
    Target { leg: LegId, until: Time, handoff: Box<Handoff> },
    /// Our 302 or 480 is out and waits for its ACK.
    HandingBack { handoff: Box<Handoff> },
}

impl Setup {
    /// A call was admitted: the agent is called.
    pub(crate) fn begin(cx: &mut Context<'_>, facts: &Facts, caller: LegId, invite: &Message<'_>) -> Phase {
        let query = cx.resolve(&facts.agent.address().text);
        let trying = Trying::FindingAgent { query };
        Phase::Setup(Box::new(Setup { caller, invite: invite.bytes().into(), party: 0, trying }))
    }

    /// An agent that may not be called now (its own limit): the caller goes to its fallback at once.
    pub(crate) fn begin_without_agent(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        caller: LegId,
        invite: &Message<'_>,
    ) -> Phase {
        let trying = Trying::Nobody;
        let setup = Box::new(Setup { caller, invite: invite.bytes().into(), party: 0, trying });
        setup.agent_failed(cx, facts, 486, Origin::Local, None)
    }

    fn phase(self: Box<Self>) -> Phase {
        Phase::Setup(self)
    }

    /// The handoff that runs, if one does.
    pub(crate) fn handoff(&self) -> Option<&Handoff> {
        match &self.trying {
            Trying::Nobody | Trying::FindingAgent { .. } | Trying::Agent { .. } => None,
            Trying::FindingTarget { handoff, .. }
            | Trying::Target { handoff, .. }
            | Trying::HandingBack { handoff } => Some(handoff),
        }
    }

    /// The legs that are there.
    pub(crate) fn legs(&self) -> SmallVec<[(LegId, Role); 3]> {
        let mut legs = SmallVec::from_iter([(self.caller, Role::Caller)]);
        match &self.trying {
            Trying::Agent { leg, .. } => legs.push((*leg, Role::Agent)),
            Trying::Target { leg, .. } => legs.push((*leg, Role::Target)),
            Trying::Nobody
            | Trying::FindingAgent { .. }
            | Trying::FindingTarget { .. }
            | Trying::HandingBack { .. } => {}
        }
        legs
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.trying {
            Trying::Agent { until, .. } => Some(*until),
            Trying::Target { until, handoff, .. } => Some((*until).min(handoff.total)),
            Trying::FindingTarget { handoff, .. } => Some(handoff.total),
            // A name that is looked up is answered by the network layer in bounded time.
            Trying::Nobody | Trying::FindingAgent { .. } | Trying::HandingBack { .. } => None,
        }
    }

    pub(crate) fn step(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        stimulus: Stimulus<'_>,
    ) -> Phase {
        match stimulus {
            Stimulus::Leg(event, message) => self.hear(cx, facts, event, message),
            Stimulus::Resolved { query, flows } => self.resolved(cx, facts, query, flows),
            Stimulus::Tick => self.tick(cx, facts),
            Stimulus::HangUp { why } => self.end(cx, facts, HandoffState::Failed, true, 480, why),
        }
    }

    fn resolved(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        answer: u64,
        flows: &[Flow],
    ) -> Phase {
        match self.trying {
            Trying::FindingAgent { query } if query == answer => {
                if flows.is_empty() {
                    self.trying = Trying::Nobody;
                    return self.agent_failed(cx, facts, 503, Origin::Local, None);
                }
                let uri = facts.agent.address().text.clone();
                let own = [identity::call_id_field(&facts.id)];
                let from = From::caller(facts);
                let callee = Callee { uri: &uri, from, fields: &own, credentials: None };
                let Some(leg) = self.connect(cx, facts, flows, &callee) else {
                    return self.end(
                        cx,
                        facts,
                        HandoffState::Failed,
                        true,
                        500,
                        "the INVITE cannot be read again",
                    );
                };
                facts.own(cx, leg, Role::Agent);
                self.trying = Trying::Agent { leg, until: cx.now.mono + facts.agent.answer_timeout };
                self.phase()
            }
            Trying::FindingTarget { query, mut handoff, request_uri, credentials } if query == answer => {
                self.trying = Trying::Nobody;
                if flows.is_empty() {
                    handoff.answered(503, reason_phrase(503), Origin::Local);
                    return self.target_failed(cx, facts, handoff, Cause::Unreachable, None);
                }
                let from = From::target(facts, &handoff);
                let fields = &handoff.plan.fields;
                let callee = Callee { uri: &request_uri, from, fields, credentials };
                let Some(leg) = self.connect(cx, facts, flows, &callee) else {
                    return self.target_failed(cx, facts, handoff, Cause::Failed, None);
                };
                facts.own(cx, leg, Role::Target);
                let sip_call_id =
                    cx.stack.sip_call_id(leg).map(|id| String::from_utf8_lossy(id).into_owned());
                if let Some(attempt) = handoff.last() {
                    attempt.sip_call_id = sip_call_id;
                }
                handoff.progress(cx, HandoffState::Ringing, None);
                let until = cx.now.mono + handoff.plan.destination.timeouts.ring;
                self.trying = Trying::Target { leg, until, handoff };
                self.phase()
            }
            trying => {
                self.trying = trying;
                self.phase()
            }
        }
    }

    /// INVITE with the caller's offer. None: the stored INVITE does not decode, which it did when it came.
    fn connect(
        &self,
        cx: &mut Context<'_>,
        facts: &Facts,
        flows: &[Flow],
        callee: &Callee<'_>,
    ) -> Option<LegId> {
        let Callee { uri, from, fields, credentials } = *callee;
        let mut index = Index::default();
        let invite = identify(&self.invite, &mut index, Framing::Datagram).ok()?;
        let host = cx.advertised(flows.first().copied()).to_string();
        let to = format!("sip:{}@{host}", user_part(&facts.called));
        let connect = Connect {
            flows,
            uri: uri.as_bytes(),
            to: to.as_bytes(),
            from_user: from.user.map(str::as_bytes),
            from_display: from.name.map(str::as_bytes),
            max_forwards: invite.max_forwards().unwrap_or(70).saturating_sub(1),
            slot: facts.slot,
            credentials,
            content: Content {
                copy: Some(&invite),
                identity: facts.trunk.trusted,
                fields,
                body: if invite.body().is_empty() { Body::None } else { Body::Copied },
            },
        };
        Some(cx.stack.connect(cx.now, connect))
    }

    fn hear(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Phase {
        match event {
            Event::Cancelled { leg } | Event::Bye { leg } | Event::Lost { leg, .. } if leg == self.caller => {
                self.caller_left(cx, facts, message)
            }
            Event::Closed { leg, status, origin } if leg == self.caller => {
                self.handed_back(cx, facts, status, origin)
            }
            Event::Progress { status, .. } => {
                if let Trying::Target { handoff, .. } = &mut self.trying {
                    handoff.progress(cx, HandoffState::Ringing, Some(status));
                }
                let body = if message.is_some_and(Message::has_sdp) { Body::Copied } else { Body::None };
                let content =
                    Content { copy: message, identity: facts.trunk.trusted, body, ..Content::default() };
                // A caller that has gone meanwhile tells so itself.
                let _ = cx.stack.provisional(cx.now, self.caller, self.party, status, content);
                self.phase()
            }
            Event::Answered { leg, needs_answer, .. } => self.answered(cx, facts, leg, needs_answer, message),
            Event::Refused { leg, status, origin } => self.refused(cx, facts, leg, status, origin, message),
            Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. } => {
                self.refused(cx, facts, leg, 480, Origin::Remote, None)
            }
            Event::Request { request, .. } => {
                let _ = cx.stack.respond(cx.now, request, 500, Content::default());
                self.phase()
            }
            Event::Incoming { .. }
            | Event::Cancelled { .. }
            | Event::Confirmed { .. }
            | Event::Unconfirmed { .. }
            | Event::Response { .. }
            | Event::Withdrawn { .. }
            | Event::Notified { .. } => self.phase(),
        }
    }

    fn answered(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        leg: LegId,
        needs_answer: bool,
        message: Option<&Message<'_>>,
    ) -> Phase {
        let identity = facts.trunk.trusted;
        let content = Content { copy: message, identity, body: Body::Copied, ..Content::default() };
        // A caller that has gone meanwhile tells so itself.
        let _ = cx.stack.answer(cx.now, self.caller, self.party, content);
        facts.answered = Some(cx.now.wall);
        cx.counters.calls_answered += 1;
        let (role, handoff) = match self.trying {
            Trying::Target { handoff, .. } => (Role::Target, Some(handoff)),
            Trying::Nobody
            | Trying::Agent { .. }
            | Trying::FindingAgent { .. }
            | Trying::FindingTarget { .. }
            | Trying::HandingBack { .. } => (Role::Agent, None),
        };
        cx.tell(What::CallAnswered { call: facts.id.to_string(), by: role });
        let awaiting = needs_answer.then_some(leg);
        let conversation = Conversation::new(self.caller, Partner { leg, role }, identity, awaiting);
        match handoff {
            Some(mut handoff) => {
                handoff.answered(200, &phrase(message, 200), Origin::Remote);
                Moving::joining(cx, conversation, *handoff)
            }
            None => {
                cx.stack.keep_alive(cx.now, leg, facts.agent.keepalive);
                Phase::Talking(Talking::new(conversation))
            }
        }
    }

    fn refused(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        leg: LegId,
        status: u16,
        origin: Origin,
        message: Option<&Message<'_>>,
    ) -> Phase {
        match self.trying {
            Trying::Agent { leg: agent, .. } if agent == leg => {
                cx.release(leg);
                self.trying = Trying::Nobody;
                self.agent_failed(cx, facts, status, origin, message)
            }
            Trying::Target { leg: target, mut handoff, .. } if target == leg => {
                cx.release(leg);
                handoff.answered(status, &phrase(message, status), origin);
                let cause = explain::cause(status, Where::InviteResponse).unwrap_or(Cause::Failed);
                self.trying = Trying::Nobody;
                self.target_failed(cx, facts, handoff, cause, Some(status))
            }
            trying => {
                self.trying = trying;
                self.phase()
            }
        }
    }

    fn tick(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let now = cx.now.mono;
        match self.trying {
            Trying::Agent { leg, until } if until <= now => {
                self.drop_leg(cx, leg, "No answer");
                self.trying = Trying::Nobody;
                self.agent_failed(cx, facts, 408, Origin::Local, None)
            }
            Trying::Target { leg, until, mut handoff } if until.min(handoff.total) <= now => {
                self.trying = Trying::Nobody;
                self.drop_leg(cx, leg, "No answer");
                handoff.answered(408, reason_phrase(408), Origin::Local);
                self.target_failed(cx, facts, handoff, Cause::NoAnswer, None)
            }
            Trying::FindingTarget { mut handoff, .. } if handoff.total <= now => {
                handoff.answered(503, reason_phrase(503), Origin::Local);
                self.trying = Trying::Nobody;
                self.target_failed(cx, facts, handoff, Cause::Unreachable, None)
            }
            trying => {
                self.trying = trying;
                self.phase()
            }
        }
    }

    fn drop_leg(&self, cx: &mut Context<'_>, leg: LegId, why: &str) {
        let fields = [identity::reason(480, why)];
        cx.stack.close(cx.now, leg, 480, Content { fields: &fields, ..Content::default() });
        cx.release(leg);
    }

    /// The agent refuses, is silent or cannot be reached: its word (a 3xx) or its fallback.
    fn agent_failed(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        status: u16,
        origin: Origin,
        message: Option<&Message<'_>>,
    ) -> Phase {
        talking::lost(cx, facts, Role::Agent, (status, origin), "fallback");
        let named = message.filter(|_| (300..400).contains(&status)).map(Decision::of_redirect);
        if let Some(Ok(decision)) = named {
            let given = Given::by_agent(cx, facts, decision);
            return self.divert_or_fall_back(cx, facts, given, By::Agent);
        }
        let given = Given::fallback(facts, "agent_unavailable");
        self.divert_or_fall_back(cx, facts, given, By::Loss)
    }

    fn caller_left(self, cx: &mut Context<'_>, facts: &mut Facts, message: Option<&Message<'_>>) -> Phase {
        cx.release(self.caller);
        let legs: Vec<_> = self.legs().into_iter().filter(|(leg, _)| *leg != self.caller).collect();
        if let Some(mut handoff) = self.into_handoff() {
            handoff.attempt_over(cx);
            handoff.end(cx, HandoffState::Abandoned, None, false);
            facts.keep(cx, handoff.view);
        }
        let why = "caller hung up before the answer";
        let reason = message.and_then(identity::passed_reason).unwrap_or_else(|| identity::reason(487, why));
        Ending::begin_with(cx, legs, None, reason, why)
    }

    /// The handoff is cancelled by request: its target is let go, and the agent is called (again), for the caller must
    /// not be left with nobody.
    pub(crate) fn cancel(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let handoff = match std::mem::replace(&mut self.trying, Trying::Nobody) {
            Trying::FindingTarget { handoff, .. } => handoff,
            Trying::Target { leg, handoff, .. } => {
                self.drop_leg(cx, leg, "Cancelled");
                handoff
            }
            trying @ (Trying::Nobody
            | Trying::FindingAgent { .. }
            | Trying::Agent { .. }
            | Trying::HandingBack { .. }) => {
                self.trying = trying;
                return self.phase();
            }
        };
        let mut handoff = handoff;
        handoff.attempt_over(cx);
        handoff.end(cx, HandoffState::Cancelled, None, false);
        facts.keep(cx, handoff.view);
        self.party = self.party.saturating_add(1);
        self.trying = Trying::FindingAgent { query: cx.resolve(&facts.agent.address().text) };
        self.phase()
    }

    fn into_handoff(self) -> Option<Box<Handoff>> {
        match self.trying {
            Trying::Nobody | Trying::FindingAgent { .. } | Trying::Agent { .. } => None,
            Trying::FindingTarget { handoff, .. }
            | Trying::Target { handoff, .. }
            | Trying::HandingBack { handoff } => Some(handoff),
        }
    }

    /// The call ends before it was answered; the caller gets `status`.
    fn end(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        state: HandoffState,
        caller_hurt: bool,
        status: u16,
        why: &'static str,
    ) -> Phase {
        let legs = self.legs();
        let fields = [identity::reason(status, why)];
        let _ =
            cx.stack.reject(cx.now, self.caller, status, Content { fields: &fields, ..Content::default() });
        if let Some(mut handoff) = self.into_handoff() {
            if state == HandoffState::Failed {
                handoff.attempt_failed(cx, Cause::Failed, Next::None.name());
            } else {
                handoff.attempt_over(cx);
            }
            handoff.end(cx, state, None, caller_hurt);
            facts.keep(cx, handoff.view);
        }
        Ending::begin(cx, legs, None, status, why)
    }
}

/// Who is called, and with what.
struct Callee<'a> {
    uri: &'a str,
    from: From<'a>,
    fields: &'a [Field],
    credentials: Option<u16>,
}

/// Whom the called party sees.
#[derive(Clone, Copy)]
struct From<'a> {
    user: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> From<'a> {
    fn caller(facts: &'a Facts) -> From<'a> {
        From { user: facts.caller_id.as_deref(), name: facts.caller_name.as_deref() }
    }

    fn target(facts: &'a Facts, handoff: &'a Handoff) -> From<'a> {
        match handoff.plan.caller_id.as_deref() {
            Some(user) => From { user: Some(user), name: facts.caller_name.as_deref() },
            None => From::caller(facts),
        }
    }
}

fn phrase(message: Option<&Message<'_>>, status: u16) -> String {
    message.map_or(reason_phrase(status).into(), |m| String::from_utf8_lossy(m.reason()).into_owned())
}

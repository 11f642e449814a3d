//! The caller leg is not answered yet: the agent is called, at each of its addresses in turn, or, once a handoff was
//! decided, its destination.
//!
//! Each party that is tried has its own early dialog (To-tag) towards the caller, and so has each branch where its INVITE
//! is forked.

mod branches;
mod divert;

use self::branches::Branches;
use super::ending::Ending;
use super::moving::Moving;
use super::talking::{self, Talking};
use super::{CallInput, Phase};
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Partner, let_go};
use crate::call::end_reason::EndReason;
use crate::call::event;
use crate::call::event::AfterLoss;
use crate::call::event::EventKind;
use crate::call::facts::Facts;
use crate::call::given::{By, Given};
use crate::call::handoff::calling::{self, Calling, NO_SESSION};
use crate::call::handoff::facts::Unheard;
use crate::call::handoff::{Handoff, HandoffEnd};
use crate::call::record::{HandoffState, Role};
use crate::call::relay::Relay;
use crate::call::target_address::{self, Offer, TargetAddress};
use crate::call::ticket::Ticket;
use crate::routing::explain::Cause;
use crate::sip::leg::decision::Decision;
use crate::sip::leg::{Body, InDialogRequest, RequestId};
use crate::sip::{Answer, Content, Event, Flow, LegId, Origin, Time, identity};
use crate::wire::Message;
use smallvec::SmallVec;

/// The phase of a call before its caller leg is answered.
#[derive(Debug)]
pub(crate) struct Setup {
    caller: LegId,
    /// The INVITE as received: what goes to whoever is called next.
    invite: Box<[u8]>,
    /// Who was heard, and under which number the caller heard it.
    branches: Branches,
    trying: Trying,
    /// The agent's addresses that are left to be called, by place, the next one last.
    agents: SmallVec<[Candidate; 4]>,
    /// Why the agent's last address has failed, where nobody has said a word.
    why: Option<Unheard>,
    /// Requests in the early dialogs (RFC 3311).
    relay: Relay,
}

/// An address of the agent.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Its place among the agent's addresses.
    place: usize,
    /// Nobody was there just now, and so it had to wait until the others were called.
    put_off: bool,
}

/// Who is called.
#[derive(Debug)]
enum Trying {
    /// Between two parties, or at the end of all.
    Nobody,
    /// An address of the agent is looked up.
    FindingAgent { ticket: Ticket, candidate: Candidate },
    /// The agent is called.
    Agent { leg: LegId, until: Time },
    /// The destination is called.
    Target { calling: Calling, handoff: Box<Handoff> },
    /// Our 302 or 480 is out and waits for its ACK.
    HandingBack { handoff: Box<Handoff> },
}

impl Setup {
    fn new(facts: &Facts, caller: LegId, invite: &Message<'_>) -> Box<Setup> {
        let relay = Relay::new(facts.trunk.trusted);
        let invite = invite.bytes().into();
        let agents = SmallVec::new();
        let (branches, trying, why) = (Branches::default(), Trying::Nobody, None);
        Box::new(Setup { caller, invite, branches, trying, agents, why, relay })
    }

    /// A call was admitted: the agent is called.
    pub(crate) fn begin(cx: &mut Context<'_>, facts: &Facts, caller: LegId, invite: &Message<'_>) -> Phase {
        Setup::new(facts, caller, invite).call_agent(cx, facts)
    }

    /// An agent that may not be called now (its own limit): the caller goes to its fallback at once.
    pub(crate) fn begin_without_agent(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        caller: LegId,
        invite: &Message<'_>,
    ) -> Phase {
        Setup::new(facts, caller, invite).agent_failed(cx, facts, (486, Origin::Local))
    }

    /// Calls the agent at each of its addresses in turn.
    fn call_agent(mut self: Box<Self>, cx: &mut Context<'_>, facts: &Facts) -> Phase {
        let all = 0..facts.agent.addresses.len();
        self.agents = all.rev().map(|place| Candidate { place, put_off: false }).collect();
        if let Some(first) = self.agents.pop() {
            self.find_agent(cx, facts, first);
        }
        self.phase()
    }

    fn find_agent(&mut self, cx: &mut Context<'_>, facts: &Facts, candidate: Candidate) {
        let address = facts.agent.addresses.get(candidate.place).unwrap_or(facts.agent.address());
        self.trying = Trying::FindingAgent { ticket: cx.locate(&address.text), candidate };
    }

    /// Where an address was found at which nobody was just now, and others are left: the one to be called before it.
    fn before(&mut self, cx: &Context<'_>, candidate: Candidate, flows: &[Flow]) -> Option<Candidate> {
        if candidate.put_off || !cx.stack.is_quarantined(cx.now, flows) {
            return None;
        }
        let next = self.agents.pop()?;
        self.agents.insert(0, Candidate { put_off: true, ..candidate });
        Some(next)
    }

    fn phase(self: Box<Self>) -> Phase {
        Phase::Setup(self)
    }

    /// Somebody else is called next.
    fn turn(&mut self, cx: &mut Context<'_>) {
        self.relay.drop_others(cx, self.caller);
        self.branches.turn();
    }

    /// The handoff that runs, if one does.
    pub(crate) fn handoff(&self) -> Option<&Handoff> {
        match &self.trying {
            Trying::Nobody | Trying::FindingAgent { .. } | Trying::Agent { .. } => None,
            Trying::Target { handoff, .. } | Trying::HandingBack { handoff } => Some(handoff),
        }
    }

    /// Whoever is called, and as what.
    fn called(&self) -> Option<(LegId, Role)> {
        match &self.trying {
            Trying::Agent { leg, .. } => Some((*leg, Role::Agent)),
            Trying::Target { calling, .. } => calling.leg().map(|leg| (leg, Role::Target)),
            Trying::Nobody | Trying::FindingAgent { .. } | Trying::HandingBack { .. } => None,
        }
    }

    /// The legs that are there.
    pub(crate) fn legs(&self) -> SmallVec<[(LegId, Role); 3]> {
        [(self.caller, Role::Caller)].into_iter().chain(self.called()).collect()
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let trying = match &self.trying {
            Trying::Agent { until, .. } => Some(*until),
            Trying::Target { calling, .. } => Some(calling.deadline()),
            // A name that is looked up is answered by the network layer in bounded time.
            Trying::Nobody | Trying::FindingAgent { .. } | Trying::HandingBack { .. } => None,
        };
        [trying, self.relay.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn step(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        input: CallInput<'_>,
    ) -> Phase {
        match input {
            CallInput::Leg(event, message) => self.hear(cx, facts, event, message),
            CallInput::Answer(ticket, answer) => self.located(cx, facts, ticket, answer),
            CallInput::Tick => self.tick(cx, facts),
            CallInput::HangUp { why } => self.end(cx, facts, 480, why),
        }
    }

    fn located(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        asked: Ticket,
        answer: Answer<'_>,
    ) -> Phase {
        let Answer::Located(flows) = answer;
        match self.trying {
            Trying::FindingAgent { ticket, candidate } if ticket == asked => {
                if flows.is_empty() {
                    self.why = Some(Unheard::NoAddress);
                    return self.next_agent(cx, facts, (503, Origin::Local), None);
                }
                if let Some(next) = self.before(cx, candidate, flows) {
                    self.find_agent(cx, facts, next);
                    return self.phase();
                }
                let address = facts.agent.addresses.get(candidate.place).unwrap_or(facts.agent.address());
                let uri = address.text.clone();
                let Some(leg) = target_address::call_agent(cx, facts, flows, &uri, &self.invite) else {
                    return self.end(cx, facts, 500, EndReason::Unreadable);
                };
                facts.own_agent(cx, leg);
                self.relay.renew(facts.identity_with(leg));
                let until = cx.now.mono + facts.agent.answer_timeout;
                self.trying = Trying::Agent { leg, until };
                self.phase()
            }
            Trying::Target { ref mut calling, ref mut handoff } => {
                let offer = Offer::Invite(&self.invite);
                let verdict = calling.answered(cx, facts, handoff, (asked, answer), offer);
                if let Some(leg) = calling.leg() {
                    self.relay.renew(facts.identity_with(leg));
                }
                self.judge(cx, facts, verdict, None)
            }
            Trying::Nobody
            | Trying::FindingAgent { .. }
            | Trying::Agent { .. }
            | Trying::HandingBack { .. } => self.phase(),
        }
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
                return self.caller_left(cx, facts, message);
            }
            Event::Closed { leg, status, origin } if leg == self.caller => {
                return self.handed_back(cx, facts, status, origin);
            }
            Event::Progress { leg, status } => self.pass_progress(cx, facts, (leg, status), message),
            Event::Request { leg, request, kind } => {
                self.asked(cx, leg, request, kind, message);
                return self.phase();
            }
            Event::Response { sent, status, .. } => {
                if let Some(pass) = self.relay.take(sent) {
                    self.relay.answer(cx, pass, status, message);
                }
                return self.phase();
            }
            _ => {}
        }
        if let Trying::Target { calling, handoff } = &mut self.trying {
            let verdict = calling.hear(cx, facts, handoff, event, message);
            return self.judge(cx, facts, verdict, message);
        }
        match event {
            Event::Answered { leg, .. } if !calling::is_joinable(cx, leg) => {
                if message.is_some_and(Message::is_multipart) {
                    let what = "the multipart body of the agent's 2xx: its SDP is read where it stands alone";
                    cx.tell(EventKind::Ignored { call: facts.id.clone(), what: what.to_owned() });
                }
                let_go(cx, leg, identity::reason(488, NO_SESSION));
                self.refused(cx, facts, leg, (488, Origin::Local), None)
            }
            Event::Answered { leg, needs_answer, .. } => self.answered(cx, facts, leg, needs_answer, message),
            Event::Refused { leg, status, origin } => self.refused(cx, facts, leg, (status, origin), message),
            Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. } => {
                self.refused(cx, facts, leg, (480, Origin::Remote), None)
            }
            _ => self.phase(),
        }
    }

    /// 18x, with the early session if it carries one.
    fn pass_progress(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        (leg, status): (LegId, u16),
        message: Option<&Message<'_>>,
    ) {
        let Some(party) = self.branches.heard(message.and_then(Message::to_tag)) else { return };
        let body = if message.is_some_and(Message::has_sdp) { Body::Copied } else { Body::None };
        let identity = facts.identity_with(leg);
        let content = Content { copy: message, identity, body, ..Content::default() };
        // A caller that has gone meanwhile tells so itself.
        let _ = cx.stack.provisional(cx.now, self.caller, party, status, content);
    }

    /// A request in an early dialog: only a session can be changed in it.
    fn asked(
        &mut self,
        cx: &mut Context<'_>,
        leg: LegId,
        request: RequestId,
        kind: InDialogRequest,
        message: Option<&Message<'_>>,
    ) {
        let called = self.called().map(|(leg, _)| leg);
        let other = if leg == self.caller { called } else { Some(self.caller) };
        match (kind, other, message) {
            (InDialogRequest::Update, Some(other), Some(message)) => {
                self.relay.ask(cx, (leg, request), other, message)
            }
            _ => {
                cx.refuse(request, 500, "only a session can be changed before the call is answered");
            }
        }
    }

    /// Agent or target has answered, and so does the caller leg.
    fn answered(
        mut self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        leg: LegId,
        needs_answer: bool,
        message: Option<&Message<'_>>,
    ) -> Phase {
        let identity = facts.identity_with(leg);
        // The answer may have stood in a provisional response that the callee has had acknowledged.
        let early = match message.is_some_and(Message::has_sdp) {
            true => None,
            false => cx.stack.remote_sdp(leg).map(<[u8]>::to_vec),
        };
        let body = early.as_deref().map_or(Body::Copied, Body::Sdp);
        let content = Content { copy: message, identity, body, ..Content::default() };
        let party = self.branches.answers(message.and_then(Message::to_tag));
        // A caller that has gone meanwhile tells so itself.
        let _ = cx.stack.answer(cx.now, self.caller, party, content);
        cx.stack.keep_alive(cx.now, self.caller, facts.trunk.keepalive);
        facts.answered = Some(cx.now.wall);
        cx.counters.calls_answered += 1;
        let (role, handoff) = match self.trying {
            Trying::Target { handoff, .. } => {
                facts.onward = TargetAddress::onward(cx, facts, &handoff.attempt_plan).map(Box::new);
                (Role::Target, Some(handoff))
            }
            Trying::Nobody
            | Trying::Agent { .. }
            | Trying::FindingAgent { .. }
            | Trying::HandingBack { .. } => (Role::Agent, None),
        };
        cx.tell(EventKind::CallAnswered { call: facts.id.clone(), by: role });
        let awaiting = needs_answer.then_some(leg);
        let conversation = Conversation::new(self.caller, Partner { leg, role }, self.relay, awaiting);
        match handoff {
            Some(handoff) => Moving::confirming(cx, conversation, *handoff),
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
        outcome: (u16, Origin),
        message: Option<&Message<'_>>,
    ) -> Phase {
        match self.trying {
            Trying::Agent { leg: agent, .. } if agent == leg => {
                self.why = cx.stack.fault(leg).map(Unheard::Network);
                cx.release(leg);
                self.next_agent(cx, facts, outcome, message)
            }
            _ => self.phase(),
        }
    }

    fn judge(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        verdict: calling::Verdict,
        message: Option<&Message<'_>>,
    ) -> Phase {
        match verdict {
            calling::Verdict::NotMine | calling::Verdict::Wait => self.phase(),
            calling::Verdict::Answered { leg, .. } if !calling::is_joinable(cx, leg) => {
                let_go(cx, leg, identity::reason(488, NO_SESSION));
                if let Trying::Target { handoff, .. } = &mut self.trying {
                    handoff.because(calling::NOTHING_TO_JOIN);
                }
                self.failed(cx, facts, Cause::Failed, None)
            }
            calling::Verdict::Answered { leg, needs_answer } => {
                self.answered(cx, facts, leg, needs_answer, message)
            }
            calling::Verdict::Failed { cause, status } => self.failed(cx, facts, cause, status),
        }
    }

    /// The target that was called will not do.
    fn failed(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        cause: Cause,
        status: Option<u16>,
    ) -> Phase {
        match std::mem::replace(&mut self.trying, Trying::Nobody) {
            Trying::Target { handoff, .. } => self.target_failed(cx, facts, handoff, cause, status),
            trying => {
                self.trying = trying;
                self.phase()
            }
        }
    }

    fn tick(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.relay.tick(cx);
        match &mut self.trying {
            Trying::Agent { leg, until } if *until <= cx.now.mono => {
                let refused = cx.stack.refused_beside(*leg).map(|status| (status, Origin::Remote));
                let_go(cx, *leg, identity::reason(480, "No answer"));
                self.next_agent(cx, facts, refused.unwrap_or((408, Origin::Local)), None)
            }
            Trying::Target { calling, handoff } => {
                let verdict = calling.tick(cx, handoff);
                self.judge(cx, facts, verdict, None)
            }
            Trying::Nobody
            | Trying::FindingAgent { .. }
            | Trying::Agent { .. }
            | Trying::HandingBack { .. } => self.phase(),
        }
    }

    /// The agent cannot be had at this address: its word (a 3xx that names where the caller goes), else its next address,
    /// else its fallback.
    fn next_agent(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        outcome: (u16, Origin),
        message: Option<&Message<'_>>,
    ) -> Phase {
        self.trying = Trying::Nobody;
        let redirects = (300..400).contains(&outcome.0);
        let mut setup = match message.filter(|_| redirects).map(Decision::of_redirect) {
            Some(Ok(decision)) => {
                let given = Given::by_agent(cx, facts, decision);
                match self.divert(cx, facts, given, By::Agent) {
                    Ok(phase) => return phase,
                    Err((setup, refusal)) => {
                        let what = format!("the agent's 3xx: {refusal}");
                        cx.tell(EventKind::Ignored { call: facts.id.clone(), what });
                        setup
                    }
                }
            }
            Some(Err(_)) | None => self,
        };
        let Some(next) = setup.agents.pop() else {
            return setup.agent_failed(cx, facts, outcome);
        };
        let address = facts.agent.addresses.get(next.place).unwrap_or(facts.agent.address());
        let after = AfterLoss::Agent(address.text.as_ref().into());
        talking::lost_because(
            cx,
            facts,
            Role::Agent,
            (outcome, setup.why.take().map(Unheard::as_str)),
            after,
        );
        setup.turn(cx);
        setup.find_agent(cx, facts, next);
        setup.phase()
    }

    /// The agent refuses, is silent or cannot be reached: its fallback.
    fn agent_failed(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        outcome: (u16, Origin),
    ) -> Phase {
        let fallback = AfterLoss::Fallback(facts.agent.fallback.clone());
        talking::lost_because(cx, facts, Role::Agent, (outcome, self.why.map(Unheard::as_str)), fallback);
        facts.free_agent(cx);
        self.fall_back(cx, facts)
    }

    fn caller_left(self, cx: &mut Context<'_>, facts: &mut Facts, message: Option<&Message<'_>>) -> Phase {
        cx.release(self.caller);
        let legs = self.called();
        if let Some(mut handoff) = self.into_handoff() {
            handoff.attempt_over(cx);
            handoff.end(cx, HandoffEnd::of(HandoffState::Abandoned));
            facts.keep(cx, handoff.into_view());
        }
        let why = EndReason::CallerHungUpEarly;
        let reason =
            message.and_then(identity::passed_reason).unwrap_or_else(|| identity::reason(487, why.as_str()));
        Ending::begin_with(cx, legs, None, [reason].into(), why)
    }

    /// The handoff is cancelled by request: its target is let go, and the agent is called (again), for the caller must
    /// not be left with nobody.
    pub(crate) fn cancel(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let mut handoff = match std::mem::replace(&mut self.trying, Trying::Nobody) {
            Trying::Target { calling, handoff } => {
                calling.give_up(cx, "Cancelled");
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
        handoff.attempt_over(cx);
        handoff.end(cx, HandoffEnd::of(HandoffState::Cancelled));
        facts.keep(cx, handoff.into_view());
        facts.hold_agent(cx);
        self.turn(cx);
        self.call_agent(cx, facts)
    }

    fn into_handoff(self) -> Option<Box<Handoff>> {
        match self.trying {
            Trying::Nobody | Trying::FindingAgent { .. } | Trying::Agent { .. } => None,
            Trying::Target { handoff, .. } | Trying::HandingBack { handoff } => Some(handoff),
        }
    }

    /// The call ends before it was answered; the caller gets `status`.
    fn end(self, cx: &mut Context<'_>, facts: &mut Facts, status: u16, why: EndReason) -> Phase {
        let legs = self.legs();
        let fields = [identity::reason(status, why.as_str())];
        let content = Content { fields: &fields, ..Content::default() };
        let _ = cx.stack.reject(cx.now, self.caller, status, content);
        if let Some(mut handoff) = self.into_handoff() {
            handoff.attempt_failed(cx, Cause::Failed, event::Next::None);
            handoff.end(cx, HandoffEnd::hurt(HandoffState::Failed));
            facts.keep(cx, handoff.into_view());
        }
        Ending::begin(cx, legs, None, status, why)
    }
}

//! Caller and partner talk, and no handoff runs.

use super::ending::{self, Ending};
use super::moving::Moving;
use super::{CallInput, Phase};
use crate::call::context::{Context, NOT_ALLOWED, ONE_AT_A_TIME};
use crate::call::conversation::{Conversation, Heard, let_go};
use crate::call::decision;
use crate::call::end_reason::EndReason;
use crate::call::event::AfterLoss;
use crate::call::event::EventKind;
use crate::call::facts::Facts;
use crate::call::given::{By, Given};
use crate::call::handoff::onward::{self, Passed};
use crate::call::handoff::report::{Farewell, Referral};
use crate::call::ids::HandoffId;
use crate::call::record::Role;
use crate::call::waiting;
use crate::sip::leg::RequestId;
use crate::sip::leg::decision::Decision;
use crate::sip::leg::reason_info::ReasonInfo;
use crate::sip::{Event, LegId, Origin, Time, identity, is_doubtful};
use crate::wire::Message;

/// The phase of an answered call while no handoff runs.
#[derive(Debug)]
pub(crate) struct Talking {
    pub(crate) conversation: Conversation,
    /// The last NOTIFY to the agent is out; its BYE, should it come to that, waits for the answer.
    pub(crate) farewell: Option<Farewell>,
    /// The agent, which has no part in the conversation any more.
    pub(crate) departing: Option<Departing>,
    /// A REFER of one side that the other one carries out.
    pub(crate) passed: Option<Box<Passed>>,
}

/// An agent whose caller has been joined with a target: its BYE waits for the answer to the last NOTIFY.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departing(Farewell);

impl Departing {
    /// None: nothing has to be waited for, and it is let go at once.
    pub(crate) fn of(cx: &mut Context<'_>, leg: LegId, farewell: Option<Farewell>) -> Option<Departing> {
        match farewell.filter(|farewell| farewell.leg == leg) {
            Some(farewell) => Some(Departing(farewell)),
            None => {
                let_go(cx, leg, identity::reason(ending::NORMAL, GOODBYE));
                None
            }
        }
    }

    fn let_go(self, cx: &mut Context<'_>) {
        let_go(cx, self.0.leg, identity::reason(ending::NORMAL, GOODBYE));
    }

    /// Its leg.
    pub(crate) fn leg(self) -> LegId {
        self.0.leg
    }
}

/// Why a REFER is refused.
const REPLACES: &str = "it has a Replaces, and the dialog that it names is not the other side's";
const NOBODY: &str = "nobody is there to be moved";
/// Why an agent that is being let go gets no answer to a request.
const MOVED_OFF: &str = "the caller is with somebody else";

/// Why an agent is let go.
const GOODBYE: &str = "Handoff";

impl Talking {
    pub(crate) fn new(conversation: Conversation) -> Talking {
        Talking { conversation, farewell: None, departing: None, passed: None }
    }

    /// The legs that are there.
    pub(crate) fn legs(&self) -> impl Iterator<Item = (LegId, Role)> + use<> {
        let departing = self.departing.map(|departing| (departing.leg(), Role::Agent));
        self.conversation.legs().chain(departing)
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let departing = self.departing.map(|departing| departing.0.until);
        let passed = self.passed.as_ref().map(|passed| passed.deadline());
        self.conversation.deadline().into_iter().chain(departing).chain(passed).min()
    }

    /// Everything but caller and partner is forgotten: something new begins.
    pub(crate) fn into_conversation(mut self, cx: &mut Context<'_>, facts: &Facts) -> Conversation {
        self.give_up_passed(cx, facts);
        if let Some(departing) = self.departing {
            departing.let_go(cx);
        }
        self.conversation
    }

    /// A REFER that was passed is not waited for any more.
    fn give_up_passed(&mut self, cx: &mut Context<'_>, facts: &Facts) {
        if let Some(passed) = self.passed.take() {
            self.farewell = passed.give_up(cx, facts);
        }
    }

    /// What concerns a REFER that was passed. With its result, if that is all there was to wait for: nobody is with the
    /// caller. None: it is not about that.
    fn hear_passed(&mut self, cx: &mut Context<'_>, facts: &Facts, event: Event) -> Option<Option<u16>> {
        match self.passed.as_mut()?.hear(cx, facts, event) {
            onward::Heard::NotMine => None,
            onward::Heard::Wait => Some(None),
            onward::Heard::Over(status, farewell) => {
                (self.passed, self.farewell) = (None, farewell);
                Some(Some(status).filter(|_| self.conversation.partner.is_none()))
            }
        }
    }

    /// What concerns the agent that leaves. True if it did.
    fn hear_departing(&mut self, cx: &mut Context<'_>, event: Event) -> bool {
        let Some(departing) = self.departing else { return false };
        let ours = departing.leg();
        match event {
            Event::Response { sent, .. } if sent == departing.0.sent => {
                departing.let_go(cx);
                self.departing = None;
            }
            Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. } if leg == ours => {
                cx.release(leg);
                self.departing = None;
            }
            Event::Request { leg, request, .. } if leg == ours => {
                cx.refuse(request, 480, MOVED_OFF);
            }
            Event::Response { leg, .. }
            | Event::Confirmed { leg }
            | Event::Unconfirmed { leg }
            | Event::Withdrawn { leg, .. }
            | Event::Silent { leg }
            | Event::Advice { leg, .. }
            | Event::KeepaliveIgnored { leg }
            | Event::Notified { leg, .. }
                if leg == ours => {}
            _ => return false,
        }
        true
    }

    pub(crate) fn step(mut self, cx: &mut Context<'_>, facts: &mut Facts, input: CallInput<'_>) -> Phase {
        if let CallInput::Leg(event, _) = input
            && let Some(told) = self.hear_passed(cx, facts, event)
        {
            return match told {
                Some(200..=299) if facts.believes_200() => self.end(cx, facts, EndReason::MovedOn),
                // It proves nothing: our BYE could take away whom the receiver has not moved yet.
                Some(200..=299) => Phase::Talking(self),
                Some(status) if !is_doubtful(status) => self.fall_back(cx, facts),
                Some(_) | None => Phase::Talking(self),
            };
        }
        match input {
            CallInput::Leg(event @ Event::Notified { .. }, message) => {
                if let Some(message) = message {
                    facts.recognise(message);
                }
                match facts.waiting.hear(cx, event) {
                    waiting::Heard::NotMine => {}
                    waiting::Heard::Nothing => return Phase::Talking(self),
                    waiting::Heard::Arrived => return self.end(cx, facts, EndReason::MovedLate),
                }
                if facts.has_arrived(event) {
                    return self.end(cx, facts, EndReason::MovedLate);
                }
                self.hear_doubt(cx, facts, event)
            }
            CallInput::Leg(event @ Event::Response { sent, .. }, _) if facts.doubts(sent) => {
                // Whoever waits to be taken over by it is let go.
                let _ = facts.waiting.hear(cx, event);
                self.hear_doubt(cx, facts, event)
            }
            CallInput::Leg(event, message) => {
                if self.hear_departing(cx, event) {
                    return Phase::Talking(self);
                }
                match facts.waiting.hear(cx, event) {
                    waiting::Heard::NotMine => {}
                    waiting::Heard::Nothing => return Phase::Talking(self),
                    waiting::Heard::Arrived => return self.end(cx, facts, EndReason::MovedLate),
                }
                let heard = self.conversation.hear(cx, event, message);
                self.heard(cx, facts, heard, message)
            }
            CallInput::HangUp { why } => self.end(cx, facts, why),
            CallInput::Tick => {
                if facts.waiting.tick(cx) {
                    return self.end(cx, facts, EndReason::MovedLate);
                }
                if self.passed.as_ref().is_some_and(|passed| passed.deadline() <= cx.now.mono) {
                    self.give_up_passed(cx, facts);
                }
                if let Some(departing) = self.departing.take_if(|d| d.0.until <= cx.now.mono) {
                    departing.let_go(cx);
                }
                self.conversation.tick(cx);
                Phase::Talking(self)
            }
            CallInput::Answer(..) => Phase::Talking(self),
        }
    }

    /// What is told of a transfer in doubt, short of its success.
    fn hear_doubt(self, cx: &mut Context<'_>, facts: &mut Facts, event: Event) -> Phase {
        if !facts.has_failed(cx, event) || self.conversation.partner.is_some() {
            return Phase::Talking(self);
        }
        // Nobody was with the caller who might have been with the target.
        match std::mem::take(&mut facts.may_be_gone) {
            false => self.fall_back(cx, facts),
            true => {
                let given = Given::fallback(facts, "agent_lost");
                let conversation = self.into_conversation(cx, facts);
                Moving::decided_by_failure(cx, facts, conversation, given)
            }
        }
    }

    fn end(mut self, cx: &mut Context<'_>, facts: &Facts, why: EndReason) -> Phase {
        self.conversation.goodbye = Box::default();
        self.end_by_goodbye(cx, facts, why)
    }

    /// What was said is passed on.
    fn end_by_goodbye(mut self, cx: &mut Context<'_>, facts: &Facts, why: EndReason) -> Phase {
        self.give_up_passed(cx, facts);
        let departing = self.departing.map(|departing| (departing.leg(), Role::Agent));
        let farewell = self.farewell.or(self.departing.map(|departing| departing.0));
        let words = ending::words(std::mem::take(&mut self.conversation.goodbye), why);
        let legs = self.conversation.dissolve(cx).chain(departing);
        Ending::begin_with(cx, legs, farewell, words, why)
    }

    fn heard(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        heard: Heard,
        message: Option<&Message<'_>>,
    ) -> Phase {
        match heard {
            Heard::Nothing | Heard::Confirmed => Phase::Talking(self),
            Heard::CallerLeft => self.end_by_goodbye(cx, facts, EndReason::CallerHungUp),
            Heard::CallerLost { status, origin } => {
                lost(cx, facts, Role::Caller, (status, origin), AfterLoss::End);
                self.end(cx, facts, EndReason::CallerLost)
            }
            Heard::Unanswered => self.end(cx, facts, EndReason::OfferUnanswered),
            Heard::PartnerLeft => self.partner_left(cx, facts, message),
            Heard::PartnerLost { status, origin } => self.partner_lost(cx, facts, status, origin),
            Heard::Referred { request, by } => {
                // It comes with its message.
                let Some(decided) = message.map(Decision::of_refer) else { return Phase::Talking(self) };
                match decided {
                    Ok(decision) => self.referred(cx, facts, request, by, decision),
                    Err(fault) => {
                        cx.refuse_refer(&facts.id, (by, request), (400, &fault.to_string()));
                        Phase::Talking(self)
                    }
                }
            }
        }
    }

    /// A BYE: a goodbye, a decision, or the word of an agent that broke down.
    fn partner_left(
        mut self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        message: Option<&Message<'_>>,
    ) -> Phase {
        let role = self.conversation.partner.map_or(Role::Agent, |p| p.role);
        let decision = message.filter(|_| role == Role::Agent).and_then(|m| match Decision::of_bye(m) {
            Ok(decision) => decision,
            Err(fault) => {
                let what = format!("the decision on the agent's BYE: {fault}");
                cx.tell(EventKind::Ignored { call: facts.id.clone(), what });
                None
            }
        });
        let broken = message
            .filter(|_| role == Role::Agent)
            .and_then(|m| ReasonInfo::of(m).sip)
            .filter(|c| (500..600).contains(c));
        self.farewell = None;
        if let Some(decision) = decision {
            self.conversation.drop_partner(cx);
            let given = Given::by_agent(cx, facts, decision);
            // The agent is gone and cannot be refused: a decision that cannot be carried out becomes the fallback.
            let conversation = self.into_conversation(cx, facts);
            return Moving::decided_by_absence(cx, facts, conversation, given, By::Agent);
        }
        if let Some(status) = broken {
            return self.partner_lost(cx, facts, status, Origin::Remote);
        }
        if self.passed.as_ref().is_some_and(|passed| passed.moves_caller()) {
            // The caller is not dropped before it is known whether somebody else has them.
            self.conversation.drop_partner(cx);
            return Phase::Talking(self);
        }
        self.conversation.drop_last_partner(cx);
        self.end_by_goodbye(
            cx,
            facts,
            if role == Role::Agent { EndReason::AgentHungUp } else { EndReason::TargetHungUp },
        )
    }

    /// The agent's leg broke: its fallback. A target's leg broke: there is nobody to go back to.
    fn partner_lost(mut self, cx: &mut Context<'_>, facts: &mut Facts, status: u16, origin: Origin) -> Phase {
        let role = self.conversation.partner.map_or(Role::Agent, |p| p.role);
        self.farewell = None;
        if role == Role::Target {
            self.conversation.drop_last_partner(cx);
            lost(cx, facts, role, (status, origin), AfterLoss::End);
            let legs = self.into_conversation(cx, facts).dissolve(cx);
            return Ending::begin(cx, legs, None, status, EndReason::TargetLost);
        }
        self.conversation.drop_partner(cx);
        lost(cx, facts, role, (status, origin), AfterLoss::Fallback(facts.agent.fallback.clone()));
        self.fall_back(cx, facts)
    }

    /// The agent is gone: its fallback.
    fn fall_back(self, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let given = Given::fallback(facts, "agent_lost");
        let conversation = self.into_conversation(cx, facts);
        Moving::decided_by_absence(cx, facts, conversation, given, By::Loss)
    }

    fn referred(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        request: RequestId,
        by: Role,
        decision: Decision<'_>,
    ) -> Phase {
        let onward = facts.onward.as_deref();
        let refused = match by {
            Role::Target if onward.is_none() => Some(NOT_ALLOWED),
            Role::Caller if !facts.trunk.refer_from_caller => Some(NOT_ALLOWED),
            _ if self.passed.is_some() => Some(ONE_AT_A_TIME),
            // The dialog that it names is not the other side's.
            _ if decision.replaces => Some((403, REPLACES)),
            Role::Agent | Role::Target | Role::Caller => None,
        };
        if let Some(refusal) = refused {
            cx.refuse_refer(&facts.id, (by, request), refusal);
            return Phase::Talking(self);
        }
        let passes = match by {
            Role::Agent => false,
            Role::Target => onward.is_some_and(|onward| onward.pass),
            Role::Caller => true,
        };
        let given = Given::by_agent(cx, facts, decision);
        if passes {
            return self.pass(cx, facts, (by, request), given);
        }
        let decider = if by == Role::Target { By::Party } else { By::Agent };
        match Moving::decide(cx, facts, given, decider) {
            Ok(plan) => {
                let leg = self.conversation.partner.map_or(self.conversation.caller, |partner| partner.leg);
                let conversation = self.into_conversation(cx, facts);
                let subscription = cx.stack.accept_referral(cx.now, request).unwrap_or_default();
                let referral = Referral::new(leg, subscription);
                Moving::begin(cx, facts, conversation, plan, Some(referral))
            }
            Err(refusal) => {
                let refusal = (refusal_status(&refusal), &*refusal.to_string());
                cx.refuse_refer(&facts.id, (by, request), refusal);
                Phase::Talking(self)
            }
        }
    }
}

impl Talking {
    /// A REFER that the sender's partner is to carry out.
    fn pass(
        mut self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        (by, request): (Role, RequestId),
        given: Given,
    ) -> Phase {
        let caller = self.conversation.caller;
        let Some(partner) = self.conversation.partner.map(|partner| partner.leg) else {
            cx.refuse_refer(&facts.id, (by, request), (480, NOBODY));
            return Phase::Talking(self);
        };
        let (from, to, decider) = match by {
            Role::Caller => (caller, partner, By::Caller),
            Role::Agent | Role::Target => (partner, caller, By::Party),
        };
        // It names no handoff to anybody: it only may stand in a header that is expanded.
        let id = HandoffId::from(&*cx.ident.handoff_id(facts.slot));
        let passed = match decision::plan(cx, facts, given, decider, id) {
            Ok((_, attempt_plan)) => onward::pass(cx, facts, &attempt_plan, (by, from, request), to),
            Err(refusal) => Err((refusal_status(&refusal), refusal.to_string().into())),
        };
        match passed {
            Ok(passed) => self.passed = Some(Box::new(passed)),
            Err((status, why)) => cx.refuse_refer(&facts.id, (by, request), (status, &why)),
        }
        Phase::Talking(self)
    }
}

/// What a REFER that cannot be carried out gets.
fn refusal_status(refusal: &crate::call::command::Refusal) -> u16 {
    use crate::call::command::Refusal;
    match refusal {
        Refusal::Busy(_) => 491,
        Refusal::Invalid(_) => 488,
        Refusal::NoDestination { .. } | Refusal::RouteNotAllowed(_) => 403,
        Refusal::NoCall(_)
        | Refusal::NoHandoff(_)
        | Refusal::TooLate(_)
        | Refusal::NotBriefing(_)
        | Refusal::Ending
        | Refusal::TestsNotAllowed(_)
        | Refusal::TestRunning(_)
        | Refusal::TooManyTests(_)
        | Refusal::Closing => 480,
    }
}

/// Tells that a leg broke.
pub(crate) fn lost(cx: &mut Context<'_>, facts: &Facts, role: Role, outcome: (u16, Origin), next: AfterLoss) {
    lost_because(cx, facts, role, (outcome, None), next);
}

/// The same, with the reason where nobody has said a word.
pub(crate) fn lost_because(
    cx: &mut Context<'_>,
    facts: &Facts,
    role: Role,
    ((status, origin), reason): ((u16, Origin), Option<&'static str>),
    next: AfterLoss,
) {
    cx.tell(EventKind::LegLost { call: facts.id.clone(), role, status, origin, reason, next });
}

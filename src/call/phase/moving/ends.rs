//! An attempt is over: the next step, or the end of the handoff.

use super::{Attempt, Moving, Then};
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Offerer, Partner, let_go};
use crate::call::durations::{BEFORE_RETURNED, CHECK_BEFORE_RETURNED};
use crate::call::end_reason::EndReason;
use crate::call::event;
use crate::call::facts::Facts;
use crate::call::given::{By, Given};
use crate::call::handoff::HandoffEnd;
use crate::call::handoff::doubt::Whereabouts;
use crate::call::handoff::ladder::{Footing, Next};
use crate::call::handoff::way::join::Join;
use crate::call::handoff::way::{Signal, Way};
use crate::call::phase::Phase;
use crate::call::phase::ending::{self, Ending};
use crate::call::phase::talking::{Departing, Talking};
use crate::call::record::{HandoffState, Proof, Role};
use crate::call::target_address::TargetAddress;
use crate::routing::explain::{self, Cause, Where};
use crate::routing::table::Method;
use crate::sip::leg::SentId;
use crate::sip::{Content, Event, LegId, Time, identity};

impl Moving {
    /// An attempt failed: the WARN, and the next step.
    pub(super) fn failed(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        cause: Cause,
        late: Option<SentId>,
    ) -> Phase {
        self.failed_as(cx, facts, (cause, cause), late)
    }

    /// The same; the next step is that of `cause`, and the attempt is recorded with what was `told` of it.
    pub(super) fn failed_as(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        (cause, told): (Cause, Cause),
        late: Option<SentId>,
    ) -> Phase {
        let agent = self.conversation.partner.is_some();
        self.conversation.reunite(cx);
        late.into_iter().for_each(|sent| self.handoff.give_up(sent));
        let time = self.handoff.total > cx.now.mono;
        let next = self.handoff.next(facts, cause, Footing { agent, answered: true, time });
        let settles = agent && next == Next::None && cause != Cause::Unknown;
        let shown = self.handoff.told(if settles { &Next::Agent } else { &next });
        self.handoff.attempt_failed(cx, told, shown);
        let answered = match &next {
            Next::Try(to, Method::Invite) if to.id == self.handoff.attempt_plan.destination.id => late,
            _ => None,
        };
        if let Some(target) = answered.and_then(|sent| facts.waiting.take_standing(sent)) {
            // Who has answered already hears no second ring.
            let join = Join::begin_instead(&mut self.scene(cx, facts), target);
            self.attempt = Attempt::Way(Way::Join(join));
            return self.phase();
        }
        match next {
            Next::Try(destination, method) => {
                self.handoff.turn_to(cx, facts, destination, method);
                self.set_out(cx, facts)
            }
            Next::Agent => self.settle(cx, facts, cause),
            Next::Bye => self.hand_back(cx, facts),
            Next::Hangup => {
                self.over(cx, facts, HandoffEnd::hurt(HandoffState::Failed), EndReason::HungUpByStep)
            }
            Next::None if cause == Cause::Unknown => self.unknown(cx, facts),
            Next::None if agent => self.settle(cx, facts, cause),
            Next::None => self.stranded(cx, facts),
        }
    }

    fn settle(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, cause: Cause) -> Phase {
        match (self.handoff.whereabouts, &self.attempt) {
            (Whereabouts::Untold, _) => return self.unknown(cx, facts),
            // They have stood since the caller's side has said that it is there.
            (_, Attempt::Asking { .. }) => {
                let last = cx.now.mono + CHECK_BEFORE_RETURNED;
                return self.stood(cx, facts, (last, cause));
            }
            (Whereabouts::Here | Whereabouts::Unasked, _) => {}
        }
        if self.handoff.may_be_away(facts) && self.handoff.may_ask(facts) {
            return self.ask(cx, Then::Returned { cause });
        }
        let now = cx.now.mono;
        self.attempt =
            Attempt::Settling { until: now + BEFORE_RETURNED, last: now + CHECK_BEFORE_RETURNED, cause };
        self.phase()
    }

    /// Both legs have stood long enough. Who may be gone is no partner to return to, and no caller: that is found out first.
    pub(super) fn stood(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        (last, cause): (Time, Cause),
    ) -> Phase {
        if !self.conversation.legs().any(|(leg, _)| cx.stack.is_doubted(leg)) {
            return self.settled(cx, facts);
        }
        let now = cx.now.mono;
        if last <= now {
            return self.unknown(cx, facts);
        }
        self.attempt = Attempt::Settling { until: last.min(now + BEFORE_RETURNED), last, cause };
        self.phase()
    }

    /// Both legs stood: the caller is back with the agent, who never left.
    pub(super) fn settled(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.handoff.end(cx, HandoffEnd::of(HandoffState::Returned));
        self.talk(cx, facts)
    }

    pub(super) fn unknown(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let accepted = self.handoff.last().and_then(|a| a.response.status()).is_some_and(|s| s < 300);
        let accepted = accepted || self.handoff.accepted_before().is_some();
        self.handoff.end(cx, HandoffEnd::of(HandoffState::Unknown).with(accepted.then_some(Proof::Accepted)));
        self.talk(cx, facts)
    }

    pub(super) fn talk(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let farewell = self.handoff.referral.and_then(|r| r.farewell);
        let conversation = self.part(cx, facts);
        Phase::Talking(Talking { farewell, ..Talking::new(conversation) })
    }

    /// The handoff is over, and the call is not.
    pub(super) fn part(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Conversation {
        self.handoff.leave_doubts(facts);
        facts.keep(cx, self.handoff.into_view());
        self.conversation
    }

    /// A transfer of an earlier handoff has worked after all, and the caller is where that has led.
    pub(super) fn moved(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.take_back(cx, facts, "The caller is with somebody else");
        self.handoff.attempt_over(cx);
        self.over(cx, facts, HandoffEnd::of(HandoffState::Abandoned), EndReason::MovedLate)
    }

    /// No step is left and nobody is with the caller: the agent's fallback, unless this was it.
    pub(super) fn stranded(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        if !self.handoff.fallback_is_left(facts) {
            let why = EndReason::NoStepLeft;
            return self.over(cx, facts, HandoffEnd::hurt(HandoffState::Failed), why);
        }
        self.handoff.end(cx, HandoffEnd::of(HandoffState::Failed));
        let conversation = self.part(cx, facts);
        let given = Given::fallback(facts, "agent_lost");
        Self::decided_by_absence(cx, facts, conversation, given, By::Loss)
    }

    /// BYE to the caller leg with the first destination's headers.
    pub(super) fn hand_back(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let sip_call_id = Some(facts.sip_call_id.clone());
        self.handoff.attempt(cx, Method::Bye, HandoffState::Joining, sip_call_id);
        let first = &self.handoff.first;
        let mut fields = first.fields.clone();
        fields.push(identity::reason_field(&first.destination.reason));
        let content = Content { fields: &fields, ..Content::default() };
        cx.stack.close(cx.now, self.conversation.caller, 480, content);
        self.attempt = Attempt::Bye;
        self.phase()
    }

    pub(super) fn hear_bye(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        Signal { event, message }: Signal<'_>,
    ) -> Phase {
        let caller = self.conversation.caller;
        match event {
            Event::Closed { leg, status, origin } if leg == caller => {
                self.conversation.caller_over = true;
                self.handoff.answered_by(status, message, origin);
                if status == 481 {
                    // The dialog was gone before our BYE came: the caller's side hung up.
                    return self.caller_left(cx, facts);
                }
                match explain::cause(status, Where::ByeResponse) {
                    None => {
                        self.handoff.attempt_over(cx);
                        let end = HandoffEnd::of(HandoffState::HandedBack).with(Proof::Accepted);
                        self.over(cx, facts, end, EndReason::HandedBack)
                    }
                    Some(cause) => self.lost(cx, facts, cause, EndReason::HandBackUnanswered),
                }
            }
            Event::Bye { leg } if leg == caller => {
                self.conversation.caller_over = true;
                self.caller_left(cx, facts)
            }
            event => {
                let heard = self.conversation.hear(cx, event, message);
                self.heard(cx, facts, heard)
            }
        }
    }

    /// Caller and target have each other; the agent is let go, once it has heard how it ended. `offerer`: whose offer
    /// has joined them.
    pub(super) fn joined(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        target: LegId,
        offerer: Offerer,
    ) -> Phase {
        let agent = self.conversation.take_partner(cx);
        let partner = Partner { leg: target, role: Role::Target };
        self.conversation.join(cx, partner, facts.identity_with(target), offerer);
        facts.onward = TargetAddress::onward(cx, facts, &self.handoff.attempt_plan).map(Box::new);
        self.handoff.attempt_over(cx);
        self.handoff.end(cx, HandoffEnd::of(HandoffState::Succeeded).with(Proof::Proven));
        facts.stay = self.handoff.stay.take();
        facts.free_agent(cx);
        facts.in_doubt.clear();
        facts.waiting.clear(cx);
        let farewell = self.handoff.referral.and_then(|r| r.farewell);
        let departing = agent.and_then(|agent| Departing::of(cx, agent.leg, farewell));
        facts.keep(cx, self.handoff.into_view());
        let mut conversation = self.conversation;
        conversation.tick(cx);
        Phase::Talking(Talking { departing, ..Talking::new(conversation) })
    }

    /// The caller has acknowledged the answer of a target that was called in the agent's place. That one has its ACK by then,
    /// or it has nothing yet.
    pub(super) fn confirmed(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        if self.conversation.partner.is_some_and(|partner| !cx.stack.is_acknowledged(partner.leg)) {
            return self.phase();
        }
        self.handoff.attempt_over(cx);
        self.handoff.end(cx, HandoffEnd::of(HandoffState::Succeeded).with(Proof::Proven));
        facts.stay = self.handoff.stay.take();
        facts.free_agent(cx);
        self.talk(cx, facts)
    }

    /// The running attempt has failed, nothing follows, and the caller is gone.
    pub(super) fn lost(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        cause: Cause,
        why: EndReason,
    ) -> Phase {
        self.handoff.attempt_failed(cx, cause, event::Next::None);
        self.over(cx, facts, HandoffEnd::hurt(HandoffState::Failed), why)
    }

    /// The handoff and with it the call are over.
    pub(super) fn over(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        end: HandoffEnd,
        why: EndReason,
    ) -> Phase {
        match end.state {
            // Its leg may be the one that is taken over next.
            HandoffState::Abandoned | HandoffState::Unknown => self.leave_waiting(cx, facts),
            _ => {}
        }
        if let Some(target) = self.target() {
            let_go(cx, target, identity::reason(ending::NORMAL, why.as_str()));
        }
        self.handoff.end(cx, end);
        let farewell = self.handoff.referral.and_then(|r| r.farewell);
        facts.keep(cx, self.handoff.into_view());
        let said = std::mem::take(&mut self.conversation.goodbye);
        let words =
            ending::words(if end.state == HandoffState::Abandoned { said } else { Box::default() }, why);
        let legs = self.conversation.dissolve(cx);
        Ending::begin_with(cx, legs, farewell, words, why)
    }
}

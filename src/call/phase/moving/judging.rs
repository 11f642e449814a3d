//! What follows from what an attempt has come to.

use super::{Attempt, Moving, Then};
use crate::call::context::Context;
use crate::call::conversation::{Offerer, let_go};
use crate::call::end_reason::EndReason;
use crate::call::event;
use crate::call::facts::Facts;
use crate::call::handoff::fresh::Fresh;
use crate::call::handoff::join::Join;
use crate::call::handoff::report::Referral;
use crate::call::handoff::way::Outcome;
use crate::call::handoff::{HandoffEnd, attended, brief, calling};
use crate::call::ids::SipCallId;
use crate::call::phase::{Phase, talking};
use crate::call::record::{HandoffState, Proof, Role};
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use crate::sip::leg::RequestId;
use crate::sip::{LegId, Origin, Time, identity};

/// Why a join fails whose target is not there any more.
const LEFT_EARLY: &str = "The target hung up before it had the caller.";
/// Why it fails where the target waits for the caller.
const NOT_TAKEN: &str = "The caller's side did not take the target's session: see its answer to the re-INVITE (`sip.status` of this call), and compare the codecs of both. A 2xx without a session, or with every port 0, takes nothing.";
/// Why a briefing fails.
const NOT_COMPLETED: &str =
    "The agent's conversation with the target ended before the agent had completed it.";

impl Moving {
    /// What follows from what the way that is tried has come to.
    pub(super) fn judge(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        outcome: Outcome,
    ) -> Phase {
        // Only who has said 2xx to a REFER of ours may leave without ending the handoff.
        let caller_gone = self.conversation.caller_over && self.attempt.refers();
        match outcome {
            Outcome::NotMine | Outcome::Wait => self.phase(),
            Outcome::Moved(proof) => self.caller_moved(cx, facts, proof),
            Outcome::Answered(target) => self.answered(cx, facts, target),
            Outcome::Joined { offerer } => match self.target() {
                Some(leg) => self.joined(cx, facts, leg, offerer),
                None => {
                    self.handoff.because(LEFT_EARLY);
                    self.failed(cx, facts, Cause::Failed, None)
                }
            },
            Outcome::Briefed { gone } => {
                if gone {
                    self.conversation.drop_partner(cx);
                }
                self.complete(cx, facts)
            }
            Outcome::Referred(request) => self.completed_by_refer(cx, facts, request),
            Outcome::Declined(request) => {
                cx.refuse_refer(&facts.id, (Role::Target, request), (603, talking::NOT_ALLOWED));
                self.phase()
            }
            Outcome::NotTakenOver(cause) | Outcome::Failed(cause) if caller_gone => {
                self.failed_without_caller(cx, facts, cause)
            }
            Outcome::NotTakenOver(cause) => match self.target() {
                Some(leg) => self.bridge(cx, facts, cause, leg),
                None => self.failed(cx, facts, cause, None),
            },
            Outcome::Failed(cause) => self.way_failed(cx, facts, cause),
            Outcome::Unknown(_) if caller_gone => self.unknown_without_caller(cx, facts),
            Outcome::Unknown(sent)
                if matches!(self.attempt, Attempt::Refer(_)) && self.handoff.leaves_open() =>
            {
                self.ask(cx, Then::Unproven { sent })
            }
            Outcome::Unknown(sent) => {
                self.leave_waiting(cx, facts);
                self.failed(cx, facts, Cause::Unknown, Some(sent))
            }
            Outcome::CallerLost => self.leg_over(cx, facts),
        }
    }

    /// The way has failed: what it leaves behind is put right, and why is said where no status tells it.
    fn way_failed(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, cause: Cause) -> Phase {
        match &self.attempt {
            Attempt::Refer(_) | Attempt::Attended(_) => return self.refer_failed(cx, facts, cause),
            Attempt::Briefing(_) => {
                self.handoff.because(NOT_COMPLETED);
                self.take_back(cx, "No caller");
            }
            Attempt::Joining(join) => {
                let there = join.declined || join.target.is_some();
                self.handoff.because(if there { NOT_TAKEN } else { LEFT_EARLY });
                self.take_back(cx, "The caller could not be joined");
                // The caller may have moved with what it has answered.
                self.conversation.want_sdp_sync(cx);
            }
            _ => self.take_back(cx, "No answer"),
        }
        self.failed(cx, facts, cause, None)
    }

    /// Caller and target have answered each other's offer: they are joined once the ACKs have left, and a caller who may be
    /// gone had the time to say so.
    fn answered(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, target: LegId) -> Phase {
        let settles = self.may_be_away(facts);
        if cx.stack.is_acknowledged(self.conversation.caller) && !settles {
            return self.joined(cx, facts, target, Offerer::Caller);
        }
        self.attempt = Attempt::Joining(Join::acknowledging(cx, target, settles));
        self.phase()
    }

    /// The agent asks by REFER that its brief be completed.
    fn completed_by_refer(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        request: RequestId,
    ) -> Phase {
        // Who asked by REFER to begin with completes it by its BYE: one REFER has one result.
        if self.handoff.referral.is_some() {
            cx.refuse_refer(&facts.id, (Role::Agent, request), (491, talking::ONE_AT_A_TIME));
            return self.phase();
        }
        let agent = self.conversation.partner.map(|partner| partner.leg);
        let subscription = cx.stack.accept_referral(cx.now, request).unwrap_or_default();
        self.handoff.referral = agent.map(|leg| Referral::new(leg, subscription));
        self.complete(cx, facts)
    }

    pub(super) fn judge_call(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        verdict: calling::Verdict,
    ) -> Phase {
        match verdict {
            calling::Verdict::NotMine | calling::Verdict::Wait => self.phase(),
            calling::Verdict::Answered { leg, .. } if !calling::is_joinable(cx, leg) => {
                let_go(cx, leg, identity::reason(488, calling::NO_SESSION));
                self.attempt = Attempt::Held;
                self.handoff.because(calling::NOTHING_TO_JOIN);
                self.failed(cx, facts, Cause::Failed, None)
            }
            // A target that gets no ACK hangs up in the end, and its Contact may lead nowhere.
            calling::Verdict::Answered { leg, needs_answer: false } if !cx.stack.is_acknowledged(leg) => {
                if let Attempt::Calling(calling) = &mut self.attempt {
                    calling.wait_for_ack();
                }
                self.phase()
            }
            calling::Verdict::Answered { leg, .. }
                if self.handoff.attempt_plan.method == Method::Attended =>
            {
                self.attended(cx, facts, leg)
            }
            calling::Verdict::Answered { leg, .. } => {
                self.handoff.progress(cx, HandoffState::Joining, None);
                let join = Join::begin(cx, &self.conversation, leg);
                self.attempt = Attempt::Joining(if self.may_be_away(facts) { join.settling() } else { join });
                self.phase()
            }
            calling::Verdict::Failed { status: Some(488 | 606), cause }
                if self.handoff.total > cx.now.mono =>
            {
                self.handoff.attempt_failed(cx, cause, event::Next::Method(Method::Invite));
                self.handoff.turn_to_invite();
                self.attempt = Attempt::Fresh(Fresh::begin(cx, &self.handoff, self.conversation.caller));
                self.phase()
            }
            calling::Verdict::Failed { cause, .. } => {
                self.attempt = Attempt::Held;
                self.failed(cx, facts, cause, None)
            }
        }
    }

    /// The target of `attended` has answered: it hears what it is about from the agent, or takes the call over at once.
    pub(super) fn attended(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        target: LegId,
    ) -> Phase {
        match self.conversation.partner {
            // An agent that has asked for nothing would not know whom it speaks with, nor complete it.
            Some(agent)
                if self.handoff.attempt_plan.destination.brief
                    && agent.role == Role::Agent
                    && !self.handoff.is_fallback() =>
            {
                let identity = facts.identity_with(target);
                self.conversation.part(cx);
                let brief = brief::Brief::begin(cx, &self.conversation, agent.leg, target, identity);
                self.attempt = Attempt::Briefing(Box::new(brief));
                self.phase()
            }
            _ => self.take_over(cx, facts, (target, cx.now.mono)),
        }
    }

    /// REFER with Replaces, once the target, which has answered at that time, has settled.
    pub(super) fn take_over(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        (target, answered): (LegId, Time),
    ) -> Phase {
        let mut attempt = attended::AttendedTransfer::begin(&self.handoff, target, answered);
        let outcome = attempt.tick(cx, facts, &mut self.handoff, self.conversation.caller);
        self.attempt = Attempt::Attended(attempt);
        self.judge(cx, facts, outcome)
    }

    /// Whether the agent is speaking with the target.
    pub(crate) fn is_briefing(&self) -> bool {
        matches!(self.attempt, Attempt::Briefing(_))
    }

    /// The agent has said what it had to say: the caller is moved.
    pub(crate) fn complete(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match std::mem::replace(&mut self.attempt, Attempt::Held) {
            Attempt::Briefing(brief) => {
                let answered = (brief.target, brief.answered);
                brief.end(cx).for_each(|(leg, sent)| self.conversation.follow(cx, leg, sent));
                self.take_over(cx, facts, answered)
            }
            other => {
                self.attempt = other;
                self.phase()
            }
        }
    }

    /// The caller's side has taken the target over.
    pub(super) fn taken_over(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.caller_moved(cx, facts, Proof::Proven)
    }

    /// The caller's side has moved the caller.
    fn caller_moved(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, proof: Proof) -> Phase {
        self.handoff.attempt_over(cx);
        self.over(cx, facts, HandoffEnd::of(HandoffState::Succeeded).with(proof), EndReason::HandedOff)
    }

    /// The target of a REFER that is in doubt is left to wait for what becomes of it.
    pub(super) fn leave_waiting(&mut self, cx: &mut Context<'_>, facts: &mut Facts) {
        let believed = self.handoff.believes(self.handoff.attempt_plan.profile.belief);
        if let Attempt::Attended(attempt) = &self.attempt
            && let Some(waiter) = attempt.to_waiter(believed)
        {
            facts.waiting.push(cx, waiter);
            self.attempt = Attempt::Held;
        }
    }

    /// Whether the caller has the target, and only the BYE of the replaced leg is waited for.
    pub(super) fn has_worked(&self) -> bool {
        matches!(&self.attempt, Attempt::Attended(attempt) if attempt.has_worked())
    }

    /// The caller's side cannot take the target over, so the target, which has answered already, is joined with the
    /// caller: nobody hears a second ring.
    fn bridge(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &Facts,
        cause: Cause,
        target: LegId,
    ) -> Phase {
        self.note_failure();
        self.handoff.attempt_failed(cx, cause, event::Next::Method(Method::Invite));
        self.join_answered(cx, facts, target)
    }

    /// A target that has answered already is joined with the caller.
    pub(super) fn join_answered(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &Facts,
        target: LegId,
    ) -> Phase {
        let answered = cx.stack.sip_call_id(target).map(SipCallId::of);
        self.handoff.turn_to_invite();
        self.handoff.attempt(cx, Method::Invite, HandoffState::Joining, answered);
        self.handoff.answered(200, "OK", Origin::Remote);
        let join = Join::begin(cx, &self.conversation, target);
        self.attempt = Attempt::Joining(if self.may_be_away(facts) { join.settling() } else { join });
        self.phase()
    }
}

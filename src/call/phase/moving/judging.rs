//! What follows from what a way has come to.

use super::{Attempt, Moving, Then};
use crate::call::context::Context;
use crate::call::end_reason::EndReason;
use crate::call::facts::Facts;
use crate::call::handoff::HandoffEnd;
use crate::call::handoff::way::{End, Outcome, Way};
use crate::call::phase::Phase;
use crate::call::record::{HandoffState, Proof};
use crate::routing::explain::Cause;

impl Moving {
    /// What follows from what the way that is tried has come to.
    pub(super) fn judge(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        outcome: Outcome,
    ) -> Phase {
        let Attempt::Way(way) = &self.attempt else { return self.phase() };
        // Only who has said 2xx to a REFER of ours may leave without ending the handoff.
        let caller_gone = self.conversation.caller_over && way.refers();
        match outcome {
            Outcome::NotMine | Outcome::Wait => self.phase(),
            Outcome::Turn(way) => {
                self.attempt = Attempt::Way(way);
                self.phase()
            }
            Outcome::Ended(End::Succeeded(proof)) => self.caller_moved(cx, facts, proof),
            Outcome::Ended(End::Joined { target, offerer }) => self.joined(cx, facts, target, offerer),
            Outcome::Ended(End::Failed(cause)) if caller_gone => self.failed_without_caller(cx, facts, cause),
            Outcome::Ended(End::Failed(cause)) if way.refers() => self.refer_failed(cx, facts, cause),
            Outcome::Ended(End::Failed(cause)) => {
                self.attempt = Attempt::Held;
                self.failed(cx, facts, cause, None)
            }
            Outcome::Ended(End::Unknown(_)) if caller_gone => {
                self.over_untold(cx, facts, Some(Proof::Accepted), EndReason::ResultUnknown)
            }
            Outcome::Ended(End::Unknown(sent))
                if matches!(way, Way::Refer(_)) && self.handoff.leaves_open() =>
            {
                self.ask(cx, Then::Unproven { sent })
            }
            Outcome::Ended(End::Unknown(sent)) => {
                self.leave_waiting(cx, facts);
                self.failed(cx, facts, Cause::Unknown, Some(sent))
            }
            // The receiver of a REFER has forgotten the dialog.
            Outcome::Ended(End::CallerLost) => {
                self.lost(cx, facts, Cause::LostByReceiver, EndReason::CallerLost)
            }
        }
    }

    /// Whether the agent is speaking with the target.
    pub(crate) fn is_briefing(&self) -> bool {
        matches!(self.attempt, Attempt::Way(Way::Brief(_)))
    }

    /// The agent has said what it had to say: the caller is moved.
    pub(crate) fn complete(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match self.scene_and_attempt(cx, facts) {
            (mut scene, Attempt::Way(Way::Brief(brief))) => {
                let outcome = brief.complete(&mut scene);
                self.judge(cx, facts, outcome)
            }
            _ => self.phase(),
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
        if let Attempt::Way(Way::TakeOver(transfer)) = &self.attempt
            && let Some(waiter) = transfer.to_waiter(believed)
        {
            facts.waiting.push(cx, waiter);
            self.attempt = Attempt::Held;
        }
    }

    /// Whether the caller has the target, and only the BYE of the replaced leg is waited for.
    pub(super) fn has_worked(&self) -> bool {
        matches!(&self.attempt, Attempt::Way(Way::TakeOver(transfer)) if transfer.has_worked())
    }
}

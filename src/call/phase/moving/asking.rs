//! Whether the caller is still there, after a NOTIFY that does not prove it: the question to the caller's side, and what
//! follows from its answer.

use super::{Attempt, Moving, Then, Whereabouts};
use crate::call::context::Context;
use crate::call::durations::BEFORE_QUESTION;
use crate::call::end_reason::EndReason;
use crate::call::event;
use crate::call::facts::Facts;
use crate::call::handoff::HandoffEnd;
use crate::call::handoff::still_here::{StillHere, Verdict};
use crate::call::phase::Phase;
use crate::call::record::HandoffState;
use crate::routing::explain::Cause;
use crate::sip::Event;
use std::time::Duration;

/// Why nothing is known after a failure that was told.
const NO_WORD: &str = "The receiver tells of a failure, and the caller's side does not say whether it still has the caller: look why re-INVITEs to it stay without an answer.";

impl Moving {
    /// A REFER has failed. Where a NOTIFY has told so, the caller may have been taken away before.
    pub(super) fn refer_failed(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        cause: Cause,
    ) -> Phase {
        let sent = match &self.attempt {
            Attempt::Refer(refer) => refer.sent(),
            Attempt::Attended(attempt) => attempt.sent(),
            _ => None,
        };
        if let Some(sent) = sent.filter(|_| self.handoff.leaves_open()) {
            return self.ask(cx, Then::Failed { cause, sent });
        }
        // In a dialog that an earlier one has taken the caller out of, any REFER fails.
        if self.is_in_doubt(facts) && self.may_ask(facts) {
            return self.ask(cx, Then::Doubted { cause });
        }
        self.note_failure();
        self.failed(cx, facts, cause, None)
    }

    /// The running attempt's REFER has failed, and nobody is asked.
    pub(super) fn note_failure(&mut self) {
        if self.handoff.may_have_lost() {
            self.whereabouts = Whereabouts::Unasked;
        }
    }

    /// What is told of a transfer of an earlier handoff, short of its success.
    pub(super) fn hear_doubt(&mut self, cx: &Context<'_>, facts: &mut Facts, event: Event) {
        facts.has_failed(cx, event);
        if std::mem::take(&mut facts.may_be_gone) {
            self.whereabouts = Whereabouts::Unasked;
        }
    }

    /// Whether the receiver of the REFER that may have taken the caller away may be asked.
    pub(super) fn may_ask(&self, facts: &Facts) -> bool {
        let late = self.accepted_before().map(|which| self.late[which].belief());
        let late = late.or(facts.accepted_in_doubt().map(|doubt| doubt.belief));
        late.unwrap_or(self.handoff.attempt_plan.profile.belief).may_ask()
    }

    /// Asks the caller's side.
    pub(super) fn ask(mut self: Box<Self>, cx: &mut Context<'_>, then: Then) -> Phase {
        let unproven = matches!(then, Then::Unproven { .. });
        let lull = if unproven { Duration::ZERO } else { BEFORE_QUESTION };
        let twice = unproven || self.handoff.tells_early();
        let question = StillHere::begin(cx, self.conversation.caller, lull, twice);
        self.attempt = Attempt::Asking { question, then };
        self.phase()
    }

    pub(super) fn judge_question(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        verdict: Verdict,
    ) -> Phase {
        let Attempt::Asking { then, .. } = self.attempt else { return self.phase() };
        match (verdict, then) {
            (Verdict::NotMine | Verdict::Wait, _) => self.phase(),
            (Verdict::HereYet, _) => {
                self.conversation.restated(cx);
                self.phase()
            }
            (Verdict::Gone, _) => self.caller_gone(cx, facts),
            // The agent may have left meanwhile.
            (
                Verdict::Here,
                Then::Failed { cause, .. } | Then::Returned { cause } | Then::Doubted { cause },
            ) => {
                self.whereabouts = Whereabouts::Here;
                self.conversation.restated(cx);
                self.failed(cx, facts, cause, None)
            }
            (Verdict::Here, Then::Unproven { sent }) => {
                self.whereabouts = Whereabouts::Here;
                self.conversation.restated(cx);
                self.failed(cx, facts, Cause::Unknown, Some(sent))
            }
            (Verdict::Unknown, Then::Failed { cause, sent }) => {
                self.whereabouts = Whereabouts::Untold;
                self.handoff.because(NO_WORD);
                // How the target is was told; where the caller is was not.
                self.failed_as(cx, facts, (Cause::Unknown, cause), Some(sent))
            }
            (Verdict::Unknown, Then::Unproven { sent }) => {
                self.whereabouts = Whereabouts::Untold;
                self.failed(cx, facts, Cause::Unknown, Some(sent))
            }
            (Verdict::Unknown, Then::Returned { .. }) => self.unknown(cx, facts),
            (Verdict::Unknown, Then::Doubted { .. }) => {
                self.whereabouts = Whereabouts::Untold;
                self.handoff.because(NO_WORD);
                self.failed(cx, facts, Cause::Unknown, None)
            }
            // Nobody is with the caller, who may be there.
            (Verdict::Here | Verdict::Unknown, Then::SetOut) => {
                self.whereabouts =
                    if verdict == Verdict::Here { Whereabouts::Here } else { Whereabouts::Untold };
                self.attempt = Attempt::Held;
                self.set_out(cx, facts)
            }
        }
    }

    /// The caller's side has left the dialog while it was asked.
    pub(super) fn caller_gone(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match self.attempt {
            // It is where the transfer has led, or lost: nobody tells.
            Attempt::Asking { then: Then::Unproven { .. }, .. } => self.unknown_without_caller(cx, facts),
            // The transfer whose result is open may have led somewhere.
            Attempt::Asking { then: Then::Returned { .. } | Then::Doubted { .. }, .. } => {
                match self.conversation.caller_over {
                    true => self.caller_left(cx, facts),
                    // Who has forgotten the dialog tells nothing in it any more.
                    false => self.unknown_without_caller(cx, facts),
                }
            }
            _ => self.lost_by_receiver(cx, facts),
        }
    }

    /// The receiver took the caller out of our dialog, and lost them.
    pub(super) fn lost_by_receiver(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.handoff.attempt_failed(cx, Cause::LostByReceiver, event::Next::None);
        let why = EndReason::LostByReceiver;
        self.over(cx, facts, HandoffEnd::hurt(HandoffState::Failed), why)
    }
}

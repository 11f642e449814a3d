//! Whether the caller is still there, after a NOTIFY that does not prove it: the question to the caller's side, and what
//! follows from its answer.

use super::{Attempt, Moving, Then};
use crate::call::context::Context;
use crate::call::durations::BEFORE_QUESTION;
use crate::call::end_reason::EndReason;
use crate::call::facts::Facts;
use crate::call::handoff::doubt::Whereabouts;
use crate::call::handoff::still_here::{StillHere, Verdict};
use crate::call::phase::Phase;
use crate::call::record::Proof;
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
            Attempt::Way(way) => way.sent(),
            _ => None,
        };
        if let Some(sent) = sent.filter(|_| self.handoff.leaves_open()) {
            return self.ask(cx, Then::Failed { cause, sent });
        }
        // In a dialog that an earlier one has taken the caller out of, any REFER fails.
        if self.handoff.is_in_doubt(facts) && self.handoff.may_ask(facts) {
            return self.ask(cx, Then::Doubted { cause });
        }
        self.handoff.note_failure();
        self.failed(cx, facts, cause, None)
    }

    /// What is told of a transfer of an earlier handoff, short of its success.
    pub(super) fn hear_doubt(&mut self, cx: &Context<'_>, facts: &mut Facts, event: Event) {
        facts.has_failed(cx, event);
        if std::mem::take(&mut facts.may_be_gone) {
            self.handoff.whereabouts = Whereabouts::Unasked;
        }
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
        let here = match (verdict, then) {
            (Verdict::NotMine | Verdict::Wait, _) => return self.phase(),
            (Verdict::Gone, _) => return self.caller_gone(cx, facts),
            (Verdict::HereYet, _) => {
                self.conversation.restated(cx);
                return self.phase();
            }
            (Verdict::Unknown, Then::Returned { .. }) => return self.unknown(cx, facts),
            (Verdict::Unknown, _) => false,
            (Verdict::Here, _) => {
                self.conversation.restated(cx);
                true
            }
        };
        self.handoff.whereabouts = if here { Whereabouts::Here } else { Whereabouts::Untold };
        if !here && matches!(then, Then::Failed { .. } | Then::Doubted { .. }) {
            self.handoff.because(NO_WORD);
        }
        match then {
            // Nobody is with the caller, who may be there.
            Then::SetOut => {
                self.attempt = Attempt::Held;
                self.set_out(cx, facts)
            }
            Then::Unproven { sent } => self.failed(cx, facts, Cause::Unknown, Some(sent)),
            // The agent may have left meanwhile.
            Then::Failed { cause, .. } | Then::Returned { cause } | Then::Doubted { cause } if here => {
                self.failed(cx, facts, cause, None)
            }
            // How the target is was told; where the caller is was not.
            Then::Failed { cause, sent } => self.failed_as(cx, facts, (Cause::Unknown, cause), Some(sent)),
            Then::Returned { .. } | Then::Doubted { .. } => self.failed(cx, facts, Cause::Unknown, None),
        }
    }

    /// The caller's side has left the dialog while it was asked.
    pub(super) fn caller_gone(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match self.attempt {
            // It is where the transfer has led, or lost: nobody tells.
            Attempt::Asking { then: Then::Unproven { .. }, .. } => {
                self.over_untold(cx, facts, Some(Proof::Accepted), EndReason::ResultUnknown)
            }
            // The transfer whose result is open may have led somewhere.
            Attempt::Asking { then: Then::Returned { .. } | Then::Doubted { .. }, .. } => {
                match self.conversation.caller_over {
                    true => self.caller_left(cx, facts),
                    // Who has forgotten the dialog tells nothing in it any more.
                    false => self.over_untold(cx, facts, Some(Proof::Accepted), EndReason::ResultUnknown),
                }
            }
            _ => self.lost(cx, facts, Cause::LostByReceiver, EndReason::LostByReceiver),
        }
    }
}

//! Somebody has gone while a handoff runs: the agent, who may; the caller, for whom it was made.

use super::{Attempt, Moving, Then};
use crate::call::context::{Context, NOT_ALLOWED, ONE_AT_A_TIME};
use crate::call::conversation::{Heard, let_go};
use crate::call::durations::AGENT_AFTER_CALLERS_BYE;
use crate::call::end_reason::EndReason;
use crate::call::event;
use crate::call::event::AfterLoss;
use crate::call::facts::Facts;
use crate::call::handoff::HandoffEnd;
use crate::call::handoff::doubt::Whereabouts;
use crate::call::phase::{Phase, ending, talking};
use crate::call::record::{HandoffState, Proof, Role};
use crate::routing::explain::{self, Cause, Where};
use crate::sip::{Origin, identity};

impl Attempt {
    /// Whether the receiver has taken the REFER, whose result is open.
    fn is_accepted(&self) -> bool {
        match self {
            Attempt::Way(way) => way.is_accepted(),
            Attempt::Asking { then: Then::Unproven { .. }, .. } => true,
            _ => false,
        }
    }

    /// The caller's side hung up. True: it had taken a REFER before, and a NOTIFY may still tell what became of that.
    fn left(&mut self) -> bool {
        let Attempt::Way(way) = self else { return false };
        let accepted = way.is_accepted();
        if accepted {
            way.left();
        }
        accepted
    }
}

impl Moving {
    pub(super) fn heard(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, heard: Heard) -> Phase {
        match heard {
            Heard::Nothing => self.phase(),
            Heard::Confirmed => match self.attempt {
                Attempt::Held => self.set_out(cx, facts),
                Attempt::Confirming => self.confirmed(cx, facts),
                _ => self.phase(),
            },
            Heard::CallerLeft => self.caller_left(cx, facts),
            Heard::CallerLost { status, origin } => self.caller_lost(cx, facts, status, origin),
            Heard::Unanswered => self.unanswered(cx, facts),
            Heard::PartnerLeft => self.partner_gone(cx, facts, None),
            Heard::PartnerLost { status, origin } => self.partner_gone(cx, facts, Some((status, origin))),
            Heard::Referred { request, by } => {
                // Who may refer is told to wait; who may not, not to come again.
                let may = match by {
                    Role::Agent => true,
                    Role::Target => facts.onward.is_some(),
                    Role::Caller => facts.trunk.refer_from_caller,
                };
                let refusal = if may { ONE_AT_A_TIME } else { NOT_ALLOWED };
                cx.refuse_refer(&facts.id, (by, request), refusal);
                self.phase()
            }
        }
    }

    fn unanswered(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        if self.has_worked() {
            return self.phase();
        }
        let doubt = self.doubt(cx, facts);
        self.cut_short(cx, facts, doubt, EndReason::OfferUnanswered)
    }

    /// Somebody else than the two sides ends the call.
    pub(super) fn hung_up(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        why: EndReason,
    ) -> Phase {
        let doubt = self.doubt(cx, facts);
        // Nobody waits for a target any more, though it may still be taken over.
        if let Some(target) = self.target() {
            let_go(cx, target, identity::reason(ending::NORMAL, why.as_str()));
            self.attempt = Attempt::Held;
        }
        self.cut_short(cx, facts, doubt, why)
    }

    /// The proof that there is of a REFER whose result is open, of this handoff or of an earlier one. None: there is none.
    fn doubt(&self, cx: &mut Context<'_>, facts: &Facts) -> Option<Option<Proof>> {
        let caller = self.conversation.caller;
        let open = match &self.attempt {
            Attempt::Way(way) => way.is_open(cx, caller),
            attempt => attempt.is_accepted(),
        };
        let accepted = self.attempt.is_accepted() || self.handoff.accepted_before().is_some();
        (open || self.handoff.is_in_doubt(facts)).then(|| accepted.then_some(Proof::Accepted))
    }

    /// Baton ends the call in the middle of the handoff. What a REFER may lead to all the same is not known to have failed.
    fn cut_short(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        doubt: Option<Option<Proof>>,
        why: EndReason,
    ) -> Phase {
        let (cause, state) = match doubt {
            Some(_) => (Cause::Unknown, HandoffState::Unknown),
            None => (Cause::Failed, HandoffState::Failed),
        };
        self.handoff.attempt_failed(cx, cause, event::Next::None);
        self.over(cx, facts, HandoffEnd::hurt(state).with(doubt.flatten()), why)
    }

    /// A BYE right after its REFER does not stop the handoff; a target's BYE before the join was sure is a failure.
    fn partner_gone(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        lost: Option<(u16, Origin)>,
    ) -> Phase {
        let role = self.conversation.partner.map_or(Role::Agent, |p| p.role);
        self.conversation.drop_partner(cx);
        if let Some(fault) = lost {
            talking::lost(cx, facts, role, fault, AfterLoss::HandoffGoesOn);
        }
        match (role, &self.attempt) {
            (Role::Target, Attempt::Confirming) => {
                self.handoff
                    .because("The target hung up before the caller's side had acknowledged its answer.");
                self.attempt = Attempt::Held;
                self.failed(cx, facts, Cause::Failed, None)
            }
            // There is nobody to return to any more: what would have followed without an agent.
            (_, Attempt::Settling { cause, .. }) => {
                let cause = *cause;
                self.failed(cx, facts, cause, None)
            }
            _ => self.phase(),
        }
    }

    /// The caller's dialog broke.
    pub(super) fn caller_lost(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        status: u16,
        origin: Origin,
    ) -> Phase {
        if self.has_worked() {
            // A BYE of ours to the target's leg, before its own, could still undo it.
            return self.phase();
        }
        talking::lost(cx, facts, Role::Caller, (status, origin), AfterLoss::End);
        let asked = self.handoff.facts.has_referred();
        let cause = match self.attempt {
            Attempt::Asking { .. } => return self.caller_gone(cx, facts),
            _ if self.handoff.whereabouts != Whereabouts::Here => Cause::LostByReceiver,
            // It works on that REFER, or on an earlier one, and has no dialog any more to tell the result in.
            ref attempt if attempt.is_accepted() || self.handoff.is_in_doubt(facts) => {
                return self.cut_short(cx, facts, Some(Some(Proof::Accepted)), EndReason::CallerLost);
            }
            // Nobody was asked to take the caller, so nobody has lost them.
            Attempt::Settling { .. } if !asked => {
                explain::cause(status, Where::ReferResponse).unwrap_or(Cause::Unreachable)
            }
            Attempt::Way(ref way) if way.refers() => Cause::LostByReceiver,
            Attempt::Held | Attempt::Way(_) => {
                explain::cause(status, Where::ByeResponse).unwrap_or(Cause::Unreachable)
            }
            Attempt::Settling { .. } | Attempt::Bye | Attempt::Confirming => Cause::LostByReceiver,
        };
        self.lost(cx, facts, cause, EndReason::CallerLost)
    }

    pub(super) fn caller_left(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match self.attempt {
            Attempt::Asking { then: Then::Returned { .. } | Then::Doubted { .. }, .. } => {}
            Attempt::Asking { .. } => return self.caller_gone(cx, facts),
            _ => {}
        }
        if self.attempt.left() {
            self.close_agent = Some(cx.now.mono + AGENT_AFTER_CALLERS_BYE);
            return self.phase();
        }
        if let Some(which) = self.handoff.accepted_before() {
            // It may be that one which has taken the caller away.
            self.resume(cx, facts, which);
            self.attempt.left();
            self.handoff.progress(cx, HandoffState::Referring, None);
            self.close_agent = Some(cx.now.mono + AGENT_AFTER_CALLERS_BYE);
            return self.phase();
        }
        if self.handoff.whereabouts != Whereabouts::Here && !matches!(self.attempt, Attempt::Settling { .. })
        {
            return self.lost(cx, facts, Cause::LostByReceiver, EndReason::LostByReceiver);
        }
        // What was never answered may have been carried out, too.
        if self.handoff.is_any_open(facts) {
            return self.over_untold(cx, facts, None, EndReason::EarlierUnknown);
        }
        match self.attempt {
            // Only whom it was asked to take can a receiver have lost.
            Attempt::Settling { .. } if self.handoff.facts.has_referred() => {
                if let Some(attempt) = self.handoff.last_mut() {
                    attempt.cause = Some(Cause::LostByReceiver);
                }
                self.handoff.facts.cause = Some(Cause::LostByReceiver);
                let why = EndReason::LostByReceiver;
                self.over(cx, facts, HandoffEnd::hurt(HandoffState::Failed), why)
            }
            _ => self.abandoned(cx, facts),
        }
    }

    pub(super) fn abandoned(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.handoff.attempt_over(cx);
        self.over(cx, facts, HandoffEnd::of(HandoffState::Abandoned), EndReason::CallerHungUp)
    }

    /// The caller's side hung up after its 2xx to the REFER, and a NOTIFY says that the transfer failed.
    pub(super) fn failed_without_caller(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        cause: Cause,
    ) -> Phase {
        let hung_up = self.handoff.last().and_then(|a| a.final_status) == Some(487);
        if self.handoff.is_in_doubt(facts) {
            // An earlier one may have taken the caller away, whatever has become of this one.
            self.take_back(cx, facts, "The transfer failed");
            self.handoff.attempt_failed(cx, if hung_up { Cause::Unknown } else { cause }, event::Next::None);
            let end = HandoffEnd::of(HandoffState::Unknown).with(Proof::Accepted);
            return self.over(cx, facts, end, EndReason::EarlierUnknown);
        }
        if hung_up {
            return self.abandoned(cx, facts);
        }
        self.lost(cx, facts, cause, EndReason::FailedAfterTaken)
    }

    /// The caller's side has left, and nothing says what became of a REFER. `proof`: of its being accepted.
    pub(super) fn over_untold(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        proof: Option<Proof>,
        why: EndReason,
    ) -> Phase {
        self.handoff.attempt_failed(cx, Cause::Unknown, event::Next::None);
        self.over(cx, facts, HandoffEnd::of(HandoffState::Unknown).with(proof), why)
    }
}

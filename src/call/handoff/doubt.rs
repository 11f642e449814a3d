//! Where the caller may be: what was told of the REFERs of a handoff whose result is open, and what the caller's side has said
//! since.

use super::attempt_plan::AttemptPlan;
use super::facts::{AttemptFacts, Response};
use super::{Handoff, calling, view};
use crate::call::context::Context;
use crate::call::event::EventKind;
use crate::call::facts::{Facts, UnresolvedRefer};
use crate::routing::explain::{self, Cause, Where};
use crate::routing::profile::Belief;
use crate::routing::table::Destination;
use crate::sip::leg::SentId;
use crate::sip::leg::reason_info::ReasonInfo;
use crate::sip::{Event, Origin};
use crate::wire::Message;
use smallvec::SmallVec;
use std::sync::Arc;

/// A REFER that was given up as `unknown` and may still be answered, while the ladder goes on: with what it was tried for.
#[derive(Debug)]
pub(crate) struct LateRefer {
    pub(crate) sent: SentId,
    /// Which of the handoff's attempts it was.
    place: usize,
    attempt_plan: Arc<AttemptPlan>,
    chain: SmallVec<[Arc<Destination>; 2]>,
}

impl LateRefer {
    /// What is believed of what is told of it.
    pub(crate) fn belief(&self) -> Belief {
        self.attempt_plan.profile.belief
    }
}

/// Where the caller is, as far as the caller's side has said so since a transfer of theirs failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In our dialog: nothing says otherwise, or the caller's side has said so.
    Here,
    /// The receiver may have taken the caller away, and was not asked.
    Unasked,
    /// It was asked, and has said nothing.
    Untold,
}

impl Handoff {
    /// What the running attempt's REFER was told to have come to, finally, if that leaves it open whether the caller is still in
    /// our dialog, so that its side is to be asked.
    pub(crate) fn leaves_open(&self) -> bool {
        let (belief, seen) = (self.attempt_plan.profile.belief, self.seen);
        let told = self.last().and_then(|attempt| attempt.final_status);
        told.is_some_and(|told| belief.asks(seen, told))
    }

    /// Whether the receiver is known to tell of a transfer before it has done what it tells of.
    pub(crate) fn tells_early(&self) -> bool {
        self.attempt_plan.profile.belief.tells_early(self.seen)
    }

    /// Whether the running attempt's REFER was told to have failed, by a receiver that may have taken the caller away before.
    pub(crate) fn may_have_lost(&self) -> bool {
        let receiver = self.attempt_plan.profile.belief.receiver(self.seen);
        let told = self.last().and_then(|attempt| attempt.final_status);
        told.is_some_and(|told| told >= 300 && !receiver.never_left(told))
    }

    /// The running attempt's REFER is given up, but may still speak.
    pub(crate) fn give_up(&mut self, sent: SentId) {
        let (attempt_plan, chain) = (Arc::clone(&self.attempt_plan), self.chain.clone());
        self.late.push(LateRefer { sent, place: self.running, attempt_plan, chain });
    }

    /// Whether a REFER that was given up had its 2xx, or a NOTIFY in its place.
    pub(crate) fn is_accepted(&self, late: &LateRefer) -> bool {
        self.facts.attempts.get(late.place).is_some_and(AttemptFacts::is_accepted)
    }

    /// Whether a final NOTIFY of a REFER that was given up has come.
    pub(crate) fn was_told(&self, late: &LateRefer) -> bool {
        self.facts.attempts.get(late.place).is_some_and(|attempt| attempt.final_status.is_some())
    }

    /// The receiver has taken a REFER that was given up, or tells that it has failed, and nothing else is changed by that.
    pub(crate) fn accepted_late(&mut self, which: usize, event: Event) {
        let Some(attempt) = self.facts.attempts.get_mut(self.late[which].place) else { return };
        if let Event::Notified { progress, .. } = event
            && progress.is_failure()
        {
            attempt.final_status = progress.status;
        }
        if attempt.response.status().is_some_and(|status| status >= 300) {
            attempt.response = match event {
                Event::Response { status, .. } => {
                    Response::Final { status, phrase: None, origin: Origin::Remote }
                }
                _ => Response::Overtaken,
            };
        }
    }

    /// The REFER of an attempt that was given up is refused after all.
    pub(crate) fn refused_late(
        &mut self,
        which: usize,
        status: u16,
        message: Option<&Message<'_>>,
        origin: Origin,
    ) {
        let reason_info = message.map(ReasonInfo::of).unwrap_or_default();
        let cause = explain::cause_by(status, Where::ReferResponse, reason_info).unwrap_or(Cause::Failed);
        let late = self.late.remove(which);
        if let Some(attempt) = self.facts.attempts.get_mut(late.place) {
            attempt.response =
                Response::Final { status, phrase: Some(calling::phrase(message, status)), origin };
            attempt.cause = Some(cause);
        }
    }

    /// An attempt that was given up speaks after all: what was tried since is taken back, and it is the running one.
    pub(crate) fn revive(&mut self, cx: &mut Context<'_>, late: LateRefer) {
        if late.place != self.running {
            self.break_off();
            self.attempt_over(cx);
        }
        (self.running, self.attempt_plan, self.chain) = (late.place, late.attempt_plan, late.chain);
        self.facts.cause = None;
        if let Some(attempt) = self.last_mut() {
            (attempt.ended, attempt.cause) = (None, None);
            let attempt = Box::new(view::attempt(attempt));
            let (call, handoff) = self.ids();
            cx.tell(EventKind::AttemptResumed { call, handoff, number: self.running + 1, attempt });
        }
    }

    /// The running attempt's REFER has failed, and nobody is asked.
    pub(crate) fn note_failure(&mut self) {
        if self.may_have_lost() {
            self.whereabouts = Whereabouts::Unasked;
        }
    }

    /// The latest REFER that the caller's side had accepted and whose result is open, if something else is tried since.
    pub(crate) fn accepted_before(&self) -> Option<usize> {
        self.late.iter().rposition(|late| self.is_accepted(late))
    }

    /// Whether an earlier REFER, of this handoff or of one that has ended, was accepted, and its result is open.
    pub(crate) fn is_in_doubt(&self, facts: &Facts) -> bool {
        self.accepted_before().is_some() || facts.accepted_in_doubt().is_some()
    }

    /// Whether a REFER may have taken the caller out of our dialog.
    pub(crate) fn is_away(&self, facts: &Facts) -> bool {
        self.whereabouts != Whereabouts::Here || self.is_in_doubt(facts)
    }

    /// The same, for all that is known: one that was never answered may have been carried out too.
    pub(crate) fn may_be_away(&self, facts: &Facts) -> bool {
        self.is_away(facts) || self.is_any_open(facts)
    }

    /// Whether the result of an earlier REFER is open, be it accepted or never answered.
    pub(crate) fn is_any_open(&self, facts: &Facts) -> bool {
        !self.late.is_empty() || !facts.in_doubt.is_empty()
    }

    /// Whether the receiver of the REFER that may have taken the caller away may be asked.
    pub(crate) fn may_ask(&self, facts: &Facts) -> bool {
        let late = self.accepted_before().map(|which| self.late[which].belief());
        let late = late.or(facts.accepted_in_doubt().map(|doubt| doubt.belief));
        late.unwrap_or(self.attempt_plan.profile.belief).may_ask()
    }

    /// The handoff is over and the call is not, which remembers what is open.
    pub(crate) fn leave_doubts(&self, facts: &mut Facts) {
        for late in &self.late {
            let (accepted, told) = (self.is_accepted(late), self.was_told(late));
            facts.doubt(UnresolvedRefer { sent: late.sent, belief: late.belief(), accepted, told });
        }
        facts.may_be_gone |= self.whereabouts != Whereabouts::Here;
    }
}

//! The target has answered, and the caller's side is asked to take its call over: REFER with Replaces (RFC 3891, RFC 5589
//! §7). Target and agent stay as they are until that has worked.
//!
//! What shows it is a final 2xx in NOTIFY; where the profile does not believe one, together with the target's BYE
//! ([`Swap`]). Only a refusal says that it cannot be done: as long as nothing is known, the caller may be taken at any
//! moment, and both stay where they are.

use super::swap::{Shown, Swap};
use super::way::Outcome;
use super::{Handoff, refer};
use crate::call::alone::answer_waiting;
use crate::call::context::Context;
use crate::call::facts::Facts;
use crate::call::record::{HandoffState, Proof};
use crate::call::waiting::Waiter;
use crate::routing::explain::Cause;
use crate::sip::leg::SentId;
use crate::sip::{Event, Gap, LegId, Time};
use crate::wire::Message;

/// Why it fails where the target was gone before anything was asked.
const LEFT_EARLY: &str = "The target hung up before the caller's side was asked to take its call over.";

/// Waits for the target to settle, then asks the caller's side to take its call over.
#[derive(Debug)]
pub(crate) struct AttendedTransfer {
    stage: Stage,
    /// None: its dialog with us is over.
    pub(crate) target: Option<LegId>,
    swap: Swap,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The target's media is given its time: the REFER goes out at `at`.
    Settling { at: Time },
    /// It is out.
    Asking(refer::BlindRefer),
}

impl AttendedTransfer {
    /// The target, which has answered at `answered`, is to be taken over.
    pub(crate) fn begin(handoff: &Handoff, target: LegId, answered: Time) -> AttendedTransfer {
        let at = answered + handoff.attempt_plan.destination.timeouts.settle;
        AttendedTransfer { stage: Stage::Settling { at }, target: Some(target), swap: Swap::default() }
    }

    /// A REFER that was given up and is answered after all, with the target that has waited for that.
    pub(crate) fn resumed(refer: refer::BlindRefer, waiter: Waiter) -> AttendedTransfer {
        AttendedTransfer { stage: Stage::Asking(refer), target: waiter.target, swap: waiter.swap }
    }

    /// The target, to be left alone with a REFER that is in doubt, and whose 2xx is believed or not. None: there is no such
    /// REFER.
    pub(crate) fn to_waiter(&self, believed: bool) -> Option<Waiter> {
        let Stage::Asking(refer) = &self.stage else { return None };
        // What nobody has accepted is not waited for.
        let until = refer.due().filter(|_| self.is_accepted());
        Some(Waiter { sent: refer.sent()?, target: self.target, swap: self.swap, believed, until })
    }

    /// The REFER, while its result is open.
    pub(crate) fn sent(&self) -> Option<SentId> {
        match &self.stage {
            Stage::Settling { .. } => None,
            Stage::Asking(refer) => refer.sent(),
        }
    }

    /// Whether nothing was asked of the caller's side yet.
    pub(crate) fn is_settling(&self) -> bool {
        matches!(self.stage, Stage::Settling { .. })
    }

    /// Whether the receiver has taken the REFER.
    pub(crate) fn is_accepted(&self) -> bool {
        match &self.stage {
            Stage::Settling { .. } => false,
            Stage::Asking(refer) => self.swap.is_told() || refer.is_accepted(),
        }
    }

    /// The same as [`refer::Attempt::is_open`].
    pub(crate) fn is_open(&self, cx: &mut Context<'_>, caller: LegId) -> bool {
        match &self.stage {
            Stage::Settling { .. } => false,
            Stage::Asking(refer) => self.swap.is_told() || refer.is_open(cx, caller),
        }
    }

    /// Whether it has worked, and only the target's BYE is waited for.
    pub(crate) fn has_worked(&self) -> bool {
        self.swap.is_believed()
    }

    /// The peer hung up after the 2xx.
    pub(crate) fn left(&mut self) {
        if let Stage::Asking(refer) = &mut self.stage {
            refer.left();
        }
    }

    /// The process stood still.
    pub(crate) fn catch_up(&mut self, gap: Gap) {
        self.swap.catch_up(gap);
    }

    /// When something is due. `total`: the end of `timeouts.total`, which cuts nothing short that has worked.
    pub(crate) fn deadline(&self, total: Time) -> Time {
        match (&self.stage, self.swap.shown(Time(0), self.target.is_some())) {
            (Stage::Settling { at }, _) => (*at).min(total),
            (Stage::Asking(_), Shown::Told { until }) => until,
            (Stage::Asking(refer), _) => refer.deadline(total),
        }
    }

    /// One event of the caller's leg or of the target's.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        handoff: &mut Handoff,
        caller: LegId,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Outcome {
        match event {
            Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. }
                if Some(leg) == self.target =>
            {
                self.target = None;
                cx.release(leg);
                if matches!(event, Event::Bye { .. }) {
                    self.swap.leave(cx.now.mono);
                }
                self.target_gone(cx, handoff)
            }
            Event::Request { leg, request, kind } if Some(leg) == self.target => {
                answer_waiting(cx, leg, request, kind);
                Outcome::Wait
            }
            event => self.hear_caller(cx, handoff, caller, event, message),
        }
    }

    fn target_gone(&self, cx: &Context<'_>, handoff: &mut Handoff) -> Outcome {
        match &self.stage {
            Stage::Asking(refer) if !refer.is_to_be_sent() => self.judge_swap(cx),
            Stage::Asking(_) | Stage::Settling { .. } => {
                handoff.because(LEFT_EARLY);
                Outcome::Failed(Cause::Failed)
            }
        }
    }

    fn hear_caller(
        &mut self,
        cx: &mut Context<'_>,
        handoff: &mut Handoff,
        caller: LegId,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Outcome {
        let Stage::Asking(refer) = &mut self.stage else { return Outcome::NotMine };
        if self.swap.is_told() && event_is_old(event, refer.sent(), self.swap.is_believed()) {
            return Outcome::Wait;
        }
        match (event, refer.hear(cx, handoff, caller, event, message)) {
            (Event::Notified { progress, .. }, outcome @ (Outcome::Moved(_) | Outcome::Unknown(_)))
                if progress.is_success() =>
            {
                self.swap.tell(cx.now.mono, matches!(outcome, Outcome::Moved(_)));
                cx.leave_to_swap([Some(caller), self.target]);
                self.judge_swap(cx)
            }
            (_, outcome) => self.judge(outcome),
        }
    }

    /// A deadline may have come.
    pub(crate) fn tick(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        caller: LegId,
    ) -> Outcome {
        match &mut self.stage {
            Stage::Settling { at } if *at <= cx.now.mono => self.ask(cx, facts, handoff, caller),
            Stage::Settling { .. } => Outcome::Wait,
            Stage::Asking(_) if self.swap.is_told() => self.judge_swap(cx),
            Stage::Asking(refer) => {
                let verdict = refer.tick(cx, facts, handoff, caller);
                self.judge(verdict)
            }
        }
    }

    /// Sends the REFER.
    fn ask(&mut self, cx: &mut Context<'_>, facts: &Facts, handoff: &mut Handoff, caller: LegId) -> Outcome {
        let Some(target) = self.target else { return self.target_gone(cx, handoff) };
        handoff.progress(cx, HandoffState::Referring, None);
        match refer::BlindRefer::with_replaces(cx, facts, handoff, caller, target) {
            Ok(refer) => {
                self.stage = Stage::Asking(refer);
                Outcome::Wait
            }
            Err(cause) => Outcome::NotTakenOver(cause),
        }
    }

    /// `timeouts.total` has passed.
    pub(crate) fn give_up(&mut self, cx: &mut Context<'_>, handoff: &mut Handoff, caller: LegId) -> Outcome {
        match &mut self.stage {
            Stage::Settling { .. } => Outcome::NotTakenOver(Cause::Failed),
            Stage::Asking(_) if self.swap.is_told() => self.judge_swap(cx),
            Stage::Asking(refer) => {
                let verdict = refer.give_up(cx, handoff, caller);
                self.judge(verdict)
            }
        }
    }

    /// Something else has taken its place: nothing of its REFER is sent from here on.
    pub(crate) fn forgo(&self, cx: &mut Context<'_>, caller: LegId) {
        match &self.stage {
            Stage::Settling { .. } => {}
            Stage::Asking(refer) => refer.forgo(cx, caller),
        }
    }

    fn judge_swap(&self, cx: &Context<'_>) -> Outcome {
        match self.swap.shown(cx.now.mono, self.target.is_some()) {
            // What is told will decide, and the response, if that is to come yet.
            Shown::Nothing | Shown::Told { .. } => Outcome::Wait,
            Shown::Worked => Outcome::Moved(Proof::Proven),
            Shown::Doubtful => self.sent().map_or(Outcome::Wait, Outcome::Unknown),
        }
    }

    fn judge(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Moved(_) => Outcome::Moved(Proof::Proven),
            Outcome::Failed(cause) if self.target.is_some() => Outcome::NotTakenOver(cause),
            other => other,
        }
    }
}

/// Whether an event says nothing new once a final 2xx was told: after one that is not believed only a failure does.
fn event_is_old(event: Event, refer: Option<SentId>, believed: bool) -> bool {
    match event {
        Event::Response { sent, status, .. } => Some(sent) == refer && status >= 300,
        Event::Notified { refer: of, progress, .. } => {
            Some(of) == refer && (believed || !progress.is_failure())
        }
        _ => false,
    }
}

//! The target has answered, and the caller's side is asked to take its call over: REFER with Replaces (RFC 3891, RFC 5589
//! §7). Target and agent stay as they are until that has worked.
//!
//! What shows it is a final 2xx in NOTIFY; where the profile does not believe one, together with the target's BYE
//! ([`Swap`]). Only a refusal says that it cannot be done: as long as nothing is known, the caller may be taken at any
//! moment, and both stay where they are.

use super::join::Join;
use super::refer;
use super::{End, Machine, Outcome, Scene, Signal, Way, failed};
use crate::call::context::Context;
use crate::call::conversation::let_go;
use crate::call::event::Next;
use crate::call::handoff::swap::{Shown, Swap};
use crate::call::record::{HandoffState, Proof};
use crate::call::waiting::Waiter;
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use crate::sip::leg::SentId;
use crate::sip::{Event, Gap, LegId, Time, identity};

/// Why it fails where the target was gone before anything was asked.
const LEFT_EARLY: &str = "The target hung up before the caller's side was asked to take its call over.";

/// Waits for the target to settle, then asks the caller's side to take its call over.
#[derive(Debug)]
pub(crate) struct AttendedTransfer {
    stage: Stage,
    /// None: its dialog with us is over.
    target: Option<LegId>,
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
    /// REFER with Replaces, once the target, which has answered at `answered`, has settled.
    pub(crate) fn begin(scene: &mut Scene<'_, '_>, target: LegId, answered: Time) -> Outcome {
        let at = answered + scene.handoff.attempt_plan.destination.timeouts.settle;
        let stage = Stage::Settling { at };
        let mut transfer = AttendedTransfer { stage, target: Some(target), swap: Swap::default() };
        match transfer.proceed(scene) {
            Outcome::Wait => Outcome::Turn(Way::TakeOver(transfer)),
            Outcome::Ended(end) => {
                transfer.give_up(scene, "No caller");
                Outcome::Ended(end)
            }
            outcome => outcome,
        }
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

    /// Whether the receiver has taken the REFER.
    pub(crate) fn is_accepted(&self) -> bool {
        match &self.stage {
            Stage::Settling { .. } => false,
            Stage::Asking(refer) => self.swap.is_told() || refer.is_accepted(),
        }
    }

    /// The same as [`refer::BlindRefer::is_open`].
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

    fn target_gone(&self, scene: &mut Scene<'_, '_>) -> Outcome {
        match &self.stage {
            Stage::Asking(refer) if !refer.is_to_be_sent() => self.judge_swap(scene.cx),
            Stage::Asking(_) | Stage::Settling { .. } => {
                scene.handoff.because(LEFT_EARLY);
                failed(Cause::Failed)
            }
        }
    }

    /// Sends the REFER, if it is due.
    fn proceed(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        match self.stage {
            Stage::Settling { at } if at <= scene.cx.now.mono => {}
            Stage::Settling { .. } | Stage::Asking(_) => return Outcome::Wait,
        }
        let Some(target) = self.target else { return self.target_gone(scene) };
        scene.handoff.progress(scene.cx, HandoffState::Referring, None);
        match refer::BlindRefer::with_replaces(scene, target) {
            Ok(refer) => {
                self.stage = Stage::Asking(refer);
                Outcome::Wait
            }
            Err(cause) => self.refused(scene, cause),
        }
    }

    /// The caller's side cannot take the target over, so the target, which has answered already, is joined with the
    /// caller: nobody hears a second ring.
    fn refused(&self, scene: &mut Scene<'_, '_>, cause: Cause) -> Outcome {
        match self.target.filter(|_| !scene.conversation.caller_over) {
            Some(target) => {
                scene.handoff.note_failure();
                scene.handoff.attempt_failed(scene.cx, cause, Next::Method(Method::Invite));
                Outcome::Turn(Way::Join(Join::begin_instead(scene, target)))
            }
            None => failed(cause),
        }
    }

    fn judge_swap(&self, cx: &Context<'_>) -> Outcome {
        match self.swap.shown(cx.now.mono, self.target.is_some()) {
            // What is told will decide, and the response, if that is to come yet.
            Shown::Nothing | Shown::Told { .. } => Outcome::Wait,
            Shown::Worked => Outcome::Ended(End::Succeeded(Proof::Proven)),
            Shown::Doubtful => self.sent().map_or(Outcome::Wait, |sent| Outcome::Ended(End::Unknown(sent))),
        }
    }

    fn judge(&self, scene: &mut Scene<'_, '_>, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Ended(End::Succeeded(_)) => Outcome::Ended(End::Succeeded(Proof::Proven)),
            Outcome::Ended(End::Failed(cause)) => self.refused(scene, cause),
            other => other,
        }
    }
}

impl Machine for AttendedTransfer {
    /// One event of the caller's leg or of the target's.
    fn on_event(&mut self, scene: &mut Scene<'_, '_>, signal: Signal<'_>) -> Outcome {
        let event = signal.event;
        match event {
            Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. }
                if Some(leg) == self.target =>
            {
                self.target = None;
                scene.cx.release(leg);
                if matches!(event, Event::Bye { .. }) {
                    self.swap.leave(scene.cx.now.mono);
                }
                return self.target_gone(scene);
            }
            _ if scene.is_settled_alone(self.target, event) => return Outcome::Wait,
            _ => {}
        }
        let Stage::Asking(refer) = &mut self.stage else { return Outcome::NotMine };
        if self.swap.is_told() && event_is_old(event, refer.sent(), self.swap.is_believed()) {
            return Outcome::Wait;
        }
        match (event, refer.on_event(scene, signal)) {
            (
                Event::Notified { progress, .. },
                Outcome::Ended(end @ (End::Succeeded(_) | End::Unknown(_))),
            ) if progress.is_success() => {
                self.swap.tell(scene.cx.now.mono, matches!(end, End::Succeeded(_)));
                scene.cx.leave_to_swap([Some(scene.caller()), self.target]);
                self.judge_swap(scene.cx)
            }
            (_, outcome) => self.judge(scene, outcome),
        }
    }

    fn on_tick(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        match &mut self.stage {
            Stage::Settling { .. } if scene.handoff.total <= scene.cx.now.mono => {
                self.refused(scene, Cause::Failed)
            }
            Stage::Settling { .. } => self.proceed(scene),
            Stage::Asking(_) if self.swap.is_told() => self.judge_swap(scene.cx),
            Stage::Asking(refer) => {
                let outcome = refer.on_tick(scene);
                self.judge(scene, outcome)
            }
        }
    }

    /// `timeouts.total` cuts nothing short that has worked.
    fn deadline(&self, total: Time) -> Option<Time> {
        match (&self.stage, self.swap.shown(Time(0), self.target.is_some())) {
            (Stage::Settling { at }, _) => Some((*at).min(total)),
            (Stage::Asking(_), Shown::Told { until }) => Some(until),
            (Stage::Asking(refer), _) => refer.deadline(total),
        }
    }

    fn target(&self) -> Option<LegId> {
        self.target
    }

    fn may_cancel(&self) -> bool {
        matches!(self.stage, Stage::Settling { .. })
    }

    /// Something else has taken its place: nothing of its REFER is sent from here on.
    fn give_up(&mut self, scene: &mut Scene<'_, '_>, why: &str) {
        if let Stage::Asking(refer) = &mut self.stage {
            refer.give_up(scene, why);
        }
        if let Some(target) = self.target {
            let_go(scene.cx, target, identity::reason(487, why));
        }
        // The agent may have spoken with the target before: the caller is held yet.
        scene.conversation.reunite(scene.cx);
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

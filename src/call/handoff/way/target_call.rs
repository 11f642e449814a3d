//! `invite` and `attended` from the call of the target to its answer; what follows from that is another way.

use super::attended::AttendedTransfer;
use super::brief::Brief;
use super::fresh::{Fresh, HELD};
use super::join::Join;
use super::{Machine, Outcome, Scene, Signal, Way, failed};
use crate::call::conversation::let_go;
use crate::call::event::Next;
use crate::call::handoff::calling::{self, Calling, Verdict};
use crate::call::record::{HandoffState, Role};
use crate::call::target_address::Offer;
use crate::call::ticket::Ticket;
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use crate::sip::{Answer, LegId, Time, identity};
use crate::wire::sdp::{as_offer, is_nowhere};

/// Calls the target with the caller's last session.
#[derive(Debug)]
pub(crate) struct TargetCall(Calling);

impl TargetCall {
    pub(crate) fn begin(scene: &mut Scene<'_, '_>) -> Result<TargetCall, Cause> {
        Calling::begin(scene.cx, scene.facts, scene.handoff, None).map(TargetCall)
    }

    fn judge(&mut self, scene: &mut Scene<'_, '_>, verdict: Verdict) -> Outcome {
        match verdict {
            Verdict::NotMine => Outcome::NotMine,
            Verdict::Wait => Outcome::Wait,
            Verdict::Answered { leg, .. } if !calling::is_joinable(scene.cx, leg) => {
                let_go(scene.cx, leg, identity::reason(488, calling::NO_SESSION));
                scene.handoff.because(calling::NOTHING_TO_JOIN);
                failed(Cause::Failed)
            }
            // A target that gets no ACK hangs up in the end, and its Contact may lead nowhere.
            Verdict::Answered { leg, needs_answer: false } if !scene.cx.stack.is_acknowledged(leg) => {
                self.0.wait_for_ack();
                Outcome::Wait
            }
            Verdict::Answered { leg, .. } if scene.handoff.attempt_plan.method == Method::Attended => {
                attended(scene, leg)
            }
            Verdict::Answered { leg, .. } => {
                scene.handoff.progress(scene.cx, HandoffState::Joining, None);
                Outcome::Turn(Way::Join(Join::begin(scene, leg)))
            }
            Verdict::Failed { status: Some(488 | 606), cause } if scene.handoff.total > scene.cx.now.mono => {
                scene.handoff.attempt_failed(scene.cx, cause, Next::Method(Method::Invite));
                scene.handoff.turn_to_invite();
                Outcome::Turn(Way::Fresh(Fresh::begin(scene)))
            }
            Verdict::Failed { cause, .. } => failed(cause),
        }
    }
}

/// The target of `attended` has answered: it hears what it is about from the agent, or takes the call over at once.
fn attended(scene: &mut Scene<'_, '_>, target: LegId) -> Outcome {
    match scene.conversation.partner {
        // An agent that has asked for nothing would not know whom it speaks with, nor complete it.
        Some(agent)
            if scene.handoff.attempt_plan.destination.brief
                && agent.role == Role::Agent
                && !scene.handoff.is_fallback() =>
        {
            Outcome::Turn(Way::Brief(Brief::begin(scene, agent.leg, target)))
        }
        _ => AttendedTransfer::begin(scene, target, scene.cx.now.mono),
    }
}

impl Machine for TargetCall {
    fn on_event(&mut self, scene: &mut Scene<'_, '_>, Signal { event, message }: Signal<'_>) -> Outcome {
        let verdict = self.0.hear(scene.cx, scene.facts, scene.handoff, event, message);
        self.judge(scene, verdict)
    }

    fn on_tick(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        let verdict = self.0.tick(scene.cx, scene.handoff);
        self.judge(scene, verdict)
    }

    fn answered(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket, answer: Answer<'_>) -> Outcome {
        if !self.0.has_asked(ticket) {
            return Outcome::NotMine;
        }
        let last = scene.cx.stack.remote_sdp(scene.caller());
        if last.is_some_and(is_nowhere) {
            scene.handoff.because(HELD);
            return failed(Cause::Refused);
        }
        let offer = last.map(as_offer).unwrap_or_default();
        let offer = Offer::Sdp(&offer);
        let verdict = self.0.answered(scene.cx, scene.facts, scene.handoff, (ticket, answer), offer);
        self.judge(scene, verdict)
    }

    fn deadline(&self, _total: Time) -> Option<Time> {
        Some(self.0.deadline())
    }

    fn target(&self) -> Option<LegId> {
        self.0.leg()
    }

    fn may_cancel(&self) -> bool {
        true
    }

    fn give_up(&mut self, scene: &mut Scene<'_, '_>, why: &str) {
        self.0.give_up(scene.cx, why);
    }
}

//! A target that refuses the caller's last session (488) is called once more with a fresh one: the caller is asked for
//! an offer by a re-INVITE without SDP (RFC 3725 §7). So is a caller whose last session has no address, because it holds,
//! before any target is called.
//!
//! The caller's 2xx waits for its ACK until the target has answered, so the target may not ring for long. If it does
//! not answer, the ACK gives the caller the agent's session, as it was.

use super::join::Join;
use super::{Machine, Outcome, Scene, Signal, failed};
use crate::call::durations::{BUSY_DIALOG_POLL, FRESH_OFFER_ANSWER, FRESH_OFFER_RING};
use crate::call::handoff::calling::{self, Calling, Verdict};
use crate::call::record::HandoffState;
use crate::call::target_address::Offer;
use crate::call::ticket::Ticket;
use crate::routing::explain::Cause;
use crate::sip::leg::modify::is_glare;
use crate::sip::leg::{Body, SentId};
use crate::sip::{Answer, Content, Event, LegId, Time};
use crate::wire::sdp::{as_answer, as_offer, has_stream, is_nowhere};

/// Why there is nothing to offer, for whoever is on call.
pub(crate) const NOWHERE: &str = "The caller's side holds by an address where nobody is (`c=0.0.0.0`, RFC 2543), and offered no other when it was asked: a target could not be heard.";
/// The same, where nobody has asked it.
pub(crate) const HELD: &str = "The caller's side holds by an address where nobody is (`c=0.0.0.0`, RFC 2543): a target could not be heard. Method `invite` asks that side for another address first, `attended` does not: add `invite` to `on_failure`.";

/// Calls a target with an offer that the caller's side was asked for.
#[derive(Debug)]
pub(crate) struct Fresh {
    state: State,
    /// No target was called before: the attempt is still to be opened.
    first: bool,
}

#[derive(Debug)]
enum State {
    /// The caller is asked for an offer; None: its dialog is busy, or it has none.
    Asking { sent: Option<SentId>, until: Time },
    /// It met another request, and is asked again then.
    Waiting { again: Time, until: Time },
    /// It has made one, and nobody can be called with it.
    Offered,
    /// The target is called with it.
    Calling(Calling),
}

impl Fresh {
    /// Asks the caller.
    pub(crate) fn begin(scene: &mut Scene<'_, '_>) -> Fresh {
        let (now, caller) = (scene.cx.now, scene.caller());
        // A dialog that is busy now is not worth the wait: somebody changes the session just then.
        let sent = scene.cx.stack.reinvite(now, caller, Content::default()).ok();
        let until = match sent {
            Some(_) => (now.mono + FRESH_OFFER_ANSWER).min(scene.handoff.total),
            None => now.mono,
        };
        Fresh { state: State::Asking { sent, until }, first: false }
    }

    /// Asks a caller whose last session nobody can be offered.
    pub(crate) fn begin_first(scene: &mut Scene<'_, '_>) -> Fresh {
        Fresh { first: true, ..Fresh::begin(scene) }
    }

    /// The caller has nothing that a target could be offered.
    fn refused(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        if std::mem::take(&mut self.first) {
            let method = scene.handoff.attempt_plan.method;
            scene.handoff.attempt(scene.cx, method, HandoffState::Pending, None);
            scene.handoff.because(NOWHERE);
        }
        self.failed(scene, Cause::Refused)
    }

    fn failed(&mut self, scene: &mut Scene<'_, '_>, cause: Cause) -> Outcome {
        self.give_up(scene, "No answer");
        failed(cause)
    }

    /// The caller's side has made an offer.
    fn offered(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        self.state = State::Offered;
        let stack = &scene.cx.stack;
        let offer = stack.proposed_sdp(scene.caller());
        let (offered, held) = (offer.is_some_and(has_stream), offer.is_some_and(is_nowhere));
        if held || !offered && stack.local_sdp(scene.caller()).is_some_and(has_stream) {
            return self.refused(scene);
        }
        self.first = false;
        let most = Some(scene.cx.now.mono + FRESH_OFFER_RING);
        match Calling::begin(scene.cx, scene.facts, scene.handoff, most) {
            Ok(calling) => {
                self.state = State::Calling(calling);
                Outcome::Wait
            }
            Err(cause) => self.failed(scene, cause),
        }
    }

    fn judge(&mut self, scene: &mut Scene<'_, '_>, verdict: Verdict) -> Outcome {
        match verdict {
            Verdict::NotMine => Outcome::NotMine,
            Verdict::Wait => Outcome::Wait,
            Verdict::Failed { cause, .. } => self.failed(scene, cause),
            Verdict::Answered { leg, .. } if !calling::is_joinable(scene.cx, leg) => {
                self.failed(scene, Cause::Failed)
            }
            Verdict::Answered { leg, needs_answer: false } if !scene.cx.stack.is_acknowledged(leg) => {
                if let State::Calling(calling) = &mut self.state {
                    calling.wait_for_ack();
                }
                Outcome::Wait
            }
            Verdict::Answered { leg, .. } => match answer(scene, leg) {
                Some(()) => Join::answered(scene, leg),
                None => self.failed(scene, Cause::Failed),
            },
        }
    }
}

/// The caller's offer is answered with what the target has answered.
fn answer(scene: &mut Scene<'_, '_>, target: LegId) -> Option<()> {
    let (now, caller, stack) = (scene.cx.now, scene.caller(), &mut scene.cx.stack);
    let like = stack.proposed_sdp(caller).unwrap_or_default();
    let answer = as_answer(stack.remote_sdp(target)?, like);
    let content = Content { body: Body::Sdp(&answer), ..Content::default() };
    stack.acknowledge(now, caller, content).ok()
}

impl Machine for Fresh {
    fn on_event(&mut self, scene: &mut Scene<'_, '_>, Signal { event, message }: Signal<'_>) -> Outcome {
        match (&mut self.state, event) {
            (State::Asking { sent: ours, until }, Event::Response { sent, status, needs_answer, .. })
                if *ours == Some(sent) =>
            {
                *ours = None;
                let until = *until;
                match status {
                    200..=299 if needs_answer => self.offered(scene),
                    _ if is_glare(status, message) => {
                        let again = scene.cx.now.mono + scene.cx.stack.back_off(scene.caller());
                        self.state = State::Waiting { again, until };
                        Outcome::Wait
                    }
                    // It has nothing else to offer, and the session is as it was.
                    _ => self.refused(scene),
                }
            }
            (State::Asking { .. } | State::Waiting { .. } | State::Offered, _) => Outcome::NotMine,
            (State::Calling(calling), event) => {
                let verdict = calling.hear(scene.cx, scene.facts, scene.handoff, event, message);
                self.judge(scene, verdict)
            }
        }
    }

    fn on_tick(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        let now = scene.cx.now;
        match &mut self.state {
            State::Asking { until, .. } | State::Waiting { until, .. } if *until <= now.mono => {
                self.refused(scene)
            }
            State::Waiting { again, until } if *again <= now.mono => {
                let until = *until;
                self.state = match scene.cx.stack.reinvite(now, scene.caller(), Content::default()) {
                    Ok(sent) => State::Asking { sent: Some(sent), until },
                    Err(_) => State::Waiting { again: now.mono + BUSY_DIALOG_POLL, until },
                };
                Outcome::Wait
            }
            State::Asking { .. } | State::Waiting { .. } | State::Offered => Outcome::Wait,
            State::Calling(calling) => {
                let verdict = calling.tick(scene.cx, scene.handoff);
                self.judge(scene, verdict)
            }
        }
    }

    fn answered(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket, answer: Answer<'_>) -> Outcome {
        let State::Calling(calling) = &mut self.state else { return Outcome::NotMine };
        let offer = scene.cx.stack.proposed_sdp(scene.caller()).map(as_offer).unwrap_or_default();
        let offer = Offer::Sdp(&offer);
        let verdict = calling.answered(scene.cx, scene.facts, scene.handoff, (ticket, answer), offer);
        self.judge(scene, verdict)
    }

    fn deadline(&self, _total: Time) -> Option<Time> {
        match &self.state {
            State::Asking { until, .. } => Some(*until),
            State::Waiting { again, until } => Some(*again.min(until)),
            State::Offered => None,
            State::Calling(calling) => Some(calling.deadline()),
        }
    }

    fn target(&self) -> Option<LegId> {
        match &self.state {
            State::Asking { .. } | State::Waiting { .. } | State::Offered => None,
            State::Calling(calling) => calling.leg(),
        }
    }

    fn may_cancel(&self) -> bool {
        true
    }

    /// The target is let go, and the caller gets the agent's session.
    fn give_up(&mut self, scene: &mut Scene<'_, '_>, why: &str) {
        let caller = scene.caller();
        let Scene { cx, conversation, .. } = scene;
        match &self.state {
            State::Asking { sent: Some(sent), .. } => {
                cx.stack.withdraw(cx.now, caller, *sent);
                conversation.follow(cx, caller, *sent);
            }
            State::Asking { sent: None, .. } | State::Waiting { .. } => {}
            State::Offered => conversation.answer_offer(cx, caller),
            State::Calling(calling) => {
                calling.give_up(cx, why);
                conversation.answer_offer(cx, caller);
            }
        }
        // The fresh session may not be the one that the agent knows.
        conversation.want_sdp_sync(cx);
    }
}

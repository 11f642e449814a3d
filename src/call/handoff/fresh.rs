//! A target that refuses the caller's last session (488) is called once more with a fresh one: the caller is asked for
//! an offer by a re-INVITE without SDP (RFC 3725 §7). So is a caller whose last session has no address, because it holds,
//! before any target is called.
//!
//! The caller's 2xx waits for its ACK until the target has answered, so the target may not ring for long. If it does
//! not answer, the ACK gives the caller the agent's session, as it was.

use super::Handoff;
use super::calling::{self, Calling};
use super::way::Outcome;
use crate::call::context::Context;
use crate::call::conversation::Conversation;
use crate::call::durations::{BUSY_DIALOG_POLL, FRESH_OFFER_ANSWER, FRESH_OFFER_RING};
use crate::call::facts::Facts;
use crate::call::record::HandoffState;
use crate::call::target_address::Offer;
use crate::routing::explain::Cause;
use crate::sip::leg::modify::is_glare;
use crate::sip::leg::{Body, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Content, Event, Flow, LegId, Time};
use crate::wire::Message;
use crate::wire::sdp::{as_answer, as_offer, has_stream, is_nowhere};

/// Why there is nothing to offer, for whoever is on call.
pub(crate) const NOWHERE: &str = "The caller's side holds by an address where nobody is (`c=0.0.0.0`, RFC 2543), and offered no other when it was asked: a target could not be heard.";
/// The same, where nobody has asked it.
pub(crate) const HELD: &str = "The caller's side holds by an address where nobody is (`c=0.0.0.0`, RFC 2543): a target could not be heard. Method `invite` asks that side for another address first, `attended` does not: add `invite` to `on_failure`.";

/// Calls a target with an offer that the caller's side was asked for.
#[derive(Debug)]
pub(crate) struct Fresh {
    state: State,
    caller: LegId,
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
    pub(crate) fn begin(cx: &mut Context<'_>, handoff: &Handoff, caller: LegId) -> Fresh {
        let until = (cx.now.mono + FRESH_OFFER_ANSWER).min(handoff.total);
        // A dialog that is busy now is not worth the wait: somebody changes the session just then.
        let sent = cx.stack.reinvite(cx.now, caller, Content::default());
        let until = match sent {
            Ok(_) => until,
            Err(NotSent::Pending | NotSent::Gone) => cx.now.mono,
        };
        Fresh { state: State::Asking { sent: sent.ok(), until }, caller, first: false }
    }

    /// Asks a caller whose last session nobody can be offered.
    pub(crate) fn begin_first(cx: &mut Context<'_>, handoff: &Handoff, caller: LegId) -> Fresh {
        Fresh { first: true, ..Fresh::begin(cx, handoff, caller) }
    }

    /// The caller has nothing that a target could be offered.
    fn refused(&mut self, cx: &mut Context<'_>, handoff: &mut Handoff) -> Outcome {
        if std::mem::take(&mut self.first) {
            handoff.attempt(cx, handoff.attempt_plan.method, HandoffState::Pending, None);
            handoff.because(NOWHERE);
        }
        Outcome::Failed(Cause::Refused)
    }

    /// The target's leg, if there is one.
    pub(crate) fn target(&self) -> Option<LegId> {
        match &self.state {
            State::Asking { .. } | State::Waiting { .. } | State::Offered => None,
            State::Calling(calling) => calling.leg(),
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Asking { until, .. } => Some(*until),
            State::Waiting { again, until } => Some(*again.min(until)),
            State::Offered => None,
            State::Calling(calling) => Some(calling.deadline()),
        }
    }

    /// The target's address.
    pub(crate) fn resolved(
        &mut self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        handoff: &mut Handoff,
        answer: (u64, &[Flow]),
    ) -> Outcome {
        let State::Calling(calling) = &mut self.state else { return Outcome::NotMine };
        let offer = cx.stack.proposed_sdp(self.caller).map(as_offer).unwrap_or_default();
        let verdict = calling.resolved(cx, facts, handoff, answer, Offer::Sdp(&offer));
        self.judge(cx, verdict)
    }

    /// One event of the caller's leg or of the target's.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Outcome {
        match (&mut self.state, event) {
            (State::Asking { sent: ours, until }, Event::Response { sent, status, needs_answer, .. })
                if *ours == Some(sent) =>
            {
                *ours = None;
                let until = *until;
                match status {
                    200..=299 if needs_answer => {
                        self.state = State::Offered;
                        let offer = cx.stack.proposed_sdp(self.caller);
                        let (offered, held) = (offer.is_some_and(has_stream), offer.is_some_and(is_nowhere));
                        if held || !offered && cx.stack.local_sdp(self.caller).is_some_and(has_stream) {
                            return self.refused(cx, handoff);
                        }
                        self.first = false;
                        let most = Some(cx.now.mono + FRESH_OFFER_RING);
                        match Calling::begin(cx, facts, handoff, most) {
                            Ok(calling) => {
                                self.state = State::Calling(calling);
                                Outcome::Wait
                            }
                            Err(cause) => Outcome::Failed(cause),
                        }
                    }
                    _ if is_glare(status, message) => {
                        let again = cx.now.mono + cx.stack.back_off(self.caller);
                        self.state = State::Waiting { again, until };
                        Outcome::Wait
                    }
                    // It has nothing else to offer, and the session is as it was.
                    _ => self.refused(cx, handoff),
                }
            }
            (State::Asking { .. } | State::Waiting { .. } | State::Offered, _) => Outcome::NotMine,
            (State::Calling(calling), event) => {
                let verdict = calling.hear(cx, facts, handoff, event, message);
                self.judge(cx, verdict)
            }
        }
    }

    /// A deadline may have come.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>, handoff: &mut Handoff) -> Outcome {
        match &mut self.state {
            State::Asking { until, .. } | State::Waiting { until, .. } if *until <= cx.now.mono => {
                self.refused(cx, handoff)
            }
            State::Waiting { again, until } if *again <= cx.now.mono => {
                let until = *until;
                self.state = match cx.stack.reinvite(cx.now, self.caller, Content::default()) {
                    Ok(sent) => State::Asking { sent: Some(sent), until },
                    Err(_) => State::Waiting { again: cx.now.mono + BUSY_DIALOG_POLL, until },
                };
                Outcome::Wait
            }
            State::Asking { .. } | State::Waiting { .. } | State::Offered => Outcome::Wait,
            State::Calling(calling) => {
                let verdict = calling.tick(cx, handoff);
                self.judge(cx, verdict)
            }
        }
    }

    fn judge(&mut self, cx: &mut Context<'_>, verdict: calling::Verdict) -> Outcome {
        match verdict {
            calling::Verdict::NotMine => Outcome::NotMine,
            calling::Verdict::Wait => Outcome::Wait,
            calling::Verdict::Failed { cause, .. } => Outcome::Failed(cause),
            calling::Verdict::Answered { leg, .. } if !calling::is_joinable(cx, leg) => {
                Outcome::Failed(Cause::Failed)
            }
            calling::Verdict::Answered { leg, needs_answer: false } if !cx.stack.is_acknowledged(leg) => {
                if let State::Calling(calling) = &mut self.state {
                    calling.wait_for_ack();
                }
                Outcome::Wait
            }
            calling::Verdict::Answered { leg, .. } => {
                let Some(theirs) = cx.stack.remote_sdp(leg) else { return Outcome::Failed(Cause::Failed) };
                let like = cx.stack.proposed_sdp(self.caller).unwrap_or_default();
                let answer = as_answer(theirs, like);
                let content = Content { body: Body::Sdp(&answer), ..Content::default() };
                match cx.stack.acknowledge(cx.now, self.caller, content) {
                    Ok(()) => Outcome::Answered(leg),
                    Err(_) => Outcome::Failed(Cause::Failed),
                }
            }
        }
    }

    /// It is not wanted any more: the target is let go, and the caller gets the agent's session.
    pub(crate) fn give_up(self, cx: &mut Context<'_>, conversation: &mut Conversation, why: &str) {
        match self.state {
            State::Asking { sent: Some(sent), .. } => {
                cx.stack.withdraw(cx.now, self.caller, sent);
                conversation.follow(cx, self.caller, sent);
            }
            State::Asking { sent: None, .. } | State::Waiting { .. } => {}
            State::Offered => conversation.answer_offer(cx, self.caller),
            State::Calling(calling) => {
                calling.give_up(cx, why);
                conversation.answer_offer(cx, self.caller);
            }
        }
        // The fresh session may not be the one that the agent knows.
        conversation.want_sdp_sync(cx);
    }
}

//! One REFER in the caller leg, from its sending to what is known of its result (RFC 3515).
//!
//! 2xx is acceptance only; the result is what NOTIFY tells, which may come before the 2xx. A REFER cannot be
//! cancelled: silence is no refusal, and a late result counts. The machine says what came of it by an [`Outcome`]; what
//! to do then is the business of its phase.

use super::{End, Machine, Outcome, Scene, Signal, failed};
use crate::call::context::Context;
use crate::call::durations::RECALL_ANSWER;
use crate::call::event::Next;
use crate::call::facts::Facts;
use crate::call::handoff::Handoff;
use crate::call::handoff::attempt_plan::AttemptPlan;
use crate::call::record::{HandoffState, Proof};
use crate::routing::explain::{self, Cause, Where};
use crate::routing::headers;
use crate::routing::profile::Placement;
use crate::routing::table::{Method, OUTCOME_CAP, Route};
use crate::sip::leg::SentId;
use crate::sip::leg::reason_info::ReasonInfo;
use crate::sip::leg::refer::Refer;
use crate::sip::leg::subscription::ReferProgress;
use crate::sip::stack::NotSent;
use crate::sip::transaction::GivenUp;
use crate::sip::{Event, Field, LegId, Origin, Time, is_doubtful};

/// How often a REFER that met a 491 is tried again.
const GLARE_RETRIES: u8 = 3;

/// Why nothing is known of a REFER's result.
const UNANSWERED: &str = "Nobody answered the REFER within `timeouts.response`: see whether it reaches the caller's side, and `sip.status` of this call for what a proxy says.";
const NO_NOTIFY: &str = "The REFER was accepted, and no NOTIFY told its result within `timeouts.outcome`: let the receiver send NOTIFY for it, or raise that if it is slow.";
const NO_RESULT: &str = "The receiver ended its NOTIFYs without a result (`terminated`, and no final status in it): look at its log for what became of the transfer.";
const HUNG_UP: &str = "The caller's side hung up after it had accepted the REFER, and no NOTIFY told the result: it has moved the caller, or the caller has left.";

/// Where the attempt stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// No final response yet. `told`: a NOTIFY came before it.
    Sent { sent: SentId, until: Time, told: bool },
    /// It was given up before it had left, and is taken back: its response says that it never will, or it had left after
    /// all. One of the two is told by `until`.
    TakenBack { sent: SentId, until: Time },
    /// A 481 is checked by an OPTIONS in the dialog.
    Checking { probe: SentId },
    /// A 491: the next REFER goes out at `at` (RFC 3261 §14.1).
    Glare { at: Time },
    /// 2xx. The result is due at `until`, which starts again at each provisional NOTIFY, up to `cap`.
    Accepted { sent: SentId, until: Time, cap: Time },
    /// The peer hung up after the 2xx: only a NOTIFY can tell now.
    Left { sent: SentId, until: Time },
}

/// One REFER in the caller leg, until its result is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlindRefer {
    pub(crate) state: State,
    retries: u8,
    /// It names this leg, to be replaced, in place of the route: the last part of `attended`.
    replaces: Option<LegId>,
}

impl BlindRefer {
    /// Sends the REFER and opens the attempt.
    pub(crate) fn begin(scene: &mut Scene<'_, '_>) -> Result<BlindRefer, Cause> {
        open(scene);
        let state = send(scene, None)?;
        Ok(BlindRefer { state, retries: 0, replaces: None })
    }

    /// Sends a REFER to the other end of a leg of ours, in the attempt that is open already.
    pub(crate) fn with_replaces(scene: &mut Scene<'_, '_>, target: LegId) -> Result<BlindRefer, Cause> {
        let state = send(scene, Some(target))?;
        Ok(BlindRefer { state, retries: 0, replaces: Some(target) })
    }

    /// The REFER again after a 491: a retry is a new attempt in the record.
    fn again(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        open(scene);
        self.retries += 1;
        match send(scene, self.replaces) {
            Ok(state) => {
                self.state = state;
                Outcome::Wait
            }
            Err(cause) => failed(cause),
        }
    }

    /// A REFER that was given up and is answered after all.
    pub(crate) fn resumed(sent: SentId, now: Time, handoff: &Handoff) -> BlindRefer {
        let cap = now + OUTCOME_CAP;
        let until = (now + handoff.attempt_plan.destination.timeouts.outcome).min(cap);
        let attempt = handoff.last();
        let told = attempt.is_some_and(|attempt| attempt.final_status.is_some());
        let state = match attempt.and_then(|attempt| attempt.response.status()) {
            Some(..300) => State::Accepted { sent, until, cap },
            _ => State::Sent { sent, until, told },
        };
        BlindRefer { state, retries: GLARE_RETRIES, replaces: None }
    }

    /// When something is due, whatever `timeouts.total` is.
    pub(crate) fn due(&self) -> Option<Time> {
        match self.state {
            State::TakenBack { until, .. }
            | State::Sent { until, .. }
            | State::Accepted { until, .. }
            | State::Left { until, .. } => Some(until),
            State::Glare { at } => Some(at),
            // The probe is a transaction and ends by itself.
            State::Checking { .. } => None,
        }
    }

    /// Nobody waits for it any more: nothing of it is sent from here on.
    fn out_of_time(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        let (now, caller) = (scene.cx.now, scene.caller());
        match self.state {
            State::Sent { sent, told, .. } => match scene.cx.stack.give_up(now, caller, sent) {
                GivenUp::Waits => {
                    self.state = State::TakenBack { sent, until: now.mono + RECALL_ANSWER };
                    Outcome::Wait
                }
                GivenUp::Left | GivenUp::Over if told => {
                    scene.handoff.because(NO_NOTIFY);
                    Outcome::Ended(End::Unknown(sent))
                }
                GivenUp::Left | GivenUp::Over => unanswered(scene, sent),
            },
            State::TakenBack { sent, until } if until <= now.mono => unanswered(scene, sent),
            State::Accepted { sent, .. } => unknown(scene, sent, NO_NOTIFY),
            State::Left { sent, .. } => unknown(scene, sent, HUNG_UP),
            State::TakenBack { .. } | State::Checking { .. } | State::Glare { .. } => Outcome::Wait,
        }
    }

    /// The REFER, while its result is open.
    pub(crate) fn sent(&self) -> Option<SentId> {
        match self.state {
            State::Sent { sent, .. }
            | State::TakenBack { sent, .. }
            | State::Accepted { sent, .. }
            | State::Left { sent, .. } => Some(sent),
            State::Checking { .. } | State::Glare { .. } => None,
        }
    }

    /// Whether the receiver has taken the REFER.
    pub(crate) fn is_accepted(&self) -> bool {
        match self.state {
            State::Accepted { .. } | State::Left { .. } => true,
            State::Sent { told, .. } => told,
            State::TakenBack { .. } | State::Checking { .. } | State::Glare { .. } => false,
        }
    }

    /// The call ends now: whether the receiver may have the REFER, whose result is open.
    pub(crate) fn is_open(&self, cx: &mut Context<'_>, caller: LegId) -> bool {
        match self.state {
            State::Sent { told: true, .. }
            | State::Accepted { .. }
            | State::Left { .. }
            | State::TakenBack { .. } => true,
            // One that waits for its connection is taken back.
            State::Sent { sent, told: false, .. } => cx.stack.give_up(cx.now, caller, sent) != GivenUp::Waits,
            State::Checking { .. } | State::Glare { .. } => false,
        }
    }

    /// Whether no REFER is out: it met a 491, and is to be sent again.
    pub(crate) fn is_to_be_sent(&self) -> bool {
        match self.state {
            State::Glare { .. } => true,
            State::Sent { .. }
            | State::TakenBack { .. }
            | State::Checking { .. }
            | State::Accepted { .. }
            | State::Left { .. } => false,
        }
    }

    /// The peer hung up after the 2xx: the record stays open for a NOTIFY.
    pub(crate) fn left(&mut self) {
        match self.state {
            State::Accepted { sent, until, .. } | State::Sent { sent, until, .. } => {
                self.state = State::Left { sent, until };
            }
            State::TakenBack { .. } | State::Checking { .. } | State::Glare { .. } | State::Left { .. } => {}
        }
    }

    /// One that was taken back had left all the same, or is refused. None: nothing has come of it by that.
    fn hear_taken_back(&mut self, scene: &mut Scene<'_, '_>, signal: Signal<'_>) -> Option<Outcome> {
        let State::TakenBack { sent: ours, until } = self.state else { return None };
        match signal.event {
            Event::Left { sent, .. } if sent == ours => return Some(unanswered(scene, sent)),
            // Nor is it tried again.
            Event::Response { sent, status: 491, origin, .. } if sent == ours => {
                scene.handoff.answered_by(491, signal.message, origin);
                return Some(failed(Cause::Refused));
            }
            // It had left, and somebody has it.
            Event::Response { sent, .. } | Event::Notified { refer: sent, .. } if sent == ours => {
                self.state = State::Sent { sent, until, told: false };
            }
            _ => {}
        }
        None
    }

    fn responded(
        &mut self,
        scene: &mut Scene<'_, '_>,
        (sent, told): (SentId, bool),
        (status, reason_info): (u16, ReasonInfo),
    ) -> Outcome {
        let (now, caller) = (scene.cx.now, scene.caller());
        match status {
            200..=299 => {
                let outcome = scene.handoff.attempt_plan.destination.timeouts.outcome;
                let (until, cap) = (now.mono + outcome, now.mono + OUTCOME_CAP);
                self.state = State::Accepted { sent, until: until.min(cap), cap };
                Outcome::Wait
            }
            // A NOTIFY has shown that the receiver works on it; what the response says then is not the result.
            _ if told => Outcome::Wait,
            // Silence is no refusal, ours or that of a proxy which has sent it on (RFC 4320 §4.2).
            _ if is_doubtful(status) => unknown(scene, sent, UNANSWERED),
            481 => match scene.cx.stack.probe(now, caller) {
                Ok(probe) => {
                    self.state = State::Checking { probe };
                    Outcome::Wait
                }
                Err(_) => Outcome::Ended(End::CallerLost),
            },
            491 if self.retries < GLARE_RETRIES => {
                scene.handoff.attempt_failed(scene.cx, Cause::Refused, Next::Method(Method::Refer));
                self.state = State::Glare { at: now.mono + scene.cx.stack.back_off(caller) };
                Outcome::Wait
            }
            _ => {
                let cause = explain::cause_by(status, Where::ReferResponse, reason_info);
                failed(cause.unwrap_or(Cause::Failed))
            }
        }
    }

    fn notified(&mut self, scene: &mut Scene<'_, '_>, sent: SentId, progress: ReferProgress) -> Outcome {
        let (now, caller) = (scene.cx.now, scene.caller());
        let Scene { cx, handoff, .. } = scene;
        if let Some(status) = progress.status.filter(|s| *s >= 200) {
            if let Some(attempt) = handoff.last_mut() {
                attempt.final_status = Some(status);
            }
            let cause = explain::cause_by(status, Where::Notify, progress.reason_info);
            // Its response may not have come: there is no need for it any more.
            cx.stack.give_up(now, caller, sent);
            return Outcome::Ended(match cause {
                Some(cause) => End::Failed(cause),
                None if handoff.believes(handoff.attempt_plan.profile.belief) => {
                    End::Succeeded(Proof::Reported)
                }
                // Its 200 proves no more than that it has begun.
                None => End::Unknown(sent),
            });
        }
        let status = progress.status.filter(|s| *s > 100);
        handoff.progress(cx, HandoffState::Referring, status);
        let due = now.mono + handoff.attempt_plan.destination.timeouts.outcome;
        match &mut self.state {
            State::Sent { told, until, .. } => {
                // It works on it: from now on the result is due, not the response.
                *told = true;
                *until = (*until).max(due);
            }
            State::Accepted { .. } | State::Left { .. } if progress.terminated => {
                return unknown(scene, sent, NO_RESULT);
            }
            State::Accepted { until, cap, .. } => *until = due.min(*cap),
            State::Left { .. } | State::TakenBack { .. } | State::Checking { .. } | State::Glare { .. } => {}
        }
        Outcome::Wait
    }
}

impl Machine for BlindRefer {
    /// One event of the caller leg.
    fn on_event(&mut self, scene: &mut Scene<'_, '_>, signal: Signal<'_>) -> Outcome {
        if let Some(outcome) = self.hear_taken_back(scene, signal) {
            return outcome;
        }
        let Signal { event, message } = signal;
        match (self.state, event) {
            (State::Sent { sent, told, .. }, Event::Response { sent: which, status, origin, .. })
                if which == sent =>
            {
                // The first request of `attended` was the INVITE, and it was answered; a refusal is what there is to tell.
                if self.replaces.is_none() || self.retries > 0 || status >= 300 {
                    scene.handoff.answered_by(status, message, origin);
                }
                let reason_info = message.map(ReasonInfo::of).unwrap_or_default();
                self.responded(scene, (sent, told), (status, reason_info))
            }
            (State::Checking { probe }, Event::Response { sent, status, .. }) if sent == probe => {
                Outcome::Ended(if status == 481 { End::CallerLost } else { End::Failed(Cause::Refused) })
            }
            (
                State::Sent { sent, .. } | State::Accepted { sent, .. } | State::Left { sent, .. },
                Event::Notified { refer, progress, .. },
            ) if refer == sent => self.notified(scene, sent, progress),
            _ => Outcome::NotMine,
        }
    }

    fn on_tick(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        let now = scene.cx.now.mono;
        let (due, total) = (self.due().is_some_and(|at| at <= now), scene.handoff.total <= now);
        match self.state {
            State::Sent { .. } | State::TakenBack { .. } | State::Accepted { .. } | State::Left { .. }
                if due || total =>
            {
                self.out_of_time(scene)
            }
            State::Checking { .. } | State::Glare { .. } if total => failed(Cause::Failed),
            State::Glare { .. } if due => self.again(scene),
            _ => Outcome::Wait,
        }
    }

    /// `total` at the latest, but for what is just being found out.
    fn deadline(&self, total: Time) -> Option<Time> {
        match self.state {
            State::TakenBack { until, .. } => Some(until),
            _ => self.due().into_iter().chain([total]).min(),
        }
    }

    /// Something else has taken its place: nothing of it is sent from here on.
    fn give_up(&mut self, scene: &mut Scene<'_, '_>, _why: &str) {
        match self.state {
            State::Sent { sent, .. } | State::Accepted { sent, .. } | State::Left { sent, .. } => {
                scene.cx.stack.give_up(scene.cx.now, scene.caller(), sent);
            }
            State::TakenBack { .. } | State::Checking { .. } | State::Glare { .. } => {}
        }
    }
}

/// Nothing tells the result of a REFER that has left.
fn unknown(scene: &mut Scene<'_, '_>, sent: SentId, why: &'static str) -> Outcome {
    scene.handoff.because(why);
    scene.cx.stack.give_up(scene.cx.now, scene.caller(), sent);
    Outcome::Ended(End::Unknown(sent))
}

/// No response came in time: a local 408.
fn unanswered(scene: &mut Scene<'_, '_>, sent: SentId) -> Outcome {
    scene.handoff.answered(408, crate::wire::reason_phrase(408), Origin::Local);
    scene.handoff.because(UNANSWERED);
    Outcome::Ended(End::Unknown(sent))
}

/// A new attempt, whose request goes in the caller's dialog.
fn open(scene: &mut Scene<'_, '_>) {
    let sip_call_id = Some(scene.facts.sip_call_id.clone());
    let method = scene.handoff.attempt_plan.method;
    scene.handoff.attempt(scene.cx, method, HandoffState::Referring, sip_call_id);
}

fn send(scene: &mut Scene<'_, '_>, replaces: Option<LegId>) -> Result<State, Cause> {
    let caller = scene.caller();
    let Scene { cx, facts, handoff, .. } = scene;
    let attempt_plan = std::sync::Arc::clone(&handoff.attempt_plan);
    let placement = attempt_plan.profile.header_placement;
    let (refer_to, on_request) = match replaces {
        // The target has the headers already, with its INVITE.
        Some(target) => (format!("<{}>", cx.stack.replaces(target).ok_or(Cause::Failed)?), true),
        None => (refer_to(facts, &attempt_plan, placement).ok_or(Cause::Failed)?, placement.on_request()),
    };
    let referred_by = attempt_plan.profile.referred_by.then(|| referred_by(cx, facts, caller));
    let fields: &[Field] = if on_request { &attempt_plan.fields } else { &[] };
    let refer = Refer {
        refer_to: refer_to.as_bytes(),
        referred_by: referred_by.as_deref().map(str::as_bytes),
        fields,
        max_forwards: 70,
    };
    let sent = cx.stack.refer(cx.now, caller, refer);
    let until = cx.now.mono + attempt_plan.destination.timeouts.response;
    if let Some(attempt) = handoff.last_mut() {
        attempt.refer_to = Some(refer_to);
    }
    match sent {
        Ok(sent) => Ok(State::Sent { sent, until, told: false }),
        Err(NotSent::Gone | NotSent::Pending) => Err(Cause::Failed),
    }
}

/// Referred-By of a REFER of ours in that leg: the number that was called (RFC 3892).
pub(crate) fn referred_by(cx: &Context<'_>, facts: &Facts, leg: LegId) -> String {
    let advertised = cx.advertised(cx.stack.peer(leg));
    format!("<sip:{}@{advertised}>", headers::user_part(&facts.called))
}

/// The value of Refer-To: always in `<>`, without `;method=INVITE`. None: there is no route.
fn refer_to(facts: &Facts, attempt_plan: &AttemptPlan, placement: Placement) -> Option<String> {
    Some(format!("<{}>", place(facts, attempt_plan, placement)?))
}

/// Where a Refer-To, or the Contact of a 302, sends the caller: the headers embedded where the profile says so.
pub(crate) fn place(facts: &Facts, attempt_plan: &AttemptPlan, placement: Placement) -> Option<String> {
    let route: &Route = attempt_plan.route.as_ref()?;
    let uri = route.refer_uri(&facts.trunk.address, attempt_plan.profile.refer_to_host.as_deref());
    if !placement.in_refer_to() {
        return Some(uri);
    }
    let fields = attempt_plan.fields.iter().map(|field| (&*field.name, &*field.value));
    Some(headers::embed(&uri, fields))
}

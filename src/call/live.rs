//! One call: what it knows of itself, and the phase that it is in.

use super::command::{HandoffRequest, Invalid, Refusal};
use super::context::Context;
use super::decision::{too_much, unsettable};
use super::event::EventKind;
use super::facts::Facts;
use super::given::{By, Given};
use super::handoff::Handoff;
use super::phase::ending::Ending;
use super::phase::moving::Moving;
use super::phase::setup::Setup;
use super::phase::talking::Talking;
use super::phase::{CallInput, Phase};
use super::record::{HandoffState, HandoffView, Role};
use super::view;
use crate::call::durations::{FALLBACK_BEFORE_DRAIN_ENDS, FALLBACK_RETRY};
use crate::call::end_reason::EndReason;
use crate::sip::leg::InDialogRequest;
use crate::sip::{Event, Gap, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One call: its facts and its phase.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) facts: Facts,
    pub(crate) phase: Phase,
    /// When it is ended: by `max_duration`, or by the end of a drain. None: it was.
    pub(crate) until: Option<Time>,
    /// Which of the two.
    pub(crate) until_why: EndReason,
    /// When its caller, if still with the agent, is handed to the fallback: shortly before a drain ends.
    pub(crate) leave: Option<Time>,
    /// The deadline that is armed for it, if one is.
    pub(crate) armed: Option<Time>,
    /// Why it ends, once it does.
    pub(crate) why: EndReason,
}

impl Call {
    /// When it wants a tick.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let due = [self.until, self.phase.deadline(), self.leave, self.facts.waiting.deadline()];
        due.into_iter().flatten().min()
    }

    /// One thing that happened to it.
    pub(crate) fn step(&mut self, cx: &mut Context<'_>, input: CallInput<'_>) {
        if self.leave.take_if(|at| *at <= cx.now.mono).is_some() {
            self.leave_agent(cx);
        }
        let input = match input {
            CallInput::Tick if self.until.is_some_and(|at| at <= cx.now.mono) => {
                // The closing itself is bounded by its transactions.
                self.until = None;
                CallInput::HangUp { why: self.until_why }
            }
            other => other,
        };
        if matches!(input, CallInput::HangUp { .. }) {
            self.facts.waiting.clear(cx);
        }
        if let CallInput::Leg(
            Event::Request { leg, kind: InDialogRequest::Modify | InDialogRequest::Update, .. },
            Some(message),
        ) = input
            && cx.legs.find(leg).is_some_and(|(_, role)| role == Role::Caller)
        {
            self.facts.identify(message);
        }
        self.advance(cx, |phase, facts, cx| match phase {
            Phase::Setup(setup) => setup.step(cx, facts, input),
            Phase::Talking(talking) => talking.step(cx, facts, input),
            Phase::Moving(moving) => moving.step(cx, facts, input),
            Phase::Ending(ending) => ending.step(cx, input),
            over @ Phase::Over { .. } => over,
        });
        // A leg that is over says nothing more; nobody else knows it.
        if let CallInput::Leg(Event::Bye { leg } | Event::Closed { leg, .. }, _) = input
            && matches!(self.phase, Phase::Over { .. })
        {
            cx.release(leg);
        }
    }

    /// Moves to the next phase.
    pub(crate) fn advance(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(Phase, &mut Facts, &mut Context<'_>) -> Phase,
    ) {
        let phase = std::mem::replace(&mut self.phase, Phase::Over { why: self.why });
        self.phase = step(phase, &mut self.facts, cx);
        if !self.facts.waiting.is_empty() && matches!(self.phase, Phase::Ending(_) | Phase::Over { .. }) {
            let waiting = self.facts.waiting.leave(cx.now.mono);
            self.phase = Ending::with_waiting(
                std::mem::replace(&mut self.phase, Phase::Over { why: self.why }),
                waiting,
            );
        }
        match &self.phase {
            Phase::Ending(ending) => self.why = ending.why,
            // Nothing had to be closed any more.
            Phase::Over { why } => self.why = *why,
            Phase::Setup(_) | Phase::Talking(_) | Phase::Moving(_) => {}
        }
    }

    /// A client's decision.
    pub(crate) fn handoff(
        &mut self,
        cx: &mut Context<'_>,
        request: HandoffRequest,
    ) -> Result<Arc<HandoffView>, Refusal> {
        if let Some(running) = view::running(&self.phase) {
            return Err(Refusal::Busy(running.id().to_owned()));
        }
        let before = self.facts.handoffs.len();
        let given = Given::by_client(request);
        let mut refused = None;
        self.advance(cx, |phase, facts, cx| {
            let (phase, refusal) = match phase {
                Phase::Talking(talking) => match Moving::decide(cx, facts, given, By::Client) {
                    Ok(plan) => {
                        let conversation = talking.into_conversation(cx, facts);
                        (Moving::begin(cx, facts, conversation, plan, None), None)
                    }
                    Err(refusal) => (Phase::Talking(talking), Some(refusal)),
                },
                Phase::Setup(setup) => match setup.divert(cx, facts, given, By::Client) {
                    Ok(phase) => (phase, None),
                    Err((setup, refusal)) => (Phase::Setup(setup), Some(refusal)),
                },
                phase @ (Phase::Moving(_) | Phase::Ending(_) | Phase::Over { .. }) => {
                    (phase, Some(Refusal::Ending))
                }
            };
            refused = refusal;
            phase
        });
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        let ended = self.facts.handoffs.get(before..).and_then(<[_]>::first);
        let running = view::running(&self.phase).map(Handoff::view);
        running.or_else(|| ended.cloned()).ok_or(Refusal::Ending)
    }

    /// Cancels the running handoff: possible while nothing irrevocable was sent.
    pub(crate) fn cancel(&mut self, cx: &mut Context<'_>, id: &str) -> Result<Arc<HandoffView>, Refusal> {
        let state = view::state(&self.phase, &self.facts, id).ok_or_else(|| Refusal::NoHandoff(id.into()))?;
        if !matches!(state, HandoffState::Pending | HandoffState::Ringing) {
            return Err(Refusal::TooLate(state));
        }
        self.advance(cx, |phase, facts, cx| match phase {
            Phase::Setup(setup) => Setup::cancel(setup, cx, facts),
            Phase::Moving(moving) => Moving::cancel(moving, cx, facts),
            phase @ (Phase::Talking(_) | Phase::Ending(_) | Phase::Over { .. }) => phase,
        });
        let view =
            view::handoff(&self.phase, &self.facts, id).ok_or_else(|| Refusal::NoHandoff(id.into()))?;
        // What is tried may have failed already, and its end is only waited for.
        let cancelled = view.state == HandoffState::Cancelled;
        cancelled.then_some(view).ok_or(Refusal::TooLate(state))
    }

    /// Completes the running handoff, whose agent speaks with the target.
    pub(crate) fn complete(&mut self, cx: &mut Context<'_>, id: &str) -> Result<Arc<HandoffView>, Refusal> {
        let state = view::state(&self.phase, &self.facts, id).ok_or_else(|| Refusal::NoHandoff(id.into()))?;
        match &self.phase {
            Phase::Moving(moving) if !state.is_final() && moving.is_briefing() => {}
            _ => return Err(Refusal::NotBriefing(state)),
        }
        self.advance(cx, |phase, facts, cx| match phase {
            Phase::Moving(moving) => Moving::complete(moving, cx, facts),
            phase => phase,
        });
        view::handoff(&self.phase, &self.facts, id).ok_or_else(|| Refusal::NoHandoff(id.into()))
    }

    /// Sets and removes variables: all or none.
    pub(crate) fn set(
        &mut self,
        cx: &mut Context<'_>,
        variables: BTreeMap<String, Option<String>>,
    ) -> Result<(), Refusal> {
        let faults: Vec<Invalid> = variables
            .keys()
            .filter_map(|name| {
                unsettable(name).map(|message| Invalid { field: format!("variables.{name}"), message })
            })
            .collect();
        if !faults.is_empty() {
            return Err(Refusal::Invalid(faults));
        }
        let kept = self.facts.set.iter().filter(|(name, _)| !variables.contains_key(&***name));
        let kept = kept.map(|(name, value)| (&**name, &**value));
        let new = variables.iter().filter_map(|(name, value)| Some((&**name, value.as_deref()?)));
        if let Some(fault) = too_much(kept.chain(new)) {
            let what = format!("{}: {}", fault.field, fault.message);
            cx.tell(EventKind::Ignored { call: self.facts.id.clone(), what });
            return Err(Refusal::Invalid(vec![fault]));
        }
        for (name, value) in variables {
            match value {
                Some(value) => self.facts.set.insert(name.into(), value.into()),
                None => self.facts.set.remove(&*name),
            };
        }
        Ok(())
    }

    /// The process stood still: its longest duration and the end of a drain go by true time, and so does how near to each
    /// other two things have to be that are a proof together.
    pub(crate) fn catch_up(&mut self, now: Time, gap: Gap) {
        gap.pull(now, &mut self.until);
        gap.pull(now, &mut self.leave);
        self.facts.waiting.catch_up(gap);
        if let Phase::Moving(moving) = &mut self.phase {
            moving.catch_up(gap);
        }
    }

    /// It is ended at `by` at the latest. Whoever is with an agent by then is handed to its fallback before.
    pub(crate) fn drain(&mut self, now: Time, by: Time) {
        if self.until.is_none_or(|until| by < until) {
            self.until = Some(by);
            self.until_why = EndReason::Draining;
            let grace = by.since(now);
            self.leave = Some(now + (grace - FALLBACK_BEFORE_DRAIN_ENDS.min(grace / 2)));
        }
    }

    /// The fallback takes the caller, by a method that does not need us. Where a handoff runs, it is waited for: it may give
    /// the caller back.
    fn leave_agent(&mut self, cx: &mut Context<'_>) {
        let mut again = false;
        self.advance(cx, |phase, facts, cx| {
            let agent = |talking: &Talking| {
                talking.conversation.partner.is_some_and(|partner| partner.role == Role::Agent)
            };
            let talking = match phase {
                Phase::Talking(talking) if agent(&talking) => talking,
                phase @ (Phase::Talking(_) | Phase::Ending(_) | Phase::Over { .. }) => return phase,
                Phase::Setup(setup) => {
                    again = true;
                    return Phase::Setup(setup);
                }
                Phase::Moving(moving) => {
                    again = true;
                    // What agent and target have to say to each other ends with us.
                    return Moving::complete(moving, cx, facts);
                }
            };
            let given = Given::fallback(facts, EndReason::Draining.as_str());
            match Moving::decide(cx, facts, given, By::Drain) {
                Ok(plan) => {
                    let conversation = talking.into_conversation(cx, facts);
                    Moving::begin(cx, facts, conversation, plan, None)
                }
                Err(refusal) => {
                    let what = format!("the fallback: {refusal}");
                    cx.tell(EventKind::Ignored { call: facts.id.clone(), what });
                    Phase::Talking(talking)
                }
            }
        });
        if again {
            self.leave = Some(cx.now.mono + FALLBACK_RETRY);
        }
    }

    /// The last word: its record.
    pub(crate) fn conclude(&self, cx: &mut Context<'_>) {
        cx.counters.calls_ended += 1;
        let record = view::record(&self.phase, &self.facts, cx.now, self.why);
        cx.tell(EventKind::CallEnded(Arc::new(record)));
    }

    /// Nothing is left of it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }
}

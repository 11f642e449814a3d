//! What is shown of a call.

use super::facts::Facts;
use super::handoff::Handoff;
use super::phase::Phase;
use super::record::{CallRecord, CallState, CallView, HandoffState, HandoffView, LegView, Role, Stamp};
use crate::call::end_reason::EndReason;
use crate::sip::stack::LegState;
use crate::sip::{Flow, LegId, Now, Stack};
use smallvec::SmallVec;
use std::sync::Arc;

fn word(state: LegState) -> &'static str {
    match state {
        LegState::Trying => "trying",
        LegState::Ringing => "ringing",
        LegState::Answered => "answered",
        LegState::Confirmed => "confirmed",
        LegState::Closing => "closing",
        LegState::Over => "over",
    }
}

fn leg(stack: &Stack, leg: LegId, role: Role) -> Option<LegView> {
    Some(LegView {
        role,
        sip_call_id: String::from_utf8_lossy(stack.sip_call_id(leg)?).into_owned(),
        peer: stack.peer(leg).map(Flow::peer_name).unwrap_or_default(),
        state: word(stack.state(leg)?).into(),
        goodbye: None,
    })
}

/// The running handoff of a phase.
pub(crate) fn running(phase: &Phase) -> Option<&Handoff> {
    match phase {
        Phase::Setup(setup) => setup.handoff(),
        Phase::Moving(moving) => Some(&moving.handoff),
        Phase::Talking(_) | Phase::Ending(_) | Phase::Over { .. } => None,
    }
}

/// A handoff of this call by its id.
pub(crate) fn handoff(phase: &Phase, facts: &Facts, id: &str) -> Option<Arc<HandoffView>> {
    match running(phase).filter(|running| running.id() == id) {
        Some(running) => Some(running.view()),
        None => facts.handoffs.iter().find(|ended| *ended.id == *id).cloned(),
    }
}

/// Where a handoff of this call stands.
pub(crate) fn state(phase: &Phase, facts: &Facts, id: &str) -> Option<HandoffState> {
    match running(phase).filter(|running| running.id() == id) {
        Some(running) => Some(running.facts.state),
        None => facts.handoffs.iter().find(|ended| *ended.id == *id).map(|ended| ended.state),
    }
}

/// The call as it stands.
pub(crate) fn call(phase: &Phase, facts: &Facts, stack: &Stack) -> CallView {
    let legs: SmallVec<[(LegId, Role); 3]> = match phase {
        Phase::Setup(setup) => setup.legs(),
        Phase::Talking(talking) => talking.legs().collect(),
        Phase::Moving(moving) => moving.legs(),
        Phase::Ending(ending) => ending.legs().collect(),
        Phase::Over { .. } => SmallVec::new(),
    };
    let waiting = facts.waiting.legs().map(|leg| (leg, Role::Target));
    let legs = legs.into_iter().chain(waiting).filter_map(|(id, role)| leg(stack, id, role)).collect();
    view_with(phase, facts, legs)
}

fn view_with(phase: &Phase, facts: &Facts, legs: Vec<LegView>) -> CallView {
    CallView {
        id: facts.id.to_string(),
        state: phase.state(),
        environment: facts.agent.environment.to_string(),
        agent: Some(facts.agent.id.to_string()),
        trunk: facts.trunk.id.to_string(),
        caller_id: facts.caller_id.as_deref().map(Into::into),
        called_number: facts.called.to_string(),
        variables: facts.set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        started_at: Stamp(facts.started.wall),
        answered_at: facts.answered.map(Stamp),
        ended_at: None,
        ended_by: None,
        legs,
        handoffs: facts
            .handoffs
            .iter()
            .map(|h| h.id.clone())
            .chain(running(phase).map(|running| running.plan.basis.handoff_id.clone()))
            .collect(),
    }
}

/// All that is to be kept of an ended call. Of the variables the names only: their values are the caller's business.
pub(crate) fn record(phase: &Phase, facts: &Facts, now: Now, why: EndReason) -> CallRecord {
    let seen = facts.legs.iter().map(|seen| LegView {
        role: seen.role,
        sip_call_id: seen.sip_call_id.to_string(),
        peer: seen.peer.map(Flow::peer_name).unwrap_or_default(),
        state: "over".into(),
        goodbye: seen.goodbye.as_deref().cloned(),
    });
    let mut view = view_with(phase, facts, seen.collect());
    view.state = CallState::Ended;
    view.ended_at = Some(Stamp(now.wall));
    view.ended_by = Some(why.as_str().into());
    view.variables.values_mut().for_each(String::clear);
    CallRecord { call: view, handoffs: facts.handoffs.clone() }
}

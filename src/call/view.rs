//! What is shown of a call.

use super::handoff::facts::{AttemptFacts, Response};
use super::handoff::{Handoff, outcome};
use super::live::Call;
use super::phase::Phase;
use super::record::{
    AttemptView, CallRecord, CallState, CallView, HandoffState, HandoffView, LegView, Role, RuleView, Stamp,
};
use crate::sip::stack::LegState;
use crate::sip::{Flow, LegId, Now, Origin, Stack};
use crate::wire::push_address;
use smallvec::SmallVec;
use std::sync::Arc;

/// `udp:192.0.2.1:5060`.
pub(crate) fn peer(flow: Flow) -> String {
    let mut text = Vec::with_capacity(32);
    text.extend_from_slice(flow.transport.as_param().as_bytes());
    text.push(b':');
    push_address(&mut text, flow.peer);
    // ASCII by construction.
    String::from_utf8(text).unwrap_or_default()
}

/// A handoff.
pub(crate) fn of_handoff(handoff: &Handoff) -> HandoffView {
    let (facts, plan) = (&handoff.facts, &handoff.plan);
    let given = &plan.basis.given;
    HandoffView {
        id: handoff.id().to_owned(),
        call_id: facts.call.to_string(),
        environment: facts.environment.to_string(),
        table_version: plan.table.version,
        destination: handoff.first.destination.id.to_string(),
        reason: given.reason.as_deref().map(Into::into),
        utterance: given.utterance.as_deref().map(Into::into),
        rules: facts.rules.iter().map(RuleView::of).collect(),
        state: facts.state,
        proof: facts.proof,
        cause: facts.cause.map(|cause| cause.name().into()),
        attempts: facts.attempts.iter().map(attempt).collect(),
        explain: outcome::explain(facts, handoff.hint()),
        created_at: Stamp(facts.created),
        ended_at: facts.ended.map(Stamp),
    }
}

/// One attempt of a handoff.
pub(crate) fn attempt(facts: &AttemptFacts) -> AttemptView {
    let (status, status_reason, origin) = match &facts.response {
        Response::Awaited => (None, None, None),
        Response::Final { status, phrase, origin } => {
            (Some(*status), phrase.as_deref().map(Into::into), Some(*origin))
        }
        Response::Overtaken => (None, None, Some(Origin::Remote)),
        Response::Missing(why) => (None, Some(why.as_str().into()), Some(Origin::Local)),
    };
    AttemptView {
        destination: facts.destination.to_string(),
        method: facts.method.name().into(),
        route: facts.route.as_deref().map(Into::into),
        refer_to: facts.refer_to.clone(),
        sip_call_id: facts.sip_call_id.clone(),
        status,
        status_reason,
        warning: facts.said.warning.clone(),
        sip_reason: facts.said.reason.clone(),
        final_status: facts.final_status,
        cause: facts.cause.map(|cause| cause.name().into()),
        origin,
        started_at: Stamp(facts.started),
        ended_at: facts.ended.map(Stamp),
    }
}

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
        peer: stack.peer(leg).map(peer).unwrap_or_default(),
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
pub(crate) fn handoff(call: &Call, id: &str) -> Option<Arc<HandoffView>> {
    match running(&call.phase).filter(|running| running.id() == id) {
        Some(running) => Some(running.view()),
        None => call.facts.handoffs.iter().find(|ended| ended.id == id).cloned(),
    }
}

/// Where a handoff of this call stands.
pub(crate) fn state(call: &Call, id: &str) -> Option<HandoffState> {
    match running(&call.phase).filter(|running| running.id() == id) {
        Some(running) => Some(running.facts.state),
        None => call.facts.handoffs.iter().find(|ended| ended.id == id).map(|ended| ended.state),
    }
}

/// The call as it stands.
pub(crate) fn call(call: &Call, stack: &Stack) -> CallView {
    let legs: SmallVec<[(LegId, Role); 3]> = match &call.phase {
        Phase::Setup(setup) => setup.legs(),
        Phase::Talking(talking) => talking.legs().collect(),
        Phase::Moving(moving) => moving.legs(),
        Phase::Ending(ending) => ending.legs().collect(),
        Phase::Over { .. } => SmallVec::new(),
    };
    let waiting = call.facts.waiting.legs().map(|leg| (leg, Role::Target));
    let legs = legs.into_iter().chain(waiting).filter_map(|(id, role)| leg(stack, id, role)).collect();
    view_with(call, legs)
}

fn view_with(call: &Call, legs: Vec<LegView>) -> CallView {
    let facts = &call.facts;
    CallView {
        id: facts.id.to_string(),
        state: call.phase.state(),
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
            .chain(running(&call.phase).map(|running| running.id().to_owned()))
            .collect(),
    }
}

/// All that is to be kept of an ended call. Of the variables the names only: their values are the caller's business.
pub(crate) fn record(call: &Call, now: Now, why: &'static str) -> CallRecord {
    let seen = call.facts.legs.iter().map(|seen| LegView {
        role: seen.role,
        sip_call_id: seen.sip_call_id.to_string(),
        peer: seen.peer.map(peer).unwrap_or_default(),
        state: "over".into(),
        goodbye: seen.goodbye.as_deref().cloned(),
    });
    let mut view = view_with(call, seen.collect());
    view.state = CallState::Ended;
    view.ended_at = Some(Stamp(now.wall));
    view.ended_by = Some(why.into());
    view.variables.values_mut().for_each(String::clear);
    CallRecord { call: view, handoffs: call.facts.handoffs.clone() }
}

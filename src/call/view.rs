//! What is shown of a call.

use super::live::Call;
use super::phase::Phase;
use super::record::{CallRecord, CallState, CallView, HandoffView, LegView, Role, Stamp};
use crate::sip::stack::LegState;
use crate::sip::{Flow, LegId, Now, Stack};
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
pub(crate) fn running(phase: &Phase) -> Option<&Arc<HandoffView>> {
    match phase {
        Phase::Setup(setup) => setup.handoff().map(|h| &h.view),
        Phase::Moving(moving) => Some(&moving.handoff.view),
        Phase::Talking(_) | Phase::Ending(_) | Phase::Over { .. } => None,
    }
}

/// A handoff of this call by its id.
pub(crate) fn handoff<'a>(call: &'a Call, id: &str) -> Option<&'a Arc<HandoffView>> {
    running(&call.phase).into_iter().chain(&call.facts.handoffs).find(|h| h.id == id)
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
            .chain(running(&call.phase).map(|h| h.id.clone()))
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

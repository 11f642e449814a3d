//! What is shown of a handoff and of its attempts.

use super::facts::{AttemptFacts, Response};
use super::{Handoff, outcome};
use crate::call::record::{AttemptView, HandoffView, RuleView, Stamp};
use crate::sip::Origin;
use std::sync::Arc;

/// A handoff.
pub(crate) fn handoff(handoff: &Handoff) -> HandoffView {
    let (facts, plan) = (&handoff.facts, &handoff.plan);
    let given = &plan.basis.given;
    HandoffView {
        id: plan.basis.handoff_id.clone(),
        call_id: facts.call.clone(),
        environment: Arc::clone(&facts.environment),
        table_version: plan.table.version,
        destination: Arc::clone(&handoff.first.destination.id),
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
        destination: Arc::clone(&facts.destination),
        method: facts.method.name().into(),
        route: facts.route.clone(),
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

//! `POST /v1/environments/{env}/destinations/{id}/test`: asks a destination what it can, calls it, and lets it go.

use super::Api;
use super::body::Json;
use super::calls::wrong_reply;
use super::problem::Problem;
use crate::call::command::{Command, Reply};
use crate::call::test_call::TestCallRequest;
use crate::rehearsal::Tested;
use axum::extract::{Path, State};
use std::sync::Arc;

/// Answers when the test is over. What it found is data: also a destination that nobody reaches is a 200.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path((environment, destination)): Path<(String, String)>,
    Json(request): Json<TestCallRequest>,
) -> Result<axum::Json<Tested>, Problem> {
    api.with_table(&environment, |_, _| Ok(()))?;
    let command = Command::Test { environment, destination, request: Box::new(request) };
    match api.shards.command(command).await? {
        Reply::Tested(found) => Ok(axum::Json(Tested::of(Arc::unwrap_or_clone(found)))),
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Handoff(_) | Reply::Call(_) | Reply::Calls(_) | Reply::Counters(_) => Err(wrong_reply()),
    }
}

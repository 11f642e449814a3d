//! `/v1/calls`: live calls by the shards, ended ones from the history.

use super::body::{Json, Query, Segment};
use super::problem::Problem;
use super::{Api, VARIABLES_BODY};
use crate::call::command::{Command, Plain, Refusal, Reply};
use crate::call::record::CallView;
use crate::shard::handle::{Cursor, PAGE};
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A page of a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// What stands on it.
    pub data: Vec<T>,
    /// What the next page is asked for with; `None`: this is the last.
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/calls`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<Page<CallView>>, Problem> {
    let limit = paging.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        return Err(Problem::field("limit", format!("expected a number from 1 to {PAGE}")));
    }
    let from = paging.cursor.as_deref().map(read_cursor).transpose()?;
    let (data, next) = api.shards.list(from, limit).await?;
    let next_cursor = next.map(|next| format!("{}.{}", next.shard, next.after.unwrap_or_default()));
    Ok(axum::Json(Page { data, next_cursor }))
}

fn read_cursor(text: &str) -> Result<Cursor, Problem> {
    let wrong = || Problem::field("cursor", "expected the `next_cursor` of an earlier page");
    let (shard, after) = text.split_once('.').ok_or_else(wrong)?;
    let shard = shard.parse().map_err(|_| wrong())?;
    Ok(Cursor { shard, after: Some(after.to_owned()).filter(|after| !after.is_empty()) })
}

/// `GET /v1/calls/{id}`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
) -> Result<axum::Json<CallView>, Problem> {
    match api.shards.command(Command::ShowCall { call: id.clone() }).await? {
        Reply::Refused(refusal @ Refusal::NoCall(_)) => {
            api.history.call(&id).map(axum::Json).ok_or_else(|| refusal.into())
        }
        reply => call_of(reply).map(axum::Json),
    }
}

/// `DELETE /v1/calls/{id}`: BYE to all legs.
pub(super) async fn hang_up(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
) -> Result<(StatusCode, axum::Json<CallView>), Problem> {
    let reply = api.shards.command(Command::HangUp { call: id.clone() }).await?;
    let call = call_of(api.or_ended(reply, &id)?)?;
    Ok((StatusCode::ACCEPTED, axum::Json(call)))
}

/// `PATCH /v1/calls/{id}/variables`: a value of null removes the variable.
pub(super) async fn set_variables(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Json(variables): Json<BTreeMap<String, Option<Plain>>, { VARIABLES_BODY }>,
) -> Result<axum::Json<CallView>, Problem> {
    let variables = variables.into_iter().map(|(name, value)| (name, value.map(|value| value.0))).collect();
    let reply = api.shards.command(Command::SetVariables { call: id.clone(), variables }).await?;
    call_of(api.or_ended(reply, &id)?).map(axum::Json)
}

fn call_of(reply: Reply) -> Result<CallView, Problem> {
    match reply {
        Reply::Call(call) => Ok(*call),
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Handoff(_) | Reply::Calls(_) | Reply::Counters(_) | Reply::Tested(_) => Err(wrong_reply()),
    }
}

pub(super) fn wrong_reply() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "fault",
        "the engine gave another answer than was asked for",
    )
}

impl Api {
    /// A call that is no longer there but was: that is a conflict, not a call that never was.
    pub(super) fn or_ended(&self, reply: Reply, call: &str) -> Result<Reply, Problem> {
        match reply {
            Reply::Refused(Refusal::NoCall(_)) if self.history.call(call).is_some() => {
                Err(Problem::call_ended(call))
            }
            reply => Ok(reply),
        }
    }
}

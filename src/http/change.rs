//! What changes a table through the API: `POST …/promote`, `POST …/rollback`, `PUT` and `DELETE` of a destination.
//!
//! The routes read the request; the daemon alone carries it out, one after the other, and answers with [`Done`] or a
//! [`ChangeError`], which gets its HTTP status here.

use super::Api;
use super::body::{Json, Segment, Segments};
use super::destinations::{self, Condition};
use super::problem::{FieldError, Problem};
use super::request::{Change, ChangeError, Changed, Done, Request, What};
use crate::store::versions::Unavailable;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::num::NonZeroU64;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The longest message, in characters.
pub const MESSAGE: usize = 500;
/// The longest name of who does it, in characters.
pub const BY: usize = 100;
/// Who does it where nothing is said.
const BY_API: &str = "api";

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Problem {
        let detail = format!("the versions cannot be read or written: {error}; {}", error.hint());
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "versions_unavailable", detail)
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        let new = |status, code, detail| Problem::new(status, code, detail);
        match error {
            ChangeError::NoEnvironment(detail) => Problem::no_environment(detail),
            ChangeError::NoVersion(detail) => new(StatusCode::NOT_FOUND, "no_version", detail),
            ChangeError::NoDestination(refusal) => refusal.into(),
            ChangeError::NotEditable(detail) => new(StatusCode::FORBIDDEN, "not_editable", detail),
            ChangeError::NotCurrent { environment, current, about } => {
                let detail =
                    format!("`{environment}` is at version {current} now ({about}); nothing was changed");
                Problem {
                    current_version: NonZeroU64::new(current),
                    ..new(StatusCode::CONFLICT, "version_conflict", detail)
                }
            }
            ChangeError::Precondition(detail) => {
                new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
            }
            ChangeError::NoCondition { id } => new(
                StatusCode::PRECONDITION_REQUIRED,
                "precondition_required",
                format!(
                    "`{id}` is there: say which state of it you mean, by If-Match with the ETag that GET sent"
                ),
            ),
            ChangeError::Field(field, message) => Problem::field(field, message),
            ChangeError::Invalid(diagnostics) => Problem::diagnostics(&diagnostics),
            ChangeError::NotInForce { detail, faults } => {
                let errors = faults.iter().map(FieldError::from).collect();
                Problem { errors, ..new(StatusCode::CONFLICT, "file_not_in_force", detail) }
            }
            ChangeError::ReadOnly(detail) => new(StatusCode::FORBIDDEN, "read_only", detail),
            ChangeError::FileChanged(detail) => new(StatusCode::CONFLICT, "file_changed", detail),
            ChangeError::NotWritten(detail) => new(StatusCode::SERVICE_UNAVAILABLE, "not_written", detail),
            ChangeError::Unavailable(error) => error.into(),
            ChangeError::Unrecorded(error) => new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_recorded",
                format!(
                    "the file was replaced and is in force, but its version could not be written down: {error}; it will be \
                     when that is put right"
                ),
            ),
            ChangeError::Stuck(detail) => new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail),
            ChangeError::Fault(detail) => new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail),
        }
    }
}

/// Body of `POST …/promote`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The environment whose version in force is taken.
    pub from: String,
    /// Why; may be left out of a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The version that must be in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_current: Option<u64>,
    /// Only say what would be changed.
    #[serde(default)]
    pub dry_run: bool,
}

/// Body of `POST …/rollback`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Which version; the one before that in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// As in [`Promote`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// As in [`Promote`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// As in [`Promote`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_current: Option<u64>,
    /// As in [`Promote`].
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/environments/{env}/promote`
pub(super) async fn promote(
    State(api): State<Arc<Api>>,
    Segment(environment): Segment,
    Json(body): Json<Promote>,
) -> Result<axum::Json<Changed>, Problem> {
    let Promote { from, message, by, expect_current, dry_run } = body;
    let (by, message) = (who(by)?, why(message, dry_run)?);
    let what = What::Promote { from };
    api.changed(Change { environment, what, by, message, expect_current, dry_run }).await
}

/// `POST /v1/environments/{env}/rollback`
pub(super) async fn rollback(
    State(api): State<Arc<Api>>,
    Segment(environment): Segment,
    Json(body): Json<Rollback>,
) -> Result<axum::Json<Changed>, Problem> {
    let Rollback { version, message, by, expect_current, dry_run } = body;
    let (by, message) = (who(by)?, why(message, dry_run)?);
    let what = What::Rollback { version };
    api.changed(Change { environment, what, by, message, expect_current, dry_run }).await
}

/// `PUT /v1/environments/{env}/destinations/{id}`: 201 where it is new.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Segments(environment, id): Segments,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let condition = Condition::of(&headers)?;
    let (keys, default) = destinations::read(&environment, &id, body)?;
    let location = format!("/v1/environments/{environment}/destinations/{id}");
    let what = What::Put { id, keys, default, condition };
    let done = api.change(edit(environment, what)).await?;
    let put = done.put.ok_or_else(|| Problem::from(ChangeError::Fault("nothing was put".to_owned())))?;
    let mut response = (
        if put.created { StatusCode::CREATED } else { StatusCode::OK },
        [(header::ETAG, put.etag)],
        axum::Json(put.view),
    )
        .into_response();
    if put.created
        && let Ok(location) = HeaderValue::from_str(&location)
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `DELETE /v1/environments/{env}/destinations/{id}`
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Segments(environment, id): Segments,
    headers: HeaderMap,
) -> Result<axum::Json<Changed>, Problem> {
    let what = What::Delete { id, condition: Condition::of(&headers)? };
    api.changed(edit(environment, what)).await
}

fn edit(environment: String, what: What) -> Change {
    let by = BY_API.to_owned();
    Change { environment, what, by, message: None, expect_current: None, dry_run: false }
}

fn who(by: Option<String>) -> Result<String, Problem> {
    match by {
        Some(by) => text("by", by, BY),
        None => Ok(BY_API.to_owned()),
    }
}

fn why(message: Option<String>, dry_run: bool) -> Result<Option<String>, Problem> {
    match message {
        Some(message) => text("message", message, MESSAGE).map(Some),
        None if dry_run => Ok(None),
        None => Err(Problem::field("message", "say why: it stands in the list of versions")),
    }
}

/// A text for people to read, in one line.
fn text(field: &str, text: String, most: usize) -> Result<String, Problem> {
    let wrong = if text.trim().is_empty() {
        "is empty".to_owned()
    } else if text.chars().count() > most {
        format!("is longer than {most} characters")
    } else if text.chars().any(char::is_control) {
        "holds control characters; it is one line".to_owned()
    } else {
        return Ok(text);
    };
    Err(Problem::field(field, wrong))
}

impl Api {
    /// The same, answered by what it has come to.
    async fn changed(&self, change: Change) -> Result<axum::Json<Changed>, Problem> {
        self.change(change).await.map(|done| axum::Json(done.changed))
    }

    /// Has the daemon carry it out.
    async fn change(&self, change: Change) -> Result<Done, Problem> {
        let closing = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "the daemon is stopping");
        let (sender, receiver) = oneshot::channel();
        self.reload.send(Request::Change(Box::new(change), sender)).await.map_err(|_| closing())?;
        receiver.await.map_err(|_| closing())?.map_err(Problem::from)
    }
}

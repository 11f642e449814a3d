//! `POST /v1/calls/{id}/handoff` and `/v1/handoffs`: the decision, its end and its cancelling.

use super::body::{Json, Query, Segment};
use super::calls::wrong_reply;
use super::history::Done;
use super::problem::Problem;
use super::{Api, VARIABLES_BODY};
use crate::call::command::{Command, HandoffRequest, Refusal, Reply};
use crate::call::record::HandoffView;
use crate::routing::duration;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest `?wait=`; a longer one is cut to it.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The longest Idempotency-Key, in bytes.
const KEY: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    wait: Option<String>,
}

impl Waiting {
    fn duration(&self) -> Result<Option<Duration>, Problem> {
        let Some(text) = &self.wait else { return Ok(None) };
        // A number alone is seconds, as everywhere on the web.
        match text.parse().map(Duration::from_secs).or_else(|_| duration::parse(text)) {
            Ok(wait) => Ok(Some(wait.min(LONGEST_WAIT))),
            Err(error) => Err(Problem::field("wait", format!("{error}; expected {}", duration::FORM))),
        }
    }
}

/// `POST /v1/calls/{id}/handoff`
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Segment(call): Segment,
    Query(waiting): Query<Waiting>,
    headers: HeaderMap,
    Json(request): Json<HandoffRequest, { VARIABLES_BODY }>,
) -> Result<Response, Problem> {
    let wait = waiting.duration()?;
    let handoff = match key_of(&headers)? {
        Some(key) => api.hand_off_once(call, key, request).await?,
        None => api.hand_off(call, request).await?,
    };
    let handoff = match wait {
        Some(wait) if !handoff.state.is_final() => api.await_end(handoff, wait).await?,
        _ => handoff,
    };
    let ended = wait.is_some() && handoff.state.is_final();
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location =
        HeaderValue::from_str(&format!("/v1/handoffs/{}", handoff.id)).map_err(|_| wrong_reply())?;
    Ok((status, [(header::LOCATION, location)], axum::Json(handoff)).into_response())
}

/// `GET /v1/handoffs/{id}`, with `?wait=` as above.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Query(waiting): Query<Waiting>,
) -> Result<axum::Json<HandoffView>, Problem> {
    let wait = waiting.duration()?;
    let handoff = api.find(&id).await?;
    match wait {
        Some(wait) if !handoff.state.is_final() => api.await_end(handoff, wait).await.map(axum::Json),
        _ => Ok(axum::Json(handoff)),
    }
}

/// `DELETE /v1/handoffs/{id}`
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
) -> Result<axum::Json<HandoffView>, Problem> {
    let reply = api.shards.command(Command::CancelHandoff { handoff: id.clone() }).await?;
    if let Reply::Refused(Refusal::NoHandoff(_)) = reply
        && let Some(ended) = api.history.handoff(&id)
    {
        return Err(Refusal::TooLate(ended.state).into());
    }
    handoff_of(reply).map(axum::Json)
}

/// `POST /v1/handoffs/{id}/complete`: the agent has said to the target what it had to say.
pub(super) async fn complete(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
) -> Result<axum::Json<HandoffView>, Problem> {
    let reply = api.shards.command(Command::CompleteHandoff { handoff: id.clone() }).await?;
    if let Reply::Refused(Refusal::NoHandoff(_)) = reply
        && let Some(ended) = api.history.handoff(&id)
    {
        return Err(Refusal::NotBriefing(ended.state).into());
    }
    handoff_of(reply).map(axum::Json)
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let usable = |key: &&str| (1..=KEY).contains(&key.len());
    match value.to_str().ok().filter(usable) {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            Err(Problem::field("Idempotency-Key", format!("expected 1 to {KEY} printable ASCII characters")))
        }
    }
}

fn handoff_of(reply: Reply) -> Result<HandoffView, Problem> {
    match reply {
        Reply::Handoff(handoff) => Ok(Arc::unwrap_or_clone(handoff)),
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Call(_) | Reply::Calls(_) | Reply::Counters(_) | Reply::Tested(_) => Err(wrong_reply()),
    }
}

impl Api {
    async fn hand_off(&self, call: String, request: HandoffRequest) -> Result<HandoffView, Problem> {
        let command = Command::Handoff { call: call.clone(), request: Box::new(request) };
        let reply = self.shards.command(command).await?;
        handoff_of(self.or_ended(reply, &call)?)
    }

    /// The same key and body give the same handoff for as long as the call is remembered; another body is refused.
    /// A request that was refused leaves its key free.
    async fn hand_off_once(
        &self,
        call: String,
        key: String,
        request: HandoffRequest,
    ) -> Result<HandoffView, Problem> {
        // The call may be named by its id or by a SIP Call-ID; the key belongs to the call.
        let id = match self.shards.command(Command::ShowCall { call: call.clone() }).await? {
            Reply::Call(call) => call.id,
            reply => match self.history.call(&call) {
                Some(ended) => ended.id,
                None => return handoff_of(reply),
            },
        };
        let slot = self.history.key(&id, &key);
        let mut done = slot.lock().await;
        match &*done {
            Some(done) if done.request == request => self.find(&done.handoff).await,
            Some(done) => Err(Problem::field(
                "Idempotency-Key",
                format!("the key was used with another body, for the handoff {}", done.handoff),
            )),
            None => {
                let handoff = self.hand_off(id, request.clone()).await?;
                *done = Some(Done { request, handoff: handoff.id.to_string() });
                Ok(handoff)
            }
        }
    }

    async fn find(&self, id: &str) -> Result<HandoffView, Problem> {
        match self.shards.command(Command::ShowHandoff { handoff: id.to_owned() }).await? {
            Reply::Refused(refusal @ Refusal::NoHandoff(_)) => {
                self.history.handoff(id).ok_or_else(|| refusal.into())
            }
            reply => handoff_of(reply),
        }
    }

    /// The ended handoff, or how it stands when the wait is over first.
    async fn await_end(&self, handoff: HandoffView, wait: Duration) -> Result<HandoffView, Problem> {
        let ended = timeout(wait, self.history.wait(&handoff.id)).await;
        match ended {
            Ok(Ok(ended)) => Ok(Arc::unwrap_or_clone(ended)),
            Ok(Err(_)) | Err(_) => {
                self.history.stop_waiting(&handoff.id);
                self.find(&handoff.id).await
            }
        }
    }
}

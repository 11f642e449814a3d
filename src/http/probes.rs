//! For load balancers and supervisors; without a token, and telling nothing else.

use super::Api;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// The process answers.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// New calls are taken; `degraded`: not by all that stands in the files.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<Json<Value>, Problem> {
    if api.readiness.is_ready() {
        // Calls are taken by what is in force: that is no reason to send them elsewhere.
        let degraded = api.not_in_force.borrow().said().is_some();
        return Ok(Json(json!({ "status": if degraded { "degraded" } else { "ready" } })));
    }
    let (code, detail) = if api.readiness.is_draining() {
        ("draining", "no new calls are taken; those that live are finishing")
    } else {
        ("starting", "the daemon is starting")
    };
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail))
}

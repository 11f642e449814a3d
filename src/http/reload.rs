//! `POST /v1/reload`: asks the daemon for a reload and tells what came of it. All or nothing. And what else the daemon is
//! asked for by the API.

use super::Api;
use super::problem::Problem;
use super::request::{ReloadError, Reloaded, Request};
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;
use tokio::sync::oneshot;

/// `POST /v1/reload`
pub(super) async fn reload(State(api): State<Arc<Api>>) -> Result<axum::Json<Reloaded>, Problem> {
    let closing = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "the daemon is stopping");
    let (sender, receiver) = oneshot::channel();
    api.reload.send(Request::Reload(sender)).await.map_err(|_| closing())?;
    match receiver.await.map_err(|_| closing())? {
        Ok(reloaded) => Ok(axum::Json(reloaded)),
        Err(ReloadError::Invalid(diagnostics)) => Err(Problem::diagnostics(&diagnostics)),
        Err(error @ ReloadError::Stuck(_)) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()))
        }
    }
}

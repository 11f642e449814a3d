//! `POST /v1/reload`: asks the daemon for a reload and tells what came of it. All or nothing. And what else the daemon is
//! asked for by the API.

use super::Api;
use super::change::{Change, ChangeError, Done};
use super::problem::Problem;
use crate::routing::file::Diagnostic;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the daemon is asked to do, one after the other, and who waits for the result.
pub enum Request {
    /// Read the files again.
    Reload(oneshot::Sender<Result<Reloaded, ReloadError>>),
    /// Change one table.
    Change(Box<Change>, oneshot::Sender<Result<Done, ChangeError>>),
}

/// A reload that was carried out: every shard decides by the new tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Number of this state of all tables, trunks and agents.
    pub serial: u64,
    /// Each environment's table.
    pub environments: BTreeMap<String, TableState>,
    /// Keys that have changed and only count after a restart.
    pub restart_required: Vec<String>,
    /// What is allowed but doubtful, as `check` prints it.
    pub warnings: Vec<String>,
}

/// Which state of a table is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Its number; 0 where the versions cannot be written down.
    pub version: u64,
    /// SHA-256 of the file.
    pub hash: String,
    /// Number of destinations.
    pub destinations: usize,
    /// Whether it differs from what was in force before.
    pub changed: bool,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The files are faulty.
    #[error("{} faults in the configuration; nothing was changed", .0.len())]
    Invalid(Vec<Diagnostic>),
    /// The files are right, but a shard did not take them.
    #[error("{0}")]
    Stuck(String),
}

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

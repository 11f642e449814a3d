//! `POST /v1/environments/{env}/destinations/{id}/render`: what a handoff would send, before any caller feels it.

use super::Api;
use super::body::Json;
use super::problem::Problem;
use crate::net::paths::Paths;
use crate::rehearsal::render::{Ground, Rendered, Ways, Wish, render};
use crate::shard::clock::wall;
use crate::sip::{Listener, Transport};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use std::net::IpAddr;
use std::sync::Arc;

impl Ways for Paths {
    fn listeners(&self) -> &[Listener] {
        self.listeners()
    }

    fn listener_for(&self, transport: Transport, peer: IpAddr) -> Option<u16> {
        self.listener_for(transport, peer)
    }
}

/// Plays it through beside the shards, and changes nothing.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path((environment, id)): Path<(String, String)>,
    Json(wish): Json<Wish>,
) -> Result<axum::Json<Rendered>, Problem> {
    let ground = Ground {
        tables: Arc::clone(&api.tables.borrow()),
        ways: Arc::clone(&api.ways),
        session_timer: api.session_timer,
        zone: TimeZone::system(),
    };
    api.with_table(&environment, |_, _| Ok(()))?;
    let now = wall();
    // A tenth of a millisecond; but the engine is not for threads that answer probes.
    let rendered = tokio::task::spawn_blocking(move || render(&ground, &environment, &id, &wish, now)).await;
    let rendered = rendered.map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("it could not be played: {error}"),
        )
    })?;
    Ok(axum::Json(rendered?))
}

//! The HTTP API: what a call's decision-makers, operators and probes ask of the running daemon.
//!
//! The routes ask the shards by [`crate::shard::Shards`] and read ended calls from [`history`]. [`guard`] decides who may
//! ask. What is asked and answered is the chapter that follows, `src/http/README.md`.
//!
#![doc = include_str!("README.md")]

mod body;
mod calls;
pub mod change;
pub mod destinations;
pub mod guard;
mod handoffs;
pub mod history;
pub mod in_force;
pub mod listener;
mod metrics;
mod probes;
pub mod problem;
pub mod reload;
mod render;
pub mod request;
mod trial;
pub mod versions;

pub use calls::Page;
pub use listener::serve;

use crate::net::counts::{Counts, Lost};
use crate::net::tcp::connections::Connections;
use crate::rehearsal::render::Ways;
use crate::routing::Tables;
use crate::shard::Shards;
use crate::sip::leg::session_timer;
use crate::store::versions::Versions;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, patch, post};
use guard::Guard;
use history::History;
use problem::Problem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::{mpsc, watch};

/// The longest body of a request, in bytes.
const BODY: usize = 64 * 1024;
/// The same where variables are set: 64 kB of them take more than that in JSON, and whoever sends too many is told how many
/// there may be.
const VARIABLES_BODY: usize = 1024 * 1024;

/// Whether new calls are taken.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// New calls are taken from now on.
    pub fn ready(&self) {
        self.0.store(1, Ordering::Release);
    }

    /// New calls are refused from now on.
    pub fn draining(&self) {
        self.0.store(2, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }

    fn is_draining(&self) -> bool {
        self.0.load(Ordering::Acquire) == 2
    }
}

/// What the routes work with.
pub struct Api {
    /// The engines.
    pub shards: Arc<Shards>,
    /// Ended calls and handoffs.
    pub history: Arc<History>,
    /// The tables in force.
    pub tables: watch::Receiver<Arc<Tables>>,
    /// What the files say beside that.
    pub not_in_force: watch::Receiver<in_force::NotInForce>,
    /// Whether new calls are taken.
    pub readiness: Arc<Readiness>,
    /// Where a reload, or a change of a table, is asked for.
    pub reload: mpsc::Sender<request::Request>,
    /// The states that tables were in.
    pub versions: Arc<Versions>,
    /// The tables in force as they are written.
    pub documents: destinations::Documents,
    /// What the network counts.
    pub counts: Arc<Counts>,
    /// The open stream connections, for their number.
    pub connections: Arc<Connections>,
    /// Log lines and records that were dropped for want of room.
    pub lost: Arc<Lost>,
    /// Who is connected to the API.
    pub doors: Arc<listener::Doors>,
    /// The sockets, and which of them reaches a peer.
    pub ways: Arc<dyn Ways>,
    /// What is asked for and taken of session timers.
    pub session_timer: Option<session_timer::Settings>,
}

/// All routes.
pub fn router(api: Arc<Api>, guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/v1/calls", get(calls::list))
        .route("/v1/calls/{id}", get(calls::show).delete(calls::hang_up))
        .route("/v1/calls/{id}/variables", patch(calls::set_variables))
        .route("/v1/calls/{id}/handoff", post(handoffs::create))
        .route("/v1/handoffs/{id}", get(handoffs::show).delete(handoffs::cancel))
        .route("/v1/handoffs/{id}/complete", post(handoffs::complete))
        .route("/v1/environments/{environment}/destinations", get(destinations::list))
        .route(
            "/v1/environments/{environment}/destinations/{id}",
            get(destinations::show).put(change::put).delete(change::delete),
        )
        .route("/v1/environments/{environment}/destinations/{id}/render", post(render::create))
        .route("/v1/environments/{environment}/destinations/{id}/test", post(trial::create))
        .route("/v1/environments/{environment}/versions", get(versions::list))
        .route("/v1/environments/{environment}/versions/{version}", get(versions::show))
        .route("/v1/environments/{environment}/diff", get(versions::diff))
        .route("/v1/environments/{environment}/promote", post(change::promote))
        .route("/v1/environments/{environment}/rollback", post(change::rollback))
        .route("/v1/reload", post(reload::reload))
        .route("/metrics", get(metrics::scrape))
        .route(guard::HEALTH, get(probes::health))
        .route(guard::READY, get(probes::ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&api), in_force::tell))
        .layer(from_fn_with_state(Arc::clone(&guard), guard::authorise))
        .layer(from_fn_with_state(guard, guard::same_site))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(api)
}

/// What is served to who finds no seat: the probes, and that there is none.
pub fn probes(api: Arc<Api>) -> Router {
    Router::new()
        .route(guard::HEALTH, get(probes::health))
        .route(guard::READY, get(probes::ready))
        .fallback(crowded)
        .with_state(api)
}

async fn crowded() -> Problem {
    let detail = "too many connections are open; close some that are idle";
    Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", detail)
}

async fn not_found(uri: axum::http::Uri) -> Problem {
    Problem::new(
        axum::http::StatusCode::NOT_FOUND,
        "no_route",
        format!("there is nothing at `{}`", uri.path()),
    )
}

async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    let detail = format!("`{}` does not take {method}; the header Allow says what it takes", uri.path());
    Problem::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

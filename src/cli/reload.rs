//! `baton reload`

use super::api::{Ask, Client, IN_FORCE_WITHIN};
use super::exit::{Exit, Failure};
use super::{Global, page};
use crate::http::request::Reloaded;
use clap::Args;
use serde_json::json;

/// Has the daemon read its files again.
#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let reloaded: Reloaded = client.ask(Ask::Post("/v1/reload", &json!({})), IN_FORCE_WITHIN)?;
        if self.json {
            page::json(&reloaded)?;
        } else {
            page::print(&show(&reloaded))?;
        }
        Ok(Exit::Done)
    }
}

fn show(reloaded: &Reloaded) -> String {
    let mut out = String::new();
    for warning in &reloaded.warnings {
        out.push_str(&format!("{warning}\n\n"));
    }
    out.push_str("reloaded\n");
    for (environment, state) in &reloaded.environments {
        let changed = if state.changed { "" } else { ", as before" };
        out.push_str(&format!(
            "  {environment}: version {}, {} destinations{changed}\n",
            state.version, state.destinations
        ));
    }
    if !reloaded.restart_required.is_empty() {
        out.push_str(&format!(
            "changed, but only after a restart: {}\n",
            reloaded.restart_required.join(", ")
        ));
    }
    out
}

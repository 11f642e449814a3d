//! `baton calls`

use super::api::{Client, segment};
use super::exit::{Exit, Failure};
use super::page::{Table, or_dash};
use super::{Global, page};
use crate::call::record::{CallState, CallView, Stamp};
use crate::shard::clock::wall;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::time::Duration;

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Lists the live calls.
#[derive(Debug, Args)]
pub(super) struct Calls {
    /// Show them again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Print JSON (with --watch: one line each time)
    #[arg(long)]
    json: bool,
}

/// A page as the API gives it, and all pages as one here.
#[derive(Deserialize, Serialize)]
struct Page {
    data: Vec<CallView>,
    next_cursor: Option<String>,
}

impl Calls {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        loop {
            let calls = all(&client)?;
            if self.json && self.watch {
                let line = serde_json::to_string(&calls)
                    .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?;
                page::print(&format!("{line}\n"))?;
            } else if self.json {
                page::json(&calls)?;
            } else {
                // Home and clear, so that the list stays where it is.
                let clear = if self.watch && std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
                page::print(&format!("{clear}{}", show(&calls.data, Stamp(wall()))))?;
            }
            if !self.watch {
                return Ok(Exit::Done);
            }
            std::thread::sleep(WATCH_INTERVAL);
        }
    }
}

fn all(client: &Client) -> Result<Page, Failure> {
    let mut calls = Page { data: Vec::new(), next_cursor: None };
    let mut path = "/v1/calls".to_owned();
    loop {
        let page: Page = client.get(&path)?;
        calls.data.extend(page.data);
        match page.next_cursor {
            Some(cursor) => path = format!("/v1/calls?cursor={}", segment(&cursor)),
            None => return Ok(calls),
        }
    }
}

fn show(calls: &[CallView], now: Stamp) -> String {
    if calls.is_empty() {
        return "no live calls\n".to_owned();
    }
    let mut table = Table::new(&["CALL", "STATE", "AGENT", "TRUNK", "CALLER", "CALLED", "FOR", "HANDOFFS"]);
    for call in calls {
        table.row(vec![
            call.id.clone(),
            state(call.state).to_owned(),
            or_dash(call.agent.as_deref()),
            call.trunk.clone(),
            or_dash(call.caller_id.as_deref()),
            call.called_number.clone(),
            span(now.0.0 - call.started_at.0.0),
            call.handoffs.len().to_string(),
        ]);
    }
    table.show()
}

/// The word for a call's state.
pub(super) fn state(state: CallState) -> &'static str {
    match state {
        CallState::Setup => "setup",
        CallState::Talking => "talking",
        CallState::Moving => "moving",
        CallState::Ending => "ending",
        CallState::Ended => "ended",
    }
}

/// A span of milliseconds as people say it: `1h02m`, `3m07s`, `12s`.
pub(super) fn span(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

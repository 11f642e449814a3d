//! `baton handoff`

use super::api::{Ask, Client, segment};
use super::exit::{Exit, Failure};
use super::page::{Table, keys, or_dash};
use super::{Global, page};
use crate::call::command::HandoffRequest;
use crate::call::record::{HandoffState, HandoffView};
use clap::Args;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one request waits; then it is asked again.
const ROUND: Duration = Duration::from_secs(60);

/// Moves a caller to a destination.
#[derive(Debug, Args)]
pub(super) struct HandOff {
    /// The call's id, or the SIP Call-ID of its agent leg
    call: String,
    /// The destination's id in the table of the call's environment
    destination: String,
    /// A variable for the headers; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,
    /// A header that wins over the table's; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Why, for $reason
    #[arg(long)]
    reason: Option<String>,
    /// Wait until it has ended; exit 5 if otherwise than succeeded or handed_back
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

impl HandOff {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let named = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        let request = HandoffRequest {
            destination: Some(self.destination.clone()),
            reason: self.reason.clone(),
            variables: named(&self.variables),
            headers: named(&self.headers),
            ..HandoffRequest::default()
        };
        let path = format!("/v1/calls/{}/handoff", segment(&self.call));
        let mut handoff: HandoffView = client.ask(Ask::Post(&path, &request), Duration::ZERO)?;
        while self.wait && !handoff.state.is_final() {
            let path = format!("/v1/handoffs/{}?wait={}s", segment(&handoff.id), ROUND.as_secs());
            handoff = client.ask::<(), _>(Ask::Get(&path), ROUND)?;
        }
        if self.json {
            page::json(&handoff)?;
        } else {
            page::print(&show(&handoff))?;
        }
        let well = matches!(handoff.state, HandoffState::Succeeded | HandoffState::HandedBack);
        Ok(if handoff.state.is_final() && !well { Exit::Otherwise } else { Exit::Done })
    }
}

/// A handoff with its attempts.
pub(super) fn show(handoff: &HandoffView) -> String {
    let proof = handoff.proof.map(|proof| format!(" ({})", proof.as_str())).unwrap_or_default();
    let mut pairs = vec![
        ("handoff", handoff.id.to_string()),
        ("call", handoff.call_id.to_string()),
        ("destination", format!("{} (table version {})", handoff.destination, handoff.table_version)),
        ("state", format!("{}{proof}", handoff.state.as_str())),
    ];
    if !handoff.rules.is_empty() {
        let rules: Vec<String> = handoff.rules.iter().map(ToString::to_string).collect();
        pairs.insert(3, ("rules", rules.join(", then ")));
    }
    pairs.extend(handoff.cause.as_deref().map(|cause| ("cause", cause.to_owned())));
    pairs.extend(handoff.reason.clone().map(|reason| ("reason", reason)));
    if handoff.state.is_final() {
        pairs.push(("result", handoff.explain.title.to_string()));
        pairs.push(("why", handoff.explain.cause.to_string()));
        pairs.push(("next step", handoff.explain.next_step.to_string()));
    }
    let mut out = keys(&pairs);
    if !handoff.attempts.is_empty() {
        let mut table = Table::new(&["#", "METHOD", "ROUTE", "STATUS", "FINAL", "CAUSE", "REASON"]);
        for (number, attempt) in handoff.attempts.iter().enumerate() {
            let status = |status: Option<u16>| or_dash(status.map(|status| status.to_string()).as_deref());
            table.row(vec![
                (number + 1).to_string(),
                attempt.method.to_string(),
                or_dash(attempt.route.as_deref()),
                status(attempt.status),
                status(attempt.final_status),
                or_dash(attempt.cause.as_deref()),
                or_dash(attempt.status_reason.as_deref()),
            ]);
        }
        out.push_str(&table.show());
    }
    out
}

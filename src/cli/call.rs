//! `baton call`

use super::api::{Client, segment};
use super::calls::{span, state};
use super::exit::{Exit, Failure};
use super::handoff;
use super::page::{Table, keys, or_dash};
use super::{Global, page};
use crate::call::record::{CallView, HandoffView, Stamp};
use crate::shard::clock::wall;
use clap::Args;
use serde::Serialize;

/// Shows one call.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The call's id, or the SIP Call-ID of its agent leg
    #[arg(value_name = "CALL")]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A call, with its handoffs written out.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    call: CallView,
    handoff_details: Vec<HandoffView>,
}

impl Show {
    pub(super) fn run(&self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let call: CallView = client.get(&format!("/v1/calls/{}", segment(&self.id)))?;
        let mut handoff_details = Vec::new();
        for id in &call.handoffs {
            match client.get(&format!("/v1/handoffs/{}", segment(id))) {
                Ok(handoff) => handoff_details.push(handoff),
                // The oldest of many may be forgotten already.
                Err(failure) if failure.exit == Exit::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        if self.json {
            page::json(&Whole { call, handoff_details })?;
        } else {
            page::print(&show(&call, &handoff_details))?;
        }
        Ok(Exit::Done)
    }
}

fn show(call: &CallView, handoffs: &[HandoffView]) -> String {
    let until = call.ended_at.unwrap_or(Stamp(wall()));
    let mut pairs = vec![
        ("call", call.id.clone()),
        ("state", state(call.state).to_owned()),
        ("environment", call.environment.clone()),
        ("trunk", call.trunk.clone()),
        ("agent", or_dash(call.agent.as_deref())),
        ("caller", or_dash(call.caller_id.as_deref())),
        ("called", call.called_number.clone()),
        ("started", call.started_at.to_string()),
        ("answered", or_dash(call.answered_at.map(|at| at.to_string()).as_deref())),
        ("duration", span(until.0.0 - call.started_at.0.0)),
    ];
    pairs.extend(call.ended_by.as_deref().map(|by| ("ended by", by.to_owned())));
    let mut out = keys(&pairs);
    let mut legs = Table::new(&["LEG", "STATE", "PEER", "SIP CALL-ID"]);
    for leg in &call.legs {
        legs.row(vec![
            leg.role.as_str().to_owned(),
            leg.state.to_string(),
            leg.peer.clone(),
            leg.sip_call_id.clone(),
        ]);
    }
    out.push('\n');
    out.push_str(&legs.show());
    if !call.variables.is_empty() {
        let mut variables = Table::new(&["VARIABLE", "VALUE"]);
        for (name, value) in &call.variables {
            variables.row(vec![name.clone(), value.clone()]);
        }
        out.push('\n');
        out.push_str(&variables.show());
    }
    for handoff in handoffs {
        out.push('\n');
        out.push_str(&handoff::show(handoff));
    }
    out
}

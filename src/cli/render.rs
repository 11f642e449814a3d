//! `baton render`

use super::Global;
use super::api::{Ask, Client, segment};
use super::exit::{Exit, Failure};
use super::handoff::pair;
use super::page::{self, plain};
use crate::rehearsal::render::{Moment, Origin, Rendered, Sent, Wish};
use crate::sip::transaction::UDP_LIMIT;
use clap::Args;
use std::fmt::Write as _;
use std::time::Duration;

/// Shows what a handoff would send, each line with the rule that makes it.
#[derive(Debug, Args)]
pub(super) struct Render {
    /// The destination's id
    destination: String,
    /// Whose table
    #[arg(long = "env", value_name = "ENVIRONMENT", default_value = "production")]
    environment: String,
    /// A variable for the headers; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,
    /// A header that wins over the table's; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Why, for $reason
    #[arg(long)]
    reason: Option<String>,
    /// Another method than the destination's
    #[arg(long)]
    method: Option<String>,
    /// Another route than the destination's
    #[arg(long)]
    route: Option<String>,
    /// The caller's number
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// A header of the caller's INVITE; may be repeated
    #[arg(long = "caller-header", value_name = "NAME=VALUE", value_parser = pair)]
    caller_headers: Vec<(String, String)>,
    /// The trunk that the call comes by [default: the first one]
    #[arg(long)]
    trunk: Option<String>,
    /// The agent that has the call [default: the first one of the environment]
    #[arg(long)]
    agent: Option<String>,
    /// When: 2026-12-25T10:00 where the destination's hours count (else on the daemon's clock), or with a zone like
    /// 2026-12-25T10:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// The decision comes before the caller is answered
    #[arg(long)]
    before_answer: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Render {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let client = Client::new(global)?;
        let wish = Wish {
            reason: self.reason,
            utterance: None,
            variables: self.variables.into_iter().collect(),
            headers: self.headers.into_iter().collect(),
            method: self.method,
            route: self.route,
            caller: self.caller,
            caller_headers: self.caller_headers.into_iter().collect(),
            trunk: self.trunk,
            agent: self.agent,
            at: self.at,
            before_answer: self.before_answer,
        };
        let (environment, destination) = (segment(&self.environment), segment(&self.destination));
        let path = format!("/v1/environments/{environment}/destinations/{destination}/render");
        let rendered: Rendered = client.ask(Ask::Post(&path, &wish), Duration::ZERO)?;
        if self.json {
            page::json(&rendered)?;
        } else {
            page::print(&show(&rendered))?;
        }
        Ok(Exit::Done)
    }
}

fn show(rendered: &Rendered) -> String {
    let Rendered { environment, destination, table_version, at, local_time, trunk, agent, method, .. } =
        rendered;
    let route = rendered.route.as_deref().map(|route| format!(" to {route}")).unwrap_or_default();
    let mut out = format!(
        "{destination} of {environment}, version {table_version}, at {at} ({local_time}); from trunk {trunk}, by agent {agent}\n"
    );
    for rule in &rendered.rules {
        let _ = writeln!(out, "rule: {}", plain(&rule.to_string()));
    }
    let _ = writeln!(out, "{method}{route}");
    for (number, sent) in rendered.messages.iter().enumerate() {
        out += &message(number + 1, sent);
    }
    for left_out in &rendered.left_out {
        let _ = writeln!(out, "\nLeft out: {}", plain(left_out));
    }
    for host in &rendered.way_depends_on {
        let _ = writeln!(
            out,
            "\nWhich of this machine's addresses stands in Via, Contact and Referred-By depends on the address of {}.",
            plain(host)
        );
    }
    if !rendered.messages.is_empty() {
        out += "\nLines without a ^ are Baton's own: the dialog, SIP, and an invented session.\n";
    }
    out += "\nIf it fails:\n";
    let steps = |steps: &Vec<String>| match &steps[..] {
        [] => "nothing is tried".to_owned(),
        steps => steps.join(", then "),
    };
    let rows: Vec<(&str, String)> =
        rendered.on_failure.iter().map(|(cause, list)| (cause.as_str(), steps(list))).collect();
    for line in page::keys(&rows).lines() {
        let _ = writeln!(out, "  {line}");
    }
    out
}

/// As on the wire; after a line, and not part of it, what made it.
fn message(number: usize, sent: &Sent) -> String {
    let Sent { what, to, transport, bytes, .. } = sent;
    let long = match transport == "udp" && *bytes > UDP_LIMIT {
        true => ", which is long for it: listen on tcp, too (RFC 3261 18.1.1)",
        false => "",
    };
    let mut out = format!("\n{number}. {what} to the {to}, {bytes} bytes by {transport}{long}\n\n");
    for line in &sent.lines {
        let _ = writeln!(out, "    {}", plain(&line.text));
        if line.by != Origin::BuiltIn {
            let _ = writeln!(out, "        ^ {}: {}", line.by.as_str(), plain(&line.rule));
        }
    }
    if !sent.body.is_empty() {
        out.push('\n');
        for line in sent.body.lines() {
            let _ = writeln!(out, "    {}", plain(line));
        }
    }
    out
}

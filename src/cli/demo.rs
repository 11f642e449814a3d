//! `baton demo`: the real engine between a scripted PBX, agent and desk on loopback sockets, some handoffs, each as a ladder with its verdict. Needs no configuration, no PBX and no privilege; opens ephemeral ports on 127.0.0.1.

use super::exit::{Exit, Failure};
use super::page;
use crate::call::record::{HandoffView, Proof};
use crate::rehearsal::{Entry, Ink, Page, Party, Played, Scene, play};
use clap::Args;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Behind which the text of a scene stands.
const INDENT: usize = 5;

/// What to do after the demo: commands, and what they are for.
const NEXT: [(&str, &str); 7] = [
    ("tests/run", "every test, with SIPp, baresip and Kamailio as peers"),
    ("baton check", "is the configuration right? every error at once, with its place"),
    ("baton serve", "the daemon on config/baton.toml; tables are reloaded when their files change"),
    ("$EDITOR config/destinations.toml", "your destinations"),
    ("baton calls", "who is talking"),
    ("baton handoff CALL front-desk --wait", "move a caller, and see how it ends"),
    (
        "curl -H \"Authorization: Bearer $(cat config/state/http-token)\" http://127.0.0.1:8060/v1/calls",
        "the same by HTTP",
    ),
];

/// Plays the demo and prints it.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Print JSON: every message and every verdict
    #[arg(long)]
    json: bool,
}

impl Demo {
    /// Exit 0 only if every scene went as told.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let failed = |why: String| Failure::new(Exit::Failed, format!("demo: {why}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(format!("no runtime: {error}")))?;
        let began = Instant::now();
        let sheet = page::sheet();
        let (mut played, mut printed) = (Vec::new(), Ok(()));
        let set_up = runtime.block_on(play(|scene| {
            if !self.json && printed.is_ok() {
                printed = page::print(&show(&sheet, played.len() + 1, &scene));
            }
            played.push(scene);
        }));
        let took = began.elapsed();
        let well = played.iter().filter(|scene| scene.outcome.is_ok()).count();
        let ok = set_up.is_ok() && well == Scene::ALL.len();
        printed?;
        if self.json {
            page::json(&document(&played, ok, took))?;
        }
        set_up.map_err(|fault| failed(format!("the stage could not be set up: {fault}")))?;
        if !ok {
            let left = match Scene::ALL.len() - played.len() {
                0 => String::new(),
                left => format!("; {left} more not played"),
            };
            return Err(failed(format!("scene {} went otherwise than told{left}", played.len())));
        }
        if !self.json {
            let all = format!("All {well} went as told, in {:.1} s.", took.as_secs_f64());
            page::print(&format!("{}\n\n{}", sheet.ink(Ink::Good, &all), next(&sheet)))?;
        }
        Ok(Exit::Done)
    }
}

fn next(sheet: &Page) -> String {
    let mut out = sheet.ink(Ink::Strong, "What to try next") + "\n";
    for (command, why) in NEXT {
        out += &format!("  {}\n{}", sheet.ink(Ink::Request, command), sheet.paragraph(6, why));
    }
    out
}

fn show(sheet: &Page, number: usize, played: &Played) -> String {
    let mut out = String::new();
    if number == 1 {
        out += &sheet.paragraph(
            0,
            "A PBX, Baton, a voice agent and the phone on a desk, on 127.0.0.1: scripted peers, the real engine, real SIP \
             over UDP. Media would flow between them directly; Baton never touches it.",
        );
        out += "\n";
    }
    let head = format!("{number}/{}  {}", Scene::ALL.len(), played.scene.title());
    out += &format!("{}\n{}\n", sheet.ink(Ink::Strong, &head), sheet.paragraph(INDENT, played.scene.story()));
    out += &sheet.ladder(&played.entries);
    out += "\n";
    out += &match &played.outcome {
        Ok(handoff) => verdict(sheet, handoff),
        Err(fault) => {
            let line = format!("{:INDENT$}✘ {fault}", "");
            format!("{}\n", sheet.ink(Ink::Bad, &line))
        }
    };
    out + "\n"
}

fn verdict(sheet: &Page, handoff: &HandoffView) -> String {
    let proof = handoff.proof.map_or("none", Proof::as_str);
    let cause = handoff.cause.as_deref().unwrap_or("none");
    let words = format!("✔ {}   proof: {proof}   cause: {cause}", handoff.state.as_str());
    let explain = &handoff.explain;
    let mut out = format!("{:INDENT$}{}\n", "", sheet.ink(Ink::Good, &words));
    for text in [&explain.title, &explain.cause, &explain.next_step] {
        if !text.is_empty() {
            out += &sheet.paragraph(INDENT + 2, text);
        }
    }
    out
}

fn document(played: &[Played], ok: bool, took: Duration) -> Value {
    json!({
        "ok": ok,
        "elapsed_ms": took.as_millis() as u64,
        "scenes": played.iter().map(scene).collect::<Vec<_>>(),
    })
}

fn scene(played: &Played) -> Value {
    let (state, proof) = played.scene.expected();
    json!({
        "title": played.scene.title(),
        "story": played.scene.story(),
        "expected": { "state": state, "proof": proof },
        "ok": played.outcome.is_ok(),
        "fault": played.outcome.as_ref().err().map(ToString::to_string),
        "handoff": played.outcome.as_ref().ok(),
        "messages": played.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn entry(entry: &Entry) -> Value {
    let at_us = entry.at().as_micros() as u64;
    match entry {
        Entry::Note { text, .. } => json!({ "at_us": at_us, "note": text }),
        Entry::Message { from, to, message, again, .. } => {
            json!({
                "at_us": at_us,
                "from": word(*from),
                "to": word(*to),
                "retransmission": again,
                "start": message.start,
                "headers": message.headers,
                "body": message.body,
            })
        }
    }
}

fn word(party: Party) -> &'static str {
    match party {
        Party::Pbx => "pbx",
        Party::Baton => "baton",
        Party::Agent => "agent",
        Party::Desk => "desk",
        Party::Target => "target",
    }
}

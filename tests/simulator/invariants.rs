//! What holds at the end of every world, whatever the parties did.

use super::book::{Book, Call};
use super::common::World;
use super::judge;
use super::ledger::Ledger;
use super::models::Models;
use super::tables::Table;
use super::truth;
use super::watch::Watch;
use baton::call::event::EventKind;
use baton::sip::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the world was drawn with.
#[derive(Clone, Copy)]
pub struct Tables<'a> {
    /// By their version.
    pub versions: &'a BTreeMap<u64, Table>,
    /// Of the agent.
    pub fallback: Option<&'a str>,
    /// Which rules hold.
    pub models: &'a Models,
    /// Baton was told that a 200 of the PBX proves nothing.
    pub careful: bool,
    /// When Baton stood still, and for how long.
    pub stood: &'a [(Time, Duration)],
}

/// Looks at everything. What is wrong, with the ladders of the calls that it is about; empty: nothing.
pub fn check(world: &World, watch: &mut Watch, ledger: &Ledger, tables: Tables<'_>) -> String {
    let empty = world.run_until(super::common::s(200), World::is_empty);
    let records = world.records();
    let counters = world.counters();
    let stood = watch.stood.clone();
    let tables = Tables { stood: &stood, ..tables };
    let book = &mut watch.book;
    outcomes(world, book);
    let calls: Vec<String> = book.calls.keys().cloned().collect();
    for caller in calls {
        let Some(call) = book.calls.get(&caller) else { continue };
        let faults = call_faults(book, ledger, tables, &caller, call);
        faults.into_iter().for_each(|what| book.fault(&caller, what));
    }
    let mut text: String = book.faults.iter().map(|(call, what)| format!("call {call}: {what}\n")).collect();
    for fault in world.check_wire(&records).into_iter().chain(world.nowhere()) {
        text.push_str(&format!("on the wire: {fault}\n"));
        let call_id = fault.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap_or_default();
        if let Some(leg) = book.legs.get(call_id) {
            let caller = leg.caller.clone();
            book.faults.push((caller, "see above".to_owned()));
        }
    }
    if !empty {
        text.push_str(&format!("something is left: {counters:#?}\n"));
    }
    let left = (counters.calls_live, counters.handoffs_live, counters.deadlines, counters.faults);
    if left != (0, 0, 0, 0) || counters.calls_started != counters.calls_ended {
        text.push_str(&format!("live calls, handoffs, deadlines, faults: {left:?}\n"));
    }
    if counters.calls_started as usize != records.len() {
        text.push_str("there is not one record for each call\n");
    }
    if !text.is_empty() {
        text.push_str(&stories(world, book, ledger, tables));
        let stood = watch.stood.iter().map(|(from, time)| (millis(*from), time.as_millis()));
        text.push_str(&format!("stood still from and for (ms): {:?}\n", stood.collect::<Vec<_>>()));
    }
    world.finish();
    text
}

/// The first calls in which something is wrong, with their ladders.
fn stories(world: &World, book: &Book, ledger: &Ledger, tables: Tables<'_>) -> String {
    let mut text = String::new();
    let of = |(caller, _): &(String, String)| book.calls.get(caller).map(|call| &call.handoffs);
    let versions: BTreeSet<u64> = book
        .faults
        .iter()
        .take(2)
        .filter_map(of)
        .flatten()
        .map(|handoff| handoff.first.table_version)
        .collect();
    for version in versions {
        let table = tables.versions.get(&version).map(Table::text).unwrap_or_default();
        text.push_str(&format!("version {version}, fallback {:?}:\n{table}", tables.fallback));
    }
    for (caller, _) in book.faults.iter().take(2) {
        let legs = book.calls.get(caller).into_iter().flat_map(|call| call.legs.iter().cloned());
        text.push_str(&world.trace_of(&legs.collect()));
        text.push_str(&story(book, caller));
        if let Some(truly) = ledger.callers.get(caller) {
            text.push_str(&format!("   truly: {}\n", truly.story()));
        }
    }
    text
}

fn millis(at: baton::sip::Time) -> u64 {
    at.0.saturating_sub(1_000_000) / 1000
}

/// The handoffs of a call, in words.
fn story(book: &Book, caller: &str) -> String {
    let Some(call) = book.calls.get(caller) else { return String::new() };
    let ended = call.ended.as_ref().map(|(at, why)| (millis(*at), why));
    let mut text = format!("   call {caller} ended {ended:?}\n");
    for handoff in &call.handoffs {
        let first = &handoff.first;
        text.push_str(&format!(
            "   {} ms: handoff {} of version {}, {:?}\n",
            millis(handoff.started),
            first.destination,
            first.table_version,
            first.reason
        ));
        for failure in &handoff.failures {
            text.push_str(&format!(
                "      {} ms: attempt {} at {} by {} failed: {} {:?}, next {}; partner {}\n",
                millis(failure.at),
                failure.number,
                failure.destination,
                failure.method,
                failure.cause,
                failure.status,
                failure.next,
                failure.partner
            ));
        }
        if let Some((at, view, hurt)) = &handoff.ended {
            for attempt in &view.attempts {
                text.push_str(&format!(
                    "      {} {} {:?} {:?} {:?}\n",
                    attempt.destination, attempt.method, attempt.status, attempt.final_status, attempt.cause
                ));
            }
            let (state, proof) = (view.state.as_str(), view.proof);
            text.push_str(&format!("      {} ms: {state} {proof:?}, hurt {hurt}\n", millis(*at)));
        }
    }
    text
}

/// Every handoff that was begun has exactly one outcome.
fn outcomes(world: &World, book: &mut Book) {
    let mut started: BTreeMap<String, (String, i32)> = BTreeMap::new();
    for event in world.events() {
        match event {
            EventKind::HandoffStarted(view) => {
                let call = book.by_baton.get(&*view.call_id).cloned().unwrap_or_default();
                let twice = started.insert(view.id.to_string(), (call.clone(), 0)).is_some();
                if twice {
                    book.fault(&call, format!("handoff {} begins twice", view.id));
                }
            }
            EventKind::HandoffEnded { handoff, .. } => {
                started.entry(handoff.id.to_string()).or_default().1 += 1;
            }
            _ => {}
        }
    }
    for (id, (call, ends)) in started {
        if ends != 1 {
            book.fault(&call, format!("handoff {id} has {ends} outcomes"));
        }
    }
}

fn call_faults(book: &Book, ledger: &Ledger, tables: Tables<'_>, caller: &str, call: &Call) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(truth::caller(book, ledger, tables, (caller, call)).err());
    for (place, handoff) in call.handoffs.iter().enumerate() {
        let Some((_, view, _)) = &handoff.ended else { continue };
        let id = &view.id;
        if let Err(why) = truth::handoff(book, ledger, tables, (caller, call, handoff)) {
            faults.push(format!("{id} is {}, but {why}", view.state.as_str()));
        }
        let next = call.handoffs.get(place + 1);
        if let Err(why) = judge::handoff(tables, call, handoff, next) {
            faults.push(format!("{id}: {why}"));
        }
        let fine = matches!(view.state.as_str(), "succeeded" | "handed_back" | "cancelled" | "abandoned");
        if view.cause.is_none() && !fine {
            faults.push(format!("{id} does not say why"));
        }
        if view.ended_at.is_none() || !view.state.is_final() {
            faults.push(format!("{id} is not over"));
        }
    }
    faults
}

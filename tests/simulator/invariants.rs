//! What holds at the end of every world, whatever the parties did.

use super::book::{Book, Call, Handoff, Leg, Role};
use super::common::World;
use super::judge;
use super::ledger::Ledger;
use super::tables::Table;
use super::watch::Watch;
use baton::call::event::What;
use baton::call::record::{AttemptView, HandoffState, HandoffView, Proof};
use baton::sip::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The tables by their version, and the fallback of the agent.
pub type Tables<'a> = (&'a BTreeMap<u64, Table>, Option<&'a str>);

/// Looks at everything. What is wrong, with the ladders of the calls that it is about; empty: nothing.
pub fn check(world: &World, watch: &mut Watch, ledger: &Ledger, tables: Tables<'_>) -> String {
    let empty = world.run_until(super::common::s(200), World::is_empty);
    let records = world.records();
    let counters = world.counters();
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
        text.push_str(&stories(world, book, tables));
    }
    world.finish();
    text
}

/// The first calls in which something is wrong, with their ladders.
fn stories(world: &World, book: &Book, tables: Tables<'_>) -> String {
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
        let table = tables.0.get(&version).map(Table::text).unwrap_or_default();
        text.push_str(&format!("version {version}, fallback {:?}:\n{table}", tables.1));
    }
    for (caller, _) in book.faults.iter().take(2) {
        let legs = book.calls.get(caller).into_iter().flat_map(|call| call.legs.iter().cloned());
        text.push_str(&world.trace_of(&legs.collect()));
        text.push_str(&story(book, caller));
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
            What::HandoffStarted(view) => {
                let call = book.by_baton.get(&view.call_id).cloned().unwrap_or_default();
                let twice = started.insert(view.id.clone(), (call.clone(), 0)).is_some();
                if twice {
                    book.fault(&call, format!("handoff {} begins twice", view.id));
                }
            }
            What::HandoffEnded { handoff, .. } => {
                started.entry(handoff.id.clone()).or_default().1 += 1;
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
    for (place, handoff) in call.handoffs.iter().enumerate() {
        let Some((_, view, _)) = &handoff.ended else { continue };
        let id = &view.id;
        let believed = |last: &AttemptView| {
            let table = tables.0.get(&view.table_version);
            table
                .and_then(|table| table.destinations.get(&last.destination))
                .is_some_and(|to| !to.accepted_only)
        };
        let taken =
            decisive(view).map_or(Ok(()), |(_, last)| takes_over(book, call, handoff, last, believed(last)));
        if let Err(why) = taken.and_then(|()| is_true(book, ledger, caller, handoff)) {
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

/// The attempt that a handoff ended with: the last one, unless an earlier one was told of late and has worked.
fn decisive(view: &HandoffView) -> Option<(usize, &AttemptView)> {
    let worked = |one: &AttemptView| {
        let told = one.final_status.is_some_and(|status| (200..300).contains(&status));
        told && one.cause.is_none() && one.refer_to.is_some()
    };
    let mut attempts = view.attempts.iter().enumerate();
    attempts.clone().find(|(_, one)| worked(one)).or_else(|| attempts.next_back())
}

/// Where the caller's side has taken a target over, neither leg got a BYE of Baton's before the target's own, two seconds at
/// most after the 2xx; and a 2xx that is not believed came with that BYE.
fn takes_over(
    book: &Book,
    call: &Call,
    handoff: &Handoff,
    last: &AttemptView,
    believed: bool,
) -> Result<(), String> {
    let Some((at, view, _)) = &handoff.ended else { return Ok(()) };
    let by_replaces = &*last.method == "attended" && last.refer_to.is_some();
    if !by_replaces || view.state != HandoffState::Succeeded || view.proof != Some(Proof::Proven) {
        return Ok(());
    }
    let (caller, target) = (book.by_baton.get(&view.call_id), last.sip_call_id.as_ref());
    // The REFER of a later try is named by the caller's dialog.
    let tried = decisive(view).map_or(0, |(place, _)| place + 1);
    let called =
        view.attempts.iter().take(tried).rev().filter_map(|one| book.legs.get(one.sip_call_id.as_ref()?));
    let target =
        target.and_then(|_| called.filter(|leg| leg.role == Role::Target).find(|leg| leg.answered.is_some()));
    let (Some(caller), Some(target)) = (caller.and_then(|id| book.legs.get(id)), target) else {
        return Ok(());
    };
    let window = Duration::from_secs(2);
    let near = |left: Time, told: Time| left.since(told) <= window && told.since(left) <= window;
    let mut told = caller.successes.iter().map(|(_, when)| *when).filter(|when| when <= at);
    if !believed && !told.clone().any(|told| target.left.is_some_and(|left| near(left, told))) {
        return Err("the target did not leave near the 2xx".to_owned());
    }
    let Some(first) = told.next() else { return Ok(()) };
    for leg in [caller, target] {
        let ours = leg.over.filter(|over| leg.left.is_none_or(|left| *over < left));
        let replaced = |over: Time| target.left.is_some_and(|left| left <= over) || target.forgotten;
        if ours.is_some_and(|over| over >= first && over < first + window && !replaced(over)) && !call.hung_up
        {
            return Err("a leg got a BYE before the replaced one had ended".to_owned());
        }
    }
    Ok(())
}

/// Whether an outcome is what really happened, as far as it was seen on the wire and the peers know it.
fn is_true(book: &Book, ledger: &Ledger, caller: &str, handoff: &Handoff) -> Result<(), String> {
    let Some((at, view, hurt)) = &handoff.ended else { return Ok(()) };
    let Some((_, last)) = decisive(view) else { return Ok(()) };
    let Some(leg) = book.legs.get(caller) else { return Ok(()) };
    let reported = |cseq: u32| ledger.reported.contains(&(caller.to_owned(), cseq));
    let told = || {
        let mut before = leg.successes.iter().filter(|(_, when)| when <= at);
        // One without a name is of the first REFER that the receiver took.
        before.any(|(cseq, _)| match cseq {
            Some(cseq) => reported(*cseq),
            None => leg.refers.iter().any(|(cseq, _)| reported(*cseq)),
        })
    };
    let answered = |leg: &&Leg| leg.role == Role::Target && leg.answered.is_some_and(|time| time <= *at);
    let called = view.attempts.iter().rev().filter_map(|one| book.legs.get(one.sip_call_id.as_ref()?));
    let target = called.filter(|leg| leg.role == Role::Target).find(answered);
    match (view.state, view.proof) {
        (HandoffState::Succeeded, Some(Proof::Reported)) => {
            told().then_some(()).ok_or_else(|| "nobody reported it".to_owned())
        }
        (HandoffState::Succeeded, Some(Proof::Proven)) => {
            let target = target.ok_or("there is no target")?;
            if &*last.method == "attended" && last.refer_to.is_some() {
                return told().then_some(()).ok_or_else(|| "nobody reported it".to_owned());
            }
            let met = |time: Option<baton::sip::Time>| time.is_some_and(|time| time <= *at);
            if !met(target.answered) || !met(target.acked) {
                return Err("the target did not answer".to_owned());
            }
            let joined = leg
                .reinvites
                .iter()
                .any(|one| met(one.accepted) && met(one.acked) && one.acked >= target.answered);
            let confirmed = leg.confirmed == Some(*at);
            (joined || confirmed).then_some(()).ok_or_else(|| "the caller did not get the target".to_owned())
        }
        (HandoffState::Succeeded, proof) => Err(format!("its proof is {proof:?}")),
        (HandoffState::HandedBack, _) => {
            let bye = leg.bye_answer.is_some_and(|status| status < 300);
            let refused = leg.refused.is_some_and(|(_, acknowledged)| acknowledged);
            (bye || refused).then_some(()).ok_or_else(|| "nobody took the call back".to_owned())
        }
        (HandoffState::Returned, _) => {
            if *hurt || handoff.caller_gone || !handoff.partner_at_end {
                let (gone, there) = (handoff.caller_gone, handoff.partner_at_end);
                return Err(format!("hurt {hurt}, caller gone {gone}, partner there {there}"));
            }
            Ok(())
        }
        (HandoffState::Abandoned, _) if *hurt => Err("the caller is said to be hurt".to_owned()),
        _ => Ok(()),
    }
}

//! Random handoffs: an engine between a PBX, agents and targets that do what they like, on a network that loses, doubles and
//! reorders, with tables that are drawn as well. Whatever happens, every handoff has exactly one outcome, no outcome says
//! more than what is known, no caller is left without a partner while an allowed next step is untried, the wire is sound,
//! and at the end nothing is left.
//!
//! `BATON_SIM_HANDOFFS=1000000` makes that many. A failure prints its seed; `BATON_SIM_SEED=<seed>` replays that one with
//! the ladders of the calls that it is about.

mod common;

#[path = "simulator/book.rs"]
#[allow(unreachable_pub)]
mod book;
#[path = "simulator/invariants.rs"]
#[allow(unreachable_pub)]
mod invariants;
#[path = "simulator/judge.rs"]
#[allow(unreachable_pub)]
mod judge;
#[path = "simulator/ladder.rs"]
#[allow(unreachable_pub)]
mod ladder;
#[path = "simulator/ledger.rs"]
#[allow(unreachable_pub)]
mod ledger;
#[path = "simulator/party/mod.rs"]
#[allow(unreachable_pub)]
mod party;
#[path = "simulator/races.rs"]
#[allow(unreachable_pub)]
mod races;
#[path = "simulator/session.rs"]
#[allow(unreachable_pub)]
mod session;
#[path = "simulator/tables.rs"]
#[allow(unreachable_pub)]
mod tables;
#[path = "simulator/ua.rs"]
#[allow(unreachable_pub)]
mod ua;
#[path = "simulator/watch.rs"]
#[allow(unreachable_pub)]
mod watch;
#[path = "simulator/world.rs"]
#[allow(unreachable_pub)]
mod world;

use common::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Outcome, run};

/// How many handoffs each of the two tests makes.
fn wanted() -> u64 {
    std::env::var("BATON_SIM_HANDOFFS").ok().and_then(|v| v.parse().ok()).unwrap_or(10_000) / 2
}

fn run_from(seeds: &str, mut next: impl FnMut() -> u64) {
    let mut all = Outcome::default();
    let mut worlds = 0;
    while all.handoffs < wanted() {
        let seed = next();
        worlds += 1;
        let how = format!("BATON_SIM_SEED={seed} cargo test --test simulator replay -- --nocapture");
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok(Ok(outcome)) => all.add(&outcome),
            Ok(Err(faults)) => panic!("seed {seed} fails; to see its ladder: {how}\n{faults}"),
            Err(panic) => {
                eprintln!("seed {seed} fails; to see its ladder: {how}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    let (handoffs, attempts, compared) = (all.handoffs, all.attempts, all.compared);
    println!(
        "{handoffs} handoffs with {attempts} attempts in {worlds} worlds, {seeds}\nends: {:?}\n{compared} pairs compared\nraces:\n{}",
        all.ends,
        all.races.table()
    );
    assert_eq!(all.races.missing(), [] as [&str; 0], "races that were never met");
}

#[test]
fn random_handoffs_of_fixed_seeds() {
    let mut seed = 0;
    run_from("seeds from 1 on", || {
        seed += 1;
        seed
    });
}

#[test]
fn random_handoffs_of_fresh_seeds() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let base = now.as_nanos() as u64;
    let mut seeds = Random(base);
    run_from(&format!("fresh seeds from {base}"), || seeds.bits());
}

#[test]
fn replay() {
    let Some(seed) = std::env::var("BATON_SIM_SEED").ok().and_then(|v| v.parse().ok()) else { return };
    match run(seed, true) {
        Ok(outcome) => println!("{} handoffs", outcome.handoffs),
        Err(faults) => panic!("{faults}"),
    }
}

#[test]
fn survey() {
    let Ok(range) = std::env::var("SURVEY") else { return };
    let (from, to) = range.split_once("..").unwrap();
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    let mut kinds: std::collections::BTreeMap<String, (usize, u64)> = Default::default();
    let mut all = Outcome::default();
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map(|l| l.to_string()).unwrap_or_default();
        LAST.with(|last| {
            *last.borrow_mut() = format!(
                "{at}: {}",
                info.payload()
                    .downcast_ref::<String>()
                    .cloned()
                    .or(info.payload().downcast_ref::<&str>().map(|s| s.to_string()))
                    .unwrap_or_default()
            )
        });
    }));
    for seed in from..to {
        let text = match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok(Ok(outcome)) => {
                all.add(&outcome);
                continue;
            }
            Ok(Err(faults)) => faults,
            Err(_) => LAST.with(|last| format!("panic {}", last.borrow())),
        };
        let line = text.lines().next().unwrap_or_default();
        let mut kind = String::new();
        let words: Vec<&str> = line.split_whitespace().collect();
        for word in words.iter().take(26) {
            let odd = word.starts_with("sim-")
                || word.starts_with("h-")
                || word.starts_with("b-")
                || word.starts_with("[\"b-");
            let word: String =
                if odd { "#".into() } else { word.chars().filter(|c| !c.is_ascii_digit()).collect() };
            kind.push_str(&word);
            kind.push(' ');
        }
        let entry = kinds.entry(kind).or_insert((0, seed));
        entry.0 += 1;
    }
    let mut list: Vec<_> = kinds.into_iter().collect();
    list.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for (kind, (count, seed)) in list {
        println!("{count:>5} seed {seed}: {kind}");
    }
    println!(
        "{} handoffs {} attempts {:?} compared {}\n{}",
        all.handoffs,
        all.attempts,
        all.ends,
        all.compared,
        all.races.table()
    );
}

thread_local! {
    static LAST: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

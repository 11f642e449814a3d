//! Random handoffs: an engine between a PBX, agents and targets that do what they like, on a network that loses, doubles and
//! reorders, with tables that are drawn as well. Whatever happens, every handoff has exactly one outcome, no outcome says
//! more than what is known and none is false where its caller truly is, no caller is left without a partner while an
//! allowed next step is untried, the wire is sound, and at the end nothing is left.
//!
//! `BATON_SIM_HANDOFFS=1000000` makes that many, `BATON_SIM_SECONDS=180` goes on for that long with the fixed seeds. A failure prints its seed;
//! `BATON_SIM_SEED=<seed>` replays that one with the ladders of the calls that it is about. `BATON_SIM_MODELS` names what
//! reality has beside that and is used ([`models`]).

mod common;

#[path = "simulator/book.rs"]
#[allow(unreachable_pub)]
mod book;
#[path = "simulator/houses.rs"]
#[allow(unreachable_pub)]
mod houses;
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
#[path = "simulator/loss.rs"]
#[allow(unreachable_pub)]
mod loss;
#[path = "simulator/models.rs"]
#[allow(unreachable_pub)]
mod models;
#[path = "simulator/network.rs"]
#[allow(unreachable_pub)]
mod network;
#[path = "simulator/pairs.rs"]
#[allow(unreachable_pub)]
mod pairs;
#[path = "simulator/party/mod.rs"]
#[allow(unreachable_pub)]
mod party;
#[path = "simulator/proxy/mod.rs"]
#[allow(unreachable_pub)]
mod proxy;
#[path = "simulator/races.rs"]
#[allow(unreachable_pub)]
mod races;
#[path = "simulator/refers.rs"]
#[allow(unreachable_pub)]
mod refers;
#[path = "simulator/session.rs"]
#[allow(unreachable_pub)]
mod session;
#[path = "simulator/tables.rs"]
#[allow(unreachable_pub)]
mod tables;
#[path = "simulator/truth.rs"]
#[allow(unreachable_pub)]
mod truth;
#[path = "simulator/ua.rs"]
#[allow(unreachable_pub)]
mod ua;
#[path = "simulator/watch.rs"]
#[allow(unreachable_pub)]
mod watch;
#[path = "simulator/whereabouts.rs"]
#[allow(unreachable_pub)]
mod whereabouts;
#[path = "simulator/world.rs"]
#[allow(unreachable_pub)]
mod world;

use common::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use world::{Outcome, run};

/// Among so many handoffs each race is met.
const ENOUGH: u64 = 50_000;

/// How many handoffs each of the two tests makes, and for how long at least.
struct Wanted {
    handoffs: u64,
    until: Option<Instant>,
}

impl Wanted {
    /// Of fresh seeds there are no more than what is asked for by number: the time is that of the fixed ones, so that
    /// whoever runs the same twice gets the same.
    fn told(fresh: bool) -> Wanted {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let seconds = number("BATON_SIM_SECONDS").map(Duration::from_secs);
        Wanted {
            handoffs: number("BATON_SIM_HANDOFFS").unwrap_or(10_000) / 2,
            until: seconds.filter(|_| !fresh).map(|time| Instant::now() + time),
        }
    }

    fn is_left(&self, made: u64) -> bool {
        made < self.handoffs || self.until.is_some_and(|until| Instant::now() < until)
    }
}

fn run_from(seeds: &str, fresh: bool, mut next: impl FnMut() -> u64) {
    let wanted = Wanted::told(fresh);
    let mut all = Outcome::default();
    let mut worlds = 0;
    while wanted.is_left(all.handoffs) {
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
    let (handoffs, attempts, compared, briefings) = (all.handoffs, all.attempts, all.compared, all.briefings);
    println!("{handoffs} handoffs with {attempts} attempts in {worlds} worlds, {seeds}");
    println!("ends: {:?}", all.ends);
    println!("{briefings} callers held while the agent spoke with the target");
    println!("{compared} times caller and partner were found to have each other's session");
    println!("races:\n{}", all.races.table());
    println!("models:\n{}", all.draws.table());
    if handoffs >= ENOUGH {
        assert_eq!(all.draws.missing(), [] as [&str; 0], "parts of models that were never met");
        assert_eq!(all.races.missing(), [] as [&str; 0], "races that were never met");
    }
}

#[test]
fn random_handoffs_of_fixed_seeds() {
    let mut seeds = 1..;
    run_from("seeds from 1 on", false, || seeds.next().unwrap_or_default());
}

#[test]
fn random_handoffs_of_fresh_seeds() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let base = now.as_nanos() as u64;
    let mut seeds = Random(base);
    run_from(&format!("fresh seeds from {base}"), true, || seeds.bits());
}

/// `BATON_SIM_SURVEY=1-4000`: each of those seeds is run, and those that fail are listed.
#[test]
fn survey() {
    let range = std::env::var("BATON_SIM_SURVEY").ok();
    let range = range.as_deref().and_then(|range| range.split_once('-'));
    let Some((from, to)) = range.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?))) else {
        return;
    };
    let mut failing = Vec::new();
    for seed in from..=to {
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok(Ok(_)) => {}
            Ok(Err(faults)) => {
                println!("seed {seed}: {}", faults.lines().next().unwrap_or_default());
                failing.push(seed);
            }
            Err(_) => failing.push(seed),
        }
    }
    println!("of the seeds {from} to {to} fail: {failing:?}");
}

#[test]
fn replay() {
    let Some(seed) = std::env::var("BATON_SIM_SEED").ok().and_then(|v| v.parse().ok()) else { return };
    match run(seed, true) {
        Ok(outcome) => println!("{} handoffs", outcome.handoffs),
        Err(faults) => panic!("{faults}"),
    }
}

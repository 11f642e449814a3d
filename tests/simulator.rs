//! Random handoffs: an engine between a PBX and an agent that do what they like, on a network that loses, doubles and
//! reorders. Whatever happens, every handoff has exactly one outcome, no outcome says more than what is known, the wire
//! is sound, and at the end nothing is left.
//!
//! `BATON_SIM_HANDOFFS=100000` makes more of them. A failure prints its seed; `BATON_SIM_SEED=<seed>` replays that one
//! with its ladder.

mod common;

#[path = "simulator/party.rs"]
#[allow(unreachable_pub)]
mod party;
#[path = "simulator/ua.rs"]
#[allow(unreachable_pub)]
mod ua;

use baton::call::event::What;
use common::config::Config;
use common::peer::{AGENT, PBX};
use common::random::Random;
use common::{Command, HandoffRequest, Link, World, ms, s};
use party::{House, Ledger, Party};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Calls of one world.
const CALLS: u64 = 30;

fn rough(random: &mut Random) -> Link {
    match random.below(4) {
        0 => Link::default(),
        1 => Link { delay: ms(10), jitter: ms(5), loss: 1, duplicates: 1 },
        2 => Link { delay: ms(30), jitter: ms(60), loss: 5, duplicates: 5 },
        _ => Link { delay: ms(100), jitter: ms(400), loss: 20, duplicates: 10 },
    }
}

/// One world of calls from beginning to end; how many handoffs it had.
fn run(seed: u64, keep_log: bool) -> usize {
    let mut random = Random(seed);

    let config = Config::default().max_duration(s(900));
    let world = World::seeded(&config, seed);
    world.keep_log(keep_log);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let pbx = Party::new(House::Pbx, PBX, seed ^ 1, Rc::clone(&ledger));
    let agent = Party::new(House::Agent, AGENT, seed ^ 2, Rc::clone(&ledger));
    let pbx = world.actor("pbx", PBX, Box::new(pbx));
    world.actor("agent", AGENT, Box::new(agent));
    let link = rough(&mut random);
    world.link(link, link);
    for _ in 0..CALLS {
        world.alarm(&pbx, ms(random.below(60_000)), Party::CALL);
    }
    let handoffs = decide(&world, &mut random);
    // All that the parties still do, they do within this time.
    world.advance(s(1_000));
    check(&world, &ledger.borrow());
    handoffs
}

/// Decisions by HTTP at random, while calls are up.
fn decide(world: &World, random: &mut Random) -> usize {
    let mut serial = 1;
    for _ in 0..120 {
        world.advance(ms(random.below(3_000)));
        let common::Reply::Calls(calls) = world.command(Command::List { after: None, limit: 100 }) else {
            panic!("a list is a list")
        };
        let Some(call) = calls.get(random.below(calls.len().max(1) as u64) as usize) else { continue };
        let destinations =
            ["front-desk", "front-desk", "hangup-on-failure", "bye-on-failure", "by-cause", "back"];
        match random.below(40) {
            0 => {
                world.command(Command::HangUp { call: call.id.clone() });
            }
            1 | 2 => {
                if let Some(handoff) = call.handoffs.last() {
                    world.command(Command::CancelHandoff { handoff: handoff.clone() });
                }
            }
            3 => {
                serial += 1;
                world.reload(&Config::default().serial(serial));
            }
            _ => {
                let destination = Some(random.pick(&destinations).to_owned());
                let request = Box::new(HandoffRequest { destination, ..Default::default() });
                world.command(Command::Handoff { call: call.id.clone(), request });
            }
        }
    }
    world.advance(s(500));
    world.events().iter().filter(|e| matches!(e, What::HandoffStarted(_))).count()
}

fn check(world: &World, ledger: &Ledger) {
    let events = world.events();
    let records = world.records();
    let left = || (world.counters(), world.command(Command::List { after: None, limit: 100 }));
    assert!(world.run_until(s(200), World::is_empty), "something is left: {:#?}", left());
    let counters = world.counters();
    assert_eq!(
        (counters.calls_live, counters.handoffs_live, counters.deadlines, counters.faults),
        (0, 0, 0, 0)
    );
    assert_eq!(counters.calls_started, counters.calls_ended);
    assert_eq!(counters.calls_started as usize, records.len(), "one record for each call");
    let mut started: Vec<String> = Vec::new();
    let mut ended: Vec<String> = Vec::new();
    for event in &events {
        match event {
            What::HandoffStarted(view) => started.push(view.id.clone()),
            What::HandoffEnded { handoff, .. } => {
                ended.push(handoff.id.clone());
                honest(handoff, ledger);
            }
            _ => {}
        }
    }
    started.sort();
    ended.sort();
    assert_eq!(started, ended, "every handoff ends exactly once");
    let faults = world.check_wire(&records);
    assert!(faults.is_empty(), "the wire checker:\n{}", faults.join("\n"));
    world.finish();
}

/// Nobody is told that a handoff worked when it is not known to have worked.
fn honest(handoff: &baton::call::record::HandoffView, ledger: &Ledger) {
    let Some(last) = handoff.attempts.last() else { return };
    let Some(leg) = last.sip_call_id.as_deref() else { return };
    let known = match (handoff.state.as_str(), &*last.method) {
        ("succeeded", "refer") => ledger.reported.contains(leg),
        ("succeeded", "invite") => ledger.targets.contains(leg),
        ("handed_back", "bye") if last.status == Some(200) => ledger.byes.contains(leg),
        _ => true,
    };
    assert!(known, "told to have worked, but it did not: {handoff:#?}");
    let cause = handoff.cause.is_some();
    let fine = matches!(handoff.state.as_str(), "succeeded" | "handed_back" | "cancelled" | "abandoned");
    assert!(cause || fine, "no cause: {handoff:#?}");
    assert!(handoff.ended_at.is_some() && handoff.state.is_final(), "{handoff:#?}");
}

/// How many handoffs each of the two tests makes.
fn wanted() -> usize {
    std::env::var("BATON_SIM_HANDOFFS").ok().and_then(|v| v.parse().ok()).unwrap_or(10_000) / 2
}

fn run_from(mut next: impl FnMut() -> u64) {
    let (mut handoffs, mut worlds) = (0, 0);
    while handoffs < wanted() {
        let seed = next();
        worlds += 1;
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok(made) => handoffs += made,
            Err(panic) => {
                eprintln!(
                    "seed {seed} fails; to see its ladder:\n  BATON_SIM_SEED={seed} cargo test --test simulator replay -- --nocapture"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{handoffs} handoffs in {worlds} worlds");
}

#[test]
fn random_handoffs_of_fixed_seeds() {
    let mut seed = 0;
    run_from(|| {
        seed += 1;
        seed
    });
}

#[test]
fn random_handoffs_of_fresh_seeds() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let mut seeds = Random(now.as_nanos() as u64);
    run_from(|| seeds.bits());
}

#[test]
fn replay() {
    let Some(seed) = std::env::var("BATON_SIM_SEED").ok().and_then(|v| v.parse().ok()) else { return };
    println!("{} handoffs", run(seed, true));
}

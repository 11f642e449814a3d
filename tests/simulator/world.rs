//! One world: an engine, its houses, a rough network, and somebody who decides; all drawn from one seed.

use super::common::config::Config;
use super::common::random::Random;
use super::common::{Command, HandoffRequest, Link, Name, Reply, World, ms, s};
use super::houses::{self, Shared};
use super::invariants::{self, Tables};
use super::ledger::Ledger;
use super::models::{Draw, Draws, Model, Models};
use super::races::Races;
use super::tables::Table;
use super::watch::{Door, Watch};
use baton::call::event::EventKind;
use baton::call::record::CallState;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Decisions from outside.
const DECISIONS: u64 = 130;
/// Engines of a world in which several share the calls.
pub const SHARDS: u64 = 4;

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub handoffs: u64,
    pub attempts: u64,
    pub compared: u64,
    pub briefings: u64,
    pub races: Races,
    pub draws: Draws,
    /// How the handoffs ended.
    pub ends: BTreeMap<&'static str, u64>,
}

impl Outcome {
    pub fn add(&mut self, other: &Outcome) {
        self.handoffs += other.handoffs;
        self.attempts += other.attempts;
        self.compared += other.compared;
        self.briefings += other.briefings;
        self.races.add(&other.races);
        self.draws.add(&other.draws);
        for (end, count) in &other.ends {
            *self.ends.entry(end).or_default() += count;
        }
    }
}

/// Somebody who decides from outside, and the tables that there are.
struct Desk {
    random: Random,
    config: Config,
    tables: BTreeMap<u64, Table>,
    serial: u64,
    names: Rc<RefCell<Vec<String>>>,
    /// The engine stands still now and then.
    rests: bool,
    ledger: Rc<RefCell<Ledger>>,
    watch: Rc<RefCell<Watch>>,
}

fn rough(random: &mut Random) -> Link {
    match random.below(5) {
        0 => Link::default(),
        1 => Link { delay: ms(10), jitter: ms(5), loss: 1, duplicates: 1 },
        2 => Link { delay: ms(30), jitter: ms(60), loss: 5, duplicates: 5 },
        3 => Link { delay: ms(100), jitter: ms(100), loss: 2, duplicates: 2 },
        _ => Link { delay: ms(100), jitter: ms(400), loss: 20, duplicates: 10 },
    }
}

/// What `slow.example.com` stands for: one that is slow, and perhaps another one beside it.
fn addresses(seed: u64, models: &Models) -> &'static [&'static str] {
    match (models.has(Model::Network), seed % 4) {
        (false, _) | (true, 0) => &["10.0.0.32"],
        (true, 1) => &["10.0.0.33", "10.0.0.32"],
        (true, 2) => &["10.0.0.32", "10.0.0.33"],
        (true, _) => &["10.0.0.32", "10.0.0.30"],
    }
}

/// The configuration of a world, without its table.
fn config(random: &mut Random, tcp: bool, careful: bool) -> (Config, Option<String>) {
    let mut config = Config::default()
        .max_duration(s(900))
        .agent_addresses(&["sip:booking@10.0.0.80:5080", "sip:booking@10.0.0.81:5080"])
        .agent_source("10.0.0.80/31")
        .agent_key("answer_timeout = \"8s\"")
        .agent_key("may_route = [\"sip:*@10.0.0.30\", \"+1415\"]");
    if tcp {
        config = config.pbx_address("sip:10.0.0.5:5060;transport=tcp");
    }
    if careful {
        config = config.trunk_key("notify_200 = \"accepted\"");
    }
    let fallback = random.chance(60).then(|| format!("d{}", random.below(9)));
    if let Some(fallback) = &fallback {
        config = config.agent_key(&format!("fallback = \"{fallback}\""));
    }
    if random.chance(20) {
        config = config.agent_key("max_calls = 8");
    }
    if random.chance(15) {
        config = config.trunk_key("unanswered = \"redirect\"");
    }
    (config, fallback)
}

/// A world from beginning to end; or what was wrong in it.
pub fn run(seed: u64, keep_log: bool) -> Result<Outcome, String> {
    let mut random = Random(seed);
    let models = Models::draw(seed);
    let tcp = random.chance(20);
    let careful = models.has(Model::Unheard) && seed.is_multiple_of(2);
    let (config, fallback) = config(&mut random, tcp, careful);
    let table = Table::draw(&mut random);
    let first = config.clone().table_text(&table.text());
    let world = World::sharded(&first, seed, if models.has(Model::Shards) { SHARDS } else { 1 });
    world.keep_log(keep_log);
    let address = |ip: &&str| ip.parse().expect("an address");
    for (name, ips, after) in [
        ("slow.example.com", addresses(seed, &models), 100 + random.below(3_000)),
        ("pbx.example.com", &["10.0.0.5"], 5),
    ] {
        world.name(name, Name::Known(ips.iter().map(address).collect(), ms(after)));
    }
    world.name("gone.example.com", Name::Failing(ms(random.below(2_000))));
    // By `may_route`.
    world.allow("10.0.0.30:5060");
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let watch = Rc::new(RefCell::new(Watch::new(Rc::clone(&ledger), models.clone())));
    world.tap(Box::new(Door(Rc::clone(&watch))));
    let names = Rc::new(RefCell::new(table.names()));
    let shared = Shared { ledger: Rc::clone(&ledger), names: Rc::clone(&names) };
    houses::build(&world, &mut random, (tcp, careful), &models, &shared);
    let link = rough(&mut random);
    world.link(link, link);
    let mut desk = Desk {
        random,
        config,
        tables: BTreeMap::from([(1, table)]),
        serial: 1,
        names,
        rests: models.has(Model::Standstill),
        ledger: Rc::clone(&ledger),
        watch: Rc::clone(&watch),
    };
    desk.decide(&world);
    if desk.random.chance(15) {
        world.drain(ms(desk.random.below(60_000)));
    }
    // All that the parties still do, they do within this time.
    world.advance(s(1_400));
    let fallback = fallback.as_deref();
    let tables = Tables { versions: &desk.tables, fallback, models: &models, careful, stood: &[] };
    let faults = invariants::check(&world, &mut watch.borrow_mut(), &ledger.borrow(), tables);
    if faults.is_empty() { Ok(outcome(&world, &watch.borrow(), &ledger.borrow())) } else { Err(faults) }
}

impl Desk {
    /// Decisions by HTTP at random, while calls are up.
    fn decide(&mut self, world: &World) {
        for _ in 0..DECISIONS {
            world.advance(ms(self.random.below(3_000)));
            if self.rests && self.random.chance(6) {
                self.stand_still(world);
            }
            let Reply::Calls(calls) = world.command(Command::List { after: None, limit: 100 }) else {
                panic!("a list is a list")
            };
            // Who only talks is waiting for it.
            let talking: Vec<_> = calls.iter().filter(|call| call.state == CallState::Talking).collect();
            let from =
                if talking.is_empty() || self.random.chance(20) { calls.iter().collect() } else { talking };
            let Some(call) = from.get(self.random.below(from.len().max(1) as u64) as usize) else { continue };
            match self.random.below(64) {
                0 => {
                    self.watch.borrow_mut().hung_up(&call.id);
                    world.command(Command::HangUp { call: call.id.clone() });
                }
                1..=4 => {
                    if let Some(handoff) = call.handoffs.last() {
                        world.command(Command::CancelHandoff { handoff: handoff.to_string() });
                    }
                }
                5..=8 => {
                    if let Some(handoff) = call.handoffs.last() {
                        world.command(Command::CompleteHandoff { handoff: handoff.to_string() });
                    }
                }
                9 => self.reload(world),
                _ => {
                    let request = Box::new(self.request());
                    world.command(Command::Handoff { call: call.id.clone(), request });
                    if self.random.chance(5) {
                        world.advance(ms(self.random.below(50)));
                        self.reload(world);
                    }
                }
            }
        }
        world.advance(s(500));
    }

    /// The engine's process stands still, the peers go on, and then it finds everything waiting.
    fn stand_still(&mut self, world: &World) {
        let most = self.random.pick(&[700, 3_000, 3_000, 12_000, 50_000]);
        let time = ms(100 + self.random.below(most));
        self.watch.borrow_mut().stood.push((world.now(), time));
        let before = self.watch.borrow().read;
        world.stand();
        world.advance(time);
        world.go_on();
        self.ledger.borrow_mut().met(Draw::StoodStill);
        if self.watch.borrow().read > before {
            self.ledger.borrow_mut().met(Draw::FoundWaiting);
        }
    }

    fn request(&mut self) -> HandoffRequest {
        let destination = Some(format!("d{}", self.random.below(9)));
        let method = match self.random.below(20) {
            0 => Some("refer"),
            1 => Some("invite"),
            2 => Some("attended"),
            3 => Some("bye"),
            _ => None,
        };
        let route = match self.random.below(30) {
            0 => Some("sip:special@10.0.0.30"),
            1 => Some("+14155550199"),
            _ => None,
        };
        HandoffRequest {
            destination,
            method: method.map(str::to_owned),
            route: route.map(str::to_owned),
            ..HandoffRequest::default()
        }
    }

    fn reload(&mut self, world: &World) {
        self.serial += 1;
        let table = Table::draw(&mut self.random);
        world.reload(&self.config.clone().table_text(&table.text()).serial(self.serial));
        *self.names.borrow_mut() = table.names();
        self.tables.insert(self.serial, table);
    }
}

fn outcome(world: &World, watch: &Watch, ledger: &Ledger) -> Outcome {
    let mut outcome = Outcome {
        races: watch.races.clone(),
        draws: ledger.draws.clone(),
        compared: watch.compared,
        briefings: watch.briefings,
        ..Outcome::default()
    };
    for event in world.events() {
        match event {
            EventKind::HandoffStarted(_) => outcome.handoffs += 1,
            EventKind::HandoffEnded { handoff, .. } => {
                outcome.attempts += handoff.attempts.len() as u64;
                *outcome.ends.entry(handoff.state.as_str()).or_default() += 1;
            }
            _ => {}
        }
    }
    outcome
}

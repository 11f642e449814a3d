//! The houses of a world: who stands at which address, how it is disposed, and what stands before it.

use super::common::random::Random;
use super::common::{Door, World, ms};
use super::ledger::Ledger;
use super::models::{Draw, Model, Models};
use super::party::{House, Manners, Mood, Party};
use super::proxy::{Habits, Proxy};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

/// Calls of one world.
const CALLS: u64 = 30;
/// As they call themselves.
const ASTERISKS: [&str; 4] =
    ["Asterisk PBX 22.10.1", "Asterisk PBX 18.9-cert5", "FPBX-17.0.19(22.3.0)", "FPBX-16.0.40(18.19.0)"];
const MUTE: [&[&str]; 5] =
    [&["OPTIONS"], &["INFO"], &["UPDATE"], &["OPTIONS", "INFO"], &["OPTIONS", "INFO", "UPDATE"]];

/// What the houses of a world share.
pub struct Shared {
    pub ledger: Rc<RefCell<Ledger>>,
    /// Destinations that are named.
    pub names: Rc<RefCell<Vec<String>>>,
}

fn mood(random: &mut Random, house: House) -> Mood {
    let refuses = match house {
        House::Agent => random.pick(&[5, 15, 30]),
        House::Pbx | House::Target => random.pick(&[20, 50, 80]),
    };
    Mood {
        refuses,
        contrary: random.pick(&[0, 10, 30]),
        deaf: random.pick(&[0, 1, 3]),
        challenges: random.pick(&[0, 5, 15]),
        restless: random.pick(&[10, 30, 60]),
        fickle: random.pick(&[5, 20, 40]),
    }
}

fn manners(random: &mut Random, house: House, models: &Models, careful: bool) -> Manners {
    let pbx = house == House::Pbx;
    let mut manners = Manners::default();
    if pbx && models.has(Model::Asterisk) {
        manners.asterisk = Some(random.pick(&ASTERISKS));
    }
    manners.nameless = pbx && models.has(Model::Nameless);
    if models.has(Model::Mute) && random.chance(60) {
        manners.mute = random.pick(&MUTE);
    }
    if pbx && models.has(Model::Mute) {
        manners.mortal = random.pick(&[0, 5]);
    }
    if models.has(Model::Bare) && manners.asterisk.is_none() {
        manners.bare = random.pick(&[0, 3, 15]);
        manners.untyped = random.pick(&[0, 20, 100]);
    }
    if models.has(Model::Careless) {
        manners.careless = Random(random.0 ^ 0x6361_7265).pick(&[5, 25]);
    }
    if pbx && models.has(Model::Unheard) {
        manners.unheard = random.pick(&[20, 50]);
        manners.lies = careful;
    }
    manners
}

/// All houses; `tcp`: the PBX is reached by stream; `careful`: Baton has been told that the PBX's 200 proves nothing.
pub fn build(
    world: &World,
    random: &mut Random,
    (tcp, careful): (bool, bool),
    models: &Models,
    shared: &Shared,
) {
    let mut own = Random(random.0 ^ 0x686f_7573_6573);
    let all = [
        (House::Pbx, "pbx", "10.0.0.5:5060"),
        (House::Agent, "agent", "10.0.0.80:5080"),
        (House::Agent, "second", "10.0.0.81:5080"),
        (House::Target, "desk", "10.0.0.30:5060"),
        (House::Target, "mobile", "10.0.0.31:5060"),
        (House::Target, "slow", "10.0.0.32:5060"),
        (House::Target, "dead", "10.0.0.33:5060"),
    ];
    for (house, name, address) in all {
        let stream = tcp && house == House::Pbx;
        let mood = mood(random, house);
        let seed = random.bits();
        let manners = manners(&mut own, house, models, careful);
        let party = |at: &str, seed: u64| {
            let (ledger, names) = (Rc::clone(&shared.ledger), Rc::clone(&shared.names));
            Party::new(house, (name, at, stream), (seed, mood), ledger, names).mannered(manners.clone())
        };
        let often = if house == House::Agent { 40 } else { 70 };
        let proxied = models.has(Model::Proxy) && !stream && name != "dead" && own.chance(often);
        let door = if stream { format!("tcp:{address}") } else { address.to_owned() };
        let peer = if proxied {
            let several = if house == House::Target { own.pick(&[1, 2, 3]) } else { 1 };
            let behind = (1..=several).map(|net| {
                let at = address.replacen("10.0.0.", &format!("10.{net}.0."), 1);
                let inner: SocketAddr = at.parse().expect("an address");
                (inner, party(&at, seed.wrapping_add(net)))
            });
            let behind = behind.collect();
            let habits = habits(&mut own);
            let at = address.parse().expect("an address");
            let proxy = Proxy::new(at, behind, own.bits(), habits, Rc::clone(&shared.ledger));
            world.actor(name, &door, Box::new(proxy))
        } else {
            world.actor(name, &door, Box::new(party(address, seed)))
        };
        let closed = models.has(Model::Network).then(|| closed(&mut own, name)).flatten();
        peer.is_dead(name == "dead" && closed.is_none());
        if let Some((door, draw)) = closed {
            peer.door(door);
            let at = address.parse().expect("an address");
            shared.ledger.borrow_mut().closed.insert(at, draw);
        }
        if house != House::Pbx {
            continue;
        }
        for _ in 0..CALLS {
            world.alarm(&peer, ms(random.below(90_000)), Party::CALL);
        }
        if stream {
            for _ in 0..1 + random.below(4) {
                world.alarm(&peer, ms(random.below(200_000)), Party::BREAK);
            }
        }
    }
}

/// Whether a house can be reached: the dead one never, and the agent's second address now and then.
fn closed(random: &mut Random, name: &str) -> Option<(Door, Draw)> {
    let often = match name {
        "dead" => 100,
        "second" => 30,
        _ => 0,
    };
    let doors = [(Door::Swallowing, Draw::Swallowed), (Door::Refusing, Draw::PortUnreachable)];
    (often > 0 && random.chance(often)).then(|| doors[random.below(2) as usize])
}

fn habits(random: &mut Random) -> Habits {
    Habits {
        trouble: random.pick(&[0, 2, 6]),
        refers: random.pick(&[0, 10, 30]),
        refuses: random.pick(&[0, 3, 10]),
    }
}

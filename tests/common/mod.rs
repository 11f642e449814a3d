//! The World: one engine or several that share the calls, a virtual clock, a seeded lossy link, scripted peers that know nothing of the product, and an
//! independent checker on the wire. Nothing here sleeps, and nothing touches a socket.
//!
//! A scenario is a trace: `pbx.invite(…)`, `agent.expect("INVITE")`, `leg.answer(…)` and so on, and ends with
//! [`World::assert_empty`]. When it fails, the ladder of all messages is printed (`BATON_TRACE=full`: the messages
//! themselves as well).
// Each test crate uses its own part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]
// `to_baton` and `from_baton` are ways, not conversions.
#![allow(clippy::wrong_self_convention)]

pub mod checker;
pub mod config;
pub mod digest;
pub mod leg;
pub mod message;
mod network;
pub mod peer;
pub mod random;
mod shards;

pub use baton::call::command::{Command, HandoffRequest, Refusal, Reply};
use baton::call::engine::{Engine, Input, Output, Settings};
use baton::call::event::{Event, EventKind};
use baton::call::record::{CallRecord, CallView, HandoffView, Stamp};
use baton::daemon::lines::line_of;
use baton::observe::line::Style;
use baton::sip::{Flow, Now, Pace, Time, Transport, UnixMillis};
use checker::Checker;
use config::Config;
use message::Message;
use network::{Due, Entry, Held, Inner, Post, Scheduled};
use peer::Peer;
use random::Random;
use shards::Shards;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// One second.
pub const SECOND: Duration = Duration::from_secs(1);
/// 64·T1.
pub const T1X64: Duration = Duration::from_secs(32);

/// That many milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// That many seconds.
pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How one direction of the network treats a packet. All zero: at once, in order, none lost. Streams neither lose,
/// duplicate nor reorder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// On the way at least this long.
    pub delay: Duration,
    /// And up to this much longer, at random: reorders.
    pub jitter: Duration,
    /// Of 100 packets.
    pub loss: u64,
    /// Of 100 packets, sent twice.
    pub duplicates: u64,
}

/// Where a message is: on the tap between Baton and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To Baton.
    In,
    /// From Baton.
    Out,
}

/// Where on its way a message was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// It leaves a peer.
    PeerSends,
    /// It reaches Baton.
    Reaches,
    /// It leaves Baton.
    Leaves,
    /// It reaches a peer.
    PeerGets,
    /// No copy of what a peer sent arrives.
    LostToBaton,
    /// No copy of what Baton sent arrives.
    LostToPeer,
}

/// Who listens to all that happens, in the order of time.
pub trait Tap {
    /// A message at one point of its way.
    fn see(&mut self, at: Time, point: Point, peer: SocketAddr, message: &Rc<Message>);
    /// Something that Baton tells.
    fn told(&mut self, at: Time, event: &Event);
    /// Baton decides by these tables from now on.
    fn adopted(&mut self, at: Time, serial: u64);
    /// The stream to that peer breaks.
    fn broken(&mut self, at: Time, peer: SocketAddr);
}

/// A peer that acts by itself (the simulator's), called when a message or one of its alarms reaches it.
pub trait Actor {
    /// A message for it.
    fn message(&mut self, at: Time, message: &Message, out: &mut Vec<Action>);
    /// An alarm that it has set.
    fn alarm(&mut self, at: Time, alarm: u64, out: &mut Vec<Action>);
}

/// What an actor wants.
pub enum Action {
    /// Send this.
    Send(String),
    /// Call `alarm` with this number later.
    Alarm(Duration, u64),
    /// Call the `alarm` of another actor with this number later.
    Poke(SocketAddr, Duration, u64),
    /// Break the stream to Baton.
    Break,
}

/// What becomes of datagrams to an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// They arrive.
    #[default]
    Open,
    /// Nothing listens there: its host says so (ICMP port unreachable).
    Refusing,
    /// Something on the way swallows them, and says nothing.
    Swallowing,
}

/// How a host name answers.
#[derive(Clone, Debug)]
pub enum Name {
    /// With these addresses, after a while.
    Known(Vec<IpAddr>, Duration),
    /// That it does not exist, after a while.
    Failing(Duration),
}

/// The shared handle; peers hold clones.
#[derive(Clone)]
pub struct World(pub(crate) Rc<RefCell<Inner>>);

/// Baton's addresses: UDP and TCP on each.
pub const BATON: &str = "192.0.2.10:5060";
/// Over IPv6.
pub const BATON6: &str = "[2001:db8::10]:5060";

impl World {
    /// A world with the usual trunk and agents ([`Config::default`]).
    pub fn new() -> World {
        World::with(&Config::default())
    }

    /// A world with this configuration.
    pub fn with(config: &Config) -> World {
        World::seeded(config, 1)
    }

    /// A world whose randomness, Baton's included, comes from `seed`. `BATON_WORLD_SHARDS` says how many engines share its calls;
    /// default: 1.
    pub fn seeded(config: &Config, seed: u64) -> World {
        let shards = std::env::var("BATON_WORLD_SHARDS").ok();
        let shards = shards.filter(|_| !config.one_engine);
        let shards = shards.map_or(1, |count| count.parse().expect("BATON_WORLD_SHARDS is a number"));
        World::sharded(config, seed, shards)
    }

    /// The same with so many engines that share its calls.
    pub fn sharded(config: &Config, seed: u64, shards: u64) -> World {
        // A wall clock to read in logs: 2026-03-02 09:00 UTC. The other clock begins anywhere but at zero.
        let now = Now { mono: Time(1_000_000), wall: UnixMillis(1_772_442_000_000) };
        let mut checker = Checker::new();
        for address in config.addresses() {
            checker.allow(address);
        }
        let first = config.settings(seed);
        let (key, occupancy, announced) = (first.slot_key, first.occupancy.clone(), first.announced.clone());
        let others = (1..shards).map(|shard| {
            let settings = config.settings(seed ^ shard << 56);
            Engine::new(
                now,
                Settings { occupancy: occupancy.clone(), announced: announced.clone(), ..settings },
            )
        });
        let engines = std::iter::once(Engine::new(now, first)).chain(others).collect();
        let inner = Inner {
            shards: Shards::new(engines, key),
            now,
            pace: Pace::start(now.mono),
            held: None,
            queue: BinaryHeap::new(),
            order: 0,
            random: Random(seed),
            to_baton: Link::default(),
            from_baton: Link::default(),
            posts: BTreeMap::new(),
            names: BTreeMap::new(),
            log: Vec::new(),
            keep_log: true,
            events: Vec::new(),
            replies: BTreeMap::new(),
            next_command: 1,
            next_connection: 1,
            adopted: Vec::new(),
            checker,
            tap: None,
            finished: false,
            lossy: false,
            at_once: (Time(0), 0),
            nowhere: Vec::new(),
            waiting: BTreeMap::new(),
        };
        let world = World(Rc::new(RefCell::new(inner)));
        world.0.borrow_mut().drain();
        world
    }

    /// A peer at `address`: `10.0.0.5:5060` or `tcp:10.0.0.5:5060`.
    pub fn peer(&self, name: &str, address: &str) -> Peer {
        let (tcp, at) = match address.strip_prefix("tcp:") {
            Some(rest) => (true, rest),
            None => (false, address),
        };
        let address: SocketAddr = at.parse().expect("a socket address");
        let mut inner = self.0.borrow_mut();
        let number = inner.posts.len() as u64 + 1;
        let connection = if tcp { inner.new_connection() } else { 0 };
        let post = Post {
            name: name.to_owned(),
            inbox: VecDeque::new(),
            seen: BTreeSet::new(),
            retransmissions: 0,
            options: None,
            actor: None,
            dead: false,
            door: Door::Open,
            connects: Duration::ZERO,
            connection,
            number,
        };
        inner.posts.insert((tcp, address), post);
        Peer { world: self.clone(), name: name.to_owned(), tcp, address }
    }

    /// The link of both directions from now on.
    pub fn link(&self, to_baton: Link, from_baton: Link) {
        let mut inner = self.0.borrow_mut();
        inner.lossy = to_baton.loss + from_baton.loss + to_baton.duplicates + from_baton.duplicates > 0
            || !to_baton.jitter.is_zero()
            || !from_baton.jitter.is_zero();
        inner.to_baton = to_baton;
        inner.from_baton = from_baton;
    }

    /// Whether all messages are kept for the trace (they are, unless switched off for speed).
    pub fn keep_log(&self, keep: bool) {
        self.0.borrow_mut().keep_log = keep;
    }

    /// One more address that packets may go to.
    pub fn allow(&self, address: &str) {
        self.0.borrow_mut().checker.allow(address.parse().expect("a socket address"));
    }

    /// Somebody who listens.
    pub fn tap(&self, tap: Box<dyn Tap>) {
        self.0.borrow_mut().tap = Some(tap);
    }

    /// What a host name resolves to.
    pub fn name(&self, host: &str, answer: Name) {
        let mut inner = self.0.borrow_mut();
        if let Name::Known(ips, _) = &answer {
            for ip in ips {
                inner.checker.allow_host(*ip);
            }
        }
        inner.names.insert(host.to_owned(), answer);
    }

    /// Baton's process stands still from now on (SIGSTOP, a frozen container, a slow host): nothing is read and no timer
    /// runs. What the peers send meanwhile waits for [`World::go_on`].
    pub fn stand(&self) {
        let mut inner = self.0.borrow_mut();
        assert!(inner.held.is_none(), "it stands still already");
        let (now, until) = (inner.now.mono, inner.shards.idle_until());
        // Until now it was on time.
        while let next = inner.pace.plan(None)
            && next < now
        {
            inner.pace.read(next);
        }
        inner.pace.read(now);
        inner.pace.plan(until);
        inner.held = Some(VecDeque::new());
    }

    /// The process goes on, as a shard does it: a standstill is left out of the engine's time, the engine is told of it, and
    /// then all that has arrived is read before any timer.
    pub fn go_on(&self) {
        let mut inner = self.0.borrow_mut();
        let held = inner.held.take().expect("it stands still");
        let now = inner.now.mono;
        let (_, gap) = inner.pace.read(now);
        if let Some(gap) = gap {
            inner.checker.stood(gap.0);
            inner.handle(Input::StoodStill(gap));
        }
        for one in held {
            inner.hand_in(one);
        }
    }

    /// The process stands still for that long, while the peers go on.
    pub fn stand_still(&self, time: Duration) {
        self.stand();
        self.advance(time);
        self.go_on();
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.0.borrow().now.mono
    }

    /// Does all that is due now.
    pub fn settle(&self) {
        let mut inner = self.0.borrow_mut();
        let now = inner.now.mono;
        while inner.step_until(Some(now)) {}
    }

    /// Lets that much time pass, doing everything that falls due.
    pub fn advance(&self, time: Duration) {
        let mut inner = self.0.borrow_mut();
        let end = inner.now.mono + time;
        while inner.step_until(Some(end)) {}
        inner.set_time(end);
    }

    /// Goes on until `condition` holds; false when `within` has passed first.
    pub fn run_until(&self, within: Duration, mut condition: impl FnMut(&World) -> bool) -> bool {
        let end = self.now() + within;
        loop {
            if condition(self) {
                return true;
            }
            if !self.0.borrow_mut().step_until(Some(end)) {
                self.0.borrow_mut().set_time(end);
                return condition(self);
            }
        }
    }

    // -- commands, as the HTTP side gives them

    /// One command and its reply.
    #[track_caller]
    pub fn command(&self, command: Command) -> Reply {
        let id = self.ask(command);
        self.reply(id).expect("a command is replied to at once")
    }

    /// A command whose reply may take its time.
    pub fn ask(&self, command: Command) -> u64 {
        self.settle();
        let mut inner = self.0.borrow_mut();
        let id = inner.next_command;
        inner.next_command += 1;
        inner.handle(Input::Command { id, command });
        id
    }

    /// The reply to a command, once it is there.
    pub fn reply(&self, id: u64) -> Option<Reply> {
        self.0.borrow_mut().replies.remove(&id)
    }

    /// `POST /v1/calls/{id}/handoff` for the latest call.
    #[track_caller]
    pub fn handoff(&self, destination: &str) -> HandoffView {
        self.handoff_with(HandoffRequest { destination: Some(destination.to_owned()), ..Default::default() })
    }

    /// The same with everything that may be given.
    #[track_caller]
    pub fn handoff_with(&self, request: HandoffRequest) -> HandoffView {
        match self.try_handoff(request) {
            Ok(view) => view,
            Err(refusal) => panic!("the handoff was refused: {refusal:?}"),
        }
    }

    /// The same where a refusal is expected or possible.
    #[track_caller]
    pub fn try_handoff(&self, request: HandoffRequest) -> Result<HandoffView, Refusal> {
        match self.command(Command::Handoff { call: self.call_id(), request: Box::new(request) }) {
            Reply::Handoff(view) => Ok(Arc::unwrap_or_clone(view)),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// The id of the call that was admitted last.
    #[track_caller]
    pub fn call_id(&self) -> String {
        self.settle();
        let inner = self.0.borrow();
        let started = inner.events.iter().rev().find_map(|e| match &e.what {
            EventKind::CallStarted(call) => Some(call.id.clone()),
            _ => None,
        });
        started.expect("a call was admitted")
    }

    /// The latest call as the API shows it.
    #[track_caller]
    pub fn call(&self) -> CallView {
        match self.command(Command::ShowCall { call: self.call_id() }) {
            Reply::Call(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    /// Counters.
    pub fn counters(&self) -> baton::call::counters::Counters {
        match self.command(Command::Count) {
            Reply::Counters(counters) => *counters,
            other => panic!("{other:?}"),
        }
    }

    /// New tables.
    pub fn reload(&self, config: &Config) {
        self.settle();
        let mut inner = self.0.borrow_mut();
        for address in config.addresses() {
            inner.checker.allow(address);
        }
        let tables = config.tables();
        let serial = tables.serial;
        inner.handle(Input::Tables(tables));
        assert_eq!(inner.adopted.last(), Some(&serial), "new tables are adopted");
    }

    /// No new calls, and an end to all by then.
    pub fn drain(&self, grace: Duration) {
        self.settle();
        let mut inner = self.0.borrow_mut();
        let by = inner.pace.engine(inner.now.mono) + grace;
        inner.handle(Input::Drain { by });
    }

    /// Bytes as they are from an address that is no peer of ours.
    pub fn inject(&self, from: &str, bytes: &[u8]) {
        let peer: SocketAddr = from.parse().expect("a socket address");
        let mut inner = self.0.borrow_mut();
        let flow =
            Flow { transport: Transport::Udp, listener: listener_of(false, peer), peer, connection: 0 };
        inner.to_baton(flow, bytes.into());
    }

    // -- what Baton told

    /// Every event so far.
    pub fn events(&self) -> Vec<EventKind> {
        self.settle();
        self.0.borrow().events.iter().map(|e| e.what.clone()).collect()
    }

    /// The log's lines of that event so far.
    pub fn lines(&self, event: &str) -> Vec<String> {
        let line = |what| line_of(&Event { at: Stamp(UnixMillis(0)), what }).render(0, Style::default());
        self.events().into_iter().map(line).filter(|line| line.contains(&format!(" {event} "))).collect()
    }

    /// Takes the events, for those who run long.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.borrow_mut().events)
    }

    /// How often each of the two kinds of complaint was made: WARNs (attempts failed), ERRORs (callers hurt).
    pub fn complaints(&self) -> (usize, usize) {
        let events = self.events();
        let is_warning =
            |e: &&EventKind| matches!(e, EventKind::AttemptFailed { .. } | EventKind::Unproven { .. });
        let warned = events.iter().filter(is_warning).count();
        let hurt =
            events.iter().filter(|e| matches!(e, EventKind::HandoffEnded { caller_hurt: true, .. })).count();
        (warned, hurt)
    }

    /// The handoffs that are over.
    pub fn ended_handoffs(&self) -> Vec<HandoffView> {
        let ended = |e| match e {
            EventKind::HandoffEnded { handoff, .. } => Some(Arc::unwrap_or_clone(handoff)),
            _ => None,
        };
        self.events().into_iter().filter_map(ended).collect()
    }

    /// The one handoff is over, in this state; its view.
    #[track_caller]
    pub fn assert_ended(&self, state: &str) -> HandoffView {
        let mut ended = self.ended_handoffs();
        assert_eq!(ended.len(), 1, "one ended handoff expected: {ended:#?}");
        let last = ended.remove(0);
        assert_eq!(last.state.as_str(), state, "{last:#?}");
        last
    }

    /// No handoff is over yet.
    #[track_caller]
    pub fn assert_running(&self) {
        assert_eq!(self.ended_handoffs(), [], "the handoff should still run");
    }

    /// The records of the calls that are over.
    pub fn records(&self) -> Vec<CallRecord> {
        let ended = |e| match e {
            EventKind::CallEnded(record) => Some(Arc::unwrap_or_clone(record)),
            _ => None,
        };
        self.events().into_iter().filter_map(ended).collect()
    }

    /// Packets to addresses that no peer has.
    pub fn nowhere(&self) -> Vec<String> {
        self.0.borrow().nowhere.clone()
    }

    /// Whether the engine holds nothing any more.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().shards.is_empty()
    }

    /// The ladder of all messages so far.
    pub fn trace(&self) -> String {
        self.0.borrow().trace(|_| true)
    }

    /// The ladder of the dialogs with these Call-IDs.
    pub fn trace_of(&self, call_ids: &BTreeSet<String>) -> String {
        self.0.borrow().trace(|message| call_ids.contains(message.call_id()))
    }

    /// Lets all timers run out, and asserts that nothing is left: no message that was not expected, no call, leg,
    /// transaction or timer; and that the wire was sound.
    #[track_caller]
    pub fn assert_empty(&self) {
        self.settle();
        let first = self.run_until(T1X64 * 3, World::is_empty);
        self.advance(T1X64 + SECOND);
        self.assert_expected();
        assert!(first && self.is_empty(), "something is left in the engine: {:#?}", self.counters());
        for record in self.records() {
            let why = record.call.ended_by.as_deref();
            assert!(
                why.is_some_and(|why| !why.is_empty()),
                "a record does not say why its call ended: {record:?}"
            );
        }
        let counters = self.counters();
        assert_eq!(
            (counters.calls_live, counters.handoffs_live, counters.deadlines),
            (0, 0, 0),
            "{counters:#?}"
        );
        assert_eq!(counters.faults, 0, "a fault in Baton");
        assert_eq!(counters.calls_started, counters.calls_ended, "every call ends once");
        let started = self.events().iter().filter(|e| matches!(e, EventKind::HandoffStarted(_))).count();
        assert_eq!(started, self.ended_handoffs().len(), "every handoff ends once");
        let records = self.records();
        let is_passed = |what: &&EventKind| matches!(what, EventKind::ReferPassed { status: None, .. });
        let passed = self.events().iter().filter(is_passed).count();
        let mut inner = self.0.borrow_mut();
        inner.finished = true;
        if inner.nowhere.is_empty() {
            inner.checker.finish(&records, passed);
        }
        let faults = inner.checker.faults().join("\n");
        let nowhere = inner.nowhere.join("\n");
        drop(inner);
        assert!(nowhere.is_empty(), "packets to addresses that nobody has:\n{nowhere}");
        assert!(faults.is_empty(), "the wire checker:\n{faults}");
    }

    /// No peer has a message that nobody expected.
    #[track_caller]
    pub fn assert_expected(&self) {
        self.settle();
        let left: Vec<String> = self.0.borrow().posts.values().flat_map(Post::left).collect();
        assert!(left.is_empty(), "messages that nobody expected:\n{}", left.join("\n"));
    }

    /// A peer that acts by itself.
    pub fn actor(&self, name: &str, address: &str, actor: Box<dyn Actor>) -> Peer {
        let peer = self.peer(name, address);
        if let Some(post) = self.0.borrow_mut().posts.get_mut(&(peer.tcp, peer.address)) {
            post.actor = Some(actor);
        }
        peer
    }

    /// Calls an actor's `alarm` from outside after a while.
    pub fn alarm(&self, peer: &Peer, after: Duration, alarm: u64) {
        let mut inner = self.0.borrow_mut();
        let at = inner.now.mono + after;
        inner.schedule(at, Due::Alarm { peer: (peer.tcp, peer.address), alarm });
    }

    /// The checker's complaints so far.
    pub fn wire_faults(&self) -> Vec<String> {
        self.0.borrow().checker.faults().to_vec()
    }

    /// One thing that is due before `end`; false if there is none.
    pub fn step(&self, end: Time) -> bool {
        self.0.borrow_mut().step_until(Some(end))
    }

    /// Ends without the assertions (for those who make their own).
    pub fn finish(&self) {
        self.0.borrow_mut().finished = true;
    }

    /// For the checker's own checks at the end.
    pub fn check_wire(&self, records: &[CallRecord]) -> Vec<String> {
        let mut inner = self.0.borrow_mut();
        inner.checker.finish(records, 0);
        inner.checker.faults().to_vec()
    }
}

/// Baton's listeners in the order of [`Config::settings`].
pub fn listener_of(tcp: bool, peer: SocketAddr) -> u16 {
    match (tcp, peer.is_ipv6()) {
        (false, false) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (true, true) => 3,
    }
}

//! The World: one engine, a virtual clock, a seeded lossy link, scripted peers that know nothing of the product, and an
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
pub mod message;
pub mod peer;
pub mod random;

pub use baton::call::command::{Command, HandoffRequest, Refusal, Reply};
use baton::call::engine::{Engine, Input, Output};
use baton::call::event::{Event, What};
use baton::call::record::{CallRecord, CallView, HandoffView};
use baton::sip::{Flow, Now, Time, Transport, UnixMillis};
use checker::Checker;
use config::Config;
use message::Message;
use peer::Peer;
use random::Random;
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

struct Entry {
    at: Time,
    way: Way,
    peer: SocketAddr,
    fate: &'static str,
    /// As it reads, or why it does not.
    message: Result<Rc<Message>, String>,
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

/// How a host name answers.
#[derive(Clone, Debug)]
pub enum Name {
    /// With these addresses, after a while.
    Known(Vec<IpAddr>, Duration),
    /// That it does not exist, after a while.
    Failing(Duration),
}

enum Due {
    ToBaton { flow: Flow, bytes: Rc<[u8]>, message: Result<Rc<Message>, String> },
    ToPeer { peer: (bool, SocketAddr), connection: u64, message: Rc<Message> },
    Resolved { query: u64, flows: Vec<Flow> },
    SendFailed { id: u64 },
    Alarm { peer: (bool, SocketAddr), alarm: u64 },
}

struct Scheduled {
    at: Time,
    order: u64,
    due: Due,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What the world keeps of a peer.
struct Post {
    name: String,
    /// Messages that nobody has expected yet.
    inbox: VecDeque<Rc<Message>>,
    /// Texts seen, so that a retransmission is known as one.
    seen: BTreeSet<String>,
    retransmissions: usize,
    /// Answers OPTIONS by itself with this status.
    options: Option<u16>,
    actor: Option<Box<dyn Actor>>,
    /// Sends to it fail.
    dead: bool,
    /// Of the open stream, if it is a stream peer.
    connection: u64,
    number: u64,
}

pub(crate) struct Inner {
    engine: Engine,
    now: Now,
    idle_until: Option<Time>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    pub(crate) random: Random,
    to_baton: Link,
    from_baton: Link,
    posts: BTreeMap<(bool, SocketAddr), Post>,
    names: BTreeMap<String, Name>,
    log: Vec<Entry>,
    keep_log: bool,
    events: Vec<Event>,
    replies: BTreeMap<u64, Reply>,
    next_command: u64,
    next_connection: u64,
    adopted: Vec<u64>,
    checker: Checker,
    tap: Option<Box<dyn Tap>>,
    finished: bool,
    lossy: bool,
    at_once: (Time, u32),
    /// Packets to addresses that no peer has.
    nowhere: Vec<String>,
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

    /// A world whose randomness, Baton's included, comes from `seed`.
    pub fn seeded(config: &Config, seed: u64) -> World {
        // A wall clock to read in logs: 2026-03-02 09:00 UTC. The other clock begins anywhere but at zero.
        let now = Now { mono: Time(1_000_000), wall: UnixMillis(1_772_442_000_000) };
        let mut checker = Checker::new();
        for address in config.addresses() {
            checker.allow(address);
        }
        let inner = Inner {
            engine: Engine::new(now, config.settings(seed)),
            now,
            idle_until: None,
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
            What::CallStarted(call) => Some(call.id.clone()),
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
    pub fn counters(&self) -> baton::observe::counters::Counters {
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
        let by = inner.now.mono + grace;
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
    pub fn events(&self) -> Vec<What> {
        self.settle();
        self.0.borrow().events.iter().map(|e| e.what.clone()).collect()
    }

    /// Takes the events, for those who run long.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.borrow_mut().events)
    }

    /// How often each of the two kinds of complaint was made: WARNs (attempts failed), ERRORs (callers hurt).
    pub fn complaints(&self) -> (usize, usize) {
        let events = self.events();
        let warned = events.iter().filter(|e| matches!(e, What::AttemptFailed { .. })).count();
        let hurt =
            events.iter().filter(|e| matches!(e, What::HandoffEnded { caller_hurt: true, .. })).count();
        (warned, hurt)
    }

    /// The handoffs that are over.
    pub fn ended_handoffs(&self) -> Vec<HandoffView> {
        let ended = |e| match e {
            What::HandoffEnded { handoff, .. } => Some(Arc::unwrap_or_clone(handoff)),
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
            What::CallEnded(record) => Some(Arc::unwrap_or_clone(record)),
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
        self.0.borrow().engine.is_empty()
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
        let started = self.events().iter().filter(|e| matches!(e, What::HandoffStarted(_))).count();
        assert_eq!(started, self.ended_handoffs().len(), "every handoff ends once");
        let records = self.records();
        let mut inner = self.0.borrow_mut();
        inner.finished = true;
        if inner.nowhere.is_empty() {
            inner.checker.finish(&records);
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
        inner.checker.finish(records);
        inner.checker.faults().to_vec()
    }
}

impl Post {
    fn left(&self) -> Vec<String> {
        self.inbox.iter().map(|m| format!("  {}: {}", self.name, m.summary())).collect()
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

impl Inner {
    fn new_connection(&mut self) -> u64 {
        self.next_connection += 1;
        self.next_connection
    }

    /// The stream that a peer has open.
    fn connection_of(&self, peer: SocketAddr) -> Option<u64> {
        self.posts.get(&(true, peer)).map(|post| post.connection)
    }

    fn set_time(&mut self, at: Time) {
        if at > self.now.mono {
            let passed = at - self.now.mono;
            let total = self.now.mono.0 / 1000;
            self.now.mono = self.now.mono + passed;
            self.now.wall.0 += (self.now.mono.0 / 1000 - total) as i64;
        }
    }

    fn schedule(&mut self, at: Time, due: Due) {
        self.order += 1;
        let order = self.order;
        self.queue.push(Reverse(Scheduled { at, order, due }));
    }

    /// The next thing that is due up to `end`.
    fn step_until(&mut self, end: Option<Time>) -> bool {
        let packet = self.queue.peek().map(|Reverse(s)| s.at);
        let tick = self.idle_until.map(|t| t.max(self.now.mono));
        let tick_first = match (packet, tick) {
            (None, None) => return false,
            (Some(packet), Some(tick)) => tick < packet,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        let at = if tick_first { tick } else { packet }.unwrap_or_default();
        if end.is_some_and(|end| at > end) {
            return false;
        }
        self.guard(at, tick_first);
        self.set_time(at);
        if tick_first {
            self.handle(Input::Tick);
            return true;
        }
        let Some(Reverse(next)) = self.queue.pop() else { return false };
        self.do_due(next.due);
        true
    }

    /// A machine that asks for a Tick at the same instant over and over would spin a shard.
    fn guard(&mut self, at: Time, tick: bool) {
        if self.at_once.0 != at || !tick {
            self.at_once = (at, 0);
        }
        self.at_once.1 += 1;
        assert!(self.at_once.1 < 10_000, "the engine asks for Ticks without end at {at:?}");
    }

    fn do_due(&mut self, due: Due) {
        match due {
            Due::ToBaton { flow, bytes, message } => {
                if flow.connection != 0 && self.connection_of(flow.peer) != Some(flow.connection) {
                    // It was on its way when the stream broke.
                    return self.show(Point::LostToBaton, flow.peer, &message);
                }
                self.note(Way::In, flow, &message, "");
                self.handle(Input::Message { flow, bytes: &bytes });
            }
            Due::ToPeer { peer, connection, message } => self.to_peer(peer, connection, &message),
            Due::Resolved { query, flows } => self.handle(Input::Resolved { query, flows: &flows }),
            Due::SendFailed { id } => self.handle(Input::SendFailed { id }),
            Due::Alarm { peer, alarm } => self.act(peer, |actor, at, out| actor.alarm(at, alarm, out)),
        }
    }

    /// Feeds the engine one input and takes all its outputs.
    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        enum Took {
            Transmit(u64, Flow, Rc<[u8]>),
            Resolve(u64, String),
            Other,
        }
        loop {
            let took = match self.engine.poll() {
                Output::Transmit { id, flow, bytes } => Took::Transmit(id, flow, bytes.into()),
                Output::Resolve { query, uri } => {
                    Took::Resolve(query, String::from_utf8_lossy(&uri).into_owned())
                }
                Output::Reply { id, reply } => {
                    let twice = self.replies.insert(id, reply).is_some();
                    assert!(!twice, "command {id} was replied to twice");
                    Took::Other
                }
                Output::Event(event) => {
                    if let Some(tap) = &mut self.tap {
                        tap.told(self.now.mono, &event);
                    }
                    self.events.push(event);
                    Took::Other
                }
                Output::Adopted { serial } => {
                    if let Some(tap) = &mut self.tap {
                        tap.adopted(self.now.mono, serial);
                    }
                    self.adopted.push(serial);
                    Took::Other
                }
                Output::Idle { until } => {
                    self.idle_until = until;
                    return;
                }
            };
            match took {
                Took::Transmit(id, flow, bytes) => self.from_baton(id, flow, bytes),
                Took::Resolve(query, uri) => self.resolve(query, &uri),
                Took::Other => {}
            }
        }
    }

    fn resolve(&mut self, query: u64, uri: &str) {
        let (host, port, tcp) = message::host_of(uri);
        let (ips, after) = match host.parse::<IpAddr>() {
            Ok(ip) => (vec![ip], Duration::ZERO),
            Err(_) => match self.names.get(&host) {
                Some(Name::Known(ips, after)) => (ips.clone(), *after),
                Some(Name::Failing(after)) => (Vec::new(), *after),
                None => (Vec::new(), Duration::ZERO),
            },
        };
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let flows = ips
            .into_iter()
            .map(|ip| {
                let peer = SocketAddr::new(ip, port.unwrap_or(5060));
                Flow { transport, listener: listener_of(tcp, peer), peer, connection: 0 }
            })
            .collect();
        let at = self.now.mono + after;
        self.schedule(at, Due::Resolved { query, flows });
    }

    /// A packet leaves Baton.
    fn from_baton(&mut self, id: u64, flow: Flow, bytes: Rc<[u8]>) {
        let tcp = flow.transport == Transport::Tcp;
        assert_eq!(
            flow.listener,
            listener_of(tcp, flow.peer),
            "the listener of the other family or transport"
        );
        let key = (tcp, flow.peer);
        let fate = self.fate(self.from_baton, tcp);
        let message = match Message::parse(&bytes) {
            Ok(message) => Rc::new(message),
            Err(why) => panic!("Baton sent something that is no message: {why}"),
        };
        let note = if fate.is_empty() { "lost" } else { "" };
        self.note(Way::Out, flow, &Ok(Rc::clone(&message)), note);
        let Some(post) = self.posts.get(&key) else {
            if tcp && id != 0 && self.posts.contains_key(&(false, flow.peer)) {
                // It takes datagrams only.
                let at = self.now.mono;
                return self.schedule(at, Due::SendFailed { id });
            }
            self.nowhere.push(format!("  {:?} to {}: {}", flow.transport, flow.peer, first_line(&bytes)));
            return;
        };
        let gone = post.dead || (tcp && flow.connection != 0 && flow.connection != post.connection);
        if gone {
            if id != 0 {
                let at = self.now.mono;
                self.schedule(at, Due::SendFailed { id });
            }
            return;
        }
        let connection = flow.connection;
        for delay in fate {
            let at = self.now.mono + delay;
            self.schedule(at, Due::ToPeer { peer: key, connection, message: Rc::clone(&message) });
        }
    }

    /// When the copies of a packet arrive.
    fn fate(&mut self, link: Link, reliable: bool) -> Vec<Duration> {
        if reliable {
            return vec![link.delay];
        }
        if link.loss > 0 && self.random.chance(link.loss) {
            return Vec::new();
        }
        let copies = if link.duplicates > 0 && self.random.chance(link.duplicates) { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let most = link.jitter.as_micros() as u64;
                let more = if most == 0 { 0 } else { self.random.below(most) };
                link.delay + Duration::from_micros(more)
            })
            .collect()
    }

    /// A packet leaves a peer.
    pub(crate) fn to_baton(&mut self, flow: Flow, bytes: Rc<[u8]>) {
        let fate = self.fate(self.to_baton, flow.transport == Transport::Tcp);
        let message = Message::parse(&bytes).map(Rc::new);
        self.show(Point::PeerSends, flow.peer, &message);
        if fate.is_empty() {
            self.show(Point::LostToBaton, flow.peer, &message);
            self.keep(Way::In, flow.peer, &message, "lost");
        }
        for delay in fate {
            let at = self.now.mono + delay;
            self.schedule(at, Due::ToBaton { flow, bytes: Rc::clone(&bytes), message: message.clone() });
        }
    }

    /// A peer's own message.
    pub(crate) fn send(&mut self, tcp: bool, peer: SocketAddr, text: &str) {
        let connection = self.posts.get(&(tcp, peer)).map_or(0, |p| p.connection);
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let flow = Flow { transport, listener: listener_of(tcp, peer), peer, connection };
        self.to_baton(flow, text.as_bytes().into());
    }

    /// The tap: between the engine and the link, where the checker and the trace listen.
    fn note(&mut self, way: Way, flow: Flow, message: &Result<Rc<Message>, String>, fate: &'static str) {
        self.keep(way, flow.peer, message, fate);
        if let Ok(message) = message {
            self.checker.see_message(self.now.mono, way, flow.peer, message);
        }
        let point = if way == Way::In { Point::Reaches } else { Point::Leaves };
        self.show(point, flow.peer, message);
        if way == Way::Out && !fate.is_empty() {
            self.show(Point::LostToPeer, flow.peer, message);
        }
    }

    fn keep(
        &mut self,
        way: Way,
        peer: SocketAddr,
        message: &Result<Rc<Message>, String>,
        fate: &'static str,
    ) {
        if self.keep_log {
            self.log.push(Entry { at: self.now.mono, way, peer, fate, message: message.clone() });
        }
    }

    fn show(&mut self, point: Point, peer: SocketAddr, message: &Result<Rc<Message>, String>) {
        if let (Some(tap), Ok(message)) = (&mut self.tap, message) {
            tap.see(self.now.mono, point, peer, message);
        }
    }

    fn to_peer(&mut self, key: (bool, SocketAddr), connection: u64, message: &Rc<Message>) {
        let Some(post) = self.posts.get_mut(&key) else { return };
        if connection != 0 && connection != post.connection {
            // It was on its way when the stream broke.
            return self.show(Point::LostToPeer, key.1, &Ok(Rc::clone(message)));
        }
        if post.actor.is_some() {
            self.show(Point::PeerGets, key.1, &Ok(Rc::clone(message)));
            self.act(key, |actor, at, out| actor.message(at, message, out));
            return;
        }
        if !post.seen.insert(message.text.clone()) {
            post.retransmissions += 1;
            return;
        }
        if message.method() == "OPTIONS"
            && message.is_request()
            && let Some(status) = post.options
        {
            let reply = peer::reply_text(message, status, "", &[], "");
            return self.send(key.0, key.1, &reply);
        }
        post.inbox.push_back(Rc::clone(message));
    }

    fn act(&mut self, key: (bool, SocketAddr), act: impl FnOnce(&mut dyn Actor, Time, &mut Vec<Action>)) {
        let now = self.now.mono;
        let mut out = Vec::new();
        let Some(actor) = self.posts.get_mut(&key).and_then(|p| p.actor.as_mut()) else { return };
        act(actor.as_mut(), now, &mut out);
        for action in out {
            match action {
                Action::Send(text) => self.send(key.0, key.1, &text),
                Action::Alarm(after, alarm) => self.schedule(now + after, Due::Alarm { peer: key, alarm }),
                Action::Poke(other, after, alarm) => {
                    let tcp = self.posts.contains_key(&(true, other));
                    self.schedule(now + after, Due::Alarm { peer: (tcp, other), alarm });
                }
                Action::Break => self.break_stream(key),
            }
        }
    }

    /// The stream of a peer breaks, with what is on its way in it; the peer may come back by a new one.
    pub(crate) fn break_stream(&mut self, key: (bool, SocketAddr)) {
        let fresh = self.new_connection();
        let Some(post) = self.posts.get_mut(&key) else { return };
        let connection = std::mem::replace(&mut post.connection, fresh);
        self.checker.broken(key.1);
        if let Some(tap) = &mut self.tap {
            tap.broken(self.now.mono, key.1);
        }
        self.handle(Input::FlowClosed { connection });
    }

    fn trace(&self, wanted: impl Fn(&Message) -> bool) -> String {
        let full = std::env::var("BATON_TRACE").is_ok_and(|v| v == "full");
        let name = |peer: &SocketAddr| {
            let known = [false, true].iter().find_map(|tcp| self.posts.get(&(*tcp, *peer)));
            known.map_or_else(|| peer.to_string(), |p| p.name.clone())
        };
        let mut calls: Vec<String> = Vec::new();
        let mut out = String::from("\n        ms  peer               dialog\n");
        for entry in &self.log {
            let message = match &entry.message {
                Ok(message) if wanted(message) => message,
                Ok(_) => continue,
                Err(why) => {
                    out.push_str(&format!("            {why}\n"));
                    continue;
                }
            };
            let what = message.summary();
            let at = (entry.at.0 - 1_000_000) as f64 / 1000.0;
            let arrow = match entry.way {
                Way::In => "->  Baton",
                Way::Out => "<-  Baton",
            };
            let id = message.call_id().to_owned();
            let call = calls.iter().position(|known| *known == id).unwrap_or_else(|| {
                calls.push(id);
                calls.len() - 1
            });
            let (who, fate) = (name(&entry.peer), entry.fate);
            out.push_str(&format!("{at:>10.1}  {who:<8} {arrow} {call:>3}  {what} {fate}\n"));
            if full {
                for line in message.text.lines() {
                    out.push_str(&format!("                |  {line}\n"));
                }
            }
        }
        for event in &self.events {
            if let What::HandoffEnded { handoff, .. } = &event.what {
                out.push_str(&format!(
                    "   handoff {} -> {} cause {:?} proof {:?}\n",
                    handoff.destination,
                    handoff.state.as_str(),
                    handoff.cause,
                    handoff.proof
                ));
            }
        }
        out
    }
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned()
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.trace(|_| true));
        } else {
            assert!(self.finished, "a scenario ends with assert_empty()");
        }
    }
}

//! The network between the engine and the peers: what is on its way, the clock that takes it there, and the tap that the
//! checker and the log listen on.

use super::*;
use baton::call::ticket::Ticket;
use baton::sip::{Answer, Question};

pub(super) struct Entry {
    pub(super) at: Time,
    pub(super) way: Way,
    pub(super) peer: SocketAddr,
    pub(super) fate: &'static str,
    /// As it reads, or why it does not.
    pub(super) message: Result<Rc<Message>, String>,
}

pub(super) enum Due {
    ToBaton {
        flow: Flow,
        bytes: Rc<[u8]>,
        message: Result<Rc<Message>, String>,
    },
    ToPeer {
        peer: (bool, SocketAddr),
        connection: u64,
        message: Rc<Message>,
    },
    Located {
        ticket: Ticket,
        flows: Vec<Flow>,
    },
    SendFailed {
        id: u64,
    },
    /// ICMP: nobody listens there.
    PortUnreachable {
        flow: Flow,
    },
    /// A message that waited for its stream leaves, unless it was taken back.
    Opens {
        id: u64,
        told: bool,
        flow: Flow,
        message: Rc<Message>,
    },
    /// It never does: the stream could not be opened.
    Refused {
        id: u64,
        told: bool,
        flow: Flow,
        message: Rc<Message>,
    },
    Sent {
        id: u64,
    },
    Alarm {
        peer: (bool, SocketAddr),
        alarm: u64,
    },
}

/// What waits for a process that stands still, in the order in which it came.
pub(super) enum Held {
    Message { flow: Flow, bytes: Rc<[u8]>, message: Result<Rc<Message>, String> },
    Located { ticket: Ticket, flows: Vec<Flow> },
    SendFailed { id: u64 },
    PortUnreachable { flow: Flow },
    Sent { id: u64 },
    FlowClosed { connection: u64, peer: SocketAddr },
}

pub(super) struct Scheduled {
    pub(super) at: Time,
    pub(super) order: u64,
    pub(super) due: Due,
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
pub(super) struct Post {
    pub(super) name: String,
    /// Messages that nobody has expected yet.
    pub(super) inbox: VecDeque<Rc<Message>>,
    /// Texts seen, so that a retransmission is known as one.
    pub(super) seen: BTreeSet<String>,
    pub(super) retransmissions: usize,
    /// Answers OPTIONS by itself with this status.
    pub(super) options: Option<u16>,
    pub(super) actor: Option<Box<dyn Actor>>,
    /// Sends to it fail.
    pub(super) dead: bool,
    /// What becomes of datagrams to it.
    pub(super) door: Door,
    /// How long a stream to it takes to be opened, or to fail.
    pub(super) connects: Duration,
    /// Of the open stream, if it is a stream peer.
    pub(super) connection: u64,
    pub(super) number: u64,
}

pub(crate) struct Inner {
    pub(super) shards: Shards,
    /// True time; the engine's leaves standstills out.
    pub(super) now: Now,
    pub(super) pace: Pace,
    /// The process stands still, and this has arrived meanwhile.
    pub(super) held: Option<VecDeque<Held>>,
    pub(super) queue: BinaryHeap<Reverse<Scheduled>>,
    pub(super) order: u64,
    pub(crate) random: Random,
    pub(super) to_baton: Link,
    pub(super) from_baton: Link,
    pub(super) posts: BTreeMap<(bool, SocketAddr), Post>,
    pub(super) names: BTreeMap<String, Name>,
    pub(super) log: Vec<Entry>,
    pub(super) keep_log: bool,
    pub(super) events: Vec<Event>,
    pub(super) replies: BTreeMap<u64, Reply>,
    pub(super) next_command: u64,
    pub(super) next_connection: u64,
    pub(super) adopted: Vec<u64>,
    pub(super) checker: Checker,
    pub(super) tap: Option<Box<dyn Tap>>,
    pub(super) finished: bool,
    pub(super) lossy: bool,
    pub(super) at_once: (Time, u32),
    /// Packets to addresses that no peer has.
    pub(super) nowhere: Vec<String>,
    /// Messages that wait for their stream and may be taken back.
    pub(super) waiting: BTreeMap<u64, (Flow, Rc<Message>)>,
}

impl Post {
    pub(super) fn left(&self) -> Vec<String> {
        self.inbox.iter().map(|m| format!("  {}: {}", self.name, m.summary())).collect()
    }
}

impl Inner {
    pub(super) fn new_connection(&mut self) -> u64 {
        self.next_connection += 1;
        self.next_connection
    }

    /// The stream that a peer has open.
    pub(super) fn connection_of(&self, peer: SocketAddr) -> Option<u64> {
        self.posts.get(&(true, peer)).map(|post| post.connection)
    }

    pub(super) fn set_time(&mut self, at: Time) {
        if at > self.now.mono {
            let passed = at - self.now.mono;
            let total = self.now.mono.0 / 1000;
            self.now.mono = self.now.mono + passed;
            self.now.wall.0 += (self.now.mono.0 / 1000 - total) as i64;
        }
    }

    pub(super) fn schedule(&mut self, at: Time, due: Due) {
        self.order += 1;
        let order = self.order;
        self.queue.push(Reverse(Scheduled { at, order, due }));
    }

    /// The next thing that is due up to `end`.
    pub(super) fn step_until(&mut self, end: Option<Time>) -> bool {
        let packet = self.queue.peek().map(|Reverse(s)| s.at);
        let until = self.shards.idle_until().filter(|_| self.held.is_none());
        let tick = until.map(|t| self.pace.at(t).max(self.now.mono));
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
    pub(super) fn guard(&mut self, at: Time, tick: bool) {
        if self.at_once.0 != at || !tick {
            self.at_once = (at, 0);
        }
        self.at_once.1 += 1;
        assert!(self.at_once.1 < 10_000, "the engine asks for Ticks without end at {at:?}");
    }

    pub(super) fn do_due(&mut self, due: Due) {
        match due {
            Due::ToBaton { flow, bytes, message } => {
                if flow.connection != 0 && self.connection_of(flow.peer) != Some(flow.connection) {
                    // It was on its way when the stream broke.
                    return self.show(Point::LostToBaton, flow.peer, &message);
                }
                self.arrive(Held::Message { flow, bytes, message });
            }
            Due::ToPeer { peer, connection, message } => self.to_peer(peer, connection, &message),
            Due::Located { ticket, flows } => self.arrive(Held::Located { ticket, flows }),
            Due::SendFailed { id } => self.arrive(Held::SendFailed { id }),
            Due::PortUnreachable { flow } => self.arrive(Held::PortUnreachable { flow }),
            Due::Sent { id } => self.arrive(Held::Sent { id }),
            Due::Refused { id, told, flow, message } => {
                if !told || self.waiting.remove(&id).is_some() {
                    self.unsent(flow, &message);
                    if id != 0 {
                        self.arrive(Held::SendFailed { id });
                    }
                }
            }
            Due::Opens { id, told, flow, message } => {
                if let Some(post) = self.posts.get_mut(&(true, flow.peer)) {
                    post.connects = Duration::ZERO;
                }
                if !told || self.waiting.remove(&id).is_some() {
                    self.leaves((id, told), flow, message);
                }
            }
            Due::Alarm { peer, alarm } => self.act(peer, |actor, at, out| actor.alarm(at, alarm, out)),
        }
    }

    /// Something has arrived: read now, or when the process goes on.
    fn arrive(&mut self, one: Held) {
        match &mut self.held {
            Some(held) => held.push_back(one),
            None => self.hand_in(one),
        }
    }

    pub(super) fn hand_in(&mut self, one: Held) {
        match one {
            Held::Message { flow, bytes, message } => {
                self.note(Way::In, flow, &message, "");
                self.handle(Input::Message { flow, bytes: &bytes });
            }
            Held::Located { ticket, flows } => {
                self.handle(Input::Answer { ticket, answer: Answer::Located(&flows) });
            }
            Held::SendFailed { id } => self.handle(Input::SendFailed { id }),
            Held::PortUnreachable { flow } => self.handle(Input::Refused { flow }),
            Held::Sent { id } => self.handle(Input::Sent { id }),
            Held::FlowClosed { connection, peer } => {
                self.handle(Input::FlowClosed { connection, peer });
            }
        }
    }

    /// Feeds the engine one input and takes all its outputs.
    pub(crate) fn handle(&mut self, input: Input<'_>) {
        assert!(self.held.is_none(), "a process that stands still takes nothing in");
        let now = Now { mono: self.pace.engine(self.now.mono), wall: self.now.wall };
        self.shards.handle(now, input);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        enum Took {
            Transmit((u64, bool), Flow, Rc<[u8]>),
            Recall(u64),
            Locate(u64, String),
            Other,
        }
        let mut shard = 0;
        while shard < self.shards.count() {
            let took = match self.shards.engine(shard).poll() {
                Output::Transmit { id, told, flow, bytes } => Took::Transmit((id, told), flow, bytes.into()),
                Output::Recall { id } => Took::Recall(id),
                Output::Ask { ticket, question: Question::Locate(uri), .. } => {
                    Took::Locate(ticket.0, String::from_utf8_lossy(&uri).into_owned())
                }
                Output::Reply { id, reply } => {
                    if let Some(reply) = self.shards.reply(id, reply) {
                        let twice = self.replies.insert(id, reply).is_some();
                        assert!(!twice, "command {id} was replied to twice");
                    }
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
                    self.shards.idle[shard] = until;
                    shard += 1;
                    continue;
                }
            };
            match took {
                Took::Transmit((id, told), flow, bytes) => {
                    let id = self.shards.outside(shard, id);
                    self.from_baton((id, told), flow, bytes);
                }
                Took::Locate(ticket, uri) => {
                    let ticket = Ticket(self.shards.outside(shard, ticket));
                    self.locate(ticket, &uri);
                }
                Took::Recall(id) => {
                    let id = self.shards.outside(shard, id);
                    let back = self.waiting.remove(&id);
                    if let Some((flow, message)) = &back {
                        self.unsent(*flow, message);
                    }
                    let at = self.now.mono;
                    self.schedule(at, if back.is_some() { Due::SendFailed { id } } else { Due::Sent { id } });
                }
                Took::Other => {}
            }
        }
    }

    pub(super) fn locate(&mut self, ticket: Ticket, uri: &str) {
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
        self.schedule(at, Due::Located { ticket, flows });
    }

    /// A packet leaves Baton.
    pub(super) fn from_baton(&mut self, (id, told): (u64, bool), flow: Flow, bytes: Rc<[u8]>) {
        let tcp = flow.transport == Transport::Tcp;
        assert_eq!(
            flow.listener,
            listener_of(tcp, flow.peer),
            "the listener of the other family or transport"
        );
        assert!(tcp || !told, "what goes by UDP leaves at once");
        let message = match Message::parse(&bytes) {
            Ok(message) => Rc::new(message),
            Err(why) => panic!("Baton sent something that is no message: {why}"),
        };
        let connects = |tcp| self.posts.get(&(tcp, flow.peer)).map(|post| (post.connects, post.dead));
        let refused = connects(true).is_none();
        match connects(true).or(connects(false)) {
            Some((after, dead)) if tcp && flow.connection == 0 && !after.is_zero() => {
                if told {
                    self.waiting.insert(id, (flow, Rc::clone(&message)));
                }
                let at = self.now.mono + after;
                let due = match refused || dead {
                    true => Due::Refused { id, told, flow, message },
                    false => Due::Opens { id, told, flow, message },
                };
                self.schedule(at, due);
            }
            _ => self.leaves((id, told), flow, message),
        }
    }

    /// A packet was handed over and comes back. A REFER that has never left is none; who lacks an ACK has been sent one.
    fn unsent(&mut self, flow: Flow, message: &Rc<Message>) {
        match message.is_request() && message.method() == "REFER" {
            true => self.keep(Way::Out, flow.peer, &Ok(Rc::clone(message)), "refused"),
            false => self.note(Way::Out, flow, &Ok(Rc::clone(message)), "refused"),
        }
    }

    /// A packet is written.
    fn leaves(&mut self, (id, told): (u64, bool), flow: Flow, message: Rc<Message>) {
        let tcp = flow.transport == Transport::Tcp;
        let key = (tcp, flow.peer);
        let fate = self.fate(self.from_baton, tcp);
        let note = if fate.is_empty() { "lost" } else { "" };
        let door = self.posts.get(&key).map_or(Door::Open, |post| post.door);
        match self.posts.get(&key).is_some_and(|post| post.dead) {
            true => self.unsent(flow, &message),
            false if !tcp && door != Door::Open => {
                self.note(Way::Out, flow, &Ok(Rc::clone(&message)), "lost");
                if door == Door::Refusing {
                    let at = self.now.mono + self.from_baton.delay + self.to_baton.delay;
                    self.schedule(at, Due::PortUnreachable { flow });
                }
                return;
            }
            false => self.note(Way::Out, flow, &Ok(Rc::clone(&message)), note),
        }
        let Some(post) = self.posts.get(&key) else {
            if tcp && id != 0 && self.posts.contains_key(&(false, flow.peer)) {
                // It takes datagrams only.
                let at = self.now.mono;
                return self.schedule(at, Due::SendFailed { id });
            }
            self.nowhere.push(format!("  {:?} to {}: {}", flow.transport, flow.peer, message.summary()));
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
        if told {
            let at = self.now.mono;
            self.schedule(at, Due::Sent { id });
        }
    }

    /// When the copies of a packet arrive.
    pub(super) fn fate(&mut self, link: Link, reliable: bool) -> Vec<Duration> {
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
    pub(super) fn note(
        &mut self,
        way: Way,
        flow: Flow,
        message: &Result<Rc<Message>, String>,
        fate: &'static str,
    ) {
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

    pub(super) fn keep(
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

    pub(super) fn show(&mut self, point: Point, peer: SocketAddr, message: &Result<Rc<Message>, String>) {
        if let (Some(tap), Ok(message)) = (&mut self.tap, message) {
            tap.see(self.now.mono, point, peer, message);
        }
    }

    pub(super) fn to_peer(&mut self, key: (bool, SocketAddr), connection: u64, message: &Rc<Message>) {
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

    pub(super) fn act(
        &mut self,
        key: (bool, SocketAddr),
        act: impl FnOnce(&mut dyn Actor, Time, &mut Vec<Action>),
    ) {
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
        self.arrive(Held::FlowClosed { connection, peer: key.1 });
    }

    pub(super) fn trace(&self, wanted: impl Fn(&Message) -> bool) -> String {
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
            if let EventKind::HandoffEnded { handoff, .. } = &event.what {
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

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.trace(|_| true));
        } else {
            assert!(self.finished, "a scenario ends with assert_empty()");
        }
    }
}

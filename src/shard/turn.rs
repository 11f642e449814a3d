//! The loop of a shard. It waits for a readable socket, its inbox or a deadline, and then does one turn:
//!
//! 1. read the clock, once;
//! 2. receive up to 64 datagrams into one buffer: its own are handled in place and their outputs sent at once, those
//!    of other shards are copied to their inboxes;
//! 3. serve up to 64 items of its own inbox;
//! 4. serve deadlines that are due, if all is read that had arrived by then; if not, in one of the next turns, and the
//!    engine's time stands until then (`arrears`);
//! 5. wake the shards that were given something, once each, and only those that sleep.
//!
//! All that is read is what waits in its own sockets and in its inbox; and where the turn is late, or another shard has
//! more to read than it can, also what waits for the others who read for this shard: they are asked, and tell.
//!
//! Nothing is awaited inside a turn. A fault of the engine costs one call at most, and never the loop.

use super::arrears::{Arrears, Reading};
use super::clock::{Clock, ShardClock, Turn};
use super::handle::Shards;
use super::inbox::{Item, is_new_call};
use super::pulse::Pulse;
use crate::call::command::Reply;
use crate::call::engine::{Engine, Input, Output};
use crate::call::event::Event;
use crate::call::ticket::Ticket;
use crate::net::Unread;
use crate::net::counts::Counts;
use crate::net::resolve::Resolver;
use crate::net::tcp::connections::Connections;
use crate::net::udp::{Sent, Sockets};
use crate::observe::line::{Line, Sink};
use crate::sip::{Answer, Flow, Gap, Now, Question, Time, Transport};
use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::net::UdpSocket as StdSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Datagrams in one turn.
const DATAGRAMS: usize = 64;
/// Items of the inbox in one turn.
const ITEMS: usize = 64;
/// Rounds of due deadlines in one turn; an engine serves up to 64 in each.
const TICKS: usize = 4;
/// The longest datagram that there can be.
const DATAGRAM: usize = 65_535;
/// After a fault the engine's deadlines rest for this long.
const AFTER_FAULT: std::time::Duration = std::time::Duration::from_millis(100);
/// Deadlines are waited for on a grid of this many microseconds, so that one waking serves all that fall due within it.
/// No timer of SIP minds: the shortest is 500 ms.
const GRID: u64 = 5_000;
/// A turn that is later than this may have others beside it that are late.
const LATE: std::time::Duration = std::time::Duration::from_millis(20);
/// Others who read for this shard are waited for so long; one that does not tell by then is stuck.
const OTHERS: std::time::Duration = std::time::Duration::from_secs(2);

/// Where events go; never blocks.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// The way out, shared by all shards.
#[derive(Clone, Debug)]
pub struct Network {
    /// Datagrams.
    pub sockets: Sockets,
    /// Streams.
    pub connections: Arc<Connections>,
    /// Names.
    pub resolver: Arc<Resolver>,
    /// Shared with the metrics.
    pub counts: Arc<Counts>,
}

/// What a shard is started with.
pub struct Start {
    /// Which one it is.
    pub index: u16,
    /// All of them.
    pub shards: Arc<Shards>,
    /// Empty at the start; it lives on this thread.
    pub engine: Engine,
    /// The process's clock.
    pub clock: Clock,
    /// The sockets that this shard reads, with the index of their listener. No other shard reads them, or datagrams
    /// would overtake each other.
    pub reads: Vec<(u16, Arc<StdSocket>)>,
    /// The way out.
    pub network: Network,
    /// Where events go.
    pub events: Events,
    /// For what no event tells: sockets that fail, faults of the loop.
    pub log: Sink,
}

/// Runs a shard on this thread until [`Shards::stop`].
///
/// # Errors
/// The runtime or a socket cannot be set up; once the loop runs it does not fail.
pub fn run(start: Start) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let mut shard = Shard::new(start)?;
        let deadline = tokio::time::sleep(std::time::Duration::ZERO);
        tokio::pin!(deadline);
        while !shard.stopping {
            shard.wait(deadline.as_mut()).await;
            shard.turn();
        }
        Ok(())
    })
}

struct Shard {
    index: usize,
    shards: Arc<Shards>,
    pulse: Arc<Pulse>,
    engine: Engine,
    clock: ShardClock,
    reads: Vec<Reading>,
    network: Network,
    events: Events,
    log: Sink,
    /// What is to be read before deadlines are served, if some are due.
    arrears: Option<Arrears>,
    /// The latest question to the others who read for this shard, and whether it is open.
    question: (u64, bool),
    /// Other shards that wait until this one has read all.
    askers: Vec<Unread>,
    /// One buffer for all datagrams.
    buffer: Vec<u8>,
    items: Vec<Item>,
    /// Who waits for the reply to a command.
    replies: HashMap<u64, oneshot::Sender<Reply>>,
    next_command: u64,
    /// Who waits until tables are in force.
    adopting: Vec<(u64, oneshot::Sender<()>)>,
    /// Queries that were answered at once: the engine gets the answer when it is idle.
    located: Vec<(Ticket, Vec<Flow>)>,
    /// Transmits that failed at once, or were taken back.
    failed: Vec<u64>,
    /// Transmits that could not be taken back.
    left: Vec<u64>,
    until: Option<Time>,
    /// Which shards were given messages in this turn.
    kicks: Vec<bool>,
    /// The last turn received as much as it could: more waits, so that calls that stand go before new ones.
    pressed: bool,
    stopping: bool,
}

impl Shard {
    fn new(start: Start) -> io::Result<Shard> {
        let reads = start
            .reads
            .into_iter()
            .map(|(index, socket)| Reading::new(index, socket))
            .collect::<io::Result<Vec<_>>>()?;
        let index = usize::from(start.index);
        Ok(Shard {
            index,
            pulse: Arc::clone(&start.shards.pulses()[index]),
            kicks: vec![false; start.shards.count()],
            shards: start.shards,
            engine: start.engine,
            clock: ShardClock::new(start.clock),
            reads,
            network: start.network,
            events: start.events,
            log: start.log,
            arrears: None,
            question: (0, false),
            askers: Vec::new(),
            buffer: vec![0; DATAGRAM],
            items: Vec::with_capacity(ITEMS),
            replies: HashMap::new(),
            next_command: 1,
            adopting: Vec::new(),
            located: Vec::new(),
            failed: Vec::new(),
            left: Vec::new(),
            until: None,
            pressed: false,
            stopping: false,
        })
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, mut deadline: Pin<&mut Sleep>) {
        // Where the others are waited for, a deadline that is due is no reason to turn.
        let until = match self.arrears.and_then(|arrears| arrears.others) {
            Some(others) => Some(self.clock.engine(others)),
            None => self.until.map(|time| Time(time.0.div_ceil(GRID).saturating_mul(GRID))),
        };
        deadline.as_mut().reset(self.clock.plan(until).into());
        let inbox = self.shards.inbox(self.index);
        let awake = !inbox.fall_asleep() || self.reads.iter().any(Reading::owes);
        let kicked = inbox.kicked();
        tokio::pin!(kicked);
        std::future::poll_fn(|context| {
            // Every source is polled, so that each knows whom to wake.
            let mut ready = awake;
            ready |= kicked.as_mut().poll(context).is_ready();
            ready |= deadline.as_mut().poll(context).is_ready();
            for reading in &self.reads {
                ready |= reading.socket.poll_recv_ready(context).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        inbox.wake_up();
    }

    fn turn(&mut self) {
        let turn = self.clock.turn();
        if let Some(gap) = turn.gap {
            self.stood_still(&turn, gap);
        }
        let mono = self.arrears.map_or(turn.now.mono, |arrears| arrears.since);
        let now = Now { mono, ..turn.now };
        self.owe(now, &turn);
        self.receive(now);
        self.serve_inbox(now);
        // What has become due by that.
        self.owe(now, &turn);
        if self.has_read_all(&turn) {
            self.arrears = None;
            for _ in 0..TICKS {
                if self.is_due(now) {
                    self.step(now, Input::Tick);
                }
            }
        }
        for shard in 0..self.kicks.len() {
            if std::mem::take(&mut self.kicks[shard]) {
                self.shards.inbox(shard).kick();
            }
        }
        let live = catch_unwind(AssertUnwindSafe(|| self.engine.live_calls())).unwrap_or_default();
        self.pulse.set_behind(self.pressed || self.reads.iter().any(Reading::owes));
        self.pulse.turned(live);
    }

    fn is_due(&self, now: Now) -> bool {
        self.until.is_some_and(|until| until <= now.mono)
    }

    /// The process stood still. The engine hears of it before all that has arrived meanwhile, for what begins with that
    /// was not standing; and serves what has become due by it when all is read.
    fn stood_still(&mut self, turn: &Turn, gap: Gap) {
        // What was to be read before may be less than what waits now.
        if self.arrears.take().is_some_and(|arrears| arrears.others.is_some()) {
            self.question.1 = false;
        }
        if self.shards.standstills().noticed(turn.at, gap.0) {
            (self.log)(
                Line::warn("process.stood_still")
                    .number("ms", gap.0.as_millis())
                    .text("hint", "stopped, frozen, suspended or without CPU; peers are given that time"),
            );
        }
        self.step(turn.now, Input::StoodStill(gap));
    }

    /// If a deadline is due, notes what has to be read before it is served.
    fn owe(&mut self, now: Now, turn: &Turn) {
        if self.arrears.is_some() || !(self.is_due(now) || turn.gap.is_some()) {
            return;
        }
        self.reads.iter_mut().for_each(Reading::owe);
        let doubt = turn.gap.is_some() || turn.late > LATE || self.shards.is_other_behind(self.index);
        // While a question is open that was waited for in vain, somebody is stuck, and is not waited for again.
        let others = (doubt && !self.question.1).then(|| {
            self.ask_others();
            turn.at + OTHERS
        });
        let items = self.shards.inbox(self.index).waiting();
        self.arrears = Some(Arrears { since: now.mono, items, others });
    }

    /// Asks all who read for this shard to read what there is. The last to have done so puts the answer into the inbox,
    /// behind all that they have handed over.
    fn ask_others(&mut self) {
        let question = self.question.0 + 1;
        self.question = (question, true);
        let inbox = Arc::clone(self.shards.inbox(self.index));
        let unread = Unread::new(move || inbox.push(Item::AllRead(question)));
        self.shards.read_all(self.index, &unread);
        self.network.connections.read_all(&unread);
        self.network.resolver.read_all(unread);
    }

    /// Whether deadlines may be served now that wait for that. Other shards that wait for this one learn it as well.
    fn has_read_all(&mut self, turn: &Turn) -> bool {
        if self.reads.iter().any(Reading::owes) {
            return false;
        }
        self.askers.clear();
        let Some(arrears) = &mut self.arrears else { return false };
        arrears.others = arrears.others.filter(|until| self.question.1 && turn.at < *until);
        arrears.items == 0 && arrears.others.is_none()
    }

    fn receive(&mut self, now: Now) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut left = DATAGRAMS;
        for at in 0..self.reads.len() {
            // Each socket gets its share, so that a flood on one does not silence the others.
            let mut share = (left / (self.reads.len() - at)).max(1);
            while share > 0 && left > 0 {
                let (length, peer) = match self.reads[at].receive(&mut buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // A signal, or an ICMP error of an earlier send; it says nothing of what waits.
                    Err(_) => {
                        share -= 1;
                        left -= 1;
                        continue;
                    }
                };
                let flow = self.reads[at].flow(peer);
                share -= 1;
                left -= 1;
                self.network.counts.datagrams_in.bump();
                self.sort(now, flow, &buffer[..length]);
            }
        }
        self.pressed = left == 0;
        self.buffer = buffer;
    }

    /// Handles a datagram here, or gives it to its owner.
    fn sort(&mut self, now: Now, flow: Flow, bytes: &[u8]) {
        let owner = self.shards.owner_of_message(bytes).unwrap_or(self.index);
        let waits = owner == self.index && self.pressed && is_new_call(bytes);
        if owner == self.index && !waits {
            self.step(now, Input::Message { flow, bytes });
        } else if self.shards.hand_over(owner, flow, bytes) {
            self.kicks[owner] = owner != self.index;
        }
    }

    fn serve_inbox(&mut self, now: Now) {
        let mut items = std::mem::take(&mut self.items);
        self.shards.inbox(self.index).take(ITEMS, &mut items);
        if let Some(arrears) = &mut self.arrears {
            arrears.items = arrears.items.saturating_sub(items.len());
        }
        for item in items.drain(..) {
            match item {
                Item::Message { flow, bytes } => self.step(now, Input::Message { flow, bytes: &bytes }),
                Item::Command(command, reply) => {
                    let id = self.next_command;
                    self.next_command += 1;
                    let at_once = command.is_replied_to_at_once();
                    // Whoever has the reply may look at the pulse: it tells of all that this turn did before.
                    self.pulse.lives(self.engine.live_calls());
                    self.replies.insert(id, reply);
                    self.step(now, Input::Command { id, command });
                    // Only a fault in the engine leaves such a command without its reply; whoever waits learns it thus.
                    if at_once {
                        self.replies.remove(&id);
                    }
                }
                Item::SendFailed(id) => self.step(now, Input::SendFailed { id }),
                Item::Sent(id) => self.step(now, Input::Sent { id }),
                Item::FlowClosed(connection, peer) => self.step(now, Input::FlowClosed { connection, peer }),
                Item::Refused(flow) => self.step(now, Input::Refused { flow }),
                Item::Located(ticket, flows) => {
                    self.step(now, Input::Answer { ticket, answer: Answer::Located(&flows) });
                }
                Item::Tables(tables, done) => {
                    self.adopting.push((tables.serial, done));
                    self.step(now, Input::Tables(tables));
                }
                Item::Drain(by) => {
                    let by = self.clock.engine(by);
                    self.step(now, Input::Drain { by });
                }
                Item::Read(unread) => {
                    self.askers.push(unread);
                    self.reads.iter_mut().for_each(Reading::owe);
                }
                Item::AllRead(question) => self.question.1 &= question != self.question.0,
                Item::Stop => self.stopping = true,
            }
        }
        self.items = items;
    }

    /// One input, and all that comes of it: what fails or is answered at once goes back in before the turn goes on.
    fn step(&mut self, now: Now, input: Input<'_>) {
        self.feed(now, input);
        // Each round answers what the one before has asked; an engine that never stops asking is cut off, and what is
        // left is served in the next turn.
        for _ in 0..64 {
            if let Some(id) = self.failed.pop() {
                self.feed(now, Input::SendFailed { id });
            } else if let Some(id) = self.left.pop() {
                self.feed(now, Input::Sent { id });
            } else if let Some((ticket, flows)) = self.located.pop() {
                self.feed(now, Input::Answer { ticket, answer: Answer::Located(&flows) });
            } else {
                return;
            }
        }
        let inbox = self.shards.inbox(self.index);
        self.failed.drain(..).for_each(|id| inbox.push(Item::SendFailed(id)));
        self.left.drain(..).for_each(|id| inbox.push(Item::Sent(id)));
        self.located.drain(..).for_each(|(ticket, flows)| inbox.push(Item::Located(ticket, flows)));
    }

    fn feed(&mut self, now: Now, input: Input<'_>) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.engine.handle(now, input))) {
            self.fault(&*panic);
        }
        // An engine that panics while it is polled may do so again for ever; it is polled again with the next input.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.drain())) {
            self.fault(&*panic);
        }
    }

    fn drain(&mut self) {
        loop {
            match self.engine.poll() {
                Output::Transmit { id, told, flow, bytes } => {
                    let sent = match flow.transport {
                        Transport::Udp => self.network.sockets.send(&flow, bytes) == Sent::Yes,
                        Transport::Tcp => {
                            // At most 65,535 shards: the index was a u16.
                            self.network.connections.send(self.index as u16, (id, told), &flow, bytes)
                        }
                    };
                    if !sent && id != 0 {
                        self.failed.push(id);
                    }
                }
                Output::Recall { id } => {
                    let taken_back = self.network.connections.recall(self.index as u16, id);
                    if taken_back { self.failed.push(id) } else { self.left.push(id) }
                }
                Output::Ask { ticket, question: Question::Locate(uri), asker } => {
                    let asked = (self.index as u16, ticket.0);
                    if let Some(flows) = self.network.resolver.resolve(asked, asker, &uri) {
                        self.located.push((ticket, flows));
                    }
                }
                Output::Reply { id, reply } => {
                    if let Some(waiting) = self.replies.remove(&id) {
                        // Whoever asked may have gone away.
                        let _ = waiting.send(reply);
                    }
                }
                Output::Event(event) => (self.events)(event),
                Output::Adopted { serial } => {
                    let (done, waiting) =
                        std::mem::take(&mut self.adopting).into_iter().partition(|(of, _)| *of <= serial);
                    self.adopting = waiting;
                    let done: Vec<(u64, oneshot::Sender<()>)> = done;
                    for (_, done) in done {
                        let _ = done.send(());
                    }
                }
                Output::Idle { until } => {
                    self.until = until;
                    return;
                }
            }
        }
    }

    fn fault(&mut self, panic: &(dyn Any + Send)) {
        self.pulse.panicked();
        // Its deadline may be what panicked; it is tried again, but not in every turn.
        self.until = Some(self.clock.last() + AFTER_FAULT);
        (self.log)(
            Line::error("engine.fault")
                .number("shard", self.index as u64)
                .text("message", said(panic))
                .text("hint", "a fault in Baton; the shard goes on. Please report it"),
        );
    }
}

/// What a panic said, if it said it in text.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}

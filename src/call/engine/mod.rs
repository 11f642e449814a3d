//! The engine: one input at a time goes in by [`Engine::handle`], then [`Engine::poll`] is called until it says
//! [`Output::Idle`]. It routes and indexes; what a call does stands in its phases.
//!
//! ```text
//! loop {
//!     1. engine.handle(now, input)
//!     2. while output is not Idle: output = engine.poll(), do it
//!     3. wait for the next input, or until Idle's deadline: Input::Tick
//! }
//! ```

mod arriving;
mod commands;
mod notices;
mod questions;
mod stepping;
mod test_calls;
mod told;
mod untaken;

use crate::call::announced::Announcer;
use crate::call::context::{LegIndex, Queued, Taken};
use crate::call::counters::Counters;
use crate::call::dropped::Dropped;
use crate::call::event::{Event, EventKind, Why};
use crate::call::ids::CallKey;
use crate::call::ids::{CallId, HandoffId};
pub use crate::call::io::{Announced, Input, Occupancy, Output, Settings};
use crate::call::live::Call;
use crate::call::phase::CallInput;
use crate::call::record::Stamp;
use crate::call::roster::Roster;
use crate::call::test_call::TestCalls;
use crate::call::ticket::{Tickets, Waiter};
use crate::routing::Tables;
use crate::sip::deadline::Deadlines;
use crate::sip::ident::{Ident, Seed, SlotKey};
use crate::sip::outbox::QUIET;
use crate::sip::{self, Flow, Listener, Now, Stack, Time};
use crate::wire::{self, Index, Message};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use told::{Refusals, Told, left};
use untaken::Stray;

/// Deadlines served by one tick.
const TICKS: usize = 64;

/// One shard's calls.
pub struct Engine {
    stack: Stack,
    listeners: Vec<Listener>,
    tables: Arc<Tables>,
    roster: Roster,
    ident: Ident,
    slot_key: SlotKey,
    max_calls: usize,
    max_duration: Duration,
    calls: hashbrown::HashMap<CallKey, Option<Box<Call>>>,
    last_key: u64,
    by_id: BTreeMap<CallId, CallKey>,
    by_handoff: hashbrown::HashMap<HandoffId, CallKey>,
    agents: Taken,
    test_calls: TestCalls,
    legs: LegIndex,
    tickets: Tickets,
    deadlines: Deadlines<CallKey>,
    queue: VecDeque<Queued>,
    counters: Counters,
    index: Index,
    told: Told,
    dropped: Dropped<Why>,
    strays: Dropped<Stray>,
    /// Refusals that nobody has to mend.
    ordinary: Dropped<()>,
    refusals: Refusals,
    /// The answer that turns somebody away is told of like any other.
    shows_refusal: bool,
    /// Each message is told of.
    shows_messages: bool,
    announcer: Announcer,
    draining: Option<Time>,
    /// The failure that is being handled: the same status on its way out passes, and is not of our making.
    passing: Option<u16>,
    now: Now,
}

impl Engine {
    /// An engine without calls.
    pub fn new(now: Now, settings: Settings) -> Engine {
        let Settings {
            mut stack,
            slot_key,
            max_calls,
            occupancy,
            announced,
            max_duration,
            tables,
            shows_messages,
        } = settings;
        let mut roster = Roster::default();
        stack.parties = roster.adopt(&tables);
        // The stack and the calls draw from two streams of one seed.
        let mut seed = stack.seed.0;
        seed.iter_mut().for_each(|byte| *byte = !*byte);
        Engine {
            listeners: stack.listeners.clone(),
            stack: Stack::new(stack),
            tables,
            roster,
            ident: Ident::new(Seed(seed)),
            told: Told::new(slot_key),
            announcer: Announcer::of(announced),
            dropped: Dropped::default(),
            strays: Dropped::default(),
            ordinary: Dropped::default(),
            refusals: Refusals::default(),
            shows_refusal: false,
            shows_messages,
            slot_key,
            max_calls,
            max_duration,
            calls: hashbrown::HashMap::new(),
            last_key: 0,
            by_id: BTreeMap::new(),
            by_handoff: hashbrown::HashMap::new(),
            agents: Taken::of(occupancy),
            test_calls: TestCalls::default(),
            legs: LegIndex::default(),
            tickets: Tickets::default(),
            deadlines: Deadlines::default(),
            queue: VecDeque::new(),
            counters: Counters::default(),
            index: Index::default(),
            draining: None,
            passing: None,
            now,
        }
    }

    /// One thing that happened. Poll until idle afterwards.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        self.now = now;
        self.passing = None;
        match input {
            Input::Message { flow, bytes } => self.message(flow, bytes),
            Input::SendFailed { id } => {
                self.counters.sends_failed += 1;
                self.stack.handle_send_failed(now, id);
            }
            Input::Sent { id } => self.stack.handle_sent(now, id),
            Input::Refused { flow } => self.stack.handle_refused(now, flow),
            Input::FlowClosed { connection, peer } => self.stack.handle_flow_closed(now, connection, peer),
            Input::Answer { ticket, answer } => match self.tickets.take(ticket) {
                Some(Waiter::Call(key)) => self.step(key, CallInput::Answer(ticket, answer)),
                Some(Waiter::TestCall(key)) => self.step_test_call(key, CallInput::Answer(ticket, answer)),
                Some(Waiter::Leg(leg)) => self.stack.handle_answer(now, leg, answer),
                // Whoever has asked is gone.
                None => {}
            },
            Input::Command { id, command } => {
                let reply = self.command(id, command);
                self.queue.extend(reply.map(|reply| Queued::Reply { id, reply }));
            }
            Input::Tables(tables) => {
                let parties = self.roster.adopt(&tables);
                self.stack.set_parties(parties);
                self.queue.push_back(Queued::Adopted { serial: tables.serial });
                self.announcer.adopt(tables.serial);
                self.tables = tables;
            }
            Input::Drain { by } => self.drain(by),
            Input::StoodStill(gap) => self.catch_up(gap),
            Input::Tick => self.tick(),
        }
        while let Some(event) = self.stack.poll_event() {
            self.leg_event(event, None);
        }
        self.take_questions();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Output<'_> {
        while let Some(queued) = self.queue.pop_front() {
            return match queued {
                Queued::Ask { ticket, question } => match self.asker(ticket) {
                    Some(asker) => Output::Ask { ticket, question, asker },
                    None => continue,
                },
                Queued::Reply { id, reply } => Output::Reply { id, reply },
                Queued::Event(mut event) => {
                    self.attribute(&mut event.what);
                    Output::Event(*event)
                }
                Queued::Adopted { serial } => Output::Adopted { serial },
            };
        }
        let until = [self.stack.deadline(), self.deadlines.next()].into_iter().flatten().min();
        if let Some(id) = self.stack.poll_recall() {
            return Output::Recall { id };
        }
        let shown = self.shows_messages.then(|| self.leaving()).flatten();
        let Some(transmit) = self.stack.poll_transmit() else {
            let over = self.test_calls.conclude(self.now, &mut self.queue);
            return over.map_or(Output::Idle { until }, |(id, reply)| Output::Reply { id, reply });
        };
        self.counters.messages_out += 1;
        if let Some(what) = shown {
            self.queue.push_back(Queued::Event(Box::new(Event { at: Stamp(self.now.wall), what })));
        }
        self.test_calls.sent(self.now, transmit.bytes);
        if let Some(status) = wire::peek::status(transmit.bytes) {
            self.counters.responses_out[usize::from(status / 100 - 1).min(5)] += 1;
            if status >= 400
                && (transmit.id != QUIET || std::mem::take(&mut self.shows_refusal))
                && self.told.is_new(self.now.mono, transmit.bytes)
                && let Some(what) = left(status, self.passing, transmit.bytes, transmit.flow)
            {
                self.queue.push_back(Queued::Event(Box::new(Event { at: Stamp(self.now.wall), what })));
            }
        }
        let sip::stack::Transmit { id, told, flow, bytes } = transmit;
        let id = if id == QUIET { 0 } else { id };
        Output::Transmit { id, told, flow, bytes }
    }

    /// Whether nothing is left: no call, leg, transaction, question or deadline.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
            && self.by_id.is_empty()
            && self.by_handoff.is_empty()
            && self.agents.is_empty()
            && self.legs.is_empty()
            && self.test_calls.is_empty()
            && self.tickets.is_empty()
            && self.deadlines.is_empty()
            && self.stack.is_empty()
    }

    /// A drain's progress: live calls, and destinations that are being called to test them.
    pub fn live_calls(&self) -> usize {
        self.calls.len() + self.test_calls.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let calls_live = self.calls.len() as u64;
        let deadlines = (self.deadlines.len() + self.stack.counts().deadlines) as u64;
        let transactions = self.stack.counts().servers as u64;
        let statuses_untold = self.told.untold;
        Counters { calls_live, deadlines, transactions, statuses_untold, ..self.counters.clone() }
    }

    fn tell(&mut self, what: EventKind) {
        self.queue.push_back(Queued::Event(Box::new(Event { at: Stamp(self.now.wall), what })));
    }

    fn call_id(&self, key: CallKey) -> Option<CallId> {
        self.calls.get(&key)?.as_ref().map(|call| call.facts.id.clone())
    }

    fn tick(&mut self) {
        self.stack.handle_tick(self.now, TICKS);
        for _ in 0..TICKS {
            let Some((at, key)) = self.deadlines.pop_due(self.now.mono) else { break };
            if self.test_calls.due(at, key) {
                self.step_test_call(key, CallInput::Tick);
            }
            let Some(Some(call)) = self.calls.get_mut(&key) else { continue };
            if call.armed == Some(at) {
                call.armed = None;
                // At the horizon there may be nothing due yet; the step only arms it anew.
                self.step(key, CallInput::Tick);
            }
        }
    }

    fn leg_event(&mut self, event: sip::Event, arrived: Option<(Flow, &Message<'_>)>) {
        if let (sip::Event::Incoming { leg }, Some((flow, invite))) = (event, arrived) {
            return self.incoming(leg, flow, invite);
        }
        if let Some(notice) = self.notice(event) {
            return notice.into_iter().for_each(|what| self.tell(what));
        }
        let leg = event.leg();
        self.goodbye(event, arrived.map(|(_, message)| message));
        match self.legs.find(leg) {
            Some((key, _)) => self.step_any(key, CallInput::Leg(event, arrived.map(|(_, message)| message))),
            None => self.stack.release(self.now, leg),
        }
    }
}

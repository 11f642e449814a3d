//! What arrives: read, judged and handled; what was dropped is counted, and told by `untaken`.

use super::Engine;
use crate::call::admission::Load;
use crate::call::announced::Matter;
use crate::call::event::{Direction, EventKind, Why};
use crate::call::facts::Facts;
use crate::call::ids::{CallId, SipCallId};
use crate::call::roster::Known;
use crate::routing::explain;
use crate::sip::door::Untaken;
use crate::sip::identity::Said;
use crate::sip::{Flow, Origin, Transport};
use crate::wire::{self, Fault, Framing, Message};

impl Engine {
    pub(super) fn message(&mut self, flow: Flow, bytes: &[u8]) {
        let framing = if flow.transport == Transport::Udp { Framing::Datagram } else { Framing::Stream };
        if framing == Framing::Datagram && wire::peek::is_keepalive(bytes) {
            return;
        }
        let mut index = std::mem::take(&mut self.index);
        match wire::identify(bytes, &mut index, framing) {
            Ok(message) => self.read(flow, &message, bytes),
            Err(fault) => {
                self.counters.messages_malformed += 1;
                if self.shows_messages {
                    self.tell(shown(Direction::In, flow, None, (b"", bytes)));
                }
                let known = self.tables.topology.knows(flow.peer.ip());
                let answerable = wire::salvage(bytes, &index).or_else(|| wire::incomplete(bytes, &index));
                if let Some(message) = answerable {
                    let why = told(fault, index.fault_at());
                    self.stack.handle_fault(flow, &message, fault, known.then_some(&why));
                }
                match known {
                    true => self.malformed(flow, fault, index.fault_at()),
                    false => self.drop_of(flow, Why::Unknown, first_word(bytes), None),
                }
            }
        }
        self.index = index;
    }

    fn read(&mut self, flow: Flow, message: &Message<'_>, bytes: &[u8]) {
        self.test_calls.received(self.now, message.call_id(), message.method().as_str(), bytes);
        if self.shows_messages {
            let call = self.call_of(message.call_id());
            self.tell(shown(Direction::In, flow, call, (message.call_id(), bytes)));
        }
        self.arrived(flow, message, bytes);
        let pressed = self.pressed();
        let known = Known { tables: &self.tables, roster: &self.roster, pressed };
        match self.stack.handle_message(self.now, flow, message, &known) {
            Ok(event) => {
                self.counters.messages_in += 1;
                if let Some((leg, why)) = self.stack.take_declined() {
                    self.challenge_declined(leg, why);
                }
                if let Some(event) = event {
                    self.leg_event(event, Some((flow, message)));
                }
            }
            Err(Untaken::Malformed(fault)) => {
                self.counters.messages_malformed += 1;
                self.malformed(flow, fault, None);
            }
            Err(Untaken::Strange(leg)) => {
                self.counters.messages_strange_source += 1;
                self.drop_of(flow, Why::Strange, message.method().as_str(), leg);
            }
            Err(Untaken::TurnedAway { status, new_call }) => {
                self.counters.messages_in += 1;
                self.turned_away(flow, message, (status, new_call));
            }
            Err(Untaken::Stray { status }) => {
                self.counters.messages_in += 1;
                self.stray(flow, message, status);
            }
            Err(Untaken::Unknown) => {
                self.counters.messages_unknown_source += 1;
                self.drop_of(flow, Why::Unknown, message.method().as_str(), None);
            }
        }
    }

    /// Whether new calls that would be refused are turned away without a transaction: there is no room, or so many were
    /// refused within a second that nobody is to be waited for.
    fn pressed(&self) -> Option<Load> {
        let load = self.load();
        (load.draining || load.calls >= load.max_calls || self.refusals.is_many(self.now.mono))
            .then_some(load)
    }

    /// A failure that leaves us is told of with its call, if it belongs to one.
    pub(super) fn attribute(&self, what: &mut EventKind) {
        if let EventKind::Status { call: call @ None, sip_call_id, .. }
        | EventKind::Message { call: call @ None, sip_call_id, .. } = what
        {
            *call = self.call_of(sip_call_id.as_bytes());
        }
    }

    /// Counts a response, and tells of a failure that reached us.
    fn arrived(&mut self, flow: Flow, message: &Message<'_>, bytes: &[u8]) {
        let Some(status) = message.status() else { return };
        self.counters.responses_in[usize::from(status / 100 - 1).min(5)] += 1;
        if status < 400 {
            return;
        }
        let known = Known { tables: &self.tables, roster: &self.roster, pressed: None };
        if !self.stack.hears(flow, message, &known) {
            return;
        }
        self.passing = Some(status);
        if !self.told.is_new(self.now.mono, bytes) {
            return;
        }
        let what = EventKind::Status {
            call: self.call_of(message.call_id()),
            direction: Direction::In,
            method: message.method().as_str(),
            status,
            reason: String::from_utf8_lossy(message.reason()).into_owned(),
            origin: Origin::Remote,
            said: Said::of(message),
            sip_call_id: SipCallId::of(message.call_id()),
            peer: flow.peer_name(),
        };
        self.tell(what);
    }

    /// The id of the call that a Call-ID belongs to.
    fn call_of(&self, call_id: &[u8]) -> Option<CallId> {
        let (key, _) = self.legs.find(self.stack.find_leg_by_call_id(call_id)?)?;
        self.call_id(key)
    }

    /// The message that leaves next, as `debug` shows it.
    pub(super) fn leaving(&self) -> Option<EventKind> {
        let next = self.stack.next_transmit()?;
        let call_id = wire::peek::peek(next.bytes).map_or(&b""[..], |peek| peek.call_id);
        Some(shown(Direction::Out, next.flow, self.call_of(call_id), (call_id, next.bytes)))
    }

    /// The first call of a trunk that is seen to be a receiver whose NOTIFY 200 proves nothing warns of blind REFERs.
    pub(super) fn warn_of_refers(&mut self, facts: &Facts) {
        let belief = facts.belief();
        let receiver = belief.receiver(facts.receiver);
        let known = self.announcer.knows(Matter::Unproven, &facts.trunk.id);
        let Some(title) = receiver.title().filter(|_| !known) else { return };
        let Some(table) = self.tables.table(&facts.agent.environment) else { return };
        let trunk = &facts.trunk;
        let proves_nothing =
            table.destinations.values().any(|one| one.refers_unproven(belief, facts.receiver));
        if self.announcer.is_new(Matter::Unproven, &trunk.id) && proves_nothing {
            self.tell(EventKind::RefersUnproven {
                trunk: trunk.id.to_string(),
                receiver: title,
                hint: explain::blind(receiver),
            });
        }
    }
}

/// What is wrong with a message, and where.
pub(super) fn told(fault: Fault, at: Option<usize>) -> String {
    match at {
        Some(at) => format!("{} in the line at byte {at}", fault.reason()),
        None => fault.reason().to_owned(),
    }
}

/// A message as `debug` shows it.
fn shown(
    direction: Direction,
    flow: Flow,
    call: Option<CallId>,
    (call_id, bytes): (&[u8], &[u8]),
) -> EventKind {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line = bytes[start..].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    EventKind::Message {
        direction,
        line: String::from_utf8_lossy(line).into_owned(),
        peer: flow.peer_name(),
        call,
        sip_call_id: SipCallId::of(call_id),
    }
}

/// What a message that cannot be read begins with.
fn first_word(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(bytes.len()).min(16);
    let word = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    if word.is_empty() { "unreadable" } else { word }
}

//! What arrives: read, judged and handled; what was dropped is counted and told.

use super::Engine;
use crate::call::admission::{self, Load};
use crate::call::announced::Matter;
use crate::call::dropped::Tell;
use crate::call::event::{Direction, What, Why};
use crate::call::facts::Facts;
use crate::call::roster::{Known, Name};
use crate::call::view;
use crate::routing::explain;
use crate::routing::net::IpNet;
use crate::sip::dispatch::NO_PLACE;
use crate::sip::door::Untaken;
use crate::sip::identity::Said;
use crate::sip::leg::challenge::Declined;
use crate::sip::{Flow, LegId, Origin, Transport};
use crate::wire::{self, Fault, Framing, Message};

/// Where a request may come from that belongs to no call.
const NO_CALL: &str = "it belongs to a call that is not here: one that has ended, or that a restart has cost. If there are many, see whether the other side ends its calls";
/// The same of one that is no part of a call.
const NOT_SERVED: &str = "Baton does not serve it outside a call; have it sent to whoever does";

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
        self.trials.received(self.now, message.call_id(), message.method().as_str(), bytes);
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

    /// A request was turned away; one line for each source and minute.
    fn turned_away(&mut self, flow: Flow, message: &Message<'_>, (status, new_call): (u16, bool)) {
        self.counters.requests_turned_away += 1;
        let admitted = || admission::admit(&self.tables, self.load(), flow, message);
        let refused = if new_call { admitted().err() } else { None };
        if new_call {
            self.counters.calls_refused[refused.as_ref().map_or(0, |refused| refused.kind)] += 1;
        }
        let tell = self.dropped.count(self.now.mono, flow.peer.ip(), Why::TurnedAway);
        self.shows_refusal = tell.is_some();
        let Some(Tell::Source(count) | Tell::Others(count)) = tell else { return };
        let trunk = self.tables.topology.trunk_at(flow.peer.ip());
        let what = What::CallRefused {
            sip_call_id: String::from_utf8_lossy(message.call_id()).into_owned(),
            trunk: trunk.map(|trunk| trunk.id.to_string()).unwrap_or_default(),
            status,
            reason: refused.map_or_else(|| NO_PLACE.to_owned(), |refused| refused.why),
            count,
        };
        self.tell(what);
    }

    /// A failure that leaves us is told of with its call, if it belongs to one.
    pub(super) fn attribute(&self, what: &mut What) {
        if let What::Status { call: call @ None, sip_call_id, .. } = what {
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
        let what = What::Status {
            call: self.call_of(message.call_id()),
            direction: Direction::In,
            method: message.method().as_str(),
            status,
            reason: String::from_utf8_lossy(message.reason()).into_owned(),
            origin: Origin::Remote,
            said: Said::of(message),
            sip_call_id: String::from_utf8_lossy(message.call_id()).into_owned(),
            peer: view::peer(flow),
        };
        self.tell(what);
    }

    /// The id of the call that a Call-ID belongs to.
    fn call_of(&self, call_id: &[u8]) -> Option<String> {
        let (key, _) = self.legs.find(self.stack.find_leg_by_call_id(call_id)?)?;
        self.call_id(key)
    }

    /// The message that leaves next, as `debug` shows it.
    pub(super) fn leaving(&self) -> Option<What> {
        let next = self.stack.next_transmit()?;
        let call_id = wire::peek::peek(next.bytes).map_or(&b""[..], |peek| peek.call_id);
        Some(shown(Direction::Out, next.flow, self.call_of(call_id), (call_id, next.bytes)))
    }

    /// `at`: the byte where the line begins that is at fault, where one is.
    fn malformed(&mut self, flow: Flow, fault: Fault, at: Option<usize>) {
        self.drop_of(flow, Why::Malformed, &told(fault, at), None);
    }

    /// A challenge got no answer, though there is a password.
    fn challenge_declined(&mut self, leg: LegId, why: Declined) {
        let Some(flow) = self.stack.peer(leg) else { return };
        let tell = self.dropped.count(self.now.mono, flow.peer.ip(), Why::Challenge);
        let Some(Tell::Source(count)) = tell else { return };
        let call = self.legs.find(leg).and_then(|(key, _)| self.call_id(key));
        let section = self.stack.party(leg).and_then(|party| self.roster.name(party)).map(Name::section);
        let section = section.unwrap_or_default();
        let (what, hint) = match why {
            Declined::Elsewhere => (
                "the challenge comes from elsewhere",
                format!(
                    "the password of {section} goes to the host and port of its `address` and to calls that come from there; if this is one of them, make it the `address` of a trunk of its own"
                ),
            ),
            Declined::Form => (
                "the challenge has no digest and realm that fit",
                format!(
                    "see `auth.realm` of {section}, and let the other side offer MD5 or SHA-256 with qop=auth"
                ),
            ),
            Declined::Refused => (
                "the password was given and asked for again",
                format!("see user name and password in `auth` of {section}"),
            ),
        };
        self.tell(What::Dropped {
            why: Why::Challenge,
            call,
            source: Some(flow.peer.to_string()),
            transport: flow.transport.as_param(),
            what: what.to_owned(),
            status: None,
            count,
            hint,
        });
    }

    /// A request was refused that belongs to no call: one line for each source and minute, with the status that the first one
    /// got.
    fn stray(&mut self, flow: Flow, message: &Message<'_>, status: u16) {
        let tell = self.dropped.count(self.now.mono, flow.peer.ip(), Why::Stray);
        self.shows_refusal = tell.is_some();
        let Some(tell) = tell else { return };
        let hint = if status == 481 { NO_CALL } else { NOT_SERVED };
        let (count, source) = told_of(tell, flow);
        self.tell(What::Dropped {
            why: Why::Stray,
            call: None,
            source,
            transport: flow.transport.as_param(),
            what: message.method().as_str().to_owned(),
            status: Some(status),
            count,
            hint: hint.to_owned(),
        });
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
            self.tell(What::RefersUnproven {
                trunk: trunk.id.to_string(),
                receiver: title,
                hint: explain::blind(receiver),
            });
        }
    }

    /// A message had no effect: one line for each source and minute.
    fn drop_of(&mut self, flow: Flow, why: Why, what: &str, leg: Option<LegId>) {
        let address = flow.peer.ip().to_canonical();
        let Some(tell) = self.dropped.count(self.now.mono, address, why) else { return };
        let (count, source) = told_of(tell, flow);
        let call = leg.and_then(|leg| self.legs.find(leg)).and_then(|(key, _)| self.call_id(key));
        let party = leg.and_then(|leg| self.stack.party(leg)).and_then(|party| self.roster.name(party));
        let source_line = format!("accept_from = [\"{}\"]", IpNet::host(address));
        let hint = match (why, party) {
            (Why::Unknown, _) => format!(
                "no trunk or agent has this address, so it gets no answer; if it is one, add it there: {source_line}"
            ),
            (Why::Strange, Some(party)) => format!(
                "it has the tags of a call and no right to speak in it; if it is a part of {section}, add its address \
                 there: {source_line}, or set in_dialog = \"tags\"",
                section = party.section()
            ),
            (Why::Strange, None) => format!(
                "it has the tags of a call and no right to speak in it; if it belongs there, make it a source of a trunk: \
                 {source_line}"
            ),
            (Why::Challenge | Why::TurnedAway | Why::Stray, _) => String::new(),
            (Why::Malformed, _) => {
                "what can be answered was answered with the reason; mend the sender".to_owned()
            }
        };
        self.tell(What::Dropped {
            why,
            call,
            source,
            transport: flow.transport.as_param(),
            what: what.to_owned(),
            status: None,
            count,
            hint,
        });
    }
}

/// How many messages a line is about, and of whom: None is many sources.
fn told_of(tell: Tell, flow: Flow) -> (u64, Option<String>) {
    match tell {
        Tell::Source(count) => (count, Some(flow.peer.to_string())),
        Tell::Others(count) => (count, None),
    }
}

/// What is wrong with a message, and where.
fn told(fault: Fault, at: Option<usize>) -> String {
    match at {
        Some(at) => format!("{} in the line at byte {at}", fault.reason()),
        None => fault.reason().to_owned(),
    }
}

/// A message as `debug` shows it.
fn shown(direction: Direction, flow: Flow, call: Option<String>, (call_id, bytes): (&[u8], &[u8])) -> What {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line = bytes[start..].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    What::Message {
        direction,
        line: String::from_utf8_lossy(line).into_owned(),
        peer: view::peer(flow),
        call,
        sip_call_id: String::from_utf8_lossy(call_id).into_owned(),
    }
}

/// What a message that cannot be read begins with.
fn first_word(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(bytes.len()).min(16);
    let word = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    if word.is_empty() { "unreadable" } else { word }
}

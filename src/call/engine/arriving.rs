//! What arrives: bytes become a message, the message an event of a leg, and a failure that reaches us is told of.

use super::Engine;
use crate::call::event::{Direction, What};
use crate::call::facts::Facts;
use crate::call::view;
use crate::routing::explain;
use crate::routing::profile::Profile;
use crate::sip::identity::Said;
use crate::sip::{Flow, Origin, Transport};
use crate::wire::{self, Framing, Message};
use std::sync::Arc;

impl Engine {
    pub(super) fn message(&mut self, flow: Flow, bytes: &[u8]) {
        let framing = if flow.transport == Transport::Udp { Framing::Datagram } else { Framing::Stream };
        if framing == Framing::Datagram && wire::peek::is_keepalive(bytes) {
            return;
        }
        let known = self.tables.topology.knows(flow.peer.ip());
        let mut index = std::mem::take(&mut self.index);
        match wire::identify(bytes, &mut index, framing) {
            Ok(message) => {
                self.trials.received(self.now, message.call_id(), message.method().as_str(), bytes);
                self.arrived(flow, &message, bytes, known);
                match self.stack.handle_message(self.now, flow, &message, known) {
                    Ok(event) => {
                        self.counters.messages_in += 1;
                        self.counters.messages_unknown_source += u64::from(!known);
                        if let Some(event) = event {
                            self.leg_event(event, Some((flow, &message)));
                        }
                    }
                    Err(_answered) => self.counters.messages_malformed += 1,
                }
            }
            Err(fault) => {
                self.counters.messages_malformed += 1;
                if let Some(message) = wire::salvage(bytes, &index) {
                    self.stack.handle_fault(flow, &message, fault, known);
                }
            }
        }
        self.index = index;
    }

    /// A failure that leaves us is told of with its call, if it belongs to one.
    pub(super) fn attribute(&self, what: &mut What) {
        if let What::Status { call: call @ None, sip_call_id, .. } = what {
            let leg = self.stack.find_leg_by_call_id(sip_call_id.as_bytes());
            *call = leg.and_then(|leg| self.legs.find(leg)).and_then(|(key, _)| self.call_id(key));
        }
    }

    /// Counts a response, and tells of a failure that reached us. What a stranger sends in no call of ours is no failure.
    fn arrived(&mut self, flow: Flow, message: &Message<'_>, bytes: &[u8], known: bool) {
        let Some(status) = message.status() else { return };
        self.counters.responses_in[usize::from(status / 100 - 1).min(5)] += 1;
        if status < 400 {
            return;
        }
        self.passing = Some(status);
        let leg = self.stack.find_leg_by_call_id(message.call_id());
        let call = leg.and_then(|leg| self.legs.find(leg)).and_then(|(key, _)| self.call_id(key));
        if call.is_none() && !known || !self.told.is_new(bytes) {
            return;
        }
        let what = What::Status {
            call,
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

    /// The first call of a trunk that is seen to be a receiver whose NOTIFY 200 proves nothing warns of blind REFERs.
    pub(super) fn warn_of_refers(&mut self, facts: &Facts) {
        let belief = Profile::base(facts.trunk.profile).with(&facts.trunk.overrides).belief;
        let receiver = belief.receiver(facts.receiver);
        let Some(title) = receiver.title().filter(|_| !self.once.unproven.contains(&facts.trunk.id)) else {
            return;
        };
        let Some(table) = self.tables.table(&facts.agent.environment) else { return };
        let trunk = &facts.trunk;
        if table.destinations.values().any(|one| one.refers_unproven(belief, facts.receiver)) {
            self.tell(What::RefersUnproven {
                trunk: trunk.id.to_string(),
                receiver: title,
                hint: explain::blind(receiver),
            });
        }
        self.once.unproven.insert(Arc::clone(&trunk.id));
    }
}

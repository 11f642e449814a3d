//! What is told of a leg where its call has nothing to decide.

use super::Engine;
use crate::call::announced::Matter;
use crate::call::event::EventKind;
use crate::call::ids::{CallId, SipCallId};
use crate::call::record::{Goodbye, Role, Stamp};
use crate::sip::identity::Said;
use crate::sip::leg::reach::Advice;
use crate::sip::{self, Flow, LegId};
use crate::wire::{Message, Method};

impl Engine {
    /// What is told of a leg, where its call has nothing to decide. None: the event is for the call.
    pub(super) fn notice(&mut self, event: sip::Event) -> Option<Option<EventKind>> {
        match event {
            sip::Event::Undelivered { leg, method, to, again } => {
                Some(self.undelivered(leg, method, to, again))
            }
            sip::Event::Silent { leg } => Some(self.silent(leg)),
            sip::Event::KeepaliveIgnored { leg } => Some(self.keepalive_ignored(leg)),
            sip::Event::Advice { leg, advice } => Some(self.advise(leg, advice)),
            _ => None,
        }
    }

    /// A side says goodbye: told, and kept with its leg.
    pub(super) fn goodbye(&mut self, event: sip::Event, message: Option<&Message<'_>>) {
        let (sip::Event::Bye { leg } | sip::Event::Cancelled { leg }) = event else { return };
        let (Some(message), Some((key, role))) = (message, self.legs.find(leg)) else { return };
        let Said { reason, warning } = Said::of(message);
        let at = Stamp(self.now.wall);
        let goodbye = Goodbye { method: message.method().as_str().into(), at, reason, warning };
        let Some(Some(call)) = self.calls.get_mut(&key) else { return };
        call.facts.said_goodbye(leg, goodbye.clone());
        let call = call.facts.id.clone();
        let sip_call_id = self.sip_call_id(leg).unwrap_or_default();
        self.tell(EventKind::LegBye { call, role, goodbye, sip_call_id });
    }

    /// A request inside a call could not be sent.
    fn undelivered(&self, leg: LegId, method: Method, to: Flow, again: bool) -> Option<EventKind> {
        let call = self.call_id(self.legs.find(leg)?.0)?;
        let sip_call_id = self.sip_call_id(leg)?;
        Some(EventKind::Undelivered {
            call,
            method: method.as_str(),
            peer: to.peer_name(),
            again,
            sip_call_id,
        })
    }

    fn silent(&self, leg: LegId) -> Option<EventKind> {
        let (key, role) = self.legs.find(leg)?;
        Some(EventKind::LegSilent { call: self.call_id(key)?, role, sip_call_id: self.sip_call_id(leg)? })
    }

    fn sip_call_id(&self, leg: LegId) -> Option<SipCallId> {
        self.stack.sip_call_id(leg).map(SipCallId::of)
    }

    /// Whose leg it is: its call, as what, and the id of the agent or the trunk; `none` for a target that is no trunk.
    fn party(&self, leg: LegId) -> Option<(CallId, Role, String)> {
        let (key, role) = self.legs.find(leg)?;
        let facts = &self.calls.get(&key)?.as_ref()?.facts;
        let party = match role {
            Role::Caller => facts.trunk.id.to_string(),
            Role::Agent => facts.agent.id.to_string(),
            Role::Target => {
                let trunk = self.tables.topology.trunk_at(self.stack.peer(leg)?.peer.ip());
                trunk.map_or_else(|| "none".to_owned(), |trunk| trunk.id.to_string())
            }
        };
        Some((facts.id.clone(), role, party))
    }

    /// Told once for all of its agent's or trunk's legs.
    fn keepalive_ignored(&mut self, leg: LegId) -> Option<EventKind> {
        let (call, role, party) = self.party(leg)?;
        let name = if role == Role::Agent { "agent" } else { "trunk" };
        let is_new = self.announcer.is_new(Matter::Ignoring, &format!("{name}.{party}"));
        is_new.then_some(EventKind::KeepaliveIgnored { call, role, party })
    }

    /// How a peer is reached may be set otherwise. A private Contact is told once for all legs of its agent or trunk.
    fn advise(&mut self, leg: LegId, advice: Advice) -> Option<EventKind> {
        let peer = self.stack.peer(leg)?.peer_name();
        let (call, role, party) = self.party(leg)?;
        if advice == Advice::PrivateContact {
            let name = if role == Role::Agent { "agent" } else { "trunk" };
            if !self.stack.goes_to_contact(leg)
                || !self.announcer.is_new(Matter::Private, &format!("{name}.{party}"))
            {
                return None;
            }
        }
        Some(EventKind::Advice { call, role, party, peer, advice })
    }
}

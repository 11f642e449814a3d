//! The table's half for requests of peers: matching, absorbing, answering.

use super::super::invite_server::{self, InviteServer};
use super::super::key::Key;
use super::super::server::{self, Server};
use super::super::{Answered, Echo, Inbound, ServerId, TransactionEvent};
use super::{Due, SERVER, Table, transmit_id};
use crate::sip::flow::Flow;
use crate::sip::outbox::Outbox;
use crate::sip::pace::Gap;
use crate::sip::slab::{Slab, SlabId};
use crate::sip::timing::Time;
use crate::wire::{Message, Method, Writer, reason_phrase, response_to};
use std::net::{IpAddr, SocketAddr};

#[derive(Debug)]
pub(super) enum ServerMachine {
    Invite(InviteServer),
    Other(Server),
}

#[derive(Debug)]
pub(super) struct ServerEntry<O> {
    key: Key,
    merge: Option<Key>,
    owner: O,
    /// Where responses go (RFC 3261 §18.2.2, RFC 3581).
    flow: Flow,
    /// The port of sent-by, for a new connection when the old one is gone; 0 once that was tried.
    fallback_port: u16,
    machine: ServerMachine,
    armed: Option<Time>,
    /// Whose place it takes.
    party: Option<u16>,
}

impl<O: Copy> Table<O> {
    /// A request. Answers what a transaction answers by itself; keeps nothing of a new one.
    pub fn receive_request(
        &mut self,
        now: Time,
        flow: Flow,
        request: &Message<'_>,
        outbox: &mut Outbox,
    ) -> Inbound<O> {
        let invite = Method::Invite.as_str().as_bytes();
        let method = request.method();
        let text = if method == Method::Ack { invite } else { request.method_text() };
        if let Some(id) = self.find_server(self.keys.server(request, text)) {
            return self.receive_known(now, flow, method, id, outbox);
        }
        match method {
            Method::Cancel => {
                let found = self.find_server(self.keys.server(request, invite));
                let entry = found.and_then(|id| self.servers.get(id).map(|entry| (id, entry.owner)));
                entry.map_or(Inbound::New, |(id, owner)| Inbound::Cancel { invite: ServerId(id), owner })
            }
            Method::Ack => Inbound::New,
            _ => match self.keys.merge(request) {
                Some(key) if self.find_merge(key) => Inbound::Merged,
                Some(_) | None => Inbound::New,
            },
        }
    }

    fn receive_known(
        &mut self,
        now: Time,
        flow: Flow,
        method: Method,
        id: SlabId,
        outbox: &mut Outbox,
    ) -> Inbound<O> {
        let Some(entry) = self.servers.get_mut(id) else { return Inbound::New };
        let reliable = entry.flow.transport.is_reliable();
        if let (Method::Ack, ServerMachine::Invite(machine)) = (method, &mut entry.machine) {
            let refused = matches!(machine, InviteServer::Completed { .. });
            let pass = machine.on_ack(now, reliable);
            let owner = entry.owner;
            if refused {
                self.events.push_back(TransactionEvent::Acknowledged { owner });
            }
            self.settle_server(now, id);
            return if pass { Inbound::New } else { Inbound::Absorbed };
        }
        // It came again over another connection of the same peer: the old one is gone.
        if reliable && flow.transport == entry.flow.transport && flow.peer.ip() == entry.flow.peer.ip() {
            entry.flow = flow;
        }
        let again = match &entry.machine {
            ServerMachine::Invite(machine) => machine.on_retransmission(),
            ServerMachine::Other(machine) => machine.on_retransmission(),
        };
        if let Some(response) = again {
            outbox.copy(response_id(id, entry.flow), entry.flow, response);
        }
        Inbound::Absorbed
    }

    /// Keeps a new request, so that it can be answered. Not for ACK.
    pub fn open(&mut self, now: Time, flow: Flow, request: &Message<'_>, owner: O) -> ServerId {
        let echo = Echo::of(request, flow.peer, &mut self.scratch);
        let id = self.keep(now, flow, request, owner, echo);
        self.settle_server(now, id);
        ServerId(id)
    }

    /// Answers a new request finally and at once; its transaction has only the response to keep. Not for ACK, and not
    /// 2xx to an INVITE. `write` as for [`Table::respond`].
    #[allow(clippy::too_many_arguments)] // As many as `open` and `respond` together.
    pub fn answer(
        &mut self,
        now: Time,
        flow: Flow,
        request: &Message<'_>,
        owner: O,
        (status, to_tag): (u16, &[u8]),
        outbox: &mut Outbox,
        write: impl FnOnce(Writer<'_>) -> usize,
    ) {
        let reason = reason_phrase(status).as_bytes();
        write(response_to(&mut self.scratch, request, status, reason, Some(to_tag), Some(flow.peer)));
        let response: Box<[u8]> = self.scratch.as_slice().into();
        let id = self.keep(now, flow, request, owner, Echo::default());
        let Some(entry) = self.servers.get_mut(id) else { return };
        outbox.copy(response_id(id, entry.flow), entry.flow, &response);
        entry.on_sent(now, status, response);
        self.part(id, status);
        self.settle_server(now, id);
    }

    /// After a refusal the same request in another branch is a new one: a proxy goes on (RFC 3261 §16.7), and has nobody
    /// else to ask. After a 2xx it is a parallel copy that was late.
    fn part(&mut self, id: SlabId, status: u16) {
        let Some(entry) = self.servers.get_mut(id).filter(|_| status >= 300) else { return };
        let Some(merge) = entry.merge.take() else { return };
        if let Ok(place) = self.by_merge_key.find_entry(merge.hash(), |&index| index == id.index) {
            place.remove();
        }
    }

    /// A new transaction, whose deadline is still to be armed.
    fn keep(&mut self, now: Time, flow: Flow, request: &Message<'_>, owner: O, echo: Echo) -> SlabId {
        let key = self.keys.server(request, request.method_text());
        let merge = self.keys.merge(request).filter(|key| !self.find_merge(*key));
        let machine = if request.method() == Method::Invite {
            ServerMachine::Invite(InviteServer::start(echo))
        } else {
            ServerMachine::Other(Server::start(now, echo))
        };
        let (flow, fallback_port) = response_flow(flow, request);
        let entry =
            ServerEntry { key, merge, owner, flow, fallback_port, machine, armed: None, party: self.serving };
        self.shares.take(&self.serving);
        let id = self.servers.insert(entry);
        let servers = &self.servers;
        self.by_server_key.insert_unique(key.hash(), id.index, |&index| server_hash(servers, index));
        if let Some(merge) = merge {
            self.by_merge_key.insert_unique(merge.hash(), id.index, |&index| merge_hash(servers, index));
        }
        id
    }

    /// Answers a request, provisionally or finally. `to_tag` goes into To if the request had none; `write` adds
    /// headers and ends the message with [`Writer::finish`].
    ///
    /// # Errors
    /// It has its final response, or its client has given up. A 408 to a non-INVITE is never sent: the transaction
    /// just ends (RFC 4320 §4.2), as it does for a 1xx other than 100, which is left out (§4.1).
    pub fn respond(
        &mut self,
        now: Time,
        server: ServerId,
        status: u16,
        to_tag: Option<&[u8]>,
        outbox: &mut Outbox,
        write: impl FnOnce(Writer<'_>) -> usize,
    ) -> Result<(), Answered> {
        let id = server.0;
        let entry = self.servers.get_mut(id).ok_or(Answered)?;
        match (&entry.machine, status) {
            (ServerMachine::Other(_), 408) => {
                self.remove_server(id);
                return Ok(());
            }
            (ServerMachine::Other(_), 101..=199) => return Ok(()),
            (ServerMachine::Invite(_) | ServerMachine::Other(_), _) => {}
        }
        let echo = entry.echo().ok_or(Answered)?;
        write(echo.respond(&mut self.scratch, status, to_tag));
        let response: Box<[u8]> = self.scratch.as_slice().into();
        outbox.copy(response_id(id, entry.flow), entry.flow, &response);
        entry.on_sent(now, status, response);
        self.part(id, status);
        self.settle_server(now, id);
        Ok(())
    }

    /// Sends the 2xx of an INVITE once more; the leg does it until the ACK comes (RFC 3261 §13.3.1.4), or its last
    /// provisional response, which is repeated each minute (§13.3.1.1). False: it is
    /// no longer there.
    pub fn respond_again(&mut self, server: ServerId, outbox: &mut Outbox) -> bool {
        let Some(entry) = self.servers.get(server.0) else { return false };
        let response = match &entry.machine {
            ServerMachine::Invite(machine @ InviteServer::Accepted { .. }) => machine.response(),
            ServerMachine::Invite(machine @ InviteServer::Proceeding { .. }) => machine.on_retransmission(),
            ServerMachine::Invite(_) | ServerMachine::Other(_) => None,
        };
        let Some(response) = response else { return false };
        outbox.copy(response_id(server.0, entry.flow), entry.flow, response);
        true
    }

    /// The ACK for the 2xx came: its text is needed no more.
    pub fn acknowledged(&mut self, server: ServerId) {
        if let Some(ServerMachine::Invite(machine)) =
            self.servers.get_mut(server.0).map(|entry| &mut entry.machine)
        {
            machine.on_acknowledged();
        }
    }

    /// Whether a final response can still be given.
    pub fn is_open(&self, server: ServerId) -> bool {
        self.servers.get(server.0).is_some_and(|entry| entry.echo().is_some())
    }

    /// What it was opened with.
    pub fn owner(&self, server: ServerId) -> Option<O> {
        self.servers.get(server.0).map(|entry| entry.owner)
    }

    /// Gives it to another owner.
    pub fn set_owner(&mut self, server: ServerId, owner: O) {
        if let Some(entry) = self.servers.get_mut(server.0) {
            entry.owner = owner;
        }
    }

    pub(super) fn server_due(&mut self, now: Time, at: Time, id: SlabId, outbox: &mut Outbox) {
        let Some(entry) = self.servers.get_mut(id).filter(|entry| entry.armed == Some(at)) else { return };
        entry.armed = None;
        match &mut entry.machine {
            ServerMachine::Invite(machine) => match machine.on_timer(now) {
                Some(invite_server::OnTimer::Retransmit) => {
                    let response = machine.response().unwrap_or_default();
                    outbox.copy(response_id(id, entry.flow), entry.flow, response);
                }
                Some(invite_server::OnTimer::NoAck) => {
                    let owner = entry.owner;
                    self.events.push_back(TransactionEvent::NoAck { server: ServerId(id), owner });
                }
                Some(invite_server::OnTimer::End) | None => {}
            },
            ServerMachine::Other(machine) => match machine.on_timer(now) {
                Some(server::OnTimer::SendTrying) => {
                    let trying = |writer: Writer<'_>| writer.finish(None);
                    // It is open: only Trying asks for a 100.
                    let _ = self.respond(now, ServerId(id), 100, None, outbox, trying);
                }
                Some(server::OnTimer::End) | None => {}
            },
        }
        self.settle_server(now, id);
    }

    /// See [`Table::catch_up`].
    pub(super) fn servers_catch_up(&mut self, now: Time, gap: Gap) {
        for id in self.servers.ids() {
            match self.servers.get_mut(id).map(|entry| &mut entry.machine) {
                Some(ServerMachine::Invite(machine)) => machine.catch_up(now, gap),
                Some(ServerMachine::Other(machine)) => machine.catch_up(now, gap),
                None => continue,
            }
            self.settle_server(now, id);
        }
    }

    fn settle_server(&mut self, now: Time, id: SlabId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        match entry.deadline() {
            Some(at) if entry.armed != Some(at) => {
                entry.armed = Some(at);
                self.deadlines.arm(now, at - now, Due::Server(id));
            }
            None if entry.is_over() => self.remove_server(id),
            Some(_) | None => {}
        }
    }

    fn remove_server(&mut self, id: SlabId) {
        let Some(entry) = self.servers.remove(id) else { return };
        self.shares.give(&entry.party);
        if let Ok(place) = self.by_server_key.find_entry(entry.key.hash(), |&index| index == id.index) {
            place.remove();
        }
        let Some(merge) = entry.merge else { return };
        if let Ok(place) = self.by_merge_key.find_entry(merge.hash(), |&index| index == id.index) {
            place.remove();
        }
    }

    pub(super) fn retry_response(&mut self, id: SlabId, outbox: &mut Outbox) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        if !entry.flow.transport.is_reliable() || entry.fallback_port == 0 {
            return;
        }
        entry.flow.connection = 0;
        entry.flow.peer = SocketAddr::new(entry.flow.peer.ip(), entry.fallback_port);
        entry.fallback_port = 0;
        let last = match &entry.machine {
            ServerMachine::Invite(machine) => machine.response().or_else(|| machine.on_retransmission()),
            ServerMachine::Other(machine) => machine.on_retransmission(),
        };
        if let Some(response) = last {
            outbox.copy(response_id(id, entry.flow), entry.flow, response);
        }
    }

    /// Where an open request came from.
    pub fn source(&self, server: ServerId) -> Option<IpAddr> {
        self.servers.get(server.0).map(|entry| entry.flow.peer.ip())
    }

    fn find_server(&self, key: Key) -> Option<SlabId> {
        let same = |index: &u32| self.servers.at(*index).is_some_and(|(_, entry)| entry.key == key);
        let index = *self.by_server_key.find(key.hash(), same)?;
        self.servers.at(index).map(|(id, _)| id)
    }

    fn find_merge(&self, key: Key) -> bool {
        let same = |index: &u32| self.servers.at(*index).is_some_and(|(_, entry)| entry.merge == Some(key));
        self.by_merge_key.find(key.hash(), same).is_some()
    }
}

impl<O> ServerEntry<O> {
    fn echo(&self) -> Option<&Echo> {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.echo(),
            ServerMachine::Other(machine) => machine.echo(),
        }
    }

    fn on_sent(&mut self, now: Time, status: u16, response: Box<[u8]>) {
        let reliable = self.flow.transport.is_reliable();
        match &mut self.machine {
            ServerMachine::Invite(machine) => machine.on_sent(now, reliable, status, response),
            ServerMachine::Other(machine) => machine.on_sent(now, reliable, status, response),
        }
    }

    fn deadline(&self) -> Option<Time> {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.deadline(),
            ServerMachine::Other(machine) => machine.deadline(),
        }
    }

    fn is_over(&self) -> bool {
        matches!(
            self.machine,
            ServerMachine::Invite(InviteServer::Terminated) | ServerMachine::Other(Server::Terminated)
        )
    }
}

fn server_hash<O>(servers: &Slab<ServerEntry<O>>, index: u32) -> u64 {
    servers.at(index).map_or(0, |(_, entry)| entry.key.hash())
}

fn merge_hash<O>(servers: &Slab<ServerEntry<O>>, index: u32) -> u64 {
    servers.at(index).and_then(|(_, entry)| entry.merge).map_or(0, Key::hash)
}

/// By UDP nobody cares: the peer's retransmission repairs it.
fn response_id(id: SlabId, flow: Flow) -> u64 {
    if flow.transport.is_reliable() { transmit_id(SERVER, id) } else { 0 }
}

/// Where responses go: by stream over the connection that the request came by; by UDP to the source address, at the
/// source port if `rport` is there, else at that of sent-by (RFC 3261 §18.2.2, RFC 3581 §4; `maddr` is not followed,
/// because no packet goes to an address that a peer names). And the port of sent-by.
pub(crate) fn response_flow(flow: Flow, request: &Message<'_>) -> (Flow, u16) {
    let via = request.via();
    let sent_by = via.port.unwrap_or(5060);
    let mut to = flow;
    if !flow.transport.is_reliable() && via.rport().is_none() {
        to.peer.set_port(sent_by);
    }
    (to, sent_by)
}

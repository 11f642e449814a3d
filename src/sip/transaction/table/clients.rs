//! The table's half for requests of ours: sending, matching responses, ACK for 300-699, CANCEL.

use super::super::client::{self, Client};
use super::super::invite_client::{self, InviteClient};
use super::super::key::Key;
use super::super::{Answer, Cancelled, ClientId, GivenUp, Kind, Outgoing, TransactionEvent};
use super::{Due, ELSEWHERE, Table, slab_id};
use crate::sip::flow::Flow;
use crate::sip::outbox::{Outbox, TOLD};
use crate::sip::pace::Gap;
use crate::sip::slab::{Slab, SlabId};
use crate::sip::timing::Time;
use crate::wire::{Framing, Index, Message, Method, Name, Writer, identify};

#[derive(Debug)]
pub(super) enum ClientMachine {
    Invite(InviteClient),
    Other(Client),
}

#[derive(Debug)]
pub(super) struct ClientEntry<O> {
    key: Key,
    /// `None`: a CANCEL, whose fate interests nobody.
    pub(super) owner: Option<O>,
    pub(super) flow: Flow,
    machine: ClientMachine,
    /// Whether it cannot be cancelled. By a stream the network tells when it has left.
    recallable: bool,
    /// See [`Outgoing::told`].
    told: bool,
    /// [`ELSEWHERE`], as it stands in the ids of its transmits now.
    pub(super) elsewhere: bool,
    /// A copy of it may have left. Not said of the first one by UDP before something shows it: a second one, or a response.
    pub(super) left: bool,
    /// The deadline that is valid; others that pop are stale.
    armed: Option<Time>,
}

impl<O: Copy> Table<O> {
    /// Sends a request: `write` gets an empty buffer and leaves the whole message in it. Not for ACK and CANCEL.
    pub fn send(
        &mut self,
        now: Time,
        flow: Flow,
        request: Outgoing<'_, O>,
        outbox: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> ClientId {
        self.scratch.clear();
        write(&mut self.scratch);
        let key = self.keys.client(request.branch.as_bytes(), request.method);
        let reliable = flow.transport.is_reliable();
        let bytes: Box<[u8]> = self.scratch.as_slice().into();
        let machine = if request.method == Method::Invite.as_str().as_bytes() {
            ClientMachine::Invite(InviteClient::start(now, reliable, bytes))
        } else {
            ClientMachine::Other(Client::start(now, reliable, bytes))
        };
        let (owner, recallable, told) = (Some(request.owner), request.recallable, request.told);
        let (elsewhere, left, armed) = (false, false, None);
        let entry = ClientEntry { key, owner, flow, machine, recallable, told, elsewhere, left, armed };
        self.start_client(now, entry, outbox)
    }

    fn start_client(&mut self, now: Time, entry: ClientEntry<O>, outbox: &mut Outbox) -> ClientId {
        let (key, flow) = (entry.key, entry.flow);
        let id = self.clients.insert(entry);
        let clients = &self.clients;
        self.by_client_key.insert_unique(key.hash(), id.index, |&index| client_hash(clients, index));
        if let Some(entry) = self.clients.get(id)
            && let Some(request) = entry.request()
        {
            outbox.copy(entry.transmit_id(id), flow, request);
        }
        self.settle_client(now, id);
        ClientId(id)
    }

    /// The request that a response belongs to by its branch, with its owner and where it was sent. `None`: it is
    /// nobody's.
    pub fn request_of(&self, response: &Message<'_>) -> Option<(ClientId, Option<O>, Flow)> {
        response.status()?;
        // More than one Via: it is not for us (RFC 3261 §8.1.3.3).
        if response.values(Name::Via).nth(1).is_some() {
            return None;
        }
        let key = self.keys.client(response.branch()?, response.method_text());
        let clients = &self.clients;
        let same = |index: &u32| clients.at(*index).is_some_and(|(_, entry)| entry.key == key);
        let index = *self.by_client_key.find(key.hash(), same)?;
        let (id, entry) = self.clients.at(index)?;
        Some((ClientId(id), entry.owner, entry.flow))
    }

    /// A response to that request. `None`: a copy that was dealt with.
    pub fn receive_response(
        &mut self,
        now: Time,
        ClientId(id): ClientId,
        response: &Message<'_>,
        outbox: &mut Outbox,
    ) -> Option<Answer<O>> {
        let status = response.status()?;
        let (kind, cancel) = self.on_response(now, id, status, response, outbox);
        let owner = self.clients.get(id).and_then(|entry| entry.owner);
        if let Some(cancel) = cancel {
            self.send_cancel(now, id, cancel, outbox);
        }
        self.settle_client(now, id);
        Some(Answer { client: ClientId(id), owner: owner?, kind: kind? })
    }

    /// Steps the machine; gives what to pass up, and a CANCEL that waited for this response.
    fn on_response(
        &mut self,
        now: Time,
        id: SlabId,
        status: u16,
        response: &Message<'_>,
        outbox: &mut Outbox,
    ) -> (Option<Kind>, Option<Box<[u8]>>) {
        let (scratch, index) = (&mut self.scratch, &mut self.index);
        let Some(entry) = self.clients.get_mut(id) else { return (None, None) };
        entry.left = true;
        let (reliable, own) = (entry.flow.transport.is_reliable(), entry.transmit_id(id) & !TOLD);
        let invite = match &mut entry.machine {
            ClientMachine::Invite(invite) => invite,
            ClientMachine::Other(other) => {
                let kind = match other.on_response(now, reliable, status) {
                    client::OnResponse::Drop => None,
                    client::OnResponse::Provisional => Some(Kind::Provisional),
                    client::OnResponse::Final => Some(Kind::Final),
                };
                return (kind, None);
            }
        };
        let to = response.header(Name::To).unwrap_or(b"");
        let ack = |request: &[u8]| follow_up(request, Method::Ack, Some(to), b"", scratch, index);
        let (kind, send_ack, cancel) = match invite.on_response(now, reliable, status, ack) {
            invite_client::OnResponse::Drop => (None, false, None),
            invite_client::OnResponse::Provisional => (Some(Kind::Provisional), false, None),
            invite_client::OnResponse::ProvisionalThenCancel(cancel) => {
                (Some(Kind::Provisional), false, Some(cancel))
            }
            invite_client::OnResponse::Refused => (Some(Kind::Final), true, None),
            invite_client::OnResponse::AckAgain => (None, true, None),
            invite_client::OnResponse::Accepted => (Some(Kind::Final), false, None),
            invite_client::OnResponse::AcceptedAgain => (Some(Kind::Again), false, None),
        };
        if let (true, Some(ack)) = (send_ack, invite.ack()) {
            outbox.copy(own, entry.flow, ack);
        }
        if reliable && send_ack {
            // Timer D is zero: the ACK that was just sent was all that Completed was for.
            invite.on_timer(now);
        }
        (kind, cancel)
    }

    /// Cancels an INVITE: CANCEL with its branch, Request-URI and Route, now or on the first 1xx (RFC 3261 §9.1).
    /// `fields` are whole header lines to add (Reason), already clean.
    pub fn cancel(&mut self, now: Time, client: ClientId, fields: &[u8], outbox: &mut Outbox) -> Cancelled {
        let Some(entry) = self.clients.get_mut(client.0) else { return Cancelled::No };
        let ClientMachine::Invite(invite) = &mut entry.machine else { return Cancelled::No };
        let (scratch, index) = (&mut self.scratch, &mut self.index);
        let build = |request: &[u8]| follow_up(request, Method::Cancel, None, fields, scratch, index);
        match invite.cancel(now, build) {
            invite_client::OnCancel::No => Cancelled::No,
            invite_client::OnCancel::Wait => Cancelled::Waits,
            invite_client::OnCancel::Send(cancel) => {
                self.send_cancel(now, client.0, cancel, outbox);
                self.settle_client(now, client.0);
                Cancelled::Sent
            }
        }
    }

    /// A request that cannot be cancelled is not wanted any more: no copy of it is sent (Timer E). The transaction goes on,
    /// so that a late response finds it.
    pub fn give_up(&mut self, now: Time, client: ClientId) -> GivenUp {
        let Some(entry) = self.clients.get_mut(client.0) else { return GivenUp::Over };
        match &mut entry.machine {
            ClientMachine::Other(other) if other.request().is_some() => other.give_up(),
            ClientMachine::Other(_) | ClientMachine::Invite(_) => return GivenUp::Over,
        }
        let waits = entry.is_told() && !entry.left;
        self.settle_client(now, client.0);
        if waits { GivenUp::Waits } else { GivenUp::Left }
    }

    /// No copy of an INVITE is sent any more: nobody is there.
    pub(crate) fn stop(&mut self, now: Time, client: ClientId) {
        let Some(entry) = self.clients.get_mut(client.0) else { return };
        if let ClientMachine::Invite(invite) = &mut entry.machine {
            invite.stop();
            self.settle_client(now, client.0);
        }
    }

    /// The INVITEs by that flow that have heard nothing yet, with their owners.
    pub(crate) fn calling_by(&self, flow: Flow) -> Vec<(ClientId, O)> {
        let calls = |entry: &ClientEntry<O>| {
            let silent = matches!(entry.machine, ClientMachine::Invite(InviteClient::Calling { .. }));
            silent && (entry.flow.transport, entry.flow.listener) == (flow.transport, flow.listener)
        };
        let fitting = self.clients.iter().filter(|(_, entry)| calls(entry) && entry.flow.peer == flow.peer);
        fitting.filter_map(|(id, entry)| Some((ClientId(id), entry.owner?))).collect()
    }

    /// The transmit id of a request of ours, as it stands in the outbox.
    pub fn transmit_id(&self, client: ClientId) -> Option<u64> {
        self.clients.get(client.0).map(|entry| entry.transmit_id(client.0))
    }

    /// A CANCEL is a transaction of its own, with the branch of its INVITE.
    fn send_cancel(&mut self, now: Time, invite: SlabId, cancel: Box<[u8]>, outbox: &mut Outbox) {
        let Some(flow) = self.clients.get(invite).map(|entry| entry.flow) else { return };
        let Ok(message) = identify(&cancel, &mut self.index, Framing::Datagram) else { return };
        let Some(branch) = message.branch() else { return };
        let key = self.keys.client(branch, Method::Cancel.as_str().as_bytes());
        let machine = ClientMachine::Other(Client::start(now, flow.transport.is_reliable(), cancel));
        let (recallable, told, elsewhere, left) = (false, false, false, false);
        let (owner, armed) = (None, None);
        let entry = ClientEntry { key, owner, flow, machine, recallable, told, elsewhere, left, armed };
        self.start_client(now, entry, outbox);
    }

    pub(super) fn client_due(&mut self, now: Time, at: Time, id: SlabId, outbox: &mut Outbox) {
        let Some(entry) = self.clients.get_mut(id).filter(|entry| entry.armed == Some(at)) else { return };
        entry.armed = None;
        let (retransmit, timeout) = match &mut entry.machine {
            ClientMachine::Invite(invite) => {
                let fired = invite.on_timer(now);
                (
                    fired == Some(invite_client::OnTimer::Retransmit),
                    fired == Some(invite_client::OnTimer::Timeout),
                )
            }
            ClientMachine::Other(other) => {
                let fired = other.on_timer(now);
                (fired == Some(client::OnTimer::Retransmit), fired == Some(client::OnTimer::Timeout))
            }
        };
        if retransmit {
            // Nobody has said that the one before it could not be sent.
            entry.left = true;
        }
        if let (true, Some(request)) = (retransmit, entry.request()) {
            outbox.copy(entry.transmit_id(id), entry.flow, request);
        }
        if let (true, Some(owner)) = (timeout, entry.owner) {
            self.events.push_back(TransactionEvent::Timeout { client: ClientId(id), owner });
        }
        self.settle_client(now, id);
    }

    /// See [`Table::catch_up`].
    pub(super) fn clients_catch_up(&mut self, now: Time, gap: Gap) {
        for id in self.clients.ids() {
            match self.clients.get_mut(id).map(|entry| &mut entry.machine) {
                Some(ClientMachine::Invite(machine)) => machine.catch_up(now, gap),
                Some(ClientMachine::Other(machine)) => machine.catch_up(now, gap),
                None => continue,
            }
            self.settle_client(now, id);
        }
    }

    /// Arms the deadline if it changed; removes what is over.
    fn settle_client(&mut self, now: Time, id: SlabId) {
        let Some(entry) = self.clients.get_mut(id) else { return };
        match entry.deadline() {
            Some(at) if entry.armed != Some(at) => {
                entry.armed = Some(at);
                self.deadlines.arm(now, at - now, Due::Client(id));
            }
            None if entry.is_over() => self.remove_client(id),
            Some(_) | None => {}
        }
    }

    fn remove_client(&mut self, id: SlabId) {
        let Some(entry) = self.clients.remove(id) else { return };
        if let Ok(place) = self.by_client_key.find_entry(entry.key.hash(), |&index| index == id.index) {
            place.remove();
        }
    }

    /// Sends the request again by another flow.
    pub(super) fn repeat(&mut self, now: Time, id: SlabId, flow: Flow, outbox: &mut Outbox) {
        let Some(entry) = self.clients.get_mut(id) else { return };
        entry.flow = flow;
        entry.elsewhere = !entry.elsewhere;
        // Of this copy it is told anew.
        entry.left &= !entry.is_told();
        let Some(request) = entry.request() else { return };
        outbox.copy(entry.transmit_id(id), flow, request);
        if entry.is_cancelled() {
            let cancel = follow_up(request, Method::Cancel, None, b"", &mut self.scratch, &mut self.index);
            self.send_cancel(now, id, cancel, outbox);
        }
    }

    /// Whether a transmit of that id went by the flow that its request is sent by now.
    pub(super) fn is_current(&self, id: u64) -> bool {
        let elsewhere = id & ELSEWHERE != 0;
        self.clients.get(slab_id(id)).is_some_and(|entry| entry.elsewhere == elsewhere)
    }

    /// It cannot be sent. One that cannot be taken back and has left may have arrived: Timer F judges it, and its response
    /// may come by another connection (RFC 3261 §18.2.2).
    pub(super) fn fail_client(&mut self, id: SlabId) {
        let Some(entry) = self.clients.get(id) else { return };
        if entry.recallable && entry.left {
            return;
        }
        if let (Some(owner), Some(_)) = (entry.owner, entry.request()) {
            self.events.push_back(TransactionEvent::TransportFailed { client: ClientId(id), owner });
        }
        // Of a completed INVITE it was the ACK that failed: the layer above has its answer (RFC 3261 §17.1.1.2).
        if !entry.is_accepted() {
            self.remove_client(id);
        }
    }
}

impl<O> ClientEntry<O> {
    fn transmit_id(&self, id: SlabId) -> u64 {
        let told = if self.is_told() { TOLD } else { 0 };
        ClientId(id).transmit_id() | told | if self.elsewhere { ELSEWHERE } else { 0 }
    }

    /// Whether the network tells when it has left.
    pub(super) fn is_told(&self) -> bool {
        (self.recallable || self.told) && self.flow.transport.is_reliable()
    }

    pub(super) fn request(&self) -> Option<&[u8]> {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.request(),
            ClientMachine::Other(machine) => machine.request(),
        }
    }

    fn deadline(&self) -> Option<Time> {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.deadline(),
            ClientMachine::Other(machine) => machine.deadline(),
        }
    }

    fn is_over(&self) -> bool {
        matches!(
            self.machine,
            ClientMachine::Invite(InviteClient::Terminated) | ClientMachine::Other(Client::Terminated)
        )
    }

    /// Whether its CANCEL is out.
    fn is_cancelled(&self) -> bool {
        matches!(self.machine, ClientMachine::Invite(InviteClient::Proceeding { give_up: Some(_), .. }))
    }

    fn is_accepted(&self) -> bool {
        matches!(self.machine, ClientMachine::Invite(InviteClient::Accepted { .. }))
    }
}

fn client_hash<O>(clients: &Slab<ClientEntry<O>>, index: u32) -> u64 {
    clients.at(index).map_or(0, |(_, entry)| entry.key.hash())
}

/// The ACK (RFC 3261 §17.1.1.3) or the CANCEL (§9.1) that belongs to our INVITE: its Request-URI, Via, Route, From,
/// Call-ID and CSeq number. `to` is the response's for an ACK. Empty (and so never sent) if the INVITE does not read.
fn follow_up(
    invite: &[u8],
    method: Method,
    to: Option<&[u8]>,
    fields: &[u8],
    scratch: &mut Vec<u8>,
    index: &mut Index,
) -> Box<[u8]> {
    let Ok(invite) = identify(invite, index, Framing::Datagram) else {
        debug_assert!(false, "our own INVITE does not read");
        return Box::default();
    };
    let mut writer = Writer::request(scratch, method.as_str(), invite.uri_bytes());
    writer.header(Name::Via, invite.header(Name::Via).unwrap_or(b""));
    writer.header(Name::MaxForwards, "70");
    for route in invite.headers(Name::Route) {
        writer.header(Name::Route, route);
    }
    writer.header(Name::From, invite.header(Name::From).unwrap_or(b""));
    writer.header(Name::To, to.or_else(|| invite.header(Name::To)).unwrap_or(b""));
    writer.header(Name::CallId, invite.call_id());
    writer.header_fmt(Name::CSeq, format_args!("{} {}", invite.cseq().number, method.as_str()));
    if !fields.is_empty() {
        scratch.extend_from_slice(fields);
    }
    Writer::resume(scratch).finish(None);
    scratch.as_slice().into()
}

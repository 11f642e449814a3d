//! All transactions of one engine: slabs of machines, a hashed index over their keys, one set of deadlines.
//!
//! The machines decide; the table matches, writes and sends ([`clients`], [`servers`]). The owner type `O` is what the stack wants to be
//! told with an answer (a leg and a purpose); the table never looks at it.

use super::key::Keys;
use super::{ClientId, TransactionCounts, TransactionEvent};
use crate::sip::deadline::Deadlines;
use crate::sip::flow::Flow;
use crate::sip::outbox::Outbox;
use crate::sip::pace::Gap;
use crate::sip::shares::Shares;
use crate::sip::slab::{GENERATIONS, Slab, SlabId};
use crate::sip::timing::Time;
use crate::wire::Index;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::net::SocketAddr;

mod clients;
mod servers;

pub(crate) use servers::response_flow;

use clients::ClientEntry;
use servers::ServerEntry;

/// Bit of a transmit id that marks a request of ours; the generation and the index stand below.
const CLIENT: u64 = 1 << 61;
/// Bit that no transmit id of a transaction has: ids from here up belong to the layer above.
pub(crate) const OTHER: u64 = 1 << 63;
/// Bit of a transmit id that marks a response of ours.
const SERVER: u64 = 1 << 62;
/// Bit of a transmit id that changes each time a request is sent by another flow: that the copy before could not be sent
/// may be told later, and says nothing of this one.
const ELSEWHERE: u64 = 1 << 59;

/// Requests of peers that are remembered at the same time, those that are only kept for their copies among them: 0.2 to
/// 0.9 kB each. At 4,000 calls/s there are 256,000.
const SERVERS: usize = 400_000;

#[derive(Clone, Copy, Debug)]
enum Due {
    Client(SlabId),
    Server(SlabId),
}

/// All transactions. One for each engine.
pub struct Table<O> {
    keys: Keys,
    clients: Slab<ClientEntry<O>>,
    servers: Slab<ServerEntry<O>>,
    /// Indexes into the slabs, hashed by key.
    by_client_key: HashTable<u32>,
    by_server_key: HashTable<u32>,
    by_merge_key: HashTable<u32>,
    /// Places of `servers`, by party; and whose the next one is.
    shares: Shares<Option<u16>>,
    serving: Option<u16>,
    deadlines: Deadlines<Due>,
    events: VecDeque<TransactionEvent<O>>,
    /// Where messages are written before they are copied to exact size.
    scratch: Vec<u8>,
    /// For reading our own INVITE when it is to be acknowledged or cancelled.
    index: Index,
}

impl<O: Copy> std::fmt::Debug for Table<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Table").field(&self.counts()).finish()
    }
}

/// A transmit id of that kind.
pub(crate) fn transmit_id(kind: u64, id: SlabId) -> u64 {
    kind | u64::from(id.generation) << 32 | u64::from(id.index)
}

/// The place that a transmit id names.
pub(crate) fn slab_id(id: u64) -> SlabId {
    SlabId { index: id as u32, generation: (id >> 32) as u32 & (GENERATIONS - 1) }
}

impl ClientId {
    /// The id under which the request, its retransmissions, its ACK (300-699) and nothing else stand in the outbox.
    pub fn transmit_id(self) -> u64 {
        transmit_id(CLIENT, self.0)
    }
}

// Making, asking, time.
impl<O: Copy> Table<O> {
    /// `hash_key` is random ([`crate::sip::ident::Ident::hash_key`]).
    pub fn new(hash_key: [u8; 16]) -> Table<O> {
        Table {
            keys: Keys::new(&hash_key),
            clients: Slab::default(),
            servers: Slab::default(),
            by_client_key: HashTable::new(),
            by_server_key: HashTable::new(),
            by_merge_key: HashTable::new(),
            shares: Shares::new(SERVERS, 1),
            serving: None,
            deadlines: Deadlines::default(),
            events: VecDeque::new(),
            scratch: Vec::new(),
            index: Index::default(),
        }
    }

    /// How many parties share the places for requests of peers.
    pub(crate) fn set_parties(&mut self, parties: usize) {
        self.shares.set_parties(parties);
    }

    /// Requests that are opened from now on are of that party.
    pub(crate) fn serves(&mut self, party: Option<u16>) {
        self.serving = party;
    }

    /// Whether that party may have one more open.
    pub(crate) fn has_place(&self) -> bool {
        self.shares.has_place(&self.serving)
    }

    /// Serves at most `max` due deadlines and says how many it served; `max` = more may be due.
    pub fn tick(&mut self, now: Time, max: usize, outbox: &mut Outbox) -> usize {
        for served in 0..max {
            match self.deadlines.pop_due(now) {
                Some((at, Due::Client(id))) => self.client_due(now, at, id, outbox),
                Some((at, Due::Server(id))) => self.server_due(now, at, id, outbox),
                None => return served,
            }
        }
        max
    }

    /// The process stood still, and what had arrived meanwhile was handed in: copies of ours that are overdue go out with
    /// the next [`Table::tick`].
    pub fn catch_up(&mut self, now: Time, gap: Gap) {
        self.clients_catch_up(now, gap);
        self.servers_catch_up(now, gap);
    }

    /// When [`Table::tick`] is to be called next.
    pub fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// What happened without a message. Drained after each call that takes `now`.
    pub fn poll_event(&mut self) -> Option<TransactionEvent<O>> {
        self.events.pop_front()
    }

    /// How many there are.
    pub fn counts(&self) -> TransactionCounts {
        TransactionCounts {
            clients: self.clients.len(),
            servers: self.servers.len(),
            deadlines: self.deadlines.len(),
        }
    }

    /// Whether nothing is left: no transaction, no event, no deadline.
    pub fn is_empty(&self) -> bool {
        self.counts() == TransactionCounts::default() && self.events.is_empty()
    }

    /// Transmit `id` could not be sent. A request fails ([`TransactionEvent::TransportFailed`]). A response on a
    /// stream is sent once more over a new connection to sent-by (RFC 3261 §18.2.2); by UDP the peer's own
    /// retransmission asks for it again.
    pub fn send_failed(&mut self, id: u64, outbox: &mut Outbox) {
        if id & OTHER != 0 {
            return;
        }
        if id & CLIENT != 0 {
            if self.is_current(id) {
                self.fail_client(slab_id(id));
            }
        } else if id & SERVER != 0 {
            self.retry_response(slab_id(id), outbox);
        }
    }

    /// Transmit `id`, which asked to be told, has left or can at least not be taken back any more. Gives the request and
    /// its owner, if it still waits for an answer.
    pub fn sent(&mut self, id: u64) -> Option<(ClientId, O)> {
        if id & (OTHER | CLIENT) != CLIENT {
            return None;
        }
        let entry = self.clients.get_mut(slab_id(id))?;
        entry.left = true;
        entry.request()?;
        Some((ClientId(slab_id(id)), entry.owner?))
    }

    /// A stream died: the requests that wait for an answer over it fail.
    pub fn flow_closed(&mut self, connection: u64) {
        self.reroute(Time::default(), (connection, None), &mut Outbox::default(), |_, _, _, _| None);
    }

    /// The same, but `other` may name a flow for a request, which is sent once more by that: the peer may not have it, and
    /// answers a copy as it answered the first (RFC 3261 §17.2). It is told whether that has happened before. `CANCEL`s follow
    /// their INVITEs.
    pub(crate) fn reroute(
        &mut self,
        now: Time,
        (connection, peer): (u64, Option<SocketAddr>),
        outbox: &mut Outbox,
        mut other: impl FnMut(ClientId, O, Flow, bool) -> Option<Flow>,
    ) {
        if connection == 0 {
            return;
        }
        // One that was sent without the name of a connection, and has left, went by the one to its peer.
        let by = |flow: Flow, left: bool| {
            let same = left && flow.transport.is_reliable() && Some(flow.peer) == peer;
            flow.connection == connection || (flow.connection == 0 && same)
        };
        let waits = |entry: &ClientEntry<O>| {
            by(entry.flow, entry.is_told() && entry.left) && entry.request().is_some()
        };
        let mut waiting: Vec<(SlabId, Option<O>, Flow, bool)> = self
            .clients
            .iter()
            .filter(|(_, e)| waits(e))
            .map(|(id, e)| (id, e.owner, e.flow, e.elsewhere))
            .collect();
        // Those of nobody come first.
        waiting.sort_by_key(|(_, owner, ..)| owner.is_some());
        for (id, owner, flow, again) in waiting {
            match owner.and_then(|owner| other(ClientId(id), owner, flow, again)) {
                Some(flow) => self.repeat(now, id, flow, outbox),
                None => {
                    // It may have left by that connection. One that still waited to be written counts so too: that is
                    // silence, which claims less than a refusal.
                    self.clients.get_mut(id).into_iter().for_each(|entry| entry.left = true);
                    self.fail_client(id);
                }
            }
        }
    }
}

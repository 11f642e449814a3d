//! All legs of one engine with their transactions and deadlines.
//!
//! Four kinds of method, told by prefix: getters (bare nouns), `handle_*` (something happened), verbs (do
//! something; they stand in `leg/`, one file for each), `poll_*` (what comes of it). Every verb on a leg that is over
//! is a no-op that says so in its return.
//!
//! Every leg lives until it is over **and** [`Stack::release`] was called for it: whoever got an [`Event::Incoming`]
//! or called [`Stack::connect`] releases it once.

use super::deadline::Deadlines;
use super::door::{Neighbours, Party, Untaken};
use super::flow::{Flow, Listener};
use super::ident::{Ident, Seed};
use super::leg::challenge::Declined;
use super::leg::usage::{self, Leg, PendingUac, Usage};
use super::leg::{Event, LegId, Origin, SentId, session_timer};
use super::offer_answer::differs;
use super::outbox::Outbox;
use super::quarantine::Quarantine;
use super::shares::Asker;
use super::slab::{Slab, SlabId};
use super::timing::{Now, Time};
use super::transaction::{ClientId, OTHER, Table, TransactionEvent, slab_id};
use crate::observe::secret::Secret;
use crate::wire::{Fault, Index, Message, Method};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use std::collections::VecDeque;
use std::hash::Hasher;
use std::net::SocketAddr;

pub use super::outbox::Transmit;

/// A name and a password for a challenge (RFC 8760: SHA-256 first, else MD5).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name.
    pub username: Box<str>,
    /// The password.
    pub password: Secret,
    /// The one realm that they are for, as between the quotes; None: any that asks at the right place.
    pub realm: Option<Box<[u8]>>,
}

/// What a stack is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our sockets; [`Flow::listener`] indexes them.
    pub listeners: Vec<Listener>,
    /// Whom legs belong to; they name them by index.
    pub parties: Vec<Party>,
    /// For identifiers and for the keys of hash tables.
    pub seed: Seed,
    /// `Server` and `User-Agent`.
    pub product: Box<str>,
    /// What is asked for and taken of session timers; None: they are not supported.
    pub session_timer: Option<session_timer::Settings>,
}

/// What Baton calls itself in `Server` and `User-Agent`.
pub const PRODUCT: &str = concat!("Baton/", env!("CARGO_PKG_VERSION"));

/// The leg is over or unknown: nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leg is over")]
pub struct Gone;

/// Why a request cannot be sent inside a leg now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Nothing can be sent in it any more.
    #[error("the leg is over")]
    Gone,
    /// An offer is outstanding (RFC 3261 §14.1, RFC 3311 §5.1): the peer who asked gets 491.
    #[error("an offer is outstanding")]
    Pending,
}

/// Where a leg stands, for those who look at it from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegState {
    /// INVITE sent or received, no 101-199 yet.
    Trying,
    /// A 101-199 was sent or received.
    Ringing,
    /// A 2xx was sent or received, its ACK not yet.
    Answered,
    /// ACKed.
    Confirmed,
    /// CANCEL or BYE is on its way.
    Closing,
    /// Nothing can be sent any more.
    Over,
}

/// How much a stack holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Legs, those included that are over and not yet released.
    pub legs: usize,
    /// Client transactions.
    pub clients: usize,
    /// Server transactions.
    pub servers: usize,
    /// Armed deadlines.
    pub deadlines: usize,
}

/// Whose a transaction is: a leg's, or nobody's (a request that was refused at the door).
pub(crate) type Owner = Option<LegId>;

/// Bit of the ids of [`Stack::poll_resolve`].
const QUERY: u64 = 1 << 63;

/// The leg that a question is of.
fn asked_by(query: u64) -> LegId {
    SlabId { index: query as u32, generation: ((query & !QUERY) >> 32) as u32 }.into()
}

/// All legs of one engine.
pub struct Stack {
    pub(crate) settings: Settings,
    pub(crate) ident: Ident,
    pub(crate) legs: Slab<Leg>,
    /// Slab indexes by Call-ID. Tags are compared in the leg: a Call-ID has one leg, but for a spiral or a forgery.
    by_call_id: HashTable<u32>,
    hash_key: [u8; 16],
    pub(crate) table: Table<Owner>,
    pub(crate) outbox: Outbox,
    deadlines: Deadlines<LegId>,
    /// Where new calls are tried last.
    pub(crate) quarantine: Quarantine,
    pub(crate) events: VecDeque<Event>,
    pub(crate) resolves: VecDeque<(u64, Box<[u8]>)>,
    /// Transmits to be taken back.
    pub(crate) recalls: VecDeque<u64>,
    /// Retry-After of the 503 to OPTIONS, in seconds.
    pub(crate) draining: Option<u32>,
    /// Where messages are written before their size is known.
    pub(crate) scratch: Vec<u8>,
    /// For reading our own requests when they are sent again with credentials or by another flow.
    pub(crate) index: Index,
    last_sent: u64,
    /// The request at hand belongs to no leg, and was refused with that status.
    pub(crate) strayed: Option<u16>,
    /// See [`Stack::take_declined`].
    pub(crate) declined: Option<(LegId, Declined)>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stack").field(&self.counts()).finish()
    }
}

impl From<LegId> for SlabId {
    fn from(leg: LegId) -> SlabId {
        SlabId { index: leg.index, generation: leg.generation }
    }
}

impl From<SlabId> for LegId {
    fn from(id: SlabId) -> LegId {
        LegId { index: id.index, generation: id.generation }
    }
}

// Making, input, output.
impl Stack {
    /// An empty stack.
    pub fn new(settings: Settings) -> Stack {
        let mut ident = Ident::new(settings.seed);
        let (hash_key, table_key) = (ident.hash_key(), ident.hash_key());
        let mut table = Table::new(table_key);
        table.set_parties(settings.parties.len());
        Stack {
            settings,
            ident,
            legs: Slab::default(),
            by_call_id: HashTable::new(),
            hash_key,
            table,
            outbox: Outbox::default(),
            deadlines: Deadlines::default(),
            quarantine: Quarantine::default(),
            events: VecDeque::new(),
            resolves: VecDeque::new(),
            recalls: VecDeque::new(),
            draining: None,
            scratch: Vec::new(),
            index: Index::default(),
            last_sent: 0,
            strayed: None,
            declined: None,
        }
    }

    /// New settings for future messages (a reload): the parties only. Each keeps its index.
    pub fn set_parties(&mut self, parties: Vec<Party>) {
        self.table.set_parties(parties.len());
        self.settings.parties = parties;
    }

    /// While draining, OPTIONS outside dialogs is answered 503 with Retry-After in seconds; `None`: 200.
    pub fn set_draining(&mut self, retry_after: Option<u32>) {
        self.draining = retry_after;
    }

    /// A message that `wire::identify` accepted. Inside a dialog its source is judged by [`super::door`]; outside of one
    /// only a known source is heard. At most one event, about this message; events that no message caused come from
    /// [`Stack::poll_event`].
    ///
    /// # Errors
    /// Why it had no effect. What is malformed in a new request: a known source was answered with it.
    pub fn handle_message(
        &mut self,
        now: Now,
        flow: Flow,
        message: &Message<'_>,
        neighbours: &dyn Neighbours,
    ) -> Result<Option<Event>, Untaken> {
        let event = if message.is_request() {
            self.on_request(now.mono, flow, message, neighbours)
        } else {
            self.on_response(now.mono, flow, message, neighbours)
        };
        self.drain_transactions(now.mono);
        event
    }

    /// A request that `wire::identify` refused but that can be answered (`wire::salvage`): 400, 505 … to a known source,
    /// statelessly.
    pub fn handle_fault(&mut self, flow: Flow, message: &Message<'_>, fault: Fault, why: Option<&str>) {
        if let Some(why) = why.filter(|_| message.method() != Method::Ack) {
            self.refuse_statelessly(flow, message, (fault.status(), fault.reason()), why);
        }
    }

    /// The network could not send transmit `id` (ICMP unreachable, connect failure, full queue): the client
    /// transaction fails with a local 503.
    pub fn handle_send_failed(&mut self, now: Now, id: u64) {
        if id & OTHER != 0 {
            self.ack_failed(now.mono, slab_id(id).into());
        }
        self.table.send_failed(id, &mut self.outbox);
        self.drain_transactions(now.mono);
    }

    /// A stream died: requests in flight on it are sent again over a new one to where their dialog says. A REFER is not, nor
    /// what would go by another transport: those fail as above.
    pub fn handle_flow_closed(&mut self, now: Now, connection: u64, peer: SocketAddr) {
        self.drop_connection(connection);
        let legs = &self.legs;
        let other = |client: ClientId, owner: Owner, before: Flow, again: bool| {
            let leg = legs.get(owner?.into())?;
            let sent = leg.sent.iter().find(|sent| sent.client == client)?;
            if sent.kind == usage::Kind::Invite {
                // It may have been closing already; a second time nobody is there.
                let once = sent.attempt.is_answered() || !again;
                let wanted = !sent.attempt.is_unwanted() && sent.fallback.is_none();
                return (once && wanted).then_some(Flow { connection: 0, ..before });
            }
            let may = sent.kind != usage::Kind::Refer && sent.branch.is_none();
            let same = (leg.flow.transport, leg.flow.listener) == (before.transport, before.listener);
            (may && same).then_some(leg.flow)
        };
        self.table.reroute(now.mono, (connection, Some(peer)), &mut self.outbox, other);
        self.drain_transactions(now.mono);
    }

    /// Addresses for the name that `poll_resolve` asked for; none if it has none (then the leg goes on as before). Of
    /// the flows only the address counts: port and transport stand in the dialog's URI.
    pub fn handle_resolved(&mut self, _now: Now, query: u64, flows: &[Flow]) {
        if query & QUERY == 0 {
            return;
        }
        if let Some(flow) = flows.first() {
            self.aim_at(asked_by(query), *flow);
        }
    }

    /// Serves at most `max` due deadlines; true if more are due.
    pub fn handle_tick(&mut self, now: Now, max: usize) -> bool {
        let mut served = self.table.tick(now.mono, max, &mut self.outbox);
        self.drain_transactions(now.mono);
        while served < max {
            let Some((at, leg)) = self.deadlines.pop_due(now.mono) else { break };
            served += 1;
            let entry = self.legs.get_mut(leg.into()).filter(|entry| entry.armed == Some(at));
            if let Some(entry) = entry {
                entry.armed = None;
                self.on_due(now.mono, leg);
                self.settle(now.mono, leg);
            }
        }
        self.drain_transactions(now.mono);
        self.deadline().is_some_and(|at| at <= now.mono)
    }

    /// What no message caused: timeouts, transport faults.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent, oldest first.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.poll()
    }

    /// What [`Stack::poll_transmit`] gives next.
    pub fn next_transmit(&self) -> Option<Transmit<'_>> {
        self.outbox.peek()
    }

    /// Next-hop URIs of dialogs whose host is a name, to be answered by [`Stack::handle_resolved`]; ids from 1<<63 up.
    pub fn poll_resolve(&mut self) -> Option<(u64, Box<[u8]>)> {
        self.resolves.pop_front()
    }

    /// For whom a question of [`Stack::poll_resolve`] is.
    pub fn asker(&self, query: u64) -> Asker {
        Asker { party: self.party(asked_by(query)), of: self.settings.parties.len(), in_dialog: true }
    }

    /// When [`Stack::handle_tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        self.table.deadline().into_iter().chain(self.deadlines.next()).min()
    }

    /// Nothing left: no leg, transaction, event or deadline, and nothing to send.
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
            && self.table.is_empty()
            && self.deadlines.is_empty()
            && self.events.is_empty()
            && self.resolves.is_empty()
            && self.recalls.is_empty()
            && self.outbox.is_empty()
    }

    /// How much is left.
    pub fn counts(&self) -> Counts {
        let table = self.table.counts();
        Counts {
            legs: self.legs.len(),
            clients: table.clients,
            servers: table.servers,
            deadlines: table.deadlines + self.deadlines.len(),
        }
    }
}

// Getters on legs.
impl Stack {
    /// The Call-ID header of a leg.
    pub fn sip_call_id(&self, leg: LegId) -> Option<&[u8]> {
        self.legs.get(leg.into()).map(|leg| leg.dialog.call_id())
    }

    /// The path to the peer of a leg.
    pub fn peer(&self, leg: LegId) -> Option<Flow> {
        self.legs.get(leg.into()).map(|leg| leg.flow)
    }

    /// Whose a leg is: an index into the settings' parties.
    pub fn party(&self, leg: LegId) -> Option<u16> {
        self.legs.get(leg.into())?.party()
    }

    /// Where a leg stands; None once it is gone.
    pub fn state(&self, leg: LegId) -> Option<LegState> {
        self.legs.get(leg.into()).map(Leg::state)
    }

    /// The SDP that we sent last in a leg (as it went out, with the leg's own `o=`) and that was not refused.
    pub fn local_sdp(&self, leg: LegId) -> Option<&[u8]> {
        let sdp = self.legs.get(leg.into())?.session().local();
        (!sdp.is_empty()).then_some(sdp)
    }

    /// The SDP of the peer that stands in a leg.
    pub fn remote_sdp(&self, leg: LegId) -> Option<&[u8]> {
        let session = self.legs.get(leg.into())?.session();
        let sdp = if session.remote().is_empty() { session.proposed()? } else { session.remote() };
        (!sdp.is_empty()).then_some(sdp)
    }

    /// The peer's offer in a leg that waits for our answer.
    pub fn proposed_sdp(&self, leg: LegId) -> Option<&[u8]> {
        let session = self.legs.get(leg.into())?.session();
        let sdp = session.offered_now()?;
        (!sdp.is_empty()).then_some(sdp)
    }

    /// Whether the peer of a leg may have another SDP of ours than [`Stack::local_sdp`]: an offer was never answered, or by a
    /// proxy that knew no better.
    pub fn is_unsure(&self, leg: LegId) -> bool {
        self.legs.get(leg.into()).is_some_and(|leg| leg.session().is_unsure())
    }

    /// Whether the peer has agreed to the last offer that we made in a leg: a 2xx without an answer agrees to nothing.
    pub fn is_agreed(&self, leg: LegId) -> bool {
        self.legs.get(leg.into()).is_some_and(|leg| leg.session().is_agreed())
    }

    /// Whether the peer's offer that waits for our answer says what stands once more, but for its `o=` line.
    pub fn repeats(&self, leg: LegId) -> bool {
        let Some(session) = self.legs.get(leg.into()).map(Leg::session) else { return false };
        session.offered_now().is_some_and(|offer| !differs(session.remote(), offer))
    }

    /// Whether our 2xx in a leg waits for its ACK, and nothing else keeps a request about the session from being sent in it.
    pub fn waits_for_ack(&self, leg: LegId) -> bool {
        self.legs.get(leg.into()).is_some_and(|leg| {
            leg.is_answered() && leg.unacked.is_some() && !leg.asks_invite() && leg.unanswered().is_none()
        })
    }

    /// When the leg's session is over, unless it is refreshed (RFC 4028).
    pub fn session_expiry(&self, leg: LegId) -> Option<Time> {
        self.legs.get(leg.into())?.session_expiry()
    }

    /// The leg with that Call-ID.
    pub fn find_leg_by_call_id(&self, call_id: &[u8]) -> Option<LegId> {
        self.find_leg(call_id, |_| true)
    }
}

// The legs and their index.
impl Stack {
    /// The key of its hashes.
    pub(crate) fn hash_key(&self) -> &[u8; 16] {
        &self.hash_key
    }

    /// The leg with that Call-ID of which `fits` is true.
    pub(crate) fn find_leg(&self, call_id: &[u8], fits: impl Fn(&Leg) -> bool) -> Option<LegId> {
        let same = |index: &u32| {
            self.legs.at(*index).is_some_and(|(_, leg)| leg.dialog.call_id() == call_id && fits(leg))
        };
        let index = *self.by_call_id.find(hash(&self.hash_key, call_id), same)?;
        self.legs.at(index).map(|(id, _)| id.into())
    }

    pub(crate) fn add_leg(&mut self, leg: Leg) -> LegId {
        let id = self.legs.insert(leg);
        let (key, legs) = (self.hash_key, &self.legs);
        let hasher = |index: &u32| legs.at(*index).map_or(0, |(_, leg)| hash(&key, leg.dialog.call_id()));
        self.by_call_id.insert_unique(hasher(&id.index), id.index, hasher);
        id.into()
    }

    /// After anything that changed a leg: arms its earliest deadline, or takes it away if it is over, released and
    /// done.
    pub(crate) fn settle(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        if leg.released && leg.is_done() {
            self.remove_leg(id);
            return;
        }
        leg.shrink();
        match leg.usage {
            Usage::Offered(_) | Usage::Calling(_) | Usage::Confirmed => {}
            Usage::Refusing | Usage::Closing | Usage::Over => leg.keepalive = None,
        }
        let Some(at) = leg.next_deadline() else { return };
        if leg.armed.is_none_or(|armed| at < armed) {
            leg.armed = Some(self.deadlines.arm(now, at - now, id));
        }
    }

    fn remove_leg(&mut self, id: LegId) {
        let Some(leg) = self.legs.remove(id.into()) else { return };
        let hash = hash(&self.hash_key, leg.dialog.call_id());
        if let Ok(place) = self.by_call_id.find_entry(hash, |&index| index == id.index) {
            place.remove();
        }
        if self.legs.is_empty() {
            // All that is armed is stale.
            self.deadlines = Deadlines::default();
        }
    }

    /// An event of a leg: None if nobody cares for the leg any more.
    pub(crate) fn told(&self, leg: LegId, event: Event) -> Option<Event> {
        self.legs.get(leg.into()).filter(|leg| !leg.released).map(|_| event)
    }

    /// Queues an event that no message caused.
    pub(crate) fn tell(&mut self, leg: LegId, event: Event) {
        let event = self.told(leg, event);
        self.events.extend(event);
    }

    /// What tells a request from all others, and is the same for its copies.
    pub(crate) fn mark_of(&self, request: &Message<'_>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        for part in [Some(request.call_id()), request.from_tag(), request.branch()] {
            hasher.write(part.unwrap_or(b""));
            hasher.write_u8(0);
        }
        hasher.write_u32(request.cseq().number);
        hasher.finish()
    }

    /// A name for a request of ours.
    pub(crate) fn next_sent(&mut self) -> SentId {
        self.last_sent += 1;
        SentId(self.last_sent)
    }

    /// The id of a question for the address of a leg's next hop.
    pub(crate) fn query(leg: LegId) -> u64 {
        QUERY | u64::from(leg.generation) << 32 | u64::from(leg.index)
    }

    /// Takes a request of ours out of its leg.
    pub(crate) fn take_sent(&mut self, leg: LegId, client: ClientId) -> Option<PendingUac> {
        let sent = &mut self.legs.get_mut(leg.into())?.sent;
        let place = sent.iter().position(|sent| sent.client == client)?;
        Some(sent.remove(place))
    }

    pub(crate) fn drain_transactions(&mut self, now: Time) {
        while let Some(event) = self.table.poll_event() {
            let (client, owner, status) = match event {
                TransactionEvent::Timeout { client, owner } => (client, owner, 408),
                TransactionEvent::TransportFailed { client, owner } => (client, owner, 503),
                TransactionEvent::Acknowledged { owner } => {
                    self.on_refusal_done(now, owner, (200, Origin::Remote));
                    continue;
                }
                TransactionEvent::NoAck { owner, .. } => {
                    self.on_refusal_done(now, owner, (408, Origin::Local));
                    continue;
                }
            };
            let Some(leg) = owner else { continue };
            let Some(sent) = self.take_sent(leg, client) else { continue };
            self.tell_undelivered(leg, &sent, status);
            let event = self.on_final(now, leg, sent, (status, Origin::Local), None);
            self.events.extend(event);
            self.settle(now, leg);
        }
    }
}

fn hash(key: &[u8; 16], call_id: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(key);
    hasher.write(call_id);
    hasher.finish()
}

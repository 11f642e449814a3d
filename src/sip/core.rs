//! What all legs of a stack share: settings, identifiers, transactions, what is on its way out, and what is told above.
//!
//! No leg stands here, and nothing here looks one up: a leg that is at work has all of this at hand by its [`Io`], and no
//! other leg.

use super::flow::Flow;
use super::ident::Ident;
use super::leg::event::{Declined, Event, LegId, SentId};
use super::outbox::{Outbox, TOLD};
use super::quarantine::Quarantine;
use super::question::Question;
use super::settings::Settings;
use super::slab::SlabId;
use super::timing::Time;
use super::transaction::{OTHER, Table, transmit_id};
use crate::wire::{Index, Message, Name};
use siphasher::sip::SipHasher13;
use std::collections::VecDeque;
use std::hash::Hasher;

/// Whose a transaction is: a leg's, or nobody's (a request that was refused at the door).
pub(crate) type Owner = Option<LegId>;

/// All of a stack but its legs.
pub(crate) struct Core {
    pub(super) settings: Settings,
    pub(super) ident: Ident,
    /// Of the stack's own hashes.
    hash_key: [u8; 16],
    pub(super) table: Table<Owner>,
    pub(super) outbox: Outbox,
    /// Where new calls are tried last.
    pub(super) quarantine: Quarantine,
    pub(super) events: VecDeque<Event>,
    /// To the outside, and of which leg.
    pub(super) questions: VecDeque<(LegId, Question)>,
    /// Legs that are gone while a question of theirs is open.
    pub(super) withdrawn: VecDeque<LegId>,
    /// Transmits to be taken back.
    pub(super) recalls: VecDeque<u64>,
    /// Retry-After of the 503 to OPTIONS, in seconds.
    pub(super) draining: Option<u32>,
    /// Where messages are written before their size is known.
    pub(super) scratch: Vec<u8>,
    /// For reading our own requests when they are sent again with credentials or by another flow.
    pub(super) index: Index,
    last_sent: u64,
    /// The request at hand belongs to no leg, and was refused with that status.
    pub(super) strayed: Option<u16>,
    /// See [`Stack::take_declined`](super::stack::Stack::take_declined).
    pub(super) declined: Option<(LegId, Declined)>,
}

/// What a leg works with: the time, its own name, and what all legs share. Made by the stack, which settles the leg when
/// it is done.
pub(crate) struct Io<'a> {
    pub(super) now: Time,
    /// Of the leg at work.
    pub(super) id: LegId,
    pub(super) core: &'a mut Core,
}

impl Io<'_> {
    /// The id of an ACK of this leg by that flow: what it is told by.
    pub(super) fn ack_id(&self, flow: Flow) -> u64 {
        let told = if flow.transport.is_reliable() { TOLD } else { 0 };
        transmit_id(OTHER, SlabId::from(self.id)) | told
    }
}

impl Core {
    /// Nothing sent and nothing to be told.
    pub(super) fn new(settings: Settings) -> Core {
        let mut ident = Ident::new(settings.seed);
        let (hash_key, table_key) = (ident.hash_key(), ident.hash_key());
        let mut table = Table::new(table_key);
        table.set_parties(settings.parties.len());
        Core {
            settings,
            ident,
            hash_key,
            table,
            outbox: Outbox::default(),
            quarantine: Quarantine::default(),
            events: VecDeque::new(),
            questions: VecDeque::new(),
            withdrawn: VecDeque::new(),
            recalls: VecDeque::new(),
            draining: None,
            scratch: Vec::new(),
            index: Index::default(),
            last_sent: 0,
            strayed: None,
            declined: None,
        }
    }

    /// Nothing that somebody waits for: no transaction, no event, no question, and nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
            && self.events.is_empty()
            && self.questions.is_empty()
            && self.withdrawn.is_empty()
            && self.recalls.is_empty()
            && self.outbox.is_empty()
    }

    /// What tells a request from all others, and is the same for its copies.
    pub(super) fn mark_of(&self, request: &Message<'_>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        for part in [Some(request.call_id()), request.from_tag(), request.branch()] {
            hasher.write(part.unwrap_or(b""));
            hasher.write_u8(0);
        }
        hasher.write_u32(request.cseq().number);
        hasher.finish()
    }

    /// A name for a request of ours.
    pub(super) fn next_sent(&mut self) -> SentId {
        self.last_sent += 1;
        SentId(self.last_sent)
    }

    /// What a message asserts of its sender (RFC 3325), as a hash. None: nothing.
    pub(super) fn assertion(&self, message: &Message<'_>) -> Option<u64> {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        let mut any = false;
        for value in message.headers(Name::PAssertedIdentity) {
            any = true;
            hasher.write(value);
        }
        any.then(|| hasher.finish())
    }

    /// A Call-ID's place in the index of legs.
    pub(super) fn hash(&self, call_id: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        hasher.write(call_id);
        hasher.finish()
    }
}

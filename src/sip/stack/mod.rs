//! All legs of one engine with their transactions and deadlines.
//!
//! Four kinds of method, told by prefix: getters (bare nouns), `handle_*` (something happened), verbs (do something),
//! `poll_*` (what comes of it). Every verb on a leg that is over is a no-op that says so in its return.
//!
//! Every leg lives until it is over **and** [`Stack::release`] was called for it: whoever got an [`Event::Incoming`]
//! or called [`Stack::connect`] releases it once.
//!
//! A leg is a machine (`leg/`) that is handed an `Io`: it reaches neither the stack nor another leg. Here is what takes
//! the legs as such: their places, their deadlines and their index; where a message goes (`dispatch`), what the network
//! and the clock tell (`network`), and the verbs, which only hand down (`verbs`).

mod dispatch;
mod network;
mod verbs;

use super::core::{Core, Io};
use super::deadline::Deadlines;
use super::leg::Leg;
use super::leg::event::{LegId, Origin};
use super::settings::{Party, Settings};
use super::slab::Slab;
use super::timing::Time;
use super::transaction::TransactionEvent;
use hashbrown::HashTable;

#[cfg(doc)]
use super::leg::event::Event;

pub use super::leg::event::{Gone, LegState, NotSent};
pub use super::outbox::Transmit;
pub use super::settings::Credentials;

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

/// All legs of one engine.
pub struct Stack {
    core: Core,
    legs: Slab<Leg>,
    /// Slab indexes by Call-ID. Tags are compared in the leg: a Call-ID has one leg, but for a spiral or a forgery.
    by_call_id: HashTable<u32>,
    deadlines: Deadlines<LegId>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stack").field(&self.counts()).finish()
    }
}

impl Stack {
    /// An empty stack.
    pub fn new(settings: Settings) -> Stack {
        Stack {
            core: Core::new(settings),
            legs: Slab::default(),
            by_call_id: HashTable::new(),
            deadlines: Deadlines::default(),
        }
    }

    /// New settings for future messages (a reload): the parties only. Each keeps its index.
    pub fn set_parties(&mut self, parties: Vec<Party>) {
        self.core.table.set_parties(parties.len());
        self.core.settings.parties = parties;
    }

    /// While draining, OPTIONS outside dialogs is answered 503 with Retry-After in seconds; `None`: 200.
    pub fn set_draining(&mut self, retry_after: Option<u32>) {
        self.core.draining = retry_after;
    }

    /// When [`Stack::handle_tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        self.core.table.deadline().into_iter().chain(self.deadlines.next()).min()
    }

    /// Nothing left: no leg, transaction, event or deadline, and nothing to send.
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty() && self.deadlines.is_empty() && self.core.is_empty()
    }

    /// How much is left.
    pub fn counts(&self) -> Counts {
        let table = self.core.table.counts();
        Counts {
            legs: self.legs.len(),
            clients: table.clients,
            servers: table.servers,
            deadlines: table.deadlines + self.deadlines.len(),
        }
    }
}

// The legs and their index.
impl Stack {
    /// A leg, to be looked at; None once it is gone.
    pub(crate) fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.get(id.into())
    }

    /// Lets a leg work, and settles it. Never within itself: a leg at work has no stack.
    fn with_leg<R>(
        &mut self,
        now: Time,
        id: LegId,
        work: impl FnOnce(&mut Leg, &mut Io<'_>) -> R,
    ) -> Option<R> {
        let Stack { core, legs, deadlines, .. } = self;
        let leg = legs.get_mut(id.into())?;
        let result = work(leg, &mut Io { now, id, core });
        if leg.is_finished() {
            self.remove_leg(id);
        } else {
            leg.settle(now, id, deadlines);
        }
        Some(result)
    }

    /// The leg with that Call-ID of which `fits` is true.
    fn find_leg(&self, call_id: &[u8], fits: impl Fn(&Leg) -> bool) -> Option<LegId> {
        let same =
            |index: &u32| self.legs.at(*index).is_some_and(|(_, leg)| leg.call_id() == call_id && fits(leg));
        let index = *self.by_call_id.find(self.core.hash(call_id), same)?;
        self.legs.at(index).map(|(id, _)| id.into())
    }

    fn add_leg(&mut self, leg: Leg) -> LegId {
        let id = self.legs.insert(leg);
        let (core, legs) = (&self.core, &self.legs);
        let hasher = |index: &u32| legs.at(*index).map_or(0, |(_, leg)| core.hash(leg.call_id()));
        self.by_call_id.insert_unique(hasher(&id.index), id.index, hasher);
        id.into()
    }

    fn remove_leg(&mut self, id: LegId) {
        let Some(leg) = self.legs.remove(id.into()) else { return };
        if leg.is_asking() {
            self.core.withdrawn.push_back(id);
        }
        if let Ok(place) =
            self.by_call_id.find_entry(self.core.hash(leg.call_id()), |&index| index == id.index)
        {
            place.remove();
        }
        if self.legs.is_empty() {
            // All that is armed is stale.
            self.deadlines = Deadlines::default();
        }
    }

    /// What has become of transactions without a message.
    fn drain_transactions(&mut self, now: Time) {
        while let Some(event) = self.core.table.poll_event() {
            let (client, owner, status) = match event {
                TransactionEvent::Timeout { client, owner } => (client, owner, 408),
                TransactionEvent::TransportFailed { client, owner } => (client, owner, 503),
                TransactionEvent::Acknowledged { owner } => {
                    self.refusal_done(now, owner, (200, Origin::Remote));
                    continue;
                }
                TransactionEvent::NoAck { owner, .. } => {
                    self.refusal_done(now, owner, (408, Origin::Local));
                    continue;
                }
            };
            if let Some(leg) = owner {
                self.with_leg(now, leg, |leg, io| leg.on_no_response(io, client, status));
            }
        }
    }

    fn refusal_done(&mut self, now: Time, owner: Option<LegId>, outcome: (u16, Origin)) {
        if let Some(leg) = owner {
            self.with_leg(now, leg, |leg, io| leg.on_refusal_done(io, outcome));
        }
    }
}

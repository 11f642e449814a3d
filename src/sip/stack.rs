//! All legs of one engine with their transactions and deadlines.
//!
//! Four kinds of method, told by prefix: getters (bare nouns), `handle_*` (something happened), verbs (do
//! something; they stand in `leg/`, one file for each), `poll_*` (what comes of it). Every verb on a leg that is over
//! is a no-op that says so in its return.
//!
//! Every leg lives until it is over **and** [`Stack::release`] was called for it: whoever got an [`Event::Incoming`]
//! or called [`Stack::connect`] releases it once.

use super::flow::{Flow, Listener};
use super::leg::{Event, LegId};
use super::timing::{Now, Time};
use crate::observe::secret::Secret;
use crate::wire::{Fault, Message};

/// 256 bits from the operating system (or a test).
#[derive(Clone, Copy, Debug)]
pub struct Seed(pub [u8; 32]);

/// One message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Names it if it cannot be sent; 0 = nobody cares.
    pub id: u64,
    /// Where it goes.
    pub flow: Flow,
    /// The whole message.
    pub bytes: &'a [u8],
}

/// A name and a password for a challenge (RFC 8760: SHA-256 first, else MD5).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name.
    pub username: Box<str>,
    /// The password.
    pub password: Secret,
}

/// What a stack is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our sockets; [`Flow::listener`] indexes them.
    pub listeners: Vec<Listener>,
    /// Answers to challenges; legs name them by index.
    pub credentials: Vec<Credentials>,
    /// For identifiers and for the keys of hash tables.
    pub seed: Seed,
    /// `Server` and `User-Agent`.
    pub product: Box<str>,
}

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

/// All legs of one engine.
pub struct Stack {
    #[allow(dead_code)]
    settings: Settings,
}

#[allow(unused_variables)]
impl Stack {
    /// An empty stack.
    pub fn new(settings: Settings) -> Stack {
        Stack { settings }
    }

    /// New settings for future messages (a reload): credentials only.
    pub fn set_credentials(&mut self, credentials: Vec<Credentials>) {
        unimplemented!()
    }

    /// While draining, OPTIONS outside dialogs is answered 503 with Retry-After in seconds; `None`: 200.
    pub fn set_draining(&mut self, retry_after: Option<u32>) {
        unimplemented!()
    }

    /// A message that `wire::decode` accepted. `known`: the source is a trunk or an agent. From an unknown source only
    /// what matches a dialog or a transaction is looked at; everything else is dropped without a trace. At most one
    /// event, about this message; events that no message caused come from [`Stack::poll_event`].
    pub fn handle_message(
        &mut self,
        now: Now,
        flow: Flow,
        message: &Message<'_>,
        known: bool,
    ) -> Option<Event> {
        unimplemented!()
    }

    /// A request that `wire::decode` refused but that can be answered (`wire::salvage`): 400, 505 … to a known source,
    /// statelessly.
    pub fn handle_fault(&mut self, now: Now, flow: Flow, message: &Message<'_>, fault: &Fault, known: bool) {
        unimplemented!()
    }

    /// The network could not send transmit `id` (ICMP unreachable, connect failure, full queue): the client
    /// transaction fails with a local 503.
    pub fn handle_send_failed(&mut self, now: Now, id: u64) {
        unimplemented!()
    }

    /// A stream died: requests in flight on it fail as above.
    pub fn handle_flow_closed(&mut self, now: Now, connection: u64) {
        unimplemented!()
    }

    /// Addresses for the name that `poll_resolve` asked for; none if it has none.
    pub fn handle_resolved(&mut self, now: Now, query: u64, flows: &[Flow]) {
        unimplemented!()
    }

    /// Serves at most `max` due deadlines; true if more are due.
    pub fn handle_tick(&mut self, now: Now, max: usize) -> bool {
        unimplemented!()
    }

    /// What no message caused: timeouts, transport faults.
    pub fn poll_event(&mut self) -> Option<Event> {
        unimplemented!()
    }

    /// What is to be sent, oldest first.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        unimplemented!()
    }

    /// Next-hop host names of dialogs, to be answered by [`Stack::handle_resolved`]; ids from 1<<63 up.
    pub fn poll_resolve(&mut self) -> Option<(u64, Box<[u8]>)> {
        unimplemented!()
    }

    /// When [`Stack::handle_tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        unimplemented!()
    }

    /// Nothing left: no leg, transaction or armed deadline.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }

    /// How much is left.
    pub fn counts(&self) -> Counts {
        unimplemented!()
    }

    /// The Call-ID header of a leg.
    pub fn sip_call_id(&self, leg: LegId) -> Option<&[u8]> {
        unimplemented!()
    }

    /// The path to the peer of a leg.
    pub fn peer(&self, leg: LegId) -> Option<Flow> {
        unimplemented!()
    }

    /// Where a leg stands; None once it is gone.
    pub fn state(&self, leg: LegId) -> Option<LegState> {
        unimplemented!()
    }

    /// The SDP that we sent last in a leg (as it went out, with the leg's own `o=`) and that was not refused.
    pub fn local_sdp(&self, leg: LegId) -> Option<&[u8]> {
        unimplemented!()
    }

    /// The SDP that the peer sent last in a leg.
    pub fn remote_sdp(&self, leg: LegId) -> Option<&[u8]> {
        unimplemented!()
    }

    /// The leg with that Call-ID.
    pub fn find_leg_by_call_id(&self, call_id: &[u8]) -> Option<LegId> {
        unimplemented!()
    }
}

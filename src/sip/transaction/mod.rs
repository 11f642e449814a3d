//! Transactions: RFC 3261 §17 with RFC 6026 (the Accepted states) and RFC 4320 (non-INVITE without 408).
//!
//! Four pure machines, one a file, named as figures 5 to 8 name their states and timers; and the [`Table`] that
//! holds them, matches messages to them and writes what they send into the [`super::outbox::Outbox`]. The stack
//! above calls it. Not here: dialogs, 2xx retransmission and the ACK for a 2xx (the leg's), choosing where a request
//! goes, and switching a request over [`UDP_LIMIT`] to TCP.

use super::pace::Gap;
use super::slab::SlabId;
use super::timing::{T1, T2, Time};
use std::time::Duration;

mod client;
mod echo;
mod invite_client;
mod invite_server;
mod key;
mod server;
mod table;

use echo::Echo;
pub use table::Table;
pub(crate) use table::{OTHER, response_flow, slab_id, transmit_id};

/// A request longer than this should not go by UDP (RFC 3261 §18.1.1). The layer above chooses the flow.
pub const UDP_LIMIT: usize = 1300;

/// A request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(SlabId);

/// A peer's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(SlabId);

/// What the table must know of a request that it sends.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a, O> {
    /// Its method, as written.
    pub method: &'a [u8],
    /// The branch of its Via ([`super::ident::Ident::branch`]).
    pub branch: &'a str,
    /// What the stack wants to be told with answers and events.
    pub owner: O,
    /// Whether it cannot be cancelled once it has left (RFC 3261 §9.1), but can be taken back while it waits for a
    /// connection ([`Table::give_up`]): the network then tells when it has left ([`Table::sent`]). A fault of the transport
    /// after that ends nothing.
    pub recallable: bool,
    /// Whether the network is to tell when it has left a stream's queue, though it can be cancelled.
    pub told: bool,
}

/// What a request is to the table. Only [`Inbound::New`], [`Inbound::Cancel`] and [`Inbound::Merged`] ask for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound<O> {
    /// Nothing is known of it, and nothing was kept: [`Table::open`] follows if it is to be answered. An ACK of a
    /// 2xx is always new; a CANCEL is new if its INVITE is unknown (481).
    New,
    /// A retransmission, or the ACK of a 300-699: dealt with.
    Absorbed,
    /// A CANCEL for this INVITE (RFC 3261 §9.2). It is answered 200 in a transaction of its own
    /// ([`Table::open`]), and the INVITE with 487 if it [`Table::is_open`].
    Cancel {
        /// Which transaction it cancels.
        invite: ServerId,
        /// What it was opened with.
        owner: O,
    },
    /// The same request came by another way (RFC 3261 §8.2.2.2): 482.
    Merged,
}

/// A response that found its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<O> {
    /// The request.
    pub client: ClientId,
    /// What it was opened with.
    pub owner: O,
    /// What the response is to it.
    pub kind: Kind,
}

/// What a response is to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1xx.
    Provisional,
    /// The final one; a 300-699 to an INVITE is ACKed already, a 2xx waits for the leg's ACK.
    Final,
    /// A further 2xx to an INVITE: a retransmission (same To tag) or another branch of a fork.
    Again,
}

/// What happened to a transaction without a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEvent<O> {
    /// Timer B or F, or a cancelled INVITE that nobody answered: counts as a 408 (RFC 3261 §8.1.3.1). It is over.
    Timeout {
        /// The request.
        client: ClientId,
        /// What it was opened with.
        owner: O,
    },
    /// The request could not be sent, or its connection died: counts as a 503. It is over.
    TransportFailed {
        /// The request.
        client: ClientId,
        /// What it was opened with.
        owner: O,
    },
    /// The ACK for our 300-699 came.
    Acknowledged {
        /// What it was opened with.
        owner: O,
    },
    /// Timer H: nobody acknowledged our 300-699. It is over.
    NoAck {
        /// The INVITE.
        server: ServerId,
        /// What it was opened with.
        owner: O,
    },
}

/// The transaction is over, answered or unknown: nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction has its final response")]
pub struct Answered;

/// What is known of a request that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// A copy may have left: the peer may carry it out. A late response is still told.
    Left,
    /// It waits for its connection: whoever owns the connection is to take it back.
    Waits,
    /// It has its final response, or is unknown.
    Over,
}

/// What came of the wish to cancel an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The CANCEL is on its way. A final response or, after 64·T1, [`TransactionEvent::Timeout`] follows.
    Sent,
    /// It waits for the first 1xx (RFC 3261 §9.1).
    Waits,
    /// Too late: the final response is there; or it was asked for before.
    No,
}

/// How many of each there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounts {
    /// Requests of ours.
    pub clients: usize,
    /// Requests of peers.
    pub servers: usize,
    /// Armed deadlines, stale ones too.
    pub deadlines: usize,
}

/// When a message is sent again, and the interval that led there.
#[derive(Clone, Copy, Debug)]
struct Retransmission {
    at: Time,
    interval: Duration,
}

impl Retransmission {
    /// The first one: T1 from `now`.
    fn start(now: Time) -> Retransmission {
        Retransmission { at: now + T1, interval: T1 }
    }

    /// The next one, after twice the time (Timer A).
    fn double(&mut self, now: Time) {
        self.interval *= 2;
        self.at = now + self.interval;
    }

    /// The next one, after twice the time but T2 at most (Timers E and G).
    fn double_to_t2(&mut self, now: Time) {
        self.interval = (self.interval * 2).min(T2);
        self.at = now + self.interval;
    }

    /// See [`Gap::back`].
    fn catch_up(&mut self, now: Time, gap: Gap) {
        self.at = gap.back(now, self.at);
    }
}

//! What an engine is made with, what goes into it and what comes out.

pub use super::announced::Announced;
use super::command::{Command, Reply};
use super::event::Event;
pub use super::occupancy::Occupancy;
use super::ticket::Ticket;
use crate::routing::Tables;
use crate::sip::ident::SlotKey;
use crate::sip::shares::Asker;
use crate::sip::{self, Answer, Flow, Gap, Question, Time};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What an engine is made with.
pub struct Settings {
    /// Sockets, credentials, seed.
    pub stack: sip::Settings,
    /// Key of the slots of foreign Call-IDs; the same in all shards and kept over restarts.
    pub slot_key: SlotKey,
    /// Live calls of all shards beyond which an INVITE gets 503 + Retry-After.
    pub max_calls: usize,
    /// How many there are: one for all shards.
    pub occupancy: Occupancy,
    /// What was told once and for all: one for all shards.
    pub announced: Announced,
    /// After which a call is ended.
    pub max_duration: Duration,
    /// Trunks, agents and tables to begin with.
    pub tables: Arc<Tables>,
    /// Whether each message is told of ([`super::event::EventKind::Message`]).
    pub shows_messages: bool,
}

/// What happens to an engine.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes arrived that belong to this shard: one datagram, or one framed message of a stream.
    Message {
        /// Where from.
        flow: Flow,
        /// As received.
        bytes: &'a [u8],
    },
    /// [`Output::Transmit`] `id` could not be sent.
    SendFailed {
        /// Of the transmit.
        id: u64,
    },
    /// [`Output::Transmit`] `id`, which asked to be told, was written to its stream; or [`Output::Recall`] came too late for
    /// it.
    Sent {
        /// Of the transmit.
        id: u64,
    },
    /// Nobody listens at the peer's end of that flow, says its host: an ICMP port unreachable came for a datagram of ours.
    Refused {
        /// By which it went.
        flow: Flow,
    },
    /// A stream is gone.
    FlowClosed {
        /// [`Flow::connection`].
        connection: u64,
        /// The other end.
        peer: SocketAddr,
    },
    /// The answer to [`Output::Ask`]. Each question has one; where whoever has asked is gone, it is dropped.
    Answer {
        /// As [`Output::Ask`] gave it.
        ticket: Ticket,
        /// Of the question's kind.
        answer: Answer<'a>,
    },
    /// Something is asked.
    Command {
        /// Comes back with the reply.
        id: u64,
        /// What.
        command: Command,
    },
    /// A new set of trunks, agents and tables, for decisions from now on.
    Tables(Arc<Tables>),
    /// No new calls from now on; what lives at `by` is closed with BYE and a Reason.
    Drain {
        /// The end of the grace.
        by: Time,
    },
    /// The process stood still, and the time that `handle` is given leaves that out ([`sip::pace`]). To be given before
    /// all that has arrived meanwhile, for what begins with that was not standing. What goes by true time is served with
    /// the next `Tick`, where it is still due by then: copies and refreshes that we owe, `max_duration`, the end of a
    /// drain.
    StoodStill(Gap),
    /// A deadline of ours may have come. To be given only when all that had arrived by then was handed in.
    Tick,
}

/// What an engine wants done.
#[derive(Debug)]
pub enum Output<'a> {
    /// Bytes to send. A failure is reported with `id` unless that is 0.
    Transmit {
        /// For `SendFailed` and `Sent`.
        id: u64,
        /// Whether, by a stream, `Sent` is to be told. Never set for UDP.
        told: bool,
        /// Where to.
        flow: Flow,
        /// One message.
        bytes: &'a [u8],
    },
    /// A transmit that asked to be told is not to leave any more. `SendFailed` says that it never will, `Sent` that it was too
    /// late; one of the two follows.
    Recall {
        /// Of the transmit.
        id: u64,
    },
    /// Something is to be found out; the answer comes by [`Input::Answer`], at once or later.
    Ask {
        /// For the answer.
        ticket: Ticket,
        /// What.
        question: Question,
        /// For whom.
        asker: Asker,
    },
    /// The answer to a command.
    Reply {
        /// Of the command.
        id: u64,
        /// What.
        reply: Reply,
    },
    /// News.
    Event(Event),
    /// Decisions are made by this version of the tables from now on.
    Adopted {
        /// [`Tables::serial`].
        serial: u64,
    },
    /// Nothing more to do before this time (a `Tick` is due then), or before the next input.
    Idle {
        /// None: no deadline.
        until: Option<Time>,
    },
}

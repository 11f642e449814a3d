//! Sockets: UDP, TCP, connections and name resolution. Here bytes become messages with a flow, and flows become
//! sockets again; what the messages say is none of its business.
//!
//! The shards call [`udp::Sockets::send`] and [`tcp::connections::Connections::send`]; what the network learns by itself
//! goes up through [`Deliver`]. Nothing here blocks a shard: TCP and DNS live on a runtime of their own.

pub mod counts;
pub mod listen;
pub mod paths;
pub(crate) mod patience;
pub mod refusals;
pub mod resolve;
pub mod tcp;
pub mod udp;
pub mod unread;

use crate::sip::Flow;
use std::net::SocketAddr;
pub use unread::Unread;

/// Where the news of the network goes: the shards, seen from below.
pub trait Deliver: Send + Sync + 'static {
    /// A framed message of a stream, for the shard that owns it. False: that shard has no room; a stream loses nothing,
    /// so it is to be offered again.
    fn message(&self, flow: Flow, bytes: &[u8]) -> bool;
    /// Transmit `id` of `shard` was not sent.
    fn send_failed(&self, shard: u16, id: u64);
    /// Transmit `id` of `shard`, which asked to be told, was written.
    fn sent(&self, shard: u16, id: u64);
    /// The connection of that number, with that peer, is gone; every shard may have used it.
    fn flow_closed(&self, connection: u64, peer: SocketAddr);
    /// Nobody listens where a datagram by that flow went; every shard may have sent it.
    fn refused(&self, flow: Flow);
    /// What a name stands for; empty: nothing.
    fn resolved(&self, shard: u16, query: u64, flows: Vec<Flow>);
}

//! Where a message came from or goes to.

use crate::wire::push_address;
use std::net::SocketAddr;

/// How messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Transport {
    /// RFC 3261 §18, unreliable.
    Udp,
    /// RFC 3261 §18, reliable.
    Tcp,
}

impl Transport {
    /// Whether the transport retransmits by itself.
    pub fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// The word of a Via: `UDP`.
    pub fn as_via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The word of a URI parameter and of the logs: `udp`.
    pub fn as_param(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// A path to a peer: which of our listeners, which address, which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Flow {
    /// How.
    pub transport: Transport,
    /// Index into [`crate::sip::Settings::listeners`]: whose address stands in our Via and Contact.
    pub listener: u16,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The connection that a message came by, unique while the process runs; 0 = none known: the network layer
    /// takes the open connection to `peer` or opens one. Always 0 for UDP.
    pub connection: u64,
}

impl Flow {
    /// The peer as logs and the API write it: `udp:192.0.2.1:5060`.
    pub fn peer_name(self) -> String {
        let mut text = Vec::with_capacity(32);
        text.extend_from_slice(self.transport.as_param().as_bytes());
        text.push(b':');
        push_address(&mut text, self.peer);
        // ASCII by construction.
        String::from_utf8(text).unwrap_or_default()
    }
}

/// A socket of ours as the peers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// How.
    pub transport: Transport,
    /// The address that it is bound to (never a wildcard).
    pub local: SocketAddr,
    /// `host` or `host:port` for Via and Contact, IPv6 in brackets.
    pub advertised: Box<str>,
}

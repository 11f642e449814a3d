//! Owned SIP addresses out of the configuration: the text as written, and the parts that routing and sending need.
//! Messages' URIs are [`crate::wire`]'s; these outlive any message.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A transport that a SIP URI or a listener may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// UDP (RFC 3261 §18).
    Udp,
    /// TCP (RFC 3261 §18).
    Tcp,
}

impl Transport {
    /// The name as the configuration and a `transport` parameter write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The host of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address; needs no resolution.
    Ip(IpAddr),
    /// A name in lower case, without the final dot; resolved by A/AAAA.
    Name(Box<str>),
}

impl fmt::Display for Host {
    /// As it stands in a URI: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
            Self::Ip(IpAddr::V4(v4)) => write!(f, "{v4}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A `sip:` URI that was valid when the configuration was read. `text` is what goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The whole URI as written, without `<>`.
    pub text: Arc<str>,
    /// The user part, percent-escapes as written.
    pub user: Option<Box<str>>,
    /// The host.
    pub host: Host,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The `transport` parameter, if one is written.
    pub transport: Option<Transport>,
}

impl Address {
    /// `host` or `host:port` as written in a URI.
    pub fn host_port(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

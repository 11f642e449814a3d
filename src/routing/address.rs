//! Owned SIP addresses out of the configuration: the text as written, and the parts that routing and sending need.
//! Messages' URIs are [`crate::wire`]'s; these outlive any message.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::sip::Transport;
use crate::wire::Malformed;
use crate::wire::uri::{self, Uri};

/// The host of an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl Host {
    fn of(host: uri::Host<'_>) -> Self {
        match host {
            uri::Host::Name(name) => Self::name(&String::from_utf8_lossy(name)),
            uri::Host::V4(v4) => Self::Ip(v4.into()),
            uri::Host::V6(v6) => Self::Ip(IpAddr::V6(v6)),
        }
    }

    fn name(name: &str) -> Self {
        Self::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into())
    }

    /// Reads `host` or `host:port`, IPv6 in brackets.
    ///
    /// # Errors
    /// What is malformed.
    pub fn parse_with_port(text: &str) -> Result<(Self, Option<u16>), AddressError> {
        // The same grammar as in a URI, so the same reader.
        let whole = format!("sip:{text}");
        let uri = Uri::parse(whole.as_bytes())?;
        if uri.user.is_some() || !uri.params.is_empty() || whole.contains('?') {
            return Err(AddressError::Malformed("host"));
        }
        Ok((Self::of(uri.host), uri.port))
    }

    /// Whether both are the same: names without case, addresses by value.
    pub fn is(&self, other: &uri::Host<'_>) -> bool {
        Self::of(*other) == *self
    }
}

/// Why a text is no address that Baton can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URI.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// `sips:`, or a `transport` that needs TLS.
    #[error("TLS is not carried out yet")]
    Tls,
    /// Another scheme than `sip:`.
    #[error("not a `sip:` URI")]
    Scheme,
    /// A `transport` that Baton does not have.
    #[error("the transport is `{0}`; Baton has udp and tcp")]
    Transport(String),
    /// Headers after a `?`.
    #[error("a URI with embedded headers")]
    Headers,
    /// A password in the user part.
    #[error("a password in a URI")]
    Password,
    /// A `method` parameter.
    #[error("a URI with a `method` parameter")]
    Method,
    /// Angle brackets, or spaces.
    #[error("angle brackets, quotes and spaces are no part of a URI")]
    Brackets,
}

impl From<Malformed> for AddressError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

/// A `sip:` URI that was valid when the configuration was read. `text` is what goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The whole URI as written, without `<>`.
    pub text: Arc<str>,
    /// The user part, percent-escapes as written.
    pub user: Option<Box<str>>,
    /// A name is not looked up before somebody is called there.
    pub host: Host,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The `transport` parameter, if one is written.
    pub transport: Option<Transport>,
}

impl Address {
    /// Reads a `sip:` URI of the configuration.
    ///
    /// # Errors
    /// What it is that Baton cannot use.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.contains(['<', '>', '"', ' ']) {
            return Err(AddressError::Brackets);
        }
        let uri = Uri::parse(text.as_bytes())?;
        match uri.scheme {
            uri::Scheme::Sip => {}
            uri::Scheme::Sips => return Err(AddressError::Tls),
            uri::Scheme::Tel | uri::Scheme::Other(_) => return Err(AddressError::Scheme),
        }
        if text.contains('?') && !uri.user.is_some_and(|user| user.contains(&b'?')) || !uri.headers.is_empty()
        {
            return Err(AddressError::Headers);
        }
        if uri.password.is_some() {
            return Err(AddressError::Password);
        }
        if uri.param(b"method").is_some() {
            return Err(AddressError::Method);
        }
        let transport = match uri.param(b"transport").map(|t| t.unwrap_or_default().to_ascii_lowercase()) {
            None => None,
            Some(name) => Some(match &*name {
                b"udp" => Transport::Udp,
                b"tcp" => Transport::Tcp,
                b"tls" | b"wss" => return Err(AddressError::Tls),
                other => return Err(AddressError::Transport(String::from_utf8_lossy(other).into_owned())),
            }),
        };
        Ok(Self {
            text: text.into(),
            user: uri.user.map(|user| String::from_utf8_lossy(user).into()),
            host: Host::of(uri.host),
            port: uri.port,
            transport,
        })
    }

    /// `sip:user@address` of a user agent whose socket is known. `user` must be able to stand in a URI as it is.
    pub fn at(user: &str, address: SocketAddr) -> Self {
        Self {
            text: format!("sip:{user}@{address}").into(),
            user: Some(user.into()),
            host: Host::Ip(address.ip()),
            port: Some(address.port()),
            transport: None,
        }
    }

    /// Whether both are the same URI (RFC 3261 §19.1.4), however they are written.
    pub fn is_same(&self, other: &Self) -> bool {
        let both = (Uri::parse(self.text.as_bytes()), Uri::parse(other.text.as_bytes()));
        matches!(both, (Ok(one), Ok(two)) if one.equivalent(&two))
    }

    /// Whether requests to both go to the same port of the same host: 5060 where none is written beside an address; a name
    /// without a port may have any (RFC 3263 §4.2). With `maddr` they go to neither.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let elsewhere =
            |one: &Self| Uri::parse(one.text.as_bytes()).is_ok_and(|uri| uri.param(b"maddr").is_some());
        let port = |one: &Self| match one.host {
            Host::Ip(_) => one.port.or(Some(5060)),
            Host::Name(_) => one.port,
        };
        self.host == other.host && port(self) == port(other) && !elsewhere(self) && !elsewhere(other)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parts_that_routing_needs() {
        let address = Address::parse("sip:Booking@PBX.Example.com.:5070;transport=TCP;lr").unwrap();
        assert_eq!(address.user.as_deref(), Some("Booking"));
        assert_eq!(address.host, Host::Name("pbx.example.com".into()));
        assert_eq!((address.port, address.transport), (Some(5070), Some(Transport::Tcp)));
        assert_eq!(address.host_port(), "pbx.example.com:5070");
        let same = |text: &str| address.is_same(&Address::parse(text).unwrap());
        assert!(same("SIP:%42ooking@pbx.example.com.:5070;lr;transport=tcp"));
        assert!(!same("sip:booking@pbx.example.com.:5070;lr;transport=tcp") && !same("sip:pbx.example.com"));
        for at in ["127.0.0.1:5080", "[::1]:5080"] {
            let address = Address::at("front-desk", at.parse().unwrap());
            assert_eq!(Address::parse(&address.text), Ok(address));
        }
        let v6 = Address::parse("sip:[2001:db8::1]").unwrap();
        assert_eq!(v6.host_port(), "[2001:db8::1]");
        assert_eq!(v6.transport, None);
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        for (text, error) in [
            ("sips:a@b", AddressError::Tls),
            ("sip:a@b;transport=tls", AddressError::Tls),
            ("sip:a@b;transport=sctp", AddressError::Transport("sctp".into())),
            ("tel:+14155550123", AddressError::Scheme),
            ("http://example.com", AddressError::Scheme),
            ("<sip:a@b>", AddressError::Brackets),
            ("sip:a@b?X-A=1", AddressError::Headers),
            ("sip:a@b?", AddressError::Headers),
            ("sip:a:secret@b", AddressError::Password),
            ("sip:a@b;method=INVITE", AddressError::Method),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
        for text in
            ["", "sip:", "sip:a@", "sip:@b", "sip:a@b:0", "sip:a@b:x", "pbx", "sip:a@[::1", "sip:a@b\r\nX: y"]
        {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hosts_with_and_without_port() {
        assert_eq!(
            Host::parse_with_port("203.0.113.10:5070").unwrap(),
            (Host::Ip([203, 0, 113, 10].into()), Some(5070))
        );
        assert_eq!(Host::parse_with_port("[::1]").unwrap().1, None);
        for text in ["", "a@b", "a;b", "a?b", "a b", "a:b"] {
            assert!(Host::parse_with_port(text).is_err(), "{text:?}");
        }
    }
}

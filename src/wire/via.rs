//! One Via value (RFC 3261 section 20.42, RFC 3581, RFC 5118 section 4.5).

use super::grammar::{self, Malformed, Params};
use super::uri::{self, Host, host_port};
use std::net::IpAddr;

/// One Via value, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The transport as written: `UDP`, `TCP`, `TLS`, or one that Baton does not know.
    pub transport: &'a [u8],
    /// The host of the sent-by.
    pub host: Host<'a>,
    /// The port of the sent-by, if written.
    pub port: Option<u16>,
    /// The branch, if there is one.
    pub branch: Option<&'a [u8]>,
    /// The parameters as written, from the first `;` on.
    params: &'a [u8],
}

impl Default for Via<'_> {
    fn default() -> Self {
        Via { transport: b"", host: Host::Name(b""), port: None, branch: None, params: b"" }
    }
}

/// Takes one token and the white space around it.
fn token(rest: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let rest = grammar::trim_start(rest);
    match grammar::token_span(rest) {
        0 => Err(Malformed("Via")),
        end => Ok((&rest[..end], grammar::trim_start(&rest[end..]))),
    }
}

fn slash(rest: &[u8]) -> Result<&[u8], Malformed> {
    rest.strip_prefix(b"/").ok_or(Malformed("Via"))
}

impl<'a> Via<'a> {
    /// Reads one value (not a list).
    pub fn parse(value: &'a [u8]) -> Result<Via<'a>, Malformed> {
        let rest = match value.strip_prefix(b"SIP/2.0/") {
            Some(rest) => rest,
            None => {
                let (protocol, rest) = token(value)?;
                let (_version, rest) = token(slash(rest)?)?;
                if !protocol.eq_ignore_ascii_case(b"SIP") {
                    return Err(Malformed("Via protocol"));
                }
                slash(rest)?
            }
        };
        let (transport, rest) = token(rest)?;
        let (host, mut port, rest) = host_port(rest).map_err(|_| Malformed("Via sent-by"))?;
        let mut rest = grammar::trim_start(rest);
        // The grammar allows white space around the colon of sent-by.
        if let (None, Some(after)) = (port, rest.strip_prefix(b":")) {
            let (number, after) = uri::port_prefix(grammar::trim_start(after))?;
            (port, rest) = (Some(number), after);
        }
        let mut branch = None;
        let mut branches = 0;
        Params::new(rest).check(|param| {
            if param.name.eq_ignore_ascii_case(b"branch") {
                branch = param.value;
                branches += 1;
            }
        })?;
        if branches > 1 {
            return Err(Malformed("Via branch"));
        }
        Ok(Via { transport, host, port, branch, params: rest })
    }

    /// The parameters.
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// The parameters as written, from the first `;` on.
    pub fn params_bytes(&self) -> &'a [u8] {
        self.params
    }

    /// The host and port that the sender wrote.
    pub fn sent_by(&self) -> (Host<'a>, Option<u16>) {
        (self.host, self.port)
    }

    /// The address that the receiver saw, IPv6 with or without brackets; `None` if absent or no address.
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params().find(b"received").flatten()?;
        Host::parse(text).ok()?.ip()
    }

    /// The `rport` parameter (RFC 3581): `Some(None)` if it stands without a value.
    pub fn rport(&self) -> Option<Option<u16>> {
        let value = self.params().find(b"rport")?;
        Some(value.and_then(|digits| uri::port(digits).ok()))
    }

    /// The `ttl` parameter.
    pub fn ttl(&self) -> Option<u8> {
        let value = self.params().find(b"ttl").flatten()?;
        grammar::decimal(value).and_then(|number| u8::try_from(number).ok())
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<Host<'a>> {
        Host::parse(self.params().find(b"maddr").flatten()?).ok()
    }

    /// True if the branch carries the magic cookie of RFC 3261 and something after it.
    pub fn has_cookie(&self) -> bool {
        let cookie = super::headers::MAGIC_COOKIE.as_bytes();
        self.branch.is_some_and(|branch| branch.len() > cookie.len() && branch.starts_with(cookie))
    }
}

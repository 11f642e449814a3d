//! SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966, RFC 5118), read in place.
//!
//! Not here: resolving a host (`sip::locate`, `net`). A URI of any other scheme is carried as opaque bytes, so that
//! it can be refused with 416 or passed on in a To header.

use super::caps::MAX_URI;
use super::grammar::{self, Malformed};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other, as written.
    Other(&'a [u8]),
}

/// The host of a URI or of a Via's sent-by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A name, as written; empty for URIs that have no host.
    Name(&'a [u8]),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Reads a host without a port: a name, an IPv4 address, an IPv6 address with or without brackets.
    pub fn parse(text: &'a [u8]) -> Result<Host<'a>, Malformed> {
        if let Some(address) = ipv6(text) {
            return Ok(Host::V6(address));
        }
        match host_port(text)? {
            (host, None, []) => Ok(host),
            _ => Err(Malformed("host")),
        }
    }

    /// Names compared without case, addresses by value (RFC 3261 section 19.1.4).
    pub fn same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(two)) => one.eq_ignore_ascii_case(two),
            (Host::V4(one), Host::V4(two)) => one == two,
            (Host::V6(one), Host::V6(two)) => one == two,
            (Host::Name(_) | Host::V4(_) | Host::V6(_), _) => false,
        }
    }
}

impl std::fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Name(name) => write!(f, "{}", name.escape_ascii()),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// A URI read in place. For `tel:` the number is `user` and there is no host; for other schemes only `bytes` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// `sip`, `sips` and `tel` are read further.
    pub scheme: Scheme<'a>,
    /// The user part as written (escapes kept), or the number of a `tel:` URI.
    pub user: Option<&'a [u8]>,
    /// The password as written.
    pub password: Option<&'a [u8]>,
    /// The host; `Name(b"")` where the scheme has none.
    pub host: Host<'a>,
    /// The port, if written.
    pub port: Option<u16>,
    /// The parameters as written, without the first `;`.
    pub params: &'a [u8],
    /// The embedded headers as written, without the `?`.
    pub headers: &'a [u8],
    /// The whole URI as written.
    pub bytes: &'a [u8],
}

impl Default for Uri<'_> {
    fn default() -> Self {
        Uri::opaque(Scheme::Other(b""), b"")
    }
}

impl<'a> Uri<'a> {
    fn opaque(scheme: Scheme<'a>, bytes: &'a [u8]) -> Self {
        Uri {
            scheme,
            user: None,
            password: None,
            host: Host::Name(b""),
            port: None,
            params: b"",
            headers: b"",
            bytes,
        }
    }

    /// Reads a URI that fills `bytes`.
    ///
    /// # Errors
    /// What part is malformed. Unknown schemes are no error: their rest is opaque, but without white space.
    pub fn parse(bytes: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        if bytes.len() > MAX_URI {
            return Err(Malformed("URI (too long)"));
        }
        match bytes {
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', rest @ ..] => sip_uri(Scheme::Sip, rest, bytes),
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', rest @ ..] => {
                sip_uri(Scheme::Sips, rest, bytes)
            }
            [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', rest @ ..] => tel_uri(rest, bytes),
            _ => other_uri(bytes),
        }
    }

    /// True for `sip:` and `sips:`.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The value of a URI parameter, its name in any case: `Some(None)` if it stands without a value.
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.each_param().find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The URI parameters as written.
    pub fn each_param(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone + use<'a> {
        self.params.split(|&byte| byte == b';').filter(|text| !text.is_empty()).map(split_equals)
    }

    /// The embedded headers as written, `(name, value)`; [`percent_decode`] gives their text.
    pub fn each_header(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        self.headers.split(|&byte| byte == b'&').filter(|text| !text.is_empty()).map(|text| {
            let (name, value) = split_equals(text);
            (name, value.unwrap_or(b""))
        })
    }

    /// The user part with its escapes resolved; empty if there is none.
    pub fn user_text(&self) -> Cow<'a, [u8]> {
        percent_decode(self.user.unwrap_or(b""))
    }

    /// Equality by RFC 3261 section 19.1.4. `tel:` URIs are equal by number without visual separators (RFC 3966
    /// section 4) and parameters; other schemes byte by byte.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        match (self.scheme, other.scheme) {
            (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => {
                same_escaped(self.user, other.user)
                    && same_escaped(self.password, other.password)
                    && self.host.same(&other.host)
                    && self.port == other.port
                    && params_match(self, other)
                    && params_match(other, self)
                    && headers_match(self, other)
            }
            (Scheme::Tel, Scheme::Tel) => {
                digits(self.user.unwrap_or(b"")).eq(digits(other.user.unwrap_or(b"")))
                    && tel_params_match(self, other)
                    && tel_params_match(other, self)
            }
            (Scheme::Other(_), Scheme::Other(_)) => self.bytes == other.bytes,
            (Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Other(_), _) => false,
        }
    }
}

/// Splits `name=value`.
fn split_equals(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[inline]
fn sip_uri<'a>(scheme: Scheme<'a>, rest: &'a [u8], bytes: &'a [u8]) -> Result<Uri<'a>, Malformed> {
    let (user, password, rest) = userinfo(rest)?;
    let (host, port, rest) = host_port(rest)?;
    let (mut params, mut headers) = (&b""[..], &b""[..]);
    if !rest.is_empty() {
        // A raw '@' further on would let two readers see two hosts.
        let (written, after) = rest.split_at(grammar::uri_params_span(rest));
        if rest[0] != b'?' {
            params = written.strip_prefix(b";").ok_or(Malformed("port or parameters of URI"))?;
        }
        if !after.is_empty() {
            headers = after.strip_prefix(b"?").ok_or(Malformed("parameters of URI"))?;
            if !grammar::is_uri_text(headers) {
                return Err(Malformed("headers of URI"));
            }
        }
    }
    Ok(Uri { scheme, user, password, host, port, params, headers, bytes })
}

/// The user, the password and what stands after them.
type Userinfo<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [u8]);

/// Takes `user[:password]@` if it is there. User and password may hold ';', '?' and ':' but no raw '@', so the first
/// one ends them.
#[inline]
fn userinfo(rest: &[u8]) -> Result<Userinfo<'_>, Malformed> {
    let end = grammar::plain_user_span(rest);
    match rest.get(end) {
        Some(b'@') if end > 0 => Ok((Some(&rest[..end]), None, &rest[end + 1..])),
        Some(b'@' | b':' | b'%') => userinfo_with_more(rest),
        _ => Ok((None, None, rest)),
    }
}

/// As [`userinfo`], for one with escapes or a password, or for none: a colon may be that of the port.
fn userinfo_with_more(rest: &[u8]) -> Result<Userinfo<'_>, Malformed> {
    let end = grammar::user_span(rest);
    if rest.get(end) != Some(&b'@') {
        return Ok((None, None, rest));
    }
    let info = &rest[..end];
    let colon = memchr::memchr(b':', info);
    let user = &info[..colon.unwrap_or(end)];
    if user.is_empty() || !escapes_are_whole(info) {
        return Err(Malformed("user part of URI"));
    }
    Ok((Some(user), colon.map(|colon| &info[colon + 1..]), &rest[end + 1..]))
}

fn tel_uri<'a>(rest: &'a [u8], bytes: &'a [u8]) -> Result<Uri<'a>, Malformed> {
    let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
    let number = &rest[..end];
    let is_number = |byte: &u8| byte.is_ascii_hexdigit() || b"+*#-.()".contains(byte);
    if !number.iter().all(is_number)
        || !number.iter().any(|byte| byte.is_ascii_hexdigit() || b"*#".contains(byte))
    {
        return Err(Malformed("number of tel URI"));
    }
    let params = rest.get(end + 1..).unwrap_or(b"");
    if !grammar::is_uri_text(params) || memchr::memchr(b'@', params).is_some() {
        return Err(Malformed("parameters of tel URI"));
    }
    Ok(Uri { user: Some(number), params, ..Uri::opaque(Scheme::Tel, bytes) })
}

fn other_uri(bytes: &[u8]) -> Result<Uri<'_>, Malformed> {
    let colon = memchr::memchr(b':', bytes).ok_or(Malformed("URI"))?;
    let scheme = &bytes[..colon];
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let named = scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(in_scheme);
    if !named || colon + 1 == bytes.len() || !grammar::is_uri_text(bytes) {
        return Err(Malformed("URI"));
    }
    Ok(Uri::opaque(Scheme::Other(scheme), bytes))
}

/// Reads `host[:port]` and gives what follows. White space is not allowed inside.
#[inline]
pub(crate) fn host_port(bytes: &[u8]) -> Result<(Host<'_>, Option<u16>, &[u8]), Malformed> {
    let (host, rest) = if bytes.first() == Some(&b'[') {
        let close = memchr::memchr(b']', bytes).ok_or(Malformed("IPv6 address"))?;
        let address = ipv6(&bytes[..=close]).ok_or(Malformed("IPv6 address"))?;
        (Host::V6(address), &bytes[close + 1..])
    } else if let Some((address, rest)) = ipv4_prefix(bytes) {
        (Host::V4(address), rest)
    } else {
        let (name, rest) = bytes.split_at(grammar::host_span(bytes));
        (Host::Name(check_name(name)?), rest)
    };
    match rest.strip_prefix(b":") {
        Some(after) => port_prefix(after).map(|(port, rest)| (host, Some(port), rest)),
        None => Ok((host, None, rest)),
    }
}

/// Reads the port at the start of `bytes` and gives what follows; 0 is none.
pub(crate) fn port_prefix(bytes: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let (mut number, mut rest) = (0u32, bytes);
    while let [byte @ b'0'..=b'9', after @ ..] = rest
        && number <= u32::from(u16::MAX)
    {
        number = number * 10 + u32::from(byte - b'0');
        rest = after;
    }
    match u16::try_from(number) {
        Ok(port @ 1..) => Ok((port, rest)),
        _ => Err(Malformed("port")),
    }
}

/// Reads a port that fills `digits`; 0 is none.
pub(crate) fn port(digits: &[u8]) -> Result<u16, Malformed> {
    match port_prefix(digits)? {
        (port, []) => Ok(port),
        _ => Err(Malformed("port")),
    }
}

/// A host name: not empty, no leading dot or hyphen, and not a broken IPv4 address.
fn check_name(name: &[u8]) -> Result<&[u8], Malformed> {
    if matches!(name.first(), None | Some(b'.' | b'-')) {
        return Err(Malformed("host"));
    }
    if name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return Err(Malformed("IPv4 address"));
    }
    Ok(name)
}

/// The IPv4 address at the start of `text` and what follows it; `None` if that is a host character.
fn ipv4_prefix(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (a, rest) = octet(text)?;
    let (b, rest) = octet(rest.strip_prefix(b".")?)?;
    let (c, rest) = octet(rest.strip_prefix(b".")?)?;
    let (d, rest) = octet(rest.strip_prefix(b".")?)?;
    let ends = rest.first().is_none_or(|&byte| !grammar::is_host_byte(byte));
    ends.then_some((Ipv4Addr::new(a, b, c, d), rest))
}

/// One to three digits up to 255, and what follows.
#[inline]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| byte.wrapping_sub(b'0');
    let (&first, mut rest) = text.split_first()?;
    if digit(first) > 9 {
        return None;
    }
    let mut value = u16::from(digit(first));
    for _ in 0..2 {
        match rest.split_first() {
            Some((&next, after)) if digit(next) <= 9 => {
                value = value * 10 + u16::from(digit(next));
                rest = after;
            }
            _ => break,
        }
    }
    // Fails beyond 255. A fourth digit is neither a dot nor the end.
    Some((u8::try_from(value).ok()?, rest))
}

/// Reads an IPv6 address with or without brackets. Three colons, which the grammar of RFC 3261 asks for before an
/// embedded IPv4 address by mistake, are read as two (RFC 5118 section 4.10).
pub fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let inner = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(text);
    // The longest form with an embedded IPv4 address has 45 bytes; one more for the third colon.
    if inner.len() > 46 || !inner.contains(&b':') {
        return None;
    }
    let text = std::str::from_utf8(inner).ok()?;
    match text.find(":::") {
        None => text.parse().ok(),
        Some(at) => {
            let mut repaired = [0u8; 46];
            let kept = inner.len() - 1;
            repaired[..at].copy_from_slice(&inner[..at]);
            repaired[at..kept].copy_from_slice(&inner[at + 1..]);
            std::str::from_utf8(&repaired[..kept]).ok()?.parse().ok()
        }
    }
}

fn escapes_are_whole(text: &[u8]) -> bool {
    let is_whole =
        |at: usize| text.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    text.iter().enumerate().all(|(at, &byte)| byte != b'%' || is_whole(at))
}

fn same_escaped(one: Option<&[u8]>, two: Option<&[u8]>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => one == two || percent_decode(one) == percent_decode(two),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Every parameter of `one` agrees with `two`; those in `MUST_MATCH` may not be missing there.
fn params_match(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    const MUST_MATCH: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];
    one.each_param().all(|(name, value)| match two.param(name) {
        Some(other) => {
            let (one, two) = (percent_decode(value.unwrap_or(b"")), percent_decode(other.unwrap_or(b"")));
            one.eq_ignore_ascii_case(&two)
        }
        None => !MUST_MATCH.iter().any(|must| must.eq_ignore_ascii_case(name)),
    })
}

fn tel_params_match(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    one.each_param().all(|(name, value)| {
        two.param(name).is_some_and(|other| value.unwrap_or(b"").eq_ignore_ascii_case(other.unwrap_or(b"")))
    })
}

fn headers_match(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    let covered = |one: &Uri<'_>, two: &Uri<'_>| {
        one.each_header().all(|(name, value)| {
            two.each_header().any(|(other_name, other_value)| {
                percent_decode(name).eq_ignore_ascii_case(&percent_decode(other_name))
                    && percent_decode(value) == percent_decode(other_value)
            })
        })
    };
    covered(one, two) && covered(two, one)
}

/// The digits of a number without its visual separators (RFC 3966 section 5.1.1).
fn digits(number: &[u8]) -> impl Iterator<Item = u8> + '_ {
    number.iter().filter(|byte| !b"-.()".contains(byte)).map(u8::to_ascii_lowercase)
}

/// Resolves `%HH`; an incomplete escape stays as it stands. Borrows when there is none.
pub fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return text.into();
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                plain.push(hex_value(*high) << 4 | hex_value(*low));
                rest = tail;
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain.into()
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

fn percent_encode(out: &mut Vec<u8>, text: &[u8], stays: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if stays(byte) {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Appends the name or value of a header that is embedded in a URI: all but unreserved and `[ ] / ? : + $` is escaped.
pub fn encode_embedded(out: &mut Vec<u8>, text: &[u8]) {
    percent_encode(out, text, grammar::is_embedded);
}

/// Appends a user part: all but unreserved and `& = + $ , ; ? /` is escaped, minus those (`; ?`) that careless
/// readers take for the start of parameters and headers.
pub fn encode_user(out: &mut Vec<u8>, text: &[u8]) {
    percent_encode(out, text, |byte| grammar::is_unreserved(byte) || b"&=+$,/".contains(&byte));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).expect("a readable URI")
    }

    #[test]
    fn equal_by_section_19_1_4() {
        for (one, two) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-415-555-0123", "TEL:+14155550123"),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:0db8:0::1]"),
        ] {
            assert!(uri(one).equivalent(&uri(two)) && uri(two).equivalent(&uri(one)), "{one} {two}");
        }
    }

    #[test]
    fn different_by_section_19_1_4() {
        for (one, two) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("tel:+14155550123", "tel:14155550123"),
            ("tel:123;phone-context=a.example", "tel:123"),
        ] {
            assert!(!uri(one).equivalent(&uri(two)) && !uri(two).equivalent(&uri(one)), "{one} {two}");
        }
    }

    #[test]
    fn parts_are_told_apart() {
        let read = uri("sips:bob;x=1?y:secret@[2001:db8::1]:5061;lr;maddr=192.0.2.1?Replaces=a%40b&X-A=1");
        assert_eq!(read.scheme, Scheme::Sips);
        assert_eq!((read.user, read.password), (Some(&b"bob;x=1?y"[..]), Some(&b"secret"[..])));
        assert_eq!((read.host.ip(), read.port), ("2001:db8::1".parse().ok(), Some(5061)));
        assert_eq!((read.param(b"LR"), read.param(b"maddr")), (Some(None), Some(Some(&b"192.0.2.1"[..]))));
        let headers: Vec<_> = read.each_header().collect();
        assert_eq!(headers, [(&b"Replaces"[..], &b"a%40b"[..]), (b"X-A", b"1")]);
        let tel = uri("tel:+1-201-555-0123;phone-context=x");
        assert_eq!((tel.scheme, tel.user), (Scheme::Tel, Some(&b"+1-201-555-0123"[..])));
    }

    #[test]
    fn malformed_is_refused() {
        for text in [
            "",
            "sip:",
            "sip",
            "sip:@host",
            "sip:a@",
            "sip:a b@host",
            "sip:a@host:0",
            "sip:a@host:65536",
            "sip:a@host:",
            "sip:a@ho\r\nst",
            "sip:2001:db8::1",
            "sip:a@[2001:db8::1",
            "sip:a@256.1.1.1",
            "sip:a@1.2.3",
            "sip:a%zz@host",
            "sip:a@b@c",
            "sip:a@good.example;x=@evil.example",
            "<sip:a@b>",
            "tel:",
            "tel:+",
            "tel:abcxyz",
            "1:x",
            "x:",
            "sip:a@host\"",
            "sip:a@-host",
            "sip:a@1.2.3.4.5",
            "sip:a@[1.2.3.4]",
        ] {
            assert!(Uri::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_host_that_begins_with_digits_is_a_name_or_an_address() {
        assert_eq!(uri("sip:a@1.2.3.4:5070").host, Host::V4([1, 2, 3, 4].into()));
        assert_eq!(uri("sip:a@3com.example").host, Host::Name(b"3com.example"));
        assert_eq!(uri("sip:a@1.2.3.4.example").host, Host::Name(b"1.2.3.4.example"));
    }

    #[test]
    fn escapes() {
        let mut out = Vec::new();
        encode_embedded(&mut out, b"a b;c=1,[x]/?:+$@\"%\r\n");
        assert_eq!(out, b"a%20b%3Bc%3D1%2C[x]/?:+$%40%22%25%0D%0A");
        assert_eq!(percent_decode(b"a%40b%4").as_ref(), b"a@b%4");
    }
}

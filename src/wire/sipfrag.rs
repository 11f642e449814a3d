//! `message/sipfrag` as far as REFER needs it: the status line (RFC 3420, RFC 3515 section 2.4.5).
//!
//! Peers send it with or without CRLF, with headers after it or none, with an empty reason phrase or no space.

use super::encode::reason_phrase;
use super::grammar;
use super::headers::SIP_VERSION;
use super::message::media_type;

/// The status line of a sipfrag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sipfrag<'a> {
    /// 100 to 699.
    pub status: u16,
    /// The reason phrase, often empty.
    pub reason: &'a [u8],
}

/// Reads the status line at the start of `body`; `None` if there is none.
pub fn parse(body: &[u8]) -> Option<Sipfrag<'_>> {
    let body = grammar::trim_start(body);
    let end = memchr::memchr2(b'\r', b'\n', body).unwrap_or(body.len());
    let line = grammar::trim(&body[..end]);
    let (version, rest) = line.split_at_checked(SIP_VERSION.len())?;
    if !version.eq_ignore_ascii_case(SIP_VERSION.as_bytes())
        || !rest.first().is_some_and(|&b| grammar::is_lws(b))
    {
        return None;
    }
    let rest = grammar::trim_start(rest);
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let status = grammar::decimal(&rest[..digits]).filter(|status| (100..700).contains(status))?;
    let reason = &rest[digits..];
    if digits != 3 || reason.first().is_some_and(|&byte| !grammar::is_lws(byte)) {
        return None;
    }
    Some(Sipfrag { status: u16::try_from(status).ok()?, reason: grammar::trim(reason) })
}

/// The header lines after the status line, up to an empty one. A line without a colon is passed over.
pub fn headers(body: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = grammar::trim_start(body).split(|&byte| byte == b'\n').skip(1).map(grammar::trim);
    lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((grammar::trim(&line[..colon]), grammar::trim(&line[colon + 1..])))
    })
}

/// True if a Content-Type names a sipfrag, whatever its parameters.
pub fn is_sipfrag(content_type: &[u8]) -> bool {
    media_type(content_type).eq_ignore_ascii_case(b"message/sipfrag")
}

/// Appends a status line with the usual reason phrase, as the body of a NOTIFY.
pub fn write(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(format!("{SIP_VERSION} {status} {}\r\n", reason_phrase(status)).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_peers_send() {
        for (body, status, reason) in [
            (&b"SIP/2.0 200 OK"[..], 200, &b"OK"[..]),
            (b"SIP/2.0 100 Trying\r\n", 100, b"Trying"),
            (b"SIP/2.0 603\n", 603, b""),
            (b"sip/2.0 486 \r\nContact: <sip:a@b>\r\n\r\n", 486, b""),
            (b"\r\nSIP/2.0 503 Service  Unavailable\r\nX: y", 503, b"Service  Unavailable"),
        ] {
            assert_eq!(parse(body), Some(Sipfrag { status, reason }), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_status_line() {
        for body in [
            "",
            "SIP/2.0",
            "SIP/2.0 ",
            "SIP/2.0 20 OK",
            "SIP/2.0 2000",
            "SIP/2.0 099 x",
            "SIP/2.0 700 x",
            "SIP/2.0 200OK",
            "SIP/3.0 200 OK",
            "SIP/2.0200 OK",
            "INVITE sip:a SIP/2.0",
        ] {
            assert_eq!(parse(body.as_bytes()), None, "{body:?}");
        }
    }

    #[test]
    fn content_type_may_carry_parameters() {
        assert!(is_sipfrag(b"message/sipfrag") && is_sipfrag(b"Message/SIPfrag ; version=2.0"));
        assert!(!is_sipfrag(b"message/sip"));
    }
}

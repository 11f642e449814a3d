//! A first look at a message: just enough to find the shard that owns it. No index, no check, no allocation.
//!
//! Agrees with the decoder on every message that the decoder accepts (a test holds that). Called by the receiver.

use super::grammar;
use super::headers::{Method, Name};

/// What decides which shard owns a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    /// False for a response.
    pub is_request: bool,
    /// The Call-ID. An INVITE that carries Replaces is owned by its own, too: its ACK and its BYE are.
    pub call_id: &'a [u8],
}

/// Whether a datagram only keeps a way through a NAT open: line ends, zeros, or nothing at all. It is no message.
pub fn is_keepalive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Finds the Call-ID; `None` if no message can be recognised.
pub fn peek(bytes: &[u8]) -> Option<Peek<'_>> {
    let mut rest = bytes;
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        rest = after;
    }
    let start_line = next_line(&mut rest)?;
    let is_request = !start_line.get(..4).is_some_and(|text| text.eq_ignore_ascii_case(b"SIP/"));
    loop {
        let line = header_line(&mut rest)?;
        match line.first() {
            None => return None,
            Some(b'c' | b'C' | b'i' | b'I') => {
                if let Some(call_id) = value_of(line, Name::CallId) {
                    return (!call_id.is_empty()).then_some(Peek { is_request, call_id });
                }
            }
            Some(_) => {}
        }
    }
}

/// The status of a response that we wrote ourselves; `None` for a request.
pub fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    digits.iter().try_fold(0u16, |n, b| b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0')))
}

/// The method of the CSeq of a message that we wrote ourselves.
pub fn cseq_method(bytes: &[u8]) -> Method {
    let line = line_after(bytes, b"\r\nCSeq: ");
    let word = line.and_then(|line| line.rsplit(|b| *b == b' ').next()).unwrap_or_default();
    Method::parse(word)
}

/// The Warning of a message that we wrote ourselves: the first one, if it has any.
pub fn warning(bytes: &[u8]) -> Option<String> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").and_then(|end| bytes.get(..end)).unwrap_or(bytes);
    line_after(head, b"\r\nWarning: ").map(|line| String::from_utf8_lossy(line).into_owned())
}

/// What stands in the line that begins so.
fn line_after<'a>(bytes: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let rest = bytes.get(memchr::memmem::find(bytes, start)? + start.len()..)?;
    rest.split(|b| *b == b'\r').next()
}

/// Takes one line, without its line end; `None` if there is no more.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let feed = memchr::memchr(b'\n', rest)?;
    let line = &rest[..feed];
    *rest = &rest[feed + 1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Takes one header with its folded lines.
fn header_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let whole = *rest;
    let mut length = next_line(rest)?.len();
    while length > 0 && matches!(rest.first(), Some(b' ' | b'\t')) {
        let line = next_line(rest)?;
        length = line.as_ptr() as usize - whole.as_ptr() as usize + line.len();
    }
    Some(&whole[..length])
}

fn value_of(line: &[u8], name: Name) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    (Name::parse(grammar::trim(&line[..colon])) == name).then(|| grammar::trim(&line[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_call_id_in_any_form() {
        for text in [
            "Call-ID: x@y\r\n",
            "i:x@y\r\n",
            "CALL-id  :\r\n x@y \r\n",
            "Contact: a\r\nI: x@y\r\nCall-ID: z\r\n",
        ] {
            let bytes = format!("\r\nBYE sip:a SIP/2.0\r\n{text}\r\n");
            let expected = Peek { is_request: true, call_id: b"x@y" };
            assert_eq!(peek(bytes.as_bytes()), Some(expected), "{text:?}");
        }
        assert_eq!(peek(b"SIP/2.0 200 OK\r\ni: r\r\n\r\n").map(|peek| peek.is_request), Some(false));
    }

    #[test]
    fn an_invite_that_replaces_goes_by_its_own_call_id() {
        let bytes = b"INVITE sip:a SIP/2.0\r\nReplaces: old@h;to-tag=1;from-tag=2\r\ni: new\r\n\r\n";
        assert_eq!(peek(bytes).map(|peek| peek.call_id), Some(&b"new"[..]));
    }

    #[test]
    fn what_has_no_call_id_belongs_to_nobody() {
        for bytes in [
            &b""[..],
            b"\r\n\r\n",
            b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\ni: body\r\n",
            b"i: x\r\n\r\n",
            b"A\r\ni:\r\n\r\n",
        ] {
            assert_eq!(peek(bytes), None, "{}", bytes.escape_ascii());
        }
    }
}

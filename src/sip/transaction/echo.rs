//! What the responses to a request copy from it (RFC 3261 §8.2.6.2), kept as one block of exact size.

use crate::wire::{Message, Name, Writer, reason_phrase, response_to};
use std::net::SocketAddr;

/// Header lines of a response without its status line: all Vias with `received` and `rport` filled in, From, To,
/// Call-ID, CSeq; then Record-Route, then Timestamp.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    lines: Box<[u8]>,
    /// Where the value of To ends: a tag goes in here.
    to_end: u32,
    /// Where what every response has ends, and Record-Route begins.
    common_end: u32,
    /// Where Record-Route ends, and Timestamp begins.
    routes_end: u32,
    /// Whether the request has a To tag.
    tagged: bool,
}

impl Echo {
    /// `scratch` is overwritten.
    pub(crate) fn of(request: &Message<'_>, source: SocketAddr, scratch: &mut Vec<u8>) -> Echo {
        // A 2xx has all but Timestamp, which only a 100 has.
        response_to(scratch, request, 200, b"", None, Some(source));
        let start = memchr::memchr(b'\n', scratch).map_or(scratch.len(), |at| at + 1);
        let (to_end, common_end) = landmarks(&scratch[start..]);
        let routes_end = scratch.len() - start;
        if let Some(timestamp) = request.header(Name::Timestamp) {
            Writer::resume(scratch).header(Name::Timestamp, timestamp);
        }
        Echo {
            lines: scratch[start..].into(),
            to_end: to_end as u32,
            common_end: common_end as u32,
            routes_end: routes_end as u32,
            tagged: request.to_tag().is_some(),
        }
    }

    /// Begins a response in `buffer`, which is emptied first.
    pub(crate) fn respond<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        status: u16,
        to_tag: Option<&[u8]>,
    ) -> Writer<'b> {
        let (to_end, common_end) = (self.to_end as usize, self.common_end as usize);
        Writer::response(buffer, status, reason_phrase(status));
        buffer.extend_from_slice(&self.lines[..to_end]);
        if let (false, Some(tag)) = (self.tagged, to_tag) {
            buffer.extend_from_slice(b";tag=");
            buffer.extend_from_slice(tag);
        }
        buffer.extend_from_slice(&self.lines[to_end..common_end]);
        match status {
            100 => buffer.extend_from_slice(&self.lines[self.routes_end as usize..]),
            101..=299 => buffer.extend_from_slice(&self.lines[common_end..self.routes_end as usize]),
            _ => {}
        }
        Writer::resume(buffer)
    }
}

/// Where the value of To ends, and where Record-Route begins (or all ends).
fn landmarks(lines: &[u8]) -> (usize, usize) {
    let (mut to_end, mut at) = (0, 0);
    let is = |line: &[u8], name: Name| {
        line.strip_prefix(name.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
    };
    for feed in memchr::memchr_iter(b'\n', lines) {
        let line = &lines[at..feed];
        if is(line, Name::RecordRoute) {
            return (to_end, at);
        }
        if is(line, Name::To) {
            // The line ends with CR and LF.
            to_end = feed - 1;
        }
        at = feed + 1;
    }
    (to_end, lines.len())
}

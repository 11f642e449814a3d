//! What the responses to a request copy from it (RFC 3261 §8.2.6.2), kept as one block of exact size.

use crate::wire::{Message, Writer, reason_phrase, response_to};
use memchr::memmem;
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
        response_to(scratch, request, 100, b"", None, Some(source));
        let hundred = scratch.len();
        // A 100 ends with Timestamp, a 2xx with Record-Route; the rest of both is the same.
        let start = after(scratch, 0, b"\r\n");
        let timestamp = memmem::find(scratch, b"\r\nTimestamp: ").map_or(hundred, |at| at + 2);
        let timestamp_lines: Box<[u8]> = scratch[timestamp..].into();
        response_to(scratch, request, 200, b"", None, Some(source));
        let to = after(scratch, start, b"\r\nTo: ");
        let to_end = memmem::find(&scratch[to..], b"\r\n").map_or(scratch.len(), |at| to + at);
        let common_end = timestamp.min(scratch.len());
        let routes_end = scratch.len();
        scratch.extend_from_slice(&timestamp_lines);
        let offset = |at: usize| (at - start) as u32;
        Echo {
            lines: scratch[start..].into(),
            to_end: offset(to_end),
            common_end: offset(common_end),
            routes_end: offset(routes_end),
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

/// The offset behind the first `text` from `start` on; the end if it is not there.
fn after(bytes: &[u8], start: usize, text: &[u8]) -> usize {
    memmem::find(&bytes[start..], text).map_or(bytes.len(), |at| start + at + text.len())
}

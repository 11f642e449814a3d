//! Where everything stands in a message: spans over its bytes. [`super::decode()`] finds them, [`super::message`] reads
//! through them.

use super::grammar;
use super::headers::{Method, Name};

/// A part of the message, as offsets. Messages are capped at 65,535 bytes, so `u16` holds any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Span {
    /// The span of `start..end`; both were checked against [`MAX_MESSAGE`] before any span is made.
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u16, end: end as u16 }
    }

    /// The span of `part`, which is a slice of `bytes`.
    pub(super) fn of(bytes: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
        Span::new(start, start + part.len())
    }

    /// The bytes; empty if the index belongs to other bytes.
    pub(crate) fn of_bytes(self, bytes: &[u8]) -> &[u8] {
        bytes.get(usize::from(self.start)..usize::from(self.end)).unwrap_or(b"")
    }
}

/// One header line: its name folded to [`Name`], and where its texts stand. Eight bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(super) name_length: u8,
    pub(super) name_start: u16,
    pub(super) value: Span,
}

impl Entry {
    pub(crate) fn raw_name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = usize::from(self.name_start);
        bytes.get(start..start + usize::from(self.name_length)).unwrap_or(b"")
    }

    pub(crate) fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.value.of_bytes(bytes)
    }

    /// Where the line begins.
    pub(crate) fn line_start(&self) -> usize {
        usize::from(self.name_start)
    }
}

/// What the start line says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartLine {
    Request { method: Method, text: Span, uri: Span },
    Response { status: u16, reason: Span },
}

/// What every message is matched by, read once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) via: Span,
    pub(crate) branch: Option<Span>,
    pub(crate) from_tag: Option<Span>,
    pub(crate) to_tag: Option<Span>,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: Method,
    pub(crate) max_forwards: Option<u8>,
}

/// Reusable scratch of the decoder: where everything stands in the bytes last decoded.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) headers: Vec<Entry>,
    /// Position + 1 in `headers` of the first line of each name; 0 = none.
    pub(super) first: [u8; Name::COUNT],
    /// Position + 1 in `headers` of the last line of each name; holds only where `first` is not 0.
    pub(super) last: [u8; Name::COUNT],
    pub(super) start_line: StartLine,
    pub(super) keys: Keys,
    /// Offset of the byte after the blank line.
    pub(super) head_end: u16,
    pub(super) body: Span,
    pub(super) folded: bool,
    /// From, To, Call-ID or CSeq stands twice: which one to answer with cannot be told.
    pub(super) doubled: bool,
    /// The header that was read last is not kept: folded lines that follow are its.
    pub(super) left_out: bool,
    /// Where the first line begins that is at fault; `u16::MAX`: no line is.
    pub(super) fault_at: u16,
    /// A fault was found, but an error response can be built from the keys.
    pub(super) salvageable: bool,
    /// A request that lacks what an answer copies; there is a Via to answer to.
    pub(super) incomplete: bool,
}

impl Default for Index {
    fn default() -> Self {
        Index {
            headers: Vec::new(),
            first: [0; Name::COUNT],
            last: [0; Name::COUNT],
            start_line: StartLine::Response { status: 0, reason: Span::default() },
            keys: Keys::default(),
            head_end: 0,
            body: Span::default(),
            folded: false,
            doubled: false,
            left_out: false,
            fault_at: u16::MAX,
            salvageable: false,
            incomplete: false,
        }
    }
}

impl Index {
    /// How many header lines fit without a new allocation.
    pub fn capacity(&self) -> usize {
        self.headers.capacity()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.headers
    }

    /// The entries from the first of that name to the last, others between them; empty if there is none.
    pub(crate) fn lines(&self, name: Name) -> &[Entry] {
        match usize::from(self.first[name as usize]) {
            0 => &[],
            first => &self.headers[first - 1..usize::from(self.last[name as usize])],
        }
    }

    pub(crate) fn first<'a>(&self, bytes: &'a [u8], name: Name) -> Option<&'a [u8]> {
        self.lines(name).first().map(|entry| entry.value(bytes))
    }

    pub(super) fn is_request(&self) -> bool {
        matches!(self.start_line, StartLine::Request { .. })
    }

    pub(crate) fn start_line(&self) -> &StartLine {
        &self.start_line
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn body(&self) -> Span {
        self.body
    }

    /// Where the blank line begins: the end of the last header line.
    pub(crate) fn headers_end(&self) -> usize {
        usize::from(self.head_end).saturating_sub(2)
    }

    /// True if any header line is folded.
    pub(crate) fn folded(&self) -> bool {
        self.folded
    }
}

/// The method of a CSeq value.
pub(crate) fn cseq_method(cseq: &[u8]) -> &[u8] {
    let digits = cseq.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(cseq.len());
    grammar::trim(&cseq[digits..])
}

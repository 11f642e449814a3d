//! A decoded message: two references, read through the [`Index`].
//!
//! Not here: judging what a message asks for (`sip`). Values keep their folds as received; the grammar reads a fold
//! as white space, and [`super::Writer`] unfolds.

use super::grammar::{self, Commas, Malformed};
use super::headers::{self, Method, Name};
use super::index::{Entry, Index, StartLine, cseq_method};
use super::name_addr::NameAddr;
use super::uri::Uri;
use super::via::Via;

/// A message that [`super::decode()`] or [`super::identify()`] accepted (or [`super::salvage()`] saved). Copying it copies two references.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, compact and odd-cased forms folded.
    pub name: Name,
    /// The name as received.
    pub raw_name: &'a [u8],
    /// The value without white space around it, folds inside it kept.
    pub value: &'a [u8],
}

/// The value of a CSeq header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number, below 2^31.
    pub number: u32,
    /// The same as the request's own, or the message is refused.
    pub method: Method,
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8], index: &'a Index) -> Self {
        Message { bytes, index }
    }

    pub(crate) fn index(&self) -> &'a Index {
        self.index
    }

    /// The bytes as received, with whatever stood around the message in its datagram.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// True for a request.
    pub fn is_request(&self) -> bool {
        matches!(self.index.start_line(), StartLine::Request { .. })
    }

    /// The method of a request; of a response that of its CSeq.
    pub fn method(&self) -> Method {
        match *self.index.start_line() {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => self.index.keys().cseq_method,
        }
    }

    /// The text of [`method`](Self::method), needed where it is `Method::Other`.
    pub fn method_text(&self) -> &'a [u8] {
        match *self.index.start_line() {
            StartLine::Request { text, .. } => text.of_bytes(self.bytes),
            StartLine::Response { .. } => cseq_method(self.header(Name::CSeq).unwrap_or(b"")),
        }
    }

    /// The Request-URI as written; empty for a response.
    pub fn uri_bytes(&self) -> &'a [u8] {
        match *self.index.start_line() {
            StartLine::Request { uri, .. } => uri.of_bytes(self.bytes),
            StartLine::Response { .. } => b"",
        }
    }

    /// The Request-URI. Of a request that `identify` accepted it always reads.
    ///
    /// # Errors
    /// For a response, and for a salvaged request whose URI was the fault.
    pub fn uri(&self) -> Result<Uri<'a>, Malformed> {
        Uri::parse(self.uri_bytes())
    }

    /// The status code of a response, 100 to 699.
    pub fn status(&self) -> Option<u16> {
        match *self.index.start_line() {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response, often empty; of a request empty.
    pub fn reason(&self) -> &'a [u8] {
        match *self.index.start_line() {
            StartLine::Request { .. } => b"",
            StartLine::Response { reason, .. } => reason.of_bytes(self.bytes),
        }
    }

    /// The value of the first line of that name. For `Name::Other` use [`custom`](Self::custom).
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        self.index.first(self.bytes, name)
    }

    /// The value of each line of that name, comma lists whole.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        self.index.lines(name).iter().filter(move |entry| entry.name == name).map(|entry| entry.value(bytes))
    }

    /// Each value of that name, comma lists split (commas in quotes and `<>` do not split).
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        self.headers(name).flat_map(Commas::new)
    }

    /// Every header line in the order received.
    pub fn all(&self) -> impl Iterator<Item = Header<'a>> + Clone + use<'a> {
        let bytes = self.bytes;
        self.index.entries().iter().map(move |entry| header_of(entry, bytes))
    }

    /// The body, cut by Content-Length.
    pub fn body(&self) -> &'a [u8] {
        self.index.body().of_bytes(self.bytes)
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &'a [u8] {
        self.header(Name::CallId).unwrap_or(b"")
    }

    /// The CSeq.
    pub fn cseq(&self) -> CSeq {
        let keys = self.index.keys();
        CSeq { number: keys.cseq, method: keys.cseq_method }
    }

    /// The topmost Via.
    pub fn via(&self) -> Via<'a> {
        // `identify` and `salvage` give out no message whose top Via does not read.
        Via::parse(self.index.keys().via.of_bytes(self.bytes)).unwrap_or_default()
    }

    /// The branch of the topmost Via, without reading the rest of it.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.index.keys().branch.map(|span| span.of_bytes(self.bytes))
    }

    /// The From header; empty where it does not read, which [`check`](Self::check) excludes for a request outside a dialog.
    pub fn from(&self) -> NameAddr<'a> {
        NameAddr::parse(self.header(Name::From).unwrap_or(b"")).unwrap_or_default()
    }

    /// The To header; empty where it does not read, which [`check`](Self::check) excludes for a request outside a dialog.
    pub fn to(&self) -> NameAddr<'a> {
        NameAddr::parse(self.header(Name::To).unwrap_or(b"")).unwrap_or_default()
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<&'a [u8]> {
        self.index.keys().from_tag.map(|span| span.of_bytes(self.bytes))
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&'a [u8]> {
        self.index.keys().to_tag.map(|span| span.of_bytes(self.bytes))
    }

    /// Max-Forwards, if it stands there and reads.
    pub fn max_forwards(&self) -> Option<u8> {
        self.index.keys().max_forwards
    }

    /// The first Contact; `None` if there is none, it is `*`, or (in a response) it does not read.
    pub fn contact(&self) -> Option<NameAddr<'a>> {
        NameAddr::parse(self.values(Name::Contact).next()?).ok()
    }

    /// The value of the first line of a header given by its text, in any case and form.
    pub fn custom(&self, raw_name: &[u8]) -> Option<&'a [u8]> {
        match Name::parse(raw_name) {
            Name::Other => self
                .index
                .lines(Name::Other)
                .iter()
                .filter(|entry| entry.name == Name::Other)
                .find(|entry| entry.raw_name(self.bytes).eq_ignore_ascii_case(raw_name))
                .map(|entry| entry.value(self.bytes)),
            name => self.header(name),
        }
    }

    /// The Content-Type as written.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.header(Name::ContentType)
    }

    /// True if the body has parts (RFC 2046 section 5.1), one of which may be a session description. They are not looked at.
    pub fn is_multipart(&self) -> bool {
        let kind = self.content_type().map(media_type).unwrap_or_default();
        kind.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
    }

    /// True if the body is a session description. One without Content-Type is taken for that if it begins as one does
    /// (RFC 8866 section 5.1): Sofia-SIP and OpenSIPS read such a body so, and their peers rely on it.
    pub fn has_sdp(&self) -> bool {
        let body = self.body();
        match self.content_type() {
            Some(value) => {
                let kind = media_type(value);
                !body.is_empty() && kind.eq_ignore_ascii_case(headers::APPLICATION_SDP.as_bytes())
            }
            None => body.starts_with(b"v="),
        }
    }
}

fn header_of<'a>(entry: &Entry, bytes: &'a [u8]) -> Header<'a> {
    Header { name: entry.name, raw_name: entry.raw_name(bytes), value: entry.value(bytes) }
}

/// `type/subtype` of a Content-Type, without its parameters.
pub(crate) fn media_type(value: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    grammar::trim(&value[..end])
}

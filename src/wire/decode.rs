//! The decoder: one walk over the head that leaves spans in a reusable [`Index`], then a check of what every reader
//! relies on (RFC 3261 sections 7, 8.1.1, 16.3 and 18.3; RFC 4475; RFC 5118).
//!
//! Nothing is copied, and nothing is allocated once the index has seen a message with as many headers. What is
//! checked here needs no second look above: the start line, one From, To, Call-ID and CSeq, a readable top Via, and
//! Content-Length against the body. What a request needs beside, by its method, stands in `check`, apart, for most
//! messages are no new requests. What a method, a scheme or an extension means is the
//! business of `sip`.

use super::caps::{MAX_CSEQ, MAX_HEAD, MAX_HEADERS, MAX_LINE, MAX_MESSAGE, MAX_NAME};
use super::fault::Fault;
use super::grammar;
use super::headers::{Method, Name};
use super::index::{Entry, Index, Keys, Span, StartLine, cseq_method};
use super::message::Message;
use super::name_addr::NameAddr;
use super::scan::{Line, Lines};
use super::uri::Uri;
use super::via::Via;

/// How the end of a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A datagram: Content-Length may be missing, octets beyond it are cut off, too few of them are a fault.
    Datagram,
    /// One message cut from a stream by [`super::frame`]: Content-Length must be there and fit exactly.
    Stream,
}

/// Reads one message and checks all that its readers rely on: [`identify`], then [`Message::check`].
///
/// # Errors
/// The [`Fault`] that a UAS would answer with (a faulty response is to be dropped). [`salvage`] tells whether an
/// answer can be built.
pub fn decode<'a>(bytes: &'a [u8], index: &'a mut Index, framing: Framing) -> Result<Message<'a>, Fault> {
    let message = identify(bytes, index, framing)?;
    message.check()?;
    Ok(message)
}

/// Reads what a message is matched by: where each header and the body stand, start line, top Via, tags, Call-ID, CSeq.
/// A request that turns out to be a new one still wants [`Message::check`].
///
/// # Errors
/// As [`decode`].
pub fn identify<'a>(bytes: &'a [u8], index: &'a mut Index, framing: Framing) -> Result<Message<'a>, Fault> {
    index.clear();
    if bytes.len() > MAX_MESSAGE {
        return Err(Fault::LongMessage);
    }
    let head = index.read_head(bytes);
    let keys = index.read_keys(bytes);
    let whole = head.and(keys).and_then(|()| {
        index.check_rest(bytes)?;
        index.measure_body(bytes, framing)
    });
    if let Err(fault) = whole {
        index.salvageable = keys.is_ok() && index.is_answerable(bytes);
        index.incomplete = head.is_ok() && index.lacks_keys(bytes, fault);
        return Err(fault);
    }
    Ok(Message::new(bytes, index))
}

/// After a fault: the message as far as an error response needs it, that is a request (not an ACK) with a readable
/// top Via and one readable From, To, Call-ID and CSeq each. Its other accessors give what was found, unchecked, and
/// its CSeq number is cut to `u32::MAX` if it was larger. `bytes` must be those that were decoded last.
pub fn salvage<'a>(bytes: &'a [u8], index: &'a Index) -> Option<Message<'a>> {
    index.salvageable.then(|| Message::new(bytes, index))
}

/// After a fault: a request (not an ACK) that lacks From, To, Call-ID or CSeq, and whose top Via says where an answer goes.
/// Its answer can only have what it has itself.
pub fn incomplete<'a>(bytes: &'a [u8], index: &'a Index) -> Option<Message<'a>> {
    index.incomplete.then(|| Message::new(bytes, index))
}

impl Index {
    /// Whether that fault is a missing header, and the rest is enough to answer it.
    fn lacks_keys(&mut self, bytes: &[u8], fault: Fault) -> bool {
        let lacks = matches!(fault, Fault::NoFrom | Fault::NoTo | Fault::NoCallId | Fault::NoCSeq);
        let is_request =
            matches!(self.start_line, StartLine::Request { method, .. } if method != Method::Ack);
        let Some(via) = self.first(bytes, Name::Via).filter(|_| lacks && is_request && !self.doubled) else {
            return false;
        };
        let top = grammar::trim(&via[..grammar::element_span(via)]);
        self.keys.via = Span::of(bytes, top);
        Via::parse(top).is_ok()
    }

    /// After a fault that lies in one line: the byte where that begins.
    pub fn fault_at(&self) -> Option<usize> {
        (self.fault_at != u16::MAX).then_some(usize::from(self.fault_at))
    }

    fn clear(&mut self) {
        self.headers.clear();
        // Once and for all: one kilobyte, and no message can need more.
        self.headers.reserve(MAX_HEADERS);
        self.first = [0; Name::COUNT];
        self.start_line = StartLine::Response { status: 0, reason: Span::default() };
        self.keys = Keys::default();
        self.head_end = 0;
        self.body = Span::default();
        self.folded = false;
        self.doubled = false;
        self.left_out = false;
        self.fault_at = u16::MAX;
        self.salvageable = false;
        self.incomplete = false;
    }

    /// Indexes start line and headers. Goes on after the first fault as long as lines can be told apart, so that an
    /// answer can be built.
    fn read_head(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // Empty lines before the start line are to be ignored (section 7.5).
        let mut at = 0;
        while bytes.get(at..at + 2) == Some(b"\r\n") {
            at += 2;
        }
        let head_start = at;
        let mut lines = Lines::new(bytes, head_start);
        let mut verdict = Ok(());
        let end = loop {
            let line = lines.advance()?;
            if line.start() == line.end() {
                break line.end() + 2;
            }
            match bytes[line.start()] {
                _ if line.start() == head_start => verdict = self.read_start_line(bytes, line),
                b' ' | b'\t' => verdict = verdict.and(self.extend_fold(bytes, line)),
                _ => verdict = verdict.and(self.add_header(bytes, line)),
            }
            if verdict.is_err() && self.fault_at == u16::MAX {
                self.fault_at = line.start().min(usize::from(u16::MAX)) as u16;
            }
            if line.end() + 2 > MAX_HEAD {
                return Err(Fault::LongHead);
            }
        };
        self.head_end = end as u16;
        if lines.odd() {
            verdict = verdict.and(check_controls(&bytes[head_start..end]));
        }
        verdict
    }

    #[inline(never)]
    fn add_header(&mut self, bytes: &[u8], line: Line) -> Result<(), Fault> {
        let (start, end) = (line.start(), line.end());
        let colon = start + grammar::colon_at(&bytes[start..end]).ok_or(Fault::NoColon)?;
        let raw_name = match &bytes[start..colon] {
            name @ [.., last] if *last > b' ' => name,
            spaced => grammar::trim_end(spaced),
        };
        let name = Name::parse_prefix(&bytes[start..], raw_name.len());
        if name == Name::Other && (raw_name.len() > MAX_NAME || !grammar::is_token(raw_name)) {
            return Err(Fault::HeaderName);
        }
        if self.headers.len() == MAX_HEADERS {
            return Err(Fault::ManyHeaders);
        }
        if end - start > MAX_LINE {
            return Err(Fault::LongHeader);
        }
        let first = self.first[name as usize];
        self.left_out = false;
        if first != 0 && name.is_matched_by() {
            self.doubled |= name != Name::ContentLength;
            return Err(Fault::StandsTwice);
        }
        if first != 0 && name.is_single() && !self.is_request() {
            // Nobody can be told, and what came once has to be heard: a 2xx that is dropped is a call that never comes up.
            self.left_out = true;
            return Ok(());
        }
        let value = Span::of(bytes, grammar::trim(&bytes[colon + 1..end]));
        let name_length = raw_name.len() as u8;
        self.headers.push(Entry { name, name_length, name_start: start as u16, value });
        let position = self.headers.len() as u8;
        self.last[name as usize] = position;
        if first == 0 {
            self.first[name as usize] = position;
        }
        Ok(())
    }

    /// Adds a folded line to the header before it.
    #[inline(never)]
    fn extend_fold(&mut self, bytes: &[u8], line: Line) -> Result<(), Fault> {
        self.folded = true;
        if self.left_out {
            return Ok(());
        }
        let entry = self.headers.last_mut().ok_or(Fault::FoldedStartLine)?;
        if line.end() - entry.line_start() > MAX_LINE {
            return Err(Fault::LongHeader);
        }
        let text = grammar::trim(&bytes[line.start()..line.end()]);
        if !text.is_empty() {
            let text = Span::of(bytes, text);
            let start = if entry.value.start == entry.value.end { text.start } else { entry.value.start };
            entry.value = Span { start, end: text.end };
        }
        Ok(())
    }

    #[inline(never)]
    fn read_start_line(&mut self, bytes: &[u8], line: Line) -> Result<(), Fault> {
        let line = &bytes[line.start()..line.end()];
        if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
            return self.read_status_line(bytes, line);
        }
        let method_end = memchr::memchr(b' ', line).ok_or(Fault::RequestLine)?;
        let (text, rest) = (&line[..method_end], &line[method_end + 1..]);
        if !grammar::is_token(text) {
            return Err(Fault::Method);
        }
        let uri_end = memchr::memrchr(b' ', rest).unwrap_or(rest.len());
        let (uri, version) = (&rest[..uri_end], rest.get(uri_end + 1..).unwrap_or(b""));
        let method = Method::parse(text);
        self.start_line =
            StartLine::Request { method, text: Span::of(bytes, text), uri: Span::of(bytes, uri) };
        if line.len() > MAX_LINE {
            return Err(Fault::LongUri);
        }
        check_version(version)?;
        let parsed = Uri::parse(uri).map_err(|_| Fault::RequestUri)?;
        if parsed.headers.is_empty() { Ok(()) } else { Err(Fault::UriHeaders) }
    }

    fn read_status_line(&mut self, bytes: &[u8], line: &[u8]) -> Result<(), Fault> {
        let version_end = memchr::memchr(b' ', line).ok_or(Fault::StatusLine)?;
        let rest = &line[version_end + 1..];
        let code_end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        let status = grammar::decimal(&rest[..code_end])
            .filter(|&status| code_end == 3 && (100..700).contains(&status))
            .ok_or(Fault::StatusCode)?;
        let reason = rest.get(code_end + 1..).unwrap_or(&rest[code_end..]);
        self.start_line = StartLine::Response { status: status as u16, reason: Span::of(bytes, reason) };
        check_version(&line[..version_end])
    }

    /// Reads what messages are matched and answered by.
    #[inline(never)]
    fn read_keys(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let via = self.first(bytes, Name::Via).ok_or(Fault::NoVia)?;
        let from = self.first(bytes, Name::From).ok_or(Fault::NoFrom)?;
        let to = self.first(bytes, Name::To).ok_or(Fault::NoTo)?;
        let call_id = self.first(bytes, Name::CallId).ok_or(Fault::NoCallId)?;
        let cseq = self.first(bytes, Name::CSeq).ok_or(Fault::NoCSeq)?;

        let top = grammar::trim(&via[..grammar::element_span(via)]);
        let parsed = Via::parse(top).map_err(|_| Fault::Via)?;
        self.keys.via = Span::of(bytes, top);
        self.keys.branch = parsed.branch.map(|branch| Span::of(bytes, branch));
        let tag = NameAddr::find_tag(from).map_err(|_| Fault::From)?;
        self.keys.from_tag = tag.map(|tag| Span::of(bytes, tag));
        let tag = NameAddr::find_tag(to).map_err(|_| Fault::To)?;
        self.keys.to_tag = tag.map(|tag| Span::of(bytes, tag));
        if call_id.is_empty()
            || call_id.iter().fold(false, |seen, &byte| seen | (byte <= 0x20) | (byte == 0x7f))
        {
            return Err(Fault::CallId);
        }
        self.read_cseq(cseq)
    }

    /// Reads number and method; their agreement with the rest of the message is checked in `check_rest`.
    fn read_cseq(&mut self, cseq: &[u8]) -> Result<(), Fault> {
        let digits = cseq.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(cseq.len());
        let method = grammar::trim_start(&cseq[digits..]);
        if digits == 0 || method.len() == cseq.len() - digits || !grammar::is_token(method) {
            return Err(Fault::CSeq);
        }
        self.keys.cseq = grammar::decimal(&cseq[..digits]).unwrap_or(u32::MAX);
        self.keys.cseq_method = Method::parse(method);
        Ok(())
    }

    fn check_rest(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.keys.cseq > MAX_CSEQ {
            return Err(Fault::CSeqRange);
        }
        let hops = self.first(bytes, Name::MaxForwards).and_then(grammar::decimal);
        self.keys.max_forwards = hops.and_then(|hops| u8::try_from(hops).ok());
        let StartLine::Request { text, .. } = self.start_line else { return Ok(()) };
        let cseq = self.first(bytes, Name::CSeq).unwrap_or(b"");
        if !cseq.ends_with(text.of_bytes(bytes)) || cseq_method(cseq) != text.of_bytes(bytes) {
            return Err(Fault::CSeqMethod);
        }
        Ok(())
    }

    /// After a fault elsewhere: whether the keys, which read, make an answer that reads.
    fn is_answerable(&self, bytes: &[u8]) -> bool {
        let is_request =
            matches!(self.start_line, StartLine::Request { method, .. } if method != Method::Ack);
        let reads = |name| self.first(bytes, name).is_some_and(|value| NameAddr::parse(value).is_ok());
        is_request && !self.doubled && reads(Name::From) && reads(Name::To)
    }

    fn measure_body(&mut self, bytes: &[u8], framing: Framing) -> Result<(), Fault> {
        let start = usize::from(self.head_end);
        let there = bytes.len() - start;
        let length = match self.first(bytes, Name::ContentLength) {
            Some(value) => grammar::decimal(value).ok_or(Fault::ContentLength)? as usize,
            None if framing == Framing::Datagram => there,
            None => return Err(Fault::NoContentLength),
        };
        if length > there {
            return Err(Fault::BodyShort);
        }
        if length < there && framing == Framing::Stream {
            return Err(Fault::BodyLong);
        }
        self.body = Span::new(start, start + length);
        Ok(())
    }
}

fn check_version(version: &[u8]) -> Result<(), Fault> {
    if version == b"SIP/2.0" || version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let Some(number) =
        version.get(..4).filter(|name| name.eq_ignore_ascii_case(b"SIP/")).map(|_| &version[4..])
    else {
        return Err(Fault::RequestLine);
    };
    let is_number = !number.is_empty() && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    if is_number { Err(Fault::OtherVersion) } else { Err(Fault::Version) }
}

/// Refuses control characters other than line ends and tabs, unless escaped by a backslash (a quoted pair may be
/// one).
fn check_controls(head: &[u8]) -> Result<(), Fault> {
    let escaped = |at: usize| at > 0 && head[at - 1] == b'\\' && !matches!(head[at], b'\r' | b'\n');
    let ends_line = |at: usize| match head[at] {
        b'\r' => head.get(at + 1) == Some(&b'\n'),
        b'\n' => at > 0 && head[at - 1] == b'\r',
        byte => byte == b'\t' || (byte >= 0x20 && byte != 0x7f),
    };
    if (0..head.len()).all(|at| ends_line(at) || escaped(at)) { Ok(()) } else { Err(Fault::Control) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str =
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\n";

    fn verdict(head: &str, body: &str, framing: Framing) -> Result<usize, Fault> {
        let bytes = format!("{head}\r\n{body}");
        decode(bytes.as_bytes(), &mut Index::default(), framing).map(|message| message.body().len())
    }

    fn options(more: &str) -> String {
        format!("OPTIONS sip:a SIP/2.0\r\n{KEYS}CSeq: 1 OPTIONS\r\n{more}")
    }

    #[test]
    fn a_readable_but_incomplete_request_can_be_answered() {
        let mut index = Index::default();
        for missing in ["From", "To", "Call-ID", "CSeq"] {
            let whole = format!("{}\r\n", options(""));
            let lines = whole.split_inclusive("\r\n").filter(|line| !line.starts_with(missing));
            let bytes = lines.collect::<String>();
            let fault = identify(bytes.as_bytes(), &mut index, Framing::Datagram).unwrap_err();
            assert!(salvage(bytes.as_bytes(), &index).is_none());
            let message = incomplete(bytes.as_bytes(), &index).expect(missing);
            let mut out = Vec::new();
            let reason = fault.reason().as_bytes();
            crate::wire::response_to(&mut out, &message, fault.status(), reason, None, None).finish(None);
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(&format!("SIP/2.0 400 Missing {missing}\r\nVia: ")), "{text}");
            assert!(!text.contains(&format!("\r\n{missing}:")), "{text}");
        }
        let nowhere = "OPTIONS sip:a SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n";
        assert!(identify(nowhere.as_bytes(), &mut index, Framing::Datagram).is_err());
        assert!(incomplete(nowhere.as_bytes(), &index).is_none());
    }

    #[test]
    fn content_length_by_framing() {
        let datagram = |more: &str| verdict(&options(more), "four", Framing::Datagram).ok();
        let stream = |more: &str| verdict(&options(more), "four", Framing::Stream).ok();
        assert_eq!((datagram(""), stream("")), (Some(4), None));
        assert_eq!((datagram("l: 4\r\n"), stream("l: 4\r\n")), (Some(4), Some(4)));
        assert_eq!((datagram("l: 3\r\n"), stream("l: 3\r\n")), (Some(3), None));
        for more in [
            "l: 5\r\n",
            "l: -1\r\n",
            "l: 4294967300\r\n",
            "l: 0x4\r\n",
            "l:\r\n",
            "l: 4\r\nContent-Length: 4\r\n",
        ] {
            assert_eq!((datagram(more), stream(more)), (None, None), "{more}");
        }
    }

    #[test]
    fn lines_that_two_readers_would_see_differently_are_refused() {
        for more in [
            "X: a\nRoute: <sip:e>\r\n",
            "X: a\rRoute: <sip:e>\r\n",
            "X: a\0b\r\n",
            "X: \x7f\r\n",
            ": x\r\n",
            "X y: z\r\n",
            "X\r\n",
        ] {
            assert_eq!(
                verdict(&options(more), "", Framing::Datagram).map_err(|f| f.status()),
                Err(400),
                "{more:?}"
            );
        }
        assert!(
            verdict(&options("X: \"a\\\x07b\"\tc\r\n"), "", Framing::Datagram).is_ok(),
            "a quoted pair may"
        );
    }

    #[test]
    fn caps() {
        let many = "Z: y\r\n".repeat(MAX_HEADERS - 5);
        assert!(verdict(&options(&many), "", Framing::Datagram).is_ok());
        assert_eq!(
            verdict(&options(&(many + "Z: y\r\n")), "", Framing::Datagram).map_err(|f| f.status()),
            Err(513)
        );
        let long = |length: usize| format!("Z: {}\r\n", "y".repeat(length));
        assert!(verdict(&options(&long(MAX_LINE - 3)), "", Framing::Datagram).is_ok());
        assert!(verdict(&options(&long(MAX_LINE - 2)), "", Framing::Datagram).is_err());
        assert!(
            verdict(&options(&format!("{}:\r\n", "y".repeat(MAX_NAME + 1))), "", Framing::Datagram).is_err()
        );
        assert!(
            verdict(&options(&long(MAX_LINE / 2).repeat(4)), "", Framing::Datagram).is_err(),
            "the whole head"
        );
        let body = "b".repeat(MAX_MESSAGE);
        assert_eq!(verdict(&options(""), &body, Framing::Datagram).map_err(|f| f.status()), Err(513));
        let params = |count: usize| {
            options(&format!("Contact: <sip:a>{}\r\n", ";p".repeat(count))).replace("OPTIONS", "UPDATE")
        };
        assert!(verdict(&params(64), "", Framing::Datagram).is_ok());
        assert!(verdict(&params(65), "", Framing::Datagram).is_err());
    }

    #[test]
    fn the_index_allocates_once() {
        let mut index = Index::default();
        let bytes = options("") + "\r\n";
        decode(bytes.as_bytes(), &mut index, Framing::Datagram).expect("well-formed");
        let warm = index.capacity();
        let full = options(&"Z: y\r\n".repeat(MAX_HEADERS - 5)) + "\r\n";
        decode(full.as_bytes(), &mut index, Framing::Datagram).expect("well-formed");
        assert_eq!(index.capacity(), warm);
    }

    #[test]
    fn what_can_be_answered_after_a_fault() {
        let salvaged = |text: String| {
            let mut index = Index::default();
            assert!(decode(text.as_bytes(), &mut index, Framing::Datagram).is_err(), "{text}");
            salvage(text.as_bytes(), &index).map(|message| message.call_id().to_vec())
        };
        let x = Some(b"x".to_vec());
        assert_eq!(salvaged(format!("OPTIONS a b SIP/2.0\r\n{KEYS}CSeq: 1 OPTIONS\r\n\r\n")), x);
        assert_eq!(salvaged(format!("OPTIONS sip:a SIP/3.0\r\n{KEYS}CSeq: 1 OPTIONS\r\n\r\n")), x);
        assert_eq!(salvaged(options("l: 9\r\n") + "\r\n"), x);
        assert_eq!(salvaged(options("l: x\r\n") + "\r\n"), x);
        assert_eq!(salvaged(options("Call-ID: y\r\n") + "\r\n"), None, "which Call-ID?");
        assert_eq!(
            salvaged(format!("ACK a b SIP/2.0\r\n{KEYS}CSeq: 1 ACK\r\n\r\n")),
            None,
            "an ACK has no answer"
        );
        assert_eq!(
            salvaged(format!("SIP/2.0 99 x\r\n{KEYS}CSeq: 1 OPTIONS\r\n\r\n")),
            None,
            "nor has a response"
        );
        assert_eq!(salvaged(format!("OPTIONS a b SIP/2.0\r\n{KEYS}\r\n")), None, "no CSeq");
    }

    #[test]
    fn an_index_of_other_bytes_reads_empty_and_never_panics() {
        let mut index = Index::default();
        let bytes = options("Z: y\r\n") + "\r\n";
        decode(bytes.as_bytes(), &mut index, Framing::Datagram).expect("well-formed");
        let other = Message::new(b"short", &index);
        assert_eq!((other.call_id(), other.body(), other.all().count()), (&b""[..], &b""[..], 6));
        assert!(other.via().branch.is_none() && other.from().tag().is_none());
    }
}

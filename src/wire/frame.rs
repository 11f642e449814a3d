//! Cuts a byte stream (TCP, TLS) into messages by Content-Length (RFC 3261 section 18.3) and tells keep-alive pings
//! (RFC 5626 section 3.5.1).
//!
//! Pure: the connection feeds it what it read and polls it. After a fault there is no telling where the next message
//! begins, so the connection has to answer what can be answered and close.

use super::caps::{MAX_HEAD, MAX_MESSAGE};
use super::fault::Fault;
use super::grammar;
use super::headers::Name;

/// What to send for a [`Frame::Ping`].
pub const PONG: &[u8] = b"\r\n";

/// What the stream held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One whole message, to be decoded with [`super::Framing::Stream`].
    Message(&'a [u8]),
    /// A double CRLF between messages: answer with [`PONG`].
    Ping,
}

/// The bytes of one stream that do not make a message yet: at most one message and what arrived with it.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Up to here the buffer was given out.
    taken: usize,
    /// From `taken` up to here no end of a head was found.
    searched: usize,
    /// Head and body length of the message that begins at `taken`, once its head is whole.
    expected: Option<usize>,
    fault: Option<Fault>,
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new() -> Self {
        Framer::default()
    }

    /// Takes what was read. Poll until `None` before feeding more: what is kept is then below [`MAX_MESSAGE`].
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        self.buffer.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message or ping; `None` until more is fed.
    ///
    /// # Errors
    /// The stream cannot be cut any more: answer what [`Framer::pending`] allows, and close. The same fault again on
    /// every later call.
    pub fn poll(&mut self) -> Result<Option<Frame<'_>>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match self.cut() {
            Ok(Cut::More) => Ok(None),
            Ok(Cut::Ping) => Ok(Some(Frame::Ping)),
            Ok(Cut::Message { start, end }) => Ok(Some(Frame::Message(&self.buffer[start..end]))),
            Err(fault) => {
                self.fault = Some(fault);
                Err(fault)
            }
        }
    }

    /// What was fed and not given out; after a fault it begins with the faulty message.
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// True if a message has begun and is not whole yet: what a deadline for slow peers goes by.
    pub fn is_waiting(&self) -> bool {
        self.pending().iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    fn cut(&mut self) -> Result<Cut, Fault> {
        if self.expected.is_none() {
            match self.buffer[self.taken..] {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.taken += 4;
                    return Ok(Cut::Ping);
                }
                // The first half of a ping, or of nothing at all yet.
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Ok(Cut::More),
                // One empty line before a message is to be ignored (section 7.5).
                [b'\r', b'\n', ..] => self.taken += 2,
                _ => {}
            }
            self.searched = self.searched.max(self.taken);
            let Some(head_end) = self.find_head_end()? else { return Ok(Cut::More) };
            let head = &self.buffer[self.taken..head_end];
            let body = content_length(head)?;
            let length = head.len() + body;
            if length > MAX_MESSAGE {
                return Err(Fault::LongMessage);
            }
            self.expected = Some(length);
        }
        let length = self.expected.unwrap_or(0);
        if self.buffer.len() - self.taken < length {
            return Ok(Cut::More);
        }
        let start = self.taken;
        self.taken += length;
        self.searched = self.taken;
        self.expected = None;
        Ok(Cut::Message { start, end: self.taken })
    }

    fn find_head_end(&mut self) -> Result<Option<usize>, Fault> {
        let found = memchr::memmem::find(&self.buffer[self.searched..], b"\r\n\r\n");
        let head_end = found.map(|at| self.searched + at + 4);
        if head_end.unwrap_or(self.buffer.len()) - self.taken > MAX_HEAD {
            return Err(Fault::LongHead);
        }
        // The end may be split between two reads: its first three bytes are looked at again.
        self.searched = self.buffer.len().saturating_sub(3).max(self.taken);
        Ok(head_end)
    }
}

enum Cut {
    More,
    Ping,
    Message { start: usize, end: usize },
}

/// The Content-Length of a head. The decoder judges the rest of it.
fn content_length(head: &[u8]) -> Result<usize, Fault> {
    let mut found = None;
    let mut lines = head.split(|&byte| byte == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        if matches!(line.first(), Some(b' ' | b'\t'))
            || Name::parse(grammar::trim(&line[..colon])) != Name::ContentLength
        {
            continue;
        }
        if found.is_some() {
            return Err(Fault::StandsTwice);
        }
        let mut value = grammar::trim(&line[colon + 1..]);
        while let Some(more) = lines.next_if(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
            let more = grammar::trim(more);
            if !more.is_empty() && !value.is_empty() {
                return Err(Fault::ContentLength);
            }
            value = if more.is_empty() { value } else { more };
        }
        found = Some(grammar::decimal(value).ok_or(Fault::ContentLength)?);
    }
    found.map(|length| length as usize).ok_or(Fault::NoContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"BYE sip:a SIP/2.0\r\nContent-Length:\r\n 3\r\n\r\nabc";

    #[test]
    fn pings_between_messages_are_told() {
        let mut framer = Framer::new();
        framer.feed(b"\r\n\r\n\r\n");
        assert_eq!(framer.poll(), Ok(Some(Frame::Ping)));
        assert_eq!(framer.poll(), Ok(None));
        assert!(!framer.is_waiting());
        framer.feed(ONE);
        assert_eq!(framer.poll(), Ok(Some(Frame::Message(ONE))));
        assert_eq!(framer.poll(), Ok(None));
    }

    #[test]
    fn a_second_message_of_the_same_read_waits_for_its_body() {
        let mut framer = Framer::new();
        framer.feed(&[ONE, &ONE[..ONE.len() - 1]].concat());
        assert_eq!(framer.poll(), Ok(Some(Frame::Message(ONE))));
        assert_eq!(framer.poll(), Ok(None));
        assert!(framer.is_waiting());
        framer.feed(b"c");
        assert_eq!(framer.poll(), Ok(Some(Frame::Message(ONE))));
    }

    #[test]
    fn no_length_two_lengths_and_broken_ones_are_faults() {
        for head in [
            "Content-Length: 1\r\nl: 1",
            "Content-Length: -1",
            "Content-Length: 4294967296",
            "Content-Length:",
            "Content-Length: 1 1",
            "Content-Length: 1\r\n 1",
            "X: y",
        ] {
            let mut framer = Framer::new();
            framer.feed(format!("BYE sip:a SIP/2.0\r\n{head}\r\n\r\nabc").as_bytes());
            assert_eq!(framer.poll().map_err(|fault| fault.status()), Err(400), "{head}");
            assert!(framer.poll().is_err(), "a fault stays");
            assert!(framer.pending().starts_with(b"BYE"));
        }
    }

    #[test]
    fn lengths_are_capped_before_they_are_awaited() {
        let mut framer = Framer::new();
        framer.feed(b"BYE sip:a SIP/2.0\r\nl: 65536\r\n\r\n");
        assert_eq!(framer.poll().map_err(|fault| fault.status()), Err(513));
        let mut framer = Framer::new();
        framer.feed(&vec![b'a'; MAX_HEAD + 1]);
        assert_eq!(framer.poll().map_err(|fault| fault.status()), Err(513));
    }
}

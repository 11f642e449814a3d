//! What was said on the wire in one test, in both directions, as it was.

use crate::sip::Time;
use smallvec::SmallVec;
use std::time::Duration;

/// Messages that are kept; a test has some twenty, retransmissions included.
const KEPT: usize = 100;

/// Who has sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Baton,
    Target,
}

impl Sender {
    pub(super) fn name(self) -> &'static str {
        match self {
            Sender::Baton => "baton",
            Sender::Target => "target",
        }
    }
}

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) after: Duration,
    pub(super) sender: Sender,
    /// Of the request, or of the one that is answered.
    pub(super) method: &'static str,
    pub(super) again: bool,
    bytes: Box<[u8]>,
}

impl Message {
    /// The first line.
    pub(super) fn start(&self) -> String {
        let line = self.bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }

    pub(super) fn status(&self) -> Option<u16> {
        crate::wire::peek::status(&self.bytes)
    }
}

/// The messages of one test call, in both directions.
#[derive(Debug)]
pub(super) struct Tape {
    began: Time,
    /// The legs of the test, by their Call-IDs: first the question, if there is one, last the call.
    call_ids: SmallVec<[Box<[u8]>; 2]>,
    pub(super) messages: Vec<Message>,
}

impl Tape {
    pub(super) fn new(began: Time) -> Tape {
        Tape { began, call_ids: SmallVec::new(), messages: Vec::new() }
    }

    /// Messages with that Call-ID are of this test.
    pub(super) fn follow(&mut self, call_id: &[u8]) {
        self.call_ids.push(call_id.into());
    }

    /// Keeps a message, if it is of this test.
    pub(super) fn hear(
        &mut self,
        at: Time,
        sender: Sender,
        call_id: &[u8],
        method: &'static str,
        bytes: &[u8],
    ) {
        if self.messages.len() >= KEPT || !self.call_ids.iter().any(|own| **own == *call_id) {
            return;
        }
        let again = self.messages.iter().any(|other| other.sender == sender && *other.bytes == *bytes);
        let after = at.since(self.began);
        self.messages.push(Message { after, sender, method, again, bytes: bytes.into() });
    }

    /// Whether any response came to the call, a 100 included.
    pub(super) fn heard_of_call(&self) -> bool {
        self.answers_to_call().next().is_some()
    }

    /// Whether the call was taken.
    pub(super) fn taken(&self) -> bool {
        self.answers_to_call().any(|status| (200..300).contains(&status))
    }

    fn answers_to_call(&self) -> impl Iterator<Item = u16> {
        let calling = crate::wire::Method::Invite.as_str();
        self.messages
            .iter()
            .filter(move |message| message.sender == Sender::Target && message.method == calling)
            .filter_map(Message::status)
    }
}

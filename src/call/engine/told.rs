//! Failures that pass by, as the log tells them, and which were told of already. A response that is sent or comes again
//! is the same failure: one line for it, however long the other side stays silent. It knows bytes and nothing of calls. Used by the engine for what arrives
//! and what leaves.

use crate::call::event::{Direction, What};
use crate::call::view;
use crate::routing::table::Id;
use crate::sip::ident::{SlotKey, fingerprint};
use crate::sip::identity::Said;
use crate::sip::{Flow, Origin};
use crate::wire;
use std::collections::{BTreeSet, VecDeque};

/// Failures that are remembered. A response is sent again for 32 s (RFC 3261 §17.2.1, Timer H); when more failures than
/// this come in between, its line stands there once more.
const REMEMBERED: usize = 256;

/// The latest failures, by fingerprint.
#[derive(Debug)]
pub(super) struct Told {
    key: SlotKey,
    latest: VecDeque<u64>,
}

impl Told {
    /// Nothing was told of yet. The key keeps strangers from making two messages look the same.
    pub(super) fn new(key: SlotKey) -> Told {
        Told { key, latest: VecDeque::new() }
    }

    /// Whether this message was not seen before, from now on it was.
    pub(super) fn is_new(&mut self, message: &[u8]) -> bool {
        let print = fingerprint(&self.key, message);
        if self.latest.contains(&print) {
            return false;
        }
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(print);
        true
    }
}

/// What is told once for all calls of an agent or a trunk.
#[derive(Debug, Default)]
pub(super) struct Once {
    /// Agents and trunks that ignore keepalives; told again after the tables were changed.
    pub(super) ignoring: BTreeSet<String>,
    /// Agents and trunks whose Contact is a private address; told again after the tables were changed.
    pub(super) private: BTreeSet<String>,
    /// Trunks whose blind REFERs prove nothing.
    pub(super) unproven: BTreeSet<Id>,
}

/// A failure that leaves us.
pub(super) fn left(status: u16, passing: Option<u16>, bytes: &[u8], flow: Flow) -> Option<What> {
    let peek = wire::peek::peek(bytes)?;
    Some(What::Status {
        call: None,
        direction: Direction::Out,
        method: wire::peek::cseq_method(bytes).as_str(),
        status,
        reason: phrase_of(bytes),
        origin: if passing == Some(status) { Origin::Remote } else { Origin::Local },
        said: Said::default(),
        sip_call_id: String::from_utf8_lossy(peek.call_id).into_owned(),
        peer: view::peer(flow),
    })
}

/// The reason phrase of a response of ours: `SIP/2.0 400 `, then up to the end of the line.
fn phrase_of(response: &[u8]) -> String {
    let line = response.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line.get(12..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phrase_is_the_one_on_the_wire() {
        assert_eq!(phrase_of(b"SIP/2.0 400 Bad \"Header\"\r\nVia: x\r\n\r\n"), "Bad \"Header\"");
        assert_eq!(phrase_of(b"SIP/2.0 400"), "");
    }

    #[test]
    fn a_message_is_new_once_and_memory_is_bounded() {
        let mut told = Told::new(SlotKey([7; 16]));
        assert!(told.is_new(b"SIP/2.0 403 Forbidden"));
        assert!(!told.is_new(b"SIP/2.0 403 Forbidden"));
        assert!(told.is_new(b"SIP/2.0 486 Busy Here"));
        for number in 0..10 * REMEMBERED {
            assert!(told.is_new(number.to_string().as_bytes()));
        }
        assert_eq!(told.latest.len(), REMEMBERED);
    }
}

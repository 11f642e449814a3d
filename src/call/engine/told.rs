//! Failures that pass by, as the log tells them, and which were told of already. A response that is sent or comes again
//! is the same failure: one line for it, however long the other side stays silent. It knows bytes and nothing of calls. Used by the engine for what arrives
//! and what leaves.

use crate::call::durations::{REFUSALS_WINDOW, SAME_FAILURE};
use crate::call::event::{Direction, EventKind};
use crate::call::ids::SipCallId;
use crate::sip::ident::{SlotKey, fingerprint};
use crate::sip::identity::Said;
use crate::sip::{Flow, Origin, Time};
use crate::wire;
use hashbrown::HashSet;

/// Failures that are told of within [`SAME_FAILURE`]; what comes beyond is counted only.
const MOST: usize = 262_144;
/// So many calls may be refused within a second before their refusals are no longer waited for.
const REFUSALS: u32 = 100;

/// The latest failures, by fingerprint: those of this window and of the one before.
#[derive(Debug)]
pub(super) struct Told {
    key: SlotKey,
    latest: HashSet<u64>,
    before: HashSet<u64>,
    /// When this window began.
    since: Time,
    /// Failures that were not told of.
    pub(super) untold: u64,
}

impl Told {
    /// Nothing was told of yet. The key keeps strangers from making two messages look the same.
    pub(super) fn new(key: SlotKey) -> Told {
        Told { key, latest: HashSet::new(), before: HashSet::new(), since: Time(0), untold: 0 }
    }

    /// Whether this message was not seen before and is to be told of; from now on it was.
    pub(super) fn is_new(&mut self, now: Time, message: &[u8]) -> bool {
        if now.since(self.since) >= SAME_FAILURE {
            let over = now.since(self.since) >= 2 * SAME_FAILURE;
            self.before = std::mem::take(&mut self.latest);
            if over {
                self.before = HashSet::new();
            }
            self.since = now;
        }
        let print = fingerprint(&self.key, message);
        if self.latest.contains(&print) || self.before.contains(&print) {
            return false;
        }
        if self.latest.len() >= MOST {
            self.untold += 1;
            return false;
        }
        self.latest.insert(print);
        true
    }
}

/// Calls that were refused within this second.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Time,
    count: u32,
}

impl Refusals {
    /// One more.
    pub(super) fn count(&mut self, now: Time) {
        if now.since(self.since) >= REFUSALS_WINDOW {
            *self = Refusals { since: now, count: 0 };
        }
        self.count += 1;
    }

    /// Whether they are so many that further ones are turned away.
    pub(super) fn is_many(&self, now: Time) -> bool {
        self.count >= REFUSALS && now.since(self.since) < REFUSALS_WINDOW
    }
}

/// A failure that leaves us.
pub(super) fn left(status: u16, passing: Option<u16>, bytes: &[u8], flow: Flow) -> Option<EventKind> {
    let peek = wire::peek::peek(bytes)?;
    Some(EventKind::Status {
        call: None,
        direction: Direction::Out,
        method: wire::peek::cseq_method(bytes).as_str(),
        status,
        reason: phrase_of(bytes),
        origin: if passing == Some(status) { Origin::Remote } else { Origin::Local },
        said: Said { reason: None, warning: wire::peek::warning(bytes) },
        sip_call_id: SipCallId::of(peek.call_id),
        peer: flow.peer_name(),
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
    use std::time::Duration;

    #[test]
    fn the_phrase_is_the_one_on_the_wire() {
        assert_eq!(phrase_of(b"SIP/2.0 400 Bad \"Header\"\r\nVia: x\r\n\r\n"), "Bad \"Header\"");
        assert_eq!(phrase_of(b"SIP/2.0 400"), "");
    }

    #[test]
    fn a_message_is_new_once_and_memory_is_bounded() {
        let mut told = Told::new(SlotKey([7; 16]));
        let start = Time(5_000_000);
        assert!(told.is_new(start, b"SIP/2.0 403 Forbidden"));
        assert!(!told.is_new(start, b"SIP/2.0 403 Forbidden"));
        assert!(told.is_new(start, b"SIP/2.0 486 Busy Here"));
        for number in 0..MOST + 1000 {
            told.is_new(start, number.to_string().as_bytes());
        }
        assert_eq!((told.latest.len(), told.untold), (MOST, 1002));
        // Thousands of others in between, and still it was told of.
        assert!(!told.is_new(start + Duration::from_secs(31), b"SIP/2.0 403 Forbidden"));
        assert!(!told.is_new(start + Duration::from_secs(33), b"SIP/2.0 403 Forbidden"));
        assert!(told.is_new(start + Duration::from_secs(99), b"SIP/2.0 403 Forbidden"), "another one");
        assert_eq!(told.before.len(), 0);
    }
}

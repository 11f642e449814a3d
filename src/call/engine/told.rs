//! Which failures were told of already. A response that is sent or comes again is the same failure: one line for it,
//! however long the other side stays silent. It knows bytes and nothing of calls. Used by the engine for what arrives
//! and what leaves.

use crate::sip::ident::{SlotKey, fingerprint};
use std::collections::VecDeque;

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

#[cfg(test)]
mod tests {
    use super::*;

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

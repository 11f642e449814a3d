//! What was said on the wire, in order: every message that a rehearsal peer sent or received, with its time.
//!
//! The tape is the source of the ladder and nothing else; scripts judge messages themselves. Written by
//! [`super::peer`], read by whoever shows a scene.

use super::text::Text;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who a rehearsal peer plays. Baton stands between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The PBX that calls, and that carries out a REFER.
    Pbx,
    /// The voice agent.
    Agent,
}

impl Party {
    /// As it stands over the ladder.
    pub fn as_str(self) -> &'static str {
        match self {
            Party::Pbx => "PBX",
            Party::Agent => "agent",
        }
    }
}

/// One message, or one thing that happened beside the wire.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Between a peer and Baton.
    Message {
        /// Since the tape began.
        at: Duration,
        /// Which peer.
        party: Party,
        /// Whether Baton received it (else Baton sent it).
        to_baton: bool,
        /// As it was on the wire.
        message: Text,
        /// The same message as before: a retransmission (RFC 3261 §17).
        again: bool,
    },
    /// Said to or by Baton without SIP, such as a request by HTTP.
    Note {
        /// Since the tape began.
        at: Duration,
        /// One line for people.
        text: String,
    },
}

impl Entry {
    /// Since the tape began.
    pub fn at(&self) -> Duration {
        match self {
            Entry::Message { at, .. } | Entry::Note { at, .. } => *at,
        }
    }
}

/// A tape that several peers write.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<Reel>>);

#[derive(Debug)]
struct Reel {
    began: Instant,
    entries: Vec<Entry>,
}

impl Default for Tape {
    fn default() -> Self {
        Tape(Arc::new(Mutex::new(Reel { began: Instant::now(), entries: Vec::new() })))
    }
}

impl Tape {
    /// A message has just passed.
    pub fn message(&self, party: Party, to_baton: bool, message: &Text) {
        let mut reel = self.lock();
        let at = reel.began.elapsed();
        let again = reel.entries.iter().any(|entry| {
            matches!(entry, Entry::Message { party: p, to_baton: d, message: m, .. }
                if *p == party && *d == to_baton && m == message)
        });
        reel.entries.push(Entry::Message { at, party, to_baton, message: message.clone(), again });
    }

    /// Something has just happened beside the wire.
    pub fn note(&self, text: impl Into<String>) {
        let mut reel = self.lock();
        let at = reel.began.elapsed();
        reel.entries.push(Entry::Note { at, text: text.into() });
    }

    /// Everything so far; the tape begins anew.
    pub fn take(&self) -> Vec<Entry> {
        let mut reel = self.lock();
        reel.began = Instant::now();
        std::mem::take(&mut reel.entries)
    }

    /// A panic of another writer leaves whole entries behind, so the tape stays usable.
    fn lock(&self) -> std::sync::MutexGuard<'_, Reel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

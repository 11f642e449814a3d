//! What was said on the wire, in order: every message that a rehearsal peer sent or received, with its time.
//!
//! The tape is the source of the ladder and nothing else; scripts judge messages themselves. Written by
//! [`super::peer`], read by whoever shows a scene.

use super::text::Text;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who speaks. All but Baton and a target are played by a rehearsal peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The PBX that calls, and that carries out a REFER.
    Pbx,
    /// The engine.
    Baton,
    /// The voice agent.
    Agent,
    /// The phone of the person to whom a caller is moved.
    Desk,
    /// A destination that is tested, which nobody here plays.
    Target,
}

impl Party {
    /// As it stands over the ladder.
    pub fn as_str(self) -> &'static str {
        match self {
            Party::Pbx => "PBX",
            Party::Baton => "Baton",
            Party::Agent => "agent",
            Party::Desk => "desk",
            Party::Target => "target",
        }
    }
}

/// One message, or one thing that happened beside the wire.
#[derive(Clone, Debug)]
pub enum Entry {
    /// From one party to another.
    Message {
        /// Since the tape began.
        at: Duration,
        /// Who sent it.
        from: Party,
        /// Who receives it.
        to: Party,
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
    /// Where each party listens.
    parties: Vec<(SocketAddr, Party)>,
}

impl Reel {
    fn party(&self, address: SocketAddr) -> Option<Party> {
        self.parties.iter().find(|(known, _)| *known == address).map(|(_, party)| *party)
    }

    fn write(&mut self, from: Party, to: Party, message: &Text) {
        let at = self.began.elapsed();
        let again = self.entries.iter().any(|entry| {
            matches!(entry, Entry::Message { from: f, to: t, message: m, .. }
                if *f == from && *t == to && m == message)
        });
        self.entries.push(Entry::Message { at, from, to, message: message.clone(), again });
    }
}

impl Default for Tape {
    fn default() -> Self {
        let reel = Reel { began: Instant::now(), entries: Vec::new(), parties: Vec::new() };
        Tape(Arc::new(Mutex::new(reel)))
    }
}

impl Tape {
    /// That party listens there.
    pub fn knows(&self, party: Party, address: SocketAddr) {
        self.lock().parties.push((address, party));
    }

    /// A peer sends a message. To nobody that the tape knows: it is not written.
    pub fn sent(&self, from: Party, to: SocketAddr, message: &Text) {
        let mut reel = self.lock();
        if let Some(to) = reel.party(to) {
            reel.write(from, to, message);
        }
    }

    /// A peer has received a message. Only what Baton sent is written: every other sender wrote it already.
    pub fn received(&self, by: Party, source: SocketAddr, message: &Text) {
        let mut reel = self.lock();
        if reel.party(source) == Some(Party::Baton) {
            reel.write(Party::Baton, by, message);
        }
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

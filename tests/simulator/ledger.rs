//! What really happened, as the peers know it, for comparison with what Baton tells.

use super::party::Later;
use super::session::Session;
use std::collections::{HashMap, HashSet};

/// See the module.
#[derive(Default)]
pub struct Ledger {
    last_port: u16,
    mail: HashMap<u64, Later>,
    last_mail: u64,
    /// The session of each dialog of each peer.
    pub sessions: Vec<Session>,
    /// Which of them are those of a Call-ID.
    pub by_call_id: HashMap<String, Vec<usize>>,
    /// Call-ID and CSeq of REFERs whose receiver sent a final 2xx NOTIFY.
    pub reported: HashSet<(String, u32)>,
    /// Call-IDs of targets' legs that were replaced by a call of the caller's side.
    pub replaced: HashSet<String>,
    /// Call-IDs of dialogs in which a peer answered Baton's BYE with 2xx.
    pub byes: HashSet<String>,
}

/// From here on the numbers of alarms are those of mail.
pub const MAIL: u64 = 1 << 62;

impl Ledger {
    /// A port that nobody has.
    pub fn port(&mut self) -> u16 {
        self.last_port = if self.last_port > 65_000 { 1_002 } else { self.last_port.max(1_000) + 2 };
        self.last_port
    }

    /// A session for a new dialog.
    pub fn open(&mut self, who: &'static str, call_id: &str) -> usize {
        self.sessions.push(Session::new(who));
        let place = self.sessions.len() - 1;
        self.by_call_id.entry(call_id.to_owned()).or_default().push(place);
        place
    }

    /// Something for another house; the number of the alarm that brings it.
    pub fn post(&mut self, what: Later) -> u64 {
        self.last_mail += 1;
        self.mail.insert(MAIL + self.last_mail, what);
        MAIL + self.last_mail
    }

    pub fn take(&mut self, alarm: u64) -> Option<Later> {
        self.mail.remove(&alarm)
    }
}

//! What really happened, as the peers know it, for comparison with what Baton tells.

use super::models::{Draw, Draws};
use super::party::Later;
use super::session::Session;
use super::whereabouts::{Caller, Where};
use baton::sip::Time;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// Who truly has whom, as the peers wrote it down.
#[derive(Default)]
pub struct Ledger {
    last_port: u16,
    mail: HashMap<u64, (SocketAddr, Later)>,
    last_mail: u64,
    /// The session of each dialog of each peer.
    pub sessions: Vec<Session>,
    /// Which of them are those of a Call-ID.
    pub by_call_id: HashMap<String, Vec<usize>>,
    /// Call-ID and CSeq of REFERs whose receiver sent a final 2xx NOTIFY.
    pub reported: HashSet<(String, u32)>,
    /// The REFER that a NOTIFY is of: both by Call-ID and CSeq.
    pub notifies: HashMap<(String, u32), u32>,
    /// Call-IDs of targets' legs that were replaced by a call of the caller's side.
    pub replaced: HashSet<String>,
    /// Call-IDs of dialogs in which a peer answered Baton's BYE with 2xx.
    pub byes: HashSet<String>,
    /// Where each caller is, by the Call-ID of its leg.
    pub callers: HashMap<String, Caller>,
    /// What was met of the models.
    pub draws: Draws,
    /// Addresses where nothing arrives, and how that is counted.
    pub closed: HashMap<SocketAddr, Draw>,
    /// Where the world finds a party that has an address behind a proxy.
    doors: HashMap<SocketAddr, SocketAddr>,
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

    /// Something for another party; where the world finds it, and the number of the alarm that brings it.
    pub fn post(&mut self, to: SocketAddr, what: Later) -> (SocketAddr, u64) {
        self.last_mail += 1;
        self.mail.insert(MAIL + self.last_mail, (to, what));
        (self.doors.get(&to).copied().unwrap_or(to), MAIL + self.last_mail)
    }

    pub fn take(&mut self, alarm: u64) -> Option<Later> {
        self.mail.remove(&alarm).map(|(_, what)| what)
    }

    /// Whom that alarm is for.
    pub fn addressee(&self, alarm: u64) -> Option<SocketAddr> {
        self.mail.get(&alarm).map(|(to, _)| *to)
    }

    /// The party with that address stands behind that door.
    pub fn stands_behind(&mut self, inner: SocketAddr, door: SocketAddr) {
        self.doors.insert(inner, door);
    }

    /// A part of a model was met.
    pub fn met(&mut self, draw: Draw) {
        self.draws.met(draw);
    }

    /// A caller is answered. `tells`: see [`Caller::tells`].
    pub fn calls(&mut self, at: Time, call_id: &str, tells: bool) {
        let caller = self.callers.entry(call_id.to_owned()).or_default();
        caller.tells = tells;
        caller.goes(at, Where::Here);
    }

    /// That caller is there from now on.
    pub fn goes(&mut self, at: Time, call_id: &str, place: Where) {
        self.callers.entry(call_id.to_owned()).or_default().goes(at, place);
    }

    /// A REFER with that CSeq moves that caller.
    pub fn is_moved_by(&mut self, at: Time, call_id: &str, cseq: u32) {
        let caller = self.callers.entry(call_id.to_owned()).or_default();
        caller.goes(at, Where::Moving);
        caller.mover = Some(cseq);
    }

    /// Where that caller is now.
    pub fn whereabouts(&self, call_id: &str) -> Option<Where> {
        self.callers.get(call_id)?.at(Time(u64::MAX))
    }
}

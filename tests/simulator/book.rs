//! What an observer at Baton's door knows: the legs of every call and what was said in them, from the wire alone, and
//! what Baton told meanwhile. In the order of time.

use super::common::message::Message;
use super::loss::Silence;
use super::refers::Refer;
use baton::call::record::HandoffView;
use baton::sip::Time;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Whose leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Caller,
    Agent,
    Target,
}

/// A re-INVITE of Baton.
#[derive(Clone, Debug)]
pub struct Reinvite {
    pub cseq: u32,
    /// What it offers.
    pub offer: String,
    /// Where the same offer was refused in that moment, and goes out once more: when it did first.
    pub sent: Time,
    /// Its final response came.
    pub over: Option<Time>,
    pub accepted: Option<Time>,
    /// The peer has refused it, so that it is there.
    pub refused: Option<Time>,
    /// It was a proxy that did so in its place, by a status that counts as the peer's (480).
    pub by_proxy: bool,
    pub acked: Option<Time>,
    /// There was no description in its 2xx.
    pub bare: bool,
}

/// A NOTIFY 2xx.
#[derive(Clone, Copy, Debug)]
pub struct Success {
    /// CSeq of the REFER that it is of, as the peers know it.
    pub of: Option<u32>,
    /// It says so itself.
    pub named: bool,
    pub at: Time,
}

/// A session timer (RFC 4028).
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// Whether Baton answered, and the CSeq.
    pub of: (bool, u32),
    pub at: Time,
    pub seconds: u64,
    /// Baton is to refresh it.
    pub by_baton: bool,
}

impl Expiry {
    /// Whether it is over by then (RFC 4028 §10).
    pub fn is_over(&self, now: Time) -> bool {
        // Whoever makes the refresh gives up slightly before the end.
        let early = if self.by_baton { 2 } else { (self.seconds / 3).min(32) };
        now.since(self.at).as_secs() + 1 >= self.seconds - early
    }
}

/// One who answered an INVITE of Baton: of a fork there may be several.
#[derive(Clone, Debug)]
pub struct Branch {
    pub tag: String,
    pub acked: bool,
    pub ended: bool,
}

/// A 2xx of Baton's that waits for its ACK.
#[derive(Debug)]
pub struct Unacked {
    pub cseq: u32,
    /// The peer's: another branch of a fork has the same CSeq.
    pub tag: String,
    pub since: Time,
}

/// One leg: a Call-ID.
#[derive(Debug)]
pub struct Leg {
    pub role: Role,
    /// Call-ID of its call's caller.
    pub caller: String,
    pub peer: SocketAddr,
    /// On the way: to Baton, and from it.
    pub flying: [Vec<Rc<Message>>; 2],
    /// When something was said about the session for the last time.
    pub session_at: Time,
    /// Requests of Baton without a final response, by branch and method.
    pub open: HashSet<String>,
    /// Those that had one.
    pub finals: HashSet<String>,
    /// Those who answered Baton's INVITE.
    pub branches: Vec<Branch>,
    /// When the first of them did.
    pub answered: Option<Time>,
    /// When its 2xx was acknowledged.
    pub acked: Option<Time>,
    /// The first BYE in it, or its refusal.
    pub over: Option<Time>,
    /// A BYE of the peer reached Baton; its refusal to go on did.
    pub left: Option<Time>,
    /// 481 or nothing to a request of Baton: the other side knows nothing of the dialog.
    pub forgotten: bool,
    /// It rings.
    pub rings: bool,
    /// Baton has given it up, for it rang too long.
    pub timed_out: bool,
    /// REFERs of Baton.
    pub refers: Vec<Refer>,
    /// The highest CSeq of a NOTIFY.
    pub notified: u32,
    /// CSeq of the last offer of the caller's that came when nobody was with it.
    pub asked_alone: Option<u32>,
    /// The highest CSeq of a re-INVITE or UPDATE of the peer's.
    pub last_offer: Option<u32>,
    /// What was asked inside it, and what was heard.
    pub silence: Silence,
    /// When a final 2xx NOTIFY came, and a BYE of the peer.
    pub reported: Option<Time>,
    /// The peer's BYE was sent for the first time.
    pub bye_sent: Option<Time>,
    /// REFERs that were told 2xx by NOTIFY.
    pub successes: Vec<Success>,
    /// What was agreed last about the session's end.
    pub expiry: Option<Expiry>,
    /// When Baton's 2xx to the first INVITE left, and the CSeq of that.
    pub accepted: Option<(Time, u32)>,
    /// When the caller's first ACK came.
    pub confirmed: Option<Time>,
    /// A 2xx of Baton to an INVITE that was not acknowledged yet.
    pub unacked: Option<Unacked>,
    /// RSeq of Baton's reliable responses without a PRACK.
    pub unpracked: Vec<u32>,
    pub reinvites: Vec<Reinvite>,
    /// So many offers of Baton's in a row a proxy on the way has refused inside the dialog.
    pub turned_away: u32,
    /// Baton has taken back an offer that it left open for half a minute. It has agreed to nothing since.
    pub never_answers: bool,
    /// Baton's BYE was answered so.
    pub bye_answer: Option<u16>,
    /// Baton's final refusal of the caller's INVITE, and whether it was acknowledged.
    pub refused: Option<(u16, bool)>,
}

impl Leg {
    /// A 2xx to an INVITE or UPDATE says when the session ends.
    pub fn agree(&mut self, at: Time, m: &Message, baton_answers: bool) {
        let of = (baton_answers, m.cseq().0);
        if !matches!(m.method(), "INVITE" | "UPDATE") || self.expiry.is_some_and(|last| last.of == of) {
            return;
        }
        let value = m.find("Session-Expires");
        self.expiry = value.and_then(|value| {
            let seconds = value.split(';').next()?.trim().parse().ok()?;
            let by_baton = value.ends_with("uas") == baton_answers;
            Some(Expiry { of, at, seconds, by_baton })
        });
    }

    pub fn new(role: Role, caller: &str, peer: SocketAddr) -> Leg {
        Leg {
            role,
            caller: caller.to_owned(),
            peer,
            flying: [Vec::new(), Vec::new()],
            session_at: Time(0),
            open: HashSet::new(),
            finals: HashSet::new(),
            branches: Vec::new(),
            answered: None,
            acked: None,
            over: None,
            left: None,
            forgotten: false,
            rings: false,
            timed_out: false,
            refers: Vec::new(),
            notified: 0,
            asked_alone: None,
            last_offer: None,
            silence: Silence::default(),
            reported: None,
            bye_sent: None,
            successes: Vec::new(),
            expiry: None,
            accepted: None,
            confirmed: None,
            unacked: None,
            unpracked: Vec::new(),
            reinvites: Vec::new(),
            turned_away: 0,
            never_answers: false,
            bye_answer: None,
            refused: None,
        }
    }

    /// A BYE went through the dialog with that one.
    pub fn end(&mut self, tag: &str) {
        self.branches.iter_mut().filter(|one| one.tag == tag).for_each(|one| one.ended = true);
    }

    /// Whether somebody has answered it and is still there.
    pub fn is_up(&self) -> bool {
        self.branches.iter().any(|branch| !branch.ended)
    }

    /// And knows that it was heard.
    pub fn is_acknowledged(&self) -> bool {
        self.branches.iter().any(|branch| branch.acked && !branch.ended)
    }

    /// Whether nothing was said about the session for so many seconds.
    pub fn is_quiet(&self, now: Time, seconds: u64) -> bool {
        now.since(self.session_at).as_secs() >= seconds
    }
}

/// A failed attempt as it was told, and what stood then.
#[derive(Clone, Debug)]
pub struct Failure {
    pub at: Time,
    /// How long Baton stood still since the handoff began.
    pub stood: Duration,
    pub number: usize,
    pub destination: String,
    pub method: String,
    pub cause: String,
    pub status: Option<u16>,
    /// What a NOTIFY said in the end.
    pub reported: Option<u16>,
    pub next: String,
    /// Somebody was there to return to.
    pub partner: bool,
    pub answered: bool,
}

/// A handoff as it was told.
#[derive(Clone, Debug)]
pub struct Handoff {
    pub started: Time,
    pub first: Arc<HandoffView>,
    pub failures: Vec<Failure>,
    pub ended: Option<(Time, Arc<HandoffView>, bool)>,
    /// Nothing was sent for it yet.
    pub fresh: bool,
    /// Whether the caller's partner was there when it ended.
    pub partner_at_end: bool,
    /// Whether the caller had gone by itself when it ended.
    pub caller_gone: bool,
}

/// One call: by the Call-ID of its caller.
#[derive(Debug, Default)]
pub struct Call {
    pub baton_id: String,
    /// All its legs, in the order of their INVITEs.
    pub legs: Vec<String>,
    pub answered: bool,
    /// Whom the caller has; it stays when that one goes.
    pub partner: Option<String>,
    /// And whether it has gone.
    pub partner_gone: bool,
    pub handoffs: Vec<Handoff>,
    /// Ended by request.
    pub hung_up: bool,
    /// Targets whose REFER is in doubt: they may be taken over at any moment.
    pub waiting: HashSet<String>,
    pub ended: Option<(Time, String)>,
}

/// All that was seen at Baton's door, leg by leg and call by call.
#[derive(Default)]
pub struct Book {
    pub legs: HashMap<String, Leg>,
    pub calls: BTreeMap<String, Call>,
    /// Call-ID of the caller by Baton's id.
    pub by_baton: HashMap<String, String>,
    /// What was wrong: the call and why.
    pub faults: Vec<(String, String)>,
}

impl Book {
    pub fn fault(&mut self, call: &str, what: String) {
        if self.faults.len() < 10 {
            self.faults.push((call.to_owned(), what));
        }
    }

    /// The call of a leg.
    pub fn call_of(&mut self, call_id: &str) -> Option<&mut Call> {
        let caller = &self.legs.get(call_id)?.caller;
        self.calls.get_mut(caller)
    }

    /// The running handoff of a call.
    pub fn running(&mut self, caller: &str) -> Option<&mut Handoff> {
        self.calls.get_mut(caller)?.handoffs.last_mut().filter(|handoff| handoff.ended.is_none())
    }
}

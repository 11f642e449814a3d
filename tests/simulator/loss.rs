//! Who is lost, and who is only said to be: what the peer of a leg was asked inside its dialog, and when it was heard. A
//! single silence proves nothing; what a proxy says instead of the peer is one. Silence to OPTIONS says something only of
//! who has answered one, or leaves more unanswered than that.

use super::book::{Expiry, Leg};
use super::common::message::Message;
use super::models::Model;
use super::session::Session;
use super::watch::{Watch, stood_between};
use super::whereabouts::is_of_a_proxy;
use baton::sip::{Origin, Time};
use std::collections::HashSet;
use std::time::Duration;

/// How long a re-INVITE may wait for its final response: until it is cancelled, and then 64*T1.
const LONGEST: Duration = Duration::from_secs(63);

/// What one leg's peer has left unanswered, and when it was heard.
#[derive(Debug, Default)]
pub struct Silence {
    /// The peer itself was heard.
    heard: Option<Time>,
    /// It has answered an OPTIONS with 2xx.
    answers_options: bool,
    /// Requests of Baton that the peer itself has not answered.
    open: Vec<(String, Time)>,
    /// Its requests.
    requests: HashSet<String>,
}

impl Silence {
    /// Baton sends a request inside the dialog. Copies say nothing new.
    pub fn asked(&mut self, at: Time, key: String) {
        self.open.push((key, at));
    }

    /// A message reaches Baton. `copy`: of a final response that it has. Such a copy, but for the 2xx to an INVITE, and the
    /// copy of a request are of the next hop, which may be a proxy (RFC 3261 §16.7, §17.1, §17.2).
    pub fn hears(&mut self, at: Time, m: &Message, key: &str, copy: bool) {
        let accepts = m.method() == "INVITE" && (200..300).contains(&m.status());
        let again = m.is_request() && !self.requests.insert(key.to_owned());
        // A proxy says these of an address, and answers a CANCEL itself (RFC 3261 §16.10).
        let is_hops = matches!(m.status(), 100 | 404 | 407 | 410 | 430 | 480)
            || !m.is_request() && m.method() == "CANCEL";
        if is_of_a_proxy(m) || is_hops || copy && !accepts || again {
            return;
        }
        if m.status() != 481 {
            self.heard = Some(at);
        }
        self.answers_options |= m.method() == "OPTIONS" && (200..300).contains(&m.status());
        if m.status() >= 200 {
            self.open.retain(|(open, _)| open != key);
        }
    }

    /// Since the refresh of the session was due, the peer itself has left unanswered what would have refreshed it; or Baton
    /// could ask for nothing, since an offer of its own had no final response at all, for as long as its transaction lasts.
    fn held_a_refresh_up(
        &self,
        due: Time,
        passed: impl Fn(Time) -> Duration,
        pending: &HashSet<String>,
    ) -> bool {
        let offers = |key: &str| key.ends_with(" INVITE") || key.ends_with(" UPDATE");
        self.open
            .iter()
            .filter(|(key, _)| offers(key))
            .any(|(key, asked)| *asked >= due || pending.contains(key) && passed(*asked) <= LONGEST)
    }

    /// Whether the peer was asked twice, and was not heard since.
    pub fn is_real(&self) -> bool {
        let since = |(_, at): &&(String, Time)| self.heard.is_none_or(|heard| *at >= heard);
        let open: Vec<&str> = self.open.iter().filter(since).map(|(key, _)| key.as_str()).collect();
        let telling = self.answers_options || open.iter().any(|key| key.ends_with(" INVITE"));
        open.len() >= 2 && telling
    }
}

/// How one says of its own session that it is lost.
struct Sessions {
    /// It refused to have it refreshed, again and again.
    stubborn: bool,
    /// Nothing is said in it any more.
    over: bool,
}

impl Watch {
    /// Baton says that the caller's leg broke, or that of whom the caller has. It has to have a reason.
    pub fn lost(&mut self, at: Time, call: &str, is_caller: bool, (status, origin): (u16, Origin)) {
        let strict = self.models.has(Model::Loss);
        let Some(caller) = self.book.by_baton.get(call).cloned() else { return };
        let partner = self.book.calls.get(&caller).and_then(|call| call.partner.clone());
        let Some(whose) = (if is_caller { Some(caller.clone()) } else { partner.filter(|_| strict) }) else {
            return;
        };
        let sessions = self.sessions(&whose);
        let Some(leg) = self.book.legs.get_mut(&whose).filter(|leg| is_caller || leg.is_up()) else { return };
        let excused = if strict {
            sessions.over || leg.silence.is_real()
        } else {
            origin == Origin::Remote && leg.forgotten || !leg.open.is_empty() || leg.is_quiet(at, 55)
        };
        let excused = excused || is_unacknowledged(leg, at) || has_expired(leg, at, &sessions, &self.stood);
        leg.forgotten |= is_caller;
        if !excused {
            let who = if is_caller { "the caller".to_owned() } else { format!("the partner {whose}") };
            self.book.fault(&caller, format!("{who} is said to be lost ({status}), and it is there"));
        }
    }

    /// What the peers say of a leg. Of a fork it is not known here which branch is the one.
    fn sessions(&self, call_id: &str) -> Sessions {
        let ledger = self.ledger.borrow();
        let of: Vec<&Session> =
            ledger.by_call_id.get(call_id).into_iter().flatten().map(|at| &ledger.sessions[*at]).collect();
        Sessions {
            stubborn: of.iter().any(|session| session.refused > 2),
            over: of.is_empty() || of.iter().any(|session| session.over),
        }
    }
}

/// A 2xx or a reliable 1xx of Baton's had no ACK or PRACK for so long that it gives up.
fn is_unacknowledged(leg: &Leg, at: Time) -> bool {
    !leg.unpracked.is_empty() || leg.unacked.as_ref().is_some_and(|open| at.since(open.since).as_secs() >= 31)
}

/// The peer was to refresh its session and did not, or refused to have it refreshed.
fn has_expired(leg: &Leg, at: Time, sessions: &Sessions, stood: &[(Time, Duration)]) -> bool {
    let held_up = |expiry: &Expiry| {
        let due = expiry.at + Duration::from_secs(expiry.seconds / 2);
        let passed = |from: Time| at.since(from).saturating_sub(stood_between(stood, from, at));
        leg.silence.held_a_refresh_up(due, passed, &leg.open)
    };
    let over =
        |expiry: Expiry| expiry.is_over(at) && (!expiry.by_baton || sessions.stubborn || held_up(&expiry));
    leg.expiry.is_some_and(over)
}

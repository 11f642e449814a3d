//! The races that are known to bite (each has a named scenario in `tests/scenarios/races.rs`, whose head says which), and
//! how often the random simulator has met each of them. Left out: "crash between journal and send", for there is no
//! journal yet.

use super::book::{Book, Role};
use super::common::Point;
use super::common::message::Message;
use baton::sip::Time;
use std::rc::Rc;
use std::time::Duration;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Race {
    ReferCrossesByeOfTheCaller,
    ReferOfTheAgentCrossesBye,
    ReferCrossesReinvite,
    NotifyBeforeAccepted,
    FinalNotifyAndByeTogether,
    FinalNotifyLost,
    AcceptedLost,
    NotifysOutOfOrder,
    CancelCrosses200,
    CancelCrosses486,
    TwoAnswers,
    ByeCrossesBye,
    ByeCrossesAck,
    ReinviteCrossesUpdate,
    CallerLeavesWhileTargetRings,
    AnswerAfterOurTimeout,
    AnswerWhileByeIsInFlight,
    NonceChanges,
    ForgottenInTheMiddle,
    InviteAgainAfter200,
    ReloadBetweenChoiceAndSend,
    StreamDiesWithARequest,
    ProvisionalAfterFinal,
    UnprackedWhenCancelComes,
}

/// As they are called where they are listed.
pub const NAMES: [&str; 24] = [
    "REFER x BYE of the caller",
    "REFER of the agent x BYE",
    "REFER x re-INVITE",
    "NOTIFY before 2xx",
    "NOTIFY 200 and BYE together",
    "final NOTIFY lost",
    "2xx lost",
    "NOTIFYs out of order",
    "CANCEL x 200",
    "CANCEL x 486",
    "200 x 200",
    "BYE x BYE",
    "BYE x ACK",
    "re-INVITE x UPDATE",
    "caller hangs up while the target rings",
    "target answers after our timeout",
    "target's 200 while the caller's BYE is in flight",
    "nonce changes",
    "481 mid-dialog",
    "INVITE again after 200",
    "table reload between choice and send",
    "TCP dies with a request in flight",
    "1xx after the final",
    "183 unPRACKed when CANCEL comes",
];

/// How often each was met.
#[derive(Clone, Debug, Default)]
pub struct Races(pub [u64; NAMES.len()]);

const TO_BATON: usize = 0;
const FROM_BATON: usize = 1;

fn is_reinvite(m: &Message) -> bool {
    m.is_request() && m.method() == "INVITE" && !m.to_tag().is_empty()
}

fn is(m: &Message, method: &str) -> bool {
    m.is_request() && m.method() == method
}

/// A final response to an INVITE, in that range.
fn answers(m: &Message, from: u16, to: u16) -> bool {
    m.method() == "INVITE" && (from..=to).contains(&m.status())
}

impl Races {
    fn met(&mut self, race: Race) {
        self.0[race as usize] += 1;
    }

    pub fn add(&mut self, other: &Races) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
    }

    /// One line for each.
    pub fn table(&self) -> String {
        let line = |(name, count): (&&str, &u64)| format!("{count:>9}  {name}\n");
        NAMES.iter().zip(&self.0).map(line).collect()
    }

    /// Those that were never met.
    pub fn missing(&self) -> Vec<&'static str> {
        NAMES.iter().zip(&self.0).filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect()
    }

    /// A message at one point of its way, before the book knows of it.
    pub fn see(&mut self, book: &Book, at: Time, point: Point, m: &Message) {
        match point {
            Point::PeerSends => self.crosses(book, m, FROM_BATON),
            Point::Leaves => self.crosses(book, m, TO_BATON),
            Point::Reaches if m.is_request() => self.request(book, at, m),
            Point::Reaches => self.response(book, m),
            Point::LostToBaton | Point::LostToPeer => self.lost(m, point),
            Point::PeerGets => {}
        }
    }

    /// Whether what is sent meets something on its way in the other direction.
    fn crosses(&mut self, book: &Book, m: &Message, other: usize) {
        let Some(leg) = book.legs.get(m.call_id()) else { return };
        let ours = other == TO_BATON;
        for met in &leg.flying[other] {
            let both = |one: &dyn Fn(&Message) -> bool, two: &dyn Fn(&Message) -> bool| {
                one(m) && two(met) || one(met) && two(m)
            };
            let refer: &dyn Fn(&Message) -> bool = &|m| is(m, "REFER");
            let bye: &dyn Fn(&Message) -> bool = &|m| is(m, "BYE");
            // Which of the two comes from Baton.
            let from_baton: &Message = if ours { m } else { met };
            if both(refer, bye) {
                self.met(match leg.role {
                    Role::Caller if is(from_baton, "REFER") => Race::ReferCrossesByeOfTheCaller,
                    _ => Race::ReferOfTheAgentCrossesBye,
                });
            }
            if both(refer, &is_reinvite) {
                self.met(Race::ReferCrossesReinvite);
            }
            if both(&|m| is(m, "CANCEL"), &|m| answers(m, 200, 299)) {
                self.met(Race::CancelCrosses200);
            }
            if both(&|m| is(m, "CANCEL"), &|m| answers(m, 300, 699) && m.status() != 487) {
                self.met(Race::CancelCrosses486);
            }
            if is(m, "BYE") && is(met, "BYE") {
                self.met(Race::ByeCrossesBye);
            }
            if both(bye, &|m| is(m, "ACK")) {
                self.met(Race::ByeCrossesAck);
            }
            if both(&is_reinvite, &|m| is(m, "UPDATE")) {
                self.met(Race::ReinviteCrossesUpdate);
            }
        }
    }

    fn request(&mut self, book: &Book, at: Time, m: &Message) {
        let Some(leg) = book.legs.get(m.call_id()) else { return };
        let near = |time: Option<Time>| time.is_some_and(|time| at.since(time) < Duration::from_millis(20));
        match m.method() {
            "NOTIFY" => {
                if leg.refers.last().is_some_and(|refer| refer.answer.is_none()) {
                    self.met(Race::NotifyBeforeAccepted);
                }
                if m.cseq().0 < leg.notified {
                    self.met(Race::NotifysOutOfOrder);
                }
                if m.body.starts_with("SIP/2.0 200") && near(leg.left) {
                    self.met(Race::FinalNotifyAndByeTogether);
                }
            }
            "BYE" => {
                if near(leg.reported) && leg.left.is_none() {
                    self.met(Race::FinalNotifyAndByeTogether);
                }
                let own_ack = |m: &Rc<Message>| is(m, "ACK");
                if leg.flying[TO_BATON].iter().any(own_ack) {
                    // It has overtaken the ACK.
                    self.met(Race::ByeCrossesAck);
                }
                self.caller_leaves(book, leg.role, m);
            }
            "CANCEL" => {
                if !leg.unpracked.is_empty() {
                    self.met(Race::UnprackedWhenCancelComes);
                }
                self.caller_leaves(book, leg.role, m);
            }
            "INVITE" if m.to_tag().is_empty() && leg.accepted.is_some() => {
                self.met(Race::InviteAgainAfter200);
            }
            _ => {}
        }
    }

    fn caller_leaves(&mut self, book: &Book, role: Role, m: &Message) {
        let Some(call) = book.calls.get(m.call_id()).filter(|_| role == Role::Caller) else { return };
        let rings = |id: &String| {
            let leg = &book.legs[id];
            leg.role == Role::Target && leg.rings && leg.answered.is_none() && leg.over.is_none()
        };
        if call.legs.iter().any(rings) {
            self.met(Race::CallerLeavesWhileTargetRings);
        }
    }

    fn response(&mut self, book: &Book, m: &Message) {
        let Some(leg) = book.legs.get(m.call_id()) else { return };
        let status = m.status();
        let key = format!("{} {}", m.branch(), m.method());
        if status < 200 && leg.finals.contains(&key) {
            self.met(Race::ProvisionalAfterFinal);
        }
        if matches!(status, 401 | 407)
            && ["WWW-Authenticate", "Proxy-Authenticate"]
                .iter()
                .any(|name| m.find(name).is_some_and(|value| value.contains("stale=true")))
        {
            self.met(Race::NonceChanges);
        }
        let known = !matches!(m.method(), "BYE" | "CANCEL");
        if status == 481 && known && leg.open.contains(&key) {
            self.met(Race::ForgottenInTheMiddle);
        }
        if !answers(m, 200, 299) || leg.role == Role::Caller {
            return;
        }
        let first = leg.branches.iter().all(|branch| branch.tag != m.to_tag());
        if first && !leg.branches.is_empty() {
            self.met(Race::TwoAnswers);
        }
        if leg.role != Role::Target || leg.answered.is_some() {
            return;
        }
        if leg.timed_out {
            self.met(Race::AnswerAfterOurTimeout);
        }
        let caller = book.legs.get(&leg.caller);
        if caller.is_some_and(|caller| caller.flying[TO_BATON].iter().any(|m| is(m, "BYE"))) {
            self.met(Race::AnswerWhileByeIsInFlight);
        }
    }

    fn lost(&mut self, m: &Message, point: Point) {
        let terminated = m.find("Subscription-State").is_some_and(|state| state.starts_with("terminated"));
        if point == Point::LostToBaton && is(m, "NOTIFY") && terminated && !m.body.is_empty() {
            self.met(Race::FinalNotifyLost);
        }
        if (200..300).contains(&m.status()) && matches!(m.method(), "INVITE" | "REFER") {
            self.met(Race::AcceptedLost);
        }
    }

    /// New tables are there.
    pub fn adopted(&mut self, book: &Book) {
        let waits = |handoff: &super::book::Handoff| handoff.fresh && handoff.ended.is_none();
        let waiting = book.calls.values().filter(|call| call.handoffs.last().is_some_and(waits)).count();
        self.0[Race::ReloadBetweenChoiceAndSend as usize] += waiting as u64;
    }

    /// A stream breaks.
    pub fn broken(&mut self, book: &Book, peer: std::net::SocketAddr) {
        if book.legs.values().any(|leg| leg.peer == peer && !leg.open.is_empty()) {
            self.met(Race::StreamDiesWithARequest);
        }
    }
}

//! Listens on the tap, keeps the [`Book`] and counts the [`Races`]; and says at once what may never be at any time: two
//! targets that are answered and left, two who are together and have not each other's session.

use super::book::{Book, Branch, Call, Failure, Handoff, Leg, Reinvite, Role, Unacked};
use super::common::message::Message;
use super::common::{Point, Tap};
use super::ledger::Ledger;
use super::models::{Draw, Model, Models};
use super::network::Network;
use super::races::Races;
use super::refers::Refer;
use super::whereabouts::is_of_a_proxy;
use super::world::SHARDS;
use baton::call::event::{Event, EventKind};
use baton::call::record::HandoffState;
use baton::sip::Time;
use baton::sip::ident::slot_of;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// So much is never seen at one instant, unless two answer each other for ever.
const AT_ONCE: u32 = 20_000;

/// Reads the tap, and keeps what was seen.
pub struct Watch {
    pub book: Book,
    pub races: Races,
    /// Pairs whose sessions were compared.
    pub compared: u64,
    /// When Baton stood still, and for how long.
    pub stood: Vec<(Time, Duration)>,
    /// What was seen of messages at `now`.
    at_once: u32,
    /// Messages that Baton has read.
    pub read: u64,
    /// Callers that were held while the agent spoke with the target.
    pub briefings: u64,
    pub ledger: Rc<RefCell<Ledger>>,
    network: Network,
    /// Which rules hold.
    pub models: Models,
    /// Calls in which something changed at `now`.
    changed: Vec<String>,
    now: Time,
    /// When a pair is to be looked at.
    due: BinaryHeap<Reverse<(Time, String)>>,
}

/// The watch that a world holds.
pub struct Door(pub Rc<RefCell<Watch>>);

impl Tap for Door {
    fn see(&mut self, at: Time, point: Point, peer: SocketAddr, message: &Rc<Message>) {
        self.0.borrow_mut().see(at, point, peer, message);
    }

    fn told(&mut self, at: Time, event: &Event) {
        self.0.borrow_mut().told(at, event);
    }

    fn adopted(&mut self, _at: Time, _serial: u64) {
        let watch = &mut *self.0.borrow_mut();
        watch.races.adopted(&watch.book);
    }

    fn broken(&mut self, _at: Time, peer: SocketAddr) {
        let watch = &mut *self.0.borrow_mut();
        watch.races.broken(&watch.book, peer);
        watch.network.broken(peer);
    }
}

/// How much of that time Baton stood still.
pub fn stood_between(stood: &[(Time, Duration)], from: Time, to: Time) -> Duration {
    stood.iter().map(|(began, time)| (*began + *time).min(to).since((*began).max(from))).sum()
}

fn key(m: &Message) -> String {
    format!("{} {}", m.branch(), m.method())
}

impl Watch {
    pub fn new(ledger: Rc<RefCell<Ledger>>, models: Models) -> Watch {
        Watch {
            book: Book::default(),
            races: Races::default(),
            compared: 0,
            stood: Vec::new(),
            at_once: 0,
            read: 0,
            briefings: 0,
            ledger,
            network: Network::default(),
            models,
            changed: Vec::new(),
            now: Time(0),
            due: BinaryHeap::new(),
        }
    }

    /// How long Baton stood still in that time.
    pub fn stood_between(&self, from: Time, to: Time) -> Duration {
        stood_between(&self.stood, from, to)
    }

    /// A pair is to be looked at then.
    pub fn compare_at(&mut self, at: Time, caller: String) {
        self.due.push(Reverse((at, caller)));
    }

    /// All that was done at one instant is done: what holds at any time has to hold now.
    fn moved_on(&mut self, at: Time) {
        if at == self.now {
            return;
        }
        self.at_once = 0;
        for caller in std::mem::take(&mut self.changed) {
            self.count_targets(&caller);
        }
        while self.due.peek().is_some_and(|Reverse((due, _))| *due <= at) {
            let Some(Reverse((due, caller))) = self.due.pop() else { break };
            self.compare_when_quiet(due, caller);
        }
        self.now = at;
    }

    fn see(&mut self, at: Time, point: Point, peer: SocketAddr, m: &Rc<Message>) {
        self.moved_on(at);
        self.at_once += 1;
        assert!(self.at_once < AT_ONCE, "messages go to and fro at one instant, for ever:\n{}", m.text);
        if point == Point::Leaves || point == Point::Reaches {
            self.meet(point, peer, m);
        }
        self.races.see(&self.book, at, point, m);
        if self.models.has(Model::Network) {
            self.network.see(&mut self.ledger.borrow_mut(), point, peer, m);
        }
        if m.is_request() && m.method() == "BYE" && matches!(point, Point::PeerSends | Point::Leaves) {
            let caller = self.book.legs.get(m.call_id()).map(|leg| leg.caller.clone());
            if let Some(caller) = caller {
                self.compare(at, &caller, "at the goodbye");
            }
        }
        let Some(leg) = self.book.legs.get_mut(m.call_id()) else { return };
        if matches!(m.method(), "INVITE" | "ACK" | "UPDATE" | "PRACK" | "CANCEL" | "BYE") {
            leg.session_at = at;
        }
        fly(leg, point, m);
        if point == Point::PeerSends && m.is_request() && m.method() == "BYE" {
            leg.bye_sent = leg.bye_sent.or(Some(at));
        }
        match point {
            Point::Leaves => self.leaves(at, m),
            Point::Reaches => self.reaches(at, m),
            Point::PeerSends | Point::PeerGets | Point::LostToBaton | Point::LostToPeer => {}
        }
    }

    /// A leg that is seen for the first time.
    fn meet(&mut self, point: Point, peer: SocketAddr, m: &Message) {
        if !m.is_request() || m.method() != "INVITE" || self.book.legs.contains_key(m.call_id()) {
            return;
        }
        let Some(caller) = m.find("X-Sim-Call") else { return };
        let role = match point {
            Point::Reaches => Role::Caller,
            _ if m.find("X-Baton-Call-ID").is_some() => Role::Agent,
            _ => Role::Target,
        };
        self.book.legs.insert(m.call_id().to_owned(), Leg::new(role, caller, peer));
        let call = self.book.calls.entry(caller.to_owned()).or_default();
        call.legs.push(m.call_id().to_owned());
    }

    fn leaves(&mut self, at: Time, m: &Message) {
        if m.is_request() && m.method() == "REFER" && !self.refer_goes_out(m) {
            return;
        }
        let Some(leg) = self.book.legs.get_mut(m.call_id()) else { return };
        let caller = leg.caller.clone();
        if !m.is_request() {
            let alone = leg.asked_alone == Some(m.cseq().0) && m.status() == 480;
            if alone && matches!(m.method(), "INVITE" | "UPDATE") && self.models.has(Model::Alone) {
                let method = m.method();
                return self.book.fault(&caller, format!("a caller alone with Baton gets 480 to {method}"));
            }
            if (200..300).contains(&m.status()) {
                leg.agree(at, m, true);
            }
            if m.method() == "INVITE" && (200..300).contains(&m.status()) {
                let number = m.cseq().0;
                if leg.unacked.as_ref().is_none_or(|open| open.cseq != number) {
                    let tag = m.from_tag().to_owned();
                    leg.unacked = Some(Unacked { cseq: number, tag, since: at });
                }
            }
            if leg.role == Role::Caller && m.method() == "INVITE" {
                answers_caller(leg, at, m);
                if m.status() >= 200 {
                    self.acts(&caller);
                }
            }
            return;
        }
        match m.method() {
            "ACK" => {
                if leg.answered.is_some() {
                    leg.acked = leg.acked.or(Some(at));
                }
                leg.branches.iter_mut().filter(|one| one.tag == m.to_tag()).for_each(|one| one.acked = true);
                let cseq = m.cseq().0;
                if let Some(reinvite) = leg.reinvites.iter_mut().find(|one| one.cseq == cseq) {
                    reinvite.acked = reinvite.acked.or(Some(at));
                }
            }
            "CANCEL" => leg.never_answers |= !m.to_tag().is_empty(),
            method => {
                if !leg.open.insert(key(m)) {
                    return;
                }
                if !m.to_tag().is_empty() {
                    leg.silence.asked(at, key(m));
                }
                match method {
                    "INVITE" if !m.to_tag().is_empty() => {
                        let cseq = m.cseq().0;
                        // Nobody else holds both ways.
                        self.briefings +=
                            u64::from(leg.role == Role::Caller && m.body.contains("a=inactive"));
                        let same = |one: &&Reinvite| {
                            one.accepted.is_none() && one.offer == m.body && one.over == Some(at)
                        };
                        let before = leg.reinvites.last().filter(same).map(|one| one.sent);
                        leg.reinvites.push(Reinvite {
                            cseq,
                            offer: m.body.clone(),
                            sent: before.unwrap_or(at),
                            over: None,
                            accepted: None,
                            refused: None,
                            acked: None,
                            bare: false,
                            by_proxy: false,
                        });
                    }
                    "REFER" => leg.refers.push(Refer::new(m, at)),
                    "BYE" => {
                        leg.end(m.to_tag());
                        if !leg.is_up() {
                            leg.over = leg.over.or(Some(at));
                        }
                        self.gone(m.call_id());
                    }
                    _ => {}
                }
                if matches!(method, "REFER" | "BYE") || method == "INVITE" && m.to_tag().is_empty() {
                    self.acts(&caller);
                }
            }
        }
    }

    /// Something was sent for the handoff that runs.
    fn acts(&mut self, caller: &str) {
        if let Some(handoff) = self.book.running(caller) {
            handoff.fresh = false;
        }
    }

    fn reaches(&mut self, at: Time, m: &Message) {
        self.read += 1;
        if let Some(leg) = self.book.legs.get_mut(m.call_id()) {
            let copy = leg.finals.contains(&key(m));
            leg.silence.hears(at, m, &key(m), copy);
        }
        if m.is_request() { self.request(at, m) } else { self.response(at, m) }
    }

    fn request(&mut self, at: Time, m: &Message) {
        let is_offer = m.method() == "UPDATE" || m.method() == "INVITE" && !m.to_tag().is_empty();
        let alone = is_offer && self.book.calls.get(m.call_id()).is_some_and(|call| call.partner_gone);
        let Some(leg) = self.book.legs.get_mut(m.call_id()) else { return };
        let copy = leg.last_offer >= Some(m.cseq().0);
        leg.asked_alone = (alone && !copy).then_some(m.cseq().0).or(leg.asked_alone);
        leg.last_offer = is_offer.then_some(m.cseq().0).max(leg.last_offer);
        match m.method() {
            "ACK" => {
                leg.unacked.take_if(|open| open.cseq == m.cseq().0 && open.tag == m.from_tag());
                let first = leg.accepted.filter(|(_, cseq)| *cseq == m.cseq().0);
                leg.confirmed = leg.confirmed.or(first.and(Some(at)));
                if let Some((_, acknowledged)) = &mut leg.refused {
                    *acknowledged = true;
                }
            }
            "BYE" => {
                leg.end(m.from_tag());
                if !leg.is_up() {
                    leg.over = leg.over.or(Some(at));
                    leg.left = leg.left.or(Some(at));
                }
                self.gone(m.call_id());
            }
            "CANCEL" if leg.role == Role::Caller && leg.accepted.is_none() => {
                leg.left = leg.left.or(Some(at));
            }
            "PRACK" => {
                let rseq = m.find("RAck").and_then(|value| value.split(' ').next()?.parse::<u32>().ok());
                leg.unpracked.retain(|open| Some(*open) != rseq);
            }
            "NOTIFY" => self.notified(at, m),
            _ => {}
        }
    }

    fn response(&mut self, at: Time, m: &Message) {
        let status = m.status();
        let Some(leg) = self.book.legs.get_mut(m.call_id()) else { return };
        if status < 200 {
            leg.rings |= status > 100 && m.method() == "INVITE";
            return;
        }
        if status < 300 {
            leg.agree(at, m, false);
        }
        leg.open.remove(&key(m));
        if matches!(m.method(), "INVITE" | "UPDATE") {
            leg.never_answers &= status >= 300;
            leg.turned_away = if status >= 300 && is_of_a_proxy(m) { leg.turned_away + 1 } else { 0 };
        }
        let first = leg.finals.insert(key(m));
        // A 408 is of a proxy: that one has not reached the peer.
        let tells = first && !is_of_a_proxy(m) && !matches!(m.method(), "CANCEL" | "BYE" | "REFER");
        match status {
            481 => leg.forgotten |= tells,
            // A 481 before it is none of the dialog's.
            _ if tells => leg.forgotten = false,
            _ => {}
        }
        let number = m.cseq().0;
        if m.method() == "INVITE"
            && let Some(reinvite) = leg.reinvites.iter_mut().find(|one| one.cseq == number)
        {
            reinvite.over = reinvite.over.or(Some(at));
        }
        match m.method() {
            "REFER" => {
                let has_left = leg.left.is_some();
                if let Some(refer) = leg.refers.iter_mut().find(|refer| refer.cseq == number) {
                    refer.answered(at, status, has_left);
                }
            }
            "BYE" if first => leg.bye_answer = Some(status),
            "INVITE" if status < 300 => {
                if let Some(reinvite) = leg.reinvites.iter_mut().find(|one| one.cseq == number) {
                    reinvite.accepted = reinvite.accepted.or(Some(at));
                    reinvite.bare = !m.body.starts_with("v=");
                } else if leg.role != Role::Caller && leg.branches.iter().all(|one| one.tag != m.to_tag()) {
                    leg.answered = leg.answered.or(Some(at));
                    leg.branches.push(Branch { tag: m.to_tag().to_owned(), acked: false, ended: false });
                    let caller = leg.caller.clone();
                    self.changed.push(caller);
                }
            }
            "INVITE" if first && leg.reinvites.iter().any(|one| one.cseq == number) => {
                // A 500 that says when to come again has met another request (RFC 3261 §14.2).
                let glare = status == 500 && m.find("Retry-After").is_some();
                let says = !glare && !matches!(status, 401 | 407 | 408 | 477 | 481 | 491 | 503 | 504);
                if let Some(one) = leg.reinvites.iter_mut().find(|one| one.cseq == number && says) {
                    one.refused = Some(at);
                    one.by_proxy = is_of_a_proxy(m);
                }
            }
            "INVITE" if first && leg.answered.is_none() && leg.role != Role::Caller => {
                leg.over = leg.over.or((!matches!(status, 401 | 407 | 422)).then_some(at));
            }
            _ => {}
        }
    }

    /// A BYE went through a leg: whoever was the caller's partner may be no more.
    fn gone(&mut self, call_id: &str) {
        let call_id = call_id.to_owned();
        if self.book.legs.get(&call_id).is_some_and(Leg::is_up) {
            // It was another branch of its fork.
            return;
        }
        if let Some(call) = self.book.call_of(&call_id)
            && call.partner.as_ref() == Some(&call_id)
        {
            call.partner_gone = true;
        }
    }

    // -- what Baton tells

    fn told(&mut self, at: Time, event: &Event) {
        self.moved_on(at);
        match &event.what {
            EventKind::CallStarted(view) => {
                let Some(caller) = view.legs.iter().find(|leg| leg.role == baton::call::record::Role::Caller)
                else {
                    return;
                };
                let slot = slot_of(view.id.as_bytes()).map_or(0, u64::from);
                if self.models.has(Model::Shards) && !slot.is_multiple_of(SHARDS) {
                    self.ledger.borrow_mut().met(Draw::OtherShard);
                }
                self.book.by_baton.insert(view.id.clone(), caller.sip_call_id.clone());
                let call = self.book.calls.entry(caller.sip_call_id.clone()).or_default();
                call.baton_id.clone_from(&view.id);
            }
            EventKind::CallAnswered { call, by } => {
                let role = match by {
                    baton::call::record::Role::Target => Role::Target,
                    _ => Role::Agent,
                };
                self.answered(call, role);
            }
            EventKind::LegLost { call, role, status, origin, .. } => {
                let caller = *role == baton::call::record::Role::Caller;
                self.lost(at, call, caller, (*status, *origin));
                if !caller
                    && let Some(call) = self.call(call)
                    && call.answered
                {
                    call.partner_gone = true;
                }
            }
            EventKind::HandoffStarted(view) => {
                let Some(caller) = self.book.by_baton.get(&*view.call_id).cloned() else { return };
                self.compare(at, &caller, "before the handoff");
                let Some(call) = self.book.calls.get_mut(&caller) else { return };
                call.handoffs.push(Handoff {
                    started: at,
                    first: std::sync::Arc::clone(view),
                    failures: Vec::new(),
                    ended: None,
                    fresh: true,
                    partner_at_end: false,
                    caller_gone: false,
                });
            }
            EventKind::AttemptFailed { call, number, attempt, next, .. }
            | EventKind::Unproven { call, number, attempt, next, .. } => {
                self.attempt_failed(at, call, (*number, attempt, &next.to_string()));
            }
            EventKind::HandoffEnded { handoff, caller_hurt } => self.handoff_ended(at, handoff, *caller_hurt),
            EventKind::CallEnded(record) => {
                let why = record.call.ended_by.as_deref().unwrap_or_default().to_owned();
                if let Some(call) = self.call(&record.call.id) {
                    call.ended = Some((at, why));
                }
            }
            _ => {}
        }
    }

    /// Somebody asks for the end of a call.
    pub fn hung_up(&mut self, baton_id: &str) {
        if let Some(call) = self.call(baton_id) {
            call.hung_up = true;
        }
    }

    fn call(&mut self, baton_id: &str) -> Option<&mut Call> {
        let caller = self.book.by_baton.get(baton_id)?;
        self.book.calls.get_mut(caller)
    }

    fn answered(&mut self, call: &str, role: Role) {
        let Some(caller) = self.book.by_baton.get(call).cloned() else { return };
        let legs = &self.book.legs;
        let Some(call) = self.book.calls.get_mut(&caller) else { return };
        call.answered = true;
        let up = |id: &&String| legs[*id].role == role && legs[*id].answered.is_some();
        call.partner = call.legs.iter().rev().find(up).cloned();
        call.partner_gone = false;
        self.compare_at(self.now + Duration::from_secs(25), caller);
    }

    fn attempt_failed(
        &mut self,
        at: Time,
        call_id: &str,
        (number, attempt, next): (usize, &baton::call::record::AttemptView, &str),
    ) {
        let late = attempt.status.is_none_or(|status| status == 408)
            && attempt.origin == Some(baton::sip::Origin::Local)
            && attempt.method != "refer"
            && attempt.refer_to.is_none();
        if let Some(leg) = attempt.sip_call_id.as_ref().filter(|_| late)
            && let Some(leg) = self.book.legs.get_mut(&**leg)
        {
            leg.timed_out = true;
        }
        self.gives_up(at, call_id, attempt);
        // A target that has answered is joined, and nobody is asked.
        let target = attempt.sip_call_id.as_ref().and_then(|target| self.book.legs.get(&**target));
        let joins = &*attempt.method == "attended" && next == "invite" && target.is_some_and(Leg::is_up);
        let untold = !joins && self.is_untold(at, call_id, attempt);
        let stood = std::mem::take(&mut self.stood);
        let since =
            |began: Time| stood.iter().filter(|(from, _)| *from >= began).map(|(_, time)| *time).sum();
        let Some(call) = self.call(call_id) else { return };
        let began = call.handoffs.last().map_or(at, |handoff| handoff.started);
        let failure = Failure {
            at,
            stood: since(began),
            number,
            destination: attempt.destination.to_string(),
            method: attempt.method.to_string(),
            cause: if untold { "unknown" } else { attempt.cause.as_deref().unwrap_or_default() }.to_owned(),
            status: attempt.status,
            reported: attempt.final_status,
            next: next.to_owned(),
            partner: call.partner.is_some() && !call.partner_gone,
            answered: call.answered,
        };
        let waits = failure.cause == "unknown" && failure.method == "attended";
        if let Some(handoff) = call.handoffs.last_mut() {
            handoff.failures.push(failure);
        }
        self.stood = stood;
        if waits {
            self.target_waits(call_id);
        }
    }

    fn handoff_ended(
        &mut self,
        at: Time,
        view: &std::sync::Arc<baton::call::record::HandoffView>,
        hurt: bool,
    ) {
        let Some(caller) = self.book.by_baton.get(&*view.call_id).cloned() else { return };
        let leg = self.book.legs.get(&caller);
        let gone = leg.is_some_and(|leg| leg.left.is_some() || leg.forgotten);
        let Some(call) = self.book.calls.get_mut(&caller) else { return };
        let last = view.attempts.last();
        // A REFER that was given up and has spoken after all: that it was, whoever is tried since. A blind one proves nothing.
        let late = |attempt: &baton::call::record::AttemptView| {
            let told = attempt.final_status.is_some_and(|status| (200..300).contains(&status));
            told && attempt.cause.is_none() && &*attempt.method == "attended"
        };
        let joined = view.state == HandoffState::Succeeded
            && view.proof == Some(baton::call::record::Proof::Proven)
            && !view.attempts.iter().rev().skip(1).any(late)
            && last.is_some_and(|last| {
                &*last.method == "invite" || &*last.method == "attended" && last.refer_to.is_none()
            });
        let there = call.partner.is_some() && !call.partner_gone;
        let Some(handoff) = call.handoffs.iter_mut().find(|handoff| handoff.first.id == view.id) else {
            return;
        };
        handoff.ended = Some((at, std::sync::Arc::clone(view), hurt));
        (handoff.partner_at_end, handoff.caller_gone) = (there, gone);
        if joined
            && let Some(target) = last.and_then(|last| last.sip_call_id.as_ref().map(ToString::to_string))
        {
            call.partner_gone = self.book.legs.get(&target).is_none_or(|leg| !leg.is_up());
            call.partner = Some(target);
        }
        self.changed.push(caller.clone());
        self.compare_at(at + Duration::from_secs(25), caller);
        let referred = view.attempts.last().is_some_and(|last| last.refer_to.is_some());
        if view.state == HandoffState::Abandoned && referred {
            self.target_waits(&view.call_id);
        }
    }
}

/// What is on its way.
fn fly(leg: &mut Leg, point: Point, m: &Rc<Message>) {
    let [to_baton, from_baton] = &mut leg.flying;
    let lands = |flying: &mut Vec<Rc<Message>>| {
        if let Some(at) = flying.iter().position(|one| Rc::ptr_eq(one, m)) {
            flying.swap_remove(at);
        }
    };
    match point {
        Point::PeerSends => to_baton.push(Rc::clone(m)),
        Point::Reaches | Point::LostToBaton => lands(to_baton),
        Point::Leaves => from_baton.push(Rc::clone(m)),
        Point::PeerGets | Point::LostToPeer => lands(from_baton),
    }
}

/// Baton's response to the caller's INVITE.
fn answers_caller(leg: &mut Leg, at: Time, m: &Message) {
    let status = m.status();
    if m.find("RSeq").is_some() {
        let rseq = m.find("RSeq").and_then(|value| value.parse().ok()).unwrap_or(0);
        if !leg.unpracked.contains(&rseq) {
            leg.unpracked.push(rseq);
        }
    } else if (200..300).contains(&status) {
        leg.accepted = leg.accepted.or(Some((at, m.cseq().0)));
    } else if status >= 300 && leg.accepted.is_none() && leg.refused.is_none() {
        leg.refused = Some((status, false));
        leg.over = leg.over.or(Some(at));
    }
}

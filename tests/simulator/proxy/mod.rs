//! A proxy between Baton and one or more houses, as Kamailio and OpenSIPS are: it has the address that Baton is configured
//! with, and those behind it have addresses that nobody else reaches. It record-routes; it tries the houses one after the
//! other or all at once; it answers for a house that it does not reach (408 and 504 after a time, 477, 480 and 503 at once),
//! sometimes although the house has done what it was asked; it lets a copy through that it has held for seconds.
//!
//! It is stateful for what Baton asks, and passes on what the houses ask as it comes; the way between it and the houses
//! loses nothing and takes no time. What it cannot do: TCP, strict routing, two Record-Routes, a copy of an ACK or a PRACK
//! lost, a 3xx that it follows itself, an INVITE of a house tried at Baton a second time.

mod fork;
mod text;

use super::common::message::{Message, host_of};
use super::common::random::Random;
use super::common::{Action, Actor, ms};
use super::ledger::{Ledger, MAIL};
use super::models::Draw;
use super::party::Party;
use super::party::calling::{ack_of_refusal, cancel_text};
use baton::sip::Time;
use fork::Fork;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use text::Branch;

const T1: Duration = ms(500);
const T2: Duration = ms(4_000);
const LIFE: Duration = ms(32_000);
/// Alarms of the house at place 1, 2, … begin at so many times this.
const HOUSES: u64 = 1 << 48;

/// How often, of 100 requests of Baton inside a dialog and of new calls.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// It does not pass on as it should.
    pub trouble: u64,
    /// The same of a REFER.
    pub refers: u64,
    /// It answers a new call by itself.
    pub refuses: u64,
}

/// What it does with a request of Baton inside a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    Pass,
    /// Answered at once, and not passed on.
    Refuse(u16),
    /// Not passed on; answered after a time.
    Lose(u16, Duration),
    /// Passed on, and what comes back is lost; answered after a time.
    Swallow(u16, Duration),
    /// Passed on after a time.
    Hold(Duration),
    /// Copies up to a time are lost.
    Deafen(Time),
}

enum Alarm {
    /// The own answer to the request of that key.
    Answer(String, u16),
    /// A request that was held goes on.
    Release(String),
    /// A refusal of an INVITE is said again: what, the interval, and how long it was said.
    Repeat(String, Duration, Duration),
    /// The own answer to a new call.
    RefuseCall(String, u16),
    /// A call that was forked has rung long enough at that branch.
    Impatient(String, usize),
}

/// A request of Baton inside a dialog.
struct Relay {
    request: Rc<Message>,
    house: usize,
    treatment: Treatment,
    /// The last response that Baton was given.
    answer: Option<String>,
    /// It was a final one.
    answered: bool,
    /// The house has said its last word.
    closed: bool,
}

/// One proxy, with the houses behind it and what it has held back.
pub struct Proxy {
    door: SocketAddr,
    houses: Vec<(SocketAddr, Party)>,
    random: Random,
    habits: Habits,
    ledger: Rc<RefCell<Ledger>>,
    now: Time,
    /// By branch and method.
    relays: HashMap<String, Relay>,
    /// New calls by the branch of their INVITE.
    forks: HashMap<String, Fork>,
    /// Refusals of INVITEs that Baton has not acknowledged, by branch.
    unacknowledged: HashMap<String, String>,
    alarms: HashMap<u64, Alarm>,
    count: u64,
}

type Out = Vec<Action>;

fn key(m: &Message) -> String {
    format!("{} {}", m.branch(), m.method())
}

impl Proxy {
    pub fn new(
        door: SocketAddr,
        houses: Vec<(SocketAddr, Party)>,
        seed: u64,
        habits: Habits,
        ledger: Rc<RefCell<Ledger>>,
    ) -> Proxy {
        for (address, _) in &houses {
            ledger.borrow_mut().stands_behind(*address, door);
        }
        Proxy {
            door,
            houses,
            random: Random(seed),
            habits,
            ledger,
            now: Time(0),
            relays: HashMap::new(),
            forks: HashMap::new(),
            unacknowledged: HashMap::new(),
            alarms: HashMap::new(),
            count: 0,
        }
    }

    fn met(&self, draw: Draw) {
        self.ledger.borrow_mut().met(draw);
    }

    fn alarm_in(&mut self, after: Duration, alarm: Alarm, out: &mut Out) {
        self.count += 1;
        self.alarms.insert(self.count, alarm);
        out.push(Action::Alarm(after, self.count));
    }

    // -- between it and the houses

    fn with_house(&mut self, house: usize, act: impl FnOnce(&mut Party, Time, &mut Out), out: &mut Out) {
        let mut told = Vec::new();
        act(&mut self.houses[house].1, self.now, &mut told);
        for action in told {
            match action {
                Action::Send(text) => self.house_says(house, &text, out),
                Action::Alarm(after, alarm) => {
                    out.push(Action::Alarm(after, (house as u64 + 1) * HOUSES + alarm));
                }
                Action::Poke(to, after, alarm) => out.push(Action::Poke(to, after, alarm)),
                Action::Break => {}
            }
        }
    }

    /// A request of Baton's, or a response to one of the house's.
    fn give_house(&mut self, house: usize, text: &str, out: &mut Out) {
        if let Ok(message) = Message::parse(text.as_bytes()) {
            self.with_house(house, |party, at, told| party.message(at, &message, told), out);
        }
    }

    fn pass_down(&mut self, house: usize, request: &Message, out: &mut Out) {
        self.give_house(house, &text::downward(&request.text, house, request.branch(), self.door), out);
    }

    /// The house whose address a request inside a dialog names.
    fn house_of(&self, uri: &str) -> Option<usize> {
        let (host, port, _) = host_of(uri);
        let named = SocketAddr::new(host.parse().ok()?, port.unwrap_or(5060));
        self.houses.iter().position(|(address, _)| *address == named)
    }

    fn house_says(&mut self, house: usize, text: &str, out: &mut Out) {
        let Ok(message) = Message::parse(text.as_bytes()) else { return };
        if message.is_request() {
            if message.method() == "INVITE" && message.to_tag().is_empty() {
                self.met(Draw::ProxiedCall);
            }
            return out.push(Action::Send(text::upward(&message, house, self.door)));
        }
        let Some(Branch { of, .. }) = Branch::read(message.branch()) else { return };
        if message.method() == "INVITE" && message.status() >= 300 {
            // Hop by hop.
            self.give_house(house, &ack_of_refusal(&message, message.contact().unwrap_or("sip:x")), out);
        }
        if message.method() == "CANCEL" || message.status() == 100 {
            return;
        }
        if self.forks.contains_key(&of) && message.method() == "INVITE" {
            return self.branch_answers(&of, house, &message, out);
        }
        self.relay_answers(&format!("{of} {}", message.method()), &message, out);
    }

    // -- inside a dialog

    fn treatment(&mut self, m: &Message) -> Treatment {
        let refers = m.method() == "REFER";
        let often = if refers { self.habits.refers } else { self.habits.trouble };
        if m.method() == "PRACK" || !self.random.chance(often) {
            return Treatment::Pass;
        }
        let offers = matches!(m.method(), "INVITE" | "UPDATE");
        let after = ms(1_000 + self.random.below(11_000));
        match self.random.below(10) {
            0 => Treatment::Refuse(477),
            1 => Treatment::Refuse(self.random.pick(&[480, 503])),
            2 | 3 => Treatment::Lose(self.random.pick(&[408, 408, 504]), after),
            // What was offered and answered would stand on one side only.
            4 | 5 if !offers => Treatment::Swallow(self.random.pick(&[408, 408, 504]), after),
            6 | 7 if !offers => Treatment::Hold(ms(2_000 + self.random.below(40_000))),
            _ => Treatment::Deafen(self.now + ms(500 + self.random.below(14_000))),
        }
    }

    fn relay(&mut self, m: &Message, out: &mut Out) {
        let key = key(m);
        if let Some(known) = self.relays.get(&key) {
            if let Some(answer) = &known.answer {
                out.push(Action::Send(answer.clone()));
            } else if let Treatment::Deafen(until) = known.treatment
                && until <= self.now
            {
                let (house, request) = (known.house, Rc::clone(&known.request));
                self.met(Draw::CopyAfterGiveUp);
                self.relays.entry(key).and_modify(|relay| relay.treatment = Treatment::Pass);
                self.pass_down(house, &request, out);
            }
            return;
        }
        let Some(house) = self.house_of(m.uri()) else {
            return out.push(Action::Send(text::own_answer(m, 404)));
        };
        let treatment = self.treatment(m);
        let request = Rc::new(m.clone());
        let relay = Relay {
            request: Rc::clone(&request),
            house,
            treatment,
            answer: None,
            answered: false,
            closed: false,
        };
        self.relays.insert(key.clone(), relay);
        if m.method() == "INVITE" && !matches!(treatment, Treatment::Deafen(_)) {
            let trying = text::own_answer(m, 100);
            out.push(Action::Send(trying.clone()));
            self.relays.entry(key.clone()).and_modify(|relay| relay.answer = Some(trying));
        }
        match treatment {
            Treatment::Pass => self.pass_down(house, &request, out),
            Treatment::Refuse(status) => self.answer_itself(&key, status, out),
            Treatment::Lose(status, after) => self.alarm_in(after, Alarm::Answer(key, status), out),
            Treatment::Swallow(status, after) => {
                self.alarm_in(after, Alarm::Answer(key, status), out);
                self.met(Draw::DoneBehind408);
                self.pass_down(house, &request, out);
            }
            Treatment::Hold(after) => self.alarm_in(after, Alarm::Release(key), out),
            Treatment::Deafen(_) => {}
        }
    }

    /// The proxy answers a request inside a dialog by itself.
    fn answer_itself(&mut self, key: &str, status: u16, out: &mut Out) {
        let Some(relay) = self.relays.get_mut(key).filter(|relay| !relay.answered) else { return };
        let answer = text::own_answer(&relay.request, status);
        (relay.answer, relay.answered) = (Some(answer.clone()), true);
        let (branch, method) = (relay.request.branch().to_owned(), relay.request.method().to_owned());
        if method == "INVITE" {
            if status == 408 {
                self.met(Draw::Reinvite408);
            }
            self.repeat_until_ack(branch, answer.clone(), out);
        }
        self.met_status(status);
        out.push(Action::Send(answer));
    }

    fn met_status(&self, status: u16) {
        self.met(match status {
            408 => Draw::Proxy408,
            477 => Draw::Proxy477,
            480 => Draw::Proxy480,
            503 => Draw::Proxy503,
            _ => Draw::Proxy504,
        });
    }

    fn relay_answers(&mut self, key: &str, m: &Message, out: &mut Out) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        let (status, invite) = (m.status(), m.method() == "INVITE");
        let accepts = invite && (200..300).contains(&status);
        let swallowed = matches!(relay.treatment, Treatment::Swallow(..));
        // RFC 3261 §16.7: a 2xx to an INVITE always goes on, and so does its copy.
        if swallowed || (relay.answered || relay.closed) && !accepts {
            return;
        }
        let answer = text::answer_upward(m, invite, self.door);
        relay.closed |= status >= 200;
        relay.answered |= status >= 200;
        relay.answer = Some(answer.clone());
        let branch = relay.request.branch().to_owned();
        if invite && status >= 300 {
            self.repeat_until_ack(branch, answer.clone(), out);
        }
        out.push(Action::Send(answer));
    }

    /// A refusal of an INVITE goes hop by hop.
    fn repeat_until_ack(&mut self, branch: String, answer: String, out: &mut Out) {
        self.unacknowledged.insert(branch.clone(), answer);
        self.alarm_in(T1, Alarm::Repeat(branch, T1, T1), out);
    }

    fn repeat(&mut self, branch: String, interval: Duration, passed: Duration, out: &mut Out) {
        let Some(answer) = self.unacknowledged.get(&branch).cloned() else { return };
        if passed >= LIFE {
            self.unacknowledged.remove(&branch);
            return;
        }
        out.push(Action::Send(answer));
        let next = (interval * 2).min(T2);
        self.alarm_in(next, Alarm::Repeat(branch, next, passed + next), out);
    }

    /// CANCEL goes hop by hop.
    fn cancelled(&mut self, m: &Message, out: &mut Out) {
        let invite = format!("{} INVITE", m.branch());
        if self.forks.contains_key(m.branch()) {
            out.push(Action::Send(text::own_answer(m, 200)));
            return self.cancel_fork(m.branch(), out);
        }
        let Some(relay) = self.relays.get(&invite) else {
            return out.push(Action::Send(text::own_answer(m, 481)));
        };
        out.push(Action::Send(text::own_answer(m, 200)));
        let (house, request) = (relay.house, Rc::clone(&relay.request));
        match relay.treatment {
            Treatment::Pass if !relay.answered => self.pass_down(house, m, out),
            Treatment::Lose(..) => self.answer_487(&invite, &request, out),
            _ => {}
        }
    }

    fn answer_487(&mut self, key: &str, request: &Message, out: &mut Out) {
        let Some(relay) = self.relays.get_mut(key).filter(|relay| !relay.answered) else { return };
        let answer = text::own_answer(request, 487);
        (relay.answer, relay.answered) = (Some(answer.clone()), true);
        self.repeat_until_ack(request.branch().to_owned(), answer.clone(), out);
        out.push(Action::Send(answer));
    }

    fn acknowledged(&mut self, m: &Message, out: &mut Out) {
        let invite = format!("{} INVITE", m.branch());
        if self.forks.contains_key(m.branch()) || self.relays.contains_key(&invite) {
            // Of a refusal: it has the branch of its INVITE.
            self.unacknowledged.remove(m.branch());
        } else if let Some(house) = self.house_of(m.uri()) {
            self.pass_down(house, m, out);
        }
    }

    fn alarmed(&mut self, alarm: u64, out: &mut Out) {
        match self.alarms.remove(&alarm) {
            None => {}
            Some(Alarm::Answer(key, status)) => self.answer_itself(&key, status, out),
            Some(Alarm::Release(key)) => {
                let Some(relay) = self.relays.get(&key) else { return };
                let (house, request) = (relay.house, Rc::clone(&relay.request));
                self.met(Draw::CopyAfterGiveUp);
                self.pass_down(house, &request, out);
            }
            Some(Alarm::Repeat(branch, interval, passed)) => self.repeat(branch, interval, passed, out),
            Some(Alarm::RefuseCall(branch, status)) => self.refuses(&branch, status, out),
            Some(Alarm::Impatient(branch, place)) => self.is_impatient(&branch, place, out),
        }
    }
}

impl Actor for Proxy {
    fn message(&mut self, at: Time, message: &Message, out: &mut Out) {
        self.now = at;
        if !message.is_request() {
            // To what a house asked.
            if let Some(Branch { house, .. }) = Branch::read(message.branch()) {
                self.give_house(house, &text::without_first_via(&message.text), out);
            }
            return;
        }
        match message.method() {
            "ACK" => self.acknowledged(message, out),
            "CANCEL" => self.cancelled(message, out),
            "INVITE" if message.to_tag().is_empty() => self.new_call(message, out),
            _ => self.relay(message, out),
        }
    }

    fn alarm(&mut self, at: Time, alarm: u64, out: &mut Out) {
        self.now = at;
        if alarm >= MAIL {
            let to = self.ledger.borrow().addressee(alarm);
            let named = |to: SocketAddr| self.houses.iter().position(|(address, _)| *address == to);
            let house = to.and_then(named).unwrap_or(0);
            return self.with_house(house, |party, at, told| party.alarm(at, alarm, told), out);
        }
        match (alarm / HOUSES) as usize {
            0 => self.alarmed(alarm, out),
            house => {
                self.with_house(house - 1, |party, at, told| party.alarm(at, alarm % HOUSES, told), out);
            }
        }
    }
}

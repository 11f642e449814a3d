//! The two houses of the simulator: the PBX (caller's side, receiver of REFERs, target of fallbacks) and the agent. What
//! they do is drawn by lot, within what real ones have been seen to do.

use super::common::message::Message;
use super::common::peer::sdp;
use super::common::{Action, Actor, ms};
use super::ua::{Dialog, News, Ua, Wake};
use baton::sip::Time;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What really happened, for comparison with what Baton tells.
#[derive(Default)]
pub struct Ledger {
    /// Call-IDs of caller legs whose PBX sent a final 2xx NOTIFY.
    pub reported: HashSet<String>,
    /// Call-IDs of INVITEs of Baton that the PBX answered 2xx as a target.
    pub targets: HashSet<String>,
    /// Call-IDs of caller legs in which the PBX answered a BYE with 2xx.
    pub byes: HashSet<String>,
    /// Numbers of calls that were begun.
    pub calls: usize,
}

/// Which house.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum House {
    Pbx,
    Agent,
}

/// What comes later.
#[derive(Clone)]
pub enum Later {
    Call,
    Cancel(String),
    Bye(String),
    Answer(String),
    Refuse(String, u16),
    Reinvite(String),
    Info(String),
    Refer(String),
    Farewell(String),
    Reply(Rc<Message>, u16),
    Notify(String, u32, Report),
}

/// What a NOTIFY of the PBX says.
#[derive(Clone, Copy)]
pub enum Report {
    Provisional(u16),
    Final(u16),
    Nothing,
}

/// See the module.
pub struct Party {
    house: House,
    ua: Ua<Later>,
    dialogs: HashMap<String, Dialog>,
    invites: HashMap<String, Rc<Message>>,
    ledger: Rc<RefCell<Ledger>>,
    /// Of 100 requests that this party never answers.
    deaf: u64,
    version: u64,
}

type Out = Vec<Action>;

impl Party {
    pub fn new(house: House, address: &str, seed: u64, ledger: Rc<RefCell<Ledger>>) -> Party {
        let address: SocketAddr = address.parse().expect("an address");
        let name = if house == House::Pbx { "pbx" } else { "agent" };
        Party {
            house,
            ua: Ua::new(name, address, seed),
            dialogs: HashMap::new(),
            invites: HashMap::new(),
            ledger,
            deaf: 2,
            version: 1,
        }
    }

    /// The number of the alarm that makes the PBX call. The world sets it from outside.
    pub const CALL: u64 = u64::MAX;

    fn pause(&mut self, most: u64) -> Duration {
        // Most things happen at once; some take their time.
        match self.ua.random.below(4) {
            0 => Duration::ZERO,
            1 => ms(self.ua.random.below(20)),
            _ => ms(self.ua.random.below(most.max(1))),
        }
    }

    fn description(&mut self) -> String {
        if self.ua.random.chance(40) {
            self.version += 1;
        }
        sdp(self.ua.name, self.version)
    }

    fn call(&mut self, out: &mut Out) {
        let (call_id, tag) = (self.ua.fresh("sim-"), self.ua.fresh("t"));
        let dialog = Dialog {
            call_id: call_id.clone(),
            local: format!("<sip:+14155550199@pbx.example.com>;tag={tag}"),
            remote: "<sip:+14155550100@192.0.2.10>".to_owned(),
            target: "sip:+14155550100@192.0.2.10".to_owned(),
            cseq: 1,
            heard: 0,
            up: false,
            over: false,
        };
        let via = self.ua.via();
        let body = if self.ua.random.chance(8) { String::new() } else { self.description() };
        let kind = if body.is_empty() { "" } else { "application/sdp" };
        let text = dialog.write("INVITE", 1, &via, &self.ua.contact(), "", kind, &body);
        self.ledger.borrow_mut().calls += 1;
        if let Ok(invite) = Message::parse(text.as_bytes()) {
            self.invites.insert(call_id.clone(), Rc::new(invite));
        }
        self.dialogs.insert(call_id.clone(), dialog);
        self.ua.request(text, out);
        if self.ua.random.chance(8) {
            let after = self.pause(6000);
            self.ua.wake(after, Later::Cancel(call_id.clone()), out);
        }
        // Nobody talks for ever.
        let most = if self.ua.random.chance(25) { 20_000 } else { 400_000 };
        let after = ms(2_000 + self.ua.random.below(most));
        self.ua.wake(after, Later::Bye(call_id), out);
    }

    /// A request in a dialog that is up.
    fn inside(
        &mut self,
        call_id: &str,
        method: &str,
        head: &str,
        kind: &str,
        body: &str,
        out: &mut Out,
    ) -> Option<u32> {
        let via = self.ua.via();
        let contact = self.ua.contact();
        let dialog = self.dialogs.get_mut(call_id).filter(|d| d.up && !d.over)?;
        dialog.cseq += 1;
        let text = dialog.write(method, dialog.cseq, &via, &contact, head, kind, body);
        let cseq = dialog.cseq;
        if method == "BYE" {
            dialog.over = true;
        }
        self.ua.request(text, out);
        Some(cseq)
    }

    fn respond(&mut self, request: &Message, status: u16, out: &mut Out) {
        let tag = self.dialogs.get(request.call_id()).map(Dialog::tag).unwrap_or_else(|| "stray".to_owned());
        let contact = self.ua.contact();
        let offered = request.has_sdp() || request.method() == "INVITE";
        let body = if (200..300).contains(&status) && offered { self.description() } else { String::new() };
        self.ua.respond(request, status, &tag, &[("Contact", &contact)], &body, out);
        let done = request.method() == "INVITE" && (200..300).contains(&status);
        let call_id = request.call_id().to_owned();
        if done && request.to_tag().is_empty() {
            self.ready(&call_id, out);
        }
    }

    /// Our 2xx made the dialog.
    fn ready(&mut self, call_id: &str, out: &mut Out) {
        if let Some(dialog) = self.dialogs.get_mut(call_id) {
            dialog.up = true;
        }
        match self.house {
            House::Pbx => {
                self.ledger.borrow_mut().targets.insert(call_id.to_owned());
            }
            House::Agent => {
                if self.ua.random.chance(55) {
                    let after = self.pause(20_000);
                    self.ua.wake(after, Later::Refer(call_id.to_owned()), out);
                } else if self.ua.random.chance(40) {
                    let after = self.pause(30_000);
                    self.ua.wake(after, Later::Farewell(call_id.to_owned()), out);
                }
            }
        }
        self.small_talk(call_id, out);
    }

    fn small_talk(&mut self, call_id: &str, out: &mut Out) {
        if self.ua.random.chance(15) {
            let after = self.pause(10_000);
            self.ua.wake(after, Later::Reinvite(call_id.to_owned()), out);
        }
        if self.ua.random.chance(15) {
            let after = self.pause(10_000);
            self.ua.wake(after, Later::Info(call_id.to_owned()), out);
        }
    }

    // -- requests of Baton

    fn requested(&mut self, m: &Message, out: &mut Out) {
        let call_id = m.call_id().to_owned();
        match m.method() {
            "ACK" => {}
            "CANCEL" => self.cancelled(m, out),
            "INVITE" if m.to_tag().is_empty() => self.invited(m, out),
            method => {
                let Some(dialog) = self.dialogs.get_mut(&call_id) else { return self.respond(m, 481, out) };
                if m.cseq().0 <= dialog.heard {
                    return self.respond(m, 500, out);
                }
                dialog.heard = m.cseq().0;
                let over = dialog.over;
                if method == "BYE" {
                    dialog.over = true;
                    if over && self.ua.random.chance(50) {
                        return self.respond(m, 481, out);
                    }
                    self.ledger.borrow_mut().byes.insert(call_id);
                    return self.respond(m, 200, out);
                }
                if over {
                    return self.respond(m, 481, out);
                }
                if self.ua.random.chance(self.deaf) {
                    return;
                }
                self.answer_inside(m, out);
            }
        }
    }

    fn answer_inside(&mut self, m: &Message, out: &mut Out) {
        let status = match m.method() {
            "REFER" => return self.referred(m, out),
            "INVITE" => self.ua.random.pick(&[200, 200, 200, 488, 491, 200, 200, 500]),
            "OPTIONS" => self.ua.random.pick(&[200, 200, 200, 200, 200, 200, 200, 481]),
            "NOTIFY" => self.ua.random.pick(&[200, 200, 200, 200, 200, 481]),
            _ => 200,
        };
        let after = self.pause(300);
        self.ua.wake(after, Later::Reply(Rc::new(m.clone()), status), out);
    }

    fn invited(&mut self, m: &Message, out: &mut Out) {
        let call_id = m.call_id().to_owned();
        let tag = self.ua.fresh("t");
        let known = self.dialogs.get(&call_id).map(Dialog::tag);
        self.dialogs.insert(call_id.clone(), Dialog::called(m, known.as_deref().unwrap_or(&tag)));
        self.invites.insert(call_id.clone(), Rc::new(m.clone()));
        let (ring, what) = match self.ua.random.below(20) {
            0 => (true, Later::Refuse(call_id.clone(), self.ua.random.pick(&[486, 503, 404, 603, 500]))),
            1 => (false, Later::Refuse(call_id.clone(), self.ua.random.pick(&[486, 503, 480]))),
            2 if self.house == House::Agent => (false, Later::Refuse(call_id.clone(), 302)),
            3 => return,
            _ => (self.ua.random.chance(50), Later::Answer(call_id.clone())),
        };
        if ring {
            let (tag, contact) = (self.dialogs[&call_id].tag(), self.ua.contact());
            let early = if self.ua.random.chance(30) { self.description() } else { String::new() };
            let status = if early.is_empty() { 180 } else { 183 };
            self.ua.respond(m, status, &tag, &[("Contact", &contact)], &early, out);
        }
        let most = if self.ua.random.chance(5) { 40_000 } else { 3_000 };
        let after = self.pause(most);
        self.ua.wake(after, what, out);
    }

    fn cancelled(&mut self, m: &Message, out: &mut Out) {
        self.respond(m, 200, out);
        let call_id = m.call_id().to_owned();
        let open = self.dialogs.get(&call_id).is_some_and(|d| !d.up && !d.over);
        // Sometimes the answer was quicker.
        if open && !self.ua.random.chance(10) {
            self.refuse(&call_id, 487, out);
        }
    }

    fn refuse(&mut self, call_id: &str, status: u16, out: &mut Out) {
        let Some(dialog) = self.dialogs.get_mut(call_id).filter(|d| !d.up && !d.over) else { return };
        dialog.over = true;
        let tag = dialog.tag();
        let Some(invite) = self.invites.get(call_id).cloned() else { return };
        let to =
            self.ua.random.pick(&["<sip:front-desk@baton>", "<sip:back@baton>", "<sip:nobody@elsewhere>"]);
        let headers: &[(&str, &str)] = if status == 302 { &[("Contact", to)] } else { &[] };
        self.ua.respond(&invite, status, &tag, headers, "", out);
    }

    fn referred(&mut self, m: &Message, out: &mut Out) {
        let (call_id, cseq) = (m.call_id().to_owned(), m.cseq().0);
        let refer = Rc::new(m.clone());
        let after = self.pause(1500);
        let status = match self.ua.random.below(20) {
            0..=2 => self.ua.random.pick(&[403, 405, 501, 603, 404, 500, 503, 429]),
            3 => 491,
            4 => 481,
            // Nothing is ever said.
            5 => return,
            6 => {
                // Late.
                let late = ms(7_000 + self.ua.random.below(4_000));
                self.ua.wake(late, Later::Reply(refer, 202), out);
                let later = ms(self.ua.random.below(20_000));
                return self.ua.wake(later, Later::Notify(call_id, cseq, Report::Final(200)), out);
            }
            _ => 202,
        };
        self.ua.wake(after, Later::Reply(refer, status), out);
        if status != 202 {
            return;
        }
        let mut at = match self.ua.random.below(5) {
            // Before the 202.
            0 => Duration::ZERO,
            1 => after,
            _ => after + self.pause(3000),
        };
        for _ in 0..self.ua.random.below(3) {
            let status = self.ua.random.pick(&[100, 180, 183]);
            self.ua.wake(at, Later::Notify(call_id.clone(), cseq, Report::Provisional(status)), out);
            at += self.pause(8_000);
        }
        let report = match self.ua.random.below(12) {
            0..=5 => Report::Final(200),
            6 => Report::Final(486),
            7 => Report::Final(self.ua.random.pick(&[603, 404, 487, 500, 480, 503])),
            8 => Report::Nothing,
            9 => return,
            _ => Report::Final(200),
        };
        self.ua.wake(at, Later::Notify(call_id.clone(), cseq, report), out);
        if self.ua.random.chance(20) {
            // The peer hangs up somewhere near it.
            let near = ms(self.ua.random.below(1200));
            let bye = if self.ua.random.chance(50) { at + near } else { at.saturating_sub(near) };
            self.ua.wake(bye, Later::Bye(call_id), out);
        }
    }

    // -- responses of Baton

    fn responded(&mut self, m: &Message, out: &mut Out) {
        if m.method() == "CANCEL" && m.status() == 481 {
            // There is no such call (any more).
            if let Some(dialog) = self.dialogs.get_mut(m.call_id()).filter(|d| !d.up) {
                dialog.over = true;
            }
        }
        if m.method() != "INVITE" || m.status() < 200 {
            return;
        }
        let call_id = m.call_id().to_owned();
        let via = self.ua.via();
        let contact = self.ua.contact();
        let Some(dialog) = self.dialogs.get_mut(&call_id) else { return };
        let cseq = m.cseq().0;
        if m.status() >= 300 {
            let first = cseq == 1;
            let Some(invite) = self.invites.get(&call_id) else { return };
            let via = m.find("Via").unwrap_or_default();
            let uri = if first { invite.uri().to_owned() } else { dialog.target.clone() };
            let text = format!(
                "ACK {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n",
                m.find("From").unwrap_or_default(),
                m.find("To").unwrap_or_default()
            );
            if first && !dialog.up {
                dialog.over = true;
            }
            return self.ua.ack(m, text, out);
        }
        let first = !dialog.up;
        if first {
            dialog.remote = m.find("To").unwrap_or_default().to_owned();
        }
        if let Some(contact) = m.contact() {
            dialog.target = contact.to_owned();
        }
        dialog.up = true;
        let invite = self.invites.get(&call_id).filter(|i| i.cseq().0 == cseq);
        let late = invite.is_some_and(|i| !i.has_sdp());
        let dead = self.ua.random.chance(1);
        let body = if late { sdp(self.ua.name, self.version) } else { String::new() };
        let kind = if late { "application/sdp" } else { "" };
        let Some(dialog) = self.dialogs.get(&call_id) else { return };
        let text = dialog.write("ACK", cseq, &via, &contact, "", kind, &body);
        if dead {
            return;
        }
        self.ua.ack(m, text, out);
        if first && cseq == 1 {
            self.small_talk(&call_id, out);
        }
    }

    fn later(&mut self, what: Later, out: &mut Out) {
        match what {
            Later::Call => self.call(out),
            Later::Cancel(call_id) => self.cancel(&call_id, out),
            Later::Bye(call_id) => {
                let up = self.dialogs.get(&call_id).is_some_and(|d| d.up || d.over);
                if up {
                    self.inside(&call_id, "BYE", "", "", "", out);
                } else if self.dialogs.contains_key(&call_id) {
                    self.cancel(&call_id, out);
                    // The answer may have been quicker.
                    self.ua.wake(ms(5_000), Later::Bye(call_id), out);
                }
            }
            Later::Answer(call_id) => {
                let open = self.dialogs.get(&call_id).is_some_and(|d| !d.up && !d.over);
                if let (true, Some(invite)) = (open, self.invites.get(&call_id).cloned()) {
                    self.respond(&invite, 200, out);
                }
            }
            Later::Refuse(call_id, status) => self.refuse(&call_id, status, out),
            Later::Reinvite(call_id) => {
                let body = self.description();
                self.inside(&call_id, "INVITE", "", "application/sdp", &body, out);
            }
            Later::Info(call_id) => {
                self.inside(&call_id, "INFO", "", "application/dtmf-relay", "Signal=5\r\n", out);
            }
            Later::Refer(call_id) => {
                let to = self.ua.random.pick(&[
                    "front-desk",
                    "hangup-on-failure",
                    "bye-on-failure",
                    "back",
                    "nobody",
                ]);
                let quiet = if self.ua.random.chance(10) { "Refer-Sub: false\r\n" } else { "" };
                let head = format!("Refer-To: <sip:{to}@baton>\r\nX-Ticket: 7\r\n{quiet}");
                self.inside(&call_id, "REFER", &head, "", "", out);
                if self.ua.random.chance(15) {
                    let after = self.pause(200);
                    self.ua.wake(after, Later::Bye(call_id), out);
                }
            }
            Later::Farewell(call_id) => {
                let head = self.ua.random.pick(&[
                    "",
                    "X-Handoff: front-desk\r\n",
                    "X-Handoff: back\r\n",
                    "X-Handoff: nobody\r\n",
                    "Reason: SIP;cause=503;text=\"overload\"\r\n",
                ]);
                self.inside(&call_id, "BYE", head, "", "", out);
            }
            Later::Reply(request, status) => self.respond(&request, status, out),
            Later::Notify(call_id, cseq, report) => self.notify(&call_id, cseq, report, out),
        }
    }

    fn cancel(&mut self, call_id: &str, out: &mut Out) {
        let open = self.dialogs.get(call_id).is_some_and(|d| !d.up && !d.over);
        let Some(invite) = self.invites.get(call_id).filter(|_| open) else { return };
        let text = format!(
            "CANCEL {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: {} CANCEL\r\nContent-Length: 0\r\n\r\n",
            invite.uri(),
            invite.find("Via").unwrap_or_default(),
            invite.find("From").unwrap_or_default(),
            invite.find("To").unwrap_or_default(),
            invite.cseq().0
        );
        self.ua.request(text, out);
    }

    fn notify(&mut self, call_id: &str, refer: u32, report: Report, out: &mut Out) {
        let (state, body) = match report {
            Report::Provisional(status) => ("active;expires=60", format!("SIP/2.0 {status} Going\r\n")),
            Report::Final(status) => ("terminated;reason=noresource", format!("SIP/2.0 {status} Done\r\n")),
            Report::Nothing => ("terminated;reason=timeout", String::new()),
        };
        if matches!(report, Report::Final(200)) && self.dialogs.contains_key(call_id) {
            self.ledger.borrow_mut().reported.insert(call_id.to_owned());
        }
        let id = if self.ua.random.chance(50) { format!(";id={refer}") } else { String::new() };
        let head = format!("Event: refer{id}\r\nSubscription-State: {state}\r\n");
        let kind = if body.is_empty() { "" } else { "message/sipfrag" };
        // A NOTIFY may come after the BYE.
        let over = self.dialogs.get_mut(call_id).map(|d| std::mem::replace(&mut d.over, false));
        self.inside(call_id, "NOTIFY", &head, kind, &body, out);
        if let (Some(dialog), Some(over)) = (self.dialogs.get_mut(call_id), over) {
            dialog.over = over;
        }
    }
}

impl Actor for Party {
    fn message(&mut self, _at: Time, message: &Message, out: &mut Out) {
        match self.ua.handle(message, out) {
            News::Request => self.requested(message, out),
            News::Response => self.responded(message, out),
            News::Nothing => {}
        }
    }

    fn alarm(&mut self, _at: Time, alarm: u64, out: &mut Out) {
        if alarm == Party::CALL {
            return self.later(Later::Call, out);
        }
        match self.ua.alarmed(alarm, out) {
            Wake::Own(what) => self.later(what, out),
            Wake::Timeout { method, call_id } => {
                if method != "NOTIFY"
                    && method != "INFO"
                    && let Some(dialog) = self.dialogs.get_mut(&call_id)
                {
                    dialog.over = true;
                }
            }
            Wake::Nothing => {}
        }
    }
}

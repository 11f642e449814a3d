//! A house calls: the INVITE, its early dialogs, its CANCEL, its answer.

use super::super::common::message::Message;
use super::super::common::ms;
use super::super::session::Offer;
use super::{ALLOW, Dialog, Later, Out, Party, Place, SDP, Stage, Way};
use std::rc::Rc;

/// One early dialog of a call of ours (RFC 3261 §12.1.2). Each counts on from the INVITE by itself.
#[derive(Clone, Debug)]
pub(super) struct Early {
    pub(super) tag: String,
    remote: String,
    target: String,
    cseq: u32,
    rseq: u32,
    /// The answer that came in it.
    answer: Option<String>,
    /// An UPDATE of Baton changed it.
    pub(super) updated: bool,
}

impl Party {
    pub(super) fn call(&mut self, out: &mut Out) {
        let (call_id, tag) = (self.ua.fresh("sim-"), self.ua.fresh("t"));
        let late = self.chance(8);
        let reliable = if late { 2 } else { 15 };
        let mut head = format!("X-Sim-Call: {call_id}\r\n");
        head.push_str(if self.chance(60) { ALLOW } else { "" });
        head.push_str(match self.ua.random.below(100) {
            below if below < reliable => "Require: 100rel\r\n",
            below if below < 30 => "Supported: 100rel\r\n",
            _ => "",
        });
        if let Some(name) = self.manners.asterisk {
            head.push_str(&format!("User-Agent: {name}\r\n"));
        }
        let timer = self.chance(15).then(|| self.ua.random.pick(&[90, 90, 120, 300, 60]));
        if let Some(seconds) = timer {
            let refresher = self.ua.random.pick(&["", ";refresher=uac", ";refresher=uas"]);
            head.push_str(&format!("Supported: timer\r\nSession-Expires: {seconds}{refresher}\r\n"));
        }
        let session = self.ledger().open(self.ua.name, &call_id);
        let via = self.ua.via();
        let number = "sip:+14155550100@192.0.2.10";
        let mut dialog = Dialog {
            call_id: call_id.clone(),
            local: format!("<sip:+14155550199@pbx.example.com>;tag={tag}"),
            tag,
            remote: format!("<{number}>"),
            target: number.to_owned(),
            cseq: 1,
            ours: true,
            asking: Some(1),
            timer,
            ..Dialog::new(session)
        };
        let contact = self.ua.contact();
        let video = self.chance(15);
        let body = if late { String::new() } else { self.offer(session, video) };
        if let Offer::Ours(offer) = &self.ledger().sessions[session].offer {
            dialog.offered = Some(offer.clone());
        }
        let kind = if late { "" } else { SDP };
        let text = dialog.write("INVITE", 1, (&via, &contact), &head, (kind, &body));
        if let Ok(invite) = Message::parse(text.as_bytes()) {
            dialog.invite = Some(Rc::new(invite));
        }
        let place = self.add(dialog);
        self.ua.request(text, out);
        if self.chance(8) {
            let after = self.pause(6000);
            self.ua.wake(after, Later::Cancel(place), out);
        }
        // Nobody talks for ever.
        let most = if self.chance(self.mood.fickle) { 20_000 } else { 400_000 };
        let after = ms(2_000 + self.ua.random.below(most));
        self.ua.wake(after, Later::Bye(place, String::new()), out);
    }

    pub(super) fn cancel(&mut self, place: Place, out: &mut Out) {
        let dialog = &self.dialogs[place];
        let open = dialog.stage == Stage::Early && dialog.ours;
        let Some(invite) = dialog.invite.clone().filter(|_| open) else { return };
        if !dialog.rang {
            // RFC 3261 §9.1: not before a provisional response.
            return self.ua.wake(ms(300), Later::Cancel(place), out);
        }
        if std::mem::replace(&mut self.dialogs[place].cancelled, true) {
            return;
        }
        self.ua.request(cancel_text(&invite), out);
        self.ua.wake(ms(32_000), Later::Cancelled(place), out);
    }

    /// RFC 3261 §9.1: what has no final response in 64*T1 is over all the same. Its stream may have broken.
    pub(super) fn cancelled_in_vain(&mut self, place: Place) {
        if self.dialogs[place].stage == Stage::Early {
            self.end(place);
        }
    }

    // -- responses to it

    pub(super) fn on_ringing(&mut self, place: Place, m: &Message, out: &mut Out) {
        self.dialogs[place].rang = true;
        if m.status() == 100 || m.to_tag().is_empty() {
            return;
        }
        let rseq = m.find("RSeq").and_then(|value| value.parse::<u32>().ok());
        let reliable = m.find("Require").is_some_and(|value| value.contains("100rel"));
        let (Some(rseq), true) = (rseq, reliable) else { return };
        let invite_cseq = m.cseq().0;
        let dialog = &mut self.dialogs[place];
        let known = dialog.earlies.iter().position(|early| early.tag == m.to_tag());
        let at = known.unwrap_or_else(|| {
            dialog.earlies.push(Early {
                tag: m.to_tag().to_owned(),
                remote: m.find("To").unwrap_or_default().to_owned(),
                target: m.contact().unwrap_or_default().to_owned(),
                cseq: invite_cseq,
                rseq: rseq - 1,
                answer: None,
                updated: false,
            });
            dialog.earlies.len() - 1
        });
        let early = &mut dialog.earlies[at];
        if rseq != early.rseq + 1 && known.is_some() {
            return;
        }
        early.rseq = rseq;
        if m.has_sdp() && early.answer.is_none() {
            early.answer = Some(m.body.clone());
            if at == 0 {
                self.session(place).take_answer(&m.body);
            }
        }
        if self.chance(3) {
            return;
        }
        let after = if self.chance(25) { self.pause(3_000) } else { self.pause(50) };
        self.ua.wake(after, Later::Prack(place, rseq, at), out);
    }

    pub(super) fn prack(&mut self, place: Place, rseq: u32, at: usize, out: &mut Out) {
        let via = self.ua.via();
        let contact = self.ua.contact();
        let dialog = &mut self.dialogs[place];
        if dialog.stage != Stage::Early {
            return;
        }
        let number = dialog.invite.as_ref().map_or(1, |invite| invite.cseq().0);
        let head = format!("RAck: {rseq} {number} INVITE\r\n");
        let text = dialog.within(at, "PRACK", (&via, &contact), &head, ("", ""));
        self.ua.request(text, out);
        // A session that is agreed on can be changed at once.
        if at == 0 && self.dialogs[place].earlies[0].answer.is_some() && self.chance(25) {
            let after = self.pause(500);
            self.ua.wake(after, Later::Offer(place, Way::Update), out);
        }
    }

    /// UPDATE before the answer, in the only early dialog.
    pub(super) fn update_early(&mut self, place: Place, out: &mut Out) {
        let dialog = &self.dialogs[place];
        let agreed = dialog.earlies.len() == 1 && dialog.earlies[0].answer.is_some();
        if !agreed || dialog.updating.is_some() || !self.session(place).is_idle() {
            return;
        }
        let body = self.offer(self.dialogs[place].session, false);
        let (via, contact) = (self.ua.via(), self.ua.contact());
        let dialog = &mut self.dialogs[place];
        let text = dialog.within(0, "UPDATE", (&via, &contact), ALLOW, (SDP, &body));
        dialog.updating = Some(dialog.earlies[0].cseq);
        self.ua.request(text, out);
    }

    pub(super) fn on_refused(&mut self, place: Place, m: &Message, out: &mut Out) {
        let Some(invite) = self.dialogs[place].invite.clone() else { return };
        self.ua.ack(m, ack_of_refusal(m, invite.uri()), out);
        self.session(place).refuse();
        self.dialogs[place].asking = None;
        if self.dialogs[place].stage == Stage::Early {
            self.end(place);
        }
    }

    pub(super) fn on_accepted(&mut self, place: Place, m: &Message, out: &mut Out) {
        let dialog = &mut self.dialogs[place];
        (dialog.stage, dialog.asking) = (Stage::Up, None);
        let tells = self.manners.asterisk.is_some();
        self.ledger.borrow_mut().calls(self.now, &dialog.call_id, tells);
        dialog.remote = m.find("To").unwrap_or_default().to_owned();
        if let Some(contact) = m.contact() {
            dialog.target = contact.to_owned();
        }
        let early = dialog.earlies.iter().position(|early| early.tag == m.to_tag());
        if let Some(at) = early {
            dialog.cseq = dialog.cseq.max(dialog.earlies[at].cseq);
        }
        let late = dialog.offered.is_none();
        let told = early.and_then(|at| dialog.earlies[at].answer.clone());
        // What was agreed on in the branch since is what stands.
        let updated = early.is_some_and(|at| dialog.earlies[at].updated);
        if late {
            self.session(place).take_offer(&m.body);
        } else if (early != Some(0) || told.is_none()) && !updated {
            // The answer of another branch than the one that the session was agreed on with, if it was.
            let offered = self.dialogs[place].offered.clone().unwrap_or_default();
            self.dialogs[place].updating = None;
            let answer = told.unwrap_or_else(|| m.body.clone());
            self.session(place).offer = Offer::Ours(offered);
            self.session(place).take_answer(&answer);
        }
        self.note_timer(place, m, true, out);
        let body = if late { self.answer(self.dialogs[place].session) } else { String::new() };
        if self.chance(1) {
            // It is never acknowledged.
            return;
        }
        self.acknowledge(place, m, &body, out);
        self.talk(place, out);
        if self.manners.mortal > 0 && self.chance(self.manners.mortal) {
            let after = ms(self.ua.random.below(120_000));
            self.ua.wake(after, Later::Dies(place), out);
        }
    }

    /// ACK of a 2xx.
    pub(super) fn acknowledge(&mut self, place: Place, m: &Message, body: &str, out: &mut Out) {
        let (via, contact) = (self.ua.via(), self.ua.contact());
        let kind = if body.is_empty() { "" } else { SDP };
        let text = self.dialogs[place].write("ACK", m.cseq().0, (&via, &contact), "", (kind, body));
        self.ua.ack(m, text, out);
    }
}

impl Dialog {
    pub(super) fn new(session: usize) -> Dialog {
        Dialog {
            call_id: String::new(),
            tag: String::new(),
            local: String::new(),
            remote: String::new(),
            target: String::new(),
            cseq: 0,
            heard: 0,
            stage: Stage::Early,
            invite: None,
            ours: false,
            rang: false,
            cancelled: false,
            earlies: Vec::new(),
            offered: None,
            asking: None,
            asked: None,
            unacked: None,
            updating: None,
            session,
            rseq: 0,
            unpracked: None,
            answer_waits: false,
            early_answer: None,
            reliably: false,
            timer: None,
            refreshing: false,
            stubborn: false,
            dead: false,
            glares: 0,
            refers: Vec::new(),
            untold: None,
            vacated: false,
            swapping: None,
        }
    }

    /// A request in an early dialog of a call of ours.
    fn within(
        &mut self,
        at: usize,
        method: &str,
        who: (&str, &str),
        head: &str,
        body: (&str, &str),
    ) -> String {
        let early = &mut self.earlies[at];
        early.cseq += 1;
        let (cseq, remote, target) = (early.cseq, early.remote.clone(), early.target.clone());
        let before =
            (std::mem::replace(&mut self.remote, remote), std::mem::replace(&mut self.target, target));
        let text = self.write(method, cseq, who, head, body);
        (self.remote, self.target) = before;
        text
    }
}

/// CANCEL of an INVITE.
pub fn cancel_text(invite: &Message) -> String {
    format!(
        "CANCEL {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} CANCEL\r\nContent-Length: 0\r\n\r\n",
        invite.uri(),
        invite.find("Via").unwrap_or_default(),
        invite.find("From").unwrap_or_default(),
        invite.find("To").unwrap_or_default(),
        invite.call_id(),
        invite.cseq().0
    )
}

/// ACK of a refusal, in the transaction of its INVITE.
pub fn ack_of_refusal(m: &Message, uri: &str) -> String {
    format!(
        "ACK {uri} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
        m.find("Via").unwrap_or_default(),
        m.find("From").unwrap_or_default(),
        m.find("To").unwrap_or_default(),
        m.call_id(),
        m.cseq().0
    )
}

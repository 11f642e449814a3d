//! A house is called by Baton: as an agent or as a target.

use super::super::common::message::Message;
use super::super::common::ms;
use super::super::models::Draw;
use super::super::session::Offer;
use super::{ALLOW, Dialog, House, Later, Out, Party, Place, Stage};
use std::rc::Rc;

/// What a call comes to.
enum Fate {
    Answer,
    Refuse(u16),
    RingForEver,
    Silence,
}

/// Contacts of a 3xx: of targets, of agents.
const ELSEWHERE: [&str; 5] = [
    "<sip:desk2@10.0.0.30>",
    "<sip:me2@10.0.0.31>",
    "<sip:evil@203.0.113.66>",
    "<sip:evil@203.0.113.66>;q=0.9, <sip:desk3@10.0.0.30>;q=0.2",
    "<tel:+19995550000>",
];

impl Party {
    fn fate(&mut self) -> Fate {
        if !self.chance(self.mood.refuses) {
            return Fate::Answer;
        }
        let statuses: &[u16] = match self.house {
            House::Agent => &[486, 503, 404, 603, 500, 480, 488, 302, 302, 422],
            House::Pbx | House::Target => {
                &[486, 486, 603, 480, 404, 488, 488, 606, 503, 302, 302, 302, 422, 500, 403]
            }
        };
        match self.ua.random.below(12) {
            0 => Fate::RingForEver,
            1 => Fate::Silence,
            _ => Fate::Refuse(self.ua.random.pick(statuses)),
        }
    }

    pub(super) fn invited(&mut self, m: &Message, out: &mut Out) {
        if self.challenged(None, m, out) {
            return;
        }
        let place = self.be_called(m);
        let fate = self.fate();
        if matches!(fate, Fate::Silence) {
            return;
        }
        let rings = self.ua.random.pick(&[0, 0, 1, 1, 1, 2, 3]);
        let mut at = self.pause(300);
        for _ in 0..rings {
            self.ua.wake(at, Later::Ring(place), out);
            at += self.pause(1_000);
        }
        let most = if self.chance(6) { 40_000 } else { 3_000 };
        at += self.pause(most);
        match fate {
            Fate::Answer => {
                self.ua.wake(at, Later::Answer(place), out);
                if self.house == House::Target && self.chance(8) {
                    let fork = self.be_called(m);
                    let rings = self.ua.random.pick(&[at, at / 2]);
                    self.ua.wake(rings, Later::Ring(fork), out);
                    let near = self.pause(300);
                    self.ua.wake(at + near, Later::Answer(fork), out);
                }
            }
            Fate::Refuse(status) => self.ua.wake(at, Later::Refuse(place, status), out),
            Fate::RingForEver => self.ua.wake(at, Later::Ring(place), out),
            Fate::Silence => {}
        }
    }

    /// A dialog for an INVITE: the first branch, or another one of a fork.
    fn be_called(&mut self, m: &Message) -> Place {
        let tag = self.ua.fresh("t");
        let session = self.ledger().open(self.ua.name, m.call_id());
        if m.has_sdp() {
            self.ledger().sessions[session].take_offer(&m.body);
        }
        let stubborn = self.chance(10);
        let dialog = Dialog {
            call_id: m.call_id().to_owned(),
            local: format!("{};tag={tag}", m.find("To").unwrap_or_default()),
            tag,
            remote: m.find("From").unwrap_or_default().to_owned(),
            target: m.contact().unwrap_or_default().to_owned(),
            cseq: 10,
            heard: m.cseq().0,
            invite: Some(Rc::new(m.clone())),
            stubborn,
            ..Dialog::new(session)
        };
        let place = self.add(dialog);
        self.open.entry(m.branch().to_owned()).or_default().push(place);
        place
    }

    /// 18x, perhaps with SDP, perhaps reliable.
    pub(super) fn ring(&mut self, place: Place, out: &mut Out) {
        let dialog = &self.dialogs[place];
        if dialog.stage != Stage::Early || dialog.unpracked.is_some() {
            return;
        }
        let Some(invite) = dialog.invite.clone() else { return };
        let asks = invite.list("Supported").iter().any(|option| option == "100rel");
        let told = dialog.early_answer.clone();
        let offered = matches!(self.session(place).offer, Offer::Theirs(_));
        let reliable = asks && self.chance(35);
        let sdp = match told {
            Some(told) if self.chance(60) => told,
            None if offered && self.chance(40) => {
                let text = self.answer(self.dialogs[place].session);
                self.dialogs[place].early_answer = Some(text.clone());
                text
            }
            _ => String::new(),
        };
        let status = if sdp.is_empty() { 180 } else { 183 };
        if !reliable {
            return self.reply_with(Some(place), &invite, status, &[], &sdp, out);
        }
        let dialog = &mut self.dialogs[place];
        dialog.rseq += 1;
        dialog.unpracked = Some(!sdp.is_empty());
        dialog.reliably |= !sdp.is_empty();
        let (rseq, tag) = (dialog.rseq, dialog.tag.clone());
        let (contact, number) = (self.ua.contact(), rseq.to_string());
        let allow = ALLOW.trim_start_matches("Allow: ").trim_end();
        let headers =
            [("Contact", contact.as_str()), ("Require", "100rel"), ("RSeq", &number), ("Allow", allow)];
        self.ua.respond_reliably(&invite, (status, rseq), &tag, &headers, &sdp, out);
    }

    pub(super) fn pracked(&mut self, place: Place, m: &Message, out: &mut Out) {
        let dialog = &mut self.dialogs[place];
        let number = dialog.invite.as_ref().map_or(0, |invite| invite.cseq().0);
        let wanted = format!("{} {number} INVITE", dialog.rseq);
        if m.find("RAck") != Some(&wanted) || dialog.unpracked.is_none() {
            return self.reply(Some(place), m, 481, out);
        }
        dialog.unpracked = None;
        let waits = std::mem::take(&mut dialog.answer_waits);
        let (call_id, tag, rseq) = (dialog.call_id.clone(), dialog.tag.clone(), dialog.rseq);
        self.ua.acknowledged(&call_id, number, &tag, rseq);
        self.reply(Some(place), m, 200, out);
        if waits {
            self.accept(place, out);
        } else if self.dialogs[place].reliably && self.chance(20) {
            let after = self.pause(300);
            self.ua.wake(after, Later::Offer(place, super::Way::Update), out);
        }
    }

    /// Our 2xx.
    pub(super) fn accept(&mut self, place: Place, out: &mut Out) {
        let dialog = &mut self.dialogs[place];
        if dialog.stage != Stage::Early {
            return;
        }
        match dialog.unpracked {
            // RFC 3262 §3: not while an answer is not acknowledged.
            Some(true) => {
                dialog.answer_waits = true;
                return;
            }
            Some(false) => {
                let number = dialog.invite.as_ref().map_or(0, |invite| invite.cseq().0);
                let (call_id, tag, rseq) = (dialog.call_id.clone(), dialog.tag.clone(), dialog.rseq);
                dialog.unpracked = None;
                self.ua.acknowledged(&call_id, number, &tag, rseq);
            }
            None => {}
        }
        let Some(invite) = self.dialogs[place].invite.clone() else { return };
        let sdp = self.words_of_acceptance(place, &invite);
        let expires = self.expiry(place, &invite, out);
        let allow = ALLOW.trim_start_matches("Allow: ").trim_end();
        let mut headers = Vec::new();
        if self.chance(70) {
            headers.push(("Allow", allow));
        }
        if let Some((value, required)) = &expires {
            headers.push(("Session-Expires", value.as_str()));
            headers.extend(required.then_some(("Require", "timer")));
        }
        let dialog = &mut self.dialogs[place];
        (dialog.stage, dialog.unacked) = (Stage::Up, Some(invite.cseq().0));
        self.open.remove(invite.branch());
        self.reply_with(Some(place), &invite, 200, &headers, &sdp, out);
        if self.chance(4) {
            // A provisional response that comes too late.
            let late = super::super::common::peer::reply_text(
                &invite,
                180,
                &self.dialogs[place].tag.clone(),
                &[("Contact", &self.ua.contact())],
                "",
            );
            out.push(super::Action::Send(late));
        }
        self.after_acceptance(place, out);
    }

    fn words_of_acceptance(&mut self, place: Place, invite: &Message) -> String {
        let session = self.dialogs[place].session;
        if !invite.has_sdp() {
            return self.offer(session, false);
        }
        let told = self.dialogs[place].early_answer.clone();
        match told {
            Some(_) if self.dialogs[place].reliably => String::new(),
            Some(told) => told,
            None if self.is_bare() => {
                self.met(Draw::BareAnswer);
                self.session(place).refuse();
                String::new()
            }
            None if self.house != House::Agent && self.chance(2) => {
                // Somebody who has nothing to say of the session.
                self.session(place).refuse();
                String::new()
            }
            None => self.answer(session),
        }
    }

    /// Whether the answer to an offer is left out of this 2xx.
    pub(super) fn is_bare(&mut self) -> bool {
        self.manners.bare > 0 && self.chance(self.manners.bare)
    }

    /// What happens to a call that was answered, before anything is heard of it.
    fn after_acceptance(&mut self, place: Place, out: &mut Out) {
        if self.house == House::Agent {
            return;
        }
        let after = if self.chance(self.mood.fickle / 2) {
            // It is near the join.
            self.pause(600)
        } else {
            ms(3_000 + self.ua.random.below(200_000))
        };
        self.ua.wake(after, Later::Bye(place, String::new()), out);
    }

    pub(super) fn cancelled(&mut self, m: &Message, out: &mut Out) {
        let Some(places) = self.open.get(m.branch()).cloned() else {
            return self.reply(None, m, 481, out);
        };
        let Some(&first) = places.first() else { return };
        self.reply(Some(first), m, 200, out);
        if self.dialogs[first].asked.is_some() {
            // A re-INVITE.
            if !self.dialogs[first].stubborn {
                self.decline(first, 487, out);
            }
            return;
        }
        if self.dialogs[first].stubborn {
            return;
        }
        if self.chance(10) {
            // The answer was quicker, or a refusal.
            return if self.chance(50) { self.accept(first, out) } else { self.refuse(first, 486, out) };
        }
        self.refuse(first, 487, out);
    }

    pub(super) fn refuse(&mut self, place: Place, status: u16, out: &mut Out) {
        if self.dialogs[place].stage != Stage::Early {
            return;
        }
        let Some(invite) = self.dialogs[place].invite.clone() else { return };
        for place in self.open.remove(invite.branch()).unwrap_or_default() {
            self.end(place);
            self.session(place).refuse();
            let dialog = &self.dialogs[place];
            let (call_id, tag, rseq) = (dialog.call_id.clone(), dialog.tag.clone(), dialog.rseq);
            self.ua.acknowledged(&call_id, invite.cseq().0, &tag, rseq);
        }
        let name = if self.names.borrow().is_empty() {
            "nobody".to_owned()
        } else {
            let names = self.names.borrow();
            names[self.ua.random.below(names.len() as u64) as usize].clone()
        };
        let house = self.house;
        let to = match house {
            House::Agent if self.chance(80) => format!("<sip:{name}@baton>"),
            House::Agent => "<sip:nobody@elsewhere>".to_owned(),
            House::Pbx | House::Target => self.ua.random.pick(&ELSEWHERE).to_owned(),
        };
        let least = self.ua.random.pick(&["90", "1800", "2400"]);
        let headers: &[(&str, &str)] = match status {
            300..=399 => &[("Contact", &to)],
            422 => &[("Min-SE", least)],
            _ => &[],
        };
        // The Contact of a refusal is not ours.
        let tag = self.dialogs[place].tag.clone();
        self.ua.respond(&invite, status, &tag, headers, "", out);
    }
}

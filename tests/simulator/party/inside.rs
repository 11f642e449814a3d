//! What is said inside a dialog, both ways: offers, small talk, goodbyes.

use super::super::common::message::{Message, parameter};
use super::super::common::ms;
use super::super::models::Draw;
use super::calling::{ack_of_refusal, cancel_text};
use super::{ALLOW, House, Later, Out, Party, Place, SDP, Stage, Way};
use std::rc::Rc;

// What Baton asks.
impl Party {
    pub(super) fn requested(&mut self, m: &Message, out: &mut Out) {
        match m.method() {
            "ACK" => return self.acked(m, out),
            "CANCEL" => return self.cancelled(m, out),
            "INVITE" if m.to_tag().is_empty() => return self.invited(m, out),
            _ => {}
        }
        let Some(place) = self.find(m.call_id(), m.to_tag()) else { return self.reply(None, m, 481, out) };
        let dialog = &mut self.dialogs[place];
        if dialog.dead {
            return;
        }
        let old = m.cseq().0 <= dialog.heard;
        if m.method() == "BYE" {
            return self.said_goodbye(place, m, out);
        }
        if old {
            return self.reply(Some(place), m, 500, out);
        }
        dialog.heard = m.cseq().0;
        if dialog.stage == Stage::Over {
            return self.reply(Some(place), m, 481, out);
        }
        if m.method() != "PRACK" && self.chance(self.mood.deaf) || self.is_mute(m.method()) {
            return;
        }
        if self.challenged(Some(place), m, out) {
            return;
        }
        self.answer_inside(place, m, out);
    }

    /// Whether it never answers that method. The transaction is not told either: not even a 100 comes.
    fn is_mute(&self, method: &str) -> bool {
        if !self.manners.mute.contains(&method) {
            return false;
        }
        match method {
            "OPTIONS" => self.met(Draw::MuteOptions),
            "INFO" => self.met(Draw::MuteInfo),
            "UPDATE" => self.met(Draw::MuteUpdate),
            _ => {}
        }
        true
    }

    fn said_goodbye(&mut self, place: Place, m: &Message, out: &mut Out) {
        if self.challenged(Some(place), m, out) {
            return;
        }
        let was = self.dialogs[place].stage;
        self.is_cut(place);
        self.dialogs[place].heard = self.dialogs[place].heard.max(m.cseq().0);
        self.end(place);
        self.decline(place, 487, out);
        if was == Stage::Over && self.chance(50) {
            return self.reply(Some(place), m, 481, out);
        }
        self.ledger().byes.insert(m.call_id().to_owned());
        self.reply(Some(place), m, 200, out);
    }

    fn answer_inside(&mut self, place: Place, m: &Message, out: &mut Out) {
        let contrary = self.chance(self.mood.contrary);
        let status = match m.method() {
            "REFER" => return self.referred(place, m, out),
            "INVITE" => return self.reoffered(place, m, contrary, out),
            "UPDATE" => return self.updated(place, m, contrary, out),
            "PRACK" => return self.pracked(place, m, out),
            "NOTIFY" if contrary => self.ua.random.pick(&[481, 491, 500]),
            "OPTIONS" | "INFO" if contrary && self.chance(30) => 481,
            "INFO" if contrary => 415,
            _ => 200,
        };
        if status == 481 {
            // It knows nothing of the dialog any more.
            self.end(place);
        }
        let after = self.pause(300);
        self.ua.wake(after, Later::Reply(place, Rc::new(m.clone()), status), out);
    }

    fn reoffered(&mut self, place: Place, m: &Message, contrary: bool, out: &mut Out) {
        let dialog = &self.dialogs[place];
        if dialog.asking.is_some()
            || dialog.updating.is_some()
            || dialog.unacked.is_some()
            || !self.session(place).is_idle()
        {
            let theirs = dialog.asked.is_some() || dialog.unacked.is_some();
            self.session(place).glares += 1;
            if theirs {
                // RFC 3261 §14.2.
                return self.reply_with(Some(place), m, 500, &[("Retry-After", "1")], "", out);
            }
            return self.reply(Some(place), m, 491, out);
        }
        let request = Rc::new(m.clone());
        self.dialogs[place].asked = Some(Rc::clone(&request));
        self.open.insert(m.branch().to_owned(), vec![place]);
        if m.has_sdp() {
            self.session(place).take_offer(&m.body);
        }
        if self.dialogs[place].vacated {
            return self.tells_that_nobody_is_here(place, &request, out);
        }
        let status = if contrary { self.ua.random.pick(&[488, 491, 491, 500, 481, 603]) } else { 200 };
        let most = if self.chance(5) { 40_000 } else { 400 };
        let after = self.pause(most);
        if self.house == House::Pbx && self.chance(3) {
            // The caller has had enough, just now.
            return self.ua.wake(after, Later::Bye(place, String::new()), out);
        }
        self.ua.wake(after, Later::Reply(place, request, status), out);
    }

    fn updated(&mut self, place: Place, m: &Message, contrary: bool, out: &mut Out) {
        let request = Rc::new(m.clone());
        if !m.has_sdp() {
            return self.ua.wake(ms(1), Later::Reply(place, request, 200), out);
        }
        let dialog = &self.dialogs[place];
        if dialog.asking.is_some() && dialog.stage == Stage::Up || !self.session(place).is_idle() {
            self.session(place).glares += 1;
            return self.reply(Some(place), m, 491, out);
        }
        self.session(place).take_offer(&m.body);
        let status = if contrary { self.ua.random.pick(&[488, 491, 500]) } else { 200 };
        let after = self.pause(100);
        self.ua.wake(after, Later::Reply(place, request, status), out);
    }

    pub(super) fn reply_late(&mut self, place: Place, request: &Message, status: u16, out: &mut Out) {
        match request.method() {
            "INVITE" => {
                let open = self.dialogs[place].asked.as_ref();
                if open.is_none_or(|open| open.branch() != request.branch()) {
                    return;
                }
                if status >= 300 {
                    self.decline(place, status, out);
                } else {
                    self.agree(place, request, out);
                }
            }
            "UPDATE" if request.has_sdp() => {
                if status >= 300 {
                    self.session(place).refuse();
                    self.session(place).refused += u32::from(status != 491);
                    return self.reply(Some(place), request, status, out);
                }
                if self.is_bare() {
                    return self.agree_to_nothing(place, request, out);
                }
                let sdp = self.answer(self.dialogs[place].session);
                let within = |early: &&mut super::calling::Early| early.tag == request.from_tag();
                if let Some(early) = self.dialogs[place].earlies.iter_mut().find(within) {
                    early.updated = true;
                }
                self.dress(place, request, status, &sdp, out);
            }
            _ if status < 300 => self.dress(place, request, status, "", out),
            _ => self.reply(Some(place), request, status, out),
        }
    }

    /// 2xx to a re-INVITE.
    pub(super) fn agree(&mut self, place: Place, request: &Message, out: &mut Out) {
        self.dialogs[place].asked = None;
        self.open.remove(request.branch());
        if request.has_sdp() && self.is_bare() {
            self.dialogs[place].unacked = Some(request.cseq().0);
            return self.agree_to_nothing(place, request, out);
        }
        let session = self.dialogs[place].session;
        let sdp = if request.has_sdp() { self.answer(session) } else { self.offer(session, false) };
        self.dialogs[place].unacked = Some(request.cseq().0);
        self.dress(place, request, 200, &sdp, out);
    }

    /// 2xx to an offer, and no answer in it: what stood stands.
    fn agree_to_nothing(&mut self, place: Place, request: &Message, out: &mut Out) {
        self.met(Draw::BareReanswer);
        self.session(place).unanswered();
        self.dress(place, request, 200, "", out);
    }

    /// 2xx with what Baton's request wants to hear.
    fn dress(&mut self, place: Place, request: &Message, status: u16, sdp: &str, out: &mut Out) {
        let mut headers = Vec::new();
        let expires = request.find("Session-Expires").unwrap_or_default().to_owned();
        let timed = matches!(request.method(), "INVITE" | "UPDATE") && self.dialogs[place].timer.is_some();
        if timed && !expires.is_empty() {
            headers.push(("Session-Expires", expires.as_str()));
            if expires.ends_with("uac") {
                headers.push(("Require", "timer"));
            }
        }
        self.reply_with(Some(place), request, status, &headers, sdp, out);
    }

    /// The re-INVITE of Baton that is open gets no 2xx.
    pub(super) fn decline(&mut self, place: Place, status: u16, out: &mut Out) {
        let Some(request) = self.dialogs[place].asked.take() else { return };
        self.open.remove(request.branch());
        self.session(place).refuse();
        match status {
            491 => self.session(place).glares += 1,
            _ => self.session(place).refused += 1,
        }
        if status == 481 {
            self.end(place);
        }
        self.reply(Some(place), &request, status, out);
    }

    /// ACK of a 2xx of ours, or of a refusal.
    fn acked(&mut self, m: &Message, out: &mut Out) {
        let Some(place) = self.find(m.call_id(), m.to_tag()) else { return };
        // That of a refusal changes nothing.
        if self.dialogs[place].unacked.take_if(|cseq| *cseq == m.cseq().0).is_none() {
            return;
        }
        // The offer of an UPDATE waits for its own answer.
        let ours = self.dialogs[place].updating.is_none()
            && matches!(self.session(place).offer, super::super::session::Offer::Ours(_));
        if ours && m.has_sdp() {
            self.session(place).take_answer(&m.body);
        } else if ours {
            self.session(place).refuse();
        }
        let first = self.dialogs[place].invite.as_ref().is_some_and(|invite| invite.cseq().0 == m.cseq().0);
        if first && !self.dialogs[place].ours {
            self.talk(place, out);
            self.decide(place, out);
        }
    }
}

// What we say.
impl Party {
    /// A call stands: what will be said in it.
    pub(super) fn talk(&mut self, place: Place, out: &mut Out) {
        if !self.chance(self.mood.restless) {
            return;
        }
        for _ in 0..self.ua.random.pick(&[1, 1, 1, 2, 3]) {
            // Phones talk 1 ms after the ACK.
            let after = if self.chance(30) { ms(1) } else { self.pause(15_000) };
            let what = match self.ua.random.below(6) {
                0..=2 => Later::Offer(place, Way::Reinvite),
                3 => Later::Offer(place, Way::Update),
                _ => Later::Info(place),
            };
            self.ua.wake(after, what, out);
        }
    }

    /// What an agent makes of its call.
    fn decide(&mut self, place: Place, out: &mut Out) {
        if self.house != House::Agent {
            return;
        }
        let what = match self.ua.random.below(100) {
            0..45 => Later::Refer(place),
            45..60 => {
                let name = self.a_name();
                let head = match self.ua.random.below(5) {
                    0 => String::new(),
                    1 => "Reason: SIP;cause=503;text=\"overload\"\r\n".to_owned(),
                    _ => format!("X-Handoff: {name}\r\n"),
                };
                Later::Bye(place, head)
            }
            60..63 => {
                self.dialogs[place].dead = true;
                self.session(place).over = true;
                return;
            }
            _ => return,
        };
        let after = self.pause(25_000);
        self.ua.wake(after, what, out);
    }

    /// A request in a dialog that is up; its CSeq.
    pub(super) fn inside(
        &mut self,
        place: Place,
        method: &str,
        head: &str,
        body: (&str, &str),
        out: &mut Out,
    ) -> Option<u32> {
        let (via, contact) = (self.ua.via(), self.ua.contact());
        let dialog = &mut self.dialogs[place];
        if !dialog.is_up() || dialog.dead {
            return None;
        }
        dialog.cseq += 1;
        let text = dialog.write(method, dialog.cseq, (&via, &contact), head, body);
        let cseq = dialog.cseq;
        self.ua.request(text, out);
        Some(cseq)
    }

    /// What stands on an offer of ours beside the body.
    fn offer_head(&self, place: Place) -> String {
        match self.dialogs[place].timer {
            Some(seconds) => {
                let who = if self.dialogs[place].refreshing { "uac" } else { "uas" };
                format!("{ALLOW}Supported: timer\r\nSession-Expires: {seconds};refresher={who}\r\n")
            }
            None => ALLOW.to_owned(),
        }
    }

    /// Whether an offer of ours may go out now.
    fn is_free(&self, place: Place) -> bool {
        let dialog = &self.dialogs[place];
        dialog.is_up()
            && dialog.asking.is_none()
            && dialog.asked.is_none()
            && dialog.unacked.is_none()
            && dialog.updating.is_none()
            && !dialog.vacated
            && self.session(place).is_idle()
    }

    /// re-INVITE or UPDATE.
    pub(super) fn propose(&mut self, place: Place, way: Way, out: &mut Out) {
        if self.dialogs[place].stage == Stage::Early && self.dialogs[place].ours {
            return if way == Way::Update {
                self.update_early(place, out)
            };
        }
        let early = self.dialogs[place].stage == Stage::Early && way == Way::Update;
        if early {
            return self.update_as_callee(place, out);
        }
        if !self.is_free(place) {
            if self.dialogs[place].is_up() && self.chance(50) {
                self.ua.wake(ms(700), Later::Offer(place, way), out);
            }
            return;
        }
        let head = self.offer_head(place);
        let late = way == Way::Reinvite && self.chance(6);
        let video = self.chance(5);
        let body = if late { String::new() } else { self.offer(self.dialogs[place].session, video) };
        let kind = if late { "" } else { SDP };
        let method = if way == Way::Reinvite { "INVITE" } else { "UPDATE" };
        let cseq = self.inside(place, method, &head, (kind, &body), out);
        match way {
            Way::Reinvite => self.dialogs[place].asking = cseq,
            Way::Update => self.dialogs[place].updating = cseq,
        }
        if way == Way::Reinvite
            && self.chance(6)
            && let Some(super::Action::Send(text)) = out.last()
            && let Ok(invite) = Message::parse(text.as_bytes())
        {
            let after = self.pause(200);
            self.ua.wake(after, Later::CancelOffer(place, Rc::new(invite)), out);
        }
    }

    /// UPDATE in the early dialog of a call to us (RFC 3311 §5.1): the offer of its INVITE is answered.
    fn update_as_callee(&mut self, place: Place, out: &mut Out) {
        let dialog = &self.dialogs[place];
        if !dialog.reliably || dialog.unpracked.is_some() || dialog.updating.is_some() {
            return;
        }
        if !self.session(place).is_idle() {
            return;
        }
        let body = self.offer(self.dialogs[place].session, false);
        let (via, contact) = (self.ua.via(), self.ua.contact());
        let dialog = &mut self.dialogs[place];
        dialog.cseq += 1;
        dialog.updating = Some(dialog.cseq);
        let text = dialog.write("UPDATE", dialog.cseq, (&via, &contact), ALLOW, (SDP, &body));
        self.ua.request(text, out);
    }

    pub(super) fn cancel_offer(&mut self, place: Place, invite: &Message, out: &mut Out) {
        if self.dialogs[place].asking == Some(invite.cseq().0) {
            self.ua.request(cancel_text(invite), out);
        }
    }

    pub(super) fn hang_up(&mut self, place: Place, head: &str, out: &mut Out) {
        let waits = self.chance(80);
        if self.leaves_by_itself(place) {
            return;
        }
        let dialog = &self.dialogs[place];
        match dialog.stage {
            Stage::Over => {}
            Stage::Early if dialog.ours => {
                self.cancel(place, out);
                // The answer may have been quicker.
                self.ua.wake(ms(5_000), Later::Bye(place, head.to_owned()), out);
            }
            Stage::Early => {}
            // RFC 3261 §15: who was called waits for the ACK. Not all do.
            Stage::Up if dialog.unacked.is_some() && !dialog.ours && waits => {
                self.ua.wake(ms(500), Later::Bye(place, head.to_owned()), out);
            }
            Stage::Up => {
                if dialog.ours && self.house == House::Pbx {
                    self.leaves(place);
                }
                self.is_missed(place, out);
                self.inside(place, "BYE", head, ("", ""), out);
                self.end(place);
                self.decline(place, 487, out);
            }
        }
    }

    /// The session must not expire.
    pub(super) fn refresh(&mut self, place: Place, out: &mut Out) {
        let Some(seconds) = self.dialogs[place].timer.filter(|_| self.dialogs[place].is_up()) else { return };
        if !self.is_free(place) {
            return self.ua.wake(ms(1_000), Later::Refresh(place), out);
        }
        let head = self.offer_head(place);
        if self.chance(50) {
            self.inside(place, "UPDATE", &head, ("", ""), out);
        } else {
            let Some(body) = self.session(place).offer_again() else { return };
            self.dialogs[place].asking = self.inside(place, "INVITE", &head, (SDP, &body), out);
        }
        self.ua.wake(ms(u64::from(seconds) * 400), Later::Refresh(place), out);
    }
}

// What Baton answers.
impl Party {
    pub(super) fn responded(&mut self, m: &Message, out: &mut Out) {
        let Some(place) = self.find(m.call_id(), m.from_tag()) else { return };
        let dialog = &mut self.dialogs[place];
        let (status, number) = (m.status(), m.cseq().0);
        let first = dialog.ours && dialog.invite.as_ref().is_some_and(|invite| invite.cseq().0 == number);
        match m.method() {
            "INVITE" if first && status < 200 => self.on_ringing(place, m, out),
            "INVITE" if first && status < 300 => self.on_accepted(place, m, out),
            "INVITE" if first => self.on_refused(place, m, out),
            "INVITE" if status < 200 => {}
            "INVITE" if status < 300 => self.on_agreed(place, m, out),
            "INVITE" => self.on_declined(place, m, out),
            // One of an early dialog that came to nothing.
            "UPDATE" if dialog.stage == Stage::Up && !dialog.remote.contains(m.to_tag()) => {}
            "UPDATE" if status >= 200 => {
                if dialog.updating.take_if(|cseq| *cseq == number).is_some() {
                    if status < 300 && m.has_sdp() {
                        self.session(place).take_answer(&m.body);
                    } else {
                        self.session(place).refuse();
                    }
                }
                self.forgotten(place, status);
            }
            // There is no such call (any more).
            "CANCEL" if status == 481 && dialog.stage == Stage::Early && dialog.ours && !dialog.rang => {
                self.end(place);
            }
            "INFO" | "NOTIFY" | "REFER" if status >= 200 => self.forgotten(place, status),
            _ => {}
        }
    }

    /// 481: the other side knows nothing of the dialog any more.
    fn forgotten(&mut self, place: Place, status: u16) {
        if status == 481 && self.dialogs[place].is_up() {
            self.end(place);
        }
    }

    fn on_agreed(&mut self, place: Place, m: &Message, out: &mut Out) {
        self.dialogs[place].asking = None;
        if let Some(contact) = m.contact() {
            self.dialogs[place].target = contact.to_owned();
        }
        let late = self.session(place).is_idle();
        let mut body = String::new();
        if late && m.has_sdp() {
            self.session(place).take_offer(&m.body);
            body = self.answer(self.dialogs[place].session);
        } else if m.has_sdp() {
            self.session(place).take_answer(&m.body);
        } else {
            self.session(place).refuse();
        }
        if self.chance(1) && self.chance(50) {
            // It is never acknowledged.
            return;
        }
        self.acknowledge(place, m, &body, out);
    }

    fn on_declined(&mut self, place: Place, m: &Message, out: &mut Out) {
        let uri = self.dialogs[place].target.clone();
        self.ua.ack(m, ack_of_refusal(m, &uri), out);
        self.dialogs[place].asking = None;
        self.session(place).refuse();
        if matches!(m.status(), 481 | 408) {
            return self.forgotten(place, 481);
        }
        if self.dialogs[place].timer.is_some() && self.dialogs[place].refreshing {
            self.ua.wake(ms(3_000), Later::Refresh(place), out);
        }
        if m.status() == 491 && self.dialogs[place].glares < 3 {
            // RFC 3261 §14.1.
            self.dialogs[place].glares += 1;
            let after = if self.dialogs[place].ours {
                2_100 + self.ua.random.below(1_900)
            } else {
                self.ua.random.below(2_000)
            };
            self.ua.wake(ms(after), Later::Offer(place, Way::Reinvite), out);
        }
    }

    /// What Baton's 2xx to our INVITE says of the session's expiry.
    pub(super) fn note_timer(&mut self, place: Place, m: &Message, diligent: bool, out: &mut Out) {
        let value = m.find("Session-Expires").unwrap_or_default();
        let seconds = value.split(';').next().and_then(|value| value.parse::<u32>().ok());
        let ours = parameter(value, "refresher") == Some("uac");
        self.dialogs[place].timer = seconds.filter(|_| self.dialogs[place].timer.is_some());
        let Some(seconds) = self.dialogs[place].timer else { return };
        self.dialogs[place].refreshing = ours;
        if ours && diligent && self.chance(75) {
            self.ua.wake(ms(u64::from(seconds) * 400), Later::Refresh(place), out);
        }
    }

    /// Session-Expires of our 2xx to Baton's INVITE, and whether Baton has to know of it.
    pub(super) fn expiry(&mut self, place: Place, invite: &Message, out: &mut Out) -> Option<(String, bool)> {
        invite.find("Session-Expires")?;
        if !self.chance(25) {
            return None;
        }
        let seconds = self.ua.random.pick(&[90, 120, 600]);
        let baton = self.chance(60);
        self.dialogs[place].timer = Some(seconds);
        self.dialogs[place].refreshing = !baton;
        if !baton && self.chance(75) {
            self.ua.wake(ms(u64::from(seconds) * 400), Later::Refresh(place), out);
        }
        Some((format!("{seconds};refresher={}", if baton { "uac" } else { "uas" }), baton))
    }

    /// A destination's id, for an agent.
    pub(super) fn a_name(&mut self) -> String {
        let names = self.names.borrow();
        if names.is_empty() || self.ua.random.chance(4) {
            return "nobody".to_owned();
        }
        names[self.ua.random.below(names.len() as u64) as usize].clone()
    }
}

//! REFER, both ways; challenges; and a target whose dialog is replaced.

use super::super::common::message::Message;
use super::super::common::ms;
use super::super::models::Draw;
use super::super::whereabouts::Where;
use super::{House, Later, Out, Party, Place, Report, Stage, Step, Way};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

// The caller's side is asked to move.
impl Party {
    pub(super) fn referred(&mut self, place: Place, m: &Message, out: &mut Out) {
        let cseq = m.cseq().0;
        if self.house != House::Pbx || !self.dialogs[place].ours {
            return self.reply(Some(place), m, 603, out);
        }
        self.dialogs[place].refers.push(cseq);
        if self.manners.asterisk.is_some() {
            return self.refer_to_asterisk(place, m, out);
        }
        let refer = Rc::new(m.clone());
        let after = self.pause(1_500);
        let status = match self.ua.random.below(20) {
            0..=3 => self.ua.random.pick(&[403, 405, 501, 603, 404, 500, 503, 429, 486, 480]),
            4 => 491,
            5 if self.chance(50) => 481,
            // Nothing is ever said.
            6 => return,
            7 => {
                // Late.
                let late = ms(3_000 + self.ua.random.below(9_000));
                self.ua.wake(late, Later::Reply(place, refer, 202), out);
                let later = ms(self.ua.random.below(20_000));
                return self.ua.wake(later, Later::Notify(place, cseq, Report::Final(200)), out);
            }
            _ => 202,
        };
        self.ua.wake(after, Later::Reply(place, refer, status), out);
        if status != 202 {
            return;
        }
        if m.find("Refer-To").is_some_and(|to| to.contains("Replaces="))
            && self.take_over(place, m, after, out)
        {
            return;
        }
        self.report(place, cseq, after, out);
    }

    /// How a transfer goes on, and what is told of it.
    fn report(&mut self, place: Place, cseq: u32, accepted: Duration, out: &mut Out) {
        let mut at = match self.ua.random.below(5) {
            // Before the 202.
            0 => Duration::ZERO,
            1 => accepted,
            _ => accepted + self.pause(3_000),
        };
        for _ in 0..self.ua.random.below(4) {
            let status = self.ua.random.pick(&[100, 180, 183]);
            self.ua.wake(at, Later::Notify(place, cseq, Report::Provisional(status)), out);
            at += self.pause(8_000);
        }
        let report = match self.ua.random.below(14) {
            0..=4 => Report::Final(200),
            5 | 6 => Report::Final(486),
            7 | 8 => Report::Final(self.ua.random.pick(&[603, 404, 487, 500, 480, 503])),
            9 => Report::Nothing,
            10 => return,
            // Very late: the ladder may have gone on.
            11 => {
                at += ms(5_000 + self.ua.random.below(60_000));
                Report::Final(self.ua.random.pick(&[200, 200, 486]))
            }
            _ => Report::Final(200),
        };
        self.ua.wake(at, Later::Notify(place, cseq, report), out);
        if self.chance(20) {
            // The peer hangs up somewhere near it.
            let near = ms(self.ua.random.below(1_200));
            let bye = if self.chance(50) { at + near } else { at.saturating_sub(near) };
            self.ua.wake(bye, Later::Bye(place, String::new()), out);
        }
    }

    /// The target's dialog with Baton is to be replaced by a call of ours. False: it is not even tried.
    fn take_over(&mut self, place: Place, m: &Message, after: Duration, out: &mut Out) -> bool {
        if self.chance(15) {
            return false;
        }
        let Some((to, call_id, tag)) = replaces(m.find("Refer-To").unwrap_or_default()) else { return false };
        let refer = (place, m.cseq().0);
        if self.manners.unheard > 0 && self.chance(self.manners.unheard) {
            self.replaces_nothing(refer, (to, call_id, tag), after, out);
            return true;
        }
        let (from, caller) = (self.ua.address, self.dialogs[place].call_id.clone());
        let call = after + self.pause(2_000);
        if self.manners.unheard > 0 && self.chance(20) {
            // The subscription is over before there is a result (its time was too short, say).
            self.met(Draw::DoneAndUntold);
            self.ua.wake(after, Later::Notify(place, refer.1, Report::Unresolved), out);
            self.dialogs[place].untold = Some(refer.1);
        }
        self.post(to, call, Later::Replace { call_id, tag, from, caller, refer }, out);
        if self.chance(30) {
            let at = after + self.pause(500);
            self.ua.wake(at, Later::Notify(place, refer.1, Report::Provisional(180)), out);
        }
        true
    }

    /// The REFER is taken, and nothing comes of it: the caller stays where it is, and the person at the target hears
    /// nobody, waits a while and hangs up. What the PBX tells is nothing, no result, or a 200 that only means that it
    /// has begun.
    fn replaces_nothing(
        &mut self,
        (place, cseq): (Place, u32),
        (to, call_id, tag): (SocketAddr, String, String),
        after: Duration,
        out: &mut Out,
    ) {
        self.met(Draw::NobodyHeard);
        let at = after + self.pause(50);
        match self.ua.random.below(6) {
            0 => self.ua.wake(at, Later::Notify(place, cseq, Report::Provisional(100)), out),
            1 => self.ua.wake(at, Later::Notify(place, cseq, Report::Unresolved), out),
            2 if self.manners.lies => {
                self.met(Draw::NobodyHeardAfter200);
                self.ua.wake(at, Later::Notify(place, cseq, Report::Begun), out);
            }
            _ => {}
        }
        let patience = after + ms(2_500 + self.ua.random.below(6_000));
        self.post(to, patience, Later::Unheard { call_id, tag }, out);
    }

    /// In that leg nobody is heard.
    pub(super) fn hears_nobody(&mut self, call_id: &str, tag: &str, out: &mut Out) {
        if let Some(ours) = self.find(call_id, tag).filter(|ours| self.dialogs[*ours].is_up()) {
            self.hang_up(ours, "", out);
        }
    }

    /// A call with Replaces comes for a dialog of this house: it takes it, and what it had with Baton ends; or not.
    pub(super) fn replaced(
        &mut self,
        (call_id, tag): (&str, &str),
        caller: &str,
        (from, (place, cseq)): (SocketAddr, (Place, u32)),
        out: &mut Out,
    ) {
        let ours = self.find(call_id, tag).filter(|ours| self.dialogs[*ours].is_up());
        let takes = ours.filter(|_| self.ua.random.chance(80));
        let report = match takes {
            Some(ours) => {
                self.ledger().replaced.insert(call_id.to_owned());
                self.ledger.borrow_mut().goes(self.now, caller, Where::There);
                if self.chance(40) {
                    // The PBX says so before it is done.
                    let after = self.pause(400);
                    self.ua.wake(after, Later::Bye(ours, String::new()), out);
                } else {
                    let unacked = std::mem::take(&mut self.dialogs[ours].unacked);
                    self.hang_up(ours, "", out);
                    self.dialogs[ours].unacked = unacked;
                }
                Report::Final(200)
            }
            None => Report::Final(self.ua.random.pick(&[481, 603, 486])),
        };
        let after = self.pause(200);
        self.post(from, after, Later::Replaced(place, cseq, report), out);
    }

    /// The target's house has taken the call with Replaces, or not.
    pub(super) fn was_replaced(&mut self, place: Place, cseq: u32, report: Report, out: &mut Out) {
        if self.manners.asterisk.is_some() {
            // It has said long since that it worked.
            let step = if report == Report::Final(200) { Step::Reaches } else { Step::GivesUp };
            return self.transfer(place, step, out);
        }
        if self.chance(15) || self.dialogs[place].untold == Some(cseq) {
            // The PBX keeps it to itself.
            return;
        }
        self.notify(place, cseq, report, out);
        if self.chance(15) {
            let after = self.pause(400);
            self.ua.wake(after, Later::Bye(place, String::new()), out);
        }
    }

    pub(super) fn notify(&mut self, place: Place, refer: u32, report: Report, out: &mut Out) {
        let dialog = &self.dialogs[place];
        if dialog.stage == Stage::Early || dialog.dead {
            return;
        }
        let (state, body) = match report {
            Report::Provisional(status) => ("active;expires=60", format!("SIP/2.0 {status} Going\r\n")),
            Report::Final(status) => ("terminated;reason=noresource", format!("SIP/2.0 {status} Done\r\n")),
            Report::Nothing => ("terminated;reason=timeout", String::new()),
            Report::Unresolved => ("terminated;reason=noresource", "SIP/2.0 100 Trying\r\n".to_owned()),
            Report::Begun => ("terminated;reason=noresource", "SIP/2.0 200 OK\r\n".to_owned()),
        };
        let nameless = self.manners.nameless || self.manners.asterisk.is_some();
        if nameless && dialog.refers.last() != Some(&refer) {
            // One REFER at a time: what came of an older one is forgotten.
            return;
        }
        if matches!(report, Report::Final(200)) {
            let key = (dialog.call_id.clone(), refer);
            let caller = dialog.call_id.clone();
            let mut ledger = self.ledger.borrow_mut();
            ledger.reported.insert(key);
            if self.manners.asterisk.is_none() {
                ledger.goes(self.now, &caller, Where::There);
            }
        }
        // RFC 3515 §2.4.6: only the first REFER of a dialog may go without.
        let first = self.dialogs[place].refers.first() == Some(&refer);
        if nameless && !first {
            self.met(Draw::NamelessSecond);
        }
        let named = !nameless && (!first || self.chance(60));
        let id = if named { format!(";id={refer}") } else { String::new() };
        let agent = self.manners.asterisk.map(|name| format!("User-Agent: {name}\r\n")).unwrap_or_default();
        let head = format!("Event: refer{id}\r\nSubscription-State: {state}\r\n{agent}");
        let kind = if body.is_empty() { "" } else { "message/sipfrag" };
        // It may come after the BYE.
        let stage = std::mem::replace(&mut self.dialogs[place].stage, Stage::Up);
        if let Some(cseq) = self.inside(place, "NOTIFY", &head, (kind, &body), out) {
            let call_id = self.dialogs[place].call_id.clone();
            self.ledger().notifies.insert((call_id, cseq), refer);
        }
        self.dialogs[place].stage = stage;
        if matches!(report, Report::Final(_)) && !self.dialogs[place].vacated && self.chance(8) {
            // Hold, in the same moment.
            self.ua.wake(Duration::ZERO, Later::Offer(place, Way::Reinvite), out);
        }
    }

    /// An agent asks.
    pub(super) fn refer(&mut self, place: Place, out: &mut Out) {
        let name = self.a_name();
        let to = match self.ua.random.below(20) {
            0 => "sip:desk@10.0.0.30".to_owned(),
            1 => "sip:somebody@10.0.0.30".to_owned(),
            2 => "sip:nobody@203.0.113.66".to_owned(),
            _ => format!("sip:{name}@baton"),
        };
        let quiet = if self.chance(10) { "Refer-Sub: false\r\n" } else { "" };
        let head = format!("Refer-To: <{to}>\r\nX-Ticket: 7\r\n{quiet}");
        if self.inside(place, "REFER", &head, ("", ""), out).is_none() {
            return;
        }
        if self.chance(20) {
            let after = self.pause(300);
            self.ua.wake(after, Later::Bye(place, String::new()), out);
        }
        if self.chance(20) {
            // Again, if nothing comes of it.
            let after = ms(5_000 + self.ua.random.below(40_000));
            self.ua.wake(after, Later::Refer(place), out);
        }
    }
}

// Challenges.
impl Party {
    /// Whether the request is answered with a challenge: the PBX wants to know who asks, and its nonces grow old.
    pub(super) fn challenged(&mut self, place: Option<Place>, m: &Message, out: &mut Out) -> bool {
        if self.house != House::Pbx || matches!(m.method(), "PRACK" | "NOTIFY" | "OPTIONS") {
            return false;
        }
        let given = m.find("Authorization").or(m.find("Proxy-Authorization"));
        let nonce = given.and_then(|value| value.split("nonce=\"").nth(1)?.split('"').next());
        let stale = match nonce {
            None => {
                if !self.ua.random.chance(self.mood.challenges) {
                    return false;
                }
                false
            }
            // One that was given out because another was stale is good.
            Some(nonce) if nonce.starts_with("again") => return false,
            Some(_) => {
                if !self.ua.random.chance(20) {
                    return false;
                }
                true
            }
        };
        let nonce = self.ua.fresh(if stale { "again" } else { "nonce" });
        let (status, name) = if self.chance(50) && !stale || m.find("Authorization").is_some() {
            (401, "WWW-Authenticate")
        } else {
            (407, "Proxy-Authenticate")
        };
        let algorithm = self.ua.random.pick(&["MD5", "SHA-256"]);
        let word = if stale { ", stale=true" } else { "" };
        let value =
            format!("Digest realm=\"pbx\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{word}");
        self.reply_with(place, m, status, &[(name, &value)], "", out);
        true
    }
}

/// Where a Refer-To with Replaces leads, and the dialog that it names: Call-ID and the target's own tag.
pub(super) fn replaces(refer_to: &str) -> Option<(SocketAddr, String, String)> {
    let uri = refer_to.trim_start_matches('<');
    let (_, rest) = uri.split_once('@')?;
    let host = rest.split([';', '?', '>']).next()?;
    let to = host.parse().or_else(|_| format!("{host}:5060").parse()).ok()?;
    let value = uri.split("Replaces=").nth(1)?.split(['&', '>']).next()?;
    let value = decoded(value);
    let mut parts = value.split(';');
    let call_id = parts.next()?.to_owned();
    let tag = parts.find_map(|part| part.strip_prefix("to-tag="))?.to_owned();
    Some((to, call_id, tag))
}

fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(code.map_or('?', char::from));
        rest = after.get(2..).unwrap_or_default();
    }
    out + rest
}

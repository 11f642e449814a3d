//! One call of the rehearsal agent: a small state machine that is given messages and the time, and says what to send.
//! It opens no socket and reads no clock; [`super`] does.
//!
//! ```text
//! Ringing -> Talking -> Referring -> Waiting -> Leaving -> Over
//!                ^          |           |          ^
//!                +-- 491 ---+           +-> Staying (a failure: some seconds; unknown: to the end)
//! ```

use super::Script;
use super::media::Media;
use crate::rehearsal::dialog::Dialog;
use crate::rehearsal::durations::{
    AGENT_BRIEFS, AGENT_CALL_AT_MOST, AGENT_REFERS_AGAIN, AGENT_RINGS, AGENT_STAYS, T1, T1X64, T2,
};
use crate::rehearsal::text::Text;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Answers that are kept for requests that come again.
const ANSWERS: usize = 16;

/// What it takes inside a call; [`super`] says the same to an OPTIONS outside of one.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, NOTIFY";
const SDP: &str = "application/sdp";

/// What a call wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// To be sent there.
    Send(SocketAddr, Text),
    /// To be told in the log.
    Tell(Told),
}

/// What is worth a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It has taken the call.
    Answered,
    /// It refers the caller.
    Refers,
    /// How that went: a status by NOTIFY, or the answer to the REFER.
    Heard(u16),
    /// Baton said something that does not fit this dialog.
    Fault(String),
}

#[derive(Debug)]
enum State {
    /// 180 is out; at `until` comes the 200.
    Ringing { invite: Text, until: Instant },
    /// With the caller until it is time to refer.
    Talking { until: Instant },
    /// The REFER is out.
    Referring,
    /// It was accepted. `leaves`: it speaks with the target until then.
    Waiting { leaves: Option<Instant> },
    /// The caller was not moved, or nobody knows (`until: None`).
    Staying { until: Option<Instant> },
    /// The own BYE is out.
    Leaving,
    /// A refusal waits for its ACK.
    Refused,
    /// Nothing is left of it.
    Over,
}

/// A message that is sent again until it is answered.
#[derive(Debug)]
struct Again {
    message: Text,
    to: SocketAddr,
    next: Instant,
    interval: Duration,
    until: Instant,
}

impl Again {
    fn new(now: Instant, to: SocketAddr, message: Text) -> Again {
        Again { message, to, next: now + T1, interval: T1, until: now + T1X64 }
    }

    fn deadline(&self) -> Instant {
        self.next.min(self.until)
    }

    /// The message, if it is time.
    fn due(&mut self, now: Instant) -> Option<Out> {
        if self.next > now {
            return None;
        }
        self.interval = (self.interval * 2).min(T2);
        self.next = now + self.interval;
        Some(Out::Send(self.to, self.message.clone()))
    }
}

/// One call of the rehearsal agent: given messages and the time, it says what to send.
#[derive(Debug)]
pub(super) struct Call {
    dialog: Dialog,
    /// Where this agent listens, and who it is there.
    own: SocketAddr,
    script: Script,
    contact: String,
    /// What its tag and branches begin with: nobody else's.
    mark: String,
    minted: u32,
    media: Media,
    state: State,
    /// The end of it.
    until: Instant,
    /// The last final answer to an INVITE, until its ACK.
    unacknowledged: Option<Again>,
    /// The own request that is not answered yet.
    asked: Option<Again>,
    /// Branch and method of what was answered, with the answer.
    answers: VecDeque<(String, String, Text)>,
}

impl Call {
    /// A call that comes to `user`: it rings. `mark` is unique, and cannot be guessed.
    pub(super) fn ring(
        now: Instant,
        invite: &Text,
        from: SocketAddr,
        (user, own): (&str, SocketAddr),
        (script, mark): (Script, String),
    ) -> (Call, Vec<Out>) {
        let mut call = Call {
            dialog: Dialog::called(invite, &mark, from),
            own,
            script,
            contact: format!("<sip:{user}@{own}>"),
            mark,
            minted: 0,
            media: Media::new(own.ip(), u64::from(own.port())),
            state: State::Ringing { invite: invite.clone(), until: now + AGENT_RINGS },
            until: now + AGENT_CALL_AT_MOST,
            unacknowledged: None,
            asked: None,
            answers: VecDeque::new(),
        };
        let ringing = call.answer(invite, from, 180, "Ringing");
        (call, vec![ringing])
    }

    /// Nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// When it wants a [tick](Call::tick).
    pub(super) fn deadline(&self) -> Instant {
        let own = match &self.state {
            State::Ringing { until, .. } | State::Talking { until } => Some(*until),
            State::Waiting { leaves } => *leaves,
            State::Staying { until } => *until,
            State::Referring | State::Leaving | State::Refused | State::Over => None,
        };
        let again = [&self.unacknowledged, &self.asked].into_iter().flatten().map(Again::deadline);
        own.into_iter().chain(again).fold(self.until, Instant::min)
    }

    /// A deadline may have come.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Out> {
        let again = [&mut self.unacknowledged, &mut self.asked].into_iter().flatten();
        let mut out: Vec<Out> = again.filter_map(|again| again.due(now)).collect();
        if self.unacknowledged.take_if(|again| again.until <= now).is_some() {
            match self.state {
                State::Refused => self.state = State::Over,
                // Without an ACK there is no session (RFC 3261 §13.3.1.4).
                _ => out.extend(self.leave(now)),
            }
        }
        if self.asked.take_if(|asked| asked.until <= now).is_some() {
            match self.state {
                State::Leaving => self.state = State::Over,
                _ => out.extend(self.leave(now)),
            }
        }
        match &self.state {
            State::Ringing { invite, until } if *until <= now => {
                let invite = invite.clone();
                let to = self.dialog.other;
                out.extend(self.take(now, &invite, to));
            }
            // A caller who has not acknowledged the answer yet cannot be moved: the ACK may be late.
            State::Talking { until } if *until <= now && self.unacknowledged.is_some() => {
                self.state = State::Talking { until: now + T1 };
            }
            State::Talking { until } if *until <= now => out.extend(self.refer(now)),
            State::Waiting { leaves: Some(until) } | State::Staying { until: Some(until) }
                if *until <= now =>
            {
                out.extend(self.leave(now));
            }
            _ => {}
        }
        if self.until <= now {
            match self.state {
                State::Leaving | State::Over | State::Refused => self.state = State::Over,
                _ => {
                    self.until = now + T1X64;
                    out.extend(self.leave(now));
                }
            }
        }
        out
    }

    /// One message of this call.
    pub(super) fn hear(&mut self, now: Instant, message: &Text, from: SocketAddr) -> Vec<Out> {
        if let Some(status) = message.status() {
            return self.answered(now, message, status);
        }
        let (branch, method) = (message.branch().unwrap_or_default(), message.method());
        let known = self.answers.iter().find(|(b, m, _)| b == branch && m == method);
        if let Some((_, _, answer)) = known {
            return vec![Out::Send(from, answer.clone())];
        }
        match method {
            "ACK" => self.acknowledged(now, message),
            "CANCEL" => self.cancelled(now, message, from),
            _ if message.tag("To").is_none() => vec![self.answer(message, from, 482, "Loop Detected")],
            _ => match self.dialog.check(message, &self.contact) {
                Ok(()) => self.requested(now, message, from),
                Err((expected, got)) => {
                    let refused = self.answer(message, from, 481, "Call/Transaction Does Not Exist");
                    vec![Out::Tell(Told::Fault(format!("expected {expected}, but {got}"))), refused]
                }
            },
        }
    }

    fn requested(&mut self, now: Instant, request: &Text, from: SocketAddr) -> Vec<Out> {
        match request.method() {
            "BYE" => {
                let answer = self.answer(request, from, 200, "OK");
                let mut out = vec![answer];
                if let State::Ringing { invite, .. } = &self.state {
                    let invite = invite.clone();
                    out.push(self.refuse(now, &invite, from));
                } else {
                    self.state = State::Over;
                }
                out
            }
            "INVITE" if self.unacknowledged.is_some() || matches!(self.state, State::Ringing { .. }) => {
                vec![self.answer(request, from, 491, "Request Pending")]
            }
            "INVITE" => self.take(now, request, from),
            "UPDATE" if !request.body.is_empty() => {
                let sdp = self.media.answer(&request.body);
                vec![self.describe(request, from, sdp)]
            }
            "NOTIFY" => self.notified(now, request, from),
            "OPTIONS" | "INFO" | "UPDATE" => vec![self.answer(request, from, 200, "OK")],
            "REFER" | "SUBSCRIBE" | "MESSAGE" | "PRACK" | "REGISTER" | "PUBLISH" => {
                vec![self.answer(request, from, 405, "Method Not Allowed")]
            }
            _ => vec![self.answer(request, from, 501, "Not Implemented")],
        }
    }

    /// 200 to an INVITE, the first one or one inside the call, with the answer to its offer or an offer.
    fn take(&mut self, now: Instant, invite: &Text, to: SocketAddr) -> Vec<Out> {
        let first = matches!(self.state, State::Ringing { .. });
        let sdp = match invite.body.is_empty() {
            true => Some(self.media.offer()),
            false => self.media.answer(&invite.body),
        };
        let answer = self.describe(invite, to, sdp);
        let Out::Send(_, text) = &answer else { return vec![answer] };
        let taken = text.status() == Some(200);
        self.unacknowledged = Some(Again::new(now, to, text.clone()));
        match (first, taken) {
            (true, true) => {
                self.state = State::Talking { until: now + self.script.after };
                vec![answer, Out::Tell(Told::Answered)]
            }
            (true, false) => {
                self.state = State::Refused;
                vec![answer]
            }
            (false, _) => vec![answer],
        }
    }

    /// 200 with this description, or 488 without one.
    fn describe(&mut self, request: &Text, to: SocketAddr, sdp: Option<String>) -> Out {
        match sdp {
            Some(sdp) => {
                let answer = self.response(request, 200, "OK").with_body(SDP, sdp);
                self.remember(request, &answer);
                Out::Send(to, answer)
            }
            None => self.answer(request, to, 488, "Not Acceptable Here"),
        }
    }

    fn acknowledged(&mut self, now: Instant, ack: &Text) -> Vec<Out> {
        let ours = |again: &mut Again| again.message.cseq() == ack.cseq();
        let Some(answer) = self.unacknowledged.take_if(ours) else { return Vec::new() };
        let taken = answer.message.status() == Some(200);
        match self.state {
            State::Refused => self.state = State::Over,
            // A destination with `brief`: this was the offer that brings the target to this agent.
            State::Waiting { leaves: None } if taken && self.script.briefs() => {
                self.state = State::Waiting { leaves: Some(now + AGENT_BRIEFS) };
            }
            _ => {}
        }
        Vec::new()
    }

    fn cancelled(&mut self, now: Instant, cancel: &Text, from: SocketAddr) -> Vec<Out> {
        let State::Ringing { invite, .. } = &self.state else {
            return vec![self.answer(cancel, from, 481, "Call/Transaction Does Not Exist")];
        };
        let invite = invite.clone();
        let refused = self.refuse(now, &invite, from);
        vec![self.answer(cancel, from, 200, "OK"), refused]
    }

    /// 487 to the INVITE that is not wanted any more.
    fn refuse(&mut self, now: Instant, invite: &Text, to: SocketAddr) -> Out {
        let refused = self.answer(invite, to, 487, "Request Terminated");
        if let Out::Send(_, text) = &refused {
            self.unacknowledged = Some(Again::new(now, to, text.clone()));
        }
        self.state = State::Refused;
        refused
    }

    /// How the REFER stands (RFC 3515 §2.4.4).
    fn notified(&mut self, now: Instant, notify: &Text, from: SocketAddr) -> Vec<Out> {
        let event = notify.header("Event").unwrap_or_default().split(';').next().unwrap_or_default();
        if event.trim() != "refer" {
            return vec![self.answer(notify, from, 489, "Bad Event")];
        }
        let answer = self.answer(notify, from, 200, "OK");
        let status = Text::new(notify.body.lines().next().unwrap_or_default()).status().unwrap_or_default();
        let state = notify.header("Subscription-State").unwrap_or_default();
        let over = state.split(';').next().unwrap_or_default().trim() == "terminated";
        if over && matches!(self.state, State::Referring | State::Waiting { .. }) {
            self.state = match status {
                // Baton says goodbye now; if it does not, this agent does.
                200..300 => State::Waiting { leaves: Some(now + T1X64) },
                // Nobody knows: the caller may already be talking to somebody, and a BYE could reach them.
                0..200 | 408 => State::Staying { until: None },
                _ => State::Staying { until: Some(now + AGENT_STAYS) },
            };
        }
        vec![answer, Out::Tell(Told::Heard(status))]
    }

    /// An answer to the own request.
    fn answered(&mut self, now: Instant, answer: &Text, status: u16) -> Vec<Out> {
        let ours = |asked: &mut Again| status >= 200 && asked.message.branch() == answer.branch();
        if self.asked.take_if(ours).is_none() {
            return Vec::new();
        }
        match self.state {
            State::Leaving => self.state = State::Over,
            State::Referring => {
                self.state = match status {
                    200..300 => State::Waiting { leaves: None },
                    491 => State::Talking { until: now + AGENT_REFERS_AGAIN },
                    _ => State::Staying { until: Some(now + AGENT_STAYS) },
                };
                if status >= 300 {
                    return vec![Out::Tell(Told::Heard(status))];
                }
            }
            // A NOTIFY was faster.
            _ => {}
        }
        Vec::new()
    }

    fn refer(&mut self, now: Instant) -> Vec<Out> {
        let refer = self
            .request("REFER")
            .with("Refer-To", format!("<sip:{}@baton>", self.script.destination))
            .with("X-Handoff-Reason", "rehearsal");
        self.state = State::Referring;
        vec![Out::Tell(Told::Refers), self.ask(now, refer)]
    }

    fn leave(&mut self, now: Instant) -> Vec<Out> {
        let bye = self.request("BYE");
        self.state = State::Leaving;
        vec![self.ask(now, bye)]
    }

    fn request(&mut self, method: &str) -> Text {
        self.minted += 1;
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK{}-{};rport", self.own, self.mark, self.minted);
        self.dialog.request(method, via).with("Contact", self.contact.clone())
    }

    fn ask(&mut self, now: Instant, request: Text) -> Out {
        self.asked = Some(Again::new(now, self.dialog.other, request.clone()));
        Out::Send(self.dialog.other, request)
    }

    fn response(&self, request: &Text, status: u16, phrase: &str) -> Text {
        let response = request.answered(status, phrase, Some(&self.dialog.local));
        response.with("Contact", self.contact.clone()).with("Allow", ALLOW)
    }

    fn answer(&mut self, request: &Text, to: SocketAddr, status: u16, phrase: &str) -> Out {
        let answer = self.response(request, status, phrase);
        self.remember(request, &answer);
        Out::Send(to, answer)
    }

    fn remember(&mut self, request: &Text, answer: &Text) {
        let key = (request.branch().unwrap_or_default(), request.method());
        self.answers.retain(|(branch, method, _)| (branch.as_str(), method.as_str()) != key);
        self.answers.truncate(ANSWERS - 1);
        self.answers.push_front((key.0.to_owned(), key.1.to_owned(), answer.clone()));
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;

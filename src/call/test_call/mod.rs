//! A test of a destination: its name is looked up, it is asked what it can, and it is called and let go at once.
//!
//! A small machine beside the calls: it has its own key among theirs, and so its own questions, legs and deadlines, and goes
//! out by the same sockets, with the same credentials. It moves nobody and joins nobody. What it finds are facts; the
//! words for them are made above (`rehearsal::trial`). Stepped by [`super::engine`], one for each destination at a time.

mod begin;
pub(crate) mod request;
mod running;
mod tape;
pub(crate) mod view;

pub use begin::name;
pub use request::TestCallRequest;
pub(crate) use running::TestCalls;
pub use view::{Answer, Called, Outcome, Said, Spoken, TestCallView};

use super::context::Context;
use super::handoff::calling::phrase;
use super::phase::CallInput;
use super::record::{Role, Stamp};
use super::target_address::TargetAddress;
use crate::call::durations::{TEST_END, TEST_LOOK_UP, TEST_OPTIONS};
use crate::call::ticket::{Ticket, Waiter};
use crate::routing::explain::Cause;
use crate::sip::leg::inquire::Abilities;
use crate::sip::leg::{Body, Connect};
use crate::sip::{self, Content, Event, Flow, LegId, Now, Origin, Question, Time, identity};
use crate::wire::Message;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tape::Tape;

/// Max-Forwards of a request that begins with us (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: u8 = 70;
/// The status by which somebody says that it rings.
const RINGING: u16 = 180;

/// One test of a destination: the look-up, the OPTIONS, the INVITE and its end.
#[derive(Debug)]
pub(crate) struct TestCall {
    /// Who waits for the reply.
    command: u64,
    place: TargetAddress,
    /// Whom the target sees.
    shown: Box<str>,
    slot: u16,
    request: TestCallRequest,
    rings: Duration,
    started: Now,
    state: State,
    /// The question, until it is answered: that may be while the call is on already.
    asked: Option<LegId>,
    /// When the state has lasted long enough.
    until: Option<Time>,
    /// The deadline that is armed for it, if one is.
    pub(crate) armed: Option<Time>,
    view: TestCallView,
    tape: Tape,
}

#[derive(Debug)]
enum State {
    /// Its address is looked up.
    Finding {
        ticket: Ticket,
    },
    /// It is asked what it can, and is not called before it has answered, or had its time.
    Asking {
        flows: Box<[Flow]>,
    },
    /// It is called.
    Calling {
        leg: LegId,
    },
    /// The call is taken back, or ended.
    Ending {
        leg: LegId,
    },
    Over,
}

impl TestCall {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// When it wants a tick.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.until
    }

    /// Looks the address up.
    pub(crate) fn find(&mut self, cx: &mut Context<'_>) {
        let question = Question::Locate(self.place.address.as_bytes().into());
        self.state = State::Finding { ticket: cx.ask(Waiter::TestCall(cx.call), question) };
        self.until = Some(cx.now.mono + TEST_LOOK_UP);
    }

    /// One thing that happened to it.
    pub(crate) fn step(&mut self, cx: &mut Context<'_>, input: CallInput<'_>) {
        match input {
            CallInput::Answer(ticket, sip::Answer::Located(flows)) => match self.state {
                State::Finding { ticket: own } if own == ticket => self.found(cx, flows),
                _ => {}
            },
            CallInput::Leg(event, message) => self.hear(cx, event, message),
            CallInput::Tick if self.until.is_some_and(|at| at <= cx.now.mono) => self.late(cx),
            CallInput::Tick => {}
            CallInput::HangUp { .. } => self.abort(cx),
        }
    }

    fn found(&mut self, cx: &mut Context<'_>, flows: &[Flow]) {
        let told = |flow: &Flow| format!("{}:{}", flow.transport.as_param(), flow.peer);
        self.view.addresses = flows.iter().map(told).collect();
        if flows.is_empty() {
            return self.conclude(cx, Outcome::Unresolved);
        }
        if !self.request.options {
            return self.call(cx, flows);
        }
        match cx.stack.inquire(cx.now, self.connect(flows, Body::None)) {
            Some(leg) => {
                self.own(cx, leg);
                self.asked = Some(leg);
                self.view.options = Some(Said::default());
                self.state = State::Asking { flows: flows.into() };
                self.until = Some(cx.now.mono + TEST_OPTIONS);
            }
            None => self.conclude(cx, Outcome::Unresolved),
        }
    }

    fn call(&mut self, cx: &mut Context<'_>, flows: &[Flow]) {
        if !self.request.call {
            return self.conclude(cx, Outcome::Found);
        }
        let offer = offer(cx, flows);
        let leg = cx.stack.connect(cx.now, self.connect(flows, Body::Sdp(offer.as_bytes())));
        self.own(cx, leg);
        self.view.call = Some(Called::default());
        self.state = State::Calling { leg };
        self.until = Some(cx.now.mono + self.rings);
    }

    /// What a request of ours to it says.
    fn connect<'a>(&'a self, flows: &'a [Flow], body: Body<'a>) -> Connect<'a> {
        Connect {
            flows,
            patience: self.place.patience,
            reach: self.place.reach,
            uri: self.place.request_uri.as_bytes(),
            to: self.place.request_uri.as_bytes(),
            from_user: Some(self.shown.as_bytes()),
            from_display: None,
            max_forwards: MAX_FORWARDS,
            slot: self.slot,
            party: self.place.party,
            digest: self.place.digest,
            content: Content { body, ..Content::default() },
        }
    }

    fn own(&mut self, cx: &mut Context<'_>, leg: LegId) {
        cx.legs.insert(leg, cx.call, Role::Target);
        if let Some(call_id) = cx.stack.sip_call_id(leg) {
            self.tape.follow(call_id);
        }
    }

    fn hear(&mut self, cx: &mut Context<'_>, event: Event, message: Option<&Message<'_>>) {
        match (&self.state, event) {
            (_, Event::Response { leg: of, status, origin, .. }) if self.asked == Some(of) => {
                self.answered(cx, (status, origin), message);
            }
            (State::Calling { leg }, Event::Progress { leg: of, status }) if *leg == of => {
                self.called().progress = Some(status);
                if status == RINGING {
                    self.end(cx, of, Outcome::Rings);
                }
            }
            (State::Calling { leg }, Event::Answered { leg: of, status, .. }) if *leg == of => {
                self.called().answer = Some(answer(status, Origin::Remote, message));
                self.end(cx, of, Outcome::Answers);
            }
            (State::Calling { leg }, Event::Refused { leg: of, status, origin }) if *leg == of => {
                cx.release(of);
                // Nothing came, and nobody knows whether anything arrived.
                let silent = origin == Origin::Local && status == 408;
                self.called().answer = (!silent).then(|| answer(status, origin, message));
                let outcome = match self.place.cause(status, message) {
                    Some(cause) if !silent => Outcome::Refused(cause),
                    _ => Outcome::Silent,
                };
                self.conclude(cx, outcome);
            }
            (State::Calling { leg } | State::Ending { leg }, Event::Request { leg: of, request, .. })
                if *leg == of =>
            {
                // Nobody is joined with it.
                cx.refuse(request, 491, "nobody is joined with this call");
            }
            (State::Ending { leg }, Event::Bye { leg: of } | Event::Closed { leg: of, .. }) if *leg == of => {
                cx.release(of);
                self.called().ended = true;
                self.finish(cx);
            }
            // It went away before it had answered.
            (State::Calling { leg }, Event::Bye { leg: of } | Event::Lost { leg: of, .. }) if *leg == of => {
                cx.release(of);
                self.conclude(cx, Outcome::Refused(Cause::NoAnswer));
            }
            _ => {}
        }
    }

    /// What it says of itself.
    fn answered(&mut self, cx: &mut Context<'_>, outcome: (u16, Origin), message: Option<&Message<'_>>) {
        if let Some(leg) = self.asked.take() {
            cx.release(leg);
        }
        if let (Some(message), (status, origin)) = (message, outcome) {
            let Abilities { refer, replaces } = Abilities::of(message);
            let answer = Some(answer(status, origin, Some(message)));
            self.view.options = Some(Said { answer, refer, replaces });
        }
        self.asked_enough(cx);
    }

    /// Whether it has answered or not: it is called now.
    fn asked_enough(&mut self, cx: &mut Context<'_>) {
        if let State::Asking { flows } = &mut self.state {
            let flows = std::mem::take(flows);
            self.call(cx, &flows);
        }
    }

    /// The state has lasted long enough.
    fn late(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Finding { .. } => self.conclude(cx, Outcome::Unresolved),
            State::Asking { .. } => self.asked_enough(cx),
            State::Calling { leg } => {
                let heard = self.tape.heard_of_call();
                let refused = cx.stack.refused_beside(leg);
                let cause = refused.and_then(|status| self.place.cause(status, None));
                if let Some(status) = refused {
                    self.called().answer = Some(answer(status, Origin::Remote, None));
                }
                let outcome = match (cause, self.called().progress) {
                    (Some(cause), _) => Outcome::Refused(cause),
                    (None, Some(_)) => Outcome::Progress,
                    (None, None) if heard => Outcome::NoRing,
                    (None, None) => Outcome::Silent,
                };
                // What may have arrived without a word is taken back as soon as there is one.
                if heard { self.end(cx, leg, outcome) } else { self.give_up(cx, leg, outcome) }
            }
            State::Ending { leg } => {
                cx.release(leg);
                self.finish(cx);
            }
            State::Over => {}
        }
    }

    /// The call was long enough.
    fn end(&mut self, cx: &mut Context<'_>, leg: LegId, outcome: Outcome) {
        self.view.outcome = outcome;
        let fields = [identity::reason(487, "Test call")];
        cx.stack.close(cx.now, leg, 480, Content { fields: &fields, ..Content::default() });
        self.state = State::Ending { leg };
        self.until = Some(cx.now.mono + TEST_END);
    }

    fn give_up(&mut self, cx: &mut Context<'_>, leg: LegId, outcome: Outcome) {
        cx.release(leg);
        self.conclude(cx, outcome);
    }

    /// It is not wanted any more: Baton ends.
    pub(crate) fn abort(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Calling { leg } => self.end(cx, leg, Outcome::Aborted),
            State::Finding { .. } | State::Asking { .. } => self.conclude(cx, Outcome::Aborted),
            State::Ending { .. } | State::Over => {}
        }
    }

    fn called(&mut self) -> &mut Called {
        self.view.call.get_or_insert_default()
    }

    fn conclude(&mut self, cx: &mut Context<'_>, outcome: Outcome) {
        self.view.outcome = outcome;
        self.finish(cx);
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(leg) = self.asked.take() {
            cx.release(leg);
        }
        self.view.ended_at = Stamp(cx.now.wall);
        self.view.duration_ms =
            u64::try_from(cx.now.mono.since(self.started.mono).as_millis()).unwrap_or(u64::MAX);
        self.state = State::Over;
        self.until = None;
    }

    /// A fault of Baton's own cost it.
    pub(crate) fn break_off(&mut self) {
        self.view.outcome = Outcome::Aborted;
        self.state = State::Over;
        self.until = None;
    }
}

/// An answer as it is told.
fn answer(status: u16, origin: Origin, message: Option<&Message<'_>>) -> Answer {
    Answer { status, reason: phrase(message, status).into_owned(), origin }
}

/// PCMU that nobody sends and nobody hears: there is no media in Baton.
fn offer(cx: &Context<'_>, flows: &[Flow]) -> String {
    let listener = flows.first().and_then(|flow| cx.listeners.get(usize::from(flow.listener)));
    let ip = listener.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |listener| listener.local.ip());
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=inactive\r\n"
    )
}

//! The legs are being closed. The call is over when the last of them is.

use super::{CallInput, Phase};
use crate::call::context::Context;
use crate::call::end_reason::EndReason;
use crate::call::handoff::report::Farewell;
use crate::call::record::Role;
use crate::sip::{Content, Event, Field, LegId, Time, identity};
use smallvec::SmallVec;

/// The phase of a call whose legs are being closed.
#[derive(Debug)]
pub(crate) struct Ending {
    legs: SmallVec<[(LegId, Role); 2]>,
    /// The agent's BYE waits for the answer to the last NOTIFY.
    farewell: Option<Farewell>,
    /// Targets that may be taken over just now: each ends by itself, or is closed at that time.
    waiting: SmallVec<[(LegId, Time); 1]>,
    /// What each leg is told.
    words: Box<[Field]>,
    /// For people: `caller hung up`.
    pub(crate) why: EndReason,
}

impl Ending {
    /// Closes `legs`, telling each `why` with a Reason of that cause. What the caller gets if it is not answered yet is
    /// 480.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        legs: impl IntoIterator<Item = (LegId, Role)>,
        farewell: Option<Farewell>,
        cause: u16,
        why: EndReason,
    ) -> Phase {
        Self::begin_with(cx, legs, farewell, [identity::reason(cause, why.as_str())].into(), why)
    }

    /// The same with what the side said that ended the call (see [`words`]).
    pub(crate) fn begin_with(
        cx: &mut Context<'_>,
        legs: impl IntoIterator<Item = (LegId, Role)>,
        farewell: Option<Farewell>,
        words: Box<[Field]>,
        why: EndReason,
    ) -> Phase {
        let (legs, waiting) = (legs.into_iter().collect(), SmallVec::new());
        let mut ending = Ending { legs, farewell, waiting, words, why };
        let held = ending.farewell.map(|f| f.leg);
        for (leg, _) in ending.legs.iter().filter(|(leg, _)| Some(*leg) != held) {
            ending.close(cx, *leg);
        }
        if ending.farewell.is_some_and(|f| !ending.legs.iter().any(|(leg, _)| *leg == f.leg)) {
            ending.farewell = None;
        }
        ending.phase()
    }

    /// The same call, which also has legs that are not closed before their time.
    pub(crate) fn with_waiting(phase: Phase, waiting: impl Iterator<Item = (LegId, Time)>) -> Phase {
        let mut ending = match phase {
            Phase::Ending(ending) => ending,
            Phase::Over { why } => Ending {
                legs: SmallVec::new(),
                farewell: None,
                waiting: SmallVec::new(),
                words: [identity::reason(NORMAL, why.as_str())].into(),
                why,
            },
            other @ (Phase::Setup(_) | Phase::Talking(_) | Phase::Moving(_)) => return other,
        };
        for (leg, until) in waiting {
            ending.legs.push((leg, Role::Target));
            ending.waiting.push((leg, until));
        }
        ending.phase()
    }

    fn close(&self, cx: &mut Context<'_>, leg: LegId) {
        cx.stack.close(cx.now, leg, 480, Content { fields: &self.words, ..Content::default() });
    }

    fn phase(self) -> Phase {
        if self.legs.is_empty() { Phase::Over { why: self.why } } else { Phase::Ending(self) }
    }

    /// The legs that still have to close.
    pub(crate) fn legs(&self) -> impl Iterator<Item = (LegId, Role)> + '_ {
        self.legs.iter().copied()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.farewell.map(|f| f.until).into_iter().chain(self.waiting.iter().map(|(_, until)| *until)).min()
    }

    pub(crate) fn step(mut self, cx: &mut Context<'_>, input: CallInput<'_>) -> Phase {
        match input {
            CallInput::Leg(event, _) => self.hear(cx, event),
            CallInput::Tick => {
                if let Some(farewell) = self.farewell.take_if(|f| f.until <= cx.now.mono) {
                    self.close(cx, farewell.leg);
                }
                self.close_waited(cx);
            }
            CallInput::HangUp { .. } => {
                for (leg, _) in std::mem::take(&mut self.waiting) {
                    self.close(cx, leg);
                }
            }
            CallInput::Answer(..) => {}
        }
        self.phase()
    }

    /// Closes those whose time has come.
    fn close_waited(&mut self, cx: &mut Context<'_>) {
        let (waiting, now) = (std::mem::take(&mut self.waiting), cx.now.mono);
        let (due, left): (SmallVec<[_; 1]>, _) = waiting.into_iter().partition(|(_, until)| *until <= now);
        self.waiting = left;
        due.into_iter().for_each(|(leg, _)| self.close(cx, leg));
    }

    fn hear(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::Response { sent, .. } => {
                if let Some(farewell) = self.farewell.take_if(|f| f.sent == sent) {
                    self.close(cx, farewell.leg);
                }
            }
            // The leg closes all the same; nobody is left to answer for it.
            Event::Request { request, .. } => {
                cx.refuse(request, 487, "the call is ending");
            }
            Event::Answered { .. }
            | Event::Progress { .. }
            | Event::Confirmed { .. }
            | Event::Unconfirmed { .. }
            | Event::Notified { .. }
            | Event::Left { .. }
            | Event::Undelivered { .. }
            | Event::Withdrawn { .. }
            | Event::Silent { .. }
            | Event::KeepaliveIgnored { .. }
            | Event::Advice { .. }
            | Event::Incoming { .. } => {}
            Event::Bye { leg }
            | Event::Closed { leg, .. }
            | Event::Refused { leg, .. }
            | Event::Cancelled { leg }
            | Event::Lost { leg, .. } => {
                self.legs.retain(|(known, _)| *known != leg);
                self.farewell.take_if(|f| f.leg == leg);
                self.waiting.retain(|(known, _)| *known != leg);
                cx.release(leg);
            }
        }
    }
}

/// What a side said as it left ([`identity::goodbye`]), with an ordinary Reason if it gave none.
pub(crate) fn words(goodbye: Box<[Field]>, why: EndReason) -> Box<[Field]> {
    if goodbye.iter().any(identity::is_reason) {
        return goodbye;
    }
    let mut words = goodbye.into_vec();
    words.push(identity::reason(NORMAL, why.as_str()));
    words.into()
}

/// Reason cause of an ordinary end.
pub(crate) const NORMAL: u16 = 200;

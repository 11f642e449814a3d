//! Is the caller's side still in our dialog? A receiver of a REFER may take the caller away before it knows whether the target
//! answers, lose them, and leave our leg standing: then a NOTIFY of the failure, and a leg that stands, prove nothing.
//!
//! One re-INVITE asks, with the session as it stands. Asterisk answers it in a dialog that has lost its caller by BYE within
//! 1 ms, and then still by 200: so the BYE decides, whatever the order, and a 2xx is believed once nothing has followed for
//! half a second. The BYE itself is heard by the phase.
//!
//! Who asks too early hears of what was: a NOTIFY overtakes what it tells of. Asterisk was seen to answer a question 0.1 ms
//! after its NOTIFY of a failure for a caller whom it hung up then, and under load one for a caller whom it took 0.9 s after
//! its NOTIFY of a 200. So the question waits for half a second after a failure, and a receiver that is known to take the
//! caller away early is asked twice.

use crate::call::context::Context;
use crate::call::durations::{
    BUSY_DIALOG_POLL, BYE_AFTER_2XX, QUESTION_ANSWER, QUESTION_DELAY_AT_MOST, SECOND_QUESTION,
};
use crate::sip::leg::SentId;
use crate::sip::leg::modify::is_glare;
use crate::sip::{Event, LegId, Time};
use crate::wire::Message;
use std::time::Duration;

/// Asks the caller's side by re-INVITE whether it still has the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StillHere {
    caller: LegId,
    state: State,
    /// Whether a second question follows an answer.
    twice: bool,
    /// When it is not asked again any more.
    until: Time,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Its time has not come, or another request is in the way.
    Waiting { at: Time },
    /// The re-INVITE is out.
    Asking { sent: SentId, until: Time },
    /// A 481 is checked by an OPTIONS in the dialog.
    Checking { probe: SentId, until: Time },
    /// It was answered. No BYE has followed yet.
    Settling { until: Time },
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not about this.
    NotMine,
    /// It goes on.
    Wait,
    /// It is, and is asked once more.
    HereYet,
    /// It is, and so is the caller.
    Here,
    /// Its dialog is over.
    Gone,
    /// Nothing tells.
    Unknown,
}

impl StillHere {
    /// Asks after `lull`, or as soon as it can then. `twice`: who is there now may be taken away yet.
    pub(crate) fn begin(cx: &mut Context<'_>, caller: LegId, lull: Duration, twice: bool) -> StillHere {
        let at = cx.now.mono + lull;
        let mut question =
            StillHere { caller, state: State::Waiting { at }, twice, until: at + QUESTION_DELAY_AT_MOST };
        question.tick(cx);
        question
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        match self.state {
            State::Waiting { at } => at.min(self.until),
            State::Asking { until, .. } | State::Checking { until, .. } | State::Settling { until } => until,
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        self.state = match cx.stack.restate(cx.now, self.caller) {
            Ok(sent) => State::Asking { sent, until: now + QUESTION_ANSWER },
            Err(_) => State::Waiting { at: now + BUSY_DIALOG_POLL },
        };
    }

    /// A deadline may have come.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) -> Verdict {
        if self.deadline() > cx.now.mono {
            return Verdict::Wait;
        }
        match self.state {
            State::Waiting { .. } if self.until <= cx.now.mono => Verdict::Unknown,
            State::Waiting { .. } => {
                self.ask(cx);
                Verdict::Wait
            }
            State::Asking { .. } => {
                self.give_up(cx);
                Verdict::Unknown
            }
            State::Checking { .. } => Verdict::Unknown,
            State::Settling { .. } if std::mem::take(&mut self.twice) => {
                let at = cx.now.mono + SECOND_QUESTION;
                (self.state, self.until) = (State::Waiting { at }, at + QUESTION_DELAY_AT_MOST);
                Verdict::HereYet
            }
            State::Settling { .. } => Verdict::Here,
        }
    }

    /// Nobody waits for the answer any more. It may still come, and what it says of the session is looked at then.
    pub(crate) fn give_up(&self, cx: &mut Context<'_>) {
        if let State::Asking { sent, .. } = self.state {
            cx.stack.withdraw(cx.now, self.caller, sent);
        }
    }

    /// One event of the caller's leg.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Verdict {
        let Event::Response { sent: which, status, .. } = event else { return Verdict::NotMine };
        match self.state {
            State::Asking { sent, .. } if sent == which => {
                self.answered(cx, status, is_glare(status, message))
            }
            State::Checking { probe, .. } if probe == which => match status {
                481 => Verdict::Gone,
                _ => Verdict::Unknown,
            },
            State::Waiting { .. }
            | State::Asking { .. }
            | State::Checking { .. }
            | State::Settling { .. } => Verdict::NotMine,
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, status: u16, glare: bool) -> Verdict {
        let now = cx.now.mono;
        match status {
            // Another request has met it (RFC 3261 §14.1), or its last one is not done (§14.2): nobody has looked who is there.
            _ if glare => self.state = State::Waiting { at: now + cx.stack.back_off(self.caller) },
            481 => match cx.stack.probe(cx.now, self.caller) {
                Ok(probe) => self.state = State::Checking { probe, until: now + QUESTION_ANSWER },
                Err(_) => return Verdict::Gone,
            },
            // A proxy on the way, or our own timer, says these.
            408 | 477 | 503 | 504 => return Verdict::Unknown,
            // Whoever refuses is there.
            _ => self.state = State::Settling { until: now + BYE_AFTER_2XX },
        }
        Verdict::Wait
    }
}

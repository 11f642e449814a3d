//! The phases of a call. Each owns exactly what is valid in it; a step takes a phase and gives the next one.

pub(crate) mod ending;
pub(crate) mod moving;
pub(crate) mod setup;
pub(crate) mod talking;

use crate::call::end_reason::EndReason;
use crate::call::record::CallState;
use crate::call::ticket::Ticket;
use crate::sip::{Answer, Event, Time};
use crate::wire::Message;

/// What happens to a call, whatever its phase.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallInput<'a> {
    /// One of its legs says something; with the message that caused it.
    Leg(Event, Option<&'a Message<'a>>),
    /// The answer to a question of its.
    Answer(Ticket, Answer<'a>),
    /// A deadline may have come.
    Tick,
    /// End it: by request, by `max_duration`, by the end of a drain.
    HangUp { why: EndReason },
}

/// Where a call stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The caller leg is not answered yet.
    Setup(Box<setup::Setup>),
    /// Caller and partner talk.
    Talking(talking::Talking),
    /// A handoff runs.
    Moving(Box<moving::Moving>),
    /// The legs are being closed.
    Ending(ending::Ending),
    /// Nothing is left of it.
    Over {
        /// Why it ended, for people.
        why: EndReason,
    },
}

impl Phase {
    pub(crate) fn state(&self) -> CallState {
        match self {
            Phase::Setup(_) => CallState::Setup,
            Phase::Talking(_) => CallState::Talking,
            Phase::Moving(_) => CallState::Moving,
            Phase::Ending(_) => CallState::Ending,
            Phase::Over { .. } => CallState::Ended,
        }
    }

    /// When it wants a tick.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Phase::Setup(setup) => setup.deadline(),
            Phase::Moving(moving) => moving.deadline(),
            Phase::Ending(ending) => ending.deadline(),
            Phase::Talking(talking) => talking.deadline(),
            Phase::Over { .. } => None,
        }
    }
}

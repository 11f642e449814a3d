//! The ways to move a caller, all behind one [`Machine`]. A new one is a file of its own, a line in [`Way`], and a place that
//! begins it.

pub(crate) mod attended;
mod brief;
pub(crate) mod fresh;
pub(crate) mod join;
pub(crate) mod refer;
pub(crate) mod target_call;

use super::Handoff;
use crate::call::alone::answer_waiting;
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Offerer};
use crate::call::facts::Facts;
use crate::call::record::Proof;
use crate::call::ticket::Ticket;
use crate::routing::explain::Cause;
use crate::sip::leg::SentId;
use crate::sip::{Answer, Event, LegId, Time};
use crate::wire::Message;
use attended::AttendedTransfer;
use brief::Brief;
use fresh::Fresh;
use join::Join;
use refer::BlindRefer;
use target_call::TargetCall;

/// All that a way may read and change while it handles one event: the call, the handoff, caller and agent.
pub(crate) struct Scene<'s, 'c> {
    pub(crate) cx: &'s mut Context<'c>,
    pub(crate) facts: &'s mut Facts,
    pub(crate) handoff: &'s mut Handoff,
    /// Of caller and agent.
    pub(crate) conversation: &'s mut Conversation,
}

/// One event of a leg of the call, with the SIP message that caused it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal<'m> {
    pub(crate) event: Event,
    /// What caused it.
    pub(crate) message: Option<&'m Message<'m>>,
}

/// What has come of a way after an event or a deadline.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The event is not about it.
    NotMine,
    /// It goes on.
    Wait,
    /// Another way goes on from here.
    Turn(Way),
    /// It is over, and has let go of whoever it had called; but a REFER of it may still be heard of.
    Ended(End),
}

/// How a way ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// The caller's side has moved the caller.
    Succeeded(Proof),
    /// Caller and target have each other.
    Joined { target: LegId, offerer: Offerer },
    /// The caller is not moved.
    Failed(Cause),
    /// A REFER was accepted or not answered, and nothing tells the result. It may still be answered late.
    Unknown(SentId),
    /// The caller's side has forgotten the dialog.
    CallerLost,
}

/// A failure.
pub(crate) fn failed(cause: Cause) -> Outcome {
    Outcome::Ended(End::Failed(cause))
}

/// One way to move a caller, while it is tried.
pub(crate) trait Machine {
    /// One event of any leg.
    fn on_event(&mut self, scene: &mut Scene<'_, '_>, signal: Signal<'_>) -> Outcome;

    /// A deadline may have come: its own, or that of `timeouts.total`.
    fn on_tick(&mut self, scene: &mut Scene<'_, '_>) -> Outcome;

    /// The answer to a question of the call's.
    fn answered(&mut self, _scene: &mut Scene<'_, '_>, _ticket: Ticket, _answer: Answer<'_>) -> Outcome {
        Outcome::NotMine
    }

    /// When something is due. `total`: the end of `timeouts.total`.
    fn deadline(&self, total: Time) -> Option<Time>;

    /// The target's leg, while it belongs to no conversation.
    fn target(&self) -> Option<LegId> {
        None
    }

    /// Whether nothing irrevocable was asked of the caller's side yet.
    fn may_cancel(&self) -> bool {
        false
    }

    /// It is not wanted any more: whoever was called is let go.
    fn give_up(&mut self, scene: &mut Scene<'_, '_>, why: &str);
}

macro_rules! ways {
    ($($(#[$doc:meta])* $name:ident($machine:ty),)+) => {
        /// What is tried to move the caller.
        #[derive(Debug)]
        pub(crate) enum Way {
            $($(#[$doc])* $name($machine),)+
        }

        impl Way {
            pub(crate) fn machine(&mut self) -> &mut dyn Machine {
                match self {
                    $(Way::$name(machine) => machine,)+
                }
            }

            /// The same, to be looked at.
            pub(crate) fn as_machine(&self) -> &dyn Machine {
                match self {
                    $(Way::$name(machine) => machine,)+
                }
            }
        }
    };
}

ways! {
    /// A REFER.
    Refer(BlindRefer),
    /// The target is called, by `invite` or `attended`.
    Call(TargetCall),
    /// The target refused the caller's session, and is called with a fresh one.
    Fresh(Fresh),
    /// `attended` with `brief`: the agent speaks with the target, and the caller is held.
    Brief(Brief),
    /// `attended`: the target has answered, and the caller's side is asked to take it over.
    TakeOver(AttendedTransfer),
    /// The target has answered, and the caller gets it.
    Join(Join),
}

/// Those that ask the caller's side to move the caller, by a REFER.
impl Way {
    pub(crate) fn refers(&self) -> bool {
        matches!(self, Way::Refer(_) | Way::TakeOver(_))
    }

    /// The REFER, while its result is open.
    pub(crate) fn sent(&self) -> Option<SentId> {
        match self {
            Way::Refer(refer) => refer.sent(),
            Way::TakeOver(transfer) => transfer.sent(),
            _ => None,
        }
    }

    /// Whether a REFER is out that cannot be taken back.
    pub(crate) fn is_irrevocable(&self) -> bool {
        match self {
            Way::Refer(refer) => !refer.is_to_be_sent(),
            Way::TakeOver(transfer) => transfer.sent().is_some(),
            _ => false,
        }
    }

    /// Whether the receiver has taken the REFER, whose result is open.
    pub(crate) fn is_accepted(&self) -> bool {
        match self {
            Way::Refer(refer) => refer.is_accepted(),
            Way::TakeOver(transfer) => transfer.is_accepted(),
            _ => false,
        }
    }

    /// The call ends now: whether the receiver may have the REFER, whose result is open.
    pub(crate) fn is_open(&self, cx: &mut Context<'_>, caller: LegId) -> bool {
        match self {
            Way::Refer(refer) => refer.is_open(cx, caller),
            Way::TakeOver(transfer) => transfer.is_open(cx, caller),
            _ => false,
        }
    }

    /// The caller's side hung up after it had taken the REFER: a NOTIFY may still tell what became of that.
    pub(crate) fn left(&mut self) {
        match self {
            Way::Refer(refer) => refer.left(),
            Way::TakeOver(transfer) => transfer.left(),
            _ => {}
        }
    }
}

impl Scene<'_, '_> {
    pub(crate) fn caller(&self) -> LegId {
        self.conversation.caller
    }

    /// A target that has answered and is joined with nobody asks something, or answers what the agent had asked it. False:
    /// the event is something else.
    pub(crate) fn is_settled_alone(&mut self, target: Option<LegId>, event: Event) -> bool {
        match event {
            Event::Response { leg, needs_answer: true, .. } if Some(leg) == target => {
                self.conversation.answer_offer(self.cx, leg);
                true
            }
            Event::Request { leg, request, kind } if Some(leg) == target => {
                answer_waiting(self.cx, leg, request, kind);
                true
            }
            _ => false,
        }
    }
}

//! What the engine tells of itself: the source of logs, records and `?wait=`.

use super::ids::{CallId, HandoffId, SipCallId};
use super::record::{AttemptView, CallRecord, CallView, Goodbye, HandoffView, Role, Stamp};
use super::test_call::view::TestCallView;
use crate::routing::Id;
use crate::routing::table::Method;
use crate::sip::Origin;
use crate::sip::identity::Said;
use crate::sip::leg::reach::Advice;
use std::fmt;
use std::sync::Arc;

/// Something that people or machines outside want to know. Every event carries its wall time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Stamp,
    /// What.
    pub what: EventKind,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It reached Baton.
    In,
    /// It left Baton.
    Out,
}

impl Direction {
    /// As the log tells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// Why messages were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Their source is neither trunk nor agent, and they belong to nothing of ours.
    Unknown,
    /// They belong to a call in which their source may not speak.
    Strange,
    /// A known source sent what cannot be read.
    Malformed,
    /// They belong to no call, and were refused.
    Stray,
    /// They ask for a password that they do not get, or have refused it.
    Challenge,
    /// There was no place for them.
    TurnedAway,
}

impl Why {
    /// As the log calls the event.
    pub fn event(self) -> &'static str {
        match self {
            Why::Unknown => "sip.unknown_source",
            Why::Strange => "sip.strange_source",
            Why::Malformed => "sip.malformed",
            Why::Stray => "sip.stray_request",
            Why::Challenge => "sip.challenge_declined",
            Why::TurnedAway => "call.refused",
        }
    }
}

/// What follows a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same destination by another method.
    Method(Method),
    /// Another destination.
    Destination(Id),
    /// The caller is with the agent as before.
    Agent,
    /// The call is handed back.
    Bye,
    /// The call is ended.
    Hangup,
    /// Nothing is left to try.
    None,
}

/// What follows where a leg was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    /// The call ends.
    End,
    /// The handoff that runs decides about the caller.
    HandoffGoesOn,
    /// The agent's fallback; `None`: the default of its table.
    Fallback(Option<Id>),
    /// Another address of the agent is called.
    Agent(Box<str>),
}

impl fmt::Display for AfterLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AfterLoss::End => f.write_str("end"),
            AfterLoss::HandoffGoesOn => f.write_str("the handoff goes on"),
            AfterLoss::Fallback(Some(id)) => write!(f, "fallback {id}"),
            AfterLoss::Fallback(None) => f.write_str("fallback (the table's default)"),
            AfterLoss::Agent(address) => write!(f, "agent {address}"),
        }
    }
}

impl fmt::Display for Next {
    /// The word of the table for a step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Next::Method(method) => method.name(),
            Next::Destination(id) => id,
            Next::Agent => "agent",
            Next::Bye => "bye",
            Next::Hangup => "hangup",
            Next::None => "none",
        })
    }
}

/// What happened.
#[expect(missing_docs, reason = "a field that is named like its type needs no words")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A call was admitted.
    CallStarted(Box<CallView>),
    /// The caller leg was answered.
    CallAnswered {
        call: CallId,
        /// Who answered.
        by: Role,
    },
    /// An INVITE from a known source was not admitted.
    CallRefused {
        /// Call-ID of the INVITE.
        sip_call_id: SipCallId,
        trunk: String,
        /// What the caller got.
        status: u16,
        /// Why, for people.
        reason: String,
        /// Those of the same source since the last line, this one included.
        count: u64,
    },
    /// The call is over; all that is to be kept of it.
    CallEnded(Arc<CallRecord>),
    /// A side said goodbye.
    LegBye {
        call: CallId,
        /// Whose leg.
        role: Role,
        /// How, and what it said.
        goodbye: Goodbye,
        sip_call_id: SipCallId,
    },
    /// A leg ended without a BYE of its own: the agent refused, did not answer or was lost.
    LegLost {
        call: CallId,
        /// Whose leg.
        role: Role,
        /// Why: its final status.
        status: u16,
        /// Who made it.
        origin: Origin,
        /// In words, where nobody has answered at all.
        reason: Option<&'static str>,
        /// What Baton does now.
        next: AfterLoss,
    },
    /// A request inside a leg and the OPTIONS that checked it were left without an answer, and nothing shows that the other
    /// side is gone: the leg stays. One WARN for a leg.
    LegSilent {
        call: CallId,
        /// Whose leg.
        role: Role,
        sip_call_id: SipCallId,
    },
    /// An agent or trunk answers no OPTIONS inside its dialogs, so that keepalive cannot tell whether it is there. One WARN for
    /// each of them, until the configuration is loaded again.
    KeepaliveIgnored {
        call: CallId,
        /// Whose leg.
        role: Role,
        /// Id of the agent, if it is one's leg; else of the trunk.
        party: String,
    },
    /// How the peer of a leg is reached may be set otherwise.
    Advice {
        call: CallId,
        /// Whose leg.
        role: Role,
        /// Id of the agent, if it is one's leg; else of the trunk.
        party: String,
        /// Where its requests go now: `udp:192.0.2.1:5060`.
        peer: String,
        /// What.
        advice: Advice,
    },
    /// A handoff was decided.
    HandoffStarted(Arc<HandoffView>),
    /// Its state changed, or a NOTIFY told of progress.
    HandoffProgress {
        call: CallId,
        handoff: HandoffId,
        /// The new state's word, or the status that was told.
        state: &'static str,
        /// A provisional status, if one was told.
        status: Option<u16>,
    },
    /// One WARN for each failed attempt.
    AttemptFailed {
        call: CallId,
        handoff: HandoffId,
        /// Whose table.
        environment: String,
        /// The caller's trunk.
        trunk: String,
        /// Whom its request went to: `udp:192.0.2.1:5060`. None: to nobody.
        peer: Option<String>,
        /// Counted from 1.
        number: usize,
        attempt: Box<AttemptView>,
        /// The step that follows.
        next: Next,
        /// What on-call staff should look at.
        hint: String,
    },
    /// In the place of [`EventKind::AttemptFailed`]: a REFER ended with a 200 that proves nothing, because this receiver says it before
    /// anybody answers.
    Unproven {
        call: CallId,
        handoff: HandoffId,
        /// Whose table.
        environment: String,
        /// The caller's trunk.
        trunk: String,
        /// Whom its request went to: `udp:192.0.2.1:5060`. None: to nobody.
        peer: Option<String>,
        /// Counted from 1.
        number: usize,
        attempt: Box<AttemptView>,
        /// The step that follows.
        next: Next,
        /// Why it proves nothing, and what would.
        hint: String,
    },
    /// The first call of a trunk whose blind REFERs cannot be known to have worked, and whose table has some.
    RefersUnproven {
        trunk: String,
        /// Who the trunk is seen to be: `Asterisk`.
        receiver: &'static str,
        /// What to do.
        hint: String,
    },
    /// A REFER that was given up was heard of after all: what followed it is taken back.
    AttemptResumed {
        call: CallId,
        handoff: HandoffId,
        /// Counted from 1.
        number: usize,
        attempt: Box<AttemptView>,
    },
    /// The handoff is over.
    HandoffEnded {
        /// The whole of it.
        handoff: Arc<HandoffView>,
        /// The caller leg ended by Baton or the receiver without `succeeded` or `handed_back`: the one ERROR.
        caller_hurt: bool,
    },
    /// A variable without a value and without a fallback left its header out.
    Undefined {
        call: CallId,
        handoff: HandoffId,
        /// The header that was left out.
        header: String,
        /// The variable, or why the value cannot stand there.
        why: String,
    },
    /// Something was asked by SIP that was not carried out: a built-in variable set by a header, a second Refer-To …
    Ignored {
        call: CallId,
        /// What, and why not.
        what: String,
    },
    /// A REFER of one side was passed to the other, which is to carry it out; and what that has told.
    ReferPassed {
        call: CallId,
        /// Who refers its partner.
        by: Role,
        /// Where to; None: this is the result.
        refer_to: Option<String>,
        /// The final status that was told; 408 where nothing is known. None: it was passed just now.
        status: Option<u16>,
    },
    /// A 4xx, 5xx or 6xx that reached or left Baton.
    Status {
        /// The call, if it belongs to one.
        call: Option<CallId>,
        /// Which way.
        direction: Direction,
        /// Of the request that it answers.
        method: &'static str,
        status: u16,
        /// The reason phrase as it stood there.
        reason: String,
        /// Who made it: a response that we send and a timeout of ours are local.
        origin: Origin,
        /// What a peer's says beside that.
        said: Said,
        sip_call_id: SipCallId,
        /// `udp:192.0.2.1:5060`.
        peer: String,
    },
    /// Messages were dropped: one line for each source and minute.
    Dropped {
        why: Why,
        /// The call that they claimed to belong to.
        call: Option<CallId>,
        /// `192.0.2.1:5060`; None: many sources, which have no line of their own.
        source: Option<String>,
        /// `udp`.
        transport: &'static str,
        /// The method; of a malformed message what is wrong with it, and where.
        what: String,
        /// What they were refused with, if they were.
        status: Option<u16>,
        /// Messages since the last line of this source, this one included.
        count: u64,
        /// What to do about it.
        hint: String,
    },
    /// A message that came or went; told at `debug` only.
    Message {
        /// Which way.
        direction: Direction,
        /// Its first line.
        line: String,
        /// `udp:192.0.2.1:5060`.
        peer: String,
        /// Call id, if it belongs to a call.
        call: Option<CallId>,
        sip_call_id: SipCallId,
    },
    /// A request of ours inside a call could not be sent.
    Undelivered {
        call: CallId,
        /// Of the request.
        method: &'static str,
        /// Where it was to go: `tcp:192.0.2.1:5060`.
        peer: String,
        /// It goes by the connection that the peer itself has used.
        again: bool,
        sip_call_id: SipCallId,
    },
    /// A test of a destination is over.
    Tested(Arc<TestCallView>),
    /// A fault in Baton itself cost this call.
    Fault {
        call: CallId,
        /// What the panic said.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_loss_is_told_in_these_words() {
        let words = [
            (AfterLoss::End, "end"),
            (AfterLoss::HandoffGoesOn, "the handoff goes on"),
            (AfterLoss::Fallback(Some("night".into())), "fallback night"),
            (AfterLoss::Fallback(None), "fallback (the table's default)"),
            (AfterLoss::Agent("sip:b@10.0.0.2".into()), "agent sip:b@10.0.0.2"),
        ];
        for (next, expected) in words {
            assert_eq!(next.to_string(), expected);
        }
    }
}

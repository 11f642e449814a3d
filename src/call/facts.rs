//! What a call knows of itself from its INVITE on, and the variables that are read from it.

use super::admission::{Admitted, local};
use super::context::{Context, Stay};
use super::ids::{CallId, SipCallId};
use super::record::{Goodbye, HandoffView, Role};
use super::waiting::Waiting;
use crate::routing::onward::Onward;
use crate::routing::profile::{Belief, Notify200, Profile, Receiver};
use crate::routing::topology::{Agent, Trunk};
use crate::sip::leg::SentId;
use crate::sip::{Event, Flow, LegId, Now, UnixMillis, identity, is_doubtful};
use crate::wire::Message;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a call knows of itself. Settings of trunk and agent are those of the moment when the call came.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: CallId,
    pub(crate) slot: u16,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) agent: Arc<Agent>,
    /// Call-ID of the caller leg.
    pub(crate) sip_call_id: SipCallId,
    /// E.164 or user part; None: anonymous.
    pub(crate) caller_id: Option<Box<str>>,
    pub(crate) caller_name: Option<Box<str>>,
    /// As it stood in the INVITE, normalised by the trunk's country.
    pub(crate) called: Box<str>,
    /// Who the other side of the caller leg is seen to be, by that dialog's own messages.
    pub(crate) receiver: Receiver,
    /// Max-Forwards of its INVITE.
    pub(crate) hops: Option<u8>,
    /// See [`identity::keep`].
    pub(crate) kept: Box<[u8]>,
    /// By `PATCH` and by decisions.
    pub(crate) set: BTreeMap<Box<str>, Box<str>>,
    pub(crate) started: Now,
    pub(crate) answered: Option<UnixMillis>,
    /// Ended handoffs, oldest first; at most [`KEPT_HANDOFFS`].
    pub(crate) handoffs: Vec<Arc<HandoffView>>,
    /// REFERs of ended handoffs that nothing was told of, oldest first; at most [`KEPT_HANDOFFS`].
    pub(crate) in_doubt: Vec<UnresolvedRefer>,
    /// One of them was told to have failed, and the caller's side has not said since whether it still has the caller.
    pub(crate) may_be_gone: bool,
    /// Targets whose call such a REFER, or one that was given up while the ladder goes on, asks the caller's side to take over.
    pub(crate) waiting: Waiting,
    /// Each leg that there was, for the record.
    pub(crate) legs: SmallVec<[Seen; 2]>,
    /// It counts as a call of its agent: until the agent is let go.
    pub(crate) holds_agent: bool,
    /// Its stay at the destination where the caller was joined, if that has a limit.
    pub(crate) stay: Option<Stay>,
    /// What the target may do that is with the caller now. None: it may not refer, or it is the agent.
    pub(crate) onward: Option<Box<Onward>>,
}

/// A REFER of ours whose result is open though its handoff has ended as `unknown`. Where a NOTIFY still says that the target has
/// the caller, Baton ends the call, for the REFER's receiver may wait for our BYE; where it says that the transfer has failed,
/// the caller stays with the agent, or gets its fallback. Forgotten with the call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnresolvedRefer {
    pub(crate) sent: SentId,
    /// Where a 200 proves nothing, a late one must not take the caller's leg away.
    pub(crate) belief: Belief,
    /// The receiver has taken it: it may have taken the caller away.
    pub(crate) accepted: bool,
    /// Its last NOTIFY has come: what is answered to the REFER itself afterwards is not the receiver's word.
    pub(crate) told: bool,
}

/// A leg that there was.
#[derive(Debug)]
pub(crate) struct Seen {
    leg: LegId,
    /// The caller's identity may be told to it, and its word about its own is believed (RFC 3325).
    trusted: bool,
    pub(crate) role: Role,
    pub(crate) sip_call_id: SipCallId,
    pub(crate) peer: Option<Flow>,
    pub(crate) goodbye: Option<Box<Goodbye>>,
}

impl Seen {
    /// Its events are the call's from now on; it is not trusted yet.
    fn taken(cx: &mut Context<'_>, leg: LegId, role: Role) -> Seen {
        cx.legs.insert(leg, cx.call, role);
        let sip_call_id = cx.stack.sip_call_id(leg).map(SipCallId::of).unwrap_or_default();
        Seen { leg, trusted: false, role, sip_call_id, peer: cx.stack.peer(leg), goodbye: None }
    }
}

/// Whoever sent a message, by its name.
fn recognised(message: &Message<'_>) -> Receiver {
    identity::product(message).map(Receiver::recognise).unwrap_or_default()
}

/// How many ended handoffs of one call are remembered.
const KEPT_HANDOFFS: usize = 32;

impl Facts {
    /// Reads the INVITE of a new call.
    pub(crate) fn new(
        now: Now,
        (id, slot): (CallId, u16),
        admitted: Admitted,
        message: &Message<'_>,
    ) -> Facts {
        let Admitted { trunk, agent, called } = admitted;
        let caller = identity::caller(message, trunk.trusted, local(&trunk));
        let normal = |number: &str| crate::routing::number::normalise(number, trunk.country).into();
        Facts {
            id,
            slot,
            sip_call_id: SipCallId::of(message.call_id()),
            caller_id: caller.user.as_deref().map(normal),
            caller_name: caller.name,
            called: normal(&called),
            receiver: recognised(message),
            hops: message.max_forwards(),
            kept: identity::keep(message),
            set: BTreeMap::new(),
            started: now,
            answered: None,
            handoffs: Vec::new(),
            in_doubt: Vec::new(),
            may_be_gone: false,
            waiting: Waiting::default(),
            legs: SmallVec::new(),
            holds_agent: true,
            stay: None,
            onward: None,
            trunk,
            agent,
        }
    }

    /// The caller's side, where it is believed, asserts who is there now: a PBX has moved the caller on, or knows better than
    /// at the beginning (RFC 5876 §3).
    pub(crate) fn identify(&mut self, message: &Message<'_>) {
        if !self.trunk.trusted || !identity::asserts(message) {
            return;
        }
        let caller = identity::caller(message, self.trunk.trusted, local(&self.trunk));
        let normal = |number: &str| crate::routing::number::normalise(number, self.trunk.country).into();
        (self.caller_id, self.caller_name) = (caller.user.as_deref().map(normal), caller.name);
    }

    /// Whether the caller leg is answered: before that there is no REFER.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// What the caller's side is known to mean by what it tells of a REFER that is no handoff's.
    pub(crate) fn belief(&self) -> Belief {
        Profile::base(self.trunk.profile).with(&self.trunk.overrides).belief
    }

    /// Whether its NOTIFY 200 says that somebody has the caller.
    pub(crate) fn believes_200(&self) -> bool {
        self.belief().notify_200(self.receiver) == Notify200::Reported
    }

    /// Looks at the name of whoever sent a message in the caller's dialog, until it is known.
    pub(crate) fn recognise(&mut self, message: &Message<'_>) {
        if self.receiver == Receiver::Generic {
            self.receiver = recognised(message);
        }
    }

    /// Remembers an ended handoff.
    pub(crate) fn keep(&mut self, cx: &mut Context<'_>, handoff: Arc<HandoffView>) {
        if self.handoffs.len() == KEPT_HANDOFFS {
            let oldest = self.handoffs.remove(0);
            cx.handoffs.remove(&*oldest.id);
        }
        // Most calls have one, and it is large.
        self.handoffs.reserve_exact(1);
        self.handoffs.push(handoff);
    }

    /// A handoff has ended, and nothing was told of that REFER.
    pub(crate) fn doubt(&mut self, doubt: UnresolvedRefer) {
        if self.in_doubt.len() == KEPT_HANDOFFS {
            self.in_doubt.remove(0);
        }
        self.in_doubt.push(doubt);
    }

    /// Whether an event says that a transfer in doubt has worked after all.
    pub(crate) fn has_arrived(&self, event: Event) -> bool {
        let Event::Notified { refer, progress, .. } = event else { return false };
        let is_proof =
            |doubt: &UnresolvedRefer| doubt.belief.notify_200(self.receiver) == Notify200::Reported;
        progress.is_success() && self.in_doubt.iter().any(|doubt| doubt.sent == refer && is_proof(doubt))
    }

    /// An event may say that the receiver has taken a REFER that is in doubt.
    fn see_doubt(&mut self, event: Event) {
        let (refer, told) = match event {
            Event::Response { sent, status: 200..=299, .. } => (sent, false),
            Event::Notified { refer, progress, .. } => (refer, progress.terminated),
            _ => return,
        };
        for doubt in self.in_doubt.iter_mut().filter(|doubt| doubt.sent == refer) {
            (doubt.accepted, doubt.told) = (true, doubt.told || told);
        }
    }

    /// The latest REFER of an ended handoff that the caller's side has taken, and whose result is open.
    pub(crate) fn accepted_in_doubt(&self) -> Option<&UnresolvedRefer> {
        self.in_doubt.iter().rev().find(|doubt| doubt.accepted)
    }

    /// Whether that REFER is in doubt.
    pub(crate) fn doubts(&self, sent: SentId) -> bool {
        self.in_doubt.iter().any(|doubt| doubt.sent == sent)
    }

    /// Whether an event says that the last transfer in doubt has failed, or that nobody has carried it out; one of which
    /// that is known is in doubt no more. The caller may have gone with it: then its side is to be asked.
    pub(crate) fn has_failed(&mut self, cx: &Context<'_>, event: Event) -> bool {
        self.see_doubt(event);
        let (failed, told) = match event {
            Event::Notified { refer, progress, .. } if progress.is_failure() => (refer, progress.status),
            // Silence refuses nothing, whoever made the status.
            Event::Response { status, .. } if is_doubtful(status) => return false,
            Event::Response { leg, sent, status: 300.., .. } if !cx.stack.is_subscribed(leg, sent) => {
                (sent, None)
            }
            _ => return false,
        };
        let is_it = |doubt: &UnresolvedRefer| doubt.sent == failed && (told.is_some() || !doubt.told);
        let Some(place) = self.in_doubt.iter().position(is_it) else { return false };
        let doubt = self.in_doubt.remove(place);
        self.may_be_gone |= told.is_some_and(|status| doubt.belief.asks(self.receiver, status));
        self.in_doubt.is_empty()
    }

    /// The agent has no part in the call any more: it may take another.
    pub(crate) fn free_agent(&mut self, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.holds_agent, false) {
            cx.agents.free(&self.agent.id);
        }
    }

    /// The agent is called again.
    pub(crate) fn hold_agent(&mut self, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.holds_agent, true) {
            cx.agents.take(&self.agent.id, 0);
        }
    }

    /// Takes the caller's leg into the call.
    pub(crate) fn own_caller(&mut self, cx: &mut Context<'_>, leg: LegId) {
        self.legs.push(Seen { trusted: self.trunk.trusted, ..Seen::taken(cx, leg, Role::Caller) });
    }

    /// Takes the leg of an agent into the call.
    pub(crate) fn own_agent(&mut self, cx: &mut Context<'_>, leg: LegId) {
        self.legs.push(Seen { trusted: true, ..Seen::taken(cx, leg, Role::Agent) });
    }

    /// Takes the leg of a target into the call. `trusted`: see [`Seen`].
    pub(crate) fn own_target(&mut self, cx: &mut Context<'_>, leg: LegId, trusted: bool) {
        self.legs.push(Seen { trusted, ..Seen::taken(cx, leg, Role::Target) });
    }

    /// What a side has said as it left is kept with its leg.
    pub(crate) fn said_goodbye(&mut self, leg: LegId, goodbye: Goodbye) {
        if let Some(seen) = self.legs.iter_mut().find(|seen| seen.leg == leg) {
            seen.goodbye = Some(Box::new(goodbye));
        }
    }

    /// Whether P-Asserted-Identity and Privacy pass between the caller and that leg.
    pub(crate) fn identity_with(&self, leg: LegId) -> bool {
        self.trunk.trusted && self.legs.iter().any(|seen| seen.leg == leg && seen.trusted)
    }
}

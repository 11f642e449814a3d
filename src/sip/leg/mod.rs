//! One INVITE usage of one dialog: the caller's leg, the agent's or a target's. What it holds; cut by verb.
//!
//! A leg knows SIP and nothing of calls. It is a machine: each verb is handed the time and what all legs share (an `Io`),
//! changes this leg, and says what has come of it by [`Event`]. It reaches no other leg; the stack, which holds them,
//! settles it afterwards. Not here: what moves it from state to state; that stands in the files below, and so are the
//! states (`usage`) and its requests (`pending`).

mod accept;
mod aim;
mod belated;
pub mod carry;
mod catch_up;
pub mod challenge;
mod close;
pub mod connect;
pub mod content;
pub mod decision;
mod delivery;
pub mod event;
pub mod inquire;
mod keepalive;
pub mod modify;
mod outcome;
mod pending;
mod prack;
pub(crate) mod presence;
pub mod reach;
mod reading;
pub mod reason_info;
pub mod refer;
mod refresh;
mod reliable;
mod replaces;
mod request;
mod send;
mod sent_id;
pub mod session_timer;
mod standing;
pub mod subscription;
mod timers;
pub mod tries;
mod usage;
mod write;

pub use connect::Connect;
pub use content::{Body, Content, Field};
pub use event::{Event, InDialogRequest, LegId, Origin, RequestId, SentId};
pub(crate) use standing::Standing;

use super::core::Io;
use super::deadline::Deadlines;
use super::dialog::Dialog;
use super::flow::Flow;
use super::offer_answer::{Session, differs};
use super::timing::Time;
use super::transaction::ClientId;
use crate::wire::Message;
use event::LegState;
use keepalive::KeepAlive;
use pending::{Kind, PendingUac, PendingUas, Purpose, Unacked};
use presence::Presence;
use reach::Reach;
use reliable::Reliable;
use session_timer::Timer;
use standing::Heard;
use std::num::NonZeroU16;
use subscription::{Referral, Subscription};
use tries::Fault;
use usage::Usage;

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    /// Identifiers, addresses, target and routes.
    dialog: Dialog,
    /// Offer and answer. While the peer's INVITE is unanswered, each [`Party`] has its own copy: see [`Leg::session`].
    session: Session,
    /// The INVITE usage.
    usage: Usage,
    /// Where requests go and, for Contact, by which listener.
    flow: Flow,
    /// CSeq of our last request; in the early dialogs of a call of ours each branch counts by itself.
    local_cseq: u32,
    /// CSeq of the peer's last request, ACK and CANCEL apart. Before the answer each early dialog counts by itself: see
    /// [`Leg::last_heard`].
    remote_cseq: Option<u32>,
    /// Whether we called: then the Call-ID is ours.
    outgoing: bool,
    /// Whose it is: see [`Leg::party`]. One more than the index, which keeps a leg small.
    owner: Option<NonZeroU16>,
    /// Whether challenges in it are answered.
    digest: bool,
    /// Whether the message at hand may change where we send: not if only its tags speak for its source.
    moves: bool,
    /// No event comes any more; once over and done, the leg goes.
    released: bool,
    /// The layer above has its last event, though our BYE is still on its way.
    quiet: bool,
    /// Our requests that are unanswered or, if INVITEs, may still see another 2xx.
    sent: Vec<PendingUac>,
    /// The peer's requests that wait for the layer above.
    asked: Vec<PendingUas>,
    /// Our 2xx to an INVITE that waits for its ACK.
    unacked: Option<Box<Unacked>>,
    /// What few legs have.
    aside: Option<Box<Aside>>,
    /// Subscriptions that our REFERs made.
    subscriptions: Vec<Subscription>,
    /// Subscriptions that the peer's REFERs made.
    referrals: Vec<Referral>,
    /// OPTIONS inside the dialog.
    keepalive: Option<Box<KeepAlive>>,
    /// What is known of the peer in the dialog.
    presence: Presence,
    /// The session expires unless somebody refreshes it.
    timer: Option<Box<Timer>>,
    /// The peer takes UPDATE: its last Allow said so.
    updates: bool,
    /// The entry of the deadlines that counts.
    armed: Option<Time>,
}

/// What few legs have.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// RSeq and CSeq of a provisional response that our 2xx has overtaken: its PRACK may still come (RFC 3262 §3).
    overtaken: Option<(u32, u32)>,
    /// The flow that the peer itself has used, where the dialog leads elsewhere: it serves if that fails (RFC 5923).
    source: Option<Flow>,
    /// Further addresses that the dialog was heard from or sent to.
    heard: Heard,
    /// The last re-INVITE of ours that was given up without any final response: its 2xx may still come.
    unanswered: Option<Box<PendingUac>>,
    /// When a 481 is to be confirmed, which another re-INVITE was in the way of.
    unconfirmed: Option<Time>,
    /// Why our call has failed without a word from anybody.
    fault: Option<Fault>,
    /// How its peer is reached, where that is not as usual.
    reach: Reach,
    /// What the peer has asserted of itself last (RFC 3325), as a hash. None: nothing.
    asserted: Option<u64>,
    /// Questions of its whose answers are still to come.
    asking: u16,
}

impl Leg {
    /// A leg in that state, with nothing sent and nothing received.
    pub(crate) fn new(dialog: Dialog, flow: Flow, usage: Usage) -> Leg {
        Leg {
            dialog,
            session: Session::default(),
            usage,
            flow,
            local_cseq: 0,
            remote_cseq: None,
            outgoing: false,
            owner: None,
            digest: false,
            moves: true,
            released: false,
            quiet: false,
            sent: Vec::new(),
            asked: Vec::new(),
            unacked: None,
            aside: None,
            subscriptions: Vec::new(),
            referrals: Vec::new(),
            keepalive: None,
            presence: Presence::default(),
            timer: None,
            updates: false,
            armed: None,
        }
    }

    /// The Call-ID header.
    pub(crate) fn call_id(&self) -> &[u8] {
        self.dialog.call_id()
    }

    /// The path to its peer.
    pub(crate) fn peer(&self) -> Flow {
        self.flow
    }

    /// Whether we called.
    pub(crate) fn is_outgoing(&self) -> bool {
        self.outgoing
    }

    /// The SDP that we sent last (as it went out, with the leg's own `o=`) and that was not refused.
    pub(crate) fn local_sdp(&self) -> Option<&[u8]> {
        Some(self.session().local()).filter(|sdp| !sdp.is_empty())
    }

    /// The SDP of the peer that stands.
    pub(crate) fn remote_sdp(&self) -> Option<&[u8]> {
        let session = self.session();
        let sdp = if session.remote().is_empty() { session.proposed()? } else { session.remote() };
        Some(sdp).filter(|sdp| !sdp.is_empty())
    }

    /// The peer's offer that waits for our answer.
    pub(crate) fn proposed_sdp(&self) -> Option<&[u8]> {
        self.session().offered_now().filter(|sdp| !sdp.is_empty())
    }

    /// Whether the peer may have another SDP of ours than [`Leg::local_sdp`].
    pub(crate) fn is_unsure(&self) -> bool {
        self.session().is_unsure()
    }

    /// Whether the peer has agreed to the last offer that we made.
    pub(crate) fn is_agreed(&self) -> bool {
        self.session().is_agreed()
    }

    /// Whether the peer's offer says what stands once more, but for its `o=` line.
    pub(crate) fn repeats(&self) -> bool {
        let session = self.session();
        session.offered_now().is_some_and(|offer| !differs(session.remote(), offer))
    }

    /// Whether our 2xx waits for its ACK, and nothing else keeps a request about the session from being sent.
    pub(crate) fn waits_for_ack(&self) -> bool {
        self.is_answered() && self.unacked.is_some() && !self.asks_invite() && self.unanswered().is_none()
    }

    /// The tag that our responses to the INVITE carry by now.
    pub(crate) fn response_tag(&self) -> &[u8] {
        match &self.usage {
            Usage::Offered(offered) => {
                offered.parties.last().map_or(self.dialog.local_tag(), |party| party.tag.as_bytes())
            }
            _ => self.dialog.local_tag(),
        }
    }

    /// An event, which the message at hand caused; None if nobody cares for the leg any more.
    fn told(&self, event: Event) -> Option<Event> {
        (!self.released).then_some(event)
    }

    /// Queues an event that no message caused.
    fn tell(&self, io: &mut Io<'_>, event: Event) {
        io.core.events.extend(self.told(event));
    }

    /// Takes a request of ours out.
    fn take_sent(&mut self, client: ClientId) -> Option<PendingUac> {
        let place = self.sent.iter().position(|sent| sent.client == client)?;
        Some(self.sent.remove(place))
    }

    /// Whose it is: an index into the settings' parties.
    pub(crate) fn party(&self) -> Option<u16> {
        self.owner.map(|owner| owner.get() - 1)
    }

    /// From now on it is that party's, and whether challenges in it are answered.
    pub(crate) fn belongs_to(&mut self, party: Option<u16>, digest: bool) {
        self.owner = party.and_then(|party| NonZeroU16::new(party.wrapping_add(1)));
        self.digest = digest;
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> LegState {
        match &self.usage {
            Usage::Offered(offered) if offered.parties.is_empty() => LegState::Trying,
            Usage::Offered(_) => LegState::Ringing,
            Usage::Calling(calling) if calling.cancelled.is_some() => LegState::Closing,
            Usage::Calling(calling) if calling.ringing => LegState::Ringing,
            Usage::Calling(_) => LegState::Trying,
            Usage::Confirmed if self.unacked.is_some() || self.unanswered().is_some() => LegState::Answered,
            Usage::Confirmed => LegState::Confirmed,
            Usage::Refusing | Usage::Closing => LegState::Closing,
            Usage::Over => LegState::Over,
        }
    }

    /// See [`Aside::source`].
    pub(crate) fn source(&self) -> Option<Flow> {
        self.aside.as_ref()?.source
    }

    /// Offer and answer as they stand: of the early dialog that is heard now, if there is one.
    pub(crate) fn session(&self) -> &Session {
        let early = match &self.usage {
            Usage::Offered(offered) => offered.parties.last().map(|party| &party.session),
            Usage::Calling(calling) => calling.early.last().map(|early| &early.session),
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => None,
        };
        early.unwrap_or(&self.session)
    }

    /// What tells an early dialog of this leg from the others: the tag of the side that forks.
    fn branch_tag<'a>(&self, local: &'a [u8], remote: &'a [u8]) -> &'a [u8] {
        if self.outgoing { remote } else { local }
    }

    /// The early dialog that a request of the peer's belongs to. None: none that is known, or the leg is answered.
    pub(crate) fn branch(&self, message: &Message<'_>) -> Option<Box<[u8]>> {
        let (local, remote) = (message.to_tag().unwrap_or(b""), message.from_tag().unwrap_or(b""));
        let tag = self.branch_tag(local, remote);
        let known = match &self.usage {
            Usage::Offered(offered) => offered.parties.iter().any(|party| party.tag.as_bytes() == tag),
            Usage::Calling(calling) => calling.early.iter().any(|early| early.dialog.remote_tag() == tag),
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => false,
        };
        known.then(|| tag.into())
    }

    /// Whether that early dialog is the one that is heard now.
    fn is_heard(&self, branch: &[u8]) -> bool {
        match &self.usage {
            Usage::Offered(offered) => {
                offered.parties.last().is_some_and(|party| party.tag.as_bytes() == branch)
            }
            Usage::Calling(calling) => {
                calling.early.last().is_some_and(|early| early.dialog.remote_tag() == branch)
            }
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => false,
        }
    }

    /// The session of an early dialog, which may be the leg's by now; `None`: the leg's own. None: it is gone, because the
    /// leg was answered by another branch, or the INVITE was sent again.
    fn session_in(&mut self, branch: Option<&[u8]>) -> Option<&mut Session> {
        let Some(tag) = branch else { return Some(&mut self.session) };
        let is_leg = self.branch_tag(self.dialog.local_tag(), self.dialog.remote_tag()) == tag;
        match &mut self.usage {
            Usage::Offered(offered) => {
                let party = offered.parties.iter_mut().find(|party| party.tag.as_bytes() == tag);
                party.map(|party| &mut party.session)
            }
            Usage::Calling(calling) => {
                let early = calling.early.iter_mut().find(|early| early.dialog.remote_tag() == tag);
                early.map(|early| &mut early.session)
            }
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => {
                is_leg.then_some(&mut self.session)
            }
        }
    }

    /// The same, to be looked at.
    fn session_of(&self, branch: Option<&[u8]>) -> Option<&Session> {
        let Some(tag) = branch else { return Some(&self.session) };
        let is_leg = self.branch_tag(self.dialog.local_tag(), self.dialog.remote_tag()) == tag;
        match &self.usage {
            Usage::Offered(offered) => {
                let party = offered.parties.iter().find(|party| party.tag.as_bytes() == tag);
                party.map(|party| &party.session)
            }
            Usage::Calling(calling) => {
                let early = calling.early.iter().find(|early| early.dialog.remote_tag() == tag);
                early.map(|early| &early.session)
            }
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => {
                is_leg.then_some(&self.session)
            }
        }
    }

    /// Whether it is answered and not being ended.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.usage, Usage::Confirmed)
    }

    /// The place among [`Leg::sent`] of an INVITE whose 2xx was not acknowledged yet.
    pub(crate) fn unanswered(&self) -> Option<usize> {
        self.sent.iter().position(|sent| sent.accepted().is_some_and(|accepted| accepted.ack.is_none()))
    }

    /// Whether it is over, released and done: nothing is left of it to be kept.
    pub(crate) fn is_finished(&self) -> bool {
        self.released && self.is_done()
    }

    /// After anything that changed it: arms its earliest deadline.
    pub(crate) fn settle(&mut self, now: Time, id: LegId, deadlines: &mut Deadlines<LegId>) {
        self.shrink();
        match self.usage {
            Usage::Offered(_) | Usage::Calling(_) | Usage::Confirmed => {}
            Usage::Refusing | Usage::Closing | Usage::Over => self.keepalive = None,
        }
        let Some(at) = self.next_deadline() else { return };
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(deadlines.arm(now, at - now, id));
        }
    }

    /// Whether that entry of the deadlines is the one that counts; from now on none does.
    pub(crate) fn disarm(&mut self, at: Time) -> bool {
        self.armed.take_if(|armed| *armed == at).is_some()
    }

    /// Whether nothing remains to be done in it but to be released.
    fn is_done(&self) -> bool {
        // Nobody waits for the ACK of a refusal but the transaction itself.
        matches!(self.usage, Usage::Over | Usage::Refusing)
            && self.sent.is_empty()
            && self.asked.is_empty()
            && self.unacked.is_none()
            && self.referrals.iter().all(|referral| referral.current.is_none())
    }

    /// Gives back what lists without entries hold: most legs are idle most of the time.
    fn shrink(&mut self) {
        fn shrink<T>(list: &mut Vec<T>) {
            if list.is_empty() {
                *list = Vec::new();
            }
        }
        shrink(&mut self.sent);
        shrink(&mut self.asked);
        shrink(&mut self.subscriptions);
        shrink(&mut self.referrals);
    }

    /// Whether an INVITE of ours is without a final response.
    fn asks_invite(&self) -> bool {
        let open = |sent: &PendingUac| {
            sent.invite().is_some_and(|invite| invite.accepted.is_none()) && !sent.is_unwanted()
        };
        self.sent.iter().any(open)
    }

    /// Whether a re-INVITE is out that confirms missed keepalives.
    fn is_being_confirmed(&self) -> bool {
        let confirms = |sent: &PendingUac| match &sent.kind {
            Kind::Modify { invite, purpose: Purpose::Confirmation, .. } => invite.accepted.is_none(),
            _ => false,
        };
        self.sent.iter().any(confirms)
    }

    /// Whether an answer of ours may not have been seen yet: in a 2xx, or in a reliable provisional response.
    fn is_answer_open(&self) -> bool {
        self.unacked.is_some()
            || matches!(&self.usage, Usage::Offered(offered)
                if offered.reliable.as_deref().is_some_and(Reliable::answers))
    }

    /// Whether an INVITE of ours or of the peer's is under way (RFC 3261 §14.1).
    fn invite_under_way(&self) -> bool {
        self.unacked.is_some()
            || self.unanswered().is_some()
            || self.asks_invite()
            || self.asked.iter().any(|asked| asked.kind == InDialogRequest::Modify)
    }

    /// When a 481 is to be confirmed that waits for that.
    fn unconfirmed(&self) -> Option<Time> {
        self.aside.as_ref().and_then(|aside| aside.unconfirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_leg_is_small_beside_its_texts() {
        // Dialog and SDPs of a usual leg are some 1,000 bytes; two legs are to stay under 3.8 kB.
        assert!(size_of::<Leg>() <= 352, "{}", size_of::<Leg>());
    }
}

//! What a leg holds, and the states of its INVITE usage. Each state owns what is valid in it and nothing else.
//!
//! Not here: what moves it from state to state; that is cut by verb in the files beside this one.

use super::challenge::Answered;
use super::keepalive::KeepAlive;
use super::presence::{Presence, Purpose};
use super::reach::Reach;
use super::reliable::{BRANCHES, EarlyUac, Reliable};
use super::session_timer::{Demand, Timer};
use super::tries::{Fault, Patience, Try};
use super::{Field, Origin, SentId};
use crate::sip::dialog::Dialog;
use crate::sip::door::Heard;
use crate::sip::flow::Flow;
use crate::sip::ident::Text;
use crate::sip::leg::subscription::{NotifyId, Referral, Subscription};
use crate::sip::offer_answer::Session;
use crate::sip::stack::LegState;
use crate::sip::timing::Time;
use crate::sip::transaction::{ClientId, ServerId};
use crate::wire::{Message, Name};
use smallvec::SmallVec;
use std::num::NonZeroU16;
use std::time::Duration;

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    /// Identifiers, addresses, target and routes.
    pub(crate) dialog: Dialog,
    /// Offer and answer. While the peer's INVITE is unanswered, each [`Party`] has its own copy: see [`Leg::session`].
    pub(crate) session: Session,
    /// The INVITE usage.
    pub(crate) usage: Usage,
    /// Where requests go and, for Contact, by which listener.
    pub(crate) flow: Flow,
    /// CSeq of our last request; in the early dialogs of a call of ours each branch counts by itself.
    pub(crate) local_cseq: u32,
    /// CSeq of the peer's last request, ACK and CANCEL apart. Before the answer each early dialog counts by itself: see
    /// [`Leg::last_heard`].
    pub(crate) remote_cseq: Option<u32>,
    /// Whether we called: then the Call-ID is ours.
    pub(crate) outgoing: bool,
    /// Whose it is: see [`Leg::party`]. One more than the index, which keeps a leg small.
    pub(super) owner: Option<NonZeroU16>,
    /// Whether challenges in it are answered.
    pub(crate) digest: bool,
    /// Whether the message at hand may change where we send: not if only its tags speak for its source.
    pub(crate) moves: bool,
    /// No event comes any more; once over and done, the leg goes.
    pub(crate) released: bool,
    /// The layer above has its last event, though our BYE is still on its way.
    pub(crate) quiet: bool,
    /// Our requests that are unanswered or, if INVITEs, may still see another 2xx.
    pub(crate) sent: Vec<PendingUac>,
    /// The peer's requests that wait for the layer above.
    pub(crate) asked: Vec<PendingUas>,
    /// Our 2xx to an INVITE that waits for its ACK.
    pub(crate) unacked: Option<Box<Unacked>>,
    /// What few legs have.
    pub(crate) aside: Option<Box<Aside>>,
    /// Subscriptions that our REFERs made.
    pub(crate) subscriptions: Vec<Subscription>,
    /// Subscriptions that the peer's REFERs made.
    pub(crate) referrals: Vec<Referral>,
    /// OPTIONS inside the dialog.
    pub(crate) keepalive: Option<Box<KeepAlive>>,
    /// What is known of the peer in the dialog.
    pub(crate) presence: Presence,
    /// The session expires unless somebody refreshes it.
    pub(crate) timer: Option<Box<Timer>>,
    /// The peer takes UPDATE: its last Allow said so.
    pub(crate) updates: bool,
    /// The entry of the deadlines that counts.
    pub(crate) armed: Option<Time>,
}

/// What few legs have.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// RSeq and CSeq of a provisional response that our 2xx has overtaken: its PRACK may still come (RFC 3262 §3).
    pub(crate) overtaken: Option<(u32, u32)>,
    /// The flow that the peer itself has used, where the dialog leads elsewhere: it serves if that fails (RFC 5923).
    pub(crate) source: Option<Flow>,
    /// Further addresses that the dialog was heard from or sent to.
    pub(crate) heard: Heard,
    /// The last re-INVITE of ours that was given up without any final response: its 2xx may still come.
    pub(crate) unanswered: Option<Box<PendingUac>>,
    /// When a 481 is to be confirmed, which another re-INVITE was in the way of.
    pub(crate) unconfirmed: Option<Time>,
    /// Why our call has failed without a word from anybody.
    pub(crate) fault: Option<Fault>,
    /// How its peer is reached, where that is not as usual.
    pub(crate) reach: Reach,
    /// What the peer has asserted of itself last (RFC 3325), as a hash. None: nothing.
    pub(crate) asserted: Option<u64>,
}

/// The INVITE usage (RFC 5057).
#[derive(Debug)]
pub(crate) enum Usage {
    /// The peer's INVITE has no final response.
    Offered(Box<Offered>),
    /// Our INVITE has no final response.
    Calling(Box<Calling>),
    /// Answered (our 2xx may still wait for its ACK: [`Leg::unacked`]; the peer's for our answer to its offer:
    /// [`Leg::unanswered`]).
    Confirmed,
    /// Our 300-699 to the peer's INVITE waits for its ACK.
    Refusing,
    /// We end it: CANCEL or BYE is on its way, or waits until it may go.
    Closing,
    /// Ended.
    Over,
}

/// A caller's leg before its final response.
#[derive(Debug)]
pub(crate) struct Offered {
    /// The transaction of the INVITE.
    pub(crate) server: ServerId,
    /// CSeq of the INVITE.
    pub(crate) cseq: u32,
    /// Whom the caller heard: an early dialog for each.
    pub(crate) parties: SmallVec<[EarlyUas; 1]>,
    /// When the last 18x is to be sent again (RFC 3261 §13.3.1.1), if there was one.
    pub(crate) repeat_at: Option<Time>,
    /// What is to be acknowledged of our provisional responses; None: the caller does not ask for that.
    pub(crate) reliable: Option<Box<Reliable>>,
    /// What our 2xx says of the session's expiry.
    pub(crate) demand: Option<Demand>,
    /// When the INVITE is over unless it was answered (RFC 3261 §13.3.1).
    pub(crate) expires: Option<Time>,
}

/// One early dialog with the caller.
#[derive(Debug)]
pub(crate) struct EarlyUas {
    /// As the layer above numbers it.
    pub(crate) number: u8,
    /// Our To-tag.
    pub(crate) tag: Text,
    /// CSeq of the peer's last request in it, the INVITE at first.
    pub(crate) remote_cseq: Option<u32>,
    /// Offer and answer in it.
    pub(crate) session: Session,
    /// A reliable provisional response carried the answer to the INVITE's offer: the 2xx carries none.
    pub(crate) answered: bool,
}

/// A leg of ours before its final response.
#[derive(Debug)]
pub(crate) struct Calling {
    /// Where else the INVITE may go, next one last.
    pub(crate) others: SmallVec<[Flow; 2]>,
    /// How long silence lasts.
    pub(crate) patience: Patience,
    /// Somebody has answered, by any flow.
    pub(crate) provisional: bool,
    /// How a try has ended that did not decide the call, for another one goes on.
    pub(crate) passed: Option<(u16, Origin)>,
    /// A 101-199 came.
    pub(crate) ringing: bool,
    /// Branches that sent reliable provisional responses, the latest last.
    pub(crate) early: Vec<EarlyUac>,
    /// It is cancelled; the headers of a BYE, should a 2xx cross the CANCEL.
    pub(crate) cancelled: Option<Box<[Field]>>,
    /// The layer above has its last event: the peer's BYE was it.
    pub(crate) quiet: bool,
}

/// What a branch of an INVITE of ours has said of its session in a provisional response.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) tag: Box<[u8]>,
    pub(crate) sdp: Box<[u8]>,
}

impl PendingUac {
    /// A provisional response carried an SDP, the last one of its branch counts.
    pub(crate) fn note_said(&mut self, tag: &[u8], sdp: &[u8]) {
        if let Some(said) = self.said.iter_mut().find(|said| &*said.tag == tag) {
            said.sdp = sdp.into();
        } else if self.said.len() < BRANCHES {
            self.said.push(Said { tag: tag.into(), sdp: sdp.into() });
        }
    }

    /// What the branch with that To-tag has said in a provisional response.
    pub(crate) fn said(&self, tag: &[u8]) -> Option<&[u8]> {
        self.said.iter().find(|said| &*said.tag == tag).map(|said| &*said.sdp)
    }
}

/// A request of ours.
#[derive(Debug)]
pub(crate) struct PendingUac {
    /// Its name above; for the stack's own requests a name that nobody knows.
    pub(crate) id: SentId,
    /// Its transaction.
    pub(crate) client: ClientId,
    pub(crate) cseq: u32,
    /// What it is.
    pub(crate) kind: Kind,
    /// What it is sent for.
    pub(crate) purpose: Purpose,
    /// The peer was heard since it went out.
    pub(crate) heard: bool,
    /// Whether it carries an offer.
    pub(crate) offered: bool,
    /// The early dialog that it was sent in (see [`Leg::session_in`]).
    pub(crate) branch: Option<Box<[u8]>>,
    /// The realms whose challenges to it were answered.
    pub(crate) challenged: Vec<Answered>,
    /// It was sent again with a longer session expiry, which a 422 had asked for.
    pub(crate) widened: bool,
    /// How often it was sent again because another request had overtaken it.
    pub(crate) overtaken: u8,
    /// It was sent again by [`Aside::source`].
    pub(crate) by_source: bool,
    /// Nothing of it is sent any more.
    pub(crate) given_up: bool,
    /// Its text, where it may have to be sent again in another transaction.
    pub(crate) request: Option<Box<[u8]>>,
    /// Where it goes if this flow fails: a request that went by TCP only because of its size (RFC 3261 §18.1.1).
    pub(crate) fallback: Option<Flow>,
    /// What the branches of an INVITE with an offer have said of their sessions in provisional responses.
    pub(crate) said: Vec<Said>,
    /// Timer C (RFC 3261 §16.6) of an INVITE that is provisionally answered.
    pub(crate) expires: Option<Time>,
    /// Of an INVITE that makes a leg: where it went, and what came of it.
    pub(crate) attempt: Try,
    /// A 2xx to this INVITE came.
    pub(crate) accepted: Option<Box<Accepted>>,
}

/// What is kept of an accepted INVITE of ours, for as long as a 2xx may come again.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The To-tag of the 2xx that counted.
    pub(crate) tag: Box<[u8]>,
    /// Its ACK, once it is made.
    pub(crate) ack: Option<(Flow, Box<[u8]>)>,
    /// What became of that ACK.
    pub(crate) acknowledged: Acknowledged,
    /// The ACK went by [`Aside::source`].
    pub(crate) by_source: bool,
    /// What the INVITE answered its challenges with, which an ACK repeats (RFC 3261 §22.1).
    pub(crate) credentials: Vec<(Name, Box<[u8]>)>,
    /// Other branches of its fork.
    pub(crate) others: Vec<ForkBranch>,
    /// Until when: Timer M.
    pub(crate) until: Time,
}

/// What became of an ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// It waits for its connection.
    Waiting,
    /// It has left.
    Sent,
    /// It could not be sent.
    Failed,
}

/// A branch of a fork whose 2xx does not count.
#[derive(Debug)]
pub(crate) struct ForkBranch {
    pub(crate) tag: Box<[u8]>,
    /// CSeq of our last request to it.
    pub(crate) cseq: u32,
    /// The ACK of its 2xx, after which its BYE was sent.
    pub(crate) ack: Option<(Flow, Box<[u8]>)>,
}

/// What a request of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The INVITE that made the leg.
    Invite,
    /// re-INVITE.
    Modify,
    /// UPDATE.
    Update,
    /// INFO.
    Info,
    /// REFER.
    Refer,
    /// NOTIFY.
    Notify(NotifyId),
    /// OPTIONS that the layer above asked for.
    Probe,
    /// OPTIONS of the stack's own, at an interval.
    KeepAlive,
    /// OPTIONS of the stack's own, because something was left without an answer.
    Check,
    /// PRACK of the stack's own.
    Prack,
    /// BYE.
    Bye,
}

/// A request of the peer's.
#[derive(Debug)]
pub(crate) struct PendingUas {
    /// Its transaction.
    pub(crate) server: ServerId,
    /// What it wants.
    pub(crate) kind: super::InDialogRequest,
    pub(crate) cseq: u32,
    /// Whether it carries an offer.
    pub(crate) offered: bool,
    /// The early dialog that it came in (see [`Leg::session_in`]).
    pub(crate) branch: Option<Box<[u8]>>,
    /// `Refer-Sub: false` stands on it.
    pub(crate) no_subscription: bool,
    /// What our 2xx says of the session's expiry.
    pub(crate) demand: Option<Demand>,
}

/// Our 2xx to an INVITE, retransmitted until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(crate) struct Unacked {
    /// The transaction, which keeps the response.
    pub(crate) server: ServerId,
    /// CSeq of the INVITE.
    pub(crate) cseq: u32,
    /// When it is sent again.
    pub(crate) at: Time,
    /// The interval that ends then.
    pub(crate) interval: Duration,
    /// When it is given up.
    pub(crate) until: Time,
    /// Whether our 2xx carried an offer, which the ACK answers.
    pub(crate) offered: bool,
    /// The headers of a BYE that waits for the ACK.
    pub(crate) bye: Option<Box<[Field]>>,
}

impl Leg {
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
    pub(crate) fn branch_tag<'a>(&self, local: &'a [u8], remote: &'a [u8]) -> &'a [u8] {
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
    pub(crate) fn is_heard(&self, branch: &[u8]) -> bool {
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
    pub(crate) fn session_in(&mut self, branch: Option<&[u8]>) -> Option<&mut Session> {
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

    /// Whether it is answered and not being ended.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.usage, Usage::Confirmed)
    }

    /// The place among [`Leg::sent`] of an INVITE whose 2xx was not acknowledged yet.
    pub(crate) fn unanswered(&self) -> Option<usize> {
        self.sent
            .iter()
            .position(|sent| sent.accepted.as_ref().is_some_and(|accepted| accepted.ack.is_none()))
    }

    /// Whether nothing remains to be done in it but to be released.
    pub(crate) fn is_done(&self) -> bool {
        // Nobody waits for the ACK of a refusal but the transaction itself.
        matches!(self.usage, Usage::Over | Usage::Refusing)
            && self.sent.is_empty()
            && self.asked.is_empty()
            && self.unacked.is_none()
            && self.referrals.iter().all(|referral| referral.current.is_none())
    }

    /// Gives back what lists without entries hold: most legs are idle most of the time.
    pub(crate) fn shrink(&mut self) {
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
    pub(crate) fn asks_invite(&self) -> bool {
        let open = |sent: &PendingUac| {
            let invites = matches!(sent.kind, Kind::Invite | Kind::Modify);
            invites && sent.accepted.is_none() && !sent.attempt.is_unwanted()
        };
        self.sent.iter().any(open)
    }

    /// Whether a re-INVITE is out that confirms missed keepalives.
    pub(crate) fn is_being_confirmed(&self) -> bool {
        let confirms = |sent: &PendingUac| sent.purpose == Purpose::Confirmation && sent.accepted.is_none();
        self.sent.iter().any(confirms)
    }

    /// Whether an answer of ours may not have been seen yet: in a 2xx, or in a reliable provisional response.
    pub(crate) fn is_answer_open(&self) -> bool {
        self.unacked.is_some()
            || matches!(&self.usage, Usage::Offered(offered)
                if offered.reliable.as_deref().is_some_and(Reliable::answers))
    }

    /// Whether an INVITE of ours or of the peer's is under way (RFC 3261 §14.1).
    pub(crate) fn invite_under_way(&self) -> bool {
        self.unacked.is_some()
            || self.unanswered().is_some()
            || self.asks_invite()
            || self.asked.iter().any(|asked| asked.kind == super::InDialogRequest::Modify)
    }

    /// When a 481 is to be confirmed that waits for that.
    pub(crate) fn unconfirmed(&self) -> Option<Time> {
        self.aside.as_ref().and_then(|aside| aside.unconfirmed)
    }

    /// The earliest thing that time does to it.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let unacked = self.unacked.as_ref().map(|unacked| unacked.at.min(unacked.until));
        let usage = match &self.usage {
            Usage::Offered(offered) => {
                let reliable = offered.reliable.as_ref().and_then(|reliable| reliable.deadline());
                offered.repeat_at.into_iter().chain(reliable).chain(offered.expires).min()
            }
            Usage::Calling(_) => self.silence_deadline(),
            Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => None,
        };
        let sent = |sent: &PendingUac| match &sent.accepted {
            Some(accepted) => accepted.ack.as_ref().map(|_| accepted.until),
            None => sent.expires,
        };
        let sent = self.sent.iter().filter_map(sent).min();
        let referral = self.referrals.iter().filter_map(|referral| referral.again_at).min();
        let keepalive = self.keepalive.as_ref().map(|keepalive| keepalive.at);
        let timer = self.timer.as_ref().map(|timer| timer.deadline());
        let opens = self.opens_by();
        [unacked, usage, sent, referral, keepalive, timer, self.unconfirmed(), opens]
            .into_iter()
            .flatten()
            .min()
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

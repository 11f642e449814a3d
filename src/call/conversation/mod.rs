//! Two answered legs that talk: what one asks passes to the other, and the answer comes back.
//!
//! Where the two were not told of each other by that, because Baton joined them, or because a request was taken back
//! while its answer was on the way, a re-INVITE of ours brings them into [`sdp_sync`]. It knows nothing of handoffs: what
//! it does not pass on it tells as [`Heard`].

mod sdp_sync;

use self::sdp_sync::SdpSync;
use super::alone::{Alone, answer_alone};
use super::context::Context;
use super::record::Role;
use super::relay::{Relay, Relayed};
use crate::sip::leg::modify::is_glare;
use crate::sip::leg::{Body, InDialogRequest, RequestId, SentId};
use crate::sip::{Content, Event, Field, LegId, Origin, Time, identity};
use crate::wire::Message;
use crate::wire::sdp::{as_answer, holds};

/// The other end of the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partner {
    pub(crate) leg: LegId,
    /// Agent or target.
    pub(crate) role: Role,
}

/// Whose offer has joined the caller with a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offerer {
    /// The caller was asked for an offer, and has not been offered the partner's session.
    Caller,
    /// We have offered the caller the partner's session.
    Baton,
}

/// Two answered legs: relays requests between them, and keeps their sessions in step.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) caller: LegId,
    /// None: it has gone.
    pub(crate) partner: Option<Partner>,
    /// The caller has acknowledged our 2xx: its dialog takes requests.
    pub(crate) confirmed: bool,
    /// The caller's leg is over; it is kept for the NOTIFYs that may still come.
    pub(crate) caller_over: bool,
    /// What whoever left last has said, if it said goodbye.
    pub(crate) goodbye: Box<[Field]>,
    relay: Relay,
    /// A 2xx on this leg carried an offer: it is acknowledged with the answer that the other leg's ACK brings.
    awaiting: Option<LegId>,
    sdp_sync: SdpSync,
    /// Somebody else speaks with the partner, or did before it left, and the caller is held: nothing is brought into step until they
    /// are reunited, or somebody else has come.
    parted: bool,
}

/// What a conversation does not settle by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Passed on, or nothing of interest.
    Nothing,
    /// The caller acknowledged our first 2xx.
    Confirmed,
    /// The caller hung up.
    CallerLeft,
    /// The caller's leg broke.
    CallerLost { status: u16, origin: Origin },
    /// The partner's BYE; the message says why.
    PartnerLeft,
    /// The partner's leg broke.
    PartnerLost { status: u16, origin: Origin },
    /// A REFER, from the partner or from the caller's side.
    Referred { request: RequestId, by: Role },
    /// An offer was left without an answer: both legs have to go.
    Unanswered,
}

impl Conversation {
    /// `relay`: what the two have asked each other already. `awaiting`: whose 2xx carries an offer.
    pub(crate) fn new(caller: LegId, partner: Partner, relay: Relay, awaiting: Option<LegId>) -> Self {
        Self {
            caller,
            partner: Some(partner),
            confirmed: false,
            caller_over: false,
            goodbye: Box::default(),
            relay,
            awaiting,
            sdp_sync: SdpSync::Reached,
            parted: false,
        }
    }

    /// The legs that are there.
    pub(crate) fn legs(&self) -> impl Iterator<Item = (LegId, Role)> + use<> {
        let caller = (!self.caller_over).then_some((self.caller, Role::Caller));
        [caller, self.partner.map(|p| (p.leg, p.role))].into_iter().flatten()
    }

    /// Nothing is left to be heard: a leg that is over is forgotten, the others are to be closed.
    pub(crate) fn dissolve(self, cx: &mut Context<'_>) -> impl Iterator<Item = (LegId, Role)> + use<> {
        if self.caller_over {
            cx.release(self.caller);
        }
        self.legs()
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.sdp_sync.deadline(), self.relay.deadline()].into_iter().flatten().min()
    }

    fn other(&self, leg: LegId) -> Option<LegId> {
        if leg == self.caller { self.partner.map(|p| p.leg) } else { Some(self.caller) }
    }

    /// Why nobody else has a part in the session of that leg, if nobody has.
    fn alone(&self, leg: LegId) -> Alone {
        if self.parted && leg == self.caller { Alone::Held } else { Alone::Waiting }
    }

    fn role_of(&self, leg: LegId) -> Role {
        if leg == self.caller { Role::Caller } else { self.partner.map_or(Role::Agent, |p| p.role) }
    }

    /// The partner is gone: its leg is closed and forgotten, and what waits for it is answered.
    pub(crate) fn drop_partner(&mut self, cx: &mut Context<'_>) {
        if let Some(partner) = self.take_partner(cx) {
            let fields = [identity::reason(200, "Call ended")];
            cx.stack.close(cx.now, partner.leg, 480, Content { fields: &fields, ..Content::default() });
            cx.release(partner.leg);
        }
    }

    /// The same where the call ends with it: what waits for it is refused, for our BYE would have to wait for the ACK of a
    /// 2xx.
    pub(crate) fn drop_last_partner(&mut self, cx: &mut Context<'_>) {
        self.relay.drop_others(cx, self.caller);
        self.drop_partner(cx);
    }

    /// The partner leaves the conversation; its leg stays as it is.
    pub(crate) fn take_partner(&mut self, cx: &mut Context<'_>) -> Option<Partner> {
        let partner = self.partner?;
        self.leave_sync(cx);
        if self.awaiting.take() == Some(self.caller) {
            // Its offer gets no other answer any more.
            self.answer_offer(cx, self.caller);
        }
        self.partner = None;
        self.relay.drop_leg(cx, partner.leg, self.alone(self.caller));
        Some(partner)
    }

    /// The two part, and their legs stay: nothing of what they have asked each other is left to wait. What may be answered
    /// all the same, for whoever has the legs then.
    pub(crate) fn part_ways(
        &mut self,
        cx: &mut Context<'_>,
    ) -> impl Iterator<Item = (LegId, SentId)> + use<> {
        self.leave_sync(cx);
        if let Some(leg) = self.awaiting {
            self.answer_offer(cx, leg);
        }
        self.relay.dissolve(cx)
    }

    /// Somebody else is the caller's partner from now on. Who was it before has been taken out.
    pub(crate) fn join(&mut self, cx: &mut Context<'_>, partner: Partner, identity: bool, offerer: Offerer) {
        self.partner = Some(partner);
        self.parted = false;
        self.relay.renew(identity);
        // It may be held by whom it was with, and have said so.
        let held = offerer == Offerer::Caller && cx.stack.remote_sdp(self.caller).is_some_and(holds);
        self.sdp_sync = if held { SdpSync::wanted_off_hold(cx) } else { SdpSync::wanted(cx) };
    }

    /// One event of a leg of this conversation.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Heard {
        let own = event.leg() == self.caller || self.partner.is_some_and(|p| p.leg == event.leg());
        // A target's leg that is not joined yet has no part in it, whoever may listen to that.
        let heard = if own { self.settle(cx, event, message) } else { Heard::Nothing };
        self.tick(cx);
        heard
    }

    fn settle(&mut self, cx: &mut Context<'_>, event: Event, message: Option<&Message<'_>>) -> Heard {
        match event {
            Event::Bye { leg }
            | Event::Lost { leg, .. }
            | Event::Closed { leg, .. }
            | Event::Refused { leg, .. }
            | Event::Cancelled { leg }
                if leg == self.caller =>
            {
                self.caller_over = true;
            }
            _ => {}
        }
        match event {
            Event::Bye { .. } | Event::Cancelled { .. } => {
                self.goodbye = message.map(identity::goodbye).unwrap_or_default();
            }
            Event::Lost { .. } | Event::Closed { .. } | Event::Refused { .. } => {
                self.goodbye = Box::default()
            }
            _ => {}
        }
        match event {
            Event::Request { leg, request, kind } => self.asked(cx, leg, request, kind, message),
            Event::Withdrawn { request, .. } => {
                if self.relay.withdraw(cx, request) {
                    // Its 2xx may have crossed the CANCEL.
                    self.want_sdp_sync(cx);
                }
                Heard::Nothing
            }
            Event::Response { leg, sent, status, needs_answer, .. } => {
                self.answered(cx, leg, sent, (status, needs_answer), message);
                Heard::Nothing
            }
            Event::Confirmed { leg } => self.acknowledged(cx, leg, message),
            // A CANCEL: our 2xx still waits for the PRACK of its answer.
            Event::Bye { leg } | Event::Cancelled { leg } => match self.role_of(leg) {
                Role::Caller => Heard::CallerLeft,
                Role::Agent | Role::Target => Heard::PartnerLeft,
            },
            Event::Lost { leg, status, origin } => self.lost(leg, status, origin),
            Event::Closed { leg, status, origin } => self.lost(leg, status, origin),
            Event::Unconfirmed { leg } => self.lost(leg, 408, Origin::Local),
            Event::Refused { leg, status, origin } => self.lost(leg, status, origin),
            Event::Incoming { .. }
            | Event::Progress { .. }
            | Event::Answered { .. }
            | Event::Notified { .. }
            | Event::Silent { .. }
            | Event::KeepaliveIgnored { .. }
            | Event::Advice { .. }
            | Event::Left { .. }
            | Event::Undelivered { .. } => Heard::Nothing,
        }
    }

    fn lost(&self, leg: LegId, status: u16, origin: Origin) -> Heard {
        match self.role_of(leg) {
            Role::Caller => Heard::CallerLost { status, origin },
            Role::Agent | Role::Target => Heard::PartnerLost { status, origin },
        }
    }

    fn asked(
        &mut self,
        cx: &mut Context<'_>,
        leg: LegId,
        request: RequestId,
        kind: InDialogRequest,
        message: Option<&Message<'_>>,
    ) -> Heard {
        match kind {
            InDialogRequest::Refer => return Heard::Referred { request, by: self.role_of(leg) },
            InDialogRequest::Modify | InDialogRequest::Update if self.parted || self.partner.is_none() => {
                answer_alone(cx, (leg, request), self.alone(leg));
                return Heard::Nothing;
            }
            InDialogRequest::Modify | InDialogRequest::Update | InDialogRequest::Info => {}
        }
        match (self.other(leg), message) {
            (Some(other), Some(message)) => self.relay.ask(cx, (leg, request), other, message),
            _ => {
                cx.refuse(request, 480, "nobody is on the other side");
            }
        }
        Heard::Nothing
    }

    fn answered(
        &mut self,
        cx: &mut Context<'_>,
        leg: LegId,
        sent: SentId,
        (status, needs_answer): (u16, bool),
        message: Option<&Message<'_>>,
    ) {
        if let SdpSync::Telling { left, sent: ours, about, answering, .. } = self.sdp_sync
            && ours == sent
        {
            self.told(cx, (leg, about), left, answering, (status, needs_answer, is_glare(status, message)));
            return;
        }
        let pass = self.relay.take(sent);
        if let Some(pass) = pass.filter(Relayed::is_wanted) {
            if self.relay.answer(cx, pass, status, message) && needs_answer {
                self.awaiting = Some(pass.to);
            }
            if pass.offered && (200..300).contains(&status) && !cx.stack.is_agreed(pass.to) {
                self.ask_for_sync(cx, pass.to);
            }
        } else {
            if needs_answer {
                // It crossed the CANCEL.
                self.answer_offer(cx, leg);
            }
            if (200..300).contains(&status) {
                // That, or a refresh of the stack's own: the session may have changed.
                self.want_sdp_sync(cx);
            }
        }
        if pass.is_some_and(|pass| pass.is_passed() && cx.stack.is_unsure(pass.to)) {
            // It may have taken what it never answered. What we told by ourselves is not told again for that.
            self.want_sdp_sync(cx);
        }
    }

    /// The offer that a 2xx of this leg carried is answered with what the other side has, or with what stands if it has gone.
    pub(crate) fn answer_offer(&self, cx: &mut Context<'_>, leg: LegId) {
        let other = self.other(leg).and_then(|other| cx.stack.remote_sdp(other));
        let standing = other.or_else(|| cx.stack.local_sdp(leg));
        let like = cx.stack.proposed_sdp(leg);
        let answer = standing.zip(like).map(|(standing, like)| as_answer(standing, like));
        let body = answer.as_deref().map_or(Body::None, Body::Sdp);
        let _ = cx.stack.acknowledge(cx.now, leg, Content { body, ..Content::default() });
    }

    fn acknowledged(&mut self, cx: &mut Context<'_>, leg: LegId, message: Option<&Message<'_>>) -> Heard {
        let first = leg == self.caller && !std::mem::replace(&mut self.confirmed, true);
        let other = self.other(leg);
        if let Some(waiting) = self.awaiting.take_if(|waiting| other == Some(*waiting)) {
            let answer = message.filter(|m| m.has_sdp());
            let content = Content { copy: answer, body: Body::Copied, ..Content::default() };
            if answer.is_none() && !first {
                // Whoever asked for an offer leaves it without an answer: what stood between the two goes on.
                self.answer_offer(cx, waiting);
                self.want_sdp_sync(cx);
            } else if answer.is_none() || cx.stack.acknowledge(cx.now, waiting, content).is_err() {
                return Heard::Unanswered;
            }
        } else if message.is_some_and(Message::has_sdp) {
            // It was offered what stands, and its answer may be another one than the other side knows.
            self.want_sdp_sync(cx);
        }
        self.relay.acknowledged(cx, leg);
        if first {
            // A reliable provisional response may have carried another answer than the 2xx.
            self.want_sdp_sync(cx);
            return Heard::Confirmed;
        }
        Heard::Nothing
    }
}

/// Closes a leg with a Reason, quietly.
pub(crate) fn let_go(cx: &mut Context<'_>, leg: LegId, reason: Field) {
    let fields = [reason];
    cx.stack.close(cx.now, leg, 480, Content { fields: &fields, ..Content::default() });
    cx.release(leg);
}

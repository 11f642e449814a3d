//! Two answered legs that talk: what one asks passes to the other, and the answer comes back.
//!
//! It knows nothing of handoffs: what it does not pass on it tells as [`Heard`].

use super::context::Context;
use super::record::Role;
use crate::sip::leg::{Body, RequestId, Wish};
use crate::sip::stack::NotSent;
use crate::sip::{Content, Event, LegId, Origin};
use crate::wire::Message;
use smallvec::SmallVec;

/// The other end of the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partner {
    pub(crate) leg: LegId,
    /// Agent or target.
    pub(crate) role: Role,
}

/// A request that waits for the other leg's answer.
#[derive(Clone, Copy, Debug)]
struct Pass {
    request: RequestId,
    to: LegId,
    sent: crate::sip::leg::SentId,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) caller: LegId,
    /// None: it has gone.
    pub(crate) partner: Option<Partner>,
    /// The caller has acknowledged our 2xx: its dialog takes requests.
    pub(crate) confirmed: bool,
    /// The caller's leg is over; it is kept for the NOTIFYs that may still come.
    pub(crate) caller_over: bool,
    /// PAI and Privacy pass.
    identity: bool,
    passes: SmallVec<[Pass; 1]>,
    /// A 2xx on this leg carried an offer: it is acknowledged with the answer that the other leg's ACK brings.
    awaiting: Option<LegId>,
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
    pub(crate) fn new(caller: LegId, partner: Partner, identity: bool, awaiting: Option<LegId>) -> Self {
        let partner = Some(partner);
        let passes = SmallVec::new();
        Self { caller, partner, confirmed: false, caller_over: false, identity, passes, awaiting }
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

    fn other(&self, leg: LegId) -> Option<LegId> {
        if leg == self.caller { self.partner.map(|p| p.leg) } else { Some(self.caller) }
    }

    fn role_of(&self, leg: LegId) -> Role {
        if leg == self.caller { Role::Caller } else { self.partner.map_or(Role::Agent, |p| p.role) }
    }

    /// The partner is gone: its leg is forgotten, and what waits for it is answered.
    pub(crate) fn drop_partner(&mut self, cx: &mut Context<'_>) {
        if let Some(partner) = self.partner.take() {
            let waiting: SmallVec<[Pass; 1]> = self.passes.drain(..).collect();
            for pass in waiting.iter().filter(|pass| pass.to == partner.leg) {
                // 480, not 481: the peer that asked keeps its dialog.
                let _ = cx.stack.respond(cx.now, pass.request, 480, Content::default());
            }
            self.awaiting = self.awaiting.filter(|leg| *leg != partner.leg);
            let fields = [crate::sip::identity::reason(200, "Call ended")];
            cx.stack.close(cx.now, partner.leg, 480, Content { fields: &fields, ..Content::default() });
            cx.release(partner.leg);
        }
    }

    /// One event of a leg of this conversation.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Heard {
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
            Event::Request { leg, request, wish } => self.asked(cx, leg, request, wish, message),
            Event::Withdrawn { request, .. } => {
                if let Some(at) = self.passes.iter().position(|p| p.request == request) {
                    let pass = self.passes.remove(at);
                    cx.stack.withdraw(cx.now, pass.to, pass.sent);
                }
                Heard::Nothing
            }
            Event::Response { leg, sent, status, origin, needs_answer } => {
                let Some(at) = self.passes.iter().position(|p| p.sent == sent) else {
                    if needs_answer {
                        // It crossed the CANCEL; nobody is left to answer its offer.
                        let _ = cx.stack.acknowledge(cx.now, leg, Content::default());
                    }
                    return Heard::Nothing;
                };
                let pass = self.passes.remove(at);
                self.answered(cx, pass, (status, origin), needs_answer, message)
            }
            Event::Confirmed { leg } => self.acknowledged(cx, leg, message),
            Event::Bye { leg } => match self.role_of(leg) {
                Role::Caller => Heard::CallerLeft,
                Role::Agent | Role::Target => Heard::PartnerLeft,
            },
            Event::Lost { leg, status, origin } => self.lost(leg, status, origin),
            Event::Closed { leg, status, origin } => self.lost(leg, status, origin),
            Event::Unconfirmed { leg } => self.lost(leg, 408, Origin::Local),
            Event::Refused { leg, status, origin } => self.lost(leg, status, origin),
            Event::Cancelled { leg } => self.lost(leg, 487, Origin::Remote),
            Event::Incoming { .. }
            | Event::Progress { .. }
            | Event::Answered { .. }
            | Event::Notified { .. } => Heard::Nothing,
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
        wish: Wish,
        message: Option<&Message<'_>>,
    ) -> Heard {
        match wish {
            Wish::Refer => return Heard::Referred { request, by: self.role_of(leg) },
            Wish::Modify | Wish::Update | Wish::Info => {}
        }
        let (Some(other), Some(message)) = (self.other(leg), message) else {
            let _ = cx.stack.respond(cx.now, request, 480, Content::default());
            return Heard::Nothing;
        };
        match cx.stack.pass(cx.now, other, message, self.identity) {
            Ok(sent) => self.passes.push(Pass { request, to: other, sent }),
            Err(NotSent::Pending) => {
                let _ = cx.stack.respond(cx.now, request, 491, Content::default());
            }
            Err(NotSent::Gone) => {
                let _ = cx.stack.respond(cx.now, request, 480, Content::default());
            }
        }
        Heard::Nothing
    }

    fn answered(
        &mut self,
        cx: &mut Context<'_>,
        pass: Pass,
        (status, origin): (u16, Origin),
        needs_answer: bool,
        message: Option<&Message<'_>>,
    ) -> Heard {
        let broken = matches!(status, 408 | 481);
        // 481 and 408 end the dialog that they come in, and only that one (RFC 3261 §12.2.1.2).
        let passed = if broken { 480 } else { status };
        let content =
            Content { copy: message, identity: self.identity, body: Body::Copied, ..Content::default() };
        let content = if broken { Content::default() } else { content };
        if cx.stack.respond(cx.now, pass.request, passed, content).is_ok() && needs_answer {
            self.awaiting = Some(pass.to);
        }
        if broken { self.lost(pass.to, status, origin) } else { Heard::Nothing }
    }

    fn acknowledged(&mut self, cx: &mut Context<'_>, leg: LegId, message: Option<&Message<'_>>) -> Heard {
        let first = leg == self.caller && !std::mem::replace(&mut self.confirmed, true);
        if let Some(waiting) = self.awaiting.filter(|_| self.other(leg) == self.awaiting) {
            self.awaiting = None;
            let answer = message.filter(|m| m.has_sdp());
            let content = Content { copy: answer, body: Body::Copied, ..Content::default() };
            if answer.is_none() || cx.stack.acknowledge(cx.now, waiting, content).is_err() {
                return Heard::Unanswered;
            }
        }
        if first { Heard::Confirmed } else { Heard::Nothing }
    }
}

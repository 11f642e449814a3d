//! Requests of one leg that were passed to another, and wait for its answer.

use super::alone::{Alone, answer_alone};
use super::context::Context;
use crate::call::durations::{
    LEFT_FOR_REFRESH, RELAYED_ANSWER, RELAYED_ANSWER_AT_LEAST, RELAYED_REINVITE_ANSWER,
};
use crate::sip::leg::{Body, RequestId, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Content, LegId, Time, identity};
use crate::wire::sdp::{as_answer, meets};
use crate::wire::{Framing, Index, Message, Method, identify};
use smallvec::SmallVec;

/// One in-dialog request that was relayed to the other leg, until its final response has come back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed {
    /// None: whoever asked took it back, or has been answered.
    request: Option<RequestId>,
    /// The leg that asks.
    from: LegId,
    /// The leg that it was passed to.
    pub(crate) to: LegId,
    sent: SentId,
    /// It may change the session.
    session: bool,
    /// It is a request of one of the two, and not of ours.
    passed: bool,
    /// It carries an offer.
    pub(crate) offered: bool,
    /// When whoever asked is told that there is no answer. None: nobody waits for it.
    until: Option<Time>,
}

/// A re-INVITE or an UPDATE that cannot be passed before the other leg has acknowledged our 2xx. Whoever asks has its own
/// ACK and knows nothing of that: a 491 would speak of a glare that there is not.
#[derive(Debug)]
struct Held {
    request: RequestId,
    /// The leg that asks.
    from: LegId,
    /// The leg whose ACK is waited for.
    to: LegId,
    /// The request as received.
    message: Box<[u8]>,
    /// When whoever asked is told that there is no answer.
    until: Time,
}

/// Why a request is not passed, or not answered by the other side.
const NOBODY: &str = "nobody on the other side can answer it";
const BUSY: &str = "another request about the session is under way on the other side";
const NO_ANSWER: &str = "the other side did not answer in time";
const PARTED: &str = "the two sides were parted before the other one had answered";
const NO_SESSION: &str = "the other side's 2xx has no session that fits";

/// Until when an answer to a re-INVITE is waited for that goes out now, and that keeps those legs from being refreshed.
pub(crate) fn patience<const N: usize>(cx: &Context<'_>, legs: [LegId; N]) -> Time {
    let now = cx.now.mono;
    let expiry = legs.into_iter().filter_map(|leg| cx.stack.session_expiry(leg)).min();
    let left = expiry.map_or(RELAYED_REINVITE_ANSWER, |at| at.since(now).saturating_sub(LEFT_FOR_REFRESH));
    now + left.clamp(RELAYED_ANSWER_AT_LEAST, RELAYED_REINVITE_ANSWER)
}

/// What a status of the one dialog is in the other.
fn passed_status(status: u16) -> u16 {
    match status {
        // They end the dialog that they come in, and only that one (RFC 3261 §12.2.1.2).
        408 | 481 => 480,
        // Whoever asked would take all of Baton for overloaded (RFC 3261 §16.7).
        503 => 500,
        // Where to go, what is asked for or what is missing stands in headers that are each leg's own: to whoever asked it
        // is a plain no, and what stood stands.
        300..=399 | 401 | 405 | 407 | 420..=422 => 488,
        _ => status,
    }
}

/// Nobody can answer it any more. 480, not 481: the peer that asked keeps its dialog.
fn give_up(cx: &mut Context<'_>, request: RequestId) {
    cx.refuse(request, 480, NOBODY);
}

/// Whether a 2xx to that has the session that it should have: the answer, or the offer that was asked for.
fn is_whole(cx: &Context<'_>, pass: Relayed, message: Option<&Message<'_>>) -> bool {
    message.is_some_and(Message::has_sdp) && (!pass.offered || cx.stack.is_agreed(pass.to))
}

/// What whoever asked is told of the other side, which has told nothing itself: its answer as it stands, or, where an offer
/// is asked for, what it was told last. None: that would be nothing.
fn stands(cx: &mut Context<'_>, pass: Relayed, request: RequestId) -> Option<Vec<u8>> {
    if !pass.offered {
        return cx.stack.local_sdp(pass.from).map(<[u8]>::to_vec);
    }
    let offer = cx.stack.offer_of(request)?.to_vec();
    let answer = as_answer(cx.stack.remote_sdp(pass.to)?, &offer);
    meets(&answer, &offer).then_some(answer)
}

/// Relays requests of one leg to the other, and the answers back.
#[derive(Debug)]
pub(crate) struct Relay {
    open: SmallVec<[Relayed; 1]>,
    held: Option<Box<Held>>,
    /// PAI and Privacy pass.
    identity: bool,
}

impl Relayed {
    /// Somebody waits for the answer.
    pub(crate) fn is_wanted(&self) -> bool {
        self.request.is_some()
    }

    /// It was passed from one of the two to the other, whoever waits for the answer now.
    pub(crate) fn is_passed(&self) -> bool {
        self.passed
    }
}

impl Relay {
    pub(crate) fn new(identity: bool) -> Relay {
        Relay { open: SmallVec::new(), held: None, identity }
    }

    /// Something that may change the session is under way.
    pub(crate) fn is_about_session(&self) -> bool {
        self.held.is_some() || self.open.iter().any(|pass| pass.session)
    }

    /// Passes a request, or answers it because it cannot be passed now.
    pub(crate) fn ask(
        &mut self,
        cx: &mut Context<'_>,
        (from, request): (LegId, RequestId),
        to: LegId,
        message: &Message<'_>,
    ) {
        let method = message.method();
        let until = match method {
            Method::Invite => patience(cx, [from, to]),
            _ => cx.now.mono + RELAYED_ANSWER,
        };
        match cx.stack.pass(cx.now, to, message, self.identity) {
            Ok(sent) => {
                let session = matches!(method, Method::Invite | Method::Update);
                let offered = session && message.has_sdp();
                let until = Some(until);
                self.open.push(Relayed {
                    request: Some(request),
                    from,
                    to,
                    sent,
                    session,
                    passed: true,
                    offered,
                    until,
                });
            }
            Err(NotSent::Pending)
                if matches!(method, Method::Invite | Method::Update)
                    && self.held.is_none()
                    && cx.stack.waits_for_ack(to) =>
            {
                let message = message.bytes().into();
                self.held = Some(Box::new(Held { request, from, to, message, until }));
            }
            Err(NotSent::Pending) => {
                cx.refuse(request, 491, BUSY);
            }
            Err(NotSent::Gone) => give_up(cx, request),
        }
    }

    /// That leg has acknowledged our 2xx: what waited for it is passed.
    pub(crate) fn acknowledged(&mut self, cx: &mut Context<'_>, leg: LegId) {
        let Some(held) = self.held.take_if(|held| held.to == leg) else { return };
        let mut index = Index::default();
        match identify(&held.message, &mut index, Framing::Datagram) {
            Ok(message) => self.ask(cx, (held.from, held.request), held.to, &message),
            // It read when it came.
            Err(_) => give_up(cx, held.request),
        }
    }

    /// A request of ours about the session, whose answer nobody waits for any more. It is taken back in time: while it is under
    /// way nobody can refresh the session.
    pub(crate) fn follow(&mut self, cx: &Context<'_>, to: LegId, sent: SentId) {
        let (request, from, until) = (None, to, Some(patience(cx, [to])));
        self.open.push(Relayed {
            request,
            from,
            to,
            sent,
            session: true,
            passed: false,
            offered: false,
            until,
        });
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let held = self.held.as_ref().map(|held| held.until);
        self.open.iter().filter_map(|pass| pass.until).chain(held).min()
    }

    /// What has waited too long is answered, and a re-INVITE taken back. What may come yet is nobody's answer.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        if let Some(held) = self.held.take_if(|held| held.until <= cx.now.mono) {
            cx.refuse(held.request, 504, NO_ANSWER);
        }
        for pass in &mut self.open {
            if pass.until.take_if(|until| *until <= cx.now.mono).is_none() {
                continue;
            }
            if let Some(request) = pass.request.take() {
                cx.refuse(request, 504, NO_ANSWER);
            }
            cx.stack.withdraw(cx.now, pass.to, pass.sent);
        }
    }

    /// Whoever asked takes it back. True if it was passed.
    pub(crate) fn withdraw(&mut self, cx: &mut Context<'_>, request: RequestId) -> bool {
        // What waits was not passed yet.
        self.held.take_if(|held| held.request == request);
        let Some(pass) = self.open.iter_mut().find(|pass| pass.request == Some(request)) else {
            return false;
        };
        pass.request = None;
        cx.stack.withdraw(cx.now, pass.to, pass.sent);
        true
    }

    /// Whether a response to that is waited for.
    pub(crate) fn has(&self, sent: SentId) -> bool {
        self.open.iter().any(|pass| pass.sent == sent)
    }

    /// What a response belongs to.
    pub(crate) fn take(&mut self, sent: SentId) -> Option<Relayed> {
        let at = self.open.iter().position(|pass| pass.sent == sent)?;
        Some(self.open.remove(at))
    }

    /// Passes an answer back. True if it was sent. A 2xx without the session that it should carry is none: whoever asked gets
    /// what stands on the other side (RFC 3264 §4).
    pub(crate) fn answer(
        &self,
        cx: &mut Context<'_>,
        pass: Relayed,
        status: u16,
        message: Option<&Message<'_>>,
    ) -> bool {
        let Some(request) = pass.request else { return false };
        let empty = (200..300).contains(&status) && pass.session && !is_whole(cx, pass, message);
        let standing = empty.then(|| stands(cx, pass, request));
        let copied = Content { copy: message, identity: self.identity, fields: &[], body: Body::Copied };
        let no_session = [identity::warning(NO_SESSION)];
        let gone = [identity::warning(NOBODY)];
        let (status, content) = match &standing {
            Some(Some(sdp)) => (status, Content { body: Body::Sdp(sdp), ..copied }),
            Some(None) => (488, Content { fields: &no_session, ..Content::default() }),
            None if matches!(status, 408 | 481) => {
                (passed_status(status), Content { fields: &gone, ..Content::default() })
            }
            None => (passed_status(status), copied),
        };
        cx.stack.respond(cx.now, request, status, content).is_ok()
    }

    /// A leg is gone: what waits for it is answered as by one who is alone, and nobody waits for what it has asked.
    pub(crate) fn drop_leg(&mut self, cx: &mut Context<'_>, leg: LegId, alone: Alone) {
        if let Some(held) = self.held.take_if(|held| held.to == leg || held.from == leg)
            && held.to == leg
        {
            answer_alone(cx, (held.from, held.request), alone);
        }
        self.open.retain(|pass| {
            match pass.request.take().filter(|_| pass.to == leg) {
                Some(request) if pass.session => answer_alone(cx, (pass.from, request), alone),
                Some(request) => give_up(cx, request),
                None => {}
            }
            pass.to != leg
        });
    }

    /// All legs are gone but that one, whose session needs no answer: it is not settled yet, or ends as well.
    pub(crate) fn drop_others(&mut self, cx: &mut Context<'_>, stays: LegId) {
        if let Some(held) = self.held.take() {
            give_up(cx, held.request);
        }
        self.open.retain(|pass| {
            if let Some(request) = pass.request.take().filter(|_| pass.to != stays) {
                give_up(cx, request);
            }
            pass.to == stays
        });
    }

    /// The two part: whoever waits is answered, and what was asked about the session is taken back. What may be answered
    /// all the same.
    pub(crate) fn dissolve(&mut self, cx: &mut Context<'_>) -> impl Iterator<Item = (LegId, SentId)> + use<> {
        if let Some(held) = self.held.take() {
            cx.refuse(held.request, 491, PARTED);
        }
        let open = std::mem::take(&mut self.open);
        for pass in &open {
            if let Some(request) = pass.request {
                // With somebody else it may work, so it can be asked again.
                let status = if pass.session { 491 } else { 480 };
                cx.refuse(request, status, PARTED);
            }
            cx.stack.withdraw(cx.now, pass.to, pass.sent);
        }
        open.into_iter().filter(|pass| pass.session).map(|pass| (pass.to, pass.sent))
    }

    /// Somebody else is to be passed to from now on.
    pub(crate) fn renew(&mut self, identity: bool) {
        self.identity = identity;
    }
}

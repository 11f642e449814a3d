//! What the two sides of a conversation know of each other's sessions, brought into step by re-INVITEs of ours.
//!
//! A side is told of the other one by an offer, and what it answers the other one is told, until nothing is new
//! ([`crate::wire::sdp::in_step`]).

use super::Conversation;
use crate::call::context::Context;
use crate::call::durations::{SYNC_POLL, SYNC_RETRY};
use crate::call::relay::patience;
use crate::sip::leg::{Body, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Content, Event, LegId, Time};
use crate::wire::sdp::{as_offer, in_step, own_wish};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// How often the two are told of each other in a row: each answer may change what the other side has to know.
const ROUNDS: u8 = 8;
/// With so many left, one of them is asked for an offer, and its answer is what the other says to that (RFC 3725 §4.3):
/// two that take new ports each time they are told would never be done.
const ASKING: u8 = 5;
/// How often a side may be busy meanwhile. One that waits for a lost ACK is so until its 2xx has come again, which takes 4 s.
const GLARES: u8 = 10;
/// How often a side is told again that was not reached, and after what time. It sends to where nobody may listen any more.
const MISSES: u8 = 3;

/// What may still be tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    rounds: u8,
    glares: u8,
    misses: u8,
    /// It has refused to be told just that ([`mark`]), or is silent, and is left as it is. The other one is told all the same.
    spared: Option<(LegId, u64)>,
    /// The caller is held, and that comes off first.
    held: bool,
}

impl Left {
    /// One of the two is asked for an offer.
    const ASKING: Left = Left { rounds: ASKING, glares: GLARES, misses: MISSES, spared: None, held: false };

    /// Whether the next one that has to be told is asked for an offer.
    fn asks(self) -> bool {
        self.rounds == ASKING && self.spared.is_none()
    }

    /// That side is left as it is until the other one has changed. None: so is the other one.
    fn spare(self, leg: LegId, about: u64) -> Option<Left> {
        let other = self.spared.is_some_and(|(spared, _)| spared != leg);
        let left = Left { rounds: self.rounds - 1, spared: Some((leg, about)), ..self };
        (!other && left.rounds > 0).then_some(left)
    }
}

/// Whether two joined legs know each other's session. Where one does not, a re-INVITE of ours tells it, one at a time, until
/// neither has anything new to be told or one refuses it (RFC 3725).
#[derive(Clone, Copy, Debug)]
pub(super) enum SdpSync {
    /// They know of each other what there is.
    Reached,
    /// To be looked at, not before that time.
    Wanted { left: Left, at: Time },
    /// A re-INVITE of ours is out, and is waited for until then; `about`: the [`mark`] of what it tells. What is answered to it
    /// is the answer to the offer in the 2xx of the other leg.
    Telling { left: Left, leg: LegId, sent: SentId, about: u64, until: Time, answering: Option<LegId> },
}

impl SdpSync {
    /// To be brought about from now on.
    pub(super) fn wanted(cx: &Context<'_>) -> SdpSync {
        SdpSync::Wanted { left: Left { rounds: ROUNDS, ..Left::ASKING }, at: cx.now.mono }
    }

    /// The same; the caller is held, and that comes off first.
    pub(super) fn wanted_off_hold(cx: &Context<'_>) -> SdpSync {
        SdpSync::Wanted { left: Left { rounds: ROUNDS, held: true, ..Left::ASKING }, at: cx.now.mono }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        match *self {
            SdpSync::Reached => None,
            SdpSync::Wanted { at, .. } | SdpSync::Telling { until: at, .. } => Some(at),
        }
    }
}

impl Conversation {
    /// The two may not know of each other what there is.
    pub(crate) fn want_sdp_sync(&mut self, cx: &Context<'_>) {
        if matches!(self.sdp_sync, SdpSync::Reached) {
            self.sdp_sync = SdpSync::wanted(cx);
        }
    }

    /// The caller's side was offered what stands once more. If its answer is not the session that the partner was told of, or
    /// what stands is not the partner's last one, the two are brought into step: who has refused to be told of the other may
    /// take it now.
    pub(crate) fn restated(&mut self, cx: &Context<'_>) {
        let Some(partner) = self.partner.map(|partner| partner.leg) else { return };
        if differing(cx, partner, self.caller).is_some() || outdated(cx, self.caller, partner) {
            self.want_sdp_sync(cx);
            if let SdpSync::Wanted { left, .. } | SdpSync::Telling { left, .. } = &mut self.sdp_sync {
                left.spared = None;
            }
        }
    }

    /// That side was told of the other, and its 2xx has agreed to nothing: it is asked for an offer, if it has to know.
    pub(super) fn ask_for_sync(&mut self, cx: &mut Context<'_>, leg: LegId) {
        let unknown = self.other(leg).and_then(|other| differing(cx, leg, other));
        // While the two are parted, somebody else brings that side into step with its own partner.
        if unknown.is_none() || self.parted || !matches!(self.sdp_sync, SdpSync::Reached) {
            return;
        }
        let left = Left::ASKING;
        if self.tell(cx, left, leg, Body::None, None).is_err() {
            self.sdp_sync = SdpSync::Wanted { left, at: cx.now.mono + SYNC_POLL };
        }
    }

    /// A re-INVITE of ours has its answer.
    pub(super) fn told(
        &mut self,
        cx: &mut Context<'_>,
        (leg, about): (LegId, u64),
        left: Left,
        answering: Option<LegId>,
        (status, needs_answer, glare): (u16, bool, bool),
    ) {
        let asking = left.asks() && answering.is_none();
        // A 2xx without the answer or the offer that was asked for agrees to nothing.
        let empty = !needs_answer && (asking || !cx.stack.is_agreed(leg));
        let status = if empty && (200..300).contains(&status) { 488 } else { status };
        if needs_answer {
            let offer = self.other(leg).zip(cx.stack.proposed_sdp(leg).map(<[u8]>::to_vec));
            if let Some((other, offer)) = offer
                && self.tell(cx, left, other, Body::Sdp(&offer), Some(leg)).is_ok()
            {
                return;
            }
            self.answer_offer(cx, leg);
        }
        if let Some(asked) = answering {
            self.answer_offer(cx, asked);
        }
        let next = match status {
            _ if glare && left.glares > 0 => {
                Some((Left { glares: left.glares - 1, ..left }, cx.now.mono + cx.stack.back_off(leg)))
            }
            // A proxy says that it did not reach that side, or that side that it cannot just now: nobody has refused.
            408 | 477 | 480 | 503 | 504 if left.misses > 0 => {
                Some((Left { misses: left.misses - 1, ..left }, cx.now.mono + SYNC_RETRY))
            }
            200..=299 => Some((Left { rounds: left.rounds - 1, held: false, ..left }, cx.now.mono)),
            _ if asking => Some((Left { rounds: left.rounds - 1, ..left }, cx.now.mono)),
            // The other side is told of it as it is.
            _ if left.held => Some((Left { rounds: left.rounds - 1, held: false, ..left }, cx.now.mono)),
            // What one has answered to somebody else may not do for the other, and something fresh may.
            488 | 606 if left.rounds > ASKING => Some((Left { rounds: ASKING, ..left }, cx.now.mono)),
            _ => left.spare(leg, about).map(|left| (left, cx.now.mono)),
        };
        let next = next.filter(|(left, _)| left.rounds > 0);
        self.sdp_sync = next.map_or(SdpSync::Reached, |(left, at)| SdpSync::Wanted { left, at });
    }

    /// Sends a re-INVITE of ours.
    fn tell(
        &mut self,
        cx: &mut Context<'_>,
        left: Left,
        leg: LegId,
        body: Body<'_>,
        answering: Option<LegId>,
    ) -> Result<(), NotSent> {
        let about = if let Body::Sdp(sdp) = body { mark(sdp) } else { 0 };
        let sent = cx.stack.reinvite(cx.now, leg, Content { body, ..Content::default() })?;
        let until = patience(cx, [leg]);
        self.sdp_sync = SdpSync::Telling { left, leg, sent, about, until, answering };
        Ok(())
    }

    /// The sessions are left as they are: what was offered for it is answered, and nobody waits for what was told.
    pub(super) fn leave_sync(&mut self, cx: &mut Context<'_>) {
        let sdp_sync = std::mem::replace(&mut self.sdp_sync, SdpSync::Reached);
        let SdpSync::Telling { leg, sent, answering, .. } = sdp_sync else { return };
        if let Some(asked) = answering {
            self.answer_offer(cx, asked);
        }
        self.follow(cx, leg, sent);
    }

    /// The caller is going to be held, while somebody else speaks with the partner.
    pub(crate) fn part(&mut self, cx: &mut Context<'_>) {
        self.leave_sync(cx);
        self.parted = true;
    }

    /// Nobody waits for the answer to that re-INVITE any more. It is still to come, and may be that the dialog is gone.
    pub(crate) fn follow(&mut self, cx: &Context<'_>, leg: LegId, sent: SentId) {
        if leg == self.caller || self.partner.is_some_and(|partner| partner.leg == leg) {
            self.relay.follow(cx, leg, sent);
        }
    }

    /// A caller that was held gets its partner back: it is asked first to take the hold off.
    pub(crate) fn reunite(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.parted) {
            self.sdp_sync = SdpSync::wanted_off_hold(cx);
            self.tick(cx);
        }
    }

    /// Whether an event is the response to a request that one of the two has asked the other.
    pub(crate) fn passes(&self, event: Event) -> bool {
        matches!(event, Event::Response { sent, .. } if self.relay.has(sent))
    }

    /// What is due.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        self.relay.tick(cx);
        if let SdpSync::Telling { left, leg, sent, about, until, .. } = self.sdp_sync
            && until <= cx.now.mono
        {
            // Whoever never answers is left as it is, and keeps the other side from nothing.
            cx.stack.withdraw(cx.now, leg, sent);
            self.leave_sync(cx);
            if let Some(left) = left.spare(leg, about) {
                self.sdp_sync = SdpSync::Wanted { left, at: cx.now.mono };
            }
        }
        let SdpSync::Wanted { left, at } = self.sdp_sync else { return };
        if at > cx.now.mono {
            return;
        }
        let together = self.confirmed && !self.caller_over && !self.parted;
        let Some(partner) = self.partner.filter(|_| together) else {
            self.sdp_sync = SdpSync::Reached;
            return;
        };
        if self.relay.is_about_session() || self.awaiting.is_some() {
            // Its answer comes first, and may settle it.
            self.sdp_sync = SdpSync::Wanted { left, at: cx.now.mono + SYNC_POLL };
            return;
        }
        let told = if left.held {
            cx.stack.remote_sdp(partner.leg).map(|sdp| (self.caller, as_offer(sdp)))
        } else {
            [(partner.leg, self.caller), (self.caller, partner.leg)]
                .into_iter()
                .filter_map(|(leg, other)| differing(cx, leg, other).map(|now| (leg, now)))
                .find(|(leg, now)| left.spared != Some((*leg, mark(now))))
        };
        let Some((leg, now)) = told else {
            self.sdp_sync = SdpSync::Reached;
            return;
        };
        let body = if left.asks() { Body::None } else { Body::Sdp(&now) };
        match self.tell(cx, left, leg, body, None) {
            Ok(()) => {}
            Err(NotSent::Pending) => self.sdp_sync = SdpSync::Wanted { left, at: cx.now.mono + SYNC_POLL },
            Err(NotSent::Gone) => self.sdp_sync = SdpSync::Reached,
        }
    }
}

/// By what a description is known again.
fn mark(sdp: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(sdp);
    hasher.finish()
}

/// Whether `leg` was told last of another session than the wish of `other` is, whatever a hold of its own leaves of that.
fn outdated(cx: &Context<'_>, leg: LegId, other: LegId) -> bool {
    let sessions = cx.stack.local_sdp(leg).zip(cx.stack.remote_sdp(leg)).zip(cx.stack.remote_sdp(other));
    sessions.is_some_and(|((told, own), now)| !in_step(told, own, &own_wish(now, own)))
}

/// What `leg` has to be told of `other`: None if they are in step, or nothing is known of one of them. A leg that may have
/// what it was offered and never answered is told in any case.
fn differing(cx: &Context<'_>, leg: LegId, other: LegId) -> Option<Vec<u8>> {
    let (told, own) = (cx.stack.local_sdp(leg)?, cx.stack.remote_sdp(leg)?);
    let now = cx.stack.remote_sdp(other)?;
    (cx.stack.is_unsure(leg) || !in_step(told, own, now)).then(|| now.to_vec())
}

//! Caller and target are joined (RFC 3725): the caller's leg is re-INVITEd with what the target
//! answered.
//!
//! Up to its 2xx the caller is still with the agent: a refusal leaves its session as it was, and where nobody answers, or a
//! proxy does, the caller is given the agent's session again, for it may have taken the other. A target that goes while
//! the re-INVITE is out is too late for that, and so is a caller that takes the re-INVITE and none of its streams, or says
//! nothing of them in its 2xx: the caller gets the agent's session back by another one.

use super::{End, Machine, Outcome, Scene, Signal, Way, failed};
use crate::call::conversation::{Offerer, let_go};
use crate::call::durations::{BUSY_DIALOG_POLL, BYE_AFTER_2XX, JOIN_ANSWER};
use crate::call::handoff::calling::is_joinable;
use crate::call::ids::SipCallId;
use crate::call::record::HandoffState;
use crate::call::relay::patience;
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use crate::sip::leg::modify::is_glare;
use crate::sip::leg::{Body, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Content, Event, LegId, Origin, Time, identity};

/// Why it fails where the target is not there any more.
const LEFT_EARLY: &str = "The target hung up before it had the caller.";
/// Why it fails where the target waits for the caller.
const NOT_TAKEN: &str = "The caller's side did not take the target's session: see its answer to the re-INVITE (`sip.status` of this call), and compare the codecs of both. A 2xx without a session, or with every port 0, takes nothing.";

/// How often a re-INVITE that meets another one is tried.
const TRIES: u8 = 6;

/// Joins caller and target by re-INVITE (RFC 3725).
#[derive(Debug)]
pub(crate) struct Join {
    /// The target's leg; None: it has gone.
    target: Option<LegId>,
    /// The caller's side took none of what it was offered; the target was let go for that.
    declined: bool,
    state: State,
    tries: u8,
    /// The caller may be gone already, and a BYE may follow its 2xx: nothing is said before it has stood for a while.
    settles: bool,
    /// When all of it is given up.
    until: Time,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The caller's dialog is busy, or met another request. Nothing has changed yet.
    Waiting { at: Time },
    /// The re-INVITE is out: no return but by another one.
    Offering { sent: SentId },
    /// Both have each other, unless a BYE follows until then.
    Settling { until: Time, offerer: Offerer },
    /// The caller has taken it, and an ACK waits for a connection: nobody can be sure of the other yet.
    Acknowledging { offerer: Offerer },
    /// The caller may have the target's session already, and gets the agent's back.
    Restoring { at: Time, sent: Option<SentId> },
}

impl Join {
    fn new(scene: &Scene<'_, '_>, target: LegId, state: State) -> Join {
        let settles = scene.handoff.may_be_away(scene.facts);
        let until = scene.cx.now.mono + JOIN_ANSWER;
        Join { target: Some(target), declined: false, state, tries: 0, settles, until }
    }

    /// The target has answered.
    pub(crate) fn begin(scene: &mut Scene<'_, '_>, target: LegId) -> Join {
        let mut join = Join::new(scene, target, State::Waiting { at: scene.cx.now.mono });
        join.proceed(scene);
        join
    }

    /// The target has answered a call that was made for another method.
    pub(crate) fn begin_instead(scene: &mut Scene<'_, '_>, target: LegId) -> Join {
        let Scene { cx, handoff, .. } = scene;
        let answered = cx.stack.sip_call_id(target).map(SipCallId::of);
        handoff.turn_to_invite();
        handoff.attempt(cx, Method::Invite, HandoffState::Joining, answered);
        handoff.answered(200, "OK", Origin::Remote);
        Join::begin(scene, target)
    }

    /// Caller and target have answered each other's offer: they are joined once the ACKs have left, and a caller who may be
    /// gone had the time to say so.
    pub(crate) fn answered(scene: &Scene<'_, '_>, target: LegId) -> Outcome {
        let offerer = Offerer::Caller;
        let mut join = Join::new(scene, target, State::Acknowledging { offerer });
        if join.settles {
            join.state = State::Settling { until: scene.cx.now.mono + BYE_AFTER_2XX, offerer };
        } else if scene.cx.stack.is_acknowledged(scene.caller()) {
            return Outcome::Ended(End::Joined { target, offerer });
        }
        Outcome::Turn(Way::Join(join))
    }

    fn due(&self) -> Time {
        match self.state {
            State::Settling { until, .. } => until,
            State::Waiting { at } | State::Restoring { at, sent: None } => at.min(self.until),
            State::Offering { .. } | State::Acknowledging { .. } | State::Restoring { sent: Some(_), .. } => {
                self.until
            }
        }
    }

    /// Caller and target have answered: they have each other once both ACKs have left.
    fn acknowledged(&mut self, scene: &mut Scene<'_, '_>, offerer: Offerer) -> Outcome {
        let done = |leg: LegId| scene.cx.stack.is_acknowledged(leg);
        match self.target.filter(|target| done(scene.caller()) && done(*target)) {
            Some(target) => Outcome::Ended(End::Joined { target, offerer }),
            None => {
                let until = scene.cx.now.mono + JOIN_ANSWER;
                (self.state, self.until) = (State::Acknowledging { offerer }, until);
                Outcome::Wait
            }
        }
    }

    fn failed(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        let there = self.declined || self.target.is_some();
        scene.handoff.because(if there { NOT_TAKEN } else { LEFT_EARLY });
        self.give_up(scene, "The caller could not be joined");
        // The caller may have moved with what it has answered.
        scene.conversation.want_sdp_sync(scene.cx);
        failed(Cause::Failed)
    }

    /// The caller has the session of a target that has gone: it gets the agent's.
    fn restore(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        if scene.conversation.partner.is_none() {
            return self.failed(scene);
        }
        let now = scene.cx.now.mono;
        self.until = now + JOIN_ANSWER;
        self.state = State::Restoring { at: now, sent: None };
        self.proceed(scene);
        Outcome::Wait
    }

    /// Sends what is due to be sent to the caller.
    fn proceed(&mut self, scene: &mut Scene<'_, '_>) {
        let caller = scene.caller();
        let Scene { cx, conversation, .. } = scene;
        let other = match self.state {
            State::Waiting { .. } => self.target,
            State::Restoring { sent: None, .. } => conversation.partner.map(|partner| partner.leg),
            State::Offering { .. }
            | State::Settling { .. }
            | State::Acknowledging { .. }
            | State::Restoring { .. } => return,
        };
        let theirs = other.and_then(|leg| cx.stack.remote_sdp(leg));
        let sent = match theirs.map(<[u8]>::to_vec) {
            Some(offer) => {
                let content = Content { body: Body::Sdp(&offer), ..Content::default() };
                cx.stack.reinvite(cx.now, caller, content)
            }
            // Nothing to offer: whoever should have it is gone, and that is heard elsewhere.
            None => Err(NotSent::Pending),
        };
        match (sent, &mut self.state) {
            (Ok(sent), State::Waiting { .. }) => {
                self.state = State::Offering { sent };
                self.until = patience(cx, [caller]);
            }
            (Ok(sent), State::Restoring { sent: open, .. }) => {
                *open = Some(sent);
                self.until = patience(cx, [caller]);
            }
            (Err(NotSent::Pending | NotSent::Gone), State::Waiting { at } | State::Restoring { at, .. }) => {
                *at = cx.now.mono + BUSY_DIALOG_POLL;
            }
            (_, State::Offering { .. } | State::Settling { .. } | State::Acknowledging { .. }) => {}
        }
    }

    /// The target hung up, or its leg broke.
    fn target_left(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        self.target = None;
        match self.state {
            State::Waiting { .. } => self.failed(scene),
            State::Offering { sent } => {
                scene.cx.stack.withdraw(scene.cx.now, scene.caller(), sent);
                Outcome::Wait
            }
            State::Settling { .. } | State::Acknowledging { .. } => self.restore(scene),
            State::Restoring { .. } => Outcome::Wait,
        }
    }

    fn let_target_go(&mut self, scene: &mut Scene<'_, '_>, status: u16, why: &str) {
        if let Some(target) = self.target.take() {
            let_go(scene.cx, target, identity::reason(status, why));
        }
    }

    fn offered(&mut self, scene: &mut Scene<'_, '_>, status: u16, glare: bool) -> Outcome {
        let caller = scene.caller();
        let taken = scene.cx.stack.is_agreed(caller) && is_joinable(scene.cx, caller);
        if (200..300).contains(&status) && !taken {
            // Whoever declines every stream would hear nothing, and who answers nothing has agreed to nothing.
            self.declined = true;
            self.let_target_go(scene, 488, "The caller took no stream");
        }
        let now = scene.cx.now.mono;
        match status {
            200..=299 if self.target.is_some() && self.settles => {
                self.state = State::Settling { until: now + BYE_AFTER_2XX, offerer: Offerer::Baton };
                Outcome::Wait
            }
            200..=299 if self.target.is_some() => self.acknowledged(scene, Offerer::Baton),
            200..=299 => self.restore(scene),
            _ if glare && self.target.is_some() && self.tries < TRIES => {
                self.tries += 1;
                self.state = State::Waiting { at: now + scene.cx.stack.back_off(caller) };
                Outcome::Wait
            }
            _ => self.failed(scene),
        }
    }

    fn restored(&mut self, scene: &mut Scene<'_, '_>, glare: bool) -> Outcome {
        if !glare || self.tries == TRIES {
            return self.failed(scene);
        }
        self.tries += 1;
        let at = scene.cx.now.mono + scene.cx.stack.back_off(scene.caller());
        self.state = State::Restoring { at, sent: None };
        Outcome::Wait
    }
}

impl Machine for Join {
    fn on_event(&mut self, scene: &mut Scene<'_, '_>, Signal { event, message }: Signal<'_>) -> Outcome {
        if scene.is_settled_alone(self.target, event) {
            return Outcome::Wait;
        }
        match (event, self.state) {
            (Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. }, _)
                if Some(leg) == self.target =>
            {
                scene.cx.release(leg);
                self.target_left(scene)
            }
            (Event::Left { .. }, State::Acknowledging { offerer }) => self.acknowledged(scene, offerer),
            (Event::Response { sent: which, status, .. }, State::Offering { sent }) if sent == which => {
                self.offered(scene, status, is_glare(status, message))
            }
            (Event::Response { sent: which, status, .. }, State::Restoring { sent: Some(sent), .. })
                if sent == which =>
            {
                self.restored(scene, is_glare(status, message))
            }
            _ => Outcome::NotMine,
        }
    }

    fn on_tick(&mut self, scene: &mut Scene<'_, '_>) -> Outcome {
        let now = scene.cx.now;
        if self.due() > now.mono {
            return Outcome::Wait;
        }
        match self.state {
            State::Settling { offerer, .. } => self.acknowledged(scene, offerer),
            State::Waiting { .. } if self.until <= now.mono => self.failed(scene),
            State::Restoring { sent: None, .. }
                if self.until <= now.mono || scene.conversation.partner.is_none() =>
            {
                self.failed(scene)
            }
            State::Waiting { .. } | State::Restoring { sent: None, .. } => {
                self.proceed(scene);
                Outcome::Wait
            }
            State::Acknowledging { .. } => {
                self.let_target_go(scene, 503, "Not acknowledged");
                self.restore(scene)
            }
            State::Offering { sent } | State::Restoring { sent: Some(sent), .. } => {
                // Its 2xx may cross the CANCEL; then what stands is put right afterwards.
                scene.cx.stack.withdraw(now, scene.caller(), sent);
                self.until = now.mono + JOIN_ANSWER;
                Outcome::Wait
            }
        }
    }

    fn deadline(&self, _total: Time) -> Option<Time> {
        Some(self.due())
    }

    fn target(&self) -> Option<LegId> {
        self.target
    }

    fn give_up(&mut self, scene: &mut Scene<'_, '_>, why: &str) {
        self.let_target_go(scene, 487, why);
    }
}

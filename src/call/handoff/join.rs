//! Caller and target are joined (RFC 3725): the caller's leg is re-INVITEd with what the target
//! answered.
//!
//! Up to its 2xx the caller is still with the agent: a refusal leaves its session as it was, and where nobody answers, or a
//! proxy does, the caller is given the agent's session again, for it may have taken the other. A target that goes while
//! the re-INVITE is out is too late for that, and so is a caller that takes the re-INVITE and none of its streams, or says
//! nothing of them in its 2xx: the caller gets the agent's session back by another one.

use super::calling::is_joinable;
use super::way::Outcome;
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Offerer, let_go};
use crate::call::durations::{BUSY_DIALOG_POLL, BYE_AFTER_2XX, JOIN_ANSWER};
use crate::call::relay::patience;
use crate::routing::explain::Cause;
use crate::sip::leg::modify::is_glare;
use crate::sip::leg::{Body, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Content, Event, LegId, Time, identity};
use crate::wire::Message;

/// How often a re-INVITE that meets another one is tried.
const TRIES: u8 = 6;

/// Joins caller and target by re-INVITE (RFC 3725).
#[derive(Debug)]
pub(crate) struct Join {
    /// The target's leg; None: it has gone.
    pub(crate) target: Option<LegId>,
    /// The caller's side took none of what it was offered; the target was let go for that.
    pub(crate) declined: bool,
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
    /// The target has answered.
    pub(crate) fn begin(cx: &mut Context<'_>, conversation: &Conversation, target: LegId) -> Join {
        let until = cx.now.mono + JOIN_ANSWER;
        let state = State::Waiting { at: cx.now.mono };
        let mut join = Join { target: Some(target), declined: false, state, tries: 0, settles: false, until };
        join.proceed(cx, conversation);
        join
    }

    /// The caller may be gone already: a 2xx counts once no BYE has followed it.
    pub(crate) fn settling(self) -> Join {
        Join { settles: true, ..self }
    }

    /// Caller and target have answered each other, and an ACK to one of them waits for a connection, or the caller may be gone
    /// already and `settles`.
    pub(crate) fn acknowledging(cx: &Context<'_>, target: LegId, settles: bool) -> Join {
        let state = match settles {
            true => State::Settling { until: cx.now.mono + BYE_AFTER_2XX, offerer: Offerer::Caller },
            false => State::Acknowledging { offerer: Offerer::Caller },
        };
        let until = cx.now.mono + JOIN_ANSWER;
        Join { target: Some(target), declined: false, state, tries: 0, settles: false, until }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        match self.state {
            State::Settling { until, .. } => until,
            State::Waiting { at } | State::Restoring { at, sent: None } => at.min(self.until),
            State::Offering { .. } | State::Acknowledging { .. } | State::Restoring { sent: Some(_), .. } => {
                self.until
            }
        }
    }

    /// Caller and target have answered: they have each other once both ACKs have left.
    fn acknowledged(&mut self, cx: &Context<'_>, conversation: &Conversation, offerer: Offerer) -> Outcome {
        let done = |leg: LegId| cx.stack.is_acknowledged(leg);
        if done(conversation.caller) && self.target.is_some_and(done) {
            return Outcome::Joined { offerer };
        }
        (self.state, self.until) = (State::Acknowledging { offerer }, cx.now.mono + JOIN_ANSWER);
        Outcome::Wait
    }

    /// The caller has the session of a target that has gone: it gets the agent's.
    fn restore(&mut self, cx: &mut Context<'_>, conversation: &Conversation) -> Outcome {
        if conversation.partner.is_none() {
            return Outcome::Failed(Cause::Failed);
        }
        self.until = cx.now.mono + JOIN_ANSWER;
        self.state = State::Restoring { at: cx.now.mono, sent: None };
        self.proceed(cx, conversation);
        Outcome::Wait
    }

    /// Sends what is due to be sent to the caller.
    fn proceed(&mut self, cx: &mut Context<'_>, conversation: &Conversation) {
        let caller = conversation.caller;
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

    /// A deadline may have come.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>, conversation: &Conversation) -> Outcome {
        if self.deadline() > cx.now.mono {
            return Outcome::Wait;
        }
        match self.state {
            State::Settling { offerer, .. } => self.acknowledged(cx, conversation, offerer),
            State::Waiting { .. } if self.until <= cx.now.mono => Outcome::Failed(Cause::Failed),
            State::Restoring { sent: None, .. }
                if self.until <= cx.now.mono || conversation.partner.is_none() =>
            {
                Outcome::Failed(Cause::Failed)
            }
            State::Waiting { .. } | State::Restoring { sent: None, .. } => {
                self.proceed(cx, conversation);
                Outcome::Wait
            }
            State::Acknowledging { .. } => {
                let reason = identity::reason(503, "Not acknowledged");
                self.target.take().into_iter().for_each(|target| let_go(cx, target, reason.clone()));
                self.restore(cx, conversation)
            }
            State::Offering { sent } | State::Restoring { sent: Some(sent), .. } => {
                // Its 2xx may cross the CANCEL; then what stands is put right afterwards.
                cx.stack.withdraw(cx.now, conversation.caller, sent);
                self.until = cx.now.mono + JOIN_ANSWER;
                Outcome::Wait
            }
        }
    }

    /// The target hung up, or its leg broke.
    pub(crate) fn target_left(&mut self, cx: &mut Context<'_>, conversation: &Conversation) -> Outcome {
        self.target = None;
        match self.state {
            State::Waiting { .. } => Outcome::Failed(Cause::Failed),
            State::Offering { sent } => {
                cx.stack.withdraw(cx.now, conversation.caller, sent);
                Outcome::Wait
            }
            State::Settling { .. } | State::Acknowledging { .. } => self.restore(cx, conversation),
            State::Restoring { .. } => Outcome::Wait,
        }
    }

    /// One event of the caller's leg.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &Conversation,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Outcome {
        if let (Event::Left { .. }, State::Acknowledging { offerer }) = (event, self.state) {
            return self.acknowledged(cx, conversation, offerer);
        }
        let Event::Response { sent: which, status, .. } = event else { return Outcome::NotMine };
        let glare = is_glare(status, message);
        match self.state {
            State::Offering { sent } if sent == which => self.offered(cx, conversation, status, glare),
            State::Restoring { sent: Some(sent), .. } if sent == which => {
                self.restored(cx, conversation, status, glare)
            }
            State::Waiting { .. }
            | State::Offering { .. }
            | State::Settling { .. }
            | State::Acknowledging { .. }
            | State::Restoring { .. } => Outcome::NotMine,
        }
    }

    fn offered(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &Conversation,
        status: u16,
        glare: bool,
    ) -> Outcome {
        let caller = conversation.caller;
        let taken = cx.stack.is_agreed(caller) && is_joinable(cx, caller);
        if (200..300).contains(&status) && !taken {
            // Whoever declines every stream would hear nothing, and who answers nothing has agreed to nothing.
            self.declined = true;
            let reason = identity::reason(488, "The caller took no stream");
            self.target.take().into_iter().for_each(|target| let_go(cx, target, reason.clone()));
        }
        match status {
            200..=299 if self.target.is_some() && self.settles => {
                self.state = State::Settling { until: cx.now.mono + BYE_AFTER_2XX, offerer: Offerer::Baton };
                Outcome::Wait
            }
            200..=299 if self.target.is_some() => self.acknowledged(cx, conversation, Offerer::Baton),
            200..=299 => self.restore(cx, conversation),
            _ if glare && self.target.is_some() && self.tries < TRIES => {
                self.tries += 1;
                let wait = cx.stack.back_off(caller);
                self.state = State::Waiting { at: cx.now.mono + wait };
                Outcome::Wait
            }
            _ => Outcome::Failed(Cause::Failed),
        }
    }

    fn restored(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &Conversation,
        status: u16,
        glare: bool,
    ) -> Outcome {
        match status {
            _ if glare && self.tries < TRIES => {
                self.tries += 1;
                let wait = cx.stack.back_off(conversation.caller);
                self.state = State::Restoring { at: cx.now.mono + wait, sent: None };
                Outcome::Wait
            }
            _ => Outcome::Failed(Cause::Failed),
        }
    }
}

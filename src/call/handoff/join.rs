//! Caller and target are joined (RFC 3725, product section 7): the caller's leg is re-INVITEd with what the target
//! answered.
//!
//! Up to its 2xx the caller is still with the agent: a refusal leaves its session as it was. A target that goes while
//! the re-INVITE is out is too late for that, and so is a caller that takes the re-INVITE and none of its streams, or says
//! nothing of them in its 2xx: the caller gets the agent's session back by another one.

use super::calling::is_joinable;
use crate::call::context::Context;
use crate::call::conversation::{Conversation, let_go};
use crate::call::passing::patience;
use crate::sip::leg::modify::is_glare;
use crate::sip::leg::{Body, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Content, Event, LegId, Origin, Time, identity};
use crate::wire::Message;
use std::time::Duration;

/// How often a re-INVITE that meets another one is tried.
const TRIES: u8 = 6;
/// How soon a dialog that is busy is looked at again.
const SOON: Duration = Duration::from_millis(50);
/// How long the caller may be busy, and how soon the re-INVITE that was taken back ends by itself.
const PATIENCE: Duration = Duration::from_secs(32);

/// See the module.
#[derive(Debug)]
pub(crate) struct Join {
    /// The target's leg; None: it has gone.
    pub(crate) target: Option<LegId>,
    /// The caller's side took none of what it was offered; the target was let go for that.
    pub(crate) declined: bool,
    state: State,
    tries: u8,
    /// When all of it is given up.
    until: Time,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The caller's dialog is busy, or met another request. Nothing has changed yet.
    Waiting { at: Time },
    /// The re-INVITE is out: no return but by another one.
    Offering { sent: SentId },
    /// The caller may have the target's session already, and gets the agent's back.
    Restoring { at: Time, sent: Option<SentId> },
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not about this.
    NotMine,
    /// It goes on.
    Wait,
    /// Caller and target have each other.
    Joined,
    /// The caller is with the agent as before; the target has gone or is to be let go.
    Failed,
    /// The caller's dialog is over.
    CallerLost { status: u16, origin: Origin },
}

impl Join {
    /// The target has answered.
    pub(crate) fn begin(cx: &mut Context<'_>, conversation: &Conversation, target: LegId) -> Join {
        let until = cx.now.mono + PATIENCE;
        let state = State::Waiting { at: cx.now.mono };
        let mut join = Join { target: Some(target), declined: false, state, tries: 0, until };
        join.proceed(cx, conversation);
        join
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        match self.state {
            State::Waiting { at } | State::Restoring { at, sent: None } => at.min(self.until),
            State::Offering { .. } | State::Restoring { sent: Some(_), .. } => self.until,
        }
    }

    /// Sends what is due to be sent to the caller.
    fn proceed(&mut self, cx: &mut Context<'_>, conversation: &Conversation) {
        let caller = conversation.caller;
        let other = match self.state {
            State::Waiting { .. } => self.target,
            State::Restoring { sent: None, .. } => conversation.partner.map(|partner| partner.leg),
            State::Offering { .. } | State::Restoring { .. } => return,
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
                *at = cx.now.mono + SOON;
            }
            (_, State::Offering { .. }) => {}
        }
    }

    /// A deadline may have come.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>, conversation: &Conversation) -> Verdict {
        if self.deadline() > cx.now.mono {
            return Verdict::Wait;
        }
        match self.state {
            State::Waiting { .. } if self.until <= cx.now.mono => Verdict::Failed,
            State::Restoring { sent: None, .. }
                if self.until <= cx.now.mono || conversation.partner.is_none() =>
            {
                Verdict::Failed
            }
            State::Waiting { .. } | State::Restoring { sent: None, .. } => {
                self.proceed(cx, conversation);
                Verdict::Wait
            }
            State::Offering { sent } | State::Restoring { sent: Some(sent), .. } => {
                // Its 2xx may cross the CANCEL; then what stands is put right afterwards.
                cx.stack.withdraw(cx.now, conversation.caller, sent);
                self.until = cx.now.mono + PATIENCE;
                Verdict::Wait
            }
        }
    }

    /// The target hung up, or its leg broke.
    pub(crate) fn target_left(&mut self, cx: &mut Context<'_>, conversation: &Conversation) -> Verdict {
        self.target = None;
        match self.state {
            State::Waiting { .. } => Verdict::Failed,
            State::Offering { sent } => {
                cx.stack.withdraw(cx.now, conversation.caller, sent);
                Verdict::Wait
            }
            State::Restoring { .. } => Verdict::Wait,
        }
    }

    /// One event of the caller's leg.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &Conversation,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Verdict {
        let Event::Response { sent: which, status, origin, .. } = event else { return Verdict::NotMine };
        let glare = is_glare(status, message);
        match self.state {
            State::Offering { sent } if sent == which => {
                self.offered(cx, conversation, (status, origin), glare)
            }
            State::Restoring { sent: Some(sent), .. } if sent == which => {
                self.restored(cx, conversation, (status, origin), glare)
            }
            State::Waiting { .. } | State::Offering { .. } | State::Restoring { .. } => Verdict::NotMine,
        }
    }

    fn offered(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &Conversation,
        (status, origin): (u16, Origin),
        glare: bool,
    ) -> Verdict {
        let caller = conversation.caller;
        let taken = cx.stack.is_agreed(caller) && is_joinable(cx, caller);
        if (200..300).contains(&status) && !taken {
            // Whoever declines every stream would hear nothing, and who answers nothing has agreed to nothing.
            self.declined = true;
            let reason = identity::reason(488, "The caller took no stream");
            self.target.take().into_iter().for_each(|target| let_go(cx, target, reason.clone()));
        }
        match status {
            200..=299 if self.target.is_some() => Verdict::Joined,
            200..=299 if conversation.partner.is_none() => Verdict::Failed,
            200..=299 => {
                self.until = cx.now.mono + PATIENCE;
                self.state = State::Restoring { at: cx.now.mono, sent: None };
                self.proceed(cx, conversation);
                Verdict::Wait
            }
            // Its dialog is gone (RFC 3261 §12.2.1.2).
            481 | 408 => Verdict::CallerLost { status, origin },
            _ if glare && self.target.is_some() && self.tries < TRIES => {
                self.tries += 1;
                let wait = cx.stack.back_off(caller);
                self.state = State::Waiting { at: cx.now.mono + wait };
                Verdict::Wait
            }
            _ => Verdict::Failed,
        }
    }

    fn restored(
        &mut self,
        cx: &mut Context<'_>,
        conversation: &Conversation,
        (status, origin): (u16, Origin),
        glare: bool,
    ) -> Verdict {
        match status {
            481 | 408 => Verdict::CallerLost { status, origin },
            _ if glare && self.tries < TRIES => {
                self.tries += 1;
                let wait = cx.stack.back_off(conversation.caller);
                self.state = State::Restoring { at: cx.now.mono + wait, sent: None };
                Verdict::Wait
            }
            _ => Verdict::Failed,
        }
    }
}

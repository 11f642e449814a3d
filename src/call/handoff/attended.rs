//! The target has answered, and the caller's side is asked to take its call over: REFER with Replaces (RFC 3891, RFC 5589
//! §7). Target and agent stay as they are until that has worked.
//!
//! A target whose dialog is replaced ends it by BYE, and so does one that has had enough. Where the caller's side reports
//! by NOTIFY, the report decides which it was. Where it does not, a BYE that came after the 2xx is taken for the former.
//! A 200 that by itself proves nothing (the profile says so) is proof together with the BYE, whichever comes first.

use super::{Handoff, refer};
use crate::call::context::Context;
use crate::call::facts::Facts;
use crate::call::record::HandoffState;
use crate::routing::explain::Cause;
use crate::sip::leg::SentId;
use crate::sip::{Event, LegId, Time};
use crate::wire::Message;
use std::time::Duration;

/// How long a NOTIFY may still say that it failed, once the target's dialog with us has been replaced.
const GRACE: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) refer: refer::Attempt,
    /// None: its dialog with us is over.
    pub(crate) target: Option<LegId>,
    /// The target's dialog was replaced; that is the proof, unless a NOTIFY comes until then.
    replaced: Option<Time>,
    report: Report,
}

/// What the caller's side has told by NOTIFY, short of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// Nothing.
    Silent,
    /// It is at it, and will tell how it ends.
    Working,
    /// A 2xx that proves nothing by itself.
    Begun,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not about this.
    NotMine,
    /// It goes on.
    Wait,
    /// The caller has the target: its side says so, or the target's dialog with us was replaced.
    Succeeded,
    /// The caller's side cannot do it, and the target is there: they can be joined. With the REFER that may still work.
    Bridge(Cause, Option<SentId>),
    /// It failed, and the target has gone.
    Failed(Cause),
    /// Accepted or unanswered, the target has gone, and nothing tells the result.
    Unknown(SentId),
    /// The caller's dialog is over.
    LegOver,
}

impl Attempt {
    /// Sends the REFER.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        caller: LegId,
        target: LegId,
    ) -> Result<Attempt, Cause> {
        handoff.progress(cx, HandoffState::Referring, None);
        let refer = refer::Attempt::with_replaces(cx, facts, handoff, caller, target)?;
        Ok(Attempt { refer, target: Some(target), replaced: None, report: Report::Silent })
    }

    /// When something is due: `total` at the latest.
    pub(crate) fn deadline(&self, total: Time) -> Time {
        self.refer.deadline(total).min(self.replaced.unwrap_or(Time(u64::MAX)))
    }

    /// One event of the caller's leg or of the target's.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        handoff: &mut Handoff,
        caller: LegId,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Verdict {
        match event {
            Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. }
                if Some(leg) == self.target =>
            {
                self.target = None;
                cx.release(leg);
                // Only the target's own BYE says that. One that we lost, or ended ourselves, says nothing.
                let replaced = matches!(event, Event::Bye { .. });
                match self.report {
                    _ if self.refer.is_to_be_sent() => return Verdict::Failed(Cause::Failed),
                    Report::Begun if replaced => return Verdict::Succeeded,
                    Report::Silent if replaced && self.refer.is_accepted() => {
                        self.replaced = Some(cx.now.mono + GRACE);
                    }
                    // What is told will decide, and the response, if that is to come yet.
                    Report::Begun | Report::Silent | Report::Working => {}
                }
                Verdict::Wait
            }
            Event::Request { leg, request, .. } if Some(leg) == self.target => {
                let _ = cx.stack.respond(cx.now, request, 491, crate::sip::Content::default());
                Verdict::Wait
            }
            event => {
                let verdict = self.refer.hear(cx, handoff, caller, event, message);
                match (event, verdict) {
                    (Event::Notified { .. }, refer::Verdict::Wait) => {
                        (self.report, self.replaced) = (Report::Working, None);
                    }
                    (Event::Notified { news, .. }, refer::Verdict::Unknown(_)) if news.is_success() => {
                        self.report = Report::Begun;
                        return if self.target.is_none() { Verdict::Succeeded } else { Verdict::Wait };
                    }
                    _ => {}
                }
                self.judge(verdict)
            }
        }
    }

    /// A deadline may have come.
    pub(crate) fn tick(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        handoff: &mut Handoff,
        caller: LegId,
    ) -> Verdict {
        if self.replaced.is_some_and(|until| until <= cx.now.mono) {
            return Verdict::Succeeded;
        }
        let verdict = self.refer.tick(cx, facts, handoff, caller);
        self.judge(verdict)
    }

    /// `timeouts.total` has passed.
    pub(crate) fn give_up(&mut self, cx: &mut Context<'_>, handoff: &mut Handoff, caller: LegId) -> Verdict {
        let verdict = self.refer.give_up(cx, handoff, caller);
        self.judge(verdict)
    }

    fn judge(&self, verdict: refer::Verdict) -> Verdict {
        let there = self.target.is_some();
        match verdict {
            refer::Verdict::NotMine => Verdict::NotMine,
            refer::Verdict::Wait => Verdict::Wait,
            refer::Verdict::Succeeded => Verdict::Succeeded,
            refer::Verdict::Failed(cause) if there => Verdict::Bridge(cause, None),
            refer::Verdict::Failed(cause) => Verdict::Failed(cause),
            refer::Verdict::Unknown(sent) if there => Verdict::Bridge(Cause::Unknown, Some(sent)),
            refer::Verdict::Unknown(_) if self.replaced.is_some() => Verdict::Succeeded,
            refer::Verdict::Unknown(sent) => Verdict::Unknown(sent),
            refer::Verdict::LegOver => Verdict::LegOver,
        }
    }
}

//! A REFER that was given up as `unknown` is heard of after all, while what followed it runs.

use super::{Attempt, Moving, Then};
use crate::call::context::Context;
use crate::call::facts::Facts;
use crate::call::handoff::doubt::Whereabouts;
use crate::call::handoff::way::{Signal, Way};
use crate::call::handoff::way::{attended, refer};
use crate::call::phase::Phase;
use crate::call::record::HandoffState;
use crate::call::waiting;
use crate::sip::leg::SentId;
use crate::sip::{Event, is_doubtful};

impl Moving {
    /// A REFER that was given up as `unknown` speaks after all, before what followed it was done: what is tried now is
    /// taken back, and the REFER counts again.
    pub(super) fn hear_late(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        which: usize,
        signal: Signal<'_>,
    ) -> Phase {
        let event = signal.event;
        // Another REFER cannot be taken back, and only a success of this one is news.
        let other = matches!(&self.attempt, Attempt::Way(way) if way.is_irrevocable());
        let succeeded = arrived(event) && self.handoff.believes(self.handoff.late[which].belief());
        if self.attempt.is_final() || (other && !succeeded) {
            self.handoff.accepted_late(which, event);
            return match facts.waiting.hear(cx, event) {
                waiting::Heard::Arrived if !self.attempt.is_final() => self.moved(cx, facts),
                _ => self.phase(),
            };
        }
        self.resume(cx, facts, which);
        self.handoff.progress(cx, HandoffState::Referring, None);
        self.hear(cx, facts, signal)
    }

    /// A REFER that was given up is refused after all: it is in doubt no more. True if that is what the event says, or that
    /// nobody has heard of it.
    pub(super) fn is_refused_late(
        &mut self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        Signal { event, message }: Signal<'_>,
    ) -> bool {
        let Event::Response { leg, sent, status, origin, .. } = event else { return false };
        let Some(which) = self.handoff.late.iter().position(|late| late.sent == sent) else {
            return facts.doubts(sent) && {
                facts.has_failed(cx, event);
                true
            };
        };
        // Silence refuses nothing, whoever made the status; nor does it what a NOTIFY has told of already.
        let refused = !is_doubtful(status) && !self.handoff.was_told(&self.handoff.late[which]);
        if refused && !cx.stack.is_subscribed(leg, sent) {
            self.handoff.refused_late(which, status, message, origin);
        }
        true
    }

    /// The question where another REFER has left the caller is broken off: it may be asked again before anything is said.
    fn leave_unasked(&mut self) {
        match self.attempt {
            Attempt::Asking { then: Then::Failed { .. }, .. }
                if self.handoff.whereabouts == Whereabouts::Here =>
            {
                self.handoff.whereabouts = Whereabouts::Unasked;
            }
            Attempt::Asking { then: Then::Unproven { sent }, .. } => {
                self.handoff.give_up(sent);
            }
            _ => {}
        }
    }

    /// What is tried now is taken back for a REFER that was given up, and that one is what is tried.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>, facts: &mut Facts, which: usize) {
        let late = self.handoff.late.remove(which);
        let sent = late.sent;
        self.leave_unasked();
        self.take_back(cx, facts, "A transfer is under way");
        self.handoff.revive(cx, late);
        let refer = refer::BlindRefer::resumed(sent, cx.now.mono, &self.handoff);
        self.attempt = Attempt::Way(match facts.waiting.take(sent) {
            Some(waiter) => Way::TakeOver(attended::AttendedTransfer::resumed(refer, waiter)),
            None => Way::Refer(refer),
        });
    }
}

/// Whether an event shows that a REFER which was given up is alive: a 2xx, or any NOTIFY.
pub(super) fn speaks(event: Event, late: SentId) -> bool {
    match event {
        Event::Response { sent, status, .. } => sent == late && (200..300).contains(&status),
        Event::Notified { refer, .. } => refer == late,
        _ => false,
    }
}

/// Whether a NOTIFY says that the target has the caller.
fn arrived(event: Event) -> bool {
    matches!(event, Event::Notified { progress, .. } if progress.is_success())
}

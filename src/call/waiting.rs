//! Targets of `attended` whose REFER is in doubt: each has answered, hears nobody, and may be taken over at any moment.
//!
//! A BYE of ours would take from the caller whom they are about to get. So such a leg stays until its own BYE, until the
//! REFER is heard of after all, until the caller is joined with somebody else, or until the call ends. The attempt that
//! has sent the REFER, and its handoff, may be long over.

use super::alone::answer_waiting;
use super::context::Context;
use super::conversation::let_go;
use super::durations::REPLACED_BYE;
use super::handoff::swap::{Shown, Swap};
use crate::sip::leg::{Body, SentId};
use crate::sip::{Content, Event, Gap, LegId, Time, identity};
use crate::wire::sdp::as_answer;

/// A target of `attended` that has answered and hears nobody, because the REFER that names it is in doubt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    /// The REFER that names it.
    pub(crate) sent: SentId,
    /// None: its leg is over; what was seen of that still counts.
    pub(crate) target: Option<LegId>,
    pub(crate) swap: Swap,
    /// Whether a 2xx that is told of it is believed.
    pub(crate) believed: bool,
    /// Until when the REFER's result is due, and the leg stays even though the call has ended; None: as long as a swap may take.
    pub(crate) until: Option<Time>,
}

/// The targets whose REFER is in doubt. Oldest first; at most [`KEPT`].
#[derive(Debug, Default)]
pub(crate) struct Waiting(Vec<Waiter>);

/// How many of one call are remembered.
const KEPT: usize = 32;

/// What an event is to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Not about them alone: others may have a part in it.
    NotMine,
    /// Nothing follows from it.
    Nothing,
    /// The caller has one of them.
    Arrived,
}

impl Waiting {
    /// One more.
    pub(crate) fn push(&mut self, cx: &mut Context<'_>, waiter: Waiter) {
        if self.0.len() == KEPT {
            let oldest = self.0.remove(0);
            let_go_of(cx, oldest.target);
        }
        self.0.push(waiter);
    }

    /// The one that a REFER names.
    pub(crate) fn take(&mut self, sent: SentId) -> Option<Waiter> {
        let at = self.0.iter().position(|one| one.sent == sent)?;
        Some(self.0.remove(at))
    }

    /// The same, if its leg stands.
    pub(crate) fn take_standing(&mut self, sent: SentId) -> Option<LegId> {
        self.0.iter().any(|one| one.sent == sent && one.target.is_some()).then_some(())?;
        self.take(sent)?.target
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their legs.
    pub(crate) fn legs(&self) -> impl Iterator<Item = LegId> + '_ {
        self.0.iter().filter_map(|one| one.target)
    }

    /// The process stood still.
    pub(crate) fn catch_up(&mut self, gap: Gap) {
        self.0.iter_mut().for_each(|one| one.swap.catch_up(gap));
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let told = |one: &Waiter| match one.swap.shown(Time(0), one.target.is_some()) {
            Shown::Told { until } => Some(until),
            Shown::Nothing | Shown::Worked | Shown::Doubtful => None,
        };
        self.0.iter().filter_map(told).min()
    }

    /// One event of any leg of the call.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>, event: Event) -> Heard {
        if let Event::Notified { leg, refer, progress } = event {
            let Some(at) = self.0.iter().position(|one| one.sent == refer) else { return Heard::NotMine };
            if progress.is_failure() {
                // Nobody will take it over.
                let_go_of(cx, self.0.remove(at).target);
            } else if progress.is_success() {
                let believed = self.0[at].believed;
                self.0[at].swap.tell(cx.now.mono, believed);
                cx.leave_to_swap([Some(leg), self.0[at].target]);
                return self.judge(cx, at);
            }
            return Heard::NotMine;
        }
        if let Event::Response { leg, sent, status: 300.., .. } = event
            && let Some(at) = self.0.iter().position(|one| one.sent == sent)
        {
            if !cx.stack.is_subscribed(leg, sent) {
                // It was refused after all, and nobody will take it over.
                let_go_of(cx, self.0.remove(at).target);
            }
            return Heard::NotMine;
        }
        let leg = event.leg();
        let Some(at) = self.0.iter().position(|one| one.target == Some(leg)) else { return Heard::NotMine };
        match event {
            Event::Bye { .. } | Event::Lost { .. } | Event::Closed { .. } => {
                self.0[at].target = None;
                cx.release(leg);
                if matches!(event, Event::Bye { .. }) {
                    self.0[at].swap.leave(cx.now.mono);
                }
                return self.judge(cx, at);
            }
            Event::Request { request, kind, .. } => answer_waiting(cx, leg, request, kind),
            // What it was asked while somebody spoke with it.
            Event::Response { needs_answer: true, .. } => {
                let standing = cx.stack.local_sdp(leg).zip(cx.stack.proposed_sdp(leg));
                let answer = standing.map(|(ours, offer)| as_answer(ours, offer));
                let body = answer.as_deref().map_or(Body::None, Body::Sdp);
                let _ = cx.stack.acknowledge(cx.now, leg, Content { body, ..Content::default() });
            }
            _ => {}
        }
        Heard::Nothing
    }

    fn judge(&mut self, cx: &mut Context<'_>, at: usize) -> Heard {
        let one = &mut self.0[at];
        match one.swap.shown(cx.now.mono, one.target.is_some()) {
            Shown::Nothing | Shown::Told { .. } => Heard::Nothing,
            Shown::Worked => {
                let_go_of(cx, self.0.remove(at).target);
                Heard::Arrived
            }
            Shown::Doubtful => {
                one.swap.forget();
                Heard::Nothing
            }
        }
    }

    /// A deadline may have come. True: the caller has one of them.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        let last = self.0.len();
        (0..last).rev().any(|at| self.0[at].swap.is_told() && self.judge(cx, at) == Heard::Arrived)
    }

    /// Nobody is going to take them over any more.
    pub(crate) fn clear(&mut self, cx: &mut Context<'_>) {
        self.0.drain(..).for_each(|one| let_go_of(cx, one.target));
    }

    /// The call ends: their legs, each with the time until which it may still be taken over.
    pub(crate) fn leave(&mut self, now: Time) -> impl Iterator<Item = (LegId, Time)> + '_ {
        let least = now + REPLACED_BYE;
        self.0
            .drain(..)
            .filter_map(move |one| Some((one.target?, one.until.map_or(least, |at| at.max(least)))))
    }
}

fn let_go_of(cx: &mut Context<'_>, target: Option<LegId>) {
    target.into_iter().for_each(|leg| let_go(cx, leg, identity::reason(487, "No caller")));
}

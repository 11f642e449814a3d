//! A REFER that is not carried out here but passed: a target that was joined with the caller refers the caller's side
//! (`transfer = "pass"`), or the caller's side refers whoever the caller talks with (`refer_from_caller`). A REFER always moves
//! the sender's partner (RFC 5589).
//!
//! Where it leads is checked as a decision is, and Referred-By is ours. What the other side tells goes back by NOTIFY; the
//! two end their dialogs themselves. No handoff is made of it: nobody here decides anything. Who refers the caller and hangs
//! up at once leaves the caller here until there is a result.

use super::report::{Farewell, Referral};
use super::way::refer;
use crate::call::context::Context;
use crate::call::durations::PASSED_REFER_RESULT;
use crate::call::event::EventKind;
use crate::call::facts::Facts;
use crate::call::handoff::attempt_plan::AttemptPlan;
use crate::call::record::Role;
use crate::routing::profile::Placement;
use crate::sip::leg::refer::Refer;
use crate::sip::leg::{RequestId, SentId};
use crate::sip::stack::NotSent;
use crate::sip::{Event, LegId, Time, is_doubtful};
use std::borrow::Cow;

/// What is told where nothing is known.
const UNKNOWN: u16 = 408;

const NO_ROUTE: &str = "the destination has no route that could be passed";
const NOT_ANSWERED: &str = "the other side's call is not answered yet";
const GONE: &str = "the other side is gone";

/// A REFER that was passed to the other side, and the NOTIFYs that go back.
#[derive(Debug)]
pub(crate) struct Passed {
    referral: Referral,
    by: Role,
    sent: SentId,
    until: Time,
}

/// Passes it to the leg `to`, and takes it from the leg `from`.
///
/// # Errors
/// The status that it is to be refused with, and why.
pub(crate) fn pass(
    cx: &mut Context<'_>,
    facts: &Facts,
    attempt_plan: &AttemptPlan,
    (by, from, request): (Role, LegId, RequestId),
    to: LegId,
) -> Result<Passed, (u16, Cow<'static, str>)> {
    let uri = refer::place(facts, attempt_plan, Placement::Request).ok_or((403, NO_ROUTE.into()))?;
    let referred_by = refer::referred_by(cx, facts, to);
    let refer_to = format!("<{uri}>");
    let refer = Refer {
        refer_to: refer_to.as_bytes(),
        referred_by: Some(referred_by.as_bytes()),
        fields: &attempt_plan.fields,
        max_forwards: 70,
    };
    let sent = cx.stack.refer(cx.now, to, refer).map_err(|why| match why {
        NotSent::Pending => (491, NOT_ANSWERED.into()),
        NotSent::Gone => (480, GONE.into()),
    })?;
    let subscription = cx.stack.accept_referral(cx.now, request).unwrap_or_default();
    let call = facts.id.clone();
    cx.tell(EventKind::ReferPassed { call, by, refer_to: Some(uri), status: None });
    let referral = Referral::new(from, subscription);
    Ok(Passed { referral, by, sent, until: cx.now.mono + PASSED_REFER_RESULT })
}

/// What came of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    /// Not about this.
    NotMine,
    /// It goes on.
    Wait,
    /// It has its result, a final status; whoever referred is told, and its BYE waits for the answer to that.
    Over(u16, Option<Farewell>),
}

impl Passed {
    /// Whether the caller is moved by it.
    pub(crate) fn moves_caller(&self) -> bool {
        self.by != Role::Caller
    }

    /// When it is given up.
    pub(crate) fn deadline(&self) -> Time {
        self.until
    }

    /// One event of a leg.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>, facts: &Facts, event: Event) -> Heard {
        match event {
            Event::Response { sent, status, .. } if sent == self.sent => match status {
                300.. if !is_doubtful(status) => self.over(cx, facts, status),
                _ => self.wait(cx),
            },
            Event::Notified { refer, progress, .. } if refer == self.sent => match progress.status {
                Some(status @ 200..) => self.over(cx, facts, status),
                _ if progress.terminated => self.over(cx, facts, UNKNOWN),
                Some(status) => {
                    self.referral.progress(cx, status);
                    self.wait(cx)
                }
                None => self.wait(cx),
            },
            _ => Heard::NotMine,
        }
    }

    fn wait(&mut self, cx: &Context<'_>) -> Heard {
        self.until = cx.now.mono + PASSED_REFER_RESULT;
        Heard::Wait
    }

    /// Nothing more is waited for: what it has come to is not known.
    pub(crate) fn give_up(mut self, cx: &mut Context<'_>, facts: &Facts) -> Option<Farewell> {
        match self.over(cx, facts, UNKNOWN) {
            Heard::Over(_, farewell) => farewell,
            Heard::NotMine | Heard::Wait => None,
        }
    }

    fn over(&mut self, cx: &mut Context<'_>, facts: &Facts, status: u16) -> Heard {
        let call = facts.id.clone();
        cx.tell(EventKind::ReferPassed { call, by: self.by, refer_to: None, status: Some(status) });
        self.referral.conclude(cx, status);
        Heard::Over(status, self.referral.farewell)
    }
}

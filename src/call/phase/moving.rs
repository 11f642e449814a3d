//! A handoff runs while the caller leg is answered. The conversation of caller and agent is untouched until the
//! handoff has worked; every failure before that leaves it as it was.

use super::ending::{self, Ending};
use super::talking::Talking;
use super::{Phase, Stimulus};
use crate::call::command::Refusal;
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Heard};
use crate::call::decision::{self, By, Given};
use crate::call::event::What;
use crate::call::facts::Facts;
use crate::call::handoff::ladder::Next;
use crate::call::handoff::report::Referral;
use crate::call::handoff::{Handoff, Plan, Way, refer};
use crate::call::record::{HandoffState, Proof, Role};
use crate::routing::explain::{self, Cause, Where};
use crate::routing::profile::Notify200;
use crate::sip::leg::SentId;
use crate::sip::{Content, Event, LegId, Origin, Time, identity};
use crate::wire::{Message, reason_phrase};
use smallvec::SmallVec;
use std::time::Duration;

/// How long both legs must stand after the last failure before `returned` is said.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the agent leg stays after the caller's side hung up in the middle of a transfer that it had accepted.
const GRACE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Moving {
    conversation: Conversation,
    pub(crate) handoff: Handoff,
    attempt: Attempt,
}

/// What is being tried. No return from `Bye` and `Joining`.
#[derive(Debug)]
enum Attempt {
    /// The caller has not acknowledged our 2xx: nothing can be asked in its dialog yet.
    Held,
    /// A REFER.
    Refer(refer::Attempt),
    /// It failed, and both legs must stand until then. `late`: a REFER that may still be answered.
    Settling { until: Time, late: Option<SentId> },
    /// The caller's side hung up after its 2xx to the REFER: only a NOTIFY can tell now.
    CallerGone { refer: refer::Attempt, close_agent: Option<Time> },
    /// Our BYE to the caller leg is out.
    Bye,
    /// A target has answered in place of the agent; the caller's ACK makes it sure.
    Joining,
}

/// A decision that can be carried out.
pub(crate) struct Start {
    conversation: Conversation,
    plan: Plan,
    pub(crate) id: Box<str>,
    pub(crate) referral: Option<Referral>,
    is_fallback: bool,
}

impl Moving {
    /// Checks a decision; the conversation comes back with a refusal.
    pub(crate) fn decided(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        conversation: Conversation,
        given: Given,
        by: By,
    ) -> Result<Start, Box<(Conversation, Refusal)>> {
        let id: Box<str> = (&*cx.ident.handoff_id(facts.slot)).into();
        match decision::plan(cx, facts, given, by, true, &id) {
            Ok(plan) => Ok(Start { conversation, plan, id, referral: None, is_fallback: by == By::Loss }),
            Err(refusal) => Err(Box::new((conversation, refusal))),
        }
    }

    /// A decision that comes with the agent's absence: what cannot be carried out becomes the fallback, and only if
    /// there is none at all the call ends.
    pub(crate) fn decided_by_absence(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        conversation: Conversation,
        given: Given,
        by: By,
    ) -> Phase {
        let refused = match Self::decided(cx, facts, conversation, given, by) {
            Ok(start) => return Self::begin(cx, facts, start),
            Err(refused) => refused,
        };
        let (conversation, refusal) = *refused;
        cx.tell(What::Ignored { call: facts.id.to_string(), what: format!("the decision: {refusal}") });
        if by != By::Loss {
            let given = Given::fallback(facts, "agent_left");
            return Self::decided_by_absence(cx, facts, conversation, given, By::Loss);
        }
        let legs = conversation.dissolve(cx);
        Ending::begin(cx, legs, None, 480, "the agent is gone and there is no fallback")
    }

    /// Sends the first request of a decision (or waits until it may be sent).
    pub(crate) fn begin(cx: &mut Context<'_>, facts: &mut Facts, start: Start) -> Phase {
        let Start { conversation, plan, id, referral, is_fallback } = start;
        let handoff = Handoff::begin(cx, facts, &id, plan, referral, is_fallback);
        let held = !conversation.confirmed;
        let moving = Box::new(Moving { conversation, handoff, attempt: Attempt::Held });
        if held { moving.phase() } else { moving.first(cx, facts) }
    }

    /// The target of a handoff before the answer has answered, and so has the caller leg.
    pub(crate) fn joining(cx: &mut Context<'_>, conversation: Conversation, mut handoff: Handoff) -> Phase {
        handoff.progress(cx, HandoffState::Joining, None);
        Phase::Moving(Box::new(Moving { conversation, handoff, attempt: Attempt::Joining }))
    }

    fn phase(self: Box<Self>) -> Phase {
        Phase::Moving(self)
    }

    /// The legs that are there.
    pub(crate) fn legs(&self) -> SmallVec<[(LegId, Role); 3]> {
        self.conversation.legs().collect()
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        match &self.attempt {
            Attempt::Held => self.handoff.total,
            Attempt::Refer(attempt) => attempt.deadline().min(self.handoff.total),
            Attempt::Settling { until, .. } => *until,
            Attempt::CallerGone { refer, close_agent } => {
                close_agent.unwrap_or(Time(u64::MAX)).min(refer.deadline())
            }
            // Bounded below: by the BYE's transaction, and by the wait for the ACK.
            Attempt::Bye | Attempt::Joining => Time(u64::MAX),
        }
    }

    pub(crate) fn step(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        stimulus: Stimulus<'_>,
    ) -> Phase {
        match stimulus {
            Stimulus::Leg(event, message) => self.hear(cx, facts, event, message),
            Stimulus::Tick => self.tick(cx, facts),
            Stimulus::HangUp { why } => {
                self.handoff.attempt_failed(cx, Cause::Failed, Next::None.name());
                self.over(cx, facts, HandoffState::Failed, None, true, why)
            }
            Stimulus::Resolved { .. } => self.phase(),
        }
    }

    fn first(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match self.handoff.plan.way {
            Way::Refer => match refer::Attempt::begin(cx, facts, &mut self.handoff, self.conversation.caller)
            {
                Ok(attempt) => {
                    self.attempt = Attempt::Refer(attempt);
                    self.phase()
                }
                Err(cause) => self.failed(cx, facts, cause, None),
            },
            Way::Bye => self.hand_back(cx, facts),
            // Both belong to the time before the answer.
            Way::Invite | Way::Redirect => self.failed(cx, facts, Cause::Failed, None),
        }
    }

    fn hear(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Phase {
        let caller = self.conversation.caller;
        let verdict = match &mut self.attempt {
            Attempt::Refer(attempt) | Attempt::CallerGone { refer: attempt, .. } => {
                attempt.hear(cx, &mut self.handoff, caller, event, message)
            }
            Attempt::Settling { late: Some(late), .. } => {
                let late = *late;
                return self.hear_late(cx, facts, late, event, message);
            }
            Attempt::Bye => return self.hear_bye(cx, facts, event, message),
            Attempt::Held | Attempt::Settling { late: None, .. } | Attempt::Joining => {
                refer::Verdict::NotMine
            }
        };
        match verdict {
            refer::Verdict::NotMine => {
                let heard = self.conversation.hear(cx, event, message);
                self.heard(cx, facts, heard)
            }
            verdict => self.judge(cx, facts, verdict),
        }
    }

    /// A REFER that was given up as `unknown` speaks after all, before the step that followed was done.
    fn hear_late(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        late: SentId,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Phase {
        let counts = match event {
            Event::Response { sent, status, .. } => sent == late && (200..300).contains(&status),
            Event::Notified { refer, .. } => refer == late,
            _ => false,
        };
        if !counts {
            let heard = self.conversation.hear(cx, event, message);
            return self.heard(cx, facts, heard);
        }
        if let Some(attempt) = self.handoff.last() {
            attempt.ended_at = None;
            attempt.cause = None;
        }
        self.handoff.position = 0;
        let mut attempt = refer::Attempt::resumed(late, cx.now.mono, &self.handoff);
        let verdict = attempt.hear(cx, &mut self.handoff, self.conversation.caller, event, message);
        self.attempt = Attempt::Refer(attempt);
        self.judge(cx, facts, verdict)
    }

    fn hear_bye(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Phase {
        let caller = self.conversation.caller;
        match event {
            Event::Closed { leg, status, origin } if leg == caller => {
                self.conversation.caller_over = true;
                let phrase = message.map_or(reason_phrase(status).into(), |m| {
                    String::from_utf8_lossy(m.reason()).into_owned()
                });
                self.handoff.answered(status, &phrase, origin);
                if status == 481 {
                    // The dialog was gone before our BYE came: the caller's side hung up.
                    return self.abandoned(cx, facts);
                }
                match explain::cause(status, Where::ReferResponse) {
                    None => {
                        self.handoff.attempt_over(cx);
                        self.over(
                            cx,
                            facts,
                            HandoffState::HandedBack,
                            Some(Proof::Accepted),
                            false,
                            "handed back",
                        )
                    }
                    Some(cause) => {
                        self.handoff.attempt_failed(cx, cause, Next::None.name());
                        self.over(
                            cx,
                            facts,
                            HandoffState::Failed,
                            None,
                            true,
                            "the hand-back was not answered",
                        )
                    }
                }
            }
            Event::Bye { leg } if leg == caller => {
                self.conversation.caller_over = true;
                self.abandoned(cx, facts)
            }
            event => {
                let heard = self.conversation.hear(cx, event, message);
                self.heard(cx, facts, heard)
            }
        }
    }

    fn tick(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let now = cx.now.mono;
        let total = self.handoff.total <= now;
        let caller = self.conversation.caller;
        let verdict = match &mut self.attempt {
            Attempt::Held if total => return self.failed(cx, facts, Cause::Failed, None),
            Attempt::Refer(attempt) if total => attempt.give_up(),
            Attempt::Refer(attempt) => attempt.tick(cx, facts, &mut self.handoff, caller),
            Attempt::Settling { until, .. } if *until <= now => return self.settled(cx, facts),
            Attempt::CallerGone { refer, close_agent } => {
                if close_agent.take_if(|at| *at <= now).is_some() {
                    self.conversation.drop_partner(cx);
                }
                refer.tick(cx, facts, &mut self.handoff, caller)
            }
            Attempt::Held | Attempt::Settling { .. } | Attempt::Bye | Attempt::Joining => {
                refer::Verdict::Wait
            }
        };
        self.judge(cx, facts, verdict)
    }

    fn judge(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, verdict: refer::Verdict) -> Phase {
        let caller_gone = matches!(self.attempt, Attempt::CallerGone { .. });
        match verdict {
            refer::Verdict::NotMine | refer::Verdict::Wait => self.phase(),
            refer::Verdict::Succeeded => {
                self.handoff.attempt_over(cx);
                self.over(cx, facts, HandoffState::Succeeded, Some(Proof::Reported), false, "handed off")
            }
            refer::Verdict::Failed(_) if caller_gone && self.final_status() == Some(487) => {
                self.abandoned(cx, facts)
            }
            refer::Verdict::Failed(cause) if caller_gone => {
                self.handoff.attempt_failed(cx, cause, Next::None.name());
                self.over(
                    cx,
                    facts,
                    HandoffState::Failed,
                    None,
                    true,
                    "the transfer failed after the caller was taken",
                )
            }
            refer::Verdict::Failed(cause) => self.failed(cx, facts, cause, None),
            refer::Verdict::Unknown(_) if caller_gone => {
                self.handoff.attempt_failed(cx, Cause::Unknown, Next::None.name());
                self.over(
                    cx,
                    facts,
                    HandoffState::Unknown,
                    Some(Proof::Accepted),
                    false,
                    "the transfer's result is unknown",
                )
            }
            refer::Verdict::Unknown(sent) => self.failed(cx, facts, Cause::Unknown, Some(sent)),
            refer::Verdict::LegOver => {
                self.handoff.attempt_failed(cx, Cause::LostByReceiver, Next::None.name());
                self.over(cx, facts, HandoffState::Failed, None, true, "caller leg lost")
            }
        }
    }

    fn final_status(&mut self) -> Option<u16> {
        self.handoff.last().and_then(|a| a.final_status)
    }

    fn heard(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, heard: Heard) -> Phase {
        match heard {
            Heard::Nothing => self.phase(),
            Heard::Confirmed => match self.attempt {
                Attempt::Held => self.first(cx, facts),
                Attempt::Joining => self.joined(cx, facts),
                Attempt::Refer(_) | Attempt::Settling { .. } | Attempt::CallerGone { .. } | Attempt::Bye => {
                    self.phase()
                }
            },
            Heard::CallerLeft => self.caller_left(cx, facts),
            Heard::CallerLost { status, origin } => {
                super::talking::lost(cx, facts, Role::Caller, (status, origin), "end");
                let cause = match self.attempt {
                    // Nobody was asked to take the caller yet, so nobody has lost them.
                    Attempt::Held => {
                        explain::cause(status, Where::ReferResponse).unwrap_or(Cause::Unreachable)
                    }
                    Attempt::Refer(_)
                    | Attempt::Settling { .. }
                    | Attempt::CallerGone { .. }
                    | Attempt::Bye
                    | Attempt::Joining => Cause::LostByReceiver,
                };
                self.handoff.attempt_failed(cx, cause, Next::None.name());
                self.over(cx, facts, HandoffState::Failed, None, true, "caller leg lost")
            }
            Heard::Unanswered => {
                self.handoff.attempt_failed(cx, Cause::Failed, Next::None.name());
                self.over(cx, facts, HandoffState::Failed, None, true, "an offer was left without an answer")
            }
            Heard::PartnerLeft => self.partner_gone(cx, facts, None),
            Heard::PartnerLost { status, origin } => self.partner_gone(cx, facts, Some((status, origin))),
            Heard::Referred { request, by } => {
                // Who may refer is told to wait; who may not, not to come again.
                let may = by == Role::Agent || (by == Role::Caller && facts.trunk.refer_from_caller);
                let status = if may { 491 } else { 603 };
                let _ = cx.stack.respond(cx.now, request, status, Content::default());
                self.phase()
            }
        }
    }

    /// A BYE right after its REFER does not stop the handoff; a target's BYE before the join was sure ends it.
    fn partner_gone(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        lost: Option<(u16, Origin)>,
    ) -> Phase {
        let role = self.conversation.partner.map_or(Role::Agent, |p| p.role);
        self.conversation.drop_partner(cx);
        if let Some(fault) = lost {
            super::talking::lost(cx, facts, role, fault, "the handoff goes on");
        }
        match (role, &self.attempt) {
            (Role::Target, Attempt::Joining) => {
                self.handoff.attempt_failed(cx, Cause::Failed, Next::None.name());
                self.over(
                    cx,
                    facts,
                    HandoffState::Failed,
                    None,
                    true,
                    "the target left before the join was sure",
                )
            }
            (_, Attempt::Settling { .. }) => self.stranded(cx, facts),
            _ => self.phase(),
        }
    }

    fn caller_left(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match self.attempt {
            Attempt::Refer(mut refer) if refer.is_accepted() => {
                refer.left();
                self.attempt = Attempt::CallerGone { refer, close_agent: Some(cx.now.mono + GRACE) };
                self.phase()
            }
            Attempt::Settling { .. } => {
                if let Some(attempt) = self.handoff.last() {
                    attempt.cause = Some(Cause::LostByReceiver.name().into());
                }
                self.handoff.edit().cause = Some(Cause::LostByReceiver.name().into());
                self.over(
                    cx,
                    facts,
                    HandoffState::Failed,
                    None,
                    true,
                    "the receiver took the caller and lost it",
                )
            }
            Attempt::Held
            | Attempt::Refer(_)
            | Attempt::Bye
            | Attempt::Joining
            | Attempt::CallerGone { .. } => self.abandoned(cx, facts),
        }
    }

    fn abandoned(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.handoff.attempt_over(cx);
        self.over(cx, facts, HandoffState::Abandoned, None, false, "caller hung up")
    }

    /// An attempt failed: the WARN, and the next step.
    fn failed(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        cause: Cause,
        late: Option<SentId>,
    ) -> Phase {
        let agent = self.conversation.partner.is_some();
        let next = self.handoff.next(cause, agent);
        let settles = agent && matches!(next, Next::None) && cause != Cause::Unknown;
        self.handoff.attempt_failed(cx, cause, if settles { Next::Agent.name() } else { next.name() });
        match next {
            Next::Agent => self.settle(cx, late),
            Next::Bye => self.hand_back(cx, facts),
            Next::Hangup => self.over(cx, facts, HandoffState::Failed, None, true, "hung up by `on_failure`"),
            Next::None if cause == Cause::Unknown => self.unknown(cx, facts, late),
            Next::None if agent => self.settle(cx, late),
            Next::None => self.stranded(cx, facts),
        }
    }

    fn settle(mut self: Box<Self>, cx: &mut Context<'_>, late: Option<SentId>) -> Phase {
        self.attempt = Attempt::Settling { until: cx.now.mono + SETTLE, late };
        self.phase()
    }

    /// Both legs stood: the caller is back with the agent, who never left.
    fn settled(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.handoff.end(cx, HandoffState::Returned, None, false);
        self.talk(cx, facts, None)
    }

    fn unknown(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, late: Option<SentId>) -> Phase {
        let accepted = self.handoff.last().and_then(|a| a.status).is_some_and(|s| s < 300);
        self.handoff.end(cx, HandoffState::Unknown, accepted.then_some(Proof::Accepted), false);
        // Where a 200 proves nothing, a later one proves nothing either: it must not take the caller's leg away.
        let late = late.filter(|_| self.handoff.plan.profile.notify_200 == Notify200::Reported);
        self.talk(cx, facts, late)
    }

    fn talk(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, late: Option<SentId>) -> Phase {
        let farewell = self.handoff.referral.and_then(|r| r.farewell);
        facts.keep(cx, self.handoff.view);
        Phase::Talking(Talking { conversation: self.conversation, late, farewell })
    }

    /// No step is left and nobody is with the caller: the agent's fallback, unless this was it.
    fn stranded(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        if !self.handoff.fallback_is_left(facts) {
            return self.over(
                cx,
                facts,
                HandoffState::Failed,
                None,
                true,
                "no step was left and the agent was gone",
            );
        }
        self.handoff.end(cx, HandoffState::Failed, None, false);
        facts.keep(cx, self.handoff.view);
        let given = Given::fallback(facts, "agent_lost");
        Self::decided_by_absence(cx, facts, self.conversation, given, By::Loss)
    }

    /// BYE to the caller leg with the destination's headers.
    fn hand_back(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let sip_call_id = Some(facts.sip_call_id.to_string());
        self.handoff.attempt(cx, Way::Bye, HandoffState::Joining, sip_call_id);
        let mut fields = self.handoff.plan.fields.clone();
        fields.push(identity::reason_field(&self.handoff.plan.destination.reason));
        let content = Content { fields: &fields, ..Content::default() };
        cx.stack.close(cx.now, self.conversation.caller, 480, content);
        self.attempt = Attempt::Bye;
        self.phase()
    }

    fn joined(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        self.handoff.attempt_over(cx);
        self.handoff.end(cx, HandoffState::Succeeded, Some(Proof::Proven), false);
        self.talk(cx, facts, None)
    }

    /// By request, while nothing was sent yet: caller and agent talk on.
    pub(crate) fn cancel(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match self.attempt {
            Attempt::Held => {
                self.handoff.end(cx, HandoffState::Cancelled, None, false);
                self.talk(cx, facts, None)
            }
            Attempt::Refer(_)
            | Attempt::Settling { .. }
            | Attempt::CallerGone { .. }
            | Attempt::Bye
            | Attempt::Joining => self.phase(),
        }
    }

    /// The handoff and with it the call are over.
    fn over(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        state: HandoffState,
        proof: Option<Proof>,
        caller_hurt: bool,
        why: &'static str,
    ) -> Phase {
        self.handoff.end(cx, state, proof, caller_hurt);
        let farewell = self.handoff.referral.and_then(|r| r.farewell);
        facts.keep(cx, self.handoff.view);
        let legs = self.conversation.dissolve(cx);
        Ending::begin(cx, legs, farewell, ending::NORMAL, why)
    }
}

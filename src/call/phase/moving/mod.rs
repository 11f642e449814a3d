//! A handoff runs while the caller leg is answered. The conversation of caller and agent is untouched until the
//! handoff has worked; every failure before that leaves it as it was.
//!
//! Here stands what is tried, and where each event goes. What follows from it stands beside: `ends` (an attempt or the
//! handoff is over), `judging` (what an attempt has come to), `asking` (whether the caller is still there), `late` (a REFER
//! that was given up is heard of), `leaving` (somebody has gone).

mod asking;
mod ends;
mod judging;
mod late;
mod leaving;

use super::ending::Ending;
use super::{CallInput, Phase};
use crate::call::alone::answer_waiting;
use crate::call::command::Refusal;
use crate::call::context::Context;
use crate::call::conversation::{Conversation, let_go};
use crate::call::decision;
use crate::call::end_reason::EndReason;
use crate::call::event::EventKind;
use crate::call::facts::Facts;
use crate::call::given::{By, Given};
use crate::call::handoff::attempt_plan::{AttemptPlan, Plan};
use crate::call::handoff::calling::{self, Calling};
use crate::call::handoff::join::Join;
use crate::call::handoff::report::Referral;
use crate::call::handoff::still_here::{self, StillHere};
use crate::call::handoff::way::Outcome;
use crate::call::handoff::{Handoff, HandoffEnd, LateRefer, attended, brief, fresh, refer};
use crate::call::ids::HandoffId;
use crate::call::record::{HandoffState, Role};
use crate::call::target_address::Offer;
use crate::call::waiting;
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use crate::sip::leg::SentId;
use crate::sip::{Event, Flow, Gap, LegId, Time, identity};
use crate::wire::Message;
use crate::wire::sdp::{as_offer, is_nowhere};
use fresh::{Fresh, HELD};
use smallvec::SmallVec;

/// The phase of an answered call while a handoff runs.
#[derive(Debug)]
pub(crate) struct Moving {
    conversation: Conversation,
    pub(crate) handoff: Handoff,
    attempt: Attempt,
    /// REFERs that were given up as `unknown` and may still be answered, while the ladder goes on.
    late: Vec<LateRefer>,
    /// When the agent leg is closed, the caller's side having hung up in the middle of a transfer that it had accepted.
    close_agent: Option<Time>,
    /// What is known of the caller since a receiver has told of a failure.
    whereabouts: Whereabouts,
}

/// Where the caller is, as far as the caller's side has said so since a transfer of theirs failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    /// In our dialog: nothing says otherwise, or the caller's side has said so.
    Here,
    /// The receiver may have taken the caller away, and was not asked.
    Unasked,
    /// It was asked, and has said nothing.
    Untold,
}

/// What is being tried. No return from `Bye` and `Confirming`, and from `Joining` only by another re-INVITE.
#[derive(Debug)]
enum Attempt {
    /// The caller has not acknowledged our 2xx: nothing can be asked in its dialog yet.
    Held,
    /// A REFER.
    Refer(refer::BlindRefer),
    /// The target is called, by `invite` or `attended`.
    Calling(Calling),
    /// The target refused the caller's session, and is called with a fresh one.
    Fresh(Fresh),
    /// `attended` with `brief`: the agent speaks with the target, and the caller is held.
    Briefing(Box<brief::Brief>),
    /// `attended`: the target has answered, and the caller's side is asked to take it over.
    Attended(attended::AttendedTransfer),
    /// The target has answered, and the caller gets it.
    Joining(Join),
    /// The caller's side is asked whether it still has the caller; what follows if it has.
    Asking { question: StillHere, then: Then },
    /// It failed with that cause, and both legs must stand until then; until `last` while one of them is in doubt.
    Settling { until: Time, last: Time, cause: Cause },
    /// Our BYE to the caller leg is out.
    Bye,
    /// A target has answered in place of the agent, before the caller was answered; the caller's ACK makes it sure.
    Confirming,
}

/// What follows once the caller's side has said that it still has the caller.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// A NOTIFY has told of a failure of that REFER: what follows the failure.
    Failed { cause: Cause, sent: SentId },
    /// A NOTIFY has told of a 2xx of that REFER, and it is not believed.
    Unproven { sent: SentId },
    /// It failed with that cause, no step is left, and the result of an earlier REFER is open: caller and agent are together.
    Returned { cause: Cause },
    /// That REFER has failed with that cause, and the result of an earlier one is open: what follows the failure.
    Doubted { cause: Cause },
    /// The first step of this handoff, after a transfer of an earlier one had failed.
    SetOut,
}

impl Attempt {
    /// Whether the caller's side is asked to move the caller.
    fn refers(&self) -> bool {
        matches!(self, Attempt::Refer(_) | Attempt::Attended(_))
    }

    /// Whether it is not taken back for anything that is heard late.
    fn is_final(&self) -> bool {
        match self {
            Attempt::Joining(_) | Attempt::Bye | Attempt::Confirming => true,
            Attempt::Held
            | Attempt::Refer(_)
            | Attempt::Calling(_)
            | Attempt::Fresh(_)
            | Attempt::Briefing(_)
            | Attempt::Attended(_)
            | Attempt::Asking { .. }
            | Attempt::Settling { .. } => false,
        }
    }
}

impl Moving {
    /// Checks a decision, and leaves everything as it is.
    pub(crate) fn decide(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        given: Given,
        by: By,
    ) -> Result<(Plan, AttemptPlan), Refusal> {
        let id = HandoffId::from(&*cx.ident.handoff_id(facts.slot));
        decision::plan(cx, facts, given, by, id)
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
        match Self::decide(cx, facts, given, by) {
            Ok(plan) => Self::begin(cx, facts, conversation, plan, None),
            Err(refusal) => Self::refused_in_absence(cx, facts, (conversation, refusal), by),
        }
    }

    /// The same for the agent's fallback, after a transfer that may have taken the caller away has failed: the caller's side is
    /// asked first.
    pub(crate) fn decided_by_failure(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        conversation: Conversation,
        given: Given,
    ) -> Phase {
        match Self::decide(cx, facts, given, By::Loss) {
            Ok(plan) => {
                let handoff = Handoff::begin(cx, facts, plan, None);
                Self::new(conversation, handoff, Attempt::Held).ask(cx, Then::SetOut)
            }
            Err(refusal) => Self::refused_in_absence(cx, facts, (conversation, refusal), By::Loss),
        }
    }

    fn refused_in_absence(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        (conversation, refusal): (Conversation, Refusal),
        by: By,
    ) -> Phase {
        cx.tell(EventKind::Ignored { call: facts.id.clone(), what: format!("the decision: {refusal}") });
        if by != By::Loss {
            let given = Given::fallback(facts, "agent_left");
            return Self::decided_by_absence(cx, facts, conversation, given, By::Loss);
        }
        let legs = conversation.dissolve(cx);
        Ending::begin(cx, legs, None, 480, EndReason::NoFallback)
    }

    /// Sends the first request of a decision (or waits until it may be sent).
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        facts: &mut Facts,
        conversation: Conversation,
        plan: (Plan, AttemptPlan),
        referral: Option<Referral>,
    ) -> Phase {
        let handoff = Handoff::begin(cx, facts, plan, referral);
        let mut moving = Self::new(conversation, handoff, Attempt::Held);
        if std::mem::take(&mut facts.may_be_gone) {
            moving.whereabouts = Whereabouts::Unasked;
        }
        moving.set_out(cx, facts)
    }

    /// The target of a handoff before the answer has answered, and so has the caller leg.
    pub(crate) fn confirming(
        cx: &mut Context<'_>,
        conversation: Conversation,
        mut handoff: Handoff,
    ) -> Phase {
        handoff.progress(cx, HandoffState::Joining, None);
        Self::new(conversation, handoff, Attempt::Confirming).phase()
    }

    fn new(conversation: Conversation, handoff: Handoff, attempt: Attempt) -> Box<Moving> {
        let (late, close_agent, whereabouts) = (Vec::new(), None, Whereabouts::Here);
        Box::new(Moving { conversation, handoff, attempt, late, close_agent, whereabouts })
    }

    fn phase(self: Box<Self>) -> Phase {
        Phase::Moving(self)
    }

    /// The target's leg, while it belongs to no conversation.
    fn target(&self) -> Option<LegId> {
        match &self.attempt {
            Attempt::Calling(calling) => calling.leg(),
            Attempt::Fresh(fresh) => fresh.target(),
            Attempt::Briefing(brief) => Some(brief.target),
            Attempt::Attended(attempt) => attempt.target,
            Attempt::Joining(join) => join.target,
            Attempt::Held
            | Attempt::Refer(_)
            | Attempt::Asking { .. }
            | Attempt::Settling { .. }
            | Attempt::Bye
            | Attempt::Confirming => None,
        }
    }

    /// The legs that are there.
    pub(crate) fn legs(&self) -> SmallVec<[(LegId, Role); 3]> {
        self.conversation.legs().chain(self.target().map(|leg| (leg, Role::Target))).collect()
    }

    /// The process stood still.
    pub(crate) fn catch_up(&mut self, gap: Gap) {
        if let Attempt::Attended(attempt) = &mut self.attempt {
            attempt.catch_up(gap);
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let total = self.handoff.total;
        let attempt = match &self.attempt {
            Attempt::Held => Some(total),
            Attempt::Refer(attempt) => Some(attempt.deadline(total)),
            Attempt::Calling(calling) => Some(calling.deadline()),
            Attempt::Fresh(fresh) => fresh.deadline(),
            Attempt::Briefing(brief) => Some(brief.deadline().map_or(total, |at| at.min(total))),
            Attempt::Attended(attempt) => Some(attempt.deadline(total)),
            Attempt::Joining(join) => Some(join.deadline()),
            Attempt::Asking { question, .. } => Some(question.deadline()),
            Attempt::Settling { until, .. } => Some(*until),
            // Bounded below: by the BYE's transaction, and by the wait for the ACK.
            Attempt::Bye | Attempt::Confirming => None,
        };
        [attempt, self.conversation.deadline(), self.close_agent].into_iter().flatten().min()
    }

    pub(crate) fn step(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        input: CallInput<'_>,
    ) -> Phase {
        match input {
            CallInput::Leg(event, message) => self.hear(cx, facts, event, message),
            CallInput::Tick => self.tick(cx, facts),
            CallInput::HangUp { .. } if self.has_worked() => self.taken_over(cx, facts),
            CallInput::HangUp { why } => self.hung_up(cx, facts, why),
            CallInput::Resolved { query, flows } => self.resolved(cx, facts, (query, flows)),
        }
    }

    /// Begins the attempt that the handoff has turned to, once something can be asked in the caller's dialog.
    fn set_out(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        if !self.conversation.confirmed {
            self.attempt = Attempt::Held;
            return self.phase();
        }
        self.handoff.note_tried();
        if let Err(cause) = self.handoff.take_place(cx) {
            return self.failed(cx, facts, cause, None);
        }
        let caller = self.conversation.caller;
        let begun = match self.handoff.attempt_plan.method {
            Method::Refer => {
                refer::BlindRefer::begin(cx, facts, &mut self.handoff, caller).map(Attempt::Refer)
            }
            Method::Invite if cx.stack.remote_sdp(caller).is_some_and(is_nowhere) => {
                Ok(Attempt::Fresh(Fresh::begin_first(cx, &self.handoff, caller)))
            }
            Method::Invite | Method::Attended => {
                Calling::begin(cx, facts, &mut self.handoff, None).map(Attempt::Calling)
            }
            Method::Bye => return self.hand_back(cx, facts),
            // It belongs to the time before the answer, and is refused after it.
            Method::Redirect => Err(Cause::Failed),
        };
        match begun {
            Ok(attempt) => {
                self.attempt = attempt;
                self.phase()
            }
            Err(cause) => self.failed(cx, facts, cause, None),
        }
    }

    fn resolved(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        answer: (u64, &[Flow]),
    ) -> Phase {
        let caller = self.conversation.caller;
        match &mut self.attempt {
            Attempt::Calling(calling) => {
                let last = cx.stack.remote_sdp(caller);
                if last.is_some_and(is_nowhere) {
                    self.attempt = Attempt::Held;
                    self.handoff.because(HELD);
                    return self.failed(cx, facts, Cause::Refused, None);
                }
                let offer = last.map(as_offer).unwrap_or_default();
                let offer = Offer::Sdp(&offer);
                let verdict = calling.resolved(cx, facts, &mut self.handoff, answer, offer);
                self.judge_call(cx, facts, verdict)
            }
            Attempt::Fresh(fresh) => {
                let outcome = fresh.resolved(cx, facts, &mut self.handoff, answer);
                self.judge(cx, facts, outcome)
            }
            Attempt::Held
            | Attempt::Refer(_)
            | Attempt::Briefing(_)
            | Attempt::Attended(_)
            | Attempt::Joining(_)
            | Attempt::Asking { .. }
            | Attempt::Settling { .. }
            | Attempt::Bye
            | Attempt::Confirming => self.phase(),
        }
    }

    fn hear(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        event: Event,
        message: Option<&Message<'_>>,
    ) -> Phase {
        if let Some(message) = message.filter(|_| event.leg() == self.conversation.caller) {
            facts.recognise(message);
            self.handoff.see(facts.receiver);
        }
        if let Some(which) = self.late.iter().position(|late| late::speaks(event, late.sent)) {
            return self.hear_late(cx, facts, which, event, message);
        }
        match facts.waiting.hear(cx, event) {
            waiting::Heard::NotMine => {}
            waiting::Heard::Arrived if !self.attempt.is_final() => return self.moved(cx, facts),
            waiting::Heard::Arrived | waiting::Heard::Nothing => return self.phase(),
        }
        if self.is_refused_late(cx, facts, event, message) {
            return self.phase();
        }
        if facts.has_arrived(event) && !self.attempt.is_final() {
            return self.moved(cx, facts);
        }
        self.hear_doubt(cx, facts, event);
        let caller = self.conversation.caller;
        let outcome = match &mut self.attempt {
            Attempt::Refer(attempt) => attempt.hear(cx, &mut self.handoff, caller, event, message),
            Attempt::Calling(calling) => match calling.hear(cx, facts, &mut self.handoff, event, message) {
                calling::Verdict::NotMine => Outcome::NotMine,
                verdict => return self.judge_call(cx, facts, verdict),
            },
            Attempt::Fresh(fresh) => fresh.hear(cx, facts, &mut self.handoff, event, message),
            // What was under way between caller and agent when they were parted.
            Attempt::Briefing(_) if self.conversation.passes(event) => Outcome::NotMine,
            Attempt::Briefing(brief) => brief.hear(cx, event, message),
            // What the agent had asked the target for, and nobody else waits for.
            Attempt::Attended(attended::AttendedTransfer { target: Some(target), .. })
            | Attempt::Joining(Join { target: Some(target), .. })
                if matches!(event, Event::Response { leg, needs_answer: true, .. } if leg == *target) =>
            {
                self.conversation.answer_offer(cx, *target);
                return self.phase();
            }
            Attempt::Attended(attempt) => attempt.hear(cx, &mut self.handoff, caller, event, message),
            Attempt::Joining(join) => match event {
                Event::Bye { leg } | Event::Lost { leg, .. } | Event::Closed { leg, .. }
                    if Some(leg) == join.target =>
                {
                    cx.release(leg);
                    join.target_left(cx, &self.conversation)
                }
                Event::Request { leg, request, kind } if Some(leg) == join.target => {
                    answer_waiting(cx, leg, request, kind);
                    Outcome::Wait
                }
                event => join.hear(cx, &self.conversation, event, message),
            },
            Attempt::Asking { question, .. } => match question.hear(cx, event, message) {
                still_here::Verdict::NotMine => Outcome::NotMine,
                verdict => return self.judge_question(cx, facts, verdict),
            },
            Attempt::Bye => return self.hear_bye(cx, facts, event, message),
            Attempt::Confirming if self.conversation.confirmed && matches!(event, Event::Left { .. }) => {
                return self.confirmed(cx, facts);
            }
            Attempt::Held | Attempt::Settling { .. } | Attempt::Confirming => Outcome::NotMine,
        };
        if outcome != Outcome::NotMine {
            return self.judge(cx, facts, outcome);
        }
        let heard = self.conversation.hear(cx, event, message);
        self.heard(cx, facts, heard)
    }

    /// What is being tried is not wanted any more: whoever was called is let go.
    fn take_back(&mut self, cx: &mut Context<'_>, why: &str) {
        match std::mem::replace(&mut self.attempt, Attempt::Held) {
            Attempt::Calling(calling) => calling.give_up(cx, why),
            Attempt::Fresh(fresh) => fresh.give_up(cx, &mut self.conversation, why),
            Attempt::Briefing(brief) => {
                let target = brief.target;
                brief.end(cx).for_each(|(leg, sent)| self.conversation.follow(cx, leg, sent));
                let_go(cx, target, identity::reason(487, why));
                self.conversation.reunite(cx);
            }
            Attempt::Refer(refer) => refer.forgo(cx, self.conversation.caller),
            Attempt::Attended(attempt) => {
                attempt.forgo(cx, self.conversation.caller);
                if let Some(leg) = attempt.target {
                    let_go(cx, leg, identity::reason(487, why));
                }
                // The agent may have spoken with the target before: the caller is held yet.
                self.conversation.reunite(cx);
            }
            Attempt::Joining(Join { target: Some(leg), .. }) => {
                let_go(cx, leg, identity::reason(487, why));
            }
            Attempt::Asking { question, .. } => {
                question.give_up(cx);
                // It may have been answered, and a BYE was waited for.
                self.conversation.restated(cx);
            }
            Attempt::Held
            | Attempt::Joining(_)
            | Attempt::Settling { .. }
            | Attempt::Bye
            | Attempt::Confirming => {}
        }
    }

    fn tick(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let now = cx.now.mono;
        self.conversation.tick(cx);
        if facts.waiting.tick(cx) && !self.attempt.is_final() {
            return self.moved(cx, facts);
        }
        if self.close_agent.take_if(|at| *at <= now).is_some() {
            self.conversation.drop_partner(cx);
        }
        let total = self.handoff.total <= now;
        let caller = self.conversation.caller;
        match &mut self.attempt {
            Attempt::Held if total => self.failed(cx, facts, Cause::Failed, None),
            Attempt::Refer(attempt) => {
                let outcome = match total {
                    true => attempt.give_up(cx, &mut self.handoff, caller),
                    false => attempt.tick(cx, facts, &mut self.handoff, caller),
                };
                self.judge(cx, facts, outcome)
            }
            Attempt::Calling(calling) => {
                let verdict = calling.tick(cx, &mut self.handoff);
                self.judge_call(cx, facts, verdict)
            }
            Attempt::Fresh(fresh) => {
                let outcome = fresh.tick(cx, &mut self.handoff);
                self.judge(cx, facts, outcome)
            }
            Attempt::Briefing(_) if total => self.judge(cx, facts, Outcome::Failed(Cause::Failed)),
            Attempt::Briefing(brief) => {
                if let Some(sent) = brief.tick(cx) {
                    self.conversation.follow(cx, caller, sent);
                }
                self.phase()
            }
            Attempt::Attended(attempt) => {
                let outcome = match total {
                    true => attempt.give_up(cx, &mut self.handoff, caller),
                    false => attempt.tick(cx, facts, &mut self.handoff, caller),
                };
                self.judge(cx, facts, outcome)
            }
            Attempt::Joining(join) => {
                let outcome = join.tick(cx, &self.conversation);
                self.judge(cx, facts, outcome)
            }
            Attempt::Asking { question, .. } => {
                let verdict = question.tick(cx);
                self.judge_question(cx, facts, verdict)
            }
            Attempt::Settling { until, last, cause } if *until <= now => {
                let then = (*last, *cause);
                self.stood(cx, facts, then)
            }
            Attempt::Held | Attempt::Settling { .. } | Attempt::Bye | Attempt::Confirming => self.phase(),
        }
    }

    /// By request, while nothing is irrevocable: caller and agent talk on.
    pub(crate) fn cancel(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        match &self.attempt {
            Attempt::Held | Attempt::Calling(_) | Attempt::Fresh(_) | Attempt::Briefing(_) => {}
            Attempt::Attended(attempt) if attempt.is_settling() => {}
            Attempt::Refer(_)
            | Attempt::Attended(_)
            | Attempt::Joining(_)
            | Attempt::Asking { .. }
            | Attempt::Settling { .. }
            | Attempt::Bye
            | Attempt::Confirming => return self.phase(),
        }
        self.take_back(cx, "Cancelled");
        self.handoff.attempt_over(cx);
        self.handoff.end(cx, HandoffEnd::of(HandoffState::Cancelled));
        if self.conversation.partner.is_some() {
            return self.talk(cx, facts);
        }
        let conversation = self.part(cx, facts);
        let given = Given::fallback(facts, "agent_lost");
        Self::decided_by_absence(cx, facts, conversation, given, By::Loss)
    }
}

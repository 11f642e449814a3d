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
use crate::call::command::Refusal;
use crate::call::context::Context;
use crate::call::conversation::Conversation;
use crate::call::decision;
use crate::call::end_reason::EndReason;
use crate::call::event::EventKind;
use crate::call::facts::Facts;
use crate::call::given::{By, Given};
use crate::call::handoff::attempt_plan::{AttemptPlan, Plan};
use crate::call::handoff::doubt::Whereabouts;
use crate::call::handoff::report::Referral;
use crate::call::handoff::still_here::{self, StillHere};
use crate::call::handoff::way::fresh::Fresh;
use crate::call::handoff::way::refer::BlindRefer;
use crate::call::handoff::way::target_call::TargetCall;
use crate::call::handoff::way::{Outcome, Scene, Signal, Way};
use crate::call::handoff::{Handoff, HandoffEnd};
use crate::call::ids::HandoffId;
use crate::call::record::{HandoffState, Role};
use crate::call::ticket::Ticket;
use crate::call::waiting;
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use crate::sip::leg::SentId;
use crate::sip::{Answer, Event, Gap, LegId, Time};
use crate::wire::sdp::is_nowhere;
use smallvec::SmallVec;

/// The phase of an answered call while a handoff runs.
#[derive(Debug)]
pub(crate) struct Moving {
    conversation: Conversation,
    pub(crate) handoff: Handoff,
    attempt: Attempt,
    /// When the agent leg is closed, the caller's side having hung up in the middle of a transfer that it had accepted.
    close_agent: Option<Time>,
}

/// What is being tried. No return from `Bye` and `Confirming`, and from [`Way::Join`] only by another re-INVITE.
#[derive(Debug)]
enum Attempt {
    /// The caller has not acknowledged our 2xx: nothing can be asked in its dialog yet.
    Held,
    /// A way to move the caller.
    Way(Way),
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
    /// Whether it is not taken back for anything that is heard late.
    fn is_final(&self) -> bool {
        match self {
            Attempt::Way(Way::Join(_)) | Attempt::Bye | Attempt::Confirming => true,
            Attempt::Held | Attempt::Way(_) | Attempt::Asking { .. } | Attempt::Settling { .. } => false,
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
            moving.handoff.whereabouts = Whereabouts::Unasked;
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
        Box::new(Moving { conversation, handoff, attempt, close_agent: None })
    }

    fn phase(self: Box<Self>) -> Phase {
        Phase::Moving(self)
    }

    /// The target's leg, while it belongs to no conversation.
    fn target(&self) -> Option<LegId> {
        match &self.attempt {
            Attempt::Way(way) => way.as_machine().target(),
            _ => None,
        }
    }

    /// What the ways work on, and what is tried.
    fn scene_and_attempt<'s, 'c>(
        &'s mut self,
        cx: &'s mut Context<'c>,
        facts: &'s mut Facts,
    ) -> (Scene<'s, 'c>, &'s mut Attempt) {
        let Moving { conversation, handoff, attempt, .. } = self;
        (Scene { cx, facts, handoff, conversation }, attempt)
    }

    fn scene<'s, 'c>(&'s mut self, cx: &'s mut Context<'c>, facts: &'s mut Facts) -> Scene<'s, 'c> {
        self.scene_and_attempt(cx, facts).0
    }

    /// The legs that are there.
    pub(crate) fn legs(&self) -> SmallVec<[(LegId, Role); 3]> {
        self.conversation.legs().chain(self.target().map(|leg| (leg, Role::Target))).collect()
    }

    /// The process stood still.
    pub(crate) fn catch_up(&mut self, gap: Gap) {
        if let Attempt::Way(Way::TakeOver(transfer)) = &mut self.attempt {
            transfer.catch_up(gap);
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let total = self.handoff.total;
        let attempt = match &self.attempt {
            Attempt::Held => Some(total),
            Attempt::Way(way) => way.as_machine().deadline(total),
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
            CallInput::Leg(event, message) => self.hear(cx, facts, Signal { event, message }),
            CallInput::Tick => self.tick(cx, facts),
            CallInput::HangUp { .. } if self.has_worked() => self.taken_over(cx, facts),
            CallInput::HangUp { why } => self.hung_up(cx, facts, why),
            CallInput::Answer(ticket, answer) => self.answered(cx, facts, ticket, answer),
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
        let (method, mut scene) = (self.handoff.attempt_plan.method, self.scene(cx, facts));
        let begun = match method {
            Method::Refer => BlindRefer::begin(&mut scene).map(Way::Refer),
            Method::Invite if scene.cx.stack.remote_sdp(scene.caller()).is_some_and(is_nowhere) => {
                Ok(Way::Fresh(Fresh::begin_first(&mut scene)))
            }
            Method::Invite | Method::Attended => TargetCall::begin(&mut scene).map(Way::Call),
            Method::Bye => return self.hand_back(cx, facts),
            // It belongs to the time before the answer, and is refused after it.
            Method::Redirect => Err(Cause::Failed),
        };
        match begun {
            Ok(way) => {
                self.attempt = Attempt::Way(way);
                self.phase()
            }
            Err(cause) => self.failed(cx, facts, cause, None),
        }
    }

    fn answered(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        ticket: Ticket,
        answer: Answer<'_>,
    ) -> Phase {
        match self.scene_and_attempt(cx, facts) {
            (mut scene, Attempt::Way(way)) => {
                let outcome = way.machine().answered(&mut scene, ticket, answer);
                self.judge(cx, facts, outcome)
            }
            _ => self.phase(),
        }
    }

    fn hear(mut self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts, signal: Signal<'_>) -> Phase {
        let Signal { event, message } = signal;
        if let Some(message) = message.filter(|_| event.leg() == self.conversation.caller) {
            facts.recognise(message);
            self.handoff.see(facts.receiver);
        }
        if let Some(which) = self.handoff.late.iter().position(|late| late::speaks(event, late.sent)) {
            return self.hear_late(cx, facts, which, signal);
        }
        match facts.waiting.hear(cx, event) {
            waiting::Heard::NotMine => {}
            waiting::Heard::Arrived if !self.attempt.is_final() => return self.moved(cx, facts),
            waiting::Heard::Arrived | waiting::Heard::Nothing => return self.phase(),
        }
        if self.is_refused_late(cx, facts, signal) {
            return self.phase();
        }
        if facts.has_arrived(event) && !self.attempt.is_final() {
            return self.moved(cx, facts);
        }
        self.hear_doubt(cx, facts, event);
        let (mut scene, attempt) = self.scene_and_attempt(cx, facts);
        match attempt {
            Attempt::Way(way) => match way.machine().on_event(&mut scene, signal) {
                Outcome::NotMine => {}
                outcome => return self.judge(cx, facts, outcome),
            },
            Attempt::Asking { question, .. } => match question.hear(scene.cx, event, message) {
                still_here::Verdict::NotMine => {}
                verdict => return self.judge_question(cx, facts, verdict),
            },
            Attempt::Bye => return self.hear_bye(cx, facts, signal),
            Attempt::Confirming if scene.conversation.confirmed && matches!(event, Event::Left { .. }) => {
                return self.confirmed(cx, facts);
            }
            Attempt::Held | Attempt::Settling { .. } | Attempt::Confirming => {}
        }
        let heard = self.conversation.hear(cx, event, message);
        self.heard(cx, facts, heard)
    }

    /// What is being tried is not wanted any more: whoever was called is let go.
    fn take_back(&mut self, cx: &mut Context<'_>, facts: &mut Facts, why: &str) {
        let (mut scene, attempt) = self.scene_and_attempt(cx, facts);
        match attempt {
            Attempt::Way(way) => way.machine().give_up(&mut scene, why),
            Attempt::Asking { question, .. } => {
                question.give_up(scene.cx);
                // It may have been answered, and a BYE was waited for.
                scene.conversation.restated(scene.cx);
            }
            Attempt::Held | Attempt::Settling { .. } | Attempt::Bye | Attempt::Confirming => {}
        }
        self.attempt = Attempt::Held;
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
        let (mut scene, attempt) = self.scene_and_attempt(cx, facts);
        match attempt {
            Attempt::Way(way) => {
                let outcome = way.machine().on_tick(&mut scene);
                self.judge(cx, facts, outcome)
            }
            Attempt::Held if total => self.failed(cx, facts, Cause::Failed, None),
            Attempt::Asking { question, .. } => {
                let verdict = question.tick(scene.cx);
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
            Attempt::Held => {}
            Attempt::Way(way) if way.as_machine().may_cancel() => {}
            Attempt::Way(_)
            | Attempt::Asking { .. }
            | Attempt::Settling { .. }
            | Attempt::Bye
            | Attempt::Confirming => return self.phase(),
        }
        self.take_back(cx, facts, "Cancelled");
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

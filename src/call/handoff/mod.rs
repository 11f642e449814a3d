//! One decision to move a caller, while it runs. What is common to all ways stands here; each way has its own file.

pub(crate) mod attempt_plan;
pub(crate) mod calling;
pub(crate) mod doubt;
pub(crate) mod facts;
pub(crate) mod ladder;
pub(crate) mod onward;
pub(crate) mod outcome;
pub(crate) mod report;
pub(crate) mod scope;
pub(crate) mod still_here;
pub(crate) mod swap;
mod view;
pub(crate) mod way;

use crate::call::context::{Context, Stay};
use crate::call::decision::{self, Step};
use crate::call::event::{EventKind, Next};
use crate::call::facts::Facts;
use crate::call::ids::{CallId, HandoffId, SipCallId};
use crate::call::record::{HandoffState, HandoffView, Proof};
use crate::routing::Id;
use crate::routing::explain::{self, Cause};
use crate::routing::profile::{Belief, Notify200, Receiver};
use crate::routing::table::{Destination, Method};
use crate::sip::identity::Said;
use crate::sip::{Flow, Origin, Time};
use crate::wire::Message;
use attempt_plan::{AttemptPlan, Plan};
use doubt::{LateRefer, Whereabouts};
use facts::{AttemptFacts, HandoffFacts, Response, Unheard};
use report::Referral;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;

/// Why other steps are not taken.
const TIME_IS_UP: &str =
    " `timeouts.total` is over: of the steps only `agent`, `bye` and `hangup` are taken now.";

/// One destination by one method.
#[derive(Debug)]
struct Tried {
    id: Id,
    method: Method,
    /// It was taken back before anybody had refused it.
    broken_off: bool,
}

/// How a handoff ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandoffEnd {
    pub(crate) state: HandoffState,
    proof: Option<Proof>,
    /// Whether the caller is worse off than before, which the log tells as an ERROR.
    caller_hurt: bool,
}

impl HandoffEnd {
    /// The caller has what they were to have, or what they had.
    pub(crate) fn of(state: HandoffState) -> HandoffEnd {
        HandoffEnd { state, proof: None, caller_hurt: false }
    }

    /// The caller is lost, or alone.
    pub(crate) fn hurt(state: HandoffState) -> HandoffEnd {
        HandoffEnd { caller_hurt: true, ..HandoffEnd::of(state) }
    }

    /// What proves it.
    pub(crate) fn with(self, proof: impl Into<Option<Proof>>) -> HandoffEnd {
        HandoffEnd { proof: proof.into(), ..self }
    }
}

/// One handoff while it runs: its plan, what is known of it, and who is told of its end.
#[derive(Debug)]
pub(crate) struct Handoff {
    pub(crate) facts: HandoffFacts,
    /// REFERs that were given up as `unknown` and may still be answered, while the ladder goes on.
    pub(crate) late: Vec<LateRefer>,
    pub(crate) whereabouts: Whereabouts,
    /// What was told of its end, once it has ended.
    told_end: Option<Arc<HandoffView>>,
    pub(crate) plan: Plan,
    /// What was decided: its headers go with a hand-back, whatever was tried since.
    pub(crate) first: Arc<AttemptPlan>,
    /// What is tried now.
    pub(crate) attempt_plan: Arc<AttemptPlan>,
    /// The destinations that led to it by steps, the one that was decided first.
    chain: SmallVec<[Arc<Destination>; 2]>,
    /// What was tried so far.
    tried: SmallVec<[Tried; 2]>,
    /// Which of the attempts is the running one: the last, unless a late answer has revived another.
    running: usize,
    /// The end of `timeouts.total`.
    pub(crate) total: Time,
    /// Why the running attempt fails, where no status tells it.
    why: Option<&'static str>,
    /// The same of the attempt that has failed last.
    hint: Option<&'static str>,
    /// Who the receiver of a REFER is seen to be.
    seen: Receiver,
    /// The caller's trunk.
    trunk: Id,
    /// Whom the running attempt's request went to.
    pub(crate) peer: Option<Flow>,
    /// Who is to be told by NOTIFY.
    pub(crate) referral: Option<Referral>,
    /// Its stay at the destination that is tried now, if that has a limit.
    pub(crate) stay: Option<Stay>,
    /// The provisional status that was told last of the running attempt: a 18x that is said again tells nothing new.
    told: Option<u16>,
}

impl Handoff {
    /// Begins a handoff: counted and told.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        facts: &Facts,
        (plan, first): (Plan, AttemptPlan),
        referral: Option<Referral>,
    ) -> Handoff {
        let id = &plan.basis.handoff_id;
        let known = HandoffFacts {
            call: facts.id.clone(),
            environment: Arc::clone(&facts.agent.environment),
            rules: plan.rules.clone(),
            state: HandoffState::Pending,
            proof: None,
            cause: None,
            attempts: Vec::new(),
            created: cx.now.wall,
            ended: None,
        };
        let total = cx.now.mono + first.destination.timeouts.total;
        cx.handoffs.insert(id.clone(), cx.call);
        cx.counters.handoffs_started += 1;
        cx.counters.handoffs_live += 1;
        let chain = SmallVec::from_iter([Arc::clone(&first.destination)]);
        let first = Arc::new(first);
        let attempt_plan = Arc::clone(&first);
        let handoff = Handoff {
            facts: known,
            late: Vec::new(),
            whereabouts: Whereabouts::Here,
            told_end: None,
            plan,
            first,
            attempt_plan,
            chain,
            tried: SmallVec::new(),
            running: 0,
            total,
            why: None,
            hint: None,
            seen: facts.receiver,
            trunk: Arc::clone(&facts.trunk.id),
            peer: None,
            referral,
            stay: None,
            told: None,
        };
        cx.tell(EventKind::HandoffStarted(handoff.view()));
        handoff
    }

    /// What is told of it.
    pub(crate) fn view(&self) -> Arc<HandoffView> {
        self.told_end.clone().unwrap_or_else(|| Arc::new(view::handoff(self)))
    }

    /// What was told of its end, to be kept.
    pub(crate) fn into_view(self) -> Arc<HandoffView> {
        match self.told_end {
            Some(told) => told,
            None => self.view(),
        }
    }

    /// Whose id it is known by.
    pub(crate) fn id(&self) -> &str {
        &self.plan.basis.handoff_id
    }

    /// Whose log line it is: its call's id, and its own.
    fn ids(&self) -> (CallId, HandoffId) {
        (self.facts.call.clone(), self.plan.basis.handoff_id.clone())
    }

    /// Why its last attempt has failed, where no status tells it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// Made by Baton itself because the agent is gone: another fallback after it would only go round.
    pub(crate) fn is_fallback(&self) -> bool {
        self.plan.basis.by.is_own()
    }

    /// Who the receiver of a REFER is seen to be.
    pub(crate) fn see(&mut self, receiver: Receiver) {
        self.seen = receiver;
    }

    /// Whether a 200 that is told of a REFER says that the target has the caller.
    pub(crate) fn believes(&self, belief: Belief) -> bool {
        belief.notify_200(self.seen) == Notify200::Reported
    }

    /// The ladder's next attempt. The route that a decision named in place of the first destination's goes with that
    /// destination, whatever the method.
    pub(crate) fn turn_to(
        &mut self,
        cx: &mut Context<'_>,
        facts: &Facts,
        destination: Arc<Destination>,
        method: Method,
    ) {
        let first = &self.first;
        let same = first.destination.id == destination.id;
        let route = if same { first.route.clone() } else { destination.route.clone() };
        let step = Step { destination, method, route };
        let (attempt_plan, left_out) = decision::attempt_plan(facts, &self.plan, step);
        // Nothing may stop what follows a failure: `undefined = "refuse"` is for decisions.
        decision::tell_left_out(cx, facts, &self.plan, left_out);
        self.attempt_plan = Arc::new(attempt_plan);
    }

    /// What is tried now counts as tried.
    pub(crate) fn note_tried(&mut self) {
        let id = Arc::clone(&self.attempt_plan.destination.id);
        self.tried.push(Tried { id, method: self.attempt_plan.method, broken_off: false });
    }

    /// What is tried now is taken back, unless it has failed already.
    fn break_off(&mut self) {
        if self.last().is_some_and(|attempt| attempt.ended.is_none())
            && let Some(last) = self.tried.last_mut()
        {
            last.broken_off = true;
        }
    }

    /// Whoever was called for another method is joined with the caller by Baton: an `invite` from here on, which has been
    /// tried with that.
    pub(crate) fn turn_to_invite(&mut self) {
        if self.attempt_plan.method != Method::Invite {
            Arc::make_mut(&mut self.attempt_plan).method = Method::Invite;
            self.note_tried();
        }
    }

    /// Takes a place at the destination that is tried now; gives back that of the one before. A destination that is full has a
    /// failed attempt.
    pub(crate) fn take_place(&mut self, cx: &mut Context<'_>) -> Result<(), Cause> {
        self.stay = None;
        let method = self.attempt_plan.method;
        if !method.needs_route() || method == Method::Redirect {
            return Ok(());
        }
        match cx.agents.stay(cx.now.mono, &self.facts.environment, &self.attempt_plan.destination) {
            Ok(stay) => {
                self.stay = stay;
                Ok(())
            }
            Err(full) => {
                self.attempt(cx, method, HandoffState::Pending, None);
                self.unanswered(Unheard::Full(full));
                self.because(full.hint());
                Err(Cause::Busy)
            }
        }
    }

    /// A new attempt begins.
    pub(crate) fn attempt(
        &mut self,
        cx: &mut Context<'_>,
        method: Method,
        state: HandoffState,
        sip_call_id: Option<SipCallId>,
    ) {
        let leg = sip_call_id.as_ref().and_then(|id| cx.stack.find_leg_by_call_id(id.as_bytes()));
        self.peer = leg.and_then(|leg| cx.stack.peer(leg));
        let route = self.attempt_plan.route.as_ref().filter(|_| method.needs_route());
        let attempt = AttemptFacts {
            destination: Arc::clone(&self.attempt_plan.destination.id),
            method,
            route: route.map(|route| route.text().into()),
            refer_to: None,
            sip_call_id,
            response: Response::Awaited,
            said: Said::default(),
            final_status: None,
            cause: None,
            started: cx.now.wall,
            ended: None,
        };
        self.running = self.facts.attempts.len();
        // Most handoffs have one, and it is large.
        self.facts.attempts.reserve_exact(1);
        self.facts.attempts.push(attempt);
        (self.told, self.why) = (None, None);
        cx.counters.attempts[method.index()] += 1;
        self.progress(cx, state, None);
    }

    /// Whether the agent's fallback is still untried: after a fallback, or at the same destination, it would go round.
    pub(crate) fn fallback_is_left(&self, facts: &Facts) -> bool {
        let fallback = facts.agent.fallback.as_deref().unwrap_or(&self.plan.table.default);
        let tried = self.facts.attempts.iter().any(|attempt| *attempt.destination == *fallback)
            || self.facts.rules.iter().any(|rule| *rule.destination == *fallback);
        !self.is_fallback() && !tried
    }

    /// The running (or last) attempt.
    pub(crate) fn last(&self) -> Option<&AttemptFacts> {
        self.facts.attempts.get(self.running)
    }

    /// The same, to be changed.
    pub(crate) fn last_mut(&mut self) -> Option<&mut AttemptFacts> {
        self.facts.attempts.get_mut(self.running)
    }

    /// The final response to the attempt's first request.
    pub(crate) fn answered(&mut self, status: u16, phrase: impl Into<Cow<'static, str>>, origin: Origin) {
        if let Some(attempt) = self.last_mut() {
            attempt.response = Response::Final { status, phrase: Some(phrase.into()), origin };
        }
    }

    /// The same, with the words of whoever answered.
    pub(crate) fn answered_by(&mut self, status: u16, message: Option<&Message<'_>>, origin: Origin) {
        self.answered(status, calling::phrase(message, status), origin);
        if let Some(attempt) = self.last_mut() {
            attempt.said = message.map(Said::of).unwrap_or_default();
        }
    }

    /// The attempt's first request had no response, for that reason.
    pub(crate) fn unanswered(&mut self, why: Unheard) {
        if let Some(attempt) = self.last_mut() {
            attempt.response = Response::Missing(why);
        }
    }

    /// The state changed or a provisional status was told: events, and a NOTIFY to whoever asked by REFER.
    pub(crate) fn progress(&mut self, cx: &mut Context<'_>, state: HandoffState, status: Option<u16>) {
        if self.facts.state == state && status.is_none() {
            return;
        }
        let again = self.facts.state == state && status == self.told;
        self.told = status;
        if !again {
            self.facts.state = state;
            let (call, handoff) = self.ids();
            cx.tell(EventKind::HandoffProgress { call, handoff, state: state.as_str(), status });
        }
        if let (Some(status), Some(referral)) = (status, self.referral.as_mut()) {
            referral.progress(cx, status);
        }
    }

    /// The running attempt is over, and it did not fail: it worked, or somebody left or took it back.
    pub(crate) fn attempt_over(&mut self, cx: &mut Context<'_>) {
        if let Some(attempt) = self.last_mut() {
            attempt.ended.get_or_insert(cx.now.wall);
        }
    }

    /// Why the attempt that is about to fail does, where its status is the 2xx of a target that was called. What was said
    /// first is nearest to the cause.
    pub(crate) fn because(&mut self, why: &'static str) {
        self.why.get_or_insert(why);
    }

    /// The running attempt failed: the one WARN, with what is done next.
    pub(crate) fn attempt_failed(&mut self, cx: &mut Context<'_>, cause: Cause, next: Next) {
        let (why, late) = (self.why.take(), self.total <= cx.now.mono);
        self.facts.cause = Some(cause);
        let Some(attempt) = self.last_mut() else { return };
        attempt.cause = Some(cause);
        if attempt.ended.replace(cx.now.wall).is_some() {
            // It had failed before, and that was told: one WARN for each attempt.
            return;
        }
        let (method, told, seen) = (attempt.method, attempt.final_status, attempt.seen());
        let (status, attempt) = (attempt.response.status(), Box::new(view::attempt(attempt)));
        self.hint = why;
        cx.counters.attempts_failed[method.index()][cause.index()] += 1;
        let unproven = cause == Cause::Unknown && told.is_some_and(|told| told < 300);
        let mut hint = match why {
            Some(why) => why.to_owned(),
            None if unproven => explain::unproven(self.attempt_plan.profile.belief.receiver(self.seen)),
            None => explain::hint(cause, told.or(status), seen).to_owned(),
        };
        if late {
            hint.push_str(TIME_IS_UP);
        }
        let (call, handoff) = self.ids();
        let (environment, trunk) = (self.facts.environment.to_string(), self.trunk.to_string());
        let peer = self.peer.map(Flow::peer_name);
        let number = self.running + 1;
        cx.tell(match unproven {
            true => {
                EventKind::Unproven { call, handoff, environment, trunk, peer, number, attempt, next, hint }
            }
            false => EventKind::AttemptFailed {
                call,
                handoff,
                environment,
                trunk,
                peer,
                number,
                attempt,
                next,
                hint,
            },
        });
    }

    /// The handoff is over: told, counted, and reported to the agent that asked by REFER. Exactly once for each.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>, end: HandoffEnd) {
        let HandoffEnd { state, proof, caller_hurt } = end;
        debug_assert!(!self.facts.state.is_final() && state.is_final(), "a handoff ends once");
        let facts = &mut self.facts;
        (facts.state, facts.proof, facts.ended) = (state, proof, Some(cx.now.wall));
        if matches!(state, HandoffState::Succeeded | HandoffState::HandedBack | HandoffState::Cancelled) {
            facts.cause = None;
        }
        cx.counters.handoffs_live -= 1;
        cx.counters.callers_hurt += u64::from(caller_hurt);
        cx.counters.handoffs_ended[state.index()] += 1;
        let status = outcome::status_for_referrer(&self.facts);
        if let Some(referral) = self.referral.as_mut() {
            referral.conclude(cx, status);
        }
        let view = Arc::new(view::handoff(self));
        self.told_end = Some(Arc::clone(&view));
        cx.tell(EventKind::HandoffEnded { handoff: view, caller_hurt });
    }
}

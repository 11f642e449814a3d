//! A handoff before the caller leg is answered: the call is connected to the destination, answered 302, or handed back
//! with 480.

use super::{Setup, Trying};
use crate::call::command::Refusal;
use crate::call::context::Context;
use crate::call::conversation::let_go;
use crate::call::decision;
use crate::call::end_reason::EndReason;
use crate::call::event;
use crate::call::event::EventKind;
use crate::call::facts::Facts;
use crate::call::given::{By, Given};
use crate::call::handoff::calling::Calling;
use crate::call::handoff::ladder::{Footing, Next};
use crate::call::handoff::way::refer;
use crate::call::handoff::{Handoff, HandoffEnd};
use crate::call::ids::HandoffId;
use crate::call::phase::Phase;
use crate::call::phase::ending::{self, Ending};
use crate::call::record::{HandoffState, Proof, Role};
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use crate::sip::{Content, Field, Origin, identity};
use crate::wire::reason_phrase;

impl Setup {
    /// Nobody is left of the agent: its fallback.
    pub(super) fn fall_back(self: Box<Self>, cx: &mut Context<'_>, facts: &mut Facts) -> Phase {
        let given = Given::fallback(facts, "agent_unavailable");
        let (setup, refusal) = match self.divert(cx, facts, given, By::Loss) {
            Ok(phase) => return phase,
            Err(refused) => refused,
        };
        cx.tell(EventKind::Ignored { call: facts.id.clone(), what: format!("the fallback: {refusal}") });
        setup.end(cx, facts, 480, EndReason::AgentFailed)
    }

    /// A decision before the answer: the agent is let go and the call is connected to the destination, answered 302
    /// or handed back with 480.
    pub(crate) fn divert(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        given: Given,
        by: By,
    ) -> Result<Phase, (Box<Setup>, Refusal)> {
        let id = HandoffId::from(&*cx.ident.handoff_id(facts.slot));
        let plan = match decision::plan(cx, facts, given, by, id) {
            Ok(plan) => plan,
            Err(refusal) => return Err((self, refusal)),
        };
        if let Trying::Agent { leg, .. } = self.trying {
            let_go(cx, leg, identity::reason(480, "Handoff"));
        }
        facts.free_agent(cx);
        let handoff = Box::new(Handoff::begin(cx, facts, plan, None));
        Ok(self.set_out(cx, facts, handoff))
    }

    /// Begins the attempt that the handoff has turned to.
    fn set_out(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        mut handoff: Box<Handoff>,
    ) -> Phase {
        handoff.note_tried();
        self.turn(cx);
        self.trying = Trying::Nobody;
        if let Err(cause) = handoff.take_place(cx) {
            return self.target_failed(cx, facts, handoff, cause, None);
        }
        match handoff.attempt_plan.method {
            // An attempt before the answer is never one of the others.
            Method::Invite | Method::Refer | Method::Attended => {
                match Calling::begin(cx, facts, &mut handoff, None) {
                    Ok(calling) => {
                        self.trying = Trying::Target { calling, handoff };
                        self.phase()
                    }
                    Err(cause) => self.target_failed(cx, facts, handoff, cause, None),
                }
            }
            Method::Redirect => self.redirect(cx, facts, handoff),
            Method::Bye => self.hand_back(cx, handoff),
        }
    }

    /// 302 with the route as Contact, and the headers where the profile puts them.
    fn redirect(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        mut handoff: Box<Handoff>,
    ) -> Phase {
        let sip_call_id = Some(facts.sip_call_id.clone());
        handoff.attempt(cx, Method::Redirect, HandoffState::Joining, sip_call_id);
        let placement = handoff.attempt_plan.profile.header_placement;
        let Some(contact) = refer::place(facts, &handoff.attempt_plan, placement) else {
            return self.target_failed(cx, facts, handoff, Cause::Failed, None);
        };
        let mut fields =
            if placement.on_request() { handoff.attempt_plan.fields.clone() } else { Vec::new() };
        fields.push(identity::contact_field(&contact));
        handoff.answered(302, reason_phrase(302), Origin::Local);
        self.last_word(cx, handoff, 302, &fields)
    }

    /// 480 with the first destination's headers and a Reason: `bye` before the answer.
    fn hand_back(self: Box<Self>, cx: &mut Context<'_>, mut handoff: Box<Handoff>) -> Phase {
        handoff.attempt(cx, Method::Bye, HandoffState::Joining, None);
        let first = &handoff.first;
        let mut fields = first.fields.clone();
        fields.push(identity::reason_field(&first.destination.reason));
        handoff.answered(480, reason_phrase(480), Origin::Local);
        self.last_word(cx, handoff, 480, &fields)
    }

    fn last_word(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        handoff: Box<Handoff>,
        status: u16,
        fields: &[Field],
    ) -> Phase {
        let _ = cx.stack.reject(cx.now, self.caller, status, Content { fields, ..Content::default() });
        self.trying = Trying::HandingBack { handoff };
        self.phase()
    }

    /// The ACK for our 302 or 480 came (or never came).
    pub(super) fn handed_back(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        status: u16,
        origin: Origin,
    ) -> Phase {
        cx.release(self.caller);
        let Trying::HandingBack { mut handoff } = self.trying else {
            return Ending::begin(cx, None, None, ending::NORMAL, EndReason::CallerOver);
        };
        if status < 300 {
            handoff.attempt_over(cx);
            handoff.end(cx, HandoffEnd::of(HandoffState::HandedBack).with(Proof::Accepted));
        } else {
            handoff.answered(status, reason_phrase(status), origin);
            handoff.attempt_failed(cx, Cause::NoAnswer, event::Next::None);
            handoff.end(cx, HandoffEnd::hurt(HandoffState::Failed));
        }
        facts.keep(cx, handoff.into_view());
        Ending::begin(cx, None, None, ending::NORMAL, EndReason::HandedBack)
    }

    pub(super) fn target_failed(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        mut handoff: Box<Handoff>,
        cause: Cause,
        status: Option<u16>,
    ) -> Phase {
        let time = handoff.total > cx.now.mono;
        // The agent was let go, or never answered: it is no place to return to.
        let next = handoff.next(facts, cause, Footing { agent: false, answered: false, time });
        let shown = handoff.told(&next);
        handoff.attempt_failed(cx, cause, shown);
        match next {
            Next::Try(destination, method) => {
                handoff.turn_to(cx, facts, destination, method);
                self.set_out(cx, facts, handoff)
            }
            Next::Bye => self.hand_back(cx, handoff),
            Next::None | Next::Agent if handoff.fallback_is_left(facts) => {
                handoff.end(cx, HandoffEnd::of(HandoffState::Failed));
                facts.keep(cx, handoff.into_view());
                self.fall_back(cx, facts)
            }
            Next::None | Next::Agent | Next::Hangup => self.exhausted(cx, facts, handoff, status),
        }
    }

    /// No step is left: 480, or a last target's own 486 or 603.
    fn exhausted(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        mut handoff: Box<Handoff>,
        status: Option<u16>,
    ) -> Phase {
        handoff.end(cx, HandoffEnd::hurt(HandoffState::Failed));
        let last = status.filter(|s| matches!(s, 486 | 603)).unwrap_or(480);
        facts.keep(cx, handoff.into_view());
        let fields = [identity::reason(last, "No destination answered")];
        let content = Content { fields: &fields, ..Content::default() };
        let _ = cx.stack.reject(cx.now, self.caller, last, content);
        let caller = [(self.caller, Role::Caller)];
        Ending::begin(cx, caller, None, ending::NORMAL, EndReason::NothingAnswered)
    }
}

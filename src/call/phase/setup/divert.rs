//! A handoff before the caller leg is answered: the call is connected to the destination, answered 302, or handed back
//! with 480.

use super::{Setup, Trying};
use crate::call::command::Refusal;
use crate::call::context::Context;
use crate::call::decision::{self, By, Given};
use crate::call::event::What;
use crate::call::facts::Facts;
use crate::call::handoff::ladder::Next;
use crate::call::handoff::{Handoff, Way};
use crate::call::phase::Phase;
use crate::call::phase::ending::{self, Ending};
use crate::call::record::{HandoffState, Proof, Role};
use crate::routing::explain::Cause;
use crate::sip::{Content, Field, Origin, identity};
use crate::wire::reason_phrase;

impl Setup {
    pub(super) fn divert_or_fall_back(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        given: Given,
        by: By,
    ) -> Phase {
        match self.divert(cx, facts, given, by) {
            Ok(phase) => phase,
            Err((setup, refusal)) if by == By::Loss => {
                cx.tell(What::Ignored {
                    call: facts.id.to_string(),
                    what: format!("the fallback: {refusal}"),
                });
                setup.end(
                    cx,
                    facts,
                    HandoffState::Failed,
                    true,
                    480,
                    "the agent failed and there is no fallback",
                )
            }
            Err((setup, refusal)) => {
                cx.tell(What::Ignored {
                    call: facts.id.to_string(),
                    what: format!("the agent's 3xx: {refusal}"),
                });
                let given = Given::fallback(facts, "agent_unavailable");
                setup.divert_or_fall_back(cx, facts, given, By::Loss)
            }
        }
    }

    /// A decision before the answer: the agent is let go and the call is connected to the destination, answered 302
    /// or handed back with 480.
    pub(crate) fn divert(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        given: Given,
        by: By,
    ) -> Result<Phase, (Box<Setup>, Refusal)> {
        let id: Box<str> = (&*cx.ident.handoff_id(facts.slot)).into();
        let plan = match decision::plan(cx, facts, given, by, false, &id) {
            Ok(plan) => plan,
            Err(refusal) => return Err((self, refusal)),
        };
        if let Trying::Agent { leg, .. } = self.trying {
            self.drop_leg(cx, leg, "Handoff");
        }
        let mut handoff = Box::new(Handoff::begin(cx, facts, &id, plan, None, by == By::Loss));
        self.party = self.party.saturating_add(1);
        match handoff.plan.way {
            Way::Invite | Way::Refer => {
                handoff.attempt(cx, Way::Invite, HandoffState::Pending, None);
                match target(cx, facts, &handoff) {
                    Some((uri, address, credentials)) => {
                        let query = cx.resolve(&address);
                        self.trying =
                            Trying::FindingTarget { query, handoff, request_uri: uri.into(), credentials };
                        Ok(self.phase())
                    }
                    None => {
                        self.trying = Trying::Nobody;
                        Ok(self.target_failed(cx, facts, handoff, Cause::Unreachable, None))
                    }
                }
            }
            Way::Redirect => Ok(self.redirect(cx, facts, handoff)),
            Way::Bye => Ok(self.hand_back(cx, handoff)),
        }
    }

    /// 302 with the route as Contact.
    fn redirect(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        mut handoff: Box<Handoff>,
    ) -> Phase {
        handoff.attempt(cx, Way::Redirect, HandoffState::Joining, Some(facts.sip_call_id.to_string()));
        let Some(uri) = target(cx, facts, &handoff).map(|(uri, ..)| uri) else {
            self.trying = Trying::Nobody;
            return self.target_failed(cx, facts, handoff, Cause::Failed, None);
        };
        let mut fields = handoff.plan.fields.clone();
        fields.push(identity::contact_field(&uri));
        handoff.answered(302, reason_phrase(302), Origin::Local);
        self.last_word(cx, handoff, 302, &fields)
    }

    /// 480 with the headers and a Reason: `bye` before the answer.
    fn hand_back(self: Box<Self>, cx: &mut Context<'_>, mut handoff: Box<Handoff>) -> Phase {
        handoff.attempt(cx, Way::Bye, HandoffState::Joining, None);
        let mut fields = handoff.plan.fields.clone();
        fields.push(identity::reason_field(&handoff.plan.destination.reason));
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
            return Ending::begin(cx, None, None, ending::NORMAL, "the caller leg is over");
        };
        if status < 300 {
            handoff.attempt_over(cx);
            handoff.end(cx, HandoffState::HandedBack, Some(Proof::Accepted), false);
        } else {
            handoff.answered(status, reason_phrase(status), origin);
            handoff.attempt_failed(cx, Cause::NoAnswer, Next::None.name());
            handoff.end(cx, HandoffState::Failed, None, true);
        }
        facts.keep(cx, handoff.view);
        Ending::begin(cx, None, None, ending::NORMAL, "handed back")
    }

    pub(super) fn target_failed(
        self: Box<Self>,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        mut handoff: Box<Handoff>,
        cause: Cause,
        status: Option<u16>,
    ) -> Phase {
        let next = handoff.next(cause, false);
        handoff.attempt_failed(cx, cause, next.name());
        if next == Next::Bye {
            return self.hand_back(cx, handoff);
        }
        if next == Next::None && handoff.fallback_is_left(facts) {
            handoff.end(cx, HandoffState::Failed, None, false);
            facts.keep(cx, handoff.view);
            let given = Given::fallback(facts, "agent_unavailable");
            return self.divert_or_fall_back(cx, facts, given, By::Loss);
        }
        handoff.end(cx, HandoffState::Failed, None, true);
        // A last target's own 486 or 603 passes.
        let last = status.filter(|s| matches!(s, 486 | 603)).unwrap_or(480);
        facts.keep(cx, handoff.view);
        let fields = [identity::reason(last, "No destination answered")];
        let _ = cx.stack.reject(cx.now, self.caller, last, Content { fields: &fields, ..Content::default() });
        let caller = [(self.caller, Role::Caller)];
        Ending::begin(cx, caller, None, ending::NORMAL, "no destination answered")
    }
}

/// Request-URI, the URI whose address is looked up, and the credentials for a challenge.
fn target(cx: &Context<'_>, facts: &Facts, handoff: &Handoff) -> Option<(String, String, Option<u16>)> {
    let named = handoff.plan.destination.trunk.as_deref().and_then(|id| cx.tables.topology.trunk(id));
    let trunk = named.unwrap_or(&facts.trunk);
    let (uri, address) = handoff.plan.route.as_ref()?.request_uri(trunk);
    // The trunk's password answers only the trunk.
    let credentials = (address.host == trunk.address.host).then(|| cx.keyring.index(trunk)).flatten();
    Some((uri, address.text.to_string(), credentials))
}

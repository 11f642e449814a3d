//! Caller and partner talk, and no handoff runs.

use super::ending::{self, Ending};
use super::moving::Moving;
use super::{Phase, Stimulus};
use crate::call::context::Context;
use crate::call::conversation::{Conversation, Heard};
use crate::call::decision::{By, Given};
use crate::call::event::What;
use crate::call::facts::Facts;
use crate::call::handoff::report::{Farewell, Referral};
use crate::call::record::Role;
use crate::sip::leg::RequestId;
use crate::sip::leg::SentId;
use crate::sip::leg::decision::{Decision, reason_cause};
use crate::sip::{Content, Event, Origin};
use crate::wire::Message;

/// See the module.
#[derive(Debug)]
pub(crate) struct Talking {
    pub(crate) conversation: Conversation,
    /// A REFER whose handoff ended `unknown`: if a late NOTIFY says that the target has the caller, the legs are
    /// closed, for a receiver may wait for our BYE.
    pub(crate) late: Option<SentId>,
    /// The last NOTIFY to the agent is out; its BYE, should it come to that, waits for the answer.
    pub(crate) farewell: Option<Farewell>,
}

impl Talking {
    pub(crate) fn new(conversation: Conversation) -> Talking {
        Talking { conversation, late: None, farewell: None }
    }

    pub(crate) fn step(mut self, cx: &mut Context<'_>, facts: &mut Facts, stimulus: Stimulus<'_>) -> Phase {
        match stimulus {
            Stimulus::Leg(Event::Notified { refer, news, .. }, _) => {
                let arrived =
                    Some(refer) == self.late && news.status.is_some_and(|s| (200..300).contains(&s));
                if arrived {
                    self.end(cx, "moved: the result of the REFER came late")
                } else {
                    Phase::Talking(self)
                }
            }
            Stimulus::Leg(event, message) => {
                let heard = self.conversation.hear(cx, event, message);
                self.heard(cx, facts, heard, message)
            }
            Stimulus::HangUp { why } => self.end(cx, why),
            Stimulus::Tick | Stimulus::Resolved { .. } => Phase::Talking(self),
        }
    }

    fn end(self, cx: &mut Context<'_>, why: &'static str) -> Phase {
        self.end_by(cx, None, why)
    }

    /// `message` is the goodbye, whose Reason is passed on.
    fn end_by(self, cx: &mut Context<'_>, message: Option<&Message<'_>>, why: &'static str) -> Phase {
        let legs = self.conversation.dissolve(cx);
        Ending::begin_with(cx, legs, self.farewell, ending::reason_of(message, why), why)
    }

    fn heard(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        heard: Heard,
        message: Option<&Message<'_>>,
    ) -> Phase {
        match heard {
            Heard::Nothing | Heard::Confirmed => Phase::Talking(self),
            Heard::CallerLeft => self.end_by(cx, message, "caller hung up"),
            Heard::CallerLost { status, origin } => {
                lost(cx, facts, Role::Caller, (status, origin), "end");
                self.end(cx, "caller leg lost")
            }
            Heard::Unanswered => self.end(cx, "an offer was left without an answer"),
            Heard::PartnerLeft => self.partner_left(cx, facts, message),
            Heard::PartnerLost { status, origin } => self.partner_lost(cx, facts, status, origin),
            Heard::Referred { request, by } => {
                let decided = message.map(Decision::of_refer);
                match decided {
                    Some(Ok(decision)) => self.referred(cx, facts, request, by, decision),
                    Some(Err(_)) | None => {
                        let _ = cx.stack.respond(cx.now, request, 400, Content::default());
                        Phase::Talking(self)
                    }
                }
            }
        }
    }

    /// A BYE: a goodbye, a decision, or the word of an agent that broke down.
    fn partner_left(
        mut self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        message: Option<&Message<'_>>,
    ) -> Phase {
        let role = self.conversation.partner.map_or(Role::Agent, |p| p.role);
        let decision = message.filter(|_| role == Role::Agent).and_then(|m| match Decision::of_bye(m) {
            Ok(decision) => decision,
            Err(fault) => {
                let what = format!("the decision on the agent's BYE: {fault}");
                cx.tell(What::Ignored { call: facts.id.to_string(), what });
                None
            }
        });
        let broken =
            message.filter(|_| role == Role::Agent).and_then(reason_cause).filter(|c| (500..600).contains(c));
        self.farewell = None;
        if let Some(decision) = decision {
            self.conversation.drop_partner(cx);
            let given = Given::by_agent(cx, facts, decision);
            // The agent is gone and cannot be refused: a decision that cannot be carried out becomes the fallback.
            return Moving::decided_by_absence(cx, facts, self.conversation, given, By::Agent);
        }
        if let Some(status) = broken {
            return self.partner_lost(cx, facts, status, Origin::Remote);
        }
        self.conversation.drop_partner(cx);
        self.end_by(cx, message, if role == Role::Agent { "agent hung up" } else { "target hung up" })
    }

    /// The agent's leg broke: its fallback. A target's leg broke: there is nobody to go back to.
    fn partner_lost(mut self, cx: &mut Context<'_>, facts: &mut Facts, status: u16, origin: Origin) -> Phase {
        let role = self.conversation.partner.map_or(Role::Agent, |p| p.role);
        self.farewell = None;
        self.conversation.drop_partner(cx);
        if role == Role::Target {
            lost(cx, facts, role, (status, origin), "end");
            let legs = self.conversation.dissolve(cx);
            return Ending::begin(cx, legs, None, status, "target leg lost");
        }
        lost(cx, facts, role, (status, origin), "fallback");
        let given = Given::fallback(facts, "agent_lost");
        Moving::decided_by_absence(cx, facts, self.conversation, given, By::Loss)
    }

    fn referred(
        self,
        cx: &mut Context<'_>,
        facts: &mut Facts,
        request: RequestId,
        by: Role,
        decision: Decision<'_>,
    ) -> Phase {
        let refused = match by {
            Role::Agent if decision.replaces => Some(403),
            Role::Caller if !facts.trunk.refer_from_caller => Some(603),
            Role::Caller if decision.replaces => Some(403),
            Role::Target => Some(603),
            Role::Agent | Role::Caller => None,
        };
        if let Some(status) = refused {
            let _ = cx.stack.respond(cx.now, request, status, Content::default());
            return Phase::Talking(self);
        }
        let leg = match (by, self.conversation.partner) {
            (Role::Agent | Role::Target, Some(partner)) => partner.leg,
            (Role::Caller, _) | (_, None) => self.conversation.caller,
        };
        let given = Given::by_agent(cx, facts, decision);
        match Moving::decided(cx, facts, self.conversation, given, By::Agent) {
            Ok(mut start) => {
                let subscription = cx.stack.accept_referral(cx.now, request).unwrap_or_default();
                start.referral = Some(Referral::new(leg, subscription));
                Moving::begin(cx, facts, start)
            }
            Err(refused) => {
                let (conversation, refusal) = *refused;
                let status = refusal_status(&refusal);
                cx.tell(What::Ignored {
                    call: facts.id.to_string(),
                    what: format!("the {}'s REFER: {refusal}", by.as_str()),
                });
                let _ = cx.stack.respond(cx.now, request, status, Content::default());
                Phase::Talking(Talking { conversation, late: self.late, farewell: self.farewell })
            }
        }
    }
}

/// What a REFER that cannot be carried out gets.
fn refusal_status(refusal: &crate::call::command::Refusal) -> u16 {
    use crate::call::command::Refusal;
    match refusal {
        Refusal::Busy(_) => 491,
        Refusal::Invalid(_) => 488,
        Refusal::NoDestination { .. } | Refusal::RouteNotAllowed(_) => 403,
        Refusal::NoCall(_)
        | Refusal::NoHandoff(_)
        | Refusal::TooLate(_)
        | Refusal::Ending
        | Refusal::Closing => 480,
    }
}

/// Tells that a leg broke.
pub(crate) fn lost(
    cx: &mut Context<'_>,
    facts: &Facts,
    role: Role,
    (status, origin): (u16, Origin),
    next: &str,
) {
    let next = match next {
        "fallback" => {
            format!("fallback {}", facts.agent.fallback.as_deref().unwrap_or("(the table's default)"))
        }
        other => other.into(),
    };
    cx.tell(What::LegLost { call: facts.id.to_string(), role, status, origin, next });
}

//! What was decided, as it was said, and by whom. [`super::decision`] checks it.

use super::command::HandoffRequest;
use super::context::Context;
use super::event::EventKind;
use super::facts::Facts;
use crate::routing::pattern::Pattern;
use crate::routing::template;
use crate::sip::Field;
use crate::sip::leg::decision::{Decision, Target};
use std::collections::BTreeMap;

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A client of the API: what cannot be carried out is refused.
    Client,
    /// The agent, by SIP: what cannot be carried out is left out with a warning, unknown destinations are refused.
    Agent,
    /// A party that was joined with the caller, by SIP: as the agent, by its own `may_route`.
    Party,
    /// The caller's side, by SIP: the same, by that of its trunk.
    Caller,
    /// Baton, because the agent is gone: nothing may stop it.
    Loss,
    /// Baton, because Baton itself is going: the same, by a method that does not need it any more.
    Drain,
}

impl By {
    /// Nobody has asked for it, and nothing may stop it.
    pub(crate) fn is_own(self) -> bool {
        match self {
            By::Loss | By::Drain => true,
            By::Client | By::Agent | By::Party | By::Caller => false,
        }
    }

    /// Where it may send the caller beside the table's routes, and a 3xx after it, too.
    pub(crate) fn may_route(self, facts: &Facts) -> &[Pattern] {
        match self {
            By::Party => facts.onward.as_deref().map_or(&[][..], |onward| &onward.may_route),
            By::Caller => &facts.trunk.onward.may_route,
            By::Client | By::Agent | By::Loss | By::Drain => &facts.agent.may_route,
        }
    }
}

/// Where to, as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing was said: the table's default.
    #[default]
    Default,
    /// A destination id.
    Id(Box<str>),
    /// A URI that is a route of the table or that the agent may name.
    Uri(Box<str>),
}

/// What came with the decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) wanted: Wanted,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) utterance: Option<Box<str>>,
    pub(crate) variables: BTreeMap<Box<str>, Box<str>>,
    pub(crate) headers: Vec<Field>,
    pub(crate) route: Option<Box<str>>,
    pub(crate) method: Option<Box<str>>,
    /// The URI of who refers, where it was a REFER that says so: a target that is called is told.
    pub(crate) referred_by: Option<Box<str>>,
}

impl Given {
    /// Baton's own decision: the agent is gone.
    pub(crate) fn fallback(facts: &Facts, why: &str) -> Given {
        let wanted = facts.agent.fallback.as_deref().map_or(Wanted::Default, |id| Wanted::Id(id.into()));
        Given { wanted, reason: Some(why.into()), ..Given::default() }
    }

    /// A client's decision.
    pub(crate) fn by_client(request: HandoffRequest) -> Given {
        let field = |(name, value): (String, String)| Field { name: name.into(), value: value.into() };
        Given {
            wanted: request.destination.map_or(Wanted::Default, |id| Wanted::Id(id.into())),
            reason: request.reason.map(Into::into),
            utterance: request.utterance.map(Into::into),
            variables: request.variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            headers: request.headers.into_iter().map(field).collect(),
            route: request.route.map(Into::into),
            method: request.method.map(Into::into),
            referred_by: None,
        }
    }

    /// The agent's decision. Its `X-` headers become headers of the handoff and variables; a built-in is left out of
    /// the variables and told.
    pub(crate) fn by_agent(cx: &mut Context<'_>, facts: &Facts, decision: Decision<'_>) -> Given {
        let wanted = match decision.target {
            Target::Name(name) => Wanted::Id(name.into()),
            Target::Uri(uri) => Wanted::Uri(String::from_utf8_lossy(uri).into()),
        };
        let mut variables = BTreeMap::new();
        for field in &decision.fields {
            let Some(name) = template::variable_of_header(&field.name) else { continue };
            if template::is_built_in(&name) {
                let what = format!("{} does not set ${name}: it is a built-in variable", field.name);
                cx.tell(EventKind::Ignored { call: facts.id.clone(), what });
            } else {
                variables.insert(name.into(), field.value.clone());
            }
        }
        let Decision { fields, reason, utterance, referred_by, .. } = decision;
        Given {
            wanted,
            reason,
            utterance,
            variables,
            headers: fields,
            route: None,
            method: None,
            referred_by,
        }
    }
}

//! The variables that a handoff's headers and rules are expanded from.

use super::attempt_plan::Basis;
use crate::call::facts::Facts;
use crate::call::record::Stamp;
use crate::routing::table::Method;
use crate::routing::template::Variables;
use crate::sip::identity;
use std::borrow::Cow;

/// The variables of one handoff: what the decision gave, then what was set on the call when it was
/// decided; the built-ins can be set by nobody.
pub(crate) struct Scope<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) basis: &'a Basis,
    pub(crate) destination: &'a str,
    pub(crate) method: Method,
    pub(crate) table_version: u64,
}

impl Scope<'_> {
    fn built_in(&self, name: &str) -> Option<Option<Cow<'_, str>>> {
        let facts = self.facts;
        Some(match name {
            "caller_id" => facts.caller_id.as_deref().map(Cow::from),
            "caller_name" => facts.caller_name.as_deref().map(Cow::from),
            "called_number" => Some(Cow::from(&*facts.called)),
            "call_id" => Some(Cow::from(&*facts.id)),
            "sip_call_id" => Some(Cow::from(&*facts.sip_call_id)),
            "handoff_id" => Some(Cow::from(&*self.basis.handoff_id)),
            "agent" => Some(Cow::from(&*facts.agent.id)),
            "trunk" => Some(Cow::from(&*facts.trunk.id)),
            "environment" => Some(Cow::from(&*facts.agent.environment)),
            "destination" => Some(Cow::from(self.destination)),
            "method" => Some(Cow::from(self.method.name())),
            "reason" => self.basis.given.reason.as_deref().map(Cow::from),
            "utterance" => self.basis.given.utterance.as_deref().map(Cow::from),
            "started_at" => Some(Stamp(facts.started.wall).to_string().into()),
            "duration" => Some(self.basis.at.wall.since(facts.started.wall).as_secs().to_string().into()),
            "table_version" => Some(self.table_version.to_string().into()),
            _ => return None,
        })
    }
}

impl Variables for Scope<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(built_in) = self.built_in(name) {
            return built_in;
        }
        self.basis.set.get(name).map(|v| Cow::from(&**v))
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        identity::kept(&self.facts.kept, name)
    }
}

//! The rules of a destination. [`crate::routing::rules`] asks them.

use super::Destination;
use crate::routing::Id;
use crate::routing::rules::condition::Condition;
use crate::routing::rules::hours::Hours;
use crate::routing::template::Variables;
use crate::sip::UnixMillis;
use std::sync::Arc;

/// The most rules of one destination.
pub const MAX_RULES: usize = 16;

/// How many destinations a decision may be led through by `use`.
pub const MAX_CHAIN: usize = 8;

/// The largest `weight`.
pub const MAX_WEIGHT: u32 = 1000;

/// One rule of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// It matches only while this is open.
    pub hours: Option<Hours>,
    /// It matches only if this is met.
    pub when: Option<Condition>,
    /// Its share of a split; `None`: it is taken whenever it matches.
    pub weight: Option<u32>,
    /// Where it leads.
    pub then: Then,
}

/// Where a rule leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// To the destination that it belongs to, as if it had no rules (`use` with its own id).
    Itself,
    /// To another destination, by the rules of that (`use`). It is in the table.
    Use(Id),
    /// To the destination that it belongs to, with another route or method: the same id, headers and steps.
    Instead(Arc<Destination>),
}

impl Rule {
    /// Whether it matches whatever the time and the call are.
    pub fn always_matches(&self) -> bool {
        self.hours.is_none() && self.when.is_none()
    }

    pub(crate) fn matches(&self, at: UnixMillis, variables: &dyn Variables) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.is_open(at))
            && self.when.as_ref().is_none_or(|condition| condition.is_met(variables))
    }
}

/// Every place that a destination can be: its own route, and those that its rules set.
pub fn variants(destination: &Arc<Destination>) -> impl Iterator<Item = &Arc<Destination>> {
    let set = destination.rules.iter().filter_map(|rule| match &rule.then {
        Then::Instead(variant) => Some(variant),
        Then::Itself | Then::Use(_) => None,
    });
    std::iter::once(destination).chain(set)
}

//! From a decision to a destination, with the rule that chose it.

use std::sync::Arc;

use super::table::Destination;

/// A route that an agent may name itself: a number's prefix, or a `sip:` URI in which `*` stands for any user part or
/// for the labels before a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Numbers that begin with this: `+` and digits.
    Number(Box<str>),
    /// URIs of this shape.
    Uri {
        /// User part, `*` standing for any run of characters.
        user: Box<str>,
        /// Host in lower case; `*.example.com` for every host below a domain.
        host: Box<str>,
        /// The port that must be written; `None`: no port may be written.
        port: Option<u16>,
    },
}

/// Why a destination was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The decision named its id.
    Named,
    /// The decision named none: the table's default.
    Default,
    /// The URI that was named is the route of this destination.
    Route,
    /// The URI that was named matches an entry of the agent's `may_route`.
    MayRoute(Pattern),
}

/// A destination and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The destination.
    pub destination: Arc<Destination>,
    /// The rule that chose it.
    pub rule: Rule,
}

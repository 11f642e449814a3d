//! What a party may do that was joined with the caller.

use super::pattern::Pattern;

/// Whether a party that was joined with the caller may move the caller on by REFER, which always moves the sender's partner
/// (RFC 5589). A destination's own word goes before its trunk's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Onward {
    /// `may_transfer`; `None`: nothing is said.
    pub allowed: Option<bool>,
    /// `may_route`: what it may name beside the table's destinations.
    pub may_route: Vec<Pattern>,
    /// `transfer = "pass"`: its REFER goes to the caller's side, and is not carried out here.
    pub pass: bool,
}

impl Onward {
    /// What a party of this destination may do that is reached by that trunk. None: it may not refer at all.
    pub fn with(&self, trunk: Option<&Onward>) -> Option<Onward> {
        let allowed = self.allowed.or(self.pass.then_some(true)).or(trunk.and_then(|trunk| trunk.allowed));
        let both = self.may_route.iter().chain(trunk.into_iter().flat_map(|trunk| &trunk.may_route));
        let may_route = both.cloned().collect();
        (allowed == Some(true)).then_some(Onward { allowed, may_route, pass: self.pass })
    }
}

//! Where what was read stands in the file.

use crate::routing::rules::condition::Condition;
use std::ops::Range;

/// Where the parts of a destination stand, that a warning may point at.
#[derive(Default)]
pub(super) struct Places {
    /// The value of `route`.
    pub(super) route: Option<Range<usize>>,
    /// The value of `caller_id`.
    pub(super) caller_id: Option<Range<usize>>,
    /// Name and value of each header, in the order of the destination's.
    pub(super) headers: Vec<(Range<usize>, Range<usize>)>,
    /// Each `when`.
    pub(super) conditions: Vec<(Range<usize>, Condition)>,
    /// The places of the rules that set a route, in the order of the rules.
    pub(super) routes_of_rules: Vec<Range<usize>>,
}

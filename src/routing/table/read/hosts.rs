//! Whether a route leads to a host that is known.

use super::Surroundings;
use crate::routing::file::Report;
use crate::routing::route::Route;
use std::ops::Range;

/// Warns of a route to which the caller's side may not find its way, where `attended` needs it to.
pub(super) fn doubt_host(report: &mut Report<'_>, place: Range<usize>, route: &Route, known: &Surroundings) {
    if let Route::Sip(address) = route
        && known.hosts.as_ref().is_some_and(|hosts| !hosts.contains(&address.host))
    {
        let message = format!(
            "`attended` to `{}`, which is the host of no trunk: the caller's side may not find the target again",
            address.host
        );
        report
            .warn(place, message)
            .help("name a number or a host that is in a trunk's `address`, or use `invite`");
    }
}

//! Which destinations a URI can mean: an index of the routes by user part, so that a table of 10,000 is not searched for each
//! REFER and 3xx. Whether a destination is meant is for
//! [`Route::matches`] to say.

use super::rule;
use super::{Destination, Id, Route};
use crate::wire::uri::{Uri, percent_decode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The routes of one table, those that rules set among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<Index>);

#[derive(Debug, Default)]
struct Index {
    by_user: BTreeMap<Box<[u8]>, Vec<Arc<Destination>>>,
}

impl Routes {
    pub(super) fn of(destinations: &BTreeMap<Id, Arc<Destination>>) -> Routes {
        let mut index = Index::default();
        for destination in destinations.values().flat_map(rule::variants) {
            let key = match &destination.route {
                None => continue,
                Some(Route::E164(number) | Route::Tel { number, .. }) => folded(number.as_bytes()),
                Some(Route::Sip(address)) => match Uri::parse(address.text.as_bytes()) {
                    Ok(uri) => folded(uri.user.unwrap_or(b"")),
                    // It was parsed when the table was read.
                    Err(_) => continue,
                },
            };
            index.by_user.entry(key).or_default().push(Arc::clone(destination));
        }
        Routes(Arc::new(index))
    }

    /// All whose route can match `uri`, by their ids.
    pub(crate) fn like(&self, uri: &Uri<'_>) -> &[Arc<Destination>] {
        self.0.by_user.get(&*folded(uri.user.unwrap_or(b""))).map_or(&[], Vec::as_slice)
    }
}

/// The same for all user parts that can be equal: without escapes, case and what only divides digits (RFC 3966 §5.1.1).
fn folded(user: &[u8]) -> Box<[u8]> {
    percent_decode(user).iter().filter(|byte| !b"-.() ".contains(byte)).map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::file::Source;
    use crate::routing::table;

    #[test]
    fn whatever_matches_a_route_is_found_by_its_user_part() {
        let routes = [
            "+14155550123",
            "tel:+1-415-555-0123",
            "tel:+14155550123;ext=7",
            "sip:100@pbx",
            "sip:100@pbx:5070",
            "sip:pbx",
            "sip:john.smith@pbx",
            "sip:John.Smith@pbx",
            "sip:j%6Fhn.smith@pbx",
            "sip:+1(415)5550123@pbx",
            "sip:%2B14155550123@pbx",
            "sip:johnsmith@pbx",
        ];
        let mut text = "default = \"d0\"\n".to_owned();
        for (at, route) in routes.iter().enumerate() {
            text.push_str(&format!("[destination.d{at}]\nroute = \"{route}\"\n"));
        }
        let (table, told) = table::read(&Source::new("t", &text), &"production".into(), None);
        let table = table.unwrap_or_else(|| panic!("{told:#?}"));
        let mut met = 0;
        let others = [
            "sip:+1-415-555-0123@pbx",
            "tel:+1(415)5550123",
            "tel:+14155550123;EXT=7",
            "sip:%31%30%30@PBX",
            "sip:PBX",
        ];
        for named in routes.iter().skip(1).chain(&others) {
            let uri = Uri::parse(named.as_bytes()).unwrap_or_else(|error| panic!("{named}: {error:?}"));
            let matches = |destination: &&Arc<Destination>| {
                destination.route.as_ref().is_some_and(|route| route.matches(&uri, &|_| true))
            };
            let all: Vec<_> = table.destinations.values().filter(matches).map(|d| &d.id).collect();
            let found: Vec<_> = table.routes.like(&uri).iter().filter(matches).map(|d| &d.id).collect();
            assert_eq!(found, all, "{named}");
            assert!(!all.is_empty(), "{named}");
            met += all.len();
        }
        assert!(met > routes.len() + others.len(), "some mean several: {met}");
    }
}

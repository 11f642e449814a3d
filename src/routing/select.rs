//! From a decision to a destination, with the rule that chose it. Called by `call` once for each handoff.

use std::sync::Arc;

use super::address::Address;
use super::number;
use super::onward::Onward;
use super::pattern::{Pattern, is_plain};
use super::profile::Overrides;
use super::route::Route;
use super::table::{Capacity, DEFAULT_REASON, Destination, Ladder, Method, Table, Timeouts, Undefined};
use super::topology::{Redirects, Trunk};
use crate::wire::uri::{self, Scheme, Uri};

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
    /// Of the table that was asked; it outlives a reload.
    pub destination: Arc<Destination>,
    /// The rule that chose it.
    pub rule: Rule,
}

/// Why a decision means no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDestination {
    /// No destination has the id.
    #[error("there is no destination `{wanted}`{}", .nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// The id that was named, as far as it is shown.
        wanted: Box<str>,
        /// The id that was probably meant.
        nearest: Option<Box<str>>,
    },
    /// The URI is neither the route of a destination nor allowed by `may_route`.
    #[error("`{wanted}` is no route of the table, and the agent may not name it itself")]
    Forbidden {
        /// The URI that was named, as far as it is shown.
        wanted: Box<str>,
    },
    /// The table has no default; cannot be for a table that was read.
    #[error("the table has no default")]
    NoDefault,
}

/// The destination of that id, or the table's default where none is named.
///
/// # Errors
/// No destination has the id.
pub fn by_id(table: &Table, wanted: Option<&str>) -> Result<Selection, NoDestination> {
    let Some(id) = wanted else {
        let destination = table.fallback().ok_or(NoDestination::NoDefault)?;
        return Ok(Selection { destination: Arc::clone(destination), rule: Rule::Default });
    };
    match table.find(id) {
        Some(destination) => Ok(Selection { destination: Arc::clone(destination), rule: Rule::Named }),
        None => Err(NoDestination::Unknown {
            wanted: shown(id.as_bytes()),
            nearest: table.nearest(id).map(Into::into),
        }),
    }
}

/// The destination that a Refer-To or a Contact means: by its user part where the host is ours to name destinations
/// (`names_destinations`: `baton`, the advertised host, a listener), else the whole URI by the routes of the table, then by
/// `may_route`. `is_ours` says for which hosts a number means the same there as here.
///
/// # Errors
/// The URI may not be named.
pub fn by_uri(
    table: &Table,
    may_route: &[Pattern],
    named: &Uri<'_>,
    names_destinations: &dyn Fn(&Uri<'_>) -> bool,
    is_ours: &dyn Fn(&uri::Host<'_>) -> bool,
) -> Result<Selection, NoDestination> {
    let here = named.scheme == Scheme::Sip && names_destinations(named);
    if here && let Ok(id) = std::str::from_utf8(&named.user_text()) {
        if let Some(destination) = table.find(id) {
            return Ok(Selection { destination: Arc::clone(destination), rule: Rule::Named });
        }
        // A number at our own host is a route by number; any other word is a destination that is not there.
        if !number::is_e164(&number::clean(id)) {
            return by_id(table, Some(id));
        }
    }
    // Headers that are embedded belong to the decision, not to the place.
    let bare = without_headers(named);
    let is_ours = |host: &uri::Host<'_>| (here && host.same(&named.host)) || is_ours(host);
    let mut like = table.routes.like(&bare).iter();
    let by_route = like
        .find(|destination| destination.route.as_ref().is_some_and(|route| route.matches(&bare, &is_ours)));
    if let Some(destination) = by_route {
        return Ok(Selection { destination: Arc::clone(destination), rule: Rule::Route });
    }
    may_route
        .iter()
        .find_map(|pattern| {
            let route = pattern.allows(&bare, &is_ours)?;
            Some(Selection { destination: Arc::new(ad_hoc(route)), rule: Rule::MayRoute(pattern.clone()) })
        })
        .ok_or_else(|| NoDestination::Forbidden { wanted: shown(bare.bytes) })
}

/// The route that a URI means which a target's 3xx names, if Baton may call it (RFC 3261 §8.1.3.4): whoever answers a call is
/// not to send callers where nobody has let them go. `trunk` is the one that the target was called by, if it is one's; its
/// `redirects` decides, `table` where there is none:
///
/// - `table`: a route of the table, by its user and host, and by its port where it writes one; or what an entry of
///   `may_route` matches, that of the agent or of whoever else has sent the caller there.
/// - `host`: besides, any plain user at the trunk's own host and port; a ported number's `rn` and `npdi` (RFC 4694) stay.
/// - `none`: nobody.
///
/// Never a URI with embedded headers, a password or `maddr`, and never `sips:` or another scheme. `is_ours` says for which
/// hosts a number means the same there as here.
pub fn by_redirection(
    table: &Table,
    trunk: Option<&Trunk>,
    may_route: &[Pattern],
    named: &Uri<'_>,
    is_ours: &dyn Fn(&uri::Host<'_>) -> bool,
) -> Option<Route> {
    let redirects = trunk.map(|trunk| trunk.redirects).unwrap_or_default();
    if !named.headers.is_empty() || redirects == Redirects::None {
        return None;
    }
    if let Some(address) = callable(named) {
        let home = trunk.filter(|_| redirects == Redirects::Host && names_a_subscriber(named));
        if home.is_some_and(|trunk| trunk.address.is_same_place(&address)) {
            return Some(Route::Sip(address));
        }
        if table.routes.like(named).iter().any(|one| is_route(one, &address, named)) {
            return Some(Route::Sip(address));
        }
    }
    let is_number = |route: &Route| !matches!(route, Route::Sip(_)) && route.matches(named, is_ours);
    let same = |one: &Arc<Destination>| one.route.clone().filter(is_number);
    let by_number = table.routes.like(named).iter().find_map(same);
    by_number.or_else(|| may_route.iter().find_map(|pattern| pattern.allows(named, is_ours)))
}

/// Whether it is the `sip:` route of that destination, at any port where that writes none.
fn is_route(destination: &Destination, address: &Address, named: &Uri<'_>) -> bool {
    let Some(Route::Sip(known)) = &destination.route else { return false };
    let Ok(own) = Uri::parse(known.text.as_bytes()) else { return false };
    // RFC 3261 §19.1.2.
    let port = address.port.unwrap_or(5060);
    known.host == address.host
        && known.port.is_none_or(|own| own == port)
        && own.user_text() == named.user_text()
}

/// Whether its user part only names somebody: plain characters, and behind them what a query for ported numbers adds
/// (RFC 4694).
fn names_a_subscriber(named: &Uri<'_>) -> bool {
    let user = named.user_text();
    let mut parts = user.split(|byte| *byte == b';');
    let name = parts.next().unwrap_or(b"");
    let ported = |part: &[u8]| {
        let (key, value) = match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &b""[..]),
        };
        [&b"rn"[..], b"npdi", b"rn-context"].iter().any(|known| key.eq_ignore_ascii_case(known))
            && value.iter().copied().all(is_plain)
    };
    !name.is_empty() && name.iter().copied().all(is_plain) && parts.all(ported)
}

/// The URI as an address, if that is where a request to it goes.
fn callable(named: &Uri<'_>) -> Option<Address> {
    // With maddr the request goes there, and not to the host (RFC 3261 §19.1.1).
    if named.scheme != Scheme::Sip || named.param(b"maddr").is_some() {
        return None;
    }
    Address::parse(std::str::from_utf8(named.bytes).ok()?).ok()
}

/// The same URI, its embedded headers cut off.
fn without_headers<'a>(uri: &Uri<'a>) -> Uri<'a> {
    if uri.headers.is_empty() {
        return *uri;
    }
    // `headers` ends the URI, right after its `?`.
    let kept = uri.bytes.len().saturating_sub(uri.headers.len() + 1);
    Uri { headers: b"", bytes: uri.bytes.get(..kept).unwrap_or(uri.bytes), ..*uri }
}

/// A destination for a route that an agent named itself: a blind REFER with every default. Its id is the route.
fn ad_hoc(route: Route) -> Destination {
    Destination {
        id: route.text().into(),
        name: route.text().into(),
        description: "".into(),
        method: Method::Refer,
        brief: false,
        require_proven: false,
        route: Some(route),
        trunk: None,
        caller_id: None,
        headers: Vec::new(),
        rules: Vec::new(),
        on_failure: Ladder::default(),
        timeouts: Timeouts::default(),
        undefined: Undefined::Leave,
        reason: DEFAULT_REASON.into(),
        overrides: Overrides::default(),
        onward: Onward::default(),
        capacity: Capacity::default(),
    }
}

/// A text from outside as an error shows it: short, no control characters.
fn shown(text: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(text);
    text.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::super::file::{Report, Section, Source};
    use super::super::topology::read::Parties;
    use super::super::topology::secret::{SecretSource, Secrets};
    use super::*;
    use crate::observe::secret::Secret;
    use crate::routing::pattern::PatternError;

    fn table() -> Table {
        let text = r#"
            default = "front-desk"
            [destination.front-desk]
            route = "+14155550123"
            [destination.100]
            route = "sip:100@pbx"
            [destination.back]
            method = "bye"
        "#;
        let (table, diagnostics) =
            super::super::table::read(&Source::new("t", text), &"production".into(), None);
        table.unwrap_or_else(|| panic!("{diagnostics:?}"))
    }

    fn choose(uri: &str, may_route: &[&str]) -> Result<(String, Rule), NoDestination> {
        let patterns: Vec<Pattern> = may_route.iter().map(|p| Pattern::parse(p).expect(p)).collect();
        let named = Uri::parse(uri.as_bytes()).expect(uri);
        let host = |name: &'static [u8]| move |host: &uri::Host<'_>| matches!(host, uri::Host::Name(n) if *n == name);
        by_uri(&table(), &patterns, &named, &|uri| host(b"baton")(&uri.host), &host(b"pbx"))
            .map(|found| (found.destination.id.to_string(), found.rule))
    }

    #[test]
    fn by_name_by_route_by_permission() {
        assert_eq!(choose("sip:front-desk@baton", &[]), Ok(("front-desk".into(), Rule::Named)));
        assert_eq!(choose("sip:100@baton?X-A=1", &[]), Ok(("100".into(), Rule::Named)));
        assert_eq!(choose("sip:100@pbx", &[]), Ok(("100".into(), Rule::Route)));
        assert_eq!(choose("sip:100@pbx?X-A=1", &[]), Ok(("100".into(), Rule::Route)));
        assert_eq!(choose("tel:+14155550123", &[]), Ok(("front-desk".into(), Rule::Route)));
        assert_eq!(choose("sip:+14155550123@baton", &[]), Ok(("front-desk".into(), Rule::Route)));
        let (id, rule) = choose("tel:+14155559999", &["sip:*@x", "+1415"]).unwrap();
        assert_eq!((&*id, rule), ("+14155559999", Rule::MayRoute(Pattern::Number("+1415".into()))));
        assert!(matches!(choose("sip:front-desk@pbx", &[]), Err(NoDestination::Forbidden { .. })));
        assert!(matches!(choose("sip:100@evil", &["+1"]), Err(NoDestination::Forbidden { .. })));
        assert!(matches!(choose("sip:+14155559999@evil", &["+1"]), Err(NoDestination::Forbidden { .. })));
        let error = choose("sip:front-dsk@baton", &[]).unwrap_err();
        assert_eq!(error.to_string(), "there is no destination `front-dsk`; did you mean `front-desk`?");
    }

    /// The route that a redirection to `uri` means, for a table with the routes `sip:100@pbx`, `sip:200@[2001:db8::1]:5080` and a
    /// trunk at `sip:10.0.0.5:5060`.
    fn redirected(uri: &str, may_route: &[&str]) -> Option<String> {
        redirected_by("", uri, may_route)
    }

    /// The same where the trunk has that key.
    fn redirected_by(key: &str, uri: &str, may_route: &[&str]) -> Option<String> {
        let text = r#"
            default = "a"
            [destination.a]
            route = "sip:100@pbx"
            [destination.b]
            method = "invite"
            route = "sip:200@[2001:db8::1]:5080"
            [destination.c]
            route = "+14155550123"
            rule = [{ when = "true", route = "sip:300@ruled:5090" }]
            [destination.d]
            route = "sip:400@ruled:5091"
        "#;
        let (table, _) = super::super::table::read(&Source::new("t", text), &"production".into(), None);
        let trunks = format!("[trunk.carrier]\naddress = \"sip:10.0.0.5:5060\"\n{key}\n");
        let trunks = Source::new("b", &trunks);
        let mut report = Report::new(&trunks);
        let tree = report.parse();
        let mut top = Section::new("", 0..0, &tree);
        let parties = Parties::read(&mut top, &mut report, &NoSecrets, std::path::Path::new(""));
        let patterns: Vec<Pattern> = may_route.iter().map(|p| Pattern::parse(p).expect(p)).collect();
        let named = Uri::parse(uri.as_bytes()).expect(uri);
        let ours = |host: &uri::Host<'_>| matches!(host, uri::Host::Name(name) if *name == b"baton");
        let trunk = &parties.topology().trunks()[0].clone();
        by_redirection(&table.expect("a table"), Some(trunk), &patterns, &named, &ours)
            .map(|route| route.text().to_owned())
    }

    struct NoSecrets;
    impl Secrets for NoSecrets {
        fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
            Err("none".to_owned())
        }
    }

    #[test]
    fn a_redirection_to_a_route_of_the_table_is_followed() {
        for uri in [
            "sip:100@pbx",
            "sip:100@PBX",
            "sip:100@pbx.;user=phone",
            "sip:%31%30%30@pbx",
            "sip:100@pbx:5070",
            "sip:100@pbx;transport=tcp",
            "sip:200@[2001:db8:0::1]:5080",
            "sip:300@ruled:5090",
            "sip:400@Ruled:5091",
        ] {
            assert_eq!(redirected(uri, &[]).as_deref(), Some(uri), "{uri}");
        }
        assert_eq!(redirected("tel:+1-415-555-0123", &[]).as_deref(), Some("+14155550123"));
        assert_eq!(redirected("sip:+14155550123@baton", &[]).as_deref(), Some("+14155550123"));
    }

    #[test]
    fn a_redirection_to_any_user_of_a_known_host_is_not_followed_by_default() {
        let users = ["sip:999@pbx", "sip:pbx", "sip:00900123456@10.0.0.5", "sip:voicemail@10.0.0.5:5060"];
        for uri in users {
            assert_eq!(redirected(uri, &[]), None, "{uri}");
        }
    }

    #[test]
    fn by_host_a_pbx_forwards_to_its_own_phones() {
        let followed = |uri: &str| redirected_by("redirects = \"host\"", uri, &[]);
        for uri in [
            "sip:101@10.0.0.5",
            "SIP:voicemail@10.0.0.5:5060",
            "sip:+14155559999;npdi;rn=+14155550000@10.0.0.5;user=phone",
            "sip:100@pbx",
        ] {
            assert_eq!(followed(uri).as_deref(), Some(uri), "{uri}");
        }
        for uri in [
            "sip:101@10.0.0.5:5070",
            "sip:101@10.0.0.6",
            "sip:*72100@10.0.0.5",
            "sip:%2a72100@10.0.0.5",
            "sip:100%23@10.0.0.5",
            "sip:101;cpc=priority@10.0.0.5",
            "sip:10.0.0.5",
            "sip:101@10.0.0.5;maddr=203.0.113.9",
            "sip:999@pbx",
        ] {
            assert_eq!(followed(uri), None, "{uri}");
        }
        assert_eq!(redirected_by("redirects = \"none\"", "sip:100@pbx", &["sip:*@pbx"]), None);
    }

    #[test]
    fn a_redirection_to_anywhere_else_is_not() {
        for uri in [
            "sip:100@evil.example",
            "sip:100@pbx.evil.example",
            "sip:100@10.0.0.5:5070",
            "sip:100@10.0.0.6",
            "sip:201@[2001:db8::1]",
            "sip:300@ruled",
            "sip:300@ruled:5060",
            "sip:201@[2001:db8::1]:5060",
            "sip:+14155550123@evil.example",
            "tel:+19005550123",
            "sip:100@baton",
            "sip:pbx@evil.example",
        ] {
            assert_eq!(redirected(uri, &[]), None, "{uri}");
        }
        let everything = ["sip:*@pbx", "sip:*@10.0.0.5:5060", "+1"];
        for uri in [
            "sips:100@pbx",
            "sip:100@pbx?X-A=1",
            "sip:100@pbx?",
            "sip:100@pbx?Route=%3Csip:evil.example%3E",
            "sip:100:secret@pbx",
            "sip:100@pbx;maddr=203.0.113.9",
            "sip:100@pbx;MADDR=203.0.113.9",
            "sip:100@pbx;method=REFER",
            "sip:100@pbx;transport=tls",
            "sip:100@pbx;transport=sctp",
            "http://pbx/",
            "mailto:100@pbx",
            "urn:service:sos",
        ] {
            assert_eq!(redirected(uri, &everything), None, "{uri}");
        }
    }

    #[test]
    fn a_redirection_goes_where_the_agent_may_send_the_caller() {
        let may_route = ["+1415", "sip:2*@*.example.com"];
        let followed = |uri: &str| redirected(uri, &may_route);
        assert_eq!(followed("tel:+1-415-555-9999").as_deref(), Some("+14155559999"));
        assert_eq!(followed("sip:+14155559999@baton").as_deref(), Some("+14155559999"));
        assert_eq!(followed("sip:200@a.example.com").as_deref(), Some("sip:200@a.example.com"));
        assert_eq!(followed("tel:+19005550123"), None);
        assert_eq!(followed("tel:+14155559999;ext=7"), None);
        assert_eq!(followed("sip:+14155559999@baton?X-A=1"), None);
        assert_eq!(followed("tel:4155559999;phone-context=+1"), None);
        assert_eq!(followed("sip:+14155559999@evil.example"), None);
        assert_eq!(followed("sip:300@a.example.com"), None);
        assert_eq!(followed("sip:200@a.example.com?X-A=1"), None);
        assert_eq!(followed("sip:200@a.example.com;maddr=203.0.113.9"), None);
    }

    #[test]
    fn none_named_means_the_default() {
        assert_eq!(by_id(&table(), None).unwrap().rule, Rule::Default);
        assert_eq!(&*by_id(&table(), Some("back")).unwrap().destination.id, "back");
        assert!(by_id(&table(), Some("nowhere")).is_err());
    }

    #[test]
    fn patterns_do_not_leave_the_host_open() {
        for (text, error) in [
            ("sip:*@*", PatternError::Host),
            ("sip:100@pbx.*", PatternError::Host),
            ("sip:100@*pbx.example", PatternError::Host),
            ("*", PatternError::Form("*".into())),
            ("+", PatternError::Form("+".into())),
            ("+0", PatternError::Form("+0".into())),
            ("sip:pbx", PatternError::Form("sip:pbx".into())),
            ("sip:1@pbx;user=phone", PatternError::Form("sip:1@pbx;user=phone".into())),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
        let allowed = |pattern: &str, uri: &str| choose(uri, &[pattern]).is_ok();
        assert!(allowed("sip:2*@*.example.com", "sip:200@a.example.com"));
        assert!(!allowed("sip:2*@*.example.com", "sip:200@example.com"));
        assert!(!allowed("sip:2*@*.example.com", "sip:200@evilexample.com"));
        assert!(!allowed("sip:2*@*.example.com", "sip:300@a.example.com"));
        assert!(!allowed("sip:2*@a.example.com", "sip:200@a.example.com:5070"));
        assert!(!allowed("sip:2*@a.example.com", "sip:200@a.example.com;maddr=203.0.113.9"));
        assert!(!allowed("sip:2*@a.example.com", "sips:200@a.example.com"));
        for code in ["*72100", "%2a72100", "2%2372", "2#72", "2;cpc=x", "2%3bx", "2%40evil", "2%0d%0aX"] {
            assert!(!allowed("sip:*@a.example.com", &format!("sip:{code}@a.example.com")), "{code}");
        }
        assert!(allowed("sip:*@a.example.com", "sip:%32%30%30@a.example.com"));
        assert!(allowed("sip:2*@a.example.com:5070", "sip:200@A.example.com:5070"));
    }
}

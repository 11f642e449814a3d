//! Which keys of a destination apply to which methods. Keys that do not apply are errors: whoever wrote one expects something
//! of it.

use super::hosts::doubt_host;
use super::rules::WrittenRules;
use super::steps::Written;
use super::{ROUTE_FORM, Reader};
use crate::routing::file::{At, Report, Section};
use crate::routing::profile::{Overrides, Placement};
use crate::routing::table::{Method, Route};

/// A key and the methods that it applies to.
type Key = (&'static str, &'static [Method]);

/// What Baton calls itself. A `refer` is called, too, before the caller leg is answered.
const CALLED: &[Method] = &[Method::Refer, Method::Invite, Method::Attended];
/// What sends a REFER.
const REFERS: &[Method] = &[Method::Refer, Method::Attended];
/// What has a Refer-To, or a Contact that is formed like one.
const NAMES: &[Method] = &[Method::Refer, Method::Attended, Method::Redirect];

const KEYS: [Key; 13] = [
    ("route", &[Method::Refer, Method::Invite, Method::Attended, Method::Redirect]),
    ("trunk", CALLED),
    ("caller_id", CALLED),
    ("max_calls", CALLED),
    ("max_cps", CALLED),
    ("may_transfer", CALLED),
    ("may_route", CALLED),
    ("transfer", CALLED),
    ("header_placement", NAMES),
    ("refer_to_host", NAMES),
    ("referred_by", REFERS),
    ("notify_200", REFERS),
    ("ask_return", REFERS),
];

/// `brief` belongs to the method alone, also to one that a rule sets: a step never waits for the agent.
const BRIEF: Key = ("brief", &[Method::Attended]);

const TIMEOUTS: [Key; 4] =
    [("response", REFERS), ("outcome", REFERS), ("ring", CALLED), ("settle", &[Method::Attended])];

/// The methods that a destination's own route may be tried by: its method, those of its rules and those of its steps.
pub(super) struct InPlay {
    method: Method,
    rules: Vec<Method>,
    steps: Vec<Method>,
}

impl InPlay {
    pub(super) fn new(method: Method, on_failure: &Written, rules: &WrittenRules) -> Self {
        let is_faulty = (on_failure.is_faulty && method.needs_route()) || rules.is_faulty;
        let steps = if is_faulty {
            // What could not be read may have been meant as any of them.
            CALLED.to_vec()
        } else {
            on_failure.ladder().methods().collect()
        };
        Self { method, rules: rules.methods().collect(), steps }
    }

    /// Whether a REFER may be sent.
    pub(super) fn refers(&self) -> bool {
        self.uses(REFERS)
    }

    /// Whether a target may be called first, and then taken over.
    pub(super) fn attends(&self) -> bool {
        self.uses(&[Method::Attended])
    }

    fn uses(&self, methods: &[Method]) -> bool {
        let mut others = self.rules.iter().chain(&self.steps);
        methods.contains(&self.method) || others.any(|method| methods.contains(method))
    }

    /// Reports the timeouts that no method waits for.
    pub(super) fn check_timeouts(&self, report: &mut Report<'_>, timeouts: &Section<'_>) {
        for (key, methods) in TIMEOUTS {
            if !self.uses(methods) {
                self.does_not_apply(report, timeouts, (key, methods));
            }
        }
    }

    fn check(&self, report: &mut Report<'_>, section: &Section<'_>) {
        for (key, methods) in KEYS {
            if !self.uses(methods) {
                self.does_not_apply(report, section, (key, methods));
            }
        }
        if !self.rules.iter().chain([&self.method]).any(|method| BRIEF.1.contains(method)) {
            self.does_not_apply(report, section, BRIEF);
        }
    }

    fn does_not_apply(&self, report: &mut Report<'_>, section: &Section<'_>, (key, methods): Key) {
        if section.contains(key) {
            let message = format!("`{key}` does not apply to method \"{}\"", self.method.name());
            report
                .error(section.key_span(key), message)
                .help(format!("remove it, or choose method {}", listed(methods)));
        }
    }
}

/// `"a", "b" or "c"`.
fn listed(methods: &[Method]) -> String {
    let names: Vec<String> = methods.iter().map(|method| format!("\"{}\"", method.name())).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        names => names.concat(),
    }
}

impl Reader<'_, '_, '_> {
    /// What the keys of one destination say together.
    pub(super) fn check(
        &mut self,
        section: &Section<'_>,
        id: &At<&str>,
        in_play: Option<&InPlay>,
        route: Option<&Route>,
        overrides: &Overrides,
    ) {
        if let Some(in_play) = in_play {
            let method = in_play.method;
            if method.needs_route() && !section.contains("route") {
                self.report
                    .missing(id.span.clone(), format!("`route` is missing in [destination.{}]", id.value))
                    .expected(ROUTE_FORM)
                    .help(format!("method \"{}\" needs a route; method \"bye\" needs none", method.name()));
            }
            in_play.check(self.report, section);
        }
        let embedded = matches!(overrides.header_placement, Some(Placement::ReferTo | Placement::Both));
        if embedded && matches!(route, Some(Route::Tel { .. })) {
            self.report
                .error(section.key_span("header_placement"), "a `tel:` URI cannot carry headers")
                .expected("header_placement = \"request\", or a route as a `sip:` URI");
        }
        if overrides.refer_to_host.is_some() && matches!(route, Some(Route::Sip(_) | Route::Tel { .. })) {
            self.report
                .error(
                    section.key_span("refer_to_host"),
                    "`refer_to_host` does not apply where the route is a URI",
                )
                .help("a URI is sent as written: put the host there");
        }
    }

    /// A REFER with Replaces is obeyed by the caller's side, and its INVITE must reach the very user agent that Baton's own
    /// call has reached (RFC 3891 §3): Baton cannot see whether another way leads there. So these are warnings.
    pub(super) fn doubt_attended(
        &mut self,
        section: &Section<'_>,
        route: Option<&Route>,
        trunk: Option<&str>,
    ) {
        let Some(known) = self.around else { return };
        if let Some(trunk) = trunk
            && known.ids.len() > 1
        {
            self.report
                .warn(
                    section.key_span("trunk"),
                    "`trunk` with `attended`: the caller's side finds the target again only through its own trunk",
                )
                .help(format!("remove it, unless every caller of this destination comes through `{trunk}`"));
        }
        if let Some(route) = route {
            doubt_host(self.report, section.key_span("route"), route, known);
        }
    }
}

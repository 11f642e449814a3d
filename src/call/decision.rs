//! From a decision, however it came, to a plan: which destination, by which method, with which headers. Everything is
//! checked and expanded here, once, before the first byte is sent.

use super::command::{Invalid, Refusal};
use super::context::Context;
use super::event::EventKind;
use super::facts::Facts;
use super::given::{By, Given, Wanted};
use super::handoff::attempt_plan::{AttemptPlan, Basis, Plan};
use super::handoff::scope::Scope;
use crate::call::ids::HandoffId;
use crate::routing::file::quoted;
use crate::routing::rules;
use crate::routing::select::{self, NoDestination};
use crate::routing::table::{Destination, Method, Route, Undefined};
use crate::routing::topology::{Trunk, Unanswered};
use crate::routing::{headers, template};
use crate::sip::{Field, Listener};
use crate::wire::{Host, Uri};
use std::sync::Arc;

/// Whether a URI names a destination by its user part: its host is `baton`, our advertised host or a listener of ours.
/// A port that is not ours makes it a route: on one machine the PBX may share our address.
fn names_destinations(listeners: &[Listener], uri: &Uri<'_>) -> bool {
    let ours = listeners.iter().any(|listener| {
        let advertised = format!("sip:{}", listener.advertised);
        let advertised = Uri::parse(advertised.as_bytes()).ok();
        let local = listener.local;
        let host = uri.host.ip() == Some(local.ip()) || advertised.is_some_and(|a| a.host.same(&uri.host));
        let port =
            uri.port.is_none_or(|p| p == local.port() || advertised.is_some_and(|a| a.port == Some(p)));
        host && port
    });
    ours || uri.host.same(&Host::Name(b"baton"))
}

/// Whether a number at this host means the same as here: the caller's trunk, and ourselves.
pub(crate) fn is_ours(listeners: &[Listener], trunk: &Trunk, host: &Host<'_>) -> bool {
    let at = format!("sip:{}", trunk.address.host);
    let of_trunk = Uri::parse(at.as_bytes()).is_ok_and(|t| t.host.same(host));
    of_trunk || listeners.iter().any(|l| host.ip() == Some(l.local.ip()))
}

/// Checks a decision and expands what is done first.
pub(crate) fn plan(
    cx: &mut Context<'_>,
    facts: &mut Facts,
    given: Given,
    by: By,
    handoff_id: HandoffId,
) -> Result<(Plan, AttemptPlan), Refusal> {
    let mut given = check(cx, facts, given, by)?;
    let environment = &facts.agent.environment;
    let table = cx.tables.table(environment).cloned().ok_or_else(|| Refusal::NoDestination {
        id: "default".into(),
        environment: environment.to_string(),
        nearest: None,
    })?;
    // What was given stays set on the call, for the handoffs to come.
    let set = std::mem::take(&mut given.variables);
    let mut all = facts.set.clone();
    all.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
    let basis = Basis { given, set: all, at: cx.now, handoff_id, by };
    let mut plan = Plan { table, basis, rules: Vec::new() };
    let (destination, route, taken) = choose(cx, &plan, facts)?;
    plan.rules = taken;
    let method = method(&plan.basis.given, &destination, route.as_ref(), by, facts.is_answered())?;
    let first = Step { destination, method, route };
    let (attempt_plan, left_out) = attempt_plan(facts, &plan, first);
    // A caller whose agent is gone must go somewhere.
    if attempt_plan.destination.undefined == Undefined::Refuse && !by.is_own() && !left_out.is_empty() {
        let refused = |LeftOut { header, why }| Invalid { field: format!("headers.{header}"), message: why };
        return Err(Refusal::Invalid(left_out.into_iter().map(refused).collect()));
    }
    tell_left_out(cx, facts, &plan, left_out);
    facts.set.extend(set);
    Ok((plan, attempt_plan))
}

/// What an attempt is planned for.
pub(crate) struct Step {
    pub(crate) destination: Arc<Destination>,
    pub(crate) method: Method,
    pub(crate) route: Option<Route>,
}

/// A header of the table that has no value for this handoff.
pub(crate) struct LeftOut {
    header: String,
    why: String,
}

/// One destination by one method, its headers expanded by what stood when the handoff was decided; and which of them
/// could not be.
pub(crate) fn attempt_plan(facts: &Facts, plan: &Plan, step: Step) -> (AttemptPlan, Vec<LeftOut>) {
    let Step { destination, method, route } = step;
    let method = way(facts, method);
    let Plan { table, basis, .. } = plan;
    let scope = Scope { facts, basis, destination: &destination.id, method, table_version: table.version };
    let (fields, left_out) = expand(&destination, &basis.given, &scope);
    let caller_id = destination.caller_id.as_ref().and_then(|template| {
        let mut out = Vec::new();
        template.expand(&scope, &mut out).ok()?;
        String::from_utf8(out).ok().filter(|text| !text.is_empty()).map(String::into_boxed_str)
    });
    let profile = destination.profile(&facts.trunk, route.as_ref());
    (AttemptPlan { method, route, fields, caller_id, profile, destination }, left_out)
}

/// Headers go without their values, which is told and counted.
pub(crate) fn tell_left_out(cx: &mut Context<'_>, facts: &Facts, plan: &Plan, left_out: Vec<LeftOut>) {
    for LeftOut { header, why } in left_out {
        cx.counters.headers_left_out += 1;
        let (call, handoff) = (facts.id.clone(), plan.basis.handoff_id.clone());
        cx.tell(EventKind::Undefined { call, handoff, header, why });
    }
}

/// Variables of a call, or of one decision.
const VARIABLES: usize = 256;
/// Bytes of their names and values.
const VARIABLE_BYTES: usize = 64 * 1024;

/// Why these are more variables than one call may have.
pub(crate) fn too_much<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Invalid> {
    let (mut names, mut bytes) = (0, 0);
    for (name, value) in variables {
        names += 1;
        bytes += name.len() + value.len();
    }
    (names > VARIABLES || bytes > VARIABLE_BYTES).then(|| Invalid {
        field: "variables".to_owned(),
        message: format!(
            "{names} variables of {bytes} bytes are more than a call may have: {VARIABLES} names and {VARIABLE_BYTES} bytes"
        ),
    })
}

/// Names and headers that nobody may set.
fn check(cx: &mut Context<'_>, facts: &Facts, mut given: Given, by: By) -> Result<Given, Refusal> {
    let mut invalid = Vec::new();
    for name in given.variables.keys() {
        if let Some(message) = unsettable(name) {
            invalid.push(Invalid { field: format!("variables.{name}"), message });
        }
    }
    let variables = given.variables.iter().map(|(name, value)| (&**name, &**value));
    if let Some(fault) = too_much(variables) {
        let what = format!("{}: {}", fault.field, fault.message);
        cx.tell(EventKind::Ignored { call: facts.id.clone(), what });
        match by {
            By::Client => return Err(Refusal::Invalid(vec![fault])),
            By::Agent | By::Party | By::Caller | By::Loss | By::Drain => given.variables.clear(),
        }
    }
    given.headers.retain(|field| {
        let fault = headers::check_name(&field.name)
            .map_err(|e| e.to_string())
            .and_then(|_| headers::check_value(&field.value).map_err(|e| e.to_string()));
        let Err(message) = fault else { return true };
        invalid.push(Invalid { field: format!("headers.{}", field.name), message });
        false
    });
    if invalid.is_empty() {
        return Ok(given);
    }
    if by == By::Client {
        return Err(Refusal::Invalid(invalid));
    }
    for fault in invalid {
        given.variables.remove(fault.field.trim_start_matches("variables."));
        cx.tell(EventKind::Ignored {
            call: facts.id.clone(),
            what: format!("{}: {}", fault.field, fault.message),
        });
    }
    Ok(given)
}

/// Why a variable cannot be set, if it cannot.
pub(crate) fn unsettable(name: &str) -> Option<String> {
    if template::is_built_in(name) {
        return Some("a built-in variable cannot be set".into());
    }
    let valid = template::is_variable_name(name);
    (!valid).then(|| "not a variable name: a letter or `_`, then letters, digits and `_`, at most 64".into())
}

/// Where the rules of a destination lead, by what stood when the handoff was decided, and which of them were taken.
pub(crate) fn ruled(
    facts: &Facts,
    plan: &Plan,
    named: &Arc<Destination>,
) -> (Arc<Destination>, Vec<rules::Taken>) {
    let Plan { table, basis, .. } = plan;
    let (destination, method) = (&*named.id, named.method);
    let scope = Scope { facts, basis, destination, method, table_version: table.version };
    let question = rules::Question { at: basis.at.wall, handoff: &basis.handoff_id, variables: &scope };
    let (destination, taken) = rules::choose(table, named, question);
    (destination, taken)
}

/// What is decided for.
type Chosen = (Arc<Destination>, Option<Route>, Vec<rules::Taken>);

/// The destination, its route, and the rules that led there. A route that the decision names goes before every rule.
fn choose(cx: &Context<'_>, plan: &Plan, facts: &Facts) -> Result<Chosen, Refusal> {
    let Plan { table, basis: Basis { given, by, .. }, .. } = plan;
    let refusal = |error: NoDestination| match error {
        NoDestination::Unknown { wanted, nearest } => Refusal::NoDestination {
            id: wanted.into(),
            environment: table.environment.to_string(),
            nearest: nearest.map(Into::into),
        },
        NoDestination::Forbidden { wanted } => Refusal::RouteNotAllowed(wanted.into()),
        NoDestination::NoDefault => Refusal::NoDestination {
            id: table.default.to_string(),
            environment: table.environment.to_string(),
            nearest: None,
        },
    };
    let may_route = by.may_route(facts);
    let by_uri = |uri: &Uri<'_>, here: &dyn Fn(&Uri<'_>) -> bool| {
        let ours = |host: &Host<'_>| is_ours(cx.listeners, &facts.trunk, host);
        select::by_uri(table, may_route, uri, here, &ours).map_err(refusal)
    };
    let chosen = match &given.wanted {
        Wanted::Default => select::by_id(table, None).map_err(refusal)?,
        // Nothing may stop a fallback: a destination that has left the table since is replaced by the default.
        Wanted::Id(id) if by.is_own() => {
            select::by_id(table, Some(id)).or_else(|_| select::by_id(table, None)).map_err(refusal)?
        }
        Wanted::Id(id) => select::by_id(table, Some(id)).map_err(refusal)?,
        Wanted::Uri(text) => {
            let uri = Uri::parse(text.as_bytes()).map_err(|_| Refusal::RouteNotAllowed(text.to_string()))?;
            by_uri(&uri, &|uri| names_destinations(cx.listeners, uri))?
        }
    };
    let Some(named) = &given.route else {
        let (destination, taken) = match chosen.rule {
            select::Rule::Named | select::Rule::Default => ruled(facts, plan, &chosen.destination),
            select::Rule::Route | select::Rule::MayRoute(_) => (chosen.destination, Vec::new()),
        };
        let route = destination.route.clone();
        return Ok((destination, route, taken));
    };
    let route = Route::parse(named)
        .map_err(|e| Refusal::Invalid(vec![Invalid { field: "route".into(), message: e.to_string() }]))?;
    let text = match &route {
        Route::E164(number) => format!("tel:{number}"),
        Route::Sip(_) | Route::Tel { .. } => route.text().to_string(),
    };
    let uri = Uri::parse(text.as_bytes()).map_err(|_| Refusal::RouteNotAllowed(named.to_string()))?;
    by_uri(&uri, &|_| false)?;
    Ok((chosen.destination, Some(route), Vec::new()))
}

fn method(
    given: &Given,
    destination: &Destination,
    route: Option<&Route>,
    by: By,
    answered: bool,
) -> Result<Method, Refusal> {
    let invalid = |message: String| Err(Refusal::Invalid(vec![Invalid { field: "method".into(), message }]));
    let method = match given.method.as_deref().map(|name| (name, Method::parse(name))) {
        None => destination.method,
        Some((_, Some(method))) => method,
        Some((other, None)) => {
            return invalid(format!("`{other}` is no method; use {}", quoted(Method::ALL.map(Method::name))));
        }
    };
    if method.needs_route() && route.is_none() {
        return invalid(format!("`{}` needs a route, and `{}` has none", method.name(), destination.id));
    }
    if destination.require_proven && !method.can_be_proven() && method != destination.method {
        return invalid(format!("`{}` proves nothing, and `{}` requires it", method.name(), destination.id));
    }
    match method {
        // A caller whose agent is gone must go somewhere.
        Method::Redirect if answered && by == By::Loss => Ok(Method::Invite),
        Method::Redirect if answered && by == By::Drain => Ok(Method::Refer),
        Method::Invite if by == By::Drain && !destination.require_proven => Ok(Method::Refer),
        Method::Redirect if answered => {
            invalid("`redirect` is for a caller who is not answered yet; this one is".to_owned())
        }
        method => Ok(method),
    }
}

/// How a method is carried out now: before the caller leg is answered there is no REFER.
fn way(facts: &Facts, method: Method) -> Method {
    match (method, facts.is_answered(), facts.trunk.unanswered) {
        (Method::Bye | Method::Redirect, _, _) | (_, true, _) => method,
        (Method::Refer | Method::Invite | Method::Attended, false, Unanswered::Invite) => Method::Invite,
        (Method::Refer | Method::Invite | Method::Attended, false, Unanswered::Redirect) => Method::Redirect,
    }
}

/// The table's headers, then those of the decision, which win; and those of the table that have no value.
fn expand(destination: &Destination, given: &Given, scope: &Scope<'_>) -> (Vec<Field>, Vec<LeftOut>) {
    let (mut fields, mut left_out) = (Vec::new(), Vec::new());
    let table = destination.headers.iter();
    for header in table.filter(|h| !given.headers.iter().any(|g| g.name.eq_ignore_ascii_case(h.name()))) {
        match header.expand(scope) {
            Ok(value) if value.is_empty() => {}
            Ok(value) => fields.push(Field { name: (&**header.name()).into(), value: value.into() }),
            Err(why) => left_out.push(LeftOut { header: header.name().to_string(), why: why.to_string() }),
        }
    }
    fields.extend(given.headers.iter().cloned());
    (fields, left_out)
}

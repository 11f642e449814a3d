//! Which rule makes a line of a message.

use super::super::text::Text;
use super::{Line, Wish};
use crate::call::record::RuleView;
use crate::routing::table::Destination;
use crate::routing::table::rule::Then;
use crate::routing::topology::Trunk;
use serde::{Deserialize, Serialize};

/// Which kind of rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The destination table.
    Table,
    /// What the receiver needs: keys of the trunk, or of the destination in their place.
    Profile,
    /// The decision itself.
    Decision,
    /// The caller's INVITE.
    Caller,
    /// Baton itself; SIP wants it so.
    BuiltIn,
}

impl Origin {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Table => "table",
            Origin::Profile => "profile",
            Origin::Decision => "decision",
            Origin::Caller => "caller",
            Origin::BuiltIn => "built-in",
        }
    }
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Caller,
    Target,
}

impl To {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            To::Caller => "caller",
            To::Target => "target",
        }
    }
}

/// What a line is compared with.
pub(super) struct Known<'a> {
    pub(super) wish: &'a Wish,
    pub(super) destination: &'a Destination,
    pub(super) trunk: &'a Trunk,
    pub(super) rules: &'a [RuleView],
}

/// Headers of the caller's INVITE that go on to a target.
const CARRIED: [&str; 5] = ["user-to-user", "diversion", "history-info", "session-id", "privacy"];

/// Start line and headers with what made them.
pub(super) fn lines(text: &Text, to: To, known: &Known<'_>) -> Vec<Line> {
    let mut lines = vec![start(text, to, known)];
    for (name, value) in &text.headers {
        let (by, rule) = header(name, text, to, known);
        lines.push(Line { text: format!("{name}: {value}"), by, rule });
    }
    lines
}

fn start(text: &Text, to: To, known: &Known<'_>) -> Line {
    let (by, rule) = match (text.status(), to) {
        (None, To::Target) => route(known),
        (None, To::Caller) => (Origin::BuiltIn, "the caller's Contact".to_owned()),
        (Some(_), _) => (Origin::BuiltIn, "the method".to_owned()),
    };
    Line { text: text.start.clone(), by, rule }
}

/// Where the route comes from.
fn route(known: &Known<'_>) -> (Origin, String) {
    if known.wish.route.is_some() {
        return (Origin::Decision, "route".to_owned());
    }
    (Origin::Table, ruled(known).unwrap_or_else(|| place(known, "route")))
}

fn place(known: &Known<'_>, key: &str) -> String {
    format!("destination.{}.{key}", known.destination.id)
}

/// The rule that sets the route. Only the last of those that were taken can.
fn ruled(known: &Known<'_>) -> Option<String> {
    let last = known.rules.last()?;
    let rule = known.destination.rules.get(last.rule.checked_sub(1)?)?;
    match &rule.then {
        Then::Instead(variant)
            if *last.destination == *variant.id && variant.route != known.destination.route =>
        {
            Some(place(known, &format!("rule {}: route", last.rule)))
        }
        Then::Instead(_) | Then::Use(_) | Then::Itself => None,
    }
}

/// A key of the profile: the destination's own, the trunk's, or what holds without.
fn profile(known: &Known<'_>, key: &str, own: bool, trunk: bool) -> (Origin, String) {
    let rule = match (own, trunk) {
        (true, _) => place(known, key),
        (false, true) => format!("trunk.{}.{key}", known.trunk.id),
        (false, false) => format!("{key}, the default"),
    };
    (Origin::Profile, rule)
}

fn header(name: &str, text: &Text, to: To, known: &Known<'_>) -> (Origin, String) {
    let same = |other: &str| other.eq_ignore_ascii_case(name);
    let Known { wish, destination, trunk, .. } = known;
    let built_in = || (Origin::BuiltIn, "SIP".to_owned());
    if let Some(own) = wish.headers.keys().find(|own| same(own)) {
        return (Origin::Decision, format!("headers.{own}"));
    }
    if let Some(template) = destination.headers.iter().find(|header| same(header.name())) {
        let template = (template.name(), template.template().text());
        return (
            Origin::Table,
            format!("{} = {:?}", place(known, &format!("headers.{}", template.0)), template.1),
        );
    }
    let lower = name.to_ascii_lowercase();
    match (lower.as_str(), text.method()) {
        ("refer-to" | "contact", "REFER") | ("contact", _)
            if text.status().is_some() || lower == "refer-to" =>
        {
            let (by, rule) = route(known);
            let (own, trunks) = (&destination.overrides.refer_to_host, &trunk.overrides.refer_to_host);
            match own.as_ref().or(trunks.as_ref()) {
                Some(host) => (by, format!("{rule}, at `refer_to_host` {host}")),
                None => (by, rule),
            }
        }
        ("referred-by", _) => {
            let (own, trunks) = (destination.overrides.referred_by, trunk.overrides.referred_by);
            profile(known, "referred_by", own.is_some(), trunks.is_some())
        }
        // On a BYE, and before the answer on the 480 in its place.
        ("reason", _) if to == To::Caller => (Origin::Table, place(known, "reason")),
        ("from", "INVITE") if to == To::Target => match destination.caller_id {
            Some(_) => (Origin::Table, place(known, "caller_id")),
            None => (Origin::Caller, "From or P-Asserted-Identity".to_owned()),
        },
        ("to", "INVITE") if to == To::Target => route(known),
        ("diversion" | "history-info", "INVITE") if to == To::Target && trunk.diversion => {
            (Origin::Profile, format!("trunk.{}.diversion", trunk.id))
        }
        ("p-asserted-identity", _) => (Origin::Profile, format!("trunk.{}.trusted", trunk.id)),
        (carried, _) if carried.starts_with("x-") || CARRIED.contains(&carried) => {
            (Origin::Caller, name.to_owned())
        }
        _ => built_in(),
    }
}

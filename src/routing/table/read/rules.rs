//! Reads `rule`, as far as one destination can tell whether it is right. Where `use` leads is looked at by
//! [`super::chains`], when all destinations are known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use opening_hours::localization::Country;

use super::hosts::doubt_host;
use super::places::Places;
use super::{ROUTE_FORM, Reader};
use crate::routing::file::{At, Report, Section, nearest};
use crate::routing::rules::condition::{self, Condition, ConditionError};
use crate::routing::rules::hours::{self, Hours, HoursError, HoursErrorKind};
use crate::routing::table::rule::{MAX_RULES, MAX_WEIGHT, Rule, Then};
use crate::routing::table::{Destination, Method, Route};
use crate::routing::template::misspelt_built_in;
use crate::routing::topology::Surroundings;

const FORM: &str = "a list of rules like [{ hours = \"Mo-Fr 08:00-18:00\", timezone = \"Europe/Berlin\", use = \"night-desk\" }]";

/// A rule as it stands in the file.
pub(super) struct Written {
    place: Range<usize>,
    hours: Option<Hours>,
    when: Option<Condition>,
    weight: Option<u32>,
    then: WrittenThen,
}

enum WrittenThen {
    Use(At<Box<str>>),
    Instead {
        method: Option<Method>,
        route: Option<Route>,
        place: Range<usize>,
    },
    /// It could not be read.
    Faulty,
}

/// What was read already: most tables say the same hours and ask the same conditions again and again.
#[derive(Default)]
pub(super) struct Parsed {
    zones: BTreeMap<Box<str>, Option<jiff::tz::TimeZone>>,
    /// By zone, country and text.
    hours: BTreeMap<[Box<str>; 3], Hours>,
    conditions: BTreeMap<Box<str>, Condition>,
}

impl Parsed {
    fn zone(&mut self, name: &str) -> Option<jiff::tz::TimeZone> {
        let zone = self.zones.entry(name.into()).or_insert_with(|| hours::timezone(name));
        zone.clone()
    }

    fn hours(
        &mut self,
        text: &str,
        zone: Option<&jiff::tz::TimeZone>,
        country: Option<Country>,
    ) -> Result<Hours, HoursError> {
        // Without a zone they can still be read.
        let zone = zone.cloned().unwrap_or(jiff::tz::TimeZone::UTC);
        let name = zone.iana_name().unwrap_or_default();
        let key = [name, country.map_or("", Country::iso_code), text].map(Box::from);
        if let Some(hours) = self.hours.get(&key) {
            return Ok(hours.clone());
        }
        let hours = Hours::parse(text, zone, country)?;
        self.hours.insert(key, hours.clone());
        Ok(hours)
    }

    fn condition(&mut self, text: &str) -> Result<Condition, ConditionError> {
        if let Some(condition) = self.conditions.get(text) {
            return Ok(condition.clone());
        }
        let condition = Condition::parse(text)?;
        self.conditions.insert(text.into(), condition.clone());
        Ok(condition)
    }
}

/// The rules of one destination.
#[derive(Default)]
pub(super) struct WrittenRules {
    rules: Vec<Written>,
    /// Whether something in them could not be read or was refused.
    pub(super) is_faulty: bool,
}

impl WrittenRules {
    /// The methods that its rules set.
    pub(super) fn methods(&self) -> impl Iterator<Item = Method> {
        self.rules.iter().filter_map(|rule| match rule.then {
            WrittenThen::Instead { method, .. } => method,
            WrittenThen::Use(_) | WrittenThen::Faulty => None,
        })
    }

    /// Whether a rule sets a route.
    pub(super) fn set_a_route(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.then, WrittenThen::Instead { route: Some(_), .. }))
    }

    /// The destinations that its rules use, with places; its own id is not among them.
    pub(super) fn uses(&self, own: &str) -> Vec<At<Box<str>>> {
        let used = self.rules.iter().filter_map(|rule| match &rule.then {
            WrittenThen::Use(id) if *id.value != *own => Some(id.clone()),
            WrittenThen::Use(_) | WrittenThen::Instead { .. } | WrittenThen::Faulty => None,
        });
        used.collect()
    }

    /// The same as values, of the destination that has no rules yet. `brief` as it is written.
    pub(super) fn rules(
        self,
        report: &mut Report<'_>,
        plain: &Destination,
        brief: bool,
        around: Option<&Surroundings>,
    ) -> Vec<Rule> {
        let mut rules = Vec::with_capacity(self.rules.len());
        for Written { hours, when, weight, then, .. } in self.rules {
            let then = match then {
                WrittenThen::Use(id) if *id.value == *plain.id => Then::Itself,
                WrittenThen::Use(id) => Then::Use((*id.value).into()),
                WrittenThen::Instead { method, route, place } => {
                    let mut variant = variant(plain, method, route);
                    variant.brief = brief && variant.method == Method::Attended;
                    let attends = |destination: &Destination| {
                        destination.method == Method::Attended
                            || destination.on_failure.methods().any(|step| step == Method::Attended)
                    };
                    // Of the destination's own route it is told where that is read.
                    let is_told = variant.route == plain.route && attends(plain);
                    if let (Some(route), Some(around)) = (&variant.route, around)
                        && attends(&variant)
                        && !is_told
                    {
                        doubt_host(report, place.clone(), route, around);
                    }
                    check(report, plain, &variant, place);
                    Then::Instead(Arc::new(variant))
                }
                WrittenThen::Faulty => continue,
            };
            rules.push(Rule { hours, when, weight, then });
        }
        rules
    }
}

/// The destination with another method or route. Keys that do not apply to them are left out.
fn variant(plain: &Destination, method: Option<Method>, route: Option<Route>) -> Destination {
    let method = method.unwrap_or(plain.method);
    Destination { method, route: route.or_else(|| plain.route.clone()), ..plain.clone() }
}

fn check(report: &mut Report<'_>, plain: &Destination, variant: &Destination, place: Range<usize>) {
    let (id, name) = (&plain.id, variant.method.name());
    if variant.method.needs_route() && variant.route.is_none() {
        report
            .error(place, format!("this rule's method \"{name}\" needs a route, and `{id}` has none"))
            .expected(ROUTE_FORM);
    } else if !variant.method.needs_route() && variant.route != plain.route {
        report
            .error(place, format!("this rule's `route` does not apply to method \"{name}\""))
            .help("remove it, or give the rule a `method`, too");
    } else if plain.require_proven && !variant.method.can_be_proven() {
        report
            .error(place, format!("`require = \"proven\"` forbids this rule's method \"{name}\""))
            .expected("method \"invite\" or \"attended\"");
    } else if variant.method == plain.method && variant.route == plain.route {
        report
            .warn(place, format!("this rule sets what `{id}` has anyway"))
            .help(format!("remove it, or write use = \"{id}\" if the rules after it shall not be asked"));
    }
}

impl<'a> Reader<'_, '_, '_> {
    /// `rule`: a list of tables.
    pub(super) fn rules(
        &mut self,
        section: &mut Section<'a>,
        own: &str,
        places: &mut Places,
    ) -> WrittenRules {
        let mut written = WrittenRules::default();
        let before = self.report.errors();
        let sections = section.tables(self.report, "rule", FORM);
        for (index, section) in sections.into_iter().enumerate() {
            if index == MAX_RULES {
                self.report
                    .error(section.place(), format!("more than {MAX_RULES} rules"))
                    .help("put some of them into a destination of its own, and `use` it");
                break;
            }
            written.rules.push(self.rule(section, own, places));
        }
        written.is_faulty = self.report.errors() > before;
        self.never_reached(&written, own);
        written
    }

    fn rule(&mut self, mut section: Section<'a>, own: &str, places: &mut Places) -> Written {
        let hours = self.hours(&mut section);
        let when = self.when(&mut section);
        if let Some(condition) = &when {
            places.conditions.push((section.value_span("when"), condition.clone()));
        }
        if section.contains("route") {
            places.routes_of_rules.push(section.value_span("route"));
        }
        let weight = section.number(self.report, "weight", 0..MAX_WEIGHT + 1);
        let then = self.then(&mut section, own);
        let place = section.place();
        section.finish(self.report);
        Written { place, hours, when, weight, then }
    }

    fn hours(&mut self, section: &mut Section<'a>) -> Option<Hours> {
        let zone = self.timezone(section);
        let country = self.country(section);
        let text = section.string(self.report, "hours", hours::FORM);
        if !section.contains("hours") {
            for key in ["timezone", "country"] {
                if section.contains(key) {
                    self.report
                        .error(section.key_span(key), format!("`{key}` does not apply without `hours`"))
                        .help("remove it, or say when the rule matches");
                }
            }
            return None;
        }
        let text = text?;
        if !section.contains("timezone") {
            self.report
                .missing(text.span.clone(), "`hours` without `timezone`")
                .expected("the zone in which they are read, like timezone = \"America/New_York\"");
        }
        let hours = match self.parsed.hours(text.value, zone.as_ref(), country.flatten()) {
            Ok(hours) => hours,
            Err(error) => {
                if matches!(error.kind, HoursErrorKind::NoCountry(_)) && country == Some(None) {
                    // What is wrong with the country was told.
                    return None;
                }
                let place = inside(&text, error.place.start..error.place.end.max(error.place.start + 1));
                let note = self.report.error(place, format!("`hours`: {error}"));
                match error.kind {
                    HoursErrorKind::NoCountry(_) => {
                        note.expected("whose holidays they are, like country = \"US\"")
                    }
                    _ => note.expected(hours::FORM),
                };
                return None;
            }
        };
        if section.contains("country") && !hours.names_holidays() {
            self.report
                .error(
                    section.key_span("country"),
                    "`country` does not apply where `hours` names no holidays",
                )
                .help("remove it, or add `; PH off`");
        }
        zone.map(|_| hours)
    }

    fn timezone(&mut self, section: &mut Section<'a>) -> Option<jiff::tz::TimeZone> {
        const FORM: &str = "the IANA name of a time zone, like \"America/New_York\"";
        let found = section.string(self.report, "timezone", FORM)?;
        let zone = self.parsed.zone(found.value);
        if zone.is_none() {
            let note = self
                .report
                .error(found.span, format!("there is no time zone `{}`", found.value))
                .expected(FORM);
            let known: Vec<String> = hours::timezones().collect();
            // A city alone is what people remember.
            let city = format!("/{}", found.value.replace(' ', "_"));
            let by_city = known.iter().find(|name| name.to_lowercase().ends_with(&city.to_lowercase()));
            let meant = by_city
                .map(String::as_str)
                .or_else(|| nearest(found.value, known.iter().map(String::as_str)));
            if let Some(meant) = meant {
                note.help(format!("did you mean `{meant}`?"));
            }
        }
        zone
    }

    /// `None` where it is not written, `Some(None)` where it is wrong.
    fn country(&mut self, section: &mut Section<'a>) -> Option<Option<Country>> {
        const FORM: &str = "two capital letters like \"US\" (ISO 3166-1)";
        let found = section.string(self.report, "country", FORM)?;
        let country = hours::country(found.value);
        if country.is_none() {
            let message = format!("no holidays are known of a country `{}`", found.value);
            let note = self.report.error(found.span, message).expected(FORM);
            if hours::country(&found.value.to_uppercase()).is_some() {
                note.help(format!("did you mean `{}`?", found.value.to_uppercase()));
            }
        }
        Some(country)
    }

    fn when(&mut self, section: &mut Section<'a>) -> Option<Condition> {
        let found = section.string(self.report, "when", condition::FORM)?;
        match self.parsed.condition(found.value) {
            Ok(condition) => {
                for name in condition.names() {
                    if let Some(meant) = misspelt_built_in(name) {
                        self.report
                            .warn(
                                found.span.clone(),
                                format!("`{name}` is not built in: a decision has to bring it"),
                            )
                            .help(format!("did you mean `{meant}`?"));
                    }
                }
                Some(condition)
            }
            Err(error) => {
                let place = match error.at {
                    Some(at) => inside(&found, at..at + 1),
                    None => found.span.clone(),
                };
                let note = self.report.error(place, format!("`when`: {error}")).expected(condition::FORM);
                if let Some(help) = error.help {
                    note.help(help);
                }
                None
            }
        }
    }

    fn then(&mut self, section: &mut Section<'a>, own: &str) -> WrittenThen {
        let used = section.string(self.report, "use", "the id of a destination");
        let method = self.method(section).filter(|(_, written)| written.is_some()).map(|(method, _)| method);
        let route = self.route(section);
        let sets = ["method", "route"].into_iter().find(|key| section.contains(key));
        match (section.contains("use"), sets) {
            (false, None) => {
                self.report
                    .missing(section.place(), "this rule leads nowhere")
                    .expected("`use` with the id of a destination, or `route` or `method`");
                WrittenThen::Faulty
            }
            (true, Some(key)) => {
                self.report
                    .error(section.key_span(key), format!("`{key}` and `use` in one rule"))
                    .help("remove one: `use` leads to a destination with its own route and method");
                WrittenThen::Faulty
            }
            (true, None) => match used {
                Some(id) if id.value == own || self.ids.contains(id.value) => {
                    WrittenThen::Use(At { value: id.value.into(), span: id.span })
                }
                Some(id) => {
                    self.report
                        .error(id.span, format!("there is no destination `{}`", id.value))
                        .expected(super::expected_ids(self.ids))
                        .nearest(id.value, self.ids.iter().copied());
                    WrittenThen::Faulty
                }
                None => WrittenThen::Faulty,
            },
            (false, Some(key)) => {
                let place = section.key_span(key);
                match (method, route) {
                    (None, None) => WrittenThen::Faulty,
                    (method, route) => WrittenThen::Instead { method, route, place },
                }
            }
        }
    }

    /// Warns of rules that can never be taken, and of a split that splits nothing.
    fn never_reached(&mut self, written: &WrittenRules, own: &str) {
        if written.is_faulty {
            return;
        }
        let always = |rule: &Written| rule.hours.is_none() && rule.when.is_none() && rule.weight != Some(0);
        let mut rules = written.rules.iter().peekable();
        let mut closed = false;
        while let Some(first) = rules.next() {
            if closed {
                self.report
                    .warn(first.place.clone(), "this rule is never reached: one before it always matches")
                    .help("put it before that one, or remove it");
                return;
            }
            closed = always(first);
            if first.weight.is_some() {
                let mut weights = first.weight.unwrap_or_default();
                let mut is_alone = true;
                while let Some(next) = rules.next_if(|rule| rule.weight.is_some()) {
                    is_alone = false;
                    closed |= always(next);
                    weights += next.weight.unwrap_or_default();
                }
                if weights == 0 {
                    self.report
                        .warn(first.place.clone(), "a split whose weights are all 0 is never taken")
                        .help("give one of its rules a weight, or remove it");
                } else if is_alone {
                    self.report
                        .warn(first.place.clone(), "a `weight` alone splits nothing: this rule is taken whenever it matches")
                        .help(format!(
                            "give the rest its share in a rule after it, like {{ weight = {}, use = \"{own}\" }}, or remove `weight`",
                            100_u32.checked_sub(weights).filter(|rest| *rest > 0).unwrap_or(weights)
                        ));
                }
            }
        }
    }
}

/// A place inside a string of the file, where that can be told: only one without escapes stands there as it reads.
pub(super) fn inside(found: &At<&str>, part: Range<usize>) -> Range<usize> {
    let plain = found.span.len() == found.value.len() + 2;
    if plain {
        let start = found.span.start + 1;
        start + part.start..start + part.end
    } else {
        found.span.clone()
    }
}

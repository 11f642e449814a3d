//! Reads a destination table from TOML. Every key is carried out or refused by name.

mod chains;
mod hosts;
mod keys;
mod lint;
mod places;
mod rules;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{
    Capacity, DEFAULT_REASON, Destination, HeaderTemplate, Method, OUTCOME_CAP, Route, Routes, Table,
    Timeouts, Undefined,
};
use crate::routing::Id;
use crate::routing::address::AddressError;
use crate::routing::document::ONLY;
use crate::routing::file::{At, Diagnostic, Report, Section, Source, nearest, quoted, with_article};
use crate::routing::headers::{self, HeaderError, NameError};
use crate::routing::number::normalise;
use crate::routing::onward::Onward;
use crate::routing::pattern::Pattern;
use crate::routing::profile::Overrides;
use crate::routing::route::RouteError;
use crate::routing::template::{Part, Source as From, Template, TemplateError, misspelt_built_in};
use crate::routing::topology::Surroundings;
use crate::wire::grammar::{self, Params};
use chains::Row;
use keys::InPlay;
use places::Places;
use rules::Parsed;
use steps::Own;

/// The most destinations that one table holds.
pub const MAX_DESTINATIONS: usize = 10_000;

/// The longest id, in bytes.
pub const MAX_ID: usize = 64;

/// Words that an `on_failure` uses for itself, so that no destination can have them as its id.
const RESERVED_IDS: [&str; 7] = ["agent", "bye", "hangup", "invite", "refer", "attended", "redirect"];

/// Whether `id` can name a trunk, an agent, an environment or a destination: a letter or a digit, then also `-`, `_`
/// and `.`, at most [`MAX_ID`] bytes. So it can stand in a URL, a log line and the user part of a URI.
pub fn is_id(id: &str) -> bool {
    id.len() <= MAX_ID
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Reports an id that cannot be one.
pub(crate) fn check_id(report: &mut Report<'_>, id: &At<&str>) {
    if !is_id(id.value) {
        report.error(id.span.clone(), format!("`{}` cannot be an id", id.value)).expected(format!(
            "a letter or a digit, then letters, digits, `-`, `_` and `.`, at most {MAX_ID} characters"
        ));
    }
}

/// Reads the table of `environment`. `around` is what it is checked against; `None` leaves that unchecked, and gives no
/// warnings about the table as a whole.
/// The table is there if there is no error; warnings may come with it.
pub fn read(
    source: &Source,
    environment: &Id,
    around: Option<&Surroundings>,
) -> (Option<Table>, Vec<Diagnostic>) {
    let mut report = Report::new(source);
    let tree = report.parse();
    let mut top = Section::new("", 0..0, &tree);
    let default = top.required(&mut report, "default", "the id of a destination");
    let sections = top.sections(&mut report, "destination");
    top.finish(&mut report);
    if sections.len() > MAX_DESTINATIONS {
        let message = format!("{} destinations; at most {MAX_DESTINATIONS} fit in a table", sections.len());
        report.error(0..0, message);
        return (None, report.finish());
    }
    let ids: BTreeSet<&str> = sections.iter().map(|(id, _)| id.value).collect();
    let mut rows = Vec::with_capacity(sections.len());
    let mut parsed = Parsed::default();
    for (id, section) in sections {
        let reader = Reader { report: &mut report, environment, ids: &ids, around, parsed: &mut parsed };
        rows.extend(reader.destination(&id, section));
    }
    chains::check(&mut report, &mut rows, ids.len());
    let is_default = |default: &At<&str>| ids.contains(default.value);
    if let Some(around) = around
        && default.as_ref().is_some_and(is_default)
        && !report.has_errors()
    {
        lint::lint(&mut report, &rows, around);
    }
    let destinations: BTreeMap<Id, Arc<Destination>> =
        rows.into_iter().map(|row| (Arc::clone(&row.destination.id), Arc::new(row.destination))).collect();
    if let Some(default) = &default
        && !ids.contains(default.value)
    {
        report
            .missing(
                default.span.clone(),
                format!("the default `{}` is no destination of this table", default.value),
            )
            .expected(expected_ids(&ids))
            .nearest(default.value, ids.iter().copied());
    }
    if report.has_errors() {
        return (None, report.finish());
    }
    let table = default.map(|default| Table {
        environment: Arc::clone(environment),
        version: 0,
        hash: hash(source.text()),
        text: source.shared(),
        default: default.value.into(),
        routes: Routes::of(&destinations),
        destinations,
    });
    (table, report.finish())
}

/// SHA-256 in hexadecimal: what tells the text of one version from that of another.
pub fn hash(text: &str) -> Box<str> {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
        .into()
}

/// The ids to choose from, or how to make the first one.
pub(crate) fn expected_ids(ids: &BTreeSet<&str>) -> String {
    match ids.len() {
        0 => "the id of a [destination.ID] section; there is none".to_owned(),
        1..=12 => format!("one of {}", quoted(ids.iter().copied())),
        more => format!("one of the {more} destinations of the table"),
    }
}

struct Reader<'r, 's, 'i> {
    report: &'r mut Report<'s>,
    environment: &'i Id,
    ids: &'i BTreeSet<&'i str>,
    around: Option<&'i Surroundings>,
    parsed: &'r mut Parsed,
}

impl<'a> Reader<'_, '_, '_> {
    fn destination(mut self, id: &At<&str>, mut section: Section<'a>) -> Option<Row> {
        check_id(self.report, id);
        if RESERVED_IDS.contains(&id.value) {
            self.report
                .error(id.span.clone(), format!("`{}` cannot be a destination's id", id.value))
                .expected("a word that is no method and no step of `on_failure`");
        }
        self.only(&mut section, id.value);
        let name = self.text(&mut section, "name", 200);
        let description = self.text(&mut section, "description", 4000);
        let method = self.method(&mut section);
        let brief = section.boolean(self.report, "brief").unwrap_or(false);
        let require = self.require(&mut section);
        let method = method.map(|method| self.proven(method, require.as_ref()));
        let route = self.route(&mut section);
        let trunk = self.trunk(&mut section);
        let caller_id = self.template(&mut section, "caller_id");
        let mut places = Places::default();
        let headers = self.headers(&mut section, id.value, &mut places);
        let rules = self.rules(&mut section, id.value, &mut places);
        places.route = section.contains("route").then(|| section.value_span("route"));
        places.caller_id = caller_id.as_ref().map(|found| found.span.clone());
        let own = Own { id: id.value, method, require_proven: require.is_some(), rules: &rules };
        let on_failure = self.on_failure(&mut section, &own);
        let in_play = method.map(|method| InPlay::new(method, &on_failure, &rules));
        let timeouts = self.timeouts(&mut section, in_play.as_ref());
        let undefined = section
            .choice(self.report, "undefined", &[("leave", Undefined::Leave), ("refuse", Undefined::Refuse)])
            .unwrap_or(Undefined::Leave);
        let reason = self.reason(&mut section).unwrap_or_else(|| DEFAULT_REASON.into());
        let overrides = Overrides::read(&mut section, self.report);
        let onward = self.onward(&mut section);
        let capacity = self.capacity(&mut section);
        self.check(&section, id, in_play.as_ref(), route.as_ref(), &overrides);
        if on_failure.attends(method) {
            self.doubt_attended(&section, route.as_ref(), trunk.as_deref());
        }
        section.finish(self.report);
        let uses = rules.uses(id.value);
        let method = method?;
        let mut destination = Destination {
            id: id.value.into(),
            name: name.unwrap_or(id.value).into(),
            description: description.unwrap_or_default().into(),
            method,
            brief: brief && method == Method::Attended,
            require_proven: require.is_some(),
            route,
            trunk,
            caller_id: caller_id.map(|found| found.value),
            headers,
            rules: Vec::new(),
            on_failure: on_failure.ladder(),
            timeouts,
            undefined,
            reason,
            overrides,
            onward,
            capacity,
        };
        destination.rules = rules.rules(self.report, &destination, brief, self.around);
        Some(Row { destination, place: id.span.start, lists: on_failure.lists, uses, places })
    }

    fn text(&mut self, section: &mut Section<'a>, key: &'static str, most: usize) -> Option<&'a str> {
        let found = section.string(self.report, key, "a text")?;
        if found.value.chars().count() > most {
            self.report
                .error(found.span, format!("`{key}` is too long"))
                .expected(format!("at most {most} characters"));
        } else if found.value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            self.report.error(found.span, format!("`{key}` holds control characters"));
        }
        Some(found.value)
    }

    /// What whoever was joined with a caller may do.
    fn onward(&mut self, section: &mut Section<'_>) -> Onward {
        let allowed = section.boolean(self.report, "may_transfer");
        let may_route = Pattern::list(section, self.report);
        let pass = section.choice(self.report, "transfer", &[("serve", false), ("pass", true)]);
        let pass = pass.unwrap_or(false);
        if pass && allowed == Some(false) {
            let place = section.value_span("transfer");
            self.report
                .error(place, "`transfer = \"pass\"` beside `may_transfer = false`")
                .expected("one of the two: a REFER that is refused is not passed");
        }
        if allowed == Some(false) && section.contains("may_route") {
            let place = section.key_span("may_route");
            self.report
                .error(place, "`may_route` beside `may_transfer = false`")
                .help("remove one of the two: a REFER that is refused names nothing");
        }
        Onward { allowed, may_route, pass }
    }

    fn capacity(&mut self, section: &mut Section<'_>) -> Capacity {
        let mut number = |key, most: u32| section.number(self.report, key, 0..most + 1).unwrap_or_default();
        Capacity { max_calls: number("max_calls", 1_000_000), max_cps: number("max_cps", 100_000) }
    }

    /// `only`: the environments whose tables may hold it; a promotion to others leaves it behind.
    fn only(&mut self, section: &mut Section<'_>, id: &str) {
        const FORM: &str = "a list of environments, as in [\"sandbox\"]";
        let Some(found) = section.strings(self.report, ONLY, FORM) else { return };
        let place = section.value_span(ONLY);
        if found.is_empty() {
            self.report.error(place, "`only` names no environment").expected(FORM);
        } else if found.iter().all(|environment| environment.value != &**self.environment) {
            let environments = quoted(found.iter().map(|environment| environment.value));
            self.report
                .error(
                    place,
                    format!(
                        "`{id}` is for {environments} only, and this is the table of `{}`",
                        self.environment
                    ),
                )
                .help("remove the destination here; `baton promote` leaves it behind by itself");
        }
    }

    /// `require`: the place of its value if it asks for proof.
    fn require(&mut self, section: &mut Section<'_>) -> Option<Range<usize>> {
        const FORM: &str = "\"proven\"";
        let found = section.string(self.report, "require", FORM)?;
        if found.value == "proven" {
            return Some(found.span);
        }
        let note = self.report.error(found.span, format!("`{}` is no `require`", found.value)).expected(FORM);
        match nearest(found.value, ["proven"]) {
            Some(near) => note.help(format!("did you mean `{near}`?")),
            None => note.help("remove it to take what the receiver reports for the result"),
        };
        None
    }

    /// `method`, and where it is written.
    fn method(&mut self, section: &mut Section<'_>) -> Option<(Method, Option<Range<usize>>)> {
        const EXPECTED: &str = "one of `refer` (the default), `invite`, `attended`, `bye` or `redirect`";
        if !section.has("method") {
            return Some((Method::Refer, None));
        }
        let found = section.string(self.report, "method", EXPECTED)?;
        let method = Method::parse(found.value);
        if method.is_none() {
            self.report
                .error(found.span.clone(), format!("`{}` is no method", found.value))
                .expected(EXPECTED)
                .nearest(found.value, Method::ALL.map(Method::name));
        }
        Some((method?, Some(found.span)))
    }

    /// The method, reported if it cannot prove what `require` asks for.
    fn proven(
        &mut self,
        (method, written): (Method, Option<Range<usize>>),
        require: Option<&Range<usize>>,
    ) -> Method {
        if let Some(require) = require
            && !method.can_be_proven()
        {
            let default = if written.is_some() { "" } else { ", which is the default" };
            let message = format!("`require = \"proven\"` forbids method \"{}\"{default}", method.name());
            self.report
                .error(written.unwrap_or_else(|| require.clone()), message)
                .expected("method \"invite\" or \"attended\"")
                .help("choose one of them, or remove `require`");
        }
        method
    }

    fn route(&mut self, section: &mut Section<'_>) -> Option<Route> {
        let found = section.string(self.report, "route", ROUTE_FORM)?;
        match Route::parse(found.value) {
            Ok(route) => Some(route),
            Err(error) => {
                let help = self.in_full(&error).or_else(|| route_help(&error, found.value));
                let note = self.report.error(found.span, format!("`route`: {error}")).expected(ROUTE_FORM);
                if let Some(help) = help {
                    note.help(help);
                }
                None
            }
        }
    }

    /// A number without + as the countries of the trunks read it, where they agree.
    fn in_full(&self, error: &RouteError) -> Option<String> {
        let RouteError::Number(number) = error else { return None };
        let countries = &self.around?.countries;
        let mut read = countries.iter().map(|country| normalise(number, Some(country)));
        let first = read.next()?;
        (first.starts_with('+') && !number.starts_with('+') && read.all(|other| other == first))
            .then(|| format!("did you mean `{first}`?"))
    }

    fn trunk(&mut self, section: &mut Section<'_>) -> Option<Id> {
        let found = section.string(self.report, "trunk", "the id of a trunk")?;
        if let Some(trunks) = self.around
            && !trunks.ids.contains(found.value)
        {
            let known = || trunks.ids.iter().map(|id| &**id);
            self.report
                .error(found.span, format!("there is no trunk `{}`", found.value))
                .expected(format!("one of {}", quoted(known())))
                .nearest(found.value, known());
        }
        Some(found.value.into())
    }

    fn template(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<At<Template>> {
        let found = section.string(self.report, key, "a text, which may hold variables like $caller_id")?;
        let value = parse_template(self.report, found.value, &found.span)?;
        Some(At { value, span: found.span })
    }

    fn headers(&mut self, section: &mut Section<'a>, own: &str, places: &mut Places) -> Vec<HeaderTemplate> {
        let Some(table) = section.section(self.report, "headers") else { return Vec::new() };
        let mut headers: Vec<HeaderTemplate> = Vec::new();
        for (name, value) in table.entries() {
            let Some(text) = value.value.as_str() else {
                let note = self
                    .report
                    .error(
                        value.span,
                        format!("the header `{}` is {}", name.value, with_article(value.value)),
                    )
                    .expected("a text, which may hold variables like $caller_id");
                if let Some(help) = belongs(name.value, own) {
                    note.help(help);
                }
                continue;
            };
            if headers.len() >= headers::MAX_HEADERS {
                self.report.error(name.span, format!("more than {} headers", headers::MAX_HEADERS));
                break;
            }
            if headers.iter().any(|other| other.name().eq_ignore_ascii_case(name.value)) {
                self.report
                    .error(name.span.clone(), format!("the header `{}` is there twice", name.value))
                    .help("header names are the same in any case");
            }
            let Some(template) = parse_template(self.report, text, &value.span) else { continue };
            match HeaderTemplate::new(name.value, template) {
                Ok(header) => {
                    headers.push(header);
                    places.headers.push((name.span, value.span));
                }
                Err(HeaderError::Name(error)) => {
                    let note = self
                        .report
                        .error(name.span, format!("`{}`: {error}", name.value))
                        .expected("a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`");
                    if name.value == "default" {
                        note.help(
                            "`default` stands at the top of the file, before the first [destination.ID]",
                        );
                    } else if let Some(help) = belongs(name.value, own) {
                        note.help(help);
                    } else if error == NameError::NotCarried && name.value.len() > 2 {
                        note.help(format!("did you mean `{}`?", headers::carried(name.value)));
                    }
                }
                Err(error) => {
                    self.report.error(value.span, format!("the header `{}`: {error}", name.value));
                }
            }
        }
        headers
    }

    fn timeouts(&mut self, section: &mut Section<'a>, in_play: Option<&InPlay>) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let Some(mut table) = section.section(self.report, "timeouts") else { return timeouts };
        let mut read = |key, field: &mut Duration, shortest, longest| {
            if let Some(value) = table.duration(self.report, key, shortest, longest) {
                *field = value;
            }
        };
        let shortest = Duration::from_millis(100);
        read("response", &mut timeouts.response, shortest, Duration::from_secs(60));
        read("outcome", &mut timeouts.outcome, shortest, OUTCOME_CAP);
        read("ring", &mut timeouts.ring, shortest, Duration::from_secs(300));
        read("settle", &mut timeouts.settle, Duration::ZERO, Duration::from_secs(10));
        read("total", &mut timeouts.total, shortest, Duration::from_secs(900));
        let refers = in_play.is_none_or(|in_play| in_play.refers());
        if refers && timeouts.total < timeouts.response {
            self.report
                .error(table.key_span("total"), "`total` ends before `response` does")
                .expected("a `total` that is at least as long as each part");
        }
        let attends = in_play.is_some_and(InPlay::attends);
        if attends && table.contains("settle") && timeouts.total <= timeouts.settle {
            self.report
                .error(table.key_span("settle"), "`total` ends before `settle` does")
                .expected("a `total` that is at least as long as each part");
        }
        if let Some(in_play) = in_play {
            in_play.check_timeouts(self.report, &table);
        }
        table.finish(self.report);
        timeouts
    }

    /// The Reason of a BYE: a protocol and parameters (RFC 3326), without variables.
    fn reason(&mut self, section: &mut Section<'_>) -> Option<Arc<str>> {
        const FORM: &str = "a Reason like SIP;cause=200;text=\"Handoff\"";
        let found = section.string(self.report, "reason", FORM)?;
        let bytes = found.value.as_bytes();
        let end = bytes.iter().position(|b| *b == b';').unwrap_or(bytes.len());
        let (protocol, params) = bytes.split_at(end);
        let sound = grammar::is_token(protocol)
            && headers::check_value(found.value).is_ok()
            && Params::new(params).check(|_| ()).is_ok();
        if !sound {
            self.report.error(found.span, "`reason` is no value of a Reason header").expected(FORM);
            return None;
        }
        if found.value.contains('$') {
            self.report.error(found.span, "`reason` takes no variables").expected(FORM);
            return None;
        }
        Some(found.value.into())
    }
}

/// Where a key belongs that stands among the headers: in TOML whatever follows `[destination.X.headers]` is one of them.
fn belongs(key: &str, own: &str) -> Option<String> {
    const KEYS: [&str; 19] = [
        "name",
        "description",
        "method",
        "brief",
        "require",
        "route",
        "trunk",
        "caller_id",
        "rule",
        "on_failure",
        "undefined",
        "reason",
        "refer_to_host",
        "header_placement",
        "referred_by",
        "notify_200",
        "ask_return",
        "limits",
        "timeouts",
    ];
    if KEYS.contains(&key) {
        return Some(format!(
            "`{key}` is a key of the destination: put it above [destination.{own}.headers]"
        ));
    }
    ["response", "outcome", "ring", "settle", "total"]
        .contains(&key)
        .then(|| format!("`{key}` belongs under [destination.{own}.timeouts]"))
}

const ROUTE_FORM: &str = "a number like \"+14155550123\", a `sip:` or a `tel:` URI";

fn route_help(error: &RouteError, text: &str) -> Option<String> {
    Some(match error {
        RouteError::Variable => "a `$` in a URI is written %24".to_owned(),
        RouteError::Unknown(_) if text.starts_with('+') && text.contains(['X', 'x']) => {
            "the X stand for digits: put the number itself here".to_owned()
        }
        RouteError::Number(_) if !text.starts_with('+') => {
            "with its country's code if it is a number, or as a URI like sip:100@pbx.example.com if it is an extension"
                .to_owned()
        }
        RouteError::Address(AddressError::Headers) => {
            "headers go into the destination's `headers` table; `header_placement` says where they stand".to_owned()
        }
        RouteError::Address(AddressError::Malformed(_)) if text.starts_with("sip:") && !text.contains('@') => {
            "a user part stands before a host: sip:100@pbx.example.com".to_owned()
        }
        RouteError::Address(AddressError::Tls) => "use `sip:` with udp or tcp".to_owned(),
        RouteError::Address(AddressError::Password) => {
            "a REFER shows it to everyone on the way; credentials belong to the trunk's `auth`".to_owned()
        }
        RouteError::Unknown(name) if name.contains('@') && Route::parse(&format!("sip:{name}")).is_ok() => {
            format!("did you mean `sip:{name}`?")
        }
        RouteError::Unknown(name) => format!("an extension is a URI like sip:{}@pbx.example.com", headers::user_part(name)),
        _ => return None,
    })
}

/// Reads a template and reports its fault at its place inside the string, where that can be told.
fn parse_template(report: &mut Report<'_>, text: &str, span: &Range<usize>) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => {
            for part in template.parts() {
                if let Part::Value { source: From::Variable(name), .. } = part
                    && let Some(meant) = misspelt_built_in(name)
                {
                    report
                        .warn(span.clone(), format!("`${name}` is not built in: a decision has to bring it"))
                        .help(format!("did you mean `${meant}`?"));
                }
            }
            Some(template)
        }
        Err(TemplateError { offset, length, kind }) => {
            // Only a string without escapes stands in the file as it reads: quote, text, quote.
            let plain = span.len() == text.len() + 2;
            let place =
                if plain { span.start + 1 + offset..span.start + 1 + offset + length } else { span.clone() };
            report
                .error(place, format!("{kind}"))
                .expected("$name, ${name}, ${name:-fallback}, ${header.X-Name}, or $$ for a dollar");
            None
        }
    }
}

//! What is allowed and doubtful all the same: warnings about a table that has no error. Each looks at every destination
//! once; what only one destination or a step can tell is warned of where that is read.

use std::collections::BTreeMap;
use std::ops::Range;

use super::chains::Row;
use crate::routing::Id;
use crate::routing::explain;
use crate::routing::file::Report;
use crate::routing::profile::{Belief, Limits, Receiver};
use crate::routing::rules::condition::Condition;
use crate::routing::table::rule::Then;
use crate::routing::table::{Destination, Method, Route};
use crate::routing::template::{Part, Source, Template, is_built_in};
use crate::routing::topology::Surroundings;
use crate::sip::transaction::UDP_LIMIT;

/// Warns of all of it.
pub(super) fn lint(report: &mut Report<'_>, rows: &[Row], around: &Surroundings) {
    let mut names = Names::default();
    let mut variables = Names::default();
    let mut routes: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for row in rows {
        let Row { destination, places, .. } = row;
        numbers(report, row, around);
        if let (Some(route), Some(place)) = (&destination.route, &places.route) {
            duplicate(report, &mut routes, destination, route, place);
            unembeddable(report, destination, route, place, around);
        }
        for (header, (name, value)) in destination.headers.iter().zip(&places.headers) {
            names.note(header.name(), name);
            variables.note_template(header.template(), value);
            charset(report, header.name(), header.template(), value);
            braces(report, header.template(), value);
        }
        if let (Some(template), Some(place)) = (&destination.caller_id, &places.caller_id) {
            variables.note_template(template, place);
        }
        for (place, condition) in &places.conditions {
            condition.names().filter(|name| !is_built_in(name)).for_each(|name| variables.note(name, place));
        }
        size(report, row, around);
        limits(report, row, around);
    }
    unproven(report, rows, around);
    for row in rows {
        for (place, condition) in &row.places.conditions {
            unquoted(report, place, condition, &variables);
        }
    }
    let slips = names.slips();
    for Row { destination, places, .. } in rows {
        for (header, (name, _)) in destination.headers.iter().zip(&places.headers) {
            if slips.iter().all(|slip| slip.place != *name) {
                unlike_its_variable(report, header.name(), header.template(), name);
            }
        }
    }
    for slip in slips {
        let message = format!("the header `{}` is written nowhere else", slip.name);
        report.warn(slip.place, message).help(format!("did you mean `{}`, as in the others?", slip.meant));
    }
    for slip in variables.slips() {
        let message = format!("the variable `{}` is used nowhere else", slip.name);
        report.warn(slip.place, message).help(format!("did you mean `{}`, as in the others?", slip.meant));
    }
}

/// A word that has lost its quotes: `language == es` asks whether two variables are equal, as they are where both are
/// undefined. A variable that stands nowhere else is taken for one.
fn unquoted(report: &mut Report<'_>, place: &Range<usize>, condition: &Condition, variables: &Names) {
    if let Some(word) = condition.words().find(|word| !is_built_in(word) && variables.count(word) == 1) {
        let message = format!("`{word}` is a variable here, empty unless a decision brings it");
        let help =
            format!("if the word itself is meant, it stands in quotes: \"{word}\" in a `when` between '…'");
        report.warn(place.clone(), message).help(help);
    }
}

/// Numbers that nobody can have.
fn numbers(report: &mut Report<'_>, row: &Row, around: &Surroundings) {
    let Some(doubt) = around.doubt else { return };
    let Row { destination, places, .. } = row;
    let set = destination.rules.iter().filter_map(|rule| match &rule.then {
        Then::Instead(variant) => variant.route.as_ref().filter(|_| variant.route != destination.route),
        Then::Itself | Then::Use(_) => None,
    });
    let own = destination.route.iter().zip(&places.route);
    for (route, place) in own.chain(set.zip(&places.routes_of_rules)) {
        let number = match route {
            Route::E164(number) | Route::Tel { number, .. } => Some(&**number),
            Route::Sip(address) => address.user.as_deref(),
        };
        if let Some(number) = number.filter(|number| number.starts_with('+'))
            && let Some(why) = doubt(number)
        {
            report.warn(place.clone(), format!("`{number}` {why}")).help(
                "see whether a digit is missing or wrong; an extension is a URI like sip:100@pbx.example.com",
            );
        }
    }
    let shown = destination.caller_id.as_ref().map(Template::text).filter(|text| text.starts_with('+'));
    if let (Some(number), Some(place)) = (shown, &places.caller_id)
        && let Some(why) = doubt(number)
    {
        let help = "targets and carriers refuse or hide a number that nobody has";
        report.warn(place.clone(), format!("`{number}` {why}")).help(help);
    }
}

/// A second destination with the same route and method: an agent that names the URI means the first of both.
fn duplicate<'r>(
    report: &mut Report<'_>,
    routes: &mut BTreeMap<(&'r str, &'r str), &'r str>,
    destination: &'r Destination,
    route: &'r Route,
    place: &Range<usize>,
) {
    if !destination.method.needs_route() {
        return;
    }
    let key = (destination.method.name(), route.text());
    match routes.get(&key) {
        Some(other) => {
            let message = format!("`{other}` has the same route and method");
            let help = format!(
                "by SIP, an agent that names this route means `{other}`; use one of both, or name ids"
            );
            report.warn(place.clone(), message).help(help);
        }
        None => {
            routes.insert(key, &destination.id);
        }
    }
}

/// Headers that the trunk wants inside the Refer-To URI, and a `tel:` URI, which has none.
fn unembeddable(
    report: &mut Report<'_>,
    destination: &Destination,
    route: &Route,
    place: &Range<usize>,
    around: &Surroundings,
) {
    let refers = matches!(destination.method, Method::Refer | Method::Redirect);
    if !refers || destination.headers.is_empty() || !matches!(route, Route::Tel { .. }) {
        return;
    }
    if destination.overrides.header_placement.is_some() {
        return;
    }
    if let Some(trunk) = around.embedding.first() {
        let message = format!(
            "the trunk `{trunk}` wants the headers inside the Refer-To URI, and a `tel:` URI cannot carry any"
        );
        report
            .warn(place.clone(), message)
            .help("they will stand on the request; write the number as it is, or as a `sip:` URI");
    }
}

/// Text that is more than ASCII: SIP allows it as UTF-8, and many receivers drop or garble it.
fn charset(report: &mut Report<'_>, name: &str, template: &Template, place: &Range<usize>) {
    let literal = |part: &Part| match part {
        Part::Literal(text) => !text.is_ascii(),
        Part::Value { fallback, .. } => fallback.as_deref().is_some_and(|text| !text.is_ascii()),
    };
    if template.parts().iter().any(literal) {
        report
            .warn(place.clone(), format!("the header `{name}` holds letters that are not ASCII"))
            .help("many receivers drop or garble them: write them without accents, or as a code");
    }
}

/// A header that is named like the variable that it carries but for a slip: `X-Caler-ID = "$caller_id"`.
fn unlike_its_variable(report: &mut Report<'_>, name: &str, template: &Template, place: &Range<usize>) {
    let [Part::Value { source: Source::Variable(variable), .. }] = template.parts() else { return };
    let Some(bare) = name.get(2..).filter(|_| is_built_in(variable)) else { return };
    let bare = bare.to_ascii_lowercase().replace('-', "_");
    // More than one is another word.
    if is_slip(&bare, variable) && bare.strip_suffix('s') != Some(variable) {
        let message = format!("the header `{name}` is named otherwise than what it carries, `${variable}`");
        report.warn(place.clone(), message).help(format!("did you mean `{}`?", header_of(variable)));
    }
}

/// How a header is usually named that carries a variable: `X-Caller-ID`.
fn header_of(variable: &str) -> String {
    // Names of built-ins: ASCII, and no word of them is empty.
    let word = |word: &str| match word {
        "id" => "-ID".to_owned(),
        other => format!("-{}{}", other[..1].to_ascii_uppercase(), &other[1..]),
    };
    variable.split('_').map(word).fold("X".to_owned(), |name, word| name + &word)
}

/// Other systems' way to write a variable.
fn braces(report: &mut Report<'_>, template: &Template, place: &Range<usize>) {
    let name = |part: &Part| match part {
        Part::Literal(text) => text.split('{').skip(1).find_map(|rest| {
            let name = rest.split_once('}')?.0.trim();
            is_built_in(name).then(|| name.to_owned())
        }),
        Part::Value { .. } => None,
    };
    if let Some(name) = template.parts().iter().find_map(name) {
        report
            .warn(place.clone(), format!("`{{{name}}}` is sent as it stands"))
            .help(format!("a variable is written ${name}, or ${{{name}:-fallback}}"));
    }
}

/// What a REFER or INVITE takes without the headers of a handoff, in bytes: measured, with the names of a usual network.
const BARE: usize = 650;

/// What a variable is taken to bring where nobody knows, in bytes.
const USUAL: usize = 16;

/// How long a value is likely to be, in bytes.
fn usual_length(template: &Template) -> usize {
    let part = |part: &Part| match part {
        Part::Literal(text) => text.len(),
        Part::Value { fallback, .. } => USUAL.max(fallback.as_deref().map_or(0, str::len)),
    };
    template.parts().iter().map(part).sum()
}

/// A request over 1300 bytes does not go by UDP (RFC 3261 §18.1.1).
fn size(report: &mut Report<'_>, row: &Row, around: &Surroundings) {
    let Row { destination, places, .. } = row;
    let Some((first, _)) = places.headers.first() else { return };
    let headers = destination.headers.iter();
    let headers: usize =
        headers.map(|header| header.name().len() + usual_length(header.template()) + 4).sum();
    if around.by_udp && BARE + headers > UDP_LIMIT {
        let message = format!(
            "with these headers a request takes about {} bytes; over {UDP_LIMIT} it does not go by UDP",
            BARE + headers
        );
        report
            .warn(first.clone(), message)
            .help("send less, or reach the trunk by TCP: `;transport=tcp` in its `address`, and tcp in `sip.listen`");
    }
}

/// More than a receiver takes: as the destination says, else as the trunks do.
fn limits(report: &mut Report<'_>, row: &Row, around: &Surroundings) {
    let Row { destination, places, .. } = row;
    let Some((first, _)) = places.headers.first() else { return };
    let headers =
        destination.headers.iter().map(|header| (&**header.name(), usual_length(header.template())));
    let mut warn = |limits: &Limits, whose: String| {
        for what in limits.exceeded_by(headers.clone()) {
            report.warn(first.clone(), what).help(format!("send less, or mend `limits` of {whose}"));
        }
    };
    match &destination.overrides.limits {
        Some(own) => warn(own, format!("[destination.{}]", destination.id)),
        None => around.limits.iter().for_each(|(trunk, limits)| warn(limits, format!("[trunk.{trunk}]"))),
    }
}

/// Blind REFERs to a receiver whose 200 proves nothing, as a trunk or a destination says. One warning for the table.
fn unproven(report: &mut Report<'_>, rows: &[Row], around: &Surroundings) {
    let named = |row: &&Row| {
        let refers =
            |(_, belief): &&(Id, Belief)| row.destination.refers_unproven(*belief, Receiver::default());
        around.beliefs.iter().find(refers)
    };
    let mut found = rows.iter().filter(|row| named(row).is_some());
    let Some((row, (trunk, belief))) = found.next().and_then(|row| Some((row, named(&row)?))) else { return };
    let others = found.count();
    let id = &row.destination.id;
    let mut message = format!("`{id}`: {}", explain::blind(belief.receiver(Receiver::default())));
    if others > 0 {
        message.push_str(&format!("; the same goes for {others} more"));
    }
    let place = row.places.route.clone().unwrap_or(row.place..row.place + id.len());
    report.warn(place, message).help(format!(
        "a NOTIFY 200 proves nothing there (by the trunk `{trunk}`, or by `notify_200`): a handoff by `refer` ends as `unknown`"
    ));
}

/// Names with how often they are written and where first.
#[derive(Default)]
struct Names(BTreeMap<Box<str>, (Box<str>, usize, Range<usize>)>);

struct Slip {
    name: Box<str>,
    meant: Box<str>,
    place: Range<usize>,
}

/// Of so many different names, each is compared with each.
const MOST_NAMES: usize = 1000;

impl Names {
    fn note(&mut self, name: &str, place: &Range<usize>) {
        let key = name.to_ascii_lowercase().into();
        self.0.entry(key).or_insert_with(|| (name.into(), 0, place.clone())).1 += 1;
    }

    fn count(&self, name: &str) -> usize {
        self.0.get(&*name.to_ascii_lowercase()).map_or(0, |(_, count, _)| *count)
    }

    fn note_template(&mut self, template: &Template, place: &Range<usize>) {
        for part in template.parts() {
            if let Part::Value { source: Source::Variable(name), .. } = part
                && !is_built_in(name)
            {
                self.note(name, place);
            }
        }
    }

    /// Names that are written once and differ by a slip of the finger from one that is written more often.
    fn slips(self) -> Vec<Slip> {
        if self.0.len() > MOST_NAMES {
            return Vec::new();
        }
        let often: Vec<(&str, &str)> = self
            .0
            .iter()
            .filter(|(_, (_, count, _))| *count > 1)
            .map(|(key, (written, ..))| (&**key, &**written))
            .collect();
        let once = self.0.iter().filter(|(_, (_, count, _))| *count == 1);
        let slips = once.filter_map(|(key, (written, _, place))| {
            let (_, meant) = often.iter().find(|(other, _)| is_slip(key, other))?;
            Some(Slip { name: written.clone(), meant: (*meant).into(), place: place.clone() })
        });
        slips.collect()
    }
}

/// Whether one was probably meant to be the other: a letter more, less, other or in another place. `line_1` and `line_2`
/// are two names.
fn is_slip(name: &str, other: &str) -> bool {
    let letters = |text: &str| -> String { text.chars().filter(|c| !c.is_ascii_digit()).collect() };
    name.len().abs_diff(other.len()) <= 1
        && name.len() >= 6
        && letters(name) != letters(other)
        && strsim::damerau_levenshtein(name, other) == 1
}

//! `address = "rehearsal:front-desk?after=2s"`: an agent inside Baton.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use super::super::Rehearsal;
use crate::routing::address::Address;
use crate::routing::duration;
use crate::routing::file::{At, Report, Section};

/// What such an address begins with.
pub(super) const SCHEME: &str = "rehearsal:";
const FORM: &str = "\"rehearsal:DESTINATION\", or \"rehearsal:DESTINATION?after=2s\"";
/// How long it talks where nothing is said.
const AFTER: Duration = Duration::from_secs(2);
/// How long it may talk at most.
const LONGEST_TALK: Duration = Duration::from_secs(5 * 60);
/// Keys that mean nothing for an agent inside Baton, and why.
const MEANINGLESS: [(&str, &str); 2] = [
    ("accept_from", "nobody else than itself sends for it"),
    ("may_route", "it names its destination and nothing else"),
];

/// The address, if it is one of these.
pub(super) fn written<'a>(section: &mut Section<'a>) -> Option<&'a str> {
    section.take("address")?.value.as_str().filter(|text| text.starts_with(SCHEME))
}

/// Reads it. Gives the place of its destination, too.
pub(super) fn read(
    text: &str,
    section: &Section<'_>,
    report: &mut Report<'_>,
) -> Option<(Rehearsal, Range<usize>)> {
    for (key, why) in MEANINGLESS {
        if section.contains(key) {
            report
                .error(section.key_span(key), format!("`{key}` does not apply to a rehearsal agent"))
                .help(format!("remove it: {why}"));
        }
    }
    let whole = section.value_span("address");
    // Escapes in the string would make its places differ from those of the text.
    let plain = whole.len() == text.len() + 2;
    let place = |part: &str, from: usize| match plain {
        true => whole.start + 1 + from..whole.start + 1 + from + part.len(),
        false => whole.clone(),
    };
    let rest = &text[SCHEME.len()..];
    let (destination, parameters) = rest.split_once('?').map_or((rest, None), |(d, p)| (d, Some(p)));
    if destination.is_empty() {
        report.error(whole, "`address` names no destination to which the callers go").expected(FORM);
        return None;
    }
    let mut after = None;
    let mut from = SCHEME.len() + destination.len() + 1;
    for parameter in parameters.into_iter().flat_map(|all| all.split('&')) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name != "after" || after.is_some() {
            let what =
                if name == "after" { "is there twice" } else { "is no parameter of a rehearsal agent" };
            report
                .error(place(parameter, from), format!("`{name}` {what}"))
                .expected(FORM)
                .nearest(name, ["after"].into_iter().filter(|_| name != "after"));
            return None;
        }
        after = Some(read_after(At { value, span: place(value, from + name.len() + 1) }, report)?);
        from += parameter.len() + 1;
    }
    let rehearsal = Rehearsal { destination: destination.into(), after: after.unwrap_or(AFTER) };
    Some((rehearsal, place(destination, SCHEME.len())))
}

fn read_after(written: At<&str>, report: &mut Report<'_>) -> Option<Duration> {
    match duration::parse(written.value) {
        Ok(after) if after <= LONGEST_TALK => return Some(after),
        Ok(_) => report
            .error(written.span, "`after` is out of range")
            .expected(format!("at most \"{}\"", duration::format(LONGEST_TALK))),
        Err(error) => report.error(written.span, format!("`after`: {error}")).expected(duration::FORM),
    };
    None
}

/// Where it is until the daemon has opened its socket: nowhere (RFC 863).
pub(super) fn nowhere(id: &str) -> Address {
    Address::at(id, SocketAddr::from((Ipv4Addr::LOCALHOST, 9)))
}

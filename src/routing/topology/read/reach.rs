//! Reads where a trunk or an agent is heard from and how it is reached: its sources, how long it may be silent, long requests, Contacts that lead nowhere.

use std::time::Duration;

use super::SHORTEST;
use crate::routing::file::{At, Report, Section};
use crate::routing::net::IpNet;
use crate::sip::leg::reach::{Contact, Large, Reach};
use crate::sip::leg::tries::Patience;

/// What silence may be at most: 64·T1, when an INVITE without a response is over (RFC 3261 §17.1.1.2, Timer B).
const LONGEST_SILENCE: Duration = crate::sip::timing::T1X64;

/// `first_response` and `failover_after`: how long an INVITE may be without any response.
pub(super) fn patience(section: &mut Section<'_>, report: &mut Report<'_>) -> Patience {
    let usual = Patience::default();
    let failover = section.duration(report, "failover_after", SHORTEST, LONGEST_SILENCE);
    let failover_after = failover.unwrap_or(usual.failover_after);
    Patience { failover_after, first_response: first_response(section, report) }
}

/// `large` and `contact`: how a peer is reached.
pub(super) fn reach(section: &mut Section<'_>, report: &mut Report<'_>) -> Reach {
    let large = section.choice(report, "large", &[("tcp", Large::Tcp), ("udp", Large::Udp)]);
    let contacts = [("dialog", Contact::Dialog), ("source", Contact::Source)];
    let contact = section.choice(report, "contact", &contacts);
    Reach { large: large.unwrap_or_default(), contact: contact.unwrap_or_default() }
}

pub(super) fn first_response(section: &mut Section<'_>, report: &mut Report<'_>) -> Duration {
    let found = section.duration(report, "first_response", SHORTEST, LONGEST_SILENCE);
    found.unwrap_or(Patience::default().first_response)
}

/// `accept_from`: the sources that are a trunk or an agent; `None`: what its address resolves to.
pub(super) fn accept_from(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Vec<At<IpNet>>> {
    const FORM: &str = "a list of addresses and networks like [\"10.0.0.0/24\", \"2001:db8::5\"]";
    let list = section.strings(report, "accept_from", FORM)?;
    if list.is_empty() {
        report
            .error(section.key_span("accept_from"), "an empty `accept_from` accepts nobody")
            .help("remove it to accept what `address` resolves to");
    }
    let mut nets = Vec::new();
    for entry in list {
        match entry.value.parse() {
            Ok(value) => nets.push(At { value, span: entry.span }),
            Err(error) => {
                report.error(entry.span, format!("`accept_from`: {error}")).expected(FORM);
            }
        }
    }
    Some(nets)
}

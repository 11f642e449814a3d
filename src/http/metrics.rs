//! `/metrics`: the counters of engines and network in the text format of Prometheus. Names begin with `baton_`, units are
//! base units, labels take their values from fixed lists: never a call, a number or an address.

use super::Api;
use super::problem::Problem;
use crate::call::counters::{Counters, RefusalKind};
use crate::call::record::HandoffState;
use crate::routing::explain::Cause;
use crate::routing::table::Method;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];

/// `GET /metrics`
pub(super) async fn scrape(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let counters = api.shards.counters().await?;
    let mut text = Exposition::default();
    process(&mut text, &api);
    calls(&mut text, &counters);
    handoffs(&mut text, &counters);
    messages(&mut text, &counters);
    network(&mut text, &api);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response())
}

/// The text that is being written.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP baton_{name} {help}\n# TYPE baton_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let _ = write!(self.0, "baton_{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) {
        self.family(name, "counter", help);
        let _ = writeln!(self.0, "baton_{name} {}.{:03}", value.as_secs(), value.subsec_millis());
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "counter", help);
        for (text, value) in values {
            self.sample(name, &[(label, text)], *value);
        }
    }
}

fn by<const N: usize>(names: [&'static str; N], values: &[u64; N]) -> Vec<(&'static str, u64)> {
    names.into_iter().zip(values.iter().copied()).collect()
}

fn process(text: &mut Exposition, api: &Api) {
    text.family("build_info", "gauge", "Always 1; the version stands in the label.");
    text.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge("shards", "Engines, one thread each.", api.shards.count() as u64);
    let tables = Arc::clone(&api.tables.borrow());
    text.gauge(
        "configuration_serial",
        "Number of the state of tables, trunks and agents in force.",
        tables.serial,
    );
    text.gauge(
        "configuration_degraded",
        "1 while something that stands in the files is not in force: a fault, or for want of a restart.",
        api.not_in_force.borrow().said().is_some().into(),
    );
    text.family("table_version", "gauge", "Version of the table in force.");
    for (environment, table) in &tables.environments {
        text.sample("table_version", &[("environment", environment)], table.version);
    }
    text.family("table_destinations", "gauge", "Destinations in the table in force.");
    for (environment, table) in &tables.environments {
        text.sample("table_destinations", &[("environment", environment)], table.destinations.len() as u64);
    }
    text.gauge("http_connections", "Connections to the API.", api.doors.taken());
    text.counter(
        "http_connections_crowded_total",
        "Connections to the API beyond the bound, on which only the probes were answered.",
        api.doors.turned_away(),
    );
    text.counter(
        "http_connections_displaced_total",
        "Silent connections to the API that were closed because others wanted their places.",
        api.doors.displaced(),
    );
    text.gauge(
        "versions_available",
        "1 while the versions of tables can be read and written.",
        api.versions.is_available().into(),
    );
    text.counters(
        "table_versions_total",
        "Versions of tables accepted, by where they came from.",
        "origin",
        &api.versions.counts(),
    );
    let pulses = api.shards.pulses();
    let turns = pulses.iter().map(|pulse| pulse.turns()).sum();
    text.counter("turns_total", "Turns of the shards' loops.", turns);
    let standstills = api.shards.standstills();
    text.counter(
        "standstills_total",
        "Times in which the process stood still for more than 0.5 s: stopped, frozen, suspended or without CPU.",
        standstills.count(),
    );
    text.seconds("standstill_seconds_total", "How long it stood still in all.", standstills.lasted());
    let panics = pulses.iter().map(|pulse| pulse.panics()).sum();
    text.counter("shard_faults_total", "Faults that the engine could not confine to a call.", panics);
    text.counter(
        "log_lines_lost_total",
        "Log lines that standard error did not take, or not in time.",
        api.lost.lines.read(),
    );
    text.counters(
        "records_lost_total",
        "Records of ended calls that were not written.",
        "reason",
        &[("no_room", api.lost.records.read()), ("not_written", api.lost.records_failed.read())],
    );
}

fn calls(text: &mut Exposition, counters: &Counters) {
    text.gauge("calls", "Live calls.", counters.calls_live);
    text.counter("calls_started_total", "INVITEs admitted.", counters.calls_started);
    text.counter("calls_answered_total", "Caller legs answered.", counters.calls_answered);
    text.counter("calls_ended_total", "Calls over.", counters.calls_ended);
    let refused = by(RefusalKind::ALL.map(RefusalKind::name), &counters.calls_refused);
    text.counters("calls_refused_total", "INVITEs of known sources not admitted.", "reason", &refused);
    text.counter("call_faults_total", "Calls that a fault of Baton cost.", counters.faults);
    text.gauge("deadlines", "Armed deadlines.", counters.deadlines);
}

fn handoffs(text: &mut Exposition, counters: &Counters) {
    text.gauge("handoffs", "Running handoffs.", counters.handoffs_live);
    text.counter("handoffs_started_total", "Handoffs decided.", counters.handoffs_started);
    let ends = HandoffState::ALL.into_iter().filter(|state| state.is_final());
    let ended: Vec<_> = ends.map(|state| (state.as_str(), counters.handoffs_ended[state.index()])).collect();
    text.counters("handoffs_ended_total", "Handoffs over, by their final state.", "state", &ended);
    text.counter("callers_hurt_total", "Callers lost by a handoff.", counters.callers_hurt);
    let attempts = by(Method::ALL.map(Method::name), &counters.attempts);
    text.counters("attempts_total", "Attempts started.", "method", &attempts);
    text.family("attempts_failed_total", "counter", "Attempts failed.");
    for (method, causes) in Method::ALL.into_iter().zip(&counters.attempts_failed) {
        for (cause, value) in Cause::ALL.into_iter().zip(causes) {
            let labels = [("method", method.name()), ("cause", cause.name())];
            text.sample("attempts_failed_total", &labels, *value);
        }
    }
    text.counter(
        "headers_left_out_total",
        "Headers left out for an undefined variable or a value that cannot stand there.",
        counters.headers_left_out,
    );
}

fn messages(text: &mut Exposition, counters: &Counters) {
    let directions = [("in", counters.messages_in), ("out", counters.messages_out)];
    text.counters("sip_messages_total", "SIP messages.", "direction", &directions);
    text.counter(
        "sip_messages_malformed_total",
        "Messages that cannot be read.",
        counters.messages_malformed,
    );
    text.counter(
        "sip_messages_unknown_source_total",
        "Requests from neither trunk nor agent, dropped.",
        counters.messages_unknown_source,
    );
    text.counter(
        "sip_messages_strange_source_total",
        "Messages of a call whose source may not speak in it, dropped.",
        counters.messages_strange_source,
    );
    text.gauge(
        "sip_server_transactions",
        "Requests of peers that are remembered for their copies.",
        counters.transactions,
    );
    text.counter(
        "sip_requests_turned_away_total",
        "Requests for which there was no place, answered without state.",
        counters.requests_turned_away,
    );
    text.counter(
        "log_statuses_untold_total",
        "Failures without a line of their own, because there were too many.",
        counters.statuses_untold,
    );
    text.family("sip_responses_total", "counter", "SIP responses by class.");
    for (direction, values) in [("in", &counters.responses_in), ("out", &counters.responses_out)] {
        for (class, value) in CLASSES.iter().zip(values) {
            text.sample("sip_responses_total", &[("direction", direction), ("class", class)], *value);
        }
    }
    text.counter("sip_sends_failed_total", "Sends that the network gave back.", counters.sends_failed);
}

fn network(text: &mut Exposition, api: &Api) {
    let counts = &api.counts;
    text.counters(
        "datagrams_total",
        "UDP datagrams.",
        "direction",
        &[("in", counts.datagrams_in.read()), ("out", counts.datagrams_out.read())],
    );
    text.counters(
        "datagrams_unsent_total",
        "UDP datagrams that did not leave.",
        "reason",
        &[("no_room", counts.datagrams_dropped.read()), ("refused", counts.datagrams_failed.read())],
    );
    text.counter(
        "queue_dropped_total",
        "Messages that the owning shard had no room for.",
        counts.queue_dropped.read(),
    );
    text.gauge("connections", "Open stream connections.", api.connections.len() as u64);
    text.counters(
        "connections_total",
        "Stream connections.",
        "opened_by",
        &[("peer", counts.accepted.read()), ("baton", counts.opened.read())],
    );
    text.counter(
        "connections_failed_total",
        "Connections that could not be opened.",
        counts.connect_failed.read(),
    );
    text.counters(
        "connections_refused_total",
        "Connections closed at once.",
        "reason",
        &[("unknown_source", counts.refused_unknown.read()), ("full", counts.refused_full.read())],
    );
    text.counters(
        "connections_closed_total",
        "Connections closed by Baton.",
        "reason",
        &[
            ("idle", counts.closed_idle.read()),
            ("slow", counts.closed_slow.read()),
            ("full", counts.closed_full.read()),
            ("framing", counts.closed_framing.read()),
        ],
    );
    text.counter("dns_lookups_total", "Names looked up.", counts.lookups.read());
    text.counter("dns_lookups_failed_total", "Names that gave no address.", counts.lookups_failed.read());
    text.counter(
        "dns_lookups_refused_total",
        "Names that were not looked up because there was no place for their trunk or agent.",
        counts.lookups_refused.read(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_help_and_type_once_and_every_sample_a_family() {
        let mut text = Exposition::default();
        let counters = Counters { calls_live: 3, ..Counters::default() };
        calls(&mut text, &counters);
        handoffs(&mut text, &counters);
        messages(&mut text, &counters);
        text.sample("calls", &[("x", "a\"b\\c\nd")], 1);
        assert!(text.0.contains("\nbaton_calls 3\n"));
        assert!(text.0.ends_with("baton_calls{x=\"a\\\"b\\\\c\\nd\"} 1\n"));
        let mut families = std::collections::BTreeSet::new();
        for line in text.0.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(families.insert(rest.split(' ').next().unwrap().to_owned()), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(families.contains(name), "{line}");
            }
        }
    }
}

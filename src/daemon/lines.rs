//! The log line of an event.

use crate::call::end_reason::EndReason;
use crate::call::event::{Event, EventKind, Next, Why};
use crate::call::record::{AttemptView, CallRecord, CallView, Goodbye, HandoffView, Role};
use crate::call::test_call::TestCallView;
use crate::observe::line::{Level, Line};
use crate::sip::Origin;
use crate::sip::leg::reach::Advice;
use crate::wire::reason_phrase;

/// Where the end of a drain has met a caller who was still here.
const CUT_OFF: &str =
    "the grace was over and Baton ends: the caller was hung up; a longer `sip.drain` loses fewer";
/// What to look at where a request could not be sent.
const NO_STREAM: &str = "a request over 1300 bytes waited 1 s for TCP, and went by UDP; so do those of the next 10 minutes. Where the peer takes no TCP, set `large = \"udp\"` there";
const PRIVATE_CONTACT: &str = "its Contact is a private address, but it is heard from a public one: a NAT stands between. If requests inside its calls do not arrive, set `contact = \"source\"` there";
const UNDELIVERED: &str = "the peer's Contact or route set leads where nothing listens: see `net.connect_failed`, and what its Contact says";

/// The line of an event: the whole mapping.
pub fn line_of(event: &Event) -> Line {
    let line = match &event.what {
        EventKind::CallStarted(call) => call_started(call),
        EventKind::CallAnswered { call, by } => {
            Line::info("call.answered").text("call", call).text("by", by.as_str())
        }
        EventKind::CallEnded(record) => call_ended(record),
        EventKind::LegBye { call, role, goodbye, sip_call_id } => leg_bye(call, *role, goodbye, sip_call_id),
        EventKind::LegLost { call, role, status, origin, reason, next } => {
            let line = Line::warn("leg.lost").text("call", call).text("leg", role.as_str());
            // Where nobody has said a word there is no status that anybody has said.
            let line = if reason.is_some() { line } else { line.number("status", *status) };
            let line = line.quoted("reason", *reason);
            line.text("origin", origin_word(*origin)).text("next", next.to_string())
        }
        EventKind::LegSilent { call, role, sip_call_id } => Line::warn("leg.silent")
            .text("call", call)
            .text("leg", role.as_str())
            .quoted("hint", Some("a request inside the dialog and the OPTIONS that checked it were not answered, which may only mean that the other side ignores both; the leg stays, until its session expires or something better is known"))
            .quoted("sip_call_id", Some(sip_call_id)),
        EventKind::Advice { call, role, party, peer, advice } => {
            let line = advised(*advice).text("call", call).text("leg", role.as_str());
            line.text(section_of(*role), party).text("peer", peer).quoted("hint", Some(hint_of(*advice)))
        }
        EventKind::KeepaliveIgnored { call, role, party } => Line::warn("keepalive.ignored")
            .text(section_of(*role), party)
            .text("call", call)
            .quoted("hint", Some("it answers no OPTIONS inside its calls, so that one that died there is not noticed; let it answer them, or set keepalive = \"0s\" for it")),
        EventKind::HandoffStarted(handoff) => handoff_line(Line::info("handoff.started"), handoff)
            .quoted("reason", handoff.reason.as_deref())
            .number("table_version", handoff.table_version)
            .some("rules", rules(handoff).as_deref()),
        EventKind::HandoffProgress { call, handoff, state, status } => {
            let line = Line::info("handoff.progress").text("call", call).text("handoff", handoff);
            with_status(line.text("state", *state), *status)
        }
        EventKind::AttemptFailed { call, handoff, environment, trunk, peer, number, attempt, next, hint } => {
            let line = Line::warn("handoff.attempt_failed").text("call", call).text("handoff", handoff);
            let line = line.text("environment", environment).text("trunk", trunk);
            attempt_failed(line, *number, attempt, next, hint).some("peer", peer.as_deref())
        }
        EventKind::Unproven { call, handoff, environment, trunk, peer, number, attempt, next, hint } => {
            let line = Line::warn("handoff.unproven").text("call", call).text("handoff", handoff);
            let line = line.text("environment", environment).text("trunk", trunk);
            attempt_failed(line, *number, attempt, next, hint).some("peer", peer.as_deref())
        }
        EventKind::RefersUnproven { trunk, receiver, hint } => Line::warn("trunk.refer_unproven")
            .text("trunk", trunk)
            .quoted("receiver", Some(receiver))
            .quoted("hint", Some(hint)),
        EventKind::AttemptResumed { call, handoff, number, attempt } => {
            attempt_resumed((call, handoff), *number, attempt)
        }
        EventKind::HandoffEnded { handoff, caller_hurt } => handoff_ended(handoff, *caller_hurt),
        EventKind::Undefined { call, handoff, header, why } => Line::warn("handoff.header_left_out")
            .text("call", call)
            .text("handoff", handoff)
            .text("header", header)
            .quoted("reason", Some(why)),
        EventKind::Ignored { call, what } => {
            Line::warn("call.ignored").text("call", call).quoted("what", Some(what))
        }
        EventKind::CallRefused { sip_call_id, trunk, status, reason, count } => {
            call_refused((trunk, *status, reason), *count, sip_call_id)
        }
        EventKind::Message { direction, line, peer, call, sip_call_id } => {
            message(call.as_deref(), direction.as_str(), peer, line, sip_call_id)
        }
        EventKind::Dropped { why, call, source, transport, what, status, count, hint } => {
            let source = (source.as_deref(), *transport);
            dropped(*why, call.as_deref(), source, (what, *status), (*count, hint))
        }
        EventKind::ReferPassed { call, by, refer_to, status } => {
            refer_passed((call, *by), refer_to.as_deref(), *status)
        }
        EventKind::Undelivered { call, method, peer, again, sip_call_id } => {
            undelivered((call, sip_call_id), method, peer, *again)
        }
        EventKind::Status { call, direction, method, status, reason, origin, said, sip_call_id, peer } => {
            Line::info("sip.status")
                .some("call", call.as_deref())
                .text("direction", direction.as_str())
                .text("method", *method)
                .number("status", *status)
                .quoted("reason", Some(reason))
                .text("origin", origin_word(*origin))
                .quoted("warning", said.warning.as_deref())
                .quoted("sip_reason", said.reason.as_deref())
                .quoted("sip_call_id", Some(sip_call_id))
                .text("peer", peer)
        }
        EventKind::Tested(found) => tested(found),
        EventKind::Fault { call, message } => Line::error("call.fault")
            .text("call", call)
            .quoted("message", Some(message))
            .quoted("hint", Some("a fault in Baton cost this call; please report it")),
    };
    line.at(event.at.0.0)
}

fn leg_bye(call: &str, role: Role, goodbye: &Goodbye, sip_call_id: &str) -> Line {
    Line::info("leg.bye")
        .text("call", call)
        .text("by", role.as_str())
        .text("method", &*goodbye.method)
        .quoted("reason", goodbye.reason.as_deref())
        .quoted("warning", goodbye.warning.as_deref())
        .quoted("sip_call_id", Some(sip_call_id))
}

/// A REFER that went from one side to the other, or its result.
fn refer_passed((call, by): (&str, Role), refer_to: Option<&str>, status: Option<u16>) -> Line {
    let line = Line::info("refer.passed").text("call", call).text("by", by.as_str());
    let line = if refer_to.is_some() { line.phone("refer_to", refer_to) } else { line };
    with_status(line, status)
}

fn with_status(line: Line, status: Option<u16>) -> Line {
    match status {
        Some(status) => line.number("status", status),
        None => line,
    }
}

fn attempt_resumed((call, handoff): (&str, &str), number: usize, attempt: &AttemptView) -> Line {
    Line::info("handoff.attempt_resumed")
        .text("call", call)
        .text("handoff", handoff)
        .text("destination", &*attempt.destination)
        .text("method", &*attempt.method)
        .number("attempt", number)
        .quoted("reason", Some("its REFER was heard of late: what followed it is taken back"))
}

/// A request inside a call that could not be sent.
fn undelivered((call, sip_call_id): (&str, &str), method: &str, peer: &str, again: bool) -> Line {
    Line::warn("sip.undelivered")
        .text("call", call)
        .text("method", method)
        .text("peer", peer)
        .text("next", if again { "the flow that the peer has used" } else { "none" })
        .quoted("hint", Some(UNDELIVERED))
        .quoted("sip_call_id", Some(sip_call_id))
}

/// The section of the configuration that a leg's party stands in.
fn section_of(role: Role) -> &'static str {
    if role == Role::Agent { "agent" } else { "trunk" }
}

fn advised(advice: Advice) -> Line {
    Line::warn(match advice {
        Advice::NoStream => "sip.no_stream",
        Advice::PrivateContact => "sip.private_contact",
    })
}

fn hint_of(advice: Advice) -> &'static str {
    match advice {
        Advice::NoStream => NO_STREAM,
        Advice::PrivateContact => PRIVATE_CONTACT,
    }
}

fn call_refused((trunk, status, reason): (&str, u16, &str), count: u64, sip_call_id: &str) -> Line {
    let line = Line::warn("call.refused")
        .text("trunk", trunk)
        .number("status", status)
        .quoted("reason", Some(reason))
        .text("origin", "local")
        .quoted("sip_call_id", Some(sip_call_id));
    if count > 1 { line.number("count", count) } else { line }
}

fn message(call: Option<&str>, direction: &str, peer: &str, first: &str, sip_call_id: &str) -> Line {
    Line::debug("sip.message")
        .some("call", call)
        .text("direction", direction)
        .text("peer", peer)
        .phone("line", Some(first))
        .quoted("sip_call_id", Some(sip_call_id))
}

fn dropped(
    why: Why,
    call: Option<&str>,
    (source, transport): (Option<&str>, &str),
    (what, status): (&str, Option<u16>),
    (count, hint): (u64, &str),
) -> Line {
    let line = Line::warn(why.event())
        .some("call", call)
        .text("source", source.unwrap_or("others"))
        .text("transport", transport)
        .text(if matches!(why, Why::Malformed | Why::Challenge) { "reason" } else { "method" }, what);
    with_status(line, status).number("count", count).quoted("hint", Some(hint))
}

fn tested(found: &TestCallView) -> Line {
    Line::info("test.ended")
        .text("environment", &found.environment)
        .text("destination", &found.destination)
        .text("outcome", found.outcome.as_str())
        .phone("route", Some(&found.route))
        .some("address", found.addresses.first().map(String::as_str))
        .number("duration_ms", found.duration_ms)
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Remote => "remote",
        Origin::Local => "local",
    }
}

fn call_started(call: &CallView) -> Line {
    Line::info("call.started")
        .text("call", &call.id)
        .text("environment", &call.environment)
        .text("trunk", &call.trunk)
        .some("agent", call.agent.as_deref())
        .phone("caller_id", call.caller_id.as_deref())
        .phone("called_number", Some(&call.called_number))
        .quoted("sip_call_id", call.legs.first().map(|leg| leg.sip_call_id.as_str()))
        .some("peer", call.legs.first().map(|leg| leg.peer.as_str()))
}

fn call_ended(record: &CallRecord) -> Line {
    let call = &record.call;
    let ended = call.ended_at.unwrap_or(call.started_at);
    // Nobody else says that this caller was cut off.
    let is_cut = call.ended_by.as_deref() == Some(EndReason::Draining.as_str());
    let line = if is_cut { Line::error("call.ended") } else { Line::info("call.ended") };
    let line = line
        .text("call", &call.id)
        .text("environment", &call.environment)
        .text("trunk", &call.trunk)
        .some("agent", call.agent.as_deref())
        .quoted("by", call.ended_by.as_deref())
        .number("duration_ms", ended.0.0 - call.started_at.0.0)
        .number("handoffs", call.handoffs.len());
    if is_cut { line.quoted("hint", Some(CUT_OFF)) } else { line }
}

fn handoff_line(line: Line, handoff: &HandoffView) -> Line {
    line.text("call", &handoff.call_id)
        .text("handoff", &handoff.id)
        .text("environment", &*handoff.environment)
        .text("destination", &*handoff.destination)
}

/// Which rules were taken: `front-desk:2,night-desk:1`. Where they lead may be a number, which the destination tells.
fn rules(handoff: &HandoffView) -> Option<String> {
    let rules: Vec<String> =
        handoff.rules.iter().map(|rule| format!("{}:{}", rule.destination, rule.rule)).collect();
    (!rules.is_empty()).then(|| rules.join(","))
}

fn attempt_failed(line: Line, number: usize, attempt: &AttemptView, next: &Next, hint: &str) -> Line {
    let line = line
        .text("destination", &*attempt.destination)
        .text("method", &*attempt.method)
        .number("attempt", number);
    // What a NOTIFY has told says more than the answer to the REFER that it came for, and has a phrase of its own.
    let line = match (attempt.final_status, attempt.status) {
        (Some(told), _) => line.number("status", told).quoted("reason", Some(reason_phrase(told))),
        (None, Some(status)) => {
            line.number("status", status).quoted("reason", attempt.status_reason.as_deref())
        }
        // Nobody has answered: the words say why.
        (None, None) => line.quoted("reason", attempt.status_reason.as_deref()),
    };
    line.some("cause", attempt.cause.as_deref())
        .quoted("warning", attempt.warning.as_deref())
        .quoted("sip_reason", attempt.sip_reason.as_deref())
        .some("origin", attempt.origin.map(origin_word))
        .text("next", next.to_string())
        .quoted("hint", Some(hint))
        .quoted("sip_call_id", attempt.sip_call_id.as_deref())
        .phone("route", attempt.route.as_deref())
}

fn handoff_ended(handoff: &HandoffView, caller_hurt: bool) -> Line {
    let level = if caller_hurt { Level::Error } else { Level::Info };
    let line = handoff_line(Line::new(level, "handoff.ended"), handoff)
        .text("state", handoff.state.as_str())
        .some("proof", handoff.proof.map(|proof| proof.as_str()))
        .some("cause", handoff.cause.as_deref())
        .number("attempts", handoff.attempts.len())
        .flag("caller_hurt", caller_hurt);
    if caller_hurt {
        line.quoted("title", Some(&handoff.explain.title)).quoted("hint", Some(&handoff.explain.next_step))
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Stamp;
    use crate::observe::line::{Format, Style};
    use serde_json::json;

    #[test]
    fn a_failed_attempt_says_whose_it_is_and_a_flag_is_no_text() {
        let attempt = serde_json::from_value(json!({
            "destination": "front-desk", "method": "invite", "route": "sip:a@b", "sip_call_id": "x",
            "status": 486, "status_reason": "Busy Here", "final_status": null, "cause": "busy",
            "origin": "remote", "started_at": "2026-01-02T03:04:05.678Z", "ended_at": null,
        }));
        let what = EventKind::AttemptFailed {
            call: "c-1".into(),
            handoff: "h-1".into(),
            environment: "production".to_owned(),
            trunk: "pbx".to_owned(),
            peer: Some("udp:192.0.2.1:5060".to_owned()),
            number: 1,
            attempt: Box::new(attempt.unwrap()),
            next: Next::Agent,
            hint: String::new(),
        };
        let style = Style { format: Format::Json, ..Style::default() };
        let at = Stamp(crate::sip::UnixMillis(0));
        let line: serde_json::Value =
            serde_json::from_str(&line_of(&Event { at, what }).flag("hurt", true).render(0, style)).unwrap();
        for (key, value) in
            [("call", "c-1"), ("environment", "production"), ("trunk", "pbx"), ("peer", "udp:192.0.2.1:5060")]
        {
            assert_eq!(line[key], value, "{line}");
        }
        assert_eq!(line["hurt"], true);
    }
}

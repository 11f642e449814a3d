//! Decisions by SIP: the agent's REFER, its BYE with `X-Handoff`.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{AGENT, NUMBER, PBX, Talking, sdp};
use crate::common::{HandoffRequest, Refusal, World, ms, s};
use baton::call::event::EventKind;
use std::rc::Rc;

const OK: &str = "SIP/2.0 200 OK\r\n";
const DESK: &str = "sip:front-desk@baton";

/// The agent has sent its REFER, was told 202 and NOTIFY 100, and the PBX has ours.
fn asked(to: &str, headers: &[(&str, &str)]) -> (Talking, Rc<Message>) {
    asked_with(&Config::default(), to, headers)
}

fn asked_with(config: &Config, to: &str, headers: &[(&str, &str)]) -> (Talking, Rc<Message>) {
    let t = Talking::with(config);
    t.leg.refer(to, headers);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    (t, refer)
}

fn ignored(world: &World) -> usize {
    world.events().iter().filter(|e| matches!(e, EventKind::Ignored { .. })).count()
}

#[test]
fn a_refer_of_the_agent_names_a_destination_and_is_told_all() {
    let (t, refer) = asked(DESK, &[]);
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
    t.leg.expect_notify("SIP/2.0 180 Ringing", "active");
    t.call.notify_ok(OK, "terminated");
    t.call.expect_bye();
    let last = t.leg.expect_notify("SIP/2.0 200 OK", "terminated");
    assert!(last.header("Content-Type").starts_with("message/sipfrag"), "{last}");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_host_may_be_the_advertised_one_or_a_listener() {
    for to in ["sip:front-desk@192.0.2.10", "sip:front-desk@192.0.2.10:5060", "sip:front-desk@BATON"] {
        let (t, refer) = asked(to, &[]);
        t.call.reply(&refer, 603);
        t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

#[test]
fn a_route_of_the_table_may_be_named_by_its_uri() {
    let (t, refer) = asked("sip:queue@pbx.example.com", &[]);
    assert_eq!(refer.header("Refer-To"), "<sip:queue@pbx.example.com>");
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_foreign_uri_is_forbidden_even_with_the_id_of_a_destination() {
    let t = Talking::new();
    for to in [
        "sip:front-desk@pbx.example.com",
        "sip:nobody@baton",
        "sip:100@evil.example.com",
        "https://x.example",
    ] {
        t.leg.refer(to, &[]);
        t.leg.expect(403);
    }
    t.world.assert_expected();
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_route_within_may_route() {
    let config = Config::default().agent_key("may_route = [\"sip:*@pbx.example.com\"]");
    let (t, refer) = asked_with(&config, "sip:1234@pbx.example.com", &[]);
    assert_eq!(refer.header("Refer-To"), "<sip:1234@pbx.example.com>");
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_replaces_is_forbidden() {
    let t = Talking::new();
    t.leg.refer("sip:front-desk@baton?Replaces=abc%3Bto-tag%3D1%3Bfrom-tag%3D2", &[]);
    t.leg.expect(403);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn two_refer_to_are_400() {
    let t = Talking::new();
    t.leg.refer(DESK, &[("Refer-To", "<sip:back@baton>")]);
    t.leg.expect(400);
    t.leg.request("REFER", &[], "", "");
    t.leg.expect(400);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_refer_of_the_callers_side_is_603_while_a_handoff_runs_too() {
    let (t, refer) = asked(DESK, &[]);
    t.call.refer("sip:back@baton", &[]);
    // 491 would have it try again, for nothing.
    t.call.expect(603);
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A 481 would end the dialog of an agent that has answered, and with it the call.
#[test]
fn a_refer_that_has_overtaken_the_agents_200_is_491() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.refer(DESK, &[]);
    leg.expect(491);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    leg.refer(DESK, &[("Refer-Sub", "false")]);
    leg.expect(202);
    let refer = call.expect("REFER");
    call.reply(&refer, 202);
    call.notify_ok(OK, "terminated");
    call.expect_bye();
    leg.expect_bye();
    world.assert_ended("succeeded");
    world.assert_empty();
}

#[test]
fn a_second_refer_is_491() {
    let (t, refer) = asked(DESK, &[]);
    t.leg.refer("sip:back@baton", &[]);
    t.leg.expect(491);
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_that_wants_no_notify_gets_none() {
    let t = Talking::new();
    t.leg.refer(DESK, &[("Refer-Sub", "false"), ("Supported", "norefersub")]);
    let accepted = t.leg.expect(202);
    assert_eq!(accepted.header("Refer-Sub"), "false");
    let refer = t.call.expect("REFER");
    super::refer::conclude(&t.call, &refer, OK);
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn an_unknown_result_is_told_as_408() {
    let (t, refer) = asked(DESK, &[]);
    t.call.reply(&refer, 202);
    t.leg.expect_notify_within("SIP/2.0 408 Request Timeout", "terminated", s(61));
    t.world.assert_ended("unknown");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_failure_is_told_with_its_status() {
    let (t, refer) = asked(DESK, &[]);
    super::refer::conclude(&t.call, &refer, "SIP/2.0 486 Busy Here\r\n");
    t.call.still_has_caller();
    t.leg.expect_notify_within("SIP/2.0 486 Busy Here", "terminated", s(1));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_bye_right_after_the_202_does_not_stop_it() {
    let t = Talking::new();
    t.leg.refer(DESK, &[]);
    t.leg.expect(202);
    t.leg.bye();
    let notify = t.leg.expect("NOTIFY");
    t.leg.reply(&notify, 481);
    assert_eq!(t.leg.expect(200).method(), "BYE");
    let refer = t.call.expect("REFER");
    super::refer::conclude(&t.call, &refer, OK);
    t.call.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_agents_bye_waits_500_ms_for_the_answer_to_the_last_notify() {
    let (t, refer) = asked(DESK, &[]);
    super::refer::conclude(&t.call, &refer, OK);
    t.call.expect_bye();
    let last = t.leg.expect("NOTIFY");
    assert!(last.body.starts_with("SIP/2.0 200"));
    t.agent.expect_silence(ms(490));
    t.leg.expect_bye_within(ms(20));
    t.leg.reply(&last, 200);
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

/// A decision that cannot be carried out changes nothing, not even for an agent that is leaving.
#[test]
fn a_refused_request_does_not_hurry_an_agent_that_waits_for_its_last_notify() {
    let table = "[destination.mobile]\nmethod = \"invite\"\nroute = \"sip:me@10.0.0.31\"\n";
    let t = Talking::with(&Config::default().destination(table));
    let mobile = t.world.peer("mobile", "10.0.0.31:5060");
    t.leg.refer("sip:mobile@baton", &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let target = mobile.expect_call();
    target.answer(&target.invite(), &sdp("mobile", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    let last = t.leg.expect("NOTIFY");
    let request = HandoffRequest { destination: Some("nowhere".to_owned()), ..Default::default() };
    assert!(matches!(t.world.try_handoff(request), Err(Refusal::NoDestination { .. })));
    t.agent.expect_silence(ms(490));
    t.leg.expect_bye_within(ms(20));
    t.leg.reply(&last, 200);
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn headers_of_the_refer_become_headers_and_variables() {
    let config = Config::default().destination(
        "[destination.vip]\nroute = \"+14155550124\"\n[destination.vip.headers]\nX-Case = \"case-${account_id}\"\nX-Said = \"$utterance\"\nX-Why = \"$reason\"\n",
    );
    let headers = [
        ("X-Account-ID", "7"),
        ("X-Handoff-Reason", "wants a person"),
        ("X-Handoff-Utterance", "give me a human"),
    ];
    let (t, refer) = asked_with(&config, "sip:vip@baton?X-Tier=gold", &headers);
    assert_eq!(refer.header("X-Account-ID"), "7");
    assert_eq!(refer.header("X-Tier"), "gold");
    assert_eq!(refer.header("X-Case"), "case-7");
    assert_eq!(refer.header("X-Said"), "give me a human");
    assert_eq!(refer.header("X-Why"), "wants a person");
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.reason.as_deref(), Some("wants a person"));
    assert_eq!(handoff.utterance.as_deref(), Some("give me a human"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_built_in_set_by_a_header_is_left_out_with_a_word() {
    let (t, refer) = asked(DESK, &[("X-Caller-ID", "+1900")]);
    // As a header it wins over the table's; as a variable it is no more than that.
    assert_eq!(t.world.call().variables.get("caller_id"), None);
    assert!(ignored(&t.world) >= 1);
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_smuggled_header_in_refer_to_never_reaches_the_pbx() {
    let (t, refer) = asked("sip:front-desk@baton?Route=%3Csip:evil.example.com%3E&X-Fine=1", &[]);
    assert_eq!(refer.find("Route"), None);
    assert!(!refer.text.contains("evil"), "{refer}");
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_refer_from_the_callers_side_is_declined() {
    let t = Talking::new();
    t.call.refer(DESK, &[]);
    t.call.expect(603);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_bye_with_x_handoff_is_a_decision() {
    let t = Talking::new();
    t.leg.bye_with(&[("X-Handoff", "front-desk"), ("X-Handoff-Reason", "done"), ("X-Ticket", "42")]);
    assert_eq!(t.leg.expect(200).method(), "BYE");
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
    assert_eq!(refer.header("X-Ticket"), "42");
    super::refer::conclude(&t.call, &refer, OK);
    t.call.expect_bye();
    assert_eq!(t.world.assert_ended("succeeded").reason.as_deref(), Some("done"));
    t.world.assert_empty();
}

#[test]
fn a_bye_with_x_handoff_whose_refer_fails_takes_the_fallback_or_ends() {
    let t = Talking::new();
    t.leg.bye_with(&[("X-Handoff", "hangup-on-unknown")]);
    t.leg.expect(200);
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    // The agent has gone, so the caller cannot be given back to it: its fallback.
    let fallback = t.call.expect("REFER");
    assert_eq!(fallback.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
    t.world.assert_ended("failed");
    assert_eq!(t.world.complaints(), (1, 0), "the caller is not lost yet");
    t.call.reply(&fallback, 603);
    t.call.expect_bye_within(s(2));
    t.world.settle();
    assert_eq!(t.world.complaints(), (2, 1), "now it is");
    t.world.assert_empty();
}

#[test]
fn a_bye_with_an_unknown_x_handoff_does_not_drop_the_caller() {
    let t = Talking::new();
    t.leg.bye_with(&[("X-Handoff", "frontdesk")]);
    t.leg.expect(200);
    // The agent meant to hand off, and is gone: its fallback.
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
    assert!(ignored(&t.world) >= 1);
    super::refer::conclude(&t.call, &refer, OK);
    t.call.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_plain_bye_is_a_goodbye() {
    let t = Talking::new();
    t.leg.hang_up();
    t.call.expect_bye();
    assert_eq!(t.world.ended_handoffs(), []);
    t.world.assert_empty();
}

#[test]
fn the_agent_gets_its_result_when_the_caller_hangs_up() {
    let (t, refer) = asked(DESK, &[]);
    t.call.hang_up();
    t.call.reply(&refer, 487);
    let last = t.leg.expect("NOTIFY");
    assert!(last.body.starts_with("SIP/2.0 487"), "{last}");
    t.leg.reply(&last, 200);
    t.leg.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

/// Whoever looks at the agent's side reads there what Baton's log says.
#[test]
fn a_refer_that_is_refused_says_why_in_a_warning() {
    let t = Talking::new();
    t.leg.refer("sip:front-desc@baton", &[]);
    let refused = t.leg.expect(403);
    let warning = refused.header("Warning");
    assert!(warning.starts_with("399 baton \"") && warning.contains("front-desc"), "{warning}");
    t.caller_hangs_up();
    t.world.assert_empty();
}

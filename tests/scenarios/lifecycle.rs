//! Reload and drain.

use baton::call::event::EventKind;

use crate::common::config::Config;
use crate::common::peer::{NUMBER, Talking, establish};
use crate::common::{Refusal, World, ms, s};

#[test]
fn draining_takes_no_new_calls_and_says_so_to_options() {
    let t = Talking::new();
    t.world.drain(s(60));
    let second = t.pbx.invite(NUMBER);
    let no = second.expect(503);
    let after: u32 = no.header("Retry-After").parse().expect("seconds");
    assert!((5..=10).contains(&after), "{no}");
    second.ack(&no);
    t.pbx.ping();
    t.pbx.expect(503);
    // What is inside a dialog goes on.
    t.call.request("OPTIONS", &[], "", "");
    t.call.expect(200);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_failure_that_is_sent_again_is_told_once() {
    let t = Talking::new();
    t.world.drain(s(600));
    let second = t.pbx.invite(NUMBER);
    let no = second.expect(503);
    t.world.advance(ms(600));
    let told =
        t.world.events().into_iter().filter(|what| matches!(what, EventKind::Status { status: 503, .. }));
    assert_eq!(told.count(), 1);
    second.ack(&no);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_live_call_gets_its_grace_then_its_fallback_and_then_a_bye_with_a_reason() {
    let t = Talking::new();
    t.world.drain(s(60));
    t.world.advance(s(49));
    t.world.assert_expected();
    // Ten seconds before the end the caller is handed to the fallback; nobody takes it.
    let refer = t.call.expect_within("REFER", s(2));
    assert!(refer.header("Refer-To").contains("+14155550123"));
    t.call.reply(&refer, 603);
    t.world.advance(s(1));
    t.world.assert_ended("returned");
    let bye = t.call.expect_bye_within(s(10));
    assert!(bye.find("Reason").is_some(), "{bye}");
    let bye = t.leg.expect_bye();
    assert!(bye.find("Reason").is_some(), "{bye}");
    t.world.assert_empty();
}

#[test]
fn a_fallback_takes_the_caller_before_the_drain_ends() {
    let bridged = "[destination.desk]\nmethod = \"invite\"\nroute = \"sip:desk@10.0.0.30\"\n";
    let t = Talking::with(&Config::default().destination(bridged).agent_key("fallback = \"desk\""));
    t.world.drain(s(8));
    // A bridge would end with us, so it is a REFER.
    let refer = t.call.expect_within("REFER", s(5));
    assert_eq!(refer.header("Refer-To"), "<sip:desk@10.0.0.30>");
    super::refer::conclude(&t.call, &refer, "SIP/2.0 200 OK\r\n");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_caller_who_comes_back_while_the_drain_ends_is_handed_over_too() {
    let t = Talking::new();
    t.world.drain(s(60));
    t.world.advance(s(49));
    t.world.handoff("queue");
    let refer = t.call.expect("REFER");
    t.world.advance(s(3));
    t.call.reply(&refer, 403);
    let fallback = t.call.expect_within("REFER", s(3));
    assert!(fallback.header("Refer-To").contains("+14155550123"), "{fallback}");
    t.call.reply(&fallback, 202);
    t.call.notify_event(&format!("refer;id={}", fallback.cseq().0), "SIP/2.0 200 OK\r\n", "terminated");
    t.call.expect(200);
    t.both_get_bye();
    let states: Vec<_> = t.world.ended_handoffs().iter().map(|h| h.state.as_str()).collect();
    assert_eq!(states, ["returned", "succeeded"]);
    t.world.assert_empty();
}

#[test]
fn a_handoff_within_the_grace_is_carried_out() {
    let t = Talking::new();
    t.world.drain(s(60));
    match t.world.try_handoff(Default::default()) {
        Ok(_) => {
            let refer = t.call.expect("REFER");
            super::refer::conclude(&t.call, &refer, "SIP/2.0 200 OK\r\n");
            t.both_get_bye();
            t.world.assert_ended("succeeded");
        }
        Err(Refusal::Closing) => panic!("a caller who is to be moved is moved"),
        Err(other) => panic!("{other:?}"),
    }
    t.world.assert_empty();
}

#[test]
fn a_handoff_that_runs_when_the_grace_ends_has_one_outcome() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.drain(s(5));
    t.call.expect_bye_within(s(6));
    t.leg.expect_bye();
    t.world.settle();
    assert_eq!(t.world.ended_handoffs().len(), 1);
    t.world.assert_empty();
}

#[test]
fn an_unanswered_call_at_the_end_of_the_grace_is_503() {
    let world = World::new();
    let pbx = world.peer("pbx", crate::common::peer::PBX);
    let agent = world.peer("agent", crate::common::peer::AGENT);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.drain(s(2));
    world.advance(s(3));
    let no =
        pbx.take(|m| m.method() == "INVITE" && m.status() >= 300, crate::common::peer::Kind::Response(503));
    let no = no.expect("a final response");
    assert!([480, 503].contains(&no.status()), "{no}");
    call.ack(&no);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_empty();
}

#[test]
fn new_tables_serve_new_decisions_of_old_calls() {
    let t = Talking::new();
    let moved =
        Config::default().table_text("default = \"night\"\n[destination.night]\nroute = \"+14155550166\"\n");
    t.world.reload(&moved.serial(2));
    let view = t.world.handoff_with(Default::default());
    assert_eq!((&*view.destination, view.table_version), ("night", 2));
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550166@10.0.0.5>");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_taken_from_the_configuration_keeps_its_calls() {
    let t = Talking::new();
    let config =
        Config::default().serial(2).agent_address("sip:booking@10.0.0.90:5080").agent_source("10.0.0.90/32");
    t.world.reload(&config);
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    let info = t.call.expect("INFO");
    t.call.reply(&info, 200);
    t.leg.expect(200);
    let fresh = t.world.peer("fresh", "10.0.0.90:5080");
    let second = t.pbx.invite(NUMBER);
    let leg = establish(&second, &fresh);
    second.hang_up();
    leg.expect_bye();
    t.caller_hangs_up();
    t.world.assert_empty();
}

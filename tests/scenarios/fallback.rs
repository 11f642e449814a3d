//! The agent is absent: before the caller is answered the call is connected to the fallback, after that it is handed off.

use crate::common::config::Config;
use crate::common::message::without_origin;
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Peer, Talking, sdp};
use crate::common::{Command, Name, World, ms, s};
use baton::call::event::EventKind;

const OK: &str = "SIP/2.0 200 OK\r\n";

fn calling(config: &Config) -> (World, Peer, Leg, Leg) {
    let world = World::with(config);
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    (world, pbx, call, leg)
}

/// The desk answers, the caller hears it, and later hangs up.
fn desk_takes_it(world: &World, call: &Leg, desk: &Leg) {
    assert_eq!(without_origin(desk.invite().sdp()), without_origin(&sdp("pbx", 1)), "the caller's offer");
    desk.reply(&desk.invite(), 180);
    call.expect(180);
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("desk", 1)));
    call.ack(&ok);
    let handoff = world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    assert_eq!(handoff.attempts[0].method, "invite");
    call.hang_up();
    desk.expect_bye();
    world.assert_empty();
}

#[test]
fn an_agent_that_refuses() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 503);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    assert!(desk.invite().uri().starts_with("sip:+14155550123@10.0.0.5"));
    assert_eq!(desk.invite().header("X-Caller-ID"), "+14155550199", "the destination's headers");
    assert!(desk.invite().header("From").contains("+14155550199"));
    desk_takes_it(&world, &call, &desk);
    let lost = |e: &EventKind| matches!(e, EventKind::LegLost { status: 503, .. });
    assert_eq!(world.events().iter().filter(|e| lost(e)).count(), 1);
}

#[test]
fn an_agent_that_does_not_answer() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    let cancel = leg.expect_within("CANCEL", s(21));
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk_takes_it(&world, &call, &desk);
}

#[test]
fn an_agent_that_is_silent() {
    let (world, pbx, call, _leg) = calling(&Config::default());
    let desk = pbx.expect_call_within(s(21));
    desk_takes_it(&world, &call, &desk);
}

#[test]
fn an_agent_that_cannot_be_reached() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.is_dead(true);
    let call = pbx.invite(NUMBER);
    let desk = pbx.expect_call();
    desk_takes_it(&world, &call, &desk);
}

#[test]
fn an_agent_whose_name_does_not_resolve() {
    let world = World::with(&Config::default().agent_address("sip:booking@agents.example.com"));
    world.name("agents.example.com", Name::Failing(ms(200)));
    let pbx = world.peer("pbx", PBX);
    let call = pbx.invite(NUMBER);
    let desk = pbx.expect_call();
    desk_takes_it(&world, &call, &desk);
}

#[test]
fn the_agents_own_fallback_wins_over_the_tables_default() {
    let (world, pbx, call, leg) = calling(&Config::default().agent_key("fallback = \"hangup-on-failure\""));
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    assert!(desk.invite().uri().starts_with("sip:+14155550124@10.0.0.5"));
    desk_takes_it(&world, &call, &desk);
}

#[test]
fn each_party_before_the_answer_has_its_own_tag() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    let early = call.expect(183);
    leg.reply(&leg.invite(), 480);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 180);
    let ringing = call.expect(180);
    assert_ne!(early.to_tag(), ringing.to_tag());
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.to_tag(), ringing.to_tag());
    call.ack(&ok);
    world.assert_ended("succeeded");
    call.hang_up();
    desk.expect_bye();
    world.assert_empty();
}

#[test]
fn the_fallback_does_not_answer_either() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 180);
    call.expect(180);
    let cancel = desk.expect_within("CANCEL", s(31));
    desk.reply(&cancel, 200);
    desk.reply(&desk.invite(), 487);
    desk.expect("ACK");
    let no = call.expect(480);
    call.ack(&no);
    let handoff = world.assert_ended("failed");
    assert_eq!(handoff.cause.as_deref(), Some("no_answer"));
    world.assert_empty();
}

#[test]
fn the_fallbacks_603_passes() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 603);
    desk.expect("ACK");
    let no = call.expect(603);
    call.ack(&no);
    let handoff = world.assert_ended("failed");
    assert_eq!(handoff.cause.as_deref(), Some("busy"), "603 to an INVITE");
    world.assert_empty();
}

#[test]
fn the_fallbacks_other_failures_are_480() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 404);
    desk.expect("ACK");
    let no = call.expect(480);
    call.ack(&no);
    world.assert_ended("failed");
    world.assert_empty();
}

#[test]
fn the_trunk_wants_a_redirect() {
    let world = World::with(&Config::default().trunk_key("unanswered = \"redirect\""));
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let moved = call.expect(302);
    assert!(moved.header("Contact").starts_with("<sip:+14155550123@10.0.0.5"), "{moved}");
    call.ack(&moved);
    let handoff = world.assert_ended("handed_back");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    world.assert_empty();
}

#[test]
fn a_3xx_of_the_agent_names_a_destination() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply_with(
        &leg.invite(),
        302,
        &[("Contact", "<sip:hangup-on-failure@baton>"), ("X-Why", "closed")],
        "",
    );
    leg.expect("ACK");
    let desk = pbx.expect_call();
    assert!(desk.invite().uri().starts_with("sip:+14155550124@10.0.0.5"), "{}", desk.invite());
    assert_eq!(desk.invite().header("X-Why"), "closed");
    desk_takes_it(&world, &call, &desk);
}

#[test]
fn a_3xx_of_the_agent_to_somewhere_else_takes_the_fallback() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply_with(&leg.invite(), 302, &[("Contact", "<sip:1900@evil.example.com>")], "");
    leg.expect("ACK");
    let desk = pbx.expect_call();
    assert!(desk.invite().uri().starts_with("sip:+14155550123@10.0.0.5"));
    desk_takes_it(&world, &call, &desk);
}

#[test]
fn a_decision_before_the_answer_connects_the_destination() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.handoff("front-desk");
    let desk = pbx.expect_call();
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    world.assert_ended("succeeded");
    call.hang_up();
    desk.expect_bye();
    world.assert_empty();
}

#[test]
fn the_caller_gives_up_while_the_fallback_rings() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 180);
    call.expect(180);
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    let cancel = desk.expect("CANCEL");
    desk.reply(&cancel, 200);
    desk.reply(&desk.invite(), 487);
    desk.expect("ACK");
    world.assert_ended("abandoned");
    world.assert_empty();
}

#[test]
fn the_fallback_answers_while_the_callers_cancel_is_in_flight() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 180);
    call.expect(180);
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    let cancel = desk.expect("CANCEL");
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.reply(&cancel, 200);
    desk.expect("ACK");
    desk.expect_bye();
    world.assert_ended("abandoned");
    world.assert_empty();
}

#[test]
fn the_fallback_answers_after_its_time() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 180);
    call.expect(180);
    let cancel = desk.expect_within("CANCEL", s(31));
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.reply(&cancel, 200);
    desk.expect("ACK");
    desk.expect_bye();
    let no = call.expect(480);
    call.ack(&no);
    world.assert_ended("failed");
    world.assert_empty();
}

#[test]
fn the_invite_to_the_fallback_is_challenged() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let first = pbx.expect_call();
    let challenge = "Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\"";
    first.reply_with(&first.invite(), 407, &[("Proxy-Authenticate", challenge)], "");
    first.expect("ACK");
    let desk = pbx.expect_call();
    let credentials = desk.invite().header("Proxy-Authorization").to_owned();
    crate::common::digest::assert_right(&credentials, "INVITE", "baton", "s3cret", "pbx", "n1");
    assert_eq!(desk.invite().call_id(), first.call_id());
    assert_eq!(desk.invite().cseq().0, first.invite().cseq().0 + 1);
    desk_takes_it(&world, &call, &desk);
}

// -- after the answer

/// The agent's leg is lost: its fallback is a handoff like any other.
fn fallback_refer(t: &Talking) {
    let refer = t.call.expect_within("REFER", s(60));
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
    super::refer::conclude(&t.call, &refer, OK);
    t.call.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_481_of_the_agent_in_the_dialog() {
    let t = Talking::new();
    t.call.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let info = t.leg.expect("INFO");
    t.agent.is_silent_to_options();
    t.leg.reply(&info, 481);
    // The caller's own dialog stands, so it is not told 481.
    t.call.expect(480);
    let check = t.leg.expect("OPTIONS");
    t.leg.reply(&check, 481);
    t.leg.expect_bye();
    fallback_refer(&t);
}

#[test]
fn three_keepalives_that_the_agent_misses_and_the_reinvite_that_follows() {
    let t = Talking::with(&Config::default().agent_key("keepalive = \"20s\""));
    t.world.advance(s(45));
    t.world.assert_expected();
    t.agent.is_silent_to_options();
    let first = t.leg.expect_within("OPTIONS", s(21));
    assert_ne!(first.to_tag(), "");
    t.leg.expect_within("OPTIONS", s(21));
    t.leg.expect_within("OPTIONS", s(21));
    t.leg.expect_within("INVITE", s(21));
    // It may only be deaf to OPTIONS: a BYE ends what it takes for a call.
    t.leg.expect_bye_within(s(60));
    fallback_refer(&t);
}

#[test]
fn a_keepalive_that_gets_481_and_so_does_the_reinvite_that_follows() {
    let t = Talking::with(&Config::default().agent_key("keepalive = \"20s\""));
    t.agent.is_silent_to_options();
    for status in [200, 481] {
        let options = t.leg.expect_within("OPTIONS", s(21));
        t.leg.reply(&options, status);
    }
    let confirmation = t.leg.expect("INVITE");
    t.leg.reply(&confirmation, 481);
    t.leg.expect("ACK");
    t.leg.expect_bye();
    fallback_refer(&t);
}

#[test]
fn a_bye_of_the_agent_with_a_server_failure_as_reason() {
    let t = Talking::new();
    t.leg.bye_with(&[("Reason", "SIP;cause=503;text=\"overloaded\"")]);
    t.leg.expect(200);
    fallback_refer(&t);
}

#[test]
fn a_bye_of_the_agent_with_an_ordinary_reason_is_a_goodbye() {
    let t = Talking::new();
    t.leg.bye_with(&[("Reason", "SIP;cause=200;text=\"done\"")]);
    t.leg.expect(200);
    t.call.expect_bye();
    t.world.assert_empty();
}

#[test]
fn the_fallback_of_a_lost_agent_fails_too() {
    let t = Talking::new();
    t.leg.bye_with(&[("Reason", "SIP;cause=503")]);
    t.leg.expect(200);
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    let bye = t.call.expect_bye_within(s(2));
    assert!(bye.find("Reason").is_some(), "{bye}");
    t.world.assert_ended("failed");
    assert_eq!(t.world.complaints(), (1, 1));
    t.world.assert_empty();
}

#[test]
fn the_fallback_of_a_lost_agent_is_unknown_and_the_caller_stays_up() {
    let t = Talking::new();
    t.leg.bye_with(&[("Reason", "SIP;cause=503")]);
    t.leg.expect(200);
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    t.world.assert_ended("unknown");
    t.world.advance(s(300));
    t.world.assert_expected();
    t.call.hang_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_lost_while_its_handoff_runs_changes_nothing() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.leg.bye_with(&[("Reason", "SIP;cause=503")]);
    t.leg.expect(200);
    super::refer::conclude(&t.call, &refer, OK);
    t.call.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_caller_whose_call_is_hung_up_before_the_answer_gets_480() {
    let (world, _pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.command(Command::HangUp { call: world.call_id() });
    let no = call.expect(480);
    call.ack(&no);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_empty();
}

#[test]
fn a_fallback_that_answers_without_a_session() {
    let (world, pbx, call, leg) = calling(&Config::default());
    leg.reply(&leg.invite(), 503);
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 200);
    desk.expect("ACK");
    desk.expect_bye();
    let no = call.expect(480);
    call.ack(&no);
    assert_eq!(world.assert_ended("failed").cause.as_deref(), Some("failed"));
    world.assert_empty();
}

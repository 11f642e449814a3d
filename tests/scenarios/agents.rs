//! An agent with several addresses: they are tried in order before its fallback is.

use crate::common::config::Config;
use crate::common::peer::{AGENT, NUMBER, PBX, sdp};
use crate::common::{Name, World, ms, s};
use baton::call::event::EventKind;

const SECOND: &str = "10.0.0.81:5080";

fn config() -> Config {
    Config::default()
        .agent_addresses(&["sip:booking@10.0.0.80:5080", "sip:booking@10.0.0.81:5080"])
        .agent_source("10.0.0.80/31")
        .agent_key("answer_timeout = \"5s\"")
}

#[test]
fn the_first_is_busy_and_the_second_answers() {
    let world = World::with(&config());
    let (pbx, first, second) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    second.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = first.expect_call();
    leg.reply(&leg.invite(), 180);
    let early = call.expect(180);
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let leg = second.expect_call();
    leg.reply(&leg.invite(), 180);
    let ringing = call.expect(180);
    assert_ne!(early.to_tag(), ringing.to_tag());
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.to_tag(), ringing.to_tag());
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    let lost = |e: &EventKind| matches!(e, EventKind::LegLost { next, .. } if next.to_string().contains("10.0.0.81"));
    assert!(world.events().iter().any(lost));
    world.assert_empty();
}

#[test]
fn one_is_silent_the_other_dead_and_the_fallback_answers() {
    let world = World::with(&config());
    let (pbx, first, second) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    second.is_dead(true);
    let call = pbx.invite(NUMBER);
    first.expect_call();
    let desk = pbx.expect_call_within(s(6));
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    desk.expect_bye();
    world.assert_ended("succeeded");
    world.assert_empty();
}

#[test]
fn a_name_that_does_not_resolve_is_passed_over() {
    let config =
        Config::default().agent_addresses(&["sip:booking@nowhere.example.com", "sip:booking@10.0.0.80:5080"]);
    let world = World::with(&config);
    world.name("nowhere.example.com", Name::Failing(ms(100)));
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_word_of_the_first_is_no_failure() {
    let world = World::with(&config());
    let (pbx, first, _second) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    let call = pbx.invite(NUMBER);
    let leg = first.expect_call();
    leg.reply_with(&leg.invite(), 302, &[("Contact", "<sip:front-desk@baton>")], "");
    leg.expect("ACK");
    let desk = pbx.expect_call();
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    desk.expect_bye();
    world.assert_empty();
}

#[test]
fn the_caller_hangs_up_between_two_of_them() {
    let world = World::with(&config());
    let (pbx, first, second) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    let call = pbx.invite(NUMBER);
    let leg = first.expect_call();
    leg.reply(&leg.invite(), 503);
    leg.expect("ACK");
    let leg = second.expect_call();
    leg.reply(&leg.invite(), 100);
    call.cancels(&leg);
    world.assert_empty();
}

/// What was offered needs an answer, and the caller would hear nothing.
#[test]
fn one_that_answers_without_a_session_is_passed_over() {
    let world = World::with(&config());
    let (pbx, first, second) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    second.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = first.expect_call();
    leg.reply(&leg.invite(), 200);
    leg.expect("ACK");
    assert!(leg.expect_bye().header("Reason").contains("cause=488"));
    let leg = second.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    let lost = |e: &EventKind| matches!(e, EventKind::LegLost { status: 488, .. });
    assert_eq!(world.events().iter().filter(|e| lost(e)).count(), 1);
    world.assert_empty();
}

/// A redirect server in front of several agents; where it points to is nobody that the table knows.
#[test]
fn one_that_names_no_destination_is_passed_over() {
    let world = World::with(&config());
    let (pbx, first, second) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    second.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = first.expect_call();
    leg.reply_with(&leg.invite(), 302, &[("Contact", "<sip:node7@10.0.0.99:5080>")], "");
    leg.expect("ACK");
    let leg = second.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    let lost = |e: &EventKind| matches!(e, EventKind::LegLost { status: 302, next, .. } if next.to_string().contains("10.0.0.81"));
    assert!(world.events().iter().any(lost));
    world.assert_empty();
}

/// A 2xx to an INVITE without an offer makes one (RFC 3261 §13.3.1.4): the caller would have nothing to answer.
#[test]
fn one_that_makes_no_offer_when_asked_for_it_is_passed_over() {
    let world = World::with(&config());
    let (pbx, first, second) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    second.answers_options(200);
    let call = pbx.calling(NUMBER).body(None).send();
    let leg = first.expect_call();
    leg.reply(&leg.invite(), 200);
    leg.expect("ACK");
    assert!(leg.expect_bye().header("Reason").contains("cause=488"));
    let leg = second.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    let ok = call.expect(200);
    call.ack_with(&ok, &sdp("pbx", 1));
    leg.expect("ACK");
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

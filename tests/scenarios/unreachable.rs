//! Addresses where nobody is: what costs a caller seconds is found out at once, passed over by the next call, and told by
//! its own word. Silence never means that an INVITE was not received: at most one rings.

use crate::common::config::Config;
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Peer, Talking, sdp};
use crate::common::{Door, Name, World, ms, s};
use baton::call::event::EventKind;
use std::net::IpAddr;
use std::time::Duration;

const SECOND: &str = "10.0.0.81:5080";

fn two_agents() -> Config {
    Config::default()
        .agent_addresses(&["sip:booking@10.0.0.80:5080", "sip:booking@10.0.0.81:5080"])
        .agent_source("10.0.0.80/31")
}

/// The caller has the agent of this leg, and leaves.
fn serves(call: &Leg, leg: &Leg) {
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    call.hang_up();
    leg.expect_bye();
}

#[test]
fn a_port_unreachable_goes_to_the_next_address_at_once_and_the_next_call_does_not_pay_again() {
    let world = World::with(&two_agents().one_engine());
    let (pbx, dead, live) = (world.peer("pbx", PBX), world.peer("dead", AGENT), world.peer("live", SECOND));
    dead.door(Door::Refusing);
    let call = pbx.invite(NUMBER);
    serves(&call, &live.expect_call_within(ms(10)));
    // The dead one is back, and nobody has noticed: it is called last for 30 s.
    dead.door(Door::Open);
    let call = pbx.invite(NUMBER);
    serves(&call, &live.expect_call_within(ms(10)));
    world.advance(s(30));
    let call = pbx.invite(NUMBER);
    serves(&call, &dead.expect_call_within(ms(10)));
    world.assert_empty();
}

#[test]
fn an_address_that_swallows_costs_four_seconds_once() {
    let world = World::with(&two_agents().one_engine());
    let (pbx, dead, live) = (world.peer("pbx", PBX), world.peer("dead", AGENT), world.peer("live", SECOND));
    dead.door(Door::Swallowing);
    let call = pbx.invite(NUMBER);
    live.expect_silence(ms(3900));
    serves(&call, &live.expect_call());
    let call = pbx.invite(NUMBER);
    serves(&call, &live.expect_call_within(ms(10)));
    world.assert_empty();
}

#[test]
fn all_are_tried_where_all_have_failed() {
    let world = World::with(&two_agents().agent_key("first_response = \"1s\""));
    let (pbx, one, two) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    one.door(Door::Refusing);
    two.door(Door::Swallowing);
    for _ in 0..2 {
        let call = pbx.invite(NUMBER);
        // Its fallback.
        let desk = pbx.expect_call_within(s(2));
        desk.reply(&desk.invite(), 486);
        desk.expect("ACK");
        let busy = call.expect(486);
        call.ack(&busy);
    }
    one.door(Door::Open);
    let call = pbx.invite(NUMBER);
    serves(&call, &one.expect_call_within(s(2)));
    world.assert_empty();
}

#[test]
fn a_100_is_an_answer() {
    let world = World::with(&two_agents());
    let (pbx, one) = (world.peer("pbx", PBX), world.peer("one", AGENT));
    let two = world.peer("two", SECOND);
    let call = pbx.invite(NUMBER);
    let leg = one.expect_call();
    leg.reply(&leg.invite(), 100);
    two.expect_silence(s(15));
    serves(&call, &leg);
    world.assert_empty();
}

const TABLE: &str = r#"
[destination.desk]
method = "invite"
route = "sip:desk@10.0.0.30"
timeouts = { ring = "3s" }

[destination.pool]
method = "invite"
route = "sip:desk@pool.example.com"

[destination.brisk]
method = "invite"
route = "sip:desk@pool.example.com"
timeouts = { ring = "3s" }

[destination.stream]
method = "invite"
route = "sip:desk@pool.example.com;transport=tcp"

[destination.nowhere]
method = "invite"
route = "sip:desk@nowhere.example.com"
"#;

fn talking() -> Talking {
    let t = Talking::with(&Config::default().destination(TABLE));
    let ips = [30, 31].map(|host| IpAddr::from([10, 0, 0, host])).to_vec();
    t.world.name("pool.example.com", Name::Known(ips, ms(0)));
    t
}

fn ends(t: &Talking) {
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The handoff has failed, nobody has said a word, and the API says why in words of its own.
fn is_unreachable(t: &Talking, why: &str) {
    // Both legs have to stand for a moment.
    t.world.advance(ms(600));
    let handoff = t.world.assert_ended("returned");
    let attempt = &handoff.attempts[0];
    let told = (attempt.cause.as_deref(), attempt.status, attempt.status_reason.as_deref());
    assert_eq!(told, (Some("unreachable"), None, Some(why)));
    assert_eq!(handoff.explain.cause, format!("Nobody has answered: {why}."));
    let line = t.world.events().into_iter().find(|what| matches!(what, EventKind::AttemptFailed { .. }));
    assert!(line.is_some(), "one WARN");
}

#[test]
fn a_target_whose_port_is_unreachable_is_unreachable() {
    let t = talking();
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    desk.door(Door::Refusing);
    t.world.handoff("desk");
    is_unreachable(&t, "port unreachable");
    ends(&t);
}

#[test]
fn a_target_that_never_sent_a_1xx_is_unreachable_and_not_no_answer() {
    let t = talking();
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    desk.door(Door::Swallowing);
    t.world.handoff("desk");
    t.world.advance(s(3));
    is_unreachable(&t, "no response");
    ends(&t);
}

#[test]
fn a_name_without_an_address_is_no_503() {
    let t = talking();
    t.world.name("nowhere.example.com", Name::Failing(ms(0)));
    t.world.handoff("nowhere");
    is_unreachable(&t, "no address: the name does not resolve, or no socket of ours reaches it");
    ends(&t);
}

/// The target of the pool that is called, and joined with the caller.
fn joins(t: &Talking, target: &Leg) {
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
}

fn pool(t: &Talking, transport: &str) -> (Peer, Peer) {
    let at = |host: &str| t.world.peer(host, &format!("{transport}{host}:5060"));
    (at("10.0.0.30"), at("10.0.0.31"))
}

#[test]
fn the_next_address_of_a_name_is_tried_beside_the_one_that_is_silent() {
    let t = talking();
    let (one, two) = pool(&t, "");
    one.door(Door::Swallowing);
    t.world.handoff("pool");
    two.expect_silence(ms(1900));
    joins(&t, &two.expect_call());
    t.world.assert_empty();
}

#[test]
fn all_addresses_of_a_name_that_is_silent_are_reached_within_its_ring_time() {
    let t = talking();
    let (one, two) = pool(&t, "");
    one.door(Door::Swallowing);
    two.door(Door::Swallowing);
    t.world.handoff("pool");
    t.world.advance(ms(6450));
    t.world.assert_running();
    is_unreachable(&t, "no response");
    ends(&t);
}

#[test]
fn who_was_only_slow_is_kept_and_the_newer_one_is_cancelled() {
    let t = talking();
    let (one, two) = pool(&t, "");
    t.world.handoff("pool");
    let slow = one.expect_call();
    let newer = two.expect_call_within(s(3));
    assert_eq!(slow.invite().find("CSeq"), newer.invite().find("CSeq"), "one request, and a fork of it");
    slow.reply(&slow.invite(), 180);
    t.world.settle();
    // Its first 1xx is answered by CANCEL.
    newer.reply(&newer.invite(), 180);
    let cancel = newer.expect("CANCEL");
    newer.reply(&cancel, 200);
    newer.reply(&newer.invite(), 487);
    newer.expect("ACK");
    joins(&t, &slow);
    t.world.assert_empty();
}

#[test]
fn a_try_that_is_left_behind_is_cancelled_by_its_1xx_and_its_late_200_is_ended() {
    let t = talking();
    let (one, two) = pool(&t, "");
    t.world.handoff("pool");
    let slow = one.expect_call();
    let newer = two.expect_call_within(s(3));
    newer.reply(&newer.invite(), 180);
    t.world.advance(s(1));
    slow.reply(&slow.invite(), 180);
    let cancel = slow.expect("CANCEL");
    // It was answered just then.
    let ok = slow.answer(&slow.invite(), &sdp("desk", 1));
    slow.reply(&cancel, 200);
    slow.expect("ACK");
    slow.expect_bye();
    // A copy of its 200 gets its ACK once more.
    let before = one.retransmissions();
    slow.again(&ok);
    t.world.settle();
    assert_eq!(one.retransmissions(), before + 1);
    t.world.assert_running();
    joins(&t, &newer);
    t.world.assert_empty();
}

#[test]
fn a_late_200_after_the_attempt_is_over_is_ended() {
    let t = talking();
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    t.world.handoff("desk");
    let slow = desk.expect_call();
    t.world.advance(s(3));
    is_unreachable(&t, "no response");
    t.world.advance(s(10));
    slow.answer(&slow.invite(), &sdp("desk", 1));
    slow.expect("ACK");
    slow.expect_bye();
    ends(&t);
}

#[test]
fn a_486_or_482_beside_a_silent_try_ends_that_try_only() {
    for status in [482, 486] {
        let t = talking();
        let (one, two) = pool(&t, "");
        t.world.handoff("pool");
        let slow = one.expect_call();
        let newer = two.expect_call_within(s(3));
        newer.reply(&newer.invite(), status);
        newer.expect("ACK");
        t.world.assert_running();
        joins(&t, &slow);
        t.world.assert_empty();
    }
}

#[test]
fn a_refusal_of_a_try_that_is_left_behind_decides_nothing() {
    let t = talking();
    let (one, two) = pool(&t, "");
    t.world.handoff("pool");
    let slow = one.expect_call();
    let newer = two.expect_call_within(s(3));
    newer.reply(&newer.invite(), 180);
    t.world.settle();
    slow.reply(&slow.invite(), 603);
    slow.expect("ACK");
    t.world.assert_running();
    joins(&t, &newer);
    t.world.assert_empty();
}

#[test]
fn a_caller_who_leaves_cancels_all_tries() {
    let t = talking();
    let (one, two) = pool(&t, "");
    t.world.handoff("pool");
    let slow = one.expect_call();
    let newer = two.expect_call_within(s(3));
    t.caller_hangs_up();
    for leg in [slow, newer] {
        leg.reply(&leg.invite(), 180);
        let cancel = leg.expect("CANCEL");
        leg.reply(&cancel, 200);
        leg.reply(&leg.invite(), 487);
        leg.expect("ACK");
    }
    t.world.assert_empty();
}

#[test]
fn a_port_unreachable_never_ends_a_call() {
    let t = talking();
    t.agent.door(Door::Refusing);
    let info = t.call.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\nDuration=160\r\n");
    t.world.advance(s(1));
    t.agent.door(Door::Open);
    t.world.advance(s(2));
    t.leg.reply(&t.leg.expect("INFO"), 200);
    t.call.expect(200);
    let _ = info;
    ends(&t);
}

#[test]
fn a_stream_that_closes_without_an_answer_goes_to_the_next_address() {
    let t = talking();
    let (one, two) = pool(&t, "tcp:");
    t.world.handoff("stream");
    one.expect_call();
    t.world.settle();
    // It may have been closing already: once more by another.
    one.closes_connection();
    t.world.settle();
    assert_eq!(one.retransmissions(), 1);
    one.closes_connection();
    // A second time nobody is there.
    joins(&t, &two.expect_call_within(ms(10)));
    t.world.assert_empty();
}

#[test]
fn a_503_counts_for_its_address_only_where_it_says_how_long() {
    let t = talking();
    let (one, two) = pool(&t, "");
    let refuse = |retry_after: &[(&str, &str)]| {
        t.world.handoff("pool");
        let first = one.expect_call();
        first.reply_with(&first.invite(), 503, retry_after, "");
        first.expect("ACK");
        let second = two.expect_call_within(ms(10));
        second.reply(&second.invite(), 486);
        second.expect("ACK");
        t.world.advance(s(1));
    };
    refuse(&[]);
    refuse(&[("Retry-After", "60")]);
    t.world.advance(s(50));
    t.world.handoff("pool");
    let second = two.expect_call_within(ms(10));
    second.reply(&second.invite(), 486);
    second.expect("ACK");
    t.world.advance(s(1));
    ends(&t);
}

#[test]
fn silence_counts_from_when_the_invite_has_left() {
    let t = talking();
    let (one, two) = pool(&t, "tcp:");
    one.connects_after(s(3));
    t.world.handoff("stream");
    two.expect_silence(ms(4900));
    let newer = two.expect_call();
    let slow = one.expect_call();
    joins(&t, &newer);
    slow.reply(&slow.invite(), 180);
    let cancel = slow.expect("CANCEL");
    slow.reply(&cancel, 200);
    slow.reply(&slow.invite(), 487);
    slow.expect("ACK");
    t.world.assert_empty();
}

#[test]
fn the_log_says_why_an_address_of_the_agent_was_passed_over() {
    let world = World::with(&two_agents());
    let (pbx, dead, live) = (world.peer("pbx", PBX), world.peer("dead", AGENT), world.peer("live", SECOND));
    dead.door(Door::Refusing);
    let call = pbx.invite(NUMBER);
    serves(&call, &live.expect_call_within(ms(10)));
    let told = |what: &EventKind| matches!(what, EventKind::LegLost { reason: Some("port unreachable"), .. });
    assert!(world.events().iter().any(told));
    world.assert_empty();
}

/// The desk is busy, and says so by its second address. That the first one is silent says nothing of the person.
#[track_caller]
fn is_busy_beside_a_silent_try(destination: &str, over: Duration) {
    let t = talking();
    let (one, two) = pool(&t, "");
    one.door(Door::Swallowing);
    t.world.handoff(destination);
    let newer = two.expect_call_within(s(3));
    newer.reply(&newer.invite(), 486);
    newer.expect("ACK");
    t.world.advance(over);
    let handoff = t.world.assert_ended("returned");
    let attempt = &handoff.attempts[0];
    assert_eq!((attempt.cause.as_deref(), attempt.status), (Some("busy"), Some(486)));
    ends(&t);
}

#[test]
fn a_486_beside_a_silent_try_is_what_is_told_when_the_ring_time_is_over() {
    is_busy_beside_a_silent_try("brisk", ms(1600));
}

#[test]
fn a_486_beside_a_silent_try_is_what_is_told_when_both_have_had_their_time() {
    is_busy_beside_a_silent_try("pool", s(8));
}

/// The same of an agent: its `answer_timeout` may be over before the silence of its first address is.
#[test]
fn a_486_of_an_agent_beside_a_silent_try_is_what_is_told() {
    let config = Config::default()
        .agent_addresses(&["sip:booking@agents.example.com:5080"])
        .agent_source("10.0.0.80/31")
        .agent_key("answer_timeout = \"3s\"");
    let world = World::with(&config);
    let (pbx, one, two) = (world.peer("pbx", PBX), world.peer("one", AGENT), world.peer("two", SECOND));
    let ips = [80, 81].map(|host| IpAddr::from([10, 0, 0, host])).to_vec();
    world.name("agents.example.com", Name::Known(ips, ms(0)));
    one.door(Door::Swallowing);
    let call = pbx.invite(NUMBER);
    let newer = two.expect_call_within(s(3));
    newer.reply(&newer.invite(), 486);
    newer.expect("ACK");
    // Its fallback.
    let desk = pbx.expect_call_within(s(2));
    let lost = world.lines("leg.lost");
    assert!(lost.len() == 1 && lost[0].contains(" status=486 origin=remote "), "{lost:#?}");
    desk.reply(&desk.invite(), 603);
    desk.expect("ACK");
    call.ack(&call.expect(603));
    world.assert_empty();
}

/// The silent address turns out to have nobody, after the other one has said that the desk is busy.
#[test]
fn a_486_beside_a_try_that_finds_nobody_is_what_is_told() {
    let t = talking();
    let (one, two) = pool(&t, "");
    one.door(Door::Swallowing);
    t.world.handoff("pool");
    let newer = two.expect_call_within(s(3));
    newer.reply(&newer.invite(), 486);
    newer.expect("ACK");
    one.door(Door::Refusing);
    t.world.advance(ms(2500));
    let handoff = t.world.assert_ended("returned");
    let attempt = &handoff.attempts[0];
    assert_eq!((attempt.cause.as_deref(), attempt.status), (Some("busy"), Some(486)));
    ends(&t);
}

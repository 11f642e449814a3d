//! Toll fraud: to whom a password goes, whom a 3xx may name, and how much one call may be told to keep.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{Leg, Peer, Talking, establish, sdp};
use crate::common::{Command, Refusal, Reply, World, ms, s};
use std::collections::BTreeMap;
use std::rc::Rc;

fn challenge(realm: &str, more: &str) -> String {
    format!("Digest realm=\"{realm}\", nonce=\"n{}\", algorithm=MD5{more}", realm.len())
}

/// The target asks for a password and does not get it.
fn gets_no_password(t: &Talking, target: &Leg, peer: &Peer) {
    let asked = [("WWW-Authenticate", &*challenge("pbx", ""))];
    target.reply_with(&target.invite(), 401, &asked, "");
    target.expect("ACK");
    peer.expect_silence(s(1));
    t.world.assert_ended("returned");
    let told = t.world.lines("sip.challenge_declined");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("reason=\"the challenge comes from elsewhere\""), "{}", told[0]);
    assert!(told[0].contains("[trunk.pbx]"), "{}", told[0]);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn another_port_of_the_trunks_host_gets_no_password() {
    let table = "[destination.desk]\nmethod = \"invite\"\nroute = \"sip:desk@10.0.0.5:5099\"\n";
    let t = Talking::with(&Config::default().destination(table));
    let desk = t.world.peer("desk", "10.0.0.5:5099");
    t.world.handoff("desk");
    let target = desk.expect_call();
    gets_no_password(&t, &target, &desk);
}

/// A phone on the trunk's network calls, and asks for the trunk's password when it is referred.
#[test]
fn a_caller_from_elsewhere_on_the_trunks_network_gets_no_password() {
    let config = Config::default();
    let world = World::with(&config);
    world.allow("10.0.0.9:5060");
    let phone = world.peer("phone", "10.0.0.9:5060");
    let agent = world.peer("agent", "10.0.0.80:5080");
    let call = phone.invite("+14155550100");
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    agent.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    world.handoff("front-desk");
    let refer = call.expect("REFER");
    call.reply_with(&refer, 401, &[("WWW-Authenticate", &challenge("pbx", ""))], "");
    phone.expect_silence(s(1));
    world.assert_ended("returned");
    assert_eq!(world.lines("sip.challenge_declined").len(), 1);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

fn referred(config: &Config) -> (Talking, Rc<Message>) {
    let t = Talking::with(config);
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    (t, refer)
}

fn refused(t: &Talking) {
    t.pbx.expect_silence(s(1));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn the_realm_of_a_password_is_pinned() {
    let pinned = Config::default().trunk_auth("realm = \"pbx.example.com\"");
    let (t, refer) = referred(&pinned);
    t.call.reply_with(&refer, 401, &[("WWW-Authenticate", &challenge("evil", ""))], "");
    refused(&t);
    let (t, refer) = referred(&pinned);
    t.call.reply_with(&refer, 401, &[("WWW-Authenticate", &challenge("pbx.example.com", ""))], "");
    let again = t.call.expect("REFER");
    assert!(again.header("Authorization").contains("realm=\"pbx.example.com\""));
    t.call.reply(&again, 603);
    refused(&t);
}

#[test]
fn a_realm_is_answered_once_and_once_more_for_a_stale_nonce() {
    let (t, refer) = referred(&Config::default());
    let ask = |refer: &Message, more: &str| {
        t.call.reply_with(refer, 401, &[("WWW-Authenticate", &challenge("pbx", more))], "");
    };
    ask(&refer, "");
    let second = t.call.expect("REFER");
    ask(&second, ", stale=true");
    let third = t.call.expect("REFER");
    ask(&third, ", stale=true");
    assert_eq!(t.world.lines("sip.challenge_declined").len(), 1);
    refused(&t);
}

/// Two proxies and the PBX ask, one after the other: each answer stays beside the others. Four in all.
#[test]
fn each_realm_on_the_way_is_answered_four_times_in_all() {
    let (t, mut refer) = referred(&Config::default());
    for (count, realm) in ["a", "b.example", "the-third", "number-four"].iter().enumerate() {
        t.call.reply_with(&refer, 407, &[("Proxy-Authenticate", &challenge(realm, ""))], "");
        refer = t.call.expect("REFER");
        let answers = refer.list("Proxy-Authorization").len();
        let all = refer.text.matches("Proxy-Authorization: ").count().max(answers);
        assert!(all > count, "{refer}");
    }
    t.call.reply_with(&refer, 407, &[("Proxy-Authenticate", &challenge("one-too-many", ""))], "");
    refused(&t);
}

fn forwarded(config: &Config, contact: &str) -> (Talking, Leg) {
    let table = "[destination.number]\nmethod = \"invite\"\nroute = \"+14155550130\"\n";
    let t = Talking::with(&config.clone().destination(table));
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    target.reply_with(&target.invite(), 302, &[("Contact", contact)], "");
    target.expect("ACK");
    (t, target)
}

#[test]
fn a_302_to_a_feature_code_or_any_number_is_a_refusal() {
    let host = Config::default().trunk_key("redirects = \"host\"");
    for (config, contact) in [
        (Config::default(), "<sip:00900123456@10.0.0.5>"),
        (host.clone(), "<sip:*72100@10.0.0.5>"),
        (host.clone(), "<sip:100@10.0.0.5:5099>"),
        (Config::default().trunk_key("redirects = \"none\""), "<sip:+14155550123@10.0.0.5>"),
    ] {
        let (t, _target) = forwarded(&config, contact);
        refused(&t);
    }
    let (t, _target) = forwarded(&host, "<sip:101@10.0.0.5>");
    let phone = t.pbx.expect_call();
    assert_eq!(phone.invite().uri(), "sip:101@10.0.0.5");
    phone.reply(&phone.invite(), 486);
    phone.expect("ACK");
    t.world.advance(ms(600));
    refused(&t);
}

fn set(t: &Talking, names: std::ops::Range<u32>, value: &str) -> Reply {
    let one = |number| (format!("name_{number}"), Some(value.to_owned()));
    let variables: BTreeMap<String, Option<String>> = names.map(one).collect();
    t.world.command(Command::SetVariables { call: t.world.call_id(), variables })
}

#[test]
fn a_call_does_not_keep_40_000_variables() {
    let t = Talking::new();
    assert!(matches!(set(&t, 0..256, "x"), Reply::Call(_)));
    let mut refused = 0;
    for number in 256..40_000 {
        let reply = set(&t, number..number + 1, "x");
        assert!(matches!(reply, Reply::Refused(Refusal::Invalid(_))), "{reply:?}");
        refused += 1;
    }
    assert_eq!((t.world.call().variables.len(), refused), (256, 39_744));
    assert!(matches!(set(&t, 0..1, &"x".repeat(65_536)), Reply::Refused(Refusal::Invalid(_))));
    assert!(matches!(set(&t, 0..256, "y"), Reply::Call(_)), "what is there may be set anew");
    let told = t.world.lines("call.ignored");
    assert!(told[0].contains("257 variables"), "{}", told[0]);
    let variables = (0..257).map(|number| (format!("n{number}"), "x".to_owned())).collect();
    let request = baton::call::command::HandoffRequest { variables, ..Default::default() };
    assert!(matches!(t.world.try_handoff(request), Err(Refusal::Invalid(_))));
    t.caller_hangs_up();
    t.world.assert_empty();
}

const ONE_CALL: &str =
    "[destination.desk]\nmethod = \"invite\"\nroute = \"sip:desk@10.0.0.30\"\nmax_calls = 1\n";

/// The desk answers, and the caller gets it.
#[track_caller]
fn joined(t: &Talking, desk: &Peer) -> Leg {
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let join = t.call.expect("INVITE");
    t.call.answer(&join, &sdp("pbx", 2));
    t.call.expect("ACK");
    t.leg.expect_bye();
    target
}

/// Another caller with the same agent.
fn another(t: &Talking) -> (Leg, Leg) {
    let call = t.pbx.invite("+14155550100");
    let leg = establish(&call, &t.agent);
    (call, leg)
}

/// The handoff of the latest call fails at once, for its destination is full.
#[track_caller]
fn is_full(t: &Talking, why: &str) {
    t.world.handoff("desk");
    t.world.advance(ms(500));
    let ended = t.world.ended_handoffs().pop().expect("one has ended");
    assert_eq!(ended.state.as_str(), "returned");
    let attempt = &ended.attempts[0];
    assert_eq!((attempt.cause.as_deref(), attempt.status), (Some("busy"), None));
    assert_eq!(attempt.status_reason.as_deref(), Some(why));
    // It is a line of the table that says so, and no network.
    assert!(ended.explain.cause.contains(why), "{:?}", ended.explain);
    assert!(ended.explain.next_step.contains("raise it"), "{:?}", ended.explain);
}

/// The caller's own call counts until it is over.
#[test]
fn a_destination_has_no_more_calls_than_its_max_calls() {
    let t = Talking::with(&Config::default().destination(ONE_CALL));
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    let target = joined(&t, &desk);
    let (call, leg) = another(&t);
    is_full(&t, "the destination has max_calls");
    desk.expect_silence(s(1));
    t.call.hang_up();
    target.expect_bye();
    t.world.handoff("desk");
    let next = desk.expect_call();
    next.reply(&next.invite(), 486);
    next.expect("ACK");
    t.world.advance(s(1));
    call.hang_up();
    leg.expect_bye();
    t.world.assert_empty();
}

/// An attempt that has failed has given its place back, as the step after it shows.
#[test]
fn a_failed_attempt_has_no_place_any_more() {
    let table = format!("{ONE_CALL}on_failure = [\"refer\", \"agent\"]\n");
    let t = Talking::with(&Config::default().destination(&table));
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 403);
    t.world.advance(s(1));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_destination_begins_no_more_in_a_second_than_its_max_cps() {
    let table = ONE_CALL.replace("max_calls", "max_cps");
    let t = Talking::with(&Config::default().destination(&table));
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    let target = joined(&t, &desk);
    let (call, leg) = another(&t);
    is_full(&t, "the destination has had max_cps in this second");
    t.world.advance(ms(600));
    t.world.handoff("desk");
    let next = desk.expect_call();
    next.reply(&next.invite(), 486);
    next.expect("ACK");
    t.world.advance(s(1));
    for (one, other) in [(&call, &leg), (&t.call, &target)] {
        one.hang_up();
        other.expect_bye();
    }
    t.world.assert_empty();
}

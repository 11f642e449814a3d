//! What a request inside a call is refused for stands in a Warning, for whoever reads the other side's log, and in Baton's
//! own with the id of the call.

use super::onward;
use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{AGENT, NUMBER, PBX, Talking, sdp};
use crate::common::{World, s};

const DESK: &str = "sip:front-desk@baton";

/// The words of the Warning of a refusal.
#[track_caller]
fn words(refused: &Message) -> String {
    let warning = refused.header("Warning");
    let words = warning.strip_prefix("399 baton \"").and_then(|rest| rest.strip_suffix('"'));
    words.unwrap_or_else(|| panic!("no Warning of ours:\n{refused}")).to_owned()
}

/// A refusal has a line with its call, which says what its Warning says.
#[track_caller]
fn is_told(world: &World, refused: &Message) -> String {
    let words = words(refused);
    let call = format!(" call={} ", world.call_id());
    let lines = world.lines("sip.status");
    let told = |line: &&String| line.contains(&call) && line.contains(&words);
    assert!(lines.iter().any(|line| told(&line)), "{words:?} is not in\n{}", lines.join("\n"));
    words
}

/// The same of a REFER, which has a line that warns.
#[track_caller]
fn warns(world: &World, refused: &Message) {
    let words = is_told(world, refused);
    let lines = world.lines("call.ignored");
    assert!(lines.iter().any(|line| line.contains(&words)), "{words:?} is not in\n{}", lines.join("\n"));
}

#[test]
fn a_refer_without_refer_to_or_with_one_that_does_not_read_says_so_in_a_warning() {
    let t = Talking::new();
    t.leg.request("REFER", &[], "", "");
    warns(&t.world, &t.leg.expect(400));
    t.leg.refer(DESK, &[("Refer-To", "<sip:back@baton>")]);
    is_told(&t.world, &t.leg.expect(400));
    t.leg.request("REFER", &[("Refer-To", "<nothing>")], "", "");
    is_told(&t.world, &t.leg.expect(400));
    t.leg.refer("sip:front-desk@baton?X%20A=1", &[]);
    warns(&t.world, &t.leg.expect(400));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_second_refer_while_one_runs_says_so_in_a_warning() {
    let t = Talking::new();
    t.leg.refer(DESK, &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    t.leg.refer(DESK, &[]);
    warns(&t.world, &t.leg.expect(491));
    t.call.refer(DESK, &[]);
    warns(&t.world, &t.call.expect(603));
    t.call.reply(&refer, 603);
    t.leg.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_refer_with_replaces_that_would_be_passed_says_so_in_a_warning() {
    let (t, target) = onward::joined(&onward::config("transfer = \"pass\""));
    target.refer("sip:100@10.0.0.5?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc", &[]);
    warns(&t.world, &target.expect(403));
    // It is not among the routes that this target may name.
    target.refer("sip:100@10.0.0.5", &[]);
    warns(&t.world, &target.expect(403));
    onward::bye(&t, &target);
}

#[test]
fn a_refer_while_another_is_passed_says_so_in_a_warning() {
    let (t, target) = onward::joined(&onward::config(onward::PASSED));
    onward::passes(&t, &target, &[]);
    target.expect_notify("SIP/2.0 100 Trying", "active");
    target.refer("sip:100@10.0.0.5", &[]);
    warns(&t.world, &target.expect(491));
    t.call.notify_ok("SIP/2.0 603 Decline\r\n", "terminated");
    target.expect_notify("SIP/2.0 603 Decline", "terminated");
    onward::bye(&t, &target);
}

#[test]
fn a_refer_before_the_agents_200_says_so_in_a_warning() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.refer(DESK, &[]);
    is_told(&world, &leg.expect(491));
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn what_the_stack_refuses_inside_a_call_says_why_in_a_warning() {
    let t = Talking::new();
    let long = "x".repeat(20_000);
    for (method, headers, kind, status) in [
        ("SUBSCRIBE", &[("Event", "presence")][..], "", 405),
        ("MESSAGE", &[], "", 405),
        ("DANCE", &[], "", 501),
        ("INFO", &[("Require", "precondition")], "", 420),
        ("UPDATE", &[], "text/plain", 415),
        ("INVITE", &[], "text/plain", 415),
        ("NOTIFY", &[("Event", "presence"), ("Subscription-State", "active")], "", 489),
        ("INFO", &[("X-Long", &long)], "", 513),
    ] {
        t.leg.request(method, headers, kind, if kind.is_empty() { "" } else { "text" });
        let refused = t.leg.expect(status);
        is_told(&t.world, &refused);
        if status == 405 {
            assert!(words(&refused).contains(method), "{refused}");
        }
        if method == "INVITE" {
            t.leg.ack(&refused);
        }
    }
    t.leg.request_numbered("INFO", 1, &[], "", "");
    is_told(&t.world, &t.leg.expect(500));
    t.world.assert_expected();
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_request_that_nobody_answers_says_so_in_a_warning() {
    let t = Talking::new();
    t.leg.request("INFO", &[], "text/plain", "text");
    t.call.expect("INFO");
    is_told(&t.world, &t.leg.expect_within(504, s(30)));
    t.world.finish();
}

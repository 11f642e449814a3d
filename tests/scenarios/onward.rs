//! A target that was joined with the caller moves the caller on by REFER (RFC 5589), and the caller's side moves on whom the
//! caller talks with.

use crate::common::config::Config;
use crate::common::peer::{Leg, Talking, sdp};
use crate::common::s;
use baton::call::event::EventKind;

const DESK: &str = "10.0.0.30:5060";
const NEXT: &str = "10.0.0.31:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";
pub(super) const PASSED: &str = "transfer = \"pass\"\nmay_route = [\"sip:1*@10.0.0.5\"]";

pub(super) fn config(keys: &str) -> Config {
    Config::default().destination(&format!(
        "[destination.desk]\nmethod = \"invite\"\nroute = \"sip:desk@10.0.0.30\"\n{keys}\n\
         [destination.next]\nmethod = \"invite\"\nroute = \"sip:next@10.0.0.31\"\n"
    ))
}

/// Caller and desk have each other.
pub(super) fn joined(config: &Config) -> (Talking, Leg) {
    let t = Talking::with(config);
    let desk = t.world.peer("desk", DESK);
    desk.answers_options(200);
    t.world.handoff("desk");
    let target = joins(&t, desk.expect_call());
    (t, target)
}

/// A target that is called answers, and is joined with the caller.
#[track_caller]
fn joins(t: &Talking, target: Leg) -> Leg {
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    target
}

/// The handoff that a target has asked for is refused by the caller's side.
#[track_caller]
fn is_declined(t: &Talking, target: &Leg) {
    target.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    target.expect_notify_within("SIP/2.0 603 Decline", "terminated", s(2));
}

/// A REFER of the target's is passed to the caller's side, which takes it.
#[track_caller]
pub(super) fn passes(t: &Talking, target: &Leg, headers: &[(&str, &str)]) {
    target.refer("sip:100@10.0.0.5", headers);
    target.expect(202);
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
}

pub(super) fn bye(t: &Talking, target: &Leg) {
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_joined_target_may_move_the_caller_to_a_destination_of_the_table() {
    let (t, target) = joined(&config("may_transfer = true"));
    let next = t.world.peer("next", NEXT);
    let refer = target.refer("sip:next@baton", &[]);
    target.expect(202);
    let first = target.expect_notify("SIP/2.0 100 Trying", "active");
    assert!(first.header("Event").ends_with(&format!("id={}", refer.cseq().0)), "{first}");
    let third = next.expect_call();
    third.answer(&third.invite(), &sdp("next", 1));
    third.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    target.expect_notify("SIP/2.0 200 OK", "terminated");
    target.expect_bye();
    // Where it is now nothing is said of moving on.
    third.refer("sip:desk@baton", &[]);
    third.expect(603);
    t.call.hang_up();
    third.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_move_that_fails_leaves_caller_and_target_together() {
    let (t, target) = joined(&config("may_transfer = true"));
    let next = t.world.peer("next", NEXT);
    target.refer("sip:next@baton", &[]);
    target.expect(202);
    target.expect_notify("SIP/2.0 100 Trying", "active");
    let third = next.expect_call();
    third.reply(&third.invite(), 486);
    third.expect("ACK");
    target.expect_notify("SIP/2.0 486 Busy Here", "terminated");
    // It may try again.
    target.refer("sip:nobody@baton", &[]);
    target.expect(403);
    bye(&t, &target);
}

#[test]
fn a_joined_target_may_name_no_more_than_it_is_allowed() {
    for (keys, to, status) in [
        ("", "sip:next@baton", 603),
        ("may_transfer = false", "sip:next@baton", 603),
        ("may_transfer = true", "sip:100@10.0.0.5", 403),
        ("may_transfer = true", "tel:+14155550177", 202),
        ("may_transfer = true\nmay_route = [\"sip:1*@10.0.0.5\"]", "sip:200@10.0.0.5", 403),
        ("may_transfer = true\nmay_route = [\"sip:1*@10.0.0.5\"]", "sip:100@10.0.0.5", 202),
        ("may_transfer = true", "sip:next@baton?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc", 403),
        ("transfer = \"pass\"", "sip:100@10.0.0.5?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc", 403),
    ] {
        let (t, target) = joined(&config(keys));
        target.refer(to, &[]);
        target.expect(status);
        if status == 202 {
            is_declined(&t, &target);
        }
        bye(&t, &target);
    }
}

#[test]
fn a_trunk_may_allow_it_and_a_destination_may_not() {
    let trunk = "may_transfer = true\nmay_route = [\"sip:1*@10.0.0.5\"]";
    let number = "[destination.number]\nmethod = \"invite\"\nroute = \"+14155550130\"\n";
    for (keys, status) in [("", 202), ("may_transfer = false", 603)] {
        let t = Talking::with(&Config::default().trunk_key(trunk).destination(&format!("{number}{keys}\n")));
        t.world.handoff("number");
        let target = joins(&t, t.pbx.expect_call());
        target.refer("sip:100@10.0.0.5", &[]);
        target.expect(status);
        if status == 202 {
            is_declined(&t, &target);
        }
        bye(&t, &target);
    }
}

#[test]
fn a_refer_may_be_passed_to_the_callers_side() {
    let (t, target) = joined(&config(PASSED));
    let sent =
        target.refer("sip:100@10.0.0.5", &[("Referred-By", "<sip:desk@10.0.0.30>"), ("X-Why", "billing")]);
    target.expect(202);
    target.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:100@10.0.0.5>");
    assert_eq!(refer.header("Referred-By"), "<sip:+14155550100@192.0.2.10>", "ours");
    assert_eq!(refer.header("X-Why"), "billing");
    // One at a time.
    target.refer("sip:101@10.0.0.5", &[]);
    target.expect(491);
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
    target.expect_notify("SIP/2.0 180 Ringing", "active");
    t.call.notify_ok(OK, "terminated");
    let last = target.expect_notify("SIP/2.0 200 OK", "terminated");
    assert!(last.header("Event").ends_with(&format!("id={}", sent.cseq().0)), "{last}");
    // The two end their dialogs themselves.
    target.hang_up();
    t.call.expect_bye();
    let told = |what: &&EventKind| matches!(what, EventKind::ReferPassed { .. });
    assert_eq!(t.world.events().iter().filter(told).count(), 2);
    t.world.assert_empty();
}

#[test]
fn a_passed_refer_that_is_refused_or_unanswered_is_told_as_it_is() {
    let (t, target) = joined(&config(PASSED));
    for (status, told) in [(603, "SIP/2.0 603 Decline"), (405, "SIP/2.0 405 Method Not Allowed")] {
        target.refer("sip:100@10.0.0.5", &[]);
        target.expect(202);
        target.expect_notify("SIP/2.0 100 Trying", "active");
        let refer = t.call.expect("REFER");
        t.call.reply(&refer, status);
        target.expect_notify(told, "terminated");
    }
    // Nothing is known: nobody is told that it has worked.
    target.refer("sip:100@10.0.0.5", &[]);
    target.expect(202);
    target.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    target.expect_notify_within("SIP/2.0 408 Request Timeout", "terminated", s(61));
    bye(&t, &target);
}

#[test]
fn who_passes_a_refer_and_hangs_up_leaves_the_caller_until_there_is_a_result() {
    for (told, worked) in [(OK, true), ("SIP/2.0 486 Busy Here\r\n", false)] {
        let (t, target) = joined(&config(PASSED));
        passes(&t, &target, &[("Refer-Sub", "false")]);
        target.hang_up();
        t.pbx.expect_silence(s(2));
        t.call.notify_ok(told, "terminated");
        if worked {
            t.call.expect_bye();
        } else {
            // Nobody is with the caller: the fallback.
            let fallback = t.call.expect("REFER");
            assert_eq!(fallback.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
            super::refer::conclude(&t.call, &fallback, OK);
            t.call.expect_bye();
        }
        t.world.assert_empty();
    }
}

#[test]
fn a_caller_who_hangs_up_ends_a_passed_refer() {
    let (t, target) = joined(&config(PASSED));
    target.refer("sip:100@10.0.0.5", &[]);
    target.expect(202);
    target.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.hang_up();
    target.expect_notify("SIP/2.0 408 Request Timeout", "terminated");
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_refer_of_the_callers_side_moves_whom_the_caller_talks_with() {
    let t = Talking::with(&Config::default().trunk_key("refer_from_caller = true"));
    t.call.refer("sip:front-desk@baton", &[]);
    t.call.expect(202);
    t.call.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.leg.expect("REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
    t.leg.reply(&refer, 501);
    t.call.expect_notify("SIP/2.0 501 Not Implemented", "terminated");
    t.call.refer("sip:anybody@elsewhere.example", &[]);
    t.call.expect(403);
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// Asterisk says 200 before it has moved anybody, and a BYE of ours would hang the caller up.
#[test]
fn a_200_that_proves_nothing_lets_nobody_go_whose_target_has_left() {
    let config = config(PASSED).trunk_key("notify_200 = \"accepted\"");
    let (t, target) = joined(&config);
    passes(&t, &target, &[("Refer-Sub", "false")]);
    target.hang_up();
    t.call.notify_ok(OK, "terminated");
    t.pbx.expect_silence(s(10));
    t.call.hang_up();
    t.world.assert_empty();
}

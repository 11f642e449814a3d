//! The process stands still (SIGSTOP, a frozen container, a slow host): what has arrived meanwhile is read before any timer
//! runs; the time is given back to what judges a peer; what Baton owes goes out once.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{Invite, Leg, Peer, Talking, sdp};
use crate::common::{Name, World, ms, s};
use std::rc::Rc;
use std::time::Duration;

const OK: &str = "SIP/2.0 200 OK\r\n";
const DESK: &str = "10.0.0.30:5060";

/// A call with a REFER on its way to the PBX.
fn referred(destination: &str) -> (Talking, Rc<Message>) {
    let t = Talking::with(&Config::default().destination(DURATION));
    t.world.handoff(destination);
    let refer = t.call.expect("REFER");
    (t, refer)
}

const DURATION: &str = "
[destination.timed]
route = \"+14155550123\"
[destination.timed.headers]
X-Duration = \"$duration\"
";

/// A call whose handoff rings at the desk, for 5 s.
fn ringing() -> (Talking, Leg) {
    let t = Talking::with(&super::bridge::config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("patient-desk");
    let target = desk.expect_call();
    target.reply(&target.invite(), 180);
    t.world.advance(ms(100));
    (t, target)
}

/// The caller takes the desk, and the handoff has succeeded.
fn joined(t: &Talking, target: &Leg) {
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// A standstill that is none yet (400 ms), and one that is.
const BOTH: [Duration; 2] = [ms(400), s(60)];

#[test]
fn a_refer_that_was_confirmed_in_time_is_not_unknown() {
    for still in BOTH {
        let (t, refer) = referred("front-desk");
        // Its `response` of 8 s ends while the process stands still.
        t.world.advance(ms(7900));
        t.world.stand();
        t.call.reply(&refer, 202);
        t.call.notify(OK, "terminated;reason=noresource");
        t.world.advance(still);
        t.world.go_on();
        t.call.expect(200);
        t.both_get_bye();
        t.world.assert_ended("succeeded");
        t.world.assert_empty();
    }
}

#[test]
fn a_target_that_answered_in_time_is_not_hung_up_as_no_answer() {
    for still in BOTH {
        let (t, target) = ringing();
        t.world.advance(ms(4800));
        t.world.stand();
        target.answer(&target.invite(), &sdp("desk", 1));
        t.world.advance(still);
        t.world.go_on();
        joined(&t, &target);
    }
}

#[test]
fn a_target_that_stood_still_as_well_rings_for_its_whole_time() {
    let (t, target) = ringing();
    t.world.advance(s(2));
    t.world.stand_still(s(60));
    // 2.1 s of 5 s had passed before.
    t.world.advance(ms(2800));
    t.world.assert_running();
    target.answer(&target.invite(), &sdp("desk", 1));
    joined(&t, &target);
}

#[test]
fn a_refer_has_its_whole_time_for_an_answer_and_is_sent_again_once() {
    let (t, refer) = referred("front-desk");
    t.world.advance(s(4));
    let before = t.pbx.retransmissions();
    t.world.stand_still(s(60));
    t.world.advance(ms(1));
    assert_eq!(t.pbx.retransmissions(), before + 1, "one copy at once");
    t.world.advance(ms(3700));
    assert_eq!(t.pbx.retransmissions(), before + 1, "and the next after its interval");
    t.world.assert_running();
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_copy_that_was_answered_meanwhile_is_not_sent() {
    let (t, refer) = referred("front-desk");
    t.world.stand();
    t.call.reply(&refer, 202);
    t.world.advance(s(60));
    t.world.go_on();
    t.world.advance(s(5));
    assert_eq!(t.pbx.retransmissions(), 0);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_empty();
}

#[test]
fn an_invite_and_a_2xx_of_ours_are_sent_again_once() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", "10.0.0.5:5060"), world.peer("agent", "10.0.0.80:5080"));
    agent.answers_options(200);
    let call = pbx.invite("+14155550100");
    let leg = agent.expect_call();
    world.stand_still(s(20));
    world.advance(ms(1));
    assert_eq!(agent.retransmissions(), 1, "one copy of the INVITE at once");
    world.advance(ms(900));
    assert_eq!(agent.retransmissions(), 1, "Timer A has doubled");
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    world.stand_still(s(20));
    world.advance(ms(1));
    assert_eq!(pbx.retransmissions(), 1, "one copy of the 200 at once");
    call.ack(&ok);
    world.advance(s(5));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_180_is_said_again_once_a_minute_of_true_time() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", "10.0.0.5:5060"), world.peer("agent", "10.0.0.80:5080"));
    agent.answers_options(200);
    let call = pbx.invite("+14155550100");
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.stand_still(s(200));
    world.advance(ms(1));
    assert_eq!(pbx.retransmissions(), 1);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

/// A caller whose session of 90 s is refreshed by this side.
fn with_session(refresher: &str) -> Talking {
    let expires = format!("90;refresher={refresher}");
    Talking::by(&Config::default(), |invite: Invite| {
        invite.header("Supported", "timer").header("Session-Expires", &expires)
    })
}

#[test]
fn our_refresh_of_a_session_goes_at_once_and_once() {
    let t = with_session("uas");
    t.world.advance(s(10));
    t.world.stand_still(s(36));
    // Due at 45 s of true time.
    let refresh = t.call.expect_within("INVITE", ms(1));
    let timer = [("Require", "timer"), ("Session-Expires", "90;refresher=uac")];
    t.call.reply_with(&refresh, 200, &timer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.pbx.expect_silence(s(40));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_refresh_of_ours_that_is_not_due_yet_keeps_its_true_time() {
    let t = with_session("uas");
    t.world.advance(s(5));
    t.world.stand_still(s(30));
    t.pbx.expect_silence(ms(9900));
    let refresh = t.call.expect_within("INVITE", ms(200));
    let timer = [("Require", "timer"), ("Session-Expires", "90;refresher=uac")];
    t.call.reply_with(&refresh, 200, &timer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_peer_is_not_lost_for_a_refresh_that_nobody_could_hear() {
    let t = with_session("uac");
    t.world.advance(s(50));
    t.world.stand_still(s(600));
    t.world.advance(s(5));
    t.call.request("UPDATE", &[("Supported", "timer"), ("Session-Expires", "90;refresher=uac")], "", "");
    t.call.expect(200);
    t.world.advance(s(30));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_keepalive_counts_no_miss_for_a_standstill() {
    let t = Talking::with(&Config::default().agent_key("keepalive = \"10s\""));
    t.world.advance(s(12));
    t.agent.is_silent_to_options();
    t.world.advance(s(7));
    t.world.stand_still(s(600));
    t.agent.expect_silence(ms(500));
    let options = t.agent.expect_within("OPTIONS", s(10));
    t.leg.reply(&options, 200);
    t.agent.answers_options(200);
    t.world.advance(s(60));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn the_longest_call_goes_by_true_time() {
    let t = Talking::with(&Config::default().max_duration(s(600)));
    t.world.advance(s(10));
    t.world.stand_still(s(589));
    t.pbx.expect_silence(ms(900));
    t.both_get_bye();
    assert_eq!(t.world.records()[0].call.ended_by.as_deref(), Some("max_duration"));
    t.world.assert_empty();
}

#[test]
fn a_drain_ends_by_true_time() {
    let t = Talking::new();
    t.world.drain(s(5));
    t.world.stand_still(s(60));
    // The fallback's time has passed as well; it is called all the same, or the caller is let go.
    t.world.advance(ms(1));
    let message = t.call.peer.take(Message::is_request, "REFER".into()).expect("a word for the caller");
    assert!(["REFER", "BYE"].contains(&message.method()), "{message}");
    t.call.reply(&message, 200);
    t.world.advance(s(1));
    t.world.finish();
}

#[test]
fn a_call_is_as_old_as_the_clock_on_the_wall_says() {
    let t = Talking::with(&Config::default().destination(DURATION));
    t.world.advance(s(3));
    t.world.stand_still(s(60));
    t.world.handoff("timed");
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("X-Duration"), "63");
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_empty();
}

#[test]
fn a_name_that_was_answered_in_time_is_called() {
    let config = super::bridge::config().destination(
        "[destination.named]\nmethod = \"invite\"\nroute = \"sip:desk@desk.example.com\"\n\
         timeouts = { ring = \"5s\" }\non_failure = [\"agent\"]\n",
    );
    let t = Talking::with(&config);
    let desk: Peer = t.world.peer("desk", DESK);
    t.world.name("desk.example.com", Name::Known(vec!["10.0.0.30".parse().expect("an address")], s(4)));
    t.world.handoff("named");
    t.world.advance(s(3));
    t.world.stand_still(s(60));
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    joined(&t, &target);
}

#[test]
fn a_stream_that_broke_meanwhile_is_heard_of_after_what_came_by_it() {
    let t = Talking::at(&Config::default(), "tcp:10.0.0.5:5060", |invite| invite);
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.world.stand();
    t.call.reply(&refer, 202);
    t.world.advance(s(1));
    t.pbx.closes_connection();
    t.world.advance(s(60));
    t.world.go_on();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn what_begins_with_a_message_that_waited_is_not_sent_twice() {
    let t = Talking::new();
    t.world.stand();
    let hold = t.leg.reinvite(&sdp("agent", 2).replace("sendrecv", "sendonly"));
    t.world.advance(s(20));
    t.world.go_on();
    let offer = t.call.expect("INVITE");
    t.world.settle();
    assert_eq!(t.pbx.retransmissions(), 0, "a copy at the same instant");
    t.call.answer(&offer, &sdp("pbx", 2));
    t.call.expect("ACK");
    t.leg.expect(200);
    t.leg.ack(&hold);
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A target that hears nobody hangs up as well, and when in that time it did nobody knows.
#[test]
fn a_standstill_between_a_200_that_proves_nothing_and_the_targets_bye_leaves_no_proof() {
    for (still, state) in [(ms(1_500), "succeeded"), (s(5), "unknown")] {
        for bye_first in [false, true] {
            let t = Talking::with(&super::attended::config().trunk_key("notify_200 = \"accepted\""));
            let desk = t.world.peer("desk", DESK);
            t.world.handoff("desk");
            let target = desk.expect_call();
            target.answer(&target.invite(), &sdp("desk", 1));
            target.expect("ACK");
            let refer = t.call.expect("REFER");
            t.call.reply(&refer, 202);
            t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
            if bye_first {
                target.hang_up();
            } else {
                t.call.notify_ok("SIP/2.0 200 OK\r\n", "terminated");
            }
            t.world.stand();
            if bye_first {
                t.call.notify("SIP/2.0 200 OK\r\n", "terminated");
            } else {
                target.bye();
            }
            t.world.advance(still);
            t.world.go_on();
            match bye_first {
                true => t.call.expect(200),
                false => target.expect(200),
            };
            if state == "succeeded" {
                t.both_get_bye();
            }
            let handoff = t.world.assert_ended(state);
            assert_eq!(handoff.proof.is_some_and(|proof| proof.as_str() == "proven"), state == "succeeded");
            if state == "unknown" {
                t.caller_hangs_up();
            }
            t.world.assert_empty();
        }
    }
}

//! A REFER whose result is in doubt: what is done meanwhile, and what a late word changes.

use crate::common::Command;
use crate::common::config::Config;
use crate::common::peer::{Leg, Peer, Talking, sdp};
use crate::common::{ms, s};
use baton::call::event::{Event, EventKind};
use baton::call::record::{Proof, Stamp};
use baton::daemon::lines::line_of;
use baton::observe::line::Style;
use baton::sip::UnixMillis;

const DESK: &str = "10.0.0.30:5060";
const MOBILE: &str = "10.0.0.31:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";
const TABLE: &str = r#"
[destination.brave]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["invite", "agent"], default = ["invite", "agent"] }

[destination.careful]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["invite"], default = ["agent"] }

[destination.brave-again]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["attended"], default = ["agent"] }

[destination.mobile]
method = "invite"
route = "sip:me@10.0.0.31"
"#;

fn config() -> Config {
    Config::default().destination(TABLE)
}

struct Stage {
    t: Talking,
    desk: Peer,
    mobile: Peer,
}

fn begin(destination: &str) -> Stage {
    let t = Talking::with(&config());
    let (desk, mobile) = (t.world.peer("desk", DESK), t.world.peer("mobile", MOBILE));
    t.world.handoff(destination);
    Stage { t, desk, mobile }
}

fn taken_back(target: &Leg) {
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
}

#[test]
fn a_receiver_that_is_at_it_is_heard_whatever_the_response_says() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.call.reply(&refer, 504);
    t.world.advance(s(1));
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_receiver_that_is_at_it_has_the_time_of_a_result() {
    // Its 202 is lost for good.
    let t = Talking::new();
    t.world.handoff("front-desk");
    t.call.expect("REFER");
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.world.advance(s(45));
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_target_that_was_let_go_for_a_late_answer_is_called_again() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.world.advance(s(9));
    let target = stage.desk.expect_call();
    target.reply(&target.invite(), 180);
    stage.t.call.reply(&refer, 202);
    taken_back(&target);
    stage.t.leg.hang_up();
    stage.t.call.notify_ok("SIP/2.0 503 Service Unavailable\r\n", "terminated");
    stage.t.call.still_has_caller();
    let again = stage.desk.expect_call();
    again.answer(&again.invite(), &sdp("desk", 1));
    again.expect("ACK");
    let offer = stage.t.call.expect("INVITE");
    stage.t.call.answer(&offer, &sdp("pbx", 1));
    stage.t.call.expect("ACK");
    stage.t.world.assert_ended("succeeded");
    stage.t.call.hang_up();
    again.expect_bye();
    stage.t.world.assert_empty();
}

#[test]
fn a_transfer_of_an_earlier_handoff_that_comes_late() {
    let t = Talking::with(&config());
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    t.world.assert_ended("unknown");
    t.world.handoff("front-desk");
    let second = t.call.expect("REFER");
    t.call.reply(&second, 403);
    t.call.still_has_caller();
    t.world.advance(s(1));
    t.call.notify_event(&format!("refer;id={}", refer.cseq().0), OK, "terminated");
    t.call.expect(200);
    t.both_get_bye();
    let states: Vec<_> = t.world.ended_handoffs().iter().map(|h| h.state.as_str()).collect();
    assert_eq!(states, ["unknown", "returned"]);
    t.world.assert_empty();
}

#[test]
fn and_while_the_next_one_rings() {
    let stage = begin("front-desk");
    let t = &stage.t;
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    t.world.handoff("mobile");
    let target = stage.mobile.expect_call();
    target.reply(&target.invite(), 180);
    t.call.notify_ok(OK, "terminated");
    taken_back(&target);
    t.both_get_bye();
    t.world.settle();
    let states: Vec<_> = t.world.ended_handoffs().iter().map(|h| h.state.as_str()).collect();
    assert_eq!(states, ["unknown", "abandoned"]);
    assert_eq!(t.world.complaints().1, 0, "nobody was hurt");
    t.world.assert_empty();
}

#[test]
fn once_the_caller_is_with_another_target_it_changes_nothing() {
    let stage = begin("front-desk");
    let t = &stage.t;
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    t.world.handoff("mobile");
    let target = stage.mobile.expect_call();
    target.answer(&target.invite(), &sdp("mobile", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.call.notify_ok(OK, "terminated");
    t.pbx.expect_silence(s(1));
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// It changes nothing of the join, and is recorded.
#[test]
fn a_failure_that_is_told_while_the_next_target_is_joined_stands_in_its_attempt() {
    let stage = begin("brave");
    let t = &stage.t;
    t.call.expect("REFER");
    t.world.advance(s(8));
    let target = stage.desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.reply(&offer, 100);
    t.call.notify_ok("SIP/2.0 480 Done\r\n", "terminated");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.advance(s(1));
    let ended = t.world.assert_ended("succeeded");
    assert_eq!(ended.attempts[0].final_status, Some(480));
    t.leg.expect_bye();
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn the_first_refer_succeeds_while_the_second_replaces_a_target() {
    let stage = begin("brave-again");
    let t = &stage.t;
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    let target = stage.desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let second = t.call.expect("REFER");
    t.call.reply(&second, 202);
    t.call.notify_event(&format!("refer;id={}", refer.cseq().0), OK, "terminated");
    t.call.expect(200);
    target.expect_bye();
    t.both_get_bye();
    assert_eq!(t.world.assert_ended("succeeded").attempts[0].cause, None);
    t.world.assert_empty();
}

#[test]
fn nothing_is_told_of_a_transfer_after_the_callers_bye() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let target = stage.desk.expect_call();
    target.reply(&target.invite(), 180);
    stage.t.call.hang_up();
    taken_back(&target);
    stage.t.leg.expect_bye_within(s(2));
    stage.t.world.advance(s(60));
    let handoff = stage.t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    assert_eq!(stage.t.world.complaints().1, 0);
    stage.t.world.assert_empty();
}

#[test]
fn the_callers_bye_while_a_later_step_rings() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let target = stage.desk.expect_call();
    target.reply(&target.invite(), 180);
    stage.t.call.hang_up();
    taken_back(&target);
    stage.t.call.notify_ok(OK, "terminated");
    stage.t.leg.expect_bye_within(s(2));
    let handoff = stage.t.world.assert_ended("succeeded");
    assert_eq!(handoff.cause, None);
    stage.t.world.assert_empty();
}

#[test]
fn the_agent_is_told_what_the_late_word_said() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.leg.refer("sip:careful@baton", &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    t.world.advance(s(9));
    let target = desk.expect_call();
    target.reply(&target.invite(), 180);
    t.leg.expect_notify("SIP/2.0 180 Ringing", "active");
    t.call.reply(&refer, 202);
    taken_back(&target);
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert!(handoff.explain.cause.starts_with("486"), "{:?}", handoff.explain);
    t.leg.expect_notify("SIP/2.0 486 Busy Here", "terminated");
    let resumed = t.world.events().into_iter().find(|what| matches!(what, EventKind::AttemptResumed { .. }));
    let event =
        Event { at: Stamp(UnixMillis(0)), what: resumed.expect("the log says why the target was let go") };
    let line = line_of(&event).render(0, Style::default());
    let told = "destination=careful method=refer attempt=1 reason=\"its REFER was heard of late";
    assert!(line.contains(" INFO handoff.attempt_resumed call=") && line.contains(told), "{line}");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The agent has left with its decision, and nobody is with the caller who might have been with the target.
#[test]
fn a_failure_that_is_told_late_does_not_leave_the_caller_alone() {
    for notify_200 in ["reported", "accepted"] {
        let t = Talking::with(&config().trunk_key(&format!("notify_200 = \"{notify_200}\"")));
        t.leg.bye_with(&[("X-Handoff", "queue")]);
        t.leg.expect(200);
        let refer = t.call.expect("REFER");
        t.call.reply(&refer, 202);
        t.world.advance(s(61));
        t.world.assert_ended("unknown");
        t.call.notify_ok("SIP/2.0 480 Temporarily Unavailable\r\n", "terminated");
        t.call.still_has_caller();
        let fallback = t.call.expect("REFER");
        assert!(fallback.header("Refer-To").contains("+14155550123"), "{fallback}");
        t.call.reply(&fallback, 403);
        t.call.expect_bye();
        t.world.assert_empty();
    }
}

#[test]
fn nor_does_it_disturb_an_agent() {
    let t = Talking::new();
    t.world.handoff("queue");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    t.call.notify_ok("SIP/2.0 480 Temporarily Unavailable\r\n", "terminated");
    t.pbx.expect_silence(s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_2xx_that_comes_while_the_next_refer_waits_out_a_glare_counts() {
    let table = "[destination.twice]\nroute = \"sip:desk@10.0.0.30\"\non_failure = { unknown = [\"again\"] }\n[destination.again]\nroute = \"sip:me@10.0.0.31\"\n";
    let t = Talking::with(&Config::default().destination(table));
    t.world.handoff("twice");
    let first = t.call.expect("REFER");
    t.world.advance(s(8));
    let second = t.call.expect("REFER");
    t.call.reply(&second, 491);
    t.call.reply(&first, 202);
    t.pbx.expect_silence(s(5));
    t.call.hang_up();
    t.leg.expect_bye_within(s(2));
    t.world.advance(s(60));
    t.world.assert_ended("unknown");
    t.world.assert_empty();
}

/// Somebody ends the call while the REFER stands so: the transfer may be carried out all the same.
#[track_caller]
fn ended_in_the_middle(proof: Option<Proof>, stands: impl FnOnce(&Talking)) {
    let t = Talking::new();
    t.world.handoff("front-desk");
    stands(&t);
    t.world.command(Command::HangUp { call: t.world.call_id() });
    t.both_get_bye();
    assert_eq!(t.world.assert_ended("unknown").proof, proof);
    t.world.assert_empty();
}

#[test]
fn a_call_that_is_ended_while_a_refer_is_under_way_does_not_know_what_became_of_it() {
    ended_in_the_middle(Some(Proof::Accepted), |t| {
        let refer = t.call.expect("REFER");
        t.call.reply(&refer, 202);
    });
    ended_in_the_middle(Some(Proof::Accepted), |t| {
        let refer = t.call.expect("REFER");
        t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
        // Of a proxy that has passed it on.
        t.call.reply(&refer, 408);
    });
    ended_in_the_middle(None, |t| {
        t.call.expect("REFER");
    });
}

/// Nothing is in doubt where no REFER is out.
#[test]
fn a_call_that_is_ended_while_a_target_rings_has_a_handoff_that_failed() {
    let t = begin("mobile");
    let target = t.mobile.expect_call();
    target.reply(&target.invite(), 180);
    t.t.world.command(Command::HangUp { call: t.t.world.call_id() });
    t.t.both_get_bye();
    taken_back(&target);
    t.t.world.assert_ended("failed");
    t.t.world.assert_empty();
}

/// A PBX has stood still for longer than the REFER's transaction (64*T1), and takes it then.
#[test]
fn a_2xx_that_comes_when_the_refers_transaction_is_over_counts_as_said() {
    let stage = begin("brave");
    let t = &stage.t;
    let refer = t.call.expect("REFER");
    t.world.advance(s(8));
    let target = stage.desk.expect_call();
    target.reply(&target.invite(), 180);
    t.world.advance(s(25));
    t.call.reply(&refer, 202);
    taken_back(&target);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

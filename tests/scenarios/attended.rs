//! `attended`: the target is called first, then the caller's side is asked to take its call over (RFC 5589 §7). Where it
//! cannot, the target, which has answered already, is joined with the caller.

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Peer, Talking, sdp, sdp_with};
use crate::common::{Command, Reply, ms, s};
use std::rc::Rc;
use std::time::Duration;

const DESK: &str = "10.0.0.30:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";
const TABLE: &str = r#"
[destination.desk]
method = "attended"
route = "sip:desk@10.0.0.30"
[destination.desk.headers]
X-Account = "4711"
[destination.desk-at-once]
method = "attended"
route = "sip:desk@10.0.0.30"
timeouts = { settle = "0ms" }
[destination.desk-by-any-means]
method = "attended"
route = "sip:desk@10.0.0.30"
on_failure = ["invite", "agent"]
[destination.desk-in-doubt]
method = "attended"
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["invite"] }
[destination.mobile-in-doubt]
method = "attended"
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["mobile"], default = ["agent"] }
[destination.mobile]
method = "invite"
route = "sip:me@10.0.0.31"
"#;

pub(crate) fn config() -> Config {
    Config::default().destination(TABLE)
}

/// The target has answered, and the caller's side is asked to take over.
fn referred() -> (Talking, Peer, Leg, Rc<Message>) {
    referred_to("desk")
}

fn referred_to(destination: &str) -> (Talking, Peer, Leg, Rc<Message>) {
    let (t, desk, target) = answered(destination);
    let refer = t.call.expect("REFER");
    (t, desk, target, refer)
}

/// The target has answered.
fn answered(destination: &str) -> (Talking, Peer, Leg) {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff(destination);
    let target = desk.expect_call();
    assert_eq!(target.invite().find("X-Account"), (destination == "desk").then_some("4711"));
    assert_eq!(target.invite().sdp(), sdp("pbx", 1));
    target.reply(&target.invite(), 180);
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    (t, desk, target)
}

/// The target is bridged: the caller gets it by re-INVITE.
fn bridged(t: &Talking, target: &Leg) {
    let offer = t.call.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("desk", 1)));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    let methods: Vec<_> = handoff.attempts.iter().map(|a| a.method.to_string()).collect();
    assert_eq!(methods, ["attended", "invite"]);
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

fn proven(t: &Talking) {
    let handoff = t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    let attempt = &handoff.attempts[0];
    assert_eq!((&*attempt.method, attempt.status), ("attended", Some(200)), "that of the INVITE");
    assert_eq!(t.world.complaints(), (0, 0));
}

#[test]
fn the_caller_takes_the_target_over() {
    let (t, _desk, target, refer) = referred();
    // The dialog as the target sees it: its own tag is the to-tag.
    let (call_id, own) = (target.call_id(), target.local_tag());
    let ours = target.invite().header("From").split(";tag=").nth(1).unwrap_or_default().to_owned();
    let escaped = call_id.replace('@', "%40");
    let expected = format!(
        "<sip:desk@10.0.0.30:5060?Replaces={escaped}%3Bto-tag%3D{own}%3Bfrom-tag%3D{ours}&Require=replaces>"
    );
    assert_eq!(refer.header("Refer-To"), expected);
    assert_eq!(refer.header("Referred-By"), "<sip:+14155550100@192.0.2.10>");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.world.assert_running();
    // The PBX calls the desk with Replaces; the desk ends what it had with us, and the PBX reports it.
    target.hang_up();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    proven(&t);
    t.world.assert_empty();
}

/// Nobody hears anything from Baton for that time.
#[track_caller]
fn nobody_hears(t: &Talking, desk: &Peer, time: Duration) {
    t.world.advance(time);
    for peer in [&t.pbx, &t.agent, desk] {
        peer.expect_silence(Duration::ZERO);
    }
}

/// Nothing tells how it ended: caller and agent stay as they are, and so does the target, if it is still there.
#[track_caller]
fn nothing_is_known(t: &Talking, proof: Option<&str>) {
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|p| p.as_str()), proof);
    assert_eq!((handoff.attempts.len(), handoff.cause.as_deref()), (1, Some("unknown")));
    assert_eq!(t.world.complaints(), (1, 0));
}

/// The caller hangs up while the target's leg still waits to be taken over: that one is let go once the result is not due
/// any more.
#[track_caller]
fn all_hang_up(t: &Talking, target: &Leg) {
    t.caller_hangs_up();
    target.expect_bye_within(s(63));
    t.world.assert_empty();
}

/// A receiver may say 200 before it is done (Asterisk: 2 ms before the BYE), and a BYE of ours then destroys what the caller
/// is being moved into.
#[test]
fn no_leg_gets_a_bye_before_the_replaced_one_has_ended() {
    let (t, desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    nobody_hears(&t, &desk, ms(2));
    t.world.assert_running();
    target.hang_up();
    t.both_get_bye();
    proven(&t);
    t.world.assert_empty();
}

#[test]
fn two_seconds_after_a_believed_report_all_are_let_go() {
    let (t, desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    nobody_hears(&t, &desk, ms(1_990));
    t.world.assert_running();
    t.world.advance(ms(20));
    t.both_get_bye();
    target.expect_bye();
    proven(&t);
    t.world.assert_empty();
}

/// Our BYE for an ACK that never came (RFC 3261 §13.3.1.4) waits as long.
#[test]
fn a_missing_ack_of_the_callers_does_not_cut_the_swap_short() {
    let (t, desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.reinvite(&sdp_with("pbx", 2, "m=audio 4400 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    let passed = t.leg.expect("INVITE");
    t.leg.answer(&passed, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.call.expect(200);
    t.world.advance(ms(30_500));
    t.call.notify_ok(OK, "terminated");
    nobody_hears(&t, &desk, ms(1_990));
    t.world.assert_running();
    t.world.advance(ms(20));
    t.both_get_bye();
    target.expect_bye();
    proven(&t);
    t.world.assert_empty();
}

/// A person who hears nobody hangs up as well.
#[test]
fn a_targets_bye_is_no_proof_where_nothing_is_reported() {
    let (t, desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.world.advance(ms(2_500));
    target.hang_up();
    nobody_hears(&t, &desk, s(57));
    t.world.assert_running();
    t.world.advance(s(1));
    nothing_is_known(&t, Some("accepted"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_hang_up_by_request_between_the_report_and_the_bye_changes_no_result() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    let call = t.world.call_id();
    t.world.command(Command::HangUp { call });
    t.both_get_bye();
    target.expect_bye();
    proven(&t);
    t.world.assert_empty();
}

#[test]
fn a_caller_leg_that_ends_between_the_report_and_the_bye_changes_no_result() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.call.hang_up();
    t.world.advance(ms(2));
    target.hang_up();
    t.leg.expect_bye();
    proven(&t);
    t.world.assert_empty();
}

#[test]
fn a_report_of_failure_after_the_targets_bye_counts() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    target.hang_up();
    t.call.notify_ok("SIP/2.0 481 Gone\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A PBX that lets phones send their media to each other has told them by re-INVITE by then: if the REFER comes at once, one
/// of the two may hear nobody.
#[test]
fn the_refer_waits_until_the_target_has_settled() {
    let (t, desk, target) = answered("desk");
    nobody_hears(&t, &desk, ms(599));
    t.world.advance(ms(1));
    let refer = t.call.expect_within("REFER", Duration::ZERO);
    t.call.reply(&refer, 603);
    bridged(&t, &target);
}

#[test]
fn where_settle_is_zero_it_does_not() {
    let (t, _desk, target) = answered("desk-at-once");
    let refer = t.call.expect_within("REFER", Duration::ZERO);
    t.call.reply(&refer, 603);
    bridged(&t, &target);
}

#[test]
fn a_target_that_hangs_up_before_it_has_settled_is_not_referred_to() {
    let (t, desk, target) = answered("desk");
    t.world.advance(ms(300));
    target.hang_up();
    nobody_hears(&t, &desk, s(2));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.attempts.len(), handoff.cause.as_deref()), (1, Some("failed")));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_caller_who_hangs_up_before_the_target_has_settled_is_not_referred() {
    let (t, _desk, target) = answered("desk");
    t.world.advance(ms(300));
    t.caller_hangs_up();
    target.expect_bye_within(Duration::ZERO);
    t.world.assert_ended("abandoned");
    t.pbx.expect_silence(s(2));
    t.world.assert_empty();
}

#[test]
fn it_can_be_cancelled_before_the_target_has_settled() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let id = t.world.handoff("desk").id;
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let reply = t.world.command(Command::CancelHandoff { handoff: id.to_string() });
    assert!(matches!(reply, Reply::Handoff(view) if view.state.as_str() == "cancelled"));
    target.expect_bye();
    t.pbx.expect_silence(s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// Caller and agent talk on, and the agent may leave.
#[test]
fn what_is_asked_before_the_target_has_settled_is_passed_on() {
    let (t, _desk, target) = answered("desk");
    t.call.reinvite(&sdp("pbx", 2));
    t.call.expect(100);
    let asked = t.leg.expect("INVITE");
    t.leg.answer(&asked, &sdp("agent", 1));
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.leg.expect("ACK");
    t.leg.hang_up();
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    target.hang_up();
    t.call.expect_bye();
    proven(&t);
    t.world.assert_empty();
}

#[test]
fn a_refused_refer_bridges_the_target() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 603);
    bridged(&t, &target);
    let handoff = t.world.ended_handoffs().remove(0);
    let attempt = &handoff.attempts[0];
    assert_eq!((attempt.status, attempt.cause.as_deref()), (Some(603), Some("refused")));
    assert_eq!(handoff.attempts[1].sip_call_id.as_deref(), Some(&*target.call_id()));
    assert_eq!(t.world.complaints(), (1, 0));
}

#[test]
fn so_does_a_report_that_it_failed() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 420 Bad Extension\r\n", "terminated");
    bridged(&t, &target);
}

/// It may be carried out all the same: whoever re-INVITEs the caller now pulls them back.
#[test]
fn a_refer_that_is_never_answered_is_not_refused() {
    let (t, desk, target, _refer) = referred();
    t.world.advance(s(8));
    nothing_is_known(&t, None);
    nobody_hears(&t, &desk, s(10));
    all_hang_up(&t, &target);
}

#[test]
fn nor_is_one_whose_result_does_not_come() {
    let (t, desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    nobody_hears(&t, &desk, s(61));
    nothing_is_known(&t, Some("accepted"));
    nobody_hears(&t, &desk, s(10));
    all_hang_up(&t, &target);
}

#[test]
fn nor_is_one_whose_subscription_ends_without_a_result() {
    for sipfrag in ["SIP/2.0 100 Trying\r\n", ""] {
        let (t, desk, target, refer) = referred();
        t.call.reply(&refer, 202);
        t.call.notify_ok(sipfrag, "terminated");
        nothing_is_known(&t, Some("accepted"));
        nobody_hears(&t, &desk, s(10));
        // The PBX has carried it out.
        target.hang_up();
        nobody_hears(&t, &desk, s(10));
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

/// The step that is named for it joins the target that is there: nobody hears a second ring.
#[test]
fn a_step_that_is_named_for_unknown_joins_the_target_that_is_there() {
    let (t, desk, target, refer) = referred_to("desk-in-doubt");
    t.call.reply(&refer, 202);
    t.call.notify_ok("", "terminated");
    desk.expect_silence(ms(50));
    bridged(&t, &target);
}

#[test]
fn a_late_refusal_lets_the_target_go_that_waits_to_be_taken_over() {
    let (t, _desk, target, refer) = referred();
    t.world.advance(s(9));
    nothing_is_known(&t, None);
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 481 Gone\r\n", "terminated");
    target.expect_bye();
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_late_success_waits_for_the_targets_bye_too() {
    let (t, desk, target, refer) = referred();
    t.world.advance(s(9));
    nothing_is_known(&t, None);
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    nobody_hears(&t, &desk, ms(2));
    target.hang_up();
    t.both_get_bye();
    t.world.assert_empty();
}

/// What a later step tries is taken back, and the target that still waits is joined.
#[test]
fn a_late_refusal_joins_the_target_while_another_one_rings() {
    let (t, _desk, target, refer) = referred_to("mobile-in-doubt");
    let mobile = t.world.peer("mobile", "10.0.0.31:5060");
    t.world.advance(s(9));
    let other = mobile.expect_call();
    other.reply(&other.invite(), 180);
    t.call.reply(&refer, 202);
    let cancel = other.expect("CANCEL");
    other.reply(&cancel, 200);
    other.reply(&other.invite(), 487);
    other.expect("ACK");
    t.call.notify_ok("SIP/2.0 481 Gone\r\n", "terminated");
    let offer = t.call.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("desk", 1)));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_late_success_while_another_one_rings_waits_for_the_targets_bye_too() {
    let (t, desk, target, refer) = referred_to("mobile-in-doubt");
    let mobile = t.world.peer("mobile", "10.0.0.31:5060");
    t.world.advance(s(9));
    let other = mobile.expect_call();
    other.reply(&other.invite(), 180);
    t.call.reply(&refer, 202);
    let cancel = other.expect("CANCEL");
    other.reply(&cancel, 200);
    other.reply(&other.invite(), 487);
    other.expect("ACK");
    t.call.notify_ok(OK, "terminated");
    nobody_hears(&t, &desk, ms(2));
    target.hang_up();
    t.both_get_bye();
    let handoff = t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    t.world.assert_empty();
}

/// Nobody else speaks with it, and its session has to live for as long as it may be taken over.
#[test]
fn a_target_that_waits_to_be_taken_over_refreshes_its_session() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("", "terminated");
    nothing_is_known(&t, Some("accepted"));
    target.reinvite(&sdp("desk", 1));
    let ok = target.expect(200);
    target.ack(&ok);
    all_hang_up(&t, &target);
}

#[test]
fn a_call_that_is_hung_up_by_request_takes_the_waiting_target_along() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("", "terminated");
    nothing_is_known(&t, Some("accepted"));
    let call = t.world.call_id();
    t.world.command(Command::HangUp { call });
    t.both_get_bye();
    target.expect_bye();
    t.world.assert_empty();
}

/// The PBX ends our leg, and takes the target over a moment later.
#[test]
fn a_caller_who_leaves_in_doubt_may_still_be_on_the_way_to_the_target() {
    let (t, desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("", "terminated");
    nothing_is_known(&t, Some("accepted"));
    t.world.advance(s(70));
    t.caller_hangs_up();
    nobody_hears(&t, &desk, ms(1_900));
    target.hang_up();
    t.world.assert_empty();
}

#[test]
fn a_target_that_hangs_up_before_the_refer_is_refused() {
    let (t, _desk, target, refer) = referred();
    target.hang_up();
    t.world.assert_running();
    t.call.reply(&refer, 603);
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.attempts.len(), handoff.cause.as_deref()), (1, Some("refused")));
    assert_eq!(t.world.complaints(), (1, 0));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// Replaced is replaced: the target's BYE comes from somewhere else than the 202, and may be faster.
#[test]
fn the_targets_bye_may_overtake_the_202() {
    let (t, _desk, target, refer) = referred();
    target.hang_up();
    t.world.advance(ms(500));
    t.call.reply(&refer, 202);
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    proven(&t);
    t.world.assert_empty();
}

/// So early a BYE can as well be somebody's who had enough: by itself it proves nothing.
#[test]
fn a_bye_that_overtook_the_202_is_no_proof_where_nothing_is_reported() {
    let (t, _desk, target, refer) = referred();
    target.hang_up();
    t.call.reply(&refer, 202);
    t.world.advance(s(59));
    t.world.assert_running();
    t.world.advance(s(1));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_target_that_hangs_up_and_a_refer_that_is_never_answered() {
    let (t, _desk, target, _refer) = referred();
    target.hang_up();
    t.world.advance(s(8));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!((handoff.proof, handoff.attempts[0].status), (None, Some(408)));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_target_that_hangs_up_while_a_glare_is_waited_out() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 491);
    target.hang_up();
    t.world.advance(s(3));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("failed"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The desk that hears nothing hangs up while the caller's side still calls it: to take that for success would end the
/// caller's call.
#[test]
fn the_targets_bye_is_no_proof_where_a_report_is_due() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    target.hang_up();
    t.world.advance(s(10));
    t.world.assert_running();
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.attempts[0].final_status, handoff.cause.as_deref()), (Some(486), Some("busy")));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn nor_is_it_where_the_report_begins_after_it_and_never_ends() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    target.hang_up();
    t.world.advance(s(1));
    t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
    t.world.advance(s(59));
    t.world.assert_running();
    t.world.advance(s(1));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn the_caller_hangs_up_before_the_refer_is_answered() {
    let (t, _desk, target, refer) = referred();
    t.call.bye();
    t.call.expect(200);
    t.call.reply(&refer, 481);
    t.leg.expect_bye();
    // Its BYE may have overtaken its 202, and the target may be taken over just now.
    target.expect_bye_within(s(3));
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

/// A caller who gives up and a person who hears nobody look the same.
#[test]
fn the_byes_of_both_sides_prove_nothing() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.hang_up();
    target.hang_up();
    t.leg.expect_bye_within(s(2));
    t.world.advance(s(57));
    t.world.assert_running();
    t.world.advance(s(2));
    nothing_is_known(&t, Some("accepted"));
    t.world.assert_empty();
}

#[test]
fn the_pbx_ends_its_leg_and_reports_afterwards() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.hang_up();
    target.hang_up();
    t.call.notify_ok(OK, "terminated");
    t.leg.expect_bye_within(s(2));
    proven(&t);
    t.world.assert_empty();
}

#[test]
fn the_pbx_ends_its_leg_and_nothing_becomes_of_it() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.hang_up();
    t.leg.expect_bye_within(s(2));
    target.expect_bye_within(s(63));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    t.world.assert_empty();
}

#[test]
fn a_busy_target_is_not_referred_to() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((&*handoff.attempts[0].method, handoff.cause.as_deref()), ("attended", Some("busy")));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn it_can_be_cancelled_while_the_target_rings() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let id = t.world.handoff("desk").id;
    let target = desk.expect_call();
    target.reply(&target.invite(), 180);
    let reply = t.world.command(Command::CancelHandoff { handoff: id.to_string() });
    assert!(matches!(reply, Reply::Handoff(view) if view.state.as_str() == "cancelled"));
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn glare_with_the_refer_is_waited_out() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 491);
    let again = t.call.expect_within("REFER", s(3));
    assert_eq!(again.header("Refer-To"), refer.header("Refer-To"));
    t.call.reply(&again, 202);
    t.call.notify_ok(OK, "terminated");
    target.hang_up();
    t.both_get_bye();
    let handoff = t.world.assert_ended("succeeded");
    let told: Vec<_> = handoff
        .attempts
        .iter()
        .map(|a| (a.status, a.sip_call_id.as_ref().map(ToString::to_string)))
        .collect();
    // The first request of the second attempt is the REFER.
    assert_eq!(told, [(Some(491), Some(target.call_id())), (Some(202), Some(t.call.call_id()))]);
    t.world.assert_empty();
}

#[test]
fn a_target_that_is_bridged_after_a_glare_is_named_by_its_own_dialog() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 491);
    let again = t.call.expect_within("REFER", s(3));
    t.call.reply(&again, 603);
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("succeeded");
    let last = handoff.attempts.last().expect("an attempt");
    assert_eq!((&*last.method, last.sip_call_id.as_deref()), ("invite", Some(&*target.call_id())));
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn before_the_answer_the_target_is_simply_called() {
    let world = crate::common::World::with(&config());
    let (pbx, agent) =
        (world.peer("pbx", crate::common::peer::PBX), world.peer("agent", crate::common::peer::AGENT));
    let desk = world.peer("desk", DESK);
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.handoff("desk");
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    let handoff = world.assert_ended("succeeded");
    assert_eq!(&*handoff.attempts[0].method, "invite");
    call.hang_up();
    target.expect_bye();
    world.assert_empty();
}

/// A target that has answered on a trunk whose 200 in a NOTIFY says no more than that it has begun.
fn referred_where_a_200_proves_nothing() -> (Talking, Peer, Leg) {
    let t = Talking::with(&config().trunk_key("notify_200 = \"accepted\""));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    (t, desk, target)
}

/// Asterisk: the BYE comes 2 ms after the 200.
#[test]
fn a_200_that_proves_nothing_and_the_targets_bye_right_after_it_are_proof() {
    for after in [ms(0), ms(2), ms(1_990)] {
        let (t, desk, target) = referred_where_a_200_proves_nothing();
        t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
        t.call.notify_ok(OK, "terminated");
        // The caller is on its way and must not be re-INVITEd.
        nobody_hears(&t, &desk, after);
        target.hang_up();
        t.both_get_bye();
        proven(&t);
        t.world.assert_empty();
    }
}

#[test]
fn so_are_the_targets_bye_and_a_200_right_after_it() {
    for after in [ms(2), ms(1_990)] {
        let (t, _desk, target) = referred_where_a_200_proves_nothing();
        t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
        target.hang_up();
        t.world.advance(after);
        t.call.notify_ok(OK, "terminated");
        t.both_get_bye();
        proven(&t);
        t.world.assert_empty();
    }
}

#[test]
fn a_200_that_proves_nothing_long_after_the_targets_bye_is_no_proof() {
    let (t, desk, target) = referred_where_a_200_proves_nothing();
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    target.hang_up();
    t.world.advance(ms(2_500));
    t.call.notify_ok(OK, "terminated");
    nothing_is_known(&t, Some("accepted"));
    nobody_hears(&t, &desk, s(10));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The PBX says 200 at once, and 2.5 s later the person at the target, who hears nobody, hangs up.
#[test]
fn a_targets_bye_long_after_a_200_that_proves_nothing_is_no_proof() {
    let (t, desk, target) = referred_where_a_200_proves_nothing();
    t.call.notify_ok(OK, "terminated");
    nobody_hears(&t, &desk, ms(2_500));
    nothing_is_known(&t, Some("accepted"));
    target.hang_up();
    nobody_hears(&t, &desk, s(10));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn without_that_bye_nothing_is_known_and_all_legs_stay() {
    let (t, desk, target) = referred_where_a_200_proves_nothing();
    t.call.notify_ok(OK, "terminated");
    nobody_hears(&t, &desk, s(60));
    nothing_is_known(&t, Some("accepted"));
    all_hang_up(&t, &target);
}

#[test]
fn where_a_200_proves_nothing_the_callers_leg_may_end_first() {
    let (t, desk, target) = referred_where_a_200_proves_nothing();
    t.call.hang_up();
    t.call.notify_ok(OK, "terminated");
    t.world.advance(ms(2));
    target.hang_up();
    t.leg.expect_bye_within(s(1));
    nobody_hears(&t, &desk, s(1));
    proven(&t);
    t.world.assert_empty();
}

#[test]
fn a_failure_that_is_told_after_a_200_that_proves_nothing_is_a_refusal() {
    let (t, _desk, target) = referred_where_a_200_proves_nothing();
    t.call.notify_ok(OK, "active");
    t.world.advance(ms(500));
    t.call.notify_ok("SIP/2.0 481 Gone\r\n", "terminated");
    bridged(&t, &target);
}

/// A target that refuses the caller's session is called with a fresh one and joined at once: nobody is referred.
#[test]
fn what_is_joined_with_a_fresh_offer_is_an_invite() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 1));
    let again = desk.expect_call();
    again.answer(&again.invite(), &sdp("desk", 1));
    again.expect("ACK");
    t.call.expect("ACK");
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("succeeded");
    let told: Vec<_> = handoff.attempts.iter().map(|a| (&*a.method, a.status)).collect();
    assert_eq!(told, [("attended", Some(488)), ("invite", Some(200))]);
    t.call.hang_up();
    again.expect_bye();
    t.world.assert_empty();
}

/// The step `invite` would ring the desk once more, for a caller that has just refused it.
#[test]
fn a_target_that_was_bridged_in_vain_is_not_invited_again() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk-by-any-means");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    let offer = t.call.expect("INVITE");
    t.call.reply(&offer, 488);
    t.call.expect("ACK");
    target.expect_bye();
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.attempts.len(), 2);
    desk.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The REFER gets 481, which is checked; the target hangs up before the check is answered.
fn checked_while_the_target_leaves() -> (Talking, Rc<Message>) {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 481);
    let probe = t.call.expect("OPTIONS");
    target.hang_up();
    (t, probe)
}

#[test]
fn a_target_that_leaves_while_a_481_is_checked_hides_nothing() {
    let (t, probe) = checked_while_the_target_leaves();
    t.world.advance(ms(600));
    t.world.assert_running();
    t.call.reply(&probe, 481);
    t.both_get_bye();
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.cause.as_deref(), Some("lost_by_receiver"));
    assert_eq!(t.world.complaints(), (1, 1));
    t.world.assert_empty();
}

#[test]
fn a_target_that_leaves_while_a_481_is_checked_and_the_caller_is_there() {
    let (t, probe) = checked_while_the_target_leaves();
    t.call.reply(&probe, 200);
    t.world.advance(ms(500));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("refused"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_target_whose_session_expires_was_not_replaced() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    // It is to refresh within 90 s, and does not.
    let timer = [("Require", "timer"), ("Session-Expires", "90;refresher=uas")];
    target.reply_with(&target.invite(), 200, &timer, &sdp("desk", 1));
    target.expect("ACK");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(30));
    t.call.notify_ok("SIP/2.0 183 Session Progress\r\n", "active");
    target.expect_bye_within(s(31));
    t.world.advance(s(3));
    t.call.notify_ok("SIP/2.0 480 Temporarily Unavailable\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_targets_ack_is_not_taken_for_the_agents() {
    let (t, _desk, target, refer) = referred();
    // The agent asks for an offer: it answers in its ACK.
    t.leg.request("INVITE", &[], "", "");
    t.leg.expect(100);
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 1));
    let offer = t.leg.expect(200);
    // Meanwhile the target refreshes its own session.
    target.reinvite(&sdp("desk", 1));
    let ok = target.expect(200);
    target.ack(&ok);
    t.leg.ack_with(&offer, &sdp("agent", 1));
    assert_eq!(without_origin(t.call.expect("ACK").sdp()), without_origin(&sdp("agent", 1)));
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    target.hang_up();
    t.both_get_bye();
    proven(&t);
    t.world.assert_empty();
}

#[test]
fn a_caller_leg_that_breaks_between_the_report_and_the_bye_takes_nothing_away() {
    let (t, _desk, target, refer) = referred();
    t.call.reply(&refer, 202);
    t.leg.reinvite(&sdp("agent", 2));
    let offer = t.call.expect("INVITE");
    t.call.notify_ok(OK, "terminated");
    t.call.reply(&offer, 481);
    t.call.expect("ACK");
    t.world.advance(ms(300));
    t.world.assert_running();
    target.hang_up();
    proven(&t);
    t.world.finish();
}

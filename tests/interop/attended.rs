//! `attended`: Baton calls the desk, then asks the caller's side to take that call over, by REFER with Replaces. Where it
//! refuses, Baton joins the two itself, as the desk has answered already.

use serde_json::Value;

use crate::assert_fields;
use crate::house::{ATTENDED, House, Log, NUMBER, attempts, bye_of};
use crate::peers::{Message, Transcript, finish};

fn house() -> House {
    House::with_destination(ATTENDED)
}

/// The caller's side does not take the desk over: the two are joined, and talk until the call is ended. Handoff and log.
fn bridged(scenario: &str, keys: &[(&str, &str)], status: &str) -> (Value, Log) {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let script = house.caller(scenario).status(status);
    let caller = keys.iter().fold(script, |script, (name, value)| script.key(name, value)).start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(house.parties(&call), ["caller", "target"]);
    house.hang_up(&call);
    caller.finish();
    let desk = desk.finish();
    assert_eq!(desk.all_received("INVITE").len(), 1, "the desk answers once");
    let same = desk.received("INVITE").header("Call-ID");
    for attempt in handoff["attempts"].as_array().into_iter().flatten() {
        assert_fields!(attempt, { sip_call_id: same });
    }
    bye_of(&desk);
    bye_of(&agent.finish());
    (handoff, house.close())
}

/// What the caller's side is asked to take over: the dialog as the desk sees it, at the address that the desk itself gave.
fn assert_replaces(refer: &Message, desk: &Transcript) {
    let (invite, answer) = (desk.received("INVITE"), desk.sent("SIP/2.0 200"));
    let tag = |header: &str| header.split(";tag=").nth(1).unwrap_or_default().to_owned();
    let at = answer.header("Contact").trim_matches(['<', '>']);
    let expected = format!(
        "<{at}?Replaces={}%3Bto-tag%3D{}%3Bfrom-tag%3D{}&Require=replaces>",
        invite.header("Call-ID").replace('@', "%40"),
        tag(answer.header("To")),
        tag(invite.header("From")),
    );
    assert_eq!(refer.header("Refer-To"), expected);
}

#[test]
fn the_callers_side_takes_the_desk_over() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up_on_cue").start();
    let caller = house.caller("caller_takes_over").key("sipfrag", "200 OK").start();
    let call = house.begin_handoff();
    caller.await_received("SIP/2.0 200", 2);
    house.await_handoff_state(&call, "referring");
    // The PBX has called the desk with Replaces: the desk ends the dialog that it had before.
    desk.cue();
    let desk = desk.finish();
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 200, "")]);
    assert_fields!(handoff["attempts"][0], { final_status: 200, sip_call_id: (desk.received("INVITE").header("Call-ID")) });
    let caller = caller.finish();
    let refer = caller.received("REFER");
    assert_replaces(refer, &desk);
    assert!(refer.header("Referred-By").starts_with(&format!("<sip:{NUMBER}@")));
    bye_of(&caller);
    bye_of(&agent.finish());
    assert!(caller.all_received("INVITE").is_empty(), "nothing is joined");
    house.close().assert_quiet();
}

#[test]
fn a_report_is_enough_and_the_desk_is_let_go_after_two_seconds() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_takes_over").key("sipfrag", "200 OK").start();
    let call = house.begin_handoff();
    caller.await_received("SIP/2.0 200", 2);
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    bye_of(&desk.finish());
    bye_of(&caller.finish());
    bye_of(&agent.finish());
    house.close().assert_quiet();
}

#[test]
fn a_desk_that_hangs_up_while_it_is_still_called_is_no_success() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up_on_cue").start();
    let caller = house.caller("caller_takes_over").key("sipfrag", "486 Busy Here").start();
    let call = house.begin_handoff();
    caller.await_received("SIP/2.0 200", 2);
    desk.cue();
    desk.finish();
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "returned", proof: null, cause: "busy" });
    assert_eq!(attempts(&handoff), [("attended", 200, "busy")]);
    assert_fields!(handoff["attempts"][0], { final_status: 486 });
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    finish([caller, agent]);
    house.close().assert_one_failure(&["status=486", "method=attended", "cause=busy", "next=agent"]);
}

#[test]
fn a_desk_that_is_taken_over_may_say_so_before_the_pbx_does() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up_on_cue").start();
    let caller = house.caller("caller_takes_over_before_it_says_so").start();
    let call = house.begin_handoff();
    caller.await_received("REFER", 1);
    desk.cue();
    desk.finish();
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 200, "")]);
    bye_of(&caller.finish());
    bye_of(&agent.finish());
    house.close().assert_quiet();
}

#[test]
fn the_desks_bye_is_no_proof_where_nothing_is_reported() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up_on_cue").start();
    let caller = house.caller("caller_takes_over_in_silence").start();
    let call = house.begin_handoff();
    caller.await_sent("SIP/2.0 202");
    desk.cue();
    desk.finish();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "unknown", proof: "accepted", cause: "unknown" });
    assert_eq!(attempts(&handoff), [("attended", 200, "unknown")]);
    assert_fields!(handoff["attempts"][0], { final_status: null });
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    bye_of(&caller.finish());
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["method=attended", "cause=unknown", "next=none"]);
}

#[test]
fn a_refused_refer_joins_the_two() {
    for (status, code) in [("603 Decline", 603), ("405 Method Not Allowed", 405), ("420 Bad Extension", 420)]
    {
        let (handoff, log) = bridged("caller_refuses_to_take_over", &[], status);
        assert_eq!(attempts(&handoff), [("attended", code, "refused"), ("invite", 200, "")]);
        let told = format!("status={code}");
        log.assert_one_failure(&[&told, "method=attended", "cause=refused", "origin=remote", "next=invite"]);
    }
}

#[test]
fn a_report_that_it_failed_joins_the_two() {
    let gone = "481 Call/Transaction Does Not Exist";
    let (handoff, log) = bridged("caller_fails_to_take_over", &[("sipfrag", gone)], "");
    assert_eq!(attempts(&handoff), [("attended", 200, "refused"), ("invite", 200, "")]);
    assert_fields!(handoff["attempts"][0], { final_status: 481 });
    log.assert_one_failure(&["status=481", "method=attended", "next=invite"]);
}

/// It may be carried out all the same: nobody is re-INVITEd, and the desk's leg stays.
#[test]
fn no_answer_to_the_refer_is_no_refusal() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_ignores_refer").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "unknown", proof: null, cause: "unknown" });
    assert_eq!(attempts(&handoff), [("attended", 408, "unknown")]);
    assert_eq!(house.parties(&call), ["caller", "agent", "target"]);
    house.hang_up(&call);
    let caller = caller.finish();
    assert!(caller.all_received("INVITE").is_empty());
    bye_of(&caller);
    bye_of(&desk.finish());
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["status=408", "method=attended", "cause=unknown", "next=none"]);
}

#[test]
fn a_desk_that_is_busy_or_away_is_not_to_be_taken_over() {
    let away = ATTENDED.replace("ring = \"5s\"", "ring = \"1s\"");
    for (scenario, status, code, cause) in
        [("callee_refuses", "486 Busy Here", 486, "busy"), ("callee_rings", "", 408, "no_answer")]
    {
        let house = House::with_destination(&away);
        let agent = house.agent("callee_answers").start();
        let desk = house.desk(scenario).status(status).start();
        let caller = house.caller("caller_waits").start();
        let (call, handoff) = house.hand_to_front_desk();
        assert_fields!(handoff, { state: "returned", proof: null, cause: cause });
        assert_eq!(attempts(&handoff), [("attended", code, cause)]);
        assert_eq!(house.parties(&call), ["caller", "agent"]);
        house.hang_up(&call);
        assert!(caller.finish().all_received("REFER").is_empty());
        finish([desk, agent]);
        let told = [format!("status={code}"), format!("cause={cause}")];
        house.close().assert_one_failure(&[&told[0], &told[1], "method=attended", "next=agent"]);
    }
}

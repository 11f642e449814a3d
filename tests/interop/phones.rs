//! baresip, a phone with a stack of its own, on every side of Baton.

use crate::assert_fields;
use crate::house::{ATTENDED, House, INVITE, NUMBER, attempts, bye_of};
use crate::peers::{Phone, Transcript, baresip};

/// A phone behind the PBX that dials the agent's number.
fn phone_calls(house: &House) -> Phone {
    baresip("ann", house.pbx, Some(&format!("sip:{NUMBER}@{}", house.sip)), house.dir())
}

#[test]
fn a_phone_is_the_agent() {
    let house = House::open();
    let phone = baresip("booking", house.agent, None, house.dir());
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").start();
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "reported" });
    bye_of(&caller.finish());
    house.close().assert_quiet();
    drop(phone);
}

#[test]
fn a_phone_is_referred_and_calls_the_desk() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up").start();
    let phone = phone_calls(&house);
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "reported" });
    bye_of(&agent.finish());
    let invite = desk.finish();
    assert!(
        invite.received("INVITE").header("User-Agent").starts_with("baresip"),
        "the phone itself called the desk"
    );
    house.close().assert_quiet();
    drop(phone);
}

#[test]
fn a_phone_is_the_desk_and_is_joined_with_the_caller() {
    let house = House::with_destination(INVITE);
    let agent = house.agent("callee_answers").start();
    let phone = baresip("desk", house.desk, None, house.dir());
    let caller = house.caller("caller_is_joined_with_a_phone").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    assert_eq!(house.parties(&call), ["caller", "target"]);
    phone.await_said("Call established", 1);
    house.hang_up(&call);
    phone.await_said("session closed", 1);
    let caller = caller.finish();
    assert!(caller.received("INVITE").body.contains("a=tool:baresip"), "the caller has the phone's session");
    bye_of(&caller);
    bye_of(&agent.finish());
    house.close().assert_quiet();
}

#[test]
fn two_phones_are_joined() {
    let house = House::with_destination(INVITE);
    let agent = house.agent("callee_answers").start();
    let desk = baresip("desk", house.desk, None, house.dir());
    let phone = phone_calls(&house);
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(house.parties(&call), ["caller", "target"]);
    bye_of(&agent.finish());
    desk.await_said("Call established", 1);
    drop(phone);
    desk.await_said("session closed", 1);
    house.close().assert_quiet();
}

#[test]
fn a_phone_is_the_desk_that_the_callers_side_takes_over() {
    let house = House::with_destination(ATTENDED);
    let agent = house.agent("callee_answers").start();
    let phone = baresip("desk", house.desk, None, house.dir());
    let caller = house.caller("caller_takes_over").key("sipfrag", "200 OK").start();
    let call = house.begin_handoff();
    caller.await_received("SIP/2.0 200", 2);
    phone.await_said("Call established", 1);
    // A phone that knows Replaces ends the dialog by itself; this one waits for our BYE, which comes with the report.
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 200, "")]);
    phone.await_said("session closed", 1);
    bye_of(&caller.finish());
    bye_of(&agent.finish());
    house.close().assert_quiet();
}

#[test]
fn a_phone_is_the_desk_that_the_callers_side_does_not_take_over() {
    let house = House::with_destination(ATTENDED);
    let agent = house.agent("callee_answers").start();
    let phone = baresip("desk", house.desk, None, house.dir());
    let caller = house.caller("caller_refuses_to_take_over_a_phone").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 603, "refused"), ("invite", 200, "")]);
    assert_eq!(house.parties(&call), ["caller", "target"]);
    house.hang_up(&call);
    phone.await_said("session closed", 1);
    bye_of(&caller.finish());
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["status=603", "method=attended", "next=invite"]);
}

/// baresip 1.0 knows nothing of Replaces. It calls the desk a second time, with all of Refer-To as its Request-URI, whose
/// `%` it has printed away.
fn assert_called_again(desk: &Transcript) {
    let [first, second] = desk.all_received("INVITE")[..] else { panic!("two INVITEs: {desk:#?}") };
    assert!(second.header("User-Agent").starts_with("baresip"));
    assert_ne!(first.header("Call-ID"), second.header("Call-ID"));
    assert!(second.headers("Replaces").is_empty() && second.headers("Require").is_empty());
    assert!(second.start.contains("?Replaces=") && !second.start.contains('%'), "{}", second.start);
}

#[test]
fn a_phone_that_is_to_take_a_desk_over_calls_it_again() {
    let house = House::with_destination(ATTENDED);
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").twice().start();
    let phone = phone_calls(&house);
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 200, "")]);
    assert_fields!(handoff["attempts"][0], { final_status: 200 });
    bye_of(&agent.finish());
    // Baton has let the desk go; the phone and the desk still have each other.
    desk.await_received("BYE", 1);
    house.await_no_call();
    assert_eq!(desk.so_far().all_received("BYE").len(), 1);
    drop(phone);
    assert_called_again(&desk.finish());
    house.close().assert_quiet();
}

#[test]
fn where_the_desk_has_one_line_the_phone_is_joined_with_it() {
    let house = House::with_destination(ATTENDED);
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_takes_one_call").twice().start();
    let phone = phone_calls(&house);
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 200, "busy"), ("invite", 200, "")]);
    assert_fields!(handoff["attempts"][0], { final_status: 486 });
    assert_eq!(house.parties(&call), ["caller", "target"]);
    bye_of(&agent.finish());
    house.hang_up(&call);
    phone.await_said("session closed: Connection reset by peer", 1);
    assert_called_again(&desk.finish());
    house.close().assert_one_failure(&["status=486", "method=attended", "cause=busy", "next=invite"]);
}

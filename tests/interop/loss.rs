//! One datagram is lost, and is sent again by whoever has to: no handoff ends otherwise for that.

use serde_json::Value;

use crate::assert_fields;
use crate::house::{House, INVITE, Plan, REFER, bye_of, table};
use crate::peers::{DESK, PBX, finish, free_address};
use crate::wire::Wire;

/// A handoff with the PBX at the end of a wire that loses this.
fn with_a_bad_line_to_the_pbx(way: &str, scenario: &str, loses: &'static [&'static str]) -> Value {
    let at = free_address(PBX);
    let house = House::built(Plan { trunk_address: Some(at), table: table(way), ..Plan::default() });
    let wire = Wire::lay(at, house.sip, loses);
    let agent = house.agent("callee_answers").start();
    let desk = (way == INVITE).then(|| house.desk("callee_answers").start());
    let script = house.caller(scenario).through(at).contact(&format!("pbx@{at}"));
    let caller = script.key("sipfrag", "200 OK").start();
    let (call, handoff) = house.hand_to_front_desk();
    if desk.is_some() {
        caller.await_received("ACK", 1); // The call may end before it came again.
        house.hang_up(&call);
    }
    caller.finish();
    finish(desk);
    bye_of(&agent.finish());
    wire.assert_lost();
    house.close().assert_quiet();
    handoff
}

#[test]
fn on_the_way_to_or_from_a_pbx_that_is_referred() {
    for loses in [&["REFER "][..], &["SIP/2.0 202"], &["NOTIFY "], &["NOTIFY ", "SIP/2.0 200"], &["BYE "]] {
        let handoff = with_a_bad_line_to_the_pbx(REFER, "caller_follows_refer", loses);
        assert_fields!(handoff, { state: "succeeded", proof: "reported" });
    }
}

#[test]
fn on_the_way_to_or_from_a_pbx_whose_caller_is_called_for() {
    for loses in [&["INVITE "][..], &["SIP/2.0 180"], &["SIP/2.0 200", "m=audio 40000 "], &["ACK sip:baton"]]
    {
        let handoff = with_a_bad_line_to_the_pbx(INVITE, "caller_is_joined", loses);
        assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    }
}

#[test]
fn on_the_way_to_or_from_a_pbx_whose_caller_is_joined() {
    for loses in
        [&["INVITE sip:pbx"][..], &["SIP/2.0 200", "m=audio 30000 "], &["ACK sip:pbx"], &["BYE sip:pbx"]]
    {
        let handoff = with_a_bad_line_to_the_pbx(INVITE, "caller_is_joined", loses);
        assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    }
}

#[test]
fn on_the_way_to_or_from_the_desk() {
    for loses in [&["INVITE "][..], &["SIP/2.0 180"], &["SIP/2.0 200", " INVITE\r\n"], &["ACK "], &["BYE "]] {
        let at = free_address(DESK);
        let house = House::with_destination(&INVITE.replace("{desk}", &at.to_string()));
        let wire = Wire::lay(at, house.desk, loses);
        let agent = house.agent("callee_answers").start();
        let desk = house.desk("callee_answers").contact(&format!("callee@{at}")).start();
        let caller = house.caller("caller_is_joined").start();
        let (call, handoff) = house.hand_to_front_desk();
        assert_fields!(handoff, { state: "succeeded", proof: "proven" });
        desk.await_received("ACK", 1);
        house.hang_up(&call);
        desk.finish();
        bye_of(&caller.finish());
        bye_of(&agent.finish());
        wire.assert_lost();
        house.close().assert_quiet();
    }
}

/// A handoff waits for the ACK, so that a PBX is not asked for anything while it may still take the call for unanswered.
#[test]
fn an_ack_of_the_pbx_and_the_handoff_waits_for_it() {
    let handoff = with_a_bad_line_to_the_pbx("method = \"bye\"\n", "caller_waits", &["ACK "]);
    assert_fields!(handoff, { state: "handed_back", proof: "accepted" });
}

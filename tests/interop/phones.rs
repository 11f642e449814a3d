//! baresip, a phone with a stack of its own, on either side of Baton.

use serde_json::json;

use crate::assert_fields;
use crate::house::{House, NUMBER, bye_of};
use crate::peers::baresip;

#[test]
fn a_phone_is_the_agent() {
    let house = House::open();
    let phone = baresip(house.agent, None, house.dir());
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").start();
    let (_, handoff) = house.hand_over(&json!({ "destination": "front-desk" }));
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
    let phone = baresip(house.pbx, Some(&format!("sip:{NUMBER}@{}", house.sip)), house.dir());
    let (_, handoff) = house.hand_over(&json!({ "destination": "front-desk" }));
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

//! Before there is an agent, and before there is a caller: a softphone calls the agent inside Baton, and destinations are
//! tested.

use serde_json::{Value, json};

use crate::assert_fields;
use crate::house::{House, Plan};
use crate::peers::baresip;

/// A house whose destinations may be tested; what comes back has to find the worker that tests.
fn house() -> House {
    House::built(Plan { environment: "allow_test_calls = true", sip: "workers = 3", ..Plan::default() })
}

fn test(house: &House, request: &Value) -> Value {
    let (status, tested) = house.post("/v1/environments/production/destinations/front-desk/test", request);
    assert_eq!(status, 200, "{tested:#}\n{}", house.log());
    tested
}

#[test]
fn a_softphone_calls_the_rehearsal_agent_and_is_referred_to_the_desk() {
    let agent =
        "[agent.rehearsal]\naddress = \"rehearsal:front-desk?after=500ms\"\nnumbers = [\"rehearsal\"]\n";
    let house = House::built(Plan { agent: agent.to_owned(), ..Plan::default() });
    let desk = house.desk("callee_hangs_up").start();
    let phone = baresip("ann", house.pbx, Some(&format!("sip:rehearsal@{}", house.sip)), house.dir());
    let call = house.answered_call();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "reported", reason: "rehearsal" });
    let invite = desk.finish();
    assert!(
        invite.received("INVITE").header("User-Agent").starts_with("baresip"),
        "the phone itself called the desk"
    );
    house.await_no_call();
    house.close().assert_quiet();
    drop(phone);
}

#[test]
fn a_desk_that_rings_is_left_in_peace() {
    let house = house();
    let desk = house.desk("callee_rings").start();
    let tested = test(&house, &json!({ "options": false }));
    assert_fields!(tested, { outcome: "rings", options: null });
    let desk = desk.finish();
    assert!(desk.received("INVITE").body.contains("a=inactive"));
    assert_eq!(desk.received("CANCEL").header("Reason"), "SIP;cause=487;text=\"Test call\"");
    house.close().assert_quiet();
}

#[test]
fn a_desk_that_refuses_is_told_with_its_cause() {
    let house = house();
    let desk = house.desk("callee_refuses").status("486 Busy Here").start();
    let tested = test(&house, &json!({ "options": false }));
    assert_fields!(tested, { outcome: "busy" });
    assert_eq!(tested["call"]["answer"]["status"], 486);
    desk.finish();
    house.close().assert_quiet();
}

#[test]
fn a_phone_says_what_it_can_and_is_called() {
    let house = house();
    let phone = baresip("desk", house.desk, None, house.dir());
    let tested = test(&house, &json!({}));
    // It picks up by itself, right after its 180.
    assert_fields!(tested, { outcome: "rings" });
    assert_eq!(tested["options"]["answer"]["status"], 200, "{tested:#}");
    assert_eq!(tested["options"]["refer"], true, "{tested:#}");
    phone.await_said("session closed", 1);
    house.close().assert_quiet();
}

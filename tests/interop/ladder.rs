//! `on_failure`: what follows an attempt that failed, over methods and destinations.

use crate::assert_fields;
use crate::house::{House, INVITE, Plan, REFER, attempts, bye_of, table_with_mobile};
use crate::peers::finish;

/// The front desk in this way, with these next steps, and the mobile phone as another destination.
fn house(way: &str, on_failure: &str) -> House {
    let table = table_with_mobile(&format!("{way}on_failure = {on_failure}\n"));
    House::built(Plan { table, ..Plan::default() })
}

#[test]
fn a_refused_refer_is_followed_by_an_invite_to_the_same_route() {
    let house = house(REFER, r#"["invite", "agent"]"#);
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_refuses_refer_and_is_joined").status("403 Forbidden").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null, destination: "front-desk" });
    assert_eq!(attempts(&handoff), [("refer", 403, "refused"), ("invite", 200, "")]);
    assert_eq!(house.parties(&call), ["caller", "target"]);
    house.hang_up(&call);
    bye_of(&caller.finish());
    bye_of(&desk.finish());
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["status=403", "cause=refused", "attempt=1", "next=invite"]);
}

#[test]
fn a_desk_that_is_reported_busy_is_followed_by_another_destination() {
    let house = house(REFER, r#"{ busy = ["mobile"], default = ["agent"] }"#);
    let agent = house.agent("callee_answers").start();
    let mobile = house.mobile("callee_answers").start();
    let caller = house.caller("caller_finds_it_busy_and_is_joined").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null, destination: "front-desk" });
    assert_eq!(attempts(&handoff), [("refer", 202, "busy"), ("invite", 200, "")]);
    assert_fields!(handoff["attempts"][0], { destination: "front-desk", final_status: 486 });
    assert_fields!(handoff["attempts"][1], { destination: "mobile" });
    assert_eq!(house.parties(&call), ["caller", "target"]);
    house.hang_up(&call);
    bye_of(&caller.finish());
    let mobile = mobile.finish();
    assert!(
        mobile.received("INVITE").headers("X-Caller-ID").is_empty(),
        "each destination has its own headers"
    );
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["status=486", "cause=busy", "attempt=1", "next=mobile"]);
}

#[test]
fn the_other_destination_may_be_reached_by_refer_too() {
    let mut table = table_with_mobile(&format!("{REFER}on_failure = [\"mobile\"]\n"));
    table = table.replace("method = \"invite\"\nroute = \"sip:me@", "method = \"refer\"\nroute = \"sip:me@");
    let house = House::built(Plan { table, ..Plan::default() });
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_follows_two_refers").start();
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "reported", cause: null });
    assert_eq!(attempts(&handoff), [("refer", 202, "busy"), ("refer", 202, "")]);
    assert_fields!(handoff["attempts"][1], { destination: "mobile", final_status: 200 });
    let caller = caller.finish();
    let to: Vec<_> =
        caller.all_received("REFER").iter().map(|refer| refer.header("Refer-To").to_owned()).collect();
    assert_eq!(to, [format!("<sip:desk@{}>", house.desk), format!("<sip:me@{}>", house.mobile)]);
    bye_of(&caller);
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["status=486", "cause=busy", "next=mobile"]);
}

#[test]
fn where_nobody_can_be_had_the_caller_is_with_the_agent() {
    let house = house(REFER, r#"["invite", "mobile", "agent"]"#);
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_refuses").status("486 Busy Here").start();
    let mobile = house.mobile("callee_refuses").status("480 Temporarily Unavailable").start();
    let caller = house.caller("caller_refuses_refer").status("405 Method Not Allowed").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "returned", proof: null, cause: "no_answer" });
    assert_eq!(
        attempts(&handoff),
        [("refer", 405, "refused"), ("invite", 486, "busy"), ("invite", 480, "no_answer")]
    );
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    finish([desk, mobile]);
    bye_of(&caller.finish());
    bye_of(&agent.finish());
    let log = house.close();
    log.assert_nobody_hurt();
    log.assert_failures(&[
        &["status=405", "attempt=1", "destination=front-desk", "next=invite"],
        &["status=486", "attempt=2", "destination=front-desk", "next=mobile"],
        &["status=480", "attempt=3", "destination=mobile", "next=agent"],
    ]);
}

#[test]
fn a_busy_desk_may_mean_that_the_call_is_handed_back() {
    let house = house(INVITE, r#"{ busy = ["bye"], default = ["agent"] }"#);
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_refuses").status("600 Busy Everywhere").start();
    let caller = house.caller("caller_waits").start();
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "handed_back", proof: "accepted" });
    assert_eq!(attempts(&handoff), [("invite", 600, "busy"), ("bye", 200, "")]);
    desk.finish();
    assert_eq!(
        bye_of(&caller.finish()).header("X-Language"),
        "en",
        "with the headers of the first destination"
    );
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["status=600", "cause=busy", "next=bye"]);
}

#[test]
fn an_accepted_refer_of_unknown_end_is_followed_only_where_the_table_says_so() {
    for (steps, state, methods) in [
        (r#"["invite"]"#, "unknown", &[("refer", 202, "unknown")][..]),
        (r#"{ unknown = ["invite"] }"#, "succeeded", &[("refer", 202, "unknown"), ("invite", 200, "")][..]),
    ] {
        let house = house(REFER, steps);
        let agent = house.agent("callee_answers").start();
        let joined = state == "succeeded";
        let desk = joined.then(|| house.desk("callee_answers").start());
        let caller = if joined { "caller_is_silent_and_is_joined" } else { "caller_accepts_and_is_silent" };
        let caller = house.caller(caller).start();
        let (call, handoff) = house.hand_to_front_desk();
        assert_fields!(handoff, { state: state });
        assert_eq!(attempts(&handoff), methods);
        house.hang_up(&call);
        caller.finish();
        desk.map(|desk| desk.finish());
        agent.finish();
        let next = if joined { "next=invite" } else { "next=none" };
        house.close().assert_one_failure(&["cause=unknown", next]);
    }
}

//! `attended` with `brief`: the agent speaks with the desk while the caller is held, and then the caller is moved.

use serde_json::json;

use crate::assert_fields;
use crate::house::{ATTENDED, House, attempts, bye_of, text};
use crate::peers::{Sipp, finish};

/// Agent and desk speak with each other, and the caller is held.
fn briefing(caller: &str, agent: &str, desk: &str) -> (House, [Sipp; 3], String) {
    let house = House::with_destination(&format!("{ATTENDED}brief = true\n"));
    let agent = house.agent(agent).start();
    let desk = house.desk(desk).start();
    let caller = house.caller(caller).start();
    let call = house.begin_handoff();
    agent.await_received("ACK", 2);
    desk.await_received("ACK", 2);
    (house, [caller, agent, desk], call)
}

/// By request: the caller is moved now.
fn complete(house: &House, call: &str) {
    let id = text(&house.get(&format!("/v1/calls/{call}"))["handoffs"][0]);
    let (status, answer) = house.post(&format!("/v1/handoffs/{id}/complete"), &json!({}));
    assert!((200..300).contains(&status), "{status} {answer:#}");
}

#[test]
fn the_agents_bye_moves_the_caller() {
    let (house, [caller, agent, desk], call) =
        briefing("caller_is_held_and_takes_over", "agent_briefs_and_leaves", "callee_is_briefed");
    agent.cue();
    caller.await_sent("SIP/2.0 202");
    desk.cue();
    finish([agent, desk]);
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 200, "")]);
    bye_of(&caller.finish());
    house.close().assert_quiet();
}

#[test]
fn a_request_moves_the_caller_and_a_pbx_that_cannot_is_joined_with_the_desk() {
    let (house, [caller, agent, desk], call) =
        briefing("caller_is_held_and_joined", "agent_briefs_and_stays", "callee_is_briefed_and_joined");
    complete(&house, &call);
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("attended", 603, "refused"), ("invite", 200, "")]);
    assert_eq!(house.parties(&call), ["caller", "target"]);
    bye_of(&agent.finish());
    desk.await_received("ACK", 3);
    house.hang_up(&call);
    finish([caller, desk]);
    house.close().assert_one_failure(&["status=603", "method=attended", "next=invite"]);
}

#[test]
fn a_desk_that_will_not_have_the_caller_gives_it_back_to_the_agent() {
    let (house, [caller, agent, desk], call) =
        briefing("caller_is_held_and_given_back", "agent_briefs_in_vain", "callee_is_briefed");
    desk.cue();
    desk.finish();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "returned", proof: null, cause: "failed" });
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    agent.await_received("ACK", 3);
    house.hang_up(&call);
    finish([caller, agent]);
    house.close().assert_one_failure(&["cause=failed", "method=attended", "next=agent"]);
}

#[test]
fn a_desk_that_leaves_a_pbx_with_nothing_to_take_over_gives_the_caller_back_to_the_agent() {
    let (house, [caller, agent, desk], call) =
        briefing("caller_is_held_and_cannot_take_over", "agent_briefs_in_vain", "callee_is_briefed");
    complete(&house, &call);
    caller.await_received("REFER", 1);
    desk.cue();
    desk.finish();
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "returned", proof: null, cause: "refused" });
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    agent.await_received("ACK", 3);
    house.hang_up(&call);
    finish([caller, agent]);
    house.close().assert_one_failure(&["status=603", "method=attended", "next=agent"]);
}

//! Before the caller is answered: the agent's addresses, its fallback, a redirection, and what is agreed upon while it
//! rings. Each party that is tried is another one to the caller.

use serde_json::Value;

use crate::assert_fields;
use crate::house::{CALLER, House, INVITE, Plan, attempts, bye_of, table, table_with_mobile};
use crate::peers::{Message, Transcript, eventually, finish};

/// The only handoff of a call that is over, by the id that the agent was told.
fn handoff_of(agent: &Transcript, house: &House) -> Value {
    house.ended_handoff(agent.received("INVITE").header("X-Baton-Call-ID"))
}

fn tag(message: &Message) -> String {
    message.header("To").split(";tag=").nth(1).unwrap_or_default().to_owned()
}

/// An agent with two addresses.
fn two_addresses() -> Plan {
    let agent_address = r#"["sip:booking@{agent}", "sip:booking@{stand_by}"]"#;
    let agent = "answer_timeout = \"1s\"".to_owned();
    Plan { agent_address, agent, table: table(INVITE), ..Plan::default() }
}

#[test]
fn an_agent_that_refuses_is_called_at_its_second_address() {
    for status in ["486 Busy Here", "503 Service Unavailable"] {
        let house = House::built(two_addresses());
        let first = house.agent("callee_refuses").status(status).start();
        let second = house.stand_by("callee_answers").start();
        let caller = house.caller("caller_waits").start();
        let call = house.answered_call();
        assert_fields!(house.get(&format!("/v1/calls/{call}")), { agent: "booking", handoffs: [] });
        house.hang_up(&call);
        let (first, second, caller) = (first.finish(), second.finish(), caller.finish());
        assert_eq!(second.received("INVITE").header("X-Baton-Call-ID"), call, "one call");
        assert_eq!(first.received("INVITE").header("X-Baton-Call-ID"), call);
        assert!(caller.received("SIP/2.0 200").body.contains("m=audio 42000 "));
        bye_of(&second);
        house.close().assert_quiet();
    }
}

#[test]
fn an_agent_that_does_not_answer_is_cancelled_and_called_at_its_second_address() {
    let house = House::built(two_addresses());
    let first = house.agent("callee_rings").start();
    let second = house.stand_by("callee_answers").start();
    let caller = house.caller("caller_waits").start();
    let call = house.answered_call();
    house.hang_up(&call);
    finish([first, second]);
    let caller = caller.finish();
    let ringing: Vec<_> = caller.all_received("SIP/2.0 180").iter().map(|m| tag(m)).collect();
    assert_eq!(ringing.len(), 2);
    assert_ne!(ringing[0], ringing[1], "each party has its own To-tag");
    assert_eq!(ringing[1], tag(caller.received("SIP/2.0 200")));
    house.close().assert_quiet();
}

#[test]
fn where_no_address_answers_the_fallback_does() {
    let house = House::built(two_addresses());
    let first = house.agent("callee_refuses").status("486 Busy Here").start();
    let second = house.stand_by("callee_refuses").status("480 Temporarily Unavailable").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_hangs_up").start();
    caller.finish();
    finish([second, desk]);
    let handoff = handoff_of(&first.finish(), &house);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", destination: "front-desk" });
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    house.close().assert_quiet();
}

#[test]
fn the_fallback_is_a_destination_that_baton_calls() {
    let house = House::with_destination(INVITE);
    let agent = house.agent("callee_refuses").status("503 Service Unavailable").start();
    let desk = house.desk("callee_answers_on_cue").start();
    let caller = house.caller("caller_hangs_up").start();
    desk.await_sent("SIP/2.0 183");
    caller.await_received("SIP/2.0 183", 1);
    desk.cue();
    let (caller, desk) = (caller.finish(), desk.finish());
    let (early, answer) = (caller.received("SIP/2.0 183"), caller.received("SIP/2.0 200"));
    assert!(early.body.contains("m=audio 50000 "), "the caller hears the desk's early media");
    assert_eq!(tag(early), tag(answer), "one party");
    let invite = desk.received("INVITE");
    assert_eq!(invite.header("X-Caller-ID"), CALLER, "with the destination's headers");
    assert!(invite.body.contains("m=audio 30000 "), "and the caller's own offer");
    let handoff = handoff_of(&agent.finish(), &house);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    house.close().assert_quiet();
}

#[test]
fn a_fallback_has_next_steps_too() {
    let table = table_with_mobile(&format!("{INVITE}on_failure = [\"mobile\"]\n"));
    let house = House::built(Plan { table, ..Plan::default() });
    let agent = house.agent("callee_refuses").status("480 Temporarily Unavailable").start();
    let desk = house.desk("callee_refuses").status("486 Busy Here").start();
    let mobile = house.mobile("callee_answers").start();
    let caller = house.caller("caller_hangs_up").start();
    assert!(caller.finish().received("SIP/2.0 200").body.contains("m=audio 52000 "));
    finish([desk, mobile]);
    let handoff = handoff_of(&agent.finish(), &house);
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null, destination: "front-desk" });
    assert_eq!(attempts(&handoff), [("invite", 486, "busy"), ("invite", 200, "")]);
    house.close().assert_one_failure(&["status=486", "cause=busy", "next=mobile"]);
}

#[test]
fn a_caller_may_be_redirected() {
    let house = House::with_destination("method = \"redirect\"\nroute = \"sip:desk@{desk}\"\n");
    let agent = house.agent("callee_refuses").status("486 Busy Here").start();
    let caller = house.caller("caller_is_refused").status("302").start().finish();
    let moved = caller.received("SIP/2.0 302");
    assert_eq!(moved.header("Contact"), format!("<sip:desk@{}>", house.desk));
    assert_eq!(moved.header("X-Caller-ID"), CALLER);
    let handoff = handoff_of(&agent.finish(), &house);
    assert_fields!(handoff, { state: "handed_back", proof: "accepted", cause: null });
    assert_eq!(attempts(&handoff), [("redirect", 302, "")]);
    assert_fields!(handoff["attempts"][0], { origin: "local" });
    house.close().assert_quiet();
}

#[test]
fn a_trunk_may_want_to_be_redirected_whatever_the_method() {
    let trunk = "unanswered = \"redirect\"".to_owned();
    let house = House::built(Plan { trunk, table: table(INVITE), ..Plan::default() });
    let agent = house.agent("callee_refuses").status("486 Busy Here").start();
    let caller = house.caller("caller_is_refused").status("302").start().finish();
    assert_eq!(caller.received("SIP/2.0 302").header("Contact"), format!("<sip:desk@{}>", house.desk));
    let handoff = handoff_of(&agent.finish(), &house);
    assert_fields!(handoff, { state: "handed_back", proof: "accepted" });
    assert_eq!(attempts(&handoff), [("redirect", 302, "")]);
    house.close().assert_quiet();
}

#[test]
fn a_caller_that_requires_100rel_gets_it_from_an_agent_that_knows_nothing_of_it() {
    let house = House::open();
    let agent = house.agent("callee_answers_on_cue").start();
    let caller = house.caller("caller_wants_it_reliable").start();
    caller.await_received("SIP/2.0 200", 1);
    agent.cue();
    caller.await_sent("ACK");
    caller.cue();
    let (caller, agent) = (caller.finish(), agent.finish());
    assert!(agent.received("INVITE").headers("Require").is_empty(), "what the caller requires is for Baton");
    assert!(agent.all_received("PRACK").is_empty());
    let answer = caller.all_received("SIP/2.0 200")[1];
    assert_eq!(
        (answer.header("CSeq"), answer.body.as_str()),
        ("1 INVITE", ""),
        "the answer stood in the 183"
    );
    house.close().assert_quiet();
}

#[test]
fn a_caller_that_requires_100rel_may_meet_an_agent_that_does_so() {
    let house = House::open();
    let agent = house.agent("callee_is_reliable").start();
    let caller = house.caller("caller_wants_it_reliable").start();
    caller.await_sent("ACK");
    caller.cue();
    finish([caller, agent]);
    house.close().assert_quiet();
}

#[test]
fn an_agent_that_requires_100rel_gets_it_whoever_calls() {
    let house = House::open();
    let agent = house.agent("callee_is_reliable").start();
    let caller = house.caller("caller_hangs_up").start();
    let (caller, agent) = (caller.finish(), agent.finish());
    assert_eq!(agent.all_received("PRACK").len(), 1);
    let early = caller.received("SIP/2.0 183");
    assert!(
        early.headers("Require").is_empty() && early.headers("RSeq").is_empty(),
        "not the caller's business"
    );
    assert!(early.body.contains("m=audio 40000 "));
    assert!(
        caller.received("SIP/2.0 200").body.contains("m=audio 40000 "),
        "the caller's answer stands in the 200"
    );
    house.close().assert_quiet();
}

#[test]
fn a_session_that_is_too_short_is_refused_and_one_that_is_not_is_taken() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_wants_a_short_session").start();
    let call = house.answered_call();
    house.hang_up(&call);
    let (caller, agent) = (caller.finish(), agent.finish());
    assert_eq!(caller.received("SIP/2.0 422").header("Min-SE"), "90");
    let answer = caller.received("SIP/2.0 200");
    assert_eq!(answer.header("Session-Expires"), "90;refresher=uac");
    assert!(answer.headers("Require").iter().any(|require| require.contains("timer")));
    assert_eq!(agent.all_received("INVITE").len(), 1, "nobody is called for a call that is refused");
    assert_eq!(
        agent.received("INVITE").header("Session-Expires"),
        "1800",
        "the agent's side has a timer of its own"
    );
    house.close().assert_quiet();
}

#[test]
fn a_handoff_that_is_decided_while_the_agent_rings() {
    let house = House::with_destination(INVITE);
    let agent = house.agent("callee_rings").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_waits").start();
    caller.await_received("SIP/2.0 180", 1);
    let call = eventually("there is a call", || {
        let calls = house.get("/v1/calls");
        calls["data"][0]["id"].as_str().map(str::to_owned)
    });
    let decision = serde_json::json!({ "destination": "front-desk" });
    let (status, handoff) = house.post(&format!("/v1/calls/{call}/handoff?wait=15s"), &decision);
    assert_eq!(status, 200, "{handoff:#}");
    assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    agent.finish();
    house.hang_up(&call);
    let caller = caller.finish();
    assert_ne!(tag(caller.received("SIP/2.0 180")), tag(caller.received("SIP/2.0 200")));
    bye_of(&desk.finish());
    house.close().assert_quiet();
}

#[test]
fn the_caller_cancels_while_the_fallback_rings() {
    let house = House::with_destination(INVITE);
    let agent = house.agent("callee_refuses").status("503 Service Unavailable").start();
    let desk = house.desk("callee_rings").start();
    let caller = house.caller("caller_cancels").start();
    finish([caller, desk]);
    let handoff = handoff_of(&agent.finish(), &house);
    assert_fields!(handoff, { state: "abandoned", proof: null });
    assert_eq!(attempts(&handoff), [("invite", 0, "")]);
    house.close().assert_quiet();
}

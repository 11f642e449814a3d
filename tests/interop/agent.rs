//! Handoffs decided by the agent's own SIP: its REFER, its BYE with a word, its 3xx; and what happens when it is not there.

use serde_json::Value;

use crate::assert_fields;
use crate::house::{CALLER, House, Plan, bye_of};
use crate::peers::{Transcript, eventually};

/// The agent's only handoff, read after the end by the id that the agent was told.
fn handoff_told_to(agent: &Transcript, house: &House) -> Value {
    house.ended_handoff(agent.received("INVITE").header("X-Baton-Call-ID"))
}

#[test]
fn the_agent_refers_and_hears_the_true_result() {
    let house = House::open();
    let agent = house.agent("agent_refers").key("refer_to", "front-desk@baton").start();
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").start();
    let (caller, agent) = (caller.finish(), agent.finish());

    let refer = caller.received("REFER");
    assert_eq!(
        refer.header("Refer-To"),
        format!("<sip:desk@{}>", house.desk),
        "the table's route, not the agent's"
    );
    assert_eq!(refer.header("X-Account-ID"), "42", "the agent's header wins over the table's");
    assert_eq!(refer.header("X-Caller-ID"), CALLER);
    let notified = agent.all_received("NOTIFY");
    assert_eq!(notified[0].body, "SIP/2.0 100 Trying", "one at once");
    assert!(notified[0].header("Subscription-State").starts_with("active"));
    let last = notified.last().expect("there was a first");
    assert!(last.body.starts_with("SIP/2.0 200"), "the result:\n{}", last.body);
    assert!(last.header("Subscription-State").starts_with("terminated"));
    bye_of(&agent);
    let handoff = handoff_told_to(&agent, &house);
    assert_fields!(handoff, { state: "succeeded", proof: "reported", destination: "front-desk", reason: "wants a person" });
    house.close().assert_quiet();
}

#[test]
fn the_agent_hears_that_the_desk_is_busy_and_keeps_the_caller() {
    let house = House::open();
    let agent = house.agent("agent_refers").key("refer_to", "front-desk@baton").start();
    let caller = house.caller("caller_follows_refer_in_vain").key("sipfrag", "486 Busy Here").start();
    let call = house.answered_call();
    assert_fields!(house.ended_handoff(&call), { state: "returned", cause: "busy" });
    eventually("the agent was told", || {
        agent
            .so_far()
            .all_received("NOTIFY")
            .last()
            .map(|last| last.body.clone())
            .filter(|body| body.starts_with("SIP/2.0 486"))
    });
    house.hang_up(&call);
    caller.finish();
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["status=486", "cause=busy"]);
}

#[test]
fn the_agent_may_leave_right_after_the_202() {
    let house = House::open();
    let agent = house.agent("agent_refers_and_leaves").key("refer_to", "front-desk@baton").start();
    let caller = house.caller("caller_follows_refer_on_cue").key("sipfrag", "200 OK").start();
    caller.await_received("SIP/2.0 200", 2);
    agent.await_received("SIP/2.0 200", 1);
    caller.cue();
    bye_of(&caller.finish());
    let agent = agent.finish();
    assert_fields!(handoff_told_to(&agent, &house), { state: "succeeded", proof: "reported" });
    house.close().assert_quiet();
}

#[test]
fn the_agent_may_not_refer_to_just_anything() {
    let house = House::open();
    for target in [
        "nobody@baton",
        "front-desk@elsewhere.example.com",
        "front-desk@baton?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc",
    ] {
        let agent = house.agent("agent_refers_astray").key("refer_to", target).start();
        let caller = house.caller("caller_waits").start();
        let call = house.answered_call();
        eventually("the REFER was refused", || {
            agent.so_far().all_received("SIP/2.0 403").first().map(|_| ())
        });
        house.hang_up(&call);
        caller.finish();
        agent.finish();
        house.await_no_call();
    }
    house.close().assert_nobody_hurt();
}

#[test]
fn the_agent_leaves_a_word_with_its_bye() {
    let house = House::open();
    let agent = house.agent("agent_leaves_a_word").start();
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").start();
    let (caller, agent) = (caller.finish(), agent.finish());
    assert_eq!(caller.received("REFER").header("X-Account-ID"), "42");
    assert_fields!(handoff_told_to(&agent, &house), { state: "succeeded", proof: "reported", destination: "front-desk" });
    house.close().assert_quiet();
}

#[test]
fn the_agent_redirects_and_the_desk_answers() {
    let house = House::open();
    let agent = house.agent("callee_redirects").key("elsewhere", "front-desk@baton").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_hangs_up").start();
    caller.finish();
    agent.finish();
    let desk = desk.finish();
    let invite = desk.received("INVITE");
    assert_eq!(invite.start, format!("INVITE sip:desk@{} SIP/2.0", house.desk));
    assert_eq!(invite.header("X-Caller-ID"), CALLER, "the destination's headers come with it");
    house.close().assert_nobody_hurt();
}

#[test]
fn the_agent_refuses_and_its_fallback_answers() {
    for status in ["503 Service Unavailable", "486 Busy Here", "603 Decline"] {
        let house = House::open();
        let agent = house.agent("callee_refuses").status(status).start();
        let desk = house.desk("callee_answers").start();
        let caller = house.caller("caller_hangs_up").start();
        let caller = caller.finish();
        agent.finish();
        let desk = desk.finish();
        assert_eq!(desk.received("INVITE").header("X-Caller-ID"), CALLER);
        let media = |sdp: &str| {
            sdp.lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            media(&desk.received("INVITE").body),
            media(&caller.sent("INVITE").body),
            "the caller's own offer"
        );
        house.close().assert_nobody_hurt();
    }
}

#[test]
fn the_agent_is_not_there_and_its_fallback_answers() {
    let house = House::built(Plan { agent: "answer_timeout = \"1s\"".to_owned(), ..Plan::default() });
    let desk = house.desk("callee_answers").start();
    house.caller("caller_hangs_up").start().finish();
    desk.finish();
    house.close().assert_nobody_hurt();
}

#[test]
fn the_agent_vanishes_and_the_caller_is_not_left_alone() {
    let house = House::built(Plan { agent: "keepalive = \"300ms\"".to_owned(), ..Plan::default() });
    let agent = house.agent("callee_vanishes").start();
    // Three OPTIONS that it misses, and a re-INVITE that nobody answers.
    let caller = house.caller("caller_follows_refer").key("sipfrag", "200 OK").through_timers().start();
    let agent = agent.finish();
    let caller = caller.finish();
    assert_eq!(caller.received("REFER").header("Refer-To"), format!("<sip:desk@{}>", house.desk));
    assert_fields!(handoff_told_to(&agent, &house), { state: "succeeded", destination: "front-desk" });
    house.close().assert_nobody_hurt();
}

#[test]
fn agent_and_fallback_are_busy_and_so_hears_the_caller() {
    let house = House::open();
    let agent = house.agent("callee_refuses").status("486 Busy Here").start();
    let desk = house.desk("callee_refuses").status("486 Busy Here").start();
    house.caller("caller_is_refused").status("486").start().finish();
    agent.finish();
    desk.finish();
    house.close();
}

//! `invite`: Baton calls the desk while the caller talks with the agent, and joins caller and desk.

use serde_json::Value;

use crate::assert_fields;
use crate::house::{CALLER, House, INVITE, Plan, attempts, bye_of, table, table_with_mobile};
use crate::peers::{Script, Sipp, Transcript, finish};

/// Where everybody wants their audio.
const OF_CALLER: &str = "m=audio 30000 ";
const OF_AGENT: &str = "m=audio 40000 ";
const OF_DESK: &str = "m=audio 50000 ";

fn house() -> House {
    House::with_destination(INVITE)
}

/// Caller and desk have each other, and nobody else has any part in it; then the call is ended. What the desk saw.
fn together(house: &House, call: &str, handoff: &Value, desk: Sipp) -> Transcript {
    assert_fields!(handoff, { state: "succeeded", proof: "proven", cause: null });
    assert_eq!(house.parties(call), ["caller", "target"]);
    house.hang_up(call);
    let desk = desk.finish();
    bye_of(&desk);
    desk
}

/// The handoff fails and leaves caller and agent as they were; then the call is ended. What caller and desk saw.
fn fails(house: &House, caller: Script<'_>, desk: Script<'_>) -> (Value, Transcript, Transcript) {
    let (agent, desk, caller) = (house.agent("callee_answers").start(), desk.start(), caller.start());
    let (call, handoff) = house.hand_to_front_desk();
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    bye_of(&agent.finish());
    let (caller, desk) = (caller.finish(), desk.finish());
    bye_of(&caller);
    (handoff, caller, desk)
}

#[test]
fn caller_and_desk_are_joined() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_is_joined").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    let desk = together(&house, &call, &handoff, desk);

    let invite = desk.received("INVITE");
    assert_eq!(invite.start, format!("INVITE sip:desk@{} SIP/2.0", house.desk));
    assert!(invite.header("From").contains(CALLER), "the desk sees the caller");
    assert_eq!(invite.header("X-Caller-ID"), CALLER);
    assert_eq!(invite.header("X-Language"), "en");
    assert!(invite.body.contains(OF_CALLER), "the caller's session is offered:\n{}", invite.body);
    assert_fields!(handoff["attempts"][0], { sip_call_id: (invite.header("Call-ID")), origin: "remote" });
    let caller = caller.finish();
    let (first, offer) = (caller.received("SIP/2.0 200"), caller.received("INVITE"));
    assert!(offer.body.contains(OF_DESK));
    let (id, version) = origin(&first.body);
    assert_eq!(origin(&offer.body), (id, version + 1), "one session, changed once");
    let goodbye = agent.finish();
    assert_eq!(bye_of(&goodbye).header("Reason"), "SIP;cause=200;text=\"Handoff\"");
    house.close().assert_quiet();
}

#[test]
fn once_joined_caller_and_desk_talk_with_each_other() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_listens").start();
    let caller = house.caller("caller_is_joined_and_asks_more").start();
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    let (caller, desk) = (caller.finish(), desk.finish());
    assert_eq!(desk.received("INFO").body, caller.sent("INFO").body);
    assert!(desk.all_received("INVITE")[1].body.contains("a=sendonly"), "the hold reaches the desk");
    bye_of(&desk);
    assert!(agent.finish().all_received("INFO").is_empty(), "the agent has no part in it any more");
    house.close().assert_quiet();
}

#[test]
fn a_desk_that_hangs_up_later_ends_the_call() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up_on_cue").start();
    let caller = house.caller("caller_is_joined").start();
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    bye_of(&agent.finish());
    desk.cue();
    desk.finish();
    bye_of(&caller.finish());
    house.close().assert_quiet();
}

#[test]
fn a_desk_that_refuses_leaves_all_as_it_was() {
    for (status, code, cause) in [
        ("486 Busy Here", 486, "busy"),
        ("603 Decline", 603, "busy"),
        ("404 Not Found", 404, "unreachable"),
        ("403 Forbidden", 403, "refused"),
    ] {
        let house = house();
        let (caller, desk) = (house.caller("caller_waits"), house.desk("callee_refuses").status(status));
        let (handoff, caller, _) = fails(&house, caller, desk);
        assert_fields!(handoff, { state: "returned", proof: null, cause: cause });
        assert_eq!(attempts(&handoff), [("invite", code, cause)]);
        assert!(caller.all_received("INVITE").is_empty(), "the caller hears nothing of it");
        let told = [format!("status={code}"), format!("cause={cause}")];
        house.close().assert_one_failure(&[
            &told[0],
            &told[1],
            "method=invite",
            "origin=remote",
            "next=agent",
        ]);
    }
}

#[test]
fn a_desk_that_never_answers_is_cancelled() {
    let house = House::with_destination(&INVITE.replace("5s", "1s"));
    let (caller, desk) = (house.caller("caller_waits"), house.desk("callee_rings"));
    let (handoff, _, desk) = fails(&house, caller, desk);
    assert_fields!(handoff, { state: "returned", proof: null, cause: "no_answer" });
    assert_eq!(attempts(&handoff), [("invite", 408, "no_answer")]);
    assert_fields!(handoff["attempts"][0], { origin: "local" });
    assert_eq!(
        desk.received("CANCEL").header("Via"),
        desk.received("INVITE").header("Via"),
        "the same branch"
    );
    house.close().assert_one_failure(&["status=408", "cause=no_answer", "origin=local", "next=agent"]);
}

#[test]
fn a_desk_that_is_not_there_is_no_answer() {
    let house = House::with_destination(&INVITE.replace("5s", "1s"));
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_waits").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "returned", proof: null });
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    finish([caller, agent]);
    house.close().assert_one_failure(&["method=invite", "origin=local", "next=agent"]);
}

#[test]
fn early_media_of_the_desk_is_not_the_callers_who_still_talks() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers_on_cue").start();
    let caller = house.caller("caller_is_joined").start();
    let call = house.begin_handoff();
    house.await_handoff_state(&call, "ringing");
    desk.await_sent("SIP/2.0 183");
    assert!(caller.so_far().all_received("INVITE").is_empty());
    desk.cue();
    let handoff = house.ended_handoff(&call);
    let desk = together(&house, &call, &handoff, desk);
    assert_eq!(desk.all_received("INVITE").len(), 1);
    finish([caller, agent]);
    house.close().assert_quiet();
}

#[test]
fn a_desk_may_want_its_183_acknowledged() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_is_reliable").start();
    let caller = house.caller("caller_is_joined").start();
    let (call, handoff) = house.hand_to_front_desk();
    let desk = together(&house, &call, &handoff, desk);
    assert_eq!(desk.all_received("PRACK").len(), 1);
    finish([caller, agent]);
    house.close().assert_quiet();
}

#[test]
fn a_desk_that_refuses_the_callers_session_is_offered_a_fresh_one() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_wants_another_session").twice().start();
    let caller = house.caller("caller_offers_afresh").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_eq!(attempts(&handoff), [("invite", 488, "refused"), ("invite", 200, "")]);
    let desk = together(&house, &call, &handoff, desk);
    let invites = desk.all_received("INVITE");
    assert_eq!(invites.len(), 2);
    assert_ne!(invites[0].header("Call-ID"), invites[1].header("Call-ID"));
    assert!(invites[1].body.contains(OF_CALLER));
    assert_eq!(caller.finish().received("INVITE").body, "", "the caller is asked for an offer");
    agent.finish();
    house.close().assert_one_failure(&["status=488", "cause=refused", "next=invite"]);
}

#[test]
fn a_desk_that_declines_every_stream_is_no_place_for_the_caller() {
    let house = house();
    let (handoff, caller, desk) =
        fails(&house, house.caller("caller_waits"), house.desk("callee_answers").audio("0"));
    assert_fields!(handoff, { state: "returned", proof: null, cause: "failed" });
    assert_eq!(attempts(&handoff), [("invite", 200, "failed")]);
    assert!(caller.all_received("INVITE").is_empty());
    bye_of(&desk);
    house.close().assert_one_failure(&["cause=failed", "next=agent"]);
}

#[test]
fn a_desk_may_send_the_caller_on_to_where_the_table_goes() {
    let house = House::built(Plan { table: table_with_mobile(INVITE), ..Plan::default() });
    let agent = house.agent("callee_answers").start();
    let elsewhere = format!("me@{}", house.mobile);
    let desk = house.desk("callee_redirects").key("elsewhere", &elsewhere).start();
    let mobile = house.mobile("callee_answers").audio("50000").start();
    let caller = house.caller("caller_is_joined").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    let mobile = together(&house, &call, &handoff, mobile);
    assert_eq!(mobile.received("INVITE").start, format!("INVITE sip:{elsewhere} SIP/2.0"));
    finish([desk, caller, agent]);
    house.close().assert_quiet();
}

#[test]
fn a_desk_may_not_send_the_caller_just_anywhere() {
    let house = house();
    let caller = house.caller("caller_waits");
    let desk = house.desk("callee_redirects").key("elsewhere", "evil@127.0.0.66");
    let (handoff, _, _) = fails(&house, caller, desk);
    assert_fields!(handoff, { state: "returned", proof: null });
    assert_eq!(attempts(&handoff)[0].1, 302);
    house.close().assert_one_failure(&["status=302", "origin=remote", "next=agent"]);
}

#[test]
fn re_invites_that_cross_are_sorted_out() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_crosses").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    together(&house, &call, &handoff, desk);
    assert_eq!(caller.finish().all_received("INVITE").len(), 2);
    let agent = agent.finish();
    assert_eq!(agent.all_received("INVITE").len(), 1, "the caller's re-INVITE was for nobody");
    house.close().assert_quiet();
}

#[test]
fn a_caller_that_refuses_the_desk_stays_with_the_agent() {
    let house = house();
    let caller = house.caller("caller_refuses_the_desk").status("488 Not Acceptable Here");
    let (handoff, _, desk) = fails(&house, caller, house.desk("callee_answers"));
    assert_fields!(handoff, { state: "returned", proof: null, cause: "failed" });
    assert_eq!(attempts(&handoff), [("invite", 200, "failed")]);
    bye_of(&desk);
    house.close().assert_one_failure(&["cause=failed", "next=agent"]);
}

#[test]
fn a_desk_that_hangs_up_before_the_caller_has_it() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up_on_cue").start();
    let caller = house.caller("caller_takes_the_desk_too_late").start();
    let call = house.begin_handoff();
    caller.await_received("INVITE", 1);
    desk.await_received("ACK", 1);
    desk.cue();
    desk.finish();
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "returned", proof: null, cause: "failed" });
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    let caller = caller.finish();
    let offers = caller.all_received("INVITE");
    assert!(offers[0].body.contains(OF_DESK) && offers[1].body.contains(OF_AGENT));
    bye_of(&agent.finish());
    house.close().assert_one_failure(&["cause=failed", "next=agent"]);
}

#[test]
fn a_desk_that_hangs_up_while_the_caller_is_still_asked() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_hangs_up_on_cue").start();
    let caller = house.caller("caller_is_not_asked_any_more").start();
    let call = house.begin_handoff();
    caller.await_sent("SIP/2.0 180");
    desk.await_received("ACK", 1);
    desk.cue();
    desk.finish();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "returned", proof: null, cause: "failed" });
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    finish([caller, agent]);
    house.close().assert_one_failure(&["cause=failed", "next=agent"]);
}

#[test]
fn a_caller_that_hangs_up_while_the_desk_rings() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_rings").start();
    let caller = house.caller("caller_hangs_up_on_cue").start();
    let call = house.begin_handoff();
    desk.await_sent("SIP/2.0 180");
    caller.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "abandoned", proof: null });
    finish([caller, desk]);
    bye_of(&agent.finish());
    house.close().assert_quiet();
}

#[test]
fn it_can_be_taken_back_while_the_desk_rings() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_rings").start();
    let caller = house.caller("caller_waits").start();
    let call = house.begin_handoff();
    desk.await_sent("SIP/2.0 180");
    assert_fields!(house.cancel_handoff(&call), { state: "cancelled", proof: null });
    desk.finish();
    assert_eq!(house.parties(&call), ["caller", "agent"]);
    house.hang_up(&call);
    finish([caller, agent]);
    house.close().assert_quiet();
}

#[test]
fn the_agent_that_asked_for_it_hears_how_it_goes() {
    let house = house();
    let agent = house.agent("agent_refers").key("refer_to", "front-desk@baton").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_is_joined").start();
    let call = house.answered_call();
    let handoff = house.ended_handoff(&call);
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    let agent = agent.finish();
    together(&house, &call, &handoff, desk);
    caller.finish();
    let told: Vec<_> = agent.all_received("NOTIFY").iter().map(|notify| notify.body.as_str()).collect();
    assert_eq!(told, ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]);
    bye_of(&agent);
    house.close().assert_quiet();
}

#[test]
fn the_agent_may_leave_while_the_desk_rings() {
    let house = house();
    let agent = house.agent("callee_hangs_up_on_cue").start();
    let desk = house.desk("callee_answers_on_cue").start();
    let caller = house.caller("caller_is_joined").start();
    let call = house.begin_handoff();
    desk.await_sent("SIP/2.0 183");
    agent.cue();
    agent.finish();
    desk.cue();
    let handoff = house.ended_handoff(&call);
    together(&house, &call, &handoff, desk);
    caller.finish();
    house.close().assert_quiet();
}

#[test]
fn a_desk_on_tcp_is_joined_with_a_caller_on_udp() {
    let house = House::with_destination(&INVITE.replace("{desk}", "{desk};transport=tcp"));
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").over_tcp().start();
    let caller = house.caller("caller_is_joined").start();
    let (call, handoff) = house.hand_to_front_desk();
    let desk = together(&house, &call, &handoff, desk);
    assert!(desk.received("INVITE").header("Via").starts_with("SIP/2.0/TCP"));
    finish([caller, agent]);
    house.close().assert_quiet();
}

#[test]
fn a_caller_on_tcp_is_joined_with_a_desk_on_udp() {
    let house = house();
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let caller = house.caller("caller_is_joined").over_tcp().start();
    let (call, handoff) = house.hand_to_front_desk();
    together(&house, &call, &handoff, desk);
    finish([caller, agent]);
    house.close().assert_quiet();
}

#[test]
fn whichever_worker_has_the_call_and_whichever_the_connection() {
    let way = INVITE.replace("{desk}", "{desk};transport=tcp");
    let house = House::built(Plan { sip: "workers = 3", table: table(&way), ..Plan::default() });
    for _ in 0..4 {
        let agent = house.agent("callee_answers").start();
        let desk = house.desk("callee_answers").over_tcp().start();
        let caller = house.caller("caller_is_joined").over_tcp().start();
        let (call, handoff) = house.hand_to_front_desk();
        together(&house, &call, &handoff, desk);
        finish([caller, agent]);
        house.await_no_call();
    }
    house.close().assert_quiet();
}

/// Id and version in the `o=` line.
fn origin(sdp: &str) -> (&str, u64) {
    let origin = sdp.lines().find(|line| line.starts_with("o=")).expect("SDP has an o= line");
    let fields: Vec<_> = origin.split(' ').collect();
    (fields[1], fields[2].parse().expect("the version is a number"))
}

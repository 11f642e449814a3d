//! A record-routing Kamailio between the PBX and Baton. The PBX's own host name means something to the proxy only, so
//! whatever Baton sends inside the dialog arrives by the route set or not at all (see the proxy's story in `rehearsal`).

use std::net::SocketAddr;

use crate::assert_fields;
use crate::house::{ATTENDED, House, INVITE, NUMBER, Plan, attempts, bye_of, table};
use crate::peers::{Message, PROXY, Script, finish, free_address, kamailio};

#[test]
fn refer_and_bye_follow_the_route_set() {
    let at = free_address(PROXY);
    let house = House::built(Plan { trunk_address: Some(at), ..Plan::default() });
    let proxy = kamailio(at, &[house.sip], house.pbx, house.dir());
    let agent = house.agent("callee_answers").start();
    let caller = Script::caller(house.dir(), "caller_follows_refer", house.pbx, at, NUMBER)
        .contact("pbx@pbx.invalid")
        .key("sipfrag", "200 OK")
        .start();
    let (_, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "reported" });
    let caller = caller.finish();
    agent.finish();
    for request in [caller.received("REFER"), bye_of(&caller)] {
        assert_handed_on(request, at, &house);
    }
    house.close().assert_quiet();
    drop(proxy);
}

/// A request of Baton's came through the proxy, to a host that only the proxy knows.
fn assert_handed_on(request: &Message, proxy: SocketAddr, house: &House) {
    let path = request.headers("Via");
    assert_eq!(path.len(), 2, "{path:?}");
    assert!(path[0].contains(&proxy.to_string()), "the proxy handed it on: {path:?}");
    assert!(path[1].contains(&house.sip.to_string()), "Baton sent it: {path:?}");
    assert!(request.start.contains("@pbx.invalid"), "the remote target stands in the Request-URI");
}

#[test]
fn so_does_the_re_invite_of_a_caller_that_is_joined() {
    let at = free_address(PROXY);
    let house = House::built(Plan { trunk_address: Some(at), table: table(INVITE), ..Plan::default() });
    let proxy = kamailio(at, &[house.sip], house.pbx, house.dir());
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").start();
    let caller = Script::caller(house.dir(), "caller_is_joined", house.pbx, at, NUMBER)
        .contact("pbx@pbx.invalid")
        .start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    caller.await_received("ACK", 1);
    house.hang_up(&call);
    let caller = caller.finish();
    finish([agent, desk]);
    for request in [caller.received("INVITE"), caller.received("ACK"), bye_of(&caller)] {
        assert_handed_on(request, at, &house);
    }
    house.close().assert_quiet();
    drop(proxy);
}

/// The front desk in this way, behind a proxy that keeps itself in the path.
fn desk_behind_a_proxy(way: &str) -> (House, SocketAddr) {
    let at = free_address(PROXY);
    (House::with_destination(&way.replace("{desk}", &at.to_string())), at)
}

#[test]
fn a_desk_behind_a_proxy_is_acknowledged_and_let_go_by_its_route_set() {
    let (house, at) = desk_behind_a_proxy(INVITE);
    let proxy = kamailio(at, &[house.desk], house.desk, house.dir());
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").contact("callee@pbx.invalid").start();
    let caller = house.caller("caller_is_joined").start();
    let (call, handoff) = house.hand_to_front_desk();
    assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    desk.await_received("ACK", 1);
    house.hang_up(&call);
    let desk = desk.finish();
    finish([caller, agent]);
    for request in [desk.received("ACK"), bye_of(&desk)] {
        assert_handed_on(request, at, &house);
    }
    house.close().assert_quiet();
    drop(proxy);
}

#[test]
fn a_desk_behind_a_proxy_is_taken_over_by_its_own_address() {
    let (house, at) = desk_behind_a_proxy(ATTENDED);
    let proxy = kamailio(at, &[house.desk], house.desk, house.dir());
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_answers").contact("callee@pbx.invalid").start();
    let caller = house.caller("caller_takes_over").key("sipfrag", "200 OK").start();
    let call = house.begin_handoff();
    caller.await_received("SIP/2.0 200", 2);
    caller.cue();
    assert_fields!(house.ended_handoff(&call), { state: "succeeded", proof: "proven" });
    let (caller, desk) = (caller.finish(), desk.finish());
    assert!(caller.received("REFER").header("Refer-To").starts_with("<sip:callee@pbx.invalid?Replaces="));
    assert_handed_on(bye_of(&desk), at, &house);
    agent.finish();
    house.close().assert_quiet();
    drop(proxy);
}

#[test]
fn of_two_phones_that_ring_at_once_the_one_that_answers_is_joined() {
    let (house, at) = desk_behind_a_proxy(INVITE);
    let proxy = kamailio(at, &[house.desk, house.mobile], house.desk, house.dir());
    let agent = house.agent("callee_answers").start();
    let desk = house.desk("callee_rings").start();
    let mobile = house.mobile("callee_answers_on_cue").audio("50000").start();
    let caller = house.caller("caller_is_joined").start();
    let call = house.begin_handoff();
    desk.await_sent("SIP/2.0 180");
    mobile.await_sent("SIP/2.0 183");
    mobile.cue();
    let handoff = house.ended_handoff(&call);
    assert_fields!(handoff, { state: "succeeded", proof: "proven" });
    assert_eq!(attempts(&handoff), [("invite", 200, "")]);
    desk.finish();
    mobile.await_received("ACK", 1);
    house.hang_up(&call);
    finish([mobile, caller, agent]);
    house.close().assert_quiet();
    drop(proxy);
}

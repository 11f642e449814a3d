//! Calls that no handoff touches: they pass through Baton, each way and with all that is said in them.

use std::net::UdpSocket;
use std::time::Duration;

use crate::house::{CALLER, House, NUMBER, bye_of};

#[test]
fn a_call_passes_and_the_caller_hangs_up() {
    let house = House::open();
    let agent = house.agent("callee_answers").start();
    let caller = house.caller("caller_hangs_up").start();
    let (caller, agent) = (caller.finish(), agent.finish());

    let (sent, got) = (caller.sent("INVITE"), agent.received("INVITE"));
    assert_eq!(got.start, format!("INVITE sip:booking@{} SIP/2.0", house.agent));
    assert!(got.header("To").contains(NUMBER), "To is the called number");
    assert!(got.header("From").contains(CALLER), "From is the caller's number");
    assert!(got.header("Contact").contains(&house.sip.to_string()), "Contact is Baton's");
    assert_eq!(got.headers("Via").len(), 1, "Baton is an end, not a proxy");
    assert_eq!(got.header("Max-Forwards"), "69", "one less than the caller's");
    assert_eq!(got.header("X-Account-ID"), "4711", "X- headers pass");
    assert_ne!(got.header("Call-ID"), sent.header("Call-ID"), "each leg is a dialog of its own");
    assert_eq!(without_origin(&got.body), without_origin(&sent.body), "SDP passes unchanged but for o=");
    let answer = caller.received("SIP/2.0 200");
    assert_eq!(without_origin(&answer.body), without_origin(&agent.sent("SIP/2.0 200").body));
    assert!(!got.header("X-Baton-Call-ID").is_empty(), "the agent learns Baton's id of the call");

    let call = house.get(&format!("/v1/calls/{}", got.header("X-Baton-Call-ID")));
    crate::assert_fields!(call, { agent: "booking", trunk: "pbx", environment: "production", caller_id: CALLER,
        called_number: NUMBER });
    house.close().assert_quiet();
}

#[test]
fn the_agent_hangs_up() {
    let house = House::open();
    let agent = house.agent("callee_hangs_up").start();
    let caller = house.caller("caller_waits").start();
    agent.finish();
    bye_of(&caller.finish());
    house.close().assert_quiet();
}

#[test]
fn the_caller_cancels() {
    let house = House::open();
    let agent = house.agent("callee_rings").start();
    let caller = house.caller("caller_cancels").start();
    caller.finish();
    agent.finish();
    house.close().assert_quiet();
}

#[test]
fn what_is_said_inside_the_call_passes() {
    let house = House::open();
    let agent = house.agent("callee_listens").start();
    let caller = house.caller("caller_asks_more").start();
    let (caller, agent) = (caller.finish(), agent.finish());
    let info = agent.received("INFO");
    assert_eq!(info.header("Content-Type"), "application/dtmf-relay");
    assert_eq!(info.body, caller.sent("INFO").body);
    let hold = agent.all_received("INVITE")[1];
    assert!(hold.body.contains("a=sendonly"), "the hold reaches the agent:\n{}", hold.body);
    assert_eq!(
        origin_version(&hold.body),
        origin_version(&agent.received("INVITE").body) + 1,
        "o= grows by one"
    );
    house.close().assert_quiet();
}

#[test]
fn an_offer_may_come_late() {
    let house = House::open();
    let agent = house.agent("callee_offers").start();
    let caller = house.caller("caller_offers_late").start();
    let (caller, agent) = (caller.finish(), agent.finish());
    assert_eq!(agent.received("INVITE").body, "", "no offer is invented");
    let (offered, offer) = (agent.sent("SIP/2.0 200"), caller.received("SIP/2.0 200"));
    assert_eq!(without_origin(&offer.body), without_origin(&offered.body));
    assert_eq!(without_origin(&agent.received("ACK").body), without_origin(&caller.sent("ACK").body));
    house.close().assert_quiet();
}

#[test]
fn the_trunk_may_ask_whether_baton_is_there() {
    let house = House::open();
    let answer = house.caller("trunk_probes").start().finish();
    let answer = answer.received("SIP/2.0 200");
    for method in ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REFER", "NOTIFY"] {
        assert!(
            answer.headers("Allow").iter().any(|allow| allow.contains(method)),
            "{method} is allowed: {answer:#?}"
        );
    }
    house.close().assert_quiet();
}

#[test]
fn a_call_over_tcp_passes_to_an_agent_on_udp() {
    let house = House::open();
    let agent = house.agent("callee_hangs_up").start();
    let caller = house.caller("caller_waits").over_tcp().start();
    agent.finish();
    bye_of(&caller.finish());
    house.close().assert_quiet();
}

#[test]
fn nobody_has_that_number() {
    let house = House::open();
    house.caller("caller_is_refused").status("404").dials("+19995550000").start().finish();
    house.close().assert_quiet();
}

#[test]
fn a_stranger_gets_no_answer() {
    let house = House::open();
    let stranger = UdpSocket::bind("127.0.0.9:0").expect("a free port");
    stranger.set_read_timeout(Some(Duration::from_millis(700))).expect("a timeout can be set");
    let at = stranger.local_addr().expect("it is bound");
    let sip = house.sip;
    for method in ["OPTIONS", "INVITE", "NOTIFY"] {
        let request = format!(
            "{method} sip:{NUMBER}@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKstranger{method}\r\n\
             From: <sip:x@{at}>;tag=x\r\nTo: <sip:{NUMBER}@{sip}>\r\nCall-ID: {method}@{at}\r\nCSeq: 1 {method}\r\n\
             Max-Forwards: 70\r\nContact: <sip:x@{at}>\r\nContent-Length: 0\r\n\r\n"
        );
        stranger.send_to(request.as_bytes(), sip).expect("loopback takes a datagram");
    }
    let mut answer = [0; 2048];
    if let Ok(length) = stranger.recv(&mut answer) {
        panic!("a stranger got an answer:\n{}", String::from_utf8_lossy(&answer[..length]));
    }
    house.close().assert_quiet();
}

fn without_origin(sdp: &str) -> Vec<&str> {
    sdp.lines().filter(|line| !line.starts_with("o=")).collect()
}

fn origin_version(sdp: &str) -> u64 {
    let origin = sdp.lines().find(|line| line.starts_with("o=")).expect("SDP has an o= line");
    origin.split(' ').nth(2).and_then(|version| version.parse().ok()).expect("o= has a version")
}

//! `redirect`: before the caller leg is answered, 302 with Contact and the headers.

use crate::common::config::Config;
use crate::common::peer::{AGENT, NUMBER, PBX, Talking};
use crate::common::{HandoffRequest, Refusal, World};

const TABLE: &str = r#"
[destination.elsewhere]
method = "redirect"
route = "+14155550140"
[destination.elsewhere.headers]
X-Caller-ID = "$caller_id"
[destination.embedded]
method = "redirect"
route = "sip:desk@pbx.example.com"
header_placement = "refer-to"
[destination.embedded.headers]
X-Caller-ID = "$caller_id"
"#;

fn redirected(destination: &str) -> String {
    let config = Config::default().destination(TABLE).agent_key(&format!("fallback = \"{destination}\""));
    let world = World::with(&config);
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let moved = call.expect(302);
    call.ack(&moved);
    let handoff = world.assert_ended("handed_back");
    assert_eq!((&*handoff.attempts[0].method, handoff.attempts[0].status), ("redirect", Some(302)));
    assert_eq!(world.records()[0].handoffs.len(), 1);
    world.assert_empty();
    moved.text.clone()
}

#[test]
fn with_the_headers_on_the_response() {
    let text = redirected("elsewhere");
    assert!(text.contains("\r\nContact: <sip:+14155550140@10.0.0.5>\r\n"), "{text}");
    assert!(text.contains("\r\nX-Caller-ID: +14155550199\r\n"), "{text}");
}

#[test]
fn with_the_headers_in_the_contact() {
    let text = redirected("embedded");
    assert!(text.contains("\r\nContact: <sip:desk@pbx.example.com?X-Caller-ID=+14155550199>\r\n"), "{text}");
    assert!(!text.contains("\r\nX-Caller-ID"), "{text}");
}

#[test]
fn by_request_while_the_agent_rings() {
    let world = World::with(&Config::default().destination(TABLE));
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.handoff("elsewhere");
    let moved = call.expect(302);
    call.ack(&moved);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_ended("handed_back");
    world.assert_empty();
}

#[test]
fn once_the_caller_is_answered_it_is_refused() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let request = HandoffRequest { destination: Some("elsewhere".into()), ..HandoffRequest::default() };
    let Err(Refusal::Invalid(faults)) = t.world.try_handoff(request) else { panic!() };
    assert!(faults[0].message.contains("not answered yet"), "{faults:?}");
    t.leg.refer("sip:elsewhere@baton", &[]);
    t.leg.expect(488);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn as_the_fallback_of_a_lost_agent_the_route_is_called() {
    let config = Config::default().destination(TABLE).agent_key("fallback = \"elsewhere\"");
    let t = Talking::with(&config);
    t.leg.bye_with(&[("Reason", "SIP;cause=503;text=\"overload\"")]);
    t.leg.expect(200);
    let target = t.pbx.expect_call();
    assert!(target.invite().uri().starts_with("sip:+14155550140@10.0.0.5"));
    target.answer(&target.invite(), &crate::common::peer::sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &crate::common::peer::sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

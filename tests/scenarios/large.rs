//! Requests of more than 1300 bytes to a peer that takes datagrams only (RFC 3261 §18.1.1): what its silence about TCP costs.

use crate::common::config::Config;
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Peer, sdp, sdp_with};
use crate::common::{World, ms, s};
use baton::call::event::EventKind;
use baton::sip::leg::reach::Advice;

/// A caller whose INVITE is long, and an agent whose firewall swallows what is sent to its TCP port.
fn behind_a_firewall(config: &Config) -> (World, Peer, Peer) {
    let world = World::with(config);
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.connects_after(s(5));
    agent.answers_options(200);
    (world, pbx, agent)
}

fn calls(pbx: &Peer) -> Leg {
    let lines = format!("a=x:{}\r\n", "y".repeat(60)).repeat(18);
    pbx.calling(NUMBER).body(Some(&sdp_with("pbx", 1, &format!("m=audio 4000 RTP/AVP 0\r\n{lines}")))).send()
}

fn is_busy(call: &Leg, leg: &Leg) {
    assert!(leg.invite().text.len() > 1300);
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    // Its fallback.
    let desk = call.peer.expect_call_within(s(2));
    desk.reply(&desk.invite(), 486);
    desk.expect("ACK");
    call.ack(&call.expect(486));
}

fn warnings(world: &World) -> usize {
    let told = |what: &EventKind| matches!(what, EventKind::Advice { advice: Advice::NoStream, .. });
    world.events().iter().filter(|what| told(what)).count()
}

/// The desk is a number at the PBX, whose INVITEs are as long.
fn config() -> Config {
    Config::default().trunk_key("large = \"udp\"")
}

#[test]
fn a_long_request_waits_one_second_for_tcp_once_in_ten_minutes() {
    let (world, pbx, agent) = behind_a_firewall(&config().one_engine());
    let call = calls(&pbx);
    agent.expect_silence(ms(950));
    is_busy(&call, &agent.expect_call_within(ms(60)));
    let call = calls(&pbx);
    is_busy(&call, &agent.expect_call_within(ms(10)));
    assert_eq!(warnings(&world), 1);
    world.advance(s(601));
    let call = calls(&pbx);
    agent.expect_silence(ms(950));
    is_busy(&call, &agent.expect_call_within(ms(60)));
    assert_eq!(warnings(&world), 2);
    world.assert_empty();
}

#[test]
fn large_udp_asks_for_no_tcp() {
    let (world, pbx, agent) = behind_a_firewall(&config().agent_key("large = \"udp\""));
    let call = calls(&pbx);
    is_busy(&call, &agent.expect_call_within(ms(10)));
    assert_eq!(warnings(&world), 0);
    world.assert_empty();
}

#[test]
fn a_long_request_inside_a_call_waits_one_second_as_well() {
    let (world, pbx, agent) = behind_a_firewall(&config());
    let call = pbx.invite(NUMBER);
    let leg = crate::common::peer::establish(&call, &agent);
    let long = "x".repeat(1400);
    let info = call.request("INFO", &[], "text/plain", &long);
    agent.expect_silence(ms(950));
    leg.reply(&leg.expect("INFO"), 200);
    call.expect(200);
    let _ = (info, sdp("", 1));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

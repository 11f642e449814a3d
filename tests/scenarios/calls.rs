//! A call from a trunk to its agent, and what passes between them.

use crate::common::config::Config;
use crate::common::message::{origin, without_origin};
use crate::common::peer::{AGENT, NUMBER, PBX, Talking, establish, sdp, sdp_with};
use crate::common::{Name, World, ms, s};
use baton::call::counters::RefusalKind;

#[test]
fn a_call_is_answered_and_the_caller_hangs_up() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    call.expect(100);
    let leg = agent.expect_call();
    let invite = leg.invite();
    assert_eq!(invite.uri(), "sip:booking@10.0.0.80:5080");
    assert!(invite.header("To").contains("+14155550100@"), "{invite}");
    assert!(invite.header("From").contains("<sip:+14155550199@192.0.2.10"), "{invite}");
    assert_eq!(invite.header("Max-Forwards"), "69");
    assert!(invite.header("Contact").contains("192.0.2.10"), "{invite}");
    assert_eq!(invite.header("X-Baton-Call-ID"), world.call_id());
    assert_ne!(invite.call_id(), call.call_id());
    assert_eq!(without_origin(invite.sdp()), without_origin(&sdp("pbx", 1)));
    leg.reply(&invite, 180);
    let ringing = call.expect(180);
    assert!(!ringing.to_tag().is_empty());
    let ok = leg.answer(&invite, &sdp("agent", 1));
    leg.expect("ACK");
    let answered = call.expect(200);
    assert_eq!(answered.to_tag(), ringing.to_tag());
    assert_eq!(without_origin(answered.sdp()), without_origin(ok.sdp()));
    call.ack(&answered);
    assert_eq!(world.call().state, baton::call::record::CallState::Talking);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
    let record = world.records().remove(0);
    assert_eq!(record.call.agent.as_deref(), Some("booking"));
    assert_eq!(record.call.trunk, "pbx");
    assert_eq!(record.call.caller_id.as_deref(), Some("+14155550199"));
    assert_eq!(record.call.called_number, NUMBER);
    assert!(record.call.answered_at.is_some() && record.call.ended_at.is_some());
}

#[test]
fn the_agent_hangs_up() {
    let t = Talking::new();
    t.leg.hang_up();
    t.call.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_reason_of_the_bye_is_passed_on() {
    let t = Talking::new();
    t.call.bye_with(&[("Reason", "Q.850;cause=16;text=\"Normal\"")]);
    t.call.expect(200);
    let bye = t.leg.expect_bye();
    assert_eq!(bye.header("Reason"), "Q.850;cause=16;text=\"Normal\"");
    t.world.assert_empty();
}

#[test]
fn ringing_and_early_media_pass() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    let early = call.expect(183);
    assert_eq!(without_origin(early.sdp()), without_origin(&sdp("agent", 1)));
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.sdp(), early.sdp(), "the same description has the same o=");
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn the_caller_cancels_while_it_rings() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    call.cancel_with(&[("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"")]);
    assert_eq!(call.expect(200).method(), "CANCEL");
    let gone = call.expect(487);
    call.ack(&gone);
    let cancel = leg.expect("CANCEL");
    assert_eq!(cancel.header("Reason"), "SIP;cause=200;text=\"Call completed elsewhere\"");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_empty();
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    agent.expect_silence(ms(400));
    leg.reply(&leg.invite(), 100);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_empty();
}

#[test]
fn busy_of_the_agent_takes_the_fallback_whose_own_486_passes() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    // The front desk is a number behind the caller's own trunk.
    let desk = pbx.expect_call();
    assert!(desk.invite().uri().starts_with("sip:+14155550123@10.0.0.5"), "{}", desk.invite());
    desk.reply(&desk.invite(), 486);
    desk.expect("ACK");
    let busy = call.expect(486);
    call.ack(&busy);
    world.assert_ended("failed");
    world.assert_empty();
}

#[test]
fn an_offer_that_comes_late_is_answered_in_the_ack() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).body(None).send();
    let leg = agent.expect_call();
    assert!(!leg.invite().has_sdp());
    leg.answer(&leg.invite(), &sdp("agent", 1));
    let offer = call.expect(200);
    assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("agent", 1)));
    agent.expect_silence(ms(100));
    call.ack_with(&offer, &sdp("pbx", 1));
    let ack = leg.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("pbx", 1)));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_late_offer_that_nobody_answers_ends_both_legs() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).body(None).send();
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    let offer = call.expect(200);
    call.ack(&offer);
    // ACKed with every port 0, then ended.
    let ack = leg.expect("ACK");
    assert!(ack.sdp().contains("m=audio 0 "), "{ack}");
    leg.expect_bye();
    call.expect_bye();
    world.assert_empty();
}

#[test]
fn an_offer_of_the_caller_passes_and_its_origin_goes_on() {
    let t = Talking::new();
    let first = t.leg.invite();
    let hold = sdp_with(
        "pbx",
        2,
        "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n",
    );
    t.call.reinvite(&hold);
    let re = t.leg.expect("INVITE");
    assert_eq!(without_origin(re.sdp()), without_origin(&hold));
    let (before, after) = (origin(first.sdp()), origin(re.sdp()));
    assert_eq!(before[1], after[1]);
    assert_eq!(before[2].parse::<u64>().expect("a number") + 1, after[2].parse::<u64>().expect("a number"));
    t.leg.answer(&re, &sdp("agent", 2));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_offer_of_the_agent_passes() {
    let t = Talking::new();
    t.leg.reinvite(&sdp("agent", 2));
    let re = t.call.expect("INVITE");
    // Only `o=` of the agent changed, so nothing changed for the caller.
    t.call.answer(&re, &sdp("pbx", 2));
    t.call.expect("ACK");
    let ok = t.leg.expect(200);
    t.leg.ack(&ok);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_reinvite_without_offer_passes() {
    let t = Talking::new();
    t.call.reinvite("");
    let re = t.leg.expect("INVITE");
    assert!(!re.has_sdp());
    t.leg.answer(&re, &sdp("agent", 2));
    let offer = t.call.expect(200);
    t.call.ack_with(&offer, &sdp("pbx", 2));
    let ack = t.leg.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("pbx", 2)));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_refused_reinvite_leaves_the_call_as_it_was() {
    let t = Talking::new();
    t.call.reinvite(&sdp_with("pbx", 2, "m=video 4000 RTP/AVP 96\r\n"));
    let re = t.leg.expect("INVITE");
    t.leg.reply(&re, 488);
    t.leg.expect("ACK");
    let no = t.call.expect(488);
    t.call.ack(&no);
    t.call.reinvite(&sdp("pbx", 3));
    let re = t.leg.expect("INVITE");
    t.leg.answer(&re, &sdp("agent", 1));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_reinvite_that_is_cancelled_is_taken_back_on_the_other_side() {
    let t = Talking::new();
    let mine = t.call.reinvite(&sdp("pbx", 2));
    let re = t.leg.expect("INVITE");
    t.leg.reply(&re, 180);
    t.call.cancel_of(&mine, &[]);
    t.call.expect(200);
    let no = t.call.expect(487);
    t.call.ack(&no);
    let cancel = t.leg.expect("CANCEL");
    t.leg.reply(&cancel, 200);
    t.leg.reply(&re, 487);
    t.leg.expect("ACK");
    // The session is free again, and as it was.
    t.call.reinvite(&sdp("pbx", 3));
    let re = t.leg.expect("INVITE");
    t.leg.answer(&re, &sdp("agent", 1));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_update_passes_with_its_offer_and_answer() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.reply_with(&leg.invite(), 200, &[("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")], &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    let t = Talking { world, pbx, agent, call, leg };
    let hold = sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0\r\na=inactive\r\n");
    t.call.request("UPDATE", &[], "application/sdp", &hold);
    let update = t.leg.expect("UPDATE");
    assert_eq!(without_origin(update.sdp()), without_origin(&hold));
    let answer = sdp_with("agent", 2, "m=audio 4000 RTP/AVP 0\r\na=inactive\r\n");
    t.leg.reply_with(&update, 200, &[], &answer);
    let ok = t.call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&answer));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_info_passes_with_its_body() {
    let t = Talking::new();
    t.call.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    let info = t.leg.expect("INFO");
    assert_eq!(info.header("Content-Type"), "application/dtmf-relay");
    assert_eq!(info.body, "Signal=5\r\nDuration=160\r\n");
    t.leg.reply(&info, 200);
    assert_eq!(t.call.expect(200).method(), "INFO");
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=6\r\n");
    let info = t.call.expect("INFO");
    t.call.reply(&info, 415);
    t.leg.expect(415);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn options_is_answered_inside_and_outside_a_dialog() {
    let t = Talking::new();
    t.call.request("OPTIONS", &[], "", "");
    let ok = t.call.expect(200);
    assert!(ok.header("Allow").contains("REFER"), "{ok}");
    t.pbx.ping();
    let ok = t.pbx.expect(200);
    assert!(ok.header("Allow").contains("INVITE"), "{ok}");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_method_that_is_not_taken_gets_405_and_an_unknown_one_501() {
    let t = Talking::new();
    t.call.request("MESSAGE", &[], "text/plain", "hello");
    let no = t.call.expect(405);
    assert!(no.header("Allow").contains("INVITE"), "{no}");
    t.call.request("FROBNICATE", &[], "", "");
    t.call.expect(501);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_200_is_sent_again_until_its_ack_comes() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    world.advance(ms(3600)); // at 0.5, 1.5 and 3.5 s
    assert_eq!(pbx.retransmissions(), 3);
    call.ack(&ok);
    world.advance(s(10));
    assert_eq!(pbx.retransmissions(), 3);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_200_that_is_never_acknowledged_ends_the_call() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    agent.answers_options(200);
    call.expect(200);
    call.expect_bye_within(s(33));
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn the_agents_200_is_acknowledged_again_when_it_comes_again() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    let ok = leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let answered = call.expect(200);
    call.ack(&answered);
    leg.again(&ok);
    world.advance(ms(10));
    assert_eq!(agent.retransmissions(), 1, "the ACK again");
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn an_invite_that_comes_again_makes_no_second_call() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    call.again(&call.invite());
    call.expect(100);
    world.advance(ms(10));
    assert_eq!(pbx.retransmissions(), 1, "the 100 again");
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.again(&call.invite());
    world.advance(ms(10));
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn no_hops_left_is_483_and_hops_are_lowered() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).max_forwards(0).send();
    let no = call.expect(483);
    call.ack(&no);
    let call = pbx.calling(NUMBER).max_forwards(12).send();
    let leg = agent.expect_call();
    assert_eq!(leg.invite().header("Max-Forwards"), "11");
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    leg.reply(&leg.invite(), 100);
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_empty();
}

#[test]
fn the_same_request_by_another_way_is_a_merged_one() {
    let t = Talking::new();
    let first = t.call.invite();
    // Same From-tag, Call-ID and CSeq, another branch: it reached us twice by forking (RFC 3261 §8.2.2.2).
    let twin = first.text.replace(first.branch(), "z9hG4bK-by-another-way");
    t.pbx.send(&twin);
    let merged = t.call.expect(482);
    assert_eq!(merged.branch(), "z9hG4bK-by-another-way");
    let ack = format!(
        "ACK {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK-by-another-way\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
        first.uri(),
        t.pbx.host(),
        first.header("From"),
        merged.header("To"),
        first.call_id()
    );
    t.pbx.send(&ack);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_required_extension_that_is_not_spoken_is_420() {
    let world = World::new();
    let pbx = world.peer("pbx", PBX);
    let call = pbx.calling(NUMBER).header("Require", "teleportation").send();
    let no = call.expect(420);
    assert_eq!(no.header("Unsupported"), "teleportation");
    call.ack(&no);
    world.assert_empty();
}

#[test]
fn a_number_that_no_agent_has_is_404() {
    let world = World::new();
    let pbx = world.peer("pbx", PBX);
    let call = pbx.invite("+19995550000");
    let no = call.expect(404);
    call.ack(&no);
    assert_eq!(world.counters().calls_refused[RefusalKind::NoAgent.index()], 1);
    world.assert_empty();
}

#[test]
fn too_many_calls_are_503_with_retry_after() {
    let t = Talking::with(&Config::default().max_calls(1));
    let second = t.pbx.invite(NUMBER);
    let no = second.expect(503);
    let after: u32 = no.header("Retry-After").parse().expect("seconds");
    assert!((5..=10).contains(&after), "{no}");
    second.ack(&no);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_with_all_the_calls_that_it_takes_is_passed_by() {
    let config = Config::default().agent_key("max_calls = 1");
    let t = Talking::with(&config);
    let second = t.pbx.invite(NUMBER);
    let desk = t.pbx.expect_call();
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let ok = second.expect(200);
    second.ack(&ok);
    second.hang_up();
    desk.expect_bye();
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_unknown_source_gets_no_answer_at_all() {
    let world = World::new();
    let stranger = world.peer("stranger", "198.51.100.66:5060");
    stranger.invite(NUMBER);
    stranger.ping();
    world.inject("198.51.100.66:5060", b"INVITE garbage\r\n\r\n");
    stranger.expect_silence(s(40));
    assert_eq!(world.counters().calls_started, 0);
    assert!(world.counters().messages_unknown_source >= 2);
    world.assert_empty();
}

#[test]
fn a_call_over_tcp() {
    let world = World::with(&Config::default().pbx_address("sip:10.0.0.5:5060;transport=tcp"));
    let (pbx, agent) = (world.peer("pbx", "tcp:10.0.0.5:5060"), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = establish(&call, &agent);
    agent.answers_options(200);
    world.advance(s(40));
    assert_eq!(pbx.retransmissions(), 0, "streams do not lose");
    leg.hang_up();
    let bye = call.expect_bye();
    assert!(bye.header("Via").starts_with("SIP/2.0/TCP "), "{bye}");
    world.assert_empty();
}

#[test]
fn a_call_over_ipv6() {
    let config = Config::default().pbx_address("sip:[2001:db8::5]:5060").accept_from("2001:db8::/64");
    let world = World::with(&config);
    let (pbx, agent) = (world.peer("pbx", "[2001:db8::5]:5060"), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).uri("sip:+14155550100@[2001:db8::10]").send();
    let leg = establish(&call, &agent);
    leg.hang_up();
    let bye = call.expect_bye();
    assert!(bye.header("Via").contains("[2001:db8::10]"), "{bye}");
    world.assert_empty();
}

#[test]
fn requests_follow_the_recorded_route() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let edge = world.peer("edge", "10.0.0.9:5060");
    let routes = ["<sip:10.0.0.9;lr>", "<sip:10.0.0.11;lr;x=y>"];
    let call = pbx.calling(NUMBER).record_routes(&routes).send();
    let leg = establish(&call, &agent);
    leg.hang_up();
    let bye = edge.expect("BYE");
    assert_eq!(bye.list("Route"), routes, "as recorded, for the one who was called");
    assert_eq!(bye.uri(), "sip:pbx@10.0.0.5:5060");
    call.reply(&bye, 200);
    world.assert_empty();
}

#[test]
fn requests_follow_the_route_that_the_answer_recorded_reversed() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let near = world.peer("near", "10.0.0.81:5060");
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    leg.record_routes(&["<sip:10.0.0.82;lr>", "<sip:10.0.0.81;lr>"]);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    let ack = near.expect("ACK");
    assert_eq!(ack.list("Route"), ["<sip:10.0.0.81;lr>", "<sip:10.0.0.82;lr>"]);
    let ok = call.expect(200);
    call.ack(&ok);
    call.hang_up();
    let bye = near.expect("BYE");
    assert_eq!(bye.list("Route"), ["<sip:10.0.0.81;lr>", "<sip:10.0.0.82;lr>"]);
    leg.reply(&bye, 200);
    world.assert_empty();
}

#[test]
fn a_strict_router_gets_the_target_as_last_route() {
    let world = World::new();
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let old = world.peer("old", "10.0.0.9:5060");
    let call = pbx.calling(NUMBER).record_routes(&["<sip:10.0.0.9>", "<sip:10.0.0.11;lr>"]).send();
    let leg = establish(&call, &agent);
    leg.hang_up();
    let bye = old.expect("BYE");
    assert_eq!(bye.uri(), "sip:10.0.0.9");
    assert_eq!(bye.list("Route"), ["<sip:10.0.0.11;lr>", "<sip:pbx@10.0.0.5:5060>"]);
    call.reply(&bye, 200);
    world.assert_empty();
}

#[test]
fn a_refreshed_contact_is_where_requests_go() {
    let t = Talking::new();
    let moved = t.world.peer("moved", "10.0.0.6:5070");
    t.call.set_contact("<sip:pbx@10.0.0.6:5070>");
    t.call.reinvite(&sdp("pbx", 2));
    let re = t.leg.expect("INVITE");
    t.leg.answer(&re, &sdp("agent", 1));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.leg.hang_up();
    let bye = moved.expect("BYE");
    assert_eq!(bye.uri(), "sip:pbx@10.0.0.6:5070");
    t.call.reply(&bye, 200);
    t.world.assert_empty();
}

#[test]
fn headers_of_the_product_pass_and_credentials_do_not() {
    let t = Talking::by(&Config::default(), |invite| {
        invite
            .header("X-Account", "7; gold")
            .header("x-odd-CASE", "kept")
            .header("User-to-User", "48656c6c6f;encoding=hex")
            .header("Diversion", "<sip:+14155550001@pbx.example.com>;reason=no-answer")
            .header("History-Info", "<sip:+14155550001@pbx.example.com>;index=1")
            .header("P-Asserted-Identity", "\"Ada\" <sip:+14155550198@pbx.example.com>")
            .header("Authorization", "Digest username=\"x\"")
            .header("Proxy-Authorization", "Digest username=\"x\"")
    });
    let invite = t.leg.invite();
    assert_eq!(invite.header("X-Account"), "7; gold");
    assert_eq!(invite.header("X-Odd-Case"), "kept");
    assert_eq!(invite.header("User-to-User"), "48656c6c6f;encoding=hex");
    assert!(invite.header("Diversion").contains("no-answer"));
    assert!(invite.header("History-Info").contains("index=1"));
    assert!(invite.header("P-Asserted-Identity").contains("+14155550198"));
    assert_eq!(invite.find("Authorization"), None);
    assert_eq!(invite.find("Proxy-Authorization"), None);
    assert_eq!(
        t.world.call().caller_id.as_deref(),
        Some("+14155550198"),
        "PAI before From on a trusted trunk"
    );
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_identity_of_an_untrusted_trunk_is_neither_believed_nor_passed() {
    let config = Config::default();
    let world = World::with(&config);
    let (carrier, agent) = (world.peer("carrier", "203.0.113.7:5060"), world.peer("agent", AGENT));
    let call =
        carrier.calling(NUMBER).header("P-Asserted-Identity", "<sip:+14155550198@liar.example.com>").send();
    let leg = establish(&call, &agent);
    assert_eq!(leg.invite().find("P-Asserted-Identity"), None);
    assert_eq!(world.call().caller_id.as_deref(), Some("+14155550199"));
    assert_eq!(world.call().trunk, "carrier");
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_forged_call_id_header_of_the_caller_does_not_reach_the_agent() {
    let t = Talking::by(&Config::default(), |invite| invite.header("X-Baton-Call-ID", "forged"));
    assert_eq!(t.leg.invite().header("X-Baton-Call-ID"), t.world.call_id());
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_anonymous_caller_has_no_caller_id() {
    let t = Talking::by(&Config::default(), |i| i.from("\"Anonymous\" <sip:anonymous@anonymous.invalid>"));
    assert_eq!(t.world.call().caller_id, None);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_caller_who_asks_for_privacy_has_no_caller_id() {
    let t = Talking::by(&Config::default(), |i| {
        i.header("P-Asserted-Identity", "<sip:+14155550198@pbx.example.com>").header("Privacy", "id")
    });
    assert_eq!(t.world.call().caller_id, None);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_whose_name_resolves_slowly_is_reached() {
    let config = Config::default().agent_address("sip:booking@agents.example.com:5080");
    let world = World::with(&config);
    world.name("agents.example.com", Name::Known(vec!["10.0.0.80".parse().expect("an address")], ms(300)));
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    call.expect(100);
    agent.expect_silence(ms(299));
    let leg = establish(&call, &agent);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn a_caller_who_gives_up_while_the_agents_name_resolves() {
    let config = Config::default().agent_address("sip:booking@agents.example.com:5080");
    let world = World::with(&config);
    world.name("agents.example.com", Name::Known(vec!["10.0.0.80".parse().expect("an address")], ms(300)));
    let (pbx, _agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    call.cancel();
    call.expect(100);
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    world.assert_empty();
}

#[test]
fn hanging_up_by_command_ends_both_legs() {
    let t = Talking::new();
    t.world.command(baton::call::command::Command::HangUp { call: t.world.call_id() });
    t.both_get_bye();
    t.world.assert_empty();
}

#[test]
fn the_longest_call_ends() {
    let t = Talking::with(&Config::default().max_duration(s(600)));
    t.world.advance(s(599));
    t.world.assert_expected();
    t.call.expect_bye_within(s(2));
    t.leg.expect_bye();
    t.world.assert_empty();
}

//! Before the answer: reliable provisional responses on each side by itself, and UPDATE through Baton.

use crate::common::config::Config;
use crate::common::message::without_origin;
use crate::common::peer::{AGENT, Leg, NUMBER, PBX, Peer, sdp, sdp_with};
use crate::common::{World, ms};

fn calling(headers: &[(&str, &str)]) -> (World, Peer, Leg, Leg) {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let mut invite = pbx.calling(NUMBER);
    for (name, value) in headers {
        invite = invite.header(name, value);
    }
    let call = invite.send();
    let leg = agent.expect_call();
    (world, agent, call, leg)
}

fn end(world: &World, call: &Leg, leg: &Leg) {
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

const ALLOW: (&str, &str) = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK");
const RELIABLE: (&str, &str) = ("Require", "100rel");
const SDP: &str = "application/sdp";

#[test]
fn the_caller_requires_it_and_the_agent_knows_nothing_of_it() {
    let (world, _agent, call, leg) = calling(&[RELIABLE]);
    assert_eq!(leg.invite().find("Require"), None, "the caller's demand is the caller's");
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    let early = call.expect(183);
    assert_eq!(early.header("Require"), "100rel");
    call.learn(&early);
    let rack = format!("{} {} INVITE", early.header("RSeq"), early.cseq().0);
    call.request("PRACK", &[("RAck", &rack)], "", "");
    call.expect(200);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.body, "", "the answer stood in the 183");
    call.ack(&ok);
    end(&world, &call, &leg);
}

#[test]
fn the_agent_requires_it_and_the_caller_knows_nothing_of_it() {
    let (world, _agent, call, leg) = calling(&[]);
    assert!(leg.invite().header("Supported").contains("100rel"));
    leg.reply_with(&leg.invite(), 183, &[RELIABLE, ("RSeq", "77")], &sdp("agent", 1));
    let prack = leg.expect("PRACK");
    assert_eq!(prack.header("RAck"), format!("77 {} INVITE", leg.invite().cseq().0));
    leg.reply(&prack, 200);
    let early = call.expect(183);
    assert_eq!((early.find("Require"), early.find("RSeq")), (None, None));
    assert_eq!(without_origin(early.sdp()), without_origin(&sdp("agent", 1)));
    // Its 200 says nothing of the session any more; the caller's has to.
    leg.reply(&leg.invite(), 200);
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("agent", 1)));
    call.ack(&ok);
    end(&world, &call, &leg);
}

#[test]
fn an_update_passes_before_the_answer_where_both_sides_can() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    leg.reply_with(&leg.invite(), 183, &[RELIABLE, ("RSeq", "1"), ALLOW], &sdp("agent", 1));
    let prack = leg.expect("PRACK");
    leg.reply(&prack, 200);
    let early = call.expect(183);
    call.learn(&early);
    let rack = format!("{} {} INVITE", early.header("RSeq"), early.cseq().0);
    call.request("PRACK", &[("RAck", &rack)], "", "");
    call.expect(200);
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    call.request("UPDATE", &[], "application/sdp", &moved);
    let update = leg.expect("UPDATE");
    assert_eq!(without_origin(update.sdp()), without_origin(&moved));
    leg.reply_with(&update, 200, &[], &sdp("agent", 1));
    let ok = call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("agent", 1)));
    // And the other way.
    let other = sdp_with("agent", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    leg.request("UPDATE", &[], "application/sdp", &other);
    let update = call.expect("UPDATE");
    assert_eq!(without_origin(update.sdp()), without_origin(&other));
    call.reply_with(&update, 200, &[], &moved);
    leg.expect(200);
    leg.reply(&leg.invite(), 200);
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.body, "");
    call.ack(&ok);
    world.settle();
    end(&world, &call, &leg);
}

#[test]
fn an_update_that_the_caller_cannot_take_is_a_glare() {
    let (world, _agent, call, leg) = calling(&[]);
    leg.reply_with(&leg.invite(), 183, &[RELIABLE, ("RSeq", "1"), ALLOW], &sdp("agent", 1));
    let prack = leg.expect("PRACK");
    leg.reply(&prack, 200);
    call.expect(183);
    leg.request("UPDATE", &[], "application/sdp", &sdp("agent", 2));
    leg.expect(491);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    end(&world, &call, &leg);
}

#[test]
fn another_answer_in_the_2xx_than_in_the_183_is_put_right_afterwards() {
    let (world, _agent, call, leg) = calling(&[RELIABLE]);
    leg.reply_with(&leg.invite(), 183, &[], &sdp("announcement", 1));
    let early = call.expect(183);
    call.learn(&early);
    let rack = format!("{} {} INVITE", early.header("RSeq"), early.cseq().0);
    call.request("PRACK", &[("RAck", &rack)], "", "");
    call.expect(200);
    let real = sdp_with("agent", 1, "m=audio 4444 RTP/AVP 0 101\r\na=sendrecv\r\n");
    leg.answer(&leg.invite(), &real);
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    let told = call.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&real));
    call.answer(&told, &sdp("pbx", 1));
    call.expect("ACK");
    end(&world, &call, &leg);
}

#[test]
fn a_caller_that_cancels_while_a_183_waits_for_its_prack() {
    let (world, _agent, call, leg) = calling(&[RELIABLE]);
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    call.expect(183);
    world.advance(ms(400));
    call.cancels(&leg);
    world.assert_empty();
}

#[test]
fn a_caller_whose_session_expires_is_lost_and_the_agent_is_told() {
    let (world, _agent, call, leg) = calling(&[("Supported", "timer"), ("Session-Expires", "120")]);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.header("Session-Expires"), "120;refresher=uac");
    call.ack(&ok);
    world.advance(std::time::Duration::from_secs(87));
    let bye = leg.expect_within("BYE", std::time::Duration::from_secs(2));
    leg.reply(&bye, 200);
    call.expect_bye();
    world.assert_empty();
}

#[test]
fn each_branch_of_a_fork_counts_its_own_requests() {
    let (world, _agent, call, leg) = calling(&[]);
    let number = leg.invite().cseq().0;
    let other = leg.fork();
    for (branch, status) in [(&leg, 180), (&other, 181)] {
        branch.reply_with(&branch.invite(), status, &[RELIABLE, ("RSeq", "1"), ALLOW], "");
        let prack = branch.peer.expect("PRACK");
        assert_eq!(prack.cseq().0, number + 1, "both count on from the INVITE");
        branch.reply(&prack, 200);
        call.expect(status);
    }
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    // The other one answers too, and goes on from its own PRACK.
    other.answer(&other.invite(), &sdp("other", 1));
    other.expect("ACK");
    assert_eq!(other.expect_bye().cseq().0, number + 2);
    call.hang_up();
    assert_eq!(leg.expect_bye().cseq().0, number + 2);
    world.assert_empty();
}

#[test]
fn a_prack_in_the_second_early_dialog_counts_from_the_invite_too() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.calling(NUMBER).header("Require", "100rel").send();
    let leg = agent.expect_call();
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    prack(&call, &call.expect(183), 2);
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    // The fallback is another dialog for the caller (RFC 3261 §12.1.2), in which it has said nothing yet.
    let desk = pbx.expect_call();
    desk.reply(&desk.invite(), 180);
    prack(&call, &call.expect(180), 2);
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.request_numbered("BYE", 3, &[], "", "");
    call.expect(200);
    desk.expect_bye();
    world.assert_empty();
}

#[test]
fn an_update_of_the_second_branch_counts_by_itself_too() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    let other = leg.fork();
    let mut pracked = 1;
    for (branch, status, cseq) in [(&leg, 183, 50), (&other, 183, 7)] {
        branch.reply_with(
            &branch.invite(),
            status,
            &[RELIABLE, ("RSeq", "1"), ALLOW],
            &sdp(&branch.local_tag(), 1),
        );
        let asked = branch.peer.expect("PRACK");
        branch.reply(&asked, 200);
        pracked += 1;
        prack(&call, &call.expect(status), pracked);
        branch.request_numbered("UPDATE", cseq, &[], "", "");
        branch.peer.expect(200);
    }
    other.reply(&other.invite(), 200);
    other.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    other.request_numbered("BYE", 8, &[], "", "");
    other.expect(200);
    call.expect_bye();
    world.assert_empty();
}

/// PRACK of `early` in its own dialog, with that CSeq, and its 200.
fn prack(call: &Leg, early: &crate::common::message::Message, cseq: u32) {
    call.learn(early);
    let rack = format!("{} {} INVITE", early.header("RSeq"), early.cseq().0);
    call.request_numbered("PRACK", cseq, &[("RAck", &rack)], "", "");
    call.expect(200);
}

/// The agent's 183 and its PRACK, and the same to the caller, who has sent `pracked` requests by then.
fn progressed(call: &Leg, leg: &Leg, pracked: u32) {
    leg.reply_with(&leg.invite(), 183, &[RELIABLE, ("RSeq", "1"), ALLOW], &sdp("agent", 1));
    let asked = leg.expect("PRACK");
    leg.reply(&asked, 200);
    prack(call, &call.expect(183), pracked);
}

#[test]
fn an_early_dialog_ends_with_the_invite_that_made_it() {
    let (world, agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    progressed(&call, &leg, 2);
    leg.reply_with(&leg.invite(), 422, &[("Min-SE", "2400")], "");
    leg.expect("ACK");
    let second = agent.expect_call();
    second.reply_with(&second.invite(), 183, &[], &sdp("agent", 1));
    prack(&call, &call.expect(183), 3);
    // Nothing can be asked in the first dialog any more, and in the second not yet.
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    call.request_numbered("UPDATE", 4, &[], SDP, &moved);
    call.expect(491);
    second.answer(&second.invite(), &sdp("agent", 1));
    second.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.request_numbered("BYE", 5, &[], "", "");
    call.expect(200);
    second.expect_bye();
    world.assert_empty();
}

#[test]
fn each_branch_of_a_fork_has_a_session_of_its_own() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    progressed(&call, &leg, 2);
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    call.request_numbered("UPDATE", 3, &[], SDP, &moved);
    let update = leg.expect("UPDATE");
    leg.reply_with(&update, 200, &[], &sdp("agent", 1));
    call.expect(200);
    // Another branch answers; it has seen nothing of that.
    let other = leg.fork();
    let elsewhere = sdp_with("other", 1, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    other.answer(&other.invite(), &elsewhere);
    other.expect("ACK");
    // Nor has the caller: the early dialog of the first one is not this one.
    let ok = call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&elsewhere));
    call.ack(&ok);
    world.settle();
    call.request_numbered("BYE", 4, &[], "", "");
    call.expect(200);
    other.expect_bye();
    world.assert_empty();
}

/// What a branch answers late is about its own early dialog, which is over: where the call is now is somewhere else.
#[test]
fn a_late_answer_of_another_branch_moves_nothing() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    progressed(&call, &leg, 2);
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    call.request_numbered("UPDATE", 3, &[], SDP, &moved);
    let update = leg.expect("UPDATE");
    let other = leg.fork();
    let there = [("Contact", "<sip:other@10.0.0.80:5080>")];
    other.reply_with(&other.invite(), 200, &there, &sdp("other", 1));
    other.expect("ACK");
    call.ack(&call.expect(200));
    leg.reply_with(&update, 200, &[], &sdp("agent", 1));
    call.expect(200);
    call.request_numbered("BYE", 4, &[], "", "");
    call.expect(200);
    assert_eq!(other.expect_bye().uri(), "sip:other@10.0.0.80:5080");
    world.assert_empty();
}

#[test]
fn a_caller_that_cancels_while_the_answer_waits_for_its_prack_has_hung_up() {
    let (world, _agent, call, leg) = calling(&[RELIABLE]);
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    call.expect(183);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.cancel();
    call.expect(200);
    let gone = call.expect(487);
    call.ack(&gone);
    leg.expect_bye();
    world.settle();
    let records = world.records();
    assert_eq!(records[0].call.ended_by.as_deref(), Some("caller hung up"));
    world.assert_empty();
}

#[test]
fn a_prack_that_another_request_has_overtaken_counts() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    leg.reply_with(&leg.invite(), 183, &[ALLOW], &sdp("agent", 1));
    let early = call.expect(183);
    call.learn(&early);
    call.request_numbered("OPTIONS", 3, &[], "", "");
    call.expect(200);
    let rack = format!("{} {} INVITE", early.header("RSeq"), early.cseq().0);
    call.request_numbered("PRACK", 2, &[("RAck", &rack)], "", "");
    call.expect(500);
    // It is not sent again, and the answer need not wait any more.
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.request_numbered("BYE", 4, &[], "", "");
    call.expect(200);
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn an_update_waits_until_the_caller_has_the_answer_to_its_offer() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    leg.reply_with(&leg.invite(), 183, &[RELIABLE, ("RSeq", "1"), ALLOW], &sdp("agent", 1));
    let asked = leg.expect("PRACK");
    leg.reply(&asked, 200);
    let early = call.expect(183);
    // For all that is known the caller has not seen it.
    let moved = sdp_with("agent", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    leg.request("UPDATE", &[], SDP, &moved);
    leg.expect(491);
    prack(&call, &early, 2);
    leg.request("UPDATE", &[], SDP, &moved);
    let update = call.expect("UPDATE");
    call.reply_with(&update, 200, &[], &sdp("pbx", 1));
    leg.expect(200);
    leg.reply(&leg.invite(), 200);
    leg.expect("ACK");
    call.ack(&call.expect(200));
    world.settle();
    call.request_numbered("BYE", 3, &[], "", "");
    call.expect(200);
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn an_answer_that_was_acknowledged_is_not_said_again() {
    let (world, _agent, call, leg) = calling(&[RELIABLE]);
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    let early = call.expect(183);
    assert!(early.has_sdp());
    prack(&call, &early, 2);
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    let again = call.expect(183);
    assert!(!again.has_sdp(), "RFC 6337 §3.1.1");
    prack(&call, &again, 3);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    call.request_numbered("BYE", 4, &[], "", "");
    call.expect(200);
    leg.expect_bye();
    world.assert_empty();
}

/// 180 and 200 come in one breath, as of an agent that picks up by itself.
#[test]
fn a_prack_that_the_200_has_overtaken_counts() {
    for late in [false, true] {
        let (world, _agent, call, leg) = calling(&[RELIABLE]);
        leg.reply(&leg.invite(), 180);
        leg.answer(&leg.invite(), &sdp("agent", 1));
        leg.expect("ACK");
        let early = call.expect(180);
        let ok = call.expect(200);
        if late {
            // It was lost at first.
            call.ack(&ok);
            world.advance(ms(500));
        }
        prack(&call, &early, 2);
        if !late {
            call.ack(&ok);
        }
        // Only once.
        let rack = format!("{} {} INVITE", early.header("RSeq"), early.cseq().0);
        call.request_numbered("PRACK", 3, &[("RAck", &rack)], "", "");
        call.expect(481);
        call.request_numbered("BYE", 4, &[], "", "");
        call.expect(200);
        leg.expect_bye();
        world.assert_empty();
    }
}

#[test]
fn an_update_of_the_agent_is_answered_though_the_call_is_answered_meanwhile() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    progressed(&call, &leg, 2);
    let moved = sdp_with("agent", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    leg.request("UPDATE", &[], SDP, &moved);
    let update = call.expect("UPDATE");
    leg.reply(&leg.invite(), 200);
    let ack = leg.expect("ACK");
    assert_eq!(ack.body, "", "the 200 carried no offer, and the UPDATE's is not answered by an ACK");
    call.ack(&call.expect(200));
    world.settle();
    call.reply_with(&update, 200, &[], &sdp("pbx", 1));
    assert_eq!(without_origin(leg.expect(200).sdp()), without_origin(&sdp("pbx", 1)));
    // And the session is free for the next change.
    let hold = sdp_with("agent", 3, "m=audio 4020 RTP/AVP 0 101\r\na=sendonly\r\n");
    leg.reinvite(&hold);
    let held = call.expect("INVITE");
    call.answer(&held, &sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0 101\r\na=recvonly\r\n"));
    call.expect("ACK");
    leg.ack(&leg.expect(200));
    call.request_numbered("BYE", 3, &[], "", "");
    call.expect(200);
    leg.expect_bye();
    world.assert_empty();
}

#[test]
fn an_early_update_is_answered_though_the_agent_refuses_the_call() {
    let (world, _agent, call, leg) = calling(&[RELIABLE, ALLOW]);
    progressed(&call, &leg, 2);
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    call.request_numbered("UPDATE", 3, &[], SDP, &moved);
    let update = leg.expect("UPDATE");
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    call.expect(480);
    leg.reply(&update, 481);
    let desk = call.peer.expect_call();
    desk.answer(&desk.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    call.request_numbered("BYE", 4, &[], "", "");
    call.expect(200);
    desk.expect_bye();
    world.assert_empty();
}

#[test]
fn an_early_update_that_is_never_answered_is_504() {
    let world = World::with(&Config::default().agent_key("answer_timeout = \"60s\""));
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    agent.answers_options(200);
    let call = pbx.calling(NUMBER).header(RELIABLE.0, RELIABLE.1).header(ALLOW.0, ALLOW.1).send();
    let leg = agent.expect_call();
    progressed(&call, &leg, 2);
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    call.request_numbered("UPDATE", 3, &[], SDP, &moved);
    leg.expect("UPDATE");
    call.expect_within(504, std::time::Duration::from_secs(21));
    // It comes all the same, and is nobody's.
    call.cancel();
    call.expect(200);
    call.ack(&call.expect(487));
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    world.assert_empty();
}

/// The first description that comes is the answer (RFC 3261 §13.2.1). Gateways leave it out of the 200 then.
#[test]
fn an_answer_that_only_an_unreliable_183_has_said_stands() {
    let (world, _agent, call, leg) = calling(&[]);
    leg.reply_with(&leg.invite(), 183, &[], &sdp("agent", 1));
    call.expect(183);
    leg.reply(&leg.invite(), 200);
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("agent", 1)));
    call.ack(&ok);
    end(&world, &call, &leg);
}

/// A caller that would not be refreshed was lost with its session.
#[test]
fn a_refresh_by_update_that_is_too_short_is_sent_again_longer() {
    let (world, _agent, call, leg) = calling(&[]);
    let timer = ("Require", "timer");
    leg.reply_with(
        &leg.invite(),
        200,
        &[ALLOW, timer, ("Session-Expires", "120;refresher=uac")],
        &sdp("agent", 1),
    );
    leg.expect("ACK");
    call.ack(&call.expect(200));
    let update = leg.expect_within("UPDATE", std::time::Duration::from_secs(61));
    leg.reply_with(&update, 422, &[("Min-SE", "600")], "");
    let update = leg.expect("UPDATE");
    assert_eq!((update.header("Session-Expires"), update.header("Min-SE")), ("1800", "600"));
    leg.reply_with(&update, 200, &[timer, ("Session-Expires", "1800;refresher=uac")], "");
    world.advance(std::time::Duration::from_secs(120));
    end(&world, &call, &leg);
}

#[test]
fn a_contact_that_an_early_update_has_changed_is_where_the_next_prack_goes() {
    let (world, _agent, call, leg) = calling(&[]);
    leg.reply_with(&leg.invite(), 183, &[RELIABLE, ("RSeq", "1"), ALLOW], &sdp("agent", 1));
    let asked = leg.expect("PRACK");
    leg.reply(&asked, 200);
    call.expect(183);
    leg.set_contact("<sip:moved@10.0.0.80:5080>");
    leg.request("UPDATE", &[], "", "");
    leg.expect(200);
    leg.reply_with(&leg.invite(), 180, &[RELIABLE, ("RSeq", "2"), ALLOW], "");
    let asked = leg.expect("PRACK");
    assert_eq!(asked.uri(), "sip:moved@10.0.0.80:5080");
    leg.reply(&asked, 200);
    call.expect(180);
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    end(&world, &call, &leg);
}

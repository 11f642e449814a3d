//! The races around a REFER: one outcome, no leg, no timer, whatever crosses.

use crate::common::config::Config;
use crate::common::peer::{Talking, sdp};
use crate::common::{Link, ms, s};

const OK: &str = "SIP/2.0 200 OK\r\n";

fn referred() -> (Talking, std::rc::Rc<crate::common::message::Message>) {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    (t, refer)
}

#[test]
fn a_reinvite_crosses_the_refer() {
    let (t, refer) = referred();
    t.call.reinvite(&sdp("pbx", 2));
    t.call.reply(&refer, 202);
    let hold = t.leg.expect("INVITE");
    t.leg.answer(&hold, &sdp("agent", 2));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_hold_in_the_same_millisecond_as_the_final_notify() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify(OK, "terminated");
    t.call.reinvite(&sdp("pbx", 2));
    assert_eq!(t.call.expect(200).method(), "NOTIFY");
    let bye = t.call.expect("BYE");
    // Our BYE was first: the dialog is no more.
    let last = t.call.expect(481);
    t.call.ack(&last);
    t.call.reply(&bye, 200);
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_final_notify_and_the_bye_come_together() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify(OK, "terminated");
    t.call.bye();
    assert_eq!(t.call.expect(200).method(), "NOTIFY");
    let bye = t.call.expect("BYE");
    assert_eq!(t.call.expect(200).method(), "BYE");
    t.call.reply(&bye, 481);
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_bye_comes_before_the_final_notify() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.bye();
    t.call.notify(OK, "terminated");
    assert_eq!(t.call.expect(200).method(), "BYE");
    assert_eq!(t.call.expect(200).method(), "NOTIFY");
    t.leg.expect_bye_within(ms(1100));
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn our_bye_crosses_the_peers() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    let ours = t.call.expect("BYE");
    t.call.hang_up();
    t.call.reply(&ours, 481);
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_answer_to_the_final_notify_is_lost() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.world.link(Link::default(), Link { loss: 100, ..Link::default() });
    let notify = t.call.notify(OK, "terminated");
    t.world.advance(ms(1));
    t.world.link(Link::default(), Link::default());
    t.call.again(&notify);
    assert_eq!(t.call.expect(200).method(), "NOTIFY");
    t.call.expect_bye();
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_notify_that_comes_again_counts_once() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    let notify = t.call.notify("SIP/2.0 180 Ringing\r\n", "active");
    t.call.expect(200);
    t.call.again(&notify);
    t.world.advance(ms(10));
    assert_eq!(t.pbx.retransmissions(), 1, "the same 200");
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn notifies_out_of_order() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    let event = [("Event", "refer"), ("Subscription-State", "terminated;reason=noresource")];
    t.call.request_numbered("NOTIFY", 9, &event, "message/sipfrag", OK);
    t.call.expect(200);
    let late = [("Event", "refer"), ("Subscription-State", "active")];
    t.call.request_numbered("NOTIFY", 8, &late, "message/sipfrag", "SIP/2.0 180 Ringing\r\n");
    let bye = t.call.expect("BYE");
    t.call.expect(500);
    t.call.reply(&bye, 200);
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_notify_that_another_request_has_overtaken_is_news() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.request_numbered("OPTIONS", 9, &[], "", "");
    t.call.expect(200);
    let event = [("Event", "refer"), ("Subscription-State", "terminated;reason=noresource")];
    t.call.request_numbered("NOTIFY", 8, &event, "message/sipfrag", OK);
    t.call.expect(500);
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_refer_is_sent_again_until_it_is_answered() {
    let (t, refer) = referred();
    t.world.advance(ms(3600)); // at 0.5, 1.5 and 3.5 s
    assert_eq!(t.pbx.retransmissions(), 3);
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_second_final_notify_changes_nothing() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "active");
    t.call.still_has_caller();
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.call.notify("SIP/2.0 486 Busy Here\r\n", "terminated;reason=noresource");
    let answer = t.pbx.expect(200);
    assert_eq!(answer.method(), "NOTIFY");
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_bye_of_the_caller_crosses_the_refer() {
    let (t, refer) = referred();
    t.call.bye();
    assert_eq!(t.call.expect(200).method(), "BYE");
    t.call.reply(&refer, 481);
    t.leg.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn a_handoff_while_our_200_is_not_acknowledged_waits_for_the_ack() {
    let world = crate::common::World::new();
    let (pbx, agent) =
        (world.peer("pbx", crate::common::peer::PBX), world.peer("agent", crate::common::peer::AGENT));
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    world.handoff("front-desk");
    world.advance(ms(100));
    call.ack(&ok);
    let refer = call.expect("REFER");
    super::refer::conclude(&call, &refer, OK);
    call.expect_bye();
    leg.expect_bye();
    world.assert_ended("succeeded");
    world.assert_empty();
}

#[test]
fn tables_reloaded_while_a_handoff_runs() {
    let (t, refer) = referred();
    // The new table would hang up on failure; the running handoff keeps the one that it began with.
    let hard = Config::default().table_text(
        "default = \"front-desk\"\n[destination.front-desk]\nroute = \"+14155550166\"\non_failure = [\"hangup\"]\n",
    );
    t.world.reload(&hard.serial(2));
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550166@10.0.0.5>");
    t.call.reply(&refer, 603);
    t.both_get_bye();
    t.world.settle();
    assert_eq!(t.world.ended_handoffs()[1].state.as_str(), "failed");
    t.world.assert_empty();
}

#[test]
fn the_stream_to_the_pbx_dies_with_the_refer_in_flight() {
    let config = Config::default().pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let world = crate::common::World::with(&config);
    let (pbx, agent) =
        (world.peer("pbx", "tcp:10.0.0.5:5060"), world.peer("agent", crate::common::peer::AGENT));
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = crate::common::peer::establish(&call, &agent);
    world.handoff("front-desk");
    call.expect("REFER");
    pbx.closes_connection();
    // It may have arrived: nobody knows.
    world.advance(s(9));
    world.assert_ended("unknown");
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

/// The PBX answers by a new connection, as RFC 3261 §18.2.2 asks.
#[test]
fn a_refer_whose_stream_died_is_answered_by_another() {
    let config = Config::default().pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let world = crate::common::World::with(&config);
    let (pbx, agent) =
        (world.peer("pbx", "tcp:10.0.0.5:5060"), world.peer("agent", crate::common::peer::AGENT));
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = crate::common::peer::establish(&call, &agent);
    world.handoff("front-desk");
    let refer = call.expect("REFER");
    pbx.closes_connection();
    world.advance(s(1));
    call.reply(&refer, 202);
    // Its result is waited for, past `response`.
    world.advance(s(12));
    world.assert_running();
    call.hang_up();
    leg.expect_bye_within(s(2));
    world.advance(s(120));
    world.assert_ended("unknown");
    world.assert_empty();
}

/// Nobody has a part in the caller's session while the agent has gone, and it must not expire for that (RFC 4028).
#[test]
fn a_refresh_without_an_offer_while_the_agent_has_gone() {
    let (t, refer) = referred();
    t.leg.hang_up();
    t.call.reinvite("");
    let ok = t.call.expect(200);
    assert_eq!(
        crate::common::message::without_origin(ok.sdp()),
        crate::common::message::without_origin(&sdp("agent", 1))
    );
    t.call.ack_with(&ok, &sdp("pbx", 1));
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.call.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

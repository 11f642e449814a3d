//! Who does not answer is not gone: no single silence in a live dialog ends a call, whoever asked what. It is checked by
//! one OPTIONS, and a peer that is dead is noticed all the same.

use super::{bridge, brief};
use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Talking, sdp, sdp_with};
use crate::common::{ms, s};
use baton::call::event::{AfterLoss, EventKind};
use std::rc::Rc;

const UPDATES: (&str, &str) = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE");
const INFO: (&str, &str) = ("application/dtmf-relay", "Signal=5\r\n");

/// How often that was told.
fn told(t: &Talking, what: impl Fn(&EventKind) -> bool) -> usize {
    t.world.events().iter().filter(|event| what(event)).count()
}

fn silent(what: &EventKind) -> bool {
    matches!(what, EventKind::LegSilent { .. })
}

fn info(leg: &Leg) {
    leg.request("INFO", &[], INFO.0, INFO.1);
}

/// The check, answered so.
#[track_caller]
fn checked(leg: &Leg, status: u16) {
    let options = leg.expect("OPTIONS");
    assert_ne!(options.to_tag(), "", "{options}");
    leg.reply(&options, status);
}

/// What one side has to say reaches the other, and both end in peace.
#[track_caller]
fn goes_on(t: &Talking) {
    t.world.assert_expected();
    bridge::still_together(t);
    assert_eq!(told(t, |what| matches!(what, EventKind::LegLost { .. })), 0);
}

/// Takes the next re-INVITE of a leg with the session that it shall have then.
#[track_caller]
fn takes(leg: &Leg, offered: &str, answer: &str) {
    let offer = leg.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(offered), "{offer}");
    leg.answer(&offer, answer);
    leg.expect("ACK");
}

#[test]
fn an_info_that_nobody_answers_ends_no_call() {
    let t = Talking::new();
    info(&t.leg);
    t.call.expect("INFO");
    t.leg.expect_within(504, s(21));
    let options = t.call.expect_within("OPTIONS", s(13));
    t.call.reply(&options, 200);
    t.world.advance(s(60));
    goes_on(&t);
}

/// The agent's side of the same, and of an agent that ignores OPTIONS as well: small stacks do.
#[test]
fn an_agent_that_ignores_info_and_options_keeps_its_caller_with_one_warning() {
    let t = Talking::with(&Config::default().agent_key("keepalive = \"0s\""));
    t.agent.is_silent_to_options();
    for _ in 0..2 {
        info(&t.call);
        t.leg.expect("INFO");
        t.call.expect_within(504, s(21));
        t.leg.expect_within("OPTIONS", s(13));
        t.world.advance(s(60));
        assert_eq!(told(&t, silent), 1);
    }
    goes_on(&t);
}

#[test]
fn a_481_to_an_info_is_no_more_than_a_suspicion() {
    let t = Talking::new();
    info(&t.leg);
    let asked = t.call.expect("INFO");
    t.call.reply(&asked, 481);
    checked(&t.call, 200);
    // The agent's own dialog stands.
    t.leg.expect(480);
    goes_on(&t);
}

#[test]
fn a_proxys_408_or_504_to_whatever_was_passed_ends_no_call() {
    for status in [408, 504] {
        for (method, taken) in
            [("INFO", ""), ("INVITE", "INVITE"), ("UPDATE", "INVITE"), ("UPDATE", "UPDATE")]
        {
            let t = Talking::by(&Config::default(), |invite| match taken {
                "UPDATE" => invite.header(UPDATES.0, UPDATES.1),
                _ => invite,
            });
            let moved = sdp_with("agent", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
            match method {
                "INFO" => info(&t.leg),
                method => _ = t.leg.request(method, &[], "application/sdp", &moved),
            }
            let asked = t.call.expect(if taken.is_empty() { method } else { taken });
            t.call.reply(&asked, status);
            if taken == "INVITE" {
                t.call.expect("ACK");
            }
            checked(&t.call, 200);
            let no = t.leg.expect(if status == 408 { 480 } else { 504 });
            if method == "INVITE" {
                t.leg.ack(&no);
            }
            if method != "INFO" {
                // The caller may have taken what the agent was refused.
                takes(&t.call, &sdp("agent", 1), &sdp("pbx", 1));
            }
            goes_on(&t);
        }
    }
}

#[test]
fn a_caller_that_answers_neither_reinvite_nor_options_is_lost() {
    let t = Talking::new();
    t.leg.reinvite(&sdp("agent", 2));
    t.leg.expect(100);
    t.call.expect("INVITE");
    let no = t.leg.expect_within(504, s(31));
    t.leg.ack(&no);
    t.call.expect_within("OPTIONS", s(3));
    // It may have taken what it never answered.
    t.call.expect("INVITE");
    t.world.advance(s(30));
    t.world.assert_expected();
    t.call.expect_bye_within(s(3));
    t.leg.expect_bye();
    t.world.assert_empty();
}

#[test]
fn an_agent_that_has_answered_options_and_is_silent_to_all_is_lost() {
    let t = Talking::with(&Config::default().agent_key("keepalive = \"50s\""));
    t.world.advance(s(51));
    t.agent.is_silent_to_options();
    info(&t.call);
    t.leg.expect("INFO");
    t.call.expect_within(504, s(21));
    t.leg.expect_within("OPTIONS", s(13));
    // The next keepalive.
    t.leg.expect_within("OPTIONS", s(20));
    t.leg.expect_bye_within(s(20));
    t.call.expect("REFER");
    assert_eq!(
        told(
            &t,
            |what| matches!(what, EventKind::LegLost { next, .. } if matches!(next, AfterLoss::Fallback(_)))
        ),
        1
    );
    t.world.finish();
}

#[test]
fn whatever_is_heard_of_a_silent_peer_clears_it() {
    let t = Talking::with(&Config::default().agent_key("keepalive = \"50s\""));
    t.world.advance(s(51));
    t.agent.is_silent_to_options();
    info(&t.call);
    t.leg.expect("INFO");
    t.call.expect_within(504, s(21));
    t.leg.expect_within("OPTIONS", s(13));
    // It has much to say itself, and answers nothing.
    info(&t.leg);
    let passed = t.call.expect("INFO");
    t.call.reply(&passed, 200);
    t.leg.expect(200);
    t.leg.expect_within("OPTIONS", s(20));
    t.world.advance(s(25));
    t.agent.answers_options(200);
    t.world.advance(s(60));
    goes_on(&t);
}

/// A peer that is heard after it was asked is there: its silence to that one request needs no check.
#[test]
fn who_is_heard_while_a_request_waits_is_not_checked() {
    let t = Talking::new();
    info(&t.leg);
    t.call.expect("INFO");
    t.leg.expect_within(504, s(21));
    info(&t.call);
    let passed = t.leg.expect("INFO");
    t.leg.reply(&passed, 200);
    t.call.expect(200);
    t.world.advance(s(60));
    goes_on(&t);
}

/// One lost answer behind a proxy: the caller may have taken the target's session.
#[test]
fn a_proxys_408_to_the_join_gives_the_caller_back_to_the_agent() {
    for status in [408, 504] {
        let (t, _desk, target) = bridge::ringing();
        let offer = bridge::answered(&t, &target);
        t.call.reply(&offer, status);
        t.call.expect("ACK");
        target.expect_bye();
        checked(&t.call, 200);
        takes(&t.call, &sdp("agent", 1), &sdp("pbx", 1));
        t.world.advance(ms(500));
        let handoff = t.world.assert_ended("returned");
        assert_eq!((handoff.proof, handoff.cause.as_deref()), (None, Some("failed")));
        goes_on(&t);
    }
}

#[test]
fn silence_to_the_join_gives_the_caller_back_to_the_agent() {
    let (t, _desk, target) = bridge::ringing();
    bridge::answered(&t, &target);
    target.expect_bye_within(s(33));
    checked(&t.call, 200);
    takes(&t.call, &sdp("agent", 1), &sdp("pbx", 1));
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    goes_on(&t);
}

#[test]
fn a_caller_that_died_before_the_join_is_lost_and_nobody_has_lost_it() {
    let (t, _desk, target) = bridge::ringing();
    bridge::answered(&t, &target);
    target.expect_bye_within(s(33));
    t.call.expect("OPTIONS");
    t.call.expect("INVITE");
    t.call.expect_bye_within(s(33));
    t.leg.expect_bye();
    // Nobody has said that the caller is back.
    assert_ne!(t.world.assert_ended("unknown").cause.as_deref(), Some("lost_by_receiver"));
    t.world.assert_empty();
}

/// A handoff fails while the caller's side has said that it does not know the dialog.
#[track_caller]
fn fails_in_doubt(t: &Talking) -> Rc<Message> {
    info(&t.leg);
    let asked = t.call.expect("INFO");
    t.call.reply(&asked, 481);
    t.leg.expect(480);
    let check = t.call.expect("OPTIONS");
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 403);
    t.world.advance(ms(600));
    t.world.assert_running();
    check
}

/// The 481 is confirmed, and the caller is lost.
#[track_caller]
fn gone(t: &Talking, confirms: &Message) {
    t.call.reply(confirms, 481);
    t.call.expect("ACK");
    t.call.expect_bye();
    t.leg.expect_bye();
    t.world.assert_ended("failed");
    t.world.assert_empty();
}

#[test]
fn nobody_is_returned_while_the_callers_dialog_is_checked() {
    let t = Talking::new();
    let check = fails_in_doubt(&t);
    // What was heard since the check went out clears it, so a re-INVITE confirms the 481.
    t.call.reply(&check, 481);
    let confirms = t.call.expect("INVITE");
    gone(&t, &confirms);
}

#[test]
fn a_caller_who_is_found_to_be_there_is_returned_then() {
    let t = Talking::new();
    let check = fails_in_doubt(&t);
    t.call.reply(&check, 200);
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    goes_on(&t);
}

#[test]
fn so_is_one_who_answers_the_reinvite_that_confirms_a_481() {
    let t = Talking::new();
    let check = fails_in_doubt(&t);
    t.call.reply(&check, 481);
    takes(&t.call, &sdp("agent", 1), &sdp("pbx", 1));
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    goes_on(&t);
}

/// A re-INVITE of its own is under way, so that ours has to wait.
#[test]
fn a_481_that_cannot_be_confirmed_yet_is_confirmed_later() {
    let t = Talking::new();
    info(&t.leg);
    let asked = t.call.expect("INFO");
    t.call.reply(&asked, 481);
    t.leg.expect(480);
    let check = t.call.expect("OPTIONS");
    let moved = t.call.reinvite(&sdp("pbx", 2));
    let passed = t.leg.expect("INVITE");
    t.call.reply(&check, 481);
    t.leg.answer(&passed, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.call.expect(200);
    t.call.ack(&moved);
    let confirms = t.call.expect_within("INVITE", s(2));
    t.call.reply(&confirms, 481);
    t.call.expect("ACK");
    t.call.expect_bye();
    t.leg.expect_bye();
    assert_eq!(told(&t, |what| matches!(what, EventKind::LegLost { .. })), 1);
    t.world.assert_empty();
}

/// A proxy knows no way to the peer that has disowned the dialog, or does not reach it, and says so.
#[test]
fn what_a_proxy_says_to_the_check_of_a_481_is_no_answer() {
    for status in [480, 503] {
        let t = Talking::new();
        let check = fails_in_doubt(&t);
        t.call.reply(&check, status);
        let confirms = t.call.expect("INVITE");
        t.world.advance(ms(600));
        t.world.assert_running();
        gone(&t, &confirms);
    }
}

#[test]
fn four_seconds_of_doubt_are_no_return() {
    let t = Talking::new();
    let check = fails_in_doubt(&t);
    t.world.advance(s(4));
    t.world.assert_ended("unknown");
    t.call.reply(&check, 200);
    goes_on(&t);
}

#[test]
fn a_481_to_the_check_of_a_silent_join_is_a_lost_caller() {
    let (t, _desk, target) = bridge::ringing();
    let offer = bridge::answered(&t, &target);
    t.call.reply(&offer, 408);
    t.call.expect("ACK");
    target.expect_bye();
    checked(&t.call, 481);
    t.call.expect_bye();
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("failed");
    assert_ne!(handoff.cause.as_deref(), Some("lost_by_receiver"), "nobody was asked to take the caller");
    t.world.assert_empty();
}

#[test]
fn a_proxys_408_to_the_hold_of_a_briefing_ends_nothing() {
    let t = Talking::with(&Config::default().destination(brief::TABLE));
    let house = t.world.peer("desk", brief::DESK);
    t.world.handoff("desk");
    let target = house.expect_call();
    target.answer(&target.invite(), &brief::desk(1));
    target.expect("ACK");
    let hold = t.call.expect("INVITE");
    t.call.reply(&hold, 408);
    t.call.expect("ACK");
    checked(&t.call, 200);
    takes(&t.leg, &brief::desk(1), &sdp("agent", 2));
    target.hang_up();
    takes(&t.call, &sdp("agent", 2), &sdp("pbx", 3));
    takes(&t.leg, &sdp("pbx", 3), &sdp("agent", 2));
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    goes_on(&t);
}

#[test]
fn a_proxys_408_to_an_agent_that_is_told_of_the_target_completes_no_briefing() {
    let t = Talking::with(&Config::default().destination(brief::TABLE));
    let house = t.world.peer("desk", brief::DESK);
    t.world.handoff("desk");
    let target = house.expect_call();
    target.answer(&target.invite(), &brief::desk(1));
    target.expect("ACK");
    let hold = t.call.expect("INVITE");
    t.call.answer(&hold, &brief::held(&sdp("pbx", 2)));
    t.call.expect("ACK");
    let offer = t.leg.expect("INVITE");
    t.leg.reply(&offer, 408);
    t.leg.expect("ACK");
    // It is told again after 5 s.
    t.world.advance(s(3));
    t.world.assert_running();
    t.pbx.expect_silence(s(1));
    target.hang_up();
    takes(&t.call, &sdp("agent", 1), &sdp("pbx", 3));
    takes(&t.leg, &sdp("pbx", 3), &sdp("agent", 2));
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    goes_on(&t);
}

#[test]
fn a_proxys_408_to_a_wish_for_a_fresh_offer_ends_no_call() {
    let t = Talking::with(&bridge::config());
    let desk = t.world.peer("desk", bridge::DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.reply(&asked, 408);
    t.call.expect("ACK");
    checked(&t.call, 200);
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    goes_on(&t);
}

/// A PBX stands still for 40 s: its answers to a re-INVITE and to the OPTIONS after it come together. A peer whose 2xx hears
/// no ACK ends the call.
#[test]
fn an_answer_to_a_re_invite_that_was_given_up_is_acknowledged() {
    let t = Talking::new();
    let offer = sdp_with("agent", 2, "m=audio 4444 RTP/AVP 0\r\n");
    t.leg.reinvite(&offer);
    let asked = t.call.expect("INVITE");
    let gone = t.leg.expect_within(504, s(31));
    t.leg.ack(&gone);
    let options = t.call.expect_within("OPTIONS", s(3));
    // What it may have taken is told anew.
    let told = t.call.expect("INVITE");
    t.world.advance(s(5));
    t.call.reply(&options, 200);
    let late = t.call.answer(&asked, &sdp("pbx", 1));
    let ack = t.call.expect("ACK");
    assert_eq!(ack.cseq().0, asked.cseq().0, "{ack}");
    let copies = t.pbx.retransmissions();
    t.call.again(&late);
    t.world.settle();
    assert_eq!(t.pbx.retransmissions(), copies + 1, "the ACK once more");
    t.call.reply_with(&told, 500, &[("Retry-After", "1")], "");
    t.call.expect("ACK");
    let told = t.call.expect_within("INVITE", s(5));
    t.call.answer(&told, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.advance(s(60));
    goes_on(&t);
}

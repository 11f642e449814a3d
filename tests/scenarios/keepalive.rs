//! Keepalive: OPTIONS inside the dialogs of agents and trunks. Judged is only who has answered one, and nobody is lost
//! before a re-INVITE has confirmed it.

use super::bridge;
use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Kind, Leg, Talking, sdp, sdp_with};
use crate::common::{ms, s};
use std::rc::Rc;
use std::time::Duration;

/// How often that was told.
fn told(t: &Talking, what: &str) -> usize {
    t.world.events().iter().filter(|event| format!("{event:?}").starts_with(what)).count()
}

/// A call whose agent is asked every 20 s, and answers only what the scenario says.
fn asked() -> Talking {
    let t = Talking::with(&Config::default().agent_key("keepalive = \"20s\""));
    t.agent.is_silent_to_options();
    t
}

/// The next OPTIONS, answered so.
#[track_caller]
fn answers(leg: &Leg, status: u16) {
    let options = leg.expect_within("OPTIONS", s(61));
    leg.reply(&options, status);
}

/// Takes all OPTIONS that wait for an answer.
fn ignored(leg: &Leg) -> usize {
    let id = leg.call_id();
    let is_it = |m: &Message| m.call_id() == id && m.method() == "OPTIONS" && m.is_request();
    std::iter::from_fn(|| leg.peer.take(is_it, Kind::Request("OPTIONS"))).count()
}

/// The re-INVITE that a suspicion makes: with the session that stands, no version further.
#[track_caller]
fn suspected(leg: &Leg, stands: &str, within: Duration) -> Rc<Message> {
    let invite = leg.expect_within("INVITE", within);
    assert_eq!(without_origin(invite.sdp()), without_origin(stands), "{invite}");
    invite
}

#[test]
fn an_agent_that_ignores_options_is_not_lost_and_warned_of_once() {
    let t = asked();
    t.world.advance(s(600));
    assert_eq!(ignored(&t.leg), 30);
    assert_eq!(told(&t, "KeepaliveIgnored"), 1);
    // By agent, not by call.
    let other = t.pbx.invite(crate::common::peer::NUMBER);
    let leg = crate::common::peer::establish(&other, &t.agent);
    t.world.advance(s(100));
    assert_eq!((ignored(&t.leg), ignored(&leg)), (5, 5));
    assert_eq!((told(&t, "KeepaliveIgnored"), told(&t, "LegLost")), (1, 0));
    other.hang_up();
    leg.expect_bye();
    bridge::still_together(&t);
}

#[test]
fn who_answers_otherwise_is_not_asked_again_in_this_call() {
    for status in [404, 405, 481, 501] {
        let t = asked();
        answers(&t.leg, status);
        t.agent.expect_silence(s(600));
        bridge::still_together(&t);
    }
}

#[test]
fn three_misses_are_a_suspicion_that_a_2xx_takes_away() {
    for miss in [0, 477, 503, 504] {
        let t = asked();
        answers(&t.leg, 200);
        for _ in 0..3 {
            let options = t.leg.expect_within("OPTIONS", s(21));
            if miss > 0 {
                t.leg.reply(&options, miss);
            }
        }
        let before = t.leg.invite();
        let invite = suspected(&t.leg, before.sdp(), s(21));
        assert_eq!(invite.sdp(), before.sdp(), "nothing has changed, `o=` neither");
        t.leg.answer(&invite, &sdp("agent", 1));
        t.leg.expect("ACK");
        answers(&t.leg, 200);
        assert_eq!(told(&t, "LegLost"), 0);
        bridge::still_together(&t);
    }
}

#[test]
fn a_481_or_408_after_a_2xx_is_a_suspicion_at_once() {
    for status in [481, 408] {
        let t = asked();
        answers(&t.leg, 200);
        answers(&t.leg, status);
        let invite = t.leg.expect("INVITE");
        t.leg.reply(&invite, 488);
        t.leg.expect("ACK");
        answers(&t.leg, 200);
        bridge::still_together(&t);
    }
}

#[test]
fn a_suspicion_ends_the_leg_by_silence_481_or_bye() {
    for end in ["silence", "481", "BYE"] {
        let t = asked();
        answers(&t.leg, 200);
        answers(&t.leg, 481);
        let invite = t.leg.expect("INVITE");
        match end {
            "481" => {
                t.leg.reply(&invite, 481);
                t.leg.expect("ACK");
                t.leg.expect_bye();
            }
            "BYE" => {
                t.leg.hang_up();
                // As Asterisk does it where it has forgotten the call.
                t.leg.answer(&invite, &sdp("agent", 1));
                t.leg.expect("ACK");
                t.call.expect_bye();
                t.world.assert_empty();
                continue;
            }
            _ => _ = t.leg.expect_bye_within(s(33)),
        }
        t.call.expect("REFER");
        assert_eq!(told(&t, "LegLost"), 1);
        t.world.finish();
    }
}

/// Another than a final answer of the peer itself: it is neither life nor miss.
#[test]
fn what_a_proxy_says_of_an_address_is_neither_life_nor_miss() {
    let t = asked();
    answers(&t.leg, 200);
    for status in [404, 410, 430, 480] {
        answers(&t.leg, status);
    }
    for status in [503, 404, 503, 480, 503] {
        answers(&t.leg, status);
        assert!(t.leg.peer.take(|m| m.method() == "INVITE", Kind::Request("INVITE")).is_none());
    }
    t.leg.expect_within("INVITE", s(21));
    t.world.finish();
}

#[test]
fn any_message_of_the_peer_counts_as_life() {
    let t = asked();
    answers(&t.leg, 200);
    for _ in 0..20 {
        t.world.advance(s(30));
        ignored(&t.leg);
        t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
        let passed = t.call.expect("INFO");
        t.call.reply(&passed, 200);
        t.leg.expect(200);
    }
    t.world.assert_expected();
    // Now it is silent.
    t.leg.expect_within("OPTIONS", s(21));
    t.leg.expect_within("OPTIONS", s(21));
    t.leg.expect_within("OPTIONS", s(21));
    t.leg.expect_within("INVITE", s(21));
    t.world.finish();
}

#[test]
fn a_pbx_that_died_in_a_call_is_noticed() {
    for dead in [true, false] {
        let t = Talking::with(&Config::default().trunk_keepalive("60s"));
        answers(&t.call, 200);
        // Its network gives back what is sent to it, or nobody does.
        t.pbx.is_dead(dead);
        t.leg.expect_bye_within(s(240 + 33));
        // Our BYE is not answered either.
        t.world.advance(s(33));
        assert_eq!(told(&t, "LegLost"), 1);
        t.world.finish();
        assert_eq!(t.world.records()[0].call.ended_by.as_deref(), Some("caller leg lost"));
    }
}

#[test]
fn a_trunk_can_go_without_keepalive() {
    let t = Talking::with(&Config::default().trunk_keepalive("0s"));
    t.pbx.expect_silence(s(900));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A side's description, and not the direction that only answered the caller's hold.
#[test]
fn a_suspicion_says_nothing_of_a_hold_that_is_the_peers_own() {
    let t = Talking::with(&Config::default().trunk_keepalive("60s"));
    answers(&t.call, 200);
    let held = sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0 101\r\na=sendonly\r\n");
    t.call.reinvite(&held);
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    t.leg.answer(&passed, &sdp("agent", 2).replace("a=sendrecv", "a=recvonly"));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    answers(&t.call, 481);
    let invite = suspected(&t.call, &sdp("agent", 2), ms(10));
    t.call.answer(&invite, &held);
    t.call.expect("ACK");
    // Nothing is new for the agent, and once more nothing for the caller.
    t.agent.expect_silence(s(1));
    answers(&t.call, 481);
    let again = suspected(&t.call, &sdp("agent", 2), ms(10));
    assert_eq!(again.sdp(), invite.sdp());
    t.call.answer(&again, &held);
    t.call.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_target_that_died_after_the_join_is_noticed() {
    let t = Talking::with(&bridge::config().trunk_keepalive("60s"));
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    for _ in 0..2 {
        answers(&t.call, 200);
        answers(&target, 200);
    }
    answers(&t.call, 200);
    answers(&target, 481);
    let invite = target.expect("INVITE");
    target.reply(&invite, 481);
    target.expect("ACK");
    target.expect_bye();
    t.call.expect_bye();
    t.world.assert_empty();
}

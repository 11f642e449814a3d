//! `bye`: the call is handed back to the PBX, which goes on by itself.

use crate::common::config::Config;
use crate::common::peer::{Talking, sdp};
use crate::common::{HandoffRequest, ms, s};

#[test]
fn a_call_is_handed_back() {
    let t = Talking::new();
    t.world.handoff_with(HandoffRequest {
        destination: Some("back".into()),
        utterance: Some("a person, please".into()),
        ..Default::default()
    });
    let bye = t.call.expect("BYE");
    assert_eq!(bye.header("Reason"), "SIP;cause=200;text=\"Handoff\"");
    assert_eq!(bye.header("X-Handoff-To"), "queue-7");
    assert_eq!(bye.header("X-Utterance"), "a person, please");
    t.world.assert_running();
    t.call.reply(&bye, 200);
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("handed_back");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    assert_eq!(handoff.attempts[0].status, Some(200));
    assert_eq!((handoff.attempts[0].method.as_ref(), &handoff.attempts[0].route), ("bye", &None));
    assert_eq!(t.world.complaints(), (0, 0));
    t.world.assert_empty();
}

#[test]
fn the_table_may_name_another_reason() {
    let config = Config::default().destination(
        "[destination.elsewhere]\nmethod = \"bye\"\nreason = \"Q.850;cause=16;text=\\\"queue 7\\\"\"\n",
    );
    let t = Talking::with(&config);
    t.world.handoff("elsewhere");
    let bye = t.call.expect_bye();
    assert_eq!(bye.header("Reason"), "Q.850;cause=16;text=\"queue 7\"");
    t.leg.expect_bye();
    t.world.assert_ended("handed_back");
    t.world.assert_empty();
}

#[test]
fn a_challenge_of_the_bye_is_answered() {
    let t = Talking::new();
    t.world.handoff("back");
    let bye = t.call.expect("BYE");
    let challenge = "Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";
    t.call.reply_with(&bye, 401, &[("WWW-Authenticate", challenge)], "");
    let again = t.call.expect("BYE");
    assert_eq!(again.header("X-Handoff-To"), "queue-7");
    crate::common::digest::assert_right(again.header("Authorization"), "BYE", "baton", "s3cret", "pbx", "n1");
    t.call.reply(&again, 200);
    t.leg.expect_bye();
    t.world.assert_ended("handed_back");
    t.world.assert_empty();
}

#[test]
fn a_bye_that_is_not_answered_is_no_hand_back() {
    let t = Talking::new();
    t.world.handoff("back");
    t.call.expect("BYE");
    t.leg.expect_bye_within(s(33));
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.attempts[0].status, Some(408));
    assert_eq!(t.world.complaints().1, 1, "nobody knows where the caller is");
    t.world.assert_empty();
}

#[test]
fn the_callers_bye_crosses_ours() {
    let t = Talking::new();
    t.world.handoff("back");
    let ours = t.call.expect("BYE");
    t.call.hang_up();
    t.call.reply(&ours, 481);
    t.leg.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn before_the_answer_it_is_480_with_the_headers() {
    let world = crate::common::World::new();
    let pbx = world.peer("pbx", crate::common::peer::PBX);
    let agent = world.peer("agent", crate::common::peer::AGENT);
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 180);
    call.expect(180);
    world.handoff("back");
    let no = call.expect(480);
    assert_eq!(no.header("X-Handoff-To"), "queue-7");
    assert_eq!(no.header("Reason"), "SIP;cause=200;text=\"Handoff\"");
    let cancel = leg.expect("CANCEL");
    leg.reply(&cancel, 200);
    leg.reply(&leg.invite(), 487);
    leg.expect("ACK");
    call.ack(&no);
    let handoff = world.assert_ended("handed_back");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    world.advance(ms(10));
    world.assert_empty();
}

#[test]
fn a_caller_that_hangs_up_while_our_bye_waits_for_its_ack_was_not_handed_back() {
    let t = Talking::new();
    t.call.reinvite(&sdp("pbx", 2));
    let passed = t.leg.expect("INVITE");
    t.leg.answer(&passed, &sdp("agent", 2));
    t.leg.expect("ACK");
    t.call.expect(200);
    // Our BYE may not go before the ACK (RFC 3261 §15).
    t.world.handoff("back");
    t.world.advance(ms(100));
    t.world.assert_expected();
    t.call.hang_up();
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("abandoned");
    assert_eq!(handoff.proof, None);
    t.world.assert_empty();
}

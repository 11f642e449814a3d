//! A 2xx that carries no answer to an offer agrees to nothing (RFC 3264): it joins nobody, proves nothing, and is not passed
//! on as an answer.

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Peer, Talking, reply_text, sdp, sdp_with};
use crate::common::{ms, s};
use baton::call::event::EventKind;
use std::rc::Rc;

const DESK: &str = "10.0.0.30:5060";
const SDP: &str = "application/sdp";
const TABLE: &str = r#"
[destination.desk]
method = "invite"
route = "sip:desk@10.0.0.30"
[destination.takeover]
method = "attended"
route = "sip:desk@10.0.0.30"
[destination.briefed]
method = "attended"
brief = true
route = "sip:desk@10.0.0.30"
"#;

/// What stands beside `a=` in the one media line of a session.
fn directed(who: &str, version: u64, direction: &str) -> String {
    sdp_with(who, version, &format!("m=audio 4000 RTP/AVP 0 101\r\na={direction}\r\n"))
}

fn config() -> Config {
    Config::default().destination(TABLE)
}

fn ringing(destination: &str) -> (Talking, Peer, Leg) {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff(destination);
    let target = desk.expect_call();
    (t, desk, target)
}

/// The desk answers; the re-INVITE that the caller gets.
fn answered(t: &Talking, target: &Leg) -> Rc<Message> {
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    t.call.expect("INVITE")
}

/// The next re-INVITE of a leg is answered by a 200 without a body.
#[track_caller]
fn bare(leg: &Leg) -> Rc<Message> {
    let invite = leg.expect("INVITE");
    leg.answer(&invite, "");
    leg.expect("ACK");
    invite
}

/// The caller has agreed to nothing: the target is let go, and caller and agent are together.
fn not_joined(t: &Talking, target: &Leg) {
    let bye = target.expect_bye();
    assert!(bye.header("Reason").contains("cause=488"), "{bye}");
    let back = bare(&t.call);
    assert_eq!(without_origin(back.sdp()), without_origin(&sdp("agent", 1)));
    t.world.advance(ms(600));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.cause.as_deref(), handoff.proof), (Some("failed"), None));
    let told = t.world.events().into_iter().rev().find_map(|event| match event {
        EventKind::AttemptFailed { hint, .. } => Some(hint),
        _ => None,
    });
    assert!(told.as_ref().is_some_and(|hint| hint.starts_with("The caller's side did not take")), "{told:?}");
    t.agent.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_caller_that_answers_the_join_without_a_session_is_not_joined() {
    let (t, _desk, target) = ringing("desk");
    let offer = answered(&t, &target);
    t.call.answer(&offer, "");
    t.call.expect("ACK");
    not_joined(&t, &target);
}

#[test]
fn nor_is_one_whose_session_has_no_media_line() {
    let (t, _desk, target) = ringing("desk");
    let offer = answered(&t, &target);
    t.call.answer(&offer, "hello\r\n");
    t.call.expect("ACK");
    not_joined(&t, &target);
}

#[test]
fn nor_after_an_attended_that_falls_back() {
    let (t, _desk, target) = ringing("takeover");
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    bare(&t.call);
    not_joined(&t, &target);
}

#[test]
fn nor_with_the_fallback_of_an_agent_that_is_lost() {
    let t = Talking::with(&config().agent_key("fallback = \"desk\""));
    let desk = t.world.peer("desk", DESK);
    t.leg.bye_with(&[("Reason", "SIP;cause=503")]);
    t.leg.expect(200);
    let target = desk.expect_call();
    let offer = answered(&t, &target);
    t.call.answer(&offer, "");
    t.call.expect("ACK");
    target.expect_bye();
    t.call.expect_bye();
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.proof, None);
    assert_eq!(t.world.complaints(), (1, 1));
    t.world.assert_empty();
}

#[test]
fn an_answer_that_stood_in_a_183_to_the_join_is_the_answer() {
    let (t, _desk, target) = ringing("desk");
    let offer = answered(&t, &target);
    let moved = sdp_with("pbx", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    t.call.reply_with(&offer, 183, &[], &moved);
    t.call.answer(&offer, "");
    t.call.expect("ACK");
    t.leg.expect_bye();
    assert_eq!(t.world.assert_ended("succeeded").proof.map(|proof| proof.as_str()), Some("proven"));
    let told = target.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    target.answer(&told, &sdp("desk", 1));
    target.expect("ACK");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_target_that_is_told_of_the_caller_and_answers_nothing_is_asked_for_an_offer() {
    let (t, _desk, target) = ringing("desk");
    let offer = answered(&t, &target);
    let moved = sdp_with("pbx", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    t.call.answer(&offer, &moved);
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = bare(&target);
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    let asked = target.expect("INVITE");
    assert_eq!(asked.body, "");
    target.answer(&asked, &sdp("desk", 2));
    let relayed = t.call.expect("INVITE");
    assert_eq!(without_origin(relayed.sdp()), without_origin(&sdp("desk", 2)));
    t.call.answer(&relayed, &moved);
    t.call.expect("ACK");
    let ack = target.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&moved));
    t.pbx.expect_silence(s(2));
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_target_that_never_answers_an_offer_is_told_three_times_and_no_more() {
    let (t, desk, target) = ringing("desk");
    let offer = answered(&t, &target);
    t.call.answer(&offer, &sdp_with("pbx", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told: Vec<bool> = (0..3).map(|_| bare(&target).has_sdp()).collect();
    assert_eq!(told, [true, false, true]);
    desk.expect_silence(s(5));
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_caller_that_agrees_to_no_hold_of_a_briefing_is_back_with_the_agent_all_the_same() {
    let (t, _desk, target) = ringing("briefed");
    target.answer(&target.invite(), &sdp_with("desk", 1, "m=audio 4100 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    target.expect("ACK");
    assert!(bare(&t.call).sdp().contains("a=inactive"));
    let told = t.leg.expect("INVITE");
    assert!(told.sdp().contains("m=audio 4100"));
    t.leg.answer(&told, &sdp("agent", 2));
    t.leg.expect("ACK");
    target.hang_up();
    let back = bare(&t.call);
    assert_eq!(without_origin(back.sdp()), without_origin(&sdp("agent", 2)));
    let told = t.leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp("pbx", 1)));
    t.leg.answer(&told, &sdp("agent", 2));
    t.leg.expect("ACK");
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A held caller that will not come off the hold: the agent has the target's address until it is told of the caller's.
#[test]
fn an_agent_is_told_of_the_caller_though_the_caller_refuses_to_come_off_the_hold() {
    let (t, _desk, target) = ringing("briefed");
    target.answer(&target.invite(), &sdp_with("desk", 1, "m=audio 4100 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    target.expect("ACK");
    let hold = t.call.expect("INVITE");
    t.call.answer(&hold, &directed("pbx", 2, "inactive"));
    t.call.expect("ACK");
    let told = t.leg.expect("INVITE");
    t.leg.answer(&told, &sdp("agent", 2));
    t.leg.expect("ACK");
    target.hang_up();
    let back = t.call.expect("INVITE");
    t.call.reply(&back, 488);
    t.call.expect("ACK");
    let told = t.leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&directed("pbx", 2, "inactive")));
    t.leg.answer(&told, &directed("agent", 3, "inactive"));
    t.leg.expect("ACK");
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_hold_that_the_other_side_answers_with_nothing_is_answered_with_what_stands() {
    for by_agent in [false, true] {
        let t = Talking::new();
        let (holder, other) = if by_agent { (&t.leg, &t.call) } else { (&t.call, &t.leg) };
        let (who, whom) = if by_agent { ("agent", "pbx") } else { ("pbx", "agent") };
        holder.reinvite(&directed(who, 2, "sendonly"));
        holder.expect(100);
        bare(other);
        let ok = holder.expect(200);
        let standing = sdp(whom, 1).replace("a=sendrecv", "a=recvonly");
        assert_eq!(without_origin(ok.sdp()), without_origin(&standing));
        holder.ack(&ok);
        // It may have something to say if it is asked.
        let asked = other.expect("INVITE");
        assert_eq!(asked.body, "");
        other.answer(&asked, &sdp(whom, 2));
        let relayed = holder.expect("INVITE");
        assert_eq!(without_origin(relayed.sdp()), without_origin(&sdp(whom, 2)));
        holder.answer(&relayed, &directed(who, 2, "sendonly"));
        holder.expect("ACK");
        let ack = other.expect("ACK");
        assert_eq!(without_origin(ack.sdp()), without_origin(&directed(who, 2, "sendonly")));
        t.pbx.expect_silence(s(2));
        t.agent.expect_silence(s(2));
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

#[test]
fn so_is_an_update() {
    let allow = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE");
    let t = Talking::by(&Config::default(), |invite| invite.header(allow.0, allow.1));
    t.leg.request("UPDATE", &[allow], SDP, &directed("agent", 2, "sendonly"));
    let update = t.call.expect("UPDATE");
    t.call.reply(&update, 200);
    let ok = t.leg.expect(200);
    assert_eq!(ok.method(), "UPDATE");
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("pbx", 1).replace("a=sendrecv", "a=recvonly")));
    assert_eq!(bare(&t.call).body, "");
    // Nobody is left with another session of the other one than that one has.
    let told = t.leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp("pbx", 1)));
    t.leg.answer(&told, &directed("agent", 2, "sendonly"));
    t.leg.expect("ACK");
    assert_eq!(without_origin(bare(&t.call).sdp()), without_origin(&directed("agent", 2, "sendonly")));
    t.pbx.expect_silence(s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn what_stands_is_no_answer_to_a_fax() {
    let t = Talking::new();
    t.call.reinvite(&sdp_with("pbx", 2, "m=image 4100 udptl t38\r\n"));
    t.call.expect(100);
    bare(&t.leg);
    let no = t.call.expect(488);
    t.call.ack(&no);
    t.agent.expect_silence(s(2));
    t.pbx.expect_silence(s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_side_that_is_asked_for_an_offer_and_makes_none_has_its_last_one_offered() {
    let t = Talking::new();
    t.call.reinvite("");
    t.call.expect(100);
    let asked = bare(&t.leg);
    assert_eq!(asked.body, "");
    let ok = t.call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("agent", 1)));
    // Its answer is news for the agent.
    let moved = sdp_with("pbx", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    t.call.ack_with(&ok, &moved);
    let told = t.leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_caller_whose_fresh_offer_has_no_stream_offers_nothing() {
    let (t, desk, target) = ringing("desk");
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp_with("pbx", 2, "m=audio 0 RTP/AVP 0\r\n"));
    t.call.expect("ACK");
    desk.expect_silence(s(1));
    assert_eq!(t.world.assert_ended("returned").proof, None);
    // The agent is told what the caller has said.
    let told = t.leg.expect("INVITE");
    assert!(told.sdp().contains("m=audio 0 "), "{told}");
    t.leg.answer(&told, &sdp_with("agent", 2, "m=audio 0 RTP/AVP 0 101\r\n"));
    t.leg.expect("ACK");
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_session_without_content_type_is_one_and_goes_on_with_the_header() {
    let (t, _desk, target) = ringing("desk");
    let contact = [("Contact", "<sip:desk@10.0.0.30:5060>")];
    let ok = reply_text(&target.invite(), 200, &target.local_tag(), &contact, &sdp("desk", 1));
    target.peer.send(&ok.replace("Content-Type: application/sdp\r\n", ""));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("desk", 1)));
    let contact = [("Contact", "<sip:pbx@10.0.0.5:5060>")];
    let ok = reply_text(&offer, 200, "", &contact, &sdp("pbx", 1));
    t.call.peer.send(&ok.replace("Content-Type: application/sdp\r\n", ""));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    let hold = directed("pbx", 2, "sendonly");
    t.call.request("INVITE", &[], "", &hold);
    t.call.expect(100);
    let passed = target.expect("INVITE");
    assert_eq!(passed.header("Content-Type"), SDP);
    assert_eq!(without_origin(passed.sdp()), without_origin(&hold));
    target.answer(&passed, &directed("desk", 2, "recvonly"));
    target.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn any_other_body_without_content_type_is_no_session() {
    let t = Talking::new();
    t.call.request("INVITE", &[], "", "hello\r\n");
    let no = t.call.expect(415);
    t.call.ack(&no);
    t.agent.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The caller's side has answered nothing of what the agent's new session is, and then the question whether it is there: it may
/// take that now, though the two are being brought into accord already.
#[test]
fn who_answers_the_question_is_told_what_it_has_left_unanswered() {
    let table = "[destination.doubted]\nroute = \"+14155550123\"\nnotify_200 = \"accepted\"\n";
    // Which of the two comes first, the question or what is told again, is drawn.
    let t = Talking::with(&Config::default().one_engine().destination(table));
    t.world.handoff("doubted");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 200 OK\r\n", "terminated");
    bare(&t.call);
    t.world.advance(ms(400));
    let moved = |version| sdp("agent", version).replace("4000", "4012").replace("sendrecv", "sendonly");
    t.leg.request("INVITE", &[], "application/sdp", &moved(2));
    t.leg.expect(100);
    bare(&t.call);
    let taken = t.leg.expect(200);
    t.leg.ack(&taken);
    let busy = |leg: &Leg| {
        let asked = leg.expect_within("INVITE", s(2));
        leg.reply_with(&asked, 500, &[("Retry-After", "1")], "");
        leg.expect("ACK");
    };
    busy(&t.call);
    let asked = t.leg.expect_within("INVITE", s(3));
    t.leg.answer(&asked, &moved(3).replace("4012", "4014"));
    bare(&t.call);
    t.leg.expect("ACK");
    busy(&t.leg);
    let question = t.call.expect_within("INVITE", s(2));
    t.call.answer(&question, &sdp("pbx", 1));
    t.call.expect("ACK");
    let told = t.leg.expect_within("INVITE", s(5));
    t.leg.answer(&told, &moved(3).replace("4012", "4014"));
    t.leg.expect("ACK");
    let told = t.call.expect_within("INVITE", s(1));
    assert!(told.sdp().contains("m=audio 4014"), "{told}");
    t.call.answer(&told, &sdp("pbx", 2).replace("sendrecv", "recvonly"));
    t.call.expect("ACK");
    let told = t.leg.expect_within("INVITE", s(1));
    t.leg.answer(&told, &moved(3).replace("4012", "4014"));
    t.leg.expect("ACK");
    t.world.assert_ended("unknown");
    t.caller_hangs_up();
    t.world.assert_empty();
}

//! `invite`: Baton calls the target while the caller talks with the agent, and joins the two (RFC 3725).

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Peer, Talking, sdp, sdp_with};
use crate::common::{Command, HandoffRequest, Reply, ms, s};
use baton::call::event::{Direction, EventKind};
use std::rc::Rc;

/// Where the desk is.
pub(crate) const DESK: &str = "10.0.0.30:5060";
const TABLE: &str = r#"
[destination.desk]
method = "invite"
route = "sip:desk@10.0.0.30"
[destination.desk.headers]
X-Account = "${account:-none}"
[destination.number]
method = "invite"
route = "+14155550130"
caller_id = "+14155550100"
[destination.patient-desk]
method = "invite"
route = "sip:desk@10.0.0.30"
timeouts = { ring = "5s" }
on_failure = ["agent"]
"#;

/// Whom the desk may forward its calls to.
const FORWARDS: [&str; 8] = ["first", "second", "d0", "d1", "d2", "d3", "d4", "d5"];

pub(crate) fn config() -> Config {
    let route = |name: &&str| format!("[destination.{name}]\nroute = \"sip:{name}@10.0.0.30\"\n");
    Config::default().destination(TABLE).destination(&FORWARDS.iter().map(route).collect::<String>())
}

/// A call whose handoff rings at the desk.
pub(crate) fn ringing() -> (Talking, Peer, Leg) {
    ringing_with(&config(), "desk")
}

fn ringing_with(config: &Config, destination: &str) -> (Talking, Peer, Leg) {
    let t = Talking::with(config);
    let desk = t.world.peer("desk", DESK);
    t.world.handoff(destination);
    let target = desk.expect_call();
    (t, desk, target)
}

/// The desk answers; the re-INVITE that the caller gets.
pub(crate) fn answered(t: &Talking, target: &Leg) -> Rc<Message> {
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    t.call.expect("INVITE")
}

/// The caller takes what it is offered.
fn accept(t: &Talking, offer: &Message) {
    t.call.answer(offer, &sdp("pbx", 1));
    t.call.expect("ACK");
}

/// Caller and desk have each other, and say goodbye.
fn together(t: &Talking, target: &Leg) {
    let handoff = t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    let last = handoff.attempts.last().expect("an attempt");
    assert_eq!((&*last.method, last.status), ("invite", Some(200)));
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// Caller and agent still have each other: what one sends reaches the other.
pub(crate) fn still_together(t: &Talking) {
    let info = t.call.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let passed = t.leg.expect("INFO");
    t.leg.reply(&passed, 200);
    t.call.expect(200);
    assert_eq!(info.body, passed.body);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn caller_and_target_are_joined() {
    let (t, _desk, target) = ringing();
    let invite = target.invite();
    assert_eq!(invite.uri(), "sip:desk@10.0.0.30");
    assert_eq!(invite.sdp(), sdp("pbx", 1), "the caller's session");
    assert_eq!(invite.header("X-Account"), "none");
    assert!(invite.header("From").contains("<sip:+14155550199@192.0.2.10>"), "{invite}");
    // The agent knows nothing of it, and goes on.
    target.reply(&invite, 180);
    t.agent.expect_silence(s(3));
    assert_eq!(t.world.call().state, baton::call::record::CallState::Moving);
    let offer = answered(&t, &target);
    assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("desk", 1)));
    t.agent.expect_silence(ms(200));
    accept(&t, &offer);
    let bye = t.leg.expect_bye();
    assert_eq!(bye.header("Reason"), "SIP;cause=200;text=\"Handoff\"");
    // Baton stays between the two: hold, and a farewell.
    let hold = sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0 101\r\na=sendonly\r\n");
    t.call.reinvite(&hold);
    t.call.expect(100);
    let passed = target.expect("INVITE");
    assert_eq!(without_origin(passed.sdp()), without_origin(&hold));
    target.answer(&passed, &sdp_with("desk", 2, "m=audio 4000 RTP/AVP 0 101\r\na=recvonly\r\n"));
    target.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    assert_eq!(t.world.complaints(), (0, 0));
    together(&t, &target);
}

#[test]
fn a_number_goes_to_the_trunk_and_shows_the_callers_identity() {
    let t = Talking::by(&config(), |i| {
        i.header("P-Asserted-Identity", "\"Ann\" <sip:+14155550188@pbx.example.com>")
            .header("User-to-User", "c0ffee;encoding=hex")
            .header("Diversion", "<sip:+14155550111@pbx.example.com>;reason=unconditional")
            .header("Session-ID", "0123456789abcdef0123456789abcdef;remote=0")
            .header("X-Ticket", "4711")
    });
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    let invite = target.invite();
    assert_eq!(invite.uri(), "sip:+14155550130@10.0.0.5:5060;transport=udp");
    assert!(invite.header("From").contains("<sip:+14155550100@192.0.2.10>"), "caller_id of the destination");
    // Asserted is the number that is shown, not the caller's: the trunk trusts us for what we say.
    assert_eq!(invite.header("P-Asserted-Identity"), "\"Ann\" <sip:+14155550100@192.0.2.10>");
    assert_eq!(invite.header("User-to-User"), "c0ffee;encoding=hex");
    assert!(invite.header("Diversion").starts_with("<sip:+14155550111@pbx.example.com>"));
    assert!(invite.header("Session-ID").starts_with("0123456789abcdef"));
    assert_eq!(invite.header("X-Ticket"), "4711");
    let offer = answered(&t, &target);
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn an_anonymous_caller_stays_so() {
    let t = Talking::by(&config(), |i| {
        i.from("\"Anonymous\" <sip:anonymous@anonymous.invalid>")
            .header("P-Asserted-Identity", "<sip:+14155550188@pbx.example.com>")
            .header("Privacy", "id")
    });
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    let invite = target.invite();
    assert!(invite.header("From").contains("anonymous@anonymous.invalid"), "{invite}");
    assert_eq!(invite.find("P-Asserted-Identity"), None, "nobody trusts that host");
    let offer = answered(&t, &target);
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn what_holds_and_who_is_active_is_offered_anew() {
    let held = "m=audio 4000 RTP/SAVP 0\r\na=setup:active\r\na=sendonly\r\n";
    let t = Talking::by(&config(), |i| i.body(Some(&sdp_with("pbx", 1, held))));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    let offered = "m=audio 4000 RTP/SAVP 0\r\na=setup:actpass\r\na=sendrecv\r\n";
    assert_eq!(target.invite().sdp(), sdp_with("pbx", 1, offered));
    let answer = "m=audio 4000 RTP/SAVP 0\r\na=setup:active\r\na=sendrecv\r\n";
    target.answer(&target.invite(), &sdp_with("desk", 1, answer));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    // The caller still holds: that is another session than the target was offered, so the target is told.
    t.call.answer(&offer, &sdp_with("pbx", 2, held));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = target.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp_with("pbx", 2, held)));
    target.answer(&told, &sdp_with("desk", 2, "m=audio 4000 RTP/SAVP 0\r\na=setup:active\r\na=recvonly\r\n"));
    target.expect("ACK");
    // And the caller of its answer.
    let back = t.call.expect("INVITE");
    assert!(back.sdp().contains("a=recvonly"));
    t.call.answer(&back, &sdp_with("pbx", 2, held));
    t.call.expect("ACK");
    together(&t, &target);
}

#[test]
fn a_caller_that_answers_from_another_port() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    t.call.answer(&offer, &moved);
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = target.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    target.answer(&told, &sdp("desk", 1));
    target.expect("ACK");
    together(&t, &target);
}

#[test]
fn a_target_that_drops_a_media_line_gets_it_declined_for_it() {
    let both = "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\n";
    let t = Talking::by(&config(), |i| i.body(Some(&sdp_with("pbx", 1, both))));
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp_with("desk", 1, "m=audio 4000 RTP/AVP 0\r\n"));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    // The agent's answer had dropped it, too; the caller offered it, and has it still.
    assert!(offer.sdp().ends_with("m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n"), "{offer}");
    t.call.answer(&offer, &sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n"));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn early_media_of_the_target_is_told_and_the_caller_stays() {
    let (t, _desk, target) = ringing();
    target.reply_with(&target.invite(), 183, &[], &sdp("desk", 1));
    t.world.settle();
    t.pbx.expect_silence(s(1));
    t.agent.expect_silence(s(1));
    let progress = t.world.events().iter().any(|event| {
        matches!(event, baton::call::event::EventKind::HandoffProgress { status: Some(183), .. })
    });
    assert!(progress);
    let offer = answered(&t, &target);
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn the_agent_that_asked_by_refer_hears_how_it_goes_before_its_bye() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.leg.refer("sip:desk@baton", &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let target = desk.expect_call();
    target.reply(&target.invite(), 180);
    t.leg.expect_notify("SIP/2.0 180 Ringing", "active");
    let offer = answered(&t, &target);
    accept(&t, &offer);
    let last = t.leg.expect("NOTIFY");
    assert!(last.body.starts_with("SIP/2.0 200 OK"));
    t.agent.expect_silence(ms(300));
    t.leg.reply(&last, 200);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn an_agent_that_never_answers_its_last_notify_gets_its_bye_all_the_same() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.leg.refer("sip:desk@baton", &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let target = desk.expect_call();
    let offer = answered(&t, &target);
    accept(&t, &offer);
    let last = t.leg.expect("NOTIFY");
    let bye = t.leg.expect_within("BYE", s(1));
    t.leg.reply(&bye, 200);
    t.leg.reply(&last, 200);
    together(&t, &target);
}

#[test]
fn an_agent_that_leaves_while_the_target_rings() {
    let (t, _desk, target) = ringing();
    t.leg.hang_up();
    let offer = answered(&t, &target);
    accept(&t, &offer);
    together(&t, &target);
}

#[test]
fn a_busy_target_leaves_all_as_it_was() {
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.cause.as_deref(), handoff.attempts[0].status), (Some("busy"), Some(486)));
    assert_eq!(t.world.complaints(), (1, 0));
    still_together(&t);
}

#[test]
fn a_target_that_does_not_answer_is_cancelled() {
    let (t, _desk, target) = ringing_with(&config(), "patient-desk");
    target.reply(&target.invite(), 180);
    let cancel = target.expect_within("CANCEL", s(6));
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.cause.as_deref(), handoff.attempts[0].status), (Some("no_answer"), Some(408)));
    still_together(&t);
}

#[test]
fn a_target_that_answers_after_our_timeout_is_let_go() {
    let (t, _desk, target) = ringing_with(&config(), "patient-desk");
    target.reply(&target.invite(), 180);
    let cancel = target.expect_within("CANCEL", s(6));
    let ok = target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    target.expect_bye();
    target.reply(&cancel, 200);
    target.again(&ok);
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    still_together(&t);
}

#[test]
fn a_target_that_is_silent_is_unreachable() {
    let (t, desk, _target) = ringing_with(&config(), "patient-desk");
    t.world.advance(s(6));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("unreachable"));
    desk.is_dead(true);
    still_together(&t);
}

#[test]
fn a_target_that_cannot_be_reached() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    desk.is_dead(true);
    t.world.handoff("desk");
    t.world.advance(s(1));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("unreachable"));
    still_together(&t);
}

#[test]
fn a_caller_that_hangs_up_right_after_a_busy_target_was_not_lost_by_anybody() {
    // Nobody had been asked to take the caller, so nobody can have lost them.
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.world.advance(ms(300));
    t.call.hang_up();
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("abandoned");
    assert_eq!(handoff.cause.as_deref(), Some("busy"), "that of the attempt");
    assert_eq!(t.world.complaints(), (1, 0), "the WARN, and no ERROR");
    t.world.assert_empty();
}

#[test]
fn the_caller_hangs_up_while_the_target_rings() {
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 180);
    t.call.hang_up();
    t.leg.expect_bye();
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn the_targets_200_crosses_the_callers_bye() {
    let (t, _desk, target) = ringing();
    t.call.bye();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    t.call.expect(200);
    t.leg.expect_bye();
    target.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn the_caller_hangs_up_when_it_is_offered_the_target() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    t.call.bye();
    t.call.expect(200);
    t.call.reply(&offer, 487);
    t.call.expect("ACK");
    t.leg.expect_bye();
    target.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn a_caller_that_refuses_the_target_stays_with_the_agent() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    t.call.reply(&offer, 488);
    t.call.expect("ACK");
    target.expect_bye();
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("failed"));
    still_together(&t);
}

#[test]
fn glare_with_the_caller_is_waited_out() {
    let (t, _desk, target) = ringing();
    let mut offer = answered(&t, &target);
    for _ in 0..3 {
        t.call.reply(&offer, 491);
        t.call.expect("ACK");
        offer = t.call.expect_within("INVITE", s(3));
    }
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_hold_of_the_caller_that_is_under_way_comes_first() {
    let (t, _desk, target) = ringing();
    let hold = sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0 101\r\na=sendonly\r\n");
    t.call.reinvite(&hold);
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    t.pbx.expect_silence(ms(500));
    t.leg.answer(&passed, &sdp("agent", 2));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    let offer = t.call.expect_within("INVITE", s(1));
    // It holds on, which the target has to know.
    t.call.answer(&offer, &hold);
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = target.expect("INVITE");
    target.answer(&told, &sdp("desk", 1));
    target.expect("ACK");
    together(&t, &target);
}

#[test]
fn the_agents_reinvite_has_to_wait_while_the_caller_is_joined() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    t.leg.reinvite(&sdp("agent", 2));
    t.leg.expect(100);
    t.leg.expect(491);
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_target_that_hangs_up_while_the_caller_is_offered_it() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    target.hang_up();
    // Too late to take it back: the caller has it, and gets the agent again.
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    let back = t.call.expect("INVITE");
    assert_eq!(without_origin(back.sdp()), without_origin(&sdp("agent", 1)));
    t.call.answer(&back, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.advance(ms(500));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("failed"));
    still_together(&t);
}

#[test]
fn a_target_that_hangs_up_before_the_caller_has_answered() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    t.call.reply(&offer, 100);
    target.hang_up();
    let cancel = t.call.expect("CANCEL");
    t.call.reply(&cancel, 200);
    t.call.reply(&offer, 487);
    t.call.expect("ACK");
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    still_together(&t);
}

#[test]
fn two_branches_of_a_fork_answer() {
    let (t, _desk, target) = ringing();
    let other = target.fork();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    other.answer(&target.invite(), &sdp("other", 1));
    other.expect("ACK");
    other.expect_bye();
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_target_that_challenges() {
    let t = Talking::with(&config());
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    let challenge = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=MD5";
    target.reply_with(&target.invite(), 407, &[("Proxy-Authenticate", challenge)], "");
    target.expect("ACK");
    let again = target.expect("INVITE");
    assert!(again.header("Proxy-Authorization").contains("username=\"baton\""));
    target.answer(&again, &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_target_that_refuses_the_callers_session_is_offered_a_fresh_one() {
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    assert_eq!(asked.body, "", "the caller is asked for an offer");
    let fresh = sdp_with("pbx", 2, "m=audio 4000 RTP/AVP 0 8 9 101\r\na=sendrecv\r\n");
    let ok = t.call.answer(&asked, &fresh);
    let again = _desk.expect_call();
    assert_eq!(without_origin(again.invite().sdp()), without_origin(&fresh));
    again.answer(&again.invite(), &sdp("desk", 1));
    again.expect("ACK");
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("desk", 1)));
    assert_eq!(ack.cseq().0, ok.cseq().0);
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("succeeded");
    let told: Vec<_> = handoff.attempts.iter().map(|a| (a.status, a.cause.as_deref())).collect();
    assert_eq!(told, [(Some(488), Some("refused")), (Some(200), None)]);
    t.call.hang_up();
    again.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_target_that_refuses_the_fresh_one_too() {
    let (t, desk, target) = ringing();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    let fresh = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 8 9 101\r\na=sendrecv\r\n");
    t.call.answer(&asked, &fresh);
    let again = desk.expect_call();
    again.reply(&again.invite(), 488);
    again.expect("ACK");
    // The caller gets the agent back, and the agent is told where the caller is now.
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("agent", 1)));
    let told = t.leg.expect_within("INVITE", s(1));
    assert_eq!(without_origin(told.sdp()), without_origin(&fresh));
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.attempts.len(), handoff.cause.as_deref()), (2, Some("refused")));
    still_together(&t);
}

#[test]
fn a_caller_with_nothing_fresh_to_offer() {
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.reply(&asked, 488);
    t.call.expect("ACK");
    t.world.advance(ms(500));
    assert_eq!(t.world.assert_ended("returned").attempts.len(), 1);
    still_together(&t);
}

#[test]
fn a_caller_that_hangs_up_while_its_fresh_offer_rings() {
    let (t, desk, target) = ringing();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 2));
    let again = desk.expect_call();
    again.reply(&again.invite(), 180);
    t.call.bye();
    t.call.expect(200);
    let ack = t.call.expect("ACK");
    assert!(ack.sdp().contains("m=audio 0 "), "an offer is not left without an answer: {ack}");
    t.leg.expect_bye();
    let cancel = again.expect("CANCEL");
    again.reply(&cancel, 200);
    again.reply(&again.invite(), 487);
    again.expect("ACK");
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn a_call_that_began_with_a_late_offer() {
    let world = crate::common::World::with(&config());
    let (pbx, agent) =
        (world.peer("pbx", crate::common::peer::PBX), world.peer("agent", crate::common::peer::AGENT));
    agent.answers_options(200);
    let desk = world.peer("desk", DESK);
    let call = pbx.calling(crate::common::peer::NUMBER).body(None).send();
    let leg = agent.expect_call();
    assert_eq!(leg.invite().body, "");
    leg.answer(&leg.invite(), &sdp("agent", 1));
    let ok = call.expect(200);
    call.ack_with(&ok, &sdp("pbx", 1));
    let ack = leg.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("pbx", 1)));
    let t = Talking { world, pbx, agent, call, leg };
    t.world.handoff("desk");
    let target = desk.expect_call();
    assert_eq!(without_origin(target.invite().sdp()), without_origin(&sdp("pbx", 1)));
    let offer = answered(&t, &target);
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_target_that_answers_without_a_session() {
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 200);
    target.expect("ACK");
    target.expect_bye();
    t.world.advance(ms(500));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("failed"));
    still_together(&t);
}

/// It should have said 488; whoever is joined with it would hear nothing.
#[test]
fn a_target_that_answers_and_declines_every_stream() {
    let (t, _desk, target) = ringing();
    target.answer(&target.invite(), &sdp_with("desk", 1, "m=audio 0 RTP/AVP 0\r\n"));
    target.expect("ACK");
    target.expect_bye();
    t.world.advance(ms(500));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("failed"));
    still_together(&t);
}

#[test]
fn a_target_that_declines_every_stream_of_the_fresh_offer() {
    let (t, desk, target) = ringing();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 1));
    let again = desk.expect_call();
    again.answer(&again.invite(), &sdp_with("desk", 1, "m=audio 0 RTP/AVP 0\r\n"));
    again.expect("ACK");
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("agent", 1)));
    again.expect_bye();
    t.world.advance(ms(500));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("failed"));
    still_together(&t);
}

#[test]
fn a_redirecting_target_is_followed_where_the_table_allows_it() {
    let (t, desk, target) = ringing();
    let contacts = "<sip:evil@203.0.113.66>, <sip:second@10.0.0.30>;q=0.3, <sip:first@10.0.0.30>;q=0.9";
    target.reply_with(&target.invite(), 302, &[("Contact", contacts)], "");
    target.expect("ACK");
    let next = desk.expect_call();
    assert_eq!(next.invite().uri(), "sip:first@10.0.0.30");
    assert_eq!(next.invite().header("X-Account"), "none");
    let offer = answered(&t, &next);
    accept(&t, &offer);
    t.leg.expect_bye();
    assert_eq!(t.world.assert_ended("succeeded").attempts.len(), 1);
    together(&t, &next);
}

#[test]
fn a_target_that_redirects_without_end() {
    let (t, desk, target) = ringing();
    let mut leg = target;
    for number in 0..6 {
        let contact = format!("<sip:d{number}@10.0.0.30>");
        leg.reply_with(&leg.invite(), 302, &[("Contact", &contact)], "");
        leg.expect("ACK");
        if number < 5 {
            leg = desk.expect_call();
        }
    }
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!((handoff.cause.as_deref(), handoff.attempts[0].status), (Some("failed"), Some(302)));
    still_together(&t);
}

#[test]
fn a_redirection_to_a_stranger_is_a_refusal() {
    let (t, _desk, target) = ringing();
    target.reply_with(&target.invite(), 302, &[("Contact", "<sip:evil@203.0.113.66>")], "");
    target.expect("ACK");
    t.world.advance(ms(500));
    assert_eq!(t.world.assert_ended("returned").attempts[0].status, Some(302));
    still_together(&t);
}

#[test]
fn by_request_it_is_cancelled_while_it_rings() {
    let (t, _desk, target) = ringing();
    let id = t.world.call().handoffs[0].clone();
    let Reply::Handoff(view) = t.world.command(Command::CancelHandoff { handoff: id.to_string() }) else {
        panic!()
    };
    assert_eq!(view.state.as_str(), "cancelled");
    target.reply(&target.invite(), 180);
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    still_together(&t);
}

#[test]
fn once_the_target_has_answered_it_is_too_late_to_cancel() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    let id = t.world.call().handoffs[0].clone();
    let refused = t.world.command(Command::CancelHandoff { handoff: id.to_string() });
    assert!(matches!(refused, Reply::Refused(_)), "{refused:?}");
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_caller_that_has_been_joined_can_be_moved_on() {
    let (t, desk, target) = ringing();
    let offer = answered(&t, &target);
    accept(&t, &offer);
    t.leg.expect_bye();
    t.world.handoff_with(HandoffRequest { destination: Some("desk".into()), ..Default::default() });
    let next = desk.expect_call();
    next.answer(&next.invite(), &sdp("second", 1));
    next.expect("ACK");
    let offer = t.call.expect("INVITE");
    accept(&t, &offer);
    target.expect_bye();
    assert_eq!(t.world.ended_handoffs().len(), 2);
    t.call.hang_up();
    next.expect_bye();
    t.world.assert_empty();
}

#[test]
fn an_agent_with_a_limit_is_free_once_its_caller_is_joined() {
    let config = config().agent_key("max_calls = 1");
    let (t, _desk, target) = ringing_with(&config, "desk");
    let offer = answered(&t, &target);
    accept(&t, &offer);
    t.leg.expect_bye();
    let second = t.pbx.invite(crate::common::peer::NUMBER);
    let leg = t.agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    let ok = second.expect(200);
    second.ack(&ok);
    second.hang_up();
    leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_reinvite_of_the_caller_that_is_cancelled_too_late_is_put_right() {
    let t = Talking::new();
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    let reinvite = t.call.reinvite(&moved);
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    t.leg.reply(&passed, 100);
    t.call.cancel_of(&reinvite, &[]);
    t.call.expect(200);
    let terminated = t.call.expect(487);
    t.call.ack(&terminated);
    let cancel = t.leg.expect("CANCEL");
    // The agent's 200 crosses it: the agent has a session that the caller never got.
    t.leg.answer(&passed, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.leg.reply(&cancel, 200);
    let back = t.leg.expect_within("INVITE", s(1));
    assert_eq!(without_origin(back.sdp()), without_origin(&sdp("pbx", 1)));
    t.leg.answer(&back, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_caller_whose_earlier_request_is_not_done_is_asked_again() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    // RFC 3261 §14.2: a re-INVITE that overtakes the ACK before it gets 500 with Retry-After.
    t.call.reply_with(&offer, 500, &[("Retry-After", "1")], "");
    t.call.expect("ACK");
    let offer = t.call.expect_within("INVITE", s(3));
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_target_that_is_told_before_it_has_its_ack_is_told_again() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    t.call.answer(&offer, &moved);
    t.call.expect("ACK");
    t.leg.expect_bye();
    let mut told = target.expect("INVITE");
    // For as long as its 2xx may take to come again, and the ACK with it.
    for _ in 0..5 {
        target.reply_with(&told, 500, &[("Retry-After", "1")], "");
        target.expect("ACK");
        told = target.expect_within("INVITE", s(5));
        assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    }
    target.answer(&told, &sdp("desk", 1));
    target.expect("ACK");
    together(&t, &target);
}

#[test]
fn a_caller_that_has_moved_when_it_gets_the_agent_back() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    target.hang_up();
    // It answers the target, which has gone, from another port; the agent has to know where it is now.
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    t.call.answer(&offer, &moved);
    t.call.expect("ACK");
    let back = t.call.expect("INVITE");
    assert_eq!(without_origin(back.sdp()), without_origin(&sdp("agent", 1)));
    t.call.answer(&back, &moved);
    t.call.expect("ACK");
    let told = t.leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    still_together(&t);
}

#[test]
fn a_reinvite_that_another_request_has_overtaken_is_sent_again() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target);
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let info = t.call.expect("INFO");
    t.call.reply(&info, 200);
    t.leg.expect(200);
    // It comes after the INFO.
    t.call.reply(&offer, 500);
    t.call.expect("ACK");
    let again = t.call.expect("INVITE");
    assert_eq!(again.sdp(), offer.sdp());
    assert!(again.cseq().0 > info.cseq().0);
    accept(&t, &again);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn the_stream_to_the_caller_dies_while_it_is_offered_the_target() {
    let config = config().pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let t = Talking::at(&config, "tcp:10.0.0.5:5060", |invite| invite);
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    let offer = answered(&t, &target);
    t.pbx.closes_connection();
    t.world.settle();
    assert_eq!(t.pbx.retransmissions(), 1);
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

#[test]
fn a_caller_refreshes_its_session_while_nobody_is_with_it() {
    let (t, _desk, target) = ringing();
    t.leg.hang_up();
    // What it has to say can be passed to nobody; but its session is not to expire, and it may move.
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    for offer in [moved, sdp("pbx", 3)] {
        t.call.reinvite(&offer);
        t.call.expect(100);
        let answer = t.call.expect(200);
        t.call.ack(&answer);
    }
    let offer = answered(&t, &target);
    accept(&t, &offer);
    together(&t, &target);
}

#[test]
fn a_caller_that_says_481_when_it_is_not_asked_for_an_offer_any_more_is_lost() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let handoff = t.world.handoff("desk").id;
    let target = desk.expect_call();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.world.command(Command::CancelHandoff { handoff: handoff.to_string() });
    t.world.assert_ended("cancelled");
    t.call.reply(&asked, 481);
    t.call.expect("ACK");
    t.both_get_bye();
    t.world.assert_empty();
}

#[test]
fn a_caller_that_had_nothing_fresh_to_offer_may_move_later() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.reply(&asked, 500);
    t.call.expect("ACK");
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    // The caller moves, and the agent, which refuses the first time, is told.
    let moved = sdp_with("pbx", 2, "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n");
    let handoff = t.world.handoff("desk").id;
    let again = desk.expect_call();
    again.reply(&again.invite(), 488);
    again.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &moved);
    let third = desk.expect_call();
    t.world.command(Command::CancelHandoff { handoff: handoff.to_string() });
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("agent", 1)));
    let told = t.leg.expect_within("INVITE", s(1));
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    third.reply(&third.invite(), 180);
    let cancel = third.expect("CANCEL");
    third.reply(&cancel, 200);
    third.reply(&third.invite(), 487);
    third.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_offer_that_is_under_way_between_the_two_is_theirs() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    // The agent asks the caller for an offer, and has it; its answer is still to come.
    t.leg.request("INVITE", &[], "", "");
    t.leg.expect(100);
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 1));
    let offer = t.leg.expect(200);
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    t.leg.ack_with(&offer, &sdp("agent", 1));
    assert_eq!(without_origin(t.call.expect("ACK").sdp()), without_origin(&sdp("agent", 1)));
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

const CHALLENGE: (&str, &str) =
    ("Proxy-Authenticate", "Digest realm=\"pbx\", nonce=\"abc\", algorithm=MD5, qop=\"auth\"");

/// RFC 3261 §22.1: an ACK cannot be challenged, so it says at once what its INVITE has said.
#[test]
fn the_ack_of_a_challenged_invite_has_its_credentials() {
    let t = Talking::with(&config());
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    target.reply_with(&target.invite(), 407, &[CHALLENGE], "");
    target.expect("ACK");
    let target = t.pbx.expect_call();
    let invite = target.invite();
    target.answer(&invite, &sdp("desk", 1));
    let ack = target.expect("ACK");
    assert_eq!(ack.header("Proxy-Authorization"), invite.header("Proxy-Authorization"));
    let offer = t.call.expect("INVITE");
    t.call.reply_with(&offer, 407, &[CHALLENGE], "");
    t.call.expect("ACK");
    let again = t.call.expect("INVITE");
    t.call.answer(&again, &sdp("pbx", 1));
    let ack = t.call.expect("ACK");
    assert_eq!(ack.header("Proxy-Authorization"), again.header("Proxy-Authorization"));
    t.leg.expect_bye();
    together(&t, &target);
}

/// The 18x would be sent again until the target gave up.
#[test]
fn a_challenged_prack_is_answered() {
    let t = Talking::with(&config());
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    let reliable = [("Require", "100rel"), ("RSeq", "1")];
    target.reply_with(&target.invite(), 183, &reliable, &sdp("desk", 1));
    let prack = target.expect("PRACK");
    target.reply_with(&prack, 407, &[CHALLENGE], "");
    let again = target.expect("PRACK");
    assert_eq!((again.header("RAck"), again.cseq().0), (prack.header("RAck"), prack.cseq().0 + 1));
    assert!(again.find("Proxy-Authorization").is_some());
    target.reply(&again, 200);
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    accept(&t, &offer);
    t.leg.expect_bye();
    together(&t, &target);
}

/// Whoever reads the log of a failure is told whose call it was, and by whom it was refused.
#[test]
fn a_failed_attempt_names_call_trunk_and_peer() {
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.world.settle();
    let found = t.world.events().into_iter().find_map(|what| match what {
        EventKind::AttemptFailed { call, environment, trunk, peer, .. } => {
            Some((call, environment, trunk, peer))
        }
        _ => None,
    });
    let (call, environment, trunk, peer) = found.expect("an attempt failed");
    assert_eq!((&*environment, &*trunk, peer.as_deref()), ("production", "pbx", Some("udp:10.0.0.30:5060")));
    // A refusal of ours in a dialog belongs to the call, too.
    t.leg.request("INFO", &[("Content-Type", "x/y")], "", "x");
    t.call.expect("INFO");
    t.call.bye();
    t.leg.expect(487);
    let told = t.world.events().into_iter().any(|what| {
        matches!(what, EventKind::Status { call: Some(of), direction: Direction::Out, status: 487, .. } if of == call)
    });
    assert!(told, "{:?}", t.world.events());
    t.call.expect(200);
    t.leg.expect_bye();
    t.world.assert_empty();
}

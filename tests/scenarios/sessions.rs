//! What real peers make of a session when Baton joins them, and afterwards: keys and ports that change with every
//! answer, holds, media lines that come and go.

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Peer, Talking, sdp, sdp_with};
use crate::common::{ms, s};
use std::rc::Rc;

const DESK: &str = "10.0.0.30:5060";

fn config() -> Config {
    super::bridge::config()
}

fn ringing_by(t: Talking) -> (Talking, Peer, Leg) {
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = desk.expect_call();
    (t, desk, target)
}

fn ringing() -> (Talking, Peer, Leg) {
    ringing_by(Talking::with(&config()))
}

/// The desk answers with this; the re-INVITE that the caller gets.
fn answered(t: &Talking, target: &Leg, answer: &str) -> Rc<Message> {
    target.answer(&target.invite(), answer);
    target.expect("ACK");
    t.call.expect("INVITE")
}

/// Caller and desk have each other, with the usual sessions.
fn joined() -> (Talking, Peer, Leg) {
    let (t, desk, target) = ringing();
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    (t, desk, target)
}

fn apart(t: &Talking, target: &Leg) {
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// A side that describes itself anew in each answer and offer.
struct Restless<'a> {
    leg: &'a Leg,
    who: &'a str,
    media: &'a dyn Fn(u64) -> String,
    version: u64,
    own: String,
    told: String,
}

impl Restless<'_> {
    fn next(&mut self) -> String {
        self.version += 1;
        self.own = sdp_with(self.who, self.version, &(self.media)(self.version));
        self.own.clone()
    }

    /// Answers a re-INVITE, if there is one.
    fn turn(&mut self) -> bool {
        let id = self.leg.call_id();
        let invite = self.leg.peer.take(
            |m| m.call_id() == id && m.is_request() && m.method() == "INVITE",
            crate::common::peer::Kind::Request("INVITE"),
        );
        if let Some(invite) = invite {
            self.leg.learn(&invite);
            if invite.has_sdp() {
                self.told = invite.sdp().to_owned();
            }
            let own = self.next();
            self.leg.answer(&invite, &own);
            return true;
        }
        let ack = self.leg.peer.take(
            |m| m.call_id() == id && m.is_request() && m.method() == "ACK",
            crate::common::peer::Kind::Request("ACK"),
        );
        if let Some(ack) = ack.as_ref().filter(|ack| ack.has_sdp()) {
            self.told = ack.sdp().to_owned();
        }
        ack.is_some()
    }
}

fn settle_with(caller_media: &dyn Fn(u64) -> String, target_media: &dyn Fn(u64) -> String) {
    let t = Talking::by(&config(), |i| i.body(Some(&sdp_with("pbx", 1, &caller_media(1)))));
    let (t, _desk, target) = ringing_by(t);
    let told = target.invite().sdp().to_owned();
    let mut caller = Restless {
        leg: &t.call,
        who: "pbx",
        media: caller_media,
        version: 1,
        own: String::new(),
        told: String::new(),
    };
    let mut desk =
        Restless { leg: &target, who: "desk", media: target_media, version: 0, own: String::new(), told };
    let own = desk.next();
    target.answer(&target.invite(), &own);
    for _ in 0..100 {
        t.world.advance(ms(100));
        while caller.turn() | desk.turn() {
            t.world.advance(ms(100));
        }
    }
    t.leg.expect_bye();
    assert_eq!(without_origin(&caller.told), without_origin(&desk.own), "the caller knows the desk");
    assert_eq!(without_origin(&desk.told), without_origin(&caller.own), "the desk knows the caller");
    apart(&t, &target);
}

#[test]
fn an_agent_that_leaves_before_it_has_answered_the_callers_offer() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.leg.request("INVITE", &[], "", "");
    t.leg.expect(100);
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 1));
    t.leg.expect(200);
    t.leg.bye_with(&[("X-Handoff", "desk")]);
    t.leg.expect(200);
    let target = desk.expect_call();
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("agent", 1)));
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.assert_ended("succeeded");
    apart(&t, &target);
}

#[test]
fn an_agent_that_leaves_before_the_caller_has_offered_what_it_was_asked_for() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.leg.request("INVITE", &[], "", "");
    t.leg.expect(100);
    let asked = t.call.expect("INVITE");
    t.leg.bye_with(&[("X-Handoff", "desk")]);
    t.leg.expect(200);
    t.leg.expect(487);
    let target = desk.expect_call();
    // What stood goes on: a caller without any stream may take it for the end.
    t.call.answer(&asked, &sdp("pbx", 1));
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("agent", 1)));
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.assert_ended("succeeded");
    apart(&t, &target);
}

#[test]
fn an_agent_that_acknowledges_an_offer_without_an_answer_does_not_cost_the_caller() {
    let t = Talking::with(&config());
    t.leg.request("INVITE", &[], "", "");
    t.leg.expect(100);
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 1));
    let offer = t.leg.expect(200);
    t.leg.ack(&offer);
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("agent", 1)));
    t.pbx.expect_silence(s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn hold_update_info_and_bye_pass_from_the_target_too() {
    let (t, _desk, target) = joined();
    let hold = sdp_with("desk", 2, "m=audio 4000 RTP/AVP 0 101\r\nc=IN IP4 0.0.0.0\r\n");
    target.reinvite(&hold);
    target.expect(100);
    let passed = t.call.expect("INVITE");
    assert_eq!(without_origin(passed.sdp()), without_origin(&hold));
    t.call.answer(&passed, &sdp("pbx", 1));
    t.call.expect("ACK");
    let ok = target.expect(200);
    target.ack(&ok);
    target.request("UPDATE", &[], "application/sdp", &sdp("desk", 3));
    // The caller has never said that it takes any.
    let passed = t.call.expect("INVITE");
    t.call.answer(&passed, &sdp("pbx", 1));
    t.call.expect("ACK");
    assert_eq!(target.expect(200).method(), "UPDATE");
    target.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let info = t.call.expect("INFO");
    t.call.reply(&info, 200);
    target.expect(200);
    // An offerless re-INVITE, either way.
    for (from, to, who, other) in [(&t.call, &target, "pbx", "desk"), (&target, &t.call, "desk", "pbx")] {
        from.request("INVITE", &[], "", "");
        from.expect(100);
        let asked = to.expect("INVITE");
        assert_eq!(asked.body, "");
        to.answer(&asked, &sdp(other, 4));
        let ok = from.expect(200);
        from.ack_with(&ok, &sdp(who, 4));
        let ack = to.expect("ACK");
        assert_eq!(without_origin(ack.sdp()), without_origin(&sdp(who, 4)));
    }
    target.bye_with(&[("Reason", "Q.850;cause=16")]);
    target.expect(200);
    let bye = t.call.expect_bye();
    assert_eq!(bye.header("Reason"), "Q.850;cause=16");
    t.world.assert_empty();
}

#[test]
fn a_caller_that_challenges_the_reinvite() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target, &sdp("desk", 1));
    let challenge = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=MD5";
    t.call.reply_with(&offer, 407, &[("Proxy-Authenticate", challenge)], "");
    t.call.expect("ACK");
    let again = t.call.expect("INVITE");
    assert!(again.find("Proxy-Authorization").is_some(), "{again}");
    t.call.answer(&again, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    apart(&t, &target);
}

#[test]
fn a_media_line_that_came_while_the_target_rang_never_goes_away() {
    let (t, _desk, target) = ringing();
    let audio = "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
    let both = format!("{audio}m=video 4002 RTP/AVP 31\r\n");
    t.call.reinvite(&sdp_with("pbx", 2, &both));
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    t.leg.answer(&passed, &sdp_with("agent", 2, &format!("{audio}m=video 0 RTP/AVP 31\r\n")));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    let offer = answered(&t, &target, &sdp("desk", 1));
    assert!(offer.sdp().ends_with("m=video 0 RTP/AVP 31\r\n"), "{offer}");
    t.call.answer(&offer, &sdp_with("pbx", 2, &format!("{audio}m=video 0 RTP/AVP 31\r\n")));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    // The target holds; it has heard of one line only.
    let hold = sdp_with("desk", 2, &audio.replace("sendrecv", "sendonly"));
    target.reinvite(&hold);
    target.expect(100);
    let passed = t.call.expect("INVITE");
    assert_eq!(passed.sdp().matches("m=").count(), 2, "{passed}");
    let held = audio.replace("sendrecv", "recvonly");
    t.call.answer(&passed, &sdp_with("pbx", 3, &format!("{held}m=video 0 RTP/AVP 31\r\n")));
    t.call.expect("ACK");
    let ok = target.expect(200);
    assert_eq!(ok.sdp().matches("m=").count(), 1, "{ok}");
    target.ack(&ok);
    t.pbx.expect_silence(s(1));
    apart(&t, &target);
}

#[test]
fn a_held_caller_whose_fresh_offer_is_taken_is_not_held_any_more() {
    // The agent holds the caller, as agents do before they hand over.
    let t = held(true);
    let audio = "m=audio 4000 RTP/AVP 0 101\r\n";
    let (t, desk, target) = ringing_by(t);
    assert!(target.invite().sdp().contains("a=sendrecv"));
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    // It says how it stands.
    t.call.answer(&asked, &sdp_with("pbx", 2, &format!("{audio}a=recvonly\r\n")));
    let again = desk.expect_call();
    assert!(again.invite().sdp().contains("a=sendrecv"));
    again.answer(&again.invite(), &sdp("desk", 1));
    again.expect("ACK");
    let ack = t.call.expect("ACK");
    assert!(ack.sdp().contains("a=sendonly"), "the answer to recvonly: {ack}");
    t.leg.expect_bye();
    let offer = t.call.expect("INVITE");
    assert!(offer.sdp().contains("a=sendrecv"), "{offer}");
    t.call.answer(&offer, &sdp_with("pbx", 3, &format!("{audio}a=sendrecv\r\n")));
    t.call.expect("ACK");
    t.world.advance(s(1));
    desk.expect_silence(s(1));
    apart(&t, &again);
}

#[test]
fn a_caller_that_declines_every_stream_of_the_target_is_not_joined() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp_with("pbx", 2, "m=audio 0 RTP/AVP 0\r\n"));
    t.call.expect("ACK");
    target.expect_bye();
    let back = t.call.expect("INVITE");
    assert_eq!(without_origin(back.sdp()), without_origin(&sdp("agent", 1)));
    t.call.answer(&back, &sdp("pbx", 3));
    t.call.expect("ACK");
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_update_in_the_early_dialog_of_a_target_is_answered() {
    let (t, _desk, target) = ringing();
    let early = [("Require", "100rel"), ("RSeq", "7"), ("Allow", "INVITE, ACK, BYE, UPDATE, PRACK")];
    target.reply_with(&target.invite(), 183, &early, &sdp("desk", 1));
    let prack = target.expect("PRACK");
    target.reply(&prack, 200);
    // Its announcement ends, and what answers is elsewhere.
    let moved = sdp_with("desk", 2, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    target.request("UPDATE", &[], "application/sdp", &moved);
    let ok = target.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("pbx", 1)));
    target.reply(&target.invite(), 200);
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(&moved));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    apart(&t, &target);
}

#[test]
fn a_target_that_numbers_telephone_events_otherwise_is_told_the_callers_number() {
    let (t, _desk, target) = ringing();
    let events = |number: u8| {
        format!("m=audio 4000 RTP/AVP 0 {number}\r\na=rtpmap:{number} telephone-event/8000\r\na=sendrecv\r\n")
    };
    let offer = answered(&t, &target, &sdp_with("desk", 1, &events(96)));
    // The caller takes over the number that it is offered, and would not know 101 any more.
    let own = sdp_with("pbx", 2, &events(96));
    t.call.answer(&offer, &own);
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = target.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&own));
    target.answer(&told, &sdp_with("desk", 1, &events(96)));
    target.expect("ACK");
    t.pbx.expect_silence(s(1));
    apart(&t, &target);
}

#[test]
fn a_caller_refreshes_its_session_without_an_offer_while_nobody_is_with_it() {
    let (t, _desk, target) = ringing();
    t.leg.hang_up();
    t.call.reinvite("");
    t.call.expect(100);
    let ok = t.call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("agent", 1)), "what stands");
    t.call.ack_with(&ok, &sdp("pbx", 1));
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.assert_ended("succeeded");
    apart(&t, &target);
}

#[test]
fn a_caller_that_is_busy_when_it_is_asked_for_something_fresh_is_asked_again() {
    let (t, desk, target) = ringing();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.reply(&asked, 491);
    t.call.expect("ACK");
    let asked = t.call.expect_within("INVITE", s(3));
    assert_eq!(asked.body, "");
    t.call.answer(&asked, &sdp("pbx", 1));
    let again = desk.expect_call();
    again.answer(&again.invite(), &sdp("desk", 1));
    again.expect("ACK");
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    apart(&t, &again);
}

#[test]
fn a_caller_that_is_busy_for_ever_stays_with_the_agent() {
    let (t, _desk, target) = ringing();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let end = t.world.now() + s(11);
    while t.world.now() < end {
        let id = t.call.call_id();
        let kind = crate::common::peer::Kind::Request("INVITE");
        if let Some(asked) =
            t.pbx.take(|m| m.call_id() == id && m.method() == "INVITE" && m.is_request(), kind)
        {
            t.call.reply(&asked, 491);
            t.call.expect("ACK");
        }
        t.world.advance(ms(100));
    }
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

const AUDIO: &str = "m=audio 4010 RTP/AVP 0 101\r\na=sendrecv\r\n";
const FRESH: &str = "m=audio 4000 RTP/AVP 8 0 9 101\r\na=sendrecv\r\n";

/// The target refuses what the caller has answered, and is asked for something fresh.
fn asked() -> (Talking, Leg, Rc<Message>) {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp_with("pbx", 2, AUDIO));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = target.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp_with("pbx", 2, AUDIO)));
    target.reply(&told, 488);
    target.expect("ACK");
    let asked = target.expect("INVITE");
    assert_eq!(asked.body, "");
    (t, target, asked)
}

/// It has made an offer, and the caller has it.
fn relayed() -> (Talking, Leg, Rc<Message>) {
    let (t, target, asked) = asked();
    target.answer(&asked, &sdp_with("desk", 2, FRESH));
    let relayed = t.call.expect("INVITE");
    assert_eq!(without_origin(relayed.sdp()), without_origin(&sdp_with("desk", 2, FRESH)));
    (t, target, relayed)
}

#[test]
fn a_target_that_refuses_what_the_caller_has_answered_is_asked_for_a_fresh_offer() {
    let (t, target, relayed) = relayed();
    let answer = sdp_with("pbx", 3, "m=audio 4010 RTP/AVP 8 101\r\na=sendrecv\r\n");
    t.call.answer(&relayed, &answer);
    t.call.expect("ACK");
    let ack = target.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&answer));
    t.pbx.expect_silence(s(1));
    apart(&t, &target);
}

#[test]
fn a_target_that_has_nothing_to_offer_is_left_as_it_is() {
    let (t, target, asked) = asked();
    target.reply(&asked, 488);
    target.expect("ACK");
    // It is told once more, and refuses once more.
    let told = target.expect("INVITE");
    target.reply(&told, 488);
    target.expect("ACK");
    t.pbx.expect_silence(s(1));
    apart(&t, &target);
}

/// The caller has answered the join with another port, and the desk is told.
fn telling() -> (Talking, Leg, Rc<Message>) {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp_with("pbx", 2, "m=audio 4002 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = target.expect("INVITE");
    assert!(told.body.contains("m=audio 4002"), "{told}");
    (t, target, told)
}

/// What a proxy says is no refusal of the target, which sends to where nobody listens until it is told.
#[test]
fn a_target_that_a_proxy_did_not_reach_is_told_again() {
    for status in [408, 477, 480, 503, 504] {
        let (t, target, told) = telling();
        target.reply(&told, status);
        target.expect("ACK");
        if matches!(status, 408 | 504) {
            // It is looked into.
            let options = target.expect("OPTIONS");
            target.reply(&options, 200);
        }
        let again = target.expect_within("INVITE", s(6));
        assert_eq!(without_origin(again.sdp()), without_origin(told.sdp()), "{status}");
        target.answer(&again, &sdp("desk", 1));
        target.expect("ACK");
        target.peer.expect_silence(s(10));
        apart(&t, &target);
    }
}

/// The desk has moved while the join was under way, and will not be told of the caller. The caller would send to where nobody is.
#[test]
fn a_target_that_refuses_does_not_keep_the_caller_from_being_told() {
    for silent in [false, true] {
        let (t, _desk, target) = ringing();
        let offer = answered(&t, &target, &sdp("desk", 1));
        let moved = sdp_with("desk", 2, "m=audio 4040 RTP/AVP 0 101\r\na=sendrecv\r\n");
        target.reinvite(&moved);
        let ok = target.expect(200);
        target.ack(&ok);
        t.call.answer(&offer, &sdp_with("pbx", 2, "m=audio 4002 RTP/AVP 0 101\r\na=sendrecv\r\n"));
        t.call.expect("ACK");
        t.leg.expect_bye();
        let refused = target.expect("INVITE");
        assert!(refused.body.contains("m=audio 4002"), "{refused}");
        if silent {
            target.reply(&refused, 180);
            t.world.advance(s(30));
            let cancel = target.expect("CANCEL");
            target.reply(&cancel, 200);
            target.reply(&refused, 487);
        } else {
            target.reply(&refused, 500);
        }
        target.expect("ACK");
        let told = t.call.expect("INVITE");
        assert_eq!(without_origin(told.sdp()), without_origin(&moved));
        t.call.answer(&told, &sdp_with("pbx", 2, "m=audio 4002 RTP/AVP 0 101\r\na=sendrecv\r\n"));
        t.call.expect("ACK");
        t.pbx.expect_silence(s(10));
        apart(&t, &target);
    }
}

/// The refusal was of what there was then.
#[test]
fn a_target_that_has_refused_is_told_what_is_new_since() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target, &sdp("desk", 1));
    let moved = sdp_with("desk", 2, "m=audio 4040 RTP/AVP 0 101\r\na=sendrecv\r\n");
    target.reinvite(&moved);
    let ok = target.expect(200);
    target.ack(&ok);
    t.call.answer(&offer, &sdp_with("pbx", 2, "m=audio 4002 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let refused = target.expect("INVITE");
    target.reply(&refused, 500);
    target.expect("ACK");
    let told = t.call.expect("INVITE");
    t.call.answer(&told, &sdp_with("pbx", 3, "m=audio 4006 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.call.expect("ACK");
    let again = target.expect("INVITE");
    assert!(again.body.contains("m=audio 4006"), "{again}");
    target.reply(&again, 500);
    target.expect("ACK");
    target.peer.expect_silence(s(10));
    apart(&t, &target);
}

#[test]
fn but_not_for_ever() {
    let (t, target, mut told) = telling();
    for again in [true, true, true, false] {
        target.reply(&told, 503);
        target.expect("ACK");
        if again {
            told = target.expect_within("INVITE", s(6));
        }
    }
    target.peer.expect_silence(s(10));
    apart(&t, &target);
}

#[test]
fn the_targets_offer_is_not_left_without_an_answer_by_a_caller_that_is_silent() {
    let (t, target, relayed) = relayed();
    t.call.reply(&relayed, 100);
    let ack = target.expect_within("ACK", s(31));
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp_with("pbx", 2, AUDIO)));
    let cancel = t.call.expect("CANCEL");
    t.call.reply(&cancel, 200);
    t.call.reply(&relayed, 487);
    t.call.expect("ACK");
    apart(&t, &target);
}

#[test]
fn nor_by_one_that_hangs_up() {
    let (t, target, relayed) = relayed();
    t.call.bye();
    t.call.expect(200);
    t.call.reply(&relayed, 487);
    t.call.expect("ACK");
    target.expect("ACK");
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn two_sides_that_make_a_new_key_in_each_answer_come_to_know_each_other() {
    let media = |n: u64| {
        format!(
            "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:key{n}\r\na=sendrecv\r\n"
        )
    };
    settle_with(&media, &media);
}

#[test]
fn ice_passwords_of_two_streams_come_to_be_known() {
    let media = |n: u64| {
        format!(
            "m=audio 4000 RTP/SAVPF 111 0\r\na=rtpmap:111 opus/48000/2\r\na=ice-ufrag:u{n}\r\na=ice-pwd:p{n}\r\na=fingerprint:sha-256 AA\r\na=setup:active\r\na=candidate:1 1 UDP 1 10.0.0.{n} 4000 typ host\r\na=sendrecv\r\nm=video 4002 RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=ice-ufrag:u{n}\r\na=ice-pwd:p{n}\r\na=sendrecv\r\n"
        )
    };
    settle_with(&media, &media);
}

#[test]
fn ports_that_change_with_each_answer_come_to_be_known() {
    let media = |n: u64| format!("m=audio {} RTP/AVP 0\r\na=sendrecv\r\n", 4000 + 2 * n);
    let still = |_: u64| "m=audio 7000 RTP/AVP 0\r\na=sendrecv\r\n".to_owned();
    settle_with(&media, &still);
    settle_with(&still, &media);
    settle_with(&media, &media);
}

#[test]
fn a_fax_passes_after_the_join_and_its_caller_can_be_moved_on() {
    let (t, _desk, target) = joined();
    let fax = sdp_with("desk", 2, "m=image 4100 udptl t38\r\na=T38FaxVersion:0\r\n");
    target.reinvite(&fax);
    target.expect(100);
    let passed = t.call.expect("INVITE");
    assert_eq!(without_origin(passed.sdp()), without_origin(&fax));
    t.call.reply(&passed, 488);
    t.call.expect("ACK");
    let no = target.expect(488);
    target.ack(&no);
    target.reinvite(&fax);
    target.expect(100);
    let passed = t.call.expect("INVITE");
    t.call.answer(&passed, &sdp_with("pbx", 2, "m=image 4200 udptl t38\r\n"));
    t.call.expect("ACK");
    let ok = target.expect(200);
    target.ack(&ok);
    // And moved on while the fax stands.
    t.world.handoff_with(crate::common::HandoffRequest {
        destination: Some("desk".into()),
        ..Default::default()
    });
    let next = _desk.expect_call();
    next.reply(&next.invite(), 488);
    next.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 3));
    let again = _desk.expect_call();
    again.answer(&again.invite(), &sdp("desk", 5));
    again.expect("ACK");
    t.call.expect("ACK");
    target.expect_bye();
    t.pbx.expect_silence(s(1));
    apart(&t, &again);
}

#[test]
fn a_caller_that_was_held_is_held_again_when_the_target_goes() {
    let t = held(true);
    let audio = "m=audio 4000 RTP/AVP 0 101\r\n";
    let (t, _desk, target) = ringing_by(t);
    let offer = answered(&t, &target, &sdp("desk", 1));
    target.hang_up();
    t.call.answer(&offer, &sdp("pbx", 3));
    t.call.expect("ACK");
    let back = t.call.expect("INVITE");
    assert!(back.sdp().contains("a=sendonly"), "{back}");
    t.call.answer(&back, &sdp_with("pbx", 4, &format!("{audio}a=recvonly\r\n")));
    t.call.expect("ACK");
    t.world.advance(s(1));
    t.world.assert_ended("returned");
    t.agent.expect_silence(s(1));
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_target_that_changes_its_session_at_once_is_answered_and_the_caller_is_told() {
    let (t, _desk, target) = ringing();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let moved = sdp_with("desk", 2, "m=audio 4040 RTP/AVP 0 101\r\na=sendrecv\r\n");
    target.reinvite(&moved);
    target.expect(100);
    let ok = target.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("pbx", 1)));
    target.ack(&ok);
    let offer = t.call.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("desk", 1)), "it had gone out before");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let told = t.call.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&moved));
    t.call.answer(&told, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.pbx.expect_silence(s(1));
    apart(&t, &target);
}

#[test]
fn a_target_that_wants_a_longer_session() {
    let (t, _desk, target) = ringing();
    target.reply_with(&target.invite(), 422, &[("Min-SE", "3600")], "");
    target.expect("ACK");
    let again = target.expect("INVITE");
    assert_eq!(again.header("Min-SE"), "3600");
    assert!(again.header("Session-Expires").starts_with("3600"), "{again}");
    target.answer(&again, &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    apart(&t, &target);
}

#[test]
fn a_number_that_is_shown_instead_of_the_callers_is_not_given_away_after_the_join() {
    let t = Talking::with(&config());
    // Its `caller_id` is another number.
    t.world.handoff("number");
    let target = t.pbx.expect_call();
    let offer = answered(&t, &target, &sdp("desk", 1));
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let asserted = [("P-Asserted-Identity", "<sip:+14155550188@pbx.example.com>")];
    t.call.request("INVITE", &asserted, "application/sdp", &sdp_with("pbx", 2, AUDIO));
    t.call.expect(100);
    let passed = target.expect("INVITE");
    assert_eq!(passed.find("P-Asserted-Identity"), None, "{passed}");
    target.answer(&passed, &sdp("desk", 1));
    target.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    apart(&t, &target);
}

/// A call in which one side holds the other.
fn held(by_agent: bool) -> Talking {
    let t = Talking::with(&config());
    let (holder, other) = if by_agent { (&t.leg, &t.call) } else { (&t.call, &t.leg) };
    let (who, whom) = if by_agent { ("agent", "pbx") } else { ("pbx", "agent") };
    holder.reinvite(&sdp_with(who, 2, "m=audio 4000 RTP/AVP 0 101\r\na=sendonly\r\n"));
    holder.expect(100);
    let passed = other.expect("INVITE");
    other.answer(&passed, &sdp_with(whom, 2, "m=audio 4000 RTP/AVP 0 101\r\na=recvonly\r\n"));
    other.expect("ACK");
    let ok = holder.expect(200);
    holder.ack(&ok);
    t
}

#[test]
fn a_failure_leaves_the_hold_as_it_was() {
    for by_agent in [false, true] {
        for failure in ["busy", "refused by the caller", "gone", "fresh and busy", "nothing fresh"] {
            let (t, desk, target) = ringing_by(held(by_agent));
            let (caller, agent) = if by_agent { ("recvonly", "sendonly") } else { ("sendonly", "recvonly") };
            let described = |who: &str, direction: &str, version: u64| {
                sdp_with(who, version, &format!("m=audio 4000 RTP/AVP 0 101\r\na={direction}\r\n"))
            };
            match failure {
                "busy" => {
                    target.reply(&target.invite(), 486);
                    target.expect("ACK");
                }
                "refused by the caller" => {
                    let offer = answered(&t, &target, &sdp("desk", 1));
                    t.call.reply(&offer, 488);
                    t.call.expect("ACK");
                    target.expect_bye();
                }
                "gone" => {
                    let offer = answered(&t, &target, &sdp("desk", 1));
                    target.hang_up();
                    let own = if by_agent { "sendrecv" } else { "sendonly" };
                    t.call.answer(&offer, &described("pbx", own, 3));
                    t.call.expect("ACK");
                    let back = t.call.expect("INVITE");
                    assert_eq!(without_origin(back.sdp()), without_origin(&described("agent", agent, 2)));
                    t.call.answer(&back, &described("pbx", caller, 4));
                    t.call.expect("ACK");
                }
                _ => {
                    target.reply(&target.invite(), 488);
                    target.expect("ACK");
                    let asked = t.call.expect("INVITE");
                    if failure == "nothing fresh" {
                        t.call.reply(&asked, 488);
                        t.call.expect("ACK");
                    } else {
                        t.call.answer(&asked, &described("pbx", caller, 2));
                        let again = desk.expect_call();
                        again.reply(&again.invite(), 486);
                        again.expect("ACK");
                        let ack = t.call.expect("ACK");
                        assert_eq!(without_origin(ack.sdp()), without_origin(&described("agent", agent, 2)));
                    }
                }
            }
            t.agent.expect_silence(s(2));
            t.pbx.expect_silence(s(2));
            t.world.assert_ended("returned");
            t.caller_hangs_up();
            t.world.assert_empty();
        }
    }
}

#[test]
fn a_caller_that_will_not_have_the_agents_session_back_is_asked_for_its_own() {
    let (t, _desk, target) = ringing();
    let offer = answered(&t, &target, &sdp_with("desk", 1, "m=audio 5000 RTP/AVP 0 101\r\n"));
    target.hang_up();
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    for _ in 0..2 {
        let back = t.call.expect("INVITE");
        assert_eq!(without_origin(back.sdp()), without_origin(&sdp("agent", 1)));
        t.call.reply(&back, 488);
        t.call.expect("ACK");
    }
    let asked = t.call.expect("INVITE");
    assert_eq!(asked.body, "");
    t.call.answer(&asked, &sdp_with("pbx", 2, AUDIO));
    let told = t.leg.expect("INVITE");
    assert_eq!(without_origin(told.sdp()), without_origin(&sdp_with("pbx", 2, AUDIO)));
    t.leg.answer(&told, &sdp("agent", 2));
    t.leg.expect("ACK");
    let ack = t.call.expect("ACK");
    assert_eq!(without_origin(ack.sdp()), without_origin(&sdp("agent", 2)));
    t.world.advance(s(1));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_agent_that_left_the_role_open_has_one_in_the_answer_to_the_callers_offer() {
    let dtls = |role: &str| {
        format!("m=audio 4000 RTP/SAVP 0\r\na=setup:{role}\r\na=fingerprint:sha-256 AA\r\na=sendrecv\r\n")
    };
    let t = Talking::by(&config(), |i| i.body(Some(&sdp_with("pbx", 1, &dtls("actpass")))));
    // The last offer was the agent's.
    t.leg.reinvite(&sdp_with("agent", 2, &dtls("actpass")));
    t.leg.expect(100);
    let passed = t.call.expect("INVITE");
    t.call.answer(&passed, &sdp_with("pbx", 2, &dtls("active")));
    t.call.expect("ACK");
    let ok = t.leg.expect(200);
    t.leg.ack(&ok);
    let (t, desk, target) = ringing_by(t);
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp_with("pbx", 3, &dtls("actpass")));
    let again = desk.expect_call();
    again.reply(&again.invite(), 486);
    again.expect("ACK");
    let ack = t.call.expect("ACK");
    assert!(ack.sdp().contains("a=setup:passive"), "{ack}");
    t.world.advance(s(1));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

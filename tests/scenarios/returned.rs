//! Before `returned` is said, and before a next step, the caller's side is asked by a re-INVITE whether it still has the
//! caller: a receiver may have taken the caller out of our dialog, lost them, and left that dialog standing.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{Leg, Peer, Talking, sdp, sdp_with};
use crate::common::{ms, s};
use baton::call::record::HandoffView;
use std::rc::Rc;

const DESK: &str = "10.0.0.30:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";
const BUSY: &str = "SIP/2.0 486 Busy Here\r\n";
const UNAVAILABLE: &str = "SIP/2.0 503 Service Unavailable\r\n";
const ASTERISK: (&str, &str) = ("User-Agent", "Asterisk PBX 22.10.1");
const TABLE: &str = r#"
[destination.ladder]
route = "sip:desk@10.0.0.30"
on_failure = ["invite", "agent"]

[destination.brave]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["invite", "agent"], default = ["agent"] }

[destination.twice]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["ladder"] }
timeouts = { outcome = "2s" }

[destination.silent]
method = "attended"
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["once-more"] }
timeouts = { response = "1s" }

[destination.once-more]
route = "sip:second@10.0.0.31"
on_failure = ["attended"]

[destination.called]
method = "invite"
route = "sip:desk@10.0.0.30"

[destination.replaced]
method = "attended"
route = "sip:desk@10.0.0.30"
"#;

fn config() -> Config {
    Config::default().destination(TABLE)
}

/// The REFER of a handoff was accepted.
#[track_caller]
fn accepted(t: &Talking, destination: &str) -> Rc<Message> {
    t.world.handoff(destination);
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    refer
}

/// The REFER of a handoff has no answer, and the handoff ends.
#[track_caller]
fn unanswered(t: &Talking) -> Rc<Message> {
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.world.advance(s(9));
    t.world.assert_ended("unknown");
    refer
}

/// It fails, and the caller's side is asked.
#[track_caller]
fn asked(t: &Talking, destination: &str, told: &str) -> Rc<Message> {
    accepted(t, destination);
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.call.notify_ok(told, "terminated");
    question(&t.call)
}

/// The re-INVITE that asks.
#[track_caller]
fn question(call: &Leg) -> Rc<Message> {
    let question = call.expect("INVITE");
    assert!(question.has_sdp(), "an offer of our own stands in it\n{question}");
    question
}

/// The one that asks a second time.
#[track_caller]
fn question_again(call: &Leg) -> Rc<Message> {
    call.expect_within("INVITE", s(3))
}

/// What Asterisk does in a dialog whose caller it has taken away.
#[track_caller]
fn is_gone(call: &Leg, question: &Message) {
    call.bye();
    call.answer(question, &sdp("pbx", 1));
    call.expect(200);
    call.expect("ACK");
}

#[track_caller]
fn is_there(call: &Leg, question: &Message) {
    call.answer(question, &sdp("pbx", 1));
    call.expect("ACK");
}

#[track_caller]
fn assert_lost(t: &Talking) -> HandoffView {
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.cause.as_deref(), Some("lost_by_receiver"), "{handoff:#?}");
    assert_eq!(t.world.complaints(), (1, 1), "one WARN, one ERROR");
    handoff
}

fn origin(message: &Message) -> String {
    message.body.lines().find(|line| line.starts_with("o=")).unwrap_or_default().to_owned()
}

// The caller was taken and lost.

#[test]
fn a_caller_taken_and_lost_is_not_returned() {
    for told in [UNAVAILABLE, BUSY, "SIP/2.0 404 Not Found\r\n", "SIP/2.0 487 Request Terminated\r\n"] {
        let t = Talking::new();
        let question = asked(&t, "front-desk", told);
        is_gone(&t.call, &question);
        t.leg.expect_bye();
        let handoff = assert_lost(&t);
        assert!(handoff.explain.cause.contains("cannot be told from a busy target"), "{:?}", handoff.explain);
        t.world.assert_empty();
    }
}

#[test]
fn a_bye_after_the_answer_tells_the_same() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", UNAVAILABLE);
    is_there(&t.call, &question);
    t.world.advance(ms(450));
    t.world.assert_running();
    t.call.hang_up();
    t.leg.expect_bye();
    assert_lost(&t);
    t.world.assert_empty();
}

#[test]
fn the_agent_that_asked_by_refer_is_told() {
    let t = Talking::new();
    t.leg.refer("sip:front-desk@baton", &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.notify_ok(UNAVAILABLE, "terminated");
    let question = question(&t.call);
    is_gone(&t.call, &question);
    t.leg.expect_notify("SIP/2.0 503 Service Unavailable", "terminated");
    t.leg.expect_bye();
    assert_lost(&t);
    t.world.assert_empty();
}

#[test]
fn a_forgotten_dialog_is_confirmed_by_an_options() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", UNAVAILABLE);
    t.call.reply(&question, 481);
    t.call.expect("ACK");
    let options = t.call.expect("OPTIONS");
    t.call.reply(&options, 481);
    t.call.expect_bye();
    t.leg.expect_bye();
    assert_lost(&t);
    t.world.assert_empty();
}

#[test]
fn one_481_alone_proves_nothing() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", UNAVAILABLE);
    t.call.reply(&question, 481);
    t.call.expect("ACK");
    let options = t.call.expect("OPTIONS");
    t.call.reply(&options, 200);
    t.world.settle();
    t.world.assert_ended("unknown");
    t.caller_hangs_up();
    t.world.assert_empty();
}

// The caller is still there.

#[test]
fn a_caller_who_is_still_there_is_returned_half_a_second_after_the_answer() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", BUSY);
    is_there(&t.call, &question);
    t.world.advance(ms(490));
    t.world.assert_running();
    t.world.advance(ms(10));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("busy"));
    assert_eq!(t.world.complaints(), (1, 0));
    t.pbx.expect_silence(s(1));
    t.agent.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// Asterisk's NOTIFY of a failure overtakes the end of the channel that it tells of: a question that reaches it 0.1 ms later
/// is answered as if the caller were there.
#[test]
fn a_question_does_not_overtake_what_it_asks_about() {
    let t = beside(ASTERISK.1);
    let desk = t.world.peer("desk", DESK);
    accepted(&t, "ladder");
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.call.notify_ok(UNAVAILABLE, "terminated;reason=noresource");
    t.pbx.expect_silence(ms(490));
    let first = question(&t.call);
    is_there(&t.call, &first);
    t.world.advance(ms(1200));
    t.world.assert_running();
    let second = question_again(&t.call);
    is_gone(&t.call, &second);
    t.leg.expect_bye();
    assert_lost(&t);
    desk.expect_silence(ms(500));
    t.world.assert_empty();
}

#[test]
fn unless_it_disowns_the_dialog_meanwhile() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", BUSY);
    is_there(&t.call, &question);
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let info = t.call.expect("INFO");
    t.call.reply(&info, 481);
    t.leg.expect(480);
    let check = t.call.expect("OPTIONS");
    t.world.advance(ms(600));
    t.world.assert_running();
    t.call.reply(&check, 481);
    t.call.expect_bye();
    t.leg.expect_bye();
    t.world.assert_ended("failed");
    t.world.assert_empty();
}

#[test]
fn any_answer_of_the_callers_side_shows_it() {
    for status in [200, 202, 488, 403, 500, 603] {
        let t = Talking::new();
        let question = asked(&t, "front-desk", BUSY);
        t.call.reply(&question, status);
        t.call.expect("ACK");
        t.world.advance(ms(500));
        t.world.assert_ended("returned");
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

#[test]
fn the_question_says_what_stands() {
    let t = Talking::by(&Config::default(), |invite| {
        invite.header("Supported", "timer").header("Session-Expires", "1200;refresher=uac")
    });
    let question = asked(&t, "front-desk", BUSY);
    assert_eq!(origin(&question), "o=agent 77 1 IN IP4 198.51.100.7");
    assert_eq!(question.body, sdp("agent", 1));
    assert_eq!(question.header("Session-Expires"), "1200;refresher=uas");
    is_there(&t.call, &question);
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// Our side has answered a hold with `recvonly`. That is no wish of its own.
#[test]
fn a_direction_that_only_answered_the_peers_hold_is_not_offered() {
    let t = Talking::new();
    let media = |direction: &str| format!("m=audio 4000 RTP/AVP 0\r\na={direction}\r\n");
    t.call.reinvite(&sdp_with("pbx", 2, &media("sendonly")));
    let passed = t.leg.expect("INVITE");
    t.leg.answer(&passed, &sdp_with("agent", 2, &media("recvonly")));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    assert!(ok.body.contains("a=recvonly"), "{ok}");
    t.call.ack(&ok);
    let question = asked(&t, "front-desk", BUSY);
    assert!(question.body.contains("a=sendrecv") && !question.body.contains("a=recvonly"), "{question}");
    t.call.answer(&question, &sdp_with("pbx", 2, &media("sendonly")));
    t.call.expect("ACK");
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_answer_that_differs_is_told_to_the_agent() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", BUSY);
    t.call.answer(
        &question,
        &sdp_with(
            "pbx",
            2,
            "m=audio 4444 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n",
        ),
    );
    t.call.expect("ACK");
    let told = t.leg.expect("INVITE");
    assert!(told.body.contains("m=audio 4444"), "{told}");
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The question has offered what our side wants, and the caller still holds when it refreshes its session: RFC 3264 §6.1.
#[test]
fn a_refresh_of_a_caller_that_holds_is_answered_in_the_direction_that_it_allows() {
    let t = Talking::new();
    let media = |direction: &str| format!("m=audio 4000 RTP/AVP 0\r\na={direction}\r\n");
    t.call.reinvite(&sdp_with("pbx", 2, &media("sendonly")));
    let passed = t.leg.expect("INVITE");
    t.leg.answer(&passed, &sdp_with("agent", 2, &media("recvonly")));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    let question = asked(&t, "front-desk", BUSY);
    t.call.answer(&question, &sdp_with("pbx", 2, &media("sendonly")));
    t.call.expect("ACK");
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.call.reinvite(&sdp_with("pbx", 2, &media("sendonly")));
    let ok = t.call.expect(200);
    assert!(ok.body.contains("a=recvonly"), "{ok}");
    t.call.ack(&ok);
    t.leg.peer.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

const MOVED: &str = "m=audio 4444 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

/// What one side has refused once it may take now: that it answers the question is a reason to try.
#[test]
fn a_caller_that_has_refused_the_agents_session_is_told_it_again() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", BUSY);
    t.call.answer(&question, &sdp_with("pbx", 2, MOVED));
    t.call.expect("ACK");
    let told = t.leg.expect("INVITE");
    let other = MOVED.replace("4444", "5555");
    t.leg.answer(&told, &sdp_with("agent", 2, &other));
    t.leg.expect("ACK");
    let refused = t.call.expect("INVITE");
    assert!(refused.body.contains("m=audio 5555"), "{refused}");
    t.call.reply(&refused, 500);
    t.call.expect("ACK");
    t.world.assert_ended("returned");
    let question = asked(&t, "front-desk", BUSY);
    assert!(question.body.contains("m=audio 4000"), "it asks with what stands\n{question}");
    t.call.answer(&question, &sdp_with("pbx", 2, MOVED));
    t.call.expect("ACK");
    let again = t.call.expect("INVITE");
    assert!(again.body.contains("m=audio 5555"), "{again}");
    t.call.answer(&again, &sdp_with("pbx", 2, MOVED));
    t.call.expect("ACK");
    t.leg.peer.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_answer_that_differs_is_told_though_an_earlier_refer_speaks_just_then() {
    let t = Talking::with(&config());
    t.world.handoff("twice");
    let first = t.call.expect("REFER");
    t.world.advance(s(8));
    let second = t.call.expect("REFER");
    t.call.reply(&second, 202);
    t.call.notify_ok(BUSY, "terminated");
    let question = question(&t.call);
    t.call.answer(&question, &sdp_with("pbx", 2, MOVED));
    t.call.expect("ACK");
    t.call.reply(&first, 202);
    let told = t.leg.expect("INVITE");
    assert!(told.body.contains("m=audio 4444"), "{told}");
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    t.world.assert_running();
    t.call.notify_event(&format!("refer;id={}", first.cseq().0), OK, "terminated");
    t.call.expect(200);
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

/// The other REFER has told of a failure, or of a 200 that proves nothing, and may have taken the caller away before.
#[test]
fn a_question_that_an_earlier_refer_breaks_off_is_asked_before_the_return() {
    for (told, state) in [(UNAVAILABLE, "failed"), (OK, "unknown")] {
        let t = beside(ASTERISK.1);
        t.world.handoff("twice");
        let first = t.call.expect("REFER");
        t.world.advance(s(8));
        let second = t.call.expect("REFER");
        t.call.reply(&second, 202);
        t.call.notify_event(&format!("refer;id={}", second.cseq().0), told, "terminated");
        t.call.expect(200);
        let broken_off = question(&t.call);
        is_there(&t.call, &broken_off);
        t.call.reply(&first, 202);
        t.call.notify_event(&format!("refer;id={}", first.cseq().0), "SIP/2.0 404 Gone\r\n", "terminated");
        t.call.expect(200);
        let question = question(&t.call);
        is_gone(&t.call, &question);
        t.leg.expect_bye_within(s(2));
        t.world.advance(s(61));
        t.world.assert_ended(state);
        t.world.assert_empty();
    }
}

#[test]
fn a_request_in_its_way_is_waited_for() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", BUSY);
    t.call.reply(&question, 491);
    t.call.expect("ACK");
    let again = t.call.expect_within("INVITE", s(3));
    assert_eq!(again.body, question.body);
    is_there(&t.call, &again);
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// RFC 3261 §14.2: its last INVITE is not done, and nobody has looked whether the caller is there.
#[test]
fn a_500_that_says_to_come_again_is_no_answer() {
    let t = Talking::new();
    let question = asked(&t, "front-desk", BUSY);
    t.call.reply_with(&question, 500, &[("Retry-After", "1")], "");
    t.call.expect("ACK");
    t.world.advance(ms(600));
    t.world.assert_running();
    let again = t.call.expect_within("INVITE", s(3));
    is_gone(&t.call, &again);
    t.leg.expect_bye();
    assert_lost(&t);
    t.world.assert_empty();
}

#[test]
fn so_is_a_request_of_the_callers_side_that_the_agent_has_not_answered() {
    let t = Talking::new();
    accepted(&t, "front-desk");
    t.call.reinvite(&sdp_with("pbx", 2, "m=audio 4002 RTP/AVP 0\r\n"));
    let passed = t.leg.expect("INVITE");
    t.call.notify_ok(BUSY, "terminated");
    t.world.advance(s(2));
    t.leg.answer(&passed, &sdp_with("agent", 2, "m=audio 4000 RTP/AVP 0\r\n"));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    let question = question(&t.call);
    t.call.answer(&question, &sdp_with("pbx", 2, "m=audio 4002 RTP/AVP 0\r\n"));
    t.call.expect("ACK");
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

// Nobody can tell.

#[test]
fn silence_to_the_question_is_no_return() {
    let t = Talking::with(&config());
    let question = asked(&t, "ladder", BUSY);
    t.world.advance(ms(3_900));
    t.world.assert_running();
    t.world.advance(ms(100));
    let handoff = t.world.assert_ended("unknown");
    // What was told of the target stays told.
    assert_eq!((handoff.cause.as_deref(), handoff.attempts.len()), (Some("busy"), 1), "{handoff:#?}");
    assert!(handoff.explain.cause.contains("whether it still has the caller"), "{:?}", handoff.explain);
    t.agent.expect_silence(s(1));
    // Its answer comes late, and changes nothing.
    t.call.answer(&question, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn what_a_proxy_answers_is_no_answer() {
    for status in [408, 477, 503, 504] {
        let t = Talking::new();
        let question = asked(&t, "front-desk", BUSY);
        t.call.reply(&question, status);
        t.call.expect("ACK");
        if matches!(status, 408 | 504) {
            // As any other request that a proxy gives up for its peer, it is checked.
            t.call.reply(&t.call.expect("OPTIONS"), 200);
        }
        t.world.advance(ms(100));
        t.world.assert_ended("unknown");
        assert_eq!(t.world.complaints(), (1, 0), "{status}");
        t.agent.expect_silence(s(1));
        t.call.hang_up();
        t.leg.expect_bye();
        t.world.finish();
    }
}

#[test]
fn only_a_step_that_is_named_for_unknown_follows_silence() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    asked(&t, "brave", BUSY);
    t.world.advance(s(4));
    let target = desk.expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.world.finish();
}

// Who is not asked.

#[test]
fn a_refused_refer_asks_nobody() {
    for status in [403, 603, 501] {
        let t = Talking::new();
        t.world.handoff("front-desk");
        let refer = t.call.expect("REFER");
        t.call.reply(&refer, status);
        t.pbx.expect_silence(ms(600));
        t.world.assert_ended("returned");
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

#[test]
fn a_receiver_that_is_known_to_have_left_the_caller_is_not_asked() {
    for told in ["SIP/2.0 400 Bad Request\r\n", "SIP/2.0 403 Forbidden\r\n", "SIP/2.0 404 Not Found\r\n"] {
        let named = Talking::with(&Config::default().trunk_key("profile = \"asterisk\""));
        let seen = Talking::by(&Config::default(), |invite| invite.header(ASTERISK.0, ASTERISK.1));
        for t in [named, seen] {
            accepted(&t, "front-desk");
            t.call.notify_ok(told, "terminated");
            t.pbx.expect_silence(ms(600));
            t.world.assert_ended("returned");
            t.caller_hangs_up();
            t.world.assert_empty();
        }
    }
}

#[test]
fn nobody_is_asked_where_the_trunk_says_so() {
    let t = Talking::with(&Config::default().trunk_key("ask_return = \"none\""));
    accepted(&t, "front-desk");
    t.call.notify_ok(BUSY, "terminated");
    t.pbx.expect_silence(ms(600));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The agent has left with its decision, and its fallback would speak with nobody.
#[test]
fn no_fallback_follows_for_a_caller_who_is_gone() {
    let t = Talking::new();
    t.leg.bye_with(&[("X-Handoff", "queue")]);
    t.leg.expect(200);
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.notify_ok(UNAVAILABLE, "terminated");
    let question = question(&t.call);
    is_gone(&t.call, &question);
    t.pbx.expect_silence(s(1));
    assert_lost(&t);
    t.world.assert_empty();
}

#[test]
fn nor_after_a_failure_that_is_told_when_the_handoff_is_over() {
    let t = Talking::new();
    t.leg.bye_with(&[("X-Handoff", "queue")]);
    t.leg.expect(200);
    accepted_already(&t);
    t.world.advance(s(61));
    t.world.assert_ended("unknown");
    t.call.notify_ok(UNAVAILABLE, "terminated");
    let question = question(&t.call);
    is_gone(&t.call, &question);
    t.pbx.expect_silence(s(1));
    let states: Vec<_> = t.world.ended_handoffs().iter().map(|h| h.state.as_str()).collect();
    assert_eq!(states, ["unknown", "failed"]);
    assert_eq!(t.world.ended_handoffs()[1].cause.as_deref(), Some("lost_by_receiver"));
    t.world.assert_empty();
}

/// The caller's side did not say that it still has the caller, and then it hangs up while the fallback rings.
#[test]
fn a_bye_while_the_fallback_rings_for_a_caller_who_may_be_gone_is_not_abandoned() {
    let t = Talking::with(&config().agent_key("fallback = \"called\""));
    let desk = t.world.peer("desk", DESK);
    t.leg.bye_with(&[("X-Handoff", "queue")]);
    t.leg.expect(200);
    accepted_already(&t);
    t.world.advance(s(61));
    t.world.assert_ended("unknown");
    t.call.notify_ok(UNAVAILABLE, "terminated");
    question(&t.call);
    let target = desk.expect_call_within(s(5));
    target.reply(&target.invite(), 180);
    t.call.hang_up();
    target.expect("CANCEL");
    let handoffs = t.world.ended_handoffs();
    let end = (handoffs[1].state.as_str(), handoffs[1].cause.as_deref());
    assert_eq!(end, ("failed", Some("lost_by_receiver")));
    t.world.finish();
}

#[track_caller]
fn accepted_already(t: &Talking) {
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
}

// Ladders.

#[test]
fn the_ladder_rings_no_desk_for_nobody() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let question = asked(&t, "ladder", UNAVAILABLE);
    is_gone(&t.call, &question);
    t.leg.expect_bye();
    desk.expect_silence(s(1));
    assert_lost(&t);
    t.world.assert_empty();
}

#[track_caller]
fn desk_answers(t: &Talking, desk: &Peer) -> (Leg, Rc<Message>) {
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    (target, t.call.expect("INVITE"))
}

#[test]
fn the_ladder_goes_on_for_a_caller_who_is_there() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let question = asked(&t, "ladder", BUSY);
    is_there(&t.call, &question);
    let (target, offer) = desk_answers(&t, &desk);
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_caller_who_hangs_up_later_has_abandoned_it() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let question = asked(&t, "ladder", BUSY);
    is_there(&t.call, &question);
    let (target, _offer) = desk_answers(&t, &desk);
    t.call.hang_up();
    target.expect_bye();
    t.leg.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.finish();
}

#[test]
fn a_bye_in_the_join_while_a_refer_is_open_is_not_abandoned() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    accepted(&t, "brave");
    t.world.advance(s(60));
    let (target, offer) = desk_answers(&t, &desk);
    is_gone(&t.call, &offer);
    target.expect_bye();
    t.leg.expect_bye_within(s(2));
    t.world.advance(s(60));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|proof| proof.as_str()), Some("accepted"));
    t.world.assert_empty();
}

#[test]
fn what_becomes_of_the_last_refer_says_nothing_of_one_before_it() {
    for told in ["SIP/2.0 487 Request Terminated\r\n", BUSY] {
        let t = Talking::with(&config());
        accepted(&t, "twice");
        let second = t.call.expect_within("REFER", s(3));
        t.call.reply(&second, 202);
        t.call.hang_up();
        t.call.notify_ok(told, "terminated");
        t.leg.expect_bye();
        let handoff = t.world.assert_ended("unknown");
        assert_eq!(handoff.proof.map(|proof| proof.as_str()), Some("accepted"));
        assert!(handoff.cause.is_some(), "{handoff:?}");
        t.world.assert_empty();
    }
}

/// Nobody takes it over any more.
#[test]
fn nor_does_its_target_wait() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    accepted(&t, "front-desk");
    t.world.advance(s(120));
    t.world.assert_ended("unknown");
    t.world.handoff("replaced");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let refer = t.call.expect_within("REFER", s(1));
    t.call.reply(&refer, 202);
    t.call.hang_up();
    t.call.notify_ok(BUSY, "terminated");
    target.expect_bye();
    t.leg.expect_bye();
    t.world.assert_empty();
}

#[test]
fn where_nobody_is_asked_a_bye_in_the_join_is_the_receivers() {
    let t = Talking::with(&config().trunk_key("ask_return = \"none\""));
    let desk = t.world.peer("desk", DESK);
    accepted(&t, "ladder");
    t.call.notify_ok(UNAVAILABLE, "terminated");
    let (target, offer) = desk_answers(&t, &desk);
    is_gone(&t.call, &offer);
    target.expect_bye();
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.cause.as_deref(), Some("lost_by_receiver"));
    t.world.assert_empty();
}

#[test]
fn the_join_of_an_attended_transfer_that_failed_asks_the_same() {
    for late_bye in [false, true] {
        let t = Talking::with(&config());
        let desk = t.world.peer("desk", DESK);
        t.world.handoff("replaced");
        let target = desk.expect_call();
        target.answer(&target.invite(), &sdp("desk", 1));
        target.expect("ACK");
        let refer = t.call.expect_within("REFER", s(2));
        t.call.reply(&refer, 202);
        t.call.notify_ok(UNAVAILABLE, "terminated");
        let offer = t.call.expect("INVITE");
        if late_bye {
            is_there(&t.call, &offer);
            t.world.advance(ms(100));
            t.call.hang_up();
        } else {
            is_gone(&t.call, &offer);
        }
        target.expect_bye();
        t.leg.expect_bye();
        let handoff = t.world.assert_ended("failed");
        assert_eq!(handoff.cause.as_deref(), Some("lost_by_receiver"));
        t.world.assert_empty();
    }
}

/// A REFER was accepted, and nothing tells what came of it. The step for that has failed.
#[track_caller]
fn in_doubt() -> (Talking, Rc<Message>) {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    accepted(&t, "brave");
    t.world.advance(s(60));
    let target = desk.expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    let question = question(&t.call);
    (t, question)
}

#[test]
fn nobody_is_returned_unasked_while_a_refer_is_open() {
    let (t, question) = in_doubt();
    is_there(&t.call, &question);
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
    let (t, question) = in_doubt();
    is_gone(&t.call, &question);
    t.leg.expect_bye_within(s(2));
    t.world.advance(s(60));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|proof| proof.as_str()), Some("accepted"));
    t.world.assert_empty();
    let (t, _question) = in_doubt();
    t.world.advance(s(4));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|proof| proof.as_str()), Some("accepted"));
    t.world.finish();
}

#[test]
fn an_agent_that_leaves_meanwhile_is_nobody_to_return_to() {
    let (t, question) = in_doubt();
    t.leg.hang_up();
    is_there(&t.call, &question);
    let fallback = t.call.expect("REFER");
    assert!(fallback.header("Refer-To").contains("+14155550123"), "{fallback}");
    t.world.assert_ended("failed");
    t.call.reply(&fallback, 403);
    t.call.still_has_caller();
    t.call.expect_bye();
    t.world.assert_empty();
}

// A 200 that is not believed.

fn beside(user_agent: &str) -> Talking {
    Talking::by(&config(), |invite| invite.header("User-Agent", user_agent))
}

/// A NOTIFY with headers of its own.
#[track_caller]
fn notify_with(call: &Leg, header: (&str, &str), sipfrag: &str) {
    let headers = [("Event", "refer"), ("Subscription-State", "terminated"), header];
    call.request("NOTIFY", &headers, "message/sipfrag;version=2.0", sipfrag);
    call.expect(200);
}

#[test]
fn a_200_before_anybody_answers_is_no_success() {
    for name in
        ["Asterisk PBX 22.10.1", "FPBX-16.0.40.7(18.13.0)", "FreeSWITCH-mod_sofia/1.10.12-release~64bit"]
    {
        let t = beside(name);
        let question = asked(&t, "front-desk", OK);
        is_gone(&t.call, &question);
        t.leg.expect_bye();
        let handoff = t.world.assert_ended("unknown");
        assert_eq!(handoff.proof.map(|proof| proof.as_str()), Some("accepted"));
        let (title, _) = name.split_once(['-', ' ']).expect("a version");
        let title = title.replace("FPBX", "Asterisk");
        let told = t.world.lines("handoff.unproven");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("{title} says 200 before anybody answers")), "{told:?}");
        assert_eq!(t.world.lines("handoff.attempt_failed"), Vec::<String>::new());
        assert!(handoff.explain.cause.contains("200 before anybody answers"), "{:?}", handoff.explain);
        assert_eq!(t.world.complaints().1, 0, "nobody is known to be hurt");
        t.world.assert_empty();
    }
}

#[test]
fn a_caller_who_is_still_there_after_it_stays_with_the_agent() {
    let t = beside(ASTERISK.1);
    let question = asked(&t, "front-desk", OK);
    is_there(&t.call, &question);
    is_there(&t.call, &question_again(&t.call));
    t.world.advance(ms(500));
    t.world.assert_ended("unknown");
    t.pbx.expect_silence(s(10));
    t.agent.expect_silence(s(2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn and_a_step_that_is_named_for_unknown_follows() {
    let t = beside(ASTERISK.1);
    let desk = t.world.peer("desk", DESK);
    let question = asked(&t, "brave", OK);
    is_there(&t.call, &question);
    is_there(&t.call, &question_again(&t.call));
    let (target, offer) = desk_answers(&t, &desk);
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// Under load Asterisk takes the caller only after it has said 200 and answered the question.
#[test]
fn who_is_taken_after_the_question_leaves_no_agent_alone() {
    let t = beside(ASTERISK.1);
    let question = asked(&t, "front-desk", OK);
    is_there(&t.call, &question);
    is_gone(&t.call, &question_again(&t.call));
    t.leg.expect_bye();
    t.world.assert_ended("unknown");
    assert_eq!(t.world.lines("handoff.unproven").len(), 1);
    t.world.assert_empty();
}

#[test]
fn what_differs_in_the_first_answer_is_told_whatever_follows() {
    let t = beside(ASTERISK.1);
    let question = asked(&t, "front-desk", OK);
    t.call.answer(&question, &sdp_with("pbx", 2, "m=audio 4444 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.call.expect("ACK");
    let told = t.leg.expect("INVITE");
    assert!(told.body.contains("m=audio 4444"), "{told}");
    t.leg.answer(&told, &sdp("agent", 1));
    t.leg.expect("ACK");
    let again = question_again(&t.call);
    t.call.reply(&again, 503);
    t.call.expect("ACK");
    t.world.assert_ended("unknown");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn its_name_may_stand_in_a_response_or_in_the_notify_alone() {
    for in_notify in [false, true] {
        let t = Talking::with(&config());
        t.world.handoff("front-desk");
        let refer = t.call.expect("REFER");
        let server = [("Server", "Asterisk PBX 20.9.3")];
        t.call.reply_with(&refer, 202, if in_notify { &[] } else { &server }, "");
        match in_notify {
            true => notify_with(&t.call, ASTERISK, OK),
            false => t.call.notify_ok(OK, "terminated"),
        }
        let question = question(&t.call);
        is_gone(&t.call, &question);
        t.leg.expect_bye();
        t.world.assert_ended("unknown");
        t.world.assert_empty();
    }
}

#[test]
fn each_dialog_is_looked_at_by_itself() {
    let t = beside(ASTERISK.1);
    t.caller_hangs_up();
    let call = t.pbx.invite(crate::common::peer::NUMBER);
    let leg = crate::common::peer::establish(&call, &t.agent);
    t.world.handoff("front-desk");
    let refer = call.expect("REFER");
    call.reply(&refer, 202);
    call.notify_ok(OK, "terminated");
    call.expect_bye();
    leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn what_is_written_goes_before_what_is_seen() {
    for key in ["profile = \"generic\"", "notify_200 = \"reported\""] {
        let config = Config::default().trunk_key(key);
        let t = Talking::by(&config, |invite| invite.header(ASTERISK.0, ASTERISK.1));
        accepted(&t, "front-desk");
        t.call.notify_ok(OK, "terminated");
        t.both_get_bye();
        t.world.assert_ended("succeeded");
        t.world.assert_empty();
    }
}

#[test]
fn a_name_that_is_seen_changes_nothing_on_the_wire() {
    let refer = |t: Talking| {
        let refer = accepted(&t, "front-desk");
        t.world.finish();
        let own = ["Via", "To", "From", "Call-ID"];
        let line = |line: &&str| !own.iter().any(|name| line.starts_with(name));
        refer.text.lines().filter(line).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(refer(beside(ASTERISK.1)), refer(Talking::with(&config())));
}

#[test]
fn the_first_call_warns_of_blind_refers_that_prove_nothing() {
    let t = beside(ASTERISK.1);
    t.caller_hangs_up();
    let call = t.pbx.calling(crate::common::peer::NUMBER).header(ASTERISK.0, ASTERISK.1).send();
    let leg = crate::common::peer::establish(&call, &t.agent);
    call.hang_up();
    leg.expect_bye();
    let told = t.world.lines("trunk.refer_unproven");
    assert_eq!(told.len(), 1, "{told:?}");
    let hint = "blind REFER on Asterisk cannot be known to have worked: use `invite` or `attended`";
    assert!(told[0].contains("WARN") && told[0].contains("trunk=pbx") && told[0].contains(hint), "{told:?}");
    t.world.assert_empty();
}

// An earlier transfer is in doubt.

/// The REFER of an earlier handoff was accepted, and nothing tells what came of it.
#[track_caller]
fn after_one_in_doubt() -> Talking {
    let t = beside("Asterisk PBX 22.10.1");
    accepted(&t, "front-desk");
    t.world.advance(s(61));
    t.world.assert_ended("unknown");
    t
}

fn ends(t: &Talking) -> Vec<&'static str> {
    t.world.ended_handoffs().iter().map(|handoff| handoff.state.as_str()).collect()
}

#[test]
fn a_404_after_a_transfer_in_doubt_does_not_say_that_the_caller_never_left() {
    let t = after_one_in_doubt();
    accepted(&t, "front-desk");
    t.call.notify_ok("SIP/2.0 404 Not Found\r\n", "terminated");
    let question = question(&t.call);
    is_gone(&t.call, &question);
    t.leg.expect_bye();
    assert_eq!(ends(&t), ["unknown", "unknown"]);
    t.world.assert_empty();
}

#[test]
fn nor_does_a_refusal_of_the_refer() {
    let t = after_one_in_doubt();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 404);
    let question = question(&t.call);
    is_there(&t.call, &question);
    let again = question_again(&t.call);
    is_there(&t.call, &again);
    t.world.advance(ms(500));
    assert_eq!(ends(&t), ["unknown", "returned"]);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_bye_while_the_next_target_rings_is_not_abandoned_then() {
    let t = after_one_in_doubt();
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("called");
    let target = desk.expect_call();
    target.reply(&target.invite(), 180);
    t.call.hang_up();
    t.leg.expect_bye();
    assert_eq!(ends(&t), ["unknown", "unknown"]);
    t.world.finish();
}

#[test]
fn a_dialog_that_is_forgotten_is_asked_about_once() {
    // Caller and agent are left alone when all time is up.
    let table = "[destination.hurried]\nroute = \"sip:desk@10.0.0.30\"\non_failure = { unknown = [\"invite\", \"agent\"] }\ntimeouts = { response = \"1s\", outcome = \"1s\", total = \"2s\" }\n";
    let t = Talking::with(&Config::default().destination(table));
    let desk = t.world.peer("desk", DESK);
    accepted(&t, "hurried");
    t.world.advance(s(1));
    let target = desk.expect_call();
    t.world.advance(ms(900));
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    let question = question(&t.call);
    t.call.reply(&question, 481);
    t.call.expect("ACK");
    let check = t.call.expect("OPTIONS");
    t.call.reply(&check, 481);
    t.leg.expect_bye();
    t.world.assert_ended("unknown");
    t.call.expect_bye();
    t.world.assert_empty();
}

/// The 2xx to it comes when another REFER has been refused and another target rings.
#[test]
fn a_refer_that_is_taken_late_is_open_when_the_caller_leaves() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let second = t.world.peer("second", "10.0.0.31:5060");
    t.world.handoff("silent");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let refer = t.call.expect_within("REFER", s(1));
    let other = t.call.expect_within("REFER", s(3));
    t.call.reply(&other, 480);
    let rings = second.expect_call();
    rings.reply(&rings.invite(), 180);
    t.call.reply(&refer, 202);
    t.call.hang_up();
    let cancel = rings.expect("CANCEL");
    rings.reply(&cancel, 200);
    rings.reply(&rings.invite(), 487);
    rings.expect("ACK");
    t.leg.expect_bye_within(s(2));
    target.expect_bye_within(s(120));
    t.world.assert_ended("unknown");
    t.world.assert_empty();
}

/// The failure is told between two handoffs, and the next one's target answers.
#[test]
fn a_failure_that_is_told_between_two_handoffs_makes_the_next_join_careful() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let refer = unanswered(&t);
    t.call.reply(&refer, 202);
    t.call.notify_ok(UNAVAILABLE, "terminated");
    t.world.handoff("called");
    let (target, offer) = desk_answers(&t, &desk);
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.advance(ms(300));
    t.call.hang_up();
    target.expect_bye();
    t.leg.expect_bye();
    t.world.settle();
    assert_eq!(t.world.ended_handoffs()[1].cause.as_deref(), Some("lost_by_receiver"));
    t.world.assert_empty();
}

/// The first failure was told, and the caller's side did not say whether it still had the caller.
#[test]
fn who_did_not_say_where_the_caller_is_is_asked_again_by_the_next_handoff() {
    let t = Talking::new();
    let unsaid = asked(&t, "front-desk", BUSY);
    t.world.advance(s(4));
    t.world.assert_ended("unknown");
    t.call.answer(&unsaid, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 403);
    let question = question(&t.call);
    is_gone(&t.call, &question);
    t.leg.expect_bye();
    t.world.settle();
    assert_eq!(t.world.ended_handoffs()[1].state.as_str(), "failed");
    t.world.assert_empty();
}

/// An earlier one is open still, so that nobody is to be found who talks with the caller; but gone they may be.
#[test]
fn a_failure_that_is_told_beside_another_doubt_is_remembered_too() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("front-desk");
    t.call.expect("REFER");
    t.world.advance(s(9));
    t.world.handoff("front-desk");
    let second = t.call.expect("REFER");
    t.world.advance(s(9));
    t.call.reply(&second, 202);
    t.call.notify_event(&format!("refer;id={}", second.cseq().0), UNAVAILABLE, "terminated");
    t.call.expect(200);
    t.world.handoff("called");
    let (target, offer) = desk_answers(&t, &desk);
    is_gone(&t.call, &offer);
    target.expect_bye();
    t.leg.expect_bye();
    t.world.settle();
    assert_eq!(t.world.ended_handoffs()[2].cause.as_deref(), Some("lost_by_receiver"));
    t.world.assert_empty();
}

/// Silence is no refusal: what was never answered may have been carried out.
#[test]
fn after_a_refer_that_nobody_answered_the_next_handoff_asks_before_it_returns() {
    let t = Talking::new();
    unanswered(&t);
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 404);
    let question = question(&t.call);
    is_gone(&t.call, &question);
    t.leg.expect_bye();
    t.world.settle();
    // That BYE is no goodbye of the caller's: Asterisk answers so in a dialog that it has taken the caller out of.
    assert_eq!(t.world.ended_handoffs()[1].state.as_str(), "unknown");
    t.world.assert_empty();
}

/// What a proxy says of a REFER whose end a NOTIFY has told is not the receiver's word.
#[test]
fn a_late_408_to_a_refer_that_was_told_of_leaves_the_doubt() {
    for late in [408, 503] {
        let t = Talking::with(&Config::default().trunk_key("notify_200 = \"accepted\""));
        t.world.handoff("front-desk");
        let refer = t.call.expect("REFER");
        t.call.notify_ok(OK, "terminated");
        t.call.keeps_caller();
        t.world.advance(s(1));
        t.world.assert_ended("unknown");
        t.call.reply(&refer, late);
        t.world.handoff("front-desk");
        let second = t.call.expect("REFER");
        t.call.reply(&second, 404);
        let again = question(&t.call);
        is_gone(&t.call, &again);
        t.leg.expect_bye();
        t.world.settle();
        assert_eq!(t.world.ended_handoffs()[1].state.as_str(), "unknown", "{late}");
        t.world.assert_empty();
    }
}

/// It works on it, and has no dialog to tell the result in any more.
#[test]
fn a_leg_that_is_lost_while_its_refer_is_open_has_not_failed() {
    let t = Talking::with(&config());
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    let info = t.call.expect("INFO");
    accepted(&t, "front-desk");
    t.call.reply(&info, 481);
    t.leg.expect(480);
    let check = t.call.expect("OPTIONS");
    t.call.reply(&check, 481);
    t.both_get_bye();
    t.world.assert_ended("unknown");
    t.world.assert_empty();
}

/// No failure was told of either: where the caller is, nobody knows.
#[test]
fn a_leg_that_is_lost_while_an_earlier_refer_is_open_has_not_failed() {
    for second_is_accepted in [true, false] {
        let t = Talking::with(&config());
        let first = unanswered(&t);
        t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
        let info = t.call.expect("INFO");
        t.world.handoff("front-desk");
        let second = t.call.expect("REFER");
        t.call.reply(&first, 202);
        if second_is_accepted {
            t.call.reply(&second, 202);
        }
        t.call.reply(&info, 481);
        t.leg.expect(480);
        let check = t.call.expect("OPTIONS");
        t.call.reply(&check, 481);
        t.both_get_bye();
        t.world.settle();
        let handoff = &t.world.ended_handoffs()[1];
        assert_eq!(handoff.state.as_str(), "unknown", "{handoff:#?}");
        t.world.assert_empty();
    }
}

/// The caller's side answers for somebody who is gone, and its BYE follows.
#[test]
fn a_bye_after_a_join_with_a_fresh_offer_is_waited_for() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    unanswered(&t);
    t.world.handoff("called");
    let target = desk.expect_call();
    target.reply(&target.invite(), 488);
    target.expect("ACK");
    let asked = t.call.expect("INVITE");
    t.call.answer(&asked, &sdp("pbx", 2));
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    t.call.expect("ACK");
    assert_eq!(t.world.ended_handoffs().len(), 1);
    t.call.hang_up();
    target.expect_bye();
    t.leg.expect_bye();
    t.world.settle();
    assert_ne!(t.world.ended_handoffs()[1].state.as_str(), "succeeded");
    t.world.assert_empty();
}

/// The caller's side answers the re-INVITE of a join by a BYE, as it would for somebody whom it has moved.
#[test]
fn a_bye_in_the_join_after_a_refer_that_nobody_answered_is_not_abandoned() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    unanswered(&t);
    t.world.handoff("called");
    let (target, offer) = desk_answers(&t, &desk);
    is_gone(&t.call, &offer);
    target.expect_bye();
    t.leg.expect_bye();
    t.world.settle();
    assert_eq!(t.world.ended_handoffs()[1].state.as_str(), "unknown");
    t.world.assert_empty();
}

/// A transfer whose result nobody knows has four ways to be so, and each has its own next step, in the log and in the API.
#[test]
fn each_way_of_not_knowing_has_its_own_next_step() {
    let silent = Talking::with(&config());
    unanswered(&silent);
    let untold = Talking::with(&config());
    accepted(&untold, "front-desk");
    untold.world.advance(s(61));
    let ended = Talking::with(&config());
    accepted(&ended, "front-desk");
    ended.call.notify_ok("SIP/2.0 100 Trying\r\n", "terminated");
    let gone = Talking::with(&config());
    accepted(&gone, "front-desk");
    gone.call.hang_up();
    gone.leg.expect_bye();
    let all = [
        (silent, "Nobody answered the REFER"),
        (untold, "no NOTIFY told"),
        (ended, "without a result"),
        (gone, "hung up"),
    ];
    for (t, step) in all {
        t.world.advance(s(62));
        let handoff = t.world.assert_ended("unknown");
        assert!(handoff.explain.next_step.contains(step), "{step}: {:?}", handoff.explain);
        let told = t.world.lines("handoff.attempt_failed");
        assert!(told[0].contains(step), "{told:?}");
        t.world.finish();
    }
}

//! A REFER that was given up cannot be taken back, but it is not sent any more; and who answers 408 or 504 to one has
//! only heard nothing, as Baton has.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{Leg, Talking, sdp};
use crate::common::{Command, HandoffRequest, ms, s};
use std::rc::Rc;

const DESK: &str = "10.0.0.30:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";
const TABLE: &str = r#"
[destination.brave]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["invite"], default = ["agent"] }

[destination.plain]
route = "sip:desk@10.0.0.30"
on_failure = ["invite", "agent"]

[destination.again]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["other"], default = ["agent"] }
[destination.other]
route = "sip:me@10.0.0.31"
"#;
const CHALLENGE: &str = "Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";

fn config() -> Config {
    Config::default().destination(TABLE)
}

/// The REFER was given up, and the next step's target rings.
fn given_up() -> (Talking, Rc<Message>, Leg) {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("brave");
    let refer = t.call.expect("REFER");
    t.world.advance(s(8));
    let target = desk.expect_call();
    target.reply(&target.invite(), 180);
    (t, refer, target)
}

/// The target answers, and the caller gets it.
fn joined(t: &Talking, target: &Leg) {
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
}

fn over(t: &Talking, target: &Leg) {
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn no_copy_of_it_follows() {
    let (t, _refer, target) = given_up();
    let copies = t.pbx.retransmissions();
    joined(&t, &target);
    t.pbx.expect_silence(s(32));
    assert_eq!(t.pbx.retransmissions(), copies, "copies of the REFER after it was given up");
    t.world.assert_ended("succeeded");
    over(&t, &target);
}

#[test]
fn a_challenge_to_it_is_a_refusal() {
    for (status, ask) in [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")] {
        let (t, refer, target) = given_up();
        t.call.reply_with(&refer, status, &[(ask, CHALLENGE)], "");
        t.pbx.expect_silence(s(1));
        // It will not be carried out: nobody has to be listened to any more.
        t.call.notify(OK, "terminated");
        t.call.expect(481);
        joined(&t, &target);
        let handoff = t.world.assert_ended("succeeded");
        assert_eq!(
            (handoff.attempts[0].status, handoff.attempts[0].cause.as_deref()),
            (Some(status), Some("refused"))
        );
        over(&t, &target);
    }
}

#[test]
fn a_refusal_that_comes_late_ends_the_doubt() {
    let (t, refer, target) = given_up();
    t.call.reply(&refer, 603);
    t.call.notify(OK, "terminated");
    t.call.expect(481);
    joined(&t, &target);
    let first = &t.world.assert_ended("succeeded").attempts[0];
    assert_eq!((first.status, first.cause.as_deref()), (Some(603), Some("refused")));
    assert_eq!(first.origin, Some(baton::sip::Origin::Remote));
    over(&t, &target);
}

#[test]
fn a_408_that_comes_late_does_not() {
    for status in [408, 504] {
        let (t, refer, target) = given_up();
        t.call.reply(&refer, status);
        t.call.notify_ok(OK, "terminated");
        let cancel = target.expect("CANCEL");
        target.reply(&cancel, 200);
        target.reply(&target.invite(), 487);
        target.expect("ACK");
        t.both_get_bye();
        t.world.assert_ended("succeeded");
        t.world.assert_empty();
    }
}

/// The agent has left with its decision, and the REFER that nobody had answered is refused in the end.
#[test]
fn a_late_refusal_does_not_leave_the_caller_alone() {
    let t = Talking::new();
    t.leg.bye_with(&[("X-Handoff", "queue")]);
    t.leg.expect(200);
    let refer = t.call.expect("REFER");
    t.world.advance(s(9));
    t.world.assert_ended("unknown");
    t.call.reply(&refer, 403);
    let fallback = t.call.expect("REFER");
    assert!(fallback.header("Refer-To").contains("+14155550123"), "{fallback}");
    t.call.reply(&fallback, 403);
    t.call.expect_bye();
    t.world.assert_empty();
}

#[test]
fn nor_does_it_disturb_an_agent() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.world.advance(s(9));
    t.call.reply(&refer, 403);
    t.pbx.expect_silence(s(2));
    t.agent.expect_silence(s(2));
    t.call.notify(OK, "terminated");
    t.call.expect(481);
    t.caller_hangs_up();
    t.world.assert_ended("unknown");
    t.world.assert_empty();
}

#[test]
fn total_time_gives_it_up_as_well() {
    let t = Talking::with(&config());
    t.world.handoff("hasty");
    t.call.expect("REFER");
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.world.advance(s(11));
    t.world.assert_ended("unknown");
    let copies = t.pbx.retransmissions();
    t.world.advance(s(30));
    assert_eq!(t.pbx.retransmissions(), copies);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_failure_that_is_told_before_the_202_ends_it() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    t.call.expect("REFER");
    t.call.notify_ok("SIP/2.0 404 Not Found\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(s(5));
    t.world.assert_ended("returned");
    assert_eq!(t.pbx.retransmissions(), 0, "copies of the REFER after its result was known");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_leg_that_is_closed_sends_no_copy_after_its_bye() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    t.call.expect("REFER");
    t.world.command(Command::HangUp { call: t.world.call_id() });
    t.both_get_bye();
    t.pbx.expect_silence(s(31));
    assert_eq!(t.pbx.retransmissions(), 0);
    // The receiver may have it, and nothing tells what it makes of it.
    t.world.assert_ended("unknown");
    t.world.assert_empty();
}

#[test]
fn a_leg_that_was_closed_by_the_peer_sends_no_copy_either() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    t.call.expect("REFER");
    t.caller_hangs_up();
    t.pbx.expect_silence(s(31));
    assert_eq!(t.pbx.retransmissions(), 0);
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn a_second_refer_is_not_sent_on_once_the_first_has_spoken() {
    let t = Talking::with(&config().trunk_key("notify_200 = \"reported\""));
    t.world.handoff("again");
    let first = t.call.expect("REFER");
    t.call.reply(&first, 202);
    t.world.advance(s(61));
    t.call.expect("REFER");
    t.call.notify_event(&format!("refer;id={}", first.cseq().0), OK, "active");
    t.call.expect(200);
    t.both_get_bye();
    let copies = t.pbx.retransmissions();
    t.pbx.expect_silence(s(31));
    assert_eq!(t.pbx.retransmissions(), copies);
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_proxys_408_to_a_refer_is_silence() {
    for status in [408, 504] {
        let t = Talking::with(&config());
        t.world.handoff("plain");
        let refer = t.call.expect("REFER");
        t.call.reply(&refer, status);
        t.world.advance(ms(600));
        let handoff = t.world.assert_ended("unknown");
        let attempt = &handoff.attempts[0];
        assert_eq!((attempt.status, attempt.cause.as_deref()), (Some(status), Some("unknown")));
        assert_eq!(attempt.origin, Some(baton::sip::Origin::Remote));
        assert_eq!((handoff.attempts.len(), handoff.proof), (1, None), "no step of `default` is taken");
        // It had it all along.
        t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
        t.call.notify_ok(OK, "terminated");
        t.both_get_bye();
        t.world.assert_empty();
    }
}

#[test]
fn what_is_tried_for_silence_is_tried_for_a_proxys_408() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("brave");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 408);
    let target = desk.expect_call();
    joined(&t, &target);
    t.world.assert_ended("succeeded");
    over(&t, &target);
}

#[test]
fn the_busy_of_the_second_refer_is_not_taken_for_the_firsts() {
    // pjsip and Asterisk never write an id.
    let t = Talking::new();
    t.world.handoff("front-desk");
    let first = t.call.expect("REFER");
    t.call.reply(&first, 202);
    t.world.advance(s(61));
    t.world.handoff_with(HandoffRequest { destination: Some("queue".into()), ..Default::default() });
    let second = t.call.expect("REFER");
    t.call.reply(&second, 202);
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated;reason=noresource");
    t.call.still_has_caller();
    t.world.advance(ms(600));
    let ended: Vec<_> =
        t.world.ended_handoffs().iter().map(|h| (h.state.as_str(), h.cause.clone())).collect();
    assert_eq!(ended, [("unknown", Some("unknown".into())), ("returned", Some("busy".into()))]);
    // What is told after that belongs to neither: the first is past its time, the second had its last.
    t.call.notify(OK, "terminated");
    t.call.expect(481);
    t.agent.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_second_refer_that_is_refused_leaves_the_first_to_be_heard() {
    let t = Talking::new();
    t.world.handoff("front-desk");
    let first = t.call.expect("REFER");
    t.call.reply(&first, 202);
    t.world.advance(s(61));
    t.world.handoff("queue");
    let second = t.call.expect("REFER");
    t.call.reply(&second, 603);
    t.call.still_has_caller();
    t.world.advance(s(1));
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_empty();
}

/// A datagram is too short for it, and nothing answers by TCP: a firewall drops that.
fn too_long(response: &str) -> Talking {
    let table = format!("{TABLE}\n[destination.plain.timeouts]\nresponse = \"{response}\"\n");
    let t = Talking::with(&Config::default().destination(&table));
    t.pbx.connects_after(s(5));
    let headers = [("X-Context".to_owned(), "c".repeat(1200))].into_iter().collect();
    t.world.handoff_with(HandoffRequest {
        destination: Some("plain".into()),
        headers,
        ..HandoffRequest::default()
    });
    t
}

#[test]
fn one_that_waits_for_a_stream_never_leaves() {
    // Sooner than it would go by UDP.
    let t = too_long("800ms");
    let desk = t.world.peer("desk", DESK);
    t.world.advance(ms(800));
    // It is sure that nobody has it, so that the step of `default` is taken.
    let target = desk.expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    t.pbx.expect_silence(s(40));
    let handoff = t.world.assert_ended("returned");
    let first = &handoff.attempts[0];
    assert_eq!((first.status, first.cause.as_deref()), (Some(503), Some("unreachable")));
    assert_eq!(first.origin, Some(baton::sip::Origin::Local));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn one_that_can_still_leave_by_udp_does() {
    let t = too_long("8s");
    let refer = t.call.expect_within("REFER", s(2));
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn total_time_takes_it_back_as_well() {
    let table = format!("{TABLE}\n[destination.plain.timeouts]\nresponse = \"800ms\"\ntotal = \"800ms\"\n");
    let t = Talking::with(&Config::default().destination(&table));
    t.pbx.connects_after(s(5));
    let headers = [("X-Context".to_owned(), "c".repeat(1200))].into_iter().collect();
    t.world.handoff_with(HandoffRequest { destination: Some("plain".into()), headers, ..Default::default() });
    t.world.advance(s(3));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("unreachable"));
    t.pbx.expect_silence(s(40));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A call over TCP whose stream has broken, so that the REFER needs a new one.
fn by_a_new_stream(response: &str) -> (Talking, crate::common::peer::Peer) {
    let table = format!("{TABLE}\n[destination.plain.timeouts]\nresponse = \"{response}\"\n");
    let config = Config::default().destination(&table).pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let t = Talking::at(&config, "tcp:10.0.0.5:5060", |invite| invite);
    let pbx = t.pbx.clone();
    pbx.connects_after(s(4));
    pbx.closes_connection();
    t.world.handoff("plain");
    (t, pbx)
}

#[test]
fn one_that_waits_for_a_new_stream_never_leaves() {
    let (t, pbx) = by_a_new_stream("2s");
    let desk = t.world.peer("desk", DESK);
    t.world.advance(s(2));
    let target = desk.expect_call();
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    pbx.expect_silence(s(40));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn one_that_has_left_by_then_is_in_doubt() {
    let (t, pbx) = by_a_new_stream("6s");
    pbx.expect_within("REFER", s(5));
    t.world.advance(s(3));
    t.world.assert_ended("unknown");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_call_that_ends_takes_it_back() {
    let (t, pbx) = by_a_new_stream("8s");
    t.world.advance(s(1));
    t.world.command(Command::HangUp { call: t.world.call_id() });
    t.leg.expect_bye();
    let bye = pbx.expect_within("BYE", s(5));
    t.call.reply(&bye, 200);
    t.world.assert_ended("failed");
    t.world.assert_empty();
}

#[test]
fn no_copy_of_it_leaves_in_the_moment_in_which_it_is_given_up() {
    // The third one is due 1.5 s after the first.
    let table = "[destination.brief]\nroute = \"sip:desk@10.0.0.30\"\ntimeouts = { response = \"1500ms\" }\n";
    let t = Talking::with(&Config::default().destination(table));
    t.world.handoff("brief");
    t.call.expect("REFER");
    t.world.advance(s(1));
    assert_eq!(t.pbx.retransmissions(), 1);
    t.world.advance(ms(600));
    t.world.assert_ended("unknown");
    assert_eq!(t.pbx.retransmissions(), 1, "a copy of what was given up");
    t.caller_hangs_up();
    t.world.assert_empty();
}

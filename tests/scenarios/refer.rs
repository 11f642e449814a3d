//! REFER handoffs: what goes on the wire, and how each answer ends.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{Leg, Talking};
use crate::common::{T1X64, ms, s};
use baton::call::event::EventKind;
use baton::call::record::Role;
use std::rc::Rc;

const OK: &str = "SIP/2.0 200 OK\r\n";
const TRYING: &str = "SIP/2.0 100 Trying\r\n";

/// A call with a REFER on its way to the PBX.
fn referred() -> (Talking, Rc<Message>) {
    referred_to(&Config::default(), "front-desk")
}

fn referred_to(config: &Config, destination: &str) -> (Talking, Rc<Message>) {
    let t = Talking::with(config);
    t.world.handoff(destination);
    let refer = t.call.expect("REFER");
    (t, refer)
}

/// The caller and the agent still talk, and then say goodbye.
fn still_together(t: &Talking) {
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_refer_succeeds() {
    let (t, refer) = referred();
    assert_eq!(refer.header("Refer-To"), "<sip:+14155550123@10.0.0.5>");
    assert_eq!(refer.header("Referred-By"), "<sip:+14155550100@192.0.2.10>");
    assert_eq!(refer.header("X-Caller-ID"), "+14155550199");
    assert_eq!(refer.header("X-Language"), "en");
    assert_eq!(refer.uri(), "sip:pbx@10.0.0.5:5060");
    t.call.reply(&refer, 202);
    t.call.notify_ok(TRYING, "active;expires=60");
    t.world.assert_running();
    t.agent.expect_silence(s(2));
    t.call.notify_ok(OK, "terminated;reason=noresource");
    t.both_get_bye();
    let handoff = t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("reported"));
    assert_eq!(handoff.cause, None);
    let attempt = &handoff.attempts[0];
    assert_eq!((attempt.status, attempt.final_status), (Some(202), Some(200)));
    assert_eq!(attempt.refer_to.as_deref(), Some("<sip:+14155550123@10.0.0.5>"));
    assert_eq!(attempt.sip_call_id.as_deref(), Some(&*t.call.call_id()));
    assert_eq!(t.world.complaints(), (0, 0));
    t.world.assert_empty();
}

#[test]
fn a_200_to_the_refer_is_as_good_as_a_202() {
    let (t, refer) = referred();
    t.call.reply(&refer, 200);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    assert_eq!(t.world.assert_ended("succeeded").attempts[0].status, Some(200));
    t.world.assert_empty();
}

#[test]
fn a_refer_follows_the_route_set() {
    let t =
        Talking::by(&Config::default(), |i| i.record_routes(&["<sip:10.0.0.5;lr>", "<sip:10.0.0.11;lr>"]));
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    assert_eq!(refer.list("Route"), ["<sip:10.0.0.5;lr>", "<sip:10.0.0.11;lr>"]);
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_result_comes_before_the_202() {
    let (t, refer) = referred();
    t.call.notify_ok(OK, "terminated");
    t.call.reply(&refer, 202);
    t.both_get_bye();
    assert_eq!(t.world.assert_ended("succeeded").proof.map(|p| p.as_str()), Some("reported"));
    t.world.assert_empty();
}

#[test]
fn progress_comes_before_the_202() {
    let (t, refer) = referred();
    t.call.notify_ok(TRYING, "active");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_notify_with_the_id_of_the_refer() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    let event = format!("refer;id={}", refer.cseq().0);
    t.call.notify_event(&event, OK, "terminated");
    t.call.expect(200);
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_notify_with_the_id_of_no_refer_is_481() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_event("refer;id=4711", OK, "terminated");
    t.call.expect(481);
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_notify_of_another_event_is_489() {
    let (t, refer) = referred();
    t.call.notify_event("message-summary", OK, "terminated");
    t.call.expect(489);
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_sipfrag_may_be_a_bare_status_line() {
    for frag in ["SIP/2.0 200 OK", "SIP/2.0 200 OK\r\n", "SIP/2.0 200 OK\r\nContact: <sip:desk@10.0.0.5>\r\n"]
    {
        let (t, refer) = referred();
        t.call.reply(&refer, 202);
        t.call.notify_ok(frag, "terminated");
        t.both_get_bye();
        t.world.assert_ended("succeeded");
        t.world.assert_empty();
    }
}

#[test]
fn no_notify_at_all_is_unknown_and_the_legs_stay_up() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.agent.expect_silence(s(59));
    t.world.assert_running();
    t.world.advance(s(2));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.cause.as_deref(), Some("unknown"));
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    assert_eq!(t.world.complaints(), (1, 0));
    still_together(&t);
}

#[test]
fn terminated_without_a_status_is_unknown() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok(TRYING, "active");
    t.call.notify_ok("", "terminated;reason=timeout");
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.attempts[0].final_status, None);
    still_together(&t);
}

#[test]
fn terminated_with_only_a_provisional_status_is_unknown() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok(TRYING, "terminated;reason=noresource");
    t.world.assert_ended("unknown");
    still_together(&t);
}

#[test]
fn each_provisional_notify_gives_the_outcome_more_time() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.world.advance(s(50));
    t.call.notify_ok(TRYING, "active");
    t.world.advance(s(50));
    t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
    t.world.advance(s(50));
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn no_provisional_notify_gives_more_than_180_seconds() {
    let (t, refer) = referred_to(&Config::default(), "patient");
    t.call.reply(&refer, 202);
    for _ in 0..5 {
        t.world.advance(s(35));
        t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
    }
    t.world.assert_running();
    t.world.advance(s(6));
    t.world.assert_ended("unknown");
    still_together(&t);
}

#[test]
fn the_total_time_ends_a_handoff() {
    let (t, refer) = referred_to(&Config::default(), "hasty");
    t.call.reply(&refer, 202);
    t.world.advance(s(4));
    t.call.notify_ok(TRYING, "active");
    t.world.advance(s(5));
    t.world.assert_running();
    t.world.advance(s(2));
    t.world.assert_ended("unknown");
    still_together(&t);
}

#[test]
fn a_200_that_proves_nothing_is_unknown_however_often_it_comes() {
    let (t, refer) = referred_to(&Config::default().trunk_key("notify_200 = \"accepted\""), "front-desk");
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "active;expires=60");
    t.call.keeps_caller();
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("unknown");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("accepted"));
    // The receiver may say it again when it ends the subscription: the legs stay up all the same.
    t.call.notify_ok(OK, "terminated;reason=noresource");
    t.agent.expect_silence(s(10));
    still_together(&t);
}

#[test]
fn silence_is_unknown_after_the_response_time() {
    let (t, _refer) = referred();
    t.world.advance(ms(7900));
    t.world.assert_running();
    t.world.advance(ms(200));
    let handoff = t.world.assert_ended("unknown");
    let attempt = &handoff.attempts[0];
    assert_eq!(attempt.status, Some(408));
    assert_eq!(attempt.origin, Some(baton::sip::Origin::Local));
    assert_eq!(handoff.proof, None);
    t.world.advance(T1X64);
    // A REFER's own timeout never ends the caller leg.
    still_together(&t);
}

#[test]
fn a_late_success_still_moves_the_caller() {
    let (t, refer) = referred();
    t.world.advance(s(9));
    t.world.assert_ended("unknown");
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    // The outcome was told once; the caller is with the target, so both legs go.
    t.both_get_bye();
    t.world.assert_empty();
}

#[test]
fn a_refusal_returns_the_caller() {
    for status in [403, 405, 501, 603] {
        let (t, refer) = referred();
        t.call.reply(&refer, status);
        t.world.advance(ms(600));
        let handoff = t.world.assert_ended("returned");
        assert_eq!(handoff.cause.as_deref(), Some("refused"), "{status}");
        assert_eq!(handoff.attempts[0].status, Some(status));
        assert_eq!(handoff.attempts[0].origin, Some(baton::sip::Origin::Remote));
        assert_eq!(handoff.proof, None);
        assert_eq!(t.world.complaints(), (1, 0));
        still_together(&t);
    }
}

#[test]
fn a_reported_failure_returns_the_caller() {
    let causes = [
        (486, "busy"),
        (600, "busy"),
        (603, "busy"),
        (404, "unreachable"),
        (410, "unreachable"),
        (484, "unreachable"),
        (604, "unreachable"),
        (503, "unreachable"),
        (408, "no_answer"),
        (480, "no_answer"),
        (487, "no_answer"),
        (403, "refused"),
        (501, "refused"),
        (500, "failed"),
    ];
    for (status, cause) in causes {
        let (t, refer) = referred();
        t.call.reply(&refer, 202);
        t.call.notify_ok(&format!("SIP/2.0 {status} Whatever\r\n"), "terminated;reason=noresource");
        t.call.still_has_caller();
        t.world.assert_running();
        t.world.advance(ms(600));
        let handoff = t.world.assert_ended("returned");
        assert_eq!(handoff.cause.as_deref(), Some(cause), "{status}");
        assert_eq!(handoff.attempts[0].final_status, Some(status));
        assert_eq!(handoff.attempts[0].status, Some(202));
        still_together(&t);
    }
}

#[test]
fn a_second_handoff_after_a_failed_one() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.world.handoff("front-desk");
    let again = t.call.expect("REFER");
    // Between them stands the re-INVITE that asked.
    assert_eq!(again.cseq().0, refer.cseq().0 + 2);
    t.call.reply(&again, 202);
    t.call.notify_event(&format!("refer;id={}", again.cseq().0), OK, "terminated");
    t.call.expect(200);
    t.both_get_bye();
    t.world.settle();
    assert_eq!(t.world.ended_handoffs()[1].state.as_str(), "succeeded");
    t.world.assert_empty();
}

#[test]
fn a_caller_put_through_and_lost_by_the_receiver() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(300));
    t.call.hang_up();
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.cause.as_deref(), Some("lost_by_receiver"));
    assert_eq!(t.world.complaints().1, 1, "the one ERROR");
    t.world.assert_empty();
}

#[test]
fn a_caller_that_stays_500_ms_is_returned() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(499));
    t.world.assert_running();
    t.world.advance(ms(2));
    t.world.assert_ended("returned");
    still_together(&t);
}

#[test]
fn a_challenge_is_answered_with_digest() {
    for (status, ask, answer) in
        [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")]
    {
        let (t, refer) = referred();
        let challenge = "Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";
        t.call.reply_with(&refer, status, &[(ask, challenge)], "");
        let again = t.call.expect("REFER");
        assert_eq!(again.cseq().0, refer.cseq().0 + 1);
        assert_ne!(again.branch(), refer.branch());
        assert_eq!(again.header("Refer-To"), refer.header("Refer-To"));
        crate::common::digest::assert_right(again.header(answer), "REFER", "baton", "s3cret", "pbx", "n1");
        t.call.reply(&again, 202);
        t.call.notify_ok(OK, "terminated");
        t.both_get_bye();
        assert_eq!(t.world.assert_ended("succeeded").attempts[0].status, Some(202));
        t.world.assert_empty();
    }
}

#[test]
fn of_two_challenges_the_stronger_is_answered() {
    let (t, refer) = referred();
    let weak = "Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";
    let strong = "Digest realm=\"pbx\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256";
    t.call.reply_with(&refer, 401, &[("WWW-Authenticate", weak), ("WWW-Authenticate", strong)], "");
    let again = t.call.expect("REFER");
    crate::common::digest::assert_right(
        again.header("Authorization"),
        "REFER",
        "baton",
        "s3cret",
        "pbx",
        "n2",
    );
    t.call.reply(&again, 603);
    t.world.advance(ms(600));
    assert_eq!(t.world.assert_ended("returned").attempts[0].status, Some(603), "after authentication");
    still_together(&t);
}

#[test]
fn a_challenge_is_answered_once_and_again_only_when_stale() {
    let (t, refer) = referred();
    t.call.reply_with(&refer, 401, &[("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n1\"")], "");
    let second = t.call.expect("REFER");
    t.call.reply_with(
        &second,
        401,
        &[("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n2\", stale=true")],
        "",
    );
    let third = t.call.expect("REFER");
    t.call.reply_with(&third, 401, &[("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n3\"")], "");
    t.call.peer.expect_silence(ms(600));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("refused"));
    assert_eq!(handoff.attempts[0].status, Some(401));
    still_together(&t);
}

#[test]
fn a_481_to_the_refer_is_checked_before_the_leg_is_given_up() {
    let (t, refer) = referred();
    t.call.reply(&refer, 481);
    let check = t.call.expect("OPTIONS");
    t.call.reply(&check, 200);
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    still_together(&t);
}

#[test]
fn a_second_481_ends_the_leg() {
    let (t, refer) = referred();
    t.call.reply(&refer, 481);
    let check = t.call.expect("OPTIONS");
    t.call.reply(&check, 481);
    let bye = t.call.expect("BYE");
    t.call.reply(&bye, 481);
    t.leg.expect_bye();
    let handoff = t.world.ended_handoffs().remove(0);
    assert!(["failed", "abandoned"].contains(&handoff.state.as_str()), "{handoff:#?}");
    t.world.assert_empty();
}

#[test]
fn a_peer_that_hangs_up_before_the_202_has_abandoned() {
    let (t, refer) = referred();
    t.call.hang_up();
    t.call.reply(&refer, 487);
    t.leg.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

fn hung_up_after_the_202() -> Talking {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.hang_up();
    t.agent.expect_silence(ms(990));
    t.leg.expect_bye_within(ms(20));
    t.world.assert_running();
    t
}

#[test]
fn a_success_may_be_told_after_the_peers_bye() {
    let t = hung_up_after_the_202();
    t.call.notify_ok(OK, "terminated");
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_487_after_the_peers_bye_is_abandoned() {
    let t = hung_up_after_the_202();
    t.call.notify_ok("SIP/2.0 487 Request Terminated\r\n", "terminated");
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn another_failure_after_the_peers_bye_is_failed() {
    let t = hung_up_after_the_202();
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.attempts[0].final_status, Some(486));
    t.world.assert_empty();
}

#[test]
fn nothing_after_the_peers_bye_is_unknown() {
    let t = hung_up_after_the_202();
    t.world.advance(s(58));
    t.world.assert_running();
    t.world.advance(s(3));
    t.world.assert_ended("unknown");
    t.world.assert_empty();
}

#[test]
fn a_failure_that_names_a_step_takes_it() {
    let (t, refer) = referred_to(&Config::default(), "hangup-on-failure");
    t.call.reply(&refer, 603);
    t.both_get_bye();
    let handoff = t.world.assert_ended("failed");
    assert_eq!(handoff.cause.as_deref(), Some("refused"));
    assert_eq!(t.world.complaints(), (1, 1), "Baton has hung up on the caller");
    t.world.assert_empty();
}

#[test]
fn a_failure_may_hand_the_call_back() {
    let (t, refer) = referred_to(&Config::default(), "bye-on-failure");
    t.call.reply(&refer, 603);
    let bye = t.call.expect_bye();
    assert_eq!(bye.header("X-Reason"), "escalated");
    assert_eq!(bye.header("Reason"), "SIP;cause=200;text=\"Handoff\"");
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("handed_back");
    assert_eq!(handoff.attempts.len(), 2);
    assert_eq!(handoff.attempts[1].method, "bye");
    assert_eq!(t.world.complaints(), (1, 0));
    t.world.assert_empty();
}

#[test]
fn steps_by_cause() {
    let (t, refer) = referred_to(&Config::default(), "by-cause");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    t.call.still_has_caller();
    t.call.expect_bye();
    t.leg.expect_bye();
    t.world.assert_ended("handed_back");
    t.world.assert_empty();
    let (t, refer) = referred_to(&Config::default(), "by-cause");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 404 Not Found\r\n", "terminated");
    t.call.still_has_caller();
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    still_together(&t);
}

#[test]
fn unknown_takes_no_step_of_a_plain_list() {
    let (t, refer) = referred_to(&Config::default(), "hangup-on-failure");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    t.world.assert_ended("unknown");
    still_together(&t);
}

#[test]
fn unknown_takes_a_step_where_it_is_named() {
    let (t, refer) = referred_to(&Config::default(), "hangup-on-unknown");
    t.call.reply(&refer, 202);
    t.call.expect_bye_within(s(61));
    t.leg.expect_bye();
    let handoff = t.world.ended_handoffs().remove(0);
    assert_eq!(handoff.cause.as_deref(), Some("unknown"));
    t.world.assert_empty();
}

#[test]
fn a_429_is_a_refusal_like_others() {
    let (t, refer) = referred();
    t.call.reply(&refer, 429);
    t.world.advance(ms(600));
    assert_eq!(t.world.assert_ended("returned").cause.as_deref(), Some("refused"));
    still_together(&t);
}

#[test]
fn a_tel_uri_is_referred_to_as_written() {
    let (t, refer) = referred_to(&Config::default(), "phone");
    assert_eq!(refer.header("Refer-To"), "<tel:+14155550177>");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    still_together(&t);
}

#[test]
fn the_caller_hangs_up_midway() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 180 Ringing\r\n", "active");
    t.call.hang_up();
    t.leg.expect_bye_within(ms(1100));
    t.call.notify_ok("SIP/2.0 487 Request Terminated\r\n", "terminated");
    t.world.assert_ended("abandoned");
    assert_eq!(t.world.complaints().1, 0);
    t.world.assert_empty();
}

#[test]
fn the_agent_says_goodbye_while_the_refer_runs() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.leg.hang_up();
    t.world.assert_running();
    t.call.notify_ok(OK, "terminated");
    t.call.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_agent_says_goodbye_and_the_refer_fails() {
    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.leg.hang_up();
    t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    t.call.still_has_caller();
    // Nobody is left to give the caller back to.
    t.call.expect_bye();
    t.world.assert_ended("failed");
    assert_eq!(t.world.complaints().1, 1);
    t.world.assert_empty();
}

/// For other files: a REFER that the receiver answers with 202 and this final status.
pub(super) fn conclude(call: &Leg, refer: &Message, sipfrag: &str) {
    call.reply(refer, 202);
    call.notify_ok(sipfrag, "terminated;reason=noresource");
}

/// What on-call staff have to look at is another thing each time.
#[test]
fn four_ways_of_not_knowing_are_four_lines() {
    let hint = |t: &Talking| {
        let hints = t.world.events().into_iter().filter_map(|what| match what {
            EventKind::AttemptFailed { hint, .. } => Some(hint),
            _ => None,
        });
        hints.last().expect("an attempt failed")
    };
    let (t, _refer) = referred();
    t.world.advance(s(9));
    assert!(hint(&t).starts_with("Nobody answered the REFER"), "{}", hint(&t));
    t.world.advance(T1X64);
    still_together(&t);

    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    assert!(hint(&t).contains("no NOTIFY told its result within"), "{}", hint(&t));
    still_together(&t);

    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 100 Trying\r\n", "terminated;reason=timeout");
    t.world.settle();
    assert!(hint(&t).starts_with("The receiver ended its NOTIFYs without a result"), "{}", hint(&t));
    still_together(&t);

    let (t, refer) = referred();
    t.call.reply(&refer, 202);
    t.call.bye_with(&[("Reason", "Q.850;cause=16"), ("Warning", "399 pbx \"moved\"")]);
    t.call.expect(200);
    t.leg.expect_bye_within(s(2));
    t.world.advance(s(61));
    assert!(hint(&t).starts_with("The caller's side hung up after it had accepted"), "{}", hint(&t));
    // And it is told how it did.
    let told = t.world.events().into_iter().find_map(|what| match what {
        EventKind::LegBye { role, goodbye, .. } => Some((role, goodbye)),
        _ => None,
    });
    let (role, goodbye) = told.expect("a goodbye");
    assert_eq!(
        (role, &*goodbye.method, goodbye.reason.as_deref()),
        (Role::Caller, "BYE", Some("Q.850;cause=16"))
    );
    assert_eq!(goodbye.warning.as_deref(), Some("399 pbx \"moved\""));
    let kept = &t.world.records()[0].call.legs;
    assert!(
        kept.iter().any(|leg| leg.role == Role::Caller && leg.goodbye.as_ref() == Some(&goodbye)),
        "{kept:#?}"
    );
    t.world.assert_empty();
}

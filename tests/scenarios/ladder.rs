//! `on_failure`: what follows a failed attempt, over methods and destinations, and what a late result changes.

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Peer, Talking, sdp};
use crate::common::{Command, HandoffRequest, Refusal, Reply, ms, s};
use std::rc::Rc;

const DESK: &str = "10.0.0.30:5060";
const MOBILE: &str = "10.0.0.31:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";
const TABLE: &str = r#"
[destination.ladder]
route = "sip:desk@10.0.0.30"
on_failure = ["invite", "mobile", "agent"]
[destination.ladder.headers]
X-From = "ladder"
X-How = "$method to $destination"
[destination.mobile]
method = "invite"
route = "sip:me@10.0.0.31"
[destination.mobile.headers]
X-How = "$method to $destination"

[destination.causes]
route = "sip:desk@10.0.0.30"
on_failure = { refused = ["invite"], busy = ["mobile", "bye"], no_answer = ["hangup"], default = ["agent"] }

[destination.nested]
method = "invite"
route = "sip:desk@10.0.0.30"
on_failure = ["picky", "mobile"]
[destination.picky]
method = "invite"
route = "sip:picky@10.0.0.30"
on_failure = { busy = ["last"] }
[destination.last]
method = "invite"
route = "sip:last@10.0.0.30"

[destination.led]
method = "invite"
route = "sip:desk@10.0.0.30"
on_failure = ["mine", "bye"]
[destination.mine]
method = "invite"
route = "sip:me@10.0.0.31"
on_failure = ["agent"]

[destination.brave]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["invite", "agent"], default = ["agent"] }

[destination.brave-mobile]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["mobile-refer"], default = ["agent"] }
[destination.mobile-refer]
route = "sip:me@10.0.0.31"

[destination.short]
method = "invite"
route = "sip:desk@10.0.0.30"
on_failure = ["mobile", "bye"]
timeouts = { ring = "30s", total = "10s" }

[destination.nested-not]
method = "invite"
route = "sip:desk@10.0.0.30"
on_failure = ["agent"]

[destination.strict-step]
route = "sip:desk@10.0.0.30"
on_failure = ["strict", "agent"]
[destination.strict]
method = "invite"
route = "sip:desk@10.0.0.30"
undefined = "refuse"
[destination.strict.headers]
X-Account = "$account"

[destination.proof]
method = "attended"
route = "sip:desk@10.0.0.30"
require = "proven"
on_failure = ["invite"]
"#;

fn config() -> Config {
    Config::default().destination(TABLE)
}

struct Stage {
    t: Talking,
    desk: Peer,
    mobile: Peer,
}

fn begin(destination: &str) -> Stage {
    let t = Talking::with(&config());
    let (desk, mobile) = (t.world.peer("desk", DESK), t.world.peer("mobile", MOBILE));
    t.world.handoff(destination);
    Stage { t, desk, mobile }
}

impl Stage {
    #[track_caller]
    fn refuse_refer(&self, status: u16) {
        let refer = self.t.call.expect("REFER");
        self.t.call.reply(&refer, status);
    }

    #[track_caller]
    fn refuse(&self, leg: &Leg, status: u16) {
        leg.reply(&leg.invite(), status);
        leg.expect("ACK");
    }

    /// The target answers and gets the caller; the agent is let go.
    #[track_caller]
    fn joined(&self, target: &Leg, agent: bool) {
        target.answer(&target.invite(), &sdp("target", 1));
        target.expect("ACK");
        let offer = self.t.call.expect("INVITE");
        assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("target", 1)));
        self.t.call.answer(&offer, &sdp("pbx", 1));
        self.t.call.expect("ACK");
        if agent {
            self.t.leg.expect_bye();
        }
        self.t.world.assert_ended("succeeded");
        self.t.call.hang_up();
        target.expect_bye();
        self.t.world.assert_empty();
    }

    /// The hint of the last WARN.
    fn hint(&self) -> String {
        let hints = self.t.world.events().into_iter().filter_map(|event| match event {
            baton::call::event::EventKind::AttemptFailed { hint, .. } => Some(hint),
            _ => None,
        });
        hints.last().expect("a WARN")
    }

    fn told(&self) -> Vec<String> {
        let events = self.t.world.events();
        events
            .into_iter()
            .filter_map(|event| match event {
                baton::call::event::EventKind::AttemptFailed { attempt, next, .. } => Some(format!(
                    "{} {} {} -> {next}",
                    attempt.destination,
                    attempt.method,
                    attempt.cause.as_deref().unwrap_or("?")
                )),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn refer_is_refused_and_the_same_route_is_called() {
    let stage = begin("ladder");
    stage.refuse_refer(403);
    let target = stage.desk.expect_call();
    assert_eq!(target.invite().header("X-From"), "ladder");
    assert_eq!(target.invite().header("X-How"), "invite to ladder");
    stage.joined(&target, true);
    assert_eq!(stage.told(), ["ladder refer refused -> invite"]);
}

#[test]
fn a_step_is_taken_even_where_a_decision_would_be_refused() {
    // `undefined = "refuse"` is for whoever decides, who can still do otherwise; nothing may stop what follows a failure.
    let stage = begin("strict-step");
    stage.refuse_refer(403);
    let target = stage.desk.expect_call();
    assert_eq!(target.invite().find("X-Account"), None);
    stage.joined(&target, true);
}

#[test]
fn down_to_the_agent() {
    let stage = begin("ladder");
    stage.refuse_refer(501);
    let target = stage.desk.expect_call();
    stage.refuse(&target, 486);
    let mobile = stage.mobile.expect_call();
    assert_eq!(mobile.invite().find("X-From"), None, "its own headers");
    assert_eq!(mobile.invite().header("X-How"), "invite to mobile");
    stage.refuse(&mobile, 480);
    stage.t.world.advance(ms(500));
    let handoff = stage.t.world.assert_ended("returned");
    assert_eq!(handoff.attempts.len(), 3);
    assert_eq!(&*handoff.destination, "ladder");
    let expected = [
        "ladder refer refused -> invite",
        "ladder invite busy -> mobile",
        "mobile invite no_answer -> agent",
    ];
    assert_eq!(stage.told(), expected);
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
}

#[test]
fn an_agent_that_has_gone_is_no_place_to_return_to() {
    let stage = begin("ladder");
    stage.refuse_refer(501);
    let target = stage.desk.expect_call();
    stage.t.leg.hang_up();
    stage.refuse(&target, 486);
    let mobile = stage.mobile.expect_call();
    stage.refuse(&mobile, 480);
    // The agent's fallback is the table's default, by REFER.
    let refer = stage.t.call.expect("REFER");
    assert!(refer.header("Refer-To").contains("+14155550123"));
    stage.t.call.reply(&refer, 202);
    stage.t.call.notify_ok(OK, "terminated");
    stage.t.call.expect_bye();
    let states: Vec<_> = stage.t.world.ended_handoffs().iter().map(|h| h.state.as_str()).collect();
    assert_eq!(states, ["failed", "succeeded"]);
    assert_eq!(stage.t.world.complaints().1, 0, "nobody was hurt");
    stage.t.world.assert_empty();
}

#[test]
fn an_agent_that_leaves_while_it_gets_the_caller_back_is_passed_over() {
    let stage = begin("led");
    let target = stage.desk.expect_call();
    stage.refuse(&target, 486);
    let mine = stage.mobile.expect_call();
    stage.refuse(&mine, 486);
    stage.t.world.advance(ms(100));
    stage.t.leg.hang_up();
    stage.t.call.expect_bye();
    stage.t.world.assert_ended("handed_back");
    assert_eq!(stage.told(), ["led invite busy -> mine", "mine invite busy -> agent"]);
    stage.t.world.assert_empty();
}

#[test]
fn what_has_failed_cannot_be_cancelled() {
    let stage = begin("nested-not");
    let target = stage.desk.expect_call();
    stage.refuse(&target, 486);
    let handoff = stage.t.world.call().handoffs[0].clone();
    let reply = stage.t.world.command(Command::CancelHandoff { handoff: handoff.to_string() });
    assert!(matches!(reply, Reply::Refused(Refusal::TooLate(_))), "{reply:?}");
    stage.t.world.advance(ms(500));
    stage.t.world.assert_ended("returned");
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
}

#[test]
fn nobody_answers_at_an_asterisk_that_says_603() {
    // `Dial` without an answer and then `Hangup()`: 603 with the cause of normal clearing.
    const REASON: (&str, &str) = ("Reason", "Q.850;cause=16");
    for (server, told) in
        [("Asterisk PBX 22.10.1", "no_answer -> hangup"), ("Cisco-SIPGateway/IOS-16.9", "busy -> mobile")]
    {
        let stage = begin("causes");
        stage.refuse_refer(403);
        let target = stage.desk.expect_call();
        target.reply_with(&target.invite(), 603, &[("Server", server), REASON], "");
        target.expect("ACK");
        assert_eq!(stage.told()[1], format!("causes invite {told}"), "{server}");
        stage.t.world.finish();
    }
}

#[test]
fn the_step_is_that_of_the_latest_cause() {
    let stage = begin("causes");
    stage.refuse_refer(403);
    let target = stage.desk.expect_call();
    stage.refuse(&target, 486);
    let mobile = stage.mobile.expect_call();
    stage.refuse(&mobile, 603);
    // Busy again: what was tried is not tried twice.
    stage.t.call.expect_bye();
    stage.t.leg.expect_bye();
    let handoff = stage.t.world.assert_ended("handed_back");
    assert_eq!(handoff.attempts.len(), 4);
    let expected =
        ["causes refer refused -> invite", "causes invite busy -> mobile", "mobile invite busy -> bye"];
    assert_eq!(stage.told(), expected);
    stage.t.world.assert_empty();
}

/// A gateway says 480 or 500 to many things, and its Reason tells which.
#[test]
fn the_cause_is_told_by_the_whole_answer() {
    for (status, header, cause) in [
        (480, ("Reason", "Q.850;cause=17;text=\"User busy\""), "busy"),
        (500, ("Reason", "Q.850;cause=19"), "no_answer"),
        (480, ("Reason", "Q.850;cause=1"), "unreachable"),
        (503, ("Reason", "SIP;cause=486"), "busy"),
        (500, ("Retry-After", "30"), "unreachable"),
    ] {
        let stage = begin("led");
        let target = stage.desk.expect_call();
        target.reply_with(&target.invite(), status, &[header], "");
        target.expect("ACK");
        let mine = stage.mobile.expect_call();
        assert_eq!(stage.told(), [format!("led invite {cause} -> mine")], "{status} {header:?}");
        stage.joined(&mine, true);
    }
}

#[test]
fn and_by_the_whole_sipfrag() {
    let stage = begin("causes");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.call.notify_ok("SIP/2.0 480 No\r\nReason: Q.850;cause=17\r\n", "terminated");
    stage.t.call.still_has_caller();
    let mobile = stage.mobile.expect_call();
    stage.joined(&mobile, true);
    assert_eq!(stage.told(), ["causes refer busy -> mobile"]);
}

#[test]
fn a_cause_that_hangs_up() {
    let stage = begin("causes");
    stage.refuse_refer(480);
    stage.t.call.expect_bye();
    stage.t.leg.expect_bye();
    stage.t.world.assert_ended("failed");
    assert_eq!(stage.t.world.complaints(), (1, 1));
    stage.t.world.assert_empty();
}

#[test]
fn a_destinations_own_steps_come_before_those_that_led_to_it() {
    let stage = begin("nested");
    let first = stage.desk.expect_call();
    stage.refuse(&first, 480);
    let picky = stage.desk.expect_call();
    assert_eq!(picky.invite().uri(), "sip:picky@10.0.0.30");
    stage.refuse(&picky, 486);
    let last = stage.desk.expect_call();
    assert_eq!(last.invite().uri(), "sip:last@10.0.0.30");
    stage.refuse(&last, 486);
    let mobile = stage.mobile.expect_call();
    stage.joined(&mobile, true);
    let expected =
        ["nested invite no_answer -> picky", "picky invite busy -> last", "last invite busy -> mobile"];
    assert_eq!(stage.told(), expected);
}

#[test]
fn unknown_is_followed_only_where_it_is_named() {
    let stage = begin("ladder");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    stage.t.world.assert_ended("unknown");
    stage.desk.expect_silence(s(1));
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
}

#[test]
fn unknown_goes_on_where_it_is_named() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let target = stage.desk.expect_call();
    stage.joined(&target, true);
    assert_eq!(stage.told(), ["brave refer unknown -> invite"]);
}

#[test]
fn a_late_success_takes_back_what_is_tried_since() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let target = stage.desk.expect_call();
    target.reply(&target.invite(), 180);
    stage.t.call.notify_ok(OK, "terminated");
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    stage.t.both_get_bye();
    let handoff = stage.t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("reported"));
    assert_eq!(handoff.cause, None);
    assert_eq!(handoff.attempts[0].final_status, Some(200));
    assert_eq!(handoff.attempts[0].cause, None);
    assert!(handoff.attempts.iter().all(|attempt| attempt.ended_at.is_some()));
    stage.t.world.assert_empty();
}

#[test]
fn a_late_202_counts_as_well_and_its_refer_is_waited_for_again() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.world.advance(s(9));
    let target = stage.desk.expect_call();
    target.reply(&target.invite(), 180);
    stage.t.call.reply(&refer, 202);
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    stage.t.world.assert_running();
    // It fails after all: the next step that was not tried yet, which is the agent.
    stage.t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    stage.t.call.still_has_caller();
    stage.t.world.advance(ms(500));
    let handoff = stage.t.world.assert_ended("returned");
    assert_eq!(handoff.attempts[0].final_status, Some(486));
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
}

#[test]
fn once_the_caller_is_being_joined_a_late_result_changes_nothing() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let target = stage.desk.expect_call();
    target.answer(&target.invite(), &sdp("target", 1));
    target.expect("ACK");
    let offer = stage.t.call.expect("INVITE");
    stage.t.call.notify_ok(OK, "terminated");
    stage.t.call.answer(&offer, &sdp("pbx", 1));
    stage.t.call.expect("ACK");
    stage.t.leg.expect_bye();
    let handoff = stage.t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    stage.t.call.hang_up();
    target.expect_bye();
    stage.t.world.assert_empty();
}

#[test]
fn the_first_refer_succeeds_while_the_second_is_out() {
    let stage = begin("brave-mobile");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let second = stage.t.call.expect("REFER");
    assert!(second.header("Refer-To").contains("sip:me@10.0.0.31"));
    stage.t.call.reply(&second, 202);
    let event = format!("refer;id={}", refer.cseq().0);
    stage.t.call.notify_event(&event, OK, "terminated");
    stage.t.call.expect(200);
    stage.t.both_get_bye();
    let handoff = stage.t.world.assert_ended("succeeded");
    assert_eq!(handoff.attempts[0].cause, None);
    stage.t.world.assert_empty();
}

#[test]
fn when_the_time_is_up_only_what_ends_the_handoff_is_done() {
    let stage = begin("short");
    let target = stage.desk.expect_call();
    target.reply(&target.invite(), 180);
    let cancel = target.expect_within("CANCEL", s(11));
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    stage.t.call.expect_bye();
    stage.t.leg.expect_bye();
    stage.t.world.assert_ended("handed_back");
    assert_eq!(stage.told(), ["short invite no_answer -> bye"]);
    assert!(stage.hint().contains("`timeouts.total` is over"), "{}", stage.hint());
    stage.t.world.assert_empty();
}

/// Its status is the 200 of the target, which says nothing of why.
#[test]
fn whoever_is_on_call_is_told_why_a_target_that_answered_has_not_the_caller() {
    let stage = begin("mobile");
    let target = stage.mobile.expect_call();
    target.answer(&target.invite(), &sdp("mobile", 1));
    target.expect("ACK");
    let offer = stage.t.call.expect("INVITE");
    stage.t.call.reply(&offer, 488);
    stage.t.call.expect("ACK");
    target.expect_bye();
    assert!(stage.hint().starts_with("The caller's side did not take"), "{}", stage.hint());
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
    let stage = begin("mobile");
    let target = stage.mobile.expect_call();
    target.answer(&target.invite(), "");
    target.expect("ACK");
    target.expect_bye();
    assert!(stage.hint().starts_with("The target's 2xx has no session"), "{}", stage.hint());
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
}

#[test]
fn proof_is_required() {
    let stage = begin("proof");
    let target = stage.desk.expect_call();
    stage.refuse(&target, 503);
    let again = stage.desk.expect_call();
    stage.joined(&again, true);
    // A method that proves nothing cannot be named either.
    let t = Talking::with(&config());
    let request = HandoffRequest {
        destination: Some("proof".into()),
        method: Some("refer".into()),
        ..HandoffRequest::default()
    };
    let refused = t.world.try_handoff(request);
    assert!(format!("{refused:?}").contains("proves nothing"), "{refused:?}");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_route_that_was_named_goes_along_the_methods() {
    let config = config().agent_key("may_route = [\"sip:*@10.0.0.30\"]");
    let t = Talking::with(&config);
    let desk = t.world.peer("desk", DESK);
    t.world.handoff_with(HandoffRequest {
        destination: Some("ladder".into()),
        route: Some("sip:special@10.0.0.30".into()),
        ..HandoffRequest::default()
    });
    let refer = t.call.expect("REFER");
    assert!(refer.header("Refer-To").contains("sip:special@10.0.0.30"));
    t.call.reply(&refer, 403);
    let target = desk.expect_call();
    assert_eq!(target.invite().uri(), "sip:special@10.0.0.30");
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn variables_stay_those_of_the_decision() {
    let table = r#"
[destination.fixed]
method = "invite"
route = "sip:desk@10.0.0.30"
on_failure = ["mobile-with"]
[destination.mobile-with]
method = "invite"
route = "sip:me@10.0.0.31"
[destination.mobile-with.headers]
X-Account = "$account"
"#;
    let t = Talking::with(&config().destination(table));
    let (desk, mobile) = (t.world.peer("desk", DESK), t.world.peer("mobile", MOBILE));
    let variables = [("account".to_owned(), "1".to_owned())].into();
    t.world.handoff_with(HandoffRequest {
        destination: Some("fixed".into()),
        variables,
        ..HandoffRequest::default()
    });
    let target = desk.expect_call();
    let call = t.world.call_id();
    let variables = [("account".to_owned(), Some("2".to_owned()))].into();
    t.world.command(Command::SetVariables { call, variables });
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    let next = mobile.expect_call();
    assert_eq!(next.invite().header("X-Account"), "1");
    next.reply(&next.invite(), 486);
    next.expect("ACK");
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn before_the_answer_a_ladder_tries_destinations() {
    let world = crate::common::World::with(&config().agent_key("fallback = \"ladder\""));
    let (pbx, agent) =
        (world.peer("pbx", crate::common::peer::PBX), world.peer("agent", crate::common::peer::AGENT));
    let (desk, mobile) = (world.peer("desk", DESK), world.peer("mobile", MOBILE));
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 503);
    leg.expect("ACK");
    // Its REFER is an INVITE before the answer, and so the step `invite` has been tried with it.
    let target = desk.expect_call();
    target.reply(&target.invite(), 180);
    let early = call.expect(180);
    target.reply(&target.invite(), 486);
    target.expect("ACK");
    let next = mobile.expect_call();
    next.reply(&next.invite(), 180);
    let ringing = call.expect(180);
    assert_ne!(early.to_tag(), ringing.to_tag(), "another party");
    next.answer(&next.invite(), &sdp("mobile", 1));
    next.expect("ACK");
    let ok = call.expect(200);
    call.ack(&ok);
    world.assert_ended("succeeded");
    call.hang_up();
    next.expect_bye();
    world.assert_empty();
}

/// The fallback's target has answered in the agent's place, and hangs up before the caller's ACK.
fn left_before_the_ack(fallback: &str) -> (crate::common::World, Leg, Peer, Rc<Message>) {
    let world = crate::common::World::with(&config().agent_key(&format!("fallback = \"{fallback}\"")));
    let (pbx, agent) =
        (world.peer("pbx", crate::common::peer::PBX), world.peer("agent", crate::common::peer::AGENT));
    let (desk, mobile) = (world.peer("desk", DESK), world.peer("mobile", MOBILE));
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 503);
    leg.expect("ACK");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let ok = call.expect(200);
    target.hang_up();
    (world, call, mobile, ok)
}

#[test]
fn a_target_that_leaves_before_the_callers_ack_is_followed_by_the_next_step() {
    let (world, call, mobile, ok) = left_before_the_ack("ladder");
    // Nothing can be asked in the caller's dialog before its ACK.
    world.advance(ms(300));
    world.assert_expected();
    call.ack(&ok);
    let next = mobile.expect_call();
    next.answer(&next.invite(), &sdp("mobile", 1));
    next.expect("ACK");
    let offer = call.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(&sdp("mobile", 1)));
    call.answer(&offer, &sdp("pbx", 1));
    call.expect("ACK");
    let handoff = world.assert_ended("succeeded");
    let told: Vec<_> = handoff.attempts.iter().map(|a| (&*a.destination, a.cause.as_deref())).collect();
    assert_eq!(told, [("ladder", Some("failed")), ("mobile", None)]);
    call.hang_up();
    next.expect_bye();
    world.assert_empty();
}

#[test]
fn and_where_no_step_is_left_the_caller_is_told_after_its_ack() {
    let (world, call, _mobile, ok) = left_before_the_ack("nested-not");
    world.advance(ms(300));
    call.ack(&ok);
    call.expect_bye();
    world.assert_ended("failed");
    assert_eq!(world.complaints(), (1, 1));
    world.assert_empty();
}

#[test]
fn a_target_that_leaves_and_a_caller_that_never_acknowledges() {
    let (world, call, _mobile, _ok) = left_before_the_ack("ladder");
    call.expect_bye_within(s(33));
    let handoff = world.assert_ended("failed");
    assert_eq!(handoff.attempts.len(), 1);
    world.assert_empty();
}

#[test]
fn a_notify_without_an_id_belongs_to_the_second_of_two_refers() {
    let stage = begin("brave-mobile");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let second = stage.t.call.expect("REFER");
    stage.t.call.reply(&second, 202);
    // RFC 3515 §2.4.6 wants it named, and many peers never do.
    stage.t.call.notify_ok(OK, "terminated");
    stage.t.both_get_bye();
    let handoff = stage.t.world.assert_ended("succeeded");
    let told: Vec<_> = handoff.attempts.iter().map(|a| (a.cause.as_deref(), a.final_status)).collect();
    assert_eq!(told, [(Some("unknown"), None), (None, Some(200))]);
    stage.t.world.assert_empty();
}

#[test]
fn a_late_result_is_judged_by_the_profile_of_its_own_destination() {
    let table = r#"
[destination.liar]
route = "sip:desk@10.0.0.30"
notify_200 = "accepted"
on_failure = { unknown = ["mobile-refer"], default = ["agent"] }
[destination.liar-called]
route = "sip:desk@10.0.0.30"
notify_200 = "accepted"
on_failure = { unknown = ["mobile"], default = ["agent"] }
"#;
    for second in ["refer", "invite"] {
        let t = Talking::with(&config().destination(table));
        let (desk, mobile) = (t.world.peer("desk", DESK), t.world.peer("mobile", MOBILE));
        t.world.handoff(if second == "refer" { "liar" } else { "liar-called" });
        let refer = t.call.expect("REFER");
        t.call.reply(&refer, 202);
        t.world.advance(s(61));
        let event = format!("refer;id={}", refer.cseq().0);
        if second == "refer" {
            let other = t.call.expect("REFER");
            t.call.reply(&other, 202);
            t.call.notify_event(&event, OK, "terminated");
            t.call.expect(200);
            // The 200 of the first proves nothing; the second goes on.
            t.world.assert_running();
            let event = format!("refer;id={}", other.cseq().0);
            t.call.notify_event(&event, "SIP/2.0 486 Busy Here\r\n", "terminated");
            t.call.expect(200);
            t.call.still_has_caller();
            t.world.advance(ms(500));
            t.world.assert_ended("returned");
        } else {
            let target = mobile.expect_call();
            target.reply(&target.invite(), 180);
            t.call.notify_event(&event, OK, "terminated");
            t.call.expect(200);
            let cancel = target.expect("CANCEL");
            target.reply(&cancel, 200);
            target.reply(&target.invite(), 487);
            target.expect("ACK");
            // It is alive, so that nobody is called meanwhile, and its 200 proves nothing: unknown.
            t.call.keeps_caller();
            t.world.advance(s(1));
            t.world.assert_ended("unknown");
        }
        drop(desk);
        t.caller_hangs_up();
        t.world.assert_empty();
    }
}

#[test]
fn after_a_late_failure_the_steps_are_those_of_its_own_destination() {
    let table = r#"
[destination.late]
route = "sip:desk@10.0.0.30"
on_failure = { unknown = ["other"], busy = ["bye"], default = ["agent"] }
[destination.other]
method = "invite"
route = "sip:me@10.0.0.31"
on_failure = { busy = ["hangup"], default = ["agent"] }
"#;
    let t = Talking::with(&config().destination(table));
    let mobile = t.world.peer("mobile", MOBILE);
    t.world.handoff("late");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.world.advance(s(61));
    let target = mobile.expect_call();
    target.reply(&target.invite(), 180);
    t.call.notify("SIP/2.0 486 Busy Here\r\n", "terminated");
    assert_eq!(t.call.expect(200).method(), "NOTIFY");
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    t.call.still_has_caller();
    t.both_get_bye();
    t.world.assert_ended("handed_back");
    t.world.assert_empty();
}

#[test]
fn of_two_refers_that_nobody_told_of_either_may_still_succeed() {
    let stage = begin("brave-mobile");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let second = stage.t.call.expect("REFER");
    stage.t.call.reply(&second, 202);
    stage.t.world.advance(s(61));
    stage.t.world.assert_ended("unknown");
    stage.t.call.notify_event(&format!("refer;id={}", refer.cseq().0), OK, "terminated");
    stage.t.call.expect(200);
    stage.t.both_get_bye();
    stage.t.world.assert_empty();
}

#[test]
fn a_success_that_is_told_after_the_caller_was_returned_closes_the_legs() {
    let stage = begin("brave");
    let refer = stage.t.call.expect("REFER");
    stage.t.call.reply(&refer, 202);
    stage.t.world.advance(s(61));
    let target = stage.desk.expect_call();
    stage.refuse(&target, 486);
    stage.t.call.still_has_caller();
    stage.t.world.advance(ms(500));
    stage.t.world.assert_ended("returned");
    // The caller is with the target now; its side may wait for our BYE.
    stage.t.call.notify_ok(OK, "terminated");
    stage.t.both_get_bye();
    stage.t.world.assert_empty();
}

/// An INVITE that is refused has nothing to do with transfers, and a REFER has.
#[test]
fn a_hint_knows_what_was_refused() {
    for (destination, method, transfers) in [("nested-not", "INVITE", false), ("front-desk", "REFER", true)] {
        let stage = begin(destination);
        if method == "REFER" {
            stage.refuse_refer(403);
        } else {
            let target = stage.desk.expect_call();
            stage.refuse(&target, 403);
        }
        assert_eq!(stage.hint().contains("ransfer"), transfers, "{destination}: {}", stage.hint());
        stage.t.world.advance(ms(500));
        stage.t.world.assert_ended("returned");
        stage.t.caller_hangs_up();
        stage.t.world.assert_empty();
    }
}

/// A gateway's 403 is many things; Asterisk's with that cause is a phone that declines.
#[test]
fn a_phone_that_declines_is_busy_whatever_the_status() {
    let stage = begin("nested-not");
    let target = stage.desk.expect_call();
    target.reply_with(&target.invite(), 403, &[("Reason", "Q.850;cause=21")], "");
    target.expect("ACK");
    stage.t.world.advance(ms(500));
    let handoff = stage.t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("busy"));
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
}

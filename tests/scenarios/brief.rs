//! `attended` with `brief = true`: the agent speaks with the target before the caller is moved.

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Peer, Talking, sdp, sdp_with};
use crate::common::{Command, Refusal, Reply, ms, s};
use std::rc::Rc;

pub(crate) const DESK: &str = "10.0.0.30:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";
pub(crate) const TABLE: &str = r#"
[destination.desk]
method = "attended"
brief = true
route = "sip:desk@10.0.0.30"
"#;

struct Stage {
    t: Talking,
    target: Leg,
    id: String,
    _house: Peer,
}

/// The desk's session: another port than that of the others.
pub(crate) fn desk(version: u64) -> String {
    sdp_with(
        "desk",
        version,
        "m=audio 4100 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n",
    )
}

pub(crate) fn held(sdp: &str) -> String {
    sdp.replace("a=sendrecv\r\n", "a=inactive\r\n")
}

/// Takes the next re-INVITE of a leg with the session that it shall have then.
#[track_caller]
fn takes(leg: &Leg, offered: &str, answer: &str) {
    let offer = leg.expect_within("INVITE", s(1));
    assert_eq!(without_origin(offer.sdp()), without_origin(offered), "{offer}");
    leg.answer(&offer, answer);
    leg.expect("ACK");
}

/// The target has answered: the caller is held, and agent and target have each other.
fn briefing() -> Stage {
    briefing_by(|t| t.world.handoff("desk").id.to_string())
}

fn briefing_by(decide: impl FnOnce(&Talking) -> String) -> Stage {
    let t = Talking::with(&Config::default().destination(TABLE));
    let house = t.world.peer("desk", DESK);
    let id = decide(&t);
    let target = house.expect_call();
    target.answer(&target.invite(), &desk(1));
    target.expect("ACK");
    let hold = t.call.expect("INVITE");
    assert_eq!(hold.sdp().matches("a=inactive").count(), 1, "{hold}");
    t.call.answer(&hold, &held(&sdp("pbx", 2)));
    t.call.expect("ACK");
    takes(&t.leg, &desk(1), &sdp("agent", 2));
    t.world.settle();
    Stage { t, target, id, _house: house }
}

impl Stage {
    /// The caller's side takes the target over.
    fn taken_over(&self) {
        let refer = self.t.call.expect("REFER");
        assert!(refer.header("Refer-To").contains("?Replaces="));
        self.t.call.reply(&refer, 202);
        self.target.hang_up();
        self.t.call.notify_ok(OK, "terminated");
        self.t.call.expect_bye();
    }

    /// Caller and agent are told of each other again.
    #[track_caller]
    fn reunited(&self) {
        takes(&self.t.call, &sdp("agent", 2), &sdp("pbx", 3));
        takes(&self.t.leg, &sdp("pbx", 3), &sdp("agent", 2));
    }

    /// By request: the REFER that the caller's side gets.
    fn completed(&self) -> Rc<Message> {
        self.t.world.command(Command::CompleteHandoff { handoff: self.id.clone() });
        self.t.call.expect("REFER")
    }

    /// Caller and agent stand, and hang up.
    fn returned(&self) {
        self.t.world.advance(ms(500));
        self.t.world.assert_ended("returned");
        self.t.caller_hangs_up();
        self.t.world.assert_empty();
    }
}

#[test]
fn agent_and_target_speak_and_the_agents_bye_completes_it() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    // What one of the two asks reaches the other, and not the caller.
    t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    let info = target.expect("INFO");
    target.reply(&info, 200);
    t.leg.expect(200);
    t.leg.hang_up();
    stage.taken_over();
    let handoff = t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    t.world.assert_empty();
}

#[test]
fn a_request_completes_it() {
    let stage = briefing();
    // The target has settled while they spoke.
    stage.t.world.advance(s(1));
    let reply = stage.t.world.command(Command::CompleteHandoff { handoff: stage.id.clone() });
    assert!(matches!(reply, Reply::Handoff(view) if view.state.as_str() == "referring"));
    stage.taken_over();
    stage.t.leg.expect_bye();
    stage.t.world.assert_ended("succeeded");
    stage.t.world.assert_empty();
}

#[test]
fn a_refer_of_the_agent_completes_it_and_hears_the_result() {
    let stage = briefing();
    stage.t.leg.refer("sip:desk@baton", &[]);
    stage.t.leg.expect(202);
    stage.t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    stage.taken_over();
    stage.t.leg.expect_notify("SIP/2.0 200 OK", "terminated");
    stage.t.leg.expect_bye();
    stage.t.world.assert_ended("succeeded");
    stage.t.world.assert_empty();
}

#[test]
fn an_agent_that_asked_by_refer_completes_it_by_its_bye() {
    let stage = briefing_by(|t| {
        t.leg.refer("sip:desk@baton", &[]);
        t.leg.expect(202);
        t.leg.expect_notify("SIP/2.0 100 Trying", "active");
        t.world.call().handoffs[0].to_string()
    });
    stage.t.leg.refer("sip:desk@baton", &[]);
    stage.t.leg.expect(491);
    stage.t.leg.hang_up();
    stage.taken_over();
    stage.t.leg.expect_notify("SIP/2.0 200 OK", "terminated");
    stage.t.world.assert_ended("succeeded");
    stage.t.world.assert_empty();
}

#[test]
fn where_the_callers_side_cannot_the_target_is_bridged() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    t.leg.hang_up();
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 603);
    takes(&t.call, &desk(1), &sdp("pbx", 3));
    // The target had the agent's session last.
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn it_is_cancelled_and_caller_and_agent_have_each_other_again() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    let reply = t.world.command(Command::CancelHandoff { handoff: stage.id.clone() });
    assert!(matches!(reply, Reply::Handoff(view) if view.state.as_str() == "cancelled"));
    target.expect_bye();
    stage.reunited();
    t.world.assert_ended("cancelled");
    t.agent.expect_silence(ms(500));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The brief is over, and the caller is still held: the target settles before the REFER.
#[test]
fn a_caller_is_held_no_longer_when_it_is_cancelled_before_the_refer() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    t.world.command(Command::CompleteHandoff { handoff: stage.id.clone() });
    t.world.advance(ms(100));
    let reply = t.world.command(Command::CancelHandoff { handoff: stage.id.clone() });
    assert!(matches!(reply, Reply::Handoff(view) if view.state.as_str() == "cancelled"));
    target.expect_bye();
    stage.reunited();
    t.world.assert_ended("cancelled");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn the_target_hangs_up_and_the_caller_is_back_with_the_agent() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    target.hang_up();
    stage.reunited();
    t.world.advance(ms(500));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("failed"));
    let told = t.world.events().into_iter().find_map(|event| match event {
        baton::call::event::EventKind::AttemptFailed { hint, .. } => Some(hint),
        _ => None,
    });
    assert!(told.is_some_and(|hint| hint.starts_with("The agent's conversation with the target ended")));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn the_caller_hangs_up_while_the_two_speak() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    t.call.hang_up();
    t.leg.expect_bye();
    target.expect_bye();
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

#[test]
fn a_held_caller_that_changes_its_session_stays_held_and_the_agent_is_told_afterwards() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    let moved = sdp_with("pbx", 9, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n");
    t.call.reinvite(&moved);
    t.call.expect(100);
    let ok = t.call.expect(200);
    assert_eq!(ok.sdp().matches("a=inactive").count(), 1, "{ok}");
    t.call.ack(&ok);
    t.agent.expect_silence(ms(500));
    target.hang_up();
    takes(&t.call, &sdp("agent", 2), &moved);
    takes(&t.leg, &moved, &sdp("agent", 2));
    stage.returned();
}

/// A refresh that were refused again and again would cost the caller its session (RFC 4028).
#[test]
fn a_held_caller_may_refresh_its_session() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    t.call.reinvite(&held(&sdp("pbx", 3)));
    let ok = t.call.expect(200);
    assert_eq!(ok.sdp().matches("a=inactive").count(), 1, "{ok}");
    t.call.ack(&ok);
    // Some ask for an offer.
    t.call.reinvite("");
    let ok = t.call.expect(200);
    assert_eq!(ok.sdp().matches("a=inactive").count(), 1, "{ok}");
    t.call.ack_with(&ok, &held(&sdp("pbx", 3)));
    t.agent.expect_silence(ms(500));
    target.hang_up();
    takes(&t.call, &sdp("agent", 2), &sdp("pbx", 4));
    takes(&t.leg, &sdp("pbx", 4), &sdp("agent", 2));
    stage.returned();
}

#[test]
fn the_time_is_up_while_the_two_speak() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    t.world.advance(s(180));
    target.expect_bye();
    stage.reunited();
    t.world.advance(ms(500));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn nothing_else_can_be_completed() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let id = t.world.handoff("front-desk").id;
    let refer = t.call.expect("REFER");
    let refused = t.world.command(Command::CompleteHandoff { handoff: id.to_string() });
    assert!(matches!(refused, Reply::Refused(Refusal::NotBriefing(_))), "{refused:?}");
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    t.both_get_bye();
    t.world.assert_empty();
}

/// The caller is still held then, and the agent knows where the target was.
#[test]
fn a_transfer_that_fails_gives_the_held_caller_back_to_the_agent() {
    let stage = briefing();
    let refer = stage.completed();
    stage.target.hang_up();
    stage.t.call.reply(&refer, 603);
    stage.reunited();
    stage.returned();
}

#[test]
fn so_does_a_report_that_it_failed() {
    let stage = briefing();
    let refer = stage.completed();
    stage.t.call.reply(&refer, 202);
    stage.t.call.notify_ok("SIP/2.0 100 Trying\r\n", "active");
    stage.target.hang_up();
    stage.t.call.notify_ok("SIP/2.0 486 Busy Here\r\n", "terminated");
    stage.t.call.still_has_caller();
    stage.reunited();
    stage.returned();
}

#[test]
fn so_does_a_caller_that_refuses_the_target() {
    let stage = briefing();
    let refer = stage.completed();
    stage.t.call.reply(&refer, 603);
    let offer = stage.t.call.expect("INVITE");
    stage.t.call.reply(&offer, 488);
    stage.t.call.expect("ACK");
    stage.target.expect_bye();
    stage.reunited();
    stage.returned();
}

#[test]
fn so_does_silence_after_a_target_has_gone() {
    let stage = briefing();
    stage.completed();
    stage.target.hang_up();
    stage.t.world.advance(s(8));
    stage.reunited();
    stage.t.world.assert_ended("unknown");
    stage.t.caller_hangs_up();
    stage.t.world.assert_empty();
}

/// What was under way between caller and agent when the target answered.
#[test]
fn a_request_that_waits_for_the_agent_is_answered() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let house = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = house.expect_call();
    t.call.reinvite(&sdp("pbx", 2));
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    target.answer(&target.invite(), &desk(1));
    target.expect("ACK");
    t.leg.answer(&passed, &sdp("agent", 2));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    t.call.ack(&ok);
    takes(&t.leg, &desk(1), &sdp("agent", 3));
    t.call.hang_up();
    t.leg.expect_bye();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_caller_that_says_481_to_the_hold_after_the_target_has_left_is_lost() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let house = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = house.expect_call();
    target.answer(&target.invite(), &desk(1));
    target.expect("ACK");
    let hold = t.call.expect("INVITE");
    target.hang_up();
    t.call.reply(&hold, 481);
    t.call.expect("ACK");
    t.both_get_bye();
    t.world.assert_ended("failed");
    t.world.assert_empty();
}

/// Its session could not be refreshed, and the next join would wait for it in vain.
#[test]
fn a_hold_that_is_never_answered_is_taken_back_after_the_target_has_left() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let house = t.world.peer("desk", DESK);
    t.world.handoff("desk");
    let target = house.expect_call();
    target.answer(&target.invite(), &desk(1));
    target.expect("ACK");
    let hold = t.call.expect("INVITE");
    t.call.reply(&hold, 100);
    target.hang_up();
    let cancel = t.call.expect_within("CANCEL", s(31));
    t.call.reply(&cancel, 200);
    t.call.reply(&hold, 487);
    t.call.expect("ACK");
    // It may have taken the hold all the same.
    takes(&t.call, &sdp("agent", 1), &sdp("pbx", 2));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// The caller is asked to take the hold off, and says nothing; the agent leaves meanwhile.
#[test]
fn a_caller_that_is_silent_to_what_its_former_partner_wanted_is_lost() {
    let stage = briefing();
    let t = &stage.t;
    t.world.command(Command::CancelHandoff { handoff: stage.id.clone() });
    stage.target.expect_bye();
    t.call.expect("INVITE");
    t.leg.bye_with(&[("Reason", "SIP;cause=503")]);
    t.leg.expect(200);
    t.call.expect("REFER");
    t.call.expect_within("OPTIONS", s(33));
    t.call.expect_bye_within(s(33));
    t.world.settle();
    t.world.assert_empty();
}

#[test]
fn what_the_target_asks_the_agent_is_answered_when_the_agent_has_said_all() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    target.request("INVITE", &[], "", "");
    target.expect(100);
    let asked = t.leg.expect("INVITE");
    t.leg.reply(&asked, 100);
    let refer = stage.completed();
    let busy = target.expect(491);
    target.ack(&busy);
    t.leg.expect("CANCEL");
    // Its offer has crossed the CANCEL.
    t.leg.answer(&asked, &sdp("agent", 3));
    assert!(t.leg.expect("ACK").sdp().contains("m=audio"));
    // And so the target can be told of the caller.
    t.call.reply(&refer, 603);
    takes(&t.call, &desk(1), &sdp_with("pbx", 3, "m=audio 4006 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    takes(target, &sdp_with("pbx", 3, "m=audio 4006 RTP/AVP 0 101\r\na=sendrecv\r\n"), &desk(2));
    t.world.assert_ended("succeeded");
    t.leg.expect_bye();
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn what_the_agent_asks_the_target_is_answered_when_it_has_said_all() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    t.leg.request("INVITE", &[], "", "");
    t.leg.expect(100);
    let asked = target.expect("INVITE");
    target.reply(&asked, 100);
    let refer = stage.completed();
    let busy = t.leg.expect(491);
    t.leg.ack(&busy);
    target.expect("CANCEL");
    target.answer(&asked, &desk(2));
    assert!(target.expect("ACK").sdp().contains("m=audio"));
    t.call.reply(&refer, 202);
    target.hang_up();
    t.call.notify_ok(OK, "terminated");
    t.call.expect_bye();
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn what_the_agent_asks_the_target_is_answered_when_the_target_leaves() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    t.leg.reinvite(&sdp_with("agent", 3, "m=audio 4012 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.leg.expect(100);
    target.expect("INVITE");
    target.hang_up();
    let busy = t.leg.expect(491);
    t.leg.ack(&busy);
    takes(&t.call, &sdp("agent", 2), &sdp("pbx", 3));
    takes(&t.leg, &sdp("pbx", 3), &sdp("agent", 2));
    stage.returned();
}

#[test]
fn an_offer_whose_answer_was_to_come_is_answered_when_the_agent_has_said_all() {
    let stage = briefing();
    let Stage { t, target, .. } = &stage;
    target.request("INVITE", &[], "", "");
    target.expect(100);
    let asked = t.leg.expect("INVITE");
    t.leg.answer(&asked, &sdp("agent", 2));
    let offer = target.expect(200);
    let refer = stage.completed();
    assert_eq!(without_origin(t.leg.expect("ACK").sdp()), without_origin(&desk(1)));
    target.ack_with(&offer, &desk(2));
    t.call.reply(&refer, 202);
    target.hang_up();
    t.call.notify_ok(OK, "terminated");
    t.call.expect_bye();
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

const DRAINING: &str = "fallback = \"desk\"";

/// The agent has asked for nothing, and would neither know with whom it speaks nor complete it.
#[test]
fn a_fallback_at_the_end_of_a_drain_waits_for_no_agent() {
    let t = Talking::with(&Config::default().destination(TABLE).agent_key(DRAINING));
    let house = t.world.peer("desk", DESK);
    t.world.drain(s(60));
    t.world.advance(s(50));
    let target = house.expect_call();
    target.answer(&target.invite(), &desk(1));
    target.expect("ACK");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.notify_ok(OK, "terminated");
    target.hang_up();
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn the_end_of_a_drain_completes_it() {
    let stage = briefing();
    let t = &stage.t;
    t.world.drain(s(30));
    t.world.advance(s(20));
    stage.taken_over();
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn a_caller_that_never_answers_the_hold_does_not_keep_the_two_from_speaking() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let house = t.world.peer("desk", DESK);
    let id = t.world.handoff("desk").id;
    let target = house.expect_call();
    target.answer(&target.invite(), &desk(1));
    target.expect("ACK");
    let hold = t.call.expect("INVITE");
    t.call.reply(&hold, 100);
    let cancel = t.call.expect_within("CANCEL", s(31));
    t.call.reply(&cancel, 200);
    takes(&t.leg, &desk(1), &sdp("agent", 2));
    t.call.reply(&hold, 487);
    t.call.expect("ACK");
    let stage = Stage { t, target, id: id.to_string(), _house: house };
    stage.completed();
    stage.t.call.hang_up();
    stage.t.leg.expect_bye();
    stage.target.expect_bye_within(s(3));
    stage.t.world.settle();
    stage.t.world.advance(s(40));
    stage.t.world.assert_empty();
}

/// The two were parted while that was open: what they know of each other is settled once they are together again.
#[test]
fn a_hold_that_the_agent_takes_without_an_answer_ends_with_the_two_in_accord() {
    let t = Talking::with(&Config::default().destination(TABLE));
    let house = t.world.peer("desk", DESK);
    t.call.request("INVITE", &[], "application/sdp", &held(&sdp("pbx", 2)));
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    t.leg.reply(&passed, 100);
    let id = t.world.handoff("desk").id;
    let target = house.expect_call();
    target.answer(&target.invite(), &desk(1));
    target.expect("ACK");
    t.leg.reply(&passed, 200);
    t.leg.expect("ACK");
    let taken = t.call.expect(200);
    t.call.ack(&taken);
    takes(&t.leg, &desk(1), &sdp("agent", 2));
    t.world.advance(s(40));
    t.world.command(Command::CancelHandoff { handoff: id.to_string() });
    target.expect_bye();
    takes(&t.call, &sdp("agent", 2), &sdp("pbx", 3));
    takes(&t.leg, &sdp("pbx", 3), &sdp("agent", 2));
    t.caller_hangs_up();
    t.world.assert_empty();
}

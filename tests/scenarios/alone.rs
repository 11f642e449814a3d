//! A side that is with nobody just now is answered all the same: holds, resumes and other changes of its session by what
//! stood last, and whoever comes next is told of them.

use crate::common::config::Config;
use crate::common::message::{Message, without_origin};
use crate::common::peer::{Leg, Peer, Talking, sdp, sdp_with};
use crate::common::{Command, ms, s};
use std::rc::Rc;

const DESK: &str = "10.0.0.30:5060";
const SDP: &str = "application/sdp";
const OK: &str = "SIP/2.0 200 OK\r\n";
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

fn config() -> Config {
    Config::default().destination(TABLE)
}

fn directed(who: &str, version: u64, direction: &str) -> String {
    sdp_with(
        who,
        version,
        &format!("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"),
    )
}

fn moved(who: &str, version: u64) -> String {
    sdp_with(who, version, "m=audio 4020 RTP/AVP 0 101\r\na=sendrecv\r\n")
}

/// The agent asks by REFER and hangs up; what it asked for goes on.
fn left(destination: &str) -> (Talking, Peer) {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.leg.refer(&format!("sip:{destination}@baton"), &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    t.leg.hang_up();
    (t, desk)
}

/// A re-INVITE is answered with this; both are acknowledged.
#[track_caller]
fn changes(leg: &Leg, offer: &str, answer: &str) -> Rc<Message> {
    leg.reinvite(offer);
    leg.expect(100);
    let ok = leg.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(answer), "{ok}");
    if offer.is_empty() {
        leg.ack_with(&ok, &sdp("pbx", 1))
    } else {
        leg.ack(&ok)
    }
    ok
}

/// The next re-INVITE of a leg has this session, and gets that one.
#[track_caller]
fn takes(leg: &Leg, offered: &str, answer: &str) {
    let offer = leg.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(offered), "{offer}");
    leg.answer(&offer, answer);
    leg.expect("ACK");
}

#[test]
fn a_caller_whose_agent_has_left_holds_and_resumes_while_its_side_is_asked() {
    let (t, _desk) = left("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    let held = changes(&t.call, &directed("pbx", 2, "sendonly"), &directed("agent", 2, "recvonly"));
    assert!(held.sdp().contains("o=agent 77 2 "), "a version on: {held}");
    let resumed = changes(&t.call, &directed("pbx", 3, "sendrecv"), &directed("agent", 3, "sendrecv"));
    assert!(resumed.sdp().contains("o=agent 77 3 "), "{resumed}");
    changes(&t.call, &directed("pbx", 4, "inactive"), &directed("agent", 4, "inactive"));
    t.call.request("UPDATE", &[], SDP, &directed("pbx", 5, "sendonly"));
    let ok = t.call.expect(200);
    assert_eq!(
        (ok.method(), without_origin(ok.sdp())),
        ("UPDATE", without_origin(&directed("agent", 5, "recvonly")))
    );
    // An offer is what our side wants, whoever is on hold just now.
    changes(&t.call, "", &directed("agent", 6, "sendrecv"));
    t.call.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    t.call.expect(480);
    t.call.notify_ok(OK, "terminated");
    t.leg.expect_notify("SIP/2.0 200 OK", "terminated");
    t.call.expect_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn what_an_agent_that_has_left_cannot_take_is_refused_and_changes_nothing() {
    let (t, _desk) = left("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    for media in ["m=image 4100 udptl t38\r\n", "m=audio 4000 RTP/AVP 9\r\n"] {
        t.call.reinvite(&sdp_with("pbx", 2, media));
        t.call.expect(100);
        let no = t.call.expect(488);
        t.call.ack(&no);
    }
    changes(&t.call, "", &sdp("agent", 1));
    t.call.notify_ok(OK, "terminated");
    t.leg.expect_notify("SIP/2.0 200 OK", "terminated");
    t.call.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_target_is_told_what_the_caller_has_changed_while_it_was_alone() {
    let (t, desk) = left("desk");
    let target = desk.expect_call();
    assert_eq!(without_origin(target.invite().sdp()), without_origin(&sdp("pbx", 1)));
    changes(&t.call, &moved("pbx", 2), &sdp("agent", 1));
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    takes(&t.call, &sdp("desk", 1), &moved("pbx", 2));
    takes(&target, &moved("pbx", 2), &sdp("desk", 1));
    t.leg.expect_notify("SIP/2.0 200 OK", "terminated");
    assert_eq!(t.world.assert_ended("succeeded").proof.map(|proof| proof.as_str()), Some("proven"));
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn what_was_passed_to_an_agent_that_leaves_is_answered() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.leg.refer("sip:desk@baton", &[]);
    t.leg.expect(202);
    t.leg.expect_notify("SIP/2.0 100 Trying", "active");
    let target = desk.expect_call();
    t.call.reinvite(&directed("pbx", 2, "sendonly"));
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    t.leg.bye();
    t.leg.expect(200);
    t.leg.reply(&passed, 487);
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    assert_eq!(without_origin(ok.sdp()), without_origin(&directed("agent", 2, "recvonly")));
    t.call.ack(&ok);
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    takes(&t.call, &sdp("desk", 1), &directed("pbx", 2, "sendonly"));
    takes(&target, &directed("pbx", 2, "sendonly"), &directed("desk", 2, "recvonly"));
    takes(&t.call, &directed("desk", 2, "recvonly"), &directed("pbx", 2, "sendonly"));
    t.leg.expect_notify("SIP/2.0 200 OK", "terminated");
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// It would have to wait for the ACK of a 2xx.
#[test]
fn an_agents_goodbye_is_passed_on_at_once_though_the_caller_has_asked_for_something() {
    let t = Talking::new();
    t.call.reinvite(&directed("pbx", 2, "sendonly"));
    t.call.expect(100);
    let passed = t.leg.expect("INVITE");
    t.leg.bye();
    t.leg.expect(200);
    t.leg.reply(&passed, 487);
    t.leg.expect("ACK");
    let no = t.call.expect(480);
    t.call.ack(&no);
    t.call.expect_bye();
    t.world.assert_empty();
}

/// Agent and target are there, and neither has a part in the other's session.
#[test]
fn a_target_that_waits_for_the_caller_to_take_it_over_holds_and_resumes() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("takeover");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    changes(&target, &directed("desk", 2, "sendonly"), &directed("pbx", 1, "recvonly"));
    changes(&target, &moved("desk", 3), &directed("pbx", 1, "sendrecv"));
    target.request("INFO", &[], "application/dtmf-relay", "Signal=5\r\n");
    target.expect(480);
    t.call.notify_ok("SIP/2.0 603 Decline\r\n", "terminated");
    // It is bridged by what it said last.
    takes(&t.call, &moved("desk", 3), &sdp("pbx", 1));
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_held_caller_whose_agent_has_left_stays_held_until_it_is_moved() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    t.world.handoff("briefed");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp_with("desk", 1, "m=audio 4100 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    target.expect("ACK");
    takes(&t.call, &directed("agent", 2, "inactive"), &directed("pbx", 2, "inactive"));
    let told = t.leg.expect("INVITE");
    t.leg.answer(&told, &sdp("agent", 2));
    t.leg.expect("ACK");
    // While the two speak, and when they have.
    changes(&t.call, &moved("pbx", 3), &directed("agent", 2, "inactive"));
    t.leg.hang_up();
    let refer = t.call.expect("REFER");
    changes(&t.call, &directed("pbx", 4, "sendrecv"), &directed("agent", 2, "inactive"));
    t.call.reply(&refer, 603);
    takes(&t.call, &sdp_with("desk", 1, "m=audio 4100 RTP/AVP 0 101\r\na=sendrecv\r\n"), &sdp("pbx", 5));
    // The target had the agent's session last, which was elsewhere only by its name.
    t.world.advance(s(1));
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

/// It has said what it had to say, and waits for the result; the caller is held.
#[test]
fn an_agent_that_waits_for_the_result_changes_no_held_caller() {
    let t = Talking::with(&config());
    let desk = t.world.peer("desk", DESK);
    let id = t.world.handoff("briefed").id;
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp_with("desk", 1, "m=audio 4100 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    target.expect("ACK");
    takes(&t.call, &directed("agent", 2, "inactive"), &directed("pbx", 2, "inactive"));
    let told = t.leg.expect("INVITE");
    t.leg.answer(&told, &sdp("agent", 2));
    t.leg.expect("ACK");
    t.world.command(Command::CompleteHandoff { handoff: id.to_string() });
    let refer = t.call.expect("REFER");
    changes(&t.leg, &moved("agent", 3), &sdp_with("desk", 1, "m=audio 4100 RTP/AVP 0 101\r\na=sendrecv\r\n"));
    t.pbx.expect_silence(ms(500));
    target.hang_up();
    t.call.reply(&refer, 603);
    takes(&t.call, &moved("agent", 3), &sdp("pbx", 3));
    takes(&t.leg, &sdp("pbx", 3), &moved("agent", 3));
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    t.caller_hangs_up();
    t.world.assert_empty();
}

//! A Contact that cannot be reached: what the peer itself has used serves in its place (RFC 5923), and where nothing does,
//! nobody is told that a handoff has worked.

use crate::common::config::Config;
use crate::common::peer::{Leg, Peer, Talking, sdp};
use crate::common::{ms, s};
use baton::call::event::{Event, EventKind};
use baton::call::record::Stamp;
use baton::daemon::lines::line_of;
use baton::observe::line::Style;
use baton::sip::UnixMillis;
use baton::sip::leg::reach::Advice;
use std::time::Duration;

const TABLE: &str = r#"
[destination.desk]
method = "invite"
route = "sip:desk@10.0.0.30;transport=tcp"

[destination.desk-udp]
method = "invite"
route = "sip:desk@10.0.0.30"

[destination.taken]
method = "attended"
route = "sip:desk@10.0.0.30;transport=tcp"
"#;
const INSIDE: &str = "<sip:desk@172.17.0.2:5060;transport=tcp>";

fn config() -> Config {
    Config::default().destination(TABLE)
}

/// An address inside a container: what is sent there comes back after `after`.
fn inside(t: &Talking, address: &str, after: Duration) -> Peer {
    let inside = t.world.peer("inside", address);
    inside.is_dead(true);
    inside.connects_after(after);
    t.world.allow(address.trim_start_matches("tcp:"));
    inside
}

/// The target answers with a Contact that leads nowhere.
fn answered(destination: &str, after: Duration) -> (Talking, Peer, Leg) {
    let t = Talking::with(&config());
    inside(&t, "tcp:172.17.0.2:5060", after);
    let desk = t.world.peer("desk", "tcp:10.0.0.30:5060");
    t.world.handoff(destination);
    let target = desk.expect_call();
    target.set_contact(INSIDE);
    target.answer(&target.invite(), &sdp("desk", 1));
    t.world.settle();
    (t, desk, target)
}

fn joins(t: &Talking, target: &Leg) {
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    let handoff = t.world.assert_ended("succeeded");
    assert_eq!(handoff.proof.map(|p| p.as_str()), Some("proven"));
    t.call.hang_up();
    // So does the BYE.
    target.expect_bye();
    t.world.assert_empty();
}

/// The line in the log that names call and request.
fn told(t: &Talking, method: &str, next: &str) {
    let call = t.world.call_id();
    let line = t.world.events().into_iter().find(|what| matches!(what, EventKind::Undelivered { .. }));
    let event = Event { at: Stamp(UnixMillis(0)), what: line.expect("a WARN of what was not delivered") };
    let line = line_of(&event).render(0, Style::default());
    let expected =
        format!(" WARN sip.undelivered call={call} method={method} peer=tcp:172.17.0.2:5060 next={next}");
    assert!(line.contains(&expected), "{line}");
}

#[test]
fn a_targets_ack_goes_by_the_stream_that_its_200_came_by() {
    let (t, desk, target) = answered("desk", Duration::ZERO);
    desk.expect("ACK");
    told(&t, "ACK", "\"the flow that the peer has used\"");
    joins(&t, &target);
}

#[test]
fn nobody_is_joined_while_the_ack_waits_for_a_connection() {
    let (t, desk, target) = answered("desk", s(5));
    t.pbx.expect_silence(ms(4900));
    t.world.advance(ms(200));
    desk.expect("ACK");
    joins(&t, &target);
}

#[test]
fn a_200_that_comes_again_is_answered_where_it_came_from() {
    let (t, desk, target) = answered("desk", s(5));
    t.world.advance(ms(500));
    target.answer(&target.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    joins(&t, &target);
}

#[test]
fn a_target_that_cannot_be_acknowledged_is_not_proven() {
    let (t, desk, _target) = answered("desk", s(3));
    desk.closes_connection();
    t.pbx.expect_silence(ms(2900));
    t.world.assert_running();
    t.world.advance(s(1));
    let handoff = t.world.assert_ended("returned");
    let attempt = &handoff.attempts[0];
    assert_eq!((attempt.status, attempt.cause.as_deref()), (Some(503), Some("unreachable")));
    assert_eq!((handoff.proof, t.world.complaints()), (None, (1, 0)));
    told(&t, "ACK", "none");
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn nor_is_it_referred_to() {
    let (t, desk, _target) = answered("taken", s(3));
    desk.closes_connection();
    t.pbx.expect_silence(s(4));
    let handoff = t.world.assert_ended("returned");
    assert_eq!(handoff.cause.as_deref(), Some("unreachable"));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_target_by_datagrams_is_met_where_it_answered_from() {
    let t = Talking::with(&config());
    inside(&t, "172.17.0.2:5060", Duration::ZERO);
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    t.world.handoff("desk-udp");
    let target = desk.expect_call();
    target.set_contact("<sip:desk@172.17.0.2:5060>");
    target.answer(&target.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    joins(&t, &target);
}

/// A caller over TCP whose Contact leads nowhere.
fn caller() -> Talking {
    let config = config().pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let t = Talking::at(&config, "tcp:10.0.0.5:5060", |invite| {
        invite.contact("<sip:pbx@172.17.0.2:5060;transport=tcp>")
    });
    inside(&t, "tcp:172.17.0.2:5060", Duration::ZERO);
    t
}

#[test]
fn a_caller_is_met_on_the_stream_of_its_invite() {
    let t = caller();
    t.leg.hang_up();
    t.call.expect_bye();
    told(&t, "BYE", "\"the flow that the peer has used\"");
    t.world.assert_empty();
}

#[test]
fn a_refer_that_could_not_leave_goes_by_that_stream() {
    let t = caller();
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 200 OK\r\n", "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

/// The caller moves with its answer to the join.
fn moved(after: Duration) -> (Talking, Leg) {
    let config = config().pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let t = Talking::at(&config, "tcp:10.0.0.5:5060", |invite| invite);
    inside(&t, "tcp:172.17.0.2:5060", after);
    let desk = t.world.peer("desk", "10.0.0.30:5060");
    t.world.handoff("desk-udp");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    target.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.set_contact("<sip:pbx@172.17.0.2:5060;transport=tcp>");
    t.call.answer(&offer, &sdp("pbx", 1));
    (t, target)
}

#[test]
fn a_callers_ack_goes_by_its_stream() {
    let (t, target) = moved(s(2));
    t.agent.expect_silence(s(1));
    t.world.assert_running();
    t.world.advance(s(1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    t.call.hang_up();
    target.expect_bye();
    t.world.assert_empty();
}

#[test]
fn a_target_before_the_answer_that_cannot_be_acknowledged() {
    let world = crate::common::World::with(&config().table_text(
        "default = \"desk\"\n[destination.desk]\nmethod = \"invite\"\nroute = \"sip:desk@10.0.0.30;transport=tcp\"\n",
    ));
    let (pbx, agent) =
        (world.peer("pbx", crate::common::peer::PBX), world.peer("agent", crate::common::peer::AGENT));
    let nowhere = world.peer("inside", "tcp:172.17.0.2:5060");
    nowhere.is_dead(true);
    nowhere.connects_after(s(3));
    world.allow("172.17.0.2:5060");
    let desk = world.peer("desk", "tcp:10.0.0.30:5060");
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.reply(&leg.invite(), 486);
    leg.expect("ACK");
    let target = desk.expect_call();
    target.set_contact(INSIDE);
    target.answer(&target.invite(), &sdp("desk", 1));
    let ok = call.expect(200);
    call.ack(&ok);
    desk.closes_connection();
    world.advance(s(2));
    world.assert_running();
    call.expect_bye_within(s(2));
    let handoff = world.assert_ended("failed");
    assert_eq!(handoff.proof, None);
    world.assert_empty();
}

#[test]
fn a_peer_that_comes_anew_is_answered_there() {
    let config = config().pbx_address("sip:10.0.0.5:5060;transport=tcp");
    let t = Talking::at(&config, "tcp:10.0.0.5:5060", |invite| {
        // Nobody listens where it says.
        invite.contact("<sip:pbx@10.0.0.5:5061;transport=tcp>")
    });
    inside(&t, "tcp:10.0.0.5:5061", Duration::ZERO);
    t.pbx.closes_connection();
    t.world.settle();
    t.call.request("OPTIONS", &[], "", "");
    t.call.expect(200);
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    t.call.reply(&refer, 202);
    t.call.notify_ok("SIP/2.0 200 OK\r\n", "terminated");
    t.both_get_bye();
    t.world.assert_ended("succeeded");
    t.world.assert_empty();
}

#[test]
fn nobody_is_looked_for_where_nobody_can_be() {
    let nowhere = [
        "<sip:pbx@0.0.0.0:5060>",
        "<sip:pbx@[::]>",
        "<sip:pbx@127.0.0.1:5060>",
        "<sips:pbx@10.0.0.9:5061>",
        "<sips:pbx@pbx.example.com>",
    ];
    for contact in nowhere {
        let t = Talking::by(&Config::default(), |invite| invite.contact(contact));
        t.leg.hang_up();
        let bye = t.call.expect_bye();
        assert_eq!(format!("<{}>", bye.uri()), contact, "it stays the remote target");
        t.world.assert_empty();
    }
}

/// A carrier's caller behind a NAT, and what is told of it.
fn behind_nat(t: &Talking) -> usize {
    let private = |what: &EventKind| matches!(what, EventKind::Advice { advice: Advice::PrivateContact, .. });
    t.world.events().iter().filter(|what| private(what)).count()
}

#[test]
fn a_private_contact_from_elsewhere_is_told_once() {
    let contact = "<sip:pbx@192.168.1.5:5060>";
    let t = Talking::at(&Config::default(), "203.0.113.7:5060", |invite| invite.contact(contact));
    let inner = t.world.peer("inner", "192.168.1.5:5060");
    t.world.allow("192.168.1.5:5060");
    assert_eq!(behind_nat(&t), 1);
    let again = t.pbx.calling(crate::common::peer::NUMBER).contact(contact).send();
    let leg = crate::common::peer::establish(&again, &t.agent);
    assert_eq!(behind_nat(&t), 1);
    for (call, leg) in [(&t.call, &t.leg), (&again, &leg)] {
        call.hang_up();
        leg.expect_bye();
    }
    inner.expect_silence(s(1));
    t.world.assert_empty();
}

#[test]
fn contact_source_goes_where_the_peer_is_heard_from() {
    let config = Config::default().trunk_key("contact = \"source\"");
    let contact = "<sip:pbx@192.168.1.5:5060>";
    let t = Talking::by(&config, |invite| invite.contact(contact));
    t.leg.hang_up();
    let bye = t.call.expect_bye();
    assert_eq!(format!("<{}>", bye.uri()), contact);
    assert_eq!(behind_nat(&t), 0);
    t.world.assert_empty();
}

#[test]
fn an_agents_contact_source_goes_where_its_answer_came_from() {
    let config = Config::default().agent_key("contact = \"source\"");
    let world = crate::common::World::with(&config);
    let (pbx, agent) =
        (world.peer("pbx", crate::common::peer::PBX), world.peer("agent", crate::common::peer::AGENT));
    agent.answers_options(200);
    let call = pbx.invite(crate::common::peer::NUMBER);
    let leg = agent.expect_call();
    leg.set_contact("<sip:booking@192.168.1.5:5060>");
    leg.answer(&leg.invite(), &sdp("agent", 1));
    leg.expect("ACK");
    call.ack(&call.expect(200));
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

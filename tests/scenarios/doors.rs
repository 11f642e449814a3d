//! Who may speak inside a dialog: the right tags are not enough, the source counts.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::{Leg, Peer, Talking, reply_text, sdp};
use crate::common::{World, ms, s};
use std::rc::Rc;

/// An address that no trunk, no agent and no dialog has.
const ELSEWHERE: &str = "198.51.100.66:5060";
const OK: &str = "SIP/2.0 200 OK\r\n";

fn stranger(t: &Talking) -> Peer {
    t.world.peer("stranger", ELSEWHERE)
}

/// What the stranger has sent had no effect and got no answer; then the caller hangs up.
fn nothing_happened(t: &Talking, stranger: &Peer) {
    stranger.expect_silence(s(1));
    t.agent.expect_silence(s(1));
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_strangers_bye_with_the_right_tags_ends_no_call() {
    let t = Talking::new();
    let stranger = stranger(&t);
    t.call.spoken_by(&stranger).bye();
    t.leg.spoken_by(&stranger).bye();
    nothing_happened(&t, &stranger);
}

#[test]
fn a_strangers_refer_in_the_agents_dialog_moves_nobody() {
    let t = Talking::new();
    let stranger = stranger(&t);
    t.leg.spoken_by(&stranger).refer("<sip:front-desk@baton>", &[]);
    nothing_happened(&t, &stranger);
}

#[test]
fn a_strangers_reinvite_takes_no_media() {
    let t = Talking::new();
    let stranger = stranger(&t);
    let forged = t.call.spoken_by(&stranger);
    forged.reinvite(&sdp("stranger", 9));
    forged.request("UPDATE", &[("Contact", "<sip:x@198.51.100.66>")], "application/sdp", &sdp("stranger", 9));
    forged.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    nothing_happened(&t, &stranger);
}

/// A REFER of ours to the PBX, and a 200 or NOTIFY to it that somebody else writes.
#[test]
fn a_forged_result_of_a_refer_is_no_result() {
    let t = Talking::new();
    let stranger = stranger(&t);
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    stranger.send(&reply_text(&refer, 202, "", &[], ""));
    t.call.spoken_by(&stranger).notify(OK, "terminated");
    t.pbx.expect_silence(ms(300));
    t.world.assert_running();
    t.call.reply(&refer, 403);
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    nothing_happened(&t, &stranger);
}

/// Its ACK would end the retransmissions of our 200.
#[test]
fn a_strangers_ack_confirms_nothing() {
    let world = World::new();
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    let agent = world.peer("agent", "10.0.0.80:5080");
    let stranger = world.peer("stranger", ELSEWHERE);
    let call = pbx.invite("+14155550100");
    let leg = agent.expect_call();
    leg.answer(&leg.invite(), &sdp("agent", 1));
    agent.expect("ACK");
    let ok = call.expect(200);
    call.spoken_by(&stranger).ack(&ok);
    world.advance(s(2));
    assert!(pbx.retransmissions() > 0, "the 200 is sent until the caller's own ACK comes");
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

fn in_dialog(t: &Talking, by: &Leg) -> Rc<Message> {
    let info = by.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    let passed = t.leg.expect("INFO");
    t.leg.reply(&passed, 200);
    by.expect(200);
    info
}

#[test]
fn another_source_of_the_trunk_may_speak_in_its_dialogs() {
    let t = Talking::new();
    let other = t.world.peer("other", "10.0.0.9:5060");
    t.world.allow("10.0.0.9:5060");
    in_dialog(&t, &t.call.spoken_by(&other));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_source_of_another_trunk_may_not() {
    let t = Talking::new();
    let carrier = t.world.peer("carrier", "203.0.113.7:5060");
    t.call.spoken_by(&carrier).bye();
    t.leg.spoken_by(&carrier).bye();
    nothing_happened(&t, &carrier);
}

/// But a response with the right branch may come from any of them.
#[test]
fn a_known_source_answers_by_the_right_branch() {
    let t = Talking::new();
    let carrier = t.world.peer("carrier", "203.0.113.7:5060");
    t.world.handoff("front-desk");
    let refer = t.call.expect("REFER");
    carrier.send(&reply_text(&refer, 403, "", &[], ""));
    t.world.advance(ms(600));
    t.world.assert_ended("returned");
    nothing_happened(&t, &carrier);
}

#[test]
fn the_address_of_the_newest_contact_may_speak() {
    let t = Talking::new();
    let moved = t.world.peer("moved", "198.51.100.20:5070");
    t.world.allow("198.51.100.20:5070");
    t.call.spoken_by(&moved).request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    moved.expect_silence(ms(100));
    t.call.set_contact("<sip:pbx@198.51.100.20:5070>");
    let update = t.call.request("UPDATE", &[], "", "");
    t.call.expect(200);
    assert!(update.contact().is_some());
    in_dialog(&t, &t.call.spoken_by(&moved));
    // Where it was heard from before counts still.
    in_dialog(&t, &t.call);
    let bye = t.call.spoken_by(&moved).bye();
    moved.expect(200);
    assert_eq!(bye.method(), "BYE");
    t.leg.expect_bye();
    t.world.assert_empty();
}

#[test]
fn the_hosts_of_the_route_set_may_speak() {
    let routes = ["<sip:198.51.100.30;lr>", "<sip:198.51.100.31:5062;lr>"];
    let t = Talking::by(&Config::default(), |invite| invite.record_routes(&routes));
    for address in ["198.51.100.30:5060", "198.51.100.31:5062"] {
        t.world.allow(address);
        let proxy = t.world.peer("proxy", address);
        in_dialog(&t, &t.call.spoken_by(&proxy));
    }
    let proxy = t.world.peer("proxy", "198.51.100.30:5060");
    t.call.spoken_by(&proxy).bye();
    proxy.expect(200);
    t.leg.expect_bye();
    t.world.assert_empty();
}

/// A target that is no trunk speaks from where it was called.
#[test]
fn a_target_that_is_no_trunk_may_speak_in_its_own_dialog() {
    let table = "[destination.desk]\nmethod = \"invite\"\nroute = \"sip:desk@198.51.100.40\"\n";
    let t = Talking::with(&Config::default().destination(table));
    let desk = t.world.peer("desk", "198.51.100.40:5060");
    t.world.handoff("desk");
    let target = desk.expect_call();
    target.answer(&target.invite(), &sdp("desk", 1));
    desk.expect("ACK");
    let offer = t.call.expect("INVITE");
    t.call.answer(&offer, &sdp("pbx", 1));
    t.call.expect("ACK");
    t.leg.expect_bye();
    t.world.assert_ended("succeeded");
    let stranger = stranger(&t);
    target.spoken_by(&stranger).bye();
    t.pbx.expect_silence(s(1));
    target.bye();
    target.expect(200);
    t.call.expect_bye();
    t.world.assert_empty();
}

/// The name of the trunk leads elsewhere while a call is up: who spoke in it speaks on.
#[test]
fn a_dialog_outlives_the_sources_of_its_trunk() {
    let t = Talking::new();
    t.world.reload(&Config::default().accept_from("10.9.0.0/26").serial(2));
    in_dialog(&t, &t.call);
    let other = t.world.peer("other", "10.0.0.9:5060");
    t.call.spoken_by(&other).bye();
    nothing_happened(&t, &other);
}

fn by_tags() -> Config {
    Config::default().trunk_key("in_dialog = \"tags\"")
}

#[test]
fn by_tags_an_address_that_nobody_listed_may_speak() {
    let t = Talking::with(&by_tags());
    let node = stranger(&t);
    in_dialog(&t, &t.call.spoken_by(&node));
    // The agent has not said so.
    t.leg.spoken_by(&node).bye();
    node.expect_silence(s(1));
    t.call.spoken_by(&node).bye();
    node.expect(200);
    t.leg.expect_bye();
    t.world.assert_empty();
}

/// What only the tags speak for never changes where we send.
#[test]
fn by_tags_alone_nothing_moves() {
    let t = Talking::with(&by_tags());
    let node = stranger(&t);
    let before = "<sip:pbx@10.0.0.5:5060>";
    t.call.set_contact("<sip:pbx@198.51.100.66:5060>");
    t.call.spoken_by(&node).request("UPDATE", &[], "", "");
    node.expect(200);
    t.call.set_contact(before);
    let info = t.leg.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    let passed = t.call.expect("INFO");
    assert_eq!(passed.uri(), "sip:pbx@10.0.0.5:5060");
    t.call.reply(&passed, 200);
    t.leg.expect(200);
    assert_eq!(info.method(), "INFO");
    t.caller_hangs_up();
    // The checker takes the stranger's UPDATE for a target refresh, which it is not.
    assert!(t.world.run_until(s(200), World::is_empty));
    t.world.finish();
}

/// `contact = "source"` means the source of those who are known.
#[test]
fn a_source_that_only_the_tags_speak_for_is_not_followed() {
    let key = "in_dialog = \"tags\"\ncontact = \"source\"";
    for of_trunk in [true, false] {
        let config = match of_trunk {
            true => Config::default().trunk_key(key),
            false => Config::default().agent_key(key),
        };
        let t = Talking::with(&config);
        let node = stranger(&t);
        let (spoken_for, other) = if of_trunk { (&t.call, &t.leg) } else { (&t.leg, &t.call) };
        let by_stranger = spoken_for.spoken_by(&node);
        by_stranger.request("OPTIONS", &[], "", "");
        node.expect(200);
        by_stranger.request("UPDATE", &[], "", "");
        node.expect(200);
        other.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
        let passed = spoken_for.expect("INFO");
        spoken_for.reply(&passed, 200);
        other.expect(200);
        node.expect_silence(s(1));
        t.caller_hangs_up();
        assert!(t.world.run_until(s(200), World::is_empty));
        t.world.finish();
    }
}

#[test]
fn a_forgery_is_told_with_the_line_to_add() {
    let t = Talking::new();
    let stranger = stranger(&t);
    for _ in 0..3 {
        t.call.spoken_by(&stranger).bye();
    }
    stranger.expect_silence(s(61));
    t.call.spoken_by(&stranger).bye();
    let told = t.world.lines("sip.strange_source");
    let call = t.world.call_id();
    assert_eq!(told.len(), 2, "{told:#?}");
    let first = format!(
        "WARN sip.strange_source call={call} source=198.51.100.66:5060 transport=udp method=BYE count=1 hint="
    );
    assert!(told[0].contains(&first), "{}", told[0]);
    assert!(told[0].contains("[trunk.pbx]") && told[0].contains("in_dialog"), "{}", told[0]);
    assert!(told[0].contains("198.51.100.66/32"), "{}", told[0]);
    assert!(told[1].contains(" count=3 "), "two more within the minute, and this one: {}", told[1]);
    assert_eq!(t.world.counters().messages_strange_source, 4);
    nothing_happened(&t, &stranger);
}

#[test]
fn an_unknown_source_is_told_once_a_minute_with_what_to_add() {
    let world = World::with(&Config::default().one_engine());
    let stranger = world.peer("stranger", ELSEWHERE);
    for _ in 0..10 {
        stranger.ping();
    }
    stranger.invite("+14155550100");
    stranger.send("\r\nnothing that reads\r\n\r\n");
    stranger.expect_silence(s(1));
    let told = world.lines("sip.unknown_source");
    assert_eq!(told.len(), 1, "{told:#?}");
    let first =
        "WARN sip.unknown_source source=198.51.100.66:5060 transport=udp method=OPTIONS count=1 hint=";
    assert!(told[0].contains(first), "{}", told[0]);
    assert!(told[0].contains("accept_from = [\\\"198.51.100.66/32\\\"]"), "{}", told[0]);
    assert_eq!(world.counters().messages_unknown_source, 11);
    world.assert_empty();
}

#[test]
fn a_malformed_message_of_a_trunk_is_told_with_the_byte() {
    let world = World::new();
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    let head = "OPTIONS sip:192.0.2.10 SIP/2.0\r\n";
    pbx.send(&format!("{head}no colon here\r\nCall-ID: x\r\n\r\n"));
    world.settle();
    let told = world.lines("sip.malformed");
    assert_eq!(told.len(), 1, "{told:#?}");
    let reason = format!(
        "source=10.0.0.5:5060 transport=udp reason=\"Header Without Colon in the line at byte {}\" count=1",
        head.len()
    );
    assert!(told[0].contains(&reason), "{}", told[0]);
    world.assert_empty();
}

#[test]
fn debug_shows_each_messages_first_line_with_its_call() {
    let t = Talking::with(&Config::default().shows_messages());
    let call = t.world.call_id();
    let told = t.world.lines("sip.message");
    let first = format!(
        "DEBUG sip.message call={call} direction=in peer=udp:10.0.0.5:5060 line=\"INVITE sip:+14155550100@192.0.2.10 SIP/2.0\""
    );
    assert!(told[0].contains(&first), "{}", told[0]);
    let ok = format!("call={call} direction=out peer=udp:10.0.0.5:5060 line=\"SIP/2.0 200 OK\" sip_call_id=");
    assert!(told.iter().any(|line| line.contains(&ok)), "{told:#?}");
    let ack = format!("call={call} direction=in peer=udp:10.0.0.5:5060 line=\"ACK ");
    assert!(told.iter().any(|line| line.contains(&ack)), "{told:#?}");
    // What has no effect is shown, too.
    t.world.peer("stranger", ELSEWHERE).send("INVITE sip:a@b SIP/2.0\r\nno header\r\n\r\n");
    t.world.settle();
    let told = t.world.lines("sip.message");
    let last = "direction=in peer=udp:198.51.100.66:5060 line=\"INVITE sip:a@b SIP/2.0\"";
    assert!(told.last().is_some_and(|line| line.contains(last)), "{told:#?}");
    t.caller_hangs_up();
    t.world.assert_empty();
}

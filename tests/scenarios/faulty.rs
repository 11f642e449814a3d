//! Requests and responses with faults in headers that they do not need: they are read for what they need.

use crate::common::config::Config;
use crate::common::peer::{AGENT, NUMBER, PBX, Talking, sdp};
use crate::common::{World, s};

/// Headers with a fault.
const FAULTS: [(&str, &str); 6] = [
    ("Contact", "<sip:>"),
    ("Expires", "never"),
    ("Record-Route", "<>"),
    ("Route", "<sip:>"),
    ("Refer-To", "<sip:"),
    ("Min-SE", "soon"),
];

#[test]
fn a_bye_with_faults_in_headers_that_it_does_not_need_ends_the_call() {
    for fault in FAULTS {
        let t = Talking::new();
        t.call.bye_with(&[fault]);
        t.call.expect(200);
        t.leg.expect_bye();
        t.world.assert_empty();
    }
}

#[test]
fn a_bye_of_the_agent_with_a_doubled_header_ends_the_call() {
    for fault in [("Event", "refer"), ("Session-Expires", "90"), ("Expires", "1"), ("RSeq", "1")] {
        let t = Talking::new();
        t.leg.bye_with(&[fault, fault]);
        t.leg.expect(200);
        t.call.expect_bye();
        t.world.assert_empty();
    }
}

#[test]
fn a_final_notify_with_faults_in_headers_that_it_does_not_need_is_heard() {
    for fault in FAULTS {
        let t = Talking::new();
        t.world.handoff("front-desk");
        let refer = t.call.expect("REFER");
        t.call.reply(&refer, 202);
        let headers = [("Event", "refer"), ("Subscription-State", "terminated;reason=noresource"), fault];
        t.call.request("NOTIFY", &headers, "message/sipfrag;version=2.0", "SIP/2.0 200 OK\r\n");
        t.call.expect(200);
        t.both_get_bye();
        t.world.assert_ended("succeeded");
        t.world.assert_empty();
    }
}

#[test]
fn an_options_and_an_info_with_faults_are_answered() {
    let t = Talking::new();
    for fault in FAULTS {
        t.call.request("OPTIONS", &[fault], "", "");
        t.call.expect(200);
        t.call.request("INFO", &[fault], "application/dtmf-relay", "Signal=1\r\n");
        let info = t.leg.expect("INFO");
        t.leg.reply(&info, 200);
        t.call.expect(200);
    }
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_invite_is_still_read_for_what_it_needs() {
    let world = World::with(&Config::default());
    let pbx = world.peer("pbx", PBX);
    for (name, value) in [("Record-Route", "<>"), ("Record-Route", "<sip:")] {
        let call = pbx.calling(NUMBER).header(name, value).send();
        let refused = call.expect(400);
        call.ack(&refused);
    }
    let call = pbx.calling(NUMBER).contact("<sip:>").send();
    let refused = call.expect(400);
    call.ack(&refused);
    world.assert_empty();
}

#[test]
fn an_invite_with_an_expires_that_does_not_read_is_a_call() {
    let t = Talking::by(&Config::default(), |invite| {
        invite.header("Expires", "never").header("Refer-To", "<sip:")
    });
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn two_equal_to_tags_are_one() {
    let t = Talking::new();
    let tag = t.call.invite().from_tag().to_owned();
    // A peer that writes To with its tag once more at each request.
    let bye = t.call.request_numbered("INFO", 7, &[], "application/dtmf-relay", "Signal=1\r\n");
    let info = t.leg.expect("INFO");
    t.leg.reply(&info, 200);
    t.call.expect(200);
    let to = bye.header("To").to_owned();
    let ours = bye.to_tag().to_owned();
    let text = bye
        .text
        .replace("INFO ", "BYE ")
        .replace("7 INFO", "8 BYE")
        .replace(bye.branch(), "z9hG4bK-doubled")
        .replace(&to, &format!("{to};tag={ours}"));
    assert!(text.contains(&format!(";tag={ours};tag={ours}")) && !tag.is_empty());
    t.pbx.send(&text);
    t.call.expect(200);
    t.leg.expect_bye();
    t.world.assert_empty();
}

#[test]
fn two_different_to_tags_are_none() {
    let t = Talking::new();
    let info = t.call.request("INFO", &[], "application/dtmf-relay", "Signal=1\r\n");
    let passed = t.leg.expect("INFO");
    t.leg.reply(&passed, 200);
    t.call.expect(200);
    let to = info.header("To").to_owned();
    let text = info.text.replace(&to, &format!("{to};tag=another")).replace(info.branch(), "z9hG4bK-two");
    t.pbx.send(&text);
    t.world.advance(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_doubled_header_in_a_response_counts_once() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    for doubled in [
        ("Session-Expires", "1800;refresher=uas"),
        ("Content-Disposition", "session"),
        ("Retry-After", "5"),
        ("RSeq", "1"),
        ("Min-SE", "90"),
    ] {
        let call = pbx.invite(NUMBER);
        let leg = agent.expect_call();
        leg.reply_with(&leg.invite(), 200, &[doubled, doubled], &sdp("agent", 1));
        leg.expect("ACK");
        let ok = call.expect(200);
        assert!(ok.all(doubled.0).count() <= 1, "{ok}");
        call.ack(&ok);
        call.hang_up();
        leg.expect_bye();
    }
    world.assert_empty();
}

#[test]
fn of_a_doubled_header_in_a_response_the_first_counts() {
    let world = World::with(&Config::default());
    let (pbx, agent) = (world.peer("pbx", PBX), world.peer("agent", AGENT));
    let call = pbx.invite(NUMBER);
    let leg = agent.expect_call();
    // The second one is folded, and its fold is nobody else's.
    let headers =
        [("Content-Disposition", "session"), ("Content-Disposition", "render;\r\n handling=required")];
    leg.reply_with(&leg.invite(), 200, &headers, &sdp("agent", 1));
    leg.expect("ACK");
    let ok = call.expect(200);
    assert_eq!(ok.all("Content-Disposition").collect::<Vec<_>>(), ["session"], "{ok}");
    call.ack(&ok);
    call.hang_up();
    leg.expect_bye();
    world.assert_empty();
}

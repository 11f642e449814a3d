//! What one side asks inside the call and the other answers: each has its own means, and its own dialog.

use crate::common::config::Config;
use crate::common::message::without_origin;
use crate::common::peer::{Kind, Talking, sdp, sdp_with};
use crate::common::s;

const ALLOW: (&str, &str) = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK");
const SDP: &str = "application/sdp";

fn held(who: &str, direction: &str) -> String {
    sdp_with(who, 2, &format!("m=audio 4000 RTP/AVP 0 101\r\na={direction}\r\n"))
}

/// Baton's Allow says UPDATE, whatever the other side takes.
#[test]
fn an_update_to_a_side_that_takes_none_is_a_reinvite() {
    let t = Talking::by(&Config::default(), |i| i.header(ALLOW.0, ALLOW.1));
    t.call.request("UPDATE", &[], SDP, &held("pbx", "sendonly"));
    let offer = t.leg.expect("INVITE");
    assert_eq!(without_origin(offer.sdp()), without_origin(&held("pbx", "sendonly")));
    t.leg.answer(&offer, &held("agent", "recvonly"));
    t.leg.expect("ACK");
    let ok = t.call.expect(200);
    assert_eq!(ok.method(), "UPDATE");
    assert_eq!(without_origin(ok.sdp()), without_origin(&held("agent", "recvonly")));
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn an_update_that_says_what_stands_is_a_refresh_and_needs_nobody_else() {
    let t = Talking::by(&Config::default(), |i| {
        i.header(ALLOW.0, ALLOW.1).header("Supported", "timer").header("Session-Expires", "120")
    });
    t.world.advance(s(60));
    let headers = [("Supported", "timer"), ("Session-Expires", "120;refresher=uac")];
    t.call.request("UPDATE", &headers, SDP, &sdp("pbx", 1));
    let ok = t.call.expect(200);
    assert_eq!(ok.header("Session-Expires"), "120;refresher=uac");
    assert_eq!(without_origin(ok.sdp()), without_origin(&sdp("agent", 1)));
    t.world.advance(s(80));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// What the caller's re-INVITE gets when the agent refuses it so; None: the agent cannot be reached.
fn refused(status: Option<(u16, (&str, &str))>) -> u16 {
    let t = Talking::new();
    t.agent.is_dead(status.is_none());
    t.call.reinvite(&held("pbx", "sendonly"));
    if let Some((status, header)) = status {
        let offer = t.leg.expect("INVITE");
        t.leg.reply_with(&offer, status, &[header], "");
        t.leg.expect("ACK");
    }
    t.world.settle();
    let answer = t.pbx.take(|m| m.status() >= 300, Kind::Response(0)).expect("an answer");
    t.call.ack(&answer);
    t.agent.is_dead(false);
    t.caller_hangs_up();
    t.world.assert_empty();
    answer.status()
}

/// 503 says that all of Baton is overloaded; the others mean something only with headers that are each leg's own.
#[test]
fn a_refusal_that_means_the_one_dialog_is_another_one_in_the_other() {
    let digest = "Digest realm=\"agent\", nonce=\"n\"";
    assert_eq!(refused(Some((503, ("Retry-After", "5")))), 500);
    assert_eq!(refused(None), 500);
    assert_eq!(refused(Some((401, ("WWW-Authenticate", digest)))), 488);
    assert_eq!(refused(Some((407, ("Proxy-Authenticate", digest)))), 488);
    assert_eq!(refused(Some((405, ("Allow", "ACK, BYE")))), 488);
    assert_eq!(refused(Some((420, ("Unsupported", "norefersub")))), 488);
    assert_eq!(refused(Some((422, ("Min-SE", "90")))), 488);
    assert_eq!(refused(Some((302, ("Contact", "<sip:elsewhere@10.0.0.81>")))), 488);
    assert_eq!(refused(Some((603, ("X-Why", "no")))), 603);
}

const WORDS: [(&str, &str); 4] = [
    ("Reason", "Q.850;cause=16"),
    ("User-to-User", "56a390f3;encoding=hex"),
    ("X-Disposition", "solved"),
    ("Subscription-State", "active"),
];

/// RFC 7433 §4.2, RFC 3326.
#[test]
fn what_a_goodbye_says_reaches_the_other_side() {
    let t = Talking::new();
    t.leg.bye_with(&WORDS);
    t.leg.expect(200);
    let bye = t.call.expect_bye();
    for (name, value) in &WORDS[..3] {
        assert_eq!(bye.header(name), *value);
    }
    assert_eq!(bye.find("Subscription-State"), None);
    t.world.assert_empty();
}

#[test]
fn what_the_caller_says_as_it_leaves_during_a_handoff_reaches_the_agent() {
    let t = Talking::with(
        &Config::default()
            .destination("\n[destination.bridge]\nmethod = \"invite\"\nroute = \"+14155550144\"\n"),
    );
    t.world.handoff("bridge");
    let target = t.pbx.expect_call();
    target.reply(&target.invite(), 180);
    t.call.bye_with(&WORDS);
    t.call.expect(200);
    let cancel = target.expect("CANCEL");
    target.reply(&cancel, 200);
    target.reply(&target.invite(), 487);
    target.expect("ACK");
    let bye = t.leg.expect_bye();
    for (name, value) in &WORDS[..3] {
        assert_eq!(bye.header(name), *value);
    }
    t.world.assert_ended("abandoned");
    t.world.assert_empty();
}

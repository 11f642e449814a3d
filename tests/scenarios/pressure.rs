//! What a known source, or whoever forges its address, can make Baton keep, send and write.

use crate::common::config::Config;
use crate::common::peer::Talking;
use crate::common::{World, ms, s};

#[test]
fn options_of_a_trunk_are_answered_without_state() {
    let world = World::new();
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    for _ in 0..2000 {
        let ping = pbx.ping();
        let first = pbx.expect(200);
        assert_eq!(world.counters().transactions, 0);
        pbx.send(&ping.text);
        // The same answer once more, tag and all: a copy.
        world.settle();
        assert_eq!(first.branch(), ping.branch());
    }
    assert_eq!(pbx.retransmissions(), 2000);
    world.assert_empty();
}

#[test]
fn a_stray_request_is_refused_without_state() {
    let world = World::new();
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    let text = pbx.ping().text.replace("OPTIONS", "SUBSCRIBE");
    pbx.expect(200);
    pbx.send(&text);
    pbx.expect(405);
    pbx.send(&text);
    world.settle();
    assert_eq!((pbx.retransmissions(), world.counters().transactions), (1, 0));
    world.assert_empty();
}

/// Whatever is wrong with an INVITE: nobody acknowledges the refusal, and it is not sent again.
#[test]
fn a_call_that_is_refused_outside_a_dialog_leaves_nothing_behind() {
    let world = World::new();
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    let calling = || pbx.calling("+14155550100");
    let refused = [
        (400, calling().contact("sip:")),
        (416, calling().uri("urn:service:sos")),
        (420, calling().header("Require", "teleportation")),
        (415, calling().header("Content-Encoding", "gzip")),
        (422, calling().header("Supported", "timer").header("Session-Expires", "30")),
        (483, calling().max_forwards(0)),
    ];
    for (status, invite) in refused {
        let call = invite.send();
        call.expect(status);
        assert_eq!(world.counters().transactions, 0, "after a {status}");
    }
    pbx.expect_silence(s(33));
    world.assert_empty();
}

/// Beyond `max_calls` an INVITE gets one 503, whether it is acknowledged or not.
#[test]
fn overload_gives_back_at_most_two_bytes_for_one() {
    let t = Talking::with(&Config::default().one_engine().max_calls(1));
    let before = t.world.counters();
    let (mut sent, mut back) = (0, 0);
    for _ in 0..500 {
        let call = t.pbx.invite("+14155550100");
        let refused = call.expect(503);
        assert!(!refused.header("Retry-After").is_empty());
        sent += call.written();
        back += refused.text.len();
    }
    // Nobody acknowledges them, and they are not sent again.
    t.pbx.expect_silence(s(33));
    let after = t.world.counters();
    println!("overload: {sent} bytes in, {back} bytes back, a ratio of {:.2}", back as f64 / sent as f64);
    assert!(back <= 2 * sent);
    assert_eq!(after.transactions, before.transactions.min(after.transactions));
    assert_eq!(after.requests_turned_away, 500);
    assert_eq!(after.calls_refused.iter().sum::<u64>(), 500);
    let told = t.world.lines("call.refused");
    assert_eq!(told.len(), 1, "one line a minute: {told:#?}");
    assert!(told[0].contains("trunk=pbx status=503") && told[0].contains("max_calls"), "{}", told[0]);
    assert_eq!(t.world.lines("sip.status").len(), 1);
    t.world.advance(s(30));
    t.pbx.invite("+14155550100").expect(503);
    let told = t.world.lines("call.refused");
    assert!(told[1].ends_with(" count=500"), "{}", told[1]);
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn the_ack_of_a_stateless_refusal_is_swallowed_and_a_copy_gets_the_same() {
    let t = Talking::with(&Config::default().max_calls(1));
    let call = t.pbx.invite("+14155550100");
    let refused = call.expect(503);
    call.send_again();
    t.world.settle();
    assert_eq!(t.pbx.retransmissions(), 1, "the same 503, tag and all");
    call.ack(&refused);
    t.pbx.expect_silence(s(1));
    t.caller_hangs_up();
    t.world.assert_empty();
}

/// A flood of calls to a number that nobody has: the first hundred in a second are refused as ever, the rest without state.
#[test]
fn many_refusals_in_a_second_are_given_without_state() {
    let world = World::with(&Config::default().one_engine());
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    for _ in 0..1000 {
        pbx.invite("+14155559999").expect(404);
    }
    let counters = world.counters();
    assert_eq!(counters.requests_turned_away, 900);
    assert_eq!(counters.transactions, 100);
    assert_eq!(counters.calls_refused.iter().sum::<u64>(), 1000);
    assert!(world.lines("call.refused").len() <= 101);
    world.advance(ms(1100));
    let call = pbx.invite("+14155559999");
    let refused = call.expect(404);
    call.ack(&refused);
    assert_eq!(world.counters().requests_turned_away, 900, "a second later it is as ever");
    world.advance(s(40));
    pbx.forgets();
    world.assert_empty();
}

/// The calls of a peer that a restart has cost go on there, and each request of theirs was a line of the log.
#[test]
fn stray_requests_of_a_known_source_have_one_warning_a_minute() {
    let world = World::with(&Config::default().one_engine());
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    let stray = |number: usize, method: &str, tag: &str| {
        let ping = pbx.ping().text.replace("OPTIONS", method);
        pbx.expect(200);
        let (head, to) = ping.split_once("\r\nTo: ").expect("a To");
        let (to, rest) = to.split_once("\r\n").expect("an end");
        pbx.send(&format!("{head}\r\nTo: {to}{tag}\r\n{rest}"));
        pbx.expect(if tag.is_empty() { 405 } else { 481 });
        number
    };
    for number in 0..500 {
        stray(number, "BYE", ";tag=lost");
        stray(number, "INFO", ";tag=lost");
        stray(number, "REGISTER", "");
    }
    assert_eq!(world.lines("sip.status").len(), 1, "the first one can be found by its status");
    let told = world.lines("sip.stray_request");
    assert_eq!(told.len(), 1, "one line a minute: {told:#?}");
    assert!(told[0].contains(" WARN ") && told[0].contains("source=10.0.0.5:5060"), "{}", told[0]);
    assert!(told[0].contains(" method=BYE ") && told[0].contains(" status=481 count=1 "), "{}", told[0]);
    world.advance(s(60));
    stray(0, "BYE", ";tag=lost");
    let told = world.lines("sip.stray_request");
    assert!(told.len() == 2 && told[1].contains(" count=1500 "), "{told:#?}");
    assert_eq!(world.lines("sip.status").len(), 2);
    assert_eq!(world.counters().transactions, 0);
    world.assert_empty();
}

/// A call that is refused for what its INVITE says belongs to no call either.
#[test]
fn calls_that_are_refused_outside_a_dialog_have_one_warning_a_minute() {
    let world = World::with(&Config::default().one_engine());
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    for _ in 0..300 {
        pbx.calling("+14155550100").header("Require", "teleportation").send().expect(420);
        let short = pbx.calling("+14155550100").header("Supported", "timer").header("Session-Expires", "30");
        short.send().expect(422);
    }
    assert_eq!(world.lines("sip.status").len(), 2, "the first one of each can be found by its status");
    let told = world.lines("sip.stray_request");
    assert_eq!(told.len(), 1, "one line a minute: {told:#?}");
    assert!(
        told[0].contains(" method=INVITE status=420 count=1 ") && told[0].contains("Warning"),
        "{}",
        told[0]
    );
    assert_eq!(world.counters().transactions, 0);
    world.assert_empty();
}

/// What is to be mended is another thing, so it has a line of its own.
#[test]
fn a_stray_request_does_not_hide_why_calls_are_refused() {
    let world = World::with(&Config::default().one_engine());
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    let call = pbx.calling("+14155550100").header("Require", "teleportation");
    let head = "BYE sip:baton@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKgone;rport\r\nFrom: <sip:a@b>;tag=1";
    let rest = "Call-ID: gone\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n";
    pbx.send(&format!("{head}\r\nTo: <sip:c@d>;tag=lost\r\n{rest}"));
    pbx.expect(481);
    call.send().expect(420);
    let told = world.lines("sip.stray_request");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("status=481") && told[1].contains("status=420"), "{told:#?}");
    assert_eq!(world.lines("sip.status").len(), 2);
    world.assert_empty();
}

/// To agree on a longer session is no fault of anybody's.
#[test]
fn a_422_warns_of_nothing() {
    let world = World::new();
    let pbx = world.peer("pbx", "10.0.0.5:5060");
    let short = pbx.calling("+14155550100").header("Supported", "timer").header("Session-Expires", "30");
    short.send().expect(422);
    assert_eq!((world.lines("sip.status").len(), world.lines("sip.stray_request").len()), (1, 0));
    world.assert_empty();
}

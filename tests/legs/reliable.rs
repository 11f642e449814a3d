//! Provisional responses that are acknowledged (RFC 3262), and UPDATE before the answer (RFC 3311).

use crate::bench::{ANSWER, Bench, CONTACT, HOLD, Peer, SDP, body, header, response, sdp, udp};
use baton::sip::{Content, Event, InDialogRequest, LegId, NotSent, Origin};
use baton::wire::{Framing, Index, decode};

const REQUIRED: &str = "Require: 100rel\nAllow: INVITE, ACK, BYE, UPDATE";

/// A caller that requires reliable responses.
fn called(bench: &mut Bench) -> LegId {
    let invite = bench.invite(REQUIRED, SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!("no leg") };
    bench.sent("100");
    leg
}

fn ring(bench: &mut Bench, leg: LegId, party: u8, status: u16, content: Content<'_>) {
    bench.act(|stack, now| stack.provisional(now, leg, party, status, content)).unwrap();
}

/// The PRACK for a response, and what it gets.
fn prack(bench: &mut Bench, early: &str, cseq: u32) -> Peer {
    let mut peer = Peer { cseq, ..bench.caller_of(early) };
    let rack = format!("RAck: {} 10 INVITE", header(early, "RSeq"));
    let prack = bench.request(&mut peer, "PRACK", &rack, "");
    assert_eq!(bench.recv(&prack), None);
    bench.sent("200");
    peer
}

fn answer_and_end(bench: &mut Bench, leg: LegId, party: u8, content: Content<'_>) -> String {
    bench.act(|stack, now| stack.answer(now, leg, party, content)).unwrap();
    let ok = bench.sent("200");
    acknowledge_and_end(bench, leg, &ok);
    ok
}

fn acknowledge_and_end(bench: &mut Bench, leg: LegId, ok: &str) {
    let peer = bench.caller_of(ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
}

#[test]
fn a_ringing_is_repeated_until_its_prack() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    ring(&mut bench, leg, 0, 180, Content::default());
    let early = bench.sent("180");
    assert_eq!(header(&early, "Require"), "100rel");
    bench.ms(500);
    assert_eq!(bench.sent("180"), early);
    bench.ms(999);
    bench.quiet();
    bench.ms(1);
    assert_eq!(bench.sent("180"), early);
    prack(&mut bench, &early, 10);
    bench.ms(20_000);
    bench.quiet();
    // The answer is in the 2xx, as nothing said it before.
    let ok = answer_and_end(&mut bench, leg, 0, sdp(ANSWER));
    assert_eq!(body(&ok), ANSWER);
    bench.end();
}

#[test]
fn one_at_a_time_each_a_number_further() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    ring(&mut bench, leg, 0, 180, Content::default());
    let first = bench.sent("180");
    ring(&mut bench, leg, 0, 183, sdp(ANSWER));
    ring(&mut bench, leg, 1, 181, Content::default());
    bench.quiet();
    prack(&mut bench, &first, 10);
    let second = bench.sent("183");
    let number = |text: &str| header(text, "RSeq").parse::<u64>().unwrap();
    assert_eq!((number(&second), body(&second)), (number(&first) + 1, ANSWER));
    prack(&mut bench, &second, 11);
    let third = bench.sent("181");
    assert_ne!(header(&third, "To"), header(&second, "To"), "another party, another early dialog");
    prack(&mut bench, &third, 12);
    bench.release(leg);
    bench.sent("480");
    bench.end();
}

#[test]
fn a_prack_of_nothing_is_481() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    ring(&mut bench, leg, 0, 180, Content::default());
    let early = bench.sent("180");
    for rack in ["RAck: 4711 10 INVITE", "RAck: x 10 INVITE", ""] {
        let mut peer = bench.caller_of(&early);
        let wrong = bench.request(&mut peer, "PRACK", rack, "").replace("ann@10.0.0.9:5062>", "x@10.0.0.9>");
        assert_eq!(bench.recv(&wrong), None);
        // Of the same CSeq: only the first of them gets as far.
        bench.sent(if rack.contains("4711") { "481" } else { "500" });
    }
    bench.release(leg);
    bench.sent("480");
    bench.end();
}

#[test]
fn a_2xx_waits_for_the_prack_of_its_answer() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    ring(&mut bench, leg, 0, 183, sdp(ANSWER));
    let early = bench.sent("183");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    bench.quiet();
    let mut peer = bench.caller_of(&early);
    let rack = format!("RAck: {} 10 INVITE", header(&early, "RSeq"));
    let text = bench.request(&mut peer, "PRACK", &rack, "");
    assert_eq!(bench.recv(&text), None);
    bench.sent("200 OK");
    let ok = bench.sent("200 OK");
    assert_eq!((body(&ok), header(&ok, "CSeq")), ("", "10 INVITE"), "the answer stood in the 183");
    assert_eq!(bench.stack.remote_sdp(leg), Some(SDP.as_bytes()));
    assert_eq!(bench.stack.local_sdp(leg), Some(ANSWER.as_bytes()));
    acknowledge_and_end(&mut bench, leg, &ok);
    bench.end();
}

#[test]
fn a_183_without_prack_when_the_cancel_comes() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    ring(&mut bench, leg, 0, 183, sdp(ANSWER));
    bench.sent("183");
    let cancel =
        bench.invite_as("z9hG4bKpeer1", "sip:+14155550100@10.0.0.1", "", "").replace("INVITE", "CANCEL");
    assert_eq!(bench.recv(&cancel), Some(Event::Cancelled { leg }));
    bench.sent("200");
    bench.sent("487");
    bench.release(leg);
    let ack = bench.invite_as("z9hG4bKpeer1", "sip:+14155550100@10.0.0.1", "", "").replace("INVITE", "ACK");
    bench.recv(&ack);
    bench.end();
}

#[test]
fn a_caller_that_acknowledges_nothing_is_given_up() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    ring(&mut bench, leg, 0, 180, Content::default());
    for _ in 0..7 {
        bench.sent("180");
        bench.ms(16_000);
        while bench.sent.front().is_some_and(|(_, _, text)| text.contains(" 180 ")) && bench.sent.len() > 1 {
            bench.sent.pop_front();
        }
        if bench.events.front().is_some() {
            break;
        }
    }
    assert_eq!(bench.event(), Event::Lost { leg, status: 408, origin: Origin::Local });
    while bench.sent.front().is_some_and(|(_, _, text)| text.contains(" 180 ")) {
        bench.sent.pop_front();
    }
    bench.sent("504");
    bench.release(leg);
    bench.pass(std::time::Duration::from_secs(33));
    bench.sent.clear();
    bench.end();
}

#[test]
fn a_caller_without_an_offer_gets_no_18x() {
    let mut bench = Bench::new();
    let invite = bench.invite(REQUIRED, "");
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!("no leg") };
    bench.sent("100");
    ring(&mut bench, leg, 0, 183, sdp(ANSWER));
    bench.quiet();
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    assert_eq!(body(&ok), ANSWER);
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", SDP);
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    assert_eq!(bench.stack.remote_sdp(leg), Some(SDP.as_bytes()));
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

const ASKS: &str =
    "Contact: <sip:bob@10.0.0.8:5081>\nRequire: 100rel\nAllow: INVITE, ACK, BYE, UPDATE\nRSeq: 5";

#[test]
fn a_reliable_18x_of_the_peer_gets_its_prack() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    assert!(header(&invite, "Supported").contains("100rel"));
    let ringing = response(&invite, "183 Session Progress", "bob", ASKS, ANSWER);
    assert_eq!(bench.recv(&ringing), Some(Event::Progress { leg, status: 183 }));
    let prack = bench.sent("PRACK sip:bob@10.0.0.8:5081");
    let invite_cseq: u32 = header(&invite, "CSeq").split(' ').next().unwrap().parse().unwrap();
    assert_eq!(header(&prack, "RAck"), format!("5 {invite_cseq} INVITE"));
    assert_eq!(header(&prack, "CSeq"), format!("{} PRACK", invite_cseq + 1));
    assert!(header(&prack, "To").ends_with(";tag=bob"));
    // Once more, and one that is not the next: nothing.
    assert_eq!(bench.recv(&ringing), None);
    assert_eq!(bench.recv(&ringing.replace("RSeq: 5", "RSeq: 7")), None);
    bench.quiet();
    bench.recv(&response(&prack, "200 OK", "", "", ""));
    let next = ringing
        .replace("RSeq: 5", "RSeq: 6")
        .replace(ANSWER, "")
        .replace("183 Session Progress", "180 Ringing");
    let next = next.split("Content-Type").next().unwrap().to_owned() + "Content-Length: 0\r\n\r\n";
    assert_eq!(bench.recv(&next), Some(Event::Progress { leg, status: 180 }));
    let prack = bench.sent("PRACK");
    assert_eq!(header(&prack, "RAck"), format!("6 {invite_cseq} INVITE"));
    bench.recv(&response(&prack, "200 OK", "", "", ""));
    // The answer stood in the 183; the 2xx needs none.
    let ok = response(&invite, "200 OK", "bob", "Contact: <sip:bob@10.0.0.8:5081>", "");
    assert_eq!(bench.recv(&ok), Some(Event::Answered { leg, status: 200, needs_answer: false }));
    bench.sent("ACK");
    assert_eq!(bench.stack.remote_sdp(leg), Some(ANSWER.as_bytes()));
    bench.release(leg);
    let bye = bench.sent("BYE");
    assert_eq!(header(&bye, "CSeq"), format!("{} BYE", invite_cseq + 3));
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn each_branch_of_a_fork_has_its_own_numbers() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    for (tag, port, target) in [("bob", "5000", "bob"), ("eve", "5002", "eve")] {
        let contact = ASKS.replace("sip:bob@", &format!("sip:{target}@"));
        let ringing = response(&invite, "183 Progress", tag, &contact, &ANSWER.replace("5000", port));
        assert_eq!(bench.recv(&ringing), Some(Event::Progress { leg, status: 183 }));
        let prack = bench.sent(&format!("PRACK sip:{target}@"));
        bench.recv(&response(&prack, "200 OK", "", "", ""));
    }
    // The first of them answers: its session stands, not that which was heard last.
    let ok = response(&invite, "200 OK", "bob", "Contact: <sip:bob@10.0.0.8:5081>", "");
    assert_eq!(bench.recv(&ok), Some(Event::Answered { leg, status: 200, needs_answer: false }));
    bench.sent("ACK");
    assert_eq!(bench.stack.remote_sdp(leg), Some(ANSWER.as_bytes()));
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn without_an_offer_nothing_reliable_is_asked_for() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], "");
    let invite = bench.sent("INVITE");
    assert!(!header(&invite, "Supported").contains("100rel"));
    bench.release(leg);
    bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, ""));
    let cancel = bench.sent("CANCEL");
    bench.recv(&response(&cancel, "200 OK", "", "", ""));
    bench.recv(&response(&invite, "487 Request Terminated", "bob", "", ""));
    bench.sent("ACK");
    bench.end();
}

/// Passes an UPDATE of another leg's peer into this one.
fn pass_update(bench: &mut Bench, leg: LegId, sdp: &str) -> Result<baton::sip::SentId, NotSent> {
    let text = Bench::new().invite("", sdp).replace("INVITE", "UPDATE");
    let mut index = Index::default();
    let message = decode(text.as_bytes(), &mut index, Framing::Datagram).unwrap();
    bench.act(|stack, now| stack.pass(now, leg, &message, false))
}

#[test]
fn an_update_of_the_caller_before_the_answer() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    ring(&mut bench, leg, 0, 183, sdp(ANSWER));
    let early = bench.sent("183");
    let mut peer = prack(&mut bench, &early, 10);
    let update = bench.request(&mut peer, "UPDATE", "", HOLD);
    let Some(Event::Request { request, kind: InDialogRequest::Update, .. }) = bench.recv(&update) else {
        panic!()
    };
    assert_eq!(bench.stack.remote_sdp(leg), Some(SDP.as_bytes()), "not before it is answered");
    bench.act(|stack, now| stack.respond(now, request, 200, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    assert_eq!((header(&ok, "To"), header(&ok, "CSeq")), (header(&early, "To"), "12 UPDATE"));
    assert_eq!(bench.stack.remote_sdp(leg), Some(HOLD.as_bytes()));
    let ok = answer_and_end(&mut bench, leg, 0, sdp(ANSWER));
    assert_eq!(body(&ok), "");
    assert_eq!(header(&ok, "To"), header(&early, "To"));
    bench.end();
}

#[test]
fn an_update_to_the_caller_before_the_answer() {
    let mut bench = Bench::new();
    let leg = called(&mut bench);
    assert_eq!(pass_update(&mut bench, leg, HOLD), Err(NotSent::Pending), "there is no early dialog yet");
    ring(&mut bench, leg, 0, 180, Content::default());
    let early = bench.sent("180");
    assert_eq!(pass_update(&mut bench, leg, HOLD), Err(NotSent::Pending), "its offer is not answered yet");
    prack(&mut bench, &early, 10);
    ring(&mut bench, leg, 0, 183, sdp(ANSWER));
    let early = bench.sent("183");
    prack(&mut bench, &early, 11);
    let moved = ANSWER.replace("5000", "5004");
    let sent = pass_update(&mut bench, leg, &moved).unwrap();
    let update = bench.sent("UPDATE sip:ann@10.0.0.9:5062");
    assert_eq!(header(&update, "From").split(";tag=").nth(1), header(&early, "To").split(";tag=").nth(1));
    assert_eq!(body(&update), moved.replace("agent 99 1", "agent 99 2"));
    let done = bench.recv(&response(&update, "200 OK", "", "", SDP));
    let origin = Origin::Remote;
    assert_eq!(done, Some(Event::Response { leg, sent, status: 200, origin, needs_answer: false }));
    answer_and_end(&mut bench, leg, 0, sdp(&moved));
    bench.end();
}

#[test]
fn an_update_of_the_callee_before_its_answer() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    let ringing = response(&invite, "183 Session Progress", "bob", ASKS, ANSWER);
    bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, ""));
    let mut peer = bench.callee_of(&invite, "bob");
    let early = bench.request(&mut peer, "UPDATE", "", ANSWER);
    assert_eq!(bench.recv(&early), None);
    bench.sent("491");
    bench.recv(&ringing);
    let prack = bench.sent("PRACK");
    bench.recv(&response(&prack, "200 OK", "", "", ""));
    let moved = ANSWER.replace("5000", "5004");
    let update = bench.request(&mut peer, "UPDATE", "Contact: <sip:bob@10.0.0.8:5081>", &moved);
    let Some(Event::Request { request, kind: InDialogRequest::Update, .. }) = bench.recv(&update) else {
        panic!()
    };
    bench.act(|stack, now| stack.respond(now, request, 200, sdp(SDP))).unwrap();
    bench.sent("200");
    // And one of ours the other way.
    pass_update(&mut bench, leg, HOLD).unwrap();
    let ours = bench.sent("UPDATE sip:bob@10.0.0.8:5081");
    bench.recv(&response(&ours, "488 Not Acceptable Here", "", "", ""));
    let ok = response(&invite, "200 OK", "bob", "Contact: <sip:bob@10.0.0.8:5081>", "");
    assert_eq!(bench.recv(&ok), Some(Event::Answered { leg, status: 200, needs_answer: false }));
    bench.sent("ACK");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn an_update_without_a_body_is_answered_at_once() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let update = bench.request(&mut peer, "UPDATE", "", "");
    assert_eq!(bench.recv(&update), None);
    bench.sent("200");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

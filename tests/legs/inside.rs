//! Inside an answered leg: glare, what passes, BYE and what crosses it, keepalive.

use crate::bench::{ANSWER, Bench, HOLD, SDP, body, header, response, sdp};
use baton::sip::{Content, Event, InDialogRequest, LegId, NotSent, Origin, SentId};
use baton::wire::{Framing, Index, decode};
use std::time::Duration;

/// Passes a request of another leg's peer into this one.
fn pass(bench: &mut Bench, leg: LegId, method: &str, sdp: &str) -> Result<SentId, NotSent> {
    let text = Bench::new().invite("X-Note: 1", sdp).replace("INVITE", method);
    let mut index = Index::default();
    let message = decode(text.as_bytes(), &mut index, Framing::Datagram).unwrap();
    bench.act(|stack, now| stack.pass(now, leg, &message, false))
}

fn close(bench: &mut Bench, leg: LegId) {
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
}

#[test]
fn reinvite_crosses_update() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let sent = pass(&mut bench, leg, "INVITE", HOLD).unwrap();
    let reinvite = bench.sent("INVITE");
    // Ours is outstanding: theirs gets 491, and so does whoever wants another one from us.
    for method in ["UPDATE", "INVITE"] {
        let glare = bench.request(&mut peer, method, "", SDP);
        assert_eq!(bench.recv(&glare), None);
        bench.sent("491");
    }
    assert_eq!(pass(&mut bench, leg, "INVITE", SDP), Err(NotSent::Pending));
    assert_eq!(pass(&mut bench, leg, "UPDATE", SDP), Err(NotSent::Pending));
    // An INFO needs no turn.
    let info = pass(&mut bench, leg, "INFO", "").unwrap();
    let text = bench.sent("INFO");
    assert_eq!(header(&text, "X-Note"), "1");
    let done = bench.recv(&response(&text, "200 OK", "", "", ""));
    let origin = Origin::Remote;
    assert_eq!(done, Some(Event::Response { leg, sent: info, status: 200, origin, needs_answer: false }));
    // Theirs crossed it: their 491 is for the one who asked.
    let refused = bench.recv(&response(&reinvite, "491 Request Pending", "", "", ""));
    assert_eq!(refused, Some(Event::Response { leg, sent, status: 491, origin, needs_answer: false }));
    bench.sent("ACK");
    let update = bench.request(&mut peer, "UPDATE", "", HOLD);
    let Some(Event::Request { request, kind: InDialogRequest::Update, .. }) = bench.recv(&update) else {
        panic!()
    };
    bench.act(|stack, now| stack.respond(now, request, 200, sdp(ANSWER))).unwrap();
    assert!(body(&bench.sent("200")).contains("agent 99 "));
    assert_eq!(bench.stack.remote_sdp(leg), Some(HOLD.as_bytes()));
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn a_second_invite_of_the_peer_waits_for_the_first() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let first = bench.request(&mut peer, "INVITE", "", HOLD);
    let Some(Event::Request { request, kind: InDialogRequest::Modify, .. }) = bench.recv(&first) else {
        panic!()
    };
    bench.sent("100");
    let second = bench.request(&mut peer, "INVITE", "", SDP);
    assert_eq!(bench.recv(&second), None);
    let busy = bench.sent("500");
    assert!(header(&busy, "Retry-After").parse::<u32>().unwrap() <= 10);
    let ack =
        second.split("Content-Type").next().unwrap().replace("INVITE", "ACK") + "Content-Length: 0\r\n\r\n";
    assert_eq!(bench.recv(&ack), None);
    assert_eq!(pass(&mut bench, leg, "INVITE", SDP), Err(NotSent::Pending));
    bench.act(|stack, now| stack.respond(now, request, 200, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    assert_eq!(body(&ok), ANSWER);
    bench.ms(500);
    assert_eq!(bench.sent("200"), ok);
    let ack = bench.request_as(&peer, "ACK", 11, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    // A number that was seen, or a lower one, in a new transaction.
    let late = bench.request_as(&peer, "INFO", 11, "", "");
    assert_eq!(bench.recv(&late), None);
    bench.sent("500");
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn a_reinvite_of_ours_is_acknowledged_and_refreshes_the_target() {
    let mut bench = Bench::new();
    let (leg, _) = bench.answered();
    let sent = pass(&mut bench, leg, "INVITE", HOLD).unwrap();
    let invite = bench.sent("INVITE");
    let ok = response(&invite, "200 OK", "", "Contact: <sip:ann@10.0.0.99:7000>", SDP);
    let origin = Origin::Remote;
    let event = Event::Response { leg, sent, status: 200, origin, needs_answer: false };
    assert_eq!(bench.recv(&ok), Some(event));
    let (flow, ack) = bench.sent_by("ACK sip:ann@10.0.0.99:7000 SIP/2.0");
    assert_eq!(flow.peer.to_string(), "10.0.0.99:7000");
    assert_eq!(bench.recv(&ok), None);
    assert_eq!(bench.sent("ACK"), ack);
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn a_2xx_without_an_answer_leaves_the_session_as_it_was() {
    for early in [false, true] {
        let mut bench = Bench::new();
        let (leg, _) = bench.answered();
        pass(&mut bench, leg, "INVITE", HOLD).unwrap();
        let invite = bench.sent("INVITE");
        assert!(!bench.stack.is_agreed(leg), "it is not answered yet");
        if early {
            bench.recv(&response(&invite, "183 Session Progress", "", "", &SDP.replace("4000", "4010")));
        }
        bench.recv(&response(&invite, "200 OK", "", "Contact: <sip:ann@10.0.0.9:5062>", ""));
        bench.sent("ACK");
        let port = if early { "4010" } else { "4000" };
        assert_eq!(bench.stack.remote_sdp(leg), Some(SDP.replace("4000", port).as_bytes()));
        assert_eq!(bench.stack.is_agreed(leg), early);
        let local = bench.stack.local_sdp(leg).unwrap();
        assert_eq!(local == ANSWER.as_bytes(), !early, "what we offered does not stand");
        close(&mut bench, leg);
        bench.end();
    }
}

#[test]
fn no_2xx_of_ours_leaves_an_offer_without_an_answer() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    for method in ["INVITE", "UPDATE"] {
        let request = bench.request(&mut peer, method, "", HOLD);
        let Some(Event::Request { request, .. }) = bench.recv(&request) else { panic!() };
        if method == "INVITE" {
            bench.sent("100");
        }
        bench.act(|stack, now| stack.respond(now, request, 200, Content::default())).unwrap();
        bench.sent("488");
        assert_eq!(bench.stack.remote_sdp(leg), Some(SDP.as_bytes()));
    }
    let ack = bench.request_as(&peer, "ACK", 11, "", "");
    bench.recv(&ack);
    close(&mut bench, leg);
    bench.sent.clear();
}

#[test]
fn a_reinvite_without_an_offer_passes_with_the_answer_in_ack() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let sent = pass(&mut bench, leg, "INVITE", "").unwrap();
    let invite = bench.sent("INVITE");
    let origin = Origin::Remote;
    let ok = response(&invite, "200 OK", "", "Contact: <sip:ann@10.0.0.9:5062>", HOLD);
    let event = Event::Response { leg, sent, status: 200, origin, needs_answer: true };
    assert_eq!(bench.recv(&ok), Some(event));
    bench.quiet();
    let update = bench.request(&mut peer, "UPDATE", "", SDP);
    assert_eq!(bench.recv(&update), None);
    bench.sent("500");
    bench.act(|stack, now| stack.acknowledge(now, leg, sdp(ANSWER))).unwrap();
    assert_eq!(body(&bench.sent("ACK")), ANSWER);
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn bye_crosses_bye() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let ours = bench.sent("BYE");
    let theirs = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&theirs), None);
    bench.sent("200");
    let closed = bench.recv(&response(&ours, "481 Gone", "", "", ""));
    assert_eq!(closed, Some(Event::Closed { leg, status: 481, origin: Origin::Remote }));
    bench.release(leg);
    bench.end();
}

#[test]
fn an_unanswered_bye_is_a_local_408() {
    let mut bench = Bench::new();
    let (leg, _) = bench.answered();
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    bench.ms(32_000);
    assert_eq!(bench.event(), Event::Closed { leg, status: 408, origin: Origin::Local });
    bench.sent.clear();
    bench.release(leg);
    bench.end();
}

#[test]
fn a_bye_ends_what_is_pending() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let invite = bench.request(&mut peer, "INVITE", "", HOLD);
    let Some(Event::Request { request, .. }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    assert!(header(&bench.sent("487"), "CSeq").ends_with("INVITE"));
    assert!(bench.act(|stack, now| stack.respond(now, request, 200, sdp(ANSWER))).is_err());
    assert_eq!(pass(&mut bench, leg, "INFO", ""), Err(NotSent::Gone));
    bench.release(leg);
    bench.ms(33_000);
    bench.sent.clear();
    bench.end();
}

#[test]
fn what_is_challenged_inside_a_leg_is_answered_unseen() {
    let mut bench = Bench::new();
    let (leg, _, _) = bench.connected();
    let sent = pass(&mut bench, leg, "INVITE", HOLD).unwrap();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    let first = bench.sent("INVITE");
    assert_eq!(bench.recv(&response(&first, "407 Proxy", "", challenge, "")), None);
    bench.sent("ACK");
    let again = bench.sent("INVITE");
    assert!(header(&again, "Proxy-Authorization").contains("nonce=\"n\""));
    assert_eq!(body(&again), body(&first));
    let ok = bench.recv(&response(&again, "200 OK", "", "Contact: <sip:bob@10.0.0.8:5081>", ANSWER));
    assert!(matches!(ok, Some(Event::Response { sent: which, status: 200, .. }) if which == sent));
    bench.sent("ACK");
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let bye = bench.sent("BYE");
    assert_eq!(bench.recv(&response(&bye, "407 Proxy", "", challenge, "")), None);
    let bye = bench.sent("BYE");
    assert!(header(&bye, "Proxy-Authorization").contains("nonce=\"n\""));
    let closed = bench.recv(&response(&bye, "200 OK", "", "", ""));
    assert!(matches!(closed, Some(Event::Closed { status: 200, .. })));
    bench.release(leg);
    bench.end();
}

#[test]
fn options_inside_is_answered_and_a_481_to_ours_is_confirmed_by_a_reinvite() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let options = bench.request(&mut peer, "OPTIONS", "", "");
    assert_eq!(bench.recv(&options), None);
    bench.sent("200");
    bench.act(|stack, now| stack.keep_alive(now, leg, Some(Duration::from_secs(20))));
    bench.ms(20_000);
    let alive = bench.sent("OPTIONS");
    assert_eq!(bench.recv(&response(&alive, "200 OK", "", "", "")), None);
    bench.ms(20_000);
    let alive = bench.sent("OPTIONS");
    assert_eq!(bench.recv(&response(&alive, "481 Gone", "", "", "")), None);
    let reinvite = bench.sent("INVITE");
    assert_eq!(body(&reinvite), ANSWER, "what stands");
    assert_eq!(bench.recv(&response(&reinvite, "481 Gone", "", "", "")), None);
    bench.sent("ACK");
    assert_eq!(bench.event(), Event::Lost { leg, status: 481, origin: Origin::Remote });
    bench.release(leg);
    let bye = bench.sent("BYE");
    assert_eq!(bench.recv(&response(&bye, "481 Gone", "", "", "")), None);
    bench.quiet();
    bench.end();
}

#[test]
fn three_missed_keepalives_and_an_unanswered_reinvite_mean_lost() {
    let mut bench = Bench::new();
    let (leg, _) = bench.answered();
    bench.act(|stack, now| stack.keep_alive(now, leg, Some(Duration::from_secs(20))));
    bench.ms(20_000);
    let alive = bench.sent("OPTIONS");
    assert_eq!(bench.recv(&response(&alive, "200 OK", "", "", "")), None);
    bench.ms(79_999);
    assert!(bench.sent.iter().all(|(_, _, text)| text.starts_with("OPTIONS")));
    bench.sent.clear();
    bench.ms(1);
    bench.sent("INVITE");
    bench.ms(31_999);
    assert!(bench.events.is_empty());
    bench.ms(1);
    assert_eq!(bench.event(), Event::Lost { leg, status: 408, origin: Origin::Local });
    bench.sent.clear();
    bench.release(leg);
    // For a peer that only did not answer.
    bench.sent("BYE");
    bench.ms(40_000);
    bench.sent.clear();
    bench.end();
}

#[test]
fn a_probe_tells_what_the_peer_said_and_ends_nothing() {
    let mut bench = Bench::new();
    let (leg, _) = bench.answered();
    let sent = bench.act(|stack, now| stack.probe(now, leg)).unwrap();
    let options = bench.sent("OPTIONS");
    let told = bench.recv(&response(&options, "481 Gone", "", "", ""));
    let origin = Origin::Remote;
    assert_eq!(told, Some(Event::Response { leg, sent, status: 481, origin, needs_answer: false }));
    close(&mut bench, leg);
    bench.end();
}

/// Whoever asks so has a 481 confirmed by itself; a 408 is checked as any.
#[test]
fn a_session_that_is_stated_again_asks_and_ends_nothing() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    for (status, checked) in [("481 Gone", false), ("408 Request Timeout", true)] {
        let sent = bench.act(|stack, now| stack.restate(now, leg)).unwrap();
        let invite = bench.sent("INVITE");
        assert_eq!(body(&invite), ANSWER, "what stands, no version further");
        assert_eq!(bench.act(|stack, now| stack.restate(now, leg)), Err(NotSent::Pending));
        let told = bench.recv(&response(&invite, status, "", "", ""));
        assert!(matches!(told, Some(Event::Response { sent: of, .. }) if of == sent), "{told:?}");
        bench.sent("ACK");
        if checked {
            let options = bench.sent("OPTIONS");
            bench.recv(&response(&options, "200 OK", "", "", ""));
        }
    }
    // What only answers the peer's hold is not what our side wants; and it has the offers of before, so its version grows.
    let hold = bench.request(&mut peer, "INVITE", "", HOLD);
    let Some(Event::Request { request, .. }) = bench.recv(&hold) else { panic!() };
    bench.sent("100");
    let held = format!("{ANSWER}a=recvonly\r\n");
    bench.act(|stack, now| stack.respond(now, request, 200, sdp(&held))).unwrap();
    let ok = bench.sent("200");
    assert!(body(&ok).ends_with("a=recvonly\r\n"));
    let ack = bench.request_as(&peer, "ACK", peer.cseq, "", "");
    bench.recv(&ack);
    bench.act(|stack, now| stack.restate(now, leg)).unwrap();
    let invite = bench.sent("INVITE");
    assert_eq!(body(&invite), ANSWER.replace("99 1 IN", "99 3 IN") + "a=sendrecv\r\n");
    let ok = response(&invite, "200 OK", "", "Contact: <sip:ann@10.0.0.9:5062>", HOLD);
    assert!(matches!(bench.recv(&ok), Some(Event::Response { status: 200, .. })));
    bench.sent("ACK");
    close(&mut bench, leg);
    bench.end();
}

/// 64 s of silence to a request and its check, and nothing that says that the peer answers OPTIONS.
#[test]
fn silence_to_an_info_and_its_check_is_told_once_and_ends_nothing() {
    let mut bench = Bench::new();
    let (leg, _) = bench.answered();
    for round in 0..2 {
        pass(&mut bench, leg, "INFO", "").unwrap();
        bench.ms(32_000);
        assert!(matches!(bench.event(), Event::Response { status: 408, .. }));
        bench.ms(32_000);
        if round == 0 {
            assert_eq!(bench.event(), Event::Silent { leg });
        }
        assert!(bench.events.is_empty());
        assert!(bench.sent.iter().any(|(_, _, text)| text.starts_with("OPTIONS")));
        bench.sent.clear();
    }
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn an_idle_leg_is_small() {
    let mut bench = Bench::new();
    let (caller, _) = bench.answered();
    let (agent, _, _) = bench.connected();
    bench.ms(33_000);
    bench.sent.clear();
    let counts = bench.stack.counts();
    assert_eq!((counts.legs, counts.clients, counts.servers), (2, 0, 0));
    assert_eq!(counts.deadlines, 0, "nothing ticks for an idle call");
    for leg in [caller, agent] {
        close(&mut bench, leg);
    }
    bench.end();
}

#[test]
fn a_bye_that_another_request_has_overtaken_ends_the_leg() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let bye = bench.request(&mut peer, "BYE", "", "");
    let options = bench.request(&mut peer, "OPTIONS", "", "");
    bench.recv(&options);
    bench.sent("200");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("500");
    bench.release(leg);
    bench.end();
}

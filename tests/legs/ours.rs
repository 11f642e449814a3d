//! A leg of ours: flows, forks, CANCEL and what crosses it, challenges, late offers.

use crate::bench::{ANSWER, Bench, CONTACT, HOLD, SDP, body, header, response, sdp, tag, udp};
use baton::sip::leg::challenge::Declined;
use baton::sip::{Connect, Content, Event, Field, LegState, Origin, Transport};
use baton::wire::{Framing, Index, decode};

#[test]
fn a_call_of_ours_rings_is_answered_and_closed() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let (flow, invite) = bench.sent_by("INVITE sip:booking@10.0.0.8:5080 SIP/2.0");
    assert_eq!(flow, udp("10.0.0.8:5080"));
    assert!(header(&invite, "From").starts_with("\"Ann\" <sip:+14155550111@10.0.0.1:5060>;tag="));
    assert_eq!(header(&invite, "To"), "<sip:+14155550100@10.0.0.1>");
    assert_eq!(header(&invite, "Max-Forwards"), "69");
    assert!(header(&invite, "Call-ID").starts_with("b-1a3-"));
    assert_eq!(body(&invite), SDP);
    assert_eq!(bench.recv(&response(&invite, "100 Trying", "", "", "")), None);
    // The tag changes between 18x and 2xx: another branch answered.
    let ringing = bench.recv(&response(&invite, "180 Ringing", "early", CONTACT, ""));
    assert_eq!(ringing, Some(Event::Progress { leg, status: 180 }));
    let ok = response(&invite, "200 OK", "bob", CONTACT, ANSWER);
    assert_eq!(bench.recv(&ok), Some(Event::Answered { leg, status: 200, needs_answer: false }));
    let (flow, ack) = bench.sent_by("ACK sip:bob@10.0.0.8:5081 SIP/2.0");
    assert_eq!(flow, udp("10.0.0.8:5081"));
    assert_eq!(tag(header(&ack, "To")), "bob");
    assert_ne!(header(&ack, "Via"), header(&invite, "Via"));
    // The 200 again: the very same ACK again. A 1xx after the final: nothing.
    assert_eq!(bench.recv(&ok), None);
    assert_eq!(bench.sent("ACK"), ack);
    assert_eq!(bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, "")), None);
    bench.quiet();
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let bye = bench.sent("BYE sip:bob@10.0.0.8:5081 SIP/2.0");
    let closed = bench.recv(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(closed, Some(Event::Closed { leg, status: 200, origin: Origin::Remote }));
    bench.release(leg);
    bench.end();
}

#[test]
fn the_route_set_of_a_calling_leg_is_reversed() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    let extra = format!(
        "{CONTACT}\nRecord-Route: <sip:10.0.0.2;lr>, <sip:10.0.0.3;lr>\nRecord-Route: <sip:10.0.0.4:99;lr>"
    );
    bench.recv(&response(&invite, "200 OK", "bob", &extra, ANSWER));
    let (flow, ack) = bench.sent_by("ACK");
    assert_eq!(header(&ack, "Route"), "<sip:10.0.0.4:99;lr>, <sip:10.0.0.3;lr>, <sip:10.0.0.2;lr>");
    assert_eq!(flow.peer.to_string(), "10.0.0.4:99");
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.release(leg);
    bench.end();
}

#[test]
fn the_first_2xx_of_a_fork_wins_and_the_others_are_ended() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    let first = bench.recv(&response(&invite, "200 OK", "bob", CONTACT, ANSWER));
    assert_eq!(first, Some(Event::Answered { leg, status: 200, needs_answer: false }));
    bench.sent("ACK");
    let other = response(&invite, "200 OK", "eve", "Contact: <sip:eve@10.0.0.7:5090>", ANSWER);
    assert_eq!(bench.recv(&other), None);
    let (flow, ack) = bench.sent_by("ACK sip:eve@10.0.0.7:5090 SIP/2.0");
    assert_eq!((tag(header(&ack, "To")), flow.peer.to_string().as_str()), ("eve", "10.0.0.7:5090"));
    let bye = bench.sent("BYE sip:eve@10.0.0.7:5090 SIP/2.0");
    assert_eq!(tag(header(&bye, "To")), "eve");
    assert_eq!(bench.recv(&response(&bye, "200 OK", "", "", "")), None);
    assert_eq!(bench.stack.state(leg), Some(LegState::Confirmed));
    bench.release(leg);
    let bye = bench.sent("BYE sip:bob@10.0.0.8:5081 SIP/2.0");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn a_cancel_waits_for_a_1xx_and_ends_with_487() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    let fields = [Field { name: "Reason".into(), value: "SIP;cause=200;text=\"elsewhere\"".into() }];
    bench.act(|stack, now| stack.close(now, leg, 480, Content { fields: &fields, ..Content::default() }));
    bench.quiet();
    assert_eq!(bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, "")), None);
    let cancel = bench.sent("CANCEL sip:booking@10.0.0.8:5080 SIP/2.0");
    assert_eq!(header(&cancel, "Via"), header(&invite, "Via"));
    assert_eq!(header(&cancel, "Reason"), "SIP;cause=200;text=\"elsewhere\"");
    bench.recv(&response(&cancel, "200 OK", "bob", "", ""));
    let closed = bench.recv(&response(&invite, "487 Request Terminated", "bob", "", ""));
    assert_eq!(closed, Some(Event::Closed { leg, status: 487, origin: Origin::Remote }));
    bench.sent("ACK");
    bench.release(leg);
    bench.end();
}

#[test]
fn cancel_crosses_200_ack_then_bye() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, ""));
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let cancel = bench.sent("CANCEL");
    assert_eq!(bench.recv(&response(&invite, "200 OK", "bob", CONTACT, ANSWER)), None);
    bench.sent("ACK");
    let bye = bench.sent("BYE");
    bench.recv(&response(&cancel, "481 No", "bob", "", ""));
    let closed = bench.recv(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(closed, Some(Event::Closed { leg, status: 200, origin: Origin::Remote }));
    bench.release(leg);
    bench.end();
}

#[test]
fn cancel_crosses_486() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080"), udp("10.0.0.18:5080")], SDP);
    let invite = bench.sent("INVITE");
    bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, ""));
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let cancel = bench.sent("CANCEL");
    let closed = bench.recv(&response(&invite, "486 Busy Here", "bob", "", ""));
    assert_eq!(closed, Some(Event::Closed { leg, status: 486, origin: Origin::Remote }));
    bench.sent("ACK");
    bench.recv(&response(&cancel, "481 No", "bob", "", ""));
    bench.quiet();
    bench.release(leg);
    bench.end();
}

#[test]
fn silence_is_408_and_the_next_flow_is_tried_first() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080"), udp("10.0.0.18:5080")], SDP);
    let first = bench.sent("INVITE");
    bench.ms(32_000);
    let other = bench.sent.pop_back().unwrap();
    assert_eq!(other.1, udp("10.0.0.18:5080"));
    assert_eq!(header(&other.2, "Call-ID"), header(&first, "Call-ID"));
    assert_ne!(header(&other.2, "Via"), header(&first, "Via"));
    assert_eq!(body(&other.2), SDP);
    bench.sent.clear();
    bench.ms(32_000);
    assert_eq!(bench.event(), Event::Refused { leg, status: 408, origin: Origin::Local });
    bench.sent.clear();
    bench.release(leg);
    bench.end();
}

#[test]
fn a_503_or_a_transport_fault_goes_to_the_next_flow() {
    let mut bench = Bench::new();
    let flows = [udp("10.0.0.8:5080"), udp("10.0.0.18:5080"), udp("10.0.0.28:5080")];
    let leg = bench.connect(&flows, SDP);
    let invite = bench.sent("INVITE");
    assert_eq!(bench.recv(&response(&invite, "503 Busy", "x", "", "")), None);
    bench.sent("ACK");
    let id = {
        let (id, flow, _) = bench.sent.front().unwrap();
        assert_eq!(*flow, flows[1]);
        *id
    };
    bench.sent("INVITE");
    bench.act(|stack, now| stack.handle_send_failed(now, id));
    let (flow, invite) = bench.sent_by("INVITE");
    assert_eq!(flow, flows[2]);
    let refused = bench.recv(&response(&invite, "404 Not Found", "x", "", ""));
    assert_eq!(refused, Some(Event::Refused { leg, status: 404, origin: Origin::Remote }));
    bench.sent("ACK");
    bench.release(leg);
    bench.end();
}

#[test]
fn an_invite_that_rings_for_ever_is_cancelled() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, ""));
    bench.ms(180_999);
    bench.quiet();
    bench.ms(1);
    bench.sent("CANCEL");
    bench.ms(32_000);
    assert_eq!(bench.event(), Event::Refused { leg, status: 408, origin: Origin::Local });
    bench.sent.clear();
    bench.release(leg);
    bench.end();
}

#[test]
fn a_challenged_invite_is_answered_once() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let first = bench.sent("INVITE");
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=MD5\n\
                     WWW-Authenticate: Digest realm=\"r\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth\"";
    assert_eq!(bench.recv(&response(&first, "401 Unauthorized", "x", challenge, "")), None);
    bench.sent("ACK");
    let second = bench.sent("INVITE");
    let answer = header(&second, "Authorization");
    assert!(answer.contains("username=\"baton\"") && answer.contains("nonce=\"n2\""), "{answer}");
    assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&second, "From"), header(&first, "From"));
    let number = |message: &str| header(message, "CSeq").split(' ').next().unwrap().parse::<u32>().unwrap();
    assert_eq!(number(&second), number(&first) + 1);
    assert_ne!(header(&second, "Via"), header(&first, "Via"));
    assert_eq!(body(&second), SDP);
    // Only the nonce was old: once more. Then it is refused.
    let stale = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n3\", stale=true";
    assert_eq!(bench.recv(&response(&second, "401 Unauthorized", "x", stale, "")), None);
    bench.sent("ACK");
    let third = bench.sent("INVITE");
    assert!(header(&third, "Authorization").contains("n3"));
    let refused = bench.recv(&response(&third, "401 Unauthorized", "x", stale, ""));
    assert_eq!(refused, Some(Event::Refused { leg, status: 401, origin: Origin::Remote }));
    assert_eq!(bench.stack.take_declined(), Some((leg, Declined::Refused)), "so that the log can say it");
    bench.sent("ACK");
    bench.quiet();
    bench.release(leg);
    bench.end();
}

#[test]
fn a_2xx_with_an_offer_is_acknowledged_with_the_answer_only() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], "");
    let invite = bench.sent("INVITE");
    assert_eq!(body(&invite), "");
    let ok = response(&invite, "200 OK", "bob", CONTACT, ANSWER);
    assert_eq!(bench.recv(&ok), Some(Event::Answered { leg, status: 200, needs_answer: true }));
    bench.quiet();
    assert_eq!(bench.recv(&ok), None);
    bench.quiet();
    bench.act(|stack, now| stack.acknowledge(now, leg, sdp(SDP))).unwrap();
    let ack = bench.sent("ACK");
    assert_eq!(body(&ack), SDP);
    assert_eq!(bench.recv(&ok), None);
    assert_eq!(bench.sent("ACK"), ack);
    assert_eq!(bench.stack.remote_sdp(leg), Some(ANSWER.as_bytes()));
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn an_answer_that_only_a_183_of_the_same_branch_has_carried_is_the_answer() {
    let other = ANSWER.replace("5000", "6000");
    for (tag, stands) in [("bob", Some(ANSWER)), ("eve", Some(&*other)), ("joe", None)] {
        let mut bench = Bench::new();
        let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
        let invite = bench.sent("INVITE");
        for (tag, sdp) in [("bob", ANSWER), ("eve", &*other)] {
            bench.recv(&response(&invite, "183 Session Progress", tag, CONTACT, sdp));
        }
        bench.recv(&response(&invite, "200 OK", tag, CONTACT, ""));
        bench.sent("ACK");
        assert_eq!(bench.stack.remote_sdp(leg), stands.map(str::as_bytes), "{tag}");
        bench.release(leg);
        let bye = bench.sent("BYE");
        bench.recv(&response(&bye, "200 OK", "", "", ""));
        bench.end();
    }
}

#[test]
fn an_offer_that_nobody_answers_is_declined_and_ended() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], "");
    let invite = bench.sent("INVITE");
    bench.recv(&response(&invite, "200 OK", "bob", CONTACT, ANSWER));
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    assert!(body(&bench.sent("ACK")).contains("m=audio 0 RTP/AVP 0"));
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.release(leg);
    bench.end();
}

#[test]
fn the_headers_of_a_caller_pass_and_those_of_the_product_stand_first() {
    let mut bench = Bench::new();
    let caller = bench.invite(
        "X-Account: 4\nX-Lang: de\nAuthorization: Digest x=\"y\"\nUser-to-User: ab\nP-Asserted-Identity: <sip:a@b>\n\
         X-Baton-Call-ID: forged",
        SDP,
    );
    let mut index = Index::default();
    let message = decode(caller.as_bytes(), &mut index, Framing::Datagram).unwrap();
    let fields = [
        Field { name: "X-Baton-Call-ID".into(), value: "c-1".into() },
        Field { name: "X-Lang".into(), value: "en".into() },
    ];
    let content =
        Content { copy: Some(&message), identity: false, fields: &fields, body: baton::sip::Body::Copied };
    let connect = Connect {
        patience: bench.patience,
        reach: bench.reach,
        flows: &[udp("10.0.0.8:5080")],
        uri: b"sip:booking@10.0.0.8",
        to: b"sip:100@h",
        from_user: None,
        from_display: None,
        max_forwards: 69,
        slot: 1,
        party: None,
        digest: false,
        content,
    };
    let leg = bench.act(|stack, now| stack.connect(now, connect));
    let invite = bench.sent("INVITE");
    assert!(header(&invite, "From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="));
    assert_eq!(header(&invite, "X-Account"), "4");
    assert_eq!(header(&invite, "X-Lang"), "en");
    assert_eq!(header(&invite, "X-Baton-Call-ID"), "c-1");
    assert_eq!(header(&invite, "User-to-User"), "ab");
    assert!(
        !invite.contains("Authorization") && !invite.contains("P-Asserted") && !invite.contains("forged")
    );
    assert_eq!(body(&invite), SDP);
    bench.recv(&response(&invite, "404 Not Found", "x", "", ""));
    bench.sent("ACK");
    bench.release(leg);
    bench.end();
}

#[test]
fn a_long_request_goes_by_tcp_and_falls_back() {
    let mut bench = Bench::new();
    let long = format!("{SDP}a={}\r\n", "x".repeat(1300));
    let leg = bench.connect(&[udp("10.0.0.8:5080")], &long);
    let (id, flow) = {
        let (id, flow, _) = bench.sent.front().unwrap();
        (*id, *flow)
    };
    assert_eq!(flow.transport, Transport::Tcp);
    let by_tcp = bench.sent("INVITE");
    assert!(header(&by_tcp, "Via").starts_with("SIP/2.0/TCP "));
    assert!(!header(&by_tcp, "Contact").contains("transport"));
    bench.act(|stack, now| stack.handle_send_failed(now, id));
    let (flow, by_udp) = bench.sent_by("INVITE");
    assert_eq!(flow, udp("10.0.0.8:5080"));
    assert!(header(&by_udp, "Via").starts_with("SIP/2.0/UDP "));
    bench.recv(&response(&by_udp, "486 Busy Here", "x", "", ""));
    bench.sent("ACK");
    bench.release(leg);
    bench.end();
}

#[test]
fn an_early_bye_of_the_callee_ends_the_leg() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    bench.recv(&response(&invite, "180 Ringing", "bob", CONTACT, ""));
    let mut peer = bench.callee_of(&invite, "bob");
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    let cancel = bench.sent("CANCEL");
    bench.release(leg);
    bench.recv(&response(&cancel, "200 OK", "bob", "", ""));
    assert_eq!(bench.recv(&response(&invite, "487 Request Terminated", "bob", "", "")), None);
    bench.sent("ACK");
    bench.end();
}

#[test]
fn the_version_of_our_origin_grows_over_parties() {
    let mut bench = Bench::new();
    let (leg, mut peer, _) = bench.connected();
    let re = crate::bench::Bench::new().invite("", HOLD);
    let mut index = Index::default();
    let message = decode(re.as_bytes(), &mut index, Framing::Datagram).unwrap();
    let sent = bench.act(|stack, now| stack.pass(now, leg, &message, false)).unwrap();
    let invite = bench.sent("INVITE sip:bob@10.0.0.8:5081 SIP/2.0");
    assert_eq!(body(&invite), HOLD);
    assert_eq!(header(&invite, "Max-Forwards"), "69");
    // Refused: the session stays, and the next offer is a version further.
    let refused = bench.recv(&response(&invite, "488 No", "", "", ""));
    assert!(matches!(refused, Some(Event::Response { sent: which, status: 488, .. }) if which == sent));
    bench.sent("ACK");
    assert_eq!(bench.stack.local_sdp(leg), Some(SDP.as_bytes()));
    let moved = ANSWER.replace("5000", "5004");
    let other = bench.request(&mut peer, "INVITE", "", &moved);
    let Some(Event::Request { request, .. }) = bench.recv(&other) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.respond(now, request, 200, sdp(SDP))).unwrap();
    let ok = bench.sent("200");
    assert_eq!(body(&ok), SDP.replace("pbx 7 7", "pbx 7 9"));
    let ack = bench.request_as(&peer, "ACK", peer.cseq, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

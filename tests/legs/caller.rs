//! The caller's leg: the door, early dialogs, the answer and its ACK, CANCEL.

use crate::bench::{ANSWER, Bench, SDP, all, body, header, sdp, start, tag};
use baton::sip::{Answer, Content, Event, Field, Flow, LegState, Origin, Question, Transport};

#[test]
fn an_offer_without_content_type_is_one() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP).replace("Content-Type: application/sdp\r\n", "");
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!("no leg") };
    bench.sent("100");
    assert_eq!(bench.stack.proposed_sdp(leg), Some(SDP.as_bytes()));
    bench.act(|stack, now| stack.reject(now, leg, 486, Content::default())).unwrap();
    bench.sent("486");
    bench.release(leg);
    bench.ms(40_000);
    bench.sent.clear();
}

#[test]
fn a_call_comes_rings_is_answered_and_ends() {
    let mut bench = Bench::new();
    let invite = bench.invite("Record-Route: <sip:10.0.0.2;lr>, <sip:10.0.0.3;lr>", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    assert!(!bench.sent("100").contains("Contact"));
    // The INVITE again: 100 again, no second leg.
    assert_eq!(bench.recv(&invite), None);
    bench.sent("100");
    bench.act(|stack, now| stack.provisional(now, leg, 0, 180, Content::default())).unwrap();
    let ringing = bench.sent("180");
    assert_eq!(header(&ringing, "Record-Route"), "<sip:10.0.0.2;lr>, <sip:10.0.0.3;lr>");
    assert_eq!(bench.stack.state(leg), Some(LegState::Ringing));
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    assert_eq!(tag(header(&ok, "To")), tag(header(&ringing, "To")));
    assert_eq!(body(&ok), ANSWER);
    assert_eq!(bench.stack.remote_sdp(leg), Some(SDP.as_bytes()));
    // T1, then twice as long, until the ACK.
    bench.ms(499);
    bench.quiet();
    bench.ms(1);
    assert_eq!(bench.sent("200"), ok);
    bench.ms(1000);
    assert_eq!(bench.sent("200"), ok);
    let mut peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    assert_eq!(bench.recv(&ack), None);
    bench.ms(40_000);
    bench.quiet();
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    // A BYE that was lost on the way back is the same answer again.
    assert_eq!(bench.recv(&bye), None);
    bench.sent("200");
    bench.release(leg);
    bench.end();
}

#[test]
fn an_invite_is_over_when_its_time_is_though_nothing_has_rung() {
    let mut bench = Bench::new();
    let invite = bench.invite("Expires: 1", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!("no leg") };
    bench.sent("100");
    bench.ms(1000);
    bench.sent("487");
    assert_eq!(bench.event(), Event::Cancelled { leg });
    bench.act(|stack, now| stack.release(now, leg));
    bench.end();
}

#[test]
fn at_the_door() {
    let refused = |uri: &str, extra: &str, body: &str, status: &str, says: &str| {
        let mut bench = Bench::new();
        let invite = bench.invite_as("z9hG4bKdoor", uri, extra, body);
        assert_eq!(bench.recv(&invite), None);
        let answer = bench.sent(status);
        assert!(answer.contains(says), "{says} expected in\n{answer}");
        let ack =
            invite.replace("INVITE", "ACK").replace(SDP, "").replace("Content-Type: application/sdp\r\n", "");
        let ack = ack.split("Content-Length").next().unwrap().to_owned() + "Content-Length: 0\r\n\r\n";
        bench.recv(&ack);
        bench.end();
    };
    let us = "sip:100@10.0.0.1";
    refused("mailto:a@b", "", SDP, "416", "");
    refused(us, "Require: 100rel, precondition, x", SDP, "420", "Unsupported: precondition, x");
    refused(us, "Supported: timer\nSession-Expires: 60", SDP, "422", "Min-SE: 90");
    refused(us, "Content-Type: text/plain", "hello", "415", "Accept: application/sdp");
    refused(us, "Content-Encoding: gzip", SDP, "415", "Accept-Encoding: identity");
    refused(us, "Max-Forwards: 0", SDP, "483", "");
}

#[test]
fn methods_and_requests_without_a_dialog() {
    let answers = |method: &str, to_tag: &str, status: &str, says: &str| {
        let mut bench = Bench::new();
        let request = bench
            .invite("Event: refer\nRefer-To: <sip:x@y>", "")
            .replace("INVITE", method)
            .replace("To: <sip:+14155550100@10.0.0.1>", &format!("To: <sip:+14155550100@10.0.0.1>{to_tag}"));
        assert_eq!(bench.recv(&request), None);
        let answer = bench.sent(status);
        assert!(answer.contains(says), "{says} expected in\n{answer}");
        assert!(header(&answer, "To").contains(";tag="));
        bench.end();
    };
    answers(
        "OPTIONS",
        "",
        "200",
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY",
    );
    answers("OPTIONS", ";tag=gone", "481", "");
    answers("NOTIFY", "", "481", "");
    answers("REFER", "", "403", "");
    answers("BYE", ";tag=gone", "481", "");
    answers("PRACK", ";tag=gone", "481", "");
    answers("INVITE", ";tag=gone", "481", "");
    answers("SUBSCRIBE", "", "405", "Allow: INVITE");
    answers("DANCE", "", "501", "Allow: INVITE");
}

#[test]
fn a_drained_stack_says_so() {
    let mut bench = Bench::new();
    bench.stack.set_draining(Some(7));
    let options = bench.invite("", "").replace("INVITE", "OPTIONS");
    bench.recv(&options);
    assert_eq!(header(&bench.sent("503"), "Retry-After"), "7");
    bench.end();
}

#[test]
fn unknown_sources_hear_nothing_but_in_their_own_dialog() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    bench.known = false;
    for method in ["INVITE", "OPTIONS", "BYE", "DANCE"] {
        let mut stranger = peer.clone();
        stranger.local = "<sip:x@y>;tag=guess".into();
        let request = bench.request(&mut stranger, method, "", "");
        assert_eq!(bench.recv(&request), None);
    }
    let invite = bench.invite("", SDP).replace("call-1@pbx", "other");
    assert_eq!(bench.recv(&invite), None);
    bench.quiet();
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    bench.release(leg);
    bench.end();
}

#[test]
fn merged_and_looped_invites_get_482() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    let other_way = invite.replace("z9hG4bKpeer1", "z9hG4bKotherway");
    assert_eq!(bench.recv(&other_way), None);
    bench.sent("482");
    bench.act(|stack, now| stack.reject(now, leg, 486, Content::default())).unwrap();
    bench.sent("486");
    bench.release(leg);
    // An INVITE of ours that comes back to us.
    let ours = bench.connect(&[bench.flow], SDP);
    let sent = bench.sent("INVITE");
    let back = sent.replacen("Via: ", "Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKspiral\r\nVia: ", 1);
    assert_eq!(bench.recv(&back), None);
    bench.sent("482");
    bench.act(|stack, now| stack.close(now, ours, 480, Content::default()));
    bench.release(ours);
    bench.ms(70_000);
    bench.sent.clear();
    bench.end();
}

#[test]
fn each_party_has_its_own_early_dialog_and_origin() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.provisional(now, leg, 0, 183, sdp(ANSWER))).unwrap();
    let first = bench.sent("183");
    let other = ANSWER.replace("agent 99 1", "desk 5 5").replace("5000", "6000");
    bench.act(|stack, now| stack.provisional(now, leg, 1, 183, sdp(&other))).unwrap();
    let second = bench.sent("183");
    assert_ne!(tag(header(&first, "To")), tag(header(&second, "To")));
    assert_eq!(body(&second), other);
    // What rings long is said again each minute.
    bench.ms(60_000);
    assert_eq!(bench.sent("183"), second);
    // The second party answers with changed media: its origin goes on.
    let answer = other.replace("desk 5 5", "x 1 1").replace("6000", "6002");
    bench.act(|stack, now| stack.answer(now, leg, 1, sdp(&answer))).unwrap();
    let ok = bench.sent("200");
    assert_eq!(tag(header(&ok, "To")), tag(header(&second, "To")));
    assert_eq!(body(&ok), other.replace("desk 5 5", "desk 5 6").replace("6000", "6002"));
    let mut peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    bench.recv(&ack);
    let bye = bench.request(&mut peer, "BYE", "", "");
    bench.recv(&bye);
    bench.sent("200");
    bench.release(leg);
    bench.end();
}

#[test]
fn the_caller_cancels() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    let cancel = invite.split("Content-Type").next().unwrap().replace("INVITE", "CANCEL")
        + "Content-Length: 0\r\n\r\n";
    assert_eq!(bench.recv(&cancel), Some(Event::Cancelled { leg }));
    assert!(header(&bench.sent("200"), "CSeq").ends_with("CANCEL"));
    let refusal = bench.sent("487");
    assert!(header(&refusal, "CSeq").ends_with("INVITE"));
    assert!(bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).is_err());
    let ack =
        invite.split("Content-Type").next().unwrap().replace("INVITE", "ACK") + "Content-Length: 0\r\n\r\n";
    assert_eq!(bench.recv(&ack), None);
    bench.quiet();
    bench.release(leg);
    bench.end();
}

#[test]
fn a_cancel_that_crosses_our_200_changes_nothing() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    let cancel = invite.split("Content-Type").next().unwrap().replace("INVITE", "CANCEL")
        + "Content-Length: 0\r\n\r\n";
    assert_eq!(bench.recv(&cancel), None);
    bench.sent("200");
    let mut peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    bench.release(leg);
    bench.end();
}

#[test]
fn a_lost_ack_ends_the_leg_after_64_t1() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    bench.ms(31_999);
    // 0, 0.5, 1.5, 3.5, 7.5, then each 4 s.
    assert_eq!(bench.sent.len(), 11);
    assert!(bench.sent.iter().all(|(_, _, text)| start(text) == "SIP/2.0 200 OK"));
    bench.sent.clear();
    bench.ms(1);
    assert_eq!(bench.event(), Event::Unconfirmed { leg });
    let bye = bench.sent("BYE sip:ann@10.0.0.9:5062;ob SIP/2.0");
    assert_eq!(header(&bye, "To"), "\"Ann\" <sip:+14155550111@10.0.0.9>;tag=ann");
    let closed = bench.recv(&crate::bench::response(&bye, "200 OK", "", "", ""));
    assert!(matches!(closed, Some(Event::Closed { status: 200, .. })), "{closed:?}");
    bench.release(leg);
    bench.end();
}

#[test]
fn our_bye_waits_for_the_ack() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    let fields = [Field { name: "Reason".into(), value: "SIP;cause=200".into() }];
    bench.act(|stack, now| stack.close(now, leg, 480, Content { fields: &fields, ..Content::default() }));
    bench.quiet();
    assert_eq!(bench.stack.state(leg), Some(LegState::Closing));
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    assert_eq!(bench.recv(&ack), None);
    let bye = bench.sent("BYE");
    assert_eq!(header(&bye, "Reason"), "SIP;cause=200");
    bench.recv(&crate::bench::response(&bye, "200 OK", "", "", ""));
    bench.release(leg);
    bench.end();
}

#[test]
fn the_callers_bye_overtakes_its_ack() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    let mut peer = bench.caller_of(&ok);
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    assert_eq!(bench.recv(&ack), None);
    bench.ms(5000);
    bench.quiet();
    bench.release(leg);
    bench.end();
}

#[test]
fn a_call_without_an_offer_is_answered_with_ours() {
    let mut bench = Bench::new();
    let invite = bench.invite("", "");
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    assert_eq!(body(&ok), ANSWER);
    let mut peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", SDP);
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    assert_eq!(bench.stack.remote_sdp(leg), Some(SDP.as_bytes()));
    let bye = bench.request(&mut peer, "BYE", "", "");
    bench.recv(&bye);
    bench.sent("200");
    bench.release(leg);
    bench.end();
}

#[test]
fn the_route_set_of_a_called_leg_keeps_the_recorded_order() {
    let mut bench = Bench::new();
    let records = "Record-Route: <sip:10.0.0.2:5070;lr>\nRecord-Route: <sip:10.0.0.3;lr>";
    let invite = bench.invite(records, SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    assert_eq!(all(&ok, "Record-Route").count(), 2);
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    bench.recv(&ack);
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let (flow, bye) = bench.sent_by("BYE sip:ann@10.0.0.9:5062;ob SIP/2.0");
    assert_eq!(header(&bye, "Route"), "<sip:10.0.0.2:5070;lr>, <sip:10.0.0.3;lr>");
    assert_eq!(flow.peer.to_string(), "10.0.0.2:5070");
    bench.recv(&crate::bench::response(&bye, "200 OK", "", "", ""));
    bench.release(leg);
    bench.end();
}

#[test]
fn a_strict_router_takes_the_request_uri() {
    let mut bench = Bench::new();
    let invite = bench.invite("Record-Route: <sip:10.0.0.2>, <sip:10.0.0.3;lr>", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    bench.recv(&ack);
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    let bye = bench.sent("BYE sip:10.0.0.2 SIP/2.0");
    assert_eq!(header(&bye, "Route"), "<sip:10.0.0.3;lr>, <sip:ann@10.0.0.9:5062;ob>");
    bench.recv(&crate::bench::response(&bye, "200 OK", "", "", ""));
    bench.release(leg);
    bench.end();
}

/// A peer of RFC 2543 has no tag, and is in the dialog all the same.
#[test]
fn a_caller_without_a_tag_moves_its_target() {
    let mut bench = Bench::new();
    let invite = bench.invite("", SDP);
    let from = header(&invite, "From").to_owned();
    let bare = from.split(";tag=").next().unwrap().to_owned();
    let Some(Event::Incoming { leg }) = bench.recv(&invite.replace(&from, &bare)) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    let update = bench.request_as(&peer, "UPDATE", 11, "", "");
    let contact = header(&update, "Contact").to_owned();
    bench.recv(&update.replace(&contact, "<sip:ann@10.0.0.77:5070>"));
    bench.act(|stack, now| stack.close(now, leg, 503, Content::default()));
    assert!(bench.sent.iter().any(|(_, _, text)| text.starts_with("BYE sip:ann@10.0.0.77:5070 ")));
}

#[test]
fn a_route_by_name_is_asked_for_and_then_followed() {
    let mut bench = Bench::new();
    let invite = bench.invite("Record-Route: <sip:proxy.test;lr>", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    let asked = bench.stack.poll_question().expect("a question");
    assert_eq!(asked, (leg, Question::Locate(b"sip:proxy.test;lr"[..].into())));
    assert_eq!(bench.stack.peer(leg).map(|flow| flow.peer.to_string()).as_deref(), Some("10.0.0.9:5060"));
    let there = crate::bench::udp("10.0.0.2:5060");
    bench.act(|stack, now| stack.handle_answer(now, leg, Answer::Located(&[there])));
    assert_eq!(bench.stack.peer(leg), Some(there));
    bench.act(|stack, now| stack.close(now, leg, 503, Content::default()));
    bench.sent("503");
    bench.release(leg);
    bench.recv(&ack_of(&invite));
    bench.end();
}

#[test]
fn who_is_gone_waits_for_no_answer() {
    let mut bench = Bench::new();
    let invite = bench.invite("Record-Route: <sip:proxy.test;lr>", SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    assert!(bench.stack.poll_question().is_some());
    bench.act(|stack, now| stack.reject(now, leg, 486, Content::default())).unwrap();
    bench.sent("486");
    assert_eq!(bench.stack.poll_withdrawn(), None, "it is there yet");
    bench.act(|stack, now| stack.release(now, leg));
    assert_eq!(bench.stack.poll_withdrawn(), Some(leg));
    bench.recv(&ack_of(&invite));
    let there = crate::bench::udp("10.0.0.2:5060");
    bench.act(|stack, now| stack.handle_answer(now, leg, Answer::Located(&[there])));
    bench.end();
}

/// The ACK of a refusal of this INVITE.
fn ack_of(invite: &str) -> String {
    invite.split("Content-Type").next().unwrap().replace("INVITE", "ACK") + "Content-Length: 0\r\n\r\n"
}

#[test]
fn a_refusal_is_over_when_it_is_acknowledged_or_never() {
    for acknowledged in [true, false] {
        let mut bench = Bench::new();
        let invite = bench.invite("", SDP);
        let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
        bench.sent("100");
        let fields = [Field { name: "Retry-After".into(), value: "7".into() }];
        let content = Content { fields: &fields, ..Content::default() };
        bench.act(|stack, now| stack.reject(now, leg, 480, content)).unwrap();
        assert_eq!(header(&bench.sent("480"), "Retry-After"), "7");
        if acknowledged {
            let _ = bench.recv(&ack_of(&invite));
            assert!(matches!(bench.event(), Event::Closed { status: 200, .. }));
        } else {
            bench.ms(31_999);
            assert!(bench.events.is_empty() && bench.sent.len() == 10, "{}", bench.sent.len());
            bench.sent.clear();
            bench.ms(1);
            assert_eq!(bench.event(), Event::Closed { leg, status: 408, origin: Origin::Local });
        }
        bench.release(leg);
        bench.end();
    }
}

#[test]
fn a_stream_that_dies_is_left_for_the_contact() {
    let mut bench = Bench::new();
    let stream = Flow {
        transport: Transport::Tcp,
        listener: 1,
        peer: "10.0.0.9:40123".parse().unwrap(),
        connection: 12,
    };
    bench.flow = stream;
    let invite = bench.invite("", SDP).replace("SIP/2.0/UDP", "SIP/2.0/TCP").replace(";ob", ";transport=tcp");
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    let (flow, _) = bench.sent_by("100");
    assert_eq!(flow, stream);
    assert_eq!(bench.stack.peer(leg), Some(stream));
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    assert!(header(&ok, "Contact").ends_with(";transport=tcp>"));
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    bench.recv(&ack);
    // The ACK of a re-INVITE goes down with it: the copy of the 2xx comes by another one.
    let content = || Content { body: baton::sip::leg::Body::Sdp(ANSWER.as_bytes()), ..Content::default() };
    bench.act(|stack, now| stack.reinvite(now, leg, content())).unwrap();
    let ours = bench.sent("INVITE");
    let ok =
        crate::bench::response(&ours, "200 OK", "", "Contact: <sip:ann@10.0.0.9:5062;transport=tcp>", SDP);
    bench.recv(&ok);
    bench.sent("ACK");
    bench.act(|stack, now| stack.handle_flow_closed(now, 12, stream.peer));
    bench.flow = Flow { peer: "10.0.0.9:40999".parse().unwrap(), connection: 13, ..stream };
    bench.recv(&ok);
    let (flow, _) = bench.sent_by("ACK");
    assert_eq!(flow, bench.flow);
    assert!(matches!(bench.event(), Event::Left { leg: of, .. } if of == leg), "it has left only now");
    bench.act(|stack, now| stack.handle_flow_closed(now, 13, stream.peer));
    bench.release(leg);
    let (flow, bye) = bench.sent_by("BYE");
    assert_eq!(flow, Flow { peer: "10.0.0.9:5062".parse().unwrap(), connection: 0, ..stream });
    bench.recv(&crate::bench::response(&bye, "200 OK", "", "", ""));
    bench.end();
}

/// The network tells of a stream's end and of what could not be sent by it in either order.
#[test]
fn a_send_that_failed_with_its_stream_does_not_fail_the_copy_by_another() {
    let mut bench = Bench::new();
    let stream = Flow {
        transport: Transport::Tcp,
        listener: 1,
        peer: "10.0.0.9:40123".parse().unwrap(),
        connection: 12,
    };
    bench.flow = stream;
    let invite = bench.invite("", SDP).replace("SIP/2.0/UDP", "SIP/2.0/TCP").replace(";ob", ";transport=tcp");
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!() };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    bench.recv(&ack);
    let content = Content { body: baton::sip::leg::Body::Sdp(ANSWER.as_bytes()), ..Content::default() };
    let sent = bench.act(|stack, now| stack.reinvite(now, leg, content)).unwrap();
    let (id, _, first) = bench.sent_as("INVITE");
    bench.act(|stack, now| stack.handle_flow_closed(now, 12, stream.peer));
    let (_, flow, copy) = bench.sent_as("INVITE");
    assert_eq!((flow.connection, first), (0, copy.clone()));
    bench.act(|stack, now| stack.handle_send_failed(now, id));
    bench.quiet();
    bench.flow = Flow { peer: "10.0.0.9:5062".parse().unwrap(), connection: 13, ..stream };
    let ok =
        crate::bench::response(&copy, "200 OK", "", "Contact: <sip:ann@10.0.0.9:5062;transport=tcp>", SDP);
    let answered = bench.recv(&ok);
    assert!(
        matches!(answered, Some(Event::Response { sent: of, status: 200, .. }) if of == sent),
        "{answered:?}"
    );
    bench.sent("ACK");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&crate::bench::response(&bye, "200 OK", "", "", ""));
    bench.events.clear();
    bench.end();
}

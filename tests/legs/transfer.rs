//! REFER both ways and its NOTIFYs, in every order.

use crate::bench::{Bench, Peer, header, response};
use baton::sip::leg::decision::{Decision, Target};
use baton::sip::leg::reason_info::ReasonInfo;
use baton::sip::leg::refer::Refer;
use baton::sip::leg::subscription::ReferProgress;
use baton::sip::transaction::GivenUp;
use baton::sip::{Content, Event, Field, InDialogRequest, LegId, NotSent, Origin, SentId, Transport};
use baton::wire::Method;

fn refer(bench: &mut Bench, leg: LegId) -> Result<SentId, NotSent> {
    let fields = [Field { name: "X-Caller".into(), value: "Ann".into() }];
    bench.act(|stack, now| {
        stack.refer(
            now,
            leg,
            Refer {
                refer_to: b"<sip:+14155550123@10.0.0.9>",
                referred_by: Some(b"<sip:100@10.0.0.1>"),
                fields: &fields,
                max_forwards: 70,
            },
        )
    })
}

fn notify(bench: &mut Bench, peer: &mut Peer, event: &str, state: &str, fragment: &str) -> String {
    let extra =
        format!("Event: {event}\nSubscription-State: {state}\nContent-Type: message/sipfrag;version=2.0");
    bench.request(peer, "NOTIFY", &extra, fragment)
}

fn cseq(message: &str) -> u32 {
    header(message, "CSeq").split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_notify_may_come_before_the_2xx() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let sent = refer(&mut bench, leg).unwrap();
    let text = bench.sent("REFER sip:ann@10.0.0.9:5062;ob SIP/2.0");
    assert_eq!(header(&text, "Refer-To"), "<sip:+14155550123@10.0.0.9>");
    assert_eq!(header(&text, "Referred-By"), "<sip:100@10.0.0.1>");
    assert_eq!(header(&text, "X-Caller"), "Ann");
    let id = format!("refer;id={}", cseq(&text));
    let first = notify(&mut bench, &mut peer, &id, "active;expires=60", "SIP/2.0 100 Trying\r\n");
    let progress = ReferProgress { status: Some(100), reason_info: ReasonInfo::default(), terminated: false };
    assert_eq!(bench.recv(&first), Some(Event::Notified { leg, refer: sent, progress }));
    bench.sent("200");
    let origin = Origin::Remote;
    let done = bench.recv(&response(&text, "202 Accepted", "", "", ""));
    assert_eq!(done, Some(Event::Response { leg, sent, status: 202, origin, needs_answer: false }));
    // Without an id it belongs to the only REFER; without CRLF it is a sipfrag too.
    let last = notify(&mut bench, &mut peer, "refer", "terminated;reason=noresource", "SIP/2.0 200 OK");
    let progress = ReferProgress { status: Some(200), reason_info: ReasonInfo::default(), terminated: true };
    assert_eq!(bench.recv(&last), Some(Event::Notified { leg, refer: sent, progress }));
    bench.sent("200");
    // The subscription is over.
    let late = notify(&mut bench, &mut peer, "refer", "terminated", "SIP/2.0 200 OK");
    assert_eq!(bench.recv(&late), None);
    bench.sent("481");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn notifys_are_matched_by_id_once_there_are_two() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let one = refer(&mut bench, leg).unwrap();
    let first = bench.sent("REFER");
    let two = refer(&mut bench, leg).unwrap();
    let second = bench.sent("REFER");
    for text in [&first, &second] {
        bench.recv(&response(text, "202 Accepted", "", "", ""));
    }
    let unnamed = notify(&mut bench, &mut peer, "refer", "active", "SIP/2.0 180 Ringing");
    // Many peers never write an id, so that this is about the newest.
    let progress = ReferProgress { status: Some(180), reason_info: ReasonInfo::default(), terminated: false };
    assert_eq!(bench.recv(&unnamed), Some(Event::Notified { leg, refer: two, progress }));
    bench.sent("200");
    for (sent, text, status) in [(two, &second, 486), (one, &first, 200)] {
        let event = format!("refer;id={}", cseq(text));
        let fragment = format!("SIP/2.0 {status} x");
        let named = notify(&mut bench, &mut peer, &event, "terminated", &fragment);
        let progress =
            ReferProgress { status: Some(status), reason_info: ReasonInfo::default(), terminated: true };
        assert_eq!(bench.recv(&named), Some(Event::Notified { leg, refer: sent, progress }));
        bench.sent("200");
    }
    let other = notify(&mut bench, &mut peer, "presence", "active", "");
    assert_eq!(bench.recv(&other), None);
    bench.sent("489");
    let old = bench.request_as(&peer, "NOTIFY", 3, "Event: refer", "");
    assert_eq!(bench.recv(&old), None);
    bench.sent("500");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn a_notify_after_the_bye_is_taken_until_the_leg_is_released() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let sent = refer(&mut bench, leg).unwrap();
    let text = bench.sent("REFER");
    bench.recv(&response(&text, "202 Accepted", "", "", ""));
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    let late = notify(&mut bench, &mut peer, "refer", "active", "SIP/2.0 200 OK");
    let progress = ReferProgress { status: Some(200), reason_info: ReasonInfo::default(), terminated: false };
    assert_eq!(bench.recv(&late), Some(Event::Notified { leg, refer: sent, progress }));
    bench.sent("200");
    bench.release(leg);
    let later = notify(&mut bench, &mut peer, "refer", "terminated", "SIP/2.0 200 OK");
    assert_eq!(bench.recv(&later), None);
    bench.sent("481");
    bench.end();
}

#[test]
fn a_refer_that_nobody_answers_ends_nothing() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let sent = refer(&mut bench, leg).unwrap();
    bench.ms(32_000);
    let origin = Origin::Local;
    assert_eq!(bench.event(), Event::Response { leg, sent, status: 408, origin, needs_answer: false });
    bench.sent.clear();
    // It was heard after all.
    let late = notify(&mut bench, &mut peer, "refer", "terminated", "SIP/2.0 200 OK");
    assert!(matches!(bench.recv(&late), Some(Event::Notified { .. })));
    bench.sent("200");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

/// The network gives a copy back, and the first may have arrived.
#[test]
fn a_copy_that_cannot_be_sent_says_nothing_of_the_first() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let sent = refer(&mut bench, leg).unwrap();
    let first = bench.sent("REFER");
    bench.ms(500);
    let id = bench.sent.front().expect("a copy").0;
    bench.sent("REFER");
    bench.act(|stack, now| stack.handle_send_failed(now, id));
    bench.quiet();
    let origin = Origin::Remote;
    let taken = bench.recv(&response(&first, "202 Accepted", "", "", ""));
    assert_eq!(taken, Some(Event::Response { leg, sent, status: 202, origin, needs_answer: false }));
    let late = notify(&mut bench, &mut peer, "refer", "terminated", "SIP/2.0 200 OK");
    assert!(matches!(bench.recv(&late), Some(Event::Notified { .. })));
    bench.sent("200");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn a_first_that_cannot_be_sent_is_refused() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let sent = refer(&mut bench, leg).unwrap();
    let id = bench.sent.front().expect("a REFER").0;
    bench.sent("REFER");
    bench.act(|stack, now| stack.handle_send_failed(now, id));
    let origin = Origin::Local;
    let undelivered = bench.event();
    assert!(
        matches!(undelivered, Event::Undelivered { method: Method::Refer, again: false, .. }),
        "{undelivered:?}"
    );
    assert_eq!(bench.event(), Event::Response { leg, sent, status: 503, origin, needs_answer: false });
    let late = notify(&mut bench, &mut peer, "refer", "terminated", "SIP/2.0 200 OK");
    assert_eq!(bench.recv(&late), None);
    bench.sent("481");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

/// A REFER too long for a datagram, which waits for its connection.
fn by_a_stream(bench: &mut Bench) -> (LegId, Peer, SentId, u64) {
    let (leg, peer) = bench.answered();
    let fields = [Field { name: "X-Context".into(), value: "c".repeat(1300).into() }];
    let refer_to = b"<sip:+14155550123@10.0.0.9>";
    let it = Refer { refer_to, referred_by: None, fields: &fields, max_forwards: 70 };
    let sent = bench.act(|stack, now| stack.refer(now, leg, it)).unwrap();
    let id = bench.sent.front().expect("a REFER").0;
    assert_eq!(bench.sent_by("REFER").0.transport, Transport::Tcp);
    (leg, peer, sent, id)
}

#[test]
fn a_refer_that_is_given_up_before_it_has_left_is_taken_back() {
    let mut bench = Bench::new();
    let (leg, _, sent, id) = by_a_stream(&mut bench);
    assert_eq!(bench.act(|stack, now| stack.give_up(now, leg, sent)), GivenUp::Waits);
    assert_eq!(bench.act(|stack, now| stack.give_up(now, leg, sent)), GivenUp::Waits);
    assert_eq!((bench.stack.poll_recall(), bench.stack.poll_recall()), (Some(id), None));
    bench.act(|stack, now| stack.handle_send_failed(now, id));
    let origin = Origin::Local;
    let told = std::iter::from_fn(|| bench.events.pop_front()).last();
    assert_eq!(told, Some(Event::Response { leg, sent, status: 503, origin, needs_answer: false }));
    // Not by UDP either.
    bench.quiet();
    assert!(!bench.stack.is_subscribed(leg, sent));
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn a_refer_that_had_left_just_then_is_in_doubt() {
    let mut bench = Bench::new();
    let (leg, mut peer, sent, id) = by_a_stream(&mut bench);
    assert_eq!(bench.act(|stack, now| stack.give_up(now, leg, sent)), GivenUp::Waits);
    assert_eq!(bench.stack.poll_recall(), Some(id));
    bench.act(|stack, now| stack.handle_sent(now, id));
    assert_eq!(bench.event(), Event::Left { leg, sent });
    // A write that was begun and not ended: it may have arrived, so that only Timer F tells of silence.
    bench.act(|stack, now| stack.handle_send_failed(now, id));
    bench.quiet();
    bench.pass(std::time::Duration::from_secs(33));
    let origin = Origin::Local;
    assert_eq!(bench.event(), Event::Response { leg, sent, status: 408, origin, needs_answer: false });
    let late = notify(&mut bench, &mut peer, "refer", "terminated", "SIP/2.0 200 OK");
    assert!(matches!(bench.recv(&late), Some(Event::Notified { .. })));
    bench.sent("200");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn a_refer_that_has_left_is_given_up_and_heard() {
    let mut bench = Bench::new();
    let (leg, _, sent, id) = by_a_stream(&mut bench);
    bench.act(|stack, now| stack.handle_sent(now, id));
    assert_eq!(bench.act(|stack, now| stack.give_up(now, leg, sent)), GivenUp::Left);
    assert_eq!(bench.stack.poll_recall(), None);
    assert!(bench.events.is_empty() && bench.stack.is_subscribed(leg, sent));
    bench.pass(std::time::Duration::from_secs(33));
    let origin = Origin::Local;
    assert_eq!(bench.event(), Event::Response { leg, sent, status: 408, origin, needs_answer: false });
    assert_eq!(bench.act(|stack, now| stack.give_up(now, leg, sent)), GivenUp::Over);
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn a_challenged_refer_keeps_its_name_and_changes_its_id() {
    let mut bench = Bench::new();
    let (leg, mut peer, _) = bench.connected();
    let sent = refer(&mut bench, leg).unwrap();
    let first = bench.sent("REFER");
    let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\"";
    assert_eq!(bench.recv(&response(&first, "401 Unauthorized", "", challenge, "")), None);
    let again = bench.sent("REFER");
    assert_eq!(cseq(&again), cseq(&first) + 1);
    assert!(header(&again, "Authorization").contains("uri=\"sip:bob@10.0.0.8:5081\""));
    assert_eq!(header(&again, "Refer-To"), header(&first, "Refer-To"));
    let origin = Origin::Remote;
    let done = bench.recv(&response(&again, "202 Accepted", "", "", ""));
    assert_eq!(done, Some(Event::Response { leg, sent, status: 202, origin, needs_answer: false }));
    let event = format!("refer;id={}", cseq(&again));
    let told = notify(&mut bench, &mut peer, &event, "terminated", "SIP/2.0 603 Decline");
    assert!(matches!(bench.recv(&told), Some(Event::Notified { refer, .. }) if refer == sent));
    bench.sent("200");
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn the_peers_refer_is_accepted_and_told_its_progress_in_order() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let text = bench.request(&mut peer, "REFER", "Refer-To: <sip:front-desk@baton?X-Account=4>", "");
    let request = bench.recv_with(&text, |_, message, event| {
        let Some(Event::Request { request, kind: InDialogRequest::Refer, .. }) = event else {
            panic!("{event:?}")
        };
        let decision = Decision::of_refer(message).unwrap();
        assert_eq!(decision.target, Target::Uri(b"sip:front-desk@baton"));
        request
    });
    let subscription = bench.act(|stack, now| stack.accept_referral(now, request)).unwrap().unwrap();
    bench.sent("202");
    let first = bench.sent("NOTIFY");
    assert_eq!(header(&first, "Event"), format!("refer;id={}", peer.cseq));
    assert!(header(&first, "Subscription-State").starts_with("active;expires="));
    assert!(first.ends_with("\r\n\r\nSIP/2.0 100 Trying\r\n"));
    let ringing = bench.act(|stack, now| stack.notify(now, leg, subscription, 180)).unwrap();
    let last = bench.act(|stack, now| stack.notify_last(now, leg, subscription, 200)).unwrap();
    // One at a time, so that they cannot overtake each other.
    bench.quiet();
    assert_eq!(bench.recv(&response(&first, "200 OK", "", "", "")), None);
    let second = bench.sent("NOTIFY");
    assert!(second.ends_with("SIP/2.0 180 Ringing\r\n"));
    // Glare with something of the peer's: once more after a while.
    assert_eq!(bench.recv(&response(&second, "491 Request Pending", "", "", "")), None);
    bench.ms(2_000);
    let second = bench.sent("NOTIFY");
    assert!(second.ends_with("SIP/2.0 180 Ringing\r\n"));
    // What is still here is the same one again.
    bench.sent.clear();
    let told = bench.recv(&response(&second, "200 OK", "", "", ""));
    assert!(matches!(told, Some(Event::Response { sent, status: 200, .. }) if sent == ringing));
    let third = bench.sent("NOTIFY");
    assert_eq!(header(&third, "Subscription-State"), "terminated;reason=noresource");
    assert!(third.ends_with("SIP/2.0 200 OK\r\n"));
    let told = bench.recv(&response(&third, "200 OK", "", "", ""));
    assert!(matches!(told, Some(Event::Response { sent, status: 200, .. }) if sent == last));
    assert!(bench.act(|stack, now| stack.notify_last(now, leg, subscription, 200)).is_err());
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.end();
}

#[test]
fn a_referrer_who_wants_no_notify_and_leaves_gets_none() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let text = bench.request(
        &mut peer,
        "REFER",
        "Refer-To: <sip:x@baton>\nRefer-Sub: false\nRequire: norefersub",
        "",
    );
    let Some(Event::Request { request, .. }) = bench.recv(&text) else { panic!() };
    assert_eq!(bench.act(|stack, now| stack.accept_referral(now, request)).unwrap(), None);
    assert_eq!(header(&bench.sent("202"), "Refer-Sub"), "false");
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    bench.release(leg);
    bench.end();
}

#[test]
fn a_subscription_of_the_peers_outlives_its_bye() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    let text = bench.request(&mut peer, "REFER", "Refer-To: <sip:x@baton>", "");
    let Some(Event::Request { request, .. }) = bench.recv(&text) else { panic!() };
    let subscription = bench.act(|stack, now| stack.accept_referral(now, request)).unwrap().unwrap();
    bench.sent("202");
    let first = bench.sent("NOTIFY");
    let bye = bench.request(&mut peer, "BYE", "", "");
    assert_eq!(bench.recv(&bye), Some(Event::Bye { leg }));
    bench.sent("200");
    let waits = bench.act(|stack, now| stack.notify_last(now, leg, subscription, 200)).unwrap();
    // The peer knows nothing of it any more: what waited is answered too.
    assert_eq!(bench.recv(&response(&first, "481 Gone", "", "", "")), None);
    let told = bench.event();
    assert!(matches!(told, Event::Response { sent, status: 481, .. } if sent == waits));
    bench.quiet();
    bench.release(leg);
    bench.end();
}

#[test]
fn hold_in_the_same_moment_as_the_final_notify() {
    let mut bench = Bench::new();
    let (leg, mut peer) = bench.answered();
    refer(&mut bench, leg).unwrap();
    let text = bench.sent("REFER");
    let hold = bench.request(&mut peer, "INVITE", "", crate::bench::HOLD);
    let Some(Event::Request { request, .. }) = bench.recv(&hold) else { panic!() };
    bench.sent("100");
    bench.recv(&response(&text, "202 Accepted", "", "", ""));
    let last = notify(&mut bench, &mut peer, "refer", "terminated", "SIP/2.0 200 OK");
    assert!(matches!(bench.recv(&last), Some(Event::Notified { .. })));
    bench.sent("200");
    bench.act(|stack, now| stack.close(now, leg, 480, Content::default()));
    bench.sent("487");
    let bye = bench.sent("BYE");
    assert!(bench.act(|stack, now| stack.respond(now, request, 200, Content::default())).is_err());
    bench.recv(&response(&bye, "200 OK", "", "", ""));
    bench.release(leg);
    bench.ms(33_000);
    bench.sent.clear();
    bench.end();
}

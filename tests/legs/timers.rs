//! Session timers (RFC 4028): who refreshes, with what, and what becomes of a session that nobody refreshes.

use crate::bench::{ANSWER, Bench, Peer, SDP, all, body, header, response, sdp, udp};
use baton::sip::{Event, LegId, Origin};
use std::time::Duration;

fn answered(bench: &mut Bench, extra: &str) -> (LegId, Peer, String) {
    let invite = bench.invite(extra, SDP);
    let Some(Event::Incoming { leg }) = bench.recv(&invite) else { panic!("no leg") };
    bench.sent("100");
    bench.act(|stack, now| stack.answer(now, leg, 0, sdp(ANSWER))).unwrap();
    let ok = bench.sent("200");
    let peer = bench.caller_of(&ok);
    let ack = bench.request_as(&peer, "ACK", 10, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    (leg, peer, ok)
}

fn seconds(bench: &mut Bench, seconds: u64) {
    bench.pass(Duration::from_secs(seconds));
}

fn close(bench: &mut Bench, leg: LegId) {
    bench.release(leg);
    let bye = bench.sent("BYE");
    bench.recv(&response(&bye, "200 OK", "", "", ""));
}

#[test]
fn a_caller_that_knows_nothing_of_it_gets_no_timer() {
    let mut bench = Bench::new();
    let (leg, _, ok) = answered(&mut bench, "");
    assert_eq!(all(&ok, "Session-Expires").count(), 0);
    seconds(&mut bench, 100_000);
    bench.quiet();
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn a_caller_that_does_not_refresh_is_lost() {
    let mut bench = Bench::new();
    let (leg, mut peer, ok) = answered(&mut bench, "Supported: timer\nSession-Expires: 300");
    assert_eq!(header(&ok, "Session-Expires"), "300;refresher=uac");
    assert_eq!(header(&ok, "Require"), "timer");
    seconds(&mut bench, 150);
    // A refresh: the same once more is answered with what stands, and nobody else hears of it.
    let refresh =
        bench.request(&mut peer, "INVITE", "Supported: timer\nSession-Expires: 300;refresher=uac", SDP);
    assert_eq!(bench.recv(&refresh), None);
    let ok = bench.sent("200");
    assert_eq!((body(&ok), header(&ok, "Session-Expires")), (ANSWER, "300;refresher=uac"));
    let ack = bench.request_as(&peer, "ACK", 11, "", "");
    assert_eq!(bench.recv(&ack), Some(Event::Confirmed { leg }));
    // And one by UPDATE.
    seconds(&mut bench, 200);
    let refresh =
        bench.request(&mut peer, "UPDATE", "Supported: timer\nSession-Expires: 300;refresher=uac", "");
    assert_eq!(bench.recv(&refresh), None);
    assert_eq!(header(&bench.sent("200"), "Session-Expires"), "300;refresher=uac");
    // 32 seconds before its expiry it is given up.
    seconds(&mut bench, 267);
    assert!(bench.events.is_empty());
    seconds(&mut bench, 1);
    assert_eq!(bench.event(), Event::Lost { leg, status: 408, origin: Origin::Local });
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn we_refresh_by_update_where_the_caller_wants_that() {
    let mut bench = Bench::new();
    let extra = "Supported: timer\nSession-Expires: 300;refresher=uas\nAllow: INVITE, ACK, BYE, UPDATE";
    let (leg, _, ok) = answered(&mut bench, extra);
    assert_eq!(header(&ok, "Session-Expires"), "300;refresher=uas");
    assert_eq!(all(&ok, "Require").count(), 0);
    seconds(&mut bench, 149);
    bench.quiet();
    seconds(&mut bench, 1);
    let update = bench.sent("UPDATE");
    assert_eq!((header(&update, "Session-Expires"), body(&update)), ("300;refresher=uac", ""));
    let ok = "Session-Expires: 300;refresher=uac\nRequire: timer";
    assert_eq!(bench.recv(&response(&update, "200 OK", "", ok, "")), None);
    seconds(&mut bench, 150);
    // Glare: again after a while, and then the session goes on.
    let update = bench.sent("UPDATE");
    bench.recv(&response(&update, "491 Request Pending", "", "", ""));
    while bench.sent.is_empty() {
        bench.ms(10);
    }
    let update = bench.sent("UPDATE");
    bench.recv(&response(&update, "200 OK", "", ok, ""));
    // A peer that takes no UPDATE after all is asked by re-INVITE.
    seconds(&mut bench, 150);
    let update = bench.sent("UPDATE");
    bench.recv(&response(&update, "405 Method Not Allowed", "", "", ""));
    bench.ms(1);
    let invite = bench.sent("INVITE");
    assert_eq!(body(&invite), ANSWER, "what stands, no version further");
    let accepted = response(&invite, "200 OK", "", &format!("Contact: <sip:ann@10.0.0.9:5062>\n{ok}"), SDP);
    assert!(matches!(bench.recv(&accepted), Some(Event::Response { status: 200, .. })));
    bench.sent("ACK");
    // Nobody there any more.
    seconds(&mut bench, 150);
    let invite = bench.sent("INVITE");
    bench.recv(&response(&invite, "481 Call/Transaction Does Not Exist", "", "", ""));
    bench.sent("ACK");
    assert_eq!(bench.event(), Event::Lost { leg, status: 481, origin: Origin::Remote });
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn a_refresh_that_fails_otherwise_is_tried_until_the_session_runs_out() {
    let mut bench = Bench::new();
    let (leg, _, _) = answered(&mut bench, "Session-Expires: 300");
    seconds(&mut bench, 150);
    let mut tries = 0;
    for _ in 0..1480 {
        if !bench.sent.is_empty() {
            let invite = bench.sent("INVITE");
            bench.recv(&response(&invite, "500 Oops", "", "", ""));
            bench.sent("ACK");
            tries += 1;
        }
        assert!(bench.events.is_empty());
        bench.ms(100);
    }
    assert_eq!(tries, 11);
    assert_eq!(bench.event(), Event::Lost { leg, status: 408, origin: Origin::Local });
    close(&mut bench, leg);
    bench.end();
}

/// RFC 4028 §10 would end the session at once; a proxy's word is checked, and the timer decides.
#[test]
fn a_408_to_a_refresh_is_checked_and_the_session_lives_until_it_runs_out() {
    let mut bench = Bench::new();
    let (leg, _, _) = answered(&mut bench, "Session-Expires: 300");
    seconds(&mut bench, 150);
    let invite = bench.sent("INVITE");
    assert_eq!(bench.recv(&response(&invite, "408 Request Timeout", "", "", "")), None);
    bench.sent("ACK");
    let options = bench.sent("OPTIONS");
    assert_eq!(bench.recv(&response(&options, "200 OK", "", "", "")), None);
    // Half of what is left later.
    seconds(&mut bench, 59);
    let invite = bench.sent("INVITE");
    assert_eq!(body(&invite), ANSWER, "what stands, no version further");
    assert_eq!(bench.recv(&response(&invite, "504 Gateway Timeout", "", "", "")), None);
    bench.sent("ACK");
    let options = bench.sent("OPTIONS");
    bench.recv(&response(&options, "200 OK", "", "", ""));
    while bench.events.is_empty() {
        if !bench.sent.is_empty() {
            let invite = bench.sent("INVITE");
            bench.recv(&response(&invite, "500 Oops", "", "", ""));
            bench.sent("ACK");
        }
        bench.ms(100);
    }
    assert_eq!(bench.event(), Event::Lost { leg, status: 408, origin: Origin::Local });
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn a_422_is_answered_with_what_it_asks_for() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    assert_eq!((header(&invite, "Session-Expires"), header(&invite, "Min-SE")), ("1800", "90"));
    assert_eq!(
        bench.recv(&response(&invite, "422 Session Interval Too Small", "x", "Min-SE: 3600", "")),
        None
    );
    bench.sent("ACK");
    let again = bench.sent("INVITE");
    assert_eq!((header(&again, "Session-Expires"), header(&again, "Min-SE")), ("3600", "3600"));
    assert_eq!(all(&again, "Session-Expires").count(), 1);
    assert_eq!(header(&again, "Call-ID"), header(&invite, "Call-ID"));
    let extra = "Contact: <sip:bob@10.0.0.8:5081>\nSession-Expires: 3600;refresher=uac";
    let ok = response(&again, "200 OK", "bob", extra, ANSWER);
    assert_eq!(bench.recv(&ok), Some(Event::Answered { leg, status: 200, needs_answer: false }));
    bench.sent("ACK");
    seconds(&mut bench, 1800);
    let refresh = bench.sent("INVITE");
    assert_eq!(header(&refresh, "Session-Expires"), "3600;refresher=uac");
    bench.recv(&response(&refresh, "200 OK", "", &extra.replace("uac", "uas"), ANSWER));
    bench.sent("ACK");
    // Now it is the peer's turn.
    seconds(&mut bench, 3_567);
    assert!(bench.events.is_empty());
    bench.quiet();
    seconds(&mut bench, 1);
    assert_eq!(bench.event(), Event::Lost { leg, status: 408, origin: Origin::Local });
    close(&mut bench, leg);
    bench.end();
}

#[test]
fn a_422_twice_is_an_answer() {
    let mut bench = Bench::new();
    let leg = bench.connect(&[udp("10.0.0.8:5080")], SDP);
    let invite = bench.sent("INVITE");
    bench.recv(&response(&invite, "422 No", "x", "Min-SE: 3600", ""));
    bench.sent("ACK");
    let again = bench.sent("INVITE");
    let refused = bench.recv(&response(&again, "422 No", "x", "Min-SE: 7200", ""));
    assert_eq!(refused, Some(Event::Refused { leg, status: 422, origin: Origin::Remote }));
    bench.sent("ACK");
    bench.release(leg);
    bench.end();
}

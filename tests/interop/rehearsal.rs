//! The peers without Baton: what they play fits together, so a failure elsewhere is not theirs.

use crate::patient::patiently;
use std::net::UdpSocket;
use std::time::Duration;

use crate::house::NUMBER;
use crate::peers::{AGENT, PBX, PROXY, Script, baresip, finish, free_address, kamailio};
use crate::wire::Wire;

/// Caller and callee talk to each other directly.
fn play(caller: &str, callee: &str) {
    play_with(caller, callee, |caller, callee| (caller, callee));
}

/// The same, with what their scenarios want to be told.
fn play_with(
    caller: &str,
    callee: &str,
    told: impl for<'a> Fn(Script<'a>, Script<'a>) -> (Script<'a>, Script<'a>),
) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (free_address(PBX), free_address(AGENT));
    let caller = Script::caller(dir.path(), caller, from, to, NUMBER);
    let (caller, callee) = told(caller, Script::callee(dir.path(), callee, to));
    let (callee, caller) = (callee.start(), caller.start());
    caller.finish();
    callee.finish();
}

#[test]
fn plain_calls_fit_together() {
    play("caller_hangs_up", "callee_answers");
    play("caller_waits", "callee_hangs_up");
    play("caller_cancels", "callee_rings");
    play_with("caller_is_refused", "callee_refuses", |caller, callee| {
        (caller.status("486"), callee.status("486 Busy Here"))
    });
    play("caller_asks_more", "callee_listens");
    play("caller_offers_late", "callee_offers");
    play("caller_waits", "agent_leaves_a_word");
    play_with("caller_is_refused", "callee_redirects", |caller, callee| {
        (caller.status("302"), callee.key("elsewhere", "desk@127.0.0.4"))
    });
}

#[test]
fn referrals_fit_together() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for sipfrag in ["200 OK", "486 Busy Here"] {
        let (from, to) = (free_address(PBX), free_address(AGENT));
        let stand_in =
            Script::callee(dir.path(), "stand_in_refers", to).key("refer_to", "desk@127.0.0.4").start();
        let caller =
            Script::caller(dir.path(), "caller_follows_refer", from, to, NUMBER).key("sipfrag", sipfrag);
        caller.start().finish();
        let reports = stand_in.finish();
        let last = reports.all_received("NOTIFY").last().map(|last| last.body.clone());
        assert_eq!(last, Some(format!("SIP/2.0 {sipfrag}")));
    }
    let (from, to) = (free_address(PBX), free_address(AGENT));
    let agent = Script::callee(dir.path(), "agent_refers", to).key("refer_to", "front-desk@baton").start();
    Script::caller(dir.path(), "stand_in_is_referred", from, to, NUMBER).start().finish();
    assert_eq!(agent.finish().all_received("NOTIFY").len(), 3);
}

#[test]
fn a_call_over_tcp_fits_together() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (free_address(PBX), free_address(AGENT));
    let callee = Script::callee(dir.path(), "callee_hangs_up", to).over_tcp().start();
    let caller = Script::caller(dir.path(), "caller_waits", from, to, NUMBER).over_tcp().start();
    caller.finish();
    callee.finish();
}

#[test]
fn early_media_fits_together() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (free_address(PBX), free_address(AGENT));
    let callee = Script::callee(dir.path(), "callee_is_reliable", to).start();
    let caller = Script::caller(dir.path(), "caller_wants_it_reliable", from, to, NUMBER).start();
    caller.await_sent("ACK");
    caller.cue();
    finish([caller, callee]);

    let (from, to) = (free_address(PBX), free_address(AGENT));
    let callee = Script::callee(dir.path(), "callee_answers_on_cue", to).start();
    let caller = Script::caller(dir.path(), "caller_hangs_up", from, to, NUMBER).start();
    caller.await_received("SIP/2.0 183", 1);
    callee.cue();
    finish([caller, callee]);
}

#[test]
fn the_wire_loses_one_datagram_and_no_more() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (from, at, to) = (free_address(PBX), free_address(PROXY), free_address(AGENT));
    let wire = Wire::lay(at, to, &["ACK "]);
    let callee = Script::callee(dir.path(), "callee_hangs_up", to).start();
    let caller = Script::caller(dir.path(), "caller_waits", from, at, NUMBER).start();
    let (caller, callee) = (caller.finish(), callee.finish());
    wire.assert_lost();
    assert_eq!((caller.all_sent("ACK").len(), callee.all_received("ACK").len()), (2, 1));
}

#[test]
fn the_proxy_keeps_itself_in_the_path_and_wants_a_route_set() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (pbx, callee_at, at) = (free_address(PBX), free_address(AGENT), free_address(PROXY));
    let proxy = kamailio(at, &[callee_at], pbx, dir.path());

    let callee = Script::callee(dir.path(), "callee_hangs_up", callee_at).start();
    let caller =
        Script::caller(dir.path(), "caller_waits", pbx, at, NUMBER).contact("pbx@pbx.invalid").start();
    let (caller, callee) = (caller.finish(), callee.finish());
    assert!(
        caller.received("BYE").headers("Via")[0].contains(&at.to_string()),
        "the BYE came through the proxy"
    );
    assert!(callee.sent("BYE").header("Route").contains(&at.to_string()));

    let stray = b"REFER sip:pbx@pbx.invalid SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKstray\r\n\
        From: <sip:b@127.0.0.1>;tag=b\r\nTo: <sip:pbx@pbx.invalid>;tag=p\r\nCall-ID: stray\r\nCSeq: 1 REFER\r\n\
        Max-Forwards: 70\r\nRefer-To: <sip:desk@127.0.0.4>\r\nContact: <sip:b@127.0.0.1>\r\nContent-Length: 0\r\n\r\n";
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
    socket.send_to(stray, at).expect("loopback takes a datagram");
    let mut answer = [0; 2048];
    let length = patiently(|| socket.recv(&mut answer)).expect("the proxy answers");
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("SIP/2.0 404 "), "a REFER without the route set gets 404, not\n{answer}");
    drop(proxy);
}

#[test]
fn the_phone_answers_and_the_phone_dials() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (phone_at, pbx) = (free_address(AGENT), free_address(PBX));
    let phone = baresip("booking", phone_at, None, dir.path());
    Script::caller(dir.path(), "caller_hangs_up", pbx, phone_at, "booking").start().finish();
    drop(phone);

    let (phone_at, callee_at) = (free_address(PBX), free_address(AGENT));
    let callee = Script::callee(dir.path(), "callee_hangs_up", callee_at).start();
    let phone = baresip("ann", phone_at, Some(&format!("sip:{NUMBER}@{callee_at}")), dir.path());
    callee.finish();
    drop(phone);
}

//! The wire checker itself: it must see what it is there to see.

use crate::common::Way;
use crate::common::checker::Checker;
use baton::sip::Time;
use std::net::SocketAddr;

fn pbx() -> SocketAddr {
    "10.0.0.5:5060".parse().expect("an address")
}

fn message(text: &str, lines: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{text}\r\n{}{kind}Content-Length: {}\r\n\r\n{body}", lines.replace('\n', "\r\n"), body.len())
}

const INVITE: &str = "Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKinvite1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\n\
    Call-ID: i\nCSeq: 1 INVITE\nMax-Forwards: 70\nContact: <sip:p@10.0.0.5:5060>\nRecord-Route: <sip:10.0.0.5;lr>\n";
const OK: &str = "Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKinvite1\nFrom: <sip:a@b>;tag=f\n\
    To: <sip:c@d>;tag=t\nCall-ID: i\nCSeq: 1 INVITE\nContact: <sip:baton@192.0.2.10>\n\
    Record-Route: <sip:10.0.0.5;lr>\n";
const ACK: &str = "Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKack1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\n\
    Call-ID: i\nCSeq: 1 ACK\nMax-Forwards: 70\n";

fn sdp(version: u32, port: u32) -> String {
    format!("v=0\r\no=x 1 {version} IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
}

/// A dialog that the PBX began and Baton answered with `o=` version 7.
fn dialog(acknowledged: bool) -> Checker {
    let mut checker = Checker::new();
    checker.allow(pbx());
    checker.see(Time(1), Way::In, pbx(), message("INVITE sip:c@d SIP/2.0", INVITE, "").as_bytes());
    checker.see(Time(2), Way::Out, pbx(), message("SIP/2.0 200 OK", OK, &sdp(7, 1)).as_bytes());
    if acknowledged {
        checker.see(Time(3), Way::In, pbx(), message("ACK sip:baton@192.0.2.10 SIP/2.0", ACK, "").as_bytes());
    }
    assert_eq!(checker.faults(), [] as [String; 0]);
    checker
}

fn request(method: &str, cseq: u32, more: &str) -> String {
    format!(
        "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKsome{method}{cseq}\nFrom: <sip:c@d>;tag=t\nTo: <sip:a@b>;tag=f\n\
         Call-ID: i\nCSeq: {cseq} {method}\nMax-Forwards: 70\nContact: <sip:baton@192.0.2.10>\n{more}"
    )
}

const ROUTE: &str = "Route: <sip:10.0.0.5;lr>\n";

#[track_caller]
fn finds(checker: &Checker, what: &str) {
    let found = checker.faults().iter().any(|f| f.contains(what));
    assert!(found, "{what:?} expected among {:?}", checker.faults());
}

fn out(checker: &mut Checker, to: SocketAddr, text: &str) {
    checker.see(Time(10), Way::Out, to, text.as_bytes());
}

#[test]
fn sound_requests_pass() {
    let mut checker = dialog(true);
    for (method, cseq) in [("INFO", 5), ("OPTIONS", 6), ("BYE", 7)] {
        let text =
            message(&format!("{method} sip:p@10.0.0.5:5060 SIP/2.0"), &request(method, cseq, ROUTE), "");
        out(&mut checker, pbx(), &text);
    }
    assert_eq!(checker.faults(), [] as [String; 0]);
}

#[test]
fn a_cseq_that_does_not_follow() {
    let mut checker = dialog(true);
    for cseq in [5, 7] {
        let text = message("INFO sip:p@10.0.0.5:5060 SIP/2.0", &request("INFO", cseq, ROUTE), "");
        out(&mut checker, pbx(), &text);
    }
    finds(&checker, "CSeq 7 follows 5");
}

#[test]
fn a_route_set_or_target_that_is_not_the_dialogs() {
    let mut checker = dialog(true);
    out(&mut checker, pbx(), &message("INFO sip:p@10.0.0.5:5060 SIP/2.0", &request("INFO", 5, ""), ""));
    finds(&checker, "not the dialog's route set");
    out(&mut checker, pbx(), &message("INFO sip:q@10.0.0.5:5060 SIP/2.0", &request("INFO", 6, ROUTE), ""));
    finds(&checker, "not the dialog's remote target");
}

#[test]
fn an_origin_that_jumps_or_stands_still() {
    let mut checker = dialog(true);
    let re = |cseq: u32, body: &str| {
        message("INVITE sip:p@10.0.0.5:5060 SIP/2.0", &request("INVITE", cseq, ROUTE), body)
    };
    out(&mut checker, pbx(), &re(5, &sdp(8, 2)));
    assert_eq!(checker.faults(), [] as [String; 0]);
    out(&mut checker, pbx(), &re(6, &sdp(8, 3)));
    finds(&checker, "o= version 8, 9 expected");
    out(&mut checker, pbx(), &re(7, &sdp(9, 3)));
    finds(&checker, "o= version 9, 8 expected");
}

#[test]
fn two_final_responses() {
    let mut checker = dialog(true);
    let other = OK.replace("Record-Route: <sip:10.0.0.5;lr>\n", "");
    out(&mut checker, pbx(), &message("SIP/2.0 486 Busy Here", &other, ""));
    finds(&checker, "486 after 200");
}

#[test]
fn a_bye_before_the_ack() {
    let mut checker = dialog(false);
    out(&mut checker, pbx(), &message("BYE sip:p@10.0.0.5:5060 SIP/2.0", &request("BYE", 5, ROUTE), ""));
    finds(&checker, "BYE before the ACK");
}

#[test]
fn a_missing_ack_and_a_refer_too_many() {
    let mut checker = dialog(true);
    for cseq in [5, 6] {
        let lines = request("REFER", cseq, ROUTE);
        out(&mut checker, pbx(), &message("REFER sip:p@10.0.0.5:5060 SIP/2.0", &lines, ""));
    }
    let lines = request("INVITE", 7, ROUTE);
    out(&mut checker, pbx(), &message("INVITE sip:p@10.0.0.5:5060 SIP/2.0", &lines, &sdp(7, 1)));
    let answer = message("SIP/2.0 200 OK", &lines, &sdp(1, 1));
    checker.see(Time(11), Way::In, pbx(), answer.as_bytes());
    checker.finish(&[], 0);
    finds(&checker, "no ACK for Some(200)");
    finds(&checker, "2 REFERs in i, for 0 attempts");
}

#[test]
fn a_packet_to_nobody_and_a_message_that_is_none() {
    let mut checker = dialog(true);
    let stranger = "198.51.100.1:5060".parse().expect("an address");
    let text = message("INFO sip:p@10.0.0.5:5060 SIP/2.0", &request("INFO", 5, ROUTE), "");
    out(&mut checker, stranger, &text);
    finds(&checker, "neither configured nor of a dialog");
    out(
        &mut checker,
        pbx(),
        &text.replace("Content-Length: 0", "Content-Length: 9").replace("someINFO5", "someINFO6"),
    );
    finds(&checker, "Content-Length is not the length");
    out(&mut checker, pbx(), "INFO sip:x SIP/2.0\r\nno colon\r\n\r\n");
    finds(&checker, "Baton sent no message");
}

//! The agent inside the daemon, called by a phone: the shipped configuration needs no other.

use crate::house::{House, Plan};
use crate::phone::{Dialog, Phone, header};
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;

/// The shipped files, on free ports.
fn shipped() -> House {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for name in ["baton.toml", "destinations.toml", "destinations.sandbox.toml"] {
        let text = fs::read_to_string(from.join(name)).unwrap();
        let free = text.replace("0.0.0.0:5060", "127.0.0.1:0").replace("127.0.0.1:8060", "127.0.0.1:0");
        fs::write(folder.path().join(name), free).unwrap();
    }
    House::again(folder, Plan::default())
}

/// Dials a number; the call stands. Gives the answer, too.
fn dial(caller: &Phone, number: &str, id: &str) -> (Dialog, String) {
    let invite = caller.request("INVITE", id).replace("+14155550100", number);
    caller.send(&invite);
    caller.receive("SIP/2.0 180");
    let ok = caller.receive("SIP/2.0 200");
    let dialog = Dialog::answered(&ok);
    caller.send(&caller.inside(&dialog, "ACK", 1, "", ""));
    (dialog, ok)
}

fn notify(caller: &Phone, dialog: &Dialog, status: &str) {
    let more = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag\r\n";
    caller.send(&caller.inside(dialog, "NOTIFY", 20, more, &format!("SIP/2.0 {status}\r\n")));
    caller.receive("SIP/2.0 200");
}

fn bye(caller: &Phone) {
    let bye = caller.receive("BYE ");
    caller.send(&caller.answer(&bye, "200 OK"));
}

#[test]
fn a_phone_that_calls_the_shipped_number_is_referred_and_let_go() {
    let house = shipped();
    let caller = Phone::new();
    caller.towards(house.udp);
    let (dialog, ok) = dial(&caller, "rehearsal", "shipped");
    assert!(ok.contains("m=audio 9 RTP/AVP 0\r\n") && ok.contains("a=inactive"), "{ok}");
    let calls = house.get("/v1/calls");
    let call = &calls["data"][0];
    assert_eq!((&call["agent"], &call["environment"]), (&"rehearsal".into(), &"sandbox".into()), "{calls}");
    let call = call["id"].as_str().unwrap().to_owned();
    let refer = caller.receive("REFER ");
    assert_eq!(header(&refer, "Refer-To"), "<sip:100@127.0.0.1:5070>");
    assert_eq!(header(&refer, "X-Caller-ID"), "+14155550111");
    caller.send(&caller.answer(&refer, "202 Accepted"));
    notify(&caller, &dialog, "200 OK");
    bye(&caller);
    house.await_metric("baton_calls", 0);
    house.await_line("rehearsal.heard result=200");
    let handoff = house.get(&format!("/v1/calls/{call}"))["handoffs"][0].as_str().unwrap().to_owned();
    let handoff = house.get(&format!("/v1/handoffs/{handoff}"));
    assert_eq!(
        (&handoff["state"], &handoff["reason"]),
        (&"succeeded".into(), &"rehearsal".into()),
        "{handoff}"
    );
}

#[test]
fn a_caller_who_cannot_be_moved_is_kept_some_seconds_and_then_told_goodbye() {
    let house = shipped();
    let caller = Phone::new();
    caller.towards(house.udp);
    dial(&caller, "+14155550198", "failed");
    let refer = caller.receive("REFER ");
    caller.send(&caller.answer(&refer, "603 Decline"));
    house.await_line("rehearsal.heard result=603");
    assert_eq!(
        house.get("/v1/calls")["data"][0]["state"],
        "talking",
        "caller and agent are together as before"
    );
    bye(&caller);
    house.await_metric("baton_calls", 0);
}

#[test]
fn it_comes_goes_and_changes_with_a_reload() {
    let house = House::open(Plan::default());
    let caller = Phone::new();
    caller.towards(house.udp);
    let path = house.path("baton.toml");
    let before = fs::read_to_string(&path).unwrap();
    for (destination, id) in [("front-desk", "one"), ("goodbye", "two")] {
        let agent =
            format!("[agent.trial]\naddress = \"rehearsal:{destination}?after=0s\"\nnumbers = [\"trial\"]\n");
        fs::write(&path, format!("{before}{agent}")).unwrap();
        assert_eq!(house.ask("POST", "/v1/reload", "").status, 200);
        let (dialog, _) = dial(&caller, "trial", id);
        if destination == "front-desk" {
            let refer = caller.receive("REFER ");
            caller.send(&caller.answer(&refer, "202 Accepted"));
            notify(&caller, &dialog, "200 OK");
        }
        bye(&caller);
        house.await_metric("baton_calls", 0);
    }
    fs::write(&path, &before).unwrap();
    assert_eq!(house.ask("POST", "/v1/reload", "").status, 200);
    // The number is the other agent's now, and that one is not there.
    caller.send(&caller.request("INVITE", "three").replace("+14155550100", "trial"));
    caller.receive("SIP/2.0 100");
    assert_eq!(house.get("/v1/calls")["data"][0]["agent"], "booking");
}

#[test]
fn it_is_where_baton_can_call_it() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return; // A machine without IPv6.
    }
    let agent = "[agent.trial]\naddress = \"rehearsal:goodbye?after=0s\"\nnumbers = [\"trial\"]\n";
    let house = House::open(Plan { host: "[::1]", extra: agent.to_owned(), ..Plan::default() });
    let caller = Phone::at("[::1]:0");
    caller.towards(house.udp);
    let (_, ok) = dial(&caller, "trial", "six");
    assert!(ok.contains("c=IN IP6 ::1"), "{ok}");
    bye(&caller);
    house.await_metric("baton_calls", 0);
}

#[test]
fn every_destination_of_its_environment_can_be_rehearsed() {
    let house = shipped();
    let caller = Phone::new();
    caller.towards(house.udp);
    dial(&caller, "rehearsal-front-desk", "by-name");
    let refer = caller.receive("REFER ");
    assert!(header(&refer, "Refer-To").starts_with("<sip:+14155550123@"), "{refer}");
    caller.send(&caller.answer(&refer, "603 Decline"));
    caller.send(&caller.request("INVITE", "wrong").replace("+14155550100", "rehearsal-front-desc"));
    caller.receive("SIP/2.0 404");
    house.await_line("did you mean `front-desk`?");
}

//! `baton test` and its API: a destination is asked what it can, called, and let go.

use crate::house::{House, Plan};
use crate::phone::{Phone, header};
use serde_json::{Value, json};
use std::fs;

const PATH: &str = "/v1/environments/production/destinations/front-desk/test";

fn house(desk: &Phone, allowed: bool) -> House {
    // The environment's own section stands last in the file of a house.
    let extra = if allowed { "allow_test_calls = true" } else { "" };
    House::open(Plan { pbx: desk.at, extra: extra.to_owned(), ..Plan::default() })
}

/// The desk is asked and rings; then the call is taken back.
fn rings(desk: &Phone) {
    let options = desk.receive("OPTIONS ");
    let ok = desk.answer(&options, "200 OK");
    desk.send(&ok.replace("Contact:", "Allow: INVITE, REFER\r\nSupported: replaces\r\nContact:"));
    let invite = desk.receive("INVITE ");
    assert!(invite.starts_with(&format!("INVITE sip:+14155550123@{} SIP/2.0\r\n", desk.at)), "{invite}");
    desk.send(&desk.answer(&invite, "180 Ringing"));
    let cancel = desk.receive("CANCEL ");
    desk.send(&desk.answer(&cancel, "200 OK"));
    desk.send(&desk.answer(&invite, "487 Request Terminated"));
    desk.receive("ACK ");
}

#[test]
fn by_http() {
    let desk = Phone::new();
    let house = house(&desk, true);
    let tested = std::thread::scope(|scope| {
        let asked = scope.spawn(|| house.ask("POST", PATH, "{}"));
        rings(&desk);
        asked.join().unwrap()
    });
    assert_eq!(tested.status, 200, "{}", tested.body);
    let tested = tested.json();
    assert_eq!(tested["outcome"], "rings");
    assert_eq!(tested["addresses"], json!([format!("udp:{}", desk.at)]));
    assert_eq!(tested["options"]["refer"], true);
    assert!(tested["verdict"].as_str().unwrap().starts_with("It rings"), "{tested}");
    assert!(tested["abilities"].as_str().unwrap().contains("it takes REFER"), "{tested}");
    assert_eq!(tested["messages"].as_array().map(Vec::len), Some(8), "{tested}");
    let line = house.await_line("test.ended");
    assert!(line.contains("destination=front-desk") && line.contains("outcome=rings"), "{line}");
    assert_eq!(house.metric("baton_handoffs_started_total"), 0, "a test is no handoff");
    assert_eq!(house.get("/v1/calls")["data"], json!([]), "and no call");
}

#[test]
fn by_hand() {
    let desk = Phone::new();
    let house = house(&desk, true);
    let tested = std::thread::scope(|scope| {
        let asked = scope.spawn(|| house.cli(&["test", "front-desk", "--yes"]));
        rings(&desk);
        asked.join().unwrap()
    });
    assert_eq!(tested.status.code(), Some(0), "{tested:?}");
    let shown = String::from_utf8(tested.stdout).unwrap();
    for part in
        ["+14155550123 (refer) through trunk pbx", "─── OPTIONS ─", "─── CANCEL ─", "✔ rings", "It rings: "]
    {
        assert!(shown.contains(part), "`{part}` in\n{shown}");
    }

    assert!(!shown.contains("Its rule"), "it has none:\n{shown}");

    // It is the route of its own that is tried, and that is said.
    let path = house.path("destinations.toml");
    let rule = "[destination.front-desk]\nrule = [{ when = 'language == \"es\"', route = \"+14155550188\" }]";
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[destination.front-desk]", rule)).unwrap();
    assert_eq!(house.ask("POST", "/v1/reload", "").status, 200);
    let tested = std::thread::scope(|scope| {
        let asked = scope.spawn(|| house.cli(&["test", "front-desk", "--yes"]));
        rings(&desk);
        asked.join().unwrap()
    });
    let shown = String::from_utf8(tested.stdout).unwrap();
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("Its rule was not asked") && words.contains("`baton render front-desk"),
        "{shown}"
    );

    // Busy: exit 1, and the JSON says why.
    let tested = std::thread::scope(|scope| {
        let asked =
            scope.spawn(|| house.cli(&["test", "front-desk", "--yes", "--json", "--caller", "+14155550111"]));
        let options = desk.receive("OPTIONS ");
        desk.send(&desk.answer(&options, "501 Not Implemented"));
        let invite = desk.receive("INVITE ");
        assert!(header(&invite, "From").contains("<sip:+14155550111@"), "{invite}");
        desk.send(&desk.answer(&invite, "486 Busy Here"));
        desk.receive("ACK ");
        asked.join().unwrap()
    });
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");
    let shown: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!(
        (&shown["outcome"], &shown["call"]["answer"]["status"]),
        (&json!("busy"), &json!(486)),
        "{shown}"
    );
    assert_eq!(shown["options"]["refer"], Value::Null, "it did not say");
    assert_eq!(shown["rules_not_asked"], 1, "{shown}");

    // Nobody is there to be asked, and nothing is sent.
    let refused = house.cli(&["test", "front-desk"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--yes"), "{refused:?}");
    assert!(!desk.has_mail());
}

#[test]
fn only_where_it_is_allowed() {
    let desk = Phone::new();
    let closed = house(&desk, false);
    let problem = closed.ask("POST", PATH, "{}").problem(403, "tests_not_allowed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("set `allow_test_calls = true` in [environment.production]"), "{detail}");
    let refused = closed.cli(&["test", "front-desk", "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("allow_test_calls"), "{refused:?}");
    // A reload opens it.
    let path = closed.path("baton.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\nallow_test_calls = true\n")).unwrap();
    assert_eq!(closed.ask("POST", "/v1/reload", "").status, 200);
    let ask = |path: &str, body: Value| closed.ask("POST", path, &body.to_string());
    ask(&PATH.replace("production", "nowhere"), json!({})).problem(404, "no_environment");
    ask(&PATH.replace("front-desk", "front-desc"), json!({})).problem(404, "no_destination");
    ask(&PATH.replace("front-desk", "goodbye"), json!({})).problem(422, "invalid");
    ask(PATH, json!({ "ring": true })).problem(422, "invalid");
    assert!(!desk.has_mail(), "nobody was called");

    let (first, second) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(PATH, json!({ "options": false })));
        let invite = desk.receive("INVITE ");
        let second = ask(PATH, json!({}));
        desk.send(&desk.answer(&invite, "404 Not Found"));
        desk.receive("ACK ");
        (asked.join().unwrap(), second)
    });
    assert_eq!(first.json()["outcome"], "unreachable");
    second.problem(409, "test_running");
}

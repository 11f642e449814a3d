//! `baton render` and its API: what it shows is what a call gets.

use crate::house::{House, Plan};
use crate::phone::{Phone, Talk};
use serde_json::{Value, json};

const PATH: &str = "/v1/environments/production/destinations/front-desk/render";

/// The lines of a message without those that are the dialog's and the moment's.
fn lasting<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const PASSING: [&str; 8] = ["REFER ", "Via:", "From:", "To:", "Call-ID:", "CSeq:", "Route:", "Contact:"];
    lines.filter(|line| !PASSING.iter().any(|name| line.starts_with(name))).collect()
}

#[test]
fn what_is_rendered_is_what_a_call_gets() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    let talk = Talk::begin(caller, agent, house.udp, "render-1");
    let decision =
        json!({ "reason": "billing", "variables": { "account": "A-17" }, "headers": { "X-More": "1" } });
    let mut wish = decision.clone();
    wish["caller"] = json!("+14155550111");
    let rendered = house.ask("POST", PATH, &wish.to_string());
    assert_eq!(rendered.status, 200, "{}", rendered.body);
    let rendered = rendered.json();
    let lines = rendered["messages"][0]["lines"].as_array().expect("lines");
    let shown = lasting(lines.iter().filter_map(|line| line["text"].as_str()));

    let mut asked = decision;
    asked["destination"] = json!("front-desk");
    let answer = house.ask("POST", &format!("/v1/calls/{}/handoff", talk.call), &asked.to_string());
    assert_eq!(answer.status, 202, "{}", answer.body);
    let refer = talk.caller.receive("REFER ");
    let sent = lasting(refer.lines().take_while(|line| !line.is_empty()));
    assert_eq!(shown, sent);
    assert!(shown.contains(&"X-Account: A-17"), "{shown:#?}");
    talk.caller.send(&talk.caller.answer(&refer, "403 Forbidden"));
    house.await_line("handoff.ended");
    assert_eq!(house.metric("baton_handoffs_started_total"), 1, "rendering is no handoff");
}

#[test]
fn every_fault_of_the_question_is_told() {
    let house = House::open(Plan::default());
    let ask = |path: &str, body: Value| house.ask("POST", path, &body.to_string());
    ask(&PATH.replace("production", "nowhere"), json!({})).problem(404, "no_environment");
    ask(&PATH.replace("front-desk", "front-desc"), json!({})).problem(404, "no_destination");
    ask(PATH, json!({ "variables": { "caller_id": "1" } })).problem(422, "invalid");
    ask(PATH, json!({ "trunk": "none" })).problem(422, "invalid");
    ask(PATH, json!({ "colour": "red" })).problem(422, "invalid");
    ask(PATH, json!({ "at": "tomorrow" })).problem(422, "invalid");
    ask(PATH, json!({ "caller": "1\r\nX-Evil: 1" })).problem(422, "invalid");
}

#[test]
fn the_command_shows_each_line_with_its_rule() {
    let house = House::open(Plan::default());
    let arguments = ["render", "front-desk", "--header", "X-Account=4711", "--at", "2026-12-25T10:00:00Z"];
    let output = house.cli(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let head = "front-desk of production, version 1, at 2026-12-25T10:00:00.000Z; from trunk pbx, by agent booking\n\
                refer to +14155550123\n\n1. REFER to the caller, ";
    assert!(text.starts_with(head), "{text}");
    for part in [
        "    Refer-To: <sip:+14155550123@127.0.0.1>\n        ^ table: destination.front-desk.route\n",
        "    X-Caller-ID: +14155550142\n        ^ table: destination.front-desk.headers.X-Caller-ID = \"$caller_id\"\n",
        "    X-Account: 4711\n        ^ decision: headers.X-Account\n",
        "    Max-Forwards: 70\n    ",
        "\nIf it fails:\n  busy         agent\n",
        "  unknown      nothing is tried\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let json = house.cli(&["render", "goodbye", "--json"]);
    let rendered: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&rendered["method"], &rendered["messages"][0]["what"]), (&json!("bye"), &json!("BYE")));
    let wrong = house.cli(&["render", "front-desc"]);
    assert_eq!(wrong.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean `front-desk`?"));
}

//! The command line: what it prints, and how it exits.

use crate::house::{House, Plan, baton, write_configuration};
use crate::phone::{Phone, Talk};
use serde_json::Value;
use std::process::Output;

#[track_caller]
pub(crate) fn ends(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
    format!("{stdout}{stderr}")
}

#[test]
fn usage_is_2_and_check_is_78() {
    ends(&baton().arg("dance").output().unwrap(), 2);
    ends(&baton().args(["handoff", "c"]).output().unwrap(), 2);
    ends(&baton().args(["check", "--config", "/nowhere/baton.toml"]).output().unwrap(), 78);

    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), &Plan::default());
    let path = folder.path().join("baton.toml");
    let check = |more: &[&str]| baton().args(["check", "--config"]).arg(&path).args(more).output().unwrap();
    assert!(ends(&check(&[]), 0).contains("valid"));
    ends(&check(&["--strict"]), 0);
    let table = folder.path().join("destinations.toml");
    let sound = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, format!("{sound}\n[destination.doubtful]\nroute = \"+1415555\"\n")).unwrap();
    assert!(ends(&check(&[]), 0).contains("1 warning"));
    let said = ends(&check(&["--strict"]), 78);
    assert!(said.contains("warning: `+1415555` is no number that can exist under +1"), "{said}");
    let json: Value = serde_json::from_slice(&check(&["--strict", "--json"]).stdout).unwrap();
    assert_eq!((&json["valid"], &json["diagnostics"][0]["severity"]), (&false.into(), &"warning".into()));
    std::fs::write(&table, sound).unwrap();
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("environment =", "enviroment ="))
        .unwrap();
    let said = ends(&check(&[]), 78);
    assert!(said.contains("baton.toml:") && said.contains('^') && said.contains("environment"), "{said}");
    let json: Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
    assert_eq!(json["valid"], false);
    assert!(json["diagnostics"][0]["line"].is_number(), "{json}");
    ends(&baton().args(["serve", "--config"]).arg(&path).output().unwrap(), 78);
}

#[test]
fn the_schemas_are_printed_as_they_are_shipped() {
    let printed = |more: &[&str]| {
        let output = baton().args(["check", "--schema"]).args(more).output().unwrap();
        let text = ends(&output, 0);
        (serde_json::from_str::<Value>(&text).unwrap(), text)
    };
    let shipped = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let both = printed(&[]).0;
    for name in ["baton", "destinations"] {
        let (schema, text) = printed(&[name]);
        assert_eq!(text, shipped(&format!("{name}.json")));
        assert_eq!(both[name], schema);
    }
    ends(&baton().args(["check", "--schema", "records"]).output().unwrap(), 2);
}

#[test]
fn without_a_daemon_it_is_3() {
    let mut house = House::open(Plan::default());
    house.signal("TERM");
    house.ended();
    for verb in [&["calls"][..], &["call", "c"], &["handoff", "c", "d"], &["destinations"], &["reload"]] {
        let said = ends(&house.cli(verb), 3);
        assert!(said.contains("baton serve"), "{said}");
    }
}

#[test]
fn calls_are_shown_and_moved() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = House::open(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    assert!(ends(&house.cli(&["calls"]), 0).contains("no live calls"));
    let talk = Talk::begin(caller, agent, house.udp, "cli-1");
    let said = ends(&house.cli(&["calls"]), 0);
    assert!(said.contains(&talk.call) && said.contains("talking"), "{said}");
    let list: Value = serde_json::from_slice(&house.cli(&["calls", "--json"]).stdout).unwrap();
    assert_eq!(list["data"][0]["id"], talk.call.as_str());
    ends(&house.cli(&["call", "none"]), 4);
    ends(&house.cli(&["handoff", "none", "front-desk"]), 4);
    ends(&house.cli(&["handoff", &talk.call, "fromt-desk"]), 4);
    ends(&house.cli(&["destinations", "--env", "none"]), 4);
    assert!(ends(&house.cli(&["destinations"]), 0).contains("front-desk *"));

    // Refused: 5, with what to do.
    let failed = std::thread::scope(|scope| {
        let moving = scope.spawn(|| house.cli(&["handoff", &talk.call, "front-desk", "--wait"]));
        let refer = talk.caller.receive("REFER ");
        ends(&house.cli(&["handoff", &talk.call, "front-desk"]), 6);
        talk.caller.send(&talk.caller.answer(&refer, "403 Forbidden"));
        moving.join().unwrap()
    });
    let said = ends(&failed, 5);
    assert!(said.contains("returned") && said.contains("403"), "{said}");

    // Done: 0.
    let arguments = ["handoff", &talk.call, "front-desk", "--var", "account=7", "--header", "X-Why=tired"];
    let done = std::thread::scope(|scope| {
        let moving = scope.spawn(|| house.cli(&[&arguments[..], &["--reason", "r", "--wait"]].concat()));
        let refer = talk.caller.receive("REFER ");
        assert!(refer.contains("X-Account: 7\r\n") && refer.contains("X-Why: tired\r\n"), "{refer}");
        talk.report(&refer, "200 OK");
        talk.end();
        moving.join().unwrap()
    });
    assert!(ends(&done, 0).contains("succeeded (reported)"));
    house.await_line("call.ended");
    let said = ends(&house.cli(&["call", &talk.call]), 0);
    assert!(said.contains("ended") && said.contains("succeeded"), "{said}");
}

//! The list of versions over restarts, without its database, and on the command line.

use crate::change::with_sandbox;
use crate::cli::ends;
use crate::house::{House, Plan, TABLE};
use crate::phone::{Phone, Talk};
use serde_json::{Value, json};
use std::fs;

fn again(house: House, extra: &str) -> House {
    let folder = std::sync::Arc::clone(&house.folder);
    drop(house);
    House::again(folder, Plan { extra: extra.to_owned(), ..Plan::default() })
}

#[test]
fn numbers_last_and_an_edit_while_nobody_looks_is_the_next_version() {
    let house = House::open(Plan::default());
    assert_eq!(house.versions("production").len(), 1);
    let house = again(house, "");
    assert_eq!(house.versions("production").len(), 1, "the same text keeps its number");
    fs::write(house.path("destinations.toml"), TABLE.replace("Front desk", "B")).unwrap();
    house.await_line("changed=production:2");
    let folder = std::sync::Arc::clone(&house.folder);
    drop(house);
    fs::write(folder.path().join("destinations.toml"), TABLE.replace("Front desk", "C")).unwrap();
    let house = House::again(folder, Plan::default());
    let numbers: Vec<u64> = house.versions("production").iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let back = house.ask("POST", "/v1/environments/production/rollback", r#"{"message":"m","version":1}"#);
    assert_eq!((back.status, back.json()["version"].as_u64()), (200, Some(4)), "{}", back.body);
    assert_eq!(house.text("destinations.toml"), TABLE);
}

#[test]
fn a_spoilt_list_is_kept_aside_and_numbers_go_on() {
    let house = House::open(Plan::default());
    fs::write(house.path("destinations.toml"), TABLE.replace("Front desk", "B")).unwrap();
    house.await_line("changed=production:2");
    let folder = std::sync::Arc::clone(&house.folder);
    drop(house);
    fs::write(folder.path().join("state/versions.redb"), "no database").unwrap();
    let house = House::again(folder, Plan::default());
    let line = house.await_line("versions.spoilt");
    assert!(line.contains("ERROR") && line.contains("kept="), "{line}");
    let numbers: Vec<u64> = house.versions("production").iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [3], "no number is given twice");
    let kept = fs::read_dir(house.path("state")).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.to_string_lossy().contains("versions.redb.spoilt-").then(|| fs::read_to_string(path).unwrap())
    });
    assert_eq!(kept.collect::<Vec<_>>(), ["no database"]);
}

#[test]
fn without_the_list_calls_are_served_and_it_is_told_once() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let plan = || Plan { agent: agent.at, pbx: caller.at, ..Plan::default() };
    let house = House::open(plan());
    let folder = std::sync::Arc::clone(&house.folder);
    drop(house);
    let list = folder.path().join("state/versions.redb");
    let beside = folder.path().join("state/versions.away");
    fs::rename(&list, &beside).unwrap();
    fs::create_dir(&list).unwrap();
    let house = House::again(folder, plan());
    let talk = Talk::begin(caller, agent, house.udp, "unavailable-1");
    for (method, path, body) in [
        ("GET", "versions", ""),
        ("GET", "versions/1", ""),
        ("GET", "diff?from=1", ""),
        ("POST", "rollback", r#"{"message":"m"}"#),
        ("PUT", "destinations/new", r#"{"method":"bye"}"#),
    ] {
        let path = format!("/v1/environments/production/{path}");
        house.ask(method, &path, body).problem(503, "versions_unavailable");
    }
    // The table is reloaded all the same, only nobody can say its number.
    fs::write(house.path("destinations.toml"), TABLE.replace("Front desk", "B")).unwrap();
    house.await_line("changed=production:0");
    let path = format!("/v1/calls/{}/handoff", talk.call);
    let handoff = house.ask("POST", &path, &json!({ "destination": "front-desk" }).to_string()).json();
    assert_eq!(handoff["table_version"], 0, "{handoff}");
    let refer = talk.caller.receive("REFER ");
    talk.report(&refer, "200 OK");
    talk.end();
    assert_eq!(house.metric("baton_versions_available"), 0);
    assert_eq!(house.lines("versions.unavailable"), 1);
    assert_eq!(house.text("destinations.toml"), TABLE.replace("Front desk", "B"));
    // It comes back, and the version is written down.
    fs::remove_dir(&list).unwrap();
    fs::rename(&beside, &list).unwrap();
    house.await_line("versions.available");
    house.await_metric("baton_versions_available", 1);
    let desk = "/v1/environments/production/destinations/front-desk";
    let end = std::time::Instant::now() + crate::house::PATIENCE;
    while house.get(desk)["table_version"] != 2 {
        assert!(std::time::Instant::now() < end, "it gets no number");
    }
    assert_eq!(house.versions("production").len(), 2);
    assert_eq!(house.lines("ERROR versions.unavailable"), 1);
}

#[test]
fn the_command_line_tries_promotes_and_takes_back() {
    let house = with_sandbox(Plan::default());
    let said = ends(&house.cli(&["diff", "--to", "sandbox"]), 0);
    assert!(
        said.contains("production version 1 to sandbox version 1")
            && said.contains("~ front-desk\n    - name = \"Front desk\"\n    + name = \"Tried\"\n"),
        "{said}"
    );
    let said = ends(&house.cli(&["promote", "--from", "sandbox", "--dry-run"]), 0);
    assert!(said.contains("+ name = \"Tried\"") && said.contains("a dry run"), "{said}");
    assert_eq!(house.text("destinations.toml"), TABLE);
    ends(&house.cli(&["promote", "--from", "sandbox"]), 2);
    ends(&house.cli(&["promote", "--from", "nowhere", "-m", "m"]), 4);
    ends(&house.cli(&["promote", "--from", "sandbox", "-m", "m", "--expect-current", "3"]), 6);
    let said = ends(&house.cli(&["promote", "--from", "sandbox", "-m", "a better name"]), 0);
    assert!(said.contains("production is at version 2 now, and was at 1"), "{said}");
    let json = house.cli(&["rollback", "-m", "worse", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["version"], &json["origin"]["version"]), (&json!(3), &json!(1)));
    let said = ends(&house.cli(&["rollback", "2", "-m", "better"]), 0);
    assert!(said.contains("version 4 now"), "{said}");
    ends(&house.cli(&["rollback", "9", "-m", "m"]), 4);
    let said = ends(&house.cli(&["versions"]), 0);
    let rows: Vec<&str> = said.lines().collect();
    let shows = |row: &str, texts: [&str; 3]| texts.iter().all(|text| row.contains(text));
    assert!(shows(rows[1], ["4 * ", "rollback to 2 ", " better"]), "{said}");
    assert!(shows(rows[3], ["2 ", "promotion of sandbox 1 ", " a better name"]), "{said}");
    let list: Value =
        serde_json::from_slice(&house.cli(&["versions", "--limit", "2", "--json"]).stdout).unwrap();
    assert_eq!((list["data"].as_array().unwrap().len(), &list["next_cursor"]), (2, &json!("3")));
    assert_eq!(ends(&house.cli(&["versions", "1"]), 0), TABLE);
    let diff: Value = serde_json::from_slice(&house.cli(&["diff", "--from", "1", "--json"]).stdout).unwrap();
    assert_eq!((&diff["to"]["version"], &diff["destinations"][0]["id"]), (&json!(4), &json!("front-desk")));
    fs::write(house.path("destinations.sandbox.toml"), "default = 1\n").unwrap();
    let said = ends(&house.cli(&["promote", "--from", "sandbox", "-m", "m"]), 6);
    assert!(said.contains("destinations.sandbox.toml:1:11") && said.contains("baton check"), "{said}");
}

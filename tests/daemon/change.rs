//! Tables that are changed through the API: one destination at a time, from the sandbox, and back; and what stands in the
//! way of it.

use crate::house::{House, Plan, TABLE, write_configuration};
use crate::http::Answer;
use crate::phone::{Phone, Talk};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

const PRODUCTION: &str = "/v1/environments/production";
const SANDBOX: &str = "[environment.sandbox]\ntable = \"destinations.sandbox.toml\"\n";

/// A table as somebody wrote it.
const WRITTEN: &str = r#"# The desks.
default = "front-desk"   # since May

# Ann sits there.
[destination.front-desk]
route = "+14155550123"   # until the move
name  = "Front desk"
[destination.front-desk.headers]
X-Caller-ID = "$caller_id"

[destination.goodbye]
method = "bye"
"#;

/// A house with a sandbox whose table is the same but for the name.
pub(crate) fn with_sandbox(plan: Plan) -> House {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let plan = Plan { extra: format!("{SANDBOX}{}", plan.extra), ..plan };
    write_configuration(folder.path(), &plan);
    fs::write(folder.path().join("destinations.sandbox.toml"), sandbox("Tried")).unwrap();
    House::again(folder, plan)
}

fn sandbox(name: &str) -> String {
    TABLE.replace("Front desk", name)
}

impl House {
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A destination with its ETag.
    fn desk(&self) -> (Value, String) {
        let answer = self.ask("GET", &format!("{PRODUCTION}/destinations/front-desk"), "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        (answer.json(), answer.header("etag").unwrap().to_owned())
    }

    fn put(&self, id: &str, more: &[(&str, &str)], body: &Value) -> Answer {
        self.ask_with("PUT", &format!("{PRODUCTION}/destinations/{id}"), more, &body.to_string())
    }

    fn promote(&self, body: Value) -> Answer {
        self.ask("POST", &format!("{PRODUCTION}/promote"), &body.to_string())
    }

    fn rollback(&self, body: Value) -> Answer {
        self.ask("POST", &format!("{PRODUCTION}/rollback"), &body.to_string())
    }

    /// Number, by whom and origin of each version, the newest first.
    pub(crate) fn versions(&self, environment: &str) -> Vec<(u64, String, String)> {
        let list = self.get(&format!("/v1/environments/{environment}/versions"));
        let row = |version: &Value| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (version["version"].as_u64().unwrap(), text(&version["by"]), text(&version["origin"]["kind"]))
        };
        list["data"].as_array().unwrap().iter().map(row).collect()
    }

    fn in_force(&self) -> u64 {
        self.desk().0["table_version"].as_u64().unwrap()
    }
}

#[track_caller]
fn done(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn row(number: u64, by: &str, kind: &str) -> (u64, String, String) {
    (number, by.to_owned(), kind.to_owned())
}

#[test]
fn an_edit_keeps_comments_and_order_and_is_a_version() {
    let house = House::open(Plan::default());
    house.write("destinations.toml", WRITTEN);
    house.await_line("config.reloaded");
    let (mut desk, tag) = house.desk();
    assert_eq!(done(house.put("front-desk", &[("If-Match", &tag)], &desk))["table_version"], 2, "as it was");
    assert_eq!(house.text("destinations.toml"), WRITTEN);

    desk["route"] = json!("+14155559999");
    let answer = house.put("front-desk", &[("If-Match", &tag)], &desk);
    assert_ne!(answer.header("etag").unwrap(), tag);
    let put = done(answer);
    assert_eq!((&put["route"], &put["table_version"]), (&json!("+14155559999"), &json!(3)));
    assert_eq!(house.desk().0, put, "in force when it is answered");
    let edited = WRITTEN.replace("+14155550123", "+14155559999");
    assert_eq!(house.text("destinations.toml"), edited);
    let line = house.await_line("table.edited");
    assert!(line.contains("environment=production version=3 destination=front-desk by=api"), "{line}");

    // A new one, and away with it.
    let new = json!({ "route": "sip:100@pbx.example.com", "headers": { "X-A": "1" } });
    let answer = house.put("spanish-desk", &[("If-None-Match", "*")], &new);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let path = answer.header("location").unwrap().to_owned();
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!(house.get(&path)["headers"]["X-A"], "1");
    assert!(house.text("destinations.toml").starts_with(&edited));
    let gone = done(house.ask_with("DELETE", &path, &[("If-Match", &tag)], ""));
    assert_eq!(
        (&gone["version"], &gone["diff"]["destinations"][0]["change"]),
        (&json!(5), &json!("removed"))
    );
    assert_eq!(house.text("destinations.toml"), edited);
    house.ask("GET", &path, "").problem(404, "no_destination");

    // The daemon's own writes are no change of the file that it would have to notice: the next number is that of a hand.
    house.write("destinations.toml", WRITTEN);
    let line = house.await_lines("config.reloaded", 2).remove(1);
    assert!(line.contains("changed=production:6"), "{line}");
    assert_eq!(
        house.versions("production"),
        [
            row(6, "file", "file"),
            row(5, "api", "edit"),
            row(4, "api", "edit"),
            row(3, "api", "edit"),
            row(2, "file", "file"),
            row(1, "file", "file"),
        ]
    );
}

#[test]
fn an_edit_names_the_state_that_it_means() {
    let house = House::open(Plan::default());
    let (desk, tag) = house.desk();
    let path = format!("{PRODUCTION}/destinations/front-desk");
    house.put("front-desk", &[], &desk).problem(428, "precondition_required");
    house.ask("DELETE", &path, "").problem(428, "precondition_required");
    house.put("front-desk", &[("If-None-Match", "*")], &desk).problem(412, "precondition_failed");
    house.put("front-desk", &[("If-Match", "\"x\"")], &desk).problem(412, "precondition_failed");
    house.put("front-desk", &[("If-Match", &format!("W/{tag}"))], &desk).problem(412, "precondition_failed");
    house
        .put("nobody", &[("If-Match", "*")], &json!({ "method": "bye" }))
        .problem(412, "precondition_failed");
    house.ask("DELETE", &format!("{PRODUCTION}/destinations/nobody"), "").problem(404, "no_destination");
    // Whoever comes second with the same tag has not seen what the first has done.
    let mut changed = desk.clone();
    changed["name"] = json!("First");
    assert_eq!(house.put("front-desk", &[("If-Match", &tag)], &changed).status, 200);
    changed["name"] = json!("Second");
    house.put("front-desk", &[("If-Match", &tag)], &changed).problem(412, "precondition_failed");
    assert_eq!(house.desk().0["name"], "First");
}

#[test]
fn an_edit_that_is_no_table_changes_nothing() {
    let house = House::open(Plan::default());
    let put = |id: &str, body: Value| house.put(id, &[("If-Match", "*")], &body);
    let problem = put("front-desk", json!({ "route": "+1415", "methd": "refer" }))
        .problem(422, "configuration_invalid");
    let fault = &problem["errors"][0];
    assert!(fault["line"].is_number() && fault["shown"].as_str().unwrap().contains("methd"), "{problem}");
    put("front-desk", json!({ "route": "+14155550123", "default": false })).problem(422, "invalid");
    put("front-desk", json!({ "id": "desk", "route": "+14155550123" })).problem(422, "invalid");
    house.put("a%20desk", &[], &json!({ "method": "bye" })).problem(422, "configuration_invalid");
    let path = format!("{PRODUCTION}/destinations/front-desk");
    let problem =
        house.ask_with("DELETE", &path, &[("If-Match", "*")], "").problem(422, "configuration_invalid");
    assert!(
        problem["errors"][0]["message"].as_str().unwrap().contains("front-desk"),
        "it is the default: {problem}"
    );
    house.ask("PUT", "/v1/environments/none/destinations/a", "{}").problem(404, "no_environment");
    assert_eq!((house.text("destinations.toml"), house.in_force()), (TABLE.to_owned(), 1));
    assert_eq!(house.versions("production").len(), 1);
}

#[test]
fn an_environment_can_be_closed_to_edits() {
    let house = House::open(Plan::default());
    let path = house.path("baton.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("table = \"dest", "editable = false\ntable = \"dest")).unwrap();
    house.await_line("config.reloaded");
    let problem = house.put("front-desk", &[("If-Match", "*")], &house.desk().0).problem(403, "not_editable");
    assert!(problem["detail"].as_str().unwrap().contains("editable = false"), "{problem}");
}

#[test]
fn try_it_promote_it_take_it_back() {
    let (caller, agent) = (Phone::new(), Phone::new());
    let house = with_sandbox(Plan { agent: agent.at, pbx: caller.at, ..Plan::default() });
    let talk = Talk::begin(caller, agent, house.udp, "promote-1");
    let hand_off = || {
        let path = format!("/v1/calls/{}/handoff", talk.call);
        let answer = house.ask("POST", &path, &json!({ "destination": "front-desk" }).to_string());
        assert_eq!(answer.status, 202, "{}", answer.body);
        (talk.caller.receive("REFER "), answer.json())
    };
    let (refer, first) = hand_off();
    assert_eq!(first["table_version"], 1);

    house.write("destinations.sandbox.toml", &sandbox("Tried twice"));
    let dry = done(house.promote(json!({ "from": "sandbox", "dry_run": true })));
    assert_eq!((&dry["changed"], &dry["version"], &dry["dry_run"]), (&json!(true), &json!(1), &json!(true)));
    assert_eq!(
        dry["diff"]["destinations"][0]["keys"][0]["to"], "Tried twice",
        "also what nobody has noticed yet: {dry}"
    );
    assert_eq!(house.text("destinations.toml"), TABLE);

    let promoted = done(house.promote(json!({ "from": "sandbox", "message": "a better name", "by": "ann" })));
    assert_eq!((&promoted["version"], &promoted["previous"]), (&json!(2), &json!(1)));
    assert_eq!(promoted["origin"], json!({ "kind": "promote", "environment": "sandbox", "version": 2 }));
    assert_eq!(promoted["handoffs_by_older"], 1, "the one that runs ends by what it began with");
    assert_eq!(house.text("destinations.toml"), sandbox("Tried twice"));
    assert_eq!(house.desk().0["name"], "Tried twice");
    let line = house.await_line("table.promoted");
    assert!(
        line.contains("version=2 from=sandbox:2 by=ann message=\"a better name\" previous=1")
            && line.contains("handoffs_by_older=1"),
        "{line}"
    );

    // That handoff ends, and the next one begins with the new version.
    talk.caller.send(&talk.caller.answer(&refer, "403 Forbidden"));
    house.await_line("handoff.ended");
    let id = first["id"].as_str().unwrap();
    assert_eq!(house.get(&format!("/v1/handoffs/{id}"))["table_version"], 1);
    let (refer, second) = hand_off();
    assert_eq!(second["table_version"], 2);
    talk.caller.send(&talk.caller.answer(&refer, "403 Forbidden"));
    house.await_lines("handoff.ended", 2);

    let back = done(house.rollback(json!({ "message": "worse after all" })));
    assert_eq!(
        (&back["version"], &back["origin"]),
        (&json!(3), &json!({ "kind": "rollback", "version": 1 }))
    );
    assert_eq!(back["handoffs_by_older"], 0);
    assert_eq!(house.text("destinations.toml"), TABLE);
    let line = house.await_line("table.rolled_back");
    assert!(line.contains("version=3 to=1 by=api message=\"worse after all\""), "{line}");
    assert_eq!(done(house.rollback(json!({ "message": "no, better", "version": 2 })))["version"], 4);
    let same = done(house.promote(json!({ "from": "sandbox", "message": "again" })));
    assert_eq!((&same["changed"], &same["version"]), (&json!(false), &json!(4)), "nothing new is no version");
    assert_eq!(house.lines("config.reloaded"), 1, "the sandbox's file; no write of the daemon's own");

    let versions = house.get(&format!("{PRODUCTION}/versions?limit=3"));
    assert_eq!((&versions["next_cursor"], &versions["data"][0]["in_force"]), (&json!("2"), &json!(true)));
    let rest = house.get(&format!("{PRODUCTION}/versions?cursor=2"));
    assert_eq!((&rest["data"][0]["version"], &rest["next_cursor"]), (&json!(1), &Value::Null));
    assert_eq!(house.get(&format!("{PRODUCTION}/versions/1"))["text"], TABLE);
    let diff = house.get(&format!("{PRODUCTION}/diff?from=1&to=2"));
    assert_eq!(
        diff["destinations"][0]["keys"],
        json!([{ "key": "name", "from": "Front desk", "to": "Tried twice" }])
    );
    assert_eq!(house.get(&format!("{PRODUCTION}/diff?to=sandbox"))["same_text"], true);
    let diff = house.get(&format!("{PRODUCTION}/diff"));
    assert_eq!((&diff["from"]["version"], &diff["to"]["version"]), (&json!(3), &json!(4)));
}

#[test]
fn what_cannot_be_promoted_or_rolled_back_is_told() {
    let house = with_sandbox(Plan::default());
    let refused = |body: Value, status: u16, code: &str| house.promote(body).problem(status, code);
    refused(json!({ "from": "sandbox" }), 422, "invalid");
    refused(json!({ "from": "sandbox", "message": "" }), 422, "invalid");
    refused(json!({ "from": "sandbox", "message": "x".repeat(501) }), 422, "invalid");
    refused(json!({ "from": "sandbox", "message": "two\nlines" }), 422, "invalid");
    refused(json!({ "from": "sandbox", "message": "m", "by": "x".repeat(101) }), 422, "invalid");
    refused(json!({ "from": "production", "message": "m" }), 422, "invalid");
    refused(json!({ "from": "nowhere", "message": "m" }), 404, "no_environment");
    refused(json!({ "from": "sandbox", "message": "m", "colour": "red" }), 422, "invalid");
    house.rollback(json!({ "message": "m" })).problem(404, "no_version");
    house.rollback(json!({ "message": "m", "version": 9 })).problem(404, "no_version");
    house.ask("GET", &format!("{PRODUCTION}/versions/9"), "").problem(404, "no_version");
    house.ask("GET", &format!("{PRODUCTION}/diff?from=9"), "").problem(404, "no_version");
    for (named, told) in
        [("nowhere", ": name `production` or `sandbox`"), ("sandbx", "; did you mean `sandbox`?")]
    {
        let problem =
            house.ask("GET", &format!("{PRODUCTION}/diff?to={named}"), "").problem(404, "no_environment");
        assert_eq!(problem["detail"], format!("there is no environment `{named}`{told}"));
        let from = json!({ "from": named, "message": "m" }).to_string();
        let problem =
            house.ask("POST", &format!("{PRODUCTION}/promote"), &from).problem(404, "no_environment");
        assert_eq!(problem["detail"], format!("there is no environment `{named}`{told}"));
    }
    house.ask("GET", &format!("{PRODUCTION}/diff?to=1"), "").problem(404, "no_version");
    house.ask("GET", &format!("{PRODUCTION}/versions?cursor=x"), "").problem(422, "invalid");

    // Good in the sandbox, and not good enough for the agents of production.
    let path = house.path("baton.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("numbers = ", "fallback = \"goodbye\"\nnumbers = ")).unwrap();
    house.write(
        "destinations.sandbox.toml",
        "default = \"a\"\n[destination.a]\nroute = \"sip:a@192.0.2.1\"\n",
    );
    let problem = refused(json!({ "from": "sandbox", "message": "m" }), 422, "configuration_invalid");
    let fault = &problem["errors"][0];
    assert!(
        fault["field"].as_str().unwrap().ends_with("baton.toml") && fault["line"].is_number(),
        "{problem}"
    );
    // And a sandbox whose file is not in force is not what anybody has tried.
    house.write("destinations.sandbox.toml", "default = \"a\"\n[destination.a]\nroute = 1\n");
    let problem = refused(json!({ "from": "sandbox", "message": "m" }), 409, "file_not_in_force");
    assert!(problem["errors"][0]["shown"].as_str().unwrap().contains("sandbox.toml:3:"), "{problem}");
    assert_eq!((house.text("destinations.toml"), house.in_force()), (TABLE.to_owned(), 1));
}

#[test]
fn of_two_who_expect_the_same_version_one_is_told_of_the_other() {
    let house = with_sandbox(Plan::default());
    let conflict = house.promote(json!({ "from": "sandbox", "message": "m", "expect_current": 7 }));
    let problem = conflict.problem(409, "version_conflict");
    assert_eq!(problem["current_version"], 1, "{problem}");
    let ask = |by: &str, text: &str| {
        house.write("destinations.sandbox.toml", &sandbox(text));
        house.promote(json!({ "from": "sandbox", "message": "mine", "by": by, "expect_current": 1 })).status
    };
    let mut answers = std::thread::scope(|scope| {
        let both = [("ann", "A"), ("bob", "B")].map(|(by, text)| scope.spawn(move || ask(by, text)));
        both.map(|one| one.join().unwrap())
    });
    answers.sort_unstable();
    assert_eq!(answers, [200, 409]);
    assert_eq!(house.versions("production").len(), 2);
    // An edit by hand that nobody has noticed yet is a version, too.
    house.write("destinations.toml", &TABLE.replace("Front desk", "By hand"));
    let late =
        house.rollback(json!({ "message": "m", "expect_current": 2 })).problem(409, "version_conflict");
    assert!(late["detail"].as_str().unwrap().contains("version 3 now (by file"), "{late}");
    assert_eq!(house.desk().0["name"], "By hand");
}

#[test]
fn a_file_that_may_not_be_written_says_so() {
    let house = with_sandbox(Plan { as_nobody: true, ..Plan::default() });
    let refused = || {
        let promoted = house.promote(json!({ "from": "sandbox", "message": "m" })).problem(403, "read_only");
        let put = house.put("goodbye", &[("If-Match", "*")], &json!({ "method": "bye", "name": "Bye" }));
        put.problem(403, "read_only");
        promoted["detail"].as_str().unwrap().to_owned()
    };
    let file = house.path("destinations.toml");
    let mode =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&file, 0o444);
    let detail = refused();
    assert!(detail.contains("destinations.toml") && detail.contains("permission denied"), "{detail}");
    mode(&file, 0o000);
    let closed = house.rollback(json!({ "message": "m", "version": 1 })).problem(409, "file_not_in_force");
    assert!(closed["detail"].as_str().unwrap().contains("cannot be read"), "{closed}");
    mode(&file, 0o640);
    mode(house.folder.path(), 0o555);
    refused();
    mode(house.folder.path(), 0o755);
    assert_eq!((house.text("destinations.toml"), house.versions("production").len()), (TABLE.to_owned(), 1));
    // A folder that cannot be written to is no fault of the versions, and what was tried leaves nothing behind.
    assert_eq!(done(house.promote(json!({ "from": "sandbox", "message": "m" })))["version"], 2);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640, "its mode stays");
    let strangers = fs::read_dir(house.folder.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".new")
    });
    assert_eq!(strangers.count(), 0);
}

/// Under systemd's `DynamicUser` root puts the tables into `state.dir`, and cannot know whose they will have to be.
#[test]
fn a_table_in_state_dir_is_changed_whoever_has_put_it_there() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let plan = Plan { as_nobody: true, extra: SANDBOX.to_owned(), ..Plan::default() };
    write_configuration(folder.path(), &plan);
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let configuration = folder.path().join("baton.toml");
    let text = fs::read_to_string(&configuration).unwrap().replace("table = \"", "table = \"state/");
    fs::write(&configuration, text).unwrap();
    for (name, text) in
        [("destinations.toml", TABLE.to_owned()), ("destinations.sandbox.toml", sandbox("Tried"))]
    {
        fs::write(state.join(name), text).unwrap();
        fs::set_permissions(state.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let house = House::again(folder, plan);
    assert_eq!(done(house.promote(json!({ "from": "sandbox", "message": "m" })))["version"], 2);
    assert_eq!(house.text("state/destinations.toml"), sandbox("Tried"));
    assert_eq!(done(house.rollback(json!({ "message": "m" })))["version"], 3);
    let (desk, etag) = house.desk();
    let edited = house.put("front-desk", &[("If-Match", &etag)], &desk);
    assert_eq!(edited.status, 200, "{}", edited.body);
    let file = fs::metadata(house.path("state/destinations.toml")).unwrap();
    assert_eq!(file.mode() & 0o777, 0o644, "its mode stays");
    assert_eq!(
        file.uid(),
        fs::metadata(house.path("state")).unwrap().uid(),
        "it is the daemon's from now on"
    );
    // Closed to its own owner is meant.
    let sandbox = house.path("state/destinations.sandbox.toml");
    fs::set_permissions(&sandbox, fs::Permissions::from_mode(0o444)).unwrap();
    let back = json!({ "from": "production", "message": "m" });
    house.ask("POST", "/v1/environments/sandbox/promote", &back.to_string()).problem(403, "read_only");
}

#[test]
fn behind_a_link_the_file_is_replaced_and_the_link_stays() {
    let house = with_sandbox(Plan::default());
    for folder in ["one", "two"] {
        fs::create_dir(house.path(folder)).unwrap();
        fs::write(house.path(folder).join("table.toml"), TABLE.replace("Front desk", folder)).unwrap();
    }
    let point = |link: &str, at: &str| {
        symlink(at, house.path("link.new")).unwrap();
        fs::rename(house.path("link.new"), house.path(link)).unwrap();
    };
    point("data", "one");
    point("destinations.toml", "data/table.toml");
    house.await_line("changed=production:2");
    assert_eq!(done(house.promote(json!({ "from": "sandbox", "message": "m" })))["version"], 3);
    assert_eq!(house.text("one/table.toml"), sandbox("Tried"));
    assert!(fs::symlink_metadata(house.path("destinations.toml")).unwrap().is_symlink());
    // A deployment swaps the link, and what is there now is edited: not what was there before.
    point("data", "two");
    house.await_line("changed=production:4");
    let (mut desk, tag) = house.desk();
    assert_eq!(desk["name"], "two");
    desk["name"] = json!("edited");
    assert_eq!(done(house.put("front-desk", &[("If-Match", &tag)], &desk))["table_version"], 5);
    assert_eq!(house.text("two/table.toml"), TABLE.replace("Front desk", "edited"));
    assert_eq!(house.text("one/table.toml"), sandbox("Tried"));
}

/// The command line needs two keys of the file, and finds the daemon by what that has written down.
#[test]
fn a_configuration_that_is_no_toml_shuts_nobody_out() {
    let house = with_sandbox(Plan::default());
    let path = house.path("baton.toml");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("[sip]", "[sip", 1)).unwrap();
    house.await_line("config.rejected");
    for command in ["calls", "destinations", "versions"] {
        let shown = crate::house::baton().args([command, "--config"]).arg(&path).output().unwrap();
        let warned = String::from_utf8_lossy(&shown.stderr);
        assert!(shown.status.success(), "{command}: {warned}");
    }
}

#[test]
fn half_a_file_is_in_nobodys_way_and_not_lost() {
    let house = with_sandbox(Plan::default());
    let half = &TABLE[..TABLE.find("X-Account").unwrap() + 12];
    let sandbox_desk = PRODUCTION.replace("production", "sandbox") + "/destinations/front-desk";
    let ready = |status: &str| assert_eq!(house.get("/readyz")["status"], status);
    ready("ready");
    house.write("destinations.toml", half);
    house.await_line("config.rejected");
    // Calls go on, and whoever looks at a table hears of it.
    ready("degraded");
    house.await_metric("baton_configuration_degraded", 1);
    for path in ["destinations", "destinations/front-desk", "versions"] {
        let answer = house.ask("GET", &format!("{PRODUCTION}/{path}"), "");
        let said = answer.header("baton-not-in-force").unwrap();
        assert!(
            said.contains("destinations.toml:") && said.ends_with("the last good state is in force"),
            "{said}"
        );
    }
    assert!(house.get(&format!("{PRODUCTION}/destinations"))["not_in_force"].is_string());
    let path = house.path("baton.toml");
    let shown = crate::house::baton().args(["destinations", "--config"]).arg(&path).output().unwrap();
    let warned = String::from_utf8_lossy(&shown.stderr);
    assert!(shown.status.success() && warned.starts_with("warning: not in force: "), "{warned}");
    // Another file changes meanwhile, and cannot come into force alone.
    house.write("destinations.sandbox.toml", &sandbox("Waits"));
    house.await_lines("config.rejected", 2);
    assert_eq!(house.get(&sandbox_desk)["name"], "Tried");
    // Who edits one destination would write the rest of it anew: no.
    let put = house.put("front-desk", &[("If-Match", "*")], &house.desk().0);
    let problem = put.problem(409, "file_not_in_force");
    assert!(problem["errors"][0]["shown"].as_str().unwrap().contains("destinations.toml:"), "{problem}");
    assert_eq!(house.text("destinations.toml"), half);
    // Who rolls back means it. To what is in force: the file gets its text again, and it stays that version.
    let back = done(house.rollback(json!({ "message": "somebody left half a file", "version": 1 })));
    assert_eq!((&back["version"], &back["changed"]), (&json!(1), &json!(false)));
    assert_eq!(fs::read_to_string(back["set_aside"].as_str().unwrap()).unwrap(), half);
    assert_eq!(house.text("destinations.toml"), TABLE);
    ready("ready");
    house.await_metric("baton_configuration_degraded", 0);
    assert_eq!(house.get(&sandbox_desk)["name"], "Waits", "what that fault kept out of force");
    // And a promotion goes over it, too.
    let rejected = house.lines("config.rejected");
    fs::write(house.path("destinations.toml"), [0xff, 0xfe]).unwrap();
    house.await_lines("config.rejected", rejected + 1);
    let promoted = done(house.promote(json!({ "from": "sandbox", "message": "m" })));
    assert_eq!(promoted["version"], 2);
    assert_eq!(fs::read(promoted["set_aside"].as_str().unwrap()).unwrap(), [0xff, 0xfe]);
    assert_eq!(house.text("destinations.toml"), sandbox("Waits"));
    house.await_line("table.set_aside");
}

#[test]
fn a_file_that_is_gone_comes_back_by_a_rollback() {
    let house = with_sandbox(Plan::default());
    fs::remove_file(house.path("destinations.toml")).unwrap();
    house.await_line("config.rejected");
    assert_eq!(house.in_force(), 1, "calls do not feel it");
    house.put("front-desk", &[("If-Match", "*")], &house.desk().0).problem(409, "file_not_in_force");
    let back = done(house.rollback(json!({ "message": "deleted by mistake", "version": 1 })));
    assert_eq!((&back["version"], &back["set_aside"]), (&json!(1), &Value::Null));
    assert_eq!(house.text("destinations.toml"), TABLE);
    assert_eq!(done(house.promote(json!({ "from": "sandbox", "message": "m" })))["version"], 2);
}

#[test]
fn a_fault_in_another_file_stands_in_nobodys_way() {
    let house = with_sandbox(Plan::default());
    let path = house.path("baton.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n[trunk")).unwrap();
    house.await_line("config.rejected");
    assert_eq!(done(house.promote(json!({ "from": "sandbox", "message": "m" })))["version"], 2);
    assert_eq!(house.desk().0["name"], "Tried");
    fs::write(&path, text).unwrap();
    let line = house.await_line("config.reloaded");
    assert!(line.contains("changed=\"\"") || line.ends_with("changed="), "nothing is new: {line}");
    assert_eq!(house.versions("production").len(), 2);
}

#[test]
fn an_editor_that_renames_makes_one_version() {
    let house = House::open(Plan::default());
    for (at, name) in ["One", "Two", "Three"].into_iter().enumerate() {
        // As vim does it: the old file is the backup, the new one is written under the old name.
        fs::rename(house.path("destinations.toml"), house.path("destinations.toml~")).unwrap();
        house.write("destinations.toml", &TABLE.replace("Front desk", name));
        fs::remove_file(house.path("destinations.toml~")).unwrap();
        house.await_line(&format!("changed=production:{}", at + 2));
    }
    assert_eq!(house.versions("production").len(), 4);
    assert_eq!(house.desk().0["name"], "Three");
}

/// The sandbox's own phone is no destination of production.
#[test]
fn what_is_only_for_the_sandbox_stays_there() {
    let house = with_sandbox(Plan::default());
    let own =
        "\n# My phone.\n[destination.my-phone]\nonly = [\"sandbox\"]\nroute = \"sip:100@127.0.0.1:5070\"\n";
    house.write("destinations.sandbox.toml", &format!("{}{own}", sandbox("Tried")));
    house.await_line("changed=sandbox:2");
    // Nothing was changed in production yet, so the sandbox is what there is to compare with.
    let shown: Value = house.get(&format!("{PRODUCTION}/diff"));
    assert_eq!(
        (&shown["from"]["environment"], &shown["to"]["environment"]),
        (&json!("production"), &json!("sandbox"))
    );
    let ids: Vec<&Value> = shown["destinations"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!("front-desk")], "{shown}");
    let promoted = done(house.promote(json!({ "from": "sandbox", "message": "a better name" })));
    assert_eq!(promoted["left_behind"], json!(["my-phone"]));
    assert_eq!(house.text("destinations.toml"), sandbox("Tried"), "nor does its comment go along");
    house.write(
        "destinations.sandbox.toml",
        &format!("{}{own}", sandbox("Tried").replace("front-desk\"", "my-phone\"")),
    );
    house.await_line("changed=sandbox:3");
    let refused =
        house.promote(json!({ "from": "sandbox", "message": "m" })).problem(422, "configuration_invalid");
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("`my-phone`"), "{refused}");
}

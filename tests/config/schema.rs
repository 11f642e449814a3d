//! The JSON Schemas for editors: the same keys as the reader has, and the same verdict on what is right and wrong.

use super::{BATON, TABLE, read, shown};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("config/schema").join(name)).expect("a schema");
    serde_json::from_str(&text).expect("JSON")
}

/// What the schema of that name says against a file.
fn faults(name: &str, text: &str) -> Vec<String> {
    let validator = jsonschema::validator_for(&schema(name)).expect("a JSON Schema");
    let value: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The keys that the reader knows in each section, as it names them where it meets another.
fn known(printed: &str, section: &str) -> BTreeSet<String> {
    let within = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
    let start = printed
        .find(&format!("unknown key `zzz`{within}\n"))
        .unwrap_or_else(|| panic!("{section}\n{printed}"));
    let line = printed[start..]
        .lines()
        .find_map(|line| line.trim().strip_prefix("expected: one of "))
        .expect("keys");
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn properties(schema: &Value, path: &[&str]) -> BTreeSet<String> {
    let found = path.iter().fold(schema, |at, key| {
        let at = &at["properties"][key];
        // Of a table with free names, what stands under each of them; of a list, its entries; of a choice, the table.
        let named = at["patternProperties"].as_object().and_then(|entries| entries.values().next());
        let table = at["oneOf"]
            .as_array()
            .and_then(|choices| choices.iter().find(|choice| choice["type"] == "object"));
        let entry = at["items"].is_object().then(|| &at["items"]);
        named.or(table).or(entry).unwrap_or(at)
    });
    let keys = found["properties"].as_object().unwrap_or_else(|| panic!("{path:?}: {found}"));
    keys.keys().cloned().collect()
}

#[test]
fn the_keys_are_those_that_the_reader_knows() {
    let baton = "zzz = 1\n[sip]\nzzz = 1\nsession_timer = { zzz = 1 }\n[http]\nzzz = 1\n[state]\nzzz = 1\n[log]\nzzz = 1\n\
                 [trunk.a]\nzzz = 1\nauth = { zzz = 1 }\nlimits = { zzz = 1 }\n[agent.a]\nzzz = 1\n\
                 [environment.production]\ntable = \"destinations.toml\"\nzzz = 1\n";
    let table =
        "default = \"a\"\nzzz = 1\n[destination.a]\nzzz = 1\ntimeouts = { zzz = 1 }\nrule = [{ zzz = 1 }]\n";
    let (_, printed) = read(&[("baton.toml", baton), ("destinations.toml", table)]);
    let (of_baton, of_table) = printed
        .split_once("destinations.toml:")
        .map(|(baton, rest)| (baton.to_owned(), format!("destinations.toml:{rest}")))
        .expect("faults of both");
    let file = schema("baton.json");
    for (section, path) in [
        ("", &[][..]),
        ("sip", &["sip"]),
        ("sip.session_timer", &["sip", "session_timer"]),
        ("http", &["http"]),
        ("state", &["state"]),
        ("log", &["log"]),
        ("trunk.a", &["trunk"]),
        ("trunk.a.auth", &["trunk", "auth"]),
        ("trunk.a.limits", &["trunk", "limits"]),
        ("agent.a", &["agent"]),
        ("environment.production", &["environment"]),
    ] {
        assert_eq!(properties(&file, path), known(&of_baton, section), "[{section}]");
    }
    let file = schema("destinations.json");
    for (section, path) in [
        ("", &[][..]),
        ("destination.a", &["destination"]),
        ("destination.a.timeouts", &["destination", "timeouts"]),
        ("destination.a.rule", &["destination", "rule"]),
    ] {
        assert_eq!(properties(&file, path), known(&of_table, section), "[{section}]");
    }
}

#[test]
fn what_is_shipped_and_shown_is_right_and_names_its_schema() {
    for (file, name) in [
        ("baton.toml", "baton.json"),
        ("destinations.toml", "destinations.json"),
        ("destinations.sandbox.toml", "destinations.json"),
    ] {
        let text = std::fs::read_to_string(root().join("config").join(file)).expect(file);
        assert_eq!(faults(name, &text), Vec::<String>::new(), "{file}");
        assert_eq!(text.lines().next(), Some(&*format!("#:schema ./schema/{name}")));
    }
    let (tables, baton) = shown();
    for table in tables {
        assert_eq!(faults("destinations.json", &table), Vec::<String>::new());
    }
    assert_eq!(faults("baton.json", &baton), Vec::<String>::new());
    assert_eq!(faults("baton.json", BATON), Vec::<String>::new());
    assert_eq!(faults("destinations.json", TABLE), Vec::<String>::new());
}

/// Each line is wrong in the reader's eyes; the schema has to say so, too.
#[test]
fn what_is_wrong_is_wrong_for_both() {
    for line in [
        "rout = \"x\"",
        "name = 5",
        "method = \"telepathy\"",
        "brief = \"yes\"",
        "require = \"certain\"",
        "undefined = \"drop\"",
        "may_transfer = \"yes\"",
        "may_route = \"+1415\"",
        "transfer = \"passed\"",
        "reason = \"$x\"",
        "header_placement = \"body\"",
        "referred_by = 1",
        "notify_200 = \"believed\"",
        "ask_return = \"options\"",
        "limits = { headers = 33 }",
        "limits = 5",
        "on_failure = \"agent\"",
        "on_failure = []",
        "on_failure = [1]",
        "on_failure = { bussy = [\"agent\"] }",
        "on_failure = [\"invite\", \"invite\"]",
        "timeouts = { ring = 30 }",
        "timeouts = { ring = \"30\" }",
        "timeouts = { ring = \"5s1m\" }",
        "timeouts = { rings = \"30s\" }",
        "headers = { Via = \"x\" }",
        "headers = { X-A = 1 }",
        "rule = { use = \"front-desk\" }",
        "rule = [{ }]",
        "rule = [{ hours = \"Mo-Fr\", use = \"front-desk\" }]",
        "rule = [{ timezone = \"UTC\", use = \"front-desk\" }]",
        "rule = [{ when = \"true\" }]",
        "rule = [{ use = \"front-desk\", method = \"invite\" }]",
        "rule = [{ weight = 1001, use = \"front-desk\" }]",
        "rule = [{ when = true, use = \"front-desk\" }]",
        "rule = [{ wen = \"true\", use = \"front-desk\" }]",
    ] {
        let table = format!("{TABLE}{line}\n");
        let (loaded, _) = read(&[("baton.toml", BATON), ("destinations.toml", &table)]);
        assert!(loaded.errors() > 0, "the reader takes {line}");
        assert!(!faults("destinations.json", &table).is_empty(), "the schema takes {line}");
    }
    for table in [
        "[destination.a]\nroute = \"+14155550123\"\n",
        "default = \"a\"\n[destination.a]\nroute = \"4155550123\"\n",
        "default = \"a\"\n[destination.a]\nroute = \"sip:$caller_id@pbx\"\n",
        "default = \"a\"\n[destination.a]\nmethod = \"invite\"\n",
        "default = \"bye\"\n[destination.bye]\nroute = \"+14155550123\"\n",
        "default = \"a b\"\n[destination.\"a b\"]\nroute = \"+14155550123\"\n",
    ] {
        let (loaded, _) = read(&[("baton.toml", BATON), ("destinations.toml", table)]);
        assert!(loaded.errors() > 0, "the reader takes {table}");
        assert!(!faults("destinations.json", table).is_empty(), "the schema takes {table}");
    }
    for line in [
        "[sip]\nlisten = []",
        "[sip]\nlisten = [\"tls:0.0.0.0:5061\"]",
        "[sip]\nworkers = 257",
        "[sip]\nmax_calls = 0",
        "[sip]\nmax_duration = 5",
        "[sip]\nsession_timer = true",
        "[sip]\nport = 5060",
        "[http]\nlisten = \"localhost\"",
        "[http]\ntoken = \"secret\"",
        "[http]\npublic_url = \"baton.example.com\"",
        "[log]\nformat = \"xml\"",
        "[log]\nlevel = \"trace\"",
        "[state]\ndir = 5",
        "[trunk.two]\naddress = \"10.0.0.6\"",
        "[trunk.two]\ntrusted = true",
        "[trunk.two]\naddress = \"sip:10.0.0.6\"\ntrusted = \"yes\"",
        "[trunk.two]\naddress = \"sip:10.0.0.6\"\naccept_from = []",
        "[trunk.two]\naddress = \"sip:10.0.0.6\"\ncountry = \"usa\"",
        "[trunk.two]\naddress = \"sip:10.0.0.6\"\nauth = { username = \"a\" }",
        "[trunk.two]\naddress = \"sip:10.0.0.6\"\nauth = { username = \"a\", password = \"b\" }",
        "[trunk.two]\naddress = \"sip:10.0.0.6\"\nprofile = \"twilio\"",
        "[agent.two]\nnumbers = [\"1\"]",
        "[agent.two]\naddress = []\nnumbers = [\"1\"]",
        "[agent.two]\naddress = \"sip:10.0.0.6\"\nnumbers = \"1\"",
        "[agent.two]\naddress = \"sip:10.0.0.6\"\nnumbers = [\"1\"]\nmax_calls = -1",
        "[agent.two]\naddress = \"rehearsal:\"\nnumbers = [\"1\"]",
        "[environment.two]\ntabel = \"destinations.toml\"",
        "[environment.two]\ntable = \"destinations.toml\"\nallow_test_calls = \"yes\"",
    ] {
        let baton = format!("{BATON}{line}\n");
        let (loaded, _) = read(&[("baton.toml", &baton), ("destinations.toml", TABLE)]);
        assert!(loaded.errors() > 0, "the reader takes {line}");
        assert!(!faults("baton.json", &baton).is_empty(), "the schema takes {line}");
    }
}

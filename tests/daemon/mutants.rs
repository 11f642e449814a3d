//! A thousand tables that somebody has spoilt: the last good one stays, each fault has its place, and `check` says what the
//! reload says.

use crate::house::{House, Plan, baton, write_configuration};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

const MUTANTS: u32 = 1000;

/// What is spoilt: something of everything.
const WHOLE: &str = r#"default = "front-desk"

[destination.front-desk]
name = "Front desk"
description = "When the caller needs a person"
route = "+14155550123"
on_failure = { busy = ["invite", "mobile"], default = ["agent"] }
[destination.front-desk.headers]
X-Caller-ID = "$caller_id"
X-Account = "${account:-none}"
[destination.front-desk.timeouts]
response = "2s"
total = "1m"

[destination.mobile]
method = "invite"
route = "sip:ann@192.0.2.7;transport=tcp"
trunk = "pbx"
caller_id = "$called_number"
require = "proven"

[destination.goodbye]
method = "bye"
reason = 'Q.850;cause=16'
"#;

/// What fingers and programs leave behind.
const LITTER: [&str; 36] = [
    "",
    "\n",
    " ",
    "\"",
    "'",
    "#",
    "=",
    ".",
    ",",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "\u{0}",
    "\u{1b}[2J",
    "é",
    "\u{202e}",
    "1",
    "true",
    "refer",
    "invite",
    "attended",
    "bye",
    "mobile",
    "front-desk",
    "no-body",
    "default = \"mobile\"",
    "[destination.mobile]",
    "route = \"+1\"",
    "X-Other = \"$nothing\"",
    "Via = \"x\"",
    "timeouts = { ring = \"1h\" }",
    "on_failure = [\"mobile\"]",
    "\"\"\"",
    "${",
];

#[derive(Clone, Debug)]
enum Mutation {
    /// A line goes.
    Cut(Index),
    /// A line is there twice.
    Double(Index),
    /// Two lines change places.
    Swap(Index, Index),
    /// Litter in the place of a few characters.
    Litter(Index, usize, &'static str),
    /// The rest of the file is not written yet.
    Half(Index),
    /// A byte is another one.
    Byte(Index, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        2 => any::<Index>().prop_map(Mutation::Cut),
        1 => any::<Index>().prop_map(Mutation::Double),
        1 => any::<(Index, Index)>().prop_map(|(a, b)| Mutation::Swap(a, b)),
        6 => (any::<Index>(), 0..12_usize, select(&LITTER[..])).prop_map(|(at, length, litter)| Mutation::Litter(at, length, litter)),
        1 => any::<Index>().prop_map(Mutation::Half),
        1 => any::<(Index, u8)>().prop_map(|(at, byte)| Mutation::Byte(at, byte)),
    ]
}

impl Mutation {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() {
            return bytes;
        }
        let mut lines: Vec<Vec<u8>> =
            bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let count = lines.len();
        match self {
            Mutation::Cut(at) => drop(lines.remove(at.index(count))),
            Mutation::Double(at) => lines.insert(at.index(count), lines[at.index(count)].clone()),
            Mutation::Swap(a, b) => lines.swap(a.index(count), b.index(count)),
            Mutation::Litter(at, length, litter) => {
                let at = at.index(bytes.len());
                let end = (at + length).min(bytes.len());
                bytes.splice(at..end, litter.bytes());
                return bytes;
            }
            Mutation::Half(at) => {
                bytes.truncate(at.index(bytes.len()));
                return bytes;
            }
            Mutation::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
                return bytes;
            }
        }
        lines.concat()
    }
}

/// Where the faults are, by file, line and column.
fn places(errors: &[Value], file: &str) -> Result<BTreeSet<(String, u64, u64)>, TestCaseError> {
    let place = |error: &Value| {
        let number = |key: &str| error[key].as_u64().filter(|number| *number > 0);
        let place = (number("line"), number("column"));
        let (Some(line), Some(column)) = place else {
            return Err(TestCaseError::fail(format!("a fault without a place: {error}")));
        };
        Ok((error[file].as_str().unwrap_or_default().to_owned(), line, column))
    };
    errors.iter().map(place).collect()
}

#[test]
fn the_last_good_one_stays_each_fault_has_a_place_and_check_says_what_the_reload_says() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    write_configuration(folder.path(), &Plan::default());
    // A fault can be of two files at once: the agent's fallback must be there.
    let path = folder.path().join("baton.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("numbers = ", "fallback = \"goodbye\"\nnumbers = ")).unwrap();
    fs::write(folder.path().join("destinations.toml"), WHOLE).unwrap();
    let house = House::again(folder, Plan::default());
    let check = || {
        let output = baton().args(["check", "--json", "--config"]).arg(&path).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let last_good = std::cell::RefCell::new((1, WHOLE.as_bytes().to_vec()));
    let seen = std::cell::Cell::new((0, 0));
    let try_one = |mutations: Vec<Mutation>| {
        let bytes = mutations.iter().fold(WHOLE.as_bytes().to_vec(), |bytes, mutation| mutation.apply(bytes));
        // As deployments write: what a watcher sees is whole.
        fs::write(house.path("new"), &bytes).unwrap();
        fs::rename(house.path("new"), house.path("destinations.toml")).unwrap();
        let reload = house.ask("POST", "/v1/reload", "");
        let checked = check();
        let diagnostics = checked["diagnostics"].as_array().unwrap().clone();
        let errors: Vec<Value> = diagnostics.into_iter().filter(|one| one["severity"] == "error").collect();
        let (good, bad) = seen.get();
        if reload.status == 200 {
            prop_assert_eq!(&checked["valid"], &json!(true), "{}", &checked);
            let version = reload.json()["environments"]["production"]["version"].as_u64().unwrap();
            last_good.replace((version, bytes));
            seen.set((good + 1, bad));
        } else {
            let problem = reload.problem(422, "configuration_invalid");
            prop_assert_eq!(&checked["valid"], &json!(false), "{}", &problem);
            let told = places(problem["errors"].as_array().unwrap(), "field")?;
            prop_assert_eq!(&told, &places(&errors, "file")?);
            prop_assert!(!told.is_empty());
            seen.set((good, bad + 1));
        }
        let (version, text) = &*last_good.borrow();
        let list = house.get("/v1/environments/production/versions?limit=1");
        prop_assert_eq!(&list["data"][0]["version"], &json!(version));
        prop_assert_eq!(&list["data"][0]["in_force"], &json!(true));
        let there = house.get(&format!("/v1/environments/production/versions/{version}"));
        prop_assert_eq!(there["text"].as_str().unwrap().as_bytes(), text.as_slice());
        Ok(())
    };
    let config =
        Config { cases: MUTANTS, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let ran = TestRunner::new(config).run(&prop::collection::vec(mutation(), 1..4), try_one);
    ran.unwrap_or_else(|error| panic!("{error}"));
    let (good, bad) = seen.get();
    assert!(good > 50 && bad > 300, "{good} good ones and {bad} bad ones");
}

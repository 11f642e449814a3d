//! Files that are not there, no TOML, or no text.

use baton::daemon::configuration::load;

use super::{BATON, TABLE, baton_prints, read, table_prints};

#[test]
fn a_table_that_is_not_there() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destination.toml"
"#,
        r#"
baton.toml:7:9: error: destination.toml: cannot be opened: there is no such file
   |
 7 | table = "destination.toml"
   |         ^^^^^^^^^^^^^^^^^^
  help: did you mean `destinations.toml`?
"#,
    );
}

#[test]
fn a_table_where_a_value_stands() {
    baton_prints(
        r#"sip = 5
trunk = "pbx"
agent.booking = "sip:a@b"
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:1:1: warning: there is no trunk, so no call comes through
   |
 1 | sip = 5
   | ^
  expected: [trunk.pbx]
baton.toml:1:1: warning: there is no agent, so no call comes through
   |
 1 | sip = 5
   | ^
  expected: [agent.booking]
baton.toml:1:7: error: `sip` is an integer
   |
 1 | sip = 5
   |       ^
  expected: a table: [sip]
baton.toml:2:9: error: `trunk` is a string
   |
 2 | trunk = "pbx"
   |         ^^^^^
  expected: a table: [trunk]
baton.toml:3:17: error: `booking` is a string
   |
 3 | agent.booking = "sip:a@b"
   |                 ^^^^^^^^^
  expected: a table: [agent.booking]
"#,
    );
}

#[test]
fn several_syntax_errors() {
    baton_prints(
        r#"[sip]
listen = 
workers = 2 3
[trunk.pbx
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:10: error: no value
   |
 2 | listen = 
   |          ^
  expected: a value: "text", 5, true, ["a", "b"] or { a = "b" }
baton.toml:3:11: error: this is no value
   |
 3 | workers = 2 3
   |           ^^^
  expected: a value: "text", 5, true, ["a", "b"] or { a = "b" }
baton.toml:4:11: error: this table's name does not end
   |
 4 | [trunk.pbx
   |           ^
  expected: `]`
baton.toml:7:30: error: this text does not end on its line
   |
 7 | address = "sip:127.0.0.1:5080
   |                              ^
  expected: a `"` that closes it
"#,
    );
}

#[test]
fn the_same_key_twice() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
address = "sip:10.0.0.6"
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:3:1: error: `address` is there twice
   |
 3 | address = "sip:10.0.0.6"
   | ^^^^^^^
  help: remove one of both
baton.toml:4:8: error: `pbx` is there twice
   |
 4 | [trunk.pbx]
   |        ^^^
  help: give it another name, or remove one of both
"#,
    );
}

#[test]
fn one_fault_in_a_table_leaves_nothing() {
    let (loaded, _) = read(&[("baton.toml", BATON), ("destinations.toml", "default = \"x\"\n")]);
    assert!(loaded.configuration.is_none());
    assert_eq!(loaded.errors(), 1);
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let (loaded, printed) = read(&[]);
    assert_eq!(
        printed,
        "baton.toml: error: cannot be opened: there is no such file\n  \
         help: name a text file in UTF-8 that you may read, with --config or $BATON_CONFIG; `baton demo` needs none"
    );
    assert!(loaded.configuration.is_none());
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("baton.toml"), b"a = 1\nb = \"\xff\"\n").expect("a temporary file");
    let loaded = load(&directory.path().join("baton.toml"));
    assert_eq!(loaded.diagnostics[0].message, "line 2 is not UTF-8");
    assert_eq!(load(directory.path()).diagnostics[0].message, "is no file");
}

#[test]
fn a_table_that_is_no_text_is_not_said_to_be_missing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("baton.toml"), BATON).expect("a temporary file");
    std::fs::write(directory.path().join("destinations.toml"), b"# caf\xe9\n").expect("a temporary file");
    let loaded = load(&directory.path().join("baton.toml"));
    let fault = &loaded.diagnostics[0];
    assert!(fault.message.ends_with("line 1 is not UTF-8"), "{fault}");
    assert!(fault.suggestion.as_deref().is_some_and(|help| !help.contains("did you mean")), "{fault}");
}

/// What a hostile or broken file does to a terminal: nothing.
#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let (_, printed) = read(&[
        ("baton.toml", "\"a\\u001b[31m\" = 1\nb = \"\u{7f}\"\n[x] # \u{1b}[2J\n"),
        ("destinations.toml", TABLE),
    ]);
    assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "{printed:?}");
}

/// What people who have never heard of TOML write, each once.
#[test]
fn slips_of_the_pen() {
    let mut all = Vec::new();
    for line in [
        "route = \"+14155550123    # a number",
        "route = '+14155550123",
        "route = \u{201c}+14155550123\u{201d}",
        "route: \"+14155550123\"",
        "caller id = \"$caller_id\"",
        "route = \"+14155550123\"\nroute = \"+14155550124\"",
        "route = \"+14155550123\"\n[destination.the manager]",
        "route = \"desk@10.0.0.5\"",
        "route = \"sip:100\"",
    ] {
        let table = format!("default = \"a\"\n[destination.a]\n{line}\n");
        let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", &table)]);
        assert!(loaded.configuration.is_none(), "{line}");
        all.push(printed.replace("destinations.toml:", ""));
    }
    let expected = r#"
3:36: error: this text does not end on its line
   |
 3 | route = "+14155550123    # a number
   |                                    ^
  expected: a `"` that closes it
3:22: error: this text does not end on its line
   |
 3 | route = '+14155550123
   |                      ^
  expected: a `'` that closes it
3:9: error: this is no value
   |
 3 | route = “+14155550123”
   |         ^^^^^^^^^^^^^^
  expected: a value: "text", 5, true, ["a", "b"] or { a = "b" }
  help: these are a word processor's quotes: write straight ones, "…"
3:8: error: key with no value
   |
 3 | route: "+14155550123"
   |        ^
  expected: `=`
  help: between a key and its value stands `=`
3:8: error: key with no value
   |
 3 | caller id = "$caller_id"
   |        ^
  expected: `=`
  help: a key is one word: did you mean `caller_id`?
4:1: error: `route` is there twice
   |
 4 | route = "+14155550124"
   | ^^^^^
  help: remove one of both
4:17: error: this table's name does not end
   |
 4 | [destination.the manager]
   |                 ^
  expected: `]`
  help: an id is one word: did you mean `[destination.the-manager]`?
3:9: error: `route`: `desk@10.0.0.5` is neither a number nor a URI
   |
 3 | route = "desk@10.0.0.5"
   |         ^^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: did you mean `sip:desk@10.0.0.5`?
3:9: error: `route`: malformed IPv4 address
   |
 3 | route = "sip:100"
   |         ^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: a user part stands before a host: sip:100@pbx.example.com
"#;
    let printed = all.join("\n");
    assert!(printed == expected.trim(), "printed:\n{printed}\n\nexpected:\n{expected}\n");
}

/// The keys of a table that is there twice are not told one by one.
#[test]
fn a_destination_that_is_there_twice() {
    table_prints(
        r#"default = "a"
[destination.a]
name = "A"
route = "+14155550123"

[destination.a]
name = "B"
route = "+14155550124"
[destination.b]
route = "+14155550125"
route = "+14155550126"
"#,
        r#"
destinations.toml:6:14: error: `a` is there twice
   |
 6 | [destination.a]
   |              ^
  help: give it another name, or remove one of both
destinations.toml:11:1: error: `route` is there twice
    |
 11 | route = "+14155550126"
    | ^^^^^
  help: remove one of both
"#,
    );
}

#[test]
fn a_link_that_leads_nowhere() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("baton.toml"), BATON).expect("a temporary file");
    std::os::unix::fs::symlink("of-tomorrow.toml", path("destinations.toml")).expect("a link");
    let loaded = load(&path("baton.toml"));
    let printed = loaded.diagnostics.iter().map(ToString::to_string).collect::<String>();
    assert!(printed.contains("is a link to of-tomorrow.toml, which is not there"), "{printed}");
    assert!(!printed.contains("did you mean"), "{printed}");
}

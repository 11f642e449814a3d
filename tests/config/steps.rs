//! `on_failure`: steps, and what they lead to.

use super::table_prints;

#[test]
fn steps_that_are_none() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
on_failure = ["invite", "b", "agnt", "agent", "bye"]
[destination.b]
route = "+14155550124"
on_failure = []
[destination.c]
route = "+14155550124"
on_failure = "agent"
[destination.d]
route = "+14155550124"
on_failure = { bussy = ["agent"], busy = "bye", default = ["hangup"], unknown = [1] }
"#,
        r#"
destinations.toml:4:15: error: the step `invite` (another method) is not carried out yet
   |
 4 | on_failure = ["invite", "b", "agnt", "agent", "bye"]
   |               ^^^^^^^^
  expected: `agent`, `bye` or `hangup`
destinations.toml:4:25: error: the step `b` (another destination) is not carried out yet
   |
 4 | on_failure = ["invite", "b", "agnt", "agent", "bye"]
   |                         ^^^
  expected: `agent`, `bye` or `hangup`
destinations.toml:4:30: error: `agnt` is no step
   |
 4 | on_failure = ["invite", "b", "agnt", "agent", "bye"]
   |                              ^^^^^^
  expected: `agent`, `bye` or `hangup`
  help: did you mean `agent`?
destinations.toml:4:47: error: `bye` is never reached
   |
 4 | on_failure = ["invite", "b", "agnt", "agent", "bye"]
   |                                               ^^^^^
  help: `agent`, `bye` and `hangup` end a handoff: only one of them, and last
destinations.toml:7:14: error: an empty list of steps
   |
 7 | on_failure = []
   |              ^^
  expected: `agent`, `bye` or `hangup`
destinations.toml:10:14: error: `on_failure` is a string
    |
 10 | on_failure = "agent"
    |              ^^^^^^^
  expected: a list of steps like ["agent"], or a table of such lists by cause
destinations.toml:13:16: error: `bussy` is no cause
    |
 13 | on_failure = { bussy = ["agent"], busy = "bye", default = ["hangup"], unknown = [1] }
    |                ^^^^^
  expected: one of `refused`, `busy`, `no_answer`, `unreachable`, `failed`, `unknown` or `default`
  help: did you mean `busy`?
destinations.toml:13:42: error: steps are a list, and this is a string
    |
 13 | on_failure = { bussy = ["agent"], busy = "bye", default = ["hangup"], unknown = [1] }
    |                                          ^^^^^
  expected: a list like ["agent"]
destinations.toml:13:82: error: a step is an integer
    |
 13 | on_failure = { bussy = ["agent"], busy = "bye", default = ["hangup"], unknown = [1] }
    |                                                                                  ^
  expected: `agent`, `bye` or `hangup`
"#,
    );
}

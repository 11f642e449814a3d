//! `on_failure`: steps, and what they lead to.

use super::table_prints;

#[test]
fn steps_in_every_form() {
    table_prints(
        r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
on_failure = ["invite", "mobile", "agent"]
[destination.mobile]
method = "invite"
route = "+14155550124"
on_failure = { busy = ["attended", "voicemail", "hangup"], unknown = ["agent"], default = ["refer", "bye"] }
[destination.voicemail]
route = "sip:voicemail@10.0.0.5"
[destination.lobby]
method = "redirect"
route = "sip:lobby@10.0.0.5"
on_failure = ["invite", "front-desk", "main-menu"]
[destination.main-menu]
method = "bye"
[destination.certain]
method = "invite"
require = "proven"
route = "+14155550125"
on_failure = ["attended", "certain-too", "agent"]
[destination.certain-too]
method = "attended"
require = "proven"
route = "+14155550126"
on_failure = { unknown = ["invite"], busy = ["bye"], default = ["hangup"] }
"#,
        "",
    );
}

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
[destination.front-desk]
route = "+14155550124"
on_failure = ["front-desc", "atended", "nowhere"]
"#,
        r#"
destinations.toml:4:30: error: `agnt` is no step
   |
 4 | on_failure = ["invite", "b", "agnt", "agent", "bye"]
   |                              ^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
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
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
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
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
destinations.toml:16:15: error: `front-desc` is no step
    |
 16 | on_failure = ["front-desc", "atended", "nowhere"]
    |               ^^^^^^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
  help: did you mean `front-desk`?
destinations.toml:16:29: error: `atended` is no step
    |
 16 | on_failure = ["front-desc", "atended", "nowhere"]
    |                             ^^^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
  help: did you mean `attended`?
destinations.toml:16:40: error: `nowhere` is no step
    |
 16 | on_failure = ["front-desc", "atended", "nowhere"]
    |                                        ^^^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
"#,
    );
}

#[test]
fn steps_that_try_what_was_tried() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
on_failure = ["refer", "a", "invite", "b", "invite", "b", "agent", "agent", "c"]
[destination.b]
method = "attended"
route = "+14155550124"
on_failure = { busy = ["attended"], no_answer = ["invite", "invite"] }
[destination.c]
route = "+14155550124"
"#,
        r#"
destinations.toml:4:15: error: the step `refer` is what has just failed
   |
 4 | on_failure = ["refer", "a", "invite", "b", "invite", "b", "agent", "agent", "c"]
   |               ^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
destinations.toml:4:24: error: the step `a` is the destination itself, which has just failed
   |
 4 | on_failure = ["refer", "a", "invite", "b", "invite", "b", "agent", "agent", "c"]
   |                        ^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
destinations.toml:4:44: error: the step `invite` is there twice
   |
 4 | on_failure = ["refer", "a", "invite", "b", "invite", "b", "agent", "agent", "c"]
   |                                            ^^^^^^^^
  help: a step is tried once in a handoff: remove this one
destinations.toml:4:54: error: the step `b` is there twice
   |
 4 | on_failure = ["refer", "a", "invite", "b", "invite", "b", "agent", "agent", "c"]
   |                                                      ^^^
  help: a step is tried once in a handoff: remove this one
destinations.toml:4:68: error: `agent` is never reached
   |
 4 | on_failure = ["refer", "a", "invite", "b", "invite", "b", "agent", "agent", "c"]
   |                                                                    ^^^^^^^
  help: `agent`, `bye` and `hangup` end a handoff: only one of them, and last
destinations.toml:4:77: error: `c` is never reached
   |
 4 | on_failure = ["refer", "a", "invite", "b", "invite", "b", "agent", "agent", "c"]
   |                                                                             ^^^
  help: `agent`, `bye` and `hangup` end a handoff: only one of them, and last
destinations.toml:8:24: error: the step `attended` is what has just failed
   |
 8 | on_failure = { busy = ["attended"], no_answer = ["invite", "invite"] }
   |                        ^^^^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
destinations.toml:8:60: error: the step `invite` is there twice
   |
 8 | on_failure = { busy = ["attended"], no_answer = ["invite", "invite"] }
   |                                                            ^^^^^^^^
  help: a step is tried once in a handoff: remove this one
"#,
    );
}

#[test]
fn steps_that_cannot_be_taken_in_a_call() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
on_failure = ["redirect", "lobby", "agent"]
[destination.lobby]
method = "redirect"
route = "+14155550124"
[destination.back]
method = "bye"
on_failure = ["invite", "agent"]
"#,
        r#"
destinations.toml:4:15: error: `redirect` is no step: it works only before the caller leg is answered
   |
 4 | on_failure = ["redirect", "lobby", "agent"]
   |               ^^^^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
destinations.toml:4:27: error: `lobby` is no step: its method "redirect" works only before the caller leg is answered
   |
 4 | on_failure = ["redirect", "lobby", "agent"]
   |                           ^^^^^^^
  expected: a destination with method "refer", "invite", "attended" or "bye"
destinations.toml:10:15: error: the step `invite` needs a route, and method "bye" has none
    |
 10 | on_failure = ["invite", "agent"]
    |               ^^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
"#,
    );
}

#[test]
fn more_steps_than_time() {
    let mut text = String::from("default = \"d0\"\n");
    let ids: Vec<String> = (0..18).map(|index| format!("d{index}")).collect();
    for id in &ids {
        text.push_str(&format!("[destination.{id}]\nroute = \"+14155550123\"\n"));
    }
    text.push_str(&format!("[destination.all]\nroute = \"+1415\"\non_failure = {ids:?}\n"));
    table_prints(
        &text,
        r#"
destinations.toml:40:117: error: more than 16 steps
    |
 40 | on_failure = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11", "d12", "d13", "d14", "d15", "d16", "d17"]
    |                                                                                                                     ^^^^^
  help: the time of the handoff (`timeouts.total`) is over long before
"#,
    );
}

#[test]
fn steps_that_require_forbids() {
    table_prints(
        r#"default = "a"
[destination.a]
method = "invite"
require = "proven"
route = "+14155550123"
on_failure = { busy = ["refer", "attended", "b", "c", "bye"], no_answer = ["hangup"], default = ["b"] }
[destination.b]
method = "invite"
route = "+14155550124"
[destination.c]
method = "invite"
require = "proven"
route = "+14155550125"
on_failure = ["agent"]
"#,
        r#"
destinations.toml:6:24: error: `require = "proven"` forbids the step `refer`
   |
 6 | on_failure = { busy = ["refer", "attended", "b", "c", "bye"], no_answer = ["hangup"], default = ["b"] }
   |                        ^^^^^^^
  expected: `invite` or `attended`, or a destination that requires the same
destinations.toml:6:45: error: `require = "proven"` forbids the step `b`, which does not require it
   |
 6 | on_failure = { busy = ["refer", "attended", "b", "c", "bye"], no_answer = ["hangup"], default = ["b"] }
   |                                             ^^^
  expected: `invite` or `attended`, or a destination that requires the same
  help: add `require = "proven"` to [destination.b], or remove the step
destinations.toml:6:98: error: `require = "proven"` forbids the step `b`, which does not require it
   |
 6 | on_failure = { busy = ["refer", "attended", "b", "c", "bye"], no_answer = ["hangup"], default = ["b"] }
   |                                                                                                  ^^^
  expected: `invite` or `attended`, or a destination that requires the same
  help: add `require = "proven"` to [destination.b], or remove the step
"#,
    );
}

#[test]
fn chains_that_go_round() {
    table_prints(
        r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
on_failure = ["mobile", "agent"]
[destination.mobile]
route = "+14155550124"
on_failure = { busy = ["front-desk"], no_answer = ["front-desk", "agent"], unknown = ["night"] }
[destination.night]
route = "+14155550125"
on_failure = ["porter", "agent"]
[destination.porter]
route = "+14155550126"
on_failure = { unknown = ["mobile"] }
[destination.sales]
route = "+14155550127"
on_failure = ["front-desk"]
"#,
        r#"
destinations.toml:7:24: error: `on_failure` goes round: front-desk -> mobile -> front-desk
   |
 7 | on_failure = { busy = ["front-desk"], no_answer = ["front-desk", "agent"], unknown = ["night"] }
   |                        ^^^^^^^^^^^^
  expected: steps that come to an end
  help: remove this step, or another one of the chain
destinations.toml:13:27: error: `on_failure` goes round: mobile -> night -> porter -> mobile
    |
 13 | on_failure = { unknown = ["mobile"] }
    |                           ^^^^^^^^
  expected: steps that come to an end
  help: remove this step, or another one of the chain
"#,
    );
}

#[test]
fn a_long_chain_that_goes_round() {
    let mut text = String::from("default = \"d0\"\n");
    for index in 0..20 {
        text.push_str(&format!(
            "[destination.d{index}]\nroute = \"+14155550123\"\non_failure = [\"d{}\"]\n",
            (index + 1) % 20
        ));
    }
    table_prints(
        &text,
        r#"
destinations.toml:61:15: error: `on_failure` goes round: d0 -> d1 -> d2 -> d3 -> ... -> d16 -> d17 -> d18 -> d19 -> d0
    |
 61 | on_failure = ["d0"]
    |               ^^^^
  expected: steps that come to an end
  help: remove this step, or another one of the chain
"#,
    );
}

#[test]
fn steps_that_can_never_be_taken() {
    table_prints(
        r#"default = "a"
[destination.a]
method = "invite"
route = "+14155550123"
on_failure = { unknown = ["b"], default = ["b", "agent"] }
[destination.b]
method = "invite"
route = "+14155550124"
on_failure = ["hangup"]
[destination.c]
route = "+14155550125"
on_failure = ["main-menu", "invite", "agent"]
[destination.main-menu]
method = "bye"
[destination.other-menu]
method = "bye"
on_failure = ["hangup"]
[destination.d]
route = "+14155550126"
on_failure = { refused = ["bye"], busy = ["bye"], no_answer = ["bye"], unreachable = ["bye"], failed = ["c", "bye"], default = ["hangup"] }
"#,
        r#"
destinations.toml:5:16: warning: `unknown` is never met with method "invite"
   |
 5 | on_failure = { unknown = ["b"], default = ["b", "agent"] }
   |                ^^^^^^^
  help: only `refer` and `attended` can end so, and no step leads to one: remove it
destinations.toml:5:49: warning: `agent` is never taken: `b` ends the handoff
   |
 5 | on_failure = { unknown = ["b"], default = ["b", "agent"] }
   |                                                 ^^^^^^^
  help: remove it, or see what [destination.b] does when it fails
destinations.toml:12:28: warning: `invite` is never taken: `main-menu` ends the handoff
    |
 12 | on_failure = ["main-menu", "invite", "agent"]
    |                            ^^^^^^^^
  help: remove it, or see what [destination.main-menu] does when it fails
destinations.toml:17:1: warning: `on_failure` is never taken with method "bye": the caller has left, whatever the answer is
    |
 17 | on_failure = ["hangup"]
    | ^^^^^^^^^^
  help: remove it
destinations.toml:20:118: warning: `default` is never taken: every cause has a list of its own
    |
 20 | on_failure = { refused = ["bye"], busy = ["bye"], no_answer = ["bye"], unreachable = ["bye"], failed = ["c", "bye"], default = ["hangup"] }
    |                                                                                                                      ^^^^^^^
  help: remove it; `unknown` takes a step only where it is named
"#,
    );
}

/// What is not certain is not said: an agent may have gone, a REFER may end as unknown, a cause may have no list.
#[test]
fn steps_that_may_be_taken_after_all() {
    table_prints(
        r#"default = "a"
[destination.a]
method = "invite"
route = "+14155550123"
on_failure = { unknown = ["invite-first"], default = ["back-to-agent", "refer-last", "by-cause", "bye"] }
[destination.back-to-agent]
method = "invite"
route = "+14155550124"
on_failure = ["agent"]
[destination.refer-last]
route = "+14155550125"
on_failure = ["hangup"]
[destination.by-cause]
method = "invite"
route = "+14155550126"
on_failure = { busy = ["hangup"] }
[destination.invite-first]
method = "invite"
route = "+14155550128"
on_failure = ["refer"]
"#,
        "",
    );
}

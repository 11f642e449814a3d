//! Methods, and which keys apply to them.

use super::{BATON, compare, read, table_prints};

#[test]
fn each_method_with_all_keys_that_apply_to_it() {
    table_prints(
        r#"default = "refer-it"
[destination.refer-it]
method = "refer"
route = "+14155550123"
trunk = "pbx"
caller_id = "$caller_id"
header_placement = "both"
refer_to_host = "pbx.example.com"
referred_by = false
notify_200 = "reported"
ask_return = "none"
timeouts = { response = "5s", outcome = "50s", ring = "20s", total = "100s" }
[destination.call-it]
method = "invite"
require = "proven"
route = "sip:100@10.0.0.5"
trunk = "pbx"
caller_id = "$caller_id"
timeouts = { ring = "20s", total = "5s" }
[destination.ask-it]
method = "attended"
brief = true
require = "proven"
route = "tel:+14155550123"
trunk = "pbx"
caller_id = "$caller_id"
header_placement = "request"
referred_by = false
notify_200 = "accepted"
ask_return = "reinvite"
timeouts = { response = "5s", outcome = "50s", ring = "20s", total = "100s" }
[destination.name-it]
method = "redirect"
route = "+14155550123"
header_placement = "refer-to"
refer_to_host = "pbx.example.com"
timeouts = { total = "5s" }
[destination.give-it-back]
method = "bye"
reason = "SIP;cause=200"
timeouts = { total = "5s" }
"#,
        "",
    );
}

#[test]
fn keys_that_do_not_apply_to_the_method() {
    table_prints(
        r#"default = "a"
[destination.a]
brief = true
route = "+14155550123"
[destination.b]
method = "invite"
brief = false
route = "+14155550123"
header_placement = "both"
refer_to_host = "pbx.example.com"
referred_by = false
notify_200 = "accepted"
timeouts = { response = "5s", outcome = "50s", ring = "20s" }
[destination.c]
method = "redirect"
route = "+14155550123"
trunk = "pbx"
caller_id = "$caller_id"
referred_by = false
notify_200 = "accepted"
timeouts = { response = "5s", outcome = "50s", ring = "20s" }
[destination.d]
method = "bye"
brief = true
timeouts = { response = "5s", ring = "20s" }
"#,
        r#"
destinations.toml:3:1: error: `brief` does not apply to method "refer"
   |
 3 | brief = true
   | ^^^^^
  help: remove it, or choose method "attended"
destinations.toml:7:1: error: `brief` does not apply to method "invite"
   |
 7 | brief = false
   | ^^^^^
  help: remove it, or choose method "attended"
destinations.toml:9:1: error: `header_placement` does not apply to method "invite"
   |
 9 | header_placement = "both"
   | ^^^^^^^^^^^^^^^^
  help: remove it, or choose method "refer", "attended" or "redirect"
destinations.toml:10:1: error: `refer_to_host` does not apply to method "invite"
    |
 10 | refer_to_host = "pbx.example.com"
    | ^^^^^^^^^^^^^
  help: remove it, or choose method "refer", "attended" or "redirect"
destinations.toml:11:1: error: `referred_by` does not apply to method "invite"
    |
 11 | referred_by = false
    | ^^^^^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:12:1: error: `notify_200` does not apply to method "invite"
    |
 12 | notify_200 = "accepted"
    | ^^^^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:13:14: error: `response` does not apply to method "invite"
    |
 13 | timeouts = { response = "5s", outcome = "50s", ring = "20s" }
    |              ^^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:13:31: error: `outcome` does not apply to method "invite"
    |
 13 | timeouts = { response = "5s", outcome = "50s", ring = "20s" }
    |                               ^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:17:1: error: `trunk` does not apply to method "redirect"
    |
 17 | trunk = "pbx"
    | ^^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
destinations.toml:18:1: error: `caller_id` does not apply to method "redirect"
    |
 18 | caller_id = "$caller_id"
    | ^^^^^^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
destinations.toml:19:1: error: `referred_by` does not apply to method "redirect"
    |
 19 | referred_by = false
    | ^^^^^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:20:1: error: `notify_200` does not apply to method "redirect"
    |
 20 | notify_200 = "accepted"
    | ^^^^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:21:14: error: `response` does not apply to method "redirect"
    |
 21 | timeouts = { response = "5s", outcome = "50s", ring = "20s" }
    |              ^^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:21:31: error: `outcome` does not apply to method "redirect"
    |
 21 | timeouts = { response = "5s", outcome = "50s", ring = "20s" }
    |                               ^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:21:48: error: `ring` does not apply to method "redirect"
    |
 21 | timeouts = { response = "5s", outcome = "50s", ring = "20s" }
    |                                                ^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
destinations.toml:24:1: error: `brief` does not apply to method "bye"
    |
 24 | brief = true
    | ^^^^^
  help: remove it, or choose method "attended"
destinations.toml:25:14: error: `response` does not apply to method "bye"
    |
 25 | timeouts = { response = "5s", ring = "20s" }
    |              ^^^^^^^^
  help: remove it, or choose method "refer" or "attended"
destinations.toml:25:31: error: `ring` does not apply to method "bye"
    |
 25 | timeouts = { response = "5s", ring = "20s" }
    |                               ^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
"#,
    );
}

#[test]
fn a_step_gives_its_keys_a_meaning() {
    table_prints(
        r#"default = "a"
[destination.a]
method = "invite"
route = "+14155550123"
header_placement = "both"
referred_by = false
notify_200 = "reported"
timeouts = { response = "5s", outcome = "50s" }
on_failure = { busy = ["refer"] }
[destination.b]
method = "redirect"
route = "+14155550123"
trunk = "pbx"
caller_id = "$caller_id"
timeouts = { ring = "50s" }
on_failure = ["invite"]
[destination.c]
method = "invite"
route = "+14155550123"
notify_200 = "accepted"
on_failure = ["reefer"]
"#,
        r#"
destinations.toml:21:15: error: `reefer` is no step
    |
 21 | on_failure = ["reefer"]
    |               ^^^^^^^^
  expected: another method (`invite`, `refer` or `attended`), the id of another destination, and last one of `agent`, `bye` or `hangup`
  help: did you mean `refer`?
"#,
    );
}

#[test]
fn every_method_but_bye_needs_a_route() {
    table_prints(
        r#"default = "a"
[destination.a]
[destination.b]
method = "invite"
[destination.c]
method = "attended"
[destination.d]
method = "redirect"
[destination.e]
method = "bye"
route = "+14155550123"
caller_id = "$caller_id"
[destination.e.timeouts]
outcome = "5s"
"#,
        r#"
destinations.toml:2:14: error: `route` is missing in [destination.a]
   |
 2 | [destination.a]
   |              ^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: method "refer" needs a route; method "bye" needs none
destinations.toml:3:14: error: `route` is missing in [destination.b]
   |
 3 | [destination.b]
   |              ^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: method "invite" needs a route; method "bye" needs none
destinations.toml:5:14: error: `route` is missing in [destination.c]
   |
 5 | [destination.c]
   |              ^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: method "attended" needs a route; method "bye" needs none
destinations.toml:7:14: error: `route` is missing in [destination.d]
   |
 7 | [destination.d]
   |              ^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: method "redirect" needs a route; method "bye" needs none
destinations.toml:11:1: error: `route` does not apply to method "bye"
    |
 11 | route = "+14155550123"
    | ^^^^^
  help: remove it, or choose method "refer", "invite", "attended" or "redirect"
destinations.toml:12:1: error: `caller_id` does not apply to method "bye"
    |
 12 | caller_id = "$caller_id"
    | ^^^^^^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
destinations.toml:14:1: error: `outcome` does not apply to method "bye"
    |
 14 | outcome = "5s"
    | ^^^^^^^
  help: remove it, or choose method "refer" or "attended"
"#,
    );
}

#[test]
fn methods_that_are_none() {
    table_prints(
        r#"default = "a"
[destination.a]
method = "reffer"
route = "+14155550123"
[destination.b]
method = "transfer"
route = "+14155550123"
[destination.c]
method = 5
brief = "yes"
route = "+14155550123"
"#,
        r#"
destinations.toml:3:10: error: `reffer` is no method
   |
 3 | method = "reffer"
   |          ^^^^^^^^
  expected: one of `refer` (the default), `invite`, `attended`, `bye` or `redirect`
  help: did you mean `refer`?
destinations.toml:6:10: error: `transfer` is no method
   |
 6 | method = "transfer"
   |          ^^^^^^^^^^
  expected: one of `refer` (the default), `invite`, `attended`, `bye` or `redirect`
destinations.toml:9:10: error: `method` is an integer in [destination.c]
   |
 9 | method = 5
   |          ^
  expected: one of `refer` (the default), `invite`, `attended`, `bye` or `redirect`
destinations.toml:10:9: error: `brief` is a string in [destination.c]
    |
 10 | brief = "yes"
    |         ^^^^^
  expected: `true` or `false`
"#,
    );
}

#[test]
fn what_require_forbids() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
require = "proven"
[destination.b]
method = "refer"
route = "+14155550123"
require = "proven"
[destination.c]
method = "bye"
require = "proven"
[destination.d]
method = "redirect"
route = "+14155550123"
require = "proven"
[destination.e]
method = "invite"
route = "+14155550123"
require = "proved"
[destination.f]
method = "invite"
route = "+14155550123"
require = "reported"
[destination.g]
method = "invite"
route = "+14155550123"
require = true
"#,
        r#"
destinations.toml:4:11: error: `require = "proven"` forbids method "refer", which is the default
   |
 4 | require = "proven"
   |           ^^^^^^^^
  expected: method "invite" or "attended"
  help: choose one of them, or remove `require`
destinations.toml:6:10: error: `require = "proven"` forbids method "refer"
   |
 6 | method = "refer"
   |          ^^^^^^^
  expected: method "invite" or "attended"
  help: choose one of them, or remove `require`
destinations.toml:10:10: error: `require = "proven"` forbids method "bye"
    |
 10 | method = "bye"
    |          ^^^^^
  expected: method "invite" or "attended"
  help: choose one of them, or remove `require`
destinations.toml:13:10: error: `require = "proven"` forbids method "redirect"
    |
 13 | method = "redirect"
    |          ^^^^^^^^^^
  expected: method "invite" or "attended"
  help: choose one of them, or remove `require`
destinations.toml:19:11: error: `proved` is no `require`
    |
 19 | require = "proved"
    |           ^^^^^^^^
  expected: "proven"
  help: did you mean `proven`?
destinations.toml:23:11: error: `reported` is no `require`
    |
 23 | require = "reported"
    |           ^^^^^^^^^^
  expected: "proven"
  help: remove it to take what the receiver reports for the result
destinations.toml:27:11: error: `require` is a boolean in [destination.g]
    |
 27 | require = true
    |           ^^^^
  expected: "proven"
"#,
    );
}

/// A Replaces must reach the user agent of the target; nobody but the caller's own trunk is known to lead there.
#[test]
fn an_attended_transfer_that_may_not_find_its_target() {
    let baton = BATON.replace(
        "[agent.booking]",
        "[trunk.carrier]\naddress = \"sip:Carrier.example.com:5070\"\n[agent.booking]",
    );
    let table = r#"default = "a"
[destination.a]
method = "attended"
route = "+14155550123"
trunk = "carrier"
[destination.b]
route = "sip:100@other.example.com"
on_failure = { busy = ["attended"] }
[destination.c]
method = "attended"
route = "sip:100@CARRIER.example.com"
[destination.d]
method = "attended"
route = "sip:100@10.0.0.5:5080"
[destination.e]
method = "invite"
trunk = "carrier"
route = "sip:100@other.example.com"
[destination.f]
method = "attended"
route = "tel:+14155550123"
"#;
    let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", table)]);
    compare(
        &loaded,
        &printed,
        r#"
destinations.toml:5:1: warning: `trunk` with `attended`: the caller's side finds the target again only through its own trunk
   |
 5 | trunk = "carrier"
   | ^^^^^
  help: remove it, unless every caller of this destination comes through `carrier`
destinations.toml:7:1: warning: `attended` to `other.example.com`, which is the host of no trunk: the caller's side may not find the target again
   |
 7 | route = "sip:100@other.example.com"
   | ^^^^^
  help: name a number or a host that is in a trunk's `address`, or use `invite`
"#,
    );
    let (loaded, printed) =
        read(&[("baton.toml", BATON), ("destinations.toml", &table.replace("carrier", "pbx"))]);
    assert!(loaded.configuration.is_some() && !printed.contains("`trunk`"), "the only one:\n{printed}");
}

#[test]
fn a_target_that_is_never_joined_moves_nobody_on() {
    table_prints(
        r#"default = "menu"
[destination.menu]
method = "bye"
may_transfer = true
may_route = ["+1415"]
transfer = "serve"
[destination.desk]
method = "invite"
route = "+14155550123"
may_transfer = false
may_route = ["+1415"]
"#,
        r#"destinations.toml:4:1: error: `may_transfer` does not apply to method "bye"
   |
 4 | may_transfer = true
   | ^^^^^^^^^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
destinations.toml:5:1: error: `may_route` does not apply to method "bye"
   |
 5 | may_route = ["+1415"]
   | ^^^^^^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
destinations.toml:6:1: error: `transfer` does not apply to method "bye"
   |
 6 | transfer = "serve"
   | ^^^^^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
destinations.toml:11:1: error: `may_route` beside `may_transfer = false`
    |
 11 | may_route = ["+1415"]
    | ^^^^^^^^^
  help: remove one of the two: a REFER that is refused names nothing
"#,
    );
}

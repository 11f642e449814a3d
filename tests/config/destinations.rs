//! The table and the keys of a destination that stand alone.

use super::table_prints;

#[test]
fn a_table_without_a_default() {
    table_prints(
        r#"[destination.a]
route = "+14155550123"
"#,
        r#"
destinations.toml:1:1: error: `default` is missing
   |
 1 | [destination.a]
   | ^
  expected: the id of a destination
"#,
    );
}

#[test]
fn a_default_that_is_not_there() {
    table_prints(
        r#"default = "b"
[destination.bb]
route = "+14155550123"
"#,
        r#"
destinations.toml:1:11: error: the default `b` is no destination of this table
   |
 1 | default = "b"
   |           ^^^
  expected: one of `bb`
  help: did you mean `bb`?
"#,
    );
}

#[test]
fn an_empty_table() {
    table_prints(
        r#""#,
        r#"
destinations.toml:1:1: error: `default` is missing
   |
 1 | 
   | ^
  expected: the id of a destination
"#,
    );
}

#[test]
fn destination_keys_that_are_wrong() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
rout = "x"
name = 5
descripton = ""
undefined = "drop"
trunk = "pbxx"
"#,
        r#"
destinations.toml:4:1: error: unknown key `rout` in [destination.a]
   |
 4 | rout = "x"
   | ^^^^
  expected: one of `only`, `name`, `description`, `method`, `brief`, `require`, `route`, `trunk`, `caller_id`, `headers`, `rule`, `on_failure`, `timeouts`, `undefined`, `reason`, `refer_to_host`, `header_placement`, `referred_by`, `notify_200`, `ask_return`, `limits`, `may_transfer`, `may_route`, `transfer`, `max_calls` or `max_cps`
  help: did you mean `route`?
destinations.toml:5:8: error: `name` is an integer in [destination.a]
   |
 5 | name = 5
   |        ^
  expected: a text
destinations.toml:6:1: error: unknown key `descripton` in [destination.a]
   |
 6 | descripton = ""
   | ^^^^^^^^^^
  expected: one of `only`, `name`, `description`, `method`, `brief`, `require`, `route`, `trunk`, `caller_id`, `headers`, `rule`, `on_failure`, `timeouts`, `undefined`, `reason`, `refer_to_host`, `header_placement`, `referred_by`, `notify_200`, `ask_return`, `limits`, `may_transfer`, `may_route`, `transfer`, `max_calls` or `max_cps`
  help: did you mean `description`?
destinations.toml:7:13: error: `drop` is no `undefined`
   |
 7 | undefined = "drop"
   |             ^^^^^^
  expected: one of `leave` or `refuse`
destinations.toml:8:9: error: there is no trunk `pbxx`
   |
 8 | trunk = "pbxx"
   |         ^^^^^^
  expected: one of `pbx`
  help: did you mean `pbx`?
"#,
    );
}

#[test]
fn routes_that_are_none() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "4155550123"
[destination.b]
route = "front-desk"
[destination.c]
route = "sip:$caller_id@pbx"
[destination.d]
route = "sips:100@pbx"
[destination.e]
route = "sip:100@pbx?X-A=1"
[destination.f]
route = "sip:a:b@pbx"
[destination.g]
route = "tel:100"
[destination.h]
route = "sip:"
[destination.i]
route = "+1415555012345678"
"#,
        r#"
destinations.toml:3:9: error: `route`: `4155550123` is no E.164 number
   |
 3 | route = "4155550123"
   |         ^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: with its country's code if it is a number, or as a URI like sip:100@pbx.example.com if it is an extension
destinations.toml:5:9: error: `route`: `front-desk` is neither a number nor a URI
   |
 5 | route = "front-desk"
   |         ^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: an extension is a URI like sip:front-desk@pbx.example.com
destinations.toml:7:9: error: `route`: a route takes no variables
   |
 7 | route = "sip:$caller_id@pbx"
   |         ^^^^^^^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: a `$` in a URI is written %24
destinations.toml:9:9: error: `route`: TLS is not carried out yet
   |
 9 | route = "sips:100@pbx"
   |         ^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: use `sip:` with udp or tcp
destinations.toml:11:9: error: `route`: a URI with embedded headers
    |
 11 | route = "sip:100@pbx?X-A=1"
    |         ^^^^^^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: headers go into the destination's `headers` table; `header_placement` says where they stand
destinations.toml:13:9: error: `route`: a password in a URI
    |
 13 | route = "sip:a:b@pbx"
    |         ^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: a REFER shows it to everyone on the way; credentials belong to the trunk's `auth`
destinations.toml:15:9: error: `route`: a local number in a `tel:` URI needs `;phone-context=` (RFC 3966 section 5.1.5)
    |
 15 | route = "tel:100"
    |         ^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
destinations.toml:17:9: error: `route`: malformed host
    |
 17 | route = "sip:"
    |         ^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: a user part stands before a host: sip:100@pbx.example.com
destinations.toml:19:9: error: `route`: `+1415555012345678` is no E.164 number
    |
 19 | route = "+1415555012345678"
    |         ^^^^^^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
"#,
    );
}

#[test]
fn timeouts_out_of_range() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.a.timeouts]
response = "0s"
outcome = "5m"
ring = 30
total = "2s"
answer = "2s"
"#,
        r#"
destinations.toml:5:12: error: `response` is out of range
   |
 5 | response = "0s"
   |            ^^^^
  expected: from "100ms" to "1m"
destinations.toml:6:11: error: `outcome` is out of range
   |
 6 | outcome = "5m"
   |           ^^^^
  expected: from "100ms" to "3m"
destinations.toml:7:8: error: `ring` is an integer in [destination.a.timeouts]
   |
 7 | ring = 30
   |        ^^
  expected: a duration like "500ms", "20s", "1m30s" or "4h"
destinations.toml:8:1: error: `total` ends before `response` does
   |
 8 | total = "2s"
   | ^^^^^
  expected: a `total` that is at least as long as each part
destinations.toml:9:1: error: unknown key `answer` in [destination.a.timeouts]
   |
 9 | answer = "2s"
   | ^^^^^^
  expected: one of `response`, `outcome`, `ring`, `settle` or `total`
"#,
    );
}

#[test]
fn settle_is_for_targets_that_are_taken_over() {
    table_prints(
        r#"default = "a"
[destination.a]
method = "attended"
route = "+14155550123"
timeouts = { settle = "0ms" }
[destination.b]
route = "+14155550123"
on_failure = ["attended"]
timeouts = { settle = "10s" }
[destination.c]
method = "attended"
route = "+14155550123"
timeouts = { settle = "11s" }
[destination.d]
method = "invite"
route = "+14155550123"
timeouts = { settle = "600ms" }
[destination.e]
method = "attended"
route = "+14155550123"
timeouts = { response = "1s", settle = "5s", total = "4s" }
[destination.f]
route = "+14155550123"
[destination.f.headers]
settle = "600ms"
"#,
        r#"
destinations.toml:13:23: error: `settle` is out of range
    |
 13 | timeouts = { settle = "11s" }
    |                       ^^^^^
  expected: from "0s" to "10s"
destinations.toml:17:14: error: `settle` does not apply to method "invite"
    |
 17 | timeouts = { settle = "600ms" }
    |              ^^^^^^
  help: remove it, or choose method "attended"
destinations.toml:21:31: error: `total` ends before `settle` does
    |
 21 | timeouts = { response = "1s", settle = "5s", total = "4s" }
    |                               ^^^^^^
  expected: a `total` that is at least as long as each part
destinations.toml:25:1: error: `settle`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
    |
 25 | settle = "600ms"
    | ^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: `settle` belongs under [destination.f.timeouts]
"#,
    );
}

#[test]
fn reasons_that_are_none() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
reason = "handed off"
[destination.b]
method = "bye"
reason = "SIP;cause=200;text=\"$reason\""
"#,
        r#"
destinations.toml:4:10: error: `reason` is no value of a Reason header
   |
 4 | reason = "handed off"
   |          ^^^^^^^^^^^^
  expected: a Reason like SIP;cause=200;text="Handoff"
destinations.toml:7:10: error: `reason` takes no variables
   |
 7 | reason = "SIP;cause=200;text=\"$reason\""
   |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  expected: a Reason like SIP;cause=200;text="Handoff"
"#,
    );
}

#[test]
fn reserved_ids() {
    table_prints(
        r#"default = "bye"
[destination.bye]
route = "+14155550123"
[destination."a/b"]
route = "+14155550123"
"#,
        r#"
destinations.toml:2:14: error: `bye` cannot be a destination's id
   |
 2 | [destination.bye]
   |              ^^^
  expected: a word that is no method and no step of `on_failure`
destinations.toml:4:14: error: `a/b` cannot be an id
   |
 4 | [destination."a/b"]
   |              ^^^^^
  expected: a letter or a digit, then letters, digits, `-`, `_` and `.`, at most 64 characters
"#,
    );
}

#[test]
fn how_many_calls_a_destination_takes() {
    table_prints(
        r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
max_calls = -1
max_cps = "5"
[destination.back]
method = "bye"
max_calls = 5
"#,
        r#"
destinations.toml:4:13: error: `max_calls` is out of range in [destination.front-desk]
   |
 4 | max_calls = -1
   |             ^^
  expected: a whole number from 0 to 1000000
destinations.toml:5:11: error: `max_cps` is a string in [destination.front-desk]
   |
 5 | max_cps = "5"
   |           ^^^
  expected: a whole number from 0 to 100000
destinations.toml:8:1: error: `max_calls` does not apply to method "bye"
   |
 8 | max_calls = 5
   | ^^^^^^^^^
  help: remove it, or choose method "refer", "invite" or "attended"
"#,
    );
}

#[test]
fn whom_a_joined_target_may_name_and_what_becomes_of_it() {
    table_prints(
        r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
may_transfer = "yes"
may_route = ["sip:*@*"]
transfer = "passed"
[destination.desk]
route = "+14155550124"
may_transfer = false
transfer = "pass"
"#,
        r#"
destinations.toml:4:16: error: `may_transfer` is a string in [destination.front-desk]
   |
 4 | may_transfer = "yes"
   |                ^^^^^
  expected: `true` or `false`
destinations.toml:5:14: error: `may_route`: the host of a pattern must be complete, or `*.` and a domain
   |
 5 | may_route = ["sip:*@*"]
   |              ^^^^^^^^^
  expected: a list like ["+1415", "sip:*@pbx.example.com"]
destinations.toml:6:12: error: `passed` is no `transfer`
   |
 6 | transfer = "passed"
   |            ^^^^^^^^
  expected: one of `serve` or `pass`
  help: did you mean `pass`?
destinations.toml:10:12: error: `transfer = "pass"` beside `may_transfer = false`
    |
 10 | transfer = "pass"
    |            ^^^^^^
  expected: one of the two: a REFER that is refused is not passed
"#,
    );
}

#[test]
fn a_destination_of_another_environment() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.b]
only = ["sandbox", "staging"]
route = "+14155550124"
[destination.c]
only = []
route = "+14155550125"
"#,
        r#"
destinations.toml:5:8: error: `b` is for `sandbox` or `staging` only, and this is the table of `production`
   |
 5 | only = ["sandbox", "staging"]
   |        ^^^^^^^^^^^^^^^^^^^^^^
  help: remove the destination here; `baton promote` leaves it behind by itself
destinations.toml:8:8: error: `only` names no environment
   |
 8 | only = []
   |        ^^
  expected: a list of environments, as in ["sandbox"]
"#,
    );
}

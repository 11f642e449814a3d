//! `rule`: where a decision goes by the time, the call or a draw, and what cannot be one.

use super::table_prints;

#[test]
fn rules_in_every_form() {
    table_prints(
        r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
on_failure = ["refer", "invite", "mobile", "agent"]
rule = [
    { hours = "Mo-Fr 08:00-18:00; PH off", timezone = "America/New_York", country = "US", use = "front-desk" },
    { when = 'language == "es" && header["X-Tier"] != ""', use = "spanish-desk" },
    { when = 'int(duration) > 60', method = "invite" },
    { weight = 90, route = "sip:night@10.0.0.5", method = "attended" },
    { weight = 10, when = 'caller_id.startsWith("+1")', use = "mobile" },
]
brief = true
[destination.front-desk.timeouts]
ring = "20s"
[[destination.spanish-desk.rule]]
when = "false"
use = "mobile"
[destination.spanish-desk]
route = "+14155550124"
[destination.mobile]
method = "invite"
route = "+14155550125"
[destination.main-menu]
method = "bye"
rule = [{ hours = "24/7", timezone = "UTC", method = "invite", route = "+14155550126" }]
on_failure = ["refer", "agent"]
"#,
        "",
    );
}

#[test]
fn rules_that_are_none() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
rule = { use = "b" }
[destination.b]
route = "+14155550123"
rule = [
    { hours = "Mo-Fr 8am-6pm", timezone = "Europe/Berlin", use = "a" },
    { hours = "Mo-Fr", use = "a" },
    { hours = "Mo-Fr; PH off", timezone = "Berlin", use = "a" },
    { hours = "Mo-Fr; PH off", timezone = "Europe/Berlin", country = "de", use = "a" },
    { hours = "Mo-Fr", timezone = "Europe/Berlin", country = "DE", use = "a" },
    { timezone = "Europe/Berlin", country = "DE", use = "a" },
    { when = 'language = "es"', use = "a" },
    { when = 'duration > 60', use = "a" },
    { when = 'caler_id == ""', use = "a" },
    { when = true, weight = 1001, use = "a" },
]
[destination.c]
route = "+14155550123"
rule = [
    {},
    "a",
    { use = "aa" },
    { use = "a", route = "+14155550199" },
    { method = "telepathy" },
    { route = "front-desk" },
    { wen = "true", method = "invite" },
]
"#,
        r#"
destinations.toml:4:8: error: `rule` is a table in [destination.a]
   |
 4 | rule = { use = "b" }
   |        ^^^^^^^^^^^^^
  expected: a list of rules like [{ hours = "Mo-Fr 08:00-18:00", timezone = "Europe/Berlin", use = "night-desk" }]
destinations.toml:8:22: error: `hours`: the opening hours cannot be read from here on
   |
 8 |     { hours = "Mo-Fr 8am-6pm", timezone = "Europe/Berlin", use = "a" },
   |                      ^^^^^^^
  expected: opening hours like "Mo-Fr 08:00-18:00" or "Mo-Su 09:00-17:00; PH off" (OpenStreetMap's syntax)
destinations.toml:9:15: error: `hours` without `timezone`
   |
 9 |     { hours = "Mo-Fr", use = "a" },
   |               ^^^^^^^
  expected: the zone in which they are read, like timezone = "America/New_York"
destinations.toml:10:16: error: `hours`: `PH` needs a `country`
    |
 10 |     { hours = "Mo-Fr; PH off", timezone = "Berlin", use = "a" },
    |                ^^^^^^^^^^^^^
  expected: whose holidays they are, like country = "US"
destinations.toml:10:43: error: there is no time zone `Berlin`
    |
 10 |     { hours = "Mo-Fr; PH off", timezone = "Berlin", use = "a" },
    |                                           ^^^^^^^^
  expected: the IANA name of a time zone, like "America/New_York"
  help: did you mean `Europe/Berlin`?
destinations.toml:11:70: error: no holidays are known of a country `de`
    |
 11 |     { hours = "Mo-Fr; PH off", timezone = "Europe/Berlin", country = "de", use = "a" },
    |                                                                      ^^^^
  expected: two capital letters like "US" (ISO 3166-1)
  help: did you mean `DE`?
destinations.toml:12:52: error: `country` does not apply where `hours` names no holidays
    |
 12 |     { hours = "Mo-Fr", timezone = "Europe/Berlin", country = "DE", use = "a" },
    |                                                    ^^^^^^^
  help: remove it, or add `; PH off`
destinations.toml:13:7: error: `timezone` does not apply without `hours`
    |
 13 |     { timezone = "Europe/Berlin", country = "DE", use = "a" },
    |       ^^^^^^^^
  help: remove it, or say when the rule matches
destinations.toml:13:35: error: `country` does not apply without `hours`
    |
 13 |     { timezone = "Europe/Berlin", country = "DE", use = "a" },
    |                                   ^^^^^^^
  help: remove it, or say when the rule matches
destinations.toml:14:24: error: `when`: the condition cannot be read from here on
    |
 14 |     { when = 'language = "es"', use = "a" },
    |                        ^
  expected: a condition like language == "es" && header["X-Tier"] in ["gold", "silver"]
  help: equal is `==`
destinations.toml:15:15: error: `when`: this is text, and should be a number
    |
 15 |     { when = 'duration > 60', use = "a" },
    |               ^
  expected: a condition like language == "es" && header["X-Tier"] in ["gold", "silver"]
  help: a variable is text: int(duration) is its number
destinations.toml:16:14: warning: `caler_id` is not built in: a decision has to bring it
    |
 16 |     { when = 'caler_id == ""', use = "a" },
    |              ^^^^^^^^^^^^^^^^
  help: did you mean `caller_id`?
destinations.toml:17:14: error: `when` is a boolean in [destination.b.rule]
    |
 17 |     { when = true, weight = 1001, use = "a" },
    |              ^^^^
  expected: a condition like language == "es" && header["X-Tier"] in ["gold", "silver"]
destinations.toml:17:29: error: `weight` is out of range in [destination.b.rule]
    |
 17 |     { when = true, weight = 1001, use = "a" },
    |                             ^^^^
  expected: a whole number from 0 to 1000
destinations.toml:22:5: error: this rule leads nowhere
    |
 22 |     {},
    |     ^^
  expected: `use` with the id of a destination, or `route` or `method`
destinations.toml:23:5: error: an entry of `rule` is a string
    |
 23 |     "a",
    |     ^^^
  expected: a list of rules like [{ hours = "Mo-Fr 08:00-18:00", timezone = "Europe/Berlin", use = "night-desk" }]
destinations.toml:24:13: error: there is no destination `aa`
    |
 24 |     { use = "aa" },
    |             ^^^^
  expected: one of `a`, `b` or `c`
  help: did you mean `a`?
destinations.toml:25:18: error: `route` and `use` in one rule
    |
 25 |     { use = "a", route = "+14155550199" },
    |                  ^^^^^
  help: remove one: `use` leads to a destination with its own route and method
destinations.toml:26:16: error: `telepathy` is no method
    |
 26 |     { method = "telepathy" },
    |                ^^^^^^^^^^^
  expected: one of `refer` (the default), `invite`, `attended`, `bye` or `redirect`
destinations.toml:27:15: error: `route`: `front-desk` is neither a number nor a URI
    |
 27 |     { route = "front-desk" },
    |               ^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: an extension is a URI like sip:front-desk@pbx.example.com
destinations.toml:28:7: error: unknown key `wen` in [destination.c.rule]
    |
 28 |     { wen = "true", method = "invite" },
    |       ^^^
  expected: one of `timezone`, `country`, `hours`, `when`, `weight`, `use`, `method` or `route`
  help: did you mean `when`?
"#,
    );
}

#[test]
fn rules_that_do_not_fit_their_destination() {
    table_prints(
        r#"default = "a"
[destination.a]
method = "bye"
rule = [{ when = "true", method = "invite" }, { when = "true", route = "+14155550123" }]
[destination.b]
method = "invite"
require = "proven"
route = "+14155550123"
rule = [{ when = "true", method = "refer" }, { when = "true", use = "c" }]
[destination.c]
route = "+14155550123"
brief = true
rule = [{ when = "true", method = "refer" }, { when = "true", route = "+14155550123" }, { when = "true", method = "invite" }]
[destination.d]
route = "+14155550123"
on_failure = ["e", "f"]
[destination.e]
route = "+14155550124"
rule = [{ when = "true", method = "redirect" }]
[destination.f]
route = "+14155550124"
rule = [{ when = "true", use = "e" }]
"#,
        r#"
destinations.toml:4:26: error: this rule's method "invite" needs a route, and `a` has none
   |
 4 | rule = [{ when = "true", method = "invite" }, { when = "true", route = "+14155550123" }]
   |                          ^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
destinations.toml:4:64: error: this rule's `route` does not apply to method "bye"
   |
 4 | rule = [{ when = "true", method = "invite" }, { when = "true", route = "+14155550123" }]
   |                                                                ^^^^^
  help: remove it, or give the rule a `method`, too
destinations.toml:9:26: error: `require = "proven"` forbids this rule's method "refer"
   |
 9 | rule = [{ when = "true", method = "refer" }, { when = "true", use = "c" }]
   |                          ^^^^^^
  expected: method "invite" or "attended"
destinations.toml:9:69: error: `require = "proven"` forbids to use `c`, which does not require it
   |
 9 | rule = [{ when = "true", method = "refer" }, { when = "true", use = "c" }]
   |                                                                     ^^^
  expected: a destination that requires the same
  help: add `require = "proven"` to [destination.c]
destinations.toml:12:1: error: `brief` does not apply to method "refer"
    |
 12 | brief = true
    | ^^^^^
  help: remove it, or choose method "attended"
destinations.toml:13:26: warning: this rule sets what `c` has anyway
    |
 13 | rule = [{ when = "true", method = "refer" }, { when = "true", route = "+14155550123" }, { when = "true", method = "invite" }]
    |                          ^^^^^^
  help: remove it, or write use = "c" if the rules after it shall not be asked
destinations.toml:13:63: warning: this rule sets what `c` has anyway
    |
 13 | rule = [{ when = "true", method = "refer" }, { when = "true", route = "+14155550123" }, { when = "true", method = "invite" }]
    |                                                               ^^^^^
  help: remove it, or write use = "c" if the rules after it shall not be asked
destinations.toml:16:15: error: `e` is no step: a rule may lead it to method "redirect", which works only before the caller leg is answered
    |
 16 | on_failure = ["e", "f"]
    |               ^^^
  expected: a destination that does not lead there
destinations.toml:16:20: error: `f` is no step: a rule may lead it to method "redirect", which works only before the caller leg is answered
    |
 16 | on_failure = ["e", "f"]
    |                    ^^^
  expected: a destination that does not lead there
"#,
    );
}

#[test]
fn what_is_never_reached() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
rule = [{ use = "b" }, { when = "true", use = "c" }, { use = "c" }]
[destination.b]
route = "+14155550124"
rule = [{ when = "true", weight = 1, use = "c" }, { weight = 2, use = "b" }, { use = "c" }]
[destination.c]
route = "+14155550125"
rule = [{ weight = 0, use = "d" }, { weight = 0, use = "c" }, { when = "false", use = "d" }]
[destination.d]
route = "+14155550126"
"#,
        r#"
destinations.toml:4:24: warning: this rule is never reached: one before it always matches
   |
 4 | rule = [{ use = "b" }, { when = "true", use = "c" }, { use = "c" }]
   |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: put it before that one, or remove it
destinations.toml:7:78: warning: this rule is never reached: one before it always matches
   |
 7 | rule = [{ when = "true", weight = 1, use = "c" }, { weight = 2, use = "b" }, { use = "c" }]
   |                                                                              ^^^^^^^^^^^^^
  help: put it before that one, or remove it
destinations.toml:10:9: warning: a split whose weights are all 0 is never taken
    |
 10 | rule = [{ weight = 0, use = "d" }, { weight = 0, use = "c" }, { when = "false", use = "d" }]
    |         ^^^^^^^^^^^^^^^^^^^^^^^^^
  help: give one of its rules a weight, or remove it
"#,
    );
}

#[test]
fn a_rule_that_attends_where_the_pbx_may_not_find_the_target() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "sip:a@10.0.0.7"
rule = [{ when = "true", method = "attended" }, { when = "true", route = "sip:b@10.0.0.8" }]
[destination.b]
method = "attended"
route = "sip:b@10.0.0.5"
rule = [{ when = "true", route = "sip:b@10.0.0.9" }, { when = "true", method = "invite", route = "sip:b@10.0.0.9" }]
"#,
        r#"
destinations.toml:4:26: warning: `attended` to `10.0.0.7`, which is the host of no trunk: the caller's side may not find the target again
   |
 4 | rule = [{ when = "true", method = "attended" }, { when = "true", route = "sip:b@10.0.0.8" }]
   |                          ^^^^^^
  help: name a number or a host that is in a trunk's `address`, or use `invite`
destinations.toml:8:26: warning: `attended` to `10.0.0.9`, which is the host of no trunk: the caller's side may not find the target again
   |
 8 | rule = [{ when = "true", route = "sip:b@10.0.0.9" }, { when = "true", method = "invite", route = "sip:b@10.0.0.9" }]
   |                          ^^^^^
  help: name a number or a host that is in a trunk's `address`, or use `invite`
"#,
    );
}

#[test]
fn rules_that_go_round() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
rule = [{ when = "true", use = "b" }]
[destination.b]
route = "+14155550124"
rule = [{ when = "true", use = "a" }]
[destination.c]
route = "+14155550125"
on_failure = ["d"]
[destination.d]
route = "+14155550126"
rule = [{ when = "true", use = "c" }]
"#,
        r#"
destinations.toml:7:32: error: `use` goes round: a -> b -> a
   |
 7 | rule = [{ when = "true", use = "a" }]
   |                                ^^^
  expected: rules and steps that come to an end
  help: remove this rule, or another one of the chain
destinations.toml:13:32: error: `use` and `on_failure` go round: c -> d -> c
    |
 13 | rule = [{ when = "true", use = "c" }]
    |                                ^^^
  expected: rules and steps that come to an end
  help: remove this one, or another one of the chain
"#,
    );
    let chain: String = (0..=9)
        .map(|n| format!("[destination.d{n}]\nroute = \"+14155550123\"\nrule = [{{ when = \"true\", use = \"d{}\" }}]\n", n + 1))
        .collect();
    table_prints(
        &format!("default = \"d0\"\n{chain}[destination.d10]\nroute = \"+14155550123\"\n"),
        r#"
destinations.toml:7:32: error: `use` leads through more than 8 destinations
   |
 7 | rule = [{ when = "true", use = "d2" }]
   |                                ^^^^
  help: use the destination at its end
"#,
    );
}

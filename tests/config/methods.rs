//! Methods, and which keys mean something with them.

use super::table_prints;

#[test]
fn methods_that_are_not_carried_out_yet() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.m0]
method = "invite"
route = "+14155550123"
[destination.m1]
method = "attended"
route = "+14155550123"
[destination.m2]
method = "redirect"
route = "+14155550123"
[destination.m3]
method = "reffer"
route = "+14155550123"
"#,
        r#"
destinations.toml:5:10: error: method "invite" is not carried out yet
   |
 5 | method = "invite"
   |          ^^^^^^^^
  expected: "refer" (the default) or "bye"
destinations.toml:8:10: error: method "attended" is not carried out yet
   |
 8 | method = "attended"
   |          ^^^^^^^^^^
  expected: "refer" (the default) or "bye"
destinations.toml:11:10: error: method "redirect" is not carried out yet
    |
 11 | method = "redirect"
    |          ^^^^^^^^^^
  expected: "refer" (the default) or "bye"
destinations.toml:14:10: error: `reffer` is no method
    |
 14 | method = "reffer"
    |          ^^^^^^^^
  expected: "refer" (the default) or "bye"
  help: did you mean `refer`?
"#,
    );
}

#[test]
fn a_refer_needs_a_route_and_a_bye_has_none() {
    table_prints(
        r#"default = "a"
[destination.a]
[destination.b]
method = "bye"
route = "+14155550123"
caller_id = "$caller_id"
[destination.b.timeouts]
outcome = "5s"
"#,
        r#"
destinations.toml:2:14: error: `route` is missing in [destination.a]
   |
 2 | [destination.a]
   |              ^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: method "refer" needs a route; method "bye" needs none
destinations.toml:5:1: error: `route` means nothing with method "bye"
   |
 5 | route = "+14155550123"
   | ^^^^^
  help: remove it, or choose method "refer"
destinations.toml:6:1: error: `caller_id` means nothing with method "bye"
   |
 6 | caller_id = "$caller_id"
   | ^^^^^^^^^
  help: remove it, or choose method "refer"
destinations.toml:8:1: error: `outcome` means nothing with method "bye"
   |
 8 | outcome = "5s"
   | ^^^^^^^
  help: remove it, or choose method "refer"
"#,
    );
}

//! Headers and the templates of their values.

use super::{BATON, TABLE, compare, read, table_prints};

#[test]
fn headers_that_are_not_carried() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.a.headers]
Via = "x"
c = "text/plain"
Authorization = "x"
Subject = "x"
Foo = "x"
"X-A B" = "x"
"X-" = "x"
X-One = 1
x-two = "x"
X-Two = "x"
"#,
        r#"
destinations.toml:5:1: error: `Via`: this header belongs to the route, which Baton writes itself
   |
 5 | Via = "x"
   | ^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
destinations.toml:6:1: error: `c`: this header belongs to the message body, which Baton writes itself
   |
 6 | c = "text/plain"
   | ^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
destinations.toml:7:1: error: `Authorization`: this header belongs to the authentication, which Baton writes itself
   |
 7 | Authorization = "x"
   | ^^^^^^^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
destinations.toml:8:1: error: `Subject`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 8 | Subject = "x"
   | ^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: did you mean `X-Subject`?
destinations.toml:9:1: error: `Foo`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 9 | Foo = "x"
   | ^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: did you mean `X-Foo`?
destinations.toml:10:1: error: `X-A B`: a header name is a token: letters, digits and - . ! % * _ + ` ' ~
    |
 10 | "X-A B" = "x"
    | ^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
destinations.toml:11:1: error: `X-`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
    |
 11 | "X-" = "x"
    | ^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
destinations.toml:12:9: error: the header `X-One` is an integer
    |
 12 | X-One = 1
    |         ^
  expected: a text, which may hold variables like $caller_id
destinations.toml:13:1: error: the header `x-two` is there twice
    |
 13 | x-two = "x"
    | ^^^^^
  help: header names are the same in any case
"#,
    );
}

#[test]
fn templates_that_are_none() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
caller_id = "${caller_id"
[destination.a.headers]
X-A = "5 $"
X-B = "ä ${a b}"
X-C = "${header.Proxy-Authorization}"
X-D = "${a:-$b}"
X-E = "a\nb"
X-F = "<sip:$caller_id@pbx"
"#,
        r#"
destinations.toml:4:14: error: `${` without its `}`
   |
 4 | caller_id = "${caller_id"
   |              ^^^^^^^^^^^
  expected: $name, ${name}, ${name:-fallback}, ${header.X-Name}, or $$ for a dollar
destinations.toml:6:10: error: a `$` that names no variable; write `$$` for a dollar
   |
 6 | X-A = "5 $"
   |          ^
  expected: $name, ${name}, ${name:-fallback}, ${header.X-Name}, or $$ for a dollar
destinations.toml:7:10: error: `a b` is no name of a variable
   |
 7 | X-B = "ä ${a b}"
   |          ^^^^^^
  expected: $name, ${name}, ${name:-fallback}, ${header.X-Name}, or $$ for a dollar
destinations.toml:8:8: error: the header `Proxy-Authorization` carries credentials and cannot be read
   |
 8 | X-C = "${header.Proxy-Authorization}"
   |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  expected: $name, ${name}, ${name:-fallback}, ${header.X-Name}, or $$ for a dollar
destinations.toml:9:8: error: a fallback is plain text, without variables; write `$$` for a dollar
   |
 9 | X-D = "${a:-$b}"
   |        ^^^^^^^^
  expected: $name, ${name}, ${name:-fallback}, ${header.X-Name}, or $$ for a dollar
destinations.toml:10:7: error: a control character
    |
 10 | X-E = "a\nb"
    |       ^^^^^^
  expected: $name, ${name}, ${name:-fallback}, ${header.X-Name}, or $$ for a dollar
destinations.toml:11:7: error: the header `X-F`: a `<` without its `>`
    |
 11 | X-F = "<sip:$caller_id@pbx"
    |       ^^^^^^^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn headers_that_the_place_cannot_hold() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "tel:+14155550123"
header_placement = "refer-to"
refer_to_host = "a b"
[destination.b]
route = "sip:100@pbx"
refer_to_host = "pbx.example.com"
"#,
        r#"
destinations.toml:4:1: error: a `tel:` URI cannot carry headers
   |
 4 | header_placement = "refer-to"
   | ^^^^^^^^^^^^^^^^
  expected: header_placement = "request", or a route as a `sip:` URI
destinations.toml:5:17: error: `refer_to_host`: malformed port or parameters of URI
   |
 5 | refer_to_host = "a b"
   |                 ^^^^^
  expected: a host, or host:port; an IPv6 address in brackets
destinations.toml:8:1: error: `refer_to_host` does not apply where the route is a URI
   |
 8 | refer_to_host = "pbx.example.com"
   | ^^^^^^^^^^^^^
  help: a URI is sent as written: put the host there
"#,
    );
}

#[test]
fn a_misspelt_built_in_is_a_warning() {
    let text = format!("{TABLE}[destination.front-desk.headers]\nX-Caller = \"${{caler_id:-unknown}}\"\n");
    let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", &text)]);
    let expected = r#"
destinations.toml:5:12: warning: `$caler_id` is not built in: a decision has to bring it
   |
 5 | X-Caller = "${caler_id:-unknown}"
   |            ^^^^^^^^^^^^^^^^^^^^^^
  help: did you mean `$caller_id`?
"#;
    compare(&loaded, &printed, expected);
}

/// In TOML whatever follows `[destination.X.headers]` is a header: the slip that everybody makes once.
#[test]
fn keys_among_the_headers() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.a.headers]
X-Language = "en"
trunk = "pbx"
on_failure = ["agent"]
response = "8s"
ring = 30
"#,
        r#"
destinations.toml:6:1: error: `trunk`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 6 | trunk = "pbx"
   | ^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: `trunk` is a key of the destination: put it above [destination.a.headers]
destinations.toml:7:14: error: the header `on_failure` is an array
   |
 7 | on_failure = ["agent"]
   |              ^^^^^^^^^
  expected: a text, which may hold variables like $caller_id
  help: `on_failure` is a key of the destination: put it above [destination.a.headers]
destinations.toml:8:1: error: `response`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 8 | response = "8s"
   | ^^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: `response` belongs under [destination.a.timeouts]
destinations.toml:9:8: error: the header `ring` is an integer
   |
 9 | ring = 30
   |        ^^
  expected: a text, which may hold variables like $caller_id
  help: `ring` belongs under [destination.a.timeouts]
"#,
    );
}

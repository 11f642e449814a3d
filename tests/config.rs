//! Configuration files, right and wrong: what `check` prints for each, to the letter.

use std::path::Path;

use baton::daemon::configuration::{Configuration, Loaded, load};

/// Writes the files into a directory of their own, reads `baton.toml` and gives the result with the directory cut out
/// of every name.
fn read(files: &[(&str, &str)]) -> (Loaded, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("a temporary file");
    }
    let loaded = load(&directory.path().join("baton.toml"));
    let prefix = format!("{}/", directory.path().display());
    let printed: Vec<String> =
        loaded.diagnostics.iter().map(|d| d.to_string().replace(&prefix, "")).collect();
    (loaded, printed.join("\n"))
}

const BATON: &str = r#"[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#;

const TABLE: &str = r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
"#;

#[track_caller]
fn baton_prints(text: &str, expected: &str) {
    let (loaded, printed) = read(&[("baton.toml", text), ("destinations.toml", TABLE)]);
    compare(&loaded, &printed, expected);
}

#[track_caller]
fn table_prints(text: &str, expected: &str) {
    let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", text)]);
    compare(&loaded, &printed, expected);
}

#[track_caller]
fn compare(loaded: &Loaded, printed: &str, expected: &str) {
    let expected = expected.strip_prefix('\n').unwrap_or(expected).trim_end();
    assert!(printed == expected, "printed:\n{printed}\n\nexpected:\n{expected}\n");
    assert_eq!(loaded.configuration.is_none(), loaded.errors() > 0);
}

// --- faults: what is printed for each, to the letter

#[test]
fn unknown_keys_get_the_nearest_name() {
    baton_prints(
        r#"[trunk.pbx]
adress = "sip:10.0.0.5"
[sip]
max_cals = 5
[htttp]
listen = "127.0.0.1:1"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:1:8: error: `address` is missing in [trunk.pbx]
   |
 1 | [trunk.pbx]
   |        ^^^
  expected: a `sip:` URI like "sip:10.0.0.5:5060;transport=udp"
baton.toml:2:1: error: unknown key `adress` in [trunk.pbx]
   |
 2 | adress = "sip:10.0.0.5"
   | ^^^^^^
  expected: one of `address`, `accept_from`, `trusted`, `called_from`, `country`, `auth`, `unanswered`, `refer_from_caller`, `refer_to_host`, `header_placement`, `referred_by`, `notify_200` or `profile`
  help: did you mean `address`?
baton.toml:4:1: error: unknown key `max_cals` in [sip]
   |
 4 | max_cals = 5
   | ^^^^^^^^
  expected: one of `listen`, `advertise`, `workers`, `max_calls`, `max_duration` or `drain`
  help: did you mean `max_calls`?
baton.toml:5:2: error: unknown key `htttp`
   |
 5 | [htttp]
   |  ^^^^^
  expected: one of `sip`, `http`, `log`, `state`, `trunk`, `agent` or `environment`
  help: did you mean `http`?
"#,
    );
}

#[test]
fn listeners_that_are_none() {
    baton_prints(
        r#"[sip]
listen = ["upd:0.0.0.0:5060", "tcp:5060", "tls:0.0.0.0:5061", 5060, "udp:[::]:5060", "udp:[::]:5060"]
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:11: error: `upd` is no transport
   |
 2 | listen = ["upd:0.0.0.0:5060", "tcp:5060", "tls:0.0.0.0:5061", 5060, "udp:[::]:5060", "udp:[::]:5060"]
   |           ^^^^^^^^^^^^^^^^^^
  expected: transport:address:port, like "udp:0.0.0.0:5060" or "tcp:[::]:5060"
baton.toml:2:31: error: `5060` is no address with a port
   |
 2 | listen = ["upd:0.0.0.0:5060", "tcp:5060", "tls:0.0.0.0:5061", 5060, "udp:[::]:5060", "udp:[::]:5060"]
   |                               ^^^^^^^^^^
  expected: transport:address:port, like "udp:0.0.0.0:5060" or "tcp:[::]:5060"
baton.toml:2:43: error: listening on tls is not carried out yet
   |
 2 | listen = ["upd:0.0.0.0:5060", "tcp:5060", "tls:0.0.0.0:5061", 5060, "udp:[::]:5060", "udp:[::]:5060"]
   |                                           ^^^^^^^^^^^^^^^^^^
  expected: transport:address:port, like "udp:0.0.0.0:5060" or "tcp:[::]:5060"
  help: remove this listener
baton.toml:2:63: error: an entry of `listen` is an integer
   |
 2 | listen = ["upd:0.0.0.0:5060", "tcp:5060", "tls:0.0.0.0:5061", 5060, "udp:[::]:5060", "udp:[::]:5060"]
   |                                                               ^^^^
  expected: a list like ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]
baton.toml:2:86: error: `udp:[::]:5060` is there twice
   |
 2 | listen = ["upd:0.0.0.0:5060", "tcp:5060", "tls:0.0.0.0:5061", 5060, "udp:[::]:5060", "udp:[::]:5060"]
   |                                                                                      ^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn no_listener_at_all() {
    baton_prints(
        r#"[sip]
listen = []
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:1: error: an empty `listen` serves nobody
   |
 2 | listen = []
   | ^^^^^^
  expected: transport:address:port, like "udp:0.0.0.0:5060" or "tcp:[::]:5060"
"#,
    );
}

#[test]
fn sip_keys_that_are_not_carried_out_yet() {
    baton_prints(
        r#"[sip]
tls = { certificate = "tls/cert.pem", key = "tls/key.pem" }
session_timer = { expires = "1800s", min_se = "90s" }
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:1: error: `tls` is not carried out yet in [sip]
   |
 2 | tls = { certificate = "tls/cert.pem", key = "tls/key.pem" }
   | ^^^
  help: remove it; Baton has udp and tcp for now
baton.toml:3:1: error: `session_timer` is not carried out yet in [sip]
   |
 3 | session_timer = { expires = "1800s", min_se = "90s" }
   | ^^^^^^^^^^^^^
  help: remove it; `max_duration` and the agent's `keepalive` end lost calls
"#,
    );
}

#[test]
fn numbers_and_durations_out_of_range() {
    baton_prints(
        r#"[sip]
workers = -1
max_calls = 0
max_duration = "4 hours"
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
answer_timeout = 20
keepalive = "20"
max_calls = 1.5
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:11: error: `workers` is out of range in [sip]
   |
 2 | workers = -1
   |           ^^
  expected: a whole number from 0 to 256
baton.toml:3:13: error: `max_calls` is out of range in [sip]
   |
 3 | max_calls = 0
   |             ^
  expected: a whole number from 1 to 1000000
baton.toml:4:16: error: `max_duration`: ` hours` is no unit
   |
 4 | max_duration = "4 hours"
   |                ^^^^^^^^^
  expected: a duration like "500ms", "20s", "1m30s" or "4h"
baton.toml:9:18: error: `answer_timeout` is an integer in [agent.booking]
   |
 9 | answer_timeout = 20
   |                  ^^
  expected: a duration like "500ms", "20s", "1m30s" or "4h"
baton.toml:10:13: error: `keepalive`: `20` has no unit
    |
 10 | keepalive = "20"
    |             ^^^^
  expected: a duration like "500ms", "20s", "1m30s" or "4h"
baton.toml:11:13: error: `max_calls` is a number with a fraction in [agent.booking]
    |
 11 | max_calls = 1.5
    |             ^^^
  expected: a whole number from 0 to 1000000
"#,
    );
}

#[test]
fn advertised_addresses() {
    baton_prints(
        r#"[sip]
listen = ["udp:0.0.0.0:5060"]
advertise = { "udp:0.0.0.0:5061" = "203.0.113.10", "udp:0.0.0.0:5060" = "0.0.0.0" }
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:3:15: error: `udp:0.0.0.0:5061` is no listener
   |
 3 | advertise = { "udp:0.0.0.0:5061" = "203.0.113.10", "udp:0.0.0.0:5060" = "0.0.0.0" }
   |               ^^^^^^^^^^^^^^^^^^
  expected: one of those in `listen`, written as there
baton.toml:3:73: error: nobody can reach `0.0.0.0`
   |
 3 | advertise = { "udp:0.0.0.0:5061" = "203.0.113.10", "udp:0.0.0.0:5060" = "0.0.0.0" }
   |                                                                         ^^^^^^^^^
  expected: a host or host:port like "203.0.113.10"; an IPv6 address in brackets
  help: remove it to advertise the local address that reaches the peer
"#,
    );
}

#[test]
fn a_literal_secret_is_refused_and_not_shown() {
    baton_prints(
        r#"[http]
token = "hunter2hunter2"
[trunk.pbx]
address = "sip:10.0.0.5"
auth = { username = "baton", password = "hunter2" }
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:9: error: `token` holds the secret itself, or no source that Baton knows
   |
 2 | token = "***"
   |         ^^^^^
  expected: env:NAME, file:PATH or credential:NAME
  help: files are copied, committed and read aloud: keep the secret outside of this one
baton.toml:5:41: error: `password` holds the secret itself, or no source that Baton knows
   |
 5 | auth = { username = "baton", password = "***"
   |                                         ^^^^^
  expected: env:NAME, file:PATH or credential:NAME
  help: files are copied, committed and read aloud: keep the secret outside of this one
"#,
    );
}

#[test]
fn secrets_that_are_not_there() {
    baton_prints(
        r#"[http]
token = "env:BATON_TEST_NO_SUCH_VARIABLE"
[trunk.pbx]
address = "sip:10.0.0.5"
auth = { username = "baton" }
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:9: error: `token`: the environment variable BATON_TEST_NO_SUCH_VARIABLE is not set
   |
 2 | token = "env:BATON_TEST_NO_SUCH_VARIABLE"
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: set it in the environment of `baton serve`, and of whoever runs `baton` beside it
baton.toml:5:1: error: `password` is missing in [trunk.pbx.auth]
   |
 5 | auth = { username = "baton" }
   | ^^^^
  expected: env:NAME, file:PATH or credential:NAME
"#,
    );
}

#[test]
fn http_addresses() {
    baton_prints(
        r#"[http]
listen = "localhost:8060"
public_url = "https://baton.example.com/api"
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:10: error: `localhost:8060` is no address with a port
   |
 2 | listen = "localhost:8060"
   |          ^^^^^^^^^^^^^^^^
  expected: an address with a port like "127.0.0.1:8060"
baton.toml:3:14: error: `https://baton.example.com/api` is no URL of a server
   |
 3 | public_url = "https://baton.example.com/api"
   |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  expected: a URL like "https://baton.example.com"
  help: scheme, host and port only
"#,
    );
}

#[test]
fn addresses_that_cannot_be_used() {
    baton_prints(
        r#"[trunk.a]
address = "sips:10.0.0.5"
[trunk.b]
address = "10.0.0.6"
[trunk.c]
address = "sip:10.0.0.7;transport=tls"
[trunk.d]
address = "<sip:10.0.0.8>"
[trunk.e]
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:11: error: `address`: TLS is not carried out yet
   |
 2 | address = "sips:10.0.0.5"
   |           ^^^^^^^^^^^^^^^
  expected: a `sip:` URI like "sip:10.0.0.5:5060;transport=udp"
  help: use udp or tcp
baton.toml:4:11: error: `address`: malformed URI
   |
 4 | address = "10.0.0.6"
   |           ^^^^^^^^^^
  expected: a `sip:` URI like "sip:10.0.0.5:5060;transport=udp"
  help: did you mean `sip:10.0.0.6`?
baton.toml:6:11: error: `address`: TLS is not carried out yet
   |
 6 | address = "sip:10.0.0.7;transport=tls"
   |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  expected: a `sip:` URI like "sip:10.0.0.5:5060;transport=udp"
  help: use udp or tcp
baton.toml:8:11: error: `address`: angle brackets, quotes and spaces are no part of a URI
   |
 8 | address = "<sip:10.0.0.8>"
   |           ^^^^^^^^^^^^^^^^
  expected: a `sip:` URI like "sip:10.0.0.5:5060;transport=udp"
baton.toml:9:8: error: `address` is missing in [trunk.e]
   |
 9 | [trunk.e]
   |        ^
  expected: a `sip:` URI like "sip:10.0.0.5:5060;transport=udp"
"#,
    );
}

#[test]
fn trunk_keys_that_are_not_carried_out_yet() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
register = { aor = "sip:a@b", expires = "300s" }
probe = { interval = "30s" }
profile = "asterisk"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:3:1: error: `register` is not carried out yet in [trunk.pbx]
   |
 3 | register = { aor = "sip:a@b", expires = "300s" }
   | ^^^^^^^^
  help: remove it, and let the PBX send its calls to Baton's address
baton.toml:4:1: error: `probe` is not carried out yet in [trunk.pbx]
   |
 4 | probe = { interval = "30s" }
   | ^^^^^
  help: remove it; a trunk that is down is found out by the next call
baton.toml:5:11: error: the profile "asterisk" is not carried out yet
   |
 5 | profile = "asterisk"
   |           ^^^^^^^^^^
  expected: "generic"
  help: set what this receiver needs by key: header_placement, referred_by, notify_200, refer_to_host
"#,
    );
}

#[test]
fn choices_that_are_none() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
called_from = "requesturi"
unanswered = "302"
trusted = "yes"
country = "us"
profile = "generc"
header_placement = "refer_to"
notify_200 = 200
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:3:15: error: `requesturi` is no `called_from`
   |
 3 | called_from = "requesturi"
   |               ^^^^^^^^^^^^
  expected: one of `request-uri`, `to` or `p-called-party-id`
  help: did you mean `request-uri`?
baton.toml:4:14: error: `302` is no `unanswered`
   |
 4 | unanswered = "302"
   |              ^^^^^
  expected: one of `invite` or `redirect`
baton.toml:5:11: error: `trusted` is a string in [trunk.pbx]
   |
 5 | trusted = "yes"
   |           ^^^^^
  expected: `true` or `false`
baton.toml:6:11: error: `us` is no country
   |
 6 | country = "us"
   |           ^^^^
  expected: an ISO 3166 code of two capital letters, like "US"
  help: did you mean `US`?
baton.toml:7:11: error: `generc` is no profile
   |
 7 | profile = "generc"
   |           ^^^^^^^^
  expected: "generic"
  help: did you mean `generic`?
baton.toml:8:20: error: `refer_to` is no `header_placement`
   |
 8 | header_placement = "refer_to"
   |                    ^^^^^^^^^^
  expected: one of `request`, `refer-to` or `both`
  help: did you mean `refer-to`?
baton.toml:9:14: error: `notify_200` is an integer in [trunk.pbx]
   |
 9 | notify_200 = 200
   |              ^^^
  expected: one of `reported` or `accepted`
"#,
    );
}

#[test]
fn sources_that_are_none() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
accept_from = ["10.0.0.5/24", "pbx", "10.0.0.0/33"]
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:3:16: error: `accept_from`: bits beyond the prefix are set; the network is `10.0.0.0/24`
   |
 3 | accept_from = ["10.0.0.5/24", "pbx", "10.0.0.0/33"]
   |                ^^^^^^^^^^^^^
  expected: a list of addresses and networks like ["10.0.0.0/24", "2001:db8::5"]
baton.toml:3:31: error: `accept_from`: `pbx` is not an IP address
   |
 3 | accept_from = ["10.0.0.5/24", "pbx", "10.0.0.0/33"]
   |                               ^^^^^
  expected: a list of addresses and networks like ["10.0.0.0/24", "2001:db8::5"]
baton.toml:3:38: error: `accept_from`: the prefix length must be a number from 0 to 32
   |
 3 | accept_from = ["10.0.0.5/24", "pbx", "10.0.0.0/33"]
   |                                      ^^^^^^^^^^^^^
  expected: a list of addresses and networks like ["10.0.0.0/24", "2001:db8::5"]
"#,
    );
}

#[test]
fn two_trunks_with_the_same_source() {
    baton_prints(
        r#"[trunk.a]
address = "sip:pbx.example.com"
accept_from = ["10.0.0.0/24"]
[trunk.b]
address = "sip:10.0.0.9"
accept_from = ["10.0.0.0/16", "10.0.0.0/24"]
[trunk.c]
address = "sip:10.0.0.7"
[trunk.d]
address = "sip:10.0.0.7:5070"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:6:31: error: the trunks `a` and `b` have the same source 10.0.0.0/24
   |
 6 | accept_from = ["10.0.0.0/16", "10.0.0.0/24"]
   |                               ^^^^^^^^^^^^^
  expected: sources that tell the trunks apart; the longest prefix wins
baton.toml:10:11: error: the trunks `c` and `d` have the same source 10.0.0.7/32
    |
 10 | address = "sip:10.0.0.7:5070"
    |           ^^^^^^^^^^^^^^^^^^^
  expected: sources that tell the trunks apart; the longest prefix wins
"#,
    );
}

#[test]
fn two_agents_with_the_same_number() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
[agent.a]
address = "sip:127.0.0.1:5080"
numbers = ["+1 415 555 0100", "*"]
[agent.b]
address = "sip:127.0.0.1:5081"
numbers = ["+14155550100", "*", "a@b"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:8:12: error: `+14155550100` already reaches the agent `a`
   |
 8 | numbers = ["+14155550100", "*", "a@b"]
   |            ^^^^^^^^^^^^^^
  expected: one agent for each number
baton.toml:8:28: error: `*` already reaches the agent `a`
   |
 8 | numbers = ["+14155550100", "*", "a@b"]
   |                            ^^^
  expected: one agent for each number
baton.toml:8:33: error: `a@b` is no number
   |
 8 | numbers = ["+14155550100", "*", "a@b"]
   |                                 ^^^^^
  expected: a list of called numbers and user parts like ["+14155550100", "booking"], "*" for all others
"#,
    );
}

#[test]
fn an_agent_that_no_number_reaches() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
[agent.a]
address = "sip:127.0.0.1:5080"
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:3:8: warning: no number reaches the agent `a`
   |
 3 | [agent.a]
   |        ^
  expected: a list of called numbers and user parts like ["+14155550100", "booking"], "*" for all others
"#,
    );
}

#[test]
fn an_agent_that_names_what_is_not_there() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
[agent.a]
address = ["sip:127.0.0.1:5080", "sip:127.0.0.1:5081"]
numbers = ["1"]
[agent.b]
address = "sip:127.0.0.1:5080"
numbers = ["2"]
environment = "prodution"
[agent.c]
address = "sip:127.0.0.1:5080"
numbers = ["3"]
fallback = "frontdesk"
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:4:1: error: a list of addresses (failover) is not carried out yet in [agent.a]
   |
 4 | address = ["sip:127.0.0.1:5080", "sip:127.0.0.1:5081"]
   | ^^^^^^^
  help: write one address as a string
baton.toml:9:15: error: there is no environment `prodution`
   |
 9 | environment = "prodution"
   |               ^^^^^^^^^^^
  expected: one of `production`
  help: did you mean `production`?
baton.toml:13:12: error: `frontdesk` is no destination of the environment `production`
    |
 13 | fallback = "frontdesk"
    |            ^^^^^^^^^^^
  expected: one of `front-desk`
  help: did you mean `front-desk`?
"#,
    );
}

#[test]
fn routes_that_an_agent_may_not_be_given() {
    baton_prints(
        r#"[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
may_route = ["sip:*@*", "*", "+1415"]
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:5:14: error: `may_route`: the host of a pattern must be complete, or `*.` and a domain
   |
 5 | may_route = ["sip:*@*", "*", "+1415"]
   |              ^^^^^^^^^
  expected: a list like ["+1415", "sip:*@pbx.example.com"]
baton.toml:5:25: error: `may_route`: `*` is neither a prefix of numbers nor a `sip:` URI with `*`
   |
 5 | may_route = ["sip:*@*", "*", "+1415"]
   |                         ^^^
  expected: a list like ["+1415", "sip:*@pbx.example.com"]
"#,
    );
}

#[test]
fn nobody_to_talk_to() {
    baton_prints(
        r#"# nothing
"#,
        r#"
baton.toml:1:1: warning: there is no trunk, so no call comes through
   |
 1 | # nothing
   | ^
  expected: [trunk.pbx]
baton.toml:1:1: warning: there is no agent, so no call comes through
   |
 1 | # nothing
   | ^
  expected: [agent.booking]
baton.toml:1:1: error: there is no environment
   |
 1 | # nothing
   | ^
  expected: [environment.production] with its `table`
"#,
    );
}

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
fn ids_that_cannot_be_ids() {
    baton_prints(
        r#"[trunk."a b"]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
allow_test_calls = true
table = "destinations.toml"
"#,
        r#"
baton.toml:1:8: error: `a b` cannot be an id
   |
 1 | [trunk."a b"]
   |        ^^^^^
  expected: a letter or a digit, then letters, digits, `-`, `_` and `.`, at most 64 characters
baton.toml:7:1: error: `allow_test_calls` is not carried out yet in [environment.production]
   |
 7 | allow_test_calls = true
   | ^^^^^^^^^^^^^^^^
  help: remove it; test calls come with `baton test`
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
baton.toml:4:11: error: unclosed table
   |
 4 | [trunk.pbx
   |           ^
  expected: `]`
baton.toml:7:30: error: invalid basic string
   |
 7 | address = "sip:127.0.0.1:5080
   |                              ^
  expected: `"`
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
baton.toml:3:1: error: duplicate key
   |
 3 | address = "sip:10.0.0.6"
   | ^^^^^^^
baton.toml:4:8: error: duplicate key
   |
 4 | [trunk.pbx]
   |        ^^^
baton.toml:5:1: error: duplicate key
   |
 5 | address = "sip:10.0.0.5"
   | ^^^^^^^
"#,
    );
}

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
  expected: one of `name`, `description`, `method`, `route`, `trunk`, `caller_id`, `headers`, `on_failure`, `timeouts`, `undefined`, `reason`, `refer_to_host`, `header_placement`, `referred_by` or `notify_200`
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
  expected: one of `name`, `description`, `method`, `route`, `trunk`, `caller_id`, `headers`, `on_failure`, `timeouts`, `undefined`, `reason`, `refer_to_host`, `header_placement`, `referred_by` or `notify_200`
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
fn destination_keys_that_are_not_carried_out_yet() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
rule = [{ hours = "Mo-Fr 08:00-18:00", use = "a" }]
weight = 5
require = "proven"
"#,
        r#"
destinations.toml:4:1: error: `rule` is not carried out yet in [destination.a]
   |
 4 | rule = [{ hours = "Mo-Fr 08:00-18:00", use = "a" }]
   | ^^^^
  help: remove it: decisions name the destination that they mean
destinations.toml:5:1: error: `weight` is not carried out yet in [destination.a]
   |
 5 | weight = 5
   | ^^^^^^
  help: remove it
destinations.toml:6:1: error: `require` is not carried out yet in [destination.a]
   |
 6 | require = "proven"
   | ^^^^^^^
  help: remove it: the methods that prove an outcome are not there yet; a REFER's success is at best `reported`
"#,
    );
}

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
destinations.toml:19:9: error: `route`: `+1415555012345678` is no E.164 number
    |
 19 | route = "+1415555012345678"
    |         ^^^^^^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
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
destinations.toml:9:1: error: `Foo`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 9 | Foo = "x"
   | ^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
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
  expected: one of `response`, `outcome`, `ring` or `total`
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
destinations.toml:8:1: error: `refer_to_host` means nothing where the route is a URI
   |
 8 | refer_to_host = "pbx.example.com"
   | ^^^^^^^^^^^^^
  help: a URI is sent as written: put the host there
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

// --- what is right

#[test]
fn the_shipped_configuration_is_valid_and_needs_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/baton.toml");
    let loaded = load(&path);
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    let configuration = loaded.configuration.expect("no errors");
    assert!(configuration.http.token.is_none());
    assert_eq!(configuration.files().len(), 3);
    let topology = &configuration.topology;
    let trunk = topology.trunk_at("192.168.1.20".parse().unwrap()).expect("a private network");
    assert_eq!(&*topology.agent_for(trunk, "+1 (415) 555-0100").expect("its number").id, "booking");
    assert!(!topology.knows("203.0.113.9".parse().unwrap()), "the world gets no answer");
    let tables = configuration.tables(7);
    assert_eq!(tables.serial, 7);
    assert_eq!(&*tables.table("production").expect("production").default, "front-desk");
    assert_eq!(&*tables.table("sandbox").expect("sandbox").default, "test-desk");
}

/// The annotated lines of the shipped files are what somebody switches on by removing the `#`.
#[test]
fn what_the_shipped_configuration_comments_out_is_valid_too() {
    let shipped = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let text = std::fs::read_to_string(path).expect(name);
        let key = |line: &str| {
            let line = line.strip_prefix("# ").unwrap_or_default();
            line.starts_with('[')
                || line.split_once(" = ").is_some_and(|(key, _)| {
                    key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
                })
        };
        let lines: Vec<&str> = text.lines().map(|line| if key(line) { &line[2..] } else { line }).collect();
        lines.join("\n")
    };
    let baton = shipped("baton.toml").replace("env:", "file:");
    let files = [
        ("baton.toml", &*baton),
        ("destinations.toml", &shipped("destinations.toml")),
        ("destinations.sandbox.toml", &shipped("destinations.sandbox.toml")),
        ("BATON_TOKEN", "token\n"),
        ("PBX_PASSWORD", "password\n"),
    ];
    let (loaded, printed) = read(&files);
    assert!(printed.is_empty(), "{printed}");
    let configuration = loaded.configuration.expect("no errors");
    assert_eq!(configuration.http.token.expect("switched on").expose(), "token");
    assert_eq!(
        configuration.topology.trunks()[0].auth.as_ref().expect("switched on").password.expose(),
        "password"
    );
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", TABLE)]);
    assert_eq!(printed, "");
    let Configuration { sip, http, topology, tables, state_dir, .. } =
        loaded.configuration.expect("no errors");
    let listen: Vec<String> =
        sip.listen.iter().map(|l| format!("{}:{}", l.transport.as_param(), l.address)).collect();
    assert_eq!(listen, ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]);
    assert_eq!((sip.workers, sip.max_calls, sip.max_duration.as_secs()), (0, 20_000, 4 * 3600));
    assert_eq!(http.listen.to_string(), "127.0.0.1:8060");
    assert!(state_dir.ends_with("state"));
    let (trunk, agent) = (&topology.trunks()[0], &topology.agents()[0]);
    assert!(!trunk.refer_from_caller && trunk.auth.is_none() && trunk.accept_from.is_none());
    assert_eq!((agent.answer_timeout.as_secs(), agent.keepalive.map(|k| k.as_secs())), (20, Some(20)));
    assert!(agent.wildcard && agent.may_route.is_empty() && agent.fallback.is_none());
    let destination = tables["production"].find("front-desk").expect("the default");
    let timeouts = destination.timeouts;
    assert_eq!(
        [timeouts.response, timeouts.outcome, timeouts.ring, timeouts.total].map(|t| t.as_secs()),
        [8, 60, 30, 180]
    );
    assert_eq!(&*destination.reason, "SIP;cause=200;text=\"Handoff\"");
}

#[test]
fn a_restart_is_told_by_key() {
    let old =
        read(&[("baton.toml", BATON), ("destinations.toml", TABLE)]).0.configuration.expect("no errors");
    let text = format!(
        "{BATON}[sip]\nlisten = [\"udp:127.0.0.1:0\"]\ndrain = \"7s\"\n[http]\nlisten = \"127.0.0.1:0\"\n"
    );
    let mut new =
        read(&[("baton.toml", &text), ("destinations.toml", TABLE)]).0.configuration.expect("no errors");
    new.state_dir = old.state_dir.clone();
    assert_eq!(Configuration::restart_needed(&old, &new), ["sip.listen", "sip.drain", "http.listen"]);
    assert!(Configuration::restart_needed(&old, &old).is_empty());
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

#[test]
fn what_the_readme_shows_is_valid() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("the README is there");
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [table, baton] = blocks[..] else { panic!("a table and a configuration, not {}", blocks.len()) };
    let baton = baton.replace("env:PBX_PASSWORD", "file:password");
    let (loaded, printed) =
        read(&[("baton.toml", &baton), ("destinations.toml", table), ("password", "s3cret")]);
    compare(&loaded, &printed, "");
}

#[test]
fn secrets_come_from_files_without_their_newline() {
    let text = format!("[http]\ntoken = \"file:token\"\n{BATON}");
    let files = |token: &'static str| {
        [("baton.toml", text.clone()), ("destinations.toml", TABLE.into()), ("token", token.into())]
    };
    let read = |token| {
        let files: [(&str, String); 3] = files(token);
        let borrowed: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        read(&borrowed)
    };
    assert_eq!(
        read("s3cret\r\n").0.configuration.and_then(|c| c.http.token).expect("a token").expose(),
        "s3cret"
    );
    assert!(read("\n").1.contains("the secret is empty"));
    assert!(read("a\nb").1.contains("control characters"));
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

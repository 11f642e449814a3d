//! `[sip]` and `[http]`: listeners, numbers, secrets.

use super::{BATON, TABLE, baton_prints, read};

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
  expected: one of `address`, `accept_from`, `trusted`, `called_from`, `country`, `auth`, `unanswered`, `refer_from_caller`, `keepalive`, `failover_after`, `first_response`, `large`, `contact`, `diversion`, `may_transfer`, `may_route`, `in_dialog`, `redirects`, `refer_to_host`, `header_placement`, `referred_by`, `notify_200`, `ask_return`, `limits` or `profile`
  help: did you mean `address`?
baton.toml:4:1: error: unknown key `max_cals` in [sip]
   |
 4 | max_cals = 5
   | ^^^^^^^^
  expected: one of `listen`, `advertise`, `workers`, `max_calls`, `max_duration`, `drain` or `session_timer`
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

#[test]
fn session_timers() {
    let timer = |line: &str| {
        let text = format!("[sip]\n{line}\n{BATON}");
        let (loaded, printed) = read(&[("baton.toml", &text), ("destinations.toml", TABLE)]);
        let configuration = loaded.configuration.unwrap_or_else(|| panic!("{printed}"));
        configuration.sip.session_timer.map(|timer| (timer.expires.as_secs(), timer.min_se.as_secs()))
    };
    assert_eq!(timer(""), Some((1800, 90)));
    assert_eq!(timer("session_timer = false"), None);
    assert_eq!(timer("session_timer = {}"), Some((1800, 90)));
    assert_eq!(timer("session_timer = { expires = \"90s\" }"), Some((90, 90)));
    assert_eq!(timer("session_timer = { min_se = \"30m\" }"), Some((1800, 1800)));
    assert_eq!(timer("session_timer = { expires = \"24h\", min_se = \"10m\" }"), Some((86_400, 600)));
}

#[test]
fn a_session_timer_that_is_no_table() {
    baton_prints(
        r#"[sip]
session_timer = true
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:17: error: `session_timer` is a boolean in [sip]
   |
 2 | session_timer = true
   |                 ^^^^
  expected: a table like { expires = "1800s", min_se = "90s" }, or `false` for none
"#,
    );
}

#[test]
fn session_timers_out_of_range() {
    baton_prints(
        r#"[sip]
session_timer = { expires = "60s", min_se = "89s", refresher = "uac" }
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:29: error: `expires` is out of range
   |
 2 | session_timer = { expires = "60s", min_se = "89s", refresher = "uac" }
   |                             ^^^^^
  expected: from "1m30s" to "1d"
baton.toml:2:45: error: `min_se` is out of range
   |
 2 | session_timer = { expires = "60s", min_se = "89s", refresher = "uac" }
   |                                             ^^^^^
  expected: from "1m30s" to "1d"
baton.toml:2:52: error: unknown key `refresher` in [sip.session_timer]
   |
 2 | session_timer = { expires = "60s", min_se = "89s", refresher = "uac" }
   |                                                    ^^^^^^^^^
  expected: one of `expires` or `min_se`
"#,
    );
}

#[test]
fn a_session_timer_of_longer_than_a_day() {
    baton_prints(
        r#"[sip]
session_timer = { expires = "25h", min_se = "1h" }
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:29: error: `expires` is out of range
   |
 2 | session_timer = { expires = "25h", min_se = "1h" }
   |                             ^^^^^
  expected: from "1m30s" to "1d"
"#,
    );
}

#[test]
fn a_session_timer_in_milliseconds() {
    baton_prints(
        r#"[sip]
session_timer = { expires = "30m500ms" }
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:19: error: `expires` is no whole number of seconds
   |
 2 | session_timer = { expires = "30m500ms" }
   |                   ^^^^^^^
  expected: seconds, which is what goes on the wire
"#,
    );
}

#[test]
fn a_shortest_session_that_is_longer_than_the_session() {
    baton_prints(
        r#"[sip]
session_timer = { expires = "10m", min_se = "20m" }
[trunk.pbx]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:36: error: `min_se` is longer than `expires`
   |
 2 | session_timer = { expires = "10m", min_se = "20m" }
   |                                    ^^^^^^
  expected: at most `expires`, which is "10m"
"#,
    );
}

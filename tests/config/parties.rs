//! Trunks, agents and environments.

use super::{BATON, TABLE, baton_prints, compare, read};

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
profile = "twilio"
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
baton.toml:5:11: error: the profile "twilio" is not carried out yet
   |
 5 | profile = "twilio"
   |           ^^^^^^^^
  expected: one of `auto`, `generic`, `asterisk` or `freeswitch`
  help: set what this receiver needs by key: header_placement, referred_by, notify_200, ask_return, refer_to_host
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
ask_return = "invite"
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
  expected: one of `auto`, `generic`, `asterisk` or `freeswitch`
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
baton.toml:10:14: error: `invite` is no `ask_return`
    |
 10 | ask_return = "invite"
    |              ^^^^^^^^
  expected: one of `reinvite` or `none`
  help: did you mean `reinvite`?
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
address = "sip:127.0.0.1:5080"
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
fn ids_that_cannot_be_ids() {
    baton_prints(
        r#"[trunk."a b"]
address = "sip:10.0.0.5"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["*"]
[environment.production]
allow_test_calls = "yes"
table = "destinations.toml"
"#,
        r#"
baton.toml:1:8: error: `a b` cannot be an id
   |
 1 | [trunk."a b"]
   |        ^^^^^
  expected: a letter or a digit, then letters, digits, `-`, `_` and `.`, at most 64 characters
baton.toml:7:20: error: `allow_test_calls` is a string in [environment.production]
   |
 7 | allow_test_calls = "yes"
   |                    ^^^^^
  expected: `true` or `false`
"#,
    );
}

#[test]
fn agents_with_several_addresses() {
    let text = BATON.replace(
        "\"sip:127.0.0.1:5080\"",
        "[\"sip:a@127.0.0.1:5080\", \"sip:a@127.0.0.1:5081\", \"sip:b@c\"]",
    );
    let (loaded, printed) = read(&[("baton.toml", &text), ("destinations.toml", TABLE)]);
    compare(&loaded, &printed, "");
    let topology = loaded.configuration.expect("no errors").topology;
    let addresses: Vec<&str> = topology.agents()[0].addresses.iter().map(|a| &*a.text).collect();
    assert_eq!(addresses, ["sip:a@127.0.0.1:5080", "sip:a@127.0.0.1:5081", "sip:b@c"]);
    assert_eq!(topology.unresolved().count(), 1);
}

#[test]
fn lists_of_addresses_that_cannot_be_used() {
    baton_prints(
        r#"[trunk.pbx]
address = ["sip:10.0.0.5"]
[agent.a]
address = []
numbers = ["1"]
[agent.b]
address = ["sip:a@b", 5, "sips:a@c", "127.0.0.1", "sip:a@B"]
numbers = ["2"]
[agent.c]
address = ["sip:1@c", "sip:2@c", "sip:3@c", "sip:4@c", "sip:5@c", "sip:6@c", "sip:7@c", "sip:8@c", "sip:9@c", "sip:10@c"]
numbers = ["3"]
[agent.d]
address = 5
numbers = ["4"]
[agent.e]
numbers = ["5"]
[environment.production]
table = "destinations.toml"
"#,
        r#"
baton.toml:2:11: error: `address` is an array in [trunk.pbx]
   |
 2 | address = ["sip:10.0.0.5"]
   |           ^^^^^^^^^^^^^^^^
  expected: a `sip:` URI like "sip:10.0.0.5:5060;transport=udp"
baton.toml:4:1: error: an empty `address` reaches nobody
   |
 4 | address = []
   | ^^^^^^^
  expected: a `sip:` URI like "sip:booking@10.0.0.6:5080", or a list of them in the order in which they are tried
baton.toml:7:23: error: an entry of `address` is an integer
   |
 7 | address = ["sip:a@b", 5, "sips:a@c", "127.0.0.1", "sip:a@B"]
   |                       ^
  expected: a `sip:` URI like "sip:booking@10.0.0.6:5080", or a list of them in the order in which they are tried
baton.toml:7:26: error: `address`: TLS is not carried out yet
   |
 7 | address = ["sip:a@b", 5, "sips:a@c", "127.0.0.1", "sip:a@B"]
   |                          ^^^^^^^^^^
  expected: a `sip:` URI like "sip:booking@10.0.0.6:5080", or a list of them in the order in which they are tried
  help: use udp or tcp
baton.toml:7:38: error: `address`: malformed URI
   |
 7 | address = ["sip:a@b", 5, "sips:a@c", "127.0.0.1", "sip:a@B"]
   |                                      ^^^^^^^^^^^
  expected: a `sip:` URI like "sip:booking@10.0.0.6:5080", or a list of them in the order in which they are tried
  help: did you mean `sip:127.0.0.1`?
baton.toml:7:51: error: `sip:a@B` is there twice
   |
 7 | address = ["sip:a@b", 5, "sips:a@c", "127.0.0.1", "sip:a@B"]
   |                                                   ^^^^^^^^^
  help: an address is tried once: remove this one
baton.toml:10:100: error: more than 8 addresses
    |
 10 | address = ["sip:1@c", "sip:2@c", "sip:3@c", "sip:4@c", "sip:5@c", "sip:6@c", "sip:7@c", "sip:8@c", "sip:9@c", "sip:10@c"]
    |                                                                                                    ^^^^^^^^^
  help: the caller waits while they are tried: keep the ones that are likely to answer
baton.toml:13:11: error: `address` is an integer in [agent.d]
    |
 13 | address = 5
    |           ^
  expected: a `sip:` URI like "sip:booking@10.0.0.6:5080", or a list of them in the order in which they are tried
baton.toml:15:8: error: `address` is missing in [agent.e]
    |
 15 | [agent.e]
    |        ^
  expected: a `sip:` URI like "sip:booking@10.0.0.6:5080", or a list of them in the order in which they are tried
"#,
    );
}

/// Then the sandbox is none.
#[test]
fn two_environments_with_one_table() {
    baton_prints(
        &format!("{BATON}[environment.sandbox]\ntable = \"destinations.toml\"\n"),
        r#"
baton.toml:9:9: warning: `sandbox` has the same table as `production`
   |
 9 | table = "destinations.toml"
   |         ^^^^^^^^^^^^^^^^^^^
  help: what is changed in one is in force in the other at once: give each a file of its own
"#,
    );
}

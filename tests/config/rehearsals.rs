//! Agents inside Baton: `address = "rehearsal:…"`.

use std::time::Duration;

use super::{BATON, TABLE, baton_prints, compare, read};

fn with_address(address: &str) -> String {
    BATON.replace("\"sip:127.0.0.1:5080\"", address)
}

#[test]
fn its_destination_and_how_long_it_talks() {
    for (address, after) in [
        ("\"rehearsal:front-desk\"", 2000),
        ("\"rehearsal:front-desk?after=1m500ms\"", 60_500),
        ("\"rehearsal:front-desk?after=0s\"", 0),
    ] {
        let (loaded, printed) = read(&[("baton.toml", &with_address(address)), ("destinations.toml", TABLE)]);
        compare(&loaded, &printed, "");
        let topology = loaded.configuration.expect("no errors").topology;
        let agent = topology.agent("booking").expect("the agent");
        let rehearsal = agent.rehearsal.as_ref().expect("an agent inside");
        assert_eq!((&*rehearsal.destination, rehearsal.after), ("front-desk", Duration::from_millis(after)));
        assert_eq!(&*agent.address().text, "sip:booking@127.0.0.1:9", "nowhere before there is a socket");

        let at = "[::1]:5999".parse().expect("an address");
        let (placed, _) = topology.with_rehearsals_at(at).with_resolved(|_| vec![]);
        assert_eq!(&*placed.agent("booking").expect("the agent").address().text, "sip:booking@[::1]:5999");
        let known = placed.agents_at(at.ip()).map(|agent| &*agent.id).collect::<Vec<_>>();
        assert_eq!(known, ["booking"], "and it is known by its source");
    }
}

/// It answers its caller first, and a redirection comes before the answer or not at all.
#[test]
fn a_redirection_cannot_be_rehearsed() {
    let table = r#"default = "front-desk"
[destination.front-desk]
method = "redirect"
route = "+14155550123"
"#;
    let baton = with_address("\"rehearsal:front-desk\"")
        .replace("[environment", "fallback = \"front-desk\"\n[environment");
    let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", table)]);
    compare(
        &loaded,
        &printed,
        r#"
baton.toml:4:22: warning: `front-desk` is a `redirect`, and a rehearsal agent answers first
   |
 4 | address = "rehearsal:front-desk"
   |                      ^^^^^^^^^^
  help: each of its handoffs will be refused: name a destination with another method
"#,
    );
}

#[test]
fn what_cannot_be_rehearsed() {
    let text = with_address("\"rehearsal:front-desk?wait=2s\"")
        + r#"[agent.b]
address = "rehearsal:"
numbers = ["2"]
[agent.c]
address = "rehearsal:front-desk?after=soon"
numbers = ["3"]
[agent.d]
address = "rehearsal:front-desk?after=1h"
numbers = ["4"]
[agent.e]
address = "rehearsal:fron-desk?after=1s"
numbers = ["5"]
[agent.f]
address = ["sip:f@127.0.0.1:5080", "rehearsal:front-desk"]
numbers = ["6"]
[agent.g]
address = "rehearsal:front-desk?after=1s&after=2s"
accept_from = ["10.0.0.0/8"]
may_route = ["+1415"]
numbers = ["7"]
[agent.h]
address = "rehearsal:front-desk?aftr=1s"
numbers = ["8"]
"#;
    baton_prints(
        &text,
        r#"
baton.toml:4:33: error: `wait` is no parameter of a rehearsal agent
   |
 4 | address = "rehearsal:front-desk?wait=2s"
   |                                 ^^^^^^^
  expected: "rehearsal:DESTINATION", or "rehearsal:DESTINATION?after=2s"
baton.toml:9:11: error: `address` names no destination to which the callers go
   |
 9 | address = "rehearsal:"
   |           ^^^^^^^^^^^^
  expected: "rehearsal:DESTINATION", or "rehearsal:DESTINATION?after=2s"
baton.toml:12:39: error: `after`: a number must stand before `soon`
    |
 12 | address = "rehearsal:front-desk?after=soon"
    |                                       ^^^^
  expected: a duration like "500ms", "20s", "1m30s" or "4h"
baton.toml:15:39: error: `after` is out of range
    |
 15 | address = "rehearsal:front-desk?after=1h"
    |                                       ^^
  expected: at most "5m"
baton.toml:18:22: error: `fron-desk` is no destination of the environment `production`
    |
 18 | address = "rehearsal:fron-desk?after=1s"
    |                      ^^^^^^^^^
  expected: one of `front-desk`
  help: did you mean `front-desk`?
baton.toml:21:36: error: `address`: not a `sip:` URI
    |
 21 | address = ["sip:f@127.0.0.1:5080", "rehearsal:front-desk"]
    |                                    ^^^^^^^^^^^^^^^^^^^^^^
  expected: a `sip:` URI like "sip:booking@10.0.0.6:5080", or a list of them in the order in which they are tried
  help: a rehearsal agent is the whole `address` of an [agent.NAME]: it always answers, so nobody after it is ever called
baton.toml:24:42: error: `after` is there twice
    |
 24 | address = "rehearsal:front-desk?after=1s&after=2s"
    |                                          ^^^^^^^^
  expected: "rehearsal:DESTINATION", or "rehearsal:DESTINATION?after=2s"
baton.toml:25:1: error: `accept_from` does not apply to a rehearsal agent
    |
 25 | accept_from = ["10.0.0.0/8"]
    | ^^^^^^^^^^^
  help: remove it: nobody else than itself sends for it
baton.toml:26:1: error: `may_route` does not apply to a rehearsal agent
    |
 26 | may_route = ["+1415"]
    | ^^^^^^^^^
  help: remove it: it names its destination and nothing else
baton.toml:29:33: error: `aftr` is no parameter of a rehearsal agent
    |
 29 | address = "rehearsal:front-desk?aftr=1s"
    |                                 ^^^^^^^
  expected: "rehearsal:DESTINATION", or "rehearsal:DESTINATION?after=2s"
  help: did you mean `after`?
"#,
    );
}

#[test]
fn it_is_called_by_udp() {
    let text = format!("[sip]\nlisten = [\"tcp:127.0.0.1:0\"]\n{}", with_address("\"rehearsal:front-desk\""));
    baton_prints(
        &text,
        r#"
baton.toml:5:8: error: a rehearsal agent is called by UDP, and there is no `udp:` listener
   |
 5 | [agent.booking]
   |        ^^^^^^^
  help: add "udp:127.0.0.1:5060" to `listen` in [sip]
"#,
    );
}

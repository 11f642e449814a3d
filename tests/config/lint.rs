//! What is allowed and doubtful all the same.

use super::{BATON, TABLE, compare, read, table_prints};

#[test]
fn numbers_that_nobody_has() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+1415555012"
caller_id = "+999123456"
rule = [{ when = "true", route = "+44207946010000" }]
[destination.b]
route = "sip:+1415@10.0.0.5"
[destination.c]
route = "tel:+14155550123"
caller_id = "$caller_id"
[destination.d]
route = "sip:100@10.0.0.5"
"#,
        r#"
destinations.toml:3:9: warning: `+1415555012` is no number that can exist under +1
   |
 3 | route = "+1415555012"
   |         ^^^^^^^^^^^^^
  help: see whether a digit is missing or wrong; an extension is a URI like sip:100@pbx.example.com
destinations.toml:4:13: warning: `+999123456` is no number of any country
   |
 4 | caller_id = "+999123456"
   |             ^^^^^^^^^^^^
  help: targets and carriers refuse or hide a number that nobody has
destinations.toml:5:34: warning: `+44207946010000` is no number that can exist under +44
   |
 5 | rule = [{ when = "true", route = "+44207946010000" }]
   |                                  ^^^^^^^^^^^^^^^^^
  help: see whether a digit is missing or wrong; an extension is a URI like sip:100@pbx.example.com
destinations.toml:7:9: warning: `+1415` is no number that can exist under +1
   |
 7 | route = "sip:+1415@10.0.0.5"
   |         ^^^^^^^^^^^^^^^^^^^^
  help: see whether a digit is missing or wrong; an extension is a URI like sip:100@pbx.example.com
"#,
    );
}

#[test]
fn a_number_as_it_is_dialled() {
    let baton = BATON.replace("[agent", "country = \"US\"\n[agent");
    let (loaded, printed) = read(&[
        ("baton.toml", &baton),
        (
            "destinations.toml",
            "default = \"a\"\n[destination.a]\nroute = \"(415) 555-0123\"\n[destination.b]\nroute = \"100\"\n",
        ),
    ]);
    compare(
        &loaded,
        &printed,
        r#"
destinations.toml:3:9: error: `route`: `(415) 555-0123` is no E.164 number
   |
 3 | route = "(415) 555-0123"
   |         ^^^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: did you mean `+14155550123`?
destinations.toml:5:9: error: `route`: `100` is no E.164 number
   |
 5 | route = "100"
   |         ^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: with its country's code if it is a number, or as a URI like sip:100@pbx.example.com if it is an extension
"#,
    );
}

#[test]
fn two_agents_with_one_number() {
    let baton = r#"[trunk.pbx]
address = "sip:10.0.0.5"
country = "US"
[agent.booking]
address = "sip:127.0.0.1:5080"
numbers = ["+14155550100", "+14155550199", "+141555501"]
[agent.other]
address = "sip:127.0.0.1:5081"
numbers = ["4155550100", "555", "*"]
[environment.production]
table = "destinations.toml"
"#;
    let (loaded, printed) = read(&[("baton.toml", baton), ("destinations.toml", super::TABLE)]);
    compare(
        &loaded,
        &printed,
        r#"
baton.toml:6:44: warning: `+141555501` is no number that can exist under +1
   |
 6 | numbers = ["+14155550100", "+14155550199", "+141555501"]
   |                                            ^^^^^^^^^^^^
  help: see whether a digit is missing or wrong: no call will come for it
baton.toml:9:12: warning: `4155550100` is +14155550100 where the trunk `pbx` calls it, which reaches the agent `booking`
   |
 9 | numbers = ["4155550100", "555", "*"]
   |            ^^^^^^^^^^^^
  help: a number that is dialled so reaches this agent, the same one with + the other
"#,
    );
}

#[test]
fn routes_that_are_there_twice() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.b]
route = "+1 (415) 555-0123"
[destination.c]
route = "+14155550123"
method = "invite"
[destination.d]
method = "bye"
[destination.e]
method = "bye"
"#,
        r#"
destinations.toml:5:9: warning: `a` has the same route and method
   |
 5 | route = "+1 (415) 555-0123"
   |         ^^^^^^^^^^^^^^^^^^^
  help: by SIP, an agent that names this route means `a`; use one of both, or name ids
"#,
    );
}

#[test]
fn names_that_are_misspelt() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
caller_id = "${number_1}"
rule = [{ when = 'acount_id == ""', use = "b" }]
[destination.a.headers]
X-Account-ID = "$account_id"
X-Line-1 = "$number_1"
[destination.b]
route = "+14155550124"
[destination.b.headers]
X-Account-ID = "$account_id"
X-Line-1 = "$number_2"
[destination.c]
route = "+14155550125"
[destination.c.headers]
X-Acount-ID = "${account_idd:-none}"
X-Line-2 = "1"
"#,
        r#"
destinations.toml:5:18: warning: the variable `acount_id` is used nowhere else
   |
 5 | rule = [{ when = 'acount_id == ""', use = "b" }]
   |                  ^^^^^^^^^^^^^^^^^
  help: did you mean `account_id`, as in the others?
destinations.toml:17:1: warning: the header `X-Acount-ID` is written nowhere else
    |
 17 | X-Acount-ID = "${account_idd:-none}"
    | ^^^^^^^^^^^
  help: did you mean `X-Account-ID`, as in the others?
destinations.toml:17:15: warning: the variable `account_idd` is used nowhere else
    |
 17 | X-Acount-ID = "${account_idd:-none}"
    |               ^^^^^^^^^^^^^^^^^^^^^^
  help: did you mean `account_id`, as in the others?
"#,
    );
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.a.headers]
Account-ID = "1"
User-2-User = "1"
Contact = "1"
"#,
        r#"
destinations.toml:5:1: error: `Account-ID`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 5 | Account-ID = "1"
   | ^^^^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: did you mean `X-Account-ID`?
destinations.toml:6:1: error: `User-2-User`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 6 | User-2-User = "1"
   | ^^^^^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: did you mean `User-to-User`?
destinations.toml:7:1: error: `Contact`: this header belongs to the dialog, which Baton writes itself
   |
 7 | Contact = "1"
   | ^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
"#,
    );
}

#[test]
fn what_receivers_stumble_over() {
    let long = "x".repeat(400);
    let text = format!(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.a.headers]
X-Name = "Zürich"
X-City = "${{city:-Köln}}"
[destination.b]
route = "+14155550124"
[destination.b.headers]
X-A = "{long}"
X-B = "{long}$c"
"#
    );
    let (loaded, printed) = read(&[("baton.toml", BATON), ("destinations.toml", &text)]);
    compare(
        &loaded,
        &printed.replace(&long, "xxx"),
        r#"
destinations.toml:5:10: warning: the header `X-Name` holds letters that are not ASCII
   |
 5 | X-Name = "Zürich"
   |          ^^^^^^^^
  help: many receivers drop or garble them: write them without accents, or as a code
destinations.toml:6:10: warning: the header `X-City` holds letters that are not ASCII
   |
 6 | X-City = "${city:-Köln}"
   |          ^^^^^^^^^^^^^^^
  help: many receivers drop or garble them: write them without accents, or as a code
destinations.toml:10:1: warning: with these headers a request takes about 1480 bytes; over 1300 it does not go by UDP
    |
 10 | X-A = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    | ^^^
  help: send less, or reach the trunk by TCP: `;transport=tcp` in its `address`, and tcp in `sip.listen`
"#,
    );
}

#[test]
fn a_trunk_that_embeds_and_a_tel_uri() {
    let baton = BATON.replace("[agent", "header_placement = \"refer-to\"\n[agent");
    let table = r#"default = "a"
[destination.a]
route = "tel:+14155550123"
[destination.a.headers]
X-A = "1"
[destination.b]
route = "tel:+14155550124"
[destination.c]
route = "tel:+14155550125"
header_placement = "request"
[destination.c.headers]
X-A = "1"
"#;
    let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", table)]);
    compare(
        &loaded,
        &printed,
        r#"
destinations.toml:3:9: warning: the trunk `pbx` wants the headers inside the Refer-To URI, and a `tel:` URI cannot carry any
   |
 3 | route = "tel:+14155550123"
   |         ^^^^^^^^^^^^^^^^^^
  help: they will stand on the request; write the number as it is, or as a `sip:` URI
"#,
    );
}

#[test]
fn more_than_the_receiver_takes() {
    let baton =
        BATON.replace("[agent", "limits = { headers = 2, name = 10, value = 20, total = 60 }\n[agent");
    let table = r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.a.headers]
X-A = "$caller_id"
X-Long-Name = "12345678901234567890$language"
X-B = "1"
[destination.b]
route = "+14155550124"
limits = { headers = 1 }
[destination.b.headers]
X-A = "1"
X-B = "1"
[destination.c]
route = "+14155550125"
[destination.c.headers]
X-A = "1"
"#;
    let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", table)]);
    compare(
        &loaded,
        &printed,
        r#"
destinations.toml:5:1: warning: 3 headers, and the receiver takes 2
   |
 5 | X-A = "$caller_id"
   | ^^^
  help: send less, or mend `limits` of [trunk.pbx]
destinations.toml:5:1: warning: the name `X-Long-Name` has 11 bytes, and the receiver takes 10
   |
 5 | X-A = "$caller_id"
   | ^^^
  help: send less, or mend `limits` of [trunk.pbx]
destinations.toml:5:1: warning: `X-Long-Name` takes about 36 bytes, and the receiver takes 20
   |
 5 | X-A = "$caller_id"
   | ^^^
  help: send less, or mend `limits` of [trunk.pbx]
destinations.toml:5:1: warning: the headers take about 70 bytes together, and the receiver takes 60
   |
 5 | X-A = "$caller_id"
   | ^^^
  help: send less, or mend `limits` of [trunk.pbx]
destinations.toml:12:1: warning: 2 headers, and the receiver takes 1
    |
 12 | X-A = "1"
    | ^^^
  help: send less, or mend `limits` of [destination.b]
"#,
    );
}

#[test]
fn a_blind_refer_to_a_receiver_whose_200_proves_nothing() {
    let table = r#"default = "called"
[destination.called]
method = "invite"
route = "+14155550123"
[destination.blind]
route = "+14155550124"
[destination.stepped]
method = "invite"
route = "+14155550125"
on_failure = ["refer"]
[destination.believed]
route = "+14155550126"
notify_200 = "reported"
"#;
    for (key, on) in [
        ("profile = \"asterisk\"", "on Asterisk"),
        ("profile = \"freeswitch\"", "on FreeSWITCH"),
        ("notify_200 = \"accepted\"", "here"),
    ] {
        let baton = BATON.replace("[agent", &format!("{key}\n[agent"));
        let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", table)]);
        let expected = format!(
            r#"
destinations.toml:6:9: warning: `blind`: blind REFER {on} cannot be known to have worked: use `invite` or `attended`; the same goes for 1 more
   |
 6 | route = "+14155550124"
   |         ^^^^^^^^^^^^^^
  help: a NOTIFY 200 proves nothing there (by the trunk `pbx`, or by `notify_200`): a handoff by `refer` ends as `unknown`
"#
        );
        compare(&loaded, &printed, &expected);
    }
    for key in
        ["profile = \"auto\"", "profile = \"generic\"", "profile = \"asterisk\"\nnotify_200 = \"reported\""]
    {
        let baton = BATON.replace("[agent", &format!("{key}\n[agent"));
        let (_, printed) = read(&[("baton.toml", &baton), ("destinations.toml", table)]);
        assert_eq!(printed, "", "{key}");
    }
}

#[test]
fn a_weight_that_splits_nothing() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
rule = [{ weight = 10, use = "b" }]
[destination.b]
route = "+14155550124"
rule = [{ when = 'language == "es"', weight = 500, use = "c" }, { when = "true", use = "c" }]
[destination.c]
route = "+14155550125"
rule = [{ weight = 90, use = "c" }, { weight = 10, use = "d" }]
[destination.d]
route = "+14155550126"
"#,
        r#"
destinations.toml:4:9: warning: a `weight` alone splits nothing: this rule is taken whenever it matches
   |
 4 | rule = [{ weight = 10, use = "b" }]
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: give the rest its share in a rule after it, like { weight = 90, use = "a" }, or remove `weight`
destinations.toml:7:9: warning: a `weight` alone splits nothing: this rule is taken whenever it matches
   |
 7 | rule = [{ when = 'language == "es"', weight = 500, use = "c" }, { when = "true", use = "c" }]
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: give the rest its share in a rule after it, like { weight = 500, use = "b" }, or remove `weight`
"#,
    );
}

/// Two variables that nobody sets are equal: such a rule would always be taken.
#[test]
fn a_word_that_has_lost_its_quotes() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
rule = [{ when = "language == es", use = "b" }, { when = 'tier in [gold, "silver"]', use = "b" }]
[destination.b]
route = "+14155550124"
rule = [{ when = 'caller_id == called_number', use = "c" }, { when = 'language != wanted', use = "c" }]
[destination.c]
route = "+14155550125"
[destination.c.headers]
X-Wanted = "${wanted:-en}"
"#,
        r#"
destinations.toml:4:18: warning: `es` is a variable here, empty unless a decision brings it
   |
 4 | rule = [{ when = "language == es", use = "b" }, { when = 'tier in [gold, "silver"]', use = "b" }]
   |                  ^^^^^^^^^^^^^^^^
  help: if the word itself is meant, it stands in quotes: "es" in a `when` between '…'
destinations.toml:4:58: warning: `gold` is a variable here, empty unless a decision brings it
   |
 4 | rule = [{ when = "language == es", use = "b" }, { when = 'tier in [gold, "silver"]', use = "b" }]
   |                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: if the word itself is meant, it stands in quotes: "gold" in a `when` between '…'
"#,
    );
}

/// A table with one of each: there are no others that it could be compared with.
#[test]
fn a_header_and_the_variable_that_it_carries() {
    table_prints(
        r#"default = "a"
[destination.a]
route = "+14155550123"
[destination.a.headers]
X-Caler-ID = "$caller_id"
X-Called-Number = "$caller_id"
X-Call = "{{call_id}} of {agent}"
X-Json = '{"reason": "$reason"}'
[destination.b]
route = "+14155550124"
[destination.b.headers]
X-Caller-ID = "$caller_id"
X-Agents = "$agent"
X-Why = "$reason"
"#,
        r#"
destinations.toml:5:1: warning: the header `X-Caler-ID` is named otherwise than what it carries, `$caller_id`
   |
 5 | X-Caler-ID = "$caller_id"
   | ^^^^^^^^^^
  help: did you mean `X-Caller-ID`?
destinations.toml:7:10: warning: `{call_id}` is sent as it stands
   |
 7 | X-Call = "{{call_id}} of {agent}"
   |          ^^^^^^^^^^^^^^^^^^^^^^^^
  help: a variable is written $call_id, or ${call_id:-fallback}
"#,
    );
}

#[test]
fn an_agent_where_a_trunk_is_and_an_api_that_anybody_reaches() {
    let baton = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
[http]
listen = "0.0.0.0:8060"
[trunk.pbx]
address = "sip:10.0.0.5"
accept_from = ["10.0.0.0/24"]
[agent.same]
address = "sip:booking@10.0.0.5:5060"
numbers = ["1"]
[agent.inside]
address = ["sip:booking@10.0.0.80", "sip:booking@10.0.1.80"]
numbers = ["2"]
[environment.production]
table = "destinations.toml"
"#;
    let (loaded, printed) = read(&[
        ("baton.toml", baton),
        ("destinations.toml", "default = \"a\"\n[destination.a]\nroute = \"sip:100@10.0.0.5\"\n"),
    ]);
    compare(
        &loaded,
        &printed,
        r#"
baton.toml:5:10: warning: the API listens on 0.0.0.0, without TLS
   |
 5 | listen = "0.0.0.0:8060"
   |          ^^^^^^^^^^^^^^
  help: whoever is on the way reads the token: listen on loopback, and put a proxy with TLS before it
baton.toml:10:11: warning: the agent `same` has the address of the trunk `pbx`
    |
 10 | address = "sip:booking@10.0.0.5:5060"
    |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: its calls go back to where they come from: put the agent's own address here
baton.toml:13:11: warning: the agent `inside` lies in `accept_from` of the trunk `pbx`
    |
 13 | address = ["sip:booking@10.0.0.80", "sip:booking@10.0.1.80"]
    |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: an INVITE of its own is taken for a call of that trunk: narrow `accept_from` to the PBX
"#,
    );
}

#[test]
fn slips_get_the_right_word() {
    table_prints(
        r#"[destination.a]
route = "+1XXXXXXXXXX"
default = "a"
[destination.a.headers]
X_Caller_ID = "$caller_id"
"#,
        r#"
destinations.toml:1:1: error: `default` is missing
   |
 1 | [destination.a]
   | ^
  expected: the id of a destination
destinations.toml:2:9: error: `route`: `+1XXXXXXXXXX` is neither a number nor a URI
   |
 2 | route = "+1XXXXXXXXXX"
   |         ^^^^^^^^^^^^^^
  expected: a number like "+14155550123", a `sip:` or a `tel:` URI
  help: the X stand for digits: put the number itself here
destinations.toml:3:1: error: unknown key `default` in [destination.a]
   |
 3 | default = "a"
   | ^^^^^^^
  expected: one of `only`, `name`, `description`, `method`, `brief`, `require`, `route`, `trunk`, `caller_id`, `headers`, `rule`, `on_failure`, `timeouts`, `undefined`, `reason`, `refer_to_host`, `header_placement`, `referred_by`, `notify_200`, `ask_return`, `limits`, `may_transfer`, `may_route`, `transfer`, `max_calls` or `max_cps`
  help: `default` stands at the top of the file, before the first [destination.ID]
destinations.toml:5:1: error: `X_Caller_ID`: only headers that begin with X-, and User-to-User, Diversion and History-Info are carried
   |
 5 | X_Caller_ID = "$caller_id"
   | ^^^^^^^^^^^
  expected: a name like X-Account-ID, or `User-to-User`, `Diversion`, `History-Info`
  help: did you mean `X-Caller-ID`?
"#,
    );
}

/// At the end of the file it stands in the last section, which has the headers.
#[test]
fn a_default_below_the_headers_of_a_destination_gets_the_right_word() {
    let table = "[destination.a]\nroute = \"+14155550123\"\n[destination.a.headers]\ndefault = \"a\"\n";
    let (_, printed) = read(&[("baton.toml", BATON), ("destinations.toml", table)]);
    let help = "help: `default` stands at the top of the file, before the first [destination.ID]";
    assert!(printed.contains(help) && !printed.contains("X-default"), "{printed}");
}

#[test]
fn a_trunk_that_is_open_to_strangers() {
    let accept = "accept_from = [\"0.0.0.0/0\", \"fc00::/7\", \"2000::/3\", \"41.0.0.0/8\"]\n";
    let baton = BATON.replace("[agent", &format!("{accept}[agent"));
    let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", TABLE)]);
    assert!(loaded.configuration.is_some(), "it is allowed");
    let warnings: Vec<&str> = printed.lines().filter(|line| line.contains("warning:")).collect();
    assert_eq!(
        warnings[..3],
        [
            "baton.toml:3:16: warning: `0.0.0.0/0` is open to strangers",
            "baton.toml:3:29: warning: `fc00::/7` is a whole private network",
            "baton.toml:3:41: warning: `2000::/3` is open to strangers",
        ],
        "{printed}"
    );
    assert!(!printed.contains("41.0.0.0/8` is"), "{printed}");
}

#[test]
fn a_trunk_that_is_a_whole_private_network() {
    let accept = "accept_from = [\"192.168.0.0/16\", \"10.1.2.0/24\", \"127.0.0.0/8\"]\n";
    let baton = BATON.replace("[agent", &format!("{accept}[agent"));
    let (loaded, printed) = read(&[("baton.toml", &baton), ("destinations.toml", TABLE)]);
    assert!(loaded.configuration.is_some(), "it is allowed");
    compare(
        &loaded,
        &printed,
        r#"
baton.toml:3:16: warning: `192.168.0.0/16` is a whole private network
   |
 3 | accept_from = ["192.168.0.0/16", "10.1.2.0/24", "127.0.0.0/8"]
   |                ^^^^^^^^^^^^^^^^
  help: whoever is on it calls as this trunk and speaks in its calls: name the PBX's own address
"#,
    );
}

//! Headers and variables of a handoff: precedence, what is left out, and what no value can do.

use crate::common::config::Config;
use crate::common::message::Message;
use crate::common::peer::Talking;
use crate::common::{Command, HandoffRequest, Refusal, ms};
use baton::call::event::EventKind;
use std::collections::BTreeMap;
use std::rc::Rc;

const ALL: &str = r#"
[destination.all]
route = "+14155550124"
[destination.all.headers]
X-Number  = "$called_number"
X-Name    = "${caller_name}"
X-Call    = "$call_id"
X-Sip     = "$sip_call_id"
X-Handoff-Is = "$handoff_id"
X-Agent   = "$agent@$trunk/$environment"
X-Where   = "$destination by $method"
X-Version = "$table_version"
X-Dollar  = "5 $$"
X-From    = "${header.X-Account}"
X-Maybe   = "${header.X-Nothing:-none}"
X-Gone    = "$nobody_set_this"
"#;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn refused(t: &Talking, refer: &Message) {
    t.call.reply(refer, 603);
    t.world.advance(ms(600));
    t.caller_hangs_up();
    t.world.assert_empty();
}

fn refer_with(t: &Talking, request: HandoffRequest) -> Rc<Message> {
    t.world.handoff_with(request);
    t.call.expect("REFER")
}

#[test]
fn the_built_in_variables() {
    let t = Talking::by(&Config::default().destination(ALL), |i| i.header("X-Account", "7"));
    let view = t.world.handoff("all");
    let refer = t.call.expect("REFER");
    assert_eq!(refer.header("X-Number"), "+14155550100");
    assert_eq!(refer.header("X-Name"), "Ada Lovelace");
    assert_eq!(refer.header("X-Call"), t.world.call_id());
    assert_eq!(refer.header("X-Sip"), t.call.call_id());
    assert_eq!(refer.header("X-Handoff-Is"), &*view.id);
    assert_eq!(refer.header("X-Agent"), "booking@pbx/production");
    assert_eq!(refer.header("X-Where"), "all by refer");
    assert_eq!(refer.header("X-Version"), "1");
    assert_eq!(refer.header("X-Dollar"), "5 $");
    assert_eq!(refer.header("X-From"), "7");
    assert_eq!(refer.header("X-Maybe"), "none");
    assert_eq!(refer.find("X-Gone"), None);
    let left: Vec<String> = t
        .world
        .events()
        .into_iter()
        .filter_map(|e| match e {
            EventKind::Undefined { header, .. } => Some(header),
            _ => None,
        })
        .collect();
    assert_eq!(left, ["X-Gone"]);
    assert_eq!(t.world.counters().headers_left_out, 1);
    refused(&t, &refer);
}

#[test]
fn a_request_wins_over_the_call_and_the_call_over_the_fallback() {
    let t = Talking::new();
    let variables = BTreeMap::from([("language".to_owned(), Some("es".to_owned()))]);
    t.world.command(Command::SetVariables { call: t.world.call_id(), variables });
    let refer = refer_with(&t, HandoffRequest::default());
    assert_eq!(refer.header("X-Language"), "es");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    let refer =
        refer_with(&t, HandoffRequest { variables: map(&[("language", "fr")]), ..Default::default() });
    assert_eq!(refer.header("X-Language"), "fr");
    t.call.reply(&refer, 603);
    t.world.advance(ms(600));
    // What a handoff gives is set on the call, and can be taken away again.
    assert_eq!(t.world.call().variables.get("language").map(String::as_str), Some("fr"));
    let variables = BTreeMap::from([("language".to_owned(), None)]);
    t.world.command(Command::SetVariables { call: t.world.call_id(), variables });
    let refer = refer_with(&t, HandoffRequest::default());
    assert_eq!(refer.header("X-Language"), "en");
    refused(&t, &refer);
}

#[test]
fn headers_of_the_decision_win_over_the_tables() {
    let t = Talking::new();
    let headers = map(&[("x-language", "de"), ("X-Extra", "1"), ("User-to-User", "00;encoding=hex")]);
    let refer = refer_with(&t, HandoffRequest { headers, ..Default::default() });
    assert_eq!(refer.header("X-Language"), "de");
    assert_eq!(refer.header("X-Extra"), "1");
    assert_eq!(refer.header("User-to-User"), "00;encoding=hex");
    refused(&t, &refer);
}

#[test]
fn an_undefined_variable_may_refuse_the_handoff() {
    let config = Config::default().destination(
        "[destination.strict]\nroute = \"+14155550124\"\nundefined = \"refuse\"\n[destination.strict.headers]\nX-Account = \"$account\"\n",
    );
    let t = Talking::with(&config);
    let request = HandoffRequest { destination: Some("strict".into()), ..Default::default() };
    let refusal = t.world.try_handoff(request.clone()).expect_err("refused");
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    let refer = refer_with(&t, HandoffRequest { variables: map(&[("account", "7")]), ..request });
    assert_eq!(refer.header("X-Account"), "7");
    refused(&t, &refer);
}

#[test]
fn an_anonymous_caller_leaves_its_header_out() {
    let t = Talking::by(&Config::default(), |i| i.from("<sip:anonymous@anonymous.invalid>"));
    let refer = refer_with(&t, HandoffRequest::default());
    assert_eq!(refer.find("X-Caller-ID"), None);
    refused(&t, &refer);
}

const HOSTILE: [&str; 10] = [
    "a\r\nX-Evil: 1",
    "a\nVia: x",
    "a\"b",
    "a>b<c",
    "a;b=c",
    "a%0d%0aX-Evil: 1",
    "a,b",
    "a?b&X-Evil=1",
    "日本語 ñ €",
    "a\0b\u{7f}c",
];

fn with_placement(placement: &str) -> Config {
    Config::default().destination(&format!(
        "[destination.placed]\nroute = \"+14155550124\"\nheader_placement = \"{placement}\"\n[destination.placed.headers]\nX-Value = \"$value\"\nX-After = \"after\"\n"
    ))
}

fn decoded(embedded: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = embedded.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = embedded.get(at + 1..at + 3).expect("two digits");
            out.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

#[test]
fn a_hostile_value_adds_nothing_to_the_request() {
    let t = Talking::with(&with_placement("request"));
    for value in HOSTILE {
        hostile(&t, value, |refer, clean| {
            assert_eq!(refer.find("X-Evil"), None);
            assert_eq!(refer.list("Via").len(), 1);
            match refer.find("X-Value") {
                Some(seen) => assert_eq!(seen, value),
                None => assert!(!clean, "{value:?} may stand there"),
            }
        });
    }
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_hostile_value_adds_nothing_to_the_refer_to() {
    let t = Talking::with(&with_placement("refer-to"));
    for value in HOSTILE {
        hostile(&t, value, |refer, clean| {
            let to = refer.header("Refer-To");
            assert!(to.starts_with("<sip:+14155550124@10.0.0.5?") && to.ends_with('>'), "{to}");
            let inside = &to[1..to.len() - 1];
            assert!(!inside.contains(['<', '>', '"', ' ', ',', ';', '\r', '\n']), "{to}");
            assert!(inside.is_ascii(), "{to}");
            let (_, embedded) = inside.split_once('?').expect("embedded headers");
            let names: Vec<&str> =
                embedded.split('&').filter_map(|h| h.split_once('=')).map(|h| h.0).collect();
            assert!(names.iter().all(|n| ["X-Value", "X-After"].contains(n)), "{to}");
            let seen = embedded.split('&').find_map(|h| h.strip_prefix("X-Value="));
            match seen {
                Some(seen) => assert_eq!(decoded(seen), value.as_bytes(), "{to}"),
                None => assert!(!clean, "{value:?} may stand there"),
            }
            assert_eq!(refer.find("X-Value"), None);
        });
    }
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn both_places() {
    let t = Talking::with(&with_placement("both"));
    let refer = refer_with(
        &t,
        HandoffRequest {
            destination: Some("placed".into()),
            variables: map(&[("value", "7 & 8")]),
            ..Default::default()
        },
    );
    assert_eq!(refer.header("X-Value"), "7 & 8");
    assert!(refer.header("Refer-To").contains("X-Value=7%20%26%208"), "{refer}");
    refused(&t, &refer);
}

/// Hands off with that value, by variable; a refusal of the value is as good as leaving it out.
fn hostile(t: &Talking, value: &str, check: impl FnOnce(&Message, bool)) {
    let clean = !value.chars().any(char::is_control);
    let request = HandoffRequest {
        destination: Some("placed".into()),
        variables: map(&[("value", value)]),
        ..Default::default()
    };
    match t.world.try_handoff(request) {
        Ok(_) => {
            let refer = t.call.expect("REFER");
            check(&refer, clean);
            t.call.reply(&refer, 603);
            t.world.advance(ms(600));
        }
        Err(Refusal::Invalid(_)) => assert!(!clean, "{value:?} may stand there"),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_hostile_header_of_the_decision_is_refused() {
    let t = Talking::new();
    for (name, value) in [("X-A", "1\r\nX-Evil: 1"), ("X-A: 1\r\nX-Evil", "1"), ("X-", "1"), ("X-Ä", "1")] {
        let request = HandoffRequest { headers: map(&[(name, value)]), ..Default::default() };
        let refusal = t.world.try_handoff(request).expect_err("refused");
        assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    }
    t.caller_hangs_up();
    t.world.assert_empty();
}

#[test]
fn a_tel_route_carries_no_embedded_headers() {
    let config = Config::default().destination(
        "[destination.tel]\nroute = \"tel:+14155550177\"\n[destination.tel.headers]\nX-A = \"1\"\n",
    );
    let t = Talking::with(&config);
    let refer = refer_with(&t, HandoffRequest { destination: Some("tel".into()), ..Default::default() });
    assert_eq!(refer.header("Refer-To"), "<tel:+14155550177>");
    assert_eq!(refer.header("X-A"), "1");
    refused(&t, &refer);
}

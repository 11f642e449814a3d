//! What a handoff to a destination would send, to the byte, and which rule makes each line.
//!
//! Nothing is written here a second time: the real engine is given the tables, an invented caller and an invented agent,
//! and the decision, at the time that is asked about; what it sends then is what it would send. Time is virtual and no
//! socket is open. Called by `http::render`.

mod moment;
mod origin;
mod play;

use crate::call::command::{Invalid, Refusal};
use crate::call::record::{RuleView, Stamp};
use crate::routing::Tables;
use crate::routing::explain::Cause;
use crate::routing::headers::{check_name, check_value};
use crate::routing::table::{Destination, Method, Step, Table};
use crate::routing::topology::{Agent, Trunk};
use crate::sip::leg::session_timer;
use crate::sip::{Listener, Transport, UnixMillis};
use jiff::tz::TimeZone;
pub use moment::Moment;
use moment::zone;
pub use origin::Origin;
use play::Play;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The caller where none is named.
const CALLER: &str = "+14155550142";

/// The call and the decision that are asked about. What is not said is invented.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    /// As in a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// As in a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utterance: Option<String>,
    /// As in a decision.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// As in a decision.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// As in a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// As in a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The caller's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Headers of the caller's INVITE.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub caller_headers: BTreeMap<String, String>,
    /// The trunk that the call comes by; the first one where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// The agent that has it; the first one of the environment where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// When the decision is made; now where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// The decision comes before the caller is answered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub before_answer: bool,
}

/// Which of the sockets reaches a peer.
pub trait Ways: std::fmt::Debug + Send + Sync {
    /// All of them.
    fn listeners(&self) -> &[Listener];
    /// The index of the one that such a message would leave by. `None`: no such socket.
    fn listener_for(&self, transport: Transport, peer: IpAddr) -> Option<u16>;
}

/// What the engines of this process work with.
#[derive(Clone, Debug)]
pub struct Ground {
    /// In force.
    pub tables: Arc<Tables>,
    /// The sockets, whose addresses stand in Via and Contact.
    pub ways: Arc<dyn Ways>,
    /// `[sip] session_timer`.
    pub session_timer: Option<session_timer::Settings>,
    /// The zone in which a time without one is read where the destination has no hours.
    pub zone: TimeZone,
}

/// One line of a message and what made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// As it stands on the wire, without its line end.
    pub text: String,
    /// Which kind of rule.
    pub by: Origin,
    /// Which rule: the place in the table or the configuration, or a word.
    pub rule: String,
}

/// One message that would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// `REFER`, `INVITE`, `BYE`, or a status like `302`.
    pub what: String,
    /// `caller` or `target`.
    pub to: String,
    /// `udp` or `tcp`.
    pub transport: String,
    /// Its length, in bytes.
    pub bytes: usize,
    /// Start line and headers, in order.
    pub lines: Vec<Line>,
    /// What follows the empty line.
    pub body: String,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Whose table.
    pub environment: String,
    /// 0: the table was not numbered yet.
    pub table_version: u64,
    /// The destination that the decision names.
    pub destination: String,
    /// When.
    pub at: Stamp,
    /// The same as a clock shows it there, with the zone: that of the destination's hours, or this machine's.
    pub local_time: String,
    /// The trunk that the invented call came by.
    pub trunk: String,
    /// The agent that has it.
    pub agent: String,
    /// The method by which it begins.
    pub method: String,
    /// Where it goes.
    pub route: Option<String>,
    /// The rules that lead there.
    pub rules: Vec<RuleView>,
    /// The messages, in the order in which they are sent.
    pub messages: Vec<Sent>,
    /// Headers that are left out, and why.
    pub left_out: Vec<String>,
    /// The hosts whose address is not known before they are looked up, where the way to them decides which address of ours stands
    /// in Via, Contact and Referred-By.
    pub way_depends_on: Vec<String>,
    /// What follows a failed attempt, by cause; `lost_by_receiver` has nothing.
    pub on_failure: BTreeMap<String, Vec<String>>,
}

/// Plays it through.
///
/// # Errors
/// What a decision in a live call would be refused with; and names of trunks, agents and environments that are none.
pub fn render(
    ground: &Ground,
    environment: &str,
    destination: &str,
    wish: &Wish,
    now: UnixMillis,
) -> Result<Rendered, Refusal> {
    let tables = &ground.tables;
    let table = tables.environments.get(environment).ok_or_else(|| unknown("environment", environment))?;
    check(wish)?;
    let trunk = trunk(tables, wish)?;
    let agent = agent(tables, environment, wish)?;
    let zone = zone(table, destination).unwrap_or_else(|| ground.zone.clone());
    let at = match wish.at {
        Some(moment) => moment.read_in(&zone)?,
        None => Stamp(now),
    };
    let mut play = Play::begin(ground, table, (&trunk, &agent), wish, at)?;
    let handoff = play.decide(destination, wish)?;
    let attempt = handoff.attempts.first();
    let found = attempt.map_or(destination, |attempt| &attempt.destination);
    let found = table.find(found).ok_or_else(|| unknown("destination", destination))?;
    let rules = &handoff.rules;
    let messages = play.messages.iter().map(|(flow, to, text)| {
        let lines =
            origin::lines(text, *to, &origin::Known { wish, destination: found, trunk: &trunk, rules });
        Sent {
            what: text.status().map_or_else(|| text.method().to_owned(), |status| status.to_string()),
            to: to.as_str().to_owned(),
            transport: flow.transport.as_param().to_owned(),
            bytes: text.write().len(),
            lines,
            body: text.body.clone(),
        }
    });
    Ok(Rendered {
        environment: environment.to_owned(),
        table_version: table.version,
        destination: destination.to_owned(),
        at,
        local_time: at.local(&zone),
        trunk: trunk.id.to_string(),
        agent: agent.id.to_string(),
        method: attempt.map(|attempt| attempt.method.to_string()).unwrap_or_default(),
        route: attempt.and_then(|attempt| attempt.route.as_deref().map(Into::into)),
        rules: rules.clone(),
        messages: messages.collect(),
        left_out: play.left_out.clone(),
        way_depends_on: play.unsure.iter().cloned().collect(),
        on_failure: ladder(table, found, wish.before_answer),
    })
}

/// What goes into the invented INVITE must not add a line to it.
fn check(wish: &Wish) -> Result<(), Refusal> {
    let mut invalid = Vec::new();
    let sound = |number: &str| {
        (1..=64).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
    };
    if wish.caller.as_deref().is_some_and(|caller| !sound(caller)) {
        let message = "a number or a user part: letters, digits, `+`, `-`, `.` and `_`".to_owned();
        invalid.push(Invalid { field: "caller".to_owned(), message });
    }
    for (name, value) in &wish.caller_headers {
        let fault = check_name(name)
            .map_err(|e| e.to_string())
            .and_then(|_| check_value(value).map_err(|e| e.to_string()));
        if let Err(message) = fault {
            invalid.push(Invalid { field: format!("caller_headers.{name}"), message });
        }
    }
    if invalid.is_empty() { Ok(()) } else { Err(Refusal::Invalid(invalid)) }
}

fn unknown(what: &str, id: &str) -> Refusal {
    Refusal::Invalid(vec![Invalid { field: what.to_owned(), message: format!("there is no {what} `{id}`") }])
}

fn trunk(tables: &Tables, wish: &Wish) -> Result<Arc<Trunk>, Refusal> {
    let topology = &tables.topology;
    match &wish.trunk {
        Some(id) => topology.trunk(id).cloned().ok_or_else(|| unknown("trunk", id)),
        None => topology.trunks().first().cloned().ok_or_else(|| {
            let message = "there is no trunk that a call could come by".to_owned();
            Refusal::Invalid(vec![Invalid { field: "trunk".to_owned(), message }])
        }),
    }
}

/// The agent that is named, or the first of the environment, or any as if it were of it.
fn agent(tables: &Tables, environment: &str, wish: &Wish) -> Result<Agent, Refusal> {
    let agents = tables.topology.agents();
    let found = match &wish.agent {
        Some(id) => Some(tables.topology.agent(id).ok_or_else(|| unknown("agent", id))?),
        None => agents.iter().find(|agent| &*agent.environment == environment).or(agents.first()),
    };
    let found = found.ok_or_else(|| {
        let message = "there is no agent that could decide".to_owned();
        Refusal::Invalid(vec![Invalid { field: "agent".to_owned(), message }])
    })?;
    Ok(Agent {
        environment: environment.into(),
        numbers: Vec::new(),
        wildcard: true,
        max_calls: 0,
        ..Agent::clone(found)
    })
}

/// The steps by cause, each with where it goes. `early`: the caller is not answered, and whatever is no `bye` or `redirect` is
/// an INVITE, which no second step of the same destination repeats.
fn ladder(table: &Table, destination: &Destination, early: bool) -> BTreeMap<String, Vec<String>> {
    let called = |method: Method| matches!(method, Method::Refer | Method::Invite | Method::Attended);
    let name = |method: Method| if early && called(method) { Method::Invite.name() } else { method.name() };
    let again = |step: &&Step| match step {
        Step::Method(method) => early && called(*method) && called(destination.method),
        Step::Destination(_) | Step::Agent | Step::Bye | Step::Hangup => false,
    };
    let told = |step: &Step| match step {
        Step::Destination(id) => match table.find(id) {
            // Where they lead is told where it is rendered itself.
            Some(there) if !there.rules.is_empty() => format!("{id} (by its rules)"),
            Some(there) => match &there.route {
                Some(route) => format!("{id} ({} {route})", name(there.method)),
                None => format!("{id} ({})", name(there.method)),
            },
            None => id.to_string(),
        },
        Step::Method(_) | Step::Agent | Step::Bye | Step::Hangup => step.name().to_owned(),
    };
    Cause::ALL
        .into_iter()
        .filter(|cause| *cause != Cause::LostByReceiver)
        .map(|cause| {
            let steps =
                destination.on_failure.steps(cause).iter().filter(|step| !again(step)).map(told).collect();
            (cause.name().to_owned(), steps)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::file::{Report, Section, Source};
    use crate::routing::table;
    use crate::routing::topology::read::Parties;
    use crate::routing::topology::secret::{SecretSource, Secrets};
    use crate::sip::Transport;
    use std::path::Path;

    const TABLE: &str = r#"
default = "desk"
[destination.desk]
route = "+14155550123"
on_failure = { refused = ["invite", "voice"], default = ["agent"] }
[destination.desk.headers]
X-Caller-ID = "$caller_id"
X-Account = "$account"
X-Why = "${reason:-none}"
X-Tier = "${header.X-Tier}"
[destination.voice]
method = "invite"
route = "sip:voice@10.0.0.9;transport=tcp"
caller_id = "+14155550000"
[destination.manager]
method = "attended"
route = "sip:200@10.0.0.5"
on_failure = ["reception"]
[destination.menu]
method = "bye"
reason = 'SIP;cause=200;text="Bye now"'
on_failure = ["desk"]
[destination.away]
method = "redirect"
route = "+14155550199"
[destination.reception]
route = "+14155550120"
rule = [
    { hours = "Mo-Fr 08:00-18:00; PH off", timezone = "America/New_York", country = "US", use = "desk" },
    { when = 'language == "es"', route = "sip:es@10.0.0.9" },
    { weight = 1, method = "invite" },
]
"#;

    struct NoSecrets;

    impl Secrets for NoSecrets {
        fn fetch(&self, _: &SecretSource) -> Result<crate::observe::secret::Secret, String> {
            Err("none".to_owned())
        }
    }

    /// Those of one address, and one that reaches this machine alone.
    #[derive(Debug)]
    struct Sockets(Vec<Listener>);

    impl Ways for Sockets {
        fn listeners(&self) -> &[Listener] {
            &self.0
        }

        fn listener_for(&self, transport: Transport, peer: IpAddr) -> Option<u16> {
            let fits = |one: &Listener| {
                one.transport == transport && one.local.ip().is_loopback() == peer.is_loopback()
            };
            self.0.iter().position(fits).and_then(|at| u16::try_from(at).ok())
        }
    }

    fn ground() -> Ground {
        ground_with("sip:pbx.example.com")
    }

    /// With the trunk there.
    fn ground_with(trunk: &str) -> Ground {
        let text = "[trunk.pbx]\naddress = \"TRUNK\"\naccept_from = [\"10.0.0.0/16\"]\n\
                    [agent.booking]\naddress = \"sip:booking@agents.example.com\"\nnumbers = [\"1\"]\n\
                    [environment.production]\ntable = \"t\"\n[environment.sandbox]\ntable = \"s\"\n";
        let text = text.replace("TRUNK", trunk);
        let source = Source::new("c", &text);
        let mut report = Report::new(&source);
        let tree = report.parse();
        let mut top = Section::new("", 0..0, &tree);
        let parties = Parties::read(&mut top, &mut report, &NoSecrets, Path::new(""));
        let told: Vec<String> = report.finish().iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{told:#?}");
        let environments = ["production", "sandbox"].map(|id| {
            let (table, told) = table::read(&Source::new("t", TABLE), &id.into(), None);
            (Box::from(id), Arc::new(table.unwrap_or_else(|| panic!("{told:#?}"))))
        });
        let listener = |transport, port| Listener {
            transport,
            local: format!("10.0.0.1:{port}").parse().expect("an address"),
            advertised: format!("203.0.113.10:{port}").into(),
        };
        Ground {
            tables: Arc::new(Tables {
                serial: 1,
                topology: parties.topology(),
                environments: environments.into(),
            }),
            ways: Arc::new(Sockets(vec![
                listener(Transport::Udp, 5060),
                listener(Transport::Tcp, 5060),
                Listener {
                    transport: Transport::Udp,
                    local: "127.0.0.1:5060".parse().expect("an address"),
                    advertised: "127.0.0.1:5060".into(),
                },
            ])),
            session_timer: None,
            zone: TimeZone::fixed(jiff::tz::offset(1)),
        }
    }

    fn rendered(destination: &str, wish: &Wish) -> Rendered {
        render(&ground(), "production", destination, wish, UnixMillis(1_790_000_000_000))
            .expect("it can be rendered")
    }

    fn line<'a>(sent: &'a Sent, name: &str) -> &'a Line {
        let found = sent.lines.iter().find(|line| line.text.starts_with(name));
        found.unwrap_or_else(|| panic!("no {name} in {:#?}", sent.lines))
    }

    #[track_caller]
    fn says(sent: &Sent, text: &str, by: Origin, rule: &str) {
        let found = line(sent, text.split(' ').next().expect("a word"));
        assert_eq!((&*found.text, found.by, &*found.rule), (text, by, rule));
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_refer_with_the_rule_of_each_line() {
        let wish = Wish {
            variables: given(&[("account", "4711")]),
            headers: given(&[("X-Why", "because")]),
            caller_headers: given(&[("X-Tier", "gold")]),
            ..Wish::default()
        };
        let desk = rendered("desk", &wish);
        assert_eq!((&*desk.method, desk.route.as_deref()), ("refer", Some("+14155550123")));
        assert_eq!((&*desk.trunk, &*desk.agent, desk.table_version), ("pbx", "booking", 0));
        let [refer] = &desk.messages[..] else { panic!("{:#?}", desk.messages) };
        assert_eq!((&*refer.what, &*refer.to, &*refer.transport), ("REFER", "caller", "udp"));
        says(refer, "Refer-To: <sip:+14155550123@pbx.example.com>", Origin::Table, "destination.desk.route");
        says(
            refer,
            "Referred-By: <sip:+14155550100@203.0.113.10:5060>",
            Origin::Profile,
            "referred_by, the default",
        );
        says(
            refer,
            "X-Caller-ID: +14155550142",
            Origin::Table,
            "destination.desk.headers.X-Caller-ID = \"$caller_id\"",
        );
        says(refer, "X-Account: 4711", Origin::Table, "destination.desk.headers.X-Account = \"$account\"");
        says(refer, "X-Why: because", Origin::Decision, "headers.X-Why");
        says(refer, "X-Tier: gold", Origin::Table, "destination.desk.headers.X-Tier = \"${header.X-Tier}\"");
        assert_eq!(line(refer, "Via").by, Origin::BuiltIn);
        assert_eq!(desk.left_out, Vec::<String>::new());
        assert_eq!(desk.on_failure["refused"], ["invite", "voice (invite sip:voice@10.0.0.9;transport=tcp)"]);
        assert_eq!(desk.on_failure["busy"], ["agent"]);
        assert_eq!(desk.on_failure["unknown"], Vec::<String>::new());
        assert_eq!(rendered("desk", &wish), desk, "the same question gets the same answer");
    }

    #[test]
    fn the_host_is_that_of_the_socket_which_reaches_the_trunk() {
        for (trunk, host) in [("sip:127.0.0.1:5070", "127.0.0.1"), ("sip:10.0.0.9", "203.0.113.10")] {
            let wish = Wish::default();
            let desk = render(&ground_with(trunk), "production", "desk", &wish, UnixMillis(0));
            let desk = desk.expect("it can be rendered");
            for (name, before) in [("Via:", "UDP "), ("Contact:", "baton@"), ("Referred-By:", "@")] {
                let text = &line(&desk.messages[0], name).text;
                assert!(text.contains(&format!("{before}{host}:5060")), "{trunk}: {text}");
            }
            assert_eq!(desk.way_depends_on, Vec::<String>::new());
        }
    }

    #[test]
    fn a_host_that_depends_on_the_way_to_a_name_is_said() {
        assert_eq!(rendered("desk", &Wish::default()).way_depends_on, ["pbx.example.com"]);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let desk = rendered("desk", &Wish::default());
        assert_eq!(
            desk.left_out,
            [
                "X-Account: the variable `account` is undefined",
                "X-Tier: the variable `header.X-Tier` is undefined"
            ]
        );
    }

    #[test]
    fn an_invite_to_a_target() {
        let voice = rendered("voice", &Wish::default());
        let [invite] = &voice.messages[..] else { panic!("{:#?}", voice.messages) };
        assert_eq!((&*invite.what, &*invite.to, &*invite.transport), ("INVITE", "target", "tcp"));
        let start = &invite.lines[0];
        assert_eq!(
            (&*start.text, start.by),
            ("INVITE sip:voice@10.0.0.9;transport=tcp SIP/2.0", Origin::Table)
        );
        let from = line(invite, "From");
        assert!(from.text.starts_with("From: <sip:+14155550000@203.0.113.10"), "{from:?}");
        assert_eq!((from.by, &*from.rule), (Origin::Table, "destination.voice.caller_id"));
        says(invite, "To: <sip:voice@10.0.0.9;transport=tcp>", Origin::Table, "destination.voice.route");
        assert!(invite.body.contains("m=audio"), "{}", invite.body);
        assert!(invite.bytes > invite.body.len());
    }

    #[test]
    fn an_attended_transfer_with_both_its_messages() {
        let manager = rendered("manager", &Wish::default());
        let [invite, refer] = &manager.messages[..] else { panic!("{:#?}", manager.messages) };
        assert_eq!((&*invite.what, &*refer.what), ("INVITE", "REFER"));
        assert!(line(refer, "Refer-To").text.contains("?Replaces="), "{refer:#?}");
        assert_eq!(manager.on_failure["busy"], ["reception (by its rules)"]);
    }

    #[test]
    fn a_hand_back_and_a_redirection() {
        let menu = rendered("menu", &Wish::default());
        let [bye] = &menu.messages[..] else { panic!("{:#?}", menu.messages) };
        assert_eq!((&*bye.what, &*bye.to), ("BYE", "caller"));
        says(bye, "Reason: SIP;cause=200;text=\"Bye now\"", Origin::Table, "destination.menu.reason");
        let early = Wish { before_answer: true, ..Wish::default() };
        let menu = rendered("menu", &early);
        assert_eq!(&*menu.messages[0].what, "480");
        says(
            &menu.messages[0],
            "Reason: SIP;cause=200;text=\"Bye now\"",
            Origin::Table,
            "destination.menu.reason",
        );
        let away = rendered("away", &early);
        let [moved] = &away.messages[..] else { panic!("{:#?}", away.messages) };
        assert_eq!((&*moved.what, &*moved.to), ("302", "caller"));
        says(moved, "Contact: <sip:+14155550199@pbx.example.com>", Origin::Table, "destination.away.route");
        let desk = rendered("desk", &early);
        assert_eq!(
            (&*desk.messages[0].what, &*desk.messages[0].to),
            ("INVITE", "target"),
            "there is no REFER yet"
        );
        let voice = "voice (invite sip:voice@10.0.0.9;transport=tcp)";
        assert_eq!(desk.on_failure["refused"], [voice], "it was called already");
        let menu = rendered("menu", &early);
        assert_eq!(menu.on_failure["busy"], ["desk (invite +14155550123)"]);
    }

    #[test]
    fn an_environment_without_an_agent_borrows_one() {
        let there = render(&ground(), "sandbox", "desk", &Wish::default(), UnixMillis(0))
            .expect("it can be rendered");
        assert_eq!((&*there.environment, &*there.agent, there.messages.len()), ("sandbox", "booking", 1));
    }

    #[test]
    fn what_cannot_be_decided_is_refused_as_in_a_live_call() {
        let refused = |environment: &str, destination: &str, wish: Wish| {
            render(&ground(), environment, destination, &wish, UnixMillis(0))
                .expect_err("refused")
                .to_string()
        };
        assert!(refused("production", "desc", Wish::default()).contains("did you mean `desk`?"));
        assert!(refused("nowhere", "desk", Wish::default()).contains("no environment `nowhere`"));
        let wish = Wish { trunk: Some("x".to_owned()), ..Wish::default() };
        assert!(refused("production", "desk", wish).contains("no trunk `x`"));
        let wish = Wish { caller: Some("1\r\nX-Evil: 1".to_owned()), ..Wish::default() };
        assert!(refused("production", "desk", wish).starts_with("caller:"));
        let wish = Wish { caller_headers: given(&[("Via", "x"), ("X-A", "b\r\nc")]), ..Wish::default() };
        let told = refused("production", "desk", wish);
        assert!(told.contains("caller_headers.Via") && told.contains("caller_headers.X-A"), "{told}");
        assert!(refused("production", "away", Wish::default()).contains("redirect"));
    }

    /// A time without a zone is that of the destination's hours; Christmas is a holiday there.
    #[test]
    fn the_rules_that_would_be_taken_then() {
        let ask = |at: &str, language: &str| {
            let at = Some(at.parse().expect("a time"));
            let found = rendered(
                "reception",
                &Wish { at, variables: given(&[("language", language)]), ..Wish::default() },
            );
            let rules: Vec<String> = found.rules.iter().map(ToString::to_string).collect();
            (rules.join(" "), found)
        };
        let (rules, open) = ask("2026-12-24T10:00", "es");
        assert_eq!((&*rules, open.route.as_deref()), ("reception rule 1: desk", Some("+14155550123")));
        assert_eq!(open.at.to_string(), "2026-12-24T15:00:00.000Z");
        assert_eq!(open.local_time, "2026-12-24 10:00 America/New_York");
        says(
            &open.messages[0],
            "Refer-To: <sip:+14155550123@pbx.example.com>",
            Origin::Table,
            "destination.desk.route",
        );
        let (rules, spanish) = ask("2026-12-25T10:00", "es");
        assert_eq!(rules, "reception rule 2: refer sip:es@10.0.0.9");
        says(
            &spanish.messages[0],
            "Refer-To: <sip:es@10.0.0.9>",
            Origin::Table,
            "destination.reception.rule 2: route",
        );
        let (rules, drawn) = ask("2026-12-25T10:00", "");
        assert_eq!((&*rules, &*drawn.method), ("reception rule 3: invite +14155550120 (1 of 1)", "invite"));
        says(
            &drawn.messages[0],
            "INVITE sip:+14155550120@pbx.example.com SIP/2.0",
            Origin::Table,
            "destination.reception.route",
        );
        // Where no hours count, it is this machine's clock.
        let at = Some("2026-12-25T10:00".parse().expect("a time"));
        let desk = rendered("desk", &Wish { at, ..Wish::default() });
        assert_eq!(
            (&*desk.at.to_string(), &*desk.local_time),
            ("2026-12-25T09:00:00.000Z", "2026-12-25 10:00 +01")
        );
    }
}

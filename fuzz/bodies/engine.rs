//! Bytes through a whole engine: they choose what happens next (time, a message, a mutated or repeated one, a loss, a
//! command, new tables, a drain), and whatever they choose, nothing panics, nothing spins, every call ends once, and at
//! the end nothing is left.

use baton::call::command::{Command, HandoffRequest};
use baton::call::engine::{Engine, Input, Output, Settings};
use baton::call::event::EventKind;
use baton::call::ticket::Ticket;
use baton::observe::secret::Secret;
use baton::routing::file::{Report, Section, Source};
use baton::routing::table;
use baton::routing::tables::Tables;
use baton::routing::topology::read::Parties;
use baton::routing::topology::secret::{SecretSource, Secrets};
use baton::sip::ident::{Seed, SlotKey};
use baton::sip::{self, Answer, Flow, Listener, Now, Question, Time, Transport, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const CONFIG: &str = r#"
[trunk.pbx]
address = "sip:10.0.0.5:5060"
trusted = true
auth = { username = "baton", password = "env:PASSWORD" }
[agent.booking]
address = "sip:booking@10.0.0.80:5080"
numbers = ["*"]
environment = "production"
[environment.production]
table = "t.toml"
"#;

const TABLE: &str = r#"
default = "desk"
[destination.desk]
route = "+14155550123"
headers = { X-A = "$caller_id", X-B = "${language:-en}" }
[destination.hard]
route = "+14155550124"
on_failure = { default = ["hangup"], unknown = ["bye"] }
[destination.back]
method = "bye"
"#;

struct Fixed;

impl Secrets for Fixed {
    fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
        Ok(Secret::new("s3cret"))
    }
}

fn tables() -> Arc<Tables> {
    static TABLES: OnceLock<Arc<Tables>> = OnceLock::new();
    Arc::clone(TABLES.get_or_init(|| {
        let source = Source::new("baton.toml", CONFIG);
        let mut report = Report::new(&source);
        let tree = report.parse();
        let mut top = Section::new("", 0..0, &tree);
        let parties = Parties::read(&mut top, &mut report, &Fixed, std::path::Path::new("."));
        assert!(!report.has_errors(), "the configuration above is valid");
        let source = Source::new("t.toml", TABLE);
        let (table, faults) = table::read(&source, &"production".into(), None);
        let table = table.unwrap_or_else(|| panic!("the table above is valid: {faults:?}"));
        let environments = BTreeMap::from([("production".into(), Arc::new(table))]);
        Arc::new(Tables { serial: 1, topology: parties.topology(), environments })
    }))
}

const PBX: &str = "10.0.0.5:5060";
const AGENT: &str = "10.0.0.80:5080";

/// The engine and what surrounds it.
struct World {
    engine: Engine,
    now: Now,
    until: Option<Time>,
    /// Everything that was said to Baton, to be said again.
    said: Vec<(Flow, Vec<u8>)>,
    /// What Baton said, to be answered.
    heard: Vec<(Flow, Vec<u8>)>,
    calls: BTreeSet<String>,
    handoffs: BTreeSet<String>,
    questions: Vec<(Ticket, Box<[u8]>)>,
    recalled: Vec<u64>,
    replies: u64,
    asked: u64,
}

fn flow(peer: &str) -> Flow {
    let peer = peer.parse().expect("an address");
    Flow { transport: Transport::Udp, listener: 0, peer, connection: 0 }
}

impl World {
    fn new() -> World {
        let now = Now { mono: Time(1_000_000), wall: UnixMillis(1_772_442_000_000) };
        let local = "192.0.2.10:5060".parse().expect("an address");
        let listeners = vec![Listener { transport: Transport::Udp, local, advertised: "192.0.2.10".into() }];
        let stack = sip::Settings {
            listeners,
            parties: vec![],
            seed: Seed([3; 32]),
            product: "Baton".into(),
            session_timer: Some(sip::leg::session_timer::Settings::default()),
        };
        let settings = Settings {
            stack,
            slot_key: SlotKey([9; 16]),
            max_calls: 8,
            occupancy: Default::default(),
            announced: Default::default(),
            max_duration: Duration::from_secs(3600),
            tables: tables(),
            shows_messages: false,
        };
        let engine = Engine::new(now, settings);
        let mut world = World {
            engine,
            now,
            until: None,
            said: Vec::new(),
            heard: Vec::new(),
            calls: BTreeSet::new(),
            handoffs: BTreeSet::new(),
            questions: Vec::new(),
            recalled: Vec::new(),
            replies: 0,
            asked: 0,
        };
        world.drain();
        world
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..100_000 {
            match self.engine.poll() {
                Output::Transmit { flow, bytes, .. } => {
                    if self.heard.len() < 256 {
                        self.heard.push((flow, bytes.to_vec()));
                    }
                }
                Output::Ask { ticket, question: Question::Locate(uri), .. } => {
                    self.questions.push((ticket, uri))
                }
                Output::Reply { .. } => self.replies += 1,
                Output::Event(event) => self.told(event.what),
                Output::Adopted { .. } => {}
                Output::Recall { id } => self.recalled.push(id),
                Output::Idle { until } => {
                    self.until = until;
                    return;
                }
            }
        }
        panic!("the engine never falls idle");
    }

    fn told(&mut self, what: EventKind) {
        match what {
            EventKind::CallStarted(call) => assert!(self.calls.insert(call.id), "a call starts once"),
            EventKind::CallEnded(record) => assert!(self.calls.remove(&record.call.id), "a call ends once"),
            EventKind::HandoffStarted(view) => {
                assert!(self.handoffs.insert(view.id.to_string()), "a handoff starts once")
            }
            EventKind::HandoffEnded { handoff, .. } => {
                assert!(self.handoffs.remove(&*handoff.id), "a handoff ends once");
                assert!(handoff.state.is_final());
            }
            EventKind::Fault { message, .. } => panic!("a fault in Baton: {message}"),
            _ => {}
        }
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now.mono + time;
        let mut ticks = 0u32;
        while let Some(at) = self.until.filter(|at| *at <= end) {
            self.to(at.max(self.now.mono));
            self.input(Input::Tick);
            ticks += 1;
            assert!(ticks < 1_000_000, "the engine asks for Ticks without end");
        }
        self.to(end);
    }

    fn to(&mut self, at: Time) {
        self.now.wall.0 += ((at - self.now.mono).as_micros() / 1000) as i64;
        self.now.mono = at;
    }

    fn say(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.input(Input::Message { flow, bytes: &bytes });
        if self.said.len() < 256 {
            self.said.push((flow, bytes));
        }
    }

    fn command(&mut self, command: Command) {
        self.asked += 1;
        self.input(Input::Command { id: self.asked, command });
        assert_eq!(self.asked, self.replies, "each command gets one reply, at once");
    }
}

/// Chooses by the bytes; all zero when they are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { usize::from(self.byte()) % bound }
    }
}

/// Runs an engine by what `bytes` choose, and holds what it promises.
pub fn engine_body(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut world = World::new();
    let mut calls = 0u32;
    while !choices.0.is_empty() {
        step(&mut world, &mut choices, &mut calls);
    }
    // Whoever is still there is hung up, and all timers run out.
    for call in world.calls.clone() {
        world.command(Command::HangUp { call });
    }
    for (ticket, _) in std::mem::take(&mut world.questions) {
        world.input(Input::Answer { ticket, answer: Answer::Located(&[]) });
    }
    world.advance(Duration::from_secs(400));
    assert!(world.calls.is_empty(), "calls that never end: {:?}", world.calls);
    assert!(world.handoffs.is_empty(), "handoffs that never end: {:?}", world.handoffs);
    assert!(world.engine.is_empty(), "something is left in the engine; next deadline {:?}", world.until);
}

fn step(world: &mut World, choices: &mut Choices<'_>, calls: &mut u32) {
    match choices.byte() % 16 {
        0 => {
            *calls += 1;
            let text = invite(*calls, choices.byte());
            world.say(flow(PBX), text.into_bytes());
        }
        1..=6 => answer(world, choices),
        7 => repeat(world, choices),
        8 => {
            let millis = [0, 1, 100, 500, 1_000, 8_000, 32_000, 61_000][choices.below(8)];
            world.advance(Duration::from_millis(millis));
        }
        9 => {
            if !world.questions.is_empty() {
                let at = choices.below(world.questions.len());
                let (ticket, uri) = world.questions.remove(at);
                let agent = uri.windows(4).any(|w| w == b"0.80");
                let flows = [flow(if agent { AGENT } else { PBX })];
                let found = if choices.byte().is_multiple_of(8) { &[][..] } else { &flows[..] };
                world.input(Input::Answer { ticket, answer: Answer::Located(found) });
            }
        }
        10 => {
            let destination = [Some("desk"), Some("hard"), Some("back"), Some("no"), None][choices.below(5)];
            let request =
                HandoffRequest { destination: destination.map(str::to_owned), ..Default::default() };
            if let Some(call) = world.calls.iter().nth(choices.below(world.calls.len())).cloned() {
                world.command(Command::Handoff { call, request: Box::new(request) });
            }
        }
        11 => other_command(world, choices),
        12 => {
            let id = world.recalled.pop().unwrap_or_else(|| u64::from(choices.byte()));
            if choices.byte().is_multiple_of(2) {
                world.input(Input::SendFailed { id });
            } else {
                world.input(Input::Sent { id });
            }
        }
        13 => in_dialog(world, choices),
        14 => {
            // Raw bytes.
            let length = choices.below(64);
            let raw: Vec<u8> = (0..length).map(|_| choices.byte()).collect();
            world.say(flow(PBX), raw);
        }
        _ => {
            // Something that Baton said comes back to it.
            if let Some((from, bytes)) = world.heard.get(choices.below(world.heard.len())).cloned() {
                world.say(from, bytes);
            }
        }
    }
}

fn other_command(world: &mut World, choices: &mut Choices<'_>) {
    let call = world.calls.iter().nth(choices.below(world.calls.len())).cloned().unwrap_or_default();
    let handoff = world.handoffs.iter().next().cloned().unwrap_or_default();
    match choices.byte() % 7 {
        0 => world.command(Command::CancelHandoff { handoff }),
        1 => world.command(Command::ShowHandoff { handoff }),
        2 => world.command(Command::ShowCall { call }),
        3 => world.command(Command::List { after: None, limit: 100 }),
        4 => world.command(Command::HangUp { call }),
        5 => world.input(Input::Tables(tables())),
        _ => world.command(Command::Count),
    }
}

fn invite(number: u32, flavour: u8) -> String {
    let body = if flavour & 1 == 0 { SDP } else { "" };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let routes = if flavour & 2 == 0 { "" } else { "Record-Route: <sip:10.0.0.5;lr>\r\n" };
    format!(
        "INVITE sip:+14155550100@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKi{number}\r\n{routes}Max-Forwards: {}\r\nFrom: <sip:+14155550199@pbx>;tag=f{number}\r\nTo: <sip:+14155550100@192.0.2.10>\r\nCall-ID: fuzz-{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:pbx@{PBX}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        if flavour & 0xf0 == 0xf0 { 0 } else { 70 },
        body.len()
    )
}

const SDP: &str =
    "v=0\r\no=x 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

/// An answer to something that Baton sent: a response to a request, an ACK (or the next request) to a response.
fn answer(world: &mut World, choices: &mut Choices<'_>) {
    // Mostly the latest.
    let back = choices.below(4).min(world.heard.len().saturating_sub(1));
    let Some((from, bytes)) = world.heard.len().checked_sub(1 + back).map(|at| world.heard[at].clone())
    else {
        return;
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (cseq, to) = (field(&text, "CSeq"), field(&text, "To"));
    let message = if text.starts_with("SIP/2.0") {
        acknowledge(&text, from)
    } else {
        let status =
            [200, 200, 200, 202, 180, 183, 100, 486, 603, 401, 481, 491, 503, 302][choices.below(14)];
        let tag = if to.contains(";tag=") { "" } else { ";tag=peer" };
        let with_sdp = status < 300 && cseq.ends_with("INVITE") && status != 100;
        let body = if with_sdp { SDP } else { "" };
        let kind = if with_sdp { "Content-Type: application/sdp\r\n" } else { "" };
        let extra = match status {
            401 => "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
            302 => "Contact: <sip:back@baton>\r\n",
            _ => "",
        };
        let contact =
            if status == 302 { String::new() } else { format!("Contact: <sip:p@{}>\r\n", from.peer) };
        format!(
            "SIP/2.0 {status} X\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {cseq}\r\n{contact}{extra}{kind}Content-Length: {}\r\n\r\n{body}",
            field(&text, "Via"),
            field(&text, "From"),
            field(&text, "Call-ID"),
            body.len()
        )
    };
    let mut bytes = message.into_bytes();
    mutate(&mut bytes, choices);
    world.say(from, bytes);
}

fn acknowledge(response: &str, from: Flow) -> String {
    let number = field(response, "CSeq").split(' ').next().unwrap_or("1").to_owned();
    format!(
        "ACK sip:baton@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKa{number}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} ACK\r\nContent-Length: 0\r\n\r\n",
        from.peer,
        field(response, "From"),
        field(response, "To"),
        field(response, "Call-ID")
    )
}

/// A request of a peer's in a dialog that Baton has spoken in.
fn in_dialog(world: &mut World, choices: &mut Choices<'_>) {
    let Some((from, bytes)) = world.heard.get(choices.below(world.heard.len())).cloned() else { return };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (own, theirs) = if text.starts_with("SIP/2.0") {
        (field(&text, "From").to_owned(), field(&text, "To").to_owned())
    } else {
        let to = field(&text, "To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=peer" };
        (format!("{to}{tag}"), field(&text, "From").to_owned())
    };
    let number = 2 + usize::from(choices.byte());
    let kinds = [
        "BYE",
        "NOTIFY",
        "NOTIFY",
        "REFER",
        "INVITE",
        "UPDATE",
        "INFO",
        "OPTIONS",
        "CANCEL",
        "PRACK",
        "SUBSCRIBE",
    ];
    let method = kinds[choices.below(kinds.len())];
    let fragments = ["SIP/2.0 200 OK\r\n", "SIP/2.0 100 Trying\r\n", "SIP/2.0 486 Busy\r\n", "", "nonsense"];
    let (extra, body) = match method {
        "NOTIFY" => {
            let state = ["terminated", "active;expires=9"][choices.below(2)];
            let lines =
                format!("Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n");
            (lines, fragments[choices.below(5)])
        }
        "REFER" => {
            let to = ["desk@baton", "hard@baton", "back@baton", "x@y", "desk@baton?X-A=1"][choices.below(5)];
            (format!("Refer-To: <sip:{to}>\r\n"), "")
        }
        "BYE" => (["", "X-Handoff: desk\r\n", "Reason: SIP;cause=503\r\n"][choices.below(3)].to_owned(), ""),
        "INVITE" | "UPDATE" => ("Content-Type: application/sdp\r\n".to_owned(), SDP),
        _ => (String::new(), ""),
    };
    let message = format!(
        "{method} sip:baton@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKr{method}{number}\r\nMax-Forwards: 70\r\nFrom: {own}\r\nTo: {theirs}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:p@{}>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        from.peer,
        field(&text, "Call-ID"),
        from.peer,
        body.len()
    );
    let mut bytes = message.into_bytes();
    mutate(&mut bytes, choices);
    world.say(from, bytes);
}

fn repeat(world: &mut World, choices: &mut Choices<'_>) {
    if let Some((from, mut bytes)) = world.said.get(choices.below(world.said.len())).cloned() {
        mutate(&mut bytes, choices);
        let other = if choices.byte().is_multiple_of(16) { flow(AGENT) } else { from };
        world.say(other, bytes);
    }
}

/// Now and then a byte is another one.
fn mutate(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    match choices.byte() {
        0xf0..=0xf7 if !bytes.is_empty() => {
            let at = (choices.below(256) * 256 + choices.below(256)) % bytes.len();
            bytes[at] = choices.byte();
        }
        0xf8..=0xfb => bytes.truncate(choices.below(256) * 4),
        0xfc..=0xff => {
            let at = choices.below(bytes.len() + 1);
            bytes.insert(at, choices.byte());
        }
        _ => {}
    }
}

//! A whole call with a REFER handoff through one engine, and what an idle call holds.
//!
//! **Calls a second.** Only engine time is counted: `handle` and `poll` until idle. The messages of the peers are
//! written between the timed parts, from what the engine sent. Calls go through in waves, so that the clock is read
//! once for a step of a whole wave and not twice for each message. Virtual time runs at 1,000 calls a second, and all
//! deadlines that fall due (32 s of lingering transactions) are served within the timed parts.
//!
//! **Bytes of an idle call.** Growth of the resident set over 20,000 calls that stand, after the transactions that made
//! them have lingered out. It counts everything: legs, dialogs, indexes, both SDPs, the allocator's waste.

#![allow(clippy::unwrap_used)] // A bench may stop at its own mistakes.

use baton::call::command::{Command, HandoffRequest, Reply};
use baton::call::engine::{Engine, Input, Output, Settings};
use baton::observe::secret::Secret;
use baton::routing::Tables;
use baton::routing::file::{Report, Section, Source};
use baton::routing::table;
use baton::routing::topology::read::Parties;
use baton::routing::topology::secret::{SecretSource, Secrets};
use baton::sip::ident::{Seed, SlotKey};
use baton::sip::{self, Answer, Flow, Listener, Now, Question, Time, Transport, UnixMillis};
use criterion::{Criterion, Throughput};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls that take each step together.
const WAVE: usize = 128;
/// Virtual time between two calls.
const SPACING: Duration = Duration::from_millis(1);
/// Calls that stand while memory is measured.
const IDLE_CALLS: usize = 20_000;

const PBX: &str = "10.0.0.5:5060";
const AGENT: &str = "10.0.0.6:5080";
const BATON: &str = "10.0.0.1:5060";

const SDP: &str = "v=0\r\no=- 3724394400 3724394405 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
m=audio 16384 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

/// What the engine sent for one call since its last step, by receiver.
#[derive(Clone, Default)]
struct Sent {
    to_pbx: Vec<Range<usize>>,
    to_agent: Vec<Range<usize>>,
}

/// An engine with its virtual clock, and the peers' memory of what it said.
struct World {
    engine: Engine,
    now: Now,
    pbx: SocketAddr,
    calls: usize,
    bytes: Vec<u8>,
    sent: Vec<Sent>,
    /// Baton's ids of the calls of this wave, in the order of their making.
    ids: Vec<String>,
    succeeded: usize,
    commands: u64,
    /// CPU time of the engine so far, see [`cpu`].
    cpu: Duration,
}

impl World {
    fn new() -> World {
        let now = Now { mono: Time(1_000_000), wall: UnixMillis(1_700_000_000_000) };
        let local = BATON.parse().unwrap();
        let settings = Settings {
            stack: sip::Settings {
                listeners: vec![Listener { transport: Transport::Udp, local, advertised: BATON.into() }],
                parties: Vec::new(),
                seed: Seed([7; 32]),
                product: "baton".into(),
                // No session of an idle call may expire while others are made.
                session_timer: Some(sip::leg::session_timer::Settings {
                    expires: 86_400,
                    ..Default::default()
                }),
            },
            slot_key: SlotKey([7; 16]),
            max_calls: 1_000_000,
            occupancy: Default::default(),
            announced: Default::default(),
            max_duration: Duration::from_secs(365 * 86_400),
            tables: Arc::new(tables()),
            shows_messages: false,
        };
        World {
            engine: Engine::new(now, settings),
            now,
            pbx: PBX.parse().unwrap(),
            calls: 0,
            bytes: Vec::with_capacity(4 << 20),
            sent: vec![Sent::default(); WAVE],
            ids: Vec::with_capacity(WAVE),
            succeeded: 0,
            commands: 0,
            cpu: Duration::ZERO,
        }
    }

    fn flow(peer: SocketAddr) -> Flow {
        Flow { transport: Transport::Udp, listener: 0, peer, connection: 0 }
    }

    /// One step of every call of the wave: `messages` come from `peer`. Gives the engine's time.
    fn step(&mut self, peer: &str, messages: &[Vec<u8>]) -> Duration {
        let flow = World::flow(peer.parse().unwrap());
        self.forget();
        let clocks = Clocks::read();
        for (call, bytes) in messages.iter().enumerate() {
            self.engine.handle(self.now, Input::Message { flow, bytes });
            self.drain(call);
        }
        self.spent(&clocks)
    }

    /// The decision for every call of the wave.
    fn decide(&mut self, requests: Vec<(String, HandoffRequest)>) -> Duration {
        self.forget();
        let clocks = Clocks::read();
        for (call, (id, request)) in requests.into_iter().enumerate() {
            self.commands += 1;
            let command = Command::Handoff { call: id, request: Box::new(request) };
            self.engine.handle(self.now, Input::Command { id: self.commands, command });
            self.drain(call);
        }
        self.spent(&clocks)
    }

    /// Lets virtual time pass and serves what falls due.
    fn pass(&mut self, duration: Duration) -> Duration {
        self.forget();
        let until = self.now.mono + duration;
        let clocks = Clocks::read();
        while let Some(due) = self.drain(0).filter(|due| *due <= until) {
            self.advance(due);
            self.engine.handle(self.now, Input::Tick);
        }
        let spent = self.spent(&clocks);
        self.advance(until);
        assert!(
            self.sent[0].to_pbx.is_empty() && self.sent[0].to_agent.is_empty(),
            "something was sent again"
        );
        spent
    }

    /// What a timed part took, which ends here.
    fn spent(&mut self, began: &Clocks) -> Duration {
        let wall = began.wall.elapsed();
        self.cpu += cpu().saturating_sub(began.cpu);
        wall
    }

    fn advance(&mut self, to: Time) {
        let passed = to.since(self.now.mono);
        self.now.mono = self.now.mono + passed;
        self.now.wall = UnixMillis(self.now.wall.0 + i64::try_from(passed.as_millis()).unwrap());
    }

    fn forget(&mut self) {
        self.bytes.clear();
        for sent in &mut self.sent {
            sent.to_pbx.clear();
            sent.to_agent.clear();
        }
    }

    /// Polls until idle and keeps what was sent, for the peers. Part of the timed parts, as a socket's copy would be.
    fn drain(&mut self, call: usize) -> Option<Time> {
        loop {
            match self.engine.poll() {
                Output::Transmit { flow, bytes, .. } => {
                    let from = self.bytes.len();
                    self.bytes.extend_from_slice(bytes);
                    let sent = &mut self.sent[call];
                    let to = if flow.peer == self.pbx { &mut sent.to_pbx } else { &mut sent.to_agent };
                    to.push(from..self.bytes.len());
                }
                Output::Ask { ticket, question: Question::Locate(uri), .. } => {
                    let host = String::from_utf8_lossy(&uri).into_owned();
                    let peer = if host.contains(AGENT) { AGENT } else { PBX };
                    let flows = [World::flow(peer.parse().unwrap())];
                    let answer = Answer::Located(&flows);
                    self.engine.handle(self.now, Input::Answer { ticket, answer });
                }
                Output::Event(event) => self.note(&event.what),
                Output::Reply { reply, .. } => assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}"),
                Output::Adopted { .. } | Output::Recall { .. } => {}
                Output::Idle { until } => return until,
            }
        }
    }

    fn note(&mut self, what: &baton::call::event::EventKind) {
        use baton::call::event::EventKind;
        match what {
            EventKind::CallStarted(call) => self.ids.push(call.id.clone()),
            EventKind::HandoffEnded { handoff, .. } if handoff.state.as_str() == "succeeded" => {
                self.succeeded += 1
            }
            _ => {}
        }
    }

    fn to_pbx(&self, call: usize) -> Vec<Heard<'_>> {
        self.sent[call].to_pbx.iter().map(|range| Heard::read(&self.bytes[range.clone()])).collect()
    }

    fn to_agent(&self, call: usize) -> Vec<Heard<'_>> {
        self.sent[call].to_agent.iter().map(|range| Heard::read(&self.bytes[range.clone()])).collect()
    }

    /// A wave of `count` calls until they stand. Gives the engine's time and the peers' ends of the dialogs.
    fn set_up(&mut self, count: usize) -> (Duration, Vec<Ends>) {
        self.ids.clear();
        let first = self.calls;
        self.calls += count;
        let invites: Vec<Vec<u8>> = (first..first + count).map(invite).collect();
        let mut spent = self.step(PBX, &invites);
        let at_agent: Vec<String> =
            (0..count).map(|call| only(self.to_agent(call), "INVITE").text()).collect();
        let agent = |status: &str, body: &str| -> Vec<Vec<u8>> {
            at_agent.iter().map(|invite| response(&Heard::of(invite), status, "agent", body)).collect()
        };
        spent += self.step(AGENT, &agent("180 Ringing", ""));
        spent += self.step(AGENT, &agent("200 OK", SDP));
        let answers: Vec<String> =
            (0..count).map(|call| only(self.to_pbx(call), "SIP/2.0 200").text()).collect();
        let acks: Vec<Vec<u8>> =
            answers.iter().map(|answer| in_dialog(&Heard::of(answer), "ACK", 1, "", "")).collect();
        spent += self.step(PBX, &acks);
        (spent, answers.into_iter().map(|answer| Ends { answer }).collect())
    }

    /// The same wave through a REFER handoff to its end.
    fn hand_off(&mut self, ends: &[Ends]) -> Duration {
        let requests = self.ids.iter().map(|id| (id.clone(), decision())).collect();
        let mut spent = self.decide(requests);
        let refers: Vec<String> =
            (0..ends.len()).map(|call| only(self.to_pbx(call), "REFER").text()).collect();
        let accepted: Vec<Vec<u8>> =
            refers.iter().map(|refer| response(&Heard::of(refer), "202 Accepted", "", "")).collect();
        spent += self.step(PBX, &accepted);
        for (cseq, state, sipfrag) in [
            (2, "active;expires=60", "SIP/2.0 180 Ringing\r\n"),
            (3, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n"),
        ] {
            let headers = format!(
                "Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n"
            );
            let notifies: Vec<Vec<u8>> = ends
                .iter()
                .map(|end| in_dialog(&Heard::of(&end.answer), "NOTIFY", cseq, &headers, sipfrag))
                .collect();
            spent += self.step(PBX, &notifies);
        }
        let byes = |heard: Vec<Heard<'_>>| response(&only(heard, "BYE"), "200 OK", "", "");
        let pbx: Vec<Vec<u8>> = (0..ends.len()).map(|call| byes(self.to_pbx(call))).collect();
        let agent: Vec<Vec<u8>> = (0..ends.len()).map(|call| byes(self.to_agent(call))).collect();
        spent += self.step(PBX, &pbx);
        spent + self.step(AGENT, &agent)
    }

    /// Engine time of one wave from INVITE to the last deadline that fell due.
    fn wave(&mut self) -> Duration {
        let (spent, ends) = self.set_up(WAVE);
        let before = self.succeeded;
        let spent = spent + self.hand_off(&ends);
        assert_eq!(self.succeeded - before, WAVE, "every handoff of the wave succeeds");
        spent + self.pass(SPACING * u32::try_from(WAVE).unwrap())
    }
}

/// Both clocks at the beginning of a timed part; the wall's is read last.
struct Clocks {
    cpu: Duration,
    wall: Instant,
}

impl Clocks {
    fn read() -> Clocks {
        Clocks { cpu: cpu(), wall: Instant::now() }
    }
}

/// CPU time of this thread as of the kernel's latest tick: a sample for a single part, exact enough over thousands of
/// them, and not disturbed by whatever else the machine does.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default(),
    )
}

/// A peer's end of a dialog: the 200 that the caller got names both tags, the target and the Call-ID.
struct Ends {
    answer: String,
}

/// A message that the engine sent, as lines.
struct Heard<'a> {
    text: &'a str,
}

impl<'a> Heard<'a> {
    fn read(bytes: &'a [u8]) -> Heard<'a> {
        Heard { text: std::str::from_utf8(bytes).unwrap() }
    }

    fn of(text: &'a str) -> Heard<'a> {
        Heard { text }
    }

    fn text(&self) -> String {
        self.text.to_owned()
    }

    fn lines(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        head.lines().filter(move |line| line.starts_with(name) && line[name.len()..].starts_with(':'))
    }

    fn value(&self, name: &'a str) -> &'a str {
        self.lines(name).next().unwrap_or_else(|| panic!("no {name} in {}", self.text))[name.len() + 1..]
            .trim()
    }
}

fn only<'a>(heard: Vec<Heard<'a>>, start: &str) -> Heard<'a> {
    let starts: Vec<String> =
        heard.iter().map(|h| h.text.lines().next().unwrap_or_default().to_owned()).collect();
    heard
        .into_iter()
        .find(|h| h.text.starts_with(start))
        .unwrap_or_else(|| panic!("no {start}, but {starts:?}"))
}

fn invite(call: usize) -> Vec<u8> {
    let length = SDP.len();
    format!(
        "INVITE sip:+14155550100@{BATON} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK-i{call};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Dana Reyes\" <sip:+14155550142@pbx.example.com>;tag=p{call}\r\n\
         To: <sip:+14155550100@{BATON}>\r\nCall-ID: {call}-4f1d9a2c@{PBX}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:pbx@{PBX}>\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, UPDATE\r\n\
         Supported: replaces, timer\r\nUser-Agent: bench\r\nX-Tier: gold\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{SDP}"
    )
    .into_bytes()
}

/// A response; `tag` is set on To if it has none.
fn response(request: &Heard<'_>, status: &str, tag: &str, body: &str) -> Vec<u8> {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for line in request.lines(name) {
            out += line;
            if name == "To" && !line.contains(";tag=") {
                out += ";tag=";
                out += tag;
            }
            out += "\r\n";
        }
    }
    out += &format!("Contact: <sip:agent@{AGENT}>\r\n");
    if !body.is_empty() {
        out += "Content-Type: application/sdp\r\n";
    }
    out += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    out.into_bytes()
}

/// A request of the PBX inside the dialog that `answer` (a 200 to its INVITE) made.
fn in_dialog(answer: &Heard<'_>, method: &str, cseq: u32, headers: &str, body: &str) -> Vec<u8> {
    let contact = answer.value("Contact");
    let target = contact.trim_start_matches('<').split('>').next().unwrap();
    let call = answer.value("Call-ID");
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK-{method}{cseq}{call};rport\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:pbx@{PBX}>\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        answer.value("From"),
        answer.value("To"),
        body.len()
    )
    .into_bytes()
}

fn decision() -> HandoffRequest {
    HandoffRequest {
        destination: Some("front-desk".to_owned()),
        reason: Some("billing question".to_owned()),
        variables: [("account_id".to_owned(), "4711".to_owned())].into(),
        ..HandoffRequest::default()
    }
}

fn calls_per_second(criterion: &mut Criterion) {
    let mut world = World::new();
    // 32 virtual seconds of transactions that linger make the steady state.
    for _ in 0..33_000 / WAVE {
        world.wave();
    }
    let mut group = criterion.benchmark_group("calls");
    group.throughput(Throughput::Elements(WAVE as u64)).sample_size(20);
    group.bench_function(format!("wave of {WAVE} calls with a REFER handoff"), |bencher| {
        bencher.iter_custom(|waves| (0..waves).map(|_| world.wave()).sum());
    });
    group.finish();
    let before = world.cpu;
    let mut waves: Vec<Duration> = (0..400).map(|_| world.wave()).collect();
    waves.sort_unstable();
    let per_call = |spent: Duration| spent.as_secs_f64() / WAVE as f64;
    // On a machine that does other work too, the fastest tenth shows what a wave takes when nobody interrupts it.
    for (which, at) in [("median", waves.len() / 2), ("fastest tenth", waves.len() / 10)] {
        let call = per_call(waves[at]);
        println!(
            "whole call with a REFER handoff, {which} of {} waves: {:.2} µs of engine time, {:.0} calls/s",
            waves.len(),
            call * 1e6,
            1.0 / call
        );
    }
    let call = per_call(world.cpu - before) / waves.len() as f64;
    if call > 0.0 {
        println!("the same in CPU time: {:.2} µs, {:.0} calls/s on one core", call * 1e6, 1.0 / call);
    }
    world.pass(Duration::from_secs(200));
    assert!(world.engine.is_empty(), "nothing may be left");
}

/// Resident pages of this process in bytes.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn bytes_of_an_idle_call() {
    let mut world = World::new();
    let linger = Duration::from_secs(200);
    // So that buffers of the first calls are not counted.
    let batch = |world: &mut World| {
        world.set_up(WAVE);
        world.pass(linger);
    };
    for _ in 0..4 {
        batch(&mut world);
    }
    let Some(before) = resident() else {
        println!("bytes of an idle call: not measured, /proc/self/statm is absent");
        return;
    };
    let waves = IDLE_CALLS.div_ceil(WAVE);
    for _ in 0..waves {
        batch(&mut world);
    }
    let grown = resident().unwrap_or_default().saturating_sub(before);
    assert_eq!(world.engine.live_calls(), (waves + 4) * WAVE, "all calls stand");
    println!(
        "an idle call holds {:.0} bytes ({} calls, resident set grew by {:.1} MB)",
        grown as f64 / (waves * WAVE) as f64,
        waves * WAVE,
        grown as f64 / 1e6
    );
}

fn main() {
    // Memory first, in a process that has not allocated for anything else yet. A profiler wants the calls alone.
    if std::env::args().all(|argument| argument != "--profile-time") {
        bytes_of_an_idle_call();
    }
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    calls_per_second(&mut criterion);
    criterion.final_summary();
}

/// One trunk and one agent, both without keepalive (an idle call sends nothing), one table.
fn tables() -> Tables {
    let config = format!(
        "[trunk.pbx]\naddress = \"sip:{PBX}\"\nkeepalive = \"0s\"\n[agent.booking]\naddress = \"sip:booking@{AGENT}\"\n\
         numbers = [\"*\"]\nkeepalive = \"0s\"\n[environment.production]\ntable = \"destinations.toml\"\n"
    );
    let source = Source::new("baton.toml", &config);
    let mut report = Report::new(&source);
    let tree = report.parse();
    let mut top = Section::new("", 0..0, &tree);
    let parties = Parties::read(&mut top, &mut report, &NoSecrets, Path::new(""));
    top.finish(&mut report);
    let told = report.finish();
    assert!(told.is_empty(), "{told:?}");
    let (table, told) = table::read(&Source::new("destinations.toml", TABLE), &Arc::from("production"), None);
    let table = table.unwrap_or_else(|| panic!("{told:?}"));
    Tables {
        serial: 1,
        topology: parties.topology(),
        environments: [("production".into(), Arc::new(table))].into(),
    }
}

const TABLE: &str = r#"default = "front-desk"
[destination.front-desk]
route = "+14155550123"
[destination.front-desk.headers]
X-Caller-ID = "$caller_id"
X-Account   = "$account_id"
X-Why       = "$reason"
X-Language  = "${language:-en}"
"#;

struct NoSecrets;

impl Secrets for NoSecrets {
    fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
        Err("there are none".to_owned())
    }
}

//! Programs that nobody here wrote, on loopback: SIPp, baresip and Kamailio, and what they saw.
//!
//! Each role has its own address (`127.0.0.2` the PBX, `.3` the agent, `.4` the desk, `.5` the proxy; Baton is `.1`), as
//! sources tell the roles apart. Ports are free ones, found by binding. Every program is bounded in time by its own
//! options and is ended, by its own pid, when its value is dropped. Nothing here knows the crate under test.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::scenario;

pub const PBX: &str = "127.0.0.2";
pub const AGENT: &str = "127.0.0.3";
pub const DESK: &str = "127.0.0.4";
pub const PROXY: &str = "127.0.0.5";

/// How long anything may take before the test gives up. SIPp's own limit is shorter, so that its report is seen.
const PATIENCE: Duration = Duration::from_secs(20);
const SIPP_LIMIT: Duration = Duration::from_secs(15);

/// Asks again and again until there is an answer, or fails saying what was waited for.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask)
}

fn eventually_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < patience, "waited {patience:?} in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// An address whose port is free for UDP and TCP, on every local address (SIPp binds its control port to all), and is
/// given out once only. The ports lie below those that the kernel picks for outgoing connections, so that none of
/// these can take one between this look and the program's bind.
pub fn free_address(host: &str) -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
        AtomicU16::new(((now ^ std::process::id()) % u32::from(COUNT)) as u16)
    });
    let free = |port: &u16| {
        UdpSocket::bind(("0.0.0.0", *port)).is_ok() && TcpListener::bind(("0.0.0.0", *port)).is_ok()
    };
    let port = (0..COUNT)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT)
        .find(free)
        .unwrap_or_else(|| panic!("no free port between {FIRST} and {}", FIRST + COUNT));
    let host = host.parse().unwrap_or_else(|error| panic!("{host}: {error}"));
    SocketAddr::new(host, port)
}

/// A running program. Dropping it ends it: first by SIGTERM (Kamailio ends its children then), soon after by SIGKILL.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command` with its output in `DIR/NAME.log`. `package` is the Debian package that brings the program.
    pub fn start(mut command: Command, name: &str, dir: &Path, package: &str) -> Process {
        let log = File::create(dir.join(format!("{name}.log"))).expect("the test's folder can be written");
        let errors = log.try_clone().expect("a file handle can be cloned");
        command.stdin(Stdio::null()).stdout(log).stderr(errors).current_dir(dir);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{program}: {error}; to install it: apt-get install --no-install-recommends {package}")
        });
        Process { child, name: name.to_owned() }
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Asks a program that still runs to end.
    pub fn terminate(&mut self) {
        if self.ended().is_some() {
            return; // Its pid may be somebody else's by now.
        }
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `process` listens on the UDP or TCP port of `address`, by the kernel's own table.
fn await_bound(address: SocketAddr, process: &mut Process, dir: &Path) {
    let SocketAddr::V4(v4) = address else { panic!("{address}: the peers speak IPv4") };
    let row = format!(" {:08X}:{:04X} ", u32::from_le_bytes(v4.ip().octets()), v4.port());
    eventually(&format!("{} listens on {address}", process.name), || {
        if let Some(status) = process.ended() {
            let log = fs::read_to_string(dir.join(format!("{}.log", process.name))).unwrap_or_default();
            panic!("{} ended before it listened: {status}\n{log}", process.name);
        }
        ["/proc/net/udp", "/proc/net/tcp"].iter().find(|table| {
            fs::read_to_string(table).is_ok_and(|rows| rows.lines().any(|line| line.contains(&row)))
        })
    });
}

/// A SIPp that plays one scenario of `scenarios/` for one call, and keeps every message.
pub struct Sipp {
    process: Process,
    limit: Duration,
    dir: PathBuf,
    scenario: String,
    at: SocketAddr,
}

/// What a SIPp is to do; `start` sets it going.
pub struct Script<'a> {
    dir: &'a Path,
    scenario: &'a str,
    at: SocketAddr,
    to: Option<SocketAddr>,
    number: &'a str,
    contact: String,
    transport: &'a str,
    status: &'a str,
    keys: Vec<(&'a str, &'a str)>,
    /// The port of the audio, which is not its transport's: nobody sends any.
    audio: &'a str,
    calls: &'a str,
    limit: Duration,
}

impl<'a> Script<'a> {
    /// One that waits at `at` to be called.
    pub fn callee(dir: &'a Path, scenario: &'a str, at: SocketAddr) -> Script<'a> {
        let contact = format!("callee@{at}");
        Script {
            dir,
            scenario,
            at,
            to: None,
            number: "",
            contact,
            transport: "u1",
            status: "",
            keys: Vec::new(),
            audio: "40000",
            calls: "1",
            limit: SIPP_LIMIT,
        }
    }

    /// One at `at` that calls `number` at `to`.
    pub fn caller(
        dir: &'a Path,
        scenario: &'a str,
        at: SocketAddr,
        to: SocketAddr,
        number: &'a str,
    ) -> Script<'a> {
        let contact = format!("pbx@{at}");
        Script { to: Some(to), number, contact, audio: "30000", ..Script::callee(dir, scenario, at) }
    }

    /// Gives a value for `[name]` in the scenario.
    pub fn key(mut self, name: &'a str, value: &'a str) -> Self {
        self.keys.push((name, value));
        self
    }

    /// The status line that stands as `[status]` in the scenario: "486 Busy Here".
    pub fn status(mut self, status: &'a str) -> Self {
        self.status = status;
        self
    }

    /// What stands in Contact, if not the peer's own address.
    pub fn contact(mut self, contact: &str) -> Self {
        contact.clone_into(&mut self.contact);
        self
    }

    /// Where it wants its audio, if not where every callee (40000) or caller (30000) does.
    pub fn audio(mut self, port: &'a str) -> Self {
        self.audio = port;
        self
    }

    /// It takes two calls, if they come one after the other or at the same time: its scenario is played for each.
    pub fn twice(mut self) -> Self {
        self.calls = "2";
        self
    }

    /// It may have to wait for a timer of SIP: 64*T1 is 32 s (RFC 3261 §17.1.1.2).
    pub fn through_timers(mut self) -> Self {
        self.limit = Duration::from_secs(50);
        self
    }

    /// Sends what it sends to another address than the one it calls.
    pub fn through(mut self, wire: SocketAddr) -> Self {
        self.to = Some(wire);
        self
    }

    pub fn over_tcp(mut self) -> Self {
        self.transport = "t1";
        self.contact.push_str(";transport=tcp");
        self
    }

    /// Dials another number.
    pub fn dials(mut self, number: &'a str) -> Self {
        self.number = number;
        self
    }

    /// Starts SIPp with its files in a folder of its own; returns when a callee can be called.
    pub fn start(self) -> Sipp {
        let dir = self.dir.join(format!("{}-{}", self.scenario, self.at));
        let _ = fs::remove_dir_all(&dir); // What the same peer did before is not what it does now.
        fs::create_dir_all(&dir).expect("the test's folder can be written");
        fs::write(dir.join("scenario.xml"), self.scenario_text()).expect("the test's folder can be written");
        let mut process = Process::start(self.command(), "sipp", &dir, "sip-tester");
        if self.to.is_none() {
            await_bound(self.at, &mut process, &dir);
        }
        Sipp { process, limit: self.limit, dir, scenario: self.scenario.to_owned(), at: self.at }
    }

    /// SIPp reads the code of a response when it loads the scenario, so `[status]` is filled in before; all other
    /// values are SIPp's own keys.
    fn scenario_text(&self) -> String {
        let text = scenario::read(self.scenario);
        assert_eq!(
            text.contains("[status]"),
            !self.status.is_empty(),
            "{}: status given or not",
            self.scenario
        );
        text.replace("[status]", self.status)
    }

    fn command(&self) -> Command {
        let mut sipp = Command::new("sipp");
        if let Some(to) = self.to {
            sipp.arg(to.to_string()).args(["-s", self.number]);
        }
        sipp.args([
            "-sf",
            "scenario.xml",
            "-nostdin",
            "-m",
            self.calls,
            "-timeout",
            &self.limit.as_secs().to_string(),
            "-timeout_error",
        ])
        .args(["-i", &self.at.ip().to_string(), "-p", &self.at.port().to_string(), "-t", self.transport])
        .args(["-cp", &free_address("127.0.0.1").port().to_string()])
        .args(["-trace_msg", "-message_file", "messages", "-trace_err", "-error_file", "errors"])
        .args(["-key", "contact", &self.contact, "-key", "audio", self.audio]);
        for (name, value) in &self.keys {
            sipp.args(["-key", name, value]);
        }
        sipp
    }
}

impl Sipp {
    /// Waits until the scenario is through; fails with all it saw if it did not go as written.
    pub fn finish(mut self) -> Transcript {
        let patience = self.limit + (PATIENCE - SIPP_LIMIT);
        let what = format!("the end of {}", self.scenario);
        let status = eventually_within(patience, &what, || self.process.ended());
        let read = |name: &str| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let messages = read("messages");
        assert!(
            status.success(),
            "SIPp played {} and it did not go as written: {status}\n{}\n{}\n{messages}",
            self.scenario,
            read("errors"),
            read("sipp.log").lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n"),
        );
        Transcript::parse(&self.scenario, &messages)
    }

    /// Waits until the peer has got a request or response that begins so, and so many of them.
    pub fn await_received(&self, start: &str, count: usize) {
        eventually(&format!("{} got {count} {start}", self.scenario), || {
            (self.so_far().all_received(start).len() >= count).then_some(())
        });
    }

    /// Waits until the peer has sent one.
    pub fn await_sent(&self, start: &str) {
        eventually(&format!("{} has sent {start}", self.scenario), || {
            (!self.so_far().all_sent(start).is_empty()).then_some(())
        });
    }

    /// Lets a scenario go on that waits for it with `<recv request="CUE"/>`, at the moment that the test wants. It is a
    /// datagram in the peer's own call, which repeats the headers of what came last: that is still what is answered.
    pub fn cue(&self) {
        let so_far = self.so_far();
        let last = so_far.messages.iter().rfind(|message| message.direction == Direction::Received);
        let last = last.unwrap_or_else(|| panic!("{} has got nothing yet", self.scenario));
        let mut cue = format!("CUE sip:{} SIP/2.0\r\n", self.at);
        for (name, value) in &last.headers {
            if !name.starts_with("Content-") {
                cue.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        cue.push_str("Content-Length: 0\r\n\r\n");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.send_to(cue.as_bytes(), self.at).expect("loopback takes a datagram");
    }

    /// What was seen so far.
    pub fn so_far(&self) -> Transcript {
        Transcript::parse(&self.scenario, &fs::read_to_string(self.dir.join("messages")).unwrap_or_default())
    }
}

/// Waits until each of these is through.
pub fn finish(peers: impl IntoIterator<Item = Sipp>) {
    for peer in peers {
        peer.finish();
    }
}

/// Every message that one SIPp sent or received, in order.
#[derive(Debug)]
pub struct Transcript {
    scenario: String,
    messages: Vec<Message>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

/// One SIP message as text.
#[derive(Debug, Clone)]
pub struct Message {
    pub direction: Direction,
    pub start: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Transcript {
    fn parse(scenario: &str, text: &str) -> Transcript {
        let normal = text.replace("\r\n", "\n");
        let records = normal.split("----------------------------------------------- ").skip(1);
        Transcript { scenario: scenario.to_owned(), messages: records.filter_map(Message::parse).collect() }
    }

    fn all(&self, direction: Direction, start: &str) -> Vec<&Message> {
        let such = |m: &&Message| m.direction == direction && m.start.starts_with(start);
        self.messages.iter().filter(such).collect()
    }

    /// Every received request or response whose first line begins so: `REFER`, `SIP/2.0 202`.
    pub fn all_received(&self, start: &str) -> Vec<&Message> {
        self.all(Direction::Received, start)
    }

    /// Every sent one.
    pub fn all_sent(&self, start: &str) -> Vec<&Message> {
        self.all(Direction::Sent, start)
    }

    /// The first of them; there must be one.
    pub fn received(&self, start: &str) -> &Message {
        let found = self.all_received(start).into_iter().next();
        found.unwrap_or_else(|| panic!("{} received no {start}: {:#?}", self.scenario, self.messages))
    }

    /// The first sent message whose first line begins so.
    pub fn sent(&self, start: &str) -> &Message {
        let found = self.all_sent(start).into_iter().next();
        found.unwrap_or_else(|| panic!("{} sent no {start}", self.scenario))
    }
}

impl Message {
    /// Reads one record of SIPp's message log: date line, direction line, empty line, message.
    fn parse(record: &str) -> Option<Message> {
        let mut parts = record.splitn(3, '\n');
        let (_date, direction, message) = (parts.next()?, parts.next()?, parts.next()?);
        let direction = if direction.contains("received") { Direction::Received } else { Direction::Sent };
        let (head, body) = message.trim_start().split_once("\n\n").unwrap_or((message.trim(), ""));
        let mut lines = head.lines();
        let start = lines.next()?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Message { direction, start, headers, body: body.trim_end().to_owned() })
    }

    /// Every value of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let named = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let values = self.headers(name);
        assert!(values.len() < 2, "{name} stands more than once in {self:#?}");
        values.first().copied().unwrap_or_default()
    }

    /// A parameter of a Digest header, without its quotes.
    pub fn digest(&self, header: &str, parameter: &str) -> String {
        self.header(header)
            .trim_start_matches("Digest")
            .split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case(parameter))
            .map(|(_, value)| value.trim_matches('"').to_owned())
            .unwrap_or_default()
    }
}

/// A running baresip.
pub struct Phone {
    _process: Process,
    log: PathBuf,
}

impl Phone {
    /// Waits until it has said so, and so many times: "Call established", "session closed".
    pub fn await_said(&self, what: &str, times: usize) {
        eventually(&format!("baresip says {times} times: {what}"), || {
            let log = fs::read(&self.log).ok()?;
            (String::from_utf8_lossy(&log).matches(what).count() >= times).then_some(())
        });
    }
}

/// A baresip of `user` at `at` that answers by itself and needs no sound card; with `dial` it calls that URI when it is up.
pub fn baresip(user: &str, at: SocketAddr, dial: Option<&str>, dir: &Path) -> Phone {
    let dir = dir.join(format!("baresip-{at}"));
    fs::create_dir_all(&dir).expect("the test's folder can be written");
    let modules = ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"]
        .into_iter()
        .find(|path| Path::new(path).is_dir())
        .expect("baresip's modules; to install them: apt-get install --no-install-recommends baresip-core");
    let config = format!(
        "sip_listen {at}\nnet_interface {ip}\nmodule_path {modules}\nmodule g711.so\n\
         module aubridge.so\naudio_source aubridge,nowhere\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\n\
         module_app account.so\nmodule_app menu.so\ncall_local_timeout 15\ncall_max_calls 4\n",
        ip = at.ip(),
    );
    let account = format!("<sip:{user}@{at};transport=udp>;regint=0;answermode=auto;audio_codecs=PCMU\n");
    for (name, text) in [("config", config), ("accounts", account), ("contacts", String::new())] {
        fs::write(dir.join(name), text).expect("the test's folder can be written");
    }
    let mut command = Command::new("baresip");
    command.arg("-f").arg(&dir).args(["-t", &PATIENCE.as_secs().to_string()]);
    if let Some(uri) = dial {
        command.args(["-e", &format!("d {uri}")]);
    }
    let mut process = Process::start(command, "baresip", &dir, "baresip-core");
    await_bound(at, &mut process, &dir);
    Phone { _process: process, log: dir.join("baresip.log") }
}

/// A Kamailio at `at` that record-routes: new calls go to all of `upstream`, requests inside a dialog only where their
/// route set says, and 404 without one. The host `pbx.invalid` is known to it alone and means `pbx`.
pub fn kamailio(at: SocketAddr, upstream: &[SocketAddr], pbx: SocketAddr, dir: &Path) -> Process {
    let dir = dir.join(format!("kamailio-{at}"));
    fs::create_dir_all(&dir).expect("the test's folder can be written");
    let also: String =
        upstream[1..].iter().map(|at| format!("append_branch(\"sip:callee@{at}\");\n")).collect();
    let config = include_str!("kamailio.cfg")
        .replace("{{at}}", &at.to_string())
        .replace("{{upstream}}", &upstream[0].to_string())
        .replace("{{also}}", &also)
        .replace("{{pbx}}", &pbx.to_string());
    fs::write(dir.join("kamailio.cfg"), config).expect("the test's folder can be written");
    let program = if Path::new("/usr/sbin/kamailio").exists() { "/usr/sbin/kamailio" } else { "kamailio" };
    let mut command = Command::new(program);
    command
        .arg("-f")
        .arg(dir.join("kamailio.cfg"))
        .args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"])
        .arg(&dir);
    let mut process = Process::start(command, "kamailio", &dir, "kamailio");
    await_bound(at, &mut process, &dir);
    process
}

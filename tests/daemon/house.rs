//! One running daemon with a folder of its own.

use crate::http::{Answer, request};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes; what is awaited is a condition, and this only ends a test that has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TABLE: &str = r#"
default = "front-desk"

[destination.front-desk]
name = "Front desk"
description = "When the caller needs a person"
route = "+14155550123"
[destination.front-desk.headers]
X-Caller-ID = "$caller_id"
X-Account = "${account:-none}"

[destination.goodbye]
method = "bye"
"#;

/// The binary under test.
pub(crate) fn baton() -> Command {
    without_surroundings(Command::new(env!("CARGO_BIN_EXE_baton")))
}

/// Without what the shell or a supervisor of the tests may have set.
fn without_surroundings(mut command: Command) -> Command {
    for name in ["BATON_CONFIG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "STATE_DIRECTORY", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    command
}

/// The binary, run by a user who is not root, with a folder of his. Whoever is root is allowed everything.
pub(crate) fn unprivileged(folder: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    if fs::metadata(folder).unwrap().uid() != 0 {
        return baton();
    }
    // The build's folder may be closed to others.
    let copy = folder.join("baton");
    fs::copy(env!("CARGO_BIN_EXE_baton"), &copy).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = without_surroundings(Command::new(copy));
    command.uid(NOBODY).gid(NOBODY);
    command
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
    /// Nobody reads what the daemon writes.
    is_left: Mutex<bool>,
    read_again: Condvar,
}

impl Log {
    fn await_reader(&self) {
        let left = self.is_left.lock().unwrap();
        drop(self.read_again.wait_while(left, |left| *left).unwrap());
    }
}

/// What a daemon is started with.
pub(crate) struct Plan {
    /// Where SIP is served, and where trunk calls come from; IPv6 in brackets.
    pub(crate) host: &'static str,
    pub(crate) agent: SocketAddr,
    pub(crate) pbx: SocketAddr,
    pub(crate) drain: &'static str,
    pub(crate) extra: String,
    /// Shards.
    pub(crate) workers: usize,
    /// The daemon is nobody in particular, and the folder is nobody's: permissions count.
    pub(crate) as_nobody: bool,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            host: "127.0.0.1",
            agent: "127.0.0.1:19".parse().unwrap(),
            pbx: "127.0.0.1:9".parse().unwrap(),
            drain: "200ms",
            extra: String::new(),
            workers: workers(),
            as_nobody: false,
            environment: Vec::new(),
        }
    }
}

/// With how many shards the daemons run here that no test wants otherwise: `BATON_TEST_WORKERS`, else 1.
fn workers() -> usize {
    let set = std::env::var("BATON_TEST_WORKERS").ok().filter(|set| !set.is_empty());
    set.map_or(1, |set| set.parse().unwrap())
}

/// A running daemon.
pub(crate) struct House {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) token: String,
    child: Child,
    log: Arc<Log>,
}

impl House {
    /// Starts a daemon in a new folder and waits until it takes calls.
    pub(crate) fn open(plan: Plan) -> House {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        write_configuration(folder.path(), &plan);
        House::again(folder, plan)
    }

    /// Starts a daemon in a folder that there is.
    pub(crate) fn again(folder: Arc<TempDir>, plan: Plan) -> House {
        let mut command = baton();
        if plan.as_nobody {
            command = unprivileged(folder.path());
        }
        let state = plan.environment.iter().find(|(name, _)| *name == "STATE_DIRECTORY");
        let state = state.map_or_else(|| folder.path().join("state"), |(_, given)| given.into());
        let mut child = command
            .arg("serve")
            .arg("--config")
            .arg(folder.path().join("baton.toml"))
            .envs(plan.environment)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Log>::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                writer.await_reader();
                writer.lines.lock().unwrap().push(line);
                writer.grown.notify_all();
            }
        });
        let nowhere = "0.0.0.0:0".parse().unwrap();
        let mut house =
            House { folder, udp: nowhere, tcp: nowhere, http: nowhere, token: String::new(), child, log };
        let ready = house.await_line("serve.ready");
        house.http = field(&ready, "http").parse().unwrap();
        for listener in field(&ready, "sip").split(',') {
            match listener.split_once(':').unwrap() {
                ("udp", address) => house.udp = address.parse().unwrap(),
                (_, address) => house.tcp = address.parse().unwrap(),
            }
        }
        house.token = fs::read_to_string(state.join("http-token")).unwrap().trim().to_owned();
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Whether the pipe that the daemon logs to is read from now on, but for a buffer that is read at once.
    pub(crate) fn read_log(&self, read: bool) {
        *self.log.is_left.lock().unwrap() = !read;
        self.log.read_again.notify_all();
    }

    /// The first line of the log that contains `text`.
    pub(crate) fn await_line(&self, text: &str) -> String {
        self.await_lines(text, 1).remove(0)
    }

    /// At least so many lines of the log that contain `text`.
    pub(crate) fn await_lines(&self, text: &str, count: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            let found: Vec<String> = lines.iter().filter(|line| line.contains(text)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{count} lines with `{text}` awaited in:\n{}", lines.join("\n"));
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    pub(crate) fn lines(&self, text: &str) -> usize {
        self.log.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// A request with the token.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(method, path, &[], body)
    }

    /// The same, with more headers.
    pub(crate) fn ask_with(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let mut headers =
            vec![("Host", self.http.to_string()), ("Authorization", format!("Bearer {}", self.token))];
        headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        request(self.http, method, path, &headers, body)
    }

    /// The body of a GET that is there.
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.ask("GET", "/metrics", "").body;
        let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a metric is `value`.
    pub(crate) fn await_metric(&self, name: &str, value: u64) {
        let end = Instant::now() + PATIENCE;
        while self.metric(name) != value {
            assert!(Instant::now() < end, "{name} is {} and not {value}", self.metric(name));
            std::thread::yield_now();
        }
    }

    /// A verb of the command line against this daemon.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        baton().args(arguments).arg("--config").arg(self.path("baton.toml")).output().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid()).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- the daemon said\n{}",
                self.log.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).join("\n")
            );
        }
    }
}

/// Resident memory of a process, in kB.
pub(crate) fn resident(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A field of a logfmt line whose value is not quoted.
pub(crate) fn field(line: &str, key: &str) -> String {
    let start =
        line.find(&format!(" {key}=")).unwrap_or_else(|| panic!("no {key} in {line}")) + key.len() + 2;
    line[start..].split(' ').next().unwrap().to_owned()
}

pub(crate) fn write_configuration(folder: &Path, plan: &Plan) {
    let Plan { host, agent, pbx, drain, extra, workers, .. } = plan;
    let source = host.trim_matches(['[', ']']);
    let text = format!(
        r#"
[sip]
listen = ["udp:{host}:0", "tcp:{host}:0"]
drain = "{drain}"
workers = {workers}
[http]
listen = "127.0.0.1:0"
public_url = "https://baton.example.com"
[trunk.pbx]
address = "sip:{pbx}"
accept_from = ["{source}"]
[agent.booking]
address = "sip:booking@{agent}"
numbers = ["*"]
environment = "production"
[environment.production]
table = "destinations.toml"
{extra}
"#
    );
    fs::write(folder.join("baton.toml"), text).unwrap();
    fs::write(folder.join("destinations.toml"), TABLE).unwrap();
}

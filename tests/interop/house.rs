//! One Baton on loopback with a PBX trunk, an agent, a destination and its HTTP API; and what it logged in the end.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::peers::{AGENT, DESK, Message, PBX, PROXY, Process, Script, Transcript, eventually, free_address};

/// The number that reaches the agent.
pub const NUMBER: &str = "+14155550100";
/// The caller's number, as the PBX asserts it.
pub const CALLER: &str = "+14155550199";

/// What a house is built with, where a story needs something else than the usual.
pub struct Plan {
    /// The table, with `{desk}` for the desk's address.
    pub table: String,
    /// More lines of `[trunk.pbx]`.
    pub trunk: String,
    /// Where the trunk is reached, if not at the PBX itself.
    pub trunk_address: Option<SocketAddr>,
    /// More lines of `[agent.booking]`.
    pub agent: String,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { table: table(REFER), trunk: String::new(), trunk_address: None, agent: String::new() }
    }
}

/// How the usual destination is reached. Its time limits are short, as silence is waited for.
pub const REFER: &str = r#"method = "refer"
route = "sip:desk@{desk}"
timeouts = { response = "1s", outcome = "1500ms", ring = "5s" }
"#;

/// The usual table, with these lines in its only destination.
pub fn table(lines: &str) -> String {
    format!(
        r#"default = "front-desk"

[destination.front-desk]
name = "Front desk"
{lines}
[destination.front-desk.headers]
X-Caller-ID  = "$caller_id"
X-Account-ID = "${{account_id:-none}}"
X-Language   = "${{language:-en}}"
X-Mood       = "$mood"
"#
    )
}

/// `baton.toml` for a plan.
fn configuration(
    plan: &Plan,
    sip: SocketAddr,
    http: SocketAddr,
    trunk: SocketAddr,
    agent: SocketAddr,
) -> String {
    let (more_trunk, more_agent) = (&plan.trunk, &plan.agent);
    format!(
        r#"[sip]
listen = ["udp:{sip}", "tcp:{sip}"]
[http]
listen = "{http}"
[state]
dir = "state"
[trunk.pbx]
address     = "sip:{trunk}"
accept_from = ["{PBX}/32", "{DESK}/32", "{PROXY}/32"]
trusted     = true
{more_trunk}
[agent.booking]
address     = "sip:booking@{agent}"
numbers     = ["{NUMBER}"]
environment = "production"
fallback    = "front-desk"
{more_agent}
[environment.production]
table = "destinations.toml"
"#
    )
}

/// A running Baton and the addresses around it. Dropping it ends Baton; `close` also asserts that it ended well.
pub struct House {
    pub sip: SocketAddr,
    pub pbx: SocketAddr,
    pub agent: SocketAddr,
    pub desk: SocketAddr,
    http: SocketAddr,
    token: String,
    baton: Process,
    dir: TempDir,
}

impl House {
    pub fn open() -> House {
        House::built(Plan::default())
    }

    /// A house whose only destination has these lines.
    pub fn with_destination(lines: &str) -> House {
        House::built(Plan { table: table(lines), ..Plan::default() })
    }

    pub fn built(plan: Plan) -> House {
        let (sip, http) = (free_address("127.0.0.1"), free_address("127.0.0.1"));
        let (pbx, agent, desk) = (free_address(PBX), free_address(AGENT), free_address(DESK));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("baton.toml");
        let trunk = plan.trunk_address.unwrap_or(pbx);
        let table = plan.table.replace("{desk}", &desk.to_string());
        fs::write(&path, configuration(&plan, sip, http, trunk, agent))
            .expect("the test's folder can be written");
        fs::write(dir.path().join("destinations.toml"), table).expect("the test's folder can be written");

        let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
        command
            .args(["serve", "--config"])
            .arg(&path)
            .env("PBX_PASSWORD", "s3cret")
            .env_remove("BATON_TOKEN");
        let mut baton = Process::start(command, "baton", dir.path(), "(it is built here)");
        await_ready(http, &mut baton, dir.path());
        let token =
            fs::read_to_string(dir.path().join("state/http-token")).expect("state/http-token is there");
        House { sip, pbx, agent, desk, http, token: token.trim().to_owned(), baton, dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The agent, played by a scenario.
    pub fn agent<'a>(&'a self, scenario: &'a str) -> Script<'a> {
        Script::callee(self.dir(), scenario, self.agent)
    }

    /// The desk that the destination's route names.
    pub fn desk<'a>(&'a self, scenario: &'a str) -> Script<'a> {
        Script::callee(self.dir(), scenario, self.desk)
    }

    /// A caller behind the PBX who dials the agent's number.
    pub fn caller<'a>(&'a self, scenario: &'a str) -> Script<'a> {
        Script::caller(self.dir(), scenario, self.pbx, self.sip, NUMBER)
    }

    /// The id of the only call, once the agent has answered it.
    pub fn answered_call(&self) -> String {
        eventually("one answered call", || {
            let calls = self.get("/v1/calls");
            let [call] = calls["data"].as_array().map(Vec::as_slice)? else { return None };
            (!call["answered_at"].is_null()).then(|| text(&call["id"]))
        })
    }

    /// Waits for the answered call, decides to hand it to the front desk, and waits for the end of the handoff.
    pub fn hand_over(&self, request: &Value) -> (String, Value) {
        let call = self.answered_call();
        let (status, handoff) = self.post(&format!("/v1/calls/{call}/handoff?wait=15s"), request);
        assert_eq!(status, 200, "the handoff did not end: {handoff:#}\n{}", self.log());
        (call, handoff)
    }

    /// The only handoff of a call, once it has ended.
    pub fn ended_handoff(&self, call: &str) -> Value {
        eventually("the call's handoff has ended", || {
            let call = self.get(&format!("/v1/calls/{call}"));
            let handoff = self.get(&format!("/v1/handoffs/{}", call["handoffs"].get(0)?.as_str()?));
            (!handoff["ended_at"].is_null()).then_some(handoff)
        })
    }

    pub fn hang_up(&self, call: &str) {
        let (status, answer) = self.request("DELETE", &format!("/v1/calls/{call}"), None);
        assert!((200..300).contains(&status), "DELETE of the call: {status} {answer:#}");
    }

    pub fn await_no_call(&self) {
        eventually("no call is left", || {
            let calls = self.get("/v1/calls");
            calls["data"].as_array()?.is_empty().then_some(())
        });
    }

    pub fn get(&self, path: &str) -> Value {
        self.request("GET", path, None).1
    }

    pub fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.request("PATCH", path, Some(body))
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.request("POST", path, Some(body))
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.http);
        let bearer = format!("Bearer {}", self.token);
        let client = client(Duration::from_secs(20));
        let response = match (method, body) {
            ("POST", Some(body)) => client.post(&url).header("Authorization", &bearer).send_json(body),
            ("PATCH", Some(body)) => client.patch(&url).header("Authorization", &bearer).send_json(body),
            ("DELETE", _) => client.delete(&url).header("Authorization", &bearer).call(),
            _ => client.get(&url).header("Authorization", &bearer).call(),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {url}: {error}\n{}", self.log()));
        let body = response.body_mut().read_to_string().unwrap_or_default();
        (response.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("baton.log")).unwrap_or_default()
    }

    /// Asserts what must hold at the end of every story: no call is left, Baton ends by SIGTERM with exit code 0, nothing
    /// panicked. Gives back its log.
    pub fn close(mut self) -> Log {
        self.await_no_call();
        self.baton.terminate();
        let status = eventually("Baton ends after SIGTERM", || self.baton.ended());
        let log = self.log();
        assert!(status.success(), "Baton ended with {status}\n{log}");
        assert!(!log.contains("panic"), "something panicked:\n{log}");
        Log(log)
    }
}

/// Baton's log after its end.
pub struct Log(String);

impl Log {
    /// The call went well: not one ERROR line, which is kept for callers that were hurt, and no failed attempt.
    pub fn assert_quiet(&self) {
        self.assert_nobody_hurt();
        assert_eq!(self.failed_attempts(), Vec::<&str>::new(), "failed attempts in\n{}", self.0);
    }

    pub fn assert_nobody_hurt(&self) {
        assert!(!self.0.lines().any(|line| line.contains(" ERROR ")), "a caller was hurt:\n{}", self.0);
    }

    /// Exactly one attempt failed, and its WARN line says all of these.
    pub fn assert_one_failure(&self, said: &[&str]) {
        self.assert_nobody_hurt();
        let failed = self.failed_attempts();
        let [line] = failed[..] else {
            panic!("{} failed attempts, one expected:\n{}", failed.len(), self.0)
        };
        for part in said {
            assert!(line.contains(part), "`{part}` is not said by\n{line}");
        }
    }

    fn failed_attempts(&self) -> Vec<&str> {
        self.0
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("handoff.attempt_failed"))
            .collect()
    }
}

fn await_ready(http: SocketAddr, baton: &mut Process, dir: &Path) {
    let client = client(Duration::from_secs(1));
    let log = || fs::read_to_string(dir.join("baton.log")).unwrap_or_default();
    eventually("GET /readyz answers 200", || {
        if let Some(status) = baton.ended() {
            panic!("baton serve ended before it was ready: {status}\n{}", log());
        }
        let response = client.get(format!("http://{http}/readyz")).call().ok()?;
        (response.status() == 200).then_some(())
    });
}

fn client(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(patience)).build().into()
}

/// A JSON string's text; fails on anything else.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

/// Asserts the fields of a JSON object that are given as `name: value`.
#[macro_export]
macro_rules! assert_fields {
    ($object:expr, { $($name:ident: $value:tt),+ $(,)? }) => {
        let object = &$object;
        $(assert_eq!(object[stringify!($name)], serde_json::json!($value), "`{}` of {object:#}", stringify!($name));)+
    };
}

/// The one BYE that a peer got.
pub fn bye_of(transcript: &Transcript) -> &Message {
    let byes = transcript.all_received("BYE");
    assert_eq!(byes.len(), 1, "one BYE, not {}", byes.len());
    byes[0]
}

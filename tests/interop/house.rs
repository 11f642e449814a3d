//! One Baton on loopback with a PBX trunk, an agent, a destination and its HTTP API; and what it logged in the end.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peers::{AGENT, DESK, Message, PBX, PROXY, Process, Script, Transcript, eventually, free_address};

/// The number that reaches the agent.
pub const NUMBER: &str = "+14155550100";
/// The caller's number, as the PBX asserts it.
pub const CALLER: &str = "+14155550199";

/// What a house is built with, where a story needs something else than the usual.
pub struct Plan {
    /// The table, with `{desk}` and `{mobile}` for the addresses of these.
    pub table: String,
    /// More lines of `[sip]`.
    pub sip: &'static str,
    /// More lines of `[trunk.pbx]`.
    pub trunk: String,
    /// Where the trunk is reached, if not at the PBX itself.
    pub trunk_address: Option<SocketAddr>,
    /// The agent's address, or a list of them, with `{agent}` and `{stand_by}`.
    pub agent_address: &'static str,
    /// More lines of `[agent.booking]`, or more agents.
    pub agent: String,
    /// More lines of `[environment.production]`.
    pub environment: &'static str,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            table: table(REFER),
            sip: "",
            trunk: String::new(),
            trunk_address: None,
            agent_address: r#""sip:booking@{agent}""#,
            agent: String::new(),
            environment: "",
        }
    }
}

/// How the usual destination is reached. Its time limits are short, as silence is waited for.
pub const REFER: &str = r#"method = "refer"
route = "sip:desk@{desk}"
timeouts = { response = "1s", outcome = "1500ms", ring = "5s" }
"#;
/// Baton calls the desk and joins it with the caller.
pub const INVITE: &str = r#"method = "invite"
route = "sip:desk@{desk}"
timeouts = { ring = "5s" }
"#;
/// Baton calls the desk, and the caller's side takes it over.
pub const ATTENDED: &str = r#"method = "attended"
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

/// The usual table, with a second destination, which is called on a mobile phone.
pub fn table_with_mobile(lines: &str) -> String {
    let mut table = table(lines);
    table.push_str("\n[destination.mobile]\nmethod = \"invite\"\nroute = \"sip:me@{mobile}\"\n");
    table
}

/// Where everybody is, for the configuration.
struct Places {
    sip: SocketAddr,
    http: SocketAddr,
    pbx: SocketAddr,
    agent: SocketAddr,
    stand_by: SocketAddr,
    desk: SocketAddr,
    mobile: SocketAddr,
}

impl Places {
    fn find() -> Places {
        Places {
            sip: free_address("127.0.0.1"),
            http: free_address("127.0.0.1"),
            pbx: free_address(PBX),
            agent: free_address(AGENT),
            stand_by: free_address(AGENT),
            desk: free_address(DESK),
            mobile: free_address(DESK),
        }
    }

    /// A text that names them.
    fn fill(&self, text: &str) -> String {
        [
            ("{agent}", self.agent),
            ("{stand_by}", self.stand_by),
            ("{desk}", self.desk),
            ("{mobile}", self.mobile),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (name, address)| text.replace(name, &address.to_string()))
    }

    /// `baton.toml` for a plan.
    fn configuration(&self, plan: &Plan) -> String {
        let Places { sip, http, .. } = self;
        let more_sip = plan.sip;
        let trunk = plan.trunk_address.unwrap_or(self.pbx);
        let more_environment = plan.environment;
        let (more_trunk, more_agent, agent) = (&plan.trunk, &plan.agent, self.fill(plan.agent_address));
        format!(
            r#"[sip]
listen = ["udp:{sip}", "tcp:{sip}"]
{more_sip}
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
address     = {agent}
numbers     = ["{NUMBER}"]
environment = "production"
fallback    = "front-desk"
{more_agent}
[environment.production]
table = "destinations.toml"
{more_environment}
"#
        )
    }
}

/// A running Baton and the addresses around it. Dropping it ends Baton; `close` also asserts that it ended well.
pub struct House {
    pub sip: SocketAddr,
    pub pbx: SocketAddr,
    pub agent: SocketAddr,
    pub desk: SocketAddr,
    pub mobile: SocketAddr,
    stand_by: SocketAddr,
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
        let places = Places::find();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("baton.toml");
        fs::write(&path, places.configuration(&plan)).expect("the test's folder can be written");
        fs::write(dir.path().join("destinations.toml"), places.fill(&plan.table))
            .expect("the test's folder can be written");

        let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
        command
            .args(["serve", "--config"])
            .arg(&path)
            .env("PBX_PASSWORD", "s3cret")
            .env_remove("BATON_TOKEN");
        let mut baton = Process::start(command, "baton", dir.path(), "(it is built here)");
        let Places { sip, http, pbx, agent, stand_by, desk, mobile } = places;
        await_ready(http, &mut baton, dir.path());
        let token =
            fs::read_to_string(dir.path().join("state/http-token")).expect("state/http-token is there");
        let token = token.trim().to_owned();
        House { sip, pbx, agent, stand_by, desk, mobile, http, token, baton, dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The agent, played by a scenario.
    pub fn agent<'a>(&'a self, scenario: &'a str) -> Script<'a> {
        Script::callee(self.dir(), scenario, self.agent)
    }

    /// The agent's second address.
    pub fn stand_by<'a>(&'a self, scenario: &'a str) -> Script<'a> {
        Script::callee(self.dir(), scenario, self.stand_by).audio("42000")
    }

    /// The desk that the destination's route names.
    pub fn desk<'a>(&'a self, scenario: &'a str) -> Script<'a> {
        Script::callee(self.dir(), scenario, self.desk).audio("50000")
    }

    /// The phone of the second destination.
    pub fn mobile<'a>(&'a self, scenario: &'a str) -> Script<'a> {
        Script::callee(self.dir(), scenario, self.mobile).audio("52000")
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

    /// Waits for the answered call, and decides to hand it to the front desk; the handoff runs.
    pub fn begin_handoff(&self) -> String {
        let call = self.answered_call();
        let decision = json!({ "destination": "front-desk" });
        let (status, handoff) = self.post(&format!("/v1/calls/{call}/handoff"), &decision);
        assert_eq!(status, 202, "{handoff:#}");
        call
    }

    /// The same, and waits for its end.
    pub fn hand_to_front_desk(&self) -> (String, Value) {
        self.hand_over(&json!({ "destination": "front-desk" }))
    }

    /// Waits for the answered call, decides as `request` says, and waits for the end of the handoff.
    pub fn hand_over(&self, request: &Value) -> (String, Value) {
        let call = self.answered_call();
        let (status, handoff) = self.post(&format!("/v1/calls/{call}/handoff?wait=15s"), request);
        assert_eq!(status, 200, "the handoff did not end: {handoff:#}\n{}", self.log());
        (call, handoff)
    }

    /// The only handoff of a call, if it has one.
    fn handoff(&self, call: &str) -> Option<Value> {
        let call = self.get(&format!("/v1/calls/{call}"));
        Some(self.get(&format!("/v1/handoffs/{}", call["handoffs"].get(0)?.as_str()?)))
    }

    /// The only handoff of a call, once it has ended.
    pub fn ended_handoff(&self, call: &str) -> Value {
        eventually("the call's handoff has ended", || {
            self.handoff(call).filter(|handoff| !handoff["ended_at"].is_null())
        })
    }

    /// Waits until the only handoff of a call is in that state.
    pub fn await_handoff_state(&self, call: &str, state: &str) {
        eventually(&format!("the handoff is {state}"), || {
            self.handoff(call).filter(|handoff| handoff["state"] == state).map(|_| ())
        });
    }

    /// Takes the only handoff of a call back.
    pub fn cancel_handoff(&self, call: &str) -> Value {
        let id = text(&self.handoff(call).expect("the call has a handoff")["id"]);
        let (status, handoff) = self.request("DELETE", &format!("/v1/handoffs/{id}"), None);
        assert_eq!(status, 200, "{handoff:#}");
        handoff
    }

    /// Who is in a call now.
    pub fn parties(&self, call: &str) -> Vec<String> {
        let call = self.get(&format!("/v1/calls/{call}"));
        call["legs"].as_array().into_iter().flatten().map(|leg| text(&leg["role"])).collect()
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

impl Drop for House {
    /// What everybody saw stays where it is when a story went wrong.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("configuration, logs and messages are in {}", self.dir().display());
        }
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
        self.assert_failures(&[said]);
    }

    /// So many attempts failed, in this order, and the WARN line of each says all of what is given for it.
    pub fn assert_failures(&self, said: &[&[&str]]) {
        let failed = self.failed_attempts();
        assert_eq!(failed.len(), said.len(), "failed attempts in\n{}", self.0);
        for (line, said) in failed.iter().zip(said) {
            for part in *said {
                assert!(line.contains(part), "`{part}` is not said by\n{line}");
            }
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

/// Method, status and cause of each of a handoff's attempts; 0 and "" where there is none.
pub fn attempts(handoff: &Value) -> Vec<(&str, u64, &str)> {
    fn told(attempt: &Value) -> (&str, u64, &str) {
        let text = |name: &str| attempt[name].as_str().unwrap_or_default();
        (text("method"), attempt["status"].as_u64().unwrap_or_default(), text("cause"))
    }
    let attempts = handoff["attempts"].as_array().into_iter().flatten();
    attempts.map(told).collect()
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

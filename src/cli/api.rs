//! The client of the daemon's API. Address and token come from the same configuration that the daemon reads.

use super::Global;
use super::exit::{Exit, Failure};
use super::page;
use crate::daemon::configuration::access;
use crate::http::in_force::HEADER;
use crate::http::problem::Problem;
use crate::observe::secret::Secret;
use crate::store::StateDir;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// For an answer, beyond what was asked to be waited for.
const ANSWER_BEYOND_WAIT: Duration = Duration::from_secs(10);
/// For a new state to be in force: names may have to be resolved before.
pub(super) const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes: a page of calls has under 1 MB.
const ANSWER: u64 = 64 << 20;

/// A way to the daemon.
pub(super) struct Client {
    agent: Agent,
    address: SocketAddr,
    token: Secret,
    /// Where the configuration stands, for what is said when nobody answers.
    config: PathBuf,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a, B> {
    Get(&'a str),
    Post(&'a str, &'a B),
}

impl Client {
    /// By the configuration that `global` names.
    pub(super) fn new(global: &Global) -> Result<Client, Failure> {
        let config = global.path()?;
        let access = access(&config).map_err(|faults| Failure::diagnostics(&faults))?;
        let state = StateDir::at(&access.state_dir);
        let unreachable = |error: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Unreachable,
                format!(
                    "the daemon is not reachable: {error}\n  is `baton serve` running with {}, and may you read its state.dir?",
                    config.display()
                ),
            )
        };
        let slips = access.slips;
        let unreachable = |error: &dyn std::fmt::Display| match slips.is_empty() {
            true => unreachable(error),
            false => Failure::diagnostics(&slips),
        };
        let address = match access.http.listen {
            any if any.port() == 0 || !slips.is_empty() => {
                state.http_address().map_err(|error| unreachable(&error))?
            }
            address => address,
        };
        let token = match access.http.token {
            Some(token) => token,
            None => state.existing_token().map_err(|error| unreachable(&error))?,
        };
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        Ok(Client { agent, address: local(address), token, config })
    }

    /// Asks, and reads the answer.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask::<(), T>(Ask::Get(path), Duration::ZERO)
    }

    /// As [`Client::get`], of a request that answers after up to `wait`.
    pub(super) fn ask<B: Serialize, T: DeserializeOwned>(
        &self,
        ask: Ask<'_, B>,
        wait: Duration,
    ) -> Result<T, Failure> {
        let within = Some(ANSWER_BEYOND_WAIT + wait);
        let bearer = format!("Bearer {}", self.token.expose());
        let url = |path: &str| format!("http://{}{path}", self.address);
        let answer = match ask {
            Ask::Get(path) => {
                let request = self.agent.get(url(path)).header("Authorization", bearer);
                request.config().timeout_global(within).build().call()
            }
            Ask::Post(path, body) => {
                let request = self.agent.post(url(path)).header("Authorization", bearer);
                request.config().timeout_global(within).build().send_json(body)
            }
        };
        match answer {
            Ok(answer) => read(answer),
            Err(error) => Err(self.unanswered(&error)),
        }
    }

    fn unanswered(&self, error: &ureq::Error) -> Failure {
        Failure::new(
            Exit::Unreachable,
            format!(
                "the daemon does not answer at http://{}: {error}\n  is `baton serve` running with {}?",
                self.address,
                self.config.display()
            ),
        )
    }
}

/// A daemon that listens on all addresses is reached on this machine by loopback.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn read<T: DeserializeOwned>(mut answer: Response<Body>) -> Result<T, Failure> {
    if let Some(said) = answer.headers().get(HEADER).and_then(|said| said.to_str().ok()) {
        page::warn(&format!("not in force: {said}"));
    }
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(ANSWER).read_to_vec();
    let body = body.map_err(|error| Failure::new(Exit::Failed, format!("the answer broke off: {error}")))?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| Failure::new(Exit::Failed, format!("the answer cannot be read: {error}")));
    }
    let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
        return Err(Failure::new(Exit::Failed, format!("the daemon answered {status}")));
    };
    Err(failure_of(&problem))
}

fn failure_of(problem: &Problem) -> Failure {
    let exit = match problem.status {
        _ if &*problem.code == "configuration_invalid" => Exit::Configuration,
        404 => Exit::NotFound,
        409 => Exit::Conflict,
        _ => Exit::Failed,
    };
    let hint = match problem.status {
        401 => "\n  the token of this configuration is not the one that the daemon was started with",
        _ => "",
    };
    let shown: String = problem
        .errors
        .iter()
        .filter_map(|error| error.shown.as_deref())
        .map(|fault| format!("{fault}\n\n"))
        .collect();
    Failure { exit, message: format!("{shown}baton: {}{hint}", problem.detail) }
}

/// One segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

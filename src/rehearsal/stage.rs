//! The real engine on a loopback socket: one shard with its thread, a trunk, an agent and a table in memory.
//!
//! Nothing of it is a stand-in: the same shard, sockets, commands and events as in the daemon; what is missing is the
//! configuration file and the HTTP server. Called by [`super::play`].

use super::cast::{CALLED, Cast, table as destinations};
use super::durations::BATONS_NEWS;
use super::fault::Fault;
use super::tape::Tape;
use crate::call::command::{Command, HandoffRequest, Reply};
use crate::call::engine::{Engine, Settings};
use crate::call::event::{Event, EventKind};
use crate::call::record::{CallState, HandoffView};
use crate::net::counts::Counts;
use crate::net::listen::{Bound, Listen, bind};
use crate::net::paths::Paths;
use crate::net::resolve::Resolver;
use crate::net::tcp::Limits;
use crate::net::tcp::connections::{Around, Connections};
use crate::net::udp::Sockets;
use crate::observe::line::Sink;
use crate::observe::secret::Secret;
use crate::routing::Tables;
use crate::routing::file::{Report, Section, Source};
use crate::routing::table;
use crate::routing::topology::read::Parties;
use crate::routing::topology::secret::{SecretSource, Secrets};
use crate::shard::turn::run;
use crate::shard::{Clock, Network, Shards, Start};
use crate::sip::ident::{Seed, SlotKey};
use crate::sip::{self, Transport};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

/// What the engine has told.
#[derive(Debug, Default)]
struct News {
    handoff: Mutex<Option<HandoffView>>,
    ended: Mutex<bool>,
    bell: Notify,
}

/// The engine under way.
pub(super) struct Stage {
    /// Where it listens for SIP over UDP.
    pub(super) sip: SocketAddr,
    shards: Arc<Shards>,
    news: Arc<News>,
    tape: Tape,
    /// Taken when it is joined.
    thread: Option<JoinHandle<()>>,
}

impl Stage {
    /// Brings the engine up between these peers. Must be called inside a tokio runtime, which serves what the
    /// network layer does beside the shard.
    ///
    /// # Errors
    /// [`Fault`] if a socket or a thread cannot be had, or the built-in table is refused.
    pub(super) fn open(cast: &Cast, tape: Tape) -> Result<Stage, Fault> {
        let listen =
            Listen { transport: Transport::Udp, address: (Ipv4Addr::LOCALHOST, 0).into(), advertised: None };
        let bound = bind(&[listen]).map_err(|error| Fault::Verdict(error.to_string()))?;
        let sip = bound.listeners.first().map(|listener| listener.local);
        let sip = sip.ok_or_else(|| Fault::Verdict("no socket was bound".to_owned()))?;
        let tables = Arc::new(tables(cast)?);
        let key = SlotKey(random()?);
        let shards = Shards::new(1, key, Arc::default());
        let news = Arc::new(News::default());
        let start = start(bound, tables, &shards, &news, key)?;
        let thread = std::thread::Builder::new().name("shard-0".to_owned()).spawn(move || {
            // A shard that cannot start answers nothing, and the first script says so.
            let _ = run(start);
        });
        let thread =
            thread.map_err(|source| Fault::Io { what: "cannot start a thread".to_owned(), source })?;
        let thread = Some(thread);
        Ok(Stage { sip, shards, news, tape, thread })
    }

    /// Forgets the news of the scene before.
    pub(super) fn begin(&self) {
        *lock(&self.news.handoff) = None;
        *lock(&self.news.ended) = false;
    }

    /// Decides as `POST /v1/calls/{call}/handoff` does: the same request, the same command.
    ///
    /// # Errors
    /// [`Fault::Verdict`] if the engine refuses or does not answer.
    pub(super) async fn decide(&self, call: &str, request: HandoffRequest) -> Result<(), Fault> {
        let body = serde_json::to_string(&request).map_err(|error| Fault::Verdict(error.to_string()))?;
        self.tape.note(format!("decision, as by POST /v1/calls/{{id}}/handoff: {body}"));
        match self.ask(Command::Handoff { call: call.to_owned(), request: Box::new(request) }).await? {
            Reply::Handoff(_) => Ok(()),
            other => Err(Fault::Verdict(format!("the decision was not taken: {other:?}"))),
        }
    }

    /// Waits until Baton says that caller and agent talk.
    ///
    /// # Errors
    /// [`Fault::Verdict`] if that does not come.
    pub(super) async fn talking(&self, call: &str) -> Result<(), Fault> {
        let wait = async {
            loop {
                match self.ask(Command::ShowCall { call: call.to_owned() }).await? {
                    Reply::Call(view) if view.state == CallState::Talking => return Ok(()),
                    Reply::Call(_) => tokio::task::yield_now().await,
                    other => return Err(Fault::Verdict(format!("the call {call} is not there: {other:?}"))),
                }
            }
        };
        timeout(BATONS_NEWS, wait)
            .await
            .map_err(|_| Fault::Verdict(format!("the call {call} never stood")))?
    }

    /// Waits until the handoff of this scene is over.
    ///
    /// # Errors
    /// [`Fault::Verdict`] if it does not end.
    pub(super) async fn handoff_over(&self) -> Result<HandoffView, Fault> {
        self.heard("the handoff has no end", || lock(&self.news.handoff).clone()).await
    }

    /// Waits until handoff and call are over and nothing of them is left; gives the handoff.
    ///
    /// # Errors
    /// [`Fault::Verdict`] if something is left.
    pub(super) async fn last_handoff(&self) -> Result<HandoffView, Fault> {
        let view = self.handoff_over().await?;
        self.heard("the call has no end", || lock(&self.news.ended).then_some(())).await?;
        let counters = self.shards.counters().await.map_err(|error| Fault::Verdict(error.to_string()))?;
        if (counters.calls_live, counters.handoffs_live, counters.callers_hurt) != (0, 0, 0) {
            return Err(Fault::Verdict(format!(
                "after the scene {} calls and {} handoffs are left, {} callers were hurt",
                counters.calls_live, counters.handoffs_live, counters.callers_hurt
            )));
        }
        Ok(view)
    }

    async fn heard<T>(&self, otherwise: &str, look: impl Fn() -> Option<T>) -> Result<T, Fault> {
        let wait = async {
            loop {
                // Registered before the look, so that news in between is not missed.
                let rung = self.news.bell.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                rung.await;
            }
        };
        timeout(BATONS_NEWS, wait).await.map_err(|_| Fault::Verdict(otherwise.to_owned()))
    }

    async fn ask(&self, command: Command) -> Result<Reply, Fault> {
        self.shards.command(command).await.map_err(|error| Fault::Verdict(error.to_string()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shards.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the shard was told by its silence.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl News {
    /// Called on the shard's thread.
    fn hear(&self, event: Event) {
        match event.what {
            EventKind::HandoffEnded { handoff, .. } => {
                *lock(&self.handoff) = Some(Arc::unwrap_or_clone(handoff))
            }
            EventKind::CallEnded(_) => *lock(&self.ended) = true,
            _ => return,
        }
        self.bell.notify_waiters();
    }
}

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Fault::Verdict(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// A shard with all that it needs, not started yet.
fn start(
    bound: Bound,
    tables: Arc<Tables>,
    shards: &Arc<Shards>,
    news: &Arc<News>,
    key: SlotKey,
) -> Result<Start, Fault> {
    let (clock, counts) = (Clock::start(), Arc::new(Counts::default()));
    let log: Sink = Arc::new(|_| ());
    let news = Arc::clone(news);
    let paths = Arc::new(Paths::new(&bound.listeners));
    let runtime = Handle::current();
    let connections = Connections::new(Around {
        runtime: runtime.clone(),
        deliver: shards.clone(),
        listeners: bound.listeners.clone(),
        limits: Limits::default(),
        known: Arc::new(|_| None),
        counts: Arc::clone(&counts),
        log: Arc::clone(&log),
    });
    let resolver =
        Resolver::new(paths, no_dns()?, runtime, shards.clone(), Arc::clone(&counts), Arc::clone(&log));
    let settings = Settings {
        stack: sip::Settings {
            session_timer: Some(sip::leg::session_timer::Settings::default()),
            listeners: bound.listeners.clone(),
            parties: Vec::new(),
            seed: Seed(random()?),
            product: sip::PRODUCT.into(),
        },
        slot_key: key,
        max_calls: 10,
        occupancy: Default::default(),
        announced: Default::default(),
        shows_messages: false,
        max_duration: Duration::from_secs(60),
        tables,
    };
    let sockets = Sockets::new(bound.listeners.len(), &bound.udp, Arc::clone(&counts));
    Ok(Start {
        index: 0,
        shards: Arc::clone(shards),
        engine: Engine::new(clock.now(), settings),
        clock,
        reads: bound.udp,
        network: Network { sockets, connections, resolver, counts },
        events: Arc::new(move |event| news.hear(event)),
        log,
    })
}

/// A resolver that knows no name server: everything in the demo is an address.
fn no_dns() -> Result<TokioResolver, Fault> {
    let builder =
        TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default());
    builder.build().map_err(|error| Fault::Verdict(error.to_string()))
}

/// The demo has no secrets.
struct NoSecrets;

impl Secrets for NoSecrets {
    fn fetch(&self, _: &SecretSource) -> Result<Secret, String> {
        Err("the demo has no secrets".to_owned())
    }
}

/// The configuration and the table of the demo, read as `baton check` reads files.
fn tables(cast: &Cast) -> Result<Tables, Fault> {
    let (pbx, agent, desk) = (cast.pbx.address(), cast.agent.address(), cast.desk.address());
    let text = format!(
        "[trunk.pbx]\naddress = \"sip:{pbx}\"\n[agent.booking]\naddress = \"sip:booking@{agent}\"\n\
         numbers = [\"{CALLED}\"]\n[environment.production]\ntable = \"destinations.toml\"\n"
    );
    let source = Source::new("the demo's configuration", &text);
    let mut report = Report::new(&source);
    let tree = report.parse();
    let mut top = Section::new("", 0..0, &tree);
    let parties = Parties::read(&mut top, &mut report, &NoSecrets, Path::new(""));
    top.finish(&mut report);
    let environment = Arc::from("production");
    let (table, told) =
        table::read(&Source::new("the demo's table", &destinations(desk)), &environment, None);
    let told: Vec<String> = report.finish().iter().chain(&told).map(ToString::to_string).collect();
    match table {
        Some(table) if told.is_empty() => Ok(Tables {
            serial: 1,
            topology: parties.topology(),
            environments: [("production".into(), Arc::new(table))].into(),
        }),
        _ => Err(Fault::Verdict(told.join("\n"))),
    }
}

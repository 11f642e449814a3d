//! Puts the daemon together, runs it until it is told to stop, and takes it apart again.

use super::configuration::{Configuration, load};
use super::numbering::Numbering;
use super::reload::{self, Reloader, diagnostic_line, first};
use super::sources::Sources;
use super::telemetry::Telemetry;
use super::watch::{self as files, FileWatch, Seen};
use super::{descriptors, stop, systemd};
use crate::call::engine::{Announced, Engine, Occupancy, Settings};
use crate::http::guard::Guard;
use crate::http::history::History;
use crate::http::in_force::NotInForce;
use crate::http::listener::Doors;
use crate::http::request::Request;
use crate::http::{self, Api, Readiness};
use crate::net::Deliver;
use crate::net::counts::{Counts, Lost};
use crate::net::listen::{self, Bound, Listen, ListenError};
use crate::net::paths::Paths;
use crate::net::patience;
use crate::net::refusals;
use crate::net::resolve::{Resolver, system_dns};
use crate::net::tcp::connections::{Around, Connections};
use crate::net::tcp::{self, Known, Limits};
use crate::net::udp::Sockets;
use crate::observe::line::{Level, Line, Sink};
use crate::rehearsal::Agents;
use crate::routing::Tables;
use crate::routing::file::Diagnostic;
use crate::routing::topology::{Listener as Configured, SessionTimer};
use crate::shard::{Clock, Network, Shards, Start, turn};
use crate::sip;
use crate::sip::ident::{Seed, SlotKey};
use crate::store::records::Records;
use crate::store::replace;
use crate::store::versions::Versions;
use crate::store::{StateDir, StoreError};
use anyhow::{Context, anyhow};
use hickory_resolver::TokioResolver;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle as Task;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// What a fault in the state directory is a fault of.
const STATE: &str = "state.dir, which must be a directory that this user may write";
/// Names of trunks and agents are asked for again this often.
const REFRESH: Duration = Duration::from_secs(60);
/// Old tables are looked at this often.
const SWEEP: Duration = Duration::from_secs(2);
/// Requests to the API that are being answered at the end may take this long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// A shard ends with its turn; one that does not turn any more is left behind.
const LAST_TURN: Duration = Duration::from_secs(2);
/// Threads for the API, streams and names. The calls have their own.
const SIDE_THREADS: usize = 2;

/// Why the daemon did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The files are faulty.
    #[error("the configuration has {} faults", .0.len())]
    Invalid(Vec<Diagnostic>),
    /// Anything else, before there was a log.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// Anything else; the log has told it.
    #[error("{0:#}")]
    Told(anyhow::Error),
}

impl From<anyhow::Error> for ServeError {
    fn from(error: anyhow::Error) -> ServeError {
        ServeError::Failed(error)
    }
}

impl ServeError {
    /// Whether it is a fault of what somebody has written or permitted, so that another start would end the same way.
    pub fn is_configuration(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        let error = match self {
            ServeError::Invalid(_) => return true,
            ServeError::Failed(error) | ServeError::Told(error) => error,
        };
        let kind = match (error.downcast_ref(), error.downcast_ref()) {
            (Some(StoreError { error, .. }), _) | (_, Some(ListenError::Bind { error, .. })) => error.kind(),
            _ => return false,
        };
        matches!(kind, PermissionDenied | ReadOnlyFilesystem | NotADirectory)
    }
}

/// Runs the daemon on the configuration at `path` until SIGTERM or SIGINT.
///
/// # Errors
/// It could not start, or a shard broke.
pub fn serve(path: &Path) -> Result<(), ServeError> {
    // Read twice: first for the names of the files, then for what they say, after it was noted how they look. A change
    // at any time after that is noticed.
    let seen = load(path).configuration.map(|configuration| files::look(configuration.files()));
    let loaded = load(path);
    let Some(configuration) = loaded.configuration else {
        return Err(ServeError::Invalid(loaded.diagnostics));
    };
    let seen = seen.unwrap_or_else(|| files::look(configuration.files()));
    let state = StateDir::create(&configuration.state_dir).context(STATE)?;
    let history = Arc::<History>::default();
    let lost = Arc::<Lost>::default();
    let records = Records::open(&state).context(STATE)?;
    let telemetry = Telemetry::start(configuration.log, Arc::clone(&history), records, Arc::clone(&lost))
        .context("cannot start a thread")?;
    let log = telemetry.sink();
    tell_panics(Arc::clone(&log));
    descriptors::take(&log);
    loaded.diagnostics.iter().for_each(|diagnostic| log(diagnostic_line(diagnostic)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SIDE_THREADS)
        .thread_name("side")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let parts =
        Parts { configuration, state, history, lost, telemetry: &telemetry, log: Arc::clone(&log), seen };
    let ended = runtime.block_on(run(parts, &runtime));
    let ended = ended.map_err(|error| {
        log(Line::error("serve.failed").text("reason", format!("{error:#}")));
        ServeError::Told(error)
    });
    // Connections and lookups end here; the last lines and records are written after it.
    runtime.shutdown_timeout(LAST_ANSWERS);
    telemetry.finish();
    ended
}

/// A panic is a line of the log like any other, without control characters of whatever caused it.
fn tell_panics(log: Sink) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = turn::said(panic.payload());
        let thread = thread::current().name().unwrap_or_default().to_owned();
        log(Line::error("panic").text("thread", thread).text("place", place).text("message", message));
    }));
}

struct Parts<'a> {
    configuration: Configuration,
    state: StateDir,
    history: Arc<History>,
    lost: Arc<Lost>,
    telemetry: &'a Telemetry,
    log: Sink,
    seen: Seen,
}

async fn run(parts: Parts<'_>, runtime: &Runtime) -> anyhow::Result<()> {
    let Parts { mut configuration, state, history, lost, telemetry, log, seen } = parts;
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let bound = listen::bind(&listens(&configuration)).context("sip.listen")?;
    let (api_listener, guard) = bind_api(&configuration, &state, &log).await?;
    let api_address = api_listener.local_addr().context("http.listen")?;
    let dns = system_dns().map_err(|error| anyhow!("cannot set up the resolver: {error}"))?;
    // Kept until the last call is over: a drain's callers may be with one of them.
    let rehearsals = Arc::new(rehearsals(&bound, &log));
    let mut sources = Sources::new(dns.clone(), Arc::clone(&rehearsals), Arc::clone(&log));
    sources.refresh(&configuration.topology).await;
    configuration.topology.environments().iter().for_each(|known| replace::clean_up(&known.table));
    let versions = Arc::new(Versions::new(&state));
    let mut numbering = Numbering::open(Arc::clone(&versions), Arc::clone(&log)).await;
    let tables = first(&mut configuration, &sources, &mut numbering).await;

    let key = state.slot_key().context(STATE)?;
    let counts = Arc::<Counts>::default();
    let shards = Shards::new(workers(configuration.sip.workers), key, Arc::clone(&counts));
    let (publish, in_force) = watch::channel(Arc::clone(&tables));
    let known = known(&in_force);
    let network = network(&bound, dns, &shards, runtime, (&counts, &known), &log);
    let clock = Clock::start();
    let (broke, mut broken) = mpsc::channel(shards.count());
    let engines = Engines { configuration: &configuration, tables: &tables, bound: &bound, key, clock };
    let threads = engines.start(&shards, &network, telemetry, &log, &broke)?;
    accept(&bound, &network.connections, &known)?;

    let (not_in_force, told) = watch::channel(NotInForce::default());
    let doors = Arc::<Doors>::default();
    let readiness = Arc::<Readiness>::default();
    let (reload, mut asked) = mpsc::channel(16);
    let connections = Arc::clone(&network.connections);
    let api = Api {
        shards: Arc::clone(&shards),
        history,
        tables: in_force,
        not_in_force: told,
        readiness: Arc::clone(&readiness),
        reload,
        versions,
        documents: Default::default(),
        counts,
        connections,
        lost,
        doors: Arc::clone(&doors),
        ways: Arc::new(Paths::new(&bound.listeners)),
        session_timer: configuration.sip.session_timer.map(session_timer),
    };
    let (stop_api, api_stops) = oneshot::channel::<()>();
    let api = Arc::new(api);
    let routers = (http::router(Arc::clone(&api), Arc::new(guard)), http::probes(api));
    let serving: Task<()> = tokio::spawn(http::serve(api_listener, doors, routers, async {
        // Sent or dropped: it is the end either way.
        let _ = api_stops.await;
    }));
    tokio::spawn(systemd::feed_watchdog(Arc::clone(&shards), Arc::clone(&log)));

    let grace = configuration.sip.drain;
    let parts = reload::Parts {
        tables: publish,
        not_in_force,
        shards: Arc::clone(&shards),
        sources,
        numbering,
        state,
        log: Arc::clone(&log),
    };
    let reloader = Reloader::new(configuration, parts);
    let watch = FileWatch::new(seen, Arc::clone(&log));
    readiness.ready();
    tell_ready(&bound, api_address, shards.count(), &log);
    let ended = control(reloader, watch, &mut signals, &mut asked, &mut broken, &log).await;

    // Whoever asks for a reload from now on is told that the daemon is stopping.
    drop(asked);
    if ended.is_ok() {
        stop::drain(&shards, clock, grace, &readiness, &log, signals.stop()).await;
    }
    shards.stop();
    take_apart(threads, stop_api, serving, &log).await;
    drop(rehearsals);
    log(Line::info("serve.stopped"));
    ended
}

/// Waits until the shards' threads have ended, and gives what the API is answering a last moment.
async fn take_apart(
    threads: Vec<JoinHandle<()>>,
    stop_api: oneshot::Sender<()>,
    serving: Task<()>,
    log: &Sink,
) {
    let all = async {
        for thread in threads {
            // A shard that panicked has been reported; its thread is gone all the same.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    };
    if patience::within(LAST_TURN, all).await.is_none() {
        log(Line::error("shard.left").text("hint", "the loop of a shard does not turn; it is left behind"));
    }
    drop(stop_api);
    // What was not answered by now waits for something that does not come any more.
    if let Ok(Err(error)) = timeout(LAST_ANSWERS, serving).await {
        log(Line::error("http.failed").text("reason", error.to_string()));
    }
}

async fn bind_api(
    configuration: &Configuration,
    state: &StateDir,
    log: &Sink,
) -> anyhow::Result<(TcpListener, Guard)> {
    let at = configuration.http.listen;
    let listener = TcpListener::bind(at).await.map_err(|error| ListenError::Bind {
        transport: "tcp",
        address: at,
        error,
    });
    let listener = listener.context("http.listen")?;
    let address = listener.local_addr().context("http.listen")?;
    state.write_http_address(address).context(STATE)?;
    let token = match configuration.http.token.clone() {
        Some(token) => token,
        None => state.token().context(STATE)?,
    };
    let public_url = configuration.http.public_url.as_ref().map(|url| &*url.text);
    Ok((listener, Guard::new(token, address, public_url, Arc::clone(log))))
}

/// One shard up to four cores: a second one buys capacity, and costs each call a hand-over. Beyond that one for each
/// two cores; the others have the kernel's share of the work.
fn workers(configured: u16) -> usize {
    match (configured, thread::available_parallelism().map_or(1, usize::from)) {
        (0, 0..=4) => 1,
        (0, cores) => (cores / 2).min(usize::from(u16::MAX)),
        (workers, _) => usize::from(workers),
    }
}

fn listens(configuration: &Configuration) -> Vec<Listen> {
    let listen = |listener: &Configured| Listen {
        transport: listener.transport,
        address: listener.address,
        advertised: configuration
            .sip
            .advertise
            .at(listener)
            .map(|advertised| (advertised.host.to_string(), advertised.port)),
    };
    configuration.sip.listen.iter().map(listen).collect()
}

fn network(
    bound: &Bound,
    dns: TokioResolver,
    shards: &Arc<Shards>,
    runtime: &Runtime,
    (counts, known): (&Arc<Counts>, &Known),
    log: &Sink,
) -> Network {
    let deliver: Arc<dyn Deliver> = Arc::clone(shards) as Arc<dyn Deliver>;
    let connections = Connections::new(Around {
        runtime: runtime.handle().clone(),
        deliver: Arc::clone(&deliver),
        listeners: bound.listeners.clone(),
        limits: Limits::default(),
        known: Arc::clone(known),
        counts: Arc::clone(counts),
        log: Arc::clone(log),
    });
    watch_refusals(bound, &deliver, log);
    let paths = Arc::new(Paths::new(&bound.listeners));
    let resolver =
        Resolver::new(paths, dns, runtime.handle().clone(), deliver, Arc::clone(counts), Arc::clone(log));
    let sockets = Sockets::new(bound.listeners.len(), &bound.udp, Arc::clone(counts));
    Network { sockets, connections, resolver, counts: Arc::clone(counts) }
}

/// Who refuses our datagrams is told to the shards.
fn watch_refusals(bound: &Bound, deliver: &Arc<dyn Deliver>, log: &Sink) {
    let sockets = bound.udp.iter().map(|(index, socket)| (*index, &**socket));
    if let Err(error) = refusals::watch(sockets, deliver) {
        log(Line::warn("net.refusals_unseen").text("reason", error.to_string()));
    }
}

/// The agents inside this process, in the family of addresses that Baton can call by UDP.
fn rehearsals(bound: &Bound, log: &Sink) -> Agents {
    let is_v4 =
        |listener: &sip::Listener| listener.transport == sip::Transport::Udp && listener.local.is_ipv4();
    Agents::new(bound.listeners.iter().any(is_v4), Arc::clone(log))
}

/// Who is trunk or agent by the tables in force.
fn known(tables: &watch::Receiver<Arc<Tables>>) -> Known {
    let tables = tables.clone();
    Arc::new(move |ip| {
        let topology = &tables.borrow().topology;
        // One more for those whom only their tags speak for, and those who are neither.
        let of = topology.trunks().len() + topology.agents().len() + 1;
        topology.owner_of(ip).map(|name| tcp::Group { name, of })
    })
}

/// Takes connections from those who are known.
fn accept(bound: &Bound, connections: &Arc<Connections>, known: &Known) -> anyhow::Result<()> {
    for (index, listener) in &bound.tcp {
        let listener = listener.try_clone().and_then(TcpListener::from_std).context("sip.listen")?;
        tokio::spawn(tcp::accept(listener, *index, Arc::clone(connections), Arc::clone(known)));
    }
    Ok(())
}

/// What the shards' engines are made of.
struct Engines<'a> {
    configuration: &'a Configuration,
    tables: &'a Arc<Tables>,
    bound: &'a Bound,
    key: SlotKey,
    clock: Clock,
}

impl Engines<'_> {
    /// One thread for each shard. A socket is read by one shard only; they are dealt out in turn.
    fn start(
        &self,
        shards: &Arc<Shards>,
        network: &Network,
        telemetry: &Telemetry,
        log: &Sink,
        broke: &mpsc::Sender<String>,
    ) -> anyhow::Result<Vec<JoinHandle<()>>> {
        let mut threads = Vec::with_capacity(shards.count());
        let (occupancy, announced) = (Occupancy::default(), Announced::default());
        for index in 0..shards.count() {
            let reads = self.bound.udp.iter().enumerate();
            let reads = reads.filter(|(at, _)| at % shards.count() == index).map(|(_, udp)| udp.clone());
            let start = Start {
                index: u16::try_from(index).context("too many workers")?,
                shards: Arc::clone(shards),
                engine: Engine::new(self.clock.now(), self.settings(occupancy.clone(), announced.clone())?),
                clock: self.clock,
                reads: reads.collect(),
                network: network.clone(),
                events: telemetry.events(),
                log: Arc::clone(log),
            };
            let broke = broke.clone();
            let thread = thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| turn::run(start)));
                let why = match ended {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it panicked".to_owned(),
                };
                // Nobody listens any more if the daemon is ending anyway.
                let _ = broke.blocking_send(format!("shard {index}: {why}"));
            });
            threads.push(thread.context("cannot start a thread")?);
        }
        Ok(threads)
    }

    fn settings(&self, occupancy: Occupancy, announced: Announced) -> anyhow::Result<Settings> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| anyhow!("the system has no randomness: {error}"))?;
        let sip = &self.configuration.sip;
        let max_calls = usize::try_from(sip.max_calls).context("sip.max_calls")?;
        Ok(Settings {
            stack: sip::Settings {
                session_timer: sip.session_timer.map(session_timer),
                listeners: self.bound.listeners.clone(),
                parties: Vec::new(),
                seed: Seed(seed),
                product: sip::PRODUCT.into(),
            },
            slot_key: self.key,
            max_calls,
            occupancy,
            announced,
            max_duration: sip.max_duration,
            tables: Arc::clone(self.tables),
            shows_messages: self.configuration.log.level == Level::Debug,
        })
    }
}

fn tell_ready(bound: &Bound, api: std::net::SocketAddr, shards: usize, log: &Sink) {
    let listeners: Vec<String> = bound
        .listeners
        .iter()
        .map(|listener| format!("{}:{}", listener.transport.as_param(), listener.local))
        .collect();
    log(Line::info("serve.ready")
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("sip", listeners.join(","))
        .text("http", api.to_string())
        .number("shards", shards));
    systemd::ready(log, "taking calls");
}

/// What the outside may ask of the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs until somebody asks for the end, or a shard has broken; a reload in progress holds up neither.
async fn control(
    reloader: Reloader,
    watch: FileWatch,
    signals: &mut Signals,
    asked: &mut mpsc::Receiver<Request>,
    broken: &mut mpsc::Receiver<String>,
    log: &Sink,
) -> anyhow::Result<()> {
    let Signals { terminate, interrupt, hang_up } = signals;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(why) = broken.recv() => Err(anyhow!(why)),
        () = reload_when_asked(reloader, watch, hang_up, asked, log) => Ok(()),
    }
}

/// Reloads, one after the other, for each of the reasons that there are.
async fn reload_when_asked(
    mut reloader: Reloader,
    mut watch: FileWatch,
    hang_up: &mut Signal,
    asked: &mut mpsc::Receiver<Request>,
    log: &Sink,
) {
    let mut refresh = interval(REFRESH);
    let mut sweep = interval(SWEEP);
    for timer in [&mut refresh, &mut sweep] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer.reset();
    }
    loop {
        let (why, waiting) = tokio::select! {
            _ = refresh.tick() => {
                reloader.refresh_sources().await;
                continue;
            }
            _ = sweep.tick() => {
                reloader.mend().await;
                reloader.sweep();
                continue;
            }
            _ = hang_up.recv() => ("signal", None),
            () = watch.changed() => ("file", None),
            Some(request) = asked.recv() => match request {
                Request::Reload(waiting) => ("request", Some(waiting)),
                Request::Change(change, waiting) => {
                    // Whoever asked may have gone away; what they asked for is carried out all the same.
                    let _ = waiting.send(reloader.change(*change, &mut watch).await);
                    continue;
                }
            },
        };
        systemd::reloading(log);
        let reloaded = reloader.reload(why, &mut watch).await;
        let status =
            if reloaded.is_ok() { "taking calls" } else { "taking calls; the last reload was refused" };
        systemd::ready(log, status);
        if let Some(waiting) = waiting {
            // Whoever asked may have gone away.
            let _ = waiting.send(reloaded);
        }
    }
}

/// The configured session timer in the seconds of the wire (RFC 4028 §4).
fn session_timer(configured: SessionTimer) -> sip::leg::session_timer::Settings {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    sip::leg::session_timer::Settings {
        expires: seconds(configured.expires),
        min_se: seconds(configured.min_se),
    }
}

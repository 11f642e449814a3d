//! The open stream connections: the one thing that all shards share. One connection to a peer serves them all.
//!
//! A shard calls [`Connections::send`] and is never made to wait: what a peer does not take in time is queued up to a
//! bound, and beyond it the connection is closed and every message that waited on it is given back.

use super::{Group, Known, Limits, open};
use crate::net::Deliver;
use crate::net::counts::Counts;
use crate::net::patience::Minutes;
use crate::net::unread::{Asked, Unread};
use crate::observe::line::{Line, Sink};
use crate::sip::shares::Shares;
use crate::sip::{Flow, Listener};
use dashmap::DashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// One message on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// Who hears of a failure.
    pub shard: u16,
    /// The engine's id of the transmit; 0: nobody cares.
    pub id: u64,
    /// Whether it is told when it was written, and may be taken back until that begins.
    pub told: bool,
    /// The message.
    pub bytes: Box<[u8]>,
}

/// What is remembered of a message once its bytes were taken to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) shard: u16,
    pub(super) id: u64,
    pub(super) told: bool,
}

impl Outgoing {
    pub(super) fn leaving(&self) -> Leaving {
        Leaving { shard: self.shard, id: self.id, told: self.told }
    }
}

/// It was not queued: the queue is full, or the connection is closing.
#[derive(Debug)]
pub(super) struct NotQueued {
    message: Outgoing,
    full: bool,
}

/// An open connection, or one that is being opened: its queue takes messages from the start.
#[derive(Debug)]
pub struct Connection {
    /// [`Flow::connection`].
    pub id: u64,
    /// [`Flow::listener`].
    pub listener: u16,
    /// The other end.
    pub peer: SocketAddr,
    /// Whose place it takes, and among which.
    place: (By, Arc<str>),
    queue: mpsc::Sender<Outgoing>,
    queued_bytes: AtomicUsize,
    closing: AtomicBool,
    close: Notify,
    /// Its task reads: there may be something to read.
    reads: AtomicBool,
    asked: Asked,
    opened: Instant,
    /// Milliseconds after `opened`.
    active: AtomicU64,
}

impl Connection {
    pub(super) fn queue(&self, message: Outgoing, limits: &Limits) -> Result<(), NotQueued> {
        let length = message.bytes.len();
        if self.closing.load(Ordering::Acquire) {
            return Err(NotQueued { message, full: false });
        }
        if self.queued_bytes.fetch_add(length, Ordering::AcqRel) + length > limits.queued_bytes {
            self.queued_bytes.fetch_sub(length, Ordering::AcqRel);
            return Err(NotQueued { message, full: true });
        }
        self.queue.try_send(message).map_err(|error| {
            self.queued_bytes.fetch_sub(length, Ordering::AcqRel);
            match error {
                mpsc::error::TrySendError::Full(message) => NotQueued { message, full: true },
                mpsc::error::TrySendError::Closed(message) => NotQueued { message, full: false },
            }
        })
    }

    pub(super) fn written(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.touch();
    }

    pub(super) fn touch(&self) {
        let millis = self.opened.elapsed().as_millis();
        self.active.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn last_active(&self) -> Instant {
        self.opened + std::time::Duration::from_millis(self.active.load(Ordering::Relaxed))
    }

    /// From now on the task of the connection asks for [`Connection::asked`].
    pub(super) fn begins_to_read(&self) {
        self.reads.store(true, Ordering::Release);
    }

    /// Who waits until all is read that has arrived.
    pub(super) async fn asked(&self) -> Vec<Unread> {
        self.asked.asked().await
    }

    /// Ends when somebody has asked for the connection to be closed.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    fn shut(&self) {
        self.closing.store(true, Ordering::Release);
        self.close.notify_one();
    }
}

/// What the connections need of the rest of the process.
pub struct Around {
    /// Where connections live.
    pub runtime: Handle,
    /// Where news goes.
    pub deliver: Arc<dyn Deliver>,
    /// Our sockets; a connection that we open leaves from its listener's address.
    pub listeners: Vec<Listener>,
    /// What peers may take.
    pub limits: Limits,
    /// Whose an address is.
    pub known: Known,
    /// Shared with the metrics.
    pub counts: Arc<Counts>,
    /// Where refused and broken connections are told.
    pub log: Sink,
}

/// Places of connections, shared by trunks and agents, whoever has opened them: a peer that opens many leaves those of
/// others, and so does one that has us open many.
#[derive(Debug)]
struct Places {
    theirs: Shares<Arc<str>>,
    ours: Shares<Arc<str>>,
}

impl Places {
    fn of(&mut self, by: By) -> &mut Shares<Arc<str>> {
        match by {
            By::Peer => &mut self.theirs,
            By::Us => &mut self.ours,
        }
    }

    /// Takes a place for a trunk or agent (`parties`: how many there are); false: there is none.
    fn take(&mut self, by: By, group: &Arc<str>, parties: Option<usize>) -> bool {
        let shares = self.of(by);
        if let Some(parties) = parties {
            shares.set_parties(parties);
        }
        let has_place = shares.has_place(group);
        if has_place {
            shares.take(group);
        }
        has_place
    }
}

/// Who has opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Peer,
    Us,
}

/// All stream connections of the process.
pub struct Connections {
    around: Around,
    open: DashMap<u64, Arc<Connection>>,
    /// The connection by which a peer is reached; the latest, if it has opened several.
    by_peer: DashMap<SocketAddr, u64>,
    by_source: DashMap<IpAddr, usize>,
    places: Mutex<Places>,
    /// In which a stranger was told of.
    strangers: Minutes,
    /// Messages that wait to be written and may be taken back, by shard and id. Whoever takes the entry out decides: the
    /// task that is about to write it, or [`Connections::recall`].
    waiting: DashMap<(u16, u64), ()>,
    next: AtomicU64,
    /// Of each listener.
    doors: Mutex<Vec<Arc<Asked>>>,
}

impl Connections {
    /// No connection yet.
    pub fn new(around: Around) -> Arc<Connections> {
        let ours = (around.limits.connections / 8).max(1);
        let theirs = around.limits.connections.saturating_sub(ours);
        let places = Places { theirs: Shares::new(theirs, 1), ours: Shares::new(ours, 1) };
        Arc::new(Connections {
            around,
            open: DashMap::new(),
            by_peer: DashMap::new(),
            by_source: DashMap::new(),
            places: Mutex::new(places),
            strangers: Minutes::default(),
            waiting: DashMap::new(),
            next: AtomicU64::new(1),
            doors: Mutex::default(),
        })
    }

    /// Gives a copy to everybody who takes or reads connections.
    pub fn read_all(&self, unread: &Unread) {
        for door in self.doors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            door.ask(unread.clone());
        }
        for connection in &self.open {
            // One that is being opened has nothing to read, one that is closing reads no more.
            if connection.reads.load(Ordering::Acquire) && !connection.closing.load(Ordering::Acquire) {
                connection.asked.ask(unread.clone());
            }
        }
    }

    /// A listener is served from now on.
    pub(super) fn door(&self) -> Arc<Asked> {
        let door = Arc::<Asked>::default();
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&door));
        door
    }

    /// How many there are, those included that are being opened.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Queues a message on the connection that `flow` names, else on the one to its peer, else on a new one. False: it
    /// cannot be sent. After true a failure is told by [`Deliver::send_failed`], and with `told` a success by
    /// [`Deliver::sent`].
    pub fn send(self: &Arc<Self>, shard: u16, (id, told): (u64, bool), flow: &Flow, bytes: &[u8]) -> bool {
        if told {
            self.waiting.insert((shard, id), ());
        }
        let queued = self.queue(Outgoing { shard, id, told, bytes: bytes.into() }, flow);
        if told && !queued {
            self.waiting.remove(&(shard, id));
        }
        queued
    }

    /// Takes a message back that asked to be told. True: it never leaves. False: it is being written, or was, or has failed
    /// already.
    pub fn recall(&self, shard: u16, id: u64) -> bool {
        self.waiting.remove(&(shard, id)).is_some()
    }

    /// Whether a message is written now: it was not taken back.
    pub(super) fn leaves(&self, message: &Outgoing) -> bool {
        !message.told || self.waiting.remove(&(message.shard, message.id)).is_some()
    }

    fn queue(self: &Arc<Self>, mut message: Outgoing, flow: &Flow) -> bool {
        if let Some(connection) = self.find(flow) {
            match connection.queue(message, &self.around.limits) {
                Ok(()) => return true,
                Err(refused) if refused.full => {
                    connection.shut();
                    return false;
                }
                // It has begun to close meanwhile.
                Err(refused) => message = refused.message,
            }
        }
        self.connect(flow, message)
    }

    /// The one that `flow` names, else the one to its peer. One that is closing takes nothing any more, and must not
    /// hide a newer one.
    fn find(&self, flow: &Flow) -> Option<Arc<Connection>> {
        let open = |id: u64| {
            let connection = self.open.get(&id).map(|entry| Arc::clone(&entry));
            connection.filter(|connection| !connection.closing.load(Ordering::Acquire))
        };
        open(flow.connection).or_else(|| {
            let id = *self.by_peer.get(&flow.peer)?;
            open(id)
        })
    }

    /// Opens a connection for a message. False: there is no place for one.
    fn connect(self: &Arc<Self>, flow: &Flow, message: Outgoing) -> bool {
        let (group, parties) = match (self.around.known)(flow.peer.ip()) {
            Some(group) => (group.name, Some(group.of)),
            // Where no trunk or agent is; all those are one party.
            None => (Arc::from(""), None),
        };
        if !self.places().take(By::Us, &group, parties) {
            self.around.counts.refused_full.bump();
            return false;
        }
        let (connection, queue) = self.enter(flow.listener, flow.peer, (By::Us, group));
        // Before it is opened: a refusal may come before anything that is done afterwards, and has to find the message.
        let queued = connection.queue(message, &self.around.limits).is_ok();
        self.around.runtime.spawn(open(connection, queue, Arc::clone(self)));
        queued
    }

    /// A place for a connection that a peer has opened; `None`: a cap is reached.
    pub(super) fn admit(
        &self,
        listener: u16,
        peer: SocketAddr,
        group: &Group,
    ) -> Option<(Arc<Connection>, mpsc::Receiver<Outgoing>)> {
        let of_source = self.by_source.get(&peer.ip()).map_or(0, |count| *count);
        if of_source >= self.around.limits.per_source {
            return None;
        }
        let has_place = self.places().take(By::Peer, &group.name, Some(group.of));
        has_place.then(|| self.enter(listener, peer, (By::Peer, Arc::clone(&group.name))))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody who is nobody's source has opened a connection: one line a minute.
    pub(super) fn warn_of_stranger(&self, peer: SocketAddr) {
        if self.strangers.is_new() {
            let line = Line::warn("net.unknown_source").text("source", peer.to_string());
            let line = line.text("transport", "tcp").number("refused", self.counts().refused_unknown.read());
            (self.around.log)(line.text(
                "hint",
                format!(
                    "no trunk or agent has this address; if it is one, add it there: accept_from = [\"{}\"]",
                    peer.ip()
                ),
            ));
        }
    }

    fn enter(
        &self,
        listener: u16,
        peer: SocketAddr,
        place: (By, Arc<str>),
    ) -> (Arc<Connection>, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(self.around.limits.queued);
        let connection = Arc::new(Connection {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            listener,
            peer,
            place,
            queue: sender,
            queued_bytes: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            close: Notify::new(),
            reads: AtomicBool::new(false),
            asked: Asked::default(),
            opened: Instant::now(),
            active: AtomicU64::new(0),
        });
        *self.by_source.entry(peer.ip()).or_insert(0) += 1;
        self.open.insert(connection.id, Arc::clone(&connection));
        self.by_peer.insert(peer, connection.id);
        (connection, receiver)
    }

    /// Takes a connection out, gives back what was not sent on it and tells the shards. Tells how many messages were lost,
    /// those not counted that were taken back.
    pub(super) async fn end(
        &self,
        connection: &Connection,
        mut queue: mpsc::Receiver<Outgoing>,
        unsent: Vec<Leaving>,
        why: &'static str,
    ) -> usize {
        connection.shut();
        self.open.remove(&connection.id);
        self.by_peer.remove_if(&connection.peer, |_, id| *id == connection.id);
        if let dashmap::Entry::Occupied(mut count) = self.by_source.entry(connection.peer.ip()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        let (by, group) = &connection.place;
        self.places().of(*by).give(group);
        queue.close();
        let deliver = &self.around.deliver;
        let mut lost = unsent.len();
        for Leaving { shard, id, told } in unsent.into_iter().filter(|one| one.id != 0) {
            if told {
                // The peer may have it, or a part of it.
                deliver.sent(shard, id);
            }
            deliver.send_failed(shard, id);
        }
        while let Some(message) = queue.recv().await {
            if !self.leaves(&message) {
                continue;
            }
            lost += 1;
            if message.id != 0 {
                deliver.send_failed(message.shard, message.id);
            }
        }
        self.around.deliver.flow_closed(connection.id, connection.peer);
        connection.asked.take();
        (self.around.log)(
            Line::debug("net.connection_closed")
                .text("peer", format!("tcp:{}", connection.peer))
                .number("connection", connection.id)
                .text("why", why),
        );
        lost
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.around.limits
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.around.counts
    }

    pub(super) fn deliver(&self) -> &dyn Deliver {
        &*self.around.deliver
    }

    /// Somebody should hear of it.
    pub(super) fn warn(&self, line: Line) {
        (self.around.log)(line);
    }

    pub(super) fn local(&self, listener: u16) -> Option<IpAddr> {
        self.around.listeners.get(usize::from(listener)).map(|listener| listener.local.ip())
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({})", self.open.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    const WITHIN: Duration = Duration::from_secs(10);

    #[derive(Debug, PartialEq, Eq)]
    enum News {
        Failed(u16, u64),
        Sent(u16, u64),
        Closed(u64),
    }

    /// What the shards would hear.
    struct Ear(Mutex<Sender<News>>);

    impl Ear {
        fn hear(&self, news: News) {
            self.0.lock().unwrap().send(news).unwrap();
        }
    }

    impl Deliver for Ear {
        fn message(&self, _: Flow, _: &[u8]) -> bool {
            true
        }

        fn send_failed(&self, shard: u16, id: u64) {
            self.hear(News::Failed(shard, id));
        }

        fn sent(&self, shard: u16, id: u64) {
            self.hear(News::Sent(shard, id));
        }

        fn flow_closed(&self, connection: u64, _: SocketAddr) {
            self.hear(News::Closed(connection));
        }

        fn refused(&self, _: Flow) {}

        fn resolved(&self, _: u16, _: u64, _: Vec<Flow>) {}
    }

    fn connections(limits: Limits) -> (Arc<Connections>, Receiver<News>) {
        let (sender, receiver) = channel();
        let connections = Connections::new(Around {
            runtime: Handle::current(),
            deliver: Arc::new(Ear(Mutex::new(sender))),
            listeners: Vec::new(),
            limits,
            known: Arc::new(|ip| {
                let wide = |ip: std::net::Ipv4Addr| ip.octets()[0] == 10;
                matches!(ip, IpAddr::V4(ip) if wide(ip)).then(|| Group { name: "wide".into(), of: 2 })
            }),
            counts: Arc::default(),
            log: Arc::new(|_| {}),
        });
        (connections, receiver)
    }

    fn to(peer: SocketAddr) -> Flow {
        Flow { transport: Transport::Tcp, listener: 0, peer, connection: 0 }
    }

    /// All news until a connection is closed, and which one that was.
    fn until_closed(news: &Receiver<News>) -> (Vec<(u16, u64)>, u64) {
        let mut failed = Vec::new();
        loop {
            match news.recv_timeout(WITHIN).expect("news of the connection's end") {
                News::Failed(shard, id) => failed.push((shard, id)),
                News::Sent(..) => {}
                News::Closed(connection) => return (failed, connection),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_was_written_is_told_and_cannot_be_taken_back() {
        let (_listener, peer) = deaf();
        let (connections, news) = connections(Limits::default());
        assert!(
            connections.send(0, (1, false), &to(peer), b"nobody asks")
                && connections.send(2, (7, true), &to(peer), b"one")
        );
        assert_eq!(news.recv_timeout(WITHIN).unwrap(), News::Sent(2, 7));
        assert!(!connections.recall(2, 7));
        assert!(connections.waiting.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_waits_can_be_taken_back_and_never_leaves() {
        let (listener, peer) = deaf();
        let limits = Limits { queued_bytes: 2 * ENDLESS, ..Limits::default() };
        let (connections, news) = connections(limits);
        assert!(connections.send(0, (1, false), &to(peer), &vec![b'x'; ENDLESS]));
        assert!(
            connections.send(0, (2, true), &to(peer), b"REFER")
                && connections.send(0, (3, true), &to(peer), b"last")
        );
        assert!(connections.recall(0, 2), "it waits behind what is being written");
        assert!(!connections.recall(0, 2) && !connections.recall(1, 3), "once, and by whoever has sent it");
        let (mut stream, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"last") {
            let mut buffer = vec![0; 1 << 20];
            let length = stream.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..length]);
        }
        assert_eq!(read.len(), ENDLESS + b"last".len());
        assert_eq!(news.recv_timeout(WITHIN).unwrap(), News::Sent(0, 3));
        drop(stream);
        assert_eq!(until_closed(&news).0, [], "what was taken back is not told again");
        assert!(connections.waiting.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_was_begun_and_not_ended_may_have_arrived() {
        let (_listener, peer) = deaf();
        let write_within = Duration::from_millis(20);
        let (connections, news) =
            connections(Limits { write_within, queued_bytes: ENDLESS, ..Limits::default() });
        assert!(connections.send(0, (1, true), &to(peer), &vec![b'x'; ENDLESS]));
        assert_eq!(news.recv_timeout(WITHIN).unwrap(), News::Sent(0, 1));
        assert_eq!(until_closed(&news).0, [(0, 1)]);
    }

    /// A listener whose connections are taken by the kernel and read by nobody.
    fn deaf() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        (listener, at)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_waited_for_a_connection_that_is_refused_has_failed() {
        // Bound and not listening: the port is ours, and nobody is there.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let nobody = socket.local_addr().unwrap().as_socket().unwrap();
        let (connections, news) = connections(Limits::default());
        assert!(connections.send(3, (41, false), &to(nobody), b"one"));
        let (failed, _) = until_closed(&news);
        assert_eq!(failed, [(3, 41)]);
        assert_eq!(connections.counts().connect_failed.read(), 1);
        assert!(connections.is_empty());
        assert!(connections.by_peer.is_empty() && connections.by_source.is_empty());
    }

    /// More than the kernel buffers between two ends: a write of it never ends while nobody reads.
    const ENDLESS: usize = 64 << 20;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_full_queue_ends_the_connection_and_every_message_of_it_fails() {
        let (_listener, peer) = deaf();
        let limits = Limits { queued: 8, queued_bytes: 2 * ENDLESS, ..Limits::default() };
        let (connections, news) = connections(limits);
        assert!(connections.send(0, (1, false), &to(peer), &vec![b'x'; ENDLESS]));
        let refused = (2..).find(|id| !connections.send(0, (*id, false), &to(peer), b"waits")).unwrap();
        assert!((9..=10).contains(&refused), "eight wait, and the one that is being written: {refused}");
        let (mut failed, _) = until_closed(&news);
        failed.sort_unstable();
        let queued: Vec<(u16, u64)> = (1..refused).map(|id| (0, id)).collect();
        assert_eq!(failed, queued, "each of them once; the refused one was told on the spot");
        assert!(connections.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_write_that_is_not_taken_in_time_ends_the_connection() {
        let (_listener, peer) = deaf();
        let limits =
            Limits { write_within: Duration::from_millis(20), queued_bytes: ENDLESS, ..Limits::default() };
        let (connections, news) = connections(limits);
        assert!(connections.send(7, (1, false), &to(peer), &vec![b'x'; ENDLESS]));
        assert_eq!(until_closed(&news).0, [(7, 1)]);
        assert_eq!(connections.counts().closed_full.read(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn silence_ends_a_connection_and_so_does_its_peer() {
        let (listener, peer) = deaf();
        let limits = Limits { idle: Duration::from_millis(20), ..Limits::default() };
        let (quiet, news) = connections(limits);
        assert!(quiet.send(0, (1, false), &to(peer), b"one"));
        assert_eq!(until_closed(&news).0, [], "it was written");
        assert_eq!(quiet.counts().closed_idle.read(), 1);
        drop(listener.accept().unwrap());

        let (lasting, news) = connections(Limits::default());
        assert!(lasting.send(0, (1, false), &to(peer), b"one"));
        let (mut taken, _): (TcpStream, _) = listener.accept().unwrap();
        taken.read_exact(&mut [0; 3]).unwrap();
        drop(taken);
        assert_eq!(until_closed(&news).0, []);
        assert!(lasting.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn no_more_connections_than_the_cap() {
        let (_one, first) = deaf();
        let (_two, second) = deaf();
        let (connections, _news) = connections(Limits { connections: 1, ..Limits::default() });
        assert!(connections.send(0, (1, false), &to(first), b"one"));
        assert!(connections.send(0, (2, false), &to(first), b"the same connection"));
        assert!(!connections.send(0, (3, false), &to(second), b"another"));
        assert_eq!(connections.counts().refused_full.read(), 1);
        assert_eq!(connections.len(), 1);
    }

    /// 4,200 idle connections from a trunk that is a whole network shut nobody else out.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_wide_trunk_does_not_take_the_connections_of_another() {
        let (connections, _news) = connections(Limits::default());
        let group = |name: &str| Group { name: name.into(), of: 2 };
        let at = |number: u32| SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + number), 5060));
        let mut wide = Vec::new();
        for number in 0..4200 {
            wide.extend(connections.admit(1, at(number), &group("wide")));
        }
        assert_eq!(wide.len(), 2688, "what is kept for it, and what is nobody's");
        let mut pbx = Vec::new();
        for number in 0..896 {
            pbx.extend(connections.admit(1, at(10_000 + number), &group("pbx")));
        }
        assert_eq!(pbx.len(), 896);
        for (connection, queue) in wide {
            connections.end(&connection, queue, Vec::new(), "test").await;
        }
        assert!(connections.admit(1, at(5000), &group("wide")).is_some());
    }

    /// A trunk whose callers name ever other addresses in Contact.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn connections_that_we_open_for_one_trunk_leave_places_for_others() {
        let (connections, _news) = connections(Limits::default());
        let take = |by, group: &str, most| {
            let take = |_: &i32| connections.places().take(by, &group.into(), Some(2));
            (0..most).filter(take).count()
        };
        assert_eq!(take(By::Us, "wide", 4200), 384, "what is kept for it, and what is nobody's");
        assert_eq!(take(By::Us, "", 4200), 128, "what is kept for those who are neither trunk nor agent");
        assert_eq!(take(By::Peer, "pbx", 100), 100, "those of the peers are others");
        let to_wide = Flow {
            peer: SocketAddr::from(([10, 9, 9, 9], 5060)),
            ..to(SocketAddr::from(([192, 0, 2, 1], 1)))
        };
        assert!(!connections.send(0, (1, false), &to_wide, b"one more"));
        assert_eq!(connections.counts().refused_full.read(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_connection_that_is_closing_does_not_hide_a_newer_one() {
        let (_listener, peer) = deaf();
        let (connections, _news) = connections(Limits::default());
        let (old, _queue) = connections.enter(0, peer, (By::Us, "".into()));
        let named = Flow { connection: old.id, ..to(peer) };
        assert_eq!(connections.find(&named).map(|found| found.id), Some(old.id));
        old.shut();
        assert!(connections.find(&named).is_none());
        let sends = |id, text: &[u8]| connections.send(0, (id, false), &named, text);
        assert!(sends(1, b"one") && sends(2, b"two"));
        assert_eq!(connections.len(), 2, "the old one and one new one");
    }
}

//! The open stream connections: the one thing that all shards share. One connection to a peer serves them all.
//!
//! A shard calls [`Connections::send`] and is never made to wait: what a peer does not take in time is queued up to a
//! bound, and beyond it the connection is closed and every message that waited on it is given back.

use super::Deliver;
use super::counts::Counts;
use super::tcp::{self, Limits};
use crate::observe::line::{Line, Sink};
use crate::sip::{Flow, Listener};
use dashmap::DashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    /// The message.
    pub bytes: Box<[u8]>,
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
    queue: mpsc::Sender<Outgoing>,
    queued_bytes: AtomicUsize,
    closing: AtomicBool,
    close: Notify,
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
    /// What is counted.
    pub counts: Arc<Counts>,
    /// The log.
    pub log: Sink,
}

/// All stream connections of the process.
pub struct Connections {
    around: Around,
    open: DashMap<u64, Arc<Connection>>,
    /// The connection by which a peer is reached; the latest, if it has opened several.
    by_peer: DashMap<SocketAddr, u64>,
    by_source: DashMap<IpAddr, usize>,
    next: AtomicU64,
}

impl Connections {
    /// No connection yet.
    pub fn new(around: Around) -> Arc<Connections> {
        Arc::new(Connections {
            around,
            open: DashMap::new(),
            by_peer: DashMap::new(),
            by_source: DashMap::new(),
            next: AtomicU64::new(1),
        })
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
    /// cannot be sent. After true a failure is told by [`Deliver::send_failed`].
    pub fn send(self: &Arc<Self>, shard: u16, id: u64, flow: &Flow, bytes: &[u8]) -> bool {
        let mut message = Outgoing { shard, id, bytes: bytes.into() };
        // The connection that is found may be closing; then one new one is opened, and that is the last try.
        for connection in [self.find(flow), None] {
            let Some(connection) = connection.or_else(|| self.connect(flow)) else { return false };
            match connection.queue(message, &self.around.limits) {
                Ok(()) => return true,
                Err(refused) if refused.full => {
                    connection.shut();
                    return false;
                }
                Err(refused) => message = refused.message,
            }
        }
        false
    }

    fn find(&self, flow: &Flow) -> Option<Arc<Connection>> {
        let named = self.open.get(&flow.connection).map(|entry| Arc::clone(&entry));
        named.or_else(|| {
            let id = *self.by_peer.get(&flow.peer)?;
            self.open.get(&id).map(|entry| Arc::clone(&entry))
        })
    }

    fn connect(self: &Arc<Self>, flow: &Flow) -> Option<Arc<Connection>> {
        if self.open.len() >= self.around.limits.connections {
            self.around.counts.refused_full.bump();
            return None;
        }
        let (connection, queue) = self.enter(flow.listener, flow.peer);
        self.around.runtime.spawn(tcp::open(Arc::clone(&connection), queue, Arc::clone(self)));
        Some(connection)
    }

    /// A place for a connection that a peer has opened; `None`: a cap is reached.
    pub(super) fn admit(
        &self,
        listener: u16,
        peer: SocketAddr,
    ) -> Option<(Arc<Connection>, mpsc::Receiver<Outgoing>)> {
        let of_source = self.by_source.get(&peer.ip()).map_or(0, |count| *count);
        if of_source >= self.around.limits.per_source || self.open.len() >= self.around.limits.connections {
            return None;
        }
        Some(self.enter(listener, peer))
    }

    fn enter(&self, listener: u16, peer: SocketAddr) -> (Arc<Connection>, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(self.around.limits.queued);
        let connection = Arc::new(Connection {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            listener,
            peer,
            queue: sender,
            queued_bytes: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            close: Notify::new(),
            opened: Instant::now(),
            active: AtomicU64::new(0),
        });
        *self.by_source.entry(peer.ip()).or_insert(0) += 1;
        self.open.insert(connection.id, Arc::clone(&connection));
        self.by_peer.insert(peer, connection.id);
        (connection, receiver)
    }

    /// Takes a connection out, gives back what was not sent on it and tells the shards.
    pub(super) async fn end(
        &self,
        connection: &Connection,
        mut queue: mpsc::Receiver<Outgoing>,
        unsent: Vec<(u16, u64)>,
        why: &'static str,
    ) {
        connection.shut();
        self.open.remove(&connection.id);
        self.by_peer.remove_if(&connection.peer, |_, id| *id == connection.id);
        if let dashmap::Entry::Occupied(mut count) = self.by_source.entry(connection.peer.ip()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        queue.close();
        let mut failed = unsent;
        while let Some(message) = queue.recv().await {
            failed.push((message.shard, message.id));
        }
        for (shard, id) in failed.into_iter().filter(|(_, id)| *id != 0) {
            self.around.deliver.send_failed(shard, id);
        }
        self.around.deliver.flow_closed(connection.id);
        (self.around.log)(
            Line::debug("net.connection_closed")
                .text("peer", format!("tcp:{}", connection.peer))
                .number("connection", connection.id)
                .text("why", why),
        );
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

    pub(super) fn local(&self, listener: u16) -> Option<IpAddr> {
        self.around.listeners.get(usize::from(listener)).map(|listener| listener.local.ip())
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({})", self.open.len())
    }
}

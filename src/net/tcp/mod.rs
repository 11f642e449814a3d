//! TCP: taking connections, and one task for each connection that frames what comes and writes what goes.
//!
//! A connection ends for one reason, its `Ending`; whatever was queued on it then fails, and the shards hear of it.

pub mod connections;

use super::counts::Count;
use super::patience::{LAST_LOOK, is_standstill, within};
use super::unread::Unread;
use crate::observe::line::Line;
use crate::sip::{Flow, Transport};
use crate::wire::frame::{Frame, Framer, PONG};
use connections::{Connection, Connections, Leaving, Outgoing};
use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Read at once.
const READ: usize = 16 * 1024;
/// Written at once, at least: more is added while less than this is gathered.
const WRITE: usize = 64 * 1024;
/// How long a message waits between two offers to a shard that has no room.
const OFFER_AGAIN: Duration = Duration::from_millis(5);
/// How often it is offered; then the connection is closed rather than a message of it lost.
const OFFERS: u32 = 400;
/// After a failure to accept, so that a lack of descriptors costs no core.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// After a framing fault the 400 still has this long to leave.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Who shares the connections that peers open: a trunk, or an agent.
#[derive(Clone, Debug)]
pub struct Group {
    /// Of a trunk or an agent: by it the places are counted.
    pub name: Arc<str>,
    /// How many there are.
    pub of: usize,
}

/// Whose an address is; `None`: nobody's, and it is not let in.
pub type Known = Arc<dyn Fn(IpAddr) -> Option<Group> + Send + Sync>;

/// What a peer may take of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub per_source: usize,
    /// Messages that wait to be written to one peer.
    pub queued: usize,
    /// Bytes that wait to be written to one peer.
    pub queued_bytes: usize,
    /// From the first byte of a message to its last.
    pub message_within: Duration,
    /// Without any byte either way.
    pub idle: Duration,
    /// For one write to be taken by the peer.
    pub write_within: Duration,
    /// For a connection to be opened: less than 64·T1, so that another path can still be tried.
    pub connect_within: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            per_source: 256,
            queued: 512,
            queued_bytes: 1 << 20,
            message_within: Duration::from_secs(5),
            idle: Duration::from_secs(15 * 60),
            write_within: Duration::from_secs(10),
            connect_within: Duration::from_secs(5),
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The peer closed it, or the network broke it.
    Gone,
    /// Nothing came or went.
    Idle,
    /// A message did not get whole.
    Slow,
    /// The stream cannot be cut.
    Framing,
    /// The peer or a shard does not keep up.
    Full,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Ending::Gone => "gone",
            Ending::Idle => "idle",
            Ending::Slow => "slow",
            Ending::Framing => "framing",
            Ending::Full => "full",
        }
    }

    fn count(self, connections: &Connections) -> Option<&Count> {
        match self {
            Ending::Gone => None,
            Ending::Idle => Some(&connections.counts().closed_idle),
            Ending::Slow => Some(&connections.counts().closed_slow),
            Ending::Framing => Some(&connections.counts().closed_framing),
            Ending::Full => Some(&connections.counts().closed_full),
        }
    }
}

/// Takes connections until the runtime ends. A source that is neither trunk nor agent gets nothing, not even a reset of
/// its own making: its connection is closed at once.
pub async fn accept(listener: TcpListener, index: u16, connections: Arc<Connections>, known: Known) {
    let mut failing = false;
    let door = connections.door();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            asked = door.asked() => {
                take_waiting(&listener, index, &connections, &known, asked);
                continue;
            }
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // Out of descriptors, or the peer went away again: neither ends the listening. Said once for a row of them.
            Err(error) => {
                if !failing {
                    let line = Line::warn("net.accept_failed").text("reason", error.to_string());
                    connections.warn(line.text("hint", "if descriptors have run out, raise LimitNOFILE"));
                }
                failing = true;
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        failing = false;
        take(stream, peer, index, &connections, &known, Vec::new());
    }
}

/// Takes what waits to be accepted, whether the runtime has heard of it or not; whoever asks waits until the first bytes
/// of these connections are read.
fn take_waiting(
    listener: &TcpListener,
    index: u16,
    connections: &Arc<Connections>,
    known: &Known,
    asked: Vec<Unread>,
) {
    let listener = SockRef::from(listener);
    // What fails here, fails again where it is awaited.
    while let Ok((socket, peer)) = listener.accept() {
        let stream = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket.into()));
        if let (Ok(stream), Some(peer)) = (stream, peer.as_socket()) {
            take(stream, peer, index, connections, known, asked.clone());
        }
    }
}

fn take(
    stream: TcpStream,
    peer: SocketAddr,
    index: u16,
    connections: &Arc<Connections>,
    known: &Known,
    asked: Vec<Unread>,
) {
    let Some(group) = known(peer.ip()) else {
        connections.counts().refused_unknown.bump();
        connections.warn_of_stranger(peer);
        return;
    };
    let Some((connection, queue)) = connections.admit(index, peer, &group) else {
        connections.counts().refused_full.bump();
        return;
    };
    connections.counts().accepted.bump();
    let all = Arc::clone(connections);
    tokio::spawn(async move { serve(stream, connection, queue, all, asked).await });
}

/// Opens the connection that `connection` stands for, then serves it.
pub(super) async fn open(
    connection: Arc<Connection>,
    queue: mpsc::Receiver<Outgoing>,
    connections: Arc<Connections>,
) {
    let limit = connections.limits().connect_within;
    let opened = within(limit, connect(&connection, &connections)).await;
    let reason = match opened {
        Some(Ok(stream)) => {
            connections.counts().opened.bump();
            return serve(stream, connection, queue, connections, Vec::new()).await;
        }
        Some(Err(error)) => error.to_string(),
        None => format!("not opened within {} ms", limit.as_millis()),
    };
    connections.counts().connect_failed.bump();
    let peer = format!("tcp:{}", connection.peer);
    // What was taken back has gone another way, and whoever took it back has said so.
    if connections.end(&connection, queue, Vec::new(), "connect").await > 0 {
        connections.warn(
            Line::warn("net.connect_failed")
                .text("peer", peer)
                .text("reason", reason)
                .text("hint", "nothing listens there, or a firewall stands between"),
        );
    }
}

async fn connect(connection: &Connection, connections: &Connections) -> std::io::Result<TcpStream> {
    let local = connections.local(connection.listener);
    let socket = if connection.peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local.filter(|local| local.is_ipv4() == connection.peer.is_ipv4()) {
        socket.bind((local, 0).into())?;
    }
    socket.connect(connection.peer).await
}

async fn serve(
    stream: TcpStream,
    connection: Arc<Connection>,
    mut queue: mpsc::Receiver<Outgoing>,
    connections: Arc<Connections>,
    asked: Vec<Unread>,
) {
    // Messages are written whole; waiting for more of them would only delay a call. Where it is refused the connection
    // is merely slower.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let mut unsent = Vec::new();
    let ending = tokio::select! {
        ending = read(reader, &connection, &connections, asked) => ending,
        ending = write(writer, &connection, &connections, &mut queue, &mut unsent) => ending,
        () = connection.closed() => Ending::Full,
    };
    if let Some(count) = ending.count(&connections) {
        count.bump();
    }
    connections.end(&connection, queue, unsent, ending.as_str()).await;
}

/// Reads until `deadline`; `None`: nothing came. What the runtime has not heard of yet is still taken. True: the process
/// stood still meanwhile, and the peer had `more` time.
async fn read_by(
    deadline: Instant,
    more: Duration,
    reader: &mut OwnedReadHalf,
    buffer: &mut [u8],
) -> (Option<io::Result<usize>>, bool) {
    let waits = deadline > Instant::now();
    match timeout_at(deadline, reader.read(buffer)).await {
        Ok(read) => return (Some(read), false),
        // One that was over before has been looked at.
        Err(_) if !waits => return (None, false),
        Err(_) => {}
    }
    let still = is_standstill(deadline);
    let more = if still { more } else { LAST_LOOK };
    (timeout(more, reader.read(buffer)).await.ok(), still)
}

/// Whether something can be read now, be it the end. The kernel is asked: the runtime may not have heard of it.
fn is_readable(reader: &OwnedReadHalf) -> bool {
    SockRef::from(reader.as_ref()).peek(&mut [MaybeUninit::uninit()]).is_ok()
}

/// `asked`: who waits until all is read that has arrived.
async fn read(
    mut reader: OwnedReadHalf,
    connection: &Connection,
    connections: &Connections,
    mut asked: Vec<Unread>,
) -> Ending {
    connection.begins_to_read();
    let limits = connections.limits();
    let flow = Flow {
        transport: Transport::Tcp,
        listener: connection.listener,
        peer: connection.peer,
        connection: connection.id,
    };
    let mut framer = Framer::new();
    let mut buffer = vec![0; READ];
    let mut begun: Option<Instant> = None;
    loop {
        let deadline = match begun {
            Some(begun) => begun + limits.message_within,
            None => connection.last_active() + limits.idle,
        };
        if !asked.is_empty() && !is_readable(&reader) {
            asked.clear();
        }
        let (read, still) = tokio::select! {
            read = read_by(deadline, limits.message_within, &mut reader, &mut buffer) => read,
            more = connection.asked() => {
                asked.extend(more);
                continue;
            }
        };
        let length = match read {
            Some(Ok(0) | Err(_)) => return Ending::Gone,
            Some(Ok(length)) => length,
            None if begun.is_some() => return Ending::Slow,
            // What was written meanwhile counts as life.
            None if connection.last_active() + limits.idle > Instant::now() => continue,
            None => return Ending::Idle,
        };
        if still {
            begun = begun.map(|_| Instant::now());
        }
        connection.touch();
        framer.feed(&buffer[..length]);
        let mut whole = false;
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(bytes))) => {
                    whole = true;
                    if !offer(connections, flow, bytes).await {
                        return Ending::Full;
                    }
                }
                Ok(Some(Frame::Ping)) => {
                    if connection
                        .queue(Outgoing { shard: 0, id: 0, told: false, bytes: PONG.into() }, limits)
                        .is_err()
                    {
                        return Ending::Full;
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    // The engine refuses it in the same way, and answers 400 if it can be answered. A shard without
                    // room answers nothing; the connection ends either way.
                    let _ = connections.deliver().message(flow, framer.pending());
                    asked.clear();
                    sleep(LAST_WORDS).await;
                    return Ending::Framing;
                }
            }
        }
        begun = match begun {
            _ if !framer.is_waiting() => None,
            Some(begun) if !whole => Some(begun),
            _ => Some(Instant::now()),
        };
    }
}

async fn offer(connections: &Connections, flow: Flow, bytes: &[u8]) -> bool {
    for _ in 0..OFFERS {
        if connections.deliver().message(flow, bytes) {
            return true;
        }
        sleep(OFFER_AGAIN).await;
    }
    false
}

/// Writes what is queued. `unsent` holds what was taken from the queue and not written yet, also when this future is
/// dropped in the middle of a write.
async fn write(
    mut writer: OwnedWriteHalf,
    connection: &Connection,
    connections: &Connections,
    queue: &mut mpsc::Receiver<Outgoing>,
    unsent: &mut Vec<Leaving>,
) -> Ending {
    let mut bytes = Vec::new();
    while let Some(first) = queue.recv().await {
        let (mut next, mut taken_back) = (Some(first), 0);
        while let Some(outgoing) = next {
            if connections.leaves(&outgoing) {
                bytes.extend_from_slice(&outgoing.bytes);
                unsent.push(outgoing.leaving());
            } else {
                taken_back += outgoing.bytes.len();
            }
            next = if bytes.len() < WRITE { queue.try_recv().ok() } else { None };
        }
        match within(connections.limits().write_within, writer.write_all(&bytes)).await {
            Some(Ok(())) => {}
            Some(Err(_)) => return Ending::Gone,
            None => return Ending::Full,
        }
        connection.written(bytes.len() + taken_back);
        bytes.clear();
        for Leaving { shard, id, .. } in unsent.drain(..).filter(|one| one.told) {
            connections.deliver().sent(shard, id);
        }
    }
    Ending::Gone
}

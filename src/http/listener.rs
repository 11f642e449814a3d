//! Who may connect to the API, how many at a time, and for how long without a word. A client that says nothing, or sends half
//! a head, has a seat only until somebody else wants it; one that reads no answer costs its seat for some seconds, and
//! nobody else theirs. Whoever finds no seat, because all are being answered, is still told by the probes that Baton lives.

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep};

/// Connections at the same time, of all clients and of one address.
const SEATS: usize = 1024;
const SEATS_OF_ONE: usize = 256;
/// Connections beside them that only the probes are answered on; one more takes the place of the oldest.
const STANDING: usize = 64;
/// How long the head of a request may take, also the next one of a connection that stays open.
const HEAD: Duration = Duration::from_secs(10);
/// The same for those without a seat.
const HEAD_STANDING: Duration = Duration::from_secs(2);
/// Without a byte from the client: longer than the longest `?wait=`.
const SILENT: Duration = Duration::from_secs(400);
/// Without a byte that the client takes.
const UNREAD: Duration = Duration::from_secs(30);

/// Who is connected.
#[derive(Debug, Default)]
pub struct Doors {
    seats: Mutex<Seats>,
    turned_away: AtomicU64,
    displaced: AtomicU64,
}

/// Who has a seat, in the order in which they came.
#[derive(Debug, Default)]
struct Seats {
    guests: BTreeMap<u64, Guest>,
    of: HashMap<IpAddr, usize>,
    next: u64,
}

#[derive(Debug)]
struct Guest {
    of: IpAddr,
    doing: Arc<Doing>,
    /// Ends the connection.
    task: Option<AbortHandle>,
}

/// What a connection is at.
#[derive(Debug, Default)]
struct Doing {
    /// [`WAITING`], [`ASKING`] or [`DISPLACED`].
    what: AtomicU8,
    /// Something waits to be read by the client.
    unread: AtomicBool,
}

/// No request of it is being answered: it is silent, or its head is not whole.
const WAITING: u8 = 0;
/// A request of it is being answered.
const ASKING: u8 = 1;
/// Its seat was given to somebody else.
const DISPLACED: u8 = 2;

impl Doing {
    fn turns(&self, from: u8, to: u8) -> bool {
        self.what.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The address that a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) IpAddr);

/// A request came on a connection that is being closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is being closed")]
struct Displaced;

/// A request is being answered until this is dropped.
struct Asking(Arc<Doing>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.turns(ASKING, WAITING);
    }
}

impl Doors {
    /// Connections with a seat.
    pub(super) fn taken(&self) -> u64 {
        self.seats().guests.len() as u64
    }

    /// Connections that found none.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Connections that had to give theirs to others.
    pub(super) fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Nothing that is done under this lock can leave the map half changed.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A free seat, or that of whoever came first of those that ask nothing: of the same address, if that has all that
    /// it may have.
    fn seat(self: &Arc<Doors>, of: IpAddr) -> Option<Seat> {
        let mut seats = self.seats();
        let own_are_taken = seats.of.get(&of).is_some_and(|own| *own >= SEATS_OF_ONE);
        if own_are_taken || seats.guests.len() >= SEATS {
            if !seats.displace(|guest| !own_are_taken || guest.of == of) {
                drop(seats);
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
        let (id, doing) = (seats.next, Arc::<Doing>::default());
        seats.next += 1;
        seats.guests.insert(id, Guest { of, doing: Arc::clone(&doing), task: None });
        *seats.of.entry(of).or_insert(0) += 1;
        drop(seats);
        Some(Seat { doors: Arc::clone(self), id, doing })
    }

    /// Who is to be ended where a seat is wanted.
    fn attend(&self, seat: u64, task: AbortHandle) {
        // Its task may have ended already.
        if let Some(guest) = self.seats().guests.get_mut(&seat) {
            guest.task = Some(task);
        }
    }
}

impl Seats {
    /// Frees the seat of the first one that asks nothing; false: there is none.
    fn displace(&mut self, may: impl Fn(&Guest) -> bool) -> bool {
        let idle = |guest: &Guest| {
            may(guest) && !guest.doing.unread.load(Ordering::Acquire) && guest.doing.turns(WAITING, DISPLACED)
        };
        let Some(id) = self.guests.iter().find(|(_, guest)| idle(guest)).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(task) = self.leave(id).and_then(|guest| guest.task) {
            task.abort();
        }
        true
    }

    fn leave(&mut self, id: u64) -> Option<Guest> {
        let guest = self.guests.remove(&id)?;
        if let Some(own) = self.of.get_mut(&guest.of) {
            *own -= 1;
            if *own == 0 {
                self.of.remove(&guest.of);
            }
        }
        Some(guest)
    }
}

/// A place that is free again once this is dropped.
struct Seat {
    doors: Arc<Doors>,
    id: u64,
    doing: Arc<Doing>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.doors.seats().leave(self.id);
    }
}

/// Serves until `stop` is there; requests that are being answered then may finish. `probes`: what is served without a seat.
pub async fn serve(
    listener: TcpListener,
    doors: Arc<Doors>,
    (router, probes): (Router, Router),
    stop: impl Future<Output = ()> + Send,
) {
    let graceful = GracefulShutdown::new();
    let mut standing: VecDeque<AbortHandle> = VecDeque::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, or the client went away again.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let seat = doors.seat(peer.ip());
        let (router, head) = match &seat {
            Some(_) => (router.clone(), HEAD),
            None => (probes.clone(), HEAD_STANDING),
        };
        let doing = seat.as_ref().map(|seat| Arc::clone(&seat.doing)).unwrap_or_default();
        let id = seat.as_ref().map(|seat| seat.id);
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(head).keep_alive(seat.is_some());
        let io = TokioIo::new(Connection::new(stream, Arc::clone(&doing)));
        let connection =
            graceful.watch(builder.serve_connection(io, answering(router, doing, Client(peer.ip()))));
        let task = tokio::spawn(async move {
            // What went wrong is between the client and its socket.
            let _ = connection.await;
            drop(seat);
        });
        if let Some(id) = id {
            doors.attend(id, task.abort_handle());
        } else {
            standing.retain(|one| !one.is_finished());
            standing.push_back(task.abort_handle());
            if standing.len() > STANDING
                && let Some(oldest) = standing.pop_front()
            {
                oldest.abort();
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The routes, for a connection whose seat nobody takes while it asks something.
fn answering(
    router: Router,
    doing: Arc<Doing>,
    client: Client,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = Displaced,
    Future: Send,
> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(client);
        let asking = doing.turns(WAITING, ASKING).then(|| Asking(Arc::clone(&doing)));
        let answer = asking.is_some().then(|| hyper::service::Service::call(&router, request));
        async move {
            let answer = answer.ok_or(Displaced)?.await;
            drop(asking);
            answer.map_err(|never| match never {})
        }
    })
}

/// One client, whose patience with us is not ours with it.
struct Connection {
    stream: TcpStream,
    silent: Pin<Box<Sleep>>,
    unread: Pin<Box<Sleep>>,
    doing: Arc<Doing>,
}

impl Connection {
    fn new(stream: TcpStream, doing: Arc<Doing>) -> Connection {
        let (silent, unread) = (Box::pin(sleep(SILENT)), Box::pin(sleep(UNREAD)));
        Connection { stream, silent, unread, doing }
    }

    /// What became of a write, or that it has waited for too long.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.doing.unread.store(false, Ordering::Release);
            return written;
        }
        if !self.doing.unread.swap(true, Ordering::AcqRel) {
            self.unread.as_mut().reset(Instant::now() + UNREAD);
        }
        self.unread.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                this.silent.as_mut().reset(Instant::now() + SILENT);
                Poll::Ready(read)
            }
            Poll::Pending => this.silent.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_seats_for_others() {
        let doors = Arc::<Doors>::default();
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let seats: Vec<Seat> = (0..SEATS_OF_ONE).map(|_| doors.seat(one).unwrap()).collect();
        seats.iter().for_each(|seat| assert!(seat.doing.turns(WAITING, ASKING)));
        assert!(doors.seat(one).is_none(), "all of them are being answered");
        let other = doors.seat(two);
        assert!(other.is_some());
        assert_eq!((doors.taken(), doors.turned_away(), doors.displaced()), (SEATS_OF_ONE as u64 + 1, 1, 0));
        drop((seats, other));
        assert_eq!(doors.taken(), 0);
        assert!(doors.seats().of.is_empty() && doors.seat(one).is_some());
    }

    #[test]
    fn who_is_silent_makes_way_and_who_is_answered_does_not() {
        let doors = Arc::<Doors>::default();
        let one = "192.0.2.1".parse().unwrap();
        let seats: Vec<Seat> = (0..SEATS_OF_ONE).map(|_| doors.seat(one).unwrap()).collect();
        let asking = seats[0].doing.turns(WAITING, ASKING).then(|| Asking(Arc::clone(&seats[0].doing)));
        seats[1].doing.unread.store(true, Ordering::Release);
        let newer = doors.seat(one).unwrap();
        assert!(!seats[2].doing.turns(WAITING, ASKING), "what it would ask now is not begun");
        assert_eq!((doors.taken(), doors.displaced()), (SEATS_OF_ONE as u64, 1));
        drop(asking);
        assert!(doors.seat(one).is_some(), "the first one has its answer");
        assert!(!seats[0].doing.turns(WAITING, ASKING) && newer.doing.turns(WAITING, ASKING));
        drop(seats);
        assert_eq!(doors.taken(), 1);
        // All seats, of many addresses.
        let address = |number: usize| IpAddr::from([10, 0, 0, u8::try_from(number % 200).unwrap()]);
        let _seats: Vec<Seat> = (1..SEATS).map(|number| doors.seat(address(number)).unwrap()).collect();
        assert!(doors.seat("192.0.2.3".parse().unwrap()).is_some());
        assert_eq!((doors.taken(), doors.turned_away()), (SEATS as u64 - 1, 0));
    }
}

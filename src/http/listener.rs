//! Who may connect to the API, how many at a time, and for how long without a word. A client that says nothing, sends half a
//! head or reads no answer costs its seat for some seconds, and nobody else theirs: whoever finds no seat is still told by
//! the probes that Baton lives.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    seats: Mutex<HashMap<IpAddr, usize>>,
    turned_away: AtomicU64,
}

impl Doors {
    /// Connections with a seat.
    pub(super) fn taken(&self) -> u64 {
        self.map().values().sum::<usize>() as u64
    }

    /// Connections that found none.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that is done under this lock can leave the map half changed.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(self: &Arc<Doors>, of: IpAddr) -> Option<Seat> {
        let mut seats = self.map();
        let all: usize = seats.values().sum();
        let own = seats.get(&of).copied().unwrap_or_default();
        if all >= SEATS || own >= SEATS_OF_ONE {
            drop(seats);
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        seats.insert(of, own + 1);
        Some(Seat { doors: Arc::clone(self), of })
    }
}

/// A place that is free again once this is dropped.
struct Seat {
    doors: Arc<Doors>,
    of: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.doors.map();
        if let Some(own) = seats.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                seats.remove(&self.of);
            }
        }
    }
}

/// Serves until `stop` is there; requests that are being answered then may finish. `probes`: what is served without a seat.
pub(super) async fn serve(
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
        let is_standing = seat.is_none();
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(head).keep_alive(!is_standing);
        let io = TokioIo::new(Connection::new(stream));
        let connection = graceful.watch(builder.serve_connection(io, TowerToHyperService::new(router)));
        let task = tokio::spawn(async move {
            // What went wrong is between the client and its socket.
            let _ = connection.await;
            drop(seat);
        });
        if is_standing {
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

/// One client, whose patience with us is not ours with it.
struct Connection {
    stream: TcpStream,
    silent: Pin<Box<Sleep>>,
    unread: Pin<Box<Sleep>>,
    /// Something waits to be read by the client.
    waits: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        let (silent, unread) = (Box::pin(sleep(SILENT)), Box::pin(sleep(UNREAD)));
        Connection { stream, silent, unread, waits: false }
    }

    /// What became of a write, or that it has waited for too long.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        if !self.waits {
            self.waits = true;
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
        assert!(doors.seat(one).is_none());
        let other = doors.seat(two);
        assert!(other.is_some());
        assert_eq!((doors.taken(), doors.turned_away()), (SEATS_OF_ONE as u64 + 1, 1));
        drop((seats, other));
        assert_eq!(doors.taken(), 0);
        assert!(doors.map().is_empty() && doors.seat(one).is_some());
    }
}

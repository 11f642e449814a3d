//! What has to be read before deadlines are served: a deadline that is due says that somebody is late, and that is only
//! true if nothing of theirs waits to be read.
//!
//! A socket is read with the runtime's help, which knows of a datagram only after it has asked the kernel; a signal may
//! have cut that short (EINTR), so for a deadline the kernel is asked directly. A socket is read until it is empty, or until
//! so much was read as it can hold: then all that had arrived when the deadline fell due was read, and a flood holds up
//! no deadline for longer than that.

use crate::sip::{Flow, Time, Transport};
use socket2::SockRef;
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;
use tokio::net::UdpSocket;

/// What the kernel counts for a datagram besides its bytes, at least (SKB_TRUESIZE(0): 576 where a pointer has 8 bytes).
const OVERHEAD: usize = 512;

/// A socket that a shard reads.
pub(super) struct Reading {
    pub(super) listener: u16,
    pub(super) socket: UdpSocket,
    raw: Arc<StdSocket>,
    /// Bytes that the kernel lets wait in it.
    holds: usize,
    /// As many may have been waiting in it when a deadline fell due, and were not read yet.
    owed: usize,
}

impl Reading {
    /// A socket that is registered with the runtime of this thread.
    pub(super) fn new(listener: u16, raw: Arc<StdSocket>) -> io::Result<Reading> {
        let socket = UdpSocket::from_std(raw.try_clone()?)?;
        let holds = SockRef::from(&*raw).recv_buffer_size()?;
        Ok(Reading { listener, socket, raw, holds, owed: 0 })
    }

    /// All that waits in it now has to be read.
    pub(super) fn owe(&mut self) {
        self.owed = self.holds.max(1);
    }

    /// Whether something that has to be read may wait in it.
    pub(super) fn owes(&self) -> bool {
        self.owed > 0
    }

    /// The next datagram.
    ///
    /// # Errors
    /// WouldBlock: nothing waits, as far as is known, and if something is owed, certainly. Any other says nothing of what
    /// waits: a signal, or an ICMP error of an earlier send.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut received = self.socket.try_recv_from(buffer);
        if self.owes() && matches!(&received, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            received = self.raw.recv_from(buffer);
        }
        self.owed = match &received {
            Ok((length, _)) => self.owed.saturating_sub(length + OVERHEAD),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // Nothing was read; counted all the same, so that no row of them is endless.
            Err(_) => self.owed.saturating_sub(OVERHEAD / 8),
        };
        received
    }

    /// Where a datagram came from.
    pub(super) fn flow(&self, peer: SocketAddr) -> Flow {
        Flow { transport: Transport::Udp, listener: self.listener, peer, connection: 0 }
    }
}

/// Deadlines wait until all is read that had arrived when they fell due. The engine's time stands meanwhile, so that it
/// never runs ahead of what was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrears {
    /// Where the engine's time stands.
    pub(super) since: Time,
    /// Items that were in the inbox and were not taken yet.
    pub(super) items: usize,
    /// True time until which the others are waited for who read for this shard; `None`: they have told that they have read
    /// all, or need not be asked.
    pub(super) others: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings() -> (Reading, StdSocket, SocketAddr) {
        let ours = StdSocket::bind("127.0.0.1:0").unwrap();
        ours.set_nonblocking(true).unwrap();
        let at = ours.local_addr().unwrap();
        (Reading::new(3, Arc::new(ours)).unwrap(), StdSocket::bind("127.0.0.1:0").unwrap(), at)
    }

    #[tokio::test]
    async fn what_the_runtime_has_not_heard_of_is_read_for_a_deadline() {
        let (mut reading, theirs, at) = readings();
        theirs.send_to(b"x", at).unwrap();
        let mut buffer = [0; 16];
        // This thread has not gone back to the runtime since, as after a wait that a signal has ended.
        assert_eq!(reading.receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        reading.owe();
        assert_eq!(reading.receive(&mut buffer).unwrap().0, 1);
        assert!(reading.owes(), "more may wait");
        assert_eq!(reading.receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!reading.owes());
    }

    #[tokio::test]
    async fn a_flood_owes_no_more_than_a_socket_holds() {
        let (mut reading, theirs, at) = readings();
        reading.owe();
        let mut buffer = [0; 16];
        let mut read = 0;
        // There is always one more.
        while reading.owes() {
            theirs.send_to(b"x", at).unwrap();
            read += usize::from(reading.receive(&mut buffer).is_ok());
        }
        assert!(read > 1 && read <= reading.holds / OVERHEAD + 1, "{read} of {}", reading.holds);
    }
}

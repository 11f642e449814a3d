//! Sending datagrams. (Receiving is the shard's own business: it reads its sockets inside its turn.)

use super::counts::Counts;
use crate::sip::Flow;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

/// How often a datagram is offered to the kernel.
const TRIES: usize = 4;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has it, or it was dropped for want of room, which retransmission repairs.
    Yes,
    /// It can never leave this way: no route, too long, no such socket.
    No,
}

/// The UDP sockets by listener, for any thread to send by.
#[derive(Clone, Debug)]
pub struct Sockets {
    by_listener: Arc<[Option<Arc<UdpSocket>>]>,
    counts: Arc<Counts>,
}

impl Sockets {
    /// From what [`super::listen::bind`] has opened.
    pub fn new(listeners: usize, udp: &[(u16, Arc<UdpSocket>)], counts: Arc<Counts>) -> Sockets {
        let mut by_listener = vec![None; listeners];
        for (index, socket) in udp {
            by_listener[usize::from(*index)] = Some(Arc::clone(socket));
        }
        Sockets { by_listener: by_listener.into(), counts }
    }

    /// Sends at once; never waits.
    pub fn send(&self, flow: &Flow, bytes: &[u8]) -> Sent {
        let Some(socket) = self.by_listener.get(usize::from(flow.listener)).and_then(Option::as_ref) else {
            self.counts.datagrams_failed.bump();
            return Sent::No;
        };
        // Errors of earlier datagrams (ICMP) may be reported in place of the send; it is then tried again.
        for _ in 0..TRIES {
            match socket.send_to(bytes, flow.peer) {
                Ok(_) => {
                    self.counts.datagrams_out.bump();
                    return Sent::Yes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.counts.datagrams_dropped.bump();
                    return Sent::Yes;
                }
                // Of this one, or of an earlier one.
                Err(_) => {}
            }
        }
        self.counts.datagrams_failed.bump();
        Sent::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    #[test]
    fn what_cannot_leave_is_said_and_counted() {
        let (ours, theirs) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let counts = Arc::<Counts>::default();
        let sockets = Sockets::new(2, &[(1, Arc::new(ours))], Arc::clone(&counts));
        let peer = theirs.local_addr().unwrap();
        let by = |listener| Flow { transport: Transport::Udp, listener, peer, connection: 0 };
        assert_eq!(sockets.send(&by(1), b"one"), Sent::Yes);
        let mut buffer = [0; 8];
        let length = theirs.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"one");
        assert_eq!(sockets.send(&by(0), b"a listener without a datagram socket"), Sent::No);
        assert_eq!(sockets.send(&by(9), b"no such listener"), Sent::No);
        assert_eq!(sockets.send(&by(1), &[0; 65_535]), Sent::No, "longer than any datagram");
        assert_eq!((counts.datagrams_out.read(), counts.datagrams_failed.read()), (1, 3));
    }

    #[test]
    fn a_dead_peer_does_not_eat_what_is_sent_to_a_live_one() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (dead, live) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let gone = dead.local_addr().unwrap();
        drop(dead);
        let sockets = Sockets::new(1, &[(0, Arc::new(ours))], Arc::default());
        let to = |peer| Flow { transport: Transport::Udp, listener: 0, peer, connection: 0 };
        assert_eq!(sockets.send(&to(gone), b"lost"), Sent::Yes, "nobody can know it yet");
        assert_eq!(sockets.send(&to(live.local_addr().unwrap()), b"heard"), Sent::Yes);
        let mut buffer = [0; 8];
        let length = live.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"heard");
    }
}

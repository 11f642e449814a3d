//! Sending datagrams. (Receiving is the shard's own business: it reads its sockets inside its turn.)

use super::counts::Counts;
use crate::sip::Flow;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

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
        // A pending ICMP error of an earlier datagram may be reported in place of the send; it is then tried again.
        for _ in 0..2 {
            match socket.send_to(bytes, flow.peer) {
                Ok(_) => {
                    self.counts.datagrams_out.bump();
                    return Sent::Yes;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => {}
                    io::ErrorKind::WouldBlock => {
                        self.counts.datagrams_dropped.bump();
                        return Sent::Yes;
                    }
                    _ => break,
                },
            }
        }
        self.counts.datagrams_failed.bump();
        Sent::No
    }
}

//! Which of our sockets reaches a peer: the one whose address the kernel would send from.

use crate::sip::{Listener, Transport};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Routes change seldom, and a stale answer only costs one failed send.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Peers whose route is remembered.
const KEPT: usize = 4096;

/// The listeners, and what the kernel said of the way to the latest peers.
#[derive(Debug)]
pub struct Paths {
    listeners: Box<[Listener]>,
    routes: Mutex<HashMap<IpAddr, (Option<IpAddr>, Instant)>>,
}

impl Paths {
    /// Over the sockets of [`super::listen::bind`].
    pub fn new(listeners: &[Listener]) -> Paths {
        Paths { listeners: listeners.into(), routes: Mutex::default() }
    }

    /// The listeners, by index.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Whether there is a socket of this transport at all.
    pub fn serves(&self, transport: Transport) -> bool {
        self.listeners.iter().any(|listener| listener.transport == transport)
    }

    /// The index of the listener to send by: the only one of that transport and family; of several the one bound to
    /// the address that the kernel would send from; else the one nearest to the peer by prefix. `None`: no such socket.
    pub fn listener_for(&self, transport: Transport, peer: IpAddr) -> Option<u16> {
        let fits = |listener: &Listener| {
            listener.transport == transport && listener.local.is_ipv4() == peer.is_ipv4()
        };
        let mut fitting =
            (0u16..).zip(self.listeners.iter()).filter(|(_, listener)| fits(listener)).peekable();
        let (first, _) = fitting.next()?;
        if fitting.peek().is_none() {
            return Some(first);
        }
        let source = self.source_for(peer);
        let all = || (0u16..).zip(self.listeners.iter()).filter(|(_, listener)| fits(listener));
        all()
            .find(|(_, listener)| Some(listener.local.ip()) == source)
            .or_else(|| all().max_by_key(|(index, l)| (common_prefix(l.local.ip(), peer), u16::MAX - index)))
            .map(|(index, _)| index)
    }

    fn source_for(&self, peer: IpAddr) -> Option<IpAddr> {
        let now = Instant::now();
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((source, at)) = routes.get(&peer)
            && now.duration_since(*at) < KEPT_FOR
        {
            return *source;
        }
        if routes.len() >= KEPT {
            routes.retain(|_, (_, at)| now.duration_since(*at) < KEPT_FOR);
            if routes.len() >= KEPT {
                routes.clear();
            }
        }
        let source = ask_kernel(peer);
        routes.insert(peer, (source, now));
        source
    }
}

/// Connecting a UDP socket sends nothing, but makes the kernel choose the route and with it the source address.
fn ask_kernel(peer: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(peer, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn common_prefix(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(transport: Transport, local: &str) -> Listener {
        Listener { transport, local: local.parse().unwrap(), advertised: local.into() }
    }

    #[test]
    fn the_socket_that_reaches_the_peer() {
        let paths = Paths::new(&[
            listener(Transport::Udp, "192.0.2.1:5060"),
            listener(Transport::Udp, "127.0.0.1:5060"),
            listener(Transport::Tcp, "192.0.2.1:5060"),
            listener(Transport::Udp, "[::1]:5060"),
        ]);
        let at = |transport, ip: &str| paths.listener_for(transport, ip.parse().unwrap());
        assert_eq!(at(Transport::Udp, "127.0.0.1"), Some(1), "what the kernel sends from");
        assert_eq!(at(Transport::Udp, "192.0.2.77"), Some(0), "the nearest, as no interface has it");
        assert_eq!(at(Transport::Tcp, "127.0.0.1"), Some(2), "the only one");
        assert_eq!(at(Transport::Udp, "2001:db8::1"), Some(3));
        assert_eq!(at(Transport::Tcp, "::1"), None);
        assert!(paths.serves(Transport::Tcp));
    }
}

//! ICMP port unreachable: a host says that nobody took a datagram of ours. The kernel keeps that in the error queue of the
//! socket (ip(7), IP_RECVERR), with the address that the datagram went to. One thread reads it.
//!
//! Anybody can forge such a message: what it may do is the engine's to decide. Other ICMP errors pass by: they come and go
//! with routes, and silence tells in the end.

use super::Deliver;
use crate::sip::{Flow, Transport};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket as StdSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Errors of a socket that are read at once; then the shards have [`AFTER_AT_ONCE`] for what else there is, whoever forges
/// them.
const AT_ONCE: usize = 64;
/// See [`AT_ONCE`].
const AFTER_AT_ONCE: Duration = Duration::from_millis(5);
/// How often it is looked whether anybody is there to be told, in milliseconds.
const LOOK: u16 = 1_000;
/// Room for the control message: an extended error and an IPv6 address.
const CONTROL: usize = 256;

/// Asks the kernel to keep the errors of this socket.
///
/// # Errors
/// The kernel does not.
pub fn keep(socket: &StdSocket) -> io::Result<()> {
    match socket.local_addr()?.is_ipv4() {
        true => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
        false => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
    }
    Ok(())
}

/// Tells who refuses datagrams of these sockets, each with the index of its listener, until nobody is there to be told.
///
/// # Errors
/// A socket cannot be watched, or the system gives no thread.
pub fn watch<'a>(
    sockets: impl Iterator<Item = (u16, &'a StdSocket)>,
    deliver: &Arc<dyn Deliver>,
) -> io::Result<()> {
    let sockets = sockets.map(|(listener, socket)| Ok((listener, socket.try_clone()?)));
    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
    let deliver = Arc::downgrade(deliver);
    thread::Builder::new().name("refusals".to_owned()).spawn(move || {
        while let (Some(any), Some(deliver)) = (wait(&sockets), deliver.upgrade()) {
            if any {
                tell(&sockets, &*deliver);
                thread::sleep(AFTER_AT_ONCE);
            }
        }
    })?;
    Ok(())
}

/// Waits for an error of any of them, for [`LOOK`] at most: whether there is one. `None`: that cannot be waited for.
///
/// Whoever asks poll(2) for nothing is told errors alone, and is not woken by what arrives: a runtime would be, by each
/// datagram, for its kinds of interest all come with it.
fn wait(sockets: &[(u16, StdSocket)]) -> Option<bool> {
    let mut watched: Vec<PollFd<'_>> =
        sockets.iter().map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::empty())).collect();
    match poll(&mut watched, PollTimeout::from(LOOK)) {
        Ok(ready) => Some(ready > 0),
        Err(Errno::EINTR) => Some(false),
        Err(_) => None,
    }
}

fn tell(sockets: &[(u16, StdSocket)], deliver: &dyn Deliver) {
    for (listener, socket) in sockets {
        let peers = refusals(socket);
        // The kernel keeps the latest in a second place, for the next call on the socket; until then there is an error.
        let _ = socket.take_error();
        for peer in peers {
            deliver.refused(Flow { transport: Transport::Udp, listener: *listener, peer, connection: 0 });
        }
    }
}

/// Who has refused, each of them once.
fn refusals(socket: &StdSocket) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for _ in 0..AT_ONCE {
        match next(socket) {
            Ok(Some(peer)) if !found.contains(&peer) => found.push(peer),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    found
}

/// The next error that the kernel has kept; `None`: not that nobody listens.
fn next(socket: &StdSocket) -> io::Result<Option<SocketAddr>> {
    let mut payload = [0; 1];
    let mut control = [0; CONTROL];
    let mut buffers = [IoSliceMut::new(&mut payload)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let error = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffers, Some(&mut control[..]), flags)?;
    let refuses = error.cmsgs()?.any(|message| match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            error.ee_errno == Errno::ECONNREFUSED as u32
        }
        _ => false,
    });
    Ok(error.address.filter(|_| refuses).and_then(|address| address_of(&address)))
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|one| SocketAddrV4::new(one.ip(), one.port()).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|one| SocketAddrV6::new(one.ip(), one.port(), 0, 0).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    struct Ear(Mutex<Sender<Flow>>);

    impl Deliver for Ear {
        fn message(&self, _: Flow, _: &[u8]) -> bool {
            true
        }
        fn send_failed(&self, _: u16, _: u64) {}
        fn sent(&self, _: u16, _: u64) {}
        fn flow_closed(&self, _: u64, _: SocketAddr) {}
        fn refused(&self, flow: Flow) {
            self.0.lock().unwrap().send(flow).unwrap();
        }
        fn resolved(&self, _: u16, _: u64, _: Vec<Flow>) {}
    }

    #[test]
    fn a_port_where_nobody_listens_is_told_with_its_address() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(ours) = StdSocket::bind(any) else { continue };
            ours.set_nonblocking(true).unwrap();
            keep(&ours).unwrap();
            let (sender, receiver) = channel();
            let ear: Arc<dyn Deliver> = Arc::new(Ear(Mutex::new(sender)));
            watch([(3, &ours)].into_iter(), &ear).unwrap();
            let nobody = StdSocket::bind(any).unwrap();
            let gone = nobody.local_addr().unwrap();
            drop(nobody);
            for _ in 0..2 {
                ours.send_to(b"OPTIONS", gone).unwrap();
                let flow = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
                assert_eq!((flow.transport, flow.listener, flow.peer), (Transport::Udp, 3, gone));
            }
        }
    }
}

//! Opens the sockets that SIP is served on. A wildcard becomes one socket for each local address, so that what leaves
//! has the source address that its Via names. Called once, at the start.

use crate::sip::{Listener, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

/// Asked of the kernel, which gives what `net.core.rmem_max` permits: a burst of calls must wait somewhere while a turn runs.
const RECEIVE_BUFFER: usize = 8 << 20;
/// As above, for what leaves.
const SEND_BUFFER: usize = 4 << 20;
/// Connections that wait for `accept`.
const BACKLOG: i32 = 1024;

/// What to listen on.
#[derive(Clone, Debug)]
pub struct Listen {
    /// How.
    pub transport: Transport,
    /// Where; may be a wildcard, and its port may be 0.
    pub address: SocketAddr,
    /// Host (IPv6 in brackets) and port for Via and Contact; `None`: the local address.
    pub advertised: Option<(String, Option<u16>)>,
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The kernel refused it.
    #[error("cannot listen on {transport}:{address}: {error}{}", hint(error))]
    Bind {
        /// `udp`, `tcp`.
        transport: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why. Part of the message, so not named as its source: whoever prints the chain would print it twice.
        error: io::Error,
    },
    /// A wildcard, and no address to put in its place.
    #[error("{0} stands for all local addresses, and there is none of its family")]
    NoAddress(SocketAddr),
    /// The list of local addresses cannot be read.
    #[error("cannot list the local addresses: {0}")]
    Interfaces(io::Error),
    /// Flows number the sockets with 16 bits.
    #[error("more than 65,535 sockets to listen on")]
    TooMany,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process listens there; `ss -lnp` shows which)",
        io::ErrorKind::AddrNotAvailable => " (no interface has this address; `ip address` lists them)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        _ => "",
    }
}

/// The open sockets. The index into `listeners` is [`crate::sip::Flow::listener`].
#[derive(Debug, Default)]
pub struct Bound {
    /// As the engine sees them.
    pub listeners: Vec<Listener>,
    /// UDP sockets with the index of their listener.
    pub udp: Vec<(u16, Arc<UdpSocket>)>,
    /// TCP listeners with the index of their listener.
    pub tcp: Vec<(u16, TcpListener)>,
}

/// Opens all of them, or none.
///
/// # Errors
/// The first that cannot be opened, and what to do about it.
pub fn bind(listens: &[Listen]) -> Result<Bound, ListenError> {
    let mut bound = Bound::default();
    for listen in listens {
        let mut port = listen.address.port();
        for ip in addresses(listen.address)? {
            // A wildcard with port 0 means one port for all its addresses.
            let local = bound.open(listen, SocketAddr::new(ip, port))?;
            port = local.port();
        }
    }
    Ok(bound)
}

impl Bound {
    fn open(&mut self, listen: &Listen, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        let index = u16::try_from(self.listeners.len()).map_err(|_| ListenError::TooMany)?;
        let fault = |error| ListenError::Bind { transport: listen.transport.as_param(), address, error };
        let local = match listen.transport {
            Transport::Udp => {
                let socket = udp(address).map_err(fault)?;
                let local = socket.local_addr().map_err(fault)?;
                self.udp.push((index, Arc::new(socket)));
                local
            }
            Transport::Tcp => {
                let socket = tcp(address).map_err(fault)?;
                let local = socket.local_addr().map_err(fault)?;
                self.tcp.push((index, socket));
                local
            }
        };
        let advertised = match &listen.advertised {
            Some((host, port)) => format!("{host}:{}", port.unwrap_or(local.port())),
            None => local.to_string(),
        };
        self.listeners.push(Listener { transport: listen.transport, local, advertised: advertised.into() });
        Ok(local)
    }
}

/// No SO_REUSEADDR: on a UDP socket it would let a second process take the calls of the first.
fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Permitted or not, the kernel cuts it to what it allows; a small buffer is no reason not to start.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let socket = socket.into();
    // A kernel that keeps no errors only leaves a dead port to its silence.
    let _ = super::refusals::keep(&socket);
    Ok(socket)
}

/// SO_REUSEADDR here only skips TIME_WAIT after a restart.
fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The address itself, or for a wildcard every local address of its family. Link-local IPv6 addresses mean nothing
/// without their interface and cannot stand in a Via; they are left out.
fn addresses(address: SocketAddr) -> Result<Vec<IpAddr>, ListenError> {
    if !address.ip().is_unspecified() {
        return Ok(vec![address.ip()]);
    }
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .map_err(ListenError::Interfaces)?
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| ip.is_ipv4() == address.is_ipv4())
        .filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Err(ListenError::NoAddress(address)) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_becomes_one_socket_for_each_address_on_one_port() {
        let any = Listen {
            transport: Transport::Udp,
            address: "0.0.0.0:0".parse().unwrap(),
            advertised: Some(("pbx.example.com".to_owned(), None)),
        };
        let bound = bind(&[any]).expect("loopback at least");
        let port = bound.listeners[0].local.port();
        assert_ne!(port, 0);
        assert!(bound.listeners.iter().any(|l| l.local.ip().is_loopback()));
        for listener in &bound.listeners {
            assert!(!listener.local.ip().is_unspecified());
            assert_eq!(listener.local.port(), port);
            assert_eq!(&*listener.advertised, format!("pbx.example.com:{port}"));
        }
        assert_eq!(bound.udp.len(), bound.listeners.len());
    }

    #[test]
    fn a_udp_port_is_taken_by_one_process_only() {
        let first =
            Listen { transport: Transport::Udp, address: "127.0.0.1:0".parse().unwrap(), advertised: None };
        let bound = bind(std::slice::from_ref(&first)).unwrap();
        let again = Listen { address: bound.listeners[0].local, ..first };
        let error = bind(&[again]).unwrap_err();
        assert!(error.to_string().contains("another process listens there"), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "its cause would be printed twice");
    }
}

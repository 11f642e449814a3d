//! SIP URIs to flows (RFC 3263, sections 4.1 and 4.2, without NAPTR and SRV): the transport, the addresses and the
//! socket of ours that reaches them. Addresses as literals are answered at once; names by A and AAAA, never inside a
//! shard's turn. hickory keeps answers for their TTL.

use super::Deliver;
use super::counts::Counts;
use super::paths::Paths;
use super::patience::{LOOK, within};
use super::unread::Unread;
use crate::observe::line::{Line, Sink};
use crate::sip::stack::is_of_dialog;
use crate::sip::{Flow, Transport};
use crate::wire::{Host, Scheme, Uri};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// The port where a URI names none (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;
/// Names that are looked up at the same time.
const LOOKUPS: usize = 256;
/// Of these, kept for whom calls are placed to. Names in Contacts, which a peer chooses, have the rest.
const KEPT: usize = 128;
/// Queries that wait for one name.
const WAITING: usize = 1024;
/// Addresses of one name that are tried: whoever answers for a name does not choose how long a call rings.
const ADDRESSES: usize = 16;
/// For one name: less than half of Timer B, so that a fallback is still worth trying.
const WITHIN: Duration = Duration::from_secs(10);

/// What is known of a URI without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Address(Transport, SocketAddr),
    Name { host: Box<str>, transport: Transport, port: u16 },
}

/// One query of a shard.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    shard: u16,
    query: u64,
    transport: Transport,
    port: u16,
}

/// Turns URIs into flows for all shards.
pub struct Resolver {
    paths: Arc<Paths>,
    dns: TokioResolver,
    runtime: Handle,
    deliver: Arc<dyn Deliver>,
    /// By name: who waits for it. A name stands here while it is looked up.
    names: Mutex<HashMap<Box<str>, Vec<Waiting>>>,
    counts: Arc<Counts>,
    log: Sink,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

/// The system's resolver (`/etc/resolv.conf`, `/etc/hosts`), asked for both families.
///
/// # Errors
/// The system's configuration cannot be read.
pub fn system_dns() -> Result<TokioResolver, String> {
    let mut builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().map_err(|error| error.to_string())
}

/// The addresses of a name, IPv4 first as the resolver gave them.
///
/// # Errors
/// Why there are none.
pub async fn addresses(dns: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, String> {
    match within(WITHIN, dns.lookup_ip(name)).await {
        Some(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = found.iter().collect();
            addresses.sort_by_key(IpAddr::is_ipv6);
            addresses.dedup();
            Ok(addresses)
        }
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("no answer within {} s", WITHIN.as_secs())),
    }
}

impl Resolver {
    /// Looks up on `runtime`, answers to `deliver`.
    pub fn new(
        paths: Arc<Paths>,
        dns: TokioResolver,
        runtime: Handle,
        deliver: Arc<dyn Deliver>,
        counts: Arc<Counts>,
        log: Sink,
    ) -> Arc<Resolver> {
        Arc::new(Resolver { paths, dns, runtime, deliver, names: Mutex::default(), counts, log })
    }

    /// The flows of a URI, at once where nobody has to be asked (or nothing can be found); `None`: they come by
    /// [`Deliver::resolved`].
    pub fn resolve(self: &Arc<Self>, shard: u16, query: u64, uri: &[u8]) -> Option<Vec<Flow>> {
        let (host, transport, port) = match self.target(uri) {
            Ok(Target::Address(transport, address)) => {
                return Some(self.flows(&[address.ip()], transport, address.port()));
            }
            Ok(Target::Name { host, transport, port }) => (host, transport, port),
            Err(why) => {
                self.warn(&String::from_utf8_lossy(uri), why);
                return Some(Vec::new());
            }
        };
        let waiting = Waiting { shard, query, transport, port };
        let mut names = self.names();
        if let Some(others) = names.get_mut(&host) {
            if others.len() < WAITING {
                others.push(waiting);
                return None;
            }
        } else if names.len() < if is_of_dialog(query) { LOOKUPS - KEPT } else { LOOKUPS } {
            names.insert(host.clone(), vec![waiting]);
            let resolver = Arc::clone(self);
            self.runtime.spawn(async move { resolver.look_up(host).await });
            return None;
        }
        drop(names);
        self.counts.lookups_failed.bump();
        self.warn(&host, "too many names are being looked up");
        Some(Vec::new())
    }

    async fn look_up(&self, host: Box<str>) {
        self.counts.lookups.bump();
        let found = addresses(&self.dns, &host).await.unwrap_or_else(|why| {
            self.counts.lookups_failed.bump();
            self.warn(&host, &why);
            Vec::new()
        });
        let waiting = self.names().remove(&host).unwrap_or_default();
        for Waiting { shard, query, transport, port } in waiting {
            self.deliver.resolved(shard, query, self.flows(&found, transport, port));
        }
    }

    /// Holds the copy for a moment, if names are looked up: their answers may have arrived and be on their way through the
    /// library's tasks, which nobody can ask.
    pub fn read_all(&self, unread: Unread) {
        if !self.names().is_empty() {
            self.runtime.spawn(async move {
                tokio::time::sleep(LOOK).await;
                drop(unread);
            });
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<Box<str>, Vec<Waiting>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flows(&self, addresses: &[IpAddr], transport: Transport, port: u16) -> Vec<Flow> {
        let flow = |ip: &IpAddr| {
            let ip = ip.to_canonical();
            let listener = self.paths.listener_for(transport, ip)?;
            Some(Flow { transport, listener, peer: SocketAddr::new(ip, port), connection: 0 })
        };
        let flows: Vec<Flow> = addresses.iter().filter_map(flow).take(ADDRESSES).collect();
        if flows.is_empty() && !addresses.is_empty() {
            let family = if addresses[0].is_ipv4() { "IPv4" } else { "IPv6" };
            self.warn(
                &addresses[0].to_string(),
                &format!("sip.listen has no {} socket for {family}", transport.as_param()),
            );
        }
        flows
    }

    fn target(&self, bytes: &[u8]) -> Result<Target, &'static str> {
        let uri = Uri::parse(bytes).map_err(|_| "not a URI")?;
        match uri.scheme {
            Scheme::Sip => {}
            Scheme::Sips => return Err("sips needs TLS, which is not supported yet"),
            _ => return Err("only sip URIs can be resolved"),
        }
        let transport = match uri.param(b"transport").flatten() {
            None if self.paths.serves(Transport::Udp) => Transport::Udp,
            None => Transport::Tcp,
            Some(name) if name.eq_ignore_ascii_case(b"udp") => Transport::Udp,
            Some(name) if name.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
            Some(_) => return Err("this transport is not supported; udp and tcp are"),
        };
        let host = match uri.param(b"maddr").flatten() {
            Some(maddr) => Host::parse(maddr).map_err(|_| "maddr is no host")?,
            None => uri.host,
        };
        let port = uri.port.unwrap_or(SIP_PORT);
        if let Some(ip) = host.ip() {
            return Ok(Target::Address(transport, SocketAddr::new(ip, port)));
        }
        let Host::Name(name) = host else { return Err("no host") };
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty()).ok_or("no host")?;
        Ok(Target::Name { host: name.to_ascii_lowercase().into(), transport, port })
    }

    fn warn(&self, what: &str, why: &str) {
        (self.log)(Line::warn("net.unresolved").phone("target", Some(what)).text("reason", why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Listener;
    use std::sync::mpsc::{Receiver, Sender, channel};

    type Answer = (u16, u64, Vec<Flow>);
    struct Inbox(Mutex<Sender<Answer>>);

    impl Deliver for Inbox {
        fn message(&self, _: Flow, _: &[u8]) -> bool {
            true
        }
        fn send_failed(&self, _: u16, _: u64) {}
        fn sent(&self, _: u16, _: u64) {}
        fn flow_closed(&self, _: u64, _: SocketAddr) {}
        fn refused(&self, _: Flow) {}
        fn resolved(&self, shard: u16, query: u64, flows: Vec<Flow>) {
            self.0.lock().unwrap().send((shard, query, flows)).unwrap();
        }
    }

    fn resolver(listeners: &[(Transport, &str)]) -> (Arc<Resolver>, Receiver<Answer>) {
        let listener = |(transport, local): &(Transport, &str)| Listener {
            transport: *transport,
            local: local.parse().unwrap(),
            advertised: (*local).into(),
        };
        let listeners: Vec<Listener> = listeners.iter().map(listener).collect();
        let (sender, receiver) = channel();
        let resolver = Resolver::new(
            Arc::new(Paths::new(&listeners)),
            system_dns().unwrap(),
            Handle::current(),
            Arc::new(Inbox(Mutex::new(sender))),
            Arc::default(),
            Arc::new(|_| {}),
        );
        (resolver, receiver)
    }

    #[tokio::test]
    async fn addresses_are_answered_at_once() {
        let (resolver, _) = resolver(&[
            (Transport::Udp, "127.0.0.1:5060"),
            (Transport::Tcp, "127.0.0.1:5060"),
            (Transport::Udp, "[::1]:5060"),
        ]);
        let at = |uri: &str| -> Vec<String> {
            let flows = resolver.resolve(0, 1, uri.as_bytes()).expect("at once");
            let show =
                |flow: &Flow| format!("{} {} by {}", flow.transport.as_param(), flow.peer, flow.listener);
            flows.iter().map(show).collect()
        };
        assert_eq!(at("sip:a@127.0.0.1"), ["udp 127.0.0.1:5060 by 0"]);
        assert_eq!(at("sip:127.0.0.1:5070;transport=TCP"), ["tcp 127.0.0.1:5070 by 1"]);
        assert_eq!(at("sip:[::1]:5080"), ["udp [::1]:5080 by 2"]);
        assert_eq!(at("sip:pbx.example.com;maddr=127.0.0.1"), ["udp 127.0.0.1:5060 by 0"]);
        let nowhere: [&str; 0] = [];
        for uri in
            ["sips:a@127.0.0.1", "tel:+1", "sip:[::1];transport=tcp", "sip:a@127.0.0.1;transport=ws", "<sip"]
        {
            assert_eq!(at(uri), nowhere, "{uri}");
        }
    }

    #[tokio::test]
    async fn without_udp_it_is_tcp() {
        let (resolver, _) = resolver(&[(Transport::Tcp, "127.0.0.1:5060")]);
        let flows = resolver.resolve(0, 1, b"sip:127.0.0.1").unwrap();
        assert_eq!((flows.len(), flows[0].transport), (1, Transport::Tcp));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_name_is_looked_up_once_for_all_who_ask() {
        let (resolver, answers) = resolver(&[(Transport::Udp, "127.0.0.1:5060")]);
        for query in 0..3 {
            assert_eq!(resolver.resolve(7, query, b"sip:LOCALHOST:5070"), None);
        }
        for query in 0..3 {
            let (shard, of, flows) = answers.recv_timeout(WITHIN).unwrap();
            assert_eq!((shard, of), (7, query));
            assert!(flows.iter().any(|flow| flow.peer.to_string() == "127.0.0.1:5070"), "{flows:?}");
        }
        assert!(resolver.names().is_empty());
    }
}

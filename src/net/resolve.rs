//! SIP URIs to flows (RFC 3263, sections 4.1 and 4.2, without NAPTR and SRV): the transport, the addresses and the
//! socket of ours that reaches them. Addresses as literals are answered at once; names by A and AAAA, never inside a
//! shard's turn. hickory keeps answers for their TTL.

use super::Deliver;
use super::counts::Counts;
use super::paths::Paths;
use super::patience::{LAST_LOOK, Minutes, within};
use super::unread::Unread;
use crate::observe::line::{Line, Sink};
use crate::sip::shares::{Asker, Shares};
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
/// Names that are looked up at the same time for calls that are to be placed, and as many for names that peers have put
/// into dialogs, which they choose freely. Both are shared by trunks and agents.
const NAMES: usize = 128;
/// Questions of dialogs that wait for a name, shared likewise. Those of calls are bounded by the calls.
const WAITING: usize = 16 * 1024;
/// Addresses of one name that are tried: whoever answers for a name does not choose how long a call rings.
const ADDRESSES: usize = 16;
/// For one name: less than half of Timer B, so that a fallback is still worth trying.
const NAME_RESOLVES: Duration = Duration::from_secs(10);

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
    asker: Asker,
}

/// A name that is looked up: for whom, and who else waits for it.
#[derive(Debug)]
struct Name {
    asker: Asker,
    waiting: Vec<Waiting>,
}

/// What is looked up now.
#[derive(Debug)]
struct Names {
    by_name: HashMap<Box<str>, Name>,
    /// Places for names: of calls, of dialogs.
    of_calls: Shares<Option<u16>>,
    of_dialogs: Shares<Option<u16>>,
    /// Places for questions of dialogs.
    waiting: Shares<Option<u16>>,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            by_name: HashMap::new(),
            of_calls: Shares::new(NAMES, 1),
            of_dialogs: Shares::new(NAMES, 1),
            waiting: Shares::new(WAITING, 1),
        }
    }
}

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It waits for a name that is looked up already.
    Waits,
    /// The name is to be looked up.
    First,
    /// There is none for it.
    Refused,
}

impl Names {
    fn places(&mut self, asker: Asker) -> &mut Shares<Option<u16>> {
        if asker.in_dialog { &mut self.of_dialogs } else { &mut self.of_calls }
    }

    fn ask(&mut self, host: &str, waiting: Waiting) -> Place {
        let asker = waiting.asker;
        // Those that are nobody's are a party, too.
        let parties = asker.of + 1;
        self.waiting.set_parties(parties);
        self.places(asker).set_parties(parties);
        if asker.in_dialog && !self.waiting.has_place(&asker.party) {
            return Place::Refused;
        }
        let place = if let Some(name) = self.by_name.get_mut(host) {
            name.waiting.push(waiting);
            Place::Waits
        } else if self.places(asker).has_place(&asker.party) {
            self.places(asker).take(&asker.party);
            self.by_name.insert(host.into(), Name { asker, waiting: vec![waiting] });
            Place::First
        } else {
            return Place::Refused;
        };
        if asker.in_dialog {
            self.waiting.take(&asker.party);
        }
        place
    }

    /// Who waited for a name.
    fn found(&mut self, host: &str) -> Vec<Waiting> {
        let Some(Name { asker, waiting }) = self.by_name.remove(host) else { return Vec::new() };
        self.places(asker).give(&asker.party);
        waiting.iter().filter(|one| one.asker.in_dialog).for_each(|one| self.waiting.give(&one.asker.party));
        waiting
    }
}

/// Turns URIs into flows for all shards.
pub struct Resolver {
    paths: Arc<Paths>,
    dns: TokioResolver,
    runtime: Handle,
    deliver: Arc<dyn Deliver>,
    names: Mutex<Names>,
    refusals: Minutes,
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
    match within(NAME_RESOLVES, dns.lookup_ip(name)).await {
        Some(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = found.iter().collect();
            addresses.sort_by_key(IpAddr::is_ipv6);
            addresses.dedup();
            Ok(addresses)
        }
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("no answer within {} s", NAME_RESOLVES.as_secs())),
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
        Arc::new(Resolver {
            paths,
            dns,
            runtime,
            deliver,
            names: Mutex::default(),
            refusals: Minutes::default(),
            counts,
            log,
        })
    }

    /// The flows of a URI that a shard's query asks for, at once where nobody has to be asked (or nothing can be found);
    /// `None`: they come by [`Deliver::resolved`].
    pub fn resolve(
        self: &Arc<Self>,
        (shard, query): (u16, u64),
        asker: Asker,
        uri: &[u8],
    ) -> Option<Vec<Flow>> {
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
        let place = self.names().ask(&host, Waiting { shard, query, transport, port, asker });
        match place {
            Place::Waits => None,
            Place::First => {
                let resolver = Arc::clone(self);
                self.runtime.spawn(async move { resolver.look_up(host).await });
                None
            }
            Place::Refused => {
                self.counts.lookups_refused.bump();
                if self.refusals.is_new() {
                    let line = Line::warn("net.lookup_refused").phone("target", Some(&*host));
                    (self.log)(line.number("refused", self.counts.lookups_refused.read()).text(
                        "hint",
                        "too many names are being looked up for one trunk or agent: is the name server slow, or do its callers name ever others in Contact?",
                    ));
                }
                Some(Vec::new())
            }
        }
    }

    async fn look_up(&self, host: Box<str>) {
        self.counts.lookups.bump();
        let found = addresses(&self.dns, &host).await.unwrap_or_else(|why| {
            self.counts.lookups_failed.bump();
            self.warn(&host, &why);
            Vec::new()
        });
        let waiting = self.names().found(&host);
        for Waiting { shard, query, transport, port, .. } in waiting {
            self.deliver.resolved(shard, query, self.flows(&found, transport, port));
        }
    }

    /// Holds the copy for a moment, if names are looked up: their answers may have arrived and be on their way through the
    /// library's tasks, which nobody can ask.
    pub fn read_all(&self, unread: Unread) {
        if !self.names().by_name.is_empty() {
            self.runtime.spawn(async move {
                tokio::time::sleep(LAST_LOOK).await;
                drop(unread);
            });
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
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
            let flows = resolver.resolve((0, 1), Asker::default(), uri.as_bytes()).expect("at once");
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
        let flows = resolver.resolve((0, 1), Asker::default(), b"sip:127.0.0.1").unwrap();
        assert_eq!((flows.len(), flows[0].transport), (1, Transport::Tcp));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_name_is_looked_up_once_for_all_who_ask() {
        let (resolver, answers) = resolver(&[(Transport::Udp, "127.0.0.1:5060")]);
        for query in 0..3 {
            assert_eq!(resolver.resolve((7, query), Asker::default(), b"sip:LOCALHOST:5070"), None);
        }
        for query in 0..3 {
            let (shard, of, flows) = answers.recv_timeout(NAME_RESOLVES).unwrap();
            assert_eq!((shard, of), (7, query));
            assert!(flows.iter().any(|flow| flow.peer.to_string() == "127.0.0.1:5070"), "{flows:?}");
        }
        let names = resolver.names();
        assert!(names.by_name.is_empty() && names.of_calls.taken() == 0);
    }

    #[test]
    fn the_names_of_one_trunks_callers_leave_places_for_others_and_for_calls() {
        let mut names = Names::default();
        let mut ask = |host: &str, party, in_dialog| {
            let asker = Asker { party, of: 3, in_dialog };
            names.ask(host, Waiting { shard: 0, query: 0, transport: Transport::Udp, port: 5060, asker })
        };
        let flood =
            (0..600).filter(|n| ask(&format!("c-{n}.example"), Some(0), true) == Place::First).count();
        assert_eq!(flood, 80, "what is kept for it, and what is nobody's");
        let other =
            (0..600).filter(|n| ask(&format!("o-{n}.example"), Some(1), true) == Place::First).count();
        assert_eq!(other, 16, "what is kept for the other trunk");
        assert_eq!(ask("desk.example", Some(0), false), Place::First, "whom the flood's own calls go to");
        // One name for all: the questions are shared as well.
        let one = (0..20_000).filter(|_| ask("c-1.example", Some(0), true) == Place::Waits).count();
        assert_eq!(one + flood, 10_240);
        assert_eq!(ask("c-1.example", Some(2), true), Place::Waits);
        assert_eq!(ask("c-1.example", Some(0), false), Place::Waits, "a call is bounded by the calls");
        let hosts: Vec<Box<str>> = names.by_name.keys().cloned().collect();
        let waited: usize = hosts.iter().map(|host| names.found(host).len()).sum();
        assert_eq!(waited, 10_240 + 16 + 3);
        assert!([&names.of_calls, &names.of_dialogs, &names.waiting].iter().all(|left| left.taken() == 0));
    }
}

//! What makes a dialog (RFC 3261 §12): identifiers, the two addresses, the remote target and the route set.
//!
//! A dialog is one block of text of exact size. It knows no state, no transaction and no session; those are the
//! leg's. Called by `leg/` only.

use super::flow::{Flow, Listener, Transport};
use crate::wire::grammar::Commas;
use crate::wire::{Host, Message, Name, NameAddr, Scheme, Uri};
use std::net::{IpAddr, SocketAddr};

/// The texts of a dialog, in the order in which they stand in its block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts<'a> {
    /// Of both ways of the dialog.
    pub(crate) call_id: &'a [u8],
    /// Our tag.
    pub(crate) local_tag: &'a [u8],
    /// The peer's tag; empty until it is known.
    pub(crate) remote_tag: &'a [u8],
    /// Our address, display name and `<URI>`: From of our requests.
    pub(crate) local: &'a [u8],
    /// The peer's address, display name and `<URI>`: To of our requests.
    pub(crate) remote: &'a [u8],
    /// The remote target: the URI of the peer's last Contact, or where the INVITE goes.
    pub(crate) target: &'a [u8],
    /// The route set, comma-separated, in the order in which it is written in Route.
    pub(crate) routes: &'a [u8],
}

/// How many texts there are.
const PARTS: usize = 7;

/// A dialog, early or confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialog {
    /// All texts, one after the other.
    text: Box<[u8]>,
    /// Where each ends. A message has 64 kB at most but a dialog is made of several, hence not `u16`.
    ends: [u32; PARTS],
}

impl Dialog {
    /// Copies the texts into one block.
    pub(crate) fn new(parts: Parts<'_>) -> Dialog {
        let Parts { call_id, local_tag, remote_tag, local, remote, target, routes } = parts;
        let all = [call_id, local_tag, remote_tag, local, remote, target, routes];
        let mut text = Vec::with_capacity(all.iter().map(|part| part.len()).sum());
        let mut ends = [0; PARTS];
        for (part, end) in all.into_iter().zip(&mut ends) {
            text.extend_from_slice(part);
            *end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        }
        Dialog { text: text.into_boxed_slice(), ends }
    }

    fn part(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text.get(start as usize..self.ends[index] as usize).unwrap_or(b"")
    }

    /// All texts, to be changed and copied into a new dialog.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            call_id: self.part(0),
            local_tag: self.part(1),
            remote_tag: self.part(2),
            local: self.part(3),
            remote: self.part(4),
            target: self.part(5),
            routes: self.part(6),
        }
    }

    pub(crate) fn call_id(&self) -> &[u8] {
        self.part(0)
    }

    pub(crate) fn local_tag(&self) -> &[u8] {
        self.part(1)
    }

    pub(crate) fn remote_tag(&self) -> &[u8] {
        self.part(2)
    }

    pub(crate) fn target(&self) -> &[u8] {
        self.part(5)
    }

    /// The route set as it stands in the block; [`Dialog::addressing`] says how it is written.
    pub(crate) fn routes(&self) -> &[u8] {
        self.part(6)
    }

    /// A target refresh (RFC 3261 §12.2.1.2, §12.2.2). Nothing is copied if the target is the same.
    pub(crate) fn refresh_target(&mut self, target: &[u8]) -> bool {
        if target == self.target() {
            return false;
        }
        *self = Dialog::new(Parts { target, ..self.parts() });
        true
    }

    /// How a request in this dialog is addressed (RFC 3261 §12.2.1.1): a first route without `lr` is a strict router,
    /// which takes the Request-URI for itself and finds the remote target as the last Route.
    pub(crate) fn addressing(&self) -> Addressing<'_> {
        let Some(first) = Commas::new(self.routes()).next() else {
            return Addressing { uri: self.target(), routes: b"", last: None };
        };
        let strict = NameAddr::parse(first).ok().filter(|route| route.uri.param(b"lr").is_none());
        match strict {
            None => Addressing { uri: self.target(), routes: self.routes(), last: None },
            Some(route) => {
                let rest = self.routes().get(first.len()..).unwrap_or(b"");
                Addressing { uri: route.uri.bytes, routes: after_comma(rest), last: Some(self.target()) }
            }
        }
    }

    /// The URI that says where the next request goes: the first route, else the remote target.
    fn next_hop(&self) -> Option<Uri<'_>> {
        match Commas::new(self.routes()).next() {
            Some(route) => NameAddr::parse(route).ok().map(|route| route.uri),
            None => Uri::parse(self.target()).ok(),
        }
    }

    /// Where the next request goes, as far as the texts say it; `resolved` is the address of a name in them.
    pub(crate) fn hop(&self, current: Flow, resolved: Option<Flow>, listeners: &[Listener]) -> Hop<'_> {
        let Some(uri) = self.next_hop().filter(Uri::is_sip) else { return Hop::Stay };
        // Without TLS nothing is sent to it (RFC 5630 §3.1.3), least of all in the clear.
        if uri.scheme == Scheme::Sips {
            return Hop::Stay;
        }
        let host = match uri.param(b"maddr").flatten().map(Host::parse) {
            Some(Ok(host)) => host,
            Some(Err(_)) | None => uri.host,
        };
        let ip = match (host.ip(), resolved, host) {
            (Some(ip), _, _) => ip,
            (None, Some(resolved), _) => resolved.peer.ip(),
            (None, None, Host::Name(name)) if !name.is_empty() => return Hop::Ask(uri.bytes),
            (None, None, _) => return Hop::Stay,
        };
        let peer = SocketAddr::new(ip, uri.port.unwrap_or(5060));
        if is_nowhere(ip, current.peer.ip()) || peer.port() == 0 {
            return Hop::Stay;
        }
        let transport = match uri.param(b"transport").flatten() {
            Some(word) if word.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
            Some(word) if word.eq_ignore_ascii_case(b"udp") => Transport::Udp,
            Some(_) => return Hop::Stay,
            // Without a word a literal address means UDP (RFC 3263 §4.1); but a peer that came by a stream and only
            // forgot to say so is met on that stream.
            None if same_host(current.peer, peer) => current.transport,
            None => Transport::Udp,
        };
        // A stream that is open between us, whoever opened it.
        let open = transport == Transport::Tcp && current.transport == transport && current.connection != 0;
        if open && same_host(current.peer, peer) {
            return Hop::Stay;
        }
        match listener_for(listeners, transport, peer, current.listener) {
            Some(listener) => Hop::Go(Flow { transport, listener, peer, connection: 0 }),
            None => Hop::Stay,
        }
    }

    /// The dialog that a 2xx to our INVITE, or a 18x of a branch, makes (RFC 3261 §12.1.2).
    pub(crate) fn confirmed(&self, message: &Message<'_>) -> Dialog {
        let contact = message.contact();
        let parts = self.parts();
        let target = contact.map_or(parts.target, |contact| contact.uri.bytes);
        let routes = route_set_of_uac(message.headers(Name::RecordRoute));
        let remote_tag = message.to_tag().unwrap_or(b"");
        // The URI of To as we wrote it: the peer may have changed only its display name.
        let remote = address(&message.to());
        Dialog::new(Parts { remote_tag, remote: &remote, target, routes: &routes, ..parts })
    }
}

/// Request-URI and Route of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addressing<'a> {
    /// Request-URI.
    pub(crate) uri: &'a [u8],
    /// Value of Route; empty: none.
    pub(crate) routes: &'a [u8],
    /// A URI that is the last Route.
    pub(crate) last: Option<&'a [u8]>,
}

/// Where the next request in a dialog goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop<'a> {
    /// To a literal address.
    Go(Flow),
    /// Where the last one went, or came from.
    Stay,
    /// To a name that is to be resolved: the URI that it stands in.
    Ask(&'a [u8]),
}

impl Hop<'_> {
    /// The flow, for a request that cannot wait for a name.
    pub(crate) fn or(self, current: Flow) -> Flow {
        match self {
            Hop::Go(flow) => flow,
            Hop::Stay | Hop::Ask(_) => current,
        }
    }
}

/// The listener that sends to `peer` by `transport`: the current one if it fits.
pub(crate) fn listener_for(
    listeners: &[Listener],
    transport: Transport,
    peer: SocketAddr,
    current: u16,
) -> Option<u16> {
    let fits = |listener: &&Listener| {
        listener.transport == transport && listener.local.is_ipv4() == peer.ip().to_canonical().is_ipv4()
    };
    if listeners.get(usize::from(current)).filter(fits).is_some() {
        return Some(current);
    }
    let bound = listeners.get(usize::from(current)).map(|listener| listener.local.ip());
    // The same address by the other transport, if there is one.
    let near = listeners.iter().position(|one| fits(&one) && Some(one.local.ip()) == bound);
    let any = || listeners.iter().position(|one| fits(&one));
    near.or_else(any).and_then(|index| u16::try_from(index).ok())
}

fn same_host(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip().to_canonical() == other.ip().to_canonical()
}

fn after_comma(rest: &[u8]) -> &[u8] {
    let start = rest.iter().position(|&byte| byte != b',' && byte != b' ').unwrap_or(rest.len());
    &rest[start..]
}

/// The route set of a UAS: Record-Route values in recorded order (RFC 3261 §12.1.1).
pub(crate) fn route_set_of_uas<'a>(records: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    joined(records.flat_map(Commas::new))
}

/// The route set of a UAC: Record-Route values reversed (RFC 3261 §12.1.2).
pub(crate) fn route_set_of_uac<'a>(records: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let routes: smallvec::SmallVec<[&[u8]; 8]> = records.flat_map(Commas::new).collect();
    joined(routes.into_iter().rev())
}

fn joined<'a>(routes: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    for route in routes {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(route);
    }
    text
}

/// A name-addr of a dialog: display name and `<URI>`, no parameters.
pub(crate) fn address(of: &NameAddr<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(of.display.len() + of.uri.bytes.len() + 3);
    text.extend_from_slice(of.display);
    if !of.display.is_empty() {
        text.push(b' ');
    }
    text.push(b'<');
    text.extend_from_slice(of.uri.bytes);
    text.push(b'>');
    text
}

/// Whether nobody can be at an address, seen from a peer: none at all, a group, or the host itself while the peer is
/// another.
fn is_nowhere(ip: IpAddr, peer: IpAddr) -> bool {
    let (ip, peer) = (ip.to_canonical(), peer.to_canonical());
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_multicast() || broadcast || (ip.is_loopback() && !peer.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(target: &str, routes: &str) -> Dialog {
        Dialog::new(Parts {
            call_id: b"c1",
            local_tag: b"lt",
            remote_tag: b"rt",
            local: b"<sip:us@h>",
            remote: b"\"P\" <sip:peer@h>",
            target: target.as_bytes(),
            routes: routes.as_bytes(),
        })
    }

    fn listeners() -> Vec<Listener> {
        let listener = |transport, local: &str| Listener {
            transport,
            local: local.parse().unwrap(),
            advertised: local.into(),
        };
        vec![
            listener(Transport::Udp, "10.0.0.1:5060"),
            listener(Transport::Tcp, "10.0.0.1:5060"),
            listener(Transport::Udp, "[::1]:5060"),
        ]
    }

    fn flow(transport: Transport, peer: &str, connection: u64) -> Flow {
        Flow {
            transport,
            listener: u16::from(transport == Transport::Tcp),
            peer: peer.parse().unwrap(),
            connection,
        }
    }

    #[test]
    fn impossible_addresses() {
        let ip = |text: &str| -> std::net::IpAddr { text.parse().unwrap() };
        for nowhere in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::1"] {
            assert!(is_nowhere(ip(nowhere), ip("10.0.0.5")), "{nowhere}");
        }
        assert!(!is_nowhere(ip("127.0.0.1"), ip("127.0.0.2")));
        assert!(!is_nowhere(ip("10.0.0.9"), ip("10.0.0.5")));
    }

    #[test]
    fn texts_come_back_and_the_target_is_refreshed() {
        let mut dialog = dialog("sip:a@10.0.0.9", "<sip:p1;lr>");
        assert_eq!(dialog.call_id(), b"c1");
        assert_eq!(dialog.remote_tag(), b"rt");
        assert!(!dialog.refresh_target(b"sip:a@10.0.0.9"));
        assert!(dialog.refresh_target(b"sip:longer@10.0.0.9:5070"));
        assert_eq!(dialog.target(), b"sip:longer@10.0.0.9:5070");
        assert_eq!(dialog.parts().remote, b"\"P\" <sip:peer@h>");
        assert_eq!(dialog.routes(), b"<sip:p1;lr>");
    }

    #[test]
    fn route_sets_keep_or_reverse_the_recorded_order() {
        let records = [&b"<sip:p2;lr>, <sip:p1;lr>"[..], b"<sip:p0;lr>"];
        assert_eq!(route_set_of_uas(records.into_iter()), b"<sip:p2;lr>, <sip:p1;lr>, <sip:p0;lr>");
        assert_eq!(route_set_of_uac(records.into_iter()), b"<sip:p0;lr>, <sip:p1;lr>, <sip:p2;lr>");
    }

    #[test]
    fn a_loose_router_is_a_route_and_a_strict_one_the_request_uri() {
        let loose = dialog("sip:a@h", "<sip:p1;lr>, <sip:p2>");
        assert_eq!(
            loose.addressing(),
            Addressing { uri: b"sip:a@h", routes: b"<sip:p1;lr>, <sip:p2>", last: None }
        );
        let strict = dialog("sip:a@h", "<sip:p1;x=1>, <sip:p2;lr>");
        assert_eq!(
            strict.addressing(),
            Addressing { uri: b"sip:p1;x=1", routes: b"<sip:p2;lr>", last: Some(b"sip:a@h") }
        );
        let alone = dialog("sip:a@h", "<sip:p1>");
        assert_eq!(alone.addressing(), Addressing { uri: b"sip:p1", routes: b"", last: Some(b"sip:a@h") });
    }

    #[test]
    fn the_next_hop_is_the_first_route_or_the_target() {
        let listeners = listeners();
        let udp = flow(Transport::Udp, "10.0.0.7:5060", 0);
        let at = |dialog: &Dialog, flow| match dialog.hop(flow, None, &listeners) {
            Hop::Go(flow) => format!("{:?} {} {}", flow.transport, flow.listener, flow.peer),
            Hop::Stay => "stay".to_owned(),
            Hop::Ask(name) => String::from_utf8_lossy(name).into_owned(),
        };
        assert_eq!(at(&dialog("sip:a@10.0.0.9:5070", ""), udp), "Udp 0 10.0.0.9:5070");
        assert_eq!(at(&dialog("sip:a@10.0.0.9", "<sip:10.0.0.3:99;lr>"), udp), "Udp 0 10.0.0.3:99");
        assert_eq!(at(&dialog("sip:a@10.0.0.9;transport=TCP", ""), udp), "Tcp 1 10.0.0.9:5060");
        assert_eq!(at(&dialog("sip:a@[::2]", ""), udp), "Udp 2 [::2]:5060");
        assert_eq!(at(&dialog("sip:a@pbx.test", ""), udp), "sip:a@pbx.test");
        assert_eq!(at(&dialog("sip:a@x;maddr=10.0.0.8", ""), udp), "Udp 0 10.0.0.8:5060");
        assert_eq!(at(&dialog("tel:+1", ""), udp), "stay");
    }

    #[test]
    fn a_stream_that_the_peer_opened_is_used_again() {
        let listeners = listeners();
        let tcp = flow(Transport::Tcp, "10.0.0.7:40000", 12);
        assert_eq!(dialog("sip:a@10.0.0.7:5060;transport=tcp", "").hop(tcp, None, &listeners), Hop::Stay);
        assert_eq!(dialog("sip:a@10.0.0.7:5060", "").hop(tcp, None, &listeners), Hop::Stay);
        let other = dialog("sip:a@10.0.0.8;transport=tcp", "");
        assert_eq!(
            other.hop(tcp, None, &listeners),
            Hop::Go(Flow { connection: 0, ..flow(Transport::Tcp, "10.0.0.8:5060", 0) })
        );
    }
}

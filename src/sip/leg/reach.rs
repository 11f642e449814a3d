//! How a peer is reached where that is a matter of its own: long requests, and Contacts that lead nowhere.
//!
//! Not here: where a dialog says that its requests go; that is the dialog's.

use super::tries::Try;
use super::usage::{Leg, PendingUac};
use super::{Event, LegId};
use crate::sip::durations::{NO_STREAM, STREAM_OPENS};
use crate::sip::flow::Flow;
use crate::sip::stack::Stack;
use crate::sip::timing::Time;
use crate::wire::Message;
use std::net::IpAddr;

/// How a request of more than 1300 bytes goes to a peer that is reached by UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Large {
    /// By TCP, as RFC 3261 §18.1.1 has it, and by UDP where that cannot be opened.
    #[default]
    Tcp,
    /// By UDP, in fragments.
    Udp,
}

/// Where a request in a dialog without a route set goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// To the peer's Contact (RFC 3261 §12.2.1.1).
    #[default]
    Dialog,
    /// To where the peer's last message came from; the Request-URI is its Contact all the same.
    Source,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Its long requests.
    pub large: Large,
    /// Its dialogs.
    pub contact: Contact,
}

/// What somebody may want to set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It takes no TCP, and long requests have waited for that: `large`.
    NoStream,
    /// Its Contact is a private address, and it is not heard from one: `contact`.
    PrivateContact,
}

impl PendingUac {
    /// Until when it waits for a connection that it could do without.
    fn opens_by(&self) -> Option<Time> {
        let Try { begun, left, recalled, .. } = self.attempt;
        let waits = self.fallback.is_some() && left.is_none() && !recalled && self.accepted.is_none();
        waits.then(|| begun + STREAM_OPENS)
    }
}

impl Leg {
    /// When a request is due that waits for a connection which it could do without.
    pub(crate) fn opens_by(&self) -> Option<Time> {
        self.sent.iter().filter_map(PendingUac::opens_by).min()
    }

    /// How its peer is reached.
    pub(crate) fn reach(&self) -> Reach {
        self.aside.as_ref().map(|aside| aside.reach).unwrap_or_default()
    }

    pub(crate) fn set_reach(&mut self, reach: Reach) {
        if reach != self.reach() {
            self.aside.get_or_insert_default().reach = reach;
        }
    }

    /// Whether its requests go to where its peer is heard from.
    pub(crate) fn goes_to_source(&self) -> bool {
        self.reach().contact == Contact::Source && self.dialog.routes().is_empty()
    }
}

impl Stack {
    /// How the peer of a leg is reached, which was heard by that flow.
    pub fn reach(&mut self, leg: LegId, reach: Reach, flow: Flow) {
        let Some(leg) = self.legs.get_mut(leg.into()) else { return };
        leg.set_reach(reach);
        if leg.goes_to_source() {
            leg.flow = flow;
        }
    }

    /// Whether requests in a leg go where its peer's Contact says.
    pub fn goes_to_contact(&self, leg: LegId) -> bool {
        self.legs.get(leg.into()).is_some_and(|leg| !leg.goes_to_source())
    }

    /// A deadline may be due: what waits for a connection only for its size is taken back, and goes by UDP.
    pub(crate) fn opens_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        let mut late = false;
        for sent in leg.sent.iter_mut().filter(|sent| sent.opens_by().is_some_and(|at| at <= now)) {
            sent.attempt.recalled = true;
            self.recalls.extend(self.table.transmit_id(sent.client));
            self.quarantine.put(now, &sent.attempt.flow, NO_STREAM);
            late = true;
        }
        if late {
            self.tell(id, Event::Advice { leg: id, advice: Advice::NoStream });
        }
    }

    /// The peer of a leg was heard by that flow, in that request or response. Nobody is followed for whom only the tags speak.
    pub(crate) fn follow(&mut self, id: LegId, flow: Flow, message: &Message<'_>) {
        let Some(leg) = self.legs.get_mut(id.into()).filter(|leg| leg.moves) else { return };
        if leg.goes_to_source() {
            leg.flow = flow;
            return;
        }
        self.adopt(id, flow);
        let Some(leg) = self.legs.get_mut(id.into()) else { return };
        // It has come anew, and its Contact may lead nowhere.
        let anew =
            message.is_request() && flow.transport.is_reliable() && leg.flow.transport == flow.transport;
        if anew && leg.flow.connection == 0 && leg.source().is_none() {
            leg.aside.get_or_insert_default().source = Some(flow);
        }
    }
}

/// Whether an address means something only in its own network.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            // RFC 6598.
            let shared = first == 100 && second & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether nobody can be at an address, seen from a peer: none at all, a group, or the host itself while the peer is
/// another.
pub(crate) fn is_nowhere(ip: IpAddr, peer: IpAddr) -> bool {
    let (ip, peer) = (ip.to_canonical(), peer.to_canonical());
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_multicast() || broadcast || (ip.is_loopback() && !peer.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_impossible_addresses() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        for private in ["10.1.2.3", "172.17.0.2", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(is_private(ip(private)), "{private}");
        }
        for public in ["203.0.113.7", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(ip(public)), "{public}");
        }
        for nowhere in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::1"] {
            assert!(is_nowhere(ip(nowhere), ip("10.0.0.5")), "{nowhere}");
        }
        assert!(!is_nowhere(ip("127.0.0.1"), ip("127.0.0.2")));
        assert!(!is_nowhere(ip("10.0.0.9"), ip("10.0.0.5")));
    }
}

//! Addresses that a new call of ours went to in vain, for a while: nobody was there, or nobody has said a word.
//!
//! It orders and never excludes: whoever is in it is tried last, and if all are in it, all are tried. Pure, and bounded.
//! One for each stack, which puts in and takes out; not here: what counts as silence.

use super::flow::{Flow, Transport};
use super::timing::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// Addresses that are remembered; beyond it the one that is over first makes room.
const ADDRESSES: usize = 256;

/// Remembers, for a while, the addresses where nobody answered a new call.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    transport: Transport,
    peer: SocketAddr,
    until: Time,
}

impl Entry {
    fn is_of(&self, flow: &Flow) -> bool {
        self.transport == flow.transport && self.peer == flow.peer
    }
}

impl Quarantine {
    /// The address is tried last for so long, or as long as it is already.
    pub(crate) fn put(&mut self, now: Time, flow: &Flow, term: Duration) {
        let until = now + term;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.is_of(flow)) {
            entry.until = entry.until.max(until);
            return;
        }
        self.entries.retain(|entry| entry.until > now);
        if self.entries.len() == ADDRESSES {
            let first = (0..ADDRESSES).min_by_key(|place| self.entries[*place].until);
            self.entries.swap_remove(first.unwrap_or_default());
        }
        self.entries.push(Entry { transport: flow.transport, peer: flow.peer, until });
    }

    /// Something came from there: it is an address as any other.
    pub(crate) fn take_out(&mut self, flow: &Flow) {
        self.entries.retain(|entry| !entry.is_of(flow));
    }

    /// Whether it is in.
    pub(crate) fn holds(&self, now: Time, flow: &Flow) -> bool {
        self.entries.iter().any(|entry| entry.is_of(flow) && entry.until > now)
    }

    /// Those that are in go behind the others; else the order stays.
    pub(crate) fn order(&self, now: Time, flows: &mut [Flow]) {
        if !self.entries.is_empty() {
            flows.sort_by_key(|flow| self.holds(now, flow));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::durations::{QUARANTINE, QUARANTINE_AT_MOST};

    fn flow(host: u8) -> Flow {
        let peer = SocketAddr::from(([10, 0, 0, host], 5060));
        Flow { transport: Transport::Udp, listener: 0, peer, connection: 0 }
    }

    fn order(quarantine: &Quarantine, now: Time, hosts: &[u8]) -> Vec<Flow> {
        let mut flows: Vec<Flow> = hosts.iter().map(|host| flow(*host)).collect();
        quarantine.order(now, &mut flows);
        flows
    }

    #[test]
    fn it_orders_and_never_excludes() {
        let (mut quarantine, start) = (Quarantine::default(), Time(1_000_000));
        quarantine.put(start, &flow(1), QUARANTINE);
        assert_eq!(order(&quarantine, start, &[1, 2, 3]), [flow(2), flow(3), flow(1)]);
        quarantine.put(start, &flow(2), QUARANTINE);
        assert_eq!(order(&quarantine, start, &[1, 2]), [flow(1), flow(2)], "all of them: as they stand");
        let stream = Flow { transport: Transport::Tcp, ..flow(1) };
        assert!(!quarantine.holds(start, &stream), "another transport is another address");
        assert!(!quarantine.holds(start + QUARANTINE, &flow(1)), "its term is over");
    }

    #[test]
    fn one_message_takes_an_address_out_and_a_longer_term_counts() {
        let (mut quarantine, start) = (Quarantine::default(), Time(1_000_000));
        quarantine.put(start, &flow(1), QUARANTINE_AT_MOST);
        quarantine.put(start, &flow(1), QUARANTINE);
        assert!(quarantine.holds(start + QUARANTINE, &flow(1)));
        quarantine.take_out(&flow(1));
        assert!(!quarantine.holds(start, &flow(1)));
    }

    #[test]
    fn it_is_bounded_and_forgets_who_is_free_soonest() {
        let (mut quarantine, start) = (Quarantine::default(), Time(1_000_000));
        quarantine.put(start, &flow(1), Duration::from_secs(1));
        for number in 0..2 * ADDRESSES as u16 {
            let peer = SocketAddr::from(([10, 1, 0, 1], number));
            quarantine.put(start, &Flow { peer, ..flow(1) }, QUARANTINE);
        }
        assert_eq!(quarantine.entries.len(), ADDRESSES);
        assert!(!quarantine.holds(start, &flow(1)));
    }
}

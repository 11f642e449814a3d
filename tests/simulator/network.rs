//! What is met of a network that swallows and refuses, of names with several addresses, and of peers that come anew.

use super::common::Point;
use super::common::message::Message;
use super::ledger::Ledger;
use super::models::Draw;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// Counts what the tries of Baton's INVITEs met, address by address.
#[derive(Default)]
pub struct Network {
    /// Where each INVITE of Baton's outside a dialog went, by Call-ID, and who has answered it.
    tries: HashMap<String, Vec<(SocketAddr, bool)>>,
    /// Peers whose stream has broken, and who have not come back yet.
    away: HashSet<SocketAddr>,
}

impl Network {
    /// The stream of a peer breaks.
    pub fn broken(&mut self, peer: SocketAddr) {
        self.away.insert(peer);
    }

    pub fn see(&mut self, ledger: &mut Ledger, point: Point, peer: SocketAddr, m: &Message) {
        let new = m.method() == "INVITE" && m.is_request() && m.to_tag().is_empty();
        match point {
            Point::Leaves if new => self.tried(ledger, peer, m),
            Point::LostToPeer if new => {
                if let Some(draw) = ledger.closed.get(&peer).copied() {
                    ledger.met(draw);
                }
            }
            Point::Reaches if m.is_request() && !m.to_tag().is_empty() && self.away.remove(&peer) => {
                ledger.met(Draw::CameAnew);
            }
            Point::Reaches if !m.is_request() && m.method() == "INVITE" => self.answered(ledger, peer, m),
            _ => {}
        }
    }

    fn tried(&mut self, ledger: &mut Ledger, peer: SocketAddr, m: &Message) {
        let tries = self.tries.entry(m.call_id().to_owned()).or_default();
        if tries.iter().all(|(other, _)| *other != peer) {
            tries.push((peer, false));
            if tries.len() == 2 {
                ledger.met(Draw::SeveralAddresses);
            }
        }
    }

    fn answered(&mut self, ledger: &mut Ledger, peer: SocketAddr, m: &Message) {
        let Some(tries) = self.tries.get_mut(m.call_id()).filter(|tries| tries.len() > 1) else { return };
        let before = tries.iter().filter(|(_, answered)| *answered).count();
        if let Some((_, answered)) = tries.iter_mut().find(|(other, answered)| *other == peer && !answered) {
            *answered = true;
            if before == 1 {
                ledger.met(Draw::LeftBehind);
            }
        }
    }
}

//! Where the requests of a leg go: what its dialog says of that, what its peer is heard by, and what is left when a stream
//! dies.
//!
//! Not here: how a peer wants to be reached (`reach`), and what becomes of what was sent (`delivery`).

use super::Leg;
use super::event::Event;
use super::reach::{Advice, Contact, Reach};
use crate::sip::core::Io;
use crate::sip::dialog::Hop;
use crate::sip::flow::Flow;
use crate::sip::question::Question;
use crate::wire::Message;
use std::net::IpAddr;

impl Leg {
    /// How its peer is reached.
    pub(crate) fn reach(&self) -> Reach {
        self.aside.as_ref().map(|aside| aside.reach).unwrap_or_default()
    }

    pub(super) fn set_reach(&mut self, reach: Reach) {
        if reach != self.reach() {
            self.aside.get_or_insert_default().reach = reach;
        }
    }

    /// Whether its requests go to where its peer is heard from.
    fn goes_to_source(&self) -> bool {
        self.reach().contact == Contact::Source && self.dialog.routes().is_empty()
    }

    /// How its peer is reached, which was heard by that flow.
    pub(crate) fn reach_by(&mut self, reach: Reach, flow: Flow) {
        self.set_reach(reach);
        if self.goes_to_source() {
            self.flow = flow;
        }
    }

    /// Whether requests go where its peer's Contact says.
    pub(crate) fn goes_to_contact(&self) -> bool {
        !self.goes_to_source()
    }

    /// After the routes or the target were set: where its next request goes.
    pub(super) fn aim(&mut self, io: &mut Io<'_>) {
        // A stream that is gone leads nowhere.
        let stands = !self.flow.transport.is_reliable() || self.flow.connection != 0;
        if self.goes_to_source() && stands {
            return;
        }
        match self.dialog.hop(self.flow, None, &io.core.settings.listeners) {
            Hop::Stay => {}
            Hop::Go(flow) => {
                let ips = (flow.peer.ip(), self.flow.peer.ip());
                let odd = is_private(ips.0) && !is_private(ips.1) && self.dialog.routes().is_empty();
                self.aim_at(flow);
                if odd {
                    self.tell(io, Event::Advice { leg: io.id, advice: Advice::PrivateContact });
                }
            }
            Hop::Ask(uri) => {
                self.aside.get_or_insert_default().asking += 1;
                io.core.questions.push_back((io.id, Question::Locate(uri.into())));
            }
        }
    }

    /// Whether the answer to a question of its is still to come.
    pub(crate) fn is_asking(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.asking > 0)
    }

    /// The name of the next hop has this address; port and transport are those of its URI. None: it has none, and the leg goes
    /// on as before.
    pub(crate) fn located(&mut self, io: &mut Io<'_>, address: Option<Flow>) {
        if let Some(aside) = &mut self.aside {
            aside.asking = aside.asking.saturating_sub(1);
        }
        let Some(address) = address else { return };
        let flow = self.dialog.hop(self.flow, Some(address), &io.core.settings.listeners).or(self.flow);
        self.aim_at(flow);
    }

    /// Requests go to that flow from now on, because the dialog says so. What the peer itself has used stays known, where
    /// the two differ.
    fn aim_at(&mut self, flow: Flow) {
        let before = self.flow;
        let apart = before.peer.ip().to_canonical() != flow.peer.ip().to_canonical();
        // A stream that is gone leads nowhere.
        let serves = if before.transport.is_reliable() { before.connection != 0 } else { apart };
        if self.source().is_none() && serves && before != flow {
            self.aside.get_or_insert_default().source = Some(before);
        }
        self.flow = flow;
        if apart {
            self.note_address(before.peer.ip());
        }
    }

    /// Its peer was heard by that flow, in that request or response. Nobody is followed for whom only the tags speak.
    pub(crate) fn follow(&mut self, flow: Flow, message: &Message<'_>) {
        if !self.moves {
            return;
        }
        if self.goes_to_source() {
            self.flow = flow;
            return;
        }
        self.adopt(flow);
        // It has come anew, and its Contact may lead nowhere.
        let anew =
            message.is_request() && flow.transport.is_reliable() && self.flow.transport == flow.transport;
        if anew && self.flow.connection == 0 && self.source().is_none() {
            self.aside.get_or_insert_default().source = Some(flow);
        }
    }

    /// A message of the peer's came by this stream: what follows may use it.
    pub(crate) fn adopt(&mut self, flow: Flow) {
        if !self.moves {
            return;
        }
        let same = |one: Flow| {
            one.transport == flow.transport && one.peer.ip().to_canonical() == flow.peer.ip().to_canonical()
        };
        if flow.transport.is_reliable() && same(self.flow) {
            self.flow = flow;
        } else if let Some(source) = self.aside.as_mut().and_then(|aside| aside.source.as_mut())
            && same(*source)
        {
            *source = flow;
        }
    }

    /// Whether it has to do with that stream.
    pub(crate) fn uses(&self, connection: u64) -> bool {
        let by = |flow: Flow| connection != 0 && flow.connection == connection;
        by(self.flow) || self.source().is_some_and(by)
    }

    /// A stream that it uses died: what follows goes where its dialog says.
    pub(crate) fn drop_connection(&mut self, io: &mut Io<'_>, connection: u64) {
        if let Some(aside) = &mut self.aside {
            aside.source.take_if(|source| source.connection == connection);
        }
        if self.flow.connection == connection {
            self.flow.connection = 0;
            self.aim(io);
            self.acknowledge_failed(io);
        }
    }
}

/// Whether an address means something only in its own network.
fn is_private(ip: IpAddr) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        for private in ["10.1.2.3", "172.17.0.2", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(is_private(ip(private)), "{private}");
        }
        for public in ["203.0.113.7", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(ip(public)), "{public}");
        }
    }
}

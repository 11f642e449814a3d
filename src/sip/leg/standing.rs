//! Who may speak inside a dialog. The right tags are not enough: whoever has seen one message of a call knows them.
//!
//! One pure decision, `Leg::standing`. Taken is what comes from an address that the dialog was heard from or sends to,
//! from a source of its party, from the address of its newest Contact or of a host of its route set, and by its own
//! connection. Not here: who is known outside of dialogs; that is asked of the layer above by [`Neighbours`].

use super::Leg;
use super::usage::Usage;
use crate::sip::dialog::Dialog;
use crate::sip::door::Neighbours;
use crate::sip::flow::Flow;
use crate::sip::settings::{InDialog, Party};
use crate::wire::grammar::Commas;
use crate::wire::{Host, NameAddr, Uri};
use smallvec::SmallVec;
use std::net::IpAddr;

/// Addresses that a leg remembers beside those that its flow and its dialog name; the oldest goes.
const HEARD: usize = 4;

/// What speaks for the source of a message inside a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its address.
    Address,
    /// The branch of a request of ours, which a known source has. It does not make its address one of the dialog's.
    Branch,
    /// Nothing but the tags, and they are enough ([`InDialog::Tags`]): it never changes where we send.
    Tags,
    /// Nothing.
    Nobody,
}

impl Leg {
    /// Decides by what right whoever is behind that flow speaks in this dialog.
    pub(crate) fn standing(&self, flow: Flow, parties: &[Party], neighbours: &dyn Neighbours) -> Standing {
        if self.is_reached_by(flow) {
            return Standing::Address;
        }
        let address = flow.peer.ip().to_canonical();
        if self.names(address) || self.party().is_some_and(|party| neighbours.is_of(party, address)) {
            return Standing::Address;
        }
        let party = self.party().and_then(|party| parties.get(usize::from(party)));
        match party.map(|party| party.in_dialog).unwrap_or_default() {
            InDialog::Known => Standing::Nobody,
            InDialog::Tags => Standing::Tags,
        }
    }

    /// Whether it comes from where requests in this leg go. True of nearly all messages.
    fn is_reached_by(&self, flow: Flow) -> bool {
        self.flow.peer.ip() == flow.peer.ip()
            || (flow.connection != 0 && flow.connection == self.flow.connection)
    }

    /// Whether the leg itself knows this address otherwise.
    fn names(&self, address: IpAddr) -> bool {
        let at = |flow: Flow| flow.peer.ip().to_canonical() == address;
        if at(self.flow) || self.source().is_some_and(at) || self.dialog.names(address) {
            return true;
        }
        if self.aside.as_ref().is_some_and(|aside| aside.heard.contains(&address)) {
            return true;
        }
        match &self.usage {
            Usage::Calling(calling) => {
                calling.early.iter().any(|early| at(early.flow) || early.dialog.names(address))
            }
            Usage::Offered(_) | Usage::Confirmed | Usage::Refusing | Usage::Closing | Usage::Over => false,
        }
    }

    /// A message was taken that came by that flow, for it has that standing.
    pub(crate) fn hear_by(&mut self, flow: Flow, standing: Standing) {
        self.moves = standing != Standing::Tags;
        if standing == Standing::Address && !self.is_reached_by(flow) {
            self.note_address(flow.peer.ip());
        }
    }

    /// The dialog was heard from this address, or requests went there.
    pub(super) fn note_address(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if self.names(address) {
            return;
        }
        let heard = &mut self.aside.get_or_insert_default().heard;
        if heard.len() == HEARD {
            heard.remove(0);
        }
        heard.push(address);
    }
}

/// Addresses that a dialog was heard from or sent to.
pub(crate) type Heard = SmallVec<[IpAddr; 1]>;

impl Dialog {
    /// Whether its Contact or a host of its route set is this address.
    fn names(&self, address: IpAddr) -> bool {
        let is_at = |uri: &Uri<'_>| {
            let maddr = uri.param(b"maddr").flatten().and_then(|text| Host::parse(text).ok());
            let hosts = [Some(uri.host), maddr];
            hosts.iter().flatten().filter_map(|host| host.ip()).any(|ip| ip.to_canonical() == address)
        };
        Uri::parse(self.target()).is_ok_and(|uri| is_at(&uri))
            || Commas::new(self.routes())
                .filter_map(|route| NameAddr::parse(route).ok())
                .any(|route| is_at(&route.uri))
    }
}

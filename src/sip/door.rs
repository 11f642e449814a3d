//! Who may speak inside a dialog. The right tags are not enough: whoever has seen one message of a call knows them.
//!
//! One pure decision, `Leg::standing`. Taken is what comes from an address that the dialog was heard from or sends to,
//! from a source of its party, from the address of its newest Contact or of a host of its route set, and by its own
//! connection. Not here: who is known outside of dialogs; that is asked of the layer above by [`Neighbours`]. Called by
//! [`Stack::handle_message`](super::stack::Stack::handle_message) for every message that belongs to a leg.

use super::dialog::Dialog;
use super::flow::Flow;
use super::leg::LegId;
use super::leg::usage::{Leg, Usage};
use super::stack::{Credentials, Stack};
use crate::wire::grammar::Commas;
use crate::wire::{Fault, Host, Message, NameAddr, Uri};
use smallvec::SmallVec;
use std::net::IpAddr;

/// Addresses that a leg remembers beside those that its flow and its dialog name; the oldest goes.
const HEARD: usize = 4;

/// What is taken inside a dialog from an address that nothing else speaks for (`in_dialog`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDialog {
    /// Nothing.
    #[default]
    Known,
    /// What has the right tags: for clusters that fail over to addresses which nobody has listed.
    Tags,
}

/// A trunk or an agent, as far as its legs must know it. Legs name it by its index in the settings.
#[derive(Clone, Debug, Default)]
pub struct Party {
    /// What answers its challenges.
    pub credentials: Option<Credentials>,
    /// Who may speak inside its dialogs.
    pub in_dialog: InDialog,
}

/// What the layer above knows of addresses. Asked only where the dialog itself does not know one.
pub trait Neighbours {
    /// Whether it is a source of any party.
    fn knows(&self, address: IpAddr) -> bool;
    /// Whether it is a source of the party with that index.
    fn is_of(&self, party: u16, address: IpAddr) -> bool;
    /// The party that it is a source of, if it is known.
    fn party_at(&self, address: IpAddr) -> Option<u16>;
    /// The status by which a new INVITE is turned away before anything is kept of it; None: it is let in.
    fn turns_away(&self, flow: Flow, invite: &Message<'_>) -> Option<u16>;
}

/// The same for all addresses: each is a source of every party, or none of any.
impl Neighbours for bool {
    fn knows(&self, _: IpAddr) -> bool {
        *self
    }

    fn is_of(&self, _: u16, _: IpAddr) -> bool {
        *self
    }

    fn party_at(&self, _: IpAddr) -> Option<u16> {
        self.then_some(0)
    }

    fn turns_away(&self, _: Flow, _: &Message<'_>) -> Option<u16> {
        None
    }
}

/// Why a message had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untaken {
    /// It is malformed; a known source was answered.
    #[error("{0}")]
    Malformed(Fault),
    /// It belongs to a leg, and its source may not speak there. No answer.
    #[error("its source may not speak in this dialog")]
    Strange(Option<LegId>),
    /// There is no place for it: it was answered, and nothing is kept of it.
    #[error("it was turned away with {status}")]
    TurnedAway {
        /// The status that it got.
        status: u16,
        /// It was to become a call.
        new_call: bool,
    },
    /// A request of a known source that belongs to no call: it was refused, and nothing is kept of it.
    #[error("it belongs to no call, and was refused with {status}")]
    Stray {
        /// The status that it got.
        status: u16,
    },
    /// It belongs to nothing of ours, and its source is nobody. No answer.
    #[error("its source is unknown")]
    Unknown,
}

impl From<Fault> for Untaken {
    fn from(fault: Fault) -> Untaken {
        Untaken::Malformed(fault)
    }
}

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

    /// The dialog was heard from this address, or requests went there.
    pub(crate) fn note_address(&mut self, address: IpAddr) {
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

impl Stack {
    /// What speaks for the source of a response that has the branch of a request which went to `sent_to`.
    fn standing_of_response(
        &self,
        owner: Option<LegId>,
        (from, sent_to): (Flow, Flow),
        neighbours: &dyn Neighbours,
    ) -> Standing {
        let (address, asked) = (from.peer.ip(), sent_to.peer.ip());
        let by_connection = from.connection != 0 && from.connection == sent_to.connection;
        if address == asked || address.to_canonical() == asked.to_canonical() || by_connection {
            return Standing::Address;
        }
        let leg = owner.and_then(|id| self.legs.get(id.into()));
        match leg.map(|leg| leg.standing(from, &self.settings.parties, neighbours)) {
            Some(Standing::Address) => Standing::Address,
            Some(_) | None if neighbours.knows(address) => Standing::Branch,
            Some(standing) => standing,
            None => Standing::Nobody,
        }
    }

    /// Whether a response has an effect: for who tells of it before it is handled.
    pub fn hears(&self, flow: Flow, response: &Message<'_>, neighbours: &dyn Neighbours) -> bool {
        let standing = match self.table.request_of(response) {
            Some((_, owner, sent_to)) => {
                self.standing_of_response(owner.flatten(), (flow, sent_to), neighbours)
            }
            None if neighbours.knows(flow.peer.ip()) => Standing::Branch,
            None => Standing::Nobody,
        };
        standing != Standing::Nobody
    }

    /// A response to that request is taken, or not.
    pub(crate) fn admit_response(
        &mut self,
        owner: Option<LegId>,
        flows: (Flow, Flow),
        neighbours: &dyn Neighbours,
    ) -> Result<(), Untaken> {
        let standing = self.standing_of_response(owner, flows, neighbours);
        self.admit_as(owner, flows.0, standing)
    }

    /// A request in the dialog of that leg is taken, or not.
    pub(crate) fn admit(
        &mut self,
        id: LegId,
        flow: Flow,
        neighbours: &dyn Neighbours,
    ) -> Result<(), Untaken> {
        let leg = self.legs.get(id.into()).ok_or(Untaken::Unknown)?;
        let standing = leg.standing(flow, &self.settings.parties, neighbours);
        self.admit_as(Some(id), flow, standing)
    }

    fn admit_as(&mut self, leg: Option<LegId>, flow: Flow, standing: Standing) -> Result<(), Untaken> {
        if standing == Standing::Nobody {
            return Err(Untaken::Strange(leg));
        }
        if let Some(leg) = leg.and_then(|id| self.legs.get_mut(id.into())) {
            leg.moves = standing != Standing::Tags;
            if standing == Standing::Address && !leg.is_reached_by(flow) {
                leg.note_address(flow.peer.ip());
            }
        }
        Ok(())
    }
}

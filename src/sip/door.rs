//! Whom the stack hears: what it asks the layer above about addresses, and why a message had no effect.
//!
//! Not here: who may speak inside a dialog; that is the leg's to say (`leg/standing`).

use super::flow::Flow;
use super::leg::event::LegId;
use crate::wire::{Fault, Message};
use std::net::IpAddr;

pub use super::settings::{InDialog, Party};

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

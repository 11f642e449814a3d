//! The states of a leg's INVITE usage. Each owns what is valid in it and nothing else.
//!
//! Not here: what moves a leg from state to state; that is cut by verb in the files beside this one.

use super::content::Field;
use super::event::{Origin, Patience};
use super::reliable::Reliable;
use super::session_timer::Demand;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::ident::Text;
use crate::sip::offer_answer::Session;
use crate::sip::timing::Time;
use crate::sip::transaction::ServerId;
use smallvec::SmallVec;

/// The INVITE usage (RFC 5057).
#[derive(Debug)]
pub(crate) enum Usage {
    /// The peer's INVITE has no final response.
    Offered(Box<Offered>),
    /// Our INVITE has no final response.
    Calling(Box<Calling>),
    /// Answered (our 2xx may still wait for its ACK: `Leg::unacked`; the peer's for our answer to its offer:
    /// `Leg::unanswered`).
    Confirmed,
    /// Our 300-699 to the peer's INVITE waits for its ACK.
    Refusing,
    /// We end it: CANCEL or BYE is on its way, or waits until it may go.
    Closing,
    /// Ended.
    Over,
}

/// A caller's leg before its final response.
#[derive(Debug)]
pub(crate) struct Offered {
    /// The transaction of the INVITE.
    pub(super) server: ServerId,
    /// CSeq of the INVITE.
    pub(super) cseq: u32,
    /// Whom the caller heard: an early dialog for each.
    pub(super) parties: SmallVec<[EarlyUas; 1]>,
    /// When the last 18x is to be sent again (RFC 3261 §13.3.1.1), if there was one.
    pub(super) repeat_at: Option<Time>,
    /// What is to be acknowledged of our provisional responses; None: the caller does not ask for that.
    pub(super) reliable: Option<Box<Reliable>>,
    /// What our 2xx says of the session's expiry.
    pub(super) demand: Option<Demand>,
    /// When the INVITE is over unless it was answered (RFC 3261 §13.3.1).
    pub(super) expires: Option<Time>,
}

/// An early dialog in which we are the UAS, towards the caller: one for each branch or address of the agent or target that was
/// heard, since two sessions in one dialog would leave the caller with the first (RFC 3261 §12.1.1).
#[derive(Debug)]
pub(crate) struct EarlyUas {
    /// As the layer above numbers it.
    pub(super) number: u8,
    /// Our To-tag.
    pub(super) tag: Text,
    /// CSeq of the peer's last request in it, the INVITE at first.
    pub(super) remote_cseq: Option<u32>,
    /// Offer and answer in it.
    pub(super) session: Session,
    /// A reliable provisional response carried the answer to the INVITE's offer: the 2xx carries none.
    pub(super) answered: bool,
}

/// An early dialog in which we are the UAC: a branch of our INVITE that sent reliable provisional responses (RFC 3262).
#[derive(Debug)]
pub(crate) struct EarlyUac {
    pub(super) dialog: Dialog,
    pub(super) flow: Flow,
    /// CSeq of our last request in it, the INVITE at first (RFC 3261 §12.1.2).
    pub(super) cseq: u32,
    /// CSeq of the peer's last request in it.
    pub(super) remote_cseq: Option<u32>,
    /// RSeq of the last one acknowledged.
    pub(super) rseq: u32,
    /// Offer and answer in it.
    pub(super) session: Session,
}

/// A leg of ours before its final response.
#[derive(Debug)]
pub(crate) struct Calling {
    /// Where else the INVITE may go, next one last.
    pub(super) others: SmallVec<[Flow; 2]>,
    /// How long silence lasts.
    pub(super) patience: Patience,
    /// Somebody has answered, by any flow.
    pub(super) provisional: bool,
    /// How a try has ended that did not decide the call, for another one goes on.
    pub(super) passed: Option<(u16, Origin)>,
    /// A 101-199 came.
    pub(super) ringing: bool,
    /// Branches that sent reliable provisional responses, the latest last.
    pub(super) early: Vec<EarlyUac>,
    /// It is cancelled; the headers of a BYE, should a 2xx cross the CANCEL.
    pub(super) cancelled: Option<Box<[Field]>>,
    /// The layer above has its last event: the peer's BYE was it.
    pub(super) quiet: bool,
}

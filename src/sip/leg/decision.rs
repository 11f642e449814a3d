//! What a peer decided, read out of the message that says it: a REFER, a BYE with `X-Handoff`, a 3xx.
//!
//! It only reads: whether the peer may decide, and what the target means, is the business of the call above, which
//! so names no header.

use super::Field;
use crate::wire::Message;

/// Why a decision cannot be read. The message is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A REFER without Refer-To or with two (RFC 3515 §2.4.2): 400.
    #[error("Refer-To must stand exactly once")]
    ReferTo,
    /// A URI that is none: 400.
    #[error("the target is no URI")]
    Uri,
    /// A header, embedded or not, whose value holds a control character: 400.
    #[error("a header carries a control character")]
    Control,
    /// A 3xx without Contact.
    #[error("no Contact")]
    NoContact,
}

/// Where the caller is to go, as the peer named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A URI without its embedded headers: of Refer-To or Contact.
    Uri(&'a [u8]),
    /// A bare name: of `X-Handoff`.
    Name(&'a str),
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Where the caller is to go.
    pub target: Target<'a>,
    /// Whether a Replaces is embedded (an attended transfer).
    pub replaces: bool,
    /// `X-*`, User-to-User, Diversion and History-Info, of the message and then embedded ones, decoded. Those of the
    /// product itself (`X-Handoff*`, `X-Baton-*`) are left out.
    pub fields: Vec<Field>,
    /// `X-Handoff-Reason`.
    pub reason: Option<Box<str>>,
    /// `X-Handoff-Utterance`.
    pub utterance: Option<Box<str>>,
    /// `Refer-Sub: false` stands on it (RFC 4488): no NOTIFY is wanted.
    pub no_subscription: bool,
}

impl<'a> Decision<'a> {
    /// Reads a REFER.
    pub fn of_refer(message: &Message<'a>) -> Result<Decision<'a>, Malformed> {
        let _ = message;
        unimplemented!()
    }

    /// Reads a BYE; None if it carries no `X-Handoff`.
    pub fn of_bye(message: &Message<'a>) -> Result<Option<Decision<'a>>, Malformed> {
        let _ = message;
        unimplemented!()
    }

    /// Reads the first Contact of a 3xx.
    pub fn of_redirect(message: &Message<'a>) -> Result<Decision<'a>, Malformed> {
        let _ = message;
        unimplemented!()
    }
}

/// The SIP cause of a Reason header (RFC 3326): `SIP;cause=503` is 503. Of several the first for SIP counts.
pub fn reason_cause(message: &Message<'_>) -> Option<u16> {
    let _ = message;
    unimplemented!()
}

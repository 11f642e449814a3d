//! What a leg or a call asks of the outside, and the answers. Whoever carries a question names it by a ticket; nothing here
//! knows of those.

use super::flow::Flow;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The paths to a SIP URI (RFC 3263), as configured or as a peer named it in a dialog; with the transport and the local
    /// listener that reach it.
    Locate(Box<[u8]>),
}

/// The answer to a [`Question`], of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Paths in the order of preference; none: the name does not resolve.
    Located(&'a [Flow]),
}

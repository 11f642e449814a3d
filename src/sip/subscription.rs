//! The implicit subscription of a REFER (RFC 3515 §2.4.4, RFC 6665), both sides.

/// What a NOTIFY told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// The status in the sipfrag; None: no or no readable sipfrag.
    pub status: Option<u16>,
    /// Subscription-State: terminated.
    pub terminated: bool,
}

/// A subscription that the peer's REFER made: where we send NOTIFYs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotifyId(pub(crate) u32);

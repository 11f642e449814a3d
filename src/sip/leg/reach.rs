//! How a peer is reached where that is a matter of its own: long requests, and Contacts that lead nowhere.
//!
//! Values only. Not here: what follows from them for a leg (`aim`, `send`); where a dialog says that its requests go; that
//! is the dialog's.

/// How a request of more than 1300 bytes goes to a peer that is reached by UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Large {
    /// By TCP, as RFC 3261 §18.1.1 has it, and by UDP where that cannot be opened.
    #[default]
    Tcp,
    /// By UDP, in fragments.
    Udp,
}

/// Where a request in a dialog without a route set goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// To the peer's Contact (RFC 3261 §12.2.1.1).
    #[default]
    Dialog,
    /// To where the peer's last message came from; the Request-URI is its Contact all the same.
    Source,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Its long requests.
    pub large: Large,
    /// Its dialogs.
    pub contact: Contact,
}

/// What somebody may want to set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It takes no TCP, and long requests have waited for that: `large`.
    NoStream,
    /// Its Contact is a private address, and it is not heard from one: `contact`.
    PrivateContact,
}

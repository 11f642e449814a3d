//! What a stack is made with: listeners, parties and their passwords, names, and what is asked for of session timers.
//!
//! Values only; not here: what follows from them.

use super::flow::Listener;
use super::ident::Seed;
use crate::observe::secret::Secret;
use crate::wire::headers::{NO_REFER_SUB, RELIABLE, TIMER};
use crate::wire::{Name, Writer};

/// What Baton calls itself in `Server` and `User-Agent`.
pub const PRODUCT: &str = concat!("Baton/", env!("CARGO_PKG_VERSION"));

/// What a stack is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our sockets; [`super::Flow::listener`] indexes them.
    pub listeners: Vec<Listener>,
    /// Whom legs belong to; they name them by index.
    pub parties: Vec<Party>,
    /// For identifiers and for the keys of hash tables.
    pub seed: Seed,
    /// `Server` and `User-Agent`.
    pub product: Box<str>,
    /// What is asked for and taken of session timers; None: they are not supported.
    pub session_timer: Option<SessionTimer>,
}

/// A trunk or an agent, as far as its legs must know it. Legs name it by its index in the settings.
#[derive(Clone, Debug, Default)]
pub struct Party {
    /// What answers its challenges.
    pub credentials: Option<Credentials>,
    /// Who may speak inside its dialogs.
    pub in_dialog: InDialog,
}

/// A name and a password for a challenge (RFC 8760: SHA-256 first, else MD5).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name.
    pub username: Box<str>,
    /// In clear, as the configuration or its file has it.
    pub password: Secret,
    /// The one realm that they are for, as between the quotes; None: any that asks at the right place.
    pub realm: Option<Box<[u8]>>,
}

/// What is taken inside a dialog from an address that nothing else speaks for (`in_dialog`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDialog {
    /// Nothing.
    #[default]
    Known,
    /// What has the right tags: for clusters that fail over to addresses which nobody has listed.
    Tags,
}

/// What we ask for and take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// Session-Expires of our requests, in seconds.
    pub expires: u32,
    /// The shortest that we take, in seconds (at least 90).
    pub min_se: u32,
}

impl Default for SessionTimer {
    fn default() -> Self {
        SessionTimer { expires: 1800, min_se: SHORTEST }
    }
}

/// The shortest interval there is (RFC 4028 §4).
pub(super) const SHORTEST: u32 = 90;

/// The extensions that we understand.
#[derive(Clone, Copy)]
pub(crate) struct Supported {
    /// Provisional responses may be reliable (RFC 3262).
    pub(crate) reliable: bool,
    /// Sessions have a timer (RFC 4028).
    pub(crate) timer: bool,
}

impl Supported {
    /// The header that says so.
    pub(crate) fn write(self, writer: &mut Writer<'_>) {
        let mut line = writer.begin(Name::Supported);
        if self.reliable {
            line.push(RELIABLE).push(", ");
        }
        line.push(NO_REFER_SUB);
        if self.timer {
            line.push(", ").push(TIMER);
        }
    }
}

impl Settings {
    /// All that we understand.
    pub(crate) fn supported(&self) -> Supported {
        Supported { reliable: true, timer: self.session_timer.is_some() }
    }

    /// Whether we understand it.
    pub(crate) fn supports(&self, option: &[u8]) -> bool {
        let timer = self.session_timer.is_some().then_some(TIMER);
        [RELIABLE, NO_REFER_SUB]
            .into_iter()
            .chain(timer)
            .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
    }
}

//! The RFC 3261 core: transactions, dialogs and legs. Pure: no clock, socket, task or lock.
//!
//! A leg is one INVITE usage of one dialog, seen from Baton: the caller's, the agent's or a target's.
//! A leg is a machine that is handed the time and what all legs share (`core`): it reaches neither the stack nor another
//! leg. The stack holds all of them with their deadlines. The layer above calls verbs on it (downward is a function call)
//! and drains its events and transmits (upward is a queue).
//! Nothing here knows what a call or a handoff is.

pub mod auth;
mod core;
pub mod deadline;
pub mod dialog;
pub mod door;
mod durations;
pub mod flow;
pub mod ident;
pub mod identity;
pub mod leg;
pub mod offer_answer;
pub mod outbox;
pub mod pace;
mod quarantine;
pub mod question;
pub(crate) mod refusal;
pub mod settings;
pub mod shares;
pub mod slab;
pub mod stack;
pub mod timing;
pub mod transaction;

pub use door::{Neighbours, Untaken};
pub use flow::{Flow, Listener, Transport};
pub(crate) use leg::presence::is_doubtful;
pub use leg::{Body, Connect, Content, Event, Field, InDialogRequest, LegId, Origin, RequestId, SentId};
pub use pace::{Gap, Pace};
pub use question::{Answer, Question};
pub use settings::{Credentials, InDialog, PRODUCT, Party, Settings};
pub use stack::{Counts, Gone, LegState, NotSent, Stack};
pub use timing::{Now, Time, UnixMillis};

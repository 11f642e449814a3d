//! Scripted peers on loopback sockets: a PBX that calls and carries out (or refuses) a REFER, and a voice agent.
//!
//! They let a person see Baton work without a PBX, an agent or a configuration. They are no user agents for production
//! and import nothing of the engine's SIP code, so that what they judge was not judged by its own author. Called by
//! `cli::demo`.

mod ladder;
mod peer;
mod play;
mod scenes;
mod stage;
mod tape;
mod text;

pub use ladder::{Ink, Page};
pub use peer::{Fault, Peer, Received};
pub use play::{Played, play};
pub use scenes::{Scene, TABLE};
pub use tape::{Entry, Party, Tape};
pub use text::Text;

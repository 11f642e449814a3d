//! Scripted peers on loopback sockets: a PBX that calls and carries out (or refuses) a REFER, a voice agent,
//! and the phone on a desk to which callers are moved.
//!
//! They let a person see Baton work without a PBX, an agent or a configuration. They are no user agents for production
//! and import nothing of the engine's SIP code, so that what they judge was not judged by its own author. Called by
//! `cli::demo`.
//!
//! Two more live here: the agent inside the daemon that answers real calls and hands them over (`address =
//! "rehearsal:…"`, [`Agents`]), what a handoff would send ([`render`]), and what a test call means ([`Tested`]).

mod agent;
mod cast;
mod dialog;
mod durations;
mod fault;
mod ladder;
mod peer;
mod play;
pub mod render;
mod scenes;
mod scripts;
mod stage;
mod tape;
mod text;
mod trial;

pub use agent::{Agents, Script, Scripts};
pub use fault::{Fault, Received};
pub use ladder::{Ink, Page};
pub use peer::Peer;
pub use play::{Played, play};
pub use scenes::Scene;
pub use tape::{Entry, Party, Tape};
pub use text::Text;
pub use trial::Tested;

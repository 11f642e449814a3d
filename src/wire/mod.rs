//! Bytes to messages and back (RFC 3261 sections 7, 19, 20 and 25).
//!
//! Pure: no clock, no socket, no task. The decoder makes an [`Index`] of spans over the received bytes and copies
//! nothing; the accessors of [`Message`] read through it. Everything that comes from the network is parsed as bytes
//! and capped before anything is allocated. What leaves goes through [`Writer`], which cannot be made to write a
//! second line by any value it is given.
//!
//! Not here: what a message means (`sip`), where it goes (`sip::locate`, `net`). Called by every layer above; the
//! only place that names the `rsip` crate is [`rsip_types`].

pub mod caps;
mod check;
pub mod decode;
pub mod encode;
pub mod fault;
pub mod frame;
pub mod grammar;
pub mod headers;
pub mod index;
pub mod message;
pub mod name_addr;
pub mod peek;
pub mod rsip_types;
mod scan;
pub mod sdp;
pub mod sipfrag;
pub mod uri;
pub mod via;

pub use decode::{Framing, decode, identify, incomplete, salvage};
pub use encode::{Writer, push_address, push_quoted, reason_phrase, response_to};
pub use fault::Fault;
pub use grammar::Malformed;
pub use headers::{Method, Name};
pub use index::Index;
pub use message::{CSeq, Header, Message};
pub use name_addr::NameAddr;
pub use uri::{Host, Scheme, Uri};
pub use via::Via;

//! The destination table, trunks and agents, as values: what a call may do and where it may go. Pure.
//!
//! Text comes in (the daemon reads the files), values and [diagnostics](self::file::Diagnostic) come out. The engine asks
//! [`topology`] who sent a packet and which agent a number reaches, [`select`] which destination a decision means and
//! [`rules`] where that leads now, [`template`] what a header says, [`profile`] what the receiver needs and [`explain`] what a status means.
//!
//! Nothing here opens a file, resolves a name or sends a byte.

pub mod address;
pub mod country;
pub mod diff;
pub mod document;
pub mod duration;
pub mod explain;
pub mod file;
pub mod headers;
pub mod net;
pub mod number;
pub mod onward;
pub mod pattern;
pub mod profile;
pub mod route;
pub mod rules;
pub mod select;
pub mod table;
pub mod tables;
pub mod template;
pub mod topology;

use std::sync::Arc;
pub use tables::Tables;

/// The name of a destination, an environment, a trunk or an agent: short, cheap to clone.
pub type Id = Arc<str>;

//! Legs in virtual time: one readable trace for each race and rule of RFC 3261 §§12-15 and what goes with them.
//!
//! The peer's messages are text that no code of Baton made. Every trace ends with [`Bench::end`], which lets 64·T1
//! pass and asserts that nothing is left.

#![allow(clippy::unwrap_used)] // A test may stop at its own mistakes.

mod bench;
mod caller;
mod inside;
mod ours;
mod reliable;
mod timers;
mod transfer;

//! The real binary on ephemeral ports: its API, its reloads, its streams, its start and its end. The peers are text on
//! sockets and import nothing of Baton.

// A test that cannot go on is to stop where it stands.
#![allow(clippy::unwrap_used)]

mod api;
mod change;
mod cli;
mod doors;
mod flood;
mod house;
mod http;
mod init;
mod kill;
mod life;
mod load;
mod memory;
mod mutants;
mod names;
#[path = "../common/patient.rs"]
mod patient;
mod phone;
mod rehearsal;
mod reload;
mod render;
mod standstill;
mod stream;
mod torture;
mod trial;
mod versions;
mod writers;

//! Baton against real peers: the real binary on loopback, SIPp as PBX, agent and desk, baresip as a phone, Kamailio as a
//! proxy between. None of them shares a line with the code under test.
//!
//! Each test is a story: open a house, bring up the peers, decide, and read what the peers saw, what the API says and what
//! the log says. The scenarios that SIPp plays are in `scenarios/`, one for each behaviour, made of parts (`scenario`);
//! where the order of things matters, a peer waits for its cue (`peers`). `rehearsal` plays them against each other, so
//! that a fault of a peer is not taken for one of Baton. When a story goes wrong, it says where all was kept.
//!
//! Needs the Debian packages sip-tester, baresip-core and kamailio (`tests/run` installs them).
#![cfg(feature = "daemon")]
#![allow(unreachable_pub)] // A test has no outside to export to.

mod agent;
mod attended;
mod bridge;
mod brief;
mod calls;
mod early;
mod house;
mod ladder;
mod loss;
#[path = "../common/patient.rs"]
mod patient;
mod peers;
mod phones;
mod proxy;
mod refer;
mod rehearsal;
mod scenario;
mod trial;
mod wire;

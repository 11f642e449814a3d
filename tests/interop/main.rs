//! Baton against real peers: the real binary on loopback, SIPp as PBX, agent and desk, baresip as a phone, Kamailio as a
//! proxy between. None of them shares a line with the code under test.
//!
//! Each test is a story: open a house, bring up the peers, decide, and read what the peers saw, what the API says and what
//! the log says. The scenarios that SIPp plays are in `scenarios/`, one for each behaviour. `rehearsal` plays them against
//! each other, so that a fault of a peer is not taken for one of Baton.
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
mod peers;
mod phones;
mod proxy;
mod refer;
mod rehearsal;
mod scenario;
mod wire;

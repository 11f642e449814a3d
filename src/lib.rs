//! Baton: a SIP B2BUA that takes calls for AI voice agents and hands the callers over.
//!
//! # The one idea
//!
//! The engine is a pure state machine; sockets, clocks, files and HTTP stand around it. It is fed one
//! [`call::engine`] input at a time and then polled until it is idle. Time and randomness are parameters, so that
//! every test runs in virtual time and every bug replays.
//!
//! # The layers
//!
//! Each layer imports only lower ones (`tests/layering.rs` holds this):
//!
//! | layer | module | what |
//! |---|---|---|
//! | 0 | [`observe`] | redaction, log fields, counters |
//! | 1 | [`wire`] | bytes to messages and back; the only place that names `rsip` |
//! | 2 | [`sip`] | the RFC 3261 core: transactions, dialogs, legs |
//! | 3 | [`routing`] | the destination table, trunks and agents |
//! | 4 | [`call`] | the product: calls, handoffs, the engine |
//! | 5 | `net`, `store` | sockets and files; tokio starts here |
//! | 6 | `shard` | one engine with its sockets, inbox and loop |
//! | 7 | `http`, `rehearsal` | the API; scripted caller, agent and PBX |
//! | 8 | `daemon` | configuration, start, reload, shutdown, telemetry |
//! | 9 | `cli` | one file for each verb |

// The pure layers: `clippy.toml` says what they may not name, and why.
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod call;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod observe;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod routing;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod sip;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;

#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod rehearsal;
#[cfg(feature = "daemon")]
pub mod shard;
#[cfg(feature = "daemon")]
pub mod store;

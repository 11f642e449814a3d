//! The process: configuration, start, reload, shutdown and telemetry.
//!
//! [`start`] puts everything together and runs it, [`reload`] replaces trunks, agents and tables while calls are up,
//! `change` does so for one table that the API asks to change, `numbering` says which versions they are,
//! [`telemetry`] is the one place that events go to: `log` writes their [`lines`] and `keeper` their records, each by an
//! `outlet` of its own.

mod change;
pub mod configuration;
mod descriptors;
mod keeper;
pub mod lines;
mod log;
mod numbering;
mod numbers;
mod outlet;
pub mod reload;
pub mod sources;
pub mod start;
mod stop;
pub(crate) mod systemd;
pub mod telemetry;
mod watch;

//! The process: configuration, start, reload, shutdown and telemetry.
//!
//! [`start`] puts everything together and runs it, [`reload`] replaces trunks, agents and tables while calls are up,
//! [`telemetry`] is the one place where events become log lines and records.

pub mod configuration;
mod numbers;
pub mod reload;
pub mod sources;
pub mod start;
mod stop;
mod systemd;
pub mod telemetry;
mod watch;

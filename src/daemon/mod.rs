//! Configuration, start, reload, shutdown and telemetry.

pub mod configuration;

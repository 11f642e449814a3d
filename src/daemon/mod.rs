//! Configuration, start, reload, shutdown and telemetry.

//! The HTTP API and metrics.

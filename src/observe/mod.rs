//! What is seen from outside: redaction, log fields and counters. No I/O.

pub mod counters;
pub mod line;
pub mod secret;

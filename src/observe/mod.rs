//! What is seen from outside: redaction, log fields and words. No I/O.

pub mod line;
pub mod secret;
pub(crate) mod words;

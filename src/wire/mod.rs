//! Bytes to SIP messages and back. Pure.

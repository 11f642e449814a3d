//! `cargo fuzz run sipfrag`: the body that `tests/fuzz.rs` drives on stable Rust.
#![no_main]

#[path = "../bodies/sipfrag.rs"]
mod sipfrag;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sipfrag::sipfrag_body(bytes));

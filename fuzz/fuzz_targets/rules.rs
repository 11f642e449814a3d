//! `cargo fuzz run rules`: the body that `tests/fuzz.rs` drives on srules Rust.
#![no_main]

#[path = "../bodies/rules.rs"]
mod rules;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rules::rules_body(bytes));

//! `cargo fuzz run engine`: the body that `tests/fuzz.rs` drives on stable Rust.
#![no_main]

#[path = "../bodies/engine.rs"]
mod engine;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| engine::engine_body(bytes));

//! `cargo fuzz run frame`: the body that `tests/fuzz.rs` drives on stable Rust.
#![no_main]

#[path = "../bodies/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frame::frame_body(bytes));

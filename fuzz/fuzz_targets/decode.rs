//! `cargo fuzz run decode`: the body that `tests/fuzz.rs` drives on stable Rust.
#![no_main]

#[path = "../bodies/decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decode::decode_body(bytes));

//! `cargo fuzz run table`: the body that `tests/fuzz.rs` drives on stable Rust.
#![no_main]

#[path = "../bodies/table.rs"]
mod table;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| table::table_body(bytes));

//! libFuzzer's entry; what must hold stands in `src/bulk.rs`.
#![no_main]
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| understudy_fuzz::bulk::check(data));

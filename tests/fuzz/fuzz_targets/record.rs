//! libFuzzer's entry; what must hold stands in `src/record.rs`.
#![no_main]
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| understudy_fuzz::record::check(data));

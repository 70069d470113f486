//! libFuzzer's entry; what must hold stands in `src/answer.rs`.
#![no_main]
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| understudy_fuzz::answer::check(data));

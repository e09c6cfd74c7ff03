#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prescreen::smtp::line::fuzz_lines(data));

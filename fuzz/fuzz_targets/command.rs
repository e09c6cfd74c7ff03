#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prescreen::smtp::command::fuzz_command(data));

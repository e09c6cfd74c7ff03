#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prescreen::smtp::reply_reader::fuzz_replies(data));

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tagsweep_fuzz::list(input));

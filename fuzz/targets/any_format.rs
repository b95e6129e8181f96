//! Any bytes are refused, or recognised as a format and then as that format's target has it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sawmill::Format;

#[path = "../../tests/common/survive.rs"]
mod survive;

fuzz_target!(|bytes: &[u8]| {
    match Format::detect(bytes) {
        Ok(format) => survive::survives(format, bytes, true).map(|_| ()).unwrap(),
        Err(error) => survive::is_plain(&error).unwrap(),
    }
});

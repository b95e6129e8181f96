//! Any bytes under right checksums, taken for a compiled model, are refused in one plain line or are a model that predicts
//! without a panic and within its arrays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sawmill::Format;

#[path = "../../tests/common/survive.rs"]
mod survive;

fuzz_target!(|bytes: &[u8]| {
    // Compiled models are known by their content, whatever format is named.
    survive::survives(Format::XgBoostJson, &survive::with_checksums(bytes.to_vec()), false).unwrap();
});

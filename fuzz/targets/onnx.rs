//! Any bytes, taken for an ONNX model, are refused in one plain line or are a model that predicts and is healthy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sawmill::Format;

#[path = "../../tests/common/survive.rs"]
mod survive;

fuzz_target!(|bytes: &[u8]| {
    survive::survives(Format::Onnx, bytes, true).unwrap();
});

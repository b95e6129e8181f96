//! Any bytes, taken for the exporter's JSON of scikit-learn ensembles, are refused in one plain line or are a model that predicts and is healthy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sawmill::Format;

#[path = "../../tests/common/survive.rs"]
mod survive;

fuzz_target!(|bytes: &[u8]| {
    survive::survives(Format::SklearnJson, bytes, true).unwrap();
});

//! A forest made of any bytes is refused by its builder, or its kernels equal the reference evaluator to the bit.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/survive.rs"]
mod survive;

fuzz_target!(|bytes: &[u8]| {
    survive::kernels_equal_the_reference(bytes).unwrap();
});

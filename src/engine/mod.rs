//! Parts of the engine.

#[allow(unsafe_code)]
pub mod buffers;
pub mod cache;
pub mod topology;

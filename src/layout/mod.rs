//! Flat arrays that kernels read, built once from a [`Forest`](crate::ir::Forest).

pub(crate) mod byte_tests;
pub(crate) mod bytes;
pub(crate) mod circuit;
pub(crate) mod class_masks;
mod classes;
pub(crate) mod levels;
mod near;
mod packing;
pub(crate) mod program;
pub(crate) mod ranks;
pub(crate) mod row;
pub(crate) mod row_bytes;
pub(crate) mod stored;
pub(crate) mod tops;
pub(crate) mod values;
pub(crate) mod walk;

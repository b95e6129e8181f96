//! Flat arrays that are owned, or lie in a mapped file.

mod array;

pub(crate) use array::Array;

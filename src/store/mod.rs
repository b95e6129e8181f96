//! What compiled models are made of: flat arrays that are owned or lie in a mapped file, and how values are written to
//! such a file and read from it.

mod array;
mod seal;
mod stored;

pub(crate) use array::{Array, LINE, SharedBytes, on_lines};
pub(crate) use seal::{Seal, checksums, n_blocks};
pub(crate) use stored::{ALIGN, Reader, Stored, Writer, stored, unknown};

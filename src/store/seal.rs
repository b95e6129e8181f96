//! Checksums of a compiled model's content, block by block, looked at as far as the content is read: what a block holds
//! is then still in the cache.

use twox_hash::XxHash3_64;

use super::array::SharedBytes;
use crate::error::{Error, Result};

/// Bytes under one checksum.
const BLOCK: usize = 256 << 10;

/// The checksums of `content`.
pub(crate) fn checksums(content: &[u8]) -> Vec<u64> {
    content.chunks(BLOCK).map(XxHash3_64::oneshot).collect()
}

/// How many checksums `content` has.
pub(crate) fn n_blocks(content: &[u8]) -> usize {
    content.len().div_ceil(BLOCK)
}

/// Content, and how much of it has been checked.
pub(crate) struct Seal {
    bytes: SharedBytes,
    /// What is left, from here on.
    at: usize,
    /// Its checksums.
    sums: std::vec::IntoIter<u64>,
}

impl Seal {
    /// Of the content of `bytes` from `start` on. As many checksums as it has blocks are for the caller to have.
    pub(crate) fn new(bytes: SharedBytes, start: usize, sums: Vec<u64>) -> Self {
        Self { bytes, at: start, sums: sums.into_iter() }
    }

    pub(crate) fn bytes(&self) -> &SharedBytes {
        &self.bytes
    }

    /// How far the bytes have been checked.
    pub(crate) fn checked(&self) -> usize {
        self.at
    }

    /// Checks what has not been, up to `end` at least; nothing beyond the bytes.
    ///
    /// # Errors
    /// An invalid-model error for a block that is not what it was.
    pub(crate) fn check_to(&mut self, end: usize) -> Result<()> {
        let all = (*self.bytes).as_ref();
        while self.at < end.min(all.len()) {
            let block_end = all.len().min(self.at + BLOCK);
            if self.sums.next() != Some(XxHash3_64::oneshot(&all[self.at..block_end])) {
                return Err(Error::invalid_model("a damaged compiled model: a checksum is wrong"));
            }
            self.at = block_end;
        }
        Ok(())
    }
}

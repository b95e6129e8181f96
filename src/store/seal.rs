//! Checksums of a compiled model's content, block by block, looked at as far as the content is read: what a block holds
//! is then still in the cache. Of long content another thread checks from the end on, until both meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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
    blocks: Arc<Blocks>,
    /// What is left, from here on.
    at: usize,
}

/// The blocks of content, which are checked from both ends.
struct Blocks {
    bytes: SharedBytes,
    start: usize,
    /// A checksum for each.
    sums: Vec<u64>,
    /// Those before it need no checks from behind.
    front: AtomicUsize,
    /// It and those behind it have been checked from behind.
    back: AtomicUsize,
}

/// Blocks that are worth a second thread: some milliseconds of them.
const BLOCKS_FOR_A_THREAD: usize = 32;

impl Blocks {
    /// Where a block ends.
    fn end(&self, block: usize) -> usize {
        (*self.bytes).as_ref().len().min(self.start + (block + 1) * BLOCK)
    }

    /// Whether a block is what it was.
    fn is_sound(&self, block: usize) -> bool {
        let content = &(*self.bytes).as_ref()[self.start + block * BLOCK..self.end(block)];
        self.sums.get(block) == Some(&XxHash3_64::oneshot(content))
    }

    /// Checks blocks from the last to those that have been checked, or to one that is not sound, which is found from
    /// the front then.
    fn check_backwards(&self) {
        for block in (0..self.sums.len()).rev() {
            if block < self.front.load(Ordering::Relaxed) || !self.is_sound(block) {
                return;
            }
            self.back.store(block, Ordering::Release);
        }
    }
}

impl Seal {
    /// Of the content of `bytes` from `start` on. As many checksums as it has blocks are for the caller to have.
    pub(crate) fn new(bytes: SharedBytes, start: usize, sums: Vec<u64>) -> Self {
        let (front, back) = (AtomicUsize::new(0), AtomicUsize::new(sums.len()));
        let blocks = Arc::new(Blocks { bytes, start, sums, front, back });
        if blocks.sums.len() >= BLOCKS_FOR_A_THREAD && thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1)
        {
            let blocks = blocks.clone();
            // Without the thread, all is checked from the front.
            let _ = thread::Builder::new().name("sawmill-load".to_owned()).spawn(move || blocks.check_backwards());
        }
        Self { blocks, at: start }
    }

    pub(crate) fn bytes(&self) -> &SharedBytes {
        &self.blocks.bytes
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
        let Self { blocks, at } = self;
        let len = (*blocks.bytes).as_ref().len();
        while *at < end.min(len) {
            let block = (*at - blocks.start) / BLOCK;
            if block >= blocks.back.load(Ordering::Acquire) {
                *at = len;
            } else if blocks.is_sound(block) {
                blocks.front.store(block + 1, Ordering::Relaxed);
                *at = blocks.end(block);
            } else {
                return Err(Error::invalid_model("a damaged compiled model: a checksum is wrong"));
            }
        }
        Ok(())
    }
}

impl Drop for Seal {
    /// Nobody reads on.
    fn drop(&mut self) {
        self.blocks.front.store(usize::MAX, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_block_is_found_wherever_it_is() {
        let n_blocks = BLOCKS_FOR_A_THREAD + 3;
        let content = vec![7; n_blocks * BLOCK - 100];
        let sums = checksums(&content);
        for damaged in [None, Some(0), Some(1), Some(n_blocks / 2), Some(n_blocks - 2), Some(n_blocks - 1)] {
            let mut sums = sums.clone();
            if let Some(block) = damaged {
                sums[block] ^= 1;
            }
            // As a reader goes, and in one leap; on two threads, and as it is without the second.
            for (step, sums_at_once) in [(BLOCK / 3, n_blocks), (usize::MAX, n_blocks), (BLOCK, 1)] {
                let mut found = Ok(());
                for (at, sums) in sums.chunks(sums_at_once).enumerate() {
                    let content = content[at * sums_at_once * BLOCK..].iter().take(sums_at_once * BLOCK);
                    let content: SharedBytes = Arc::new(content.copied().collect::<Vec<u8>>());
                    let mut seal = Seal::new(content, 0, sums.to_vec());
                    let len = (**seal.bytes()).as_ref().len();
                    while found.is_ok() && seal.checked() < len {
                        found = seal.check_to(seal.checked().saturating_add(step));
                    }
                }
                assert_eq!(found.is_err(), damaged.is_some(), "{damaged:?} in steps of {step}");
            }
        }
    }
}

//! The bytes of a file that is read whole, and of one that is hashed as it is read.

use std::fs::File;
use std::io::Read;
use std::ops::Deref;

use memmap2::MmapMut;

use crate::error::{Error, Result};

/// The bytes of a file, in memory of this process.
pub(crate) enum FileBytes {
    Small(Vec<u8>),
    /// In pages that are made at once, large ones where the system has them: the first look at each would take as long as
    /// reading it otherwise.
    Large(MmapMut),
}

/// Files from here on are worth pages of their own.
const LARGE: usize = 256 << 10;

impl FileBytes {
    /// The bytes of `file`, which starts with `start` and is read behind that: as many as it says that it has, if it says
    /// so, and `limit` at most.
    ///
    /// # Errors
    /// An I/O error.
    pub(crate) fn read(mut file: File, start: &[u8], size: u64, limit: u64) -> Result<Self> {
        match usize::try_from(size) {
            Ok(size) if size >= LARGE && size as u64 <= limit => {
                let mut pages = MmapMut::map_anon(size).map_err(Error::io)?;
                #[cfg(target_os = "linux")]
                for advice in [memmap2::Advice::HugePage, memmap2::Advice::PopulateWrite] {
                    // Systems that know neither do without.
                    let _ = pages.advise(advice);
                }
                pages[..start.len()].copy_from_slice(start);
                file.read_exact(&mut pages[start.len()..]).map_err(Error::io)?;
                Ok(Self::Large(pages))
            }
            // Pipes and devices tell no size.
            _ => {
                let mut bytes = Vec::with_capacity(size.min(limit) as usize);
                bytes.extend(start);
                file.take(limit.saturating_sub(start.len() as u64)).read_to_end(&mut bytes).map_err(Error::io)?;
                Ok(Self::Small(bytes))
            }
        }
    }
}

/// Hashes what is read through it.
pub(super) struct Hashing<R> {
    source: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, hasher: blake3::Hasher::new() }
    }

    /// The hash of all that has been read.
    pub(super) fn digest(&self) -> blake3::Hash {
        self.hasher.finalize()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(pages) => pages,
        }
    }
}

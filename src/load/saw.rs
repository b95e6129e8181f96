//! The frame of a compiled model (`.saw`): what is checked before anything in it is read.
//!
//! ```text
//! 0   8 bytes  magic
//! 8   u32      version of everything in the file
//! 12  u32      number of checksums in the table
//! 16  u64      bytes of the file
//! 24  u64      checksum of the bytes before and of the table
//! 32  u64…     a checksum for each 256 KiB of the content
//!              zeros up to a multiple of 64
//!              the content: see `store`
//! ```
//!
//! Little-endian throughout. Checksums are XXH3 with 64 bits: they find damage, not forgery; whoever may replace the
//! file may replace the model. What the content holds is checked again where it is read, so that a file that was written
//! wrong on purpose is an error too, or a model that stays within its arrays.
#![allow(unsafe_code, reason = "mapping a file is")]

use std::fs::File;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::error::{Error, Result};
use crate::store::{ALIGN, Seal, SharedBytes, checksums, n_blocks};

pub(crate) const MAGIC: &[u8; 8] = b"\x89SAW\r\n\x1a\n";

/// Changes whenever anything that a file holds changes.
const VERSION: u32 = 6;

/// Bytes before the table.
const PREFIX: usize = 32;

/// Whether a file is a compiled model.
pub(crate) fn is_saw(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The bytes of a file, where they lie.
///
/// # Errors
/// An I/O error for a file that cannot be mapped.
pub(crate) fn map(file: &File) -> Result<SharedBytes> {
    // SAFETY: whoever loads a compiled model leaves the file as it is, which the documentation of loading asks for;
    // replacing it under its name does no harm.
    // BENEFIT: a file of 3 million nodes opens without a copy, and processes share its pages.
    let mapped = unsafe { memmap2::MmapOptions::new().populate().map(file) }.map_err(Error::io)?;
    Ok(Arc::new(mapped))
}

/// The bytes of a file around `content`.
pub(crate) fn frame(content: &[u8]) -> Vec<u8> {
    let table: Vec<u8> = checksums(content).into_iter().flat_map(u64::to_le_bytes).collect();
    let start = (PREFIX + table.len()).next_multiple_of(ALIGN);
    let mut file = MAGIC.to_vec();
    file.extend(VERSION.to_le_bytes());
    file.extend((table.len() as u32 / 8).to_le_bytes());
    file.extend(((start + content.len()) as u64).to_le_bytes());
    let checksum = XxHash3_64::oneshot(&[&file[..], &table[..]].concat());
    file.extend(checksum.to_le_bytes());
    file.extend(table);
    file.resize(start, 0);
    file.extend(content);
    file
}

/// The content of a file, whose head has been checked; and a digest of the file.
///
/// # Errors
/// An invalid-model error for a file that is damaged; an unsupported error for one of another version.
pub(crate) fn open(bytes: SharedBytes) -> Result<(Seal, blake3::Hash)> {
    let file = (*bytes).as_ref();
    if cfg!(target_endian = "big") {
        return Err(Error::unsupported("compiled models are for little-endian machines"));
    }
    let damaged = |finding: &str| Error::invalid_model(format!("a damaged compiled model: {finding}"));
    let Some((prefix, rest)) = file.split_first_chunk::<PREFIX>() else {
        return Err(damaged("the file ends early"));
    };
    let word = |at: usize| u64::from_le_bytes(prefix[at..at + 8].try_into().expect("eight bytes"));
    let (version, blocks) = (word(8) as u32, (word(8) >> 32) as usize);
    if is_saw(file) && version != VERSION {
        return Err(Error::unsupported(format!(
            "a compiled model of version {version}, while this program reads {VERSION}: compile the model again"
        )));
    }
    if word(16) != file.len() as u64 {
        return Err(damaged(&format!("{} bytes, of which there should be {}", file.len(), word(16))));
    }
    let start = (PREFIX + 8 * blocks).next_multiple_of(ALIGN);
    let (Some(table), Some(content)) = (rest.get(..8 * blocks), file.get(start..)) else {
        return Err(damaged("the file ends early"));
    };
    let head = [&prefix[..PREFIX - 8], table].concat();
    let zeros = file[PREFIX + table.len()..start].iter().all(|&byte| byte == 0);
    if !is_saw(file) || XxHash3_64::oneshot(&head) != word(24) || !zeros {
        return Err(damaged("the checksum of its head is wrong"));
    }
    let sums: Vec<u64> =
        table.chunks_exact(8).map(|sum| u64::from_le_bytes(sum.try_into().expect("eight bytes"))).collect();
    if sums.len() != n_blocks(content) {
        return Err(damaged("another number of checksums than blocks"));
    }
    let digest = blake3::hash(&head);
    Ok((Seal::new(bytes.clone(), start, sums), digest))
}

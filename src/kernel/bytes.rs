//! The bytes of a row, of which registers fetch 64 at once.

use crate::layout::bytes::{ByteColumn, ByteColumns, MAX_REGISTERS, REGISTER};

/// The bytes of a row.
pub(super) type Bytes = [[u8; REGISTER]; MAX_REGISTERS];

/// The bytes of the row of these words.
#[inline(always)]
pub(super) fn bytes(columns: &ByteColumns, words: &[u16]) -> Bytes {
    let ByteColumns { columns, ranks, .. } = columns;
    let mut bytes: Bytes = [[0; REGISTER]; MAX_REGISTERS];
    for at in 0..columns.len() {
        let ByteColumn { word, last, first } = columns[at];
        let word = words[usize::from(word)].min(last);
        bytes[at / REGISTER][at % REGISTER] = ranks[first as usize + usize::from(word)];
    }
    bytes
}

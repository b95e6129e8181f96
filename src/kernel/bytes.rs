//! The bytes of a row, of which registers fetch 64 at once.

use super::level::{Level, Work};
use super::stage::{Block, Input};
use crate::ir::ZERO_THRESHOLD;
use crate::layout::bytes::REGISTER;
use crate::layout::row_bytes::{COUNTED, Cuts, RankedColumn, RowBytes, Search};

/// Columns of a row, a register each.
pub(super) type Bytes = [[u8; REGISTER]];

/// Writes the columns of a lone row that are ranks, and those that are among its words.
pub(super) struct MakeBytes<'a, T> {
    pub(super) columns: &'a RowBytes,
    pub(super) block: &'a Block<'a, T>,
    pub(super) words: &'a [u16],
    pub(super) bytes: &'a mut Bytes,
}

impl<T: Input> Work for MakeBytes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { columns, block, words, bytes } = self;
        let bytes = bytes.as_flattened_mut();
        let (row, cuts) = (block.row(0), T::cuts(columns));
        let [one, two, pivots] = columns.ends;
        rank::<L, T, { Search::One as u8 }>(level, &columns.ranked[..one], cuts, block, row, bytes);
        rank::<L, T, { Search::Two as u8 }>(level, &columns.ranked[one..two], cuts, block, row, bytes);
        rank::<L, T, { Search::Pivots as u8 }>(level, &columns.ranked[two..pivots], cuts, block, row, bytes);
        for outcome in &columns.outcomes {
            bytes[usize::from(outcome.column)] = words[usize::from(outcome.word)] as u8;
        }
    }
}

/// Writes the ranks of columns that are searched in the same way.
#[inline(always)]
fn rank<L: Level, T: Input, const SEARCH: u8>(
    level: L,
    columns: &[RankedColumn],
    cuts: &[Cuts<T>],
    block: &Block<'_, T>,
    row: &[T],
    bytes: &mut [u8],
) {
    const ONE: u8 = Search::One as u8;
    const TWO: u8 = Search::Two as u8;
    // Magnitudes below which values are missing: no number's, or that of all but zeros.
    let least = [T::ZERO, T::from_f64(ZERO_THRESHOLD).next_up()];
    for at in 0..columns.len() {
        let RankedColumn { feature, cuts: first, column, of_missing, zero_is_missing } = columns[at];
        let x = block.value(row[feature as usize]);
        let first = first as usize;
        let rank = match SEARCH {
            ONE => T::count_below(level, x, &cuts[first].0),
            TWO => T::count_below(level, x, &cuts[first].0) + T::count_below(level, x, &cuts[first + 1].0),
            _ => {
                let before = T::count_below(level, x, &cuts[first].0);
                before * COUNTED + T::count_below(level, x, &cuts[first + 1 + before].0)
            }
        };
        // NaN is less than nothing.
        let is_there = x.abs() >= least[usize::from(zero_is_missing)];
        bytes[usize::from(column)] = if is_there { rank as u8 } else { of_missing };
    }
}

//! From rows to byte columns: the work that all circuits of a forest share.

use super::CHUNK;
use super::circuit::Columns;
use super::level::{Chunk, Level, PANEL, Work};
use super::stage::{Block, Input, flush};
use crate::ir::{Missing, NumericProfile, ZERO_THRESHOLD};
use crate::layout::ranks::{CodedFeature, RankedFeature, Ranks, SEGMENT};

/// Fills the columns of a block. Rows beyond the block's last repeat it.
pub(crate) struct Rank<'a, 'c, T> {
    pub(crate) ranks: &'a Ranks,
    pub(crate) profile: NumericProfile,
    pub(crate) block: Block<'a, T>,
    pub(crate) columns: &'a mut Columns<'c>,
}

impl<T: Input> Work for Rank<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { ranks, profile, block, columns } = self;
        let stride = block.n_features;
        let mut panel = [[T::ZERO; CHUNK]; PANEL];
        for chunk in 0..columns.n_chunks() {
            let rows = chunk * CHUNK..((chunk + 1) * CHUNK).min(block.n_rows);
            let rows = &block.values[rows.start * stride..rows.end * stride];
            let mut write = |column: usize, bytes| columns.set(chunk, column, bytes);
            for features in ranks.numeric.chunk_by(|a, b| a.feature as usize / PANEL == b.feature as usize / PANEL) {
                let first = features[0].feature as usize / PANEL * PANEL;
                T::transpose(level, rows, stride, first, &mut panel);
                for feature in features {
                    if block.flush_tiny {
                        flush_column(&mut panel[feature.feature as usize - first]);
                    }
                    rank_feature(level, &panel[feature.feature as usize - first], ranks, feature, &mut write);
                }
            }
            for feature in &ranks.coded {
                let first = feature.feature as usize / PANEL * PANEL;
                T::transpose(level, rows, stride, first, &mut panel);
                if block.flush_tiny {
                    flush_column(&mut panel[feature.feature as usize - first]);
                }
                code_feature(&panel[feature.feature as usize - first], feature, profile, &mut write);
            }
        }
    }
}

#[inline(always)]
pub(super) fn flush_column<T: Input>(values: &mut [T; CHUNK]) {
    for row in 0..CHUNK {
        values[row] = flush(values[row]);
    }
}

#[inline(always)]
fn rank_feature<L: Level, T: Input>(
    level: L,
    values: &[T; CHUNK],
    ranks: &Ranks,
    feature: &RankedFeature,
    mut write: impl FnMut(usize, Chunk),
) {
    let table = T::table(ranks, feature);
    let columns = ranks.columns_of(feature);
    let ranks = T::rank(level, values, table);
    for column in columns {
        let before = column.segment * SEGMENT as u32;
        let mut bytes = Chunk::ZERO;
        if before == 0 && table.cuts.len() <= 256 {
            for row in 0..CHUNK {
                bytes.0[row] = ranks[row] as u8;
            }
        } else {
            for row in 0..CHUNK {
                bytes.0[row] = ranks[row].saturating_sub(before).min(SEGMENT as u32) as u8;
            }
        }
        match column.missing {
            // NaN is greater than no cut.
            Missing::Left => {}
            Missing::Right => replace(&mut bytes, values, 255, is_nan),
            Missing::AsZero => {
                let of_zero = table.cuts.partition_point(|&cut| T::ZERO > cut) as u32;
                let of_zero = of_zero.saturating_sub(before).min(SEGMENT as u32) as u8;
                replace(&mut bytes, values, of_zero, is_nan);
            }
            Missing::ZeroLeft => replace(&mut bytes, values, 0, is_zero_or_nan),
            Missing::ZeroRight => replace(&mut bytes, values, 255, is_zero_or_nan),
        }
        write(column.index as usize, bytes);
    }
}

#[inline(always)]
fn replace<T: Input>(bytes: &mut Chunk, values: &[T; CHUNK], by: u8, which: impl Fn(T) -> bool) {
    for row in 0..CHUNK {
        let mask = u8::from(which(values[row])).wrapping_neg();
        bytes.0[row] = (bytes.0[row] & !mask) | (by & mask);
    }
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "the one comparison that both float types share")]
pub(super) fn is_nan<T: Input>(x: T) -> bool {
    x != x
}

#[inline(always)]
pub(super) fn is_zero_or_nan<T: Input>(x: T) -> bool {
    let threshold = T::from_f64(ZERO_THRESHOLD);
    !(x > threshold || x < -threshold)
}

/// The pairs of columns of a category feature: for every segment of 256 classes, the byte and the bit of a row's class;
/// no bit where the class is of another segment.
#[inline(always)]
fn code_feature<T: Input>(
    values: &[T; CHUNK],
    feature: &CodedFeature,
    profile: NumericProfile,
    mut write: impl FnMut(usize, Chunk),
) {
    let mut classes = [0u16; CHUNK];
    for row in 0..CHUNK {
        let value = values[row];
        classes[row] = if is_nan(value) {
            feature.nan
        } else {
            profile.category(value.to_f64()).map_or(0, |code| feature.class(code))
        };
    }
    for segment in 0..feature.n_segments() {
        let (mut byte, mut bit) = (Chunk::ZERO, Chunk::ZERO);
        for row in 0..CHUNK {
            let class = classes[row];
            byte.0[row] = (class >> 3 & 31) as u8;
            bit.0[row] = if usize::from(class >> 8) == segment { 1 << (class & 7) } else { 0 };
        }
        let column = feature.first_column as usize + 2 * segment;
        write(column, byte);
        write(column + 1, bit);
    }
}

//! Blocks of rows, for trees that have no circuit: ranked once; where trees are far then one tree after another, several
//! rows at a time, so that a tree is read once for all of them.
#![allow(unsafe_code, reason = "walks index words without checks; the layout bounds them")]

use std::ops::Range;

use super::CHUNK;
use super::level::{LINE, Level, PANEL, Work, prefetch};
use super::rank::flush_column;
use super::row::{FAR, code_value, word_of};
use super::stage::{Block, Input};
use super::steps::advance;
use crate::ir::NumericProfile;
use crate::layout::row::{RowLayout, RowTree};

/// Walks in flight.
const LANES: usize = 16;

/// Writes the words of a block, row after row.
pub(crate) struct RankRows<'a, T, S: 'static> {
    pub(crate) layout: &'a RowLayout<S>,
    pub(crate) profile: NumericProfile,
    pub(crate) block: &'a Block<'a, T>,
    pub(crate) words: &'a mut [u16],
}

impl<T: Input, S> Work for RankRows<'_, T, S> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { layout, profile, block, words } = self;
        let (n_words, stride) = (layout.n_words, block.n_features);
        let mut panel = [[T::ZERO; CHUNK]; PANEL];
        for first_row in (0..block.n_rows).step_by(CHUNK) {
            let n_rows = CHUNK.min(block.n_rows - first_row);
            let rows = &block.values[first_row * stride..(first_row + n_rows) * stride];
            let words = &mut words[first_row * n_words..(first_row + n_rows) * n_words];
            let (mut of_panel, mut of_feature) = (usize::MAX, u32::MAX);
            let mut ranks = [0; CHUNK];
            for (place, word) in layout.words.iter().enumerate() {
                let feature = &layout.ranks.numeric[word.numeric as usize];
                let first = feature.feature as usize / PANEL * PANEL;
                if first != of_panel {
                    T::transpose(level, rows, stride, first, &mut panel);
                    of_panel = first;
                }
                let table = T::table(&layout.ranks, feature);
                let values = &mut panel[feature.feature as usize - first];
                if word.numeric != of_feature {
                    if block.flush_tiny {
                        flush_column(values);
                    }
                    ranks = T::rank(level, values, table);
                    of_feature = word.numeric;
                }
                for row in 0..n_rows {
                    words[row * n_words + place] = word_of(level, word, values[row], ranks[row] as usize, table);
                }
            }
            for (feature, outcomes) in layout.ranks.coded.iter().zip(&*layout.outcomes) {
                for row in 0..n_rows {
                    let x = block.value(rows[row * stride + feature.feature as usize]);
                    let words = &mut words[row * n_words..][..n_words];
                    code_value(feature, outcomes, profile, x, &mut words[outcomes.first_word..]);
                }
            }
        }
    }
}

/// Calls `arrived(tree, row, leaf)` for each of `n_rows` rows of `words`, tree after tree.
#[inline(always)]
pub(crate) fn walk_rows<S>(
    layout: &RowLayout<S>,
    trees: Range<usize>,
    n_rows: usize,
    words: &[u16],
    mut arrived: impl FnMut(&RowTree, usize, usize),
) {
    let n_words = layout.n_words;
    let words = &words[..n_rows * n_words];
    let far = layout.nodes.len() > FAR;
    for at in trees {
        let tree = &layout.trees[at];
        let mut ahead = Ahead::new(layout, at + 1, if far { n_rows } else { 0 });
        for first in (0..n_rows).step_by(LANES) {
            ahead.fetch_some();
            // Lanes behind the last row repeat it.
            let row = |lane: usize| (first + lane).min(n_rows - 1);
            let rows: [&[u16]; LANES] = std::array::from_fn(|lane| &words[row(lane) * n_words..][..n_words]);
            let ends = advance([tree.root; LANES], tree.depth, |lane, at| {
                // SAFETY: `RowLayout::new` numbers roots and children by the nodes it makes, and words by those it counts, of
                // which every row has as many.
                // BENEFIT: as in `row.rs`.
                unsafe { layout.nodes.get_unchecked(at as usize).next(|word| *rows[lane].get_unchecked(word)) }
            });
            for (row, &end) in (first..n_rows).zip(&ends) {
                arrived(tree, row, end as usize);
            }
        }
    }
}

/// The nodes of a tree, and what its leaves add, that are brought near while rows walk another.
// BENEFIT: of a forest of 470,000 leaves 1,024 rows take 0.3 of the time, 64 rows half.
struct Ahead {
    /// From where to where.
    ranges: [Range<*const u8>; 2],
    /// Bytes at a time.
    some: usize,
}

impl Ahead {
    /// Of the tree with this number, if there is one, and as many rows as are worth it.
    fn new<S>(layout: &RowLayout<S>, tree: usize, n_rows: usize) -> Self {
        /// Cache lines of a tree for each row, which comes by some of them: of more it is better to wait for those.
        const LINES_PER_ROW: usize = 64;
        let nodes = match (layout.trees.get(tree), layout.trees.get(tree + 1)) {
            (Some(first), Some(next)) => first.root as usize..next.root as usize,
            (Some(first), None) => first.root as usize..layout.nodes.len(),
            (None, _) => 0..0,
        };
        let ranges = [
            bytes(&layout.nodes[nodes.clone()]),
            bytes(&layout.values[nodes.start * layout.width..nodes.end * layout.width]),
        ];
        let n_bytes: usize = ranges.iter().map(|range| range.end.addr() - range.start.addr()).sum();
        let some =
            if n_bytes / LINE > n_rows * LINES_PER_ROW { 0 } else { n_bytes.div_ceil(n_rows.div_ceil(LANES).max(1)) };
        Self { ranges, some: some.next_multiple_of(LINE) }
    }

    /// Fetches a share, which each [`LANES`] rows do.
    #[inline(always)]
    fn fetch_some(&mut self) {
        let mut left = self.some;
        for range in &mut self.ranges {
            while left > 0 && range.start < range.end {
                prefetch(range.start);
                range.start = range.start.wrapping_add(LINE);
                left -= LINE;
            }
        }
    }
}

/// Where values lie.
fn bytes<T>(values: &[T]) -> Range<*const u8> {
    let Range { start, end } = values.as_ptr_range();
    start.cast()..end.cast()
}

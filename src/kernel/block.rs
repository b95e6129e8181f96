//! Blocks of rows, for trees that have no circuit: ranks once, then one tree after another, several rows at a time, so
//! that a tree is read once for all of them.
#![allow(unsafe_code, reason = "walks index words without checks; the layout bounds them")]

use std::ops::Range;

use super::CHUNK;
use super::level::{Level, PANEL, Work};
use super::rank::flush_column;
use super::row::{code_value, word_of};
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
    pub(crate) block: Block<'a, T>,
    pub(crate) words: &'a mut Vec<u16>,
}

impl<T: Input, S> Work for RankRows<'_, T, S> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { layout, profile, block, words } = self;
        let (n_words, stride) = (layout.n_words, block.n_features);
        words.resize((block.n_rows * n_words).max(words.len()), 0);
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
            for (feature, outcomes) in layout.ranks.coded.iter().zip(&layout.outcomes) {
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
    for tree in &layout.trees[trees] {
        let whole = n_rows - n_rows % LANES;
        for first in (0..whole).step_by(LANES) {
            let rows: [&[u16]; LANES] = std::array::from_fn(|lane| &words[(first + lane) * n_words..][..n_words]);
            let ends = advance([tree.root; LANES], tree.depth, |lane, at| {
                // SAFETY: `RowLayout::new` numbers roots and children by the nodes it makes, and words by those it counts, of
                // which every row has as many.
                // BENEFIT: as in `row.rs`.
                unsafe { layout.nodes.get_unchecked(at as usize).next(|word| *rows[lane].get_unchecked(word)) }
            });
            for (lane, &end) in ends.iter().enumerate() {
                arrived(tree, first + lane, end as usize);
            }
        }
        for row in whole..n_rows {
            let words = &words[row * n_words..][..n_words];
            let [end] = advance([tree.root], tree.depth, |_, at| layout.nodes[at as usize].next(|word| words[word]));
            arrived(tree, row, end as usize);
        }
    }
}

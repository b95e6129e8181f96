//! Single rows: ranks once, then walks through nodes of eight bytes, several trees at a time.
#![allow(unsafe_code, reason = "walks index nodes and words without checks; the layout bounds them")]

use super::Sum;
use super::level::{Level, Work, rank_one};
use super::rank::{is_nan, is_zero_or_nan};
use super::stage::{Block, Input};
use super::steps::advance;
use crate::ir::{Missing, NumericProfile};
use crate::layout::class_masks::{ClassMasks, Masks};
use crate::layout::ranks::{CodedFeature, CutTable, Ranks};
use crate::layout::row::{Group, LANES, Outcomes, RowLayout, WINDOW, WORD_SEGMENT, Word};

/// Adds the leaves of the row of these words to `sums`, one for every output.
pub(crate) fn add_row<S: Sum>(layout: &RowLayout<S>, words: &[u16], sums: &mut [S]) {
    let words = &words[..layout.n_words];
    add_trees(layout, sums, |at| {
        // SAFETY: `RowLayout::new` numbers roots and children by the nodes it makes, and words by those it counts, of
        // which there are as many.
        // BENEFIT: without checks a row of 500 trees of 31 leaves takes 0.6 of the time.
        unsafe { layout.nodes.get_unchecked(at as usize).next(|word| *words.get_unchecked(word)) }
    });
}

/// Adds the leaves that walks by `step` from the roots of all trees arrive at.
#[inline(always)]
pub(super) fn add_trees<S: Sum>(layout: &RowLayout<S>, sums: &mut [S], step: impl Fn(u32) -> u32) {
    // The last place is that of lanes without a tree.
    let mut ends = [0u32; WINDOW + 1];
    let groups = layout.groups.chunks(WINDOW / LANES);
    for (trees, groups) in layout.trees.chunks(WINDOW).zip(groups) {
        if layout.nodes.len() > FAR {
            groups.chunks(2).for_each(|groups| walk::<{ 2 * LANES }>(groups, &mut ends, &step));
        } else {
            groups.iter().for_each(|group| walk::<LANES>(std::slice::from_ref(group), &mut ends, &step));
        }
        match sums {
            // In a register, not in memory: additions wait for one another.
            [sum] => *sum = ends[..trees.len()].iter().fold(*sum, |sum, &end| sum + layout.values[end as usize]),
            _ if layout.width == 1 => {
                for (tree, &end) in trees.iter().zip(&ends) {
                    sums[tree.output as usize] += layout.values[end as usize];
                }
            }
            _ => add_vectors(sums, &layout.values, &ends[..trees.len()]),
        }
    }
}

/// Trees of more nodes than this are far from the processor, which waits for as many nodes at a time as it can.
pub(super) const FAR: usize = 1 << 17;

/// Walks the trees of groups in so many lanes; where they end, by their places.
#[inline(always)]
fn walk<const N: usize>(groups: &[Group], ends: &mut [u32; WINDOW + 1], step: impl Fn(u32) -> u32) {
    let (mut roots, mut places, mut steps) = ([0; N], [WINDOW; N], 0);
    for (at, group) in groups.iter().enumerate() {
        for lane in 0..LANES {
            roots[at * LANES + lane] = group.roots[lane];
            places[at * LANES + lane] = usize::from(group.places[lane]);
        }
        steps = steps.max(group.steps);
    }
    let at = advance(roots, steps, |_, at| step(at));
    for lane in 0..N {
        ends[places[lane]] = at[lane];
    }
}

/// Adds those of the vectors in `values` to `sums` that have these numbers; vectors are as long as there are sums.
#[inline(always)]
pub(super) fn add_vectors<S: Sum>(sums: &mut [S], values: &[S], numbers: &[u32]) {
    let mut first = 0;
    while first < sums.len() {
        first += match sums.len() - first {
            4.. => add_some::<S, 4>(sums, first, values, numbers),
            2 | 3 => add_some::<S, 2>(sums, first, values, numbers),
            _ => add_some::<S, 1>(sums, first, values, numbers),
        };
    }
}

/// Of so many outputs; their sums are in registers, as additions wait for one another.
#[inline(always)]
fn add_some<S: Sum, const N: usize>(sums: &mut [S], first: usize, values: &[S], numbers: &[u32]) -> usize {
    let width = sums.len();
    let sums: &mut [S; N] = sums[first..].first_chunk_mut().expect("so many outputs");
    let mut some = *sums;
    for at in 0..numbers.len() {
        let vector: &[S; N] = values[numbers[at] as usize * width + first..].first_chunk().expect("a value an output");
        for output in 0..N {
            some[output] += vector[output];
        }
    }
    *sums = some;
    N
}

/// Writes the ranks among the words of a few rows, row after row.
pub(crate) struct RankFew<'a, T, S: 'static> {
    pub(crate) layout: &'a RowLayout<S>,
    pub(crate) block: &'a Block<'a, T>,
    pub(crate) words: &'a mut [u16],
}

impl<T: Input, S> Work for RankFew<'_, T, S> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { layout, block, words } = self;
        for row in 0..block.n_rows {
            rank_row(level, layout, block, row, &mut words[row * layout.n_words..][..layout.n_words]);
        }
    }
}

#[inline(always)]
fn rank_row<L: Level, T: Input, S: 'static>(
    level: L,
    layout: &RowLayout<S>,
    block: &Block<'_, T>,
    row: usize,
    words: &mut [u16],
) {
    let row = block.row(row);
    let (mut ranked, mut rank) = (u32::MAX, 0);
    for at in 0..layout.words.len() {
        let word = &layout.words[at];
        let feature = &layout.ranks.numeric[word.numeric as usize];
        let (x, table) = (block.value(row[feature.feature as usize]), T::table(&layout.ranks, feature));
        if word.numeric != ranked {
            (ranked, rank) = (word.numeric, rank_one(level, x, table));
        }
        words[at] = word_of(level, word, x, rank, table);
    }
}

/// The word of a value and its rank.
#[inline(always)]
pub(super) fn word_of<L: Level, T: Input>(level: L, word: &Word, x: T, rank: usize, table: CutTable<'_, T>) -> u16 {
    let saturated = |rank: usize| rank.saturating_sub(word.segment as usize * WORD_SEGMENT).min(WORD_SEGMENT) as u16;
    match word.missing {
        Missing::Right if is_nan(x) => u16::MAX,
        Missing::AsZero if is_nan(x) => saturated(rank_one(level, T::ZERO, table)),
        Missing::ZeroLeft if is_zero_or_nan(x) => 0,
        Missing::ZeroRight if is_zero_or_nan(x) => u16::MAX,
        _ => saturated(rank),
    }
}

/// Writes the outcomes of category tests among the words of a few rows.
// Not a work of a level: for a few bytes compilers reach for the widest registers, which slow clocks down.
pub(crate) fn code_few<T: Input, S>(
    layout: &RowLayout<S>,
    profile: NumericProfile,
    block: &Block<'_, T>,
    words: &mut [u16],
) {
    for (feature, outcomes) in layout.ranks.coded.iter().zip(&*layout.outcomes) {
        for (row, words) in words.chunks_exact_mut(layout.n_words).take(block.n_rows).enumerate() {
            let x = block.value(block.row(row)[feature.feature as usize]);
            code_value(feature, outcomes, profile, x, &mut words[outcomes.first_word..]);
        }
    }
}

/// Writes the outcomes of a feature's category tests to the first of `words`.
#[inline(always)]
pub(super) fn code_value<T: Input, W: From<u8>>(
    feature: &CodedFeature,
    outcomes: &Outcomes,
    profile: NumericProfile,
    x: T,
    words: &mut [W],
) {
    let n = outcomes.n_tests;
    let of_class = &outcomes.by_class[usize::from(class_of(feature, profile, x)) * n..][..n];
    for (word, &outcome) in words[..n].iter_mut().zip(of_class) {
        *word = outcome.into();
    }
}

/// The class of a feature's value.
#[inline(always)]
fn class_of<T: Input>(feature: &CodedFeature, profile: NumericProfile, x: T) -> u16 {
    if is_nan(x) { feature.nan } else { profile.category(x.to_f64()).map_or(0, |code| feature.class(code)) }
}

/// Gathers in `of_row`, which is empty, what a lone row's classes say of the tests of all blocks.
pub(crate) struct MaskRow<'a, T> {
    pub(crate) ranks: &'a Ranks,
    pub(crate) masks: &'a ClassMasks,
    pub(crate) profile: NumericProfile,
    pub(crate) block: &'a Block<'a, T>,
    pub(crate) of_row: &'a mut Vec<Masks>,
}

impl<T: Input> Work for MaskRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, _: L) {
        let Self { ranks, masks, profile, block, of_row } = self;
        for (coded, feature) in ranks.coded.iter().enumerate() {
            let class = class_of(feature, profile, block.value(block.row(0)[feature.feature as usize]));
            let of_class = masks.of(coded, class);
            if coded == 0 {
                of_row.extend_from_slice(of_class);
                continue;
            }
            for (all, of_class) in of_row.as_flattened_mut().iter_mut().zip(of_class.as_flattened()) {
                *all |= of_class;
            }
        }
    }
}

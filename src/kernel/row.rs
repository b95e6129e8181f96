//! Single rows: ranks once, then walks through nodes of eight bytes, several trees at a time.
#![allow(unsafe_code, reason = "walks index nodes and bytes without checks; the layout bounds them")]

use super::Sum;
use super::rank::{is_nan, is_zero_or_nan};
use super::stage::Input;
use crate::ir::{Missing, NumericProfile};
use crate::layout::ranks::{CutTable, SEGMENT};
use crate::layout::row::{LANES, RowLayout, RowNode, WINDOW};

/// Adds the leaves of `row` to `sums`, one for every output. `bytes` is working memory.
pub(crate) fn add_row<T: Input, S: Sum>(
    layout: &RowLayout<S>,
    profile: NumericProfile,
    row: &[T],
    bytes: &mut Vec<u8>,
    sums: &mut [S],
) {
    bytes.resize(layout.n_columns.max(bytes.len()), 0);
    let bytes = &mut bytes[..layout.n_columns];
    rank_row(layout, profile, row, bytes);
    // The last place is that of lanes without a tree.
    let mut ends = [0u32; WINDOW + 1];
    let groups = layout.groups.chunks(WINDOW / LANES);
    for (outputs, groups) in layout.outputs.chunks(WINDOW).zip(groups) {
        for group in groups {
            let at = walk(&layout.nodes, group.roots, group.steps, bytes);
            for (place, at) in group.places.into_iter().zip(at) {
                ends[usize::from(place)] = at;
            }
        }
        match sums {
            // In a register, not in memory: additions wait for one another.
            [sum] => *sum = ends[..outputs.len()].iter().fold(*sum, |sum, &end| sum + layout.values[end as usize]),
            _ => {
                for (&output, &end) in outputs.iter().zip(&ends) {
                    sums[output as usize] += layout.values[end as usize];
                }
            }
        }
    }
}

/// Where walks have arrived after `steps` steps.
#[inline(always)]
fn walk(nodes: &[RowNode], roots: [u32; LANES], steps: u32, bytes: &[u8]) -> [u32; LANES] {
    let mut at = roots;
    for _ in 0..steps {
        for at in &mut at {
            // SAFETY: `RowLayout::new` numbers roots and children by the nodes it makes, and columns by those it counts,
            // for which `add_row` makes room.
            // BENEFIT: without checks a row of 500 trees of 31 leaves takes 0.6 of the time.
            unsafe {
                let node = nodes.get_unchecked(*at as usize);
                let byte = u16::from(*bytes.get_unchecked(usize::from(node.column)));
                *at = node.left + u32::from(byte >= node.from);
            }
        }
    }
    at
}

/// Writes the bytes of a row.
#[inline(always)]
fn rank_row<T: Input, S: 'static>(layout: &RowLayout<S>, profile: NumericProfile, row: &[T], bytes: &mut [u8]) {
    for feature in &layout.ranks.numeric {
        let x = row[feature.feature as usize];
        let table = T::table(&layout.ranks, feature);
        let rank = rank_one(x, table);
        for column in &feature.columns {
            let saturated = |rank: usize| rank.saturating_sub(column.segment as usize * SEGMENT).min(SEGMENT) as u8;
            bytes[column.index as usize] = match column.missing {
                Missing::Right if is_nan(x) => 255,
                Missing::AsZero if is_nan(x) => saturated(rank_one(T::ZERO, table)),
                Missing::ZeroLeft if is_zero_or_nan(x) => 0,
                Missing::ZeroRight if is_zero_or_nan(x) => 255,
                _ => saturated(rank),
            };
        }
    }
    for (feature, outcomes) in layout.ranks.coded.iter().zip(&layout.outcomes) {
        let x = row[feature.feature as usize];
        let class =
            if is_nan(x) { feature.nan } else { profile.category(x.to_f64()).map_or(0, |code| feature.class(code)) };
        let n = outcomes.n_tests;
        let of_class = &outcomes.by_class[usize::from(class) * n..][..n];
        bytes[outcomes.first_column..][..n].copy_from_slice(of_class);
    }
}

/// How many of the table's cuts `x` is greater than.
#[inline(always)]
fn rank_one<T: Input>(x: T, table: CutTable<'_, T>) -> usize {
    let mut at = 0;
    for level in (0..table.cuts.len().trailing_zeros()).rev() {
        // SAFETY: there are a power of two cuts, and every level adds at most its bit.
        let cut = unsafe { *table.cuts.get_unchecked(at + (1 << level) - 1) };
        at |= usize::from(x > cut) << level;
    }
    at
}

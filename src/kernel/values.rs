//! Single rows by their values: made ready in a few passes, then walked through nodes that compare with cuts.
#![allow(unsafe_code, reason = "walks index nodes and words without checks; the layout bounds them")]

use super::Sum;
use super::rank::{is_nan, is_zero_or_nan};
use super::row::{add_trees, code_value};
use super::stage::Input;
use crate::ir::{Missing, NumericProfile};
use crate::layout::row::RowLayout;
use crate::layout::values::{Planes, ValueLayout};

/// Adds the leaves of a row that has been made words of to `sums`, one for every output.
pub(crate) fn add_values<T: Input, S: Sum>(
    layout: &RowLayout<S>,
    values: &ValueLayout<T>,
    words: &[T],
    sums: &mut [S],
) {
    let words = &words[..values.planes.n_words];
    add_trees(layout, sums, |at| {
        // SAFETY: `ValueLayout::new` numbers words by those it counts, of which there are as many, and nodes as the row
        // layout does, by those there are.
        // BENEFIT: as in `row.rs`.
        unsafe { values.nodes.get_unchecked(at as usize).next(at, |word| *words.get_unchecked(word)) }
    });
}

/// Whether the words of a row are the row itself: of one plane, for which nothing is to be replaced.
pub(crate) fn are_the_row<T: Input>(planes: &Planes, row: &[T]) -> bool {
    let [missing] = planes.missing[..] else { return false };
    planes.n_words == row.len()
        && match missing {
            Missing::Left => true,
            Missing::Right | Missing::AsZero => !has(row, is_nan),
            Missing::ZeroLeft | Missing::ZeroRight => !has(row, is_zero_or_nan),
        }
}

/// Whether there is a value of that kind. Looks at all, several at a time.
#[inline(always)]
fn has<T: Input>(row: &[T], of: impl Fn(T) -> bool) -> bool {
    row.iter().fold(false, |has, &value| has | of(value))
}

/// Makes words of a row.
// Not a work of a level: the widest registers slow clocks down, and walks take most of the time.
pub(crate) fn make_words<T: Input, S>(
    layout: &RowLayout<S>,
    planes: &Planes,
    profile: NumericProfile,
    row: &[T],
    words: &mut Vec<T>,
) {
    words.resize(planes.n_words.max(words.len()), T::ZERO);
    for (plane, &missing) in planes.missing.iter().enumerate() {
        fill(&mut words[plane * row.len()..][..row.len()], row, missing);
    }
    let outcomes = &mut words[planes.first_outcome()..planes.n_words];
    for (feature, of_feature) in layout.ranks.coded.iter().zip(&*layout.outcomes) {
        let first = of_feature.first_word - layout.words.len();
        code_value(feature, of_feature, profile, row[feature.feature as usize], &mut outcomes[first..]);
    }
}

/// The row with what stands for its missing values, so that comparing sends them the way they go. NaN goes left itself.
#[inline(always)]
fn fill<T: Input>(plane: &mut [T], row: &[T], missing: Missing) {
    match missing {
        Missing::Left => plane.copy_from_slice(row),
        Missing::Right => replace(plane, row, T::INFINITY, is_nan),
        Missing::AsZero => replace(plane, row, T::ZERO, is_nan),
        Missing::ZeroLeft => replace(plane, row, T::NAN, is_zero_or_nan),
        Missing::ZeroRight => replace(plane, row, T::INFINITY, is_zero_or_nan),
    }
}

#[inline(always)]
fn replace<T: Input>(plane: &mut [T], row: &[T], by: T, of: impl Fn(T) -> bool) {
    for index in 0..plane.len().min(row.len()) {
        plane[index] = if of(row[index]) { by } else { row[index] };
    }
}

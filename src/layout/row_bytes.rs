//! How the values of a row become the bytes of its columns: each is the number of a column's cuts that a value is
//! greater than. As no column has more than 255, two looks at 16 cuts each find it.

use super::bytes::{ByteColumns, REGISTER};
use super::ranks::narrow;
use super::row::{RowLayout, WORD_SEGMENT};
use crate::ir::Missing;
use crate::ir::real::Real;

/// Cuts that a value is compared with at once.
pub(crate) const COUNTED: usize = 16;

/// The byte of missing values that go right: no test asks for more.
const GREATEST: u8 = u8::MAX;

/// What the bytes of a row are made of.
#[derive(Debug)]
pub(crate) struct RowBytes {
    /// Registers of 16 columns.
    pub(crate) n_registers: usize,
    /// Columns of ranks, by how they are searched.
    pub(crate) ranked: Vec<RankedColumn>,
    /// Where those end that are searched so, in the order of [`Search::ALL`].
    pub(crate) ends: [usize; 3],
    /// Columns of outcomes of category tests.
    pub(crate) outcomes: Vec<OutcomeColumn>,
    pub(crate) f32: Vec<Cuts<f32>>,
    /// Empty if no row is of f64 values.
    pub(crate) f64: Vec<Cuts<f64>>,
}

/// A column that is the rank of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RankedColumn {
    pub(crate) feature: u32,
    /// The first of its cuts.
    pub(crate) cuts: u32,
    pub(crate) column: u16,
    /// The byte of a missing value.
    pub(crate) of_missing: u8,
    /// Whether values of magnitude at most 1e-35 are missing.
    pub(crate) zero_is_missing: bool,
}

/// How the rank of a value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Search {
    /// Among 16 cuts.
    One,
    /// Among twice as many.
    Two,
    /// Among every 16th of 256 cuts first, then among the 16 that tell on.
    Pivots,
}

impl Search {
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Pivots];

    fn of(n_cuts: usize) -> Self {
        match n_cuts.div_ceil(COUNTED) {
            0 | 1 => Self::One,
            2 => Self::Two,
            _ => Self::Pivots,
        }
    }
}

/// A column that is a word of the row: the outcome of a category test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutcomeColumn {
    pub(crate) column: u16,
    pub(crate) word: u16,
}

/// Ascending; infinity where there is none.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Cuts<T>(pub(crate) [T; COUNTED]);

impl RowBytes {
    /// For the columns of words of `layout`.
    ///
    /// Cost: a look at the cuts of all columns.
    pub(super) fn new<S>(columns: &ByteColumns, layout: &RowLayout<S>) -> Self {
        let (mut ranked, mut outcomes) = (Vec::new(), Vec::new());
        for (column, of_column) in (0..).zip(&columns.columns) {
            match layout.words.get(usize::from(of_column.word)) {
                // Nothing is greater than no cut, whatever the feature.
                _ if of_column.last == 0 => ranked.push((column, 0, Missing::Left, Vec::new())),
                None => outcomes.push(OutcomeColumn { column, word: of_column.word }),
                Some(word) => {
                    let feature = &layout.ranks.numeric[word.numeric as usize];
                    let all = layout.ranks.cuts(feature);
                    let first = word.segment as usize * WORD_SEGMENT;
                    let cuts = columns.cuts(of_column).map(|cut| all[first + cut]).collect();
                    ranked.push((column, feature.feature, word.missing, cuts));
                }
            }
        }
        ranked.sort_by_key(|of_column| Search::of(of_column.3.len()));
        let end_of = |search| ranked.partition_point(|of_column| Search::of(of_column.3.len()) <= search);
        let ends = Search::ALL.map(end_of);
        let (mut f32, mut f64) = (Vec::new(), Vec::new());
        let columns_of = |(column, feature, missing, cuts): (_, _, _, Vec<f64>)| {
            let first = f32.len() as u32;
            push(&mut f32, cuts.iter().map(|&cut| narrow(cut)));
            if layout.ranks.is_wide() {
                push(&mut f64, cuts.iter().copied());
            }
            let (of_missing, zero_is_missing) = match missing {
                Missing::Left => (0, false),
                Missing::Right => (GREATEST, false),
                Missing::AsZero => (cuts.iter().filter(|&&cut| cut < 0.0).count() as u8, false),
                Missing::ZeroLeft => (0, true),
                Missing::ZeroRight => (GREATEST, true),
            };
            RankedColumn { feature, cuts: first, column, of_missing, zero_is_missing }
        };
        let ranked = ranked.into_iter().map(columns_of).collect();
        let n_registers = columns.columns.len().div_ceil(REGISTER);
        Self { n_registers, ranked, ends, outcomes, f32, f64 }
    }

    /// Bytes the arrays hold.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.ranked) + size_of_val(&*self.outcomes) + size_of_val(&*self.f32) + size_of_val(&*self.f64)
    }
}

/// Adds the cuts of a column, behind the pivots of its search if it has any.
fn push<T: Real>(to: &mut Vec<Cuts<T>>, cuts: impl ExactSizeIterator<Item = T>) {
    let search = Search::of(cuts.len());
    let n_blocks = match search {
        Search::One => 1,
        Search::Two => 2,
        // A value may be greater than all cuts.
        Search::Pivots => cuts.len() / COUNTED + 1,
    };
    let mut blocks = vec![Cuts([T::INFINITY; COUNTED]); n_blocks];
    for (at, cut) in cuts.enumerate() {
        blocks[at / COUNTED].0[at % COUNTED] = cut;
    }
    if search == Search::Pivots {
        let mut pivots = [T::INFINITY; COUNTED];
        for (pivot, block) in pivots.iter_mut().zip(&blocks) {
            *pivot = block.0[COUNTED - 1];
        }
        to.push(Cuts(pivots));
    }
    to.extend(blocks);
}

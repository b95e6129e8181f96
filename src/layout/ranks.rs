//! Ranks: every value replaced by its position among the model's own cut points.
//!
//! A split asks whether `x > cut`; with the distinct cuts of a feature in ascending order and `rank(x)` the number of
//! cuts below `x`, that is `rank(x) > index of the cut`. Exact, and a rank fits a byte.
//!
//! * A *column* is a feature's ranks as bytes. A feature of more than 255 cuts has several *segments* of 255, each a
//!   column of saturated ranks.
//! * Missing values need no test later: they have the least or the greatest rank of a column, and a feature some of
//!   whose splits send them left and some right has a column for each.
//! * A category feature has a column pair: its codes, reduced to the classes that the model's sets can tell apart.

use std::ops::Range;

use super::classes::{Classes, MAX_CLASSES, SetAndNan};
use crate::error::{Error, Result};
use crate::ir::Missing;
use crate::ir::real::Real;
use crate::store::{Array, Reader, Stored, Writer};

/// Cuts of a segment: ranks 0 to 255 tell them apart.
pub(crate) const SEGMENT: usize = 255;

/// How the values of a forest become byte columns.
#[derive(Debug, PartialEq)]
pub(crate) struct Ranks {
    pub(crate) numeric: Vec<RankedFeature>,
    /// Of all numeric features, by their index.
    columns: Vec<Column>,
    pub(crate) coded: Vec<CodedFeature>,
    /// Cuts for rows of f32 values.
    f32: Cuts<f32>,
    /// Cuts for rows of f64 values; `None` if the forest rounds them to f32 first.
    f64: Option<Cuts<f64>>,
    pub(crate) n_columns: usize,
}

/// A feature that some split compares with a threshold.
#[derive(Debug, PartialEq)]
pub(crate) struct RankedFeature {
    pub(crate) feature: u32,
    /// Where its cuts lie in [`Cuts`].
    start: usize,
    n_cuts: usize,
    /// Its cuts, padded to this power of two.
    padded: usize,
    /// Whether its cuts, each rounded down to an f32, are distinct.
    distinct: bool,
    /// Those of its columns.
    columns: Range<usize>,
}

/// A column of a ranked feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) index: u32,
    pub(crate) segment: u32,
    pub(crate) missing: Missing,
}

/// A feature that some split tests for membership in a set.
#[derive(Debug, PartialEq)]
pub(crate) struct CodedFeature {
    pub(crate) feature: u32,
    /// The class of every code that some set holds, by ascending code; 0 for the others.
    pub(crate) classes: Vec<(u32, u16)>,
    /// The class of codes below its length: the same, in a table.
    pub(crate) dense: Vec<u16>,
    /// The class of NaN.
    pub(crate) nan: u16,
    pub(crate) n_classes: usize,
    /// The first of its column pairs, one for every 256 classes: byte and bit of the class in a set of 256 bits.
    pub(crate) first_column: u32,
}

/// Cuts of all features, each padded with infinity to a power of two, behind the pivots of its search.
#[derive(Debug, Default, PartialEq)]
struct Cuts<T> {
    values: Vec<T>,
}

/// The cuts of one feature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutTable<'a, T> {
    /// Ascending; a power of two of them, at least 16; the last is infinite.
    pub(crate) cuts: &'a [T],
    /// Every so many-th cut, such that [`PIVOTS`] of them lie evenly among the cuts; the cuts themselves if they are no
    /// more.
    pub(crate) pivots: &'a [T],
    /// Cuts and pivots, each rounded down to an f32, if they are distinct: a search among them is off by at most the
    /// cut that it ends at.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "wide registers gain by it"))]
    pub(crate) narrow: Option<Narrow<'a>>,
}

/// Cuts that are looked for when they are needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Narrow<'a> {
    cuts: &'a Cuts<f32>,
    feature: &'a RankedFeature,
}

impl<'a> Narrow<'a> {
    /// Cuts and pivots.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "see `CutTable`"))]
    #[inline(always)]
    pub(crate) fn table(self) -> (&'a [f32], &'a [f32]) {
        self.cuts.of(self.feature)
    }
}

/// Pivots of a search. As many as registers hold: 32 of f32, 16 of f64 would do.
pub(crate) const PIVOTS: usize = 32;

impl<T> Cuts<T> {
    /// Cuts and pivots of a feature.
    #[inline(always)]
    fn of(&self, feature: &RankedFeature) -> (&[T], &[T]) {
        let pivots = feature.padded.min(PIVOTS);
        let behind = if feature.padded > PIVOTS { PIVOTS } else { 0 };
        let cuts = &self.values[feature.start + behind..][..feature.padded];
        (cuts, &self.values[feature.start..][..pivots])
    }
}

impl Ranks {
    /// The columns of a feature.
    #[inline(always)]
    pub(crate) fn columns_of(&self, feature: &RankedFeature) -> &[Column] {
        &self.columns[feature.columns.clone()]
    }

    /// The cuts of a feature for rows of f32 values.
    #[inline(always)]
    pub(crate) fn table_f32(&self, feature: &RankedFeature) -> CutTable<'_, f32> {
        let (cuts, pivots) = self.f32.of(feature);
        CutTable { cuts, pivots, narrow: None }
    }

    /// The cuts of a feature for rows of f64 values, of a forest that reads f64.
    #[inline(always)]
    pub(crate) fn table_f64<'a>(&'a self, feature: &'a RankedFeature) -> CutTable<'a, f64> {
        let wide = self.f64.as_ref().expect("forests that read f64 keep their cuts in f64");
        let (cuts, pivots) = wide.of(feature);
        CutTable { cuts, pivots, narrow: feature.distinct.then_some(Narrow { cuts: &self.f32, feature }) }
    }
}

impl<T: Real> Cuts<T> {
    /// Adds the cuts of a feature; where they start.
    fn push(&mut self, cuts: impl Iterator<Item = T>, padded: usize) -> usize {
        let start = self.values.len();
        if padded > PIVOTS {
            self.values.resize(start + PIVOTS, T::INFINITY);
        }
        let first = self.values.len();
        self.values.extend(cuts);
        self.values.resize(first + padded, T::INFINITY);
        if padded > PIVOTS {
            let every = padded / PIVOTS;
            for pivot in 0..PIVOTS - 1 {
                self.values[start + pivot] = self.values[first + (pivot + 1) * every - 1];
            }
        }
        first
    }
}

impl Ranks {
    /// Ranks of no feature; `is_wide` if rows are of f64 values.
    pub(super) fn empty(is_wide: bool) -> Self {
        let (numeric, columns, coded) = Default::default();
        Self { numeric, columns, coded, f32: Cuts::default(), f64: is_wide.then(Cuts::default), n_columns: 0 }
    }

    /// Adds a column of the numeric feature that is added next; its index.
    pub(super) fn push_column(&mut self, segment: u32, missing: Missing) -> u32 {
        let index = self.n_columns as u32;
        self.columns.push(Column { index, segment, missing });
        self.n_columns += 1;
        index
    }

    /// Adds a feature with its distinct cuts, ascending, and the columns that were added before.
    pub(super) fn push_numeric(&mut self, feature: u32, cuts: &[f64]) {
        // One more than there are cuts, since a rank may be their number.
        let padded = (cuts.len() + 1).next_power_of_two().max(16);
        let start = self.f32.values.len();
        let first = self.f32.push(cuts.iter().map(|&cut| narrow(cut)), padded);
        if let Some(wide) = &mut self.f64 {
            wide.push(cuts.iter().copied(), padded);
        }
        let distinct = self.f32.values[first..][..cuts.len()].windows(2).all(|pair| pair[0] < pair[1]);
        let columns = self.numeric.last().map_or(0, |last| last.columns.end)..self.columns.len();
        self.numeric.push(RankedFeature { feature, start, n_cuts: cuts.len(), padded, distinct, columns });
    }

    /// Adds a feature of categories; all numeric features are there.
    pub(super) fn push_coded(&mut self, coded: CodedFeature) {
        let first_column = self.n_columns as u32;
        self.n_columns += 2 * coded.n_segments();
        self.coded.push(CodedFeature { first_column, ..coded });
    }

    /// Columns of numeric features; those of categories follow.
    pub(crate) fn n_numeric(&self) -> usize {
        self.columns.len()
    }

    /// Whether the tables are for rows of f64 values too.
    pub(super) fn is_wide(&self) -> bool {
        self.f64.is_some()
    }

    /// The cuts of a feature, in the type that rows are rounded to.
    pub(super) fn cuts(&self, feature: &RankedFeature) -> Vec<f64> {
        match &self.f64 {
            Some(wide) => wide.of(feature).0[..feature.n_cuts].to_vec(),
            None => self.f32.of(feature).0[..feature.n_cuts].iter().map(|&cut| cut.into()).collect(),
        }
    }

    /// The last of them.
    pub(super) fn greatest_cut(&self, feature: &RankedFeature) -> f64 {
        let last = feature.n_cuts - 1;
        self.f64.as_ref().map_or_else(|| self.f32.of(feature).0[last].into(), |wide| wide.of(feature).0[last])
    }

    /// Bytes the tables hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        let codes: usize =
            self.coded.iter().map(|coded| size_of_val(&*coded.dense) + size_of_val(&*coded.classes)).sum();
        let wide = self.f64.as_ref().map_or(0, |cuts| size_of_val(&*cuts.values));
        codes + size_of_val(&*self.columns) + size_of_val(&*self.numeric) + size_of_val(&*self.f32.values) + wide
    }
}

impl CodedFeature {
    /// A feature whose categories are in `sets`, and for each set and segment the classes that are in it.
    pub(super) fn of_sets(feature: u32, sets: &[SetAndNan<'_>]) -> (Self, Vec<[u8; 32]>) {
        let classes = Classes::of(sets);
        let n_segments = classes.n_classes.div_ceil(256);
        let mut left = vec![[0; 32]; sets.len() * n_segments];
        for (&set, left) in sets.iter().zip(left.chunks_exact_mut(n_segments)) {
            classes.mark(set, left);
        }
        let Classes { of_codes, nan, n_classes, .. } = classes;
        (Self::of_classes(feature, of_codes, nan, n_classes), left)
    }

    /// A feature whose columns have no place yet.
    fn of_classes(feature: u32, classes: Vec<(u32, u16)>, nan: u16, n_classes: usize) -> Self {
        let table = classes.last().map_or(0, |&(code, _)| (code as usize + 1).min(DENSE_CODES));
        let mut dense = vec![0; table];
        for &(code, class) in classes.iter().take_while(|&&(code, _)| (code as usize) < DENSE_CODES) {
            dense[code as usize] = class;
        }
        Self { feature, classes, dense, nan, n_classes, first_column: 0 }
    }

    /// Column pairs: one for every 256 classes.
    pub(crate) fn n_segments(&self) -> usize {
        self.n_classes.div_ceil(256)
    }

    /// The class of a category code.
    #[inline]
    pub(crate) fn class(&self, code: u32) -> u16 {
        match self.dense.get(code as usize) {
            Some(&class) => class,
            None if self.dense.len() < DENSE_CODES => 0,
            None => self.classes.binary_search_by_key(&code, |of| of.0).map_or(0, |at| self.classes[at].1),
        }
    }
}

/// Codes below this are looked up in a table, others in a map.
const DENSE_CODES: usize = 1 << 16;

/// The greatest f32 that is at most `cut`: no f32 lies between them.
pub(super) fn narrow(cut: f64) -> f32 {
    let nearest = cut as f32;
    if f64::from(nearest) <= cut { nearest } else { nearest.next_down() }
}

impl Stored for Ranks {
    fn put(&self, to: &mut Writer) {
        self.f64.is_some().put(to);
        self.numeric.len().put(to);
        for feature in &self.numeric {
            feature.feature.put(to);
            Array::from(self.cuts(feature)).put(to);
            let columns = self.columns_of(feature).iter().map(|column| (column.segment, column.missing));
            columns.collect::<Vec<_>>().put(to);
        }
        self.coded.put(to);
    }

    /// Cost: the tables are made again.
    fn get(from: &mut Reader) -> Result<Self> {
        let wrong = |finding: &str| Error::invalid_model(format!("ranks: {finding}"));
        let is_wide = bool::get(from)?;
        let mut ranks = Self::empty(is_wide);
        for _ in 0..usize::get(from)? {
            let feature = u32::get(from)?;
            if ranks.numeric.last().is_some_and(|last| last.feature >= feature) {
                return Err(wrong("features out of order"));
            }
            let cuts: Array<f64> = Stored::get(from)?;
            // NaN is above nothing and below nothing.
            if cuts.is_empty() || !cuts.windows(2).all(|pair| pair[0] < pair[1]) || cuts[0].is_nan() {
                return Err(wrong("cuts out of order"));
            }
            let columns: Vec<(u32, Missing)> = Stored::get(from)?;
            let n_segments = cuts.len().div_ceil(SEGMENT);
            if columns.is_empty() || columns.iter().any(|column| column.0 as usize >= n_segments) {
                return Err(wrong("a column of cuts that are not there"));
            }
            for (segment, missing) in columns {
                ranks.push_column(segment, missing);
            }
            ranks.push_numeric(feature, &cuts);
        }
        <Vec<CodedFeature>>::get(from)?.into_iter().for_each(|coded| ranks.push_coded(coded));
        Ok(ranks)
    }
}

impl Stored for CodedFeature {
    fn put(&self, to: &mut Writer) {
        self.feature.put(to);
        self.classes.put(to);
        (self.nan, self.n_classes).put(to);
    }

    fn get(from: &mut Reader) -> Result<Self> {
        let feature = u32::get(from)?;
        let classes: Vec<(u32, u16)> = Stored::get(from)?;
        let (nan, n_classes): (u16, usize) = Stored::get(from)?;
        let known = |class: u16| usize::from(class) < n_classes;
        if n_classes >= MAX_CLASSES || !known(nan) || !classes.iter().all(|&(_, class)| known(class)) {
            return Err(Error::invalid_model("ranks: a class of categories that is not there"));
        }
        if !classes.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Error::invalid_model("ranks: categories out of order"));
        }
        Ok(Self::of_classes(feature, classes, nan, n_classes))
    }
}

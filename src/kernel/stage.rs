//! The input layer: rows as the caller has them become rows as the trees read them.
//!
//! A block is row-major and of the profile's input type. Rows that are so already, and need no value changed, are
//! read where they lie.

use std::ops::Range;

use ndarray::ArrayView2;

use super::level::{Counted, Level, Panel};
use super::{Buffers, CHUNK};
use crate::ir::real::Real;
use crate::ir::{Absent, Forest, ZERO_THRESHOLD};
use crate::layout::ranks::{CutTable, RankedFeature, Ranks};
use crate::layout::row_bytes::{Cuts, RowBytes};
use crate::rows::{Batch, Csr, Dense, Flat};

/// What happens to values before the trees see them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputRule<T> {
    n_features: usize,
    /// A value that stands for a missing one.
    sentinel: Option<T>,
    /// Dense values of magnitude at most 1e-35 become 0.0.
    flush_tiny: bool,
    /// What an entry that a sparse row does not list stands for.
    absent: T,
}

/// Row-major rows in the input type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) n_rows: usize,
    pub(crate) n_features: usize,
    /// Whether values of magnitude at most 1e-35 are still to be read as 0.0.
    pub(crate) flush_tiny: bool,
}

impl<'a, T> Block<'a, T> {
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a [T] {
        &self.values[row * self.n_features..][..self.n_features]
    }

    /// A value of its, as trees read it.
    #[inline(always)]
    pub(crate) fn value(&self, value: T) -> T
    where
        T: Input,
    {
        if self.flush_tiny { flush(value) } else { value }
    }

    /// Some of its rows.
    #[inline(always)]
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        let values = &self.values[rows.start * self.n_features..rows.end * self.n_features];
        Self { values, n_rows: rows.len(), ..*self }
    }
}

/// The value, or 0.0 if its magnitude is at most 1e-35.
#[inline(always)]
pub(super) fn flush<T: Input>(value: T) -> T {
    let threshold = T::from_f64(ZERO_THRESHOLD);
    if value <= threshold && value >= -threshold { T::ZERO } else { value }
}

/// The float types a forest may read.
pub(crate) trait Input: Real + Counted + From<u8> {
    /// The rows where they lie, if they are row-major and of this type.
    fn in_place<'a>(dense: &Dense<'a>) -> Option<&'a [Self]>;
    /// Where rows of this type are staged.
    fn buffer(buffers: &mut Buffers) -> &mut Vec<Self>;
    /// Where a row of this type is made ready for walks.
    fn words(buffers: &mut Buffers) -> &mut Vec<Self>;
    /// The cuts of a feature for rows of this type.
    fn table<'a>(ranks: &'a Ranks, feature: &'a RankedFeature) -> CutTable<'a, Self>;
    /// The cuts of columns for rows of this type.
    fn cuts(columns: &RowBytes) -> &[Cuts<Self>];
    /// [`PANEL`] adjacent columns of row-major rows, from column `first`.
    fn transpose<L: Level>(level: L, values: &[Self], stride: usize, first: usize, panel: &mut Panel<Self>);
    /// How many of the table's cuts each value is greater than; none for NaN.
    fn rank<L: Level>(level: L, values: &[Self; CHUNK], table: CutTable<'_, Self>) -> [u32; CHUNK];
}

impl Input for f32 {
    #[inline(always)]
    fn in_place<'a>(dense: &Dense<'a>) -> Option<&'a [Self]> {
        match dense {
            Dense::F32(view) => view.to_slice(),
            Dense::F64(_) => None,
        }
    }

    fn buffer(buffers: &mut Buffers) -> &mut Vec<Self> {
        &mut buffers.staged_f32
    }

    fn words(buffers: &mut Buffers) -> &mut Vec<Self> {
        &mut buffers.words_f32
    }

    #[inline(always)]
    fn table<'a>(ranks: &'a Ranks, feature: &'a RankedFeature) -> CutTable<'a, Self> {
        ranks.table_f32(feature)
    }

    #[inline(always)]
    fn cuts(columns: &RowBytes) -> &[Cuts<Self>] {
        &columns.f32
    }

    #[inline(always)]
    fn transpose<L: Level>(level: L, values: &[Self], stride: usize, first: usize, panel: &mut Panel<Self>) {
        level.transpose_f32(values, stride, first, panel);
    }

    #[inline(always)]
    fn rank<L: Level>(level: L, values: &[Self; CHUNK], table: CutTable<'_, Self>) -> [u32; CHUNK] {
        level.rank_f32(values, table)
    }
}

impl Input for f64 {
    #[inline(always)]
    fn in_place<'a>(dense: &Dense<'a>) -> Option<&'a [Self]> {
        match dense {
            Dense::F64(view) => view.to_slice(),
            Dense::F32(_) => None,
        }
    }

    fn buffer(buffers: &mut Buffers) -> &mut Vec<Self> {
        &mut buffers.staged_f64
    }

    fn words(buffers: &mut Buffers) -> &mut Vec<Self> {
        &mut buffers.words_f64
    }

    #[inline(always)]
    fn table<'a>(ranks: &'a Ranks, feature: &'a RankedFeature) -> CutTable<'a, Self> {
        ranks.table_f64(feature)
    }

    #[inline(always)]
    fn cuts(columns: &RowBytes) -> &[Cuts<Self>] {
        &columns.f64
    }

    #[inline(always)]
    fn transpose<L: Level>(level: L, values: &[Self], stride: usize, first: usize, panel: &mut Panel<Self>) {
        level.transpose_f64(values, stride, first, panel);
    }

    #[inline(always)]
    fn rank<L: Level>(level: L, values: &[Self; CHUNK], table: CutTable<'_, Self>) -> [u32; CHUNK] {
        level.rank_f64(values, table)
    }
}

impl<T: Input> InputRule<T> {
    /// The rule of `forest`, with `sentinel` read as missing.
    pub(crate) fn new(forest: &Forest, sentinel: Option<f64>) -> Self {
        Self {
            n_features: forest.n_features(),
            sentinel: sentinel.filter(|value| !value.is_nan()).map(T::from_f64),
            // Where flushing changes no outcome the rows can stay where they are.
            flush_tiny: forest.flushes_tiny(),
            absent: match forest.profile().absent {
                Absent::Missing => T::NAN,
                Absent::Zero => T::ZERO,
            },
        }
    }

    /// `rows` of the batch as trees read them, in `buffer` unless they can be read in place.
    pub(crate) fn stage<'s, 'b: 's>(
        &self,
        batch: &Batch<'b>,
        rows: Range<usize>,
        buffer: &'s mut Vec<T>,
    ) -> Block<'s, T> {
        match self.in_place(batch, &rows) {
            Some(block) if !block.flush_tiny => block,
            _ => self.copy(batch, rows, buffer),
        }
    }

    /// The same, but for tiny values, which whoever ranks the rows has to flush where the block says so.
    pub(crate) fn stage_to_rank<'s, 'b: 's>(
        &self,
        batch: &Batch<'b>,
        rows: Range<usize>,
        buffer: &'s mut Vec<T>,
    ) -> Block<'s, T> {
        self.in_place(batch, &rows).unwrap_or_else(|| self.copy(batch, rows, buffer))
    }

    fn copy<'s>(&self, batch: &Batch<'_>, rows: Range<usize>, buffer: &'s mut Vec<T>) -> Block<'s, T> {
        let n_rows = rows.len();
        buffer.clear();
        buffer.resize(rows.len() * self.n_features, self.absent);
        match batch {
            Batch::Dense(Dense::F32(view)) => self.copy_dense(view, rows, buffer),
            Batch::Dense(Dense::F64(view)) => self.copy_dense(view, rows, buffer),
            Batch::Sparse(csr) => match csr.values {
                Flat::F32(values) => self.copy_sparse(csr, values, rows, buffer),
                Flat::F64(values) => self.copy_sparse(csr, values, rows, buffer),
            },
        }
        Block { values: buffer, n_rows, n_features: self.n_features, flush_tiny: false }
    }

    /// Rows of values of type `V` where they lie, if they need no change but perhaps for tiny values.
    ///
    /// Always inlined, so that the block is not copied: a lone row would wait for that.
    #[inline(always)]
    pub(crate) fn in_place<'b, V: Input>(&self, batch: &Batch<'b>, rows: &Range<usize>) -> Option<Block<'b, V>> {
        let Batch::Dense(dense) = batch else { return None };
        if self.sentinel.is_some() {
            return None;
        }
        let values = &V::in_place(dense)?[rows.start * self.n_features..rows.end * self.n_features];
        Some(Block { values, n_rows: rows.len(), n_features: self.n_features, flush_tiny: self.flush_tiny })
    }

    fn copy_dense<V: Real>(&self, view: &ArrayView2<'_, V>, rows: Range<usize>, buffer: &mut [T]) {
        for (row, staged) in rows.zip(buffer.chunks_exact_mut(self.n_features.max(1))) {
            for (value, staged) in view.row(row).iter().zip(staged) {
                let value = self.convert(*value);
                *staged = if self.flush_tiny { flush(value) } else { value };
            }
        }
    }

    fn copy_sparse<V: Real>(&self, csr: &Csr<'_>, values: &[V], rows: Range<usize>, buffer: &mut [T]) {
        for (row, staged) in rows.zip(buffer.chunks_exact_mut(self.n_features.max(1))) {
            let entries = csr.indptr[row]..csr.indptr[row + 1];
            for (&column, &value) in csr.indices[entries.clone()].iter().zip(&values[entries]) {
                staged[column as usize] = self.convert(value);
            }
        }
    }

    /// Rounds to the input type, then reads the sentinel as missing: XGBoost's order.
    fn convert<V: Real>(&self, value: V) -> T {
        let value = T::from_f64(value.to_f64());
        if self.sentinel == Some(value) { T::NAN } else { value }
    }
}

//! Rows that outlive their caller's borrow: copied once when a request has to wait, and put together for a batch.

use std::ops::Range;

use ndarray::ArrayView2;

use super::buffers::{Element, MemoryPool, PoolVec};
use crate::rows::{Batch, Csr, Dense, Flat, Rows, Value};

/// Owned rows: dense and row-major, or compressed sparse rows.
#[derive(Debug)]
pub(crate) enum Payload {
    DenseF32(DenseRows<f32>),
    DenseF64(DenseRows<f64>),
    SparseF32(SparseRows<f32>),
    SparseF64(SparseRows<f64>),
}

#[derive(Debug)]
pub(crate) struct DenseRows<T: Element> {
    n_rows: usize,
    values: PoolVec<T>,
}

/// The entries of row `r` are `indptr[r]..indptr[r + 1]`; `indptr` starts at 0.
#[derive(Debug)]
pub(crate) struct SparseRows<T: Element> {
    indptr: PoolVec<usize>,
    indices: PoolVec<u32>,
    values: PoolVec<T>,
}

/// Number of kinds: types and layouts of rows that can share a batch only among themselves.
pub(crate) const KINDS: usize = 4;

/// The kind of a caller's rows.
pub(crate) fn kind_of(batch: &Batch<'_>) -> usize {
    match batch {
        Batch::Dense(Dense::F32(_)) => 0,
        Batch::Dense(Dense::F64(_)) => 1,
        Batch::Sparse(Csr { values: Flat::F32(_), .. }) => 2,
        Batch::Sparse(Csr { values: Flat::F64(_), .. }) => 3,
    }
}

impl Payload {
    /// An empty payload of a kind.
    pub(crate) fn empty(kind: usize, pool: &MemoryPool) -> Self {
        match kind {
            0 => Self::DenseF32(DenseRows::with_room(0, pool)),
            1 => Self::DenseF64(DenseRows::with_room(0, pool)),
            2 => Self::SparseF32(SparseRows::new(pool)),
            _ => Self::SparseF64(SparseRows::new(pool)),
        }
    }

    /// A copy of a caller's rows.
    pub(crate) fn copy_of(batch: &Batch<'_>, pool: &MemoryPool) -> Self {
        let mut payload = match batch {
            Batch::Dense(Dense::F32(view)) => Self::DenseF32(DenseRows::with_room(view.len(), pool)),
            Batch::Dense(Dense::F64(view)) => Self::DenseF64(DenseRows::with_room(view.len(), pool)),
            Batch::Sparse(_) => Self::empty(kind_of(batch), pool),
        };
        payload.push(batch);
        payload
    }

    /// A copy of some of a caller's rows.
    pub(crate) fn copy_some(batch: &Batch<'_>, rows: &[usize], pool: &MemoryPool) -> Self {
        if rows.len() == batch.n_rows() {
            return Self::copy_of(batch, pool);
        }
        let mut payload = Self::empty(kind_of(batch), pool);
        rows.iter().for_each(|&row| payload.push(&batch.slice(row..row + 1)));
        payload
    }

    /// Appends a copy of a caller's rows, which are of the same kind.
    fn push(&mut self, batch: &Batch<'_>) {
        match (self, batch) {
            (Self::DenseF32(rows), Batch::Dense(Dense::F32(view))) => rows.copy(view),
            (Self::DenseF64(rows), Batch::Dense(Dense::F64(view))) => rows.copy(view),
            (Self::SparseF32(rows), Batch::Sparse(Csr { indptr, indices, values: Flat::F32(values), .. })) => {
                rows.append(indptr, indices, values);
            }
            (Self::SparseF64(rows), Batch::Sparse(Csr { indptr, indices, values: Flat::F64(values), .. })) => {
                rows.append(indptr, indices, values);
            }
            _ => unreachable!("a payload has one kind of rows"),
        }
    }

    /// Which payloads can be put together: those of the same kind.
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::DenseF32(_) => 0,
            Self::DenseF64(_) => 1,
            Self::SparseF32(_) => 2,
            Self::SparseF64(_) => 3,
        }
    }

    pub(crate) fn n_rows(&self) -> usize {
        match self {
            Self::DenseF32(rows) => rows.n_rows,
            Self::DenseF64(rows) => rows.n_rows,
            Self::SparseF32(rows) => rows.n_rows(),
            Self::SparseF64(rows) => rows.n_rows(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::DenseF32(rows) => size_of_val(&*rows.values),
            Self::DenseF64(rows) => size_of_val(&*rows.values),
            Self::SparseF32(rows) => rows.bytes(),
            Self::SparseF64(rows) => rows.bytes(),
        }
    }

    /// A range of its rows, of `n_features` columns.
    pub(crate) fn rows(&self, range: Range<usize>, n_features: usize) -> Rows<'_> {
        match self {
            Self::DenseF32(rows) => rows.view(range, n_features).into(),
            Self::DenseF64(rows) => rows.view(range, n_features).into(),
            Self::SparseF32(rows) => rows.view(range, n_features),
            Self::SparseF64(rows) => rows.view(range, n_features),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::DenseF32(rows) => rows.clear(),
            Self::DenseF64(rows) => rows.clear(),
            Self::SparseF32(rows) => rows.clear(),
            Self::SparseF64(rows) => rows.clear(),
        }
    }

    /// Appends a range of another's rows, which is of the same kind.
    pub(crate) fn append(&mut self, other: &Self, range: Range<usize>, n_features: usize) {
        match (self, other) {
            (Self::DenseF32(rows), Self::DenseF32(other)) => rows.append(other, range, n_features),
            (Self::DenseF64(rows), Self::DenseF64(other)) => rows.append(other, range, n_features),
            (Self::SparseF32(rows), Self::SparseF32(other)) => {
                rows.append(&other.indptr[range.start..=range.end], &other.indices, &other.values);
            }
            (Self::SparseF64(rows), Self::SparseF64(other)) => {
                rows.append(&other.indptr[range.start..=range.end], &other.indices, &other.values);
            }
            _ => unreachable!("a batch has one kind of rows"),
        }
    }
}

impl<T: Value + Element> DenseRows<T> {
    /// No rows yet, and room for so many values.
    fn with_room(values: usize, pool: &MemoryPool) -> Self {
        Self { n_rows: 0, values: pool.vec(values) }
    }

    fn copy(&mut self, view: &ArrayView2<'_, T>) {
        self.n_rows += view.nrows();
        match view.to_slice() {
            Some(values) => self.values.extend_from_slice(values),
            None => self.values.extend(view.iter().copied()),
        }
    }

    fn append(&mut self, other: &Self, range: Range<usize>, n_features: usize) {
        self.n_rows += range.len();
        self.values.extend_from_slice(&other.values[range.start * n_features..range.end * n_features]);
    }

    fn view(&self, range: Range<usize>, n_features: usize) -> ArrayView2<'_, T> {
        let values = &self.values[range.start * n_features..range.end * n_features];
        ArrayView2::from_shape((range.len(), n_features), values).expect("as many values as the shape says")
    }

    fn clear(&mut self) {
        self.n_rows = 0;
        self.values.clear();
    }
}

impl<T: Value + Element> SparseRows<T> {
    fn new(pool: &MemoryPool) -> Self {
        let mut indptr = pool.vec(1);
        indptr.extend_from_slice(&[0]);
        Self { indptr, indices: pool.vec(0), values: pool.vec(0) }
    }

    fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.indptr) + size_of_val(&*self.indices) + size_of_val(&*self.values)
    }

    /// Appends the rows between the bounds `indptr`, positions in `indices` and `values`.
    fn append(&mut self, indptr: &[usize], indices: &[u32], values: &[T]) {
        let (Some(&first), Some(&last)) = (indptr.first(), indptr.last()) else { return };
        let shift = self.indices.len();
        self.indptr.extend(indptr[1..].iter().map(|end| end - first + shift));
        self.indices.extend_from_slice(&indices[first..last]);
        self.values.extend_from_slice(&values[first..last]);
    }

    fn view(&self, range: Range<usize>, n_columns: usize) -> Rows<'_> {
        let indptr = &self.indptr[range.start..=range.end];
        Csr { n_columns, indptr, indices: &self.indices, values: T::flat(&self.values) }.into()
    }

    fn clear(&mut self) {
        self.indptr.truncate(1);
        self.indices.clear();
        self.values.clear();
    }
}

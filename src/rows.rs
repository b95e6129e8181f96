//! Borrowed input rows: dense in any memory order, compressed sparse rows, or columns of several types. NaN means
//! missing.
//!
//! [`Rows`] only describes where values lie; it copies nothing. What an *absent* entry of a sparse row means is the
//! model's business (missing for XGBoost, 0.0 for LightGBM), so a kernel, not this module, decides it.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{ArrayView2, s};

use crate::error::{Error, Result};
use crate::strings::Strings;

/// A batch of rows, borrowed from the caller.
///
/// Made from
/// * `&[f32]`, `&[f64]`, `&Vec<_>`, `&[_; N]`: row-major values; the number of columns is the model's,
/// * [`ndarray::ArrayView2`] or `&Array2` of `f32` or `f64`: any strides,
/// * [`Rows::row_major`], [`Rows::column_major`], [`Rows::csr`], [`Rows::columns`].
#[derive(Clone, Debug)]
pub struct Rows<'a>(pub(crate) Layout<'a>);

#[derive(Clone, Debug)]
pub(crate) enum Layout<'a> {
    /// Row-major values whose width the model supplies.
    Flat(Flat<'a>),
    Table(Table<'a>),
}

/// A column of values of one type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Column<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision.
    F64(&'a [f64]),
    /// Whole numbers.
    I64(&'a [i64]),
    /// Truth values.
    Bool(&'a [bool]),
    /// Strings.
    Text(&'a Strings),
}

impl Column<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row as a double, if it is a number or truth value.
    pub(crate) fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::F32(values) => Some(values[row].into()),
            Self::F64(values) => Some(values[row]),
            Self::I64(values) => Some(values[row] as f64),
            Self::Bool(values) => Some(f64::from(u8::from(values[row]))),
            Self::Text(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Flat<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Dense<'a> {
    F32(ArrayView2<'a, f32>),
    F64(ArrayView2<'a, f64>),
}

/// Compressed sparse rows; checked by [`Rows::csr`]. A range of a batch's rows has a part of its `indptr`, which then
/// starts above 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Csr<'a> {
    pub(crate) n_columns: usize,
    pub(crate) indptr: &'a [usize],
    pub(crate) indices: &'a [u32],
    pub(crate) values: Flat<'a>,
}

/// Rows of a known shape, of numbers or of columns of several types.
#[derive(Clone, Debug)]
pub(crate) enum Table<'a> {
    Batch(Batch<'a>),
    Columns(Cow<'a, [Column<'a>]>),
}

impl Table<'_> {
    pub(crate) fn n_rows(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.n_rows(),
            Self::Columns(columns) => columns.first().map_or(0, Column::len),
        }
    }

    fn n_columns(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.n_columns(),
            Self::Columns(columns) => columns.len(),
        }
    }
}

/// Rows of a known shape: what a [`Rows`] becomes once it has met a model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Batch<'a> {
    Dense(Dense<'a>),
    Sparse(Csr<'a>),
}

impl<'a> Rows<'a> {
    /// Dense rows, one after another: value of row `r`, column `c` at `r * n_columns + c`.
    ///
    /// # Errors
    /// A shape error when the length is not a multiple of `n_columns`.
    #[inline]
    pub fn row_major<T: Value>(values: &'a [T], n_columns: usize) -> Result<Self> {
        let n_rows = whole_rows(values.len(), n_columns)?;
        Ok(T::dense(view((n_rows, n_columns), values)?))
    }

    /// Dense rows, column after column: value of row `r`, column `c` at `c * n_rows + r`.
    ///
    /// # Errors
    /// A shape error when the length is not a multiple of `n_columns`.
    pub fn column_major<T: Value>(values: &'a [T], n_columns: usize) -> Result<Self> {
        let n_rows = whole_rows(values.len(), n_columns)?;
        Ok(T::dense(view((n_columns, n_rows), values)?.reversed_axes()))
    }

    /// Compressed sparse rows: row `r` holds the entries `indptr[r]..indptr[r + 1]` of `indices` (columns) and
    /// `values`. Columns need no order; of a column listed twice in a row the last entry counts. An entry that is
    /// listed with the value 0.0 is zero, one that is not listed is *absent*: missing for an XGBoost model, 0.0 for a
    /// LightGBM model, as in those libraries.
    ///
    /// Cost: one pass over `indptr` and `indices`.
    ///
    /// # Errors
    /// A shape error that names the row when the three arrays do not fit together or a column is out of range.
    pub fn csr<T: Value>(n_columns: usize, indptr: &'a [usize], indices: &'a [u32], values: &'a [T]) -> Result<Self> {
        let (Some(&first), Some(&last)) = (indptr.first(), indptr.last()) else {
            return Err(Error::shape("csr: indptr is empty, it needs one entry more than there are rows"));
        };
        if first != 0 || last != indices.len() || indices.len() != values.len() {
            return Err(Error::shape(format!(
                "csr: indptr runs from {first} to {last}, with {} indices and {} values; it must run from 0 to the number of both",
                indices.len(),
                values.len()
            )));
        }
        if let Some(row) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(Error::shape(format!(
                "csr: row {row}: indptr falls from {} to {}",
                indptr[row],
                indptr[row + 1]
            )));
        }
        if let Some(entry) = indices.iter().position(|&column| column as usize >= n_columns) {
            let row = indptr.partition_point(|&start| start <= entry) - 1;
            return Err(Error::shape(format!("csr: row {row}: column {}, but there are {n_columns}", indices[entry])));
        }
        Ok(Csr { n_columns, indptr, indices, values: T::flat(values) }.into())
    }

    /// Columns of several types, one for every feature of the model, in order.
    ///
    /// # Errors
    /// A shape error when they are not of one length.
    pub fn columns(columns: impl Into<Cow<'a, [Column<'a>]>>) -> Result<Self> {
        let columns = columns.into();
        let n_rows = columns.first().map_or(0, Column::len);
        match columns.iter().position(|column| column.len() != n_rows) {
            Some(at) => {
                Err(Error::shape(format!("column {at} has {} rows, but the first has {n_rows}", columns[at].len())))
            }
            None => Ok(Self(Layout::Table(Table::Columns(columns)))),
        }
    }

    /// Hands the rows to `use_them` as a table of `n_features` columns.
    ///
    /// Always inlined, and a table stays where it is: a lone row would wait for it to be copied.
    #[inline(always)]
    pub(crate) fn with_table<T>(&self, n_features: usize, use_them: impl FnOnce(&Table<'a>) -> Result<T>) -> Result<T> {
        let of_flat;
        let table = match &self.0 {
            Layout::Table(table) => table,
            Layout::Flat(flat) => {
                of_flat = Table::Batch(flat.batch(n_features)?);
                &of_flat
            }
        };
        match table.n_columns() {
            n if n == n_features => use_them(table),
            n => Err(Error::shape(format!("rows have {n} columns, but the model has {n_features} features"))),
        }
    }

    /// The rows as a batch of `n_features` columns.
    pub(crate) fn batch(&self, n_features: usize) -> Result<Batch<'a>> {
        self.with_table(n_features, |table| match table {
            Table::Batch(batch) => Ok(*batch),
            Table::Columns(_) => Err(Error::shape("rows are columns of several types, but the model takes numbers")),
        })
    }
}

impl<'a> Flat<'a> {
    /// The values as rows of `n_columns`.
    #[inline(always)]
    fn batch(self, n_columns: usize) -> Result<Batch<'a>> {
        Ok(Batch::Dense(match self {
            Self::F32(values) => Dense::F32(view((whole_rows(values.len(), n_columns)?, n_columns), values)?),
            Self::F64(values) => Dense::F64(view((whole_rows(values.len(), n_columns)?, n_columns), values)?),
        }))
    }
}

impl<'a> From<Csr<'a>> for Rows<'a> {
    fn from(csr: Csr<'a>) -> Self {
        Self(Layout::Table(Table::Batch(Batch::Sparse(csr))))
    }
}

impl<'a> Batch<'a> {
    /// A range of the rows.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Dense(Dense::F32(view)) => Self::Dense(Dense::F32(view.slice_move(s![range, ..]))),
            Self::Dense(Dense::F64(view)) => Self::Dense(Dense::F64(view.slice_move(s![range, ..]))),
            Self::Sparse(csr) => Self::Sparse(Csr { indptr: &csr.indptr[range.start..=range.end], ..*csr }),
        }
    }

    /// A range of the rows, as rows.
    pub(crate) fn rows(&self, range: Range<usize>) -> Rows<'a> {
        self.slice(range).all()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Rows<'a> {
        Rows(Layout::Table(Table::Batch(*self)))
    }

    pub(crate) fn n_rows(&self) -> usize {
        match self {
            Self::Dense(Dense::F32(rows)) => rows.nrows(),
            Self::Dense(Dense::F64(rows)) => rows.nrows(),
            Self::Sparse(csr) => csr.indptr.len() - 1,
        }
    }

    pub(crate) fn n_columns(&self) -> usize {
        match self {
            Self::Dense(Dense::F32(rows)) => rows.ncols(),
            Self::Dense(Dense::F64(rows)) => rows.ncols(),
            Self::Sparse(csr) => csr.n_columns,
        }
    }
}

#[inline(always)]
fn whole_rows(len: usize, n_columns: usize) -> Result<usize> {
    if len == n_columns && len > 0 {
        // A lone row is not worth a division.
        return Ok(1);
    }
    match len.checked_rem(n_columns) {
        Some(0) => Ok(len / n_columns),
        None if len == 0 => Ok(0),
        _ => Err(Error::shape(format!("{len} values do not make whole rows of {n_columns} columns"))),
    }
}

#[inline(always)]
fn view<T>(shape: (usize, usize), values: &[T]) -> Result<ArrayView2<'_, T>> {
    ArrayView2::from_shape(shape, values).map_err(|cause| Error::shape(format!("rows of shape {shape:?}: {cause}")))
}

/// The number types rows may hold: `f32` and `f64`.
pub trait Value: sealed::Sealed + Copy + 'static {}
impl Value for f32 {}
impl Value for f64 {}

mod sealed {
    use super::{ArrayView2, Batch, Dense, Flat, Layout, Rows, Table};

    pub trait Sealed: Sized {
        fn dense(view: ArrayView2<'_, Self>) -> Rows<'_>;
        fn flat(values: &[Self]) -> Flat<'_>;
    }

    impl Sealed for f32 {
        #[inline]
        fn dense(view: ArrayView2<'_, f32>) -> Rows<'_> {
            Rows(Layout::Table(Table::Batch(Batch::Dense(Dense::F32(view)))))
        }
        fn flat(values: &[f32]) -> Flat<'_> {
            Flat::F32(values)
        }
    }

    impl Sealed for f64 {
        #[inline]
        fn dense(view: ArrayView2<'_, f64>) -> Rows<'_> {
            Rows(Layout::Table(Table::Batch(Batch::Dense(Dense::F64(view)))))
        }
        fn flat(values: &[f64]) -> Flat<'_> {
            Flat::F64(values)
        }
    }
}

impl<'a, T: Value> From<ArrayView2<'a, T>> for Rows<'a> {
    fn from(view: ArrayView2<'a, T>) -> Self {
        T::dense(view)
    }
}

impl<'a, T: Value> From<&'a ndarray::Array2<T>> for Rows<'a> {
    fn from(array: &'a ndarray::Array2<T>) -> Self {
        T::dense(array.view())
    }
}

impl<'a, T: Value> From<&'a [T]> for Rows<'a> {
    fn from(values: &'a [T]) -> Self {
        Self(Layout::Flat(T::flat(values)))
    }
}

impl<'a, T: Value> From<&'a Vec<T>> for Rows<'a> {
    fn from(values: &'a Vec<T>) -> Self {
        values.as_slice().into()
    }
}

impl<'a, T: Value, const N: usize> From<&'a [T; N]> for Rows<'a> {
    fn from(values: &'a [T; N]) -> Self {
        values.as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_slice_takes_its_width_from_the_model() {
        assert_eq!(Rows::from(&[1.0f32; 6]).batch(3).unwrap().n_rows(), 2);
        assert_eq!(
            Rows::from(&[1.0f32; 7]).batch(3).unwrap_err().to_string(),
            "7 values do not make whole rows of 3 columns"
        );
        assert!(Rows::row_major(&[1.0f64; 6], 2).unwrap().batch(3).unwrap_err().is_shape());
        assert_eq!(Rows::from(&[0.0f32; 0]).batch(3).unwrap().n_rows(), 0);
    }

    #[test]
    fn csr_arrays_must_fit_together() {
        let error = |indptr: &[usize], indices: &[u32]| {
            Rows::csr(3, indptr, indices, &vec![0.0f32; indices.len()]).unwrap_err().to_string()
        };
        assert!(Rows::csr(3, &[0, 1, 1], &[2], &[1.0f32]).is_ok());
        assert_eq!(error(&[0, 2, 1, 3], &[0, 1, 2]), "csr: row 1: indptr falls from 2 to 1");
        assert_eq!(error(&[0, 1, 2], &[0, 3]), "csr: row 1: column 3, but there are 3");
        assert!(error(&[], &[]).starts_with("csr: indptr is empty"));
        assert!(error(&[0, 2], &[0]).starts_with("csr: indptr runs from 0 to 2, with 1 indices"));
    }
}

//! What a prediction returns.

use std::ops::Range;

use crate::strings::Strings;

/// Predictions of a batch, row after row. Reuse one with [`Model::predict_into`](crate::Model::predict_into).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    pub(crate) n_rows: usize,
    pub(crate) n_columns: usize,
    pub(crate) values: Values,
}

/// The numbers of a prediction, in the type the source library computes in. The value of row `r`, column `c` is at
/// `r * n_columns + c`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Values and margins of a model that sums in f32 (XGBoost).
    F32(Vec<f32>),
    /// Values and margins of a model that sums in f64 (LightGBM).
    F64(Vec<f64>),
    /// Leaves and labels.
    I32(Vec<i32>),
    /// Whole numbers of a pipeline, and labels of models that name their classes by numbers.
    I64(Vec<i64>),
    /// Strings of a pipeline, and labels of models that name their classes.
    Text(Strings),
}

impl Default for Values {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

impl Predictions {
    /// Number of rows predicted.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Numbers per row: of values, outputs, trees (leaves) or 1 (labels).
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The numbers.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The numbers of a model that computes in f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.values {
            Values::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The numbers of a model that computes in f64.
    pub fn as_f64(&self) -> Option<&[f64]> {
        match &self.values {
            Values::F64(values) => Some(values),
            _ => None,
        }
    }

    /// Leaves or labels.
    pub fn as_i32(&self) -> Option<&[i32]> {
        match &self.values {
            Values::I32(values) => Some(values),
            _ => None,
        }
    }

    /// Labels and other whole numbers of 64 bits.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.values {
            Values::I64(values) => Some(values),
            _ => None,
        }
    }

    /// Labels that are strings.
    pub fn as_text(&self) -> Option<&Strings> {
        match &self.values {
            Values::Text(values) => Some(values),
            _ => None,
        }
    }

    /// A copy of the numbers, widened; without loss but for whole numbers beyond 2^53. Strings are NaN.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(values) => values.iter().map(|&value| value.into()).collect(),
            Values::F64(values) => values.clone(),
            Values::I32(values) => values.iter().map(|&value| value.into()).collect(),
            Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
            Values::Text(values) => vec![f64::NAN; values.len()],
        }
    }
}

/// Applies a generic function to the vectors of two values, of which the first is made to have the type of the second.
macro_rules! same_type {
    ($to:expr, $from:expr, |$a:ident, $b:ident| $body:expr) => {
        match ($to, $from) {
            (Values::F32($a), Values::F32($b)) => $body,
            (Values::F64($a), Values::F64($b)) => $body,
            (Values::I32($a), Values::I32($b)) => $body,
            (Values::I64($a), Values::I64($b)) => $body,
            _ => unreachable!("a model answers with one type"),
        }
    };
}

impl Predictions {
    /// Makes room for `n_rows` rows such as `like` has.
    pub(crate) fn resize_like(&mut self, like: &Self, n_rows: usize) {
        if std::mem::discriminant(&self.values) != std::mem::discriminant(&like.values) {
            self.values = match like.values {
                Values::F32(_) => Values::F32(Vec::new()),
                Values::F64(_) => Values::F64(Vec::new()),
                Values::I32(_) => Values::I32(Vec::new()),
                Values::I64(_) => Values::I64(Vec::new()),
                Values::Text(_) => Values::Text(Strings::default()),
            };
        }
        (self.n_rows, self.n_columns) = (n_rows, like.n_columns);
        if let Values::Text(to) = &mut self.values {
            to.clear();
            return to.extend(std::iter::repeat_n("", n_rows * like.n_columns));
        }
        same_type!(&mut self.values, &like.values, |to, _from| to.resize(n_rows * like.n_columns, Default::default()));
    }

    /// Writes `rows` of `from` over the rows from `at` on.
    pub(crate) fn copy_rows(&mut self, at: usize, from: &Self, rows: Range<usize>) {
        let width = self.n_columns;
        if let (Values::Text(to), Values::Text(from)) = (&mut self.values, &from.values) {
            return to.replace(at * width, from, rows.start * width..rows.end * width);
        }
        same_type!(&mut self.values, &from.values, |to, from| to[at * width..(at + rows.len()) * width]
            .copy_from_slice(&from[rows.start * width..rows.end * width]));
    }

    /// The rows of all of them, which are of one model.
    pub(crate) fn concatenated(shares: Vec<Self>) -> Self {
        let n_rows = shares.iter().map(Self::n_rows).sum();
        let mut whole = Self::default();
        let mut at = 0;
        for share in &shares {
            if at == 0 {
                whole.resize_like(share, n_rows);
            }
            whole.copy_rows(at, share, 0..share.n_rows);
            at += share.n_rows;
        }
        whole
    }
}

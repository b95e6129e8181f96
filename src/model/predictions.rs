//! What a prediction returns.

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

    /// A copy of the numbers, widened without loss.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(values) => values.iter().map(|&value| value.into()).collect(),
            Values::F64(values) => values.clone(),
            Values::I32(values) => values.iter().map(|&value| value.into()).collect(),
        }
    }
}

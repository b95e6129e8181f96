//! Models of the caller's own: any code that turns rows into numbers, with the same interface as a loaded model.

use ndarray::{Array2, ArrayView2};

use super::{Kind, Model, ModelOptions, Predictions, Values};
use crate::error::{Error, Result};
use crate::ir::ForestBuilder;
use crate::load::Source;
use crate::rows::{Batch, Dense, Flat};
use crate::schema::Schema;

/// Something that predicts. See [`Model::custom`].
pub trait Predictor: Send + Sync + 'static {
    /// The columns it takes and the number of values a row gets. Must not change.
    fn schema(&self) -> &Schema;

    /// Writes the values of `rows`, `[n, n_features]` with NaN for what is missing, to `out`: `n_outputs` numbers for each
    /// row, row after row.
    ///
    /// A row's values must depend on that row alone: an engine puts rows of many requests together, and predicts the
    /// same rows again where a batch fails.
    ///
    /// # Errors
    /// An [`Error::custom`] for rows it cannot answer. A panic is caught by an engine and fails that request only.
    fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> Result<()>;
}

impl Model {
    /// A model that calls `predictor`: it has no trees ([`forest`](Self::forest) is empty), and predicts f64 values.
    /// Entries absent from sparse rows are missing.
    ///
    /// # Errors
    /// An invalid-model error for a schema without outputs.
    pub fn custom(predictor: impl Predictor) -> Result<Self> {
        let schema = predictor.schema().clone();
        let forest = ForestBuilder::new(&schema).finish()?;
        let mut model = ModelOptions::default().compile(schema, Source::custom(), forest)?;
        let Kind::Forest(inner) = &mut model.kind else { unreachable!("made of a forest") };
        let inner = std::sync::Arc::get_mut(inner).expect("a model just made is not shared");
        inner.plan.kernels.clear();
        inner.custom = Some(Box::new(predictor));
        Ok(model)
    }
}

/// `schema` is what the predictor said when it became a model: what it says now may differ, against its contract.
pub(super) fn predict(
    predictor: &dyn Predictor,
    schema: &Schema,
    batch: &Batch<'_>,
    predictions: &mut Predictions,
) -> Result<()> {
    let n_rows = batch.n_rows();
    let (n_features, n_outputs) = (schema.n_features(), schema.n_outputs);
    let mut values = match std::mem::take(&mut predictions.values) {
        Values::F64(values) => values,
        _ => Vec::new(),
    };
    values.clear();
    let room = n_rows.checked_mul(n_outputs).filter(|&total| values.try_reserve_exact(total).is_ok());
    let total = room.ok_or_else(|| Error::shape(format!("memory has no room for predictions of {n_rows} rows")))?;
    values.resize(total, 0.0);
    match batch {
        _ if n_rows == 0 => {}
        Batch::Dense(Dense::F64(rows)) => predictor.predict(rows.view(), &mut values)?,
        Batch::Dense(Dense::F32(rows)) => predictor.predict(rows.mapv(f64::from).view(), &mut values)?,
        Batch::Sparse(csr) => {
            let mut rows = Array2::from_elem((n_rows, n_features), f64::NAN);
            for (bounds, mut row) in csr.indptr.windows(2).zip(rows.rows_mut()) {
                for entry in bounds[0]..bounds[1] {
                    row[csr.indices[entry] as usize] = match csr.values {
                        Flat::F32(values) => values[entry].into(),
                        Flat::F64(values) => values[entry],
                    };
                }
            }
            predictor.predict(rows.view(), &mut values)?;
        }
    }
    *predictions = Predictions { n_rows, n_columns: n_outputs, values: Values::F64(values) };
    Ok(())
}

//! The reference evaluator's answers to a batch: what the kernels must equal, a row at a time and slowly.

use super::{Inner, Output, Predictions, Values};
use crate::ir::eval::Storage;
use crate::ir::real::Real;
use crate::ir::{Float, Forest};
use crate::rows::{Batch, Dense, Flat};

/// What `model` answers to `batch` by definition.
pub(super) fn predict(model: &Inner, output: Output, batch: &Batch<'_>) -> Predictions {
    let n_rows = batch.n_rows();
    let rows = (0..n_rows).map(|row| read_row(model, batch, row));
    let storage = match batch {
        Batch::Dense(_) => Storage::Dense,
        Batch::Sparse(_) => Storage::Sparse,
    };
    let values = match (output, model.forest.profile().sum) {
        (Output::Leaf, _) => Values::I32(rows.flat_map(|row| leaves(model, &row, storage)).collect()),
        (Output::Label, Float::F32) => Values::I32(rows.map(|row| label::<f32>(model, &row, storage)).collect()),
        (Output::Label, Float::F64) => Values::I32(rows.map(|row| label::<f64>(model, &row, storage)).collect()),
        (_, Float::F32) => Values::F32(rows.flat_map(|row| floats(model, output, &row, storage)).collect()),
        (_, Float::F64) => Values::F64(rows.flat_map(|row| floats(model, output, &row, storage)).collect()),
    };
    Predictions { n_rows, n_columns: model.n_columns(output), values }
}

fn floats<T: Real>(model: &Inner, output: Output, row: &[f64], storage: Storage) -> Vec<T> {
    match output {
        Output::Margin => model.forest.eval_margins(row, storage),
        Output::TreeValues => model.forest.eval_tree_values(row, storage),
        _ => model.forest.eval_values(row, storage),
    }
}

fn leaves(model: &Inner, row: &[f64], storage: Storage) -> Vec<i32> {
    let forest = &model.forest;
    forest.eval_leaves(row, storage).into_iter().map(|leaf| forest.leaf_ids()[leaf] as i32).collect()
}

fn label<T: Real>(model: &Inner, row: &[f64], storage: Storage) -> i32 {
    let forest = &model.forest;
    let read = if forest.labels().reads_margins() { Forest::eval_margins::<T> } else { Forest::eval_values::<T> };
    forest.labels().of(&read(forest, row, storage)).expect("checked when the model was loaded")
}

/// A row written out: absent entries filled in, the sentinel read as missing.
fn read_row(model: &Inner, batch: &Batch<'_>, row: usize) -> Vec<f64> {
    let entries: Vec<Option<f64>> = match batch {
        Batch::Dense(Dense::F32(rows)) => rows.row(row).iter().map(|&value| Some(value.into())).collect(),
        Batch::Dense(Dense::F64(rows)) => rows.row(row).iter().map(|&value| Some(value)).collect(),
        Batch::Sparse(csr) => {
            let mut entries = vec![None; csr.n_columns];
            for at in csr.indptr[row]..csr.indptr[row + 1] {
                let value = match csr.values {
                    Flat::F32(values) => values[at].into(),
                    Flat::F64(values) => values[at],
                };
                entries[csr.indices[at] as usize] = Some(value);
            }
            entries
        }
    };
    let read: Vec<Option<f64>> = entries.iter().map(|value| value.map(|value| model.read_sentinel(value))).collect();
    model.forest.fill_absent(&read)
}

#[cfg(test)]
mod tests {
    use crate::Model;
    use crate::model::Output;

    #[test]
    fn every_output_has_a_reference() {
        for path in [
            "models/xgboost/vector_leaves/model.json",
            "models/lightgbm/linear_leaves/model.txt",
            "models/xgboost/iris/model.json",
        ] {
            for output in [Output::Value, Output::Margin, Output::Leaf, Output::Label, Output::TreeValues] {
                // Labels are for classifiers only.
                let Ok(model) = Model::options().output(output).load(path) else { continue };
                let rows = model.sample_rows(50, 1);
                assert_eq!(
                    model.predict_reference(&rows).unwrap(),
                    model.predict(&rows).unwrap(),
                    "{path}: {output:?}"
                );
            }
        }
    }
}

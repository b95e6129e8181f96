//! The health check of a loaded model: does this machine, with these kernels, give the answers the model defines?

use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::pipeline::Piped;
use super::run::{self, Scratch};
use super::{Inner, Lossy, Output, Predictions, Values, reference, sample};
use crate::ir::Float;
use crate::ir::eval::Storage;
use crate::load::Source;
use crate::rows::{Batch, Column, Csr, Dense, Flat, Table};
use crate::schema::FeatureKind;
use crate::strings::Strings;

/// What [`Model::validate`](crate::Model::validate) found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ValidationReport {
    /// Whether every check passed.
    pub ok: bool,
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// What was found, for people.
    pub detail: String,
}

impl ValidationReport {
    /// Adds a check of the caller's own.
    pub fn push(&mut self, name: &'static str, ok: bool, detail: impl Into<String>) {
        self.ok &= ok;
        self.checks.push(Check { name, ok, detail: detail.into() });
    }
}

/// Random rows to compare; enough that a wrong comparison, default or category at any common split shows.
const RANDOM_ROWS: usize = 256;

/// At most this many visits of trees by the reference evaluator, so that a huge model is still checked in seconds.
const MAX_VISITS: usize = 1 << 21;

/// At most this many random values, so that a model of millions of features is checked in bounded memory.
const MAX_CELLS: usize = 1 << 22;

pub(super) fn validate(model: &Inner) -> ValidationReport {
    let mut report = ValidationReport { ok: true, checks: Vec::new() };
    let (source, schema, facts) = (&model.source, &model.schema, model.facts());
    report.push_source(source);
    report.push(
        "schema",
        true,
        format!("{} features ({} used), {} outputs", schema.n_features(), facts.features_used, schema.n_outputs),
    );
    if model.custom.is_some() {
        // There is nothing to compare it with.
        report.push("predictor", true, "a predictor of the caller's own: no reference evaluator knows it");
        return report;
    }
    report.push("plan", true, model.plan.to_string());

    let rows = (MAX_VISITS / facts.trees.max(1)).min(MAX_CELLS / schema.n_features().max(1));
    let special = sample::special_rows(model.schema.n_features());
    report.push_comparison(model, "special values", &special, Storage::Dense);
    let random = sample::edge_rows(&model.forest, RANDOM_ROWS.min(rows).max(1));
    report.push_comparison(model, "cut points", &random, Storage::Dense);
    report.push_comparison(model, "sparse rows", &random, Storage::Sparse);
    report.push_batches(model, &random);
    if let Some(lossy) = &model.lossy {
        let typical = sample::typical_rows(&lossy.exact, RANDOM_ROWS.min(rows).max(1), 1);
        report.push_precision(model, lossy, &[&random, &typical]);
    }
    report
}

/// The health check of a pipeline: its kernels against the reference evaluator, and a batch against its rows.
pub(super) fn validate_graph(model: &Piped) -> ValidationReport {
    let mut report = ValidationReport { ok: true, checks: Vec::new() };
    let (source, schema) = (&model.source, &model.schema);
    report.push_source(source);
    let inputs = model.pipeline.inputs.len();
    report.push("schema", true, format!("{} features in {inputs} inputs", schema.n_features()));
    report.push("plan", true, model.plan.to_string());
    let rows = (MAX_CELLS / schema.n_features().max(1)).clamp(1, 64);
    let numbers = sample::plain_rows(schema.n_features(), rows, 1);
    let numbers: Vec<Vec<f64>> = numbers.columns().into_iter().map(|column| column.to_vec()).collect();
    let whole: Vec<Vec<i64>> =
        numbers.iter().map(|column| column.iter().map(|&value| value as i64).collect()).collect();
    let truth: Vec<Vec<bool>> =
        numbers.iter().map(|column| column.iter().map(|&value| value > 0.0).collect()).collect();
    let texts: Strings = numbers.iter().flatten().take(rows).map(|value| value.to_string()).collect();
    let columns: Vec<Column<'_>> = (schema.features.iter().enumerate())
        .map(|(at, feature)| match feature.kind {
            FeatureKind::Text => Column::Text(&texts),
            FeatureKind::Integer => Column::I64(&whole[at]),
            FeatureKind::Boolean => Column::Bool(&truth[at]),
            FeatureKind::Numeric | FeatureKind::Category => Column::F64(&numbers[at]),
        })
        .collect();
    let table = Table::Columns(columns.into());
    let mut predictions = Predictions::default();
    let predicted = model.predict(&table, &mut predictions, &mut Scratch::default());
    match (predicted, model.predict_by_reference(&table)) {
        // Made-up rows may hold categories that the pipeline refuses.
        (Err(error), Err(_)) => report.push("random rows", true, format!("refused by the pipeline: {error}")),
        (Ok(()), Ok(expected)) => {
            let same = bits(&predictions) == bits(&expected);
            let verdict =
                if same { "kernels equal the reference to the bit" } else { "kernels differ from the reference" };
            report.push("random rows", same, format!("{rows} rows: {verdict}"));
        }
        _ => report.push("random rows", false, "kernels and reference do not both answer"),
    }
    report
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl ValidationReport {
    /// Where the model comes from, and what was lost on the way.
    fn push_source(&mut self, source: &Source) {
        let format = source.format.map_or("built by hand".to_owned(), |format| format.to_string());
        self.push("source", true, format!("{}, {format}, blake3 {}", source.producer, or_none(&source.digest)));
        for warning in &source.warnings {
            self.push("conversion", true, format!("warning: {warning}"));
        }
    }

    /// Kernels against the reference evaluator, on values and leaves, one row at a time.
    fn push_comparison(&mut self, model: &Inner, name: &'static str, rows: &Array2<f64>, storage: Storage) {
        let differs = |row: &Vec<f64>| {
            let entries: Vec<Option<f64>> = match storage {
                Storage::Dense => row.iter().copied().map(Some).collect(),
                Storage::Sparse => row.iter().map(|&value| (value != 0.0).then_some(value)).collect(),
            };
            !is_reference(model, &entries, storage)
        };
        match rows.rows().into_iter().map(|row| row.to_vec()).find(differs) {
            None => self.push(name, true, format!("{} rows: kernels equal the reference to the bit", rows.nrows())),
            Some(row) => self.push(name, false, format!("kernels differ from the reference on the row {row:?}")),
        }
    }

    /// Margins against those of the exact forest.
    fn push_precision(&mut self, model: &Inner, lossy: &Lossy, samples: &[&Array2<f64>]) {
        let exact = |row: Vec<f64>| match lossy.exact.profile().sum {
            Float::F32 => lossy.exact.eval_margins::<f32>(&row, Storage::Dense).into_iter().map(f64::from).collect(),
            Float::F64 => lossy.exact.eval_margins::<f64>(&row, Storage::Dense),
        };
        let (mut n_rows, mut within) = (0, true);
        let mut worst = vec![0.0; lossy.bounds.len()];
        for rows in samples {
            let ours = predict(model, Output::Margin, rows).to_f64();
            for (row, ours) in rows.rows().into_iter().zip(ours.chunks_exact(worst.len())) {
                let row = row.iter().map(|&value| model.read_sentinel(value)).collect();
                for (((ours, exact), worst), bound) in ours.iter().zip(exact(row)).zip(&mut worst).zip(&lossy.bounds) {
                    let same = *ours == exact || (ours.is_nan() && exact.is_nan());
                    let error = if same { 0.0 } else { (ours - exact).abs() };
                    within &= error <= *bound;
                    *worst = error.max(*worst);
                }
            }
            n_rows += rows.nrows();
        }
        let greatest = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
        let (worst, bound) = (greatest(&worst), greatest(&lossy.bounds));
        let verdict = if within { "within" } else { "outside" };
        let name = lossy.precision.name();
        let detail =
            format!("{name}: margins of {n_rows} rows {worst:.3e} off at most, {verdict} the bound of {bound:.3e}");
        self.push("precision", within, detail);
    }

    /// A batch against its rows one by one.
    fn push_batches(&mut self, model: &Inner, rows: &Array2<f64>) {
        let whole = predict(model, Output::Margin, rows);
        let (width, whole) = (whole.n_columns(), bits(&whole));
        let same = (0..rows.nrows()).all(|row| {
            let one = rows.select(ndarray::Axis(0), &[row]);
            bits(&predict(model, Output::Margin, &one)) == whole[row * width..][..width]
        });
        let detail = if same {
            "a batch equals its rows one by one to the bit"
        } else {
            "a batch differs from its rows one by one"
        };
        self.push("batch size", same, format!("{} rows: {detail}", rows.nrows()));
    }
}

fn predict(model: &Inner, output: Output, rows: &Array2<f64>) -> Predictions {
    predict_batch(model, output, &Batch::Dense(Dense::F64(rows.view())))
}

fn predict_batch(model: &Inner, output: Output, batch: &Batch<'_>) -> Predictions {
    let mut predictions = Predictions::default();
    run::predict(model, output, batch, &mut predictions, &mut Scratch::default()).expect("a few hundred rows");
    predictions
}

/// Whether the kernels' values and leaves of a row are the reference evaluator's; `None` is an absent entry.
fn is_reference(model: &Inner, row: &[Option<f64>], storage: Storage) -> bool {
    let is_reference = |batch: Batch<'_>| {
        [Output::Value, Output::Leaf].into_iter().all(|output| {
            bits(&predict_batch(model, output, &batch)) == bits(&reference::predict(model, output, &batch))
        })
    };
    match storage {
        Storage::Dense => {
            let row: Vec<f64> = row.iter().flatten().copied().collect();
            is_reference(Batch::Dense(Dense::F64(ArrayView2::from_shape((1, row.len()), &row).expect("one row"))))
        }
        Storage::Sparse => {
            let listed = row.iter().enumerate().filter_map(|(column, value)| Some((column as u32, (*value)?)));
            let (indices, values): (Vec<u32>, Vec<f64>) = listed.unzip();
            let indptr = [0, indices.len()];
            let csr = Csr { n_columns: row.len(), indptr: &indptr, indices: &indices, values: Flat::F64(&values) };
            is_reference(Batch::Sparse(csr))
        }
    }
}

/// Bit patterns; every NaN counts as one.
fn bits(predictions: &Predictions) -> Vec<u64> {
    match predictions.values() {
        Values::F32(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits().into() }).collect(),
        Values::F64(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect(),
        Values::I32(values) => values.iter().map(|&x| x as u64).collect(),
        Values::I64(values) => values.iter().map(|&x| x as u64).collect(),
        Values::Text(values) => values.iter().flat_map(str::bytes).map(u64::from).collect(),
    }
}

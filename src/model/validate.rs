//! The health check of a loaded model: does this machine, with these kernels, give the answers the model defines?

use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::run::{self, Scratch};
use super::{Inner, Output, Predictions, Values};
use crate::ir::eval::Storage;
use crate::ir::{CategorySet, Forest, SplitTest, facts};
use crate::rows::{Batch, Csr, Dense, Flat};

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
    let (source, schema, facts) = (&model.source, &model.schema, &model.facts);
    let format = source.format.map_or("built by hand".to_owned(), |format| format.to_string());
    report.push("source", true, format!("{}, {format}, blake3 {}", source.producer, or_none(&source.digest)));
    report.push(
        "schema",
        true,
        format!("{} features ({} used), {} outputs", schema.n_features(), facts.features_used, schema.n_outputs),
    );
    report.push("plan", true, model.plan.to_string());

    let rows = (MAX_VISITS / facts.trees.max(1)).min(MAX_CELLS / schema.n_features().max(1));
    let special = special_rows(model.schema.n_features());
    report.push_comparison(model, "special values", &special, Storage::Dense);
    let random = random_rows(&model.forest, RANDOM_ROWS.min(rows).max(1));
    report.push_comparison(model, "cut points", &random, Storage::Dense);
    report.push_comparison(model, "sparse rows", &random, Storage::Sparse);
    report.push_batches(model, &random);
    report
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl ValidationReport {
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
    let forest = &model.forest;
    let predicted = |output| match storage {
        Storage::Dense => {
            let row: Vec<f64> = row.iter().flatten().copied().collect();
            let one = ArrayView2::from_shape((1, row.len()), &row).expect("one row");
            predict_batch(model, output, &Batch::Dense(Dense::F64(one)))
        }
        Storage::Sparse => {
            let listed = row.iter().enumerate().filter_map(|(column, value)| Some((column as u32, (*value)?)));
            let (indices, values): (Vec<u32>, Vec<f64>) = listed.unzip();
            let indptr = [0, indices.len()];
            let csr = Csr { n_columns: row.len(), indptr: &indptr, indices: &indices, values: Flat::F64(&values) };
            predict_batch(model, output, &Batch::Sparse(csr))
        }
    };
    let read: Vec<Option<f64>> = row.iter().map(|value| value.map(|value| model.read_sentinel(value))).collect();
    let read = forest.fill_absent(&read);
    let values = predicted(Output::Value);
    let expected = match values.values() {
        Values::F32(_) => Values::F32(forest.eval_values(&read, storage)),
        _ => Values::F64(forest.eval_values(&read, storage)),
    };
    let ids = forest.eval_leaves(&read, storage).into_iter().map(|leaf| forest.leaf_ids()[leaf] as i32);
    let leaves = predicted(Output::Leaf);
    bits(&values) == bits_of(&expected) && leaves.as_i32().is_some_and(|leaves| ids.eq(leaves.iter().copied()))
}

fn bits(predictions: &Predictions) -> Vec<u64> {
    bits_of(predictions.values())
}

/// Bit patterns; every NaN counts as one.
fn bits_of(values: &Values) -> Vec<u64> {
    match values {
        Values::F32(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits().into() }).collect(),
        Values::F64(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect(),
        Values::I32(values) => values.iter().map(|&x| x as u64).collect(),
    }
}

/// Rows of one value each: missing, infinite, huge, denormal, zero of either sign.
fn special_rows(n_features: usize) -> Array2<f64> {
    let values = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        f64::MAX,
        f64::MIN,
        5e-324,
        -5e-324,
        1e-36,
        -1e-36,
        1.0,
        -1.0,
    ];
    Array2::from_shape_fn((values.len(), n_features), |(row, _)| values[row])
}

/// Rows drawn from each feature's own cut points, their neighbours and categories, with some values missing. The same
/// model always gets the same rows.
fn random_rows(forest: &Forest, n_rows: usize) -> Array2<f64> {
    let mut pools: Vec<Vec<f64>> = vec![vec![0.0, 1.0, f64::NAN]; forest.n_features()];
    for (feature, cuts) in facts::cuts(forest) {
        for cut in cuts {
            let narrow = cut as f32;
            let near = [cut, cut.next_up(), cut.next_down(), narrow.next_up().into(), narrow.next_down().into()];
            pools[feature as usize].extend(near);
        }
    }
    for split in forest.splits() {
        if let SplitTest::Set(set) = split.test {
            pools[split.feature as usize].extend(some_codes(forest.set(set)));
        }
    }
    let mut random = SplitMix(0x005A_3311);
    Array2::from_shape_fn((n_rows, forest.n_features()), |(_, feature)| {
        let pool = &pools[feature];
        match random.below(10) {
            0 => f64::NAN,
            1 => random.below(200) as f64 - 100.0,
            _ => pool[random.below(pool.len())],
        }
    })
}

/// Codes inside a set and just outside it.
fn some_codes(set: &CategorySet) -> impl Iterator<Item = f64> + '_ {
    set.codes().take(64).flat_map(|code| [f64::from(code), f64::from(code) + 1.0, f64::from(code) + 0.5])
}

/// A small deterministic generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

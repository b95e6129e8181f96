//! Scores a file: rows from `.npy` (float64) through the engine's workers, many at a time, values to `.npy`.
//!
//! ```sh
//! cargo run --release --example batch_file -- MODEL ROWS.npy OUT.npy
//! ```
//! Run from the repository root. Without arguments it scores a golden model's rows and compares them with the source
//! library's own values.

use std::error::Error;
use std::time::Instant;

use ndarray::{Array1, Array2, s};
use ndarray_npy::{read_npy, write_npy};
use sawmill::{Engine, Model, Values};

/// Rows scored at once: enough for all workers, little enough to stay in the caches.
const CHUNK: usize = 8192;

const CASE: &str = "models/xgboost/breast_cancer";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, rows, out] = match &arguments[..] {
        [] => ["model.json", "X.npy", ""].map(|name| format!("{CASE}/{name}")),
        [model, rows, out] => [model.clone(), rows.clone(), out.clone()],
        _ => return Err("MODEL ROWS.npy OUT.npy".into()),
    };
    let engine = Engine::throughput().build()?;
    engine.load("model", Model::load(&model)?)?;
    let rows: Array2<f64> = read_npy(&rows)?;

    let start = Instant::now();
    let mut values: Vec<f32> = Vec::new();
    for first in (0..rows.nrows()).step_by(CHUNK) {
        let last = rows.nrows().min(first + CHUNK);
        // Straight to the kernels, split over the workers: the queue is for small requests.
        match engine.predict_batch("model", rows.slice(s![first..last, ..]))?.values() {
            Values::F32(chunk) => values.extend(chunk),
            _ => return Err("this example writes float32, the type of XGBoost's values".into()),
        }
    }
    println!("{} rows in {:.1?}", rows.nrows(), start.elapsed());

    let values = Array1::from(values);
    if arguments.is_empty() {
        let expected: Array1<f32> = read_npy(format!("{CASE}/value.npy"))?;
        assert_eq!(values, expected, "as XGBoost itself answers");
    } else {
        write_npy(&out, &values)?;
    }
    Ok(())
}

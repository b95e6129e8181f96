//! One library with one model and its rows in memory, timed on request: this is how `run.py` lets several libraries take
//! turns.
//!
//! `sawmill-peers PEER LIBRARY MODEL ROWS.npy`: PEER is sawmill, lightgbm, xgboost, onnxruntime, lleaves or tl2cgen;
//! LIBRARY is the file to load it from (for sawmill the instruction set or `best`, for compiled models the model itself).
//! Commands come in lines on stdin; each is answered by one JSON object in a line on stdout:
//!
//! | Command | Answer |
//! |---|---|
//! | (at the start) | `{"peer", "about"}` |
//! | `answers FILE.npy` | `{}`; the predictions of all rows are in the file, those of every batch size being the same |
//! | `time BATCH SECONDS` | `{"calls", "min", "p50", "p99"}`: nanoseconds a row |
//! | `load` | `{"ms"}`: reading the model once more |
//!
//! `sawmill-peers pipelines LIBRARY FOLDER SECONDS` compares on ONNX pipelines instead: see `pipelines.rs`.
//!
//! `sawmill-peers memory MODEL [MODEL.saw]` says what loading takes of memory: see `memory.rs`.
//!
//! What fails is answered by `{"error"}`, and ends the program.

#[path = "../../../tests/common/onnx.rs"]
mod cases;
mod compiled;
mod library;
mod lightgbm;
mod memory;
mod onnxruntime;
mod ours;
mod pipelines;
mod rows;
mod session;
mod xgboost;

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::rows::Table;

/// A library with a model, and rows in the form it likes best.
trait Peer {
    /// What the library says of how it will run the model.
    fn about(&self) -> String {
        String::new()
    }

    /// Predicts `n_rows` rows from row `first` on.
    fn predict(&mut self, first: usize, n_rows: usize) -> Result<()>;

    /// What the last call predicted, row after row.
    fn answers(&self) -> Vec<f64>;

    /// How long it takes to read the model once more.
    fn load(&self) -> Result<Duration> {
        bail!("does not load models while it runs")
    }
}

/// The number of rows that single and whole predictions are compared on.
const COMPARED_ROWS: usize = 200;

/// Each piece of timing starts with calls that do not count, for this share of its time.
const WARM_UP: f64 = 0.1;

fn main() {
    let mut out = std::io::stdout();
    let mut answer = |value: &Value| writeln!(out, "{value}").and_then(|()| out.flush());
    if let Err(error) = run(&mut answer) {
        // With stdout closed there is nobody to tell.
        let _ = answer(&json!({ "error": format!("{error:#}") }));
        std::process::exit(1);
    }
}

fn run(answer: &mut dyn FnMut(&Value) -> std::io::Result<()>) -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, library, folder, seconds] = &arguments[..]
        && name == "pipelines"
    {
        return pipelines::run(library, folder, seconds.parse()?, answer);
    }
    if let [name, model, compiled @ ..] = &arguments[..]
        && name == "memory"
    {
        return memory::run(model, compiled.first().map(String::as_str), answer);
    }
    let [name, library, model, rows] = &arguments[..] else {
        bail!("usage: sawmill-peers PEER LIBRARY MODEL ROWS.npy")
    };
    let rows = Table::read(Path::new(rows))?;
    let n_rows = rows.n_rows();
    let mut peer: Box<dyn Peer> = match name.as_str() {
        "sawmill" => Box::new(ours::Sawmill::new(library, model, rows)?),
        "lightgbm" => Box::new(lightgbm::LightGbm::new(library, model, rows)?),
        "xgboost" => Box::new(xgboost::XgBoost::new(library, model, rows)?),
        "onnxruntime" => Box::new(onnxruntime::OnnxRuntime::new(library, model, rows)?),
        "lleaves" => Box::new(compiled::Lleaves::new(library, model, rows)?),
        "tl2cgen" => Box::new(compiled::Tl2cgen::new(library, rows)?),
        _ => bail!("no peer {name}"),
    };
    answer(&json!({ "peer": name, "about": peer.about() }))?;
    let clock = clock_overhead();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        answer(&match &words[..] {
            ["answers", path] => {
                write_answers(peer.as_mut(), n_rows, path)?;
                json!({})
            }
            ["time", batch, seconds] => {
                time(peer.as_mut(), n_rows, batch.parse()?, Duration::from_secs_f64(seconds.parse()?), clock)?
            }
            ["load"] => json!({ "ms": peer.load()?.as_secs_f64() * 1e3 }),
            _ => bail!("no command {line:?}"),
        })?;
    }
    Ok(())
}

/// Writes the predictions of all rows, after a look whether single rows get the same.
fn write_answers(peer: &mut dyn Peer, n_rows: usize, path: &str) -> Result<()> {
    peer.predict(0, n_rows)?;
    let whole = peer.answers();
    let width = whole.len() / n_rows;
    ensure!(width > 0, "the result is no array of numbers");
    for row in 0..n_rows.min(COMPARED_ROWS) {
        peer.predict(row, 1)?;
        let (single, whole) = (peer.answers(), &whole[row * width..][..width]);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b.abs().max(1.0) || a.is_nan() && b.is_nan();
        ensure!(single.len() == width && single.iter().zip(whole).all(near), "row {row} differs when it is alone");
    }
    let whole = sawmill::ndarray::Array2::from_shape_vec((n_rows, width), whole)?;
    ndarray_npy::write_npy(path, &whole).context(path.to_owned())
}

/// Times calls for `duration`, one at least; successive calls get successive rows.
fn time(peer: &mut dyn Peer, n_rows: usize, batch: usize, duration: Duration, clock: u64) -> Result<Value> {
    ensure!(0 < batch && batch <= n_rows, "batches of {batch} of {n_rows} rows");
    let (mut next, mut lap) = (0, 0);
    let mut window = || {
        if next + batch > n_rows {
            // Shifted by a row in each lap, so that batches do not come again.
            lap = (lap + 1) % (n_rows - batch + 1).min(batch);
            next = lap;
        }
        next += batch;
        next - batch
    };
    let start = Instant::now();
    loop {
        peer.predict(window(), batch)?;
        if start.elapsed() >= duration.mul_f64(WARM_UP) {
            break;
        }
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.is_empty() || start.elapsed() < duration {
        let first = window();
        let call = Instant::now();
        peer.predict(first, batch)?;
        let time = call.elapsed();
        times.push((time.as_nanos() as u64).saturating_sub(clock));
    }
    times.sort_unstable();
    let quantile = |q: f64| times[((times.len() as f64 * q).ceil() as usize).max(1) - 1] as f64 / batch as f64;
    Ok(json!({ "calls": times.len(), "min": quantile(0.0), "p50": quantile(0.5), "p99": quantile(0.99) }))
}

/// The median time between two readings of the clock, in nanoseconds.
fn clock_overhead() -> u64 {
    let mut times: Vec<u64> = (0..10_001).map(|_| Instant::now().elapsed().as_nanos() as u64).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

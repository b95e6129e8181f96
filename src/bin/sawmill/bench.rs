//! `sawmill bench`: how fast a model predicts on this machine, for batches of several sizes; with `--engine` (`engine.rs`),
//! how an engine bears a load.
//!
//! Before anything is timed, every batch size is checked against the reference evaluator. Batch sizes take turns, so
//! that a machine that changes its pace does so for all of them.

mod engine;
mod measure;
mod plot;
mod pool;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;
use sawmill::{Model, Plan, Predictions, Scratch, Values};
use serde::Serialize;

use self::measure::{Clock, Measurement, NsPerRow};
use self::pool::Pool;
use crate::args::{BenchArgs, Kind};
use crate::input::{Input, name_of};
use crate::progress::Progress;

/// Each batch size is measured in this many turns.
const TURNS: u32 = 10;

/// Warm-up of a batch size, as a share of its time.
const WARM_UP: f64 = 0.1;

/// At most this many visits of trees by the reference evaluator.
const MAX_REFERENCE_VISITS: usize = 1 << 21;

/// What is printed with `--json`. The keys are stable: scripts read them.
#[derive(Serialize)]
struct Report<'a> {
    model: String,
    isa: &'static str,
    threads: usize,
    plan: &'a Plan,
    load_ms: f64,
    rows: RowsReport,
    /// Taken off every timed call.
    timer_ns: f64,
    results: Vec<BatchResult>,
}

#[derive(Serialize)]
struct RowsReport {
    /// The input's name, or nothing if rows were made up.
    input: Option<String>,
    n_rows: usize,
    /// How many of them were compared with the reference evaluator, for each batch size.
    checked: usize,
}

#[derive(Serialize)]
struct BatchResult {
    batch: usize,
    calls: usize,
    ns_per_row: NsPerRow,
    rows_per_s: f64,
}

pub fn run(args: &BenchArgs) -> Result<()> {
    if args.engine {
        return engine::run(args, &args.load);
    }
    let start = Instant::now();
    let model = args.model.load(Kind::Value)?;
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    let largest = args.batch.iter().copied().max().unwrap_or(1);
    let pool = match &args.input {
        Some(path) => Pool::read(Input::open(path, &args.model.rows_schema(&model))?, largest)?,
        None => Pool::made_up(&model, largest)?,
    };
    let checked = check(&model, &pool, &args.batch)?;
    let measurements = measure(&model, &pool, args)?;
    if let Some(path) = &args.plot {
        plot::write(path, &args.model.path, &measurements).with_context(|| path.display().to_string())?;
    }
    let report = Report {
        model: args.model.path.display().to_string(),
        isa: model.plan().isa.name(),
        threads: args.model.n_threads(),
        plan: model.plan(),
        load_ms,
        rows: RowsReport { input: args.input.as_deref().map(name_of), n_rows: pool.n_rows(), checked },
        timer_ns: measurements.first().map_or(0.0, |measurement| measurement.clock.overhead_ns()),
        results: measurements.iter().map(BatchResult::of).collect(),
    };
    let mut out = io::stdout().lock();
    let printed = if args.json { print_json(&mut out, &report) } else { print_text(&mut out, &report) };
    printed.and_then(|()| out.flush()).context("stdout")
}

/// Compares the first rows with the reference evaluator, in batches of every size; how many rows those were.
fn check(model: &Model, pool: &Pool, batches: &[usize]) -> Result<usize> {
    let n_checked = (MAX_REFERENCE_VISITS / model.facts().trees.max(1)).clamp(1, pool.n_rows());
    let expected = bits(&model.predict_reference(pool.rows(0, n_checked))?);
    let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
    for &batch in batches {
        for start in (0..n_checked).step_by(batch) {
            model.predict_into(pool.rows(start, batch.min(pool.n_rows() - start)), &mut predictions, &mut scratch)?;
            let width = predictions.n_columns();
            let pairs = bits(&predictions).into_iter().zip(&expected[start * width..]);
            if let Some(at) = pairs.enumerate().find_map(|(at, (ours, expected))| (ours != *expected).then_some(at)) {
                bail!("batch {batch}, row {}: the kernels differ from the reference evaluator", start + at / width);
            }
        }
    }
    Ok(n_checked)
}

/// Bit patterns; every NaN counts as one.
fn bits(predictions: &Predictions) -> Vec<u64> {
    match predictions.values() {
        Values::F32(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits().into() }).collect(),
        Values::F64(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect(),
        Values::I32(values) => values.iter().map(|&x| x as u64).collect(),
        _ => Vec::new(),
    }
}

fn measure(model: &Model, pool: &Pool, args: &BenchArgs) -> Result<Vec<Measurement>> {
    let clock = Clock::calibrate();
    let mut measurements: Vec<_> = args.batch.iter().map(|&batch| Measurement::new(batch, clock)).collect();
    let whole = Duration::from_secs_f64(args.seconds);
    for measurement in &mut measurements {
        measurement.warm_up(model, pool, whole.mul_f64(WARM_UP))?;
    }
    let mut progress = Progress::new(false);
    let steps = u64::from(TURNS) * measurements.len() as u64;
    let (mut step, mut n_rows) = (0, 0);
    for _ in 0..TURNS {
        for measurement in &mut measurements {
            n_rows += measurement.run(model, pool, whole / TURNS)?;
            step += 1;
            progress.show((step, Some(steps)), n_rows);
        }
    }
    Ok(measurements)
}

impl BatchResult {
    fn of(measurement: &Measurement) -> Self {
        Self {
            batch: measurement.batch,
            calls: measurement.n_calls(),
            ns_per_row: measurement.ns_per_row(),
            rows_per_s: measurement.rows_per_s(),
        }
    }
}

fn print_json(out: &mut impl Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

fn print_text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { model, isa, threads, rows, .. } = report;
    let plural = if *threads == 1 { "" } else { "s" };
    let origin = rows.input.as_deref().unwrap_or("made up around the model's cut points");
    writeln!(out, "{model}: {isa}, {threads} thread{plural}, loaded in {:.1} ms", report.load_ms)?;
    writeln!(out, "{} rows, {origin}; {} checked for each batch size", HumanCount(rows.n_rows as u64), rows.checked)?;
    for line in report.plan.to_string().lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)?;
    let heads = ["batch", "rows/s", "ns/row: min", "p50", "p99", "calls"];
    writeln!(
        out,
        "{:>9} {:>13} {:>12} {:>11} {:>11} {:>11}",
        heads[0], heads[1], heads[2], heads[3], heads[4], heads[5]
    )?;
    for BatchResult { batch, calls, ns_per_row: NsPerRow { min, p50, p99 }, rows_per_s } in &report.results {
        let (rows_per_s, calls) = (HumanCount(*rows_per_s as u64), HumanCount(*calls as u64));
        // Padding applies to strings only.
        let (rows_per_s, calls) = (rows_per_s.to_string(), calls.to_string());
        writeln!(out, "{batch:>9} {rows_per_s:>13} {min:>12.1} {p50:>11.1} {p99:>11.1} {calls:>11}")?;
    }
    Ok(())
}

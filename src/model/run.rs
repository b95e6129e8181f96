//! Running a plan over a batch: blocks of rows, each through kernel and link, on one thread or several.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use ndarray::ArrayView2;

use super::{Inner, Output, Predictions, RankedRows, Values, custom, trees};
use crate::error::{Error, Result};
use crate::graph::State;
use crate::ir::Forest;
use crate::ir::real::Real;
use crate::kernel::{BLOCK_ROWS, Buffers, Kernel};
use crate::plan::Runner;
use crate::rows::{Batch, Dense, Table};
use crate::schema::Classes;

/// Working memory of predictions. Any model may use any scratch; its size follows the largest batch it has served.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// One for every share of a batch that may run at the same time.
    shares: Vec<Buffers>,
    /// Columns written out as rows.
    rows: Vec<f64>,
    /// Numbers of classes while predictions hold their names, and the other way round.
    labels: Values,
    /// Values of a pipeline.
    pub(super) states: Vec<(State, Buffers)>,
}

/// Batches that are reckoned to take fewer nanoseconds than this stay on the caller's thread: others take about a tenth
/// of it to wake up.
const PARALLEL_NS: f64 = 100_000.0;

/// Shares of a batch per thread; more than one lets a fast thread help a slow one.
const SHARES_PER_THREAD: usize = 4;

/// At most this many values are staged at once, unless one row has more.
const BLOCK_CELLS: usize = 1 << 20;

/// Predicts rows of any kind, and names the classes if the model does.
pub(super) fn predict_table(
    model: &Inner,
    table: &Table<'_>,
    predictions: &mut Predictions,
    scratch: &mut Scratch,
) -> Result<()> {
    let mut rows = std::mem::take(&mut scratch.rows);
    take_numbers(model, predictions, scratch);
    let predicted = with_batch(table, &mut rows, |batch| match &model.custom {
        None => predict(model, model.output, batch, predictions, scratch),
        Some(predictor) => custom::predict(predictor.as_ref(), &model.schema, batch, predictions),
    });
    scratch.rows = rows;
    predicted?;
    name_classes(model, predictions, scratch);
    Ok(())
}

/// Predicts ranked rows, and names the classes if the model does.
pub(super) fn predict_ranked(
    model: &Inner,
    rows: &RankedRows,
    predictions: &mut Predictions,
    scratch: &mut Scratch,
) -> Result<()> {
    take_numbers(model, predictions, scratch);
    rows.predict(model, predictions, scratch)?;
    name_classes(model, predictions, scratch);
    Ok(())
}

/// The names of classes, if predictions are to hold them.
fn names(model: &Inner) -> Option<&Classes> {
    model.schema.classes.as_ref().filter(|_| model.output == Output::Label)
}

/// Takes the memory for numbers of classes back.
fn take_numbers(model: &Inner, predictions: &mut Predictions, scratch: &mut Scratch) {
    if names(model).is_some() {
        std::mem::swap(&mut predictions.values, &mut scratch.labels);
    }
}

fn name_classes(model: &Inner, predictions: &mut Predictions, scratch: &mut Scratch) {
    if let Some(classes) = names(model) {
        name_labels(classes, &mut predictions.values, &mut scratch.labels);
    }
}

/// Hands the rows to `use_them`, columns of numbers written out in `rows`.
pub(super) fn with_batch<T>(
    table: &Table<'_>,
    rows: &mut Vec<f64>,
    use_them: impl FnOnce(&Batch<'_>) -> Result<T>,
) -> Result<T> {
    let columns = match table {
        Table::Batch(batch) => return use_them(batch),
        Table::Columns(columns) => columns,
    };
    rows.clear();
    for row in 0..table.n_rows() {
        for (at, column) in columns.iter().enumerate() {
            let value = column.number(row);
            rows.push(value.ok_or_else(|| Error::shape(format!("column {at} is text, the model takes numbers")))?);
        }
    }
    let view = ArrayView2::from_shape((table.n_rows(), columns.len()), rows);
    let view = view.map_err(|cause| Error::shape(cause.to_string()))?;
    use_them(&Batch::Dense(Dense::F64(view)))
}

/// Numbers of classes become their names, and are left in `numbers`.
pub(super) fn name_labels(classes: &Classes, values: &mut Values, numbers: &mut Values) {
    std::mem::swap(values, numbers);
    let Values::I32(labels) = numbers else { return std::mem::swap(values, numbers) };
    let found = labels.iter().map(|&label| usize::try_from(label).unwrap_or(usize::MAX));
    match classes {
        Classes::Integers(names) => {
            if !matches!(values, Values::I64(_)) {
                *values = Values::I64(Vec::new());
            }
            let Values::I64(values) = values else { return };
            values.clear();
            values.extend(found.map(|at| names.get(at).copied().unwrap_or_default()));
        }
        Classes::Names(names) => {
            if !matches!(values, Values::Text(_)) {
                *values = Values::Text(Default::default());
            }
            let Values::Text(values) = values else { return };
            values.clear();
            values.extend(found.map(|at| names.get(at).map(String::as_str).unwrap_or_default()));
        }
    }
}

pub(super) fn predict(
    model: &Inner,
    output: Output,
    batch: &Batch<'_>,
    predictions: &mut Predictions,
    scratch: &mut Scratch,
) -> Result<()> {
    match &model.runner {
        Runner::F32(kernel) => predict_sums(model, kernel.as_ref(), output, batch, predictions, scratch),
        Runner::F64(kernel) => predict_sums(model, kernel.as_ref(), output, batch, predictions, scratch),
    }
}

/// Sum types, with their places in predictions and buffers.
pub(super) trait Sum: Real {
    fn values(values: &mut Values) -> &mut Vec<Self>;
    fn buffer(buffers: &mut Buffers) -> &mut Vec<Self>;
}

macro_rules! sum {
    ($float:ident, $variant:ident, $buffer:ident) => {
        impl Sum for $float {
            fn values(values: &mut Values) -> &mut Vec<Self> {
                if !matches!(values, Values::$variant(_)) {
                    *values = Values::$variant(Vec::new());
                }
                match values {
                    Values::$variant(values) => values,
                    _ => unreachable!("set above"),
                }
            }
            fn buffer(buffers: &mut Buffers) -> &mut Vec<Self> {
                &mut buffers.$buffer
            }
        }
    };
}

sum!(f32, F32, sums_f32);
sum!(f64, F64, sums_f64);

pub(super) fn integers(values: &mut Values) -> &mut Vec<i32> {
    if !matches!(values, Values::I32(_)) {
        *values = Values::I32(Vec::new());
    }
    match values {
        Values::I32(values) => values,
        _ => unreachable!("set above"),
    }
}

pub(super) fn predict_sums<S: Sum>(
    model: &Inner,
    kernel: &dyn Kernel<S>,
    output: Output,
    batch: &Batch<'_>,
    predictions: &mut Predictions,
    scratch: &mut Scratch,
) -> Result<()> {
    let forest = &model.forest;
    let (n_rows, n_outputs) = (batch.n_rows(), forest.n_outputs());
    let n_values = forest.link().n_values(n_outputs);
    predictions.n_rows = n_rows;
    let values = &mut predictions.values;
    match output {
        Output::Margin => {
            predictions.n_columns = n_outputs;
            in_blocks(model, batch, n_outputs, S::values(values), scratch, |rows, margins, buffers| {
                kernel.margins(batch, rows, margins, buffers);
                forest.finish_margins(margins);
            })
        }
        Output::Value if n_values >= n_outputs => {
            predictions.n_columns = n_values;
            in_blocks(model, batch, n_values, S::values(values), scratch, |rows, values, buffers| {
                let n_rows = rows.len();
                kernel.margins(batch, rows, &mut values[..n_rows * n_outputs], buffers);
                forest.finish_margins(&mut values[..n_rows * n_outputs]);
                link(forest, forest.divisor(), values, n_rows);
            })
        }
        Output::Value => {
            predictions.n_columns = n_values;
            in_blocks(model, batch, n_values, S::values(values), scratch, |rows, values, buffers| {
                with_linked(forest, kernel, batch, rows, buffers, |linked| {
                    for (value, linked) in values.chunks_exact_mut(n_values).zip(linked.chunks_exact(n_outputs)) {
                        value.copy_from_slice(&linked[..n_values]);
                    }
                });
            })
        }
        Output::Label => {
            predictions.n_columns = 1;
            let labels_of = forest.labels();
            in_blocks(model, batch, 1, integers(values), scratch, |rows, labels, buffers| {
                let mut read = |values: &[S], width: usize, n_values: usize| {
                    for (label, row) in labels.iter_mut().zip(values.chunks_exact(width)) {
                        *label = labels_of.of(&row[..n_values]).expect("checked when the model was loaded");
                    }
                };
                if labels_of.reads_margins() {
                    with_margins(forest, kernel, batch, rows, buffers, |margins| read(margins, n_outputs, n_outputs));
                } else {
                    let width = n_values.max(n_outputs);
                    with_linked(forest, kernel, batch, rows, buffers, |linked| read(linked, width, n_values));
                }
            })
        }
        Output::Leaf => {
            let n_trees = forest.n_trees();
            predictions.n_columns = n_trees;
            in_blocks(model, batch, n_trees, integers(values), scratch, |rows, ids, buffers| {
                let mut leaves = std::mem::take(&mut buffers.leaves);
                leaves.clear();
                leaves.resize(ids.len(), 0);
                kernel.leaves(batch, rows, &mut leaves, buffers);
                for (id, &leaf) in ids.iter_mut().zip(&leaves) {
                    *id = forest.leaf_ids()[leaf as usize] as i32;
                }
                buffers.leaves = leaves;
            })
        }
        Output::TreeValues => {
            let width = model.n_columns(output);
            predictions.n_columns = width;
            in_blocks(model, batch, width, S::values(values), scratch, |rows, values, buffers| {
                trees::values(model, kernel, batch, rows, values, buffers);
            })
        }
    }
}

/// Margins to values, in place, where a mean divides by `divisor`. `rows` has the margins of `n_rows` rows at its front
/// and room for as many values.
pub(super) fn link<S: Sum>(forest: &Forest, divisor: f64, rows: &mut [S], n_rows: usize) {
    let (n_outputs, width) = (forest.n_outputs(), rows.len() / n_rows.max(1));
    let divisor = S::from_f64(divisor);
    if divisor != S::ONE {
        for margin in &mut rows[..n_rows * n_outputs] {
            *margin = *margin / divisor;
        }
    }
    if width > n_outputs {
        // From the last row on: a row that widens must not write over margins that are still to be read.
        for row in (0..n_rows).rev() {
            rows.copy_within(row * n_outputs..(row + 1) * n_outputs, row * width);
        }
    }
    forest.link().apply(rows, width);
}

/// Hands the margins of `rows`, `n_outputs` a row, to `use_them`.
fn with_margins<S: Sum>(
    forest: &Forest,
    kernel: &dyn Kernel<S>,
    batch: &Batch<'_>,
    rows: Range<usize>,
    buffers: &mut Buffers,
    use_them: impl FnOnce(&mut Vec<S>),
) {
    // Taken out while the kernel borrows the rest.
    let mut sums = std::mem::take(S::buffer(buffers));
    sums.clear();
    sums.resize(rows.len() * forest.n_outputs(), S::ZERO);
    kernel.margins(batch, rows, &mut sums, buffers);
    forest.finish_margins(&mut sums);
    use_them(&mut sums);
    *S::buffer(buffers) = sums;
}

/// Hands the linked margins of `rows` to `use_them`: as many numbers a row as there are margins, or values if those
/// are more.
fn with_linked<S: Sum>(
    forest: &Forest,
    kernel: &dyn Kernel<S>,
    batch: &Batch<'_>,
    rows: Range<usize>,
    buffers: &mut Buffers,
    use_them: impl FnOnce(&[S]),
) {
    let n_rows = rows.len();
    with_margins(forest, kernel, batch, rows, buffers, |sums| {
        sums.resize(n_rows * forest.link().n_values(forest.n_outputs()).max(forest.n_outputs()), S::ZERO);
        link(forest, forest.divisor(), sums, n_rows);
        use_them(sums);
    });
}

/// Calls `work(rows, their part of out, buffers)` for all rows, in blocks, perhaps on several threads.
///
/// # Errors
/// A shape error when there is no memory for the result: views can claim any number of rows.
pub(super) fn in_blocks<V: Clone + Default + Send>(
    model: &Inner,
    batch: &Batch<'_>,
    width: usize,
    out: &mut Vec<V>,
    scratch: &mut Scratch,
    work: impl Fn(Range<usize>, &mut [V], &mut Buffers) + Sync,
) -> Result<()> {
    out.clear();
    let n_rows = batch.n_rows();
    let total = n_rows.checked_mul(width).filter(|&total| out.try_reserve_exact(total).is_ok()).ok_or_else(|| {
        Error::shape(format!("{n_rows} rows of {width} predictions are more than memory has room for"))
    })?;
    out.resize(total, V::default());
    if out.is_empty() {
        return Ok(());
    }
    let share = |first: usize, out: &mut [V], buffers: &mut Buffers| {
        // Blocks are staged whole, so rows of very many columns come in blocks of few.
        let block_rows = (BLOCK_CELLS / batch.n_columns().max(1)).clamp(1, BLOCK_ROWS);
        for (block, out) in out.chunks_mut(block_rows * width).enumerate() {
            let start = first + block * block_rows;
            work(start..start + out.len() / width, out, buffers);
        }
    };
    match &model.pool {
        Some(pool) if n_rows > 1 && n_rows as f64 * model.plan.ns_per_row >= PARALLEL_NS => {
            let threads = pool.current_num_threads() + 1;
            let rows_per_share =
                n_rows.div_ceil(threads * SHARES_PER_THREAD).next_multiple_of(model.plan.dispatch.rows_at_once());
            let takers = threads.min(n_rows.div_ceil(rows_per_share));
            scratch.shares.resize_with(takers.max(scratch.shares.len()), Buffers::default);
            let shares = Mutex::new(out.chunks_mut(rows_per_share * width).enumerate());
            let next = || shares.lock().unwrap_or_else(PoisonError::into_inner).next();
            let take = |buffers: &mut Buffers| {
                while let Some((index, out)) = next() {
                    share(index * rows_per_share, out, buffers);
                }
            };
            let (own, others) = scratch.shares[..takers].split_first_mut().expect("there are rows");
            // The caller takes shares too, and does not wait for the others to wake up.
            pool.in_place_scope(|scope| {
                for buffers in others {
                    scope.spawn(|_| take(buffers));
                }
                take(own);
            });
        }
        _ => {
            if scratch.shares.is_empty() {
                scratch.shares.push(Buffers::default());
            }
            let buffers = &mut scratch.shares[0];
            // Nothing is divided for a lone row.
            if n_rows == 1 { work(0..1, out, buffers) } else { share(0, out, buffers) }
        }
    }
    Ok(())
}

//! Predictions that look at trees one by one: what each adds, sums after every iteration, sums that start elsewhere.
//!
//! The kernel finds the leaves; values are looked up in the forest and added in tree order, as the reference evaluator
//! does it. That is slower than a kernel's own sum, and exact for every model.

use std::ops::Range;

use super::run::{self, Scratch, Sum};
use super::{Inner, Output, Predictions};
use crate::error::{Error, Result};
use crate::ir::{BasePosition, Float, Forest, Target};
use crate::kernel::stage::InputRule;
use crate::kernel::{Buffers, Kernel};
use crate::plan::Runner;
use crate::rows::Batch;

/// Predicts `batch` with every row's sum starting from its part of `base_margin`.
pub(super) fn predict_from(
    model: &Inner,
    batch: &Batch<'_>,
    base_margin: &[f32],
    predictions: &mut Predictions,
) -> Result<()> {
    let (n_rows, n_outputs) = (batch.n_rows(), model.forest.n_outputs());
    if n_rows.checked_mul(n_outputs) != Some(base_margin.len()) {
        let found = base_margin.len();
        return Err(Error::shape(format!("{found} base margins for {n_rows} rows of {n_outputs} outputs")));
    }
    let scratch = &mut Scratch::default();
    match &model.runner {
        Runner::F32(kernel) => {
            let kernel = FromBase { model, kernel: kernel.as_ref(), base_margin };
            run::predict_sums(model, &kernel, model.output, batch, predictions, scratch)
        }
        Runner::F64(kernel) => {
            let kernel = FromBase { model, kernel: kernel.as_ref(), base_margin };
            run::predict_sums(model, &kernel, model.output, batch, predictions, scratch)
        }
    }
}

/// Predicts `batch` after every iteration.
pub(super) fn predict_staged(model: &Inner, batch: &Batch<'_>, predictions: &mut Predictions) -> Result<()> {
    match model.output {
        Output::Value | Output::Margin | Output::Label => {}
        Output::Leaf | Output::TreeValues => {
            return Err(Error::option(
                "stages of leaves: every iteration has its own; stages are of values or margins",
            ));
        }
    }
    if model.forest.is_linear_model() {
        return Err(Error::option("stages asked of a linear model, which has no iterations"));
    }
    match &model.runner {
        Runner::F32(kernel) => staged(model, kernel.as_ref(), batch, predictions),
        Runner::F64(kernel) => staged(model, kernel.as_ref(), batch, predictions),
    }
}

fn staged<S: Sum>(
    model: &Inner,
    kernel: &dyn Kernel<S>,
    batch: &Batch<'_>,
    predictions: &mut Predictions,
) -> Result<()> {
    let (n_rows, width) = (batch.n_rows(), model.n_columns(model.output));
    let n_columns = model.forest.n_iterations() * width;
    predictions.n_rows = n_rows;
    predictions.n_columns = n_columns;
    let (values, scratch) = (&mut predictions.values, &mut Scratch::default());
    if model.output == Output::Label {
        let labels = model.forest.labels();
        let n_values = if labels.reads_margins() { model.forest.n_outputs() } else { model.n_columns(Output::Value) };
        return run::in_blocks(model, batch, n_columns, run::integers(values), scratch, |rows, out, buffers| {
            each_stage(model, kernel, batch, rows, buffers, |stage, values| {
                out[stage] = labels.of(&values[..n_values]).expect("checked when the model was loaded");
            });
        });
    }
    run::in_blocks(model, batch, n_columns, S::values(values), scratch, |rows, out, buffers| {
        each_stage(model, kernel, batch, rows, buffers, |stage, values| {
            out[stage * width..][..width].copy_from_slice(&values[..width]);
        });
    })
}

/// Calls `found` with the values (margins, if the model predicts these) of every row after every iteration, and the
/// number of such calls before it.
fn each_stage<S: Sum>(
    model: &Inner,
    kernel: &dyn Kernel<S>,
    batch: &Batch<'_>,
    rows: Range<usize>,
    buffers: &mut Buffers,
    mut found: impl FnMut(usize, &[S]),
) {
    let forest = &model.forest;
    let base: Vec<S> = forest.base().iter().map(|&base| S::from_f64(base)).collect();
    let base_first = forest.profile().base == BasePosition::First;
    let (mut sums, mut values, mut counts) = (base.clone(), base.clone(), vec![0; base.len()]);
    let (n_outputs, n_values) = (forest.n_outputs(), model.n_columns(Output::Value));
    values.resize(n_values.max(n_outputs), S::ZERO);
    let mut stage = 0;
    each_row(model, kernel, batch, rows, buffers, |_, row| {
        if base_first {
            sums.copy_from_slice(&base);
        } else {
            sums.fill(S::ZERO);
        }
        counts.fill(0);
        let mut first = 0;
        for (iteration, &end) in forest.iteration_ends().iter().enumerate() {
            for tree in first..end {
                row.add(tree, &mut sums);
                forest.count_tree(tree, &mut counts);
            }
            first = end;
            values[..n_outputs].copy_from_slice(&sums);
            forest.finish_margins_of(&counts, &mut values[..n_outputs]);
            if !model.reads_margins(model.output) {
                run::link(forest, forest.divisor_of(iteration + 1), &mut values, 1);
            }
            found(stage, &values);
            stage += 1;
        }
    });
}

/// Writes what every tree adds for `rows`: `rows.len()` rows of [`Output::TreeValues`].
pub(super) fn values<S: Sum>(
    model: &Inner,
    kernel: &dyn Kernel<S>,
    batch: &Batch<'_>,
    rows: Range<usize>,
    values: &mut [S],
    buffers: &mut Buffers,
) {
    let width = model.forest.tree_width();
    let n_columns = model.n_columns(Output::TreeValues);
    each_row(model, kernel, batch, rows, buffers, |index, row| {
        for (tree, values) in values[index * n_columns..][..n_columns].chunks_exact_mut(width).enumerate() {
            for (at, value) in values.iter_mut().enumerate() {
                *value = row.value(tree, at);
            }
        }
    });
}

/// A row and the leaves it falls into.
struct RowLeaves<'a> {
    forest: &'a Forest,
    /// The leaf in every tree.
    leaves: &'a [u32],
    /// The row as the trees read it, if leaves hold linear models.
    read: &'a [f64],
}

impl RowLeaves<'_> {
    /// Number `at` of the values of a tree, times its weight.
    fn value<S: Sum>(&self, tree: usize, at: usize) -> S {
        let leaf = self.leaves[tree] as usize;
        let value = match self.forest.tree_width() {
            1 => self.forest.eval_leaf(leaf, self.read),
            _ => S::from_f64(self.forest.leaf(leaf)[at]),
        };
        value * S::from_f64(self.forest.trees()[tree].weight)
    }

    /// Adds a tree to the sums of the row.
    fn add<S: Sum>(&self, tree: usize, sums: &mut [S]) {
        match self.forest.trees()[tree].target {
            Target::One(output) => sums[output as usize] += self.value(tree, 0),
            Target::All => sums.iter_mut().enumerate().for_each(|(at, sum)| *sum += self.value(tree, at)),
        }
    }
}

/// Calls `found` with the number and the leaves of each of `rows`.
fn each_row<S: Sum>(
    model: &Inner,
    kernel: &dyn Kernel<S>,
    batch: &Batch<'_>,
    rows: Range<usize>,
    buffers: &mut Buffers,
    mut found: impl FnMut(usize, &RowLeaves<'_>),
) {
    let forest = &model.forest;
    let n_trees = forest.n_trees();
    let mut leaves = std::mem::take(&mut buffers.leaves);
    leaves.clear();
    leaves.resize(rows.len() * n_trees, 0);
    kernel.leaves(batch, rows.clone(), &mut leaves, buffers);
    let mut all = |read: &[f64]| {
        let width = if read.is_empty() { 0 } else { forest.n_features() };
        for index in 0..rows.len() {
            let leaves = &leaves[index * n_trees..][..n_trees];
            found(index, &RowLeaves { forest, leaves, read: &read[index * width..][..width] });
        }
    };
    if forest.linear().is_none() {
        all(&[]);
    } else {
        let mut staged = std::mem::take(&mut buffers.staged_f64);
        match forest.profile().input {
            Float::F32 => {
                let rule = InputRule::new(forest, model.sentinel);
                let block = rule.stage(batch, rows.clone(), &mut buffers.staged_f32);
                staged.clear();
                staged.extend(block.values.iter().map(|&value: &f32| f64::from(value)));
                all(&staged);
            }
            Float::F64 => {
                let rule = InputRule::new(forest, model.sentinel);
                all(rule.stage(batch, rows.clone(), &mut staged).values);
            }
        }
        buffers.staged_f64 = staged;
    }
    buffers.leaves = leaves;
}

/// A kernel whose margins start from the caller's.
struct FromBase<'a, S> {
    model: &'a Inner,
    kernel: &'a dyn Kernel<S>,
    /// Of all rows of the batch.
    base_margin: &'a [f32],
}

impl<S: Sum> Kernel<S> for FromBase<'_, S> {
    fn margins(&self, batch: &Batch<'_>, rows: Range<usize>, margins: &mut [S], buffers: &mut Buffers) {
        let forest = &self.model.forest;
        let (n_trees, k) = (forest.n_trees(), forest.n_outputs());
        let start = &self.base_margin[rows.start * k..rows.end * k];
        for (margin, &start) in margins.iter_mut().zip(start) {
            *margin = S::from_f64(start.into());
        }
        each_row(self.model, self.kernel, batch, rows, buffers, |index, row| {
            let sums = &mut margins[index * k..][..k];
            if forest.is_linear_model() {
                for (sum, &leaf) in sums.iter_mut().zip(row.leaves) {
                    let leaf = leaf as usize;
                    *sum = forest.eval_leaf_from(leaf, S::from_f64(forest.leaf(leaf)[0]) + *sum, row.read);
                }
            } else {
                (0..n_trees).for_each(|tree| row.add(tree, sums));
            }
        });
    }

    fn leaves(&self, batch: &Batch<'_>, rows: Range<usize>, leaves: &mut [u32], buffers: &mut Buffers) {
        self.kernel.leaves(batch, rows, leaves, buffers);
    }

    fn heap_bytes(&self) -> usize {
        self.kernel.heap_bytes()
    }
}

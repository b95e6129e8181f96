//! Rows ranked once and predicted many times.
//!
//! What kernels ask of a row is where its values lie among a model's cut points. That is found once here, for one model or
//! for several, each of which finds its own ranks; models that ask the same and read rows the same way share them.

use std::ops::Range;

use ndarray::ArrayView2;

use super::run::{self, Scratch};
use super::{Inner, Output, Predictions};
use crate::error::{Error, Result};
use crate::ir::NumericProfile;
use crate::kernel::level::Chunk;
use crate::kernel::{Asked, Buffers, CHUNK, Kernel, Ranked, RankedKernel, RankedMut};
use crate::plan::Runner;
use crate::rows::{Batch, Dense};

/// Rows that have been compared with the cut points of models: see [`Model::rank`](crate::Model::rank) and
/// [`Model::rank_for`](crate::Model::rank_for).
#[derive(Clone)]
pub struct RankedRows {
    n_rows: usize,
    /// Of models that differ in what they ask.
    of_models: Vec<OfModel>,
}

/// The ranks of all rows, as some models ask for them.
#[derive(Clone)]
struct OfModel {
    reading: Reading,
    asked: Asked,
    columns: Vec<Chunk>,
    words: Vec<u16>,
}

/// What else than ranks shapes what becomes of a row.
#[derive(Clone, Copy, PartialEq)]
struct Reading {
    n_features: usize,
    profile: NumericProfile,
    flushes_tiny: bool,
    sentinel: Option<u64>,
}

impl Reading {
    fn of(model: &Inner) -> Self {
        let forest = &model.forest;
        Self {
            n_features: forest.n_features(),
            profile: forest.profile(),
            flushes_tiny: forest.flushes_tiny(),
            sentinel: model.sentinel.map(f64::to_bits),
        }
    }
}

impl OfModel {
    fn heap_bytes(&self) -> usize {
        size_of_val(&*self.columns) + size_of_val(&*self.words)
    }
}

impl RankedRows {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Bytes it holds, for all models that differ in what they ask. Circuits ask for a byte of each row and column, rows
    /// rounded up to 64; a feature has a column for every 255 cut points and way of missing values, one of categories two
    /// for every 256 that the model tells apart. Ranked walks ask for two bytes of each row for every feature and way of
    /// missing values, and for every test of categories.
    pub fn heap_bytes(&self) -> usize {
        self.of_models.iter().map(OfModel::heap_bytes).sum()
    }

    /// Ranks the rows of `batch` for `models`.
    pub(super) fn new<'m>(models: impl IntoIterator<Item = &'m Inner>, batch: &Batch<'_>) -> Result<Self> {
        let mut ranked = Self { n_rows: batch.n_rows(), of_models: Vec::new() };
        for model in models {
            match &model.runner {
                Runner::F32(kernel) => ranked.add(of_ranked(kernel.as_ref(), model)?, model, batch)?,
                Runner::F64(kernel) => ranked.add(of_ranked(kernel.as_ref(), model)?, model, batch)?,
            }
        }
        Ok(ranked)
    }

    /// Adds what `model` asks, unless it is there.
    fn add<S>(&mut self, kernel: &dyn RankedKernel<S>, model: &Inner, batch: &Batch<'_>) -> Result<()> {
        let (n_rows, reading, asked) = (self.n_rows, Reading::of(model), kernel.asked());
        if self.of(reading, &asked).is_some() {
            return Ok(());
        }
        let no_room = || Error::shape(format!("{n_rows} ranked rows are more than memory has room for"));
        let mut columns = zeros(n_rows.div_ceil(CHUNK), asked.n_columns(), Chunk::ZERO).ok_or_else(no_room)?;
        let mut words = zeros(n_rows, asked.n_words(), 0).ok_or_else(no_room)?;
        let mut buffers = Buffers::default();
        let (mut columns_left, mut words_left) = (&mut *columns, &mut *words);
        for first in (0..n_rows).step_by(CHUNK) {
            let rows = first..(first + CHUNK).min(n_rows);
            let (columns, words);
            (columns, columns_left) = columns_left.split_at_mut(asked.n_columns());
            (words, words_left) = words_left.split_at_mut(rows.len() * asked.n_words());
            kernel.rank(batch, rows, RankedMut { columns, words }, &mut buffers);
        }
        self.of_models.push(OfModel { reading, asked, columns, words });
        Ok(())
    }

    /// The ranks that have what a model of this reading asks, if it is there.
    fn of(&self, reading: Reading, asked: &Asked) -> Option<&OfModel> {
        self.of_models.iter().find(|of| of.reading == reading && of.asked.covers(asked))
    }

    /// Predicts the rows with `model`.
    pub(super) fn predict(&self, model: &Inner, predictions: &mut Predictions, scratch: &mut Scratch) -> Result<()> {
        if matches!(model.output, Output::Leaf | Output::TreeValues) {
            return Err(Error::option("leaves asked of ranked rows: ranks are enough for sums only"));
        }
        match &model.runner {
            Runner::F32(kernel) => self.predict_by(kernel.as_ref(), model, predictions, scratch),
            Runner::F64(kernel) => self.predict_by(kernel.as_ref(), model, predictions, scratch),
        }
    }

    fn predict_by<S: run::Sum>(
        &self,
        kernel: &dyn Kernel<S>,
        model: &Inner,
        predictions: &mut Predictions,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let kernel = of_ranked(kernel, model)?;
        let of_model = self.of(Reading::of(model), &kernel.asked()).ok_or_else(|| {
            Error::option(
                "rows ranked for models of other cut points; `Model::rank_for` takes every model they are for",
            )
        })?;
        // What the kernel would read of the rows is in the ranks.
        let none =
            ArrayView2::<f32>::from_shape((self.n_rows, 0), &[]).map_err(|cause| Error::shape(cause.to_string()))?;
        let kernel = OfRanked { kernel, of_model };
        run::predict_sums(model, &kernel, model.output, &Batch::Dense(Dense::F32(none)), predictions, scratch)
    }
}

/// As many values as `n` times `width`, if memory has room for them.
fn zeros<T: Clone>(n: usize, width: usize, zero: T) -> Option<Vec<T>> {
    let (length, mut values) = (n.checked_mul(width)?, Vec::new());
    values.try_reserve_exact(length).ok()?;
    values.resize(length, zero);
    Some(values)
}

impl std::fmt::Debug for RankedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RankedRows").field("n_rows", &self.n_rows).finish_non_exhaustive()
    }
}

/// The kernel for ranked rows, or why there is none.
fn of_ranked<'a, S>(kernel: &'a dyn Kernel<S>, model: &Inner) -> Result<&'a dyn RankedKernel<S>> {
    kernel.of_ranked().ok_or_else(|| {
        let refused = |kind: &str| model.plan.refused.iter().find(|refused| refused.name == kind);
        let reasons = ["circuit", "row"].into_iter().filter_map(refused);
        let reasons: Vec<_> = reasons.map(|refused| format!("{}: {}", refused.name, refused.reason)).collect();
        Error::option(format!("ranked rows asked of a model whose kernels compare values ({})", reasons.join("; ")))
    })
}

/// Evaluates ranked rows in place of those it is given.
struct OfRanked<'a, S> {
    kernel: &'a dyn RankedKernel<S>,
    of_model: &'a OfModel,
}

impl<S: run::Sum> Kernel<S> for OfRanked<'_, S> {
    fn margins(&self, _: &Batch<'_>, rows: Range<usize>, margins: &mut [S], buffers: &mut Buffers) {
        let OfModel { asked, columns, words, .. } = self.of_model;
        // Blocks of a model of circuits begin with a chunk.
        self.kernel.margins_of_ranked(Ranked { columns, words }.rows(asked, rows), margins, buffers);
    }

    fn leaves(&self, _: &Batch<'_>, _: Range<usize>, _: &mut [u32], _: &mut Buffers) {
        unreachable!("leaves of ranked rows are refused")
    }

    fn heap_bytes(&self) -> usize {
        self.of_model.heap_bytes()
    }
}

//! Rows ranked once and predicted many times.
//!
//! What a circuit asks of a row is where its values lie among the model's own cut points. That is found once here; it
//! means something only to models that have the same cut points and read rows the same way.

use std::ops::Range;
use std::sync::Arc;

use ndarray::ArrayView2;

use super::run::{self, Scratch};
use super::{Inner, Output, Predictions};
use crate::error::{Error, Result};
use crate::ir::NumericProfile;
use crate::kernel::level::Chunk;
use crate::kernel::{Buffers, CHUNK, Kernel, RankedKernel, Ranks};
use crate::plan::Runner;
use crate::rows::{Batch, Dense};

/// Rows that have been compared with the cut points of a model: see [`Model::rank`](crate::Model::rank).
#[derive(Clone)]
pub struct RankedRows {
    n_rows: usize,
    /// Chunks of rows, each of them column after column.
    chunks: Vec<Chunk>,
    ranks: Arc<Ranks>,
    reading: Reading,
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

impl RankedRows {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Bytes it holds: for 64 rows at a time a byte for each row and column, of which a feature that the model uses has
    /// one for every 255 cut points and way of missing values, and one of categories two for every 256 that the model
    /// tells apart.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.chunks)
    }

    /// Ranks the rows of `batch` for `model`.
    pub(super) fn new(model: &Inner, batch: &Batch<'_>) -> Result<Self> {
        match &model.runner {
            Runner::F32(kernel) => Self::by(kernel.as_ref(), model, batch),
            Runner::F64(kernel) => Self::by(kernel.as_ref(), model, batch),
        }
    }

    fn by<S>(kernel: &dyn Kernel<S>, model: &Inner, batch: &Batch<'_>) -> Result<Self> {
        let (kernel, n_rows, reading) = (of_ranked(kernel, model)?, batch.n_rows(), Reading::of(model));
        let ranks = kernel.ranks().clone();
        let mut chunks = Vec::new();
        let length = n_rows.div_ceil(CHUNK).checked_mul(ranks.n_columns);
        let room = length.filter(|&length| chunks.try_reserve_exact(length).is_ok());
        let length =
            room.ok_or_else(|| Error::shape(format!("{n_rows} ranked rows are more than memory has room for")))?;
        chunks.resize(length, Chunk::ZERO);
        let mut buffers = Buffers::default();
        // Without columns there is nothing to rank.
        for (index, chunk) in chunks.chunks_exact_mut(ranks.n_columns.max(1)).enumerate() {
            let rows = index * CHUNK..((index + 1) * CHUNK).min(n_rows);
            kernel.rank(batch, rows, chunk, &mut buffers);
        }
        Ok(Self { n_rows, chunks, ranks, reading })
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
        let same = Arc::ptr_eq(kernel.ranks(), &self.ranks) || **kernel.ranks() == *self.ranks;
        if !same || Reading::of(model) != self.reading {
            return Err(Error::option("rows ranked for a model of other cut points"));
        }
        // What the kernel would read of the rows is in the ranks.
        let none =
            ArrayView2::<f32>::from_shape((self.n_rows, 0), &[]).map_err(|cause| Error::shape(cause.to_string()))?;
        let kernel = OfRanked { kernel, rows: self };
        run::predict_sums(model, &kernel, model.output, &Batch::Dense(Dense::F32(none)), predictions, scratch)
    }
}

impl std::fmt::Debug for RankedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RankedRows").field("n_rows", &self.n_rows).finish_non_exhaustive()
    }
}

/// The kernel for ranked rows, or why there is none.
fn of_ranked<'a, S>(kernel: &'a dyn Kernel<S>, model: &Inner) -> Result<&'a dyn RankedKernel<S>> {
    kernel.of_ranked().ok_or_else(|| {
        let refused = model.plan.refused.iter().find(|refused| refused.name == "circuit");
        let reason = refused.map_or_else(String::new, |refused| format!(": {}", refused.reason));
        Error::option(format!("ranked rows asked of a model that is not all circuits{reason}"))
    })
}

/// Evaluates ranked rows in place of those it is given.
struct OfRanked<'a, S> {
    kernel: &'a dyn RankedKernel<S>,
    rows: &'a RankedRows,
}

impl<S: run::Sum> Kernel<S> for OfRanked<'_, S> {
    fn margins(&self, _: &Batch<'_>, rows: Range<usize>, margins: &mut [S], buffers: &mut Buffers) {
        // Blocks of a model of circuits begin with a chunk.
        let n_columns = self.rows.ranks.n_columns;
        let chunks = rows.start / CHUNK * n_columns..rows.end.div_ceil(CHUNK) * n_columns;
        self.kernel.margins_of_ranked(&self.rows.chunks[chunks], margins, buffers);
    }

    fn leaves(&self, _: &Batch<'_>, _: Range<usize>, _: &mut [u32], _: &mut Buffers) {
        unreachable!("leaves of ranked rows are refused")
    }

    fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes()
    }
}

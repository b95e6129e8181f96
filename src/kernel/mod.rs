//! Kernels: what turns rows into sums of leaves, equal to [`ir::eval`](crate::ir::eval) to the bit.
//!
//! A kernel allocates only in the [`Buffers`] it is handed, spawns nothing and locks nothing. It adds the leaves of a
//! row in tree order whatever the batch, so a row has the same bits in every batch.

pub(crate) mod stage;
pub(crate) mod walk;

use std::ops::Range;

use crate::rows::Batch;

/// Rows a caller should hand to a kernel at once: enough to reuse a tree while it is in the nearest cache.
pub(crate) const BLOCK_ROWS: usize = 128;

/// Evaluates a forest whose sums are of type `S`.
pub(crate) trait Kernel<S>: Send + Sync {
    /// Writes the sums of leaves of `rows`, row after row, to `margins`: `rows.len() * n_outputs` values. They start from
    /// the base score if it comes first; [`Forest::finish_margins`](crate::ir::Forest::finish_margins) makes margins of
    /// them.
    fn margins(&self, batch: &Batch<'_>, rows: Range<usize>, margins: &mut [S], buffers: &mut Buffers);

    /// Writes the forest's index of each row's leaf in each tree, row after row: `rows.len() * n_trees` values.
    fn leaves(&self, batch: &Batch<'_>, rows: Range<usize>, leaves: &mut [u32], buffers: &mut Buffers);

    /// Bytes the kernel holds.
    fn heap_bytes(&self) -> usize;
}

/// Working memory of one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) staged_f32: Vec<f32>,
    pub(crate) staged_f64: Vec<f64>,
    pub(crate) sums_f32: Vec<f32>,
    pub(crate) sums_f64: Vec<f64>,
    pub(crate) leaves: Vec<u32>,
}

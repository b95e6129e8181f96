//! Kernels: what turns rows into sums of leaves, equal to [`ir::eval`](crate::ir::eval) to the bit.
//!
//! A kernel allocates only in the [`Buffers`] it is handed, spawns nothing and locks nothing. It adds the leaves of a
//! row in tree order whatever the batch, so a row has the same bits in every batch.
#![allow(
    clippy::needless_range_loop,
    clippy::manual_memcpy,
    reason = "hot loops go by index: adaptors of iterators are calls that are not always inlined into a function of other features, with twice the time where they are not"
)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod block;
mod bytes;
mod calculate;
mod circuit;
pub(crate) mod dispatch;
pub(crate) mod forest;
pub(crate) mod level;
mod levels;
mod product;
mod rank;
mod ranked;
mod row;
pub(crate) mod stage;
mod steps;
mod tiles;
mod tops;
mod values;
pub(crate) mod walk;

use std::ops::Range;

pub(crate) use self::calculate::Calculate;
use self::level::{Chunk, Level};
pub(crate) use self::ranked::{Asked, Ranked, RankedKernel, RankedMut};
use crate::ir::real::Real;
use crate::layout::bytes::REGISTER;
use crate::layout::class_masks::Masks;
use crate::rows::Batch;

/// Rows of a byte column that are worked on at once: one register of the widest instruction set.
pub(crate) const CHUNK: usize = 64;

/// Rows a caller should hand to a kernel at once: enough to spread the cost of reading a tree, few enough that their
/// ranks stay in the nearest cache.
pub(crate) const BLOCK_ROWS: usize = 8 * CHUNK;

/// Evaluates a forest whose sums are of type `S`.
pub(crate) trait Kernel<S>: Send + Sync {
    /// Writes the sums of leaves of `rows`, row after row, to `margins`: `rows.len() * n_outputs` values. They start from
    /// the base score if it comes first; [`Forest::finish_margins`](crate::ir::Forest::finish_margins) makes margins of
    /// them.
    fn margins(&self, batch: &Batch<'_>, rows: Range<usize>, margins: &mut [S], buffers: &mut Buffers);

    /// Writes the forest's index of each row's leaf in each tree, row after row: `rows.len() * n_trees` values.
    fn leaves(&self, batch: &Batch<'_>, rows: Range<usize>, leaves: &mut [u32], buffers: &mut Buffers);

    /// Bytes of what it walks, which is laid out now if it has not been.
    fn heap_bytes(&self) -> usize;

    /// The part of it that rows can be ranked for beforehand, if ranks tell all there is to know of them.
    fn of_ranked(&self) -> Option<&dyn RankedKernel<S>> {
        None
    }
}

/// Working memory of one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) staged_f32: Vec<f32>,
    pub(crate) staged_f64: Vec<f64>,
    pub(crate) sums_f32: Vec<f32>,
    pub(crate) sums_f64: Vec<f64>,
    pub(crate) leaves: Vec<u32>,
    columns: Vec<Chunk>,
    of_row: OfRow,
    words_f32: Vec<f32>,
    words_f64: Vec<f64>,
    slots: Vec<Chunk>,
    chunks_f32: Vec<[f32; CHUNK]>,
    chunks_f64: Vec<[f64; CHUNK]>,
}

/// What ranked rows are turned into.
#[derive(Clone, Debug, Default)]
struct OfRow {
    words: Vec<u16>,
    bytes: Vec<[u8; REGISTER]>,
    masks: Vec<Masks>,
    exits: Vec<u32>,
}

/// The types that leaves are summed in.
pub(crate) trait Sum: Real {
    /// Adds `leaves[at[i]]` to `sums[i]`, of which there are as many.
    fn add_leaves<L: Level>(level: L, sums: &mut [[Self; CHUNK]], at: &[Chunk], leaves: &[Self]);
    /// Where the sums of a block are kept, output after output.
    fn chunks(buffers: &mut Buffers) -> &mut Vec<[Self; CHUNK]>;
}

impl Sum for f32 {
    #[inline(always)]
    fn add_leaves<L: Level>(level: L, sums: &mut [[Self; CHUNK]], at: &[Chunk], leaves: &[Self]) {
        level.add_leaves_f32(sums, at, leaves);
    }

    fn chunks(buffers: &mut Buffers) -> &mut Vec<[Self; CHUNK]> {
        &mut buffers.chunks_f32
    }
}

impl Sum for f64 {
    #[inline(always)]
    fn add_leaves<L: Level>(level: L, sums: &mut [[Self; CHUNK]], at: &[Chunk], leaves: &[Self]) {
        level.add_leaves_f64(sums, at, leaves);
    }

    fn chunks(buffers: &mut Buffers) -> &mut Vec<[Self; CHUNK]> {
        &mut buffers.chunks_f64
    }
}

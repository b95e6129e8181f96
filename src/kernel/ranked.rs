//! Rows ranked beforehand: what kernels ask of rows, and the ranks that answer it.

use std::ops::Range;
use std::sync::Arc;

use super::level::Chunk;
use super::{Buffers, CHUNK};
use crate::layout::ranks::Ranks;
use crate::layout::row::Outcomes;
use crate::rows::Batch;

/// Evaluates a forest on rows whose ranks are known.
pub(crate) trait RankedKernel<S>: Send + Sync {
    fn asked(&self) -> Asked;

    /// Writes what it [asks](Self::asked) of up to [`CHUNK`] rows, one of them at least.
    fn rank(&self, batch: &Batch<'_>, rows: Range<usize>, ranked: RankedMut<'_>, buffers: &mut Buffers);

    /// As [`Kernel::margins`](super::Kernel::margins), of rows whose first is the first of a chunk.
    fn margins_of_ranked(&self, ranked: Ranked<'_>, margins: &mut [S], buffers: &mut Buffers);
}

/// What a kernel asks of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// What circuits ask.
    pub(crate) columns: Option<Arc<Ranks>>,
    /// What ranked walks ask.
    pub(crate) words: Option<AskedWords>,
}

/// The words of a row: ranks, then outcomes of category tests.
#[derive(Clone, Debug)]
pub(crate) struct AskedWords {
    pub(crate) ranks: Arc<Ranks>,
    pub(crate) outcomes: Arc<[Outcomes]>,
    /// How many there are.
    pub(crate) n_words: usize,
}

/// Ranks of rows: in chunks of [`CHUNK`] rows, each of them column after column; and words, row after row.
#[derive(Clone, Copy)]
pub(crate) struct Ranked<'a> {
    pub(crate) columns: &'a [Chunk],
    pub(crate) words: &'a [u16],
}

/// Where a chunk of them is written.
pub(crate) struct RankedMut<'a> {
    pub(crate) columns: &'a mut [Chunk],
    pub(crate) words: &'a mut [u16],
}

impl Asked {
    /// Whether ranks that were made for `self` have all that `other` asks.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let columns = match (&self.columns, &other.columns) {
            (Some(here), Some(asked)) => same(here, asked),
            (_, asked) => asked.is_none(),
        };
        let words = match (&self.words, &other.words) {
            (Some(here), Some(asked)) => same(&here.ranks, &asked.ranks) && same(&here.outcomes, &asked.outcomes),
            (_, asked) => asked.is_none(),
        };
        columns && words
    }

    /// Columns of a chunk.
    pub(crate) fn n_columns(&self) -> usize {
        self.columns.as_ref().map_or(0, |ranks| ranks.n_columns)
    }

    /// Words of a row.
    pub(crate) fn n_words(&self) -> usize {
        self.words.as_ref().map_or(0, |words| words.n_words)
    }
}

fn same<T: PartialEq + ?Sized>(one: &Arc<T>, other: &Arc<T>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl<'a> Ranked<'a> {
    /// The ranks of some rows, whose first is the first of a chunk; all are of what was `asked`.
    pub(crate) fn rows(self, asked: &Asked, rows: Range<usize>) -> Self {
        let (n_columns, n_words) = (asked.n_columns(), asked.n_words());
        let chunks = rows.start / CHUNK..rows.end.div_ceil(CHUNK);
        Self {
            columns: &self.columns[chunks.start * n_columns..chunks.end * n_columns],
            words: &self.words[rows.start * n_words..rows.end * n_words],
        }
    }
}

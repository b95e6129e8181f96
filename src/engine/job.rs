//! A request from its acceptance to its end.

use std::ops::Range;
use std::sync::Arc;

use super::batcher::{Place, Tick};
use super::payload::Payload;
use super::registry::Loaded;
use super::request::Prediction;
use super::slot::Slot;
use super::sync::{Mutex, lock};
use crate::error::Result;
use crate::metrics::Priority;
use crate::model::Predictions;

pub(crate) struct Job {
    pub(crate) slot: Slot<Result<Prediction>>,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) payload: Payload,
    pub(crate) arrival: Tick,
    pub(crate) deadline: Option<Tick>,
    pub(crate) priority: Priority,
    pub(crate) id: u64,
    pub(crate) tag: Option<Arc<str>>,
    pub(crate) progress: Mutex<Progress>,
}

/// What has been computed. Parts of a large request come in any order, from several workers.
#[derive(Default)]
pub(crate) struct Progress {
    /// Where it waits; set once it is queued.
    pub(crate) place: Option<Place>,
    pub(crate) rows_done: usize,
    pub(crate) values: Predictions,
    /// When its first rows began to run.
    pub(crate) started: Option<Tick>,
    /// Rows of the largest batch it was part of.
    pub(crate) batch_rows: usize,
}

/// A finished request's numbers and how they came to be.
pub(crate) struct Finished {
    pub(crate) values: Predictions,
    pub(crate) started: Tick,
    pub(crate) batch_rows: usize,
}

impl Job {
    /// Takes the rows `from` of a batch's predictions as the request's own rows from `at` on. The rest is returned when
    /// these were the last ones missing. `spare` gives a vector for the first.
    pub(crate) fn deliver(
        &self,
        at: usize,
        batch: &Predictions,
        from: Range<usize>,
        started: Tick,
        spare: impl FnOnce() -> Predictions,
    ) -> Option<Finished> {
        let mut progress = lock(&self.progress);
        if progress.rows_done == 0 {
            progress.values = spare();
            progress.values.resize_like(batch, self.payload.n_rows());
        }
        progress.rows_done += from.len();
        progress.batch_rows = progress.batch_rows.max(batch.n_rows);
        let first = *progress.started.get_or_insert(started);
        progress.values.copy_rows(at, batch, from);
        (progress.rows_done == self.payload.n_rows()).then(|| Finished {
            values: std::mem::take(&mut progress.values),
            started: first,
            batch_rows: progress.batch_rows,
        })
    }
}

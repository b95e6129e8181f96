//! A request from its acceptance to its end.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::batcher::{Place, Tick};
use super::payload::Payload;
use super::queue::Item;
use super::registry::Loaded;
use super::request::Prediction;
use super::slot::Slot;
use super::sync::{Mutex, lock};
use crate::error::Result;
use crate::metrics::Priority;
use crate::model::Predictions;

/// A request as all who work on it share it.
pub(crate) type SharedJob = Arc<Kept>;

/// A request's memory; empty between two requests.
pub(crate) struct Kept(Option<Job>);

impl Deref for Kept {
    type Target = Job;

    fn deref(&self) -> &Job {
        self.0.as_ref().expect("empty only where nobody else has it")
    }
}

/// Memory of requests that have ended, for later ones: allocators are slow where one thread frees what another has
/// allocated, and most requests are made by one thread and ended by another.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<Vec<SharedJob>>);

/// Requests whose memory is kept, at most.
const KEPT: usize = 1024;

impl Jobs {
    pub(crate) fn share(&self, job: impl FnOnce() -> Job) -> SharedJob {
        let kept = lock(&self.0).pop();
        if let Some(mut kept) = kept
            && let Some(empty) = Arc::get_mut(&mut kept)
        {
            empty.0 = Some(job());
            return kept;
        }
        Arc::new(Kept(Some(job())))
    }

    /// Lets go of requests, and keeps the memory of those that nobody else holds. `empty` is for use within.
    pub(crate) fn release(&self, jobs: impl Iterator<Item = SharedJob>, empty: &mut Vec<SharedJob>) {
        for mut job in jobs {
            if let Some(kept) = Arc::get_mut(&mut job) {
                kept.0 = None;
                empty.push(job);
            }
        }
        let mut all = lock(&self.0);
        let room = KEPT.saturating_sub(all.len());
        all.extend(empty.drain(..room.min(empty.len())));
        drop(all);
        empty.clear();
    }
}

pub(crate) struct Job {
    pub(crate) slot: Slot<Result<Prediction>>,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) n_rows: usize,
    /// Whether its rows fly: see `dedup.rs`.
    pub(crate) flies: bool,
    /// Its rows, but for those that were found in the cache.
    pub(crate) payload: Payload,
    pub(crate) arrival: Tick,
    /// Its virtual deadline.
    pub(crate) due: Tick,
    pub(crate) deadline: Option<Tick>,
    pub(crate) priority: Priority,
    pub(crate) id: u64,
    pub(crate) tag: Option<Arc<str>>,
    pub(crate) progress: Mutex<Progress>,
}

/// Rows of a request that are queued together.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) job: SharedJob,
    /// The first of them in its payload.
    pub(crate) first: usize,
}

impl Item for Task {
    fn placed(&self, place: Place) {
        lock(&self.job.progress).places.push(place);
    }
}

/// What has been computed. Parts of a large request come in any order, from several workers.
#[derive(Default)]
pub(crate) struct Progress {
    /// Where it waits; set once that is settled.
    pub(crate) places: Places,
    pub(crate) rows_done: usize,
    /// Those of them that were in the cache or computed for another request.
    pub(crate) rows_shared: usize,
    pub(crate) values: Predictions,
    /// When its first rows began to run.
    pub(crate) started: Option<Tick>,
    /// Rows of the largest batch it was part of.
    pub(crate) batch_rows: usize,
    /// What becomes of each row of the payload, if the request flies and has not ended without an answer.
    pub(crate) asks: Vec<Ask>,
}

/// Places in the queue: one, but for requests of which others compute some rows.
#[derive(Clone, Default)]
pub(crate) struct Places {
    first: Option<Place>,
    others: Vec<Place>,
}

impl Places {
    pub(crate) fn push(&mut self, place: Place) {
        match self.first {
            None => self.first = Some(place),
            Some(_) => self.others.push(place),
        }
    }

    pub(crate) fn replace(&mut self, old: Place, new: Place) {
        self.first.iter_mut().chain(&mut self.others).filter(|known| **known == old).for_each(|known| *known = new);
    }
}

impl IntoIterator for Places {
    type Item = Place;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Place>, std::vec::IntoIter<Place>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

/// A row that was not in the cache.
pub(crate) struct Ask {
    /// The row of the answer.
    pub(crate) at: usize,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Others may wait for it.
    Leads,
    /// Another request computes it.
    Joined,
    /// Computed for this request, and nobody knows of it.
    Alone,
    Done,
}

/// A finished request's numbers and how they came to be.
pub(crate) struct Finished {
    pub(crate) values: Predictions,
    pub(crate) started: Tick,
    pub(crate) batch_rows: usize,
    /// Rows that were in the cache or computed for another request.
    pub(crate) rows_shared: usize,
    pub(crate) from_cache: bool,
}

impl Progress {
    /// What a request that has all its rows ends with. `started` counts if none of its rows ran for itself.
    pub(crate) fn finish(&mut self, started: Tick) -> Finished {
        Finished {
            values: std::mem::take(&mut self.values),
            started: self.started.unwrap_or(started),
            batch_rows: self.batch_rows,
            rows_shared: self.rows_shared,
            from_cache: self.rows_shared == self.rows_done,
        }
    }
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
            progress.values.resize_like(batch, self.n_rows);
        }
        progress.rows_done += from.len();
        progress.batch_rows = progress.batch_rows.max(batch.n_rows);
        progress.started.get_or_insert(started);
        progress.values.copy_rows(at, batch, from);
        (progress.rows_done == self.n_rows).then(|| progress.finish(started))
    }

    /// The same for one row of the payload of a request that flies, if it does not have it yet. `started` if the batch
    /// ran rows of this request.
    pub(crate) fn deliver_row(
        &self,
        row: usize,
        batch: &Predictions,
        from: usize,
        now: Tick,
        started: Option<Tick>,
    ) -> Option<Finished> {
        let mut progress = lock(&self.progress);
        // A request that has ended asks for nothing.
        let ask = progress.asks.get_mut(row).filter(|ask| ask.state != State::Done)?;
        let at = ask.at;
        ask.state = State::Done;
        if progress.rows_done == 0 {
            progress.values.resize_like(batch, self.n_rows);
        }
        progress.rows_done += 1;
        match started {
            Some(started) => {
                progress.batch_rows = progress.batch_rows.max(batch.n_rows);
                progress.started.get_or_insert(started);
            }
            None => progress.rows_shared += 1,
        }
        progress.values.copy_rows(at, batch, from..from + 1);
        (progress.rows_done == self.n_rows).then(|| progress.finish(now))
    }
}

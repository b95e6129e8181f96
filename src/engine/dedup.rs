//! Between the engine and its cache: which rows of a request need not be computed, because they have been, or are being.
//!
//! A request first looks its rows up. What is missing is run on its caller's thread, or else *flies*: the first request
//! that queues a row leads, later ones join it and queue nothing for that row. Who computes a row of a flight tells
//! all that wait for it. A leader that ends without an answer (cancelled, expired, failed, shut down) leaves orphans,
//! and these ask again: one of them leads then. So nobody's end but an answer is shared, and an error stays with the
//! request whose rows it came from.
//!
//! Locks are taken in this order: the queue's, a request's progress, a cell of the cache.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batcher::{Entry, Group, Tick};
use super::cache::{CacheConfig, DeduplicationCache, Flight, Scope, Start};
use super::core::Core;
use super::ends::refused;
use super::job::{Ask, Job, SharedJob, State, Task};
use super::payload::kind_of;
use super::queue::NotQueued;
use super::registry::Loaded;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::model::{Predictions, Values};
use crate::rows::{Batch, Csr, Dense, Flat};

/// A row of a queued request.
#[derive(Clone)]
pub(crate) struct Waiter {
    pub(crate) job: SharedJob,
    /// The row of its payload.
    pub(crate) row: usize,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.job, &other.job) && self.row == other.row
    }
}

/// The engine's cache.
pub(crate) struct Dedup {
    cache: DeduplicationCache<Waiter>,
}

/// What the cache knows of a request.
pub(crate) struct Found {
    /// All rows of the answer, of which those that were found are written; empty if none was.
    pub(crate) values: Predictions,
    /// The rows that were not found, ascending.
    pub(crate) missing: Vec<usize>,
}

/// What a model that could not be measured is taken to need for a row.
const UNMEASURED: Duration = Duration::from_millis(1);

impl Dedup {
    pub(crate) fn new(config: CacheConfig) -> Self {
        Self { cache: DeduplicationCache::new(config) }
    }

    pub(crate) fn cache(&self) -> &DeduplicationCache<Waiter> {
        &self.cache
    }

    /// Looks up the rows of a request; nothing if that is not worth it, or the answers are of a type that is not kept.
    /// `values` takes what is found.
    pub(crate) fn find(
        &self,
        loaded: &Loaded,
        batch: &Batch<'_>,
        now: Instant,
        values: impl FnOnce() -> Predictions,
    ) -> Option<Found> {
        let n_rows = batch.n_rows();
        if matches!(loaded.kind, Values::Text(_)) || n_rows == 0 || !self.cache.is_worth_asking(n_rows) {
            return None;
        }
        let saved = loaded.expected_run(n_rows).map_or(UNMEASURED, |nanos| Duration::from_nanos(nanos / n_rows as u64));
        let mut found = Found { values: values(), missing: Vec::new() };
        let mut is_shaped = false;
        for row in 0..n_rows {
            let values = &mut found.values;
            let read = |bytes: &[u8]| {
                if !is_shaped {
                    shape(values, &loaded.kind, n_rows, bytes.len());
                    is_shaped = true;
                }
                write_row(values, row, bytes);
            };
            let look = |key: &[u8]| self.cache.find(&self.cache.key(scope(loaded, batch), key), now, saved, read);
            if with_row(batch, row, look).is_none() {
                found.missing.push(row);
            }
        }
        Some(found)
    }

    /// Keeps the answers to some rows of a request: those of `rows` are `answers`, in this order.
    pub(crate) fn put(&self, loaded: &Loaded, batch: &Batch<'_>, rows: &[usize], answers: &Predictions, now: Instant) {
        for (at, &row) in rows.iter().enumerate() {
            let Some(value) = row_bytes(answers, at) else { return };
            with_row(batch, row, |key| self.cache.put(&self.cache.key(scope(loaded, batch), key), value, now));
        }
    }

    /// Lets the rows `rows` of a request's payload fly. Returns what it has to queue itself; requests to raise go to
    /// `raise`, with the urgency to raise them to. Rows that have been answered meanwhile are written.
    fn ask(
        &self,
        job: &SharedJob,
        rows: Range<usize>,
        now: Instant,
        raise: &mut Vec<(Waiter, Tick)>,
    ) -> (Vec<Range<usize>>, bool) {
        let mut own: Vec<Range<usize>> = Vec::new();
        let mut progress = lock(&job.progress);
        if job.slot.is_claimed() {
            return (own, false);
        }
        for row in rows {
            let waiter = Waiter { job: Arc::clone(job), row };
            let progress = &mut *progress;
            let at = progress.asks[row].at;
            let read = |bytes: &[u8]| {
                if progress.rows_done == 0 {
                    shape(&mut progress.values, &job.loaded.kind, job.n_rows, bytes.len());
                }
                write_row(&mut progress.values, at, bytes);
            };
            let flight = job.with_row(row, |scope, bytes| {
                self.cache.fly(&self.cache.key(scope, bytes), now, job.due, waiter, read)
            });
            progress.asks[row].state = match flight {
                Flight::Landed(()) => {
                    progress.rows_done += 1;
                    progress.rows_shared += 1;
                    State::Done
                }
                Flight::Started(Start::Join { raised }) => {
                    raise.extend(raised.map(|leader| (leader, job.due)));
                    State::Joined
                }
                Flight::Started(start) => {
                    match own.last_mut() {
                        Some(last) if last.end == row => last.end += 1,
                        _ => own.push(row..row + 1),
                    }
                    if start == Start::Lead { State::Leads } else { State::Alone }
                }
            };
        }
        (own, progress.rows_done == job.n_rows)
    }

    /// Ends the flight of a row that `job` leads; who waited for it.
    fn finish(&self, job: &Job, row: usize, value: Option<&[u8]>, now: Instant) -> Vec<Waiter> {
        job.with_row(row, |scope, bytes| self.cache.finish(&self.cache.key(scope, bytes), value, now))
    }
}

impl Core {
    /// Lets a request's missing rows fly and queues those that nobody else computes.
    ///
    /// # Errors
    /// The queue's; the request has not ended then, and whoever relied on it asks again.
    pub(crate) fn push_asking(&self, dedup: &Dedup, job: &SharedJob) -> Result<()> {
        let mut raise = Vec::new();
        let rows = 0..job.payload.n_rows();
        let (own, is_done) = dedup.ask(job, rows, self.clock.instant(job.arrival), &mut raise);
        self.raise(raise);
        if is_done {
            self.finish_shared(job);
        }
        for rows in own {
            if let Err(cause) = self.push_rows(Arc::clone(job), rows) {
                // A shutdown may have ended it already, as it would any follower: then that is its end.
                if job.slot.claim() {
                    self.unqueue(job);
                    self.orphan(job);
                    return Err(refused(cause));
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Queues rows of a request's payload.
    pub(crate) fn push_rows(&self, job: SharedJob, rows: Range<usize>) -> std::result::Result<(), NotQueued> {
        let work = job.loaded.expected_share(rows.len());
        self.queue.push(job.arrival, entry(job, rows), work)
    }

    /// Hands out rows of a batch to a request that flies, and to all who wait for them.
    pub(crate) fn hand_out(
        &self,
        dedup: &Dedup,
        job: &SharedJob,
        rows: Range<usize>,
        batch: &Predictions,
        from: usize,
        started: Tick,
    ) {
        let now = self.clock.instant(self.clock.now());
        for (row, at) in rows.zip(from..) {
            let leads = lock(&job.progress).asks.get(row).is_some_and(|ask| ask.state == State::Leads);
            let own = Waiter { job: Arc::clone(job), row };
            // Kept before anybody is told: who asks again finds it.
            let waiters = if leads { dedup.finish(job, row, row_bytes(batch, at), now) } else { Vec::new() };
            self.deliver(&own, batch, at, Some(started));
            waiters.iter().for_each(|waiter| self.deliver(waiter, batch, at, None));
        }
    }

    /// Gives a request the row `from` of a batch, unless it has it. `started` if the request's own rows are in the batch.
    fn deliver(&self, waiter: &Waiter, batch: &Predictions, from: usize, started: Option<Tick>) {
        let Waiter { job, row } = waiter;
        let finished = job.deliver_row(*row, batch, from, self.clock.now(), started);
        if let Some(finished) = finished
            && !job.slot.is_claimed()
        {
            self.finish(job, finished);
        }
    }

    /// Finishes a request that got its last row from the cache.
    fn finish_shared(&self, job: &Job) {
        let finished = lock(&job.progress).finish(self.clock.now());
        self.finish(job, finished);
    }

    /// Takes a request that has ended without an answer out of its flights. Who waited for it asks again, and ends if
    /// the queue takes nothing more. Returns how many ended.
    pub(crate) fn orphan(&self, job: &SharedJob) -> usize {
        let Some(dedup) = &self.dedup else { return 0 };
        let mut ended = 0;
        // A list, for those who end leave orphans in turn.
        let mut gone = vec![Arc::clone(job)];
        while let Some(job) = gone.pop() {
            let now = self.clock.instant(self.clock.now());
            for waiter in dedup.leave(&job, now) {
                if let Err(error) = self.ask_again(dedup, &waiter, now)
                    && self.end_alone(&waiter.job, Err(error))
                {
                    self.unqueue(&waiter.job);
                    ended += 1;
                    gone.push(waiter.job);
                }
            }
        }
        ended
    }

    fn ask_again(&self, dedup: &Dedup, waiter: &Waiter, now: Instant) -> Result<()> {
        let Waiter { job, row } = waiter;
        let mut raise = Vec::new();
        let (own, is_done) = dedup.ask(job, *row..*row + 1, now, &mut raise);
        self.raise(raise);
        if is_done {
            self.finish_shared(job);
        }
        for rows in own {
            self.queue
                .readmit(job.arrival, entry(Arc::clone(job), rows))
                .ok_or_else(|| Error::shutdown("the engine was shut down before the request ended"))?;
        }
        Ok(())
    }

    /// Makes requests as urgent as those that have joined them.
    fn raise(&self, requests: Vec<(Waiter, Tick)>) {
        for (leader, due) in requests {
            for (place, raised) in self.queue.raise(|| lock(&leader.job.progress).places.clone(), due) {
                lock(&leader.job.progress).places.replace(place, raised);
            }
        }
    }
}

impl Dedup {
    /// Takes a request out of all its flights; returns who waited for those that it led.
    fn leave(&self, job: &SharedJob, now: Instant) -> Vec<Waiter> {
        let asks = std::mem::take(&mut lock(&job.progress).asks);
        let mut orphans = Vec::new();
        for (row, ask) in asks.iter().enumerate() {
            match ask.state {
                State::Leads => orphans.extend(self.finish(job, row, None, now)),
                State::Joined => {
                    let waiter = Waiter { job: Arc::clone(job), row };
                    job.with_row(row, |scope, bytes| self.cache.leave(&self.cache.key(scope, bytes), &waiter));
                }
                State::Alone | State::Done => {}
            }
        }
        orphans.retain(|waiter| !Arc::ptr_eq(&waiter.job, job));
        orphans
    }
}

fn entry(job: SharedJob, rows: Range<usize>) -> Entry<Task> {
    let n_rows = job.payload.n_rows();
    Entry {
        group: Group { load: job.loaded.number, rows: job.payload.kind() as u8 },
        class: job.priority as usize,
        deadline: job.deadline,
        rows: rows.len(),
        row_bytes: job.payload.bytes().div_ceil(n_rows),
        item: Task { job, first: rows.start },
    }
}

impl Job {
    /// Hands a row of the payload to `read`, as the cache knows it.
    fn with_row<R>(&self, row: usize, read: impl FnOnce(Scope, &[u8]) -> R) -> R {
        let n_features = self.loaded.model.schema().n_features();
        let batch = self.payload.rows(row..row + 1, n_features).batch(n_features).expect("rows of the model's width");
        with_row(&batch, 0, |bytes| read(scope(&self.loaded, &batch), bytes))
    }
}

impl Ask {
    /// Rows of an answer that are asked for.
    pub(crate) fn all(rows: &[usize]) -> Vec<Self> {
        rows.iter().map(|&at| Self { at, state: State::Alone }).collect()
    }
}

/// What a request's rows must agree in: the options that shape an answer are part of the epoch.
fn scope(loaded: &Loaded, batch: &Batch<'_>) -> Scope {
    Scope { epoch: loaded.epoch.0, kind: kind_of(batch) as u32 }
}

/// Hands the bytes of a row to `read`: its values, or its columns and values if it is sparse.
fn with_row<R>(batch: &Batch<'_>, row: usize, read: impl FnOnce(&[u8]) -> R) -> R {
    match batch {
        Batch::Dense(Dense::F32(rows)) => match rows.row(row).to_slice() {
            Some(values) => read(bytemuck::cast_slice(values)),
            None => read(bytemuck::cast_slice(&rows.row(row).to_vec())),
        },
        Batch::Dense(Dense::F64(rows)) => match rows.row(row).to_slice() {
            Some(values) => read(bytemuck::cast_slice(values)),
            None => read(bytemuck::cast_slice(&rows.row(row).to_vec())),
        },
        Batch::Sparse(Csr { indptr, indices, values, .. }) => {
            let entries = indptr[row]..indptr[row + 1];
            let columns: &[u8] = bytemuck::cast_slice(&indices[entries.clone()]);
            let values: &[u8] = match values {
                Flat::F32(values) => bytemuck::cast_slice(&values[entries]),
                Flat::F64(values) => bytemuck::cast_slice(&values[entries]),
            };
            read(&[columns, values].concat())
        }
    }
}

/// The numbers of a row; none of text.
fn row_bytes(predictions: &Predictions, row: usize) -> Option<&[u8]> {
    let numbers = row * predictions.n_columns..(row + 1) * predictions.n_columns;
    match &predictions.values {
        Values::F32(values) => Some(bytemuck::cast_slice(&values[numbers])),
        Values::F64(values) => Some(bytemuck::cast_slice(&values[numbers])),
        Values::I32(values) => Some(bytemuck::cast_slice(&values[numbers])),
        Values::I64(values) => Some(bytemuck::cast_slice(&values[numbers])),
        Values::Text(_) => None,
    }
}

/// Makes room for `n_rows` rows of `row_bytes` bytes each, of the type of `kind`, which is not text.
fn shape(predictions: &mut Predictions, kind: &Values, n_rows: usize, row_bytes: usize) {
    let size = match kind {
        Values::F32(_) | Values::I32(_) => 4,
        _ => 8,
    };
    let like = Predictions { n_rows: 0, n_columns: row_bytes / size, values: kind.clone() };
    predictions.resize_like(&like, n_rows);
}

/// The inverse of [`row_bytes`].
fn write_row(predictions: &mut Predictions, row: usize, bytes: &[u8]) {
    let numbers = row * predictions.n_columns..(row + 1) * predictions.n_columns;
    let to: &mut [u8] = match &mut predictions.values {
        Values::F32(values) => bytemuck::cast_slice_mut(&mut values[numbers]),
        Values::F64(values) => bytemuck::cast_slice_mut(&mut values[numbers]),
        Values::I32(values) => bytemuck::cast_slice_mut(&mut values[numbers]),
        Values::I64(values) => bytemuck::cast_slice_mut(&mut values[numbers]),
        Values::Text(_) => unreachable!("text is not kept"),
    };
    to.copy_from_slice(bytes);
}

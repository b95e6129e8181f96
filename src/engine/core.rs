//! What callers and workers share: accepting a request, running it on the spot or queueing it, and ending it once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batcher::{Entry, Group, Part, Refusal, Tick};
use super::buffers::{MemoryPool, ZeroBuffers};
use super::config::EngineBuilder;
use super::job::{Finished, Job, Progress};
use super::payload::Payload;
use super::queue::{Clock, NotQueued, Queue};
use super::registry::{Loaded, Registry};
use super::request::{Prediction, Request};
use super::slot::Slot;
use super::spares::Spares;
use super::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use super::sync::{Condvar, Mutex, lock, wait_until};
use super::workers::{Context, guarded};
use crate::error::{Error, Result};
use crate::metrics::{BatchRecord, Metrics, Outcome, Padded, QueueStats, RequestRecord};
use crate::model::Predictions;
use crate::rows::Batch;

pub(crate) struct Core {
    pub(crate) config: EngineBuilder,
    pub(crate) clock: Clock,
    pub(crate) queue: Queue<Arc<Job>>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    pub(crate) spares: Arc<Spares>,
    pub(crate) pool: MemoryPool,
    pub(crate) workers: Box<[Padded<Worker>]>,
    max_in_flight: usize,
    /// Queued requests that have not ended.
    in_flight: Padded<AtomicUsize>,
    /// Threads that predict: workers, callers who run their own request, bulk predictions.
    running: Padded<AtomicUsize>,
    ids: Padded<AtomicU64>,
    draining: AtomicBool,
    quiet: Mutex<()>,
    became_quiet: Condvar,
}

/// What belongs to one worker, or to the caller who takes its turn.
pub(crate) struct Worker {
    /// Working memory for requests that run on their caller's thread.
    inline: Mutex<Context>,
    /// The requests it runs now.
    current: Mutex<Vec<Arc<Job>>>,
    /// When the batch it runs began, plus one; 0 between batches.
    since: AtomicU64,
}

impl Worker {
    fn new(pool: &MemoryPool) -> Self {
        Self { inline: Mutex::new(Context::new(pool)), current: Mutex::default(), since: AtomicU64::new(0) }
    }
}

/// Takes the result of a request.
type Callback = Box<dyn FnOnce(Result<Prediction>) + Send>;

impl Core {
    pub(crate) fn new(config: EngineBuilder, workers: usize) -> Self {
        let clock = Clock::start();
        let pool = MemoryPool::new(config.buffer_pool_bytes, config.zero_buffers, 2 * workers);
        Self {
            queue: Queue::new(config.policy(workers), clock),
            max_in_flight: config.in_flight(workers),
            registry: Registry::new(),
            metrics: Metrics::new(2 * workers, 1),
            spares: Arc::new(Spares::new(config.zero_buffers != ZeroBuffers::Never)),
            workers: (0..workers).map(|_| Padded(Worker::new(&pool))).collect(),
            pool,
            in_flight: Padded::default(),
            running: Padded::default(),
            ids: Padded::default(),
            draining: AtomicBool::new(false),
            quiet: Mutex::new(()),
            became_quiet: Condvar::new(),
            clock,
            config,
        }
    }

    /// Answers on the caller's thread, if the engine is idle enough: a worker's turn is free, nothing waits, and the
    /// request is no larger than a batch. `limit` bounds its expected cost in nanoseconds.
    pub(crate) fn run_inline(
        &self,
        loaded: &Loaded,
        request: &Request<'_>,
        batch: &Batch<'_>,
        limit: Option<Tick>,
    ) -> Option<Result<Prediction>> {
        let n_rows = batch.n_rows();
        if n_rows == 0 {
            return Some(self.answer_nothing(loaded, request, batch));
        }
        if n_rows > self.config.max_batch_rows || self.queue.rows() > 0 {
            return None;
        }
        if let Some(limit) = limit
            && loaded.expected_run(n_rows).is_none_or(|expected| expected >= limit)
        {
            return None;
        }
        let _busy = self.busy_if_free()?;
        let start = self.clock.now();
        if let Err(error) = self.check_open(request.deadline) {
            return Some(Err(error));
        }
        let mut context = self.inline_context()?;
        let mut values = self.spares.take(&loaded.kind);
        let predicted = context.predict(&loaded.model, batch.rows(0..n_rows), &mut values);
        drop(context);
        let took = Duration::from_nanos(self.clock.now() - start);
        let answer = predicted.map(|()| self.prediction(loaded, request, values, took));
        loaded.count_run(answer.is_ok());
        loaded.metrics.record_request(&RequestRecord {
            priority: request.priority,
            outcome: outcome(&answer),
            rows: n_rows,
            cached_rows: 0,
            total: took,
            queue: Duration::ZERO,
            execute: took,
            late: answer.is_ok() && request.deadline.is_some_and(|deadline| deadline < Instant::now()),
        });
        Some(answer)
    }

    /// The answer to a request without rows.
    fn answer_nothing(&self, loaded: &Loaded, request: &Request<'_>, batch: &Batch<'_>) -> Result<Prediction> {
        self.check_open(request.deadline)?;
        let start = self.clock.now();
        let values = guarded(|| loaded.model.predict(batch.rows(0..0)))?;
        Ok(self.prediction(loaded, request, values, Duration::from_nanos(self.clock.now() - start)))
    }

    /// An answer given on the caller's thread.
    fn prediction(&self, loaded: &Loaded, request: &Request<'_>, values: Predictions, latency: Duration) -> Prediction {
        Prediction {
            batch_rows: values.n_rows(),
            values,
            latency,
            queue_time: Duration::ZERO,
            from_cache: false,
            epoch: loaded.epoch,
            id: self.id_of(request),
            tag: request.tag.clone(),
            spares: Some(Arc::clone(&self.spares)),
        }
    }

    fn inline_context(&self) -> Option<super::sync::MutexGuard<'_, Context>> {
        self.workers.iter().find_map(|worker| worker.0.inline.try_lock().ok())
    }

    fn check_open(&self, deadline: Option<Instant>) -> Result<()> {
        if self.is_draining() {
            return Err(Error::shutdown("the engine is shutting down"));
        }
        match deadline {
            Some(deadline) if deadline <= Instant::now() => Err(expired()),
            _ => Ok(()),
        }
    }

    fn id_of(&self, request: &Request<'_>) -> u64 {
        request.id.unwrap_or_else(|| self.ids.0.fetch_add(1, Ordering::Relaxed))
    }

    /// Queues a copy of a request of at least one row.
    pub(crate) fn enqueue(
        &self,
        loaded: Arc<Loaded>,
        request: &Request<'_>,
        batch: &Batch<'_>,
        callback: Option<Callback>,
    ) -> Result<Arc<Job>> {
        let in_flight = self.in_flight.0.fetch_add(1, Ordering::SeqCst);
        let queued = if in_flight >= self.max_in_flight {
            let limit = self.max_in_flight;
            Err(Error::overloaded(format!("{in_flight} requests are in flight, but max_in_flight is {limit}")))
        } else {
            self.push(&loaded, request, batch, callback)
        };
        if queued.is_err() {
            self.one_less(&self.in_flight.0);
            loaded.metrics.record_request(&RequestRecord {
                priority: request.priority,
                outcome: outcome(&queued),
                rows: batch.n_rows(),
                cached_rows: 0,
                total: Duration::ZERO,
                queue: Duration::ZERO,
                execute: Duration::ZERO,
                late: false,
            });
        }
        queued
    }

    fn push(
        &self,
        loaded: &Arc<Loaded>,
        request: &Request<'_>,
        batch: &Batch<'_>,
        callback: Option<Callback>,
    ) -> Result<Arc<Job>> {
        let arrival = self.clock.now();
        let payload = Payload::copy_of(batch, &self.pool);
        let (rows, group) = (payload.n_rows(), Group { load: loaded.number, rows: payload.kind() as u8 });
        let row_bytes = payload.bytes().div_ceil(rows);
        let job = Arc::new(Job {
            priority: request.priority,
            deadline: request.deadline.map(|at| self.clock.tick(at)),
            slot: Slot::new(callback),
            id: self.id_of(request),
            tag: request.tag.clone(),
            progress: Mutex::new(Progress::default()),
            loaded: Arc::clone(loaded),
            payload,
            arrival,
        });
        let entry = Entry {
            item: Arc::clone(&job),
            group,
            class: request.priority as usize,
            deadline: job.deadline,
            rows,
            row_bytes,
        };
        let place = self.queue.push(arrival, entry).map_err(refused)?;
        lock(&job.progress).place = Some(place);
        Ok(job)
    }

    /// Waits for the end of a queued request, but not beyond its deadline.
    pub(crate) fn wait(&self, job: &Arc<Job>, deadline: Option<Instant>) -> Result<Prediction> {
        if let Some(deadline) = deadline {
            if let Some(result) = job.slot.wait_until(deadline) {
                return result;
            }
            if self.end(job, Err(expired())) {
                self.unqueue(job);
            }
        }
        job.slot.wait()
    }

    /// Ends a request with a result, unless it has ended. True for exactly one of all who try.
    pub(crate) fn end(&self, job: &Job, result: Result<Prediction>) -> bool {
        let ends = job.slot.claim();
        if ends {
            self.record(job, outcome(&result));
            // Before the caller hears of it, who may come with the next request at once.
            self.one_less(&self.in_flight.0);
            // A callback or waker that panics is its owner's affair; the worker goes on.
            let _ = guarded(|| {
                job.slot.fill(result);
                Ok(())
            });
        }
        ends
    }

    /// Ends a request that nobody waits for any more.
    pub(crate) fn cancel(&self, job: &Job) {
        if job.slot.claim() {
            self.record(job, Outcome::Cancelled);
            self.one_less(&self.in_flight.0);
            self.unqueue(job);
        }
    }

    /// Ends a request whose run failed, and spares the rest of it.
    pub(crate) fn fail(&self, job: &Job, error: Error) {
        job.loaded.count_run(false);
        if self.end(job, Err(error)) {
            self.unqueue(job);
        }
    }

    /// Ends a request with its numbers.
    pub(crate) fn finish(&self, job: &Job, finished: Finished) {
        job.loaded.count_run(true);
        let since = |tick: Tick| Duration::from_nanos(tick.saturating_sub(job.arrival));
        let prediction = Prediction {
            values: finished.values,
            latency: since(self.clock.now()),
            queue_time: since(finished.started),
            from_cache: false,
            batch_rows: finished.batch_rows,
            epoch: job.loaded.epoch,
            id: job.id,
            tag: job.tag.clone(),
            spares: Some(Arc::clone(&self.spares)),
        };
        self.end(job, Ok(prediction));
    }

    /// Counts a queued request that ends now.
    fn record(&self, job: &Job, outcome: Outcome) {
        let now = self.clock.now();
        let started = lock(&job.progress).started;
        let span = |from: Tick, to: Tick| Duration::from_nanos(to.saturating_sub(from));
        job.loaded.metrics.record_request(&RequestRecord {
            priority: job.priority,
            outcome,
            rows: job.payload.n_rows(),
            cached_rows: 0,
            total: span(job.arrival, now),
            queue: span(job.arrival, started.unwrap_or(now)),
            execute: started.map_or(Duration::ZERO, |started| span(started, now)),
            late: outcome == Outcome::Ok && job.deadline.is_some_and(|deadline| deadline < now),
        });
    }

    /// Counts a batch of `job`'s model.
    pub(crate) fn record_batch(
        &self,
        job: &Job,
        rows: usize,
        execute: Duration,
        predicted: Option<f64>,
        reruns: usize,
    ) {
        let predicted = predicted.map(|nanos| Duration::from_nanos(nanos as u64));
        self.metrics.record_batch(&job.loaded.metrics, &BatchRecord { rows, execute, predicted, reruns, node: 0 });
    }

    pub(crate) fn queue_stats(&self) -> QueueStats {
        let mut stats = QueueStats::default();
        let (requests, rows, bytes) = self.queue.with(|batcher| batcher.waiting());
        (stats.requests, stats.rows, stats.bytes) = (requests as u64, rows as u64, bytes as u64);
        stats.running = self.running.0.load(Ordering::Relaxed) as u64;
        stats
    }

    fn unqueue(&self, job: &Job) {
        let place = lock(&job.progress).place;
        if let Some(place) = place {
            self.queue.cancel(place);
        }
    }

    /// Says which requests a worker runs now.
    pub(crate) fn publish(&self, worker: usize, parts: &[Part<Arc<Job>>]) {
        let worker = &self.workers[worker].0;
        let since = if parts.is_empty() { 0 } else { self.clock.now() + 1 };
        worker.since.store(since, Ordering::Relaxed);
        let mut current = lock(&worker.current);
        current.clear();
        current.extend(parts.iter().map(|part| Arc::clone(&part.item)));
    }

    /// Nanoseconds that the longest of the batches under way has taken.
    pub(crate) fn longest_run(&self) -> Tick {
        let now = self.clock.now();
        let running =
            self.workers.iter().map(|worker| worker.0.since.load(Ordering::Relaxed)).filter(|&since| since > 0);
        running.map(|since| now.saturating_sub(since - 1)).max().unwrap_or(0)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::Relaxed)
    }

    /// Counts the caller among those who predict.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.running.0.fetch_add(1, Ordering::SeqCst);
        Busy(self)
    }

    /// The same, if fewer than there are workers do.
    fn busy_if_free(&self) -> Option<Busy<'_>> {
        let running = &self.running.0;
        let mut now = running.load(Ordering::Relaxed);
        while now < self.workers.len() {
            match running.compare_exchange_weak(now, now + 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return Some(Busy(self)),
                Err(changed) => now = changed,
            }
        }
        None
    }

    /// Counts one down; who waits for the engine to become quiet looks again.
    fn one_less(&self, counter: &AtomicUsize) {
        counter.fetch_sub(1, Ordering::SeqCst);
        if self.is_draining() {
            let _quiet = lock(&self.quiet);
            self.became_quiet.notify_all();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Accepts nothing more, waits until `until` for what was accepted, and ends the rest. Returns how many requests
    /// that were.
    pub(crate) fn drain(&self, until: Instant) -> usize {
        self.draining.store(true, Ordering::SeqCst);
        self.queue.close();
        let mut quiet = lock(&self.quiet);
        let is_quiet = || self.in_flight.0.load(Ordering::SeqCst) == 0 && self.running.0.load(Ordering::SeqCst) == 0;
        while !is_quiet() && Instant::now() < until {
            quiet = wait_until(&self.became_quiet, quiet, until);
        }
        drop(quiet);
        let queued = self.queue.stop();
        let running: Vec<_> =
            self.workers.iter().flat_map(|worker| std::mem::take(&mut *lock(&worker.0.current))).collect();
        let message = "the engine was shut down before the request ended";
        queued.iter().chain(&running).filter(|job| self.end(job, Err(Error::shutdown(message)))).count()
    }
}

/// Counts its holder among those who predict.
pub(crate) struct Busy<'a>(&'a Core);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.one_less(&self.0.running.0);
    }
}

/// How a request ended, for the metrics.
fn outcome<T>(result: &Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(error) if error.is_deadline() => Outcome::Expired,
        Err(error) if error.is_cancelled() => Outcome::Cancelled,
        Err(error) if error.is_overloaded() => Outcome::Overloaded,
        Err(error) if error.is_panicked() => Outcome::Panicked,
        Err(error) if error.is_shutdown() => Outcome::ShutDown,
        Err(_) => Outcome::Failed,
    }
}

pub(crate) fn expired() -> Error {
    Error::deadline("the deadline passed before the request ran")
}

fn refused(cause: NotQueued) -> Error {
    match cause {
        NotQueued::Closed => Error::shutdown("the engine is shutting down"),
        NotQueued::Refused(Refusal::Expired) => expired(),
        NotQueued::Refused(Refusal::Rows(waiting, room)) => {
            Error::overloaded(format!("{waiting} rows are waiting, and this class of request has room for {room}"))
        }
        NotQueued::Refused(Refusal::Bytes(waiting, room)) => {
            Error::overloaded(format!("{waiting} bytes of rows are waiting, but queue_bytes is {room}"))
        }
        NotQueued::Refused(Refusal::TooLate(expected, left)) => Error::overloaded(format!(
            "an answer is expected in {} µs, but the deadline is in {} µs",
            expected / 1000,
            left / 1000
        )),
    }
}

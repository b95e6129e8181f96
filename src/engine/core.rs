//! What callers and workers share: accepting a request, running it on the spot or queueing it, and ending it once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batcher::{self, Policy, Tick};
use super::buffers::{MemoryPool, ZeroBuffers};
use super::config::EngineBuilder;
use super::dedup::{Dedup, Found};
use super::ends::{expired, outcome, refused};
use super::hand_over::HandOver;
use super::job::{Ask, Finished, Job, Jobs, Progress, SharedJob, Task};
use super::occupancy::{Busy, Occupancy};
use super::payload::Payload;
use super::queue::{Clock, Queue};
use super::registry::{Loaded, Registry};
use super::request::{Prediction, Request};
use super::slot::Slot;
use super::spares::Spares;
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, PATIENCE, lock, yield_now};
use super::workers::{Context, guarded, is_worker_of, shielded};
use crate::error::{Error, Result};
use crate::metrics::{BatchRecord, Metrics, Outcome, Padded, Priority, QueueStats, RequestRecord, thread_number};
use crate::model::Predictions;
use crate::rows::Batch;

pub(crate) struct Core {
    pub(crate) config: EngineBuilder,
    pub(crate) clock: Clock,
    pub(crate) queue: Queue<Task>,
    policy: Policy,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    spares: Box<[Arc<Spares>]>,
    pub(crate) jobs: Jobs,
    pub(crate) pool: MemoryPool,
    pub(crate) dedup: Option<Dedup>,
    pub(crate) workers: Box<[Padded<Worker>]>,
    /// Worker pools, one for each NUMA node in use.
    pub(crate) pools: usize,
    pub(crate) occupancy: Occupancy,
    /// What a request is told that comes when as many are in flight as may be.
    full: Arc<str>,
    hand_over: Padded<HandOver>,
    /// Nanoseconds below which a submitted request may be run by its submitter.
    inline_below: Tick,
    /// The next numbers of requests, each as many beyond the last as there are counters.
    ids: Box<[Padded<AtomicU64>]>,
}

/// Parts of requests that run together.
pub(crate) type Batching = batcher::Batch<Task>;

/// What belongs to one worker, or to the caller who takes its turn.
pub(crate) struct Worker {
    /// Working memory for requests that run on their caller's thread.
    inline: Mutex<Context>,
    /// What it runs now.
    current: Mutex<Option<Arc<Batching>>>,
    /// When the batch it runs began, plus one; 0 between batches.
    since: AtomicU64,
}

impl Worker {
    fn new(pool: &MemoryPool) -> Self {
        Self { inline: Mutex::new(Context::new(pool)), current: Mutex::default(), since: AtomicU64::new(0) }
    }
}

/// Takes the result of a request.
pub(crate) type Callback = Box<dyn FnOnce(Result<Prediction>) + Send>;

impl Core {
    pub(crate) fn new(config: EngineBuilder, workers: usize, pools: usize) -> Self {
        let (clock, limit) = (Clock::start(), config.in_flight(workers));
        // For about as many callers as there are workers.
        let stripes = 2 * workers;
        let pool = MemoryPool::new(config.buffer_pool_bytes, config.zero_buffers, stripes);
        Self {
            queue: Queue::new(config.policy(workers), clock),
            policy: config.policy(workers),
            dedup: config.cache.map(Dedup::new),
            occupancy: Occupancy::new(limit, workers),
            full: format!("{limit} requests are in flight, but max_in_flight is {limit}").into(),
            registry: Registry::new(),
            metrics: if config.metrics { Metrics::new(stripes, pools) } else { Metrics::off() },
            pools,
            spares: (0..stripes).map(|_| Arc::new(Spares::new(config.zero_buffers != ZeroBuffers::Never))).collect(),
            jobs: Jobs::default(),
            workers: (0..workers).map(|_| Padded(Worker::new(&pool))).collect(),
            pool,
            hand_over: Padded::default(),
            inline_below: batcher::nanos(config.inline_below),
            ids: (0..stripes).map(|first| Padded(AtomicU64::new(first as u64))).collect(),
            clock,
            config,
        }
    }

    /// Answers on the caller's thread, if the engine is idle enough: a worker's turn is free, nothing waits, and the
    /// request is no larger than a batch. `submitted` says when a request came whose caller does not wait: it must cost
    /// little enough to be run here at all.
    pub(crate) fn run_inline(
        &self,
        loaded: &Loaded,
        request: &Request<'_>,
        batch: &Batch<'_>,
        submitted: Option<Tick>,
        found: &mut Option<Found>,
    ) -> Option<Result<Prediction>> {
        if batch.n_rows() == 0 {
            return Some(self.answer_nothing(loaded, request, batch));
        }
        let n_rows = found.as_ref().map_or(batch.n_rows(), |found| found.missing.len());
        if n_rows > self.config.max_batch_rows || self.queue.rows() > 0 {
            return None;
        }
        if let Some(now) = submitted {
            let expected = loaded.expected_run(n_rows)?;
            if expected >= self.inline_below || self.hand_over.0.is_due(expected, now) {
                return None;
            }
        }
        let _busy = self.busy_soon(if submitted.is_none() { PATIENCE } else { 0 })?;
        let start = submitted.unwrap_or_else(|| self.clock.now());
        if let Err(error) = self.check_open(request.deadline) {
            return Some(self.refuse(loaded, request, batch.n_rows(), error));
        }
        let mut context = self.inline_context()?;
        Some(self.run_here(&mut context, loaded, request, batch, found.take(), start))
    }

    /// Answers a request that a worker waits for, such as that of a model made of others: nobody else may be free to run
    /// it. Nothing on any other thread.
    pub(crate) fn run_nested(
        &self,
        loaded: &Loaded,
        request: &Request<'_>,
        batch: &Batch<'_>,
        found: &mut Option<Found>,
    ) -> Option<Result<Prediction>> {
        if !is_worker_of(self) {
            return None;
        }
        let start = self.clock.now();
        if request.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Some(self.refuse(loaded, request, batch.n_rows(), expired()));
        }
        Some(self.run_here(&mut Context::new(&self.pool), loaded, request, batch, found.take(), start))
    }

    /// Answers on this thread.
    fn run_here(
        &self,
        context: &mut Context,
        loaded: &Loaded,
        request: &Request<'_>,
        batch: &Batch<'_>,
        found: Option<Found>,
        start: Tick,
    ) -> Result<Prediction> {
        let n_rows = found.as_ref().map_or(batch.n_rows(), |found| found.missing.len());
        let predicted = match (&self.dedup, found) {
            (Some(dedup), Some(found)) => self.complete(dedup, context, loaded, batch, found),
            _ => {
                let mut values = self.spares().take(&loaded.kind);
                context.predict(&loaded.model, batch.all(), &mut values).map(|()| values)
            }
        };
        let end = self.clock.now();
        let took = Duration::from_nanos(end - start);
        let answer = predicted.map(|values| self.prediction(loaded, request, values, n_rows, took));
        loaded.count_run(answer.is_ok());
        loaded.metrics.record_request(&RequestRecord {
            priority: request.priority,
            outcome: outcome(&answer),
            rows: batch.n_rows(),
            cached_rows: batch.n_rows() - n_rows,
            total: took,
            queue: Duration::ZERO,
            execute: took,
            late: answer.is_ok() && request.deadline.is_some_and(|deadline| deadline < Instant::now()),
        });
        answer
    }

    /// Computes the rows that are missing, and keeps them.
    fn complete(
        &self,
        dedup: &Dedup,
        context: &mut Context,
        loaded: &Loaded,
        batch: &Batch<'_>,
        found: Found,
    ) -> Result<Predictions> {
        let now = self.clock.instant(self.clock.now());
        let Found { mut values, missing } = found;
        if missing.len() == batch.n_rows() {
            context.predict(&loaded.model, batch.all(), &mut values)?;
            dedup.put(loaded, batch, &missing, &values, now);
            return Ok(values);
        }
        let rows = Payload::copy_some(batch, &missing, &self.pool);
        let mut computed = self.spares().take(&loaded.kind);
        let n_features = loaded.model.schema().n_features();
        context.predict(&loaded.model, rows.rows(0..missing.len(), n_features), &mut computed)?;
        dedup.put(loaded, batch, &missing, &computed, now);
        for (from, &at) in missing.iter().enumerate() {
            values.copy_rows(at, &computed, from..from + 1);
        }
        self.spares().give(computed);
        Ok(values)
    }

    /// Looks a request's rows up in the cache, if there is one and it is worth it.
    pub(crate) fn find(&self, loaded: &Loaded, batch: &Batch<'_>, start: Tick) -> Option<Found> {
        let now = self.clock.instant(start);
        self.dedup.as_ref()?.find(loaded, batch, now, || self.spares().take(&loaded.kind))
    }

    /// The answer to a request whose rows were all found. `start` is when it came.
    pub(crate) fn answer_found(
        &self,
        loaded: &Loaded,
        request: &Request<'_>,
        values: Predictions,
        start: Tick,
    ) -> Result<Prediction> {
        if let Err(error) = self.check_open(request.deadline) {
            return self.refuse(loaded, request, values.n_rows(), error);
        }
        let took = Duration::from_nanos(self.clock.now() - start);
        let mut prediction = self.prediction(loaded, request, values, 0, took);
        prediction.from_cache = true;
        loaded.metrics.record_request(&RequestRecord {
            priority: request.priority,
            outcome: Outcome::Ok,
            rows: prediction.values.n_rows(),
            cached_rows: prediction.values.n_rows(),
            total: took,
            queue: Duration::ZERO,
            execute: Duration::ZERO,
            late: false,
        });
        Ok(prediction)
    }

    /// The answer to a request without rows.
    fn answer_nothing(&self, loaded: &Loaded, request: &Request<'_>, batch: &Batch<'_>) -> Result<Prediction> {
        if let Err(error) = self.check_open(request.deadline) {
            return self.refuse(loaded, request, 0, error);
        }
        let start = self.clock.now();
        let values = guarded(|| loaded.model.predict(batch.rows(0..0)));
        let took = Duration::from_nanos(self.clock.now() - start);
        self.record_run(loaded, request.priority, 0, took, outcome(&values));
        values.map(|values| self.prediction(loaded, request, values, 0, took))
    }

    /// Counts a request that ended before it ran.
    fn refuse<T>(&self, loaded: &Loaded, request: &Request<'_>, rows: usize, error: Error) -> Result<T> {
        let refused = Err(error);
        self.record_run(loaded, request.priority, rows, Duration::ZERO, outcome(&refused));
        refused
    }

    /// Counts a request that did not wait.
    pub(crate) fn record_run(
        &self,
        loaded: &Loaded,
        priority: Priority,
        rows: usize,
        took: Duration,
        outcome: Outcome,
    ) {
        loaded.metrics.record_request(&RequestRecord {
            priority,
            outcome,
            rows,
            cached_rows: 0,
            total: took,
            queue: Duration::ZERO,
            execute: took,
            late: false,
        });
    }

    /// An answer given on the caller's thread.
    fn prediction(
        &self,
        loaded: &Loaded,
        request: &Request<'_>,
        values: Predictions,
        batch_rows: usize,
        latency: Duration,
    ) -> Prediction {
        Prediction {
            batch_rows,
            values,
            latency,
            queue_time: Duration::ZERO,
            from_cache: false,
            epoch: loaded.epoch,
            id: self.id_of(request),
            tag: request.tag.clone(),
            spares: Some(Arc::clone(self.spares())),
        }
    }

    /// Vectors for answers that this thread gives; they come back to where they are taken from, whoever drops the answer.
    pub(crate) fn spares(&self) -> &Arc<Spares> {
        &self.spares[thread_number() % self.spares.len()]
    }

    fn inline_context(&self) -> Option<super::sync::MutexGuard<'_, Context>> {
        // What a thread has used before may still be near to it.
        let (others, near) = self.workers.split_at(thread_number() % self.workers.len());
        near.iter().chain(others).find_map(|worker| worker.0.inline.try_lock().ok())
    }

    fn check_open(&self, deadline: Option<Instant>) -> Result<()> {
        if self.occupancy.is_draining() {
            return Err(Error::shutdown("the engine is shutting down"));
        }
        match deadline {
            Some(deadline) if deadline <= Instant::now() => Err(expired()),
            _ => Ok(()),
        }
    }

    fn id_of(&self, request: &Request<'_>) -> u64 {
        let next = || self.ids[thread_number() % self.ids.len()].0.fetch_add(self.ids.len() as u64, Ordering::Relaxed);
        request.id.unwrap_or_else(next)
    }

    /// A copy of a request of at least one row, which came at `arrival`, to be [queued](Self::enqueue), if there is room for
    /// one more. `callback` is asked for only then.
    pub(crate) fn admit(
        &self,
        loaded: &Arc<Loaded>,
        request: &Request<'_>,
        batch: &Batch<'_>,
        found: Option<Found>,
        arrival: Tick,
        callback: impl FnOnce() -> Option<Callback>,
    ) -> Result<SharedJob> {
        if !self.occupancy.admit() {
            let full = Error::overloaded(Arc::clone(&self.full));
            return self.refuse(loaded, request, batch.n_rows(), full);
        }
        let deadline = request.deadline.map(|at| self.clock.tick(at));
        let mut progress = Progress::default();
        let flies = found.is_some();
        let payload = match found {
            None => Payload::copy_of(batch, &self.pool),
            Some(found) => {
                progress.asks = Ask::all(&found.missing);
                progress.rows_done = batch.n_rows() - found.missing.len();
                progress.rows_shared = progress.rows_done;
                progress.values = found.values;
                Payload::copy_some(batch, &found.missing, &self.pool)
            }
        };
        Ok(self.jobs.share(|| Job {
            n_rows: batch.n_rows(),
            flies,
            priority: request.priority,
            due: self.policy.due(arrival, request.priority as usize, deadline),
            deadline,
            slot: Slot::new(callback()),
            id: self.id_of(request),
            tag: request.tag.clone(),
            progress: Mutex::new(progress),
            loaded: Arc::clone(loaded),
            payload,
            arrival,
        }))
    }

    /// Queues an admitted request. It is given away: who needs it further takes a share before.
    pub(crate) fn enqueue(&self, job: SharedJob, loaded: &Loaded, request: &Request<'_>) -> Result<()> {
        let (n_rows, own_rows) = (job.n_rows, job.payload.n_rows());
        let queued = match &self.dedup {
            Some(dedup) if job.flies => self.push_asking(dedup, &job),
            _ => self.push_rows(job, 0..own_rows).map_err(refused),
        };
        queued.or_else(|error| {
            self.occupancy.ended(1);
            self.refuse(loaded, request, n_rows, error)
        })
    }

    /// Waits for the end of a queued request, but not beyond its deadline.
    pub(crate) fn wait(&self, job: &SharedJob, deadline: Option<Instant>) -> Result<Prediction> {
        if let Some(deadline) = deadline {
            if let Some(result) = job.slot.wait_until(deadline) {
                return result;
            }
            self.expire(job);
        }
        job.slot.wait()
    }

    /// Ends a request whose deadline has passed.
    pub(crate) fn expire(&self, job: &SharedJob) {
        if self.end(job, Err(expired())) {
            self.unqueue(job);
        }
    }

    /// Ends a request with a result, unless it has ended. True for exactly one of all who try.
    pub(crate) fn end(&self, job: &SharedJob, result: Result<Prediction>) -> bool {
        let is_answered = result.is_ok();
        let ends = self.end_alone(job, result);
        if ends && !is_answered {
            self.orphan(job);
        }
        ends
    }

    /// The same, when nobody can be waiting for its rows, or is told otherwise.
    pub(crate) fn end_alone(&self, job: &Job, result: Result<Prediction>) -> bool {
        let ends = job.slot.claim();
        if ends {
            self.record_unanswered(job, outcome(&result));
            self.occupancy.ended(1);
            shielded(|| job.slot.fill(result));
        }
        ends
    }

    /// Ends a request that nobody waits for any more.
    pub(crate) fn cancel(&self, job: &SharedJob) {
        if job.slot.claim() {
            self.record_unanswered(job, Outcome::Cancelled);
            self.occupancy.ended(1);
            self.unqueue(job);
            self.orphan(job);
        }
    }

    /// Ends a request whose run failed, and spares the rest of it.
    pub(crate) fn fail(&self, job: &SharedJob, error: Error) {
        job.loaded.count_run(false);
        if self.end(job, Err(error)) {
            self.unqueue(job);
        }
    }

    /// Ends a request with its numbers, unless it has ended.
    pub(crate) fn finish(&self, job: &Job, mut finished: Finished) {
        if self.claim(job, &mut finished) {
            self.occupancy.ended(1);
            let now = self.clock.now();
            self.record_answer(job, &finished, now);
            self.fill(job, finished, now);
        }
    }

    /// Whether a request has not ended before, so that it ends with its numbers. They are taken back otherwise.
    pub(crate) fn claim(&self, job: &Job, finished: &mut Finished) -> bool {
        let ends = job.slot.claim();
        if !ends {
            self.spares().give(std::mem::take(&mut finished.values));
        }
        ends
    }

    /// Counts a request that has been claimed and is about to be answered.
    pub(crate) fn record_answer(&self, job: &Job, finished: &Finished, now: Tick) {
        self.record(job, Outcome::Ok, now, Some(finished.started), finished.rows_shared);
    }

    /// Gives a request that has been claimed its numbers.
    pub(crate) fn fill(&self, job: &Job, finished: Finished, now: Tick) {
        let since = |tick: Tick| Duration::from_nanos(tick.saturating_sub(job.arrival));
        let answer = Prediction {
            values: finished.values,
            latency: since(now),
            queue_time: since(finished.started),
            from_cache: finished.from_cache,
            batch_rows: finished.batch_rows,
            epoch: job.loaded.epoch,
            id: job.id,
            tag: job.tag.clone(),
            spares: Some(Arc::clone(self.spares())),
        };
        // It calls the callback or waker.
        shielded(|| job.slot.fill(Ok(answer)));
    }

    /// Counts a queued request that ends now, and not with an answer.
    fn record_unanswered(&self, job: &Job, outcome: Outcome) {
        let started = lock(&job.progress).started;
        self.record(job, outcome, self.clock.now(), started, 0);
    }

    /// Counts a queued request that has ended.
    fn record(&self, job: &Job, outcome: Outcome, now: Tick, started: Option<Tick>, cached_rows: usize) {
        let span = |from: Tick, to: Tick| Duration::from_nanos(to.saturating_sub(from));
        job.loaded.metrics.record_request(&RequestRecord {
            priority: job.priority,
            outcome,
            rows: job.n_rows,
            cached_rows,
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
        node: usize,
    ) {
        let predicted = predicted.map(|nanos| Duration::from_nanos(nanos as u64));
        self.metrics.record_batch(&job.loaded.metrics, &BatchRecord { rows, execute, predicted, reruns, node });
    }

    pub(crate) fn queue_stats(&self) -> QueueStats {
        let mut stats = QueueStats::default();
        let (requests, rows, bytes) = self.queue.with(|batcher| batcher.waiting());
        (stats.requests, stats.rows, stats.bytes) = (requests as u64, rows as u64, bytes as u64);
        stats.running = self.occupancy.running() as u64;
        stats
    }

    pub(crate) fn unqueue(&self, job: &Job) {
        self.queue.cancel(|| std::mem::take(&mut lock(&job.progress).places));
    }

    /// Says what a worker runs from now on.
    pub(crate) fn publish(&self, worker: usize, running: Option<(&Arc<Batching>, Tick)>) {
        let worker = &self.workers[worker].0;
        worker.since.store(running.map_or(0, |(_, start)| start + 1), Ordering::Relaxed);
        *lock(&worker.current) = running.map(|(batch, _)| Arc::clone(batch));
    }

    /// Nanoseconds that the longest of the batches under way has taken.
    pub(crate) fn longest_run(&self) -> Tick {
        let now = self.clock.now();
        let running =
            self.workers.iter().map(|worker| worker.0.since.load(Ordering::Relaxed)).filter(|&since| since > 0);
        running.map(|since| now.saturating_sub(since - 1)).max().unwrap_or(0)
    }

    /// Counts the caller among those who predict once fewer than there are workers do, if that is soon and nothing has
    /// been queued by then: those who predict may merely have been interrupted.
    fn busy_soon(&self, patience: u32) -> Option<Busy<'_>> {
        let mut busy = self.occupancy.busy_if_free();
        for _ in 0..patience {
            if busy.is_some() || self.queue.rows() > 0 {
                break;
            }
            yield_now();
            busy = self.occupancy.busy_if_free();
        }
        busy
    }

    /// Accepts nothing more, waits until `until` for what was accepted, and ends the rest. Returns how many requests
    /// that were.
    pub(crate) fn drain(&self, until: Instant) -> usize {
        self.occupancy.drain();
        self.queue.close();
        self.occupancy.wait_until_quiet(until);
        let queued = self.queue.stop();
        let running: Vec<_> = self.workers.iter().filter_map(|worker| lock(&worker.0.current).take()).collect();
        let running = running.iter().flat_map(|batch| batch.parts.iter().map(|part| Arc::clone(&part.item.job)));
        let message = "the engine was shut down before the request ended";
        let jobs = queued.into_iter().map(|task| task.job).chain(running);
        let end = |job: SharedJob| match self.end_alone(&job, Err(Error::shutdown(message))) {
            true => 1 + self.orphan(&job),
            false => 0,
        };
        jobs.map(end).sum()
    }
}

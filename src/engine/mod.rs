//! The engine: several models behind one queue, in this process.
//!
//! A request that finds the engine idle runs on its caller's thread. Else it is copied and queued, and workers take what
//! is most urgent, many requests a batch. Each accepted request ends exactly once, in a value or a typed error, whatever
//! happens to its caller, its batch or its model.
//!
//! Policy and threads are apart: `batcher` decides and knows no thread, lock or clock; `queue`, `slot` and `workers`
//! move what it decides and know no policy.

mod batcher;
#[allow(unsafe_code)]
pub mod buffers;
mod bulk;
pub mod cache;
mod config;
mod core;
mod dedup;
mod ends;
mod hand_over;
mod health;
mod job;
mod occupancy;
mod payload;
mod queue;
mod registry;
mod request;
mod slot;
mod spares;
mod sync;
mod ticket;
pub mod topology;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use batcher::{BatchingReport, Recommendation};
pub use buffers::ZeroBuffers;
pub use config::{BatchingStrategy, EngineBuilder, Workers};
pub use health::{EngineState, Health};
pub use request::{Epoch, Prediction, Request};
pub use ticket::Ticket;
pub use topology::Pinning;
use topology::Topology;

use self::core::Core;
use crate::error::{Error, Result};
use crate::metrics::{Metrics, Priority};
use crate::model::{Model, Predictions, ValidationReport};
use crate::rows::{Batch, Rows};

/// Serves models to any number of threads. Shut down by [`shutdown`](Self::shutdown) or when dropped.
///
/// ```
/// use sawmill::{Engine, Model, Priority, Request};
///
/// let engine = Engine::builder().build()?;
/// engine.load("cancer", Model::load("models/xgboost/breast_cancer/model.json")?)?;
/// let row = vec![0.5f32; 30];
/// let prediction = engine.predict("cancer", &row)?;
/// let ticket = engine.submit(Request::new("cancer", &row).priority(Priority::High))?;
/// assert_eq!(ticket.wait()?.values, prediction.values);
/// # Ok::<(), sawmill::Error>(())
/// ```
pub struct Engine {
    core: Arc<Core>,
    threads: sync::Mutex<Vec<JoinHandle<()>>>,
    bulk: bulk::Bulk,
    stopped: AtomicBool,
}

/// How long dropping an engine waits for requests under way.
const GRACE_OF_DROP: Duration = Duration::from_millis(100);

impl Engine {
    /// A builder with the defaults.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// A builder for answers as soon as possible: small batches, nobody waits for company.
    pub fn latency() -> EngineBuilder {
        Self::builder().max_batch_rows(32)
    }

    /// A builder for as many answers as possible: large batches and long queues.
    pub fn throughput() -> EngineBuilder {
        Self::builder().max_batch_rows(512).max_in_flight(65_536).queue_rows(1 << 20).queue_bytes(1 << 30)
    }

    /// A builder for little memory: one worker, a short queue.
    pub fn memory() -> EngineBuilder {
        let builder = Self::builder().workers(Workers::Count(1)).buffer_pool_bytes(1 << 20);
        builder.queue_rows(4096).queue_bytes(16 << 20).max_batch_bytes(1 << 20)
    }

    fn start(config: EngineBuilder) -> Result<Self> {
        Self::start_on(Topology::detect(), config)
    }

    fn start_on(topology: Topology, config: EngineBuilder) -> Result<Self> {
        let count = match config.workers {
            Workers::Count(count) => Some(count),
            Workers::Auto => None,
        };
        let placement = topology.place(count, config.pinning)?;
        let workers = placement.n_workers();
        let core = Arc::new(Core::new(config, workers, placement.pools.len()));
        if topology.downgrade.is_some() {
            core.metrics.record_downgrade();
        }
        let observed = Arc::downgrade(&core);
        core.metrics.observe(move |snapshot| {
            if let Some(core) = observed.upgrade() {
                snapshot.queue = core.queue_stats();
                snapshot.pool = core.pool.stats();
                snapshot.cache = core.dedup.as_ref().map(|dedup| dedup.cache().stats());
                (snapshot.node_copies, snapshot.node_copy_bytes) = core.registry.node_copies();
            }
        });
        let engine = Self {
            core,
            threads: sync::Mutex::new(Vec::new()),
            bulk: bulk::Bulk::default(),
            stopped: AtomicBool::new(false),
        };
        let pools = placement.pools.into_iter().enumerate();
        let placed = pools.flat_map(|(pool, workers)| workers.workers.into_iter().map(move |cpus| (pool, cpus)));
        for (worker, (pool, cpus)) in placed.enumerate() {
            let core = Arc::clone(&engine.core);
            let thread = std::thread::Builder::new().name(format!("sawmill-{worker}"));
            // Those already started go when the engine is dropped.
            let handle = thread
                .spawn(move || {
                    if cpus.is_some_and(|cpus| topology::pin_current_thread(&cpus).is_err()) {
                        core.metrics.record_downgrade();
                    }
                    workers::work(&core, worker, pool);
                })
                .map_err(|cause| Error::option(format!("{workers} threads: {cause}")).at("workers"))?;
            sync::lock(&engine.threads).push(handle);
        }
        Ok(engine)
    }

    /// Checks `model` and serves it as `name` from now on, in place of the one that had this name. Requests accepted
    /// before end with the old one. On an error nothing changes.
    ///
    /// Cost: that of [`Model::validate`], and a few runs to measure it.
    ///
    /// # Errors
    /// An invalid-model error that names the first check that failed.
    pub fn load(&self, name: &str, model: Model) -> Result<Epoch> {
        if self.core.config.validate_on_load {
            let report = workers::guarded(|| Ok(model.validate())).map_err(|error| error.at(name))?;
            if let Some(check) = report.checks.iter().find(|check| !check.ok) {
                return Err(Error::invalid_model(check.detail.clone()).at(check.name).at(name));
            }
        }
        let metrics = self.core.metrics.model(name);
        let is_small = registry::array_bytes(&model) <= self.core.config.node_copy_bytes;
        let pools = if is_small { self.core.pools } else { 1 };
        let max_rows = self.core.config.max_batch_rows;
        let (loaded, replaced) = self.core.registry.insert(name, model, metrics, max_rows, pools)?;
        self.core.queue.with(|batcher| {
            batcher.retire(|load| self.core.registry.is_loaded(load));
            for kind in 0..payload::KINDS {
                let group = batcher::Group { load: loaded.number, rows: kind as u8 };
                for &(rows, nanos) in &loaded.calibration {
                    batcher.calibrate(group, rows, nanos);
                }
            }
        });
        if let Some(replaced) = replaced {
            self.forget(replaced.epoch);
        }
        Ok(loaded.epoch)
    }

    /// Drops what the cache holds of a model that has been replaced or unloaded, unless it is served still.
    fn forget(&self, epoch: Epoch) {
        if let Some(dedup) = &self.core.dedup
            && !self.core.registry.has_epoch(epoch)
        {
            dedup.cache().invalidate(epoch.0);
        }
    }

    /// Stops serving `name`. Requests accepted before still end.
    ///
    /// # Errors
    /// An unknown-model error.
    pub fn unload(&self, name: &str) -> Result<()> {
        let removed = self.core.registry.remove(name)?;
        self.forget(removed.epoch);
        self.core.metrics.forget(name);
        self.core.queue.with(|batcher| batcher.retire(|load| self.core.registry.is_loaded(load)));
        Ok(())
    }

    /// The names of the models served, in alphabetical order.
    pub fn models(&self) -> Vec<String> {
        self.core.registry.names()
    }

    /// The model served as `name` at this moment.
    ///
    /// # Errors
    /// An unknown-model error.
    pub fn model(&self, name: &str) -> Result<Model> {
        Ok(self.core.registry.find(name)?.model.clone())
    }

    /// Predicts and waits for the answer. A custom model, or a callback, may call this: on a worker's thread it runs at
    /// once.
    ///
    /// Cost: on an idle engine that of [`Model::predict_into`], two readings of the clock and the counters, without
    /// allocation once warm; on a busy one a copy of the rows, and the wait for a worker.
    ///
    /// # Errors
    /// An unknown-model error; a shape error for rows that do not fit the model; overloaded, deadline, shutdown, or what
    /// the model itself failed with: a panic or an error of its own.
    pub fn predict<'a>(&self, model: &'a str, rows: impl Into<Rows<'a>>) -> Result<Prediction> {
        self.predict_request(Request::new(model, rows))
    }

    /// As [`predict`](Self::predict), for a request with priority, deadline, id or tag.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_request(&self, request: Request<'_>) -> Result<Prediction> {
        let models = self.core.registry.current();
        let loaded = models.find(request.model)?;
        let batch = request.rows.batch(loaded.model.schema().n_features())?;
        let mut found = match self.find(loaded, &request, &batch, || self.core.clock.now()) {
            Ok(answer) => return answer,
            Err(found) => found,
        };
        if let Some(result) = self.core.run_inline(loaded, &request, &batch, None, &mut found) {
            return result;
        }
        if let Some(result) = self.core.run_nested(loaded, &request, &batch, &mut found) {
            return result;
        }
        let job = self.core.admit(loaded, &request, &batch, found, self.core.clock.now(), || None)?;
        self.core.enqueue(Arc::clone(&job), loaded, &request)?;
        drop(models);
        self.core.wait(&job, request.deadline)
    }

    /// The answer to a request whose rows are all in the cache; else what is known of them.
    fn find(
        &self,
        loaded: &registry::Loaded,
        request: &Request<'_>,
        batch: &Batch<'_>,
        now: impl FnOnce() -> batcher::Tick,
    ) -> std::result::Result<Result<Prediction>, Option<dedup::Found>> {
        if self.core.dedup.is_none() {
            return Err(None);
        }
        let start = now();
        match self.core.find(loaded, batch, start) {
            Some(found) if found.missing.is_empty() => Ok(self.core.answer_found(loaded, request, found.values, start)),
            found => Err(found),
        }
    }

    /// Accepts a request and returns at once with a ticket for its answer.
    ///
    /// A request that costs less than [`inline_below`](EngineBuilder::inline_below) and finds the engine idle is
    /// answered before the call returns.
    ///
    /// # Errors
    /// What can be said before it runs: unknown model, shape, overloaded, deadline, shutdown.
    pub fn submit(&self, request: Request<'_>) -> Result<Ticket> {
        let core = Arc::clone(&self.core);
        match self.accept(request, || None, Arc::clone)? {
            Accepted::Answered(result) => Ok(Ticket::ready(core, result)),
            Accepted::Queued(job) => Ok(Ticket::waiting(core, job)),
        }
    }

    /// Accepts a request and hands its answer to `callback`: on a worker's thread, or on this one before the call
    /// returns, as [`submit`](Self::submit) would. The callback should be short, and must not wait for a [`Ticket`]. A
    /// panic in it goes no further than the panic hook.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); the callback is not called then.
    pub fn submit_with(
        &self,
        request: Request<'_>,
        callback: impl FnOnce(Result<Prediction>) + Send + 'static,
    ) -> Result<()> {
        let mut callback = Some(callback);
        let boxed = || callback.take().map(|callback| Box::new(callback) as self::core::Callback);
        // Who waits for nothing needs no share of the request.
        if let Accepted::Answered(result) = self.accept(request, boxed, |_| ())?
            && let Some(callback) = callback
        {
            workers::shielded(|| callback(result));
        }
        Ok(())
    }

    /// Answers or queues a request, which is told to `share` first.
    fn accept<S>(
        &self,
        request: Request<'_>,
        callback: impl FnOnce() -> Option<self::core::Callback>,
        share: impl FnOnce(&job::SharedJob) -> S,
    ) -> Result<Accepted<S>> {
        let models = self.core.registry.current();
        let loaded = models.find(request.model)?;
        let batch = request.rows.batch(loaded.model.schema().n_features())?;
        let arrival = self.core.clock.now();
        let mut found = match self.find(loaded, &request, &batch, || arrival) {
            Ok(answer) => return Accepted::answered(answer),
            Err(found) => found,
        };
        if let Some(result) = self.core.run_inline(loaded, &request, &batch, Some(arrival), &mut found) {
            return Accepted::answered(result);
        }
        let job = self.core.admit(loaded, &request, &batch, found, arrival, callback)?;
        let shared = share(&job);
        self.core.enqueue(job, loaded, &request)?;
        Ok(Accepted::Queued(shared))
    }

    /// Predicts many rows at once: straight to the kernels, on as many threads as there are workers, without the queue.
    /// Counted as a request of normal priority.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), except that it is never overloaded.
    pub fn predict_batch<'a>(&self, model: &str, rows: impl Into<Rows<'a>>) -> Result<Predictions> {
        let loaded = self.core.registry.find(model)?;
        let batch = rows.into().batch(loaded.model.schema().n_features())?;
        let _busy = self.core.occupancy.busy();
        if self.core.occupancy.is_draining() {
            return Err(Error::shutdown("the engine is shutting down"));
        }
        let start = Instant::now();
        // A worker does it alone: threads that it would wait for might wait for workers in turn.
        let threads = if workers::is_worker_of(&self.core) { 1 } else { self.core.workers.len() };
        let predicted = self.bulk.predict(&loaded.model, &batch, threads);
        loaded.count_run(predicted.is_ok());
        let outcome = ends::outcome(&predicted);
        self.core.record_run(&loaded, Priority::Normal, batch.n_rows(), start.elapsed(), outcome);
        predicted
    }

    /// Checks the model served as `name`, as [`load`](Self::load) does before it serves it, and tells its measured cost.
    ///
    /// # Errors
    /// An unknown-model error.
    pub fn validate_model(&self, name: &str) -> Result<ValidationReport> {
        let loaded = self.core.registry.find(name)?;
        let mut report = workers::guarded(|| Ok(loaded.model.validate()))?;
        let epoch = loaded.epoch.to_string();
        report.push("epoch", true, epoch);
        let cost = |(rows, nanos): &(usize, u64)| format!("{rows} rows {:.1} µs", *nanos as f64 / 1e3);
        let measured: Vec<_> = loaded.calibration.iter().map(cost).collect();
        let detail =
            if measured.is_empty() { "not measured: rows of zeros fail".to_owned() } else { measured.join(", ") };
        report.push("cost", true, detail);
        Ok(report)
    }

    /// Drops all answers that the cache holds.
    pub fn clear_cache(&self) {
        if let Some(dedup) = &self.core.dedup {
            dedup.cache().clear();
        }
    }

    /// What the engine has counted and timed: see [`Metrics::snapshot`].
    pub fn metrics(&self) -> &Metrics {
        &self.core.metrics
    }

    /// What batching did so far, and what would suit it better.
    pub fn batching_report(&self) -> BatchingReport {
        self.core.queue.with(|batcher| batcher.report())
    }

    /// Whether the engine is alive and ready.
    pub fn health(&self) -> Health {
        health::of(&self.core, self.stopped.load(Ordering::Acquire))
    }

    /// Takes no more requests, lets those accepted end for up to `grace`, ends the rest with shutdown errors and stops
    /// the workers. A second call finds nothing to do.
    ///
    /// # Errors
    /// A shutdown error that tells how many requests had to be ended.
    pub fn shutdown(&self, grace: Duration) -> Result<()> {
        let now = Instant::now();
        let until = now.checked_add(grace).unwrap_or(now + Duration::from_secs(1 << 30));
        let ended = self.core.drain(until);
        let threads = std::mem::take(&mut *sync::lock(&self.threads));
        for thread in threads {
            // A worker that is stuck in a model, or is calling this through a callback, ends by itself.
            let stuck = ended > 0 && !thread.is_finished();
            if !stuck && thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        self.stopped.store(true, Ordering::Release);
        match ended {
            0 => Ok(()),
            _ => Err(Error::shutdown(format!("{ended} requests had not ended within {grace:?}"))),
        }
    }
}

/// What became of a request that was submitted.
enum Accepted<S> {
    Answered(Result<Prediction>),
    Queued(S),
}

impl<S> Accepted<S> {
    /// A request that has ended already; not accepted if it did not run.
    fn answered(result: Result<Prediction>) -> Result<Self> {
        match result {
            Err(error) if error.is_deadline() || error.is_shutdown() => Err(error),
            result => Ok(Self::Answered(result)),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Requests that had to be ended have been told so themselves.
        let _ = self.shutdown(GRACE_OF_DROP);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("models", &self.models()).field("health", &self.health()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use ndarray::Array2;

    use super::*;
    use crate::engine::topology::Core;

    /// An engine with a worker on each of two nodes, serving a model as `m`; rows for it.
    fn on_two_nodes(builder: EngineBuilder) -> (Engine, Model, Array2<f32>) {
        let cores = (0..2).map(|node| Core { node, cpus: vec![node] }).collect();
        let topology = Topology { cores, quota: None, downgrade: None };
        let builder = builder.inline_below(Duration::ZERO).max_batch_rows(8).max_in_flight(10_000);
        let engine = Engine::start_on(topology, builder).unwrap();
        let model = Model::load("models/xgboost/breast_cancer/model.json").unwrap();
        engine.load("m", model.clone()).unwrap();
        let rows = model.sample_rows(2000, 1).mapv(|value| value as f32);
        (engine, model, rows)
    }

    /// Has every worker run a row of `m`: none comes back for another before all have begun.
    fn run_on_every_worker(engine: &Engine, row: &[f32]) {
        let (begun, begins) = mpsc::channel();
        let hold = |_| {
            let (begun, (go, gone)) = (begun.clone(), mpsc::channel::<()>());
            let callback = move |answer: Result<Prediction>| {
                begun.send(answer.is_ok()).unwrap();
                let _ = gone.recv();
            };
            engine.submit_with(Request::new("m", row), callback).unwrap();
            assert!(begins.recv().unwrap());
            go
        };
        let held: Vec<_> = (0..engine.core.workers.len()).map(hold).collect();
        drop(held);
    }

    fn copies(engine: &Engine) -> (u64, u64) {
        let snapshot = engine.metrics().snapshot();
        (snapshot.node_copies, snapshot.node_copy_bytes)
    }

    #[test]
    fn every_node_answers_with_the_bits_of_the_model() {
        let (engine, model, rows) = on_two_nodes(Engine::builder());
        let loaded = engine.core.registry.find("m").unwrap();
        let expected = model.predict(&rows).unwrap();
        run_on_every_worker(&engine, rows.row(0).to_slice().unwrap());
        for pool in 0..2 {
            assert_eq!(loaded.model_of(pool).predict(&rows).unwrap(), expected);
            assert_eq!(loaded.model_of(pool).plan(), model.plan());
        }
        let trees = |pool: usize| loaded.model_of(pool).forest().map(std::ptr::from_ref);
        assert_ne!(trees(0), trees(1), "in memory of its own");
        assert_eq!(trees(1), trees(1), "made once");
        let tickets = rows.rows().into_iter().map(|row| engine.submit(Request::new("m", row.to_slice().unwrap())));
        let tickets: Vec<_> = tickets.collect::<Result<_>>().unwrap();
        for (row, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.wait().unwrap().values.as_f32().unwrap(), [expected.as_f32().unwrap()[row]]);
        }
        engine.shutdown(Duration::from_secs(60)).unwrap();
        let snapshot = engine.metrics().snapshot();
        assert!(snapshot.node_batches.len() == 2 && !snapshot.node_batches.contains(&0));
        assert_eq!(snapshot.node_batches.iter().sum::<u64>(), snapshot.batches().rows.count());
    }

    #[test]
    fn copies_for_nodes_are_made_when_needed_counted_and_dropped_with_their_model() {
        let (engine, model, rows) = on_two_nodes(Engine::builder());
        let row = rows.row(0);
        let row = row.to_slice().unwrap();
        let bytes = registry::array_bytes(&model) as u64;
        assert!(bytes > 0);
        assert_eq!(copies(&engine), (0, 0), "nobody has needed one");
        run_on_every_worker(&engine, row);
        assert_eq!(copies(&engine), (1, bytes), "one node has the model itself");
        run_on_every_worker(&engine, row);
        assert_eq!(copies(&engine), (1, bytes), "made once");
        let loaded = Arc::downgrade(&engine.core.registry.find("m").unwrap());
        // Swapped: the copy goes with the model it was made of, once no worker holds a batch of it.
        engine.load("m", model.clone()).unwrap();
        assert_eq!(copies(&engine), (0, 0));
        run_on_every_worker(&engine, row);
        assert_eq!(copies(&engine), (1, bytes));
        assert!(loaded.upgrade().is_none());
        let loaded = Arc::downgrade(&engine.core.registry.find("m").unwrap());
        engine.unload("m").unwrap();
        assert_eq!(copies(&engine), (0, 0));
        engine.shutdown(Duration::from_secs(60)).unwrap();
        assert!(loaded.upgrade().is_none());
    }

    #[test]
    fn what_is_larger_than_the_bound_or_no_forest_is_not_copied() {
        let (engine, model, rows) = on_two_nodes(Engine::builder().node_copy_bytes(0));
        let row = rows.row(0);
        run_on_every_worker(&engine, row.to_slice().unwrap());
        assert_eq!(copies(&engine), (0, 0));
        let loaded = engine.core.registry.find("m").unwrap();
        let trees = |pool: usize| loaded.model_of(pool).forest().map(std::ptr::from_ref);
        assert_eq!(trees(0), trees(1), "read across nodes");
        let exact = registry::array_bytes(&model);
        for (bound, expected) in [(exact - 1, 0), (exact, 1)] {
            let (engine, _, _) = on_two_nodes(Engine::builder().node_copy_bytes(bound));
            run_on_every_worker(&engine, row.to_slice().unwrap());
            assert_eq!(copies(&engine).0, expected);
        }
        // A model with threads of its own.
        let (engine, _, _) = on_two_nodes(Engine::builder());
        let threaded = Model::options().threads(2).load("models/xgboost/breast_cancer/model.json").unwrap();
        engine.load("m", threaded).unwrap();
        run_on_every_worker(&engine, row.to_slice().unwrap());
        assert_eq!(copies(&engine), (0, 0));
    }
}

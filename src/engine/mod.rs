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
        let before = self.core.registry.find(name);
        let bytes: usize = model.plan().kernels.iter().map(|kernel| kernel.bytes).sum();
        let copies = if bytes <= self.core.config.node_copy_bytes { self.core.pools } else { 1 };
        let loaded = self.core.registry.insert(name, model, metrics, self.core.config.max_batch_rows, copies)?;
        self.core.queue.with(|batcher| {
            batcher.retire(|load| self.core.registry.is_loaded(load));
            for kind in 0..payload::KINDS {
                let group = batcher::Group { load: loaded.number, rows: kind as u8 };
                for &(rows, nanos) in &loaded.calibration {
                    batcher.calibrate(group, rows, nanos);
                }
            }
        });
        if let Ok(before) = before {
            self.forget(before.epoch);
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

    /// Predicts and waits for the answer.
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
        let batch = request.rows.clone().batch(loaded.model.schema().n_features())?;
        let mut found = match self.find(loaded, &request, &batch) {
            Ok(answer) => return answer,
            Err(found) => found,
        };
        if let Some(result) = self.core.run_inline(loaded, &request, &batch, None, &mut found) {
            return result;
        }
        let job = self.core.enqueue(loaded, &request, &batch, found, None)?;
        drop(models);
        self.core.wait(&job, request.deadline)
    }

    /// The answer to a request whose rows are all in the cache; else what is known of them.
    fn find(
        &self,
        loaded: &registry::Loaded,
        request: &Request<'_>,
        batch: &Batch<'_>,
    ) -> std::result::Result<Result<Prediction>, Option<dedup::Found>> {
        if self.core.dedup.is_none() {
            return Err(None);
        }
        let start = self.core.clock.now();
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
        match self.accept(request, || None)? {
            Accepted::Answered(result) => Ok(Ticket::ready(core, result)),
            Accepted::Queued(job) => Ok(Ticket::waiting(core, job)),
        }
    }

    /// Accepts a request and hands its answer to `callback`: on a worker's thread, or on this one before the call
    /// returns, as [`submit`](Self::submit) would. The callback should be short, and must not wait for the engine.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); the callback is not called then.
    pub fn submit_with(
        &self,
        request: Request<'_>,
        callback: impl FnOnce(Result<Prediction>) + Send + 'static,
    ) -> Result<()> {
        let mut callback = Some(callback);
        let boxed = || callback.take().map(|callback| Box::new(callback) as Box<dyn FnOnce(_) + Send>);
        if let Accepted::Answered(result) = self.accept(request, boxed)?
            && let Some(callback) = callback
        {
            callback(result);
        }
        Ok(())
    }

    fn accept(
        &self,
        request: Request<'_>,
        callback: impl FnOnce() -> Option<Box<dyn FnOnce(Result<Prediction>) + Send>>,
    ) -> Result<Accepted> {
        let models = self.core.registry.current();
        let loaded = models.find(request.model)?;
        let batch = request.rows.clone().batch(loaded.model.schema().n_features())?;
        let limit = batcher::nanos(self.core.config.inline_below);
        // There is nothing to queue of a request without rows.
        let limit = (batch.n_rows() > 0).then_some(limit);
        let mut found = match self.find(loaded, &request, &batch) {
            Ok(answer) => return Ok(Accepted::Answered(answer)),
            Err(found) => found,
        };
        if let Some(result) = self.core.run_inline(loaded, &request, &batch, limit, &mut found) {
            return Ok(Accepted::Answered(result));
        }
        Ok(Accepted::Queued(self.core.enqueue(loaded, &request, &batch, found, callback())?))
    }

    /// Predicts many rows at once: straight to the kernels, on as many threads as there are workers, without the queue.
    /// Counted as a request of normal priority.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), except that it is never overloaded.
    pub fn predict_batch<'a>(&self, model: &str, rows: impl Into<Rows<'a>>) -> Result<Predictions> {
        let loaded = self.core.registry.find(model)?;
        let batch = rows.into().batch(loaded.model.schema().n_features())?;
        let _busy = self.core.busy();
        if self.core.is_draining() {
            return Err(Error::shutdown("the engine is shutting down"));
        }
        let start = Instant::now();
        let predicted = self.bulk.predict(&loaded.model, &batch, self.core.workers.len());
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
enum Accepted {
    Answered(Result<Prediction>),
    Queued(Arc<job::Job>),
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
    use super::*;
    use crate::engine::topology::Core;

    /// Each pool of workers has a copy of the model, and its batches are counted.
    #[test]
    fn every_node_answers_with_the_bits_of_the_model() {
        let topology = Topology {
            cores: (0..2).map(|node| Core { node, cpus: vec![node] }).collect(),
            quota: None,
            downgrade: None,
        };
        let builder = Engine::builder().inline_below(Duration::ZERO).max_batch_rows(8).max_in_flight(10_000);
        let engine = Engine::start_on(topology, builder).unwrap();
        let model = Model::load("models/xgboost/breast_cancer/model.json").unwrap();
        engine.load("m", model.clone()).unwrap();
        let loaded = engine.core.registry.find("m").unwrap();
        let rows = model.sample_rows(2000, 1).mapv(|value| value as f32);
        let expected = model.predict(&rows).unwrap();
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
        assert_eq!(snapshot.node_batches.len(), 2);
        assert_eq!(snapshot.node_batches.iter().sum::<u64>(), snapshot.batches().rows.count());
    }
}

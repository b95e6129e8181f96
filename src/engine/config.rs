//! How an engine is configured: every knob has a default that suits a laptop, and `build` checks them together.

use std::time::Duration;

use serde::Serialize;

use super::Engine;
use super::batcher::Policy;
use super::buffers::ZeroBuffers;
use super::cache::CacheConfig;
use super::topology::Pinning;
use crate::error::{Error, Result};

/// Number of classes of [`Priority`](crate::Priority).
pub(crate) const CLASSES: usize = 4;

/// No batch needs more rows than this: a kernel works in blocks far smaller.
pub(crate) const MAX_BATCH_ROWS_LIMIT: usize = 1 << 20;

/// How requests become batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BatchingStrategy {
    /// Batches of this many rows; a smaller one runs when its oldest request has waited for
    /// [`max_delay`](EngineBuilder::max_delay).
    Fixed(usize),
    /// Batches of up to [`max_batch_rows`](EngineBuilder::max_batch_rows), which run when full or when the oldest
    /// request has waited for [`max_delay`](EngineBuilder::max_delay).
    Dynamic,
    /// A free worker takes what is there, at once. How much it takes at most follows from the measured cost of batches
    /// and the deadlines of the requests.
    #[default]
    Adaptive,
}

/// How many threads run batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workers {
    /// One for every core this process may use, fewer under a cgroup quota.
    #[default]
    Auto,
    /// This many.
    Count(usize),
}

/// Configures an [`Engine`]. Every method but the last consumes and returns the builder; only the last can fail.
#[derive(Clone, Debug)]
#[must_use]
pub struct EngineBuilder {
    pub(crate) workers: Workers,
    pub(crate) pinning: Pinning,
    pub(crate) strategy: BatchingStrategy,
    pub(crate) max_batch_rows: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) max_delay: Duration,
    pub(crate) max_in_flight: Option<usize>,
    pub(crate) queue_rows: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) budgets: [Duration; CLASSES],
    pub(crate) inline_below: Duration,
    pub(crate) validate_on_load: bool,
    pub(crate) buffer_pool_bytes: usize,
    pub(crate) zero_buffers: ZeroBuffers,
    pub(crate) cache: Option<CacheConfig>,
    pub(crate) node_copy_bytes: usize,
    pub(crate) metrics: bool,
}

/// Requests in flight per worker, unless said otherwise.
const IN_FLIGHT_PER_WORKER: usize = 100;

impl Default for EngineBuilder {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            workers: Workers::Auto,
            pinning: Pinning::Auto,
            strategy: BatchingStrategy::Adaptive,
            max_batch_rows: 64,
            max_batch_bytes: 4 << 20,
            max_delay: Duration::ZERO,
            max_in_flight: None,
            queue_rows: 65_536,
            queue_bytes: 256 << 20,
            budgets: [ms(1), ms(5), ms(20), ms(1000)],
            inline_below: Duration::from_micros(50),
            validate_on_load: true,
            buffer_pool_bytes: 64 << 20,
            zero_buffers: ZeroBuffers::OnRelease,
            cache: None,
            node_copy_bytes: 256 << 20,
            metrics: true,
        }
    }
}

impl EngineBuilder {
    /// How many threads run batches. Default: [`Workers::Auto`].
    pub fn workers(mut self, workers: Workers) -> Self {
        self.workers = workers;
        self
    }

    /// Where workers may run. Default: [`Pinning::Auto`]. What the system refuses is done without, and counted in
    /// [`Snapshot::downgrades`](crate::metrics::Snapshot::downgrades).
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.pinning = pinning;
        self
    }

    /// How requests become batches. Default: [`BatchingStrategy::Adaptive`].
    pub fn batching(mut self, strategy: BatchingStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Rows of a batch, at most; larger requests are run in parts. Default: 64.
    pub fn max_batch_rows(mut self, rows: usize) -> Self {
        self.max_batch_rows = rows;
        self
    }

    /// Bytes of the rows of a batch, at most; one row is always run. Default: 4 MiB.
    pub fn max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_batch_bytes = bytes;
        self
    }

    /// How long a request may wait for others to share its batch. Default: zero, nobody waits for company.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Requests accepted and not yet ended, at most; the next one is refused as overloaded. Default: 100 a worker.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = Some(requests);
        self
    }

    /// Rows that may wait. Beyond 75 % of them no request of low priority is accepted, beyond 90 % no normal one,
    /// beyond 95 % none of high priority. Default: 65,536.
    pub fn queue_rows(mut self, rows: usize) -> Self {
        self.queue_rows = rows;
        self
    }

    /// Bytes of the rows that may wait. Default: 256 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// How long a request of each class may wait before all that came later has to wait for it: critical, high,
    /// normal, low. Default: 1 ms, 5 ms, 20 ms, 1 s.
    pub fn budgets(mut self, critical: Duration, high: Duration, normal: Duration, low: Duration) -> Self {
        self.budgets = [critical, high, normal, low];
        self
    }

    /// A submitted request that is expected to run for less than this is run by the submitting thread itself where a
    /// worker is free and nothing waits; where requests come close together, only if it takes no longer than handing it
    /// over. Zero always hands over. Default: 50 µs. Blocking calls have no such limit.
    pub fn inline_below(mut self, cost: Duration) -> Self {
        self.inline_below = cost;
        self
    }

    /// Whether [`Engine::load`] checks a model before it swaps it in. Default: yes.
    pub fn validate_on_load(mut self, validate: bool) -> Self {
        self.validate_on_load = validate;
        self
    }

    /// Bytes of the memory that is kept for the rows of queued requests and batches; what goes beyond is allocated and
    /// freed. Default: 64 MiB.
    pub fn buffer_pool_bytes(mut self, bytes: usize) -> Self {
        self.buffer_pool_bytes = bytes;
        self
    }

    /// When memory that has held rows or results is overwritten with zeros. Default: when it is released.
    pub fn zero_buffers(mut self, zero: ZeroBuffers) -> Self {
        self.zero_buffers = zero;
        self
    }

    /// Keeps answers by row, and computes rows that are asked for at the same time once. Answers are the same to the
    /// bit. Models that answer with text, and [`Engine::predict_batch`], do without. Default: no cache.
    pub fn cache(mut self, cache: CacheConfig) -> Self {
        self.cache = Some(cache);
        self
    }

    /// A model whose arrays take at most this many bytes is copied to each NUMA node that has workers; a larger one is
    /// read across nodes. Default: 256 MiB.
    pub fn node_copy_bytes(mut self, bytes: usize) -> Self {
        self.node_copy_bytes = bytes;
        self
    }

    /// Whether requests and batches are counted and timed. If not, a snapshot has nothing but gauges. Default: yes.
    pub fn metrics(mut self, on: bool) -> Self {
        self.metrics = on;
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// An option error that names the field whose value makes no sense, alone or beside another's; or threads that
    /// cannot be started.
    pub fn build(self) -> Result<Engine> {
        self.check()?;
        Engine::start(self)
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("max_batch_rows", self.max_batch_rows),
            ("max_batch_bytes", self.max_batch_bytes),
            ("max_in_flight", self.max_in_flight.unwrap_or(1)),
            ("queue_rows", self.queue_rows),
            ("queue_bytes", self.queue_bytes),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::option("0 would let nothing through").at(field));
        }
        if self.workers == Workers::Count(0) {
            return Err(Error::option("0 threads would run nothing").at("workers"));
        }
        if let Workers::Count(count @ 1025..) = self.workers {
            return Err(Error::option(format!("{count} threads, but the limit is 1024")).at("workers"));
        }
        if self.max_batch_rows > MAX_BATCH_ROWS_LIMIT {
            let finding = format!("{}, but the limit is {MAX_BATCH_ROWS_LIMIT}", self.max_batch_rows);
            return Err(Error::option(finding).at("max_batch_rows"));
        }
        if self.max_batch_rows > self.queue_rows {
            let finding = format!("{}, but max_batch_rows is {}", self.queue_rows, self.max_batch_rows);
            return Err(Error::option(finding).at("queue_rows"));
        }
        match self.strategy {
            BatchingStrategy::Fixed(0) => {
                return Err(Error::option("batches of 0 rows").at("batching"));
            }
            BatchingStrategy::Fixed(rows) if rows > self.max_batch_rows => {
                let finding = format!("batches of {rows} rows, but max_batch_rows is {}", self.max_batch_rows);
                return Err(Error::option(finding).at("batching"));
            }
            BatchingStrategy::Fixed(_) if self.max_delay.is_zero() => {
                return Err(Error::option("zero, so batches of a fixed size would never be waited for").at("max_delay"));
            }
            BatchingStrategy::Adaptive if !self.max_delay.is_zero() => {
                return Err(Error::option("adaptive batching never waits; choose Dynamic to wait").at("max_delay"));
            }
            _ => {}
        }
        if self.cache.is_some_and(|cache| !cache.holds_anything()) {
            return Err(Error::option("no room for a single row").at("cache"));
        }
        if !self.budgets.is_sorted() {
            return Err(Error::option("a class has less time than a more urgent one").at("budgets"));
        }
        Ok(())
    }

    pub(crate) fn in_flight(&self, workers: usize) -> usize {
        self.max_in_flight.unwrap_or(IN_FLIGHT_PER_WORKER * workers)
    }

    /// The batcher's part, for a queue that `workers` serve.
    pub(crate) fn policy(&self, workers: usize) -> Policy {
        Policy {
            strategy: self.strategy,
            max_batch_rows: self.max_batch_rows,
            max_batch_bytes: self.max_batch_bytes,
            max_delay: self.max_delay,
            queue_rows: self.queue_rows,
            queue_bytes: self.queue_bytes,
            budgets: self.budgets,
            workers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_combination_names_the_field() {
        let error = |builder: EngineBuilder| builder.check().unwrap_err().to_string();
        let ms = Duration::from_millis;
        assert_eq!(error(Engine::builder().queue_rows(0)), "queue_rows: 0 would let nothing through");
        assert_eq!(error(Engine::builder().workers(Workers::Count(0))), "workers: 0 threads would run nothing");
        assert_eq!(error(Engine::builder().queue_rows(10)), "queue_rows: 10, but max_batch_rows is 64");
        assert_eq!(
            error(Engine::builder().batching(BatchingStrategy::Fixed(100)).max_delay(ms(1))),
            "batching: batches of 100 rows, but max_batch_rows is 64"
        );
        assert!(error(Engine::builder().batching(BatchingStrategy::Fixed(8))).starts_with("max_delay: zero"));
        assert!(error(Engine::builder().max_delay(ms(1))).starts_with("max_delay: adaptive"));
        assert!(error(Engine::builder().budgets(ms(2), ms(1), ms(3), ms(4))).starts_with("budgets: "));
        assert_eq!(error(Engine::builder().cache(CacheConfig::rows(0))), "cache: no room for a single row");
        assert!(error(Engine::builder().cache(CacheConfig::rows(9).bytes(9))).starts_with("cache: "));
        assert!(Engine::builder().cache(CacheConfig::rows(1)).check().is_ok());
        assert!(Engine::builder().check().is_ok());
    }
}

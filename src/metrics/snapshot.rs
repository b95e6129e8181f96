//! Series at one moment, and the difference between two moments.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Distribution, Outcome, Priority};

/// The state of all series. [`since`](Self::since) an earlier one, what happened in between.
///
/// Serialises (`serde`) as a report of averages and percentiles; [`prometheus`](Self::prometheus) gives the text
/// exposition.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// What the counters cover: the time since the engine started, or between two snapshots.
    pub interval: Duration,
    /// By name of model.
    pub models: BTreeMap<String, ModelStats>,
    /// The deduplication cache, if there is one.
    pub cache: Option<CacheStats>,
    /// The buffer pool.
    pub pool: PoolStats,
    /// What waits and what runs.
    pub queue: QueueStats,
    /// Batches run by each worker pool, one for each NUMA node in use.
    pub node_batches: Vec<u64>,
    /// Copies of models' arrays that workers of further NUMA nodes have made for themselves, of models served now.
    pub node_copies: u64,
    /// Their bytes.
    pub node_copy_bytes: u64,
    /// How often the machine refused something that was then done without, such as pinning.
    pub downgrades: u64,
}

/// Requests and batches of a model.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ModelStats {
    /// Requests by class, in the order of [`Priority::ALL`].
    pub classes: [ClassStats; Priority::ALL.len()],
    /// Batches.
    pub batches: BatchStats,
}

/// Requests of one class.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ClassStats {
    pub(super) outcomes: [u64; Outcome::ALL.len()],
    /// Rows answered with values.
    pub rows: u64,
    /// Rows that were answered from the cache or by another request's work.
    pub cached_rows: u64,
    /// Requests that were answered with values, but after their deadline.
    pub late: u64,
    /// From call to answer, in nanoseconds.
    pub total: Distribution,
    /// Waiting for a worker, in nanoseconds.
    pub queue: Distribution,
    /// In the model, in nanoseconds, of requests that got there.
    pub execute: Distribution,
}

/// Batches of a model.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BatchStats {
    /// Rows of a batch; its count is the number of batches.
    pub rows: Distribution,
    /// Expected time in the model, of the batches that had an expectation.
    pub predicted: Duration,
    /// Time in the model of the same batches.
    pub actual: Duration,
    /// Sum of the differences of the two, as magnitudes.
    pub error: Duration,
    /// Runs of parts of a batch, to find the request that makes it fail.
    pub reruns: u64,
}

/// The deduplication cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Rows found.
    pub hits: u64,
    /// Rows not found.
    pub misses: u64,
    /// Rows that joined the same row in flight.
    pub coalesced: u64,
    /// Rows dropped to stay within the budget.
    pub evicted: u64,
    /// Rows dropped because they were too old.
    pub expired: u64,
    /// Lookups that were skipped because the cache costs more than it gains.
    pub bypassed: u64,
    /// Rows held.
    pub rows: u64,
    /// Bytes held: keys, values and bookkeeping.
    pub bytes: u64,
}

/// The buffer pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Buffers, in use or free.
    #[serde(rename = "total_buffers")]
    pub buffers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Buffers in use.
    pub buffers_in_use: u64,
    /// Buffers that were there when asked for.
    pub hits: u64,
    /// Buffers that had to be allocated.
    pub misses: u64,
    /// Those of the misses that did not fit the budget and were freed after use.
    pub over_budget: u64,
    /// Bytes overwritten with zeros.
    pub zeroed_bytes: u64,
    /// Free buffers given back to the system because they were no longer needed.
    pub trimmed: u64,
}

/// What waits and what runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueStats {
    /// Requests waiting.
    pub requests: u64,
    /// Their rows.
    pub rows: u64,
    /// The bytes of those rows.
    pub bytes: u64,
    /// Requests in the model now.
    pub running: u64,
}

impl Snapshot {
    /// What happened after `earlier` was taken: counters and distributions are subtracted, gauges (what is held, what
    /// waits) stay as they are now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        later.interval = self.interval.saturating_sub(earlier.interval);
        for (name, model) in &mut later.models {
            if let Some(earlier) = earlier.models.get(name) {
                model.subtract(earlier);
            }
        }
        if let (Some(cache), Some(earlier)) = (&mut later.cache, &earlier.cache) {
            for (count, then) in [
                (&mut cache.hits, earlier.hits),
                (&mut cache.misses, earlier.misses),
                (&mut cache.coalesced, earlier.coalesced),
                (&mut cache.evicted, earlier.evicted),
                (&mut cache.expired, earlier.expired),
                (&mut cache.bypassed, earlier.bypassed),
            ] {
                *count = count.saturating_sub(then);
            }
        }
        let (pool, then) = (&mut later.pool, &earlier.pool);
        for (count, then) in [
            (&mut pool.hits, then.hits),
            (&mut pool.misses, then.misses),
            (&mut pool.over_budget, then.over_budget),
            (&mut pool.zeroed_bytes, then.zeroed_bytes),
            (&mut pool.trimmed, then.trimmed),
        ] {
            *count = count.saturating_sub(then);
        }
        for (batches, then) in later.node_batches.iter_mut().zip(&earlier.node_batches) {
            *batches = batches.saturating_sub(*then);
        }
        later.downgrades = self.downgrades.saturating_sub(earlier.downgrades);
        later
    }

    /// Requests that ended, however they did.
    pub fn total_requests(&self) -> u64 {
        self.models.values().map(ModelStats::requests).sum()
    }

    /// Requests that ended so.
    pub fn requests(&self, outcome: Outcome) -> u64 {
        self.classes().map(|class| class.requests(outcome)).sum()
    }

    /// From call to answer, of all requests, in nanoseconds.
    pub fn total(&self) -> Distribution {
        let mut all = Distribution::default();
        self.classes().for_each(|class| all.add(&class.total));
        all
    }

    /// Batches of all models together.
    pub fn batches(&self) -> BatchStats {
        let mut all = BatchStats::default();
        for BatchStats { rows, predicted, actual, error, reruns } in self.models.values().map(|model| &model.batches) {
            all.rows.add(rows);
            all.predicted += *predicted;
            all.actual += *actual;
            all.error += *error;
            all.reruns += reruns;
        }
        all
    }

    fn classes(&self) -> impl Iterator<Item = &ClassStats> {
        self.models.values().flat_map(|model| &model.classes)
    }
}

impl ModelStats {
    /// Requests that ended, however they did.
    pub fn requests(&self) -> u64 {
        self.classes.iter().flat_map(|class| class.outcomes).sum()
    }

    fn subtract(&mut self, earlier: &Self) {
        for (class, then) in self.classes.iter_mut().zip(&earlier.classes) {
            for (count, then) in class.outcomes.iter_mut().zip(then.outcomes) {
                *count = count.saturating_sub(then);
            }
            class.rows = class.rows.saturating_sub(then.rows);
            class.cached_rows = class.cached_rows.saturating_sub(then.cached_rows);
            class.late = class.late.saturating_sub(then.late);
            class.total = class.total.since(&then.total);
            class.queue = class.queue.since(&then.queue);
            class.execute = class.execute.since(&then.execute);
        }
        let (batches, then) = (&mut self.batches, &earlier.batches);
        batches.rows = batches.rows.since(&then.rows);
        batches.predicted = batches.predicted.saturating_sub(then.predicted);
        batches.actual = batches.actual.saturating_sub(then.actual);
        batches.error = batches.error.saturating_sub(then.error);
        batches.reruns = batches.reruns.saturating_sub(then.reruns);
    }
}

impl ClassStats {
    /// Requests that ended so.
    pub fn requests(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }
}

impl CacheStats {
    /// Share of the rows looked up that were found; 0 of none.
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / (self.hits + self.misses + self.coalesced).max(1) as f64
    }
}

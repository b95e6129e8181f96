//! A snapshot as people and programs read it: averages and percentiles in milliseconds.

use std::collections::BTreeMap;

use serde::ser::{Serialize, Serializer};

use super::{CacheStats, ClassStats, Distribution, ModelStats, Outcome, PoolStats, Priority, QueueStats, Snapshot};

/// The percentiles that are reported.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

#[derive(serde::Serialize)]
struct Report<'a> {
    interval_s: f64,
    total_requests: u64,
    /// From call to answer.
    avg_inference_time_ms: f64,
    cache_hit_rate: f64,
    requests: BTreeMap<&'a str, u64>,
    latency_ms: BTreeMap<&'a str, f64>,
    memory_pool: Held<PoolStats>,
    dynamic_batcher: Batcher<'a>,
    deduplication_cache: Option<Held<CacheStats>>,
    queue: QueueStats,
    node_batches: &'a [u64],
    node_copies: u64,
    node_copy_bytes: u64,
    downgrades: u64,
    models: BTreeMap<&'a str, Model<'a>>,
}

/// What is held in memory.
#[derive(serde::Serialize)]
struct Held<S> {
    memory_usage_mb: f64,
    #[serde(flatten)]
    stats: S,
}

#[derive(serde::Serialize)]
struct Batcher<'a> {
    processed_batches: u64,
    avg_batch_size: f64,
    batch_rows: BTreeMap<&'a str, f64>,
    predicted_ms: f64,
    actual_ms: f64,
    error_ms: f64,
    reruns: u64,
}

#[derive(serde::Serialize)]
struct Model<'a> {
    total_requests: u64,
    processed_batches: u64,
    avg_batch_size: f64,
    classes: BTreeMap<&'a str, Class<'a>>,
}

#[derive(serde::Serialize)]
struct Class<'a> {
    requests: BTreeMap<&'a str, u64>,
    rows: u64,
    cached_rows: u64,
    late: u64,
    latency_ms: BTreeMap<&'a str, f64>,
    queue_ms: BTreeMap<&'a str, f64>,
    execute_ms: BTreeMap<&'a str, f64>,
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (total, batches) = (self.total(), self.batches());
        Report {
            interval_s: self.interval.as_secs_f64(),
            total_requests: self.total_requests(),
            avg_inference_time_ms: total.mean() * MILLISECONDS,
            cache_hit_rate: self.cache.map_or(0.0, |cache| cache.hit_rate()),
            requests: Outcome::ALL.map(|outcome| (outcome.name(), self.requests(outcome))).into(),
            latency_ms: summary(&total, MILLISECONDS),
            memory_pool: held(self.pool.bytes, self.pool),
            dynamic_batcher: Batcher {
                processed_batches: batches.rows.count(),
                avg_batch_size: batches.rows.mean(),
                batch_rows: summary(&batches.rows, 1.0),
                predicted_ms: batches.predicted.as_secs_f64() * 1e3,
                actual_ms: batches.actual.as_secs_f64() * 1e3,
                error_ms: batches.error.as_secs_f64() * 1e3,
                reruns: batches.reruns,
            },
            deduplication_cache: self.cache.map(|cache| held(cache.bytes, cache)),
            queue: self.queue,
            node_batches: &self.node_batches,
            node_copies: self.node_copies,
            node_copy_bytes: self.node_copy_bytes,
            downgrades: self.downgrades,
            models: self.models.iter().map(|(name, model)| (name.as_str(), model.into())).collect(),
        }
        .serialize(serializer)
    }
}

/// From nanoseconds.
const MILLISECONDS: f64 = 1e-6;

fn summary(distribution: &Distribution, unit: f64) -> BTreeMap<&'static str, f64> {
    let percentiles = PERCENTILES.map(|(name, q)| (name, distribution.quantile(q) as f64 * unit));
    percentiles.into_iter().chain([("mean", distribution.mean() * unit)]).collect()
}

fn held<S>(bytes: u64, stats: S) -> Held<S> {
    Held { memory_usage_mb: bytes as f64 / (1 << 20) as f64, stats }
}

impl<'a> From<&'a ModelStats> for Model<'a> {
    fn from(stats: &'a ModelStats) -> Self {
        Self {
            total_requests: stats.requests(),
            processed_batches: stats.batches.rows.count(),
            avg_batch_size: stats.batches.rows.mean(),
            classes: Priority::ALL
                .iter()
                .zip(&stats.classes)
                .map(|(class, stats)| (class.name(), stats.into()))
                .collect(),
        }
    }
}

impl<'a> From<&'a ClassStats> for Class<'a> {
    fn from(stats: &'a ClassStats) -> Self {
        Self {
            requests: Outcome::ALL.map(|outcome| (outcome.name(), stats.requests(outcome))).into(),
            rows: stats.rows,
            cached_rows: stats.cached_rows,
            late: stats.late,
            latency_ms: summary(&stats.total, MILLISECONDS),
            queue_ms: summary(&stats.queue, MILLISECONDS),
            execute_ms: summary(&stats.execute, MILLISECONDS),
        }
    }
}

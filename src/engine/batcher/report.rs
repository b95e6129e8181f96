//! What batching did so far, and what would do better.

use std::time::Duration;

use serde::Serialize;

use crate::engine::config::{BatchingStrategy, MAX_BATCH_ROWS_LIMIT};

/// Batches by size, the cost model and what to change. From [`Engine::batching_report`](crate::Engine::batching_report).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BatchingReport {
    /// Batches that ran.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows of a batch, on average; 0 before the first.
    pub mean_rows: f64,
    /// Batches by size: entry `i` counts those of `2^i` up to `2^(i+1) - 1` rows.
    pub by_size: Vec<u64>,
    /// Batches that were as large as they may be.
    pub full_batches: u64,
    /// Rows that ended later than their deadline or the budget of their class.
    pub late_rows: u64,
    /// Fixed cost of a batch in the fitted model, nanoseconds.
    pub batch_nanos: f64,
    /// Cost of each row in the fitted model, nanoseconds.
    pub row_nanos: f64,
    /// Rows a batch may have now: configured, or less where deadlines were missed.
    pub limit_rows: usize,
    /// The strategy to choose, with its size and delay.
    pub recommended: Recommendation,
}

/// A strategy that suits the batches recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recommendation {
    /// What to give [`EngineBuilder::batching`](crate::EngineBuilder::batching).
    pub strategy: BatchingStrategy,
    /// What to give [`EngineBuilder::max_batch_rows`](crate::EngineBuilder::max_batch_rows).
    pub max_batch_rows: usize,
    /// What to give [`EngineBuilder::max_delay`](crate::EngineBuilder::max_delay).
    pub max_delay: Duration,
    /// Why.
    pub reason: String,
}

/// Powers of two that a batch's rows can lie between.
const SIZES: usize = MAX_BATCH_ROWS_LIMIT.ilog2() as usize + 1;

/// What was recorded; becomes a report.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) batches: u64,
    pub(super) rows: u64,
    pub(super) by_size: [u64; SIZES],
    pub(super) full: u64,
    pub(super) late_rows: u64,
}

/// Batches below which nothing is recommended but what there is.
const ENOUGH: u64 = 100;

impl Record {
    pub(super) fn batch(&mut self, rows: usize, full: bool, late_rows: usize) {
        self.batches += 1;
        self.rows += rows as u64;
        self.by_size[rows.max(1).ilog2() as usize] += 1;
        self.full += u64::from(full);
        self.late_rows += late_rows as u64;
    }

    /// `(o, s)` is the cost of the batches, `now` the strategy in use.
    pub(super) fn report(
        &self,
        (o, s): (f64, f64),
        limit_rows: usize,
        knee: usize,
        now: Recommendation,
    ) -> BatchingReport {
        let used = self.by_size.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        let mean_rows = if self.batches == 0 { 0.0 } else { self.rows as f64 / self.batches as f64 };
        BatchingReport {
            batches: self.batches,
            rows: self.rows,
            mean_rows,
            by_size: self.by_size[..used].to_vec(),
            full_batches: self.full,
            late_rows: self.late_rows,
            batch_nanos: o,
            row_nanos: s,
            limit_rows,
            recommended: self.recommend((o, s), mean_rows, knee, now),
        }
    }

    fn recommend(&self, (o, s): (f64, f64), mean_rows: f64, knee: usize, now: Recommendation) -> Recommendation {
        if self.batches < ENOUGH || o + s <= 0.0 {
            return Recommendation { reason: format!("{} batches are too few to go by", self.batches), ..now };
        }
        let adaptive = |max_batch_rows, reason| Recommendation {
            strategy: BatchingStrategy::Adaptive,
            max_batch_rows,
            max_delay: Duration::ZERO,
            reason,
        };
        let (o_us, s_us) = (o / 1e3, s / 1e3);
        let often_full = self.full * 2 > self.batches;
        let late = self.late_rows as f64 / self.rows as f64;
        if late > 0.01 && !now.max_delay.is_zero() {
            let percent = late * 100.0;
            return adaptive(
                now.max_batch_rows,
                format!("{percent:.1} % of rows were late: do not wait for a batch to fill"),
            );
        }
        if often_full && knee > now.max_batch_rows {
            let rows = knee.min(MAX_BATCH_ROWS_LIMIT).next_power_of_two();
            return adaptive(
                rows,
                format!("most batches were full, and {o_us:.1} µs a batch is worth sharing among more rows"),
            );
        }
        if !often_full && mean_rows < 2.0 && o > 4.0 * s {
            let max_delay = Duration::from_nanos(o as u64);
            return Recommendation {
                strategy: BatchingStrategy::Dynamic,
                max_batch_rows: now.max_batch_rows,
                max_delay,
                reason: format!(
                    "batches have {mean_rows:.1} rows and cost {o_us:.1} µs before the first: a short wait gathers more"
                ),
            };
        }
        adaptive(now.max_batch_rows, format!("{o_us:.1} µs a batch and {s_us:.1} µs a row: run what is there"))
    }
}

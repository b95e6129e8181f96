//! Timing of calls: stretches without a clock in between give the throughput, stretches with each call timed the
//! distribution.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use sawmill::{Model, Predictions, Scratch};
use serde::Serialize;

use super::pool::{Pool, Windows};

/// A stretch of calls takes about this long, or one call.
const STRETCH: Duration = Duration::from_millis(1);

/// At most this many calls of a batch size are kept with their times.
const MAX_TIMES: usize = 1 << 22;

/// Nanoseconds for a row of a batch: the call's time by the number of rows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NsPerRow {
    pub min: f64,
    pub p50: f64,
    pub p99: f64,
}

/// What reading the clock costs.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    overhead: u32,
}

impl Clock {
    /// The median time between two readings with nothing in between.
    pub fn calibrate() -> Self {
        let mut times: Vec<u32> = (0..10_001).map(|_| nanoseconds(Instant::now().elapsed())).collect();
        times.sort_unstable();
        Self { overhead: times[times.len() / 2] }
    }

    pub fn overhead_ns(self) -> f64 {
        self.overhead.into()
    }
}

/// Calls with batches of one size.
pub struct Measurement {
    pub batch: usize,
    pub clock: Clock,
    windows: Windows,
    predictions: Predictions,
    scratch: Scratch,
    /// Calls in a stretch.
    stretch: usize,
    /// Nanoseconds of every call timed, without the clock's share.
    times: Vec<u32>,
    /// Calls, and the time they took, in stretches without a clock in between.
    untimed: (usize, Duration),
}

impl Measurement {
    pub fn new(batch: usize, clock: Clock) -> Self {
        Self {
            batch,
            clock,
            windows: Windows::default(),
            predictions: Predictions::default(),
            scratch: Scratch::default(),
            stretch: 1,
            times: Vec::new(),
            untimed: (0, Duration::ZERO),
        }
    }

    fn call(&mut self, model: &Model, pool: &Pool) -> Result<()> {
        let start = self.windows.advance(self.batch, pool.n_rows());
        model.predict_into(pool.rows(start, self.batch), &mut self.predictions, &mut self.scratch)?;
        black_box(&mut self.predictions);
        Ok(())
    }

    /// Calls for `duration` without keeping anything but how many fit into a stretch.
    pub fn warm_up(&mut self, model: &Model, pool: &Pool, duration: Duration) -> Result<()> {
        let (start, mut calls) = (Instant::now(), 0u32);
        while calls == 0 || start.elapsed() < duration {
            self.call(model, pool)?;
            calls += 1;
        }
        let per_call = (start.elapsed() / calls).max(Duration::from_nanos(1));
        self.stretch = (STRETCH.as_nanos() / per_call.as_nanos()).max(1) as usize;
        Ok(())
    }

    /// Measures for `duration`; the number of rows predicted.
    pub fn run(&mut self, model: &Model, pool: &Pool, duration: Duration) -> Result<u64> {
        let (start, mut calls) = (Instant::now(), 0);
        while calls == 0 || start.elapsed() < duration {
            let stretch = Instant::now();
            for _ in 0..self.stretch {
                self.call(model, pool)?;
            }
            self.untimed.1 += stretch.elapsed();
            self.untimed.0 += self.stretch;
            self.times.reserve(self.stretch);
            for _ in 0..self.stretch {
                let call = Instant::now();
                self.call(model, pool)?;
                let time = nanoseconds(call.elapsed());
                if self.times.len() < MAX_TIMES {
                    self.times.push(time.saturating_sub(self.clock.overhead));
                }
            }
            calls += 2 * self.stretch;
        }
        Ok((calls * self.batch) as u64)
    }

    pub fn n_calls(&self) -> usize {
        self.times.len() + self.untimed.0
    }

    pub fn rows_per_s(&self) -> f64 {
        let (calls, time) = self.untimed;
        (calls * self.batch) as f64 / time.as_secs_f64()
    }

    pub fn ns_per_row(&self) -> NsPerRow {
        let times = self.sorted_ns_per_row();
        NsPerRow { min: times[0], p50: quantile(&times, 0.5), p99: quantile(&times, 0.99) }
    }

    /// Of every call timed, ascending.
    pub fn sorted_ns_per_row(&self) -> Vec<f64> {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.into_iter().map(|time| f64::from(time) / self.batch as f64).collect()
    }
}

/// The smallest value that at least the share `q` of `sorted` does not exceed.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Saturates after four seconds, far beyond any call worth a distribution.
fn nanoseconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|q| quantile(&sorted, q)), [1.0, 50.0, 99.0, 100.0]);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }
}

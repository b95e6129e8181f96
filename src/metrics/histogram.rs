//! Log-linear histograms: eight buckets an octave, so that a value is known to 12.5 %.
//!
//! A value is counted in units of 2^`UNIT` (128 ns for times, 1 for rows). Below eight units a bucket is one unit wide;
//! above, each doubling is cut into eight. 26 doublings end at 68.7 s for times, 537 million for rows; what lies
//! beyond falls into one last bucket. So times from 1 µs on are known to 12.5 %, shorter ones to 128 ns.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bits of a value that are kept below its leading one.
const PRECISION: u32 = 3;
const PER_OCTAVE: usize = 1 << PRECISION;
const OCTAVES: usize = 26;
/// The linear start, the octaves, and one bucket for what lies beyond.
const BUCKETS: usize = PER_OCTAVE * (1 + OCTAVES) + 1;

/// Units of times: 2^7 ns.
pub(super) const NANOSECONDS: u32 = 7;
/// Units of numbers of rows.
pub(super) const ROWS: u32 = 0;

/// The bucket of a value in units.
fn bucket(units: u64) -> usize {
    let Some(octave) = units.checked_ilog2().and_then(|log| log.checked_sub(PRECISION)) else {
        return units as usize;
    };
    let within = (units >> octave) as usize & (PER_OCTAVE - 1);
    ((octave as usize + 1) * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The smallest value, in units, of a bucket; of `BUCKETS`, the end of the last.
fn lower(bucket: usize) -> u64 {
    let (octave, within) = ((bucket / PER_OCTAVE).saturating_sub(1), bucket % PER_OCTAVE);
    let leading = if bucket < PER_OCTAVE { 0 } else { PER_OCTAVE };
    ((leading + within) as u64) << octave
}

/// A counter that is written by many threads, or by one alone.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// `alone` says that no other thread ever writes to this counter: then a load and a store do, at a tenth of the cost.
    pub(super) fn add(&self, number: u64, alone: bool) {
        if alone {
            self.0.store(self.0.load(Relaxed).wrapping_add(number), Relaxed);
        } else {
            self.0.fetch_add(number, Relaxed);
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The side that is written: an addition to a bucket, and one to the sum.
#[derive(Debug)]
pub(super) struct Histogram<const UNIT: u32> {
    sum: Counter,
    buckets: [Counter; BUCKETS],
}

impl<const UNIT: u32> Default for Histogram<UNIT> {
    fn default() -> Self {
        Self { sum: Counter::default(), buckets: [const { Counter(AtomicU64::new(0)) }; BUCKETS] }
    }
}

impl<const UNIT: u32> Histogram<UNIT> {
    pub(super) fn record(&self, value: u64, alone: bool) {
        self.buckets[bucket(value >> UNIT)].add(1, alone);
        if value > 0 {
            self.sum.add(value, alone);
        }
    }

    pub(super) fn record_time(&self, time: Duration, alone: bool) {
        self.record(nanoseconds(time), alone);
    }

    pub(super) fn add_to(&self, distribution: &mut Distribution) {
        distribution.unit = UNIT;
        distribution.sum += self.sum.get();
        distribution.buckets.resize(BUCKETS, 0);
        for (total, bucket) in distribution.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
    }
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// How recorded values are distributed: times in nanoseconds, or numbers of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    unit: u32,
    sum: u64,
    /// Empty, or all of them.
    buckets: Vec<u64>,
}

impl Distribution {
    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum, exact.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count().max(1) as f64
    }

    /// The value that a share `q` (0 to 1) of the values do not exceed: the middle of its bucket. 0 of none.
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(0, |bucket| {
            let (first, end) = (lower(bucket) << self.unit, lower(bucket + 1) << self.unit);
            first + (end - 1 - first) / 2
        })
    }

    /// How many values were below each power of two of units, from `from` units on, with that bound as a value. Cuts
    /// fall between buckets, so the numbers are exact.
    pub(super) fn cumulative(&self, from: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut seen: u64 = 0;
        (0..self.buckets.len()).filter_map(move |bucket| {
            seen += self.buckets[bucket];
            let end = lower(bucket + 1);
            let is_bound = end.is_power_of_two() && end >= from && bucket + 1 < BUCKETS;
            is_bound.then_some((end << self.unit, seen))
        })
    }

    /// Adds the values of another series of the same kind.
    pub fn add(&mut self, other: &Self) {
        self.unit = self.unit.max(other.unit);
        self.sum += other.sum;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (total, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *total += more;
        }
    }

    /// What was recorded after `earlier` was taken of the same series.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        later.sum = later.sum.saturating_sub(earlier.sum);
        for (now, then) in later.buckets.iter_mut().zip(&earlier.buckets) {
            *now = now.saturating_sub(*then);
        }
        later
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(lower(index)), index);
            assert_eq!(bucket(lower(index + 1) - 1), index);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!(Duration::from_nanos(lower(BUCKETS - 1) << NANOSECONDS) > Duration::from_secs(60));
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_an_eighth(values in prop::collection::vec(1_000u64..60_000_000_000, 1..200), q in 0.0..1.0f64) {
            let histogram = Histogram::<NANOSECONDS>::default();
            values.iter().for_each(|&value| histogram.record(value, true));
            let mut distribution = Distribution::default();
            histogram.add_to(&mut distribution);
            let mut values: Vec<u64> = values;
            values.sort_unstable();
            let exact = values[((values.len() as f64 * q).ceil() as usize).max(1) - 1] as f64;
            prop_assert!((distribution.quantile(q) as f64 - exact).abs() <= 0.125 * exact);
            prop_assert_eq!(distribution.count(), values.len() as u64);
            prop_assert_eq!(distribution.sum(), values.iter().sum::<u64>());
        }

        #[test]
        fn cumulative_counts_are_exact(values in prop::collection::vec(0u64..1 << 40, 0..100)) {
            let histogram = Histogram::<NANOSECONDS>::default();
            values.iter().for_each(|&value| histogram.record(value, true));
            let mut distribution = Distribution::default();
            histogram.add_to(&mut distribution);
            for (bound, count) in distribution.cumulative(8) {
                prop_assert_eq!(count, values.iter().filter(|&&value| value < bound).count() as u64);
            }
        }
    }

    #[test]
    fn small_numbers_of_rows_are_exact() {
        let histogram = Histogram::<ROWS>::default();
        histogram.record(13, false);
        let mut distribution = Distribution::default();
        histogram.add_to(&mut distribution);
        assert_eq!((distribution.quantile(0.5), distribution.mean()), (13, 13.0));
        assert_eq!(Distribution::default().quantile(0.5), 0);
    }
}

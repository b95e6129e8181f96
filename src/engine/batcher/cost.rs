//! What a batch costs: `T(n) = o + s·n`, fitted to the batches that ran.
//!
//! Sums that fade, solved as least squares; so the fit follows a machine that slows down. A batch that takes many times
//! what is expected was interrupted more likely than not, and counts as that many times.

/// Share of the past that is left after a batch.
const FADE: f64 = 0.98;

/// Batches after which the fit is believed.
const WARM: f64 = 2.5;

/// Where the fixed cost falls below this share of the whole, larger batches gain nothing.
const KNEE: f64 = 0.05;

/// Nanoseconds that a batch costs beside its run: the way of a worker to it and back.
const AROUND: f64 = 5_000.0;

/// Times of what is expected that a batch counts as, at most.
const MOST: f64 = 4.0;

/// The cost of a batch of rows, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    weight: f64,
    rows: f64,
    rows_squared: f64,
    nanos: f64,
    rows_nanos: f64,
}

impl Cost {
    /// A batch of `rows` took `nanos`.
    pub(super) fn record(&mut self, rows: usize, nanos: u64) {
        let n = rows as f64;
        let most = if self.is_known() { MOST * self.predict(rows, rows) } else { f64::INFINITY };
        let t = (nanos as f64).min(most.max(1.0));
        for (sum, sample) in [
            (&mut self.weight, 1.0),
            (&mut self.rows, n),
            (&mut self.rows_squared, n * n),
            (&mut self.nanos, t),
            (&mut self.rows_nanos, n * t),
        ] {
            *sum = *sum * FADE + sample;
        }
    }

    /// Whether there is enough to go by.
    pub(super) fn is_known(&self) -> bool {
        self.weight >= WARM
    }

    /// `(o, s)`: nanoseconds of a batch and of each row in it; zeros while nothing is known.
    pub(super) fn fit(&self) -> (f64, f64) {
        if !self.is_known() {
            return (0.0, 0.0);
        }
        let spread = self.weight * self.rows_squared - self.rows * self.rows;
        let mean = self.nanos / self.rows;
        // Batches of one size say nothing about the fixed part.
        if spread <= 1e-6 * self.rows_squared * self.weight {
            return (0.0, mean);
        }
        let slope = (self.weight * self.rows_nanos - self.rows * self.nanos) / spread;
        let offset = (self.nanos - slope * self.rows) / self.weight;
        match (slope > 0.0, offset >= 0.0) {
            (true, true) => (offset, slope),
            (true, false) => (0.0, mean),
            (false, _) => (self.nanos / self.weight, 0.0),
        }
    }

    /// Nanoseconds that `rows` will take in batches of at most `batch_rows`.
    pub(super) fn predict(&self, rows: usize, batch_rows: usize) -> f64 {
        let (offset, slope) = self.fit();
        offset * rows.div_ceil(batch_rows.max(1)) as f64 + slope * rows as f64
    }

    /// The most rows that take at most `nanos`.
    pub(super) fn rows_within(&self, nanos: f64) -> usize {
        let (offset, slope) = self.fit();
        if slope <= 0.0 { usize::MAX } else { ((nanos - offset) / slope).max(0.0) as usize }
    }

    /// Rows beyond which the fixed cost no longer matters.
    pub(super) fn knee(&self) -> usize {
        let (offset, slope) = self.fit();
        if slope <= 0.0 { usize::MAX } else { ((offset + AROUND) / slope * (1.0 - KNEE) / KNEE).round() as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_finds_a_line() {
        let mut cost = Cost::default();
        assert_eq!(cost.fit(), (0.0, 0.0));
        for rows in [1usize, 8, 64, 3, 20] {
            cost.record(rows, 1000 + 50 * rows as u64);
        }
        let (offset, slope) = cost.fit();
        assert!((offset - 1000.0).abs() < 1e-6 && (slope - 50.0).abs() < 1e-6, "{offset} {slope}");
        assert!((cost.predict(130, 64) - (3.0 * 1000.0 + 130.0 * 50.0)).abs() < 1e-6);
        assert_eq!(cost.rows_within(1501.0), 10);
        assert_eq!(cost.knee(), 20 * 120 - 120);
    }

    #[test]
    fn an_interrupted_batch_changes_little_and_a_slower_machine_all() {
        let mut cost = Cost::default();
        let batch = |rows: usize| 1000 + 50 * rows as u64;
        (0..100).for_each(|at| cost.record(1 + at % 64, batch(1 + at % 64)));
        cost.record(64, 1_000_000_000);
        assert!(cost.predict(64, 64) < 1.5 * batch(64) as f64, "{cost:?}");
        (0..200).for_each(|at| cost.record(1 + at % 64, 20 * batch(1 + at % 64)));
        assert!(cost.predict(64, 64) > 15.0 * batch(64) as f64, "{cost:?}");
    }

    #[test]
    fn batches_of_one_size_give_a_cost_per_row() {
        let mut cost = Cost::default();
        for _ in 0..10 {
            cost.record(4, 400);
        }
        assert_eq!(cost.fit(), (0.0, 100.0));
    }
}

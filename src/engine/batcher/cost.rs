//! What a batch costs: `T(n) = o + s·n`, fitted to the batches that ran.
//!
//! Sums that fade, solved as least squares; so the fit follows a machine that slows down, and one odd batch passes.

/// Share of the past that is left after a batch.
const FADE: f64 = 0.98;

/// Batches after which the fit is believed.
const WARM: f64 = 2.5;

/// Where the fixed cost falls below this share of the whole, larger batches gain nothing.
const KNEE: f64 = 0.05;

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
        let (n, t) = (rows as f64, nanos as f64);
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
        if slope <= 0.0 { usize::MAX } else { (offset / slope * (1.0 - KNEE) / KNEE).round() as usize }
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
        assert_eq!(cost.knee(), 380);
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

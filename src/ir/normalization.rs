//! Rows of numbers brought to mean zero and deviation one, as networks ask for it, and the definition of what that gives.
#![allow(clippy::needless_range_loop, reason = "as in kernels, which inline this")]

/// Running sums side by side.
const LANES: usize = 16;

/// What becomes of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalization<'a> {
    /// Numbers of a row; one at least.
    pub(crate) width: usize,
    /// Added to the variance.
    pub(crate) epsilon: f32,
    /// Of each column, for numbers that have been normalised; none for nothing.
    pub(crate) factors: Option<&'a [f32]>,
    /// Added in the end.
    pub(crate) offsets: Option<&'a [f32]>,
}

impl Normalization<'_> {
    /// Normalises each row in its place.
    ///
    /// Always inlined, so that its loops are compiled for the instructions its caller may use.
    #[inline(always)]
    pub(crate) fn apply(&self, rows: &mut [f32]) {
        let mut first = 0;
        while first < rows.len() {
            let row = &mut rows[first..][..self.width];
            let count = self.width as f32;
            let mean = sum(row, |x| x) / count;
            let deviation = (sum(row, |x| (x - mean) * (x - mean)) / count + self.epsilon).sqrt();
            for at in 0..row.len() {
                row[at] = (row[at] - mean) / deviation;
            }
            if let Some(factors) = self.factors {
                let factors = &factors[..row.len()];
                for at in 0..row.len() {
                    row[at] *= factors[at];
                }
            }
            if let Some(offsets) = self.offsets {
                let offsets = &offsets[..row.len()];
                for at in 0..row.len() {
                    row[at] += offsets[at];
                }
            }
            first += self.width;
        }
    }
}

/// The sum of `f` of each number: lane by lane, then the lanes by halves, then what is left one by one.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = row.len() / LANES * LANES;
    let mut first = 0;
    while first < whole {
        let part = &row[first..][..LANES];
        for lane in 0..LANES {
            lanes[lane] += f(part[lane]);
        }
        first += LANES;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    let mut sum = lanes[0];
    for at in whole..row.len() {
        sum += f(row[at]);
    }
    sum
}

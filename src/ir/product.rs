//! Products of matrices and their like, as pipelines ask for them, and the definition of what their sums are.
#![allow(clippy::needless_range_loop, reason = "as in kernels, which inline this")]

use super::real::Real;

/// What is added up, of a number of a row of one matrix and one of a column of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// Their product, fused with the addition.
    Product,
    /// The square of their difference, each step rounded.
    SquaredDifference,
}

/// `a · b`, row after row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a, T> {
    /// `n × k`.
    pub(crate) a: &'a [T],
    /// `k × m`, or `m × k` if it is `turned`.
    pub(crate) b: &'a [T],
    /// `n`, `k` and `m`.
    pub(crate) size: (usize, usize, usize),
    pub(crate) turned: bool,
    /// So many terms are added up before their sum is added to that of the terms before.
    pub(crate) part: usize,
    pub(crate) term: Term,
    /// Added to the sums of each column in the end; none for nothing.
    pub(crate) offsets: Option<&'a [T]>,
    /// For each column the factor of what that gives, and what is added again; none for nothing.
    pub(crate) scaled: Option<(&'a [T], &'a [T])>,
    /// Whether what is then below zero becomes zero.
    pub(crate) rectified: bool,
}

impl Term {
    /// The sum with the term of `x` and `y` added.
    #[inline(always)]
    pub(crate) fn add<T: Real>(self, sum: T, x: T, y: T) -> T {
        match self {
            Self::Product => x.fused(y, sum),
            Self::SquaredDifference => sum + (x - y) * (x - y),
        }
    }
}

impl<T: Real> Product<'_, T> {
    /// The reference evaluator: writes the `n × m` sums, each term by term.
    pub(crate) fn eval(&self, out: &mut [T]) {
        let (_, k, m) = self.size;
        let (along, across) = self.strides();
        for (at, out) in out.iter_mut().enumerate() {
            let (row, column) = (at / m, at % m);
            let add =
                |sum: T, at: usize| self.term.add(sum, self.a[row * k + at], self.b[at * along + column * across]);
            let mut parts = (0..k).step_by(self.part).map(|first| {
                let last = first.saturating_add(self.part).min(k);
                (first..last).fold(T::ZERO, add)
            });
            let first = parts.next().unwrap_or(T::ZERO);
            *out = parts.fold(first, |sum, part| sum + part);
        }
        self.finish_rows(out);
    }

    /// What becomes of the sums of whole rows in the end.
    #[inline(always)]
    pub(crate) fn finish_rows(&self, out: &mut [T]) {
        let m = self.size.2;
        if let Some(offsets) = self.offsets {
            let offsets = &offsets[..m];
            let mut first = 0;
            while first < out.len() {
                let sums = &mut out[first..][..m];
                for column in 0..m {
                    sums[column] += offsets[column];
                }
                first += m;
            }
        }
        if let Some((factors, shifts)) = self.scaled {
            let (factors, shifts) = (&factors[..m], &shifts[..m]);
            let mut first = 0;
            while first < out.len() {
                let sums = &mut out[first..][..m];
                for column in 0..m {
                    sums[column] = sums[column] * factors[column] + shifts[column];
                }
                first += m;
            }
        }
        if self.rectified {
            for at in 0..out.len() {
                out[at] = rectified(out[at]);
            }
        }
    }

    /// How far apart the elements of `b` are that stand for neighbouring terms, and for neighbouring columns.
    pub(crate) fn strides(&self) -> (usize, usize) {
        let (_, k, m) = self.size;
        if self.turned { (1, k) } else { (m, 1) }
    }
}

/// Zero for what is below it; NaN stays, which `max` would lose.
#[inline(always)]
pub(crate) fn rectified<T: Real>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

//! Products of matrices, as pipelines ask for them, and the definition of what their sums are.

use super::real::Real;

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
}

impl<T: Real> Product<'_, T> {
    /// The reference evaluator: writes the `n × m` sums, each term by term.
    pub(crate) fn eval(&self, out: &mut [T]) {
        let (_, k, m) = self.size;
        let (along, across) = self.strides();
        for (at, out) in out.iter_mut().enumerate() {
            let (row, column) = (at / m, at % m);
            let term = |sum: T, at: usize| self.a[row * k + at].fused(self.b[at * along + column * across], sum);
            let mut parts = (0..k).step_by(self.part).map(|first| {
                let last = first.saturating_add(self.part).min(k);
                (first..last).fold(T::ZERO, term)
            });
            let first = parts.next().unwrap_or(T::ZERO);
            *out = parts.fold(first, |sum, part| sum + part);
        }
    }

    /// How far apart the elements of `b` are that stand for neighbouring terms, and for neighbouring columns.
    pub(crate) fn strides(&self) -> (usize, usize) {
        let (_, k, m) = self.size;
        if self.turned { (1, k) } else { (m, 1) }
    }
}

//! Products of matrices. Lanes are rows, or columns where there are few rows: each sum is taken term by term, as
//! [`Product::eval`] has it, whatever is computed beside it.

use super::level::{Level, Work};
use crate::ir::product::Product;
use crate::ir::real::Real;

/// Sums side by side: as many f32 as the widest register holds.
const LANES: usize = 16;

/// Columns whose sums are taken at once: enough that additions need not wait for one another.
const COLUMNS: usize = 4;

/// Fewer rows than this leave lanes empty that columns can fill.
const FEW_ROWS: usize = 4;

/// Multiplies matrices on an instruction set.
pub(crate) trait Multiply: Send + Sync {
    /// Writes the sums of a product to `out`; `panel` is working memory.
    fn product_f32(&self, product: &Product<'_, f32>, panel: &mut Vec<f32>, out: &mut [f32]);
    /// As [`product_f32`](Self::product_f32).
    fn product_f64(&self, product: &Product<'_, f64>, panel: &mut Vec<f64>, out: &mut [f64]);
}

impl<L: Level> Multiply for L {
    fn product_f32(&self, product: &Product<'_, f32>, panel: &mut Vec<f32>, out: &mut [f32]) {
        self.run(Job { product, panel, out });
    }

    fn product_f64(&self, product: &Product<'_, f64>, panel: &mut Vec<f64>, out: &mut [f64]) {
        self.run(Job { product, panel, out });
    }
}

struct Job<'a, T> {
    product: &'a Product<'a, T>,
    panel: &'a mut Vec<T>,
    out: &'a mut [T],
}

impl<T: Real> Work for Job<'_, T> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, _: L) {
        let (n, _, m) = self.product.size;
        if n < FEW_ROWS && m >= LANES && !self.product.turned {
            lanes_of_columns(self.product, self.out);
        } else {
            lanes_of_rows(self.product, self.panel, self.out);
        }
    }
}

#[inline(always)]
fn lanes_of_rows<T: Real>(product: &Product<'_, T>, panel: &mut Vec<T>, out: &mut [T]) {
    let (n, k, m) = product.size;
    panel.clear();
    panel.resize(k * LANES, T::ZERO);
    let (panel, _) = panel.as_chunks_mut::<LANES>();
    for first in (0..n).step_by(LANES) {
        let count = LANES.min(n - first);
        let rows = &product.a[first * k..][..count * k];
        for lane in 0..count {
            for (at, lanes) in panel.iter_mut().enumerate() {
                lanes[lane] = rows[lane * k + at];
            }
        }
        let out = &mut out[first * m..][..count * m];
        let whole = m / COLUMNS * COLUMNS;
        for column in (0..whole).step_by(COLUMNS) {
            write(&tile::<T, COLUMNS>(product, panel, column), column, m, out);
        }
        for column in whole..m {
            write(&tile::<T, 1>(product, panel, column), column, m, out);
        }
    }
}

/// The sums of `C` columns from `first` on, for the rows in the panel.
#[inline(always)]
fn tile<T: Real, const C: usize>(product: &Product<'_, T>, panel: &[[T; LANES]], first: usize) -> [[T; LANES]; C] {
    let (along, across) = product.strides();
    let mut total = [[T::ZERO; LANES]; C];
    let mut start = 0;
    while start < panel.len() {
        let end = start.saturating_add(product.part).min(panel.len());
        let mut sums = [[T::ZERO; LANES]; C];
        for at in start..end {
            let lanes = &panel[at];
            for column in 0..C {
                let factor = product.b[at * along + (first + column) * across];
                for lane in 0..LANES {
                    sums[column][lane] = lanes[lane].fused(factor, sums[column][lane]);
                }
            }
        }
        add_part(&mut total, &sums, start);
        start = end;
    }
    total
}

/// Adds the sums of a part, of which the first one is the total as it stands.
#[inline(always)]
fn add_part<T: Real, const C: usize>(total: &mut [[T; LANES]; C], sums: &[[T; LANES]; C], start: usize) {
    if start == 0 {
        *total = *sums;
        return;
    }
    for (total, sums) in total.iter_mut().zip(sums) {
        for lane in 0..LANES {
            total[lane] += sums[lane];
        }
    }
}

#[inline(always)]
fn write<T: Real, const C: usize>(sums: &[[T; LANES]; C], first: usize, m: usize, out: &mut [T]) {
    for (lane, out) in out.chunks_exact_mut(m).enumerate() {
        for column in 0..C {
            out[first + column] = sums[column][lane];
        }
    }
}

#[inline(always)]
fn lanes_of_columns<T: Real>(product: &Product<'_, T>, out: &mut [T]) {
    let (n, k, m) = product.size;
    for row in 0..n {
        let factors = &product.a[row * k..][..k];
        for first in (0..m).step_by(LANES) {
            let width = LANES.min(m - first);
            let mut total = [[T::ZERO; LANES]; 1];
            let mut start = 0;
            while start < k {
                let end = start.saturating_add(product.part).min(k);
                let mut sums = [[T::ZERO; LANES]; 1];
                for at in start..end {
                    let mut lanes = [T::ZERO; LANES];
                    match product.b[at * m + first..].first_chunk::<LANES>() {
                        Some(whole) if width == LANES => lanes = *whole,
                        _ => lanes[..width].copy_from_slice(&product.b[at * m + first..][..width]),
                    }
                    for lane in 0..LANES {
                        sums[0][lane] = factors[at].fused(lanes[lane], sums[0][lane]);
                    }
                }
                add_part(&mut total, &sums, start);
                start = end;
            }
            out[row * m + first..][..width].copy_from_slice(&total[0][..width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::level::Portable;

    /// Numbers of very different size, so that the order of additions shows.
    fn numbers<T: Real>(count: usize, seed: u64) -> Vec<T> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31) - 0.5
        };
        (0..count).map(|_| T::from_f64(next() * (20.0 * next()).exp())).collect()
    }

    fn equals_the_reference<T: Real>(multiply: impl Fn(&Product<'_, T>, &mut Vec<T>, &mut [T])) {
        let mut panel = Vec::new();
        for n in [1, 2, 3, 4, 15, 16, 17, 33] {
            for k in [1, 2, 5, 64] {
                for m in [1, 3, 4, 5, 15, 16, 17, 40] {
                    for (turned, part) in [(false, 256), (true, 256), (false, 3), (true, 2), (false, usize::MAX)] {
                        let (a, b) = (numbers::<T>(n * k, 1), numbers::<T>(k * m, 2));
                        let product = Product { a: &a, b: &b, size: (n, k, m), turned, part };
                        let (mut found, mut expected) = (vec![T::NAN; n * m], vec![T::NAN; n * m]);
                        multiply(&product, &mut panel, &mut found);
                        product.eval(&mut expected);
                        let bits = |values: &[T]| values.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
                        assert_eq!(bits(&found), bits(&expected), "{n} × {k} × {m}, {turned}, {part}");
                    }
                }
            }
        }
    }

    fn on<L: Level>(level: L) {
        equals_the_reference::<f32>(|product, panel, out| level.product_f32(product, panel, out));
        equals_the_reference::<f64>(|product, panel, out| level.product_f64(product, panel, out));
    }

    #[test]
    fn products_have_the_bits_of_the_reference_on_every_instruction_set() {
        on(Portable);
        #[cfg(target_arch = "x86_64")]
        {
            use crate::kernel::{avx2::Avx2, avx512::Avx512};
            Avx2::detect().into_iter().for_each(on);
            Avx512::detect().into_iter().for_each(on);
        }
    }
}

//! Products of matrices and their like, but for those that `tiles.rs` takes. Lanes are rows, or columns where there are few rows:
//! each sum is taken term by term, as [`Product::eval`] has it, whatever is computed beside it.

use super::CHUNK;
use super::level::{Level, PANEL, Work};
use super::stage::Input;
use crate::ir::product::{Product, Term};
use crate::ir::real::Real;

/// Sums side by side where there are few: as many f32 as the widest register holds.
const LANES: usize = 16;

/// Columns whose sums are taken at once: enough that additions need not wait for one another.
const COLUMNS: usize = 4;

/// Fewer rows than this leave lanes empty that columns can fill.
const FEW_ROWS: usize = 4;

/// A product to be written to `out`; `panel` is working memory.
pub(super) struct Job<'a, T> {
    pub(super) product: &'a Product<'a, T>,
    pub(super) panel: &'a mut Vec<T>,
    pub(super) out: &'a mut [T],
}

impl<T: Input> Work for Job<'_, T> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        match self.product.term {
            Term::Product => self.sum(level, |sum, x, y| Term::Product.add(sum, x, y)),
            Term::SquaredDifference => self.sum(level, |sum, x, y| Term::SquaredDifference.add(sum, x, y)),
        }
    }
}

impl<T: Input> Job<'_, T> {
    #[inline(always)]
    fn sum<L: Level>(self, level: L, add: impl Fn(T, T, T) -> T + Copy) {
        let (n, _, m) = self.product.size;
        if n < FEW_ROWS && m >= LANES && !self.product.turned {
            lanes_of_columns(self.product, add, self.out);
        } else {
            lanes_of_rows(level, self.product, add, self.panel, self.out);
        }
        self.product.finish_rows(self.out);
    }
}

/// Takes rows by chunks, turned over so that a term of all rows lies side by side.
#[inline(always)]
fn lanes_of_rows<L: Level, T: Input>(
    level: L,
    product: &Product<'_, T>,
    add: impl Fn(T, T, T) -> T + Copy,
    panel: &mut Vec<T>,
    out: &mut [T],
) {
    let (n, k, m) = product.size;
    let room = k.next_multiple_of(PANEL) * CHUNK;
    panel.resize(room.max(panel.len()), T::ZERO);
    let (columns, _) = panel[..room].as_chunks_mut::<CHUNK>();
    for first in (0..n).step_by(CHUNK) {
        let count = CHUNK.min(n - first);
        let rows = &product.a[first * k..][..count * k];
        let out = &mut out[first * m..][..count * m];
        if count <= LANES {
            for (at, lanes) in columns[..k].iter_mut().enumerate() {
                lanes[..LANES].fill(T::ZERO);
                for row in 0..count {
                    lanes[row] = rows[row * k + at];
                }
            }
            sums_of_rows::<LANES, LANES, T>(product, add, &columns[..k], out);
            continue;
        }
        match k {
            1 if count == CHUNK => turn::<1, T>(rows, columns),
            2 if count == CHUNK => turn::<2, T>(rows, columns),
            3 if count == CHUNK => turn::<3, T>(rows, columns),
            4 if count == CHUNK => turn::<4, T>(rows, columns),
            _ => {
                for (at, panel) in columns.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                    T::transpose(level, rows, k, at * PANEL, panel);
                }
            }
        }
        // As many registers as sums may take.
        match (L::BYTES, size_of::<T>()) {
            (64, 4) => sums_of_rows::<CHUNK, CHUNK, T>(product, add, &columns[..k], out),
            (64, _) => sums_of_rows::<32, CHUNK, T>(product, add, &columns[..k], out),
            (_, 4) => sums_of_rows::<16, 32, T>(product, add, &columns[..k], out),
            _ => sums_of_rows::<8, 32, T>(product, add, &columns[..k], out),
        }
    }
}

/// Turns a chunk of narrow rows over, where most of a wider panel would be idle.
#[inline(always)]
fn turn<const K: usize, T: Real>(rows: &[T], columns: &mut [[T; CHUNK]]) {
    let columns: &mut [[T; CHUNK]; K] = columns.first_chunk_mut().expect("a column of each number");
    for (row, values) in rows.as_chunks::<K>().0.iter().enumerate().take(CHUNK) {
        for at in 0..K {
            columns[at][row] = values[at];
        }
    }
}

/// All sums of the rows in the panel, several columns of `W` rows at a time, or one of `ONE` rows.
#[inline(always)]
fn sums_of_rows<const W: usize, const ONE: usize, T: Real>(
    product: &Product<'_, T>,
    add: impl Fn(T, T, T) -> T + Copy,
    panel: &[[T; CHUNK]],
    out: &mut [T],
) {
    let m = product.size.2;
    let whole = m / COLUMNS * COLUMNS;
    for column in (0..whole).step_by(COLUMNS) {
        for (at, out) in out.chunks_mut(W * m).enumerate() {
            write(&tile::<COLUMNS, W, T>(product, add, panel, at * W, column), column, m, out);
        }
    }
    let pairs = whole + (m - whole) / 2 * 2;
    for column in (whole..pairs).step_by(2) {
        for (at, out) in out.chunks_mut(W * m).enumerate() {
            write(&tile::<2, W, T>(product, add, panel, at * W, column), column, m, out);
        }
    }
    for column in pairs..m {
        for (at, out) in out.chunks_mut(ONE * m).enumerate() {
            write(&tile::<1, ONE, T>(product, add, panel, at * ONE, column), column, m, out);
        }
    }
}

/// The sums of `C` columns from `first` on, for `W` rows in the panel from `row` on.
#[inline(always)]
fn tile<const C: usize, const W: usize, T: Real>(
    product: &Product<'_, T>,
    add: impl Fn(T, T, T) -> T + Copy,
    panel: &[[T; CHUNK]],
    row: usize,
    first: usize,
) -> [[T; W]; C] {
    let (along, across) = product.strides();
    let mut total = [[T::ZERO; W]; C];
    let mut start = 0;
    while start < panel.len() {
        let end = start.saturating_add(product.part).min(panel.len());
        let mut sums = [[T::ZERO; W]; C];
        for at in start..end {
            let lanes: &[T; W] = panel[at][row..].first_chunk().expect("a part of the chunk");
            for column in 0..C {
                let factor = product.b[at * along + (first + column) * across];
                for lane in 0..W {
                    sums[column][lane] = add(sums[column][lane], lanes[lane], factor);
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
fn add_part<T: Real, const C: usize, const W: usize>(total: &mut [[T; W]; C], sums: &[[T; W]; C], start: usize) {
    if start == 0 {
        *total = *sums;
        return;
    }
    for (total, sums) in total.iter_mut().zip(sums) {
        for lane in 0..W {
            total[lane] += sums[lane];
        }
    }
}

#[inline(always)]
fn write<T: Real, const C: usize, const W: usize>(sums: &[[T; W]; C], first: usize, m: usize, out: &mut [T]) {
    if m == C {
        // Nothing lies between.
        let (out, _) = out.as_chunks_mut::<C>();
        for (lane, out) in out.iter_mut().enumerate().take(W) {
            for column in 0..C {
                out[column] = sums[column][lane];
            }
        }
        return;
    }
    for (lane, out) in out.chunks_exact_mut(m).enumerate() {
        for column in 0..C {
            out[first + column] = sums[column][lane];
        }
    }
}

#[inline(always)]
fn lanes_of_columns<T: Real>(product: &Product<'_, T>, add: impl Fn(T, T, T) -> T + Copy, out: &mut [T]) {
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
                        sums[0][lane] = add(sums[0][lane], factors[at], lanes[lane]);
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
    use crate::kernel::Calculate;
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
        for n in [1, 2, 3, 4, 6, 7, 15, 16, 17, 33, 64, 65, 130] {
            for k in [0, 1, 2, 5, 64] {
                for m in [1, 3, 4, 5, 15, 16, 17, 40, 64, 133] {
                    for (turned, part) in [(false, 256), (true, 256), (false, 3), (true, 2), (false, usize::MAX)] {
                        let (a, b) = (numbers::<T>(n * k, 1), numbers::<T>(k * m, 2));
                        let term = if part == 3 { Term::SquaredDifference } else { Term::Product };
                        let (size, offsets) = ((n, k, m), numbers::<T>(m, 3));
                        let offsets = Some(&*offsets).filter(|_| part != 2);
                        let rectified = part == usize::MAX;
                        let (factors, shifts) = (numbers::<T>(m, 4), numbers::<T>(m, 5));
                        let scaled = Some((&*factors, &*shifts)).filter(|_| part > 3);
                        let product = Product { a: &a, b: &b, size, turned, part, term, offsets, scaled, rectified };
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
            Avx512::<false>::detect().into_iter().for_each(on);
        }
    }
}

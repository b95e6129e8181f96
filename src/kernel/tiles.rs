//! Products of f32 matrices of many columns, by tiles of rows and columns whose sums are all in registers. Lanes are columns, so
//! each sum is taken term by term, as [`Product::eval`] has it, whatever is computed beside it.

use super::level::{Level, PANEL, Terms, Tile, Work};
use crate::ir::product::{Product, Term, rectified};

/// Rows of a tile; with four vectors of columns, as many sums as 32 registers hold beside their factors.
const ROWS: usize = 6;

/// Vectors of columns in a tile.
const VECTORS: usize = 4;

/// From so many rows on, columns are copied so that those of a tile lie side by side.
const PACKED_ROWS: usize = 16;

/// Values of a cache line.
const LINE: usize = 16;

/// A product to be written to `out`; `panel` is working memory.
pub(super) struct Job<'a> {
    pub(super) product: &'a Product<'a, f32>,
    pub(super) panel: &'a mut Vec<f32>,
    pub(super) out: &'a mut [f32],
}

/// Whether a product fills tiles.
pub(super) fn fills(product: &Product<'_, f32>) -> bool {
    let (_, k, m) = product.size;
    product.term == Term::Product && k > 0 && m >= PANEL
}

impl Work for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { product, panel, out } = self;
        let (_, k, m) = product.size;
        let room = k * VECTORS * PANEL;
        panel.resize((room + LINE).max(panel.len()), 0.0);
        // Loads that cross cache lines take twice as long.
        let skipped = panel.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        let panel = &mut panel[skipped..][..room];
        let mut first = 0;
        while first < m {
            let vectors = ((m - first) / PANEL).min(VECTORS);
            match vectors {
                4 => columns::<L, 4>(level, product, first, panel, out),
                3 => columns::<L, 3>(level, product, first, panel, out),
                2 => columns::<L, 2>(level, product, first, panel, out),
                1 => columns::<L, 1>(level, product, first, panel, out),
                // The last columns, some of them once more.
                _ => columns::<L, 1>(level, product, m - PANEL, panel, out),
            }
            first += vectors.max(1) * PANEL;
        }
    }
}

/// The sums of all rows in `V` vectors of columns from `first` on.
#[inline(always)]
fn columns<L: Level, const V: usize>(
    level: L,
    product: &Product<'_, f32>,
    first: usize,
    panel: &mut [f32],
    out: &mut [f32],
) {
    let (n, k, m) = product.size;
    let (columns, stride) = if product.turned || n >= PACKED_ROWS {
        pack::<V>(product, first, panel);
        (&*panel, V * PANEL)
    } else {
        (&product.b[first..], m)
    };
    let mut row = 0;
    while row < n {
        // The last rows, some of them once more.
        let start = if n < ROWS { row } else { row.min(n - ROWS) };
        let terms = Terms { rows: &product.a[start * k..], k, columns, stride, range: 0..k };
        if n < ROWS {
            tile::<L, 1, V>(level, product, terms, first, &mut out[start * m..]);
            row += 1;
        } else {
            tile::<L, ROWS, V>(level, product, terms, first, &mut out[start * m..]);
            row += ROWS;
        }
    }
}

/// Copies columns from `first` on.
#[inline(always)]
fn pack<const V: usize>(product: &Product<'_, f32>, first: usize, panel: &mut [f32]) {
    let (_, k, _) = product.size;
    let (along, across) = product.strides();
    for at in 0..k {
        let packed = &mut panel[at * V * PANEL..][..V * PANEL];
        if across == 1 {
            let factors = &product.b[at * along + first..][..V * PANEL];
            for column in 0..V * PANEL {
                packed[column] = factors[column];
            }
        } else {
            for column in 0..V * PANEL {
                packed[column] = product.b[at * along + (first + column) * across];
            }
        }
    }
}

/// The sums of `R` rows in `V` vectors of columns from `first` on, written to the rows of `out`.
#[inline(always)]
fn tile<L: Level, const R: usize, const V: usize>(
    level: L,
    product: &Product<'_, f32>,
    terms: Terms<'_>,
    first: usize,
    out: &mut [f32],
) {
    let (_, k, m) = product.size;
    let mut end = product.part.min(k);
    let mut total: Tile<R, V> = level.sum_products(Terms { range: 0..end, ..terms.clone() });
    while end < k {
        let start = end;
        end = start.saturating_add(product.part).min(k);
        let sums: Tile<R, V> = level.sum_products(Terms { range: start..end, ..terms.clone() });
        for row in 0..R {
            for v in 0..V {
                for lane in 0..PANEL {
                    total[row][v][lane] += sums[row][v][lane];
                }
            }
        }
    }
    let offsets = product.offsets.map(|offsets| &offsets[first..][..V * PANEL]);
    let scaled =
        product.scaled.map(|(factors, shifts)| (&factors[first..][..V * PANEL], &shifts[first..][..V * PANEL]));
    for row in 0..R {
        let out = &mut out[row * m + first..][..V * PANEL];
        for v in 0..V {
            let mut sums = total[row][v];
            if let Some(offsets) = offsets {
                for lane in 0..PANEL {
                    sums[lane] += offsets[v * PANEL + lane];
                }
            }
            if let Some((factors, shifts)) = scaled {
                for lane in 0..PANEL {
                    sums[lane] = sums[lane] * factors[v * PANEL + lane] + shifts[v * PANEL + lane];
                }
            }
            if product.rectified {
                for lane in 0..PANEL {
                    sums[lane] = rectified(sums[lane]);
                }
            }
            for lane in 0..PANEL {
                out[v * PANEL + lane] = sums[lane];
            }
        }
    }
}

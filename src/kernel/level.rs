//! Instruction sets as types: a value of a level is the proof that this machine has it.
//!
//! Algorithms are written once, generic over [`Level`], as plain loops over fixed-size arrays. [`Level::run`] calls them
//! inside a function compiled for the level, and everything they inline is compiled with it, so that the compiler
//! vectorises the same loop for every instruction set. The few steps for which it does not find the instructions are
//! methods of the level: a portable body here, intrinsics in `avx2.rs` and `avx512.rs`.

#![allow(unsafe_code, reason = "prefetching")]

use std::ops::Range;

use super::CHUNK;
use super::bytes::Bytes;
use crate::layout::bytes::{PAGE_REGISTERS, Pages, REGISTER, TESTED, Tests};
use crate::layout::ranks::{CutTable, PIVOTS};
use crate::layout::row_bytes::COUNTED;
use crate::layout::tops::{Block, STARTS, Starts, Steps, TILES};

/// 64 rows of a byte column.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Chunk(pub(crate) [u8; CHUNK]);

impl Chunk {
    pub(crate) const ZERO: Self = Self([0; CHUNK]);

    /// Turns the bits of `by` over, in each byte.
    #[inline(always)]
    pub(crate) fn turn(&mut self, by: u8) {
        for row in 0..CHUNK {
            self.0[row] ^= by;
        }
    }
}

/// Columns that are turned from rows at a time: as many f32 as a cache line or the widest register holds.
pub(crate) const PANEL: usize = 16;

/// Adjacent columns of a chunk of rows.
pub(crate) type Panel<T> = [[T; CHUNK]; PANEL];

/// Terms of the sums of a tile.
#[derive(Clone, Debug)]
pub(crate) struct Terms<'a> {
    /// Rows, `k` factors each.
    pub(crate) rows: &'a [f32],
    pub(crate) k: usize,
    /// Factors of adjacent columns, those of neighbouring terms `stride` apart.
    pub(crate) columns: &'a [f32],
    pub(crate) stride: usize,
    /// Which terms; one at least.
    pub(crate) range: Range<usize>,
}

/// Sums of `R` rows in [`PANEL`] columns times `V`.
pub(crate) type Tile<const R: usize, const V: usize> = [[[f32; PANEL]; V]; R];

/// What [`Level::run`] calls.
pub(crate) trait Work {
    type Output;
    /// Implementations are `#[inline(always)]`, so that they are compiled for the level.
    fn work<L: Level>(self, level: L) -> Self::Output;
}

/// An instruction set.
pub(crate) trait Level: Copy + Send + Sync + 'static {
    /// Bytes of a register.
    const BYTES: usize;

    /// Whether bytes of registers are looked up by number.
    const BY_NUMBER: bool = false;

    /// A register of bytes of a row, of which it can fetch many at once.
    type Fetchable: Copy;

    /// Does `work` in a function compiled for this level.
    fn run<W: Work>(self, work: W) -> W::Output;

    /// How many of the table's cuts each value is greater than; none for NaN.
    #[inline(always)]
    fn rank_f32(self, values: &[f32; CHUNK], table: CutTable<'_, f32>) -> [u32; CHUNK] {
        rank(self, values, table)
    }

    /// As [`rank_f32`](Self::rank_f32).
    #[inline(always)]
    fn rank_f64(self, values: &[f64; CHUNK], table: CutTable<'_, f64>) -> [u32; CHUNK] {
        rank(self, values, table)
    }

    /// How many of the cuts `x` is greater than; none for NaN.
    #[inline(always)]
    fn count_below_f32(self, x: f32, cuts: &[f32; COUNTED]) -> usize {
        count_below(x, cuts)
    }

    /// As [`count_below_f32`](Self::count_below_f32).
    #[inline(always)]
    fn count_below_f64(self, x: f64, cuts: &[f64; COUNTED]) -> usize {
        count_below(x, cuts)
    }

    /// Adds `leaves[at[i]]` to `sums[i]`, of which there are as many. The table has 16, 32, 64, 128 or 256 entries; `at` stays below its length.
    #[inline(always)]
    fn add_leaves_f32(self, sums: &mut [[f32; CHUNK]], at: &[Chunk], leaves: &[f32]) {
        add_leaves(sums, at, leaves);
    }

    /// As [`add_leaves_f32`](Self::add_leaves_f32).
    #[inline(always)]
    fn add_leaves_f64(self, sums: &mut [[f64; CHUNK]], at: &[Chunk], leaves: &[f64]) {
        add_leaves(sums, at, leaves);
    }

    /// Columns `first..` of row-major rows, `stride` values each; of the last row for rows that are not there, of any
    /// value for columns that are not there.
    #[inline(always)]
    fn transpose_f32(self, values: &[f32], stride: usize, first: usize, panel: &mut Panel<f32>) {
        transpose(values, stride, first, panel);
    }

    /// As [`transpose_f32`](Self::transpose_f32).
    #[inline(always)]
    fn transpose_f64(self, values: &[f64], stride: usize, first: usize, panel: &mut Panel<f64>) {
        transpose(values, stride, first, panel);
    }

    /// The sums of products, term by term, each fused with the addition.
    #[inline(always)]
    fn sum_products<const R: usize, const V: usize>(self, terms: Terms<'_>) -> Tile<R, V> {
        sum_products(&terms)
    }

    /// As many registers of the bytes of a row, which has them, as [`select`](Self::select) fetches from, or fewer that hold
    /// as much.
    fn fetchable<const N: usize>(self, bytes: &Bytes) -> [Self::Fetchable; N];

    /// Which of 64 tests send the row right whose columns these are: a bit each, the first the lowest.
    fn right<const N: usize>(self, columns: &[Self::Fetchable; N], tests: &Tests) -> u64;

    /// Where each of 64 tiles leads, by the columns of a row. Pages other than the first are there for levels that look
    /// bytes up by number.
    fn select<const N: usize>(self, columns: &[Self::Fetchable; N], block: Block<'_>) -> Chunk;

    /// The exits at which the walks of a block arrive, by what [`select`](Self::select) says: of each start.
    #[inline(always)]
    fn arrive<const N: usize>(
        self,
        columns: &[Self::Fetchable; N],
        block: Block<'_>,
        starts: &Starts,
    ) -> [u32; STARTS] {
        arrive(self.select(columns, block), starts)
    }

    /// 0 where the bit of a class is set in `set`, 255 elsewhere: bit `bit[i]` (one of the eight) of byte `byte[i]`.
    #[inline(always)]
    fn outside_set(self, byte: &Chunk, bit: &Chunk, set: &[u8; 32]) -> Chunk {
        // Nothing that every machine has looks bytes up: rows are compared with each that has bits.
        let mut of_row = [0; CHUNK];
        for at in 0..set.len() {
            if set[at] != 0 {
                for row in 0..CHUNK {
                    of_row[row] |= u8::from(byte.0[row] == at as u8).wrapping_neg() & set[at];
                }
            }
        }
        let mut outside = Chunk::ZERO;
        for row in 0..CHUNK {
            outside.0[row] = u8::from(of_row[row] & bit.0[row] == 0).wrapping_neg();
        }
        outside
    }
}

/// What the build's target guarantees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Level for Portable {
    const BYTES: usize = 16;
    type Fetchable = [u8; REGISTER];

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        work.work(self)
    }

    #[inline(always)]
    fn fetchable<const N: usize>(self, bytes: &Bytes) -> [Self::Fetchable; N] {
        std::array::from_fn(|at| bytes[at])
    }

    #[inline(always)]
    fn right<const N: usize>(self, columns: &[Self::Fetchable; N], tests: &Tests) -> u64 {
        (0..TESTED).fold(0, |right, test| right | u64::from(goes_right(columns.as_flattened(), tests, test)) << test)
    }

    #[inline(always)]
    fn select<const N: usize>(self, columns: &[Self::Fetchable; N], block: Block<'_>) -> Chunk {
        let Block { tiles, pages, of_categories } = block;
        let right = |test: usize, tile: usize| {
            let by_category = of_categories.is_some_and(|masks| masks[test] >> tile & 1 == 1);
            let page = pages.map_or(0, |pages| page(pages[test], tile));
            let columns = &columns[page * PAGE_REGISTERS..];
            usize::from(goes_right(columns.as_flattened(), &tiles.tests[test], tile) | by_category)
        };
        let mut next = Chunk::ZERO;
        for tile in 0..TILES {
            let side = right(0, tile);
            next.0[tile] = tiles.next[2 * side + right(1 + side, tile)][tile];
        }
        next
    }
}

/// The exits at which walks arrive by the next places of tiles.
#[inline(always)]
pub(super) fn arrive(next: Chunk, starts: &Starts) -> [u32; STARTS] {
    let Steps { doublings, steps } = starts.steps;
    let mut places = starts.places;
    for _ in 0..steps << doublings {
        for start in 0..STARTS {
            let place = usize::from(places[start]);
            places[start] = if place < TILES { next.0[place] } else { places[start] };
        }
    }
    let mut exits = [starts.first_exit; STARTS];
    for start in 0..STARTS {
        exits[start] += u32::from(places[start]);
    }
    exits
}

/// The page that the column of a test is on.
#[inline(always)]
fn page([low, high]: Pages, test: usize) -> usize {
    ((low >> test & 1) | (high >> test & 1) << 1) as usize
}

/// Whether a test sends the row right that has these bytes.
#[inline(always)]
fn goes_right(bytes: &[u8], tests: &Tests, test: usize) -> bool {
    bytes[usize::from(tests.columns[test])] >= tests.from[test]
}

/// Values that are compared with [`COUNTED`] cuts at a time.
pub(crate) trait Counted: Copy + PartialOrd {
    /// How many of the cuts `x` is greater than; none for NaN.
    fn count_below<L: Level>(level: L, x: Self, cuts: &[Self; COUNTED]) -> usize;
}

impl Counted for f32 {
    #[inline(always)]
    fn count_below<L: Level>(level: L, x: Self, cuts: &[Self; COUNTED]) -> usize {
        level.count_below_f32(x, cuts)
    }
}

impl Counted for f64 {
    #[inline(always)]
    fn count_below<L: Level>(level: L, x: Self, cuts: &[Self; COUNTED]) -> usize {
        level.count_below_f64(x, cuts)
    }
}

/// How many of the table's cuts each value is greater than.
#[inline(always)]
pub(super) fn rank<L: Level, T: Counted>(level: L, values: &[T; CHUNK], table: CutTable<'_, T>) -> [u32; CHUNK] {
    let mut ranks = [0; CHUNK];
    if table.cuts.len() <= COUNTED {
        // A comparison of all values at a time.
        for &cut in table.cuts {
            for row in 0..CHUNK {
                ranks[row] += u32::from(values[row] > cut);
            }
        }
    } else {
        for row in 0..CHUNK {
            ranks[row] = rank_one(level, values[row], table) as u32;
        }
    }
    ranks
}

/// How many of the table's cuts `x` is greater than: so many of the pivots, and of the cuts behind the last of those.
#[inline(always)]
pub(super) fn rank_one<L: Level, T: Counted>(level: L, x: T, table: CutTable<'_, T>) -> usize {
    let CutTable { cuts, pivots, .. } = table;
    if cuts.len() <= COUNTED {
        return T::count_below(level, x, counted(cuts, 0));
    }
    let of_pivots = T::count_below(level, x, counted(pivots, 0)) + T::count_below(level, x, counted(pivots, COUNTED));
    if cuts.len() <= PIVOTS {
        return of_pivots;
    }
    let mut half = cuts.len() / PIVOTS;
    let mut at = of_pivots * half;
    while half > COUNTED {
        half /= 2;
        at += if x > cuts[at + half - 1] { half } else { 0 };
    }
    let first = at.min(cuts.len() - COUNTED);
    first + T::count_below(level, x, counted(cuts, first))
}

#[inline(always)]
fn counted<T>(cuts: &[T], first: usize) -> &[T; COUNTED] {
    cuts[first..first + COUNTED].try_into().expect("as many as are counted")
}

#[inline(always)]
fn count_below<T: Copy + PartialOrd>(x: T, cuts: &[T; COUNTED]) -> usize {
    let mut below = 0u32;
    for at in 0..COUNTED {
        below += u32::from(x > cuts[at]);
    }
    below as usize
}

#[inline(always)]
pub(super) fn add_leaves<S: Copy + std::ops::AddAssign>(sums: &mut [[S; CHUNK]], at: &[Chunk], leaves: &[S]) {
    let mask = leaves.len() - 1;
    for chunk in 0..sums.len().min(at.len()) {
        let (sums, at) = (&mut sums[chunk], &at[chunk].0);
        for row in 0..CHUNK {
            sums[row] += leaves[usize::from(at[row]) & mask];
        }
    }
}

#[inline(always)]
fn sum_products<const R: usize, const V: usize>(terms: &Terms<'_>) -> Tile<R, V> {
    let mut sums = [[[0.0; PANEL]; V]; R];
    for row in 0..R {
        for v in 0..V {
            let mut lanes = [0.0f32; PANEL];
            for at in terms.range.clone() {
                let factor = terms.rows[row * terms.k + at];
                let columns = &terms.columns[at * terms.stride + v * PANEL..][..PANEL];
                for lane in 0..PANEL {
                    lanes[lane] = factor.mul_add(columns[lane], lanes[lane]);
                }
            }
            sums[row][v] = lanes;
        }
    }
    sums
}

/// Rows of more values than this lie too far apart for the processor to see where they go on.
const FAR: usize = 128;

/// Panels between the one in use and the one that is fetched meanwhile.
const AHEAD: usize = 2;

/// Fetches the values of a row that come [`AHEAD`] panels after `first`, the first of a panel; rows are `stride` values
/// apart.
// BENEFIT: a row of 2,000 features takes 0.6 of the time.
#[inline(always)]
pub(super) fn fetch_ahead<T>(first: &T, stride: usize) {
    if stride > FAR {
        let ahead = std::ptr::from_ref(first).wrapping_add(AHEAD * PANEL).cast::<u8>();
        for line in 0..PANEL * size_of::<T>() / LINE {
            prefetch(ahead.wrapping_add(line * LINE));
        }
    }
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Brings the cache line of an address near, if there is one. Does nothing where there is no instruction for it.
#[inline(always)]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, which reads nothing, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[inline(always)]
fn transpose<T: Copy>(values: &[T], stride: usize, first: usize, panel: &mut Panel<T>) {
    let width = (stride - first).min(PANEL);
    for row in 0..CHUNK {
        let row_start = (row * stride).min(values.len() - stride);
        let values = &values[row_start + first..][..width];
        fetch_ahead(&values[0], stride);
        for column in 0..width {
            panel[column][row] = values[column];
        }
    }
}

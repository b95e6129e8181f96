//! AVX-512: searches and leaf tables in registers.
#![allow(unsafe_code, reason = "intrinsics; every function is inlined into one compiled for the features it needs")]

mod vbmi;

use std::arch::x86_64::*;

use super::CHUNK;
use super::bytes::Bytes;
use super::level::{self, Chunk, Level, PANEL, Panel, Terms, Tile, Work};
use crate::layout::bytes::{REGISTER, TESTED, Tests};
use crate::layout::ranks::{CutTable, Narrow};
use crate::layout::row_bytes::COUNTED;
use crate::layout::tops::{Block, STARTS, Starts};

/// AVX-512 with F, BW, DQ, VL (every server since Skylake, Zen 4 and later), and perhaps with VBMI (Ice Lake, Zen 4 and
/// later). A value exists only where [`detect`](Self::detect) has found them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512<const VBMI: bool>(());

impl<const VBMI: bool> Avx512<VBMI> {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
            && (!VBMI || is_x86_feature_detected!("avx512vbmi"));
        found.then_some(Self(()))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn run<W: Work>(level: Avx512<false>, work: W) -> W::Output {
    work.work(level)
}

impl<const VBMI: bool> Level for Avx512<VBMI> {
    const BYTES: usize = 64;
    const BY_NUMBER: bool = VBMI;
    type Fetchable = __m512i;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: a value of this type exists only where the features have been detected. So below.
        unsafe { if VBMI { vbmi::run(Avx512(()), work) } else { run(Avx512(()), work) } }
    }

    #[inline(always)]
    fn fetchable<const N: usize>(self, bytes: &Bytes) -> [Self::Fetchable; N] {
        let bytes = bytes.as_flattened();
        // SAFETY: the features are there (see `run`); 16 bytes, or 64.
        unsafe {
            let mut registers = [_mm512_setzero_si512(); N];
            if N <= SHUFFLED && !VBMI {
                for at in 0..N {
                    let of_register = bytes[at * REGISTER..][..REGISTER].as_ptr();
                    registers[at] = _mm512_broadcast_i32x4(_mm_loadu_si128(of_register.cast()));
                }
            } else {
                for at in 0..(N * REGISTER).div_ceil(CHUNK) {
                    registers[at] = _mm512_loadu_si512(bytes[at * CHUNK..][..CHUNK].as_ptr().cast());
                }
            }
            registers
        }
    }

    #[inline(always)]
    fn right<const N: usize>(self, columns: &[Self::Fetchable; N], tests: &Tests) -> u64 {
        // SAFETY: the features are there (see `run`).
        unsafe { if VBMI { vbmi::right(columns, tests, [0; 2]) } else { right(columns, tests) } }
    }

    #[inline(always)]
    fn select<const N: usize>(self, columns: &[Self::Fetchable; N], block: Block<'_>) -> Chunk {
        let mut next = Chunk::ZERO;
        // SAFETY: the features are there (see `run`); 64 bytes.
        unsafe {
            let places = if VBMI { vbmi::select(columns, block) } else { select(columns, block) };
            _mm512_storeu_si512(next.0.as_mut_ptr().cast(), places);
        }
        next
    }

    #[inline(always)]
    fn arrive<const N: usize>(
        self,
        columns: &[Self::Fetchable; N],
        block: Block<'_>,
        starts: &Starts,
    ) -> [u32; STARTS] {
        if VBMI {
            // SAFETY: the features are there (see `run`).
            unsafe { vbmi::arrive(columns, block, starts) }
        } else {
            level::arrive(self.select(columns, block), starts)
        }
    }

    #[inline(always)]
    fn rank_f32(self, values: &[f32; CHUNK], table: CutTable<'_, f32>) -> [u32; CHUNK] {
        // SAFETY: as in `run`.
        unsafe { rank_f32(values, table) }
    }

    #[inline(always)]
    fn rank_f64(self, values: &[f64; CHUNK], table: CutTable<'_, f64>) -> [u32; CHUNK] {
        // SAFETY: as in `run`.
        unsafe { rank_f64(self, values, table) }
    }

    #[inline(always)]
    fn count_below_f32(self, x: f32, cuts: &[f32; COUNTED]) -> usize {
        // SAFETY: as in `run`.
        unsafe { if VBMI { vbmi::count_below_f32(x, cuts) } else { count_below_f32(x, cuts) } }
    }

    #[inline(always)]
    fn count_below_f64(self, x: f64, cuts: &[f64; COUNTED]) -> usize {
        // SAFETY: as in `run`.
        unsafe { if VBMI { vbmi::count_below_f64(x, cuts) } else { count_below_f64(x, cuts) } }
    }

    #[inline(always)]
    fn add_leaves_f32(self, sums: &mut [[f32; CHUNK]], at: &[Chunk], leaves: &[f32]) {
        // SAFETY: as in `run`.
        unsafe { add_leaves_f32(sums, at, leaves) }
    }

    #[inline(always)]
    fn add_leaves_f64(self, sums: &mut [[f64; CHUNK]], at: &[Chunk], leaves: &[f64]) {
        // SAFETY: as in `run`.
        unsafe { add_leaves_f64(sums, at, leaves) }
    }

    #[inline(always)]
    fn transpose_f32(self, values: &[f32], stride: usize, first: usize, panel: &mut Panel<f32>) {
        // SAFETY: as in `run`.
        unsafe { transpose_f32(values, stride, first, panel) }
    }

    #[inline(always)]
    fn transpose_f64(self, values: &[f64], stride: usize, first: usize, panel: &mut Panel<f64>) {
        // SAFETY: as in `run`.
        unsafe { transpose_f64(values, stride, first, panel) }
    }

    #[inline(always)]
    fn sum_products<const R: usize, const V: usize>(self, terms: Terms<'_>) -> Tile<R, V> {
        // SAFETY: as in `run`.
        unsafe { sum_products(terms) }
    }

    #[inline(always)]
    fn outside_set(self, byte: &Chunk, bit: &Chunk, set: &[u8; 32]) -> Chunk {
        // SAFETY: as in `run`.
        unsafe { outside_set(byte, bit, set) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn rank_f32(values: &[f32; CHUNK], table: CutTable<'_, f32>) -> [u32; CHUNK] {
    let CutTable { cuts, pivots, .. } = table;
    match cuts.len() {
        16 => {
            let cuts = load_ps(cuts, 0);
            each16(values, |x| search(x, [8, 4, 2, 1], _mm512_setzero_si512(), |at| _mm512_permutexvar_ps(at, cuts)))
        }
        32 => search_tables::<1, 0>(values, cuts, pivots, []),
        64 => search_tables::<2, 1>(values, cuts, pivots, [1]),
        128 => search_tables::<4, 2>(values, cuts, pivots, [2, 1]),
        256 => search_tables::<8, 3>(values, cuts, pivots, [4, 2, 1]),
        _ => {
            let [pivots] = pairs::<1>(pivots);
            each16(values, |x| {
                let at = search_pivots(x, pivots, cuts.len() / 32);
                let mut half = cuts.len() as i32 / 64;
                let mut at = at;
                while half > 0 {
                    // SAFETY: a search of log2 steps in a power of two of cuts ends below their number.
                    let cut = |at| unsafe { _mm512_i32gather_ps::<4>(at, cuts.as_ptr()) };
                    at = search(x, [half], at, cut);
                    half /= 2;
                }
                at
            })
        }
    }
}

/// Ranks among `N` times 32 cuts, all in registers: among the pivots, then by the `steps` that are left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn search_tables<const N: usize, const STEPS: usize>(
    values: &[f32; CHUNK],
    cuts: &[f32],
    pivots: &[f32],
    steps: [i32; STEPS],
) -> [u32; CHUNK] {
    let tables = pairs::<N>(cuts);
    let [pivots] = pairs::<1>(pivots);
    each16(values, |x| search(x, steps, search_pivots(x, pivots, N), |at| look_up(&tables, at)))
}

/// Ranks among 32 pivots, times `every`: the place of the cut that the search goes on from.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn search_pivots(x: __m512, pivots: (__m512, __m512), every: usize) -> __m512i {
    let pivot = |at| _mm512_permutex2var_ps(pivots.0, at, pivots.1);
    let at = search(x, [16, 8, 4, 2, 1], _mm512_setzero_si512(), pivot);
    _mm512_sll_epi32(at, _mm_cvtsi32_si128(every.trailing_zeros() as i32))
}

/// Steps of a binary search: at `at + half`, if `x` is greater than the cut before that.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn search<const STEPS: usize>(
    x: __m512,
    halves: [i32; STEPS],
    from: __m512i,
    cut: impl Fn(__m512i) -> __m512,
) -> __m512i {
    let mut at = from;
    for half in halves {
        let cut = cut(_mm512_add_epi32(at, _mm512_set1_epi32(half - 1)));
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, cut);
        at = _mm512_mask_add_epi32(at, above, at, _mm512_set1_epi32(half));
    }
    at
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn each16(values: &[f32; CHUNK], rank: impl Fn(__m512) -> __m512i) -> [u32; CHUNK] {
    let mut ranks = [0; CHUNK];
    for (block, ranks) in ranks.chunks_exact_mut(16).enumerate() {
        // SAFETY: chunks of 16.
        unsafe { _mm512_storeu_si512(ranks.as_mut_ptr().cast(), rank(load_ps(values, block))) };
    }
    ranks
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn rank_f64(level: impl Level, values: &[f64; CHUNK], table: CutTable<'_, f64>) -> [u32; CHUNK] {
    let CutTable { cuts, narrow, .. } = table;
    let Some((cuts_f32, pivots)) = narrow.map(Narrow::table) else {
        return level::rank(level, values, table);
    };
    // Rounded down, values and cuts keep their order; where a value meets a cut that it may or may not be greater than,
    // the search ends at that cut.
    let mut rounded = [0.0f32; CHUNK];
    for (block, rounded) in rounded.chunks_exact_mut(8).enumerate() {
        let x = load_pd(values, block);
        let down = _mm512_cvt_roundpd_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
        // SAFETY: chunks of 8.
        unsafe { _mm256_storeu_ps(rounded.as_mut_ptr(), down) };
    }
    let mut ranks = rank_f32(&rounded, CutTable { cuts: cuts_f32, pivots, narrow: None });
    for (block, ranks) in ranks.chunks_exact_mut(8).enumerate() {
        // SAFETY: chunks of 8; a rank is below the number of cuts.
        unsafe {
            let at = _mm256_loadu_si256(ranks.as_ptr().cast());
            let cut = _mm512_i32gather_pd::<8>(at, cuts.as_ptr());
            let above = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(load_pd(values, block), cut);
            _mm256_storeu_si256(ranks.as_mut_ptr().cast(), _mm256_mask_add_epi32(at, above, at, _mm256_set1_epi32(1)));
        }
    }
    ranks
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn add_leaves_f32(sums: &mut [[f32; CHUNK]], at: &[Chunk], leaves: &[f32]) {
    match leaves.len() {
        16 => {
            let table = load_ps(leaves, 0);
            add16(sums, at, |at| _mm512_permutexvar_ps(at, table));
        }
        32 => add_tables::<1>(sums, at, leaves),
        64 => add_tables::<2>(sums, at, leaves),
        128 => add_tables::<4>(sums, at, leaves),
        _ => add_tables::<8>(sums, at, leaves),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn add_tables<const N: usize>(sums: &mut [[f32; CHUNK]], at: &[Chunk], leaves: &[f32]) {
    let tables = pairs::<N>(leaves);
    add16(sums, at, |at| look_up(&tables, at));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn add_leaves_f64(sums: &mut [[f64; CHUNK]], at: &[Chunk], leaves: &[f64]) {
    match leaves.len() {
        16 => {
            let (low, high) = (load_pd(leaves, 0), load_pd(leaves, 1));
            add8(sums, at, |at| _mm512_permutex2var_pd(low, at, high));
        }
        32 => {
            let (a, b, c, d) = (load_pd(leaves, 0), load_pd(leaves, 1), load_pd(leaves, 2), load_pd(leaves, 3));
            add8(sums, at, |at| {
                let upper = _mm512_test_epi64_mask(at, _mm512_set1_epi64(16));
                let low = _mm512_permutex2var_pd(a, at, b);
                _mm512_mask_blend_pd(upper, low, _mm512_permutex2var_pd(c, at, d))
            });
        }
        64 => add_halves::<2>(sums, at, leaves),
        128 => add_halves::<4>(sums, at, leaves),
        _ => add_halves::<8>(sums, at, leaves),
    }
}

/// Larger tables of doubles, the two halves of a value looked up by themselves: a register holds twice as many of them,
/// and finds twice as many at once.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn add_halves<const N: usize>(sums: &mut [[f64; CHUNK]], at: &[Chunk], leaves: &[f64]) {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    let half = |block: usize, which: __m512i| {
        let (a, b) = (load_pd(leaves, 2 * block), load_pd(leaves, 2 * block + 1));
        _mm512_permutex2var_ps(_mm512_castpd_ps(a), which, _mm512_castpd_ps(b))
    };
    let mut low = [(_mm512_setzero_ps(), _mm512_setzero_ps()); N];
    let mut high = low;
    for index in 0..N {
        low[index] = (half(2 * index, even), half(2 * index + 1, even));
        high[index] = (half(2 * index, odd), half(2 * index + 1, odd));
    }
    let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    for chunk in 0..sums.len().min(at.len()) {
        let (sums, at) = (&mut sums[chunk], &at[chunk].0);
        for block in 0..CHUNK / 16 {
            // SAFETY: `CHUNK` values and places.
            unsafe {
                let at = _mm512_cvtepu8_epi32(_mm_loadu_si128(at.as_ptr().add(16 * block).cast()));
                let (low, high) = (look_up(&low, at), look_up(&high, at));
                for (half, order) in [(0, first), (8, second)] {
                    let sums = sums.as_mut_ptr().add(16 * block + half);
                    let leaves = _mm512_castps_pd(_mm512_permutex2var_ps(low, order, high));
                    _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), leaves));
                }
            }
        }
    }
}

/// A table of `N` times 32 values in registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn pairs<const N: usize>(values: &[f32]) -> [(__m512, __m512); N] {
    let mut pairs = [(_mm512_setzero_ps(), _mm512_setzero_ps()); N];
    for index in 0..N {
        pairs[index] = (load_ps(values, 2 * index), load_ps(values, 2 * index + 1));
    }
    pairs
}

/// The values at 16 places of a table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn look_up<const N: usize>(tables: &[(__m512, __m512); N], at: __m512i) -> __m512 {
    let pair = |index: usize| _mm512_permutex2var_ps(tables[index].0, at, tables[index].1);
    let bit = |bit: i32| _mm512_test_epi32_mask(at, _mm512_set1_epi32(bit));
    let two = |index: usize| _mm512_mask_blend_ps(bit(32), pair(index), pair(index + 1));
    let four = |index: usize| _mm512_mask_blend_ps(bit(64), two(index), two(index + 2));
    match N {
        1 => pair(0),
        2 => two(0),
        4 => four(0),
        _ => _mm512_mask_blend_ps(bit(128), four(0), four(4)),
    }
}

/// Registers of 256 bits: wider ones slow the clock of some processors down, and here little else would use them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn count_below_f32(x: f32, cuts: &[f32; COUNTED]) -> usize {
    let x = _mm256_set1_ps(x);
    let mut above = 0;
    for at in [0, 8] {
        // SAFETY: 8 of 16 cuts.
        let cuts = unsafe { _mm256_loadu_ps(cuts[at..].as_ptr()) };
        above |= u32::from(_mm256_cmp_ps_mask::<_CMP_GT_OQ>(x, cuts)) << at;
    }
    above.count_ones() as usize
}

/// As [`count_below_f32`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn count_below_f64(x: f64, cuts: &[f64; COUNTED]) -> usize {
    let x = _mm256_set1_pd(x);
    let mut above = 0;
    for at in [0, 4, 8, 12] {
        // SAFETY: 4 of 16 cuts.
        let cuts = unsafe { _mm256_loadu_pd(cuts[at..].as_ptr()) };
        above |= u32::from(_mm256_cmp_pd_mask::<_CMP_GT_OQ>(x, cuts)) << at;
    }
    above.count_ones() as usize
}

/// Values `16 * block..` of a slice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn load_ps(values: &[f32], block: usize) -> __m512 {
    // SAFETY: the slice is as long as the load.
    unsafe { _mm512_loadu_ps(values[16 * block..][..16].as_ptr()) }
}

/// Values `8 * block..` of a slice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn load_pd(values: &[f64], block: usize) -> __m512d {
    // SAFETY: the slice is as long as the load.
    unsafe { _mm512_loadu_pd(values[8 * block..][..8].as_ptr()) }
}

// BENEFIT: a thirtieth of the time of loops over arrays, which the compiler leaves scalar at this size.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn sum_products<const R: usize, const V: usize>(terms: Terms<'_>) -> Tile<R, V> {
    let Terms { rows, k, columns, stride, range } = terms;
    let rows = &rows[..(R - 1) * k + range.end];
    let columns = &columns[..(range.end - 1) * stride + V * PANEL];
    let mut lanes = [[_mm512_setzero_ps(); V]; R];
    for at in range {
        let mut of_term = [_mm512_setzero_ps(); V];
        for v in 0..V {
            // SAFETY: the slice ends with the last vector of the last term.
            of_term[v] = unsafe { _mm512_loadu_ps(columns.as_ptr().add(at * stride + v * PANEL)) };
        }
        for row in 0..R {
            // SAFETY: the slice ends with the last term of the last row.
            let factor = _mm512_set1_ps(unsafe { *rows.get_unchecked(row * k + at) });
            for v in 0..V {
                lanes[row][v] = _mm512_fmadd_ps(factor, of_term[v], lanes[row][v]);
            }
        }
    }
    // SAFETY: as many vectors of 16 values each.
    unsafe { std::mem::transmute_copy(&lanes) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn transpose_f32(values: &[f32], stride: usize, first: usize, panel: &mut Panel<f32>) {
    let width = (stride - first).min(PANEL);
    let mask = ((1u32 << width) - 1) as __mmask16;
    for block in 0..CHUNK / 16 {
        let mut r = [_mm512_setzero_ps(); 16];
        for (row, r) in r.iter_mut().enumerate() {
            let start = ((16 * block + row) * stride).min(values.len() - stride) + first;
            let row = &values[start..][..width];
            level::fetch_ahead(&row[0], stride);
            // SAFETY: the mask leaves out what is beyond the row.
            *r = unsafe { _mm512_maskz_loadu_ps(mask, row.as_ptr()) };
        }
        // Pairs of rows, then fours, then eights, then all: `t[i]` holds column i of four rows, and so on.
        let mut t = r;
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        for i in 0..4 {
            for half in 0..2 {
                let (a, b) = (_mm512_castps_pd(t[4 * i + half]), _mm512_castps_pd(t[4 * i + 2 + half]));
                r[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                r[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        for i in 0..4 {
            for pair in 0..2 {
                let (a, b) = (r[8 * pair + i], r[8 * pair + 4 + i]);
                t[8 * pair + i] = _mm512_shuffle_f32x4::<0x88>(a, b);
                t[8 * pair + 4 + i] = _mm512_shuffle_f32x4::<0xdd>(a, b);
            }
        }
        for i in 0..4 {
            for odd in 0..2 {
                let (a, b) = (t[4 * odd + i], t[8 + 4 * odd + i]);
                let columns = [(0, _mm512_shuffle_f32x4::<0x88>(a, b)), (8, _mm512_shuffle_f32x4::<0xdd>(a, b))];
                for (half, column) in columns {
                    let at = &mut panel[half + 4 * odd + i][16 * block..][..16];
                    // SAFETY: 16 values.
                    unsafe { _mm512_storeu_ps(at.as_mut_ptr(), column) };
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn transpose_f64(values: &[f64], stride: usize, first: usize, panel: &mut Panel<f64>) {
    let width = (stride - first).min(PANEL);
    let mask = (1u32 << width) - 1;
    for block in 0..CHUNK / 8 {
        let mut r = [[_mm512_setzero_pd(); 8]; 2];
        for row in 0..8 {
            let start = ((8 * block + row) * stride).min(values.len() - stride) + first;
            let values = &values[start..][..width];
            level::fetch_ahead(&values[0], stride);
            for half in 0..2 {
                let mask = (mask >> (8 * half)) as __mmask8;
                // SAFETY: the mask leaves out what is beyond the row.
                r[half][row] = unsafe { _mm512_maskz_loadu_pd(mask, values.as_ptr().wrapping_add(8 * half)) };
            }
        }
        for half in 0..2 {
            // Pairs of rows, then fours, then all: `even[i]` holds columns 0, 2, 4 and 6 of two rows, and so on.
            let (mut even, mut odd) = ([_mm512_setzero_pd(); 4], [_mm512_setzero_pd(); 4]);
            for pair in 0..4 {
                even[pair] = _mm512_unpacklo_pd(r[half][2 * pair], r[half][2 * pair + 1]);
                odd[pair] = _mm512_unpackhi_pd(r[half][2 * pair], r[half][2 * pair + 1]);
            }
            for (first, t) in [(0, even), (1, odd)] {
                let (a, b) = (_mm512_shuffle_f64x2::<0x88>(t[0], t[1]), _mm512_shuffle_f64x2::<0x88>(t[2], t[3]));
                let (c, d) = (_mm512_shuffle_f64x2::<0xdd>(t[0], t[1]), _mm512_shuffle_f64x2::<0xdd>(t[2], t[3]));
                let columns = [
                    (first, _mm512_shuffle_f64x2::<0x88>(a, b)),
                    (first + 2, _mm512_shuffle_f64x2::<0x88>(c, d)),
                    (first + 4, _mm512_shuffle_f64x2::<0xdd>(a, b)),
                    (first + 6, _mm512_shuffle_f64x2::<0xdd>(c, d)),
                ];
                for (column, values) in columns {
                    let at = &mut panel[8 * half + column][8 * block..][..8];
                    // SAFETY: 8 values.
                    unsafe { _mm512_storeu_pd(at.as_mut_ptr(), values) };
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn outside_set(byte: &Chunk, bit: &Chunk, set: &[u8; 32]) -> Chunk {
    let mut outside = Chunk::ZERO;
    // SAFETY: the features are there (see `run`); all operands are as long as the loads.
    unsafe {
        let byte = _mm512_loadu_si512(byte.0.as_ptr().cast());
        let bit = _mm512_loadu_si512(bit.0.as_ptr().cast());
        let half = |from: usize| _mm512_broadcast_i32x4(_mm_loadu_si128(set.as_ptr().add(from).cast()));
        let low = _mm512_shuffle_epi8(half(0), byte);
        let upper = _mm512_test_epi8_mask(byte, _mm512_set1_epi8(16));
        let found = _mm512_mask_shuffle_epi8(low, upper, half(16), byte);
        let outside_mask = _mm512_testn_epi8_mask(found, bit);
        _mm512_storeu_si512(outside.0.as_mut_ptr().cast(), _mm512_movm_epi8(outside_mask));
    }
    outside
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn add16(sums: &mut [[f32; CHUNK]], at: &[Chunk], leaf: impl Fn(__m512i) -> __m512) {
    for chunk in 0..sums.len().min(at.len()) {
        let (sums, at) = (&mut sums[chunk], &at[chunk].0);
        for block in 0..CHUNK / 16 {
            // SAFETY: `CHUNK` values and places.
            unsafe {
                let at = _mm512_cvtepu8_epi32(_mm_loadu_si128(at.as_ptr().add(16 * block).cast()));
                let sums = sums.as_mut_ptr().add(16 * block);
                _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), leaf(at)));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn add8(sums: &mut [[f64; CHUNK]], at: &[Chunk], leaf: impl Fn(__m512i) -> __m512d) {
    for chunk in 0..sums.len().min(at.len()) {
        let (sums, at) = (&mut sums[chunk], &at[chunk].0);
        for block in 0..CHUNK / 8 {
            // SAFETY: `CHUNK` values and places.
            unsafe {
                let at = _mm512_cvtepu8_epi64(_mm_loadl_epi64(at.as_ptr().add(8 * block).cast()));
                let sums = sums.as_mut_ptr().add(8 * block);
                _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), leaf(at)));
            }
        }
    }
}

/// 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn load_bytes(bytes: &[u8; TESTED]) -> __m512i {
    // SAFETY: as many as the load.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Registers of 16 bytes that are shuffled one after another; more are held in wide ones, two of which are looked up at once.
// BENEFIT: a row of 1,000 trees of 63 leaves takes 0.84 of the time.
const SHUFFLED: usize = 4;

/// See [`Level::right`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn right<const N: usize>(columns: &[__m512i; N], tests: &Tests) -> u64 {
    let bytes = if N > SHUFFLED { looked_up(columns, tests) } else { shuffled(columns, tests) };
    _mm512_cmpge_epu8_mask(bytes, load_bytes(&tests.from))
}

/// The bytes of the columns of 64 tests, of which registers of 64 bytes hold 16 for each of `N`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn looked_up<const N: usize>(columns: &[__m512i; N], tests: &Tests) -> __m512i {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let of_tests = load_bytes(&tests.columns);
    // Pairs of columns are looked up, which 6 bits of a column's number name; the lowest bit says which of both it is.
    let (even, odd) = (_mm512_srli_epi16::<1>(of_tests), _mm512_srli_epi16::<9>(of_tests));
    let is_upper = _mm512_test_epi8_mask(of_tests, _mm512_set1_epi8(1));
    let of_two = |first: usize| {
        let pairs = |index| _mm512_permutex2var_epi16(columns[first], index, columns[first + 1]);
        let (even, odd) = (pairs(even), pairs(odd));
        let lower = _mm512_mask_blend_epi8(ODD, even, _mm512_slli_epi16::<8>(odd));
        let upper = _mm512_mask_blend_epi8(ODD, _mm512_srli_epi16::<8>(even), odd);
        _mm512_mask_blend_epi8(is_upper, lower, upper)
    };
    match N * REGISTER {
        ..=128 => of_two(0),
        _ => _mm512_mask_blend_epi8(_mm512_movepi8_mask(of_tests), of_two(0), of_two(2)),
    }
}

/// The bytes of the columns of 64 tests, of which each register holds 16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn shuffled<const N: usize>(columns: &[__m512i; N], tests: &Tests) -> __m512i {
    let of_tests = load_bytes(&tests.columns);
    // A column of a register becomes 0x70 to 0x7f there; any other has its uppermost bit set, for which a shuffle gives 0.
    let mut bytes = _mm512_shuffle_epi8(columns[0], _mm512_adds_epu8(of_tests, _mm512_set1_epi8(0x70)));
    for at in 1..N {
        let of_register = _mm512_xor_si512(of_tests, _mm512_set1_epi8((at * REGISTER) as i8));
        let of_register = _mm512_adds_epu8(of_register, _mm512_set1_epi8(0x70));
        bytes = _mm512_or_si512(bytes, _mm512_shuffle_epi8(columns[at], of_register));
    }
    bytes
}

/// See [`Level::select`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn select<const N: usize>(columns: &[__m512i; N], block: Block<'_>) -> __m512i {
    let [a, b, c] = &block.tiles.tests;
    blended(block, [right(columns, a), right(columns, b), right(columns, c)])
}

/// The next places of tiles, where tests send the row right so.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,popcnt")]
fn blended(block: Block<'_>, right: [u64; 3]) -> __m512i {
    let Block { tiles, of_categories, .. } = block;
    let right = |test: usize| right[test] | of_categories.map_or(0, |masks| masks[test]);
    let [a, b, c, d] = &tiles.next;
    let of_left = _mm512_mask_blend_epi8(right(1), load_bytes(a), load_bytes(b));
    let of_right = _mm512_mask_blend_epi8(right(2), load_bytes(c), load_bytes(d));
    _mm512_mask_blend_epi8(right(0), of_left, of_right)
}

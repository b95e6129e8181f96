//! AVX2: the compiler's own vectors, but for comparing, counting and membership in a set.
#![allow(unsafe_code, reason = "intrinsics; every function is inlined into one compiled for the features it needs")]

use std::arch::x86_64::*;

use super::CHUNK;
use super::bytes::Bytes;
use super::level::{Chunk, Level, PANEL, Terms, Tile, Work, add_leaves, rank};
use crate::layout::bytes::{REGISTER, TESTED, Tests};
use crate::layout::class_masks::Masks;
use crate::layout::ranks::{CutTable, Narrow};
use crate::layout::row_bytes::COUNTED;
use crate::layout::tops::Block;

/// AVX2 (Haswell, Zen and later). A value exists only where [`detect`](Self::detect) has found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt");
        found.then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn run<W: Work>(level: Avx2, work: W) -> W::Output {
    work.work(level)
}

impl Level for Avx2 {
    const BYTES: usize = 32;
    type Fetchable = __m256i;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: a value of this type exists only where the features have been detected.
        unsafe { run(self, work) }
    }

    #[inline(always)]
    fn rank_f32(self, values: &[f32; CHUNK], table: CutTable<'_, f32>) -> [u32; CHUNK] {
        // SAFETY: the features are there (see `run`).
        unsafe { rank_f32(values, table) }
    }

    #[inline(always)]
    fn rank_f64(self, values: &[f64; CHUNK], table: CutTable<'_, f64>) -> [u32; CHUNK] {
        match table.narrow {
            // SAFETY: the features are there (see `run`).
            Some(narrow) => unsafe { rank_f64(values, table.cuts, narrow) },
            None => rank(self, values, table),
        }
    }

    #[inline(always)]
    fn count_below_f32(self, x: f32, cuts: &[f32; COUNTED]) -> usize {
        let mut above = 0;
        for at in [0, 8] {
            // SAFETY: the features are there (see `run`); 8 of 16 cuts.
            above |= unsafe {
                let cuts = _mm256_loadu_ps(cuts[at..].as_ptr());
                _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_set1_ps(x), cuts)) << at
            };
        }
        above.count_ones() as usize
    }

    #[inline(always)]
    fn count_below_f64(self, x: f64, cuts: &[f64; COUNTED]) -> usize {
        let mut above = 0;
        for at in [0, 4, 8, 12] {
            // SAFETY: the features are there (see `run`); 4 of 16 cuts.
            above |= unsafe {
                let cuts = _mm256_loadu_pd(cuts[at..].as_ptr());
                _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(_mm256_set1_pd(x), cuts)) << at
            };
        }
        above.count_ones() as usize
    }

    #[inline(always)]
    fn add_leaves_f32(self, sums: &mut [[f32; CHUNK]], at: &[Chunk], leaves: &[f32]) {
        // SAFETY: the features are there (see `run`).
        unsafe {
            match leaves.len() {
                16 => add_planes::<1>(sums, at, leaves),
                32 => add_planes::<2>(sums, at, leaves),
                64 => add_planes::<4>(sums, at, leaves),
                _ => add_leaves(sums, at, leaves),
            }
        }
    }

    #[inline(always)]
    fn sum_products<const R: usize, const V: usize>(self, terms: Terms<'_>) -> Tile<R, V> {
        let mut sums = [[[0.0; PANEL]; V]; R];
        // SAFETY: the features are there (see `run`).
        unsafe {
            if R == 1 {
                sum_products::<R, V, V>(&terms, 0, &mut sums);
            } else {
                // As many registers as there are hold no more.
                for v in 0..V {
                    sum_products::<R, V, 1>(&terms, v, &mut sums);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn fetchable<const N: usize>(self, bytes: &Bytes) -> [Self::Fetchable; N] {
        // SAFETY: the features are there (see `run`); 16 bytes.
        unsafe {
            let mut registers = [_mm256_setzero_si256(); N];
            for at in 0..N {
                registers[at] = _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes[at].as_ptr().cast()));
            }
            registers
        }
    }

    #[inline(always)]
    fn right<const N: usize>(self, columns: &[Self::Fetchable; N], tests: &Tests) -> u64 {
        // SAFETY: the features are there (see `run`).
        unsafe {
            let [low, high] = [0, 32].map(|half| _mm256_movemask_epi8(right(columns, tests, half)) as u32);
            u64::from(high) << 32 | u64::from(low)
        }
    }

    #[inline(always)]
    fn select<const N: usize>(self, columns: &[Self::Fetchable; N], block: Block<'_>) -> Chunk {
        // SAFETY: the features are there (see `run`).
        unsafe { select(columns, block) }
    }

    #[inline(always)]
    fn outside_set(self, byte: &Chunk, bit: &Chunk, set: &[u8; 32]) -> Chunk {
        let mut outside = Chunk::ZERO;
        // SAFETY: the features are there (see `run`); the table is two times 16 bytes, chunks are two times 32.
        unsafe {
            let half = |from: usize| _mm256_broadcastsi128_si256(_mm_loadu_si128(set.as_ptr().add(from).cast()));
            let (low, high) = (half(0), half(16));
            for at in [0, 32] {
                let byte = _mm256_loadu_si256(byte.0.as_ptr().add(at).cast());
                let bit = _mm256_loadu_si256(bit.0.as_ptr().add(at).cast());
                // Bit 4 of the index, moved to where a blend looks.
                let upper = _mm256_slli_epi16::<3>(byte);
                let found = _mm256_blendv_epi8(_mm256_shuffle_epi8(low, byte), _mm256_shuffle_epi8(high, byte), upper);
                let is_outside = _mm256_cmpeq_epi8(_mm256_and_si256(found, bit), _mm256_setzero_si256());
                _mm256_storeu_si256(outside.0.as_mut_ptr().add(at).cast(), is_outside);
            }
        }
        outside
    }
}

/// See [`Level::rank_f32`].
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn rank_f32(values: &[f32; CHUNK], table: CutTable<'_, f32>) -> [u32; CHUNK] {
    let CutTable { cuts, pivots, .. } = table;
    match cuts.len() {
        16 => rank_among::<16>(values, cuts),
        32 => rank_among::<32>(values, cuts),
        64 => rank_among::<64>(values, cuts),
        _ => rank_behind(values, rank_among::<32>(values, pivots), cuts),
    }
}

/// Ranks of values whose ranks among 32 pivots are known.
// BENEFIT: batches of the gym forest take 0.85 of the time, Higgs 0.93.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn rank_behind(values: &[f32; CHUNK], mut ranks: [u32; CHUNK], cuts: &[f32]) -> [u32; CHUNK] {
    let every = cuts.len() / 32;
    for first in (0..CHUNK).step_by(8) {
        // SAFETY: 8 values and ranks of `CHUNK`; a search of log2 steps in a power of two of cuts ends below their number.
        unsafe {
            let x = _mm256_loadu_ps(values.as_ptr().add(first));
            let ranks = ranks.as_mut_ptr().add(first).cast();
            let every = _mm_cvtsi32_si128(every.trailing_zeros() as i32);
            let mut at = _mm256_sll_epi32(_mm256_loadu_si256(ranks), every);
            let mut half = cuts.len() / 64;
            while half > 0 {
                let cut = _mm256_i32gather_ps::<4>(cuts.as_ptr().add(half - 1), at);
                let above = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(x, cut));
                at = _mm256_add_epi32(at, _mm256_and_si256(above, _mm256_set1_epi32(half as i32)));
                half /= 2;
            }
            _mm256_storeu_si256(ranks, at);
        }
    }
    ranks
}

/// See [`Level::rank_f64`], where cuts are told apart when they are rounded down to f32.
// BENEFIT: batches of the Treelite forest of 297 features take 0.75 of the time, stringsifter 0.9.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn rank_f64(values: &[f64; CHUNK], cuts: &[f64], narrow: Narrow<'_>) -> [u32; CHUNK] {
    let (narrow, pivots) = narrow.table();
    // Rounded down, values and cuts keep their order; where a value meets a cut that it may or may not be greater than,
    // the search ends at that cut.
    let mut rounded = [0.0f32; CHUNK];
    for first in (0..CHUNK).step_by(4) {
        // SAFETY: four values of `CHUNK`.
        unsafe {
            let x = _mm256_loadu_pd(values.as_ptr().add(first));
            let nearest = _mm256_cvtpd_ps(x);
            let is_above = greater(_mm256_cvtps_pd(nearest), x);
            // The next below: of smaller magnitude, or of greater if it is negative.
            let bits = _mm_castps_si128(nearest);
            let step = _mm_or_si128(_mm_srai_epi32::<31>(bits), _mm_set1_epi32(1));
            let down = _mm_sub_epi32(bits, _mm_and_si128(step, is_above));
            _mm_storeu_si128(rounded.as_mut_ptr().add(first).cast(), down);
        }
    }
    let mut ranks = rank_f32(&rounded, CutTable { cuts: narrow, pivots, narrow: None });
    for first in (0..CHUNK).step_by(4) {
        // SAFETY: four values and ranks of `CHUNK`; a rank is below the number of cuts.
        unsafe {
            let ranks = ranks.as_mut_ptr().add(first).cast();
            let at = _mm_loadu_si128(ranks);
            let cut = _mm256_i32gather_pd::<8>(cuts.as_ptr(), at);
            let x = _mm256_loadu_pd(values.as_ptr().add(first));
            _mm_storeu_si128(ranks, _mm_sub_epi32(at, greater(x, cut)));
        }
    }
    ranks
}

/// -1 where `a` is greater than `b`, else 0.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn greater(a: __m256d, b: __m256d) -> __m128i {
    let is_greater = _mm256_castpd_ps(_mm256_cmp_pd::<_CMP_GT_OQ>(a, b));
    let (low, high) = (_mm256_castps256_ps128(is_greater), _mm256_extractf128_ps::<1>(is_greater));
    _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(low, high))
}

/// See [`Level::rank_f32`]: a binary search of all values at once. Cuts are in the order of a heap, so that those of three levels are
/// in the first register, those of the next in the second, and so on.
// BENEFIT: batches of 50 trees of depth 3 take 0.6 of the time, Bosch 0.8, 1,000 features under 200 trees 0.88.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn rank_among<const N: usize>(values: &[f32; CHUNK], cuts: &[f32]) -> [u32; CHUNK] {
    let mut heap = [0.0; N];
    let mut width = 1;
    while width < N {
        for at in 0..width {
            heap[width + at] = cuts[(2 * at + 1) * (N / 2 / width) - 1];
        }
        width *= 2;
    }
    let mut tables = [_mm256_setzero_ps(); 8];
    for index in 0..N / 8 {
        // SAFETY: the slice is as long as the load.
        tables[index] = unsafe { _mm256_loadu_ps(heap[8 * index..][..8].as_ptr()) };
    }
    let mut ranks = [0; CHUNK];
    for first in (0..CHUNK).step_by(8) {
        // SAFETY: 8 values of `CHUNK`.
        let x = unsafe { _mm256_loadu_ps(values.as_ptr().add(first)) };
        let below = |node, cut| {
            let above = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(x, cut));
            _mm256_sub_epi32(_mm256_add_epi32(node, node), above)
        };
        // Of two registers, by the bit of the node that is uppermost in `bit`.
        let of_two = |at: usize, node, bit| {
            let (low, high) =
                (_mm256_permutevar8x32_ps(tables[at], node), _mm256_permutevar8x32_ps(tables[at + 1], node));
            _mm256_blendv_ps(low, high, _mm256_castsi256_ps(bit))
        };
        let mut node = _mm256_set1_epi32(1);
        for table in [tables[0], tables[0], tables[0], tables[1]] {
            node = below(node, _mm256_permutevar8x32_ps(table, node));
        }
        if N > 16 {
            node = below(node, of_two(2, node, _mm256_slli_epi32::<28>(node)));
        }
        if N > 32 {
            let (third, fourth) = (_mm256_slli_epi32::<28>(node), _mm256_slli_epi32::<27>(node));
            let (low, high) = (of_two(4, node, third), of_two(6, node, third));
            node = below(node, _mm256_blendv_ps(low, high, _mm256_castsi256_ps(fourth)));
        }
        // SAFETY: 8 ranks of `CHUNK`.
        unsafe {
            let of_leaves = _mm256_sub_epi32(node, _mm256_set1_epi32(N as i32));
            _mm256_storeu_si256(ranks.as_mut_ptr().add(first).cast(), of_leaves);
        }
    }
    ranks
}

/// The first bytes of 16 values, the second, and so on.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn planes_of(values: &[f32; 16]) -> [__m128i; 4] {
    let by_byte = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let mut fours = [_mm_setzero_si128(); 4];
    for four in 0..4 {
        // SAFETY: four values of 16.
        let values = unsafe { _mm_loadu_si128(values.as_ptr().add(4 * four).cast()) };
        fours[four] = _mm_shuffle_epi8(values, by_byte);
    }
    let [a, b, c, d] = fours;
    let (low, high) = (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    let (low_upper, high_upper) = (_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    [
        _mm_unpacklo_epi64(low, low_upper),
        _mm_unpackhi_epi64(low, low_upper),
        _mm_unpacklo_epi64(high, high_upper),
        _mm_unpackhi_epi64(high, high_upper),
    ]
}

/// See [`Level::add_leaves_f32`]: of so many times 16 leaves, whose bytes are looked up one by one.
// BENEFIT: rows of trees of up to 16 leaves take 0.5 to 0.7 of the time, of up to 64 leaves 0.8. Of 128 it is no gain.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn add_planes<const N: usize>(sums: &mut [[f32; CHUNK]], at: &[Chunk], leaves: &[f32]) {
    let mut planes = [[_mm_setzero_si128(); N]; 4];
    for index in 0..N {
        let of_table = planes_of(leaves[16 * index..].first_chunk().expect("so many leaves"));
        for byte in 0..4 {
            planes[byte][index] = of_table[byte];
        }
    }
    // Rows in fours, those that come first in the lower half of each register that is put together.
    let order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    for chunk in 0..sums.len().min(at.len()) {
        let (sums, at) = (&mut sums[chunk], &at[chunk].0);
        for first in [0, 32] {
            // SAFETY: 32 places of `CHUNK`.
            let at = unsafe { _mm256_loadu_si256(at.as_ptr().add(first).cast()) };
            let at = _mm256_permutevar8x32_epi32(at, order);
            let mut places = [at; N];
            for index in 0..N {
                // A look-up finds nothing where the greatest bit is set: in all tables but one.
                let of_table = _mm256_xor_si256(at, _mm256_set1_epi8(16 * index as i8));
                places[index] = _mm256_adds_epu8(of_table, _mm256_set1_epi8(0x70));
            }
            let mut found = [_mm256_setzero_si256(); 4];
            for byte in 0..4 {
                for index in 0..N {
                    let table = _mm256_broadcastsi128_si256(planes[byte][index]);
                    let of_table = _mm256_shuffle_epi8(table, places[index]);
                    found[byte] = _mm256_or_si256(found[byte], of_table);
                }
            }
            let [a, b, c, d] = found;
            let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let (low_upper, high_upper) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
            let values = [
                _mm256_unpacklo_epi16(low, low_upper),
                _mm256_unpackhi_epi16(low, low_upper),
                _mm256_unpacklo_epi16(high, high_upper),
                _mm256_unpackhi_epi16(high, high_upper),
            ];
            for index in 0..4 {
                // SAFETY: eight sums of `CHUNK`.
                unsafe {
                    let sums = sums.as_mut_ptr().add(first + 8 * index);
                    let sum = _mm256_add_ps(_mm256_loadu_ps(sums), _mm256_castsi256_ps(values[index]));
                    _mm256_storeu_ps(sums, sum);
                }
            }
        }
    }
}

/// See [`Level::sum_products`]: `C` times [`PANEL`] of a tile's columns, from place `first` on.
// BENEFIT: two thirds of the time of loops over arrays.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn sum_products<const R: usize, const V: usize, const C: usize>(
    terms: &Terms<'_>,
    first: usize,
    sums: &mut Tile<R, V>,
) {
    let Terms { rows, k, columns, stride, range } = terms;
    let rows = &rows[..(R - 1) * k + range.end];
    let columns = &columns[first * PANEL..][..(range.end - 1) * stride + C * PANEL];
    let mut lanes = [[[_mm256_setzero_ps(); 2]; C]; R];
    for at in range.clone() {
        let mut of_term = [[_mm256_setzero_ps(); 2]; C];
        for v in 0..C {
            for half in 0..2 {
                // SAFETY: the slice ends with the last vector of the last term.
                of_term[v][half] =
                    unsafe { _mm256_loadu_ps(columns.as_ptr().add(at * stride + v * PANEL + half * PANEL / 2)) };
            }
        }
        for row in 0..R {
            // SAFETY: the slice ends with the last term of the last row.
            let factor = _mm256_set1_ps(unsafe { *rows.get_unchecked(row * k + at) });
            for v in 0..C {
                for half in 0..2 {
                    lanes[row][v][half] = _mm256_fmadd_ps(factor, of_term[v][half], lanes[row][v][half]);
                }
            }
        }
    }
    for row in 0..R {
        for v in 0..C {
            let (low, high) = sums[row][first + v].split_at_mut(PANEL / 2);
            // SAFETY: 8 values each.
            unsafe {
                _mm256_storeu_ps(low.as_mut_ptr(), lanes[row][v][0]);
                _mm256_storeu_ps(high.as_mut_ptr(), lanes[row][v][1]);
            }
        }
    }
}

/// 32 of 64 bytes, from place 0 or 32.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn load_bytes(bytes: &[u8; TESTED], half: usize) -> __m256i {
    // SAFETY: the slice is as long as the load.
    unsafe { _mm256_loadu_si256(bytes[half..][..32].as_ptr().cast()) }
}

/// See [`Level::right`]: 255 where a test sends the row right, of 32 of the tests.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn right<const N: usize>(columns: &[__m256i; N], tests: &Tests, half: usize) -> __m256i {
    let of_tests = load_bytes(&tests.columns, half);
    // A column of a register becomes 0x70 to 0x7f there; any other has its uppermost bit set, for which a shuffle gives 0.
    let mut bytes = _mm256_shuffle_epi8(columns[0], _mm256_adds_epu8(of_tests, _mm256_set1_epi8(0x70)));
    for at in 1..N {
        let of_register = _mm256_xor_si256(of_tests, _mm256_set1_epi8((at * REGISTER) as i8));
        let of_register = _mm256_adds_epu8(of_register, _mm256_set1_epi8(0x70));
        bytes = _mm256_or_si256(bytes, _mm256_shuffle_epi8(columns[at], of_register));
    }
    _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, load_bytes(&tests.from, half)), bytes)
}

/// 255 in the bytes whose bits are set.
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn spread(bits: u32) -> __m256i {
    // Each byte of the bits eight times, of which then one bit each.
    let eight = |byte: i64| byte * 0x0101_0101_0101_0101;
    let bytes =
        _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), _mm256_setr_epi64x(0, eight(1), eight(2), eight(3)));
    let bit = _mm256_set1_epi64x(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
    _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit)
}

/// See [`Level::select`].
#[inline]
#[target_feature(enable = "avx2,fma,bmi2,popcnt")]
fn select<const N: usize>(columns: &[__m256i; N], block: Block<'_>) -> Chunk {
    let Block { tiles, of_categories, .. } = block;
    let mut next = Chunk::ZERO;
    for half in [0, 32] {
        let [a, b, c, d] = &tiles.next;
        let right = |test: usize| {
            let right = right(columns, &tiles.tests[test], half);
            let of_half = |masks: &Masks| spread((masks[test] >> half) as u32);
            of_categories.map_or(right, |masks| _mm256_or_si256(right, of_half(masks)))
        };
        let blend = |a: &[u8; TESTED], b: &[u8; TESTED], right: __m256i| {
            _mm256_blendv_epi8(load_bytes(a, half), load_bytes(b, half), right)
        };
        let of_both = _mm256_blendv_epi8(blend(a, b, right(1)), blend(c, d, right(2)), right(0));
        // SAFETY: 32 of 64 bytes.
        unsafe { _mm256_storeu_si256(next.0.as_mut_ptr().add(half).cast(), of_both) };
    }
    next
}

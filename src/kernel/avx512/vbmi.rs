//! AVX-512 with VBMI: bytes are looked up by number in one or two registers, and walks are steps of all trees of a block.

use std::arch::x86_64::*;

use super::{Avx512, blended, load_bytes, load_pd, load_ps};
use crate::kernel::level::Work;
use crate::layout::bytes::{Pages, REGISTER, Tests};
use crate::layout::row_bytes::COUNTED;
use crate::layout::tops::{Block, STARTS, Starts, Steps, TILES};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,bmi2,popcnt")]
pub(super) fn run<W: Work>(level: Avx512<true>, work: W) -> W::Output {
    work.work(level)
}

/// See [`Level::count_below_f32`](crate::kernel::level::Level::count_below_f32).
// BENEFIT: wherever there is VBMI, the widest registers do not slow clocks down, and there is half as much to do.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,bmi2,popcnt")]
pub(super) fn count_below_f32(x: f32, cuts: &[f32; COUNTED]) -> usize {
    let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_set1_ps(x), load_ps(cuts, 0));
    above.count_ones() as usize
}

/// See [`Level::count_below_f64`](crate::kernel::level::Level::count_below_f64).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,bmi2,popcnt")]
pub(super) fn count_below_f64(x: f64, cuts: &[f64; COUNTED]) -> usize {
    let x = _mm512_set1_pd(x);
    let low = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(x, load_pd(cuts, 0));
    let high = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(x, load_pd(cuts, 1));
    _mm512_kunpackb(high.into(), low.into()).count_ones() as usize
}

/// See [`Level::right`](crate::kernel::level::Level::right).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,bmi2,popcnt")]
pub(super) fn right<const N: usize>(columns: &[__m512i; N], tests: &Tests, [low, high]: Pages) -> u64 {
    let at = load_bytes(&tests.columns);
    let of_two = |first: usize| _mm512_permutex2var_epi8(columns[first], at, columns[first + 1]);
    let of_page = |first| _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), of_two(first), of_two(first + 2));
    let of_pages = |first| _mm512_mask_blend_epi8(low, of_page(first), of_page(first + 4));
    let bytes = match N * REGISTER {
        ..=64 => _mm512_permutexvar_epi8(at, columns[0]),
        65..=128 => of_two(0),
        129..=256 => of_page(0),
        257..=512 => of_pages(0),
        _ => _mm512_mask_blend_epi8(high, of_pages(0), of_pages(8)),
    };
    _mm512_cmpge_epu8_mask(bytes, load_bytes(&tests.from))
}

/// See [`Level::select`](crate::kernel::level::Level::select).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,bmi2,popcnt")]
pub(super) fn select<const N: usize>(columns: &[__m512i; N], block: Block<'_>) -> __m512i {
    let ([a, b, c], pages) = (&block.tiles.tests, |test: usize| block.pages.map_or([0; 2], |pages| pages[test]));
    blended(block, [right(columns, a, pages(0)), right(columns, b, pages(1)), right(columns, c, pages(2))])
}

/// See [`Level::arrive`](crate::kernel::level::Level::arrive).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,bmi2,popcnt")]
pub(super) fn arrive<const N: usize>(columns: &[__m512i; N], block: Block<'_>, starts: &Starts) -> [u32; STARTS] {
    let Steps { doublings, steps } = starts.steps;
    let mut next = select(columns, block);
    // Exits stay where they are.
    let step = |places, next| {
        let on_tiles = _mm512_cmplt_epu8_mask(places, _mm512_set1_epi8(TILES as i8));
        _mm512_mask_permutexvar_epi8(places, on_tiles, places, next)
    };
    // So that nothing is counted, but branches are foreseen.
    for at in 0..Steps::DOUBLINGS {
        if at == doublings {
            break;
        }
        next = step(next, next);
    }
    // SAFETY: 16 bytes.
    let mut places = _mm512_zextsi128_si512(unsafe { _mm_loadu_si128(starts.places.as_ptr().cast()) });
    for at in 0..Steps::STEPS {
        if at == steps {
            break;
        }
        places = step(places, next);
    }
    let places = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(places));
    let mut exits = [0; STARTS];
    let of_starts = _mm512_add_epi32(places, _mm512_set1_epi32(starts.first_exit as i32));
    // SAFETY: 16 numbers.
    unsafe { _mm512_storeu_si512(exits.as_mut_ptr().cast(), of_starts) };
    exits
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;
    use crate::kernel::bytes::Bytes;
    use crate::kernel::level::{Level, Portable};
    use crate::layout::bytes::{MAX_REGISTERS, PAGE_REGISTERS};
    use crate::layout::class_masks::Masks;
    use crate::layout::tops::Tiles;

    /// Where the walks of a block arrive whose columns are in so many registers.
    struct Arrive<'a, const N: usize> {
        bytes: &'a Bytes,
        block: Block<'a>,
        starts: &'a Starts,
    }

    impl<const N: usize> Work for Arrive<'_, N> {
        type Output = [u32; STARTS];

        #[inline(always)]
        fn work<L: Level>(self, level: L) -> Self::Output {
            level.arrive(&level.fetchable::<N>(self.bytes), self.block, self.starts)
        }
    }

    fn equals_the_reference<const N: usize>(level: Avx512<true>) {
        let mut state = N as u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % end as u64) as usize
        };
        for _ in 0..200 {
            let mut bytes = [[0; REGISTER]; MAX_REGISTERS];
            bytes.as_flattened_mut()[..N * REGISTER].fill_with(|| below(256) as u8);
            let mut tiles = Tiles::zeroed();
            for tests in &mut tiles.tests {
                tests.columns.fill_with(|| below(N.min(PAGE_REGISTERS) * REGISTER) as u8);
                tests.from.fill_with(|| below(256) as u8);
            }
            tiles.next.as_flattened_mut().fill_with(|| below(TILES + 32) as u8);
            let mut places = [0; STARTS];
            places.fill_with(|| below(TILES + 32) as u8);
            let [doublings, steps] = [Steps::DOUBLINGS, Steps::STEPS].map(|most| below(most as usize + 1) as u32);
            let (first_exit, steps) = (below(1 << 20) as u32, Steps { doublings, steps });
            let starts = Starts { places, n_trees: STARTS as u32, n_groups: 0, first_exit, steps };
            let masks: Masks = std::array::from_fn(|_| (below(1 << 31) as u64) << 33 | below(1 << 31) as u64);
            // Bits of pages that there are.
            let mut bits = |from| if N > from { (below(1 << 31) as u64) << 33 | below(1 << 31) as u64 } else { 0 };
            let pages: [Pages; 3] = std::array::from_fn(|_| [bits(PAGE_REGISTERS), bits(2 * PAGE_REGISTERS)]);
            let pages = (N > PAGE_REGISTERS).then_some(&pages);
            for of_categories in [None, Some(&masks)] {
                let block = Block { tiles: &tiles, pages, of_categories };
                let arrive = || Arrive::<N> { bytes: &bytes, block, starts: &starts };
                assert_eq!(level.run(arrive()), Portable.run(arrive()), "{starts:?}");
            }
        }
    }

    #[test]
    fn walks_arrive_where_steps_one_by_one_do() {
        let Some(level) = Avx512::detect() else { return };
        equals_the_reference::<4>(level);
        equals_the_reference::<8>(level);
        equals_the_reference::<PAGE_REGISTERS>(level);
        equals_the_reference::<{ 2 * PAGE_REGISTERS }>(level);
        equals_the_reference::<MAX_REGISTERS>(level);
    }
}

//! AVX2: the compiler's own vectors, but for comparing, counting and membership in a set.
#![allow(unsafe_code, reason = "intrinsics; every function is inlined into one compiled for the features it needs")]

use std::arch::x86_64::*;

use super::level::{COUNTED, Chunk, Level, Work};

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

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: a value of this type exists only where the features have been detected.
        unsafe { run(self, work) }
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

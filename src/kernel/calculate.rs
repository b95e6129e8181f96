//! What the operators of pipelines ask of an instruction set: products of matrices, and functions of many numbers.

use super::level::{Level, Work};
use super::product::Job;
use super::tiles;
use crate::ir::function::{Function, powers};
use crate::ir::normalization::Normalization;
use crate::ir::product::Product;

/// Computes on an instruction set.
pub(crate) trait Calculate: Send + Sync {
    /// Writes the sums of a product to `out`; `panel` is working memory.
    fn product_f32(&self, product: &Product<'_, f32>, panel: &mut Vec<f32>, out: &mut [f32]);
    /// As [`product_f32`](Self::product_f32).
    fn product_f64(&self, product: &Product<'_, f64>, panel: &mut Vec<f64>, out: &mut [f64]);
    /// The function of each value, in place.
    fn function(&self, function: Function, values: &mut [f32]);
    /// Powers of all numbers, in place, by the exponents of their columns.
    fn powers(&self, rows: &mut [f32], exponents: &[f32]);
    /// Normalises rows in their place.
    fn normalize(&self, normalization: &Normalization<'_>, rows: &mut [f32]);
}

impl<L: Level> Calculate for L {
    fn product_f32(&self, product: &Product<'_, f32>, panel: &mut Vec<f32>, out: &mut [f32]) {
        if tiles::fills(product) {
            self.run(tiles::Job { product, panel, out });
        } else {
            self.run(Job { product, panel, out });
        }
    }

    fn product_f64(&self, product: &Product<'_, f64>, panel: &mut Vec<f64>, out: &mut [f64]) {
        self.run(Job { product, panel, out });
    }

    fn function(&self, function: Function, values: &mut [f32]) {
        self.run(OfEach { function, values });
    }

    fn powers(&self, rows: &mut [f32], exponents: &[f32]) {
        self.run(Powers { rows, exponents });
    }

    fn normalize(&self, normalization: &Normalization<'_>, rows: &mut [f32]) {
        self.run(Normalize { normalization, rows });
    }
}

struct OfEach<'a> {
    function: Function,
    values: &'a mut [f32],
}

impl Work for OfEach<'_> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, _: L) {
        self.function.apply(self.values);
    }
}

struct Powers<'a> {
    rows: &'a mut [f32],
    exponents: &'a [f32],
}

impl Work for Powers<'_> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, _: L) {
        powers(self.rows, self.exponents);
    }
}

struct Normalize<'a> {
    normalization: &'a Normalization<'a>,
    rows: &'a mut [f32],
}

impl Work for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, _: L) {
        self.normalization.apply(self.rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::level::Portable;

    fn equals_the_reference(level: impl Level) {
        // Every exponent, with two mantissas of each.
        let mut xs: Vec<f32> =
            (0..=u32::MAX >> 22).map(|at| f32::from_bits(at << 22 | 0x0012_3457 & 0x003f_ffff)).collect();
        xs.extend([0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        xs.extend((-4000..4000).map(|at| at as f32 * 0.0321));
        for function in [
            Function::Affine { factor: 0.3, offset: -1.7 },
            Function::WholePower(1),
            Function::WholePower(6),
            Function::WholePower(7),
            Function::Exp,
            Function::Log,
            Function::Logistic,
            Function::Probit,
            Function::MlasExp,
            Function::MlasLogistic,
            Function::MlasTanh,
            Function::MlasErf,
            Function::MlasSilu,
            Function::LeakyRelu { slope: 0.1 },
            Function::ThresholdedRelu { threshold: 0.7 },
            Function::Elu { factor: 1.6, width: 0.7, scale: 1.1 },
            Function::Gelu,
            Function::GeluTanh,
            Function::HardLogistic { slope: 0.2, offset: 0.5 },
            Function::HardSwish,
            Function::Softsign,
        ] {
            let (mut found, mut expected) = (xs.clone(), xs.clone());
            level.function(function, &mut found);
            function.apply(&mut expected);
            for ((x, found), expected) in xs.iter().zip(found).zip(expected) {
                let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(same, "{function:?} of {x:e}: {found:e}, not {expected:e}");
            }
        }
        let (mut found, mut expected) = (xs.clone(), xs.clone());
        let exponents = [2.0, -0.37, 3.0, 1.6, 0.0];
        level.powers(&mut found, &exponents);
        powers(&mut expected, &exponents);
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(found), bits(expected));
        for width in [1, 3, 16, 23, 64] {
            let factors: Vec<f32> = (0..width).map(|at| at as f32 * 0.3 - 1.0).collect();
            let normalization =
                Normalization { width, epsilon: 1e-5, factors: Some(&factors), offsets: Some(&factors) };
            let mut found: Vec<f32> = (0..5 * width).map(|at| ((at * at) as f32).sin() * 3.0 + 1.0).collect();
            let mut expected = found.clone();
            level.normalize(&normalization, &mut found);
            normalization.apply(&mut expected);
            assert_eq!(bits(found), bits(expected));
        }
    }

    #[test]
    fn functions_have_the_same_bits_on_every_instruction_set() {
        equals_the_reference(Portable);
        #[cfg(target_arch = "x86_64")]
        {
            use crate::kernel::{avx2::Avx2, avx512::Avx512};
            Avx2::detect().into_iter().for_each(equals_the_reference);
            Avx512::<false>::detect().into_iter().for_each(equals_the_reference);
        }
    }
}

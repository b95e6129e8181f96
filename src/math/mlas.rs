//! `exp`, the logistic function, `tanh` and `erf` of f32 as ONNX Runtime's operators compute them; but for `erf` to the bit.
//!
//! Its matrix library (MLAS, `compute.cpp`, `logistic.cpp`, `tanh.cpp`, `erf.cpp`) has rational and polynomial approximations of its
//! own, off by a few units in the last place from C's functions. Every multiplication is fused with the addition behind
//! it. None branches on data, so that loops over many numbers become vectors. `tests` below hold answers of ONNX Runtime
//! 1.31 on x86-64 with FMA.

#![allow(clippy::excessive_precision, reason = "constants as they are published")]

/// Horner's rule from the highest coefficient down.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for &coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, coefficient);
    }
    sum
}

#[inline(always)]
fn clamp(x: f32, bound: f32) -> f32 {
    // Comparisons that keep NaN.
    let x = if x < -bound { -bound } else { x };
    if x > bound { bound } else { x }
}

/// The exponential function.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -103.972_084_045_4;
    const HIGHEST: f32 = 88.776_262_664_795_0;
    /// Added and taken off again, it rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < LOWEST { LOWEST } else { x };
    let clamped = if clamped > HIGHEST { HIGHEST } else { clamped };
    // x = m ln 2 + rest, ln 2 in two parts.
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let m = shifted - ROUND;
    let rest = m.mul_add(-1.428_606_77e-6, m.mul_add(-0.693_145_752, clamped));
    let sum = polynomial(
        rest,
        [
            f32::from_bits(0x3ab4_a000),
            f32::from_bits(0x3c09_2f6e),
            f32::from_bits(0x3d2a_adad),
            f32::from_bits(0x3e2a_aa28),
            f32::from_bits(0x3eff_fffb),
            1.0,
            1.0,
        ],
    );
    // 2^m in f64, so that the product is rounded once where it is no normal f32. The low bits of `shifted` are those of m.
    let whole = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let scale = f64::from_bits((i64::from(whole).wrapping_add(1023) as u64) << 52);
    if x.is_nan() { x } else { (f64::from(sum) * scale) as f32 }
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn logistic(x: f32) -> f32 {
    let x = clamp(x, 18.0);
    let square = x * x;
    let numerator = polynomial(
        square,
        [
            4.370_310_125_798_01e-11,
            1.156_273_244_599_42e-7,
            6.085_748_646_001_43e-5,
            8.513_771_333_047_01e-3,
            0.248_287_947_061_529,
        ],
    ) * x;
    let denominator = polynomial(
        square,
        [
            6.102_473_897_556_81e-13,
            5.761_021_369_934_27e-9,
            6.291_067_850_170_40e-6,
            1.701_988_173_740_94e-3,
            0.116_817_656_904_453,
            0.993_151_921_023_180,
        ],
    );
    (numerator / denominator + 0.5).clamp(0.0, 1.0)
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let x = clamp(x, 9.0);
    let square = x * x;
    let numerator = polynomial(
        square,
        [
            -2.760_768_477_423_55e-16,
            2.000_187_904_824_77e-13,
            -8.604_671_522_137_35e-11,
            5.122_297_090_371_14e-8,
            1.485_722_357_179_79e-5,
            6.372_619_288_754_36e-4,
            4.893_524_558_917_86e-3,
        ],
    ) * x;
    numerator
        / polynomial(
            square,
            [1.198_258_394_667_02e-6, 1.185_347_056_866_54e-4, 2.268_434_632_439_00e-3, 4.893_525_185_543_85e-3],
        )
}

/// The error function, off by a unit in the last place or two.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    /// From here on it is 1.
    const HIGHEST: f32 = 3.925;
    /// Below, a polynomial of x; above, 1 minus the exponential of one.
    const SPLIT: f32 = 0.921_875;
    let size = x.abs();
    let size = if size > HIGHEST { HIGHEST } else { size };
    let low = polynomial(
        size * size,
        [-5.991_049_69e-4, 4.993_395_88e-3, -2.676_673_42e-2, 1.128_180_25e-1, -3.761_248_59e-1, 1.283_791_51e-1],
    )
    .mul_add(size, size);
    let power = polynomial(
        size,
        [
            1.729_489_30e-5,
            -3.832_086_80e-4,
            3.883_934_35e-3,
            -2.425_456_05e-2,
            1.067_778_47e-1,
            6.348_466_87e-1,
            1.287_175_12e-1,
        ],
    )
    .mul_add(size, size);
    let high = 1.0 - exp(-power);
    (if size > SPLIT { high } else { low }).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_right_to_the_last_digits() {
        let of_nan = erf(f32::NAN);
        assert!(of_nan.is_nan());
        for (x, expected) in [
            (0.0, 0.0),
            (1e-20, 1.128_379_2e-20),
            (0.5, 0.520_499_88),
            (0.921, 0.807_251_3),
            (1.0, 0.842_700_8),
            (2.5, 0.999_593_05),
            (5.0, 1.0),
            (f32::INFINITY, 1.0),
        ] {
            for (x, expected) in [(x, expected), (-x, -expected)] {
                let found = erf(x);
                assert!((found - expected).abs() <= 3e-7 * expected.abs(), "erf({x}) = {found}, not {expected}");
            }
        }
    }

    const XS: [u32; 26] = [
        0x0000_0000,
        0x8000_0000,
        0x3f80_0000,
        0xbf80_0000,
        0x3f00_0000,
        0xbf40_0000,
        0x4120_0000,
        0xc1a0_0000,
        0x42b1_6666,
        0x42b1_999a,
        0x4348_0000,
        0xc2af_0000,
        0xc2be_0000,
        0xc2cf_cccd,
        0xc2d0_0000,
        0xc348_0000,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
        0x322b_cc77,
        0x4053_3333,
        0xc18f_3333,
        0x4190_cccd,
        0x410e_6666,
        0x4118_0000,
        0x0001_16c2,
    ];

    fn as_onnx_runtime(f: fn(f32) -> f32, expected: [u32; 26]) {
        for (x, expected) in XS.into_iter().zip(expected) {
            let found = f(f32::from_bits(x));
            let same = found.to_bits() == expected || found.is_nan() && f32::from_bits(expected).is_nan();
            assert!(same, "{:e}: {:#x}, not {expected:#x}", f32::from_bits(x), found.to_bits());
        }
    }

    #[test]
    fn functions_have_the_bits_of_onnx_runtime() {
        as_onnx_runtime(
            exp,
            [
                0x3f80_0000,
                0x3f80_0000,
                0x402d_f854,
                0x3ebc_5ab2,
                0x3fd3_094c,
                0x3ef1_da07,
                0x46ac_14ef,
                0x310d_a433,
                0x7f7a_37fc,
                0x7f80_0000,
                0x7f80_0000,
                0x006c_b2bc,
                0x0000_0f64,
                0x0000_0001,
                0x0000_0000,
                0x0000_0000,
                0x7f80_0000,
                0x0000_0000,
                0x7fc0_0000,
                0x3f80_0000,
                0x41d8_e6af,
                0x3290_9562,
                0x4c8a_6862,
                0x45e5_1fc4,
                0x4650_bee8,
                0x3f80_0000,
            ],
        );
        as_onnx_runtime(
            logistic,
            [
                0x3f00_0000,
                0x3f00_0000,
                0x3f3b_26a8,
                0x3e89_b2b1,
                0x3f1f_597e,
                0x3ea4_42b1,
                0x3f7f_fd06,
                0x0000_0000,
                0x3f80_0000,
                0x3f80_0000,
                0x3f80_0000,
                0x0000_0000,
                0x0000_0000,
                0x0000_0000,
                0x0000_0000,
                0x0000_0000,
                0x3f80_0000,
                0x0000_0000,
                0x7fc0_0000,
                0x3f00_0000,
                0x3f76_e4cf,
                0x3300_0000,
                0x3f80_0000,
                0x3f7f_f710,
                0x3f7f_fb18,
                0x3f00_0000,
            ],
        );
        as_onnx_runtime(
            tanh,
            [
                0x0000_0000,
                0x8000_0000,
                0x3f42_f7d6,
                0xbf42_f7d6,
                0x3eec_9a9f,
                0xbf22_9920,
                0x3f80_0000,
                0xbf80_0000,
                0x3f80_0000,
                0x3f80_0000,
                0x3f80_0000,
                0xbf80_0000,
                0xbf80_0000,
                0xbf80_0000,
                0xbf80_0000,
                0xbf80_0000,
                0x3f80_0000,
                0xbf80_0000,
                0x7fc0_0000,
                0x322b_cc76,
                0x3f7f_4def,
                0xbf80_0000,
                0x3f80_0000,
                0x3f80_0000,
                0x3f80_0000,
                0x0001_1697,
            ],
        );
    }
}

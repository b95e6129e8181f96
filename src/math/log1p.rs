//! `log1p` in f64 and f32: log(1 + x), exact near 0 too.
//!
//! 1 + x = 2^k (1 + f) with √½ ≤ 1 + f < √2; then log(1 + f) = f - (f²/2 - s (f²/2 + R)) with s = f/(2 + f) and R a
//! polynomial in s². What rounding 1 + x lost comes back as a correction `c`.
//!
//! The algorithm and its constants are FreeBSD's `s_log1p.c` and `s_log1pf.c` (Copyright (C) 1993 by Sun Microsystems,
//! Inc.: "Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice
//! is preserved"). glibc evaluates the f64 polynomial in another order, and fused where the processor can.

const LN2: [f64; 2] = [f64::from_bits(0x3fe6_2e42_fee0_0000), f64::from_bits(0x3dea_39ef_3579_3c76)];

const POLY: [f64; 7] = [
    f64::from_bits(0x3fe5_5555_5555_5593),
    f64::from_bits(0x3fd9_9999_9997_fa04),
    f64::from_bits(0x3fd2_4924_9422_9359),
    f64::from_bits(0x3fcc_71c5_1d8e_78af),
    f64::from_bits(0x3fc7_4664_96cb_03de),
    f64::from_bits(0x3fc3_9a09_d078_c69f),
    f64::from_bits(0x3fc2_f112_df3e_5244),
];

/// log(1 + x).
pub(crate) fn log1p(x: f64) -> f64 {
    let high = (x.to_bits() >> 32) as u32;
    let size = high & 0x7fff_ffff;
    if x <= -1.0 {
        return if x == -1.0 { f64::NEG_INFINITY } else { f64::NAN };
    } else if size >= 0x7ff0_0000 {
        return x;
    } else if size < 0x3c90_0000 {
        return x; // |x| < 2^-54
    } else if size < 0x3e20_0000 {
        return x - x * x * 0.5; // |x| < 2^-29
    }
    // Whether √½ - 1 < x < √2 - 1, as far as the high word tells.
    let near = (high as i32) < 0x3fda_827a && (high as i32 > 0 || high < 0xbfd2_bec4);
    // The mantissa of 1 + x, or how far it is from 2: 0 if its high part is.
    let (mut k, mut f, mut mantissa, mut c) = (0, x, 1, 0.0);
    if !near {
        let mut u = x;
        if size < 0x4340_0000 {
            u = 1.0 + x;
            k = (u.to_bits() >> 52) as i32 - 1023;
            c = if k > 0 { 1.0 - (u - x) } else { x - (u - 1.0) } / u;
        } else {
            k = (u.to_bits() >> 52) as i32 - 1023;
        }
        let (low, top) = (u.to_bits() & 0xffff_ffff, (u.to_bits() >> 32) as u32 & 0xf_ffff);
        let exponent: u32;
        (mantissa, exponent) = if top < 0x6_a09e { (top, 0x3ff0_0000) } else { ((0x10_0000 - top) >> 2, 0x3fe0_0000) };
        k += i32::from(top >= 0x6_a09e);
        f = f64::from_bits(u64::from(top | exponent) << 32 | low) - 1.0;
    }
    let half_square = 0.5 * f * f;
    let k = f64::from(k);
    if mantissa == 0 {
        // |f| < 2^-20
        if f == 0.0 {
            return k.mul_add(LN2[0], k.mul_add(LN2[1], c));
        }
        let r = half_square * f.mul_add(-POLY_0, 1.0);
        return if k == 0.0 { f - r } else { k.mul_add(LN2[0], -((r - k.mul_add(LN2[1], c)) - f)) };
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let z2 = z * z;
    let z4 = z2 * z2;
    let r = z.mul_add(POLY[0], z2 * POLY[2].mul_add(z, POLY[1]));
    let r = z4.mul_add(POLY[4].mul_add(z, POLY[3]), r);
    let r = (z4 * z2).mul_add(POLY[6].mul_add(z, POLY[5]), r);
    let rest = s * (half_square + r);
    if k == 0.0 {
        f - (half_square - rest)
    } else {
        k.mul_add(LN2[0], -((half_square - (k.mul_add(LN2[1], c) + rest)) - f))
    }
}

/// 2/3.
const POLY_0: f64 = f64::from_bits(0x3fe5_5555_5555_5555);

/// log(1 + x). Nothing is fused here.
pub(crate) fn log1pf(x: f32) -> f32 {
    const LN2: [f32; 2] = [f32::from_bits(0x3f31_7180), f32::from_bits(0x3717_f7d1)];
    const POLY: [f32; 7] = [
        f32::from_bits(0x3f2a_aaab),
        f32::from_bits(0x3ecc_cccd),
        f32::from_bits(0x3e92_4925),
        f32::from_bits(0x3e63_8e29),
        f32::from_bits(0x3e3a_3325),
        f32::from_bits(0x3e1c_d04f),
        f32::from_bits(0x3e17_8897),
    ];
    let bits = x.to_bits();
    let size = bits & 0x7fff_ffff;
    if x <= -1.0 {
        return if x == -1.0 { f32::NEG_INFINITY } else { f32::NAN };
    } else if !(0x2480_0000..0x7f80_0000).contains(&size) {
        return x; // infinite, NaN, or |x| < 2^-54
    } else if size < 0x3100_0000 {
        return x - x * x * 0.5; // |x| < 2^-29
    }
    let near = (bits as i32) < 0x3ed4_13d7 && (bits as i32 > 0 || bits < 0xbe95_f620);
    let (mut k, mut f, mut mantissa, mut c) = (0, x, 1, 0.0);
    if !near {
        let mut u = x;
        if size < 0x5a00_0000 {
            u = 1.0 + x;
            k = (u.to_bits() >> 23) as i32 - 127;
            c = if k > 0 { 1.0 - (u - x) } else { x - (u - 1.0) } / u;
        } else {
            k = (u.to_bits() >> 23) as i32 - 127;
        }
        let top = u.to_bits() & 0x7f_ffff;
        let exponent: u32;
        (mantissa, exponent) = if top < 0x35_04f7 { (top, 0x3f80_0000) } else { ((0x80_0000 - top) >> 2, 0x3f00_0000) };
        k += i32::from(top >= 0x35_04f7);
        f = f32::from_bits(top | exponent) - 1.0;
    }
    let half_square = 0.5 * f * f;
    let k = k as f32;
    if mantissa == 0 {
        if f == 0.0 {
            return k * LN2[0] + (c + k * LN2[1]);
        }
        let r = half_square * (1.0 - POLY[0] * f);
        return if k == 0.0 { f - r } else { k * LN2[0] - ((r - (k * LN2[1] + c)) - f) };
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * POLY.iter().rev().copied().reduce(|sum, term| term + z * sum).unwrap_or_default();
    let rest = s * (half_square + r);
    if k == 0.0 { f - (half_square - rest) } else { k * LN2[0] - ((half_square - (rest + (k * LN2[1] + c))) - f) }
}

//! `expm1f`: e^x - 1 in f32, exact near 0 too.
//!
//! x = k ln2 + r; expm1(r) from a rational form, then scaled by 2^k in the order that loses least for that k.
//!
//! The algorithm and its constants are FreeBSD's `s_expm1f.c` (Copyright (C) 1993 by Sun Microsystems, Inc.:
//! "Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is
//! preserved").

const LN2: [f32; 2] = [f32::from_bits(0x3f31_7180), f32::from_bits(0x3717_f7d1)];
const INV_LN2: f32 = f32::from_bits(0x3fb8_aa3b);
const POLY: [f32; 6] = [
    1.0,
    f32::from_bits(0xbd08_8889),
    f32::from_bits(0x3ad0_0d01),
    f32::from_bits(0xb8a6_70cd),
    f32::from_bits(0x3686_7e54),
    f32::from_bits(0xb457_edbb),
];

/// e^x - 1.
pub(crate) fn expm1f(x: f32) -> f32 {
    /// Above this the result is infinite.
    const END: f32 = f32::from_bits(0x42b1_7217);
    let size = x.to_bits() & 0x7fff_ffff;
    if x.is_nan() {
        return x;
    } else if x > END {
        return f32::INFINITY;
    } else if size >= 0x4195_b844 && x < 0.0 {
        return -1.0; // below -27 ln2
    } else if size < 0x3300_0000 {
        return x; // |x| < 2^-25
    }
    let (mut k, mut r, mut c) = (0, x, 0.0);
    if size > 0x3eb1_7218 {
        // |x| > ½ ln2
        k = if size < 0x3f85_1592 { if x < 0.0 { -1 } else { 1 } } else { (INV_LN2 * x + 0.5f32.copysign(x)) as i32 };
        let (high, low) = (x - k as f32 * LN2[0], k as f32 * LN2[1]);
        r = high - low;
        c = (high - r) - low;
    }
    let half = 0.5 * r;
    let square = r * half;
    let poly = POLY.iter().rev().copied().reduce(|sum, term| term + square * sum).unwrap_or_default();
    let t = 3.0 - poly * half;
    let e = square * ((poly - t) / (6.0 - r * t));
    if k == 0 {
        return r - (r * e - square);
    }
    let e = (r * (e - c) - c) - square;
    let scaled = |y: f32| f32::from_bits(y.to_bits().wrapping_add((k << 23) as u32));
    match k {
        -1 => 0.5 * (r - e) - 0.5,
        1 if r < -0.25 => -2.0 * (e - (r + 0.5)),
        1 => 1.0 + 2.0 * (r - e),
        2..=22 => scaled(f32::from_bits(0x3f80_0000 - (0x100_0000 >> k)) - (e - r)),
        23..=56 => scaled((r - (e + f32::from_bits(((0x7f - k) << 23) as u32))) + 1.0),
        _ => scaled(1.0 - (e - r)) - 1.0,
    }
}

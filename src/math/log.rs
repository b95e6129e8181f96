//! `logf`: the natural logarithm in f32, computed in f64 and rounded once.
//!
//! x = 2^k z; with c near z, log x = log1p(z/c - 1) + log c + k ln2, where 1/c and log c come from a table.
//!
//! The algorithm and its constants are those of Arm's optimized-routines (`math/logf.c`; MIT), which glibc has had
//! since 2.27.

const LN2: f64 = f64::from_bits(0x3fe6_2e42_fefa_39ef);

/// log1p(r) - r from the highest power, r⁴, down to r².
const POLY: [f64; 3] = [
    f64::from_bits(0xbfd0_0ea3_48b8_8334),
    f64::from_bits(0x3fd5_575b_0be0_0b6a),
    f64::from_bits(0xbfdf_fffe_f20a_4123),
];

/// The least z, as bits.
const OFFSET: u32 = 0x3f33_0000;

/// The natural logarithm of `x`. What has none is computed all the same, so that loops become vectors.
#[inline(always)]
pub(crate) fn logf(x: f32) -> f32 {
    let bits = if x < f32::MIN_POSITIVE { (x * 8_388_608.0).to_bits().wrapping_sub(23 << 23) } else { x.to_bits() };
    let above = bits.wrapping_sub(OFFSET);
    let k = f64::from(above as i32 >> 23);
    let z = f64::from(f32::from_bits(bits.wrapping_sub(above & 0xff80_0000)));
    let [inverse, log] = TABLE[(above >> 19) as usize % 16].map(f64::from_bits);
    let r = z.mul_add(inverse, -1.0);
    let r2 = r * r;
    let high = r2.mul_add(POLY[0], POLY[1].mul_add(r, POLY[2]));
    let y = r2.mul_add(high, k.mul_add(LN2, log) + r) as f32;
    let y = if x.is_nan() || x == f32::INFINITY { x } else { y };
    let y = if x < 0.0 { f32::NAN } else { y };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// 1/c and log c, as bits.
static TABLE: [[u64; 2]; 16] = [
    [0x3ff6_61ec_79f8_f3be, 0xbfd5_7bf7_808c_aade],
    [0x3ff5_71ed_4aaf_883d, 0xbfd2_bef0_a7c0_6ddb],
    [0x3ff4_9539_f0f0_10b0, 0xbfd0_1eae_7f51_3a67],
    [0x3ff3_c995_b0b8_0385, 0xbfcb_31d8_a682_24e9],
    [0x3ff3_0d19_0c88_64a5, 0xbfc6_574f_0ac0_7758],
    [0x3ff2_5e22_7b0b_8ea0, 0xbfc1_aa2b_c79c_8100],
    [0x3ff1_bb4a_4a1a_343f, 0xbfba_4e76_ce8c_0e5e],
    [0x3ff1_2358_f08a_e5ba, 0xbfb1_973c_5a61_1ccc],
    [0x3ff0_953f_4199_00a7, 0xbfa2_52f4_38e1_0c1e],
    [0x3ff0_0000_0000_0000, 0x0000_0000_0000_0000],
    [0x3fee_608c_fd9a_47ac, 0x3faa_a5aa_5df2_5984],
    [0x3fec_a4b3_1f02_6aa0, 0x3fbc_5e53_aa36_2eb4],
    [0x3feb_2036_576a_fce6, 0x3fc5_26e5_7720_db08],
    [0x3fe9_c2d1_63a1_aa2d, 0x3fcb_c286_0d22_4770],
    [0x3fe8_86e6_0378_41ed, 0x3fd1_058b_c8a0_7ee1],
    [0x3fe7_67dc_f553_4862, 0x3fd4_0430_57b6_ee09],
];

//! `pow` in f32 and f64: x^y as e^(y log x), or 2^(y log2 x), with a logarithm of more bits than the result has.
//!
//! x = 2^k z; with c near z, log x = log1p(z/c - 1) + log c + k ln2, where 1/c and log c come from a table. The f64 form
//! has the logarithm, and its product with y, in two parts each; the f32 form computes in f64 and rounds once.
//!
//! The algorithms and their constants are those of Arm's optimized-routines (`math/pow.c`, `math/powf.c`; MIT), which
//! glibc has had since 2.28.

use super::exp::{exp_sum, exp2_wide};

/// What y says of the sign of a power of a negative number.
#[derive(Clone, Copy, PartialEq)]
enum Whole {
    No,
    Even,
    Odd,
}

#[inline(always)]
fn whole(y: f64) -> Whole {
    if y.fract() != 0.0 || y.is_nan() {
        Whole::No
    } else if (y * 0.5).fract() != 0.0 {
        Whole::Odd
    } else {
        Whole::Even
    }
}

/// x^y where x or y is zero, infinite or NaN, x is 1, or y is not whole and x negative; such cases are exact. Otherwise
/// whether the power is negative.
#[inline(always)]
fn exact(x: f64, y: f64) -> Result<bool, f64> {
    if y == 0.0 || x == 1.0 {
        return Err(1.0);
    } else if x.is_nan() || y.is_nan() {
        return Err(f64::NAN);
    } else if y.is_infinite() {
        return Err(match x.abs() {
            1.0 => 1.0,
            size if (size < 1.0) == (y > 0.0) => 0.0,
            _ => f64::INFINITY,
        });
    }
    let negative = x.is_sign_negative() && whole(y) == Whole::Odd;
    if x == 0.0 || x.is_infinite() {
        let size = if (x == 0.0) == (y > 0.0) { 0.0 } else { f64::INFINITY };
        Err(if negative { -size } else { size })
    } else if x < 0.0 && whole(y) == Whole::No {
        Err(f64::NAN)
    } else {
        Ok(negative)
    }
}

/// x^y.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    let negative = match exact(x, y) {
        Ok(negative) => negative,
        Err(power) => return power,
    };
    let size = x.abs();
    // 2^-65 and 2^63: below the first the power rounds to 1, from the second on it is 0 or infinite.
    let exponent = y.to_bits() >> 52 & 0x7ff;
    if size == 1.0 || exponent < 0x3be {
        // Where y is odd it is not as small, so that only a size of 1 has a sign.
        return if negative { -1.0 } else { 1.0 };
    } else if exponent >= 0x43e {
        return if (size > 1.0) == (y > 0.0) { f64::INFINITY } else { 0.0 };
    }
    let (log, tail) = log(size);
    let high = y * log;
    let low = y.mul_add(tail, y.mul_add(log, -high));
    exp_sum(high, low, negative)
}

/// log x and what it lacks, for positive finite x.
fn log(x: f64) -> (f64, f64) {
    /// The least z, as bits.
    const OFFSET: u64 = 0x3fe6_9555_0000_0000;
    const LN2: [f64; 2] = [f64::from_bits(0x3fe6_2e42_fefa_3800), f64::from_bits(0x3d2e_f357_93c7_6730)];
    let subnormal = x < f64::MIN_POSITIVE;
    let bits = if subnormal { (x * 4_503_599_627_370_496.0).to_bits().wrapping_sub(52 << 52) } else { x.to_bits() };
    let above = bits.wrapping_sub(OFFSET);
    let k = (above as i64 >> 52) as f64;
    let z = f64::from_bits(bits.wrapping_sub(above & 0xfff << 52));
    let [inverse, log, log_tail] = LOGS[(above >> 45) as usize % 128].map(f64::from_bits);
    let r = z.mul_add(inverse, -1.0);
    let t1 = k.mul_add(LN2[0], log);
    let t2 = t1 + r;
    let low1 = k.mul_add(LN2[1], log_tail);
    let low2 = t1 - t2 + r;
    let ar = POLY[0] * r;
    let ar2 = r * ar;
    let ar3 = r * ar2;
    let high = t2 + ar2;
    let low3 = ar.mul_add(r, -ar2);
    let low4 = t2 - high + ar2;
    let [_, a1, a2, a3, a4, a5, a6] = POLY;
    let inner = ar2.mul_add(r.mul_add(a6, a5), r.mul_add(a4, a3));
    let p = ar2.mul_add(inner, r.mul_add(a2, a1));
    let low = ar3.mul_add(p, low1 + low2 + low3 + low4);
    let sum = high + low;
    (sum, high - sum + low)
}

/// x^y.
#[inline(always)]
pub(crate) fn powf(x: f32, y: f32) -> f32 {
    let negative = match exact(x.into(), y.into()) {
        Ok(negative) => negative,
        Err(power) => return power as f32,
    };
    let power = exp2_wide(f64::from(y) * log2(x.abs()));
    if negative { -power } else { power }
}

/// log2 x, for positive finite x.
#[inline(always)]
fn log2(x: f32) -> f64 {
    /// The least z, as bits.
    const OFFSET: u32 = 0x3f33_0000;
    let bits = if x < f32::MIN_POSITIVE { (x * 8_388_608.0).to_bits().wrapping_sub(23 << 23) } else { x.to_bits() };
    let above = bits.wrapping_sub(OFFSET);
    let k = f64::from(above as i32 >> 23);
    let z = f64::from(f32::from_bits(bits.wrapping_sub(above & 0xff80_0000)));
    let [inverse, log2] = LOGS2[(above >> 19) as usize % 16].map(f64::from_bits);
    let r = z.mul_add(inverse, -1.0);
    let [a0, a1, a2, a3, a4] = POLY2;
    let r2 = r * r;
    let low = a4.mul_add(r, log2 + k);
    let low = a2.mul_add(r, a3).mul_add(r2, low);
    a0.mul_add(r, a1).mul_add(r2 * r2, low)
}

/// log1p(r) - r, scaled for its evaluation.
const POLY: [f64; 7] = [
    f64::from_bits(0xbfe0_0000_0000_0000),
    f64::from_bits(0xbfe5_5555_5555_5560),
    f64::from_bits(0x3fe0_0000_0000_0006),
    f64::from_bits(0x3fe9_9999_9959_554e),
    f64::from_bits(0xbfe5_5555_5529_a47a),
    f64::from_bits(0xbff2_495b_9b48_45e9),
    f64::from_bits(0x3ff0_002b_8b26_3fc3),
];

/// log1p(r)/ln2 from the highest power, r⁵, down to r.
const POLY2: [f64; 5] = [
    f64::from_bits(0x3fd2_7616_c949_6e0b),
    f64::from_bits(0xbfd7_1969_a075_c67a),
    f64::from_bits(0x3fde_c70a_6ca7_badd),
    f64::from_bits(0xbfe7_1547_48be_f6c8),
    f64::from_bits(0x3ff7_1547_652a_b82b),
];

/// 1/c and log2 c, as bits.
static LOGS2: [[u64; 2]; 16] = [
    [0x3ff6_61ec_79f8_f3be, 0xbfde_fec6_5b96_3019],
    [0x3ff5_71ed_4aaf_883d, 0xbfdb_0b68_32d4_fca4],
    [0x3ff4_9539_f0f0_10b0, 0xbfd7_418b_0a1f_b77b],
    [0x3ff3_c995_b0b8_0385, 0xbfd3_9de9_1a6d_cf7b],
    [0x3ff3_0d19_0c88_64a5, 0xbfd0_1d9b_f3f2_b631],
    [0x3ff2_5e22_7b0b_8ea0, 0xbfc9_7c1d_1b3b_7af0],
    [0x3ff1_bb4a_4a1a_343f, 0xbfc2_f9e3_93af_3c9f],
    [0x3ff1_2358_f08a_e5ba, 0xbfb9_60cb_bf78_8d5c],
    [0x3ff0_953f_4199_00a7, 0xbfaa_6f9d_b647_5fce],
    [0x3ff0_0000_0000_0000, 0x0000_0000_0000_0000],
    [0x3fee_608c_fd9a_47ac, 0x3fb3_38ca_9f24_f53d],
    [0x3fec_a4b3_1f02_6aa0, 0x3fc4_76a9_5438_91ba],
    [0x3feb_2036_576a_fce6, 0x3fce_840b_4ac4_e4d2],
    [0x3fe9_c2d1_63a1_aa2d, 0x3fd4_0645_f0c6_651c],
    [0x3fe8_86e6_0378_41ed, 0x3fd8_8e9c_2c1b_9ff8],
    [0x3fe7_67dc_f553_4862, 0x3fdc_e0a4_4eb1_7bcc],
];

/// 1/c, log c and what it lacks, as bits.
#[rustfmt::skip]
static LOGS: [[u64; 3]; 128] = [
    [0x3ff6_a000_0000_0000, 0xbfd6_2c82_f2b9_c800, 0x3cfa_b424_2837_5680],
    [0x3ff6_8000_0000_0000, 0xbfd5_d1bd_bf58_0800, 0xbd1c_a508_d8e0_f720],
    [0x3ff6_6000_0000_0000, 0xbfd5_7677_1745_5800, 0xbd23_62a4_d5b6_506d],
    [0x3ff6_4000_0000_0000, 0xbfd5_1aad_872d_f800, 0xbce6_84e4_9eb0_67d5],
    [0x3ff6_2000_0000_0000, 0xbfd4_be5f_9577_7800, 0xbd04_1b69_9329_3ee0],
    [0x3ff6_0000_0000_0000, 0xbfd4_618b_c21c_6000, 0x3d13_d82f_484c_84cc],
    [0x3ff5_e000_0000_0000, 0xbfd4_0430_8686_a800, 0x3cdc_42f3_ed82_0b3a],
    [0x3ff5_c000_0000_0000, 0xbfd3_a64c_5569_4800, 0x3d20_b1c6_8651_9460],
    [0x3ff5_a000_0000_0000, 0xbfd3_47dd_9a98_8000, 0x3d25_594d_d4c5_8092],
    [0x3ff5_8000_0000_0000, 0xbfd2_e8e2_bae1_2000, 0x3d26_7b1e_99b7_2bd8],
    [0x3ff5_6000_0000_0000, 0xbfd2_895a_13de_8800, 0x3d15_ca14_b6cf_b03f],
    [0x3ff5_6000_0000_0000, 0xbfd2_895a_13de_8800, 0x3d15_ca14_b6cf_b03f],
    [0x3ff5_4000_0000_0000, 0xbfd2_2941_fbcf_7800, 0xbd16_5a24_2853_da76],
    [0x3ff5_2000_0000_0000, 0xbfd1_c898_c169_9800, 0xbd1f_afbc_68e7_5404],
    [0x3ff5_0000_0000_0000, 0xbfd1_675c_abab_a800, 0x3d1f_1fc6_3382_a8f0],
    [0x3ff4_e000_0000_0000, 0xbfd1_058b_f9ae_4800, 0xbd26_a8c4_fd05_5a66],
    [0x3ff4_c000_0000_0000, 0xbfd0_a324_e273_9000, 0xbd0c_6bee_7ef4_030e],
    [0x3ff4_a000_0000_0000, 0xbfd0_4025_94b4_d000, 0xbcf0_36b8_9ef4_2d7f],
    [0x3ff4_a000_0000_0000, 0xbfd0_4025_94b4_d000, 0xbcf0_36b8_9ef4_2d7f],
    [0x3ff4_8000_0000_0000, 0xbfcf_b918_6d5e_4000, 0x3d0d_572a_ab99_3c87],
    [0x3ff4_6000_0000_0000, 0xbfce_f0ad_cbdc_6000, 0x3d2b_26b7_9c86_af24],
    [0x3ff4_4000_0000_0000, 0xbfce_2707_6e2a_f000, 0xbd17_2f4f_543f_ff10],
    [0x3ff4_2000_0000_0000, 0xbfcd_5c21_6b4f_c000, 0x3d21_ba91_bbca_681b],
    [0x3ff4_0000_0000_0000, 0xbfcc_8ff7_c79a_a000, 0x3d27_794f_689f_8434],
    [0x3ff4_0000_0000_0000, 0xbfcc_8ff7_c79a_a000, 0x3d27_794f_689f_8434],
    [0x3ff3_e000_0000_0000, 0xbfcb_c286_742d_9000, 0x3d19_4eb0_318b_b78f],
    [0x3ff3_c000_0000_0000, 0xbfca_f3c9_4e80_c000, 0x3cba_4e63_3fcd_9066],
    [0x3ff3_a000_0000_0000, 0xbfca_23bc_1fe2_b000, 0xbd25_8c64_dc46_c1ea],
    [0x3ff3_a000_0000_0000, 0xbfca_23bc_1fe2_b000, 0xbd25_8c64_dc46_c1ea],
    [0x3ff3_8000_0000_0000, 0xbfc9_525a_9cf4_5000, 0xbd2a_d1d9_04c1_d4e3],
    [0x3ff3_6000_0000_0000, 0xbfc8_7fa0_6520_d000, 0x3d2b_bdbf_7fdb_fa09],
    [0x3ff3_4000_0000_0000, 0xbfc7_ab89_0210_e000, 0x3d2b_db90_7253_4a58],
    [0x3ff3_4000_0000_0000, 0xbfc7_ab89_0210_e000, 0x3d2b_db90_7253_4a58],
    [0x3ff3_2000_0000_0000, 0xbfc6_d60f_e719_d000, 0xbd10_e46a_a3b2_e266],
    [0x3ff3_0000_0000_0000, 0xbfc5_ff30_70a7_9000, 0xbd1e_9e43_9f10_5039],
    [0x3ff3_0000_0000_0000, 0xbfc5_ff30_70a7_9000, 0xbd1e_9e43_9f10_5039],
    [0x3ff2_e000_0000_0000, 0xbfc5_26e5_e3a1_b000, 0xbd20_de8b_9007_5b8f],
    [0x3ff2_c000_0000_0000, 0xbfc4_4d2b_6ccb_8000, 0x3d17_0cc1_6135_783c],
    [0x3ff2_c000_0000_0000, 0xbfc4_4d2b_6ccb_8000, 0x3d17_0cc1_6135_783c],
    [0x3ff2_a000_0000_0000, 0xbfc3_71fc_201e_9000, 0x3cf1_7886_4d27_543a],
    [0x3ff2_8000_0000_0000, 0xbfc2_9552_f81f_f000, 0xbd24_8d30_1771_c408],
    [0x3ff2_6000_0000_0000, 0xbfc1_b72a_d52f_6000, 0xbd2e_80a4_1811_a396],
    [0x3ff2_6000_0000_0000, 0xbfc1_b72a_d52f_6000, 0xbd2e_80a4_1811_a396],
    [0x3ff2_4000_0000_0000, 0xbfc0_d77e_7cd0_9000, 0x3d0a_6996_88e8_5bf4],
    [0x3ff2_4000_0000_0000, 0xbfc0_d77e_7cd0_9000, 0x3d0a_6996_88e8_5bf4],
    [0x3ff2_2000_0000_0000, 0xbfbf_ec91_31db_e000, 0xbd25_7554_5ca3_33f2],
    [0x3ff2_0000_0000_0000, 0xbfbe_2707_6e2b_0000, 0x3d2a_342c_2af0_003c],
    [0x3ff2_0000_0000_0000, 0xbfbe_2707_6e2b_0000, 0x3d2a_342c_2af0_003c],
    [0x3ff1_e000_0000_0000, 0xbfbc_5e54_8f5b_c000, 0xbd1d_0c57_585f_be06],
    [0x3ff1_c000_0000_0000, 0xbfba_926d_3a4a_e000, 0x3d25_3935_e85b_aac8],
    [0x3ff1_c000_0000_0000, 0xbfba_926d_3a4a_e000, 0x3d25_3935_e85b_aac8],
    [0x3ff1_a000_0000_0000, 0xbfb8_c345_d631_a000, 0x3d13_7c29_4d2f_5668],
    [0x3ff1_a000_0000_0000, 0xbfb8_c345_d631_a000, 0x3d13_7c29_4d2f_5668],
    [0x3ff1_8000_0000_0000, 0xbfb6_f0d2_8ae5_6000, 0xbd26_9737_c933_73da],
    [0x3ff1_6000_0000_0000, 0xbfb5_1b07_3f06_2000, 0x3d1f_025b_61c6_5e57],
    [0x3ff1_6000_0000_0000, 0xbfb5_1b07_3f06_2000, 0x3d1f_025b_61c6_5e57],
    [0x3ff1_4000_0000_0000, 0xbfb3_41d7_961b_e000, 0x3d2c_5eda_ccf9_13df],
    [0x3ff1_4000_0000_0000, 0xbfb3_41d7_961b_e000, 0x3d2c_5eda_ccf9_13df],
    [0x3ff1_2000_0000_0000, 0xbfb1_6536_eea3_8000, 0x3d14_7c5e_768f_a309],
    [0x3ff1_0000_0000_0000, 0xbfaf_0a30_c011_8000, 0x3d2d_599e_8336_8e91],
    [0x3ff1_0000_0000_0000, 0xbfaf_0a30_c011_8000, 0x3d2d_599e_8336_8e91],
    [0x3ff0_e000_0000_0000, 0xbfab_42dd_7119_8000, 0x3d1c_827a_e5d6_704c],
    [0x3ff0_e000_0000_0000, 0xbfab_42dd_7119_8000, 0x3d1c_827a_e5d6_704c],
    [0x3ff0_c000_0000_0000, 0xbfa7_7458_f632_c000, 0xbd2c_fc46_34f2_a1ee],
    [0x3ff0_c000_0000_0000, 0xbfa7_7458_f632_c000, 0xbd2c_fc46_34f2_a1ee],
    [0x3ff0_a000_0000_0000, 0xbfa3_9e87_b9fe_c000, 0x3cf5_02b7_f526_feaa],
    [0x3ff0_a000_0000_0000, 0xbfa3_9e87_b9fe_c000, 0x3cf5_02b7_f526_feaa],
    [0x3ff0_8000_0000_0000, 0xbf9f_829b_0e78_0000, 0xbd29_8026_7c7e_09e4],
    [0x3ff0_8000_0000_0000, 0xbf9f_829b_0e78_0000, 0xbd29_8026_7c7e_09e4],
    [0x3ff0_6000_0000_0000, 0xbf97_b91b_07d5_8000, 0xbd28_8d54_93fa_a639],
    [0x3ff0_4000_0000_0000, 0xbf8f_c0a8_b0fc_0000, 0xbcdf_1e7c_f6d3_a69c],
    [0x3ff0_4000_0000_0000, 0xbf8f_c0a8_b0fc_0000, 0xbcdf_1e7c_f6d3_a69c],
    [0x3ff0_2000_0000_0000, 0xbf7f_e02a_6b10_0000, 0xbd19_e23f_0dda_40e4],
    [0x3ff0_2000_0000_0000, 0xbf7f_e02a_6b10_0000, 0xbd19_e23f_0dda_40e4],
    [0x3ff0_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000],
    [0x3ff0_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000],
    [0x3fef_c000_0000_0000, 0x3f80_1015_7589_0000, 0xbd10_c76b_999d_2be8],
    [0x3fef_8000_0000_0000, 0x3f90_2056_5893_8000, 0xbd23_dc5b_06e2_f7d2],
    [0x3fef_4000_0000_0000, 0x3f98_4925_28c9_0000, 0xbd2a_a0ba_325a_0c34],
    [0x3fef_0000_0000_0000, 0x3fa0_415d_89e7_4000, 0x3d01_11c0_5cf1_d753],
    [0x3fee_c000_0000_0000, 0x3fa4_66ae_d42e_0000, 0xbd2c_1673_75bd_fd28],
    [0x3fee_8000_0000_0000, 0x3fa8_94aa_149f_c000, 0xbd19_7995_d05a_267d],
    [0x3fee_4000_0000_0000, 0x3fac_cb73_cddd_c000, 0xbd1a_68f2_47d8_2807],
    [0x3fee_2000_0000_0000, 0x3fae_ea31_c006_c000, 0xbd0e_113e_4fc9_3b7b],
    [0x3fed_e000_0000_0000, 0x3fb1_973b_d146_6000, 0xbd25_325d_560d_9e9b],
    [0x3fed_a000_0000_0000, 0x3fb3_bdf5_a7d1_e000, 0x3d2c_c85e_a5db_4ed7],
    [0x3fed_6000_0000_0000, 0x3fb5_e95a_4d97_a000, 0xbd2c_6906_3c5d_1d1e],
    [0x3fed_4000_0000_0000, 0x3fb7_00d3_0aea_c000, 0x3cec_1e8d_a99d_ed32],
    [0x3fed_0000_0000_0000, 0x3fb9_335e_5d59_4000, 0x3d23_115c_3abd_47da],
    [0x3fec_c000_0000_0000, 0x3fbb_6ac8_8dad_6000, 0xbd13_9080_2bf7_68e5],
    [0x3fec_a000_0000_0000, 0x3fbc_8858_01bc_4000, 0x3d26_46d1_c65a_acd3],
    [0x3fec_6000_0000_0000, 0x3fbe_c739_830a_2000, 0xbd2d_c068_afe6_45e0],
    [0x3fec_4000_0000_0000, 0x3fbf_e891_39db_e000, 0xbd25_34d6_4fa1_0afd],
    [0x3fec_0000_0000_0000, 0x3fc1_178e_8227_e000, 0x3d21_ef78_ce2d_07f2],
    [0x3feb_e000_0000_0000, 0x3fc1_aa2b_7e23_f000, 0x3d2c_a78e_4438_9934],
    [0x3feb_a000_0000_0000, 0x3fc2_d161_0c86_8000, 0x3d03_9d6c_cb81_b4a1],
    [0x3feb_8000_0000_0000, 0x3fc3_65fc_b015_9000, 0x3cc6_2fa8_234b_7289],
    [0x3feb_4000_0000_0000, 0x3fc4_913d_8333_b000, 0x3d25_8379_54fd_b678],
    [0x3feb_2000_0000_0000, 0x3fc5_27e5_e4a1_b000, 0x3d26_33e8_e569_7dc7],
    [0x3fea_e000_0000_0000, 0x3fc6_574e_be8c_1000, 0x3d19_cf8b_2c3c_2e78],
    [0x3fea_c000_0000_0000, 0x3fc6_f012_8b75_7000, 0xbd25_118d_e59c_21e1],
    [0x3fea_a000_0000_0000, 0x3fc7_898d_8544_5000, 0xbd1c_6610_7091_4305],
    [0x3fea_6000_0000_0000, 0x3fc8_beaf_eb39_0000, 0xbd07_3d54_aae9_2cd1],
    [0x3fea_4000_0000_0000, 0x3fc9_5a5a_dcf7_0000, 0x3d07_f228_58a0_ff6f],
    [0x3fea_0000_0000_0000, 0x3fca_93ed_3c8a_e000, 0xbd28_7243_5056_2169],
    [0x3fe9_e000_0000_0000, 0x3fcb_31d8_575b_d000, 0xbd0c_358d_4eac_e1aa],
    [0x3fe9_c000_0000_0000, 0x3fcb_d087_383b_e000, 0xbd2d_4bc4_5954_12b6],
    [0x3fe9_a000_0000_0000, 0x3fcc_6ffb_c6f0_1000, 0xbcf1_ec72_c596_2bd2],
    [0x3fe9_6000_0000_0000, 0x3fcd_b13d_b0d4_9000, 0xbd2a_ff2a_f715_b035],
    [0x3fe9_4000_0000_0000, 0x3fce_530e_ffe7_1000, 0x3cc2_1227_6041_f430],
    [0x3fe9_2000_0000_0000, 0x3fce_f5ad_e4dd_0000, 0xbcca_2115_65bb_8e11],
    [0x3fe9_0000_0000_0000, 0x3fcf_991c_6cb3_b000, 0x3d1b_cbec_ca0c_df30],
    [0x3fe8_c000_0000_0000, 0x3fd0_7138_604d_5800, 0x3cf8_9cdb_16ed_4e91],
    [0x3fe8_a000_0000_0000, 0x3fd0_c42d_6761_6000, 0x3d27_188b_163c_eae9],
    [0x3fe8_8000_0000_0000, 0x3fd1_178e_8227_e800, 0xbd2c_210e_63a5_f01c],
    [0x3fe8_6000_0000_0000, 0x3fd1_6b5c_cbac_f800, 0x3d2b_9acd_f7a5_1681],
    [0x3fe8_4000_0000_0000, 0x3fd1_bf99_635a_6800, 0x3d2c_a6ed_5147_bdb7],
    [0x3fe8_2000_0000_0000, 0x3fd2_1445_6d0e_b800, 0x3d0a_87de_ba46_baea],
    [0x3fe7_e000_0000_0000, 0x3fd2_bef0_7cdc_9000, 0x3d2a_9cfa_4a50_04f4],
    [0x3fe7_c000_0000_0000, 0x3fd3_14f1_e1d3_6000, 0xbd28_e27a_d321_3cb8],
    [0x3fe7_a000_0000_0000, 0x3fd3_6b67_76be_1000, 0x3d11_6ecd_b0f1_77c8],
    [0x3fe7_8000_0000_0000, 0x3fd3_c252_7733_3000, 0x3d18_3b54_b606_bd5c],
    [0x3fe7_6000_0000_0000, 0x3fd4_19b4_23d5_e800, 0x3d08_e436_ec90_e09d],
    [0x3fe7_4000_0000_0000, 0x3fd4_718d_c271_c800, 0xbd2f_27ce_0967_d675],
    [0x3fe7_2000_0000_0000, 0x3fd4_c9e0_9e17_3000, 0xbd2e_2089_1b0a_d8a4],
    [0x3fe7_0000_0000_0000, 0x3fd5_22ae_0738_a000, 0x3d2e_be70_8164_c759],
    [0x3fe6_e000_0000_0000, 0x3fd5_7bf7_53c8_d000, 0x3d1f_aded_ee5d_40ef],
    [0x3fe6_c000_0000_0000, 0x3fd5_d5bd_df59_6000, 0xbd0a_0b2a_08a4_65dc],
];

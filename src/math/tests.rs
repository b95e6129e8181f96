//! Stored values of the reference's C library for every platform; on Linux with glibc also that library itself, over
//! all of f32 (every 4093rd in an unoptimised build) and many f64.

use rayon::prelude::*;

use super::*;

fn same32(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn same64(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// The arguments of a table for which `f` gives another value than the table.
fn wrong32(table: &[(u32, u32)], f: fn(f32) -> f32) -> Vec<f32> {
    let wrong = |&(x, y): &(u32, u32)| !same32(f(f32::from_bits(x)), f32::from_bits(y));
    table.iter().filter(|pair| wrong(pair)).map(|pair| f32::from_bits(pair.0)).collect()
}

fn wrong64(table: &[(u64, u64)], f: fn(f64) -> f64) -> Vec<f64> {
    let wrong = |&(x, y): &(u64, u64)| !same64(f(f64::from_bits(x)), f64::from_bits(y));
    table.iter().filter(|pair| wrong(pair)).map(|pair| f64::from_bits(pair.0)).collect()
}

#[test]
fn every_function_has_the_values_of_the_reference() {
    assert_eq!(wrong32(EXPF, expf), []);
    assert_eq!(wrong32(LOGF, logf), []);
    assert_eq!(wrong32(LOG1PF, log1pf), []);
    assert_eq!(wrong32(EXPM1F, expm1f), []);
    assert_eq!(wrong64(EXP, exp), []);
    assert_eq!(wrong64(LOG1P, log1p), []);
    for f in [expf, logf, log1pf, expm1f] {
        assert!(f(f32::NAN).is_nan());
    }
    for f in [logf, log1pf] {
        assert!(f(-1.5).is_nan() && f(f32::NEG_INFINITY).is_nan());
    }
    assert!(exp(f64::NAN).is_nan() && log1p(f64::NAN).is_nan());
    assert!(log1p(-1.5).is_nan() && log1p(f64::NEG_INFINITY).is_nan());
}

/// Compares with this machine's C library, if that is the reference by the table; another version says so.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod against_the_c_library {
    use super::*;

    fn all_f32(name: &str, table: &[(u32, u32)], ours: fn(f32) -> f32, library: fn(f32) -> f32) {
        if !wrong32(table, library).is_empty() {
            eprintln!("{name}: the C library of this machine is not the reference: not compared");
            return;
        }
        let stride = if cfg!(debug_assertions) { 4093 } else { 1 };
        let wrong = |n: &u32| !same32(ours(f32::from_bits(n * stride)), library(f32::from_bits(n * stride)));
        let (count, first) = (0..=u32::MAX / stride)
            .into_par_iter()
            .filter(wrong)
            .fold(|| (0, None), |(count, first), n| (count + 1, first.or(Some(f32::from_bits(n * stride)))))
            .reduce(|| (0, None), |a, b| (a.0 + b.0, a.1.or(b.1)));
        assert_eq!((count, first), (0, None), "{name}");
    }

    /// Any bits; values within ±760, where `exp` is neither 0 nor infinite; values of all sizes around 1.
    fn many_f64(name: &str, table: &[(u64, u64)], ours: fn(f64) -> f64, library: fn(f64) -> f64) {
        if !wrong64(table, library).is_empty() {
            eprintln!("{name}: the C library of this machine is not the reference: not compared");
            return;
        }
        let count: u64 = if cfg!(debug_assertions) { 1 << 19 } else { 1 << 28 };
        let value = |n: u64| {
            let bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let bits = (bits ^ bits >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let bits = bits ^ bits >> 29;
            let part = bits as i64 as f64 / i64::MAX as f64;
            match n % 3 {
                0 => f64::from_bits(bits),
                1 => part * 760.0,
                _ => part * 2f64.powi((n / 3 % 64) as i32 - 56),
            }
        };
        let wrong = |x: &f64| !same64(ours(*x), library(*x));
        assert_eq!((0..count).into_par_iter().map(value).find_any(wrong), None, "{name}");
    }

    #[test]
    fn expf_is_the_same() {
        all_f32("expf", EXPF, expf, f32::exp);
    }

    #[test]
    fn logf_is_the_same() {
        all_f32("logf", LOGF, logf, f32::ln);
    }

    #[test]
    fn log1pf_is_the_same() {
        all_f32("log1pf", LOG1PF, log1pf, f32::ln_1p);
    }

    #[test]
    fn expm1f_is_the_same() {
        all_f32("expm1f", EXPM1F, expm1f, f32::exp_m1);
    }

    #[test]
    fn exp_is_the_same() {
        many_f64("exp", EXP, exp, f64::exp);
    }

    #[test]
    fn log1p_is_the_same() {
        many_f64("log1p", LOG1P, log1p, f64::ln_1p);
    }
}

/// Lengths around every chunk, far and near values mixed.
#[test]
fn slices_have_the_bits_of_single_values() {
    let wide: Vec<f64> = EXP.iter().map(|pair| f64::from_bits(pair.0)).chain([f64::NAN]).collect();
    let narrow: Vec<f32> = EXPF.iter().map(|pair| f32::from_bits(pair.0)).chain([f32::NAN]).collect();
    for length in 0..150 {
        let mut values: Vec<f64> = (0..length).map(|n| wide[(n * 7 + length) % wide.len()]).collect();
        let single: Vec<f64> = values.iter().map(|&x| exp(x)).collect();
        exp_all(&mut values);
        assert!(values.iter().zip(&single).all(|(a, b)| same64(*a, *b)), "length {length}");
        let mut values: Vec<f32> = (0..length).map(|n| narrow[(n * 7 + length) % narrow.len()]).collect();
        let single: Vec<f32> = values.iter().map(|&x| expf(x)).collect();
        expf_all(&mut values);
        assert!(values.iter().zip(&single).all(|(a, b)| same32(*a, *b)), "length {length}");
    }
}

// Pairs of bits: an argument and the C library's value. The arguments are the ends of ranges, the two f32 whose `expf`
// depends on fusing, and random ones.

#[rustfmt::skip]
const EXPF: &[(u32, u32)] = &[
    (0x0000_0000, 0x3f80_0000), (0x8000_0000, 0x3f80_0000), (0x3f80_0000, 0x402d_f854), (0xbf80_0000, 0x3ebc_5ab2),
    (0x7f80_0000, 0x7f80_0000), (0xff80_0000, 0x0000_0000), (0x0001_16c2, 0x3f80_0000), (0xb089_705f, 0x3f80_0000),
    (0x42b1_7217, 0x7f7f_ff84), (0x42b1_7218, 0x7f80_0000), (0xc2ae_ac50, 0x007f_ffe6), (0xc2cf_f1b4, 0x0000_0001),
    (0xc2cf_f1b5, 0x0000_0000), (0xc2ce_8ecf, 0x0000_0001), (0xc2cd_0000, 0x0000_0002), (0x4202_422f, 0x56fc_9f1c),
    (0xc27c_65d9, 0x11fa_2993), (0x42b1_6666, 0x7f7a_37fc), (0xc2b1_6666, 0x0020_bd47), (0x409d_506d, 0x4308_7705),
    (0x411a_be61, 0x4677_cb29), (0x413c_ec84, 0x4803_2409), (0x418d_9587, 0x4c39_2faf), (0x4119_88fc, 0x4665_c409),
    (0x4187_24dd, 0x4ba5_964f), (0xc196_b7e4, 0x31e1_f5ef), (0xbfb0_0313, 0x3e81_7115), (0x418d_dfc8, 0x4c40_0613),
    (0x40be_affb, 0x43c1_9b9d), (0x4180_49c5, 0x4b0c_9079), (0xc177_8c56, 0x344c_ed4e), (0xbf9e_5dd1, 0x3e94_9313),
];

#[rustfmt::skip]
const LOGF: &[(u32, u32)] = &[
    (0x0000_0000, 0xff80_0000), (0x8000_0000, 0xff80_0000), (0x3f80_0000, 0x0000_0000), (0x7f80_0000, 0x7f80_0000),
    (0x0000_0001, 0xc2ce_8ed0), (0x007f_66d7, 0xc2ae_aeb6), (0x3f7f_ffff, 0xb380_0000), (0x3f80_0001, 0x33ff_ffff),
    (0x3f00_0000, 0xbf31_7218), (0x4000_0000, 0x3f31_7218), (0x7f7f_c99e, 0x42b1_71ab), (0x4974_23f0, 0x415d_0c54),
    (0x3586_37bd, 0xc15d_0c55), (0x3f3d_5e31, 0xbe9a_5c51), (0x3fd0_cdde, 0x3efa_8e41), (0x3fdc_64b7, 0x3f0b_1b36),
    (0x3d21_25ac, 0xc04f_1195), (0x3f26_72d0, 0xbedc_6964), (0x3f56_a478, 0xbe34_6ec5), (0x402f_f035, 0x3f81_70a7),
    (0x5a0d_8ada, 0x4213_5977), (0x1d72_550d, 0xc23c_c169), (0x5d2c_5fbe, 0x4224_c5f6), (0x1b57_ca38, 0xc248_4f54),
];

#[rustfmt::skip]
const LOG1PF: &[(u32, u32)] = &[
    (0x0000_0000, 0x0000_0000), (0x8000_0000, 0x8000_0000), (0xbf80_0000, 0xff80_0000), (0x7f80_0000, 0x7f80_0000),
    (0x0001_16c2, 0x0001_16c2), (0x1e3c_e508, 0x1e3c_e508), (0xaedb_e6ff, 0xaedb_e6ff), (0x3ed4_13d6, 0x3eb1_721e),
    (0x3ed4_13d7, 0x3eb1_7220), (0xbe95_f61f, 0xbeb1_7220), (0xbe95_f620, 0xbeb1_7221), (0xbf7f_ffff, 0xc185_1592),
    (0x3f80_0000, 0x3f31_7218), (0x4040_0000, 0x3fb1_7218), (0x3f80_0001, 0x3f31_7219), (0x4cbe_bc20, 0x4193_5d8e),
    (0x7149_f2ca, 0x428a_27b5), (0x41cf_a9bf, 0x4052_d56a), (0x381c_7552, 0x381c_7493), (0x39a6_5ed5, 0x39a6_5813),
    (0x48a9_7e46, 0x414c_1e74), (0x46ee_3f14, 0x4125_34b6), (0x3bba_e425, 0x3bba_5c39), (0x403d_e119, 0x3fb0_6183),
    (0x3919_feea, 0x3919_fc05), (0xbebf_354f, 0xbeef_6069), (0x3b77_8be9, 0x3b77_1486), (0x3dc1_82b4, 0x3db8_e804),
    (0x3abb_b99f, 0x3abb_973d), (0x3b84_ea55, 0x3b84_a582), (0x4164_fe24, 0x402e_a209), (0x36c7_9720, 0x36c7_96f9),
];

#[rustfmt::skip]
const EXPM1F: &[(u32, u32)] = &[
    (0x0000_0000, 0x0000_0000), (0x8000_0000, 0x8000_0000), (0x7f80_0000, 0x7f80_0000), (0xff80_0000, 0xbf80_0000),
    (0x0001_16c2, 0x0001_16c2), (0x3089_705f, 0x3089_705f), (0xb586_37bd, 0xb586_37b9), (0xbdcc_cccd, 0xbdc2_e49a),
    (0x3e99_999a, 0x3eb3_20b2), (0x3f00_0000, 0x3f26_1299), (0xbf00_0000, 0xbec9_74d0), (0x3f80_0000, 0x3fdb_f0a8),
    (0xbf80_0000, 0xbf21_d2a7), (0x3fc0_0000, 0x405e_d3fe), (0xbfc0_0000, 0xbf46_e0f1), (0x40a0_0000, 0x4313_69c5),
    (0xc0a0_0000, 0xbf7e_466c), (0xc195_999a, 0xbf80_0000), (0xc196_6666, 0xbf80_0000), (0x4190_0000, 0x4c7a_7910),
    (0x4220_0000, 0x5c51_106a), (0x42b0_0000, 0x7ef8_82b7), (0x42b1_7180, 0x7f7f_b40f), (0x42b1_7181, 0x7f7f_b48f),
    (0x40a3_14cd, 0x4322_6a14), (0xbe9d_bc45, 0xbe87_c099), (0xc03c_a0bb, 0xbf72_90a0), (0xbe99_dbe6, 0xbe84_e494),
    (0x4051_94c9, 0x41cb_7bd0), (0xc0e2_d0c6, 0xbf7f_c946), (0x40f3_4040, 0x44fa_0c36), (0xc0f4_4af7, 0xbf7f_e04e),
];

#[rustfmt::skip]
const EXP: &[(u64, u64)] = &[
    (0x0000_0000_0000_0000, 0x3ff0_0000_0000_0000), (0x8000_0000_0000_0000, 0x3ff0_0000_0000_0000),
    (0x3ff0_0000_0000_0000, 0x4005_bf0a_8b14_5769), (0xbff0_0000_0000_0000, 0x3fd7_8b56_362c_ef38),
    (0x7ff0_0000_0000_0000, 0x7ff0_0000_0000_0000), (0xfff0_0000_0000_0000, 0x0000_0000_0000_0000),
    (0x0000_0000_0000_0001, 0x3ff0_0000_0000_0000), (0x3c67_0ef5_4646_d497, 0x3ff0_0000_0000_0000),
    (0xbc9c_d2b2_97d8_89bc, 0x3fef_ffff_ffff_ffff), (0x407f_ffff_9724_7454, 0x6e19_46bf_5bea_db46),
    (0x4080_0000_0000_0000, 0x6e19_4765_04ba_852e), (0xc080_0000_0000_0000, 0x11c4_4109_edb2_0931),
    (0xc082_c000_0000_0000, 0x09d4_dd4d_0d12_c071), (0x4086_2e42_fefa_39ef, 0x7fef_ffff_ffff_ff2a),
    (0x4086_2e42_fefa_39f8, 0x7ff0_0000_0000_0000), (0xc086_232b_dd7a_bcd2, 0x0010_0000_0000_007c),
    (0xc086_2333_3333_3333, 0x000f_f15b_469e_df89), (0xc086_8400_0000_0000, 0x0000_0005_cf08_fff0),
    (0xc087_4385_446d_71c3, 0x0000_0000_0000_0001), (0xc087_4910_d52d_3051, 0x0000_0000_0000_0001),
    (0xc087_4910_d52d_3052, 0x0000_0000_0000_0000), (0xc087_4999_9999_999a, 0x0000_0000_0000_0000),
    (0x7e37_e43c_8800_759c, 0x7ff0_0000_0000_0000), (0xfe37_e43c_8800_759c, 0x0000_0000_0000_0000),
    (0x4033_fbcd_5393_919c, 0x41bc_72a0_7320_ee09), (0x403b_9729_1e0a_fe28, 0x426b_f280_db3d_757e),
    (0xc043_46fd_0a41_3213, 0x3c74_c8f8_9bc8_93d9), (0x4037_04e1_6630_329e, 0x4202_801e_bc3a_b89a),
    (0xc025_6915_7879_0254, 0x3ef7_8438_61ea_557a), (0x4019_2043_31a6_3cb0, 0x4080_b4bf_231c_1e04),
    (0xc043_a309_8dbc_6334, 0x3c64_407c_f963_deff), (0xc042_2183_a976_11c7, 0x3ca9_ba3a_9f6c_0cd4),
    (0xc039_86c4_d5c3_4b70, 0x3da2_0a3f_b715_5fee), (0x4042_350a_cbc5_9ffc, 0x4337_2e4d_642a_7ec5),
    (0xc038_473c_76cf_4eb1, 0x3dbf_6cf0_0922_0237), (0x4034_757b_5275_fb6e, 0x41c6_e11b_2b83_665d),
    (0x4041_2fab_a418_f384, 0x4308_10e9_23dd_fcb9), (0x4041_ae87_604f_9f74, 0x4320_3598_a1f2_b19e),
    (0xc086_e210_1fad_09a3, 0x0000_0000_0002_fad2), (0xc086_defb_30a9_f83e, 0x0000_0000_0004_614d),
    (0xc086_acb0_31e0_b788, 0x0000_0000_0931_8f63), (0xc086_626b_e7ec_dfe3, 0x0000_0182_52ad_1858),
];

#[rustfmt::skip]
const LOG1P: &[(u64, u64)] = &[
    (0x0000_0000_0000_0000, 0x0000_0000_0000_0000), (0x8000_0000_0000_0000, 0x8000_0000_0000_0000),
    (0xbff0_0000_0000_0000, 0xfff0_0000_0000_0000), (0x7ff0_0000_0000_0000, 0x7ff0_0000_0000_0000),
    (0x0000_0000_0000_0001, 0x0000_0000_0000_0001), (0x3c32_725d_d1d2_43ac, 0x3c32_725d_d1d2_43ac),
    (0x3ddb_7cdf_d9d7_bdbb, 0x3ddb_7cdf_d9d1_d693), (0xbe11_2e0b_e826_d695, 0xbe11_2e0b_e84b_bb51),
    (0x3fda_8279_9996_60f7, 0x3fd6_2e42_feb1_b564), (0x3fda_8279_99fe_d517, 0x3fd6_2e42_fefb_9183),
    (0xbfd2_beb5_b2d4_d402, 0xbfd6_2e2f_e738_33b5), (0xbfd2_bec3_3334_cf84, 0xbfd6_2e42_ff42_be7a),
    (0xbfef_ffff_ffff_dcd1, 0xc03b_a18c_0cb5_1d2a), (0x3ff0_0000_0000_0000, 0x3fe6_2e42_fefa_39ef),
    (0x4008_0000_0000_0000, 0x3ff6_2e42_fefa_39ef), (0x3ff0_0000_0000_0001, 0x3fe6_2e42_fefa_39f0),
    (0x4341_c379_37e0_8000, 0x4042_6bb1_bbb5_5516), (0x7e37_e43c_8800_759c, 0x4085_9634_47f8_7fb5),
    (0x3ea6_7b41_94ca_d2cd, 0x3ea6_7b41_1670_2f16), (0x3ff0_0000_1ad7_f29b, 0x3fe6_2e43_19d2_2c7f),
    (0x3eaa_7125_7e2a_3cfd, 0x3eaa_7124_cf5e_db12), (0x42e4_b69d_da18_b6db, 0x4040_6b05_8dd8_5990),
    (0x407f_4bbf_f400_b17a, 0x4018_df4d_f53a_8918), (0x3f3b_2969_7dd5_e7b9, 0x3f3b_27f8_b671_b68e),
    (0x4338_b95f_49f9_649a, 0x4042_3d4a_bee6_0586), (0x3f9c_1181_588e_0b39, 0x3f9b_b0ca_1574_bd20),
    (0x3fd1_64e9_5b89_b790, 0x3fce_c61b_809e_ff72), (0x3fc7_835e_0c22_5196, 0x3fc5_9611_261a_27bc),
    (0x4195_4bce_f8ca_91f2, 0x4032_4ec9_91be_1217), (0x43aa_16fc_5651_06f0, 0x4044_b13b_d8f1_97f6),
    (0x421c_1517_741c_9cd1, 0x4038_212a_b7cf_783b), (0xbfe0_1763_2abe_8e81, 0xbfe6_5d2b_a56d_a94e),
    (0x3e3d_2105_15cd_5e94, 0x3e3d_2105_1425_1ee0), (0xbef7_c894_c630_0fbb, 0xbef7_c8a6_7380_b782),
];

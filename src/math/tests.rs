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

fn wrong_powf(f: fn(f32, f32) -> f32) -> Vec<(f32, f32)> {
    let arguments = |&(x, y, _): &(u32, u32, u32)| (f32::from_bits(x), f32::from_bits(y));
    let wrong = |power: &&(u32, u32, u32)| {
        let (x, y) = arguments(power);
        !same32(f(x, y), f32::from_bits(power.2))
    };
    POWF.iter().filter(wrong).map(arguments).collect()
}

fn wrong_pow(f: fn(f64, f64) -> f64) -> Vec<(f64, f64)> {
    let arguments = |&(x, y, _): &(u64, u64, u64)| (f64::from_bits(x), f64::from_bits(y));
    let wrong = |power: &&(u64, u64, u64)| {
        let (x, y) = arguments(power);
        !same64(f(x, y), f64::from_bits(power.2))
    };
    POW.iter().filter(wrong).map(arguments).collect()
}

#[test]
fn every_function_has_the_values_of_the_reference() {
    assert_eq!(wrong32(EXPF, expf), [0.0f32; 0]);
    assert_eq!(wrong32(LOGF, logf), [0.0f32; 0]);
    assert_eq!(wrong32(LOG1PF, log1pf), [0.0f32; 0]);
    assert_eq!(wrong32(EXPM1F, expm1f), [0.0f32; 0]);
    assert_eq!(wrong64(EXP, exp), [0.0f64; 0]);
    assert_eq!(wrong64(LOG1P, log1p), [0.0f64; 0]);
    assert_eq!(wrong32(EXP2F, exp2f), [0.0f32; 0]);
    assert_eq!(wrong64(EXP2, exp2), [0.0f64; 0]);
    assert_eq!(wrong_powf(powf), []);
    assert_eq!(wrong_pow(pow), []);
    for f in [expf, exp2f, logf, log1pf, expm1f] {
        assert!(f(f32::NAN).is_nan());
    }
    for f in [logf, log1pf] {
        assert!(f(-1.5).is_nan() && f(f32::NEG_INFINITY).is_nan());
    }
    assert!(exp(f64::NAN).is_nan() && exp2(f64::NAN).is_nan() && log1p(f64::NAN).is_nan());
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

    /// Bits that look random.
    fn scattered(n: u64) -> u64 {
        let bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = (bits ^ bits >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits ^ bits >> 29
    }

    /// Any bits; values within ±760, where `exp` is neither 0 nor infinite; values of all sizes around 1.
    fn many_f64(name: &str, table: &[(u64, u64)], ours: fn(f64) -> f64, library: fn(f64) -> f64) {
        if !wrong64(table, library).is_empty() {
            eprintln!("{name}: the C library of this machine is not the reference: not compared");
            return;
        }
        let count: u64 = if cfg!(debug_assertions) { 1 << 19 } else { 1 << 28 };
        let value = |n: u64| {
            let bits = scattered(n);
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

    #[test]
    fn exp2f_is_the_same() {
        all_f32("exp2f", EXP2F, exp2f, f32::exp2);
    }

    #[test]
    fn exp2_is_the_same() {
        many_f64("exp2", EXP2, exp2, f64::exp2);
    }

    /// Any bits; powers of moderate size; whole numbers of both signs; bases near 1.
    fn arguments(n: u64) -> (f64, f64) {
        let [x, y] = [scattered(n), scattered(!n)];
        let [part_x, part_y] = [x, y].map(|bits| bits as i64 as f64 / i64::MAX as f64);
        match n % 4 {
            0 => (f64::from_bits(x), f64::from_bits(y)),
            1 => (part_x.abs() * 10.0, part_y * 30.0),
            2 => ((part_x * 20.0).round(), (part_y * 40.0).round()),
            _ => (1.0 + part_x * 1e-3, part_y * 1e6),
        }
    }

    #[test]
    fn powers_are_the_same() {
        // Hidden, or the compiler would call `exp2` for powers of 2.
        let library = |x: f64, y: f64| std::hint::black_box(x).powf(y);
        let library_f32 = |x: f32, y: f32| std::hint::black_box(x).powf(y);
        if !wrong_pow(library).is_empty() || !wrong_powf(library_f32).is_empty() {
            eprintln!("pow: the C library of this machine is not the reference: not compared");
            return;
        }
        let count: u64 = if cfg!(debug_assertions) { 1 << 19 } else { 1 << 26 };
        let wrong = |&(x, y): &(f64, f64)| {
            let (narrow_x, narrow_y) = (x as f32, y as f32);
            !same64(pow(x, y), library(x, y)) || !same32(powf(narrow_x, narrow_y), library_f32(narrow_x, narrow_y))
        };
        assert_eq!((0..count).into_par_iter().map(arguments).find_any(wrong), None);
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

#[rustfmt::skip]
const EXP2F: &[(u32, u32)] = &[
    (0x0000_0000, 0x3f80_0000), (0x8000_0000, 0x3f80_0000), (0x3f80_0000, 0x4000_0000), (0xbf80_0000, 0x3f00_0000),
    (0x7f80_0000, 0x7f80_0000), (0xff80_0000, 0x0000_0000), (0x0000_0001, 0x3f80_0000), (0x3089_705f, 0x3f80_0000),
    (0xb089_705f, 0x3f80_0000), (0x42fe_0000, 0x7f00_0000), (0x42ff_ffff, 0x7f7f_ffa7), (0x4300_0000, 0x7f80_0000),
    (0x4301_0000, 0x7f80_0000), (0xc2fb_cccd, 0x0089_2fd6), (0xc2fc_0000, 0x0080_0000), (0xc2fd_0000, 0x005a_827a),
    (0xc30c_4000, 0x0000_01af), (0xc315_0000, 0x0000_0001), (0xc315_8000, 0x0000_0001), (0xc316_0000, 0x0000_0000),
    (0xc316_8000, 0x0000_0000), (0xc317_0000, 0x0000_0000), (0x7149_f2ca, 0x7f80_0000), (0xf149_f2ca, 0x0000_0000),
    (0x4124_8e16, 0x449b_ec43), (0xc1d1_43d1, 0x3265_6d1d), (0x4177_e6aa, 0x4734_3eb0), (0x40ae_e944, 0x4230_ccd0),
    (0xc13e_c876, 0x3986_ede3), (0xc1e1_1d47, 0x3168_7039), (0x41af_73fd, 0x4a74_26e0), (0xbfd1_4979, 0x3ea4_d7b4),
    (0xbfe8_0122, 0x3e91_c2ef), (0xc040_f3dc, 0x3dfd_5f5b), (0xbfe4_fa09, 0x3e94_2bc8), (0xc068_3026, 0x3da5_a85e),
    (0xbf37_c255, 0x3f1b_a735), (0xc013_90a3, 0x3e4f_1dc4), (0xbf57_1409, 0x3f0e_ff79), (0xc07a_bca9, 0x3d87_8212),
];

#[rustfmt::skip]
const EXP2: &[(u64, u64)] = &[
    (0x0000_0000_0000_0000, 0x3ff0_0000_0000_0000), (0x8000_0000_0000_0000, 0x3ff0_0000_0000_0000),
    (0x3ff0_0000_0000_0000, 0x4000_0000_0000_0000), (0xbff0_0000_0000_0000, 0x3fe0_0000_0000_0000),
    (0x7ff0_0000_0000_0000, 0x7ff0_0000_0000_0000), (0xfff0_0000_0000_0000, 0x0000_0000_0000_0000),
    (0x0000_0000_0000_0001, 0x3ff0_0000_0000_0000), (0x3c67_0ef5_4646_d497, 0x3ff0_0000_0000_0000),
    (0xbc67_0ef5_4646_d497, 0x3ff0_0000_0000_0000), (0x407f_ffff_9724_7454, 0x5fef_ff6e_a43b_d988),
    (0x4080_0000_0000_0000, 0x5ff0_0000_0000_0000), (0xc080_0400_0000_0000, 0x1fe6_a09e_667f_3bcd),
    (0x408f_f800_0000_0000, 0x7fe0_0000_0000_0000), (0x408f_ffff_ffff_ffff, 0x7fef_ffff_ffff_fd3a),
    (0x4090_0000_0000_0000, 0x7ff0_0000_0000_0000), (0x4090_0400_0000_0000, 0x7ff0_0000_0000_0000),
    (0xc08f_ef33_3333_3333, 0x0011_25fb_ee25_06b0), (0xc08f_f000_0000_0000, 0x0010_0000_0000_0000),
    (0xc08f_f400_0000_0000, 0x000b_504f_333f_9de6), (0xc090_6900_0000_0000, 0x0000_0000_00d7_44fd),
    (0xc090_c800_0000_0000, 0x0000_0000_0000_0001), (0xc090_ca00_0000_0000, 0x0000_0000_0000_0001),
    (0xc090_cc00_0000_0000, 0x0000_0000_0000_0000), (0xc090_ce00_0000_0000, 0x0000_0000_0000_0000),
    (0x7e37_e43c_8800_759c, 0x7ff0_0000_0000_0000), (0xfe37_e43c_8800_759c, 0x0000_0000_0000_0000),
    (0x408d_0000_0000_0000, 0x79f0_0000_0000_0000), (0xc08d_00cc_cccc_cccd, 0x05ed_db68_0117_aa8e),
    (0xc02f_71ba_061c_4248, 0x3ef3_6608_002d_7124), (0x4005_3ae3_1fd3_4b40, 0x4019_2c0e_9110_8698),
    (0xc01f_35f4_5e85_8b40, 0x3f72_584d_bf70_5600), (0x4018_f0d8_e038_bb28, 0x4052_d549_3b30_4d59),
    (0x401e_2c41_676c_f1a8, 0x4067_50c5_6ff6_2d7c), (0xc03a_117a_0a75_3fb9, 0x3e4e_8561_f542_108d),
    (0xc03d_35bd_59af_1195, 0x3e1b_aaad_e32c_a1a7), (0x4034_3f86_6d04_ed14, 0x4133_00bb_a96c_ca03),
    (0xbfdb_7328_15bf_22c5, 0x3fe7_c53b_3a79_e9f0), (0xbfd8_6972_f098_93fb, 0x3fe8_90c7_11ec_b966),
    (0xc01f_10aa_8b06_6643, 0x3f72_d059_85e0_bfa4), (0xbfed_0bb5_ab57_5113, 0x3fe1_0ead_b21e_556d),
    (0xc004_b19c_293c_a1b9, 0x3fc5_4eab_ad57_d219), (0xbfed_9305_8a40_8dc2, 0x3fe0_dcf8_1153_8495),
    (0xbff7_4afe_118d_003e, 0x3fd7_54cc_5f5e_ab16), (0xbfcd_d9b4_14f5_7925, 0x3feb_3947_7397_0105),
    (0xc090_4054_a5d1_5494, 0x0000_0003_c6f9_d831), (0xc090_0d07_b034_8a1e, 0x0000_6b13_776c_1469),
    (0xc090_58e6_6f29_c6d8, 0x0000_0000_0db0_6f9f), (0xc090_28ec_b209_955e, 0x0000_00da_19d6_5889),
];

#[rustfmt::skip]
const POWF: &[(u32, u32, u32)] = &[
    (0x0000_0000, 0x4040_0000, 0x0000_0000), (0x8000_0000, 0x4040_0000, 0x8000_0000), (0x8000_0000, 0xc040_0000, 0xff80_0000),
    (0x0000_0000, 0xbf00_0000, 0x7f80_0000), (0x8000_0000, 0x4000_0000, 0x0000_0000), (0x7f80_0000, 0xbf80_0000, 0x0000_0000),
    (0xff80_0000, 0x4040_0000, 0xff80_0000), (0xff80_0000, 0x4020_0000, 0x7f80_0000), (0x3f00_0000, 0x7f80_0000, 0x0000_0000),
    (0x4000_0000, 0x7f80_0000, 0x7f80_0000), (0x4000_0000, 0xff80_0000, 0x0000_0000), (0xbf80_0000, 0x7f80_0000, 0x3f80_0000),
    (0xc000_0000, 0x4040_0000, 0xc100_0000), (0xc000_0000, 0x4080_0000, 0x4180_0000), (0xc000_0000, 0xc486_6000, 0x8000_0000),
    (0xc000_0000, 0x3f00_0000, 0xffc0_0000), (0x3f80_0000, 0x7fc0_0000, 0x3f80_0000), (0x7fc0_0000, 0x0000_0000, 0x3f80_0000),
    (0x7fc0_0000, 0x3f80_0000, 0x7fc0_0000), (0xc100_0000, 0x3eaa_aaab, 0xffc0_0000), (0x0000_0000, 0x3f00_0000, 0x0000_0000),
    (0x0000_0000, 0xbfa0_0000, 0x7f80_0000), (0x7f61_b1e6, 0x3f80_0000, 0x7f61_b1e6), (0x4000_0000, 0x4480_0000, 0x7f80_0000),
    (0x4000_0000, 0xc486_5000, 0x0000_0000), (0x4000_0000, 0xc486_6000, 0x0000_0000), (0x4120_0000, 0x439a_4000, 0x7f80_0000),
    (0x3f80_0001, 0x5015_02f9, 0x7f80_0000), (0x3f7f_fffe, 0xd368_d4a5, 0x7f80_0000), (0x4040_0000, 0x1e3c_e508, 0x3f80_0000),
    (0x4040_0000, 0x7f61_b1e6, 0x7f80_0000), (0xbf80_0000, 0x7f61_b1e6, 0x3f80_0000), (0xbf80_0000, 0x5a00_0000, 0x3f80_0000),
    (0x4000_0000, 0x5f01_103d, 0x7f80_0000), (0x3f80_0000, 0x7f61_b1e6, 0x3f80_0000), (0x3dcc_cccd, 0x43a1_cccd, 0x0000_0000),
    (0x410c_9e61, 0xc1c1_38d0, 0x1999_df7e), (0x3fae_0a47, 0xc187_d8a5, 0x3bb1_a419), (0x411a_7a11, 0xc075_2370, 0x3931_510c),
    (0x40c8_8707, 0xc13f_03cd, 0x2fa7_dd3a), (0x40a2_5158, 0xc0db_2304, 0x3778_8857), (0x4060_952d, 0x40a3_57a0, 0x4417_a879),
    (0x40ba_f5e8, 0x41c2_0450, 0x5e58_cb0f), (0x40da_3bfa, 0x41cd_e4d6, 0x631b_d6c7), (0x4109_062b, 0x41eb_accf, 0x6d1a_b9f6),
    (0x40d6_cebb, 0xc1a1_b652, 0x23b1_cbdd), (0x4000_0000, 0xc07c_3f25, 0x3d85_4f79), (0x4000_0000, 0xc0d5_e2e9, 0x3c1f_597b),
    (0x4000_0000, 0xc096_7199, 0x3d1d_6fef), (0x4000_0000, 0xbfd7_868a, 0x3e9f_5de2), (0x4000_0000, 0xc020_24d4, 0x3e34_bcce),
    (0x4000_0000, 0xbef2_d6c3, 0x3f38_4608), (0x3f80_15bb, 0x4665_c9e2, 0x4685_f452), (0x3f7f_e3d0, 0xc7aa_85f1, 0x5a91_c05a),
    (0x3f80_1732, 0x47bf_549a, 0x7180_8477), (0x3f7f_ca11, 0x476a_d710, 0x1bc0_fb41), (0x3f7f_f444, 0xc788_6b76, 0x4883_fe77),
    (0x3f7f_e4fc, 0x4751_fe61, 0x2f82_01ab), (0xc1e0_0000, 0xc1c8_0000, 0x8361_5dbb), (0xc000_0000, 0x4214_0000, 0xd200_0000),
    (0xc1a0_0000, 0xc20c_0000, 0x8000_0000), (0xc150_0000, 0x420c_0000, 0xff80_0000), (0x4000_0000, 0x4300_0000, 0x7f80_0000),
    (0x4000_0000, 0x42ff_ffff, 0x7f7f_ffa7), (0x4000_0000, 0xc315_8000, 0x0000_0001), (0x4000_0000, 0xc316_0000, 0x0000_0000),
    (0x0000_0001, 0x3f00_0000, 0x1a35_04f3),
];

#[rustfmt::skip]
const POW: &[(u64, u64, u64)] = &[
    (0x0000_0000_0000_0000, 0x4008_0000_0000_0000, 0x0000_0000_0000_0000),
    (0x8000_0000_0000_0000, 0x4008_0000_0000_0000, 0x8000_0000_0000_0000),
    (0x8000_0000_0000_0000, 0xc008_0000_0000_0000, 0xfff0_0000_0000_0000),
    (0x0000_0000_0000_0000, 0xbfe0_0000_0000_0000, 0x7ff0_0000_0000_0000),
    (0x8000_0000_0000_0000, 0x4000_0000_0000_0000, 0x0000_0000_0000_0000),
    (0x7ff0_0000_0000_0000, 0xbff0_0000_0000_0000, 0x0000_0000_0000_0000),
    (0xfff0_0000_0000_0000, 0x4008_0000_0000_0000, 0xfff0_0000_0000_0000),
    (0xfff0_0000_0000_0000, 0x4004_0000_0000_0000, 0x7ff0_0000_0000_0000),
    (0x3fe0_0000_0000_0000, 0x7ff0_0000_0000_0000, 0x0000_0000_0000_0000),
    (0x4000_0000_0000_0000, 0x7ff0_0000_0000_0000, 0x7ff0_0000_0000_0000),
    (0x4000_0000_0000_0000, 0xfff0_0000_0000_0000, 0x0000_0000_0000_0000),
    (0xbff0_0000_0000_0000, 0x7ff0_0000_0000_0000, 0x3ff0_0000_0000_0000),
    (0xc000_0000_0000_0000, 0x4008_0000_0000_0000, 0xc020_0000_0000_0000),
    (0xc000_0000_0000_0000, 0x4010_0000_0000_0000, 0x4030_0000_0000_0000),
    (0xc000_0000_0000_0000, 0xc090_cc00_0000_0000, 0x8000_0000_0000_0000),
    (0xc000_0000_0000_0000, 0x3fe0_0000_0000_0000, 0xfff8_0000_0000_0000),
    (0x3ff0_0000_0000_0000, 0x7ff8_0000_0000_0000, 0x3ff0_0000_0000_0000),
    (0x7ff8_0000_0000_0000, 0x0000_0000_0000_0000, 0x3ff0_0000_0000_0000),
    (0x7ff8_0000_0000_0000, 0x3ff0_0000_0000_0000, 0x7ff8_0000_0000_0000),
    (0xc020_0000_0000_0000, 0x3fd5_5555_5555_5555, 0xfff8_0000_0000_0000),
    (0x0000_0000_0000_0001, 0x3fe0_0000_0000_0000, 0x1e60_0000_0000_0000),
    (0x0000_3739_a252_b281, 0xbff4_0000_0000_0000, 0x7ff0_0000_0000_0000),
    (0x7fee_42d1_3077_3b76, 0x3ff0_0000_0000_0000, 0x7fee_42d1_3077_3b76),
    (0x4000_0000_0000_0000, 0x4090_0000_0000_0000, 0x7ff0_0000_0000_0000),
    (0x4000_0000_0000_0000, 0xc090_ca00_0000_0000, 0x0000_0000_0000_0001),
    (0x4000_0000_0000_0000, 0xc090_cc00_0000_0000, 0x0000_0000_0000_0000),
    (0x4024_0000_0000_0000, 0x4073_4800_0000_0000, 0x7ff0_0000_0000_0000),
    (0x3ff0_0000_1ad7_f29b, 0x4202_a05f_2000_0000, 0x7ff0_0000_0000_0000),
    (0x3fef_ffff_ca50_1acb, 0xc26d_1a94_a200_0000, 0x7ff0_0000_0000_0000),
    (0x4008_0000_0000_0000, 0x3bc7_9ca1_0c92_4223, 0x3ff0_0000_0000_0000),
    (0x4008_0000_0000_0000, 0x7e37_e43c_8800_759c, 0x7ff0_0000_0000_0000),
    (0xbff0_0000_0000_0000, 0x7e37_e43c_8800_759c, 0x3ff0_0000_0000_0000),
    (0xbff0_0000_0000_0000, 0x433f_ffff_ffff_ffff, 0xbff0_0000_0000_0000),
    (0x4000_0000_0000_0000, 0x43e0_2207_973f_6440, 0x7ff0_0000_0000_0000),
    (0x3ff0_0000_0000_0000, 0x7e37_e43c_8800_759c, 0x3ff0_0000_0000_0000),
    (0x3fb9_9999_9999_999a, 0x4074_3999_9999_999a, 0x0000_0000_0000_0001),
    (0x4021_93cc_1be9_eebe, 0xc038_271a_0fbb_1901, 0x3b33_3bed_a9d8_dd84),
    (0x3ff5_c148_d5e5_cd93, 0xc030_fb14_a110_ad13, 0x3f76_3483_b821_2655),
    (0x4023_4f42_20ae_1b3c, 0xc00e_a46e_0942_fb30, 0x3f26_2a21_41bc_b37b),
    (0x4019_10e0_e546_b051, 0xc027_e079_a5ae_ca2c, 0x3df4_fba6_9b58_585a),
    (0x4014_4a2b_0c2a_d9c8, 0xc01b_6460_86c7_8168, 0x3eef_110a_021a_baec),
    (0x400c_12a5_9557_4dcc, 0x4014_6af4_023a_2ec0, 0x4082_f50f_0eaa_d726),
    (0x4017_5ebd_0529_7466, 0x4038_408a_0906_96bc, 0x43cb_1964_1613_dd89),
    (0x401b_477f_4094_22aa, 0x4039_bc9a_bc37_0724, 0x4463_7ad8_59b9_0491),
    (0x4021_20c5_59b2_ffb4, 0x403d_7599_d78b_2c44, 0x45a3_573c_979d_3088),
    (0x401a_d9d7_507a_52df, 0xc034_36ca_30c2_a854, 0x3c76_397f_26d1_f578),
    (0x4000_0000_0000_0000, 0xc00f_87e4_ac71_20bc, 0x3fb0_a9ef_0f2f_b998),
    (0x4000_0000_0000_0000, 0xc01a_bc5d_2ece_eb87, 0x3f83_eb2f_329e_3b83),
    (0x4000_0000_0000_0000, 0xc012_ce33_1055_6f35, 0x3fa3_adfe_2531_cef2),
    (0x4000_0000_0000_0000, 0xbffa_f0d1_3d39_727a, 0x3fd3_ebbc_48df_707c),
    (0x4000_0000_0000_0000, 0xc004_049a_7a15_45b6, 0x3fc6_9799_c6b3_2806),
    (0x4000_0000_0000_0000, 0xbfde_5ad8_653f_2850, 0x3fe7_08c0_f891_1e87),
    (0x3ff0_02b7_6ea6_e658, 0x40cc_b93c_385e_8fab, 0x40d0_c1fa_b0c9_e383),
    (0x3fef_fc7a_0bd5_3f31, 0xc0f5_50be_2733_df70, 0x4352_2f13_b129_45a3),
    (0x3ff0_02e6_456d_32b6, 0x40f7_ea93_3f6c_7b7f, 0x4630_18b4_48c1_c51d),
    (0x3fef_f942_1eaa_b04d, 0x40ed_5ae2_0e59_299b, 0x3b78_1e79_af23_5606),
    (0x3fef_fe88_731e_825e, 0xc0f1_0d6e_cd3f_8ddd, 0x4110_86e5_5f8a_478b),
    (0x3fef_fc9f_8469_52a2, 0x40ea_3fcc_141d_7dd7, 0x3df0_420c_c425_4507),
    (0xc03c_0000_0000_0000, 0xc039_0000_0000_0000, 0xb86c_2bb7_65f0_8b7c),
    (0xc000_0000_0000_0000, 0x4042_8000_0000_0000, 0xc240_0000_0000_0000),
    (0xc034_0000_0000_0000, 0xc041_8000_0000_0000, 0xb67a_95a5_b7f8_7a0f),
    (0xc02a_0000_0000_0000, 0x4041_8000_0000_0000, 0xc806_debe_370b_1f54),
];

//! One-hot categories. CatBoost knows a category by a hash of its text, the low half of CityHash64 (version 1.0) as an
//! i32 (CatBoost `catboost/libs/cat_feature/cat_feature.cpp`). Rows here are numbers, so a category is a whole number and
//! its text is its digits; which numbers a hash stands for is found by hashing them all.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::ir::CategorySet;

/// Numbers from 0 up to here are tried, as far as an f32 counts without gaps; fewer where files are tried by the thousand.
const N_CODES: u32 = if cfg!(fuzzing) { 1 << 12 } else { 1 << 24 };

/// What the hashes of a model stand for.
#[derive(Default)]
pub(super) struct Codes {
    /// The hashes of every category feature.
    of_feature: Vec<HashSet<i32>>,
    /// The numbers of all of them, once some tree asks for one.
    of_hash: OnceCell<HashMap<i32, Vec<u32>>>,
}

impl Codes {
    /// Adds the hashes of category feature `feature`, the next one.
    pub(super) fn add(&mut self, feature: usize, hashes: &[i32]) {
        debug_assert_eq!(feature, self.of_feature.len());
        self.of_feature.push(hashes.iter().copied().collect());
    }

    /// Finds the numbers of all hashes. Cost: a hash for each number there may be, some hundredths of a second.
    fn find(&self) -> HashMap<i32, Vec<u32>> {
        let mut of_hash: HashMap<_, _> = self.of_feature.iter().flatten().map(|&hash| (hash, Vec::new())).collect();
        // Nearly all hashes are told from those wanted by their low half.
        let low = |hash: i32| usize::from(hash as u16);
        let mut wanted = vec![false; 1 << 16];
        of_hash.keys().for_each(|&hash| wanted[low(hash)] = true);
        let mut try_code = |code: u32, hash: i32| {
            if wanted[low(hash)]
                && let Some(codes) = of_hash.get_mut(&hash)
            {
                codes.push(code);
            }
        };
        for code in 0..1000 {
            try_code(code, hash(code.to_string().as_bytes()));
        }
        // Of longer numbers the hash takes the first four digits and the last four.
        let four_digits: Vec<u64> = (0..10_000).map(|four| word(format!("{four:04}").as_bytes())).collect();
        for len in 4..=8 {
            let behind = 10u32.pow(len - 4);
            let end = N_CODES.min(10_000 * behind);
            for leading in 1000..end.div_ceil(behind) {
                let word = four_digits[leading as usize];
                for code in leading * behind..end.min((leading + 1) * behind) {
                    try_code(code, hash_of_words(len.into(), word, four_digits[code as usize % 10_000]));
                }
            }
        }
        of_hash
    }

    /// The numbers that `hash`, a category of feature `feature`, stands for.
    pub(super) fn set(&self, feature: usize, hash: i32) -> Result<CategorySet> {
        if !self.of_feature.get(feature).is_some_and(|hashes| hashes.contains(&hash)) {
            return Err(Error::invalid_model(format!("category {hash} is none of feature {feature}")));
        }
        match self.of_hash.get_or_init(|| self.find()).get(&hash) {
            Some(codes) if !codes.is_empty() => Ok(CategorySet::from_codes(codes)),
            _ => Err(Error::unsupported(format!(
                "a category of hash {hash} is no whole number below {N_CODES}, and rows are numbers; train on category codes"
            ))),
        }
    }
}

const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;
const MUL: u64 = 0x9ddf_ea08_eb38_2d69;

/// CatBoost's hash of a text of one to eight bytes: CityHash64 1.0, `HashLen0to16`, of which the other lengths are not
/// needed for numbers.
fn hash(text: &[u8]) -> i32 {
    let len = text.len();
    if len >= 4 {
        return hash_of_words(len as u64, word(&text[..4]), word(&text[len - 4..]));
    }
    let byte = |at: usize| u64::from(text[at]);
    let y = byte(0) + (byte(len / 2) << 8);
    let z = len as u64 + (byte(len - 1) << 2);
    mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2) as i32
}

/// Four bytes as the hash reads them.
fn word(bytes: &[u8]) -> u64 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")).into()
}

/// The hash of a text of four to eight bytes, by its first four and its last four.
fn hash_of_words(len: u64, first: u64, last: u64) -> i32 {
    hash_16(len.wrapping_add(first << 3), last) as i32
}

fn mix(value: u64) -> u64 {
    value ^ value >> 47
}

fn hash_16(low: u64, high: u64) -> u64 {
    let a = mix((low ^ high).wrapping_mul(MUL));
    mix((high ^ a).wrapping_mul(MUL)).wrapping_mul(MUL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_catboosts() {
        for (code, expected) in
            [("1", 1_121_341_681), ("4", -78_686_594), ("11", -1_558_562_249), ("yy", -1_440_182_944)]
        {
            assert_eq!(hash(code.as_bytes()), expected, "{code}");
        }
        for (code, expected) in [("12345", 151_767_304), ("1234567", 215_762_447), ("99999999", 1_199_821_221)] {
            assert_eq!(hash(code.as_bytes()), expected, "{code}");
        }
    }

    #[test]
    fn a_hash_stands_for_all_numbers_of_that_hash() {
        let codes = [0, 7, 10, 123, 999, 1000, 1001, 9999, 10_000, 45_678, 100_000, 987_654, 1_234_567, 9_999_999];
        let codes = [&codes[..], &[10_000_000, N_CODES - 1]].concat();
        let mut all = Codes::default();
        let hashes: Vec<i32> = codes.iter().map(|code| hash(code.to_string().as_bytes())).collect();
        all.add(0, &hashes);
        for &code in &codes {
            let of_code = hash(code.to_string().as_bytes());
            let found: Vec<u32> = all.set(0, of_code).unwrap().codes().collect();
            assert!(found.contains(&code), "{code}");
            assert!(found.iter().all(|code| hash(code.to_string().as_bytes()) == of_code), "{code}");
        }
        assert!(all.set(0, hash(b"yy")).unwrap_err().is_invalid_model());
    }
}

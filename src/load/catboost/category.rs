//! One-hot categories. CatBoost knows a category by a hash of its text, the low half of CityHash64 (version 1.0) as an
//! i32 (CatBoost `catboost/libs/cat_feature/cat_feature.cpp`). Rows here are numbers, so a category is a whole number and
//! its text is its digits; which numbers a hash stands for is found by hashing them all.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::ir::CategorySet;

/// Numbers from 0 up to here are tried, as far as an f32 counts without gaps.
const N_CODES: u32 = 1 << 24;

/// What the hashes of a model stand for.
#[derive(Default)]
pub(super) struct Codes {
    of_hash: HashMap<i32, Vec<u32>>,
    /// The hashes of every category feature.
    of_feature: Vec<Vec<i32>>,
}

impl Codes {
    /// Adds the hashes of category feature `feature`, the next one.
    pub(super) fn add(&mut self, feature: usize, hashes: Vec<i32>) {
        debug_assert_eq!(feature, self.of_feature.len());
        self.of_hash.extend(hashes.iter().map(|&hash| (hash, Vec::new())));
        self.of_feature.push(hashes);
    }

    /// Finds the numbers of all hashes added. Cost: a hash for each number there may be, if there is a hash to find;
    /// some tenths of a second.
    pub(super) fn find(&mut self) {
        if self.of_hash.is_empty() {
            return;
        }
        // Nearly all hashes are told from those wanted by their low half.
        let low = |hash: i32| usize::from(hash as u16);
        let mut wanted = vec![false; 1 << 16];
        self.of_hash.keys().for_each(|&hash| wanted[low(hash)] = true);
        let mut digits = Digits::zero();
        for code in 0..N_CODES {
            let hash = hash(digits.text());
            if wanted[low(hash)]
                && let Some(codes) = self.of_hash.get_mut(&hash)
            {
                codes.push(code);
            }
            digits.count();
        }
    }

    /// The numbers that `hash`, a category of feature `feature`, stands for.
    pub(super) fn set(&self, feature: usize, hash: i32) -> Result<CategorySet> {
        if !self.of_feature.get(feature).is_some_and(|hashes| hashes.contains(&hash)) {
            return Err(Error::invalid_model(format!("category {hash} is none of feature {feature}")));
        }
        match self.of_hash.get(&hash) {
            Some(codes) if !codes.is_empty() => Ok(CategorySet::from_codes(codes)),
            _ => Err(Error::unsupported(format!(
                "a category of hash {hash} is no whole number below {N_CODES}, and rows are numbers; train on category codes"
            ))),
        }
    }
}

/// A number as decimal text, counted up without being divided.
struct Digits {
    bytes: [u8; 8],
    start: usize,
}

impl Digits {
    fn zero() -> Self {
        Self { bytes: *b"00000000", start: 7 }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn count(&mut self) {
        for at in (0..self.bytes.len()).rev() {
            if self.bytes[at] < b'9' {
                self.bytes[at] += 1;
                self.start = self.start.min(at);
                return;
            }
            self.bytes[at] = b'0';
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
    let hash = if len >= 4 {
        let word = |at: usize| u64::from(u32::from_le_bytes(text[at..at + 4].try_into().expect("four bytes")));
        hash_16((len as u64).wrapping_add(word(0) << 3), word(len - 4))
    } else {
        let byte = |at: usize| u64::from(text[at]);
        let y = byte(0) + (byte(len / 2) << 8);
        let z = len as u64 + (byte(len - 1) << 2);
        mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2)
    };
    hash as i32
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
    fn digits_count_as_numbers_do() {
        let mut digits = Digits::zero();
        for code in 0..12_345u32 {
            assert_eq!(digits.text(), code.to_string().as_bytes());
            digits.count();
        }
    }
}

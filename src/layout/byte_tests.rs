//! The splits of a forest as tests of byte columns. Cuts are ranked, categories are reduced to classes and sets are
//! translated here, once for all layouts of the forest.

use std::collections::HashMap;
use std::sync::Arc;

use super::ranks::{CodedFeature, Column, Cuts, Ranks, SEGMENT};
use super::walk::{greatest_left, zero_goes_left};
use crate::ir::{CategorySet, Comparison, Float, Forest, Missing, Split, SplitTest};

/// Where a split finds its outcome: right where the byte of `column` is at least `from`.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct ByteTest {
    pub(crate) column: u32,
    /// A byte four times, so that one load fills a register with it.
    pub(crate) from: u32,
}

/// What the splits of some trees test.
pub(crate) struct ByteTests {
    pub(crate) ranks: Arc<Ranks>,
    /// By split of the forest; of a category split the number of its coded feature and of its test there.
    tests: Vec<ByteTest>,
    /// By coded feature.
    coded: Vec<CodedTests>,
}

/// The distinct tests of a feature's categories.
struct CodedTests {
    n_segments: usize,
    /// For each test and segment the classes that go left.
    left: Vec<[u8; 32]>,
}

/// Whether a split can be tested on bytes.
pub(crate) fn has_byte_test(forest: &Forest, split: &Split) -> bool {
    match split.test {
        // Nothing is below -∞.
        SplitTest::Threshold(threshold) => {
            threshold > f64::NEG_INFINITY || forest.profile().comparison == Comparison::LessOrEqual
        }
        // Values that count as zero share their category code with some that do not.
        SplitTest::Set(_) => !matches!(split.missing, Missing::ZeroLeft | Missing::ZeroRight),
    }
}

/// The greatest value that `threshold` sends left, in the forest's input type.
fn greatest_of(forest: &Forest, threshold: f64) -> Option<f64> {
    let comparison = forest.profile().comparison;
    let greatest = match forest.profile().input {
        Float::F32 => greatest_left::<f32>(threshold, comparison).map(f64::from),
        Float::F64 => greatest_left::<f64>(threshold, comparison),
    };
    // One zero: sorting by total order would part them, comparing does not.
    greatest.map(|value| value + 0.0)
}

/// A numeric split as an integer that sorts by feature, cut and what becomes of missing values.
#[derive(Clone, Copy)]
struct Key(u128);

/// By their numbers.
const MISSING: [Missing; 5] = [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight];

impl Key {
    /// Features have 28 bits, cuts 64, missing values 3, splits 31.
    fn new(split: usize, feature: u32, cut: f64, missing: Missing) -> Self {
        let bits = cut.to_bits();
        let ascending = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        let high = u128::from(feature) << 64 | u128::from(ascending);
        Self(high << 34 | (missing as u128) << 31 | split as u128)
    }

    fn split(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    fn missing(self) -> usize {
        (self.0 >> 31 & 7) as usize
    }

    fn cut(self) -> f64 {
        let ascending = (self.0 >> 34) as u64;
        f64::from_bits(if ascending >> 63 == 1 { ascending & !(1 << 63) } else { !ascending })
    }

    fn feature(self) -> u32 {
        (self.0 >> 98) as u32
    }

    /// The same for splits of one feature and one cut.
    fn question(self) -> u128 {
        self.0 >> 34
    }
}

impl ByteTests {
    /// Of the trees that `chosen` names, all of whose splits have a byte test.
    ///
    /// Cost: a sort of the splits, and a look at the categories of every set.
    pub(crate) fn new(forest: &Forest, chosen: impl Fn(usize) -> bool) -> Self {
        let splits = (0..forest.n_trees()).filter(|&tree| chosen(tree)).flat_map(|tree| forest.splits_of(tree));
        let (mut keys, mut in_sets) = (Vec::with_capacity(forest.splits().len()), Vec::new());
        for index in splits {
            let split = &forest.splits()[index];
            match split.test {
                SplitTest::Threshold(threshold) => {
                    let cut = greatest_of(forest, threshold).expect("splits that are chosen have a byte test");
                    keys.push(Key::new(index, split.feature, cut, split.missing));
                }
                SplitTest::Set(_) => in_sets.push(index),
            }
        }
        let mut tests = bytemuck::zeroed_vec(forest.splits().len());
        let mut ranks = Ranks::empty();
        let mut wide = Cuts::default();
        keys.sort_unstable_by_key(|key| key.question());
        for keys in keys.chunk_by(|a, b| a.feature() == b.feature()) {
            add_numeric(&mut ranks, &mut wide, keys, &mut tests);
        }
        ranks.set_wide((forest.profile().input == Float::F64).then_some(wide));

        let feature_of = |&split: &usize| forest.splits()[split].feature;
        in_sets.sort_by_key(feature_of);
        let features = in_sets.chunk_by(|a, b| feature_of(a) == feature_of(b));
        let coded = features.map(|splits| add_coded(&mut ranks, forest, splits, &mut tests)).collect();
        Self { ranks: Arc::new(ranks), tests, coded }
    }

    /// The byte test of a numeric split.
    pub(crate) fn numeric(&self, split: usize) -> ByteTest {
        self.tests[split]
    }

    /// The coded feature of a category split, and the number of its test there.
    pub(crate) fn category(&self, split: usize) -> (usize, usize) {
        let ByteTest { column, from } = self.tests[split];
        (column as usize, from as usize)
    }

    /// Number of distinct tests of a coded feature.
    pub(crate) fn n_tests(&self, coded: usize) -> usize {
        let CodedTests { n_segments, left } = &self.coded[coded];
        left.len() / n_segments
    }

    /// The classes that a test of a coded feature sends left: 256 bits for each segment.
    pub(crate) fn left(&self, coded: usize, test: usize) -> &[[u8; 32]] {
        let CodedTests { n_segments, left } = &self.coded[coded];
        &left[test * n_segments..][..*n_segments]
    }
}

/// Adds the numeric splits of a feature, in the order of their cuts.
fn add_numeric(ranks: &mut Ranks, wide: &mut Cuts<f64>, keys: &[Key], tests: &mut [ByteTest]) {
    let mut cuts = Vec::new();
    let mut columns = Vec::new();
    let mut rest = keys;
    while !rest.is_empty() {
        let segment = (cuts.len() / SEGMENT) as u32;
        let (mut used, mut len) = ([false; MISSING.len()], 0);
        for run in rest.chunk_by(|a, b| a.question() == b.question()).take(SEGMENT) {
            cuts.push(run[0].cut());
            run.iter().for_each(|key| used[key.missing()] = true);
            len += run.len();
        }
        let mut column_of = [0; MISSING.len()];
        for (at, &missing) in MISSING.iter().enumerate().filter(|&(at, _)| used[at]) {
            column_of[at] = (ranks.n_columns + columns.len()) as u32;
            columns.push(Column { index: column_of[at], segment, missing });
        }
        let (of_segment, behind) = rest.split_at(len);
        for (at, run) in of_segment.chunk_by(|a, b| a.question() == b.question()).enumerate() {
            let from = u32::from_ne_bytes([at as u8 + 1; 4]);
            run.iter().for_each(|key| tests[key.split()] = ByteTest { column: column_of[key.missing()], from });
        }
        rest = behind;
    }
    ranks.push_numeric(keys[0].feature(), &cuts, columns, wide);
}

/// Adds the category splits of a feature.
fn add_coded(ranks: &mut Ranks, forest: &Forest, splits: &[usize], tests: &mut [ByteTest]) -> CodedTests {
    let number = ranks.coded.len() as u32;
    let mut numbers: HashMap<(&CategorySet, bool), u32> = HashMap::new();
    let mut sets = Vec::new();
    for &index in splits {
        let split = &forest.splits()[index];
        let SplitTest::Set(set) = split.test else { unreachable!("a category split") };
        let nan_goes_left = match split.missing {
            Missing::Left | Missing::ZeroLeft => true,
            Missing::Right | Missing::ZeroRight => false,
            Missing::AsZero => zero_goes_left(forest, split.test),
        };
        let test = *numbers.entry((forest.set(set), nan_goes_left)).or_insert_with(|| {
            sets.push((forest.set(set), nan_goes_left));
            sets.len() as u32 - 1
        });
        tests[index] = ByteTest { column: number, from: test };
    }
    let (coded, left) = CodedFeature::of_sets(forest.splits()[splits[0]].feature, &sets);
    let n_segments = coded.n_segments();
    ranks.push_coded(coded);
    CodedTests { n_segments, left }
}

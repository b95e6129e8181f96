//! The splits of a forest as tests of byte columns. Cuts are ranked, categories are reduced to classes and sets are
//! translated here, once for all layouts of the forest.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::ranks::{CodedFeature, Ranks, SEGMENT};
use super::walk::{greatest_left, zero_goes_left};
use crate::ir::{CategorySet, Comparison, Float, Forest, Missing, Split, SplitTest};

/// Where a split finds its outcome: right where the byte of `column` is at least `from`.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct ByteTest {
    pub(crate) column: u32,
    /// A byte four times, so that one load fills a register with it.
    pub(crate) from: u32,
}

/// What a split tests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// The rank of a number.
    Byte(ByteTest),
    /// The class of a category: this test of this coded feature.
    Category { coded: u32, test: u32 },
}

/// What the splits of some trees test.
pub(crate) struct ByteTests {
    pub(crate) ranks: Arc<Ranks>,
    /// By split of the forest the number of its test; 0 for those of other trees.
    numbers: Vec<u32>,
    /// By number.
    asked: Vec<Asked>,
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

/// What numeric splits ask of a feature: a cut, as an integer that sorts as the cut does, and what becomes of missing
/// values; and its number.
#[derive(Clone, Copy, Default)]
struct Question {
    cut: u64,
    /// Missing values have 3 bits, features 28.
    feature_and_missing: u32,
    number: u32,
}

/// By their numbers.
const MISSING: [Missing; 5] = [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight];

impl Question {
    fn new(number: u32, feature: u32, cut: f64, missing: Missing) -> Self {
        let bits = cut.to_bits();
        let cut = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        Self { cut, feature_and_missing: feature << 3 | missing as u32, number }
    }

    fn feature(self) -> usize {
        (self.feature_and_missing >> 3) as usize
    }

    fn missing(self) -> usize {
        (self.feature_and_missing & 7) as usize
    }

    fn cut(self) -> f64 {
        f64::from_bits(if self.cut >> 63 == 1 { self.cut & !(1 << 63) } else { !self.cut })
    }
}

/// The questions of numeric splits, few of which are asked once only. A table knows those that were asked last; what it
/// forgot is a question again, and found to be the same when all are sorted.
struct Questions {
    /// By hash.
    known: Vec<Known>,
    /// Bits of a hash that are no place in the table.
    shift: u32,
    all: Vec<Question>,
}

/// A question as the forest has it, and its number; `u32::MAX` where there is none.
#[derive(Clone, Copy)]
struct Known {
    threshold: u64,
    feature_and_missing: u32,
    number: u32,
}

/// Entries of the largest table: the nearer caches hold it.
const MAX_KNOWN: usize = 1 << 14;

impl Questions {
    /// For so many splits.
    fn new(splits: usize) -> Self {
        let entries = splits.clamp(2, MAX_KNOWN).next_power_of_two();
        let none = Known { threshold: 0, feature_and_missing: 0, number: u32::MAX };
        Self { known: vec![none; entries], shift: 64 - entries.ilog2(), all: Vec::new() }
    }

    /// The number of what a split asks that compares with a threshold.
    #[inline]
    fn number(&mut self, forest: &Forest, split: &Split, threshold: f64) -> u32 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (bits, feature_and_missing) = (threshold.to_bits(), split.feature << 3 | split.missing as u32);
        let mixed = (bits ^ u64::from(feature_and_missing).wrapping_mul(ODD)).wrapping_mul(ODD);
        let known = &mut self.known[((mixed ^ mixed >> 32).wrapping_mul(ODD) >> self.shift) as usize];
        let same = (known.threshold, known.feature_and_missing) == (bits, feature_and_missing);
        if !same || known.number == u32::MAX {
            let number = self.all.len() as u32;
            let cut = greatest_of(forest, threshold).expect("splits that are chosen have a byte test");
            self.all.push(Question::new(number, split.feature, cut, split.missing));
            *known = Known { threshold: bits, feature_and_missing, number };
        }
        known.number
    }
}

impl ByteTests {
    /// Of the trees that `chosen` names, all of whose splits have a byte test.
    ///
    /// Cost: a look at the splits, a sort of the distinct cuts, and a look at the categories of every set.
    pub(crate) fn new(forest: &Forest, chosen: impl Fn(usize) -> bool) -> Self {
        let splits = forest.splits();
        let mut numbers = vec![0; splits.len()];
        let (mut questions, mut in_sets) = (Questions::new(splits.len()), Vec::new());
        for of_tree in (0..forest.n_trees()).filter(|&tree| chosen(tree)).map(|tree| forest.splits_of(tree)) {
            for ((split, number), index) in
                splits[of_tree.clone()].iter().zip(&mut numbers[of_tree.clone()]).zip(of_tree)
            {
                match split.test {
                    SplitTest::Threshold(threshold) => *number = questions.number(forest, split, threshold),
                    SplitTest::Set(_) => in_sets.push(index),
                }
            }
        }
        let mut ranks = Ranks::empty(forest.profile().input == Float::F64);
        let mut asked = vec![Asked::Byte(ByteTest::default()); questions.all.len().max(1)];
        let mut cuts = Vec::new();
        let mut questions = by_feature(&questions.all, forest.n_features());
        for questions in questions.chunk_by_mut(|a, b| a.feature() == b.feature()) {
            questions.sort_unstable_by_key(|question| question.cut);
            add_numeric(&mut ranks, questions, &mut cuts, &mut asked);
        }

        in_sets.sort_by_key(|&split| splits[split].feature);
        let mut coded = Vec::new();
        for in_sets in in_sets.chunk_by(|&a, &b| splits[a].feature == splits[b].feature) {
            coded.push(add_coded(&mut ranks, forest, in_sets, &mut numbers, &mut asked));
        }
        Self { ranks: Arc::new(ranks), numbers, asked, coded }
    }

    /// What a split tests.
    pub(crate) fn of(&self, split: usize) -> Asked {
        self.asked[self.number(split)]
    }

    /// The place of that in [`asked`](Self::asked).
    pub(crate) fn number(&self, split: usize) -> usize {
        self.numbers[split] as usize
    }

    /// What splits test, most of it once only.
    pub(crate) fn asked(&self) -> &[Asked] {
        &self.asked
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

/// The questions in the order of their features.
fn by_feature(questions: &[Question], n_features: usize) -> Vec<Question> {
    let mut places = vec![0u32; n_features + 1];
    questions.iter().for_each(|question| places[question.feature() + 1] += 1);
    for feature in 0..n_features {
        places[feature + 1] += places[feature];
    }
    let mut ordered = vec![Question::default(); questions.len()];
    for question in questions {
        let place = &mut places[question.feature()];
        ordered[*place as usize] = *question;
        *place += 1;
    }
    ordered
}

/// Adds what numeric splits ask of a feature, in the order of cuts, which are written to `cuts`.
fn add_numeric(ranks: &mut Ranks, questions: &[Question], cuts: &mut Vec<f64>, asked: &mut [Asked]) {
    cuts.clear();
    let mut rest = questions;
    while !rest.is_empty() {
        let segment = (cuts.len() / SEGMENT) as u32;
        let (mut used, mut len) = ([false; MISSING.len()], 0);
        for run in rest.chunk_by(|a, b| a.cut == b.cut).take(SEGMENT) {
            cuts.push(run[0].cut());
            run.iter().for_each(|question| used[question.missing()] = true);
            len += run.len();
        }
        let mut column_of = [0; MISSING.len()];
        for (at, &missing) in MISSING.iter().enumerate().filter(|&(at, _)| used[at]) {
            column_of[at] = ranks.push_column(segment, missing);
        }
        let (of_segment, behind) = rest.split_at(len);
        for (at, run) in of_segment.chunk_by(|a, b| a.cut == b.cut).enumerate() {
            let from = u32::from_ne_bytes([at as u8 + 1; 4]);
            for question in run {
                let column = column_of[question.missing()];
                asked[question.number as usize] = Asked::Byte(ByteTest { column, from });
            }
        }
        rest = behind;
    }
    ranks.push_numeric(questions[0].feature() as u32, cuts);
}

/// A set and whether NaN is in it, with a hash of these.
#[derive(PartialEq, Eq)]
struct Hashed<'a> {
    hash: u64,
    set: &'a CategorySet,
    nan: bool,
}

impl<'a> Hashed<'a> {
    fn new(set: &'a CategorySet, nan: bool, seed: u64) -> Self {
        let hash = XxHash3_64::oneshot_with_seed(seed, bytemuck::cast_slice(set.words()));
        Self { hash: hash ^ u64::from(nan), set, nan }
    }
}

impl Hash for Hashed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Adds the category splits of a feature.
fn add_coded(
    ranks: &mut Ranks,
    forest: &Forest,
    in_sets: &[usize],
    numbers: &mut [u32],
    asked: &mut Vec<Asked>,
) -> CodedTests {
    let coded = ranks.coded.len() as u32;
    let first = asked.len() as u32;
    // A seed, so that no file can be made of sets that share their hashes.
    let seed = RandomState::new().hash_one(());
    let mut known: HashMap<Hashed<'_>, u32> = HashMap::with_capacity(in_sets.len());
    let mut sets = Vec::new();
    for &index in in_sets {
        let split = &forest.splits()[index];
        let SplitTest::Set(set) = split.test else { unreachable!("a category split") };
        let nan_goes_left = match split.missing {
            Missing::Left | Missing::ZeroLeft => true,
            Missing::Right | Missing::ZeroRight => false,
            Missing::AsZero => zero_goes_left(forest, split.test),
        };
        let test = *known.entry(Hashed::new(forest.set(set), nan_goes_left, seed)).or_insert_with(|| {
            sets.push((forest.set(set), nan_goes_left));
            sets.len() as u32 - 1
        });
        numbers[index] = first + test;
    }
    asked.extend((0..sets.len() as u32).map(|test| Asked::Category { coded, test }));
    let (of_feature, left) = CodedFeature::of_sets(forest.splits()[in_sets[0]].feature, &sets);
    let n_segments = of_feature.n_segments();
    ranks.push_coded(of_feature);
    CodedTests { n_segments, left }
}

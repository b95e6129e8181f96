//! The intermediate representation: what every loader produces and every kernel consumes.
//!
//! A [`Forest`] is a set of binary trees together with the exact arithmetic of the library that trained it. Tree
//! libraries differ in ways that change answers: which float type a value is rounded to before a test, `<` or `<=`,
//! where a missing value goes, in which type and order leaves are summed. All of that is data here
//! ([`NumericProfile`], [`Missing`], [`Aggregate`], [`Link`]); nothing below this module knows a library by name.
//!
//! * [`build`]: the only constructor; proves topology and ranges.
//! * [`eval`]: the reference evaluator, the definition of a correct answer.
//! * [`facts`]: what planning and `inspect` read.
//! * [`quantise`]: forests whose leaves take fewer values.

pub(crate) mod build;
pub(crate) mod eval;
pub(crate) mod facts;
pub(crate) mod function;
pub(crate) mod link;
pub(crate) mod normalization;
pub(crate) mod product;
pub(crate) mod quantise;
pub(crate) mod real;
pub(crate) mod retest;
mod stored;

use std::ops::{Deref, Range};
use std::sync::{Arc, LazyLock};

use serde::Serialize;

use real::Real;

pub(crate) use build::numbered::{NumberedNode, NumberedTree, PlainSplit};
pub use build::{ForestBuilder, Node, Test, Tree as TreeSpec};
pub use facts::Facts;
pub use link::{Labels, Link};
pub use quantise::Precision;

/// LightGBM's zero threshold: the double nearest to the float 1e-35. Values this close to zero count as zero
/// (`kZeroThreshold`, LightGBM `include/LightGBM/meta.h`).
pub(crate) const ZERO_THRESHOLD: f64 = 1e-35_f32 as f64;

/// An ensemble of decision trees with the arithmetic of the library it comes from.
///
/// Made by [`ForestBuilder`] alone, so that these hold for every forest: each node of a tree is reached from its root
/// along exactly one path, every feature, output and category set referred to exists, no threshold is NaN.
#[derive(Clone, Debug)]
pub struct Forest {
    n_features: usize,
    n_outputs: usize,
    profile: NumericProfile,
    base: Arc<Vec<f64>>,
    /// Sums are multiplied by this before a base score that comes last is added.
    scale: f64,
    aggregate: Aggregate,
    link: Link,
    labels: Labels,
    n_trees: usize,
    /// Whether reading tiny values as 0.0, where the profile asks for that, can change any outcome.
    tells_tiny: bool,
    vector_leaves: bool,
    /// Whether the model is linear throughout, so that its single leaves mean nothing (gblinear).
    linear_model: bool,
    /// Number of trees at the end of every boosting iteration.
    iterations: Vec<usize>,
    /// For every output the number of trees that add to it.
    trees_of_output: Arc<Vec<u32>>,
    nodes: LazyNodes,
}

/// What the trees of a forest consist of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    trees: Vec<Tree>,
    splits: Vec<Split>,
    sets: Vec<CategorySet>,
    leaf_ids: Vec<u32>,
    /// One value per leaf, or as many as there are outputs if leaves are vectors.
    leaf_values: Vec<f64>,
    /// Models in the leaves, if any leaf has one.
    linear: Option<LinearLeaves>,
}

/// Nodes that may be made when they are first looked at: a compiled model predicts without them.
#[derive(Clone, Debug)]
struct LazyNodes(Arc<LazyLock<Nodes, Box<dyn FnOnce() -> Nodes + Send>>>);

impl From<Nodes> for LazyNodes {
    fn from(nodes: Nodes) -> Self {
        let lazy = Self::later(|| nodes);
        LazyLock::force(&lazy.0);
        lazy
    }
}

impl LazyNodes {
    fn later(make: impl FnOnce() -> Nodes + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl Deref for LazyNodes {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.0
    }
}

/// The arithmetic of a forest, fixed by the library that trained it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NumericProfile {
    /// Values are rounded to this type (to nearest, ties to even) before anything else looks at them.
    pub input: Float,
    /// How a value meets a threshold; true goes left.
    pub comparison: Comparison,
    /// Type of the running sum of leaves; every addition rounds to it.
    pub sum: Float,
    /// When the base score joins the sum.
    pub base: BasePosition,
    /// How a number becomes a category code.
    pub categories: CategoryRule,
    /// What an entry that a sparse row does not list stands for.
    pub absent: Absent,
    /// Whether dense values of magnitude at most 1e-35 are read as 0.0 (LightGBM's dense input layer; its sparse one
    /// keeps them).
    pub flush_tiny: bool,
}

impl NumericProfile {
    /// XGBoost: f32 throughout, `<`, base score first.
    pub const XGBOOST: Self = Self {
        input: Float::F32,
        comparison: Comparison::Less,
        sum: Float::F32,
        base: BasePosition::First,
        categories: CategoryRule::NonNegative,
        absent: Absent::Missing,
        flush_tiny: false,
    };

    /// ONNX Runtime on f32 input: f32 throughout, `<=`, base score last.
    pub const ONNX: Self = Self {
        input: Float::F32,
        comparison: Comparison::LessOrEqual,
        sum: Float::F32,
        base: BasePosition::Last,
        categories: CategoryRule::Exact,
        absent: Absent::Zero,
        flush_tiny: false,
    };

    /// LightGBM: f64 throughout, `<=`, no base score.
    pub const LIGHTGBM: Self = Self {
        input: Float::F64,
        comparison: Comparison::LessOrEqual,
        sum: Float::F64,
        base: BasePosition::First,
        categories: CategoryRule::Truncate,
        absent: Absent::Zero,
        flush_tiny: true,
    };
}

/// A binary floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Float {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

/// How a value meets a threshold; true goes left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Comparison {
    /// `value < threshold`
    #[serde(rename = "<")]
    Less,
    /// `value <= threshold`
    #[serde(rename = "<=")]
    LessOrEqual,
}

/// When the base score joins the sum of leaves. In floating point it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePosition {
    /// The sum starts with it.
    First,
    /// It is added after the last tree, in f64, and the result rounded to the sum type.
    Last,
}

/// How a number becomes a category code. Whatever is not a code is in no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CategoryRule {
    /// XGBoost: `0 <= value < 2^24`, truncated; −0.5 is no category, 1.9 is category 1.
    NonNegative,
    /// LightGBM: truncated toward zero, then non-negative; −0.5 is category 0.
    Truncate,
    /// Treelite: `0 <= value <= 2^24` where sums are f32, `0 <= value <= 2^32 - 1` where they are f64; truncated.
    Representable,
    /// scikit-learn, CatBoost and ONNX: whole numbers from 0 to 2^32 - 1; 1.5 is no category.
    Exact,
}

/// What an entry that a sparse row does not list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// A missing value.
    Missing,
    /// The value 0.0.
    Zero,
}

/// Where a missing value goes at a split, and which values count as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// NaN goes left.
    Left,
    /// NaN goes right.
    Right,
    /// NaN is read as 0.0 and tested like any number (LightGBM's missing type None).
    AsZero,
    /// NaN and values of magnitude at most 1e-35 go left (LightGBM's missing type Zero).
    ZeroLeft,
    /// NaN and values of magnitude at most 1e-35 go right.
    ZeroRight,
}

/// How the trees of one output become its margin and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Aggregate {
    /// The margin is the sum.
    Sum,
    /// The margin is the sum; the value is linked from the sum divided by the number of iterations. This is a
    /// LightGBM random forest, whose raw score is not averaged.
    MeanOfValue,
    /// The margin is the sum divided by the number of trees that add to the output; a base score that comes last is
    /// added after that (scikit-learn's and Treelite's forests).
    Mean,
}

/// One tree: its root and what its leaves feed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    pub(crate) root: Child,
    pub(crate) target: Target,
    /// Every leaf is multiplied by this before it is summed (DART).
    pub(crate) weight: f64,
    /// Splits on its longest path.
    pub(crate) depth: u32,
    /// Index of the tree's first split and leaf; those of the next tree end it.
    pub(crate) first_split: u32,
    pub(crate) first_leaf: u32,
}

/// Linear models that take the place of leaf values: `constant + Σ coefficient * value`, in the order of terms, every
/// operation rounded to the sum type.
#[derive(Clone, Debug)]
pub(crate) struct LinearLeaves {
    pub(crate) missing: LinearMissing,
    /// For every leaf of the forest its model, if it has one.
    pub(crate) models: Vec<Option<LinearLeaf>>,
    /// Features and coefficients of all models.
    pub(crate) terms: Vec<(u32, f64)>,
}

/// The model of a leaf; `terms` is a range of [`LinearLeaves::terms`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearLeaf {
    pub(crate) constant: f64,
    pub(crate) first_term: u32,
    pub(crate) end_term: u32,
}

/// What a missing value does to a linear model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LinearMissing {
    /// The leaf's plain value is used (LightGBM's linear trees).
    #[default]
    UseLeafValue,
    /// The term is left out (XGBoost's gblinear).
    SkipTerm,
}

impl LinearLeaf {
    pub(crate) fn terms(self) -> Range<usize> {
        self.first_term as usize..self.end_term as usize
    }
}

/// The outputs a tree adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    One(u32),
    /// Vector leaves: one value for each output.
    All,
}

/// An inner node. Children of a split stand behind it, so a walk always moves forward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    pub(crate) feature: u32,
    pub(crate) left: Child,
    pub(crate) right: Child,
    pub(crate) missing: Missing,
    pub(crate) test: SplitTest,
}

/// True goes left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SplitTest {
    /// Compare with a threshold, as [`NumericProfile::comparison`] says.
    Threshold(f64),
    /// Membership in `Forest::sets[_]`.
    Set(u32),
}

/// A split or a leaf, by its index in the forest; a leaf is stored as `!index`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child(i32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Split(usize),
    Leaf(usize),
}

impl Child {
    fn split(index: usize) -> Self {
        Self(i32::try_from(index).expect("the builder bounds the number of splits"))
    }

    fn leaf(index: usize) -> Self {
        Self(!i32::try_from(index).expect("the builder bounds the number of leaves"))
    }

    /// The split that it is.
    #[inline]
    pub(crate) fn as_split(self) -> Option<usize> {
        (self.0 >= 0).then_some(self.0 as usize)
    }

    /// The leaf that it is.
    #[inline]
    pub(crate) fn as_leaf(self) -> Option<usize> {
        (self.0 < 0).then_some(!self.0 as usize)
    }

    #[inline]
    pub(crate) fn position(self) -> Position {
        if self.0 >= 0 { Position::Split(self.0 as usize) } else { Position::Leaf(!self.0 as usize) }
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.position().fmt(f)
    }
}

/// A set of category codes: its non-empty 32-bit words, by ascending index. Memory follows what the model file
/// lists, however large a single code is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CategorySet {
    /// Index and bits of each.
    words: Box<[[u32; 2]]>,
}

impl CategorySet {
    /// The set of the listed codes, in any order.
    pub fn from_codes(codes: &[u32]) -> Self {
        let mut codes = codes.to_vec();
        codes.sort_unstable();
        let mut words: Vec<[u32; 2]> = Vec::new();
        for code in codes {
            let (index, bit) = (code / 32, 1 << (code % 32));
            match words.last_mut() {
                Some(word) if word[0] == index => word[1] |= bit,
                _ => words.push([index, bit]),
            }
        }
        Self { words: words.into() }
    }

    /// The set whose bit set `words` is: code `c` is bit `c % 32` of word `c / 32`.
    pub fn from_words(words: &[u32]) -> Self {
        let mut indexed = Vec::with_capacity(words.iter().filter(|&&bits| bits != 0).count());
        indexed.extend((0..).zip(words).filter(|&(_, &bits)| bits != 0).map(|(index, &bits)| [index, bits]));
        Self { words: indexed.into() }
    }

    /// Its non-empty words and their indices, ascending.
    pub(crate) fn words(&self) -> &[[u32; 2]] {
        &self.words
    }

    /// Whether the set has `code`. Cost: a binary search over the set's words.
    pub fn contains(&self, code: u32) -> bool {
        let found = self.words.binary_search_by_key(&(code / 32), |word| word[0]);
        found.is_ok_and(|at| self.words[at][1] >> (code % 32) & 1 == 1)
    }

    /// The codes, ascending.
    pub fn codes(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = |&[index, bits]: &[u32; 2]| {
            (0..32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| index * 32 + bit)
        };
        self.words.iter().flat_map(bits)
    }
}

impl Forest {
    /// Number of columns a row has.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Number of margins per row.
    pub fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// Number of trees.
    pub fn n_trees(&self) -> usize {
        self.n_trees
    }

    /// Number of leaves of all trees.
    pub fn n_leaves(&self) -> usize {
        self.nodes.leaf_ids.len()
    }

    /// Number of boosting iterations.
    pub fn n_iterations(&self) -> usize {
        self.iterations.len()
    }

    /// The arithmetic of the forest.
    pub fn profile(&self) -> NumericProfile {
        self.profile
    }

    /// The base score of every output, as a margin.
    pub fn base(&self) -> &[f64] {
        &self.base
    }

    /// How trees become a margin.
    pub fn aggregate(&self) -> Aggregate {
        self.aggregate
    }

    /// How a margin becomes a value.
    pub fn link(&self) -> Link {
        self.link
    }

    /// How a value becomes a class label.
    pub fn labels(&self) -> Labels {
        self.labels
    }

    /// What margins are divided by before the link; 1 unless the aggregate is a mean of the value only.
    pub(crate) fn divisor(&self) -> f64 {
        self.divisor_of(self.n_iterations())
    }

    /// The same for the first `n_iterations` of the forest.
    pub(crate) fn divisor_of(&self, n_iterations: usize) -> f64 {
        match self.aggregate {
            Aggregate::Sum | Aggregate::Mean => 1.0,
            Aggregate::MeanOfValue => n_iterations as f64,
        }
    }

    /// Number of trees at the end of every boosting iteration.
    pub(crate) fn iteration_ends(&self) -> &[usize] {
        &self.iterations
    }

    /// Adds a tree to the number of trees of every output.
    pub(crate) fn count_tree(&self, tree: usize, trees_of_output: &mut [u32]) {
        self.nodes.trees[tree].target.count(trees_of_output);
    }

    /// Whether sums of leaves are not margins yet: see [`finish_margins`](Self::finish_margins).
    fn has_unfinished_sums(&self) -> bool {
        self.aggregate == Aggregate::Mean || self.scale != 1.0 || self.profile.base == BasePosition::Last
    }

    /// Turns sums of leaves, row after row, into margins: what comes after the last tree.
    pub(crate) fn finish_margins<T: Real>(&self, sums: &mut [T]) {
        self.finish_margins_of(&self.trees_of_output, sums);
    }

    /// The same for sums over a part of the forest, of so many trees an output.
    pub(crate) fn finish_margins_of<T: Real>(&self, trees_of_output: &[u32], sums: &mut [T]) {
        if !self.has_unfinished_sums() {
            return;
        }
        for row in sums.chunks_exact_mut(self.n_outputs) {
            for (output, sum) in row.iter_mut().enumerate() {
                if self.aggregate == Aggregate::Mean {
                    *sum = *sum / T::from_f64(trees_of_output[output].into());
                }
                if self.scale != 1.0 {
                    *sum = *sum * T::from_f64(self.scale);
                }
                if self.profile.base == BasePosition::Last {
                    *sum = T::from_f64(sum.to_f64() + self.base[output]);
                }
            }
        }
    }

    pub(crate) fn trees(&self) -> &[Tree] {
        &self.nodes.trees
    }

    pub(crate) fn splits(&self) -> &[Split] {
        &self.nodes.splits
    }

    pub(crate) fn set(&self, index: u32) -> &CategorySet {
        &self.nodes.sets[index as usize]
    }

    /// Whether two splits send every row the same way.
    pub(crate) fn ask_the_same(&self, a: &Split, b: &Split) -> bool {
        let same_test = match (a.test, b.test) {
            (SplitTest::Threshold(a), SplitTest::Threshold(b)) => a == b,
            (SplitTest::Set(a), SplitTest::Set(b)) => self.set(a) == self.set(b),
            _ => false,
        };
        a.feature == b.feature && a.missing == b.missing && same_test
    }

    /// The source library's number of every leaf within its tree.
    pub(crate) fn leaf_ids(&self) -> &[u32] {
        &self.nodes.leaf_ids
    }

    /// The values of leaf `leaf`: one, or one per output if leaves are vectors.
    pub(crate) fn leaf(&self, leaf: usize) -> &[f64] {
        let width = self.tree_width();
        &self.nodes.leaf_values[leaf * width..][..width]
    }

    /// The values of all leaves, [`tree_width`](Self::tree_width) of each.
    pub(crate) fn leaf_values(&self) -> &[f64] {
        &self.nodes.leaf_values
    }

    pub(crate) fn linear(&self) -> Option<&LinearLeaves> {
        self.nodes.linear.as_ref()
    }

    /// Values a tree has for a row: one, or one per output if leaves are vectors.
    pub(crate) fn tree_width(&self) -> usize {
        if self.vector_leaves { self.n_outputs } else { 1 }
    }

    /// Whether tiny values are read as 0.0, and that can change any outcome.
    pub(crate) fn flushes_tiny(&self) -> bool {
        self.profile.flush_tiny && self.tells_tiny
    }

    /// Whether the model is linear throughout, so that its single leaves mean nothing (gblinear).
    pub(crate) fn is_linear_model(&self) -> bool {
        self.linear_model
    }

    /// Indices of the splits of tree `tree`.
    pub(crate) fn splits_of(&self, tree: usize) -> Range<usize> {
        self.nodes.splits_of(tree)
    }

    /// Indices of the leaves of tree `tree`.
    pub(crate) fn leaves_of(&self, tree: usize) -> Range<usize> {
        self.nodes.leaves_of(tree)
    }

    /// Bytes this forest holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        let sets: usize = self.nodes.sets.iter().map(|set| size_of_val(&*set.words) + size_of::<CategorySet>()).sum();
        size_of_val(&*self.nodes.trees)
            + size_of_val(&*self.nodes.splits)
            + size_of_val(&*self.nodes.leaf_ids)
            + size_of_val(&*self.nodes.leaf_values)
            + sets
            + self.nodes.linear.as_ref().map_or(0, |linear| size_of_val(&*linear.models) + size_of_val(&*linear.terms))
    }
}

impl Nodes {
    fn splits_of(&self, tree: usize) -> Range<usize> {
        let end = self.trees.get(tree + 1).map_or(self.splits.len(), |next| next.first_split as usize);
        self.trees[tree].first_split as usize..end
    }

    fn leaves_of(&self, tree: usize) -> Range<usize> {
        let end = self.trees.get(tree + 1).map_or(self.leaf_ids.len(), |next| next.first_leaf as usize);
        self.trees[tree].first_leaf as usize..end
    }
}

impl Target {
    /// Adds a tree that feeds it to the number of trees of every output.
    fn count(self, trees_of_output: &mut [u32]) {
        match self {
            Self::One(output) => trees_of_output[output as usize] += 1,
            Self::All => trees_of_output.iter_mut().for_each(|count| *count += 1),
        }
    }
}

impl NumericProfile {
    /// `value` as this profile's input type holds it.
    pub(crate) fn round_input(&self, value: f64) -> f64 {
        match self.input {
            Float::F32 => f64::from(value as f32),
            Float::F64 => value,
        }
    }

    fn greatest_category(&self) -> f64 {
        match self.sum {
            Float::F32 => f64::from(1 << 24),
            Float::F64 => f64::from(u32::MAX),
        }
    }

    /// The category code of a (rounded) value, if it is one. NaN is not.
    pub(crate) fn category(&self, value: f64) -> Option<u32> {
        match self.categories {
            CategoryRule::NonNegative if value >= 0.0 && value < f64::from(1 << 24) => Some(value as u32),
            CategoryRule::Representable if value >= 0.0 && value <= self.greatest_category() => Some(value as u32),
            CategoryRule::Exact if value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0 => {
                Some(value as u32)
            }
            CategoryRule::Truncate if value > -1.0 && value < f64::from(1u32 << 31) => Some(value as u32),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn category_sets_hold_what_they_were_given() {
        let set = CategorySet::from_codes(&[70, 3, 31, 3, 16_777_215]);
        assert_eq!(set.codes().collect::<Vec<_>>(), [3, 31, 70, 16_777_215]);
        assert!(set.contains(70) && !set.contains(71) && !set.contains(u32::MAX));
        assert_eq!(CategorySet::from_words(&[0, 0b101]), CategorySet::from_codes(&[32, 34]));
        assert!(!CategorySet::default().contains(0));
    }

    #[test]
    fn exact_categories_are_whole_numbers() {
        let profile = NumericProfile { categories: CategoryRule::Exact, ..NumericProfile::LIGHTGBM };
        assert_eq!(profile.category(-0.0), Some(0));
        assert_eq!(profile.category(7.0), Some(7));
        assert_eq!(profile.category(4_294_967_295.0), Some(u32::MAX));
        for value in [-1.0, -0.5, 0.5, 1.999, 4_294_967_296.0, f64::INFINITY, f64::NAN] {
            assert_eq!(profile.category(value), None, "{value}");
        }
    }

    #[test]
    fn the_two_category_rules() {
        let (xgboost, lightgbm) = (NumericProfile::XGBOOST, NumericProfile::LIGHTGBM);
        for (value, under_xgboost, under_lightgbm) in [
            (-1.0, None, None),
            (-0.5, None, Some(0)),
            (-0.0, Some(0), Some(0)),
            (1.99, Some(1), Some(1)),
            (16_777_216.0, None, Some(16_777_216)),
            (2_147_483_647.5, None, Some(2_147_483_647)),
            (2_147_483_648.0, None, None),
            (f64::INFINITY, None, None),
            (f64::NAN, None, None),
        ] {
            assert_eq!(xgboost.category(value), under_xgboost, "{value}");
            assert_eq!(lightgbm.category(value), under_lightgbm, "{value}");
        }
    }

    #[test]
    fn representable_categories_end_with_the_type() {
        let wide = NumericProfile { categories: CategoryRule::Representable, ..NumericProfile::LIGHTGBM };
        let narrow = NumericProfile { sum: Float::F32, ..wide };
        for (value, in_f32, in_f64) in [
            (-0.5, None, None),
            (-0.0, Some(0), Some(0)),
            (1.99, Some(1), Some(1)),
            (16_777_216.0, Some(16_777_216), Some(16_777_216)),
            (16_777_217.0, None, Some(16_777_217)),
            (4_294_967_295.0, None, Some(u32::MAX)),
            (4_294_967_295.5, None, None),
            (f64::NAN, None, None),
        ] {
            assert_eq!(narrow.category(value), in_f32, "{value}");
            assert_eq!(wide.category(value), in_f64, "{value}");
        }
    }
}

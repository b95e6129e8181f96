//! Arrays for walking: small nodes whose children lie side by side, so that a step is an addition, not a branch.
//!
//! The next node is `left + (value > threshold)`. A leaf's `left` is itself and its threshold infinite, so a walk that
//! has arrived stays where it is and walks of different lengths can share one loop.

use crate::ir::real::Real;
use crate::ir::{
    CategorySet, Child, Comparison, Forest, LinearLeaf, LinearMissing, Missing, Position, SplitTest, Target,
};

/// What the splits of a forest become.
#[derive(Debug)]
pub(crate) struct WalkLayout<T, S> {
    pub(crate) nodes: Vec<WalkNode<T>>,
    /// For a leaf its index in the forest, for a category split the index of its set.
    pub(crate) payload: Vec<u32>,
    pub(crate) trees: Vec<WalkTree>,
    pub(crate) sets: Vec<CategorySet>,
    /// Leaf values in the sum type, multiplied by their tree's weight.
    pub(crate) leaf_values: Vec<S>,
    /// Models in the leaves, in the sum type; empty if no leaf has one.
    pub(crate) linear: Vec<Option<LinearModel<S>>>,
}

/// The linear model of a leaf.
#[derive(Clone, Debug)]
pub(crate) struct LinearModel<S> {
    pub(crate) missing: LinearMissing,
    pub(crate) constant: S,
    pub(crate) terms: Box<[(u32, S)]>,
    /// The weight of the tree.
    pub(crate) weight: S,
}

/// A split or a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkNode<T> {
    /// What a plain split compares with.
    pub(crate) threshold: T,
    /// Feature number and flags.
    tagged: u32,
    /// Index of the left child; the right one follows it.
    pub(crate) left: u32,
}

/// One tree of the forest, in source order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkTree {
    pub(crate) root: u32,
    /// Steps after which every walk has arrived.
    pub(crate) steps: u32,
    pub(crate) target: Target,
    /// Whether every split is a plain threshold, NaN going one way.
    pub(crate) plain: bool,
}

const NAN_LEFT: u32 = 1 << 30;
const ZERO_IS_MISSING: u32 = 1 << 29;
const CATEGORY: u32 = 1 << 28;
const FEATURE: u32 = CATEGORY - 1;

/// Features beyond this cannot be numbered by a walk node.
pub(crate) const MAX_FEATURES: usize = FEATURE as usize + 1;

impl<T> WalkNode<T> {
    #[inline(always)]
    pub(crate) fn feature(&self) -> usize {
        (self.tagged & FEATURE) as usize
    }

    #[inline(always)]
    pub(crate) fn missing_goes_left(&self) -> u32 {
        self.tagged >> NAN_LEFT.trailing_zeros() & 1
    }

    #[inline(always)]
    pub(crate) fn zero_is_missing(&self) -> bool {
        self.tagged & ZERO_IS_MISSING != 0
    }

    #[inline(always)]
    pub(crate) fn is_category(&self) -> bool {
        self.tagged & CATEGORY != 0
    }
}

impl<T: Real, S: Real> WalkLayout<T, S> {
    /// Cost: one pass over the forest, level by level within a tree.
    pub(crate) fn new(forest: &Forest) -> Self {
        let mut layout = Self {
            nodes: Vec::with_capacity(forest.splits().len() + forest.n_leaves()),
            payload: Vec::with_capacity(forest.splits().len() + forest.n_leaves()),
            trees: Vec::with_capacity(forest.n_trees()),
            sets: Vec::new(),
            leaf_values: Vec::with_capacity(forest.n_leaves()),
            linear: Vec::new(),
        };
        let mut level_order = Vec::new();
        for (index, tree) in forest.trees().iter().enumerate() {
            let root = layout.nodes.len();
            let plain = layout.add_nodes(forest, tree.root, &mut level_order);
            let (root, steps) = (root as u32, tree.depth);
            layout.trees.push(WalkTree { root, steps, target: tree.target, plain });
            for leaf in forest.leaves_of(index) {
                let weighted = |value: &f64| S::from_f64(*value) * S::from_f64(tree.weight);
                layout.leaf_values.extend(forest.leaf(leaf).iter().map(weighted));
                if let Some(linear) = forest.linear() {
                    let model = |model: LinearLeaf| LinearModel {
                        missing: linear.missing,
                        constant: S::from_f64(model.constant),
                        terms: linear.terms[model.terms()].iter().map(|&(f, c)| (f, S::from_f64(c))).collect(),
                        weight: S::from_f64(tree.weight),
                    };
                    layout.linear.push(linear.models[leaf].map(model));
                }
            }
        }
        layout
    }

    /// Lays out one tree breadth first; whether all its splits are plain.
    fn add_nodes(&mut self, forest: &Forest, root: Child, level_order: &mut Vec<Child>) -> bool {
        let (first, mut plain) = (self.nodes.len(), true);
        level_order.clear();
        level_order.push(root);
        while let Some(child) = level_order.get(self.nodes.len() - first) {
            let at = self.nodes.len();
            match child.position() {
                Position::Leaf(leaf) => {
                    self.nodes.push(WalkNode { left: at as u32, ..arrival() });
                    self.payload.push(leaf as u32);
                }
                Position::Split(index) => {
                    let split = &forest.splits()[index];
                    let left = first + level_order.len();
                    level_order.extend([split.left, split.right]);
                    let (threshold, set) = match split.test {
                        SplitTest::Threshold(threshold) => {
                            match greatest_left(threshold, forest.profile().comparison) {
                                Some(greatest) => (greatest, None),
                                None => (T::ZERO, Some(CategorySet::default())),
                            }
                        }
                        SplitTest::Set(set) => (T::ZERO, Some(forest.set(set).clone())),
                    };
                    let missing = match split.missing {
                        Missing::Left => NAN_LEFT,
                        Missing::Right => 0,
                        Missing::AsZero if zero_goes_left(forest, split.test) => NAN_LEFT,
                        Missing::AsZero => 0,
                        Missing::ZeroLeft => ZERO_IS_MISSING | NAN_LEFT,
                        Missing::ZeroRight => ZERO_IS_MISSING,
                    };
                    let tagged = split.feature | missing | if set.is_some() { CATEGORY } else { 0 };
                    plain &= tagged & (ZERO_IS_MISSING | CATEGORY) == 0;
                    self.nodes.push(WalkNode { threshold, tagged, left: left as u32 });
                    self.payload.push(self.sets.len() as u32);
                    self.sets.extend(set);
                }
            }
        }
        plain
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.nodes)
            + size_of_val(&*self.payload)
            + size_of_val(&*self.trees)
            + size_of_val(&*self.leaf_values)
    }
}

/// A node from which nothing goes right.
fn arrival<T: Real>() -> WalkNode<T> {
    WalkNode { threshold: T::INFINITY, tagged: NAN_LEFT, left: 0 }
}

/// The value of `T` such that `x > it` for just those `x` of `T` that `comparison` with `threshold` sends right: the
/// greatest value that goes left. Plain rounding would be wrong at the threshold itself. `None` where no value goes left
/// (`x < -∞`).
pub(super) fn greatest_left<T: Real>(threshold: f64, comparison: Comparison) -> Option<T> {
    let nearest = T::from_f64(threshold);
    let goes_left = |value: T| match comparison {
        Comparison::Less => value.to_f64() < threshold,
        Comparison::LessOrEqual => value.to_f64() <= threshold,
    };
    let value = if goes_left(nearest) { nearest } else { nearest.next_down() };
    goes_left(value).then_some(value)
}

pub(super) fn zero_goes_left(forest: &Forest, test: SplitTest) -> bool {
    match test {
        SplitTest::Threshold(threshold) => match forest.profile().comparison {
            Comparison::Less => 0.0 < threshold,
            Comparison::LessOrEqual => 0.0 <= threshold,
        },
        SplitTest::Set(set) => forest.set(set).contains(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_part_f32_values_as_the_f64_ones_do() {
        let thresholds =
            [0.1, -0.1, 0.0, -0.0, 1e300, -1e300, 1e-300, 0.5, 16_777_217.0, f64::INFINITY, f64::NEG_INFINITY];
        for threshold in thresholds {
            let near = threshold as f32;
            for x in [near.next_down(), near, near.next_up(), f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, 0.0]
            {
                let goes_left = |comparison| greatest_left::<f32>(threshold, comparison).is_some_and(|left| x <= left);
                assert_eq!(goes_left(Comparison::LessOrEqual), f64::from(x) <= threshold, "{x} <= {threshold}");
                assert_eq!(goes_left(Comparison::Less), f64::from(x) < threshold, "{x} < {threshold}");
            }
        }
    }
}

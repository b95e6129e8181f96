//! Forests whose leaves take fewer values: what they become, and how far that can move a margin.
//!
//! A quantised forest is a forest like any other, with other leaves and sums in f32, so that the reference evaluator
//! defines its answers too and every kernel gives them to the bit. A split whose leaves have become equal is a leaf.

use super::build::{ForestBuilder, Node, Test};
use super::real::Real;
use super::{Aggregate, BasePosition, CategoryRule, Float, Forest, Position, SplitTest, Target};
use crate::error::{Error, Result};

/// How exactly leaves are kept. Whatever is not exact sums in f32, so that values are f32 too, and has the same bits on
/// every instruction set, in every kernel and batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// As the source library computes, to the bit.
    #[default]
    Exact,
    /// Leaves rounded to f32. The same as exact for models that sum in f32.
    F32,
    /// Leaves rounded to 11 significant bits, those far below the greatest of their tree to fewer: IEEE binary16 times a
    /// power of two for each tree.
    F16,
    /// 256 evenly spaced values from the least to the greatest leaf of each tree.
    Int8,
    /// 16 evenly spaced values from the least to the greatest leaf of each tree.
    Int4,
}

impl Precision {
    /// Every precision.
    pub const ALL: &'static [Self] = &[Self::Exact, Self::F32, Self::F16, Self::Int8, Self::Int4];

    /// Its name, as [`from_name`](Self::from_name) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// The precision called `name`.
    ///
    /// # Errors
    /// An option error that lists those there are.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = Self::ALL.iter().find(|precision| precision.name() == name);
        known.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|precision| precision.name()).collect();
            Error::option(format!("precision {name:?} is unknown; known are: {}", names.join(", ")))
        })
    }
}

/// A forest in another precision.
pub(crate) struct Quantised {
    pub(crate) forest: Forest,
    /// For every output, how far its margins can be from those of the exact forest.
    pub(crate) bounds: Vec<f64>,
}

/// The values that leaves of a tree may take for one output.
#[derive(Clone, Copy)]
enum Grid {
    F32,
    /// Values of 11 bits, down to 2^-24 times two to the power of this.
    F16(i32),
    Steps {
        least: f64,
        step: f64,
        greatest_code: f64,
    },
}

impl Grid {
    fn of(precision: Precision, leaves: impl Iterator<Item = f64> + Clone) -> Self {
        let (least, greatest) =
            (leaves.clone().fold(f64::INFINITY, f64::min), leaves.fold(f64::NEG_INFINITY, f64::max));
        let steps = |greatest_code: f64| {
            // The difference of two numbers may be greater than any number.
            Self::Steps { least, step: greatest / greatest_code - least / greatest_code, greatest_code }
        };
        match precision {
            Precision::Exact | Precision::F32 => Self::F32,
            // The greatest is scaled to between 2^14 and 2^15: the greatest f16 is below 2^16.
            Precision::F16 => Self::F16(exponent(least.abs().max(greatest.abs())) - 14),
            Precision::Int8 => steps(255.0),
            Precision::Int4 => steps(15.0),
        }
    }

    fn nearest(self, value: f64) -> f32 {
        let nearest = match self {
            Self::F32 => value,
            Self::F16(scale) => {
                let unit = power_of_two((exponent(value) - 10).max(scale - 24));
                (value / unit).round_ties_even() * unit
            }
            Self::Steps { least, step, greatest_code } => {
                let code = if step > 0.0 { (value / step - least / step).round_ties_even() } else { 0.0 };
                least + code.clamp(0.0, greatest_code) * step
            }
        };
        // One zero, so that equal leaves have equal bits.
        nearest as f32 + 0.0
    }
}

/// Of the power of two at or below a number; that of the least normal number for what is less.
fn exponent(value: f64) -> i32 {
    let biased = (value.to_bits() >> 52 & 0x7FF) as i32;
    biased.max(1) - 1023
}

/// For exponents of normal numbers; the least of them for those below.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.max(-1022) + 1023) as u64) << 52)
}

impl Forest {
    /// The forest in `precision`, and how far its margins can be from this forest's.
    ///
    /// Cost: a pass over the nodes.
    ///
    /// # Errors
    /// An option error for linear models, which keep no table of leaves; for leaves or sums that f32 does not hold; and
    /// for categories that depend on the type of the sum.
    pub(crate) fn quantised(&self, precision: Precision) -> Result<Quantised> {
        let refuse = |finding: &str| Err(Error::option(format!("precision {:?} of {finding}", precision.name())));
        if self.linear().is_some() || self.is_linear_model() {
            return refuse("a model with linear leaves");
        }
        let narrows = self.profile.sum == Float::F64;
        if narrows && self.profile.categories == CategoryRule::Representable && !self.nodes.sets.is_empty() {
            return refuse("a model whose known categories depend on the type of its sums");
        }
        let leaves = match self.profile.sum {
            Float::F32 => self.weighted_leaves::<f32>(),
            Float::F64 => self.weighted_leaves::<f64>(),
        };
        let mut quantised = vec![0.0; leaves.len()];
        let mut errors = Errors::new(self.n_outputs);
        for (tree, of_tree) in self.trees().iter().enumerate() {
            let width = self.tree_width();
            let range = self.leaves_of(tree).start * width..self.leaves_of(tree).end * width;
            if !leaves[range.clone()].iter().all(|leaf| leaf.is_finite()) {
                return refuse("leaves that are not finite").map_err(|error| error.at(format!("tree {tree}")));
            }
            for column in 0..width {
                let of_column = || range.clone().skip(column).step_by(width);
                let grid = Grid::of(precision, of_column().map(|at| leaves[at]));
                let output = match of_tree.target {
                    Target::One(output) => output as usize,
                    Target::All => column,
                };
                for at in of_column() {
                    quantised[at] = f64::from(grid.nearest(leaves[at]));
                }
                errors.add_tree(output, of_column().map(|at| (leaves[at], quantised[at])));
            }
        }
        let bounds: Vec<f64> = (0..self.n_outputs).map(|output| errors.bound(self, output)).collect();
        if !bounds.iter().all(|bound| bound.is_finite()) {
            return refuse("leaves whose sums f32 does not hold");
        }
        Ok(Quantised { forest: self.with_leaves(&quantised)?, bounds })
    }

    /// What every leaf adds.
    fn weighted_leaves<T: Real>(&self) -> Vec<f64> {
        let width = self.tree_width();
        let of_tree = |(index, tree): (usize, &super::Tree)| {
            let (weight, leaves) = (T::from_f64(tree.weight), self.leaves_of(index));
            let values = &self.nodes.leaf_values[leaves.start * width..leaves.end * width];
            values.iter().map(move |&value| (T::from_f64(value) * weight).to_f64())
        };
        self.trees().iter().enumerate().flat_map(of_tree).collect()
    }

    /// The forest with leaves that add `values`, in f32, and no split between equal leaves.
    fn with_leaves(&self, values: &[f64]) -> Result<Forest> {
        let width = self.tree_width();
        let of_leaf = |leaf: usize| &values[leaf * width..][..width];
        // By split the leaf that takes its place, if one does. Children stand behind their parents.
        let mut merged: Vec<Option<usize>> = vec![None; self.splits().len()];
        for index in (0..merged.len()).rev() {
            let split = &self.splits()[index];
            let [left, right] = [split.left, split.right].map(|child| match child.position() {
                Position::Leaf(leaf) => Some(leaf),
                Position::Split(split) => merged[split],
            });
            merged[index] = left.filter(|&left| right.is_some_and(|right| of_leaf(left) == of_leaf(right)));
        }
        let mut forest = self.clone();
        forest.profile.sum = Float::F32;
        let mut builder = ForestBuilder::over(forest);
        for (index, tree) in self.trees().iter().enumerate() {
            let (splits, leaves) = (self.splits_of(index), self.leaves_of(index));
            let number = |child: super::Child| match child.position() {
                Position::Split(split) => (split - splits.start) as u32,
                Position::Leaf(leaf) => (splits.len() + leaf - leaves.start) as u32,
            };
            let output = match tree.target {
                Target::One(output) => Some(output),
                Target::All => None,
            };
            builder.add_tree(output, 1.0, splits.len() + leaves.len(), |node| {
                let node = node as usize;
                let leaf = match node.checked_sub(splits.len()) {
                    Some(leaf) => Some(leaves.start + leaf),
                    None => merged[splits.start + node],
                };
                Ok(match leaf {
                    Some(leaf) => Node::Leaf { id: self.leaf_ids()[leaf], values: of_leaf(leaf) },
                    None => {
                        let split = &self.splits()[splits.start + node];
                        let test = match split.test {
                            SplitTest::Threshold(threshold) => Test::Threshold(threshold),
                            SplitTest::Set(set) => Test::Categories(self.set(set).clone()),
                        };
                        let (left, right) = (number(split.left), number(split.right));
                        Node::Split { feature: split.feature, test, missing: split.missing, left, right }
                    }
                })
            })?;
        }
        builder.finish()
    }
}

/// By output, what is needed to bound the error of a sum of leaves.
struct Errors {
    /// Trees.
    trees: Vec<f64>,
    /// Sums over trees of the greatest difference between a leaf and what it became.
    differences: Vec<f64>,
    /// Sums over trees of the greatest magnitude of leaves as they were, and as they are.
    magnitudes: Vec<[f64; 2]>,
}

impl Errors {
    fn new(n_outputs: usize) -> Self {
        Self { trees: vec![0.0; n_outputs], differences: vec![0.0; n_outputs], magnitudes: vec![[0.0; 2]; n_outputs] }
    }

    fn add_tree(&mut self, output: usize, leaves: impl Iterator<Item = (f64, f64)> + Clone) {
        let greatest = |of: fn((f64, f64)) -> f64| leaves.clone().map(of).fold(0.0, f64::max);
        self.trees[output] += 1.0;
        self.differences[output] += greatest(|(exact, ours)| (exact - ours).abs());
        self.magnitudes[output][0] += greatest(|(exact, _)| exact.abs());
        self.magnitudes[output][1] += greatest(|(_, ours)| ours.abs());
    }

    /// The differences of the leaves, and what both sums may lose to rounding: a sum of n terms is off by at most
    /// γ(n) = nu / (1 - nu) times the sum of their magnitudes, where u is the type's unit roundoff (Higham, "Accuracy and
    /// Stability of Numerical Algorithms", 4.2). Rounding the base score, dividing, scaling and a base score that comes
    /// last are fewer than 8 roundings more. Infinite if f32 may not hold a sum.
    fn bound(&self, forest: &Forest, output: usize) -> f64 {
        const F32: f64 = 1.0 / (1u64 << 24) as f64;
        const F64: f64 = 1.0 / (1u64 << 53) as f64;
        let n = self.trees[output] + 8.0;
        let gamma = |unit: f64| if n * unit < 0.5 { n * unit / (1.0 - n * unit) } else { f64::INFINITY };
        let exact = match forest.profile.sum {
            Float::F32 => gamma(F32),
            Float::F64 => gamma(F64),
        };
        let ours = gamma(F32);
        let base = forest.base[output].abs();
        let ([magnitude, ours_magnitude], difference) = (self.magnitudes[output], self.differences[output]);
        let factor = match forest.aggregate {
            Aggregate::Mean if self.trees[output] > 0.0 => forest.scale.abs() / self.trees[output],
            _ => forest.scale.abs(),
        };
        let base_factor = match forest.profile.base {
            BasePosition::First => factor,
            BasePosition::Last => 1.0,
        };
        let greatest = (magnitude.max(ours_magnitude) + base) * (1.0 + ours) * factor.max(1.0);
        if greatest > f64::from(f32::MAX) / 2.0 {
            return f64::INFINITY;
        }
        let of_leaves = difference + exact * magnitude + ours * ours_magnitude;
        let of_base = (exact + ours) * base;
        // Denormal numbers round by half the least of them, whatever their magnitude.
        let of_tiny = 8.0 * (1.0 + factor) * f64::from(f32::from_bits(1));
        // This sum itself is rounded.
        (factor * of_leaves + base_factor * of_base + of_tiny) * (1.0 + 4.0 * n * F64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_round_as_ieee_does() {
        // Of a tree whose greatest leaf is 1, scaled by 2^14.
        let grid = Grid::of(Precision::F16, [1.0, -0.5].into_iter());
        for (value, expected) in [
            (1.0, 1.0),
            (1.0 - 1.0 / 4096.0, 1.0),
            (1.0 - 1.0 / 2048.0, 1.0 - 1.0 / 2048.0),
            (0.5 + 1.0 / 4096.0 + 1.0 / 8192.0, 0.5 + 1.0 / 2048.0),
            (-1.0 / 3.0, -1365.0 / 4096.0),
            (1.5 * 2f64.powi(-38), 2f64.powi(-37)),
            (0.0, 0.0),
            (-0.0, 0.0),
        ] {
            assert_eq!(f64::from(grid.nearest(value)), expected, "{value}");
        }
    }

    #[test]
    fn steps_reach_from_the_least_to_the_greatest() {
        let grid = Grid::of(Precision::Int4, [-1.0, 0.15, 2.0].into_iter());
        assert_eq!([-1.0, 2.0, 0.15].map(|value| grid.nearest(value)), [-1.0, 2.0, 0.2]);
        let same = Grid::of(Precision::Int8, [0.3].into_iter());
        assert_eq!(same.nearest(0.3), 0.3);
        let wide = Grid::of(Precision::Int8, [f64::MIN, f64::MAX].into_iter());
        assert_eq!(wide.nearest(f64::MAX), f32::INFINITY);
    }
}

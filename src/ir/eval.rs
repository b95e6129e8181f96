//! The reference evaluator: the definition of a correct answer.
//!
//! One row, one tree, one node at a time, in the plainest code there is. Every kernel must equal it to the bit; where
//! the two differ, the kernel is wrong. It is slow and allocates: tests and `validate` use it, predictions do not.

use super::real::Real;
use super::{
    Absent, Aggregate, BasePosition, Child, Comparison, Forest, LinearMissing, Missing, Position, Split, SplitTest,
    Target, Tree, ZERO_THRESHOLD,
};

/// Where the values of a row were stored; LightGBM reads tiny values of dense rows as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Dense,
    Sparse,
}

impl Forest {
    /// The row as the source library's input layer hands it to the trees.
    fn read_row(&self, row: &[f64], storage: Storage) -> Vec<f64> {
        let flush = self.profile.flush_tiny && storage == Storage::Dense;
        let read = |&value: &f64| {
            let value = self.profile.round_input(value);
            if flush && value.abs() <= ZERO_THRESHOLD { 0.0 } else { value }
        };
        row.iter().map(read).collect()
    }

    /// A sparse row written out: `None` is an entry the row does not list.
    pub(crate) fn fill_absent(&self, row: &[Option<f64>]) -> Vec<f64> {
        let absent = match self.profile.absent {
            Absent::Missing => f64::NAN,
            Absent::Zero => 0.0,
        };
        row.iter().map(|value| value.unwrap_or(absent)).collect()
    }

    /// Index in the forest of the leaf that every tree puts the row in.
    pub(crate) fn eval_leaves(&self, row: &[f64], storage: Storage) -> Vec<usize> {
        let row = self.read_row(row, storage);
        self.nodes.trees.iter().map(|tree| self.find_leaf(tree.root, &row)).collect()
    }

    fn find_leaf(&self, root: Child, row: &[f64]) -> usize {
        let mut child = root;
        loop {
            match child.position() {
                Position::Leaf(leaf) => return leaf,
                Position::Split(index) => {
                    let split = &self.nodes.splits[index];
                    child = if self.goes_left(split, row[split.feature as usize]) { split.left } else { split.right };
                }
            }
        }
    }

    fn goes_left(&self, split: &Split, value: f64) -> bool {
        let zero_or_nan = value.is_nan() || value.abs() <= ZERO_THRESHOLD;
        match split.missing {
            Missing::Left if value.is_nan() => true,
            Missing::Right if value.is_nan() => false,
            Missing::ZeroLeft if zero_or_nan => true,
            Missing::ZeroRight if zero_or_nan => false,
            Missing::AsZero if value.is_nan() => self.test(split.test, 0.0),
            _ => self.test(split.test, value),
        }
    }

    fn test(&self, test: SplitTest, value: f64) -> bool {
        match test {
            SplitTest::Threshold(threshold) => match self.profile.comparison {
                Comparison::Less => value < threshold,
                Comparison::LessOrEqual => value <= threshold,
            },
            SplitTest::Set(set) => {
                self.profile.category(value).is_some_and(|code| self.nodes.sets[set as usize].contains(code))
            }
        }
    }

    /// What every tree adds to the margins of a row, `tree_width` values each.
    pub(crate) fn eval_tree_values<T: Real>(&self, row: &[f64], storage: Storage) -> Vec<T> {
        let read = self.read_row(row, storage);
        let mut values = Vec::new();
        for (tree, leaf) in self.nodes.trees.iter().zip(self.eval_leaves(row, storage)) {
            let weight = T::from_f64(tree.weight);
            match tree.target {
                Target::One(_) => values.push(self.eval_leaf::<T>(leaf, &read) * weight),
                Target::All => values.extend(self.leaf(leaf).iter().map(|&value| T::from_f64(value) * weight)),
            }
        }
        values
    }

    /// The margins of a row. `T` must be the type of [`NumericProfile::sum`](super::NumericProfile::sum).
    pub(crate) fn eval_margins<T: Real>(&self, row: &[f64], storage: Storage) -> Vec<T> {
        let mut sums: Vec<T> = match self.profile.base {
            BasePosition::First => self.base.iter().map(|&base| T::from_f64(base)).collect(),
            BasePosition::Last => vec![T::ZERO; self.n_outputs],
        };
        let read = self.read_row(row, storage);
        for (tree, leaf) in self.nodes.trees.iter().zip(self.eval_leaves(row, storage)) {
            let weight = T::from_f64(tree.weight);
            match tree.target {
                Target::One(output) => sums[output as usize] += self.eval_leaf::<T>(leaf, &read) * weight,
                Target::All => {
                    for (sum, &value) in sums.iter_mut().zip(self.leaf(leaf)) {
                        *sum += T::from_f64(value) * weight;
                    }
                }
            }
        }
        for (output, sum) in sums.iter_mut().enumerate() {
            if self.aggregate == Aggregate::Mean {
                let adds =
                    |tree: &&Tree| matches!(tree.target, Target::All) || tree.target == Target::One(output as u32);
                *sum = *sum / T::from_f64(self.nodes.trees.iter().filter(adds).count() as f64);
            }
            if self.scale != 1.0 {
                *sum = *sum * T::from_f64(self.scale);
            }
            if self.profile.base == BasePosition::Last {
                *sum = T::from_f64(sum.to_f64() + self.base[output]);
            }
        }
        sums
    }

    /// The value of a scalar leaf, or of the linear model in its place, for a row as the trees read it.
    pub(crate) fn eval_leaf<T: Real>(&self, leaf: usize, row: &[f64]) -> T {
        let constant = self.nodes.linear.as_ref().and_then(|linear| linear.models[leaf]).map(|model| model.constant);
        self.eval_leaf_from(leaf, T::from_f64(constant.unwrap_or_default()), row)
    }

    /// The same, where a linear model starts from `constant` in place of its own.
    pub(crate) fn eval_leaf_from<T: Real>(&self, leaf: usize, constant: T, row: &[f64]) -> T {
        let value = T::from_f64(self.leaf(leaf)[0]);
        let Some(linear) = &self.nodes.linear else { return value };
        let Some(model) = linear.models[leaf] else { return value };
        let mut sum = constant;
        for &(feature, coefficient) in &linear.terms[model.terms()] {
            let x = row[feature as usize];
            match linear.missing {
                LinearMissing::UseLeafValue if x.is_nan() => return value,
                LinearMissing::SkipTerm if x.is_nan() => {}
                _ => sum += T::from_f64(coefficient) * T::from_f64(x),
            }
        }
        sum
    }

    /// The values of a row: what the source library's plain `predict` returns.
    pub(crate) fn eval_values<T: Real>(&self, row: &[f64], storage: Storage) -> Vec<T> {
        let mut values = self.eval_margins::<T>(row, storage);
        let divisor = T::from_f64(self.divisor());
        for value in &mut values {
            *value = *value / divisor;
        }
        let n_values = self.link.n_values(self.n_outputs);
        values.resize(n_values.max(self.n_outputs), T::ZERO);
        let width = values.len();
        self.link.apply(&mut values, width);
        values.truncate(n_values);
        values
    }
}

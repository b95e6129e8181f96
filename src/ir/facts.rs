//! What can be said of a forest without running it: the basis of planning and of `inspect`.

use serde::Serialize;

use super::{CategoryRule, Forest, Missing, SplitTest, ZERO_THRESHOLD};

/// Sizes and shapes of a forest.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// Number of trees.
    pub trees: usize,
    /// Number of boosting iterations.
    pub iterations: usize,
    /// Number of inner nodes of all trees.
    pub splits: usize,
    /// Number of leaves of all trees.
    pub leaves: usize,
    /// Leaves of the largest tree.
    pub max_leaves: usize,
    /// Splits on the longest path from a root to a leaf.
    pub max_depth: usize,
    /// Mean over trees of their longest path.
    pub mean_depth: f64,
    /// Features that some split or linear model uses.
    pub features_used: usize,
    /// Distinct thresholds of the feature that has most.
    pub max_cuts: usize,
    /// Splits that test membership in a set of categories.
    pub category_splits: usize,
    /// Leaves that hold a linear model.
    pub linear_leaves: usize,
    /// Splits for which zero counts as missing.
    pub zero_as_missing_splits: usize,
}

impl Facts {
    /// Cost: one pass over the splits and a sort of each feature's thresholds.
    pub(crate) fn of(forest: &Forest) -> Self {
        let depths = || forest.trees().iter().map(|tree| tree.depth);
        let cuts = cuts(forest);
        let count = |f: fn(&super::Split) -> bool| forest.splits().iter().filter(|split| f(split)).count();
        // A linear model is kept as leaves without splits, which are no trees to anybody else.
        let trees = if forest.is_linear_model() { 0 } else { forest.n_trees() };
        Self {
            trees,
            iterations: if trees == 0 { 0 } else { forest.n_iterations() },
            splits: forest.splits().len(),
            leaves: if trees == 0 { 0 } else { forest.n_leaves() },
            max_leaves: (0..trees).map(|tree| forest.leaves_of(tree).len()).max().unwrap_or(0),
            max_depth: depths().max().unwrap_or(0) as usize,
            mean_depth: depths().map(f64::from).sum::<f64>() / forest.n_trees().max(1) as f64,
            features_used: features_used(forest).len(),
            max_cuts: cuts.iter().map(|(_, cuts)| cuts.len()).max().unwrap_or(0),
            category_splits: count(|split| matches!(split.test, SplitTest::Set(_))),
            linear_leaves: forest.linear().map_or(0, |linear| linear.models.iter().flatten().count()),
            zero_as_missing_splits: count(|split| matches!(split.missing, Missing::ZeroLeft | Missing::ZeroRight)),
        }
    }
}

impl Facts {
    /// Of several forests together. Features are counted for each.
    pub(crate) fn of_all(all: &[Self]) -> Self {
        let sum = |of: fn(&Self) -> usize| all.iter().map(of).sum();
        let max = |of: fn(&Self) -> usize| all.iter().map(of).max().unwrap_or(0);
        let trees: usize = sum(|facts| facts.trees);
        let depths: f64 = all.iter().map(|facts| facts.mean_depth * facts.trees as f64).sum();
        Self {
            trees,
            iterations: sum(|facts| facts.iterations),
            splits: sum(|facts| facts.splits),
            leaves: sum(|facts| facts.leaves),
            max_leaves: max(|facts| facts.max_leaves),
            max_depth: max(|facts| facts.max_depth),
            mean_depth: depths / trees.max(1) as f64,
            features_used: sum(|facts| facts.features_used),
            max_cuts: max(|facts| facts.max_cuts),
            category_splits: sum(|facts| facts.category_splits),
            linear_leaves: sum(|facts| facts.linear_leaves),
            zero_as_missing_splits: sum(|facts| facts.zero_as_missing_splits),
        }
    }
}

/// The features that some split tests or some linear model uses, ascending.
pub(crate) fn features_used(forest: &Forest) -> Vec<u32> {
    let mut features: Vec<u32> = forest.splits().iter().map(|split| split.feature).collect();
    features.extend(forest.linear().iter().flat_map(|linear| &linear.terms).map(|(feature, _)| feature));
    features.sort_unstable();
    features.dedup();
    features
}

/// The distinct thresholds of every feature that has any, ascending in feature and threshold.
pub(crate) fn cuts(forest: &Forest) -> Vec<(u32, Vec<f64>)> {
    let threshold = |split: &super::Split| match split.test {
        SplitTest::Threshold(threshold) => Some((split.feature, threshold)),
        SplitTest::Set(_) => None,
    };
    let mut all: Vec<(u32, f64)> = forest.splits().iter().filter_map(threshold).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    all.dedup();
    let groups = all.chunk_by(|a, b| a.0 == b.0);
    groups.map(|group| (group[0].0, group.iter().map(|cut| cut.1).collect())).collect()
}

/// Whether reading tiny values as 0.0 can change any outcome: some threshold lies within ±1e-35, a tiny negative value
/// would be no category, or linear models use the values themselves.
pub(crate) fn tells_tiny_values(forest: &Forest) -> bool {
    let tiny = |split: &super::Split| match split.test {
        SplitTest::Threshold(threshold) => (-ZERO_THRESHOLD..=ZERO_THRESHOLD).contains(&threshold),
        // Of codes truncated toward zero, a tiny value has that of 0.0 anyway.
        SplitTest::Set(_) => forest.profile().categories != CategoryRule::Truncate,
    };
    forest.linear().is_some() || forest.splits().iter().any(tiny)
}

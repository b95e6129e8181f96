//! One LightGBM tree: its lines, lowered into the builder.
//!
//! Splits and leaves are numbered apart; a child below 0 is leaf `!child`. Bits of `decision_type`: 0 category split,
//! 1 default left, 2 and 3 missing type (LightGBM `include/LightGBM/tree.h`). `shrinkage` is in the leaf values
//! already.

use super::text::{Lines, number, numbers};
use crate::error::{Error, Result};
use crate::ir::{CategorySet, ForestBuilder, Missing, Node, NumberedNode, NumberedTree, PlainSplit, Test};

/// Buffers for the lines of one tree.
#[derive(Default)]
pub(super) struct TreeBlock {
    num_leaves: usize,
    split_feature: Vec<i64>,
    threshold: Vec<f64>,
    decision_type: Vec<i8>,
    left_child: Vec<i32>,
    right_child: Vec<i32>,
    leaf_value: Vec<f64>,
    cat_boundaries: Vec<i64>,
    cat_threshold: Vec<u32>,
    is_linear: bool,
    leaf_const: Vec<f64>,
    /// Terms of the linear model of each leaf.
    num_features: Vec<usize>,
    leaf_features: Vec<u32>,
    leaf_coeff: Vec<f64>,
    /// The terms of all leaves, and where those of each leaf start.
    terms: Vec<(u32, f64)>,
    term_starts: Vec<usize>,
}

impl TreeBlock {
    /// Reads the lines up to the blank line that ends the tree.
    pub(super) fn read(&mut self, lines: &mut Lines<'_>) -> Result<()> {
        for integers in [&mut self.left_child, &mut self.right_child] {
            integers.clear();
        }
        self.split_feature.clear();
        self.decision_type.clear();
        self.cat_boundaries.clear();
        self.cat_threshold.clear();
        self.threshold.clear();
        self.leaf_value.clear();
        self.is_linear = false;
        self.leaf_const.clear();
        self.num_features.clear();
        self.leaf_features.clear();
        self.leaf_coeff.clear();
        let (mut num_leaves, mut num_cat) = (None, None::<usize>);
        while let Some(line) = lines.peek()? {
            if line.starts_with("Tree=") || line == "end of trees" {
                break;
            }
            lines.next()?;
            if line.is_empty() {
                break;
            }
            let Some((key, value)) = line.split_once('=') else {
                let finding = format!("line {}: {:?} is not key=value", lines.number(), super::text::short(line));
                return Err(Error::invalid_model(finding));
            };
            let read = match key {
                "num_leaves" if num_leaves.is_some() => Err(Error::invalid_model("twice: a \"Tree=\" line is lost")),
                "num_leaves" => number::<usize>(value).map(|count| num_leaves = Some(count)),
                "num_cat" => number(value).map(|count| num_cat = Some(count)),
                "split_feature" => numbers(value, &mut self.split_feature),
                "threshold" => numbers(value, &mut self.threshold),
                "decision_type" => numbers(value, &mut self.decision_type),
                "left_child" => numbers(value, &mut self.left_child),
                "right_child" => numbers(value, &mut self.right_child),
                "leaf_value" => numbers(value, &mut self.leaf_value),
                "cat_boundaries" => numbers(value, &mut self.cat_boundaries),
                "cat_threshold" => numbers(value, &mut self.cat_threshold),
                "is_linear" => number::<u8>(value).map(|flag| self.is_linear = flag != 0),
                "leaf_const" => numbers(value, &mut self.leaf_const),
                "num_features" => numbers(value, &mut self.num_features),
                "leaf_features" => numbers(value, &mut self.leaf_features),
                "leaf_coeff" => numbers(value, &mut self.leaf_coeff),
                _ => Ok(()),
            };
            read.map_err(|error| error.at(format!("line {}: {key}", lines.number())))?;
        }
        self.check(num_leaves, num_cat)
    }

    fn check(&mut self, num_leaves: Option<usize>, num_cat: Option<usize>) -> Result<()> {
        let missing = |key: &str| Error::invalid_model(format!("no {key}: the tree is cut short"));
        let claimed = num_leaves.ok_or_else(|| missing("num_leaves"))?;
        self.num_leaves = self.leaf_value.len();
        if self.num_leaves == 0 || self.num_leaves != claimed {
            let finding = format!("num_leaves is {claimed}, but leaf_value has {} entries", self.num_leaves);
            return Err(Error::invalid_model(finding));
        }
        if self.is_linear {
            self.check_linear()?;
        }
        let splits = self.num_leaves - 1;
        if splits == 0 {
            // LightGBM writes no splits for a tree of one leaf.
            return Ok(());
        }
        if self.decision_type.is_empty() {
            self.decision_type.resize(splits, 0);
        }
        for (key, len) in [
            ("split_feature", self.split_feature.len()),
            ("threshold", self.threshold.len()),
            ("decision_type", self.decision_type.len()),
            ("left_child", self.left_child.len()),
            ("right_child", self.right_child.len()),
        ] {
            if len != splits {
                return Err(Error::invalid_model(format!("{key} has {len} entries, but {splits} splits need as many")));
            }
        }
        let num_cat = num_cat.ok_or_else(|| missing("num_cat"))?;
        if num_cat > 0 && self.cat_boundaries.len().checked_sub(1) != Some(num_cat) {
            let finding = format!("cat_boundaries has {} entries for {num_cat} sets", self.cat_boundaries.len());
            return Err(Error::invalid_model(finding));
        }
        // Every split has a set of its own; a shared one would be copied for each.
        let is_category = |&split: &usize| self.decision_type[split] & 1 != 0;
        let words = |split| self.set_words(split).map_or(0, <[u32]>::len);
        let used = (0..splits).filter(is_category).map(words).fold(0, usize::saturating_add);
        if used > self.cat_threshold.len() {
            let finding = format!("category sets of {used} words, but cat_threshold has {}", self.cat_threshold.len());
            return Err(Error::invalid_model(finding));
        }
        Ok(())
    }

    /// The lists of all leaves' terms stand one after another, parted by `num_features`.
    fn check_linear(&mut self) -> Result<()> {
        for (key, len) in [("leaf_const", self.leaf_const.len()), ("num_features", self.num_features.len())] {
            if len != self.num_leaves {
                return Err(Error::invalid_model(format!("{key} has {len} entries for {} leaves", self.num_leaves)));
            }
        }
        self.term_starts.clear();
        self.term_starts.push(0);
        let mut end = 0usize;
        for &count in &self.num_features {
            end = end.saturating_add(count);
            self.term_starts.push(end);
        }
        for (key, len) in [("leaf_features", self.leaf_features.len()), ("leaf_coeff", self.leaf_coeff.len())] {
            if len != end {
                return Err(Error::invalid_model(format!("{key} has {len} entries, but num_features makes {end}")));
            }
        }
        self.terms.clear();
        self.terms.extend(self.leaf_features.iter().copied().zip(self.leaf_coeff.iter().copied()));
        Ok(())
    }

    /// Adds the tree to the builder.
    pub(super) fn lower(&self, builder: &mut ForestBuilder) -> Result<()> {
        // Numbered for the builder as splits first, then leaves. The output follows when all trees are there.
        builder.add_numbered_tree(0, 1.0, self)
    }

    /// The set of a category split, whose threshold is the number of its set.
    fn category_set(&self, id: usize) -> Result<CategorySet> {
        self.set_words(id).map(CategorySet::from_words)
    }

    fn set_words(&self, id: usize) -> Result<&[u32]> {
        let threshold = self.threshold[id];
        let index = threshold as usize;
        let bounds = self.cat_boundaries.get(index..).and_then(|rest| rest.get(..2));
        let bounds = bounds.filter(|_| index as f64 == threshold).ok_or_else(|| {
            let sets = self.cat_boundaries.len().saturating_sub(1);
            Error::invalid_model(format!("category set {threshold}, but the tree has {sets}"))
        })?;
        let range = usize::try_from(bounds[0]).ok().zip(usize::try_from(bounds[1]).ok());
        range.and_then(|(start, end)| self.cat_threshold.get(start..end)).ok_or_else(|| {
            let words = self.cat_threshold.len();
            Error::invalid_model(format!("category set at words {}..{}, but there are {words}", bounds[0], bounds[1]))
        })
    }
}

/// What a decision type says of missing values, if it says anything known.
#[inline(always)]
fn missing(decision: i8) -> Option<Missing> {
    let default_left = decision & 2 != 0;
    match ((decision >> 2) & 3, default_left) {
        (0, _) => Some(Missing::AsZero),
        (1, true) => Some(Missing::ZeroLeft),
        (1, false) => Some(Missing::ZeroRight),
        (2, true) => Some(Missing::Left),
        (2, false) => Some(Missing::Right),
        _ => None,
    }
}

impl NumberedTree for TreeBlock {
    fn n_nodes(&self) -> usize {
        2 * self.num_leaves - 1
    }

    #[inline(always)]
    fn is_leaf(&self, node: u32) -> bool {
        node as usize + 1 >= self.num_leaves
    }

    #[inline(always)]
    fn try_each(&self, mut each: impl FnMut(u32, NumberedNode) -> Option<()>) -> Option<()> {
        let splits = self.num_leaves - 1;
        // Of one length, as far as the compiler knows too.
        let (left, right) = (&self.left_child[..splits], &self.right_child[..splits]);
        let (features, thresholds) = (&self.split_feature[..splits], &self.threshold[..splits]);
        let decisions = &self.decision_type[..splits];
        // A leaf that is not there is no node either.
        let child = |child: i32| if child < 0 { (splits + !child as usize) as u32 } else { child as u32 };
        let plain_split = |node: usize| {
            if decisions[node] & 1 != 0 || left[node].max(right[node]) >= splits as i32 {
                return None;
            }
            let (feature, missing) = (u32::try_from(features[node]).ok()?, missing(decisions[node])?);
            let (left, right) = (child(left[node]), child(right[node]));
            Some(PlainSplit { feature, threshold: thresholds[node], missing, left, right })
        };
        for node in 0..splits {
            each(node as u32, plain_split(node).map_or(NumberedNode::Other, NumberedNode::Split))?;
        }
        for (leaf, &value) in self.leaf_value.iter().enumerate() {
            let found =
                if self.is_linear { NumberedNode::Other } else { NumberedNode::Leaf { id: leaf as u32, value } };
            each((splits + leaf) as u32, found)?;
        }
        Some(())
    }

    #[inline(always)]
    fn node(&self, id: u32) -> Result<Node<'_>> {
        let id = id as usize;
        let splits = self.num_leaves - 1;
        if id >= splits {
            let leaf = id - splits;
            if self.is_linear {
                let terms = &self.terms[self.term_starts[leaf]..self.term_starts[leaf + 1]];
                let (value, constant) = (self.leaf_value[leaf], self.leaf_const[leaf]);
                return Ok(Node::LinearLeaf { id: leaf as u32, value, constant, terms });
            }
            return Ok(Node::Leaf { id: leaf as u32, values: &self.leaf_value[leaf..=leaf] });
        }
        let child = |child: i32| match usize::try_from(child) {
            Ok(split) if split < splits => Ok(split as u32),
            Err(_) if (!child as usize) < self.num_leaves => Ok((splits + !child as usize) as u32),
            Ok(split) => Err(Error::invalid_model(format!("child {split}, but the tree has {splits} splits"))),
            Err(_) => Err(Error::invalid_model(format!("leaf {}, but the tree has {}", !child, self.num_leaves))),
        };
        let (left, right) = (child(self.left_child[id])?, child(self.right_child[id])?);
        let feature = self.split_feature[id];
        let feature = u32::try_from(feature).map_err(|_| Error::invalid_model(format!("feature {feature}")))?;
        let decision = self.decision_type[id];
        if decision & 1 != 0 {
            // NaN is in no set, whatever the missing type.
            let test = Test::Categories(self.category_set(id)?);
            return Ok(Node::Split { feature, test, missing: Missing::Right, left, right });
        }
        let missing = missing(decision)
            .ok_or_else(|| Error::invalid_model(format!("decision_type {decision}: missing type 3")))?;
        Ok(Node::Split { feature, test: Test::Threshold(self.threshold[id]), missing, left, right })
    }
}

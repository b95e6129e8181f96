//! Forests whose splits ask other questions, of other rows.

use super::build::{ForestBuilder, Node, Test};
use super::{Child, Float, Forest, Missing, Position, Split, SplitTest, Target};
use crate::error::Result;

/// What a split asks instead.
pub(crate) struct Retest {
    pub(crate) feature: u32,
    pub(crate) test: Test,
    pub(crate) missing: Missing,
    /// Whether values that pass go right.
    pub(crate) swapped: bool,
}

impl Forest {
    /// The forest for rows of `n_features` values of type `input`, each of its splits asking what `retest` says.
    ///
    /// Cost: a pass over the nodes.
    ///
    /// # Errors
    /// As [`ForestBuilder::finish`].
    pub(crate) fn retested(
        &self,
        n_features: usize,
        input: Float,
        mut retest: impl FnMut(&Split) -> Retest,
    ) -> Result<Self> {
        let mut forest = self.clone();
        (forest.n_features, forest.profile.input) = (n_features, input);
        let mut builder = ForestBuilder::over(forest);
        for (index, tree) in self.trees().iter().enumerate() {
            let (splits, leaves) = (self.splits_of(index), self.leaves_of(index));
            let number = |child: Child| match child.position() {
                Position::Split(split) => (split - splits.start) as u32,
                Position::Leaf(leaf) => (splits.len() + leaf - leaves.start) as u32,
            };
            let output = match tree.target {
                Target::One(output) => Some(output),
                Target::All => None,
            };
            builder.add_tree(output, tree.weight, splits.len() + leaves.len(), |node| {
                let node = node as usize;
                Ok(match node.checked_sub(splits.len()) {
                    Some(leaf) => {
                        let leaf = leaves.start + leaf;
                        Node::Leaf { id: self.leaf_ids()[leaf], values: self.leaf(leaf) }
                    }
                    None => {
                        let split = &self.splits()[splits.start + node];
                        let Retest { feature, test, missing, swapped } = retest(split);
                        let children = [number(split.left), number(split.right)];
                        let [left, right] = if swapped { [children[1], children[0]] } else { children };
                        Node::Split { feature, test, missing, left, right }
                    }
                })
            })?;
        }
        builder.finish()
    }

    /// The question of a split, as a builder takes it.
    pub(crate) fn test_of(&self, split: &Split) -> Test {
        match split.test {
            SplitTest::Threshold(threshold) => Test::Threshold(threshold),
            SplitTest::Set(set) => Test::Categories(self.set(set).clone()),
        }
    }
}

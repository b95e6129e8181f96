//! Forests in compiled models: all of one, or only its arithmetic, where layouts hold the nodes.

use std::sync::Arc;

use super::build::{ForestBuilder, Node, Test};
use super::{
    Absent, Aggregate, BasePosition, CategoryRule, CategorySet, Comparison, Facts, Float, Forest, Labels, LazyNodes,
    LinearMissing, Link, Missing, Nodes, NumericProfile, Position, SplitTest, Target,
};
use crate::error::{Error, Result};
use crate::store::{Reader, Stored, Writer, stored};

stored!(enum Float { 0 => F32, 1 => F64 });
stored!(enum Comparison { 0 => Less, 1 => LessOrEqual });
stored!(enum BasePosition { 0 => First, 1 => Last });
stored!(enum CategoryRule { 0 => NonNegative, 1 => Truncate, 2 => Representable, 3 => Exact });
stored!(enum Absent { 0 => Missing, 1 => Zero });
stored!(enum Missing { 0 => Left, 1 => Right, 2 => AsZero, 3 => ZeroLeft, 4 => ZeroRight });
stored!(enum Aggregate { 0 => Sum, 1 => MeanOfValue, 2 => Mean });
stored!(enum LinearMissing { 0 => UseLeafValue, 1 => SkipTerm });
stored!(enum Target { 0 => All, 1 => One(output) });
stored!(enum Labels {
    0 => None, 1 => AboveHalf, 2 => ArgMax, 3 => Value, 4 => PositiveMargin, 5 => NonNegativeMargin,
    6 => MarginAboveHalf, 7 => ArgMaxMargin, 8 => Inlier,
});
stored!(enum Link {
    0 => Identity, 1 => Sigmoid, 2 => ScaledSigmoid { scale }, 3 => Exp, 4 => Softplus, 5 => SignedSquare,
    6 => Softmax, 7 => SoftmaxF32, 8 => PathLength { ratio }, 9 => IsolationScore { ratio, offset }, 10 => ArgMax,
    11 => Step, 12 => SortAscending, 13 => Expectiles, 14 => Logistic, 15 => Complement, 16 => Mirror,
    17 => MirrorLogistic, 18 => SoftmaxInType,
});
stored!(struct NumericProfile { input, comparison, sum, base, categories, absent, flush_tiny });
stored!(struct Facts {
    trees, iterations, splits, leaves, max_leaves, max_depth, mean_depth, features_used, max_cuts, category_splits,
    linear_leaves, zero_as_missing_splits,
});

impl Stored for CategorySet {
    fn put(&self, to: &mut Writer) {
        self.words.iter().map(|&[index, bits]| (index, bits)).collect::<Vec<_>>().put(to);
    }

    fn get(from: &mut Reader) -> Result<Self> {
        let words: Vec<(u32, u32)> = Stored::get(from)?;
        let sound = words.is_sorted_by(|a, b| a.0 < b.0) && words.last().is_none_or(|last| last.0 < 1 << 27);
        if !sound {
            return Err(Error::invalid_model("a set of categories out of order"));
        }
        Ok(Self { words: words.into_iter().map(|(index, bits)| [index, bits]).collect() })
    }
}

/// A node of a tree; children are numbers of nodes of that tree.
enum StoredNode {
    Split(u32, StoredTest, (Missing, (u32, u32))),
    Leaf(u32, Vec<f64>),
    Linear(u32, (f64, f64), Vec<(u32, f64)>),
}

enum StoredTest {
    Threshold(f64),
    Categories(CategorySet),
}

stored!(enum StoredTest { 0 => Threshold(threshold), 1 => Categories(set) });

impl Stored for StoredNode {
    fn put(&self, to: &mut Writer) {
        match self {
            Self::Split(feature, test, rest) => {
                0u8.put(to);
                feature.put(to);
                test.put(to);
                rest.put(to);
            }
            Self::Leaf(id, values) => {
                1u8.put(to);
                id.put(to);
                values.put(to);
            }
            Self::Linear(id, values, terms) => {
                2u8.put(to);
                id.put(to);
                values.put(to);
                terms.put(to);
            }
        }
    }

    fn get(from: &mut Reader) -> Result<Self> {
        match u8::get(from)? {
            0 => Ok(Self::Split(u32::get(from)?, Stored::get(from)?, Stored::get(from)?)),
            1 => Ok(Self::Leaf(u32::get(from)?, Stored::get(from)?)),
            2 => Ok(Self::Linear(u32::get(from)?, Stored::get(from)?, Stored::get(from)?)),
            other => Err(crate::store::unknown("node", other)),
        }
    }
}

/// All of a forest. It is read as any other file is, through the builder.
impl Stored for Forest {
    fn put(&self, to: &mut Writer) {
        self.put_arithmetic(to);
        self.nodes.linear.as_ref().map_or(LinearMissing::default(), |linear| linear.missing).put(to);
        for (index, tree) in self.trees().iter().enumerate() {
            (tree.target, tree.weight).put(to);
            let (splits, leaves) = (self.splits_of(index), self.leaves_of(index));
            let number = |child: super::Child| match child.position() {
                Position::Split(split) => (split - splits.start) as u32,
                Position::Leaf(leaf) => (splits.len() + leaf - leaves.start) as u32,
            };
            (splits.len() + leaves.len()).put(to);
            for split in &self.splits()[splits.clone()] {
                let test = match split.test {
                    SplitTest::Threshold(threshold) => StoredTest::Threshold(threshold),
                    SplitTest::Set(set) => StoredTest::Categories(self.set(set).clone()),
                };
                let children = (number(split.left), number(split.right));
                StoredNode::Split(split.feature, test, (split.missing, children)).put(to);
            }
            for leaf in leaves.clone() {
                let id = self.leaf_ids()[leaf];
                let linear = self.linear().and_then(|linear| Some((linear, linear.models[leaf]?)));
                match linear {
                    None => StoredNode::Leaf(id, self.leaf(leaf).to_vec()).put(to),
                    Some((linear, model)) => {
                        let terms = linear.terms[model.terms()].to_vec();
                        StoredNode::Linear(id, (self.leaf(leaf)[0], model.constant), terms).put(to);
                    }
                }
            }
        }
    }

    fn get(from: &mut Reader) -> Result<Self> {
        let arithmetic = Self::get_arithmetic(from)?;
        let n_trees = arithmetic.n_trees;
        let mut builder = ForestBuilder::over(arithmetic);
        builder.set_linear_missing(LinearMissing::get(from)?);
        for _ in 0..n_trees {
            let (target, weight) = <(Target, f64)>::get(from)?;
            let output = match target {
                Target::One(output) => Some(output),
                Target::All => None,
            };
            let nodes: Vec<StoredNode> = Stored::get(from)?;
            builder.add_tree(output, weight, nodes.len(), |number| {
                Ok(match &nodes[number as usize] {
                    StoredNode::Split(feature, test, (missing, (left, right))) => Node::Split {
                        feature: *feature,
                        test: match test {
                            StoredTest::Threshold(threshold) => Test::Threshold(*threshold),
                            StoredTest::Categories(set) => Test::Categories(set.clone()),
                        },
                        missing: *missing,
                        left: *left,
                        right: *right,
                    },
                    StoredNode::Leaf(id, values) => Node::Leaf { id: *id, values },
                    StoredNode::Linear(id, (value, constant), terms) => {
                        Node::LinearLeaf { id: *id, value: *value, constant: *constant, terms }
                    }
                })
            })?;
        }
        builder.finish()
    }
}

impl Forest {
    /// Everything but the nodes.
    pub(crate) fn put_arithmetic(&self, to: &mut Writer) {
        (self.n_features, self.n_outputs).put(to);
        (self.profile, self.tells_tiny).put(to);
        (self.base.to_vec(), self.scale).put(to);
        (self.aggregate, (self.link, self.labels)).put(to);
        (self.n_trees, (self.vector_leaves, self.linear_model)).put(to);
        self.iterations.put(to);
        self.trees_of_output.to_vec().put(to);
    }

    /// A forest whose nodes are still to come.
    pub(crate) fn get_arithmetic(from: &mut Reader) -> Result<Self> {
        let (n_features, n_outputs) = Stored::get(from)?;
        let (profile, tells_tiny) = Stored::get(from)?;
        let (base, scale): (Vec<f64>, f64) = Stored::get(from)?;
        let (aggregate, (link, labels)) = Stored::get(from)?;
        let (n_trees, (vector_leaves, linear_model)) = Stored::get(from)?;
        let (iterations, trees_of_output): (Vec<usize>, Vec<u32>) = Stored::get(from)?;
        let nodes = Nodes::default().into();
        let forest = Self {
            n_features,
            n_outputs,
            profile,
            base: Arc::new(base),
            scale,
            aggregate,
            link,
            labels,
            n_trees,
            tells_tiny,
            vector_leaves,
            linear_model,
            iterations,
            trees_of_output: Arc::new(trees_of_output),
            nodes,
        };
        forest.check_arithmetic(n_trees)?;
        if forest.trees_of_output.len() != n_outputs {
            return Err(Error::invalid_model("another number of outputs than trees add to"));
        }
        Ok(forest)
    }

    /// Whether trees that add to `outputs` are as many for each output as the forest says.
    pub(crate) fn counts_trees_as(&self, outputs: &[u32]) -> bool {
        let mut counts = vec![0; self.n_outputs];
        outputs.iter().for_each(|&output| Target::One(output).count(&mut counts));
        counts == *self.trees_of_output
    }

    /// The forest with the nodes that `make` makes when they are first asked for; they must be those of as many trees
    /// for the same outputs.
    pub(crate) fn with_later_nodes(mut self, make: impl FnOnce() -> Nodes + Send + 'static) -> Self {
        self.nodes = LazyNodes::later(make);
        self
    }
}

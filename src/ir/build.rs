//! The only way to make a [`Forest`]: trees go in as nodes that point at each other in any order, flat arrays come
//! out, and everything below may trust every index in them.
//!
//! Nodes are taken from the root down and renumbered, so that children stand behind their parents. A node met twice means
//! a cycle or a shared child and is an error; a node never met (XGBoost's pruning leaves such orphans) is dropped without
//! being looked at. Trees that are numbered from the root down already are taken in that order (`numbered`).

pub(crate) mod numbered;

use std::sync::Arc;

use super::{
    Aggregate, CategorySet, Child, Forest, Labels, LinearLeaf, LinearLeaves, LinearMissing, Link, Missing, Nodes,
    NumericProfile, Split, SplitTest, Target, Tree as FlatTree, facts,
};
use crate::error::{Error, Result};
use crate::schema::Schema;

/// A node as a builder takes it. Children are given by node number, in any order.
#[derive(Clone, Debug)]
pub enum Node<'a> {
    /// Rows that pass `test` go to node `left`, others to node `right`.
    Split {
        /// The column tested.
        feature: u32,
        /// What is asked of the value.
        test: Test,
        /// What counts as missing, and where it goes.
        missing: Missing,
        /// Node number of the child for rows that pass.
        left: u32,
        /// Node number of the child for rows that do not.
        right: u32,
    },
    /// The end of a path.
    Leaf {
        /// The number reported by [`Output::Leaf`](crate::Output::Leaf).
        id: u32,
        /// One value, or one per output if the tree has vector leaves.
        values: &'a [f64],
    },
    /// The end of a path, with a linear model of the row: `constant + Σ coefficient * value`, in the order of terms.
    LinearLeaf {
        /// As for [`Leaf`](Self::Leaf).
        id: u32,
        /// The value where one of the features is missing.
        value: f64,
        /// The model's constant.
        constant: f64,
        /// Features and their coefficients.
        terms: &'a [(u32, f64)],
    },
}

/// The question a split asks.
#[derive(Clone, Debug)]
pub enum Test {
    /// Below (or at: [`NumericProfile::comparison`]) this threshold. Not NaN.
    Threshold(f64),
    /// The value's category code is in this set.
    Categories(CategorySet),
}

/// A tree as a builder takes it. Node 0 is the root.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// The output its leaves add to; `None` for vector leaves, which add to all.
    pub output: Option<u32>,
    /// Every leaf is multiplied by this (DART); 1.0 otherwise.
    pub weight: f64,
    /// The nodes.
    pub nodes: &'a [Node<'a>],
}

/// Builds a [`Forest`]; see the module's head for what it proves.
///
/// ```
/// use sawmill::{ForestBuilder, Missing, Node, NumericProfile, Schema, Test, TreeSpec};
///
/// let nodes = [
///     Node::Split { feature: 0, test: Test::Threshold(0.5), missing: Missing::Left, left: 1, right: 2 },
///     Node::Leaf { id: 1, values: &[-1.0] },
///     Node::Leaf { id: 2, values: &[1.0] },
/// ];
/// let forest = ForestBuilder::new(&Schema::new(1, 1))
///     .profile(NumericProfile::XGBOOST)
///     .tree(TreeSpec { output: Some(0), weight: 1.0, nodes: &nodes })
///     .finish()?;
/// assert_eq!(forest.n_leaves(), 2);
/// # Ok::<(), sawmill::Error>(())
/// ```
#[derive(Debug)]
pub struct ForestBuilder {
    /// The forest without its nodes.
    forest: Forest,
    nodes: Nodes,
    /// Greatest feature used, with the tree and node that use it.
    max_feature: Option<(u32, usize, u32)>,
    linear_missing: LinearMissing,
    /// Values per leaf, once there is one.
    leaf_width: Option<usize>,
    /// Tree in which each node number was last met.
    met: Vec<u32>,
    /// Right children to come: number, splits above, the split that is the parent.
    stack: Vec<(u32, u32, usize)>,
    numbered: numbered::Buffers,
    failure: Option<Error>,
}

/// Where the index of a node under construction belongs.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Root,
    Left(usize),
    Right(usize),
}

/// What is known of a tree before its nodes are.
struct Start {
    tree: usize,
    target: Target,
    first_split: u32,
    first_leaf: u32,
}

impl ForestBuilder {
    /// A builder for a model with the features and outputs of `schema`, with XGBoost's arithmetic, base scores of 0
    /// and no link.
    pub fn new(schema: &Schema) -> Self {
        let forest = Forest {
            n_features: schema.n_features(),
            n_outputs: schema.n_outputs,
            profile: NumericProfile::XGBOOST,
            base: Arc::default(),
            scale: 1.0,
            aggregate: Aggregate::Sum,
            link: Link::Identity,
            labels: Labels::None,
            n_trees: 0,
            tells_tiny: false,
            vector_leaves: false,
            linear_model: false,
            iterations: Vec::new(),
            trees_of_output: Arc::default(),
            nodes: Nodes::default().into(),
        };
        Self {
            forest,
            nodes: Nodes::default(),
            max_feature: None,
            linear_missing: LinearMissing::default(),
            leaf_width: None,
            met: Vec::new(),
            stack: Vec::new(),
            numbered: numbered::Buffers::default(),
            failure: None,
        }
    }

    /// A builder for nodes of a forest that has everything else.
    pub(crate) fn over(forest: Forest) -> Self {
        Self { forest, ..Self::new(&Schema::new(0, 1)) }
    }

    /// Sets the arithmetic.
    #[must_use]
    pub fn profile(mut self, profile: NumericProfile) -> Self {
        self.forest.profile = profile;
        self
    }

    /// Sets the base score of every output, as margins.
    #[must_use]
    pub fn base(mut self, base: Vec<f64>) -> Self {
        self.forest.base = Arc::new(base);
        self
    }

    /// Sets what sums are multiplied by before a base score that comes last is added; 1 by default.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.forest.scale = scale;
        self
    }

    /// Sets how trees become a margin.
    #[must_use]
    pub fn aggregate(mut self, aggregate: Aggregate) -> Self {
        self.forest.aggregate = aggregate;
        self
    }

    /// Sets how margins become values, and values class labels.
    #[must_use]
    pub fn link(mut self, link: Link, labels: Labels) -> Self {
        (self.forest.link, self.forest.labels) = (link, labels);
        self
    }

    /// Adds a tree. What is wrong with it is reported by [`finish`](Self::finish).
    #[must_use]
    pub fn tree(mut self, tree: Tree<'_>) -> Self {
        if self.failure.is_none() {
            let count = tree.nodes.len();
            let added = self.add_tree(tree.output, tree.weight, count, |node| Ok(tree.nodes[node as usize].clone()));
            self.failure = added.err();
        }
        self
    }

    /// Ends a boosting iteration: the trees added since the last one belong together. Without any such call every
    /// tree is an iteration.
    #[must_use]
    pub fn end_iteration(mut self) -> Self {
        self.forest.iterations.push(self.nodes.trees.len());
        self
    }

    /// The forest, with everything below trusting it.
    ///
    /// # Errors
    /// An invalid-model error that names the tree and node: a child out of range, a node with two parents, a cycle, a
    /// NaN threshold, a feature or output that the schema does not have, leaves of the wrong width, too many nodes.
    pub fn finish(self) -> Result<Forest> {
        self.checked().map(|(forest, nodes)| forest.with_nodes(nodes))
    }

    /// The nodes alone.
    pub(crate) fn finish_nodes(self) -> Result<Nodes> {
        self.checked().map(|(_, nodes)| nodes)
    }

    fn checked(self) -> Result<(Forest, Nodes)> {
        let Self { mut forest, mut nodes, max_feature, leaf_width, failure, .. } = self;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some((feature, tree, node)) = max_feature
            && feature as usize >= forest.n_features
        {
            let finding = format!("feature {feature}, but the model declares {}", forest.n_features);
            return Err(Error::invalid_model(finding).at(format!("tree {tree}, node {node}")));
        }
        for (index, tree) in nodes.trees.iter().enumerate() {
            match tree.target {
                Target::One(output) if output as usize >= forest.n_outputs => {
                    let finding = format!("adds to output {output}, but the model has {}", forest.n_outputs);
                    return Err(Error::invalid_model(finding).at(format!("tree {index}")));
                }
                _ => {}
            }
        }
        if let Some(width) = leaf_width
            && forest.vector_leaves
            && width != forest.n_outputs
        {
            let finding = format!("vector leaves of {width} values, but the model has {} outputs", forest.n_outputs);
            return Err(Error::invalid_model(finding));
        }
        if let Some(linear) = &mut nodes.linear {
            linear.models.resize(nodes.leaf_ids.len(), None);
        }
        if forest.base.is_empty() {
            forest.base = Arc::new(vec![0.0; forest.n_outputs]);
        }
        if forest.iterations.is_empty() {
            forest.iterations = (1..=nodes.trees.len()).collect();
        }
        forest.check_arithmetic(nodes.trees.len())?;
        Ok((forest, nodes))
    }

    /// Makes room for about as many nodes, half of them splits, so that they need not be moved as their number grows.
    pub(crate) fn expect_nodes(&mut self, n_nodes: usize) {
        self.nodes.splits.reserve(n_nodes / 2);
        self.nodes.leaf_ids.reserve(n_nodes / 2);
        self.nodes.leaf_values.reserve(n_nodes / 2);
    }

    /// Number of nodes taken so far.
    pub(crate) fn n_nodes(&self) -> usize {
        self.nodes.splits.len() + self.nodes.leaf_ids.len()
    }

    /// Whether the trees taken so far have vector leaves.
    pub(crate) fn has_vector_leaves(&self) -> bool {
        self.forest.vector_leaves
    }

    /// Number of trees taken so far.
    pub(crate) fn n_trees(&self) -> usize {
        self.nodes.trees.len()
    }

    /// For formats that tell the number of features and outputs after the trees.
    pub(crate) fn set_shape(&mut self, schema: &Schema) {
        (self.forest.n_features, self.forest.n_outputs) = (schema.n_features(), schema.n_outputs);
    }

    /// For formats that tell after the trees which output each adds to.
    pub(crate) fn set_output(&mut self, tree: usize, output: u32) {
        self.nodes.trees[tree].target = Target::One(output);
    }

    /// For formats that tell the weights of trees after the trees.
    pub(crate) fn set_weight(&mut self, tree: usize, weight: f64) {
        self.nodes.trees[tree].weight = weight;
    }

    /// For formats that tell after the trees what changes the values of scalar leaves; `map` is given the output that
    /// a leaf adds to, and its value.
    pub(crate) fn map_leaves(&mut self, map: impl Fn(u32, f64) -> f64) {
        for (index, tree) in self.nodes.trees.iter().enumerate() {
            if let Target::One(output) = tree.target {
                for leaf in self.nodes.leaves_of(index) {
                    self.nodes.leaf_values[leaf] = map(output, self.nodes.leaf_values[leaf]);
                }
            }
        }
    }

    /// Sets where boosting iterations end, as tree counts.
    pub(crate) fn set_iterations(&mut self, ends: Vec<usize>) {
        self.forest.iterations = ends;
    }

    /// Adds a tree of `n_nodes` nodes rooted at node 0; `node` gives them by number and is asked only for nodes that
    /// the root reaches, each once.
    pub(crate) fn add_tree<'a>(
        &mut self,
        output: Option<u32>,
        weight: f64,
        n_nodes: usize,
        mut node: impl FnMut(u32) -> Result<Node<'a>>,
    ) -> Result<()> {
        let Start { tree, target, first_split, first_leaf } = self.start_tree(output, n_nodes)?;
        let mark = u32::try_from(tree + 1).map_err(|_| Error::limit("trees", tree, u32::MAX))?;
        if self.met.len() < n_nodes {
            self.met.resize(n_nodes, 0);
        }
        let mut root = Child::leaf(0);
        self.stack.clear();
        let (mut id, mut above, mut slot, mut depth) = (0, 0, Slot::Root, 0);
        loop {
            let place = || format!("tree {tree}, node {id}");
            match self.met.get_mut(id as usize).filter(|_| (id as usize) < n_nodes) {
                None => {
                    let finding = format!("no such node, the tree has {n_nodes}");
                    return Err(Error::invalid_model(finding).at(place()));
                }
                Some(met) if *met == mark => {
                    return Err(Error::invalid_model("reached twice: a cycle or a shared child").at(place()));
                }
                Some(met) => *met = mark,
            }
            let (child, left) = match node(id).map_err(|error| error.at(place()))? {
                Node::Split { feature, test, missing, left, right } => {
                    let index = self.nodes.splits.len();
                    let test = match test {
                        Test::Threshold(threshold) if threshold.is_nan() => {
                            return Err(Error::invalid_model("the threshold is NaN").at(place()));
                        }
                        Test::Threshold(threshold) => SplitTest::Threshold(threshold),
                        Test::Categories(set) => {
                            self.nodes.sets.push(set);
                            SplitTest::Set(self.nodes.sets.len() as u32 - 1)
                        }
                    };
                    self.uses_feature(feature, tree, id);
                    let unset = Child::leaf(0);
                    self.nodes.splits.push(Split { feature, left: unset, right: unset, missing, test });
                    self.stack.push((right, above + 1, index));
                    (Child::split(index), Some((left, index)))
                }
                Node::Leaf { id: leaf_id, values } => {
                    let width = if output.is_some() { 1 } else { *self.leaf_width.get_or_insert(values.len()) };
                    if values.len() != width {
                        let finding = format!("a leaf of {} values where others have {width}", values.len());
                        return Err(Error::invalid_model(finding).at(place()));
                    }
                    self.nodes.leaf_ids.push(leaf_id);
                    self.nodes.leaf_values.extend_from_slice(values);
                    (Child::leaf(self.nodes.leaf_ids.len() - 1), None)
                }
                Node::LinearLeaf { id: leaf_id, value, constant, terms } => {
                    if output.is_none() {
                        return Err(Error::invalid_model("a linear leaf in a tree of vector leaves").at(place()));
                    }
                    for &(feature, _) in terms {
                        self.uses_feature(feature, tree, id);
                    }
                    self.add_linear_leaf(constant, terms);
                    self.nodes.leaf_ids.push(leaf_id);
                    self.nodes.leaf_values.push(value);
                    (Child::leaf(self.nodes.leaf_ids.len() - 1), None)
                }
            };
            match slot {
                Slot::Root => root = child,
                Slot::Left(parent) => self.nodes.splits[parent].left = child,
                Slot::Right(parent) => self.nodes.splits[parent].right = child,
            }
            (id, above, slot) = match left {
                Some((left, parent)) => (left, above + 1, Slot::Left(parent)),
                None => {
                    depth = depth.max(above);
                    match self.stack.pop() {
                        Some((right, above, parent)) => (right, above, Slot::Right(parent)),
                        None => break,
                    }
                }
            };
        }
        self.nodes.trees.push(FlatTree { root, target, weight, depth, first_split, first_leaf });
        Ok(())
    }

    /// What a tree of `n_nodes` nodes starts with, if it may be added.
    fn start_tree(&mut self, output: Option<u32>, n_nodes: usize) -> Result<Start> {
        let tree = self.nodes.trees.len();
        if self.n_nodes() + n_nodes > i32::MAX as usize {
            return Err(Error::limit("nodes", self.n_nodes() + n_nodes, i32::MAX));
        }
        let target = output.map_or(Target::All, Target::One);
        if output.is_none() && self.nodes.linear.is_some() {
            return Err(Error::invalid_model("linear leaves beside vector leaves").at(format!("tree {tree}")));
        }
        if tree == 0 {
            self.forest.vector_leaves = output.is_none();
        } else if self.forest.vector_leaves != output.is_none() {
            return Err(Error::invalid_model("vector leaves in some trees, but not in all").at(format!("tree {tree}")));
        }
        let (first_split, first_leaf) = (self.nodes.splits.len() as u32, self.nodes.leaf_ids.len() as u32);
        Ok(Start { tree, target, first_split, first_leaf })
    }

    /// Remembers the greatest feature, and who uses it.
    fn uses_feature(&mut self, feature: u32, tree: usize, node: u32) {
        if self.max_feature.is_none_or(|(max, ..)| feature > max) {
            self.max_feature = Some((feature, tree, node));
        }
    }

    /// The model of the leaf that is pushed next.
    fn add_linear_leaf(&mut self, constant: f64, terms: &[(u32, f64)]) {
        let linear = self.nodes.linear.get_or_insert_with(|| LinearLeaves {
            missing: self.linear_missing,
            models: Vec::new(),
            terms: Vec::new(),
        });
        linear.models.resize(self.nodes.leaf_ids.len(), None);
        let first_term = linear.terms.len() as u32;
        linear.terms.extend_from_slice(terms);
        linear.models.push(Some(LinearLeaf { constant, first_term, end_term: linear.terms.len() as u32 }));
    }

    /// For formats whose linear models leave missing values out.
    pub(crate) fn set_linear_missing(&mut self, missing: LinearMissing) {
        self.linear_missing = missing;
    }
}

impl Forest {
    /// The forest without its base scores.
    pub(crate) fn without_base(mut self) -> Self {
        self.base = Arc::new(vec![0.0; self.n_outputs]);
        self
    }

    /// That everything but the nodes of `n_trees` trees fits together.
    pub(super) fn check_arithmetic(&self, n_trees: usize) -> Result<()> {
        if self.base.len() != self.n_outputs {
            let finding = format!("{} base scores for {} outputs", self.base.len(), self.n_outputs);
            return Err(Error::invalid_model(finding));
        }
        if matches!(self.link, Link::Complement | Link::Mirror | Link::MirrorLogistic) && self.n_outputs != 1 {
            let finding = format!("a link of one margin, but the model has {} outputs", self.n_outputs);
            return Err(Error::invalid_model(finding));
        }
        if self.n_outputs == 0 {
            return Err(Error::invalid_model("a model without outputs"));
        }
        let in_order = self.iterations.is_sorted();
        if !in_order || self.iterations.last().is_some_and(|&end| end != n_trees) {
            return Err(Error::invalid_model(format!(
                "the boosting iterations do not end at tree {n_trees} in ascending order"
            )));
        }
        Ok(())
    }

    /// The forest with other nodes.
    fn with_nodes(mut self, nodes: Nodes) -> Self {
        self.n_trees = nodes.trees.len();
        self.linear_model = nodes.linear.as_ref().is_some_and(|linear| linear.missing == LinearMissing::SkipTerm);
        let mut trees_of_output = vec![0; self.n_outputs];
        nodes.trees.iter().for_each(|tree| tree.target.count(&mut trees_of_output));
        self.trees_of_output = Arc::new(trees_of_output);
        self.nodes = nodes.into();
        self.tells_tiny = self.profile.flush_tiny && facts::tells_tiny_values(&self);
        self
    }

    /// The forest of the boosting iterations `range`, which must lie within those there are.
    pub(crate) fn with_iterations(mut self, range: std::ops::Range<usize>) -> Self {
        if range == (0..self.n_iterations()) {
            return self;
        }
        let end_of = |iteration: usize| iteration.checked_sub(1).map_or(0, |last| self.iterations[last]);
        let (first, end) = (end_of(range.start), end_of(range.end));
        let nodes = self.nodes.of_trees(first..end, self.tree_width());
        self.iterations = self.iterations[range].iter().map(|end| end - first).collect();
        self.with_nodes(nodes)
    }
}

impl Nodes {
    /// The nodes of some trees, whose leaves have `width` values each.
    fn of_trees(&self, range: std::ops::Range<usize>, width: usize) -> Self {
        let (first, end) = (range.start, range.end);
        let mut kept = Self {
            trees: self.trees[range].to_vec(),
            sets: self.sets.clone(),
            linear: self.linear.as_ref().map(|linear| LinearLeaves { models: Vec::new(), ..linear.clone() }),
            ..Self::default()
        };
        if first < end {
            let splits = self.splits_of(first).start..self.splits_of(end - 1).end;
            let leaves = self.leaves_of(first).start..self.leaves_of(end - 1).end;
            let moved = |child: Child| match child.position() {
                super::Position::Split(split) => Child::split(split - splits.start),
                super::Position::Leaf(leaf) => Child::leaf(leaf - leaves.start),
            };
            for tree in &mut kept.trees {
                tree.root = moved(tree.root);
                tree.first_split -= splits.start as u32;
                tree.first_leaf -= leaves.start as u32;
            }
            let move_split = |split: &Split| Split { left: moved(split.left), right: moved(split.right), ..*split };
            kept.splits = self.splits[splits.clone()].iter().map(move_split).collect();
            kept.leaf_ids = self.leaf_ids[leaves.clone()].to_vec();
            if let (Some(kept), Some(linear)) = (&mut kept.linear, &self.linear) {
                kept.models = linear.models[leaves.clone()].to_vec();
            }
            kept.leaf_values = self.leaf_values[leaves.start * width..leaves.end * width].to_vec();
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::super::eval::Storage;
    use super::*;

    fn split(feature: u32, threshold: f64, left: u32, right: u32) -> Node<'static> {
        Node::Split { feature, test: Test::Threshold(threshold), missing: Missing::Left, left, right }
    }

    fn leaf(id: u32, value: &f64) -> Node<'_> {
        Node::Leaf { id, values: std::slice::from_ref(value) }
    }

    fn build(nodes: &[Node<'_>]) -> Result<Forest> {
        ForestBuilder::new(&Schema::new(2, 1)).tree(Tree { output: Some(0), weight: 1.0, nodes }).finish()
    }

    #[test]
    fn accepts_children_in_any_order_and_drops_orphans() {
        // Node 1 is an orphan whose feature does not exist; the root's right child stands before its left one.
        let nodes = [split(0, 1.0, 4, 2), split(99, 0.0, 0, 0), leaf(2, &2.0), leaf(3, &3.0), leaf(4, &4.0)];
        let forest = build(&nodes).unwrap();
        assert_eq!((forest.n_leaves(), forest.n_iterations()), (2, 1));
        assert_eq!(forest.eval_margins::<f32>(&[0.0, 0.0], Storage::Dense), [4.0]);
        assert_eq!(forest.eval_margins::<f32>(&[1.0, 0.0], Storage::Dense), [2.0]);
    }

    #[test]
    fn a_single_leaf_is_a_tree() {
        let forest = build(&[leaf(0, &0.25)]).unwrap();
        assert_eq!(forest.eval_margins::<f32>(&[f64::NAN, 0.0], Storage::Dense), [0.25]);
    }

    #[test]
    fn refuses_what_is_no_tree() {
        let message = |nodes: &[Node<'_>]| build(nodes).unwrap_err().to_string();
        assert_eq!(message(&[]), "tree 0, node 0: no such node, the tree has 0");
        assert_eq!(message(&[split(0, 0.0, 1, 7), leaf(1, &0.0)]), "tree 0, node 7: no such node, the tree has 2");
        assert_eq!(
            message(&[split(0, 0.0, 1, 1), leaf(1, &0.0)]),
            "tree 0, node 1: reached twice: a cycle or a shared child"
        );
        assert_eq!(
            message(&[split(0, 0.0, 0, 1), leaf(1, &0.0)]),
            "tree 0, node 0: reached twice: a cycle or a shared child"
        );
        assert_eq!(
            message(&[split(0, f64::NAN, 1, 2), leaf(1, &0.0), leaf(2, &0.0)]),
            "tree 0, node 0: the threshold is NaN"
        );
        assert_eq!(
            message(&[split(7, 0.0, 1, 2), leaf(1, &0.0), leaf(2, &0.0)]),
            "tree 0, node 0: feature 7, but the model declares 2"
        );
        assert_eq!(
            message(&[Node::Leaf { id: 0, values: &[1.0, 2.0] }]),
            "tree 0, node 0: a leaf of 2 values where others have 1"
        );
    }

    #[test]
    fn iterations_can_be_cut_out() {
        let (one, two) = ([split(0, 0.0, 1, 2), leaf(1, &1.0), leaf(2, &2.0)], [leaf(0, &10.0)]);
        let mut builder = ForestBuilder::new(&Schema::new(1, 1)).base(vec![100.0]);
        for nodes in [&one[..], &two[..], &one[..]] {
            builder = builder.tree(Tree { output: Some(0), weight: 1.0, nodes });
        }
        let forest = builder.finish().unwrap();
        let margin = |range| forest.clone().with_iterations(range).eval_margins::<f32>(&[5.0], Storage::Dense)[0];
        assert_eq!([margin(0..3), margin(0..1), margin(1..3), margin(2..2)], [114.0, 102.0, 112.0, 100.0]);
    }
}

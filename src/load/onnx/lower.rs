//! From the ensembles of a file to forests: their trees are written out (`written`), and every rule for sums, values and
//! labels becomes a link of the forest or a tail behind it.
//!
//! What ONNX Runtime 1.31 does is the rule; [`OnnxCompat::Spec`] follows the specification where the two differ.

use super::trees::{Aggregate, Mode, TreeNode, Trees};
use super::written::{Asks, Place, Split, Writer};
use crate::error::{Error, Result};
use crate::graph::ops::encode::MemberColumn;
use crate::graph::ops::forest::{Combine, Ensemble, Tail};
use crate::graph::ops::transform::PostTransform;
use crate::graph::tensor::{Data, Tensor};
use crate::ir::{Forest, ForestBuilder, Labels, Link, Node, NumericProfile};
use crate::load::{Limits, OnnxCompat};
use crate::schema::Schema;

/// An ensemble ready to be put into a graph.
pub(super) struct Lowered {
    pub(super) forest: Forest,
    pub(super) ensemble: Ensemble,
    /// Columns the trees test beside those of the rows.
    pub(super) members: Vec<MemberColumn>,
}

/// How leaves become values of a forest.
enum Leaves {
    /// One value, of this output for every tree.
    Scalar(Vec<u32>),
    /// So many values.
    Vector(usize),
}

struct Lowering<'a> {
    trees: &'a Trees,
    n_features: usize,
    compat: OnnxCompat,
    members: Vec<MemberColumn>,
    /// The nodes of every tree, each with one parent.
    written: Vec<Vec<Place>>,
}

/// Lowers an ensemble for rows of `n_features` columns.
pub(super) fn lower(trees: &Trees, n_features: usize, compat: OnnxCompat, limits: &Limits) -> Result<Lowered> {
    limits.trees(trees.roots.len())?;
    limits.outputs(trees.n_targets as u64)?;
    if trees.n_targets == 0 {
        return Err(Error::invalid_model("an ensemble without targets"));
    }
    if let Some(&(target, _)) = trees.weights.iter().find(|(target, _)| *target as usize >= trees.n_targets) {
        return Err(Error::invalid_model(format!("target {target}, but there are {}", trees.n_targets)));
    }
    let mut writer = Writer { trees, n_features, compat, members: Vec::new() };
    let written = writer.write(limits)?;
    let lowering = Lowering { trees, n_features, compat, members: writer.members, written };
    match &trees.classes {
        Some(classes) => lowering.classifier(classes, limits),
        None => lowering.regressor(limits),
    }
}

impl Lowering<'_> {
    /// The leaves of a tree.
    fn leaves<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = &'a TreeNode> + Clone + 'a {
        places.iter().map(|place| self.node(place.at)).filter(|node| node.mode == Mode::Leaf)
    }

    fn node(&self, at: u32) -> &TreeNode {
        &self.trees.nodes[at as usize]
    }

    fn profile(&self) -> NumericProfile {
        NumericProfile { input: self.trees.input, sum: self.trees.sum, ..NumericProfile::ONNX }
    }

    fn regressor(self, limits: &Limits) -> Result<Lowered> {
        let trees = self.trees;
        let (n_targets, single) = (trees.n_targets, trees.n_targets == 1);
        let base = if trees.base.len() == n_targets { trees.base.clone() } else { Vec::new() };
        let ignored = single && self.compat == OnnxCompat::OnnxRuntime;
        let link = match trees.post_transform {
            PostTransform::None => Some(Link::Identity),
            PostTransform::Logistic | PostTransform::Softmax | PostTransform::SoftmaxZero if ignored => {
                Some(Link::Identity)
            }
            PostTransform::Logistic => Some(Link::Logistic),
            PostTransform::Softmax => Some(Link::SoftmaxInType),
            PostTransform::SoftmaxZero | PostTransform::Probit => None,
        };
        if let (Aggregate::Sum, Some(link)) = (trees.aggregate, link) {
            let leaves = self.leaves_of_sums()?;
            let forest = self.build(&leaves, n_targets, base, link, Labels::None, limits)?;
            return Ok(self.finish(forest, Tail::Regular));
        }
        let combine = match trees.aggregate {
            Aggregate::Sum => Combine::Sum,
            Aggregate::Average => Combine::Average(trees.roots.len()),
            Aggregate::Min => Combine::Min,
            Aggregate::Max => Combine::Max,
        };
        let (leaves, n_margins) = match combine {
            Combine::Sum | Combine::Average(_) => (self.leaves_of_sums()?, n_targets),
            Combine::Min | Combine::Max if single => {
                let n_trees = trees.roots.len();
                (Leaves::Scalar((0..n_trees as u32).collect()), limits.outputs(n_trees as u64)?)
            }
            _ => return Err(Error::unsupported("the least or greatest of trees of several targets")),
        };
        let forest = self.build(&leaves, n_margins, Vec::new(), Link::Identity, Labels::None, limits)?;
        let post_transform = trees.post_transform;
        Ok(self.finish(forest, Tail::Regressor { n_targets, combine, base, post_transform }))
    }

    fn classifier(self, classes: &Tensor, limits: &Limits) -> Result<Lowered> {
        let (trees, n_classes) = (self.trees, classes.len());
        if n_classes < 2 {
            return Err(Error::unsupported("a classifier of a single class"));
        }
        let mut ids: Vec<u32> = trees.weights.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        let always: Vec<bool> = (0..n_classes as u32).map(|class| self.always_spoken_of(class)).collect();
        let one_id = n_classes == 2 && ids.len() == 1;
        let all_positive = trees.weights.iter().all(|(_, weight)| *weight >= 0.0);
        let spec = self.compat == OnnxCompat::Spec;
        if n_classes == 2 && trees.base.len() == 2 && !spec {
            return Err(Error::unsupported(
                "base_values for both of two classes, which ONNX Runtime does not add as they are",
            ));
        }
        if one_id && ids == [0] && always[0] {
            let base = trees.base.first().map_or_else(Vec::new, |&base| vec![base]);
            let link = match trees.post_transform {
                PostTransform::Logistic => Link::MirrorLogistic,
                PostTransform::Probit => {
                    return Err(Error::unsupported("post_transform PROBIT of one score for two classes"));
                }
                PostTransform::Softmax | PostTransform::SoftmaxZero if spec => {
                    return Err(Error::unsupported("a softmax of one score for two classes"));
                }
                _ if all_positive || spec => Link::Complement,
                _ => Link::Mirror,
            };
            let labels = match () {
                () if spec => Labels::ArgMax,
                () if all_positive => Labels::MarginAboveHalf,
                () => Labels::PositiveMargin,
            };
            let leaves = Leaves::Scalar(vec![0; trees.roots.len()]);
            let forest = self.build(&leaves, 1, base, link, labels, limits)?;
            return Ok(self.finish(forest, Tail::Regular));
        }
        let link = match trees.post_transform {
            PostTransform::None => Some(Link::Identity),
            PostTransform::Logistic => Some(Link::Logistic),
            PostTransform::Softmax => Some(Link::SoftmaxInType),
            PostTransform::SoftmaxZero | PostTransform::Probit => None,
        };
        let based = trees.base.len() == n_classes;
        if let Some(link) = link
            && (always.iter().all(|always| *always) || based && n_classes > 2 || spec)
        {
            let labels = match n_classes {
                _ if spec => Labels::ArgMax,
                2 => Labels::PositiveMargin,
                _ => Labels::ArgMaxMargin,
            };
            let mut base = trees.base.clone();
            if !base.is_empty() {
                base.resize(n_classes, 0.0);
            }
            let leaves = self.leaves_of_sums()?;
            let forest = self.build(&leaves, n_classes, base, link, labels, limits)?;
            let mut lowered = self.finish(forest, Tail::Regular);
            if n_classes == 2 && !spec && matches!(classes.data, Data::I64(_)) {
                // With a score for each of two classes ONNX Runtime answers their numbers, not their labels.
                lowered.ensemble.classes = Some(Tensor::list(vec![0i64, 1]));
            }
            return Ok(lowered);
        }
        if n_classes == 2 && !(ids == [1] && always[1]) {
            return Err(Error::unsupported("two classes of which some leaves speak and others do not"));
        }
        let forest = self.build(
            &Leaves::Vector(2 * n_classes),
            2 * n_classes,
            Vec::new(),
            Link::Identity,
            Labels::None,
            limits,
        )?;
        let (base, post_transform) = (trees.base.clone(), trees.post_transform);
        Ok(self.finish(forest, Tail::Classifier { n_classes, base, post_transform, one_id, all_positive }))
    }

    /// Whether some tree speaks of a class in every leaf.
    fn always_spoken_of(&self, class: u32) -> bool {
        let speaks = |leaf: &TreeNode| self.trees.weights_of(leaf).iter().any(|(id, _)| *id == class);
        self.written.iter().any(|places| self.leaves(places).all(speaks))
    }

    /// Scalar leaves if no tree adds to more than one target.
    fn leaves_of_sums(&self) -> Result<Leaves> {
        if self.trees.n_targets == 1 {
            return Ok(Leaves::Scalar(vec![0; self.trees.roots.len()]));
        }
        let of_tree = |places: &Vec<Place>| {
            let mut leaves = self.leaves(places);
            let first = self.trees.weights_of(leaves.clone().next()?).first()?.0;
            leaves.all(|leaf| matches!(self.trees.weights_of(leaf), [(id, _)] if *id == first)).then_some(first)
        };
        let outputs: Option<Vec<u32>> = self.written.iter().map(of_tree).collect();
        Ok(outputs.map_or(Leaves::Vector(self.trees.n_targets), Leaves::Scalar))
    }

    fn build(
        &self,
        leaves: &Leaves,
        n_outputs: usize,
        base: Vec<f64>,
        link: Link,
        labels: Labels,
        limits: &Limits,
    ) -> Result<Forest> {
        let mut builder = ForestBuilder::new(&Schema::new(self.n_features + self.members.len(), n_outputs))
            .profile(self.profile())
            .base(base)
            .link(link, labels);
        let (values, places) = self.leaf_values(leaves)?;
        let width = match leaves {
            Leaves::Scalar(_) => 1,
            Leaves::Vector(width) => *width,
        };
        for (tree, nodes) in self.written.iter().enumerate() {
            let output = match leaves {
                Leaves::Scalar(outputs) => Some(outputs[tree]),
                Leaves::Vector(_) => None,
            };
            builder.add_tree(output, 1.0, nodes.len(), |place| {
                let Place { at, asks, children: [left, right] } = &nodes[place as usize];
                Ok(match asks {
                    Asks::Split(Split { feature, test, missing }) => {
                        let (test, missing) = (test.clone(), *missing);
                        Node::Split { feature: *feature, test, missing, left: *left, right: *right }
                    }
                    _ => Node::Leaf {
                        id: self.node(*at).id,
                        values: &values[places[*at as usize] as usize * width..][..width],
                    },
                })
            })?;
            limits.nodes(builder.n_nodes())?;
        }
        builder.finish()
    }

    /// The values of leaves, and for every node that is one its place among them.
    fn leaf_values(&self, leaves: &Leaves) -> Result<(Vec<f64>, Vec<u32>)> {
        let (n_targets, mut places) = (self.trees.n_targets, vec![0; self.trees.nodes.len()]);
        let (mut values, mut spoken, mut count) = (Vec::new(), Vec::new(), 0);
        for (leaf, node) in self.trees.nodes.iter().enumerate().filter(|(_, node)| node.mode == Mode::Leaf) {
            let weights = self.trees.weights_of(node);
            places[leaf] = count;
            count += 1;
            let Leaves::Vector(width) = *leaves else {
                // Of several weights for a single target ONNX Runtime uses the first.
                let (_, weight) = weights
                    .first()
                    .ok_or_else(|| Error::unsupported(format!("node {leaf}: a leaf without a weight")))?;
                values.push(*weight);
                continue;
            };
            let start = values.len();
            values.resize(start + width, 0.0);
            spoken.clear();
            for &(target, weight) in weights {
                if spoken.contains(&target) {
                    return Err(Error::unsupported(format!("node {leaf}: several weights for target {target}")));
                }
                spoken.push(target);
                values[start + target as usize] = weight;
                if width > n_targets {
                    values[start + n_targets + target as usize] = 1.0;
                }
            }
        }
        Ok((values, places))
    }

    fn finish(self, forest: Forest, tail: Tail) -> Lowered {
        let ensemble = Ensemble {
            forest: 0,
            input: self.trees.input,
            sum: self.trees.sum,
            n_margins: forest.n_outputs(),
            tail,
            classes: self.trees.classes.clone(),
            wide: self.trees.wide,
        };
        Lowered { forest, ensemble, members: self.members }
    }
}

//! From the ensembles of a file to forests: every comparison becomes "at most this threshold" or "in this set", and
//! every rule for sums, values and labels a link of the forest or a tail behind it.
//!
//! What ONNX Runtime 1.31 does is the rule; [`OnnxCompat::Spec`] follows the specification where the two differ.

use super::trees::{Aggregate, Mode, TreeNode, Trees};
use crate::error::{Error, Result};
use crate::graph::ops::encode::MemberColumn;
use crate::graph::ops::forest::{Combine, Ensemble, Tail};
use crate::graph::ops::transform::PostTransform;
use crate::graph::tensor::{Data, Tensor};
use crate::ir::{CategorySet, Float, Forest, ForestBuilder, Labels, Link, Missing, Node, NumericProfile, Test};
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

/// A node of a tree that is written out; children are places, for true and for false.
struct Place {
    at: u32,
    children: [u32; 2],
}

/// At most this many nodes of a tree for every node of the file.
const MAX_SHARING: usize = 64;

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
    let mut lowering = Lowering { trees, n_features, compat, members: Vec::new(), written: Vec::new() };
    lowering.written = lowering.write_out(limits)?;
    match &trees.classes {
        Some(classes) => lowering.classifier(classes, limits),
        None => lowering.regressor(limits),
    }
}

impl Lowering<'_> {
    /// Writes the trees out: a node that several splits share becomes one for each.
    fn write_out(&self, limits: &Limits) -> Result<Vec<Vec<Place>>> {
        let mut on_path = vec![false; self.trees.nodes.len()];
        // Sharing may not make much of little.
        let most = self.trees.nodes.len().saturating_mul(MAX_SHARING);
        let (mut all, mut total) = (Vec::with_capacity(self.trees.roots.len()), 0);
        for (tree, &root) in self.trees.roots.iter().enumerate() {
            let mut places = vec![Place { at: root, children: [0; 2] }];
            // Nodes on the way down, and how many of their children have been written.
            let mut path = vec![(0, 0)];
            on_path[root as usize] = true;
            while let Some((place, stage)) = path.last_mut() {
                let at = places[*place].at;
                let node = &self.trees.nodes[at as usize];
                if node.mode == Mode::Leaf || *stage == 2 {
                    on_path[at as usize] = false;
                    path.pop();
                    continue;
                }
                let child = [node.on_true, node.on_false][*stage];
                if std::mem::replace(&mut on_path[child as usize], true) {
                    return Err(Error::invalid_model("its own descendant").at(format!("tree {tree}, node {child}")));
                }
                let new = places.len();
                places[*place].children[*stage] = new as u32;
                *stage += 1;
                places.push(Place { at: child, children: [0; 2] });
                path.push((new, 0));
                if places.len() > most {
                    return Err(Error::limit("nodes of a tree whose nodes are shared", places.len(), most));
                }
            }
            total += places.len();
            limits.nodes(total)?;
            all.push(places);
        }
        Ok(all)
    }

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

    fn regressor(mut self, limits: &Limits) -> Result<Lowered> {
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

    fn classifier(mut self, classes: &Tensor, limits: &Limits) -> Result<Lowered> {
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
        &mut self,
        leaves: &Leaves,
        n_outputs: usize,
        base: Vec<f64>,
        link: Link,
        labels: Labels,
        limits: &Limits,
    ) -> Result<Forest> {
        // Member columns are known when all splits are lowered.
        let tests = self.tests()?;
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
                let Place { at, children: [on_true, on_false] } = nodes[place as usize];
                Ok(match &tests[at as usize] {
                    Some(split) => {
                        let (left, right) = if split.passes_true { (on_true, on_false) } else { (on_false, on_true) };
                        Node::Split {
                            feature: split.feature,
                            test: split.test.clone(),
                            missing: split.missing,
                            left,
                            right,
                        }
                    }
                    None => Node::Leaf {
                        id: self.node(at).id,
                        values: &values[places[at as usize] as usize * width..][..width],
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

    /// For every node its test, `None` for leaves.
    fn tests(&mut self) -> Result<Vec<Option<LoweredSplit>>> {
        let trees = self.trees;
        trees
            .nodes
            .iter()
            .map(|node| if node.mode == Mode::Leaf { Ok(None) } else { self.test(node).map(Some) })
            .collect()
    }

    fn test(&mut self, node: &TreeNode) -> Result<LoweredSplit> {
        if node.feature as usize >= self.n_features {
            let finding = format!("feature {}, but the rows have {}", node.feature, self.n_features);
            return Err(Error::invalid_model(finding));
        }
        let never = || Test::Categories(CategorySet::default());
        let at_most = |threshold: f64| if threshold.is_nan() { never() } else { Test::Threshold(threshold) };
        let below = |threshold: f64| self.greatest_below(threshold).map_or_else(never, Test::Threshold);
        // Whether a value that passes the test takes the true branch.
        let (feature, test, passes_true) = match node.mode {
            Mode::LessOrEqual => (node.feature, at_most(node.value), true),
            Mode::Less => (node.feature, below(node.value), true),
            // Not `>=`, not `>`: with a NaN threshold neither holds, though its contrary does not hold either.
            Mode::GreaterOrEqual if node.value.is_nan() => (node.feature, never(), true),
            Mode::Greater if node.value.is_nan() => (node.feature, never(), true),
            Mode::GreaterOrEqual => (node.feature, below(node.value), false),
            Mode::Greater => (node.feature, at_most(node.value), false),
            Mode::Equal | Mode::NotEqual => {
                let (feature, test) = self.equality(node.feature, &[node.value], false);
                (feature, test, node.mode == Mode::Equal)
            }
            Mode::Member => {
                let values = self.trees.members_of(node);
                let (feature, test) = self.equality(node.feature, values, self.truncates(values)?);
                (feature, test, true)
            }
            Mode::Leaf => return Err(Error::invalid_model("a leaf where a split is expected")),
        };
        let always_true = node.mode == Mode::NotEqual && self.compat == OnnxCompat::OnnxRuntime;
        let nan_true = node.tracks_true || always_true;
        let missing = if nan_true == passes_true { Missing::Left } else { Missing::Right };
        Ok(LoweredSplit { feature, test, missing, passes_true })
    }

    /// The greatest value of the rows' type below `threshold`.
    fn greatest_below(&self, threshold: f64) -> Option<f64> {
        let below = match self.trees.input {
            Float::F32 => {
                let near = threshold as f32;
                f64::from(if f64::from(near) < threshold { near } else { near.next_down() })
            }
            Float::F64 => threshold.next_down(),
        };
        (below < threshold).then_some(below)
    }

    /// Whether ONNX Runtime drops fractions before it looks a value up: it tests small whole numbers as bits of a mask
    /// and single values as they are, but puts other lists into a set of integers.
    fn truncates(&self, values: &[f64]) -> Result<bool> {
        let single = values.iter().all(|value| *value == values[0]);
        let whole = values.iter().all(|value| value.trunc() == *value);
        let most = if self.trees.input == Float::F32 { 30.0 } else { 62.0 };
        let masked = whole && values.iter().all(|value| (0.0..=most).contains(value));
        if self.compat == OnnxCompat::Spec || single || masked {
            return Ok(false);
        }
        if !whole {
            return Err(Error::unsupported(
                "membership among several values that are not whole, which ONNX Runtime refuses",
            ));
        }
        Ok(true)
    }

    /// The test whether a feature equals one of `values`: by category codes if they are some, else by a member column.
    fn equality(&mut self, feature: u32, values: &[f64], truncate: bool) -> (u32, Test) {
        let code = |&value: &f64| {
            let is_code = value >= 0.0 && value < f64::from(1u32 << 31) && value.trunc() == value;
            is_code.then_some(value as u32)
        };
        if !truncate && let Some(codes) = values.iter().map(code).collect::<Option<Vec<_>>>() {
            return (feature, Test::Categories(CategorySet::from_codes(&codes)));
        }
        let mut sorted: Vec<f64> =
            values.iter().copied().filter(|value| !value.is_nan()).map(|value| value + 0.0).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.dedup();
        let feature = feature as usize;
        let same =
            |column: &MemberColumn| (column.feature, column.truncate) == (feature, truncate) && column.values == sorted;
        let at = self.members.iter().position(same).unwrap_or_else(|| {
            self.members.push(MemberColumn { feature, values: sorted, truncate });
            self.members.len() - 1
        });
        ((self.n_features + at) as u32, Test::Categories(CategorySet::from_codes(&[0])))
    }
}

/// A split as a forest has it; left is for values that pass.
struct LoweredSplit {
    feature: u32,
    test: Test,
    missing: Missing,
    /// Whether values that pass take the true branch.
    passes_true: bool,
}

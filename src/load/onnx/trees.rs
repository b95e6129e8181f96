//! Tree ensembles: `TreeEnsembleClassifier` and `TreeEnsembleRegressor` (ai.onnx.ml 1 and 3) and `TreeEnsemble` (5).
//!
//! The three spellings become one [`Trees`], and that a forest (`lower`) with ONNX Runtime's semantics as it behaves
//! in version 1.31, or the specification's.

use std::collections::HashMap;

use super::attributes::Attributes;
use super::tensor::read_bytes;
use crate::error::{Error, Result};
use crate::graph::ops::transform::PostTransform;
use crate::graph::tensor::{Data, Tensor};
use crate::ir::Float;

/// An ensemble as the file lists it.
pub(super) struct Trees {
    pub(super) nodes: Vec<TreeNode>,
    /// First node of every tree.
    pub(super) roots: Vec<u32>,
    /// Targets or classes and weights of leaves.
    pub(super) weights: Vec<(u32, f64)>,
    /// Values of memberships.
    pub(super) members: Vec<f64>,
    pub(super) base: Vec<f64>,
    pub(super) n_targets: usize,
    pub(super) aggregate: Aggregate,
    pub(super) post_transform: PostTransform,
    /// Class names; none for a regressor.
    pub(super) classes: Option<Tensor>,
    /// The type of the rows.
    pub(super) input: Float,
    /// The type of the sums.
    pub(super) sum: Float,
    /// Whether values come out in that type; otherwise they are f32.
    pub(super) wide: bool,
}

/// A node; children are indices.
#[derive(Clone, Debug)]
pub(super) struct TreeNode {
    pub(super) feature: u32,
    pub(super) mode: Mode,
    pub(super) value: f64,
    pub(super) on_true: u32,
    pub(super) on_false: u32,
    /// Whether a missing value takes the true branch.
    pub(super) tracks_true: bool,
    /// Range of a leaf's weights, or of a membership's values.
    pub(super) range: (u32, u32),
    /// A leaf's number as the file has it.
    pub(super) id: u32,
}

/// What a node asks; true takes the true branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
    Member,
    Leaf,
}

/// How trees are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

/// Numbers that are f32 attributes, or tensors of f64 in version 3.
fn numbers(attributes: &mut Attributes<'_>, name: &str) -> Result<(Vec<f64>, Float)> {
    if let Some(tensor) = attributes.tensor(&format!("{name}_as_tensor"))? {
        return match tensor.data {
            Data::F64(values) => Ok((values, Float::F64)),
            Data::F32(values) => Ok((values.into_iter().map(f64::from).collect(), Float::F32)),
            _ => Err(Error::invalid_model(format!("{name}_as_tensor holds {}", tensor.ty().name()))),
        };
    }
    let floats = attributes.floats(name)?.unwrap_or_default();
    Ok((floats.iter().map(|&value| value.into()).collect(), Float::F32))
}

/// A list of integers, empty if it is not there.
fn integers<'a>(attributes: &mut Attributes<'a>, name: &str) -> Result<&'a [i64]> {
    Ok(attributes.ints(name)?.unwrap_or_default())
}

fn index(value: i64, what: &str) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::invalid_model(format!("{what} {value}")))
}

/// Which of ONNX's spellings a list of nodes is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Classifier,
    Regressor,
    Ensemble,
}

impl Trees {
    /// Reads the attributes; `input` is the float type of the rows.
    pub(super) fn read(kind: Kind, attributes: &mut Attributes<'_>, input: Float) -> Result<Self> {
        attributes.ignore(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
        match kind {
            Kind::Ensemble => Self::read_five(attributes, input),
            _ => Self::read_lists(kind, attributes, input),
        }
    }

    fn read_lists(kind: Kind, attributes: &mut Attributes<'_>, input: Float) -> Result<Self> {
        let prefix = if kind == Kind::Classifier { "class" } else { "target" };
        let tree_ids = integers(attributes, "nodes_treeids")?;
        let node_ids = integers(attributes, "nodes_nodeids")?;
        let features = integers(attributes, "nodes_featureids")?;
        let on_true = integers(attributes, "nodes_truenodeids")?;
        let on_false = integers(attributes, "nodes_falsenodeids")?;
        let tracks_true = integers(attributes, "nodes_missing_value_tracks_true")?;
        let (values, of_values) = numbers(attributes, "nodes_values")?;
        let modes = attributes.strings("nodes_modes")?.unwrap_or_default();
        let n_nodes = tree_ids.len();
        let lengths = [node_ids.len(), features.len(), on_true.len(), on_false.len(), values.len(), modes.len()];
        if lengths.iter().any(|&length| length != n_nodes)
            || !matches!(tracks_true.len(), 0) && tracks_true.len() != n_nodes
        {
            return Err(Error::invalid_model(format!(
                "{n_nodes} nodes_treeids, but other lists of nodes of {lengths:?}"
            )));
        }
        let places = Places::new(tree_ids, node_ids);
        let mut nodes = Vec::with_capacity(n_nodes);
        let mut roots = Vec::new();
        for (at, mode) in modes.iter().enumerate() {
            let mode = Mode::parse(mode)?;
            let is_leaf = mode == Mode::Leaf;
            let child = |node_id: i64| if is_leaf { Ok(0) } else { places.find(tree_ids[at], node_id) };
            if at == 0 || tree_ids[at] != tree_ids[at - 1] {
                roots.push(at as u32);
            }
            nodes.push(TreeNode {
                feature: if is_leaf { 0 } else { index(features[at], "feature")? },
                mode,
                value: values[at],
                on_true: child(on_true[at])?,
                on_false: child(on_false[at])?,
                tracks_true: tracks_true.get(at) == Some(&1),
                range: (0, 0),
                id: u32::try_from(node_ids[at]).unwrap_or(u32::MAX),
            });
        }
        let of = |name: &str| format!("{prefix}_{name}");
        let targets = integers(attributes, &of("ids"))?;
        let (weight_trees, weight_nodes) =
            (integers(attributes, &of("treeids"))?, integers(attributes, &of("nodeids"))?);
        let (listed, of_weights) = numbers(attributes, &of("weights"))?;
        let lengths = [weight_trees.len(), weight_nodes.len(), listed.len()];
        if lengths.iter().any(|&length| length != targets.len()) {
            return Err(Error::invalid_model(format!(
                "{} {prefix}_ids, but other lists of weights of {lengths:?}",
                targets.len()
            )));
        }
        let owners = weight_trees.iter().zip(weight_nodes).map(|(&tree, &node)| places.find(tree, node));
        let owners = owners.collect::<Result<Vec<u32>>>()?;
        // Weights by node, in the order listed.
        let mut counts = vec![0u32; nodes.len()];
        owners.iter().for_each(|&owner| counts[owner as usize] += 1);
        let mut start = 0;
        for (node, &count) in nodes.iter_mut().zip(&counts) {
            node.range = (start, start);
            start += count;
        }
        let mut weights = vec![(0, 0.0); owners.len()];
        for ((&owner, &target), &weight) in owners.iter().zip(targets).zip(&listed) {
            let end = &mut nodes[owner as usize].range.1;
            weights[*end as usize] = (index(target, "target")?, weight);
            *end += 1;
        }

        let (base, of_base) = numbers(attributes, "base_values")?;
        let (mut aggregate, mut classes) = (Aggregate::Sum, None);
        let n_targets;
        if kind == Kind::Classifier {
            let integers = attributes.ints("classlabels_int64s")?.map(|labels| Tensor::list(labels.to_vec()));
            let names = attributes.strings("classlabels_strings")?.map(Tensor::text);
            let labels = integers.or(names).ok_or_else(|| Error::invalid_model("a classifier without class labels"))?;
            n_targets = labels.len();
            classes = Some(labels);
        } else {
            if let Some(name) = attributes.string("aggregate_function")? {
                aggregate = match name {
                    "AVERAGE" => Aggregate::Average,
                    "SUM" => Aggregate::Sum,
                    "MIN" => Aggregate::Min,
                    "MAX" => Aggregate::Max,
                    other => return Err(Error::unsupported(format!("aggregate_function {other:?}"))),
                };
            }
            let declared = attributes.int("n_targets")?.unwrap_or(1);
            n_targets = index(declared, "n_targets")? as usize;
        }
        let post_transform = post_transform(attributes.string("post_transform")?)?;
        let trees = Self {
            nodes,
            roots,
            weights,
            members: Vec::new(),
            base,
            n_targets,
            aggregate,
            post_transform,
            classes,
            input,
            sum: if [input, of_values, of_weights, of_base].contains(&Float::F64) { Float::F64 } else { Float::F32 },
            wide: false,
        };
        Ok(trees)
    }

    fn read_five(attributes: &mut Attributes<'_>, input: Float) -> Result<Self> {
        let modes = attributes.tensor_proto("nodes_modes")?.map(read_bytes).transpose()?.unwrap_or_default();
        let floats = |attributes: &mut Attributes<'_>, name: &str| -> Result<Vec<f64>> {
            match attributes.tensor(name)?.map(|tensor| tensor.data) {
                None => Ok(Vec::new()),
                Some(Data::F32(values)) => Ok(values.into_iter().map(f64::from).collect()),
                Some(Data::F64(values)) => Ok(values),
                Some(_) => Err(Error::unsupported(format!("{name} of this type"))),
            }
        };
        let splits = floats(attributes, "nodes_splits")?;
        let listed = floats(attributes, "membership_values")?;
        let leaf_weights = floats(attributes, "leaf_weights")?;
        let features = integers(attributes, "nodes_featureids")?;
        let (on_true, true_leafs) =
            (integers(attributes, "nodes_truenodeids")?, integers(attributes, "nodes_trueleafs")?);
        let (on_false, false_leafs) =
            (integers(attributes, "nodes_falsenodeids")?, integers(attributes, "nodes_falseleafs")?);
        let tracks_true = integers(attributes, "nodes_missing_value_tracks_true")?;
        let leaf_targets = integers(attributes, "leaf_targetids")?;
        let roots = integers(attributes, "tree_roots")?;
        let n_nodes = modes.len();
        let lengths =
            [splits.len(), features.len(), on_true.len(), true_leafs.len(), on_false.len(), false_leafs.len()];
        if lengths.iter().any(|&length| length != n_nodes)
            || !matches!(tracks_true.len(), 0) && tracks_true.len() != n_nodes
        {
            return Err(Error::invalid_model(format!(
                "{n_nodes} nodes_modes, but other lists of nodes of {lengths:?}"
            )));
        }
        if leaf_weights.len() != leaf_targets.len() {
            let (weights, targets) = (leaf_weights.len(), leaf_targets.len());
            return Err(Error::invalid_model(format!("{weights} leaf_weights, but {targets} leaf_targetids")));
        }
        // Inner nodes, then leaves.
        let child = |index: i64, is_leaf: i64| {
            let (count, first) = if is_leaf != 0 { (leaf_weights.len(), n_nodes) } else { (n_nodes, 0) };
            let found = usize::try_from(index).ok().filter(|&index| index < count);
            let found = found.ok_or_else(|| Error::invalid_model(format!("no such child: {index}")))?;
            Ok((first + found) as u32)
        };
        let (mut nodes, mut members, mut left) = (Vec::new(), Vec::new(), listed.into_iter());
        for at in 0..n_nodes {
            let mode = [
                Mode::LessOrEqual,
                Mode::Less,
                Mode::GreaterOrEqual,
                Mode::Greater,
                Mode::Equal,
                Mode::NotEqual,
                Mode::Member,
            ];
            let mode = *mode
                .get(usize::from(modes[at]))
                .ok_or_else(|| Error::invalid_model(format!("node {at}: mode {}", modes[at])))?;
            let first = members.len() as u32;
            if mode == Mode::Member {
                members.extend(left.by_ref().take_while(|value| !value.is_nan()));
                if members.len() as u32 == first {
                    return Err(Error::invalid_model(format!("node {at}: a membership of no values")));
                }
            }
            nodes.push(TreeNode {
                feature: index(features[at], "feature")?,
                mode,
                value: splits[at],
                on_true: child(on_true[at], true_leafs[at])?,
                on_false: child(on_false[at], false_leafs[at])?,
                tracks_true: tracks_true.get(at) == Some(&1),
                range: (first, members.len() as u32),
                id: 0,
            });
        }
        let mut weights = Vec::with_capacity(leaf_weights.len());
        for (at, (&weight, &target)) in leaf_weights.iter().zip(leaf_targets).enumerate() {
            weights.push((index(target, "target")?, weight));
            let (id, range) = (at as u32, (at as u32, at as u32 + 1));
            let (feature, value, tracks_true) = (0, 0.0, false);
            nodes.push(TreeNode { feature, mode: Mode::Leaf, value, on_true: 0, on_false: 0, tracks_true, range, id });
        }
        let root = |&root: &i64| {
            let at = usize::try_from(root).ok().filter(|&at| at < n_nodes);
            let at = at.ok_or_else(|| Error::invalid_model(format!("no such root: {root}")))?;
            // A tree of one leaf is a node whose both sides are that leaf.
            let single = true_leafs[at] != 0 && false_leafs[at] != 0 && on_true[at] == on_false[at];
            Ok(if single { nodes[at].on_true } else { at as u32 })
        };
        let roots = roots.iter().map(root).collect::<Result<Vec<_>>>()?;
        let aggregate = match attributes.int("aggregate_function")?.unwrap_or(1) {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            other => return Err(Error::unsupported(format!("aggregate_function {other}"))),
        };
        let post_transform = match attributes.int("post_transform")?.unwrap_or(0) {
            0 => PostTransform::None,
            1 => PostTransform::Softmax,
            2 => PostTransform::Logistic,
            3 => PostTransform::SoftmaxZero,
            4 => PostTransform::Probit,
            other => return Err(Error::unsupported(format!("post_transform {other}"))),
        };
        let n_targets = index(attributes.int("n_targets")?.unwrap_or(1), "n_targets")? as usize;
        Ok(Self {
            nodes,
            roots,
            weights,
            members,
            base: Vec::new(),
            n_targets,
            aggregate,
            post_transform,
            classes: None,
            input,
            sum: input,
            wide: input == Float::F64,
        })
    }

    /// The weights of a leaf.
    pub(super) fn weights_of(&self, node: &TreeNode) -> &[(u32, f64)] {
        &self.weights[node.range.0 as usize..node.range.1 as usize]
    }

    /// The values of a membership.
    pub(super) fn members_of(&self, node: &TreeNode) -> &[f64] {
        &self.members[node.range.0 as usize..node.range.1 as usize]
    }
}

/// The post transform of this name.
pub(super) fn post_transform(name: Option<&str>) -> Result<PostTransform> {
    Ok(match name.unwrap_or("NONE") {
        "NONE" => PostTransform::None,
        "LOGISTIC" => PostTransform::Logistic,
        "SOFTMAX" => PostTransform::Softmax,
        "SOFTMAX_ZERO" => PostTransform::SoftmaxZero,
        "PROBIT" => PostTransform::Probit,
        other => return Err(Error::unsupported(format!("post_transform {other:?}"))),
    })
}

impl Mode {
    fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "BRANCH_LEQ" => Self::LessOrEqual,
            "BRANCH_LT" => Self::Less,
            "BRANCH_GTE" => Self::GreaterOrEqual,
            "BRANCH_GT" => Self::Greater,
            "BRANCH_EQ" => Self::Equal,
            "BRANCH_NEQ" => Self::NotEqual,
            "LEAF" => Self::Leaf,
            other => return Err(Error::unsupported(format!("nodes_modes {other:?}"))),
        })
    }
}

/// Finds nodes by tree and number. Files list trees one after another and nodes by number, so that the first node of a
/// tree tells where the others are; for those that do not, there is a map.
struct Places<'a> {
    tree_ids: &'a [i64],
    node_ids: &'a [i64],
    first: HashMap<i64, usize>,
    map: HashMap<(i64, i64), u32>,
}

impl<'a> Places<'a> {
    fn new(tree_ids: &'a [i64], node_ids: &'a [i64]) -> Self {
        let mut first = HashMap::new();
        let mut in_order = true;
        for (at, (&tree, &node)) in tree_ids.iter().zip(node_ids).enumerate() {
            let start = *first.entry(tree).or_insert(at);
            in_order &= usize::try_from(node).is_ok_and(|node| start.checked_add(node) == Some(at));
        }
        let mut map = HashMap::new();
        if !in_order {
            for (at, (&tree, &node)) in tree_ids.iter().zip(node_ids).enumerate() {
                map.entry((tree, node)).or_insert(at as u32);
            }
        }
        Self { tree_ids, node_ids, first, map }
    }

    fn find(&self, tree: i64, node: i64) -> Result<u32> {
        let missing = || Error::invalid_model(format!("tree {tree} has no node {node}"));
        if !self.map.is_empty() {
            return self.map.get(&(tree, node)).copied().ok_or_else(missing);
        }
        let start = *self.first.get(&tree).ok_or_else(missing)?;
        let at = usize::try_from(node).ok().and_then(|node| start.checked_add(node)).ok_or_else(missing)?;
        let found = self.tree_ids.get(at) == Some(&tree) && self.node_ids.get(at) == Some(&node);
        if found { Ok(at as u32) } else { Err(missing()) }
    }
}

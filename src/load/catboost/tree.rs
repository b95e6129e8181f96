//! One CatBoost tree: the splits of its levels and all leaves, or (grown depth-wise or leaf by leaf) nodes within nodes.

use super::super::document::Document;
use super::super::json::Json;
use super::{Features, NO_CTR};
use crate::error::{Error, Result};
use crate::ir::{CategorySet, ForestBuilder, Missing, Node, Test};

/// Reads trees one after another into the same buffers.
pub(super) struct TreeReader<'f> {
    features: &'f Features,
    n_outputs: usize,
    /// The splits of an oblivious tree: number `d` gives bit `d` of a leaf's number.
    levels: Vec<Split>,
    /// The nodes of any other tree, its root last.
    nodes: Vec<Nested>,
    /// The values of all leaves.
    values: Vec<f64>,
}

/// What a split asks, and the column it asks it of.
#[derive(Clone)]
struct Split {
    column: u32,
    ask: Ask,
}

#[derive(Clone)]
enum Ask {
    /// Is the value above the border? And what if it is missing.
    Above(f64, Missing),
    /// Is it one of these categories?
    Is(CategorySet),
}

enum Nested {
    /// The number of a leaf, counted from left to right.
    Leaf(u32),
    /// The nodes for no and for yes.
    Split(Split, u32, u32),
}

/// The kinds of splits there are, as the file names them.
#[derive(Default)]
struct RawSplit {
    kind: Option<String>,
    border: Option<f32>,
    numeric: Option<i64>,
    category: Option<i64>,
    hash: Option<i64>,
}

impl<'f> TreeReader<'f> {
    pub(super) fn new(features: &'f Features, n_outputs: usize) -> Self {
        Self { features, n_outputs, levels: Vec::new(), nodes: Vec::new(), values: Vec::new() }
    }

    pub(super) fn n_nodes(&self) -> usize {
        2 * (self.values.len() / self.n_outputs).max(1) - 1
    }

    pub(super) fn read_oblivious(&mut self, json: &mut Json<'_>) -> Result<()> {
        self.levels.clear();
        self.nodes.clear();
        self.values.clear();
        json.object(|json, key| match key {
            "leaf_values" => json.numbers(&mut self.values),
            "splits" if json.is_null() => json.skip(),
            "splits" => json.array(|json| {
                let split = self.read_split(json)?;
                self.levels.push(split);
                Ok(())
            }),
            _ => json.skip(),
        })?;
        let leaves = u32::try_from(self.levels.len()).ok().and_then(|depth| 1usize.checked_shl(depth));
        let expected = leaves.and_then(|leaves| leaves.checked_mul(self.n_outputs));
        if expected != Some(self.values.len()) {
            let (found, depth) = (self.values.len(), self.levels.len());
            let finding = format!("{found} leaf_values for {depth} splits and {} outputs", self.n_outputs);
            return Err(Error::invalid_model(finding));
        }
        Ok(())
    }

    pub(super) fn read_nested(&mut self, json: &mut Json<'_>) -> Result<()> {
        self.levels.clear();
        self.nodes.clear();
        self.values.clear();
        self.read_node(json).map(drop)
    }

    /// Reads a node and all below it; its number. The depth is bounded by that of the document.
    fn read_node(&mut self, json: &mut Json<'_>) -> Result<u32> {
        let (mut left, mut right, mut split, mut is_leaf) = (None, None, None, false);
        json.object(|json, key| match key {
            "left" => {
                left = Some(self.read_node(json)?);
                Ok(())
            }
            "right" => {
                right = Some(self.read_node(json)?);
                Ok(())
            }
            "split" => {
                split = Some(self.read_split(json)?);
                Ok(())
            }
            "value" => {
                is_leaf = true;
                let before = self.values.len();
                json.number_or_numbers(&mut self.values)?;
                match self.values.len() - before {
                    found if found == self.n_outputs => Ok(()),
                    found => Err(json.error(format!("a leaf of {found} values for {} outputs", self.n_outputs))),
                }
            }
            _ => json.skip(),
        })?;
        let node = match (left, right, split) {
            (Some(left), Some(right), Some(split)) if !is_leaf => Nested::Split(split, left, right),
            (None, None, None) if is_leaf => Nested::Leaf((self.values.len() / self.n_outputs - 1) as u32),
            _ => return Err(json.error("a node that is neither a leaf nor a split with two children")),
        };
        self.nodes.push(node);
        Ok(self.nodes.len() as u32 - 1)
    }

    fn read_split(&self, json: &mut Json<'_>) -> Result<Split> {
        let mut raw = RawSplit::default();
        json.object(|json, key| {
            match key {
                "split_type" => raw.kind = Some(json.text()?),
                "border" => raw.border = Some(json.number()?),
                "float_feature_index" => raw.numeric = Some(json.number()?),
                "cat_feature_index" => raw.category = Some(json.number()?),
                "value" => raw.hash = Some(json.number()?),
                _ => json.skip()?,
            }
            Ok(())
        })?;
        let missing = |what: &str| Error::invalid_model(format!("a split without {what}"));
        let index = |index: Option<i64>, what: &str, count: usize| {
            let index = index.ok_or_else(|| missing(what))?;
            let found = usize::try_from(index).ok().filter(|&index| index < count);
            found.ok_or_else(|| Error::invalid_model(format!("{what} {index}, but there are {count}")))
        };
        match raw.kind.as_deref().ok_or_else(|| missing("split_type"))? {
            "FloatFeature" => {
                let index = index(raw.numeric, "float_feature_index", self.features.numeric.len())?;
                let feature = &self.features.numeric[index];
                let border = raw.border.ok_or_else(|| missing("border"))?;
                Ok(Split { column: feature.column, ask: Ask::Above(border.into(), feature.missing) })
            }
            "OneHotFeature" => {
                let index = index(raw.category, "cat_feature_index", self.features.categories.len())?;
                let hash = raw.hash.and_then(|hash| i32::try_from(hash).ok()).ok_or_else(|| missing("value"))?;
                let set = self.features.codes.set(index, hash)?;
                Ok(Split { column: self.features.categories[index].column, ask: Ask::Is(set) })
            }
            "OnlineCtr" => Err(Error::unsupported(NO_CTR)),
            other => Err(Error::unsupported(format!("split_type {other:?} is not supported"))),
        }
    }

    /// Adds the tree to the builder.
    pub(super) fn lower(&self, builder: &mut ForestBuilder) -> Result<()> {
        let output = if self.n_outputs == 1 { Some(0) } else { None };
        match self.nodes.len().checked_sub(1) {
            Some(root) => builder.add_tree(output, 1.0, self.nodes.len(), |id| Ok(self.nested(root as u32 - id))),
            None => builder.add_tree(output, 1.0, self.n_nodes(), |id| Ok(self.complete(id as usize))),
        }
    }

    /// Node `number` of a nested tree. The builder's root is node 0 and that of the list the last, so it counts from the
    /// end.
    fn nested(&self, number: u32) -> Node<'_> {
        let root = self.nodes.len() as u32 - 1;
        match &self.nodes[number as usize] {
            Nested::Leaf(leaf) => self.leaf(*leaf as usize),
            Nested::Split(split, no, yes) => split.node(root - no, root - yes),
        }
    }

    /// Node `id` of an oblivious tree as a complete one, numbered level by level. The root asks for the highest bit, so
    /// that leaves stand in the order of their numbers.
    fn complete(&self, id: usize) -> Node<'_> {
        let (depth, level) = (self.levels.len(), (id + 1).ilog2() as usize);
        if level == depth {
            return self.leaf(id + 1 - (1 << depth));
        }
        self.levels[depth - 1 - level].node(2 * id as u32 + 1, 2 * id as u32 + 2)
    }

    fn leaf(&self, leaf: usize) -> Node<'_> {
        Node::Leaf { id: leaf as u32, values: &self.values[leaf * self.n_outputs..][..self.n_outputs] }
    }
}

impl Split {
    /// The split with the children for no and for yes.
    fn node(&self, no: u32, yes: u32) -> Node<'static> {
        let feature = self.column;
        match &self.ask {
            Ask::Above(border, missing) => {
                let test = Test::Threshold(*border);
                Node::Split { feature, test, missing: *missing, left: no, right: yes }
            }
            Ask::Is(set) => {
                let test = Test::Categories(set.clone());
                Node::Split { feature, test, missing: Missing::Right, left: yes, right: no }
            }
        }
    }
}

//! One XGBoost tree: arrays over its nodes, lowered into the builder.
//!
//! A node is a leaf where its left child is −1, never where the right one is: since 3.2 the right child of a vector
//! leaf is the number of the leaf. A category split lists the categories that go right.

use crate::error::{Error, Result};
use crate::ir::{CategorySet, ForestBuilder, Missing, Node, NumberedNode, NumberedTree, PlainSplit, Test};
use crate::load::document::Document;

/// Buffers for the arrays of one tree.
#[derive(Default)]
pub(super) struct TreeArrays {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<i32>,
    split_conditions: Vec<f32>,
    default_left: Vec<i32>,
    split_type: Vec<i32>,
    categories: Vec<i32>,
    categories_nodes: Vec<i32>,
    categories_segments: Vec<i64>,
    categories_sizes: Vec<i64>,
    /// Values of vector leaves, in files of 3.2 and later.
    leaf_weights: Vec<f32>,
    /// Values of vector leaves before 3.2; for other trees not read.
    base_weights: Vec<f32>,
    /// Values per leaf.
    leaf_width: usize,
    /// Whichever of the arrays above holds the values of leaves.
    values: Vec<f64>,
    /// For a category split: its entry in `categories_nodes`.
    segment_of: Vec<u32>,
}

/// `segment_of` of a node that is no category split.
const NO_SEGMENT: u32 = u32::MAX;

impl TreeArrays {
    fn clear(&mut self) {
        for ints in [
            &mut self.left_children,
            &mut self.right_children,
            &mut self.split_indices,
            &mut self.default_left,
            &mut self.split_type,
            &mut self.categories,
            &mut self.categories_nodes,
        ] {
            ints.clear();
        }
        self.categories_segments.clear();
        self.categories_sizes.clear();
        for floats in [&mut self.split_conditions, &mut self.leaf_weights, &mut self.base_weights] {
            floats.clear();
        }
        self.leaf_width = 1;
    }

    /// Reads the tree that stands at position `index` in the file.
    pub(super) fn read<D: Document>(&mut self, document: &mut D, index: usize) -> Result<()> {
        // Trees whose leaves are vectors are among their like.
        let may_be_vectors = index == 0 || self.leaf_width > 1;
        self.clear();
        let mut base_weights = None;
        document.object(|document, key| match key {
            "left_children" => document.numbers(&mut self.left_children),
            "right_children" => document.numbers(&mut self.right_children),
            "split_indices" => document.numbers(&mut self.split_indices),
            "split_conditions" => document.numbers(&mut self.split_conditions),
            "default_left" => document.numbers(&mut self.default_left),
            "split_type" => document.numbers(&mut self.split_type),
            "categories" => document.numbers(&mut self.categories),
            "categories_nodes" => document.numbers(&mut self.categories_nodes),
            "categories_segments" => document.numbers(&mut self.categories_segments),
            "categories_sizes" => document.numbers(&mut self.categories_sizes),
            "leaf_weights" => document.numbers(&mut self.leaf_weights),
            "base_weights" if may_be_vectors => {
                base_weights = Some(document.pass()?);
                Ok(())
            }
            "id" => match document.number::<i64>()? {
                id if id == index as i64 => Ok(()),
                id => Err(document.error(format!("id {id} where {index} is expected"))),
            },
            "tree_param" => document.object(|document, key| match key {
                "size_leaf_vector" => {
                    let text = document.text()?;
                    let width: usize = text
                        .parse()
                        .map_err(|_| document.error(format!("size_leaf_vector is {text:?}, not a count")))?;
                    self.leaf_width = width.max(1);
                    Ok(())
                }
                _ => document.skip(),
            }),
            _ => document.skip(),
        })?;
        if self.leaf_width > 1
            && self.leaf_weights.is_empty()
            && let Some(passed) = base_weights
        {
            document.numbers_of(passed, &mut self.base_weights)?;
        }
        self.finish()
    }

    /// Takes the nodes of a tree of scalar leaves without categories: left and right child, feature, whether the
    /// default is left, threshold or leaf value.
    pub(super) fn fill(&mut self, nodes: impl Iterator<Item = (i32, i32, u32, bool, f32)>) -> Result<()> {
        self.clear();
        for (left, right, feature, default_left, value) in nodes {
            self.left_children.push(left);
            self.right_children.push(right);
            self.split_indices.push(feature as i32);
            self.default_left.push(default_left.into());
            self.split_conditions.push(value);
        }
        self.finish()
    }

    /// Checks the arrays and finds the values of leaves.
    fn finish(&mut self) -> Result<()> {
        self.check_lengths()?;
        // XGBoost reads other integers by their lowest bits or as a truth value, depending on the encoding.
        let bits = self.default_left.iter().fold(0, |bits, flag| bits | flag);
        if !(0..=1).contains(&bits)
            && let Some(other) = self.default_left.iter().find(|flag| !(0..=1).contains(*flag))
        {
            return Err(Error::invalid_model(format!("default_left is {other}, neither 0 nor 1")));
        }
        let values = match (self.leaf_width, self.leaf_weights.is_empty()) {
            (1, _) => &self.split_conditions,
            (_, false) => &self.leaf_weights,
            (_, true) => &self.base_weights,
        };
        // Likewise every vector leaf has values of its own.
        let leaves = self.left_children.iter().filter(|&&child| child == -1).count();
        if self.leaf_width > 1 && leaves.saturating_mul(self.leaf_width) > values.len() {
            let finding = format!("{} values for {leaves} leaves of {}", values.len(), self.leaf_width);
            return Err(Error::invalid_model(finding));
        }
        self.values.clear();
        self.values.extend(values.iter().map(|&value| f64::from(value)));
        self.index_categories()
    }

    fn check_lengths(&self) -> Result<()> {
        let nodes = self.n_nodes();
        let optional = if self.split_type.is_empty() { nodes } else { self.split_type.len() };
        for (name, len) in [
            ("right_children", self.right_children.len()),
            ("split_indices", self.split_indices.len()),
            // Vector leaves do not need conditions for leaves, yet every version writes them.
            ("split_conditions", self.split_conditions.len()),
            ("default_left", self.default_left.len()),
            ("split_type", optional),
        ] {
            if len != nodes {
                return Err(Error::invalid_model(format!("{name} has {len} entries, left_children {nodes}")));
            }
        }
        Ok(())
    }

    fn index_categories(&mut self) -> Result<()> {
        let segments = self.categories_nodes.len();
        if self.categories_segments.len() != segments || self.categories_sizes.len() != segments {
            return Err(Error::invalid_model(format!(
                "{segments} categories_nodes, but {} categories_segments and {} categories_sizes",
                self.categories_segments.len(),
                self.categories_sizes.len()
            )));
        }
        // Every split has categories of its own; shared ones would be copied for each.
        let listed = self.categories_sizes.iter().filter_map(|&size| usize::try_from(size).ok());
        if listed.fold(0, usize::saturating_add) > self.categories.len() {
            return Err(Error::invalid_model(format!(
                "categories_sizes add up to more than the {} categories",
                self.categories.len()
            )));
        }
        self.segment_of.clear();
        if segments > 0 {
            self.segment_of.resize(self.n_nodes(), NO_SEGMENT);
        }
        for (segment, &node) in self.categories_nodes.iter().enumerate() {
            match usize::try_from(node).ok().and_then(|node| self.segment_of.get_mut(node)) {
                Some(entry) => *entry = segment as u32,
                None => {
                    let finding = format!("categories_nodes names node {node} of {}", self.left_children.len());
                    return Err(Error::invalid_model(finding));
                }
            }
        }
        Ok(())
    }

    /// The categories that go right at a category split.
    fn category_set(&self, node: usize) -> Result<CategorySet> {
        let segment = self.segment_of.get(node).copied().unwrap_or(NO_SEGMENT);
        if segment == NO_SEGMENT {
            return Err(Error::invalid_model("a category split without categories"));
        }
        let (start, size) = (self.categories_segments[segment as usize], self.categories_sizes[segment as usize]);
        let range = usize::try_from(start).ok().zip(usize::try_from(size).ok());
        let listed = range.and_then(|(start, size)| self.categories.get(start..start.checked_add(size)?));
        let listed = listed.ok_or_else(|| {
            let finding = format!("categories {start}.. of number {size}, but there are {}", self.categories.len());
            Error::invalid_model(finding)
        })?;
        let codes = listed.iter().map(|&code| u32::try_from(code));
        let codes = codes.collect::<Result<Vec<_>, _>>().map_err(|_| Error::invalid_model("a negative category"))?;
        Ok(CategorySet::from_codes(&codes))
    }

    /// Adds the tree to the builder.
    pub(super) fn lower(&self, builder: &mut ForestBuilder) -> Result<()> {
        // Which output a tree of scalar leaves adds to is told by tree_info, elsewhere in the file.
        match self.leaf_width {
            1 => builder.add_numbered_tree(0, 1.0, self),
            _ => builder.add_tree(None, 1.0, self.n_nodes(), |id| self.node(id)),
        }
    }

    fn leaf_values(&self, node: usize) -> Result<&[f64]> {
        let first = if self.leaf_width == 1 {
            Some(node)
        } else if self.leaf_weights.is_empty() {
            node.checked_mul(self.leaf_width)
        } else {
            usize::try_from(self.right_children[node]).ok().and_then(|leaf| leaf.checked_mul(self.leaf_width))
        };
        first
            .and_then(|first| self.values.get(first..first.checked_add(self.leaf_width)?))
            .ok_or_else(|| Error::invalid_model(format!("no {} values for this leaf", self.leaf_width)))
    }
}

impl NumberedTree for TreeArrays {
    fn n_nodes(&self) -> usize {
        self.left_children.len()
    }

    #[inline(always)]
    fn is_leaf(&self, node: u32) -> bool {
        self.left_children[node as usize] == -1
    }

    #[inline(always)]
    fn try_each(&self, mut each: impl FnMut(u32, NumberedNode) -> Option<()>) -> Option<()> {
        let n_nodes = self.n_nodes();
        // Of one length, as far as the compiler knows too.
        let (left, right) = (&self.left_children[..n_nodes], &self.right_children[..n_nodes]);
        let (features, default_left) = (&self.split_indices[..n_nodes], &self.default_left[..n_nodes]);
        let (values, kinds) = (&self.values[..n_nodes], &self.split_type);
        (0..n_nodes).try_for_each(|node| {
            let found = if left[node] == -1 {
                NumberedNode::Leaf { id: node as u32, value: values[node] }
            } else if features[node] < 0 || kinds.get(node).is_some_and(|&kind| kind == 1) {
                NumberedNode::Other
            } else {
                // Children below 0 are greater than any number of a node.
                let (left, right) = (left[node] as u32, right[node] as u32);
                let missing = if default_left[node] != 0 { Missing::Left } else { Missing::Right };
                let feature = features[node] as u32;
                NumberedNode::Split(PlainSplit { feature, threshold: values[node], missing, left, right })
            };
            each(node as u32, found)
        })
    }

    #[inline(always)]
    fn node(&self, id: u32) -> Result<Node<'_>> {
        let node = id as usize;
        let child = |child: i32| {
            u32::try_from(child).map_err(|_| Error::invalid_model(format!("child {child} of a node that is no leaf")))
        };
        if self.left_children[node] == -1 {
            return Ok(Node::Leaf { id, values: self.leaf_values(node)? });
        }
        let (left, right) = (child(self.left_children[node])?, child(self.right_children[node])?);
        let feature = self.split_indices[node];
        let feature = u32::try_from(feature).map_err(|_| Error::invalid_model(format!("feature {feature}")))?;
        let default_left = self.default_left[node] != 0;
        if self.split_type.get(node).is_some_and(|&kind| kind == 1) {
            let test = Test::Categories(self.category_set(node)?);
            let missing = if default_left { Missing::Right } else { Missing::Left };
            return Ok(Node::Split { feature, test, missing, left: right, right: left });
        }
        let test = Test::Threshold(self.split_conditions[node].into());
        let missing = if default_left { Missing::Left } else { Missing::Right };
        Ok(Node::Split { feature, test, missing, left, right })
    }
}

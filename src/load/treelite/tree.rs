//! One tree of a checkpoint: arrays over its nodes, lowered into the builder.
//!
//! A node is a leaf where its left child is −1. Each test has a comparison of its own. A forest has one for all, that of
//! the first test met; others are turned into it without loss: `>` and `>=` by exchanging the children, `<` and `<=` into
//! each other by moving the threshold to its neighbour.

use super::cursor::{Cursor, Scalar};
use super::head::Head;
use crate::error::{Error, Result};
use crate::ir::{CategorySet, Comparison, Float, ForestBuilder, Missing, Node, Test};

/// Buffers for the arrays of one tree.
pub(super) struct TreeArrays {
    float: Float,
    comparison: Option<Comparison>,
    node_type: Vec<i8>,
    left: Vec<i32>,
    right: Vec<i32>,
    feature: Vec<i32>,
    default_left: Vec<u8>,
    leaf_value: Vec<f64>,
    threshold: Vec<f64>,
    operator: Vec<i8>,
    categories_go_right: Vec<u8>,
    leaf_vector: Vec<f64>,
    leaf_vector_begin: Vec<u64>,
    leaf_vector_end: Vec<u64>,
    categories: Vec<u32>,
    categories_begin: Vec<u64>,
    categories_end: Vec<u64>,
}

/// `node_type` of a test of categories.
const CATEGORICAL: i8 = 2;

/// Which values go left, before the test is that of the forest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    Nothing,
    Less(f64),
    LessOrEqual(f64),
}

impl TreeArrays {
    pub(super) fn new(float: Float) -> Self {
        Self {
            float,
            comparison: None,
            node_type: Vec::new(),
            left: Vec::new(),
            right: Vec::new(),
            feature: Vec::new(),
            default_left: Vec::new(),
            leaf_value: Vec::new(),
            threshold: Vec::new(),
            operator: Vec::new(),
            categories_go_right: Vec::new(),
            leaf_vector: Vec::new(),
            leaf_vector_begin: Vec::new(),
            leaf_vector_end: Vec::new(),
            categories: Vec::new(),
            categories_begin: Vec::new(),
            categories_end: Vec::new(),
        }
    }

    /// The comparison of the forest, once some test has decided it.
    pub(super) fn comparison(&self) -> Option<Comparison> {
        self.comparison
    }

    pub(super) fn n_nodes(&self) -> usize {
        self.left.len()
    }

    pub(super) fn read_v4(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let num_nodes: i32 = cursor.scalar()?;
        cursor.flag("has_categorical_split")?;
        cursor.array(&mut self.node_type)?;
        cursor.array(&mut self.left)?;
        cursor.array(&mut self.right)?;
        cursor.array(&mut self.feature)?;
        cursor.array(&mut self.default_left)?;
        self.floats(cursor, |tree| &mut tree.leaf_value)?;
        self.floats(cursor, |tree| &mut tree.threshold)?;
        cursor.array(&mut self.operator)?;
        cursor.array(&mut self.categories_go_right)?;
        self.floats(cursor, |tree| &mut tree.leaf_vector)?;
        cursor.array(&mut self.leaf_vector_begin)?;
        cursor.array(&mut self.leaf_vector_end)?;
        cursor.array(&mut self.categories)?;
        cursor.array(&mut self.categories_begin)?;
        cursor.array(&mut self.categories_end)?;
        // Counts of rows, sums of Hessians and gains, each with its flags.
        for item_bytes in [8, 1, 8, 1, 8, 1] {
            cursor.skip_array(item_bytes)?;
        }
        cursor.skip_optional_fields()?;
        cursor.skip_optional_fields()?;
        self.check(num_nodes)
    }

    /// Version 3.9 keeps nodes as structures of C, with the threshold of a test and the value of a leaf in one place.
    pub(super) fn read_v3(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let num_nodes: i32 = cursor.scalar()?;
        cursor.flag("has_categorical_split")?;
        self.clear_nodes();
        let (node_bytes, number_at, kinds_at) = match self.float {
            Float::F32 => (48, 12, 40),
            Float::F64 => (56, 16, 48),
        };
        for node in cursor.items(node_bytes)? {
            let int = |at: usize| i32::read(&node[at..at + 4]);
            let number = match self.float {
                Float::F32 => f32::read(&node[number_at..number_at + 4]).into(),
                Float::F64 => f64::read(&node[number_at..number_at + 8]),
            };
            self.left.push(int(0));
            self.right.push(int(4));
            self.feature.push(int(8) & i32::MAX);
            self.default_left.push(u8::from(int(8) < 0));
            self.leaf_value.push(number);
            self.threshold.push(number);
            self.node_type.push(node[kinds_at] as i8);
            self.operator.push(node[kinds_at + 1] as i8);
            self.categories_go_right.push(node[kinds_at + 5]);
        }
        self.floats(cursor, |tree| &mut tree.leaf_vector)?;
        cursor.array(&mut self.leaf_vector_begin)?;
        cursor.array(&mut self.leaf_vector_end)?;
        cursor.array(&mut self.categories)?;
        cursor.array(&mut self.categories_begin)?;
        // One list of offsets: where a node's categories end, those of the next begin.
        self.categories_end.clear();
        self.categories_end.extend_from_slice(self.categories_begin.get(1..).unwrap_or_default());
        self.categories_begin.truncate(self.categories_end.len());
        if cursor.scalar::<i32>()? != 0 || cursor.scalar::<i32>()? != 0 {
            return Err(cursor.error("optional fields, which version 3.9 has none of"));
        }
        self.check(num_nodes)
    }

    fn clear_nodes(&mut self) {
        for integers in [&mut self.left, &mut self.right, &mut self.feature] {
            integers.clear();
        }
        for bytes in [&mut self.default_left, &mut self.categories_go_right] {
            bytes.clear();
        }
        for codes in [&mut self.node_type, &mut self.operator] {
            codes.clear();
        }
        for floats in [&mut self.leaf_value, &mut self.threshold] {
            floats.clear();
        }
    }

    /// An array of the checkpoint's float type.
    fn floats(&mut self, cursor: &mut Cursor<'_>, out: fn(&mut Self) -> &mut Vec<f64>) -> Result<()> {
        match self.float {
            Float::F32 => cursor.array_as::<f32, _>(out(self), f64::from),
            Float::F64 => cursor.array(out(self)),
        }
    }

    fn check(&self, num_nodes: i32) -> Result<()> {
        for (what, len) in [
            ("cleft", self.left.len()),
            ("cright", self.right.len()),
            ("node_type", self.node_type.len()),
            ("split_index", self.feature.len()),
            ("default_left", self.default_left.len()),
            ("leaf_value", self.leaf_value.len()),
            ("threshold", self.threshold.len()),
            ("cmp", self.operator.len()),
            ("category_list_right_child", self.categories_go_right.len()),
            ("leaf_vector_begin", self.leaf_vector_begin.len()),
            ("leaf_vector_end", self.leaf_vector_end.len()),
            ("category_list_begin", self.categories_begin.len()),
            ("category_list_end", self.categories_end.len()),
        ] {
            if usize::try_from(num_nodes) != Ok(len) {
                return Err(Error::invalid_model(format!("{what} has {len} entries for {num_nodes} nodes")));
            }
        }
        // Every node has a part of its own; a shared one would be copied for each.
        let parts = [
            ("leaf_vector", &self.leaf_vector_begin, &self.leaf_vector_end, self.leaf_vector.len()),
            ("category_list", &self.categories_begin, &self.categories_end, self.categories.len()),
        ];
        for (what, begins, ends, len) in parts {
            let sizes = begins.iter().zip(ends).map(|(begin, end)| end.saturating_sub(*begin));
            let used = sizes.fold(0, u64::saturating_add);
            if used > len as u64 {
                return Err(Error::invalid_model(format!("parts of {used} entries of {what}, which has {len}")));
            }
        }
        Ok(())
    }

    /// Adds the tree to the builder; `output` is the one it adds to, or all.
    pub(super) fn lower(&mut self, builder: &mut ForestBuilder, output: Option<u32>, head: &Head<'_>) -> Result<()> {
        if output.is_none() {
            self.clear_padding(head);
        }
        if self.comparison.is_none() {
            self.comparison = self.first_comparison();
        }
        let comparison = self.comparison.unwrap_or(Comparison::LessOrEqual);
        let tree = &*self;
        builder.add_tree(output, 1.0, tree.n_nodes(), |id| tree.node(id, output.is_none(), comparison))
    }

    /// The comparison of the first test of a number, as it is without exchanging children.
    fn first_comparison(&self) -> Option<Comparison> {
        let is_test = |node: &usize| self.left[*node] != -1 && self.node_type[*node] != CATEGORICAL;
        (0..self.n_nodes()).find(is_test).map(|node| match self.operator[node] {
            2 | 5 => Comparison::Less,
            _ => Comparison::LessOrEqual,
        })
    }

    /// Zeroes the values of classes that a target does not have: GTIL leaves these outputs alone.
    fn clear_padding(&mut self, head: &Head<'_>) {
        let width = head.n_outputs() as usize;
        for (node, &begin) in self.leaf_vector_begin.iter().enumerate() {
            let values =
                usize::try_from(begin).ok().and_then(|begin| self.leaf_vector.get_mut(begin..)?.get_mut(..width));
            if self.left[node] == -1 {
                for (output, value) in values.into_iter().flatten().enumerate() {
                    if head.is_padding(output) {
                        *value = 0.0;
                    }
                }
            }
        }
    }

    fn node(&self, id: u32, vector: bool, comparison: Comparison) -> Result<Node<'_>> {
        let node = id as usize;
        if self.left[node] == -1 {
            let values = part(&self.leaf_vector, self.leaf_vector_begin[node], self.leaf_vector_end[node])?;
            return match (vector, values.is_empty()) {
                (true, false) => Ok(Node::Leaf { id, values }),
                (false, true) => Ok(Node::Leaf { id, values: &self.leaf_value[node..=node] }),
                (false, false) if values.len() == 1 => Ok(Node::Leaf { id, values }),
                _ => Err(Error::invalid_model(format!("a leaf of {} values", values.len().max(1)))),
            };
        }
        let child = |child: i32| {
            u32::try_from(child).map_err(|_| Error::invalid_model(format!("child {child} of a node that is no leaf")))
        };
        let (left, right) = (child(self.left[node])?, child(self.right[node])?);
        let feature = self.feature[node];
        let feature = u32::try_from(feature).map_err(|_| Error::invalid_model(format!("feature {feature}")))?;
        let default_left = self.default_left[node] != 0;
        let (test, exchange) = if self.node_type[node] == CATEGORICAL {
            let codes = part(&self.categories, self.categories_begin[node], self.categories_end[node])?;
            (Test::Categories(CategorySet::from_codes(codes)), self.categories_go_right[node] != 0)
        } else {
            self.numeric_test(node, comparison)?
        };
        let missing = if default_left == exchange { Missing::Right } else { Missing::Left };
        let (left, right) = if exchange { (right, left) } else { (left, right) };
        Ok(Node::Split { feature, test, missing, left, right })
    }

    /// The test of a number under `comparison`, and whether the children are to be exchanged.
    fn numeric_test(&self, node: usize, comparison: Comparison) -> Result<(Test, bool)> {
        let threshold = self.threshold[node];
        let (left, exchange) = match self.operator[node] {
            2 => (Left::Less(threshold), false),
            3 => (Left::LessOrEqual(threshold), false),
            4 => (Left::LessOrEqual(threshold), true),
            5 => (Left::Less(threshold), true),
            1 => return Err(Error::unsupported("a test for equality is not supported")),
            other => return Err(Error::invalid_model(format!("comparison operator {other}"))),
        };
        let (left, complement) = self.under(left, comparison);
        let test = match left {
            Left::Less(threshold) | Left::LessOrEqual(threshold) => Test::Threshold(threshold),
            Left::Nothing => Test::Categories(CategorySet::default()),
        };
        Ok((test, exchange != complement))
    }

    /// The same values, or (the flag) all the others, under `comparison`. The neighbour of a threshold is that of the
    /// type of rows and thresholds, with nothing in between.
    fn under(&self, left: Left, comparison: Comparison) -> (Left, bool) {
        let next_down = |threshold: f64| match self.float {
            Float::F32 => (threshold as f32).next_down().into(),
            Float::F64 => threshold.next_down(),
        };
        let next_up = |threshold: f64| match self.float {
            Float::F32 => (threshold as f32).next_up().into(),
            Float::F64 => threshold.next_up(),
        };
        match (left, comparison) {
            (Left::Less(f64::NEG_INFINITY), Comparison::LessOrEqual) => (Left::Nothing, false),
            (Left::Less(threshold), Comparison::LessOrEqual) => (Left::LessOrEqual(next_down(threshold)), false),
            (Left::LessOrEqual(f64::INFINITY), Comparison::Less) => (Left::Nothing, true),
            (Left::LessOrEqual(threshold), Comparison::Less) => (Left::Less(next_up(threshold)), false),
            (same, _) => (same, false),
        }
    }
}

/// The entries from `begin` to `end`.
fn part<T>(all: &[T], begin: u64, end: u64) -> Result<&[T]> {
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(begin, end)| all.get(begin..end))
        .ok_or_else(|| Error::invalid_model(format!("entries {begin} to {end} of a list of {}", all.len())))
}

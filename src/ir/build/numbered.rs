//! Trees whose nodes are numbered from the root down, as libraries number them that grow trees: taken in one pass over the
//! numbers, without a step that waits for another. What makes this a proof: each child has a greater number than its
//! parent and is met once, and with all of them met there are no nodes but the root left.

use super::{FlatTree, ForestBuilder, Node, Start, Test};
use crate::error::Result;
use crate::ir::{Child, Missing, Split, SplitTest};

/// The nodes of one tree; reused from tree to tree.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    nodes: Vec<Met>,
}

/// A node that may have been met.
#[derive(Clone, Copy, Debug)]
struct Met {
    /// What it becomes.
    place: Child,
    /// One more than the splits above it, once it has been met.
    above: u32,
}

/// A node of which nothing is known to be wrong but, perhaps, its children.
pub(crate) enum NumberedNode {
    /// The end of a path, without a linear model.
    Leaf { id: u32, value: f64 },
    /// A split that compares with a threshold.
    Split(PlainSplit),
    /// Any other.
    Other,
}

/// A split that compares with a threshold.
pub(crate) struct PlainSplit {
    pub(crate) feature: u32,
    pub(crate) threshold: f64,
    pub(crate) missing: Missing,
    pub(crate) left: u32,
    pub(crate) right: u32,
}

/// A tree of scalar leaves, by the numbers of its nodes; 0 is the root. Methods are called for numbers of nodes that there
/// are, and best inlined.
pub(crate) trait NumberedTree {
    fn n_nodes(&self) -> usize;

    fn is_leaf(&self, node: u32) -> bool;

    /// Calls `each` with every node by its number, in their order, as long as that returns something.
    fn try_each(&self, each: impl FnMut(u32, NumberedNode) -> Option<()>) -> Option<()>;

    /// Any node.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    fn node(&self, node: u32) -> Result<Node<'_>>;
}

impl ForestBuilder {
    /// As [`add_tree`](Self::add_tree), quicker for a tree whose children have greater numbers than their parents and whose
    /// nodes the root all reaches.
    pub(crate) fn add_numbered_tree(&mut self, output: u32, weight: f64, tree: &impl NumberedTree) -> Result<()> {
        let n_nodes = tree.n_nodes();
        let start = self.start_tree(Some(output), n_nodes)?;
        let (n_sets, max_feature) = (self.nodes.sets.len(), self.max_feature);
        let mut buffers = std::mem::take(&mut self.numbered);
        let depth = self.take_numbered(&start, tree, &mut buffers);
        self.numbered = buffers;
        let Start { target, first_split, first_leaf, .. } = start;
        match depth {
            Some(depth) => {
                let root = self.numbered.nodes[0].place;
                self.nodes.trees.push(FlatTree { root, target, weight, depth, first_split, first_leaf });
                Ok(())
            }
            None => {
                self.nodes.splits.truncate(first_split as usize);
                self.nodes.leaf_ids.truncate(first_leaf as usize);
                self.nodes.leaf_values.truncate(first_leaf as usize);
                self.nodes.sets.truncate(n_sets);
                self.max_feature = max_feature;
                self.add_tree(Some(output), weight, n_nodes, |id| tree.node(id))
            }
        }
    }

    /// Takes the nodes; the depth of the tree. `None` if it is not numbered from the root down, or anything is wrong: some
    /// nodes may have been taken then.
    fn take_numbered(&mut self, start: &Start, tree: &impl NumberedTree, buffers: &mut Buffers) -> Option<u32> {
        let (n_splits, n_leaves) = buffers.part(start, tree);
        // Only a tree has one leaf more than splits.
        if n_leaves != n_splits + 1 {
            return None;
        }
        let nodes = &mut self.nodes;
        nodes.splits.reserve(n_splits);
        nodes.leaf_ids.reserve(n_leaves);
        nodes.leaf_values.reserve(n_leaves);
        let (mut deepest, mut greatest) = (1, (0, 0));
        tree.try_each(|id, node| {
            let (feature, test, missing, left, right) = match node {
                NumberedNode::Leaf { id, value } => {
                    nodes.leaf_ids.push(id);
                    nodes.leaf_values.push(value);
                    return Some(());
                }
                NumberedNode::Split(PlainSplit { threshold, .. }) if threshold.is_nan() => return None,
                NumberedNode::Split(PlainSplit { feature, threshold, missing, left, right }) => {
                    (feature, SplitTest::Threshold(threshold), missing, left, right)
                }
                NumberedNode::Other => match tree.node(id) {
                    Ok(Node::Split { feature, test: Test::Categories(set), missing, left, right }) => {
                        nodes.sets.push(set);
                        (feature, SplitTest::Set(nodes.sets.len() as u32 - 1), missing, left, right)
                    }
                    _ => return None,
                },
            };
            let depth = buffers.nodes[id as usize].above + 1;
            let mut place = |child: u32| {
                let met = buffers.nodes.get_mut(child as usize).filter(|met| child > id && met.above == 0)?;
                met.above = depth;
                Some(met.place)
            };
            let (left, right) = (place(left)?, place(right)?);
            deepest = deepest.max(depth);
            greatest = if feature > greatest.0 { (feature, id) } else { greatest };
            nodes.splits.push(Split { feature, left, right, missing, test });
            Some(())
        })?;
        if n_splits > 0 {
            self.uses_feature(greatest.0, start.tree, greatest.1);
        }
        Some(deepest - 1)
    }
}

impl Buffers {
    /// Says what each node will be; how many splits and leaves there are.
    fn part(&mut self, start: &Start, tree: &impl NumberedTree) -> (usize, usize) {
        let n_nodes = tree.n_nodes();
        let mut n_splits = 0;
        self.nodes.clear();
        self.nodes.extend((0..n_nodes as u32).map(|id| {
            let is_leaf = tree.is_leaf(id);
            let (split, leaf) = (start.first_split + n_splits, start.first_leaf + id - n_splits);
            n_splits += u32::from(!is_leaf);
            // The number of nodes is bounded, and that of their places.
            Met { place: Child(if is_leaf { !(leaf as i32) } else { split as i32 }), above: 0 }
        }));
        if let Some(root) = self.nodes.first_mut() {
            root.above = 1;
        }
        (n_splits as usize, n_nodes - n_splits as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::*;
    use crate::ir::Forest;
    use crate::ir::eval::Storage;
    use crate::schema::Schema;

    fn split(threshold: f64, left: u32, right: u32) -> Node<'static> {
        Node::Split { feature: 0, test: Test::Threshold(threshold), missing: Missing::Left, left, right }
    }

    fn leaf(id: u32, value: &f64) -> Node<'_> {
        Node::Leaf { id, values: std::slice::from_ref(value) }
    }

    struct Listed<'a>(&'a [Node<'a>]);

    impl NumberedTree for Listed<'_> {
        fn n_nodes(&self) -> usize {
            self.0.len()
        }

        fn is_leaf(&self, node: u32) -> bool {
            matches!(self.0[node as usize], Node::Leaf { .. })
        }

        fn try_each(&self, mut each: impl FnMut(u32, NumberedNode) -> Option<()>) -> Option<()> {
            (0..).zip(self.0).try_for_each(|(number, node)| {
                let node = match *node {
                    Node::Leaf { id, values: &[value] } => NumberedNode::Leaf { id, value },
                    Node::Split { feature, test: Test::Threshold(threshold), missing, left, right } => {
                        NumberedNode::Split(PlainSplit { feature, threshold, missing, left, right })
                    }
                    _ => NumberedNode::Other,
                };
                each(number, node)
            })
        }

        fn node(&self, node: u32) -> Result<Node<'_>> {
            Ok(self.0[node as usize].clone())
        }
    }

    fn numbered(nodes: &[Node<'_>]) -> Result<Forest> {
        let mut builder = ForestBuilder::new(&Schema::new(1, 1));
        builder.add_numbered_tree(0, 1.0, &Listed(nodes))?;
        builder.finish()
    }

    #[test]
    fn any_order_makes_the_same_tree() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let from_the_root = [
            split(2.0, 2, 1),
            split(3.0, 3, 4),
            split(1.0, 5, 6),
            leaf(3, &values[2]),
            leaf(4, &values[3]),
            leaf(5, &values[0]),
            leaf(6, &values[1]),
        ];
        // The root's child stands behind its own children; an orphan of a feature that is not there.
        let mut other = from_the_root.clone().to_vec();
        other.swap(2, 6);
        other[0] = split(2.0, 6, 1);
        other[6] = split(1.0, 5, 2);
        let orphan = Node::Split { feature: 9, test: Test::Threshold(0.0), missing: Missing::Left, left: 1, right: 1 };
        let with_orphan = [&from_the_root[..], &[orphan]].concat();
        for nodes in [&from_the_root[..], &other, &with_orphan] {
            let forest = numbered(nodes).unwrap();
            assert_eq!((forest.n_leaves(), forest.trees()[0].depth), (4, 2));
            for (value, expected) in [(0.5, 1.0), (1.5, 2.0), (2.5, 3.0), (3.5, 4.0)] {
                assert_eq!(forest.eval_margins::<f32>(&[value], Storage::Dense), [expected]);
            }
        }
    }

    #[test]
    fn what_is_no_tree_is_refused_as_it_is_elsewhere() {
        let value = 1.0;
        let leaf = |id| leaf(id, &value);
        for nodes in [
            vec![],
            vec![split(0.0, 1, 1), leaf(1)],
            vec![split(0.0, 1, 1), leaf(1), leaf(2)],
            vec![split(0.0, 0, 1), leaf(1), leaf(2)],
            vec![split(0.0, 1, 7), leaf(1), leaf(2)],
            vec![split(f64::NAN, 1, 2), leaf(1), leaf(2)],
            vec![split(0.0, 1, 2), split(0.0, 2, 3), leaf(2), leaf(3), leaf(4)],
        ] {
            let expected = ForestBuilder::new(&Schema::new(1, 1));
            let expected = expected.tree(Tree { output: Some(0), weight: 1.0, nodes: &nodes }).finish();
            assert_eq!(numbered(&nodes).unwrap_err().to_string(), expected.unwrap_err().to_string());
        }
    }
}

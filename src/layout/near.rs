//! The nodes of trees in an order for walks that end far down: a node, its children and some of theirs share a cache line.
//!
//! Siblings lie side by side, as a step needs them. Four pairs fill a line: a pair, and of those below it the ones with the
//! most splits. Where a line ends, each pair that is left starts one of its own, or shares one with other small subtrees.

use super::row::{RowLayout, RowNode, RowTree, groups};
use crate::ir::real::Real;
use crate::store::{Array, LINE};

/// Pairs of nodes in a line.
const PAIRS: usize = LINE / (2 * size_of::<RowNode>());

impl<S: Real> RowLayout<S> {
    /// The same trees in such an order, of a layout as [`new`](Self::new) makes it. Number and order of its nodes are not
    /// those of the forest any more.
    ///
    /// Cost: two passes over the nodes, and twice as much memory while they are made.
    pub(crate) fn near(&self) -> Self {
        let all = &self.nodes[..];
        let ends = self.trees.iter().skip(1).map(|tree| tree.root as usize).chain([all.len()]);
        // Some lines are not full.
        let mut order = Order::new(all.len() + all.len() / 4);
        let mut trees = Vec::with_capacity(self.trees.len());
        for (&tree, end) in self.trees.iter().zip(ends) {
            let root = order.add_tree(&all[tree.root as usize..end], tree.root);
            trees.push(RowTree { root, ..tree });
        }
        let Order { nodes, from, .. } = order;
        let width = self.width;
        let values = from.iter().flat_map(|&from| &self.values[from as usize * width..][..width]).copied();
        Self {
            ranks: self.ranks.clone(),
            words: self.words.clone(),
            outcomes: self.outcomes.clone(),
            values: values.collect::<Vec<_>>().into(),
            nodes: Array::on_lines(&nodes),
            width,
            groups: groups(&trees),
            trees,
            n_words: self.n_words,
        }
    }
}

/// Nodes in their new order.
struct Order {
    nodes: Vec<RowNode>,
    /// By node, which it was; 0, which is of no tree, for those that fill lines.
    from: Vec<u32>,
    /// Of a tree, by node: pairs below it.
    n_pairs: Vec<u32>,
}

/// A split whose children have no place yet: its place in the tree as it was, and its number now.
#[derive(Clone, Copy)]
struct Parent {
    old: usize,
    new: usize,
}

impl Order {
    fn new(capacity: usize) -> Self {
        let mut nodes = Vec::with_capacity(capacity);
        // For lanes without a tree.
        nodes.push(RowNode::arrival(0));
        Self { nodes, from: vec![0], n_pairs: Vec::new() }
    }

    /// Adds the nodes of a tree, which are in level order and whose first has been number `root`; its root's number now.
    fn add_tree(&mut self, tree: &[RowNode], root: u32) -> u32 {
        let left_of = |at: usize| (tree[at].left - root) as usize;
        self.n_pairs.clear();
        self.n_pairs.resize(tree.len(), 0);
        // Children come behind their parents.
        for at in (0..tree.len()).rev() {
            let left = left_of(at);
            if left != at {
                self.n_pairs[at] = 1 + self.n_pairs[left] + self.n_pairs[left + 1];
            }
        }
        let new_root = self.push(tree[0], root);
        let mut starts = Vec::new();
        if self.n_pairs[0] > 0 {
            starts.push(Parent { old: 0, new: new_root });
        }
        while let Some(start) = starts.pop() {
            let n_pairs = PAIRS.min(self.n_pairs[start.old] as usize);
            self.make_room(n_pairs);
            let first = starts.len();
            starts.push(start);
            for _ in 0..n_pairs {
                let most = (first..starts.len()).max_by_key(|&at| self.n_pairs[starts[at].old]).unwrap_or(first);
                let parent = starts.swap_remove(most);
                let left = left_of(parent.old);
                self.nodes[parent.new].left = self.nodes.len() as u32;
                for old in [left, left + 1] {
                    let new = self.push(tree[old], root + old as u32);
                    if self.n_pairs[old] > 0 {
                        starts.push(Parent { old, new });
                    }
                }
            }
        }
        new_root as u32
    }

    /// Adds a node that was number `from`; its number. A split's children are still to be said.
    fn push(&mut self, node: RowNode, from: u32) -> usize {
        let new = self.nodes.len();
        self.nodes.push(if node.left == from { RowNode::arrival(new) } else { node });
        self.from.push(from);
        new
    }

    /// Goes on to where pairs start, and to the next line if this one has no room for so many.
    fn make_room(&mut self, n_pairs: usize) {
        let mut end = self.nodes.len().next_multiple_of(2);
        if end % (2 * PAIRS) + 2 * n_pairs > 2 * PAIRS {
            end = end.next_multiple_of(2 * PAIRS);
        }
        self.from.resize(end, 0);
        self.nodes.extend((self.nodes.len()..end).map(RowNode::arrival));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A walk from the root of a tree, right where `goes_right` says so of a split by its word and cut.
    fn leaf(nodes: &[RowNode], root: u32, goes_right: impl Fn(RowNode) -> bool) -> usize {
        let mut at = root;
        while nodes[at as usize].left != at {
            let node = nodes[at as usize];
            at = node.left + u32::from(goes_right(node));
        }
        at as usize
    }

    #[test]
    fn walks_end_at_the_same_leaves_and_lines_hold_whole_clusters() {
        let mut state = 1u64;
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        for n_splits in [0, 1, 2, 3, 4, 5, 30, 1000] {
            let mut order = Order::new(1 << 12);
            let mut roots = Vec::new();
            for start in [1, 7] {
                // In level order, until there are as many splits.
                let (mut tree, mut end) = (Vec::new(), 1);
                while tree.len() < end {
                    let at = tree.len();
                    let is_split = (end - 1) / 2 < n_splits && (below(3) > 0 || end == at + 1);
                    let (word, cut) = (below(1 << 16) as u16, below(1 << 15) as u16);
                    let split = RowNode { left: (start + end) as u32, word, cut };
                    tree.push(if is_split { split } else { RowNode::arrival(start + at) });
                    end += if is_split { 2 } else { 0 };
                }
                let root = order.add_tree(&tree, start as u32);
                roots.push((tree, start, root));
            }
            for (tree, start, root) in roots {
                let mut all = vec![RowNode::arrival(0); start];
                all.extend(&tree);
                for salt in 0..200u32 {
                    let goes_right = |node: RowNode| (u32::from(node.word) ^ (salt * 0x9e37)).count_ones() % 2 == 1;
                    let old = leaf(&all, start as u32, goes_right);
                    assert_eq!(order.from[leaf(&order.nodes, root, goes_right)] as usize, old, "{n_splits} splits");
                }
            }
            let line = |at: usize| at / (2 * PAIRS);
            for (at, node) in order.nodes.iter().enumerate() {
                let left = node.left as usize;
                assert!(left == at || line(left) == line(left + 1));
            }
            assert_eq!(order.nodes.len(), order.from.len());
        }
    }
}

//! Trees for single rows: nodes of eight bytes that compare ranks, walked several at a time.
//!
//! A row is first turned into bytes: ranks of its values, and the outcomes of all tests of its categories, which are
//! tables by class. A node then is the same for every kind of split: right if a byte is at least so much. Trees of
//! similar depth share a group, so that few steps are idle; a group never reaches beyond its window, and the leaves of a
//! window are summed in tree order while the next is walked.

use std::sync::Arc;

use super::byte_tests::ByteTests;
use super::circuit::Refusal;
use super::classes::MAX_CLASSES;
use super::ranks::Ranks;
use crate::ir::real::Real;
use crate::ir::{Forest, Position, SplitTest, Target};
use crate::store::Array;

/// Walks in flight.
pub(crate) const LANES: usize = 8;

/// Trees whose leaves are summed together.
pub(crate) const WINDOW: usize = 64;

/// Bytes that tables of outcomes may take.
const MAX_OUTCOMES: usize = 1 << 22;

/// A forest as trees of byte tests.
#[derive(Debug)]
pub(crate) struct RowLayout<S: 'static> {
    pub(crate) ranks: Arc<Ranks>,
    /// For every coded feature of the ranks, the outcomes of its tests.
    pub(crate) outcomes: Vec<Outcomes>,
    pub(crate) nodes: Array<RowNode>,
    /// Of a leaf its weighted value; by node.
    pub(crate) values: Array<S>,
    pub(crate) groups: Vec<Group>,
    /// The output that each tree adds to.
    pub(crate) outputs: Vec<u32>,
    /// Bytes of a row.
    pub(crate) n_columns: usize,
}

/// A split: right if the byte of `column` is at least `from`. A leaf is its own left child, and nothing is right of it.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct RowNode {
    pub(crate) left: u32,
    pub(crate) column: u16,
    pub(crate) from: u16,
}

/// Trees that are walked together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) roots: [u32; LANES],
    /// Places of the trees in their window; [`WINDOW`] for a lane without a tree.
    pub(crate) places: [u8; LANES],
    pub(crate) steps: u32,
}

/// What the category tests of a feature say of each class: `n_tests` bytes a class, 0 for left and 255 for right.
#[derive(Debug)]
pub(crate) struct Outcomes {
    pub(crate) n_tests: usize,
    pub(crate) by_class: Vec<u8>,
    pub(crate) first_column: usize,
}

/// Whether a forest can be laid out so; otherwise why not. `refusals` are those of circuits, by tree.
pub(crate) fn row_refusal(forest: &Forest, refusals: &[Option<Refusal>]) -> Option<Refusal> {
    forest.trees().iter().zip(refusals).find_map(|(tree, &refusal)| match refusal {
        Some(Refusal::Leaves) | None if tree.target == Target::All => Some(Refusal::VectorLeaves),
        Some(Refusal::Leaves) => None,
        other => other,
    })
}

impl<S: Real> RowLayout<S> {
    /// A layout of all trees, whose splits are in `tests`; there is no [`row_refusal`].
    ///
    /// Cost: a pass over the splits, and over the tests of each class of categories.
    pub(crate) fn new(forest: &Forest, tests: &ByteTests) -> Result<Self, Refusal> {
        let ranks = tests.ranks.clone();
        let bytes = |coded: usize| ranks.coded[coded].n_classes * tests.n_tests(coded);
        let too_many = ranks.coded.iter().any(|coded| coded.n_classes >= MAX_CLASSES);
        if too_many || (0..ranks.coded.len()).map(bytes).sum::<usize>() > MAX_OUTCOMES {
            return Err(Refusal::Classes);
        }
        // Columns of classes are not needed: those of outcomes take their place.
        let mut n_columns = ranks.n_numeric();
        let mut first_columns = Vec::with_capacity(ranks.coded.len());
        for coded in 0..ranks.coded.len() {
            first_columns.push(n_columns);
            n_columns += tests.n_tests(coded);
        }
        if n_columns > usize::from(u16::MAX) {
            return Err(Refusal::Columns);
        }
        let outcomes = (0..).zip(&first_columns).map(|(coded, &first)| Outcomes::of(tests, coded, first)).collect();

        let n_nodes = 1 + forest.splits().len() + forest.n_leaves();
        let mut nodes = Vec::with_capacity(n_nodes);
        let mut values = Vec::with_capacity(n_nodes);
        nodes.push(RowNode::arrival(0));
        values.push(S::ZERO);
        let (mut roots, mut outputs) = (Vec::with_capacity(forest.n_trees()), Vec::with_capacity(forest.n_trees()));
        let mut level_order = Vec::new();
        for tree in forest.trees() {
            let weight = S::from_f64(tree.weight);
            let Target::One(output) = tree.target else { unreachable!("a row refusal") };
            outputs.push(output);
            let root = nodes.len();
            roots.push(root as u32);
            level_order.clear();
            level_order.push(tree.root);
            while let Some(child) = level_order.get(nodes.len() - root) {
                match child.position() {
                    Position::Leaf(leaf) => {
                        nodes.push(RowNode::arrival(nodes.len()));
                        values.push(S::from_f64(forest.leaf(leaf)[0]) * weight);
                    }
                    Position::Split(index) => {
                        let split = &forest.splits()[index];
                        let left = (root + level_order.len()) as u32;
                        level_order.extend([split.left, split.right]);
                        let (column, from) = match split.test {
                            SplitTest::Threshold(_) => {
                                let test = tests.numeric(index);
                                (test.column as usize, u16::from(test.from.to_ne_bytes()[0]))
                            }
                            SplitTest::Set(_) => {
                                let (coded, test) = tests.category(index);
                                (first_columns[coded] + test, 1)
                            }
                        };
                        nodes.push(RowNode { left, column: column as u16, from });
                        values.push(S::ZERO);
                    }
                }
            }
        }
        let (nodes, values) = (nodes.into(), values.into());
        let depths: Vec<u32> = forest.trees().iter().map(|tree| tree.depth).collect();
        let (groups, n_columns) = (groups(&roots, &depths), n_columns.max(1));
        Ok(Self { ranks, outcomes, nodes, values, groups, outputs, n_columns })
    }

    /// Number of leaves.
    pub(crate) fn n_leaves(&self) -> usize {
        // A tree has one more than splits, and the first node is of no tree.
        (self.nodes.len() - 1 + self.outputs.len()) / 2
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        let outcomes: usize = self.outcomes.iter().map(|outcomes| outcomes.by_class.len()).sum();
        self.ranks.heap_bytes()
            + outcomes
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.values)
            + size_of_val(&*self.groups)
            + size_of_val(&*self.outputs)
    }
}

impl Outcomes {
    /// Of a coded feature whose columns start at `first_column`.
    fn of(tests: &ByteTests, coded: usize, first_column: usize) -> Self {
        /// Tests whose classes stay in the nearest cache.
        const BLOCK: usize = 64;
        let (n_tests, n_classes) = (tests.n_tests(coded), tests.ranks.coded[coded].n_classes);
        let mut by_class = vec![0; n_classes * n_tests];
        for first in (0..n_tests).step_by(BLOCK) {
            let end = n_tests.min(first + BLOCK);
            // Eight classes at a time, whose bits are in one byte of each test.
            let mut bits = [0; BLOCK];
            for (eight, classes) in by_class.chunks_mut(8 * n_tests).enumerate() {
                for (test, bits) in (first..end).zip(&mut bits) {
                    *bits = tests.left(coded, test).as_flattened()[eight];
                }
                for (class, outcomes) in classes.chunks_exact_mut(n_tests).enumerate() {
                    for (outcome, bits) in outcomes[first..end].iter_mut().zip(&bits) {
                        *outcome = (bits >> class & 1).wrapping_sub(1);
                    }
                }
            }
        }
        Self { n_tests, by_class, first_column }
    }
}

/// Trees of each window, those of similar depth together.
pub(super) fn groups(roots: &[u32], depths: &[u32]) -> Vec<Group> {
    let mut groups = Vec::with_capacity(roots.len().div_ceil(LANES));
    for (roots, depths) in roots.chunks(WINDOW).zip(depths.chunks(WINDOW)) {
        let mut places: Vec<usize> = (0..roots.len()).collect();
        places.sort_by_key(|&place| depths[place]);
        for places in places.chunks(LANES) {
            let mut group = Group { roots: [0; LANES], places: [WINDOW as u8; LANES], steps: 0 };
            for (lane, &place) in places.iter().enumerate() {
                group.roots[lane] = roots[place];
                group.places[lane] = place as u8;
                group.steps = group.steps.max(depths[place]);
            }
            groups.push(group);
        }
    }
    groups
}

impl RowNode {
    /// A node from which nothing goes right.
    pub(super) fn arrival(at: usize) -> Self {
        Self { left: at as u32, column: 0, from: 256 }
    }
}

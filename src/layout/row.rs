//! Trees for single rows: nodes of eight bytes that compare ranks, walked several at a time.
//!
//! A row is first turned into bytes: ranks of its values, and the outcomes of all tests of its categories, which are
//! tables by class. A node then is the same for every kind of split: right if a byte is at least so much. Trees of
//! similar depth share a group, so that few steps are idle; a group never reaches beyond its window, and the leaves of a
//! window are summed in tree order while the next is walked.

use std::collections::{HashMap, VecDeque};

use super::circuit::{Refusal, refusal};
use super::ranks::{MAX_CLASSES, Ranks};
use crate::ir::real::Real;
use crate::ir::{Forest, Missing, Position, SplitTest, Target, facts};
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
    pub(crate) ranks: Ranks,
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

/// Whether a forest can be laid out so; otherwise why not.
pub(crate) fn row_refusal(forest: &Forest) -> Option<Refusal> {
    let trees = forest.trees().iter().enumerate();
    trees
        .map(|(index, tree)| match refusal(forest, index) {
            Some(Refusal::Leaves) | None if tree.target == Target::All => Some(Refusal::VectorLeaves),
            Some(Refusal::Leaves) => None,
            other => other,
        })
        .find_map(|refusal| refusal)
}

impl<S: Real> RowLayout<S> {
    /// Cost: a sort of each feature's cuts and a pass over the splits.
    pub(crate) fn new(forest: &Forest) -> Result<Self, Refusal> {
        if let Some(refusal) = row_refusal(forest) {
            return Err(refusal);
        }
        let (ranks, index) = Ranks::new(forest, forest.splits().iter());
        if ranks.coded.iter().any(|coded| coded.n_classes >= MAX_CLASSES) {
            return Err(Refusal::Classes);
        }
        // Columns of classes are not needed: those of outcomes take their place.
        let mut n_columns = ranks.n_numeric();
        let mut tests: HashMap<(u32, u32, Missing), usize> = HashMap::new();
        let mut outcomes = Vec::new();
        for coded in &ranks.coded {
            let mut of_feature = Vec::new();
            for split in forest.splits().iter().filter(|split| split.feature == coded.feature) {
                if let SplitTest::Set(set) = split.test {
                    tests.entry((coded.feature, set, split.missing)).or_insert_with(|| {
                        of_feature.push(coded.left_classes(forest, split, set));
                        n_columns + of_feature.len() - 1
                    });
                }
            }
            let n_tests = of_feature.len();
            if outcomes.iter().map(|outcomes: &Outcomes| outcomes.by_class.len()).sum::<usize>()
                + coded.n_classes * n_tests
                > MAX_OUTCOMES
            {
                return Err(Refusal::Classes);
            }
            let outcome = |class: usize, left: &Vec<[u8; 32]>| {
                let is_left = left[class >> 8][class >> 3 & 31] >> (class & 7) & 1 == 1;
                if is_left { 0 } else { 255 }
            };
            let by_class =
                (0..coded.n_classes).flat_map(|class| of_feature.iter().map(move |left| outcome(class, left)));
            outcomes.push(Outcomes { n_tests, by_class: by_class.collect(), first_column: n_columns });
            n_columns += n_tests;
        }
        if n_columns > usize::from(u16::MAX) {
            return Err(Refusal::Columns);
        }
        let depths = facts::tree_depths(forest);
        let mut layout = Self {
            ranks,
            outcomes,
            nodes: vec![RowNode::arrival(0)].into(),
            values: vec![S::ZERO].into(),
            groups: Vec::new(),
            outputs: Vec::with_capacity(forest.n_trees()),
            n_columns: n_columns.max(1),
        };
        let mut roots = Vec::with_capacity(forest.n_trees());
        let mut queue = VecDeque::new();
        for tree in forest.trees() {
            let weight = S::from_f64(tree.weight);
            let Target::One(output) = tree.target else { unreachable!("refused above") };
            layout.outputs.push(output);
            let root = layout.reserve(1);
            roots.push(root as u32);
            queue.push_back((root, tree.root));
            while let Some((at, child)) = queue.pop_front() {
                match child.position() {
                    Position::Leaf(leaf) => {
                        layout.nodes.edit()[at] = RowNode::arrival(at);
                        layout.values.edit()[at] = S::from_f64(forest.leaf(leaf)[0]) * weight;
                    }
                    Position::Split(split) => {
                        let split = &forest.splits()[split];
                        let left = layout.reserve(2);
                        queue.extend([(left, split.left), (left + 1, split.right)]);
                        let (column, from) = match split.test {
                            SplitTest::Threshold(threshold) => {
                                let test = index.byte_test(forest, split, threshold);
                                (test.column as usize, u16::from(test.from.to_ne_bytes()[0]))
                            }
                            SplitTest::Set(set) => (tests[&(split.feature, set, split.missing)], 1),
                        };
                        layout.nodes.edit()[at] = RowNode { left: left as u32, column: column as u16, from };
                    }
                }
            }
        }
        layout.groups = groups(&roots, &depths);
        Ok(layout)
    }

    /// Number of leaves.
    pub(crate) fn n_leaves(&self) -> usize {
        // A tree has one more than splits, and the first node is of no tree.
        (self.nodes.len() - 1 + self.outputs.len()) / 2
    }

    fn reserve(&mut self, count: usize) -> usize {
        let first = self.nodes.len();
        self.nodes.edit().resize(first + count, RowNode::arrival(0));
        self.values.edit().resize(first + count, S::ZERO);
        first
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

/// Trees of each window, those of similar depth together.
pub(super) fn groups(roots: &[u32], depths: &[usize]) -> Vec<Group> {
    let mut groups = Vec::with_capacity(roots.len().div_ceil(LANES));
    for (roots, depths) in roots.chunks(WINDOW).zip(depths.chunks(WINDOW)) {
        let mut places: Vec<usize> = (0..roots.len()).collect();
        places.sort_by_key(|&place| depths[place]);
        for places in places.chunks(LANES) {
            let mut group = Group { roots: [0; LANES], places: [WINDOW as u8; LANES], steps: 0 };
            for (lane, &place) in places.iter().enumerate() {
                group.roots[lane] = roots[place];
                group.places[lane] = place as u8;
                group.steps = group.steps.max(depths[place] as u32);
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

//! A tree as a program: tiles that select leaf numbers from the leaves up.
//!
//! A tile is the perfect subtree of one, three or seven splits, over leaves or over the results of other tiles, so that
//! what is between its splits stays in registers. Leaves are numbered in the order in which the program names them,
//! those of a tile one after another. A subtree that is nearly perfect is padded with leaves that occur twice.

use std::ops::Range;

use super::circuit::MAX_LEAVES;
use crate::ir::{Child, Forest, Position, SplitTest};

/// The kinds of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tile {
    /// A leaf by itself.
    Leaf,
    /// One split over two leaves.
    Leaves2,
    /// Three splits over four leaves.
    Leaves4,
    /// Seven splits over eight leaves.
    Leaves8,
    /// Three splits over four tiles.
    Join4,
    /// Seven splits over eight tiles.
    Join8,
    /// One split: a leaf on the left, a tile on the right.
    LeafLeft,
    /// One split: a tile on the left, a leaf on the right.
    LeafRight,
}

impl Tile {
    pub(crate) const ALL: [Self; 8] = [
        Self::Leaf,
        Self::Leaves2,
        Self::Leaves4,
        Self::Leaves8,
        Self::Join4,
        Self::Join8,
        Self::LeafLeft,
        Self::LeafRight,
    ];
}

/// The height of a subtree and the number of its splits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Height {
    levels: u32,
    splits: u32,
}

/// Of every split of the forest.
pub(super) fn heights(forest: &Forest) -> Vec<Height> {
    let mut heights = vec![Height::default(); forest.splits().len()];
    // Children stand behind their parents.
    for index in (0..heights.len()).rev() {
        let split = &forest.splits()[index];
        let [left, right] = [split.left, split.right].map(|child| match child.position() {
            Position::Split(child) => heights[child],
            Position::Leaf(_) => Height::default(),
        });
        heights[index] = Height { levels: left.levels.max(right.levels) + 1, splits: left.splits + right.splits + 1 };
    }
    heights
}

/// A program. The last operation is the root's.
pub(super) struct Program<'a> {
    forest: &'a Forest,
    heights: &'a [Height],
    /// Whether tiles may be padded.
    padded: bool,
    pub(super) ops: Vec<Op>,
    /// The forest's indices of the splits of the operations; `None` where padding stands.
    pub(super) splits: Vec<Option<usize>>,
    /// The forest's index of each numbered leaf.
    pub(super) leaves: Vec<usize>,
}

/// What is done with one tile.
pub(super) struct Op {
    pub(super) tile: Tile,
    /// The first leaf of the tile.
    pub(super) leaf: u8,
    /// Its splits in level order.
    pub(super) splits: Range<usize>,
    /// The operations whose results it selects from, from left to right.
    pub(super) operands: Vec<usize>,
}

impl<'a> Program<'a> {
    pub(super) fn of(forest: &'a Forest, heights: &'a [Height], root: Child, padded: bool) -> Self {
        let (ops, splits, leaves) = Default::default();
        let mut program = Self { forest, heights, padded, ops, splits, leaves };
        program.emit(root);
        program
    }

    /// About the cycles that 64 rows take with AVX-512: a comparison each, the loads and stores around a tile, and the
    /// look-up of leaves, which is by registers of 32 values.
    pub(super) fn cost(&self) -> usize {
        let table = self.leaves.len().next_power_of_two();
        let unnumbered = if table > MAX_LEAVES { usize::MAX / 2 } else { 0 };
        self.splits.len() + 2 * self.ops.len() + table / 4 + unnumbered
    }

    /// Byte columns it fills: one for every tile over leaves, one for every set test.
    pub(super) fn columns(&self) -> usize {
        let tiles = self.ops.iter().filter(|op| op.operands.is_empty()).count();
        let is_set = |&&split: &&usize| matches!(self.forest.splits()[split].test, SplitTest::Set(_));
        let sets = self.splits.iter().flatten().filter(is_set).count();
        tiles + sets
    }

    /// Writes the operations of a subtree; the last of them. Deep chains are written from the bottom up in a loop, so
    /// that recursion is only as deep as there are joins below each other.
    fn emit(&mut self, root: Child) -> usize {
        // Splits of one leaf and one subtree, from the top.
        let mut chain = Vec::new();
        let mut at = root;
        let mut result = loop {
            let index = match at.position() {
                Position::Split(index) => index,
                Position::Leaf(leaf) => {
                    let number = self.number([leaf]);
                    break self.push(Tile::Leaf, number, self.splits.len(), Vec::new());
                }
            };
            let split = &self.forest.splits()[index];
            let Height { levels, splits } = self.heights[index];
            let least = |levels: u32| if self.padded { [1, 2, 5][levels as usize - 1] } else { (1 << levels) - 1 };
            if levels <= 3 && splits >= least(levels) {
                break self.emit_leaf_tile(at, levels);
            }
            match (split.left.position(), split.right.position()) {
                (Position::Leaf(leaf), _) => {
                    chain.push((Tile::LeafLeft, leaf, index));
                    at = split.right;
                }
                (_, Position::Leaf(leaf)) => {
                    chain.push((Tile::LeafRight, leaf, index));
                    at = split.left;
                }
                _ => break self.emit_join(at),
            }
        };
        for (tile, leaf, split) in chain.into_iter().rev() {
            let number = self.number([leaf]);
            let first_split = self.splits.len();
            self.splits.push(Some(split));
            result = self.push(tile, number, first_split, vec![result]);
        }
        result
    }

    /// A subtree of at most `levels` levels, as one tile over its leaves.
    fn emit_leaf_tile(&mut self, root: Child, levels: u32) -> usize {
        let first_split = self.splits.len();
        let mut level = vec![root];
        for _ in 0..levels {
            level = self.descend(&level);
        }
        let leaves: Vec<usize> = level
            .iter()
            .map(|child| match child.position() {
                Position::Leaf(leaf) => leaf,
                Position::Split(_) => unreachable!("the subtree has no more levels"),
            })
            .collect();
        let first = self.number(leaves);
        let tile = [Tile::Leaves2, Tile::Leaves4, Tile::Leaves8][levels as usize - 1];
        self.push(tile, first, first_split, Vec::new())
    }

    /// A split over two subtrees, neither a leaf, with as many levels below it as make a dense tile.
    fn emit_join(&mut self, root: Child) -> usize {
        let Position::Split(index) = root.position() else { unreachable!("a split") };
        let split = &self.forest.splits()[index];
        let grandchildren: Vec<Child> = [split.left, split.right]
            .iter()
            .filter_map(|child| match child.position() {
                Position::Split(child) => Some(&self.forest.splits()[child]),
                Position::Leaf(_) => None,
            })
            .flat_map(|split| [split.left, split.right])
            .collect();
        let inner = grandchildren.iter().filter(|child| matches!(child.position(), Position::Split(_))).count();
        let (tile, levels) = if inner == 4 { (Tile::Join8, 3) } else { (Tile::Join4, 2) };
        let first_split = self.splits.len();
        let mut level = vec![root];
        for _ in 0..levels {
            level = self.descend(&level);
        }
        let end = self.splits.len();
        let operands = level.into_iter().map(|child| self.emit(child)).collect();
        self.ops.push(Op { tile, leaf: 0, splits: first_split..end, operands });
        self.ops.len() - 1
    }

    /// Notes the splits of a level; the level below. A leaf among splits becomes a padded split over itself.
    fn descend(&mut self, level: &[Child]) -> Vec<Child> {
        let mut below = Vec::with_capacity(2 * level.len());
        for &child in level {
            match child.position() {
                Position::Split(index) => {
                    let split = &self.forest.splits()[index];
                    self.splits.push(Some(index));
                    below.extend([split.left, split.right]);
                }
                Position::Leaf(_) => {
                    self.splits.push(None);
                    below.extend([child, child]);
                }
            }
        }
        below
    }

    /// Numbers leaves; the number of the first.
    fn number(&mut self, leaves: impl IntoIterator<Item = usize>) -> u8 {
        let first = self.leaves.len();
        self.leaves.extend(leaves);
        // A program of more leaves is discarded.
        first as u8
    }

    /// Writes an operation of the splits from `first_split` on; its place.
    fn push(&mut self, tile: Tile, leaf: u8, first_split: usize, operands: Vec<usize>) -> usize {
        self.ops.push(Op { tile, leaf, splits: first_split..self.splits.len(), operands });
        self.ops.len() - 1
    }
}

//! A tree as a program: tiles that select leaf numbers from the leaves up.
//!
//! A tile is the perfect subtree of one, three or seven splits, over leaves or over the results of other tiles, so that
//! what is between its splits stays in registers. Leaves are numbered in the order in which the program names them,
//! those of a tile one after another. A subtree that is nearly perfect is padded with leaves that occur twice. A perfect
//! subtree that asks the same of all nodes of a level, as CatBoost's trees do, is one tile of a split for each level.

use std::ops::Range;

use super::circuit::MAX_LEAVES;
use crate::ir::{Child, Forest, Position, Split, SplitTest};

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
    /// Three splits, one for each level, over eight leaves; and so on.
    Levels3,
    Levels4,
    Levels5,
    Levels6,
    Levels7,
    Levels8,
}

/// The tiles of a split for each level: of three levels, and so on.
const BY_LEVEL: [Tile; 6] = [Tile::Levels3, Tile::Levels4, Tile::Levels5, Tile::Levels6, Tile::Levels7, Tile::Levels8];

impl Tile {
    pub(crate) const ALL: [Self; 14] = [
        Self::Leaf,
        Self::Leaves2,
        Self::Leaves4,
        Self::Leaves8,
        Self::Join4,
        Self::Join8,
        Self::LeafLeft,
        Self::LeafRight,
        Self::Levels3,
        Self::Levels4,
        Self::Levels5,
        Self::Levels6,
        Self::Levels7,
        Self::Levels8,
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
    let splits = forest.splits();
    let mut heights = vec![Height::default(); splits.len()];
    // Children stand behind their parents.
    for index in (0..heights.len()).rev() {
        let split = &splits[index];
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
    /// All of the forest's.
    all_splits: &'a [Split],
    heights: &'a [Height],
    /// Whether tiles may be padded.
    padded: bool,
    pub(super) ops: Vec<Op>,
    /// What the operations select from: the operations whose results those are.
    pub(super) operands: Vec<u16>,
    /// The forest's indices of the splits of the operations; `None` where padding stands.
    pub(super) splits: Vec<Option<u32>>,
    /// The forest's index of each numbered leaf.
    pub(super) leaves: Vec<u32>,
    /// Whether padding stands anywhere.
    has_padding: bool,
    /// Splits that test sets.
    n_sets: usize,
    /// Splits of one leaf and one subtree that are still to be written, from the top.
    chain: Vec<(Tile, usize, usize)>,
}

/// What is done with one tile.
pub(super) struct Op {
    pub(super) tile: Tile,
    /// The first leaf of the tile.
    pub(super) leaf: u8,
    /// Its splits in level order.
    pub(super) splits: Range<usize>,
    /// The results it selects from, from left to right, among [`Program::operands`].
    pub(super) operands: Range<usize>,
}

impl<'a> Program<'a> {
    /// A program without operations.
    pub(super) fn empty(forest: &'a Forest, heights: &'a [Height]) -> Self {
        let (ops, operands, splits, leaves, chain) = Default::default();
        let (all_splits, padded, has_padding, n_sets) = (forest.splits(), false, false, 0);
        Self { forest, all_splits, heights, padded, ops, operands, splits, leaves, has_padding, n_sets, chain }
    }

    /// Writes the program of a tree over whatever was here.
    pub(super) fn write(&mut self, root: Child, padded: bool) {
        self.padded = padded;
        self.ops.clear();
        self.operands.clear();
        self.splits.clear();
        self.leaves.clear();
        (self.has_padding, self.n_sets) = (false, 0);
        self.emit(root);
    }

    /// Whether some tile is padded.
    pub(super) fn has_padding(&self) -> bool {
        self.has_padding
    }

    /// The operations that `op` selects from.
    pub(super) fn operands(&self, op: &Op) -> &[u16] {
        &self.operands[op.operands.clone()]
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
        self.ops.iter().filter(|op| op.operands.is_empty()).count() + self.n_sets
    }

    /// Writes the operations of a subtree; the last of them. Deep chains are written from the bottom up in a loop, so
    /// that recursion is only as deep as there are joins below each other.
    fn emit(&mut self, root: Child) -> u16 {
        let (first_of_chain, mut at) = (self.chain.len(), root);
        let mut result = loop {
            let index = match at.position() {
                Position::Split(index) => index,
                Position::Leaf(leaf) => {
                    let number = self.number([leaf]);
                    break self.push(Tile::Leaf, number, self.splits.len(), &[]);
                }
            };
            if let Some(result) = self.emit_levels(index) {
                break result;
            }
            let split = &self.all_splits[index];
            let Height { levels, splits } = self.heights[index];
            let least = |levels: u32| if self.padded { [1, 2, 5][levels as usize - 1] } else { (1 << levels) - 1 };
            if levels <= 3 && splits >= least(levels) {
                break self.emit_leaf_tile(at, levels);
            }
            match (split.left.position(), split.right.position()) {
                (Position::Leaf(leaf), _) => {
                    self.chain.push((Tile::LeafLeft, leaf, index));
                    at = split.right;
                }
                (_, Position::Leaf(leaf)) => {
                    self.chain.push((Tile::LeafRight, leaf, index));
                    at = split.left;
                }
                _ => break self.emit_join(at),
            }
        };
        while self.chain.len() > first_of_chain
            && let Some((tile, leaf, split)) = self.chain.pop()
        {
            let number = self.number([leaf]);
            let first_split = self.splits.len();
            self.note(split);
            result = self.push(tile, number, first_split, &[result]);
        }
        result
    }

    /// A perfect subtree that asks the same of all nodes of a level, as one tile; nothing for any other.
    fn emit_levels(&mut self, root: usize) -> Option<u16> {
        let Height { levels, splits } = self.heights[root];
        let &tile = BY_LEVEL.get(levels.checked_sub(3)? as usize)?;
        let (forest, all_splits) = (self.forest, self.all_splits);
        let same = |a: usize, b: usize| forest.ask_the_same(&all_splits[a], &all_splits[b]);
        let children = |split: usize| {
            let Split { left, right, .. } = all_splits[split];
            [left, right].map(|child| match child.position() {
                Position::Split(index) | Position::Leaf(index) => index,
            })
        };
        let [left, right] = children(root);
        // Most perfect subtrees already differ there.
        if splits != (1 << levels) - 1 || !same(left, right) {
            return None;
        }
        let (mut firsts, mut level) = (Vec::new(), vec![root]);
        for _ in 0..levels {
            if !level.iter().all(|&split| same(split, level[0])) {
                return None;
            }
            firsts.push(level[0]);
            level = level.into_iter().flat_map(children).collect();
        }
        let first_split = self.splits.len();
        firsts.into_iter().for_each(|split| self.note(split));
        let first = self.number(level);
        Some(self.push(tile, first, first_split, &[]))
    }

    /// A subtree of at most `levels` levels, as one tile over its leaves.
    fn emit_leaf_tile(&mut self, root: Child, levels: u32) -> u16 {
        let first_split = self.splits.len();
        let level = self.descend(root, levels);
        let first = self.number(level[..1 << levels].iter().map(|child| match child.position() {
            Position::Leaf(leaf) => leaf,
            Position::Split(_) => unreachable!("the subtree has no more levels"),
        }));
        let tile = [Tile::Leaves2, Tile::Leaves4, Tile::Leaves8][levels as usize - 1];
        self.push(tile, first, first_split, &[])
    }

    /// A split over two subtrees, neither a leaf, with as many levels below it as make a dense tile.
    fn emit_join(&mut self, root: Child) -> u16 {
        let Position::Split(index) = root.position() else { unreachable!("a split") };
        let split = &self.all_splits[index];
        let inner = |child: Child| match child.position() {
            Position::Split(child) => {
                let Split { left, right, .. } = self.all_splits[child];
                [left, right].iter().filter(|child| matches!(child.position(), Position::Split(_))).count()
            }
            Position::Leaf(_) => 0,
        };
        let (tile, levels) =
            if inner(split.left) + inner(split.right) == 4 { (Tile::Join8, 3) } else { (Tile::Join4, 2) };
        let first_split = self.splits.len();
        let level = self.descend(root, levels);
        let splits = first_split..self.splits.len();
        let mut operands = [0; 8];
        for (operand, &child) in operands.iter_mut().zip(&level[..1 << levels]) {
            *operand = self.emit(child);
        }
        let first_operand = self.operands.len();
        self.operands.extend_from_slice(&operands[..1 << levels]);
        self.ops.push(Op { tile, leaf: 0, splits, operands: first_operand..self.operands.len() });
        self.ops.len() as u16 - 1
    }

    /// Notes the splits of `levels` levels, at most three; the level below starts what is returned. A leaf among splits
    /// becomes a padded split over itself.
    fn descend(&mut self, root: Child, levels: u32) -> [Child; 8] {
        let mut level = [root; 8];
        for depth in 0..levels {
            let above = level;
            for (&child, below) in above[..1 << depth].iter().zip(level.as_chunks_mut().0) {
                *below = match child.position() {
                    Position::Split(index) => {
                        self.note(index);
                        [self.all_splits[index].left, self.all_splits[index].right]
                    }
                    Position::Leaf(_) => {
                        self.has_padding = true;
                        self.splits.push(None);
                        [child, child]
                    }
                };
            }
        }
        level
    }

    /// Writes what the next split of an operation is.
    fn note(&mut self, split: usize) {
        // The number of splits is bounded.
        self.splits.push(Some(split as u32));
        self.n_sets += usize::from(matches!(self.all_splits[split].test, SplitTest::Set(_)));
    }

    /// Numbers leaves; the number of the first.
    fn number(&mut self, leaves: impl IntoIterator<Item = usize>) -> u8 {
        let first = self.leaves.len();
        self.leaves.extend(leaves.into_iter().map(|leaf| leaf as u32));
        // A program of more leaves is discarded.
        first as u8
    }

    /// Writes an operation of the splits from `first_split` on; its place.
    fn push(&mut self, tile: Tile, leaf: u8, first_split: usize, operands: &[u16]) -> u16 {
        let first_operand = self.operands.len();
        self.operands.extend_from_slice(operands);
        let (splits, operands) = (first_split..self.splits.len(), first_operand..self.operands.len());
        self.ops.push(Op { tile, leaf, splits, operands });
        // Trees that bytes can number the leaves of have no more.
        self.ops.len() as u16 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{ForestBuilder, Missing, Node, Test, TreeSpec};
    use crate::schema::Schema;

    /// The operations of a tree of six levels whose splits, in level order, have these thresholds.
    fn tiles(threshold: impl Fn(u32) -> f64) -> Vec<(Tile, usize)> {
        let nodes: Vec<_> = (0..127)
            .map(|id| match id < 63 {
                true => {
                    let test = Test::Threshold(threshold(id));
                    Node::Split { feature: 0, test, missing: Missing::Left, left: 2 * id + 1, right: 2 * id + 2 }
                }
                false => Node::Leaf { id, values: &[1.0] },
            })
            .collect();
        let tree = TreeSpec { output: Some(0), weight: 1.0, nodes: &nodes };
        let forest = ForestBuilder::new(&Schema::new(1, 1)).tree(tree).finish().unwrap();
        let heights = heights(&forest);
        let mut program = Program::empty(&forest, &heights);
        program.write(forest.trees()[0].root, true);
        program.ops.iter().map(|op| (op.tile, op.splits.len())).collect()
    }

    #[test]
    fn what_is_asked_of_a_whole_level_is_asked_once() {
        let level = |split: u32| f64::from((split + 1).ilog2());
        assert_eq!(tiles(level), [(Tile::Levels6, 6)]);
        // The last split of the last level is another: its three ancestors' other halves are as before.
        let other = tiles(|split| if split == 62 { 100.0 } else { level(split) });
        assert!(other.contains(&(Tile::Leaves8, 7)) && other.contains(&(Tile::Levels3, 3)), "{other:?}");
        assert!(
            !other.iter().any(|(tile, _)| matches!(tile, Tile::Levels4 | Tile::Levels5 | Tile::Levels6)),
            "{other:?}"
        );
    }
}

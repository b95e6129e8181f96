//! Trees that ask the same of all nodes of a level, as CatBoost's do, for single rows: each level is a test, 64 tests are
//! made at once, and what the tests of a tree say is the number of its leaf.

use super::bytes::{ByteColumns, LookUp, PAGE, TESTED, Tests};
use super::circuit::Refusal;
use super::row::{RowLayout, RowNode};
use super::row_bytes::RowBytes;
use crate::ir::real::Real;

/// Levels of a tree, at most.
const MAX_LEVELS: u32 = 16;

/// All trees of a [`RowLayout`], a test for each level.
#[derive(Debug)]
pub(crate) struct Levels {
    columns: ByteColumns,
    pub(crate) bytes: RowBytes,
    pub(crate) blocks: Vec<Block>,
    pub(crate) trees: Vec<LevelTree>,
}

/// Tests that are made at once, and whose they are.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) tests: Tests,
    /// Of these trees and those before.
    pub(crate) end: usize,
}

/// A tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LevelTree {
    /// The leaf of a row that goes left all the way; leaves are in the order of their numbers.
    pub(crate) first_leaf: u32,
    /// What it adds to.
    pub(crate) output: u32,
    /// The place of its deepest test in its block; those above follow.
    pub(crate) shift: u32,
    /// The number of its last leaf.
    pub(crate) last: u32,
}

/// What a tree takes, a block, a shuffle for it, and a column, in cycles.
const TREE: f64 = 4.5;
const BLOCK: f64 = 8.0;
const SHUFFLE: f64 = 3.0;
const COLUMN: f64 = 12.0;

impl Levels {
    /// The levels of the trees of `layout`.
    ///
    /// Cost: a look at the nodes.
    pub(crate) fn new<S: Real>(layout: &RowLayout<S>) -> Result<Self, Refusal> {
        let mut splits: Vec<RowNode> = Vec::new();
        let (mut ends, mut trees) = (Vec::new(), Vec::with_capacity(layout.trees.len()));
        let mut n_tests = 0;
        for (number, tree) in layout.trees.iter().enumerate() {
            let levels = (0..tree.depth.min(MAX_LEVELS + 1)).map(|level| level_of(layout, tree.root, level));
            let levels: Vec<_> = levels.collect::<Option<_>>().ok_or(Refusal::Levels)?;
            if levels.len() > MAX_LEVELS as usize {
                return Err(Refusal::Leaves);
            }
            if n_tests + levels.len() > TESTED {
                ends.push(number);
                n_tests = 0;
            }
            let last = (1 << levels.len()) - 1;
            // A tree of one leaf asks nothing.
            let shift = n_tests.min(TESTED - 1) as u32;
            trees.push(LevelTree { first_leaf: tree.root + last, output: tree.output, shift, last });
            n_tests += levels.len();
            splits.extend(levels.into_iter().rev());
        }
        ends.push(trees.len());
        let columns = ByteColumns::new(layout.n_words, PAGE, false, || splits.iter().copied())?;
        let (mut rest, mut first) = (splits.into_iter(), 0);
        let block = |end: usize| {
            let mut tests: Tests = bytemuck::Zeroable::zeroed();
            let n_tests: u32 = trees[first..end].iter().map(LevelTree::n_levels).sum();
            for (at, split) in rest.by_ref().take(n_tests as usize).enumerate() {
                let (column, from) = columns.test(split);
                (tests.columns[at], tests.from[at]) = (column as u8, from);
            }
            first = end;
            Block { tests, end }
        };
        let blocks = ends.into_iter().map(block).collect();
        let bytes = RowBytes::new(&columns, layout);
        Ok(Self { columns, bytes, blocks, trees })
    }

    /// What a row is reckoned to take, in cycles, where bytes are looked up so.
    pub(crate) fn cycles(&self, look_up: LookUp) -> f64 {
        let blocks = self.blocks.len() as f64 * (BLOCK + self.columns.look_ups(look_up) * SHUFFLE);
        self.columns.columns.len() as f64 * COLUMN + blocks + self.trees.len() as f64 * TREE
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.columns.heap_bytes() + self.bytes.heap_bytes() + size_of_val(&*self.blocks) + size_of_val(&*self.trees)
    }
}

impl LevelTree {
    fn n_levels(&self) -> u32 {
        self.last.count_ones()
    }
}

/// What all nodes of a level below `root` ask, if they are as many as a level can have and ask the same.
fn level_of<S>(layout: &RowLayout<S>, root: u32, level: u32) -> Option<RowNode> {
    let (first, width) = (root as usize + (1 << level) - 1, 1 << level);
    let nodes = layout.nodes.get(first..first + width)?;
    let same = |(at, node): (usize, &RowNode)| {
        // Both children are where they are in a tree that is full as far as that.
        let is_full = node.left as usize == first + width + 2 * at;
        is_full && (node.word, node.cut) == (nodes[0].word, nodes[0].cut)
    };
    nodes.iter().enumerate().all(same).then_some(nodes[0])
}

//! How the tops of trees fill blocks, and what it takes to walk them.

use super::row::{RowNode, RowTree};
use super::tops::{LANES, PLACES, STARTS, TILES, distinct, is_leaf, tile};

/// Trees that blocks are filled with in any order; a block has trees of one window only.
const WINDOW: usize = 64;

/// What rows take, in cycles.
pub(super) struct Costs {
    /// A byte of the row.
    pub(super) column: f64,
    pub(super) tree: f64,
    /// From tile to tile: a step of a tree, or of all trees of a block.
    pub(super) step: f64,
    /// A step of a tree by words, below an exit.
    pub(super) rest_step: f64,
    pub(super) block: f64,
    /// A look-up of a block's bytes.
    pub(super) look_up: f64,
}

impl Costs {
    pub(super) const IN_GROUPS: Self =
        Self { column: 14.0, tree: 2.0, step: 0.8, rest_step: 5.0, block: 14.0, look_up: 4.0 };
    pub(super) const IN_BLOCKS: Self =
        Self { column: 8.0, tree: 4.5, step: 0.5, rest_step: 5.0, block: 12.0, look_up: 3.0 };
}

/// The tiles of a tree's top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) n_tiles: usize,
    pub(super) n_exits: usize,
    /// Levels of tiles.
    pub(super) levels: u32,
    /// Splits on the longest way below an exit.
    pub(super) rest: u32,
}

impl Shape {
    /// Of a lane without a tree.
    pub(super) const NONE: Self = Self { n_tiles: 0, n_exits: 0, levels: 0, rest: 0 };

    /// Adds the roots of the tiles of a tree, level after level: as many levels as are reckoned to take least.
    pub(super) fn new(nodes: &[RowNode], tree: &RowTree, costs: &Costs, roots: &mut Vec<u32>) -> Self {
        let first = roots.len();
        let mut best = Self { n_tiles: 0, n_exits: 1, levels: 0, rest: tree.depth };
        if tree.depth == 0 {
            return best;
        }
        let of_tile = (costs.block + 2.0 * costs.look_up) / TILES as f64;
        let mut least = f64::from(tree.depth) * costs.rest_step;
        roots.push(tree.root);
        let (mut start, mut levels, mut n_exits) = (first, 0, 1);
        while start < roots.len() && roots.len() - first < TILES {
            let end = roots.len();
            levels += 1;
            for at in start..end {
                // In place of the way to the tile there are those from it.
                n_exits -= 1;
                for way in distinct(tile(nodes, roots[at]).1) {
                    n_exits += 1;
                    if !is_leaf(nodes, way) {
                        roots.push(way);
                    }
                }
            }
            let rest = if roots.len() == end { 0 } else { tree.depth - 2 * levels };
            let of_steps = f64::from(levels) * costs.step + f64::from(rest) * costs.rest_step;
            let takes = (end - first) as f64 * of_tile + of_steps;
            if takes < least {
                (best, least) = (Self { n_tiles: end - first, n_exits, levels, rest }, takes);
            }
            start = end;
        }
        roots.truncate(first + best.n_tiles);
        best
    }
}

/// How trees fill blocks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packing {
    /// For [`Walks::Groups`](super::tops::Walks::Groups), tree after tree.
    Groups(usize),
    /// For [`Walks::Blocks`](super::tops::Walks::Blocks), window after window.
    Blocks,
}

impl Packing {
    /// Trees of a block, at most.
    pub(super) fn most(self) -> usize {
        match self {
            Self::Groups(n_blocks) => LANES / n_blocks,
            Self::Blocks => STARTS,
        }
    }

    /// The trees of each block.
    pub(super) fn pack(self, trees: &[Shape]) -> Vec<Vec<usize>> {
        let mut blocks: Vec<Filled> = Vec::new();
        match self {
            Self::Groups(_) => {
                for tree in 0..trees.len() {
                    let fits = |last: &mut Filled| last.take(tree, trees, self.most());
                    if !blocks.last_mut().is_some_and(fits) {
                        blocks.push(Filled::with(tree, trees));
                    }
                }
            }
            Self::Blocks => {
                for first in (0..trees.len()).step_by(WINDOW) {
                    let mut window: Vec<usize> = (first..trees.len().min(first + WINDOW)).collect();
                    window.sort_by_key(|&tree| std::cmp::Reverse(trees[tree].n_tiles));
                    let of_window = blocks.len();
                    for tree in window {
                        // The first block with room for it.
                        if !blocks[of_window..].iter_mut().any(|block| block.take(tree, trees, self.most())) {
                            blocks.push(Filled::with(tree, trees));
                        }
                    }
                }
            }
        }
        blocks.into_iter().map(|block| block.trees).collect()
    }

    /// What trees take, whose blocks take so much before they are walked.
    pub(super) fn cycles(self, trees: &[Shape], blocks: &[Vec<usize>], of_block: f64, costs: &Costs) -> f64 {
        let of_group = |trees: &[Shape], steps: u32| {
            let rest = trees.iter().map(|tree| tree.rest).max().unwrap_or(0);
            LANES as f64 * (costs.tree + f64::from(steps) * costs.step + f64::from(rest) * costs.rest_step)
        };
        let shapes =
            |of_blocks: &[Vec<usize>]| -> Vec<Shape> { of_blocks.iter().flatten().map(|&tree| trees[tree]).collect() };
        match self {
            Self::Groups(n_blocks) => {
                let groups = blocks.chunks(n_blocks).map(shapes);
                groups.map(|trees| n_blocks as f64 * of_block + of_group(&trees, levels(&trees))).sum()
            }
            Self::Blocks => {
                let of_blocks = blocks.chunks(1).map(|block| of_block + f64::from(levels(&shapes(block))) * costs.step);
                of_blocks.sum::<f64>() + trees.chunks(LANES).map(|trees| of_group(trees, 0)).sum::<f64>()
            }
        }
    }

    /// How many groups of trees have arrived for sure when each block has: those of the windows before its own, so spread
    /// over the blocks of a window that leaves are added while others are walked.
    pub(super) fn arrived(blocks: &[Vec<usize>]) -> Vec<u32> {
        const GROUPS: usize = WINDOW / LANES;
        let of_window = |window: &[Vec<usize>]| -> Vec<u32> {
            let before = window[0][0] / WINDOW * GROUPS;
            let so_far = |block: usize| before.saturating_sub(GROUPS) + (block + 1) * GROUPS / window.len();
            (0..window.len()).map(|block| so_far(block).min(before) as u32).collect()
        };
        blocks.chunk_by(|a, b| a[0] / WINDOW == b[0] / WINDOW).flat_map(of_window).collect()
    }
}

/// The trees of a block, and the places that they take.
struct Filled {
    trees: Vec<usize>,
    tiles: usize,
    exits: usize,
}

impl Filled {
    /// A block always has places for one tree.
    fn with(tree: usize, trees: &[Shape]) -> Self {
        Self { trees: vec![tree], tiles: trees[tree].n_tiles, exits: trees[tree].n_exits }
    }

    /// Takes another tree if there are places for it, and not `most` trees.
    fn take(&mut self, tree: usize, trees: &[Shape], most: usize) -> bool {
        let (tiles, exits) = (self.tiles + trees[tree].n_tiles, self.exits + trees[tree].n_exits);
        let fits = tiles <= TILES && TILES + exits <= PLACES && self.trees.len() < most;
        if fits {
            self.trees.push(tree);
            (self.tiles, self.exits) = (tiles, exits);
        }
        fits
    }
}

/// Levels of tiles of the highest top.
pub(super) fn levels(trees: &[Shape]) -> u32 {
    trees.iter().map(|tree| tree.levels).max().unwrap_or(0)
}

//! The tops of trees for single rows, without a step that depends on data: every split of 64 tiles is tested at once.
//!
//! A tile is a split and its two children. The columns of a row are bytes in a few registers; a test of 64 tiles fetches
//! the byte of each tile's column and compares it, and what the three tests say selects where a walk goes on: at another
//! tile, or at an exit, which is a node of the tree, a leaf mostly. What remains of a walk is then a byte a step. Trees
//! fill blocks of 64 tiles. Eight trees are walked together, of as many blocks as it takes.
//!
//! Of a test of a category the byte says nothing; the row's class brings its outcome ([`ClassMasks`]).

use super::bytes::{ByteColumns, TESTED, Tests};
use super::circuit::Refusal;
use super::class_masks::{CategoryTest, ClassMasks};
use super::row::{RowLayout, RowNode, RowTree};
use crate::ir::real::Real;

/// Tiles of a block, which are evaluated at once.
pub(crate) const TILES: usize = TESTED;

/// Places of a block: its tiles, and the exits of its trees behind them. A place is a byte.
pub(crate) const PLACES: usize = 256;

/// Walks in flight.
pub(crate) const LANES: usize = 8;

/// Classes times blocks, of six megabytes.
const MAX_MASKS: usize = 1 << 18;

/// Tops of more nodes than this are not near the processor when they are needed.
const MAX_NODES: usize = 1 << 17;

/// The tops of all trees of a [`RowLayout`].
#[derive(Debug)]
pub(crate) struct Tops<S: 'static> {
    pub(crate) bytes: ByteColumns,
    /// What tests of categories say, by block.
    pub(crate) masks: ClassMasks,
    /// The blocks of `groups`, one after another.
    pub(crate) tiles: Vec<Tiles>,
    pub(crate) groups: Vec<Group>,
    /// Blocks of a group: 1, 2 or 4.
    pub(crate) n_blocks: usize,
    /// Whether some walks go on below exits, by words.
    pub(crate) walks_on: bool,
    /// By exit, the weighted value of a leaf; behind the last exit there are as many entries as places.
    pub(crate) values: Vec<S>,
    /// By exit, the node of the row layout.
    pub(crate) nodes: Vec<u32>,
}

/// The tiles of a block.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Tiles {
    /// The tests of the split, of its left and of its right child.
    pub(crate) tests: [Tests; 3],
    /// The places of the four grandchildren, from left to right.
    pub(crate) next: [[u8; TILES]; 4],
}

/// Trees that are walked together: as many of each block, in tree order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Lanes without a tree are at an exit that adds nothing.
    pub(crate) tops: [Top; LANES],
    /// Tiles on the longest way to an exit.
    pub(crate) steps: u32,
    /// Splits on the longest way below an exit.
    pub(crate) rest: u32,
}

/// The top of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Top {
    /// The place of its first tile, or of its one exit, in its block.
    pub(crate) root: u8,
    /// The exit of place 0, if that were an exit.
    pub(crate) first_exit: u32,
    pub(crate) output: u32,
}

/// What a tree takes, a step by words below an exit, a step from tile to tile, a block, a shuffle for it, and a column, in cycles.
const TREE: f64 = 2.0;
const REST_STEP: f64 = 5.0;
const STEP: f64 = 0.8;
const BLOCK: f64 = 14.0;
const BLOCK_SHUFFLE: f64 = 4.0;
const COLUMN: f64 = 6.0;

/// What the masks of a block take, of tests of categories: to take them into account, and for each feature to gather them.
const BLOCK_MASKS: f64 = 4.0;
const GATHERED_MASK: f64 = 1.0;

/// Tops that are reckoned, and not laid out.
pub(crate) struct Reckoned {
    bytes: ByteColumns,
    /// The splits that are roots of tiles, tree after tree.
    roots: Vec<u32>,
    trees: Vec<Shape>,
    n_blocks: usize,
    /// What a row is reckoned to take, in cycles, once it has been ranked.
    pub(crate) cycles: f64,
}

/// The tiles of a tree's top.
#[derive(Clone, Copy)]
struct Shape {
    n_tiles: usize,
    n_exits: usize,
    /// Levels of tiles.
    levels: u32,
    /// Splits on the longest way below an exit.
    rest: u32,
}

impl Reckoned {
    /// The tops of the trees of `layout`, where a register fetches so many bytes.
    ///
    /// Cost: a few looks at the splits of the tops.
    pub(crate) fn new<S>(layout: &RowLayout<S>, register_bytes: usize) -> Result<Self, Refusal> {
        if layout.nodes.len() > MAX_NODES {
            return Err(Refusal::Nodes);
        }
        let mut roots = Vec::new();
        let trees: Vec<_> = layout.trees.iter().map(|tree| Shape::new(&layout.nodes, tree, &mut roots)).collect();
        let of_tile = |&root: &u32| tile(&layout.nodes, root).0.map(|at| layout.nodes[at as usize]);
        // Leaves compare with the greatest word.
        let splits = || roots.iter().flat_map(of_tile).filter(|split| split.cut < u16::MAX);
        let has_categories = splits().any(|split| layout.is_category(split));
        let numeric = || splits().filter(|&split| !layout.is_category(split));
        let bytes = ByteColumns::new(layout.n_words, has_categories, numeric)?;
        let masks = match has_categories {
            true => {
                let of_block = BLOCK_MASKS + layout.outcomes.len() as f64 * GATHERED_MASK;
                of_block * (TILES / register_bytes) as f64
            }
            false => 0.0,
        };
        let takes = |n_blocks: usize| {
            let shuffles = bytes.shuffles(register_bytes);
            let of_group = |[blocks, steps, rest]: [u32; 3]| {
                f64::from(blocks) * (BLOCK + shuffles * BLOCK_SHUFFLE + masks)
                    + LANES as f64 * (TREE + f64::from(steps) * STEP + f64::from(rest) * REST_STEP)
            };
            bytes.columns.len() as f64 * COLUMN + groups(&trees, n_blocks).map(of_group).sum::<f64>()
        };
        let by_blocks = [1, 2, 4].map(|n_blocks| (n_blocks, takes(n_blocks)));
        let (n_blocks, cycles) = by_blocks.into_iter().fold(by_blocks[0], |a, b| if b.1 < a.1 { b } else { a });
        let in_all = || groups(&trees, n_blocks).map(|[blocks, ..]| blocks as usize).sum();
        if has_categories && ClassMasks::n_masks(layout, in_all()) > MAX_MASKS {
            return Err(Refusal::Classes);
        }
        Ok(Self { bytes, roots, trees, n_blocks, cycles })
    }
}

/// The trees of each group of so many blocks: blocks, steps, and splits below exits.
fn groups(trees: &[Shape], n_blocks: usize) -> impl Iterator<Item = [u32; 3]> {
    let mut rest = trees;
    std::iter::from_fn(move || {
        let mut group = [n_blocks as u32, 0, 0];
        if rest.is_empty() {
            return None;
        }
        for _ in 0..n_blocks {
            let (of_block, behind) = rest.split_at(n_in_block(rest, LANES / n_blocks));
            for tree in of_block {
                group = [group[0], group[1].max(tree.levels), group[2].max(tree.rest)];
            }
            rest = behind;
        }
        Some(group)
    })
}

/// How many of the first trees a block has places for, `most` at most; for one it always has.
fn n_in_block(trees: &[Shape], most: usize) -> usize {
    let (mut tiles, mut exits) = (0, 0);
    let fits = |tree: &&Shape| {
        tiles += tree.n_tiles;
        exits += tree.n_exits;
        tiles <= TILES && TILES + exits <= PLACES
    };
    trees.iter().take(most).take_while(fits).count()
}

fn is_leaf(nodes: &[RowNode], at: u32) -> bool {
    nodes[at as usize].left == at
}

/// The children of a node; of a leaf itself twice.
fn children(nodes: &[RowNode], at: u32) -> [u32; 2] {
    let left = nodes[at as usize].left;
    [left, left + u32::from(left != at)]
}

/// A split and its children, and its grandchildren from left to right.
fn tile(nodes: &[RowNode], root: u32) -> ([u32; 3], [u32; 4]) {
    let [left, right] = children(nodes, root);
    let ([a, b], [c, d]) = (children(nodes, left), children(nodes, right));
    ([root, left, right], [a, b, c, d])
}

/// Grandchildren, each once.
fn distinct(ways: [u32; 4]) -> impl Iterator<Item = u32> {
    (0..4).filter(move |&at| at == 0 || ways[at] != ways[at - 1]).map(move |at| ways[at])
}

impl Shape {
    /// Adds the roots of the tiles of a tree, level after level: as many levels as are reckoned to take least.
    fn new(nodes: &[RowNode], tree: &RowTree, roots: &mut Vec<u32>) -> Self {
        let first = roots.len();
        let mut best = Self { n_tiles: 0, n_exits: 1, levels: 0, rest: tree.depth };
        if tree.depth == 0 {
            return best;
        }
        let mut least = f64::from(tree.depth) * REST_STEP;
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
            let of_tile = (BLOCK + 2.0 * BLOCK_SHUFFLE) / TILES as f64;
            let takes = (end - first) as f64 * of_tile + f64::from(levels) * STEP + f64::from(rest) * REST_STEP;
            if takes < least {
                (best, least) = (Self { n_tiles: end - first, n_exits, levels, rest }, takes);
            }
            start = end;
        }
        roots.truncate(first + best.n_tiles);
        best
    }
}

impl<S: Real> Tops<S> {
    /// The tops of the trees of `layout` as they were reckoned.
    ///
    /// Cost: a look at the splits of the tops.
    pub(crate) fn new(layout: &RowLayout<S>, reckoned: Reckoned) -> Self {
        let Reckoned { bytes, roots, trees, n_blocks, .. } = reckoned;
        let nodes = &layout.nodes[..];
        // A leaf stands for both its children, so any test does.
        let test = |at: u32| match nodes[at as usize] {
            _ if is_leaf(nodes, at) => (0, 0),
            split if layout.is_category(split) => bytes.never(),
            split => bytes.test(split),
        };
        let mut of_categories = Vec::new();
        // As far as that, exits are none; the last is for lanes without a tree.
        let (mut exits, mut tiles, mut groups) = (vec![0; TILES + 1], Vec::new(), Vec::new());
        let (mut trees, mut of_layout) = (&trees[..], layout.trees.iter());
        let mut roots = roots.into_iter();
        while !trees.is_empty() {
            let nothing = Top { root: TILES as u8, first_exit: 0, output: 0 };
            let mut group = Group { tops: [nothing; LANES], steps: 0, rest: 0 };
            for tops in group.tops.chunks_mut(LANES / n_blocks) {
                let (of_block, behind) = trees.split_at(n_in_block(trees, tops.len()));
                trees = behind;
                let mut block: Tiles = bytemuck::Zeroable::zeroed();
                let (first_exit, mut n_tiles) = ((exits.len() - TILES) as u32, 0);
                let exit = |exits: &Vec<u32>| (exits.len() - first_exit as usize) as u8;
                for (top, tree) in tops.iter_mut().zip(of_block) {
                    let RowTree { root, output, .. } = *of_layout.next().expect("each has a shape");
                    group.steps = group.steps.max(tree.levels);
                    group.rest = group.rest.max(tree.rest);
                    *top = Top { root: n_tiles as u8, first_exit, output };
                    if tree.n_tiles == 0 {
                        top.root = exit(&exits);
                        exits.push(root);
                    }
                    let end = n_tiles + tree.n_tiles;
                    let mut next_tile = n_tiles + 1;
                    for lane in n_tiles..end {
                        let (splits, ways) = tile(nodes, roots.next().expect("a root for each tile"));
                        for (at, (tests, split)) in block.tests.iter_mut().zip(splits).enumerate() {
                            (tests.columns[lane], tests.from[lane]) = test(split);
                            let RowNode { word, .. } = nodes[split as usize];
                            if !is_leaf(nodes, split) && layout.is_category(nodes[split as usize]) {
                                of_categories.push(CategoryTest { block: tiles.len(), tests: at, lane, word });
                            }
                        }
                        let mut place = 0;
                        for (at, way) in ways.into_iter().enumerate() {
                            if at == 0 || way != ways[at - 1] {
                                if !is_leaf(nodes, way) && next_tile < end {
                                    place = next_tile as u8;
                                    next_tile += 1;
                                } else {
                                    place = exit(&exits);
                                    exits.push(way);
                                }
                            }
                            block.next[at][lane] = place;
                        }
                    }
                    n_tiles = end;
                }
                tiles.push(block);
            }
            groups.push(group);
        }
        let value = |&node: &u32| if node == 0 { -S::ZERO } else { layout.values[node as usize] };
        exits.resize(exits.len() + PLACES, 0);
        let masks = ClassMasks::new(layout, &of_categories, tiles.len());
        let walks_on = groups.iter().any(|group: &Group| group.rest > 0);
        let values = exits.iter().map(value).collect();
        Self { bytes, masks, tiles, groups, n_blocks, walks_on, values, nodes: exits }
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        let exits = size_of_val(&*self.values) + size_of_val(&*self.nodes);
        self.bytes.heap_bytes()
            + self.masks.heap_bytes()
            + exits
            + size_of_val(&*self.tiles)
            + size_of_val(&*self.groups)
    }
}

//! The tops of trees for single rows, without a step that depends on data: every split of 64 tiles is tested at once.
//!
//! A tile is a split and its two children. The columns of a row are bytes in a few registers; a test of 64 tiles fetches
//! the byte of each tile's column and compares it, and what the three tests say selects where a walk goes on: at another
//! tile, or at an exit, which is a node of the tree, a leaf mostly. What remains of a walk is then a byte a step. Trees
//! fill blocks of 64 tiles. Where registers look bytes up by number, all trees of a block are walked in a register;
//! elsewhere eight trees are walked together, byte by byte, of as many blocks as it takes.
//!
//! Of a test of a category the byte says nothing; the row's class brings its outcome ([`ClassMasks`]).

use super::bytes::{ByteColumns, LookUp, PAGE, Pages, TESTED, Tests};
use super::circuit::Refusal;
use super::class_masks::{CategoryTest, ClassMasks, Masks};
use super::row::{RowLayout, RowNode, RowTree};
use super::row_bytes::RowBytes;
use crate::ir::real::Real;

/// Tiles of a block, which are evaluated at once.
pub(crate) const TILES: usize = TESTED;

/// Trees of a block that are walked at once.
pub(crate) const STARTS: usize = 16;

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
    pub(crate) bytes: RowBytes,
    /// What tests of categories say, by block.
    pub(crate) masks: ClassMasks,
    /// By block.
    pub(crate) tiles: Vec<Tiles>,
    /// By block, which pages the columns of its three tests are on; empty if there is but one page.
    pub(crate) pages: Vec<[Pages; 3]>,
    pub(crate) walks: Walks,
    /// All trees, in tree order.
    pub(crate) groups: Vec<Group>,
    /// Whether some walks go on below exits, by words.
    pub(crate) walks_on: bool,
    /// By exit, the weighted values of a leaf; behind the last exit there are as many entries as places.
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

/// A block, and what a row's categories say of it, if they do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    pub(crate) tiles: &'a Tiles,
    pub(crate) pages: Option<&'a [Pages; 3]>,
    pub(crate) of_categories: Option<&'a Masks>,
}

/// How trees are walked through blocks.
#[derive(Debug)]
pub(crate) enum Walks {
    /// A group has so many blocks, 1, 2 or 4, and as many of its trees in each.
    Groups(usize),
    /// All trees of a block at once; by block.
    Blocks(Vec<Starts>),
}

/// Where the walks of a block start, and how far they go.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Starts {
    /// Places of the trees in tree order; behind them [`TILES`], which is an exit.
    pub(crate) places: [u8; STARTS],
    pub(crate) n_trees: u32,
    /// How many times what is next is doubled first, to what is next after that.
    pub(crate) doublings: u32,
    /// Steps of such a length.
    pub(crate) steps: u32,
}

/// Trees whose leaves are added together.
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

/// What walks take, in cycles.
struct Costs {
    tree: f64,
    /// From tile to tile: a step of a tree, or of all trees of a block.
    step: f64,
    /// A step of a tree by words, below an exit.
    rest_step: f64,
    block: f64,
    /// A look-up of a block's bytes.
    look_up: f64,
}

impl Costs {
    const IN_GROUPS: Self = Self { tree: 2.0, step: 0.8, rest_step: 5.0, block: 14.0, look_up: 4.0 };
    const IN_BLOCKS: Self = Self { tree: 4.5, step: 1.5, rest_step: 5.0, block: 10.0, look_up: 2.0 };
}

/// What a column takes, in cycles.
const COLUMN: f64 = 6.0;

/// What the masks of a block take, of tests of categories: to take them into account, and for each feature to gather them.
const BLOCK_MASKS: f64 = 4.0;
const GATHERED_MASK: f64 = 1.0;

/// Tops that are reckoned, and not laid out.
pub(crate) struct Reckoned {
    columns: ByteColumns,
    /// The splits that are roots of tiles, tree after tree.
    roots: Vec<u32>,
    trees: Vec<Shape>,
    packing: Packing,
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
    /// The tops of the trees of `layout`, where bytes are looked up so.
    ///
    /// Cost: a few looks at the splits of the tops.
    pub(crate) fn new<S>(layout: &RowLayout<S>, look_up: LookUp) -> Result<Self, Refusal> {
        if layout.nodes.len() > MAX_NODES {
            return Err(Refusal::Nodes);
        }
        let (costs, packings): (_, &[_]) = match look_up {
            LookUp::Shuffle { .. } => (Costs::IN_GROUPS, &[Packing::Groups(1), Packing::Groups(2), Packing::Groups(4)]),
            LookUp::Number => (Costs::IN_BLOCKS, &[Packing::Blocks]),
        };
        let mut roots = Vec::new();
        let shape = |tree| Shape::new(&layout.nodes, tree, &costs, &mut roots);
        let trees: Vec<_> = layout.trees.iter().map(shape).collect();
        let of_tile = |&root: &u32| tile(&layout.nodes, root).0.map(|at| layout.nodes[at as usize]);
        // Leaves compare with the greatest word.
        let splits = || roots.iter().flat_map(of_tile).filter(|split| split.cut < u16::MAX);
        let has_categories = splits().any(|split| layout.is_category(split));
        let numeric = || splits().filter(|&split| !layout.is_category(split));
        let byte_columns = ByteColumns::new(layout.n_words, look_up.most_columns(), has_categories, numeric)?;
        let masks = match has_categories {
            true => {
                let of_block = BLOCK_MASKS + layout.outcomes.len() as f64 * GATHERED_MASK;
                of_block * look_up.registers() as f64
            }
            false => 0.0,
        };
        let of_block = costs.block + byte_columns.look_ups(look_up) * costs.look_up + masks;
        let columns = byte_columns.columns.len() as f64 * COLUMN;
        let by_packing = packings.iter().map(|&packing| (packing, columns + packing.cycles(&trees, of_block, &costs)));
        let (packing, cycles) = by_packing.reduce(|a, b| if b.1 < a.1 { b } else { a }).expect("there are some");
        let n_blocks = blocks(&trees, packing).count();
        if has_categories && ClassMasks::n_masks(layout, n_blocks) > MAX_MASKS {
            return Err(Refusal::Classes);
        }
        Ok(Self { columns: byte_columns, roots, trees, packing, cycles })
    }
}

/// How trees fill blocks.
#[derive(Clone, Copy)]
enum Packing {
    /// For [`Walks::Groups`].
    Groups(usize),
    /// For [`Walks::Blocks`].
    Blocks,
}

impl Packing {
    /// Trees of a block, at most.
    fn most(self) -> usize {
        match self {
            Self::Groups(n_blocks) => LANES / n_blocks,
            Self::Blocks => STARTS,
        }
    }

    /// What trees take, whose blocks take so much before they are walked.
    fn cycles(self, trees: &[Shape], of_block: f64, costs: &Costs) -> f64 {
        let of_group = |trees: &[Shape], steps: u32| {
            let rest = trees.iter().map(|tree| tree.rest).max().unwrap_or(0);
            LANES as f64 * (costs.tree + f64::from(steps) * costs.step + f64::from(rest) * costs.rest_step)
        };
        match self {
            Self::Groups(n_blocks) => {
                let blocks: Vec<_> = blocks(trees, self).collect();
                let groups = blocks.chunks(n_blocks).map(<[_]>::concat);
                groups.map(|trees| n_blocks as f64 * of_block + of_group(&trees, levels(&trees))).sum()
            }
            Self::Blocks => {
                let of_blocks = blocks(trees, self).map(|trees| of_block + f64::from(levels(trees)) * costs.step);
                of_blocks.sum::<f64>() + trees.chunks(LANES).map(|trees| of_group(trees, 0)).sum::<f64>()
            }
        }
    }
}

/// Levels of tiles of the highest top.
fn levels(trees: &[Shape]) -> u32 {
    trees.iter().map(|tree| tree.levels).max().unwrap_or(0)
}

/// The trees of each block.
fn blocks(trees: &[Shape], packing: Packing) -> impl Iterator<Item = &[Shape]> {
    let mut rest = trees;
    std::iter::from_fn(move || {
        let (of_block, behind) = rest.split_at(n_in_block(rest, packing.most()));
        rest = behind;
        (!of_block.is_empty()).then_some(of_block)
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

impl Starts {
    /// Of trees whose tops have so many levels of tiles.
    fn new(tops: &[Top], levels: u32) -> Self {
        let mut places = [TILES as u8; STARTS];
        places.iter_mut().zip(tops).for_each(|(place, top)| *place = top.root);
        let takes = |doublings: u32| doublings + levels.div_ceil(1 << doublings);
        let doublings = (0..6).min_by_key(|&doublings| takes(doublings)).unwrap_or(0);
        Self { places, n_trees: tops.len() as u32, doublings, steps: takes(doublings) - doublings }
    }
}

impl Group {
    fn new(tops: [Top; LANES], shapes: &[Shape]) -> Self {
        let rest = shapes.iter().map(|tree| tree.rest).max().unwrap_or(0);
        Self { tops, steps: levels(shapes), rest }
    }
}

impl Shape {
    /// Of a lane without a tree.
    const NONE: Self = Self { n_tiles: 0, n_exits: 0, levels: 0, rest: 0 };

    /// Adds the roots of the tiles of a tree, level after level: as many levels as are reckoned to take least.
    fn new(nodes: &[RowNode], tree: &RowTree, costs: &Costs, roots: &mut Vec<u32>) -> Self {
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

impl<S: Real> Tops<S> {
    /// The tops of the trees of `layout` as they were reckoned.
    ///
    /// Cost: a look at the splits of the tops.
    pub(crate) fn new(layout: &RowLayout<S>, reckoned: Reckoned) -> Self {
        let Reckoned { columns, roots, trees, packing, .. } = reckoned;
        let nodes = &layout.nodes[..];
        // A leaf stands for both its children, so any test does.
        let test = |at: u32| match nodes[at as usize] {
            _ if is_leaf(nodes, at) => (0, 0),
            split if layout.is_category(split) => columns.never(),
            split => columns.test(split),
        };
        let mut of_categories = Vec::new();
        // As far as that, exits are none; the last is for lanes without a tree.
        let mut exits = vec![0; TILES + 1];
        let nothing = Top { root: TILES as u8, first_exit: 0, output: 0 };
        let (mut tiles, mut starts, mut tops, mut shapes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut of_layout, mut roots) = (layout.trees.iter(), roots.into_iter());
        let has_pages = columns.columns.len() > PAGE;
        let mut pages = Vec::new();
        for of_block in blocks(&trees, packing) {
            let mut block: Tiles = bytemuck::Zeroable::zeroed();
            let mut of_tests = [Pages::default(); 3];
            let (first_exit, mut n_tiles) = ((exits.len() - TILES) as u32, 0);
            let exit = |exits: &Vec<u32>| (exits.len() - first_exit as usize) as u8;
            let first_top = tops.len();
            for tree in of_block {
                let RowTree { root, output, .. } = *of_layout.next().expect("each has a shape");
                let mut top = Top { root: n_tiles as u8, first_exit, output };
                if tree.n_tiles == 0 {
                    top.root = exit(&exits);
                    exits.push(root);
                }
                tops.push(top);
                let end = n_tiles + tree.n_tiles;
                let mut next_tile = n_tiles + 1;
                for lane in n_tiles..end {
                    let (splits, ways) = tile(nodes, roots.next().expect("a root for each tile"));
                    for (at, (tests, split)) in block.tests.iter_mut().zip(splits).enumerate() {
                        let (column, from) = test(split);
                        (tests.columns[lane], tests.from[lane]) = (column as u8, from);
                        let page = usize::from(column) / PAGE;
                        let of_bits = of_tests[at].iter_mut().enumerate();
                        of_bits.for_each(|(bit, of_lanes)| *of_lanes |= (page as u64 >> bit & 1) << lane);
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
            pages.extend(has_pages.then_some(of_tests));
            shapes.extend_from_slice(of_block);
            match packing {
                Packing::Blocks => starts.push(Starts::new(&tops[first_top..], levels(of_block))),
                Packing::Groups(_) => {
                    // The next block is of other lanes.
                    tops.resize(tops.len().next_multiple_of(packing.most()), nothing);
                    shapes.resize(tops.len(), Shape::NONE);
                }
            }
        }
        tops.resize(tops.len().next_multiple_of(LANES), nothing);
        shapes.resize(tops.len(), Shape::NONE);
        let groups: Vec<_> = tops
            .as_chunks()
            .0
            .iter()
            .zip(shapes.chunks(LANES))
            .map(|(&tops, shapes)| Group::new(tops, shapes))
            .collect();
        let walks = match packing {
            Packing::Groups(n_blocks) => {
                tiles.resize(groups.len() * n_blocks, bytemuck::Zeroable::zeroed());
                Walks::Groups(n_blocks)
            }
            Packing::Blocks => Walks::Blocks(starts),
        };
        let width = layout.width;
        exits.resize(exits.len() + PLACES, 0);
        let masks = ClassMasks::new(layout, &of_categories, tiles.len());
        let walks_on = groups.iter().any(|group| group.rest > 0);
        let values = exits.iter().flat_map(|&node| &layout.values[node as usize * width..][..width]).copied().collect();
        let bytes = RowBytes::new(&columns, layout);
        Self { bytes, masks, tiles, pages, walks, groups, walks_on, values, nodes: exits }
    }

    /// A block by its number, and what the row's categories say of it.
    #[inline(always)]
    pub(crate) fn block<'a, const PAGES: bool>(&'a self, at: usize, of_categories: Option<&'a Masks>) -> Block<'a> {
        Block { tiles: &self.tiles[at], pages: if PAGES { Some(&self.pages[at]) } else { None }, of_categories }
    }

    /// Places of a row: where each tree of its groups arrives, and behind them those of a block.
    pub(crate) fn n_places(&self) -> usize {
        match self.walks {
            Walks::Groups(_) => 0,
            Walks::Blocks(_) => self.groups.len() * LANES + STARTS,
        }
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        let exits = size_of_val(&*self.values) + size_of_val(&*self.nodes);
        self.bytes.heap_bytes()
            + self.masks.heap_bytes()
            + exits
            + size_of_val(&*self.tiles)
            + size_of_val(&*self.pages)
            + size_of_val(&*self.groups)
            + match &self.walks {
                Walks::Groups(_) => 0,
                Walks::Blocks(starts) => size_of_val(&**starts),
            }
    }
}

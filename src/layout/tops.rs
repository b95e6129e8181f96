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
use super::packing::{Costs, Packing, Shape};
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
    Groups { n_blocks: usize, roots: Vec<Roots> },
    /// All trees of a block at once, the blocks in such an order that those of one are not one after another; for each
    /// group, where in the order of arrivals its trees are.
    Blocks { starts: Vec<Starts>, arrivals: Vec<[u32; LANES]> },
}

/// Where the walks of a group start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roots {
    /// The place of a tree's first tile, or of its one exit, in its block. Lanes without a tree are at an exit that adds
    /// nothing.
    pub(crate) places: [u8; LANES],
    /// The exit of place 0, if that were an exit.
    pub(crate) first_exits: [u32; LANES],
    /// Tiles on the longest way to an exit.
    pub(crate) steps: u32,
}

/// Where the walks of a block start.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Starts {
    /// Places of the trees; behind them [`TILES`], which is an exit.
    pub(crate) places: [u8; STARTS],
    pub(crate) n_trees: u32,
    /// Groups of which all trees have arrived by then.
    pub(crate) n_groups: u32,
    /// The exit of place 0, if that were an exit.
    pub(crate) first_exit: u32,
    pub(crate) steps: Steps,
}

/// How far walks go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// How many times what is next is doubled first, to what is next after that; at most [`DOUBLINGS`](Self::DOUBLINGS).
    pub(crate) doublings: u32,
    /// Steps of such a length; at most [`STEPS`](Self::STEPS).
    pub(crate) steps: u32,
}

/// Trees whose leaves are added together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// What each adds to.
    pub(crate) outputs: [u32; LANES],
    /// Splits on the longest way below an exit.
    pub(crate) rest: u32,
}

/// The top of a tree.
#[derive(Clone, Copy, Debug)]
struct Top {
    place: u8,
    first_exit: u32,
    output: u32,
    shape: Shape,
    /// Trees of blocks that have been walked before.
    arrival: u32,
}

/// What a word takes, in cycles, where some walks go on below exits.
const WORD: f64 = 24.0;

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
    /// The trees of each block.
    blocks: Vec<Vec<usize>>,
    /// What a row is reckoned to take, in cycles.
    pub(crate) cycles: f64,
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
        let walks_on = trees.iter().any(|tree| tree.rest > 0);
        let words = if walks_on { layout.words.len() as f64 * WORD } else { 0.0 };
        let columns = byte_columns.columns.len() as f64 * costs.column + words;
        let by_packing = packings.iter().map(|&packing| {
            let blocks = packing.pack(&trees);
            let cycles = columns + packing.cycles(&trees, &blocks, of_block, &costs);
            (packing, blocks, cycles)
        });
        let (packing, blocks, cycles) =
            by_packing.reduce(|a, b| if b.2 < a.2 { b } else { a }).expect("there are some");
        if has_categories && ClassMasks::n_masks(layout, blocks.len()) > MAX_MASKS {
            return Err(Refusal::Classes);
        }
        Ok(Self { columns: byte_columns, roots, trees, packing, blocks, cycles })
    }
}

pub(super) fn is_leaf(nodes: &[RowNode], at: u32) -> bool {
    nodes[at as usize].left == at
}

/// The children of a node; of a leaf itself twice.
fn children(nodes: &[RowNode], at: u32) -> [u32; 2] {
    let left = nodes[at as usize].left;
    [left, left + u32::from(left != at)]
}

/// A split and its children, and its grandchildren from left to right.
pub(super) fn tile(nodes: &[RowNode], root: u32) -> ([u32; 3], [u32; 4]) {
    let [left, right] = children(nodes, root);
    let ([a, b], [c, d]) = (children(nodes, left), children(nodes, right));
    ([root, left, right], [a, b, c, d])
}

/// Grandchildren, each once.
pub(super) fn distinct(ways: [u32; 4]) -> impl Iterator<Item = u32> {
    (0..4).filter(move |&at| at == 0 || ways[at] != ways[at - 1]).map(move |at| ways[at])
}

impl Starts {
    /// Of the trees of a block, after which so many groups have arrived.
    fn new(tops: &[Top], n_groups: u32) -> Self {
        let mut places = [TILES as u8; STARTS];
        places.iter_mut().zip(tops).for_each(|(place, top)| *place = top.place);
        let steps = Steps::new(tops.iter().map(|top| top.shape.levels).max().unwrap_or(0));
        Self { places, n_trees: tops.len() as u32, n_groups, first_exit: tops[0].first_exit, steps }
    }
}

impl Steps {
    pub(crate) const DOUBLINGS: u32 = 5;
    pub(crate) const STEPS: u32 = 3;

    /// From tile to tile through so many levels of them, of which there are at most [`TILES`].
    fn new(levels: u32) -> Self {
        let takes = |doublings: u32| doublings + levels.div_ceil(1 << doublings);
        let doublings = (0..=Self::DOUBLINGS).min_by_key(|&doublings| takes(doublings)).unwrap_or(0);
        Self { doublings, steps: takes(doublings) - doublings }
    }
}

impl Top {
    /// Of each lane of each group, of the tops of each block; `n_trees` in all.
    fn of_lanes(packing: Packing, tops: &[Vec<Self>], blocks: &[Vec<usize>], n_trees: usize) -> Vec<[Self; LANES]> {
        let shape = Shape::NONE;
        let nothing = Self { place: TILES as u8, first_exit: 0, output: 0, shape, arrival: n_trees as u32 };
        let n_lanes = match packing {
            Packing::Groups(_) => blocks.len() * packing.most(),
            Packing::Blocks => n_trees,
        };
        let mut lanes = vec![[nothing; LANES]; n_lanes.div_ceil(LANES)];
        for (block, (tops, trees)) in tops.iter().zip(blocks).enumerate() {
            for (at, (&top, &tree)) in tops.iter().zip(trees).enumerate() {
                let lane = match packing {
                    Packing::Groups(_) => block * packing.most() + at,
                    Packing::Blocks => tree,
                };
                lanes[lane / LANES][lane % LANES] = top;
            }
        }
        lanes
    }
}

impl Roots {
    fn new(tops: &[Top; LANES]) -> Self {
        let steps = tops.iter().map(|top| top.shape.levels).max().unwrap_or(0);
        Self { places: tops.map(|top| top.place), first_exits: tops.map(|top| top.first_exit), steps }
    }
}

impl Group {
    fn new(tops: &[Top; LANES]) -> Self {
        let rest = tops.iter().map(|top| top.shape.rest).max().unwrap_or(0);
        Self { outputs: tops.map(|top| top.output), rest }
    }
}

impl<S: Real> Tops<S> {
    /// The tops of the trees of `layout` as they were reckoned.
    ///
    /// Cost: a look at the splits of the tops.
    pub(crate) fn new(layout: &RowLayout<S>, reckoned: Reckoned) -> Self {
        let Reckoned { columns, roots, trees, packing, blocks, .. } = reckoned;
        let nodes = &layout.nodes[..];
        // A leaf stands for both its children, so any test does.
        let test = |at: u32| match nodes[at as usize] {
            _ if is_leaf(nodes, at) => (0, 0),
            split if layout.is_category(split) => columns.never(),
            split => columns.test(split),
        };
        let first_roots = trees.iter().scan(0, |end, tree| Some(std::mem::replace(end, *end + tree.n_tiles)));
        let first_roots: Vec<usize> = first_roots.collect();
        let mut of_categories = Vec::new();
        // As far as that, exits are none; the last is for lanes without a tree.
        let mut exits = vec![0; TILES + 1];
        let (mut tiles, mut pages) = (Vec::with_capacity(blocks.len()), Vec::new());
        // By block.
        let mut tops: Vec<Vec<Top>> = Vec::with_capacity(blocks.len());
        let mut n_arrived = 0;
        for of_block in &blocks {
            let mut block: Tiles = bytemuck::Zeroable::zeroed();
            let mut of_tests = [Pages::default(); 3];
            let (first_exit, mut n_tiles) = ((exits.len() - TILES) as u32, 0);
            let exit = |exits: &Vec<u32>| (exits.len() - first_exit as usize) as u8;
            let mut of_trees = Vec::with_capacity(packing.most());
            for &tree in of_block {
                let (shape, RowTree { root, output, .. }) = (trees[tree], layout.trees[tree]);
                let mut top = Top { place: n_tiles as u8, first_exit, output, shape, arrival: n_arrived };
                if shape.n_tiles == 0 {
                    top.place = exit(&exits);
                    exits.push(root);
                }
                of_trees.push(top);
                n_arrived += 1;
                let end = n_tiles + shape.n_tiles;
                let mut next_tile = n_tiles + 1;
                for (lane, &root) in (n_tiles..end).zip(&roots[first_roots[tree]..]) {
                    let (splits, ways) = tile(nodes, root);
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
            if columns.columns.len() > PAGE {
                pages.push(of_tests);
            }
            tops.push(of_trees);
        }

        let lanes = Top::of_lanes(packing, &tops, &blocks, trees.len());
        let walks = match packing {
            Packing::Groups(n_blocks) => {
                tiles.resize(lanes.len() * n_blocks, bytemuck::Zeroable::zeroed());
                Walks::Groups { n_blocks, roots: lanes.iter().map(Roots::new).collect() }
            }
            Packing::Blocks => {
                let arrived = Packing::arrived(&blocks);
                let starts = tops.iter().zip(arrived).map(|(tops, n_groups)| Starts::new(tops, n_groups)).collect();
                Walks::Blocks { starts, arrivals: lanes.iter().map(|tops| tops.map(|top| top.arrival)).collect() }
            }
        };
        let groups: Vec<_> = lanes.iter().map(Group::new).collect();
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

    /// Where the trees of all blocks arrive, and behind them those of another.
    pub(crate) fn n_arrivals(&self) -> usize {
        match self.walks {
            Walks::Groups { .. } => 0,
            Walks::Blocks { .. } => self.groups.len() * LANES + STARTS,
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
                Walks::Groups { roots, .. } => size_of_val(&**roots),
                Walks::Blocks { starts, arrivals } => size_of_val(&**starts) + size_of_val(&**arrivals),
            }
    }
}

//! Trees as circuits of byte selections: every split of a tree is tested on 64 rows at a time, and leaf numbers are
//! selected from the leaves up. No step depends on data.
//!
//! A tree is a program for a stack of byte columns. Its instructions are tiles: the perfect subtree of one, three or
//! seven splits, over leaves or over the columns on top of the stack, so that what is between the splits of a tile
//! stays in registers. Leaves are numbered in the order in which the program names them, those of a tile one after
//! another. A subtree that is nearly perfect is padded with leaves that occur twice.

use std::fmt;

use super::ranks::{ByteTest, MAX_CLASSES, RankIndex, Ranks, has_byte_test};
use crate::ir::real::Real;
use crate::ir::{Child, Forest, Position, Split, SplitTest, Target};
use crate::store::Array;

/// Leaves of a tree that bytes can number.
pub(crate) const MAX_LEAVES: usize = 256;

/// Circuits of some trees of a forest.
#[derive(Debug)]
pub(crate) struct CircuitLayout<S: 'static> {
    pub(crate) ranks: Ranks,
    pub(crate) tests: Array<ByteTest>,
    pub(crate) instructions: Array<Instruction>,
    pub(crate) sets: Vec<SetTest>,
    /// Leaf tables, each of 16, 32, 64, 128 or 256 values.
    pub(crate) leaves: Array<S>,
    /// One for every tree of the forest, in order; `None` for those that have no circuit.
    pub(crate) trees: Vec<Option<CircuitTree>>,
    /// Columns the deepest stack holds.
    pub(crate) stack: usize,
    /// Set tests of the tree that has most.
    pub(crate) max_sets: usize,
}

/// One tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CircuitTree {
    pub(crate) first_instruction: u32,
    pub(crate) end_instruction: u32,
    pub(crate) first_test: u32,
    /// Its set tests: their results are columns behind those of [`Ranks`].
    pub(crate) first_set: u32,
    pub(crate) end_set: u32,
    /// Its leaf table, or with vector leaves one for every output.
    pub(crate) first_leaf: u32,
    pub(crate) table: u32,
    pub(crate) target: Target,
}

/// What a step of the program does; it consumes as many byte tests as it has splits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    pub(crate) tile: Tile,
    /// The first leaf of the tile.
    pub(crate) leaf: u8,
}

/// Tests of a tile stand in level order. Operands of joins are popped from the stack, the rightmost on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tile {
    /// Pushes a leaf.
    Leaf,
    /// One split over two leaves.
    Leaves2,
    /// Three splits over four leaves.
    Leaves4,
    /// Seven splits over eight leaves.
    Leaves8,
    /// Three splits over four columns.
    Join4,
    /// Seven splits over eight columns.
    Join8,
    /// One split: a leaf on the left, the top column on the right.
    LeafOrTop,
    /// One split: the top column on the left, a leaf on the right.
    TopOrLeaf,
}

/// A test of a category column: its result, 0 for left and 255 for right, is a column of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetTest {
    /// The byte column of its classes; that of bits follows.
    pub(crate) column: u32,
    /// Whether to combine with the result of the test before, of the same split: right only if both say so.
    pub(crate) continues: bool,
    /// The classes that go left.
    pub(crate) left: [u8; 32],
}

/// Why trees are not tested on bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Leaves,
    LinearLeaves,
    SplitKind,
    Classes,
    VectorLeaves,
    Columns,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaves => "more than 256 leaves",
            Self::LinearLeaves => "linear models in leaves",
            Self::SplitKind => "a split that bytes cannot test: nothing goes left, or zero is a missing category",
            Self::Classes => "sets that tell too many categories apart",
            Self::VectorLeaves => "leaves are vectors",
            Self::Columns => "more than 65,535 byte columns",
        })
    }
}

/// Whether tree `tree` can be a circuit.
pub(crate) fn refusal(forest: &Forest, tree: usize) -> Option<Refusal> {
    let leaves = forest.leaves_of(tree);
    if forest.linear().is_some_and(|linear| leaves.clone().any(|leaf| linear.models[leaf].is_some())) {
        Some(Refusal::LinearLeaves)
    } else if leaves.len() > MAX_LEAVES {
        Some(Refusal::Leaves)
    } else if !forest.splits()[forest.splits_of(tree)].iter().all(|split| has_byte_test(forest, split)) {
        Some(Refusal::SplitKind)
    } else {
        None
    }
}

impl<S: Real> CircuitLayout<S> {
    /// Circuits for the trees that `chosen` names.
    ///
    /// Cost: a sort of each feature's cuts and a pass over the splits.
    pub(crate) fn new(forest: &Forest, chosen: impl Fn(usize) -> bool) -> Result<Self, Refusal> {
        let trees = (0..forest.n_trees()).filter(|&tree| chosen(tree));
        let splits = trees.flat_map(|tree| &forest.splits()[forest.splits_of(tree)]);
        let (ranks, index) = Ranks::new(forest, splits.collect::<Vec<_>>().iter().copied());
        if ranks.coded.iter().any(|coded| coded.n_classes >= MAX_CLASSES) {
            return Err(Refusal::Classes);
        }
        let mut layout = Self {
            ranks,
            tests: Array::new(),
            instructions: Array::new(),
            sets: Vec::new(),
            leaves: Array::new(),
            trees: Vec::with_capacity(forest.n_trees()),
            stack: 0,
            max_sets: 0,
        };
        let heights = heights(forest);
        for tree in 0..forest.n_trees() {
            let circuit = chosen(tree).then(|| layout.add_tree(forest, &index, &heights, tree));
            layout.trees.push(circuit);
        }
        Ok(layout)
    }

    fn add_tree(&mut self, forest: &Forest, index: &RankIndex, heights: &[Height], tree: usize) -> CircuitTree {
        let root = forest.trees()[tree].root;
        let programs = [true, false].map(|padded| Program::of(forest, heights, root, padded));
        let [padded, exact] = &programs;
        let program = if padded.cost() < exact.cost() { padded } else { exact };
        let first_set = self.sets.len() as u32;
        let first_test = self.tests.len() as u32;
        let mut results = self.ranks.n_columns as u32;
        for split in &program.splits {
            let test = match split {
                // Padding: both sides are the same leaf, so that any outcome is right.
                None => ByteTest { column: 0, from: 0 },
                Some(split) => match split.test {
                    SplitTest::Threshold(threshold) => index.byte_test(forest, split, threshold),
                    SplitTest::Set(set) => {
                        let coded = index.coded(&self.ranks, split.feature);
                        for (segment, left) in coded.left_classes(forest, split, set).into_iter().enumerate() {
                            let column = coded.first_column + 2 * segment as u32;
                            self.sets.push(SetTest { column, continues: segment > 0, left });
                        }
                        results += 1;
                        ByteTest { column: results - 1, from: u32::from_ne_bytes([1; 4]) }
                    }
                },
            };
            self.tests.edit().push(test);
        }
        self.stack = self.stack.max(program.deepest);
        self.max_sets = self.max_sets.max(results as usize - self.ranks.n_columns);
        let first_instruction = self.instructions.len() as u32;
        self.instructions.edit().extend(&program.instructions);
        let first_leaf = self.leaves.len() as u32;
        let table = program.leaves.len().next_power_of_two().max(16);
        let weight = S::from_f64(forest.trees()[tree].weight);
        let target = forest.trees()[tree].target;
        let width = if target == Target::All { forest.n_outputs() } else { 1 };
        for output in 0..width {
            let values = program.leaves.iter().map(|&leaf| S::from_f64(forest.leaf(leaf)[output]) * weight);
            let padding = table - program.leaves.len();
            self.leaves.edit().extend(values.chain(std::iter::repeat_n(S::ZERO, padding)));
        }
        CircuitTree {
            first_instruction,
            end_instruction: self.instructions.len() as u32,
            first_test,
            first_set,
            end_set: self.sets.len() as u32,
            first_leaf,
            table: table as u32,
            target,
        }
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.ranks.heap_bytes()
            + size_of_val(&*self.tests)
            + size_of_val(&*self.instructions)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.leaves)
            + size_of_val(&*self.trees)
    }
}

/// The height of a subtree and the number of its splits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Height {
    levels: u32,
    splits: u32,
}

/// Of every split of the forest.
fn heights(forest: &Forest) -> Vec<Height> {
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

/// A program being written.
struct Program<'a> {
    forest: &'a Forest,
    heights: &'a [Height],
    /// Whether tiles may be padded.
    padded: bool,
    instructions: Vec<Instruction>,
    /// The splits of the instructions; `None` where padding stands.
    splits: Vec<Option<&'a Split>>,
    /// The forest's index of each numbered leaf.
    leaves: Vec<usize>,
    on_stack: usize,
    deepest: usize,
}

impl<'a> Program<'a> {
    fn of(forest: &'a Forest, heights: &'a [Height], root: Child, padded: bool) -> Self {
        let (instructions, splits, leaves) = Default::default();
        let mut program = Self { forest, heights, padded, instructions, splits, leaves, on_stack: 0, deepest: 0 };
        program.emit(root);
        program
    }

    /// About the cycles that 64 rows take with AVX-512: a comparison each, the loads and stores around a tile, and the
    /// look-up of leaves, which is by registers of 32 values.
    fn cost(&self) -> usize {
        let table = self.leaves.len().next_power_of_two();
        let unnumbered = if table > MAX_LEAVES { usize::MAX / 2 } else { 0 };
        self.splits.len() + 2 * self.instructions.len() + table / 4 + unnumbered
    }

    /// Writes the instructions that push the leaf numbers of a subtree. Deep chains are written from the bottom up in a
    /// loop, so that recursion is only as deep as the stack the program needs.
    fn emit(&mut self, root: Child) {
        // Splits of one leaf and one subtree, from the top.
        let mut chain = Vec::new();
        let mut at = root;
        loop {
            let index = match at.position() {
                Position::Split(index) => index,
                Position::Leaf(leaf) => {
                    let number = self.number([leaf]);
                    self.push(Tile::Leaf, number, 0);
                    break;
                }
            };
            let split = &self.forest.splits()[index];
            let Height { levels, splits } = self.heights[index];
            let least = |levels: u32| if self.padded { [1, 2, 5][levels as usize - 1] } else { (1 << levels) - 1 };
            if levels <= 3 && splits >= least(levels) {
                self.emit_leaf_tile(at, levels);
                break;
            }
            match (split.left.position(), split.right.position()) {
                (Position::Leaf(leaf), _) => {
                    chain.push((Tile::LeafOrTop, leaf, split));
                    at = split.right;
                }
                (_, Position::Leaf(leaf)) => {
                    chain.push((Tile::TopOrLeaf, leaf, split));
                    at = split.left;
                }
                _ => {
                    self.emit_join(at);
                    break;
                }
            }
        }
        for (tile, leaf, split) in chain.into_iter().rev() {
            let number = self.number([leaf]);
            self.splits.push(Some(split));
            self.push(tile, number, 1);
        }
    }

    /// A subtree of at most `levels` levels, as one tile over its leaves.
    fn emit_leaf_tile(&mut self, root: Child, levels: u32) {
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
        self.push(tile, first, 0);
    }

    /// A split over two subtrees, neither a leaf, with as many levels below it as make a dense tile.
    fn emit_join(&mut self, root: Child) {
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
        let levels = if inner == 4 { 3 } else { 2 };
        let mut level = vec![root];
        let from = self.splits.len();
        for _ in 0..levels {
            level = self.descend(&level);
        }
        // Tests of operands come first: their instructions run first.
        let tests = self.splits.split_off(from);
        for &child in &level {
            self.emit(child);
        }
        self.splits.extend(tests);
        let (tile, operands) = if levels == 3 { (Tile::Join8, 8) } else { (Tile::Join4, 4) };
        self.push(tile, 0, operands);
    }

    /// Notes the splits of a level; the level below. A leaf among splits becomes a padded split over itself.
    fn descend(&mut self, level: &[Child]) -> Vec<Child> {
        let mut below = Vec::with_capacity(2 * level.len());
        for &child in level {
            match child.position() {
                Position::Split(index) => {
                    let split = &self.forest.splits()[index];
                    self.splits.push(Some(split));
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

    /// Writes an instruction that pops `operands` columns and pushes one.
    fn push(&mut self, tile: Tile, leaf: u8, operands: usize) {
        self.instructions.push(Instruction { tile, leaf });
        self.on_stack = self.on_stack + 1 - operands;
        self.deepest = self.deepest.max(self.on_stack);
    }
}

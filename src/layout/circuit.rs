//! Trees as circuits of byte selections: every split of a tree is tested on 64 rows at a time, and leaf numbers are
//! selected from the leaves up. No step depends on data.
//!
//! Trees are taken a few at a time, a *group*. The tiles of its [programs](super::program) are sorted into *runs* of one
//! kind: a kernel goes through a run in a loop that always does the same, where tile after tile of a single tree would
//! be a branch that no processor predicts. Every tile leaves its result in a *slot*, a byte column; that of a tree's
//! root holds its leaf numbers in the end.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::byte_tests::{Asked, ByteTest, ByteTests, has_byte_test};
use super::classes::MAX_CLASSES;
use super::program::{Height, Op, Program, Tile, heights};
use super::ranks::Ranks;
use crate::ir::real::Real;
use crate::ir::{Forest, Target};
use crate::store::Array;

/// Leaves of a tree that bytes can number.
pub(crate) const MAX_LEAVES: usize = 256;

/// Slots and results of set tests that the trees of a group share, unless one tree needs more: with the ranks of the
/// rows that are worked on at once they stay in the nearest cache.
const GROUP_COLUMNS: usize = 128;

/// Circuits of some trees of a forest.
#[derive(Debug)]
pub(crate) struct CircuitLayout<S: 'static> {
    pub(crate) ranks: Arc<Ranks>,
    pub(crate) groups: Array<Group>,
    pub(crate) runs: Array<Run>,
    pub(crate) instructions: Array<Instruction>,
    /// Slots that joins read, in the order of the instructions.
    pub(crate) operands: Array<u16>,
    /// What the splits test, in the order of the instructions; those of a tile in level order.
    pub(crate) tests: Array<ByteTest>,
    pub(crate) sets: Array<SetTest>,
    /// Leaf tables, each of 16, 32, 64, 128 or 256 values.
    pub(crate) leaves: Array<S>,
    /// The trees that have a circuit, in order.
    pub(crate) trees: Array<CircuitTree>,
    /// Slots of the group that has most.
    pub(crate) slots: usize,
    /// Results of the set tests of the group that has most.
    pub(crate) max_sets: usize,
    /// Trees of the group that has most.
    pub(crate) max_trees: usize,
}

/// Adjacent trees. The rest of what it consists of begins where these ranges do and is read as it is used.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The forest's numbers of its trees.
    pub(crate) in_forest: Range<usize>,
    pub(crate) trees: Range<u32>,
    pub(crate) runs: Range<u32>,
    pub(crate) first_instruction: u32,
    pub(crate) first_operand: u32,
    pub(crate) first_test: u32,
    /// Its set tests: their results are columns behind those of [`Ranks`].
    pub(crate) sets: Range<u32>,
}

/// One tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CircuitTree {
    /// Where its leaf numbers are in the end.
    pub(crate) slot: u16,
    /// Entries of a leaf table.
    pub(crate) table: u16,
    /// Its leaf table, or with vector leaves one for every output.
    pub(crate) first_leaf: u32,
    pub(crate) target: Target,
}

/// Instructions of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) tile: Tile,
    pub(crate) length: u32,
}

/// One tile; it consumes as many byte tests as it has splits.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Instruction {
    /// Where the result goes; a tile over a leaf and a subtree finds that of the subtree there.
    pub(crate) slot: u16,
    /// The first leaf of the tile: a byte, in a word so that nothing lies between.
    pub(crate) leaf: u16,
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
    ByteColumns,
    Levels,
    Nodes,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaves => "more than 256 leaves",
            Self::LinearLeaves => "linear models in leaves",
            Self::SplitKind => "a split that bytes cannot test: nothing goes left, or zero is a missing category",
            Self::Classes => "sets that tell too many categories apart",
            Self::VectorLeaves => "leaves are vectors of more than 64 values",
            Self::Columns => "more than 65,535 byte columns",
            Self::ByteColumns => "more byte columns than registers have room for in what is tested at once",
            Self::Levels => "a tree that does not ask the same of all nodes of a level",
            Self::Nodes => "more than 131,072 nodes",
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
    /// Circuits for the trees that `chosen` names, whose splits are in `tests`.
    ///
    /// Cost: a pass over the splits.
    pub(crate) fn new(forest: &Forest, tests: &ByteTests, chosen: impl Fn(usize) -> bool) -> Result<Self, Refusal> {
        if tests.ranks.coded.iter().any(|coded| coded.n_classes >= MAX_CLASSES) {
            return Err(Refusal::Classes);
        }
        let of_chosen = || (0..forest.n_trees()).filter(|&tree| chosen(tree));
        let n_splits = of_chosen().map(|tree| forest.splits_of(tree).len()).sum::<usize>();
        let n_leaves = of_chosen().map(|tree| forest.leaves_of(tree).len()).sum::<usize>();
        let mut layout = Self {
            ranks: tests.ranks.clone(),
            groups: Array::new(),
            runs: Array::new(),
            instructions: Array::new(),
            operands: Array::new(),
            // With some padding.
            tests: Vec::with_capacity(n_splits + n_splits / 4).into(),
            sets: Array::new(),
            leaves: Vec::with_capacity(2 * n_leaves).into(),
            trees: Array::new(),
            slots: 0,
            max_sets: 0,
            max_trees: 0,
        };
        let heights = heights(forest);
        // Programs that are free to be written over.
        let mut spare: Vec<Program<'_>> = Vec::new();
        let mut group: Vec<Program<'_>> = Vec::new();
        let mut schedule = Schedule::default();
        let mut columns = 0;
        for tree in 0..forest.n_trees() {
            if !chosen(tree) {
                layout.add_group(tests, tree, &group, &mut schedule);
                spare.append(&mut group);
                continue;
            }
            let program = program(forest, &heights, tree, &mut spare);
            if columns + program.columns() > GROUP_COLUMNS {
                layout.add_group(tests, tree, &group, &mut schedule);
                spare.append(&mut group);
            }
            if group.is_empty() {
                columns = 0;
            }
            columns += program.columns();
            layout.add_leaves(forest, tree, &program);
            group.push(program);
        }
        layout.add_group(tests, forest.n_trees(), &group, &mut schedule);
        Ok(layout)
    }

    /// Writes the leaf tables of a tree.
    fn add_leaves(&mut self, forest: &Forest, tree: usize, program: &Program<'_>) {
        let tree = &forest.trees()[tree];
        let first_leaf = self.leaves.len() as u32;
        let table = program.leaves.len().next_power_of_two().max(16);
        let weight = S::from_f64(tree.weight);
        let (width, leaf_values) = (forest.tree_width(), forest.leaf_values());
        for output in 0..width {
            let value = |&leaf: &u32| S::from_f64(leaf_values[leaf as usize * width + output]) * weight;
            let leaves = self.leaves.edit();
            leaves.extend(program.leaves.iter().map(value));
            leaves.resize(leaves.len() + table - program.leaves.len(), S::ZERO);
        }
        self.trees.edit().push(CircuitTree { slot: 0, table: table as u16, first_leaf, target: tree.target });
    }

    /// Writes the programs of the trees before tree `end` as a group.
    fn add_group(&mut self, tests: &ByteTests, end: usize, programs: &[Program<'_>], schedule: &mut Schedule) {
        if programs.is_empty() {
            return;
        }
        let first_tree = self.trees.len() - programs.len();
        let (first_run, first_set) = (self.runs.len() as u32, self.sets.len() as u32);
        let mut group = Group {
            in_forest: end - programs.len()..end,
            trees: first_tree as u32..self.trees.len() as u32,
            runs: first_run..first_run,
            first_instruction: self.instructions.len() as u32,
            first_operand: self.operands.len() as u32,
            first_test: self.tests.len() as u32,
            sets: first_set..first_set,
        };
        schedule.write(programs);
        let Schedule { firsts, slots, order, runs, n_slots, .. } = schedule;
        for (tree, ops) in self.trees.edit()[first_tree..].iter_mut().zip(firsts.windows(2)) {
            // The root's operation is the last.
            tree.slot = slots[ops[1] - 1];
        }
        let (instructions, all_operands) = (self.instructions.edit(), self.operands.edit());
        let (all_tests, sets) = (self.tests.edit(), self.sets.edit());
        let mut results = 0;
        let mut order = &order[..];
        for &run in &*runs {
            self.runs.edit().push(run);
            let (of_run, behind) = order.split_at(run.length as usize);
            order = behind;
            let tile = run.tile;
            for &(program, op) in of_run {
                let slots = &slots[firsts[program as usize]..];
                let program = &programs[program as usize];
                let Op { leaf, splits, .. } = &program.ops[op as usize];
                instructions.push(Instruction { slot: slots[op as usize], leaf: (*leaf).into() });
                if matches!(tile, Tile::Join4 | Tile::Join8) {
                    let operands = program.operands(&program.ops[op as usize]);
                    all_operands.extend(operands.iter().map(|&operand| slots[usize::from(operand)]));
                }
                all_tests.extend(program.splits[splits.clone()].iter().map(|split| {
                    match split.map(|at| tests.of(at as usize)) {
                        // Padding: both sides are the same leaf, so that any outcome is right.
                        None => ByteTest::default(),
                        Some(Asked::Byte(test)) => test,
                        Some(Asked::Category { coded, test }) => {
                            let (coded, test) = (coded as usize, test as usize);
                            let first_column = self.ranks.coded[coded].first_column;
                            for (segment, &left) in tests.left(coded, test).iter().enumerate() {
                                let column = first_column + 2 * segment as u32;
                                sets.push(SetTest { column, continues: segment > 0, left });
                            }
                            results += 1;
                            let column = self.ranks.n_columns + results - 1;
                            ByteTest { column: column as u32, from: u32::from_ne_bytes([1; 4]) }
                        }
                    }
                }));
            }
        }
        self.slots = self.slots.max(*n_slots);
        self.max_sets = self.max_sets.max(results);
        self.max_trees = self.max_trees.max(programs.len());
        group.runs.end = self.runs.len() as u32;
        group.sets.end = self.sets.len() as u32;
        self.groups.edit().push(group);
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.ranks.heap_bytes()
            + size_of_val(&*self.groups)
            + size_of_val(&*self.runs)
            + size_of_val(&*self.instructions)
            + size_of_val(&*self.operands)
            + size_of_val(&*self.tests)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.leaves)
            + size_of_val(&*self.trees)
    }
}

/// The cheaper of a tree's programs with and without padding, in the place of one that is spare.
fn program<'a>(forest: &'a Forest, heights: &'a [Height], tree: usize, spare: &mut Vec<Program<'a>>) -> Program<'a> {
    let mut write = |padded| {
        let mut program = spare.pop().unwrap_or_else(|| Program::empty(forest, heights));
        program.write(forest.trees()[tree].root, padded);
        program
    };
    let padded = write(true);
    if !padded.has_padding() {
        return padded;
    }
    let exact = write(false);
    let (cheaper, dearer) = if padded.cost() < exact.cost() { (padded, exact) } else { (exact, padded) };
    spare.push(dearer);
    cheaper
}

/// The order in which the operations of a group's programs are done, and where their results go; reused from group to
/// group. Operations of all programs are numbered together, and named by program and place.
#[derive(Default)]
struct Schedule {
    /// By program its first operation; behind them the number of all.
    firsts: Vec<usize>,
    /// By operation its slot. Whatever has operands takes the place of its first.
    slots: Vec<u16>,
    n_slots: usize,
    /// By operation the place of the one that it is an operand of, and how many operands it waits for.
    parents: Vec<u32>,
    awaited: Vec<u8>,
    /// By kind of tile the operations that can be done.
    ready: [Vec<(u32, u32)>; Tile::ALL.len()],
    /// All operations, in runs of one kind: always all that can be done of the kind that most can be done of.
    order: Vec<(u32, u32)>,
    runs: Vec<Run>,
}

impl Schedule {
    fn write(&mut self, programs: &[Program<'_>]) {
        /// The parent of a program's last operation.
        const NONE: u32 = u32::MAX;
        self.firsts.clear();
        self.firsts.push(0);
        for program in programs {
            self.firsts.push(self.firsts[self.firsts.len() - 1] + program.ops.len());
        }
        let n_ops = self.firsts[programs.len()];
        self.slots.clear();
        self.n_slots = 0;
        self.parents.clear();
        self.parents.resize(n_ops, NONE);
        self.awaited.clear();
        for (number, program) in (0..).zip(programs) {
            let first = self.firsts[number as usize];
            for (index, op) in (0..).zip(&program.ops) {
                let operands = program.operands(op);
                self.awaited.push(operands.len() as u8);
                for &operand in operands {
                    self.parents[first + usize::from(operand)] = index;
                }
                match operands.first() {
                    Some(&operand) => self.slots.push(self.slots[first + usize::from(operand)]),
                    None => {
                        self.slots.push(self.n_slots as u16);
                        self.n_slots += 1;
                        self.ready[op.tile as usize].push((number, index));
                    }
                }
            }
        }
        self.order.clear();
        self.runs.clear();
        while let Some((tile, ready)) = (0..).zip(&mut self.ready).max_by_key(|(_, ops)| ops.len())
            && !ready.is_empty()
        {
            let first = self.order.len();
            self.order.append(ready);
            self.runs.push(Run { tile: Tile::ALL[tile], length: (self.order.len() - first) as u32 });
            for &(number, index) in &self.order[first..] {
                let first = self.firsts[number as usize];
                let parent = self.parents[first + index as usize];
                if parent == NONE {
                    continue;
                }
                let awaited = &mut self.awaited[first + parent as usize];
                *awaited -= 1;
                if *awaited == 0 {
                    let tile = programs[number as usize].ops[parent as usize].tile;
                    self.ready[tile as usize].push((number, parent));
                }
            }
        }
    }
}

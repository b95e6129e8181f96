//! Layouts in compiled models. Kernels trust what a layout's constructor proves; what comes from a file has to prove it
//! here: children lie behind their parents and within the arrays, columns, tests, outputs and tables are there, stacks
//! are as deep as programs need.

use std::collections::VecDeque;
use std::sync::Arc;

use super::byte_tests::ByteTest;
use super::circuit::{CircuitLayout, CircuitTree, Group, Instruction, MAX_LEAVES, Run, SetTest};
use super::program::Tile;
use super::ranks::Ranks;
use super::row::{Outcomes, RowLayout, RowNode, RowTree, WORD_SEGMENT, groups, words};
use crate::error::{Error, Result};
use crate::ir::real::Real;
use crate::ir::{CategorySet, Comparison, Float, Forest, ForestBuilder, Missing, Node, Nodes, Position, Target, Test};
use crate::store::{Array, Reader, Stored, Writer, stored};

fn wrong(finding: impl std::fmt::Display) -> Error {
    Error::invalid_model(format!("layout: {finding}"))
}

/// That ranks are of rows as the forest has them.
fn check_ranks(ranks: &Ranks, forest: &Forest) -> Result<()> {
    if ranks.is_wide() != (forest.profile().input == Float::F64) {
        return Err(wrong("ranks of another type than rows"));
    }
    let numeric = ranks.numeric.iter().map(|feature| feature.feature);
    let mut features = numeric.chain(ranks.coded.iter().map(|feature| feature.feature));
    match features.find(|&feature| feature as usize >= forest.n_features()) {
        Some(feature) => Err(wrong(format!("feature {feature}, but the model declares {}", forest.n_features()))),
        None => Ok(()),
    }
}

/// Values that a layout of sums of type `Self` holds.
pub(crate) trait StoredReal: Real + bytemuck::Pod {}

impl StoredReal for f32 {}
impl StoredReal for f64 {}

impl<S: StoredReal> RowLayout<S> {
    /// Writes the layout of a forest whose leaves are no vectors.
    pub(crate) fn put(&self, to: &mut Writer) {
        self.ranks.put(to);
        for outcomes in &*self.outcomes {
            outcomes.n_tests.put(to);
            Array::from(outcomes.by_class.clone()).put(to);
        }
        self.outputs().put(to);
        self.nodes.put(to);
        self.values.put(to);
    }

    /// Reads a layout whose trees are those of `forest`, which need not have its nodes yet.
    ///
    /// Cost: a look at every node.
    pub(crate) fn get(from: &mut Reader, forest: &Forest) -> Result<Self> {
        let ranks = Arc::new(Ranks::get(from)?);
        check_ranks(&ranks, forest)?;
        let (words, _) = words(&ranks);
        let mut n_words = words.len();
        let mut all_outcomes = Vec::with_capacity(ranks.coded.len());
        for coded in &ranks.coded {
            let n_tests = usize::get(from)?;
            let by_class = <Array<u8>>::get(from)?.to_vec();
            if coded.n_classes.checked_mul(n_tests) != Some(by_class.len()) {
                return Err(wrong("another number of outcomes than tests of classes"));
            }
            all_outcomes.push(Outcomes { n_tests, by_class, first_word: n_words });
            n_words += n_tests;
        }
        let n_words = n_words.max(1);
        let outputs: Vec<u32> = Stored::get(from)?;
        let mut shapes = Shapes::new(n_words, outputs.len());
        let nodes: Array<RowNode> = Array::get_and(from, |nodes| {
            shapes.look(nodes);
            Ok(())
        })?;
        let values: Array<S> = Stored::get(from)?;
        if outputs.len() != forest.n_trees() || nodes.len() != values.len() || nodes.len() > i32::MAX as usize {
            return Err(wrong("another number of trees or nodes"));
        }
        if outputs.iter().any(|&output| output as usize >= forest.n_outputs()) || n_words > usize::from(u16::MAX) {
            return Err(wrong("an output or a word that is not there"));
        }
        let trees = shapes.finish(&outputs)?;
        let groups = groups(&trees);
        Ok(Self { ranks, words, outcomes: all_outcomes.into(), nodes, values, width: 1, trees, groups, n_words })
    }
}

/// Trees laid out breadth first, one behind the other, as far as their nodes have been looked at.
struct Shapes {
    n_words: usize,
    roots: Vec<u32>,
    depths: Vec<u32>,
    /// The next node.
    at: usize,
    /// The first node behind it that is nobody's child yet, and the end of its level.
    free: usize,
    level_end: usize,
    /// Levels of the tree before this one.
    depth: u32,
    sound: bool,
}

/// A leaf at place 0, as one number.
const ARRIVAL: u64 = (u16::MAX as u64) << 48;

impl Shapes {
    fn new(n_words: usize, n_trees: usize) -> Self {
        let of_trees = || Vec::with_capacity(n_trees);
        // The first node is the one for lanes without a tree, laid out as one.
        let (roots, depths) = (of_trees(), of_trees());
        Self { n_words, roots, depths, at: 0, free: 1, level_end: 1, depth: 0, sound: true }
    }

    /// The nodes that come next.
    fn look(&mut self, nodes: &[RowNode]) {
        let mut rest = nodes;
        while !rest.is_empty() {
            if self.at == self.level_end && !self.next_level() {
                self.roots.push(self.at as u32);
                (self.free, self.level_end, self.depth) = (self.at + 1, self.at + 1, 0);
            }
            let (level, behind) = rest.split_at(rest.len().min(self.level_end - self.at));
            let (at, mut free) = (self.at as u64, self.free as u32);
            // No bit is set where all is right.
            let mut wrong = 0;
            for (at, &node) in (at..).zip(level) {
                // A node as one number: its cut above its word above its left child.
                let node: u64 = bytemuck::cast(node);
                let is_leaf = node == ARRIVAL | at;
                wrong |= if is_leaf { 0 } else { node as u32 ^ free };
                free += if is_leaf { 0 } else { 2 };
            }
            let leaves = level.len() as u32 - (free - self.free as u32) / 2;
            let most = self.n_words.min(1 << 16) as u32 - 1;
            let (mut marked, mut beyond) = (0, 0);
            for &[_, cut_and_word] in bytemuck::cast_slice::<_, [u32; 2]>(level) {
                marked += u32::from(cut_and_word >> 16 == 0xffff);
                beyond |= most.wrapping_sub(cut_and_word & 0xffff);
            }
            self.sound &= wrong == 0 && marked == leaves && beyond >> 31 == 0;
            (self.at, self.free) = (self.at + level.len(), free as usize);
            rest = behind;
        }
    }

    /// Goes on to the next level of a tree; whether it has one.
    fn next_level(&mut self) -> bool {
        let has_more = self.at < self.free;
        if has_more {
            (self.level_end, self.depth) = (self.free, self.depth + 1);
        } else if !self.roots.is_empty() {
            self.depths.push(self.depth);
        }
        has_more
    }

    /// The trees, of which there should be one for each of `outputs`.
    fn finish(mut self, outputs: &[u32]) -> Result<Vec<RowTree>> {
        let ends = self.at == self.level_end && !self.next_level();
        if !(ends && self.sound && self.depths.len() == outputs.len()) {
            return Err(wrong("nodes that make no trees"));
        }
        let shapes = self.roots.iter().zip(&self.depths).zip(outputs);
        Ok(shapes.map(|((&root, &depth), &output)| RowTree { root, depth, output }).collect())
    }
}

/// What a word of a row is of.
enum Asked {
    Threshold { feature: u32, missing: Missing, cuts: Vec<f64> },
    Categories { feature: u32, missing: Missing, set: CategorySet },
}

impl<S: StoredReal> RowLayout<S> {
    /// The nodes that the layout was made of, but for what makes no difference: weights are in the leaves, and thresholds
    /// are those next to the values that they part. `ids` are of all leaves in the order of the layout's nodes.
    ///
    /// Cost: a pass over the nodes.
    pub(crate) fn nodes(&self, forest: &Forest, ids: &[u32]) -> Result<Nodes> {
        let asked = self.asked();
        let mut builder = ForestBuilder::over(forest.clone());
        let mut ids = ids.iter().copied();
        let mut start = 1;
        for &RowTree { output, .. } in &self.trees {
            let is_leaf = |at: usize| self.nodes[at] == RowNode::arrival(at);
            let (mut end, mut leaves) = (start + 1, Vec::new());
            while start + leaves.len() < end {
                let at = start + leaves.len();
                let id = if is_leaf(at) { ids.next() } else { Some(0) };
                leaves.push((id.ok_or_else(|| wrong("fewer numbers than leaves"))?, self.values[at].to_f64()));
                end += if is_leaf(at) { 0 } else { 2 };
            }
            builder.add_tree(Some(output), 1.0, leaves.len(), |number| {
                let node = self.nodes[start + number as usize];
                let (id, value) = &leaves[number as usize];
                if is_leaf(start + number as usize) {
                    return Ok(Node::Leaf { id: *id, values: std::slice::from_ref(value) });
                }
                let left = node.left - start as u32;
                let (feature, missing, test) = match &asked[usize::from(node.word)] {
                    Asked::Threshold { feature, missing, cuts } => {
                        let cut = cuts.get(usize::from(node.cut));
                        let threshold = above(forest, cut.copied().unwrap_or(f64::INFINITY));
                        (*feature, *missing, Test::Threshold(threshold))
                    }
                    Asked::Categories { feature, missing, set } => (*feature, *missing, Test::Categories(set.clone())),
                };
                Ok(Node::Split { feature, test, missing, left, right: left + 1 })
            })?;
            start = end;
        }
        builder.finish_nodes()
    }

    /// What each word is of.
    fn asked(&self) -> Vec<Asked> {
        let mut asked = Vec::with_capacity(self.n_words);
        for word in &self.words {
            let feature = &self.ranks.numeric[word.numeric as usize];
            let cuts = self.ranks.cuts(feature);
            let of_segment = cuts.chunks(WORD_SEGMENT).nth(word.segment as usize).unwrap_or_default();
            let (feature, missing, cuts) = (feature.feature, word.missing, of_segment.to_vec());
            asked.push(Asked::Threshold { feature, missing, cuts });
        }
        for (coded, outcomes) in self.ranks.coded.iter().zip(&*self.outcomes) {
            for test in 0..outcomes.n_tests {
                let goes_left = |class: u16| outcomes.by_class[usize::from(class) * outcomes.n_tests + test] == 0;
                let codes = coded.classes.iter().filter(|of| goes_left(of.1)).map(|of| of.0);
                let set = CategorySet::from_codes(&codes.collect::<Vec<_>>());
                let missing = if goes_left(coded.nan) { Missing::Left } else { Missing::Right };
                asked.push(Asked::Categories { feature: coded.feature, missing, set });
            }
        }
        asked
    }
}

/// The threshold that parts `cut` and what is below it from what is above.
fn above(forest: &Forest, cut: f64) -> f64 {
    match (forest.profile().comparison, forest.profile().input) {
        (Comparison::LessOrEqual, _) => cut,
        (Comparison::Less, Float::F32) => (cut as f32).next_up().into(),
        (Comparison::Less, Float::F64) => cut.next_up(),
    }
}

/// Numbers of leaves in the order in which a row layout has them.
pub(crate) fn leaf_ids(forest: &Forest) -> Vec<u32> {
    let mut ids = Vec::with_capacity(forest.n_leaves());
    let mut queue = VecDeque::new();
    for tree in forest.trees() {
        queue.push_back(tree.root);
        while let Some(child) = queue.pop_front() {
            match child.position() {
                Position::Leaf(leaf) => ids.push(forest.leaf_ids()[leaf]),
                Position::Split(split) => {
                    let split = &forest.splits()[split];
                    queue.extend([split.left, split.right]);
                }
            }
        }
    }
    ids
}

/// What is stored of a group; the rest follows from those before it.
struct StoredGroup {
    /// The forest's numbers of its trees, from the first to the one behind.
    in_forest: (usize, usize),
    n_runs: u32,
    n_sets: u32,
}

/// A [`Run`] as it is stored.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct StoredRun {
    /// Place in [`Tile::ALL`].
    tile: u32,
    length: u32,
}

/// What is stored of a circuit tree.
struct StoredTree {
    slot: u16,
    table: u16,
    target: Target,
}

stored!(struct StoredGroup { in_forest, n_runs, n_sets });
stored!(struct StoredTree { slot, table, target });
stored!(struct SetTest { column, continues, left });

impl<S: StoredReal> CircuitLayout<S> {
    /// Writes the layout; its ranks only if they are not those of `rows`.
    pub(crate) fn put(&self, rows: &RowLayout<S>, to: &mut Writer) {
        let own = (!Arc::ptr_eq(&self.ranks, &rows.ranks)).then_some(&*self.ranks);
        own.is_some().put(to);
        if let Some(ranks) = own {
            ranks.put(to);
        }
        self.sets.to_vec().put(to);
        let stored = |tree: &CircuitTree| StoredTree { slot: tree.slot, table: tree.table, target: tree.target };
        self.trees.iter().map(stored).collect::<Vec<_>>().put(to);
        let stored = |group: &Group| StoredGroup {
            in_forest: (group.in_forest.start, group.in_forest.end),
            n_runs: group.runs.end - group.runs.start,
            n_sets: group.sets.end - group.sets.start,
        };
        self.groups.iter().map(stored).collect::<Vec<_>>().put(to);
        let stored = |run: &Run| StoredRun { tile: run.tile as u32, length: run.length };
        Array::from(self.runs.iter().map(stored).collect::<Vec<_>>()).put(to);
        self.instructions.put(to);
        self.operands.put(to);
        self.tests.put(to);
        self.leaves.put(to);
    }

    /// Reads a layout for trees of `forest`, which need not have its nodes yet; `rows` are those it was written with.
    ///
    /// Cost: a look at every instruction and test.
    pub(crate) fn get(from: &mut Reader, forest: &Forest, rows: &RowLayout<S>) -> Result<Self> {
        let ranks = if bool::get(from)? { Arc::new(Ranks::get(from)?) } else { rows.ranks.clone() };
        check_ranks(&ranks, forest)?;
        let sets: Vec<SetTest> = Stored::get(from)?;
        let coded = ranks.n_numeric()..ranks.n_columns.saturating_sub(1);
        if sets.iter().any(|set| !coded.contains(&(set.column as usize))) {
            return Err(wrong("a set of classes that are not there"));
        }
        let stored_trees: Vec<StoredTree> = Stored::get(from)?;
        let stored_groups: Vec<StoredGroup> = Stored::get(from)?;
        let (runs, max_sets) = (get_runs(from)?, max_sets(&stored_groups, &sets)?);
        // Results of other groups stand where a group has fewer.
        let n_columns = (ranks.n_columns + max_sets).max(1) as u32;
        let mut layout = Self {
            ranks,
            groups: Array::new(),
            runs: runs.into(),
            instructions: Stored::get(from)?,
            operands: Stored::get(from)?,
            tests: Array::get_and(from, |tests: &[ByteTest]| {
                match tests.iter().fold(0, |most, test| most.max(test.column)) < n_columns {
                    true => Ok(()),
                    false => Err(wrong("a test of a column that is not there")),
                }
            })?,
            sets: sets.into(),
            leaves: Stored::get(from)?,
            trees: Array::new(),
            slots: 0,
            max_sets,
            max_trees: 0,
        };
        let mut first_leaf = 0;
        for tree in stored_trees {
            let width = match tree.target {
                Target::One(output) if (output as usize) < forest.n_outputs() => 1,
                Target::One(_) => return Err(wrong("an output that is not there")),
                Target::All => forest.n_outputs(),
            };
            let StoredTree { slot, table, target } = tree;
            let size = usize::from(table);
            if !(size.is_power_of_two() && (16..=MAX_LEAVES).contains(&size)) {
                return Err(wrong("a table of another size"));
            }
            layout.trees.edit().push(CircuitTree { slot, table, first_leaf: first_leaf as u32, target });
            first_leaf += width * size;
            if first_leaf > layout.leaves.len() || first_leaf > u32::MAX as usize {
                return Err(wrong("a table of leaves that is not there"));
            }
        }
        let mut next = Next::default();
        for group in stored_groups {
            let group = layout.check_group(group, &mut next)?;
            layout.max_trees = layout.max_trees.max(group.trees.len());
            layout.groups.edit().push(group);
        }
        let ends = [next.tree, next.run, next.instruction, next.operand, next.test, next.set, first_leaf];
        let sizes = [
            layout.trees.len(),
            layout.runs.len(),
            layout.instructions.len(),
            layout.operands.len(),
            layout.tests.len(),
            layout.sets.len(),
            layout.leaves.len(),
        ];
        if ends != sizes || next.in_forest > forest.n_trees() {
            return Err(wrong("arrays that no tree accounts for"));
        }
        Ok(layout)
    }

    /// A group whose parts start at `next`, which moves on.
    fn check_group(&mut self, stored: StoredGroup, next: &mut Next) -> Result<Group> {
        let first = *next;
        let in_forest = stored.in_forest.0..stored.in_forest.1;
        if in_forest.is_empty() || in_forest.start < first.in_forest || in_forest.len() > self.trees.len() {
            return Err(wrong("trees out of order"));
        }
        next.in_forest = in_forest.end;
        next.tree += in_forest.len();
        next.run += stored.n_runs as usize;
        next.set += stored.n_sets as usize;
        let Some(runs) = self.runs.get(first.run..next.run) else { return Err(wrong("a run that is not there")) };
        next.instruction += runs.iter().map(|run| run.length as usize).sum::<usize>();
        let parts = (
            self.trees.get(first.tree..next.tree),
            self.instructions.get(first.instruction..next.instruction),
            self.sets.get(first.set..next.set),
        );
        let (Some(trees), Some(instructions), Some(sets)) = parts else {
            return Err(wrong("a group that is not there"));
        };

        // By slot, one more than the greatest leaf number it may hold; 0 where it holds nothing yet.
        let mut holds = vec![0; instructions.len()];
        let mut instruction = instructions.iter();
        let operands = self.operands.get(first.operand..).unwrap_or_default();
        for &Run { tile, length } in runs {
            let (n_operands, tests, leaves) = match tile {
                Tile::Leaf => (0, 0, 1),
                Tile::Leaves2 => (0, 1, 2),
                Tile::Leaves4 => (0, 3, 4),
                Tile::Leaves8 => (0, 7, 8),
                Tile::Join4 => (4, 3, 0),
                Tile::Join8 => (8, 7, 0),
                Tile::LeafLeft | Tile::LeafRight => (0, 1, 1),
                Tile::Levels3 => (0, 3, 8),
                Tile::Levels4 => (0, 4, 16),
                Tile::Levels5 => (0, 5, 32),
                Tile::Levels6 => (0, 6, 64),
                Tile::Levels7 => (0, 7, 128),
                Tile::Levels8 => (0, 8, 256),
            };
            next.test += tests * length as usize;
            for &Instruction { slot, leaf } in instruction.by_ref().take(length as usize) {
                let mut most = leaf as usize + leaves;
                let at = next.operand - first.operand;
                let selected: &[u16] = match tile {
                    Tile::LeafLeft | Tile::LeafRight => std::slice::from_ref(&slot),
                    _ => operands.get(at..at + n_operands).ok_or_else(|| wrong("an operand that is not there"))?,
                };
                for &operand in selected {
                    let held = holds.get(usize::from(operand)).copied().filter(|&held| held > 0);
                    most = most.max(held.ok_or_else(|| wrong("a slot that holds nothing"))?);
                }
                next.operand += n_operands;
                if most > MAX_LEAVES || usize::from(slot) >= holds.len() {
                    return Err(wrong("a slot or a leaf that is not there"));
                }
                holds[usize::from(slot)] = most;
                self.slots = self.slots.max(usize::from(slot) + 1);
            }
        }
        let sound = |tree: &CircuitTree| {
            let held = holds.get(usize::from(tree.slot)).copied().unwrap_or_default();
            held > 0 && held <= usize::from(tree.table)
        };
        if !trees.iter().all(sound) || sets.first().is_some_and(|set| set.continues) {
            return Err(wrong("a tree without a leaf"));
        }
        if next.test > self.tests.len() {
            return Err(wrong("a test that is not there"));
        }
        Ok(Group {
            in_forest,
            trees: first.tree as u32..next.tree as u32,
            runs: first.run as u32..next.run as u32,
            first_instruction: first.instruction as u32,
            first_operand: first.operand as u32,
            first_test: first.test as u32,
            sets: first.set as u32..next.set as u32,
        })
    }
}

/// The runs of all groups.
fn get_runs(from: &mut Reader) -> Result<Vec<Run>> {
    let stored: Array<StoredRun> = Stored::get(from)?;
    let run = |run: &StoredRun| Some(Run { tile: *Tile::ALL.get(run.tile as usize)?, length: run.length });
    stored.iter().map(run).collect::<Option<_>>().ok_or_else(|| wrong("a tile of no kind"))
}

/// Results of the set tests of the group that has most.
fn max_sets(groups: &[StoredGroup], sets: &[SetTest]) -> Result<usize> {
    let (mut most, mut rest) = (0, sets);
    for group in groups {
        let (of_group, behind) = rest.split_at_checked(group.n_sets as usize).ok_or_else(|| wrong("a missing set"))?;
        most = most.max(of_group.iter().filter(|set| !set.continues).count());
        rest = behind;
    }
    Ok(most)
}

/// Where the parts of a group start.
#[derive(Clone, Copy, Default)]
struct Next {
    in_forest: usize,
    tree: usize,
    run: usize,
    instruction: usize,
    operand: usize,
    test: usize,
    set: usize,
}

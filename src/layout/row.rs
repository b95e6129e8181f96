//! Trees for single rows, and for blocks of rows where they have no circuit: nodes of eight bytes that compare ranks,
//! walked several at a time.
//!
//! A row is first turned into words: ranks of its values, and the outcomes of all tests of its categories, which are
//! tables by class. A node then is the same for every kind of split: right if a word is greater than so much. Of a
//! single row, trees of similar depth share a group, so that few steps are idle; a group never reaches beyond its
//! window, and the leaves of a window are summed in tree order while the next is walked.

use std::sync::Arc;

use super::byte_tests::{Asked, ByteTests};
use super::circuit::Refusal;
use super::classes::MAX_CLASSES;
use super::ranks::{Column, Ranks, SEGMENT};
use crate::ir::real::Real;
use crate::ir::{Forest, Missing, Split, Target};
use crate::store::Array;

/// Walks in flight.
pub(crate) const LANES: usize = 8;

/// Trees whose leaves are summed together.
pub(crate) const WINDOW: usize = 64;

/// Bytes that tables of outcomes may take.
const MAX_OUTCOMES: usize = 1 << 22;

/// Values of a leaf: the room for those of splits is wasted.
const MAX_WIDTH: usize = 64;

/// Byte columns that make a word: it tells as many cuts apart as one less than it has values.
const BYTE_SEGMENTS: u32 = 257;

/// Cuts of a word. The greatest word is a rank beyond all of them, and of missing values that go right.
pub(crate) const WORD_SEGMENT: usize = SEGMENT * BYTE_SEGMENTS as usize;

/// A forest as trees of word tests.
#[derive(Debug)]
pub(crate) struct RowLayout<S: 'static> {
    pub(crate) ranks: Arc<Ranks>,
    /// Words that are ranks; those of outcomes follow.
    pub(crate) words: Vec<Word>,
    /// For every coded feature of the ranks, the outcomes of its tests.
    pub(crate) outcomes: Arc<[Outcomes]>,
    pub(crate) nodes: Array<RowNode>,
    /// Of a leaf its weighted values; by node, [`width`](Self::width) of each.
    pub(crate) values: Array<S>,
    /// Values of a leaf: 1, or one for each output.
    pub(crate) width: usize,
    pub(crate) trees: Vec<RowTree>,
    pub(crate) groups: Vec<Group>,
    /// Words of a row.
    pub(crate) n_words: usize,
}

/// Where a word of a row comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Word {
    /// Place of the feature in [`Ranks::numeric`].
    pub(crate) numeric: u32,
    /// Which [`WORD_SEGMENT`] of its cuts.
    pub(crate) segment: u32,
    pub(crate) missing: Missing,
}

/// A tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowTree {
    pub(crate) root: u32,
    /// Splits on the longest way to a leaf.
    pub(crate) depth: u32,
    /// What it adds to; 0 if to all outputs.
    pub(crate) output: u32,
}

/// A split: right if the word is greater than `cut`. A leaf is its own left child, and nothing is right of it.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct RowNode {
    pub(crate) left: u32,
    pub(crate) word: u16,
    pub(crate) cut: u16,
}

/// Trees that are walked together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) roots: [u32; LANES],
    /// Places of the trees in their window; [`WINDOW`] for a lane without a tree.
    pub(crate) places: [u8; LANES],
    pub(crate) steps: u32,
}

/// What the category tests of a feature say of each class: `n_tests` bytes a class, 0 for left and 1 for right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcomes {
    pub(crate) n_tests: usize,
    pub(crate) by_class: Vec<u8>,
    pub(crate) first_word: usize,
}

/// Whether a forest can be laid out so; otherwise why not. `refusals` are those of circuits, by tree.
pub(crate) fn row_refusal(forest: &Forest, refusals: &[Option<Refusal>]) -> Option<Refusal> {
    if forest.tree_width() > MAX_WIDTH {
        return Some(Refusal::VectorLeaves);
    }
    refusals.iter().find_map(|&refusal| refusal.filter(|&refusal| refusal != Refusal::Leaves))
}

impl<S> RowLayout<S> {
    /// Whether a split tests a category: its word is the outcome.
    pub(super) fn is_category(&self, split: RowNode) -> bool {
        usize::from(split.word) >= self.words.len()
    }
}

impl<S: Real> RowLayout<S> {
    /// A layout of all trees, whose splits are in `tests`; there is no [`row_refusal`].
    ///
    /// Cost: a pass over the splits, and over the tests of each class of categories.
    pub(crate) fn new(forest: &Forest, tests: &ByteTests) -> Result<Self, Refusal> {
        let ranks = tests.ranks.clone();
        let bytes = |coded: usize| ranks.coded[coded].n_classes * tests.n_tests(coded);
        let too_many = ranks.coded.iter().any(|coded| coded.n_classes >= MAX_CLASSES);
        if too_many || (0..ranks.coded.len()).map(bytes).sum::<usize>() > MAX_OUTCOMES {
            return Err(Refusal::Classes);
        }
        let (words, places) = words(&ranks);
        let mut n_words = words.len();
        let mut first_words = Vec::with_capacity(ranks.coded.len());
        for coded in 0..ranks.coded.len() {
            first_words.push(n_words);
            n_words += tests.n_tests(coded);
        }
        if n_words > usize::from(u16::MAX) {
            return Err(Refusal::Columns);
        }
        // What a node compares, by the number of its test.
        let compared = tests.asked().iter().map(|asked| match *asked {
            Asked::Byte(test) => {
                let WordPlace { word, first_cut } = places.get(test.column as usize).copied().unwrap_or_default();
                (word as u16, (first_cut + usize::from(test.from.to_ne_bytes()[0])).saturating_sub(1) as u16)
            }
            Asked::Category { coded, test } => ((first_words[coded as usize] + test as usize) as u16, 0),
        });
        let compared: Vec<(u16, u16)> = compared.collect();
        let outcomes = (0..).zip(&first_words).map(|(coded, &first)| Outcomes::of(tests, coded, first)).collect();

        let n_nodes = 1 + forest.splits().len() + forest.n_leaves();
        let mut nodes = Vec::with_capacity(n_nodes);
        let width = forest.tree_width();
        let mut values = Vec::with_capacity(n_nodes * width);
        nodes.push(RowNode::arrival(0));
        // Adds nothing, which 0 does not to every sum.
        values.resize(width, -S::ZERO);
        let mut trees = Vec::with_capacity(forest.n_trees());
        let mut level_order = Vec::new();
        let (all_splits, leaf_values) = (forest.splits(), forest.leaf_values());
        for (index, tree) in forest.trees().iter().enumerate() {
            let weight = S::from_f64(tree.weight);
            let output = if let Target::One(output) = tree.target { output } else { 0 };
            let root = nodes.len();
            trees.push(RowTree { root: root as u32, depth: tree.depth, output });
            let (splits, leaves) = (forest.splits_of(index), forest.leaves_of(index));
            if splits.is_empty() {
                nodes.push(RowNode::arrival(root));
                values.extend(forest.leaf(leaves.start).iter().map(|&value| S::from_f64(value) * weight));
                continue;
            }
            // Which nodes are leaves nobody foresees, so that what a split needs is done for a leaf too.
            let n_nodes = splits.len() + leaves.len();
            level_order.clear();
            level_order.resize(n_nodes + 2, tree.root);
            let mut end = 1;
            nodes.extend((0..n_nodes).map(|place| {
                let split = level_order[place].as_split();
                let is_leaf = split.is_none();
                let split = split.unwrap_or(splits.start);
                let Split { left, right, .. } = all_splits[split];
                level_order[end..end + 2].copy_from_slice(&[left, right]);
                let (word, cut) = compared[tests.number(split)];
                let node = RowNode { left: (root + end) as u32, word, cut };
                end += if is_leaf { 0 } else { 2 };
                if is_leaf { RowNode::arrival(root + place) } else { node }
            }));
            if width > 1 {
                for child in &level_order[..n_nodes] {
                    let first = child.as_leaf().unwrap_or(leaves.start) * width;
                    let of_leaf = &leaf_values[first..first + width];
                    values.extend(of_leaf.iter().map(|&value| S::from_f64(value) * weight));
                }
                continue;
            }
            values.extend(level_order[..n_nodes].iter().map(|child| {
                let leaf = child.as_leaf();
                let value = S::from_f64(leaf_values[leaf.unwrap_or(leaves.start)]) * weight;
                if leaf.is_some() { value } else { S::ZERO }
            }));
        }
        let (nodes, values) = (nodes.into(), values.into());
        let groups = groups(&trees);
        Ok(Self { ranks, words, outcomes, nodes, values, width, trees, groups, n_words: n_words.max(1) })
    }

    /// The output that each tree adds to.
    pub(crate) fn outputs(&self) -> Vec<u32> {
        self.trees.iter().map(|tree| tree.output).collect()
    }

    /// Calls `add(output, value)` for the values of the leaf at which a tree has arrived.
    #[inline(always)]
    pub(crate) fn add_leaf(&self, tree: &RowTree, leaf: usize, mut add: impl FnMut(usize, S)) {
        if self.width == 1 {
            return add(tree.output as usize, self.values[leaf]);
        }
        for (output, &value) in self.values[leaf * self.width..][..self.width].iter().enumerate() {
            add(output, value);
        }
    }

    /// Words that are outcomes of category tests.
    pub(super) fn n_outcomes(&self) -> usize {
        self.outcomes.iter().map(|outcomes| outcomes.n_tests).sum()
    }

    /// Number of leaves.
    pub(crate) fn n_leaves(&self) -> usize {
        // A tree has one more than splits, and the first node is of no tree.
        (self.nodes.len() - 1 + self.trees.len()) / 2
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        let outcomes: usize = self.outcomes.iter().map(|outcomes| outcomes.by_class.len()).sum();
        self.ranks.heap_bytes()
            + outcomes
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.values)
            + size_of_val(&*self.groups)
            + size_of_val(&*self.trees)
            + size_of_val(&*self.words)
    }
}

impl Outcomes {
    /// Of a coded feature whose words start at `first_word`.
    fn of(tests: &ByteTests, coded: usize, first_word: usize) -> Self {
        /// Tests whose classes stay in the nearest cache.
        const BLOCK: usize = 64;
        let (n_tests, n_classes) = (tests.n_tests(coded), tests.ranks.coded[coded].n_classes);
        let mut by_class = vec![0; n_classes * n_tests];
        for first in (0..n_tests).step_by(BLOCK) {
            let end = n_tests.min(first + BLOCK);
            // Eight classes at a time, whose bits are in one byte of each test.
            let mut bits = [0; BLOCK];
            for (eight, classes) in by_class.chunks_mut(8 * n_tests).enumerate() {
                for (test, bits) in (first..end).zip(&mut bits) {
                    *bits = tests.left(coded, test).as_flattened()[eight];
                }
                for (class, outcomes) in classes.chunks_exact_mut(n_tests).enumerate() {
                    for (outcome, bits) in outcomes[first..end].iter_mut().zip(&bits) {
                        *outcome = u8::from(bits & (1 << class) == 0);
                    }
                }
            }
        }
        Self { n_tests, by_class, first_word }
    }
}

/// Where a byte column is found in words.
#[derive(Clone, Copy, Default)]
pub(super) struct WordPlace {
    word: usize,
    /// The place of its first cut among those of the word.
    first_cut: usize,
}

/// The words of numeric features, and for every byte column of theirs where it is in them.
pub(super) fn words(ranks: &Ranks) -> (Vec<Word>, Vec<WordPlace>) {
    let mut words = Vec::new();
    let mut places = vec![WordPlace::default(); ranks.n_numeric()];
    for (numeric, feature) in ranks.numeric.iter().enumerate() {
        let first = words.len();
        for &Column { index, segment, missing } in ranks.columns_of(feature) {
            let word = Word { numeric: numeric as u32, segment: segment / BYTE_SEGMENTS, missing };
            let known = words[first..].iter().position(|&other| other == word);
            let first_cut = (segment % BYTE_SEGMENTS) as usize * SEGMENT;
            places[index as usize] = WordPlace { word: first + known.unwrap_or(words.len() - first), first_cut };
            if known.is_none() {
                words.push(word);
            }
        }
    }
    (words, places)
}

/// Trees of each window, those of similar depth together.
pub(super) fn groups(trees: &[RowTree]) -> Vec<Group> {
    let mut groups = Vec::with_capacity(trees.len().div_ceil(LANES));
    for trees in trees.chunks(WINDOW) {
        let mut places: Vec<usize> = (0..trees.len()).collect();
        places.sort_by_key(|&place| trees[place].depth);
        for places in places.chunks(LANES) {
            let mut group = Group { roots: [0; LANES], places: [WINDOW as u8; LANES], steps: 0 };
            for (lane, &place) in places.iter().enumerate() {
                group.roots[lane] = trees[place].root;
                group.places[lane] = place as u8;
                group.steps = group.steps.max(trees[place].depth);
            }
            groups.push(group);
        }
    }
    groups
}

impl RowNode {
    /// A node from which nothing goes right.
    pub(super) fn arrival(at: usize) -> Self {
        Self { left: at as u32, word: 0, cut: u16::MAX }
    }

    /// The node after this one for a row whose words `word` gives.
    #[inline(always)]
    pub(crate) fn next(&self, word: impl Fn(usize) -> u16) -> u32 {
        self.left + u32::from(word(usize::from(self.word)) > self.cut)
    }
}

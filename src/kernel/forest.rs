//! The kernel of a forest: its kernels for batches of different sizes, and others for the trees that have no circuit.
//! Whatever evaluates a tree, a row's leaves are summed in tree order.

use std::ops::Range;
use std::sync::Arc;

use super::block::{RankRows, walk_rows};
use super::bytes::MakeBytes;
use super::circuit::{AddTrees, Columns};
use super::dispatch::{Dispatch, KernelKind};
use super::level::{Chunk, Level};
use super::levels::AddLevels;
use super::rank::Rank;
use super::ranked::{Asked, AskedWords, Ranked, RankedKernel, RankedMut};
use super::row::{FAR, MaskRow, RankFew, add_row, code_few};
use super::stage::{Block, Input};
use super::tops::AddTops;
use super::values::{add_values, are_the_row, make_words};
use super::walk::{WalkKernel, Walks};
use super::{Buffers, CHUNK, Kernel, OfRow, Sum};
use crate::ir::{BasePosition, Forest, Target};
use crate::layout::bytes::MAX_REGISTERS;
use crate::layout::circuit::CircuitLayout;
use crate::layout::levels::Levels;
use crate::layout::row::RowLayout;
use crate::layout::row_bytes::RowBytes;
use crate::layout::tops::Tops;
use crate::layout::values::ValueLayout;
use crate::rows::Batch;

/// Fewer rows than this are ranked one by one.
const LEAST_BLOCK: usize = 8;

/// Evaluates a forest on the instruction set `L`.
pub(crate) struct ForestKernel<L, T, S: 'static> {
    level: L,
    walk: WalkKernel<T, S>,
    layouts: Layouts<T, S>,
    dispatch: Dispatch,
}

/// What kernels other than walks need.
pub(crate) struct Layouts<T, S: 'static> {
    /// The circuits of some trees.
    pub(crate) circuits: Option<CircuitLayout<S>>,
    pub(crate) rows: Option<Arc<RowLayout<S>>>,
    /// The tops of the trees of `rows`.
    pub(crate) tops: Option<Tops<S>>,
    /// Their levels.
    pub(crate) levels: Option<Levels>,
    /// The same trees by their cuts.
    pub(crate) values: Option<ValueLayout<T>>,
}

impl<L: Level, T: Input, S: Sum> ForestKernel<L, T, S> {
    pub(crate) fn new(
        level: L,
        forest: &Forest,
        sentinel: Option<f64>,
        layouts: Layouts<T, S>,
        dispatch: Dispatch,
    ) -> Self {
        Self { level, walk: WalkKernel::new(forest, sentinel), layouts, dispatch }
    }

    /// Margins of rows, in one kernel.
    fn margins_in(
        &self,
        kind: KernelKind,
        batch: &Batch<'_>,
        rows: Range<usize>,
        margins: &mut [S],
        buffers: &mut Buffers,
    ) {
        match (kind, &self.layouts) {
            (KernelKind::Circuit, Layouts { circuits: Some(layout), .. }) => {
                self.circuit_margins(layout, batch, rows, margins, buffers);
            }
            (KernelKind::Row, Layouts { rows: Some(layout), .. }) => {
                self.row_margins(layout, None, batch, rows, margins, buffers);
            }
            (KernelKind::Tops, Layouts { rows: Some(layout), tops: Some(tops), .. }) => {
                self.row_margins(layout, Some(AtOnce::Tops(tops)), batch, rows, margins, buffers);
            }
            (KernelKind::Levels, Layouts { rows: Some(layout), levels: Some(levels), .. }) => {
                self.row_margins(layout, Some(AtOnce::Levels(levels)), batch, rows, margins, buffers);
            }
            (KernelKind::Values, Layouts { rows: Some(layout), values: Some(values), .. }) => {
                self.value_margins(layout, values, batch, rows, margins, buffers);
            }
            _ => self.walk.margins(batch, rows, margins, buffers),
        }
    }

    fn circuit_margins(
        &self,
        layout: &CircuitLayout<S>,
        batch: &Batch<'_>,
        rows: Range<usize>,
        margins: &mut [S],
        buffers: &mut Buffers,
    ) {
        let mut staged = std::mem::take(T::buffer(buffers));
        let (mut columns, mut slots, mut words, mut sums) = (
            std::mem::take(&mut buffers.columns),
            std::mem::take(&mut buffers.slots),
            std::mem::take(&mut buffers.of_row.words),
            std::mem::take(S::chunks(buffers)),
        );
        let work = Workspace { columns: &mut columns, slots: &mut slots, sums: &mut sums };
        let input = self.walk.input();
        let all = layout.trees.len() == self.walk.n_trees();
        match input.in_place::<f32>(batch, &rows) {
            Some(block) if all || self.layouts.rows.is_some() => {
                let others = self.ranked_others(layout, block, &mut words);
                self.block_margins(layout, |columns| self.rank_block(layout, block, columns), others, margins, work);
            }
            _ => {
                let (block, others) = match &self.layouts.rows {
                    None if !all => {
                        let block = input.stage(batch, rows, &mut staged);
                        (block, Others::Values(self.walk.walks(), block))
                    }
                    _ => {
                        let block = input.stage_to_rank(batch, rows, &mut staged);
                        (block, self.ranked_others(layout, block, &mut words))
                    }
                };
                self.block_margins(layout, |columns| self.rank_block(layout, block, columns), others, margins, work);
            }
        }
        *T::buffer(buffers) = staged;
        (buffers.columns, buffers.slots, buffers.of_row.words) = (columns, slots, words);
        *S::chunks(buffers) = sums;
    }

    /// What evaluates the trees that have no circuit in `layout`, if there are any, by the ranks of rows.
    fn ranked_others<'a, V: Input>(
        &'a self,
        layout: &CircuitLayout<S>,
        block: Block<'a, V>,
        words: &'a mut Vec<u16>,
    ) -> Others<'a, T, S> {
        match &self.layouts.rows {
            Some(rows) if layout.trees.len() < self.walk.n_trees() => {
                let profile = self.walk.profile();
                grow(words, block.n_rows * rows.n_words);
                self.level.run(RankRows { layout: rows, profile, block: &block, words: &mut *words });
                Others::Words { layout: rows, words, n_rows: block.n_rows }
            }
            _ => Others::None,
        }
    }

    /// Writes the ranks of rows that need no change, in the type they came in.
    fn rank_block<V: Input>(&self, layout: &CircuitLayout<S>, block: Block<'_, V>, columns: &mut Columns<'_>) {
        self.level.run(Rank { ranks: &layout.ranks, profile: self.walk.profile(), block, columns });
    }

    /// Margins of rows that `rank` writes the ranks of.
    fn block_margins(
        &self,
        layout: &CircuitLayout<S>,
        rank: impl FnOnce(&mut Columns<'_>),
        others: Others<'_, T, S>,
        margins: &mut [S],
        work: Workspace<'_, S>,
    ) {
        let (level, walk, profile) = (self.level, &self.walk, self.walk.profile());
        let n_outputs = walk.n_outputs();
        let chunks = (margins.len() / n_outputs).div_ceil(CHUNK);
        work.sums.resize((n_outputs * chunks).max(work.sums.len()), [S::ZERO; CHUNK]);
        let sums = &mut work.sums[..n_outputs * chunks];
        for (sums, &base) in sums.chunks_exact_mut(chunks).zip(walk.base()) {
            sums.fill([if profile.base == BasePosition::First { base } else { S::ZERO }; CHUNK]);
        }
        let mut columns = Columns::new(level, layout, chunks, work.columns, work.slots);
        rank(&mut columns);
        let mut next = 0;
        for groups in layout.groups.chunk_by(|a, b| a.in_forest.end == b.in_forest.start) {
            let (first, last) = (&groups[0], &groups[groups.len() - 1]);
            others.add(next..first.in_forest.start, n_outputs, sums);
            level.run(AddTrees { layout, groups, columns: &mut columns, sums });
            next = last.in_forest.end;
        }
        others.add(next..walk.n_trees(), n_outputs, sums);
        for (output, sums) in sums.chunks_exact(chunks).enumerate() {
            for (margin, &sum) in margins[output..].iter_mut().step_by(n_outputs).zip(sums.as_flattened()) {
                *margin = sum;
            }
        }
    }

    /// Margins of rows by their ranks: one by one where trees are near, or tests are made at once; else tree by tree.
    fn row_margins(
        &self,
        layout: &RowLayout<S>,
        at_once: Option<AtOnce<'_, S>>,
        batch: &Batch<'_>,
        rows: Range<usize>,
        margins: &mut [S],
        buffers: &mut Buffers,
    ) {
        let input = self.walk.input();
        match input.in_place::<f32>(batch, &rows) {
            Some(block) => self.add_rows(layout, at_once, &block, margins, &mut buffers.of_row),
            None => {
                let mut of_row = std::mem::take(&mut buffers.of_row);
                let block = input.stage_to_rank(batch, rows, T::buffer(buffers));
                self.add_rows(layout, at_once, &block, margins, &mut of_row);
                buffers.of_row = of_row;
            }
        }
    }

    /// Margins of rows by their values, one by one.
    fn value_margins(
        &self,
        layout: &RowLayout<S>,
        values: &ValueLayout<T>,
        batch: &Batch<'_>,
        rows: Range<usize>,
        margins: &mut [S],
        buffers: &mut Buffers,
    ) {
        let mut words = std::mem::take(T::words(buffers));
        let block = self.walk.input().stage(batch, rows, T::buffer(buffers));
        self.walk.start(margins);
        for (row, sums) in margins.chunks_exact_mut(self.walk.n_outputs()).enumerate() {
            let (planes, profile, row) = (&values.planes, self.walk.profile(), block.row(row));
            if are_the_row(planes, row) {
                add_values(layout, values, row, sums);
            } else {
                make_words(layout, planes, profile, row, &mut words);
                add_values(layout, values, &words, sums);
            }
        }
        *T::words(buffers) = words;
    }

    /// Works are handed what they share by reference, and buffers are not taken out of where they are: what has just been
    /// written in parts takes its time to be copied whole, which a lone row waits for.
    #[inline(always)]
    fn add_rows<V: Input>(
        &self,
        layout: &RowLayout<S>,
        at_once: Option<AtOnce<'_, S>>,
        block: &Block<'_, V>,
        margins: &mut [S],
        OfRow { words, bytes, masks, exits }: &mut OfRow,
    ) {
        let (profile, n_outputs) = (self.walk.profile(), self.walk.n_outputs());
        self.walk.start(margins);
        if let Some(at_once) = at_once {
            for (row, sums) in margins.chunks_exact_mut(n_outputs).enumerate() {
                let block = &block.rows(row..row + 1);
                grow(words, layout.n_words);
                if at_once.reads_ranks() {
                    self.level.run(RankFew { layout, block, words: &mut *words });
                }
                if at_once.reads_outcomes() {
                    code_few(layout, profile, block, words);
                }
                grow(bytes, MAX_REGISTERS);
                self.level.run(MakeBytes { columns: at_once.columns(), block, words, bytes });
                match at_once {
                    AtOnce::Tops(tops) => {
                        let masks = if tops.masks.is_empty() {
                            &[][..]
                        } else {
                            masks.clear();
                            let (ranks, of_row) = (&layout.ranks, &mut *masks);
                            self.level.run(MaskRow { ranks, masks: &tops.masks, profile, block, of_row });
                            &**masks
                        };
                        grow(exits, tops.n_arrivals());
                        self.level.run(AddTops { layout, tops, bytes, words, masks, exits, sums });
                    }
                    AtOnce::Levels(levels) => self.level.run(AddLevels { layout, levels, bytes, sums }),
                }
            }
        } else {
            let one_by_one = are_one_by_one(layout, block.n_rows);
            let at_once = if one_by_one { CHUNK } else { block.n_rows };
            for first in (0..block.n_rows).step_by(at_once) {
                let block = &block.rows(first..(first + at_once).min(block.n_rows));
                grow(words, block.n_rows * layout.n_words);
                if block.n_rows < LEAST_BLOCK {
                    self.level.run(RankFew { layout, block, words: &mut *words });
                    code_few(layout, profile, block, words);
                } else {
                    self.level.run(RankRows { layout, profile, block, words: &mut *words });
                }
                let margins = &mut margins[first * n_outputs..][..block.n_rows * n_outputs];
                add_words(layout, words, n_outputs, one_by_one, margins);
            }
        }
    }
}

/// Whether so many rows are walked row by row, and not tree by tree.
fn are_one_by_one<S>(layout: &RowLayout<S>, n_rows: usize) -> bool {
    n_rows < LEAST_BLOCK || layout.nodes.len() <= FAR
}

/// Adds the leaves of rows, of which `words` has as many at least, to margins.
#[inline(always)]
fn add_words<S: Sum>(layout: &RowLayout<S>, words: &[u16], n_outputs: usize, one_by_one: bool, margins: &mut [S]) {
    if one_by_one {
        for (words, sums) in words.chunks_exact(layout.n_words).zip(margins.chunks_exact_mut(n_outputs)) {
            add_row(layout, words, sums);
        }
    } else {
        walk_rows(layout, 0..layout.trees.len(), margins.len() / n_outputs, words, |tree, row, leaf| {
            layout.add_leaf(tree, leaf, |output, value| margins[row * n_outputs + output] += value);
        });
    }
}

/// Makes a buffer as long as that, unless it is longer.
#[inline(always)]
fn grow<V: Clone + Default>(buffer: &mut Vec<V>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, V::default());
    }
}

/// Tests of a row that are made at once.
#[derive(Clone, Copy)]
enum AtOnce<'a, S: 'static> {
    Tops(&'a Tops<S>),
    Levels(&'a Levels),
}

impl<S: Sum> AtOnce<'_, S> {
    fn columns(&self) -> &RowBytes {
        match self {
            Self::Tops(tops) => &tops.bytes,
            Self::Levels(levels) => &levels.bytes,
        }
    }

    /// Whether ranks are read from words.
    fn reads_ranks(self) -> bool {
        matches!(self, Self::Tops(tops) if tops.walks_on)
    }

    /// Whether outcomes of category tests are read from words.
    fn reads_outcomes(self) -> bool {
        self.reads_ranks() || !self.columns().outcomes.is_empty()
    }
}

/// What evaluates the trees of a block that have no circuit.
enum Others<'a, T, S: 'static> {
    None,
    /// Walks by the words of so many rows.
    Words {
        layout: &'a RowLayout<S>,
        words: &'a [u16],
        n_rows: usize,
    },
    /// Walks by the values of rows.
    Values(&'a Walks<T, S>, Block<'a, T>),
}

impl<T: Input, S: Sum> Others<'_, T, S> {
    /// Adds the leaves of some trees.
    fn add(&self, trees: Range<usize>, n_outputs: usize, sums: &mut [[S; CHUNK]]) {
        let chunks = sums.len() / n_outputs;
        let mut add = |row: usize, output: usize, value| sums[output * chunks + row / CHUNK][row % CHUNK] += value;
        match *self {
            Self::None => {}
            Self::Words { layout, words, n_rows } => {
                walk_rows(layout, trees, n_rows, words, |tree, row, leaf| {
                    layout.add_leaf(tree, leaf, |output, value| add(row, output, value));
                });
            }
            Self::Values(walks, ref rows) => {
                for tree in trees {
                    let target = walks.target(tree);
                    walks.walk_tree(rows, tree, |row, leaf| match target {
                        Target::One(output) => {
                            add(row, output as usize, walks.leaf_value(leaf as usize, rows.row(row)));
                        }
                        Target::All => {
                            for (output, &value) in walks.leaf_values(leaf as usize).iter().enumerate() {
                                add(row, output, value);
                            }
                        }
                    });
                }
            }
        }
    }
}

/// The parts of [`Buffers`] that a block is worked on in.
struct Workspace<'a, S> {
    columns: &'a mut Vec<Chunk>,
    slots: &'a mut Vec<Chunk>,
    sums: &'a mut Vec<[S; CHUNK]>,
}

impl<L: Level, T: Input, S: Sum> Kernel<S> for ForestKernel<L, T, S> {
    fn margins(&self, batch: &Batch<'_>, rows: Range<usize>, margins: &mut [S], buffers: &mut Buffers) {
        let n_many = self.dispatch.n_many(rows.len());
        let (many, few) = margins.split_at_mut(n_many * self.walk.n_outputs());
        if !many.is_empty() {
            self.margins_in(self.dispatch.many, batch, rows.start..rows.start + n_many, many, buffers);
        }
        if !few.is_empty() {
            let rows = rows.start + n_many..rows.end;
            self.margins_in(self.dispatch.of_few(rows.len()), batch, rows, few, buffers);
        }
    }

    fn leaves(&self, batch: &Batch<'_>, rows: Range<usize>, leaves: &mut [u32], buffers: &mut Buffers) {
        self.walk.leaves(batch, rows, leaves, buffers);
    }

    fn heap_bytes(&self) -> usize {
        self.walk.heap_bytes()
    }

    fn of_ranked(&self) -> Option<&dyn RankedKernel<S>> {
        (self.layouts.rows.is_some() || self.has_whole_circuits()).then_some(self)
    }
}

impl<L: Level, T: Input, S: Sum> ForestKernel<L, T, S> {
    /// The circuits of batches, if they have any.
    fn batch_circuits(&self) -> Option<&CircuitLayout<S>> {
        self.layouts.circuits.as_ref().filter(|_| self.dispatch.many == KernelKind::Circuit)
    }

    /// Whether batches have circuits of all trees.
    fn has_whole_circuits(&self) -> bool {
        self.batch_circuits().is_some_and(|layout| layout.trees.len() == self.walk.n_trees())
    }

    /// The walks of ranked rows, if some trees of batches have no circuit.
    fn ranked_walks(&self) -> Option<&RowLayout<S>> {
        self.layouts.rows.as_deref().filter(|_| !self.has_whole_circuits())
    }

    /// Writes the ranks of a chunk of rows that need no change but for tiny values.
    fn rank_chunk<V: Input>(&self, block: Block<'_, V>, RankedMut { columns, words }: RankedMut<'_>) {
        if let Some(layout) = self.batch_circuits() {
            self.rank_block(layout, block, &mut Columns::of_chunk(columns));
        }
        if let Some(layout) = self.ranked_walks() {
            self.level.run(RankRows { layout, profile: self.walk.profile(), block: &block, words });
        }
    }
}

impl<L: Level, T: Input, S: Sum> RankedKernel<S> for ForestKernel<L, T, S> {
    fn asked(&self) -> Asked {
        let words = self.ranked_walks().map(|layout| AskedWords {
            ranks: layout.ranks.clone(),
            outcomes: layout.outcomes.clone(),
            n_words: layout.n_words,
        });
        Asked { columns: self.batch_circuits().map(|layout| layout.ranks.clone()), words }
    }

    fn rank(&self, batch: &Batch<'_>, rows: Range<usize>, ranked: RankedMut<'_>, buffers: &mut Buffers) {
        let input = self.walk.input();
        match input.in_place::<f32>(batch, &rows) {
            Some(block) => self.rank_chunk(block, ranked),
            None => self.rank_chunk(input.stage_to_rank(batch, rows, T::buffer(buffers)), ranked),
        }
    }

    fn margins_of_ranked(&self, ranked: Ranked<'_>, margins: &mut [S], buffers: &mut Buffers) {
        let (n_outputs, words) = (self.walk.n_outputs(), ranked.words);
        let n_rows = margins.len() / n_outputs;
        let Some(circuits) = self.batch_circuits() else {
            self.walk.start(margins);
            if let Some(layout) = self.ranked_walks() {
                add_words(layout, words, n_outputs, are_one_by_one(layout, n_rows), margins);
            }
            return;
        };
        let n_columns = circuits.ranks.n_columns;
        let copy = |columns: &mut Columns<'_>| {
            for chunk in 0..columns.n_chunks() {
                for column in 0..n_columns {
                    columns.set(chunk, column, ranked.columns[chunk * n_columns + column]);
                }
            }
        };
        let others = self.ranked_walks().map_or(Others::None, |layout| Others::Words { layout, words, n_rows });
        let mut sums = std::mem::take(S::chunks(buffers));
        let work = Workspace { columns: &mut buffers.columns, slots: &mut buffers.slots, sums: &mut sums };
        self.block_margins(circuits, copy, others, margins, work);
        *S::chunks(buffers) = sums;
    }
}

//! What kernels are reckoned to cost: nanoseconds a row, by facts that are counted before anything is laid out.
//!
//! The constants are fitted to measured models (one thread, batches of 1,024 and single rows; a Zen 5, whose times are
//! doubled, which makes them about those of a 2.5 GHz Xeon of the Cascade Lake kind); only their ratios matter, and only
//! where kernels are far apart.

use super::Isa;
use crate::ir::{Float, Forest, SplitTest};
use crate::layout::circuit;

/// What a forest asks of the kernels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Features that are ranked.
    pub(super) features: f64,
    /// Splits of trees that have a circuit.
    pub(super) splits: f64,
    /// Those of them that test categories.
    pub(super) of_categories: f64,
    /// Trees that have a circuit.
    pub(super) trees: f64,
    /// Steps of walks through those trees, at most.
    pub(super) visits: f64,
}

impl Work {
    /// Of the trees that `chosen` names.
    pub(super) fn of(forest: &Forest, mut chosen: impl FnMut(usize) -> bool) -> Self {
        let mut uses = vec![false; forest.n_features()];
        let mut work = Self { features: 0.0, splits: 0.0, of_categories: 0.0, trees: 0.0, visits: 0.0 };
        for tree in (0..forest.n_trees()).filter(|&tree| chosen(tree)) {
            let splits = &forest.splits()[forest.splits_of(tree)];
            for split in splits {
                uses[split.feature as usize] = true;
                work.of_categories += f64::from(u8::from(matches!(split.test, SplitTest::Set(_))));
            }
            work.splits += splits.len() as f64;
            work.trees += 1.0;
            work.visits += f64::from(forest.trees()[tree].depth);
        }
        Self { features: uses.iter().filter(|&&used| used).count() as f64, ..work }
    }

    /// Ranks of a row of a batch.
    fn ranks(&self, isa: Isa, input: Float) -> f64 {
        let [of_f32, of_f64] = match isa {
            Isa::Avx512Vbmi | Isa::Avx512 => [1.0, 6.0],
            Isa::Avx2 => [2.0, 7.4],
            Isa::Portable => [5.6, 16.7],
        };
        self.features * if input == Float::F32 { of_f32 } else { of_f64 }
    }

    /// A row of a batch, in circuits.
    pub(super) fn circuit(&self, isa: Isa, input: Float) -> f64 {
        let (split, of_categories, tree) = match isa {
            Isa::Avx512Vbmi | Isa::Avx512 => (0.018, 0.085, 0.16),
            Isa::Avx2 => (0.028, 0.12, 0.8),
            // By how many classes a set is of.
            Isa::Portable => (0.062, 1.2, 1.1),
        };
        let splits = (self.splits - self.of_categories) * split + self.of_categories * of_categories;
        self.ranks(isa, input) + splits + self.trees * tree
    }

    /// A row of a batch that is ranked and walked.
    pub(super) fn rows(&self, isa: Isa, input: Float) -> f64 {
        self.ranks(isa, input) + self.visits * 1.6
    }

    /// A single row that is ranked and walked.
    pub(super) fn row(&self) -> f64 {
        self.features * 9.0 + self.visits * 1.6
    }

    /// A single row whose tests are made at once, where that takes so many cycles.
    pub(super) fn at_once(cycles: f64) -> f64 {
        cycles * 0.5
    }

    /// A single row that is walked by so many words made of its values.
    pub(super) fn values(&self, n_words: f64, input: Float) -> f64 {
        // Nodes of f64 cuts are twice as large.
        let visit = if input == Float::F32 { 1.7 } else { 2.4 };
        n_words * 0.4 + self.visits * visit
    }

    /// Whether ranked rows, or what is made of them, may pay.
    pub(super) fn ranks_may_pay(&self, forest: &Forest) -> bool {
        // Mostly there are two planes at most.
        let values = self.values(2.0 * forest.n_features() as f64, forest.profile().input);
        self.row().min(values) <= self.walk()
    }

    /// A row that is walked as it is.
    pub(super) fn walk(&self) -> f64 {
        self.visits * 4.5
    }
}

/// Why the trees that have no circuit have none, as text: the first reason met, and how many trees it is.
pub(super) fn refusals(refusals: &[Option<circuit::Refusal>]) -> Option<String> {
    let refused = refusals.iter().flatten().count();
    let first = refusals.iter().flatten().next()?;
    Some(format!("{refused} trees: {first}"))
}

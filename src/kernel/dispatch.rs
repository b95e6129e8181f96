//! Which kernel takes which rows.

use serde::Serialize;

use super::CHUNK;

/// A kernel, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KernelKind {
    /// Every split of a tree is tested on 64 rows at a time. Trees of up to 256 leaves.
    Circuit,
    /// A row is ranked once and walks through nodes that compare ranks, several trees at a time.
    Row,
    /// A row is ranked once, and all splits of the tops of trees are tested at once; walks are a byte a step then.
    Tops,
    /// A row is ranked once, and all levels of trees that ask the same of all nodes of a level are tested at once.
    Levels,
    /// A row's missing values are replaced, then it walks through nodes that compare values, several trees at a time.
    Values,
    /// Walks through nodes that compare values, several rows or trees at a time. Any tree.
    Walk,
}

impl KernelKind {
    /// Every kernel.
    pub const ALL: &'static [Self] = &[Self::Circuit, Self::Row, Self::Tops, Self::Levels, Self::Values, Self::Walk];

    /// Its name, as [`from_name`](Self::from_name) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circuit => "circuit",
            Self::Row => "row",
            Self::Tops => "tops",
            Self::Levels => "levels",
            Self::Values => "values",
            Self::Walk => "walk",
        }
    }
}

/// The kernel of each size of a batch. A kernel that has not been laid out is stood in for by walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dispatch {
    /// For a single row.
    pub(crate) single: KernelKind,
    /// For fewer rows than `many_from`.
    pub(crate) few: KernelKind,
    pub(crate) many: KernelKind,
    /// Circuits work on 64 rows, however many are there: this is also asked of the rows that fill no 64.
    pub(crate) many_from: usize,
}

impl Dispatch {
    /// The same kernel for all rows.
    pub(crate) fn only(kind: KernelKind) -> Self {
        Self { single: kind, few: kind, many: kind, many_from: 1 }
    }

    pub(crate) fn uses(&self, kind: KernelKind) -> bool {
        [self.single, self.few, self.many].contains(&kind)
    }

    /// Rows that the kernel for many works on at once.
    pub(crate) fn rows_at_once(&self) -> usize {
        if self.many == KernelKind::Circuit { CHUNK } else { 1 }
    }

    /// How many rows of a block the kernel for many takes; those behind them are few.
    pub(super) fn n_many(&self, n_rows: usize) -> usize {
        let rest = if self.many == KernelKind::Circuit { n_rows % CHUNK } else { n_rows };
        if rest < self.many_from { n_rows - rest } else { n_rows }
    }

    /// The kernel for a few rows.
    pub(super) fn of_few(&self, n_rows: usize) -> KernelKind {
        if n_rows == 1 { self.single } else { self.few }
    }
}

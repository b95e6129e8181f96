//! The rows a benchmark draws from: many enough that no two calls in a row see the same ones.

use anyhow::{Result, ensure};
use ndarray::{Array2, Axis, s};
use sawmill::{Float, Model, Rows};

use crate::input::{Input, Table};

/// Made-up rows, unless batches need more or rows are wide.
const MADE_UP_ROWS: usize = 20_000;

/// At most this many values are made up, unless batches need more.
const MADE_UP_VALUES: usize = 1 << 22;

/// Nor will more values than this be held.
const MAX_VALUES: usize = 1 << 28;

/// A pool holds this many batches of the largest size at least.
const BATCHES: usize = 2;

/// With rows made up, the same for everyone.
const SEED: u64 = 1;

/// At least two batches' worth of rows, in row-major order.
pub struct Pool(Table);

impl Pool {
    /// Rows in the type the model reads, made up around its cut points.
    pub fn made_up(model: &Model, largest_batch: usize) -> Result<Self> {
        let n_features = model.schema().n_features();
        let fitting = (MADE_UP_VALUES / n_features.max(1)).min(MADE_UP_ROWS);
        let n_rows = fitting.max(rows_needed(largest_batch, n_features)?);
        let rows = model.sample_rows(n_rows, SEED);
        Ok(Self(match model.forest().map_or(Float::F32, |forest| forest.profile().input) {
            Float::F32 => Table::F32(rows.mapv(|value| value as f32)),
            _ => Table::F64(rows),
        }))
    }

    /// The rows of a file, over and over if they are fewer than two batches.
    pub fn read(input: Input, largest_batch: usize) -> Result<Self> {
        let name = input.name.clone();
        let table = input.read_table(MAX_VALUES)?;
        let (n_rows, n_columns) = table.dim();
        ensure!(n_rows > 0, "{name}: no rows");
        let n_rows = n_rows.max(rows_needed(largest_batch, n_columns)?);
        Ok(Self(match table {
            Table::F32(rows) => Table::F32(repeated(rows, n_rows)),
            Table::F64(rows) => Table::F64(repeated(rows, n_rows)),
        }))
    }

    pub fn n_rows(&self) -> usize {
        self.0.dim().0
    }

    /// `n_rows` rows from row `start` on.
    pub fn rows(&self, start: usize, n_rows: usize) -> Rows<'_> {
        match &self.0 {
            Table::F32(rows) => rows.slice(s![start..start + n_rows, ..]).into(),
            Table::F64(rows) => rows.slice(s![start..start + n_rows, ..]).into(),
        }
    }
}

fn rows_needed(largest_batch: usize, n_columns: usize) -> Result<usize> {
    let n_rows = largest_batch.saturating_mul(BATCHES);
    ensure!(
        n_rows.saturating_mul(n_columns) <= MAX_VALUES,
        "a batch of {largest_batch} rows of {n_columns} features is too large to measure"
    );
    Ok(n_rows)
}

/// The rows in row-major order, from the first again where they end before `n_rows`.
fn repeated<T: Copy>(rows: Array2<T>, n_rows: usize) -> Array2<T> {
    if rows.nrows() == n_rows && rows.is_standard_layout() {
        return rows;
    }
    let indices: Vec<usize> = (0..rows.nrows()).cycle().take(n_rows).collect();
    rows.select(Axis(0), &indices)
}

/// Where successive batches start: one after another, each lap through the pool shifted by a row, so that a batch is
/// not the same again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows {
    next: usize,
    lap: usize,
}

impl Windows {
    pub fn advance(&mut self, batch: usize, n_rows: usize) -> usize {
        if self.next + batch > n_rows {
            self.lap = (self.lap + 1) % (n_rows - batch + 1).min(batch);
            self.next = self.lap;
        }
        let start = self.next;
        self.next += batch;
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_inside_and_seldom_come_again() {
        for (batch, n_rows, distinct) in [(1, 10, 10), (4, 10, 7), (5, 10, 6), (64, 20_000, 19_900), (3, 3, 1)] {
            let mut windows = Windows::default();
            let starts: Vec<usize> = (0..100_000).map(|_| windows.advance(batch, n_rows)).collect();
            assert!(starts.iter().all(|start| start + batch <= n_rows));
            assert!(n_rows == batch || starts.windows(2).all(|pair| pair[0] != pair[1]));
            let different: std::collections::BTreeSet<_> = starts.iter().collect();
            assert!(different.len() >= distinct, "{batch} of {n_rows}: {}", different.len());
        }
    }

    #[test]
    fn few_rows_are_repeated_in_row_major_order() {
        let columns = Array2::from_shape_vec((2, 3), vec![1, 2, 3, 4, 5, 6]).unwrap().reversed_axes();
        let rows = repeated(columns, 4);
        assert!(rows.is_standard_layout());
        assert_eq!(rows.into_raw_vec_and_offset().0, [1, 4, 2, 5, 3, 6, 1, 4]);
    }
}

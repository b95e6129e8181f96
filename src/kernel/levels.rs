//! Single rows through trees that ask the same of all nodes of a level: 64 levels are tested at once, and what those of a
//! tree say is the number of its leaf.

use super::Sum;
use super::bytes::Bytes;
use super::level::{Level, Work};
use super::row::add_vectors;
use crate::layout::bytes::{PAGE_REGISTERS, REGISTER};
use crate::layout::levels::{Block, LevelTree, Levels};
use crate::layout::row::RowLayout;

/// Adds the leaves of the row of these bytes to `sums`, one for every output.
pub(crate) struct AddLevels<'a, S: 'static> {
    pub(crate) layout: &'a RowLayout<S>,
    pub(crate) levels: &'a Levels,
    pub(crate) bytes: &'a Bytes,
    pub(crate) sums: &'a mut [S],
}

impl<S: Sum> Work for AddLevels<'_, S> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let bytes = self.bytes;
        match self.levels.bytes.n_registers {
            0..=2 if L::BYTES > REGISTER => self.add::<L, 2>(level, bytes),
            3 | 4 if L::BYTES > REGISTER => self.add::<L, 4>(level, bytes),
            5..=8 if L::BYTES > REGISTER => self.add::<L, 8>(level, bytes),
            _ => self.add::<L, PAGE_REGISTERS>(level, bytes),
        }
    }
}

impl<S: Sum> AddLevels<'_, S> {
    /// Adds the leaves of all trees, whose columns are in so many registers.
    #[inline(always)]
    fn add<L: Level, const REGISTERS: usize>(self, level: L, bytes: &Bytes) {
        let columns = level.fetchable::<REGISTERS>(bytes);
        let (mut sum, single, width) = (self.sums[0], self.sums.len() == 1, self.layout.width);
        let mut first = 0;
        for Block { tests, end } in &self.levels.blocks {
            let right = level.right(&columns, tests);
            for &LevelTree { first_leaf, output, shift, last } in &self.levels.trees[first..*end] {
                let leaf = first_leaf + ((right >> shift) as u32 & last);
                if width > 1 {
                    add_vectors(self.sums, &self.layout.values, &[leaf]);
                    continue;
                }
                let value = self.layout.values[leaf as usize];
                if single {
                    // In a register, not in memory: additions wait for one another.
                    sum += value;
                } else {
                    self.sums[output as usize] += value;
                }
            }
            first = *end;
        }
        if single {
            self.sums[0] = sum;
        }
    }
}

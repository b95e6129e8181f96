//! Single rows by the tops of trees: all splits of a top are tested, then a walk is a byte a step.
#![allow(unsafe_code, reason = "walks index nodes and words without checks; the layout bounds them")]

use super::Sum;
use super::bytes::{Bytes, bytes};
use super::level::{Level, Work};
use super::steps::advance;
use crate::layout::bytes::{MAX_REGISTERS, REGISTER};
use crate::layout::class_masks::Masks;
use crate::layout::row::RowLayout;
use crate::layout::tops::{Group, LANES, PLACES, Starts, Tops, Walks};

/// The next place of each place of a block; of an exit itself.
type Next = [u8; PLACES];

/// Before any tile has been evaluated.
const ARRIVED: Next = {
    let mut next = [0; PLACES];
    let mut place = 0;
    while place < PLACES {
        next[place] = place as u8;
        place += 1;
    }
    next
};

/// Adds the leaves of the row of these words to `sums`, one for every output.
pub(crate) struct AddTops<'a, S: 'static> {
    pub(crate) layout: &'a RowLayout<S>,
    pub(crate) tops: &'a Tops<S>,
    pub(crate) words: &'a [u16],
    /// Of the row's categories, by block; none where nothing tests them.
    pub(crate) masks: &'a [Masks],
    /// Where trees arrive: a place for each of all groups, and for a block.
    pub(crate) places: &'a mut [u8],
    pub(crate) sums: &'a mut [S],
}

impl<S: Sum> Work for AddTops<'_, S> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let bytes = bytes(&self.tops.bytes, self.words);
        match self.masks.is_empty() {
            true => self.add::<L, false>(level, &bytes),
            false => self.add::<L, true>(level, &bytes),
        }
    }
}

impl<S: Sum> AddTops<'_, S> {
    /// Adds the leaves of all trees, perhaps with masks.
    #[inline(always)]
    fn add<L: Level, const MASKS: bool>(self, level: L, bytes: &Bytes) {
        match &self.tops.walks {
            Walks::Blocks(starts) => match self.tops.bytes.columns.len().div_ceil(REGISTER) {
                0..=4 => self.add_blocks::<L, 4, MASKS>(level, bytes, starts),
                5..=8 => self.add_blocks::<L, 8, MASKS>(level, bytes, starts),
                _ => self.add_blocks::<L, MAX_REGISTERS, MASKS>(level, bytes, starts),
            },
            Walks::Groups(1) => self.add_groups_of::<L, 1, MASKS>(level, bytes),
            Walks::Groups(2) => self.add_groups_of::<L, 2, MASKS>(level, bytes),
            Walks::Groups(_) => self.add_groups_of::<L, 4, MASKS>(level, bytes),
        }
    }

    /// Of trees that are walked block by block, and whose columns are in so many registers.
    #[inline(always)]
    fn add_blocks<L: Level, const REGISTERS: usize, const MASKS: bool>(
        mut self,
        level: L,
        bytes: &Bytes,
        starts: &[Starts],
    ) {
        let Tops { tiles, groups, .. } = self.tops;
        let columns = level.fetchable::<REGISTERS>(bytes);
        let (mut arrived, mut added) = (0, 0);
        let mut sum = self.sums[0];
        for at in 0..starts.len() {
            let masks = MASKS.then(|| &self.masks[at]);
            let of_block = level.arrive(&columns, &tiles[at], masks, &starts[at]);
            *self.places[arrived..].first_chunk_mut().expect("more places than trees") = of_block;
            arrived += starts[at].n_trees as usize;
            while arrived >= (added + 1) * LANES {
                self.add_group(&groups[added], self.places_of(added), &mut sum);
                added += 1;
            }
        }
        if added < groups.len() {
            self.add_group(&groups[added], self.places_of(added), &mut sum);
        }
        if self.sums.len() == 1 {
            self.sums[0] = sum;
        }
    }

    /// Where the trees of a group have arrived.
    #[inline(always)]
    fn places_of(&self, group: usize) -> [usize; LANES] {
        let places: &[u8; LANES] = self.places[group * LANES..].first_chunk().expect("more places than trees");
        let mut of_group = [0; LANES];
        for lane in 0..LANES {
            of_group[lane] = usize::from(places[lane]);
        }
        of_group
    }

    /// Of trees that are walked in groups of so many blocks.
    #[inline(always)]
    fn add_groups_of<L: Level, const BLOCKS: usize, const MASKS: bool>(self, level: L, bytes: &Bytes) {
        match self.tops.bytes.columns.len().div_ceil(REGISTER) {
            0..=2 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 2, MASKS>(level, bytes),
            3 | 4 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 4, MASKS>(level, bytes),
            5..=8 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 8, MASKS>(level, bytes),
            _ => self.add_groups::<L, BLOCKS, MAX_REGISTERS, MASKS>(level, bytes),
        }
    }

    /// And whose columns are in so many registers.
    #[inline(always)]
    fn add_groups<L: Level, const BLOCKS: usize, const REGISTERS: usize, const MASKS: bool>(
        mut self,
        level: L,
        bytes: &Bytes,
    ) {
        let Tops { tiles, groups, .. } = self.tops;
        let columns = level.fetchable::<REGISTERS>(bytes);
        let row_masks = self.masks;
        let select = |group: usize, next: &mut [Next; BLOCKS]| {
            for block in 0..BLOCKS {
                let at = group * BLOCKS + block;
                let masks = MASKS.then(|| &row_masks[at]);
                let places = level.select(&columns, &tiles[at], masks).0;
                *next[block].first_chunk_mut().expect("more places than tiles") = places;
            }
        };
        // Tiles are evaluated a group ahead, so that steps do not wait for them.
        let mut next = [[ARRIVED; BLOCKS]; 2];
        if !groups.is_empty() {
            select(0, &mut next[0]);
        }
        let mut sum = self.sums[0];
        for at in 0..groups.len() {
            if at + 1 < groups.len() {
                select(at + 1, &mut next[(at + 1) % 2]);
            }
            let (group, next) = (&groups[at], &next[at % 2]);
            let mut place = [0; LANES];
            for lane in 0..LANES {
                place[lane] = usize::from(group.tops[lane].root);
            }
            for _ in 0..group.steps {
                for lane in 0..LANES {
                    place[lane] = usize::from(next[lane * BLOCKS / LANES][place[lane] % PLACES]);
                }
            }
            self.add_group(group, place, &mut sum);
        }
        if self.sums.len() == 1 {
            self.sums[0] = sum;
        }
    }

    /// Adds the leaves of trees that have arrived at `places`; to `sum`, where there is but one.
    #[inline(always)]
    fn add_group(&mut self, group: &Group, places: [usize; LANES], sum: &mut S) {
        let mut exits = [0; LANES];
        for lane in 0..LANES {
            exits[lane] = group.tops[lane].first_exit as usize + places[lane];
        }
        let values = if group.rest == 0 { self.leaves(exits) } else { self.walk_on(exits, group.rest) };
        if self.sums.len() == 1 {
            // In a register, not in memory: additions wait for one another.
            for lane in 0..LANES {
                *sum += values[lane];
            }
        } else {
            for lane in 0..LANES {
                self.sums[group.tops[lane].output as usize] += values[lane];
            }
        }
    }

    /// The values of exits that are leaves.
    #[inline(always)]
    fn leaves(&self, exits: [usize; LANES]) -> [S; LANES] {
        let mut values = [S::ZERO; LANES];
        for lane in 0..LANES {
            values[lane] = self.tops.values[exits[lane]];
        }
        values
    }

    /// The values of the leaves below exits, `steps` splits away at most.
    #[inline(always)]
    fn walk_on(&self, exits: [usize; LANES], steps: u32) -> [S; LANES] {
        let (layout, words) = (self.layout, self.words);
        let mut from = [0; LANES];
        for lane in 0..LANES {
            from[lane] = self.tops.nodes[exits[lane]];
        }
        let ends = advance(from, steps, |_, at| {
            // SAFETY: `RowLayout::new` numbers roots and children by the nodes it makes, and words by those it counts, of
            // which there are as many.
            // BENEFIT: as in `row.rs`, whose walk this is.
            unsafe { layout.nodes.get_unchecked(at as usize).next(|word| *words.get_unchecked(word)) }
        });
        let mut values = [S::ZERO; LANES];
        for lane in 0..LANES {
            // Without a tree there is nothing to add, which 0 is not for every sum.
            values[lane] = if ends[lane] == 0 { -S::ZERO } else { layout.values[ends[lane] as usize] };
        }
        values
    }
}

//! Single rows by the tops of trees: all splits of a top are tested, then a walk is a byte a step.
#![allow(unsafe_code, reason = "walks index nodes and words without checks; the layout bounds them")]

use super::Sum;
use super::bytes::Bytes;
use super::level::{Level, Work};
use super::row::add_vectors;
use super::steps::advance;
use crate::layout::bytes::{MAX_REGISTERS, PAGE_REGISTERS, REGISTER};
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

/// Adds the leaves of the row of these bytes to `sums`, one for every output.
pub(crate) struct AddTops<'a, S: 'static> {
    pub(crate) layout: &'a RowLayout<S>,
    pub(crate) tops: &'a Tops<S>,
    pub(crate) bytes: &'a Bytes,
    /// For walks below exits.
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
        match self.masks.is_empty() {
            true => self.add::<L, false>(level),
            false => self.add::<L, true>(level),
        }
    }
}

impl<S: Sum> AddTops<'_, S> {
    /// Adds the leaves of all trees, perhaps with masks.
    #[inline(always)]
    fn add<L: Level, const MASKS: bool>(self, level: L) {
        match &self.tops.walks {
            Walks::Blocks(starts) => match self.tops.bytes.n_registers {
                0..=4 => self.add_blocks::<L, 4, false, MASKS>(level, starts),
                5..=8 => self.add_blocks::<L, 8, false, MASKS>(level, starts),
                9..=16 => self.add_blocks::<L, PAGE_REGISTERS, false, MASKS>(level, starts),
                17..=32 => self.add_blocks::<L, { 2 * PAGE_REGISTERS }, true, MASKS>(level, starts),
                _ => self.add_blocks::<L, MAX_REGISTERS, true, MASKS>(level, starts),
            },
            Walks::Groups(1) => self.add_groups_of::<L, 1, MASKS>(level),
            Walks::Groups(2) => self.add_groups_of::<L, 2, MASKS>(level),
            Walks::Groups(_) => self.add_groups_of::<L, 4, MASKS>(level),
        }
    }

    /// Of trees that are walked block by block, and whose columns are in so many registers.
    #[inline(always)]
    fn add_blocks<L: Level, const REGISTERS: usize, const PAGES: bool, const MASKS: bool>(
        mut self,
        level: L,
        starts: &[Starts],
    ) {
        let groups = &self.tops.groups;
        let columns = level.fetchable::<REGISTERS>(self.bytes);
        let (mut arrived, mut added) = (0, 0);
        let mut sum = self.sums[0];
        for at in 0..starts.len() {
            let masks = MASKS.then(|| &self.masks[at]);
            let of_block = level.arrive(&columns, self.tops.block::<PAGES>(at, masks), &starts[at]);
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
    fn places_of(&self, group: usize) -> [u32; LANES] {
        let places: &[u8; LANES] = self.places[group * LANES..].first_chunk().expect("more places than trees");
        let mut of_group = [0; LANES];
        for lane in 0..LANES {
            of_group[lane] = places[lane].into();
        }
        of_group
    }

    /// Of trees that are walked in groups of so many blocks.
    #[inline(always)]
    fn add_groups_of<L: Level, const BLOCKS: usize, const MASKS: bool>(self, level: L) {
        match self.tops.bytes.n_registers {
            0..=2 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 2, MASKS>(level),
            3 | 4 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 4, MASKS>(level),
            5..=8 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 8, MASKS>(level),
            _ => self.add_groups::<L, BLOCKS, PAGE_REGISTERS, MASKS>(level),
        }
    }

    /// And whose columns are in so many registers.
    #[inline(always)]
    fn add_groups<L: Level, const BLOCKS: usize, const REGISTERS: usize, const MASKS: bool>(mut self, level: L) {
        let (tops, groups) = (self.tops, &self.tops.groups);
        let columns = level.fetchable::<REGISTERS>(self.bytes);
        let row_masks = self.masks;
        let select = |group: usize, next: &mut [Next; BLOCKS]| {
            for block in 0..BLOCKS {
                let at = group * BLOCKS + block;
                let masks = MASKS.then(|| &row_masks[at]);
                let places = level.select(&columns, tops.block::<false>(at, masks)).0;
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
            self.add_group(group, place.map(|place| place as u32), &mut sum);
        }
        if self.sums.len() == 1 {
            self.sums[0] = sum;
        }
    }

    /// Adds the leaves of trees that have arrived at `places`; to `sum`, where there is but one.
    #[inline(always)]
    fn add_group(&mut self, group: &Group, places: [u32; LANES], sum: &mut S) {
        let mut exits = [0; LANES];
        for lane in 0..LANES {
            exits[lane] = group.tops[lane].first_exit + places[lane];
        }
        let (all, leaves) = match group.rest {
            0 => (&self.tops.values[..], exits),
            rest => (&self.layout.values[..], self.walk_on(exits, rest)),
        };
        if self.layout.width > 1 {
            return add_vectors(self.sums, all, &leaves);
        }
        let mut values = [S::ZERO; LANES];
        for lane in 0..LANES {
            values[lane] = all[leaves[lane] as usize];
        }
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

    /// The leaves below exits, `steps` splits away at most.
    #[inline(always)]
    fn walk_on(&self, exits: [u32; LANES], steps: u32) -> [u32; LANES] {
        let (layout, words) = (self.layout, self.words);
        let mut from = [0; LANES];
        for lane in 0..LANES {
            from[lane] = self.tops.nodes[exits[lane] as usize];
        }
        advance(from, steps, |_, at| {
            // SAFETY: `RowLayout::new` numbers roots and children by the nodes it makes, and words by those it counts, of
            // which there are as many.
            // BENEFIT: as in `row.rs`, whose walk this is.
            unsafe { layout.nodes.get_unchecked(at as usize).next(|word| *words.get_unchecked(word)) }
        })
    }
}

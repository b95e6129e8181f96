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
use crate::layout::tops::{Group, LANES, PLACES, Roots, Starts, TILES, Tops, Walks};

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
    /// The exits at which trees arrive, as many as [`Tops::n_arrivals`].
    pub(crate) exits: &'a mut [u32],
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
            Walks::Blocks { starts, arrivals } if L::BY_NUMBER => match self.tops.bytes.n_registers {
                0..=4 => self.add_blocks::<L, 4, false, MASKS>(level, starts, arrivals),
                5..=8 => self.add_blocks::<L, 8, false, MASKS>(level, starts, arrivals),
                9..=16 => self.add_blocks::<L, PAGE_REGISTERS, false, MASKS>(level, starts, arrivals),
                17..=32 => self.add_blocks::<L, { 2 * PAGE_REGISTERS }, true, MASKS>(level, starts, arrivals),
                _ => self.add_blocks::<L, MAX_REGISTERS, true, MASKS>(level, starts, arrivals),
            },
            Walks::Blocks { .. } => unreachable!("laid out for levels that look up by number"),
            Walks::Groups { n_blocks: 1, roots } => self.add_groups_of::<L, 1, MASKS>(level, roots),
            Walks::Groups { n_blocks: 2, roots } => self.add_groups_of::<L, 2, MASKS>(level, roots),
            Walks::Groups { roots, .. } => self.add_groups_of::<L, 4, MASKS>(level, roots),
        }
    }

    /// Of trees that are walked block by block, and whose columns are in so many registers.
    #[inline(always)]
    fn add_blocks<L: Level, const REGISTERS: usize, const PAGES: bool, const MASKS: bool>(
        self,
        level: L,
        starts: &[Starts],
        arrivals: &[[u32; LANES]],
    ) {
        let columns = level.fetchable::<REGISTERS>(self.bytes);
        match self.sums.len() == 1 && !self.tops.walks_on {
            true => self.add_arrivals::<L, REGISTERS, PAGES, MASKS, true>(level, &columns, starts, arrivals),
            false => self.add_arrivals::<L, REGISTERS, PAGES, MASKS, false>(level, &columns, starts, arrivals),
        }
    }

    /// And whose exits are perhaps all leaves, of one value.
    #[inline(always)]
    fn add_arrivals<L: Level, const REGISTERS: usize, const PAGES: bool, const MASKS: bool, const LEAVES: bool>(
        mut self,
        level: L,
        columns: &[L::Fetchable; REGISTERS],
        starts: &[Starts],
        arrivals: &[[u32; LANES]],
    ) {
        let groups = &self.tops.groups;
        let (mut arrived, mut added) = (0, 0);
        let mut sum = self.sums[0];
        for at in 0..starts.len() {
            let masks = MASKS.then(|| &self.masks[at]);
            let of_block = level.arrive(columns, self.tops.block::<PAGES>(at, masks), &starts[at]);
            *self.exits[arrived..].first_chunk_mut().expect("more room than trees") = of_block;
            arrived += starts[at].n_trees as usize;
            while added < starts[at].n_groups as usize {
                self.add_group::<LEAVES>(&groups[added], self.exits_of(&arrivals[added]), &mut sum);
                added += 1;
            }
        }
        // Where lanes without a tree are said to have arrived.
        self.exits[arrived] = TILES as u32;
        for group in added..groups.len() {
            self.add_group::<LEAVES>(&groups[group], self.exits_of(&arrivals[group]), &mut sum);
        }
        if self.sums.len() == 1 {
            self.sums[0] = sum;
        }
    }

    /// Where the trees of a group have arrived.
    #[inline(always)]
    fn exits_of(&self, arrivals: &[u32; LANES]) -> [u32; LANES] {
        let mut exits = [0; LANES];
        for lane in 0..LANES {
            exits[lane] = self.exits[arrivals[lane] as usize];
        }
        exits
    }

    /// Of trees that are walked in groups of so many blocks.
    #[inline(always)]
    fn add_groups_of<L: Level, const BLOCKS: usize, const MASKS: bool>(self, level: L, roots: &[Roots]) {
        match self.tops.bytes.n_registers {
            0..=2 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 2, MASKS>(level, roots),
            3 | 4 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 4, MASKS>(level, roots),
            5..=8 if L::BYTES > REGISTER => self.add_groups::<L, BLOCKS, 8, MASKS>(level, roots),
            _ => self.add_groups::<L, BLOCKS, PAGE_REGISTERS, MASKS>(level, roots),
        }
    }

    /// And whose columns are in so many registers.
    #[inline(always)]
    fn add_groups<L: Level, const BLOCKS: usize, const REGISTERS: usize, const MASKS: bool>(
        mut self,
        level: L,
        roots: &[Roots],
    ) {
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
            let (group, roots, next) = (&groups[at], &roots[at], &next[at % 2]);
            let mut place = [0; LANES];
            for lane in 0..LANES {
                place[lane] = usize::from(roots.places[lane]);
            }
            for _ in 0..roots.steps {
                for lane in 0..LANES {
                    place[lane] = usize::from(next[lane * BLOCKS / LANES][place[lane] % PLACES]);
                }
            }
            let mut exits = roots.first_exits;
            for lane in 0..LANES {
                exits[lane] += place[lane] as u32;
            }
            self.add_group::<false>(group, exits, &mut sum);
        }
        if self.sums.len() == 1 {
            self.sums[0] = sum;
        }
    }

    /// Adds the leaves of trees that have arrived at `exits`; to `sum`, where there is but one.
    #[inline(always)]
    fn add_group<const LEAVES: bool>(&mut self, group: &Group, exits: [u32; LANES], sum: &mut S) {
        if LEAVES {
            for lane in 0..LANES {
                *sum += self.tops.values[exits[lane] as usize];
            }
            return;
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
                self.sums[group.outputs[lane] as usize] += values[lane];
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

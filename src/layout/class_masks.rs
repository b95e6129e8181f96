//! What tests of categories say of a row: for each class of a feature, which of the tests of a block send it right.

use super::row::RowLayout;
use super::tops::TILES;

/// Which of the 64 tiles of a block a row's category sends right, for each of a tile's three tests: a bit a tile.
pub(crate) type Masks = [u64; 3];

/// The outcomes of category tests in the blocks of a [`Tops`](super::tops::Tops).
#[derive(Debug)]
pub(crate) struct ClassMasks {
    pub(crate) n_blocks: usize,
    /// By coded feature, the first of its classes among those of all.
    first_classes: Vec<usize>,
    /// By class, then by block.
    masks: Vec<Masks>,
}

/// A test of a category: which of the tests of which tile it is, and the word of its outcome.
#[derive(Clone, Copy)]
pub(super) struct CategoryTest {
    pub(super) block: usize,
    pub(super) tests: usize,
    pub(super) lane: usize,
    pub(super) word: u16,
}

impl ClassMasks {
    /// How many masks there are for so many blocks.
    pub(super) fn n_masks<S>(layout: &RowLayout<S>, n_blocks: usize) -> usize {
        layout.ranks.coded.iter().map(|coded| coded.n_classes).sum::<usize>() * n_blocks
    }

    /// Of these tests. None, if there are no such tests.
    ///
    /// Cost: for each test a look at all classes of its feature, eight at a time.
    pub(super) fn new<S>(layout: &RowLayout<S>, tests: &[CategoryTest], n_blocks: usize) -> Self {
        if tests.is_empty() {
            return Self { n_blocks: 0, first_classes: Vec::new(), masks: Vec::new() };
        }
        let mut first_classes = Vec::with_capacity(layout.outcomes.len());
        let mut masks = vec![[0; 3]; Self::n_masks(layout, n_blocks)];
        let mut n_classes = 0;
        for (coded, outcomes) in layout.ranks.coded.iter().zip(&*layout.outcomes) {
            let of_feature = &mut masks[n_classes * n_blocks..][..coded.n_classes * n_blocks];
            first_classes.push(n_classes);
            n_classes += coded.n_classes;
            let words = outcomes.first_word..outcomes.first_word + outcomes.n_tests;
            let tests = tests.iter().filter(|test| words.contains(&usize::from(test.word)));
            let mut tests: Vec<_> = tests.copied().collect();
            tests.sort_unstable_by_key(|test| (test.block, test.tests, test.lane));
            // Lanes and the numbers of what they test, looked at for every eight classes.
            let lanes: Vec<_> =
                tests.iter().map(|test| (test.lane as u8, test.word - outcomes.first_word as u16)).collect();
            let mut places = 0..0;
            let together = tests.chunk_by(|a, b| (a.block, a.tests) == (b.block, b.tests)).map(|together| {
                places = places.end..places.end + together.len();
                (together[0].block, together[0].tests, places.clone())
            });
            let together: Vec<_> = together.collect();
            // A bit for each of eight classes, by test.
            let mut bits = vec![0u8; outcomes.n_tests];
            let eights = outcomes.by_class.chunks((8 * outcomes.n_tests).max(1));
            for (of_classes, masks) in eights.zip(of_feature.chunks_mut(8 * n_blocks)) {
                bits.fill(0);
                for (class, outcomes) in of_classes.chunks_exact(outcomes.n_tests).enumerate() {
                    bits.iter_mut().zip(outcomes).for_each(|(bits, outcome)| *bits |= outcome << class);
                }
                for (block, at, places) in &together {
                    let mut of_lanes = [0; TILES];
                    for &(lane, test) in &lanes[places.clone()] {
                        of_lanes[usize::from(lane)] = bits[usize::from(test)];
                    }
                    for (masks, mask) in masks.chunks_exact_mut(n_blocks).zip(by_class(&of_lanes)) {
                        masks[*block][*at] = mask;
                    }
                }
            }
        }
        Self { n_blocks, first_classes, masks }
    }

    /// Whether there are tests of categories.
    pub(crate) fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// The masks of all blocks for a class of a coded feature.
    #[inline(always)]
    pub(crate) fn of(&self, coded: usize, class: u16) -> &[Masks] {
        let class = self.first_classes[coded] + usize::from(class);
        &self.masks[class * self.n_blocks..][..self.n_blocks]
    }

    /// Bytes the arrays hold.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.masks) + size_of_val(&*self.first_classes)
    }
}

/// For each of eight classes the bits that the lanes have of it.
fn by_class(of_lanes: &[u8; TILES]) -> [u64; 8] {
    let (eights, _) = of_lanes.as_chunks();
    let mut turned: [u64; 8] = std::array::from_fn(|at| u64::from_le_bytes(eights[at]));
    // The bytes of eight lanes as a matrix of bits, turned over: halves of 1, 2 and 4 bits change places.
    for (shift, half) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0xf0f0_f0f0)] {
        for lanes in &mut turned {
            let differing = (*lanes ^ (*lanes >> shift)) & half;
            *lanes ^= differing ^ (differing << shift);
        }
    }
    // The same of all of them as a matrix of bytes.
    for (step, half) in [(1, 0x00ff_00ff_00ff_00ff), (2, 0x0000_ffff_0000_ffff), (4, 0xffff_ffff)] {
        for at in (0..8).filter(|at| at & step == 0) {
            let (upper, lower) = (turned[at], turned[at + step]);
            turned[at] = (upper & half) | ((lower & half) << (8 * step));
            turned[at + step] = ((upper >> (8 * step)) & half) | (lower & !half);
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_turned_into_masks_of_classes() {
        for (lane, class) in (0..TILES).flat_map(|lane| (0..8).map(move |class| (lane, class))) {
            let mut of_lanes = [0; TILES];
            of_lanes[lane] = 1 << class;
            let expected: [u64; 8] = std::array::from_fn(|at| u64::from(at == class) << lane);
            assert_eq!(by_class(&of_lanes), expected);
        }
    }
}

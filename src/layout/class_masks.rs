//! What tests of categories say of a row: for each class of a feature, which of the tests of a block send it right.

use super::row::RowLayout;

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
    /// Cost: for each test a look at all classes of its feature.
    pub(super) fn new<S>(layout: &RowLayout<S>, tests: &[CategoryTest], n_blocks: usize) -> Self {
        if tests.is_empty() {
            return Self { n_blocks: 0, first_classes: Vec::new(), masks: Vec::new() };
        }
        let mut first_classes = Vec::with_capacity(layout.outcomes.len());
        let mut masks = vec![[0; 3]; Self::n_masks(layout, n_blocks)];
        let mut classes = masks.chunks_exact_mut(n_blocks);
        let mut n_classes = 0;
        for (coded, outcomes) in layout.ranks.coded.iter().zip(&layout.outcomes) {
            first_classes.push(n_classes);
            n_classes += coded.n_classes;
            let words = outcomes.first_word..outcomes.first_word + outcomes.n_tests;
            let of_feature = tests.iter().filter(|test| words.contains(&usize::from(test.word)));
            let of_feature: Vec<_> = of_feature.collect();
            let by_class = outcomes.by_class.chunks_exact(outcomes.n_tests.max(1));
            for (masks, outcomes) in classes.by_ref().take(coded.n_classes).zip(by_class) {
                for &&CategoryTest { block, tests, lane, word } in &of_feature {
                    masks[block][tests] |= u64::from(outcomes[usize::from(word) - words.start]) << lane;
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

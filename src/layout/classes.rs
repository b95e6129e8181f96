//! Classes of categories: codes that no set of a model tells apart are one class, and class 0 is in no set.

use std::collections::HashMap;

use crate::ir::CategorySet;

/// A set, and whether NaN is in it.
pub(super) type SetAndNan<'a> = (&'a CategorySet, bool);

/// The classes of the codes of some sets.
pub(super) struct Classes {
    /// The class of every code that some set has, by ascending code.
    pub(super) of_codes: Vec<(u32, u16)>,
    /// The class of NaN.
    pub(super) nan: u16,
    /// Counted no further than [`MAX_CLASSES`].
    pub(super) n_classes: usize,
    words: Vec<Word>,
}

/// Classes beyond this are too many for 16 bits, the last of which marks the overflow.
pub(crate) const MAX_CLASSES: usize = u16::MAX as usize;

/// 32 codes, some of which are in some set.
struct Word {
    index: u32,
    /// The codes that some set has.
    bits: u32,
    /// The place of the first of these among all codes that some set has.
    first: usize,
    /// The first code of every class whose first code is here.
    firsts: u32,
    /// The class of the first of these; those of the others follow.
    class: u16,
}

impl Word {
    fn codes(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.bits.count_ones() as usize
    }
}

/// Sets that codes are parted by at once.
const BLOCK: usize = 64;

/// Codes, parted into those that have been in the same sets so far.
struct Parts {
    part_of: Vec<u32>,
    sizes: Vec<usize>,
    /// Parts with a code in them.
    filled: usize,
}

/// By code, in which of the sets of a block it is.
struct Masks {
    of_codes: Vec<u64>,
    /// By word, whether the block has been in it.
    met: Vec<bool>,
    met_words: Vec<usize>,
    /// Some of these words, with the bits that each set of the block has in it; few enough to stay near.
    rows: Vec<(usize, [u32; BLOCK])>,
    /// By word, its place among those, if it has one.
    row_of: Vec<u32>,
}

/// Words whose bits wait to be transposed.
const ROWS: usize = 128;

impl Masks {
    /// Of sets that have none of so many words and codes.
    fn new(n_words: usize, n_codes: usize) -> Self {
        let (met_words, rows) = (Vec::new(), Vec::new());
        Self { of_codes: vec![0; n_codes], met: vec![false; n_words], met_words, rows, row_of: vec![u32::MAX; n_words] }
    }

    /// Adds the bits that the set at a place of the block has in the word at `at`.
    fn add(&mut self, words: &[Word], at: usize, bits: u32, place: usize) {
        if self.row_of[at] == u32::MAX {
            if self.rows.len() == ROWS {
                self.transpose(words);
            }
            self.row_of[at] = self.rows.len() as u32;
            self.rows.push((at, [0; BLOCK]));
            if !std::mem::replace(&mut self.met[at], true) {
                self.met_words.push(at);
            }
        }
        self.rows[self.row_of[at] as usize].1[place] = bits;
    }

    /// Adds what waits to the masks.
    fn transpose(&mut self, words: &[Word]) {
        for (at, rows) in self.rows.drain(..) {
            self.row_of[at] = u32::MAX;
            let word = &words[at];
            let by_bit = transposed(rows);
            for (mask, bit) in self.of_codes[word.codes()].iter_mut().zip(ones(word.bits)) {
                *mask |= by_bit[bit as usize];
            }
        }
    }

    /// Forgets the sets, but for whether they have NaN.
    fn clear(&mut self, words: &[Word]) {
        for at in self.met_words.drain(..) {
            self.met[at] = false;
            self.of_codes[words[at].codes()].fill(0);
        }
    }
}

/// Bit by bit, in which rows it is set.
fn transposed(rows: [u32; BLOCK]) -> [u64; 32] {
    let mut halves: [[u32; 32]; 2] = bytemuck::cast(rows);
    for half in &mut halves {
        // Quarters of a square change places, then those of its quarters (Warren, "Hacker's Delight", 7-3).
        let (mut width, mut mask) = (16, 0x0000_ffff);
        while width > 0 {
            for at in (0..32).filter(|at| at & width == 0) {
                let swapped = (half[at] >> width ^ half[at + width]) & mask;
                half[at] ^= swapped << width;
                half[at + width] ^= swapped;
            }
            width /= 2;
            mask ^= mask << width;
        }
    }
    std::array::from_fn(|bit| u64::from(halves[0][bit]) | u64::from(halves[1][bit]) << 32)
}

impl Classes {
    /// Cost: a look at the words of each set, until all codes are told apart.
    pub(super) fn of(sets: &[SetAndNan<'_>]) -> Self {
        let words = union(sets);
        let n_codes = words.last().map_or(0, |word| word.codes().end);
        // NaN takes part behind the last code, if some set has it: whatever takes part is in some set.
        let some_nan = usize::from(sets.iter().any(|set| set.1));
        let mut parts = Parts::new(n_codes + some_nan);
        let mut masks = Masks::new(words.len(), n_codes + some_nan);
        for block in sets.chunks(BLOCK) {
            if parts.filled == n_codes + some_nan {
                break;
            }
            for (place, &(set, nan)) in block.iter().enumerate() {
                for &[index, bits] in set.words() {
                    masks.add(&words, position(&words, index), bits, place);
                }
                masks.of_codes[n_codes..].iter_mut().for_each(|mask| *mask |= u64::from(nan) << place);
            }
            masks.transpose(&words);
            let codes = masks.met_words.iter().flat_map(|&at| words[at].codes());
            parts.part(codes.chain(n_codes..n_codes + some_nan), &masks.of_codes);
            masks.clear(&words);
            masks.of_codes[n_codes..].fill(0);
        }
        Self::numbered(words, &parts, n_codes, some_nan == 1)
    }

    /// Numbers parts as classes in the order of their codes.
    fn numbered(mut words: Vec<Word>, parts: &Parts, n_codes: usize, some_nan: bool) -> Self {
        let mut numbers = vec![0; parts.sizes.len()];
        let mut n_classes = 1;
        let mut number = |code: usize| {
            let class: &mut u16 = &mut numbers[parts.part_of[code] as usize];
            let is_new = *class == 0;
            if is_new {
                *class = n_classes as u16;
                n_classes = (n_classes + 1).min(MAX_CLASSES);
            }
            (*class, is_new)
        };
        let mut of_codes = Vec::with_capacity(n_codes);
        for word in &mut words {
            for bit in ones(word.bits) {
                let (class, is_new) = number(of_codes.len());
                if is_new {
                    word.class = if word.firsts == 0 { class } else { word.class };
                    word.firsts |= 1 << bit;
                }
                of_codes.push((word.index * 32 + bit, class));
            }
        }
        let nan = if some_nan { number(n_codes).0 } else { 0 };
        Self { of_codes, nan, n_classes, words }
    }

    /// Marks the classes that one of the sets has, in 256 bits for each segment.
    pub(super) fn mark(&self, (set, nan): SetAndNan<'_>, segments: &mut [[u8; 32]]) {
        let bits = segments.as_flattened_mut();
        for &[index, codes] in set.words() {
            let word = &self.words[position(&self.words, index)];
            // Codes next to each other are of classes next to each other.
            let (mut class, mut firsts) = (usize::from(word.class), word.firsts);
            while firsts != 0 {
                let (skipped, run) = (firsts.trailing_zeros(), (firsts >> firsts.trailing_zeros()).trailing_ones());
                let of_run = u64::from(codes >> skipped) & ((1 << run) - 1);
                add_bits(bits, class, of_run);
                class += run as usize;
                firsts &= !((((1u64 << run) - 1) << skipped) as u32);
            }
        }
        add_bits(bits, self.nan.into(), nan.into());
    }
}

/// Adds 32 bits from bit `first` on, of which those beyond the end are 0.
fn add_bits(bits: &mut [u8], first: usize, added: u64) {
    let (bits, added) = (&mut bits[first >> 3..], added << (first & 7));
    match bits.first_chunk_mut() {
        Some(eight) => *eight = (u64::from_le_bytes(*eight) | added).to_le_bytes(),
        None => bits.iter_mut().zip(added.to_le_bytes()).for_each(|(bits, added)| *bits |= added),
    }
}

impl Parts {
    /// All in one part.
    fn new(n_codes: usize) -> Self {
        Self { part_of: vec![0; n_codes], sizes: vec![n_codes], filled: usize::from(n_codes > 0) }
    }

    /// Parts `codes` by their masks from each other and, unless that is 0, from the codes that are not listed.
    fn part(&mut self, codes: impl Iterator<Item = usize>, masks: &[u64]) {
        let mut new: HashMap<(u32, u64), u32> = HashMap::new();
        for code in codes.filter(|&code| masks[code] != 0) {
            let part = &mut self.part_of[code];
            let next = self.sizes.len() as u32;
            let to = *new.entry((*part, masks[code])).or_insert(next);
            if to == next {
                self.sizes.push(0);
                self.filled += 1;
            }
            self.sizes[*part as usize] -= 1;
            self.filled -= usize::from(self.sizes[*part as usize] == 0);
            self.sizes[to as usize] += 1;
            *part = to;
        }
    }
}

/// The words of all sets together.
fn union(sets: &[SetAndNan<'_>]) -> Vec<Word> {
    let mut words: Vec<[u32; 2]> = sets.iter().flat_map(|set| set.0.words()).copied().collect();
    words.sort_unstable_by_key(|word| word[0]);
    words.dedup_by(|word, kept| {
        let same = word[0] == kept[0];
        kept[1] |= if same { word[1] } else { 0 };
        same
    });
    let mut first = 0;
    let word = |[index, bits]: [u32; 2]| {
        let word = Word { index, bits, first, firsts: 0, class: 0 };
        first = word.codes().end;
        word
    };
    words.into_iter().map(word).collect()
}

/// Where the word of that index is.
fn position(words: &[Word], index: u32) -> usize {
    match words.get(index as usize) {
        // Codes as dense as most are.
        Some(word) if word.index == index => index as usize,
        _ => words.binary_search_by_key(&index, |word| word.index).expect("the union has every word"),
    }
}

/// The places of the ones of a word, ascending.
fn ones(mut bits: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let next = (bits != 0).then(|| bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        next
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_share_a_class_just_if_they_are_in_the_same_sets() {
        // More sets than a block, codes far apart, one code that is told from another by the last set alone.
        let codes = |number: u32| -> Vec<u32> {
            let scattered = (0..90).filter(|code| (code * 7 + number * code / 3).is_multiple_of(number + 2));
            scattered.chain([1_000_000, 2_000_000]).chain((number == 150).then_some(3)).collect()
        };
        let sets: Vec<CategorySet> = (0..151).map(|number| CategorySet::from_codes(&codes(number))).collect();
        for nan in [|_| false, |set| set % 3 == 1] {
            let sets: Vec<SetAndNan<'_>> = sets.iter().enumerate().map(|(at, set)| (set, nan(at))).collect();
            let classes = Classes::of(&sets);
            let held = |code: u32| sets.iter().map(|set| set.0.contains(code)).collect::<Vec<_>>();
            let mut class_of = HashMap::from([(vec![false; sets.len()], 0)]);
            for code in (0..100).chain([1_000_000, 2_000_000]) {
                let found = classes.of_codes.iter().find(|of| of.0 == code).map_or(0, |of| of.1);
                assert_eq!(*class_of.entry(held(code)).or_insert(found), found, "code {code}");
            }
            let nan = sets.iter().map(|set| set.1).collect::<Vec<_>>();
            assert_eq!(*class_of.entry(nan).or_insert(classes.nan), classes.nan);
            assert_eq!(class_of.len(), classes.n_classes, "different codes share no class");
            for &set in &sets {
                let mut left = vec![[0; 32]; classes.n_classes.div_ceil(256)];
                classes.mark(set, &mut left);
                let goes_left =
                    |class: u16| left[usize::from(class >> 8)][usize::from(class >> 3 & 31)] >> (class & 7) & 1;
                assert!(
                    classes.of_codes.iter().all(|&(code, class)| goes_left(class) == u8::from(set.0.contains(code)))
                );
                assert_eq!((goes_left(classes.nan) == 1, goes_left(0)), (set.1, 0));
            }
        }
    }
}

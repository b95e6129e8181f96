//! Trees for single rows that are not ranked: the nodes of a [`RowLayout`] with cuts in the place of ranks.
//!
//! What a row's values are compared with are words still, each a value now: of a *plane*, which is the whole row with
//! its missing values replaced by what goes the right way, and behind the planes the outcomes of category tests. A
//! plane takes a pass over the row; ranking would take a search for every feature.

use super::circuit::Refusal;
use super::row::{RowLayout, RowNode, WORD_SEGMENT, Word};
use crate::ir::Missing;
use crate::ir::real::Real;

/// Trees of more nodes than this are far from the processor either way.
const MAX_NODES: usize = 1 << 17;

/// How a row becomes words.
#[derive(Debug)]
pub(crate) struct Planes {
    /// Values of a row.
    n_features: usize,
    /// What becomes of the missing values of each plane.
    pub(crate) missing: Vec<Missing>,
    /// Words of a row: its planes, then the outcomes of category tests.
    pub(crate) n_words: usize,
}

/// The trees of a [`RowLayout`], as the values of a row walk them.
#[derive(Debug)]
pub(crate) struct ValueLayout<T> {
    pub(crate) planes: Planes,
    /// In the order of the nodes of the ranked layout.
    pub(crate) nodes: Vec<ValueNode<T>>,
}

/// A split: right if the word is greater than the cut. From a leaf nothing goes anywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct ValueNode<T> {
    cut: T,
    word: u16,
    /// How far behind the node its left child is.
    to_left: u16,
}

impl Planes {
    /// Of rows of `n_features` values, for the trees of `layout`.
    ///
    /// Cost: a look at every feature.
    pub(crate) fn new<S: Real>(layout: &RowLayout<S>, n_features: usize) -> Result<Self, Refusal> {
        if layout.nodes.len() > MAX_NODES {
            return Err(Refusal::Nodes);
        }
        let mut missing: Vec<Missing> = Vec::new();
        for word in &layout.words {
            let goes_right = matches!(word.missing, Missing::Right | Missing::ZeroRight);
            if goes_right && layout.ranks.greatest_cut(&layout.ranks.numeric[word.numeric as usize]) == f64::INFINITY {
                // Nothing is greater, to stand for a missing value.
                return Err(Refusal::SplitKind);
            }
            if !missing.contains(&word.missing) {
                missing.push(word.missing);
            }
        }
        let n_words = missing.len().saturating_mul(n_features).saturating_add(layout.n_outcomes());
        match n_words <= usize::from(u16::MAX) {
            true => Ok(Self { n_features, missing, n_words }),
            false => Err(Refusal::Columns),
        }
    }

    /// Where the outcome of the first category test is.
    pub(crate) fn first_outcome(&self) -> usize {
        self.missing.len() * self.n_features
    }
}

impl<T: Real> ValueLayout<T> {
    /// Of the trees of `layout`.
    ///
    /// Cost: a pass over the nodes.
    pub(crate) fn new<S: Real>(layout: &RowLayout<S>, planes: Planes) -> Result<Self, Refusal> {
        // An outcome of 1 is greater than this.
        let mut cuts = vec![T::ZERO];
        let mut of_features = Vec::with_capacity(layout.ranks.numeric.len());
        for feature in &layout.ranks.numeric {
            let first = cuts.len();
            cuts.extend(layout.ranks.cuts(feature).into_iter().map(T::from_f64));
            of_features.push((feature.feature as usize, first, cuts.len() - first));
        }
        // Where the cuts of a word are, how many, and which value of the planes it is.
        let of_word = |word: &Word| {
            let (feature, first, n_cuts) = of_features[word.numeric as usize];
            let before = (word.segment as usize * WORD_SEGMENT).min(n_cuts);
            let plane = planes.missing.iter().position(|&missing| missing == word.missing);
            let place = plane.expect("all are known") * planes.n_features + feature;
            (first + before, n_cuts - before, place as u16)
        };
        let mut of_words: Vec<_> = layout.words.iter().map(of_word).collect();
        let first_outcome = planes.first_outcome();
        of_words.extend((0..layout.n_outcomes()).map(|outcome| (0, 1, (first_outcome + outcome) as u16)));
        let (mut farthest, mut sound) = (0, true);
        let mut nodes = Vec::with_capacity(layout.nodes.len());
        nodes.extend(layout.nodes.iter().enumerate().map(|(at, &RowNode { left, word, cut })| {
            let (to_left, cut) = (left as usize - at, usize::from(cut));
            farthest |= to_left;
            let is_leaf = to_left == 0;
            let (first, n_cuts, word) = of_words.get(usize::from(word)).copied().unwrap_or_default();
            // Of a compiled model a cut may be any.
            sound &= is_leaf | (cut < n_cuts);
            let of_split = cuts.get(first + cut).copied().unwrap_or(T::INFINITY);
            let (cut, word) = if is_leaf { (T::INFINITY, 0) } else { (of_split, word) };
            ValueNode { cut, word, to_left: to_left as u16 }
        }));
        match (sound, farthest <= usize::from(u16::MAX)) {
            (true, true) => Ok(Self { planes, nodes }),
            (true, false) => Err(Refusal::Nodes),
            (false, _) => Err(Refusal::SplitKind),
        }
    }

    /// Bytes the arrays hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.nodes)
    }
}

impl<T: Real> ValueNode<T> {
    /// The node after this one, which is number `at`, for a row whose words `word` gives.
    #[inline(always)]
    pub(crate) fn next(&self, at: u32, word: impl Fn(usize) -> T) -> u32 {
        at + u32::from(self.to_left) + u32::from(word(usize::from(self.word)) > self.cut)
    }
}

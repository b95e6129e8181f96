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

    /// Whether the words are the row as it is.
    pub(crate) fn are_the_row(&self) -> bool {
        matches!(self.missing[..], [Missing::Left]) && self.n_words == self.n_features
    }
}

impl<T: Real> ValueLayout<T> {
    /// Of the trees of `layout`.
    ///
    /// Cost: a pass over the nodes.
    pub(crate) fn new<S: Real>(layout: &RowLayout<S>, planes: Planes) -> Result<Self, Refusal> {
        let cuts: Vec<Vec<f64>> = layout.ranks.numeric.iter().map(|feature| layout.ranks.cuts(feature)).collect();
        let places: Vec<usize> = layout
            .words
            .iter()
            .map(|word| {
                let plane = planes.missing.iter().position(|&missing| missing == word.missing);
                let feature = layout.ranks.numeric[word.numeric as usize].feature;
                plane.expect("all are known") * planes.n_features + feature as usize
            })
            .collect();
        let node = |(at, &RowNode { left, word, cut }): (usize, &RowNode)| {
            let to_left = u16::try_from(left as usize - at).map_err(|_| Refusal::Nodes)?;
            let word = usize::from(word);
            let (cut, word) = match layout.words.get(word) {
                _ if to_left == 0 => (T::INFINITY, 0),
                Some(&Word { numeric, segment, .. }) => {
                    let rank = segment as usize * WORD_SEGMENT + usize::from(cut);
                    // Of a compiled model a cut may be any.
                    let cut = *cuts[numeric as usize].get(rank).ok_or(Refusal::SplitKind)?;
                    (T::from_f64(cut), places[word])
                }
                None => (T::ZERO, planes.first_outcome() + word - layout.words.len()),
            };
            Ok(ValueNode { cut, word: word as u16, to_left })
        };
        let nodes = layout.nodes.iter().enumerate().map(node).collect::<Result<_, _>>()?;
        Ok(Self { planes, nodes })
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

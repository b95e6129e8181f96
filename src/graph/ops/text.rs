//! Operators on text: case and stop words, tokens, counts of n-grams. After ONNX Runtime's `string_normalizer.cc`,
//! `tokenizer.cc` and `tfidfvectorizer.cc`.

use std::collections::{HashMap, HashSet};

use super::keys::Keys;
use super::pattern::{Pattern, Threads};
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Tensor, checked_total};
use crate::strings::Strings;

/// Working memory of operators on text.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextScratch {
    threads: Threads,
    /// Where tokens begin and end, and how many there are in each string.
    tokens: Vec<(usize, usize)>,
    pieces: Vec<(usize, usize)>,
    counts: Vec<usize>,
    words: Vec<Option<usize>>,
    folded: Strings,
}

/// What becomes of upper and lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Keep,
    Lower,
    Upper,
}

impl Case {
    /// One character for one, as C's `towlower` and `towupper` have it in a locale of UTF-8; `ascii` is the C locale.
    fn of(self, c: char, ascii: bool) -> char {
        match self {
            Self::Keep => c,
            Self::Lower if ascii => c.to_ascii_lowercase(),
            Self::Upper if ascii => c.to_ascii_uppercase(),
            // The one character that has two lower-case ones begins with the right one.
            Self::Lower => c.to_lowercase().next().unwrap_or(c),
            Self::Upper => {
                let mut upper = c.to_uppercase();
                upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
            }
        }
    }
}

/// `StringNormalizer`: changes the case, and drops stop words from a list of strings.
#[derive(Clone, Debug)]
pub(crate) struct StringNormalizer {
    pub(crate) case: Case,
    /// Whether case counts where stop words are looked for.
    pub(crate) case_sensitive: bool,
    /// Whether only the letters of ASCII have cases.
    pub(crate) ascii: bool,
    stop_words: HashSet<Box<str>>,
}

impl StringNormalizer {
    pub(crate) fn new(case: Case, case_sensitive: bool, ascii: bool, stop_words: &Strings) -> Self {
        let bare = Self { case, case_sensitive, ascii, stop_words: HashSet::new() };
        let stop_words = match case_sensitive {
            true => stop_words.iter().map(Box::from).collect(),
            false => stop_words.iter().map(|word| bare.folded(word).collect::<String>().into_boxed_str()).collect(),
        };
        Self { stop_words, ..bare }
    }

    /// The word in the case in which stop words are compared if case does not count.
    fn folded(&self, word: &str) -> impl Iterator<Item = char> {
        let (case, ascii) = (if self.case == Case::Upper { Case::Upper } else { Case::Lower }, self.ascii);
        word.chars().map(move |c| case.of(c, ascii))
    }

    pub(super) fn run(&self, x: &Tensor, out: &mut Tensor, scratch: &mut TextScratch) -> Result<()> {
        let Data::Text(words) = &x.data else { return Err(no_text(x)) };
        if !matches!(*x.shape, [_] | [1, _]) || words.is_empty() {
            return Err(Error::shape(format!("strings of shape {:?} where a list is expected", x.shape)));
        }
        let kept = out.start_text(&x.shape)?;
        for word in words.iter() {
            let is_stop = !self.stop_words.is_empty() && {
                scratch.folded.clear();
                match self.case_sensitive {
                    true => scratch.folded.push(word),
                    false => scratch.folded.push_chars(self.folded(word)),
                }
                scratch.folded.get(0).is_some_and(|folded| self.stop_words.contains(folded))
            };
            if !is_stop {
                kept.push_chars(word.chars().map(|c| self.case.of(c, self.ascii)));
            }
        }
        if kept.is_empty() {
            kept.push("");
        }
        let n_kept = kept.len();
        if let Some(last) = out.shape.last_mut() {
            *last = n_kept;
        }
        Ok(())
    }
}

fn no_text(x: &Tensor) -> Error {
    Error::unsupported(format!("{} where text is expected", x.ty().name()))
}

/// `MurmurHash3`: of each string its hash of 32 bits, as a number with a sign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MurmurHash3 {
    pub(crate) seed: u32,
}

impl MurmurHash3 {
    pub(super) fn run(self, x: &Tensor, out: &mut Tensor) -> Result<()> {
        let Data::Text(strings) = &x.data else { return Err(no_text(x)) };
        out.start::<i32>(&x.shape)?.extend(strings.iter().map(|string| self.hash(string.as_bytes()) as i32));
        Ok(())
    }

    /// A. Appleby's `MurmurHash3_x86_32`.
    fn hash(self, bytes: &[u8]) -> u32 {
        let mixed = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        let (blocks, rest) = bytes.as_chunks::<4>();
        let mut hash = blocks.iter().fold(self.seed, |hash, &block| {
            (hash ^ mixed(u32::from_le_bytes(block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
        });
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash ^= mixed(u32::from_le_bytes(last)) ^ bytes.len() as u32;
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
        hash ^ hash >> 16
    }
}

/// How text falls into tokens.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    /// Each character is one.
    Characters,
    /// What matches is one.
    Matching(Pattern),
    /// What lies between matches of the first is one; those are parted further by the others, in order.
    Between(Vec<Pattern>),
}

/// `Tokenizer`: one more dimension, as long as the string of most tokens has; the others are filled up.
#[derive(Clone, Debug)]
pub(crate) struct Tokenizer {
    pub(crate) tokens: Tokens,
    /// Characters that a token has at least.
    pub(crate) least: usize,
    pub(crate) filler: String,
}

impl Tokenizer {
    pub(super) fn run(&self, x: &Tensor, out: &mut Tensor, scratch: &mut TextScratch) -> Result<()> {
        let Data::Text(strings) = &x.data else { return Err(no_text(x)) };
        if !matches!(*x.shape, [_] | [_, _]) {
            return Err(Error::shape(format!("strings of shape {:?} where rows are expected", x.shape)));
        }
        scratch.tokens.clear();
        scratch.counts.clear();
        for text in strings.iter() {
            let before = scratch.tokens.len();
            self.split(text, scratch);
            scratch.counts.push(scratch.tokens.len() - before);
        }
        let most = scratch.counts.iter().copied().max().unwrap_or(0);
        let mut shape = [most; 3];
        shape[..x.rank()].copy_from_slice(&x.shape);
        let shape = &shape[..=x.rank()];
        checked_total(shape)?;
        let out = out.start_text(shape)?;
        let mut tokens = scratch.tokens.iter();
        for (text, &count) in strings.iter().zip(&scratch.counts) {
            tokens.by_ref().take(count).for_each(|&(start, end)| out.push(&text[start..end]));
            (count..most).for_each(|_| out.push(&self.filler));
        }
        Ok(())
    }

    /// Adds the tokens of a string.
    fn split(&self, text: &str, scratch: &mut TextScratch) {
        let TextScratch { threads, tokens, pieces, .. } = scratch;
        let is_token = |start: usize, end: usize| text[start..end].chars().take(self.least).count() >= self.least;
        match &self.tokens {
            Tokens::Characters => {
                tokens.extend(text.char_indices().map(|(at, c)| (at, at + c.len_utf8())));
            }
            Tokens::Matching(pattern) => {
                let mut from = 0;
                while let Some((start, end)) = pattern.find(text, from, threads) {
                    if end > start && is_token(start, end) {
                        tokens.push((start, end));
                    }
                    // Past a match of nothing by one character.
                    let next = if end > start { end } else { past(text, end) };
                    if next >= text.len() {
                        break;
                    }
                    from = next;
                }
            }
            Tokens::Between(patterns) => {
                let first = tokens.len();
                tokens.push((0, text.len()));
                for pattern in patterns {
                    pieces.clear();
                    pieces.extend(tokens.drain(first..));
                    for &(start, end) in pieces.iter() {
                        between(pattern, &text[start..end], threads, |a, b| {
                            if is_token(start + a, start + b) {
                                tokens.push((start + a, start + b));
                            }
                        });
                    }
                }
            }
        }
    }
}

/// The place behind the character at `at`.
fn past(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

/// Hands over what lies between matches.
fn between(pattern: &Pattern, text: &str, threads: &mut Threads, mut piece: impl FnMut(usize, usize)) {
    let mut from = 0;
    while from <= text.len() {
        let Some((start, end)) = pattern.find(text, from, threads) else {
            return piece(from, text.len());
        };
        piece(from, start);
        from = if end > start { end } else { past(text, end) };
    }
}

/// What a count of an n-gram becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weighting {
    Count,
    /// 1, or its weight, if there are any.
    Presence,
    /// The count times its weight.
    Weighted,
}

/// `TfIdfVectorizer`: how often each n-gram of a list is in a row.
#[derive(Clone, Debug)]
pub(crate) struct NgramCounter {
    words: Keys,
    /// By node and word the next node of a tree of n-grams; node 0 is the root.
    next: HashMap<(u32, u32), u32>,
    /// For every node the column that counts its n-gram, if one ends there.
    columns: Vec<Option<u32>>,
    /// For every column its weight; none at all are ones.
    weights: Vec<f32>,
    /// Words of the n-grams that are counted.
    lengths: (usize, usize),
    /// Words that may be left out between two of an n-gram.
    max_skip: usize,
    width: usize,
    weighting: Weighting,
}

impl NgramCounter {
    /// For n-grams of so many words, least and most, with up to `max_skip` left out between two; none are counted yet.
    pub(crate) fn new(words: &Tensor, lengths: (usize, usize), max_skip: usize, weighting: Weighting) -> Result<Self> {
        Ok(Self {
            words: Keys::new(words, false)?,
            next: HashMap::new(),
            columns: vec![None],
            weights: Vec::new(),
            lengths,
            max_skip,
            width: 0,
            weighting,
        })
    }

    /// Gives an n-gram a column with a weight; it is counted there if its length is one of those that are.
    ///
    /// # Errors
    /// When the n-gram is counted already, or the column with another weight.
    pub(crate) fn count(&mut self, ngram: &Tensor, column: u32, weight: Option<f32>) -> Result<()> {
        self.width = self.width.max(column as usize + 1);
        if !(self.lengths.0..=self.lengths.1).contains(&ngram.len()) {
            return Ok(());
        }
        let mut node = 0;
        let mut words = Vec::new();
        self.words.find(ngram, |word| words.push(word))?;
        for word in words {
            let word = word.and_then(|word| u32::try_from(word).ok());
            let word = word.ok_or_else(|| Error::invalid_model("an n-gram of words that are not listed"))?;
            let new = self.columns.len() as u32;
            node = *self.next.entry((node, word)).or_insert(new);
            if node == new {
                self.columns.push(None);
            }
        }
        if self.columns[node as usize].replace(column).is_some() {
            return Err(Error::invalid_model("an n-gram listed twice"));
        }
        if let Some(weight) = weight {
            self.weights.resize(self.width.max(self.weights.len()), 0.0);
            let known = std::mem::replace(&mut self.weights[column as usize], weight);
            if known != 0.0 && known != weight {
                return Err(Error::unsupported("two n-grams of other weights in one column"));
            }
        }
        Ok(())
    }

    pub(super) fn run(&self, x: &Tensor, out: &mut Tensor, scratch: &mut TextScratch) -> Result<()> {
        let (rows, size) = match *x.shape {
            [size] => (1, size),
            [rows, size] => (rows, size),
            _ => return Err(Error::shape(format!("words of shape {:?} where rows are expected", x.shape))),
        };
        let words = &mut scratch.words;
        words.clear();
        self.words.find(x, |word| words.push(word))?;
        let shape = [rows, self.width];
        checked_total(&shape)?;
        let counts = out.fill::<f32>(if x.rank() == 1 { &shape[1..] } else { &shape }, 0.0)?;
        for (row, counts) in counts.chunks_exact_mut(self.width.max(1)).enumerate() {
            self.count_row(&words[row * size..][..size], counts);
            let weights = self.weights.iter().copied().chain(std::iter::repeat(1.0));
            match self.weighting {
                Weighting::Count => {}
                Weighting::Presence => counts.iter_mut().zip(weights).for_each(|(count, weight)| {
                    *count = if *count > 0.0 { weight } else { 0.0 };
                }),
                Weighting::Weighted => counts.iter_mut().zip(weights).for_each(|(count, weight)| *count *= weight),
            }
        }
        Ok(())
    }

    fn count_row(&self, words: &[Option<usize>], counts: &mut [f32]) {
        let (mut least, most) = self.lengths;
        for distance in 1..=self.max_skip + 1 {
            for start in 0..words.len() {
                let (mut node, mut at) = (0, start);
                for length in 1..=most {
                    let word = words.get(at).copied().flatten();
                    let Some(&next) = word.and_then(|word| self.next.get(&(node, word as u32))) else { break };
                    if length >= least
                        && let Some(column) = self.columns[next as usize]
                    {
                        counts[column as usize] += 1.0;
                    }
                    (node, at) = (next, at.saturating_add(distance));
                }
            }
            // Single words are the same at any distance.
            if least == 1 {
                least = 2;
            }
            if least > most {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Tensor {
        Tensor::text(words.iter().collect())
    }

    #[test]
    fn hashes_are_those_of_the_algorithm() {
        let hash = |seed, bytes: &str| MurmurHash3 { seed }.hash(bytes.as_bytes());
        assert_eq!((hash(0, ""), hash(1, "")), (0, 0x514e_28b7));
        assert_eq!((hash(0, "test"), hash(0x9747_b28c, "test")), (0xba6b_d213, 0x704b_81dc));
        assert_eq!(hash(0x9747_b28c, "Hello, world!"), 0x2488_4cba);
        assert_eq!(hash(0x9747_b28c, "aaa"), 0x283e_0130);
    }

    #[test]
    fn case_changes_by_character_and_stop_words_go() {
        let (mut out, mut scratch) = (Tensor::default(), TextScratch::default());
        let mut run = |normalizer: &StringNormalizer, words: &[&str]| {
            normalizer.run(&list(words), &mut out, &mut scratch).unwrap();
            out.clone()
        };
        let none = Strings::default();
        let words = ["ÉaBß", "İIı", "ﬁ Σ"];
        assert_eq!(run(&StringNormalizer::new(Case::Lower, false, true, &none), &words), list(&["Éabß", "İiı", "ﬁ Σ"]));
        assert_eq!(
            run(&StringNormalizer::new(Case::Lower, false, false, &none), &words),
            list(&["éabß", "iiı", "ﬁ σ"])
        );
        assert_eq!(
            run(&StringNormalizer::new(Case::Upper, false, false, &none), &words),
            list(&["ÉABß", "İII", "ﬁ Σ"])
        );
        let stop: Strings = ["abc"].into_iter().collect();
        let normalizer = StringNormalizer::new(Case::Keep, false, true, &stop);
        assert_eq!(run(&normalizer, &["aBc", "ABC", "Abcd"]), list(&["Abcd"]));
        assert_eq!(run(&normalizer, &["aBc"]), list(&[""]));
        assert_eq!(run(&StringNormalizer::new(Case::Upper, true, true, &stop), &["aBc", "abc"]), list(&["ABC"]));
    }

    #[test]
    fn text_falls_into_tokens_and_rows_are_filled_up() {
        let (mut out, mut scratch) = (Tensor::default(), TextScratch::default());
        let mut run = |tokens: Tokens, least: usize| {
            let tokenizer = Tokenizer { tokens, least, filler: "#".to_owned() };
            tokenizer.run(&list(&["ab cd  é,e", "", "a-b--c"]), &mut out, &mut scratch).unwrap();
            let Data::Text(words) = &out.data else { unreachable!("tokens are text") };
            (out.shape[1], words.iter().map(str::to_owned).collect::<Vec<_>>().join("|"))
        };
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        assert_eq!(run(Tokens::Matching(pattern("[a-z]+")), 1), (3, "ab|cd|e|#|#|#|a|b|c".to_owned()));
        assert_eq!(run(Tokens::Matching(pattern("[a-z]+")), 2), (2, "ab|cd|#|#|#|#".to_owned()));
        assert_eq!(run(Tokens::Between(vec![pattern(" "), pattern("-")]), 1), (3, "ab|cd|é,e|#|#|#|a|b|c".to_owned()));
        assert_eq!(run(Tokens::Matching(pattern("x*")), 1), (0, String::new()));
        assert_eq!(run(Tokens::Characters, 1).0, 10);
    }

    #[test]
    fn ngrams_are_counted_as_onnx_runtime_counts_them() {
        let (mut out, mut scratch) = (Tensor::default(), TextScratch::default());
        let x = list(&["a", "b", "b", "c", "a", "b"]);
        let mut run = |lengths, max_skip, weighting, weights: bool| {
            let mut counter = NgramCounter::new(&list(&["a", "b", "c"]), lengths, max_skip, weighting).unwrap();
            for (at, (ngram, column)) in
                [(&["a"][..], 2), (&["b"], 0), (&["c"], 3), (&["a", "b"], 1), (&["b", "b"], 4)].into_iter().enumerate()
            {
                counter.count(&list(ngram), column, weights.then_some(at as f32 + 1.0)).unwrap();
            }
            counter.run(&x, &mut out, &mut scratch).unwrap();
            out.values::<f32>().unwrap().to_vec()
        };
        assert_eq!(run((1, 2), 0, Weighting::Count, false), [3.0, 2.0, 2.0, 1.0, 1.0]);
        assert_eq!(run((1, 2), 0, Weighting::Weighted, true), [6.0, 8.0, 2.0, 3.0, 5.0]);
        assert_eq!(run((1, 2), 0, Weighting::Presence, true), [2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(run((2, 2), 0, Weighting::Count, false), [0.0, 2.0, 0.0, 0.0, 1.0]);
        assert_eq!(run((1, 2), 1, Weighting::Count, false), [3.0, 3.0, 2.0, 1.0, 1.0]);
        assert_eq!(run((2, 2), 2, Weighting::Count, false), [0.0, 3.0, 0.0, 0.0, 2.0]);
        assert_eq!(run((1, 1), 0, Weighting::Count, false), [3.0, 0.0, 2.0, 1.0, 0.0]);
    }
}

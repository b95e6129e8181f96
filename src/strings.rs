//! A column of strings in one piece of memory, so that it can be refilled without allocating.

use std::fmt;
use std::ops::Range;

/// Strings, one after another in one buffer.
///
/// ```
/// let cities: sawmill::Strings = ["Oslo", "Rome"].into_iter().collect();
/// assert_eq!((cities.len(), cities.get(1)), (2, Some("Rome")));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each string ends in `text`.
    ends: Vec<usize>,
}

impl Strings {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[start..end])
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone + '_ {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// Adds a string.
    pub fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(self.text.len());
    }

    /// Adds those of `from` in `range`, which it has.
    pub(crate) fn extend_from(&mut self, from: &Self, range: Range<usize>) {
        let end_of = |index: usize| index.checked_sub(1).map_or(0, |before| from.ends[before]);
        let (start, end, to) = (end_of(range.start), end_of(range.end), self.text.len());
        self.text.push_str(&from.text[start..end]);
        self.ends.extend(from.ends[range].iter().map(|end| end - start + to));
    }

    /// Adds a string of these characters.
    pub(crate) fn push_chars(&mut self, chars: impl Iterator<Item = char>) {
        self.text.extend(chars);
        self.ends.push(self.text.len());
    }

    /// Adds what `value` displays as.
    pub(crate) fn push_display(&mut self, value: impl fmt::Display) {
        use fmt::Write as _;
        write!(self.text, "{value}").expect("writing to a string does not fail");
        self.ends.push(self.text.len());
    }

    /// Puts the strings `range` of `from` in the place of those from `at` on. Cost: all strings are written again.
    pub(crate) fn replace(&mut self, at: usize, from: &Self, range: Range<usize>) {
        let n_before = at.min(self.len());
        let before = self.iter().take(n_before);
        let after = self.iter().skip(at + range.len());
        let between = from.iter().skip(range.start).take(range.len());
        *self = before.chain(between).chain(after).collect();
    }

    /// Overwrites the text with zeros if asked, removes all strings, and returns the bytes of memory that are kept.
    pub(crate) fn wipe(&mut self, zero: bool) -> usize {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        if zero {
            bytes.fill(0);
            // The compiler may not drop writes to memory that something else might read.
            std::hint::black_box(&mut bytes);
        }
        bytes.clear();
        self.text = String::from_utf8(bytes).unwrap_or_default();
        self.ends.clear();
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// Bytes of the strings and of their places.
    pub(crate) fn n_bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<usize>()
    }

    /// Removes all strings and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut all = Self::default();
        all.extend(strings);
        all
    }
}

impl<S: AsRef<str>> Extend<S> for Strings {
    fn extend<I: IntoIterator<Item = S>>(&mut self, strings: I) {
        strings.into_iter().for_each(|string| self.push(string.as_ref()));
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_went_in() {
        let mut strings: Strings = ["a", "", "bc"].into_iter().collect();
        strings.push_display(1.5);
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", "", "bc", "1.5"]);
        assert_eq!((strings.len(), strings.get(4)), (4, None));
        strings.clear();
        assert!(strings.is_empty());
    }
}

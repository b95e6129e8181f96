//! Finding values in a list.

use std::hash::{BuildHasher, RandomState};

use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Tensor};
use crate::strings::Strings;

/// The keys of a list. Of equal keys the first counts; −0.0 equals 0.0.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    Integers(Places),
    Texts(Places, Strings),
    /// By the bits of the value widened to f64. NaN is found only if it may be.
    Floats {
        places: Places,
        nan: Option<usize>,
    },
}

/// Keys' places by their heads: numbers that are the keys themselves, or stand for them.
///
/// An open-addressed table, at most half full. The factor that spreads heads is drawn anew for each table, so that no
/// file knows of keys that come to lie in one place.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// A power of two of them.
    slots: Vec<(u64, u32)>,
    shift: u32,
    factor: u64,
}

/// The place of a slot that is free.
const FREE: u32 = u32::MAX;

impl Places {
    /// Room for `count` keys.
    ///
    /// # Errors
    /// A limit error for more than can be numbered.
    pub(super) fn new(count: usize) -> Result<Self> {
        if count >= FREE as usize / 4 {
            return Err(Error::limit("keys", count, FREE / 4));
        }
        let n_slots = (2 * count).next_power_of_two().max(2);
        let factor = RandomState::new().hash_one(count) | 1;
        Ok(Self { slots: vec![(0, FREE); n_slots], shift: u64::BITS - n_slots.ilog2(), factor })
    }

    /// The slot of a key, or the free one where it belongs; `is` tells keys of one head apart by their places.
    #[inline]
    fn slot(&self, head: u64, is: impl Fn(usize) -> bool) -> usize {
        let mut slot = (head.wrapping_mul(self.factor) >> self.shift) as usize;
        loop {
            let (found, at) = self.slots[slot];
            if at == FREE || found == head && is(at as usize) {
                return slot;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// The place of a key that is its head.
    #[inline]
    pub(super) fn get(&self, head: u64) -> Option<usize> {
        self.find(head, |_| true)
    }

    #[inline]
    fn find(&self, head: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        let (_, at) = self.slots[self.slot(head, is)];
        (at != FREE).then_some(at as usize)
    }

    /// Notes the place of a key, unless there is one already.
    pub(super) fn put(&mut self, head: u64, at: usize, is: impl Fn(usize) -> bool) {
        let slot = self.slot(head, is);
        if self.slots[slot].1 == FREE {
            self.slots[slot] = (head, at as u32);
        }
    }

    /// What stands for a text: up to seven bytes and their number, or a hash of more.
    #[inline]
    fn head(&self, text: &str) -> u64 {
        let bytes = text.as_bytes();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let half = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")));
        let few = |at: usize| u64::from(bytes[at]) << (8 * at);
        match bytes.len() {
            0 => 0,
            // Bytes that are read twice are in one place.
            len @ 1..4 => (few(0) | few(len / 2) | few(len - 1)) << 8 | len as u64,
            len @ 4..8 => (half(0) | half(len - 4) << (8 * (len - 4))) << 8 | len as u64,
            len => {
                let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(self.factor).rotate_left(29);
                let words = (0..len - 8).step_by(8).chain([len - 8]).map(word);
                words.fold(len as u64, mix) << 8 | 0xff
            }
        }
    }

    fn text(&self, text: &str, keys: &Strings) -> Option<usize> {
        // A head tells a short text from all others.
        let is = |at: usize| text.len() < 8 || keys.get(at) == Some(text);
        self.find(self.head(text), is)
    }
}

fn float_key(value: f64) -> u64 {
    // −0.0 + 0.0 is 0.0.
    (value + 0.0).to_bits()
}

impl Keys {
    /// The keys of a list; `nan_matches` says whether a NaN among them is ever found.
    pub(crate) fn new(list: &Tensor, nan_matches: bool) -> Result<Self> {
        let mut places = Places::new(list.len())?;
        let mut put = |head: u64, at: usize| places.put(head, at, |_| true);
        let mut nan = None;
        let mut put_float = |value: f64, at: usize| match value.is_nan() {
            true => nan = nan.or(Some(at).filter(|_| nan_matches)),
            false => put(float_key(value), at),
        };
        match &list.data {
            Data::F32(values) => values.iter().enumerate().for_each(|(at, &value)| put_float(value.into(), at)),
            Data::F64(values) => values.iter().enumerate().for_each(|(at, &value)| put_float(value, at)),
            Data::I64(values) => values.iter().enumerate().for_each(|(at, &value)| put(value as u64, at)),
            Data::I32(values) => values.iter().enumerate().for_each(|(at, &value)| put(i64::from(value) as u64, at)),
            Data::Bool(values) => values.iter().enumerate().for_each(|(at, &value)| put(value.into(), at)),
            Data::Text(values) => {
                for (at, text) in values.iter().enumerate() {
                    let is = |at: usize| text.len() < 8 || values.get(at) == Some(text);
                    places.put(places.head(text), at, is);
                }
                return Ok(Self::Texts(places, values.clone()));
            }
            Data::Tensors(_) => return Err(Error::unsupported("keys that are sequences")),
        }
        Ok(match &list.data {
            Data::F32(_) | Data::F64(_) => Self::Floats { places, nan },
            _ => Self::Integers(places),
        })
    }

    /// The place of every element of `x`, handed to `found` in order.
    pub(super) fn find(&self, x: &Tensor, found: impl FnMut(Option<usize>)) -> Result<()> {
        let float = |places: &Places, nan: Option<usize>, value: f64| {
            if value.is_nan() { nan } else { places.get(float_key(value)) }
        };
        match (self, &x.data) {
            (Self::Floats { places, nan }, Data::F32(values)) => {
                values.iter().map(|&value| float(places, *nan, value.into())).for_each(found);
            }
            (Self::Floats { places, nan }, Data::F64(values)) => {
                values.iter().map(|&value| float(places, *nan, value)).for_each(found);
            }
            (Self::Integers(places), Data::I64(values)) => {
                values.iter().map(|&value| places.get(value as u64)).for_each(found);
            }
            (Self::Integers(places), Data::I32(values)) => {
                values.iter().map(|&value| places.get(i64::from(value) as u64)).for_each(found);
            }
            (Self::Integers(places), Data::Bool(values)) => {
                values.iter().map(|&value| places.get(value.into())).for_each(found);
            }
            (Self::Texts(places, keys), Data::Text(values)) => {
                values.iter().map(|value| places.text(value, keys)).for_each(found);
            }
            _ => return Err(Error::unsupported(format!("{} looked up among keys of another type", x.ty().name()))),
        }
        Ok(())
    }

    /// As [`find`](Self::find), where integers are looked for among floats, which lose their fractions.
    pub(super) fn find_truncated(&self, x: &Tensor, found: impl FnMut(Option<usize>)) -> Result<()> {
        // What no integer holds becomes the least one, as on x86.
        let whole = |value: f64| if value.abs() < 9.2e18 { value as i64 } else { i64::MIN };
        match (self, &x.data) {
            (Self::Integers(places), Data::F32(values)) => {
                values.iter().map(|&value| places.get(whole(value.into()) as u64)).for_each(found);
            }
            (Self::Integers(places), Data::F64(values)) => {
                values.iter().map(|&value| places.get(whole(value) as u64)).for_each(found);
            }
            _ => self.find(x, found)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &Keys, x: &Tensor) -> Vec<Option<usize>> {
        let mut all = Vec::new();
        keys.find(x, |at| all.push(at)).unwrap();
        all
    }

    #[test]
    fn texts_of_all_lengths_are_found_where_they_stand_first() {
        // Prefixes of one text, which differ in length alone, then some that differ in one byte, then doubles.
        let long = "abcdefghijklmnopqrstuvwxyzäöü";
        let mut texts: Vec<String> = (0..=long.len()).filter_map(|end| long.get(..end)).map(str::to_owned).collect();
        texts.extend((0..26).map(|at| format!("{}X{}", &long[..at], &long[at + 1..26])));
        texts.extend((0..26).map(|at| format!("{}\0", &long[..at])));
        let n = texts.len();
        texts.extend_from_within(..20);
        let list = Tensor::text(texts.iter().collect());
        let keys = Keys::new(&list, false).unwrap();
        let expected: Vec<_> = (0..n).chain(0..20).map(Some).collect();
        assert_eq!(found(&keys, &list), expected);
        let others = Tensor::text(["b", "abcdefgX", "abcdefghijklmnopqrstuvwxyZ"].into_iter().collect());
        assert_eq!(found(&keys, &others), [None; 3]);
    }

    #[test]
    fn many_integers_are_found() {
        for stride in [1i64, 1 << 20, 1 << 48, -3] {
            let list = Tensor::list((0..3000).map(|at: i64| at.wrapping_mul(stride)).collect::<Vec<_>>());
            let keys = Keys::new(&list, false).unwrap();
            assert_eq!(found(&keys, &list), (0..3000).map(Some).collect::<Vec<_>>());
            assert_eq!(found(&keys, &Tensor::list(vec![i64::MIN, stride.wrapping_mul(3001)])), [None, None]);
        }
    }
}

//! Entries in the order of their keys: a heap of keys over places that are used again. A line that has been as long
//! before allocates nothing, which counts, since all who queue wait for each other here.
//!
//! Who leaves or changes its key leaves the old key in the heap, where it means nothing any more; the first key is always
//! that of an entry, and old ones never outnumber the others by much.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Virtual deadline, then arrival; no two are equal.
pub(super) type Key = (u64, u64);

#[derive(Debug)]
pub(super) struct Line<V> {
    /// Keys with the places of their entries.
    order: BinaryHeap<Reverse<(Key, u32)>>,
    places: Vec<Option<(Key, V)>>,
    vacant: Vec<u32>,
}

impl<V> Default for Line<V> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), places: Vec::new(), vacant: Vec::new() }
    }
}

/// Places, or old keys, that are kept when they are not needed.
const KEPT: usize = 1024;

impl<V> Line<V> {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns its place.
    pub(super) fn insert(&mut self, key: Key, value: V) -> u32 {
        let entry = Some((key, value));
        let at = match self.vacant.pop() {
            Some(at) => {
                self.places[at as usize] = entry;
                at
            }
            None => {
                self.places.push(entry);
                u32::try_from(self.places.len() - 1).expect("fewer requests than memory could hold")
            }
        };
        self.order.push(Reverse((key, at)));
        at
    }

    /// The entry of the least key.
    pub(super) fn first(&self) -> Option<(Key, &V)> {
        let Reverse((_, at)) = *self.order.peek()?;
        self.places[at as usize].as_ref().map(|(key, value)| (*key, value))
    }

    /// The same, to be changed.
    pub(super) fn first_mut(&mut self) -> Option<(Key, &mut V)> {
        let Reverse((_, at)) = *self.order.peek()?;
        self.places[at as usize].as_mut().map(|(key, value)| (*key, value))
    }

    /// Takes out the entry of the least key.
    pub(super) fn pop(&mut self) -> Option<V> {
        let Reverse((key, at)) = *self.order.peek()?;
        self.remove(key, at)
    }

    /// Takes out an entry, if it is there still.
    pub(super) fn remove(&mut self, key: Key, at: u32) -> Option<V> {
        if !self.holds(key, at) {
            return None;
        }
        let (_, value) = self.places[at as usize].take()?;
        self.vacant.push(at);
        self.forget_old_keys();
        Some(value)
    }

    /// Gives an entry a lesser key, if it is there still.
    pub(super) fn raise(&mut self, key: Key, at: u32, to: Key) -> bool {
        if !self.holds(key, at) {
            return false;
        }
        if let Some((key, _)) = &mut self.places[at as usize] {
            *key = to;
        }
        self.order.push(Reverse((to, at)));
        self.forget_old_keys();
        true
    }

    /// In no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.places.iter().flatten().map(|(_, value)| value)
    }

    /// In no order.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Key, V)> {
        self.places.into_iter().flatten()
    }

    fn holds(&self, key: Key, at: u32) -> bool {
        matches!(self.places.get(at as usize), Some(Some((known, _))) if *known == key)
    }

    fn forget_old_keys(&mut self) {
        if self.is_empty() && self.places.len() > KEPT {
            *self = Self::default();
        }
        while let Some(&Reverse((key, at))) = self.order.peek()
            && !self.holds(key, at)
        {
            self.order.pop();
        }
        if self.order.len() > 2 * self.len() + KEPT {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|&Reverse((key, at))| self.holds(key, at));
            self.order = order;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_a_sorted_map(steps in prop::collection::vec((0u8..4, 0u64..50), 1..300)) {
            let mut line = Line::default();
            let mut map: BTreeMap<Key, (u32, usize)> = BTreeMap::new();
            for (number, (action, due)) in steps.into_iter().enumerate() {
                let nth = |map: &BTreeMap<Key, (u32, usize)>| {
                    map.iter().nth(due as usize % map.len().max(1)).map(|(&key, &(at, value))| (key, at, value))
                };
                match (action, nth(&map)) {
                    (0, _) | (_, None) => {
                        let key = (due, number as u64);
                        map.insert(key, (line.insert(key, number), number));
                    }
                    (1, Some((key, at, value))) => {
                        map.remove(&key);
                        prop_assert_eq!(line.remove(key, at), Some(value));
                        prop_assert_eq!(line.remove(key, at), None);
                    }
                    (2, Some((key, at, value))) if key.0 > 0 => {
                        let raised = (key.0 - 1, key.1);
                        prop_assert!(line.raise(key, at, raised));
                        prop_assert!(!line.raise(key, at, raised));
                        map.remove(&key);
                        map.insert(raised, (at, value));
                    }
                    _ => prop_assert_eq!(line.pop(), map.pop_first().map(|(_, (_, value))| value)),
                }
                let first = map.first_key_value().map(|(&key, &(_, value))| (key, value));
                prop_assert_eq!(line.first().map(|(key, &value)| (key, value)), first);
                prop_assert_eq!(line.len(), map.len());
            }
        }
    }

    #[test]
    fn a_line_that_was_long_gives_its_memory_back_and_one_that_was_short_allocates_nothing() {
        let mut line = Line::default();
        let fill = |line: &mut Line<u64>, n: u64| {
            for number in 0..n {
                line.insert((number, number), number);
            }
            (0..n).for_each(|number| assert_eq!(line.pop(), Some(number)));
        };
        fill(&mut line, 100);
        assert_eq!(allocation_counter::measure(|| fill(&mut line, 100)).count_total, 0);
        fill(&mut line, 10 * KEPT as u64);
        assert_eq!(line.places.capacity() + line.order.capacity() + line.vacant.capacity(), 0);
        // Whoever comes and leaves does not fill the heap behind a first that stays.
        line.insert((0, 0), 0);
        for number in 1..100_000 {
            let at = line.insert((number, number), number);
            assert_eq!(line.remove((number, number), at), Some(number));
        }
        assert!(line.order.len() <= 2 * KEPT);
    }
}

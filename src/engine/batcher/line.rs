//! Entries in the order of their keys: queues of keys over places that are used again. A line that has been as long
//! before allocates nothing, which counts, since all who queue wait for each other here.
//!
//! Within a class keys grow with the clock, but for those with a deadline of their own: so there is a queue for each
//! class, to which a key is added and from which it is taken in a step or two, and a heap for what comes out of order.
//!
//! Who leaves or changes its key leaves the old key behind, where it means nothing any more; the first key of each queue
//! is always that of an entry, and old ones never outnumber the others by much.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::engine::config::CLASSES;

/// Virtual deadline, then arrival; no two are equal.
pub(super) type Key = (u64, u64);

#[derive(Debug)]
pub(super) struct Line<V> {
    /// Keys with the places of their entries, ascending, by class.
    queues: [VecDeque<(Key, u32)>; CLASSES],
    /// Those that would not have been the last of their queue.
    others: BinaryHeap<Reverse<(Key, u32)>>,
    places: Vec<Option<(Key, V)>>,
    vacant: Vec<u32>,
}

impl<V> Default for Line<V> {
    fn default() -> Self {
        let queues = std::array::from_fn(|_| VecDeque::new());
        Self { queues, others: BinaryHeap::new(), places: Vec::new(), vacant: Vec::new() }
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

    /// Returns its place, and the value there.
    pub(super) fn insert(&mut self, key: Key, class: usize, value: V) -> (u32, &V) {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len() - 1).expect("fewer requests than memory could hold")
        });
        let queue = &mut self.queues[class];
        match queue.back() {
            Some((last, _)) if *last > key => self.others.push(Reverse((key, at))),
            _ => queue.push_back((key, at)),
        }
        let (_, value) = self.places[at as usize].insert((key, value));
        (at, value)
    }

    /// The least key and its place.
    fn least(&self) -> Option<(Key, u32)> {
        let others = self.others.peek().map(|Reverse(least)| least);
        self.queues.iter().filter_map(VecDeque::front).chain(others).min().copied()
    }

    /// The entry of the least key.
    pub(super) fn first(&self) -> Option<(Key, &V)> {
        let (_, at) = self.least()?;
        self.places[at as usize].as_ref().map(|(key, value)| (*key, value))
    }

    /// The same, to be changed.
    pub(super) fn first_mut(&mut self) -> Option<(Key, &mut V)> {
        let (_, at) = self.least()?;
        self.places[at as usize].as_mut().map(|(key, value)| (*key, value))
    }

    /// Takes out the entry of the least key.
    pub(super) fn pop(&mut self) -> Option<V> {
        let (key, at) = self.least()?;
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
        self.others.push(Reverse((to, at)));
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
        holds(&self.places, key, at)
    }

    fn forget_old_keys(&mut self) {
        if self.is_empty() && self.places.len() > KEPT {
            *self = Self::default();
        }
        let Self { queues, others, places, .. } = self;
        for queue in queues.iter_mut() {
            while queue.pop_front_if(|(key, at)| !holds(places, *key, *at)).is_some() {}
        }
        while let Some(&Reverse((key, at))) = others.peek()
            && !holds(places, key, at)
        {
            others.pop();
        }
        let keys = others.len() + queues.iter().map(VecDeque::len).sum::<usize>();
        if keys > 2 * self.len() + KEPT {
            let Self { queues, others, places, .. } = self;
            queues.iter_mut().for_each(|queue| queue.retain(|(key, at)| holds(places, *key, *at)));
            others.retain(|Reverse((key, at))| holds(places, *key, *at));
        }
    }
}

fn holds<V>(places: &[Option<(Key, V)>], key: Key, at: u32) -> bool {
    matches!(places.get(at as usize), Some(Some((known, _))) if *known == key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_a_sorted_map(steps in prop::collection::vec((0u8..4, 0u64..50, 0..CLASSES), 1..300)) {
            let mut line = Line::default();
            let mut map: BTreeMap<Key, (u32, usize)> = BTreeMap::new();
            for (number, (action, due, class)) in steps.into_iter().enumerate() {
                let nth = |map: &BTreeMap<Key, (u32, usize)>| {
                    map.iter().nth(due as usize % map.len().max(1)).map(|(&key, &(at, value))| (key, at, value))
                };
                match (action, nth(&map)) {
                    (0, _) | (_, None) => {
                        let key = (due, number as u64);
                        map.insert(key, (line.insert(key, class, number).0, number));
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
                line.insert((number, number), 0, number);
            }
            (0..n).for_each(|number| assert_eq!(line.pop(), Some(number)));
        };
        fill(&mut line, 100);
        assert_eq!(allocation_counter::measure(|| fill(&mut line, 100)).count_total, 0);
        fill(&mut line, 10 * KEPT as u64);
        assert_eq!(line.places.capacity() + line.queues[0].capacity() + line.vacant.capacity(), 0);
        // Whoever comes and leaves does not fill the queue behind a first that stays.
        line.insert((0, 0), 0, 0);
        for number in 1..100_000 {
            let (at, _) = line.insert((number, number), 0, number);
            assert_eq!(line.remove((number, number), at), Some(number));
        }
        assert!(line.queues[0].len() <= 2 * KEPT);
    }
}

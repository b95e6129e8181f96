//! Rows and their answers under a budget: the least recently used leaves first, and what is too old is not given out.
//!
//! A policy without locks or clocks: time is an argument, a distance from any fixed moment.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use super::Key;
use crate::engine::buffers::wipe;
use crate::metrics::CacheStats;

/// What a shard may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) ttl: Option<Duration>,
    /// Overwrite what leaves.
    pub(super) zero: bool,
}

/// Bytes an entry takes beside its row and value: itself, and a slot of the index, which may be half empty.
pub(super) const OVERHEAD: usize = size_of::<Entry>() + 2 * (size_of::<(u128, u32)>() + 1);

/// Entries in a list from the newest to the oldest, and an index into it by hash.
pub(super) struct Shard {
    limits: Limits,
    index: Index<u32>,
    entries: Vec<Entry>,
    /// Places in `entries` that are empty.
    vacant: Vec<u32>,
    newest: u32,
    oldest: u32,
    bytes: usize,
    pub(super) hits: u64,
    pub(super) misses: u64,
    evicted: u64,
    expired: u64,
}

struct Entry {
    hash: u128,
    epoch: u128,
    kind: u32,
    row_bytes: u32,
    /// The row, then the value.
    data: Box<[u8]>,
    inserted: Duration,
    newer: u32,
    older: u32,
}

/// The end of the list.
const NONE: u32 = u32::MAX;

/// A map by hashes that are random already.
pub(super) type Index<V> = HashMap<u128, V, BuildHasherDefault<Hashed>>;

#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u128");
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shard {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            index: Index::default(),
            entries: Vec::new(),
            vacant: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            hits: 0,
            misses: 0,
            evicted: 0,
            expired: 0,
        }
    }

    /// Hands the value of a row to `read`, and makes it the most recently used.
    pub(super) fn get<R>(&mut self, key: &Key<'_>, now: Duration, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let Some(at) = self.find(key) else {
            self.misses += 1;
            return None;
        };
        if self.is_expired(at, now) {
            self.remove(at);
            self.expired += 1;
            self.misses += 1;
            return None;
        }
        self.hits += 1;
        if at != self.newest {
            self.unlink(at);
            self.link(at);
        }
        Some(read(self.entries[at as usize].value()))
    }

    /// Whether a row would be found; changes nothing.
    pub(super) fn contains(&self, key: &Key<'_>, now: Duration) -> bool {
        self.find(key).is_some_and(|at| !self.is_expired(at, now))
    }

    /// Stores a value, in place of what has the same hash, and drops the least recently used until the limits hold. A
    /// value that is over them alone is not stored.
    pub(super) fn put(&mut self, key: &Key<'_>, value: &[u8], now: Duration) {
        if let Some(&at) = self.index.get(&key.hash) {
            self.evicted += u64::from(!self.entries[at as usize].is(key));
            self.remove(at);
        }
        let bytes = key.row.len() + value.len() + OVERHEAD;
        let Ok(row_bytes) = u32::try_from(key.row.len()) else { return };
        if bytes > self.limits.bytes || self.limits.rows == 0 {
            return;
        }
        while self.len() + 1 > self.limits.rows || self.bytes + bytes > self.limits.bytes {
            self.remove(self.oldest);
            self.evicted += 1;
        }
        let entry = Entry {
            hash: key.hash,
            epoch: key.scope.epoch,
            kind: key.scope.kind,
            row_bytes,
            data: [key.row, value].concat().into(),
            inserted: now,
            newer: NONE,
            older: NONE,
        };
        let at = match self.vacant.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.index.insert(key.hash, at);
        self.bytes += bytes;
        self.link(at);
    }

    /// Drops the rows of one epoch.
    pub(super) fn invalidate(&mut self, epoch: u128) {
        let mut at = self.oldest;
        while at != NONE {
            let entry = &self.entries[at as usize];
            let (next, leaves) = (entry.newer, entry.epoch == epoch);
            if leaves {
                self.remove(at);
            }
            at = next;
        }
    }

    pub(super) fn clear(&mut self) {
        while self.oldest != NONE {
            self.remove(self.oldest);
        }
        self.entries = Vec::new();
        self.vacant = Vec::new();
        self.index = Index::default();
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn add_to(&self, stats: &mut CacheStats) {
        stats.hits += self.hits;
        stats.misses += self.misses;
        stats.evicted += self.evicted;
        stats.expired += self.expired;
        stats.rows += self.len() as u64;
        stats.bytes += self.bytes as u64;
    }

    /// The entry of this very row: a hash alone proves nothing.
    fn find(&self, key: &Key<'_>) -> Option<u32> {
        self.index.get(&key.hash).copied().filter(|&at| self.entries[at as usize].is(key))
    }

    fn is_expired(&self, at: u32, now: Duration) -> bool {
        let age = now.saturating_sub(self.entries[at as usize].inserted);
        self.limits.ttl.is_some_and(|ttl| age >= ttl)
    }

    fn remove(&mut self, at: u32) {
        self.unlink(at);
        let entry = &mut self.entries[at as usize];
        let mut data = std::mem::take(&mut entry.data);
        self.index.remove(&entry.hash);
        self.bytes -= data.len() + OVERHEAD;
        self.vacant.push(at);
        if self.limits.zero {
            wipe(&mut data);
        }
    }

    /// Puts an entry at the newest end.
    fn link(&mut self, at: u32) {
        let older = std::mem::replace(&mut self.newest, at);
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = at,
            None => self.oldest = at,
        }
        let entry = &mut self.entries[at as usize];
        (entry.newer, entry.older) = (NONE, older);
    }

    fn unlink(&mut self, at: u32) {
        let Entry { newer, older, .. } = self.entries[at as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Entry {
    fn is(&self, key: &Key<'_>) -> bool {
        self.epoch == key.scope.epoch && self.kind == key.scope.kind && self.row() == key.row
    }

    fn row(&self) -> &[u8] {
        &self.data[..self.row_bytes as usize]
    }

    fn value(&self) -> &[u8] {
        &self.data[self.row_bytes as usize..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::cache::Scope;

    #[derive(Clone, Debug)]
    enum Step {
        Get(u8),
        Put(u8, usize),
        Contains(u8),
        Invalidate(u128),
        Pass(u64),
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0u8..24).prop_map(Step::Get),
            6 => (0u8..24, 0usize..40).prop_map(|(row, bytes)| Step::Put(row, bytes)),
            2 => (0u8..24).prop_map(Step::Contains),
            1 => (0u128..2).prop_map(Step::Invalidate),
            3 => (0u64..8).prop_map(Step::Pass),
            1 => Just(Step::Clear),
        ];
        prop::collection::vec(step, 1..200)
    }

    /// Rows 0 to 23 of two epochs; every four share a hash.
    fn key(row: &u8) -> Key<'_> {
        let scope = Scope { epoch: u128::from(*row % 2), kind: 0 };
        Key { hash: u128::from(*row / 4), scope, row: std::slice::from_ref(row) }
    }

    /// The same, in the plainest way: newest last.
    #[derive(Default)]
    struct Plain {
        entries: Vec<(u8, Vec<u8>, u64)>,
    }

    impl Plain {
        fn bytes(&self) -> usize {
            self.entries.iter().map(|(_, value, _)| 1 + value.len() + OVERHEAD).sum()
        }
    }

    proptest! {
        #[test]
        fn a_shard_is_a_list_in_order_of_use(steps in steps(), rows in 0usize..8, bytes in 1usize..2000, ttl in 1u64..20) {
            let limits = Limits { rows, bytes, ttl: Some(Duration::from_secs(ttl)), zero: true };
            let (mut shard, mut plain, mut now) = (Shard::new(limits), Plain::default(), 0);
            for step in steps {
                let time = Duration::from_secs(now);
                match step {
                    Step::Pass(seconds) => now += seconds,
                    Step::Get(row) => {
                        let found = plain.entries.iter().position(|(known, ..)| *known == row).map(|at| plain.entries.remove(at));
                        let fresh = found.filter(|(.., inserted)| now - inserted < ttl);
                        let value = shard.get(&key(&row), time, <[u8]>::to_vec);
                        prop_assert_eq!(value.as_ref(), fresh.as_ref().map(|(_, value, _)| value));
                        plain.entries.extend(fresh);
                    }
                    Step::Put(row, length) => {
                        let value = vec![row; length];
                        shard.put(&key(&row), &value, time);
                        plain.entries.retain(|(known, ..)| known / 4 != row / 4);
                        if 1 + length + OVERHEAD <= bytes && rows > 0 {
                            plain.entries.push((row, value, now));
                        }
                        while plain.entries.len() > rows || plain.bytes() > bytes {
                            plain.entries.remove(0);
                        }
                    }
                    Step::Contains(row) => {
                        let fresh = plain.entries.iter().any(|(known, _, inserted)| *known == row && now - inserted < ttl);
                        prop_assert_eq!(shard.contains(&key(&row), time), fresh);
                    }
                    Step::Invalidate(epoch) => {
                        shard.invalidate(epoch);
                        plain.entries.retain(|(row, ..)| u128::from(row % 2) != epoch);
                    }
                    Step::Clear => {
                        shard.clear();
                        plain.entries.clear();
                    }
                }
                prop_assert_eq!((shard.len(), shard.bytes), (plain.entries.len(), plain.bytes()));
            }
        }
    }

    #[test]
    fn what_happens_is_counted() {
        let limits = Limits { rows: 2, bytes: 1 << 20, ttl: Some(Duration::from_secs(5)), zero: false };
        let mut shard = Shard::new(limits);
        let at = Duration::from_secs;
        shard.put(&key(&0), b"a", at(0));
        shard.put(&key(&4), b"b", at(1));
        shard.put(&key(&8), b"c", at(2)); // row 0 leaves
        shard.put(&key(&9), b"d", at(2)); // row 8 leaves: its hash is the same
        assert!(shard.get(&key(&8), at(3), |_| ()).is_none());
        assert!(shard.get(&key(&4), at(3), |_| ()).is_some());
        assert!(shard.get(&key(&4), at(6), |_| ()).is_none()); // too old
        let mut stats = CacheStats::default();
        shard.add_to(&mut stats);
        assert_eq!((stats.hits, stats.misses, stats.evicted, stats.expired, stats.rows), (1, 2, 2, 1, 1));
    }
}

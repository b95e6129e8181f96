//! The deduplication cache: rows that have been answered, or are being answered, are not computed again.
//!
//! The unit is a row. Its [`Key`] is the model it goes to, what is asked of it, its type and its bytes, hashed to 128
//! bits under keys that are drawn for each cache; the row itself is compared on a hit, so two rows with one hash can only
//! displace each other. Rows are equal if their bytes are: 0.0 and -0.0 are two rows, and so are NaNs of different bits.
//! A reloaded model has a new epoch, so it never meets the answers of the old one.
//!
//! `shard.rs`, `flight.rs` and `profit.rs` are the policies, without locks or clocks; this file puts locks around them.
//! Time is always the caller's, who has read a clock anyway.

mod flight;
mod profit;
mod shard;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;

use flight::{Finished, Flights};
pub use flight::{Leave, Start};
use profit::{Profit, Window};
use shard::{Limits, OVERHEAD, Shard};

use super::sync::atomic::{AtomicU64, Ordering::Relaxed};
use super::sync::{Mutex, MutexGuard, lock};
use crate::metrics::{CacheStats, Padded};

/// How much the cache may hold, and for how long. It takes a row to have the same answer whenever it comes: do not give
/// one to an engine that serves a custom model of which that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct CacheConfig {
    rows: usize,
    bytes: usize,
    ttl: Option<Duration>,
    zero: bool,
}

impl CacheConfig {
    /// Up to `rows` rows, in up to 64 MiB, of any age.
    pub fn rows(rows: usize) -> Self {
        Self { rows, bytes: 64 << 20, ttl: None, zero: true }
    }

    /// Up to this many bytes: rows, values and bookkeeping.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Answers older than `ttl` are not given out.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    pub(crate) fn holds_anything(&self) -> bool {
        self.rows > 0 && self.bytes > OVERHEAD
    }

    /// Whether rows and values are overwritten with zeros when they leave. Default: yes.
    pub fn zero(mut self, zero: bool) -> Self {
        self.zero = zero;
        self
    }
}

/// What a row must agree in, beside its bytes, to have the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The model, from one load to the next: a digest of its content, or a number of its own.
    pub epoch: u128,
    /// Kind of output, and type and layout of the row, in a number that the caller makes.
    pub kind: u32,
}

/// A row as the cache knows it.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    hash: u128,
    scope: Scope,
    row: &'a [u8],
}

/// How a row comes to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flight<R, W> {
    /// The row was there; what was read of its value.
    Landed(R),
    /// It was not.
    Started(Start<W>),
}

/// Answers by row. `W` says who waits for a row in flight.
///
/// ```
/// use std::time::Instant;
/// use sawmill::engine::cache::{CacheConfig, DeduplicationCache, Scope};
///
/// let cache = DeduplicationCache::<()>::new(CacheConfig::rows(1000));
/// let key = cache.key(Scope { epoch: 1, kind: 0 }, b"row");
/// cache.put(&key, b"value", Instant::now());
/// assert_eq!(cache.get(&key, Instant::now(), <[u8]>::to_vec).as_deref(), Some(&b"value"[..]));
/// ```
pub struct DeduplicationCache<W> {
    started: Instant,
    /// One for each half of a hash.
    hashers: [RandomState; 2],
    cells: Box<[Padded<Mutex<Cell<W>>>]>,
    profit: Mutex<Profit>,
    /// Lookups that are still to be left out.
    pause: AtomicU64,
    bypassed: AtomicU64,
}

struct Cell<W> {
    shard: Shard,
    flights: Flights<W>,
    coalesced: u64,
    /// What has not been reported to `profit` yet.
    window: Window,
}

/// Lookups of a cell between two reports. The last of them is timed, for all.
const REPORT_EVERY: u64 = 256;
/// Rows of a cell, at least: small caches have few cells, so that the order of use is nearly that of the whole.
const CELL_ROWS: usize = 1024;
const MAX_CELLS: usize = 16;

impl<W: PartialEq + Clone> DeduplicationCache<W> {
    /// An empty cache.
    pub fn new(config: CacheConfig) -> Self {
        let cells = (config.rows / CELL_ROWS).clamp(1, MAX_CELLS);
        let cells = 1 << cells.ilog2();
        let CacheConfig { rows, bytes, ttl, zero } = config;
        let limits = Limits { rows: rows / cells, bytes: bytes / cells, ttl, zero };
        let cell =
            || Cell { shard: Shard::new(limits), flights: Flights::default(), coalesced: 0, window: Window::default() };
        Self {
            started: Instant::now(),
            hashers: std::array::from_fn(|_| RandomState::default()),
            cells: (0..cells).map(|_| Padded(Mutex::new(cell()))).collect(),
            profit: Mutex::default(),
            pause: AtomicU64::new(0),
            bypassed: AtomicU64::new(0),
        }
    }

    /// Hashes a row.
    pub fn key<'a>(&self, scope: Scope, row: &'a [u8]) -> Key<'a> {
        let [high, low] = self.hashers.each_ref().map(|half| {
            let mut hasher = half.build_hasher();
            hasher.write(row);
            hasher.write_u128(scope.epoch);
            hasher.write_u32(scope.kind);
            u128::from(hasher.finish())
        });
        Key { hash: high << 64 | low, scope, row }
    }

    /// Whether the cache is to be asked for `rows` rows now. It leaves itself out for a while where it has cost more than
    /// it has gained; each call counts as so many lookups of that while. Ask before [`key`](Self::key), which is most of
    /// the cost.
    pub fn is_worth_asking(&self, rows: usize) -> bool {
        if self.pause.load(Relaxed) == 0 {
            return true;
        }
        let rows = rows as u64;
        self.bypassed.fetch_add(rows, Relaxed);
        let _ = self.pause.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(rows)));
        false
    }

    /// Looks a row up, and hands its value to `read` if it is there. `saved` is what computing the row would take: from
    /// that the cache learns whether it is worth asking.
    pub fn find<R>(&self, key: &Key<'_>, now: Instant, saved: Duration, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut cell = self.cell(key);
        let begun = (cell.window.lookups >= REPORT_EVERY).then(Instant::now);
        let found = cell.shard.get(key, self.since_start(now), read);
        cell.window.lookups += 1;
        match found {
            Some(_) => cell.window.gain = cell.window.gain.saturating_add(nanoseconds(saved)),
            None => cell.window.misses += 1,
        }
        if let Some(begun) = begun {
            self.report(key, begun, cell);
        }
        found
    }

    /// For a row that was not [found](Self::find): unless it is there by now, `waiter` leads or joins a flight of the
    /// given urgency (smaller is more urgent). Who leads must call [`finish`](Self::finish).
    pub fn fly<R>(
        &self,
        key: &Key<'_>,
        now: Instant,
        urgency: u64,
        waiter: W,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Flight<R, W> {
        let mut cell = self.cell(key);
        let now = self.since_start(now);
        if cell.shard.contains(key, now)
            && let Some(found) = cell.shard.get(key, now, read)
        {
            // It has been counted as a miss.
            cell.shard.misses = cell.shard.misses.saturating_sub(1);
            return Flight::Landed(found);
        }
        let start = cell.flights.start(key, urgency, waiter);
        if matches!(start, Start::Join { .. }) {
            // A row that is being computed is not missed.
            cell.shard.misses = cell.shard.misses.saturating_sub(1);
            cell.coalesced += 1;
        }
        Flight::Started(start)
    }

    /// Ends a flight: with an answer, which is kept, or with none after an error, which is not. Returns the waiters, of
    /// whom the leader is one unless it has left.
    #[must_use = "the waiters must be told"]
    pub fn finish(&self, key: &Key<'_>, value: Option<&[u8]>, now: Instant) -> Vec<W> {
        let mut cell = self.cell(key);
        let Finished { waiters, store } = cell.flights.finish(key);
        if let Some(value) = value
            && store
        {
            cell.shard.put(key, value, self.since_start(now));
        }
        waiters
    }

    /// Takes a waiter out of a flight.
    pub fn leave(&self, key: &Key<'_>, waiter: &W) -> Leave {
        self.cell(key).flights.leave(key, waiter)
    }

    /// Hands the value of a row to `read`, if it is there.
    pub fn get<R>(&self, key: &Key<'_>, now: Instant, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.cell(key).shard.get(key, self.since_start(now), read)
    }

    /// Stores the value of a row.
    pub fn put(&self, key: &Key<'_>, value: &[u8], now: Instant) {
        self.cell(key).shard.put(key, value, self.since_start(now));
    }

    /// Whether a row would be found. Counts as no use of it.
    pub fn contains(&self, key: &Key<'_>, now: Instant) -> bool {
        self.cell(key).shard.contains(key, self.since_start(now))
    }

    /// Drops the rows of an epoch, and keeps none of its answers that are still to come.
    pub fn invalidate(&self, epoch: u128) {
        for Padded(cell) in &self.cells {
            let mut cell = lock(cell);
            cell.shard.invalidate(epoch);
            cell.flights.retire(epoch);
        }
    }

    /// Drops all rows. Flights go on.
    pub fn clear(&self) {
        self.cells.iter().for_each(|cell| lock(&cell.0).shard.clear());
    }

    /// Rows held.
    pub fn len(&self) -> usize {
        self.cells.iter().map(|cell| lock(&cell.0).shard.len()).sum()
    }

    /// Whether no row is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the cache holds and has done.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats { bypassed: self.bypassed.load(Relaxed), ..CacheStats::default() };
        for Padded(cell) in &self.cells {
            let cell = lock(cell);
            cell.shard.add_to(&mut stats);
            stats.coalesced += cell.coalesced;
        }
        stats
    }

    /// Measures the lookup that has begun then, and reports it with those before it.
    fn report(&self, key: &Key<'_>, begun: Instant, mut cell: MutexGuard<'_, Cell<W>>) {
        std::hint::black_box(self.key(key.scope, key.row));
        cell.window.once = nanoseconds(begun.elapsed());
        let window = std::mem::take(&mut cell.window);
        drop(cell);
        if let Some(pause) = lock(&self.profit).record(window) {
            self.pause.store(pause, Relaxed);
        }
    }

    fn cell(&self, key: &Key<'_>) -> MutexGuard<'_, Cell<W>> {
        lock(&self.cells[(key.hash >> 64) as usize & (self.cells.len() - 1)].0)
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

impl<W> fmt::Debug for DeduplicationCache<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeduplicationCache").field("cells", &self.cells.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Scope = Scope { epoch: 7, kind: 1 };
    const COST: Duration = Duration::from_secs(1);

    #[test]
    fn a_row_is_found_in_its_scope_alone() {
        let cache = DeduplicationCache::<()>::new(CacheConfig::rows(10));
        let now = Instant::now();
        cache.put(&cache.key(MODEL, b"row"), b"value", now);
        let found = |scope, row: &[u8]| cache.contains(&cache.key(scope, row), now);
        assert!(found(MODEL, b"row"));
        assert!(!found(Scope { epoch: 8, ..MODEL }, b"row"));
        assert!(!found(Scope { kind: 2, ..MODEL }, b"row"));
        assert!(!found(MODEL, b"rows"));
        cache.invalidate(7);
        assert!(cache.is_empty());
    }

    fn start<W: PartialEq + Clone>(cache: &DeduplicationCache<W>, key: &Key<'_>, now: Instant, waiter: W) -> Start<W> {
        match cache.fly(key, now, 0, waiter, |_| ()) {
            Flight::Started(start) => start,
            Flight::Landed(()) => panic!("the row is there"),
        }
    }

    #[test]
    fn concurrent_duplicates_are_computed_once() {
        let cache = DeduplicationCache::<usize>::new(CacheConfig::rows(10));
        let now = Instant::now();
        let key = cache.key(MODEL, b"row");
        let starts: Vec<_> = std::thread::scope(|scope| {
            let ask = |waiter| {
                assert_eq!(cache.find(&key, now, COST, |_| ()), None);
                start(&cache, &key, now, waiter)
            };
            let threads: Vec<_> = (0..8).map(|waiter| scope.spawn(move || ask(waiter))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(starts.iter().filter(|start| **start == Start::Lead).count(), 1);
        let mut told = cache.finish(&key, Some(b"value"), now);
        told.sort_unstable();
        assert_eq!(told, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(cache.fly(&key, now, 0, 8, <[u8]>::len), Flight::Landed(5));
        assert_eq!(cache.find(&key, now, COST, <[u8]>::len), Some(5));
        let stats = cache.stats();
        // The late comer asked without looking first, so it takes back a miss of another.
        assert_eq!((stats.hits, stats.misses, stats.coalesced, stats.rows), (2, 0, 7, 1));
    }

    #[test]
    fn an_error_is_told_and_not_kept() {
        let cache = DeduplicationCache::<u8>::new(CacheConfig::rows(10));
        let (now, key) = (Instant::now(), cache.key(MODEL, b"row"));
        start(&cache, &key, now, 1);
        start(&cache, &key, now, 2);
        assert_eq!(cache.leave(&key, &1), Leave::Wanted);
        assert_eq!(cache.finish(&key, None, now), [2]);
        assert!(cache.is_empty());
    }

    #[test]
    fn an_answer_of_a_replaced_model_is_not_kept() {
        let cache = DeduplicationCache::<u8>::new(CacheConfig::rows(10));
        let (now, key) = (Instant::now(), cache.key(MODEL, b"row"));
        start(&cache, &key, now, 1);
        cache.invalidate(MODEL.epoch);
        assert_eq!(cache.finish(&key, Some(b"value"), now), [1]);
        assert!(cache.is_empty());
    }

    #[test]
    fn a_cache_without_hits_leaves_itself_out_and_tries_again() {
        let cache = DeduplicationCache::<()>::new(CacheConfig::rows(4));
        let now = Instant::now();
        let mut asked = Vec::new();
        for row in 0u32..200_000 {
            let worth_it = cache.is_worth_asking(1);
            asked.push(worth_it);
            if worth_it {
                let bytes = row.to_ne_bytes();
                let key = cache.key(MODEL, &bytes);
                assert_eq!(cache.find(&key, now, Duration::from_nanos(10), |_| ()), None);
                assert_eq!(start(&cache, &key, now, ()), Start::Lead);
                assert_eq!(cache.finish(&key, Some(&bytes), now).len(), 1);
            }
        }
        let first_off = asked.iter().position(|asked| !asked).unwrap();
        assert!(asked[first_off..].contains(&true), "tried again");
        assert_eq!(cache.stats().bypassed, asked.iter().filter(|asked| !**asked).count() as u64);
    }

    #[test]
    fn a_cache_with_hits_that_save_much_stays() {
        let cache = DeduplicationCache::<()>::new(CacheConfig::rows(4));
        let (now, key) = (Instant::now(), cache.key(MODEL, b"row"));
        cache.put(&key, b"value", now);
        for _ in 0..100_000 {
            assert!(cache.is_worth_asking(1));
            assert_eq!(cache.find(&key, now, COST, |_| ()), Some(()));
        }
    }

    #[test]
    fn a_hit_allocates_nothing() {
        let cache = DeduplicationCache::<()>::new(CacheConfig::rows(100));
        let now = Instant::now();
        let rows: Vec<[u8; 128]> = (0..50).map(|row| [row; 128]).collect();
        rows.iter().for_each(|row| cache.put(&cache.key(MODEL, row), &row[..4], now));
        let hits = allocation_counter::measure(|| {
            for row in rows.iter().cycle().take(1_000) {
                let found = cache.find(&cache.key(MODEL, row), now, COST, |value| value[0]);
                assert_eq!(found, Some(row[0]));
            }
        });
        assert_eq!(hits.count_total, 0);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    const MODEL: Scope = Scope { epoch: 7, kind: 1 };

    fn cache() -> Arc<DeduplicationCache<usize>> {
        Arc::new(DeduplicationCache::new(CacheConfig::rows(4)))
    }

    /// What became of a thread that asked for the row.
    #[derive(Debug, PartialEq)]
    enum Asked {
        Found,
        Led(Vec<usize>),
        Joined,
    }

    /// Asks for the row; who leads answers it, with an error if `fails`.
    fn ask(cache: &DeduplicationCache<usize>, waiter: usize, fails: bool) -> Asked {
        let (key, now) = (cache.key(MODEL, b"row"), Instant::now());
        match cache.fly(&key, now, 0, waiter, <[u8]>::to_vec) {
            Flight::Landed(value) => {
                assert_eq!(value, b"value");
                Asked::Found
            }
            Flight::Started(Start::Lead) => Asked::Led(cache.finish(&key, (!fails).then_some(&b"value"[..]), now)),
            Flight::Started(_) => Asked::Joined,
        }
    }

    /// Three ask at once: each computes the row, finds it, or is told of it by the one whose flight it joined.
    #[test]
    fn who_asks_for_a_row_has_it_once() {
        for fails in [false, true] {
            loom::model(move || {
                let cache = cache();
                let others: Vec<_> = (1..3)
                    .map(|waiter| {
                        let cache = Arc::clone(&cache);
                        thread::spawn(move || ask(&cache, waiter, fails))
                    })
                    .collect();
                let mut asked = vec![ask(&cache, 0, fails)];
                asked.extend(others.into_iter().map(|other| other.join().unwrap()));
                let mut told: Vec<_> = asked
                    .iter()
                    .flat_map(|asked| if let Asked::Led(told) = asked { told.clone() } else { vec![] })
                    .collect();
                told.sort_unstable();
                let waited: Vec<_> = (0..3).filter(|&waiter| asked[waiter] != Asked::Found).collect();
                assert_eq!(told, waited);
                assert!(!fails || !asked.contains(&Asked::Found), "an error is not kept");
            });
        }
    }

    /// A follower leaves while the leader finishes: it is told, or it has left, and never both.
    #[test]
    fn leaving_and_being_told_exclude_each_other() {
        loom::model(|| {
            let cache = cache();
            let (row, now) = (cache.key(MODEL, b"row"), Instant::now());
            assert_eq!(cache.fly(&row, now, 0, 0, |_| ()), Flight::Started(Start::Lead));
            assert_eq!(cache.fly(&row, now, 0, 1, |_| ()), Flight::Started(Start::Join { raised: None }));
            let follower = Arc::clone(&cache);
            let follower = thread::spawn(move || follower.leave(&follower.key(MODEL, b"row"), &1));
            let told = cache.finish(&row, Some(b"value"), now);
            match follower.join().unwrap() {
                Leave::Wanted => assert_eq!(told, [0]),
                Leave::Gone => assert_eq!(told, [0, 1]),
                Leave::Abandoned => panic!("the leader has not left"),
            }
        });
    }

    /// A model is replaced while its answer comes: the waiter has it, the cache does not.
    #[test]
    fn an_answer_of_a_replaced_model_is_not_kept() {
        loom::model(|| {
            let cache = cache();
            let (row, now) = (cache.key(MODEL, b"row"), Instant::now());
            assert_eq!(cache.fly(&row, now, 0, 0, |_| ()), Flight::Started(Start::Lead));
            let swap = Arc::clone(&cache);
            let swap = thread::spawn(move || swap.invalidate(MODEL.epoch));
            assert_eq!(cache.finish(&row, Some(b"value"), now), [0]);
            swap.join().unwrap();
            assert!(cache.is_empty());
        });
    }
}

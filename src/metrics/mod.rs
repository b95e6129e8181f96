//! Counters and histograms: written without locks or allocation, read as a [`Snapshot`].
//!
//! Every thread writes to one of several *stripes*, each on cache lines of its own; a snapshot adds the stripes up. Threads
//! of low numbers have a stripe to themselves, which they write with plain stores; the others share two, with atomic
//! additions. Numbers of threads that have ended are given to new ones. Gauges are not written at all: [`Metrics::observe`] says how to read them when a snapshot is
//! taken. Series are told apart by model and by the bounded sets of `labels.rs`; a model's series are allocated when it
//! is registered, never on the way of a request.

mod histogram;
mod labels;
mod prometheus;
mod report;
mod snapshot;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub use histogram::Distribution;
use histogram::{Counter, Histogram, NANOSECONDS, ROWS, nanoseconds};
pub use labels::{Outcome, Priority};
pub use snapshot::{BatchStats, CacheStats, ClassStats, ModelStats, PoolStats, QueueStats, Snapshot};

/// A number that is the thread's own while it lives: when it first asks, the least that no other has.
pub(crate) fn thread_number() -> usize {
    thread_local!(static NUMBER: ThreadNumber = ThreadNumber::take());
    // A thread that is ending may have given its number back.
    NUMBER.try_with(|number| number.0).unwrap_or(usize::MAX)
}

struct ThreadNumber(usize);

/// Numbers given back, and the first that nobody has had.
static FREE_NUMBERS: Mutex<(BinaryHeap<Reverse<usize>>, usize)> = Mutex::new((BinaryHeap::new(), 0));

impl ThreadNumber {
    fn take() -> Self {
        let (free, next) = &mut *FREE_NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        Self(free.pop().map_or_else(|| std::mem::replace(next, *next + 1), |Reverse(number)| number))
    }
}

impl Drop for ThreadNumber {
    fn drop(&mut self) {
        FREE_NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).0.push(Reverse(self.0));
    }
}

/// A value on cache lines of its own (two, since processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

type Observer = Box<dyn Fn(&mut Snapshot) + Send + Sync>;

/// All the series of an engine. Shared by reference; see [`Snapshot`] for what can be read.
pub struct Metrics {
    started: Instant,
    /// None if nothing is to be counted.
    own_stripes: usize,
    models: RwLock<Vec<Arc<ModelMetrics>>>,
    observers: Mutex<Vec<Observer>>,
    node_batches: Box<[Padded<AtomicU64>]>,
    downgrades: AtomicU64,
}

/// The series of one model, written by whoever answers its requests.
#[derive(Debug)]
pub struct ModelMetrics {
    name: String,
    /// Those of one thread each, by its number, then those that all other threads share.
    stripes: Box<[Padded<Stripe>]>,
}

/// Stripes for threads that have none to themselves; a power of two.
const SHARED_STRIPES: usize = 2;

#[derive(Debug, Default)]
struct Stripe {
    classes: [ClassCells; Priority::ALL.len()],
    batches: BatchCells,
}

#[derive(Debug, Default)]
struct ClassCells {
    outcomes: [Counter; Outcome::ALL.len()],
    rows: Counter,
    cached_rows: Counter,
    late: Counter,
    total: Histogram<NANOSECONDS>,
    queue: Histogram<NANOSECONDS>,
    execute: Histogram<NANOSECONDS>,
}

#[derive(Debug, Default)]
struct BatchCells {
    rows: Histogram<ROWS>,
    predicted: Counter,
    actual: Counter,
    error: Counter,
    reruns: Counter,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord {
    /// Its class.
    pub priority: Priority,
    /// How it ended.
    pub outcome: Outcome,
    /// Its rows.
    pub rows: usize,
    /// Those of its rows that were answered from the cache or by another request's work.
    pub cached_rows: usize,
    /// From the call to the answer.
    pub total: Duration,
    /// The part of it spent waiting for a worker.
    pub queue: Duration,
    /// The part of it spent in the model; zero if it did not get there.
    pub execute: Duration,
    /// It was answered with values, but after its deadline.
    pub late: bool,
}

/// A batch that has run.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord {
    /// Its rows.
    pub rows: usize,
    /// How long the model took.
    pub execute: Duration,
    /// How long it was expected to take, where there was an expectation.
    pub predicted: Option<Duration>,
    /// How often parts of it were run again to find which request fails.
    pub reruns: usize,
    /// The number of the worker pool (NUMA node) that ran it.
    pub node: usize,
}

impl Metrics {
    /// Series for about `threads` writing threads and `nodes` worker pools. A model takes 23 KiB for each thread (at most
    /// 16 of them) and 46 KiB for the others.
    pub fn new(threads: usize, nodes: usize) -> Self {
        Self {
            started: Instant::now(),
            own_stripes: threads.clamp(1, 16),
            models: RwLock::default(),
            observers: Mutex::default(),
            node_batches: (0..nodes.max(1)).map(|_| Padded::default()).collect(),
            downgrades: AtomicU64::new(0),
        }
    }

    /// Series that are not written: recording returns at once, and a snapshot has nothing but gauges.
    pub fn off() -> Self {
        Self { own_stripes: 0, ..Self::new(0, 0) }
    }

    /// The series of the model called `name`, made at the first call. Allocates; keep the result.
    pub fn model(&self, name: &str) -> Arc<ModelMetrics> {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = models.iter().find(|model| model.name == name) {
            return Arc::clone(model);
        }
        let n_stripes = if self.own_stripes == 0 { 0 } else { self.own_stripes + SHARED_STRIPES };
        let stripes = (0..n_stripes).map(|_| Padded::default()).collect();
        let model = Arc::new(ModelMetrics { name: name.to_owned(), stripes });
        models.push(Arc::clone(&model));
        model
    }

    /// Leaves the series of a model out of later snapshots.
    pub fn forget(&self, name: &str) {
        self.models.write().unwrap_or_else(PoisonError::into_inner).retain(|model| model.name != name);
    }

    /// Calls `observer` for every snapshot, to fill in gauges.
    pub fn observe(&self, observer: impl Fn(&mut Snapshot) + Send + Sync + 'static) {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(observer));
    }

    /// Counts a batch that has run, for its model and its node.
    pub fn record_batch(&self, model: &ModelMetrics, batch: &BatchRecord) {
        let Some((Stripe { batches, .. }, alone)) = model.stripe() else { return };
        if let Some(node) = self.node_batches.get(batch.node) {
            node.0.fetch_add(1, Relaxed);
        }
        batches.rows.record(batch.rows as u64, alone);
        if let Some(predicted) = batch.predicted {
            batches.predicted.add(nanoseconds(predicted), alone);
            batches.actual.add(nanoseconds(batch.execute), alone);
            batches.error.add(nanoseconds(predicted.abs_diff(batch.execute)), alone);
        }
        if batch.reruns > 0 {
            batches.reruns.add(batch.reruns as u64, alone);
        }
    }

    /// Counts something the machine refused (pinning, a topology that cannot be read) and that was done without.
    pub fn record_downgrade(&self) {
        self.downgrades.fetch_add(1, Relaxed);
    }

    /// All series as they are now. Writers go on meanwhile, so numbers may be a request apart.
    ///
    /// Cost: reads every stripe of every model, a few microseconds each.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            interval: self.started.elapsed(),
            node_batches: self.node_batches.iter().map(|batches| batches.0.load(Relaxed)).collect(),
            downgrades: self.downgrades.load(Relaxed),
            ..Snapshot::default()
        };
        for model in self.models.read().unwrap_or_else(PoisonError::into_inner).iter() {
            snapshot.models.insert(model.name.clone(), model.stats());
        }
        for observer in self.observers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            observer(&mut snapshot);
        }
        snapshot
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("own_stripes", &self.own_stripes).finish_non_exhaustive()
    }
}

impl ModelMetrics {
    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request that has ended.
    ///
    /// Cost: at most ten additions to lines that no other thread is likely to hold.
    pub fn record_request(&self, request: &RequestRecord) {
        let Some((Stripe { classes, .. }, alone)) = self.stripe() else { return };
        let cells = &classes[request.priority as usize];
        cells.outcomes[request.outcome as usize].add(1, alone);
        cells.total.record_time(request.total, alone);
        cells.queue.record_time(request.queue, alone);
        if !request.execute.is_zero() {
            cells.execute.record_time(request.execute, alone);
        }
        if request.outcome == Outcome::Ok {
            cells.rows.add(request.rows as u64, alone);
        }
        if request.cached_rows > 0 {
            cells.cached_rows.add(request.cached_rows as u64, alone);
        }
        if request.late {
            cells.late.add(1, alone);
        }
    }

    /// The stripe of this thread, and whether no other thread writes to it; none if nothing is to be counted.
    fn stripe(&self) -> Option<(&Stripe, bool)> {
        let (own, shared) = self.stripes.split_at(self.stripes.len().checked_sub(SHARED_STRIPES)?);
        let number = thread_number();
        Some(match own.get(number) {
            Some(stripe) => (&stripe.0, true),
            None => (&shared[number % SHARED_STRIPES].0, false),
        })
    }

    fn stats(&self) -> ModelStats {
        let mut stats = ModelStats::default();
        for Padded(stripe) in &self.stripes {
            for (sums, cells) in stats.classes.iter_mut().zip(&stripe.classes) {
                for (sum, cell) in sums.outcomes.iter_mut().zip(&cells.outcomes) {
                    *sum += cell.get();
                }
                sums.rows += cells.rows.get();
                sums.cached_rows += cells.cached_rows.get();
                sums.late += cells.late.get();
                cells.total.add_to(&mut sums.total);
                cells.queue.add_to(&mut sums.queue);
                cells.execute.add_to(&mut sums.execute);
            }
            let (sums, cells) = (&mut stats.batches, &stripe.batches);
            cells.rows.add_to(&mut sums.rows);
            sums.predicted += Duration::from_nanos(cells.predicted.get());
            sums.actual += Duration::from_nanos(cells.actual.get());
            sums.error += Duration::from_nanos(cells.error.get());
            sums.reruns += cells.reruns.get();
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn living_threads_have_numbers_of_their_own_and_those_of_ended_ones_come_again() {
        let numbers = || {
            let all_have_one = std::sync::Barrier::new(8);
            let number = || {
                let number = thread_number();
                all_have_one.wait();
                assert_eq!(thread_number(), number);
                number
            };
            let numbers = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(number)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
            });
            assert_eq!(numbers.len(), 8);
            numbers.into_iter().max()
        };
        // Other tests run beside this one, so that some numbers are taken; but not ever more.
        let most = (0..100).map(|_| numbers()).max().flatten();
        assert!(most < Some(8 * 50), "{most:?}");
    }
}

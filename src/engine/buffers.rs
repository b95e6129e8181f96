//! The buffer pool: memory for rows and results that is reused, overwritten with zeros, and given back.
//!
//! A buffer is a *slab* of 64-byte lines whose size is a power of two, its *class*. Free slabs lie in lists, one of each
//! class for each *stripe* of threads, so that threads seldom meet at a lock; behind them a depot takes what the lists
//! do not hold. All slabs together stay within a budget of bytes. A request beyond it gets memory of its own, which is
//! freed after use. Every thousand or so requests, and whenever [`MemoryPool::trim`] is called, the pool gives back
//! half of the slabs that nobody has needed since the last time, so that its size follows the load down as well as up.
//!
//! What is out of its reach: registers, stacks, and copies that a caller makes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::{Pod, Zeroable};

use crate::metrics::{Padded, PoolStats, thread_number};

/// When memory that has held rows or results is overwritten with zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZeroBuffers {
    /// As soon as it is no longer used.
    #[default]
    OnRelease,
    /// When it is used again.
    OnAcquire,
    /// Not at all.
    Never,
}

/// A pool of buffers, shared by reference: clones are the same pool. A buffer returns to it when it is dropped.
///
/// ```
/// use sawmill::engine::buffers::{MemoryPool, ZeroBuffers};
///
/// let pool = MemoryPool::new(64 << 20, ZeroBuffers::OnRelease, 2);
/// let mut row = pool.vec::<f32>(3);
/// row.extend_from_slice(&[1.0, 2.0, 3.0]);
/// drop(row);
/// assert_eq!((pool.stats().buffers, pool.stats().zeroed_bytes), (1, 12));
/// ```
#[derive(Clone)]
pub struct MemoryPool {
    shared: Arc<Shared>,
}

/// A growing array in a buffer of a pool, like a `Vec`; its start is aligned to 64 bytes.
pub struct PoolVec<T> {
    pool: MemoryPool,
    slab: Slab,
    len: usize,
    element: PhantomData<T>,
}

/// What buffers hold: numbers whose size divides a line's.
pub trait Element: Pod + sealed::Sealed {}

macro_rules! elements {
    ($($number:ty),*) => {
        mod sealed { pub trait Sealed {} $(impl Sealed for $number {})* }
        $(impl Element for $number {})*
    };
}
elements!(u8, u32, i32, u64, usize, f32, f64);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;

// SAFETY: all bits zero are an array of zero bytes.
unsafe impl Zeroable for Line {}
// SAFETY: an array of 64 bytes, aligned to its own size: no padding, every bit pattern is valid, no pointers.
unsafe impl Pod for Line {}

/// Memory of some class. `Default` is none.
#[derive(Default)]
struct Slab {
    lines: Box<[Line]>,
    /// Bytes from its start that may be other than zero.
    used: usize,
    /// It counts into the budget and is kept.
    is_held: bool,
}

/// The smallest class, 256 bytes; each further one is twice as large; the largest is 16 MiB.
const SMALLEST: usize = 256;
const CLASSES: usize = 17;
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// Free bytes of a class that a stripe keeps, at most.
const STRIPE_BYTES: usize = 64 << 10;
/// Requests to a stripe between two trims.
const TRIM_EVERY: u32 = 1024;

struct Shared {
    budget: usize,
    zero: ZeroBuffers,
    /// Of slabs that are held.
    bytes: AtomicUsize,
    buffers: AtomicU64,
    /// Slabs in use that are not held.
    over_budget_in_use: AtomicU64,
    trimmed: AtomicU64,
    stripes: Box<[Padded<Mutex<Stripe>>]>,
    depot: Mutex<[FreeList; CLASSES]>,
}

#[derive(Default)]
struct Stripe {
    free: [FreeList; CLASSES],
    requests: u32,
    hits: u64,
    misses: u64,
    over_budget: u64,
    zeroed_bytes: u64,
}

#[derive(Default)]
struct FreeList {
    slabs: Vec<Slab>,
    /// The fewest slabs there were since the last trim: nobody has needed these.
    fewest: usize,
}

impl FreeList {
    fn pop(&mut self) -> Option<Slab> {
        let slab = self.slabs.pop();
        self.fewest = self.fewest.min(self.slabs.len());
        slab
    }

    /// Takes up to `n` slabs of the depot's and one more, which is returned: who takes many seldom meets others there.
    fn refill(&mut self, depot: &mut Self, n: usize) -> Option<Slab> {
        let found = depot.pop();
        self.slabs.extend(std::iter::from_fn(|| depot.pop()).take(n));
        found
    }

    /// Gives half of the slabs to the depot, for the same reason.
    fn spill(&mut self, depot: &mut Self) {
        depot.slabs.extend(self.slabs.drain(self.slabs.len() / 2..));
        self.fewest = self.fewest.min(self.slabs.len());
    }

    /// Takes out half of what was not needed.
    fn trim(&mut self, into: &mut Vec<Slab>) {
        into.extend(self.slabs.drain(..self.fewest.div_ceil(2)));
        self.fewest = self.slabs.len();
    }
}

impl MemoryPool {
    /// A pool that holds up to `budget` bytes and is used by about `threads` threads.
    pub fn new(budget: usize, zero: ZeroBuffers, threads: usize) -> Self {
        let shared = Shared {
            budget,
            zero,
            bytes: AtomicUsize::new(0),
            buffers: AtomicU64::new(0),
            over_budget_in_use: AtomicU64::new(0),
            trimmed: AtomicU64::new(0),
            stripes: (0..threads.clamp(1, 64)).map(|_| Padded::default()).collect(),
            depot: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// An empty array with room for `capacity` elements.
    ///
    /// Cost: two uncontended locks in all, here and when it is dropped, and nothing is allocated where a buffer of the
    /// size is free; overwriting what was used.
    pub fn vec<T: Element>(&self, capacity: usize) -> PoolVec<T> {
        let slab = self.shared.take(capacity.saturating_mul(size_of::<T>()));
        PoolVec { pool: self.clone(), slab, len: 0, element: PhantomData }
    }

    /// Gives back to the system half of the free buffers that were not needed since the last call. Call it when there
    /// is nothing else to do; under load it happens by itself.
    pub fn trim(&self) {
        self.shared.trim();
    }

    /// What the pool holds and has done.
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }
}

impl Shared {
    fn take(&self, bytes: usize) -> Slab {
        if bytes == 0 {
            return Slab::default();
        }
        let mut stripe = self.stripe();
        stripe.requests = stripe.requests.wrapping_add(1);
        let trim = stripe.requests.is_multiple_of(TRIM_EVERY);
        let found = class(bytes).and_then(|class| {
            let list = &mut stripe.free[class];
            list.pop().or_else(|| list.refill(&mut lock(&self.depot)[class], STRIPE_BYTES / (SMALLEST << class) / 2))
        });
        let slab = match found {
            Some(mut slab) => {
                stripe.hits += 1;
                if self.zero == ZeroBuffers::OnAcquire {
                    stripe.zeroed_bytes += slab.wipe();
                }
                drop(stripe);
                slab
            }
            None => {
                stripe.misses += 1;
                let held = class(bytes).map(|class| SMALLEST << class).filter(|&bytes| self.reserve(bytes));
                stripe.over_budget += u64::from(held.is_none());
                drop(stripe);
                if held.is_some() { &self.buffers } else { &self.over_budget_in_use }.fetch_add(1, Relaxed);
                Slab::new(held.unwrap_or(bytes), held.is_some())
            }
        };
        if trim {
            self.trim();
        }
        slab
    }

    /// Takes `bytes` of the budget, if need be from slabs that lie in the depot.
    fn reserve(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|&sum| sum <= self.budget);
        if self.bytes.fetch_update(Relaxed, Relaxed, fits).is_ok() {
            return true;
        }
        let mut freed = Vec::new();
        let mut depot = lock(&self.depot);
        let mut found = 0;
        while found < bytes
            && let Some(slab) = depot.iter_mut().rev().find_map(FreeList::pop)
        {
            found += size_of_val(&*slab.lines);
            freed.push(slab);
        }
        drop(depot);
        self.free(freed);
        self.bytes.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    fn give_back(&self, mut slab: Slab) {
        if slab.lines.is_empty() {
            return;
        }
        let zeroed = if self.zero == ZeroBuffers::OnRelease { slab.wipe() } else { 0 };
        let mut stripe = self.stripe();
        stripe.zeroed_bytes += zeroed;
        if !slab.is_held {
            drop(stripe);
            self.over_budget_in_use.fetch_sub(1, Relaxed);
            return;
        }
        let bytes = size_of_val(&*slab.lines);
        let class = class(bytes).expect("only slabs of a class are held");
        if bytes > STRIPE_BYTES {
            drop(stripe);
            return lock(&self.depot)[class].slabs.push(slab);
        }
        let list = &mut stripe.free[class];
        if (list.slabs.len() + 1) * bytes > STRIPE_BYTES {
            list.spill(&mut lock(&self.depot)[class]);
        }
        list.slabs.push(slab);
    }

    fn trim(&self) {
        let mut freed = Vec::new();
        for Padded(stripe) in &self.stripes {
            lock(stripe).free.iter_mut().for_each(|list| list.trim(&mut freed));
        }
        lock(&self.depot).iter_mut().for_each(|list| list.trim(&mut freed));
        self.trimmed.fetch_add(freed.len() as u64, Relaxed);
        self.free(freed);
    }

    fn free(&self, slabs: Vec<Slab>) {
        self.buffers.fetch_sub(slabs.len() as u64, Relaxed);
        self.bytes.fetch_sub(slabs.iter().map(|slab| size_of_val(&*slab.lines)).sum(), Relaxed);
    }

    fn stats(&self) -> PoolStats {
        let mut stats = PoolStats { trimmed: self.trimmed.load(Relaxed), ..PoolStats::default() };
        let mut free: usize = 0;
        for Padded(stripe) in &self.stripes {
            let stripe = lock(stripe);
            stats.hits += stripe.hits;
            stats.misses += stripe.misses;
            stats.over_budget += stripe.over_budget;
            stats.zeroed_bytes += stripe.zeroed_bytes;
            free += stripe.free.iter().map(|list| list.slabs.len()).sum::<usize>();
        }
        free += lock(&self.depot).iter().map(|list| list.slabs.len()).sum::<usize>();
        stats.buffers = self.buffers.load(Relaxed);
        stats.bytes = self.bytes.load(Relaxed) as u64;
        stats.buffers_in_use = stats.buffers.saturating_sub(free as u64) + self.over_budget_in_use.load(Relaxed);
        stats
    }

    fn stripe(&self) -> MutexGuard<'_, Stripe> {
        lock(&self.stripes[thread_number() % self.stripes.len()].0)
    }
}

/// A panic while a list is held leaves it as whole as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The class whose slabs have room for `bytes`, if there is one.
fn class(bytes: usize) -> Option<usize> {
    (bytes <= LARGEST).then(|| (bytes.max(SMALLEST).next_power_of_two() / SMALLEST).ilog2() as usize)
}

impl Slab {
    fn new(bytes: usize, is_held: bool) -> Self {
        Self { lines: bytemuck::zeroed_slice_box(bytes.div_ceil(LINE)), used: 0, is_held }
    }

    /// Overwrites what was used, and says how many bytes that were.
    fn wipe(&mut self) -> u64 {
        let used = std::mem::take(&mut self.used);
        wipe(&mut bytemuck::cast_slice_mut(&mut self.lines)[..used]);
        used as u64
    }
}

/// Overwrites `bytes` with zeros, even if nobody reads them again.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

impl<T: Element> PoolVec<T> {
    /// How many elements there is room for.
    pub fn capacity(&self) -> usize {
        size_of_val(&*self.slab.lines) / size_of::<T>()
    }

    /// Appends a copy of `values`, moving to a larger buffer if they do not fit.
    pub fn extend_from_slice(&mut self, values: &[T]) {
        let (start, end) = (self.len, self.len + values.len());
        self.reserve(end);
        self.grow_to(end)[start..].copy_from_slice(values);
    }

    /// Makes it `len` elements long; new ones are `value`.
    pub fn resize(&mut self, len: usize, value: T) {
        let start = self.len;
        self.reserve(len);
        if len > start {
            self.grow_to(len)[start..].fill(value);
        }
        self.len = len;
    }

    /// Drops the elements from `len` on; what they were stays in memory until the buffer is released.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Drops all elements.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    fn reserve(&mut self, capacity: usize) {
        if capacity > self.capacity() {
            let mut larger = self.pool.vec(capacity.max(2 * self.capacity()));
            larger.grow_to(self.len).copy_from_slice(self);
            std::mem::swap(self, &mut larger);
        }
    }

    /// The first `len` elements, for which there is room.
    fn grow_to(&mut self, len: usize) -> &mut [T] {
        self.len = len;
        self.slab.used = self.slab.used.max(len * size_of::<T>());
        self
    }
}

impl<T: Element> Extend<T> for PoolVec<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        let values = values.into_iter();
        self.reserve(self.len + values.size_hint().0);
        values.for_each(|value| self.extend_from_slice(&[value]));
    }
}

impl<T: Element> Deref for PoolVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.slab.lines)[..self.len]
    }
}

impl<T: Element> DerefMut for PoolVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.slab.lines)[..self.len]
    }
}

impl<T> Drop for PoolVec<T> {
    fn drop(&mut self) {
        self.pool.shared.give_back(std::mem::take(&mut self.slab));
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for PoolVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryPool").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIB: usize = 1 << 10;

    /// Every byte of the free slabs.
    fn free_bytes(pool: &MemoryPool) -> Vec<u8> {
        let stripes = pool.shared.stripes.iter().map(|stripe| lock(&stripe.0));
        let mut bytes = Vec::new();
        for mut stripe in stripes {
            stripe.free.iter_mut().flat_map(|list| &mut list.slabs).for_each(|slab| {
                bytes.extend_from_slice(bytemuck::cast_slice(&slab.lines));
            });
        }
        for list in lock(&pool.shared.depot).iter() {
            list.slabs.iter().for_each(|slab| bytes.extend_from_slice(bytemuck::cast_slice(&slab.lines)));
        }
        bytes
    }

    #[test]
    fn a_buffer_is_aligned_reused_and_zeroed() {
        let pool = MemoryPool::new(KIB, ZeroBuffers::OnRelease, 1);
        let mut row = pool.vec::<f32>(5);
        row.extend_from_slice(&[1.0, 2.0]);
        row.truncate(1);
        row.resize(3, 7.0);
        assert_eq!(&row[..], [1.0, 7.0, 7.0]);
        assert_eq!(row.as_ptr().addr() % 64, 0);
        let address = row.as_ptr().addr();
        drop(row);
        assert!(free_bytes(&pool).len() == SMALLEST && free_bytes(&pool).iter().all(|&byte| byte == 0));
        assert_eq!(pool.vec::<u8>(1).as_ptr().addr(), address);
        let stats = pool.stats();
        assert_eq!((stats.hits, stats.misses, stats.zeroed_bytes, stats.buffers_in_use), (1, 1, 12, 0));
    }

    #[test]
    fn zeroing_happens_when_asked_for() {
        let after = |zero| {
            let pool = MemoryPool::new(KIB, zero, 1);
            pool.vec::<u8>(8).extend_from_slice(&[9; 8]);
            let released = free_bytes(&pool)[0];
            drop(pool.vec::<u8>(1));
            (released, free_bytes(&pool)[0], pool.stats().zeroed_bytes)
        };
        assert_eq!(after(ZeroBuffers::OnRelease), (0, 0, 8));
        assert_eq!(after(ZeroBuffers::OnAcquire), (9, 0, 8));
        assert_eq!(after(ZeroBuffers::Never), (9, 9, 0));
    }

    #[test]
    fn beyond_the_budget_memory_is_freed_after_use() {
        let pool = MemoryPool::new(2 * KIB, ZeroBuffers::OnRelease, 1);
        let within = pool.vec::<u8>(2 * KIB);
        let beyond = pool.vec::<u8>(300);
        assert_eq!(beyond.capacity(), 320, "whole lines, no more");
        let stats = pool.stats();
        assert_eq!((stats.bytes, stats.buffers, stats.over_budget, stats.buffers_in_use), (2048, 1, 1, 2));
        drop((within, beyond));
        assert_eq!((pool.stats().bytes, pool.stats().buffers_in_use), (2048, 0));
        assert_eq!(pool.vec::<u8>(LARGEST + 1).capacity(), LARGEST + LINE);
        assert_eq!(pool.stats().over_budget, 2);
    }

    #[test]
    fn the_budget_moves_to_the_sizes_that_are_needed() {
        let pool = MemoryPool::new(256 * KIB, ZeroBuffers::OnRelease, 1);
        drop(pool.vec::<u8>(256 * KIB));
        drop(pool.vec::<u8>(128 * KIB));
        assert_eq!((pool.stats().over_budget, pool.stats().bytes), (0, 128 << 10));
    }

    #[test]
    fn a_spike_is_given_back() {
        let pool = MemoryPool::new(1 << 20, ZeroBuffers::OnRelease, 1);
        drop((0..64).map(|_| pool.vec::<u8>(KIB)).collect::<Vec<_>>());
        assert_eq!(pool.stats().buffers, 64);
        for _ in 0..8 {
            drop(pool.vec::<u8>(KIB));
            pool.trim();
        }
        assert!(pool.stats().buffers <= 2, "{:?}", pool.stats());
        assert_eq!(pool.stats().trimmed, 64 - pool.stats().buffers);
        assert_eq!(pool.stats().bytes, pool.stats().buffers << 10);
    }

    #[test]
    fn a_panic_returns_its_buffers() {
        let pool = MemoryPool::new(KIB, ZeroBuffers::OnRelease, 1);
        let panicking = std::panic::AssertUnwindSafe(|| {
            let _row = pool.vec::<f64>(4);
            std::panic::resume_unwind(Box::new("as a model might"));
        });
        std::panic::catch_unwind(panicking).unwrap_err();
        assert_eq!((pool.stats().buffers, pool.stats().buffers_in_use), (1, 0));
    }

    #[test]
    fn threads_share_a_pool() {
        let pool = MemoryPool::new(8 * KIB, ZeroBuffers::OnRelease, 2);
        let rounds = if cfg!(miri) { 20 } else { 3_000 };
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let pool = pool.clone();
                scope.spawn(move || {
                    for round in 0..rounds {
                        let mut bytes = pool.vec::<u8>(0);
                        bytes.resize(round % 3000, thread);
                        assert!(bytes.iter().all(|&byte| byte == thread));
                    }
                });
            }
        });
        let stats = pool.stats();
        assert_eq!(stats.buffers_in_use, 0);
        assert!(stats.bytes <= 8192 && free_bytes(&pool).len() as u64 == stats.bytes);
        assert!(free_bytes(&pool).iter().all(|&byte| byte == 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Acquire(usize),
        Append(usize, u8, usize),
        Release(usize),
        Trim,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0usize..5000).prop_map(Step::Acquire),
            (0usize..8, 1u8.., 0usize..3000).prop_map(|(at, value, count)| Step::Append(at, value, count)),
            (0usize..8).prop_map(Step::Release),
            Just(Step::Trim),
        ];
        prop::collection::vec(step, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
        #[test]
        fn buffers_hold_what_was_written_and_free_ones_nothing(steps in steps()) {
            let budget = 16 * KIB;
            let pool = MemoryPool::new(budget, ZeroBuffers::OnRelease, 1);
            let mut used: Vec<(PoolVec<u8>, Vec<u8>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Acquire(capacity) => used.push((pool.vec(capacity), Vec::new())),
                    Step::Append(at, value, count) => {
                        if let Some((buffer, expected)) = used.get_mut(at) {
                            buffer.resize(buffer.len() + count, value);
                            expected.resize(expected.len() + count, value);
                        }
                    }
                    Step::Release(at) if at < used.len() => drop(used.swap_remove(at)),
                    Step::Release(_) => {}
                    Step::Trim => pool.trim(),
                }
                for (buffer, expected) in &used {
                    prop_assert_eq!(&buffer[..], &expected[..]);
                }
                let stats = pool.stats();
                prop_assert!(stats.bytes as usize <= budget);
                prop_assert!(free_bytes(&pool).iter().all(|&byte| byte == 0));
            }
            drop(used);
            prop_assert_eq!(pool.stats().buffers_in_use, 0);
            prop_assert_eq!(free_bytes(&pool).len() as u64, pool.stats().bytes);
        }
    }
}

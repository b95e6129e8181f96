//! The queue between callers and workers: a batcher behind a lock, and the rule for waking a worker.
//!
//! A worker looks at the batcher and goes to sleep under one and the same lock, and whoever adds an entry notifies under
//! that lock too. So what is queued is either seen by the worker or wakes it.
//!
//! To sleep and to be woken costs more than many a batch. So nobody is woken for what those who run a short batch will come
//! to about as soon. That trust may be misplaced, for a worker also runs code of others (callbacks, wakers, custom models),
//! which may take as long as it likes: so it is given only while one of those asleep *watches*, that is, looks at the queue
//! again before long by itself.
//!
//! While one worker has been woken and has not looked yet, no other is; whoever takes a batch and leaves more than there
//! are hands for wakes the next.

use std::time::{Duration, Instant};

use super::batcher::{Batch, DynamicBatcher, Entry, Next, Place, Policy, Ran, Refusal, Tick};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Condvar, Mutex, MutexGuard, lock, nap, wait};

/// Time as the engine counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start. In loom's models time stands still.
    pub(crate) fn now(&self) -> Tick {
        if cfg!(loom) {
            return 0;
        }
        super::batcher::nanos(self.0.elapsed())
    }

    /// A moment as a tick; those before the start are 0.
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        super::batcher::nanos(at.saturating_duration_since(self.0))
    }

    pub(crate) fn instant(&self, tick: Tick) -> Instant {
        // A tick beyond what an instant can hold is never reached.
        self.0.checked_add(Duration::from_nanos(tick)).unwrap_or(self.0 + Duration::from_secs(1 << 30))
    }
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    work: Condvar,
    /// Rows waiting, for those who decide without the lock whether to queue at all.
    rows: AtomicUsize,
    clock: Clock,
}

struct State<T> {
    batcher: DynamicBatcher<T>,
    /// Workers asleep.
    sleeping: usize,
    /// One of them watches.
    is_watched: bool,
    /// A worker has been notified and has not looked since.
    waking: bool,
    /// By when each worker is expected to look again; 0 for those asleep, and those of whom it cannot be said.
    due: Box<[Tick]>,
    /// No more entries are taken.
    closed: bool,
    /// Workers are to go.
    stopped: bool,
}

/// Nanoseconds in which a worker that sleeps could be running, where waking is dear: a virtual machine's idle processor.
const WAKING: Tick = 100_000;

/// Nanoseconds after which a worker that watches looks again.
const WATCH: Tick = 1_000_000;

/// Why an entry was not queued.
#[derive(Debug)]
pub(crate) enum NotQueued {
    Refused(Refusal),
    Closed,
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Answer the expired, run the batch; either may be empty.
    Work,
    /// End: the queue is stopped.
    Stop,
}

impl<T: Clone> Queue<T> {
    pub(crate) fn new(policy: Policy, clock: Clock) -> Self {
        let due = vec![0; policy.workers].into();
        let batcher = DynamicBatcher::new(policy);
        let (sleeping, is_watched, waking, closed, stopped) = (0, false, false, false, false);
        let state = State { batcher, sleeping, is_watched, waking, due, closed, stopped };
        Self { state: Mutex::new(state), work: Condvar::new(), rows: AtomicUsize::new(0), clock }
    }

    /// Rows waiting, as of a moment ago.
    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// Queues an entry and sees to it that a worker comes.
    pub(crate) fn push(&self, now: Tick, entry: Entry<T>) -> Result<Place, NotQueued> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(NotQueued::Closed);
        }
        let place = state.batcher.push(now, entry).map_err(NotQueued::Refused)?;
        self.rows.store(state.batcher.rows(), Ordering::Relaxed);
        self.wake(&mut state, now);
        Ok(place)
    }

    /// Queues an entry of a request that was accepted before; nothing if the queue is stopped.
    pub(crate) fn readmit(&self, arrival: Tick, entry: Entry<T>) -> Option<Place> {
        let mut state = lock(&self.state);
        if state.stopped {
            return None;
        }
        let place = state.batcher.insert(arrival, entry);
        self.rows.store(state.batcher.rows(), Ordering::Relaxed);
        self.wake(&mut state, self.clock.now());
        Some(place)
    }

    /// Sees to it that a worker comes for what waits.
    fn wake(&self, state: &mut State<T>, now: Tick) {
        if state.sleeping > 0 && !state.waking && state.batcher.rows() > 0 && !state.is_in_good_hands(now) {
            state.waking = true;
            self.work.notify_one();
        }
    }

    /// Makes an entry that has rows waiting due earlier, if `due` is.
    pub(crate) fn raise(&self, place: Place, due: Tick) -> Option<Place> {
        lock(&self.state).batcher.raise(place, due)
    }

    /// Takes out an entry that has rows waiting.
    pub(crate) fn cancel(&self, place: Place) -> Option<T> {
        let mut state = lock(&self.state);
        let item = state.batcher.cancel(place);
        self.rows.store(state.batcher.rows(), Ordering::Relaxed);
        item
    }

    /// The next thing for a worker to do, waiting for it if need be. `ran` tells of the batch it had before. `batch` is
    /// best empty: what is dropped here is dropped under the lock.
    pub(crate) fn next(&self, worker: usize, batch: &mut Batch<T>, ran: Option<Ran>) -> Turn {
        let mut state = lock(&self.state);
        if let Some(ran) = ran {
            state.batcher.ran(&ran);
        }
        loop {
            let now = self.clock.now();
            let next = state.batcher.poll(now, batch);
            self.rows.store(state.batcher.rows(), Ordering::Relaxed);
            if next == Next::Run || !batch.expired.is_empty() {
                let is_short = batch.expected.is_some_and(|nanos| nanos <= WAKING as f64);
                state.due[worker] = if is_short { now + 2 * WAKING } else { 0 };
                // What is left is another worker's, if there is one to wake.
                self.wake(&mut state, now);
                return Turn::Work;
            }
            if state.stopped {
                return Turn::Stop;
            }
            state = self.sleep(state, worker, now, next);
        }
    }

    /// Sleeps until there is something to do, or something may be.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        worker: usize,
        now: Tick,
        next: Next,
    ) -> MutexGuard<'a, State<T>> {
        state.due[worker] = 0;
        state.sleeping += 1;
        let watches = state.sleeping < state.due.len() && !state.is_watched;
        state.is_watched |= watches;
        let again = if watches { now + WATCH } else { Tick::MAX };
        let until = if let Next::Wait(until) = next { until.min(again) } else { again };
        state = match until {
            Tick::MAX => wait(&self.work, state),
            until => nap(&self.state, &self.work, state, self.clock.instant(until)),
        };
        state.sleeping -= 1;
        state.is_watched &= !watches;
        state.waking = false;
        state
    }

    /// Reads or changes the batcher.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut DynamicBatcher<T>) -> R) -> R {
        use_it(&mut lock(&self.state).batcher)
    }

    /// Takes no more entries. What is queued still runs.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
    }

    /// Sends the workers away and returns what they have not begun.
    pub(crate) fn stop(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        (state.closed, state.stopped) = (true, true);
        let left = state.batcher.drain();
        self.rows.store(0, Ordering::Relaxed);
        self.work.notify_all();
        left
    }
}

impl<T: Clone> State<T> {
    /// Whether those awake will come to what waits about as soon as one who is woken now, and somebody watches that they do.
    fn is_in_good_hands(&self, now: Tick) -> bool {
        let coming = self.due.iter().filter(|due| **due > now).count() as f64;
        self.is_watched && self.batcher.work().is_some_and(|work| work <= coming * WAKING as f64)
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::engine::batcher::Group;
    use crate::engine::config::EngineBuilder;
    use crate::engine::slot::Slot;

    const GROUP: Group = Group { load: 0, rows: 0 };

    /// Rows that take so long that a worker who comes is trusted with one, and two are worth waking another.
    fn queue(workers: usize) -> Arc<Queue<u32>> {
        let queue = Queue::new(EngineBuilder::default().max_batch_rows(1).policy(workers), Clock::start());
        queue.with(|batcher| {
            (0..3).for_each(|_| batcher.calibrate(GROUP, 1, WAKING * 2 / 3));
        });
        Arc::new(queue)
    }

    fn entry(item: u32) -> Entry<u32> {
        Entry { item, group: GROUP, class: 0, deadline: None, rows: 1, row_bytes: 4 }
    }

    /// Runs batches until the queue is stopped, and tells `end` what they were of.
    fn work(queue: &Queue<u32>, worker: usize, mut end: impl FnMut(u32)) {
        let mut batch = Batch::default();
        while queue.next(worker, &mut batch, None) == Turn::Work {
            batch.parts.iter().for_each(|part| end(part.item));
        }
    }

    /// The same; returns what it ran.
    fn worker(queue: &Queue<u32>, worker: usize) -> Vec<u32> {
        let mut ran = Vec::new();
        work(queue, worker, |item| ran.push(item));
        ran
    }

    /// Whatever the order of pushes, sleeps and stop, what was accepted is run or handed back, and no worker sleeps on:
    /// in all orders in which threads are interrupted up to three times.
    #[test]
    fn nothing_queued_is_left_and_no_worker_sleeps_for_ever() {
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound = Some(3);
        orders.check(|| {
            let queue = queue(2);
            let workers: Vec<_> = (0..2)
                .map(|number| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || worker(&queue, number))
                })
                .collect();
            let now = queue.clock.now();
            queue.push(now, entry(1)).unwrap();
            queue.push(now, entry(2)).unwrap();
            let mut ended = queue.stop();
            assert!(queue.push(now, entry(3)).is_err());
            ended.extend(workers.into_iter().flat_map(|worker| worker.join().unwrap()));
            ended.sort_unstable();
            assert_eq!(ended, [1, 2]);
        });
    }

    /// Entries come one after the other, the second only once the first has run, while workers fall asleep or are on their
    /// way: whoever was trusted with one and not woken for it, it runs. Otherwise the caller hangs.
    #[test]
    fn an_entry_that_nobody_is_woken_for_runs_too() {
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound = Some(2);
        orders.check(|| {
            let queue = queue(2);
            let slots: [_; 2] = std::array::from_fn(|_| Arc::new(Slot::new(None)));
            let workers: Vec<_> = (0..2)
                .map(|number| {
                    let (queue, slots) = (Arc::clone(&queue), slots.clone());
                    thread::spawn(move || work(&queue, number, |item| slots[item as usize].fill(item)))
                })
                .collect();
            for (item, slot) in (0..).zip(&slots) {
                queue.push(queue.clock.now(), entry(item)).unwrap();
                assert_eq!(slot.wait(), item);
            }
            assert!(queue.stop().is_empty());
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
    }

    /// Whoever runs a batch is trusted with what comes meanwhile, and then held up by a callback that waits for just that:
    /// another worker runs it. Otherwise the caller hangs.
    #[test]
    fn who_is_held_up_by_code_of_others_holds_up_nobody() {
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound = Some(2);
        orders.check(|| {
            let queue = queue(2);
            let slots: [_; 2] = std::array::from_fn(|_| Arc::new(Slot::new(None)));
            let workers: Vec<_> = (0..2)
                .map(|number| {
                    let (queue, slots) = (Arc::clone(&queue), slots.clone());
                    thread::spawn(move || {
                        work(&queue, number, |item| {
                            if item == 0 {
                                assert_eq!(slots[1].wait(), 1);
                            }
                            slots[item as usize].fill(item);
                        });
                    })
                })
                .collect();
            queue.push(queue.clock.now(), entry(0)).unwrap();
            queue.push(queue.clock.now(), entry(1)).unwrap();
            assert_eq!(slots[0].wait(), 0);
            assert!(queue.stop().is_empty());
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
    }

    /// An entry of a request that was accepted earlier, and one that is cancelled, while the only worker falls asleep.
    #[test]
    fn what_is_readmitted_runs_and_what_is_cancelled_does_not() {
        loom::model(|| {
            let queue = queue(1);
            let running = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || worker(&queue, 0))
            };
            let place = queue.readmit(0, entry(1)).expect("not stopped");
            let cancelled = queue.cancel(place);
            let mut ended = queue.stop();
            assert!(queue.readmit(0, entry(2)).is_none(), "stopped");
            ended.extend(running.join().unwrap());
            ended.extend(cancelled);
            assert_eq!(ended, [1], "once");
        });
    }

    /// A worker that goes to sleep while an entry comes is woken: otherwise the caller, who waits for it, hangs.
    #[test]
    fn an_entry_always_finds_a_worker() {
        loom::model(|| {
            let queue = queue(1);
            let ran = Arc::new(Slot::new(None));
            let worker = {
                let (queue, ran) = (Arc::clone(&queue), Arc::clone(&ran));
                thread::spawn(move || work(&queue, 0, |item| ran.fill(item)))
            };
            queue.push(queue.clock.now(), entry(1)).unwrap();
            assert_eq!(ran.wait(), 1);
            assert!(queue.stop().is_empty());
            worker.join().unwrap();
        });
    }
}

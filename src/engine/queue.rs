//! The queue between callers and workers: a batcher behind a lock, and the rule for waking a worker.
//!
//! A worker looks at the batcher and goes to sleep under one and the same lock, and whoever adds an entry notifies under
//! that lock too. So what is queued is either seen by the worker or wakes it.
//!
//! To sleep and to be woken costs more than many a batch. So a worker that finds nothing *lingers*: it gives the
//! processor to others a few times and looks again before it sleeps. While one lingers or is on its way, nobody else is
//! woken, unless so much waits that it is worth a second worker; whoever takes a batch and leaves something wakes the next.

use std::time::{Duration, Instant};

use super::batcher::{Batch, DynamicBatcher, Entry, Next, Place, Policy, Ran, Refusal, Tick};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Condvar, Mutex, PATIENCE, lock, wait, wait_until, yield_now};

/// Time as the engine counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Tick {
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
    /// Workers that will look again before they sleep.
    lingering: usize,
    /// A worker has been notified and has not looked since.
    waking: bool,
    /// No more entries are taken.
    closed: bool,
    /// Workers are to go.
    stopped: bool,
}

/// Rows that a lingering worker is trusted with; one for loom, so that its models have both more and less.
const TRUSTED_ROWS: usize = if cfg!(loom) { 1 } else { 16 };

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
        let batcher = DynamicBatcher::new(policy);
        let state = State { batcher, sleeping: 0, lingering: 0, waking: false, closed: false, stopped: false };
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
        self.wake(&mut state);
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
        self.wake(&mut state);
        Some(place)
    }

    /// Sees to it that a worker comes for what waits.
    fn wake(&self, state: &mut State<T>) {
        let trusted = if state.lingering > 0 { TRUSTED_ROWS } else { 0 };
        if state.sleeping > 0 && !state.waking && state.batcher.rows() > trusted {
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
    pub(crate) fn next(&self, batch: &mut Batch<T>, ran: Option<Ran>) -> Turn {
        let mut state = lock(&self.state);
        if let Some(ran) = ran {
            state.batcher.ran(&ran);
        }
        let mut patience = PATIENCE;
        loop {
            let next = state.batcher.poll(self.clock.now(), batch);
            self.rows.store(state.batcher.rows(), Ordering::Relaxed);
            if next == Next::Run || !batch.expired.is_empty() {
                // What is left is another worker's, if there is one to wake.
                self.wake(&mut state);
                return Turn::Work;
            }
            if state.stopped {
                return Turn::Stop;
            }
            if patience > 0 && next == Next::Idle {
                state.lingering += 1;
                drop(state);
                while patience > 0 && self.rows() == 0 {
                    patience -= 1;
                    yield_now();
                }
                state = lock(&self.state);
                state.lingering -= 1;
                continue;
            }
            state.sleeping += 1;
            state = match next {
                Next::Wait(until) => wait_until(&self.work, state, self.clock.instant(until)),
                _ => wait(&self.work, state),
            };
            state.sleeping -= 1;
            state.waking = false;
            patience = PATIENCE;
        }
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

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::engine::batcher::Group;
    use crate::engine::config::EngineBuilder;
    use crate::engine::slot::Slot;

    fn queue() -> Arc<Queue<u32>> {
        Arc::new(Queue::new(EngineBuilder::default().max_batch_rows(1).policy(2), Clock::start()))
    }

    fn entry(item: u32) -> Entry<u32> {
        Entry { item, group: Group { load: 0, rows: 0 }, class: 0, deadline: None, rows: 1, row_bytes: 4 }
    }

    /// Runs batches until the queue is stopped; returns what it ran.
    fn worker(queue: &Queue<u32>) -> Vec<u32> {
        let (mut batch, mut ran) = (Batch::default(), Vec::new());
        while queue.next(&mut batch, None) == Turn::Work {
            ran.extend(batch.parts.iter().map(|part| part.item));
        }
        ran
    }

    /// Whatever the order of pushes, sleeps and stop, what was accepted is run or handed back, and no worker sleeps on:
    /// in all orders in which threads are interrupted up to three times.
    #[test]
    fn nothing_queued_is_left_and_no_worker_sleeps_for_ever() {
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound = Some(3);
        orders.check(|| {
            let queue = queue();
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || worker(&queue))
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

    /// While both workers linger, sleep or are on their way, entries come one after the other, the second only once the
    /// first has run: whoever was trusted with one and not woken for it, it runs. Otherwise the caller hangs.
    #[test]
    fn who_lingers_is_worth_the_trust() {
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound = Some(2);
        orders.check(|| {
            let queue = queue();
            let slots: [_; 2] = std::array::from_fn(|_| Arc::new(Slot::new(None)));
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    let (queue, slots) = (Arc::clone(&queue), slots.clone());
                    thread::spawn(move || {
                        let mut batch = Batch::default();
                        while queue.next(&mut batch, None) == Turn::Work {
                            batch.parts.iter().for_each(|part| slots[part.item as usize].fill(part.item));
                        }
                    })
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

    /// An entry of a request that was accepted earlier, and one that is cancelled, while the only worker falls asleep.
    #[test]
    fn what_is_readmitted_runs_and_what_is_cancelled_does_not() {
        loom::model(|| {
            let queue = queue();
            let running = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || worker(&queue))
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
            let queue = queue();
            let ran = Arc::new(Slot::new(None));
            let worker = {
                let (queue, ran) = (Arc::clone(&queue), Arc::clone(&ran));
                thread::spawn(move || {
                    let mut batch = Batch::default();
                    while queue.next(&mut batch, None) == Turn::Work {
                        batch.parts.iter().for_each(|part| ran.fill(part.item));
                    }
                })
            };
            queue.push(queue.clock.now(), entry(1)).unwrap();
            assert_eq!(ran.wait(), 1);
            assert!(queue.stop().is_empty());
            worker.join().unwrap();
        });
    }
}

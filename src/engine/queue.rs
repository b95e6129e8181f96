//! The queue between callers and workers, and the rule for waking a worker.
//!
//! Callers leave entries at the *intake*, whose lock nobody holds for longer than a step. A worker that has nothing to do
//! moves all that came in to the batcher, puts it in order there and takes a batch, under a lock that callers seldom
//! meet: only those whose request has a deadline, which may be too close to be kept.
//!
//! A worker looks at the intake and goes to sleep under one and the same lock, and whoever adds an entry looks under that
//! lock who sleeps. So what is queued is either seen by the worker or wakes it.
//!
//! To wake one costs its waker more than many a batch, and the sleeper comes to its senses after tens of microseconds. So
//! nobody is woken for what those awake will have done by then. That trust may be misplaced, for a worker also runs code of
//! others (callbacks, wakers, custom models), which may take as long as it likes: so it is given only while one of those
//! asleep *watches*, that is, looks at the queue again before long by itself.
//!
//! While one worker has been woken and has not looked yet, no other is; whoever takes a batch and leaves more than there
//! are hands for wakes the next.

use std::time::{Duration, Instant};

use super::batcher::{Batch, DynamicBatcher, Entry, Next, Place, Policy, Queued, Ran, Refusal, Tick};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Condvar, Mutex, MutexGuard, lock, nap, wait};
use crate::metrics::Padded;

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

/// What is queued: the queue tells it where it stands once that is settled.
pub(crate) trait Item: Clone {
    /// Called under the queue's lock.
    fn placed(&self, place: Place);
}

pub(crate) struct Queue<T> {
    /// Locked before the intake by those who need both.
    ordered: Mutex<Ordered<T>>,
    intake: Padded<Mutex<Intake<T>>>,
    work: Condvar,
    /// Rows waiting, for those who decide without a lock whether to queue at all.
    rows: Padded<AtomicUsize>,
    policy: Policy,
    clock: Clock,
}

struct Ordered<T> {
    batcher: DynamicBatcher<T>,
    /// Entries on their way from the intake; empty between two moves.
    moving: Vec<(Tick, Entry<T>)>,
}

struct Intake<T> {
    /// Entries that came in, with the time each came at.
    entries: Vec<(Tick, Entry<T>)>,
    /// What they are of all that waits.
    incoming: Queued,
    /// Nanoseconds that they are expected to take; none if that is not known.
    work: Option<Tick>,
    /// What waits in the batcher, or is on its way there; and how long it is expected to take.
    ordered: (Queued, Option<f64>),
    /// Workers asleep.
    sleeping: usize,
    /// One of them watches.
    is_watched: bool,
    /// A worker has been notified and has not looked since.
    waking: bool,
    /// When each worker is expected to look again; none for those asleep, and those of whom it cannot be said.
    due: Box<[Option<Tick>]>,
    /// No more entries are taken.
    closed: bool,
    /// Workers are to go.
    stopped: bool,
}

/// Nanoseconds until a worker that is woken runs: of a processor that was idle for long, on a virtual machine.
const WAKING: Tick = 50_000;

/// Nanoseconds after which a worker that watches looks again.
const WATCH: Tick = 1_000_000;

/// Entries that there is memory for when none is there.
const KEPT: usize = 1024;

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

impl<T: Item> Queue<T> {
    pub(crate) fn new(policy: Policy, clock: Clock) -> Self {
        let ordered = Ordered { batcher: DynamicBatcher::new(policy.clone()), moving: Vec::new() };
        Self {
            ordered: Mutex::new(ordered),
            intake: Padded(Mutex::new(Intake::new(policy.workers))),
            work: Condvar::new(),
            rows: Padded(AtomicUsize::new(0)),
            policy,
            clock,
        }
    }

    /// Rows waiting, as of a moment ago.
    pub(crate) fn rows(&self) -> usize {
        self.rows.0.load(Ordering::Relaxed)
    }

    /// Queues an entry that comes `now` and sees to it that a worker comes. `work` is how many nanoseconds its rows are
    /// expected to add to a batch.
    pub(crate) fn push(&self, now: Tick, entry: Entry<T>, work: Option<Tick>) -> Result<(), NotQueued> {
        if entry.deadline.is_some() {
            return self.push_in_time(now, entry);
        }
        let mut intake = lock(&self.intake.0);
        if intake.closed {
            return Err(NotQueued::Closed);
        }
        self.policy.admit(&intake.waiting(), &entry).map_err(NotQueued::Refused)?;
        intake.incoming.add(&entry);
        intake.work = intake.work.zip(work).map(|(sum, more)| sum.saturating_add(more));
        intake.entries.push((now, entry));
        self.wake(intake, now);
        Ok(())
    }

    /// The same for an entry with a deadline, which has to be kept.
    fn push_in_time(&self, now: Tick, entry: Entry<T>) -> Result<(), NotQueued> {
        let mut ordered = self.in_order();
        if lock(&self.intake.0).closed {
            return Err(NotQueued::Closed);
        }
        let item = entry.item.clone();
        let place = ordered.batcher.push(now, entry).map_err(NotQueued::Refused)?;
        item.placed(place);
        let intake = self.tell(&ordered);
        drop(ordered);
        self.wake(intake, now);
        Ok(())
    }

    /// Queues an entry of a request that was accepted before; nothing if the queue is stopped.
    pub(crate) fn readmit(&self, arrival: Tick, entry: Entry<T>) -> Option<()> {
        let mut ordered = lock(&self.ordered);
        if lock(&self.intake.0).stopped {
            return None;
        }
        let (place, item) = ordered.batcher.insert(arrival, entry);
        item.placed(place);
        let intake = self.tell(&ordered);
        drop(ordered);
        self.wake(intake, self.clock.now());
        Some(())
    }

    /// Makes entries that have rows waiting due earlier, if `due` is. `places` says where they stand; returns where those
    /// stand that have been moved, after where they stood.
    pub(crate) fn raise<P: IntoIterator<Item = Place>>(
        &self,
        places: impl FnOnce() -> P,
        due: Tick,
    ) -> Vec<(Place, Place)> {
        let mut ordered = self.in_order();
        let raise = |place| Some((place, ordered.batcher.raise(place, due)?));
        places().into_iter().filter_map(raise).collect()
    }

    /// Takes out entries that have rows waiting. `places` says where they stand.
    pub(crate) fn cancel<P: IntoIterator<Item = Place>>(&self, places: impl FnOnce() -> P) -> Vec<T> {
        let mut ordered = self.in_order();
        let items = places().into_iter().filter_map(|place| ordered.batcher.cancel(place)).collect();
        drop(self.tell(&ordered));
        items
    }

    /// The next thing for a worker to do, waiting for it if need be. `ran` tells of the batch it had before. `batch` is
    /// best empty: what is dropped here is dropped under the lock.
    pub(crate) fn next(&self, worker: usize, batch: &mut Batch<T>, ran: Option<Ran>) -> Turn {
        let mut ordered = self.in_order();
        if let Some(ran) = ran {
            ordered.batcher.ran(&ran);
        }
        loop {
            let now = self.clock.now();
            let next = ordered.batcher.poll(now, batch);
            let mut intake = self.tell(&ordered);
            if next == Next::Run || !batch.expired.is_empty() {
                drop(ordered);
                intake.due[worker] = batch.expected.map(|nanos| now + nanos as Tick);
                // What is left is another worker's, if there is one to wake.
                self.wake(intake, now);
                return Turn::Work;
            }
            if intake.stopped {
                return Turn::Stop;
            }
            drop(ordered);
            if intake.entries.is_empty() {
                self.sleep(intake, worker, now, next);
            } else {
                drop(intake);
            }
            ordered = self.in_order();
        }
    }

    /// Sleeps until there is something to do, or something may be.
    fn sleep<'a>(&'a self, mut intake: MutexGuard<'a, Intake<T>>, worker: usize, now: Tick, next: Next) {
        intake.due[worker] = None;
        intake.sleeping += 1;
        let watches = intake.sleeping < intake.due.len() && !intake.is_watched;
        intake.is_watched |= watches;
        let mut again = if watches { now + WATCH } else { Tick::MAX };
        loop {
            let until = if let Next::Wait(until) = next { until.min(again) } else { again };
            intake = match until {
                Tick::MAX => wait(&self.work, intake),
                until => nap(&self.intake.0, &self.work, intake, self.clock.instant(until)),
            };
            let all_sleep = intake.sleeping == intake.due.len();
            if !watches || until < again || all_sleep || intake.waking || intake.stopped {
                break;
            }
            // Who watches that others come sleeps on if they do.
            let now = self.clock.now().max(until);
            if !intake.is_in_good_hands(now) {
                break;
            }
            again = now + WATCH;
        }
        intake.sleeping -= 1;
        intake.is_watched &= !watches;
        intake.waking = false;
    }

    /// Reads or changes the batcher.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut DynamicBatcher<T>) -> R) -> R {
        use_it(&mut self.in_order().batcher)
    }

    /// Takes no more entries. What is queued still runs.
    pub(crate) fn close(&self) {
        lock(&self.intake.0).closed = true;
    }

    /// Sends the workers away and returns what they have not begun.
    pub(crate) fn stop(&self) -> Vec<T> {
        let mut ordered = self.in_order();
        let mut intake = lock(&self.intake.0);
        (intake.closed, intake.stopped) = (true, true);
        drop(intake);
        // What came in meanwhile, and the last.
        self.move_in(&mut ordered);
        let left = ordered.batcher.drain();
        drop(self.tell(&ordered));
        self.work.notify_all();
        left
    }

    /// The batcher, with all that has come in.
    fn in_order(&self) -> MutexGuard<'_, Ordered<T>> {
        let mut ordered = lock(&self.ordered);
        self.move_in(&mut ordered);
        ordered
    }

    fn move_in(&self, ordered: &mut Ordered<T>) {
        let Ordered { batcher, moving } = ordered;
        let mut intake = lock(&self.intake.0);
        if intake.entries.is_empty() {
            return;
        }
        std::mem::swap(&mut intake.entries, moving);
        let incoming = std::mem::take(&mut intake.incoming);
        let work = intake.work.replace(0);
        let (waiting, all) = &mut intake.ordered;
        *waiting += incoming;
        *all = all.zip(work).map(|(all, work)| all + work as f64);
        drop(intake);
        for (arrival, entry) in moving.drain(..) {
            let (place, item) = batcher.insert(arrival, entry);
            item.placed(place);
        }
        if moving.capacity() > KEPT {
            *moving = Vec::new();
        }
    }

    /// Tells those at the intake what waits in the batcher.
    fn tell(&self, ordered: &Ordered<T>) -> MutexGuard<'_, Intake<T>> {
        let (waiting, work) = (ordered.batcher.queued(), ordered.batcher.work());
        let mut intake = lock(&self.intake.0);
        intake.ordered = (waiting, work);
        self.rows.0.store(intake.waiting().rows, Ordering::Relaxed);
        intake
    }

    /// Sees to it that a worker comes for what waits.
    fn wake(&self, mut intake: MutexGuard<'_, Intake<T>>, now: Tick) {
        let rows = intake.waiting().rows;
        self.rows.0.store(rows, Ordering::Relaxed);
        if intake.sleeping > 0 && !intake.waking && rows > 0 && !intake.is_in_good_hands(now) {
            intake.waking = true;
            drop(intake);
            self.work.notify_one();
        }
    }
}

impl<T> Intake<T> {
    fn new(workers: usize) -> Self {
        Self {
            entries: Vec::new(),
            incoming: Queued::default(),
            work: Some(0),
            ordered: (Queued::default(), Some(0.0)),
            sleeping: 0,
            is_watched: false,
            waking: false,
            due: vec![None; workers].into(),
            closed: false,
            stopped: false,
        }
    }

    /// All that waits, in the batcher too.
    fn waiting(&self) -> Queued {
        let mut waiting = self.ordered.0;
        waiting += self.incoming;
        waiting
    }

    /// Whether those awake will be done with what waits by the time that one could begin who is woken now, and somebody
    /// watches that they are.
    fn is_in_good_hands(&self, now: Tick) -> bool {
        let work = self.ordered.1.zip(self.work).map(|(ordered, incoming)| ordered + incoming as f64);
        // Who is later than that is held up.
        let on_time = self.due.iter().flatten().filter(|due| **due + WAKING > now);
        let left = on_time.map(|due| (now + WAKING).saturating_sub(now.max(*due)));
        self.is_watched && work.is_some_and(|work| work <= left.sum::<Tick>() as f64)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NOW: Tick = 1_000_000_000;
    const US: Tick = 1_000;

    /// An intake at which so many microseconds of work wait, while one of two workers sleeps and the other, if that is
    /// known, is back at `due`.
    fn intake(due: Option<Tick>, work: Option<Tick>) -> Intake<()> {
        let due = [due, None].into();
        Intake { work: work.map(|work| work * US), sleeping: 1, is_watched: true, due, ..Intake::new(2) }
    }

    fn is_left(due: Tick, work: Tick) -> bool {
        intake(Some(due), Some(work)).is_in_good_hands(NOW)
    }

    #[test]
    fn nobody_is_woken_for_what_will_be_done_by_then() {
        assert!(is_left(NOW + 6 * US, 10), "short rows");
        assert!(is_left(NOW + 10 * US, 20), "a row of 20 µs behind half a one");
        assert!(is_left(NOW, 50) && is_left(NOW - 10 * US, 50), "at once");
    }

    #[test]
    fn somebody_is_woken_for_what_would_wait_longer() {
        assert!(!is_left(NOW + 20 * US, 40), "two rows of 20 µs behind one");
        assert!(!is_left(NOW + 40 * US, 40), "a row of 40 µs behind one");
        assert!(!is_left(NOW + 60 * US, 1), "a short row behind a long one");
    }

    #[test]
    fn who_is_held_up_unwatched_or_of_unknown_cost_is_not_trusted() {
        assert!(!is_left(NOW - 60 * US, 1));
        assert!(!Intake { is_watched: false, ..intake(Some(NOW), Some(1)) }.is_in_good_hands(NOW));
        assert!(!intake(None, Some(1)).is_in_good_hands(NOW) && !intake(Some(NOW), None).is_in_good_hands(NOW));
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread::{self, JoinHandle};

    use super::*;
    use crate::engine::batcher::Group;
    use crate::engine::config::EngineBuilder;
    use crate::engine::slot::Slot;

    const GROUP: Group = Group { load: 0, rows: 0 };

    /// What a row takes: a worker who runs one is trusted with the next, and two are worth waking another.
    const ROW: Tick = WAKING * 2 / 5;

    impl Item for u32 {
        fn placed(&self, _: Place) {}
    }

    /// An item that knows where it stands.
    #[derive(Clone)]
    struct Placed(Arc<Mutex<Option<Place>>>);

    impl Item for Placed {
        fn placed(&self, place: Place) {
            *lock(&self.0) = Some(place);
        }
    }

    fn queue<T: Item>(workers: usize) -> Arc<Queue<T>> {
        let queue = Queue::new(EngineBuilder::default().max_batch_rows(1).policy(workers), Clock::start());
        queue.with(|batcher| {
            (0..3).for_each(|_| batcher.calibrate(GROUP, 1, ROW));
        });
        Arc::new(queue)
    }

    fn entry<T>(item: T) -> Entry<T> {
        Entry { item, group: GROUP, class: 0, deadline: None, rows: 1, row_bytes: 4 }
    }

    fn push<T: Item>(queue: &Queue<T>, entry: Entry<T>) -> Result<(), NotQueued> {
        queue.push(queue.clock.now(), entry, Some(ROW))
    }

    /// Runs batches until the queue is stopped, and tells `end` what they were of.
    fn work<T: Item>(queue: &Queue<T>, worker: usize, mut end: impl FnMut(&T)) {
        let (mut batch, mut ran) = (Batch::default(), None);
        while queue.next(worker, &mut batch, ran.take()) == Turn::Work {
            batch.parts.iter().for_each(|part| end(&part.item));
            ran = batch.ran(0, 0);
        }
    }

    /// The same; returns what it ran.
    fn worker<T: Item>(queue: &Queue<T>, worker: usize) -> Vec<T> {
        let mut ran = Vec::new();
        work(queue, worker, |item| ran.push(item.clone()));
        ran
    }

    /// Two threads that live so.
    fn workers<R: 'static>(
        queue: &Arc<Queue<u32>>,
        life: impl Fn(&Queue<u32>, usize) -> R + Clone + 'static,
    ) -> Vec<JoinHandle<R>> {
        let start = |number| {
            let (queue, life) = (Arc::clone(queue), life.clone());
            thread::spawn(move || life(&queue, number))
        };
        (0..2).map(start).collect()
    }

    /// Explores all orders in which threads are interrupted up to twice.
    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound = Some(2);
        orders.check(model);
    }

    /// Whatever the order of pushes, sleeps and stop, what was accepted is run or handed back, and no worker sleeps on.
    #[test]
    fn nothing_queued_is_left_and_no_worker_sleeps_for_ever() {
        check(|| {
            let queue = queue(2);
            let workers = workers(&queue, worker);
            push(&queue, entry(1)).unwrap();
            push(&queue, Entry { deadline: Some(Tick::MAX), ..entry(2) }).unwrap();
            let mut ended = queue.stop();
            assert!(push(&queue, entry(3)).is_err());
            ended.extend(workers.into_iter().flat_map(|worker| worker.join().unwrap()));
            ended.sort_unstable();
            assert_eq!(ended, [1, 2]);
        });
    }

    /// Two callers meet at the intake while the only worker falls asleep: both entries run.
    #[test]
    fn what_two_callers_queue_at_once_runs() {
        check(|| {
            let queue = queue(1);
            let slots: [_; 2] = std::array::from_fn(|_| Arc::new(Slot::new(None)));
            let other = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || push(&queue, entry(1)).unwrap())
            };
            let worker = {
                let (queue, slots) = (Arc::clone(&queue), slots.clone());
                thread::spawn(move || work(&queue, 0, |item| slots[*item as usize].fill(*item)))
            };
            push(&queue, entry(0)).unwrap();
            (0..).zip(&slots).for_each(|(item, slot)| assert_eq!(slot.wait(), item));
            assert!(queue.stop().is_empty() && queue.rows() == 0);
            other.join().unwrap();
            worker.join().unwrap();
        });
    }

    /// Entries come one after the other, the second only once the first has run, while workers fall asleep or are on their
    /// way: whoever was trusted with one and not woken for it, it runs. Otherwise the caller hangs.
    #[test]
    fn an_entry_that_nobody_is_woken_for_runs_too() {
        check(|| {
            let queue = queue(2);
            let slots: [_; 2] = std::array::from_fn(|_| Arc::new(Slot::new(None)));
            let filled = slots.clone();
            let fill = move |item: &u32| filled[*item as usize].fill(*item);
            let workers = workers(&queue, move |queue, number| work(queue, number, &fill));
            for (item, slot) in (0..).zip(&slots) {
                push(&queue, entry(item)).unwrap();
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
        check(|| {
            let queue = queue(2);
            let slots: [_; 2] = std::array::from_fn(|_| Arc::new(Slot::new(None)));
            let filled = slots.clone();
            let fill = move |item: &u32| {
                if *item == 0 {
                    assert_eq!(filled[1].wait(), 1);
                }
                filled[*item as usize].fill(*item);
            };
            let workers = workers(&queue, move |queue, number| work(queue, number, &fill));
            push(&queue, entry(0)).unwrap();
            push(&queue, entry(1)).unwrap();
            assert_eq!(slots[0].wait(), 0);
            assert!(queue.stop().is_empty());
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
    }

    /// An entry of a request that was accepted earlier, and one that is cancelled, while the only worker falls asleep:
    /// either is run, handed back or taken out, once.
    #[test]
    fn what_is_readmitted_runs_and_what_is_cancelled_does_not() {
        check(|| {
            let queue = queue(1);
            let running = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || worker(&queue, 0).len())
            };
            let items: [_; 2] = std::array::from_fn(|_| Placed(Arc::default()));
            push(&queue, entry(items[0].clone())).unwrap();
            let cancelled = queue.cancel(|| lock(&items[0].0).take());
            queue.readmit(0, entry(items[1].clone())).expect("not stopped");
            let left = queue.stop();
            assert!(queue.readmit(0, entry(items[1].clone())).is_none(), "stopped");
            assert_eq!(cancelled.len() + left.len() + running.join().unwrap(), 2);
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
                thread::spawn(move || work(&queue, 0, |item| ran.fill(*item)))
            };
            push(&queue, entry(1)).unwrap();
            assert_eq!(ran.wait(), 1);
            assert!(queue.stop().is_empty());
            worker.join().unwrap();
        });
    }
}

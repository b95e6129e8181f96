//! How many requests are queued or under way, how many threads predict, and the wait until there are none.

use std::time::Instant;

use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use super::sync::{Condvar, Mutex, lock, wait_until};
use crate::metrics::Padded;

pub(crate) struct Occupancy {
    /// Queued requests that have not ended.
    in_flight: Padded<AtomicUsize>,
    max_in_flight: usize,
    /// Threads that predict: workers, callers who run their own request, bulk predictions.
    running: Padded<AtomicUsize>,
    max_running: usize,
    draining: AtomicBool,
    quiet: Mutex<()>,
    became_quiet: Condvar,
}

/// Counts its holder among those who predict.
pub(crate) struct Busy<'a>(&'a Occupancy);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.less(&self.0.running.0, 1);
    }
}

impl Occupancy {
    /// For up to `max_in_flight` requests and `workers` workers.
    pub(crate) fn new(max_in_flight: usize, workers: usize) -> Self {
        Self {
            in_flight: Padded::default(),
            max_in_flight,
            running: Padded::default(),
            max_running: workers,
            draining: AtomicBool::new(false),
            quiet: Mutex::new(()),
            became_quiet: Condvar::new(),
        }
    }

    /// Counts a request that is to be queued, if there is room for one more.
    pub(crate) fn admit(&self) -> bool {
        // Under overload most requests end here, without a write to what others read.
        if self.in_flight() >= self.max_in_flight {
            return false;
        }
        let has_room = self.in_flight.0.fetch_add(1, Ordering::SeqCst) < self.max_in_flight;
        if !has_room {
            self.ended(1);
        }
        has_room
    }

    /// So many of the requests in flight have ended.
    pub(crate) fn ended(&self, requests: usize) {
        self.less(&self.in_flight.0, requests);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::Relaxed)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.0.load(Ordering::Relaxed)
    }

    /// Counts the caller among those who predict.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.running.0.fetch_add(1, Ordering::SeqCst);
        Busy(self)
    }

    /// The same, if fewer than there are workers do.
    pub(crate) fn busy_if_free(&self) -> Option<Busy<'_>> {
        let running = &self.running.0;
        let mut now = running.load(Ordering::Relaxed);
        while now < self.max_running {
            match running.compare_exchange_weak(now, now + 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return Some(Busy(self)),
                Err(changed) => now = changed,
            }
        }
        None
    }

    /// Counts down; who waits for quiet looks again.
    fn less(&self, counter: &AtomicUsize, by: usize) {
        counter.fetch_sub(by, Ordering::SeqCst);
        if self.is_draining() {
            let _quiet = lock(&self.quiet);
            self.became_quiet.notify_all();
        }
    }

    /// Whether [`drain`](Self::drain) has been called: nobody may begin anything then.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// From now on [`is_draining`](Self::is_draining). Whoever has counted itself before it asks that is waited for.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Waits until nothing is in flight and nobody predicts, but not beyond `until`.
    pub(crate) fn wait_until_quiet(&self, until: Instant) {
        let is_quiet = || self.in_flight.0.load(Ordering::SeqCst) == 0 && self.running.0.load(Ordering::SeqCst) == 0;
        let mut quiet = lock(&self.quiet);
        while !is_quiet() && Instant::now() < until {
            quiet = wait_until(&self.became_quiet, quiet, until);
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Two want the only turn, and room for the only request: one at a time has each, and in the end both are free.
    #[test]
    fn no_more_are_let_in_than_there_is_room_for() {
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        loom::model(|| {
            let all = Arc::new((Occupancy::new(1, 1), AtomicUsize::new(0), AtomicUsize::new(0)));
            let alone = |inside: &AtomicUsize| {
                assert_eq!(inside.fetch_add(1, Relaxed), 0);
                thread::yield_now();
                inside.fetch_sub(1, Relaxed);
            };
            let try_both = move |(occupancy, predicting, queued): &(Occupancy, AtomicUsize, AtomicUsize)| {
                if let Some(_turn) = occupancy.busy_if_free() {
                    alone(predicting);
                }
                if occupancy.admit() {
                    alone(queued);
                    occupancy.ended(1);
                }
            };
            let other = {
                let all = Arc::clone(&all);
                thread::spawn(move || try_both(&all))
            };
            try_both(&all);
            other.join().unwrap();
            let occupancy = &all.0;
            assert_eq!((occupancy.running(), occupancy.in_flight()), (0, 0));
            assert!(occupancy.busy_if_free().is_some() && occupancy.admit() && !occupancy.admit());
        });
    }
}

//! The place where a request's result is left and picked up: filled once, taken once.
//!
//! A slot knows nothing of requests. Who may fill it is settled by [`Slot::claim`]: of all who try to end a request (a
//! worker with a value, a deadline, a caller who gave up, a shutdown) exactly one is told that it does.

use std::task::{Poll, Waker};
use std::time::Instant;

use super::sync::atomic::{AtomicBool, Ordering};
use super::sync::{Condvar, Mutex, MutexGuard, PATIENCE, lock, wait, wait_until, yield_now};

pub(crate) struct Slot<R> {
    claimed: AtomicBool,
    inner: Mutex<Inner<R>>,
    filled: Condvar,
}

struct Inner<R> {
    state: State<R>,
    /// Threads asleep until it is filled.
    sleeping: usize,
}

enum State<R> {
    /// Not filled; who wants to hear of it, beside a thread that may wait.
    Empty(Option<Listener<R>>),
    Full(R),
    Taken,
}

enum Listener<R> {
    Task(Waker),
    Callback(Box<dyn FnOnce(R) + Send>),
}

impl<R> Slot<R> {
    /// An empty slot. A callback, if there is one, takes the result on the thread that fills the slot.
    pub(crate) fn new(callback: Option<Box<dyn FnOnce(R) + Send>>) -> Self {
        Self {
            claimed: AtomicBool::new(false),
            inner: Mutex::new(Inner { state: State::Empty(callback.map(Listener::Callback)), sleeping: 0 }),
            filled: Condvar::new(),
        }
    }

    /// Whether the caller is the one who ends the request. True for exactly one call; whoever gets it fills the slot,
    /// or knows that nobody will look.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Whether somebody has ended the request, or is about to.
    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }

    /// Leaves the result. Only for who was told so by [`claim`](Self::claim).
    pub(crate) fn fill(&self, result: R) {
        let mut inner = lock(&self.inner);
        match std::mem::replace(&mut inner.state, State::Taken) {
            State::Empty(Some(Listener::Callback(callback))) => {
                drop(inner);
                callback(result);
            }
            State::Empty(listener) => {
                inner.state = State::Full(result);
                let sleeping = inner.sleeping;
                drop(inner);
                // Who has polled may have stopped doing so, and wait.
                if sleeping > 0 {
                    self.filled.notify_all();
                }
                if let Some(Listener::Task(waker)) = listener {
                    waker.wake();
                }
            }
            State::Full(_) | State::Taken => unreachable!("only the one claimer fills a slot"),
        }
    }

    /// The result, once there is one. A second call waits for ever, so there must be none.
    pub(crate) fn wait(&self) -> R {
        let mut inner = self.linger();
        loop {
            if let Some(result) = take(&mut inner.state) {
                return result;
            }
            inner.sleeping += 1;
            inner = wait(&self.filled, inner);
            inner.sleeping -= 1;
        }
    }

    /// Gives the processor to others for a while, unless the request has ended.
    fn linger(&self) -> MutexGuard<'_, Inner<R>> {
        for _ in 0..PATIENCE {
            if self.is_claimed() {
                break;
            }
            yield_now();
        }
        lock(&self.inner)
    }

    /// The result, if there is one before `until`.
    pub(crate) fn wait_until(&self, until: Instant) -> Option<R> {
        let mut inner = self.linger();
        loop {
            if let Some(result) = take(&mut inner.state) {
                return Some(result);
            }
            if Instant::now() >= until {
                return None;
            }
            inner.sleeping += 1;
            inner = wait_until(&self.filled, inner, until);
            inner.sleeping -= 1;
        }
    }

    /// The result if it is there; else `waker` is woken when it is.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<R> {
        let mut inner = lock(&self.inner);
        if let Some(result) = take(&mut inner.state) {
            return Poll::Ready(result);
        }
        if let State::Empty(listener) = &mut inner.state {
            *listener = Some(Listener::Task(waker.clone()));
        }
        Poll::Pending
    }
}

fn take<R>(state: &mut State<R>) -> Option<R> {
    match std::mem::replace(state, State::Taken) {
        State::Full(result) => Some(result),
        other => {
            *state = other;
            None
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// A worker, a deadline and a caller who gives up race to end one request.
    #[test]
    fn a_request_ends_once_and_its_waiter_hears_of_it() {
        loom::model(|| {
            let slot = Arc::new(Slot::new(None));
            let enders: Vec<_> = (0..2)
                .map(|ender| {
                    let slot = Arc::clone(&slot);
                    thread::spawn(move || {
                        let ends = slot.claim();
                        if ends {
                            slot.fill(ender);
                        }
                        ends
                    })
                })
                .collect();
            let result = slot.wait();
            let ends: Vec<_> = enders.into_iter().map(|ender| ender.join().unwrap()).collect();
            assert_eq!(ends, [result == 0, result == 1]);
        });
    }

    /// A task polls while the result comes: it gets it at once, or is woken.
    #[test]
    fn a_waker_is_never_lost() {
        use std::task::Wake;
        struct Notify(loom::sync::Notify);
        impl Wake for Notify {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.notify();
            }
        }
        loom::model(|| {
            let slot = Arc::new(Slot::new(None));
            let filler = Arc::clone(&slot);
            let filler = thread::spawn(move || {
                assert!(filler.claim());
                filler.fill(7);
            });
            let notify = std::sync::Arc::new(Notify(loom::sync::Notify::new()));
            let waker = Waker::from(std::sync::Arc::clone(&notify));
            let result = loop {
                match slot.poll(&waker) {
                    Poll::Ready(result) => break result,
                    Poll::Pending => notify.0.wait(),
                }
            };
            assert_eq!(result, 7);
            filler.join().unwrap();
        });
    }

    /// A caller polls once, gives that up and waits.
    #[test]
    fn who_has_polled_may_wait() {
        loom::model(|| {
            let slot = Arc::new(Slot::new(None));
            let filler = Arc::clone(&slot);
            let filler = thread::spawn(move || {
                assert!(filler.claim());
                filler.fill(7);
            });
            match slot.poll(Waker::noop()) {
                Poll::Ready(result) => assert_eq!(result, 7),
                Poll::Pending => assert_eq!(slot.wait(), 7),
            }
            filler.join().unwrap();
        });
    }

    /// The caller drops its ticket while a worker finishes: one of them ends the request.
    #[test]
    fn giving_up_and_finishing_exclude_each_other() {
        loom::model(|| {
            let slot: Arc<Slot<u32>> = Arc::new(Slot::new(None));
            let worker = Arc::clone(&slot);
            let worker = thread::spawn(move || {
                let ends = worker.claim();
                if ends {
                    worker.fill(1);
                }
                ends
            });
            let cancelled = slot.claim();
            assert_ne!(worker.join().unwrap(), cancelled);
            assert!(slot.is_claimed());
        });
    }
}

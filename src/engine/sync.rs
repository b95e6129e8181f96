//! The primitives that the engine's threads meet at; loom's own when its models run.

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(loom)]
pub(crate) use loom::thread::yield_now;
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;

use std::time::Instant;

/// How often a caller lets others run before it sleeps for want of something: a few microseconds in all if nobody else
/// needs the processor, which is about what falling asleep and being woken cost.
pub(crate) const PATIENCE: u32 = if cfg!(loom) { 1 } else { 16 };

/// The guard of `mutex`. Nothing panics under the engine's locks, so a poisoned one is sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Waits for a notification.
pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Waits for a notification, but not beyond `until`.
pub(crate) fn wait_until<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>, until: Instant) -> MutexGuard<'a, T> {
    let left = until.saturating_duration_since(Instant::now());
    condition.wait_timeout(guard, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0
}

/// The same, where it matters that the time comes: in loom's models it always has come, and no notification before it.
pub(crate) fn nap<'a, T>(
    mutex: &'a Mutex<T>,
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    until: Instant,
) -> MutexGuard<'a, T> {
    if cfg!(loom) {
        drop(guard);
        yield_now();
        return lock(mutex);
    }
    wait_until(condition, guard, until)
}

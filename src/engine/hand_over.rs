//! Whether a submitting thread hands over a request that it could run itself.
//!
//! Who submits much is not to be held up by running it, and rows that come together cost less in a batch. Where requests
//! come further apart than several times what one takes, nothing is gained by that, and the way to a worker and back is
//! saved; nor is it where the way takes longer than the run.

use super::batcher::Tick;
use super::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct HandOver {
    /// When the last request came that might have been run by its submitter, plus one; 0 before the first.
    last: AtomicU64,
}

/// Requests that come within so many times what one takes are handed over.
const APART: Tick = 8;

/// Nanoseconds that handing a request over takes, of two threads together.
const WAY: Tick = 1_000;

impl HandOver {
    /// `expected` is what the request that comes `now` will take, in nanoseconds.
    pub(super) fn is_due(&self, expected: Tick, now: Tick) -> bool {
        if expected <= WAY {
            return false;
        }
        let last = self.last.swap(now + 1, Ordering::Relaxed);
        last > 0 && now.saturating_sub(last - 1) < APART.saturating_mul(expected)
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Of requests that come at once only the first is its submitter's to run, whatever order their clocks were read in.
    #[test]
    fn of_two_that_come_at_once_one_is_handed_over() {
        loom::model(|| {
            let hand_over = Arc::new(HandOver::default());
            let other = {
                let hand_over = Arc::clone(&hand_over);
                thread::spawn(move || hand_over.is_due(4_000, 1_000))
            };
            assert_ne!(hand_over.is_due(4_000, 2_000), other.join().unwrap());
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn requests_that_come_close_together_are_handed_over() {
        let hand_over = HandOver::default();
        let came = |at| hand_over.is_due(4_000, at);
        assert!(!came(0), "the first");
        assert!(came(1_000) && came(2_000) && came(33_999), "each within 32 µs of the one before");
        assert!(!came(65_999), "the next is further apart");
        assert!(came(66_000));
    }

    #[test]
    fn what_takes_no_longer_than_the_way_to_a_worker_is_not_handed_over() {
        let hand_over = HandOver::default();
        assert!((0..10).all(|at| !hand_over.is_due(WAY, at)));
        assert!(!hand_over.is_due(WAY + 1, 10) && hand_over.is_due(WAY + 1, 11));
    }
}

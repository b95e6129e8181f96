//! Whether the cache is worth its cost: what lookups and insertions took, against what the hits saved.
//!
//! A policy without a clock: it counts lookups. After a window in which the cache cost more than it gained, it is left
//! out for a number of lookups, twice as many each time, and then tried for a window again.

/// Lookups between two decisions.
const WINDOW: u64 = 8_192;
/// Lookups that are left out after the first bad window, and at most.
const FIRST_PAUSE: u64 = 8 * WINDOW;
const LONGEST_PAUSE: u64 = 512 * WINDOW;

pub(super) struct Profit {
    window: Window,
    pause: u64,
}

/// Lookups with what they gained and cost.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) lookups: u64,
    /// Those after which a row was computed and inserted.
    pub(super) misses: u64,
    /// Nanoseconds that hits saved.
    pub(super) gain: u64,
    /// Nanoseconds of one lookup: the least that was measured, since a thread may be stopped in the middle.
    pub(super) once: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { lookups: 0, misses: 0, gain: 0, once: u64::MAX }
    }
}

impl Window {
    /// A miss is taken to cost three lookups: the row is inserted, and something leaves.
    fn cost(&self) -> u64 {
        self.once.saturating_mul(self.lookups + 2 * self.misses)
    }
}

impl Default for Profit {
    fn default() -> Self {
        Self { window: Window::default(), pause: FIRST_PAUSE }
    }
}

impl Profit {
    /// Returns how many lookups to leave out from now on, if a window has ended in which the cache did not pay.
    pub(super) fn record(&mut self, more: Window) -> Option<u64> {
        let window = &mut self.window;
        window.lookups += more.lookups;
        window.misses += more.misses;
        window.gain = window.gain.saturating_add(more.gain);
        window.once = window.once.min(more.once);
        if window.lookups < WINDOW {
            return None;
        }
        let pays = window.gain >= window.cost();
        let pause = self.pause;
        *self = Self { pause: if pays { FIRST_PAUSE } else { (2 * pause).min(LONGEST_PAUSE) }, ..Self::default() };
        (!pays).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_does_not_pay_is_left_out_for_longer_each_time() {
        let mut profit = Profit::default();
        let window = |hits, saved| Window { lookups: WINDOW, misses: WINDOW - hits, gain: hits * saved, once: 100 };
        assert_eq!(profit.record(Window { lookups: WINDOW - 1, ..window(0, 0) }), None);
        assert_eq!(profit.record(Window { lookups: 1, ..window(0, 0) }), Some(FIRST_PAUSE));
        assert_eq!(profit.record(window(WINDOW / 2, 399)), Some(2 * FIRST_PAUSE));
        assert_eq!(profit.record(window(WINDOW / 2, 400)), None);
        assert_eq!(profit.record(window(WINDOW, 99)), Some(FIRST_PAUSE));
        let pauses: Vec<_> = (0..20).filter_map(|_| profit.record(window(0, 0))).collect();
        assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE));
    }

    #[test]
    fn a_lookup_that_was_interrupted_does_not_count() {
        let mut profit = Profit::default();
        let part = Window { lookups: WINDOW / 2, misses: 0, gain: 200 * WINDOW, once: 100 };
        assert_eq!(profit.record(Window { once: 10_000_000, ..part }), None);
        assert_eq!(profit.record(part), None);
    }
}

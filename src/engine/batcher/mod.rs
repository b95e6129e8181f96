//! Which rows run together, and when: a pure state machine, fed events and a time.
//!
//! **Order.** An entry's *virtual deadline* is `min(deadline, arrival + budget of its class)`; the earliest runs first,
//! ties by arrival. That one comparison gives priority, deadline order and an end to waiting: an entry's key never
//! changes while newcomers' keys grow with the clock, so once its budget has passed nobody overtakes it any more.
//!
//! **Bound.** From `arrival + budget` on, each batch starts with an entry that is due before it, or with it: it waits for
//! no more than the rows queued before it then, of which there are at most `queue_rows`.
//!
//! **Groups.** Entries run together only within a [`Group`]: one load of one model, one type and layout of rows. Nothing
//! that shapes an answer is ever shared between two requests.
//!
//! **Size.** At most the configured rows and bytes. `Fixed` and `Dynamic` may wait for a batch to fill, `Adaptive` never
//! does: it takes what is there, up to the knee of the fitted cost and to what the most urgent entry has time for, and
//! less where batches made rows late (multiplicative decrease, additive increase).

mod cost;
mod line;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use cost::Cost;
use line::{Key, Line};
use report::Record;
pub use report::{BatchingReport, Recommendation};

use super::config::{BatchingStrategy, CLASSES};

/// Nanoseconds since the engine started.
pub(crate) type Tick = u64;

/// What may run together: a load of a model (a number of its own each time) and a type of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Group {
    pub(crate) load: u32,
    pub(crate) rows: u8,
}

/// What decides how entries become batches; checked by the engine's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) strategy: BatchingStrategy,
    pub(crate) max_batch_rows: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) max_delay: Duration,
    pub(crate) queue_rows: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) budgets: [Duration; CLASSES],
    pub(crate) workers: usize,
}

impl Policy {
    /// The virtual deadline of an entry that came at `arrival`.
    pub(crate) fn due(&self, arrival: Tick, class: usize, deadline: Option<Tick>) -> Tick {
        arrival.saturating_add(nanos(self.budgets[class])).min(deadline.unwrap_or(Tick::MAX))
    }

    /// Whether there is room for an entry beside what waits.
    pub(crate) fn admit<T>(&self, waiting: &Queued, entry: &Entry<T>) -> Result<(), Refusal> {
        let (room, bytes) = ((self.queue_rows as f64 * ROOM[entry.class]) as usize, entry.rows * entry.row_bytes);
        // A request larger than the queue is let in when nothing else is: it is there already, and splits.
        if waiting.rows > 0 && waiting.rows + entry.rows > room {
            return Err(Refusal::Rows(waiting.rows, room));
        }
        if waiting.rows > 0 && waiting.bytes + bytes > self.queue_bytes {
            return Err(Refusal::Bytes(waiting.bytes, self.queue_bytes));
        }
        Ok(())
    }
}

/// What the batcher knows of a request; `item` is the caller's handle of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    pub(crate) item: T,
    pub(crate) group: Group,
    /// Index of its class, 0 the most urgent.
    pub(crate) class: usize,
    pub(crate) deadline: Option<Tick>,
    pub(crate) rows: usize,
    pub(crate) row_bytes: usize,
}

/// Where an entry stands; what [`DynamicBatcher::cancel`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    group: Group,
    key: Key,
    at: u32,
}

/// Why an entry is not accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Rows waiting, and how many may.
    Rows(usize, usize),
    /// Bytes waiting, and how many may.
    Bytes(usize, usize),
    /// Nanoseconds it is expected to take, and those left until its deadline.
    TooLate(u64, u64),
    /// Its deadline has passed.
    Expired,
}

/// Rows of one entry in a batch.
#[derive(Clone, Debug)]
pub(crate) struct Part<T> {
    pub(crate) item: T,
    pub(crate) rows: Range<usize>,
    due: Tick,
}

/// Rows to run together, and entries that ran out of time before they ran. Reused from poll to poll.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) parts: Vec<Part<T>>,
    pub(crate) expired: Vec<T>,
    pub(crate) rows: usize,
    /// Nanoseconds it is expected to take, if there is anything to go by.
    pub(crate) expected: Option<f64>,
    group: Option<Group>,
    full: bool,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), expired: Vec::new(), rows: 0, expected: None, group: None, full: false }
    }
}

impl<T> Batch<T> {
    /// What is to be learnt from this batch, which ran from `start` to `end`; nothing of an empty one.
    pub(crate) fn ran(&self, start: Tick, end: Tick) -> Option<Ran> {
        let rows = |parts: &mut dyn Iterator<Item = &Part<T>>| parts.map(|part| part.rows.len()).sum();
        Some(Ran {
            group: self.group?,
            rows: self.rows,
            full: self.full,
            took: end.saturating_sub(start),
            late: rows(&mut self.parts.iter().filter(|part| part.due < end)),
            made_late: rows(&mut self.parts.iter().filter(|part| (start..end).contains(&part.due))),
        })
    }
}

/// A batch that ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    group: Group,
    rows: usize,
    full: bool,
    /// Nanoseconds.
    took: Tick,
    /// Rows that ended after they were due.
    late: usize,
    /// Those of them that were not late before they ran, which is no fault of the batch's size.
    made_late: usize,
}

/// What to do after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The batch has parts: run them.
    Run,
    /// Nothing is due before this time, unless something arrives.
    Wait(Tick),
    /// Nothing is queued.
    Idle,
}

#[derive(Debug)]
struct Waiting<T> {
    entry: Entry<T>,
    arrival: Tick,
    /// Rows that ran or are running.
    taken: usize,
}

impl<T> Waiting<T> {
    fn rows_left(&self) -> usize {
        self.entry.rows - self.taken
    }

    /// What ran in part already is finished: its rows are paid for.
    fn is_expired(&self, now: Tick) -> bool {
        self.taken == 0 && self.entry.deadline.is_some_and(|deadline| deadline <= now)
    }
}

#[derive(Debug)]
struct Lane<T> {
    entries: Line<Waiting<T>>,
    /// Rows waiting, by class.
    rows: [usize; CLASSES],
    cost: Cost,
    /// Rows that ran.
    ran: u64,
    /// It stands in the list of lanes that have entries.
    is_listed: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        let (entries, cost) = (Line::default(), Cost::default());
        Self { entries, rows: [0; CLASSES], cost, ran: 0, is_listed: false }
    }
}

/// Share of the queue's rows that may be taken when an entry of each class arrives, so that no class locks out those
/// more urgent.
const ROOM: [f64; CLASSES] = [1.0, 0.95, 0.9, 0.75];

/// Even where the fixed cost is small a kernel likes its lanes full.
const LEAST_KNEE: usize = 16;

/// Share of the time until a deadline that a batch may be expected to take.
const SLACK: f64 = 0.9;

/// Batches between two decisions on the limit.
const WINDOW: u32 = 32;

/// Share of late rows that is tolerated.
const TOLERATED: f64 = 0.01;

/// The batcher. See the module's head for its rules.
#[derive(Debug)]
pub(crate) struct DynamicBatcher<T> {
    policy: Policy,
    lanes: BTreeMap<Group, Lane<T>>,
    /// The lanes that have entries, and perhaps some that had: there may be many more lanes than are in use.
    listed: Vec<Group>,
    arrivals: u64,
    waiting: Queued,
    /// Rows of a batch that the recent misses allow; between 1 and `max_batch_rows`.
    limit: f64,
    window: Window,
    record: Record,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queued {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl std::ops::AddAssign for Queued {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.bytes += more.bytes;
    }
}

impl Queued {
    pub(crate) fn add<T>(&mut self, entry: &Entry<T>) {
        self.rows += entry.rows;
        self.bytes += entry.rows * entry.row_bytes;
    }

    /// Rows of an entry wait no more; `of_class` counts those of its lane and class.
    fn forget(&mut self, of_class: &mut usize, rows: usize, row_bytes: usize) {
        *of_class -= rows;
        self.rows -= rows;
        self.bytes -= rows * row_bytes;
    }
}

#[derive(Debug, Default)]
struct Window {
    batches: u32,
    rows: usize,
    late: usize,
}

impl<T: Clone> DynamicBatcher<T> {
    pub(crate) fn new(policy: Policy) -> Self {
        let limit = policy.max_batch_rows as f64;
        Self {
            policy,
            lanes: BTreeMap::new(),
            listed: Vec::new(),
            arrivals: 0,
            waiting: Queued::default(),
            limit,
            window: Window::default(),
            record: Record::default(),
        }
    }

    /// Entries waiting, their rows and bytes.
    pub(crate) fn waiting(&self) -> (usize, usize, usize) {
        (self.lanes.values().map(|lane| lane.entries.len()).sum(), self.waiting.rows, self.waiting.bytes)
    }

    /// Rows and bytes waiting.
    pub(crate) fn queued(&self) -> Queued {
        self.waiting
    }

    /// Queues an entry of at least one row.
    pub(crate) fn push(&mut self, now: Tick, entry: Entry<T>) -> Result<Place, Refusal> {
        if entry.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refusal::Expired);
        }
        self.policy.admit(&self.waiting, &entry)?;
        if let Some(deadline) = entry.deadline {
            let expected = self.expected(&entry) as u64;
            if now.saturating_add(expected) > deadline {
                return Err(Refusal::TooLate(expected, deadline - now));
            }
        }
        Ok(self.insert(now, entry).0)
    }

    /// Queues an entry that was accepted earlier, whatever there is room for: `arrival` is when it came. Returns where it
    /// stands, and its item there.
    pub(crate) fn insert(&mut self, arrival: Tick, entry: Entry<T>) -> (Place, &T) {
        let due = self.policy.due(arrival, entry.class, entry.deadline);
        let (group, key) = (entry.group, (due, self.arrivals));
        self.arrivals += 1;
        self.waiting.add(&entry);
        let lane = self.lanes.entry(group).or_default();
        if !std::mem::replace(&mut lane.is_listed, true) {
            self.listed.push(group);
        }
        lane.rows[entry.class] += entry.rows;
        let (at, waiting) = lane.entries.insert(key, entry.class, Waiting { entry, arrival, taken: 0 });
        (Place { group, key, at }, &waiting.entry.item)
    }

    /// Makes an entry that has rows waiting due earlier: somebody more urgent waits for it, too. Nothing if it is due by
    /// then already.
    pub(crate) fn raise(&mut self, place: Place, due: Tick) -> Option<Place> {
        let raised = Place { key: (due, place.key.1), ..place };
        let entries = &mut self.lanes.get_mut(&place.group)?.entries;
        (raised.key < place.key && entries.raise(place.key, place.at, raised.key)).then_some(raised)
    }

    /// Nanoseconds until an entry ends: the work of its class and of more urgent ones, spread over the workers, and its
    /// own. Zero while costs are unknown.
    fn expected(&self, entry: &Entry<T>) -> f64 {
        let batch_rows = self.policy.max_batch_rows;
        let ahead = self.listed().map(|(_, lane)| {
            let rows: usize = lane.rows[..=entry.class].iter().sum();
            lane.cost.predict(rows, batch_rows)
        });
        let own = self.lanes.get(&entry.group).map_or(0.0, |lane| lane.cost.predict(entry.rows, batch_rows));
        ahead.sum::<f64>() / self.policy.workers as f64 + own
    }

    /// Nanoseconds that all that waits is expected to take; none if that is not known.
    pub(crate) fn work(&self) -> Option<f64> {
        let of_lane = |(_, lane): (Group, &Lane<T>)| {
            let rows = lane.rows.iter().sum();
            (rows == 0 || lane.cost.is_known()).then(|| lane.cost.predict(rows, self.policy.max_batch_rows))
        };
        self.listed().map(of_lane).sum()
    }

    /// The lanes that have entries, and perhaps some that had.
    fn listed(&self) -> impl Iterator<Item = (Group, &Lane<T>)> {
        self.listed.iter().filter_map(|&group| Some((group, self.lanes.get(&group)?)))
    }

    /// Takes an entry out before its rows have all been taken; `None` if they have.
    pub(crate) fn cancel(&mut self, place: Place) -> Option<T> {
        let lane = self.lanes.get_mut(&place.group)?;
        let waiting = lane.entries.remove(place.key, place.at)?;
        let (rows, entry) = (waiting.rows_left(), waiting.entry);
        self.waiting.forget(&mut lane.rows[entry.class], rows, entry.row_bytes);
        Some(entry.item)
    }

    /// Fills `batch` with what is to run now, if anything is due. Entries whose deadline has passed go to
    /// `batch.expired`, whatever is returned.
    pub(crate) fn poll(&mut self, now: Tick, batch: &mut Batch<T>) -> Next {
        batch.parts.clear();
        batch.expired.clear();
        (batch.rows, batch.expected, batch.group, batch.full) = (0, None, None, false);
        loop {
            self.expire_firsts(now, batch);
            let mut earliest: Option<(Key, Group)> = None;
            let mut wake = Tick::MAX;
            for (group, lane) in self.listed() {
                let Some((key, _)) = lane.entries.first() else { continue };
                let due = self.due_at(lane);
                if due > now {
                    wake = wake.min(due);
                } else if earliest.is_none_or(|(first, _)| key < first) {
                    earliest = Some((key, group));
                }
            }
            let Some((_, group)) = earliest else {
                return if wake == Tick::MAX { Next::Idle } else { Next::Wait(wake) };
            };
            self.fill(now, group, batch);
            if !batch.parts.is_empty() {
                batch.group = Some(group);
                batch.expected = self.expected_run(group, batch.rows);
                return Next::Run;
            }
            // All that was due had expired: look again.
        }
    }

    /// Takes expired entries off the front of every lane: they must not lend their place to those behind them. Lanes
    /// that are empty leave the list.
    fn expire_firsts(&mut self, now: Tick, batch: &mut Batch<T>) {
        let Self { lanes, listed, waiting, .. } = self;
        listed.retain(|group| {
            let Some(lane) = lanes.get_mut(group) else { return false };
            while let Some((_, first)) = lane.entries.first()
                && first.is_expired(now)
                && let Some(Waiting { entry, .. }) = lane.entries.pop()
            {
                waiting.forget(&mut lane.rows[entry.class], entry.rows, entry.row_bytes);
                batch.expired.push(entry.item);
            }
            lane.is_listed = !lane.entries.is_empty();
            lane.is_listed
        });
    }

    /// When a lane that is not empty may run: at once, or later if it is worth waiting for more rows.
    fn due_at(&self, lane: &Lane<T>) -> Tick {
        let (delay, enough) = match self.policy.strategy {
            BatchingStrategy::Fixed(rows) => (self.policy.max_delay, rows),
            BatchingStrategy::Dynamic => (self.policy.max_delay, self.policy.max_batch_rows),
            BatchingStrategy::Adaptive => return 0,
        };
        let rows: usize = lane.rows.iter().sum();
        if delay.is_zero() || rows >= enough {
            return 0;
        }
        // Fewer entries than a batch has rows. A deadline leaves room for the run itself.
        let run = lane.cost.predict(rows, self.policy.max_batch_rows) / SLACK;
        let of_entry = |waiting: &Waiting<T>| {
            let last_call = waiting.entry.deadline.map_or(Tick::MAX, |deadline| deadline.saturating_sub(run as u64));
            waiting.arrival.saturating_add(nanos(delay)).min(last_call)
        };
        lane.entries.values().map(of_entry).min().unwrap_or(0)
    }

    /// Rows a batch may have whose most urgent entry is due at `due`.
    fn cap(&self, now: Tick, lane: &Lane<T>, due: Tick) -> usize {
        match self.policy.strategy {
            BatchingStrategy::Fixed(rows) => rows,
            BatchingStrategy::Dynamic => self.policy.max_batch_rows,
            BatchingStrategy::Adaptive => {
                let knee = if lane.cost.is_known() { lane.cost.knee().max(LEAST_KNEE) } else { usize::MAX };
                // What is late already gains nothing from a small batch.
                let in_time = match due.saturating_sub(now) {
                    0 => usize::MAX,
                    left => lane.cost.rows_within(left as f64 * SLACK).max(1),
                };
                (self.limit as usize).min(knee).min(in_time).max(1)
            }
        }
    }

    fn fill(&mut self, now: Tick, group: Group, batch: &mut Batch<T>) {
        let Some(lane) = self.lanes.get(&group) else { return };
        let Some(((due, _), _)) = lane.entries.first() else { return };
        let cap = self.cap(now, lane, due);
        let Some(lane) = self.lanes.get_mut(&group) else { return };
        let mut bytes = 0;
        while batch.rows < cap {
            let Some(((due, _), waiting)) = lane.entries.first_mut() else { return };
            let (class, row_bytes, left) = (waiting.entry.class, waiting.entry.row_bytes, waiting.rows_left());
            if waiting.is_expired(now) {
                batch.expired.extend(lane.entries.pop().map(|waiting| waiting.entry.item));
                self.waiting.forget(&mut lane.rows[class], left, row_bytes);
                continue;
            }
            let room = (self.policy.max_batch_bytes.saturating_sub(bytes)) / row_bytes.max(1);
            // One row is run however wide it is.
            let rows = left.min(cap - batch.rows).min(room.max(usize::from(batch.rows == 0)));
            if rows == 0 {
                batch.full = true;
                return;
            }
            let taken = waiting.taken..waiting.taken + rows;
            waiting.taken = taken.end;
            let item = match rows == left {
                true => lane.entries.pop().map(|waiting| waiting.entry.item),
                false => Some(waiting.entry.item.clone()),
            };
            batch.parts.extend(item.map(|item| Part { item, rows: taken, due }));
            batch.rows += rows;
            bytes += rows * row_bytes;
            self.waiting.forget(&mut lane.rows[class], rows, row_bytes);
        }
        batch.full = true;
    }

    /// Learns costs and limit from a batch that ran.
    pub(crate) fn ran(&mut self, ran: &Ran) {
        // The lane may be gone: the model was unloaded meanwhile.
        if let Some(lane) = self.lanes.get_mut(&ran.group) {
            lane.cost.record(ran.rows, ran.took);
            lane.ran += ran.rows as u64;
        }
        self.window.late += ran.made_late;
        self.window.rows += ran.rows;
        self.window.batches += 1;
        self.record.batch(ran.rows, ran.full, ran.late);
        if self.window.batches == WINDOW {
            let Window { rows, late, .. } = std::mem::take(&mut self.window);
            let missed = late as f64 > rows as f64 * TOLERATED;
            self.limit = if missed { self.limit * 0.9 } else { self.limit + 1.0 };
            self.limit = self.limit.clamp(1.0, self.policy.max_batch_rows as f64);
        }
    }

    /// What a batch of `rows` was measured to take before the first request came.
    pub(crate) fn calibrate(&mut self, group: Group, rows: usize, nanos: u64) {
        self.lanes.entry(group).or_default().cost.record(rows, nanos);
    }

    /// Nanoseconds a batch of `rows` is expected to take; `None` before any was seen.
    fn expected_run(&self, group: Group, rows: usize) -> Option<f64> {
        let cost = &self.lanes.get(&group)?.cost;
        cost.is_known().then(|| cost.predict(rows, self.policy.max_batch_rows))
    }

    /// Forgets the costs of loads that are gone and have nothing queued.
    pub(crate) fn retire(&mut self, is_loaded: impl Fn(u32) -> bool) {
        self.lanes.retain(|group, lane| !lane.entries.is_empty() || is_loaded(group.load));
        self.listed.retain(|group| self.lanes.contains_key(group));
    }

    /// Takes out all that waits.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.waiting = Queued::default();
        self.listed.clear();
        let lanes = std::mem::take(&mut self.lanes);
        let mut waiting: Vec<_> = lanes.into_values().flat_map(|lane| lane.entries.into_entries()).collect();
        waiting.sort_by_key(|(key, _)| *key);
        waiting.into_iter().map(|(_, waiting)| waiting.entry.item).collect()
    }

    /// What batching did so far.
    pub(crate) fn report(&self) -> BatchingReport {
        let busiest = self.lanes.values().max_by_key(|lane| lane.ran).map(|lane| lane.cost).unwrap_or_default();
        let now = Recommendation {
            strategy: self.policy.strategy,
            max_batch_rows: self.policy.max_batch_rows,
            max_delay: self.policy.max_delay,
            reason: String::new(),
        };
        self.record.report(busiest.fit(), self.limit as usize, busiest.knee(), now)
    }
}

/// A duration as ticks; what is longer than 500 years is that.
pub(crate) fn nanos(duration: Duration) -> Tick {
    duration.as_nanos().try_into().unwrap_or(Tick::MAX)
}

//! The batcher against a model of it that is too slow to be wrong, with a clock that only the test moves.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::config::EngineBuilder;

const MS: Tick = 1_000_000;
const BUDGETS: [Tick; CLASSES] = [MS, 5 * MS, 20 * MS, 1000 * MS];

fn policy(change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Policy {
    change(EngineBuilder::default()).policy(1)
}

fn entry(item: usize, class: usize, rows: usize) -> Entry<usize> {
    Entry { item, group: Group { load: 0, rows: 0 }, class, deadline: None, rows, row_bytes: 4 }
}

fn items(batch: &Batch<usize>) -> Vec<usize> {
    batch.parts.iter().map(|part| part.item).collect()
}

/// What is known of a queued entry.
#[derive(Clone, Debug)]
struct Known {
    due: Tick,
    entry: Entry<usize>,
    taken: usize,
    place: Place,
}

/// All that a batcher promises, checked on each batch.
struct Oracle {
    /// By item, which is also the order of arrival.
    waiting: BTreeMap<usize, Known>,
    max_rows: usize,
    max_bytes: usize,
}

impl Oracle {
    fn rows(&self) -> usize {
        self.waiting.values().map(|known| known.entry.rows - known.taken).sum()
    }

    /// The items of a group in the order in which they have to run.
    fn order(&self, group: Option<Group>) -> Vec<usize> {
        let mut order: Vec<_> =
            self.waiting.values().filter(|known| group.is_none_or(|group| known.entry.group == group)).collect();
        order.sort_by_key(|known| (known.due, known.entry.item));
        order.iter().map(|known| known.entry.item).collect()
    }

    fn check(&mut self, now: Tick, batch: &Batch<usize>, ran: bool) {
        for item in &batch.expired {
            let known = self.waiting.remove(item).expect("an entry expires once, and only while it waits");
            assert!(known.entry.deadline.is_some_and(|deadline| deadline <= now), "expired before its deadline");
            assert_eq!(known.taken, 0, "what has begun is finished");
        }
        assert_eq!(ran, !batch.parts.is_empty());
        if !ran {
            return;
        }
        let group = self.waiting[&batch.parts[0].item].entry.group;
        assert_eq!(batch.parts[0].item, self.order(None)[0], "the first of all entries runs first");
        assert_eq!(items(batch), self.order(Some(group))[..batch.parts.len()], "no entry of the group is passed over");
        let (mut rows, mut bytes) = (0, 0);
        for part in &batch.parts {
            let known = self.waiting.get_mut(&part.item).expect("queued");
            assert!(known.entry.deadline.is_none_or(|deadline| deadline > now) || known.taken > 0);
            assert_eq!(part.rows.start, known.taken, "rows run in order, each once");
            assert!(part.rows.end <= known.entry.rows && !part.rows.is_empty());
            known.taken = part.rows.end;
            rows += part.rows.len();
            bytes += part.rows.len() * known.entry.row_bytes;
        }
        assert_eq!(rows, batch.rows);
        assert!(rows <= self.max_rows && (rows == 1 || bytes <= self.max_bytes), "{rows} rows, {bytes} bytes");
        self.waiting.retain(|_, known| known.taken < known.entry.rows);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { class: usize, load: u32, rows: usize, row_bytes: usize, deadline: Option<Tick> },
    Poll,
    Cancel(usize),
    Raise(usize, Tick),
    Pass(Tick),
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = proptest::option::weighted(0.3, 0..40 * MS);
    prop_oneof![
        4 => (0..CLASSES, 0u32..3, 1usize..20, 1usize..50, deadline)
            .prop_map(|(class, load, rows, row_bytes, deadline)| Step::Push { class, load, rows, row_bytes, deadline }),
        3 => Just(Step::Poll),
        1 => (0usize..100).prop_map(Step::Cancel),
        1 => (0usize..100, 0..40 * MS).prop_map(|(item, left)| Step::Raise(item, left)),
        2 => (0..10 * MS).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn entries_run_once_in_order_within_bounds(
        steps in proptest::collection::vec(step(), 1..150),
        strategy in prop_oneof![Just(BatchingStrategy::Adaptive), Just(BatchingStrategy::Dynamic), Just(BatchingStrategy::Fixed(6))],
        delayed in any::<bool>(),
    ) {
        let mut policy = policy(|builder| builder.max_batch_rows(8).max_batch_bytes(200).batching(strategy));
        // With a delay, which lane is due first is the lanes' affair; the rest holds as before.
        let delayed = delayed && strategy != BatchingStrategy::Adaptive;
        policy.max_delay = Duration::from_millis(u64::from(delayed));
        (policy.queue_rows, policy.queue_bytes) = (60, 1500);
        let mut batcher = DynamicBatcher::new(policy);
        let mut oracle = Oracle { waiting: BTreeMap::new(), max_rows: 8, max_bytes: 200 };
        let mut batch = Batch::default();
        let (mut now, mut next_item) = (0, 0);
        for step in steps {
            match step {
                Step::Push { class, load, rows, row_bytes, deadline } => {
                    let deadline = deadline.map(|left| now + left);
                    let group = Group { load: if delayed { 0 } else { load }, rows: 0 };
                    let entry = Entry { item: next_item, group, class, deadline, rows, row_bytes };
                    match batcher.push(now, entry.clone()) {
                        Ok(place) => {
                            let due = (now + BUDGETS[class]).min(deadline.unwrap_or(Tick::MAX));
                            oracle.waiting.insert(next_item, Known { due, entry, taken: 0, place });
                        }
                        Err(Refusal::Expired) => prop_assert!(deadline.is_some_and(|deadline| deadline <= now)),
                        Err(Refusal::Rows(waiting, room)) => {
                            prop_assert_eq!(waiting, oracle.rows());
                            prop_assert!(waiting + rows > room && room <= 60);
                        }
                        Err(Refusal::Bytes(waiting, room)) => {
                            prop_assert!(waiting + rows * row_bytes > room && room == 1500);
                        }
                        Err(Refusal::TooLate(..)) => prop_assert!(deadline.is_some()),
                    }
                    next_item += 1;
                }
                Step::Poll => {
                    let next = batcher.poll(now, &mut batch);
                    oracle.check(now, &batch, next == Next::Run);
                    match next {
                        Next::Run => batcher.ran(&batch.ran(now, now + 1000 * batch.rows as u64).expect("not empty")),
                        Next::Wait(until) => {
                            prop_assert!(delayed && until > now && until <= now + MS);
                            prop_assert!(!oracle.waiting.is_empty());
                        }
                        Next::Idle => prop_assert!(oracle.waiting.is_empty()),
                    }
                }
                Step::Cancel(item) => {
                    let known = oracle.waiting.remove(&item);
                    if let Some(known) = known {
                        prop_assert_eq!(batcher.cancel(known.place), Some(item));
                        prop_assert_eq!(batcher.cancel(known.place), None);
                    }
                }
                Step::Raise(item, left) => {
                    if let Some(known) = oracle.waiting.get_mut(&item) {
                        let raised = batcher.raise(known.place, now + left);
                        prop_assert_eq!(raised.is_some(), now + left < known.due);
                        known.due = known.due.min(now + left);
                        known.place = raised.unwrap_or(known.place);
                    }
                }
                Step::Pass(ticks) => now += ticks,
            }
            prop_assert_eq!(batcher.queued().rows, oracle.rows());
        }
        // Nothing is left behind: it all runs, or is handed back.
        let left = batcher.drain();
        prop_assert_eq!(left, oracle.order(None));
        prop_assert_eq!(batcher.waiting(), (0, 0, 0));
    }

    /// The bound of the module's head: from `arrival + budget` on, a low entry waits for the rows then queued before it,
    /// however many critical ones go on arriving and whatever deadlines they claim.
    #[test]
    fn a_low_entry_is_overtaken_by_nobody_once_its_budget_has_passed(
        before in 0usize..400,
        deadlines in proptest::collection::vec(proptest::option::of(1..3 * MS), 1..20),
    ) {
        let mut batcher = DynamicBatcher::new(policy(|builder| builder.max_batch_rows(16).queue_rows(600)));
        let mut batch = Batch::default();
        for item in 0..before {
            batcher.push(0, entry(item + 1, 0, 1)).unwrap();
        }
        // One of three rows, so that it may be split.
        batcher.push(0, entry(0, 3, 3)).unwrap();
        let (mut now, mut batches_after_budget, mut item) = (0, 0, 1 << 20);
        let mut ahead = None;
        'run: loop {
            // More arrives than a batch takes: the queue stays full.
            for deadline in deadlines.iter().cycle().take(40) {
                let deadline = deadline.map(|left| now + left);
                let _ = batcher.push(now, Entry { deadline, ..entry(item, 0, 1) });
                item += 1;
            }
            if now >= BUDGETS[3] {
                // Rows that are queued: all but its own may stand before it.
                ahead.get_or_insert(batcher.queued().rows - 3);
            }
            prop_assert_eq!(batcher.poll(now, &mut batch), Next::Run);
            batches_after_budget += usize::from(ahead.is_some());
            for part in &batch.parts {
                if part.item == 0 && part.rows.end == 3 {
                    break 'run;
                }
            }
            now += 10 * MS;
        }
        // Each batch is full: 16 rows of what stood before, or expired, and at the end its own three.
        let bound = (ahead.unwrap_or(0) + 3).div_ceil(16);
        prop_assert!(batches_after_budget <= bound, "{} batches, the bound is {}", batches_after_budget, bound);
    }
}

#[test]
fn the_most_urgent_class_runs_first_and_ties_run_in_order_of_arrival() {
    let mut batcher = DynamicBatcher::new(policy(|builder| builder.max_batch_rows(2)));
    for (item, class) in [(0, 3), (1, 2), (2, 0), (3, 1), (4, 0), (5, 2)] {
        batcher.push(0, entry(item, class, 1)).unwrap();
    }
    let mut batch = Batch::default();
    let mut order = Vec::new();
    while batcher.poll(0, &mut batch) == Next::Run {
        order.extend(items(&batch));
    }
    assert_eq!(order, [2, 4, 3, 1, 5, 0]);
}

#[test]
fn a_batch_of_fixed_size_waits_for_rows_or_for_its_oldest_entry() {
    let fixed = BatchingStrategy::Fixed(4);
    let delay = Duration::from_millis(2);
    let mut batcher = DynamicBatcher::new(policy(|builder| builder.batching(fixed).max_delay(delay)));
    let mut batch = Batch::default();
    batcher.push(0, entry(0, 3, 1)).unwrap();
    batcher.push(MS, entry(1, 0, 2)).unwrap();
    assert_eq!(batcher.poll(MS, &mut batch), Next::Wait(2 * MS));
    batcher.push(MS, entry(2, 2, 1)).unwrap();
    assert_eq!(batcher.poll(MS, &mut batch), Next::Run);
    assert_eq!(items(&batch), [1, 2, 0]);
    batcher.push(3 * MS, entry(3, 2, 1)).unwrap();
    assert_eq!(batcher.poll(4 * MS, &mut batch), Next::Wait(5 * MS));
    assert_eq!(batcher.poll(5 * MS, &mut batch), Next::Run);
}

#[test]
fn nobody_waits_for_company_beyond_a_deadline() {
    let delay = Duration::from_millis(10);
    let mut batcher =
        DynamicBatcher::new(policy(|builder| builder.batching(BatchingStrategy::Dynamic).max_delay(delay)));
    let mut batch = Batch::default();
    batcher.push(0, Entry { deadline: Some(3 * MS), ..entry(0, 2, 1) }).unwrap();
    let Next::Wait(until) = batcher.poll(0, &mut batch) else { panic!("a lone entry waits") };
    assert!(until <= 3 * MS);
    // A poll that comes too late finds it expired and says so, once.
    assert_eq!(batcher.poll(3 * MS, &mut batch), Next::Idle);
    assert_eq!(batch.expired, [0]);
    assert_eq!(batcher.poll(3 * MS, &mut batch), Next::Idle);
    assert!(batch.expired.is_empty());
}

#[test]
fn who_cannot_be_answered_in_time_is_refused() {
    let mut batcher = DynamicBatcher::new(policy(|builder| builder));
    let group = Group { load: 0, rows: 0 };
    for rows in [1, 8, 64] {
        batcher.calibrate(group, rows, 100_000 * rows as u64);
    }
    for item in 0..20 {
        batcher.push(0, entry(item, 2, 1)).unwrap();
    }
    // 20 rows of 0.1 ms are queued, and its own is one more.
    let late = |left, class| Entry { deadline: Some(left), ..entry(99, class, 1) };
    let Err(Refusal::TooLate(expected, left)) = batcher.push(0, late(2 * MS, 2)) else { panic!("2.1 ms are needed") };
    assert!((2_099_000..2_101_000).contains(&expected) && left == 2 * MS);
    assert!(batcher.push(0, late(3 * MS, 2)).is_ok());
    // A more urgent class does not wait for them.
    assert!(batcher.push(0, late(MS / 2, 0)).is_ok());
    assert_eq!(batcher.push(MS, late(MS, 0)), Err(Refusal::Expired));
}

#[test]
fn no_class_locks_out_a_more_urgent_one() {
    let mut batcher = DynamicBatcher::new(policy(|builder| builder.max_batch_rows(10).queue_rows(100)));
    let fill = |batcher: &mut DynamicBatcher<usize>, class| {
        (0..200).take_while(|&item| batcher.push(0, entry(item, class, 1)).is_ok()).count()
    };
    assert_eq!([3, 2, 1, 0].map(|class| fill(&mut batcher, class)), [75, 15, 5, 5]);
}

#[test]
fn batches_shrink_where_they_make_rows_late_and_grow_again() {
    let mut batcher = DynamicBatcher::new(policy(|builder| builder.max_batch_rows(64)));
    let mut batch = Batch::default();
    // Now and then a batch takes twice the budget: no fitted line foresees that.
    let mut run = |batcher: &mut DynamicBatcher<usize>, hiccup: Tick, times: usize| {
        for item in 0..times {
            batcher.push(0, entry(item, 0, 64)).unwrap();
            while batcher.poll(0, &mut batch) == Next::Run {
                let end = if item % 8 == 0 { hiccup } else { 10_000 };
                batcher.ran(&batch.ran(0, end).expect("not empty"));
            }
        }
    };
    run(&mut batcher, 2 * MS, 300);
    let shrunk = batcher.report().limit_rows;
    assert!(shrunk < 48, "{shrunk}");
    run(&mut batcher, 10_000, 5000);
    assert_eq!(batcher.report().limit_rows, 64);
}

#[test]
fn an_adaptive_batch_ends_before_its_most_urgent_entry_is_due() {
    let mut batcher = DynamicBatcher::new(policy(|builder| builder.max_batch_rows(1024)));
    for rows in [1, 8, 64] {
        batcher.calibrate(Group { load: 0, rows: 0 }, rows, 20_000 + 10_000 * rows as u64);
    }
    batcher.push(0, entry(0, 0, 1000)).unwrap();
    let mut batch = Batch::default();
    batcher.poll(0, &mut batch);
    // 0.9 of the budget of 1 ms: 20 µs and 88 rows of 10 µs. The knee lies at 48 rows, below that.
    assert_eq!(batch.rows, 48);
    batcher.poll(MS - 400_000, &mut batch);
    assert_eq!(batch.rows, 34, "0.9 * 400 µs");
}

#[test]
fn the_report_recommends_what_fits() {
    let mut batcher = DynamicBatcher::new(policy(|builder| builder));
    let mut batch = Batch::default();
    assert_eq!(batcher.report().recommended.strategy, BatchingStrategy::Adaptive);
    for item in 0..200 {
        batcher.push(0, entry(item, 2, 1 + item % 2)).unwrap();
        batcher.poll(0, &mut batch);
        batcher.ran(&batch.ran(0, 50_000 + 100 * batch.rows as u64).expect("not empty"));
    }
    let report = batcher.report();
    assert_eq!((report.batches, report.rows, report.by_size.as_slice()), (200, 300, [100, 100].as_slice()));
    assert_eq!(report.recommended.strategy, BatchingStrategy::Dynamic, "{}", report.recommended.reason);
    assert!((report.batch_nanos - 50_000.0).abs() < 1.0 && (report.row_nanos - 100.0).abs() < 1.0);
}

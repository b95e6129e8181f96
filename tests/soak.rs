//! Everything at once: many threads, requests of all kinds, cancels, deadlines, models that panic, swaps, and a shutdown
//! at some moment. Each request ends exactly once, no bit differs from `Model::predict`, and memory returns to its level.
//!
//! A short run by default; `SAWMILL_SOAK=1000000` makes that many requests (`just soak`).

mod common;

use std::alloc::System;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use cap::Cap;
use common::{Case, Matrix};
use ndarray::{Array2, ArrayView2, s};
use sawmill::engine::cache::CacheConfig;
use sawmill::metrics::Outcome;
use sawmill::{
    Engine, Epoch, Error, Model, Output, Prediction, Predictor, Priority, Request, Result, Rows, Schema, Workers,
};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const THREADS: usize = 16;
const ROUNDS: usize = 10;
/// Bytes that may be left over after a round: what the standard library and thread-local storage keep.
const SLACK: usize = 256 << 10;

/// After which memory that has not been given back is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Adds up a row; panics at a first value of -1, errs at -2.
struct Sum(Schema);

const POISON: &str = "poison";

impl Predictor for Sum {
    fn schema(&self) -> &Schema {
        &self.0
    }

    fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> Result<()> {
        for (row, out) in rows.rows().into_iter().zip(out) {
            match row[0] {
                -1.0 => panic!("{POISON}"),
                -2.0 => return Err(Error::custom(POISON)),
                _ => *out = row.iter().sum(),
            }
        }
        Ok(())
    }
}

/// Rows, and what each model that may answer says of them.
struct Expected {
    rows: Array2<f32>,
    models: Vec<Model>,
    answers: HashMap<Epoch, Vec<u64>>,
}

impl Expected {
    /// Whether an answer to `n` rows from `start` on is that of its model, to the bit.
    fn check(&self, prediction: &Prediction, start: usize, n: usize) {
        assert_eq!(prediction.values.n_rows(), n);
        let width = prediction.values.n_columns();
        let answer: Vec<_> = prediction.values.to_f64().iter().map(|value| value.to_bits()).collect();
        assert_eq!(answer, self.answers[&prediction.epoch][start * width..(start + n) * width]);
    }
}

/// Requests by what their callers saw of them.
#[derive(Default)]
struct Tally {
    made: AtomicUsize,
    answered: AtomicUsize,
    refused: AtomicUsize,
    failed: AtomicUsize,
    dropped: AtomicUsize,
    /// Callbacks given to the engine and not yet called.
    callbacks: AtomicUsize,
}

impl Tally {
    fn end(&self, result: &Result<Prediction>) {
        match result {
            Ok(_) => self.answered.fetch_add(1, SeqCst),
            Err(error) if error.is_overloaded() || error.is_shutdown() || error.is_deadline() => {
                self.refused.fetch_add(1, SeqCst)
            }
            Err(error) => {
                assert!(error.is_panicked() || error.is_custom(), "{error}");
                assert!(error.to_string().contains(POISON));
                self.failed.fetch_add(1, SeqCst)
            }
        };
    }
}

fn requests() -> usize {
    std::env::var("SAWMILL_SOAK").map_or(20_000, |text| text.parse().expect("SAWMILL_SOAK is a number"))
}

/// One request of some kind.
fn request(engine: &Engine, expected: &Arc<Expected>, tally: &Arc<Tally>, random: &mut Random) {
    tally.made.fetch_add(1, SeqCst);
    if random.below(8) == 0 {
        return custom_request(engine, tally, random);
    }
    let n = match random.below(10) {
        0 => 1 + random.below(200),
        1..4 => 1 + random.below(10),
        _ => 1,
    };
    let start = random.below(expected.rows.nrows() - n);
    let rows = expected.rows.slice(s![start..start + n, ..]);
    let priority = Priority::ALL[random.below(4)];
    let mut request = Request::new("forest", Rows::from(rows)).priority(priority);
    if random.below(5) == 0 {
        request = request.timeout(Duration::from_micros(random.below(2000) as u64));
    }
    match random.below(10) {
        0..4 => {
            let result = engine.predict_request(request);
            result.iter().for_each(|prediction| expected.check(prediction, start, n));
            tally.end(&result);
        }
        4..6 => {
            let result = engine.submit(request).and_then(|ticket| ticket.wait());
            result.iter().for_each(|prediction| expected.check(prediction, start, n));
            tally.end(&result);
        }
        6 => match engine.submit(request) {
            Ok(mut ticket) => match ticket.wait_timeout(Duration::from_micros(random.below(100) as u64)) {
                Some(result) => tally.end(&result),
                None => drop(tally.dropped.fetch_add(1, SeqCst)),
            },
            Err(error) => tally.end(&Err(error)),
        },
        7 => match engine.submit(request) {
            Ok(ticket) => {
                drop(ticket);
                tally.dropped.fetch_add(1, SeqCst);
            }
            Err(error) => tally.end(&Err(error)),
        },
        8 => {
            let (told, expected) = (Arc::clone(tally), Arc::clone(expected));
            let once = AtomicBool::new(false);
            tally.callbacks.fetch_add(1, SeqCst);
            let submitted = engine.submit_with(request, move |result| {
                assert!(!once.swap(true, SeqCst));
                result.iter().for_each(|prediction| expected.check(prediction, start, n));
                told.end(&result);
                told.callbacks.fetch_sub(1, SeqCst);
            });
            if let Err(error) = submitted {
                tally.callbacks.fetch_sub(1, SeqCst);
                tally.end(&Err(error));
            }
        }
        _ => match engine.predict_batch("forest", rows) {
            Ok(values) => {
                let is = |answer: &Vec<u64>| {
                    let width = values.n_columns();
                    let bits = values.to_f64().into_iter().map(f64::to_bits);
                    answer.get(start * width..(start + n) * width).is_some_and(|answer| bits.eq(answer.iter().copied()))
                };
                assert!(expected.answers.values().any(is));
                tally.answered.fetch_add(1, SeqCst);
            }
            Err(error) => tally.end(&Err(error)),
        },
    }
}

fn custom_request(engine: &Engine, tally: &Tally, random: &mut Random) {
    let first = match random.below(6) {
        0 => -1.0,
        1 => -2.0,
        _ => random.below(100) as f32,
    };
    let row = [first, random.below(100) as f32];
    let request = Request::new("custom", &row);
    let result = match random.below(2) {
        0 => engine.predict_request(request),
        _ => engine.submit(request).and_then(|ticket| ticket.wait()),
    };
    match &result {
        Ok(prediction) => assert_eq!(prediction.values.to_f64(), [f64::from(row[0]) + f64::from(row[1])]),
        Err(error) => assert!(first < 0.0 || !(error.is_panicked() || error.is_custom()), "{error}"),
    }
    tally.end(&result);
}

/// So many requests to one engine, which is shut down somewhere among the last of them. Returns how many were answered.
fn round(count: usize, seed: u64, expected: &Arc<Expected>) -> usize {
    let mut random = Random(seed);
    let builder = Engine::builder().workers(Workers::Count(2)).max_batch_rows(1 + random.below(64));
    let mut builder = builder
        .inline_below(Duration::from_micros(random.below(20) as u64))
        .max_in_flight([100, 100, 12][random.below(3)]);
    if seed % 2 == 1 {
        // Too small for all the rows, so that they come and go.
        builder = builder.cache(CacheConfig::rows(100).ttl(Duration::from_millis(20)));
    }
    let engine = builder.build().unwrap();
    engine.load("custom", Model::custom(Sum(Schema::new(2, 1))).unwrap()).unwrap();
    engine.load("forest", expected.models[0].clone()).unwrap();
    let tally = Arc::new(Tally::default());
    let shutdown_at = count * 3 / 4 + random.below(count / 4);
    let grace = Duration::from_millis([0, 1, 1000][random.below(3)]);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (engine, expected, tally) = (&engine, &expected, &tally);
            scope.spawn(move || {
                let mut random = Random(seed ^ (number as u64 + 1) << 32);
                for _ in 0..count / THREADS {
                    request(engine, expected, tally, &mut random);
                }
            });
        }
        scope.spawn(|| {
            let mut swaps = 0;
            while tally.made.load(SeqCst) < shutdown_at {
                swaps += 1;
                engine.load("forest", expected.models[swaps % expected.models.len()].clone()).unwrap();
                thread::yield_now();
            }
            // Whether all ended in time or some were ended: the tally knows.
            let _ = engine.shutdown(grace);
            assert!(engine.predict("custom", &[1.0f32, 2.0]).unwrap_err().is_shutdown());
        });
    });
    // A worker that the shutdown did not wait for may still be calling back.
    while tally.callbacks.load(SeqCst) > 0 {
        thread::yield_now();
    }
    let count_of = |counter: &AtomicUsize| counter.load(SeqCst);
    let ended = [&tally.answered, &tally.refused, &tally.failed, &tally.dropped].map(count_of);
    let snapshot = engine.metrics().snapshot();
    assert_eq!(count_of(&tally.made), ended.iter().sum::<usize>(), "{ended:?}");
    assert!(ended.iter().all(|&count| count > 0), "all of it happens: {ended:?}");
    let cache = snapshot.cache.unwrap_or_default();
    println!(
        "{ended:?} answered, refused, failed, dropped; {} rows from the cache, {} joined",
        cache.hits, cache.coalesced
    );
    assert_eq!((engine.health().in_flight, engine.health().queued_rows), (0, 0));
    // One more came after the shutdown.
    assert!(snapshot.total_requests() as usize <= count_of(&tally.made) + 1);
    assert!(snapshot.requests(Outcome::Panicked) + snapshot.requests(Outcome::Failed) == ended[2] as u64);
    ended[0]
}

#[test]
fn every_request_ends_once_with_the_right_bits_and_memory_returns_to_its_level() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(POISON) {
            hook(info);
        }
    }));
    let case = Case::named("xgboost/breast_cancer");
    let rows = match case.rows() {
        Matrix::F32(rows) => rows,
        Matrix::F64(rows) => rows.mapv(|value| value as f32),
        Matrix::Int(_) => unreachable!("rows are floats"),
    };
    let rows = ndarray::concatenate(ndarray::Axis(0), &vec![rows.view(); 300 / rows.nrows() + 1]).unwrap();
    let load = |options| case.load(options).unwrap();
    let models = vec![
        load(Model::options()),
        load(Model::options().output(Output::Margin)),
        load(Model::options().iterations(0..5)),
        load(Model::options().output(Output::Leaf)),
    ];
    let engine = Engine::builder().workers(Workers::Count(1)).build().unwrap();
    let answers = models.iter().map(|model| {
        let bits = model.predict(&rows).unwrap().to_f64().into_iter().map(f64::to_bits).collect();
        (engine.load("m", model.clone()).unwrap(), bits)
    });
    let answers: HashMap<_, _> = answers.collect();
    assert_eq!(answers.len(), models.len());
    drop(engine);
    let expected = Arc::new(Expected { rows, models, answers });
    let (mut level, mut answered) = (None, 0);
    for number in 0..ROUNDS {
        answered += round(requests() / ROUNDS, number as u64, &expected);
        // A worker that the shutdown did not wait for holds the engine until it has seen it.
        let started = Instant::now();
        while ALLOCATOR.allocated() > level.unwrap_or(usize::MAX - SLACK) + SLACK && started.elapsed() < PATIENCE {
            thread::yield_now();
        }
        let allocated = ALLOCATOR.allocated();
        let level = *level.get_or_insert(allocated);
        assert!(allocated <= level + SLACK, "{allocated} bytes after round {number}, {level} after the first");
    }
    // What is refused, dropped, late, poisoned or after the shutdown is the smaller part, whatever the machine.
    assert!(answered * 3 > requests(), "{answered} of {} answered", requests());
    println!("{} requests, {answered} answered, {} bytes held", requests(), ALLOCATOR.allocated());
}

//! The engine beside two others that serve the same model on as many threads: a plain queue, and `amate`, the batcher of
//! furnace-server. Prints a record in Markdown; every answer is compared with the model's own.
//!
//! `sawmill-engine-bench MODEL.. [--seconds S] [--part idle|closed|load]`. Everybody takes turns, several rounds, and
//! medians count. The last model is the one that load is put on.

mod subjects;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sawmill::engine::cache::CacheConfig;
use sawmill::{Engine, Model, Predictions, Scratch, Workers};

use subjects::{Amate, Plain, Sawmill, Subject};

const WORKERS: usize = 2;
/// Requests that may wait at each of them before it refuses more.
const ROOM: usize = 200;
const MAX_BATCH: usize = 64;
const CLIENTS: usize = 64;
const ROUNDS: usize = 3;
const ROWS: usize = 4096;

/// A model, rows, and its answers to them.
pub struct Case {
    name: String,
    model: Model,
    width: usize,
    rows: Vec<f32>,
    answers: Vec<f32>,
    columns: usize,
}

impl Case {
    fn load(path: &str) -> Result<Self> {
        let model = Model::load(path)?;
        let rows = model.sample_rows(ROWS, 1).mapv(|value| value as f32);
        let predictions = model.predict(&rows)?;
        let answers = predictions.as_f32().context("a model that answers in f32 is needed")?.to_vec();
        let width = rows.ncols();
        let columns = predictions.n_columns();
        let name = path.split('/').rev().nth(1).unwrap_or(path).to_owned();
        Ok(Self { name, model, width, rows: rows.into_raw_vec_and_offset().0, answers, columns })
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.rows[at * self.width..(at + 1) * self.width]
    }

    fn check(&self, at: usize, answer: &[f32]) {
        let expected = &self.answers[at * self.columns..(at + 1) * self.columns];
        assert!(answer.iter().map(|value| value.to_bits()).eq(expected.iter().map(|value| value.to_bits())));
    }
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds: f64 = option(&mut arguments, "--seconds")?.map_or(Ok(0.3), |value| value.parse())?;
    let part = option(&mut arguments, "--part")?;
    let is_wanted = |name| part.as_deref().is_none_or(|part| part == name);
    ensure!(!arguments.is_empty(), "usage: sawmill-engine-bench MODEL.. [--seconds S] [--part idle|closed|load]");
    let time = Duration::from_secs_f64(seconds);
    let cases: Vec<_> = arguments.iter().map(|path| Case::load(path).map(Arc::new)).collect::<Result<_>>()?;
    println!(
        "{WORKERS} workers, batches of up to {MAX_BATCH} rows, room for {ROOM} to wait; medians of {ROUNDS} rounds of {seconds} s.\n"
    );
    if is_wanted("idle") {
        println!("## One row on an idle engine, nanoseconds\n");
        println!("| model | kernel alone | engine | over the kernel | plain queue | amate | cache hit |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        cases.iter().try_for_each(|case| idle(case, time / 3))?;
    }
    if is_wanted("closed") {
        println!("\n## Closed loop, {CLIENTS} clients of one row each, rows per second\n");
        println!("Threads wait for each answer; tasks are {CLIENTS} requests kept under way by {WORKERS} threads.\n");
        println!(
            "| model | `predict_batch` | engine, threads | plain, threads | amate, threads | engine, tasks | plain, tasks | amate, tasks | engine's tasks by `predict_batch` |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        cases.iter().try_for_each(|case| closed(case, time))?;
    }
    if is_wanted("load") {
        let case = cases.last().context("a model")?;
        let rates = medians(&subjects(case)?, |it| by_tasks(&**it, case, time));
        let capacity = rates.into_iter().fold(0.0, f64::max);
        println!("\n## Load on {}, latency in microseconds\n", case.name);
        println!(
            "One row a request, at random moments fixed in advance, from which latency counts. 100 % is what the best of the three did with tasks, {capacity:.0} requests a second.\n"
        );
        println!(
            "One thread submits them all: where that takes it longer than there is time, it falls behind. The last two columns count from when it submits.\n"
        );
        println!("| load | | answered | refused | p50 | p90 | p99 | p99.9 | p50 once submitted | p99 once submitted |");
        println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        for share in [0.5, 0.9, 2.0] {
            load(case, share, capacity * share, 2 * time)?;
        }
    }
    Ok(())
}

/// Takes `--name VALUE` out of the arguments.
fn option(arguments: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let Some(at) = arguments.iter().position(|argument| argument == name) else { return Ok(None) };
    ensure!(at + 1 < arguments.len(), "{name} needs a value");
    Ok(arguments.drain(at..=at + 1).nth(1))
}

fn subjects(case: &Arc<Case>) -> Result<Vec<Box<dyn Subject>>> {
    Ok(vec![
        Box::new(Sawmill::start(case, None)?),
        Box::new(Plain::start(&case.model)),
        Box::new(Amate::start(&case.model)),
    ])
}

/// The median over rounds, in each of which all take their turn; each round begins with another.
fn medians<T>(them: &[T], mut measure: impl FnMut(&T) -> f64) -> Vec<f64> {
    let mut all = vec![Vec::new(); them.len()];
    for round in 0..ROUNDS {
        for turn in 0..them.len() {
            let at = (round + turn) % them.len();
            all[at].push(measure(&them[at]));
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    all.into_iter().map(median).collect()
}

/// Nanoseconds of a call, of calls one after another.
fn per_call(time: Duration, mut call: impl FnMut(usize)) -> f64 {
    let (start, mut calls) = (Instant::now(), 0);
    while start.elapsed() < time {
        for _ in 0..64 {
            call(calls % ROWS);
            calls += 1;
        }
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

fn idle(case: &Arc<Case>, time: Duration) -> Result<()> {
    let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
    let mut kernel = |at: usize| {
        case.model.predict_into(case.row(at), &mut predictions, &mut scratch).expect("a row of the model's");
        case.check(at, predictions.as_f32().expect("f32"));
    };
    let them = subjects(case)?;
    let cached = Sawmill::start(case, Some(CacheConfig::rows(2 * ROWS)))?;
    (0..ROWS).for_each(|at| cached.call(case, at));
    let turns: Vec<usize> = (0..them.len() + 2).collect();
    let all = medians(&turns, |&turn| match turn {
        0 => per_call(time, &mut kernel),
        // Fewer rows than the cache holds; all are there.
        4 => per_call(time, |at| cached.call(case, at % 1024)),
        turn => per_call(time, |at| them[turn - 1].call(case, at)),
    });
    let hits = cached.hits();
    let [bare, engine, plain, amate, hit] = all[..] else { unreachable!("five turns") };
    let hit = if hits > 0 { format!("{hit:.0}") } else { "off".to_owned() };
    println!("| {} | {bare:.0} | {engine:.0} | {:.0} | {plain:.0} | {amate:.0} | {hit} |", case.name, engine - bare);
    Ok(())
}

fn closed(case: &Arc<Case>, time: Duration) -> Result<()> {
    let engine = Engine::builder().workers(Workers::Count(WORKERS)).build()?;
    engine.load("m", case.model.clone())?;
    let bulk = medians(&[()], |()| {
        let (start, mut rows) = (Instant::now(), 0);
        while start.elapsed() < time {
            rows += engine.predict_batch("m", &case.rows).expect("rows of the model's").n_rows();
        }
        rows as f64 / start.elapsed().as_secs_f64()
    })[0];
    let them = subjects(case)?;
    let threads = medians(&them, |it| by_threads(&**it, case, time));
    let tasks = medians(&them, |it| by_tasks(&**it, case, time));
    print!("| {} | {bulk:.0} ", case.name);
    threads.iter().chain(&tasks).for_each(|rate| print!("| {rate:.0} "));
    println!("| {:.0} % |", 100.0 * tasks[0] / bulk);
    Ok(())
}

fn by_threads(it: &dyn Subject, case: &Case, time: Duration) -> f64 {
    let (start, answered) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let answered = &answered;
            scope.spawn(move || {
                let mut calls = 0;
                while start.elapsed() < time {
                    it.call(case, (client * 61 + calls) % ROWS);
                    calls += 1;
                }
                answered.fetch_add(calls, Relaxed);
            });
        }
    });
    answered.into_inner() as f64 / start.elapsed().as_secs_f64()
}

fn by_tasks(it: &dyn Subject, case: &Arc<Case>, time: Duration) -> f64 {
    let (start, answered) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for driver in 0..WORKERS {
            let answered = &answered;
            scope.spawn(move || {
                let (done, dones) = mpsc::channel();
                let mut calls = 0;
                let mut submit = || {
                    let at = (driver * 2048 + calls) % ROWS;
                    calls += 1;
                    let (done, checked) = (done.clone(), Arc::clone(case));
                    let tell = move |answer: &[f32]| {
                        checked.check(at, answer);
                        done.send(()).expect("the driver waits");
                    };
                    assert!(it.submit(case.row(at), Box::new(tell)), "there is room");
                };
                (0..CLIENTS / WORKERS).for_each(|_| submit());
                let mut ended = 0;
                while start.elapsed() < time {
                    dones.recv().expect("each is answered");
                    ended += 1;
                    submit();
                }
                (0..CLIENTS / WORKERS).for_each(|_| dones.recv().expect("each is answered"));
                answered.fetch_add(ended + CLIENTS / WORKERS, Relaxed);
            });
        }
    });
    answered.into_inner() as f64 / start.elapsed().as_secs_f64()
}

fn load(case: &Arc<Case>, share: f64, rate: f64, time: Duration) -> Result<()> {
    for it in subjects(case)? {
        let count = (rate * time.as_secs_f64()) as usize;
        // From the moment intended, from submission; 0: refused.
        let latencies: Arc<Vec<[AtomicU32; 2]>> = Arc::new((0..count).map(|_| Default::default()).collect());
        let (mut seed, mut intended, start) = (1u64, 0.0, Instant::now());
        let pending = Arc::new(AtomicUsize::new(0));
        for request in 0..count {
            intended -= (1.0 - uniform(&mut seed)).ln() / rate;
            let at = start + Duration::from_secs_f64(intended);
            let early = at.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                thread::sleep(early);
            }
            let (row, submitted) = (request % ROWS, Instant::now());
            pending.fetch_add(1, Relaxed);
            let (case, latencies, ended) = (Arc::clone(case), Arc::clone(&latencies), Arc::clone(&pending));
            let case_of_row = Arc::clone(&case);
            let done = move |answer: &[f32]| {
                case.check(row, answer);
                let now = Instant::now();
                for (latency, from) in latencies[request].iter().zip([at, submitted]) {
                    latency.store((now.saturating_duration_since(from).as_nanos() as u32).max(1), Relaxed);
                }
                ended.fetch_sub(1, Relaxed);
            };
            if !it.submit(case_of_row.row(row), Box::new(done)) {
                pending.fetch_sub(1, Relaxed);
            }
        }
        while pending.load(Relaxed) > 0 {
            thread::yield_now();
        }
        let took = start.elapsed().as_secs_f64();
        let [intended, submitted] = [0, 1].map(|from| {
            let nanos = latencies.iter().map(|of_request| of_request[from].load(Relaxed));
            let mut answered: Vec<u32> = nanos.filter(|&nanos| nanos > 0).collect();
            answered.sort_unstable();
            answered
        });
        let at = |answered: &[u32], q: f64| {
            let at = ((answered.len() as f64 * q) as usize).min(answered.len() - 1);
            format!("{:.0}", f64::from(answered[at]) / 1e3)
        };
        let refused = 100.0 * (count - intended.len()) as f64 / count as f64;
        let rate = intended.len() as f64 / took;
        let quantiles = [0.5, 0.9, 0.99, 0.999].map(|q| at(&intended, q)).into_iter();
        let quantiles = quantiles.chain([0.5, 0.99].map(|q| at(&submitted, q))).collect::<Vec<_>>().join(" | ");
        println!("| {:.0} % | {} | {rate:.0}/s | {refused:.1} % | {quantiles} |", share * 100.0, it.name());
    }
    Ok(())
}

/// SplitMix64 (Steele, Lea and Flood, 2014): at least 0, below 1.
fn uniform(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

//! `sawmill bench --engine`: what an engine does under load: throughput, latency by class, and how requests end.
//!
//! In a *closed* loop each client waits for its answer before it asks again. With a *rate*, requests come at random
//! moments fixed in advance, whether or not earlier ones have been answered, and latency counts from those moments: a
//! stall is felt by all the requests it held up, not only by the one that met it. Every answer is compared with the
//! model's own.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sawmill::engine::cache::CacheConfig;
use sawmill::metrics::{Distribution, Metrics, ModelMetrics, ModelStats, Outcome, RequestRecord, Snapshot};
use sawmill::{Engine, Error, Prediction, Predictions, Priority, Request, Values, Workers};
use serde::{Serialize, Serializer};

use super::pool::Pool;
use crate::args::{BenchArgs, EngineArgs, Kind, PriorityMix};
use crate::input::{Input, name_of};

/// The model's name in the engine.
const MODEL: &str = "model";

/// Rows that repeated requests are drawn from.
const HOT_ROWS: usize = 64;

/// Load before the measurement, as a share of its time.
const WARM_UP: f64 = 0.1;

/// How long requests may take to end after the last one was sent.
const GRACE: Duration = Duration::from_secs(30);

/// What is printed with `--json`. The keys are stable: scripts read them.
#[derive(Serialize)]
struct Report {
    model: String,
    input: Option<String>,
    workers: usize,
    clients: usize,
    /// Requests a second, or nothing of a closed loop.
    rate: Option<f64>,
    rows_per_request: usize,
    #[serde(serialize_with = "object")]
    priority_mix: Vec<(&'static str, f64)>,
    repeat_fraction: f64,
    seconds: f64,
    /// Requests answered, and their rows, by the time of the load.
    requests_per_s: f64,
    rows_per_s: f64,
    #[serde(serialize_with = "object")]
    outcomes: Vec<(&'static str, u64)>,
    /// Answers that were compared with the model's own; all were equal.
    checked: u64,
    /// Of answered requests.
    latency: Latency,
    #[serde(serialize_with = "object")]
    classes: Vec<(&'static str, Latency)>,
    /// How much later than intended requests were sent; part of their latency.
    send_delay: Latency,
    /// The engine's own metrics over the time of the load.
    engine: Snapshot,
}

/// In microseconds.
#[derive(Serialize)]
struct Latency {
    requests: u64,
    mean_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    #[serde(rename = "p99.9_us")]
    p999_us: f64,
}

/// What clients share, and the callbacks of their requests.
struct Load {
    pool: Pool,
    expected: Predictions,
    checked: AtomicU64,
    wrong: AtomicU64,
    /// Requests sent and not ended.
    under_way: AtomicU64,
    /// Requests that were answered, and those that ended otherwise: refusals are quick and would flatter the rest.
    answered: Arc<ModelMetrics>,
    others: Arc<ModelMetrics>,
}

pub fn run(args: &BenchArgs, load: &EngineArgs) -> Result<()> {
    // Workers are the threads; the model itself needs none.
    let model = args.model.load_on(Kind::Value, 1)?;
    let needed = load.rows.max(HOT_ROWS);
    let pool = match &args.input {
        Some(path) => Pool::read(Input::open(path, &args.model.rows_schema(&model))?, needed)?,
        None => Pool::made_up(&model, needed)?,
    };
    super::check(&model, &pool, &[load.rows])?;
    let expected = model.predict(pool.rows(0, pool.n_rows()))?;

    let n_workers = args.model.n_threads();
    let mut builder = Engine::builder().workers(Workers::Count(n_workers));
    if let Some(requests) = load.max_in_flight {
        builder = builder.max_in_flight(requests);
    }
    if let Some(rows) = load.cache {
        builder = builder.cache(CacheConfig::rows(rows));
    }
    let engine = builder.build()?;
    engine.load(MODEL, model)?;
    let metrics = Metrics::new(n_workers + load.clients, 1);
    let shared = Arc::new(Load {
        pool,
        expected,
        checked: AtomicU64::new(0),
        wrong: AtomicU64::new(0),
        under_way: AtomicU64::new(0),
        answered: metrics.model("answered"),
        others: metrics.model("others"),
    });

    let seconds = Duration::from_secs_f64(args.seconds);
    shared.run(&engine, load, seconds.mul_f64(WARM_UP));
    let before = (metrics.snapshot(), engine.metrics().snapshot());
    let took = shared.run(&engine, load, seconds);
    engine.shutdown(GRACE)?;
    let (sent, served) = (metrics.snapshot().since(&before.0), engine.metrics().snapshot().since(&before.1));
    let wrong = shared.wrong.load(Relaxed);
    ensure!(wrong == 0, "{wrong} answers of the engine differ from the model's own");

    let answered = &sent.models["answered"];
    let mut delay = Distribution::default();
    answered.classes.iter().for_each(|class| delay.add(&class.queue));
    let by_class = Priority::ALL.iter().zip(&answered.classes).filter(|(_, stats)| stats.total.count() > 0);
    let per_second = |count: u64| count as f64 / took.as_secs_f64();
    let report = Report {
        model: args.model.path.display().to_string(),
        input: args.input.as_deref().map(name_of),
        workers: n_workers,
        clients: load.clients,
        rate: load.rate.per_second(),
        rows_per_request: load.rows,
        priority_mix: load.priority_mix.shares().collect(),
        repeat_fraction: load.repeat_fraction,
        seconds: took.as_secs_f64(),
        requests_per_s: per_second(sent.requests(Outcome::Ok)),
        rows_per_s: per_second(answered.classes.iter().map(|class| class.rows).sum()),
        outcomes: Outcome::ALL.iter().map(|&outcome| (outcome.name(), sent.requests(outcome))).collect(),
        checked: shared.checked.load(Relaxed),
        latency: Latency::of(&total(answered)),
        classes: by_class.map(|(class, stats)| (class.name(), Latency::of(&stats.total))).collect(),
        send_delay: Latency::of(&delay),
        engine: served,
    };
    let mut out = io::stdout().lock();
    let printed = if args.json { print_json(&mut out, &report) } else { print_text(&mut out, &report) };
    printed.and_then(|()| out.flush()).context("stdout")
}

impl Load {
    /// Sends requests for `duration` and waits until all have ended; returns how long sending took.
    fn run(self: &Arc<Self>, engine: &Engine, args: &EngineArgs, duration: Duration) -> Duration {
        let start = Instant::now();
        thread::scope(|scope| {
            for client in 0..args.clients {
                scope.spawn(move || self.client(engine, args, client, start, start + duration));
            }
        });
        let took = start.elapsed();
        while self.under_way.load(Acquire) > 0 && start.elapsed() < duration + GRACE {
            thread::sleep(Duration::from_millis(1));
        }
        took
    }

    fn client(self: &Arc<Self>, engine: &Engine, args: &EngineArgs, client: usize, start: Instant, until: Instant) {
        let mut draws = Draws::new(client, args, self.pool.n_rows());
        let mut intended = start;
        let pause = args.rate.per_second().map(|rate| args.clients as f64 / rate);
        loop {
            if let Some(mean) = pause {
                intended += Duration::from_secs_f64(draws.random.exponential(mean));
                thread::sleep(intended.saturating_duration_since(Instant::now()));
            } else {
                intended = Instant::now();
            }
            if intended >= until {
                return;
            }
            let (priority, row) = draws.next();
            let request = Request::new(MODEL, self.pool.rows(row, args.rows)).priority(priority);
            self.under_way.fetch_add(1, Relaxed);
            let sent = Sent { priority, row, n_rows: args.rows, intended, at: Instant::now() };
            if pause.is_none() {
                self.ended(sent, engine.predict_request(request));
                continue;
            }
            let shared = Arc::clone(self);
            if let Err(refused) = engine.submit_with(request, move |answer| shared.ended(sent, answer)) {
                self.ended(sent, Err(refused));
            }
        }
    }

    fn ended(&self, sent: Sent, answer: Result<Prediction, Error>) {
        let now = Instant::now();
        let outcome = answer.as_ref().map_or_else(outcome, |_| Outcome::Ok);
        let to = if outcome == Outcome::Ok { &self.answered } else { &self.others };
        to.record_request(&RequestRecord {
            priority: sent.priority,
            outcome,
            rows: sent.n_rows,
            cached_rows: 0,
            total: now - sent.intended,
            queue: sent.at - sent.intended,
            execute: now - sent.at,
            late: false,
        });
        if let Ok(prediction) = answer {
            self.checked.fetch_add(1, Relaxed);
            if !equals(prediction.values.values(), self.expected.values(), sent.row * self.expected.n_columns()) {
                self.wrong.fetch_add(1, Relaxed);
            }
        }
        self.under_way.fetch_sub(1, Release);
    }
}

/// A request under way.
#[derive(Clone, Copy)]
struct Sent {
    priority: Priority,
    /// The first of its rows in the pool.
    row: usize,
    n_rows: usize,
    intended: Instant,
    at: Instant,
}

/// Whether `values` are those of `all` from `start` on, to the bit.
fn equals(values: &Values, all: &Values, start: usize) -> bool {
    match (values, all) {
        (Values::F32(values), Values::F32(all)) => {
            values.iter().zip(&all[start..]).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Values::F64(values), Values::F64(all)) => {
            values.iter().zip(&all[start..]).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Values::I32(values), Values::I32(all)) => values.iter().zip(&all[start..]).all(|(a, b)| a == b),
        _ => false,
    }
}

fn outcome(error: &Error) -> Outcome {
    match error {
        error if error.is_overloaded() => Outcome::Overloaded,
        error if error.is_deadline() => Outcome::Expired,
        error if error.is_cancelled() => Outcome::Cancelled,
        error if error.is_shutdown() => Outcome::ShutDown,
        error if error.is_panicked() => Outcome::Panicked,
        _ => Outcome::Failed,
    }
}

/// What a client asks for next: the same for each run.
struct Draws<'a> {
    random: Random,
    mix: &'a PriorityMix,
    repeat_fraction: f64,
    rows: usize,
    n_rows: usize,
    next: usize,
}

impl<'a> Draws<'a> {
    fn new(client: usize, args: &'a EngineArgs, n_rows: usize) -> Self {
        // Clients start at different places, so that none follows another closely.
        let next = client * n_rows / args.clients;
        let random = Random(client as u64);
        Self { random, mix: &args.priority_mix, repeat_fraction: args.repeat_fraction, rows: args.rows, n_rows, next }
    }

    fn next(&mut self) -> (Priority, usize) {
        let priority = self.mix.at(self.random.uniform());
        let last = self.n_rows - self.rows;
        if self.random.uniform() < self.repeat_fraction {
            return (priority, (self.random.uniform() * HOT_ROWS as f64) as usize % (last + 1));
        }
        self.next = if self.next > last { 0 } else { self.next };
        let row = self.next;
        self.next += self.rows;
        (priority, row)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    /// At least 0, below 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }
}

fn total(stats: &ModelStats) -> Distribution {
    let mut all = Distribution::default();
    stats.classes.iter().for_each(|class| all.add(&class.total));
    all
}

impl Latency {
    fn of(times: &Distribution) -> Self {
        let at = |q| times.quantile(q) as f64 / 1e3;
        Self {
            requests: times.count(),
            mean_us: times.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
        }
    }
}

/// Pairs as an object, in their order.
fn object<S: Serializer, V: Serialize>(pairs: &[(&'static str, V)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

fn print_json(out: &mut impl Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

fn print_text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { model, workers, clients, .. } = report;
    let rate = report.rate.map_or("a closed loop".to_owned(), |rate| format!("{rate} requests/s"));
    writeln!(out, "{model}: {workers} workers, {clients} clients, {rate}, {} rows a request", report.rows_per_request)?;
    writeln!(
        out,
        "{:.0} requests/s, {:.0} rows/s; {} answers checked",
        report.requests_per_s, report.rows_per_s, report.checked
    )?;
    let ends = report.outcomes.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}"));
    writeln!(out, "{}\n", ends.collect::<Vec<_>>().join(", "))?;
    writeln!(
        out,
        "{:<12}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "latency, µs", "requests", "mean", "p50", "p90", "p99", "p99.9"
    )?;
    let classes = report.classes.iter().map(|(name, latency)| (*name, latency));
    for (name, latency) in
        [("all", &report.latency)].into_iter().chain(classes).chain([("send delay", &report.send_delay)])
    {
        let Latency { requests, mean_us, p50_us, p90_us, p99_us, p999_us } = latency;
        writeln!(
            out,
            "{name:<12}{requests:>12}{mean_us:>10.1}{p50_us:>10.1}{p90_us:>10.1}{p99_us:>10.1}{p999_us:>10.1}"
        )?;
    }
    let batches = report.engine.batches();
    writeln!(out, "\n{} batches of {:.1} rows", batches.rows.count(), batches.rows.mean())?;
    if let Some(cache) = &report.engine.cache {
        let found = 100.0 * cache.hit_rate();
        writeln!(out, "cache: {found:.1} % of rows found, {} joined, {} held", cache.coalesced, cache.rows)?;
    }
    Ok(())
}

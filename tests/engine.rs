//! The engine answers what the model answers, each request once, whatever happens around it.

mod common;

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Case, Matrix, bits};
use ndarray::{Array2, ArrayView2};
use sawmill::engine::cache::CacheConfig;
use sawmill::metrics::Outcome;
use sawmill::{
    BatchingStrategy, Engine, EngineBuilder, EngineState, Error, Model, Output, Predictor, Priority, Request, Rows,
    Schema, Workers,
};

fn dense(case: &Case) -> Array2<f32> {
    match case.rows() {
        Matrix::F32(rows) => rows,
        Matrix::F64(rows) => rows.mapv(|value| value as f32),
        Matrix::Int(_) => unreachable!("rows are floats"),
    }
}

/// Nothing runs on the caller's thread, and one worker runs batches of up to `rows`.
fn one_worker(rows: usize) -> Engine {
    queueing(rows).build().unwrap()
}

fn queueing(rows: usize) -> EngineBuilder {
    let builder = Engine::builder().workers(Workers::Count(1)).inline_below(Duration::ZERO);
    builder.max_batch_rows(rows).max_in_flight(10_000)
}

/// A model that says when it has begun and then waits to be let go.
struct Gate {
    schema: Schema,
    begun: Mutex<mpsc::Sender<()>>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

/// Holds a worker at a [`Gate`].
struct Held {
    begun: mpsc::Receiver<()>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn shut() -> (Model, Held) {
        let (sender, begun) = mpsc::channel();
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let gate = Self { schema: Schema::new(1, 1), begun: Mutex::new(sender), open: Arc::clone(&open) };
        (Model::custom(gate).unwrap(), Held { begun, open })
    }
}

impl Predictor for Gate {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> sawmill::Result<()> {
        // Loading a model measures it, on rows of zeros.
        if rows[[0, 0]] == 0.0 {
            return Ok(());
        }
        self.begun.lock().unwrap().send(()).unwrap();
        let mut open = self.open.0.lock().unwrap();
        while !*open {
            open = self.open.1.wait(open).unwrap();
        }
        out.fill(1.0);
        Ok(())
    }
}

impl Held {
    /// The worker is inside the model.
    fn await_worker(&self) {
        self.begun.recv().unwrap();
    }

    fn let_go(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

/// An engine whose only worker is held, so that what is queued stays queued.
fn held_engine(rows: usize) -> (Engine, Held, sawmill::Ticket) {
    hold(one_worker(rows))
}

/// The same with a model "m", for callbacks to have a hold of.
fn held_doubler(rows: usize) -> (Arc<Engine>, Held, sawmill::Ticket) {
    let (engine, held, gated) = held_engine(rows);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    (Arc::new(engine), held, gated)
}

fn hold(engine: Engine) -> (Engine, Held, sawmill::Ticket) {
    let (gate, held) = Gate::shut();
    engine.load("gate", gate).unwrap();
    let ticket = engine.submit(Request::new("gate", &[1.0f32])).unwrap();
    held.await_worker();
    (engine, held, ticket)
}

/// Doubles its first feature; panics at 113, errs at 117; counts rows.
struct Doubler {
    schema: Schema,
    rows: Arc<AtomicUsize>,
    factor: f64,
}

impl Doubler {
    fn model(factor: f64) -> (Model, Arc<AtomicUsize>) {
        let rows = Arc::new(AtomicUsize::new(0));
        let predictor = Self { schema: Schema::new(2, 1), rows: Arc::clone(&rows), factor };
        (Model::custom(predictor).unwrap(), rows)
    }
}

impl Predictor for Doubler {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> sawmill::Result<()> {
        for (row, out) in rows.rows().into_iter().zip(out) {
            if row[0] == 117.0 {
                return Err(Error::custom("117 is not to my taste"));
            }
            assert_ne!(row[0], 113.0, "an unlucky row");
            *out = row[0] * self.factor;
            self.rows.fetch_add(usize::from(row[0] != 0.0), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Runs a future on this thread: nothing but `std`.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread, AtomicBool);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }
    let unpark = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !unpark.1.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

#[test]
fn a_ticket_that_has_been_polled_can_be_waited_for() {
    let (engine, held, first) = held_engine(8);
    let mut ticket = engine.submit(Request::new("gate", &[2.0f32])).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(&mut ticket).poll(&mut context).is_pending());
    held.let_go();
    assert_eq!(ticket.wait().unwrap().values.to_f64(), [1.0]);
    first.wait().unwrap();
}

#[test]
fn every_way_in_gives_the_bits_of_the_model() {
    for name in
        ["xgboost/breast_cancer", "xgboost/iris", "lightgbm/wine", "lightgbm/zero_as_missing", "xgboost/multi_target"]
    {
        let case = Case::named(name);
        let rows = dense(&case);
        let wide = rows.mapv(f64::from);
        let n_features = rows.ncols();
        for output in [Output::Value, Output::Margin, Output::Leaf, Output::Label] {
            let Ok(model) = case.load(Model::options().output(output)) else { continue };
            let expected = model.predict(&rows).unwrap();
            let engine = Engine::builder().max_batch_rows(16).build().unwrap();
            engine.load("m", model.clone()).unwrap();
            // All rows at once: split into batches. Row by row, on this thread and through the queue.
            assert_eq!(bits(&engine.predict("m", &rows).unwrap().values), bits(&expected), "{name} {output:?}");
            assert_eq!(bits(&engine.predict_batch("m", &rows).unwrap()), bits(&expected));
            assert_eq!(bits(&engine.predict("m", &wide).unwrap().values), bits(&model.predict(&wide).unwrap()));
            let queued = one_worker(16);
            queued.load("m", model.clone()).unwrap();
            let mut tickets = Vec::new();
            for row in rows.rows() {
                tickets.push(queued.submit(Request::new("m", row.to_slice().unwrap())).unwrap());
            }
            let mut answers = Vec::new();
            for (row, ticket) in rows.rows().into_iter().zip(tickets) {
                let inline = engine.predict("m", row.to_slice().unwrap()).unwrap();
                let answer = ticket.wait().unwrap();
                assert_eq!((answer.values.n_rows(), answer.values.n_columns()), (1, expected.n_columns()));
                assert_eq!(bits(&answer.values), bits(&inline.values));
                answers.extend(bits(&answer.values));
            }
            assert_eq!(answers, bits(&expected), "{name} {output:?}");
            // Sparse rows, in parts and several to a batch.
            let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
            for row in rows.rows() {
                for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                    indices.push(column as u32);
                    values.push(value);
                }
                indptr.push(indices.len());
            }
            let csr = Rows::csr(n_features, &indptr, &indices, &values).unwrap();
            let expected = bits(&model.predict(csr.clone()).unwrap());
            assert_eq!(bits(&engine.predict("m", csr.clone()).unwrap().values), expected);
            assert_eq!(bits(&engine.predict_batch("m", csr.clone()).unwrap()), expected);
            let halves: Vec<_> = [0..rows.nrows() / 2, rows.nrows() / 2..rows.nrows()]
                .map(|range| {
                    let start = indptr[range.start];
                    let part: Vec<_> = indptr[range.start..=range.end].iter().map(|at| at - start).collect();
                    let entries = start..indptr[range.end];
                    let csr = Rows::csr(n_features, &part, &indices[entries.clone()], &values[entries]).unwrap();
                    queued.submit(Request::new("m", csr)).unwrap()
                })
                .into();
            let answers: Vec<_> = halves.into_iter().flat_map(|ticket| bits(&ticket.wait().unwrap().values)).collect();
            assert_eq!(answers, expected);
        }
    }
}

#[test]
fn a_bad_row_fails_alone_and_its_batch_mates_have_the_bits_of_solo_runs() {
    let (engine, held, gate) = held_engine(64);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("doubler", doubler.clone()).unwrap();
    let rows: Vec<[f32; 2]> = (1..=40).map(|row| [row as f32 * 1.1, 0.0]).collect();
    let mut tickets: Vec<_> = rows.iter().map(|row| engine.submit(Request::new("doubler", row)).unwrap()).collect();
    tickets.insert(11, engine.submit(Request::new("doubler", &[113.0f32, 0.0])).unwrap());
    tickets.insert(30, engine.submit(Request::new("doubler", &[117.0f32, 0.0])).unwrap());
    held.let_go();
    gate.wait().unwrap();
    let mut answers: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait()).collect();
    let unfit = answers.remove(30).unwrap_err();
    assert!(unfit.is_custom(), "{unfit}");
    assert_eq!(unfit.to_string(), "117 is not to my taste");
    let unlucky = answers.remove(11).unwrap_err();
    assert!(unlucky.is_panicked() && unlucky.to_string().contains("an unlucky row"), "{unlucky}");
    for (row, answer) in rows.iter().zip(answers) {
        assert_eq!(bits(&answer.unwrap().values), bits(&doubler.predict(row).unwrap()));
    }
    // On the caller's thread it is the same.
    assert!(engine.predict("doubler", &[113.0f32, 0.0]).unwrap_err().is_panicked());
    assert_eq!(engine.predict("doubler", &[1.5f32, 0.0]).unwrap().values.to_f64(), [3.0]);
    engine.shutdown(Duration::from_secs(60)).unwrap();
    let snapshot = engine.metrics().snapshot();
    assert_eq!(snapshot.requests(Outcome::Panicked), 2);
    assert_eq!(snapshot.requests(Outcome::Failed), 1);
    let batches = &snapshot.models["doubler"].batches;
    // Two culprits in 42 requests: at most 2 * 2 * log2(64) runs to find them.
    assert!((2..=24).contains(&batches.reruns), "{}", batches.reruns);
}

#[test]
fn requests_share_batches_and_say_so() {
    let (engine, held, gate) = held_engine(8);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let submit = |id: u64| engine.submit(Request::new("doubler", &[id as f32, 0.0]).id(id).tag("t")).unwrap();
    let tickets: Vec<_> = (1..=10).map(submit).collect();
    held.let_go();
    drop(gate);
    let answers: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect();
    assert_eq!(answers.iter().map(|answer| answer.batch_rows).collect::<Vec<_>>(), [8, 8, 8, 8, 8, 8, 8, 8, 2, 2]);
    assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| answer.tag.as_deref() == Some("t") && answer.latency >= answer.queue_time));
    engine.shutdown(Duration::from_secs(60)).unwrap();
    let report = engine.batching_report();
    // The last one is recorded when its worker comes back for more.
    assert_eq!((report.batches, report.rows), (3, 11));
}

#[test]
fn urgent_requests_overtake_and_a_large_one_is_split() {
    let (engine, held, gate) = held_engine(4);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let (done, all_done) = mpsc::channel();
    let large: Vec<f32> = (1..=20).flat_map(|row| [row as f32, 0.0]).collect();
    let submit = |name: &'static str, rows: &[f32], priority| {
        let (order, done) = (Arc::clone(&order), done.clone());
        let request = Request::new("doubler", rows).priority(priority);
        let record = move |answer: sawmill::Result<sawmill::Prediction>| {
            order.lock().unwrap().push((name, answer.unwrap().values.to_f64()));
            done.send(()).unwrap();
        };
        engine.submit_with(request, record).unwrap();
    };
    submit("low", &large, Priority::Low);
    submit("normal", &[1.0, 0.0], Priority::Normal);
    submit("critical", &[2.0, 0.0], Priority::Critical);
    submit("high", &[3.0, 0.0], Priority::High);
    held.let_go();
    drop(gate);
    (0..4).for_each(|_| all_done.recv().unwrap());
    let order = order.lock().unwrap();
    assert_eq!(order.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["critical", "high", "normal", "low"]);
    assert_eq!(order[3].1, (1..=20).map(|row| f64::from(row) * 2.0).collect::<Vec<_>>());
}

#[test]
fn a_dropped_ticket_takes_its_request_out_of_the_queue() {
    let (engine, held, gate) = held_engine(8);
    let (doubler, ran) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let mut tickets: Vec<_> =
        (0..20).map(|_| engine.submit(Request::new("doubler", &[1.0f32, 0.0])).unwrap()).collect();
    drop(tickets.split_off(5));
    assert_eq!(engine.health().queued_rows, 5);
    assert_eq!(engine.health().in_flight, 6);
    held.let_go();
    drop(gate);
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    engine.shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 5);
    let snapshot = engine.metrics().snapshot();
    let doubler = &snapshot.models["doubler"].classes[Priority::Normal as usize];
    assert_eq!((doubler.requests(Outcome::Ok), doubler.requests(Outcome::Cancelled)), (5, 15));
}

#[test]
fn a_deadline_ends_a_request_that_waits() {
    let (engine, held, gate) = held_engine(8);
    let (doubler, ran) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let row = [1.0f32, 0.0];
    // A blocked caller leaves at the deadline, though the worker is held.
    let error = engine.predict_request(Request::new("doubler", &row).timeout(Duration::from_millis(2))).unwrap_err();
    assert!(error.is_deadline(), "{error}");
    // What was submitted is told when a worker comes to it.
    let deadline = Instant::now() + Duration::from_millis(2);
    let late = engine.submit(Request::new("doubler", &row).deadline(deadline)).unwrap();
    let in_time = engine.submit(Request::new("doubler", &row).timeout(Duration::from_secs(600))).unwrap();
    while Instant::now() < deadline {
        thread::yield_now();
    }
    held.let_go();
    drop(gate);
    assert!(late.wait().unwrap_err().is_deadline());
    assert!(in_time.wait().is_ok());
    // One that has passed already is told at once, on an idle engine too.
    let passed = Request::new("doubler", &row).deadline(deadline);
    assert!(engine.predict_request(passed.clone()).unwrap_err().is_deadline());
    assert!(engine.submit(passed).unwrap_err().is_deadline() || ran.load(Ordering::Relaxed) == 1);
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[test]
fn shutdown_drains_what_was_accepted() {
    let (engine, held, gate) = held_engine(8);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let tickets: Vec<_> = (0..50).map(|_| engine.submit(Request::new("doubler", &[4.0f32, 0.0])).unwrap()).collect();
    thread::scope(|scope| {
        let shutdown = scope.spawn(|| engine.shutdown(Duration::from_secs(600)));
        while engine.health().state != EngineState::Draining {
            thread::yield_now();
        }
        let health = engine.health();
        assert!(health.live && !health.ready);
        for error in [
            engine.predict("doubler", &[1.0f32, 0.0]).unwrap_err(),
            engine.submit(Request::new("doubler", &[1.0f32, 0.0])).unwrap_err(),
            engine.predict_batch("doubler", &[1.0f32, 0.0]).unwrap_err(),
        ] {
            assert!(error.is_shutdown(), "{error}");
        }
        held.let_go();
        shutdown.join().unwrap().unwrap();
    });
    assert_eq!(engine.health().state, EngineState::Stopped);
    assert!(gate.wait().is_ok());
    assert!(tickets.into_iter().all(|ticket| ticket.wait().unwrap().values.to_f64() == [8.0]));
    engine.shutdown(Duration::ZERO).unwrap();
}

#[test]
fn shutdown_without_grace_ends_every_request_with_an_error() {
    let (engine, held, gate) = held_engine(8);
    let tickets: Vec<_> = (0..9).map(|_| engine.submit(Request::new("gate", &[1.0f32])).unwrap()).collect();
    let error = engine.shutdown(Duration::ZERO).unwrap_err();
    assert!(error.is_shutdown() && error.to_string().starts_with("10 requests"), "{error}");
    // The one whose worker hangs in its model, too.
    assert!(gate.wait().unwrap_err().is_shutdown());
    assert!(tickets.into_iter().all(|ticket| ticket.wait().unwrap_err().is_shutdown()));
    held.let_go();
}

#[test]
fn a_swap_changes_answers_at_once_and_never_within_one() {
    let engine = Engine::builder().workers(Workers::Count(2)).max_batch_rows(4).build().unwrap();
    let [first, second] =
        ["xgboost/iris", "lightgbm/wine"].map(|name| Case::named(name).load(Model::options()).unwrap());
    let (double, _) = Doubler::model(2.0);
    let (triple, _) = Doubler::model(3.0);
    let by_epoch = Mutex::new(HashMap::new());
    by_epoch.lock().unwrap().insert(engine.load("m", double.clone()).unwrap(), 2.0);
    let stop = AtomicBool::new(false);
    let rows: Vec<f32> = (1..=30).flat_map(|row| [row as f32, 0.0]).collect();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let answer = engine.predict("m", &rows).unwrap();
                        let factor = answer.values.to_f64()[0];
                        assert!(
                            (1..=30).zip(answer.values.to_f64()).all(|(row, value)| value == f64::from(row) * factor)
                        );
                        seen.push((answer.epoch, factor));
                    }
                    seen
                })
            })
            .collect();
        for swap in 0..50 {
            let (model, factor) = if swap % 2 == 0 { (&triple, 3.0) } else { (&double, 2.0) };
            by_epoch.lock().unwrap().insert(engine.load("m", model.clone()).unwrap(), factor);
            assert_eq!(engine.predict("m", &[1.0f32, 0.0]).unwrap().values.to_f64(), [factor]);
        }
        stop.store(true, Ordering::Relaxed);
        let by_epoch = by_epoch.lock().unwrap();
        for (epoch, factor) in callers.into_iter().flat_map(|caller| caller.join().unwrap()) {
            assert_eq!(by_epoch[&epoch], factor);
        }
    });
    // The same content has the same epoch, another content or output another.
    let epoch = engine.load("m", first.clone()).unwrap();
    assert_eq!(engine.load("other", first).unwrap(), epoch);
    assert_ne!(engine.load("m", second).unwrap(), epoch);
    let margins = Case::named("xgboost/iris").load(Model::options().output(Output::Margin)).unwrap();
    assert_ne!(engine.load("m", margins).unwrap(), epoch);
    assert_eq!(engine.models(), ["m", "other"]);
    engine.unload("other").unwrap();
    let error = engine.predict("other", &[0.0f32; 4]).unwrap_err();
    assert!(error.is_unknown_model());
    assert_eq!(error.to_string(), "no model called \"other\"; loaded are: m");
}

#[test]
fn too_much_is_refused_by_name() {
    let builder = Engine::builder().workers(Workers::Count(1)).inline_below(Duration::ZERO);
    let engine = builder.max_batch_rows(4).max_in_flight(4).queue_rows(8).build().unwrap();
    let (gate, held) = Gate::shut();
    engine.load("gate", gate).unwrap();
    let running = engine.submit(Request::new("gate", &[1.0f32])).unwrap();
    held.await_worker();
    let large = engine.submit(Request::new("gate", &[1.0f32; 5])).unwrap();
    let error = engine.submit(Request::new("gate", &[1.0f32; 3])).unwrap_err();
    assert!(error.is_overloaded());
    assert_eq!(error.to_string(), "5 rows are waiting, and this class of request has room for 7");
    let more = [(); 2].map(|()| engine.submit(Request::new("gate", &[1.0f32])).unwrap());
    let error = engine.predict("gate", &[1.0f32]).unwrap_err();
    assert!(error.is_overloaded());
    assert_eq!(error.to_string(), "4 requests are in flight, but max_in_flight is 4");
    assert_eq!(engine.metrics().snapshot().requests(Outcome::Overloaded), 2);
    held.let_go();
    assert!([running, large].into_iter().chain(more).all(|ticket| ticket.wait().is_ok()));
    // Wrong rows never get as far.
    assert!(engine.submit(Request::new("gate", Rows::row_major(&[1.0f32; 2], 2).unwrap())).unwrap_err().is_shape());
    assert_eq!(engine.predict("gate", &[0.0f32; 0]).unwrap().values.n_rows(), 0);
}

#[test]
fn a_ticket_is_a_future_and_can_be_asked_again() {
    let (engine, held, mut gate) = held_engine(8);
    assert!(gate.wait_timeout(Duration::ZERO).is_none());
    let second = engine.submit(Request::new("gate", &[1.0f32])).unwrap();
    thread::scope(|scope| {
        let task = scope.spawn(|| block_on(second));
        held.let_go();
        assert_eq!(task.join().unwrap().unwrap().values.to_f64(), [1.0]);
    });
    assert!(gate.wait_timeout(Duration::MAX).unwrap().is_ok());
    assert!(gate.wait_timeout(Duration::ZERO).unwrap().unwrap_err().is_cancelled());
    assert!(gate.wait().unwrap_err().is_cancelled());
    // On an idle engine it is ready at once.
    let engine = Engine::builder().build().unwrap();
    engine.load("m", Case::named("xgboost/iris").load(Model::options()).unwrap()).unwrap();
    assert!(block_on(engine.submit(Request::new("m", &[0.5f32; 4])).unwrap()).is_ok());
}

#[test]
fn a_callback_that_panics_harms_nobody() {
    let engine = one_worker(4);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    engine.submit_with(Request::new("m", &[1.0f32, 0.0]), |_| panic!("a careless callback")).unwrap();
    assert_eq!(engine.submit(Request::new("m", &[1.0f32, 0.0])).unwrap().wait().unwrap().values.to_f64(), [2.0]);
    engine.shutdown(Duration::from_secs(60)).unwrap();
}

/// The last to know of an engine may be a callback, on a worker's thread: that ends with the engine, and so does each
/// request of its batch.
#[test]
fn an_engine_can_be_dropped_by_a_callback() {
    let (engine, held, gated) = held_doubler(4);
    let (tell, told) = mpsc::channel();
    let inside = Arc::clone(&engine);
    let callback = move |answer: sawmill::Result<sawmill::Prediction>| {
        drop(inside);
        tell.send(answer.unwrap().values.to_f64()).unwrap();
    };
    engine.submit_with(Request::new("m", &[1.0f32, 0.0]), callback).unwrap();
    let mate = engine.submit(Request::new("m", &[2.0f32, 0.0])).unwrap();
    drop(engine);
    held.let_go();
    assert!(gated.wait().is_ok());
    assert_eq!(told.recv().unwrap(), [2.0]);
    assert_eq!(mate.wait().unwrap().values.to_f64(), [4.0]);
}

/// Bounds of bytes that no row fits into let one row through at a time.
#[test]
fn a_row_wider_than_the_bounds_runs_alone() {
    let bounds = queueing(64).max_batch_bytes(5).queue_bytes(5);
    let (engine, held, gated) = hold(bounds.build().unwrap());
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    let rows = Array2::from_shape_fn((3, 2), |(row, _)| row as f32);
    let wide = engine.submit(Request::new("m", &rows)).unwrap();
    let error = engine.submit(Request::new("m", &[1.0f32, 0.0])).unwrap_err();
    assert!(error.is_overloaded() && error.to_string().contains("queue_bytes"), "{error}");
    held.let_go();
    gated.wait().unwrap();
    let answer = wide.wait().unwrap();
    assert_eq!((answer.values.to_f64(), answer.batch_rows), (vec![0.0, 2.0, 4.0], 1));
}

#[test]
fn an_engine_without_metrics_answers_and_counts_nothing() {
    let engine = queueing(4).metrics(false).build().unwrap();
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    assert_eq!(engine.predict("m", &[1.0f32, 0.0]).unwrap().values.to_f64(), [2.0]);
    assert_eq!(engine.submit(Request::new("m", &[2.0f32, 0.0])).unwrap().wait().unwrap().values.to_f64(), [4.0]);
    engine.shutdown(Duration::from_secs(60)).unwrap();
    let snapshot = engine.metrics().snapshot();
    assert_eq!((snapshot.batches().rows.count(), snapshot.node_batches.iter().sum::<u64>()), (0, 0));
    assert_eq!(snapshot.models["m"].classes.iter().map(|class| class.total.count()).sum::<u64>(), 0);
}

#[test]
fn health_tells_where_the_engine_is() {
    let engine = Engine::builder().workers(Workers::Count(1)).build().unwrap();
    assert_eq!(engine.health().state, EngineState::Starting);
    assert!(engine.health().live && !engine.health().ready);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    assert!(engine.health().ready);
    (0..3).for_each(|_| assert!(engine.predict("m", &[113.0f32, 0.0]).is_err()));
    let health = engine.health();
    assert_eq!((health.state, health.failing.as_slice()), (EngineState::Degraded, ["m".to_owned()].as_slice()));
    engine.predict("m", &[1.0f32, 0.0]).unwrap();
    assert_eq!(engine.health().state, EngineState::Ready);
    let report = engine.validate_model("m").unwrap();
    assert!(report.ok && report.checks.iter().any(|check| check.name == "cost"), "{report:?}");
}

#[test]
fn batches_of_fixed_size_wait_for_company() {
    let builder = Engine::builder().workers(Workers::Count(1)).inline_below(Duration::ZERO);
    let engine = builder.batching(BatchingStrategy::Fixed(3)).max_delay(Duration::from_secs(3600)).build().unwrap();
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    let tickets = [1.0f32, 2.0, 3.0].map(|value| engine.submit(Request::new("m", &[value, 0.0])).unwrap());
    let answers = tickets.map(|ticket| ticket.wait().unwrap());
    assert_eq!(answers.map(|answer| answer.batch_rows), [3, 3, 3]);
}

fn cached(rows: usize) -> EngineBuilder {
    queueing(rows).cache(CacheConfig::rows(10_000))
}

#[test]
fn cached_answers_have_the_bits_of_the_model() {
    for name in ["xgboost/breast_cancer", "xgboost/iris", "lightgbm/wine", "lightgbm/zero_as_missing"] {
        let case = Case::named(name);
        let rows = dense(&case);
        let wide = rows.mapv(f64::from);
        for output in [Output::Value, Output::Leaf, Output::Label] {
            let Ok(model) = case.load(Model::options().output(output)) else { continue };
            let expected = model.predict(&rows).unwrap();
            let engine = cached(16).build().unwrap();
            engine.load("m", model.clone()).unwrap();
            let ask = |rows: Rows<'_>, cached: bool| {
                let prediction = engine.predict("m", rows).unwrap();
                assert_eq!(prediction.from_cache, cached);
                bits(&prediction.values)
            };
            // Every third row alone, on this thread; then all at once, of which those are known; then all are.
            for row in rows.rows().into_iter().step_by(3) {
                let ticket = engine.submit(Request::new("m", row.to_slice().unwrap())).unwrap();
                assert_eq!(bits(&ticket.wait().unwrap().values), ask(Rows::from(row.to_slice().unwrap()), true));
            }
            assert_eq!(ask(Rows::from(&rows), false), bits(&expected), "{name} {output:?}");
            assert_eq!(ask(Rows::from(&rows), true), bits(&expected));
            for row in rows.rows() {
                ask(Rows::from(row.to_slice().unwrap()), true);
            }
            // The memory order does not matter; the type does.
            let columns: Vec<f32> = rows.t().iter().copied().collect();
            assert_eq!(ask(Rows::column_major(&columns, rows.ncols()).unwrap(), true), bits(&expected));
            assert_eq!(ask(Rows::from(&wide), false), bits(&model.predict(&wide).unwrap()));
            assert_eq!(ask(Rows::from(&wide), true), bits(&model.predict(&wide).unwrap()));
            let indptr: Vec<_> = (0..=rows.nrows()).map(|row| row * rows.ncols()).collect();
            let indices: Vec<_> = (0..rows.len()).map(|entry| (entry % rows.ncols()) as u32).collect();
            let csr = || Rows::csr(rows.ncols(), &indptr, &indices, rows.as_slice().unwrap()).unwrap();
            assert_eq!(ask(csr(), false), bits(&model.predict(csr()).unwrap()));
            assert_eq!(ask(csr(), true), bits(&model.predict(csr()).unwrap()));
            let snapshot = engine.metrics().snapshot();
            let class = &snapshot.models["m"].classes[Priority::Normal as usize];
            let cache = snapshot.cache.unwrap();
            assert_eq!(cache.hits + cache.coalesced, class.cached_rows);
            engine.clear_cache();
            assert_eq!(engine.metrics().snapshot().cache.unwrap().rows, 0);
            assert_eq!(ask(Rows::from(&rows), false), bits(&expected));
        }
    }
}

#[test]
fn rows_are_the_same_if_their_bits_are() {
    let (engine, held, gate) = hold(cached(8).build().unwrap());
    let (doubler, ran) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let nan = |payload: u32| f32::from_bits(0x7fc0_0000 | payload);
    let rows = [[1.0, 0.0], [1.0, -0.0], [1.0, nan(0)], [1.0, nan(1)], [nan(0), 1.0], [nan(2), 1.0]];
    // Twice: the second time they join.
    let tickets: Vec<_> =
        rows.iter().cycle().take(12).map(|row| engine.submit(Request::new("doubler", row)).unwrap()).collect();
    held.let_go();
    gate.wait().unwrap();
    for (row, ticket) in rows.iter().cycle().zip(tickets) {
        assert_eq!(bits(&ticket.wait().unwrap().values), [(f64::from(row[0]) * 2.0).to_bits()]);
    }
    assert_eq!(ran.load(Ordering::Relaxed), 6);
    // And the third time they are there.
    for row in &rows {
        let prediction = engine.predict("doubler", row).unwrap();
        assert!(prediction.from_cache);
        assert_eq!(bits(&prediction.values), [(f64::from(row[0]) * 2.0).to_bits()]);
    }
    assert_eq!(ran.load(Ordering::Relaxed), 6);
}

#[test]
fn rows_that_are_asked_for_at_once_are_computed_once() {
    let (engine, held, gate) = hold(cached(64).build().unwrap());
    let (doubler, ran) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let row = |value: usize| [value as f32, 0.0];
    // Requests of two rows, which overlap; one that has a row twice.
    let pairs = [(1, 2), (2, 3), (1, 3), (3, 4), (5, 5), (4, 5)];
    let submit = |(a, b): (usize, usize)| engine.submit(Request::new("doubler", &[row(a), row(b)].concat())).unwrap();
    let tickets: Vec<_> = pairs.into_iter().map(submit).collect();
    assert_eq!(engine.health().queued_rows, 5);
    held.let_go();
    gate.wait().unwrap();
    for ((a, b), ticket) in pairs.into_iter().zip(tickets) {
        let answer = ticket.wait().unwrap();
        assert_eq!(answer.values.to_f64(), [a as f64 * 2.0, b as f64 * 2.0]);
        assert_eq!(answer.from_cache, [(1, 3), (4, 5)].contains(&(a, b)));
    }
    assert_eq!(ran.load(Ordering::Relaxed), 5);
    engine.shutdown(Duration::from_secs(60)).unwrap();
    let snapshot = engine.metrics().snapshot();
    assert_eq!(snapshot.cache.unwrap().coalesced, 7);
    assert_eq!(snapshot.models["doubler"].classes[Priority::Normal as usize].cached_rows, 7);
}

#[test]
fn who_waits_for_a_request_that_ends_without_an_answer_still_gets_one() {
    let (engine, held, gate) = hold(cached(64).build().unwrap());
    let (doubler, _) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let submit = |request: Request<'_>| engine.submit(request).unwrap();
    // Dropped, with others behind it, one of which is dropped, too.
    let leader = submit(Request::new("doubler", &[1.0f32, 0.0]));
    let joined = submit(Request::new("doubler", &[1.0f32, 0.0, 2.0, 0.0]));
    let gone = submit(Request::new("doubler", &[1.0f32, 0.0]));
    drop(leader);
    drop(gone);
    // Expired before it runs.
    let deadline = Instant::now() + Duration::from_millis(2);
    let short = submit(Request::new("doubler", &[3.0f32, 0.0]).deadline(deadline));
    let long = submit(Request::new("doubler", &[3.0f32, 0.0]));
    // Fails for a row of its own.
    let poisoned = submit(Request::new("doubler", &[4.0f32, 0.0, 113.0, 0.0]));
    let clean = submit(Request::new("doubler", &[4.0f32, 0.0]));
    let as_poisoned = submit(Request::new("doubler", &[113.0f32, 0.0]));
    // The clock passes the deadline before the worker looks at the queue.
    while Instant::now() < deadline {
        thread::yield_now();
    }
    held.let_go();
    gate.wait().unwrap();
    assert!(short.wait().unwrap_err().is_deadline());
    assert_eq!(joined.wait().unwrap().values.to_f64(), [2.0, 4.0]);
    assert_eq!(long.wait().unwrap().values.to_f64(), [6.0]);
    assert!(poisoned.wait().unwrap_err().is_panicked());
    assert_eq!(clean.wait().unwrap().values.to_f64(), [8.0]);
    assert!(as_poisoned.wait().unwrap_err().is_panicked());
    engine.shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!((engine.health().in_flight, engine.health().queued_rows), (0, 0));
}

#[test]
fn a_request_becomes_as_urgent_as_those_that_join_it() {
    let (engine, held, gate) = hold(cached(1).build().unwrap());
    let (doubler, _) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    let (done, all_done) = mpsc::channel();
    let submit = |value: f32, priority| {
        let done = done.clone();
        let tell =
            move |answer: sawmill::Result<sawmill::Prediction>| done.send(answer.unwrap().values.to_f64()[0]).unwrap();
        engine.submit_with(Request::new("doubler", &[value, 0.0]).priority(priority), tell).unwrap();
    };
    submit(1.0, Priority::Low);
    submit(2.0, Priority::Normal);
    submit(1.0, Priority::Critical);
    held.let_go();
    gate.wait().unwrap();
    let order: Vec<_> = (0..3).map(|_| all_done.recv().unwrap()).collect();
    assert_eq!(order, [2.0, 2.0, 4.0]);
}

#[test]
fn shutdown_ends_those_who_wait_for_another_request_too() {
    for grace in [Duration::ZERO, Duration::from_secs(60)] {
        let (engine, held, gate) = hold(cached(4).build().unwrap());
        let (doubler, _) = Doubler::model(2.0);
        engine.load("doubler", doubler).unwrap();
        let row = |value: usize| [value as f32, 0.0, value as f32 + 1.0, 0.0];
        // A chain: each leads a row that the next one waits for.
        let tickets: Vec<_> =
            (201..2200).map(|value| engine.submit(Request::new("doubler", &row(value))).unwrap()).collect();
        if grace.is_zero() {
            let error = engine.shutdown(grace).unwrap_err();
            assert!(error.to_string().starts_with("2000 requests"), "{error}");
            assert!(tickets.into_iter().all(|ticket| ticket.wait().unwrap_err().is_shutdown()));
            held.let_go();
            drop(gate);
        } else {
            held.let_go();
            engine.shutdown(grace).unwrap();
            for (value, ticket) in (201..).zip(tickets) {
                assert_eq!(
                    ticket.wait().unwrap().values.to_f64(),
                    [f64::from(value) * 2.0, f64::from(value + 1) * 2.0]
                );
            }
        }
        assert_eq!((engine.health().in_flight, engine.health().queued_rows), (0, 0));
    }
}

#[test]
fn a_cached_answer_never_outlives_its_model() {
    let (engine, held, gate) = hold(cached(8).build().unwrap());
    let iris = |options: sawmill::ModelOptions| Case::named("xgboost/iris").load(options).unwrap();
    let (first, second) = (iris(Model::options()), iris(Model::options().iterations(0..3)));
    let row = &[0.5f32; 4];
    let answers = [&first, &second].map(|model| bits(&model.predict(row).unwrap()));
    assert_ne!(answers[0], answers[1]);
    engine.load("m", first.clone()).unwrap();
    // In flight while the model is replaced: it ends with the old one, and nobody joins it.
    let old = engine.submit(Request::new("m", row)).unwrap();
    engine.load("m", second.clone()).unwrap();
    let new = engine.submit(Request::new("m", row)).unwrap();
    held.let_go();
    gate.wait().unwrap();
    assert_eq!([old, new].map(|ticket| bits(&ticket.wait().unwrap().values)), answers);
    for model in [&first, &second, &first] {
        engine.load("m", model.clone()).unwrap();
        let expected = bits(&model.predict(row).unwrap());
        for from_cache in [false, true] {
            let prediction = engine.predict("m", row).unwrap();
            assert_eq!((bits(&prediction.values), prediction.from_cache), (expected.clone(), from_cache));
        }
        // The same content again: the same answers.
        engine.load("m", model.clone()).unwrap();
        assert!(engine.predict("m", row).unwrap().from_cache);
    }
    // Custom models have no content to compare: a load is a new model.
    for factor in [2.0, 3.0] {
        engine.load("doubler", Doubler::model(factor).0).unwrap();
        let prediction = engine.predict("doubler", &[1.0f32, 0.0]).unwrap();
        assert_eq!((prediction.values.to_f64(), prediction.from_cache), (vec![factor], false));
    }
    for name in engine.models() {
        engine.unload(&name).unwrap();
    }
    assert_eq!(engine.metrics().snapshot().cache.unwrap().rows, 0);
}

#[test]
fn a_cache_that_costs_more_than_it_saves_is_left_out() {
    let engine = cached(64).build().unwrap();
    let (doubler, _) = Doubler::model(2.0);
    engine.load("doubler", doubler).unwrap();
    for value in 0..30_000u32 {
        let row = [value as f32 + 200.0, 0.0];
        let prediction = engine.predict("doubler", &row).unwrap();
        assert_eq!((prediction.values.to_f64(), prediction.from_cache), (vec![f64::from(row[0]) * 2.0], false));
    }
    let cache = engine.metrics().snapshot().cache.unwrap();
    assert!(cache.bypassed > 10_000, "{cache:?}");
}

#[test]
fn no_rows_are_answered_with_no_rows_by_every_way_in() {
    for builder in [queueing(8), cached(8)] {
        let (engine, held, gate) = hold(builder.build().unwrap());
        let (doubler, ran) = Doubler::model(2.0);
        engine.load("m", doubler).unwrap();
        // On a busy engine, too: there is nothing to queue.
        let none: &[f32] = &[];
        let sparse = Rows::csr(2, &[0], &[], none).unwrap();
        assert_eq!(engine.predict("m", none).unwrap().values.n_rows(), 0);
        assert_eq!(engine.predict("m", sparse).unwrap().values.n_rows(), 0);
        assert_eq!(engine.submit(Request::new("m", none)).unwrap().wait().unwrap().values.n_rows(), 0);
        assert_eq!(engine.predict_batch("m", none).unwrap().n_rows(), 0);
        let (tell, told) = mpsc::channel();
        engine
            .submit_with(Request::new("m", none), move |answer| tell.send(answer.unwrap().batch_rows).unwrap())
            .unwrap();
        assert_eq!(told.recv().unwrap(), 0);
        let passed = Instant::now();
        assert!(engine.predict_request(Request::new("m", none).deadline(passed)).unwrap_err().is_deadline());
        held.let_go();
        gate.wait().unwrap();
        engine.shutdown(Duration::from_secs(60)).unwrap();
        assert!(engine.predict("m", none).unwrap_err().is_shutdown());
        assert_eq!(ran.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_request_larger_than_the_queue_is_let_in_alone_and_split() {
    let builder = queueing(4).queue_rows(8);
    let (engine, held, gate) = hold(builder.build().unwrap());
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    let rows: Vec<f32> = (1..=100).flat_map(|row| [row as f32, 0.0]).collect();
    let large = engine.submit(Request::new("m", &rows)).unwrap();
    let error = engine.submit(Request::new("m", &rows)).unwrap_err();
    assert!(error.is_overloaded() && error.to_string().starts_with("100 rows are waiting"), "{error}");
    held.let_go();
    gate.wait().unwrap();
    let answer = large.wait().unwrap();
    assert_eq!(answer.values.to_f64(), (1..=100).map(|row| f64::from(row) * 2.0).collect::<Vec<_>>());
    assert_eq!(answer.batch_rows, 4);
}

#[test]
fn a_bad_row_of_a_split_request_ends_all_of_it_once() {
    let (engine, held, gate) = held_engine(4);
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    let rows: Vec<f32> = (101..=120).flat_map(|row| [row as f32, 0.0]).collect();
    let (large, mate) = (engine.submit(Request::new("m", &rows)).unwrap(), [1.0f32, 0.0]);
    let mate = engine.submit(Request::new("m", &mate)).unwrap();
    held.let_go();
    gate.wait().unwrap();
    // Row 113 panics, row 117 errs: whichever runs first.
    assert!(large.wait().unwrap_err().is_panicked());
    assert_eq!(mate.wait().unwrap().values.to_f64(), [2.0]);
    assert_eq!((engine.health().in_flight, engine.health().queued_rows), (0, 0));
}

#[test]
fn answers_kept_for_no_time_are_never_given_out_and_still_shared() {
    let cache = CacheConfig::rows(100).ttl(Duration::ZERO);
    let (engine, held, gate) = hold(queueing(8).cache(cache).build().unwrap());
    let (doubler, ran) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    let row = [5.0f32, 0.0];
    let tickets = [(); 3].map(|()| engine.submit(Request::new("m", &row)).unwrap());
    held.let_go();
    gate.wait().unwrap();
    assert!(tickets.into_iter().all(|ticket| ticket.wait().unwrap().values.to_f64() == [10.0]));
    assert_eq!(ran.load(Ordering::Relaxed), 1, "those under way at once are computed once");
    for times in 2..5 {
        let prediction = engine.predict("m", &row).unwrap();
        assert_eq!((prediction.values.to_f64(), prediction.from_cache), (vec![10.0], false));
        assert_eq!(ran.load(Ordering::Relaxed), times);
    }
}

#[test]
fn a_deadline_in_the_past_is_told_at_once_by_every_way_in() {
    for builder in [Engine::builder(), queueing(8), Engine::builder().cache(CacheConfig::rows(10))] {
        let engine = builder.build().unwrap();
        let (doubler, ran) = Doubler::model(2.0);
        engine.load("m", doubler).unwrap();
        let row = [5.0f32, 0.0];
        // A cached answer comes too late as well.
        engine.predict("m", &row).unwrap();
        let late = || Request::new("m", &row).deadline(Instant::now());
        assert!(engine.predict_request(late()).unwrap_err().is_deadline());
        assert!(engine.submit(late()).unwrap_err().is_deadline());
        let error = engine.submit_with(late(), |_| panic!("an error is returned instead")).unwrap_err();
        assert!(error.is_deadline());
        assert_eq!(ran.load(Ordering::Relaxed), 1);
        assert_eq!(engine.metrics().snapshot().requests(Outcome::Expired), 3);
        // The far future is no deadline.
        assert!(engine.predict_request(Request::new("m", &row).timeout(Duration::MAX)).is_ok());
        assert_eq!(engine.health().in_flight, 0);
    }
}

#[test]
fn what_runs_when_its_ticket_is_dropped_is_thrown_away_and_its_mates_are_not() {
    let (engine, first_held, first) = held_engine(8);
    let (gate, held) = Gate::shut();
    engine.load("next", gate).unwrap();
    let tickets = [2.0f32, 3.0].map(|value| engine.submit(Request::new("next", &[value])).unwrap());
    // One that runs alone.
    drop(first);
    assert_eq!(engine.health().in_flight, 2);
    first_held.let_go();
    // One of two that run together.
    held.await_worker();
    let [dropped, mate] = tickets;
    drop(dropped);
    assert_eq!(engine.health().in_flight, 1);
    held.let_go();
    let answer = mate.wait().unwrap();
    assert_eq!((answer.values.to_f64(), answer.batch_rows), (vec![1.0], 2));
    engine.shutdown(Duration::from_secs(60)).unwrap();
    let snapshot = engine.metrics().snapshot();
    assert_eq!((snapshot.requests(Outcome::Ok), snapshot.requests(Outcome::Cancelled)), (1, 2));
}

#[test]
fn a_callback_that_panics_on_its_callers_thread_harms_nobody_either() {
    let engine = Engine::builder().inline_below(Duration::from_secs(1)).build().unwrap();
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    engine.submit_with(Request::new("m", &[1.0f32, 0.0]), |_| panic!("a careless callback")).unwrap();
    assert_eq!(engine.predict("m", &[1.0f32, 0.0]).unwrap().values.to_f64(), [2.0]);
    assert_eq!(engine.health().in_flight, 0);
    engine.shutdown(Duration::from_secs(60)).unwrap();
}

/// Fails in the nastier ways: at 1 it panics with something that panics when it is dropped, and it panics when it is
/// dropped itself.
struct Spiteful(Schema);

struct Spite;

impl Drop for Spite {
    fn drop(&mut self) {
        panic!("one more");
    }
}

impl Predictor for Spiteful {
    fn schema(&self) -> &Schema {
        &self.0
    }

    fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> sawmill::Result<()> {
        if rows[[0, 0]] == 1.0 {
            std::panic::panic_any(Spite);
        }
        out.fill(7.0);
        Ok(())
    }
}

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic!("and a last one");
    }
}

#[test]
fn a_worker_survives_whatever_a_model_panics_with_and_its_drop() {
    let (engine, held, gate) = held_engine(8);
    engine.load("spiteful", Model::custom(Spiteful(Schema::new(1, 1))).unwrap()).unwrap();
    let (tell, told) = mpsc::channel();
    for value in [1.0f32, 2.0] {
        let tell = tell.clone();
        let callback =
            move |answer: sawmill::Result<sawmill::Prediction>| tell.send(answer.map(|it| it.values.to_f64()));
        engine.submit_with(Request::new("spiteful", &[value]), move |answer| callback(answer).unwrap()).unwrap();
    }
    // Its last uses are these requests, so the worker drops it.
    engine.unload("spiteful").unwrap();
    held.let_go();
    gate.wait().unwrap();
    assert!(told.recv().unwrap().unwrap_err().is_panicked());
    assert_eq!(told.recv().unwrap().unwrap(), [7.0]);
    // The only worker is there still.
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    assert_eq!(engine.submit(Request::new("m", &[1.0f32, 0.0])).unwrap().wait().unwrap().values.to_f64(), [2.0]);
    engine.shutdown(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_bad_row_in_bulk_is_an_error_of_that_call_alone() {
    let engine = Engine::builder().workers(Workers::Count(4)).build().unwrap();
    let (doubler, _) = Doubler::model(2.0);
    engine.load("m", doubler).unwrap();
    let mut rows = Array2::from_elem((5000, 2), 3.0f32);
    rows[[4000, 0]] = 113.0;
    assert!(engine.predict_batch("m", &rows).unwrap_err().is_panicked());
    rows[[4000, 0]] = 117.0;
    assert!(engine.predict_batch("m", &rows).unwrap_err().is_custom());
    rows[[4000, 0]] = 4.0;
    let values = engine.predict_batch("m", &rows).unwrap().to_f64();
    assert!(values.len() == 5000 && values[4000] == 8.0 && values[4999] == 6.0);
    let snapshot = engine.metrics().snapshot();
    assert_eq!([Outcome::Panicked, Outcome::Failed, Outcome::Ok].map(|outcome| snapshot.requests(outcome)), [1, 1, 1]);
}

#[test]
fn what_is_queued_when_its_model_is_unloaded_still_ends() {
    for builder in [queueing(4), cached(4)] {
        let (engine, held, gate) = hold(builder.build().unwrap());
        let (doubler, ran) = Doubler::model(2.0);
        engine.load("m", doubler).unwrap();
        let submit = |value: f32| engine.submit(Request::new("m", &[value, 0.0])).unwrap();
        let tickets: Vec<_> = (1..=10).map(|value| submit(value as f32)).collect();
        engine.unload("m").unwrap();
        assert!(engine.submit(Request::new("m", &[1.0f32, 0.0])).unwrap_err().is_unknown_model());
        assert!(engine.unload("m").unwrap_err().is_unknown_model());
        held.let_go();
        gate.wait().unwrap();
        for (value, ticket) in (1..).zip(tickets) {
            assert_eq!(ticket.wait().unwrap().values.to_f64(), [f64::from(value) * 2.0]);
        }
        assert_eq!(ran.load(Ordering::Relaxed), 10);
        assert_eq!((engine.health().in_flight, engine.health().queued_rows), (0, 0));
        assert_eq!(engine.metrics().snapshot().models.keys().collect::<Vec<_>>(), ["gate"]);
    }
}

#[test]
fn a_callback_may_shut_the_engine_down() {
    let (engine, held, gated) = held_doubler(1);
    let (tell, told) = mpsc::channel();
    let inside = Arc::clone(&engine);
    let callback = move |answer: sawmill::Result<sawmill::Prediction>| {
        // Its worker cannot run what is queued meanwhile, so that ends with errors.
        let error = inside.shutdown(Duration::from_millis(1)).unwrap_err();
        tell.send((answer.unwrap().values.to_f64(), error.to_string())).unwrap();
    };
    engine.submit_with(Request::new("m", &[1.0f32, 0.0]), callback).unwrap();
    let behind = [2.0f32, 3.0].map(|value| engine.submit(Request::new("m", &[value, 0.0])).unwrap());
    held.let_go();
    assert!(gated.wait().is_ok());
    let (answer, error) = told.recv().unwrap();
    assert!(answer == [2.0] && error.starts_with("2 requests"), "{error}");
    assert!(behind.into_iter().all(|ticket| ticket.wait().unwrap_err().is_shutdown()));
    assert_eq!(engine.health().state, EngineState::Stopped);
    engine.shutdown(Duration::from_secs(60)).unwrap();
}

/// Who predicts is trusted with what comes meanwhile, but not while code of others runs: there is another worker for it.
#[test]
fn a_callback_that_waits_holds_up_nobody_but_its_batch() {
    let builder = queueing(1).workers(Workers::Count(2));
    let engine = builder.build().unwrap();
    engine.load("m", Case::named("xgboost/iris").load(Model::options()).unwrap()).unwrap();
    for _ in 0..200 {
        let (tell, told) = mpsc::channel();
        let (tell_first, first_told) = mpsc::channel();
        let first = move |answer: sawmill::Result<sawmill::Prediction>| {
            told.recv().unwrap();
            tell_first.send(answer.is_ok()).unwrap();
        };
        engine.submit_with(Request::new("m", &[0.5f32; 4]), first).unwrap();
        engine.submit_with(Request::new("m", &[0.5f32; 4]), move |_| tell.send(()).unwrap()).unwrap();
        assert!(first_told.recv().unwrap());
    }
}

/// Says that it has another number of outputs each time it is asked.
struct Fickle([Schema; 2], AtomicUsize);

impl Predictor for Fickle {
    fn schema(&self) -> &Schema {
        &self.0[self.1.fetch_add(1, Ordering::Relaxed) % 2]
    }

    fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> sawmill::Result<()> {
        assert_eq!(out.len(), rows.nrows());
        rows.column(0).iter().zip(out).for_each(|(value, out)| *out = *value);
        Ok(())
    }
}

#[test]
fn a_custom_model_is_held_to_what_it_said_first() {
    let engine = one_worker(2);
    let fickle = Fickle([Schema::new(1, 1), Schema::new(1, 3)], AtomicUsize::new(0));
    engine.load("m", Model::custom(fickle).unwrap()).unwrap();
    // In three batches.
    let rows = [1.0f32, 2.0, 3.0, 4.0, 5.0];
    let answer = engine.submit(Request::new("m", &rows)).unwrap().wait().unwrap();
    assert_eq!(answer.values.to_f64(), [1.0, 2.0, 3.0, 4.0, 5.0]);
}

/// A model that asks an engine for the answers of another model and adds 1.
struct Stacked {
    schema: Schema,
    engine: Arc<Mutex<Option<Arc<Engine>>>>,
    in_bulk: bool,
}

impl Predictor for Stacked {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> sawmill::Result<()> {
        let engine = self.engine.lock().unwrap().clone();
        // While it is loaded there is none to ask.
        let Some(engine) = engine else { return Ok(()) };
        let rows = rows.mapv(|value| value as f32);
        let below = match self.in_bulk {
            true => engine.predict_batch("below", &rows)?.to_f64(),
            false => engine.predict("below", &rows)?.values.to_f64(),
        };
        out.iter_mut().zip(below).for_each(|(out, below)| *out = below + 1.0);
        Ok(())
    }
}

/// With a single worker: whoever waited for another would wait for ever.
#[test]
fn a_model_or_a_callback_may_ask_its_own_engine() {
    for builder in [queueing(4), cached(4), Engine::builder().workers(Workers::Count(1))] {
        let engine = Arc::new(builder.build().unwrap());
        let known = Arc::new(Mutex::new(None));
        let stack = |in_bulk| {
            let stacked = Stacked { schema: Schema::new(2, 1), engine: Arc::clone(&known), in_bulk };
            Model::custom(stacked).unwrap()
        };
        engine.load("below", Doubler::model(2.0).0).unwrap();
        engine.load("middle", stack(false)).unwrap();
        engine.load("bulk", stack(true)).unwrap();
        *known.lock().unwrap() = Some(Arc::clone(&engine));
        // More rows than a batch has, too.
        let rows = Array2::from_shape_fn((7, 2), |(row, _)| row as f32 + 1.0);
        let expected: Vec<_> = (1..=7).map(|row| f64::from(row) * 2.0 + 1.0).collect();
        for name in ["middle", "bulk"] {
            assert_eq!(engine.predict(name, &rows).unwrap().values.to_f64(), expected);
            assert_eq!(engine.submit(Request::new(name, &rows)).unwrap().wait().unwrap().values.to_f64(), expected);
            assert_eq!(engine.predict_batch(name, &rows).unwrap().to_f64(), expected);
        }
        let (tell, told) = mpsc::channel();
        let inside = Arc::clone(&engine);
        let callback = move |answer: sawmill::Result<sawmill::Prediction>| {
            let mut seen = answer.unwrap().values.to_f64();
            seen.extend(inside.predict("middle", &[9.0f32, 0.0]).unwrap().values.to_f64());
            let passed = Request::new("below", &[9.0f32, 0.0]).deadline(Instant::now());
            assert!(inside.predict_request(passed).unwrap_err().is_deadline());
            tell.send(seen).unwrap();
        };
        engine.submit_with(Request::new("below", &[4.0f32, 0.0]), callback).unwrap();
        assert_eq!(told.recv().unwrap(), [8.0, 19.0]);
        *known.lock().unwrap() = None;
        engine.shutdown(Duration::from_secs(60)).unwrap();
        assert_eq!(engine.health().in_flight, 0);
    }
}

#[test]
fn every_preset_builds_and_answers() {
    for builder in [Engine::builder(), Engine::latency(), Engine::throughput(), Engine::memory()] {
        let engine = builder.build().unwrap();
        let (doubler, _) = Doubler::model(2.0);
        engine.load("m", doubler).unwrap();
        let rows = Array2::from_shape_fn((2000, 2), |(row, _)| row as f32 + 200.0);
        let expected: Vec<_> = (200..2200).map(|row| f64::from(row) * 2.0).collect();
        assert_eq!(engine.predict("m", &rows).unwrap().values.to_f64(), expected);
        assert_eq!(engine.submit(Request::new("m", &rows)).unwrap().wait().unwrap().values.to_f64(), expected);
    }
}

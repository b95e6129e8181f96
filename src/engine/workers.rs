//! The threads that run batches, and what running one means: gather, predict, hand out; halve it where it fails.
//!
//! Plain threads, not a rayon pool: a worker sleeps until a time (a batch that may still fill), and must never be held
//! up by a share of somebody's bulk prediction, which rayon's threads run (see `bulk.rs`).

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::batcher::{Part, Tick};
use super::buffers::MemoryPool;
use super::core::{Batching, Core};
use super::job::{Finished, SharedJob, Task};
use super::payload::{KINDS, Payload};
use super::queue::Turn;
use crate::error::{Error, Result};
use crate::model::{Model, Predictions, Scratch};
use crate::rows::Rows;

/// Working memory of one thread.
pub(crate) struct Context {
    scratch: Scratch,
    /// Where the rows of several requests come together, by kind.
    gathered: [Payload; KINDS],
    out: Predictions,
    /// The number of the thread's pool, one for each NUMA node in use.
    pool: usize,
    /// Ranges of a batch's parts that are still to run.
    todo: Vec<Range<usize>>,
    /// Results of requests that a run has completed, by part.
    finished: Vec<(usize, Finished)>,
    /// Vectors for results.
    spares: Vec<Predictions>,
}

impl Context {
    pub(crate) fn new(pool: &MemoryPool) -> Self {
        Self {
            scratch: Scratch::default(),
            gathered: std::array::from_fn(|kind| Payload::empty(kind, pool)),
            out: Predictions::default(),
            pool: 0,
            todo: Vec::new(),
            finished: Vec::new(),
            spares: Vec::new(),
        }
    }
}

impl Context {
    /// Predicts on this thread. A panic of the model becomes an error.
    pub(crate) fn predict(&mut self, model: &Model, rows: Rows<'_>, out: &mut Predictions) -> Result<()> {
        predict(model, rows, out, &mut self.scratch)
    }
}

fn predict(model: &Model, rows: Rows<'_>, out: &mut Predictions, scratch: &mut Scratch) -> Result<()> {
    guarded(|| model.predict_into(rows, out, scratch)).inspect_err(|error| {
        if error.is_panicked() {
            *scratch = Scratch::default();
        }
    })
}

/// Calls `run`; a panic becomes an error.
pub(crate) fn guarded<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let error = Error::panicked(message(payload.as_ref()));
        // What a panic carries may panic again when it is dropped. What that carries is not tried a third time.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        Err(error)
    })
}

/// Calls what is its owner's affair; a panic in it ends here.
pub(crate) fn shielded(run: impl FnOnce()) {
    let _ = guarded(|| {
        run();
        Ok(())
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("the model panicked: {}", text.as_deref().unwrap_or("it does not say why"))
}

thread_local! {
    /// The engine whose worker this thread is; only compared.
    static WORKS_FOR: Cell<*const Core> = const { Cell::new(std::ptr::null()) };
}

/// Whether the calling thread is a worker of this engine.
pub(crate) fn is_worker_of(core: &Core) -> bool {
    std::ptr::eq(WORKS_FOR.get(), core)
}

/// The life of a worker.
pub(crate) fn work(core: &Core, worker: usize, pool: usize) {
    WORKS_FOR.set(core);
    let mut context = Context { pool, ..Context::new(&core.pool) };
    let mut shared = Arc::new(Batching::default());
    let (mut ran, mut empty) = (None, Vec::new());
    loop {
        if Arc::get_mut(&mut shared).is_none() {
            // A shutdown looks at it still.
            shared = Arc::default();
        }
        let batch = Arc::get_mut(&mut shared).expect("nobody else knows of a new one");
        forget(core, batch, &mut empty);
        if core.queue.next(worker, batch, ran.take()) == Turn::Stop {
            return;
        }
        let batch = &shared;
        batch.expired.iter().for_each(|task| core.expire(&task.job));
        if !batch.parts.is_empty() {
            let _busy = core.occupancy.busy();
            let start = core.clock.now();
            core.publish(worker, Some((batch, start)));
            let (end, reruns) = context.run(core, &batch.parts, start);
            core.publish(worker, None);
            ran = batch.ran(start, end);
            let took = Duration::from_nanos(end - start);
            core.record_batch(&batch.parts[0].item.job, batch.rows, took, batch.expected, reruns, pool);
        }
    }
}

/// Lets go of the requests of a batch, and with them perhaps of a model: before the queue is locked, and whatever the
/// model does then.
fn forget(core: &Core, batch: &mut Batching, empty: &mut Vec<SharedJob>) {
    let tasks = batch.parts.drain(..).map(|part| part.item).chain(batch.expired.drain(..));
    shielded(|| core.jobs.release(tasks.map(|task| task.job), empty));
}

impl Context {
    /// Runs a batch so that each of its requests gets its rows or its own error. Where a run fails, its halves are run
    /// by themselves, until the one at fault is alone: at most `2k - 1` runs for `k`
    /// requests. Returns when the model was done, and how many runs there were beyond the first.
    fn run(&mut self, core: &Core, parts: &[Part<Task>], started: Tick) -> (Tick, usize) {
        let (mut runs, mut end) = (0_usize, started);
        self.todo.clear();
        self.todo.push(0..parts.len());
        while let Some(range) = self.todo.pop() {
            let some = &parts[range.clone()];
            if some.iter().all(|part| part.item.job.slot.is_claimed()) {
                continue;
            }
            runs += 1;
            let predicted = self.predict_parts(some);
            end = core.clock.now();
            match predicted {
                Ok(()) => {
                    some[0].item.job.loaded.count_run(true);
                    self.hand_out(core, some, started);
                }
                Err(error) if some.len() == 1 => core.fail(&some[0].item.job, error),
                Err(_) => {
                    let middle = range.start + range.len() / 2;
                    self.todo.push(middle..range.end);
                    self.todo.push(range.start..middle);
                }
            }
        }
        (end, runs.saturating_sub(1))
    }

    /// Predicts the rows of `parts`, one after the other, into `out`.
    fn predict_parts(&mut self, parts: &[Part<Task>]) -> Result<()> {
        let first = &parts[0].item.job;
        let model = first.loaded.model_of(self.pool);
        let n_features = first.loaded.model.schema().n_features();
        let mut out = std::mem::take(&mut self.out);
        let predicted = if parts.len() == 1 {
            let rows = first.payload.rows(payload_rows(&parts[0]), n_features);
            self.predict(model, rows, &mut out)
        } else {
            let kind = first.payload.kind();
            let Self { gathered, scratch, .. } = self;
            let gathered = &mut gathered[kind];
            gathered.clear();
            for part in parts {
                gathered.append(&part.item.job.payload, payload_rows(part), n_features);
            }
            predict(model, gathered.rows(0..gathered.n_rows(), n_features), &mut out, scratch)
        };
        self.out = out;
        predicted
    }

    fn hand_out(&mut self, core: &Core, parts: &[Part<Task>], started: Tick) {
        let mut row = 0;
        core.spares().take_some(&parts[0].item.job.loaded.kind, parts.len(), &mut self.spares);
        for (at, part) in parts.iter().enumerate() {
            let from = row..row + part.rows.len();
            row = from.end;
            let (job, rows) = (&part.item.job, payload_rows(part));
            if job.slot.is_claimed() {
                continue;
            }
            if let (true, Some(dedup)) = (job.flies, &core.dedup) {
                core.hand_out(dedup, job, rows, &self.out, from.start, started);
                continue;
            }
            let spare = || self.spares.pop().unwrap_or_default();
            if let Some(mut finished) = job.deliver(rows.start, &self.out, from, started, spare)
                && core.claim(job, &mut finished)
            {
                self.finished.push((at, finished));
            }
        }
        core.spares().give_back(&mut self.spares);
        let job = |at: usize| &*parts[at].item.job;
        // Before anybody hears of it, who may come with the next request at once.
        core.occupancy.ended(self.finished.len());
        let now = core.clock.now();
        for (at, finished) in &self.finished {
            core.record_answer(job(*at), finished, now);
        }
        // One right after the other: who is woken by the first answer finds the others there, too.
        for (at, finished) in self.finished.drain(..) {
            core.fill(job(at), finished, now);
        }
    }
}

/// The rows of a part within its request's payload.
fn payload_rows(part: &Part<Task>) -> Range<usize> {
    part.item.first + part.rows.start..part.item.first + part.rows.end
}

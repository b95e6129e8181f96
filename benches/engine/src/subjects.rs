//! Who serves the model: each with the same number of threads, and room for the same number of requests.

use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use amate::{Batching, Config, Queued};
use anyhow::Result;
use sawmill::engine::cache::CacheConfig;
use sawmill::{Engine, Model, Predictions, Request, Scratch, Workers};

use crate::{Case, MAX_BATCH, ROOM, WORKERS};

/// Takes a row's answer.
pub type Done = Box<dyn FnOnce(&[f32]) + Send>;

pub trait Subject: Sync {
    fn name(&self) -> &'static str;

    /// Has a row answered sooner or later; false if there is no room.
    fn submit(&self, row: &[f32], done: Done) -> bool;

    /// Waits for the answer to a row, and checks it.
    fn call(&self, case: &Case, at: usize) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |answer: &[f32]| sender.send(answer.to_vec()).expect("somebody waits"));
        assert!(self.submit(case.row(at), done), "there is room");
        case.check(at, &receiver.recv().expect("each is answered"));
    }
}

pub struct Sawmill(Engine);

impl Sawmill {
    pub fn start(case: &Case, cache: Option<CacheConfig>) -> Result<Self> {
        let mut builder = Engine::builder().workers(Workers::Count(WORKERS));
        // The engine counts those that run, too; the others do not.
        builder = builder.max_in_flight(ROOM + WORKERS * MAX_BATCH).max_batch_rows(MAX_BATCH);
        if let Some(cache) = cache {
            builder = builder.cache(cache);
        }
        let engine = builder.build()?;
        engine.load("m", case.model.clone())?;
        Ok(Self(engine))
    }

    /// Rows found in the cache.
    pub fn hits(&self) -> u64 {
        self.0.metrics().snapshot().cache.map_or(0, |cache| cache.hits)
    }
}

impl Subject for Sawmill {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn submit(&self, row: &[f32], done: Done) -> bool {
        let tell = |answer: sawmill::Result<sawmill::Prediction>| {
            done(answer.expect("a row of the model's").values.as_f32().expect("f32"));
        };
        match self.0.submit_with(Request::new("m", row), tell) {
            Ok(()) => true,
            Err(error) => {
                assert!(error.is_overloaded(), "{error}");
                false
            }
        }
    }

    fn call(&self, case: &Case, at: usize) {
        let prediction = self.0.predict("m", case.row(at)).expect("a row of the model's");
        case.check(at, prediction.values.as_f32().expect("f32"));
    }
}

struct Work {
    row: Vec<f32>,
    done: Done,
}

/// A bounded channel whose receiving end the workers share behind a lock; each takes a request at a time.
pub struct Plain {
    sender: Option<SyncSender<Work>>,
    threads: Vec<JoinHandle<()>>,
}

impl Plain {
    pub fn start(model: &Model) -> Self {
        let (sender, receiver) = mpsc::sync_channel::<Work>(ROOM);
        let receiver = Arc::new(Mutex::new(receiver));
        let work = |model: Model, receiver: Arc<Mutex<mpsc::Receiver<Work>>>| {
            let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
            loop {
                let Ok(work) = receiver.lock().expect("nobody panics").recv() else { return };
                model.predict_into(&work.row, &mut predictions, &mut scratch).expect("a row of the model's");
                (work.done)(predictions.as_f32().expect("f32"));
            }
        };
        let start = |_| {
            let (model, receiver) = (model.clone(), Arc::clone(&receiver));
            thread::spawn(move || work(model, receiver))
        };
        Self { sender: Some(sender), threads: (0..WORKERS).map(start).collect() }
    }
}

impl Subject for Plain {
    fn name(&self) -> &'static str {
        "plain queue"
    }

    fn submit(&self, row: &[f32], done: Done) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.try_send(Work { row: row.to_vec(), done }).is_ok())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.sender = None;
        self.threads.drain(..).for_each(|thread| thread.join().expect("no worker panics"));
    }
}

pub struct Amate(amate::Engine<Work>);

struct Forward(Model);

impl Batching for Forward {
    type Item = Work;

    fn weight(&self, _: &Work) -> usize {
        1
    }

    fn window(&self) -> Duration {
        Duration::ZERO
    }

    fn run(&self, batch: Vec<Queued<Work>>) {
        let rows: Vec<f32> = batch.iter().flat_map(|queued| &queued.item.row).copied().collect();
        let predictions = self.0.predict(&rows).expect("rows of the model's");
        let answers = predictions.as_f32().expect("f32").chunks(predictions.n_columns());
        batch.into_iter().zip(answers).for_each(|(queued, answer)| (queued.item.done)(answer));
    }
}

impl Amate {
    pub fn start(model: &Model) -> Self {
        let config = Config { max_batch: MAX_BATCH, workers: WORKERS, capacity: Some(ROOM), waits_unannounced: false };
        Self(amate::Engine::start(Forward(model.clone()), config, |worker| format!("amate-{worker}")))
    }
}

impl Subject for Amate {
    fn name(&self) -> &'static str {
        "amate"
    }

    fn submit(&self, row: &[f32], done: Done) -> bool {
        self.0.submit(None, Work { row: row.to_vec(), done }).is_ok()
    }
}

//! The models an engine serves, by name: each checked before it is seen, replaced at once, kept until its last use.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use ndarray::Array2;

use super::batcher::nanos;
use super::request::Epoch;
use super::sync::{Mutex, lock};
use super::workers::guarded;
use crate::error::{Error, Result};
use crate::metrics::ModelMetrics;
use crate::model::{Model, Predictions, Scratch, Values};

/// A model under a name, from its load until the last request to it has ended.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    /// Copies for the worker pools but the first, each made by a thread of its NUMA node; none in place of a copy of what
    /// is not copied.
    replicas: Box<[OnceLock<Option<Model>>]>,
    pub(crate) epoch: Epoch,
    /// A number of this load alone.
    pub(crate) number: u32,
    /// The series of its name.
    pub(crate) metrics: Arc<ModelMetrics>,
    /// Numbers of the type it answers with; empty.
    pub(crate) kind: Values,
    /// Measured when it was loaded: `(rows, nanoseconds)`.
    pub(crate) calibration: Vec<(usize, u64)>,
    /// Failed runs since the last one that did not.
    failures: AtomicU32,
}

impl Loaded {
    /// Measures `model`. `max_rows` is the largest batch it will be given, `pools` how many NUMA nodes run it.
    fn new(model: Model, number: u32, metrics: Arc<ModelMetrics>, max_rows: usize, pools: usize) -> Result<Self> {
        let mut predictions = Predictions::default();
        let mut scratch = Scratch::default();
        let n_features = model.schema().n_features();
        model.predict_into(&Array2::<f32>::zeros((0, n_features)), &mut predictions, &mut scratch)?;
        let kind = std::mem::take(&mut predictions.values);
        let calibration = calibrate(&model, max_rows, &mut scratch);
        let epoch = Epoch(model.fingerprint().unwrap_or_else(|| u128::from(number)));
        let replicas = (1..pools).map(|_| OnceLock::new()).collect();
        Ok(Self { model, replicas, epoch, number, metrics, kind, calibration, failures: AtomicU32::new(0) })
    }

    /// The model for the workers of a pool, in memory of their own node.
    pub(crate) fn model_of(&self, pool: usize) -> &Model {
        match pool.checked_sub(1).and_then(|at| self.replicas.get(at)) {
            Some(replica) => replica.get_or_init(|| self.model.replica()).as_ref().unwrap_or(&self.model),
            None => &self.model,
        }
    }

    /// Copies that have been made for nodes.
    fn copies(&self) -> usize {
        self.replicas.iter().filter(|replica| matches!(replica.get(), Some(Some(_)))).count()
    }

    /// Counts a run that failed, or one that did not, which ends a series of failures.
    pub(crate) fn count_run(&self, ok: bool) {
        if !ok {
            self.failures.fetch_add(1, Ordering::Relaxed);
        } else if self.failures.load(Ordering::Relaxed) != 0 {
            // Nearly always zero already: then nothing is written that other threads read.
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Nanoseconds that a run of `rows` took when the model was loaded, scaled from the nearest size measured; none if
    /// it could not be measured.
    pub(crate) fn expected_run(&self, rows: usize) -> Option<u64> {
        let (measured, nanos) =
            self.calibration.iter().find(|(measured, _)| *measured >= rows).or(self.calibration.last())?;
        Some(nanos * rows.div_ceil(*measured) as u64)
    }

    /// Nanoseconds that `rows` took as a part of the largest batch measured when the model was loaded.
    pub(crate) fn expected_share(&self, rows: usize) -> Option<u64> {
        let (measured, nanos) = self.calibration.last()?;
        Some(nanos * rows as u64 / *measured as u64)
    }
}

/// Bytes of what kernels read of a model.
pub(crate) fn array_bytes(model: &Model) -> usize {
    model.plan().kernels.iter().map(|kernel| kernel.bytes).sum()
}

/// Values of the rows that a model is measured with, at most.
const MAX_CELLS: usize = 1 << 20;

/// A size is run this often at least, and further until this much time is spent: short runs need more of them.
const RUNS: usize = 5;
const SPENT: Duration = Duration::from_micros(200);

/// The best of several runs at a few sizes: on rows made up from the trees' cut points, or on zeros where there are no
/// trees. A model that panics or errs on them is left unmeasured: it may still answer its own rows.
fn calibrate(model: &Model, max_rows: usize, scratch: &mut Scratch) -> Vec<(usize, u64)> {
    let n_features = model.schema().n_features();
    let mut predictions = Predictions::default();
    let mut measured = Vec::new();
    for n_rows in [1, 8, 64] {
        if n_rows > max_rows || n_rows * n_features > MAX_CELLS {
            break;
        }
        let rows = match model.is_custom() {
            true => Array2::zeros((n_rows, n_features)),
            false => model.sample_rows(n_rows, 0).mapv(|value| value as f32),
        };
        let mut run = || {
            let start = Instant::now();
            let ran = guarded(|| model.predict_into(&rows, &mut predictions, scratch)).is_ok();
            ran.then(|| nanos(start.elapsed()))
        };
        let (began, mut runs, mut best) = (Instant::now(), 0, u64::MAX);
        while runs < RUNS || began.elapsed() < SPENT {
            let Some(nanos) = run() else { return Vec::new() };
            (runs, best) = (runs + 1, best.min(nanos));
        }
        measured.push((n_rows, best));
    }
    measured
}

/// Models by name: few, so that a tree is faster to search than a hash is computed.
pub(crate) struct Models(BTreeMap<String, Arc<Loaded>>);

impl Models {
    /// The model called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<&Arc<Loaded>> {
        self.0.get(name).ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(String::as_str).collect();
            Error::unknown_model(format!("no model called {name:?}; loaded are: {}", names.join(", ")))
        })
    }
}

/// The models that are served, swapped as a whole.
pub(crate) struct Registry {
    models: ArcSwap<Models>,
    /// Held while the map is replaced.
    writing: Mutex<()>,
    loads: AtomicU32,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            models: ArcSwap::from_pointee(Models(BTreeMap::new())),
            writing: Mutex::new(()),
            loads: AtomicU32::new(0),
        }
    }

    /// The models at this moment.
    pub(crate) fn current(&self) -> Guard<Arc<Models>> {
        self.models.load()
    }

    /// The model called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Loaded>> {
        self.current().find(name).cloned()
    }

    /// In alphabetical order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.current().0.keys().cloned().collect()
    }

    /// The names of models that failed their last few runs.
    pub(crate) fn failing(&self) -> Vec<String> {
        let failing = |loaded: &Loaded| loaded.failures.load(Ordering::Relaxed) >= super::health::FAILING;
        self.current().0.iter().filter(|(_, loaded)| failing(loaded)).map(|(name, _)| name.clone()).collect()
    }

    /// Gives `name` to a model that has passed its checks; requests from now on go to it. Returns what is served now, and
    /// what was before.
    pub(crate) fn insert(
        &self,
        name: &str,
        model: Model,
        metrics: Arc<ModelMetrics>,
        max_rows: usize,
        pools: usize,
    ) -> Result<(Arc<Loaded>, Option<Arc<Loaded>>)> {
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        let loaded = Arc::new(Loaded::new(model, number, metrics, max_rows, pools)?);
        let replaced = self.update(|models| models.insert(name.to_owned(), Arc::clone(&loaded)));
        Ok((loaded, replaced))
    }

    /// Takes a name away; requests under way still end.
    pub(crate) fn remove(&self, name: &str) -> Result<Arc<Loaded>> {
        let known = self.find(name)?;
        Ok(self.update(|models| models.remove(name)).unwrap_or(known))
    }

    fn update<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Loaded>>) -> T) -> T {
        let _writing = lock(&self.writing);
        let mut models = self.current().0.clone();
        let changed = change(&mut models);
        self.models.store(Arc::new(Models(models)));
        changed
    }

    /// Whether a model of this content is served under some name.
    pub(crate) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.current().0.values().any(|loaded| loaded.epoch == epoch)
    }

    /// Copies of models that are served, made for nodes, and their bytes.
    pub(crate) fn node_copies(&self) -> (u64, u64) {
        self.current().0.values().fold((0, 0), |(copies, bytes), loaded| {
            let made = loaded.copies();
            (copies + made as u64, bytes + (made * array_bytes(&loaded.model)) as u64)
        })
    }

    /// Whether a load's model has its name still.
    pub(crate) fn is_loaded(&self, number: u32) -> bool {
        self.current().0.values().any(|loaded| loaded.number == number)
    }
}

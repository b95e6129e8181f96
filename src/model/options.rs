//! How a model is loaded and what it predicts.

use std::fs::File;
use std::io::Read;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::compiled::About;
use super::pipeline::Piped;
use super::{Inner, Kind, Lossy, Model, sample};
use crate::error::{Error, Result};
use crate::ir::quantise::Quantised;
use crate::ir::{Facts, Float, Forest, Labels, Precision};
use crate::load::{
    self, FileBytes, Format, InputCast, Iterations, Limits, LoadOptions, LoadedGraph, LoadedModel, OnnxCompat, Source,
    saw,
};
use crate::plan::{self, Choice, Isa, KernelKind, Plan, Request, Runner};
use crate::schema::{Schema, Task, Unseen};
use crate::store::on_lines;

/// What a prediction holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// What the source library's plain `predict` returns: probabilities of a classifier, the linked mean of a
    /// regression. `[n, n_values]`.
    #[default]
    Value,
    /// Raw scores, before the link. `[n, n_outputs]`.
    Margin,
    /// The leaf of every tree, as the source library numbers it: node number for XGBoost, leaf index for LightGBM.
    /// `[n, n_trees]`.
    Leaf,
    /// The class, as the source library's scikit-learn wrapper gives it. `[n, 1]`.
    Label,
    /// What every tree adds to the margin: its leaf times its weight, in the type of the sum. Base score and values
    /// added in tree order make the margin, to the bit. `[n, n_trees]`; for vector leaves `[n, n_trees, n_outputs]`,
    /// as `n_trees * n_outputs` columns.
    TreeValues,
}

/// Options to load a model with. Every method but the last consumes and returns the options; only the last can fail.
#[derive(Clone, Debug)]
#[must_use]
pub struct ModelOptions {
    format: Option<Format>,
    output: Output,
    isa: Option<Isa>,
    kernel: Option<KernelKind>,
    pub(super) tune: bool,
    pub(super) precision: Precision,
    missing: Option<f64>,
    pub(super) input_cast: Option<InputCast>,
    pub(super) iterations: Iterations,
    threads: usize,
    pub(super) limits: Limits,
    unseen: Option<Unseen>,
    pub(super) inplace_dropout: bool,
    onnx: OnnxCompat,
    fusion: bool,
    pub(super) graph_output: Option<String>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            format: None,
            output: Output::default(),
            isa: None,
            kernel: None,
            tune: false,
            precision: Precision::default(),
            missing: None,
            input_cast: None,
            iterations: Iterations::default(),
            threads: 1,
            limits: Limits::default(),
            unseen: None,
            inplace_dropout: false,
            onnx: OnnxCompat::default(),
            fusion: true,
            graph_output: None,
        }
    }
}

impl ModelOptions {
    /// The file's format; by default it is recognised by its content.
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// What predictions hold; [`Output::Value`] by default.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Forces an instruction set; by default the best this machine has.
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// Forces a kernel for all trees and batches; by default each takes what it is reckoned to be fastest at. An error
    /// that says why if it does not fit the model. Answers are the same.
    pub fn kernel(mut self, kernel: KernelKind) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// Measures kernels when the model is loaded, on rows around its own cut points, and gives each size of a batch the
    /// fastest; by default what they cost is reckoned. [`Plan::measured`](crate::Plan) has the figures. Answers are the
    /// same.
    ///
    /// Cost: the model is laid out for every kernel that fits, and then measured for 50 ms, or up to half a second where a
    /// row takes more than a few microseconds; where even that is too little, the rest stays as reckoned.
    pub fn tune(mut self, tune: bool) -> Self {
        self.tune = tune;
        self
    }

    /// How exactly leaves are kept; exactly by default. [`Model::error_bound`] tells how far margins can then be from the
    /// exact ones. An error for models with linear leaves and for pipelines; of no effect on leaf indices.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// A value that, like NaN, stands for a missing one: XGBoost's `missing` parameter. It is compared after rounding
    /// to the model's input type.
    pub fn missing(mut self, value: f64) -> Self {
        self.missing = Some(value);
        self
    }

    /// What values a Treelite checkpoint is tested with; as they are by default, as Treelite does it. An error for other
    /// formats, which settle this themselves.
    pub fn input_cast(mut self, cast: InputCast) -> Self {
        self.input_cast = Some(cast);
        self
    }

    /// Uses only these boosting iterations, counted from 0. A range that reaches beyond the model is cut off for
    /// LightGBM, as that library does, and else an error. Treelite does not record iterations: there each tree is one.
    pub fn iterations(mut self, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => Some(last.saturating_add(1)),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => None,
        };
        self.iterations = Iterations { start, end, up_to_best: false };
        self
    }

    /// Uses the iterations up to the best one that early stopping recorded, as XGBoost's scikit-learn wrapper does;
    /// all of them where the file records none. By default all are used, as XGBoost's booster does. Takes the place of
    /// [`iterations`](Self::iterations), and the other way round: the last call counts.
    pub fn best_iteration(mut self) -> Self {
        self.iterations = Iterations { up_to_best: true, ..Iterations::default() };
        self
    }

    /// Threads that large batches are spread over. With 1, the default, predictions run on the caller's thread; with
    /// more, the model keeps the others in a pool of its own. Pipelines run on the caller's thread.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How large a model may be.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What becomes of categories that training did not see, where rows are made of values with
    /// [`Schema::encode`](crate::Schema::encode); by default as the source library has it.
    pub fn unseen_categories(mut self, unseen: Unseen) -> Self {
        self.unseen = Some(unseen);
        self
    }

    /// Sums XGBoost's dropout trees (`dart`) as `inplace_predict`, and with it the scikit-learn wrapper, of versions up
    /// to 3.2 does: `((base + leaf) - base) * weight`, which rounds each leaf once more. By default they are summed as
    /// `Booster.predict` does it. Of no effect on other models.
    pub fn inplace_dropout(mut self) -> Self {
        self.inplace_dropout = true;
        self
    }

    /// Which answer counts where ONNX Runtime does not do what ONNX's specification says; ONNX Runtime's by default.
    pub fn onnx_compat(mut self, compat: OnnxCompat) -> Self {
        self.onnx = compat;
        self
    }

    /// Whether what a pipeline does to columns on their way into trees (filling in missing values, scaling, choosing)
    /// becomes part of the trees, where that changes no bit; it does by default. A pipeline that is nothing else is then
    /// a forest.
    pub fn fusion(mut self, fusion: bool) -> Self {
        self.fusion = fusion;
        self
    }

    /// The output of an ONNX graph that predictions hold, by its name. By default [`Output::Value`] is the last that depends
    /// on the rows and [`Output::Label`] the first.
    pub fn graph_output(mut self, name: impl Into<String>) -> Self {
        self.graph_output = Some(name.into());
        self
    }

    /// Loads a model file.
    ///
    /// # Errors
    /// An I/O error for a file that cannot be read; an invalid-model error for one that is broken or larger than the
    /// [`Limits`]; an unsupported error that names what this crate refuses; an option error for an option that this
    /// model or machine cannot honour. Each names the file.
    pub fn load(self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let load = || {
            let file = File::open(path).map_err(Error::io)?;
            let size = file.metadata().map_err(Error::io)?.len();
            if size > self.limits.max_bytes {
                return Err(Error::limit("bytes", size, self.limits.max_bytes));
            }
            let mut start = Vec::new();
            (&file).take(load::HEAD as u64).read_to_end(&mut start).map_err(Error::io)?;
            if saw::is_saw(&start) {
                return self.open(saw::map(&file)?);
            }
            // Pipes and devices tell no size.
            if let Ok(size) = usize::try_from(size)
                && size >= start.len()
            {
                let source = start.as_slice().chain(&file);
                if let Some(loaded) = load::load_stream(self.format, &start, source, size, &self.load_options())? {
                    return self.compile_loaded(loaded);
                }
            }
            // One byte too many is told by `load_slice`.
            let bytes = FileBytes::read(file, &start, size, self.limits.max_bytes.saturating_add(1))?;
            self.load_slice(self.format, &bytes)
        };
        load().map_err(|error| error.at(path.display()))
    }

    /// Loads a model from the bytes of a file in a known format.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_slice(self, format: Format, bytes: &[u8]) -> Result<Model> {
        self.load_slice(Some(format), bytes)
    }

    fn load_slice(&self, format: Option<Format>, bytes: &[u8]) -> Result<Model> {
        if bytes.len() as u64 > self.limits.max_bytes {
            return Err(Error::limit("bytes", bytes.len(), self.limits.max_bytes));
        }
        if saw::is_saw(bytes) {
            return self.open(on_lines(bytes));
        }
        self.compile_loaded(load::load(format, bytes, &self.load_options())?)
    }

    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            limits: self.limits.clone(),
            iterations: self.iterations,
            input_cast: self.input_cast,
            inplace_dropout: self.inplace_dropout,
            onnx: self.onnx,
            keep_graph: self.graph_output.is_some(),
            fold: self.fusion,
        }
    }

    fn compile_loaded(&self, loaded: LoadedModel) -> Result<Model> {
        match loaded {
            LoadedModel::Graph(loaded) => self.compile_graph(loaded),
            LoadedModel::Forest(_) if self.graph_output.is_some() => {
                Err(Error::option("an output asked for by name of a model that is no ONNX graph"))
            }
            LoadedModel::Forest(loaded) => self.compile(loaded.schema, loaded.source, loaded.forest),
        }
    }

    /// A model of a forest made with a [`ForestBuilder`](crate::ForestBuilder) for `schema`.
    ///
    /// # Errors
    /// A shape error when forest and schema differ in features or outputs; an option error as [`load`](Self::load).
    pub fn from_forest(self, schema: Schema, forest: Forest) -> Result<Model> {
        if (schema.n_features(), schema.n_outputs) != (forest.n_features(), forest.n_outputs()) {
            return Err(Error::shape(format!(
                "a forest of {} features and {} outputs under a schema of {} and {}",
                forest.n_features(),
                forest.n_outputs(),
                schema.n_features(),
                schema.n_outputs
            )));
        }
        let range = self.iterations.with_best(None).within(forest.n_iterations())?;
        let forest = forest.with_iterations(range);
        self.compile(schema, Source::custom(), forest)
    }

    pub(super) fn compile(&self, schema: Schema, source: Source, forest: Forest) -> Result<Model> {
        let about = About { source, schema, inplace_dropout: self.inplace_dropout };
        self.compile_forest(about, None, forest)
    }

    /// A model of a forest that is still to be laid out, in the precision asked for.
    pub(super) fn compile_forest(&self, about: About, file: Option<String>, forest: Forest) -> Result<Model> {
        let (forest, lossy) = self.quantise(forest)?;
        self.assemble(about, OnceLock::new(), file, lossy, |request| {
            let (plan, runner) = self.plan(&forest, request)?;
            Ok((forest, plan, runner))
        })
    }

    /// The forest in the precision asked for, if that makes a difference.
    fn quantise(&self, forest: Forest) -> Result<(Forest, Option<Lossy>)> {
        let precision = self.precision;
        let same = precision == Precision::F32 && forest.profile().sum == Float::F32;
        if precision == Precision::Exact || same || self.output == Output::Leaf {
            return Ok((forest, None));
        }
        let Quantised { forest: quantised, bounds } = forest.quantised(precision)?;
        Ok((quantised, Some(Lossy { precision, bounds, exact: forest })))
    }

    /// A plan by the cost that kernels are reckoned to have, or have.
    pub(super) fn plan(&self, forest: &Forest, request: Request) -> Result<(Plan, Runner)> {
        if !self.tune {
            return plan::choose(forest, request);
        }
        if self.kernel.is_some() {
            return Err(Error::option("a kernel asked for by name, and by measuring"));
        }
        sample::with_tuning_rows(forest, |rows| plan::tune(forest, request, rows))
    }

    /// A model of the forest and kernels that `plan` gives, `lossy` if its leaves are not the exact ones; `file` is a
    /// digest of the file if that is not the source, `facts` are what is known of the forest already.
    pub(super) fn assemble(
        &self,
        about: About,
        facts: OnceLock<Facts>,
        file: Option<String>,
        lossy: Option<Lossy>,
        plan: impl FnOnce(Request) -> Result<(Forest, Plan, Runner)>,
    ) -> Result<Model> {
        let About { source, mut schema, inplace_dropout } = about;
        let (forest, plan, runner) = plan(self.request())?;
        if self.output == Output::Label && forest.labels() == Labels::None {
            let objective = &schema.objective;
            return Err(Error::option(format!(
                "labels asked of a model that is no classifier (objective {objective:?})"
            )));
        }
        if matches!(self.output, Output::Leaf | Output::TreeValues) && forest.is_linear_model() {
            return Err(Error::option("leaves asked of a linear model, which has none"));
        }
        if let Some(unseen) = self.unseen {
            let lists = schema.features.iter_mut().filter_map(|feature| feature.categories.as_mut());
            lists.for_each(|categories| categories.set_unseen(unseen));
        }
        let pool = self.pool()?;
        let (output, sentinel) = (self.output, self.missing);
        let (fingerprint, custom) = (self.fingerprint(&source, file.as_deref().unwrap_or(&source.digest)), None);
        let inner = Inner {
            schema,
            source,
            forest,
            facts,
            plan,
            runner,
            output,
            sentinel,
            inplace_dropout,
            lossy,
            pool,
            fingerprint,
            custom,
        };
        Ok(Model { kind: Kind::Forest(Arc::new(inner)) })
    }

    fn compile_graph(&self, loaded: LoadedGraph) -> Result<Model> {
        let LoadedGraph { mut schema, source, graph } = loaded;
        if self.missing.is_some() {
            return Err(Error::option("a value that stands for a missing one asked of a pipeline"));
        }
        if self.precision != Precision::Exact {
            let name = self.precision.name();
            return Err(Error::option(format!("precision {name:?} of a pipeline, which computes as its operators do")));
        }
        let names = || graph.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
        let index = match (&self.graph_output, self.output) {
            (Some(name), Output::Value) => graph.outputs.iter().position(|output| output.name == *name),
            (Some(_), _) => return Err(Error::option("an output asked for by name and by kind")),
            (None, Output::Value) => Some(graph.default_output()),
            (None, Output::Label) if schema.task != Task::Regression || graph.outputs.len() > 1 => Some(0),
            (None, Output::Label) => return Err(Error::option("labels asked of a model that is no classifier")),
            (None, _) => return Err(Error::option(format!("a pipeline has outputs only: {}", names()))),
        };
        let index = index.ok_or_else(|| Error::option(format!("no output of this name; there are: {}", names())))?;
        if self.graph_output.is_some() && !graph.depends_on_rows(&graph.outputs[index]) {
            return Err(Error::option(format!("output {:?} is the same for all rows", graph.outputs[index].name)));
        }
        schema.classes = schema.classes.or_else(|| graph.outputs[index].classes.clone());
        let pipeline = graph.pipeline();
        let graph = graph.only(index);
        let request = self.request();
        let mut plan = Plan::without_kernels(request.isa);
        let (mut all, mut runners) = (Vec::new(), Vec::new());
        for forest in graph.forests() {
            let facts = Facts::of(forest);
            let (planned, runner) = self.plan(forest, request)?;
            plan.kernels.extend(planned.kernels);
            plan.refused.extend(planned.refused);
            plan.measured.extend(planned.measured);
            all.push(facts);
            runners.push(runner);
        }
        let (facts, output, fingerprint) =
            (Facts::of_all(&all), self.output, self.fingerprint(&source, &source.digest));
        let calculator = plan::calculator(request.isa);
        let piped = Piped { schema, source, graph, pipeline, facts, plan, runners, calculator, output, fingerprint };
        Ok(Model { kind: Kind::Graph(Arc::new(piped)) })
    }

    fn request(&self) -> Request {
        let isa = self.isa.unwrap_or(Isa::available()[0]);
        let choice = self.kernel.map_or(Choice::Reckoned, Choice::Only);
        Request { isa, sentinel: self.missing, choice }
    }

    /// The threads that share large batches with the caller's, if any.
    fn pool(&self) -> Result<Option<rayon::ThreadPool>> {
        match self.threads {
            0 => Err(Error::option("0 threads; 1 runs on the caller's thread")),
            1 => Ok(None),
            n => {
                let named = |index| format!("sawmill-{index}");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n - 1).thread_name(named).build();
                pool.map(Some).map_err(|cause| Error::option(format!("{n} threads: {cause}")))
            }
        }
    }

    /// A digest of a file's content and of the options that shape an answer.
    fn fingerprint(&self, source: &Source, digest: &str) -> Option<u128> {
        // Whatever is not known to leave the answers alone counts.
        let options =
            Self { isa: None, kernel: None, tune: false, threads: 1, limits: Limits::default(), ..self.clone() };
        let text = format!("{digest} {:?} {options:?}", source.format);
        let hash = blake3::hash(text.as_bytes());
        let (first, _) = hash.as_bytes().split_first_chunk().expect("a digest of 32 bytes");
        (!digest.is_empty()).then(|| u128::from_le_bytes(*first))
    }
}

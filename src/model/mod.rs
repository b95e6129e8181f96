//! A model: loaded, checked, compiled, and ready to predict from any number of threads.

mod compiled;
mod custom;
mod options;
mod pipeline;
mod predictions;
mod ranked;
mod reference;
mod run;
mod sample;
mod trees;
mod validate;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use ndarray::Array2;

pub use custom::Predictor;
pub use options::{ModelOptions, Output};
pub use predictions::{Predictions, Values};
pub use ranked::RankedRows;
pub use run::Scratch;
pub use validate::{Check, ValidationReport};

use crate::error::{Error, Result};
use crate::graph::Pipeline;
use crate::ir::{Facts, Forest, Precision};
use crate::load::Source;
use crate::plan::{self, Choice, Plan, Request, Runner};
use crate::rows::Rows;
use crate::schema::{Classes, Schema};
use pipeline::Piped;

/// A model that predicts. Immutable, cheap to clone, `Send + Sync`; it takes no locks, keeps no globals and starts no
/// threads unless [`ModelOptions::threads`] asks for them.
///
/// ```no_run
/// let model = sawmill::Model::load("models/xgboost/breast_cancer/model.json")?;
/// let row = vec![0.5f32; model.schema().n_features()];
/// println!("{:?}", model.predict(&row)?.to_f64());
/// # Ok::<(), sawmill::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Forest(Arc<Inner>),
    Graph(Arc<Piped>),
}

struct Inner {
    schema: Schema,
    source: Source,
    forest: Forest,
    /// Counted when they are first asked for.
    facts: OnceLock<Facts>,
    plan: Plan,
    runner: Runner,
    output: Output,
    sentinel: Option<f64>,
    /// Whether leaves depend on the base score.
    inplace_dropout: bool,
    /// What is not exact about the forest.
    lossy: Option<Lossy>,
    pool: Option<rayon::ThreadPool>,
    /// A digest of what the answers follow from, where there is a file.
    fingerprint: Option<u128>,
    /// What predicts in place of the forest.
    custom: Option<Box<dyn Predictor>>,
}

/// How a forest differs from the one that was loaded.
#[derive(Clone)]
struct Lossy {
    precision: Precision,
    /// How far margins of each output can be from those of `exact`.
    bounds: Vec<f64>,
    exact: Forest,
}

impl Inner {
    fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| Facts::of(&self.forest))
    }

    /// Whether `output` is of margins, or of labels that margins tell.
    fn reads_margins(&self, output: Output) -> bool {
        match output {
            Output::Margin => true,
            Output::Label => self.forest.labels().reads_margins(),
            _ => false,
        }
    }

    /// Numbers a row of `output` has.
    fn n_columns(&self, output: Output) -> usize {
        let forest = &self.forest;
        match output {
            Output::Value => forest.link().n_values(forest.n_outputs()),
            Output::Margin => forest.n_outputs(),
            Output::Leaf => forest.n_trees(),
            Output::Label => 1,
            Output::TreeValues => forest.n_trees() * forest.tree_width(),
        }
    }

    /// That `what`, which only a forest has, is not asked of a predictor of the caller's own.
    fn check_forest(&self, what: &str) -> Result<()> {
        match self.custom {
            None => Ok(()),
            Some(_) => Err(Error::option(format!("{what} asked of a custom model, which has no trees"))),
        }
    }

    /// `value` with the sentinel read as missing, as the input layer reads it.
    fn read_sentinel(&self, value: f64) -> f64 {
        let round = |value| self.forest.profile().round_input(value);
        match self.sentinel {
            Some(sentinel) if round(value) == round(sentinel) => f64::NAN,
            _ => value,
        }
    }
}

impl Model {
    /// Loads a model file with default options; its format is recognised by its content.
    ///
    /// # Errors
    /// As [`ModelOptions::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().load(path)
    }

    /// Options to load a model with.
    pub fn options() -> ModelOptions {
        ModelOptions::default()
    }

    /// Predicts a batch: one row of the result for every row given.
    ///
    /// Cost: allocates the result and working memory; see [`predict_into`](Self::predict_into).
    ///
    /// # Errors
    /// A shape error when the rows do not have [`n_features`](Schema::n_features) columns, or there is no memory
    /// for the predictions.
    pub fn predict<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<Predictions> {
        let mut predictions = Predictions::default();
        self.predict_into(rows, &mut predictions, &mut Scratch::default())?;
        Ok(predictions)
    }

    /// Predicts into `predictions`, which is cleared first. Once it and `scratch` have served a batch of that size,
    /// nothing is allocated (on one thread).
    ///
    /// The same rows have the same bits whatever the batch they are part of, its memory order and the number of
    /// threads; of a NaN, which sums of infinite leaves may be, the sign may differ.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_into<'a>(
        &self,
        rows: impl Into<Rows<'a>>,
        predictions: &mut Predictions,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.predict_rows(&rows.into(), predictions, scratch)
    }

    fn predict_rows(&self, rows: &Rows<'_>, predictions: &mut Predictions, scratch: &mut Scratch) -> Result<()> {
        let predicted = rows.with_table(self.schema().n_features(), |table| match &self.kind {
            Kind::Forest(inner) => run::predict_table(inner, table, predictions, scratch),
            Kind::Graph(piped) => piped.predict(table, predictions, scratch),
        });
        if predicted.is_err() {
            *predictions = Predictions::default();
        }
        predicted
    }

    /// Compares rows with the model's cut points, which is a part of predicting them that can be done once for many
    /// predictions: with this model, its clones, and models of the same trees loaded with another output or number of
    /// threads. Worth it where ranking takes long, for models of many features and few trees. For several models, see
    /// [`rank_for`](Self::rank_for).
    ///
    /// ```
    /// use sawmill::{Model, Output};
    ///
    /// let path = "models/xgboost/breast_cancer/model.json";
    /// let (model, margins) = (Model::load(path)?, Model::options().output(Output::Margin).load(path)?);
    /// let rows = model.sample_rows(200, 1);
    /// let ranked = model.rank(&rows)?;
    /// assert_eq!(model.predict_ranked(&ranked)?, model.predict(&rows)?);
    /// assert_eq!(margins.predict_ranked(&ranked)?, margins.predict(&rows)?);
    /// # Ok::<(), sawmill::Error>(())
    /// ```
    ///
    /// Cost: a search among the cut points for each value, on the caller's thread; memory as
    /// its `heap_bytes` says.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); an option error that says why for a model whose kernels compare no ranks (see
    /// [`plan`](Self::plan)). [`ModelOptions::kernel`] makes circuits or ranked walks where they fit, but are reckoned not
    /// to pay.
    pub fn rank<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<RankedRows> {
        Self::rank_for(&[self], rows)
    }

    /// Compares rows with the cut points of each of `models`, which then all predict them: candidates beside the model
    /// they may replace, or models of several targets. What several of them ask alike is found and kept once.
    ///
    /// ```
    /// use sawmill::Model;
    ///
    /// let model = |name: &str| Model::load(format!("models/lightgbm/{name}/model.txt"));
    /// let (median, quantile) = (model("absolute_error")?, model("quantile")?);
    /// let rows = median.sample_rows(200, 1);
    /// let ranked = Model::rank_for(&[&median, &quantile], &rows)?;
    /// assert_eq!(median.predict_ranked(&ranked)?, median.predict(&rows)?);
    /// assert_eq!(quantile.predict_ranked(&ranked)?, quantile.predict(&rows)?);
    /// # Ok::<(), sawmill::Error>(())
    /// ```
    ///
    /// Cost: that of [`rank`](Self::rank) for every model that asks something else.
    ///
    /// # Errors
    /// As [`rank`](Self::rank), for each of the models; a shape error where they have different numbers of features, and
    /// an option error for no models.
    pub fn rank_for<'a>(models: &[&Self], rows: impl Into<Rows<'a>>) -> Result<RankedRows> {
        let inners = models.iter().map(|model| model.inner("ranked rows")).collect::<Result<Vec<_>>>()?;
        let first = inners.first().ok_or_else(|| Error::option("ranked rows asked for no model"))?;
        let n_features = first.schema.n_features();
        if let Some(other) = inners.iter().find(|inner| inner.schema.n_features() != n_features) {
            let others = other.schema.n_features();
            return Err(Error::shape(format!("rows ranked for models of {n_features} and of {others} features")));
        }
        rows.into().with_table(n_features, |table| {
            run::with_batch(table, &mut Vec::new(), |batch| RankedRows::new(inners.iter().copied(), batch))
        })
    }

    /// Predicts rows that were ranked before: the bits of [`predict`](Self::predict) on the rows themselves.
    ///
    /// # Errors
    /// An option error for rows that were not ranked for this model, nor for one that asks the same of them, and for a
    /// model that predicts leaves or what trees add.
    pub fn predict_ranked(&self, rows: &RankedRows) -> Result<Predictions> {
        let mut predictions = Predictions::default();
        self.predict_ranked_into(rows, &mut predictions, &mut Scratch::default())?;
        Ok(predictions)
    }

    /// As [`predict_ranked`](Self::predict_ranked), into `predictions`, which is cleared first. Once it and `scratch` have
    /// served rows of that number, nothing is allocated (on one thread).
    ///
    /// # Errors
    /// As [`predict_ranked`](Self::predict_ranked).
    pub fn predict_ranked_into(
        &self,
        rows: &RankedRows,
        predictions: &mut Predictions,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let predicted =
            self.inner("ranked rows").and_then(|inner| run::predict_ranked(inner, rows, predictions, scratch));
        if predicted.is_err() {
            *predictions = Predictions::default();
        }
        predicted
    }

    /// Predicts rows that start from margins of the caller's in place of the base score: XGBoost's `base_margin`, row
    /// after row, `n_outputs` each. Leaves and what trees add do not depend on it.
    ///
    /// Cost: about twice that of [`predict`](Self::predict), as leaves are found first and added up afterwards.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); a shape error for another number of margins; an option error for a model whose
    /// library has no such thing. LightGBM is one: its `init_score` belongs to training, and predictions leave it out.
    pub fn predict_with_base_margin<'a>(&self, rows: impl Into<Rows<'a>>, base_margin: &[f32]) -> Result<Predictions> {
        let inner = self.inner("a base margin")?;
        if let Some(format) = inner.source.format
            && !format.takes_base_margin()
        {
            let finding = format!("a base margin asked of a model in {format}, whose library predicts without");
            return Err(Error::option(finding));
        }
        if inner.inplace_dropout {
            return Err(Error::option("a base margin with inplace_dropout, which rounds leaves by the base score"));
        }
        let batch = rows.into().batch(inner.schema.n_features())?;
        let mut predictions = Predictions::default();
        trees::predict_from(inner, &batch, base_margin, &mut predictions)?;
        Ok(predictions)
    }

    /// Predicts a batch after every boosting iteration: `[n, n_iterations, n_columns]`, row after row, as
    /// `n_iterations * n_columns` columns. Iteration `i` has the bits of a model loaded with
    /// [`iterations(..=i)`](ModelOptions::iterations), or, if it was loaded with a range itself, that range up to
    /// and with its iteration `i`.
    ///
    /// Cost: one pass over the trees and a link for every iteration.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); an option error for a model that predicts leaves or what trees add, and for a
    /// linear model, which has no iterations.
    pub fn predict_staged<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<Predictions> {
        let inner = self.inner("a prediction after each iteration")?;
        let batch = rows.into().batch(inner.schema.n_features())?;
        let mut predictions = Predictions::default();
        trees::predict_staged(inner, &batch, &mut predictions)?;
        Ok(predictions)
    }

    /// The model as a forest.
    ///
    /// # Errors
    /// An option error for a pipeline, of which `what` is asked.
    fn inner(&self, what: &str) -> Result<&Inner> {
        match &self.kind {
            Kind::Forest(inner) => inner.check_forest(what).map(|()| &**inner),
            Kind::Graph(_) => Err(Error::option(format!("{what} asked of a pipeline"))),
        }
    }

    /// Numbers per row of a prediction.
    pub fn n_columns(&self) -> usize {
        match &self.kind {
            Kind::Forest(inner) => inner.n_columns(inner.output),
            Kind::Graph(piped) => piped.graph.outputs[0].n_columns,
        }
    }

    /// The classes that the columns of a prediction are scores of, where the model names them.
    pub fn scored_classes(&self) -> Option<&Classes> {
        let classes = match &self.kind {
            Kind::Forest(inner) if matches!(inner.output, Output::Value | Output::Margin) => &inner.schema.classes,
            Kind::Forest(_) => &None,
            Kind::Graph(piped) => &piped.graph.outputs[0].classes,
        };
        classes.as_ref().filter(|classes| classes.len() == self.n_columns())
    }

    /// What [`predict`](Self::predict) must return, computed by the reference evaluator: the definition of a right
    /// answer, to check kernels against. NaN counts as equal to NaN there.
    ///
    /// Cost: 10 to 100 times that of `predict`.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_reference<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<Predictions> {
        rows.into().with_table(self.schema().n_features(), |table| match &self.kind {
            Kind::Forest(inner) => run::with_batch(table, &mut Vec::new(), |batch| {
                inner.check_forest("a reference answer")?;
                let mut predictions = reference::predict(inner, inner.output, batch);
                if let (Output::Label, Some(classes)) = (inner.output, &inner.schema.classes) {
                    run::name_labels(classes, &mut predictions.values, &mut Values::default());
                }
                Ok(predictions)
            }),
            Kind::Graph(piped) => piped.predict_by_reference(table),
        })
    }

    /// Rows to try the model with when there is no data at hand: values spread evenly over the gaps between the
    /// model's own cut points, known categories and an unknown one, one value in twenty missing (NaN); for a pipeline, small numbers. The same
    /// model and seed give the same rows. `[n_rows, n_features]`.
    pub fn sample_rows(&self, n_rows: usize, seed: u64) -> Array2<f64> {
        match &self.kind {
            Kind::Forest(inner) => sample::typical_rows(&inner.forest, n_rows, seed),
            Kind::Graph(piped) => sample::plain_rows(piped.schema.n_features(), n_rows, seed),
        }
    }

    /// What the model takes and gives.
    pub fn schema(&self) -> &Schema {
        match &self.kind {
            Kind::Forest(inner) => &inner.schema,
            Kind::Graph(piped) => &piped.schema,
        }
    }

    /// Where the model comes from.
    pub fn source(&self) -> &Source {
        match &self.kind {
            Kind::Forest(inner) => &inner.source,
            Kind::Graph(piped) => &piped.source,
        }
    }

    /// Its trees and arithmetic, if it is a forest and nothing else: not a [`pipeline`](Self::pipeline).
    pub fn forest(&self) -> Option<&Forest> {
        match &self.kind {
            Kind::Forest(inner) => Some(&inner.forest),
            Kind::Graph(_) => None,
        }
    }

    /// Its operators, if it is a pipeline and not just a forest.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        match &self.kind {
            Kind::Forest(_) => None,
            Kind::Graph(piped) => Some(&piped.pipeline),
        }
    }

    /// The sizes and shapes of its trees; of a pipeline, of all its forests.
    pub fn facts(&self) -> &Facts {
        match &self.kind {
            Kind::Forest(inner) => inner.facts(),
            Kind::Graph(piped) => &piped.facts,
        }
    }

    /// Which kernels evaluate its trees, and why.
    pub fn plan(&self) -> &Plan {
        match &self.kind {
            Kind::Forest(inner) => &inner.plan,
            Kind::Graph(piped) => &piped.plan,
        }
    }

    /// The kernels that can evaluate every tree, whether they are in use or not; the same on every instruction set. Of a
    /// pipeline, those for all its forests.
    ///
    /// Cost: lays the trees out for each.
    pub fn fitting_kernels(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Forest(inner) => plan::fitting(&inner.forest),
            Kind::Graph(piped) => {
                let mut forests = piped.graph.forests().iter().map(plan::fitting);
                let first = forests.next().unwrap_or_default();
                forests.fold(first, |all, fits| all.into_iter().filter(|kernel| fits.contains(kernel)).collect())
            }
        }
    }

    /// How exactly leaves are kept: what was asked for, or exactly where that makes no difference to the model.
    pub fn precision(&self) -> Precision {
        match &self.kind {
            Kind::Forest(inner) => inner.lossy.as_ref().map_or(Precision::Exact, |lossy| lossy.precision),
            Kind::Graph(_) => Precision::Exact,
        }
    }

    /// How far a margin can be from the one that the model has in exact precision, whatever the row: the greatest of all
    /// outputs. It counts the differences of the leaves and every rounding of both sums; 0 if the precision is exact.
    /// [`validate`](Self::validate) measures how far margins are.
    pub fn error_bound(&self) -> f64 {
        match &self.kind {
            Kind::Forest(inner) => inner.lossy.iter().flat_map(|lossy| &lossy.bounds).copied().fold(0.0, f64::max),
            Kind::Graph(_) => 0.0,
        }
    }

    /// What [`predict`](Self::predict) returns.
    pub fn output(&self) -> Output {
        match &self.kind {
            Kind::Forest(inner) => inner.output,
            Kind::Graph(piped) => piped.output,
        }
    }

    /// Whether it is a predictor of the caller's own.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(&self.kind, Kind::Forest(inner) if inner.custom.is_some())
    }

    /// The same model in memory that the calling thread touches first; none where the model is not just a forest, or has
    /// threads of its own.
    pub(crate) fn replica(&self) -> Option<Self> {
        let Kind::Forest(inner) = &self.kind else { return None };
        if inner.custom.is_some() || inner.pool.is_some() {
            return None;
        }
        let forest = inner.forest.clone();
        let (isa, choice) = (inner.plan.isa, Choice::As(inner.plan.dispatch));
        let (_, runner) = plan::choose(&forest, Request { isa, sentinel: inner.sentinel, choice }).ok()?;
        let replica = Inner {
            schema: inner.schema.clone(),
            source: inner.source.clone(),
            facts: inner.facts.clone(),
            output: inner.output,
            sentinel: inner.sentinel,
            inplace_dropout: inner.inplace_dropout,
            lossy: inner.lossy.clone(),
            pool: None,
            fingerprint: inner.fingerprint,
            custom: None,
            forest,
            plan: inner.plan.clone(),
            runner,
        };
        Some(Self { kind: Kind::Forest(Arc::new(replica)) })
    }

    /// A digest of the file and of the options that shape an answer; none for a model that comes from no file.
    pub(crate) fn fingerprint(&self) -> Option<u128> {
        match &self.kind {
            Kind::Forest(inner) => inner.fingerprint,
            Kind::Graph(piped) => piped.fingerprint,
        }
    }

    /// Checks the model on this machine: see [`ValidationReport`].
    ///
    /// Cost: evaluates a few hundred rows with the reference evaluator, which is slow; milliseconds for common models.
    pub fn validate(&self) -> ValidationReport {
        match &self.kind {
            Kind::Forest(inner) => validate::validate(inner),
            Kind::Graph(piped) => validate::validate_graph(piped),
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("source", self.source()).field("facts", self.facts()).finish_non_exhaustive()
    }
}

//! XGBoost models, in JSON, UBJSON and the old binary format, of every version that writes them.
//!
//! One pass over the document ([`read`]; [`binary`]) gathers the few header values and lowers every tree as it is met;
//! what can only be decided at the end (shape, weights, the base score as a margin) is decided in [`Learner::finish`].

mod binary;
mod categories;
mod objective;
mod read;
mod tree;
mod ubjson;

use std::io::Read;
use std::ops::Range;

use super::document::Document;
use super::json::{Json, UnicodeEscapes};
use super::{Iterations, LoadOptions, Loaded, Source};
use crate::error::{Error, Result};
use crate::ir::{ForestBuilder, LinearMissing, Node, NumericProfile};
use crate::schema::{Feature, FeatureKind, Schema};
pub(super) use binary::is_binary;
use objective::{Objective, Version};

/// Loads `{"learner": …}` or a memory snapshot `{"Model": {"learner": …}, …}`.
pub(super) fn load_json(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    load(Json::new(bytes, UnicodeEscapes::Kept), bytes.len() / 56, options)
}

/// The same in UBJSON, of which `source` has `size` bytes.
pub(super) fn load_ubjson(source: impl Read, size: usize, options: &LoadOptions) -> Result<Loaded> {
    load(ubjson::Ubjson::new(source, size), size / 34, options)
}

/// Loads the old binary format.
pub(super) fn load_binary(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    binary::model(bytes, &options.limits)?.finish(options)
}

/// Loads a document of about `n_nodes` nodes, if it is a large one.
fn load(mut document: impl Document, n_nodes: usize, options: &LoadOptions) -> Result<Loaded> {
    let learner = read::model(&mut document, n_nodes, &options.limits)?;
    document.end()?;
    learner.finish(options)
}

/// Everything of a model file that predictions depend on; trees are in the builder already.
struct Learner {
    builder: ForestBuilder,
    version: Version,
    objective: Option<String>,
    booster: Option<String>,
    base_score: Option<String>,
    /// Whether the base score is a margin already: in binary files before 1.0.
    base_is_margin: bool,
    num_class: u64,
    num_target: u64,
    num_feature: u64,
    /// The output each tree adds to.
    tree_info: Vec<i32>,
    num_parallel_tree: usize,
    /// Trees before each iteration, and at the end.
    iteration_indptr: Option<Vec<i64>>,
    /// DART's weight of each tree.
    weight_drop: Vec<f32>,
    /// gblinear's weights: a row for every feature, then one of biases; a column for every output.
    weights: Option<Vec<f32>>,
    feature_names: Vec<String>,
    feature_kinds: Vec<FeatureKind>,
    /// For every feature its categories, if the file has them: since 3.1, of models trained on data frames.
    categories: Vec<categories::Column>,
    best_iteration: Option<usize>,
}

impl Learner {
    fn new() -> Self {
        Self {
            builder: ForestBuilder::new(&Schema::new(0, 1)).profile(NumericProfile::XGBOOST),
            version: Version::default(),
            objective: None,
            booster: None,
            base_score: None,
            base_is_margin: false,
            num_class: 0,
            num_target: 1,
            num_feature: 0,
            tree_info: Vec::new(),
            num_parallel_tree: 1,
            iteration_indptr: None,
            weight_drop: Vec::new(),
            weights: None,
            feature_names: Vec::new(),
            feature_kinds: Vec::new(),
            categories: Vec::new(),
            best_iteration: None,
        }
    }

    fn finish(mut self, options: &LoadOptions) -> Result<Loaded> {
        let missing = |what: &str| Error::invalid_model(format!("the model has no {what}"));
        let booster = self.booster.take().ok_or_else(|| missing("gradient_booster.name"))?;
        let is_linear = match booster.as_str() {
            "gbtree" | "dart" => false,
            "gblinear" => true,
            other => return Err(Error::unsupported(format!("booster {other:?} is not supported"))),
        };
        let name = self.objective.take().ok_or_else(|| missing("objective.name"))?;
        let objective = Objective::from_name(&name)?;

        if self.num_target > 1 && self.num_class > 1 {
            let finding = format!("num_class is {} and num_target {}: not both", self.num_class, self.num_target);
            return Err(Error::invalid_model(finding));
        }
        let n_outputs = options.limits.outputs(self.num_target.max(self.num_class).max(1))?;
        let schema = self.schema(options, &name, objective, n_outputs)?;
        self.builder.set_shape(&schema);
        let mut base = self.base_margins(objective, n_outputs)?;
        let iterations = options.iterations.with_best(self.best_iteration.filter(|_| !is_linear));
        if is_linear {
            if iterations != Iterations::default() {
                return Err(Error::option("iterations asked of a linear model, which has none"));
            }
            self.lower_linear(schema.n_features(), base[0] as f32, n_outputs)?;
            // The constants hold the base score already; −0.0 is what leaves every sum as it is.
            base = vec![-0.0; n_outputs];
        } else {
            self.place_trees(n_outputs)?;
            if options.inplace_dropout && !self.weight_drop.is_empty() {
                // `inplace_predict` up to 3.2 has every tree start from the base score and takes it off again
                // (`gbtree.cc`, `Dart::InplacePredict`); what a leaf loses by that depends on the base score alone.
                self.builder.map_leaves(|output, value| {
                    let (base, value) = (base[output as usize] as f32, value as f32);
                    f64::from((base + value) - base)
                });
            }
        }

        let (link, labels) = (objective.link(self.version), objective.labels(n_outputs));
        let forest = self.builder.base(base).link(link, labels).finish()?;
        let range: Range<usize> = iterations.within(forest.n_iterations())?;
        let forest = forest.with_iterations(range);

        let producer = format!("XGBoost {}", self.version);
        let source = Source { producer, best_iteration: self.best_iteration, ..Source::default() };
        Ok(Loaded { schema, source, forest })
    }

    /// A gblinear model as one leaf an output: `(bias + base) + Σ value * weight` over the values that are not missing
    /// (XGBoost `src/gbm/gblinear.cc`, `Pred`). Every output starts from the first base score, as XGBoost has it.
    fn lower_linear(&mut self, n_features: usize, base: f32, n_outputs: usize) -> Result<()> {
        let weights = self.weights.take().ok_or_else(|| Error::invalid_model("a linear model without weights"))?;
        let expected = (n_features + 1).saturating_mul(n_outputs);
        if weights.len() != expected || self.builder.n_trees() > 0 {
            let finding =
                format!("{} weights, but {n_features} features and {n_outputs} outputs need {expected}", weights.len());
            return Err(Error::invalid_model(finding));
        }
        self.builder.set_linear_missing(LinearMissing::SkipTerm);
        let mut terms = Vec::with_capacity(n_features);
        for output in 0..n_outputs {
            let weight = |row: usize| weights[row * n_outputs + output];
            terms.clear();
            terms.extend((0..n_features).map(|feature| (feature as u32, f64::from(weight(feature)))));
            let bias = weight(n_features);
            // The value is what the sum starts from but for the base score, for margins that replace it.
            let (value, constant) = (f64::from(bias), f64::from(bias + base));
            let leaf = Node::LinearLeaf { id: 0, value, constant, terms: &terms };
            self.builder.add_tree(Some(output as u32), 1.0, 1, |_| Ok(leaf.clone()))?;
        }
        self.builder.set_iterations(vec![n_outputs]);
        Ok(())
    }

    /// Gives every tree its output, weight and iteration.
    fn place_trees(&mut self, n_outputs: usize) -> Result<()> {
        let n_trees = self.builder.n_trees();
        self.assign_outputs(n_trees)?;
        self.assign_weights(n_trees)?;
        let iterations = self.iterations(n_trees, n_outputs)?;
        self.builder.set_iterations(iterations);
        Ok(())
    }

    fn schema(&mut self, options: &LoadOptions, name: &str, objective: Objective, n_outputs: usize) -> Result<Schema> {
        let n_features = options.limits.features(self.num_feature)?;
        for (what, found) in [
            ("feature_names", self.feature_names.len()),
            ("feature_types", self.feature_kinds.len()),
            ("lists of categories", self.categories.len()),
        ] {
            if found != 0 && found != n_features {
                return Err(Error::invalid_model(format!("{found} {what}, but num_feature is {n_features}")));
            }
        }
        let mut names = std::mem::take(&mut self.feature_names).into_iter();
        let feature = |index: usize| {
            let kind = self.feature_kinds.get(index).copied().unwrap_or(FeatureKind::Numeric);
            let categories = match self.categories.get(index) {
                Some(column) => column
                    .categories(self.version)
                    .map_err(|error| error.at(format!("categories of feature {index}")))?,
                None => None,
            };
            Ok(Feature { name: names.next(), kind, categories })
        };
        let features = (0..n_features).map(feature).collect::<Result<_>>()?;
        Ok(Schema { features, n_outputs, task: objective.task(), objective: name.to_owned(), classes: None })
    }

    /// `base_score` is stored in prediction space: a scalar up to 3.0, a list since 3.1.
    fn base_margins(&self, objective: Objective, n_outputs: usize) -> Result<Vec<f64>> {
        let text = self.base_score.as_deref().unwrap_or("0.5");
        let invalid = || Error::invalid_model(format!("base_score {text:?} is not a number or a list of numbers"));
        let inner = text.trim().trim_start_matches(['[', '(']).trim_end_matches([']', ')']);
        let parse = |part: &str| part.trim().parse::<f32>().ok().filter(|score| score.is_finite()).ok_or_else(invalid);
        let mut scores =
            inner.split(',').filter(|part| !part.trim().is_empty()).map(parse).collect::<Result<Vec<_>>>()?;
        if scores.len() == 1 {
            scores = vec![scores[0]; n_outputs];
        }
        if scores.len() != n_outputs {
            let finding = format!("base_score has {} values, but the model has {n_outputs} outputs", scores.len());
            return Err(Error::invalid_model(finding));
        }
        if !self.base_is_margin {
            objective.scores_to_margins(&mut scores, self.version)?;
        }
        Ok(scores.into_iter().map(f64::from).collect())
    }

    fn assign_outputs(&mut self, n_trees: usize) -> Result<()> {
        if self.tree_info.len() != n_trees {
            let finding = format!("tree_info has {} entries for {n_trees} trees", self.tree_info.len());
            return Err(Error::invalid_model(finding));
        }
        if self.builder.has_vector_leaves() {
            return Ok(());
        }
        for (tree, &output) in self.tree_info.iter().enumerate() {
            let output = u32::try_from(output)
                .map_err(|_| Error::invalid_model(format!("adds to output {output}")).at(format!("tree {tree}")))?;
            self.builder.set_output(tree, output);
        }
        Ok(())
    }

    fn assign_weights(&mut self, n_trees: usize) -> Result<()> {
        if self.weight_drop.len() > n_trees {
            let finding = format!("weight_drop has {} entries for {n_trees} trees", self.weight_drop.len());
            return Err(Error::invalid_model(finding));
        }
        for (tree, &weight) in self.weight_drop.iter().enumerate() {
            self.builder.set_weight(tree, weight.into());
        }
        Ok(())
    }

    /// Where iterations end: as the file says (2.0 and later), or `num_parallel_tree` trees for every output.
    fn iterations(&self, n_trees: usize, n_outputs: usize) -> Result<Vec<usize>> {
        if let Some(indptr) = &self.iteration_indptr {
            let ends = indptr.iter().skip(1).map(|&end| usize::try_from(end));
            let ends = ends.collect::<Result<Vec<_>, _>>().ok();
            return ends.filter(|ends| indptr.first() == Some(&0) && (!ends.is_empty() || n_trees == 0)).ok_or_else(
                || Error::invalid_model(format!("iteration_indptr does not count up from 0 to {n_trees}")),
            );
        }
        let groups = if self.builder.has_vector_leaves() { 1 } else { n_outputs };
        let per_iteration = self.num_parallel_tree.max(1).saturating_mul(groups);
        if !n_trees.is_multiple_of(per_iteration) {
            let finding = format!("{n_trees} trees do not make whole iterations of {per_iteration}");
            return Err(Error::invalid_model(finding));
        }
        Ok((1..=n_trees / per_iteration).map(|iteration| iteration * per_iteration).collect())
    }
}

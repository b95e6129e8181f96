//! What a LightGBM file says beside its trees, and the model it makes of them; the same for both encodings.

use super::objective::Objective;
use crate::error::{Error, Result};
use crate::ir::{Aggregate, Forest, ForestBuilder, NumericProfile};
use crate::load::{LoadOptions, Loaded, Source};
use crate::schema::{Categories, Category, Feature, FeatureKind, Schema, Unseen};

/// The head of a file.
#[derive(Default)]
pub(super) struct Head {
    pub(super) version: String,
    pub(super) num_class: Option<u64>,
    pub(super) num_tree_per_iteration: Option<u64>,
    pub(super) max_feature_idx: Option<i64>,
    pub(super) objective: Option<String>,
    pub(super) average_output: bool,
    pub(super) feature_names: Vec<String>,
    /// For every feature its greatest category, if it is one of categories.
    pub(super) categories: Vec<Option<i64>>,
    /// The categories of the columns of a data frame that had some, in column order.
    pub(super) pandas_categorical: Vec<Vec<Category>>,
}

/// What a head makes of a model: all but its trees.
pub(super) struct Plan {
    pub(super) n_outputs: usize,
    objective: Objective,
    schema: Schema,
}

impl Head {
    /// Checks the head.
    pub(super) fn plan(&self, options: &LoadOptions) -> Result<Plan> {
        let objective = Objective::parse(self.objective.as_deref().unwrap_or("custom"))?;
        let missing = |key: &str| Error::invalid_model(format!("the head has no {key}"));
        let num_class = self.num_class.ok_or_else(|| missing("num_class"))?;
        let n_outputs = options.limits.outputs(self.num_tree_per_iteration.unwrap_or(num_class))?;
        if n_outputs == 0 {
            return Err(Error::invalid_model("num_tree_per_iteration is 0"));
        }
        if num_class != n_outputs as u64 {
            let finding = format!("num_class is {num_class}, but num_tree_per_iteration {n_outputs}");
            return Err(Error::invalid_model(finding));
        }
        objective.check_outputs(n_outputs)?;
        let words = self.objective.as_deref().unwrap_or("").split_ascii_whitespace();
        let mut classes = words.filter_map(|word| word.strip_prefix("num_class:"));
        if let Some(classes) = classes.next()
            && classes.parse() != Ok(n_outputs)
        {
            let finding = format!("objective num_class is {classes:?}, but num_tree_per_iteration {n_outputs}");
            return Err(Error::invalid_model(finding));
        }
        let schema = self.schema(options, objective, n_outputs)?;
        Ok(Plan { n_outputs, objective, schema })
    }

    fn schema(&self, options: &LoadOptions, objective: Objective, n_outputs: usize) -> Result<Schema> {
        let max_index = self.max_feature_idx.ok_or_else(|| Error::invalid_model("the head has no max_feature_idx"))?;
        let claimed = max_index.checked_add(1).and_then(|count| u64::try_from(count).ok());
        let claimed = claimed.ok_or_else(|| Error::invalid_model(format!("max_feature_idx is {max_index}")))?;
        let n_features = options.limits.features(claimed)?;
        for (what, found) in [("feature_names", self.feature_names.len()), ("feature_infos", self.categories.len())] {
            if found != 0 && found != n_features {
                let finding = format!("{found} {what}, but max_feature_idx makes {n_features}");
                return Err(Error::invalid_model(finding));
            }
        }
        let feature = |index: usize| {
            let is_category = self.categories.get(index).is_some_and(Option::is_some);
            let kind = if is_category { FeatureKind::Category } else { FeatureKind::Numeric };
            Feature::new(self.feature_names.get(index).cloned(), kind)
        };
        let mut features: Vec<Feature> = (0..n_features).map(feature).collect();
        self.name_categories(&mut features);
        let objective_text = self.objective.clone().unwrap_or_default();
        Ok(Schema { features, n_outputs, task: objective.task(), objective: objective_text, classes: None })
    }

    /// Gives category features the lists of the data frame's columns. The file does not say whose each is: they are
    /// the category features in order, unless the caller chose other ones for training. Where the numbers do not fit,
    /// no feature gets a list and codes are codes.
    fn name_categories(&self, features: &mut [Feature]) {
        let columns: Vec<(usize, i64)> =
            self.categories.iter().enumerate().filter_map(|(index, greatest)| Some((index, (*greatest)?))).collect();
        let fits = |(&(_, greatest), list): (&(usize, i64), &Vec<Category>)| greatest < list.len() as i64;
        let lists = &self.pandas_categorical;
        if columns.len() != lists.len() || !columns.iter().zip(lists).all(fits) {
            return;
        }
        for ((index, _), list) in columns.into_iter().zip(lists) {
            features[index].categories = Categories::new(list.clone(), Unseen::Missing);
        }
    }
}

impl Plan {
    /// The model of these trees.
    pub(super) fn finish(self, head: &Head, mut builder: ForestBuilder, options: &LoadOptions) -> Result<Loaded> {
        let (n_trees, n_outputs) = (builder.n_trees(), self.n_outputs);
        if !n_trees.is_multiple_of(n_outputs) {
            let finding = format!("{n_trees} trees do not make whole iterations of {n_outputs}");
            return Err(Error::invalid_model(finding));
        }
        builder.set_shape(&self.schema);
        for tree in 0..n_trees {
            builder.set_output(tree, (tree % n_outputs) as u32);
        }
        builder.set_iterations((1..=n_trees / n_outputs).map(|iteration| iteration * n_outputs).collect());
        let forest: Forest = builder
            .aggregate(if head.average_output { Aggregate::MeanOfValue } else { Aggregate::Sum })
            .link(self.objective.link(), self.objective.labels())
            .finish()?;
        let range = options.iterations.with_best(None).clamped(forest.n_iterations()).within(forest.n_iterations())?;
        let forest = forest.with_iterations(range);
        let producer = format!("LightGBM (format {})", head.version);
        let source = Source { producer, ..Source::default() };
        Ok(Loaded { schema: self.schema, source, forest })
    }
}

/// A builder for trees whose number of outputs is told by the head, perhaps after them.
pub(super) fn builder() -> ForestBuilder {
    ForestBuilder::new(&Schema::new(0, 1)).profile(NumericProfile::LIGHTGBM)
}

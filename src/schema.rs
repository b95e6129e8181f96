//! What a model takes and what it gives: features, outputs and the task it was trained for.

use serde::Serialize;

/// The columns a model expects and the meaning of its outputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Schema {
    /// One entry per column of the input, in column order.
    pub features: Vec<Feature>,
    /// Number of raw scores per row.
    pub n_outputs: usize,
    /// What the outputs mean.
    pub task: Task,
    /// The training objective, as the source library spells it; empty if the file names none.
    pub objective: String,
}

impl Schema {
    /// A schema of `n_features` unnamed numeric features and `n_outputs` scores for a regression.
    pub fn new(n_features: usize, n_outputs: usize) -> Self {
        let features = vec![Feature::default(); n_features];
        Self { features, n_outputs, task: Task::Regression, objective: String::new() }
    }

    /// Number of columns a row must have.
    pub fn n_features(&self) -> usize {
        self.features.len()
    }

    /// Position of the feature called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name.as_deref() == Some(name))
    }
}

/// One input column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Feature {
    /// The name the model file gives, if it names its features.
    pub name: Option<String>,
    /// How values of this column are read.
    pub kind: FeatureKind,
}

impl Feature {
    /// A feature with a name.
    pub fn new(name: Option<String>, kind: FeatureKind) -> Self {
        Self { name, kind }
    }
}

/// How the values of a column are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FeatureKind {
    /// An ordered number.
    #[default]
    Numeric,
    /// A category code: a small non-negative integer without order.
    Category,
}

/// What a model was trained to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Task {
    /// Real-valued outputs.
    Regression,
    /// Two classes.
    Binary,
    /// More than two classes, one score each.
    MultiClass,
    /// An order among the rows of a group.
    Ranking,
    /// Time to an event.
    Survival,
}

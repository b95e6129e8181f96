//! What a model takes and what it gives: features, outputs and the task it was trained for.

mod categories;

use serde::Serialize;

pub use categories::{Categories, Category, CategoryRef, Unseen};

use crate::error::{Error, Result};
use crate::store::stored;

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
    /// What the model calls its classes, if it names them: labels are among these.
    pub classes: Option<Classes>,
}

impl Schema {
    /// A schema of `n_features` unnamed numeric features and `n_outputs` scores for a regression.
    pub fn new(n_features: usize, n_outputs: usize) -> Self {
        let features = vec![Feature::default(); n_features];
        Self { features, n_outputs, task: Task::Regression, objective: String::new(), classes: None }
    }

    /// Number of columns a row must have.
    pub fn n_features(&self) -> usize {
        self.features.len()
    }

    /// Position of the feature called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name.as_deref() == Some(name))
    }

    /// The number that rows hold for a category of the feature called `feature`: see [`Feature::encode`].
    ///
    /// ```
    /// let model = sawmill::Model::load("models/xgboost/category_names/model.json")?;
    /// let schema = model.schema();
    /// assert_eq!(schema.encode("colour", "green")?, 1.0);
    /// assert_eq!(schema.encode("zone", -3)?, 2.0);
    /// assert!(schema.encode("colour", "pink").is_err());
    /// let row = [0.5, schema.encode("colour", "red")?, f64::NAN, schema.encode("zone", 40)?];
    /// println!("{:?}", model.predict(&row[..])?.to_f64());
    /// # Ok::<(), sawmill::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Feature::encode`]; a shape error when no feature has that name.
    pub fn encode<'c>(&self, feature: &str, category: impl Into<CategoryRef<'c>>) -> Result<f64> {
        let position = self.position(feature);
        let position = position.ok_or_else(|| Error::shape(format!("no feature is called {feature:?}")))?;
        self.features[position].encode(category)
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
    /// The categories the model was trained on, if it stores them: rows hold their codes.
    pub categories: Option<Categories>,
}

impl Feature {
    /// A feature with a name.
    pub fn new(name: Option<String>, kind: FeatureKind) -> Self {
        Self { name, kind, categories: None }
    }

    /// The number that rows hold for a category: its place in the list the model was trained on, however the caller's
    /// own data numbers its categories. Where the model stores no list, numbers are codes already and pass through.
    ///
    /// Text that spells a number is that number, unless the list has the text itself. A NaN is missing and stays.
    /// Cost: a binary search in the list.
    ///
    /// # Errors
    /// A shape error for a category that training did not see, unless those count as missing ([`Unseen`]), and for
    /// text where the model stores no list.
    pub fn encode<'c>(&self, category: impl Into<CategoryRef<'c>>) -> Result<f64> {
        let category = category.into();
        let in_column = |finding: String| match &self.name {
            Some(name) => Error::shape(finding).at(format!("feature {name:?}")),
            None => Error::shape(finding),
        };
        match &self.categories {
            Some(categories) => categories.encode(category).map_err(in_column),
            None => category.as_number().ok_or_else(|| {
                in_column(format!("{category} is not a number, and the model stores no categories: pass codes"))
            }),
        }
    }

    /// [`encode`](Self::encode) for the values of a column.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), with the row, counted from 0.
    pub fn encode_column<'c, C: Into<CategoryRef<'c>>>(&self, column: impl IntoIterator<Item = C>) -> Result<Vec<f64>> {
        let encode =
            |(row, category): (usize, C)| self.encode(category).map_err(|error| error.at(format!("row {row}")));
        column.into_iter().enumerate().map(encode).collect()
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
    /// A whole number of 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// A string.
    Text,
}

/// What a model calls its classes, in the order of its scores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Classes {
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Strings.
    Names(Vec<String>),
}

impl Classes {
    /// Number of classes.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(classes) => classes.len(),
            Self::Names(classes) => classes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes as text.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Integers(classes) => classes.iter().map(ToString::to_string).collect(),
            Self::Names(classes) => classes.clone(),
        }
    }
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
    /// How unusual a row is.
    Outlier,
}

stored!(struct Schema { features, n_outputs, task, objective, classes });
stored!(struct Feature { name, kind, categories });
stored!(enum FeatureKind { 0 => Numeric, 1 => Category, 2 => Integer, 3 => Boolean, 4 => Text });
stored!(enum Classes { 0 => Integers(classes), 1 => Names(classes) });
stored!(enum Task { 0 => Regression, 1 => Binary, 2 => MultiClass, 3 => Ranking, 4 => Survival, 5 => Outlier });

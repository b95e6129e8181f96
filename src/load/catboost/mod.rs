//! CatBoost models as JSON: `save_model("model.json", format="json")`.
//!
//! A value is rounded to f32 and gives a bit at a border, `value > border`; a tree adds a leaf in f64; the sum is
//! multiplied by a scale and a bias is added last (CatBoost `catboost/libs/model/cpu/evaluator_impl.cpp`,
//! `scale_and_bias.h`). Oblivious trees ask the same at all nodes of a level: their leaf number is made of the bits, and
//! they become ordinary complete trees.

mod category;
mod loss;
mod tree;

use super::document::Document;
use super::json::{Json, UnicodeEscapes};
use super::{LoadOptions, Loaded, Source};
use crate::error::{Error, Result};
use crate::ir::{Absent, BasePosition, CategoryRule, Comparison, Float, ForestBuilder, Missing, NumericProfile};
use crate::schema::{Feature, FeatureKind, Schema};
use category::Codes;
use loss::Loss;
use tree::TreeReader;

/// Loads the text of a model file.
pub(super) fn load(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    let mut json = Json::new(bytes, UnicodeEscapes::Decoded);
    let model = CatBoost::read(&mut json)?;
    json.end()?;
    model.finish(&mut json, options)
}

const NO_CTR: &str = "CTR features (statistics of categories, of combinations of them, or of text) are not supported; \
    train with a one_hot_max_size above the number of categories, or without categories";

/// All of a file but its trees.
#[derive(Default)]
struct CatBoost {
    features: Features,
    loss: Option<String>,
    version: String,
    scale: f64,
    bias: Vec<f64>,
    /// Where the trees start, whose features and width may be told behind them.
    oblivious_trees: Option<usize>,
    trees: Option<usize>,
}

/// The features of a model. Numeric and category ones are numbered apart, and all together by column.
#[derive(Default)]
struct Features {
    numeric: Vec<Numeric>,
    categories: Vec<Category>,
    codes: Codes,
}

struct Numeric {
    column: u32,
    name: String,
    missing: Missing,
}

struct Category {
    column: u32,
    name: String,
}

impl CatBoost {
    fn read(json: &mut Json<'_>) -> Result<Self> {
        let mut model = Self::default();
        json.object(|json, key| match key {
            "features_info" => model.features.read(json),
            "model_info" => model.read_info(json),
            "scale_and_bias" => model.read_scale(json),
            "oblivious_trees" => {
                model.oblivious_trees = Some(json.position());
                json.skip()
            }
            "trees" => {
                model.trees = Some(json.position());
                json.skip()
            }
            "ctr_data" => Err(Error::unsupported(NO_CTR)),
            _ => json.skip(),
        })?;
        Ok(model)
    }

    fn read_info(&mut self, json: &mut Json<'_>) -> Result<()> {
        json.object(|json, key| match key {
            "catboost_version_info" => {
                let text = json.text()?;
                let tag = text.split_once("tags/v").map_or("", |(_, tag)| tag);
                self.version = tag.split_whitespace().next().unwrap_or_default().to_owned();
                Ok(())
            }
            "params" => json.object(|json, key| match key {
                "loss_function" => json.object(|json, key| match key {
                    "type" => {
                        self.loss = Some(json.text()?);
                        Ok(())
                    }
                    _ => json.skip(),
                }),
                _ => json.skip(),
            }),
            "class_params" => json.object(|json, key| match key {
                "class_to_label" => {
                    let mut labels: Vec<f64> = Vec::new();
                    json.numbers(&mut labels)?;
                    if labels.iter().enumerate().any(|(at, &label)| label != at as f64) {
                        return Err(Error::unsupported("classes in another order than their labels are not supported"));
                    }
                    Ok(())
                }
                _ => json.skip(),
            }),
            "binclass_probability_threshold" => {
                Err(Error::unsupported("a probability threshold (set_probability_threshold) is not supported"))
            }
            _ => json.skip(),
        })
    }

    /// `[scale, bias]` or `[scale, [bias, …]]`.
    fn read_scale(&mut self, json: &mut Json<'_>) -> Result<()> {
        let mut items = 0;
        json.array(|json| {
            items += 1;
            match items {
                1 => {
                    self.scale = json.number()?;
                    Ok(())
                }
                2 => json.number_or_numbers(&mut self.bias),
                _ => Err(json.error("a third entry of scale_and_bias")),
            }
        })
    }

    fn finish(self, json: &mut Json<'_>, options: &LoadOptions) -> Result<Loaded> {
        let missing = |what: &str| Error::invalid_model(format!("the model has no {what}"));
        let name = self.loss.as_deref().ok_or_else(|| missing("loss_function"))?;
        let loss = Loss::from_name(name)?;
        let n_outputs = options.limits.outputs(self.bias.len() as u64)?;
        if n_outputs == 0 {
            return Err(missing("scale_and_bias"));
        }
        loss.check_outputs(n_outputs)?;
        if !self.scale.is_finite() || self.bias.iter().any(|bias| !bias.is_finite()) {
            return Err(Error::invalid_model("scale_and_bias is not finite"));
        }
        let schema = self.features.schema(options, loss, name, n_outputs)?;

        let profile = NumericProfile {
            input: Float::F32,
            comparison: Comparison::LessOrEqual,
            sum: Float::F64,
            base: BasePosition::Last,
            categories: CategoryRule::Exact,
            absent: Absent::Zero,
            flush_tiny: false,
        };
        let mut builder = ForestBuilder::new(&schema).profile(profile);
        let (start, is_oblivious) = match (self.oblivious_trees, self.trees) {
            (Some(start), None) => (start, true),
            (None, Some(start)) => (start, false),
            (None, None) => return Err(missing("oblivious_trees")),
            (Some(_), Some(_)) => return Err(Error::invalid_model("both oblivious_trees and trees")),
        };
        json.seek(start);
        let mut reader = TreeReader::new(&self.features, n_outputs);
        json.array(|json| {
            let index = builder.n_trees();
            options.limits.trees(index + 1)?;
            let read = if is_oblivious { reader.read_oblivious(json) } else { reader.read_nested(json) };
            read.map_err(|error| error.at(format!("tree {index}")))?;
            options.limits.nodes(builder.n_nodes() + reader.n_nodes())?;
            reader.lower(&mut builder)
        })?;

        let forest = builder.scale(self.scale).base(self.bias).link(loss.link(), loss.labels()).finish()?;
        let range = options.iterations.within(forest.n_iterations())?;
        // A sum that starts later than with the first tree gets no bias (`ApplyScaleAndBias`, `startTree`).
        let forest = if range.start > 0 { forest.without_base() } else { forest };
        let forest = forest.with_iterations(range);
        let producer = format!("CatBoost {}", self.version).trim_end().to_owned();
        let source = Source { producer, ..Source::default() };
        Ok(Loaded { schema, source, forest })
    }
}

impl Features {
    fn read(&mut self, json: &mut Json<'_>) -> Result<()> {
        json.object(|json, key| match key {
            "float_features" => json.array(|json| {
                let feature = Self::read_numeric(json, self.numeric.len())?;
                self.numeric.push(feature);
                Ok(())
            }),
            "categorical_features" => json.array(|json| {
                let mut hashes = Vec::new();
                let feature = Self::read_category(json, self.categories.len(), &mut hashes)?;
                self.codes.add(self.categories.len(), &hashes);
                self.categories.push(feature);
                Ok(())
            }),
            "ctrs" => Err(Error::unsupported(NO_CTR)),
            "text_features" | "embedding_features" => {
                json.array(|_| Err(Error::unsupported(format!("{key} are not supported"))))
            }
            _ => json.skip(),
        })
    }

    fn read_numeric(json: &mut Json<'_>, index: usize) -> Result<Numeric> {
        let mut missing = Missing::Left;
        let (column, name) = Self::read_feature(json, index, |json, key| match key {
            "nan_value_treatment" => {
                missing = match json.text()?.as_str() {
                    // NaN is above no border, unless it is said to be above all.
                    "AsIs" | "AsFalse" => Missing::Left,
                    "AsTrue" => Missing::Right,
                    other => return Err(Error::unsupported(format!("nan_value_treatment {other:?} is not supported"))),
                };
                Ok(())
            }
            _ => json.skip(),
        })?;
        Ok(Numeric { column, name, missing })
    }

    fn read_category(json: &mut Json<'_>, index: usize, hashes: &mut Vec<i32>) -> Result<Category> {
        let (column, name) = Self::read_feature(json, index, |json, key| match key {
            "values" => json.numbers(hashes),
            _ => json.skip(),
        })?;
        Ok(Category { column, name })
    }

    /// Column and name of the feature of its kind that comes `index`-th; `own` reads what only its kind has.
    fn read_feature(
        json: &mut Json<'_>,
        index: usize,
        mut own: impl FnMut(&mut Json<'_>, &str) -> Result<()>,
    ) -> Result<(u32, String)> {
        let (mut column, mut name) = (None, String::new());
        json.object(|json, key| match key {
            "feature_index" => match json.number::<i64>()? {
                found if usize::try_from(found) == Ok(index) => Ok(()),
                found => Err(json.error(format!("feature_index {found} where {index} is expected"))),
            },
            "flat_feature_index" => {
                let found = json.number::<i64>()?;
                column = Some(u32::try_from(found).map_err(|_| json.error(format!("flat_feature_index {found}")))?);
                Ok(())
            }
            "feature_id" => {
                name = json.text()?;
                Ok(())
            }
            key => own(json, key),
        })?;
        let column = column.ok_or_else(|| json.error("a feature without flat_feature_index"))?;
        Ok((column, name))
    }

    fn schema(&self, options: &LoadOptions, loss: Loss, name: &str, n_outputs: usize) -> Result<Schema> {
        let numeric = self.numeric.iter().map(|feature| (feature.column, &feature.name, FeatureKind::Numeric));
        let categories = self.categories.iter().map(|feature| (feature.column, &feature.name, FeatureKind::Category));
        let all = || numeric.clone().chain(categories.clone());
        let claimed = all().map(|(column, ..)| u64::from(column) + 1).max().unwrap_or(0);
        let n_features = options.limits.features(claimed)?;
        let mut features: Vec<Option<Feature>> = vec![None; n_features];
        for (column, name, kind) in all() {
            let feature = Feature::new((!name.is_empty()).then(|| name.clone()), kind);
            if features[column as usize].replace(feature).is_some() {
                return Err(Error::invalid_model(format!("two features of flat_feature_index {column}")));
            }
        }
        let features = features.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Schema { features, n_outputs, task: loss.task(), objective: name.to_owned(), classes: None })
    }
}

//! One pass over an XGBoost document: which keys there are, and what each fills in. Unknown keys are skipped, as
//! XGBoost itself skips them; newer versions add some in every release.

use super::objective::Version;
use super::tree::TreeArrays;
use super::{Learner, categories};
use crate::error::{Error, Result};
use crate::ir::NumberedTree;
use crate::load::Limits;
use crate::load::document::Document;
use crate::schema::FeatureKind;

/// Reads the top-level object, of about `n_nodes` nodes.
pub(super) fn model<D: Document>(document: &mut D, n_nodes: usize, limits: &Limits) -> Result<Learner> {
    let mut learner = Learner::new();
    learner.builder.expect_nodes(n_nodes);
    let mut reader = Reader { learner, tree: TreeArrays::default(), limits, found: false };
    reader.top(document)?;
    if !reader.found {
        return Err(Error::invalid_model("no \"learner\" in the file: not an XGBoost model"));
    }
    Ok(reader.learner)
}

struct Reader<'l> {
    learner: Learner,
    /// Reused from tree to tree.
    tree: TreeArrays,
    limits: &'l Limits,
    /// Whether a learner has been met.
    found: bool,
}

impl Reader<'_> {
    fn top<D: Document>(&mut self, document: &mut D) -> Result<()> {
        document.object(|document, key| match key {
            "learner" if !self.found => {
                self.found = true;
                self.learner(document)
            }
            "learner" => Err(document.error("a second learner")),
            "version" => {
                let mut parts = Vec::<i64>::new();
                document.numbers(&mut parts)?;
                let part = |index: usize| parts.get(index).map_or(0, |&part| u32::try_from(part).unwrap_or(0));
                self.learner.version = Version([part(0), part(1), part(2)]);
                Ok(())
            }
            // A memory snapshot (what pickled boosters hold) wraps the model.
            "Model" if !self.found => self.top(document),
            _ => document.skip(),
        })
    }

    fn learner<D: Document>(&mut self, document: &mut D) -> Result<()> {
        document.object(|document, key| match key {
            "attributes" => document.object(|document, key| match key {
                "best_iteration" => {
                    self.learner.best_iteration = document.text()?.parse().ok();
                    Ok(())
                }
                _ => document.skip(),
            }),
            "feature_names" => texts(document, &mut self.learner.feature_names),
            "feature_types" => document.array(|document| {
                let is_category = document.text()? == "c";
                let kind = if is_category { FeatureKind::Category } else { FeatureKind::Numeric };
                self.learner.feature_kinds.push(kind);
                Ok(())
            }),
            "gradient_booster" => self.booster(document),
            "learner_model_param" => {
                let learner = &mut self.learner;
                document.object(|document, key| match key {
                    "base_score" => {
                        learner.base_score = Some(document.text()?);
                        Ok(())
                    }
                    "num_class" => count(document, key, &mut learner.num_class),
                    "num_target" => count(document, key, &mut learner.num_target),
                    "num_feature" => count(document, key, &mut learner.num_feature),
                    _ => document.skip(),
                })
            }
            "objective" => document.object(|document, key| match key {
                "name" => {
                    self.learner.objective = Some(document.text()?);
                    Ok(())
                }
                _ => document.skip(),
            }),
            _ => document.skip(),
        })
    }

    fn booster<D: Document>(&mut self, document: &mut D) -> Result<()> {
        document.object(|document, key| match key {
            "name" => {
                self.learner.booster = Some(document.text()?);
                Ok(())
            }
            "model" => self.trees(document),
            // DART up to 3.2 wraps a gbtree; its own name, "dart", follows.
            "gbtree" => self.booster(document),
            "weight_drop" if self.learner.weight_drop.is_empty() => document.numbers(&mut self.learner.weight_drop),
            "weight_drop" => Err(document.error("a second weight_drop")),
            _ => document.skip(),
        })
    }

    fn trees<D: Document>(&mut self, document: &mut D) -> Result<()> {
        document.object(|document, key| match key {
            "trees" if self.learner.builder.n_trees() > 0 => Err(document.error("a second list of trees")),
            "trees" => document.array(|document| {
                let index = self.learner.builder.n_trees();
                self.limits.trees(index + 1)?;
                self.tree.read(document, index).map_err(|error| error.at(format!("tree {index}")))?;
                self.limits.nodes(self.learner.builder.n_nodes() + self.tree.n_nodes())?;
                self.tree.lower(&mut self.learner.builder)
            }),
            "tree_info" => document.numbers(&mut self.learner.tree_info),
            "iteration_indptr" => {
                let mut indptr = Vec::new();
                document.numbers(&mut indptr)?;
                self.learner.iteration_indptr = Some(indptr);
                Ok(())
            }
            "gbtree_model_param" => document.object(|document, key| match key {
                "num_parallel_tree" => {
                    let mut parallel = 0;
                    count(document, key, &mut parallel)?;
                    self.learner.num_parallel_tree = self.limits.trees(parallel as usize)?;
                    Ok(())
                }
                _ => document.skip(),
            }),
            "cats" => categories::read(document, &mut self.learner.categories),
            // gblinear.
            "weights" => {
                let mut weights = Vec::new();
                document.numbers(&mut weights)?;
                self.learner.weights = Some(weights);
                Ok(())
            }
            // DART since 3.4.
            "weight_drop" if self.learner.weight_drop.is_empty() => document.numbers(&mut self.learner.weight_drop),
            "weight_drop" => Err(document.error("a second weight_drop")),
            _ => document.skip(),
        })
    }
}

fn texts<D: Document>(document: &mut D, out: &mut Vec<String>) -> Result<()> {
    document.array(|document| {
        out.push(document.text()?);
        Ok(())
    })
}

/// A count, which XGBoost writes as a string.
fn count<D: Document>(document: &mut D, key: &str, out: &mut u64) -> Result<()> {
    let text = document.text()?;
    *out = text.parse().map_err(|_| document.error(format!("{key} is {text:?}, not a count")))?;
    Ok(())
}

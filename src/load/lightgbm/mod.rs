//! LightGBM models in its text format, versions 2 to 4.
//!
//! `key=value` lines: a head up to the first `Tree=`, then one block a tree, then `end of trees`. What follows
//! (importances, parameters) does not affect predictions. Trees are found by their `Tree=` lines; the byte offsets of
//! `tree_sizes` are not used, since edited files and CRLF make them lie (LightGBM itself aborts then), but their number
//! is that of the trees.

mod objective;
mod text;
mod tree;

use super::{LoadOptions, Loaded, Source};
use crate::error::{Error, Result};
use crate::ir::{Aggregate, ForestBuilder, NumericProfile};
use crate::schema::{Feature, FeatureKind, Schema};
use objective::Objective;
use text::{Lines, number};
use tree::TreeBlock;

/// The head of a file.
#[derive(Default)]
struct Head<'a> {
    version: &'a str,
    num_class: Option<u64>,
    num_tree_per_iteration: Option<u64>,
    max_feature_idx: Option<i64>,
    objective: Option<&'a str>,
    average_output: bool,
    feature_names: Option<&'a str>,
    feature_infos: Option<&'a str>,
    tree_sizes: Option<&'a str>,
}

/// Loads the text of a model file.
pub(super) fn load_text(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    let mut lines = Lines::new(bytes);
    let head = Head::read(&mut lines)?;
    let objective = Objective::parse(head.objective.unwrap_or("custom"))?;

    let missing = |key: &str| Error::invalid_model(format!("the head has no {key}"));
    let num_class = head.num_class.ok_or_else(|| missing("num_class"))?;
    let n_outputs = options.limits.outputs(head.num_tree_per_iteration.unwrap_or(num_class))?;
    if n_outputs == 0 {
        return Err(Error::invalid_model("num_tree_per_iteration is 0"));
    }
    if num_class != n_outputs as u64 {
        let finding = format!("num_class is {num_class}, but num_tree_per_iteration {n_outputs}");
        return Err(Error::invalid_model(finding));
    }
    objective.check_outputs(n_outputs)?;
    let classes =
        head.objective.and_then(|line| line.split_ascii_whitespace().find_map(|word| word.strip_prefix("num_class:")));
    if let Some(classes) = classes
        && classes.parse() != Ok(n_outputs)
    {
        let finding = format!("objective num_class is {classes:?}, but num_tree_per_iteration {n_outputs}");
        return Err(Error::invalid_model(finding));
    }
    let schema = head.schema(options, objective, n_outputs)?;

    let mut builder = ForestBuilder::new(&schema)
        .profile(NumericProfile::LIGHTGBM)
        .aggregate(if head.average_output { Aggregate::MeanOfValue } else { Aggregate::Sum })
        .link(objective.link(), objective.labels());
    read_trees(&mut lines, n_outputs, options, &mut builder)?;

    let n_trees = builder.n_trees();
    let listed = head.tree_sizes.map(|sizes| sizes.split_ascii_whitespace().count());
    if let Some(listed) = listed
        && listed != n_trees
    {
        return Err(Error::invalid_model(format!("tree_sizes lists {listed} trees, but the file has {n_trees}")));
    }
    if !n_trees.is_multiple_of(n_outputs) {
        let finding = format!("{n_trees} trees do not make whole iterations of {n_outputs}");
        return Err(Error::invalid_model(finding));
    }
    builder.set_iterations((1..=n_trees / n_outputs).map(|iteration| iteration * n_outputs).collect());
    let forest = builder.finish()?;
    let range = options.iterations.with_best(None).clamped(forest.n_iterations()).within(forest.n_iterations())?;
    let forest = forest.with_iterations(range);

    let producer = format!("LightGBM (format {})", head.version);
    let source = Source { format: None, producer, digest: String::new(), best_iteration: None };
    Ok(Loaded { schema, source, forest })
}

/// Reads trees up to the line that ends them; without one the file is cut short, perhaps within a number.
fn read_trees(
    lines: &mut Lines<'_>,
    n_outputs: usize,
    options: &LoadOptions,
    builder: &mut ForestBuilder,
) -> Result<()> {
    let mut block = TreeBlock::default();
    loop {
        // The cursor stands behind a "Tree=" line or at the end of the trees.
        let index = builder.n_trees();
        match lines.next()? {
            None => return Err(Error::invalid_model(format!("the file ends after {index} trees: it is cut short"))),
            // The last is how the trees of a version 2 file end.
            Some("end of trees" | "feature_importances:" | "feature importances:") => return Ok(()),
            Some(line) if line.starts_with("Tree=") => {
                options.limits.trees(index + 1)?;
                let place = || format!("tree {index}");
                block.read(lines).map_err(|error| error.at(place()))?;
                options.limits.nodes(builder.n_nodes() + block.n_nodes())?;
                block.lower(builder, (index % n_outputs) as u32)?;
            }
            Some("") => {}
            Some(line) => {
                let finding = format!("line {}: {:?} where a tree is expected", lines.number(), text::short(line));
                return Err(Error::invalid_model(finding));
            }
        }
    }
}

impl<'a> Head<'a> {
    fn read(lines: &mut Lines<'a>) -> Result<Self> {
        let mut head = Self::default();
        while let Some(line) = lines.peek()? {
            if line.starts_with("Tree=") || line == "end of trees" {
                return Ok(head);
            }
            lines.next()?;
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let place = |error: Error| error.at(format!("line {}: {key}", lines.number()));
            match key {
                "num_leaves" => return Err(place(Error::invalid_model("no \"Tree=\" line before it"))),
                "version" => head.version = value,
                "num_class" => head.num_class = Some(number(value).map_err(place)?),
                "num_tree_per_iteration" => head.num_tree_per_iteration = Some(number(value).map_err(place)?),
                "max_feature_idx" => head.max_feature_idx = Some(number(value).map_err(place)?),
                "objective" => head.objective = Some(value),
                "average_output" => head.average_output = true,
                "feature_names" => head.feature_names = Some(value),
                "feature_infos" => head.feature_infos = Some(value),
                "tree_sizes" => head.tree_sizes = Some(value),
                _ => {}
            }
        }
        Err(Error::invalid_model("no tree in the file: not a LightGBM model, or cut short"))
    }

    fn schema(&self, options: &LoadOptions, objective: Objective, n_outputs: usize) -> Result<Schema> {
        let max_index = self.max_feature_idx.ok_or_else(|| Error::invalid_model("the head has no max_feature_idx"))?;
        let claimed = max_index.checked_add(1).and_then(|count| u64::try_from(count).ok());
        let claimed = claimed.ok_or_else(|| Error::invalid_model(format!("max_feature_idx is {max_index}")))?;
        let n_features = options.limits.features(claimed)?;
        let list = |text: Option<&'a str>, what: &str| -> Result<Vec<&'a str>> {
            let items: Vec<_> = text.unwrap_or("").split(' ').filter(|item| !item.is_empty()).collect();
            match items.len() {
                0 => Ok(items),
                len if len == n_features => Ok(items),
                len => Err(Error::invalid_model(format!("{len} {what}, but max_feature_idx makes {n_features}"))),
            }
        };
        let names = list(self.feature_names, "feature_names")?;
        let infos = list(self.feature_infos, "feature_infos")?;
        let feature = |index: usize| {
            // `[low:high]` for numbers, `1:5:7` for categories, `none` for a constant.
            let is_category = infos.get(index).is_some_and(|info| !info.starts_with('[') && *info != "none");
            let kind = if is_category { FeatureKind::Category } else { FeatureKind::Numeric };
            Feature { name: names.get(index).map(|&name| name.to_owned()), kind }
        };
        let features = (0..n_features).map(feature).collect();
        let objective_text = self.objective.unwrap_or("").to_owned();
        Ok(Schema { features, n_outputs, task: objective.task(), objective: objective_text })
    }
}

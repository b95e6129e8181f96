//! LightGBM models: text of versions 2 to 4, and the JSON of `dump_model`.
//!
//! The text is `key=value` lines: a head up to the first `Tree=`, then one block a tree, then `end of trees`. Of what
//! follows (importances, parameters) only the names of categories are read, for callers that have no codes. Trees are
//! found by their `Tree=` lines; the byte offsets of `tree_sizes` are not used, since edited files and CRLF make them
//! lie (LightGBM itself aborts then), but their number is that of the trees.

mod dump;
mod head;
mod objective;
mod pandas;
mod text;
mod tree;

use super::{LoadOptions, Loaded};
use crate::error::{Error, Result};
use crate::ir::{ForestBuilder, NumberedTree};
pub(super) use dump::load_json;
use head::Head;
use text::{Lines, number};
use tree::TreeBlock;

/// Loads the text of a model file.
pub(super) fn load_text(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    let mut lines = Lines::new(bytes);
    let (mut head, tree_sizes) = read_head(&mut lines)?;
    head.pandas_categorical = pandas::of_text(bytes)?;
    let plan = head.plan(options)?;
    let mut builder = head::builder();
    // As many bytes a node are common.
    builder.expect_nodes(bytes.len() / 46);
    read_trees(&mut lines, options, &mut builder)?;
    let n_trees = builder.n_trees();
    if let Some(listed) = tree_sizes
        && listed != n_trees
    {
        return Err(Error::invalid_model(format!("tree_sizes lists {listed} trees, but the file has {n_trees}")));
    }
    plan.finish(&head, builder, options)
}

/// Reads trees up to the line that ends them; without one the file is cut short, perhaps within a number.
fn read_trees(lines: &mut Lines<'_>, options: &LoadOptions, builder: &mut ForestBuilder) -> Result<()> {
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
                block.lower(builder)?;
            }
            Some("") => {}
            Some(line) => {
                let finding = format!("line {}: {:?} where a tree is expected", lines.number(), text::short(line));
                return Err(Error::invalid_model(finding));
            }
        }
    }
}

/// Reads the head, and how many trees its `tree_sizes` lists.
fn read_head(lines: &mut Lines<'_>) -> Result<(Head, Option<usize>)> {
    let (mut head, mut tree_sizes) = (Head::default(), None);
    let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    while let Some(line) = lines.peek()? {
        if line.starts_with("Tree=") || line == "end of trees" {
            return Ok((head, tree_sizes));
        }
        lines.next()?;
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let place = |error: Error| error.at(format!("line {}: {key}", lines.number()));
        match key {
            "num_leaves" => return Err(place(Error::invalid_model("no \"Tree=\" line before it"))),
            "version" => head.version = value.to_owned(),
            "num_class" => head.num_class = Some(number(value).map_err(place)?),
            "num_tree_per_iteration" => head.num_tree_per_iteration = Some(number(value).map_err(place)?),
            "max_feature_idx" => head.max_feature_idx = Some(number(value).map_err(place)?),
            "objective" => head.objective = Some(value.to_owned()),
            "average_output" => head.average_output = true,
            "feature_names" => head.feature_names = words(value),
            "feature_infos" => head.categories = words(value).iter().map(|info| greatest_category(info)).collect(),
            "tree_sizes" => tree_sizes = Some(words(value).len()),
            _ => {}
        }
    }
    Err(Error::invalid_model("no tree in the file: not a LightGBM model, or cut short"))
}

/// The greatest category of a feature, if it is one of categories: `[low:high]` is of numbers, `1:5:7` of categories,
/// `none` of a constant.
fn greatest_category(info: &str) -> Option<i64> {
    if info.starts_with('[') || info == "none" {
        return None;
    }
    // What is no number fits no list of categories.
    info.split(':').map(|code| code.parse().unwrap_or(i64::MAX)).max()
}

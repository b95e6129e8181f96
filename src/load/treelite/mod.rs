//! Treelite checkpoints: `Model.serialize` of versions 4.x and 3.9, with the meaning that Treelite's reference
//! evaluator, GTIL, of version 4 gives them (`src/gtil/predict.cc`, `src/gtil/postprocessor.cc`).
//!
//! A checkpoint is a stream of little-endian fields without a magic number, all f32 or all f64. GTIL reads rows in that
//! type and sums in it in tree order from zero; means are taken next, base scores (f64) come last. What library trained
//! the model is not recorded, and its own arithmetic may be another: scikit-learn's forests round their input to f32,
//! which [`InputCast::F32`] asks for.

mod cursor;
mod head;
mod postprocessor;
mod tree;

use super::{InputCast, LoadOptions, Loaded, Source};
use crate::error::{Error, Result};
use crate::ir::{Absent, Aggregate, BasePosition, CategoryRule, Comparison, Float, ForestBuilder, NumericProfile};
use crate::schema::{Feature, Schema};
use cursor::Cursor;
use head::{Head, Version};
use postprocessor::Postprocessor;
use tree::TreeArrays;

/// Whether a file starts as a checkpoint does: a version, two types, and counts that its length bears out.
pub(super) fn is_checkpoint(bytes: &[u8]) -> bool {
    head::is_plausible(bytes)
}

/// Loads the bytes of a checkpoint.
pub(super) fn load(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    let mut cursor = Cursor::new(bytes);
    let head = Head::read(&mut cursor, options)?;
    let postprocessor = Postprocessor::from_name(head.postprocessor)?;
    postprocessor.check_classes(&head.num_class)?;
    let n_outputs = options.limits.outputs(head.n_outputs())?;
    let schema = Schema {
        features: vec![Feature::default(); head.n_features],
        n_outputs,
        task: head.task,
        objective: head.postprocessor.to_owned(),
        classes: None,
    };

    let mut builder = ForestBuilder::new(&schema);
    let mut tree = TreeArrays::new(head.float);
    for index in 0..head.num_tree {
        options.limits.trees(index as usize + 1)?;
        let place = |error: Error| error.at(format!("tree {index}"));
        match head.version {
            Version::V3 => tree.read_v3(&mut cursor),
            Version::V4 => tree.read_v4(&mut cursor),
        }
        .map_err(place)?;
        options.limits.nodes(builder.n_nodes() + tree.n_nodes())?;
        let target = head.target(index as usize).map_err(place)?;
        tree.lower(&mut builder, target, &head)?;
    }
    cursor.end()?;

    let profile = NumericProfile {
        input: match (head.float, options.input_cast) {
            (Float::F32, _) | (_, Some(InputCast::F32)) => Float::F32,
            _ => Float::F64,
        },
        comparison: tree.comparison().unwrap_or(Comparison::LessOrEqual),
        sum: head.float,
        base: BasePosition::Last,
        categories: CategoryRule::Representable,
        absent: Absent::Missing,
        flush_tiny: false,
    };
    let forest = builder
        .profile(profile)
        .base(head.base_scores()?)
        .aggregate(if head.average { Aggregate::Mean } else { Aggregate::Sum })
        .link(postprocessor.link(head.sigmoid_alpha, head.ratio_c), postprocessor.labels(head.task, &head.num_class))
        .finish()?;
    let range = options.iterations.within(forest.n_iterations())?;
    let forest = forest.with_iterations(range);
    let producer = format!("Treelite {}", head.producer);
    let source = Source { producer, ..Source::default() };
    Ok(Loaded { schema, source, forest })
}

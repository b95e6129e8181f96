//! ONNX: pipelines of scikit-learn and of whatever else exports `ai.onnx.ml`, as ONNX Runtime computes them.
//!
//! A file is decoded (`proto`), its names are resolved and its nodes lowered (`graph`, `ops`), trees among them into
//! forests (`trees`, `written`, `lower`). A graph that is no more than one tree ensemble becomes a forest like any other; the
//! others stay graphs.

mod attributes;
mod graph;
mod inputs;
mod lossy;
mod lower;
#[cfg(feature = "neural")]
mod network;
mod ops;
mod proto;
mod tensor;
mod text;
mod trees;
mod written;

use prost::Message;

use super::{LoadOptions, Loaded, LoadedGraph, LoadedModel, Source};
use crate::error::{Error, Result};
use crate::graph::Input;
use crate::graph::tensor::{Tensor, Type};
use crate::schema::{Classes, Feature, FeatureKind, Schema, Task};

/// Loads the bytes of a model file.
pub(super) fn load(bytes: &[u8], options: &LoadOptions) -> Result<LoadedModel> {
    let model =
        proto::ModelProto::decode(bytes).map_err(|_| Error::invalid_model("not an ONNX model, or cut short"))?;
    let loaded = graph::load(&model, bytes.len(), options);
    #[cfg(feature = "neural")]
    let loaded = loaded.or_else(|refused| network::load(refused, &model, bytes, &options.limits));
    // Values that do not fit together are the file's fault here.
    let loaded =
        loaded.map_err(|error| if error.is_shape() { Error::invalid_model(error.to_string()) } else { error })?;
    let graph = loaded.graph;
    let mut features = Vec::new();
    for input in &graph.inputs {
        features.extend(features_of(input, graph.inputs.len(), loaded.column_names.get(&input.value)));
    }
    options.limits.features(features.len() as u64)?;
    let values = graph.default_output();
    let classes = graph.outputs.iter().rev().find_map(|output| output.classes.clone());
    let schema = Schema {
        n_outputs: graph.outputs[values].n_columns,
        task: task(&loaded.samples[..=values], classes.as_ref()),
        objective: String::new(),
        features,
        classes,
    };
    let version = |set: &proto::OperatorSetIdProto| match &*set.domain {
        "" => format!("opset {}", set.version),
        domain => format!("{domain} {}", set.version),
    };
    let versions: Vec<_> = model.opset_import.iter().map(version).collect();
    let producer = match (&*model.producer_name, &*model.producer_version) {
        ("", _) => "unknown".to_owned(),
        (name, version) => format!("{name} {version}").trim_end().to_owned(),
    };
    let producer = format!("{producer} ({})", versions.join(", "));
    let (warnings, folded) = (lossy::warnings(&model), loaded.folded);
    let source = Source { producer, warnings, folded, ..Source::default() };
    match if options.keep_graph { Err(Box::new(graph)) } else { graph.into_forest() } {
        Ok(forest) => {
            let range = options.iterations.within(forest.n_iterations())?;
            let schema = Schema { n_outputs: forest.n_outputs(), ..schema };
            Ok(LoadedModel::Forest(Loaded { schema, source, forest: forest.with_iterations(range) }))
        }
        Err(_) if options.iterations != Default::default() => {
            Err(Error::option("iterations asked of a pipeline, which has none"))
        }
        Err(graph) => Ok(LoadedModel::Graph(LoadedGraph { schema, source, graph: *graph })),
    }
}

/// The columns of an input; those of the only input have no names if there are several.
fn features_of(input: &Input, n_inputs: usize, names: Option<&Vec<String>>) -> Vec<Feature> {
    let kind = match input.ty {
        Type::I32 | Type::I64 => FeatureKind::Integer,
        Type::Bool => FeatureKind::Boolean,
        Type::Text => FeatureKind::Text,
        Type::F32 | Type::F64 | Type::Tensor => FeatureKind::Numeric,
    };
    let width = input.n_columns();
    let name = |column: usize| match names {
        Some(names) => names.get(column).cloned(),
        None if width == 1 => Some(input.name.clone()),
        None if n_inputs == 1 => None,
        None => Some(format!("{}[{column}]", input.name)),
    };
    (0..width).map(|column| Feature { name: name(column), kind, categories: None }).collect()
}

fn task(samples: &[Option<Tensor>], classes: Option<&Classes>) -> Task {
    let labels = samples
        .first()
        .and_then(Option::as_ref)
        .is_some_and(|sample| samples.len() > 1 && matches!(sample.ty(), Type::I64 | Type::Text));
    match classes {
        Some(classes) if classes.len() > 2 => Task::MultiClass,
        Some(_) => Task::Binary,
        None if labels => {
            let width = samples.last().and_then(Option::as_ref).map_or(0, |scores| scores.matrix_shape().1);
            if width > 2 { Task::MultiClass } else { Task::Binary }
        }
        None => Task::Regression,
    }
}

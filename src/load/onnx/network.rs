//! Graphs of neural networks: what the operators of pipelines do not cover goes to tract whole.
//!
//! Only graphs of the standard domain do. tract goes by the names of operators alone, and what it makes of those of
//! `ai.onnx.ml` is not what ONNX Runtime does.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::data_resolver::ModelDataResolver;
use tract_onnx::prelude::{Framework, InferenceFact, InferenceModelExt, IntoRunnable, TractResult, TypedSimplePlan};

use super::attributes::shown;
use super::graph::{self, LoadedNodes, place};
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::error::{Error, Result};
use crate::graph::Input;
use crate::graph::ops::Op;
use crate::graph::ops::network::{Network, datum_type, guarded};
use crate::load::Limits;

/// Loads a model that the operators of pipelines `refused`.
///
/// # Errors
/// The same error where it is about no operator; else one that names what tract does not know either.
pub(super) fn load(refused: Error, model: &ModelProto, bytes: &[u8], limits: &Limits) -> Result<LoadedNodes> {
    let Some(graph) = model.graph.as_ref().filter(|_| refused.is_unsupported()) else { return Err(refused) };
    let known = tract_onnx::onnx().op_register.0;
    let n_operators = match check(graph, &|kind| known.contains_key(kind)) {
        Ok(count) => count,
        // Both know of the same hindrance, or it is none of tract's business.
        Err(None) => return Err(refused),
        Err(Some(error)) => return Err(error),
    };
    if let Some(rows) = fixed_rows(graph) {
        let finding =
            format!("{refused}; and as a neural network it is for exactly {rows} rows: export it for any number");
        return Err(Error::unsupported(finding));
    }
    let network = |inputs: &[Input]| Ok(Op::Network(Network { plan: compile(bytes, inputs)?, n_operators }));
    graph::load_whole(model, bytes.len(), limits, "neural network", network)
        .map_err(|error| Error::unsupported(format!("{refused}; as a neural network: {error}")))
}

/// Counts the operators of a graph and those within it, all of which tract must know.
///
/// # Errors
/// The operator that is not known there; nothing for graphs of other domains.
fn check(graph: &GraphProto, known: &dyn Fn(&str) -> bool) -> std::result::Result<usize, Option<Error>> {
    let mut count = graph.node.len();
    for node in &graph.node {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(None);
        }
        let finding = |what: String| Some(Error::unsupported(what).at(place(node)));
        let kind = shown(&node.op_type);
        if !known(&node.op_type) {
            return Err(finding(format!("operator {kind} of ai.onnx, which tract does not know either")));
        }
        if draws(node) {
            return Err(finding(format!("operator {kind} draws random numbers")));
        }
        for attribute in &node.attribute {
            if attribute.name == "training_mode" && attribute.i != 0 {
                return Err(finding("attribute training_mode".to_owned()));
            }
            if let Some(inner) = &attribute.g {
                count += check(inner, known)?;
            }
        }
    }
    Ok(count)
}

fn draws(node: &NodeProto) -> bool {
    node.op_type.starts_with("Random") || matches!(node.op_type.as_str(), "Multinomial" | "Bernoulli")
}

/// The number of rows that the inputs are declared for, if it is neither open nor one.
fn fixed_rows(graph: &GraphProto) -> Option<i64> {
    let rows = |info: &ValueInfoProto| {
        info.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim.first()?.dim_value.filter(|&size| size > 1)
    };
    let is_input = |name: &str| graph.initializer.iter().all(|tensor| tensor.name != name);
    graph.input.iter().filter(|info| is_input(&info.name)).find_map(rows)
}

/// Has tract compile a graph for one row.
fn compile(bytes: &[u8], inputs: &[Input]) -> Result<Arc<TypedSimplePlan>> {
    let types = inputs.iter().map(|input| datum_type(input.ty)).collect::<Result<Vec<_>>>()?;
    let compile = || {
        let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
        onnx.provider = Arc::new(NoFiles);
        let mut model = onnx.model_for_read(&mut Cursor::new(bytes))?;
        for (at, (input, ty)) in inputs.iter().zip(types).enumerate() {
            let shape: Vec<usize> = [1].into_iter().chain(input.tail.iter().copied()).collect();
            model.set_input_fact(at, InferenceFact::dt_shape(ty, &*shape))?;
        }
        model.into_optimized()?.into_runnable()
    };
    guarded(compile).map_err(|finding| Error::unsupported(finding).at("tract"))
}

/// Data in other files is not read.
struct NoFiles;

impl ModelDataResolver for NoFiles {
    fn read_bytes_from_path(&self, _: &mut Vec<u8>, path: &Path, _: usize, _: Option<usize>) -> TractResult<()> {
        Err(tract_onnx::prelude::TractError::msg(format!("data in another file, {}", path.display())))
    }
}

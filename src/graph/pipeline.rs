//! A pipeline as people look at it.

use serde::Serialize;

use super::{Body, Control, Graph, Node, Op};

/// What a pipeline takes, does and gives, in order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pipeline {
    /// Names of the inputs, with types and columns.
    pub inputs: Vec<String>,
    /// The operators, in the order they run. What depends on no input was computed at load.
    pub steps: Vec<Step>,
    /// Names of the outputs.
    pub outputs: Vec<String>,
}

/// An operator of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// What ONNX calls the operator.
    pub operator: String,
    /// Names of the values it reads; constants are left out.
    pub reads: Vec<String>,
    /// Names of the values it writes.
    pub writes: Vec<String>,
    /// More about it: trees of an ensemble, classes, the steps of a graph within it.
    pub detail: String,
}

impl Graph {
    /// The pipeline as people look at it.
    pub(crate) fn pipeline(&self) -> Pipeline {
        let input = |input: &super::Input| format!("{}: {} {:?}", input.name, input.ty.name(), input.tail);
        Pipeline {
            inputs: self.inputs.iter().map(input).collect(),
            steps: self.nodes.iter().map(|node| self.step(node)).collect(),
            outputs: self.outputs.iter().map(|output| output.name.clone()).collect(),
        }
    }

    fn step(&self, node: &Node) -> Step {
        let read = node.inputs.iter().flatten().filter(|&&value| self.constants[value].is_none());
        Step {
            operator: node.kind.clone(),
            reads: read.map(|&value| self.names[value].clone()).collect(),
            writes: node.outputs.iter().flatten().map(|&value| self.names[value].clone()).collect(),
            detail: self.detail(&node.op),
        }
    }

    fn detail(&self, op: &Op) -> String {
        let kinds = |body: &Body| body.nodes.iter().map(|node| node.kind.as_str()).collect::<Vec<_>>().join(", ");
        match op {
            Op::Ensemble(ensemble) => {
                let forest = &self.forests[ensemble.forest];
                format!("{} trees, {} leaves", forest.n_trees(), forest.n_leaves())
            }
            Op::LinearClassifier { classes, .. } => format!("{} classes", classes.len()),
            Op::OneHotEncoder(encoder) => format!("{} categories", encoder.n_categories),
            Op::Cast(to) => format!("to {}", to.name()),
            Op::Control(control) => match &**control {
                Control::Scan { body, .. } => format!("for each: {}", kinds(body)),
                Control::If { then, otherwise } => format!("then: {}; else: {}", kinds(then), kinds(otherwise)),
            },
            #[cfg(feature = "neural")]
            Op::Network(network) => format!("{} operators, run by tract", network.n_operators),
            _ => String::new(),
        }
    }
}

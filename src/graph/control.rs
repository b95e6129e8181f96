//! Graphs within the graph: `Scan` and `If`.
//!
//! Their values have places in the outer graph's slots, so a body sees what is around it without being handed it.

use super::ops::Inputs;
use super::tensor::{Tensor, axis};
use super::{Graph, Node, State};
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::ops::shape::take;

/// A part of a graph that runs many times or perhaps not at all.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    /// `Scan`, version 9 and later.
    Scan {
        body: Body,
        /// Inputs that are taken apart; the ones before them are state.
        n_scanned: usize,
        /// The axis along which each is taken apart, and whether backwards.
        input_axes: Vec<(i64, bool)>,
        /// The axis along which each output is put together, and whether backwards.
        output_axes: Vec<(i64, bool)>,
    },
    If {
        then: Body,
        otherwise: Body,
    },
}

/// Nodes with the values they take and give.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) inputs: Vec<usize>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<usize>,
}

impl Control {
    pub(super) fn bodies(&self) -> Vec<&Body> {
        match self {
            Self::Scan { body, .. } => vec![body],
            Self::If { then, otherwise } => vec![then, otherwise],
        }
    }

    pub(super) fn run(
        &self,
        graph: &Graph,
        node: &Node,
        state: &mut State,
        runner: &mut dyn Evaluator,
        outs: &mut [Tensor],
    ) -> Result<()> {
        match self {
            Self::Scan { body, n_scanned, input_axes, output_axes } => {
                scan(graph, node, (body, *n_scanned), [input_axes, output_axes], state, runner, outs)
            }
            Self::If { then, otherwise } => {
                let chosen = inputs(graph, node, state).get(0)?.scalar::<bool>()?;
                let body = if chosen { then } else { otherwise };
                graph.run_nodes(&body.nodes, state, runner)?;
                for (out, &value) in outs.iter_mut().zip(&body.outputs) {
                    out.copy(graph.value(value, state))?;
                }
                Ok(())
            }
        }
    }
}

fn inputs<'a>(graph: &'a Graph, node: &'a Node, state: &'a State) -> Inputs<'a> {
    Inputs { values: &node.inputs, constants: &graph.constants, slots: &state.slots }
}

fn scan(
    graph: &Graph,
    node: &Node,
    (body, n_scanned): (&Body, usize),
    axes: [&[(i64, bool)]; 2],
    state: &mut State,
    runner: &mut dyn Evaluator,
    outs: &mut [Tensor],
) -> Result<()> {
    let [input_axes, output_axes] = axes;
    let n_state = node.inputs.len() - n_scanned;
    for index in 0..n_state {
        let initial = inputs(graph, node, state).get(index)?.clone();
        state.slots[body.inputs[index]] = initial;
    }
    let mut length = None;
    for (index, (at, _)) in input_axes.iter().enumerate() {
        let x = inputs(graph, node, state).get(n_state + index)?;
        let size = x.shape.get(axis(*at, x.rank())?).copied().unwrap_or(1);
        if *length.get_or_insert(size) != size {
            return Err(Error::shape(format!("inputs scanned together have {size} and another number of elements")));
        }
    }
    let length = length.unwrap_or(0);
    let (final_state, scanned) = outs.split_at_mut(n_state.min(outs.len()));
    // The results of the steps, one after another; put in their places at the end.
    let mut results: Vec<Tensor> = vec![Tensor::default(); scanned.len()];
    for step in 0..length {
        for (index, (at, backwards)) in input_axes.iter().enumerate() {
            let step = if *backwards { length - 1 - step } else { step };
            let mut part = std::mem::take(&mut state.slots[body.inputs[n_state + index]]);
            one(inputs(graph, node, state).get(n_state + index)?, *at, step, &mut part)?;
            state.slots[body.inputs[n_state + index]] = part;
        }
        graph.run_nodes(&body.nodes, state, runner)?;
        for ((result, out), &value) in results.iter_mut().zip(scanned.iter()).zip(&body.outputs[n_state..]) {
            let part = graph.value(value, state);
            if step == 0 {
                result.start_like(part, &part.shape)?;
                // There must be room for all of them.
                let total = part.len().saturating_mul(length);
                if total > out.room {
                    return Err(Error::limit("elements of a value computed at load", total, out.room));
                }
            }
            if result.shape != part.shape {
                return Err(Error::shape(format!("steps give shapes {:?} and {:?}", result.shape, part.shape)));
            }
            result.append(part, 0..part.len())?;
        }
        // States in two moves, since one may be another's next.
        let next: Vec<Tensor> =
            body.outputs[..n_state].iter().map(|&value| graph.value(value, state).clone()).collect();
        for (tensor, &value) in next.into_iter().zip(&body.inputs) {
            state.slots[value] = tensor;
        }
    }
    for (out, &value) in final_state.iter_mut().zip(&body.inputs) {
        out.copy(&state.slots[value])?;
    }
    for ((out, result), (at, backwards)) in scanned.iter_mut().zip(&results).zip(output_axes) {
        together(result, length, *at, *backwards, out)?;
    }
    Ok(())
}

/// The element of `x` at `step` along an axis, without that axis.
fn one(x: &Tensor, at: i64, step: usize, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = super::tensor::around(&x.shape, at);
    let mut shape = x.shape.clone();
    shape.remove(at);
    take(x, &shape, (0..before).flat_map(|row| (0..after).map(move |column| (row * size + step) * after + column)), out)
}

/// Results of `length` steps, which lie one after another, along a new axis.
fn together(results: &Tensor, length: usize, at: i64, backwards: bool, out: &mut Tensor) -> Result<()> {
    let at = axis(at, results.rank() + 1)?;
    let part = results.len().checked_div(length).unwrap_or(0);
    let after: usize = results.shape[at..].iter().product();
    let before = part.checked_div(after).unwrap_or(0);
    let mut shape = results.shape.clone();
    shape.insert(at, length);
    let step = |step: usize| if backwards { length - 1 - step } else { step };
    let all = (0..before).flat_map(|row| {
        (0..length).flat_map(move |at| (0..after).map(move |column| step(at) * part + row * after + column))
    });
    take(results, &shape, all, out)
}

/// The first element of `x` along an axis, without that axis; `None` if there is none.
pub(crate) fn first_along(x: &Tensor, at: i64) -> Option<Tensor> {
    let mut first = Tensor::default();
    let size = x.shape.get(axis(at, x.rank()).ok()?)?;
    (*size > 0).then(|| one(x, at, 0, &mut first).ok()).flatten()?;
    Some(first)
}

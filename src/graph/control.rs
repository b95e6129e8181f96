//! Graphs within the graph: `Scan` and `If`.
//!
//! Their values have places in the outer graph's slots, so a body sees what is around it without being handed it.

use super::ops::broadcast::Dims;
use super::ops::elementwise::Binary;
use super::ops::reduce::Reduction;
use super::ops::shape::take;
use super::ops::{Inputs, Op};
use super::tensor::{Tensor, axis};
use super::{Evaluator, Graph, Node, State};
use crate::error::{Error, Result};

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
    /// The operator, known as a whole where it is one that converters write out; `constant` has the values that are always
    /// the same.
    pub(crate) fn into_op<'a>(self, constant: impl Fn(usize) -> Option<&'a Tensor>) -> Op {
        if self.is_distances(constant) { Op::Distances } else { Op::Control(Box::new(self)) }
    }

    /// Whether each step subtracts a row from all rows of a state that stays as it is, and adds up the squares.
    fn is_distances<'a>(&self, constant: impl Fn(usize) -> Option<&'a Tensor>) -> bool {
        let Self::Scan { body, n_scanned: 1, input_axes, output_axes } = self else { return false };
        let (&[state, row], &[next, result]) = (&*body.inputs, &*body.outputs) else { return false };
        let [subtract, square] = &*body.nodes else { return false };
        let Op::Reduce { how: Reduction::SumSquare, axes, keep: false, .. } = &square.op else { return false };
        let forward = [(0, false)];
        let columns = match *square.inputs {
            [_, Some(axes)] => constant(axes).is_some_and(|axes| axes.values::<i64>().is_ok_and(|axes| *axes == [1])),
            _ => *axes == [1],
        };
        matches!(subtract.op, Op::Binary(Binary::Sub))
            && [[Some(state), Some(row)], [Some(row), Some(state)]].contains(&[subtract.inputs[0], subtract.inputs[1]])
            && square.inputs[0] == subtract.outputs[0]
            && (next, Some(result)) == (state, square.outputs[0])
            && **input_axes == forward
            && **output_axes == forward
            && columns
    }

    pub(super) fn bodies(&self) -> Vec<&Body> {
        match self {
            Self::Scan { body, .. } => vec![body],
            Self::If { then, otherwise } => vec![then, otherwise],
        }
    }

    pub(super) fn bodies_mut(&mut self) -> impl Iterator<Item = &mut Body> {
        let (first, second) = match self {
            Self::Scan { body, .. } => (body, None),
            Self::If { then, otherwise } => (then, Some(otherwise)),
        };
        [Some(first), second].into_iter().flatten()
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
        write(state, body.inputs[index], |state, slot| slot.copy(inputs(graph, node, state).get(index)?))?;
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
    // The results of the steps, one after another, put in their places at the end; and states on their way.
    let mut spare = state.spares.pop().unwrap_or_default();
    spare.resize_with(spare.len().max(scanned.len() + n_state), Tensor::default);
    let (results, next) = spare.split_at_mut(scanned.len());
    let mut result = Ok(());
    if length == 0 {
        result = results.iter_mut().try_for_each(|result| result.start::<f32>(&[]).map(drop));
    }
    for step in 0..length {
        result =
            step_of_scan(graph, node, (body, n_state), (step, length, input_axes), state, runner, scanned, results)
                .and_then(|()| {
                    // States in two moves, since one may be another's next.
                    let moved = || body.inputs.iter().zip(&body.outputs[..n_state]).filter(|(now, next)| now != next);
                    for ((_, &value), next) in moved().zip(&mut *next) {
                        next.copy(graph.value(value, state))?;
                    }
                    moved().zip(&*next).try_for_each(|((&value, _), next)| state.slots[value].copy(next))
                });
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| {
        for (out, &value) in final_state.iter_mut().zip(&body.inputs) {
            out.copy(&state.slots[value])?;
        }
        for ((out, result), (at, backwards)) in scanned.iter_mut().zip(&*results).zip(output_axes) {
            together(result, length, *at, *backwards, out)?;
        }
        Ok(())
    });
    state.spares.push(spare);
    result
}

#[expect(clippy::too_many_arguments, reason = "the inside of a loop")]
fn step_of_scan(
    graph: &Graph,
    node: &Node,
    (body, n_state): (&Body, usize),
    (step, length, input_axes): (usize, usize, &[(i64, bool)]),
    state: &mut State,
    runner: &mut dyn Evaluator,
    scanned: &[Tensor],
    results: &mut [Tensor],
) -> Result<()> {
    for (index, (at, backwards)) in input_axes.iter().enumerate() {
        let step = if *backwards { length - 1 - step } else { step };
        write(state, body.inputs[n_state + index], |state, slot| {
            one(inputs(graph, node, state).get(n_state + index)?, *at, step, slot)
        })?;
    }
    graph.run_nodes(&body.nodes, state, runner)?;
    for ((result, out), &value) in results.iter_mut().zip(scanned).zip(&body.outputs[n_state..]) {
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
    Ok(())
}

/// Writes to a slot from others.
fn write(state: &mut State, slot: usize, write: impl FnOnce(&State, &mut Tensor) -> Result<()>) -> Result<()> {
    let mut value = std::mem::take(&mut state.slots[slot]);
    let result = write(state, &mut value);
    state.slots[slot] = value;
    result
}

/// The element of `x` at `step` along an axis, without that axis.
fn one(x: &Tensor, at: i64, step: usize, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = super::tensor::around(&x.shape, at);
    let mut shape = Dims::new(&x.shape)?;
    shape[at..].rotate_left(1);
    let shape = &shape[..x.rank() - 1];
    if at == 0 {
        out.start_like(x, shape)?;
        return out.append(x, step * after..(step + 1) * after);
    }
    take(x, shape, (0..before).flat_map(|row| (0..after).map(move |column| (row * size + step) * after + column)), out)
}

/// Results of `length` steps, which lie one after another, along a new axis.
fn together(results: &Tensor, length: usize, at: i64, backwards: bool, out: &mut Tensor) -> Result<()> {
    let at = axis(at, results.rank() + 1)?;
    let part = results.len().checked_div(length).unwrap_or(0);
    let after: usize = results.shape[at..].iter().product();
    let before = part.checked_div(after).unwrap_or(0);
    let mut shape = Dims::ones(results.rank() + 1)?;
    shape[..results.rank()].copy_from_slice(&results.shape);
    shape[at..].rotate_right(1);
    shape[at] = length;
    if at == 0 && !backwards {
        return out.copy_as(results, &shape);
    }
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

//! Pipelines: typed operators on batches of columns, around forests and linear models.
//!
//! A [`Graph`] is a list of nodes in the order they run. Every value has a number; constants are held by the graph, the
//! others live in the slots of a [`State`] that is reused from batch to batch, so that a warm run allocates nothing. A
//! graph knows no kernels: whoever runs it hands in a [`Evaluator`].
//!
//! Made by [`GraphBuilder`], which runs every node on made-up rows as it is added: what it learns that way are the types
//! and widths of values, and which operators meet types they do not know.

mod bind;
mod build;
mod control;
mod fold;
mod fuse;
pub(crate) mod ops;
mod pipeline;
mod slots;
pub(crate) mod tensor;

pub(crate) use build::GraphBuilder;
pub(crate) use control::{Body, Control, first_along};
pub use pipeline::{Pipeline, Step};

use crate::error::{Error, Result};
use crate::ir::eval::Storage;
use crate::ir::function::{Function, powers};
use crate::ir::normalization::Normalization;
use crate::ir::product::Product;
use crate::ir::{Float, Forest};
use crate::rows::{Batch, Dense};
use crate::schema::Classes;
use ops::forest::Tail;
use ops::{Inputs, Op, Tools, Work};
use tensor::{Data, Tensor, Type};

/// Evaluates the forests of a graph, its products of matrices and its functions of many numbers.
pub(crate) trait Evaluator {
    /// The forest at `index`.
    fn forest(&self, index: usize) -> &Forest;
    /// Writes the margins of all rows of a forest that sums in f32.
    fn margins_f32(&mut self, index: usize, rows: &Batch<'_>, margins: &mut [f32]);
    /// Writes the margins of all rows of a forest that sums in f64.
    fn margins_f64(&mut self, index: usize, rows: &Batch<'_>, margins: &mut [f64]);
    /// Writes the sums of a product.
    fn product_f32(&mut self, product: &Product<'_, f32>, sums: &mut [f32]);
    /// As [`product_f32`](Self::product_f32).
    fn product_f64(&mut self, product: &Product<'_, f64>, sums: &mut [f64]);
    /// The function of each value, in place.
    fn function(&mut self, function: Function, values: &mut [f32]);
    /// Powers of all numbers, in place, by the exponents of their columns.
    fn powers(&mut self, rows: &mut [f32], exponents: &[f32]);
    /// Normalises rows in their place.
    fn normalize(&mut self, normalization: &Normalization<'_>, rows: &mut [f32]);
}

/// A loaded pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<OutputValue>,
    nodes: Vec<Node>,
    /// By number of value, the constants.
    constants: Vec<Option<Tensor>>,
    /// By number of value, its name, and the type of what it holds where that is known; none once values share slots.
    names: Vec<String>,
    types: Vec<Option<Type>>,
    /// Places for values.
    n_slots: usize,
    forests: Vec<Forest>,
}

/// Columns that come in together as one value.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) value: usize,
    pub(crate) ty: Type,
    /// Sizes of the dimensions behind the rows; none for a list of rows.
    pub(crate) tail: Vec<usize>,
}

impl Input {
    /// Columns of a row.
    pub(crate) fn n_columns(&self) -> usize {
        self.tail.iter().product()
    }
}

/// A value that comes out.
#[derive(Clone, Debug)]
pub(crate) struct OutputValue {
    pub(crate) name: String,
    pub(crate) value: usize,
    /// Numbers of a row; 1 where that depends on the rows.
    pub(crate) n_columns: usize,
    /// What they are; f32 where that depends on the rows.
    pub(crate) ty: Type,
    /// What its columns stand for, if they are the scores of classes.
    pub(crate) classes: Option<Classes>,
}

/// An operator with the numbers of the values it reads and writes.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// What ONNX calls the operator.
    pub(crate) kind: String,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Option<usize>>,
    /// `None` for outputs that nobody wants.
    pub(crate) outputs: Vec<Option<usize>>,
}

/// What may be computed while a graph is loaded: a file decides what that is.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// Elements that may still be read and written.
    fuel: usize,
    /// Bytes that values may still take.
    bytes: usize,
}

/// Elements read and written while a graph is loaded.
const MAX_FUEL: usize = 1 << 29;

/// Bytes of an element at most, strings apart.
const ELEMENT_BYTES: usize = 8;

/// Values of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) slots: Vec<Tensor>,
    outs: Vec<Vec<Tensor>>,
    /// Values of graphs within the graph, between their steps.
    spares: Vec<Vec<Tensor>>,
    work: Work,
    /// While a graph is loaded.
    budget: Option<Budget>,
}

impl Graph {
    pub(crate) fn forests(&self) -> &[Forest] {
        &self.forests
    }

    /// The forest this graph is, if it is no more than that: rows of f32 or f64, or columns, into one tree ensemble whose
    /// labels and values are the outputs.
    pub(crate) fn into_forest(mut self) -> std::result::Result<Forest, Box<Self>> {
        let is_forest = || {
            let (first, last) = match &*self.nodes {
                [last] => (None, last),
                [first, last] => (Some(first), last),
                _ => return None,
            };
            let Op::Ensemble(ensemble) = &last.op else { return None };
            let inputs: Vec<Option<usize>> = self.inputs.iter().map(|input| Some(input.value)).collect();
            let is_of = |types: &[Type]| self.inputs.iter().all(|input| types.contains(&input.ty));
            let (rows, wide) = match (first, &*inputs) {
                (None, [rows]) => (*rows, is_of(&[Type::F64])),
                (Some(Node { op: Op::Cast(Type::F32), inputs: read, outputs, .. }), [rows]) if read[..] == [*rows] => {
                    (*outputs.first()?, false)
                }
                // Columns that come in one by one.
                (Some(Node { op: Op::Concat { axis: 1 }, inputs: read, outputs, .. }), all) if read[..] == *all => {
                    (*outputs.first()?, is_of(&[Type::F64]))
                }
                _ => return None,
            };
            let fits = (is_of(&[Type::F32]) || is_of(&[Type::F64]))
                && self.inputs.iter().all(|input| input.tail.len() == 1)
                && last.inputs[..] == [rows]
                && (ensemble.input == Float::F32 || wide)
                && ensemble.sum == Float::F32
                && matches!(ensemble.tail, Tail::Regular)
                && self.forests[ensemble.forest].n_features()
                    == self.inputs.iter().map(Input::n_columns).sum::<usize>()
                && self.outputs.iter().map(|output| Some(output.value)).eq(last.outputs.iter().copied())
                && last.outputs.len() == 1 + usize::from(ensemble.classes.is_some());
            fits.then_some(ensemble.forest)
        };
        match is_forest() {
            Some(index) => Ok(self.forests.swap_remove(index)),
            None => Err(Box::new(self)),
        }
    }

    /// The output that predictions hold unless another is asked for: the last that depends on the rows.
    pub(crate) fn default_output(&self) -> usize {
        self.outputs.iter().rposition(|output| self.depends_on_rows(output)).unwrap_or(self.outputs.len() - 1)
    }

    /// Whether an output is not always the same.
    pub(crate) fn depends_on_rows(&self, output: &OutputValue) -> bool {
        self.constants[output.value].is_none()
    }

    /// The graph that computes only `output`, ready to run.
    pub(crate) fn only(mut self, output: usize) -> Self {
        let outputs = vec![self.outputs.swap_remove(output)];
        let nodes = build::needed(self.nodes, &outputs, self.n_slots);
        Self { outputs, nodes, ..self }.share_slots()
    }

    /// Makes room in `state` for the values of this graph.
    pub(crate) fn prepare(&self, state: &mut State) {
        if state.slots.len() < self.n_slots {
            state.slots.resize(self.n_slots, Tensor::default());
        }
    }

    /// Runs all nodes; the inputs' slots hold the rows.
    ///
    /// # Errors
    /// An error that names the node, where its inputs are not what it takes.
    pub(crate) fn run(&self, state: &mut State, runner: &mut dyn Evaluator) -> Result<()> {
        self.run_nodes(&self.nodes, state, runner)
    }

    /// A value of a run.
    pub(crate) fn value<'a>(&'a self, value: usize, state: &'a State) -> &'a Tensor {
        self.constants[value].as_ref().unwrap_or_else(|| &state.slots[value])
    }

    fn run_nodes(&self, nodes: &[Node], state: &mut State, runner: &mut dyn Evaluator) -> Result<()> {
        let run = |node: &Node| self.run_node(node, state, runner).map_err(|error| error.at(node.place()));
        nodes.iter().try_for_each(run)
    }

    fn run_node(&self, node: &Node, state: &mut State, runner: &mut dyn Evaluator) -> Result<()> {
        // Outputs are taken out of their slots while inputs are read there.
        let mut outs = state.outs.pop().unwrap_or_default();
        outs.extend(
            node.outputs
                .iter()
                .map(|value| value.map_or_else(Tensor::default, |value| std::mem::take(&mut state.slots[value]))),
        );
        if let Some(budget) = &mut state.budget {
            budget.bytes += outs.iter().map(Tensor::n_bytes).sum::<usize>();
            outs.iter_mut().for_each(|out| out.room = budget.bytes / ELEMENT_BYTES);
        }
        let result = match &node.op {
            Op::Control(control) => control.run(self, node, state, runner, &mut outs),
            op => {
                let inputs = Inputs { values: &node.inputs, constants: &self.constants, slots: &state.slots };
                op.run(&inputs, &mut outs, &mut Tools { runner, work: &mut state.work })
            }
        };
        if let Some(budget) = &mut state.budget {
            let read = node.inputs.iter().flatten().map(|&value| match &self.constants[value] {
                Some(constant) => constant.len(),
                None => state.slots[value].len(),
            });
            let cost = 1 + read.sum::<usize>() + outs.iter().map(Tensor::len).sum::<usize>();
            let bytes = outs.iter().map(Tensor::n_bytes).sum();
            let left = budget.fuel.checked_sub(cost).zip(budget.bytes.checked_sub(bytes));
            let (fuel, bytes) = left.ok_or_else(|| Error::limit("values computed at load", "more", MAX_FUEL))?;
            *budget = Budget { fuel, bytes };
            // At run time the rows decide.
            outs.iter_mut().for_each(|out| out.room = Tensor::default().room);
        }
        for (out, value) in outs.drain(..).zip(&node.outputs) {
            if let Some(value) = value {
                state.slots[*value] = out;
            }
        }
        state.outs.push(outs);
        result
    }
}

impl Node {
    /// What errors call the node.
    pub(crate) fn place(&self) -> String {
        if self.name.is_empty() {
            format!("node {}", self.kind)
        } else {
            format!("node {:?} ({})", self.name, self.kind)
        }
    }

    /// The values that graphs within the node write.
    fn writes(&self) -> Vec<usize> {
        let Op::Control(control) = &self.op else { return Vec::new() };
        let of_body = |body: &&Body| {
            let nodes = body.nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied().chain(node.writes()));
            body.inputs.iter().copied().chain(nodes).collect::<Vec<_>>()
        };
        control.bodies().iter().flat_map(of_body).collect()
    }

    /// The values that the node and graphs within it read.
    fn reads(&self) -> Vec<usize> {
        let mut read: Vec<usize> = self.inputs.iter().flatten().copied().collect();
        if let Op::Control(control) = &self.op {
            for body in control.bodies() {
                read.extend(&body.outputs);
                read.extend(body.nodes.iter().flat_map(Self::reads));
            }
        }
        read
    }
}

/// Runs forests, products and functions with the reference evaluators.
pub(crate) struct Reference<'a>(pub(crate) &'a [Forest]);

impl Evaluator for Reference<'_> {
    fn forest(&self, index: usize) -> &Forest {
        &self.0[index]
    }

    fn margins_f32(&mut self, index: usize, rows: &Batch<'_>, margins: &mut [f32]) {
        let sums = margins.chunks_exact_mut(self.0[index].n_outputs().max(1));
        sums.zip(rows_of(rows)).for_each(|(sums, row)| {
            sums.copy_from_slice(&self.0[index].eval_margins::<f32>(&row, Storage::Dense));
        });
    }

    fn margins_f64(&mut self, index: usize, rows: &Batch<'_>, margins: &mut [f64]) {
        let sums = margins.chunks_exact_mut(self.0[index].n_outputs().max(1));
        sums.zip(rows_of(rows)).for_each(|(sums, row)| {
            sums.copy_from_slice(&self.0[index].eval_margins::<f64>(&row, Storage::Dense));
        });
    }

    fn product_f32(&mut self, product: &Product<'_, f32>, sums: &mut [f32]) {
        product.eval(sums);
    }

    fn product_f64(&mut self, product: &Product<'_, f64>, sums: &mut [f64]) {
        product.eval(sums);
    }

    fn function(&mut self, function: Function, values: &mut [f32]) {
        function.apply(values);
    }

    fn powers(&mut self, rows: &mut [f32], exponents: &[f32]) {
        powers(rows, exponents);
    }

    fn normalize(&mut self, normalization: &Normalization<'_>, rows: &mut [f32]) {
        normalization.apply(rows);
    }
}

fn rows_of(rows: &Batch<'_>) -> Vec<Vec<f64>> {
    match rows {
        Batch::Dense(Dense::F32(view)) => {
            view.rows().into_iter().map(|row| row.iter().map(|&value| value.into()).collect()).collect()
        }
        Batch::Dense(Dense::F64(view)) => view.rows().into_iter().map(|row| row.to_vec()).collect(),
        Batch::Sparse(_) => unreachable!("graphs hand over dense rows"),
    }
}

/// What a value that comes out holds; of a sequence, what its parts do.
pub(crate) fn type_of(value: &Tensor) -> Type {
    match &value.data {
        Data::Tensors(parts) => parts.first().map_or(Type::F32, type_of),
        _ => value.ty(),
    }
}

/// Numbers of a row of a value that comes out; the parts of a sequence side by side.
pub(crate) fn n_columns(value: &Tensor) -> usize {
    match (&value.data, &*value.shape) {
        (Data::Tensors(parts), _) => parts.iter().map(n_columns).sum(),
        (_, [] | [_]) => 1,
        (_, [rows, ..]) => value.len().checked_div(*rows).unwrap_or(1),
    }
}

/// An error for a value that does not come out as rows.
pub(crate) fn not_rows(name: &str, shape: &[usize], rows: usize) -> Error {
    Error::shape(format!("output {name:?} has shape {shape:?} for {rows} rows"))
}

//! The way to a [`Graph`]: node by node, each run on made-up rows as it comes.
//!
//! What depends on no input is thereby computed once and for all. Of the other values types and widths are known, as far
//! as they do not depend on the rows. A file decides what is computed here, so it is bounded.

use super::tensor::{Data, Tensor, Type};
use super::{Budget, Graph, Input, MAX_FUEL, Node, OutputValue, Reference, State};
use crate::error::Result;
use crate::ir::Forest;
use crate::strings::Strings;

/// Rows made up to learn from.
const SAMPLE_ROWS: usize = 2;

/// Builds a [`Graph`].
pub(crate) struct GraphBuilder {
    pub(super) graph: Graph,
    state: State,
    /// Whether the slot of a value holds what the made-up rows give.
    known: Vec<bool>,
}

impl GraphBuilder {
    /// A graph of nothing; the values of its nodes on the made-up rows may take so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let graph = Graph {
            inputs: Vec::new(),
            outputs: Vec::new(),
            nodes: Vec::new(),
            constants: Vec::new(),
            names: Vec::new(),
            types: Vec::new(),
            n_slots: 0,
            forests: Vec::new(),
        };
        let budget = Some(Budget { fuel: MAX_FUEL, bytes: max_bytes });
        let state = State { budget, ..State::default() };
        Self { graph, state, known: Vec::new() }
    }

    /// A value of which nothing is known.
    pub(crate) fn value(&mut self, name: &str) -> usize {
        self.graph.names.push(name.to_owned());
        self.graph.constants.push(None);
        self.state.slots.push(Tensor::default());
        self.known.push(false);
        self.known.len() - 1
    }

    /// A value that is always the same.
    pub(crate) fn constant(&mut self, name: &str, tensor: Tensor) -> usize {
        let value = self.value(name);
        self.graph.constants[value] = Some(tensor);
        value
    }

    /// A value that rows are put into; `tail` are the sizes of its dimensions behind the rows.
    pub(crate) fn input(&mut self, name: &str, ty: Type, tail: Vec<usize>) -> usize {
        let value = self.value(name);
        let shape = [&[SAMPLE_ROWS], &*tail].concat();
        let total = shape.iter().product();
        let data = match ty {
            Type::F32 => Data::F32(vec![0.0; total]),
            Type::F64 => Data::F64(vec![0.0; total]),
            Type::I32 => Data::I32(vec![0; total]),
            Type::I64 => Data::I64(vec![0; total]),
            Type::Bool => Data::Bool(vec![false; total]),
            Type::Text => Data::Text(vec![""; total].into_iter().collect::<Strings>()),
            Type::Tensor => Data::Tensors(Vec::new()),
        };
        self.learn(value, Tensor::of(shape, data));
        self.graph.inputs.push(Input { name: name.to_owned(), value, ty, tail });
        value
    }

    /// Values so far.
    pub(super) fn n_values(&self) -> usize {
        self.known.len()
    }

    /// The inputs so far.
    #[cfg(feature = "neural")]
    pub(crate) fn inputs(&self) -> &[Input] {
        &self.graph.inputs
    }

    /// Says what the made-up rows give for a value.
    pub(crate) fn learn(&mut self, value: usize, sample: Tensor) {
        self.state.slots[value] = sample;
        self.known[value] = true;
    }

    /// The value if it is always the same.
    pub(crate) fn as_constant(&self, value: usize) -> Option<&Tensor> {
        self.graph.constants[value].as_ref()
    }

    /// What the made-up rows give for a value, if that is known; it has the type and width of what any rows give.
    pub(crate) fn sample(&self, value: usize) -> Option<&Tensor> {
        self.as_constant(value).or_else(|| Some(&self.state.slots[value]).filter(|_| self.known[value]))
    }

    /// Adds a forest and returns its number.
    pub(crate) fn forest(&mut self, forest: Forest) -> usize {
        self.graph.forests.push(forest);
        self.graph.forests.len() - 1
    }

    /// Runs `node`. Returns it if it must run with every batch; otherwise its outputs are constants now.
    ///
    /// # Errors
    /// What the node says of types it does not know, and anything at all that it says of constants.
    pub(crate) fn rehearse(&mut self, node: Node) -> Result<Option<Node>> {
        let (bodies, mut read) = (node.writes(), node.reads());
        read.retain(|value| !bodies.contains(value));
        if read.iter().any(|&value| self.sample(value).is_none()) {
            return Ok(Some(node));
        }
        let constant = read.iter().all(|&value| self.as_constant(value).is_some());
        // The forests are lent to the evaluator while the graph runs.
        let forests = std::mem::take(&mut self.graph.forests);
        let result = self.graph.run_node(&node, &mut self.state, &mut Reference(&forests));
        self.graph.forests = forests;
        match result {
            Ok(()) => {}
            Err(error) if constant || !error.is_shape() => return Err(error),
            // Rows of zeros may be none that the node can do anything with.
            Err(_) => return Ok(Some(node)),
        }
        for &value in node.outputs.iter().flatten() {
            self.known[value] = true;
            if constant {
                self.graph.constants[value] = Some(std::mem::take(&mut self.state.slots[value]));
            }
        }
        Ok(if constant { None } else { Some(node) })
    }

    /// The graph of `nodes`, in the order they run, without those that no output needs.
    pub(crate) fn finish(self, nodes: Vec<Node>, outputs: Vec<OutputValue>) -> Graph {
        let mut graph = self.graph;
        let nodes = needed(nodes, &outputs, self.known.len());
        let types = self.known.iter().zip(&self.state.slots).map(|(&known, sample)| known.then(|| sample.ty()));
        (graph.types, graph.n_slots) = (types.collect(), self.known.len());
        (graph.nodes, graph.outputs) = (nodes, outputs);
        graph
    }
}

/// The nodes that `outputs` need, of a graph of so many values.
pub(super) fn needed(mut nodes: Vec<Node>, outputs: &[OutputValue], n_values: usize) -> Vec<Node> {
    let wanted = wanted(&nodes, outputs, n_values);
    nodes.retain(|node| node.outputs.iter().flatten().any(|&value| wanted[value]));
    nodes
}

/// For each of so many values whether `outputs` need it.
pub(super) fn wanted(nodes: &[Node], outputs: &[OutputValue], n_values: usize) -> Vec<bool> {
    let mut wanted = vec![false; n_values];
    outputs.iter().for_each(|output| wanted[output.value] = true);
    for node in nodes.iter().rev() {
        if node.outputs.iter().flatten().any(|&value| wanted[value]) {
            node.reads().into_iter().for_each(|value| wanted[value] = true);
        }
    }
    wanted
}

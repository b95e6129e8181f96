//! Memory planned at load: values that never live at the same time share a slot.
//!
//! Nodes run in order, so a value lives from the node that writes it to the last one that reads it, and slots are handed
//! out as registers are to the variables of a straight piece of code. The working memory of a graph is thereby that of
//! the values which live at once. A slot keeps its memory, so it is shared among values of one type only; one whose type
//! is not known shares with nobody.

use super::tensor::Type;
use super::{Body, Graph, Node, Op};

/// When a value lives, in steps of the graph, and what it holds.
#[derive(Clone, Copy)]
struct Life {
    first: usize,
    last: usize,
    ty: Option<Type>,
}

/// Goes through the nodes and follows the lives of values.
struct Lives {
    /// By number of value; `None` for constants, and before it is written.
    of: Vec<Option<Life>>,
    types: Vec<Option<Type>>,
    step: usize,
}

impl Graph {
    /// Renumbers values by the slots they share; constants come behind them.
    pub(super) fn share_slots(mut self) -> Self {
        self.nodes.iter_mut().for_each(|node| name_outputs(node, &mut self.types));
        let mut lives = Lives { of: vec![None; self.types.len()], types: std::mem::take(&mut self.types), step: 0 };
        self.inputs.iter().for_each(|input| lives.write(input.value));
        lives.nodes(&self.nodes);
        lives.step = usize::MAX;
        self.outputs.iter().for_each(|output| lives.read(output.value));
        let (mut slots, n_slots) = lives.share();
        let mut constants = vec![None; n_slots];
        for (value, constant) in self.constants.into_iter().enumerate() {
            if let Some(constant) = constant {
                slots[value] = constants.len();
                constants.push(Some(constant));
            }
        }
        self.inputs.iter_mut().for_each(|input| input.value = slots[input.value]);
        self.outputs.iter_mut().for_each(|output| output.value = slots[output.value]);
        self.nodes.iter_mut().for_each(|node| renumber(node, &slots));
        Self { constants, n_slots, names: Vec::new(), ..self }
    }
}

/// Gives outputs that nobody wants a place too, lest they take new memory in every run.
fn name_outputs(node: &mut Node, types: &mut Vec<Option<Type>>) {
    for output in node.outputs.iter_mut().filter(|output| output.is_none()) {
        *output = Some(types.len());
        types.push(None);
    }
    bodies(node).for_each(|body| body.nodes.iter_mut().for_each(|node| name_outputs(node, types)));
}

fn renumber(node: &mut Node, slots: &[usize]) {
    let values = node.inputs.iter_mut().chain(&mut node.outputs).flatten();
    values.for_each(|value| *value = slots[*value]);
    for body in bodies(node) {
        body.inputs.iter_mut().chain(&mut body.outputs).for_each(|value| *value = slots[*value]);
        body.nodes.iter_mut().for_each(|node| renumber(node, slots));
    }
}

fn bodies(node: &mut Node) -> impl Iterator<Item = &mut Body> {
    let control = if let Op::Control(control) = &mut node.op { Some(control) } else { None };
    control.into_iter().flat_map(|control| control.bodies_mut())
}

impl Lives {
    fn write(&mut self, value: usize) {
        let (first, ty) = (self.step, self.types[value]);
        self.of[value].get_or_insert(Life { first, last: first, ty });
    }

    /// Constants are never written, and have no life.
    fn read(&mut self, value: usize) {
        if let Some(life) = &mut self.of[value] {
            life.last = life.last.max(self.step);
        }
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.step += 1;
            let begin = self.step;
            node.outputs.iter().flatten().for_each(|&value| self.write(value));
            if let Op::Control(control) = &node.op {
                for body in control.bodies() {
                    body.inputs.iter().for_each(|&value| self.write(value));
                    self.nodes(&body.nodes);
                    self.step += 1;
                    // What is carried from step to step, and what is around the body, is there until its end.
                    body.inputs.iter().chain(&body.outputs).for_each(|&value| self.read(value));
                }
            }
            for value in node.reads() {
                if self.of[value].is_some_and(|life| life.first < begin) {
                    self.read(value);
                }
            }
            // Outputs are written when all has been read.
            node.outputs.iter().flatten().for_each(|&value| self.read(value));
        }
    }

    /// For every value its slot, and the number of slots.
    fn share(&self) -> (Vec<usize>, usize) {
        let mut order: Vec<(usize, Life)> =
            self.of.iter().enumerate().filter_map(|(value, life)| Some((value, (*life)?))).collect();
        order.sort_by_key(|(_, life)| life.first);
        let (mut slots, mut held) = (vec![usize::MAX; self.of.len()], Vec::<Life>::new());
        for (value, life) in order {
            let free = |held: &Life| life.ty.is_some() && held.ty == life.ty && held.last < life.first;
            slots[value] = held.iter().position(free).unwrap_or_else(|| {
                held.push(life);
                held.len() - 1
            });
            held[slots[value]] = life;
        }
        (slots, held.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::ops::Op;
    use crate::graph::ops::elementwise::Unary;
    use crate::graph::tensor::Type;
    use crate::graph::{GraphBuilder, Node, OutputValue};

    #[test]
    fn values_that_do_not_live_at_once_share_slots() {
        let mut builder = GraphBuilder::new(1 << 20);
        let input = builder.input("x", Type::F32, vec![3]);
        let (mut nodes, mut last) = (Vec::new(), input);
        for at in 0..10 {
            let next = builder.value("");
            // In the middle another type.
            let op = match at {
                4 => Op::Cast(Type::F64),
                _ => Op::Unary(Unary::Neg),
            };
            let node = Node {
                name: String::new(),
                kind: String::new(),
                op,
                inputs: vec![Some(last)],
                outputs: vec![Some(next)],
            };
            nodes.extend(builder.rehearse(node).unwrap());
            last = next;
        }
        let output = OutputValue { name: String::new(), value: last, n_columns: 3, ty: Type::F64, classes: None };
        let graph = builder.finish(nodes, vec![output]).only(0);
        // Of each type one that is read and one that is written.
        assert_eq!(graph.n_slots, 4);
    }
}

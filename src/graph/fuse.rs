//! Layers: products of matrices joined with what is added to their columns, with their normalisation and the activation
//! behind.
//!
//! A network is written as `MatMul`, `Add`, `Relu`, and so on again; run one by one, each goes through all the memory of
//! its values. Joined, they compute the same numbers in the same order, while those are at hand.

use super::ops::Op;
use super::ops::elementwise::{Binary, Unary};
use super::ops::linear::Gemm;
use super::ops::normalization::bring_together;
use super::tensor::{Tensor, Type};
use super::{GraphBuilder, Node, OutputValue};
use crate::ir::function::Function;

impl GraphBuilder {
    /// Joins nodes whose results go nowhere else.
    pub(crate) fn fuse_layers(&mut self, nodes: Vec<Node>, outputs: &[OutputValue]) -> Vec<Node> {
        let nodes = self.activations(nodes, outputs);
        let readers = self.readers(&nodes, outputs);
        // By value, the product that gives it to one node alone.
        let mut products: Vec<Option<usize>> = vec![None; self.n_values()];
        let mut fused: Vec<Node> = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            self.make_product(&mut node);
            let product = node.inputs.iter().flatten().find_map(|&value| products[value]);
            let at = match product {
                Some(at) if self.join(&mut fused[at], &node) => at,
                _ => {
                    fused.push(node);
                    fused.len() - 1
                }
            };
            if let (Op::Gemm(_), [Some(value)]) = (&fused[at].op, &*fused[at].outputs)
                && readers[*value] == 1
            {
                products[*value] = Some(at);
            }
        }
        fused
    }

    /// For each value how often nodes and outputs read it.
    fn readers(&self, nodes: &[Node], outputs: &[OutputValue]) -> Vec<usize> {
        let mut readers = vec![0; self.n_values()];
        outputs.iter().for_each(|output| readers[output.value] += 1);
        nodes.iter().flat_map(Node::reads).for_each(|value| readers[value] += 1);
        readers
    }

    /// Puts one node in the place of several that PyTorch writes for an activation.
    fn activations(&self, nodes: Vec<Node>, outputs: &[OutputValue]) -> Vec<Node> {
        let readers = self.readers(&nodes, outputs);
        let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
        let mut makers: Vec<Option<usize>> = vec![None; self.n_values()];
        for at in 0..nodes.len() {
            let Some(node) = &nodes[at] else { continue };
            let found = self.silu(node, &nodes, &makers).or_else(|| self.gelu(node, &nodes, &makers));
            if let Some((function, x, parts)) = found
                && parts.iter().all(|&part| nodes[part].as_ref().is_some_and(|part| is_private(part, &readers)))
                && self.sample(x).map(Tensor::ty) == Some(Type::F32)
            {
                let kinds: Vec<String> = parts.iter().filter_map(|&part| Some(nodes[part].take()?.kind)).collect();
                if let Some(node) = &mut nodes[at] {
                    node.kind = format!("{}, {}", kinds.join(", "), node.kind);
                    node.op = Op::Unary(Unary::Function(function));
                    node.inputs = vec![Some(x)];
                }
            }
            if let Some(Node { outputs, .. }) = &nodes[at] {
                outputs.iter().flatten().for_each(|&value| makers[value] = Some(at));
            }
        }
        nodes.into_iter().flatten().collect()
    }

    /// `x * Sigmoid(x)`: the function, its argument, and the nodes before this one that are part of it.
    fn silu(&self, node: &Node, nodes: &[Option<Node>], makers: &[Option<usize>]) -> Option<Found> {
        let [a, b] = operands(node, Binary::Mul)?;
        [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
            let at = makers[gate]?;
            let maker = nodes[at].as_ref()?;
            let is_gate = matches!(maker.op, Op::Unary(Unary::Sigmoid)) && maker.inputs[..] == [Some(x)];
            is_gate.then(|| (Function::MlasSilu, x, vec![at]))
        })
    }

    /// `x * (Erf(x / sqrt(2)) + 1) * 0.5`, as [`silu`](Self::silu).
    fn gelu(&self, node: &Node, nodes: &[Option<Node>], makers: &[Option<usize>]) -> Option<Found> {
        let maker = |value: usize| makers[value].and_then(|at| Some((at, nodes[at].as_ref()?)));
        let (product, _) = self.with_constant(node, Binary::Mul, 0.5)?;
        let (product_at, product) = maker(product)?;
        let [a, b] = operands(product, Binary::Mul)?;
        [(a, b), (b, a)].into_iter().find_map(|(x, sum)| {
            let (sum_at, sum) = maker(sum)?;
            let (erf_at, erf) = maker(self.with_constant(sum, Binary::Add, 1.0)?.0)?;
            let (Op::Unary(Unary::Erf), [Some(quotient)]) = (&erf.op, &*erf.inputs) else { return None };
            let (quotient_at, quotient) = maker(*quotient)?;
            let (argument, is_first) = self.with_constant(quotient, Binary::Div, std::f32::consts::SQRT_2)?;
            (argument == x && is_first).then(|| (Function::Gelu, x, vec![quotient_at, erf_at, sum_at, product_at]))
        })
    }

    /// What the operator joins with this constant, and whether that is its first operand.
    fn with_constant(&self, node: &Node, op: Binary, constant: f32) -> Option<(usize, bool)> {
        let [a, b] = operands(node, op)?;
        let is_constant = |value: usize| {
            let tensor = self.as_constant(value)?;
            Some(tensor.rank() == 0 && tensor.values::<f32>().ok()? == [constant])
        };
        match (is_constant(a), is_constant(b)) {
            (_, Some(true)) => Some((a, true)),
            (Some(true), _) => Some((b, false)),
            _ => None,
        }
    }

    /// Makes a product by a constant matrix what products of layers are.
    fn make_product(&self, node: &mut Node) {
        let rank =
            |at: usize| node.inputs.get(at).copied().flatten().and_then(|value| self.sample(value)).map(Tensor::rank);
        let (Op::MatMul, Some(2), Some(2), &[_, Some(b)]) = (&node.op, rank(0), rank(1), &*node.inputs) else { return };
        if self.as_constant(b).is_some() {
            node.op = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false, activation: None });
        }
    }

    /// Makes `node`, which reads the result of `product`, a part of it, if it can be.
    fn join(&mut self, product: &mut Node, node: &Node) -> bool {
        let Op::Gemm(gemm) = &mut product.op else { return false };
        let (Some(value), None) = (product.outputs[0], gemm.activation) else { return false };
        if self.sample(value).map(Tensor::ty) != Some(Type::F32) {
            return false;
        }
        let n_columns = product.inputs[1]
            .and_then(|matrix| self.as_constant(matrix)?.shape.get(usize::from(!gemm.trans_b)).copied());
        let is_row = |c: &Tensor| matches!(*c.shape, [n] | [1, n] if Some(n) == n_columns);
        match (&node.op, &*node.inputs) {
            (Op::Unary(op), _) if op.is_activation() => gemm.activation = Some(*op),
            (Op::Binary(Binary::Add), &[Some(a), Some(b)]) if product.inputs.len() == 2 => {
                let offsets = if a == value { b } else { a };
                if !self.as_constant(offsets).is_some_and(is_row) {
                    return false;
                }
                gemm.beta = 1.0;
                product.inputs.push(Some(offsets));
            }
            (Op::BatchNormalization { epsilon }, _) if product.inputs.len() <= 3 && gemm.alpha == 1.0 => {
                let of_columns = |&value: &Option<usize>| self.as_constant(value?).filter(|c| is_row(c))?.values().ok();
                let columns: Option<Vec<&[f32]>> = node.inputs[1..].iter().map(of_columns).collect();
                let Some(Ok(columns)) = columns.map(<[&[f32]; 4]>::try_from) else { return false };
                let offsets = product.inputs.get(2).copied().flatten();
                if offsets.is_some_and(|c| gemm.beta != 1.0 || !self.as_constant(c).is_some_and(is_row)) {
                    return false;
                }
                let mut factors = Vec::new();
                bring_together(columns, *epsilon, &mut factors);
                let shifts = factors.split_off(factors.len() / 2);
                product.inputs.resize(3, None);
                product.inputs.extend([factors, shifts].map(|list| Some(self.constant("", Tensor::list(list)))));
            }
            _ => return false,
        }
        product.kind = format!("{}, {}", product.kind, node.kind);
        product.outputs.clone_from(&node.outputs);
        true
    }
}

/// A function, its argument, and the nodes that are part of it.
type Found = (Function, usize, Vec<usize>);

/// The two inputs of an operator.
fn operands(node: &Node, op: Binary) -> Option<[usize; 2]> {
    match (&node.op, &*node.inputs) {
        (Op::Binary(found), &[Some(a), Some(b)]) if *found == op => Some([a, b]),
        _ => None,
    }
}

/// Whether one node alone reads what this one gives.
fn is_private(node: &Node, readers: &[usize]) -> bool {
    node.outputs.iter().flatten().all(|&value| readers[value] == 1)
}

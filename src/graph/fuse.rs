//! Layers: products of matrices joined with what is added to their columns and with the activation behind.
//!
//! A network is written as `MatMul`, `Add`, `Relu`, and so on again; run one by one, each goes through all the memory of
//! its values. Joined, they compute the same numbers in the same order, while those are at hand.

use super::ops::Op;
use super::ops::elementwise::Binary;
use super::ops::linear::Gemm;
use super::tensor::{Tensor, Type};
use super::{GraphBuilder, Node, OutputValue};

impl GraphBuilder {
    /// Joins nodes whose results go nowhere else.
    pub(crate) fn fuse_layers(&self, nodes: Vec<Node>, outputs: &[OutputValue]) -> Vec<Node> {
        let mut readers = vec![0; self.n_values()];
        outputs.iter().for_each(|output| readers[output.value] += 1);
        for node in &nodes {
            let mut read = vec![false; self.n_values()];
            node.reads(&mut read);
            (0..read.len()).filter(|&value| read[value]).for_each(|value| readers[value] += 1);
        }
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
    fn join(&self, product: &mut Node, node: &Node) -> bool {
        let Op::Gemm(gemm) = &mut product.op else { return false };
        let (Some(value), None) = (product.outputs[0], gemm.activation) else { return false };
        if self.sample(value).map(Tensor::ty) != Some(Type::F32) {
            return false;
        }
        match (&node.op, &*node.inputs) {
            (Op::Unary(op), _) if op.is_activation() => gemm.activation = Some(*op),
            (Op::Binary(Binary::Add), &[Some(a), Some(b)]) if product.inputs.len() == 2 => {
                let offsets = if a == value { b } else { a };
                let n_columns = product.inputs[1]
                    .and_then(|matrix| self.as_constant(matrix)?.shape.get(usize::from(!gemm.trans_b)));
                let Some(&columns) = n_columns else { return false };
                if !self.as_constant(offsets).is_some_and(|c| matches!(*c.shape, [n] | [1, n] if n == columns)) {
                    return false;
                }
                gemm.beta = 1.0;
                product.inputs.push(Some(offsets));
            }
            _ => return false,
        }
        product.kind = format!("{}, {}", product.kind, node.kind);
        product.outputs.clone_from(&node.outputs);
        true
    }
}

//! Running a pipeline over a batch.

use super::{Output, Predictions, Scratch, Values};
use crate::error::Result;
use crate::graph::tensor::{Data, Tensor};
use crate::graph::{Evaluator, Graph, Pipeline, Reference, State, not_rows};
use crate::ir::function::Function;
use crate::ir::normalization::Normalization;
use crate::ir::product::Product;
use crate::ir::{Facts, Forest};
use crate::kernel::{BLOCK_ROWS, Buffers, Calculate};
use crate::load::Source;
use crate::plan::{Plan, Runner};
use crate::rows::{Batch, Table};
use crate::schema::Schema;

/// A model that is a graph. It runs on the caller's thread.
pub(super) struct Piped {
    pub(super) schema: Schema,
    pub(super) source: Source,
    /// Computes one output.
    pub(super) graph: Graph,
    /// The whole pipeline as people look at it.
    pub(super) pipeline: Pipeline,
    pub(super) facts: Facts,
    pub(super) plan: Plan,
    pub(super) runners: Vec<Runner>,
    pub(super) calculator: Box<dyn Calculate>,
    pub(super) output: Output,
    /// A digest of what the answers follow from.
    pub(super) fingerprint: Option<u128>,
}

/// The kernels of a graph.
struct Kernels<'a> {
    forests: &'a [Forest],
    runners: &'a [Runner],
    calculator: &'a dyn Calculate,
    buffers: &'a mut Buffers,
}

impl Evaluator for Kernels<'_> {
    fn forest(&self, index: usize) -> &Forest {
        &self.forests[index]
    }

    fn margins_f32(&mut self, index: usize, rows: &Batch<'_>, margins: &mut [f32]) {
        let Runner::F32(kernel) = &self.runners[index] else { unreachable!("planned for sums in f32") };
        let width = self.forests[index].n_outputs();
        for (block, margins) in margins.chunks_mut(BLOCK_ROWS * width).enumerate() {
            let first = block * BLOCK_ROWS;
            kernel.margins(rows, first..first + margins.len() / width, margins, self.buffers);
        }
        self.forests[index].finish_margins(margins);
    }

    fn margins_f64(&mut self, index: usize, rows: &Batch<'_>, margins: &mut [f64]) {
        let Runner::F64(kernel) = &self.runners[index] else { unreachable!("planned for sums in f64") };
        let width = self.forests[index].n_outputs();
        for (block, margins) in margins.chunks_mut(BLOCK_ROWS * width).enumerate() {
            let first = block * BLOCK_ROWS;
            kernel.margins(rows, first..first + margins.len() / width, margins, self.buffers);
        }
        self.forests[index].finish_margins(margins);
    }

    fn product_f32(&mut self, product: &Product<'_, f32>, sums: &mut [f32]) {
        self.calculator.product_f32(product, &mut self.buffers.staged_f32, sums);
    }

    fn product_f64(&mut self, product: &Product<'_, f64>, sums: &mut [f64]) {
        self.calculator.product_f64(product, &mut self.buffers.staged_f64, sums);
    }

    fn function(&mut self, function: Function, values: &mut [f32]) {
        self.calculator.function(function, values);
    }

    fn powers(&mut self, rows: &mut [f32], exponents: &[f32]) {
        self.calculator.powers(rows, exponents);
    }

    fn normalize(&mut self, normalization: &Normalization<'_>, rows: &mut [f32]) {
        self.calculator.normalize(normalization, rows);
    }
}

impl Piped {
    pub(super) fn predict(
        &self,
        table: &Table<'_>,
        predictions: &mut Predictions,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if scratch.states.is_empty() {
            scratch.states.push(Default::default());
        }
        let (state, buffers) = &mut scratch.states[0];
        let (forests, runners, calculator) = (self.graph.forests(), &*self.runners, &*self.calculator);
        let mut kernels = Kernels { forests, runners, calculator, buffers };
        self.run(table, predictions, state, &mut kernels)
    }

    /// As [`predict`](Self::predict), with the reference evaluator in place of kernels.
    pub(super) fn predict_by_reference(&self, table: &Table<'_>) -> Result<Predictions> {
        let mut predictions = Predictions::default();
        let mut reference = Reference(self.graph.forests());
        self.run(table, &mut predictions, &mut State::default(), &mut reference)?;
        Ok(predictions)
    }

    fn run(
        &self,
        table: &Table<'_>,
        predictions: &mut Predictions,
        state: &mut State,
        runner: &mut dyn Evaluator,
    ) -> Result<()> {
        let n_rows = table.n_rows();
        let output = &self.graph.outputs[0];
        if n_rows == 0 {
            // Operators need not know what to do without rows.
            predictions.n_rows = 0;
            predictions.n_columns = output.n_columns;
            let mut none = Tensor::default();
            none.start_as(output.ty, &[0, output.n_columns])?;
            write(&none, 0, &mut predictions.values);
            return Ok(());
        }
        self.graph.prepare(state);
        self.graph.bind(table, 0..n_rows, state)?;
        self.graph.run(state, runner)?;
        let value = self.graph.value(output.value, state);
        predictions.n_rows = n_rows;
        predictions.n_columns = write(value, n_rows, &mut predictions.values)
            .ok_or_else(|| not_rows(&output.name, &value.shape, n_rows))?;
        Ok(())
    }
}

/// Writes a value as predictions and returns the number of columns; `None` if it is not rows.
fn write(value: &Tensor, n_rows: usize, values: &mut Values) -> Option<usize> {
    if let Data::Tensors(parts) = &value.data {
        return write_parts(parts, n_rows, values);
    }
    let (rows, columns) = match &*value.shape {
        [] => (1, 1),
        // One label a row, though not along the first dimension.
        [1, n] if *n == n_rows => (n_rows, 1),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    };
    if rows != n_rows {
        return None;
    }
    macro_rules! copy {
        ($variant:ident, $from:expr) => {{
            if !matches!(values, Values::$variant(_)) {
                *values = Values::$variant(Default::default());
            }
            if let Values::$variant(values) = values {
                values.clear();
                values.extend($from);
            }
        }};
    }
    match &value.data {
        Data::F32(from) => copy!(F32, from.iter().copied()),
        Data::F64(from) => copy!(F64, from.iter().copied()),
        Data::I32(from) => copy!(I32, from.iter().copied()),
        Data::I64(from) => copy!(I64, from.iter().copied()),
        Data::Bool(from) => copy!(I32, from.iter().map(|&value| i32::from(value))),
        Data::Text(from) => copy!(Text, from.iter()),
        Data::Tensors(_) => return None,
    }
    Some(columns)
}

/// Writes the values of a sequence side by side.
fn write_parts(parts: &[Tensor], n_rows: usize, values: &mut Values) -> Option<usize> {
    if parts.iter().any(|part| part.matrix_shape().0 != n_rows) {
        return None;
    }
    let of_row = |values: usize| values.checked_div(n_rows).unwrap_or(0);
    let width: usize = parts.iter().map(|part| of_row(part.len())).sum();
    macro_rules! side_by_side {
        ($variant:ident, $element:ty) => {{
            if !matches!(values, Values::$variant(_)) {
                *values = Values::$variant(Default::default());
            }
            let Values::$variant(values) = values else { return None };
            values.clear();
            values.resize(n_rows * width, Default::default());
            let mut first = 0;
            for part in parts {
                let (from, of_part) = (part.values::<$element>().ok()?, of_row(part.len()));
                for (to, from) in values.chunks_exact_mut(width.max(1)).zip(from.chunks_exact(of_part.max(1))) {
                    to[first..first + of_part].copy_from_slice(from);
                }
                first += of_part;
            }
        }};
    }
    match parts.first()?.data {
        Data::F32(_) => side_by_side!(F32, f32),
        Data::F64(_) => side_by_side!(F64, f64),
        Data::I32(_) => side_by_side!(I32, i32),
        Data::I64(_) => side_by_side!(I64, i64),
        Data::Bool(_) | Data::Text(_) | Data::Tensors(_) => return None,
    }
    Some(width)
}

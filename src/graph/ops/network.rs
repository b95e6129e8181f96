//! A neural network, run whole by tract.
//!
//! Rows go in one by one: what tract gives for a row among others has other last bits, depending on its place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::{DatumType, IntoTValue, TValue, Tensor as Array, TractResult, TypedSimplePlan};

use super::Inputs;
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Tensor, Type};

/// A graph that tract has compiled for one row. Its inputs and outputs are all those of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) plan: Arc<TypedSimplePlan>,
    /// Operators of the file's graph.
    pub(crate) n_operators: usize,
}

impl Network {
    /// Runs the network.
    ///
    /// # Errors
    /// A shape error with what tract says of the rows.
    pub(crate) fn run(&self, x: &Inputs<'_>, outs: &mut [Tensor]) -> Result<()> {
        let n_rows = x.get(0)?.shape.first().copied().unwrap_or(0);
        for row in 0..n_rows {
            let inputs = (0..x.len()).map(|index| row_of(x.get(index)?, row)).collect::<Result<_>>()?;
            let found = guarded(|| self.plan.run(inputs)).map_err(|finding| Error::shape(finding).at("tract"))?;
            for (out, found) in outs.iter_mut().zip(&found) {
                append(out, found, row, n_rows)?;
            }
        }
        Ok(())
    }
}

/// What tract answers, or what it says is wrong; a panic of its own is one of the ways to say it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.root_cause().to_string().replace('\n', " ")),
        Err(_) => Err("a panic".to_owned()),
    }
}

/// How tract calls a type that it takes in.
pub(crate) fn datum_type(ty: Type) -> Result<DatumType> {
    match ty {
        Type::F32 => Ok(DatumType::F32),
        Type::F64 => Ok(DatumType::F64),
        Type::I32 => Ok(DatumType::I32),
        Type::I64 => Ok(DatumType::I64),
        Type::Bool => Ok(DatumType::Bool),
        Type::Text | Type::Tensor => Err(Error::unsupported(format!("{} into a neural network", ty.name()))),
    }
}

/// A row as tract has it.
fn row_of(x: &Tensor, row: usize) -> Result<TValue> {
    let mut shape = x.shape.clone();
    shape[0] = 1;
    let width: usize = shape.iter().product();
    let range = row * width..(row + 1) * width;
    let array = match &x.data {
        Data::F32(values) => Array::from_shape(&shape, &values[range]),
        Data::F64(values) => Array::from_shape(&shape, &values[range]),
        Data::I32(values) => Array::from_shape(&shape, &values[range]),
        Data::I64(values) => Array::from_shape(&shape, &values[range]),
        Data::Bool(values) => Array::from_shape(&shape, &values[range]),
        Data::Text(_) | Data::Tensors(_) => return Err(datum_type(x.ty()).expect_err("no type of tract's")),
    };
    Ok(array.map_err(|error| Error::shape(error.to_string()))?.into_tvalue())
}

/// Adds what tract gave for a row to `out`, which has `n_rows` of them in the end.
fn append(out: &mut Tensor, found: &TValue, row: usize, n_rows: usize) -> Result<()> {
    let part = from_tract(found)?;
    let [1, rest @ ..] = &*part.shape else {
        return Err(Error::shape(format!("an output of shape {:?} for one row", part.shape)));
    };
    if row == 0 {
        out.start_like(&part, &[&[n_rows], rest].concat())?;
    }
    out.append(&part, 0..part.len())
}

/// A value of tract's as a value of a graph.
fn from_tract(value: &TValue) -> Result<Tensor> {
    let shape = value.shape();
    let none = |error: tract_onnx::prelude::TractError| Error::unsupported(error.to_string());
    // Sizes are a type of their own there.
    let sizes;
    let value: &Array = match value.datum_type() {
        DatumType::TDim => {
            sizes = value.cast_to::<i64>().map_err(none)?;
            &sizes
        }
        _ => value,
    };
    let elements = value.try_as_plain_ram().map_err(none)?;
    Ok(match value.datum_type() {
        DatumType::F32 => Tensor::new(shape, elements.as_slice::<f32>().map_err(none)?.to_vec()),
        DatumType::F64 => Tensor::new(shape, elements.as_slice::<f64>().map_err(none)?.to_vec()),
        DatumType::I32 => Tensor::new(shape, elements.as_slice::<i32>().map_err(none)?.to_vec()),
        DatumType::I64 => Tensor::new(shape, elements.as_slice::<i64>().map_err(none)?.to_vec()),
        DatumType::Bool => Tensor::new(shape, elements.as_slice::<bool>().map_err(none)?.to_vec()),
        other => return Err(Error::unsupported(format!("{other:?} out of a neural network"))),
    })
}

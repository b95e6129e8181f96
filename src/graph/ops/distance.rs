//! Distances of all pairs of rows, which converters write as a `Scan`: what finds the nearest neighbours is mostly this.

use super::Inputs;
use super::linear::Number;
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::tensor::{Data, Tensor};
use crate::ir::product::{Product, Term};

/// The first input as it is, and for each row of the second its squared distances from all rows of the first. Each is
/// summed in the order of the columns, nothing fused.
pub(super) fn squared(x: &Inputs<'_>, runner: &mut dyn Evaluator, outs: &mut [Tensor]) -> Result<()> {
    let [same, out] = outs else { return Err(Error::invalid_model("a scan without two outputs")) };
    let (those, of) = (x.get(0)?, x.get(1)?);
    let ([n, columns], [rows, columns_of]) = (&*those.shape, &*of.shape) else {
        return Err(Error::shape(format!("distances between shapes {:?} and {:?}", those.shape, of.shape)));
    };
    if columns != columns_of {
        return Err(Error::shape(format!("distances between rows of {columns} and of {columns_of} columns")));
    }
    let size = (*rows, *columns, *n);
    match (&those.data, &of.data) {
        (Data::F32(those), Data::F32(of)) => pairs(those, of, size, runner, out.fill(&[*rows, *n], 0.0)?),
        (Data::F64(those), Data::F64(of)) => pairs(those, of, size, runner, out.fill(&[*rows, *n], 0.0)?),
        _ => return Err(Error::unsupported(format!("distances of {} and {}", those.ty().name(), of.ty().name()))),
    }
    same.copy(those)
}

fn pairs<T: Number>(those: &[T], of: &[T], size: (usize, usize, usize), runner: &mut dyn Evaluator, out: &mut [T]) {
    if !out.is_empty() {
        let (part, term) = (usize::MAX, Term::SquaredDifference);
        let product =
            Product { a: of, b: those, size, turned: true, part, term, offsets: None, scaled: None, rectified: false };
        T::multiply(runner, &product, out);
    }
}

//! Squared distances of all pairs of rows: what converters write as a `Scan` over rows, subtracting, squaring, adding.

use super::Inputs;
use super::elementwise::Float;
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Tensor};

/// Distances computed side by side.
const LANES: usize = 16;

/// Working memory: rows turned over, as many as there are lanes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panels {
    narrow: Vec<[f32; LANES]>,
    wide: Vec<[f64; LANES]>,
}

/// The first input as it is, and for each row of the second its squared distances from all rows of the first. Each is
/// summed in the order of the columns, nothing fused.
pub(super) fn squared(x: &Inputs<'_>, panels: &mut Panels, outs: &mut [Tensor]) -> Result<()> {
    let [same, out] = outs else { return Err(Error::invalid_model("a scan without two outputs")) };
    let (those, of) = (x.get(0)?, x.get(1)?);
    let ([n, columns], [rows, columns_of]) = (&*those.shape, &*of.shape) else {
        return Err(Error::shape(format!("distances between shapes {:?} and {:?}", those.shape, of.shape)));
    };
    if columns != columns_of {
        return Err(Error::shape(format!("distances between rows of {columns} and of {columns_of} columns")));
    }
    match (&those.data, &of.data) {
        (Data::F32(those), Data::F32(of)) => {
            pairs(those, of, *columns, &mut panels.narrow, out.fill(&[*rows, *n], 0.0)?);
        }
        (Data::F64(those), Data::F64(of)) => {
            pairs(those, of, *columns, &mut panels.wide, out.fill(&[*rows, *n], 0.0)?);
        }
        _ => return Err(Error::unsupported(format!("distances of {} and {}", those.ty().name(), of.ty().name()))),
    }
    same.copy(those)
}

fn pairs<T: Float>(those: &[T], of: &[T], columns: usize, panel: &mut Vec<[T; LANES]>, out: &mut [T]) {
    if columns == 0 {
        return;
    }
    let n = those.len() / columns;
    for first in (0..n).step_by(LANES) {
        let count = LANES.min(n - first);
        panel.clear();
        panel.resize(columns, [T::ZERO; LANES]);
        for (lane, row) in those[first * columns..][..count * columns].chunks_exact(columns).enumerate() {
            panel.iter_mut().zip(row).for_each(|(lanes, &value)| lanes[lane] = value);
        }
        for (row, out) in of.chunks_exact(columns).zip(out.chunks_exact_mut(n)) {
            let mut sums = [T::ZERO; LANES];
            for (lanes, &value) in panel.iter().zip(row) {
                for lane in 0..LANES {
                    let off = lanes[lane] - value;
                    sums[lane] += off * off;
                }
            }
            out[first..first + count].copy_from_slice(&sums[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_summed_in_order() {
        let those: Vec<f32> = (0..18 * 3).map(|at| (at as f32 * 0.7).sin() * 1e3).collect();
        let of: Vec<f32> = (0..2 * 3).map(|at| (at as f32).cos()).collect();
        let mut out = vec![0.0; 2 * 18];
        pairs(&those, &of, 3, &mut Vec::new(), &mut out);
        for (at, found) in out.into_iter().enumerate() {
            let squares = those[at % 18 * 3..].iter().zip(&of[at / 18 * 3..][..3]).map(|(a, b)| (a - b) * (a - b));
            assert_eq!(found, squares.fold(0.0, |sum, square| sum + square));
        }
    }
}

//! Elements picked by their places, and written to places: indices that a value holds.

use super::broadcast::Dims;
use super::shape::{strided, take};
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Element, Tensor, around, axis};

/// `index`, which may count from the end, among `size` elements.
fn position(index: i64, size: usize) -> Result<usize> {
    let counted = if index < 0 { index + size as i64 } else { index };
    usize::try_from(counted)
        .ok()
        .filter(|&at| at < size)
        .ok_or_else(|| Error::shape(format!("index {index} among {size} elements")))
}

fn positions(indices: &Tensor, size: usize, found: &mut Vec<usize>) -> Result<()> {
    found.clear();
    indices.integers()?.try_for_each(|index| {
        found.push(position(index, size)?);
        Ok(())
    })
}

pub(super) fn gather(x: &Tensor, indices: &Tensor, at: i64, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = around(&x.shape, at);
    let indexed = indices.integers()?;
    indexed.clone().try_for_each(|index| position(index, size).map(drop))?;
    let mut shape = Dims::ones(x.rank() + indices.rank() - 1)?;
    let sizes = x.shape[..at].iter().chain(&indices.shape).chain(&x.shape[at + 1..]);
    shape.iter_mut().zip(sizes).for_each(|(to, &size)| *to = size);
    let positions = indexed.map(move |index| if index < 0 { index + size as i64 } else { index } as usize);
    let dims = (before, size, after);
    match &x.data {
        Data::F32(values) => blocks_at(values, positions, dims, out.start(&shape)?),
        Data::F64(values) => blocks_at(values, positions, dims, out.start(&shape)?),
        Data::I64(values) => blocks_at(values, positions, dims, out.start(&shape)?),
        _ => {
            let all = (0..before).flat_map(|row| {
                let blocks = positions.clone().map(move |position| (row * size + position) * after);
                blocks.flat_map(move |first| first..first + after)
            });
            take(x, &shape, all, out)?;
        }
    }
    Ok(())
}

/// Of each row of `size` blocks of `after` elements the blocks at `positions`.
fn blocks_at<T: Element>(
    values: &[T],
    positions: impl ExactSizeIterator<Item = usize> + Clone,
    (before, size, after): (usize, usize, usize),
    out: &mut Vec<T>,
) {
    let rows = values.chunks_exact((size * after).max(1)).take(before);
    if after == 1 {
        picked(values, size, before, positions, out);
    } else {
        rows.for_each(|row| positions.clone().for_each(|at| out.extend_from_slice(&row[at * after..][..after])));
    }
}

/// Elements that the nearest cache holds several times.
const NEAR: usize = 1 << 10;

/// Rows that are not worth going through by columns.
const FEW: usize = 8;

/// Of each of `n` rows of `size` elements those at `positions`.
fn picked<T: Element>(
    values: &[T],
    size: usize,
    n: usize,
    positions: impl ExactSizeIterator<Item = usize> + Clone,
    out: &mut Vec<T>,
) {
    let count = positions.len();
    if count == size && positions.clone().enumerate().all(|(at, position)| at == position) {
        out.extend_from_slice(&values[..n * size]);
        return;
    }
    let values = &values[..n * size];
    let rows_at_once = NEAR / size.max(count).max(1);
    if rows_at_once < FEW {
        values.chunks_exact(size.max(1)).for_each(|row| out.extend(positions.clone().map(|at| row[at])));
        return;
    }
    out.resize(n * count, T::default());
    // Column by column, of as many rows as stay in the nearest cache.
    let rows = values.chunks((rows_at_once * size).max(1));
    for (rows, out) in rows.zip(out.chunks_mut((rows_at_once * count).max(1))) {
        for (column, position) in positions.clone().enumerate() {
            let picked = rows[position..].iter().step_by(size);
            out[column..].iter_mut().step_by(count).zip(picked).for_each(|(to, &from)| *to = from);
        }
    }
}

/// The last dimension's elements at `indices`; a list counts as one row.
pub(super) fn array_feature_extractor(x: &Tensor, indices: &Tensor, out: &mut Tensor) -> Result<()> {
    let size = *x.shape.last().ok_or_else(|| Error::shape("features taken of a scalar"))?;
    let count = indices.len();
    if let Some(index) = indices.integers()?.find(|&index| usize::try_from(index).map_or(true, |index| index >= size)) {
        return Err(Error::shape(format!("feature {index} of {size}")));
    }
    let mut dims = Dims::new(&x.shape)?;
    let last = dims.len() - 1;
    dims[last] = count;
    if x.rank() == 1 {
        dims = Dims::new(&[1, count])?;
    }
    match (&x.data, &indices.data) {
        (Data::F32(values), Data::I64(columns)) => {
            let columns = columns.iter().map(|&column| column as usize);
            picked(values, size, values.len() / size.max(1), columns, out.start(&dims)?);
        }
        (Data::F64(values), Data::I64(columns)) => {
            let columns = columns.iter().map(|&column| column as usize);
            picked(values, size, values.len() / size.max(1), columns, out.start(&dims)?);
        }
        (Data::I64(values), Data::I64(columns)) => {
            let columns = columns.iter().map(|&column| column as usize);
            picked(values, size, values.len() / size.max(1), columns, out.start(&dims)?);
        }
        _ => {
            let (rows, columns) = (x.len() / size.max(1), indices.integers()?);
            let all = (0..rows).flat_map(|row| columns.clone().map(move |column| row * size + column as usize));
            take(x, &dims, all, out)?;
        }
    }
    Ok(())
}

pub(super) fn gather_elements(
    x: &Tensor,
    indices: &Tensor,
    at: i64,
    found: &mut Vec<usize>,
    out: &mut Tensor,
) -> Result<()> {
    let at = axis(at, x.rank())?;
    if indices.rank() != x.rank() {
        return Err(Error::shape(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    positions(indices, x.shape[at], found)?;
    let mut strides = [0; 16];
    for (axis, stride) in strides.iter_mut().enumerate().take(x.rank()) {
        *stride = if axis == at { 0 } else { around(&x.shape, axis).2 };
    }
    let inside = indices.shape.iter().zip(&x.shape).enumerate().all(|(axis, (a, b))| axis == at || a <= b);
    if !inside {
        return Err(Error::shape(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    let dims = Dims::new(&indices.shape)?;
    let after = around(&x.shape, at).2;
    let all = strided(&dims, &strides).zip(&*found).map(|(base, position)| base + position * after);
    take(x, &dims, all, out)
}

/// Puts the offsets into `x` of the blocks that the last dimension of `indices` points at into `offsets`, and returns the
/// size of a block.
fn blocks(x: &Tensor, indices: &Tensor, offsets: &mut Vec<usize>) -> Result<usize> {
    let depth = indices.shape.last().copied().unwrap_or(0);
    if depth == 0 || depth > x.rank() {
        return Err(Error::shape(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    let block = x.shape[depth..].iter().product();
    offsets.clear();
    let (mut offset, mut sizes) = (0, x.shape[..depth].iter());
    for index in indices.integers()? {
        // Sizes begin anew with each list of coordinates.
        let size = sizes.next().copied().unwrap_or(1);
        offset = offset * size + position(index, size)?;
        if sizes.len() == 0 {
            offsets.push(offset * block);
            (offset, sizes) = (0, x.shape[..depth].iter());
        }
    }
    Ok(block)
}

pub(super) fn gather_nd(x: &Tensor, indices: &Tensor, offsets: &mut Vec<usize>, out: &mut Tensor) -> Result<()> {
    let block = blocks(x, indices, offsets)?;
    let depth = indices.shape.last().copied().unwrap_or(0);
    let (outer, inner) = (&indices.shape[..indices.rank() - 1], &x.shape[depth..]);
    let mut shape = Dims::ones(outer.len() + inner.len())?;
    shape.iter_mut().zip(outer.iter().chain(inner)).for_each(|(to, &size)| *to = size);
    take(x, &shape, offsets.iter().flat_map(|&offset| offset..offset + block), out)
}

/// Writes the elements of `updates` over those of `out` at `targets`.
fn scatter(out: &mut Tensor, updates: &Tensor, targets: impl Iterator<Item = usize>) -> Result<()> {
    fn put<T: Element>(out: &mut [T], updates: &[T], targets: impl Iterator<Item = usize>) {
        targets.zip(updates).for_each(|(at, &value)| out[at] = value);
    }
    match (&mut out.data, &updates.data) {
        (Data::F32(out), Data::F32(updates)) => put(out, updates, targets),
        (Data::F64(out), Data::F64(updates)) => put(out, updates, targets),
        (Data::I32(out), Data::I32(updates)) => put(out, updates, targets),
        (Data::I64(out), Data::I64(updates)) => put(out, updates, targets),
        (Data::Bool(out), Data::Bool(updates)) => put(out, updates, targets),
        _ => return Err(Error::unsupported(format!("{} written over {}", updates.ty().name(), out.ty().name()))),
    }
    Ok(())
}

pub(super) fn scatter_nd(
    x: &Tensor,
    indices: &Tensor,
    updates: &Tensor,
    offsets: &mut Vec<usize>,
    out: &mut Tensor,
) -> Result<()> {
    let block = blocks(x, indices, offsets)?;
    out.copy(x)?;
    scatter(out, updates, offsets.iter().flat_map(|&offset| offset..offset + block))
}

pub(super) fn scatter_elements(
    x: &Tensor,
    indices: &Tensor,
    updates: &Tensor,
    at: i64,
    found: &mut Vec<usize>,
    out: &mut Tensor,
) -> Result<()> {
    let at = axis(at, x.rank())?;
    let inside = indices.rank() == x.rank()
        && indices.shape == updates.shape
        && indices.shape.iter().zip(&x.shape).enumerate().all(|(axis, (a, b))| axis == at || a <= b);
    if !inside {
        return Err(Error::shape(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    positions(indices, x.shape[at], found)?;
    let mut strides = [0; 16];
    for (axis, stride) in strides.iter_mut().enumerate().take(x.rank()) {
        *stride = if axis == at { 0 } else { around(&x.shape, axis).2 };
    }
    let (dims, after) = (Dims::new(&indices.shape)?, around(&x.shape, at).2);
    out.copy(x)?;
    scatter(out, updates, strided(&dims, &strides).zip(&*found).map(|(base, position)| base + position * after))
}

/// The elements along an axis (or of all, flattened) where `condition` holds.
pub(super) fn compress(
    x: &Tensor,
    condition: &Tensor,
    at: Option<i64>,
    chosen: &mut Vec<usize>,
    out: &mut Tensor,
) -> Result<()> {
    let places = condition.values::<bool>()?.iter().enumerate().filter(|(_, chosen)| **chosen);
    chosen.clear();
    chosen.extend(places.map(|(at, _)| at));
    let flat = [x.len()];
    let (shape, at) = match at {
        Some(at) => (&*x.shape, axis(at, x.rank())?),
        None => (&flat[..], 0),
    };
    let (before, size, after) = around(shape, at);
    if chosen.last().is_some_and(|&last| last >= size) {
        return Err(Error::shape(format!("{} conditions for {size} elements", condition.len())));
    }
    let mut dims = Dims::new(shape)?;
    dims[at] = chosen.len();
    let all = (0..before).flat_map(|row| {
        chosen.iter().flat_map(move |&position| (0..after).map(move |column| (row * size + position) * after + column))
    });
    take(x, &dims, all, out)
}

/// Coordinates of the elements that are not zero, one column each.
pub(super) fn non_zero(x: &Tensor, found: &mut Vec<usize>, out: &mut Tensor) -> Result<()> {
    match &x.data {
        Data::F32(values) => places(values, found),
        Data::F64(values) => places(values, found),
        Data::I32(values) => places(values, found),
        Data::I64(values) => places(values, found),
        Data::Bool(values) => places(values, found),
        Data::Text(_) | Data::Tensors(_) => {
            return Err(Error::unsupported(format!("no zeros among {}", x.ty().name())));
        }
    }
    let coordinates = out.start::<i64>(&[x.rank(), found.len()])?;
    for at in 0..x.rank() {
        let (_, size, after) = around(&x.shape, at);
        coordinates.extend(found.iter().map(|&place| (place / after % size) as i64));
    }
    Ok(())
}

fn places<T: Element>(values: &[T], found: &mut Vec<usize>) {
    found.clear();
    found.extend(values.iter().enumerate().filter(|(_, value)| **value != T::default()).map(|(at, _)| at));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_picked_where_numpy_has_them() {
        let (x, mut out) = (Tensor::new(&[2, 3], (0..6).collect::<Vec<i64>>()), Tensor::default());
        gather(&x, &Tensor::new(&[], vec![-1i64]), 1, &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![2i64, 5]));
        let work = &mut Vec::new();
        gather_elements(&x, &Tensor::new(&[2, 1], vec![2i64, 0]), 1, work, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 1], vec![2i64, 3]));
        gather_nd(&x, &Tensor::new(&[1, 2], vec![1i64, 2]), work, &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![5i64]));
        non_zero(&x, work, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 5], vec![0i64, 0, 1, 1, 1, 1, 2, 0, 1, 2]));
        gather(&x, &Tensor::list(vec![1i64, -2]), 0, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 3], vec![3i64, 4, 5, 0, 1, 2]));
    }
}

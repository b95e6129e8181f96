//! Operators that rearrange elements and compute with shapes.

use super::Inputs;
use super::elementwise::{Dims, broadcast, broadcast_indices};
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Element, Tensor, Type, around, axis, checked_total};

/// `Reshape`: -1 takes what is left, 0 keeps a size unless `allow_zero`.
pub(super) fn reshape(x: &Tensor, sizes: &Tensor, allow_zero: bool, out: &mut Tensor) -> Result<()> {
    let sizes = sizes.integers()?;
    let mut dims = Dims::ones(sizes.len())?;
    let mut open = None;
    for (at, size) in sizes.enumerate() {
        dims[at] = match size {
            -1 if open.is_none() => {
                open = Some(at);
                1
            }
            0 if !allow_zero => *x.shape.get(at).ok_or_else(|| Error::shape("a size to keep that is not there"))?,
            size => usize::try_from(size).map_err(|_| Error::shape(format!("a size of {size}")))?,
        };
    }
    let known = checked_total(&dims)?;
    if let Some(at) = open {
        dims[at] = x.len().checked_div(known).unwrap_or(0);
    }
    if checked_total(&dims)? != x.len() {
        return Err(Error::shape(format!(
            "{} elements of shape {:?} do not take the shape {:?}",
            x.len(),
            x.shape,
            &*dims
        )));
    }
    out.copy_as(x, &dims)
}

pub(super) fn flatten(x: &Tensor, at: i64, out: &mut Tensor) -> Result<()> {
    let at = if at == x.rank() as i64 { x.rank() } else { axis(at, x.rank())? };
    let (rows, columns) = (x.shape[..at].iter().product(), x.shape[at..].iter().product());
    out.copy_as(x, &[rows, columns])
}

/// Drops the dimensions `axes`, or all of size 1.
pub(super) fn squeeze(x: &Tensor, axes: Option<&[i64]>, out: &mut Tensor) -> Result<()> {
    let (mut shape, mut rank) = (Dims::ones(x.rank())?, 0);
    let mut dropped = [false; 8];
    for &at in axes.unwrap_or_default() {
        dropped[axis(at, x.rank())?] = true;
    }
    for (at, &size) in x.shape.iter().enumerate() {
        let drop = if axes.is_some() { dropped[at] } else { size == 1 };
        if drop && size != 1 {
            return Err(Error::shape(format!("a dimension of size {size} cannot be dropped")));
        }
        if !drop {
            shape[rank] = size;
            rank += 1;
        }
    }
    out.copy_as(x, &shape[..rank])
}

/// Adds dimensions of size 1 that are then `axes`.
pub(super) fn unsqueeze(x: &Tensor, axes: &[i64], out: &mut Tensor) -> Result<()> {
    let rank = x.rank() + axes.len();
    let (mut shape, mut added) = (Dims::ones(rank)?, [false; 8]);
    for &at in axes {
        if std::mem::replace(&mut added[axis(at, rank)?], true) {
            return Err(Error::shape("axes listed twice"));
        }
    }
    let mut sizes = x.shape.iter();
    for at in (0..rank).filter(|&at| !added[at]) {
        shape[at] = sizes.next().copied().unwrap_or(1);
    }
    out.copy_as(x, &shape)
}

pub(super) fn concat(inputs: &Inputs<'_>, at: i64, out: &mut Tensor) -> Result<()> {
    let first = inputs.get(0)?;
    let at = axis(at, first.rank())?;
    let mut dims = Dims::new(&first.shape)?;
    dims[at] = 0;
    for index in 0..inputs.len() {
        let x = inputs.get(index)?;
        let fits = x.rank() == first.rank()
            && x.shape.iter().zip(&first.shape).enumerate().all(|(axis, (a, b))| axis == at || a == b);
        if !fits {
            return Err(Error::shape(format!("shapes {:?} and {:?} do not join", first.shape, x.shape)));
        }
        dims[at] += x.shape[at];
    }
    checked_total(&dims)?;
    out.start_like(first, &dims)?;
    let rows: usize = dims[..at].iter().product();
    for row in 0..rows {
        for index in 0..inputs.len() {
            let x = inputs.get(index)?;
            let width = x.len() / rows;
            out.append(x, row * width..(row + 1) * width)?;
        }
    }
    Ok(())
}

/// Without `perm` the dimensions are reversed.
pub(super) fn transpose(x: &Tensor, perm: Option<&[i64]>, out: &mut Tensor) -> Result<()> {
    let rank = x.rank();
    let reversed: Vec<i64>;
    let perm = match perm {
        Some(perm) => perm,
        None => {
            reversed = (0..rank as i64).rev().collect();
            &reversed
        }
    };
    if perm.len() != rank {
        return Err(Error::shape(format!("{} dimensions permuted by {perm:?}", rank)));
    }
    let (mut dims, mut strides) = (Dims::ones(rank)?, [0; 16]);
    for (at, &from) in perm.iter().enumerate() {
        let from = axis(from, rank)?;
        (dims[at], strides[at]) = (x.shape[from], around(&x.shape, from).2);
    }
    take(x, &dims, strided(&dims, &strides), out)
}

/// Indices of the elements of a value of shape `dims` that lies in memory with `strides`.
fn strided(dims: &Dims, strides: &[usize; 16]) -> impl Iterator<Item = usize> + use<> {
    let (dims, strides) = (*dims, *strides);
    let (mut counter, mut at) = ([0usize; 16], 0usize);
    let total: usize = dims.iter().product();
    (0..total).map(move |_| {
        let current = at;
        for axis in (0..dims.len()).rev() {
            counter[axis] += 1;
            at += strides[axis];
            if counter[axis] < dims[axis] {
                break;
            }
            at -= strides[axis] * counter[axis];
            counter[axis] = 0;
        }
        current
    })
}

/// Bytes of text on average where a value may have no more elements.
const BYTES_OF_TEXT: usize = 64;

/// The elements of `x` at `indices`, which are in range, as a value of shape `dims`.
pub(crate) fn take(x: &Tensor, dims: &[usize], indices: impl Iterator<Item = usize>, out: &mut Tensor) -> Result<()> {
    match &x.data {
        Data::F32(values) => out.start(dims)?.extend(indices.map(|at| values[at])),
        Data::F64(values) => out.start(dims)?.extend(indices.map(|at| values[at])),
        Data::I32(values) => out.start(dims)?.extend(indices.map(|at| values[at])),
        Data::I64(values) => out.start(dims)?.extend(indices.map(|at| values[at])),
        Data::Bool(values) => out.start(dims)?.extend(indices.map(|at| values[at])),
        Data::Text(values) => {
            let most = out.room.saturating_mul(BYTES_OF_TEXT);
            let out = out.start_text(dims)?;
            for text in indices.filter_map(|at| values.get(at)) {
                out.push(text);
                if out.n_bytes() > most {
                    return Err(Error::limit("bytes of text in a value", out.n_bytes(), most));
                }
            }
        }
        Data::Tensors(_) => return Err(Error::unsupported("a sequence where a tensor is expected")),
    }
    Ok(())
}

pub(super) fn expand(x: &Tensor, sizes: &Tensor, out: &mut Tensor) -> Result<()> {
    let sizes: Vec<usize> = sizes.integers()?.map(|size| usize::try_from(size).unwrap_or(0)).collect();
    let dims = broadcast(&x.shape, &sizes)?;
    take(x, &dims, broadcast_indices(&dims, &x.shape), out)
}

pub(super) fn constant_of_shape(sizes: &Tensor, value: &Tensor, out: &mut Tensor) -> Result<()> {
    let sizes = sizes.integers()?;
    let mut dims = Dims::ones(sizes.len())?;
    for (to, size) in dims.iter_mut().zip(sizes) {
        *to = usize::try_from(size).map_err(|_| Error::shape(format!("a size of {size}")))?;
    }
    let total = checked_total(&dims)?;
    take(value, &dims, std::iter::repeat_n(0, total), out)
}

pub(super) fn shape_of(x: &Tensor, start: i64, end: Option<i64>, out: &mut Tensor) -> Result<()> {
    let rank = x.rank() as i64;
    let bound = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let sizes = &x.shape[bound(start)..bound(end.unwrap_or(rank)).max(bound(start))];
    out.start::<i64>(&[sizes.len()])?.extend(sizes.iter().map(|&size| size as i64));
    Ok(())
}

pub(super) fn range(start: &Tensor, limit: &Tensor, delta: &Tensor, out: &mut Tensor) -> Result<()> {
    let count = |count: f64| checked_total(&[count.ceil().max(0.0) as usize]);
    match start.ty() {
        Type::I64 => {
            let (start, limit, delta) = (start.scalar::<i64>()?, limit.scalar::<i64>()?, delta.scalar::<i64>()?);
            if delta == 0 {
                return Err(Error::shape("a range with steps of 0"));
            }
            let count = count((limit as f64 - start as f64) / delta as f64)?;
            out.start::<i64>(&[count])?.extend((0..count as i64).map(|at| start.wrapping_add(at.wrapping_mul(delta))));
        }
        Type::F32 => {
            let (start, limit, delta) = (start.scalar::<f32>()?, limit.scalar::<f32>()?, delta.scalar::<f32>()?);
            let count = count(f64::from((limit - start) / delta))?;
            out.start::<f32>(&[count])?.extend((0..count).map(|at| start + at as f32 * delta));
        }
        ty => return Err(Error::unsupported(format!("a range of {}", ty.name()))),
    }
    Ok(())
}

/// Steps of `by` within `distance`.
fn steps_of(distance: i64, by: i64) -> i64 {
    if distance <= 0 { 0 } else { (distance - 1) / by + 1 }
}

/// `x[starts:ends:steps]` along `axes`.
pub(super) fn slice(
    x: &Tensor,
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
    out: &mut Tensor,
) -> Result<()> {
    let (mut dims, mut first) = (Dims::new(&x.shape)?, [0i64; 16]);
    let mut step = [1i64; 16];
    for index in 0..starts.len() {
        let at = axes.map_or(Ok(index), |axes| axis(axes[index], x.rank()))?;
        let size = x.shape[at] as i64;
        step[at] = steps.map_or(1, |steps| steps[index]);
        let counted = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
        let (start, end) = (counted(starts[index]), counted(ends[index]));
        let count = match step[at] {
            0 => return Err(Error::shape("a slice with steps of 0")),
            by if by > 0 => {
                first[at] = start.clamp(0, size);
                steps_of(end.clamp(0, size) - first[at], by)
            }
            by => {
                first[at] = start.clamp(-1, size - 1);
                steps_of(first[at] - end.clamp(-1, size - 1), by.saturating_neg())
            }
        };
        dims[at] = count as usize;
    }
    let strides: Vec<i64> = (0..x.rank()).map(|at| around(&x.shape, at).2 as i64).collect();
    let index = |mut position: usize| {
        let mut index = 0;
        for at in (0..dims.len()).rev() {
            index += (first[at] + (position % dims[at]) as i64 * step[at]) * strides[at];
            position /= dims[at];
        }
        index as usize
    };
    let total: usize = dims.iter().product();
    take(x, &dims, (0..total).map(index), out)
}

/// `index`, which may count from the end, among `size` elements.
fn position(index: i64, size: usize) -> Result<usize> {
    let counted = if index < 0 { index + size as i64 } else { index };
    usize::try_from(counted)
        .ok()
        .filter(|&at| at < size)
        .ok_or_else(|| Error::shape(format!("index {index} among {size} elements")))
}

fn positions(indices: &Tensor, size: usize) -> Result<Vec<usize>> {
    indices.integers()?.map(|index| position(index, size)).collect()
}

pub(super) fn gather(x: &Tensor, indices: &Tensor, at: i64, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = around(&x.shape, at);
    let indexed = indices.integers()?;
    indexed.clone().try_for_each(|index| position(index, size).map(drop))?;
    let mut shape = Dims::ones(x.rank() + indices.rank() - 1)?;
    let sizes = x.shape[..at].iter().chain(&indices.shape).chain(&x.shape[at + 1..]);
    shape.iter_mut().zip(sizes).for_each(|(to, &size)| *to = size);
    let all = (0..before).flat_map(|row| {
        let positions = indexed.clone().map(move |index| if index < 0 { index + size as i64 } else { index } as usize);
        positions.flat_map(move |position| (0..after).map(move |column| (row * size + position) * after + column))
    });
    take(x, &shape, all, out)
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
    fn features<T: Copy>(values: &[T], size: usize, columns: impl Iterator<Item = i64> + Clone, out: &mut Vec<T>) {
        values.chunks_exact(size.max(1)).for_each(|row| out.extend(columns.clone().map(|column| row[column as usize])));
    }
    match (&x.data, &indices.data) {
        (Data::F32(values), Data::I64(columns)) => {
            features(values, size, columns.iter().copied(), out.start(&dims)?);
        }
        (Data::F64(values), Data::I64(columns)) => {
            features(values, size, columns.iter().copied(), out.start(&dims)?);
        }
        _ => {
            let (rows, columns) = (x.len() / size.max(1), indices.integers()?);
            let all = (0..rows).flat_map(|row| columns.clone().map(move |column| row * size + column as usize));
            take(x, &dims, all, out)?;
        }
    }
    Ok(())
}

pub(super) fn gather_elements(x: &Tensor, indices: &Tensor, at: i64, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    if indices.rank() != x.rank() {
        return Err(Error::shape(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    let positions = positions(indices, x.shape[at])?;
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
    let all = strided(&dims, &strides).zip(positions).map(|(base, position)| base + position * after);
    take(x, &dims, all, out)
}

/// Offsets into `x` of the blocks that the last dimension of `indices` points at, and the size of a block.
fn blocks(x: &Tensor, indices: &Tensor) -> Result<(Vec<usize>, usize)> {
    let depth = indices.shape.last().copied().unwrap_or(0);
    if depth == 0 || depth > x.rank() {
        return Err(Error::shape(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    let block = x.shape[depth..].iter().product();
    let all: Vec<i64> = indices.integers()?.collect();
    let offset = |index: &[i64]| {
        index.iter().zip(&x.shape).try_fold(0, |offset, (&index, &size)| Ok(offset * size + position(index, size)?))
    };
    let offsets = all.chunks_exact(depth).map(|index| offset(index).map(|at: usize| at * block));
    Ok((offsets.collect::<Result<_>>()?, block))
}

pub(super) fn gather_nd(x: &Tensor, indices: &Tensor, out: &mut Tensor) -> Result<()> {
    let (offsets, block) = blocks(x, indices)?;
    let depth = indices.shape.last().copied().unwrap_or(0);
    let shape = [&indices.shape[..indices.rank() - 1], &x.shape[depth..]].concat();
    take(x, &shape, offsets.into_iter().flat_map(|offset| offset..offset + block), out)
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

pub(super) fn scatter_nd(x: &Tensor, indices: &Tensor, updates: &Tensor, out: &mut Tensor) -> Result<()> {
    let (offsets, block) = blocks(x, indices)?;
    out.copy(x)?;
    scatter(out, updates, offsets.into_iter().flat_map(|offset| offset..offset + block))
}

pub(super) fn scatter_elements(
    x: &Tensor,
    indices: &Tensor,
    updates: &Tensor,
    at: i64,
    out: &mut Tensor,
) -> Result<()> {
    let at = axis(at, x.rank())?;
    let inside = indices.rank() == x.rank()
        && indices.shape == updates.shape
        && indices.shape.iter().zip(&x.shape).enumerate().all(|(axis, (a, b))| axis == at || a <= b);
    if !inside {
        return Err(Error::shape(format!("indices of shape {:?} into {:?}", indices.shape, x.shape)));
    }
    let positions = positions(indices, x.shape[at])?;
    let mut strides = [0; 16];
    for (axis, stride) in strides.iter_mut().enumerate().take(x.rank()) {
        *stride = if axis == at { 0 } else { around(&x.shape, axis).2 };
    }
    let (dims, after) = (Dims::new(&indices.shape)?, around(&x.shape, at).2);
    out.copy(x)?;
    scatter(out, updates, strided(&dims, &strides).zip(positions).map(|(base, position)| base + position * after))
}

/// The elements along an axis (or of all, flattened) where `condition` holds.
pub(super) fn compress(x: &Tensor, condition: &Tensor, at: Option<i64>, out: &mut Tensor) -> Result<()> {
    let chosen = condition.values::<bool>()?.iter().enumerate().filter(|(_, chosen)| **chosen);
    let chosen: Vec<usize> = chosen.map(|(at, _)| at).collect();
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
pub(super) fn non_zero(x: &Tensor, out: &mut Tensor) -> Result<()> {
    let found: Vec<usize> = match &x.data {
        Data::F32(values) => places(values),
        Data::F64(values) => places(values),
        Data::I32(values) => places(values),
        Data::I64(values) => places(values),
        Data::Bool(values) => places(values),
        Data::Text(_) | Data::Tensors(_) => {
            return Err(Error::unsupported(format!("no zeros among {}", x.ty().name())));
        }
    };
    let coordinates = out.start::<i64>(&[x.rank(), found.len()])?;
    for at in 0..x.rank() {
        let (_, size, after) = around(&x.shape, at);
        coordinates.extend(found.iter().map(|&place| (place / after % size) as i64));
    }
    Ok(())
}

fn places<T: Element>(values: &[T]) -> Vec<usize> {
    values.iter().enumerate().filter(|(_, value)| **value != T::default()).map(|(at, _)| at).collect()
}

/// `parts` along an axis, of the listed sizes or of equal ones.
pub(super) fn split(x: &Tensor, at: i64, sizes: Option<&Tensor>, outs: &mut [Tensor]) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = around(&x.shape, at);
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => sizes.integers()?.map(|size| usize::try_from(size).unwrap_or(usize::MAX)).collect(),
        None => {
            let part = size.div_ceil(outs.len().max(1));
            (0..outs.len()).map(|index| part.min(size - (index * part).min(size))).collect()
        }
    };
    let total = sizes.iter().try_fold(0usize, |total, &size| total.checked_add(size));
    if sizes.len() != outs.len() || total != Some(size) {
        return Err(Error::shape(format!("{size} elements split into {sizes:?}")));
    }
    let mut start = 0;
    for (out, part) in outs.iter_mut().zip(sizes) {
        let mut dims = Dims::new(&x.shape)?;
        dims[at] = part;
        let first = start * after;
        take(
            x,
            &dims,
            (0..before).flat_map(|row| (0..part * after).map(move |at| row * size * after + first + at)),
            out,
        )?;
        start += part;
    }
    Ok(())
}

pub(super) fn tile(x: &Tensor, repeats: &Tensor, out: &mut Tensor) -> Result<()> {
    let repeats: Vec<usize> = repeats.integers()?.map(|count| usize::try_from(count).unwrap_or(0)).collect();
    if repeats.len() != x.rank() {
        return Err(Error::shape(format!("{} repeats of {} dimensions", repeats.len(), x.rank())));
    }
    let mut dims = Dims::new(&x.shape)?;
    for (size, count) in dims.iter_mut().zip(&repeats) {
        *size = size.saturating_mul(*count);
    }
    let total = checked_total(&dims)?;
    let index = |mut position: usize| {
        let mut index = 0;
        for at in (0..dims.len()).rev() {
            index += position % dims[at] % x.shape[at] * around(&x.shape, at).2;
            position /= dims[at];
        }
        index
    };
    take(x, &dims, (0..total).map(index), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shape: &[usize]) -> Tensor {
        Tensor::new(shape, (0..shape.iter().product::<usize>() as i64).collect::<Vec<_>>())
    }

    #[test]
    fn elements_are_found_again_where_numpy_has_them() {
        let (x, mut out) = (counted(&[2, 3]), Tensor::default());
        transpose(&x, None, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[3, 2], vec![0i64, 3, 1, 4, 2, 5]));
        slice(&x, &[-1, 2], &[i64::MIN, 0], Some(&[0, 1]), Some(&[-1, -1]), &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 2], vec![5i64, 4, 2, 1]));
        slice(&x, &[1], &[i64::MAX], Some(&[1]), None, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 2], vec![1i64, 2, 4, 5]));
        gather(&x, &Tensor::new(&[], vec![-1i64]), 1, &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![2i64, 5]));
        gather_elements(&x, &Tensor::new(&[2, 1], vec![2i64, 0]), 1, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 1], vec![2i64, 3]));
        gather_nd(&x, &Tensor::new(&[1, 2], vec![1i64, 2]), &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![5i64]));
        non_zero(&x, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 5], vec![0i64, 0, 1, 1, 1, 1, 2, 0, 1, 2]));
        reshape(&x, &Tensor::list(vec![0i64, -1, 1]), false, &mut out).unwrap();
        assert_eq!(out.shape, [2, 3, 1]);
        assert!(reshape(&x, &Tensor::list(vec![4i64]), false, &mut out).unwrap_err().is_shape());
        tile(&x, &Tensor::list(vec![1i64, 2]), &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 6], vec![0i64, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]));
    }
}

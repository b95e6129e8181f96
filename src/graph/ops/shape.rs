//! Operators that rearrange elements and compute with shapes.

use super::Inputs;
use super::broadcast::{Dims, broadcast, broadcast_indices};
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
    let rows: usize = dims[..at].iter().product();
    match first.data {
        Data::F32(_) => return side_by_side::<f32>(inputs, rows, &dims, out),
        Data::F64(_) => return side_by_side::<f64>(inputs, rows, &dims, out),
        Data::I64(_) => return side_by_side::<i64>(inputs, rows, &dims, out),
        _ => out.start_like(first, &dims)?,
    }
    for row in 0..rows {
        for index in 0..inputs.len() {
            let x = inputs.get(index)?;
            let width = x.len() / rows;
            out.append(x, row * width..(row + 1) * width)?;
        }
    }
    Ok(())
}

/// The inputs' rows one behind another, input after input.
fn side_by_side<T: Element>(inputs: &Inputs<'_>, rows: usize, dims: &Dims, out: &mut Tensor) -> Result<()> {
    let out = out.fill::<T>(dims, T::default())?;
    let (total, mut first) = (out.len().checked_div(rows).unwrap_or(0), 0);
    for index in 0..inputs.len() {
        let values = inputs.get(index)?.values::<T>()?;
        let width = values.len().checked_div(rows).unwrap_or(0);
        let ends = out.chunks_exact_mut(total.max(1)).map(|row| &mut row[first..first + width]);
        match width {
            1 => ends.zip(values).for_each(|(to, &value)| to[0] = value),
            _ => ends.zip(values.chunks_exact(width.max(1))).for_each(|(to, from)| to.copy_from_slice(from)),
        }
        first += width;
    }
    Ok(())
}

/// Without `perm` the dimensions are reversed.
pub(super) fn transpose(x: &Tensor, perm: Option<&[i64]>, out: &mut Tensor) -> Result<()> {
    let rank = x.rank();
    if let Some(perm) = perm
        && perm.len() != rank
    {
        return Err(Error::shape(format!("{rank} dimensions permuted by {perm:?}")));
    }
    let (mut dims, mut strides) = (Dims::ones(rank)?, [0; 16]);
    for at in 0..rank {
        let from = perm.map_or(Ok(rank - 1 - at), |perm| axis(perm[at], rank))?;
        (dims[at], strides[at]) = (x.shape[from], around(&x.shape, from).2);
    }
    match (&x.data, &*x.shape) {
        (Data::F32(values), [n, m]) if strides[0] == 1 => turn(values, *n, *m, out.fill(&dims, 0.0)?),
        (Data::F64(values), [n, m]) if strides[0] == 1 => turn(values, *n, *m, out.fill(&dims, 0.0)?),
        (Data::F32(values), _) => permute(values, &dims, &strides, out.fill(&dims, 0.0)?),
        (Data::F64(values), _) => permute(values, &dims, &strides, out.fill(&dims, 0.0)?),
        _ => take(x, &dims, strided(&dims, &strides), out)?,
    }
    Ok(())
}

/// A value of shape `dims` that lies in memory with `strides`, the longest dimension at a time.
fn permute<T: Copy>(x: &[T], dims: &Dims, strides: &[usize; 16], out: &mut [T]) {
    let Some(longest) = (0..dims.len()).max_by_key(|&axis| dims[axis]) else {
        out.copy_from_slice(x);
        return;
    };
    let mut to_strides = [1; 16];
    for axis in (0..dims.len() - 1).rev() {
        to_strides[axis] = to_strides[axis + 1] * dims[axis + 1];
    }
    let (len, mut starts) = (dims[longest], *dims);
    starts[longest] = 1;
    if len == 0 {
        return;
    }
    for (from, to) in strided(&starts, strides).zip(strided(&starts, &to_strides)) {
        let from = x[from..].iter().step_by(strides[longest].max(1)).take(len);
        out[to..].iter_mut().step_by(to_strides[longest]).zip(from).for_each(|(to, &from)| *to = from);
    }
}

/// Turns a matrix of `n` rows over, tile by tile, so that what lies far apart is in the cache while it is needed.
fn turn<T: Copy>(x: &[T], n: usize, m: usize, out: &mut [T]) {
    const TILE: usize = 16;
    for row in (0..n).step_by(TILE) {
        for column in (0..m).step_by(TILE) {
            for at in column..m.min(column + TILE) {
                for (place, out) in out[at * n..][row..n.min(row + TILE)].iter_mut().enumerate() {
                    *out = x[(row + place) * m + at];
                }
            }
        }
    }
}

/// Indices of the elements of a value of shape `dims` that lies in memory with `strides`.
pub(super) fn strided(dims: &Dims, strides: &[usize; 16]) -> impl Iterator<Item = usize> + use<> {
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
    let sizes = sizes.integers()?;
    let mut asked = Dims::ones(sizes.len())?;
    asked.iter_mut().zip(sizes).for_each(|(to, size)| *to = usize::try_from(size).unwrap_or(0));
    let dims = broadcast(&x.shape, &asked)?;
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
    let mut strides = [0i64; 16];
    (0..x.rank()).for_each(|at| strides[at] = around(&x.shape, at).2 as i64);
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

/// `parts` along an axis, of the listed sizes or of equal ones.
pub(super) fn split(
    x: &Tensor,
    at: i64,
    sizes: Option<&Tensor>,
    parts: &mut Vec<usize>,
    outs: &mut [Tensor],
) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = around(&x.shape, at);
    parts.clear();
    match sizes {
        Some(sizes) => parts.extend(sizes.integers()?.map(|size| usize::try_from(size).unwrap_or(usize::MAX))),
        None => {
            let part = size.div_ceil(outs.len().max(1));
            parts.extend((0..outs.len()).map(|index| part.min(size - (index * part).min(size))));
        }
    }
    let total = parts.iter().try_fold(0usize, |total, &size| total.checked_add(size));
    if parts.len() != outs.len() || total != Some(size) {
        return Err(Error::shape(format!("{size} elements split into {parts:?}")));
    }
    let mut start = 0;
    for (out, &part) in outs.iter_mut().zip(&*parts) {
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
    let repeats = repeats.integers()?;
    if repeats.len() != x.rank() {
        return Err(Error::shape(format!("{} repeats of {} dimensions", repeats.len(), x.rank())));
    }
    let mut dims = Dims::new(&x.shape)?;
    for (size, count) in dims.iter_mut().zip(repeats) {
        *size = size.saturating_mul(usize::try_from(count).unwrap_or(0));
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
        reshape(&x, &Tensor::list(vec![0i64, -1, 1]), false, &mut out).unwrap();
        assert_eq!(out.shape, [2, 3, 1]);
        assert!(reshape(&x, &Tensor::list(vec![4i64]), false, &mut out).unwrap_err().is_shape());
        tile(&x, &Tensor::list(vec![1i64, 2]), &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 6], vec![0i64, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]));
    }
}

//! Elements brought together under ONNX's (NumPy's) broadcasting.

use crate::error::{Error, Result};
use crate::graph::tensor::{Element, Tensor, checked_total};

/// `f` of every element of `x`.
pub(crate) fn map<A: Element, B: Element>(
    x: &Tensor,
    values: &[A],
    out: &mut Tensor,
    f: impl Fn(A) -> B,
) -> Result<()> {
    out.start::<B>(&x.shape)?.extend(values.iter().map(|&value| f(value)));
    Ok(())
}

/// Elements of a pattern of rows.
const PATTERN: usize = 64;

/// Copies of a short row side by side, that rows are taken several at a time beside; a long row is its own pattern.
struct Repeated<'a, T> {
    row: &'a [T],
    copies: [T; PATTERN],
    len: usize,
}

impl<'a, T: Element> Repeated<'a, T> {
    fn new(row: &'a [T]) -> Self {
        let mut copies = [T::default(); PATTERN];
        let len = PATTERN - PATTERN % row.len().max(1);
        if row.len() < PATTERN {
            copies.chunks_exact_mut(row.len().max(1)).for_each(|copy| copy.copy_from_slice(row));
        }
        Self { row, copies, len }
    }

    fn pattern(&self) -> &[T] {
        if self.row.len() < PATTERN { &self.copies[..self.len] } else { self.row }
    }
}

/// Puts `f` of each element of `rows` and the element of `row` in its column in the place of the former.
pub(crate) fn with_rows<A: Copy, B: Element>(rows: &mut [A], row: &[B], f: impl Fn(A, B) -> A) {
    if row.is_empty() {
        return;
    }
    let repeated = Repeated::new(row);
    let pattern = repeated.pattern();
    for part in rows.chunks_mut(pattern.len()) {
        part.iter_mut().zip(pattern).for_each(|(x, &y)| *x = f(*x, y));
    }
}

/// Adds `f` of each element of `rows` and the element of `row` in its column to `out`.
pub(crate) fn rows_with<A: Copy, B: Element, C>(rows: &[A], row: &[B], out: &mut Vec<C>, f: impl Fn(A, B) -> C) {
    if row.is_empty() {
        return;
    }
    let repeated = Repeated::new(row);
    let pattern = repeated.pattern();
    for part in rows.chunks(pattern.len()) {
        out.extend(part.iter().zip(pattern).map(|(&x, &y)| f(x, y)));
    }
}

/// Adds `f` of each element of rows of `width` and the row's element of `column` to `out`.
fn columns_with<A: Copy, B: Copy, C: Element>(
    rows: &[A],
    column: &[B],
    width: usize,
    out: &mut Vec<C>,
    f: impl Fn(A, B) -> C,
) {
    out.resize(rows.len(), C::default());
    for ((row, &y), out) in rows.chunks_exact(width).zip(column).zip(out.chunks_exact_mut(width)) {
        out.iter_mut().zip(row).for_each(|(out, &x)| *out = f(x, y));
    }
}

/// Most dimensions of values that are broadcast.
const MAX_RANK: usize = 8;

/// A shape on the stack.
#[derive(Clone, Copy)]
pub(crate) struct Dims {
    len: usize,
    sizes: [usize; MAX_RANK],
}

impl std::ops::Deref for Dims {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.sizes[..self.len]
    }
}

impl std::ops::DerefMut for Dims {
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.sizes[..self.len]
    }
}

impl Dims {
    pub(crate) fn new(sizes: &[usize]) -> Result<Self> {
        if sizes.len() > MAX_RANK {
            return Err(Error::unsupported(format!("values of {} dimensions; at most {MAX_RANK}", sizes.len())));
        }
        let mut dims = Self { len: sizes.len(), sizes: [1; MAX_RANK] };
        dims.copy_from_slice(sizes);
        Ok(dims)
    }

    /// A shape of `len` ones.
    pub(crate) fn ones(len: usize) -> Result<Self> {
        if len > MAX_RANK {
            return Err(Error::unsupported(format!("values of {len} dimensions; at most {MAX_RANK}")));
        }
        Ok(Self { len, sizes: [1; MAX_RANK] })
    }
}

/// The shape two shapes broadcast to.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Dims> {
    let mut dims = Dims::ones(a.len().max(b.len()))?;
    let rank = dims.len;
    for at in 0..rank {
        let of = |shape: &[usize]| (at + shape.len()).checked_sub(rank).map_or(1, |index| shape[index]);
        dims[at] = match (of(a), of(b)) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => return Err(Error::shape(format!("shapes {a:?} and {b:?} do not broadcast"))),
        };
    }
    checked_total(&dims)?;
    Ok(dims)
}

/// For every element of a value of shape `dims`, in order, the element of a value of shape `of` that broadcasts there.
pub(crate) fn broadcast_indices(dims: &Dims, of: &[usize]) -> impl Iterator<Item = usize> + use<> {
    let rank = dims.len;
    let mut strides = [0usize; MAX_RANK];
    let mut stride = 1;
    for (index, &size) in of.iter().enumerate().rev() {
        strides[index + rank - of.len()] = if size == 1 { 0 } else { stride };
        stride *= size;
    }
    let (dims, mut counter, mut at) = (*dims, [0usize; MAX_RANK], 0);
    let total: usize = dims.iter().product();
    (0..total).map(move |_| {
        let current = at;
        for axis in (0..rank).rev() {
            counter[axis] += 1;
            at += strides[axis];
            if counter[axis] < dims.sizes[axis] {
                break;
            }
            at -= strides[axis] * counter[axis];
            counter[axis] = 0;
        }
        current
    })
}

/// Whether each row of a value of shape `long` meets the one list, or the one element, of shape `short`.
pub(crate) fn is_row_of(short: &[usize], long: &[usize]) -> bool {
    let ones = short.iter().take_while(|&&size| size == 1).count();
    short.len() <= long.len() && long.ends_with(&short[ones..])
}

/// `f` of the pairs of elements that broadcasting brings together.
pub(crate) fn zip<A: Element, B: Element, C: Element>(
    a: (&[usize], &[A]),
    b: (&[usize], &[B]),
    out: &mut Tensor,
    f: impl Fn(A, B) -> C,
) -> Result<()> {
    let ((a_shape, a), (b_shape, b)) = (a, b);
    let dims = broadcast(a_shape, b_shape)?;
    let out = out.start::<C>(&dims)?;
    // Of a value that has all dimensions, each row meets the same list, or an element of its own.
    let is_row = |long: &[usize], short: &[usize]| {
        let ones = short.iter().take_while(|&&size| size == 1).count();
        *long == *dims && !short[ones..].is_empty() && long.ends_with(&short[ones..])
    };
    let is_column = |long: &[usize], short: &[usize]| match (long, short) {
        ([outer @ .., _], [other @ .., 1]) => *long == *dims && outer == other,
        _ => false,
    };
    let width = dims.last().copied().unwrap_or(1).max(1);
    if a_shape == b_shape {
        out.extend(a.iter().zip(b).map(|(&a, &b)| f(a, b)));
    } else if let [b] = b
        && dims.len() == a_shape.len()
    {
        out.extend(a.iter().map(|&a| f(a, *b)));
    } else if let [a] = a
        && dims.len() == b_shape.len()
    {
        out.extend(b.iter().map(|&b| f(*a, b)));
    } else if is_row(a_shape, b_shape) {
        rows_with(a, b, out, f);
    } else if is_row(b_shape, a_shape) {
        rows_with(b, a, out, |b, a| f(a, b));
    } else if is_column(a_shape, b_shape) {
        columns_with(a, b, width, out, f);
    } else if is_column(b_shape, a_shape) {
        columns_with(b, a, width, out, |b, a| f(a, b));
    } else {
        let indices = broadcast_indices(&dims, a_shape).zip(broadcast_indices(&dims, b_shape));
        out.extend(indices.map(|(i, j)| f(a[i], b[j])));
    }
    Ok(())
}

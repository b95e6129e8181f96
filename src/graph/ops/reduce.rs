//! Operators that bring many elements to one: sums and their like, positions of extremes, softmax, running sums.

use std::cmp::Ordering;

use super::broadcast::Dims;
use super::elementwise::Float;
use super::transform::mlas_softmax;
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::tensor::{Data, Element, Tensor, Type, around, axis};

/// What becomes of the elements that are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Prod,
    Sum,
    SumSquare,
}

impl Reduction {
    /// The result for `values`, taken in order.
    fn float<T: Float>(self, values: impl Iterator<Item = T> + Clone) -> T {
        let sum = |f: fn(T) -> T| values.clone().fold(T::ZERO, |sum, value| sum + f(value));
        match self {
            Self::L1 => sum(Float::abs),
            Self::L2 => sum(|x| x * x).sqrt(),
            Self::LogSum => sum(|x| x).ln(),
            Self::LogSumExp => {
                let max = Self::Max.float(values.clone());
                let shift = if Float::abs(max) < T::INFINITY { max } else { T::ZERO };
                values.fold(T::ZERO, |sum, value| sum + (value - shift).exp()).ln() + shift
            }
            Self::Max => values.fold(-T::INFINITY, |max, x| if x > max || x.is_nan() { x } else { max }),
            Self::Mean => {
                let (sum, count) = values.fold((T::ZERO, 0usize), |(sum, count), x| (sum + x, count + 1));
                // Of nothing it is 0, as in ONNX Runtime.
                sum / T::from_f64(count.max(1) as f64)
            }
            Self::Min => values.fold(T::INFINITY, |min, x| if x < min || x.is_nan() { x } else { min }),
            Self::Prod => values.fold(T::ONE, |product, x| product * x),
            Self::Sum => sum(|x| x),
            Self::SumSquare => sum(|x| x * x),
        }
    }

    /// The results for each of `before` times `size` rows of `after` values; says whether it knows such.
    fn rows<T: Float>(self, values: &[T], (before, size, after): (usize, usize, usize), out: &mut Vec<T>) -> bool {
        if !matches!(self, Self::Sum | Self::Mean) || size == 0 || after == 0 {
            return false;
        }
        out.resize(before * after, T::ZERO);
        for (rows, sums) in values.chunks_exact(size * after).zip(out.chunks_exact_mut(after)) {
            for row in rows.chunks_exact(after) {
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
            }
        }
        if self == Self::Mean {
            let count = T::from_f64(size as f64);
            out.iter_mut().for_each(|sum| *sum = *sum / count);
        }
        true
    }

    /// The result for values side by side.
    fn row<T: Float>(self, values: &[T]) -> T {
        match self {
            Self::Sum => T::sum(values),
            Self::Mean => T::sum(values) / T::from_f64(values.len().max(1) as f64),
            _ => self.float(values.iter().copied()),
        }
    }

    /// As [`float`](Self::float), for integers from `least` to `greatest`; `None` if there is no such reduction.
    fn integer(self, mut values: impl Iterator<Item = i64>, (least, greatest): (i64, i64)) -> Option<i64> {
        match self {
            Self::Max => Some(values.fold(least, i64::max)),
            Self::Min => Some(values.fold(greatest, i64::min)),
            Self::Sum => Some(values.fold(0, i64::wrapping_add)),
            Self::Prod => Some(values.fold(1, i64::wrapping_mul)),
            Self::SumSquare => Some(values.fold(0, |sum, x| sum.wrapping_add(x.wrapping_mul(x)))),
            Self::L1 => Some(values.fold(0, |sum, x| sum.wrapping_add(x.wrapping_abs()))),
            Self::Mean => {
                let Some(first) = values.next() else { return Some(0) };
                let (sum, count) = values.fold((first, 1), |(sum, count), x| (sum.wrapping_add(x), count + 1));
                Some(sum / count)
            }
            _ => None,
        }
    }

    /// Over the dimensions `axes`, all if none are listed (or none at all if `noop_without`).
    pub(super) fn run(self, x: &Tensor, axes: &[i64], keep: bool, noop_without: bool, out: &mut Tensor) -> Result<()> {
        if axes.is_empty() && noop_without {
            return out.copy(x);
        }
        let mut reduced = [axes.is_empty(); 8];
        let dims = Dims::new(&x.shape)?;
        for &at in axes {
            reduced[axis(at, x.rank())?] = true;
        }
        let mut shape = Dims::ones(if keep { x.rank() } else { (0..x.rank()).filter(|&at| !reduced[at]).count() })?;
        let mut next = 0;
        for at in 0..x.rank() {
            if keep {
                shape[at] = if reduced[at] { 1 } else { dims[at] };
            } else if !reduced[at] {
                shape[next] = dims[at];
                next += 1;
            }
        }
        let first = (0..x.rank()).find(|&at| reduced[at]).unwrap_or(x.rank());
        let group: usize = dims[first..].iter().product();
        if group > 0 && (first..x.rank()).all(|at| reduced[at]) {
            // Elements that are brought together lie side by side.
            match &x.data {
                Data::F32(values) => {
                    out.start(&shape)?.extend(values.chunks_exact(group).map(|group| self.row(group)));
                    return Ok(());
                }
                Data::F64(values) => {
                    out.start(&shape)?.extend(values.chunks_exact(group).map(|group| self.row(group)));
                    return Ok(());
                }
                _ => {}
            }
        }
        let last = (first..x.rank()).take_while(|&at| reduced[at]).last();
        if let Some(last) = last
            && (last..x.rank()).skip(1).all(|at| !reduced[at])
        {
            // One run of dimensions in the midst: whole rows are brought together.
            let size = (
                dims[..first].iter().product(),
                dims[first..=last].iter().product(),
                dims[last + 1..].iter().product(),
            );
            let done = match &x.data {
                Data::F32(values) => self.rows(values, size, out.start(&shape)?),
                Data::F64(values) => self.rows(values, size, out.start(&shape)?),
                _ => false,
            };
            if done {
                return Ok(());
            }
        }
        let places = Places::new(&dims, &reduced);
        match &x.data {
            Data::F32(values) => out.start(&shape)?.extend(places.map(|group| self.float(group.map(|at| values[at])))),
            Data::F64(values) => out.start(&shape)?.extend(places.map(|group| self.float(group.map(|at| values[at])))),
            Data::I64(values) => {
                reduce_integers(self, places, |at| values[at], (i64::MIN, i64::MAX), out.start(&shape)?, |x| x)?;
            }
            Data::I32(values) => {
                let range = (i32::MIN.into(), i32::MAX.into());
                reduce_integers(self, places, |at| values[at].into(), range, out.start::<i32>(&shape)?, |x| x as i32)?;
            }
            _ => return Err(Error::unsupported(format!("{} cannot be reduced", x.ty().name()))),
        }
        Ok(())
    }
}

fn reduce_integers<T>(
    reduction: Reduction,
    places: Places,
    value: impl Fn(usize) -> i64,
    range: (i64, i64),
    out: &mut Vec<T>,
    narrow: impl Fn(i64) -> T,
) -> Result<()> {
    for group in places {
        let result = reduction.integer(group.map(&value), range);
        out.push(narrow(result.ok_or_else(|| Error::unsupported("no such reduction of integers"))?));
    }
    Ok(())
}

/// Goes over the results of a reduction; each item goes over the indices of its elements, in order.
struct Places {
    kept: Counter,
    inner: Counter,
    left: usize,
}

/// Counts through the indices of a shape, in order, and follows strides.
#[derive(Clone, Copy)]
struct Counter {
    rank: usize,
    sizes: [usize; 8],
    strides: [usize; 8],
    counts: [usize; 8],
    at: usize,
}

impl Counter {
    fn new() -> Self {
        Self { rank: 0, sizes: [1; 8], strides: [0; 8], counts: [0; 8], at: 0 }
    }

    fn push(&mut self, size: usize, stride: usize) {
        (self.sizes[self.rank], self.strides[self.rank]) = (size, stride);
        self.rank += 1;
    }

    fn total(&self) -> usize {
        self.sizes[..self.rank].iter().product()
    }

    /// The index now, and one step on.
    fn step(&mut self) -> usize {
        let current = self.at;
        for axis in (0..self.rank).rev() {
            self.counts[axis] += 1;
            self.at += self.strides[axis];
            if self.counts[axis] < self.sizes[axis] {
                break;
            }
            self.at -= self.strides[axis] * self.counts[axis];
            self.counts[axis] = 0;
        }
        current
    }
}

impl Places {
    fn new(dims: &Dims, reduced: &[bool; 8]) -> Self {
        let (mut kept, mut inner) = (Counter::new(), Counter::new());
        for at in 0..dims.len() {
            let part = if reduced[at] { &mut inner } else { &mut kept };
            part.push(dims[at], around(dims, at).2);
        }
        Self { left: kept.total(), kept, inner }
    }
}

impl Iterator for Places {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        self.left = self.left.checked_sub(1)?;
        Some(Group { base: self.kept.step(), left: self.inner.total(), inner: self.inner })
    }
}

#[derive(Clone)]
struct Group {
    base: usize,
    inner: Counter,
    left: usize,
}

impl Iterator for Group {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        Some(self.base + self.inner.step())
    }
}

/// Position of the first (or last) greatest (or least) element along an axis.
pub(super) fn arg_extreme(x: &Tensor, at: i64, keep: bool, last: bool, greatest: bool, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = around(&x.shape, at);
    if size == 0 {
        return Err(Error::shape("the extreme of no elements"));
    }
    let mut dims = Dims::new(&x.shape)?;
    dims[at] = 1;
    if !keep {
        dims[at..].rotate_left(1);
    }
    let shape = &dims[..x.rank() - usize::from(!keep)];
    fn extreme<T: Element>(values: impl Iterator<Item = T>, last: bool, greatest: bool) -> i64 {
        let mut best: Option<(usize, T)> = None;
        for (at, value) in values.enumerate() {
            let wins = best.is_none_or(|(_, best)| {
                let better = if greatest { value > best } else { value < best };
                better || last && value == best
            });
            if wins {
                best = Some((at, value));
            }
        }
        best.map_or(0, |(at, _)| at as i64)
    }
    let places = (0..before * after).map(|place| (place / after.max(1) * size, place % after.max(1)));
    macro_rules! run {
        ($values:ident) => {
            out.start::<i64>(shape)?.extend(
                places.map(|(row, column)| {
                    extreme((0..size).map(|at| $values[(row + at) * after + column]), last, greatest)
                }),
            )
        };
    }
    match &x.data {
        Data::F32(values) => run!(values),
        Data::F64(values) => run!(values),
        Data::I64(values) => run!(values),
        Data::I32(values) => run!(values),
        _ => return Err(Error::unsupported(format!("no extremes among {}", x.ty().name()))),
    }
    Ok(())
}

/// As many of the first elements are put in their places one by one; more are sorted.
const FEW: usize = 32;

/// The `count` greatest (or least) elements along an axis, in order, and their positions; of equal elements the first.
pub(super) fn top_k(
    x: &Tensor,
    count: usize,
    at: i64,
    greatest: bool,
    order: &mut Vec<usize>,
    outs: &mut [Tensor],
) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = around(&x.shape, at);
    if count > size {
        return Err(Error::shape(format!("the first {count} of {size} elements")));
    }
    let mut shape = Dims::new(&x.shape)?;
    shape[at] = count;
    fn run<T: Element>(
        values: &[T],
        (before, size, after): (usize, usize, usize),
        (count, greatest): (usize, bool),
        order: &mut Vec<usize>,
        out: &mut [T],
        positions: &mut [i64],
    ) {
        for (row, column) in (0..before).flat_map(|row| (0..after).map(move |column| (row, column))) {
            let value = |at: usize| values[(row * size + at) * after + column];
            let compare = |&a: &usize, &b: &usize| {
                let (x, y) = (value(a), value(b));
                let by_value = if greatest { y.partial_cmp(&x) } else { x.partial_cmp(&y) };
                by_value.unwrap_or_else(|| is_nan(x).cmp(&is_nan(y))).then(a.cmp(&b))
            };
            order.clear();
            if count <= FEW {
                for at in (0..size).filter(|_| count > 0) {
                    if order.len() == count {
                        let (x, worst) = (value(at), value(order[count - 1]));
                        let better = if greatest { x > worst } else { x < worst };
                        if !better && (!is_nan(worst) || is_nan(x)) {
                            continue;
                        }
                        order.pop();
                    }
                    let place = order.iter().rposition(|before| compare(before, &at) == Ordering::Less);
                    order.insert(place.map_or(0, |place| place + 1), at);
                }
            } else {
                order.extend(0..size);
                if count < size {
                    order.select_nth_unstable_by(count - 1, compare);
                    order.truncate(count);
                }
                order.sort_unstable_by(compare);
            }
            for (place, &position) in order.iter().enumerate() {
                let target = (row * count + place) * after + column;
                out[target] = value(position);
                if let Some(target) = positions.get_mut(target) {
                    *target = position as i64;
                }
            }
        }
    }
    let dims = (before, size, after);
    let (first, second) = outs.split_at_mut(1);
    let positions = match second {
        [positions, ..] => positions.fill::<i64>(&shape, 0)?,
        [] => &mut [],
    };
    let out = &mut first[0];
    match &x.data {
        Data::F32(values) => run(values, dims, (count, greatest), order, out.fill(&shape, 0.0)?, positions),
        Data::F64(values) => run(values, dims, (count, greatest), order, out.fill(&shape, 0.0)?, positions),
        Data::I64(values) => run(values, dims, (count, greatest), order, out.fill(&shape, 0)?, positions),
        Data::I32(values) => run(values, dims, (count, greatest), order, out.fill(&shape, 0)?, positions),
        _ => return Err(Error::unsupported(format!("no order among {}", x.ty().name()))),
    }
    Ok(())
}

fn is_nan<T: Element>(x: T) -> bool {
    x.partial_cmp(&x) != Some(Ordering::Equal)
}

/// Running sums along an axis.
pub(super) fn cum_sum(x: &Tensor, at: i64, exclusive: bool, reverse: bool, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = around(&x.shape, at);
    out.copy(x)?;
    fn run<T: Element>(
        values: &mut [T],
        (before, size, after): (usize, usize, usize),
        (exclusive, reverse): (bool, bool),
        add: impl Fn(T, T) -> T,
    ) {
        for (row, column) in (0..before).flat_map(|row| (0..after).map(move |column| (row, column))) {
            let mut sum = T::default();
            for step in 0..size {
                let at = if reverse { size - 1 - step } else { step };
                let value = &mut values[(row * size + at) * after + column];
                let next = add(sum, *value);
                *value = if exclusive { sum } else { next };
                sum = next;
            }
        }
    }
    let (dims, how) = ((before, size, after), (exclusive, reverse));
    match &mut out.data {
        Data::F32(values) => run(values, dims, how, |a, b| a + b),
        Data::F64(values) => run(values, dims, how, |a, b| a + b),
        Data::I64(values) => run(values, dims, how, i64::wrapping_add),
        Data::I32(values) => run(values, dims, how, i32::wrapping_add),
        _ => return Err(Error::unsupported(format!("no sums of {}", x.ty().name()))),
    }
    Ok(())
}

/// `exp(x - max)` over its sum along an axis, or the logarithm of that.
pub(super) fn softmax(
    x: &Tensor,
    at: i64,
    flatten: bool,
    log: bool,
    runner: &mut dyn Evaluator,
    out: &mut Tensor,
) -> Result<()> {
    let at = axis(at, x.rank())?;
    let (before, size, after) = match around(&x.shape, at) {
        // Before opset 13 everything from the axis on is one dimension.
        (before, size, after) if flatten => (before, size * after, 1),
        dims => dims,
    };
    out.copy(x)?;
    fn run<T: Float>(values: &mut [T], (before, size, after): (usize, usize, usize), log: bool) {
        for (row, column) in (0..before).flat_map(|row| (0..after).map(move |column| (row, column))) {
            let place = |at: usize| (row * size + at) * after + column;
            let max = Reduction::Max.float((0..size).map(|at| values[place(at)]));
            let sum = (0..size).fold(T::ZERO, |sum, at| sum + (values[place(at)] - max).exp());
            let of_sum = if log { sum.ln() } else { sum };
            for at in 0..size {
                let value = &mut values[place(at)];
                *value = if log { *value - max - of_sum } else { (*value - max).exp() / of_sum };
            }
        }
    }
    match &mut out.data {
        Data::F32(values) if !log && after == 1 => mlas_softmax(values, size, runner),
        Data::F32(values) => run(values, (before, size, after), log),
        Data::F64(values) => run(values, (before, size, after), log),
        _ => return Err(Error::unsupported(format!("no softmax of {}", x.ty().name()))),
    }
    Ok(())
}

/// Elements divided by the norm of order `p` along an axis; where that is 0, zero.
pub(super) fn lp_normalization(x: &Tensor, at: i64, p: i64, out: &mut Tensor) -> Result<()> {
    let at = axis(at, x.rank())?;
    let dims = around(&x.shape, at);
    let norm = match p {
        1 => Reduction::L1,
        2 => Reduction::L2,
        p => return Err(Error::unsupported(format!("a norm of order {p}"))),
    };
    out.copy(x)?;
    fn run<T: Float>(values: &mut [T], (before, size, after): (usize, usize, usize), norm: Reduction) {
        for (row, column) in (0..before).flat_map(|row| (0..after).map(move |column| (row, column))) {
            let place = |at: usize| (row * size + at) * after + column;
            let norm = norm.float((0..size).map(|at| values[place(at)]));
            for at in 0..size {
                let value = &mut values[place(at)];
                *value = if norm == T::ZERO { T::ZERO } else { *value / norm };
            }
        }
    }
    match &mut out.data {
        Data::F32(values) => run(values, dims, norm),
        Data::F64(values) => run(values, dims, norm),
        _ => return Err(Error::unsupported(format!("no norm of {}", x.ty().name()))),
    }
    Ok(())
}

/// The number of elements asked of `top_k`.
pub(super) fn count(k: &Tensor) -> Result<usize> {
    if k.ty() != Type::I64 {
        return Err(Error::unsupported("a count that is no int64"));
    }
    usize::try_from(k.scalar::<i64>()?).map_err(|_| Error::shape("a negative count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reduces_to_what_onnx_runtime_has() {
        let mut out = Tensor::default();
        let mut run = |how: Reduction, x: &Tensor| {
            how.run(x, &[1], false, false, &mut out).unwrap();
            out.clone()
        };
        let none = Tensor::new(&[1, 0], Vec::<f32>::new());
        assert_eq!(run(Reduction::Max, &none), Tensor::list(vec![f32::NEG_INFINITY]));
        assert_eq!(run(Reduction::Mean, &none), Tensor::list(vec![0f32]));
        let none = Tensor::new(&[1, 0], Vec::<i32>::new());
        assert_eq!(run(Reduction::Max, &none), Tensor::list(vec![i32::MIN]));
        assert_eq!(run(Reduction::Mean, &none), Tensor::list(vec![0i32]));
    }

    #[test]
    fn elements_are_brought_together_along_their_axes() {
        let x = Tensor::new(&[2, 3], vec![1f32, 2.0, 3.0, 6.0, 5.0, 4.0]);
        let mut out = Tensor::default();
        Reduction::Sum.run(&x, &[1], false, false, &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![6f32, 15.0]));
        Reduction::Mean.run(&x, &[0], true, false, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[1, 3], vec![3.5f32, 3.5, 3.5]));
        Reduction::Max.run(&x, &[], false, false, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[], vec![6f32]));
        arg_extreme(&x, -1, false, false, true, &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![2i64, 0]));
        let mut outs = [Tensor::default(), Tensor::default()];
        top_k(&x, 2, 1, false, &mut Vec::new(), &mut outs).unwrap();
        assert_eq!(outs[0], Tensor::new(&[2, 2], vec![1f32, 2.0, 4.0, 5.0]));
        assert_eq!(outs[1], Tensor::new(&[2, 2], vec![0i64, 1, 2, 1]));
        cum_sum(&x, 1, false, false, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 3], vec![1f32, 3.0, 6.0, 6.0, 11.0, 15.0]));
        cum_sum(&x, 0, true, true, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 3], vec![6f32, 5.0, 4.0, 0.0, 0.0, 0.0]));
    }
}

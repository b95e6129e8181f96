//! Products of matrices, and the linear models, scalers and normalisers that end pipelines and begin them.
//!
//! ONNX Runtime multiplies batches with a library of its own (MLAS) that fuses each multiplication with the addition to a
//! running sum, and takes long sums in parts (see [`part_of_sums`]); sums with a list it takes by fours (see
//! [`times_list`]). Where it rounds in another order for a single row, the last bits differ.

use super::Inputs;
use super::broadcast::{broadcast, broadcast_indices, map, with_rows};
use super::cast::run_cast;
use super::elementwise::{Float, Unary};
use super::transform::{self, PostTransform};
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::tensor::{Data, Element, Tensor, Type, checked_total};
use crate::ir::function::{Function, probit};
use crate::ir::link::arg_max;
use crate::ir::product::{Product, Term, rectified};

/// Numbers that matrices hold.
pub(crate) trait Number: Float {
    /// Columns that MLAS multiplies by at a time.
    const COLUMNS: usize;
    /// Whether it packs a constant matrix beforehand.
    const PACKED: bool;
    fn multiply(runner: &mut dyn Evaluator, product: &Product<'_, Self>, sums: &mut [Self]);
}

impl Number for f32 {
    const COLUMNS: usize = 128;
    const PACKED: bool = true;
    fn multiply(runner: &mut dyn Evaluator, product: &Product<'_, Self>, sums: &mut [Self]) {
        runner.product_f32(product, sums);
    }
}

impl Number for f64 {
    const COLUMNS: usize = 64;
    const PACKED: bool = false;
    fn multiply(runner: &mut dyn Evaluator, product: &Product<'_, Self>, sums: &mut [Self]) {
        runner.product_f64(product, sums);
    }
}

/// How many products MLAS adds up before it adds the sum to that of the part before, for `m` columns of sums of `k`
/// (`sgemm.cpp`, `MlasSgemmOperation`); for a matrix that it packs beforehand, always 256.
fn part_of_sums<T: Number>(k: usize, m: usize, constant: bool) -> usize {
    if constant && T::PACKED {
        return 256;
    }
    let (mut columns, mut part) = (T::COLUMNS, 128);
    if m >= k {
        while part / 2 >= k.max(1) {
            (columns, part) = (columns * 2, part / 2);
        }
    } else {
        while columns > 16 && columns / 2 >= m {
            (columns, part) = (columns / 2, part * 2);
        }
    }
    part
}

/// NumPy's `matmul`: the last two dimensions are matrices, the others broadcast, a list is a row or a column.
pub(super) fn mat_mul(
    a: &Tensor,
    b: &Tensor,
    constant: bool,
    runner: &mut dyn Evaluator,
    out: &mut Tensor,
) -> Result<()> {
    match (&a.data, &b.data) {
        (Data::F32(x), Data::F32(y)) if a.rank() > 1 && b.shape == [a.shape[a.rank() - 1]] => {
            times_list(x, y, out.fill(&a.shape[..a.rank() - 1], 0.0)?);
            Ok(())
        }
        (Data::F32(x), Data::F32(y)) => mat_mul_of((a, x), (b, y), constant, runner, out),
        (Data::F64(x), Data::F64(y)) => mat_mul_of((a, x), (b, y), constant, runner, out),
        _ => Err(Error::unsupported(format!("a product of {} and {}", a.ty().name(), b.ty().name()))),
    }
}

/// The sum of products of each row of `a` with `list`. MLAS takes four products at a time and fuses nothing
/// (`SgemmKernelM1Avx.S`).
fn times_list(a: &[f32], list: &[f32], sums: &mut [f32]) {
    let (fours, rest) = list.as_chunks::<4>();
    for (row, sum) in a.chunks_exact(list.len().max(1)).zip(sums) {
        let (of_row, rest_of_row) = row.as_chunks::<4>();
        for (x, y) in of_row.iter().zip(fours) {
            *sum += x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3];
        }
        let products = rest_of_row.iter().zip(rest).map(|(x, y)| x * y);
        *sum += products.reduce(|sum, product| sum + product).unwrap_or(0.0);
    }
}

fn mat_mul_of<T: Number>(
    (a, x): (&Tensor, &[T]),
    (b, y): (&Tensor, &[T]),
    constant: bool,
    runner: &mut dyn Evaluator,
    out: &mut Tensor,
) -> Result<()> {
    let no_fit = || Error::shape(format!("no product of shapes {:?} and {:?}", a.shape, b.shape));
    let (n, k) = match &*a.shape {
        [] => return Err(no_fit()),
        [k] => (1, *k),
        [.., n, k] => (*n, *k),
    };
    let (k_of_b, m) = match &*b.shape {
        [] => return Err(no_fit()),
        [k] => (*k, 1),
        [.., k, m] => (*k, *m),
    };
    if k != k_of_b {
        return Err(no_fit());
    }
    let outer = |shape: &[usize]| shape.len().saturating_sub(2);
    let (a_outer, b_outer) = (&a.shape[..outer(&a.shape)], &b.shape[..outer(&b.shape)]);
    let batches = broadcast(a_outer, b_outer)?;
    let (mut shape, mut rank) = ([1; 10], batches.len());
    shape[..rank].copy_from_slice(&batches);
    for size in [(a.rank() > 1).then_some(n), (b.rank() > 1).then_some(m)].into_iter().flatten() {
        shape[rank] = size;
        rank += 1;
    }
    let out = out.overwritten::<T>(&shape[..rank])?;
    if out.is_empty() {
        return Ok(());
    }
    let part = part_of_sums::<T>(k, m, constant);
    let pairs = broadcast_indices(&batches, a_outer).zip(broadcast_indices(&batches, b_outer));
    for ((i, j), out) in pairs.zip(out.chunks_exact_mut(n * m)) {
        let (a, b) = (&x[i * n * k..][..n * k], &y[j * k * m..][..k * m]);
        T::multiply(runner, &product(a, b, (n, k, m), false, part), out);
    }
    Ok(())
}

/// A product as it stands.
fn product<'a, T>(a: &'a [T], b: &'a [T], size: (usize, usize, usize), turned: bool, part: usize) -> Product<'a, T> {
    Product { a, b, size, turned, part, term: Term::Product, offsets: None, scaled: None, rectified: false }
}

/// `alpha · a · b + beta · c`, with `a` or `b` turned over if asked. Two more inputs, of which the file does not know, are
/// factors of the columns of that, and what is added again: the normalisation of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gemm {
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    pub(crate) trans_a: bool,
    pub(crate) trans_b: bool,
    /// What becomes of the sums; on f32 only.
    pub(crate) activation: Option<Unary>,
}

impl Gemm {
    /// The second matrix turned over for good, where it was asked to be for every product.
    pub(crate) fn turned(&mut self, b: &Tensor) -> Option<Tensor> {
        let mut turned = Tensor::default();
        let is_turned = self.trans_b && b.rank() == 2 && super::shape::transpose(b, None, &mut turned).is_ok();
        self.trans_b &= !is_turned;
        is_turned.then_some(turned)
    }

    /// `turned` is working memory.
    pub(super) fn run(
        &self,
        x: &Inputs<'_>,
        runner: &mut dyn Evaluator,
        turned: &mut Tensor,
        out: &mut Tensor,
    ) -> Result<()> {
        match x.get(0)?.ty() {
            Type::F32 => {
                self.run_of::<f32>(x, runner, turned, out)?;
                match self.activation {
                    None | Some(Unary::Relu) => Ok(()),
                    Some(activation) => activation.in_place(out, runner),
                }
            }
            Type::F64 if self.activation.is_none() => self.run_of::<f64>(x, runner, turned, out),
            ty => Err(Error::unsupported(format!("a product of {}", ty.name()))),
        }
    }

    fn run_of<T: Number>(
        &self,
        inputs: &Inputs<'_>,
        runner: &mut dyn Evaluator,
        turned_a: &mut Tensor,
        out: &mut Tensor,
    ) -> Result<()> {
        let (a, b, c, constant) = (inputs.get(0)?, inputs.get(1)?, inputs.optional(2), inputs.is_constant(1));
        let ([a0, a1], [b0, b1]) = (&*a.shape, &*b.shape) else {
            return Err(Error::shape(format!("no product of shapes {:?} and {:?}", a.shape, b.shape)));
        };
        let ((n, k), (k_of_b, m)) = (turned(*a0, *a1, self.trans_a), turned(*b0, *b1, self.trans_b));
        if k != k_of_b {
            return Err(Error::shape(format!("no product of shapes {:?} and {:?}", a.shape, b.shape)));
        }
        let (x, y) = (a.values::<T>()?, b.values::<T>()?);
        let part = part_of_sums::<T>(k, m, constant);
        let alpha = T::from_f64(self.alpha.into());
        let c = c.map(|c| Ok::<_, Error>((c, c.values::<T>()?))).transpose()?;
        // What is added to each column, and what comes behind, is part of the product where nothing lies between.
        let is_row = |c: &Tensor| c.len() == m && c.shape.last() == Some(&m) && c.rank() <= 2;
        let is_whole = alpha == T::ONE && c.is_none_or(|(c, _)| self.beta == 1.0 && is_row(c));
        let (factors, shifts) = (inputs.optional(3), inputs.optional(4));
        let scaled = match factors.zip(shifts) {
            Some((factors, shifts)) if !is_whole || factors.len() != m || shifts.len() != m => {
                return Err(Error::invalid_model("a product that is not normalised as it stands"));
            }
            Some((factors, shifts)) => Some((factors.values::<T>()?, shifts.values::<T>()?)),
            None => None,
        };
        let sums = out.overwritten::<T>(&[n, m])?;
        let x = if self.trans_a {
            turned_a.start::<T>(&[n, k])?.extend((0..n * k).map(|at| x[at % k * n + at / k]));
            turned_a.values::<T>()?
        } else {
            x
        };
        if !sums.is_empty() {
            let mut product = product(x, y, (n, k, m), self.trans_b, part);
            if is_whole {
                product.offsets = c.map(|(_, values)| values);
                product.scaled = scaled;
                product.rectified = self.activation == Some(Unary::Relu);
            }
            T::multiply(runner, &product, sums);
        }
        if is_whole {
            return Ok(());
        }
        if alpha != T::ONE {
            sums.iter_mut().for_each(|sum| *sum = *sum * alpha);
        }
        if let Some((c, values)) = c {
            let beta = T::from_f64(self.beta.into());
            let dims = broadcast(&c.shape, &[n, m])?;
            if *dims != [n, m] {
                return Err(Error::shape(format!("{:?} added to a product of shape [{n}, {m}]", c.shape)));
            }
            if values.len() == m && c.shape.last() == Some(&m) {
                with_rows(sums, values, |sum, value| sum + value * beta);
            } else {
                for (sum, at) in sums.iter_mut().zip(broadcast_indices(&dims, &c.shape)) {
                    *sum += values[at] * beta;
                }
            }
        }
        if self.activation == Some(Unary::Relu) {
            sums.iter_mut().for_each(|sum| *sum = rectified(*sum));
        }
        Ok(())
    }
}

fn turned(rows: usize, columns: usize, turn: bool) -> (usize, usize) {
    if turn { (columns, rows) } else { (rows, columns) }
}

/// Coefficients of linear functions, and what becomes of their values.
#[derive(Clone, Debug)]
pub(crate) struct LinearModel {
    /// One row of them per target or class.
    pub(crate) coefficients: Vec<f32>,
    /// One per target or class, or none.
    pub(crate) intercepts: Vec<f32>,
    pub(crate) n_targets: usize,
    pub(crate) post_transform: PostTransform,
}

impl LinearModel {
    /// Writes the values of every row of `x`, before the transform.
    fn scores(&self, x: &Tensor, runner: &mut dyn Evaluator, narrow: &mut Tensor, out: &mut Vec<f32>) -> Result<()> {
        let (rows, columns) = x.matrix_shape();
        if columns * self.n_targets != self.coefficients.len() {
            return Err(Error::shape(format!(
                "{columns} features, but {} coefficients for {} targets",
                self.coefficients.len(),
                self.n_targets
            )));
        }
        out.resize(rows * self.n_targets, 0.0);
        if out.is_empty() {
            return Ok(());
        }
        let (a, b) = (as_f32(x, narrow)?, &*self.coefficients);
        let part = part_of_sums::<f32>(columns, self.n_targets, false);
        runner.product_f32(&product(a, b, (rows, columns, self.n_targets), true, part), out);
        // A sum has a zero added even where there is no intercept.
        match *self.intercepts {
            [] => out.iter_mut().for_each(|score| *score += 0.0),
            _ => with_rows(out, &self.intercepts, |score, intercept| score + intercept),
        }
        Ok(())
    }

    /// `LinearRegressor`.
    pub(super) fn regress(
        &self,
        x: &Tensor,
        runner: &mut dyn Evaluator,
        narrow: &mut Tensor,
        out: &mut Tensor,
    ) -> Result<()> {
        let rows = x.matrix_shape().0;
        let scores = out.start::<f32>(&[rows, self.n_targets])?;
        self.scores(x, runner, narrow, scores)?;
        // A single score is left as it is, except by PROBIT.
        if self.n_targets > 1 || self.post_transform == PostTransform::Probit {
            self.post_transform.apply(scores, self.n_targets, runner);
        }
        Ok(())
    }

    /// `LinearClassifier`: the number of the class of each row, and the scores, of which one score makes two if there
    /// are two classes.
    pub(super) fn classify(
        &self,
        n_classes: usize,
        x: &Tensor,
        runner: &mut dyn Evaluator,
        (narrow, classes): (&mut Tensor, &mut Vec<usize>),
        out: &mut Tensor,
    ) -> Result<()> {
        let doubled = self.n_targets == 1 && n_classes == 2;
        let rows = x.matrix_shape().0;
        let scores = out.start::<f32>(&[rows, if doubled { 2 } else { self.n_targets }])?;
        self.scores(x, runner, narrow, scores)?;
        classes.clear();
        let transform = self.post_transform;
        if self.n_targets == 1 {
            classes.extend(scores.iter().map(|&score| usize::from(score > 0.0)));
            if !doubled {
                transform.apply(scores, 1, runner);
                return Ok(());
            }
            scores.resize(2 * rows, 0.0);
            // From the end, where there is room.
            for row in (0..rows).rev() {
                let score = scores[row];
                (scores[2 * row], scores[2 * row + 1]) = match transform {
                    PostTransform::Logistic => (-score, score),
                    PostTransform::Probit => (1.0 - score, probit(score)),
                    _ => (1.0 - score, score),
                };
            }
            if transform == PostTransform::Logistic {
                transform.apply(scores, 2, runner);
            }
            return Ok(());
        }
        classes.extend(scores.chunks_exact(self.n_targets).map(arg_max));
        match transform {
            PostTransform::Logistic => runner.function(Function::MlasLogistic, scores),
            // Short rows go through C's functions.
            PostTransform::Softmax if self.n_targets > 4 => transform::mlas_softmax(scores, self.n_targets, runner),
            _ => transform.apply(scores, self.n_targets, runner),
        }
        Ok(())
    }
}

/// The elements as f32, converted into `narrow` if they are something else.
pub(crate) fn as_f32<'a>(x: &'a Tensor, narrow: &'a mut Tensor) -> Result<&'a [f32]> {
    if let Data::F32(values) = &x.data {
        return Ok(values);
    }
    if !matches!(x.ty(), Type::F64 | Type::I32 | Type::I64) {
        return Err(Error::unsupported(format!("{} where numbers are expected", x.ty().name())));
    }
    run_cast(x, Type::F32, narrow)?;
    narrow.values()
}

/// `Scaler`: `(x - offset) * scale` by column. Doubles are scaled as such and narrowed at the end.
#[derive(Clone, Debug)]
pub(crate) struct Scaler {
    pub(crate) offset: Vec<f32>,
    pub(crate) scale: Vec<f32>,
}

impl Scaler {
    pub(super) fn run(&self, x: &Tensor, out: &mut Tensor) -> Result<()> {
        let columns = x.shape.last().copied().unwrap_or(1);
        for (what, list) in [("offsets", &self.offset), ("scales", &self.scale)] {
            if list.len() != 1 && list.len() != columns {
                return Err(Error::shape(format!("{columns} features, but {} {what}", list.len())));
            }
        }
        // For each column its offset and scale.
        fn scale<T: Element>(
            scaler: &Scaler,
            columns: usize,
            x: &[T],
            out: &mut Vec<f32>,
            f: impl Fn(T, f32, f32) -> f32,
        ) {
            let Scaler { offset, scale } = scaler;
            if let ([offset], [scale]) = (&**offset, &**scale) {
                return out.extend(x.iter().map(|&x| f(x, *offset, *scale)));
            }
            let at = |list: &[f32], column: usize| list[if list.len() == 1 { 0 } else { column }];
            for row in x.chunks_exact(columns.max(1)) {
                match offset.len() == scale.len() {
                    true => out.extend(row.iter().zip(offset).zip(scale).map(|((&x, &o), &s)| f(x, o, s))),
                    false => {
                        out.extend(
                            row.iter().enumerate().map(|(column, &x)| f(x, at(offset, column), at(scale, column))),
                        );
                    }
                }
            }
        }
        let narrow = |x: f32, offset: f32, scale: f32| (x - offset) * scale;
        let wide = |x: f64, offset: f32, scale: f32| ((x - f64::from(offset)) * f64::from(scale)) as f32;
        let shape = x.shape.as_slice();
        match &x.data {
            Data::F32(values) => scale(self, columns, values, out.start(shape)?, narrow),
            Data::F64(values) => scale(self, columns, values, out.start(shape)?, wide),
            Data::I64(values) => scale(self, columns, values, out.start(shape)?, |x, o, s| narrow(x as f32, o, s)),
            Data::I32(values) => scale(self, columns, values, out.start(shape)?, |x, o, s| narrow(x as f32, o, s)),
            _ => return Err(Error::unsupported(format!("{} cannot be scaled", x.ty().name()))),
        }
        Ok(())
    }
}

/// How a row is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norm {
    Max,
    L1,
    L2,
}

impl Norm {
    /// `Normalizer`, with ONNX Runtime's signs: the greatest element, not magnitude, and for L2 the root of each
    /// element's share.
    pub(super) fn run(self, x: &Tensor, narrow: &mut Tensor, out: &mut Tensor) -> Result<()> {
        let columns = x.matrix_shape().1;
        let values = as_f32(x, narrow)?;
        let out = out.start::<f32>(&x.shape)?;
        out.extend_from_slice(values);
        for row in out.chunks_exact_mut(columns.max(1)) {
            match self {
                Self::Max => {
                    let max = row.iter().copied().fold(f32::MIN, f32::max);
                    if max != 0.0 {
                        row.iter_mut().for_each(|x| *x /= max);
                    }
                }
                Self::L1 => {
                    let sum = row.iter().fold(0.0, |sum, x| sum + x.abs());
                    if sum != 0.0 {
                        row.iter_mut().for_each(|x| *x /= sum);
                    }
                }
                Self::L2 => {
                    let sum = row.iter().fold(0.0, |sum, x| sum + x * x);
                    if sum != 0.0 {
                        row.iter_mut().for_each(|x| *x = (*x * *x / sum).sqrt().copysign(*x));
                    }
                }
            }
        }
        Ok(())
    }
}

/// `Binarizer`: 1 above the threshold, else 0.
pub(super) fn binarize(x: &Tensor, threshold: f32, narrow: &mut Tensor, out: &mut Tensor) -> Result<()> {
    let values = as_f32(x, narrow)?;
    map(x, values, out, |x| f32::from(u8::from(x > threshold)))?;
    Ok(())
}

/// Solves `a · x = b` by elimination with partial pivoting.
pub(super) fn solve(a: &Tensor, b: &Tensor, out: &mut Tensor) -> Result<()> {
    let [n, columns] = *a.shape else {
        return Err(Error::unsupported(format!("a system of shape {:?}", a.shape)));
    };
    let m = if b.rank() == 1 { 1 } else { b.shape.last().copied().unwrap_or(1) };
    if n != columns || b.len() != n * m {
        return Err(Error::shape(format!("a system of shape {:?} with a right side of {:?}", a.shape, b.shape)));
    }
    let mut wide = [Tensor::default(), Tensor::default()];
    run_cast(a, Type::F64, &mut wide[0])?;
    run_cast(b, Type::F64, &mut wide[1])?;
    let [a, right] = wide;
    let (mut a, mut right) = (a.values::<f64>()?.to_vec(), right.values::<f64>()?.to_vec());
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i * n + column].abs().total_cmp(&a[j * n + column].abs()));
        let pivot = pivot.unwrap_or(column);
        (0..n).for_each(|at| a.swap(column * n + at, pivot * n + at));
        (0..m).for_each(|at| right.swap(column * m + at, pivot * m + at));
        for row in 0..n {
            if row != column {
                let factor = a[row * n + column] / a[column * n + column];
                (column..n).for_each(|at| a[row * n + at] -= factor * a[column * n + at]);
                (0..m).for_each(|at| right[row * m + at] -= factor * right[column * m + at]);
            }
        }
    }
    let solved = (0..n * m).map(|at| right[at] / a[at / m * n + at / m]);
    match b.ty() {
        Type::F32 => out.start::<f32>(&b.shape)?.extend(solved.map(|x| x as f32)),
        _ => out.start::<f64>(&b.shape)?.extend(solved),
    }
    Ok(())
}

/// `Einsum` of one or two operands, by going over every combination of indices.
#[derive(Clone, Debug)]
pub(crate) struct Einsum {
    /// For each operand, and last for the result, the letters of its dimensions.
    pub(crate) terms: Vec<Vec<u8>>,
}

impl Einsum {
    pub(super) fn run(&self, inputs: &Inputs<'_>, out: &mut Tensor) -> Result<()> {
        match inputs.get(0)?.ty() {
            Type::F32 => self.run_of::<f32>(inputs, out),
            Type::F64 => self.run_of::<f64>(inputs, out),
            ty => Err(Error::unsupported(format!("a sum of products of {}", ty.name()))),
        }
    }

    fn run_of<T: Number>(&self, inputs: &Inputs<'_>, out: &mut Tensor) -> Result<()> {
        let Some((result, operands)) = self.terms.split_last() else {
            return Err(Error::invalid_model("a sum of no products"));
        };
        if operands.len() != inputs.len() {
            return Err(Error::invalid_model(format!("{} terms for {} values", operands.len(), inputs.len())));
        }
        // Letters of the result first, so that its elements come in order.
        let mut letters: Vec<(u8, usize)> = result.iter().map(|&letter| (letter, 0)).collect();
        for (index, term) in operands.iter().enumerate() {
            let x = inputs.get(index)?;
            if x.rank() != term.len() {
                return Err(Error::shape(format!("a value of shape {:?} for {} indices", x.shape, term.len())));
            }
            for (&letter, &size) in term.iter().zip(&x.shape) {
                match letters.iter_mut().find(|(known, _)| *known == letter) {
                    Some((_, known)) if *known == 0 || *known == size => *known = size,
                    Some((_, known)) => return Err(Error::shape(format!("an index of sizes {known} and {size}"))),
                    None => letters.push((letter, size)),
                }
            }
        }
        let shape: Vec<usize> = letters[..result.len()].iter().map(|(_, size)| *size).collect();
        let strides = |index: usize| -> Result<Vec<usize>> {
            let (x, term) = (inputs.get(index)?, &operands[index]);
            let stride = |letter: u8| {
                let matching = term.iter().enumerate().filter(|(_, other)| **other == letter);
                matching.map(|(at, _)| x.shape[at + 1..].iter().product::<usize>()).sum()
            };
            Ok(letters.iter().map(|&(letter, _)| stride(letter)).collect())
        };
        let strides = (0..operands.len()).map(strides).collect::<Result<Vec<_>>>()?;
        let values = (0..operands.len()).map(|index| inputs.get(index)?.values::<T>()).collect::<Result<Vec<_>>>()?;
        let all: Vec<usize> = letters.iter().map(|(_, size)| *size).collect();
        checked_total(&all)?;
        let inner: usize = all[result.len()..].iter().product();
        let sums = out.fill::<T>(&shape, T::ZERO)?;
        let mut positions = vec![0; letters.len()];
        for (at, sum) in sums.iter_mut().enumerate() {
            for step in 0..inner {
                let mut rest = at * inner + step;
                for (position, (_, size)) in positions.iter_mut().zip(&letters).rev() {
                    (*position, rest) = (rest % size, rest / size);
                }
                let product = strides.iter().zip(&values).map(|(strides, values)| {
                    values[positions.iter().zip(strides).map(|(position, stride)| position * stride).sum::<usize>()]
                });
                *sum += product.fold(T::ONE, |product, value| product * value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Reference;

    #[test]
    fn matrices_multiply() {
        let a = Tensor::new(&[2, 2], vec![1f32, 2.0, 3.0, 4.0]);
        let mut out = Tensor::default();
        let runner = &mut Reference(&[]);
        mat_mul(&a, &a, true, runner, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 2], vec![7f32, 10.0, 15.0, 22.0]));
        mat_mul(&a, &Tensor::list(vec![1f32, 1.0]), true, runner, &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![3f32, 7.0]));
        let gemm = Gemm { alpha: 2.0, beta: 1.0, trans_a: true, trans_b: true, activation: None };
        let slots = [a.clone(), Tensor::list(vec![0f32, 1.0])];
        let x = Inputs { values: &[Some(0), Some(0), Some(1)], constants: &[None, None], slots: &slots };
        gemm.run(&x, runner, &mut Tensor::default(), &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 2], vec![14f32, 31.0, 20.0, 45.0]));
        assert!(mat_mul(&a, &Tensor::list(vec![1f32]), true, runner, &mut out).unwrap_err().is_shape());
        solve(&a, &Tensor::new(&[2, 1], vec![5f32, 11.0]), &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[2, 1], vec![1f32, 2.0]));
    }

    #[test]
    fn long_sums_are_taken_in_parts() {
        assert_eq!(
            [
                part_of_sums::<f32>(1000, 5, true),
                part_of_sums::<f32>(1000, 5, false),
                part_of_sums::<f64>(1000, 5, true)
            ],
            [256, 1024, 512]
        );
        let (a, ones) = ([1e8f32, 1.0, 1.0, -1e8, 1.0, 1.0], [1.0; 6]);
        let sum = |part| {
            let mut sum = [f32::NAN];
            product(&a, &ones, (1, 6, 1), false, part).eval(&mut sum);
            sum[0]
        };
        assert_eq!((sum(6), sum(3)), (2.0, 0.0));
    }

    #[test]
    fn sums_with_a_list_are_taken_by_fours() {
        let (mut out, runner) = (Tensor::default(), &mut Reference(&[]));
        let a = Tensor::new(&[2, 6], vec![1e8f32, 1.0, 1.0, 1.0, -1e8, 1.0, 1.0, 1.0, 1.0, 1.0, 1e8, -1e8]);
        mat_mul(&a, &Tensor::list(vec![1f32; 6]), true, runner, &mut out).unwrap();
        assert_eq!(out, Tensor::list(vec![0f32, 4.0]));
    }

    #[test]
    fn rows_are_normalised_with_the_signs_of_onnx_runtime() {
        let x = Tensor::new(&[1, 3], vec![-1f32, -2.0, -5.0]);
        let (mut narrow, mut out) = (Tensor::default(), Tensor::default());
        Norm::Max.run(&x, &mut narrow, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[1, 3], vec![1f32, 2.0, 5.0]));
        Norm::L1.run(&x, &mut narrow, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[1, 3], vec![-0.125f32, -0.25, -0.625]));
    }
}

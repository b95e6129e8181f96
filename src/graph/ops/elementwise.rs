//! Operators on each element by itself, and on pairs of elements that broadcasting brings together.

use super::Inputs;
use super::broadcast::{broadcast, broadcast_indices, is_row_of, map, zip};
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::tensor::{Data, Element, Tensor, Type};
use crate::ir::function::Function;
use crate::ir::product::rectified;
use crate::ir::real::Real;

/// An operator of one argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unary {
    Abs,
    Ceil,
    Cos,
    Erf,
    Exp,
    Floor,
    /// Of f32 only.
    Function(Function),
    Log,
    /// `x * tanh(softplus(x))`.
    Mish,
    Neg,
    Not,
    Reciprocal,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Sin,
    Softplus,
    Sqrt,
    Tanh,
}

/// An operator of two arguments of a type, or of any number of them, taken in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Div,
    Max,
    Min,
    Mod,
    Mul,
    Sub,
}

/// A question about two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A connective of two truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
    Xor,
}

/// What the float types share beyond [`Real`].
pub(crate) trait Float: Element + Real {
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round_even(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn remainder(self, by: Self) -> Self;
    fn is_nan(self) -> bool;
    /// The sum of a row as ONNX Runtime takes it: see [`sum_by_lanes`].
    fn sum(row: &[Self]) -> Self;
}

macro_rules! float {
    ($float:ident, $ln:path, $lanes:literal) => {
        impl Float for $float {
            fn ln(self) -> Self {
                $ln(self)
            }
            fn tanh(self) -> Self {
                $float::tanh(self)
            }
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            fn abs(self) -> Self {
                $float::abs(self)
            }
            fn floor(self) -> Self {
                $float::floor(self)
            }
            fn ceil(self) -> Self {
                $float::ceil(self)
            }
            fn round_even(self) -> Self {
                $float::round_ties_even(self)
            }
            fn sin(self) -> Self {
                $float::sin(self)
            }
            fn cos(self) -> Self {
                $float::cos(self)
            }
            fn remainder(self, by: Self) -> Self {
                self % by
            }
            fn is_nan(self) -> bool {
                $float::is_nan(self)
            }
            fn sum(row: &[Self]) -> Self {
                sum_by_lanes::<Self, $lanes>(row)
            }
        }
    };
}

float!(f32, crate::math::logf, 8);
float!(f64, f64::ln, 4);

/// A sum by as many lanes as a register of AVX has, then by half as many for what is left, then one by one: how Eigen takes
/// the sum of a row that is aligned in memory.
fn sum_by_lanes<T: Real, const LANES: usize>(row: &[T]) -> T {
    let mut width = LANES / 2;
    if row.len() < width {
        return row.iter().fold(T::ZERO, |sum, &x| sum + x);
    }
    let (whole, rest) = row.as_chunks::<LANES>();
    let mut lanes = [T::ZERO; LANES];
    let mut rest = rest;
    if let Some((first, others)) = whole.split_first() {
        lanes = *first;
        for part in others {
            lanes.iter_mut().zip(part).for_each(|(lane, &x)| *lane += x);
        }
        (0..width).for_each(|lane| lanes[lane] += lanes[lane + width]);
    } else {
        lanes[..width].copy_from_slice(&rest[..width]);
        rest = &rest[width..];
    }
    if rest.len() >= width {
        lanes.iter_mut().zip(&rest[..width]).for_each(|(lane, &x)| *lane += x);
        rest = &rest[width..];
    }
    while width > 1 {
        width /= 2;
        (0..width).for_each(|lane| lanes[lane] += lanes[lane + width]);
    }
    rest.iter().fold(lanes[0], |sum, &x| sum + x)
}

/// The logistic function as ONNX Runtime's machine-learning operators compute it (`ml_common.h`, `ComputeLogistic`).
pub(crate) fn logistic<T: Float>(x: T) -> T {
    let upper = T::ONE / (T::ONE + (-Float::abs(x)).exp());
    if x < T::ZERO { T::ONE - upper } else { upper }
}

/// `ln(1 + exp(x))`.
fn softplus<T: Float>(x: T) -> T {
    if x > T::ZERO { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

/// The error function: W. J. Cody, "Rational Chebyshev approximations for the error function", relative error below
/// 1.2e-7 in the form of Numerical Recipes' `erfc`, refined by a series near 0.
fn erf(x: f64) -> f64 {
    let z = x.abs();
    if z < 2.0 {
        // The Taylor series converges quickly and without much cancellation here.
        let (mut term, mut sum, mut n) = (z, z, 0.0f64);
        while term.abs() > 1e-17 * sum.abs() && n < 100.0 {
            n += 1.0;
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        return (sum * std::f64::consts::FRAC_2_SQRT_PI).copysign(x);
    }
    if z > 6.0 {
        return 1f64.copysign(x);
    }
    // The continued fraction of erfc, from its tail up.
    let mut fraction = 0.0;
    for k in (1..=60).rev() {
        fraction = f64::from(k) / 2.0 / (z + fraction);
    }
    let complement = (-z * z).exp() / ((z + fraction) * std::f64::consts::PI.sqrt());
    (1.0 - complement).copysign(x)
}

impl Unary {
    /// Each has a loop of its own.
    fn floats<T: Float>(self, x: &Tensor, values: &[T], out: &mut Tensor) -> Result<()> {
        match self {
            Self::Abs => map(x, values, out, |x| Float::abs(x)),
            Self::Ceil => map(x, values, out, |x| x.ceil()),
            Self::Cos => map(x, values, out, |x| x.cos()),
            Self::Erf => map(x, values, out, |x| T::from_f64(erf(x.to_f64()))),
            Self::Exp => map(x, values, out, |x| x.exp()),
            Self::Floor => map(x, values, out, |x| x.floor()),
            Self::Function(_) => Err(no_type(x)),
            Self::Log => map(x, values, out, |x| x.ln()),
            Self::Mish => map(x, values, out, |x| x * Float::tanh(softplus(x))),
            Self::Neg => map(x, values, out, |x| -x),
            Self::Not => out.copy(x),
            Self::Reciprocal => map(x, values, out, |x| T::ONE / x),
            Self::Relu => map(x, values, out, rectified),
            Self::Round => map(x, values, out, |x| x.round_even()),
            Self::Sigmoid => map(x, values, out, logistic),
            Self::Sign => map(x, values, out, |x| x.sign()),
            Self::Sin => map(x, values, out, |x| x.sin()),
            Self::Softplus => map(x, values, out, softplus),
            Self::Sqrt => map(x, values, out, |x| x.sqrt()),
            Self::Tanh => map(x, values, out, |x| x.tanh()),
        }
    }

    fn integer(self, x: i64) -> Option<i64> {
        match self {
            Self::Abs => Some(x.wrapping_abs()),
            Self::Neg => Some(x.wrapping_neg()),
            Self::Sign => Some(x.signum()),
            Self::Relu => Some(x.max(0)),
            _ => None,
        }
    }

    /// Whether it can follow at once on what comes before it.
    pub(crate) fn is_activation(self) -> bool {
        self == Self::Relu || self.function().is_some()
    }

    /// Of each f32, in its place, for what the evaluator computes.
    pub(super) fn in_place(self, values: &mut Tensor, runner: &mut dyn Evaluator) -> Result<()> {
        let (Data::F32(values), Some(function)) = (&mut values.data, self.function()) else {
            return Err(no_type(values));
        };
        runner.function(function, values);
        Ok(())
    }

    /// What the evaluator computes of it.
    fn function(self) -> Option<Function> {
        match self {
            Self::Erf => Some(Function::MlasErf),
            Self::Exp => Some(Function::MlasExp),
            Self::Function(function) => Some(function),
            Self::Log => Some(Function::Log),
            Self::Sigmoid => Some(Function::MlasLogistic),
            Self::Tanh => Some(Function::MlasTanh),
            _ => None,
        }
    }

    pub(super) fn run(self, x: &Tensor, runner: &mut dyn Evaluator, out: &mut Tensor) -> Result<()> {
        if let (Data::F32(values), Some(function)) = (&x.data, self.function()) {
            let out = out.start::<f32>(&x.shape)?;
            out.extend_from_slice(values);
            runner.function(function, out);
            return Ok(());
        }
        match &x.data {
            Data::F32(values) if self != Self::Not => self.floats(x, values, out)?,
            Data::F64(values) if self != Self::Not => self.floats(x, values, out)?,
            Data::I64(values) if self.integer(0).is_some() => {
                map(x, values, out, |value| self.integer(value).unwrap_or_default())?;
            }
            Data::I32(values) if self.integer(0).is_some() => {
                map(x, values, out, |value| self.integer(value.into()).unwrap_or_default() as i32)?;
            }
            Data::Bool(values) if self == Self::Not => map(x, values, out, |value: bool| !value)?,
            _ => return Err(no_type(x)),
        }
        Ok(())
    }
}

pub(super) fn no_type(x: &Tensor) -> Error {
    Error::unsupported(format!("no such operator on {}", x.ty().name()))
}

impl Binary {
    /// Each has a loop of its own.
    fn floats<T: Float>(self, a: (&[usize], &[T]), b: (&[usize], &[T]), out: &mut Tensor) -> Result<()> {
        match self {
            Self::Add => zip(a, b, out, |a, b| a + b),
            Self::Div => zip(a, b, out, |a, b| a / b),
            // NaN stays, as in ONNX Runtime (Eigen with PropagateNaN).
            Self::Max => zip(a, b, out, |a, b| if a > b || a.is_nan() { a } else { b }),
            Self::Min => zip(a, b, out, |a, b| if a < b || a.is_nan() { a } else { b }),
            Self::Mod => zip(a, b, out, |a, b| a.remainder(b)),
            Self::Mul => zip(a, b, out, |a, b| a * b),
            Self::Sub => zip(a, b, out, |a, b| a - b),
        }
    }

    fn integer(self, a: i64, b: i64) -> i64 {
        match self {
            Self::Add => a.wrapping_add(b),
            Self::Div => a.checked_div(b).unwrap_or(0),
            Self::Max => a.max(b),
            Self::Min => a.min(b),
            // The sign of the divisor, as in Python.
            Self::Mod => {
                a.checked_rem(b).map_or(0, |rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            Self::Mul => a.wrapping_mul(b),
            Self::Sub => a.wrapping_sub(b),
        }
    }

    fn run_pair(self, a: &Tensor, b: &Tensor, out: &mut Tensor) -> Result<()> {
        match (&a.data, &b.data) {
            (Data::F32(x), Data::F32(y)) => self.floats((&a.shape, x), (&b.shape, y), out),
            (Data::F64(x), Data::F64(y)) => self.floats((&a.shape, x), (&b.shape, y), out),
            (Data::I64(x), Data::I64(y)) => zip((&a.shape, x), (&b.shape, y), out, |x, y| self.integer(x, y)),
            (Data::I32(x), Data::I32(y)) => {
                zip((&a.shape, x), (&b.shape, y), out, |x, y| self.integer(x.into(), y.into()) as i32)
            }
            _ => Err(no_pair(a, b)),
        }
    }

    /// Of the first two inputs, then of that and the next, and so on; `so_far` is working memory.
    pub(super) fn run(self, inputs: &Inputs<'_>, so_far: &mut Tensor, out: &mut Tensor) -> Result<()> {
        if inputs.len() == 1 {
            return out.copy(inputs.get(0)?);
        }
        self.run_pair(inputs.get(0)?, inputs.get(1)?, out)?;
        for index in 2..inputs.len() {
            so_far.copy(out)?;
            self.run_pair(so_far, inputs.get(index)?, out)?;
        }
        Ok(())
    }
}

/// Below zero, the product with the slope; slopes broadcast to the shape of `x`.
pub(super) fn run_prelu(x: &Tensor, slope: &Tensor, out: &mut Tensor) -> Result<()> {
    fn prelu<T: Float>((x, xs): (&Tensor, &[T]), (slope, slopes): (&Tensor, &[T]), out: &mut Tensor) -> Result<()> {
        if *broadcast(&x.shape, &slope.shape)? != *x.shape {
            return Err(Error::shape(format!("slopes of shape {:?} for a value of shape {:?}", slope.shape, x.shape)));
        }
        zip((&x.shape, xs), (&slope.shape, slopes), out, |x, slope| if x < T::ZERO { x * slope } else { x })
    }
    match (&x.data, &slope.data) {
        (Data::F32(xs), Data::F32(slopes)) => prelu((x, xs), (slope, slopes), out),
        (Data::F64(xs), Data::F64(slopes)) => prelu((x, xs), (slope, slopes), out),
        _ => Err(no_pair(x, slope)),
    }
}

/// The mean of the inputs, element by element.
pub(super) fn run_mean(inputs: &Inputs<'_>, so_far: &mut Tensor, out: &mut Tensor) -> Result<()> {
    Binary::Add.run(inputs, so_far, out)?;
    let count = inputs.len() as f32;
    match &mut out.data {
        Data::F32(values) => values.iter_mut().for_each(|value| *value /= count),
        Data::F64(values) => values.iter_mut().for_each(|value| *value /= f64::from(count)),
        _ => return Err(no_type(out)),
    }
    Ok(())
}

fn no_pair(a: &Tensor, b: &Tensor) -> Error {
    Error::unsupported(format!("no such operator on {} and {}", a.ty().name(), b.ty().name()))
}

impl Compare {
    fn of<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
        }
    }

    /// Each has a loop of its own.
    fn all<T: Element>(self, a: (&[usize], &[T]), b: (&[usize], &[T]), out: &mut Tensor) -> Result<()> {
        match self {
            Self::Equal => zip(a, b, out, |a, b| a == b),
            Self::Greater => zip(a, b, out, |a, b| a > b),
            Self::GreaterOrEqual => zip(a, b, out, |a, b| a >= b),
            Self::Less => zip(a, b, out, |a, b| a < b),
            Self::LessOrEqual => zip(a, b, out, |a, b| a <= b),
        }
    }

    pub(super) fn run(self, a: &Tensor, b: &Tensor, out: &mut Tensor) -> Result<()> {
        match (&a.data, &b.data) {
            (Data::F32(x), Data::F32(y)) => self.all((&a.shape, x), (&b.shape, y), out),
            (Data::F64(x), Data::F64(y)) => self.all((&a.shape, x), (&b.shape, y), out),
            (Data::I64(x), Data::I64(y)) => self.all((&a.shape, x), (&b.shape, y), out),
            (Data::I32(x), Data::I32(y)) => self.all((&a.shape, x), (&b.shape, y), out),
            (Data::Bool(x), Data::Bool(y)) => self.all((&a.shape, x), (&b.shape, y), out),
            (Data::Text(x), Data::Text(y)) => {
                let dims = broadcast(&a.shape, &b.shape)?;
                let pairs = broadcast_indices(&dims, &a.shape).zip(broadcast_indices(&dims, &b.shape));
                out.start::<bool>(&dims)?.extend(pairs.map(|(i, j)| self.of(x.get(i), y.get(j))));
                Ok(())
            }
            _ => Err(no_pair(a, b)),
        }
    }
}

impl Logic {
    pub(super) fn run(self, a: &Tensor, b: &Tensor, out: &mut Tensor) -> Result<()> {
        let of = |a: bool, b: bool| match self {
            Self::And => a && b,
            Self::Or => a || b,
            Self::Xor => a != b,
        };
        zip((&a.shape, a.values::<bool>()?), (&b.shape, b.values::<bool>()?), out, of)
    }
}

/// `a ** b`, in the type of `a`; squares and cubes are products, as in ONNX Runtime.
pub(super) fn run_pow(a: &Tensor, b: &Tensor, runner: &mut dyn Evaluator, out: &mut Tensor) -> Result<()> {
    fn pow<T: Float>(x: T, y: T) -> T {
        if y.to_f64() == 2.0 {
            x * x
        } else if y.to_f64() == 3.0 {
            x * x * x
        } else {
            x.powf(y)
        }
    }
    match (&a.data, &b.data) {
        (Data::F32(x), Data::F32(y)) if !y.is_empty() && is_row_of(&b.shape, &a.shape) => {
            let out = out.start::<f32>(&a.shape)?;
            out.extend_from_slice(x);
            runner.powers(out, y);
            Ok(())
        }
        (Data::F32(x), Data::F32(y)) => zip((&a.shape, x), (&b.shape, y), out, pow),
        (Data::F64(x), Data::F64(y)) => zip((&a.shape, x), (&b.shape, y), out, pow),
        (Data::F32(x), Data::I64(y)) => zip((&a.shape, x), (&b.shape, y), out, |x, y| pow(x, y as f32)),
        (Data::F32(x), Data::F64(y)) => zip((&a.shape, x), (&b.shape, y), out, |x, y| pow(f64::from(x), y) as f32),
        (Data::F64(x), Data::F32(y)) => zip((&a.shape, x), (&b.shape, y), out, |x, y| pow(x, f64::from(y))),
        (Data::F64(x), Data::I64(y)) => zip((&a.shape, x), (&b.shape, y), out, |x, y| pow(x, y as f64)),
        (Data::I64(x), Data::I64(y)) => zip((&a.shape, x), (&b.shape, y), out, |x, y| pow(x as f64, y as f64) as i64),
        (Data::I64(x), Data::F32(y)) => {
            zip((&a.shape, x), (&b.shape, y), out, |x, y| pow(x as f64, f64::from(y)) as i64)
        }
        _ => Err(no_pair(a, b)),
    }
}

/// Elements of `a` where `condition` holds, else of `b`.
pub(super) fn run_where(condition: &Tensor, a: &Tensor, b: &Tensor, out: &mut Tensor) -> Result<()> {
    let chosen = condition.values::<bool>()?;
    let dims = broadcast(&broadcast(&condition.shape, &a.shape)?, &b.shape)?;
    let conditions = broadcast_indices(&dims, &condition.shape).map(|at| chosen[at]);
    let mut indices = conditions.zip(broadcast_indices(&dims, &a.shape).zip(broadcast_indices(&dims, &b.shape)));
    let is_whole = |x: &Tensor| x.len() == 1 || *x.shape == *dims;
    let is_plain = *condition.shape == *dims && is_whole(a) && is_whole(b);
    let chosen = chosen.iter();
    macro_rules! choose {
        ($a:ident, $b:ident) => {{
            let out = out.start(&dims)?;
            match (&$a[..], &$b[..]) {
                _ if !is_plain => out.extend(indices.map(|(first, (i, j))| if first { $a[i] } else { $b[j] })),
                (&[a], &[b]) => out.extend(chosen.map(|&first| if first { a } else { b })),
                (&[a], b) => out.extend(chosen.zip(b).map(|(&first, &b)| if first { a } else { b })),
                (a, &[b]) => out.extend(chosen.zip(a).map(|(&first, &a)| if first { a } else { b })),
                (a, b) => out.extend(chosen.zip(a).zip(b).map(|((&first, &a), &b)| if first { a } else { b })),
            }
        }};
    }
    match (&a.data, &b.data) {
        (Data::F32(x), Data::F32(y)) => choose!(x, y),
        (Data::F64(x), Data::F64(y)) => choose!(x, y),
        (Data::I32(x), Data::I32(y)) => choose!(x, y),
        (Data::I64(x), Data::I64(y)) => choose!(x, y),
        (Data::Bool(x), Data::Bool(y)) => choose!(x, y),
        (Data::Text(x), Data::Text(y)) => {
            let out = out.start_text(&dims)?;
            indices.try_for_each(|(first, (i, j))| {
                out.push(if first { x.get(i) } else { y.get(j) }?);
                Some(())
            });
        }
        _ => return Err(no_pair(a, b)),
    }
    Ok(())
}

/// Elements held within bounds; an absent bound bounds nothing.
pub(super) fn run_clip(x: &Tensor, low: Option<&Tensor>, high: Option<&Tensor>, out: &mut Tensor) -> Result<()> {
    fn clip<T: Element>(x: &Tensor, low: Option<&Tensor>, high: Option<&Tensor>, out: &mut Tensor) -> Result<()> {
        let low = low.map(Tensor::scalar::<T>).transpose()?;
        let high = high.map(Tensor::scalar::<T>).transpose()?;
        map(x, x.values::<T>()?, out, |value| {
            let value = low.filter(|low| value < *low).unwrap_or(value);
            high.filter(|high| value > *high).unwrap_or(value)
        })?;
        Ok(())
    }
    match x.ty() {
        Type::F32 => clip::<f32>(x, low, high, out),
        Type::F64 => clip::<f64>(x, low, high, out),
        Type::I32 => clip::<i32>(x, low, high, out),
        Type::I64 => clip::<i64>(x, low, high, out),
        _ => Err(no_type(x)),
    }
}

/// Whether each element is NaN.
pub(super) fn run_is_nan(x: &Tensor, out: &mut Tensor) -> Result<()> {
    match &x.data {
        Data::F32(values) => map(x, values, out, f32::is_nan)?,
        Data::F64(values) => map(x, values, out, f64::is_nan)?,
        _ => return Err(no_type(x)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::new(shape, values.to_vec())
    }

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        let mut out = Tensor::default();
        let pair = |a: &Tensor, b: &Tensor, out: &mut Tensor| Binary::Sub.run_pair(a, b, out);
        let matrix = floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        pair(&matrix, &floats(&[3], &[1.0, 2.0, 3.0]), &mut out).unwrap();
        assert_eq!(out, floats(&[2, 3], &[0.0, 0.0, 0.0, 3.0, 3.0, 3.0]));
        pair(&matrix, &floats(&[2, 1], &[1.0, 2.0]), &mut out).unwrap();
        assert_eq!(out, floats(&[2, 3], &[0.0, 1.0, 2.0, 2.0, 3.0, 4.0]));
        pair(&floats(&[2, 1], &[1.0, 2.0]), &floats(&[1, 2], &[1.0, 2.0]), &mut out).unwrap();
        assert_eq!(out, floats(&[2, 2], &[0.0, -1.0, 1.0, 0.0]));
        pair(&floats(&[], &[1.0]), &floats(&[1, 1], &[1.0]), &mut out).unwrap();
        assert_eq!(out.shape, [1, 1]);
        assert!(pair(&matrix, &floats(&[2], &[1.0, 2.0]), &mut out).unwrap_err().is_shape());
        pair(&floats(&[0, 3], &[]), &floats(&[3], &[1.0, 2.0, 3.0]), &mut out).unwrap();
        assert_eq!((&*out.shape, out.len()), (&[0, 3][..], 0));
    }

    #[test]
    fn sums_are_taken_by_lanes() {
        // What is added to a great number is lost; what is added once it has met its opposite is not.
        let big = (1u64 << 40) as f32;
        let row = |big_at: usize, small_at: usize, n: usize| -> Vec<f32> {
            let value = |at: usize| {
                if at == big_at {
                    big
                } else if at == small_at {
                    -big
                } else {
                    1.0
                }
            };
            (0..n).map(value).collect()
        };
        for (first, second, n, expected) in
            [(0, 8, 16, 14.0), (0, 4, 16, 12.0), (0, 16, 20, 15.0), (0, 1, 20, 0.0), (0, 2, 5, 3.0), (0, 1, 3, 1.0)]
        {
            assert_eq!(Float::sum(&row(first, second, n)[..]), expected, "{first} {second} {n}");
        }
        assert_eq!(<f64 as Float>::sum(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), 28.0);
    }

    #[test]
    fn the_error_function_is_right_to_double_precision() {
        for (x, expected) in
            [(0.0, 0.0), (0.5, 0.520_499_877_813_046_5), (2.5, 0.999_593_047_982_555), (-1.0, -0.842_700_792_949_714_9)]
        {
            assert!((erf(x) - expected).abs() < 1e-14, "erf({x}) = {}", erf(x));
        }
    }
}

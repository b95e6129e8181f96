//! Functions of one number, as pipelines ask for them of many, and the definition of what they are.

use crate::math::{self, mlas};

/// A function of an f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    /// `factor * x + offset`, rounded once.
    Affine {
        factor: f32,
        offset: f32,
    },
    /// x to a whole power of at least 1, by squaring, as Eigen has it.
    WholePower(u32),
    /// C's `expf`.
    Exp,
    /// C's `logf`.
    Log,
    /// `1 / (1 + exp(-|x|))`, or 1 minus that where `x < 0` (ONNX Runtime `ml_common.h`, `ComputeLogistic`).
    Logistic,
    /// See [`probit`].
    Probit,
    /// As ONNX Runtime's matrix library approximates them.
    MlasExp,
    MlasLogistic,
    MlasTanh,
    MlasErf,
    /// `x` times its logistic function.
    MlasSilu,
    /// `slope * x` below zero.
    LeakyRelu {
        slope: f32,
    },
    /// Zero for what is not above the threshold.
    ThresholdedRelu {
        threshold: f32,
    },
    /// `factor * (exp(x / width) - 1)` below zero, then all of it times `scale`.
    Elu {
        factor: f32,
        width: f32,
        scale: f32,
    },
    /// `x` times the normal distribution's cumulative function.
    Gelu,
    /// That by an approximation with `tanh`.
    GeluTanh,
    /// `slope * x + offset` between 0 and 1.
    HardLogistic {
        slope: f32,
        offset: f32,
    },
    /// `x` times the [`HardLogistic`](Self::HardLogistic) of slope 1/6 and offset 0.5.
    HardSwish,
    /// `x / (1 + |x|)`.
    Softsign,
}

impl Function {
    /// The function of each value, in place.
    ///
    /// Always inlined, so that its loops are compiled for the instructions its caller may use.
    #[inline(always)]
    pub(crate) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Affine { factor, offset } => map(values, |x| x.mul_add(factor, offset)),
            Self::WholePower(power) => map(values, |x| {
                let (mut others, mut square, mut left) = (1.0, x, power);
                while left > 1 {
                    others = if left % 2 == 1 { others * square } else { others };
                    square *= square;
                    left /= 2;
                }
                others * square
            }),
            Self::Exp => math::expf_all(values),
            Self::Log => map(values, math::logf),
            Self::Logistic => map(values, |x| {
                let upper = 1.0 / (1.0 + math::expf(-x.abs()));
                if x < 0.0 { 1.0 - upper } else { upper }
            }),
            Self::Probit => map(values, probit),
            Self::MlasExp => map(values, mlas::exp),
            Self::MlasLogistic => map(values, mlas::logistic),
            Self::MlasTanh => map(values, mlas::tanh),
            Self::MlasErf => map(values, mlas::erf),
            Self::MlasSilu => map(values, |x| x * mlas::logistic(x)),
            Self::LeakyRelu { slope } => map(values, |x| if x < 0.0 { slope * x } else { x }),
            Self::ThresholdedRelu { threshold } => map(values, |x| if x > threshold { x } else { 0.0 }),
            Self::Elu { factor, width, scale } => map(values, |x| {
                let below = factor * (mlas::exp(x / width) - 1.0);
                scale * if x < 0.0 { below } else { x }
            }),
            Self::Gelu => map(values, |x| 0.5 * x * (mlas::erf(x * std::f32::consts::FRAC_1_SQRT_2) + 1.0)),
            Self::GeluTanh => map(values, |x| {
                // The square root of 2 / pi.
                let inner = 0.797_884_6 * x * (0.044_715 * x * x + 1.0);
                0.5 * x * (mlas::tanh(inner) + 1.0)
            }),
            Self::HardLogistic { slope, offset } => map(values, |x| (slope * x + offset).clamp(0.0, 1.0)),
            Self::HardSwish => map(values, |x| x * (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
            Self::Softsign => map(values, |x| x / (1.0 + x.abs())),
        }
    }
}

/// The inverse of the normal distribution's cumulative function, in Winitzki's approximation, as `ComputeProbit` of
/// ONNX Runtime has it.
#[inline(always)]
pub(crate) fn probit(value: f32) -> f32 {
    let x = 2.0 * value - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0f32 };
    let log = math::logf((1.0 - x) * (1.0 + x));
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let v2 = 1.0 / 0.147f32 * log;
    let v3 = -v + (v * v - v2).sqrt();
    std::f32::consts::SQRT_2 * (sign * v3.sqrt())
}

/// Puts `x ** y` in the place of each `x`, where the exponents `y` are those of its column; squares and cubes are products, as
/// in ONNX Runtime.
///
/// Always inlined, as [`Function::apply`].
#[inline(always)]
pub(crate) fn powers(rows: &mut [f32], exponents: &[f32]) {
    for row in rows.chunks_mut(exponents.len().max(1)) {
        for (x, &y) in row.iter_mut().zip(exponents) {
            *x = match y {
                2.0 => *x * *x,
                3.0 => *x * *x * *x,
                _ => math::powf(*x, y),
            };
        }
    }
}

#[inline(always)]
fn map(values: &mut [f32], f: impl Fn(f32) -> f32) {
    for x in values {
        *x = f(*x);
    }
}

//! From margins to values: the link functions of the source libraries, operation by operation.
//!
//! A link works on the margins of one row, in the forest's sum type. The order of operations is part of the
//! definition: two formulas that agree on paper differ in the last bit.

use serde::Serialize;

use super::real::Real;

/// How the margins of a row become its values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Link {
    /// The value is the margin.
    Identity,
    /// `1 / (exp(min(-x, 88.7)) + 1)`: XGBoost's sigmoid, whose clamp keeps `exp` finite in f32
    /// (`src/common/math.h`, `Sigmoid`).
    Sigmoid,
    /// `1 / (1 + exp(-scale * x))`: LightGBM's sigmoid with its `sigmoid` parameter
    /// (`src/objective/binary_objective.hpp`).
    ScaledSigmoid {
        /// The factor of the margin.
        scale: f64,
    },
    /// `exp(x)`: log-link objectives (Poisson, gamma, Tweedie, Cox, AFT).
    Exp,
    /// `log1p(exp(x))`: LightGBM's `cross_entropy_lambda`.
    Softplus,
    /// `sign(x) * x * x`: LightGBM's `reg_sqrt`.
    SignedSquare,
    /// `exp(x - max) / sum`: the sum in f64 and in order of outputs, then rounded to the sum type
    /// (XGBoost `src/common/math.h`, `Softmax`; LightGBM `utils/common.h`, `Softmax`).
    Softmax,
    /// The same with the greatest margin, every `exp` and the sum that divides rounded to f32, whatever the sum type
    /// (Treelite `src/gtil/postprocessor.cc`, `softmax`).
    SoftmaxF32,
    /// `2^(-x / ratio)`: the anomaly score of an isolation forest whose margin is a mean path length (Treelite's
    /// `exponential_standard_ratio`).
    PathLength {
        /// The path length that is scored 0.5.
        ratio: f64,
    },
    /// `-2^(-(x / ratio)) - offset`: how ordinary a row is whose isolation depths sum to the margin; below 0 it is an
    /// outlier (scikit-learn's `IsolationForest.decision_function`).
    IsolationScore {
        /// Number of trees times the mean depth of a search among as many rows as a tree was trained on.
        ratio: f64,
        /// What is subtracted.
        offset: f64,
    },
    /// The number of the first greatest margin: one value (XGBoost's `multi:softmax`).
    ArgMax,
    /// 1 where `x > 0`, else 0 (XGBoost's `binary:hinge`).
    Step,
    /// The margins of the row in ascending order (XGBoost's quantiles since 3.4, which keeps them from crossing).
    SortAscending,
    /// The first margin, then each value the one before plus `1e-6 + softplus(margin)`, where softplus is
    /// `x + log1p(exp(-x))` above 0, else `log1p(exp(x))` (XGBoost's expectiles, `regression_obj.cu` since 3.3).
    Expectiles,
    /// `1 / (1 + exp(-|x|))`, or 1 minus that where `x < 0` (ONNX Runtime `ml_common.h`, `ComputeLogistic`).
    Logistic,
    /// Of the single margin, two values: `1 - x` and `x` (ONNX classifiers of two classes that add up votes).
    Complement,
    /// Of the single margin, two values: `-x` and `x`.
    Mirror,
    /// Of the single margin, two values: the [`Logistic`](Self::Logistic) of `-x` and of `x`.
    MirrorLogistic,
    /// As [`Softmax`](Self::Softmax), with the sum in the sum type (ONNX Runtime `ml_common.h`, `ComputeSoftmax`).
    SoftmaxInType,
}

impl Link {
    /// Number of values a row of `n_outputs` margins has.
    pub fn n_values(self, n_outputs: usize) -> usize {
        match self {
            Self::ArgMax => 1,
            Self::Complement | Self::Mirror | Self::MirrorLogistic => 2,
            _ => n_outputs,
        }
    }

    /// Turns the margins of rows into values in place, `width` numbers a row: its margins, and behind them room for
    /// values if those are more. Of each row, the first [`n_values`](Self::n_values) entries hold the result.
    ///
    /// Always inlined, so that its loops are compiled for the instructions its caller may use.
    #[inline(always)]
    pub(crate) fn apply<T: Real>(self, rows: &mut [T], width: usize) {
        match self {
            Self::Identity => {}
            Self::Sigmoid => {
                let limit = T::from_f64(88.7);
                map(rows, |x| if -x < limit { -x } else { limit });
                T::exp_all(rows);
                map(rows, |x| T::ONE / (x + T::ONE));
            }
            Self::ScaledSigmoid { scale } => {
                let factor = -T::from_f64(scale);
                map(rows, |x| factor * x);
                T::exp_all(rows);
                map(rows, |x| T::ONE / (T::ONE + x));
            }
            Self::Exp => T::exp_all(rows),
            Self::Softplus => {
                T::exp_all(rows);
                map(rows, T::ln_1p);
            }
            Self::SignedSquare => map(rows, |x| x.sign() * x * x),
            Self::Softmax => softmax(rows, width),
            Self::SoftmaxF32 => rows.chunks_exact_mut(width).for_each(softmax_f32),
            Self::IsolationScore { ratio, offset } => {
                map(rows, |x| -T::TWO.powf(-(x / T::from_f64(ratio))) - T::from_f64(offset));
            }
            Self::PathLength { ratio } => map(rows, |x| (-x / T::from_f64(ratio)).exp2()),
            Self::ArgMax => {
                for row in rows.chunks_exact_mut(width) {
                    row[0] = T::from_f64(arg_max(row) as f64);
                }
            }
            Self::Step => map(rows, |x| if x > T::ZERO { T::ONE } else { T::ZERO }),
            Self::Expectiles => rows.chunks_exact_mut(width).for_each(expectiles),
            Self::SortAscending => {
                for row in rows.chunks_exact_mut(width) {
                    row.sort_unstable_by(|a, b| a.to_f64().total_cmp(&b.to_f64()));
                }
            }
            Self::Logistic => map(rows, logistic),
            Self::Complement => {
                rows.chunks_exact_mut(width).for_each(|row| (row[0], row[1]) = (T::ONE - row[0], row[0]));
            }
            Self::Mirror => rows.chunks_exact_mut(width).for_each(|row| (row[0], row[1]) = (-row[0], row[0])),
            Self::MirrorLogistic => {
                rows.chunks_exact_mut(width).for_each(|row| (row[0], row[1]) = mirrored_logistic(row[0]));
            }
            Self::SoftmaxInType => {
                exps_below_greatest(rows, width);
                for row in rows.chunks_exact_mut(width) {
                    let sum = row.iter().fold(T::ZERO, |sum, &x| sum + x);
                    map(row, |x| x / sum);
                }
            }
        }
    }
}

/// How the values of a row become its class label, as the scikit-learn wrappers of the source libraries do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Labels {
    /// The model is not a classifier.
    None,
    /// Class 1 where the value is above 0.5, else class 0.
    AboveHalf,
    /// The first greatest value.
    ArgMax,
    /// The value is the class.
    Value,
    /// Class 1 where the last margin is above 0, else class 0.
    PositiveMargin,
    /// Class 1 where the margin is 0 or above, else class 0.
    NonNegativeMargin,
    /// Class 1 where the margin is above 0.5, else class 0.
    MarginAboveHalf,
    /// The first greatest margin.
    ArgMaxMargin,
    /// −1 where the value is below 0, else 1: outliers and the others.
    Inlier,
}

impl Labels {
    /// Whether labels are told by margins, before the link.
    pub(crate) fn reads_margins(self) -> bool {
        matches!(self, Self::PositiveMargin | Self::NonNegativeMargin | Self::MarginAboveHalf | Self::ArgMaxMargin)
    }

    /// The class of a row with these values, or margins if [`reads_margins`](Self::reads_margins); `None` for a model
    /// without classes.
    pub(crate) fn of<T: Real>(self, values: &[T]) -> Option<i32> {
        match self {
            Self::None => None,
            Self::AboveHalf => Some((values[0] > T::from_f64(0.5)).into()),
            Self::ArgMax | Self::ArgMaxMargin => Some(arg_max(values) as i32),
            Self::PositiveMargin => Some((values[values.len() - 1] > T::ZERO).into()),
            Self::NonNegativeMargin => Some((values[0] >= T::ZERO).into()),
            Self::MarginAboveHalf => Some((values[0] > T::from_f64(0.5)).into()),
            Self::Inlier => Some(if values[0] < T::ZERO { -1 } else { 1 }),
            Self::Value => Some(values[0].to_f64() as i32),
        }
    }
}

#[inline(always)]
fn logistic<T: Real>(x: T) -> T {
    mirrored_logistic(x).1
}

/// The logistic function of `-x` and of `x`.
#[inline(always)]
fn mirrored_logistic<T: Real>(x: T) -> (T, T) {
    let magnitude = if x < T::ZERO { -x } else { x };
    let upper = T::ONE / (T::ONE + (-magnitude).exp());
    let lower = T::ONE - upper;
    // Both of zero are the upper one.
    (if x > T::ZERO { lower } else { upper }, if x < T::ZERO { lower } else { upper })
}

#[inline(always)]
fn map<T: Real>(values: &mut [T], f: impl Fn(T) -> T) {
    for x in values {
        *x = f(*x);
    }
}

pub(crate) fn arg_max<T: Real>(row: &[T]) -> usize {
    let Some((&first, others)) = row.split_first() else { return 0 };
    let (mut best, mut greatest) = (0, first);
    for (at, &x) in others.iter().enumerate() {
        // Two choices and no branch: scores are in no order that a processor could foresee.
        let better = x > greatest;
        best = if better { at + 1 } else { best };
        greatest = if better { x } else { greatest };
    }
    best
}

/// Of each number `exp` of how far it is below the greatest of its row.
#[inline(always)]
fn exps_below_greatest<T: Real>(rows: &mut [T], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        let max = row[arg_max(row)];
        map(row, |x| x - max);
    }
    T::exp_all(rows);
}

#[inline(always)]
fn softmax<T: Real>(rows: &mut [T], n_outputs: usize) {
    exps_below_greatest(rows, n_outputs);
    for row in rows.chunks_exact_mut(n_outputs) {
        let mut sum = 0.0f64;
        for x in row.iter() {
            sum += x.to_f64();
        }
        let sum = T::from_f64(sum);
        map(row, |x| x / sum);
    }
}

fn expectiles<T: Real>(row: &mut [T]) {
    for index in 1..row.len() {
        let x = row[index];
        let softplus = if x > T::ZERO { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        row[index] = row[index - 1] + (T::from_f64(f64::from(1e-6_f32)) + softplus);
    }
}

fn softmax_f32<T: Real>(row: &mut [T]) {
    let narrow = |x: T| T::from_f64((x.to_f64() as f32).into());
    let mut max = narrow(row[0]);
    for x in &row[1..] {
        if *x > max {
            max = narrow(*x);
        }
    }
    let mut sum = 0.0f64;
    for x in row.iter_mut() {
        *x = narrow((*x - max).exp());
        sum += x.to_f64();
    }
    map(row, |x| x / narrow(T::from_f64(sum)));
}

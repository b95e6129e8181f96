//! Functions of one number, as pipelines ask for them of many, and the definition of what they are.

use crate::math::{self, mlas};

/// A function of an f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// C's `expf`.
    Exp,
    /// C's `logf`.
    Log,
    /// `1 / (1 + exp(-|x|))`, or 1 minus that where `x < 0` (ONNX Runtime `ml_common.h`, `ComputeLogistic`).
    Logistic,
    /// As ONNX Runtime's matrix library approximates them.
    MlasExp,
    MlasLogistic,
    MlasTanh,
}

impl Function {
    /// The function of each value, in place.
    ///
    /// Always inlined, so that its loops are compiled for the instructions its caller may use.
    #[inline(always)]
    pub(crate) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Exp => math::expf_all(values),
            Self::Log => map(values, math::logf),
            Self::Logistic => map(values, |x| {
                let upper = 1.0 / (1.0 + math::expf(-x.abs()));
                if x < 0.0 { 1.0 - upper } else { upper }
            }),
            Self::MlasExp => map(values, mlas::exp),
            Self::MlasLogistic => map(values, mlas::logistic),
            Self::MlasTanh => map(values, mlas::tanh),
        }
    }
}

#[inline(always)]
fn map(values: &mut [f32], f: impl Fn(f32) -> f32) {
    for x in values {
        *x = f(*x);
    }
}

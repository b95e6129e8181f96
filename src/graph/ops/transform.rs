//! What becomes of the scores of rows at the end of a model: logistic functions, softmaxes, probits.
//!
//! ONNX Runtime's machine-learning operators have C's functions, its others and some of the former for long rows those of
//! its matrix library.

use crate::graph::Evaluator;
use crate::ir::function::Function;
use crate::math::expf;

/// A function of the scores of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostTransform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    /// As ONNX Runtime's `write_scores` has it (`ml_common.h`), for rows of `width` scores.
    pub(crate) fn apply(self, scores: &mut [f32], width: usize, runner: &mut dyn Evaluator) {
        match self {
            Self::None => {}
            Self::Logistic => runner.function(Function::Logistic, scores),
            Self::Probit => runner.function(Function::Probit, scores),
            Self::Softmax => {
                below_greatest(scores, width);
                runner.function(Function::Exp, scores);
                over_sum(scores, width);
            }
            Self::SoftmaxZero => {
                scores.chunks_mut(ROWS * width.max(1)).for_each(|scores| softmaxes_zero(scores, width, runner));
            }
        }
    }
}

/// Subtracts from each score the greatest of its row.
fn below_greatest(scores: &mut [f32], width: usize) {
    for row in scores.chunks_exact_mut(width.max(1)) {
        let max = row.iter().fold(f32::MIN, |max, &x| if x > max { x } else { max });
        row.iter_mut().for_each(|x| *x -= max);
    }
}

/// Divides each score by the sum of its row.
fn over_sum(scores: &mut [f32], width: usize) {
    for row in scores.chunks_exact_mut(width.max(1)) {
        let sum = row.iter().fold(0.0, |sum, x| sum + x);
        row.iter_mut().for_each(|x| *x /= sum);
    }
}

/// Rows of a softmax that leaves zeros what they are.
const ROWS: usize = 64;

/// The [`softmax_zero`] of rows of `width` scores.
fn softmaxes_zero(scores: &mut [f32], width: usize, runner: &mut dyn Evaluator) {
    if !scores.iter().all(|score| score.abs() > NEARLY_ZERO || score.to_bits() == 0) {
        return scores.chunks_exact_mut(width.max(1)).for_each(softmax_zero);
    }
    for row in scores.chunks_exact_mut(width.max(1)) {
        let max = row.iter().fold(f32::MIN, |max, &x| if x > max { x } else { max });
        // Of which `exp` is zero.
        row.iter_mut().for_each(|x| *x = if *x == 0.0 { f32::NEG_INFINITY } else { *x - max });
    }
    runner.function(Function::Exp, scores);
    over_sum(scores, width);
}

/// Greatest magnitude that counts as zero there.
const NEARLY_ZERO: f32 = 1e-7;

/// A softmax that leaves zeros what they are.
fn softmax_zero(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::MIN, f32::max);
    let at_zero = expf(-max);
    let mut sum = 0.0f32;
    for score in row.iter_mut() {
        if score.abs() > NEARLY_ZERO {
            *score = expf(*score - max);
            sum += *score;
        } else {
            *score *= at_zero;
        }
    }
    row.iter_mut().for_each(|score| *score /= sum);
}

/// Partial sums of a softmax.
const LANES: usize = 8;

/// The softmax of ONNX Runtime's matrix library: `exp(x - max)` over its sum, for rows of `width` scores. The sum is that
/// of eight lanes, added in pairs, for rows of up to 16; what it is for longer ones depends on the machine.
pub(crate) fn mlas_softmax(scores: &mut [f32], width: usize, runner: &mut dyn Evaluator) {
    below_greatest(scores, width);
    runner.function(Function::MlasExp, scores);
    for row in scores.chunks_exact_mut(width.max(1)) {
        let mut lanes = [0.0f32; LANES];
        for part in row.chunks(LANES) {
            lanes.iter_mut().zip(part).for_each(|(lane, x)| *lane += x);
        }
        let [a, b, c, d, e, f, g, h] = lanes;
        let scale = 1.0 / (((a + b) + (c + d)) + ((e + f) + (g + h)));
        row.iter_mut().for_each(|x| *x *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Reference;

    #[test]
    fn softmax_has_the_bits_of_onnx_runtime() {
        let bits = |mut row: Vec<f32>| {
            let width = row.len();
            mlas_softmax(&mut row, width, &mut Reference(&[]));
            row.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(vec![0.1, 0.9, -2.0]), [0x3e98_ed60, 0x3f2a_2c44, 0x3d15_d0bc]);
        let expected = [0x3c92_e8a9, 0x39ac_34e7, 0x3a96_43db, 0x3ac0_f1b4, 0x3f7a_a799];
        assert_eq!(bits(vec![3.0, -1.0, 0.25, 0.5, 7.0]), expected);
    }

    #[test]
    fn softmaxes_that_leave_zeros_have_the_same_bits_in_a_batch() {
        let values = [0.0, 1.5, -2.25, 0.0, 90.0, -90.0, f32::INFINITY, -1e-6, 3.0];
        for (width, odd) in [(1, 0.5), (3, 0.5), (7, 0.5), (3, -0.0), (3, 1e-8), (3, f32::NAN)] {
            let mut rows: Vec<f32> = (0..150 * width).map(|at| values[at * 31 % 71 % values.len()]).collect();
            rows[80 * width] = odd;
            let mut expected = rows.clone();
            expected.chunks_exact_mut(width).for_each(softmax_zero);
            PostTransform::SoftmaxZero.apply(&mut rows, width, &mut Reference(&[]));
            for (found, expected) in rows.iter().zip(expected) {
                assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan());
            }
        }
    }
}

//! Support vector machines: `SVMClassifier` and `SVMRegressor`, after `svmclassifier.cc` and `svmregressor.cc` of ONNX
//! Runtime. Kernels are in f32, votes are summed in f64.

use super::elementwise::logistic;
use super::linear::{PostTransform, as_f32, inner};
use super::shape::take;
use crate::error::{Error, Result};
use crate::graph::tensor::Tensor;
use crate::ir::real::Real;

/// How two vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelKind {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

/// A kernel with its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SvmKernel {
    pub(crate) kind: KernelKind,
    pub(crate) gamma: f32,
    pub(crate) coef0: f32,
    pub(crate) degree: f32,
}

impl SvmKernel {
    fn of(self, x: &[f32], vector: &[f32]) -> f32 {
        match self.kind {
            KernelKind::Linear => inner(x, vector),
            KernelKind::Poly => Real::powf(self.gamma * inner(x, vector) + self.coef0, self.degree),
            KernelKind::Rbf => {
                let distance = x.iter().zip(vector).fold(0.0f32, |sum, (&a, &b)| sum + (a - b) * (a - b));
                Real::exp(-self.gamma * distance)
            }
            KernelKind::Sigmoid => (self.gamma * inner(x, vector) + self.coef0).tanh(),
        }
    }
}

/// Vectors, and what is made of the kernels with them.
#[derive(Clone, Debug)]
pub(crate) struct Svm {
    pub(crate) kernel: SvmKernel,
    /// One after another, of as many numbers as a row has; empty if the coefficients are themselves the vectors.
    pub(crate) vectors: Vec<f32>,
    pub(crate) n_vectors: usize,
    pub(crate) coefficients: Vec<f32>,
    pub(crate) rho: Vec<f32>,
}

impl Svm {
    fn check(&self, columns: usize, expected: usize) -> Result<()> {
        if columns == expected {
            Ok(())
        } else {
            Err(Error::shape(format!("{columns} features, but vectors of {expected}")))
        }
    }

    /// `SVMRegressor`; `one_class` answers 1 or -1.
    pub(super) fn regress(&self, one_class: bool, x: &Tensor, out: &mut Tensor) -> Result<()> {
        let (rows, columns) = x.matrix_shape();
        let mut narrow = Tensor::default();
        let values = as_f32(x, &mut narrow)?;
        let rho = self.rho.first().copied().unwrap_or(0.0);
        let mut kernels = vec![0.0f32; self.n_vectors];
        let width = self.vectors.len().checked_div(self.n_vectors).unwrap_or(self.coefficients.len());
        self.check(columns, width)?;
        let out = out.start::<f32>(&[rows, 1])?;
        for row in values.chunks_exact(columns.max(1)) {
            let sum = if self.n_vectors == 0 {
                inner(row, &self.coefficients)
            } else {
                let vectors = self.vectors.chunks_exact(columns.max(1));
                kernels.iter_mut().zip(vectors).for_each(|(kernel, vector)| *kernel = self.kernel.of(row, vector));
                inner(&kernels, &self.coefficients)
            };
            let value = sum + rho;
            out.push(match one_class {
                true if value > 0.0 => 1.0,
                true => -1.0,
                false => value,
            });
        }
        Ok(())
    }
}

/// Working memory of a classifier, the same for all rows of a batch.
#[derive(Default)]
struct Work {
    kernels: Vec<f32>,
    votes: Vec<usize>,
    scores: Vec<f32>,
    coupling: Vec<f32>,
}

/// `SVMClassifier`.
#[derive(Clone, Debug)]
pub(crate) struct SvmClassifier {
    pub(crate) svm: Svm,
    /// Vectors of each class; empty for a linear model.
    pub(crate) per_class: Vec<usize>,
    /// Parameters of Platt's scaling, one of each for every pair of classes, or none.
    pub(crate) prob_a: Vec<f32>,
    pub(crate) prob_b: Vec<f32>,
    pub(crate) post_transform: PostTransform,
    pub(crate) classes: Tensor,
}

impl SvmClassifier {
    pub(super) fn run(&self, x: &Tensor, outs: &mut [Tensor]) -> Result<()> {
        let [labels, out] = outs else { return Err(Error::invalid_model("a classifier without two outputs")) };
        let (rows, columns) = x.matrix_shape();
        let mut narrow = Tensor::default();
        let values = as_f32(x, &mut narrow)?;
        let n_classes = self.classes.len();
        let n_pairs = n_classes * (n_classes - 1) / 2;
        let width = match (self.per_class.is_empty(), self.prob_a.is_empty()) {
            (false, true) if n_classes > 2 => n_pairs,
            (false, true) => 2,
            _ => n_classes,
        };
        let vector = match self.svm.n_vectors {
            0 => self.svm.coefficients.len() / n_classes,
            count => self.svm.vectors.len() / count,
        };
        self.svm.check(columns, vector)?;
        let scores = out.start::<f32>(&[rows, width])?;
        let (mut found, mut work) = (Vec::with_capacity(rows), Work::default());
        for row in values.chunks_exact(columns.max(1)) {
            let start = scores.len();
            found.push(match self.per_class.is_empty() {
                true => self.linear(row, scores),
                false => self.votes(row, scores, &mut work),
            });
            // Two scores of one model for two classes are left as they are.
            if self.per_class.is_empty() || n_classes > 2 || !self.prob_a.is_empty() {
                self.post_transform.apply(&mut scores[start..]);
            }
        }
        take(&self.classes, &[rows], found.into_iter(), labels)
    }

    /// A score for each class, and the class with the greatest.
    fn linear(&self, row: &[f32], scores: &mut Vec<f32>) -> usize {
        let (start, rho) = (scores.len(), self.svm.rho.first().copied().unwrap_or(0.0));
        scores.extend(self.svm.coefficients.chunks_exact(row.len()).map(|vector| inner(row, vector) + rho));
        let scores = &scores[start..];
        let best = (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best });
        let all_positive = self.svm.coefficients.iter().all(|&coefficient| coefficient >= 0.0);
        let threshold = if all_positive { scores[best] >= 0.5 } else { scores[best] > 0.0 };
        if scores.len() == 2 && self.prob_a.is_empty() && threshold { 1 } else { best }
    }

    /// Scores of pairs of classes or probabilities, and the class with most votes.
    fn votes(&self, row: &[f32], out: &mut Vec<f32>, work: &mut Work) -> usize {
        let n_classes = self.classes.len();
        let Work { kernels, votes, scores, coupling } = work;
        kernels.clear();
        let vectors = self.svm.vectors.chunks_exact(row.len().max(1));
        kernels.extend(vectors.map(|vector| self.svm.kernel.of(row, vector)));
        let coefficients = |line: usize, class: usize| {
            let start: usize = self.per_class[..class].iter().sum();
            let first = line * self.svm.n_vectors + start;
            let pairs = self.svm.coefficients[first..].iter().zip(&kernels[start..]);
            pairs.take(self.per_class[class]).fold(0.0f64, |sum, (&a, &b)| sum + f64::from(a * b))
        };
        votes.clear();
        votes.resize(n_classes, 0);
        scores.clear();
        for i in 0..n_classes - 1 {
            for j in i + 1..n_classes {
                let sum = coefficients(j - 1, i) + coefficients(i, j) + f64::from(self.svm.rho[scores.len()]);
                scores.push(sum as f32);
                votes[if sum > 0.0 { i } else { j }] += 1;
            }
        }
        let best = (1..n_classes).fold(0, |best, class| if votes[class] > votes[best] { class } else { best });
        if !self.prob_a.is_empty() {
            self.probabilities(scores, coupling, out);
        } else if n_classes == 2 {
            let score = scores[0];
            match self.post_transform {
                PostTransform::None => out.extend([-score, score]),
                _ => out.extend([1.0 - score, score]),
            }
        } else {
            out.extend_from_slice(scores);
        }
        best
    }

    /// Probabilities of the classes from those of pairs: Wu, Lin, Weng, "Probability estimates for multi-class
    /// classification by pairwise coupling", as libsvm iterates.
    fn probabilities(&self, scores: &[f32], coupling: &mut Vec<f32>, out: &mut Vec<f32>) {
        let n = self.classes.len();
        coupling.clear();
        coupling.resize(2 * n * n + 2 * n, 0.0);
        let (pairs, rest) = coupling.split_at_mut(n * n);
        let (q, rest) = rest.split_at_mut(n * n);
        let (p, qp) = rest.split_at_mut(n);
        p.fill(1.0 / n as f32);
        let mut index = 0;
        for i in 0..n - 1 {
            for j in i + 1..n {
                let value = 1.0 - logistic(scores[index] * self.prob_a[index] + self.prob_b[index]);
                let value = value.clamp(1e-7, 1.0 - 1e-7);
                (pairs[i * n + j], pairs[j * n + i]) = (value, 1.0 - value);
                index += 1;
            }
        }
        for i in 0..n {
            for j in (0..n).filter(|&j| j != i) {
                q[i * n + i] += pairs[j * n + i] * pairs[j * n + i];
                q[i * n + j] = if j < i { q[j * n + i] } else { -pairs[j * n + i] * pairs[i * n + j] };
            }
        }
        for _ in 0..100 {
            let mut pqp = 0.0f32;
            for i in 0..n {
                qp[i] = (0..n).fold(0.0, |sum, j| sum + q[i * n + j] * p[j]);
                pqp += p[i] * qp[i];
            }
            if qp.iter().all(|qp| (qp - pqp).abs() < 0.005 / n as f32) {
                break;
            }
            for i in 0..n {
                let diff = (-qp[i] + pqp) / q[i * n + i];
                p[i] += diff;
                pqp = (pqp + diff * (diff * q[i * n + i] + 2.0 * qp[i])) / (1.0 + diff) / (1.0 + diff);
                for j in 0..n {
                    qp[j] = (qp[j] + diff * q[i * n + j]) / (1.0 + diff);
                    p[j] /= 1.0 + diff;
                }
            }
        }
        out.extend_from_slice(p);
    }
}

//! Support vector machines: `SVMClassifier` and `SVMRegressor`, after `svmclassifier.cc` and `svmregressor.cc` of ONNX
//! Runtime. Kernels are in f32, votes are summed in f64.

use super::elementwise::logistic;
use super::linear::{PostTransform, as_f32, inner};
use super::shape::take;
use super::{Work, approx};
use crate::error::{Error, Result};
use crate::graph::tensor::{Tensor, Type};
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

/// Vectors side by side: a row is compared with so many at once.
const LANES: usize = 16;

/// The support vectors.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    pub(crate) count: usize,
    /// Numbers of each.
    pub(crate) width: usize,
    /// For each group of vectors their first numbers, their second ones, and so on; filled up with zeros.
    panels: Vec<[f32; LANES]>,
}

impl Vectors {
    /// `count` vectors, one after another in `numbers`.
    pub(crate) fn new(numbers: &[f32], count: usize) -> Self {
        let width = numbers.len().checked_div(count).unwrap_or(0);
        let mut panels = vec![[0.0; LANES]; count.div_ceil(LANES) * width];
        for (at, vector) in numbers.chunks_exact(width.max(1)).take(count).enumerate() {
            let panel = &mut panels[at / LANES * width..][..width];
            panel.iter_mut().zip(vector).for_each(|(lanes, &number)| lanes[at % LANES] = number);
        }
        Self { count, width, panels }
    }

    /// For each vector, the sum over its numbers and the row's, in order.
    #[inline(always)]
    fn sums(&self, row: &[f32], sums: &mut Vec<f32>, add: impl Fn(f32, f32, f32) -> f32) {
        sums.clear();
        if self.width == 0 {
            return sums.resize(self.count, 0.0);
        }
        for panel in self.panels.chunks_exact(self.width) {
            let mut of_panel = [0.0f32; LANES];
            for (lanes, &x) in panel.iter().zip(row) {
                for lane in 0..LANES {
                    of_panel[lane] = add(of_panel[lane], x, lanes[lane]);
                }
            }
            sums.extend_from_slice(&of_panel);
        }
        sums.truncate(self.count);
    }
}

impl SvmKernel {
    /// The kernels of a row with all vectors.
    fn all(self, row: &[f32], vectors: &Vectors, kernels: &mut Vec<f32>) {
        if self.kind == KernelKind::Rbf {
            vectors.sums(row, kernels, |sum, x, y| sum + (x - y) * (x - y));
            kernels.iter_mut().for_each(|distance| *distance *= -self.gamma);
            return Real::exp_all(kernels);
        }
        vectors.sums(row, kernels, |sum, x, y| approx::fused(x, y, sum));
        match self.kind {
            KernelKind::Linear | KernelKind::Rbf => {}
            KernelKind::Poly => {
                // Squares and cubes are products.
                let power = |x: f32| match self.degree {
                    2.0 => x * x,
                    3.0 => x * x * x,
                    degree => Real::powf(x, degree),
                };
                kernels.iter_mut().for_each(|x| *x = power(self.gamma * *x + self.coef0));
            }
            KernelKind::Sigmoid => kernels.iter_mut().for_each(|x| *x = (self.gamma * *x + self.coef0).tanh()),
        }
    }
}

/// Vectors, and what is made of the kernels with them.
#[derive(Clone, Debug)]
pub(crate) struct Svm {
    pub(crate) kernel: SvmKernel,
    /// None if the coefficients are themselves the vectors.
    pub(crate) vectors: Vectors,
    pub(crate) coefficients: Vec<f32>,
    pub(crate) rho: Vec<f32>,
}

impl Svm {
    /// Refuses rows that are not as wide as the vectors, of which there are as many as `n_models` where the coefficients
    /// are themselves the vectors.
    fn check(&self, columns: usize, n_models: usize) -> Result<()> {
        let width = if self.vectors.count == 0 { self.coefficients.len() / n_models } else { self.vectors.width };
        if columns == width { Ok(()) } else { Err(Error::shape(format!("{columns} features, but vectors of {width}"))) }
    }

    /// `SVMRegressor`; `one_class` answers 1 or -1.
    pub(super) fn regress(&self, one_class: bool, x: &Tensor, work: &mut Work, out: &mut Tensor) -> Result<()> {
        let (rows, columns) = x.matrix_shape();
        let (values, kernels) = (as_f32(x, &mut work.values[Type::F32 as usize])?, &mut work.votes.kernels);
        let rho = self.rho.first().copied().unwrap_or(0.0);
        self.check(columns, 1)?;
        let out = out.start::<f32>(&[rows, 1])?;
        for row in values.chunks_exact(columns.max(1)) {
            let sum = if self.vectors.count == 0 {
                inner(row, &self.coefficients)
            } else {
                self.kernel.all(row, &self.vectors, kernels);
                inner(kernels, &self.coefficients)
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

/// Working memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Votes {
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
    pub(super) fn run(&self, x: &Tensor, work: &mut Work, outs: &mut [Tensor]) -> Result<()> {
        let [labels, out] = outs else { return Err(Error::invalid_model("a classifier without two outputs")) };
        let (rows, columns) = x.matrix_shape();
        let values = as_f32(x, &mut work.values[Type::F32 as usize])?;
        let n_classes = self.classes.len();
        let n_pairs = n_classes * (n_classes - 1) / 2;
        let width = match (self.per_class.is_empty(), self.prob_a.is_empty()) {
            (false, true) if n_classes > 2 => n_pairs,
            (false, true) => 2,
            _ => n_classes,
        };
        self.svm.check(columns, n_classes)?;
        let scores = out.start::<f32>(&[rows, width])?;
        let found = &mut work.order;
        found.clear();
        for row in values.chunks_exact(columns.max(1)) {
            let start = scores.len();
            found.push(match self.per_class.is_empty() {
                true => self.linear(row, scores),
                false => self.votes(row, scores, &mut work.votes),
            });
            // Two scores of one model for two classes are left as they are.
            if self.per_class.is_empty() || n_classes > 2 || !self.prob_a.is_empty() {
                self.post_transform.apply(&mut scores[start..]);
            }
        }
        take(&self.classes, &[rows], found.iter().copied(), labels)
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
    fn votes(&self, row: &[f32], out: &mut Vec<f32>, work: &mut Votes) -> usize {
        let n_classes = self.classes.len();
        let Votes { kernels, votes, scores, coupling } = work;
        self.svm.kernel.all(row, &self.svm.vectors, kernels);
        let coefficients = |line: usize, class: usize| {
            let start: usize = self.per_class[..class].iter().sum();
            let first = line * self.svm.vectors.count + start;
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

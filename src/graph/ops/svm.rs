//! Support vector machines: `SVMClassifier` and `SVMRegressor`, after `svmclassifier.cc` and `svmregressor.cc` of ONNX
//! Runtime. Kernels are in f32, votes are summed in f64.

use super::Work;
use super::elementwise::logistic;
use super::linear::as_f32;
use super::shape::take;
use super::transform::PostTransform;
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::tensor::{Element, Tensor, Type};
use crate::ir::function::Function;
use crate::ir::link::arg_max;
use crate::ir::product::{Product, Term};
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

/// The support vectors.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    pub(crate) count: usize,
    /// Numbers of each.
    pub(crate) width: usize,
    /// The first numbers of all, then the second ones, and so on.
    numbers: Vec<f32>,
}

impl Vectors {
    /// `count` vectors, one after another in `numbers`.
    pub(crate) fn new(numbers: &[f32], count: usize) -> Self {
        let width = numbers.len().checked_div(count).unwrap_or(0);
        let turned = (0..width).flat_map(|at| numbers.iter().skip(at).step_by(width).copied());
        Self { count, width, numbers: turned.collect() }
    }

    /// For each row the sum over its numbers and those of each vector, in order.
    fn sums(&self, rows: &[f32], term: Term, runner: &mut dyn Evaluator, sums: &mut Vec<f32>) {
        let n = rows.len().checked_div(self.width).unwrap_or(0);
        sums.clear();
        sums.resize(n * self.count, 0.0);
        let size = (n, self.width, self.count);
        let product = Product {
            a: rows,
            b: &self.numbers,
            size,
            turned: false,
            part: usize::MAX,
            term,
            offsets: None,
            scaled: None,
            rectified: false,
        };
        runner.product_f32(&product, sums);
    }
}

impl SvmKernel {
    /// The kernels of all vectors with each row.
    fn all(self, rows: &[f32], vectors: &Vectors, runner: &mut dyn Evaluator, kernels: &mut Vec<f32>) {
        if self.kind == KernelKind::Rbf {
            vectors.sums(rows, Term::SquaredDifference, runner, kernels);
            kernels.iter_mut().for_each(|distance| *distance *= -self.gamma);
            return runner.function(Function::Exp, kernels);
        }
        vectors.sums(rows, Term::Product, runner, kernels);
        if self.kind == KernelKind::Linear {
            return;
        }
        runner.function(Function::Affine { factor: self.gamma, offset: self.coef0 }, kernels);
        match self.kind {
            KernelKind::Sigmoid => each(kernels, f32::tanh),
            _ if self.degree >= 1.0 && self.degree < MAX_POWER && self.degree.fract() == 0.0 => {
                runner.function(Function::WholePower(self.degree as u32), kernels);
            }
            _ => each(kernels, |x| Real::powf(x, self.degree)),
        }
    }
}

/// Whole powers below this are taken by squaring.
const MAX_POWER: f32 = 65536.0;

fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|x| *x = f(*x));
}

/// Kernels that are computed at a time: what the nearer caches hold.
const KERNELS: usize = 1 << 14;

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

    /// Numbers of the rows that are computed at a time, of `columns` each.
    fn part(&self, columns: usize) -> usize {
        (KERNELS / self.vectors.count.max(1)).max(1) * columns
    }

    /// `SVMRegressor`; `one_class` answers 1 or -1.
    pub(super) fn regress(
        &self,
        one_class: bool,
        x: &Tensor,
        runner: &mut dyn Evaluator,
        work: &mut Work,
        out: &mut Tensor,
    ) -> Result<()> {
        let (rows, columns) = x.matrix_shape();
        let (values, kernels) = (as_f32(x, &mut work.values[Type::F32 as usize])?, &mut work.votes.kernels);
        self.check(columns, 1)?;
        let out = out.fill::<f32>(&[rows, 1], 0.0)?;
        if columns > 0 && self.vectors.count == 0 {
            weighted(values, &self.coefficients, 1, runner, out);
        } else if columns > 0 {
            let part = self.part(columns);
            for (values, out) in values.chunks(part).zip(out.chunks_mut(part / columns)) {
                self.kernel.all(values, &self.vectors, runner, kernels);
                weighted(kernels, &self.coefficients, 1, runner, out);
            }
        }
        let rho = self.rho.first().copied().unwrap_or(0.0);
        match one_class {
            true => each(out, |sum| if sum + rho > 0.0 { 1.0 } else { -1.0 }),
            false => each(out, |sum| sum + rho),
        }
        Ok(())
    }
}

/// Inner products of rows with each of `m` lists of coefficients, in order.
fn weighted(rows: &[f32], coefficients: &[f32], m: usize, runner: &mut dyn Evaluator, out: &mut [f32]) {
    let size = (out.len() / m, coefficients.len() / m, m);
    let (a, b, part, term) = (rows, coefficients, usize::MAX, Term::Product);
    runner.product_f32(
        &Product { a, b, size, turned: true, part, term, offsets: None, scaled: None, rectified: false },
        out,
    );
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
    pub(super) fn run(
        &self,
        x: &Tensor,
        runner: &mut dyn Evaluator,
        work: &mut Work,
        outs: &mut [Tensor],
    ) -> Result<()> {
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
        let found = &mut work.order;
        found.clear();
        if self.per_class.is_empty() {
            self.linear(values, runner, out.fill(&[rows, width], 0.0)?, found);
        } else {
            let scores = out.start::<f32>(&[rows, width])?;
            let mut kernels = std::mem::take(&mut work.votes.kernels);
            for values in values.chunks(self.svm.part(columns)) {
                self.svm.kernel.all(values, &self.svm.vectors, runner, &mut kernels);
                let of_rows = kernels.chunks_exact(self.svm.vectors.count);
                found.extend(of_rows.map(|kernels| self.votes(kernels, scores, &mut work.votes)));
            }
            work.votes.kernels = kernels;
        }
        // Two scores of one model for two classes are left as they are.
        if self.per_class.is_empty() || n_classes > 2 || !self.prob_a.is_empty() {
            self.post_transform.apply(f32::vec(&mut out.data), width, runner);
        }
        take(&self.classes, &[rows], found.iter().copied(), labels)
    }

    /// A score for each class, and the class with the greatest.
    fn linear(&self, rows: &[f32], runner: &mut dyn Evaluator, scores: &mut [f32], found: &mut Vec<usize>) {
        let (n_classes, rho) = (self.classes.len(), self.svm.rho.first().copied().unwrap_or(0.0));
        weighted(rows, &self.svm.coefficients, n_classes, runner, scores);
        each(scores, |sum| sum + rho);
        let all_positive = self.svm.coefficients.iter().all(|&coefficient| coefficient >= 0.0);
        found.extend(scores.chunks_exact(n_classes).map(|scores| {
            let best = arg_max(scores);
            let threshold = if all_positive { scores[best] >= 0.5 } else { scores[best] > 0.0 };
            if scores.len() == 2 && self.prob_a.is_empty() && threshold { 1 } else { best }
        }));
    }

    /// Scores of pairs of classes or probabilities, and the class with most votes.
    fn votes(&self, kernels: &[f32], out: &mut Vec<f32>, work: &mut Votes) -> usize {
        let n_classes = self.classes.len();
        let Votes { votes, scores, coupling, .. } = work;
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

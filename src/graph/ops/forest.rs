//! Tree ensembles within a graph: sums of leaves from a kernel, and what ONNX Runtime makes of them.
//!
//! Where the rules are those a [`Forest`](crate::ir::Forest) can say itself (its link and labels), the ensemble is
//! [`Tail::Regular`]. The others follow `tree_ensemble_aggregator.h` of ONNX Runtime, flag by flag.

use super::broadcast::with_rows;
use super::transform::PostTransform;
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::tensor::{Data, Tensor, Type};
use crate::ir::real::Real;
use crate::ir::{Float, Forest};
use crate::rows::{Batch, Dense};
use ndarray::ArrayView2;

/// A tree ensemble operator.
#[derive(Clone, Debug)]
pub(crate) struct Ensemble {
    /// Its forest in the graph.
    pub(crate) forest: usize,
    pub(crate) input: Float,
    pub(crate) sum: Float,
    /// Margins of the forest.
    pub(crate) n_margins: usize,
    pub(crate) tail: Tail,
    /// Class names, of a classifier.
    pub(crate) classes: Option<Tensor>,
    /// Whether the values keep the type of the sums; otherwise they are f32.
    pub(crate) wide: bool,
}

/// From margins to values.
#[derive(Clone, Debug)]
pub(crate) enum Tail {
    /// As link and labels of the forest have it.
    Regular,
    /// By target, with base values that the forest does not have.
    Regressor { n_targets: usize, combine: Combine, base: Vec<f64>, post_transform: PostTransform },
    /// By class, likewise. Of each class there is a margin and, behind all of those, a count of the leaves that speak of
    /// it.
    Classifier { n_classes: usize, base: Vec<f64>, post_transform: PostTransform, one_id: bool, all_positive: bool },
}

/// How the trees of a target become one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    Sum,
    /// The sum over this many trees.
    Average(usize),
    /// Each tree has margins of its own; a NaN is a leaf that does not speak of the target.
    Min,
    Max,
}

/// Working memory of ensembles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Margins {
    narrow: Sums<f32>,
    wide: Sums<f64>,
    /// The number of the class of each row.
    pub(super) classes: Vec<usize>,
    /// Rows in the type that trees read, and values in that of their transform.
    cast: Tensor,
    transformed: Tensor,
}

/// Sums of leaves and what becomes of them.
#[derive(Clone, Debug, Default)]
struct Sums<S> {
    sums: Vec<S>,
    /// Scores of all rows, before their transform.
    scores: Vec<S>,
}

impl Ensemble {
    /// `outs` are the values, or labels and values of a classifier.
    pub(super) fn run(
        &self,
        x: &Tensor,
        runner: &mut dyn Evaluator,
        margins: &mut Margins,
        outs: &mut [Tensor],
    ) -> Result<()> {
        let (rows, columns) = x.matrix_shape();
        let expected = runner.forest(self.forest).n_features();
        if columns < expected {
            return Err(Error::shape(format!("{columns} features, but a tree tests feature {}", expected - 1)));
        }
        let mut cast = std::mem::take(&mut margins.cast);
        let wanted = match self.input {
            Float::F32 => Type::F32,
            Float::F64 => Type::F64,
        };
        let x = if x.ty() == wanted {
            x
        } else {
            super::cast::run_cast(x, wanted, &mut cast)?;
            &cast
        };
        let batch = batch(x, rows, columns, expected)?;
        let result = match self.sum {
            Float::F32 => {
                let mut sums = std::mem::take(&mut margins.narrow);
                sums.sums.clear();
                sums.sums.resize(rows * self.n_margins, 0.0);
                runner.margins_f32(self.forest, &batch, &mut sums.sums);
                let result = self.finish(&mut sums, rows, runner, margins, outs);
                margins.narrow = sums;
                result
            }
            Float::F64 => {
                let mut sums = std::mem::take(&mut margins.wide);
                sums.sums.clear();
                sums.sums.resize(rows * self.n_margins, 0.0);
                runner.margins_f64(self.forest, &batch, &mut sums.sums);
                let result = self.finish(&mut sums, rows, runner, margins, outs);
                margins.wide = sums;
                result
            }
        };
        margins.cast = cast;
        result
    }

    fn finish<S: Real>(
        &self,
        sums: &mut Sums<S>,
        rows: usize,
        runner: &mut dyn Evaluator,
        margins: &mut Margins,
        outs: &mut [Tensor],
    ) -> Result<()> {
        let (labels, out) = match (&self.classes, outs) {
            (Some(_), [labels, out]) => (Some(labels), Some(out)),
            (Some(_), [labels]) => (Some(labels), None),
            (None, [out]) => (None, Some(out)),
            _ => return Err(Error::invalid_model("the wrong number of outputs")),
        };
        let found = &mut margins.classes;
        found.clear();
        sums.scores.clear();
        let (n_values, transform) = match &self.tail {
            Tail::Regular => (self.link(sums, runner.forest(self.forest), found), PostTransform::None),
            Tail::Regressor { n_targets, combine, base, post_transform } => {
                combine_trees(&sums.sums, self.n_margins, *combine, base, &mut sums.scores);
                // A single score is left as it is, except by PROBIT.
                let left = *n_targets == 1 && *post_transform != PostTransform::Probit;
                (*n_targets, if left { PostTransform::None } else { *post_transform })
            }
            Tail::Classifier { n_classes, base, post_transform, one_id, all_positive } => {
                let Sums { sums, scores } = sums;
                for sums in sums.chunks_exact(self.n_margins) {
                    let (first, (of_classes, counts)) = (scores.len(), sums.split_at(*n_classes));
                    scores.extend_from_slice(of_classes);
                    found.push(classify(&mut scores[first..], counts, base, *one_id, *all_positive));
                }
                (*n_classes, *post_transform)
            }
        };
        if let (Some(labels), Some(classes)) = (labels, &self.classes) {
            super::shape::take(classes, &[rows], found.iter().copied(), labels)?;
        }
        let Some(out) = out else { return Ok(()) };
        // Rows of scores may be wider than their values.
        let width = sums.scores.len().checked_div(rows).unwrap_or(0);
        let shape = [rows, n_values];
        if self.wide && transform == PostTransform::None {
            values(&sums.scores, width, n_values, S::to_f64, out.start::<f64>(&shape)?);
            return Ok(());
        }
        // Transforms are in f32, whatever the type of the sums.
        let narrow = if self.wide { &mut margins.transformed } else { &mut *out };
        let narrowed = narrow.start::<f32>(&shape)?;
        values(&sums.scores, width, n_values, |score| score.to_f64() as f32, narrowed);
        transform.apply(narrowed, n_values, runner);
        if self.wide { super::cast::run_cast(&margins.transformed, Type::F64, out) } else { Ok(()) }
    }

    /// Values and classes of all rows by link and labels of the forest; returns the number of values of a row, which lie
    /// as far apart as margins or values are many.
    fn link<S: Real>(&self, sums: &mut Sums<S>, forest: &Forest, classes: &mut Vec<usize>) -> usize {
        let n_values = forest.link().n_values(forest.n_outputs());
        let (n_margins, width) = (self.n_margins, n_values.max(self.n_margins));
        let Sums { sums, scores, .. } = sums;
        if width == n_margins {
            scores.extend_from_slice(sums);
        } else {
            for margins in sums.chunks_exact(n_margins) {
                scores.extend_from_slice(margins);
                scores.extend(std::iter::repeat_n(S::ZERO, width - n_margins));
            }
        }
        forest.link().apply(scores, width);
        if self.classes.is_some() {
            let labels = forest.labels();
            let class = |row: &[S]| usize::try_from(labels.of(row).unwrap_or(0)).unwrap_or(0);
            match labels.reads_margins() {
                true => classes.extend(sums.chunks_exact(n_margins).map(class)),
                false => classes.extend(scores.chunks_exact(width).map(|row| class(&row[..n_values]))),
            }
        }
        n_values
    }
}

/// Of each row of `width` scores the first `n_values`, converted.
fn values<S: Copy, V>(scores: &[S], width: usize, n_values: usize, convert: impl Fn(S) -> V, out: &mut Vec<V>) {
    match width == n_values {
        true => out.extend(scores.iter().map(|&score| convert(score))),
        false => {
            let rows = scores.chunks_exact(width.max(1));
            out.extend(rows.flat_map(|row| row[..n_values].iter().map(|&score| convert(score))));
        }
    }
}

/// The first `used` columns of `x` as rows for a kernel.
fn batch(x: &Tensor, rows: usize, columns: usize, used: usize) -> Result<Batch<'_>> {
    fn view<T>(values: &[T], rows: usize, columns: usize, used: usize) -> Result<ArrayView2<'_, T>> {
        let view = ArrayView2::from_shape((rows, columns), values);
        let view = view.map_err(|cause| Error::shape(format!("{rows} rows of {columns} columns: {cause}")))?;
        Ok(view.slice_move(ndarray::s![.., ..used]))
    }
    match &x.data {
        Data::F32(values) => Ok(Batch::Dense(Dense::F32(view(values, rows, columns, used)?))),
        Data::F64(values) => Ok(Batch::Dense(Dense::F64(view(values, rows, columns, used)?))),
        _ => Err(Error::unsupported(format!("trees of {}", x.ty().name()))),
    }
}

/// Adds the scores of a regressor's targets, of rows of `n_margins` sums, to `scores`.
fn combine_trees<S: Real>(sums: &[S], n_margins: usize, combine: Combine, base: &[f64], scores: &mut Vec<S>) {
    // Of the trees that speak of the target.
    let of_trees = |sums: &[S], is_better: fn(&S, &S) -> bool| {
        let best = |best: S, score: &S| if is_better(score, &best) || is_nan(best) { *score } else { best };
        let best = sums.iter().fold(S::NAN, best);
        if is_nan(best) { S::ZERO } else { best }
    };
    let rows = sums.chunks_exact(n_margins);
    match combine {
        Combine::Sum => scores.extend_from_slice(sums),
        Combine::Average(trees) => {
            let trees = S::from_f64(trees as f64);
            scores.extend(sums.iter().map(|&sum| sum / trees));
        }
        Combine::Min => scores.extend(rows.map(|sums| of_trees(sums, S::lt))),
        Combine::Max => scores.extend(rows.map(|sums| of_trees(sums, S::gt))),
    }
    with_rows(scores, base, |score, base| score + S::from_f64(base));
}

#[expect(clippy::eq_op, reason = "the one comparison that both float types share")]
fn is_nan<T: Real>(x: T) -> bool {
    x != x
}

/// The class of a row, of whose classes so many leaves speak; `scores` then have their base values.
fn classify<S: Real>(scores: &mut [S], counts: &[S], base: &[f64], one_id: bool, all_positive: bool) -> usize {
    scores.iter_mut().zip(base).for_each(|(score, &base)| *score += S::from_f64(base));
    let binary = scores.len() == 2;
    let has = |class: usize| counts[class] > S::ZERO || !binary && class < base.len();
    if binary {
        let decisive = if has(1) { scores[1] } else { S::ZERO };
        let threshold = if one_id && all_positive { 0.5 } else { 0.0 };
        return usize::from(decisive > S::from_f64(threshold));
    }
    let spoken = (0..scores.len()).filter(|&class| has(class));
    spoken.reduce(|best, class| if scores[class] > scores[best] { class } else { best }).unwrap_or(0)
}

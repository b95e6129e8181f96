//! The operators of a graph. Each writes its outputs over what they held before, whose memory it reuses.
//!
//! An operator reads its inputs' types when it runs and names those it does not know. Since every graph is run once on
//! made-up rows when it is loaded, that is found out at load.

pub(crate) mod broadcast;
pub(crate) mod cast;
mod distance;
pub(crate) mod elementwise;
pub(crate) mod encode;
pub(crate) mod forest;
mod gather;
pub(crate) mod keys;
pub(crate) mod linear;
#[cfg(feature = "neural")]
pub(crate) mod network;
pub(crate) mod normalization;
pub(crate) mod pattern;
pub(crate) mod reduce;
pub(crate) mod shape;
pub(crate) mod svm;
pub(crate) mod text;
pub(crate) mod transform;

use super::Evaluator;
use super::control::Control;
use super::tensor::{Tensor, Type};
use crate::error::{Error, Result};
use elementwise::{Binary, Compare, Logic, Unary};
use encode::{Imputer, LabelEncoder, MemberColumn, OneHotEncoder};
use forest::{Ensemble, Margins};
use linear::{Einsum, Gemm, LinearModel, Norm, Scaler};
use reduce::Reduction;
use svm::{Svm, SvmClassifier, Votes};
use text::{MurmurHash3, NgramCounter, StringNormalizer, TextScratch, Tokenizer};

/// An operator with its attributes.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    // Rows in their place, element by element.
    Unary(Unary),
    Binary(Binary),
    PRelu,
    Mean,
    Pow,
    Compare(Compare),
    Logic(Logic),
    Where,
    Clip,
    IsNan,
    Cast(Type),
    // Elements and shapes rearranged.
    Identity,
    Reshape {
        allow_zero: bool,
    },
    Flatten {
        axis: i64,
    },
    Squeeze {
        axes: Option<Vec<i64>>,
    },
    Unsqueeze {
        axes: Option<Vec<i64>>,
    },
    Concat {
        axis: i64,
    },
    Transpose {
        perm: Option<Vec<i64>>,
    },
    Expand,
    Tile,
    ConstantOfShape(Tensor),
    Shape {
        start: i64,
        end: Option<i64>,
    },
    Size,
    Range,
    Slice,
    Split {
        axis: i64,
    },
    Gather {
        axis: i64,
    },
    GatherElements {
        axis: i64,
    },
    GatherNd,
    ScatterElements {
        axis: i64,
    },
    ScatterNd,
    Compress {
        axis: Option<i64>,
    },
    NonZero,
    ArrayFeatureExtractor,
    // Many elements to one.
    Reduce {
        how: Reduction,
        axes: Vec<i64>,
        keep: bool,
        noop_without: bool,
    },
    ArgExtreme {
        axis: i64,
        keep: bool,
        last: bool,
        greatest: bool,
    },
    TopK {
        axis: i64,
        greatest: bool,
    },
    CumSum {
        exclusive: bool,
        reverse: bool,
    },
    Softmax {
        axis: i64,
        flatten: bool,
        log: bool,
    },
    LpNormalization {
        axis: i64,
        p: i64,
    },
    BatchNormalization {
        epsilon: f32,
    },
    LayerNormalization {
        axis: i64,
        epsilon: f32,
    },
    // Linear algebra and linear models.
    MatMul,
    Gemm(Gemm),
    Einsum(Einsum),
    Solve,
    LinearRegressor(LinearModel),
    LinearClassifier {
        model: LinearModel,
        classes: Tensor,
    },
    Scaler(Scaler),
    Normalizer(Norm),
    Binarizer {
        threshold: f32,
    },
    SvmRegressor {
        svm: Svm,
        one_class: bool,
    },
    SvmClassifier(SvmClassifier),
    // Columns recoded.
    LabelEncoder(LabelEncoder),
    OneHotEncoder(OneHotEncoder),
    Imputer(Imputer),
    FeatureVectorizer {
        widths: Vec<i64>,
    },
    DictVectorizer,
    AddMembers(Vec<MemberColumn>),
    // Text.
    StringNormalizer(StringNormalizer),
    Tokenizer(Tokenizer),
    MurmurHash3(MurmurHash3),
    TfIdfVectorizer(NgramCounter),
    // Trees.
    Ensemble(Ensemble),
    // Graphs within the graph that are known as a whole.
    Distances,
    // Sequences, and other graphs within the graph.
    Sequence,
    Control(Box<Control>),
    // All of a graph.
    #[cfg(feature = "neural")]
    Network(network::Network),
}

/// The inputs of a node: some optional ones may be missing.
pub(crate) struct Inputs<'a> {
    /// For every input its value's number.
    pub(super) values: &'a [Option<usize>],
    pub(super) constants: &'a [Option<Tensor>],
    pub(super) slots: &'a [Tensor],
}

impl<'a> Inputs<'a> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The input at `index`, which must be there.
    pub(crate) fn get(&self, index: usize) -> Result<&'a Tensor> {
        self.optional(index).ok_or_else(|| Error::invalid_model(format!("input {index} is missing")))
    }

    /// The input at `index`, if there is one.
    pub(crate) fn optional(&self, index: usize) -> Option<&'a Tensor> {
        let value = (*self.values.get(index)?)?;
        Some(self.constants[value].as_ref().unwrap_or_else(|| &self.slots[value]))
    }

    /// Whether the input at `index` is the same in every run.
    fn is_constant(&self, index: usize) -> bool {
        self.values.get(index).copied().flatten().is_some_and(|value| self.constants[value].is_some())
    }

    /// The integers of an optional input, one for each of some axes.
    fn integers(&self, index: usize) -> Result<Option<Axes>> {
        self.optional(index).map(|x| Axes::new(x.integers()?)).transpose()
    }
}

/// A short list of integers, on the stack.
struct Axes {
    len: usize,
    list: [i64; 8],
}

impl Axes {
    fn new(integers: impl ExactSizeIterator<Item = i64>) -> Result<Self> {
        let (len, mut list) = (integers.len(), [0; 8]);
        if len > list.len() {
            return Err(Error::unsupported(format!("{len} axes")));
        }
        list.iter_mut().zip(integers).for_each(|(at, integer)| *at = integer);
        Ok(Self { len, list })
    }
}

impl std::ops::Deref for Axes {
    type Target = [i64];
    fn deref(&self) -> &[i64] {
        &self.list[..self.len]
    }
}

/// What operators run with, beside their inputs.
pub(crate) struct Tools<'a> {
    pub(crate) runner: &'a mut dyn Evaluator,
    pub(crate) work: &'a mut Work,
}

/// Working memory of operators, each time for one of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    margins: Margins,
    text: TextScratch,
    votes: Votes,
    /// By type, a value converted to it, or half done.
    values: [Tensor; 7],
    order: Vec<usize>,
}

impl Work {
    fn value(&mut self, ty: Type) -> &mut Tensor {
        &mut self.values[ty as usize]
    }
}

impl Op {
    /// Runs the operator; graphs within the graph are run by their owner.
    pub(super) fn run(&self, x: &Inputs<'_>, outs: &mut [Tensor], tools: &mut Tools<'_>) -> Result<()> {
        let Some((out, _)) = outs.split_first_mut() else { return Ok(()) };
        let Tools { runner, work } = tools;
        match self {
            Self::Unary(op) => op.run(x.get(0)?, *runner, out),
            Self::Binary(op) => op.run(x, work.value(x.get(0)?.ty()), out),
            Self::PRelu => elementwise::run_prelu(x.get(0)?, x.get(1)?, out),
            Self::Mean => elementwise::run_mean(x, work.value(x.get(0)?.ty()), out),
            Self::Pow => elementwise::run_pow(x.get(0)?, x.get(1)?, *runner, out),
            Self::Compare(op) => op.run(x.get(0)?, x.get(1)?, out),
            Self::Logic(op) => op.run(x.get(0)?, x.get(1)?, out),
            Self::Where => elementwise::run_where(x.get(0)?, x.get(1)?, x.get(2)?, out),
            Self::Clip => elementwise::run_clip(x.get(0)?, x.optional(1), x.optional(2), out),
            Self::IsNan => elementwise::run_is_nan(x.get(0)?, out),
            Self::Cast(to) => cast::run_cast(x.get(0)?, *to, out),
            Self::Identity => out.copy(x.get(0)?),
            Self::Reshape { allow_zero } => shape::reshape(x.get(0)?, x.get(1)?, *allow_zero, out),
            Self::Flatten { axis } => shape::flatten(x.get(0)?, *axis, out),
            Self::Squeeze { axes } => {
                let given = x.integers(1)?;
                shape::squeeze(x.get(0)?, axes.as_deref().or(given.as_deref()), out)
            }
            Self::Unsqueeze { axes } => {
                let given = x.integers(1)?;
                shape::unsqueeze(x.get(0)?, axes.as_deref().or(given.as_deref()).unwrap_or_default(), out)
            }
            Self::Concat { axis } => shape::concat(x, *axis, out),
            Self::Transpose { perm } => shape::transpose(x.get(0)?, perm.as_deref(), out),
            Self::Expand => shape::expand(x.get(0)?, x.get(1)?, out),
            Self::Tile => shape::tile(x.get(0)?, x.get(1)?, out),
            Self::ConstantOfShape(value) => shape::constant_of_shape(x.get(0)?, value, out),
            Self::Shape { start, end } => shape::shape_of(x.get(0)?, *start, *end, out),
            Self::Size => {
                let size = x.get(0)?.len() as i64;
                out.start::<i64>(&[])?.push(size);
                Ok(())
            }
            Self::Range => shape::range(x.get(0)?, x.get(1)?, x.get(2)?, out),
            Self::Slice => {
                let (Some(starts), Some(ends)) = (x.integers(1)?, x.integers(2)?) else {
                    return Err(Error::invalid_model("a slice without bounds"));
                };
                let (axes, steps) = (x.integers(3)?, x.integers(4)?);
                let lengths = [Some(&*ends), axes.as_deref(), steps.as_deref()];
                if lengths.into_iter().flatten().any(|list| list.len() != starts.len()) {
                    return Err(Error::shape("bounds of a slice that do not match"));
                }
                shape::slice(x.get(0)?, &starts, &ends, axes.as_deref(), steps.as_deref(), out)
            }
            Self::Split { axis } => shape::split(x.get(0)?, *axis, x.optional(1), &mut work.order, outs),
            Self::Gather { axis } => gather::gather(x.get(0)?, x.get(1)?, *axis, out),
            Self::GatherElements { axis } => gather::gather_elements(x.get(0)?, x.get(1)?, *axis, &mut work.order, out),
            Self::GatherNd => gather::gather_nd(x.get(0)?, x.get(1)?, &mut work.order, out),
            Self::ScatterElements { axis } => {
                gather::scatter_elements(x.get(0)?, x.get(1)?, x.get(2)?, *axis, &mut work.order, out)
            }
            Self::ScatterNd => gather::scatter_nd(x.get(0)?, x.get(1)?, x.get(2)?, &mut work.order, out),
            Self::Compress { axis } => gather::compress(x.get(0)?, x.get(1)?, *axis, &mut work.order, out),
            Self::NonZero => gather::non_zero(x.get(0)?, &mut work.order, out),
            Self::ArrayFeatureExtractor => gather::array_feature_extractor(x.get(0)?, x.get(1)?, out),
            Self::Reduce { how, axes, keep, noop_without } => match x.integers(1)? {
                Some(axes) => how.run(x.get(0)?, &axes, *keep, *noop_without, out),
                None => how.run(x.get(0)?, axes, *keep, *noop_without, out),
            },
            Self::ArgExtreme { axis, keep, last, greatest } => {
                reduce::arg_extreme(x.get(0)?, *axis, *keep, *last, *greatest, out)
            }
            Self::TopK { axis, greatest } => {
                reduce::top_k(x.get(0)?, reduce::count(x.get(1)?)?, *axis, *greatest, &mut work.order, outs)
            }
            Self::CumSum { exclusive, reverse } => {
                let axis = x.integers(1)?.and_then(|axes| axes.first().copied()).unwrap_or(0);
                reduce::cum_sum(x.get(0)?, axis, *exclusive, *reverse, out)
            }
            Self::Softmax { axis, flatten, log } => reduce::softmax(x.get(0)?, *axis, *flatten, *log, *runner, out),
            Self::LpNormalization { axis, p } => reduce::lp_normalization(x.get(0)?, *axis, *p, out),
            Self::BatchNormalization { epsilon } => normalization::batch(x, *epsilon, work.value(x.get(0)?.ty()), out),
            Self::LayerNormalization { axis, epsilon } => normalization::layer(x, *axis, *epsilon, *runner, out),
            Self::MatMul => linear::mat_mul(x.get(0)?, x.get(1)?, x.is_constant(1), *runner, out),
            Self::Gemm(op) => op.run(x, *runner, work.value(x.get(0)?.ty()), out),
            Self::Einsum(op) => op.run(x, out),
            Self::Solve => linear::solve(x.get(0)?, x.get(1)?, out),
            Self::LinearRegressor(model) => model.regress(x.get(0)?, *runner, work.value(Type::F32), out),
            Self::LinearClassifier { model, classes } => {
                let [labels, scores] = outs else {
                    return Err(Error::invalid_model("a classifier without two outputs"));
                };
                let found = &mut work.order;
                model.classify(
                    classes.len(),
                    x.get(0)?,
                    *runner,
                    (&mut work.values[Type::F32 as usize], found),
                    scores,
                )?;
                shape::take(classes, &[found.len()], found.iter().copied(), labels)
            }
            Self::SvmRegressor { svm, one_class } => svm.regress(*one_class, x.get(0)?, *runner, work, out),
            Self::SvmClassifier(op) => op.run(x.get(0)?, *runner, work, outs),
            Self::Scaler(op) => op.run(x.get(0)?, out),
            Self::Normalizer(op) => op.run(x.get(0)?, work.value(Type::F32), out),
            Self::Binarizer { threshold } => linear::binarize(x.get(0)?, *threshold, work.value(Type::F32), out),
            Self::LabelEncoder(op) => op.run(x.get(0)?, out),
            Self::OneHotEncoder(op) => op.run(x.get(0)?, out),
            Self::Imputer(op) => op.run(x.get(0)?, out),
            Self::FeatureVectorizer { widths } => encode::feature_vectorizer(x, widths, work.value(Type::F32), out),
            Self::DictVectorizer => encode::dict_vectorizer(x.get(0)?, out),
            Self::AddMembers(columns) => encode::add_members(x.get(0)?, columns, work.value(Type::F32), out),
            Self::StringNormalizer(op) => op.run(x.get(0)?, out, &mut work.text),
            Self::MurmurHash3(op) => op.run(x.get(0)?, out),
            Self::Tokenizer(op) => op.run(x.get(0)?, out, &mut work.text),
            Self::TfIdfVectorizer(op) => op.run(x.get(0)?, out, &mut work.text),
            Self::Ensemble(op) => op.run(x.get(0)?, *runner, &mut work.margins, outs),
            Self::Distances => distance::squared(x, *runner, outs),
            Self::Sequence => {
                let items = out.start_tensors(x.len())?;
                items.iter_mut().enumerate().try_for_each(|(index, item)| item.copy(x.get(index)?))
            }
            #[cfg(feature = "neural")]
            Self::Network(network) => network.run(x, outs),
            Self::Control(_) => Err(Error::invalid_model("a graph within a constant")),
        }
    }
}

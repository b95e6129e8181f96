//! From names of operators to operators: the strings of the standard domain, `ai.onnx.ml` and `com.microsoft` end here.

use super::attributes::Attributes;
use super::text;
use super::trees::post_transform;
use crate::error::{Error, Result};
use crate::graph::ops::Op;
use crate::graph::ops::elementwise::{Binary, Compare, Logic, Unary};
use crate::graph::ops::encode::{Imputer, LabelEncoder, OneHotEncoder};
use crate::graph::ops::keys::Keys;
use crate::graph::ops::linear::{Einsum, Gemm, LinearModel, Norm, Scaler};
use crate::graph::ops::reduce::Reduction;
use crate::graph::ops::svm::{KernelKind, Svm, SvmClassifier, SvmKernel, Vectors};
use crate::graph::ops::transform::PostTransform;
use crate::graph::tensor::{Data, Tensor, Type};
use crate::ir::function::Function;
use crate::strings::Strings;

/// What early `version`s of an operator of the standard domain have as attributes, and later ones as inputs behind the
/// first.
pub(super) fn early_inputs(kind: &str, version: i64, attributes: &mut Attributes<'_>) -> Result<Vec<Tensor>> {
    let list = |values: &[i64]| Tensor::list(values.to_vec());
    let needed = |name: &str| Error::invalid_model(format!("no attribute {name}"));
    Ok(match kind {
        "Clip" if version < 11 => {
            let bounds = [attributes.float("min")?.unwrap_or(f32::MIN), attributes.float("max")?.unwrap_or(f32::MAX)];
            bounds.map(|bound| Tensor::list(vec![bound])).into()
        }
        "Slice" if version < 10 => {
            let starts = attributes.ints("starts")?.ok_or_else(|| needed("starts"))?;
            let ends = attributes.ints("ends")?.ok_or_else(|| needed("ends"))?;
            [Some(starts), Some(ends), attributes.ints("axes")?].into_iter().flatten().map(list).collect()
        }
        "Split" if version < 13 => attributes.ints("split")?.map(list).into_iter().collect(),
        "TopK" if version < 10 => vec![list(&[attributes.int("k")?.ok_or_else(|| needed("k"))?])],
        _ => Vec::new(),
    })
}

/// The operator called `kind` in the standard domain, as of `version` of its operators; `None` if it is unknown.
pub(super) fn standard(kind: &str, version: i64, attributes: &mut Attributes<'_>) -> Result<Option<Op>> {
    let axes = |attributes: &mut Attributes<'_>| Ok::<_, Error>(attributes.ints("axes")?.map(<[i64]>::to_vec));
    let axis = |attributes: &mut Attributes<'_>, default| Ok::<_, Error>(attributes.int("axis")?.unwrap_or(default));
    let unary = |op| Ok(Some(Op::Unary(op)));
    let function = |function| Ok(Some(Op::Unary(Unary::Function(function))));
    let binary = |op| Ok(Some(Op::Binary(op)));
    let compare = |op| Ok(Some(Op::Compare(op)));
    Ok(Some(match kind {
        "Abs" => return unary(Unary::Abs),
        "Ceil" => return unary(Unary::Ceil),
        "Cos" => return unary(Unary::Cos),
        "Celu" => {
            let alpha = attributes.float("alpha")?.unwrap_or(1.0);
            return function(Function::Elu { factor: alpha, width: alpha, scale: 1.0 });
        }
        "Elu" => {
            let factor = attributes.float("alpha")?.unwrap_or(1.0);
            return function(Function::Elu { factor, width: 1.0, scale: 1.0 });
        }
        "Erf" => return unary(Unary::Erf),
        "Exp" => return unary(Unary::Exp),
        "Floor" => return unary(Unary::Floor),
        "Gelu" => match attributes.string("approximate")?.unwrap_or("none") {
            "none" => return function(Function::Gelu),
            "tanh" => return function(Function::GeluTanh),
            other => return Err(Error::unsupported(format!("approximation {other:?}"))),
        },
        "HardSigmoid" => {
            let slope = attributes.float("alpha")?.unwrap_or(0.2);
            let offset = attributes.float("beta")?.unwrap_or(0.5);
            return function(Function::HardLogistic { slope, offset });
        }
        "HardSwish" => return function(Function::HardSwish),
        "LeakyRelu" => {
            return function(Function::LeakyRelu { slope: attributes.float("alpha")?.unwrap_or(0.01) });
        }
        "Log" => return unary(Unary::Log),
        "Mish" => return unary(Unary::Mish),
        "Neg" => return unary(Unary::Neg),
        "Not" => return unary(Unary::Not),
        "Reciprocal" => return unary(Unary::Reciprocal),
        "Relu" => return unary(Unary::Relu),
        "Round" => return unary(Unary::Round),
        "Selu" => {
            let factor = attributes.float("alpha")?.unwrap_or(1.673_263_2);
            let scale = attributes.float("gamma")?.unwrap_or(1.050_701);
            return function(Function::Elu { factor, width: 1.0, scale });
        }
        "Sigmoid" => return unary(Unary::Sigmoid),
        "Sign" => return unary(Unary::Sign),
        "Sin" => return unary(Unary::Sin),
        "Softplus" => return unary(Unary::Softplus),
        "Softsign" => return function(Function::Softsign),
        "Sqrt" => return unary(Unary::Sqrt),
        "Tanh" => return unary(Unary::Tanh),
        "ThresholdedRelu" => {
            let threshold = attributes.float("alpha")?.unwrap_or(1.0);
            return function(Function::ThresholdedRelu { threshold });
        }
        "PRelu" => Op::PRelu,
        "Add" | "Sum" => return binary(Binary::Add),
        "Div" => return binary(Binary::Div),
        "Max" => return binary(Binary::Max),
        "Min" => return binary(Binary::Min),
        "Mul" => return binary(Binary::Mul),
        "Sub" => return binary(Binary::Sub),
        "Mod" => {
            if attributes.flag("fmod", false)? {
                return Err(Error::unsupported("attribute fmod"));
            }
            Op::Binary(Binary::Mod)
        }
        "Mean" => Op::Mean,
        "Pow" => Op::Pow,
        "Equal" => return compare(Compare::Equal),
        "Greater" => return compare(Compare::Greater),
        "GreaterOrEqual" => return compare(Compare::GreaterOrEqual),
        "Less" => return compare(Compare::Less),
        "LessOrEqual" => return compare(Compare::LessOrEqual),
        "And" => Op::Logic(Logic::And),
        "Or" => Op::Logic(Logic::Or),
        "Xor" => Op::Logic(Logic::Xor),
        "Where" => Op::Where,
        "Clip" => Op::Clip,
        "IsNaN" => Op::IsNan,
        "Cast" => {
            attributes.ignore(&["saturate", "round_mode"]);
            let code = attributes.int("to")?.ok_or_else(|| Error::invalid_model("no attribute to"))?;
            Op::Cast(super::tensor::element_type(i32::try_from(code).unwrap_or(0))?)
        }
        "Identity" | "Dropout" => {
            attributes.ignore(&["ratio", "seed"]);
            Op::Identity
        }
        "Reshape" => Op::Reshape { allow_zero: attributes.flag("allowzero", false)? },
        "Flatten" => Op::Flatten { axis: axis(attributes, 1)? },
        "Squeeze" => Op::Squeeze { axes: axes(attributes)? },
        "Unsqueeze" => Op::Unsqueeze { axes: axes(attributes)? },
        "Concat" => Op::Concat { axis: axis(attributes, 1)? },
        "Transpose" => Op::Transpose { perm: attributes.ints("perm")?.map(<[i64]>::to_vec) },
        "Expand" => Op::Expand,
        "Tile" => Op::Tile,
        "ConstantOfShape" => {
            let value = attributes.tensor("value")?.unwrap_or_else(|| Tensor::list(vec![0.0f32]));
            if value.len() != 1 {
                return Err(Error::invalid_model("a value of more than one element"));
            }
            Op::ConstantOfShape(value)
        }
        "Shape" => Op::Shape { start: attributes.int("start")?.unwrap_or(0), end: attributes.int("end")? },
        "Size" => Op::Size,
        "Range" => Op::Range,
        "Slice" => Op::Slice,
        "Split" => {
            attributes.ignore(&["num_outputs"]);
            Op::Split { axis: axis(attributes, 0)? }
        }
        "Gather" => Op::Gather { axis: axis(attributes, 0)? },
        "GatherElements" => Op::GatherElements { axis: axis(attributes, 0)? },
        "GatherND" => {
            zero(attributes, "batch_dims")?;
            Op::GatherNd
        }
        "ScatterElements" => {
            none(attributes, "reduction")?;
            Op::ScatterElements { axis: axis(attributes, 0)? }
        }
        "ScatterND" => {
            none(attributes, "reduction")?;
            Op::ScatterNd
        }
        "Compress" => Op::Compress { axis: attributes.int("axis")? },
        "NonZero" => Op::NonZero,
        "ReduceL1" => reduce(Reduction::L1, attributes)?,
        "ReduceL2" => reduce(Reduction::L2, attributes)?,
        "ReduceLogSum" => reduce(Reduction::LogSum, attributes)?,
        "ReduceLogSumExp" => reduce(Reduction::LogSumExp, attributes)?,
        "ReduceMax" => reduce(Reduction::Max, attributes)?,
        "ReduceMean" => reduce(Reduction::Mean, attributes)?,
        "ReduceMin" => reduce(Reduction::Min, attributes)?,
        "ReduceProd" => reduce(Reduction::Prod, attributes)?,
        "ReduceSum" => reduce(Reduction::Sum, attributes)?,
        "ReduceSumSquare" => reduce(Reduction::SumSquare, attributes)?,
        "ArgMax" | "ArgMin" => Op::ArgExtreme {
            axis: axis(attributes, 0)?,
            keep: attributes.flag("keepdims", true)?,
            last: attributes.flag("select_last_index", false)?,
            greatest: kind == "ArgMax",
        },
        "TopK" => {
            // Sorted is one of the orders that unsorted allows.
            attributes.ignore(&["sorted"]);
            Op::TopK { axis: axis(attributes, -1)?, greatest: attributes.flag("largest", true)? }
        }
        "CumSum" => {
            Op::CumSum { exclusive: attributes.flag("exclusive", false)?, reverse: attributes.flag("reverse", false)? }
        }
        "Softmax" | "LogSoftmax" => {
            let flatten = version < 13;
            let axis = axis(attributes, if flatten { 1 } else { -1 })?;
            Op::Softmax { axis, flatten, log: kind == "LogSoftmax" }
        }
        "LpNormalization" => Op::LpNormalization { axis: axis(attributes, -1)?, p: attributes.int("p")?.unwrap_or(2) },
        "BatchNormalization" => {
            attributes.ignore(&["momentum"]);
            if attributes.flag("training_mode", false)? || !attributes.flag("spatial", true)? || version < 7 {
                return Err(Error::unsupported("batch normalisation but that of a trained model by channels"));
            }
            Op::BatchNormalization { epsilon: attributes.float("epsilon")?.unwrap_or(1e-5) }
        }
        "LayerNormalization" => {
            if attributes.int("stash_type")?.unwrap_or(1) != 1 {
                return Err(Error::unsupported("a stash_type other than f32"));
            }
            let epsilon = attributes.float("epsilon")?.unwrap_or(1e-5);
            Op::LayerNormalization { axis: axis(attributes, -1)?, epsilon }
        }
        "MatMul" => Op::MatMul,
        "Gemm" => Op::Gemm(Gemm {
            alpha: attributes.float("alpha")?.unwrap_or(1.0),
            beta: attributes.float("beta")?.unwrap_or(1.0),
            trans_a: attributes.flag("transA", false)?,
            trans_b: attributes.flag("transB", false)?,
            activation: None,
        }),
        "Einsum" => Op::Einsum(einsum(attributes.string("equation")?.unwrap_or_default())?),
        "SequenceConstruct" => Op::Sequence,
        "StringNormalizer" => Op::StringNormalizer(text::string_normalizer(attributes)?),
        "TfIdfVectorizer" => Op::TfIdfVectorizer(text::ngrams(attributes)?),
        _ => return Ok(None),
    }))
}

/// The operator called `kind` in `ai.onnx.ml`; trees and maps are not among them. `input` is the type of the first
/// input, if it is known.
pub(super) fn learned(
    kind: &str,
    version: i64,
    input: Option<Type>,
    attributes: &mut Attributes<'_>,
) -> Result<Option<Op>> {
    Ok(Some(match kind {
        "ArrayFeatureExtractor" => Op::ArrayFeatureExtractor,
        "Binarizer" => Op::Binarizer { threshold: attributes.float("threshold")?.unwrap_or(0.0) },
        "FeatureVectorizer" => {
            Op::FeatureVectorizer { widths: attributes.ints("inputdimensions")?.unwrap_or_default().to_vec() }
        }
        "DictVectorizer" => {
            attributes.ignore(&["string_vocabulary", "int64_vocabulary"]);
            Op::DictVectorizer
        }
        "Scaler" => {
            let offset = attributes.floats("offset")?.unwrap_or(&[0.0]).to_vec();
            let scale = attributes.floats("scale")?.unwrap_or(&[1.0]).to_vec();
            if offset.is_empty() || scale.is_empty() {
                return Err(Error::invalid_model("a scaler without numbers"));
            }
            Op::Scaler(Scaler { offset, scale })
        }
        "Normalizer" => Op::Normalizer(match attributes.string("norm")?.unwrap_or("MAX") {
            "MAX" => Norm::Max,
            "L1" => Norm::L1,
            "L2" => Norm::L2,
            other => return Err(Error::unsupported(format!("norm {other:?}"))),
        }),
        "Imputer" => Op::Imputer(imputer(attributes)?),
        "OneHotEncoder" => {
            let integers = attributes.ints("cats_int64s")?.filter(|list| !list.is_empty());
            let names = attributes.strings("cats_strings")?.filter(|list| !list.is_empty());
            let keys = match (integers, names) {
                (Some(integers), None) => Tensor::list(integers.to_vec()),
                (None, Some(names)) => Tensor::text(names),
                _ => return Err(Error::invalid_model("neither or both of cats_int64s and cats_strings")),
            };
            Op::OneHotEncoder(OneHotEncoder {
                n_categories: keys.len(),
                keys: Keys::new(&keys, false)?,
                zeros: attributes.flag("zeros", true)?,
            })
        }
        "LabelEncoder" => Op::LabelEncoder(label_encoder(version, input, attributes)?),
        "CategoryMapper" => {
            let (integers, names) = (attributes.ints("cats_int64s")?, attributes.strings("cats_strings")?);
            let (Some(integers), Some(names)) = (integers, names) else {
                return Err(Error::invalid_model("not both of cats_int64s and cats_strings"));
            };
            let list = Tensor::list(integers.to_vec());
            Op::LabelEncoder(either_way(Tensor::text(names), list, input, attributes)?)
        }
        "LinearRegressor" => {
            Op::LinearRegressor(linear(attributes, |attributes| Ok(attributes.int("targets")?.unwrap_or(1) as usize))?)
        }
        "LinearClassifier" => {
            attributes.ignore(&["multi_class"]);
            let classes = class_labels(attributes, "classlabels_ints")?;
            let n_rows = attributes.floats("intercepts")?.map_or(classes.len(), <[f32]>::len);
            Op::LinearClassifier { model: linear(attributes, |_| Ok(n_rows))?, classes }
        }
        "SVMRegressor" => {
            let svm = svm(attributes, |attributes| Ok(attributes.int("n_supports")?.unwrap_or(0) as usize))?;
            if post_transform(attributes.string("post_transform")?)? != PostTransform::None {
                return Err(Error::unsupported("a post_transform of SVMRegressor"));
            }
            let expected = if svm.vectors.count == 0 { svm.coefficients.len() } else { svm.vectors.count };
            if svm.coefficients.len() != expected {
                return Err(Error::invalid_model(format!(
                    "{} coefficients for {expected} vectors",
                    svm.coefficients.len()
                )));
            }
            Op::SvmRegressor { svm, one_class: attributes.flag("one_class", false)? }
        }
        "SVMClassifier" => Op::SvmClassifier(svm_classifier(attributes)?),
        _ => return Ok(None),
    }))
}

/// Vectors and kernel of a support vector machine.
fn svm(attributes: &mut Attributes<'_>, n_vectors: impl FnOnce(&mut Attributes<'_>) -> Result<usize>) -> Result<Svm> {
    let n_vectors = n_vectors(attributes)?;
    let kind = match attributes.string("kernel_type")?.unwrap_or("LINEAR") {
        _ if n_vectors == 0 => KernelKind::Linear,
        "LINEAR" => KernelKind::Linear,
        "POLY" => KernelKind::Poly,
        "RBF" => KernelKind::Rbf,
        "SIGMOID" => KernelKind::Sigmoid,
        other => return Err(Error::unsupported(format!("kernel_type {other:?}"))),
    };
    let (gamma, coef0, degree) = match attributes.floats("kernel_params")?.unwrap_or_default() {
        [] => (0.0, 0.0, 0.0),
        [gamma, coef0, degree, ..] => (*gamma, *coef0, *degree),
        other => return Err(Error::invalid_model(format!("{} kernel_params", other.len()))),
    };
    let vectors = attributes.floats("support_vectors")?.unwrap_or_default();
    let coefficients = attributes.floats("coefficients")?.unwrap_or_default().to_vec();
    let rho = attributes.floats("rho")?.unwrap_or_default().to_vec();
    if coefficients.is_empty() || rho.is_empty() || n_vectors > 0 && !vectors.len().is_multiple_of(n_vectors) {
        let (c, r, v) = (coefficients.len(), rho.len(), vectors.len());
        return Err(Error::invalid_model(format!("{c} coefficients, {r} rho, {v} numbers for {n_vectors} vectors")));
    }
    let vectors = Vectors::new(vectors, n_vectors);
    Ok(Svm { kernel: SvmKernel { kind, gamma, coef0, degree }, vectors, coefficients, rho })
}

fn svm_classifier(attributes: &mut Attributes<'_>) -> Result<SvmClassifier> {
    let classes = class_labels(attributes, "classlabels_ints")?;
    let (n_classes, counts) = (classes.len(), attributes.ints("vectors_per_class")?.unwrap_or_default());
    let per_class: Option<Vec<usize>> = counts.iter().map(|&count| usize::try_from(count).ok()).collect();
    let total = per_class.as_ref().and_then(|all| all.iter().try_fold(0usize, |sum, &count| sum.checked_add(count)));
    let (Some(mut per_class), Some(total)) = (per_class, total) else {
        return Err(Error::invalid_model("vectors_per_class"));
    };
    let svm = svm(attributes, |_| Ok(total))?;
    let prob_a = attributes.floats("prob_a")?.unwrap_or_default().to_vec();
    let prob_b = attributes.floats("prob_b")?.unwrap_or_default().to_vec();
    let n_pairs = n_classes * n_classes.saturating_sub(1) / 2;
    let fits = if total == 0 {
        per_class.clear();
        svm.coefficients.len().is_multiple_of(n_classes) && svm.coefficients.len() > n_classes - 1
    } else {
        per_class.len() == n_classes
            && svm.coefficients.len() == (n_classes - 1) * total
            && svm.vectors.width > 0
            && svm.rho.len() >= n_pairs
    };
    let paired = prob_a.len() == prob_b.len() && (prob_a.is_empty() || prob_a.len() >= n_pairs && total > 0);
    if n_classes < 2 || !fits || !paired {
        return Err(Error::invalid_model("lists of vectors, coefficients and classes that do not fit together"));
    }
    let post_transform = post_transform(attributes.string("post_transform")?)?;
    Ok(SvmClassifier { svm, per_class, prob_a, prob_b, post_transform, classes })
}

/// The operator called `kind` in `com.microsoft`.
pub(super) fn microsoft(kind: &str, attributes: &mut Attributes<'_>) -> Result<Option<Op>> {
    Ok(match kind {
        "Solve" => Some(Op::Solve),
        "MurmurHash3" => Some(Op::MurmurHash3(text::murmur_hash(attributes)?)),
        "Tokenizer" => Some(Op::Tokenizer(text::tokenizer(attributes)?)),
        _ => None,
    })
}

/// Refuses an attribute that is not 0.
fn zero(attributes: &mut Attributes<'_>, name: &str) -> Result<()> {
    match attributes.int(name)? {
        None | Some(0) => Ok(()),
        Some(value) => Err(Error::unsupported(format!("attribute {name} {value}"))),
    }
}

/// Refuses an attribute that is not "none".
fn none(attributes: &mut Attributes<'_>, name: &str) -> Result<()> {
    match attributes.string(name)? {
        None | Some("none") => Ok(()),
        Some(value) => Err(Error::unsupported(format!("attribute {name} {value:?}"))),
    }
}

fn reduce(how: Reduction, attributes: &mut Attributes<'_>) -> Result<Op> {
    Ok(Op::Reduce {
        how,
        axes: attributes.ints("axes")?.unwrap_or_default().to_vec(),
        keep: attributes.flag("keepdims", true)?,
        noop_without: attributes.flag("noop_with_empty_axes", false)?,
    })
}

/// An equation of letters, such as `ab,bc->ac`.
fn einsum(equation: &str) -> Result<Einsum> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (operands, result) =
        equation.split_once("->").ok_or_else(|| Error::unsupported("an equation without a result"))?;
    let terms: Vec<Vec<u8>> = operands.split(',').chain([result]).map(|term| term.as_bytes().to_vec()).collect();
    let letters = terms.iter().flatten().all(u8::is_ascii_alphabetic);
    let operands: Vec<u8> = terms[..terms.len() - 1].concat();
    let result = &terms[terms.len() - 1];
    let repeated = (1..result.len()).any(|at| result[..at].contains(&result[at]));
    if !letters || repeated || !result.iter().all(|letter| operands.contains(letter)) {
        return Err(Error::unsupported(format!("equation {equation:?}")));
    }
    Ok(Einsum { terms })
}

/// Class labels: integers called `integers`, or strings.
fn class_labels(attributes: &mut Attributes<'_>, integers: &str) -> Result<Tensor> {
    let integers = attributes.ints(integers)?.filter(|list| !list.is_empty()).map(|list| Tensor::list(list.to_vec()));
    let names = attributes.strings("classlabels_strings")?.filter(|list| !list.is_empty()).map(Tensor::text);
    integers.or(names).ok_or_else(|| Error::invalid_model("a classifier without class labels"))
}

fn linear(
    attributes: &mut Attributes<'_>,
    n_targets: impl FnOnce(&mut Attributes<'_>) -> Result<usize>,
) -> Result<LinearModel> {
    let n_targets = n_targets(attributes)?;
    let coefficients = attributes.floats("coefficients")?.unwrap_or_default().to_vec();
    let intercepts = attributes.floats("intercepts")?.unwrap_or_default().to_vec();
    if n_targets == 0
        || !coefficients.len().is_multiple_of(n_targets)
        || !matches!(intercepts.len(), 0) && intercepts.len() != n_targets
    {
        return Err(Error::invalid_model(format!(
            "{} coefficients and {} intercepts for {n_targets} targets",
            coefficients.len(),
            intercepts.len()
        )));
    }
    let post_transform = post_transform(attributes.string("post_transform")?)?;
    Ok(LinearModel { coefficients, intercepts, n_targets, post_transform })
}

fn imputer(attributes: &mut Attributes<'_>) -> Result<Imputer> {
    let floats = attributes.floats("imputed_value_floats")?.filter(|list| !list.is_empty());
    let integers = attributes.ints("imputed_value_int64s")?.filter(|list| !list.is_empty());
    let (replaced, replaced_integer) =
        (attributes.float("replaced_value_float")?, attributes.int("replaced_value_int64")?);
    match (floats, integers) {
        (Some(imputed), None) => Ok(Imputer::Floats { imputed: imputed.to_vec(), replaced: replaced.unwrap_or(0.0) }),
        (None, Some(imputed)) => {
            Ok(Imputer::Integers { imputed: imputed.to_vec(), replaced: replaced_integer.unwrap_or(0) })
        }
        _ => Err(Error::invalid_model("neither or both of imputed_value_floats and imputed_value_int64s")),
    }
}

/// A list followed by its default.
fn with_default(mut values: Tensor, default: &Tensor) -> Result<Tensor> {
    values.append(default, 0..1)?;
    values.shape = vec![values.len()];
    Ok(values)
}

fn single(text: &str) -> Tensor {
    Tensor::text([text].into_iter().collect::<Strings>())
}

/// An encoder of strings as integers, or of integers as strings if the rows hold those.
fn either_way(
    names: Tensor,
    integers: Tensor,
    input: Option<Type>,
    attributes: &mut Attributes<'_>,
) -> Result<LabelEncoder> {
    if names.len() != integers.len() {
        return Err(Error::invalid_model(format!("{} names for {} integers", names.len(), integers.len())));
    }
    let (name, integer) = (attributes.string("default_string")?, attributes.int("default_int64")?);
    let (keys, values, default) = match input {
        Some(Type::I64) => (integers, names, single(name.unwrap_or("_Unused"))),
        _ => (names, integers, Tensor::list(vec![integer.unwrap_or(-1)])),
    };
    Ok(LabelEncoder { keys: Keys::new(&keys, false)?, values: with_default(values, &default)? })
}

fn label_encoder(version: i64, input: Option<Type>, attributes: &mut Attributes<'_>) -> Result<LabelEncoder> {
    if let Some(classes) = attributes.strings("classes_strings")? {
        let places = (0..classes.len() as i64).collect();
        return either_way(Tensor::text(classes), Tensor::list(places), input, attributes);
    }
    let list = |attributes: &mut Attributes<'_>, what: &str| -> Result<Option<Tensor>> {
        if let Some(tensor) = attributes.looked_up(&format!("{what}_tensor"))? {
            return Ok(Some(tensor));
        }
        let strings = attributes.strings(&format!("{what}_strings"))?.filter(|list| !list.is_empty());
        let integers = attributes.ints(&format!("{what}_int64s"))?.filter(|list| !list.is_empty());
        let floats = attributes.floats(&format!("{what}_floats"))?.filter(|list| !list.is_empty());
        let strings = strings.map(Tensor::text);
        let integers = integers.map(|list| Tensor::list(list.to_vec()));
        Ok(strings.or(integers).or(floats.map(|list| Tensor::list(list.to_vec()))))
    };
    let keys = list(attributes, "keys")?.ok_or_else(|| Error::invalid_model("no keys"))?;
    let values = list(attributes, "values")?.ok_or_else(|| Error::invalid_model("no values"))?;
    if keys.len() != values.len() {
        return Err(Error::invalid_model(format!("{} keys, but {} values", keys.len(), values.len())));
    }
    let tensor = attributes.looked_up("default_tensor")?.filter(|tensor| tensor.len() == 1);
    let (text, integer) = (attributes.string("default_string")?, attributes.int("default_int64")?);
    let float = attributes.float("default_float")?;
    let default = match (tensor, &values.data) {
        (Some(tensor), _) => tensor,
        (None, Data::Text(_)) => single(text.unwrap_or("_Unused")),
        (None, Data::I64(_)) => Tensor::list(vec![integer.unwrap_or(-1)]),
        (None, Data::F32(_)) => Tensor::list(vec![float.unwrap_or(-0.0)]),
        (None, Data::F64(_)) => Tensor::list(vec![f64::from(float.unwrap_or(-0.0))]),
        (None, _) => return Err(Error::unsupported(format!("values of {}", values.ty().name()))),
    };
    // Before version 4 a NaN equals nothing, not even itself.
    Ok(LabelEncoder { keys: Keys::new(&keys, version >= 4)?, values: with_default(values, &default)? })
}

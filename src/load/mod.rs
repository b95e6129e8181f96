//! From bytes to a [`Forest`]: one folder per format, each with its library's semantics.
//!
//! A loader reads its format in one pass, turns every string into an enum, and lowers trees as it meets them through
//! [`ForestBuilder`](crate::ForestBuilder). It never allocates more than the file's own length warrants: counts that a
//! file claims are checked against what it holds, and against [`Limits`].

mod bytes;
mod catboost;
mod document;
mod json;
mod lightgbm;
mod onnx;
pub(crate) mod saw;
mod sklearn;
mod treelite;
mod xgboost;

use std::fmt;
use std::io::Read;
use std::ops::Range;

use serde::Serialize;

pub(crate) use self::bytes::FileBytes;
use self::bytes::Hashing;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ir::Forest;
use crate::schema::Schema;
use crate::store::stored;

/// A model file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Format {
    /// XGBoost's JSON: `save_model("model.json")`, `save_raw("json")`, or a memory snapshot of it.
    #[serde(rename = "xgboost-json")]
    XgBoostJson,
    /// XGBoost's UBJSON: `save_model("model.ubj")`, `save_raw("ubj")`, or a memory snapshot of it.
    #[serde(rename = "xgboost-ubjson")]
    XgBoostUbjson,
    /// XGBoost's old binary format: `save_model("model.bin")` up to 2.0, `save_model("model.deprecated")` up to 3.0.
    #[serde(rename = "xgboost-binary")]
    XgBoostBinary,
    /// LightGBM's text: `save_model("model.txt")`, `model_to_string()`.
    #[serde(rename = "lightgbm-text")]
    LightGbmText,
    /// LightGBM's JSON: `dump_model()` written to a file.
    #[serde(rename = "lightgbm-json")]
    LightGbmJson,
    /// Treelite's checkpoints, of versions 4.x and 3.9: `Model.serialize`.
    #[serde(rename = "treelite")]
    Treelite,
    /// CatBoost's JSON: `save_model("model.json", format="json")`.
    #[serde(rename = "catboost-json")]
    CatBoostJson,
    /// scikit-learn's trees, forests and boosting as `python/export_sklearn.py` writes them.
    #[serde(rename = "sklearn-json")]
    SklearnJson,
    /// ONNX: one file, with its weights inside.
    #[serde(rename = "onnx")]
    Onnx,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[
        Self::XgBoostJson,
        Self::XgBoostUbjson,
        Self::XgBoostBinary,
        Self::LightGbmText,
        Self::LightGbmJson,
        Self::Treelite,
        Self::CatBoostJson,
        Self::SklearnJson,
        Self::Onnx,
    ];

    /// The format's name, as the command line takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::XgBoostJson => "xgboost-json",
            Self::XgBoostUbjson => "xgboost-ubjson",
            Self::XgBoostBinary => "xgboost-binary",
            Self::LightGbmText => "lightgbm-text",
            Self::LightGbmJson => "lightgbm-json",
            Self::Treelite => "treelite",
            Self::CatBoostJson => "catboost-json",
            Self::SklearnJson => "sklearn-json",
            Self::Onnx => "onnx",
        }
    }

    /// Whether the library's predictions may start from margins of the caller's.
    pub(crate) fn takes_base_margin(self) -> bool {
        self.is_xgboost()
    }

    pub(crate) fn is_xgboost(self) -> bool {
        matches!(self, Self::XgBoostJson | Self::XgBoostUbjson | Self::XgBoostBinary)
    }

    /// Whether the library cuts a range of iterations off at the last there is, where others refuse it.
    pub(crate) fn cuts_iterations_off(self) -> bool {
        matches!(self, Self::LightGbmText | Self::LightGbmJson)
    }

    /// Whether the library has no base score in a range of iterations that leaves out the first.
    pub(crate) fn base_is_of_the_first(self) -> bool {
        self == Self::CatBoostJson
    }

    /// The format called `name`.
    ///
    /// # Errors
    /// An option error that lists the formats there are.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = Self::ALL.iter().find(|format| format.name() == name);
        known.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|format| format.name()).collect();
            Error::option(format!("format {name:?} is unknown; known are: {}", names.join(", ")))
        })
    }

    /// Recognises a format by the first bytes of a file.
    ///
    /// # Errors
    /// An unsupported error for a model format that is known but refused, with the way to convert it; an
    /// invalid-model error for anything else.
    pub fn detect(bytes: &[u8]) -> Result<Self> {
        let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
        let Some(start) = start else {
            return Err(Error::invalid_model("the file is empty"));
        };
        if saw::is_saw(bytes) {
            return Err(Error::unsupported(
                "a compiled model, which has the format that it was compiled from: load it without naming one",
            ));
        }
        if xgboost::is_binary(bytes) {
            return Ok(Self::XgBoostBinary);
        }
        if treelite::is_checkpoint(bytes) {
            return Ok(Self::Treelite);
        }
        let text = &bytes[start..];
        let after_brace = text[1..].iter().find(|byte| !byte.is_ascii_whitespace());
        if text[0] == b'{' {
            return match after_brace {
                Some(b'"') if is_lightgbm_dump(text) => Ok(Self::LightGbmJson),
                Some(b'"') if head_has(text, "\"features_info\"") => Ok(Self::CatBoostJson),
                Some(b'"') if head_has(text, sklearn::MARK) => Ok(Self::SklearnJson),
                Some(b'"' | b'}') => Ok(Self::XgBoostJson),
                _ => Ok(Self::XgBoostUbjson),
            };
        }
        if text.starts_with(b"tree\n") || text.starts_with(b"tree\r") || text.starts_with(b"version=") {
            return Ok(Self::LightGbmText);
        }
        // Field 1 (the version of the format), a small number, then one of the fields that say who wrote it.
        if let [8, 1..=63, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..] = bytes {
            return Ok(Self::Onnx);
        }
        if text.starts_with(b"CBM1") {
            return Err(Error::unsupported(
                "CatBoost's binary format is not loaded; load it with CatBoost and save_model(\"model.json\", format=\"json\")",
            ));
        }
        let shown = text[..text.len().min(12)].escape_ascii();
        Err(Error::invalid_model(format!(
            "not a model file this version knows (it starts with \"{shown}\"); known are XGBoost JSON, UBJSON and binary, LightGBM text and JSON, Treelite checkpoints, CatBoost JSON, scikit-learn JSON (python/export_sklearn.py), ONNX"
        )))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a JSON text is what LightGBM's `dump_model` writes, as far as its head tells.
fn is_lightgbm_dump(text: &[u8]) -> bool {
    let head = &text[..text.len().min(1 << 20)];
    let has = |key: &str| memchr::memmem::find(head, key.as_bytes()).is_some();
    (has("\"num_tree_per_iteration\"") || has("\"tree_info\"")) && has("\"max_feature_idx\"") && !has("\"learner\"")
}

/// Whether a JSON text starts with `key`, more or less.
fn head_has(text: &[u8], key: &str) -> bool {
    let head = &text[..text.len().min(256)];
    memchr::memmem::find(head, key.as_bytes()).is_some()
}

/// How large a model may be. What a file merely claims never costs memory: these bound what it really holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the file. Default: 8 GiB.
    pub max_bytes: u64,
    /// Trees. Default: 2^20.
    pub max_trees: usize,
    /// Splits and leaves of all trees. Default: 2^28.
    pub max_nodes: usize,
    /// Columns of a row. Default: 2^22.
    pub max_features: usize,
    /// Margins of a row. Default: 2^16.
    pub max_outputs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 8 << 30, max_trees: 1 << 20, max_nodes: 1 << 28, max_features: 1 << 22, max_outputs: 1 << 16 }
    }
}

impl Limits {
    fn check(what: &str, found: u64, limit: usize) -> Result<usize> {
        match usize::try_from(found) {
            Ok(found) if found <= limit => Ok(found),
            _ => Err(Error::limit(what, found, limit)),
        }
    }

    /// `found` as a number of features, if there may be so many.
    pub(crate) fn features(&self, found: u64) -> Result<usize> {
        Self::check("features", found, self.max_features)
    }

    /// `found` as a number of outputs, if there may be so many.
    pub(crate) fn outputs(&self, found: u64) -> Result<usize> {
        Self::check("outputs", found, self.max_outputs)
    }

    /// Checks a number of trees.
    pub(crate) fn trees(&self, found: usize) -> Result<usize> {
        Self::check("trees", found as u64, self.max_trees)
    }

    /// Checks a number of nodes.
    pub(crate) fn nodes(&self, found: usize) -> Result<usize> {
        Self::check("nodes", found as u64, self.max_nodes)
    }
}

/// The boosting iterations asked for; all by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Iterations {
    pub(crate) start: usize,
    pub(crate) end: Option<usize>,
    /// Those up to the best one instead, if the file records which that is.
    pub(crate) up_to_best: bool,
}

impl Iterations {
    /// The same for a model whose best iteration is known.
    pub(crate) fn with_best(self, best: Option<usize>) -> Self {
        match self.up_to_best {
            true => Self { end: best.map(|best| best.saturating_add(1)), ..Self::default() },
            false => self,
        }
    }

    /// The range as indices into `total` iterations.
    ///
    /// # Errors
    /// An option error when it is empty, backwards or reaches beyond the end.
    pub(crate) fn within(self, total: usize) -> Result<Range<usize>> {
        let end = self.end.unwrap_or(total);
        if end > total {
            return Err(Error::option(format!("iterations {}..{end} asked of a model that has {total}", self.start)));
        }
        if self.end.is_some() && self.start >= end || self.start > end {
            return Err(Error::option(format!("iterations {}..{end}: the range is empty", self.start)));
        }
        Ok(self.start..end)
    }

    /// The same, with both ends cut off at `total`.
    pub(crate) fn clamped(self, total: usize) -> Self {
        Self { start: self.start.min(total), end: self.end.map(|end| end.min(total)), ..self }
    }
}

/// What values a Treelite checkpoint is tested with. It does not record which library trained the model, and so neither
/// what that library rounds its input to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputCast {
    /// Values as they are, in the type of the model's thresholds: what Treelite itself does, and right for LightGBM,
    /// XGBoost and scikit-learn's histogram gradient boosting.
    None,
    /// Values rounded to f32, then compared with f64 thresholds: right for scikit-learn's other trees and forests.
    F32,
}

/// What a loader is told.
pub(crate) struct LoadOptions {
    pub(crate) limits: Limits,
    pub(crate) iterations: Iterations,
    /// Whether XGBoost's dropout trees are summed as its `inplace_predict` does it.
    pub(crate) inplace_dropout: bool,
    pub(crate) input_cast: Option<InputCast>,
    pub(crate) onnx: OnnxCompat,
    /// Whether a graph that is no more than a forest stays a graph.
    pub(crate) keep_graph: bool,
    /// Whether what is done to columns on their way into trees is folded into the trees.
    pub(crate) fold: bool,
}

impl LoadOptions {
    /// That they may be asked of a file of `format`.
    fn check(&self, format: Format) -> Result<()> {
        if self.input_cast.is_some() && format != Format::Treelite {
            return Err(Error::option(format!("an input cast asked of a {format} file, whose input type is known")));
        }
        Ok(())
    }
}

/// Which of two answers counts where ONNX Runtime does not do what ONNX's specification says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnnxCompat {
    /// ONNX Runtime's (as of version 1.31).
    #[default]
    OnnxRuntime,
    /// The specification's.
    Spec,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Source {
    /// The file's format; `None` for a forest built by hand.
    pub format: Option<Format>,
    /// The library that wrote the file, with its version as far as the file tells.
    pub producer: String,
    /// BLAKE3 hash of the file, in hexadecimal; empty for a forest built by hand.
    pub digest: String,
    /// The best iteration that early stopping recorded, counted from 0. Predictions use all iterations, as the
    /// library's own booster does, unless [`ModelOptions::best_iteration`](crate::ModelOptions::best_iteration) or
    /// [`iterations`](crate::ModelOptions::iterations) says otherwise.
    pub best_iteration: Option<usize>,
    /// What the conversion to this format is known, or likely, to have lost, with the remedy. Answers are right for the
    /// file as it stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Operators of a pipeline that are part of its trees now: what they do to columns is in the thresholds, and where
    /// missing values go. Named as errors name them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folded: Vec<String>,
}

impl Source {
    /// Notes of which format the file is, and its hash.
    fn is_of(&mut self, format: Format, hash: blake3::Hash) {
        (self.format, self.digest) = (Some(format), hash.to_hex().to_string());
    }

    /// A forest built by hand.
    pub(crate) fn custom() -> Self {
        let producer = "custom".to_owned();
        Self { producer, ..Self::default() }
    }
}

stored!(struct Source { format, producer, digest, best_iteration, warnings, folded });
stored!(enum Format {
    0 => XgBoostJson, 1 => XgBoostUbjson, 2 => XgBoostBinary, 3 => LightGbmText, 4 => LightGbmJson, 5 => Treelite,
    6 => CatBoostJson, 7 => SklearnJson, 8 => Onnx,
});

/// What a loader returns.
pub(crate) struct Loaded {
    pub(crate) schema: Schema,
    pub(crate) source: Source,
    pub(crate) forest: Forest,
}

/// What the ONNX loader returns for a graph that is more than a forest.
pub(crate) struct LoadedGraph {
    pub(crate) schema: Schema,
    pub(crate) source: Source,
    pub(crate) graph: Graph,
}

/// A loaded model of either kind.
pub(crate) enum LoadedModel {
    Forest(Loaded),
    Graph(LoadedGraph),
}

/// Loads the bytes of a model file.
pub(crate) fn load(format: Option<Format>, bytes: &[u8], options: &LoadOptions) -> Result<LoadedModel> {
    let format = match format {
        Some(_) if bytes.is_empty() => return Err(Error::invalid_model("the file is empty")),
        Some(format) => format,
        None => Format::detect(bytes)?,
    };
    options.check(format)?;
    let mut loaded = match format {
        Format::XgBoostJson => LoadedModel::Forest(xgboost::load_json(bytes, options)?),
        Format::XgBoostUbjson => LoadedModel::Forest(xgboost::load_ubjson(bytes, bytes.len(), options)?),
        Format::XgBoostBinary => LoadedModel::Forest(xgboost::load_binary(bytes, options)?),
        Format::LightGbmText => LoadedModel::Forest(lightgbm::load_text(bytes, options)?),
        Format::LightGbmJson => LoadedModel::Forest(lightgbm::load_json(bytes, options)?),
        Format::Treelite => LoadedModel::Forest(treelite::load(bytes, options)?),
        Format::CatBoostJson => LoadedModel::Forest(catboost::load(bytes, options)?),
        Format::SklearnJson => LoadedModel::Forest(sklearn::load(bytes, options)?),
        Format::Onnx => onnx::load(bytes, options)?,
    };
    let source = match &mut loaded {
        LoadedModel::Forest(loaded) => &mut loaded.source,
        LoadedModel::Graph(loaded) => &mut loaded.source,
    };
    source.is_of(format, blake3::hash(bytes));
    Ok(loaded)
}

/// Bytes of a file that tell whether [`load_stream`] loads it.
pub(crate) const HEAD: usize = 4096;

/// Loads `size` bytes of a model file whose format is read piece by piece, so that the file takes no memory; `None` for any
/// other, which its first bytes, `head`, tell.
pub(crate) fn load_stream(
    format: Option<Format>,
    head: &[u8],
    source: impl Read,
    size: usize,
    options: &LoadOptions,
) -> Result<Option<LoadedModel>> {
    let is_ubjson = match format {
        Some(format) => format == Format::XgBoostUbjson,
        // A head of white space tells nothing.
        None => {
            !head.trim_ascii_end().ends_with(b"{")
                && Format::detect(head).is_ok_and(|found| found == Format::XgBoostUbjson)
        }
    };
    if !is_ubjson || head.is_empty() {
        return Ok(None);
    }
    options.check(Format::XgBoostUbjson)?;
    let mut source = Hashing::new(source);
    let mut loaded = xgboost::load_ubjson(&mut source, size, options)?;
    loaded.source.is_of(Format::XgBoostUbjson, source.digest());
    Ok(Some(LoadedModel::Forest(loaded)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_content() {
        assert_eq!(Format::detect(b"{\"learner\":{}}").unwrap(), Format::XgBoostJson);
        assert_eq!(Format::detect(b"  {\n \"learner\":{}}").unwrap(), Format::XgBoostJson);
        assert_eq!(Format::detect(b"{L\0\0\0\0\0\0\0\x07learner").unwrap(), Format::XgBoostUbjson);
        assert_eq!(Format::detect(b"tree\nversion=v4\n").unwrap(), Format::LightGbmText);
        assert_eq!(Format::detect(b"tree\r\nversion=v4\r\n").unwrap(), Format::LightGbmText);
        let exported = b"{\"sawmill-sklearn\":1,\"library\":\"\"}";
        assert_eq!(Format::detect(exported).unwrap(), Format::SklearnJson);
        assert_eq!(Format::detect(b"\x08\x0a\x12\x08skl2onnx").unwrap(), Format::Onnx);
        assert_eq!(Format::detect(b"binf\0\0\0").unwrap(), Format::XgBoostBinary);
        let names = b"\x08\0\0\0\0\0\0\0reg:gamm\x06\0\0\0\0\0\0\0gbtree";
        assert_eq!(Format::detect(&[&[b' '; 136], &names[..]].concat()).unwrap(), Format::XgBoostBinary);
        let dump = b"{\"name\":\"tree\",\"max_feature_idx\":1,\"tree_info\":[]}";
        assert_eq!(Format::detect(dump).unwrap(), Format::LightGbmJson);
        assert_eq!(Format::detect(b" \n").unwrap_err().to_string(), "the file is empty");
        let junk = Format::detect(b"\x00\xffPK").unwrap_err().to_string();
        assert!(junk.starts_with("not a model file this version knows (it starts with \"\\x00\\xffPK\")"), "{junk}");
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()).unwrap(), *format);
        }
    }

    #[test]
    fn iteration_ranges_are_checked() {
        let up_to_best = false;
        let range = |start, end| Iterations { start, end, up_to_best }.within(10);
        assert_eq!(range(0, None).unwrap(), 0..10);
        assert_eq!(range(2, Some(7)).unwrap(), 2..7);
        assert_eq!(range(0, Some(11)).unwrap_err().to_string(), "iterations 0..11 asked of a model that has 10");
        assert_eq!(range(5, Some(5)).unwrap_err().to_string(), "iterations 5..5: the range is empty");
        assert!(range(11, None).unwrap_err().is_option());
        assert_eq!(Iterations { start: 3, end: Some(99), up_to_best }.clamped(10).within(10).unwrap(), 3..10);
        let best = Iterations { up_to_best: true, ..Iterations::default() };
        assert_eq!(best.with_best(Some(4)).within(10).unwrap(), 0..5);
        assert_eq!(best.with_best(None).within(10).unwrap(), 0..10);
        assert!(best.with_best(Some(10)).within(10).is_err());
        assert_eq!(Iterations::default().within(0).unwrap(), 0..0);
    }
}

//! ONNX cases: models of `models/onnx` with typed rows and what ONNX Runtime answered.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use sawmill::{Column, Model, ModelOptions, Predictions, Rows, Strings, Values};
use serde_json::Value;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/onnx")
}

pub fn networks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/onnx_networks")
}

pub fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        Value::Bool(value) => f64::from(u8::from(*value)),
        value => value.as_f64().unwrap(),
    }
}

/// Columns of a case, owned.
pub enum Owned {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Strings),
}

impl Owned {
    pub fn read(column: &Value) -> Self {
        let values = column["values"].as_array().unwrap();
        match column["type"].as_str().unwrap() {
            "f32" => Self::F32(values.iter().map(|value| number(value) as f32).collect()),
            "f64" => Self::F64(values.iter().map(number).collect()),
            "i64" => Self::I64(values.iter().map(|value| value.as_i64().unwrap()).collect()),
            "bool" => Self::Bool(values.iter().map(|value| value.as_bool().unwrap()).collect()),
            "text" => Self::Text(values.iter().map(|value| value.as_str().unwrap()).collect()),
            other => panic!("{other}"),
        }
    }

    pub fn rows(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(values[range].to_vec()),
            Self::F64(values) => Self::F64(values[range].to_vec()),
            Self::I64(values) => Self::I64(values[range].to_vec()),
            Self::Bool(values) => Self::Bool(values[range].to_vec()),
            Self::Text(values) => Self::Text(values.iter().skip(range.start).take(range.len()).collect()),
        }
    }

    /// The rows over and over again, as many as are asked for.
    pub fn repeated(&self, n_rows: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(values.iter().copied().cycle().take(n_rows).collect()),
            Self::F64(values) => Self::F64(values.iter().copied().cycle().take(n_rows).collect()),
            Self::I64(values) => Self::I64(values.iter().copied().cycle().take(n_rows).collect()),
            Self::Bool(values) => Self::Bool(values.iter().copied().cycle().take(n_rows).collect()),
            Self::Text(values) => Self::Text(values.iter().cycle().take(n_rows).collect()),
        }
    }

    pub fn borrowed(&self) -> Column<'_> {
        match self {
            Self::F32(values) => Column::F32(values),
            Self::F64(values) => Column::F64(values),
            Self::I64(values) => Column::I64(values),
            Self::Bool(values) => Column::Bool(values),
            Self::Text(values) => Column::Text(values),
        }
    }
}

/// A model with rows and answers.
pub struct OnnxCase {
    pub name: String,
    pub path: PathBuf,
    pub columns: Vec<Owned>,
    pub outputs: Vec<Value>,
    /// What scikit-learn itself answers: the method, columns and values, if that is known.
    pub sklearn: Value,
}

impl OnnxCase {
    pub fn all() -> Vec<Self> {
        Self::of(&folder())
    }

    /// Those of neural networks.
    pub fn networks() -> Vec<Self> {
        Self::of(&networks())
    }

    fn of(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "onnx")).collect();
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    pub fn named(name: &str) -> Self {
        Self::read(folder().join(format!("{name}.onnx")))
    }

    pub fn named_network(name: &str) -> Self {
        Self::read(networks().join(format!("{name}.onnx")))
    }

    pub fn read(path: PathBuf) -> Self {
        let facts: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            columns: facts["inputs"].as_array().unwrap().iter().map(Owned::read).collect(),
            outputs: facts["outputs"].as_array().unwrap().clone(),
            sklearn: facts["sklearn"].clone(),
            path,
        }
    }

    /// The cases whose names begin so.
    pub fn starting(start: &str) -> Vec<Self> {
        let mut cases = Self::all();
        cases.retain(|case| case.name.starts_with(start));
        cases
    }

    pub fn n_rows(&self) -> usize {
        self.columns[0].borrowed().len()
    }

    pub fn predict(&self, model: &Model) -> sawmill::Result<Predictions> {
        let columns: Vec<Column<'_>> = self.columns.iter().map(Owned::borrowed).collect();
        model.predict(Rows::columns(&columns)?)
    }

    /// The numbers of an output of all rows, of the model loaded with `options`.
    pub fn numbers(&self, options: ModelOptions, output: usize) -> Vec<f64> {
        let name = self.outputs[output]["name"].as_str().unwrap();
        self.predict(&options.graph_output(name).load(&self.path).unwrap()).unwrap().to_f64()
    }

    /// What ONNX Runtime answered in an output.
    pub fn stored(&self, output: usize) -> Vec<f64> {
        self.outputs[output]["values"].as_array().unwrap().iter().map(number).collect()
    }
}

/// What a comparison of one output finds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distance {
    /// Greatest relative distance of numbers.
    pub worst: f64,
    /// Labels that differ.
    pub labels: usize,
}

pub fn distance(found: &Predictions, expected: &Value) -> Result<Distance, String> {
    let values = expected["values"].as_array().unwrap();
    let columns = expected["columns"].as_u64().unwrap() as usize;
    if (found.n_columns(), found.n_rows() * columns) != (columns, values.len()) {
        return Err(format!("{} columns, not {columns}", found.n_columns()));
    }
    let kind = expected["type"].as_str().unwrap();
    let differing = |labels: usize| Ok(Distance { worst: 0.0, labels });
    match (found.values(), kind) {
        (Values::Text(found), "text") => {
            differing(found.iter().zip(values).filter(|(found, wanted)| Some(*found) != wanted.as_str()).count())
        }
        (Values::I64(found), "i64") => {
            differing(found.iter().zip(values).filter(|(found, wanted)| Some(**found) != wanted.as_i64()).count())
        }
        (Values::I32(found), "bool" | "i32") => {
            differing(found.iter().zip(values).filter(|(found, wanted)| f64::from(**found) != number(wanted)).count())
        }
        (Values::F32(_) | Values::F64(_), "f32" | "f64") => {
            // Relative to the greatest number of the output: one that is nearly 0 by cancellation is not off by half.
            let numbers = found.to_f64();
            // The parser of JSON may be off by an ulp of f64.
            let of_type = |value: f64| if kind == "f32" { f64::from(value as f32) } else { value };
            let wanted: Vec<f64> = values.iter().map(|value| of_type(number(value))).collect();
            // ONNX Runtime may round otherwise when it has all rows at once; the nearer of its answers counts.
            let batch = expected["batch"].as_array().unwrap_or(values);
            let batch: Vec<f64> = batch.iter().map(|value| of_type(number(value))).collect();
            let wanted: Vec<f64> = numbers
                .iter()
                .zip(wanted.iter().zip(&batch))
                .map(|(found, (&one, &all))| if (found - all).abs() < (found - one).abs() { all } else { one })
                .collect();
            let finite = wanted.iter().map(|x| x.abs()).filter(|x| x.is_finite());
            let scale = finite.fold(f64::MIN_POSITIVE, f64::max);
            let mut worst = 0f64;
            for (a, b) in numbers.iter().zip(wanted) {
                let same = *a == b || a.is_nan() && b.is_nan();
                let off = if same { 0.0 } else { (a - b).abs() / scale };
                worst = worst.max(if off.is_nan() { f64::INFINITY } else { off });
            }
            Ok(Distance { worst, labels: 0 })
        }
        (found, kind) => Err(format!("values {:?} where {kind} is expected", std::mem::discriminant(found))),
    }
}

/// The answer of a case: the worst of all outputs, or what is wrong.
pub fn answer(case: &OnnxCase) -> Result<(bool, Distance), String> {
    let mut worst = Distance::default();
    let whole = Model::load(&case.path).map_err(|error| error.to_string())?;
    for output in &case.outputs {
        let name = output["name"].as_str().unwrap();
        let options = Model::options().graph_output(name);
        let model = options.load(&case.path).map_err(|error| error.to_string())?;
        let found = case.predict(&model).map_err(|error| format!("{name}: {error}"))?;
        let found = distance(&found, output).map_err(|error| format!("{name}: {error}"))?;
        worst.worst = worst.worst.max(found.worst);
        worst.labels += found.labels;
    }
    // The default output is the last.
    let last = distance(&case.predict(&whole).map_err(|error| error.to_string())?, case.outputs.last().unwrap())?;
    worst.worst = worst.worst.max(last.worst);
    let report = whole.validate();
    if !report.ok {
        return Err(format!("not healthy: {report:?}"));
    }
    let only_trees = whole.forest().is_some();
    Ok((only_trees, worst))
}

//! ONNX cases of `models/onnx`: every estimator that skl2onnx converts, and pipelines. Each answers as ONNX Runtime did,
//! to the bit if it is no more than trees, else within a millionth, and with the same labels. `COVERAGE.md` is the
//! table of that; `SAWMILL_WRITE=1 cargo test --test onnx` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sawmill::{Column, Model, Predictions, Rows, Strings, Values};
use serde_json::Value;

/// Greatest relative distance to ONNX Runtime where products of matrices and its approximations of `exp` come in.
const TOLERANCE: f64 = 1e-6;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/onnx")
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        Value::Bool(value) => f64::from(u8::from(*value)),
        value => value.as_f64().unwrap(),
    }
}

/// Columns of a case, owned.
enum Owned {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Strings),
}

impl Owned {
    fn read(column: &Value) -> Self {
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

    fn rows(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(values[range].to_vec()),
            Self::F64(values) => Self::F64(values[range].to_vec()),
            Self::I64(values) => Self::I64(values[range].to_vec()),
            Self::Bool(values) => Self::Bool(values[range].to_vec()),
            Self::Text(values) => Self::Text(values.iter().skip(range.start).take(range.len()).collect()),
        }
    }

    fn borrowed(&self) -> Column<'_> {
        match self {
            Self::F32(values) => Column::F32(values),
            Self::F64(values) => Column::F64(values),
            Self::I64(values) => Column::I64(values),
            Self::Bool(values) => Column::Bool(values),
            Self::Text(values) => Column::Text(values),
        }
    }
}

struct Case {
    name: String,
    path: PathBuf,
    columns: Vec<Owned>,
    outputs: Vec<Value>,
}

impl Case {
    fn all() -> Vec<Self> {
        let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "onnx")).collect();
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn named(name: &str) -> Self {
        Self::read(folder().join(format!("{name}.onnx")))
    }

    fn read(path: PathBuf) -> Self {
        let facts: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            columns: facts["inputs"].as_array().unwrap().iter().map(Owned::read).collect(),
            outputs: facts["outputs"].as_array().unwrap().clone(),
            path,
        }
    }

    fn n_rows(&self) -> usize {
        self.columns[0].borrowed().len()
    }

    fn predict(&self, model: &Model) -> sawmill::Result<Predictions> {
        let columns: Vec<Column<'_>> = self.columns.iter().map(Owned::borrowed).collect();
        model.predict(Rows::columns(&columns)?)
    }
}

/// What a comparison of one output finds.
#[derive(Clone, Copy, Debug, Default)]
struct Distance {
    /// Greatest relative distance of numbers.
    worst: f64,
    /// Labels that differ.
    labels: usize,
}

fn distance(found: &Predictions, expected: &Value) -> Result<Distance, String> {
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
fn answer(case: &Case) -> Result<(bool, Distance), String> {
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

#[test]
fn every_case_answers_as_onnx_runtime_did() {
    let cases = Case::all();
    assert!(cases.len() >= 40);
    let (mut rows, mut failures) = (BTreeMap::new(), Vec::new());
    for case in &cases {
        let line = match answer(case) {
            Err(error) => {
                let error = error.rsplit(".onnx: ").next().unwrap().to_owned();
                if !error.contains("operator ") {
                    failures.push(format!("{}: {error}", case.name));
                }
                format!("| {} | refused: {error} | | |", case.name)
            }
            Ok((only_trees, Distance { worst, labels })) => {
                let tolerance = if only_trees { 0.0 } else { TOLERANCE };
                if worst > tolerance || labels > 0 {
                    failures.push(format!("{}: off by {worst:e}, {labels} labels differ", case.name));
                }
                // The last digits depend on nothing that matters.
                let shown = if worst == 0.0 { "0".to_owned() } else { format!("{:.0e}", worst) };
                let kind = if only_trees { "trees" } else { "pipeline" };
                let equal = if labels == 0 { "equal" } else { "differ" };
                format!("| {} | {kind} | {shown} | {equal} |", case.name)
            }
        };
        rows.insert(case.name.clone(), line);
    }
    let loaded = rows.values().filter(|line| !line.contains("| refused")).count();
    println!("{loaded} of {} cases load", cases.len());
    assert!(loaded * 100 >= cases.len() * 95, "{loaded} of {}", cases.len());
    let table = coverage(&rows, loaded);
    let path = folder().join("COVERAGE.md");
    if std::env::var_os("SAWMILL_WRITE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), table, "COVERAGE.md is out of date");
}

fn coverage(rows: &BTreeMap<String, String>, loaded: usize) -> String {
    let failures: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(folder().join("not_exported.json")).unwrap()).unwrap();
    let mut text = format!(
        "# Coverage\n\nWhat becomes of each estimator that skl2onnx 1.20 converts, and of the pipelines of `models/generate/onnx_cases.py`.\n\
         {loaded} of {} load. The distance is the greatest to ONNX Runtime 1.31 (one thread, row by row), relative to the\n\
         greatest number of the output; 0 is equality to the bit. `tests/onnx.rs` makes this table and fails when it changes.\n\n\
         | Case | Loads as | Distance | Labels |\n|---|---|---|---|\n",
        rows.len()
    );
    rows.values().for_each(|line| writeln!(text, "{line}").unwrap());
    text.push_str("\nNot among them, since the converter or ONNX Runtime itself refuses:\n\n");
    failures.iter().for_each(|(name, why)| writeln!(text, "* {name}: {why}").unwrap());
    text
}

/// The cases whose names begin with one of `starts`: at least `count`, each as ONNX Runtime answered.
fn known_mistake(starts: &[&str], count: usize) {
    let mut cases = Case::all();
    cases.retain(|case| starts.iter().any(|start| case.name.starts_with(start)));
    assert!(cases.len() >= count, "{starts:?}: {} cases", cases.len());
    for case in cases {
        let (_, found) = answer(&case).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(found.worst <= 1e-7 && found.labels == 0, "{}: {found:?}", case.name);
    }
}

#[test]
fn k17_one_score_for_two_classes() {
    known_mistake(&["k17_"], 9);
}

#[test]
fn k18_two_scores_for_two_classes() {
    known_mistake(&["k18_"], 4);
}

#[test]
fn k19_every_comparison_with_missing_values() {
    known_mistake(&["k19_"], 13);
}

#[test]
fn k20_membership_in_sets_of_numbers() {
    known_mistake(&["k20_"], 9);
}

#[test]
fn k21_transforms_and_aggregates_of_regressors() {
    known_mistake(&["k21_"], 6);
}

#[test]
fn k22_a_vote_that_ties_at_half() {
    known_mistake(&["k22_", "RandomForestClassifier"], 3);
}

#[test]
fn k24_forests_with_missing_values() {
    known_mistake(&["k24_"], 2);
}

#[test]
fn k27_softmax_and_the_types_of_labels() {
    known_mistake(&["k27_", "boolean_labels", "zipmap_on_forest_names", "float_labels"], 9);
}

#[test]
fn the_specification_counts_where_it_is_asked_for() {
    let values = |name: &str| {
        let case = Case::named(name);
        let model = Model::options().onnx_compat(sawmill::OnnxCompat::Spec).load(&case.path).unwrap();
        case.predict(&model).unwrap().to_f64()
    };
    // The sum 4 through the logistic function, which ONNX Runtime leaves out.
    assert!((values("k21_logistic")[0] - 0.982_013_8).abs() < 1e-6);
    // 1.25 is no member of {1, 40}.
    assert_eq!(values("k20_member_wide")[..2], [1.0, 2.0]);
    // A missing value takes the branch that the flag says, for "not equal" too.
    assert_eq!(values("k19_neq_0")[3 * 2 + 1], 1.0);
}

/// K23.
#[test]
fn a_batch_answers_as_its_rows_do() {
    for name in ["mixed_logistic", "KNeighborsClassifier", "scaled_forest", "GaussianNB"] {
        let case = Case::named(name);
        let model = Model::load(&case.path).unwrap();
        let whole = case.predict(&model).unwrap().to_f64();
        let width = whole.len() / case.n_rows();
        for row in 0..case.n_rows() {
            let one: Vec<Owned> = case.columns.iter().map(|column| column.rows(row..row + 1)).collect();
            let one: Vec<Column<'_>> = one.iter().map(Owned::borrowed).collect();
            let one = model.predict(Rows::columns(&one).unwrap()).unwrap().to_f64();
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&one), bits(&whole[row * width..][..width]), "{name}: row {row}");
        }
    }
}

//! Compiled models (`.saw`): they answer as the models they were compiled from, to the bit, and damaged ones are errors.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Case, Matrix};
use sawmill::{Format, InputCast, Isa, Model, ModelOptions, Output, Predictions, Values};
use tempfile::TempDir;

const OUTPUTS: [Output; 5] = [Output::Value, Output::Margin, Output::Leaf, Output::TreeValues, Output::Label];

fn compile(model: &Model, folder: &TempDir) -> PathBuf {
    let path = folder.path().join("model.saw");
    model.save(&path).unwrap();
    path
}

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(path)
}

/// Every bit of a prediction.
fn bits(predictions: &Predictions) -> (usize, Vec<String>) {
    let bits = match predictions.values() {
        Values::F32(values) => values.iter().map(|value| value.to_bits().to_string()).collect(),
        Values::F64(values) => values.iter().map(|value| value.to_bits().to_string()).collect(),
        Values::I32(values) => values.iter().map(ToString::to_string).collect(),
        other => vec![format!("{other:?}")],
    };
    (predictions.n_columns(), bits)
}

/// What two models answer to `rows`, by every way of asking.
fn assert_same(one: &Model, other: &Model, rows: &Matrix, name: &str) {
    let rows = rows.head(70);
    assert_eq!(bits(&one.predict(rows.rows()).unwrap()), bits(&other.predict(rows.rows()).unwrap()), "{name}");
    let alone = rows.head(3);
    assert_eq!(bits(&one.predict(alone.rows()).unwrap()), bits(&other.predict(alone.rows()).unwrap()), "{name}: few");
    let staged = [one, other]
        .map(|model| model.predict_staged(alone.rows()).map(|staged| bits(&staged)).map_err(|e| e.to_string()));
    assert_eq!(staged[0], staged[1], "{name}: stages");
    let margins = vec![0.25f32; alone.n_rows() * one.schema().n_outputs];
    let from = [one, other].map(|model| {
        model.predict_with_base_margin(alone.rows(), &margins).map(|all| bits(&all)).map_err(|e| e.to_string())
    });
    assert_eq!(from[0], from[1], "{name}: base margins");
}

#[test]
fn every_compiled_model_answers_as_its_source() {
    let folder = TempDir::new().unwrap();
    for case in Case::all() {
        let rows = case.rows();
        for file in case.models() {
            let name = file.display().to_string();
            let source = case.load_file(&file, Model::options()).unwrap();
            let saw = compile(&source, &folder);
            let compiled = Model::load(&saw).unwrap();
            assert_eq!(compiled.schema(), source.schema(), "{name}");
            assert_eq!(compiled.source(), source.source(), "{name}");
            assert_eq!(compiled.facts(), source.facts(), "{name}");
            assert_eq!(compiled.plan(), source.plan(), "{name}");
            for output in OUTPUTS {
                for &isa in Isa::available() {
                    let options = || Model::options().output(output).isa(isa);
                    match (case.load_file(&file, options()), options().load(&saw)) {
                        (Ok(source), Ok(compiled)) => {
                            assert_same(&source, &compiled, &rows, &format!("{name}: {output:?}"))
                        }
                        (Err(source), Err(compiled)) => {
                            assert!(source.is_option() && compiled.is_option(), "{name}: {compiled}")
                        }
                        (source, compiled) => panic!("{name}: {:?}, but {:?}", source.err(), compiled.err()),
                    }
                }
            }
            for check in case.checks().into_iter().filter(|check| check.iterations.is_some()) {
                let source = case.load_file(&file, check.options()).unwrap();
                assert_same(&source, &check.options().load(&saw).unwrap(), &rows, &format!("{name}: {}", check.array));
            }
            let best = |options: ModelOptions| options.best_iteration();
            let source = case.load_file(&file, best(Model::options())).unwrap();
            assert_same(&source, &best(Model::options()).load(&saw).unwrap(), &rows, &format!("{name}: best"));
        }
    }
}

#[test]
fn compiled_models_are_healthy() {
    let folder = TempDir::new().unwrap();
    for case in Case::all() {
        let saw = compile(&case.load(Model::options()).unwrap(), &folder);
        let report = Model::load(&saw).unwrap().validate();
        assert!(report.ok, "{}: {report:#?}", case.name);
    }
}

#[test]
fn options_that_shape_trees_are_compiled_in() {
    let folder = TempDir::new().unwrap();
    let dart = golden("xgboost/dart/model.json");
    let rows = Case::named("xgboost/dart").rows();
    let source = Model::options().inplace_dropout().load(&dart).unwrap();
    let saw = compile(&source, &folder);
    assert_same(&source, &Model::load(&saw).unwrap(), &rows, "dropout in place");
    assert_same(&source, &Model::options().inplace_dropout().load(&saw).unwrap(), &rows, "asked for again");
    let plain = compile(&Model::load(&dart).unwrap(), &folder);
    assert!(Model::options().inplace_dropout().load(&plain).unwrap_err().is_option());
    assert!(Model::options().input_cast(InputCast::F32).load(&plain).unwrap_err().is_option());
    let few = Model::options().iterations(..3).load(&dart).unwrap();
    let saw = compile(&few, &folder);
    assert_same(&few, &Model::load(&saw).unwrap(), &rows, "iterations");
    assert!(Model::options().iterations(..4).load(&saw).unwrap_err().is_option());
}

#[test]
fn a_model_may_be_compiled_again_and_replaced_while_in_use() {
    let folder = TempDir::new().unwrap();
    let source = Model::load(golden("lightgbm/category_sets/model.txt")).unwrap();
    let rows = Case::named("lightgbm/category_sets").rows();
    let saw = compile(&source, &folder);
    let first = Model::load(&saw).unwrap();
    first.save(&saw).unwrap();
    let second = Model::load(&saw).unwrap();
    assert_same(&source, &first, &rows, "replaced");
    assert_same(&source, &second, &rows, "compiled again");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn what_is_no_forest_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let pipeline = Model::load(golden("onnx/ColumnTransformer.onnx")).unwrap();
    let error = pipeline.save(folder.path().join("model.saw")).unwrap_err();
    assert!(error.is_unsupported() && error.to_string().contains("a pipeline is not compiled"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Small compiled models of every kind.
fn small() -> Vec<Vec<u8>> {
    let folder = TempDir::new().unwrap();
    let files = [
        "xgboost/breast_cancer/model.json",
        "xgboost/category_names/model.json",
        "xgboost/vector_leaves/model.json",
        "lightgbm/category_sets/model.txt",
        "lightgbm/linear_leaves/model.txt",
        "lightgbm/zero_as_missing/model.txt",
        "catboost/wine/model.json",
    ];
    files
        .map(|file| fs::read(compile(&Model::options().iterations(..4).load(golden(file)).unwrap(), &folder)).unwrap())
        .into()
}

/// Loads the bytes of a compiled model.
fn load(bytes: &[u8], output: Output) -> sawmill::Result<Model> {
    // A compiled model is known by its content.
    Model::options().output(output).from_slice(Format::XgBoostJson, bytes)
}

#[test]
fn every_truncation_and_every_flipped_byte_is_an_error() {
    for file in small() {
        load(&file, Output::Value).unwrap();
        for length in 0..file.len() {
            assert!(load(&file[..length], Output::Value).is_err(), "cut at {length}");
        }
        let mut flipped = file.clone();
        for at in 0..file.len() {
            flipped[at] ^= 1 << (at % 8);
            let error = load(&flipped, Output::Value).expect_err("a flipped bit");
            assert!(error.is_invalid_model() || error.is_unsupported(), "byte {at}: {error}");
            flipped[at] = file[at];
        }
    }
}

#[test]
fn another_version_is_refused_by_name() {
    let mut file = small().remove(0);
    file[8] = 200;
    let error = load(&file, Output::Value).unwrap_err();
    assert!(error.is_unsupported() && error.to_string().contains("version 200"), "{error}");
}

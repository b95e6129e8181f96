//! Leaves that are not exact: the same bits in every kernel, and margins no further off than the model says.

mod common;

use common::{Case, bits, every_kernel};
use sawmill::{Model, Output, Precision};
use tempfile::TempDir;

/// Cases of every arithmetic and leaf shape.
const CASES: [&str; 7] = [
    "lightgbm/category_sets",
    "lightgbm/forest_classes",
    "lightgbm/wine",
    "sklearn/random_forest",
    "xgboost/dart",
    "xgboost/missing_both_ways",
    "xgboost/vector_leaves",
];

const LOSSY: [Precision; 4] = [Precision::F32, Precision::F16, Precision::Int8, Precision::Int4];

#[test]
fn every_kernel_has_the_same_bits_in_every_precision() {
    for case in CASES.map(Case::named) {
        let model = case.load(Model::options()).unwrap();
        let rows = model.sample_rows(70, 1);
        for precision in LOSSY {
            let name = format!("{} in {}", case.name, precision.name());
            every_kernel::check(&name, &Model::options().precision(precision), model.forest().unwrap(), &rows);
        }
    }
}

#[test]
fn margins_are_within_the_bound() {
    let mut compared = 0;
    for case in Case::all() {
        let exact = case.load(Model::options().output(Output::Margin)).unwrap();
        let (rows, more) = (case.rows().to_f64(), exact.sample_rows(300, 2));
        for precision in LOSSY {
            let options = Model::options().output(Output::Margin).precision(precision);
            let model = match case.load(options) {
                Ok(model) => model,
                Err(error) => {
                    let text = error.to_string();
                    assert!(error.is_option() && text.contains("precision \""), "{}: {text}", case.name);
                    continue;
                }
            };
            compared += 1;
            let (name, bound) = (format!("{} in {}", case.name, precision.name()), model.error_bound());
            for rows in [&rows, &more] {
                let (ours, exact) = (model.predict(rows).unwrap().to_f64(), exact.predict(rows).unwrap().to_f64());
                let worst = ours.iter().zip(exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(worst <= bound, "{name}: {worst:e} off, the bound is {bound:e}");
            }
            let report = model.validate();
            let told = report.checks.iter().any(|check| check.name == "precision");
            assert!(report.ok && told == (model.precision() != Precision::Exact), "{name}: {report:#?}");
        }
    }
    assert!(compared > 300, "{compared} models");
}

#[test]
fn fewer_values_have_a_greater_bound() {
    let case = Case::named("lightgbm/wine");
    let bounds = LOSSY.map(|precision| case.load(Model::options().precision(precision)).unwrap().error_bound());
    assert!(bounds[0] > 0.0 && bounds.is_sorted(), "{bounds:?}");
    assert!(bounds[3] < 1.0, "{bounds:?}");
}

#[test]
fn f32_is_exact_where_sums_are_f32() {
    let case = Case::named("xgboost/breast_cancer");
    let (exact, narrow) =
        (case.load(Model::options()).unwrap(), case.load(Model::options().precision(Precision::F32)).unwrap());
    assert_eq!((narrow.precision(), narrow.error_bound()), (Precision::Exact, 0.0));
    let rows = case.rows().to_f64();
    assert_eq!(bits(&exact.predict(&rows).unwrap()), bits(&narrow.predict(&rows).unwrap()));
    narrow.save(TempDir::new().unwrap().path().join("model.saw")).unwrap();
}

#[test]
fn leaves_are_those_of_the_source_in_every_precision() {
    let case = Case::named("lightgbm/wine");
    let leaves = |precision| case.load(Model::options().output(Output::Leaf).precision(precision)).unwrap();
    let rows = case.rows().to_f64();
    let exact = bits(&leaves(Precision::Exact).predict(&rows).unwrap());
    assert_eq!(bits(&leaves(Precision::Int4).predict(&rows).unwrap()), exact);
}

#[test]
fn a_compiled_model_takes_any_precision_and_keeps_none() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.saw");
    for case in CASES.map(Case::named) {
        case.load(Model::options()).unwrap().save(&path).unwrap();
        let rows = case.rows().to_f64();
        for precision in LOSSY {
            let options = || Model::options().output(Output::Margin).precision(precision);
            let (source, compiled) = (case.load(options()).unwrap(), options().load(&path).unwrap());
            assert_eq!(source.error_bound(), compiled.error_bound(), "{}", case.name);
            assert_eq!(bits(&source.predict(&rows).unwrap()), bits(&compiled.predict(&rows).unwrap()), "{}", case.name);
            if source.precision() != Precision::Exact {
                let error = source.save(&path).unwrap_err();
                assert!(error.is_unsupported() && error.to_string().contains(precision.name()), "{error}");
            }
        }
    }
}

#[test]
fn what_has_no_table_of_leaves_is_refused() {
    for (name, finding) in [
        ("lightgbm/linear_leaves", "precision \"int8\" of a model with linear leaves"),
        ("xgboost/linear", "precision \"int8\" of a model with linear leaves"),
    ] {
        let error = Case::named(name).load(Model::options().precision(Precision::Int8)).unwrap_err();
        assert!(error.is_option() && error.to_string().ends_with(finding), "{error}");
    }
    let pipeline = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/onnx/Ridge.onnx");
    let error = Model::options().precision(Precision::F16).load(pipeline).unwrap_err();
    assert!(error.is_option() && error.to_string().contains("precision \"f16\" of a pipeline"), "{error}");
}

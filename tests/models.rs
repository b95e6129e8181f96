//! Every case of `models/` answers as its own library did: leaves first, then margins, values and labels, to the bit.

mod common;

use common::{Case, Matrix, csr_ulp, worst_ulp};
use sawmill::{Format, Isa, Model, Output};

#[test]
fn every_model_answers_as_its_library_did() {
    let (mut loaded, mut checks, mut failures) = (0, 0, Vec::new());
    for case in Case::all() {
        let rows = case.rows();
        for file in case.models() {
            if let Err(error) = case.load_file(&file, Model::options()) {
                failures.push(error.to_string());
                continue;
            }
            loaded += 1;
            for check in case.checks() {
                let model = case.load_file(&file, check.options()).unwrap();
                let expected = case.array(&check.array).unwrap();
                let (ulp, row) = worst_ulp(&model.predict(rows.rows()).unwrap(), &expected);
                checks += 1;
                if ulp > 0 {
                    failures.push(format!("{}: {}: {ulp} ulp, first in row {}", case.name, check.array, row.unwrap()));
                }
            }
        }
    }
    println!("{loaded} model files, {checks} checks");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_model_is_healthy_and_as_its_case_says() {
    for case in Case::all() {
        let model = case.load(Model::options()).unwrap();
        let count = |key: &str| case.facts[key].as_integer().unwrap() as usize;
        let facts = (model.schema().n_features(), model.schema().n_outputs, model.facts().trees);
        assert_eq!(facts, (count("features"), count("outputs"), count("trees")), "{}", case.name);
        let expected: Vec<_> = case.facts["kernels"].as_array().unwrap().iter().map(|k| k.as_str().unwrap()).collect();
        for &isa in Isa::available() {
            let model = case.load(Model::options().isa(isa)).unwrap();
            let report = model.validate();
            assert!(report.ok, "{} on {}: {report:#?}", case.name, isa.name());
            assert_eq!(model.fitting_kernels(), expected, "{} on {}", case.name, isa.name());
        }
    }
}

#[test]
fn a_file_and_its_bytes_are_the_same_model() {
    let mut formats = Vec::new();
    for path in Case::all().iter().flat_map(Case::models) {
        let Ok(of_file) = Model::load(&path) else { continue };
        let format = of_file.source().format.unwrap();
        let of_bytes = Model::options().from_slice(format, &std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(of_file.source(), of_bytes.source(), "{}", path.display());
        assert_eq!(of_file.schema(), of_bytes.schema(), "{}", path.display());
        formats.push(format);
    }
    assert!(formats.contains(&Format::XgBoostUbjson), "which is read piece by piece");
}

/// The rows that the bulky arrays of a case are for.
fn every_tenth_row(case: &Case) -> Matrix {
    fn tenth<T: Clone>(rows: &ndarray::Array2<T>) -> ndarray::Array2<T> {
        rows.slice(ndarray::s![..;10, ..]).to_owned()
    }
    match case.rows() {
        Matrix::F32(rows) => Matrix::F32(tenth(&rows)),
        Matrix::F64(rows) => Matrix::F64(tenth(&rows)),
        Matrix::Int(_) => unreachable!("rows are floats"),
    }
}

#[test]
fn what_trees_add_is_what_the_library_adds() {
    let mut cases = 0;
    for case in Case::all() {
        let Some(expected) = case.array("tree_value") else { continue };
        let rows = every_tenth_row(&case);
        let model = case.load(Model::options().output(Output::TreeValues)).unwrap();
        let (ulp, row) = worst_ulp(&model.predict(rows.rows()).unwrap(), &expected);
        assert_eq!(ulp, 0, "{}: row {row:?}", case.name);
        cases += 1;
    }
    assert!(cases >= 5, "{cases} cases");
}

#[test]
fn stages_are_what_the_library_says_after_each_round() {
    let mut cases = 0;
    for case in Case::all() {
        for (output, name) in [(Output::Margin, "staged_margin"), (Output::Value, "staged_value")] {
            let Some(expected) = case.array(name) else { continue };
            let rows = every_tenth_row(&case);
            let model = case.load(Model::options().output(output).threads(2)).unwrap();
            let (ulp, row) = worst_ulp(&model.predict_staged(rows.rows()).unwrap(), &expected);
            assert_eq!(ulp, 0, "{}: {name}, row {row:?}", case.name);
            cases += 1;
        }
    }
    assert!(cases >= 10, "{cases} cases");
}

#[test]
fn sums_may_start_from_margins_of_the_callers() {
    let mut cases = 0;
    for case in Case::all() {
        let Some(base) = case.array("base_margin") else { continue };
        let Matrix::F32(base) = base else { panic!("{}: base margins are f32", case.name) };
        for (output, name) in [(Output::Margin, "from_base_margin"), (Output::Value, "from_base_value")] {
            let expected = case.array(name).unwrap();
            let rows = every_tenth_row(&case);
            let model = case.load(Model::options().output(output)).unwrap();
            let found = model.predict_with_base_margin(rows.rows(), base.as_slice().unwrap()).unwrap();
            let (ulp, row) = worst_ulp(&found, &expected);
            assert_eq!(ulp, 0, "{}: {name}, row {row:?}", case.name);
            cases += 1;
        }
    }
    assert!(cases >= 8, "{cases} cases");
}

#[test]
fn dropout_trees_are_summed_inplace_where_that_is_asked_for() {
    let mut cases = 0;
    for case in Case::all() {
        for (output, name) in [(Output::Margin, "inplace_margin"), (Output::Value, "inplace_value")] {
            let Some(expected) = case.array(name) else { continue };
            let rows = every_tenth_row(&case);
            let model = case.load(Model::options().output(output).inplace_dropout()).unwrap();
            let (ulp, row) = worst_ulp(&model.predict(rows.rows()).unwrap(), &expected);
            assert_eq!(ulp, 0, "{}: {name}, row {row:?}", case.name);
            assert!(model.validate().ok, "{}", case.name);
            cases += 1;
        }
    }
    assert!(cases >= 6, "{cases} cases");
    let case = Case::named("xgboost/dart");
    let model = case.load(Model::options().inplace_dropout()).unwrap();
    assert!(model.predict_with_base_margin(&[0.5f32; 5][..], &[0.5]).unwrap_err().is_option());
}

#[test]
fn the_best_iteration_is_used_where_it_is_asked_for() {
    let case = Case::named("xgboost/early_stopped");
    let model = case.load(Model::options().best_iteration()).unwrap();
    let best = model.source().best_iteration.unwrap();
    assert_eq!(model.facts().iterations, best + 1);
    let (ulp, row) = worst_ulp(&model.predict(case.rows().rows()).unwrap(), &case.array("wrapper_value").unwrap());
    assert_eq!(ulp, 0, "row {row:?}");
    // The last of two calls counts, and where no round is recorded all are used.
    let all = case.load(Model::options().best_iteration().iterations(..)).unwrap();
    assert!(all.facts().iterations > best + 1);
    for name in ["xgboost/iris", "xgboost/linear", "lightgbm/wine"] {
        let case = Case::named(name);
        let all = case.load(Model::options()).unwrap();
        let best = case.load(Model::options().best_iteration()).unwrap();
        assert_eq!(best.facts().iterations, all.facts().iterations, "{name}");
    }
}

#[test]
fn absent_entries_mean_what_they_mean_to_the_library() {
    let mut cases = 0;
    for case in Case::all() {
        let Some(expected) = case.array("csr_margin") else { continue };
        let model = case.load(Model::options().output(Output::Margin)).unwrap();
        let (ulp, row) = match case.rows() {
            Matrix::F32(rows) => csr_ulp(&model, &rows, &expected),
            Matrix::F64(rows) => csr_ulp(&model, &rows, &expected),
            Matrix::Int(_) => unreachable!("rows are floats"),
        };
        assert_eq!(ulp, 0, "{}: row {row:?}", case.name);
        cases += 1;
    }
    assert!(cases >= 4, "{cases} cases");
}

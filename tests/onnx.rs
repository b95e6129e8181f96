//! ONNX cases of `models/onnx`: every estimator that skl2onnx converts, and pipelines. Each answers as ONNX Runtime did,
//! to the bit if it is no more than trees, else within a millionth, and with the same labels. `COVERAGE.md` is the
//! table of that; `SAWMILL_WRITE=1 cargo test --test onnx` writes it anew.

#[path = "common/onnx.rs"]
mod onnx_case;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use onnx_case::{Distance, OnnxCase, answer, folder};
use sawmill::Model;

/// Greatest relative distance to ONNX Runtime where products of matrices and its approximations of `exp` come in.
const TOLERANCE: f64 = 1e-6;

#[test]
fn every_case_answers_as_onnx_runtime_did() {
    let cases = OnnxCase::all();
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

#[test]
fn what_a_converter_is_known_to_lose_is_warned_of() {
    let warnings = |name: &str| Model::load(OnnxCase::named(name).path).unwrap().source().warnings.clone();
    for (name, remedy) in [
        // Missing values of forests, thresholds and categories of histograms.
        ("k24_forest_with_holes", "python/export_sklearn.py"),
        ("k24_regressor_with_holes", "python/export_sklearn.py"),
        ("scaled_forest", "python/export_sklearn.py"),
        ("hist_with_holes", "python/export_sklearn.py"),
        ("converted_lightgbm", "load LightGBM's own file"),
        ("converted_xgboost", "load XGBoost's own file"),
    ] {
        let found = warnings(name);
        assert!(found.len() == 1 && found[0].contains(remedy), "{name}: {found:?}");
    }
    assert_ne!(warnings("hist_with_holes"), warnings("k24_forest_with_holes"));
    // Filled in before the trees; boosting that knows no missing values; nothing of trees; not of a converter.
    for name in ["imputed_forest", "mixed_forest", "GradientBoostingClassifier", "mixed_logistic", "k17_votes"] {
        assert!(warnings(name).is_empty(), "{name}: {:?}", warnings(name));
    }
    let report = Model::load(OnnxCase::named("k24_forest_with_holes").path).unwrap().validate();
    assert!(report.ok && report.checks.iter().any(|check| check.name == "conversion" && check.ok), "{report:?}");
}

#[test]
fn an_output_that_is_the_same_for_all_rows_is_no_prediction() {
    let path = OnnxCase::named("classes_beside_scores").path;
    assert_eq!(Model::load(&path).unwrap().n_columns(), 3);
    let error = Model::options().graph_output("class_labels").load(&path).unwrap_err();
    assert!(error.is_option() && error.to_string().contains("class_labels"), "{error}");
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

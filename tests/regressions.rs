//! Numbers that other converters and runtimes get wrong, each on a model of the library itself with that library's
//! stored answers. A test first shows that the answers are right, then that the mistake, made on purpose, would show in
//! the rows of the case: so none of them can pass by accident. `models/README.md` lists the numbers K.

mod common;
#[path = "common/onnx.rs"]
mod onnx_case;

use std::fs;

use common::{Case, Matrix, csr_ulp, worst_ulp};
use ndarray::Array2;
use onnx_case::{OnnxCase, Owned, answer};
use sawmill::{Column, Format, Model, OnnxCompat, Output, Rows};
use serde_json::{Value, json};

/// The case, after every file of it has given every answer that is stored, to the bit.
fn answered(name: &str) -> Case {
    let case = Case::named(name);
    let rows = case.rows();
    let checks = case.checks();
    assert!(!checks.is_empty(), "{name}");
    for file in case.models() {
        for check in &checks {
            let predictions = check.options().load(&file).unwrap().predict(rows.rows()).unwrap();
            let (ulp, row) = worst_ulp(&predictions, &case.array(&check.array).unwrap());
            assert_eq!(ulp, 0, "{}: {}, row {row:?}", file.display(), check.array);
        }
    }
    case
}

/// The case, after its rows as sparse ones, zeros left out, have given the library's answers.
fn answered_sparse(name: &str) -> Case {
    let case = answered(name);
    let model = case.load(Model::options().output(Output::Margin)).unwrap();
    let expected = case.array("csr_margin").unwrap();
    let (ulp, row) = match case.rows() {
        Matrix::F32(rows) => csr_ulp(&model, &rows, &expected),
        Matrix::F64(rows) => csr_ulp(&model, &rows, &expected),
        Matrix::Int(_) => unreachable!("rows are floats"),
    };
    assert_eq!(ulp, 0, "{name}: sparse, row {row:?}");
    case
}

fn wide(matrix: &Matrix) -> Array2<f64> {
    match matrix {
        Matrix::F32(array) => array.mapv(f64::from),
        Matrix::F64(array) => array.clone(),
        Matrix::Int(array) => array.mapv(f64::from),
    }
}

/// One inner list a row.
fn by_row(values: &[f64], n_rows: usize) -> Vec<Vec<u64>> {
    let bits = |row: &[f64]| row.iter().map(|value| value.to_bits()).collect();
    values.chunks(values.len() / n_rows).map(bits).collect()
}

fn predicted(model: &Model, rows: &Array2<f64>) -> Vec<Vec<u64>> {
    by_row(&model.predict(rows).unwrap().to_f64(), rows.nrows())
}

fn stored(case: &Case, array: &str) -> Vec<Vec<u64>> {
    let array = wide(&case.array(array).unwrap());
    by_row(array.as_standard_layout().as_slice().unwrap(), array.nrows())
}

fn different(a: &[Vec<u64>], b: &[Vec<u64>]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// In how many rows of the case a mistaken model gives another answer than `array` holds.
fn wrong_rows(case: &Case, output: Output, mistaken: &str, array: &str) -> usize {
    let format = if mistaken.starts_with('{') { Format::XgBoostJson } else { Format::LightGbmText };
    let model = Model::options().output(output).from_slice(format, mistaken.as_bytes()).unwrap();
    different(&predicted(&model, &wide(&case.rows())), &stored(case, array))
}

fn text(case: &Case) -> String {
    fs::read_to_string(&case.models()[0]).unwrap()
}

fn document(case: &Case) -> Value {
    // Versions up to 2.1 write NaN for the thresholds that leaves do not have.
    serde_json::from_str(&text(case).replace("NaN", "0")).unwrap()
}

/// A LightGBM file with the numbers of every line `key=` changed.
fn with_numbers(text: &str, key: &str, change: impl Fn(f64) -> f64) -> String {
    let line = |line: &str| match line.strip_prefix(key).and_then(|rest| rest.strip_prefix('=')) {
        Some(list) => {
            let numbers = list.split(' ').map(|number| format!("{:?}", change(number.parse().unwrap())));
            format!("{key}={}\n", numbers.collect::<Vec<_>>().join(" "))
        }
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// A LightGBM file with the decision types of its numeric splits changed.
fn with_decisions(text: &str, change: impl Fn(u8) -> u8) -> String {
    let line = |line: &str| match line.strip_prefix("decision_type=") {
        Some(list) => {
            let change = |word: &str| match word.parse().unwrap() {
                category if category & 1 == 1 => category,
                numeric => change(numeric),
            };
            let words = list.split(' ').map(|word| change(word).to_string());
            format!("decision_type={}\n", words.collect::<Vec<_>>().join(" "))
        }
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

/// The answers when every row has `value` in this column.
fn with_column(model: &Model, rows: &Array2<f64>, column: usize, value: f64) -> Vec<Vec<u64>> {
    let mut rows = rows.clone();
    rows.column_mut(column).fill(value);
    predicted(model, &rows)
}

/// Wrong in onnxmltools (LightGBM) and skl2onnx (histogram boosting): they round f64 thresholds to f32.
#[test]
fn k01_f32_input_at_a_rounded_f64_threshold() {
    for name in ["lightgbm/gamma", "lightgbm/mape", "lightgbm/many_trees"] {
        let case = answered(name);
        assert!(matches!(case.rows(), Matrix::F32(_)));
        let mistaken = with_numbers(&text(&case), "threshold", |threshold| f64::from(threshold as f32));
        assert!(wrong_rows(&case, Output::Margin, &mistaken, "margin") > 0, "{name}");
    }
}

/// Wrong wherever f64 input meets an f32 threshold without being rounded first.
#[test]
fn k02_f64_input_within_half_an_f32_step_of_an_xgboost_threshold() {
    let case = answered("xgboost/breast_cancer");
    let rows = wide(&case.rows());
    // For an f32 threshold, `x < threshold` in f64 is the comparison of the greatest f32 that is not above x.
    let below = rows.mapv(|x| {
        let near = x as f32;
        f64::from(if f64::from(near) > x { near.next_down() } else { near })
    });
    let model = case.load(Model::options().output(Output::Margin)).unwrap();
    assert!(different(&predicted(&model, &below), &stored(&case, "margin")) > 0);
}

/// Wrong in Treelite and tl2cgen (zero as missing), onnxmltools, hummingbird, which does not read the missing type at
/// all. Where LightGBM's type is "none", its `default_left` means nothing.
#[test]
fn k03_missing_values_under_each_missing_type() {
    let cases = [("no_missing", 0), ("no_missing_seen", 0), ("zero_as_missing", 1), ("missing_nan", 2)];
    for (name, stored_type) in cases {
        let case = answered(&format!("lightgbm/{name}"));
        let text = text(&case);
        let types: Vec<u8> = (0..3).filter(|&other| other != stored_type).collect();
        assert_eq!(
            with_decisions(&text, |decision| decision & 0b11 | stored_type << 2),
            format!("{}\n", text.trim_end())
        );
        for other in types {
            let mistaken = with_decisions(&text, |decision| decision & 0b11 | other << 2);
            assert!(wrong_rows(&case, Output::Margin, &mistaken, "margin") > 0, "{name} read as type {other}");
        }
        let flipped = wrong_rows(&case, Output::Margin, &with_decisions(&text, |decision| decision ^ 0b10), "margin");
        assert_eq!(flipped > 0, stored_type != 0, "{name} with default_left the other way");
    }
}

/// Wrong in Treelite and tl2cgen.
#[test]
fn k04_zeros_where_zero_is_missing() {
    let case = answered("lightgbm/zero_as_missing");
    let mistaken = with_decisions(&text(&case), |decision| decision & 0b11 | 2 << 2);
    let model = Model::options().output(Output::Margin).from_slice(Format::LightGbmText, mistaken.as_bytes()).unwrap();
    let rows = wide(&case.rows());
    let (ours, right) = (predicted(&model, &rows), stored(&case, "margin"));
    let without_nan = |&row: &usize| rows.row(row).iter().all(|value| !value.is_nan());
    assert!((0..rows.nrows()).filter(without_nan).any(|row| ours[row] != right[row]));
}

/// Wrong everywhere but in LightGBM: it flushes tiny values of dense rows, and keeps those of sparse ones.
#[test]
fn k05_a_threshold_within_the_zero_range() {
    let case = answered_sparse("lightgbm/tiny_threshold");
    assert!(different(&stored(&case, "margin"), &stored(&case, "csr_margin")) > 0);
}

/// Wrong in Treelite (-0.5), in converters that compare codes for equality, in lleaves on ARM.
#[test]
fn k06_category_codes_that_are_no_categories() {
    answered("lightgbm/category_one_hot");
    answered("xgboost/category_one_hot");
    answered("xgboost/v1_7_categories");
    answered("xgboost/v3_4_categories");
    let same = |name: &str, pairs: &[(f64, f64)]| {
        let case = answered(name);
        let rows = wide(&case.rows());
        let model = case.load(Model::options().output(Output::Margin)).unwrap();
        for column in [1, 3] {
            let answer = |value| with_column(&model, &rows, column, value);
            for &(odd, plain) in pairs {
                assert_eq!(answer(odd), answer(plain), "{name}: {odd} is not as {plain}");
            }
            assert_ne!(answer(0.0), answer(-1.0), "{name}: category 0 is as none");
        }
    };
    let nowhere = [5000.0, 16_777_216.0, 2_147_483_648.0, 1e9, 1e300, f64::INFINITY].map(|code| (code, -1.0));
    same("lightgbm/category_sets", &[(-0.5, 0.0), (-0.0, 0.0), (0.9, 0.0), (1.99, 1.0), (f64::NAN, -1.0)]);
    same("lightgbm/category_sets", &nowhere);
    same("xgboost/category_sets", &[(-0.5, -1.0), (-0.0, 0.0), (0.9, 0.0), (1.99, 1.0)]);
    same("xgboost/category_sets", &nowhere);
}

/// Wrong in Treelite (f64 arithmetic, vectors), onnxmltools (several forms), hummingbird (one number, classifiers none).
#[test]
fn k07_base_scores_of_every_form() {
    // One number, a list, an estimated one, with a logit or a log link, with each version's bounds.
    for name in ["v1_0_logistic", "v1_3_logistic", "v1_7_base_score_tiny", "v3_1_base_score_tiny", "v1_7_multi_target"]
    {
        answered(&format!("xgboost/{name}"));
    }
    for name in ["base_score_near_one", "base_score_one", "tweedie", "quantiles", "v3_3_expectiles", "v3_0_poisson"] {
        answered(&format!("xgboost/{name}"));
    }
    // Bounded from 3.2 on, not before.
    let case = answered("xgboost/base_score_tiny");
    let older = replaced(&text(&case), "\"version\":[3,2,0]", "\"version\":[3,1,0]");
    assert_eq!(wrong_rows(&case, Output::Margin, &older, "margin"), case.rows().n_rows());
    let zero = answered("xgboost/base_score_zero");
    let older = replaced(&text(&zero), "\"version\":[3,2,0]", "\"version\":[3,1,0]");
    let error = Model::options().from_slice(Format::XgBoostJson, older.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("base_score 0"), "{error}");
    // A rate becomes a margin by its logarithm.
    let case = answered("xgboost/poisson");
    let mistaken = replaced(&text(&case), "count:poisson", "reg:squarederror");
    assert_eq!(wrong_rows(&case, Output::Margin, &mistaken, "margin"), case.rows().n_rows());
    // Of a list, each output has its own.
    let case = answered("xgboost/v3_1_multi_target");
    let mut mistaken = document(&case);
    let score = mistaken["learner"]["learner_model_param"]["base_score"].as_str().unwrap().to_owned();
    let (first, rest) = score.trim_matches(['[', ']']).split_once(',').unwrap();
    assert!(rest.split(',').all(|other| other != first));
    mistaken["learner"]["learner_model_param"]["base_score"] = json!(format!("[{first},{first},{first}]"));
    assert_eq!(wrong_rows(&case, Output::Margin, &mistaken.to_string(), "margin"), case.rows().n_rows());
}

/// Wrong in Treelite and onnxmltools (refused, or other last bits); a loader that looks for the name "dart" drops the
/// weights of files since 3.3.
#[test]
fn k08_dropout_trees_in_three_layouts() {
    for name in ["dart_classes", "v1_3_dart", "v1_7_dart_classes", "v3_3_dart", "v3_4_dart", "v3_4_dart_classes"] {
        answered(&format!("xgboost/{name}"));
    }
    let case = answered("xgboost/dart");
    let oldest = document(&case);
    let booster = oldest["learner"]["gradient_booster"].clone();
    assert_eq!(booster["name"], "dart");
    let (model, weights) = (&booster["gbtree"]["model"], &booster["weight_drop"]);
    let with = |booster: Value| {
        let mut document = oldest.clone();
        document["learner"]["gradient_booster"] = booster;
        wrong_rows(&case, Output::Margin, &document.to_string(), "margin")
    };
    assert_eq!(with(booster.clone()), 0);
    assert_eq!(with(json!({"name": "gbtree", "model": model, "weight_drop": weights})), 0);
    let mut inside = model.clone();
    inside["weight_drop"] = weights.clone();
    assert_eq!(with(json!({"name": "gbtree", "model": inside})), 0);
    // Without the weights nothing is right; with a list that is too short, only some of it.
    assert!(with(json!({"name": "gbtree", "model": model})) > case.rows().n_rows() / 2);
}

/// Wrong in onnxmltools: the class of a tree taken as its number modulo the classes.
#[test]
fn k09_several_trees_a_class_and_round() {
    for name in ["v1_3_classes_parallel_trees", "v1_7_classes_parallel_trees", "v2_1_classes_parallel_trees"] {
        answered(&format!("xgboost/{name}"));
    }
    let case = answered("xgboost/wine_parallel_trees");
    let mut mistaken = document(&case);
    let classes = &mut mistaken["learner"]["gradient_booster"]["model"]["tree_info"];
    *classes = (0..classes.as_array().unwrap().len()).map(|tree| tree % 3).collect();
    assert!(wrong_rows(&case, Output::Margin, &mistaken.to_string(), "margin") > case.rows().n_rows() / 2);
}

/// Wrong where the trees after the best iteration are dropped, as in ONNX conversions, or where nobody can.
#[test]
fn k10_a_model_that_stopped_early() {
    let case = answered("xgboost/early_stopped");
    let model = case.load(Model::options().output(Output::Margin)).unwrap();
    let best = model.source().best_iteration.unwrap() + 1;
    assert!(best < case.facts["trees"].as_integer().unwrap() as usize);
    let array = format!("margin_0_{best}");
    let model = case.load(Model::options().output(Output::Margin).iterations(..best)).unwrap();
    assert_eq!(predicted(&model, &wide(&case.rows())), stored(&case, &array));
    assert!(different(&stored(&case, &array), &stored(&case, "margin")) > 0);
}

/// Wrong in Treelite: deleted nodes, still in the arrays, name no feature and are refused.
#[test]
fn k11_a_pruned_tree_with_orphans() {
    let case = answered("xgboost/pruned_trees");
    let document = document(&case);
    let trees = document["learner"]["gradient_booster"]["model"]["trees"].as_array().unwrap();
    let nodes: usize = trees.iter().map(|tree| tree["left_children"].as_array().unwrap().len()).sum();
    let orphans = trees.iter().flat_map(|tree| tree["split_indices"].as_array().unwrap());
    assert!(orphans.filter(|feature| **feature == json!(i32::MAX)).count() > 0);
    let model = case.load(Model::options()).unwrap();
    assert!(model.facts().splits + model.facts().leaves < nodes);
}

/// Refused by onnxmltools; loaders that know one layout read the wrong vectors in the other.
#[test]
fn k12_vector_leaves_in_both_layouts() {
    for name in ["v2_1_vector_leaves", "v3_0_vector_leaves", "v3_1_vector_leaves", "v3_4_vector_leaves"] {
        answered(&format!("xgboost/{name}"));
    }
    let scrambled = |name: &str, field: &str| {
        let case = answered(&format!("xgboost/{name}"));
        let mut document = document(&case);
        for tree in document["learner"]["gradient_booster"]["model"]["trees"].as_array_mut().unwrap() {
            for weight in tree[field].as_array_mut().unwrap() {
                *weight = json!(weight.as_f64().unwrap() + 1.0);
            }
        }
        wrong_rows(&case, Output::Margin, &document.to_string(), "margin")
    };
    assert_eq!(scrambled("vector_leaves", "base_weights"), 0);
    assert!(scrambled("vector_leaves", "leaf_weights") > 0);
    assert!(scrambled("v2_1_vector_leaves", "base_weights") > 0);
}

/// Wrong in XGBoost 3.1 and 3.2: a value that training never saw is taken for the next one in sorted order.
#[test]
fn k13_a_category_that_training_never_saw() {
    answered("xgboost/v3_1_category_names");
    let case = answered("xgboost/category_names");
    let rows = wide(&case.rows());
    let model = case.load(Model::options().output(Output::Margin)).unwrap();
    for (column, known) in [(1, 6), (3, 5)] {
        let answer = |value| with_column(&model, &rows, column, value);
        let unseen = answer(f64::from(known));
        assert_eq!(unseen, answer(-1.0));
        assert!((0..known).any(|code| unseen != answer(f64::from(code))));
    }
}

/// XGBoost itself adds the first base score to every output; what copies its answers must too.
#[test]
fn k14_the_intercept_of_linear_models_with_several_outputs() {
    answered("xgboost/linear_classes");
    answered("xgboost/v1_3_linear_classes");
    answered("xgboost/v3_4_linear_classes");
    let case = answered("xgboost/linear_targets");
    let with = |score: &str| {
        let mut document = document(&case);
        document["learner"]["learner_model_param"]["base_score"] = json!(score);
        wrong_rows(&case, Output::Margin, &document.to_string(), "margin")
    };
    let model = document(&case);
    let score = model["learner"]["learner_model_param"]["base_score"].as_str().unwrap();
    let first = score.trim_matches(['[', ']']).split(',').next().unwrap();
    assert_eq!(with(score), 0);
    assert_eq!(with(&format!("[{first},7E0,8E0]")), 0);
    assert_eq!(with(&format!("[9E0,{first},{first}]")), case.rows().n_rows());
}

/// Wrong in onnxmltools (all of them, linear leaves silently), partly in Treelite and lleaves.
#[test]
fn k15_lightgbm_outputs_that_are_not_plain() {
    let mistakes: [(&str, &str, &str); 7] = [
        ("binary_sigmoid", "sigmoid:2", "sigmoid:1"),
        ("one_versus_all", "multiclassova num_class:3 sigmoid:0.7", "multiclass num_class:3"),
        ("square_root", "objective=regression sqrt", "objective=regression"),
        ("forest_regression", "\naverage_output\n", "\n"),
        ("forest_binary", "\naverage_output\n", "\n"),
        ("forest_classes", "\naverage_output\n", "\n"),
        ("cross_entropy_lambda", "objective=cross_entropy_lambda", "objective=cross_entropy"),
    ];
    for (name, right, wrong) in mistakes {
        let case = answered(&format!("lightgbm/{name}"));
        let mistaken = replaced(&text(&case), right, wrong);
        assert!(wrong_rows(&case, Output::Value, &mistaken, "value") > case.rows().n_rows() / 2, "{name}");
        assert_eq!(wrong_rows(&case, Output::Margin, &mistaken, "margin"), 0, "{name}");
    }
    let case = answered("lightgbm/linear_leaves");
    let mistaken = replaced(&text(&case), "is_linear=1", "is_linear=0");
    assert!(wrong_rows(&case, Output::Margin, &mistaken, "margin") > case.rows().n_rows() / 2);
}

/// Wrong where infinities are bounded to 1e300, as LightGBM's own JSON dump does, or where parsing stops at a word.
#[test]
fn k16_infinite_and_huge_numbers_in_the_file() {
    answered("xgboost/odd_numbers");
    answered("lightgbm/odd_leaves");
    let case = answered("lightgbm/huge_thresholds");
    let mistaken = with_numbers(&text(&case), "threshold", |threshold| threshold.clamp(-1e300, 1e300));
    assert!(wrong_rows(&case, Output::Margin, &mistaken, "margin") > 0);
}

/// The ONNX cases whose names begin so, after each has given ONNX Runtime's answers: labels equal, scores to the bit.
fn as_onnx_runtime(start: &str, count: usize) -> Vec<OnnxCase> {
    let cases = OnnxCase::starting(start);
    assert!(cases.len() >= count, "{start}: {} cases", cases.len());
    for case in &cases {
        let (_, found) = answer(case).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        // PROBIT takes a root and a logarithm of the platform's.
        let tolerance = if case.name == "k21_probit" { 1e-7 } else { 0.0 };
        assert!(found.worst <= tolerance && found.labels == 0, "{}: {found:?}", case.name);
    }
    cases
}

/// Rows of an ONNX case whose label is not that of the greatest score.
fn unlike_greatest(case: &OnnxCase) -> usize {
    let (labels, scores) = (case.stored(0), case.stored(1));
    let differs = |(label, row): (&f64, &[f64])| {
        let first = (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
        *label != first as f64
    };
    labels.iter().zip(scores.chunks(scores.len() / labels.len())).filter(|pair| differs(*pair)).count()
}

fn by_specification() -> sawmill::ModelOptions {
    Model::options().onnx_compat(OnnxCompat::Spec)
}

/// Wrong in tract (always the first class, or the other one) and in readings of the specification: one score for two
/// classes tests `> 0.5` where all weights are positive, whatever is done to the score.
#[test]
fn k17_one_score_for_two_classes() {
    let cases = as_onnx_runtime("k17_", 9);
    let labels = |case: &OnnxCase, label: f64| case.stored(0).contains(&label);
    assert!(cases.iter().filter(|case| labels(case, 0.0) && labels(case, 1.0)).count() > 3);
    assert!(unlike_greatest(&OnnxCase::named("k17_votes_logistic")) > 0);
}

/// Wrong where the label is that of the greatest score: with a score for each of two classes ONNX Runtime asks whether
/// the second is positive.
#[test]
fn k18_two_scores_for_two_classes() {
    as_onnx_runtime("k18_", 4);
    assert!(unlike_greatest(&OnnxCase::named("k18_two_ids")) > 0);
}

/// Wrong in tract (`>=` taken for a leaf), and in ONNX's reference evaluator as measured by ONNX Runtime: a missing value
/// is not equal to anything.
#[test]
fn k19_every_comparison_with_missing_values() {
    as_onnx_runtime("k19_", 15);
    let case = OnnxCase::named("k19_neq_0");
    assert_ne!(case.numbers(by_specification(), 1), case.stored(1));
}

/// Wrong in ONNX Runtime, whose answers these are: it drops fractions before it looks into wide sets. By the
/// specification 1.2 is no member of {1, 40}.
#[test]
fn k20_membership_in_sets_of_numbers() {
    as_onnx_runtime("k20_", 11);
    let case = OnnxCase::named("k20_member_wide");
    assert_ne!(case.numbers(by_specification(), 0), case.stored(0));
    let case = OnnxCase::named("k20_member_mask");
    assert_eq!(case.numbers(by_specification(), 0), case.stored(0));
}

/// Wrong where a regressor's logistic transform is applied: ONNX Runtime leaves it out for a single target.
#[test]
fn k21_transforms_and_aggregates_of_regressors() {
    as_onnx_runtime("k21_", 6);
    let case = OnnxCase::named("k21_logistic");
    assert!(case.numbers(by_specification(), 0).iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(case.stored(0).iter().any(|value| *value > 1.0));
}

/// Wrong where a tie of votes counts for the second class.
#[test]
fn k22_a_vote_that_ties_at_half() {
    as_onnx_runtime("k22_", 1);
    as_onnx_runtime("RandomForestClassifier", 2);
    let case = OnnxCase::named("k22_tie");
    let (labels, scores) = (case.stored(0), case.stored(1));
    let ties = scores.chunks(2).zip(&labels).filter(|(row, _)| row[0] == row[1]);
    assert!(ties.clone().count() > 0 && ties.clone().all(|(_, label)| *label == 0.0));
}

/// Wrong in ONNX Runtime, whose sums depend on the size of a batch and on threads. Here a row has the same bits alone and
/// in any batch.
#[test]
fn k23_a_batch_answers_as_its_rows_do() {
    let mut differing = 0;
    for case in OnnxCase::all() {
        differing += usize::from(case.outputs.iter().any(|output| !output["batch"].is_null()));
        // `tests/onnx.rs` knows which are refused.
        let Ok(model) = Model::load(&case.path) else { continue };
        let whole = case.predict(&model).unwrap().to_f64();
        for row in 0..case.n_rows() {
            let one: Vec<Owned> = case.columns.iter().map(|column| column.rows(row..row + 1)).collect();
            let one: Vec<Column<'_>> = one.iter().map(Owned::borrowed).collect();
            let one = model.predict(Rows::columns(&one).unwrap()).unwrap().to_f64();
            assert_eq!(by_row(&one, 1), by_row(&whole, case.n_rows())[row..=row], "{}: row {row}", case.name);
        }
    }
    assert!(differing > 0, "no case in which ONNX Runtime's batches differ from its rows");
}

/// Wrong by conversion: skl2onnx forgets where forests send missing values, so that ONNX Runtime's answer, given here too,
/// is not scikit-learn's.
#[test]
fn k24_forests_with_missing_values() {
    for case in as_onnx_runtime("k24_", 2) {
        let ours = case.stored(case.outputs.len() - 1);
        let sklearn = case.sklearn["values"].as_array().unwrap();
        let far = ours.iter().zip(sklearn).filter(|(a, b)| (*a - b.as_f64().unwrap()).abs() > 1e-3).count();
        assert!(far > 0, "{}", case.name);
    }
}

/// Wrong in the last bits where a softmax is summed in another type; labels come in the type that the file has them in.
#[test]
fn k27_softmax_and_the_types_of_labels() {
    as_onnx_runtime("k27_", 6);
    let softmax = |row: &[f64]| -> Vec<f32> {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| (x.exp() / sum) as f32).collect()
    };
    // The weights of the leaves.
    let three = [[0.4, 0.0, 1.0], [0.9, 0.1, 0.0]];
    let wide: Vec<f32> = three.iter().flat_map(|row| softmax(row.as_slice())).collect();
    let stored: Vec<f32> = OnnxCase::named("k27_three_softmax").stored(1).iter().map(|x| *x as f32).collect();
    assert!(wide.iter().any(|x| !stored.contains(x)));
    for (name, kind) in [("boolean_labels", "i64"), ("float_labels", "i64"), ("zipmap_on_forest_names", "text")] {
        let case = &as_onnx_runtime(name, 1)[0];
        assert_eq!(case.outputs[0]["type"], kind, "{name}");
    }
}

/// Wrong in gbdt-rs: a number that stands for missing is compared, a base score read from a binary header, thresholds
/// from a text dump.
#[test]
fn k25_a_sentinel_for_missing_values_and_a_dump_for_a_model() {
    let case = answered("xgboost/missing_both_ways");
    let marked = wide(&case.rows()).mapv(|value| if value.is_nan() { -999.0 } else { value });
    let options = || Model::options().output(Output::Margin);
    let right = stored(&case, "margin");
    assert_eq!(predicted(&case.load(options().missing(-999.0)).unwrap(), &marked), right);
    assert!(different(&predicted(&case.load(options()).unwrap(), &marked), &right) > 0);

    // In a binary header the base score is a probability; as a margin, which it was before 1.0, it makes all rows wrong.
    let case = answered("xgboost/v1_3_logistic");
    let binary = std::fs::read(case.folder.join("model.bin")).unwrap();
    let predict =
        |binary: &[u8]| predicted(&options().from_slice(Format::XgBoostBinary, binary).unwrap(), &wide(&case.rows()));
    let right = stored(&case, "margin");
    assert_eq!(predict(&binary), right);
    let version = 4 + 5 * size_of::<u32>();
    let mut older = binary.clone();
    older[version..][..8].fill(0);
    assert_eq!(different(&predict(&older), &right), case.rows().n_rows());
    let dumps =
        ["booster[0]:\n0:[f0<0.5] yes=1,no=2,missing=1\n\t1:leaf=0.1\n", "[\n  { \"nodeid\": 0, \"depth\": 0 }\n]\n"];
    for dump in dumps {
        assert!(Format::detect(dump.as_bytes()).is_err(), "{dump}");
    }
}

/// Commonly wrong: an absent entry is a missing value to XGBoost and a zero to LightGBM.
#[test]
fn k26_absent_entries_of_sparse_rows() {
    for name in ["missing_both_ways", "sparse_counts", "category_one_hot"] {
        let case = answered_sparse(&format!("xgboost/{name}"));
        assert!(different(&stored(&case, "csr_margin"), &stored(&case, "margin")) > 0, "{name}");
    }
    for name in ["missing_nan", "category_sets", "v2_3_binary", "v4_0_binary"] {
        let case = answered_sparse(&format!("lightgbm/{name}"));
        let missing = wide(&case.rows()).mapv(|value| if value == 0.0 { f64::NAN } else { value });
        let model = case.load(Model::options().output(Output::Margin)).unwrap();
        assert!(different(&predicted(&model, &missing), &stored(&case, "csr_margin")) > 0, "{name}");
    }
}

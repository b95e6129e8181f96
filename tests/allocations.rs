//! A prediction into warm buffers allocates nothing.

mod common;
#[path = "common/onnx.rs"]
mod onnx_case;

use common::Case;
use ndarray::Array2;
use onnx_case::{OnnxCase, Owned};
use sawmill::{Column, Model, Output, Predictions, Rows, Scratch};

fn narrow(case: &Case) -> Array2<f32> {
    case.rows().to_f64().mapv(|value| value as f32)
}

#[test]
fn predict_into_allocates_nothing_once_warm() {
    for name in [
        "xgboost/breast_cancer",
        "xgboost/wine_parallel_trees",
        "xgboost/category_sets",
        "lightgbm/missing_nan",
        "lightgbm/forest_classes",
        "lightgbm/linear_leaves",
        "treelite/sklearn_random_forest",
        "treelite/lightgbm_classes",
    ] {
        let case = Case::named(name);
        let (wide, narrow) = (case.rows().to_f64(), narrow(&case));
        for output in [Output::Value, Output::Margin, Output::Leaf, Output::Label, Output::TreeValues] {
            let Ok(model) = case.load(Model::options().output(output)) else { continue };
            let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
            let mut predict_all = || {
                model.predict_into(&wide, &mut predictions, &mut scratch).unwrap();
                model.predict_into(&narrow, &mut predictions, &mut scratch).unwrap();
                for row in wide.rows() {
                    model.predict_into(row.to_slice().unwrap(), &mut predictions, &mut scratch).unwrap();
                }
            };
            let cold = allocation_counter::measure(&mut predict_all);
            let warm = allocation_counter::measure(&mut predict_all);
            assert!(cold.count_total > 0, "the counter counts");
            assert_eq!(warm.count_total, 0, "{name}: {output:?}");
        }
    }
}

#[test]
fn a_cached_answer_is_given_without_allocating() {
    let case = Case::named("xgboost/breast_cancer");
    let rows = narrow(&case);
    let cache = sawmill::engine::cache::CacheConfig::rows(1000);
    let engine = sawmill::Engine::builder().cache(cache).build().unwrap();
    engine.load("m", case.load(Model::options()).unwrap()).unwrap();
    let predict_all = || {
        for row in rows.rows() {
            assert!(engine.predict("m", row.to_slice().unwrap()).unwrap().from_cache);
        }
        assert!(engine.predict("m", &rows).unwrap().from_cache);
    };
    engine.predict("m", &rows).unwrap();
    predict_all();
    assert_eq!(allocation_counter::measure(predict_all).count_total, 0);
}

#[test]
fn an_idle_engine_answers_without_allocating() {
    let case = Case::named("xgboost/breast_cancer");
    let rows = narrow(&case);
    let engine = sawmill::Engine::builder().build().unwrap();
    engine.load("m", case.load(Model::options()).unwrap()).unwrap();
    let predict_all = || {
        for row in rows.rows() {
            let prediction = engine.predict("m", row.to_slice().unwrap()).unwrap();
            assert!(prediction.queue_time.is_zero(), "it ran on this thread");
        }
    };
    predict_all();
    // Metrics are written, too.
    assert_eq!(allocation_counter::measure(predict_all).count_total, 0);
    assert_eq!(engine.metrics().snapshot().total_requests() as usize, 2 * rows.nrows());
}

#[test]
fn pipelines_allocate_nothing_once_warm() {
    let mut allocating = Vec::new();
    for name in [
        "mixed_forest",
        "mixed_forest_names",
        "mixed_logistic",
        "mixed_logistic_multi",
        "mixed_boosted_regressor",
        "mixed_ridge",
        "mixed_neural",
        "imputed_forest",
        "scaled_forest",
        "numbers_only",
        "polynomial_ridge",
        "zipmap_on_names",
        "words_logistic",
        "k21_average",
        "k27_three_two_ids",
        "GaussianNB",
        "AdaBoostClassifier_multi",
        "BaggingClassifier",
        "GaussianProcessRegressor",
        "IsolationForest",
        "KBinsDiscretizer",
        "KNeighborsClassifier",
        "KNNImputer",
        "KernelPCA",
        "LocalOutlierFactor",
        "MultiOutputClassifier",
        "OneVsOneClassifier",
        "PowerTransformer",
        "QuantileTransformer",
        "SVC_multi",
        "SVR",
        "StackingClassifier",
        "VotingClassifier",
    ] {
        let case = OnnxCase::named(name);
        let rows = |range: std::ops::Range<usize>| -> Vec<Owned> {
            case.columns.iter().map(|column| column.rows(range.clone())).collect()
        };
        let batches: Vec<Vec<Owned>> =
            (0..case.n_rows()).map(|row| rows(row..row + 1)).chain([rows(0..case.n_rows())]).collect();
        let batches: Vec<Vec<Column<'_>>> =
            batches.iter().map(|columns| columns.iter().map(Owned::borrowed).collect()).collect();
        for output in [Output::Value, Output::Label] {
            let Ok(model) = Model::options().output(output).load(&case.path) else { continue };
            let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
            let mut predict_all = || {
                for columns in &batches {
                    model.predict_into(Rows::columns(&columns[..]).unwrap(), &mut predictions, &mut scratch).unwrap();
                }
            };
            let cold = allocation_counter::measure(&mut predict_all);
            let warm = allocation_counter::measure(&mut predict_all);
            assert!(cold.count_total > 0, "the counter counts");
            if warm.count_total > 0 {
                allocating.push(format!("{name}: {output:?}, {} times", warm.count_total));
            }
        }
    }
    assert!(allocating.is_empty(), "{allocating:?}");
}

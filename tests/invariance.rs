//! The same rows have the same bits in any batch, memory order, number of threads and float type that holds them.

mod common;

use common::{Case, bits};
use ndarray::{Array2, Axis, ShapeBuilder};
use sawmill::{Model, Output, Predictions, Rows, Scratch};

/// Cases of every arithmetic, missing rule, link and leaf shape.
const CASES: &[&str] = &[
    "xgboost/breast_cancer",
    "xgboost/category_sets",
    "xgboost/iris",
    "xgboost/missing_both_ways",
    "xgboost/vector_leaves",
    "xgboost/many_trees",
    "lightgbm/category_sets",
    "lightgbm/forest_classes",
    "lightgbm/missing_nan",
    "lightgbm/zero_as_missing",
    "lightgbm/tiny_threshold",
    "lightgbm/linear_leaves",
    "treelite/sklearn_random_forest",
    "treelite/lightgbm_forest",
    "treelite/xgboost_categories",
];

const OUTPUTS: [Output; 4] = [Output::Value, Output::Margin, Output::Leaf, Output::TreeValues];

fn for_each_model(check: impl Fn(&str, &Model, &Array2<f64>, &[u64])) {
    for name in CASES {
        let case = Case::named(name);
        let rows = case.rows().to_f64();
        for output in OUTPUTS {
            let model = case.load(Model::options().output(output)).unwrap();
            let whole = bits(&model.predict(&rows).unwrap());
            check(name, &model, &rows, &whole);
        }
    }
}

#[test]
fn batch_size_changes_no_bit() {
    for_each_model(|name, model, rows, whole| {
        let width = whole.len() / rows.nrows();
        let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
        for size in [1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129] {
            let mut joined = Vec::new();
            for chunk in rows.axis_chunks_iter(Axis(0), size).take(40) {
                model.predict_into(chunk, &mut predictions, &mut scratch).unwrap();
                assert_eq!((predictions.n_rows(), predictions.n_columns()), (chunk.nrows(), width));
                joined.extend(bits(&predictions));
            }
            assert_eq!(joined, whole[..joined.len()], "{name}: batches of {size}");
        }
        let none = model.predict(rows.slice(ndarray::s![..0, ..])).unwrap();
        assert_eq!((none.n_rows(), none.n_columns()), (0, width));
    });
}

#[test]
fn memory_order_changes_no_bit() {
    for_each_model(|name, model, rows, whole| {
        let columns = rows.ncols();
        let mut fortran = Array2::zeros(rows.dim().f());
        fortran.assign(rows);
        assert_eq!(bits(&model.predict(&fortran).unwrap()), whole, "{name}: Fortran order");
        let by_column: Vec<f64> = fortran.t().iter().copied().collect();
        let view = Rows::column_major(&by_column, columns).unwrap();
        assert_eq!(bits(&model.predict(view).unwrap()), whole, "{name}: column-major slice");
        let flat: Vec<f64> = rows.iter().copied().collect();
        assert_eq!(bits(&model.predict(&flat).unwrap()), whole, "{name}: flat slice");
        let mut spread = Array2::from_elem((rows.nrows() * 2, columns * 3), 0.5);
        let mut strided = spread.slice_mut(ndarray::s![..;2, ..;3]);
        strided.assign(rows);
        assert_eq!(bits(&model.predict(strided.view()).unwrap()), whole, "{name}: strides");
        let upside_down: Array2<f64> = rows.slice(ndarray::s![..;-1, ..]).to_owned();
        let turned = upside_down.slice(ndarray::s![..;-1, ..]);
        assert_eq!(bits(&model.predict(turned).unwrap()), whole, "{name}: negative strides");
    });
}

#[test]
fn threads_change_no_bit() {
    for name in CASES {
        let case = Case::named(name);
        // Enough rows for every thread to get several shares.
        let rows = case.rows().to_f64();
        let repeated = ndarray::concatenate(Axis(0), &vec![rows.view(); 20]).unwrap();
        for output in OUTPUTS {
            let predict = |threads| {
                let model = case.load(Model::options().output(output).threads(threads)).unwrap();
                bits(&model.predict(&repeated).unwrap())
            };
            let alone = predict(1);
            for threads in [2, 3, 8] {
                assert_eq!(predict(threads), alone, "{name}: {threads} threads");
            }
        }
    }
}

#[test]
fn a_wider_float_type_changes_no_bit() {
    for name in CASES {
        let case = Case::named(name);
        let narrow = case.rows().to_f64().mapv(|value| value as f32);
        let model = case.load(Model::options()).unwrap();
        let (f32s, f64s) = (model.predict(&narrow).unwrap(), model.predict(&narrow.mapv(f64::from)).unwrap());
        assert_eq!(bits(&f32s), bits(&f64s), "{name}");
    }
}

#[test]
fn a_sentinel_is_a_missing_value() {
    let case = Case::named("xgboost/missing_both_ways");
    let rows = case.rows().to_f64();
    let marked = rows.mapv(|value| if value.is_nan() { -999.0 } else { value });
    let plain = case.load(Model::options()).unwrap().predict(&rows).unwrap();
    let told = case.load(Model::options().missing(-999.0)).unwrap().predict(&marked).unwrap();
    assert_eq!(bits(&plain), bits(&told));
}

#[test]
fn one_model_serves_many_threads_at_once() {
    let case = Case::named("xgboost/breast_cancer");
    let (model, rows) = (case.load(Model::options()).unwrap(), case.rows().to_f64());
    let whole = bits(&model.predict(&rows).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(bits(&model.clone().predict(&rows).unwrap()), whole));
        }
    });
}

#[test]
fn a_stage_has_the_bits_of_a_model_of_so_many_iterations() {
    for name in CASES {
        let case = Case::named(name);
        let rows = case.rows().to_f64().slice_move(ndarray::s![..40, ..]);
        for output in [Output::Value, Output::Margin, Output::Label] {
            let Ok(model) = case.load(Model::options().output(output)) else { continue };
            let n_iterations = model.facts().iterations;
            let staged = model.predict_staged(&rows).unwrap();
            assert_eq!((staged.n_rows(), staged.n_columns()), (40, n_iterations * model.n_columns()), "{name}");
            let staged = Array2::from_shape_vec((40 * n_iterations, model.n_columns()), bits(&staged)).unwrap();
            for iteration in [0, 1, n_iterations / 2, n_iterations - 1] {
                let one = case.load(Model::options().output(output).iterations(..=iteration)).unwrap();
                let stage = staged.slice(ndarray::s![iteration..;n_iterations, ..]);
                let same = bits(&one.predict(&rows).unwrap()).iter().eq(stage.iter());
                assert!(same, "{name}: {output:?} after iteration {iteration}");
            }
        }
    }
}

#[test]
fn a_base_margin_of_base_scores_changes_no_bit() {
    for case in Case::all().into_iter().filter(|case| case.name.starts_with("xgboost/")) {
        let rows = case.rows();
        for output in [Output::Value, Output::Margin] {
            let model = case.load(Model::options().output(output)).unwrap();
            let base = match model.facts().trees {
                // A linear model's base scores are in its constants.
                0 => continue,
                _ => model.forest().unwrap().base().iter().map(|&base| base as f32).collect::<Vec<_>>(),
            };
            let base = base.repeat(rows.n_rows());
            let found = bits(&model.predict_with_base_margin(rows.rows(), &base).unwrap());
            assert_eq!(found, bits(&model.predict(rows.rows()).unwrap()), "{}: {output:?}", case.name);
        }
    }
}

#[test]
fn what_a_model_cannot_show_is_refused() {
    let (xgboost, lightgbm) = (Case::named("xgboost/iris"), Case::named("lightgbm/wine"));
    let linear = Case::named("xgboost/linear");
    let row = [0.5f32; 4];
    let model = xgboost.load(Model::options()).unwrap();
    let error = model.predict_with_base_margin(&row[..], &[0.5]).unwrap_err();
    assert!(error.is_shape());
    assert_eq!(error.to_string(), "1 base margins for 1 rows of 3 outputs");
    let model = lightgbm.load(Model::options()).unwrap();
    let error = model.predict_with_base_margin(&[0.5f64; 13][..], &[0.5; 3]).unwrap_err();
    assert!(error.is_option() && error.to_string().contains("lightgbm-text"), "{error}");
    for output in [Output::Leaf, Output::TreeValues] {
        assert!(
            xgboost.load(Model::options().output(output)).unwrap().predict_staged(&row[..]).unwrap_err().is_option()
        );
        assert!(linear.load(Model::options().output(output)).unwrap_err().is_option());
    }
    let model = linear.load(Model::options()).unwrap();
    assert!(model.predict_staged(&[0.5f32; 5][..]).unwrap_err().is_option());
}

//! Rows ranked once have the bits of the rows themselves, whatever predicts them, and mean nothing to other models.

mod common;

use common::Case;
use ndarray::s;
use sawmill::{Isa, KernelKind, Model, ModelOptions, Output, Predictions, Rows, Scratch};

/// Every NaN counts as one: kernels that add in another order of operands give another sign.
fn shape_and_bits(predictions: &Predictions) -> (usize, usize, Vec<u64>) {
    let bits = |x: f64| if x.is_nan() { u64::MAX } else { x.to_bits() };
    (predictions.n_rows(), predictions.n_columns(), predictions.to_f64().into_iter().map(bits).collect())
}

#[test]
fn ranked_rows_have_the_bits_of_rows() {
    let mut compared = 0;
    for case in Case::all() {
        let rows = case.rows().to_f64();
        let narrow = rows.mapv(|value| value as f32);
        for output in [Output::Value, Output::Margin, Output::Label] {
            let kernels = [Some(KernelKind::Circuit), Some(KernelKind::Row), None];
            let isas = Isa::available().iter().zip([3, 1, 1, 2]);
            for ((&isa, threads), kernel) in isas.flat_map(|isa| kernels.map(|kernel| (isa, kernel))) {
                let options = Model::options().output(output).isa(isa).threads(threads);
                let options = if let Some(kernel) = kernel { options.kernel(kernel) } else { options };
                let Ok(model) = case.load(options) else { continue };
                if kernel.is_none() && model.rank(rows.slice(s![..1, ..])).is_err() {
                    continue;
                }
                compared += 1;
                for n in [0, 1, 63, 64, 65, 600, rows.nrows()].map(|n| n.min(rows.nrows())) {
                    let name = format!("{} {output:?} {} {kernel:?} {n}", case.name, isa.name());
                    let (rows, narrow) = (rows.slice(s![..n, ..]), narrow.slice(s![..n, ..]));
                    let ranked = model.rank(rows).unwrap();
                    assert_eq!(ranked.n_rows(), n, "{name}");
                    let expected = shape_and_bits(&model.predict(rows).unwrap());
                    assert_eq!(shape_and_bits(&model.predict_ranked(&ranked).unwrap()), expected, "{name}");
                    let ranked = model.rank(narrow).unwrap();
                    let expected = shape_and_bits(&model.predict(narrow).unwrap());
                    assert_eq!(shape_and_bits(&model.predict_ranked(&ranked).unwrap()), expected, "{name} in f32");
                }
            }
        }
    }
    assert!(compared > 900, "{compared} models");
}

#[test]
fn sparse_rows_can_be_ranked() {
    let model = Case::named("xgboost/sparse_counts").load(Model::options().kernel(KernelKind::Circuit)).unwrap();
    let n = model.schema().n_features();
    let rows = Rows::csr(n, &[0, 1, 1, 3], &[1, 0, 2], &[3.0f32, 1.0, 2.0]).unwrap();
    let ranked = model.rank(rows.clone()).unwrap();
    assert_eq!(shape_and_bits(&model.predict_ranked(&ranked).unwrap()), shape_and_bits(&model.predict(rows).unwrap()));
}

#[test]
fn models_of_the_same_trees_share_ranked_rows() {
    let case = Case::named("lightgbm/category_sets");
    let rows = case.rows().to_f64();
    let load = |options: ModelOptions| case.load(options.kernel(KernelKind::Circuit)).unwrap();
    let ranked = load(Model::options()).rank(&rows).unwrap();
    let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
    for &isa in Isa::available() {
        let margins = load(Model::options().output(Output::Margin).isa(isa));
        margins.predict_ranked_into(&ranked, &mut predictions, &mut scratch).unwrap();
        assert_eq!(shape_and_bits(&predictions), shape_and_bits(&margins.predict(&rows).unwrap()));
    }
}

#[test]
fn rows_are_ranked_for_models_of_other_cut_points() {
    let case = Case::named("lightgbm/category_sets");
    let rows = case.rows().to_f64();
    let kernel = |kind| Model::options().kernel(kind);
    let models = [
        case.load(kernel(KernelKind::Circuit)).unwrap(),
        case.load(kernel(KernelKind::Circuit).iterations(..3)).unwrap(),
        case.load(kernel(KernelKind::Row).output(Output::Margin)).unwrap(),
        case.load(kernel(KernelKind::Circuit).missing(-1.0)).unwrap(),
        case.load(kernel(KernelKind::Row).iterations(2..)).unwrap(),
    ];
    let each: Vec<_> = models.iter().map(|model| model.rank(&rows).unwrap()).collect();
    let all: Vec<&Model> = models.iter().collect();
    let ranked = Model::rank_for(&all, &rows).unwrap();
    assert_eq!(ranked.heap_bytes(), each.iter().map(|ranked| ranked.heap_bytes()).sum::<usize>());
    for model in &models {
        let expected = shape_and_bits(&model.predict(&rows).unwrap());
        assert_eq!(shape_and_bits(&model.predict_ranked(&ranked).unwrap()), expected);
    }
    // What models ask alike is kept once.
    let again = Model::rank_for(&[&models[0], &models[0].clone(), &models[0]], &rows).unwrap();
    assert_eq!(again.heap_bytes(), each[0].heap_bytes());

    assert!(Model::rank_for(&[], &rows).unwrap_err().is_option());
    let other = Case::named("lightgbm/wine").load(kernel(KernelKind::Circuit)).unwrap();
    assert!(Model::rank_for(&[&models[0], &other], &rows).unwrap_err().is_shape());
}

#[test]
fn ranked_rows_of_another_reading_are_refused() {
    let case = Case::named("lightgbm/category_sets");
    let rows = case.rows().to_f64();
    let load = |options: ModelOptions| case.load(options.kernel(KernelKind::Circuit)).unwrap();
    let ranked = load(Model::options()).rank(&rows).unwrap();
    for other in [
        load(Model::options().iterations(..3)),
        load(Model::options().missing(-1.0)),
        Case::named("lightgbm/wine").load(Model::options().kernel(KernelKind::Circuit)).unwrap(),
    ] {
        let error = other.predict_ranked(&ranked).unwrap_err();
        assert!(error.is_option() && error.to_string().contains("other cut points"), "{error}");
    }
}

#[test]
fn what_cannot_be_ranked_says_why() {
    let deep = Case::named("lightgbm/linear_leaves");
    let error = deep.load(Model::options()).unwrap().rank(&deep.rows().to_f64()).unwrap_err();
    assert!(error.is_option() && error.to_string().contains("linear models in leaves"), "{error}");
    let case = Case::named("xgboost/breast_cancer");
    let model = case.load(Model::options()).unwrap();
    assert!(model.rank(&[0.5f32; 7][..]).unwrap_err().is_shape());
    let ranked = model.rank(&case.rows().to_f64()).unwrap();
    let leaves = case.load(Model::options().output(Output::Leaf)).unwrap();
    assert!(leaves.predict_ranked(&ranked).unwrap_err().is_option());
}

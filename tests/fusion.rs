//! What pipelines do to columns on their way into trees becomes part of the trees, and no bit changes.

#[path = "common/onnx.rs"]
mod onnx_case;

use onnx_case::{OnnxCase, Owned};
use sawmill::{Column, Model, Predictions, Rows};

fn predict(model: &Model, columns: &[Owned]) -> sawmill::Result<Predictions> {
    let columns: Vec<Column<'_>> = columns.iter().map(Owned::borrowed).collect();
    model.predict(Rows::columns(&columns)?)
}

fn bits(predictions: &Predictions) -> Vec<u64> {
    // Text has none.
    predictions.to_f64().iter().map(|value| value.to_bits()).collect()
}

fn same(fused: &Model, plain: &Model, columns: &[Owned], what: &str) {
    match (predict(fused, columns), predict(plain, columns)) {
        (Ok(fused), Ok(plain)) => assert_eq!(bits(&fused), bits(&plain), "{what}"),
        (Err(_), Err(_)) => {}
        (fused, plain) => panic!("{what}: {fused:?}, {plain:?}"),
    }
}

/// The case with and without fusion, of the output that predictions hold by default.
fn loaded(case: &OnnxCase) -> Option<(Model, Model)> {
    let load = |fusion| Model::options().fusion(fusion).load(&case.path).ok();
    Some((load(true)?, load(false)?))
}

const SPECIAL: [f64; 14] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-40,
    1e-310,
    3.4e38,
    -3.4e38,
    1e300,
    1.0,
    -1.0,
];

/// The case's rows with special values put into one column after another.
fn with_special(case: &OnnxCase) -> Vec<Owned> {
    let n = case.n_rows();
    let value = |column: usize, row: usize| SPECIAL[(row * 5 + column * 3) % SPECIAL.len()];
    let put = |column: usize, row: usize| (row + column).is_multiple_of(3);
    let columns = case.columns.iter().enumerate();
    columns
        .map(|(at, column)| match column.rows(0..n) {
            Owned::F32(mut values) => {
                let some = values.iter_mut().enumerate().filter(|(row, _)| put(at, *row));
                some.for_each(|(row, cell)| *cell = value(at, row) as f32);
                Owned::F32(values)
            }
            Owned::F64(mut values) => {
                let some = values.iter_mut().enumerate().filter(|(row, _)| put(at, *row));
                some.for_each(|(row, cell)| *cell = value(at, row));
                Owned::F64(values)
            }
            other => other,
        })
        .collect()
}

#[test]
fn trees_that_read_columns_as_they_come_give_the_same_bits() {
    let mut folded = Vec::new();
    for case in OnnxCase::all() {
        let Some((fused, plain)) = loaded(&case) else { continue };
        same(&fused, &plain, &case.columns, &case.name);
        same(&fused, &plain, &with_special(&case), &case.name);
        let n_steps = |model: &Model| model.pipeline().map_or(0, |pipeline| pipeline.steps.len());
        if n_steps(&fused) < n_steps(&plain) {
            folded.push(case.name);
        }
    }
    for name in ["scaled_forest", "imputed_forest", "selected_forest", "mixed_boosted", "mixed_forest_names"] {
        assert!(folded.iter().any(|folded| folded == name), "{name}: {folded:?}");
    }
}

#[test]
fn what_was_folded_into_trees_is_named() {
    let folded = |name: &str| {
        let model = Model::load(OnnxCase::named(name).path).unwrap();
        (model.source().folded.clone(), model.pipeline().is_some())
    };
    let (nodes, left) = folded("scaled_forest");
    assert!(nodes.len() == 1 && nodes[0].contains("(Scaler)") && !left, "{nodes:?}");
    let (nodes, left) = folded("mixed_boosted");
    assert!(nodes.iter().any(|node| node.contains("(Scaler)")) && left, "{nodes:?}");
    assert!(!nodes.iter().any(|node| node.contains("OneHotEncoder")), "{nodes:?}");
    assert_eq!(folded("mixed_logistic").0, [""; 0]);
}

/// Where an answer changes between two neighbouring numbers of a column, fused and plain change together.
#[test]
fn answers_change_at_the_same_numbers() {
    let mut borders = 0;
    for name in ["scaled_forest", "scaled_forest_regressor", "imputed_forest", "selected_forest"] {
        let case = OnnxCase::named(name);
        let (fused, plain) = loaded(&case).unwrap();
        assert!(fused.forest().is_some() && plain.forest().is_none(), "{name}");
        let start: Vec<f32> = case.columns.iter().map(|column| column_of(column)[0]).collect();
        for (at, column) in case.columns.iter().enumerate() {
            let values = column_of(column);
            let row = |value: f32| -> Vec<f32> {
                let mut row = start.clone();
                row[at] = value;
                row
            };
            let answer = |model: &Model, value: f32| bits(&model.predict(&row(value)[..]).unwrap());
            let least = values.iter().copied().filter(|x| x.is_finite()).fold(f32::INFINITY, f32::min);
            let greatest = values.iter().copied().filter(|x| x.is_finite()).fold(f32::NEG_INFINITY, f32::max);
            let (mut low, mut high) = (least - 1.0, greatest + 1.0);
            let at_low = answer(&plain, low);
            if at_low == answer(&plain, high) {
                continue;
            }
            while low.next_up() < high {
                let middle = low / 2.0 + high / 2.0;
                let middle = if middle > low && middle < high { middle } else { low.next_up() };
                if answer(&plain, middle) == at_low { low = middle } else { high = middle }
            }
            borders += 1;
            let mut near = low.next_down().next_down();
            for _ in 0..6 {
                assert_eq!(answer(&fused, near), answer(&plain, near), "{name}, column {at}: {near:e}");
                near = near.next_up();
            }
        }
    }
    assert!(borders >= 8, "{borders}");
}

fn column_of(column: &Owned) -> &[f32] {
    match column {
        Owned::F32(values) => values,
        _ => panic!("a column of another type"),
    }
}

//! Neural networks of `models/onnx_networks`, as PyTorch exported them: tract computes what ONNX Runtime answered.
#![cfg(feature = "neural")]

#[path = "common/onnx.rs"]
mod onnx_case;

use onnx_case::{OnnxCase, Owned, distance};
use sawmill::{Column, Model, Rows};

/// Greatest distance to ONNX Runtime, relative to the greatest number of the output: f32 sums in another order.
const TOLERANCE: f64 = 1e-6;

#[test]
fn networks_answer_as_onnx_runtime_did() {
    let cases = OnnxCase::networks();
    assert!(cases.len() >= 6);
    for case in &cases {
        for output in &case.outputs {
            let name = output["name"].as_str().unwrap();
            let model = Model::options().graph_output(name).load(&case.path).unwrap();
            let found = distance(&case.predict(&model).unwrap(), output).unwrap();
            println!("{}, {name}: {:.1e}", case.name, found.worst);
            assert!(found.worst <= TOLERANCE, "{}, {name}: off by {:e}", case.name, found.worst);
            assert!(model.validate().ok);
        }
    }
}

#[test]
fn a_batch_of_a_network_answers_as_its_rows_do() {
    for case in OnnxCase::networks() {
        let model = Model::load(&case.path).unwrap();
        let whole = case.predict(&model).unwrap();
        let width = whole.n_columns();
        for size in [1, 2, 5, 7] {
            for first in (0..case.n_rows()).step_by(size) {
                let last = (first + size).min(case.n_rows());
                let rows: Vec<Owned> = case.columns.iter().map(|column| column.rows(first..last)).collect();
                let rows: Vec<Column<'_>> = rows.iter().map(Owned::borrowed).collect();
                let part = model.predict(Rows::columns(&rows).unwrap()).unwrap();
                let of_whole = &whole.as_f32().unwrap()[first * width..last * width];
                assert_eq!(bits(part.as_f32().unwrap()), bits(of_whole), "{}, {first}..{last}", case.name);
            }
        }
    }
}

#[test]
fn a_pipeline_says_that_tract_runs_it() {
    let model = Model::load(OnnxCase::named_network("perceptron").path).unwrap();
    let step = &model.pipeline().unwrap().steps[0];
    assert_eq!(step.operator, "neural network");
    assert!(step.detail.ends_with("operators, run by tract"), "{}", step.detail);
}

#[test]
fn what_a_network_cannot_take_is_an_error() {
    let case = OnnxCase::named_network("transformer");
    let model = Model::load(&case.path).unwrap();
    let mut columns: Vec<Column<'_>> = case.columns.iter().map(Owned::borrowed).collect();
    let unknown = vec![99; case.n_rows()];
    columns[7] = Column::I64(&unknown);
    let error = model.predict(Rows::columns(&columns).unwrap()).unwrap_err();
    assert!(error.is_shape(), "{error}");
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

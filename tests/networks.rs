//! Neural networks of `models/onnx_networks`, as PyTorch exported them, answer as ONNX Runtime did; tract computes those whose
//! operators are not known here.

#[path = "common/onnx.rs"]
mod onnx_case;

use onnx_case::{OnnxCase, Owned, distance};
use sawmill::{Column, Model, Rows};

/// Greatest distance to ONNX Runtime, relative to the greatest number of the output: f32 sums in another order.
const TOLERANCE: f64 = 1e-6;

/// The one that tract runs.
const FOREIGN: &str = "convolution";

/// Those that this build loads.
fn cases() -> Vec<OnnxCase> {
    let is_known = |case: &OnnxCase| cfg!(feature = "neural") || case.name != FOREIGN;
    OnnxCase::networks().into_iter().filter(is_known).collect()
}

#[test]
fn networks_answer_as_onnx_runtime_did() {
    let cases = cases();
    assert!(cases.len() >= 10);
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
    for case in cases() {
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
fn layers_are_joined() {
    let steps = |name: &str| {
        let model = Model::load(OnnxCase::named_network(name).path).unwrap();
        let steps = model.pipeline().unwrap().steps.clone();
        steps.into_iter().map(|step| step.operator).collect::<Vec<_>>()
    };
    assert_eq!(
        steps("perceptron_binary"),
        ["Gemm, BatchNormalization, LeakyRelu", "Gemm", "LayerNormalization", "Sigmoid, Mul", "Gemm, Sigmoid"]
    );
    assert!(steps("activations").contains(&"Gemm, Div, Erf, Add, Mul, Mul".to_owned()), "{:?}", steps("activations"));
    assert!(steps("operators").contains(&"MatMul, Add, Gelu".to_owned()), "{:?}", steps("operators"));
}

#[cfg(not(feature = "neural"))]
#[test]
fn an_operator_that_is_not_known_is_refused_with_the_feature_that_may_run_it() {
    let error = Model::load(OnnxCase::named_network(FOREIGN).path).unwrap_err();
    assert!(error.is_unsupported());
    let text = error.to_string();
    assert!(text.contains("operator Conv of ai.onnx"), "{text}");
    assert!(text.ends_with("those of neural networks come with the feature \"neural\""), "{text}");
}

#[cfg(feature = "neural")]
#[test]
fn a_pipeline_says_that_tract_runs_it() {
    let model = Model::load(OnnxCase::named_network(FOREIGN).path).unwrap();
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

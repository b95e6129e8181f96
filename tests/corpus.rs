//! Public models of other projects' test suites, when `SAWMILL_CORPUS` names a folder of them: case folders with
//! `model.json|txt`, `X.npy`, `native.npy` (the source library's answer) and `meta.json`; ONNX's own test cases have
//! `model.onnx` and tensors in `test_data_set_0`.

mod common;

use std::path::Path;

use common::{Matrix, every_kernel, worst_ulp};
use prost::Message;
use sawmill::{Column, Model, Output, Rows, Strings};

/// ONNX's `TensorProto`, as far as the test cases use it.
#[derive(Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    sizes: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(bytes = "vec", repeated, tag = "6")]
    strings: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "9")]
    raw: Vec<u8>,
}

impl Tensor {
    fn read(path: &Path) -> Self {
        Self::decode(&*std::fs::read(path).unwrap()).unwrap()
    }

    fn numbers(&self) -> Vec<f64> {
        fn of<const N: usize>(raw: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            raw.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
        }
        match self.data_type {
            1 => of(&self.raw, |bytes| f32::from_le_bytes(bytes).into()),
            5 => of(&self.raw, |bytes| i16::from_le_bytes(bytes).into()),
            7 => of(&self.raw, |bytes| i64::from_le_bytes(bytes) as f64),
            11 => of(&self.raw, f64::from_le_bytes),
            other => panic!("data of type {other}"),
        }
    }
}

/// Compares a case of ONNX's test suite: one input, one output.
fn onnx_case(model: &Path, data: &Path) -> Result<(), String> {
    let (input, expected) = (Tensor::read(&data.join("input_0.pb")), Tensor::read(&data.join("output_0.pb")));
    let model = Model::load(model).map_err(|error| error.to_string())?;
    let n_rows = input.sizes[0] as usize;
    let predictions = if input.strings.is_empty() {
        let (numbers, columns) = (input.numbers(), input.sizes[1..].iter().product::<i64>() as usize);
        model.predict(Rows::row_major(&numbers, columns).unwrap())
    } else {
        let texts: Strings = input.strings.iter().map(|bytes| std::str::from_utf8(bytes).unwrap()).collect();
        model.predict(Rows::columns(vec![Column::Text(&texts)]).unwrap())
    };
    let predictions = predictions.map_err(|error| error.to_string())?;
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    if predictions.n_rows() != n_rows || bits(&predictions.to_f64()) != bits(&expected.numbers()) {
        return Err(format!("{:?}, not {:?}", predictions.to_f64(), expected.numbers()));
    }
    if model.validate().ok { Ok(()) } else { Err("not healthy".to_owned()) }
}

#[test]
fn the_public_corpus_answers_as_the_source_library_does() {
    let Some(root) = std::env::var_os("SAWMILL_CORPUS") else {
        println!("skipped: SAWMILL_CORPUS is not set");
        return;
    };
    let mut folders: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("meta.json").exists());
    folders.sort();
    assert!(!folders.is_empty(), "no cases in {}", Path::new(&root).display());

    let (mut equal, mut refused, mut other, mut failures) = (0, Vec::new(), 0, Vec::new());
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let meta: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
        let onnx = folder.join("model.onnx");
        if onnx.exists() {
            match onnx_case(&onnx, &folder.join("test_data_set_0")) {
                Ok(()) => equal += 1,
                Err(error) => failures.push(format!("{name}: {error}")),
            }
            continue;
        }
        let model = ["model.json", "model.txt"].iter().map(|file| folder.join(file)).find(|file| file.exists());
        let (Some(model), Some(kind)) = (model, meta["output"].as_str()) else {
            other += 1;
            continue;
        };
        let output = match kind {
            "predict" => Output::Value,
            "margin" | "raw" => Output::Margin,
            other => panic!("{name}: output kind {other:?}"),
        };
        let model = match Model::options().output(output).load(&model) {
            Ok(model) => model,
            Err(error) if error.is_unsupported() => {
                refused.push(format!("{name}: {error}"));
                continue;
            }
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        let rows = Matrix::read(&folder.join("X.npy"));
        let (ulp, row) = worst_ulp(&model.predict(rows.rows()).unwrap(), &Matrix::read(&folder.join("native.npy")));
        match row {
            None => equal += 1,
            Some(row) => failures.push(format!("{name}: {ulp} ulp, first in row {row}")),
        }
        if !model.validate().ok {
            failures.push(format!("{name}: not healthy"));
        }
        let rows = rows.head(130).to_f64();
        every_kernel::check(&name, &Model::options(), model.forest().unwrap(), &rows);
    }
    println!("{equal} cases equal to the bit, {} refused by name, {other} of formats not loaded", refused.len());
    for refusal in &refused {
        println!("  {refusal}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

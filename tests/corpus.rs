//! Public models of other projects' test suites, when `SAWMILL_CORPUS` names a folder of them: case folders with
//! `model.json|txt`, `X.npy`, `native.npy` (the source library's answer) and `meta.json`.

mod common;

use std::path::Path;

use common::{Matrix, worst_ulp};
use sawmill::{Model, Output};

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
    }
    println!("{equal} cases equal to the bit, {} refused by name, {other} of formats not loaded", refused.len());
    for refusal in &refused {
        println!("  {refusal}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

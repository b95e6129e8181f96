//! Parquet files in and out of the program: columns by name and type, whatever wrote them.
#![cfg(feature = "parquet")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use ndarray::{Array1, Array2};
use ndarray_npy::{read_npy, write_npy};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

/// The program's exit code and what it complains of.
fn sawmill(arguments: &[&str]) -> (i32, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_sawmill")).args(arguments).output().unwrap();
    (run.status.code().unwrap(), String::from_utf8(run.stderr).unwrap())
}

#[track_caller]
fn works(arguments: &[&str]) {
    let (code, complaint) = sawmill(arguments);
    assert_eq!(code, 0, "{complaint}");
}

#[track_caller]
fn fails(arguments: &[&str]) -> String {
    let (code, complaint) = sawmill(arguments);
    assert_eq!((code, complaint.lines().count()), (1, 1), "{complaint}");
    complaint
}

fn here(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().unwrap().to_owned()
}

fn golden(path: &str) -> String {
    here(&format!("models/{path}"))
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn write(path: &str, columns: Vec<(String, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(5000)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(path: &str) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    builder.build().unwrap().map(|batch| batch.unwrap()).collect()
}

fn column<A: Clone + 'static>(batches: &[RecordBatch], index: usize) -> Vec<A> {
    batches.iter().map(|batch| batch.column(index).as_any().downcast_ref::<A>().unwrap().clone()).collect()
}

#[test]
fn files_of_another_library_are_read_by_name_and_value() {
    let folder = TempDir::new().unwrap();
    let out = path(&folder, "out.npy");
    for (file, case, model) in [
        ("dictionary.parquet", "xgboost/category_names", "model.json"),
        ("dictionary.parquet", "xgboost/category_names", "model.ubj"),
        ("text.parquet", "lightgbm/category_names", "model.txt"),
        ("text.parquet", "lightgbm/category_names", "model.json"),
    ] {
        let rows = here(&format!("tests/data/{file}"));
        works(&["predict", &golden(&format!("{case}/{model}")), &rows, "-o", &out]);
        let expected = fs::read(golden(&format!("{case}/table_value.npy"))).unwrap();
        assert!(fs::read(&out).unwrap() == expected, "{case}/{model}");
    }
}

#[test]
fn many_rows_are_those_of_an_array_and_nulls_are_missing() {
    let folder = TempDir::new().unwrap();
    let rows: Array2<f64> = read_npy(golden("xgboost/breast_cancer/X.npy")).unwrap();
    let many = Array2::from_shape_fn((150_001, rows.ncols()), |(row, column)| rows[[row % rows.nrows(), column]]);
    let (array, file) = (path(&folder, "X.npy"), path(&folder, "X.parquet"));
    write_npy(&array, &many).unwrap();
    let cells = |column: usize| many.column(column).iter().map(|&x| (!x.is_nan()).then_some(x)).collect::<Vec<_>>();
    let table = fs::read_to_string(golden("xgboost/breast_cancer/rows.csv")).unwrap();
    let names: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    let columns =
        (0..many.ncols()).map(|at| (names[at].to_owned(), Arc::new(Float64Array::from(cells(at))) as ArrayRef));
    write(&file, columns.collect());
    let model = golden("xgboost/breast_cancer/model.json");
    let (one, other) = (path(&folder, "one.npy"), path(&folder, "other.npy"));
    works(&["predict", &model, &array, "-o", &one]);
    works(&["predict", &model, &file, "-o", &other]);
    assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap());

    let out = path(&folder, "out.parquet");
    works(&["predict", &model, &file, "-o", &out]);
    let batches = read(&out);
    assert_eq!(batches[0].schema().field(0).name(), "value");
    let found: Vec<u32> = column::<Float32Array>(&batches, 0)
        .iter()
        .flat_map(|values| values.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>())
        .collect();
    let expected: Array1<f32> = read_npy(&one).unwrap();
    assert!(found.iter().copied().eq(expected.iter().map(|value| value.to_bits())));
}

#[test]
fn predictions_have_a_column_each() {
    let folder = TempDir::new().unwrap();
    let out = path(&folder, "out.parquet");
    let rows = golden("lightgbm/wine/X.npy");
    works(&["predict", &golden("lightgbm/wine/model.txt"), &rows, "-o", &out]);
    let schema = read(&out)[0].schema();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["value_0", "value_1", "value_2"]);
    assert_eq!(column::<Float64Array>(&read(&out), 2)[0].len().min(1), 1);
}

#[test]
fn pipelines_take_columns_of_several_types() {
    let folder = TempDir::new().unwrap();
    let model = golden("onnx/ColumnTransformer.onnx");
    let shown = Command::new(env!("CARGO_BIN_EXE_sawmill")).args(["inspect", "--json", &model]).output().unwrap();
    let about: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let features = about["schema"]["features"].as_array().unwrap();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    let (mut header, mut line) = (Vec::new(), Vec::new());
    for (at, feature) in features.iter().enumerate() {
        let name = feature["name"].as_str().map_or(format!("c{at}"), str::to_owned);
        let (cell, array): (&str, ArrayRef) = match feature["kind"].as_str().unwrap() {
            "text" => ("b", Arc::new(StringArray::from(vec!["b"]))),
            "integer" => ("3", Arc::new(Int64Array::from(vec![3]))),
            "boolean" => ("true", Arc::new(BooleanArray::from(vec![true]))),
            _ => ("0.5", Arc::new(Float64Array::from(vec![0.5]))),
        };
        header.push(name.clone());
        line.push(cell);
        columns.push((name, array));
    }
    let (csv, file) = (path(&folder, "X.csv"), path(&folder, "X.parquet"));
    fs::write(&csv, format!("{}\n{}\n", header.join(","), line.join(","))).unwrap();
    write(&file, columns);
    let (one, other) = (path(&folder, "one.csv"), path(&folder, "other.csv"));
    works(&["predict", &model, &csv, "-o", &one]);
    works(&["predict", &model, &file, "-o", &other]);
    assert_eq!(fs::read_to_string(&one).unwrap(), fs::read_to_string(&other).unwrap());
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "X.parquet");
    let model = golden("xgboost/category_names/model.json");
    let number = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let columns = |colour: ArrayRef, weight: ArrayRef| {
        let (size, zone) = (number(vec![0.5]), number(vec![10.0]));
        let named = [("size", size), ("colour", colour), ("weight", weight), ("zone", zone)];
        named.map(|(name, column)| (name.to_owned(), column)).to_vec()
    };
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    write(&file, columns(text("pink"), number(vec![1.0])));
    assert!(fails(&["predict", &model, &file]).contains("\"pink\" is none of the"));
    write(&file, columns(text("red"), text("heavy")));
    let complaint = fails(&["predict", &model, &file]);
    assert!(complaint.contains("column \"weight\": Utf8 where the model takes numbers"), "{complaint}");
    write(&file, columns(text("red"), number(vec![1.0])).split_off(1));
    assert!(fails(&["predict", &model, &file]).contains("no column for feature \"size\""));
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&file, bytes).unwrap();
    fails(&["predict", &model, &file]);
}

//! The `sawmill` program as a user or a script meets it: real processes, real files, exact output.
#![cfg(feature = "cli")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ndarray::{Array1, Array2, ArrayD, ShapeBuilder};
use ndarray_npy::{read_npy, write_npy};
use onnx_case::{OnnxCase, Owned};
use sawmill::{Column, Model, Rows, Strings};
use serde_json::Value;
use tempfile::TempDir;

const XGBOOST: &str = "xgboost/breast_cancer/model.json";
const LIGHTGBM: &str = "lightgbm/breast_cancer/model.txt";

/// What a run left behind.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    /// The standard output of a run that went well and had nothing to complain of.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// The complaint of a run that failed: one line, without the program's name.
    #[track_caller]
    fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("sawmill: ").expect("the program's name comes first").trim_end().to_owned()
    }
}

fn sawmill(arguments: &[&str]) -> Run {
    sawmill_with(arguments, b"")
}

fn sawmill_with(arguments: &[&str], stdin: &[u8]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sawmill"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().expect("the program ended by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn model(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).to_str().unwrap().to_owned()
}

/// The file `name` beside a model.
fn beside(model_name: &str, name: &str) -> String {
    Path::new(&model(model_name)).with_file_name(name).to_str().unwrap().to_owned()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<PathBuf> {
        fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// The lines below the header.
fn column<T: std::str::FromStr<Err: std::fmt::Debug>>(csv: &str, header: &str) -> Vec<T> {
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some(header));
    lines.map(|line| line.parse().unwrap()).collect()
}

fn bits32(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

fn bits64(values: impl IntoIterator<Item = f64>) -> Vec<u64> {
    values.into_iter().map(f64::to_bits).collect()
}

// ---- predict: right answers

#[test]
fn csv_in_and_out_gives_the_librarys_values_to_the_bit() {
    let out = sawmill(&["predict", &model(XGBOOST), &beside(XGBOOST, "rows.csv")]).ok();
    let expected: Array1<f32> = read_npy(beside(XGBOOST, "rows_value.npy")).unwrap();
    assert_eq!(bits32(column::<f32>(&out, "value")), bits32(expected));

    let out = sawmill(&["predict", &model(LIGHTGBM), &beside(LIGHTGBM, "rows.csv")]).ok();
    let expected: Array1<f64> = read_npy(beside(LIGHTGBM, "rows_value.npy")).unwrap();
    assert_eq!(bits64(column::<f64>(&out, "value")), bits64(expected));
}

#[test]
fn several_values_make_several_columns() {
    let case = "xgboost/iris/model.json";
    let out = sawmill(&["predict", &model(case), &beside(case, "rows.csv")]).ok();
    let expected: Array2<f32> = read_npy(beside(case, "rows_value.npy")).unwrap();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("value_0,value_1,value_2"));
    let values = lines.flat_map(|line| line.split(',').map(|field| field.parse::<f32>().unwrap()));
    assert_eq!(bits32(values), bits32(expected));
}

#[test]
fn missing_fields_of_a_csv_are_missing_values() {
    let case = "lightgbm/missing_nan/model.txt";
    let text = fs::read_to_string(beside(case, "rows.csv")).unwrap();
    assert!(text.contains(",,") || text.contains(",\n"), "the case has empty fields");
    let out = sawmill(&["predict", &model(case), &beside(case, "rows.csv")]).ok();
    let expected: Array1<f64> = read_npy(beside(case, "rows_value.npy")).unwrap();
    assert_eq!(bits64(column::<f64>(&out, "value")), bits64(expected));

    let spelled = text.replace(",,", ",NaN,").replace(",,", ",null,").replace(",\n", ",NA\n").replace('\n', "\r\n");
    assert_eq!(sawmill_with(&["predict", &model(case), "-"], spelled.as_bytes()).ok(), out);
}

#[test]
fn npy_out_is_the_file_numpy_writes() {
    let folder = Folder::new();
    let out = folder.path("out.npy");
    for case in [XGBOOST, LIGHTGBM, "xgboost/diabetes/model.json", "lightgbm/wine/model.txt", "xgboost/iris/model.ubj"]
    {
        for kind in ["value", "margin", "label"] {
            let expected = beside(case, &format!("{kind}.npy"));
            if !Path::new(&expected).exists() {
                continue;
            }
            sawmill(&["predict", &model(case), &beside(case, "X.npy"), "-o", &out, "--kind", kind]).ok();
            assert!(fs::read(&out).unwrap() == fs::read(&expected).unwrap(), "{case}: {kind}");
        }
        sawmill(&["predict", &model(case), &beside(case, "X.npy"), "-o", &out, "--kind", "leaf"]).ok();
        let leaves: Array2<i32> = read_npy(&out).unwrap();
        let expected = beside(case, "leaf.npy");
        let expected: ArrayD<i32> = read_npy(&expected)
            .or_else(|_| read_npy(&expected).map(|array: ArrayD<u8>| array.mapv(i32::from)))
            .or_else(|_| read_npy(&expected).map(|array: ArrayD<u16>| array.mapv(i32::from)))
            .unwrap();
        assert_eq!(leaves.into_dyn(), expected, "{case}");
    }
    assert_eq!(folder.names(), [PathBuf::from(&out)], "temporary files are gone");
}

#[test]
fn memory_order_and_type_of_an_array_change_nothing() {
    let folder = Folder::new();
    let rows: Array2<f64> = read_npy(beside(LIGHTGBM, "X.npy")).unwrap();
    let expected = fs::read(beside(LIGHTGBM, "value.npy")).unwrap();
    let mut fortran = Array2::zeros(rows.raw_dim().f());
    fortran.assign(&rows);
    let (input, out) = (folder.path("fortran.npy"), folder.path("out.npy"));
    write_npy(&input, &fortran).unwrap();
    assert!(fs::read(&input).unwrap()[..128].windows(23).any(|text| text == b"'fortran_order': True, "));
    sawmill(&["predict", &model(LIGHTGBM), &input, "--out", &out, "--threads", "3"]).ok();
    assert!(fs::read(&out).unwrap() == expected);

    // XGBoost rounds to f32 first, so f32 rows have the same answers.
    let rows: Array2<f64> = read_npy(beside(XGBOOST, "X.npy")).unwrap();
    let input = folder.path("f32.npy");
    write_npy(&input, &rows.mapv(|value| value as f32)).unwrap();
    sawmill(&["predict", &model(XGBOOST), &input, "-o", &out]).ok();
    assert!(fs::read(&out).unwrap() == fs::read(beside(XGBOOST, "value.npy")).unwrap());
}

#[test]
fn more_rows_than_a_chunk_holds() {
    let case = "lightgbm/poisson/model.txt";
    let rows: Array2<f64> = read_npy(beside(case, "X.npy")).unwrap();
    let expected: Array1<f64> = read_npy(beside(case, "value.npy")).unwrap();
    let repeats = 70_000 / rows.nrows() + 1;
    let folder = Folder::new();
    let (csv, out) = (folder.path("rows.csv"), folder.path("out.npy"));
    let mut text = String::new();
    for row in rows.rows() {
        text.push_str(&row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    fs::write(&csv, text.repeat(repeats)).unwrap();
    sawmill(&["predict", &model(case), &csv, "-o", &out]).ok();
    let values: Array1<f64> = read_npy(&out).unwrap();
    assert_eq!(values.len(), rows.nrows() * repeats);
    for (at, value) in values.iter().enumerate() {
        assert_eq!(value.to_bits(), expected[at % rows.nrows()].to_bits(), "row {at}");
    }
}

#[test]
fn stdin_and_stdout_are_csv() {
    let text = fs::read(beside(XGBOOST, "rows.csv")).unwrap();
    let expected = sawmill(&["predict", &model(XGBOOST), &beside(XGBOOST, "rows.csv")]).ok();
    assert_eq!(sawmill_with(&["predict", &model(XGBOOST), "-"], &text).ok(), expected);
    assert_eq!(sawmill_with(&["predict", &model(XGBOOST), "-", "-o", "-"], &text).ok(), expected);
    let with_mark = [b"\xef\xbb\xbf", text.as_slice()].concat();
    assert_eq!(sawmill_with(&["predict", &model(XGBOOST), "-"], &with_mark).ok(), expected);
    let without_header = text.splitn(2, |&byte| byte == b'\n').nth(1).unwrap();
    assert_eq!(sawmill_with(&["predict", &model(XGBOOST), "-"], without_header).ok(), expected);
    let without_header_or_end = without_header.trim_ascii_end();
    assert_eq!(sawmill_with(&["predict", &model(XGBOOST), "-"], without_header_or_end).ok(), expected);
}

#[test]
fn csv_output_goes_to_a_file_too() {
    let folder = Folder::new();
    let out = folder.write("out.csv", "what was there before");
    let rows = beside(XGBOOST, "rows.csv");
    assert_eq!(sawmill(&["predict", &model(XGBOOST), &rows, "-o", &out]).ok(), "");
    assert_eq!(fs::read_to_string(&out).unwrap(), sawmill(&["predict", &model(XGBOOST), &rows]).ok());
}

#[test]
fn columns_are_matched_by_name() {
    let text = fs::read_to_string(beside(XGBOOST, "rows.csv")).unwrap();
    let expected = sawmill(&["predict", &model(XGBOOST), &beside(XGBOOST, "rows.csv")]).ok();
    let reversed = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
    let shuffled: String = text.lines().map(|line| reversed(line) + "\n").collect();
    assert_eq!(sawmill_with(&["predict", &model(XGBOOST), "-"], shuffled.as_bytes()).ok(), expected);

    // LightGBM keeps names with _ for blanks; the user's columns still have blanks.
    let rows = fs::read_to_string(beside(LIGHTGBM, "rows.csv")).unwrap().replace('_', " ");
    let rows: String = rows.lines().map(|line| reversed(line) + "\n").collect();
    let expected_lightgbm = sawmill(&["predict", &model(LIGHTGBM), &beside(LIGHTGBM, "rows.csv")]).ok();
    assert_eq!(sawmill_with(&["predict", &model(LIGHTGBM), "-"], rows.as_bytes()).ok(), expected_lightgbm);

    let extra = |line: &str| {
        let id = if line.starts_with("mean") { "id,\"note\"" } else { "a7,\"x, y\nz\"" };
        format!("{id},{line}\n")
    };
    let wider: String = text.lines().map(extra).collect();
    let run = sawmill_with(&["predict", &model(XGBOOST), "-"], wider.as_bytes());
    assert_eq!((run.code, run.stdout), (0, expected));
    assert_eq!(run.stderr, "sawmill: warning: stdin: 2 columns are no features and ignored: \"id\", \"note\"\n");
}

#[test]
fn names_that_say_nothing_count_by_position() {
    let case = "lightgbm/poisson/model.txt";
    let rows = |header: &str| format!("{header}\n0.5,0.25,-1,2,0\n");
    let predict = |text: String| sawmill_with(&["predict", &model(case), "-"], text.as_bytes());
    let expected = predict("0.5,0.25,-1,2,0\n".to_owned()).ok();
    assert_eq!(predict(rows("a,b,c,d,e")).ok(), expected);
    assert_eq!(predict("Column_4,Column_3,Column_2,Column_1,Column_0\n0,2,-1,0.25,0.5\n".to_owned()).ok(), expected);
}

#[test]
fn a_header_alone_is_no_row() {
    let folder = Folder::new();
    let text = fs::read_to_string(beside(XGBOOST, "rows.csv")).unwrap();
    let header = folder.write("header.csv", text.lines().next().unwrap());
    assert_eq!(sawmill(&["predict", &model(XGBOOST), &header]).ok(), "value\n");
    let out = folder.path("out.npy");
    sawmill(&["predict", &model(XGBOOST), &header, "-o", &out]).ok();
    assert_eq!(read_npy::<_, Array1<f32>>(&out).unwrap().len(), 0);
}

#[test]
fn iterations_are_a_half_open_range() {
    let folder = Folder::new();
    let out = folder.path("out.npy");
    for case in [XGBOOST, LIGHTGBM] {
        for (range, expected) in [
            ("0..5", "value_0_5.npy"),
            ("..5", "value_0_5.npy"),
            ("5..20", "value_5_20.npy"),
            ("5..", "value_5_20.npy"),
        ] {
            sawmill(&["predict", &model(case), &beside(case, "X.npy"), "-o", &out, "--iterations", range]).ok();
            assert!(fs::read(&out).unwrap() == fs::read(beside(case, expected)).unwrap(), "{case}: {range}");
        }
    }
    let rows = beside(XGBOOST, "rows.csv");
    let beyond = sawmill(&["predict", &model(XGBOOST), &rows, "--iterations", "0..21"]).fails(1);
    assert!(beyond.ends_with("model.json: iterations 0..21 asked of a model that has 20"), "{beyond}");
    for junk in ["5", "5..3", "a..b", ".."] {
        let usage = sawmill(&["predict", &model(XGBOOST), &rows, "--iterations", junk]).fails(2);
        assert!(usage.contains("--iterations"), "{usage}");
    }
}

#[test]
fn categories_are_recoded_by_value() {
    let folder = Folder::new();
    let out = folder.path("out.npy");
    for case in [
        "xgboost/category_names/model.json",
        "xgboost/category_names/model.ubj",
        "xgboost/v3_4_category_names/model.ubj",
        "lightgbm/category_names/model.txt",
        "lightgbm/category_names/model.json",
    ] {
        sawmill(&["predict", &model(case), &beside(case, "table.csv"), "-o", &out]).ok();
        assert!(fs::read(&out).unwrap() == fs::read(beside(case, "table_value.npy")).unwrap(), "{case}");
    }
    let (xgboost, lightgbm) = (model("xgboost/category_names/model.json"), model("lightgbm/category_names/model.txt"));
    let header = "colour,zone,weight,size\n";
    let predict = |model: &str, rows: &str, arguments: &[&str]| {
        sawmill_with(&[&["predict", model, "-"], arguments].concat(), format!("{header}{rows}").as_bytes())
    };
    let known = "\"a \"\"b\"\"\",20,0.5,0.25\n black ,-3.0,0.5,0.25\n";
    let codes = "4,1,0.5,0.25\n5,2,0.5,0.25\n";
    for model in [&xgboost, &lightgbm] {
        assert_eq!(predict(model, known, &[]).ok(), predict(model, codes, &["--category-codes"]).ok());
    }
    let (pink, missing) = ("pink,11,0.5,0.25\n", ",NA,0.5,0.25\n");
    assert_eq!(
        predict(&xgboost, pink, &[]).fails(1),
        "stdin: line 2, column \"colour\": \"pink\" is no category of the model: \"red\", \"green\", \"blue\", \
         \"grey\", \"a \\\"b\\\"\", …"
    );
    assert!(predict(&xgboost, "4,20,0.5,0.25\n", &[]).fails(1).contains("codes are read with --category-codes"));
    assert_eq!(predict(&xgboost, pink, &["--unseen", "missing"]).ok(), predict(&xgboost, missing, &[]).ok());
    assert_eq!(predict(&lightgbm, pink, &[]).ok(), predict(&lightgbm, missing, &[]).ok());
    assert!(predict(&lightgbm, pink, &["--unseen", "error"]).fails(1).contains("\"pink\" is no category"));
    assert!(predict(&xgboost, "red,10,0.5,0.25\n", &["--category-codes"]).fails(1).contains("is not a number"));

    let text = sawmill(&["inspect", &xgboost]).ok();
    assert!(text.contains("zone (category): 10, 20, -3, 40, 7"), "{text}");
    let json: Value = serde_json::from_str(&sawmill(&["inspect", &lightgbm, "--json"]).ok()).unwrap();
    assert_eq!(json["schema"]["features"][3]["categories"]["values"], serde_json::json!([10, 20, -3, 40, 7]));
}

#[test]
fn trees_and_rounds_one_by_one() {
    let folder = Folder::new();
    let (input, out) = (folder.path("X.npy"), folder.path("out.npy"));
    // Every tenth row of a case, which its bulky arrays are for.
    let tenth = |case: &str| {
        let rows: Array2<f64> = read_npy(beside(case, "X.npy")).unwrap();
        write_npy(&input, &rows.slice(ndarray::s![..;10, ..])).unwrap();
    };
    let arrays = |expected: &str| {
        let found: ArrayD<f32> = read_npy(&out).unwrap();
        let expected: ArrayD<f32> = read_npy(expected).unwrap();
        assert_eq!(bits32(found.iter().copied()), bits32(expected.iter().copied()));
        found.shape().to_vec()
    };
    let case = "xgboost/iris/model.json";
    tenth(case);
    let rows = read_npy::<_, Array2<f64>>(&input).unwrap().nrows();
    sawmill(&["predict", &model(case), &input, "-o", &out, "--kind", "tree-value"]).ok();
    assert_eq!(arrays(&beside(case, "tree_value.npy")), [rows, 30]);
    sawmill(&["predict", &model(case), &input, "-o", &out, "--staged"]).ok();
    assert_eq!(arrays(&beside(case, "staged_value.npy")), [rows, 10, 3]);
    sawmill(&["predict", &model(case), &input, "-o", &out, "--kind", "margin", "--staged"]).ok();
    assert_eq!(arrays(&beside(case, "staged_margin.npy")), [rows, 10, 3]);
    let base = beside(case, "base_margin.npy");
    sawmill(&["predict", &model(case), &input, "-o", &out, "--base-margin", &base]).ok();
    assert_eq!(arrays(&beside(case, "from_base_value.npy")), [rows, 3]);
    let case = "xgboost/vector_leaves/model.json";
    tenth(case);
    let rows = read_npy::<_, Array2<f64>>(&input).unwrap().nrows();
    sawmill(&["predict", &model(case), &input, "-o", &out, "--kind", "tree-value"]).ok();
    assert_eq!(arrays(&beside(case, "tree_value.npy")), [rows, 6, 3]);

    let (path, rows) = (model(XGBOOST), beside(XGBOOST, "rows.csv"));
    let text =
        |arguments: &[&str]| sawmill(&[&["predict", &path, &rows, "--iterations", "..2"], arguments].concat()).ok();
    assert_eq!(text(&["--staged"]).lines().next(), Some("value_0,value_1"));
    assert_eq!(text(&["--kind", "tree-value"]).lines().next(), Some("tree-value_0,tree-value_1"));
    let margins = folder.write("base.csv", "0.25\n".repeat(20));
    assert_eq!(text(&["--base-margin", &margins]).lines().count(), 21);

    let complaint = |arguments: &[&str]| sawmill(&[&["predict", &path, &rows], arguments].concat()).fails(1);
    let few = folder.write("few.csv", "0.25\n".repeat(19));
    assert_eq!(complaint(&["--base-margin", &few]), "19 rows of base margins, but there are more rows to predict");
    let many = folder.write("many.csv", "0.25\n".repeat(21));
    assert_eq!(complaint(&["--base-margin", &many]), "21 rows of base margins for 20 rows");
    let wide = folder.write("wide.csv", "0.25,1\n".repeat(20));
    assert_eq!(complaint(&["--base-margin", &wide]), "base margins have 2 columns, but the model has 1 outputs");
    assert!(complaint(&["--staged", "--kind", "leaf"]).contains("stages of leaves"));
    let lightgbm = ["predict", &model(LIGHTGBM), &beside(LIGHTGBM, "rows.csv"), "--base-margin", &margins];
    assert!(sawmill(&lightgbm).fails(1).contains("whose library predicts without"));
}

#[test]
fn the_best_rounds_are_those_of_the_scikit_learn_wrapper() {
    let (case, folder) = ("xgboost/early_stopped/model.json", Folder::new());
    let out = folder.path("out.npy");
    sawmill(&["predict", &model(case), &beside(case, "X.npy"), "-o", &out, "--best-iteration"]).ok();
    assert!(fs::read(&out).unwrap() == fs::read(beside(case, "wrapper_value.npy")).unwrap());
    let both = ["predict", &model(case), &out, "--best-iteration", "--iterations", "0..2"];
    assert!(sawmill(&both).fails(2).contains("--iterations"));
}

#[test]
fn a_number_may_stand_for_a_missing_value() {
    let case = "lightgbm/missing_nan/model.txt";
    let text = fs::read_to_string(beside(case, "rows.csv")).unwrap();
    let sentinel =
        text.replace(",,", ",-999,").replace(",,", ",-999,").replace(",\n", ",-999\n").replace("\n,", "\n-999,");
    let expected = sawmill(&["predict", &model(case), &beside(case, "rows.csv")]).ok();
    assert_ne!(sawmill_with(&["predict", &model(case), "-"], sentinel.as_bytes()).ok(), expected);
    assert_eq!(sawmill_with(&["predict", &model(case), "-", "--missing", "-999"], sentinel.as_bytes()).ok(), expected);
    assert!(sawmill(&["predict", &model(case), "-", "--missing", "none"]).fails(2).contains("--missing"));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = Folder::new();
    let rows: Array2<f64> = read_npy(beside(XGBOOST, "X.npy")).unwrap();
    let many = ndarray::concatenate(ndarray::Axis(0), &vec![rows.view(); 40]).unwrap();
    let input = folder.path("X.npy");
    write_npy(&input, &many).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sawmill"));
    command.args(["predict", &model(XGBOOST), &input, "--kind", "leaf"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

// ---- predict: refusals

#[test]
fn bad_rows_are_refused_by_place() {
    let case = "xgboost/iris/model.json";
    let complaint = |text: &str| sawmill_with(&["predict", &model(case), "-"], text.as_bytes()).fails(1);
    let header = "sepal length,sepal width,petal length,petal width\n";

    assert_eq!(complaint(""), "stdin: the input is empty");
    assert_eq!(complaint("\u{feff}\r\n\n"), "stdin: the input is empty");
    assert_eq!(
        complaint(&format!("{header}1,2,3,4\n1,abc,3,4\n")),
        "stdin: line 3, column \"sepal width\": \"abc\" is not a number"
    );
    assert_eq!(
        complaint("1,2,3,4\r\n\r\n1,2,3,4\r\n1,2,,true\r\n"),
        "stdin: line 4, column \"petal width\": \"true\" is not a number"
    );
    assert_eq!(complaint(&format!("{header}1,2,3,4\n1,2,3\n")), "stdin: line 3: 3 fields, but the first line has 4");
    assert_eq!(complaint("1,2,3,4\n1,2,3,4,5\n"), "stdin: line 2: 5 fields, but the first line has 4");
    assert_eq!(complaint("1,2,3\n"), "stdin: 3 columns, but the model has 4 features");
    assert_eq!(
        complaint("1;2;3;4\n"),
        "stdin: no column for feature \"sepal length\" (and 3 more); fields are separated by commas, not semicolons"
    );
    assert_eq!(
        complaint("sepal length,petal width,sepal width\n1,2,3\n"),
        "stdin: no column for feature \"petal length\""
    );
    assert_eq!(complaint("petal width,petal width\n"), "stdin: column \"petal width\" appears twice");
}

#[test]
fn arrays_of_another_kind_are_refused_by_name() {
    let folder = Folder::new();
    let complaint = |input: &str| {
        let text = sawmill(&["predict", &model(XGBOOST), input]).fails(1);
        text.strip_prefix(&format!("{input}: ")).unwrap_or(&text).to_owned()
    };
    let whole = folder.path("int.npy");
    write_npy(&whole, &Array2::<i64>::zeros((2, 30))).unwrap();
    assert!(complaint(&whole).starts_with("dtype int64 is not read; save X.astype(\"float32\")"));
    let flat = folder.path("flat.npy");
    write_npy(&flat, &Array1::<f32>::zeros(30)).unwrap();
    assert_eq!(
        complaint(&flat),
        "shape (30,), but rows need two dimensions [rows, features]; one row is X.reshape(1, -1)"
    );
    let narrow = folder.path("narrow.npy");
    write_npy(&narrow, &Array2::<f32>::zeros((2, 29))).unwrap();
    assert_eq!(complaint(&narrow), "rows have 29 columns, but the model has 30 features");

    let good = fs::read(beside(XGBOOST, "X.npy")).unwrap();
    assert!(complaint(&folder.write("cut.npy", &good[..good.len() - 8])).contains("cut off or broken"));
    assert!(complaint(&folder.write("head.npy", &good[..60])).contains("cut off"));
    assert!(complaint(&folder.write("empty.npy", "")).contains("not a .npy file"));
    let huge = String::from_utf8_lossy(&good[10..128]).replace("(463, 30)", "(463000000000, 30)");
    let huge = [&good[..10], &huge.as_bytes()[..117], b"\n", &good[128..]].concat();
    assert!(complaint(&folder.write("huge.npy", huge)).contains("the header promises"));
    let nested = [&b"\x93NUMPY\x01\x00\xf4\x03"[..], &[b'('; 1011], b"\n"].concat();
    assert!(complaint(&folder.write("nested.npy", nested)).contains("header"));
    #[cfg(not(feature = "parquet"))]
    assert!(complaint("X.parquet").contains("build it with --features parquet"));
    assert!(complaint("X.tsv").contains("unknown extension .tsv; known are .npy"));
    assert!(complaint(&folder.path("nowhere.csv")).starts_with("No such file"));
    assert_eq!(complaint(&folder.path("nowhere.csv")).matches("No such file").count(), 1);
}

#[test]
fn bad_models_are_refused_by_name() {
    let folder = Folder::new();
    let rows = beside(XGBOOST, "rows.csv");
    let complaint = |path: &str| {
        let text = sawmill(&["predict", path, &rows]).fails(1);
        text.strip_prefix(&format!("{path}: ")).expect("the file is named once").to_owned()
    };
    assert_eq!(complaint(&folder.write("empty.json", "")), "the file is empty");
    assert!(complaint(&folder.write("junk.bin", "PK\x03\x04 junk \n\n")).starts_with("not a model file"));
    for name in [XGBOOST, LIGHTGBM, "xgboost/breast_cancer/model.ubj"] {
        let bytes = fs::read(model(name)).unwrap();
        let cut = folder.write("cut", &bytes[..bytes.len() / 2]);
        assert!(!complaint(&cut).is_empty(), "{name}");
    }
    assert!(complaint(&folder.path("nowhere.json")).starts_with("No such file"));
}

#[test]
fn a_failure_leaves_no_file_and_keeps_the_old_one() {
    let folder = Folder::new();
    let rows = folder.write("rows.csv", "1,2,3,4\n1,2,3,x\n");
    let old = folder.write("old.npy", "old");
    sawmill(&["predict", &model("xgboost/iris/model.json"), &rows, "-o", &folder.path("new.csv")]).fails(1);
    sawmill(&["predict", &model("xgboost/iris/model.json"), &rows, "-o", &old]).fails(1);
    let mut names = folder.names();
    names.sort();
    assert_eq!(names, [PathBuf::from(&old), PathBuf::from(&rows)]);
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    let nowhere = folder.path("no/folder/out.csv");
    assert!(sawmill(&["predict", &model(XGBOOST), &rows, "-o", &nowhere]).fails(1).starts_with(&nowhere));
}

#[test]
fn wrong_usage_exits_with_2() {
    let (model, rows) = (model(XGBOOST), beside(XGBOOST, "rows.csv"));
    let predict = |more: &[&str]| sawmill(&[&["predict", &model, &rows], more].concat()).fails(2);
    assert!(predict(&["--kind", "probability"]).contains("value, margin, label, leaf, tree-value"));
    assert!(predict(&["--isa", "mmx"]).contains("isa \"mmx\" is not available"));
    assert!(predict(&["--format", "pickle"]).contains("known are: xgboost-json"));
    assert!(predict(&["--precision", "half"]).contains("known are: exact, f32, f16, int8, int4"));
    assert!(predict(&["--kernel", "gallop"]).contains("known are: circuit, row, tops, levels, values, walk"));
    assert!(predict(&["--kernel", "row", "--tune"]).contains("--tune"));
    assert!(predict(&["--threads", "0"]).contains("--threads"));
    assert!(predict(&["--threads", "many"]).contains("--threads"));
    assert!(predict(&["--colour"]).contains("--colour"));
    assert!(sawmill(&["predict", &model]).fails(2).contains("<INPUT>"));
    assert!(sawmill(&["saw"]).fails(2).contains("saw"));
    assert_eq!(sawmill(&[]).code, 2);
}

#[test]
fn a_forced_format_is_obeyed() {
    let rows = beside(XGBOOST, "rows.csv");
    let plain = sawmill(&["predict", &model(XGBOOST), &rows]).ok();
    assert_eq!(sawmill(&["predict", &model(XGBOOST), &rows, "--format", "xgboost-json"]).ok(), plain);
    assert_eq!(
        sawmill(&["predict", &model(XGBOOST), &rows, "--isa", "portable", "--precision", "exact", "--threads", "2"])
            .ok(),
        plain
    );
    sawmill(&["predict", &model(XGBOOST), &rows, "--format", "lightgbm-text"]).fails(1);
    let refused = sawmill(&["predict", &model("xgboost/diabetes/model.json"), &rows, "--kind", "label"]).fails(1);
    assert!(refused.contains("no classifier"), "{refused}");
}

// ---- inspect

#[test]
fn no_kernel_changes_the_answer() {
    let rows = beside(XGBOOST, "rows.csv");
    let plain = sawmill(&["predict", &model(XGBOOST), &rows]).ok();
    for way in [&["--kernel", "circuit"][..], &["--kernel", "row"], &["--kernel", "walk"], &["--tune"]] {
        assert_eq!(sawmill(&[&["predict", &model(XGBOOST), &rows], way].concat()).ok(), plain, "{way:?}");
    }
    let linear = sawmill(&["validate", &model("lightgbm/linear_leaves/model.txt"), "--kernel", "circuit"]).fails(2);
    assert!(linear.contains("kernel \"circuit\" does not fit this model: "), "{linear}");
    assert!(linear.contains("linear models in leaves"), "{linear}");
    let tuned = sawmill(&["validate", &model(XGBOOST), "--tune"]).ok();
    assert!(tuned.contains("measured circuit: "), "{tuned}");
}

#[test]
fn validate_measures_a_precision() {
    let text = sawmill(&["validate", &model(LIGHTGBM), "--precision", "int8"]).ok();
    assert!(text.contains("precision") && text.contains("within the bound of"), "{text}");
    sawmill(&["predict", &model(XGBOOST), &beside(XGBOOST, "rows.csv"), "--precision", "int4"]).ok();
}

#[test]
fn inspect_tells_people_the_facts() {
    let text = sawmill(&["inspect", &model(XGBOOST)]).ok();
    for fact in [
        "xgboost-json",
        "XGBoost 3.2.0",
        "binary:logistic",
        "20 in 20 iterations",
        "30, of which 22 are used",
        "mean radius",
        "… and 10 more",
        "sigmoid",
        "value < threshold",
        "circuit (",
        "a few rows; reckoned to take",
    ] {
        assert!(text.contains(fact), "{fact:?} is not in\n{text}");
    }
    let text = sawmill(&["inspect", &model("xgboost/early_stopped/model.json")]).ok();
    assert!(text.contains("5; predictions use all iterations, with --best-iteration those up to the best"), "{text}");
    let text = sawmill(&["inspect", &model("lightgbm/category_names/model.txt"), "--format", "lightgbm-text"]).ok();
    assert!(text.contains("colour (category)"), "{text}");
}

#[test]
fn inspect_json_has_stable_keys() {
    for name in [XGBOOST, LIGHTGBM, "xgboost/linear/model.json"] {
        let report: Value = serde_json::from_str(&sawmill(&["inspect", &model(name), "--json"]).ok()).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&report), ["arithmetic", "facts", "plan", "schema", "source"]);
        assert_eq!(keys(&report["arithmetic"]), ["aggregate", "base", "labels", "link", "profile"]);
        for pointer in
            ["/source/digest", "/schema/task", "/schema/features/0/kind", "/facts/trees", "/plan/kernels/0/reason"]
        {
            assert!(report.pointer(pointer).is_some(), "{name}: {pointer}");
        }
    }
    let report = sawmill(&["inspect", &model(LIGHTGBM), "--json"]).ok();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["source"]["format"], "lightgbm-text");
    assert_eq!(report["facts"]["trees"], 20);
    assert_eq!(report["schema"]["features"][0]["name"], "mean_radius");
    assert_eq!(report["arithmetic"]["profile"]["comparison"], "<=");
}

#[test]
fn inspect_refuses_what_is_no_model() {
    let folder = Folder::new();
    let junk = folder.write("junk.json", "{}");
    assert!(sawmill(&["inspect", &junk]).fails(1).starts_with(&junk));
    assert!(sawmill(&["inspect"]).fails(2).contains("<MODEL>"));
}

// ---- validate

#[test]
fn validate_says_healthy() {
    for name in [XGBOOST, LIGHTGBM] {
        let text = sawmill(&["validate", &model(name)]).ok();
        assert_eq!(text.lines().last(), Some(format!("{}: healthy", model(name)).as_str()));
        assert!(!text.contains("FAIL"), "{text}");
    }
}

#[test]
fn validate_compares_with_expected_answers() {
    for case in [XGBOOST, LIGHTGBM, "xgboost/iris/model.json"] {
        for kind in ["value", "margin", "label", "leaf"] {
            let (input, expect) = (beside(case, "X.npy"), beside(case, &format!("{kind}.npy")));
            let text =
                sawmill(&["validate", &model(case), "--input", &input, "--expect", &expect, "--kind", kind]).ok();
            assert!(text.contains("rows: all equal to the bit"), "{case}: {kind}: {text}");
        }
    }
    // What the program itself wrote as text is the same to the bit.
    let folder = Folder::new();
    for case in [XGBOOST, LIGHTGBM] {
        let (input, expect) = (beside(case, "X.npy"), folder.path("expect.csv"));
        sawmill(&["predict", &model(case), &input, "-o", &expect]).ok();
        sawmill(&["validate", &model(case), "--input", &input, "--expect", &expect]).ok();
    }
}

#[test]
fn validate_finds_what_differs() {
    let folder = Folder::new();
    let mut values: Array1<f32> = read_npy(beside(XGBOOST, "value.npy")).unwrap();
    let right = values[7];
    values[7] = right.next_up();
    values[9] = values[9].next_up().next_up();
    let wrong = folder.path("wrong.npy");
    write_npy(&wrong, &values).unwrap();
    let (model, input) = (model(XGBOOST), beside(XGBOOST, "X.npy"));
    let arguments = ["validate", &model, "--input", &input, "--expect", &wrong];

    let run = sawmill(&arguments);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let line = run.stdout.lines().find(|line| line.starts_with("FAIL  expected")).unwrap();
    assert!(line.contains("2 of 463 rows are not equal to the bit"), "{line}");
    assert!(line.contains("worst 2 ulp"), "{line}");
    assert!(line.contains(&format!("first row 7: {right:?} instead of {:?}", right.next_up())), "{line}");

    let run = sawmill(&[&arguments[..], &["--json"]].concat());
    assert_eq!(run.code, 1);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["model"], model.as_str());
    assert_eq!(report["digest"].as_str().unwrap().len(), 64);
    assert!(
        report["checks"].as_array().unwrap().iter().any(|check| check["name"] == "expected" && check["ok"] == false)
    );

    let text = sawmill(&[&arguments[..], &["--tolerance", "1e-6"]].concat()).ok();
    assert!(text.contains("463 rows: all within 1e-6; worst absolute difference"), "{text}");
    assert_eq!(sawmill(&[&arguments[..], &["--tolerance", "1e-12"]].concat()).code, 1);

    let short = folder.path("short.npy");
    write_npy(&short, &values.slice(ndarray::s![..400]).to_owned()).unwrap();
    let run = sawmill(&["validate", &model, "--input", &input, "--expect", &short]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("predictions have shape (463, 1), expected are (400, 1)"), "{}", run.stdout);
}

#[test]
fn validate_exits_with_2_when_there_is_nothing_to_judge() {
    let folder = Folder::new();
    let junk = folder.write("junk.txt", "junk");
    assert!(sawmill(&["validate", &junk]).fails(2).starts_with(&junk));
    assert!(sawmill(&["validate", &folder.path("nowhere.json")]).fails(2).contains("No such file"));
    assert!(sawmill(&["validate", &model(XGBOOST), "--input", "X.npy"]).fails(2).contains("--expect"));
    assert!(sawmill(&["validate", &model(XGBOOST), "--expect", "Y.npy"]).fails(2).contains("--input"));
    let nowhere = folder.path("nowhere.npy");
    let (input, expect) = (beside(XGBOOST, "X.npy"), beside(XGBOOST, "value.npy"));
    assert!(
        sawmill(&["validate", &model(XGBOOST), "--input", &nowhere, "--expect", &expect]).fails(2).contains("nowhere")
    );
    assert!(
        sawmill(&["validate", &model(XGBOOST), "--input", &input, "--expect", &nowhere]).fails(2).contains("nowhere")
    );
    let junk = ["validate", &model(XGBOOST), "--input", &input, "--expect", &expect, "--tolerance", "-1"];
    assert!(sawmill(&junk).fails(2).contains("--tolerance"));
}

// ---- bench

#[test]
fn bench_json_has_stable_keys_and_one_result_for_each_batch_size() {
    let (npy, csv) = (beside(LIGHTGBM, "X.npy"), beside(LIGHTGBM, "rows.csv"));
    let (xgboost, lightgbm) = (model(XGBOOST), model(LIGHTGBM));
    for command in [&["bench", &xgboost][..], &["bench", &lightgbm, &npy], &["bench", &lightgbm, &csv]] {
        let options = ["--batch", "1,7,5000", "--seconds", "0.01", "--threads", "2", "--json"];
        let out: Value = serde_json::from_str(&sawmill(&[command, &options].concat()).ok()).unwrap();
        assert_eq!(out["model"], command[1]);
        assert_eq!((&out["isa"], &out["threads"]), (&out["plan"]["isa"], &2.into()));
        assert_eq!(out["rows"]["input"].as_str(), command.get(2).copied());
        assert!(out["rows"]["checked"].as_u64() > Some(0));
        let results = out["results"].as_array().unwrap();
        assert_eq!(results.iter().map(|result| result["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 7, 5000]);
        for result in results {
            let time = |name: &str| result["ns_per_row"][name].as_f64().unwrap();
            assert!(time("min") <= time("p50") && time("p50") <= time("p99"), "{result}");
            assert!(result["calls"].as_u64() > Some(0) && result["rows_per_s"].as_f64() > Some(0.0), "{result}");
        }
    }
}

#[test]
fn bench_prints_a_table_and_draws_a_chart() {
    let folder = Folder::new();
    let chart = folder.path("speed.svg");
    let out = sawmill(&["bench", &model(LIGHTGBM), "--batch", "2,16", "--seconds", "0.01", "--plot", &chart]).ok();
    let first_words = out.lines().map(|line| line.split_whitespace().next().unwrap_or(""));
    assert!(first_words.skip_while(|word| *word != "batch").eq(["batch", "2", "16"]), "{out}");
    let chart = fs::read_to_string(chart).unwrap();
    assert!(chart.starts_with("<svg") && chart.trim_end().ends_with("</svg>"));
    for text in ["rows per second", "rows in a batch", "nanoseconds for a row", "batch 16"] {
        assert!(chart.contains(text), "{text}");
    }
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    let folder = Folder::new();
    let empty = folder.path("empty.npy");
    write_npy(&empty, &Array2::<f32>::zeros((0, 30))).unwrap();
    assert!(sawmill(&["bench", &model(XGBOOST), &empty]).fails(1).ends_with("empty.npy: no rows"));
    let narrow = folder.path("narrow.npy");
    write_npy(&narrow, &Array2::<f32>::zeros((5, 3))).unwrap();
    assert!(sawmill(&["bench", &model(XGBOOST), &narrow]).fails(1).contains("3 columns"));
    let large = ["bench", &model(XGBOOST), "--batch", "1,100000000000"];
    assert!(sawmill(&large).fails(1).contains("too large to measure"));
    for wrong in [["--batch", "0"], ["--batch", "1,,2"], ["--seconds", "0"], ["--seconds", "nan"]] {
        assert!(sawmill(&[&["bench", &model(XGBOOST)], &wrong[..]].concat()).fails(2).contains(wrong[0]), "{wrong:?}");
    }
}

#[test]
fn bench_engine_reports_what_became_of_every_request() {
    for rate in ["closed", "20000"] {
        let options =
            "--engine --threads 2 --clients 3 --priority-mix critical=1,low=3 --repeat-fraction 0.5 --cache 50 --json";
        let path = model(XGBOOST);
        let mut command = vec!["bench", &path, "--rate", rate, "--seconds", "0.05"];
        command.extend(options.split(' '));
        let out: Value = serde_json::from_str(&sawmill(&command).ok()).unwrap();
        let count = |path: &str| out.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {out}"));
        assert_eq!((count("/workers"), count("/clients"), count("/rows_per_request")), (2, 3, 1));
        assert_eq!((&out["rate"].is_null(), &out["priority_mix"]["low"]), (&(rate == "closed"), &0.75.into()));
        let answered = count("/outcomes/ok");
        assert!(answered > 0 && count("/checked") >= answered);
        assert_eq!(count("/latency/requests"), answered);
        assert_eq!(count("/classes/critical/requests") + count("/classes/low/requests"), answered);
        let latency = |name: &str| out["latency"][name].as_f64().unwrap();
        assert!(latency("p50_us") <= latency("p99_us") && latency("p99_us") <= latency("p99.9_us"));
        // The engine has counted the same requests.
        let ends = |outcomes: &Value| outcomes.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
        assert_eq!(ends(&out["engine"]["requests"]), ends(&out["outcomes"]), "{out}");
        assert!(out["engine"]["dynamic_batcher"]["processed_batches"].is_u64());
        assert!(count("/engine/deduplication_cache/hits") > 0);
    }
    for wrong in [
        ["--clients", "2"],
        ["--rate", "fast"],
        ["--priority-mix", "urgent=1"],
        ["--repeat-fraction", "2"],
        ["--cache", "0"],
    ] {
        assert!(sawmill(&[&["bench", &model(XGBOOST)], &wrong[..]].concat()).fails(2).contains("--"), "{wrong:?}");
    }
}

// ---- pipelines

#[path = "common/onnx.rs"]
mod onnx_case;

/// The rows of a case as CSV, columns from last to first under the names the model has for them.
fn pipeline_rows(case: &OnnxCase) -> String {
    let model = Model::load(&case.path).unwrap();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let cell = |column: &Owned, row: usize| match column {
        Owned::F32(values) if values[row].is_nan() => String::new(),
        Owned::F32(values) => values[row].to_string(),
        Owned::F64(values) => values[row].to_string(),
        Owned::I64(values) => values[row].to_string(),
        Owned::Bool(values) => values[row].to_string(),
        Owned::Text(values) => quoted(values.get(row).unwrap()),
    };
    let names: Vec<_> = model.schema().features.iter().rev().map(|feature| feature.name.clone().unwrap()).collect();
    let mut csv = format!("{}\n", names.join(","));
    for row in 0..case.n_rows() {
        let cells: Vec<_> = case.columns.iter().rev().map(|column| cell(column, row)).collect();
        csv += &format!("{}\n", cells.join(","));
    }
    csv
}

#[test]
fn a_pipeline_takes_columns_by_name_and_answers_with_the_names_of_its_classes() {
    let folder = Folder::new();
    let case = OnnxCase::named("mixed_forest_names");
    let path = case.path.to_str().unwrap();
    let rows = folder.write("people.csv", pipeline_rows(&case));
    assert!(pipeline_rows(&case).contains(",\n"), "a missing number is an empty cell");

    let values = sawmill(&["predict", path, &rows]).ok();
    assert_eq!(values.lines().next(), Some("value_blue,value_green,value_red"));
    let found = values.lines().skip(1).flat_map(|line| line.split(',')).map(|cell| cell.parse().unwrap());
    assert_eq!(bits32(found), bits32(case.stored(1).into_iter().map(|value| value as f32)));

    let labels: Vec<String> = column(&sawmill(&["predict", path, &rows, "--kind", "label"]).ok(), "label");
    let expected: Vec<&str> =
        case.outputs[0]["values"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(labels, expected);

    let out = folder.path("label.npy");
    let complaint = sawmill(&["predict", path, &rows, "--kind", "label", "-o", &out]).fails(1);
    assert!(complaint.ends_with("strings are not written as .npy; write .csv"), "{complaint}");
}

#[test]
fn an_output_of_a_graph_is_chosen_by_its_name() {
    let folder = Folder::new();
    let case = OnnxCase::named("mixed_forest_names");
    let path = case.path.to_str().unwrap();
    let rows = folder.write("people.csv", pipeline_rows(&case));
    let predict = |arguments: &[&str]| sawmill(&[&["predict", path, rows.as_str()], arguments].concat());
    assert_eq!(predict(&["--output", "probabilities"]).ok(), predict(&[]).ok());
    let labels = predict(&["--kind", "label"]).ok();
    assert_eq!(
        predict(&["--output", "label"]).ok().lines().skip(1).collect::<Vec<_>>(),
        labels.lines().skip(1).collect::<Vec<_>>()
    );
    let complaint = predict(&["--output", "scores"]).fails(1);
    assert!(complaint.ends_with("no output of this name; there are: label, probabilities"), "{complaint}");
    assert!(predict(&["--kind", "margin"]).fails(1).ends_with("a pipeline has outputs only: label, probabilities"));
    let complaint = sawmill(&["predict", &model(XGBOOST), &beside(XGBOOST, "rows.csv"), "--output", "x"]).fails(1);
    assert!(complaint.ends_with("an output asked for by name of a model that is no ONNX graph"), "{complaint}");
}

#[test]
fn text_with_commas_and_quotes_reaches_a_pipeline_whole() {
    let case = OnnxCase::named("words_logistic");
    let texts = ["Some words, abc d1 and d2!", "d3, \"d1\", and\nmore", "", "words"];
    let quoted: Vec<_> = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
    let csv = format!("X\n{}\n", quoted.join("\n"));
    let found = sawmill_with(&["predict", case.path.to_str().unwrap(), "-"], csv.as_bytes()).ok();
    let columns: Strings = texts.into_iter().collect();
    let expected = Model::load(&case.path).unwrap().predict(Rows::columns(&[Column::Text(&columns)]).unwrap()).unwrap();
    assert_eq!(found.lines().next(), Some("value_0,value_1"));
    let found = found.lines().skip(1).flat_map(|line| line.split(',')).map(|cell| cell.parse().unwrap());
    assert_eq!(bits32(found), bits32(expected.as_f32().unwrap().iter().copied()));
}

#[test]
fn a_cell_that_is_not_of_its_columns_type_is_named() {
    let case = OnnxCase::named("mixed_forest_names");
    let predict = |row: &str| {
        let csv = format!("age,fare,parents,sex,port\n{row}\n");
        sawmill_with(&["predict", case.path.to_str().unwrap(), "-"], csv.as_bytes())
    };
    // Whole numbers may be written as the decimals that pandas makes of a column with gaps.
    assert_eq!(predict(",7.5,2.0,m,S").ok(), predict("nan,7.5,2,m,S").ok());
    for (row, complaint) in [
        ("old,7.5,2,m,S", "line 2, column \"age\": \"old\" is not a number"),
        ("30,7.5,2.5,m,S", "line 2, column \"parents\": \"2.5\" is not a whole number"),
        ("30,7.5,,m,S", "line 2, column \"parents\": \"\" is not a whole number"),
    ] {
        assert!(predict(row).fails(1).ends_with(complaint), "{row}");
    }
}

#[test]
fn inspect_draws_a_pipeline() {
    let case = OnnxCase::named("mixed_forest_names");
    let drawn = sawmill(&["inspect", case.path.to_str().unwrap()]).ok();
    for line in [
        "→ age: float [1]",
        "→ sex: string [1]",
        "Concat",
        "OneHotEncoder",
        "└─ TreeEnsembleClassifier",
        "← label",
        "← probabilities",
    ] {
        assert!(drawn.contains(line), "{line}: {drawn}");
    }
    assert!(drawn.contains("classes         blue, green, red"), "{drawn}");
}

#[test]
fn what_a_converter_lost_is_said_wherever_the_model_is_looked_at() {
    let path = model("onnx/k24_forest_with_holes.onnx");
    let remedy = "export with python/export_sklearn.py";
    let run = sawmill_with(&["predict", &path, "-"], b"0.5,1,2,3\n");
    assert_eq!(run.code, 0);
    assert!(run.stderr.starts_with("sawmill: warning: ") && run.stderr.contains(remedy), "{}", run.stderr);
    assert!(sawmill(&["inspect", &path]).ok().contains(remedy));
    let about: Value = serde_json::from_str(&sawmill(&["inspect", "--json", &path]).ok()).unwrap();
    assert!(about["source"]["warnings"][0].as_str().unwrap().contains(remedy));
    assert!(sawmill(&["validate", &path]).stdout.contains(remedy));
}

// ---- help

#[test]
fn help_and_version() {
    assert_eq!(sawmill(&["--version"]).ok(), format!("sawmill {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(sawmill(&["-V"]).ok(), sawmill(&["--version"]).ok());
    assert!(sawmill(&["--help"]).ok().contains("Examples:\n"));
    for command in ["predict", "inspect", "validate", "bench"] {
        assert!(sawmill(&[command, "--help"]).ok().contains("Examples:\n"), "{command}");
    }
}

#[test]
fn a_compiled_model_takes_the_place_of_its_source() {
    let folder = TempDir::new().unwrap();
    let saw = folder.path().join("model.saw").to_str().unwrap().to_owned();
    for (name, rows) in [(XGBOOST, "xgboost/breast_cancer/rows.csv"), (LIGHTGBM, "xgboost/breast_cancer/rows.csv")] {
        assert_eq!(sawmill(&["compile", &model(name), "-o", &saw]).ok(), "");
        for kind in ["value", "margin", "leaf", "tree-value", "label"] {
            let predict = |path: &str| sawmill(&["predict", path, &model(rows), "--kind", kind]).ok();
            assert_eq!(predict(&saw), predict(&model(name)), "{name}: {kind}");
        }
        let about: Value = serde_json::from_str(&sawmill(&["inspect", "--json", &saw]).ok()).unwrap();
        let source: Value = serde_json::from_str(&sawmill(&["inspect", "--json", &model(name)]).ok()).unwrap();
        assert_eq!((&about["source"], &about["plan"]), (&source["source"], &source["plan"]));
        sawmill(&["validate", &saw]).ok();
    }
    let mut bytes = fs::read(&saw).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&saw, bytes).unwrap();
    let complaint = sawmill(&["predict", &saw, &model("xgboost/breast_cancer/rows.csv")]).fails(1);
    assert!(complaint.ends_with("a damaged compiled model: a checksum is wrong"), "{complaint}");
    assert!(sawmill(&["compile", &model(XGBOOST)]).fails(2).contains("--out"));
}

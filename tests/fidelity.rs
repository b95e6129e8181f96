//! The table of `models/README.md`: what has been compared with the source libraries, and how far off it was. The run
//! makes it; `just fidelity` writes it.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{Case, Matrix, csr_ulp, worst_ulp};
use sawmill::{Model, Output};

/// A line of the table, before its counts: library, version, objective, booster, missing values, categories.
type Kind = [String; 6];

#[derive(Default)]
struct Counts {
    cases: usize,
    rows: usize,
    numbers: usize,
    worst: u64,
}

fn kind(case: &Case) -> Kind {
    let fact = |key: &str| case.facts[key].as_str().unwrap().to_owned();
    let file = fs::read(&case.models()[0]).unwrap();
    let text = String::from_utf8_lossy(&file);
    let model = case.load(Model::options()).unwrap();
    let per_tree = case.load(Model::options().output(Output::TreeValues)).map_or(0, |model| model.n_columns());
    let (booster, mut missing) = match fact("producer").as_str() {
        "xgboost" => {
            let booster = match model.facts().trees {
                0 => "gblinear",
                _ if text.contains("weight_drop") => "dart",
                trees if per_tree > trees => "gbtree, vector leaves",
                _ => "gbtree",
            };
            (booster, "NaN".to_owned())
        }
        "lightgbm" => lightgbm_kind(&text),
        _ => ("", "NaN".to_owned()),
    };
    if case.array("csr_margin").is_some() {
        missing.push_str(if missing.is_empty() { "absent" } else { ", absent" });
    }
    let categories = if model.facts().category_splits > 0 { "yes" } else { "" };
    [fact("producer"), fact("version"), fact("objective"), booster.to_owned(), missing, categories.to_owned()]
}

/// The booster and the missing types of a LightGBM text.
fn lightgbm_kind(text: &str) -> (&'static str, String) {
    let booster = [("is_linear=1", "linear trees"), ("\naverage_output", "rf"), ("[boosting: dart]", "dart")]
        .into_iter()
        .find(|(mark, _)| text.contains(mark))
        .map_or("gbdt", |(_, booster)| booster);
    let lists = text.lines().filter_map(|line| line.strip_prefix("decision_type="));
    let types: Vec<u8> = lists.flat_map(|list| list.split_whitespace()).map(|word| word.parse().unwrap()).collect();
    let names = ["none", "zero", "NaN"];
    let used = (0..3).filter(|&kind| types.iter().any(|decision| decision & 1 == 0 && decision >> 2 & 3 == kind));
    (booster, used.map(|kind| names[usize::from(kind)]).collect::<Vec<_>>().join(", "))
}

/// Compares every array of the case with what each of its files answers.
fn compare(case: &Case, counts: &mut Counts) {
    let rows = case.rows();
    counts.cases += 1;
    counts.rows += rows.n_rows();
    for file in case.models() {
        for check in case.checks() {
            let predictions = case.load_file(&file, check.options()).unwrap().predict(rows.rows()).unwrap();
            counts.numbers += predictions.n_rows() * predictions.n_columns();
            counts.worst = counts.worst.max(worst_ulp(&predictions, &case.array(&check.array).unwrap()).0);
        }
        if let Some(expected) = case.array("csr_margin") {
            let model = case.load_file(&file, Model::options().output(Output::Margin)).unwrap();
            let (ulp, _) = match &rows {
                Matrix::F32(rows) => csr_ulp(&model, rows, &expected),
                Matrix::F64(rows) => csr_ulp(&model, rows, &expected),
                Matrix::Int(_) => unreachable!("rows are floats"),
            };
            counts.numbers += rows.n_rows() * model.n_columns();
            counts.worst = counts.worst.max(ulp);
        }
    }
}

fn table() -> String {
    let mut lines: BTreeMap<Kind, Counts> = BTreeMap::new();
    let mut total = Counts::default();
    for case in Case::all() {
        let mut counts = Counts::default();
        compare(&case, &mut counts);
        for sum in [lines.entry(kind(&case)).or_default(), &mut total] {
            sum.cases += counts.cases;
            sum.rows += counts.rows;
            sum.numbers += counts.numbers;
            sum.worst = sum.worst.max(counts.worst);
        }
    }
    let mut text = String::from(
        "| Library | Version | Objective | Booster | Missing | Categories | Cases | Rows | Numbers | Worst ulp |\n\
         |---|---|---|---|---|---|--:|--:|--:|--:|\n",
    );
    let all = ["all", "", "", "", "", ""].map(str::to_owned);
    for (kind, counts) in lines.iter().chain([(&all, &total)]) {
        let Counts { cases, rows, numbers, worst } = counts;
        text.push_str(&format!("| {} | {cases} | {rows} | {numbers} | {worst} |\n", kind.join(" | ")));
    }
    text
}

#[test]
fn the_table_is_what_the_run_gives() {
    const START: &str = "<!-- made by `just fidelity` -->\n\n";
    const END: &str = "\n<!-- end -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(START).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("SAWMILL_FIDELITY").is_some() {
        println!("{table}");
        fs::write(&path, format!("{before}{START}{table}{END}{after}")).unwrap();
    } else {
        let new = || table.lines().find(|line| !written.contains(line)).unwrap_or("a line too many");
        assert!(written == table, "models/README.md is not what the run gives (`just fidelity` writes it): {}", new());
    }
    assert!(table.lines().skip(2).all(|line| line.ends_with(" 0 |")), "some answers are not the library's");
}

//! Models to measure, with rows: some of `models/`, and every folder of the one that `SAWMILL_BENCH_CASES` names.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ndarray::{Array2, s};
use ndarray_npy::ReadNpyExt;
use sawmill::{Float, Model, Predictions, Rows, Values};

/// Cases of `models/` that differ in what they ask of kernels.
const GOLDEN: [&str; 8] = [
    "lightgbm/category_sets",
    "lightgbm/deep_trees",
    "lightgbm/many_trees",
    "lightgbm/wine",
    "xgboost/breast_cancer",
    "xgboost/deep_trees",
    "xgboost/many_trees",
    "xgboost/vector_leaves",
];

/// Rows made up where a case brings none.
const MADE_UP_ROWS: usize = 4096;

pub struct Case {
    pub name: String,
    pub path: PathBuf,
}

/// Rows of one type, row after row.
pub enum Table {
    F32(Array2<f32>),
    F64(Array2<f64>),
}

impl Case {
    pub fn all() -> Vec<Self> {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let mut folders: Vec<_> = GOLDEN.iter().map(|name| (name.replace('/', "_"), golden.join(name))).collect();
        if let Some(more) = env::var_os("SAWMILL_BENCH_CASES") {
            let entries = fs::read_dir(&more).unwrap_or_else(|error| panic!("{}: {error}", more.display()));
            let mut more: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
            more.sort();
            let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            folders.extend(more.into_iter().map(|path| (name(&path), path)));
        }
        folders.into_iter().filter_map(|(name, folder)| Some(Self { name, path: model_in(&folder)? })).collect()
    }

    /// The case's own rows, or rows made up for `model`.
    pub fn rows(&self, model: &Model) -> Table {
        let own = self.path.with_file_name("X.npy");
        let in_golden = self.path.starts_with(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
        // The rows of golden models are all edges and none of them is typical.
        if in_golden || !own.exists() {
            let rows = model.sample_rows(MADE_UP_ROWS, 1);
            return match model.forest().map_or(Float::F32, |forest| forest.profile().input) {
                Float::F32 => Table::F32(rows.mapv(|value| value as f32)),
                _ => Table::F64(rows),
            };
        }
        let open = || File::open(&own).unwrap();
        match Array2::<f32>::read_npy(open()) {
            Ok(rows) => Table::F32(rows.as_standard_layout().into_owned()),
            Err(_) => Table::F64(Array2::<f64>::read_npy(open()).unwrap().as_standard_layout().into_owned()),
        }
    }
}

fn model_in(folder: &Path) -> Option<PathBuf> {
    ["model.json", "model.ubj", "model.txt", "model.onnx", "model.tl"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.exists())
}

impl Table {
    pub fn n_rows(&self) -> usize {
        match self {
            Self::F32(rows) => rows.nrows(),
            Self::F64(rows) => rows.nrows(),
        }
    }

    /// `n` rows from row `first` on.
    pub fn slice(&self, first: usize, n: usize) -> Rows<'_> {
        match self {
            Self::F32(rows) => rows.slice(s![first..first + n, ..]).into(),
            Self::F64(rows) => rows.slice(s![first..first + n, ..]).into(),
        }
    }
}

/// Bit patterns; every NaN counts as one.
pub fn bits(predictions: &Predictions) -> Vec<u64> {
    match predictions.values() {
        Values::F32(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits().into() }).collect(),
        Values::F64(values) => values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect(),
        _ => panic!("values are floats"),
    }
}

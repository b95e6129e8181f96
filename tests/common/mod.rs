//! Golden cases: models with rows and what their own library answered. See `models/README.md`.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod every_kernel;

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayD, Axis};
use ndarray_npy::{ReadNpyExt, ReadableElement};
use sawmill::{InputCast, Model, ModelOptions, Output, Predictions, Rows};

/// An array file of any type a case may hold.
#[derive(Clone, Debug)]
pub enum Array {
    F32(ArrayD<f32>),
    F64(ArrayD<f64>),
    Int(ArrayD<i32>),
}

impl Array {
    pub fn read(path: &Path) -> Self {
        fn of<T: ReadableElement>(path: &Path) -> Option<ArrayD<T>> {
            ArrayD::read_npy(File::open(path).unwrap()).ok()
        }
        of::<f32>(path)
            .map(Self::F32)
            .or_else(|| of::<f64>(path).map(Self::F64))
            .or_else(|| of::<i32>(path).map(Self::Int))
            .or_else(|| of::<u8>(path).map(|array| Self::Int(array.mapv(i32::from))))
            .or_else(|| of::<u16>(path).map(|array| Self::Int(array.mapv(i32::from))))
            .or_else(|| of::<i64>(path).map(|array| Self::Int(array.mapv(|value| value as i32))))
            .unwrap_or_else(|| panic!("{}: an array of another type", path.display()))
    }

    /// As two dimensions; a vector becomes one column.
    pub fn matrix(self) -> Matrix {
        fn two<T: Clone>(array: ArrayD<T>) -> Array2<T> {
            let rows = array.shape()[0];
            let columns = array.len() / rows.max(1);
            if array.ndim() == 2 {
                return array.into_dimensionality().unwrap();
            }
            array.as_standard_layout().into_owned().into_shape_with_order((rows, columns)).unwrap()
        }
        match self {
            Self::F32(array) => Matrix::F32(two(array)),
            Self::F64(array) => Matrix::F64(two(array)),
            Self::Int(array) => Matrix::Int(two(array)),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Matrix {
    F32(Array2<f32>),
    F64(Array2<f64>),
    Int(Array2<i32>),
}

impl Matrix {
    pub fn read(path: &Path) -> Self {
        Array::read(path).matrix()
    }

    pub fn rows(&self) -> Rows<'_> {
        match self {
            Self::F32(array) => array.into(),
            Self::F64(array) => array.into(),
            Self::Int(_) => panic!("integers are not rows"),
        }
    }

    pub fn n_rows(&self) -> usize {
        match self {
            Self::F32(array) => array.nrows(),
            Self::F64(array) => array.nrows(),
            Self::Int(array) => array.nrows(),
        }
    }

    /// Its floats in f64, which holds them all.
    pub fn to_f64(&self) -> Array2<f64> {
        match self {
            Self::F32(array) => array.mapv(f64::from),
            Self::F64(array) => array.clone(),
            Self::Int(_) => panic!("integers are not rows"),
        }
    }

    /// The first `count` rows.
    pub fn head(&self, count: usize) -> Self {
        fn head<T: Clone>(array: &Array2<T>, count: usize) -> Array2<T> {
            array.select(Axis(0), &(0..count.min(array.nrows())).collect::<Vec<_>>())
        }
        match self {
            Self::F32(array) => Self::F32(head(array, count)),
            Self::F64(array) => Self::F64(head(array, count)),
            Self::Int(array) => Self::Int(head(array, count)),
        }
    }
}

/// Bit patterns of all values, row after row.
pub fn bits(predictions: &Predictions) -> Vec<u64> {
    predictions.to_f64().into_iter().map(f64::to_bits).collect()
}

/// Greatest distance between predictions and expected numbers, in units in the last place, and the first row that has
/// any. A NaN equals a NaN; the types must be the same.
pub fn worst_ulp(predictions: &Predictions, expected: &Matrix) -> (u64, Option<usize>) {
    fn ordered32(x: f32) -> i64 {
        let bits = i64::from(x.to_bits() as i32);
        if bits < 0 { i64::from(i32::MIN) - bits } else { bits }
    }
    fn ordered64(x: f64) -> i64 {
        let bits = x.to_bits() as i64;
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    }
    let columns = predictions.n_columns();
    let worst = |distances: Vec<u64>| {
        let first = distances.iter().position(|&ulp| ulp > 0).map(|index| index / columns.max(1));
        (distances.into_iter().max().unwrap_or(0), first)
    };
    match expected {
        Matrix::F32(expected) => {
            let ours = predictions.as_f32().expect("f32 predictions");
            assert_eq!((predictions.n_rows(), columns), expected.dim());
            let distance = |(a, b): (&f32, &f32)| match (a.is_nan(), b.is_nan()) {
                (true, true) => 0,
                (false, false) => ordered32(*a).abs_diff(ordered32(*b)),
                _ => u64::MAX,
            };
            worst(ours.iter().zip(expected).map(distance).collect())
        }
        Matrix::F64(expected) => {
            let ours = predictions.as_f64().expect("f64 predictions");
            assert_eq!((predictions.n_rows(), columns), expected.dim());
            let distance = |(a, b): (&f64, &f64)| match (a.is_nan(), b.is_nan()) {
                (true, true) => 0,
                (false, false) => ordered64(*a).abs_diff(ordered64(*b)),
                _ => u64::MAX,
            };
            worst(ours.iter().zip(expected).map(distance).collect())
        }
        Matrix::Int(expected) => {
            let ours = predictions.as_i32().expect("i32 predictions");
            assert_eq!((predictions.n_rows(), columns), expected.dim());
            worst(ours.iter().zip(expected).map(|(a, b)| u64::from(a.abs_diff(*b))).collect())
        }
    }
}

/// The worst ulp of sparse rows made by dropping zeros.
pub fn csr_ulp<T>(model: &Model, rows: &Array2<T>, expected: &Matrix) -> (u64, Option<usize>)
where
    T: sawmill::Value + Default + PartialEq,
{
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in rows.rows() {
        for (column, &value) in row.iter().enumerate() {
            if value != T::default() {
                indices.push(column as u32);
                values.push(value);
            }
        }
        indptr.push(indices.len());
    }
    let rows = Rows::csr(rows.ncols(), &indptr, &indices, &values).unwrap();
    worst_ulp(&model.predict(rows).unwrap(), expected)
}

/// Predictions to make and the array of a case to compare them with.
pub struct Check {
    pub output: Output,
    pub iterations: Option<Range<usize>>,
    pub array: String,
}

impl Check {
    pub fn options(&self) -> ModelOptions {
        let options = Model::options().output(self.output);
        match self.iterations.clone() {
            Some(range) => options.iterations(range),
            None => options,
        }
    }
}

/// A folder below `models/`.
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub facts: toml::Table,
}

impl Case {
    /// Every case there is, by name.
    pub fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let mut cases = Vec::new();
        for producer in ["xgboost", "lightgbm", "treelite", "catboost", "sklearn"] {
            for entry in fs::read_dir(root.join(producer)).unwrap() {
                let folder = entry.unwrap().path();
                let name = format!("{producer}/{}", folder.file_name().unwrap().to_str().unwrap());
                let facts = fs::read_to_string(folder.join("case.toml")).unwrap().parse().unwrap();
                cases.push(Self { name, folder, facts });
            }
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        cases
    }

    pub fn named(name: &str) -> Self {
        Self::all().into_iter().find(|case| case.name == name).expect(name)
    }

    pub fn models(&self) -> Vec<PathBuf> {
        let files = self.facts["models"].as_array().unwrap();
        files.iter().map(|file| self.folder.join(file.as_str().unwrap())).collect()
    }

    /// Loads the first model file.
    pub fn load(&self, options: ModelOptions) -> sawmill::Result<Model> {
        self.load_file(&self.models()[0], options)
    }

    /// Loads a model file with the options that the case is about.
    pub fn load_file(&self, file: &Path, options: ModelOptions) -> sawmill::Result<Model> {
        let options = match self.facts.get("input_cast").map(|cast| cast.as_str().unwrap()) {
            Some("f32") => options.input_cast(InputCast::F32),
            Some(other) => panic!("{}: input_cast {other:?}", self.name),
            None => options,
        };
        options.load(file)
    }

    /// An array of the case, if it has it.
    pub fn array(&self, name: &str) -> Option<Matrix> {
        let path = self.folder.join(format!("{name}.npy"));
        path.exists().then(|| Matrix::read(&path))
    }

    pub fn rows(&self) -> Matrix {
        self.array("X").unwrap()
    }

    /// Every check of predictions the case can make.
    pub fn checks(&self) -> Vec<Check> {
        let outputs =
            [(Output::Leaf, "leaf"), (Output::Margin, "margin"), (Output::Value, "value"), (Output::Label, "label")];
        let whole = |(output, name): (Output, &str)| Check { output, iterations: None, array: name.to_owned() };
        let mut checks: Vec<_> = outputs.map(whole).into();
        for range in self.facts.get("iterations").and_then(|ranges| ranges.as_array()).into_iter().flatten() {
            let end = |index: usize| range[index].as_integer().unwrap() as usize;
            for (output, name) in [(Output::Margin, "margin"), (Output::Value, "value")] {
                let array = format!("{name}_{}_{}", end(0), end(1));
                checks.push(Check { output, iterations: Some(end(0)..end(1)), array });
            }
        }
        checks.retain(|check| self.folder.join(format!("{}.npy", check.array)).exists());
        checks
    }
}

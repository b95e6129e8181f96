//! Models compiled to machine code ahead of time: by lleaves (LightGBM, through LLVM) and by TL2cgen (through C).

use std::ffi::{CStr, c_char, c_int};

use anyhow::{Result, bail};

use crate::Peer;
use crate::library::{open, symbol};
use crate::rows::Table;

type ForestRoot = unsafe extern "C" fn(*const f64, *mut f64, c_int, c_int);

/// A function that predicts the rows from one index to another.
pub struct Lleaves {
    forest_root: ForestRoot,
    rows: Vec<f64>,
    n_columns: usize,
    out: Vec<f64>,
    n_outputs: usize,
    n_predicted: usize,
}

impl Lleaves {
    /// `model` is the LightGBM file, which tells the number of outputs.
    pub fn new(library: &str, model: &str, rows: Table) -> Result<Self> {
        let text = std::fs::read_to_string(model)?;
        let key = text.lines().find_map(|line| line.strip_prefix("num_tree_per_iteration="));
        let n_outputs: usize = key.unwrap_or("1").trim().parse()?;
        let out = vec![0.0; rows.n_rows() * n_outputs];
        // SAFETY: the type of the function that lleaves generates.
        let forest_root = unsafe { symbol(open(library)?, "forest_root")? };
        let n_columns = rows.n_columns;
        Ok(Self { forest_root, rows: rows.into_f64(), n_columns, out, n_outputs, n_predicted: 0 })
    }
}

impl Peer for Lleaves {
    fn predict(&mut self, first: usize, n_rows: usize) -> Result<()> {
        let rows = self.rows[first * self.n_columns..(first + n_rows) * self.n_columns].as_ptr();
        // SAFETY: `rows` has that many rows, `out` room for all there are.
        unsafe { (self.forest_root)(rows, self.out.as_mut_ptr(), 0, n_rows as c_int) };
        self.n_predicted = n_rows * self.n_outputs;
        Ok(())
    }

    fn answers(&self) -> Vec<f64> {
        self.out[..self.n_predicted].to_vec()
    }
}

/// A value as TL2cgen's code takes it: all bits set for a missing one.
#[derive(Clone, Copy)]
#[repr(C)]
union Entry<T: Copy> {
    missing: c_int,
    value: T,
}

type Predict<T> = unsafe extern "C" fn(*mut Entry<T>, c_int, *mut T);

/// A function that predicts one row.
pub struct Tl2cgen {
    code: Code,
    n_outputs: usize,
    n_predicted: usize,
}

enum Code {
    F32(Rowwise<f32>),
    F64(Rowwise<f64>),
}

struct Rowwise<T: Copy> {
    predict: Predict<T>,
    rows: Vec<T>,
    entries: Vec<Entry<T>>,
    out: Vec<T>,
}

impl<T: Copy + Default + PartialEq> Rowwise<T> {
    fn new(predict: Predict<T>, rows: Vec<T>, n_columns: usize, n_outputs: usize) -> Self {
        let out = vec![T::default(); rows.len() / n_columns * n_outputs];
        Self { predict, rows, entries: vec![Entry { missing: -1 }; n_columns], out }
    }

    #[allow(clippy::eq_op, reason = "NaN is what differs from itself")]
    fn predict(&mut self, first: usize, n_rows: usize, n_outputs: usize) {
        let n_columns = self.entries.len();
        for row in 0..n_rows {
            let values = &self.rows[(first + row) * n_columns..][..n_columns];
            for (entry, &value) in self.entries.iter_mut().zip(values) {
                *entry = if value == value { Entry { value } } else { Entry { missing: -1 } };
            }
            let out = &mut self.out[row * n_outputs..][..n_outputs];
            // The generated code adds to what is there.
            out.fill(T::default());
            // SAFETY: the code reads as many entries as the model has features, and writes as many values as it has
            // outputs; it says both of itself, and the columns were compared.
            unsafe { (self.predict)(self.entries.as_mut_ptr(), 0, out.as_mut_ptr()) };
        }
    }
}

impl Tl2cgen {
    pub fn new(path: &str, rows: Table) -> Result<Self> {
        type Number = unsafe extern "C" fn() -> i32;
        type Numbers = unsafe extern "C" fn(*mut i32);
        type Text = unsafe extern "C" fn() -> *const c_char;
        let library = open(path)?;
        // SAFETY: types as in the header that TL2cgen generates.
        let (n_features, n_targets, threshold, leaf) = unsafe {
            let (features, targets): (Number, Number) =
                (symbol(library, "get_num_feature")?, symbol(library, "get_num_target")?);
            let (threshold, leaf): (Text, Text) =
                (symbol(library, "get_threshold_type")?, symbol(library, "get_leaf_output_type")?);
            (features(), targets(), CStr::from_ptr(threshold()).to_str()?, CStr::from_ptr(leaf()).to_str()?)
        };
        let n_columns = rows.n_columns;
        if n_features as usize != n_columns || n_targets != 1 {
            bail!("{n_targets} targets from {n_features} features, with {n_columns} columns");
        }
        let mut n_outputs = 0;
        // SAFETY: types as in the generated header; there is one target, so one number is written.
        let code = unsafe {
            let count: Numbers = symbol(library, "get_num_class")?;
            count(&mut n_outputs);
            let width = n_outputs as usize;
            match (threshold, leaf) {
                ("float32", "float32") => {
                    Code::F32(Rowwise::new(symbol(library, "predict")?, rows.into_f32(), n_columns, width))
                }
                ("float64", "float64") => {
                    Code::F64(Rowwise::new(symbol(library, "predict")?, rows.into_f64(), n_columns, width))
                }
                _ => bail!("thresholds {threshold}, leaves {leaf}"),
            }
        };
        Ok(Self { code, n_outputs: n_outputs as usize, n_predicted: 0 })
    }
}

impl Peer for Tl2cgen {
    fn predict(&mut self, first: usize, n_rows: usize) -> Result<()> {
        match &mut self.code {
            Code::F32(code) => code.predict(first, n_rows, self.n_outputs),
            Code::F64(code) => code.predict(first, n_rows, self.n_outputs),
        }
        self.n_predicted = n_rows * self.n_outputs;
        Ok(())
    }

    fn answers(&self) -> Vec<f64> {
        match &self.code {
            Code::F32(code) => code.out[..self.n_predicted].iter().map(|&value| value.into()).collect(),
            Code::F64(code) => code.out[..self.n_predicted].to_vec(),
        }
    }
}

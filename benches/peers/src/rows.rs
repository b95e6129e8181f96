//! The rows of a case, as its file holds them.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use ndarray_npy::ReadNpyExt;
use sawmill::ndarray::Array2;

/// Row after row.
pub struct Table {
    pub n_columns: usize,
    pub values: Values,
}

pub enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Table {
    pub fn read(path: &Path) -> Result<Self> {
        let open = || File::open(path).with_context(|| path.display().to_string());
        if let Ok(rows) = Array2::<f32>::read_npy(open()?) {
            return Ok(Self { n_columns: rows.ncols(), values: Values::F32(rows.iter().copied().collect()) });
        }
        let rows = Array2::<f64>::read_npy(open()?).with_context(|| path.display().to_string())?;
        Ok(Self { n_columns: rows.ncols(), values: Values::F64(rows.iter().copied().collect()) })
    }

    pub fn n_rows(&self) -> usize {
        let n_values = match &self.values {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        };
        n_values / self.n_columns
    }

    pub fn into_f32(self) -> Vec<f32> {
        match self.values {
            Values::F32(values) => values,
            Values::F64(values) => values.into_iter().map(|value| value as f32).collect(),
        }
    }

    pub fn into_f64(self) -> Vec<f64> {
        match self.values {
            Values::F32(values) => values.into_iter().map(f64::from).collect(),
            Values::F64(values) => values,
        }
    }
}
